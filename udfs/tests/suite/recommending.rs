//! Recommendations: the best k of a stream, the same whatever the batches, with reasons that are true.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use labhouse_udfs::{Model, PredictError, Recommender, recommend_schema};

use crate::data::{batch, fit, floats, texts};
use crate::training::reactions;

fn model() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(fit(&reactions(400, 31), "yield_pct", 10).unwrap())))
}

/// Every catalyst × base × temperature, with an identity and a column the model does not know.
fn library() -> RecordBatch {
    let (mut catalyst, mut base, mut temperature) = (vec![], vec![], vec![]);
    for c in 0..6 {
        for b in 0..4 {
            for t in 0..11 {
                catalyst.push(format!("cat-{c}"));
                base.push(format!("base-{b}"));
                temperature.push(20.0 + 10.0 * f64::from(t));
            }
        }
    }
    let ids: ArrayRef = Arc::new((0..catalyst.len() as i64).map(Some).collect::<Int64Array>());
    batch(vec![
        ("id", ids),
        ("temperature", floats(temperature)),
        ("catalyst", cast(&texts(&catalyst), &DataType::Utf8View).unwrap()),
        ("base", texts(&base)),
        ("rank", texts(&vec!["old"; catalyst.len()])),
    ])
}

fn recommend(batches: &[RecordBatch], k: usize, lowest: bool) -> RecordBatch {
    let mut recommender = Recommender::new(model(), batches[0].schema(), k, lowest).unwrap();
    for batch in batches {
        recommender.push(batch).unwrap();
    }
    recommender.finish().unwrap()
}

fn predictions(rows: &RecordBatch) -> Vec<f64> {
    rows["prediction"].as_primitive::<Float64Type>().values().to_vec()
}

#[test]
fn the_list_is_the_top_of_the_whole_sorted_table() {
    let library = library();
    let columns: Vec<ArrayRef> = model()
        .features()
        .iter()
        .map(|f| Arc::clone(&library[f.name.as_str()]))
        .collect();
    let mut all: Vec<(usize, f64)> = model()
        .predict(&columns)
        .unwrap()
        .values()
        .iter()
        .copied()
        .enumerate()
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let list = recommend(std::slice::from_ref(&library), 20, false);
    assert_eq!(list.schema(), recommend_schema(&library.schema()));
    assert_eq!(
        predictions(&list),
        all[..20].iter().map(|(_, p)| *p).collect::<Vec<_>>()
    );
    let ids: Vec<i64> = all[..20].iter().map(|(row, _)| *row as i64).collect();
    assert_eq!(list["id"].as_primitive::<Int64Type>().values().to_vec(), ids);
    assert_eq!(
        list["rank"].as_primitive::<Int64Type>().values().to_vec(),
        (1..=20).collect::<Vec<i64>>()
    );
    assert_eq!(list["candidate_rank"].as_string::<i32>().value(0), "old");
    for row in 0..20 {
        let at = |name: &str| list[name].as_primitive::<Float64Type>().value(row);
        assert!(at("lower") < at("prediction") && at("prediction") < at("upper"));
    }
    all.reverse();
    let warning = predictions(&recommend(&[library], 5, true));
    assert_eq!(warning, all[..5].iter().map(|(_, p)| *p).collect::<Vec<_>>());
}

#[test]
fn batches_do_not_matter_and_equal_candidates_are_one() {
    let library = library();
    // Each candidate twice: ties everywhere.
    let twice = arrow::compute::concat_batches(&library.schema(), [&library, &library]).unwrap();
    let whole = recommend(std::slice::from_ref(&twice), 31, false);
    assert_eq!(whole, recommend(std::slice::from_ref(&library), 31, false));
    for size in [1, 7, 100] {
        let parts: Vec<RecordBatch> = (0..twice.num_rows())
            .step_by(size)
            .map(|at| twice.slice(at, size.min(twice.num_rows() - at)))
            .collect();
        assert_eq!(recommend(&parts, 31, false), whole);
    }
    // All of them, if fewer than k; none from none.
    assert_eq!(
        recommend(std::slice::from_ref(&library), 2_000, false).num_rows(),
        library.num_rows()
    );
    assert_eq!(recommend(&[library.slice(0, 0)], 5, false).num_rows(), 0);
}

