//! Graphs made here, for what the converters' files in `tests/onnx` do not do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::datatypes::Float64Type;
use prost::Message;

use super::graph::Graph;
use super::proto::{
    Attribute, Dimension, GraphProto, ModelProto, NodeProto, TensorProto, TensorShape, TensorType, TypeProto, ValueInfo,
};
use super::value::{Held, Value};
use crate::model::Model;

const FLOAT: i32 = 1;
const TEXT: i32 = 8;

fn value(name: &str, elem_type: i32, columns: i64) -> ValueInfo {
    let dim = [None, Some(columns)].map(|dim_value| Dimension { dim_value });
    let shape = Some(TensorShape { dim: dim.to_vec() });
    let tensor = Some(TensorType { elem_type, shape });
    ValueInfo {
        name: name.to_owned(),
        kind: Some(TypeProto { tensor }),
    }
}

fn node(domain: &str, op: &str, input: &[&str], output: &str, attribute: Vec<Attribute>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        input: names(input),
        output: names(&output.split(' ').collect::<Vec<_>>()),
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        attribute,
        ..NodeProto::default()
    }
}

fn named(name: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        ..Attribute::default()
    }
}

fn matrix(name: &str, dims: [i64; 2], float_data: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: FLOAT,
        dims: dims.to_vec(),
        float_data,
        ..TensorProto::default()
    }
}

fn file(inputs: Vec<ValueInfo>, initializer: Vec<TensorProto>, node: Vec<NodeProto>, outputs: &[&str]) -> Vec<u8> {
    let graph = GraphProto {
        node,
        initializer,
        input: inputs,
        output: outputs.iter().map(|name| value(name, FLOAT, 1)).collect(),
    };
    let model = ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// One hot of `a` and `b`, which refuses every other text.
fn strict_encoder() -> Vec<NodeProto> {
    let categories = Attribute {
        strings: vec![b"a".to_vec(), b"b".to_vec()],
        ..named("cats_strings")
    };
    let zeros = Attribute {
        i: Some(0),
        ..named("zeros")
    };
    vec![
        node("ai.onnx.ml", "OneHotEncoder", &["base"], "hot", vec![categories, zeros]),
        node("", "Flatten", &["hot"], "flat", Vec::new()),
    ]
}

#[test]
fn a_row_that_cannot_be_answered_is_null_and_the_rows_beside_it_are_answered() {
    let mut nodes = strict_encoder();
    nodes.push(node("", "MatMul", &["flat", "weights"], "y", Vec::new()));
    let weights = matrix("weights", [2, 1], vec![1.5, 2.5]);
    let bytes = file(vec![value("base", TEXT, 1)], vec![weights], nodes.clone(), &["y"]);
    let model = Model::from_onnx(&bytes, "y", &[]).unwrap();
    let texts: Vec<Option<&str>> = vec![Some("a"), Some("c"), Some("b"), None, Some("a")];
    let asked: Vec<ArrayRef> = vec![Arc::new(StringArray::from(texts))];
    // Twice: what is remembered is what was said.
    for _ in 0..2 {
        let said = model.answer(&asked, 5).unwrap();
        let said: Vec<Option<f64>> = said.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(said, [Some(1.5), None, Some(2.5), None, Some(1.5)]);
        assert_eq!(model.predict(&asked).unwrap().null_count(), 2);
    }
}

#[test]
fn a_class_that_nobody_gave_is_null_too() {
    let mut nodes = strict_encoder();
    let floats = |name: &str, floats: Vec<f32>| Attribute { floats, ..named(name) };
    let labels = Attribute {
        strings: vec![b"inert".to_vec(), b"product".to_vec(), b"tar".to_vec()],
        ..named("classlabels_strings")
    };
    let told = vec![
        floats("coefficients", vec![0.0, 1.0, 5.0, 1.0, 0.0, 0.0]),
        floats("intercepts", vec![0.0, 0.0, 0.0]),
        labels,
        Attribute {
            s: Some(b"SOFTMAX".to_vec()),
            ..named("post_transform")
        },
    ];
    nodes.push(node("ai.onnx.ml", "LinearClassifier", &["flat"], "label scores", told));
    let bytes = file(vec![value("base", TEXT, 1)], Vec::new(), nodes, &["label", "scores"]);
    let model = Model::from_onnx(&bytes, "outcome", &[]).unwrap();
    let asked: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["b", "c", "a"]))];
    for _ in 0..2 {
        let said = model.answer(&asked, 3).unwrap();
        let said: Vec<Option<&str>> = said.as_string::<i32>().iter().collect();
        assert_eq!((said[0].is_some(), said[1], said[2].is_some()), (true, None, true));
        let shares = model.probability("tar", &asked, 3).unwrap();
        assert_eq!((shares.is_null(0), shares.is_null(1)), (false, true));
    }
}

