//! Whole tables: what plates add to their wells, and whether data has moved away from a model; and what moves a prediction.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use labhouse_udfs::{Cancel, Drift, Model, PlateEffects, PredictError, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, texts};
use crate::training::reactions;

/// Two plates of 16 × 24: row 3 reads ten too high, column 5 seven too low, the rim five too low.
fn plates(seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let (mut plate, mut well, mut value) = (vec![], vec![], vec![]);
    for name in ["P1", "P2"] {
        for row in 1..=16_u8 {
            for column in 1..=24 {
                let rim = row == 1 || row == 16 || column == 1 || column == 24;
                let planted = 10.0 * f64::from(u8::from(row == 3)) - 7.0 * f64::from(u8::from(column == 5));
                plate.push(name);
                well.push(format!("{}{column:02}", char::from(b'A' + row - 1)));
                value.push(100.0 + planted - 5.0 * f64::from(u8::from(rim)) + dice.share());
            }
        }
    }
    batch(vec![
        ("plate_id", texts(&plate)),
        ("well", texts(&well)),
        ("signal", floats(value)),
    ])
}

#[test]
fn planted_plate_effects_are_found() {
    let table = plates(81);
    let mut effects = PlateEffects::new(&table.schema(), "signal").unwrap();
    for from in (0..768).step_by(100) {
        effects.push(&table.slice(from, 100.min(768 - from))).unwrap();
    }
    let found = effects.finish().unwrap();
    assert_eq!(found.schema(), PlateEffects::schema());
    let of = |plate: &str, part: &str, place: Option<i64>| {
        let row = (0..found.num_rows())
            .find(|row| {
                let places = found["place"].as_primitive::<Int64Type>();
                let at = (!places.is_null(*row)).then(|| places.value(*row));
                found["plate"].as_string::<i32>().value(*row) == plate
                    && found["part"].as_string::<i32>().value(*row) == part
                    && at == place
            })
            .unwrap();
        found["effect"].as_primitive::<Float64Type>().value(row)
    };
    for plate in ["P1", "P2"] {
        assert!((of(plate, "row", Some(3)) - 10.0).abs() < 0.5);
        assert!((of(plate, "column", Some(5)) + 7.0).abs() < 0.5);
        assert!((of(plate, "edge", None) + 5.0).abs() < 0.5);
        assert!((of(plate, "overall", None) - 100.5).abs() < 1.0);
        assert!(of(plate, "noise", None) < 1.0);
    }
    assert!(
        matches!(PlateEffects::new(&table.schema(), "colour"), Err(PredictError::NoPlate { missing, .. }) if missing == "colour")
    );
    let no_wells = table.project(&[0, 2]).unwrap();
    assert!(
        PlateEffects::new(&no_wells.schema(), "signal")
            .unwrap_err()
            .to_string()
            .contains("well")
    );
}

#[test]
fn rows_and_columns_may_be_numbers_and_holes_are_passed_over() {
    let rows: ArrayRef = Arc::new((0..96).map(|i| Some(i / 12 + 1)).collect::<Int64Array>());
    let columns: ArrayRef = Arc::new((0..96).map(|i| (i != 7).then_some(i % 12 + 1)).collect::<Int64Array>());
    let table = batch(vec![
        ("row", rows),
        ("col", columns),
        ("value", floats((0..96).map(f64::from))),
    ]);
    let mut effects = PlateEffects::new(&table.schema(), "value").unwrap();
    effects.push(&table).unwrap();
    let found = effects.finish().unwrap();
    assert_eq!(found["wells"].as_primitive::<Int64Type>().value(0), 95);
    assert_eq!(found.num_rows(), 1 + 8 + 12 + 2);
}

