//! Intervals hold what they promise on rows like the training rows, and say so when a row is not like them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Float64Type;
use labhouse_udfs::{Cancel, Model, PredictError, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, texts};
use crate::training::reactions;

fn intervals(model: &Model, rows: &RecordBatch, coverage: f64) -> StructArray {
    let columns: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| Arc::clone(&rows[f.name.as_str()]))
        .collect();
    model.interval(&columns, rows.num_rows(), coverage).unwrap()
}

/// The share of true values that lie within.
pub(crate) fn covered(found: &StructArray, truth: &dyn Array) -> f64 {
    let of = |name: &str| {
        found
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>()
            .clone()
    };
    let (lower, upper, truth) = (of("lower"), of("upper"), truth.as_primitive::<Float64Type>());
    // Where there is no end the interval has none: everything lies within.
    let inside = |row: usize| (lower.value(row)..=upper.value(row)).contains(&truth.value(row));
    let within = (0..truth.len()).filter(|row| lower.is_null(*row) || inside(*row));
    within.count() as f64 / truth.len() as f64
}

fn known(found: &StructArray) -> Vec<bool> {
    found
        .column_by_name("in_domain")
        .unwrap()
        .as_boolean()
        .iter()
        .map(|known| known.unwrap())
        .collect()
}

#[test]
fn the_stated_share_of_new_rows_lies_within_at_any_coverage() {
    let model = fit(&reactions(900, 31), "yield_pct", 10).unwrap();
    let fresh = reactions(2_000, 32);
    let mut width = 0.0;
    for coverage in [0.5, 0.8, 0.9, 0.95] {
        let found = intervals(&model, &fresh, coverage);
        let share = covered(&found, &fresh["yield_pct"]);
        assert!((share - coverage).abs() < 0.04, "{share} at {coverage}");
        let upper = found
            .column_by_name("upper")
            .unwrap()
            .as_primitive::<Float64Type>()
            .value(0);
        let mean = found
            .column_by_name("mean")
            .unwrap()
            .as_primitive::<Float64Type>()
            .value(0);
        assert!(upper - mean > width, "a higher coverage needs a wider interval");
        width = upper - mean;
        let strangers = known(&found).iter().filter(|known| !**known).count();
        assert!(strangers < 40, "{strangers} of 2,000 like rows are called unlike");
    }
    let columns: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| Arc::clone(&fresh[f.name.as_str()]))
        .collect();
    for coverage in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(matches!(
            model.interval(&columns, 2_000, coverage),
            Err(PredictError::BadCoverage(_))
        ));
    }
}

#[test]
fn what_training_did_not_see_is_flagged_and_gets_the_width_it_earns() {
    // Each of a hundred ligands has an effect of its own: nobody can know it of a new one. With fewer, chance alone would
    // decide how well the known ones speak for the new.
    let mut dice = Dice(41);
    let effects: Vec<f64> = (0..200).map(|_| 60.0 * dice.share()).collect();
    let mut rows = |from: usize, count: usize| {
        let picks: Vec<usize> = (0..count).map(|_| from + dice.below(100)).collect();
        let heat: Vec<f64> = (0..count).map(|_| 50.0 + 50.0 * dice.share()).collect();
        let yields: Vec<f64> = picks
            .iter()
            .zip(&heat)
            .map(|(l, t)| effects[*l] + 0.1 * t + dice.share())
            .collect();
        batch(vec![
            (
                "ligand",
                texts(&picks.iter().map(|l| format!("L{l}")).collect::<Vec<_>>()),
            ),
            ("heat", floats(heat)),
            ("yield_pct", floats(yields)),
        ])
    };
    let (seen, alike, new) = (rows(0, 1200), rows(0, 400), rows(100, 1000));
    let model = fit(&seen, "yield_pct", 10).unwrap();
    let usual = intervals(&model, &alike, 0.9);
    assert!((covered(&usual, &alike["yield_pct"]) - 0.9).abs() < 0.06);
    assert!(known(&usual).iter().filter(|known| **known).count() > 390);
    let strange = intervals(&model, &new, 0.9);
    assert!(known(&strange).iter().all(|known| !known));
    assert_eq!(
        strange.column_by_name("novel").unwrap().as_string::<i32>().value(0),
        "ligand"
    );
    assert!(
        covered(&strange, &new["yield_pct"]) > 0.8,
        "{}",
        covered(&strange, &new["yield_pct"])
    );
    let hot = intervals(
        &model,
        &batch(vec![("ligand", texts(&["L1"])), ("heat", floats([500.0]))]),
        0.9,
    );
    assert_eq!(hot.column_by_name("novel").unwrap().as_string::<i32>().value(0), "heat");
}