#[test]
fn axes_are_put_in_the_order_that_is_told_and_a_half_is_true() {
    let order = Attribute {
        ints: vec![0, 1],
        ..named("perm")
    };
    let truth = Attribute {
        i: Some(9),
        ..named("to")
    };
    let number = Attribute {
        i: Some(1),
        ..named("to")
    };
    let nodes = vec![
        node("", "Transpose", &["x"], "same", vec![order]),
        node("", "Cast", &["same"], "truths", vec![truth]),
        node("", "Cast", &["truths"], "numbers", vec![number]),
        node("", "MatMul", &["numbers", "weights"], "y", Vec::new()),
    ];
    let weights = matrix("weights", [2, 1], vec![1.0, 10.0]);
    let bytes = file(vec![value("x", FLOAT, 2)], vec![weights], nodes, &["y"]);
    let model = Model::from_onnx(&bytes, "y", &[]).unwrap();
    let column = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let said = model
        .predict(&[column(vec![0.5, 0.0, -3.0]), column(vec![0.0, 0.5, 0.2])])
        .unwrap();
    assert_eq!(said.values().to_vec(), [1.0, 10.0, 11.0]);
    // Three axes, each to another place.
    let cube = Value::new(vec![2, 3, 4], Held::Double, (0..24).map(f64::from).collect()).unwrap();
    let turned = cube.transposed(&[2, 0, 1]).unwrap();
    assert_eq!(turned.shape, [4, 2, 3]);
    assert_eq!(turned.numbers[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
    assert_eq!(cube.transposed(&[]).unwrap().shape, [4, 3, 2]);
    assert!(cube.transposed(&[0, 0, 1]).is_err() && cube.transposed(&[0, 1]).is_err());
}

#[test]
fn what_no_node_needs_any_more_is_let_go_and_too_much_at_once_is_refused() {
    let wide = 1 << 16;
    let weights = matrix("weights", [1, wide], vec![1.0; wide as usize]);
    let widen = |output: &str| node("", "MatMul", &["x", "weights"], output, Vec::new());
    let names: Vec<String> = (0..8).map(|step| format!("wide{step}")).collect();
    // One after the other: two are alive at once.
    let mut chain = vec![widen("wide0")];
    chain.extend(
        names
            .windows(2)
            .map(|pair| node("", "Neg", &[&pair[0]], &pair[1], Vec::new())),
    );
    chain.push(node(
        "",
        "ReduceSum",
        &["wide7"],
        "y",
        vec![Attribute {
            ints: vec![1],
            ..named("axes")
        }],
    ));
    // All of them until the end.
    let mut all: Vec<NodeProto> = names.iter().map(|name| widen(name)).collect();
    let every: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push(node("", "Max", &every, "most", Vec::new()));
    all.push(node(
        "",
        "ReduceSum",
        &["most"],
        "y",
        vec![Attribute {
            ints: vec![1],
            ..named("axes")
        }],
    ));
    let run = |nodes: Vec<NodeProto>, rows: usize| {
        let bytes = file(vec![value("x", FLOAT, 1)], vec![weights.clone()], nodes, &["y"]);
        let x = Value::new(vec![rows, 1], Held::Single, vec![1.0; rows]).unwrap();
        Graph::read(&bytes).unwrap().run(rows, vec![x], true)
    };
    assert!(run(chain, 96).is_ok());
    assert!(run(all.clone(), 4).is_ok());
    let refused = run(all, 96).unwrap_err().to_string();
    assert!(refused.contains("at once"), "{refused}");
}