#[test]
fn the_measured_column_is_found_and_an_empty_edge_has_no_effect() {
    let wells = |rows: std::ops::Range<u32>, columns: std::ops::Range<u32>| {
        let places: Vec<(u32, u32)> = rows
            .flat_map(|row| columns.clone().map(move |column| (row, column)))
            .collect();
        let name = |(row, column): &(u32, u32)| format!("{}{column:02}", char::from_u32(64 + row).unwrap());
        batch(vec![
            ("plate_id", texts(&vec!["P1"; places.len()])),
            ("well", texts(&places.iter().map(name).collect::<Vec<_>>())),
            ("column", floats(places.iter().map(|(_, column)| f64::from(*column)))),
            // The outermost wells in use read low.
            (
                "signal",
                floats(places.iter().map(|(row, _)| if *row < 3 { 50.0 } else { 80.0 })),
            ),
        ])
    };
    let parts = |table: &RecordBatch| {
        let mut effects = PlateEffects::of(&table.schema(), None).unwrap();
        effects.push(table).unwrap();
        let found = effects.finish().unwrap();
        let parts = found["part"].as_string::<i32>().iter().flatten().map(str::to_owned);
        parts.collect::<Vec<_>>()
    };
    assert!(parts(&wells(1..9, 1..13)).contains(&"edge".to_owned()));
    assert!(!parts(&wells(2..8, 2..12)).contains(&"edge".to_owned()));
    let table = wells(1..9, 1..13);
    let several = batch(vec![
        ("well", Arc::clone(&table["well"])),
        ("signal", Arc::clone(&table["signal"])),
        ("background", Arc::clone(&table["signal"])),
    ]);
    let error = PlateEffects::of(&several.schema(), None).unwrap_err().to_string();
    assert!(error.contains("signal, background"), "{error}");
    let none = several.project(&[0]).unwrap();
    assert!(matches!(
        PlateEffects::of(&none.schema(), None),
        Err(PredictError::NoPlate { .. })
    ));
}

#[test]
fn data_like_the_training_rows_is_stable_and_other_data_is_not() {
    let model = Arc::new(fit(&reactions(600, 91), "yield_pct", 5).unwrap());
    let verdicts = |table: &RecordBatch| {
        let mut drift = Drift::new(Arc::clone(&model), &table.schema()).unwrap();
        drift.push(table).unwrap();
        let told = drift.finish().unwrap();
        let names = told["feature"].as_string::<i32>().clone();
        let said = told["verdict"].as_string::<i32>().clone();
        (0..told.num_rows())
            .map(|row| (names.value(row).to_owned(), said.value(row).to_owned()))
            .collect::<Vec<_>>()
    };
    assert!(verdicts(&reactions(600, 92)).iter().all(|(_, said)| said == "stable"));
    let other = reactions(600, 93);
    let hot: ArrayRef = floats(
        other["temperature"]
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .map(|t| t + 60.0),
    );
    let moved = batch(vec![("temperature", hot), ("catalyst", Arc::clone(&other["catalyst"]))]);
    let told = verdicts(&moved);
    assert_eq!(told[0], ("temperature".to_owned(), "moved".to_owned()));
    assert_eq!(told[2], ("base".to_owned(), "absent".to_owned()));
    let nothing = batch(vec![("colour", texts(&["red"]))]);
    assert!(matches!(
        Drift::new(model, &nothing.schema()),
        Err(PredictError::MissingFeatures { .. })
    ));
}

#[test]
fn a_prediction_and_a_feature_are_explained() {
    let model = fit(&reactions(600, 95), "yield_pct", 5).unwrap();
    let row: Vec<ArrayRef> = vec![texts(&["cat-5"]), texts(&["base-0"]), floats([80.0])];
    let told = model.explanation(&row).unwrap();
    assert_eq!(told.num_rows(), 3);
    let effects = told["effect"].as_primitive::<Float64Type>();
    assert!(effects.value(0).abs() >= effects.value(1).abs());
    assert_eq!(
        told["prediction"].as_primitive::<Float64Type>().value(0),
        model.predict(&row).unwrap().value(0)
    );
    // The planted law is bent: best at 80 degrees.
    let curve = model.partial_dependence("temperature").unwrap();
    let (numbers, said) = (
        curve["number"].as_primitive::<Float64Type>(),
        curve["prediction"].as_primitive::<Float64Type>(),
    );
    let best = (0..curve.num_rows())
        .max_by(|a, b| said.value(*a).total_cmp(&said.value(*b)))
        .unwrap();
    assert!((numbers.value(best) - 80.0).abs() < 20.0, "{curve:?}");
    assert!(
        matches!(model.partial_dependence("colour"), Err(PredictError::NoFeature { features, .. }) if features.contains("catalyst"))
    );
}

