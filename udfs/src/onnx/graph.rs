//! A graph that is ready to run: every value has a slot, every node its operator.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use prost::Message;

use super::columns::labels;
use super::ops::{KNOWN, Op};
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfo};
use super::value::{Held, Value};
use crate::error::ImportError;

/// Nodes of one graph.
const NODES_MAX: usize = 10_000;
/// Numbers that one row becomes anywhere in the graph.
pub(super) const WIDTH_MAX: usize = 1 << 16;
/// Numbers that are alive at once while a graph runs, a text counting as some: 256 MB. What no node needs any more is let go.
const ALIVE_MAX: usize = 1 << 25;
/// What one text costs, in numbers.
const TEXT: usize = 8;

pub(super) struct Graph {
    pub(super) inputs: Vec<Input>,
    /// Values that are known beforehand, by slot.
    constants: Vec<Option<Value>>,
    nodes: Vec<Node>,
    /// For each node the slots that no later one reads.
    dead_after: Vec<Vec<usize>>,
    output: usize,
    /// A classifier's labels, in the order of its scores.
    pub(super) labels: Option<Vec<String>>,
    /// Texts that the graph can tell apart, sorted.
    pub(super) texts: Vec<String>,
    pub(super) producer: String,
    pub(super) opsets: String,
    pub(super) operators: BTreeSet<String>,
}

/// An input, with as many columns as it has names or as its type says.
pub(super) struct Input {
    pub(super) name: String,
    slot: usize,
    pub(super) held: Held,
    /// 1 column in one dimension.
    flat: bool,
    pub(super) columns: Option<usize>,
}

struct Node {
    op: Op,
    told: String,
    inputs: Vec<Option<usize>>,
    outputs: Vec<usize>,
}

/// Slots by name.
#[derive(Default)]
struct Slots(HashMap<String, usize>);

impl Slots {
    fn of(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}

impl Graph {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let model = ModelProto::decode(bytes).map_err(|_| ImportError::NotOnnx)?;
        let graph = model.graph.as_ref().ok_or(ImportError::NotOnnx)?;
        if graph.node.is_empty() || graph.output.is_empty() {
            return Err(ImportError::NotOnnx);
        }
        if graph.node.len() > NODES_MAX {
            return Err(ImportError::Shape(format!(
                "it has {} nodes, at most {NODES_MAX} are read",
                graph.node.len()
            )));
        }
        let mut slots = Slots::default();
        let mut constants: Vec<(usize, Value)> = Vec::new();
        for tensor in &graph.initializer {
            let value = Value::read(tensor).map_err(|reason| ImportError::Node {
                node: format!("initializer '{}'", tensor.name),
                reason,
            })?;
            constants.push((slots.of(&tensor.name), value));
        }
        let inputs = inputs(graph, &mut slots)?;
        let mut nodes = Vec::with_capacity(graph.node.len());
        let mut unknown = BTreeSet::new();
        for node in &graph.node {
            if node.op_type == "Constant" && (node.domain.is_empty() || node.domain == "ai.onnx") {
                let value = constant(node).map_err(|reason| failed(node, reason))?;
                let name = node.output.first().map(String::as_str).unwrap_or_default();
                constants.push((slots.of(name), value));
                continue;
            }
            let Some(op) = Op::read(node).map_err(|reason| failed(node, reason))? else {
                unknown.insert(told(node));
                continue;
            };
            let slot = |name: &String| (!name.is_empty()).then(|| slots.of(name));
            nodes.push(Node {
                op,
                told: told(node),
                inputs: node.input.iter().map(slot).collect(),
                outputs: node.output.iter().map(|name| slots.of(name)).collect(),
            });
        }
        if !unknown.is_empty() {
            let missing = unknown.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ImportError::Operators {
                missing,
                known: KNOWN.to_owned(),
            });
        }
        let labels = graph.node.iter().rev().find_map(labels);
        let output = match (&labels, graph.output.as_slice()) {
            // A classifier gives labels, then scores.
            (Some(_), [_, scores, ..]) => scores,
            (_, [first, ..]) => first,
            (_, []) => return Err(ImportError::NotOnnx),
        };
        let output = slots.of(&output.name);
        let mut known = vec![None; slots.0.len()];
        for (slot, value) in constants {
            if let Some(place) = known.get_mut(slot) {
                *place = Some(value);
            }
        }
        let texts: BTreeSet<String> = graph.node.iter().flat_map(NodeProto::told_apart).collect();
        let opsets = model.opset_import.iter();
        let opsets = opsets.map(|set| match set.domain.as_str() {
            "" => format!("ai.onnx {}", set.version),
            domain => format!("{domain} {}", set.version),
        });
        Ok(Self {
            inputs,
            constants: known,
            dead_after: dead_after(&nodes, slots.0.len(), output),
            nodes,
            output,
            labels,
            texts: texts.into_iter().collect(),
            producer: format!("{} {}", model.producer_name, model.producer_version)
                .trim()
                .to_owned(),
            opsets: opsets.collect::<Vec<_>>().join(", "),
            operators: graph.node.iter().map(|node| node.op_type.clone()).collect(),
        })
    }

    /// The scores for some rows, a value per input. A category that an encoder refuses is an error where it is `strict`.
    pub(super) fn run(&self, rows: usize, given: Vec<Value>, strict: bool) -> Result<Value, ImportError> {
        let mut values: Vec<Option<Value>> = vec![None; self.constants.len()];
        for (input, value) in self.inputs.iter().zip(given) {
            let value = if input.flat {
                let shape = vec![rows];
                value.reshaped(shape).map_err(ImportError::Shape)?
            } else {
                value
            };
            if let Some(slot) = values.get_mut(input.slot) {
                *slot = Some(value);
            }
        }
        let size = |value: &Option<Value>| value.as_ref().map_or(0, |v| v.numbers.len() + TEXT * v.texts.len());
        let mut alive: usize = values.iter().map(size).sum();
        for (node, dead) in self.nodes.iter().zip(&self.dead_after) {
            let of = |slot: &usize| {
                let found = values.get(*slot).and_then(Option::as_ref);
                found.or_else(|| self.constants.get(*slot).and_then(Option::as_ref))
            };
            let inputs: Vec<Option<&Value>> = node.inputs.iter().map(|slot| of(slot.as_ref()?)).collect();
            // A classifier's labels are not made, and what follows from them is not either.
            let lacks = |(slot, value): (&Option<usize>, &Option<&Value>)| slot.is_some() && value.is_none();
            if node.inputs.iter().zip(&inputs).any(lacks) {
                continue;
            }
            let made = node.op.run(&inputs, strict).map_err(|reason| ImportError::Node {
                node: node.told.clone(),
                reason,
            })?;
            for (slot, value) in node.outputs.iter().zip(made) {
                let wide = value
                    .as_ref()
                    .map_or(0, |value| value.numbers.len().max(value.texts.len()));
                if wide > WIDTH_MAX * rows.max(1) {
                    return Err(ImportError::Shape(format!(
                        "{} makes more than {WIDTH_MAX} numbers of a row",
                        node.told
                    )));
                }
                alive += size(&value);
                if alive > ALIVE_MAX {
                    return Err(ImportError::Shape(format!(
                        "{} needs more than {ALIVE_MAX} numbers at once for {rows} rows",
                        node.told
                    )));
                }
                if let Some(place) = values.get_mut(*slot) {
                    alive -= size(place);
                    *place = value;
                }
            }
            for slot in dead {
                if let Some(place) = values.get_mut(*slot) {
                    alive -= size(place);
                    *place = None;
                }
            }
        }
        let output = values.get_mut(self.output).and_then(Option::take);
        output.ok_or_else(|| ImportError::Shape("nothing makes its output".to_owned()))
    }
}

