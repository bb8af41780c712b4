//! Training: sound models from awkward tables, clear refusals of impossible ones, and the same bytes twice.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use labhouse_udfs::{Cancel, FeatureKind, Kind, Model, PredictError, TrainError, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, r2, texts};

/// Yield from catalyst × base (an interaction), temperature (bent) and a little noise.
pub(crate) fn reactions(rows: usize, seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let (mut catalyst, mut base, mut temperature, mut yields) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let (c, b, t) = (dice.below(6), dice.below(4), 20.0 + 100.0 * dice.share());
        let interaction = [[0.0, 20.0, 5.0, 9.0], [12.0, 3.0, 18.0, 1.0]][c % 2][b];
        catalyst.push(format!("cat-{c}"));
        base.push(format!("base-{b}"));
        temperature.push(t);
        yields.push(20.0 + 4.0 * c as f64 + interaction - (t - 80.0).powi(2) / 200.0 + 2.0 * dice.share());
    }
    batch(vec![
        ("catalyst", texts(&catalyst)),
        ("base", texts(&base)),
        ("temperature", floats(temperature)),
        ("yield_pct", floats(yields)),
    ])
}

fn predict_on(model: &Model, rows: &RecordBatch) -> Float64Array {
    let columns: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| Arc::clone(&rows[f.name.as_str()]))
        .collect();
    model.predict(&columns).unwrap()
}

#[test]
fn a_planted_law_is_found_and_the_linear_model_is_beaten() {
    let model = fit(&reactions(900, 1), "yield_pct", 20).unwrap();
    let fresh = reactions(500, 2);
    let value = r2(
        &predict_on(&model, &fresh),
        fresh["yield_pct"].as_primitive::<Float64Type>(),
    );
    assert!(value > 0.9, "R² {value}");
    let board = model.leaderboard();
    let names = board["candidate"].as_string::<i32>();
    let score = |name: &str| {
        let row = names.iter().position(|n| n == Some(name)).unwrap();
        board["r2"].as_primitive::<Float64Type>().value(row)
    };
    assert!(score("ridge") < 0.85 && score("mean") < 0.01, "{board:?}");
    assert_eq!(
        board["chosen"].as_boolean().iter().filter(|c| *c == Some(true)).count(),
        1
    );
}

#[test]
fn features_keep_their_kinds_and_what_is_no_feature_is_named_with_its_reason() {
    let rows = 60;
    let mut dice = Dice(3);
    let number: Vec<f64> = (0..rows).map(|_| dice.share()).collect();
    let table = batch(vec![
        ("x", floats(number.clone())),
        (
            "count",
            Arc::new((0..rows as i64).map(|i| Some(i % 7)).collect::<Int64Array>()),
        ),
        (
            "hot",
            Arc::new((0..rows).map(|i| Some(i % 3 == 0)).collect::<BooleanArray>()),
        ),
        (
            "day",
            Arc::new((0..rows as i32).map(|i| Some(20_000 + i)).collect::<Date32Array>()),
        ),
        (
            "base",
            texts(&(0..rows).map(|i| format!("b{}", i % 4)).collect::<Vec<_>>()),
        ),
        (
            "name",
            texts(&(0..rows).map(|i| format!("run-{i}")).collect::<Vec<_>>()),
        ),
        ("_source_file", texts(&vec!["a.csv"; rows])),
        ("constant", floats(vec![3.0; rows])),
        (
            "nothing",
            Arc::new((0..rows).map(|_| None::<f64>).collect::<Float64Array>()),
        ),
        (
            "bytes",
            Arc::new(
                (0..rows)
                    .map(|_| Some(b"x".as_slice()))
                    .collect::<arrow::array::BinaryArray>(),
            ),
        ),
        ("y", floats(number.iter().map(|x| 3.0 * x))),
    ]);
    let model = fit(&table, "y", 2).unwrap();
    let kinds: Vec<_> = model
        .features()
        .iter()
        .map(|f| (f.name.as_str(), f.kind, f.input_type.clone()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("x", FeatureKind::Number, DataType::Float64),
            ("count", FeatureKind::Number, DataType::Int64),
            ("hot", FeatureKind::Boolean, DataType::Boolean),
            ("day", FeatureKind::Time, DataType::Date32),
            ("base", FeatureKind::Category, DataType::Utf8),
        ]
    );
    let card = model.card();
    for name in ["name", "_source_file", "constant", "nothing", "bytes"] {
        assert!(
            card.iter()
                .any(|(key, text)| *key == format!("left_out: {name}") && !text.is_empty()),
            "{name}: {card:?}"
        );
    }
    assert_eq!(model.importance()["feature"].as_string::<i32>().value(0), "x");
}