fn edge(plate: &[(&str, i64, i64, f64)]) -> Result<Option<(f64, i64)>, PredictError> {
    let column = |of: fn(&(&str, i64, i64, f64)) -> i64| -> ArrayRef {
        Arc::new(plate.iter().map(|w| Some(of(w))).collect::<Int64Array>())
    };
    let table = batch(vec![
        ("plate", texts(&plate.iter().map(|well| well.0).collect::<Vec<_>>())),
        ("row", column(|well| well.1)),
        ("column", column(|well| well.2)),
        ("signal", floats(plate.iter().map(|well| well.3))),
    ]);
    let mut effects = PlateEffects::new(&table.schema(), "signal")?;
    effects.push(&table)?;
    let found = effects.finish()?;
    let row = found["part"]
        .as_string::<i32>()
        .iter()
        .position(|part| part == Some("edge"));
    Ok(row.map(|row| {
        let effect = found["effect"].as_primitive::<Float64Type>().value(row);
        (effect, found["wells"].as_primitive::<Int64Type>().value(row))
    }))
}

/// 96 wells whose rim reads ten too high, numbered from `first`.
fn rimmed(name: &'static str, first: i64) -> Vec<(&'static str, i64, i64, f64)> {
    let wells = (0..8).flat_map(|row| (0..12).map(move |column| (row, column)));
    let read = |(row, column): (i64, i64)| {
        let rim = row == 0 || row == 7 || column == 0 || column == 11;
        (name, row + first, column + first, if rim { 60.0 } else { 50.0 })
    };
    wells.map(read).collect()
}

#[test]
fn a_plate_numbered_from_nought_has_the_edge_of_one_numbered_from_one() {
    for first in [1, 0] {
        assert_eq!(edge(&rimmed("P", first)).unwrap(), Some((10.0, 36)), "from {first}");
    }
    let both = [rimmed("P", 0), rimmed("Q", 1)].concat();
    let refused = edge(&both).unwrap_err().to_string();
    assert!(
        refused.contains("plate 'Q'") && refused.contains("number all plates alike"),
        "{refused}"
    );
    // Wells such as A00 to H11.
    let wells: Vec<String> = rimmed("P", 0)
        .iter()
        .map(|(_, row, column, _)| format!("{}{column:02}", char::from(b'A' + *row as u8)))
        .collect();
    let table = batch(vec![
        ("well", texts(&wells)),
        ("signal", floats(rimmed("P", 0).iter().map(|well| well.3))),
    ]);
    let mut effects = PlateEffects::new(&table.schema(), "signal").unwrap();
    effects.push(&table).unwrap();
    let found = effects.finish().unwrap();
    let row = found["part"]
        .as_string::<i32>()
        .iter()
        .position(|part| part == Some("edge"))
        .unwrap();
    assert_eq!(found["wells"].as_primitive::<Int64Type>().value(row), 36);
    assert_eq!(found["effect"].as_primitive::<Float64Type>().value(row), 10.0);
}

#[test]
fn a_few_rows_are_not_called_moved_by_chance_and_are_when_they_have_moved() {
    let model = Arc::new(fit(&reactions(600, 83), "yield_pct", 2).unwrap());
    let verdicts = |rows: &RecordBatch| -> Vec<String> {
        let mut drift = Drift::new(Arc::clone(&model), &rows.schema()).unwrap();
        drift.push(rows).unwrap();
        let told = drift.finish().unwrap();
        told["verdict"]
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    };
    let mut moved = 0;
    for seed in 0..40 {
        let said = verdicts(&reactions(24, 1_000 + seed));
        moved += said
            .iter()
            .filter(|said| *said == "moved" || *said == "shifting")
            .count();
        assert!(
            said.contains(&"too few rows".to_owned()) || said.iter().all(|said| said == "stable"),
            "{said:?}"
        );
    }
    assert!(moved <= 5, "{moved} of 120 columns of the same distribution");
    let hot = batch(vec![
        ("catalyst", texts(&["cat-1"; 24])),
        ("base", texts(&["base-1"; 24])),
        ("temperature", floats([118.0; 24])),
    ]);
    assert_eq!(verdicts(&hot), ["moved"; 3]);
}