#[test]
fn with_groups_the_interval_is_that_of_a_new_group() {
    let mut dice = Dice(51);
    let offsets: Vec<f64> = (0..80).map(|_| 20.0 * dice.share()).collect();
    let mut rows = |from: usize, count: usize| {
        let plates: Vec<usize> = (0..count).map(|_| from + dice.below(40)).collect();
        let x: Vec<f64> = (0..count).map(|_| dice.share()).collect();
        let y: Vec<f64> = plates.iter().zip(&x).map(|(p, x)| offsets[*p] + 5.0 * x).collect();
        batch(vec![
            (
                "plate",
                texts(&plates.iter().map(|p| format!("P{p}")).collect::<Vec<_>>()),
            ),
            ("x", floats(x)),
            ("y", floats(y)),
        ])
    };
    let (seen, new) = (rows(0, 600), rows(40, 600));
    let grouped = TrainOptions {
        group_by: Some("plate".to_owned()),
        ..options("y", 5)
    };
    let model = train(&[seen], &grouped, &Cancel::default(), &|_| ()).unwrap();
    let share = covered(&intervals(&model, &new, 0.9), &new["y"]);
    assert!(share > 0.82, "{share}");
}

#[test]
fn rows_of_one_group_speak_once_for_a_new_group() {
    let table = |plates: usize| {
        let mut dice = Dice(52);
        let offsets: Vec<f64> = (0..plates).map(|_| 20.0 * dice.share()).collect();
        let plate: Vec<usize> = (0..plates * 100).map(|row| row % plates).collect();
        let x: Vec<f64> = plate.iter().map(|_| dice.share()).collect();
        let y: Vec<f64> = plate.iter().zip(&x).map(|(p, x)| offsets[*p] + 5.0 * x).collect();
        let names: Vec<String> = plate.iter().map(|p| format!("P{p}")).collect();
        batch(vec![("plate", texts(&names)), ("x", floats(x)), ("y", floats(y))])
    };
    let grouped = TrainOptions {
        group_by: Some("plate".to_owned()),
        ..options("y", 2)
    };
    let model = |plates| train(&[table(plates)], &grouped, &Cancel::default(), &|_| ()).unwrap();
    let five = model(5);
    let refused = five.interval(&[floats([0.5])], 1, 0.9).unwrap_err();
    assert!(
        matches!(refused, PredictError::Coverage { most, .. } if (most - 5.0 / 6.0).abs() < 1e-9),
        "{refused}"
    );
    assert!(five.interval(&[floats([0.5])], 1, 0.8).is_ok());
    assert!(
        five.card()
            .iter()
            .any(|(key, text)| key == "interval_90" && text.contains("5 held-out groups"))
    );
    assert!(model(12).interval(&[floats([0.5])], 1, 0.9).is_ok());
}

#[test]
fn molecules_far_from_all_others_are_flagged() {
    let smiles: Vec<String> = (1..60)
        .flat_map(|n| [format!("O{}", "C".repeat(n)), format!("N{}O", "C".repeat(n))])
        .collect();
    let table = batch(vec![
        ("smiles", texts(&smiles)),
        ("y", floats(smiles.iter().map(|s| s.len() as f64))),
    ]);
    let model = fit(&table, "y", 5).unwrap();
    let asked = batch(vec![(
        "smiles",
        texts(&["OCCCCCCC", "c1ccc2c(c1)ccc1ccccc12", "no molecule"]),
    )]);
    assert_eq!(known(&intervals(&model, &asked, 0.9)), [true, false, false]);
}
