//! What somebody may not see whole he does not find out by asking, however often.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Float64Type;
use labhouse_udfs::{Drift, Model, Recommender, Sight};

use crate::data::{batch, fit, floats, texts};
use crate::training::reactions;

fn model() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(fit(&reactions(600, 501), "yield_pct", 5).unwrap())))
}

/// Sees some rows of two columns and all of the third.
fn partly() -> Arc<Sight> {
    let some = ["catalyst", "temperature", "yield_pct"].map(str::to_owned);
    Arc::new(Sight {
        unvalued: BTreeSet::from(some),
        ..Sight::default()
    })
}

/// Rows with every catalyst that there is, and some that there are not, at ever higher temperatures.
fn sweep() -> Vec<ArrayRef> {
    let (mut catalysts, mut temperatures) = (vec![], vec![]);
    for catalyst in ["cat-0", "cat-5", "cat-6", "secret"] {
        for step in 0..60 {
            catalysts.push(catalyst);
            temperatures.push(-100.0 + 10.0 * f64::from(step));
        }
    }
    vec![texts(&catalysts), texts(&vec!["base-1"; 240]), floats(temperatures)]
}

fn flags(found: &StructArray) -> BTreeSet<Option<bool>> {
    found.column_by_name("in_domain").unwrap().as_boolean().iter().collect()
}

fn novel(found: &StructArray) -> BTreeSet<Option<String>> {
    let told = found.column_by_name("novel").unwrap().as_string::<i32>().iter();
    told.map(|told| told.map(str::to_owned)).collect()
}

#[test]
fn nobody_finds_the_ends_or_the_names_of_hidden_rows_by_asking_for_intervals() {
    let (model, rows) = (model(), sweep());
    let whole = model.interval(&rows, 240, 0.9).unwrap();
    assert_eq!(flags(&whole), BTreeSet::from([Some(false), Some(true)]));
    assert!(novel(&whole).contains(&Some("catalyst, temperature".to_owned())));

    let seen = model.interval_to(&rows, 240, 0.9, &partly()).unwrap();
    assert_eq!(
        flags(&seen),
        BTreeSet::from([None]),
        "whether a value is new is not told"
    );
    assert_eq!(novel(&seen), BTreeSet::from([Some("unknown".to_owned())]));
    assert_eq!(seen.column_by_name("upper").unwrap().null_count(), 0);
    // Its width follows from the prediction alone.
    let of = |name: &str| seen.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
    let (mean, upper) = (of("mean"), of("upper"));
    let mut widths: Vec<(f64, f64)> = (0..240)
        .map(|row| (mean.value(row), upper.value(row) - mean.value(row)))
        .collect();
    widths.sort_by(|a, b| a.0.total_cmp(&b.0));
    let changes = widths
        .windows(2)
        .filter(|pair| (pair[0].1 - pair[1].1).abs() > 1e-9)
        .count();
    assert!(changes < 8, "{changes} widths along the predictions");

    // What he sees whole is told.
    let mut new_base = sweep();
    new_base[1] = texts(&vec!["base-9"; 240]);
    let seen = model.interval_to(&new_base, 240, 0.5, &partly()).unwrap();
    assert_eq!(flags(&seen), BTreeSet::from([Some(false)]));
    assert_eq!(novel(&seen), BTreeSet::from([Some("base".to_owned())]));
}

#[test]
fn explanations_reasons_and_drift_do_not_tell_known_names_from_new_ones() {
    let model = model();
    let asked = |catalyst: &str| -> Vec<ArrayRef> { vec![texts(&[catalyst]), texts(&["base-1"]), floats([80.0])] };
    let value = |lines: &RecordBatch| {
        let names = lines["feature"].as_string::<i32>();
        let row = names.iter().position(|name| name == Some("catalyst")).unwrap();
        let values = lines["value"].as_string::<i32>();
        values.is_valid(row).then(|| values.value(row).to_owned())
    };
    for catalyst in ["cat-1", "secret"] {
        let told = model.explanation_to(&asked(catalyst), &partly()).unwrap();
        assert_eq!(value(&told), None, "{catalyst}");
    }
    assert_eq!(
        value(&model.explanation(&asked("cat-1")).unwrap()).as_deref(),
        Some("cat-1")
    );

    let rows = sweep();
    let candidates = batch(vec![
        ("catalyst", Arc::clone(&rows[0])),
        ("base", Arc::clone(&rows[1])),
        ("temperature", Arc::clone(&rows[2])),
    ]);
    let mut list = Recommender::new(Arc::clone(&model), candidates.schema(), 240, false)
        .unwrap()
        .to(partly());
    list.push(&candidates).unwrap();
    let list = list.finish().unwrap();
    for column in ["reason", "novel"] {
        let told: BTreeSet<&str> = list[column].as_string::<i32>().iter().flatten().collect();
        assert!(
            told.iter()
                .all(|told| !told.contains("new value") && !told.contains("catalyst =")),
            "{column}: {told:?}"
        );
    }
    let mut drift = Drift::new(Arc::clone(&model), &candidates.schema())
        .unwrap()
        .to(&partly());
    drift.push(&candidates).unwrap();
    let told = drift.finish().unwrap();
    let names = told["feature"].as_string::<i32>();
    for row in 0..told.num_rows() {
        let hidden = names.value(row) != "base";
        let verdict = told["verdict"].as_string::<i32>().value(row);
        assert_eq!(
            (verdict == "not told", told["novel_share"].is_null(row)),
            (hidden, hidden)
        );
    }
}