#[test]
fn rows_let_go_leave_no_bytes_behind() {
    let secret = "a text longer than the twelve bytes a view holds inline";
    let names: Vec<String> = (0..500).map(|i| format!("{secret} {i}")).collect();
    let table = batch(vec![
        ("note", cast(&texts(&names), &DataType::Utf8View).unwrap()),
        (
            "catalyst",
            texts(&(0..500).map(|i| format!("cat-{}", i % 6)).collect::<Vec<_>>()),
        ),
        ("base", texts(&vec!["base-1"; 500])),
        ("temperature", floats((0..500).map(|i| 20.0 + 0.2 * f64::from(i)))),
    ]);
    let list = recommend(std::slice::from_ref(&table), 3, false);
    let held = |rows: &RecordBatch| {
        rows["note"]
            .as_string_view()
            .data_buffers()
            .iter()
            .map(|b| b.len())
            .sum::<usize>()
    };
    assert!(held(&table) > 20_000 && held(&list) < 250, "{}", held(&list));
}

#[test]
fn reasons_name_what_pulls_and_by_how_much() {
    let list = recommend(&[library()], 1, false);
    let reason = list["reason"].as_string::<i32>().value(0).to_owned();
    assert!(reason.contains("catalyst = cat-") && reason.contains('+'), "{reason}");
    let worst = recommend(&[library()], 1, true);
    let reason = worst["reason"].as_string::<i32>().value(0).to_owned();
    assert!(reason.contains('−') && reason.contains("temperature = "), "{reason}");

    // The same in numbers: an effect is the prediction less the average over the feature's values.
    let columns: Vec<ArrayRef> = vec![texts(&["cat-5"]), texts(&["base-0"]), floats([80.0])];
    let effects = model().explain(&columns).unwrap();
    assert_eq!(effects.len(), 1);
    let pull = |feature: usize| effects[0].iter().find(|e| e.feature == feature).unwrap().effect;
    let base_average = {
        let each = |b: i32| {
            model()
                .predict(&[texts(&["cat-5"]), texts(&[format!("base-{b}")]), floats([80.0])])
                .unwrap()
                .value(0)
        };
        (0..4).map(each).sum::<f64>() / 4.0
    };
    let prediction = model().predict(&columns).unwrap().value(0);
    // Training held the bases about equally often, not exactly.
    assert!(
        (pull(1) - (prediction - base_average)).abs() < 1.0,
        "{} {}",
        pull(1),
        prediction - base_average
    );
    assert!(
        effects[0]
            .windows(2)
            .all(|pair| pair[0].effect.abs() >= pair[1].effect.abs())
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let library = library();
    let new = |columns: &[usize], k| Recommender::new(model(), library.project(columns).unwrap().schema(), k, false);
    assert!(new(&[0, 1, 2, 3], 5).is_ok());
    let missing = new(&[0, 1], 5).unwrap_err().to_string();
    assert!(
        missing.contains("catalyst, base") && missing.contains("id, temperature"),
        "{missing}"
    );
    assert!(matches!(new(&[0, 1, 2, 3], 0), Err(PredictError::BadCount { .. })));
    assert!(matches!(new(&[0, 1, 2, 3], 2_001), Err(PredictError::BadCount { .. })));
    let mut recommender = new(&[0, 1, 2, 3], 5).unwrap();
    assert!(recommender.push(&library.project(&[0, 1, 2, 3]).unwrap()).is_ok());
    assert!(matches!(
        recommender.push(&library.project(&[1, 0, 2, 3]).unwrap()),
        Err(PredictError::CandidateSchema { .. })
    ));
}
