//! Models trained elsewhere: what onnxruntime answers, we answer; what we cannot read is said by name.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use labhouse_udfs::{Drift, ImportError, Model, PredictError, Recommender, Sight, Strategy};
use serde_json::Value;

use crate::data::{Dice, batch};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn import(name: &str) -> Model {
    Model::from_onnx(&file(name), "y", &[]).unwrap()
}

/// The file's questions as columns in the model's order.
fn questions(model: &Model, told: &Value) -> Vec<ArrayRef> {
    let column = |name: &str, data_type: &DataType| -> ArrayRef {
        let values = told["inputs"][name].as_array().unwrap();
        match data_type {
            DataType::Utf8 => Arc::new(values.iter().map(Value::as_str).collect::<StringArray>()),
            DataType::Int64 => Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>()),
            _ => Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>()),
        }
    };
    let features = model.features().iter();
    features
        .map(|feature| column(&feature.name, &feature.input_type))
        .collect()
}

fn near(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-4 * (1.0 + theirs.abs())
}

#[test]
fn answers_are_onnxruntimes() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .filter(|name| !name.starts_with("refused"))
        .collect();
    names.sort();
    assert!(names.len() >= 19, "{names:?}");
    for name in &names {
        let told: Value =
            serde_json::from_slice(&std::fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap();
        let model = import(name);
        let again = Model::from_bytes(&model.to_bytes()).unwrap();
        assert_eq!(again.digest(), model.digest());
        let columns = questions(&model, &told);
        let rows = columns[0].len();
        for model in [&model, &again] {
            let answers = model.answer(&columns, rows).unwrap();
            if let Some(numbers) = told["numbers"].as_array() {
                let ours = answers.as_primitive::<Float64Type>();
                for (row, theirs) in numbers.iter().enumerate() {
                    let theirs = theirs.as_f64().unwrap();
                    assert!(
                        near(ours.value(row), theirs),
                        "{name}, row {row}: {} and {theirs}",
                        ours.value(row)
                    );
                }
                continue;
            }
            let labels = told["labels"].as_array().unwrap();
            let ours = answers.as_string::<i32>();
            for (row, theirs) in labels.iter().enumerate() {
                assert_eq!(ours.value(row), theirs.as_str().unwrap(), "{name}, row {row}");
            }
            for class in model.classes() {
                let ours = model.probability(class, &columns, rows).unwrap();
                for (row, theirs) in told["shares"].as_array().unwrap().iter().enumerate() {
                    let theirs = theirs[class.as_str()].as_f64().unwrap();
                    assert!(
                        near(ours.value(row), theirs),
                        "{name}, row {row}, {class}: {} and {theirs}",
                        ours.value(row)
                    );
                }
            }
        }
    }
}

#[test]
fn what_it_has_not_is_said() {
    let model = Arc::new(import("boosted"));
    let told: Value = serde_json::from_slice(&std::fs::read(folder().join("boosted.json")).unwrap()).unwrap();
    let columns = questions(&model, &told);
    assert!(matches!(
        model.interval(&columns, 40, 0.9),
        Err(PredictError::NoIntervals)
    ));
    let named: Vec<(&str, ArrayRef)> = model.features().iter().map(|f| f.name.as_str()).zip(columns).collect();
    let candidates = batch(named);
    let by = |strategy| {
        Recommender::new(Arc::clone(&model), candidates.schema(), 3, false)
            .unwrap()
            .by(strategy)
    };
    assert!(matches!(by(Strategy::Bayes), Err(PredictError::NoSurrogate)));
    let mut best = by(Strategy::Exploit).unwrap();
    best.push(&candidates).unwrap();
    let list = best.finish().unwrap();
    assert_eq!(list.num_rows(), 3);
    let card = model.card();
    assert!(
        card.iter()
            .any(|(key, text)| key == "onnx_operators" && text.contains("TreeEnsembleRegressor")),
        "{card:?}"
    );
    // What there are no training rows for is refused, and not answered with nothing and noughts.
    let one: Vec<ArrayRef> = candidates.columns().iter().map(|column| column.slice(0, 1)).collect();
    let all = Sight::default();
    for refused in [
        model.partial_dependence("x_1").map(|_| ()),
        model.explanation(&one).map(|_| ()),
        model.explain(&one).map(|_| ()),
        model.shares(&one).map(|_| ()),
        model.importance_to(&all).map(|_| ()),
        model.importance_by_shares_to(&all).map(|_| ()),
        Drift::new(Arc::clone(&model), &candidates.schema()).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(PredictError::NoTraining)), "{refused:?}");
    }
    let reason = list["reason"].as_string::<i32>().value(0);
    assert!(reason.contains("imported"), "{reason}");
}

#[test]
fn features_are_named_by_the_caller_or_by_the_file() {
    let names = |model: &Model| model.features().iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&import("linear")), ["x_1", "x_2", "x_3", "x_4"]);
    assert_eq!(names(&import("table_ridge")), ["base", "heat", "logp", "rtb"]);
    let told = ["LogP", "rtb", "psa", "heat"].map(str::to_owned);
    assert_eq!(
        names(&Model::from_onnx(&file("linear"), "y", &told).unwrap()),
        ["logp", "rtb", "psa", "heat"]
    );
    let few = Model::from_onnx(&file("linear"), "y", &told[..3])
        .unwrap_err()
        .to_string();
    assert!(few.contains("4 columns") && few.contains("3 features"), "{few}");
    let nameless = ["a", "b", "", "c"].map(str::to_owned);
    assert!(matches!(
        Model::from_onnx(&file("linear"), "y", &nameless),
        Err(ImportError::Nameless)
    ));
    let twice = ["a", "b", "a", "c"].map(str::to_owned);
    assert!(matches!(Model::from_onnx(&file("linear"), "y", &twice), Err(ImportError::Twice(name)) if name == "a"));
}

#[test]
fn what_cannot_be_read_is_refused_by_name_and_nothing_panics() {
    let refused = Model::from_onnx(&file("refused_svm"), "y", &[])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("SVMRegressor") && refused.contains("TreeEnsembleRegressor"),
        "{refused}"
    );
    assert!(matches!(
        Model::from_onnx(b"not a model", "y", &[]),
        Err(ImportError::NotOnnx)
    ));
    assert!(matches!(Model::from_onnx(b"", "y", &[]), Err(ImportError::NotOnnx)));
    let mut dice = Dice(17);
    for name in ["table_boosted", "three_network", "two_boosted", "forest"] {
        let whole = file(name);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            if dice.below(2) == 0 {
                bytes.truncate(dice.below(whole.len()));
            }
            for _ in 0..1 + dice.below(8) {
                if !bytes.is_empty() {
                    let at = dice.below(bytes.len());
                    bytes[at] = dice.roll() as u8;
                }
            }
            // Either it is refused, or what it says is a number for every row.
            if let Ok(model) = Model::from_onnx(&bytes, "y", &[]) {
                let nulls: Vec<ArrayRef> = model
                    .features()
                    .iter()
                    .map(|feature| arrow::array::new_null_array(&feature.input_type, 5))
                    .collect();
                assert_eq!(model.answer(&nulls, 5).unwrap().len(), 5);
            }
        }
    }
}