#[test]
fn a_table_has_not_moved_from_the_model_that_was_trained_on_it() {
    let mut dice = Dice(101);
    let rows = 2_000;
    // Twenty-four numbers, some seldom; three clusters; all different.
    let steps: Vec<f64> = (0..rows)
        .map(|_| ((dice.share() * dice.share() * 24.0) as i64) as f64)
        .collect();
    let clusters: Vec<f64> = (0..rows)
        .map(|_| [1.0, 5.0, 90.0][dice.below(10).min(2)] + 0.01 * dice.share())
        .collect();
    let smooth: Vec<f64> = (0..rows).map(|_| 100.0 * dice.share()).collect();
    let y = (0..rows).map(|row| steps[row] + clusters[row] + 0.1 * smooth[row]);
    let table = batch(vec![
        ("steps", floats(steps.clone())),
        ("clusters", floats(clusters.clone())),
        ("smooth", floats(smooth.clone())),
        ("y", floats(y)),
    ]);
    let indices = |model: &Arc<Model>, table: &RecordBatch| -> Vec<(String, f64, String)> {
        let mut drift = Drift::new(Arc::clone(model), &table.schema()).unwrap();
        drift.push(table).unwrap();
        let told = drift.finish().unwrap();
        let index = told["stability_index"].as_primitive::<Float64Type>();
        let (names, said) = (told["feature"].as_string::<i32>(), told["verdict"].as_string::<i32>());
        (0..told.num_rows())
            .map(|row| {
                (
                    names.value(row).to_owned(),
                    index.value(row),
                    said.value(row).to_owned(),
                )
            })
            .collect()
    };
    let model = Arc::new(fit(&table, "y", 2).unwrap());
    for (name, index, said) in indices(&model, &table) {
        assert!(index < 1e-9 && said == "stable", "{name}: {index} {said}");
    }
    let moved = batch(vec![
        ("steps", floats(steps.iter().map(|value| value + 4.0))),
        (
            "clusters",
            floats(clusters.iter().map(|value| if *value > 50.0 { 5.0 } else { *value })),
        ),
        ("smooth", floats(smooth.iter().map(|value| value * 0.5))),
    ]);
    for (name, index, said) in indices(&model, &moved) {
        assert!(index > 0.25 && said == "moved", "{name}: {index} {said}");
    }
    // A model of an older program has no shares: it is read all the same, and compares as it did.
    let older = Arc::new(Model::from_bytes(&without_shares(&model)).unwrap());
    let told = indices(&older, &table);
    assert!(
        told.iter().any(|(name, index, _)| name == "clusters" && *index > 0.01),
        "{told:?}"
    );
    let halved = String::from_utf8(model.to_bytes())
        .unwrap()
        .replacen("\"near\":[", "\"near\":[0.5,", 1);
    let damaged = Model::from_bytes(halved.as_bytes());
    assert!(matches!(damaged, Err(PredictError::Damaged(_))), "{damaged:?}");
}

/// The bytes that an older program would have written.
fn without_shares(model: &Model) -> Vec<u8> {
    let mut text = String::from_utf8(model.to_bytes()).unwrap();
    while let Some(from) = text.find("\"near\":[") {
        let to = from + text[from..].find("],").unwrap() + 2;
        text.replace_range(from..to, "");
    }
    text.into_bytes()
}

#[test]
fn a_training_that_is_not_the_earlier_one_is_told_from_it() {
    let table = reactions(200, 103);
    let train = |table: &RecordBatch, options: &TrainOptions| {
        train(std::slice::from_ref(table), options, &Cancel::default(), &|_| ()).unwrap()
    };
    let asked = options("yield_pct", 5);
    let model = train(&table, &asked);
    let same = TrainOptions {
        replay: Some(model.replay()),
        ..asked.clone()
    };
    assert_eq!(model.asked_otherwise(&same), None);
    assert_eq!(train(&table, &same).unlike(&model), None);
    // The same, made by an older program.
    assert_eq!(
        train(&table, &same).unlike(&Model::from_bytes(&without_shares(&model)).unwrap()),
        None
    );

    let seed = TrainOptions {
        seed: 7,
        ..same.clone()
    };
    assert_eq!(model.asked_otherwise(&seed).as_deref(), Some("the seed"));
    let more = options("temperature", 30);
    assert_eq!(
        model.asked_otherwise(&more).as_deref(),
        Some("the target, the time budget")
    );
    let fewer = train(&table.slice(0, 199), &same);
    assert_eq!(fewer.unlike(&model).as_deref(), Some("the number of rows"));
    let other = train(&reactions(200, 104), &same).unlike(&model).unwrap();
    assert!(other.contains("values of its rows"), "{other}");
    let named = batch(
        ["catalyst", "temperature", "yield_pct"]
            .map(|name| (name, Arc::clone(&table[name])))
            .to_vec(),
    );
    assert_eq!(train(&named, &same).unlike(&model).as_deref(), Some("the features"));
}