impl NodeProto {
    /// Texts that this node can tell from others.
    fn told_apart(&self) -> Vec<String> {
        [
            self.texts("cats_strings"),
            self.texts("keys_strings"),
            self.texts("classes_strings"),
        ]
        .concat()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} nodes)", self.nodes.len())
    }
}

/// The slots that nothing reads after each node: the inputs that are read for the last time, and outputs that never are.
fn dead_after(nodes: &[Node], slots: usize, output: usize) -> Vec<Vec<usize>> {
    let mut is_read = vec![false; slots];
    if let Some(read) = is_read.get_mut(output) {
        *read = true;
    }
    let mut dead: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    for node in nodes.iter().rev() {
        let touched = node.inputs.iter().flatten().chain(&node.outputs);
        let mut here = Vec::new();
        for slot in touched {
            if let Some(read) = is_read.get_mut(*slot).filter(|read| !**read) {
                *read = true;
                here.push(*slot);
            }
        }
        dead.push(here);
    }
    dead.reverse();
    dead
}

fn inputs(graph: &GraphProto, slots: &mut Slots) -> Result<Vec<Input>, ImportError> {
    let constant: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut inputs = Vec::new();
    for input in graph
        .input
        .iter()
        .filter(|input| !constant.contains(input.name.as_str()))
    {
        let wrong = |reason: &str| ImportError::Shape(format!("its input '{}' {reason}", input.name));
        let tensor = tensor(input).ok_or_else(|| wrong("is no tensor"))?;
        let held = Held::of(tensor.elem_type).map_err(|reason| wrong(&format!("has {reason}")))?;
        let sides = tensor.shape.as_ref().map(|shape| shape.dim.as_slice());
        let (flat, columns) = match sides {
            Some([_]) => (true, Some(1)),
            Some([_, columns]) => (
                false,
                columns
                    .dim_value
                    .and_then(|n| usize::try_from(n).ok())
                    .filter(|n| *n > 0),
            ),
            Some([]) | None => (false, None),
            Some(_) => return Err(wrong("has more than two dimensions: rows and columns are needed")),
        };
        inputs.push(Input {
            name: input.name.clone(),
            slot: slots.of(&input.name),
            held,
            flat,
            columns,
        });
    }
    if inputs.is_empty() {
        return Err(ImportError::Shape("it has no inputs".to_owned()));
    }
    Ok(inputs)
}

fn tensor(input: &ValueInfo) -> Option<&super::proto::TensorType> {
    input.kind.as_ref()?.tensor.as_ref()
}

fn constant(node: &NodeProto) -> Result<Value, String> {
    if let Some(tensor) = node.tensor("value") {
        return Value::read(tensor);
    }
    let whole: Vec<f64> = node.ints("value_ints").iter().map(|n| *n as f64).collect();
    let floats = node.floats("value_floats");
    match (node.float("value_float"), node.int("value_int")) {
        (Some(number), _) => Value::new(Vec::new(), Held::Single, vec![number]),
        (None, Some(number)) => Value::new(Vec::new(), Held::Whole, vec![number as f64]),
        (None, None) if !floats.is_empty() => Value::new(vec![floats.len()], Held::Single, floats),
        (None, None) => Value::new(vec![whole.len()], Held::Whole, whole),
    }
}

fn failed(node: &NodeProto, reason: String) -> ImportError {
    ImportError::Node {
        node: told(node),
        reason,
    }
}

/// An operator as a person knows it.
fn told(node: &NodeProto) -> String {
    let operator = match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    };
    operator.chars().take(100).collect()
}
