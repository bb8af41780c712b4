//! Models that were trained elsewhere, as ONNX files: pipelines of encoders, linear models, trees and dense networks over tables.
//!
//! ONNX (github.com/onnx/onnx) is a graph of operators. Read are those that scikit-learn's, LightGBM's and XGBoost's converters write for tables; a
//! graph with any other is refused by their names. Numbers are rounded where the file says that they are single precision.

mod after;
mod arrays;
mod columns;
mod encoders;
mod graph;
mod linear;
mod ops;
mod proto;
#[cfg(test)]
mod tests;
mod trees;
mod value;

use std::collections::HashSet;
use std::sync::OnceLock;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::Domain;
use crate::error::{ImportError, PredictError, TrainError};
use crate::feature::{FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL};
use crate::frame::Frame;
use crate::model::Model;
use crate::report::LeaderboardRow;
use crate::stored::Stored;
use crate::task::{CLASSES_MAX, Task};
use graph::Graph;
use value::{Held, Value};

/// Bytes of one file.
pub const ONNX_BYTES_MAX: usize = 64 << 20;
/// Rows that go through the graph together.
const ROWS: usize = 256;
/// Features of one model, as in training.
const FEATURES_MAX: usize = 500;
/// A text that no encoder knows.
const UNKNOWN: &str = "\u{0}";

/// An imported model: its file, read when it is first needed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Onnx {
    /// In base64.
    file: String,
    /// Which score each output is, by the sorted classes.
    scores: Vec<usize>,
    #[serde(skip)]
    graph: OnceLock<Option<Graph>>,
}

impl Model {
    /// A model from the bytes of an ONNX file. `target` names what it predicts, `names` its features in the order of its inputs' columns; without
    /// names they are called as the inputs are, `<input>_1`, `<input>_2` … where an input has several columns.
    ///
    /// It answers as any other model, but has no intervals, no importances and no surrogate: those come from training rows.
    ///
    /// # Errors
    /// [`ImportError`] names what cannot be read; no bytes make it panic.
    pub fn from_onnx(bytes: &[u8], target: &str, names: &[String]) -> Result<Self, ImportError> {
        if bytes.len() > ONNX_BYTES_MAX {
            return Err(ImportError::TooLarge {
                bytes: bytes.len(),
                most: ONNX_BYTES_MAX,
            });
        }
        let graph = Graph::read(bytes)?;
        let features = features(&graph, names)?;
        let task = task(&graph)?;
        let scores = order(&graph, &task);
        let digest = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>();
        let card = vec![
            ("target".to_owned(), target.to_owned()),
            ("kind".to_owned(), task.name().to_owned()),
            ("chosen".to_owned(), "imported from ONNX".to_owned()),
            (
                "features".to_owned(),
                features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", "),
            ),
            ("classes".to_owned(), task.classes().join(", ")),
            ("onnx_producer".to_owned(), graph.producer.clone()),
            ("onnx_operator_sets".to_owned(), graph.opsets.clone()),
            (
                "onnx_operators".to_owned(),
                graph.operators.iter().cloned().collect::<Vec<_>>().join(", "),
            ),
            ("onnx_sha256".to_owned(), digest),
        ];
        let row = LeaderboardRow::left(
            "imported from ONNX",
            "it was trained elsewhere: there are no held-out rows to judge it by",
        );
        let stored = Stored {
            target: target.to_owned(),
            domain: Domain::open(&features),
            features,
            task,
            leaderboard: vec![LeaderboardRow { chosen: true, ..row }],
            card,
            onnx: Some(Onnx {
                file: STANDARD.encode(bytes),
                scores,
                graph: OnceLock::from(Some(graph)),
            }),
            ..Stored::default()
        };
        // Whatever the graph cannot do with rows of these columns, it says now.
        if let Some(onnx) = &stored.onnx {
            onnx.probe(&stored.features)?;
        }
        Self::new(stored, Vec::new()).map_err(|error| match error {
            TrainError::Write(error) => ImportError::Write(error),
            other => ImportError::Shape(other.to_string()),
        })
    }
}