#[test]
fn rows_without_a_target_are_dropped_and_counted() {
    let mut y: Vec<Option<f64>> = (0..40).map(|i| Some(f64::from(i))).collect();
    (y[3], y[4], y[5]) = (None, Some(f64::NAN), Some(f64::INFINITY));
    let table = batch(vec![
        ("x", floats((0..40).map(f64::from))),
        ("y", Arc::new(Float64Array::from(y))),
    ]);
    let model = fit(&table, "y", 2).unwrap();
    assert_eq!(model.rows(), 37);
    assert!(
        model
            .card()
            .contains(&("rows_without_target".to_owned(), "3".to_owned()))
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_seed_other_folds() {
    let table = reactions(200, 4);
    // A budget no fit of this size can exhaust: what finishes does not depend on the machine.
    let once = fit(&table, "yield_pct", 600).unwrap();
    let again = fit(&table, "yield_pct", 600).unwrap();
    assert_eq!(once.to_bytes(), again.to_bytes());
    assert_eq!(once.digest(), again.digest());
    let other = TrainOptions {
        seed: 9,
        ..options("yield_pct", 600)
    };
    let other = train(&[table], &other, &Cancel::default(), &|_| ()).unwrap();
    assert_ne!(once.digest(), other.digest());
}

#[test]
fn one_batch_or_many_is_the_same_table() {
    let table = reactions(150, 5);
    let parts: Vec<RecordBatch> = (0..3).map(|i| table.slice(i * 50, 50)).collect();
    let options = options("yield_pct", 600);
    let parted = train(&parts, &options, &Cancel::default(), &|_| ()).unwrap();
    assert_eq!(fit(&table, "yield_pct", 600).unwrap().digest(), parted.digest());
}

#[test]
fn groups_are_held_out_whole_so_a_memorised_plate_earns_nothing() {
    // Each plate has an offset of its own and nothing else: known plates can be predicted, new ones cannot.
    let mut dice = Dice(6);
    let offsets: Vec<f64> = (0..20).map(|_| 50.0 * dice.share()).collect();
    let plates: Vec<usize> = (0..400).map(|row| row % 20).collect();
    let table = batch(vec![
        (
            "plate_code",
            texts(&plates.iter().map(|p| format!("P{p}")).collect::<Vec<_>>()),
        ),
        (
            "plate",
            texts(&plates.iter().map(|p| format!("P{p}")).collect::<Vec<_>>()),
        ),
        ("noise", floats((0..400).map(|_| dice.share()))),
        ("y", floats(plates.iter().map(|p| offsets[*p]))),
    ]);
    let best = |group_by: Option<&str>| {
        let options = TrainOptions {
            group_by: group_by.map(str::to_owned),
            ..options("y", 5)
        };
        let model = train(std::slice::from_ref(&table), &options, &Cancel::default(), &|_| ()).unwrap();
        let names: Vec<String> = model.features().iter().map(|f| f.name.clone()).collect();
        (model.leaderboard()["r2"].as_primitive::<Float64Type>().value(0), names)
    };
    let (open, names) = best(Some("none"));
    assert!(open > 0.95 && names.contains(&"plate".to_owned()), "{open}");
    // Asked for, and found by the column's name.
    for by in [Some("plate"), None] {
        let (held, names) = best(by);
        assert!(held < 0.3 && !names.contains(&"plate".to_owned()), "{held}");
    }
}

#[test]
fn a_tiny_budget_still_gives_a_model_and_zero_gives_none() {
    let table = reactions(2_000, 7);
    let tiny = TrainOptions {
        time_budget: Duration::from_nanos(1),
        ..options("yield_pct", 1)
    };
    let model = train(std::slice::from_ref(&table), &tiny, &Cancel::default(), &|_| ()).unwrap();
    let notes = model.leaderboard()["note"]
        .as_string::<i32>()
        .iter()
        .flatten()
        .filter(|n| n.contains("budget"))
        .count();
    assert!(notes > 3, "{:?}", model.leaderboard());
    let none = TrainOptions {
        time_budget: Duration::ZERO,
        ..options("yield_pct", 1)
    };
    assert!(matches!(
        train(&[table], &none, &Cancel::default(), &|_| ()),
        Err(TrainError::NoTime)
    ));
}

#[test]
fn a_cancelled_training_ends_and_says_so() {
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let table = reactions(300, 8);
    let result = train(&[table], &options("yield_pct", 600), &cancel, &move |line| {
        if line.starts_with("ridge") {
            stop.cancel();
        }
    });
    assert!(matches!(result, Err(TrainError::Cancelled)));
}

#[test]
fn kinds_are_parsed_and_others_are_refused() {
    assert_eq!("AUTO".parse::<Kind>().unwrap(), Kind::Auto);
    assert_eq!("regression".parse::<Kind>().unwrap(), Kind::Regression);
    assert_eq!("classification".parse::<Kind>().unwrap(), Kind::Classification);
    assert!(matches!("magic".parse::<Kind>(), Err(TrainError::UnknownKind(name)) if name == "magic"));
}

#[test]
fn impossible_tables_are_refused_with_what_to_do() {
    let x = || floats((0..20).map(f64::from));
    let error = |table: &RecordBatch, target: &str| fit(table, target, 2).unwrap_err().to_string();
    let good = batch(vec![("x", x()), ("y", x())]);
    assert!(fit(&good, "y", 2).is_ok());

    assert!(error(&good, "z").contains("'z' is not in the training query; its columns are: x, y"));
    assert!(error(&good.slice(0, 0), "y").contains("gave 0 rows"));
    assert!(error(&good.slice(0, 4), "y").contains("at least 5"));
    assert!(train(&[], &options("y", 2), &Cancel::default(), &|_| ()).is_err());
    assert!(error(&batch(vec![("y", x())]), "y").contains("no column beside the target"));
    assert!(error(&batch(vec![("x", x()), ("y", floats(vec![2.5; 20]))]), "y").contains("nothing to learn"));
    assert!(
        error(
            &batch(vec![("x", x()), ("y", floats((0..20).map(|i| 1e200 * f64::from(i))))]),
            "y"
        )
        .contains("too large")
    );
    assert!(error(&batch(vec![("x", x()), ("y", texts(&["5"; 20]))]), "y").contains("one class only"));
    let words = batch(vec![("x", x()), ("y", texts(&["a", "b"].repeat(10)))]);
    let as_number = TrainOptions {
        kind: Kind::Regression,
        ..options("y", 2)
    };
    let refused = train(&[words], &as_number, &Cancel::default(), &|_| ()).unwrap_err();
    assert!(refused.to_string().contains("CAST(y AS DOUBLE)"), "{refused}");
    let nulls: ArrayRef = Arc::new((0..20).map(|_| None::<f64>).collect::<Float64Array>());
    assert!(error(&batch(vec![("x", Arc::clone(&nulls)), ("y", x())]), "y").contains("x (it holds one value only)"));
    assert!(error(&batch(vec![("x", x()), ("y", nulls)]), "y").contains("20 rows had none"));

    let twice = Schema::new(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float64, true),
    ]);
    let twice = RecordBatch::try_new(Arc::new(twice), vec![x(), x(), x()]).unwrap();
    assert!(error(&twice, "y").contains("'x' occurs twice"));
    let other = batch(vec![("x", texts(&["a"; 20])), ("y", x())]);
    let mixed = train(&[good.clone(), other], &options("y", 2), &Cancel::default(), &|_| ());
    assert!(matches!(mixed, Err(TrainError::MixedSchemas { .. })));

    let grouped = |by: &str| {
        let options = TrainOptions {
            group_by: Some(by.to_owned()),
            ..options("y", 2)
        };
        let table = batch(vec![("x", x()), ("one", texts(&["a"; 20])), ("y", x())]);
        train(&[table], &options, &Cancel::default(), &|_| ()).unwrap_err()
    };
    assert!(matches!(grouped("nowhere"), TrainError::NoGroupColumn { .. }));
    assert!(matches!(grouped("one"), TrainError::OneGroup(_)));
    assert!(matches!(grouped("y"), TrainError::GroupIsTarget(_)));
}