impl Onnx {
    /// Output × row; NaN for a row that the graph cannot answer, as one with a category that its encoder refuses. Rows beside it are answered.
    pub(crate) fn outputs(&self, features: &[Feature], frame: &Frame) -> Vec<Vec<f64>> {
        let mut all = vec![Vec::with_capacity(frame.rows); self.scores.len()];
        let mut add = |found: Vec<Vec<f64>>| {
            for (all, found) in all.iter_mut().zip(found) {
                all.extend(found);
            }
        };
        for from in (0..frame.rows).step_by(ROWS) {
            let rows: Vec<usize> = (from..frame.rows.min(from + ROWS)).collect();
            if let Ok(found) = self.block(features, &frame.take(&rows), true) {
                add(found);
                continue;
            }
            for row in rows {
                add(self.block(features, &frame.take(&[row]), true).unwrap_or_else(|error| {
                    tracing::debug!(%error, "an imported model has no answer to a row");
                    vec![vec![f64::NAN]; self.scores.len()]
                }));
            }
        }
        all
    }

    /// Reads the file again and tries it, as [`Model::from_onnx`] did.
    pub(crate) fn check(&self, features: &[Feature], outputs: usize) -> Result<(), PredictError> {
        if self.scores.len() != outputs {
            return Err(PredictError::Damaged("the imported graph lacks an output".to_owned()));
        }
        self.probe(features)
            .map_err(|error| PredictError::Damaged(error.to_string()))
    }

    pub(crate) fn count(&self) -> usize {
        self.scores.len()
    }

    fn probe(&self, features: &[Feature]) -> Result<(), ImportError> {
        let cols = features.iter().map(|feature| match feature.kind {
            FeatureKind::Category => crate::frame::Col::levels(feature, vec![FIRST_LEVEL, NULL_LEVEL, FIRST_LEVEL]),
            _ => crate::frame::Col::Number(vec![0.0, 1.0, 0.5]),
        });
        let frame = Frame {
            rows: 3,
            cols: cols.collect(),
        };
        // Which categories each encoder knows is not asked here: what it does not know is a row's fault.
        self.block(features, &frame, false).map(|_| ())
    }

    fn graph(&self) -> Result<&Graph, ImportError> {
        let read = || Graph::read(&STANDARD.decode(&self.file).ok()?).ok();
        self.graph.get_or_init(read).as_ref().ok_or(ImportError::NotOnnx)
    }

    /// Output × row. A category that an encoder refuses is an error where it is `strict`.
    fn block(&self, features: &[Feature], frame: &Frame, strict: bool) -> Result<Vec<Vec<f64>>, ImportError> {
        let graph = self.graph()?;
        let rows = frame.rows;
        let mut given = Vec::with_capacity(graph.inputs.len());
        let mut next = 0;
        let widths = widths(graph, features.len())?;
        for (input, columns) in graph.inputs.iter().zip(widths) {
            let cols: Vec<_> = features.iter().zip(&frame.cols).skip(next).take(columns).collect();
            next += columns;
            let shape = vec![rows, columns];
            let value = if input.held == Held::Text {
                let text = |row: usize, (feature, col): &(&Feature, &crate::frame::Col)| match col.code(row) {
                    NULL_LEVEL => String::new(),
                    code => {
                        let level = code
                            .checked_sub(FIRST_LEVEL)
                            .and_then(|at| feature.levels.get(at as usize));
                        level.map_or_else(|| UNKNOWN.to_owned(), Clone::clone)
                    }
                };
                let texts = (0..rows).flat_map(|row| cols.iter().map(move |col| (row, col)));
                Value::of_texts(shape, texts.map(|(row, col)| text(row, col)).collect())
            } else {
                // A whole number cannot say that it is missing.
                let whole = input.held == Held::Whole;
                let number = |n: f64| if n.is_nan() && whole { 0.0 } else { n };
                let numbers = (0..rows).flat_map(|row| cols.iter().map(move |(_, col)| col.number(row)));
                Value::new(shape, input.held, numbers.map(number).collect())
            };
            given.push(value.map_err(ImportError::Shape)?);
        }
        let found = graph.run(rows, given, strict)?;
        let numbers = found.needs_numbers().map_err(ImportError::Shape)?;
        let wide = numbers.len() / rows.max(1);
        let needed = graph.labels.as_ref().map_or(1, Vec::len);
        if numbers.len() != rows * wide || wide != needed {
            return Err(ImportError::Shape(format!(
                "it gives {wide} numbers for a row where {needed} {} needed",
                if needed == 1 { "is" } else { "are" }
            )));
        }
        let of = |score: &usize| {
            (0..rows)
                .map(|row| numbers.get(row * wide + score).copied().unwrap_or(f64::NAN))
                .collect()
        };
        Ok(self.scores.iter().map(of).collect())
    }
}

/// How many columns each input has: one input may leave it open if the features say it.
fn widths(graph: &Graph, features: usize) -> Result<Vec<usize>, ImportError> {
    let told: usize = graph.inputs.iter().filter_map(|input| input.columns).sum();
    let open = graph.inputs.iter().filter(|input| input.columns.is_none()).count();
    let left = features.saturating_sub(told);
    match open {
        0 if told == features => {}
        0 => {
            return Err(ImportError::Names {
                have: features,
                need: told,
            });
        }
        1 if left > 0 => {}
        1 => return Err(ImportError::Open(open_names(graph))),
        _ => {
            return Err(ImportError::Shape(format!(
                "the inputs {} do not say how many columns they have",
                open_names(graph)
            )));
        }
    }
    Ok(graph.inputs.iter().map(|input| input.columns.unwrap_or(left)).collect())
}

fn open_names(graph: &Graph) -> String {
    let open = graph.inputs.iter().filter(|input| input.columns.is_none());
    open.map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn features(graph: &Graph, names: &[String]) -> Result<Vec<Feature>, ImportError> {
    let own: usize = graph.inputs.iter().filter_map(|input| input.columns).sum();
    let widths = widths(graph, if names.is_empty() { own } else { names.len() })?;
    if widths.iter().sum::<usize>() > FEATURES_MAX {
        return Err(ImportError::Shape(format!("it has more than {FEATURES_MAX} features")));
    }
    let mut features: Vec<Feature> = Vec::new();
    for (input, columns) in graph.inputs.iter().zip(widths) {
        for column in 0..columns {
            let own = if columns == 1 {
                input.name.clone()
            } else {
                format!("{}_{}", input.name, column + 1)
            };
            let name = names.get(features.len()).cloned().unwrap_or(own).to_lowercase();
            let (kind, input_type) = match input.held {
                Held::Text => (FeatureKind::Category, DataType::Utf8),
                Held::Whole => (FeatureKind::Number, DataType::Int64),
                Held::Single | Held::Double => (FeatureKind::Number, DataType::Float64),
            };
            features.push(Feature {
                name,
                kind,
                input_type,
                levels: if input.held == Held::Text {
                    graph.texts.clone()
                } else {
                    Vec::new()
                },
                ..Feature::default()
            });
        }
    }
    if features.iter().any(|feature| feature.name.trim().is_empty()) {
        return Err(ImportError::Nameless);
    }
    let mut seen = HashSet::new();
    match features.iter().find(|feature| !seen.insert(feature.name.clone())) {
        Some(twice) => Err(ImportError::Twice(twice.name.clone())),
        None => Ok(features),
    }
}

fn task(graph: &Graph) -> Result<Task, ImportError> {
    let Some(labels) = &graph.labels else {
        return Ok(Task::Regression);
    };
    let mut names = labels.clone();
    names.sort();
    names.dedup();
    if names.len() != labels.len() || !(2..=CLASSES_MAX).contains(&names.len()) {
        return Err(ImportError::Shape(format!(
            "it tells {} classes apart: between 2 and {CLASSES_MAX} different ones are needed",
            names.len()
        )));
    }
    Ok(Task::Classes(names))
}

/// For each output the place of its score: of two classes the second, of more each.
fn order(graph: &Graph, task: &Task) -> Vec<usize> {
    let Some(labels) = &graph.labels else { return vec![0] };
    let place = |class: &String| labels.iter().position(|label| label == class);
    match task.classes() {
        [_, second] => place(second).into_iter().collect(),
        classes => classes.iter().filter_map(place).collect(),
    }
}