#[test]
fn awkward_tables_give_sound_models() {
    let sound = |table: &RecordBatch| {
        let model = fit(table, "y", 3).unwrap();
        let predicted = predict_on(&model, table);
        assert!(predicted.values().iter().all(|v| v.is_finite()) && predicted.null_count() == 0);
        let again = Model::from_bytes(&model.to_bytes()).unwrap();
        assert_eq!(predict_on(&again, table), predicted);
        model
    };
    // Ten rows, all texts different.
    let ten = |i: i32| format!("t{i}");
    sound(&batch(vec![
        ("t", texts(&(0..10).map(ten).collect::<Vec<_>>())),
        ("x", floats((0..10).map(f64::from))),
        ("y", floats((0..10).map(|i| f64::from(i * i)))),
    ]));
    // Holes, infinities and huge numbers among the features.
    let mut dice = Dice(10);
    let wild = |i: i32| match i % 5 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => 1e300,
        3 => -1e300,
        _ => f64::from(i),
    };
    sound(&batch(vec![
        ("x", floats((0..100).map(wild))),
        ("y", floats((0..100).map(|_| dice.share()))),
    ]));
    // Ten thousand categories.
    let names: Vec<String> = (0..20_000).map(|i| format!("c{}", i % 10_000)).collect();
    let model = sound(&batch(vec![
        ("c", texts(&names)),
        ("y", floats((0..20_000).map(|i| f64::from(i % 10_000) / 100.0))),
    ]));
    assert_eq!(model.features().len(), 1);
    // Columns that are copies of each other.
    let x: Vec<f64> = (0..50).map(|_| dice.share()).collect();
    sound(&batch(vec![
        ("a", floats(x.clone())),
        ("b", floats(x.clone())),
        ("y", floats(x.iter().map(|v| 2.0 * v))),
    ]));
    // Many wide categories: the linear family's width is bounded.
    let mut wide: Vec<(String, ArrayRef)> = (0..60)
        .map(|c| {
            let levels: Vec<String> = (0..120).map(|_| format!("v{}", dice.below(50))).collect();
            (format!("c{c}"), texts(&levels))
        })
        .collect();
    wide.push(("y".to_owned(), floats((0..120).map(|_| dice.share()))));
    sound(&batch(
        wide.iter()
            .map(|(name, column)| (name.as_str(), Arc::clone(column)))
            .collect(),
    ));
    // A category that is mostly NULL.
    let some: StringArray = (0..60).map(|i| (i % 9 == 0).then_some("here")).collect();
    sound(&batch(vec![
        ("c", Arc::new(some)),
        ("y", floats((0..60).map(|i| f64::from(u8::from(i % 9 == 0))))),
    ]));
}

#[test]
fn damaged_bytes_are_refused_and_whole_ones_are_not() {
    let model = fit(&reactions(100, 11), "yield_pct", 2).unwrap();
    let bytes = model.to_bytes();
    assert_eq!(Model::from_bytes(&bytes).unwrap().digest(), model.digest());
    assert!(matches!(
        Model::from_bytes(&bytes[..bytes.len() / 2]),
        Err(PredictError::Damaged(_))
    ));
    assert!(matches!(
        Model::from_bytes(b"not a model"),
        Err(PredictError::Damaged(_))
    ));
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["features"].as_array_mut().unwrap().pop();
    let fewer = serde_json::to_vec(&value).unwrap();
    assert!(matches!(Model::from_bytes(&fewer), Err(PredictError::Damaged(_))));
    value["format"] = 99.into();
    let later = serde_json::to_vec(&value).unwrap();
    assert!(matches!(
        Model::from_bytes(&later),
        Err(PredictError::Format { found: 99, .. })
    ));
}
