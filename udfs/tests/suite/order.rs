//! The order in which rows arrive decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Float64Type;
use labhouse_udfs::{
    AnomalyScore, Cancel, FeatureKind, KnownExperiments, Model, PlateEffects, Recommender, Strategy, TrainOptions,
    train,
};

use crate::data::{Dice, batch, fit, floats, options, texts};
use crate::training::reactions;

fn shuffled(table: &RecordBatch, seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let mut order: Vec<u32> = (0..table.num_rows() as u32).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, dice.below(last + 1));
    }
    take_record_batch(table, &UInt32Array::from(order)).unwrap()
}

#[test]
fn the_same_rows_in_another_order_give_the_same_bytes() {
    let table = reactions(400, 521);
    let plates: Vec<String> = (0..400).map(|row| format!("P{}", row % 13)).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![("plate", texts(&plates))];
    columns.extend(["catalyst", "base", "temperature", "yield_pct"].map(|name| (name, Arc::clone(&table[name]))));
    let table = batch(columns);
    // Enough for all: the clock must not choose.
    for group in ["plate", "none"] {
        let options = TrainOptions {
            group_by: Some(group.to_owned()),
            ..options("yield_pct", 300)
        };
        let model = |batches: &[RecordBatch]| train(batches, &options, &Cancel::default(), &|_| ()).unwrap();
        let first = model(std::slice::from_ref(&table));
        let other = shuffled(&table, 522);
        let parts: Vec<RecordBatch> = (0..400)
            .step_by(90)
            .map(|at| other.slice(at, 90.min(400 - at)))
            .collect();
        assert_eq!(model(&parts).digest(), first.digest(), "{group}");
    }
}

#[test]
fn a_table_ordered_by_a_column_does_not_hide_what_it_is_worth() {
    let catalyst: Vec<&str> = (0..5_000).map(|row| if row < 2_500 { "a" } else { "b" }).collect();
    let mut dice = Dice(523);
    let x: Vec<f64> = (0..5_000).map(|_| dice.share()).collect();
    let y = catalyst
        .iter()
        .zip(&x)
        .map(|(catalyst, x)| if *catalyst == "a" { 10.0 + x } else { 50.0 + x });
    let table = batch(vec![
        ("catalyst", texts(&catalyst)),
        ("x", floats(x.iter().copied())),
        ("y", floats(y)),
    ]);
    let importance = fit(&table, "y", 2).unwrap().importance();
    assert_eq!(importance["feature"].as_string::<i32>().value(0), "catalyst");
    assert!(
        importance["importance"].as_primitive::<Float64Type>().value(0) > 20.0,
        "{importance:?}"
    );
}

#[test]
fn ties_are_broken_by_what_rows_hold() {
    let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(
        (0..60).map(|i| i / 3).collect::<Vec<i64>>(),
    ));
    let mut dice = Dice(524);
    let values: Vec<f64> = (0..60).map(|_| dice.share()).collect();
    let series = batch(vec![("at", moments), ("value", floats(values))]);
    let scores = |table: &RecordBatch| {
        let mut scores = AnomalyScore::new(&table.schema(), "at", "value", None).unwrap();
        scores.push(table).unwrap();
        scores.finish().unwrap()
    };
    assert_eq!(scores(&series), scores(&shuffled(&series, 525)));

    // Each well three times.
    let wells: Vec<String> = (0..288)
        .map(|i| format!("{}{}", char::from(b'A' + (i % 96 / 12) as u8), i % 12 + 1))
        .collect();
    let plate = batch(vec![
        ("well", texts(&wells)),
        ("signal", floats((0..288).map(|_| dice.share()))),
    ]);
    let effects = |table: &RecordBatch| {
        let mut effects = PlateEffects::new(&table.schema(), "signal").unwrap();
        effects.push(table).unwrap();
        effects.finish().unwrap()
    };
    assert_eq!(effects(&plate), effects(&shuffled(&plate, 526)));

    // The best yield twice, and more rows than a sample has.
    let table = reactions(3_000, 527);
    let flat: Vec<f64> = table["yield_pct"]
        .as_primitive::<Float64Type>()
        .values()
        .iter()
        .map(|y| y.min(40.0))
        .collect();
    let table = batch(vec![
        ("catalyst", Arc::clone(&table["catalyst"])),
        ("base", Arc::clone(&table["base"])),
        ("temperature", Arc::clone(&table["temperature"])),
        ("yield_pct", floats(flat)),
    ]);
    let model = Arc::new(fit(&table.slice(0, 200), "yield_pct", 1).unwrap());
    let controls = |table: &RecordBatch| {
        let mut known = KnownExperiments::new(Arc::clone(&model), table.schema(), &table.schema()).unwrap();
        known.push(table).unwrap();
        let controls = known.finish().unwrap();
        controls
            .into_iter()
            .map(|control| (control.measured, control.row))
            .collect::<Vec<_>>()
    };
    assert_eq!(controls(&table), controls(&shuffled(&table, 528)));
}

/// A note on each reaction: what went wrong costs yield.
fn notes(rows: usize, seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let filler = [
        "stirred",
        "overnight",
        "under",
        "argon",
        "filtered",
        "twice",
        "washed",
        "with",
        "brine",
        "warmed",
        "slowly",
    ];
    let (mut note, mut yields) = (vec![], vec![]);
    for row in 0..rows {
        let mut words: Vec<String> = (0..6).map(|_| filler[dice.below(filler.len())].to_owned()).collect();
        let precipitate = dice.below(2) == 0;
        if precipitate {
            words.insert(dice.below(5), "Precipitate".to_owned());
        }
        words.push(format!("batch{row}x{seed}"));
        note.push(words.join(" "));
        yields.push(if precipitate { 30.0 } else { 80.0 } + dice.share());
    }
    batch(vec![
        ("note", texts(&note)),
        ("x", floats((0..rows).map(|_| dice.share()))),
        ("yield_pct", floats(yields)),
    ])
}

#[test]
fn prose_is_read_by_its_words_and_none_of_it_is_learned_by_heart() {
    let table = notes(600, 531);
    let model = fit(&table, "yield_pct", 5).unwrap();
    assert_eq!(model.features()[0].kind, FeatureKind::Text);
    let stored = Model::from_bytes(&model.to_bytes()).unwrap();
    let fresh = notes(300, 532);
    let asked: Vec<ArrayRef> = vec![Arc::clone(&fresh["note"]), Arc::clone(&fresh["x"])];
    let said = model.predict(&asked).unwrap();
    assert_eq!(stored.predict(&asked).unwrap(), said);
    let r2 = crate::data::r2(&said, fresh["yield_pct"].as_primitive::<Float64Type>());
    assert!(r2 > 0.95, "R² {r2} on notes never seen");
    let importance = model.importance();
    assert_eq!(importance["feature"].as_string::<i32>().value(0), "note");
    let one: Vec<ArrayRef> = asked.iter().map(|column| column.slice(0, 1)).collect();
    let explained = model.explanation(&one).unwrap();
    assert_eq!(explained["feature"].as_string::<i32>().value(0), "note");
    assert!(
        explained["effect"].as_primitive::<Float64Type>().value(0).abs() > 10.0,
        "{explained:?}"
    );
    // NULL is answered, too, and so is a batch whose notes are one.
    let null = arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, 1);
    assert!(model.predict(&[null, floats([0.5])]).unwrap().value(0).is_finite());
    let bytes = String::from_utf8(model.to_bytes()).unwrap();
    let notes = table["note"].as_string::<i32>();
    let kept = notes.iter().flatten().filter(|note| bytes.contains(*note)).count();
    assert!(kept <= 24, "{kept} of 600 notes are in the model");
    // A name is a name still, however often it differs.
    let names = batch(vec![
        (
            "run",
            texts(&(0..600).map(|row| format!("run-{row}")).collect::<Vec<_>>()),
        ),
        ("x", floats((0..600).map(f64::from))),
        ("y", floats((0..600).map(f64::from))),
    ]);
    assert_eq!(fit(&names, "y", 1).unwrap().features().len(), 1);
}

/// Known catalysts and new ones, which all are answered as the average one: ties everywhere. Each experiment stands there twice, and more often
/// with another base, which the model has no column for.
fn candidates(temperatures: usize) -> RecordBatch {
    let (mut id, mut catalyst, mut base, mut temperature) = (vec![], vec![], vec![], vec![]);
    for c in 0..12 {
        for t in 0..temperatures {
            for b in 0..2 {
                id.push(format!("{c}-{t}-{b}"));
                catalyst.push(if c < 6 { format!("cat-{c}") } else { format!("new-{c}") });
                base.push(format!("base-{b}"));
                temperature.push(20.0 + 100.0 * t as f64 / temperatures as f64);
            }
        }
    }
    let once = batch(vec![
        ("id", texts(&id)),
        ("catalyst", texts(&catalyst)),
        ("base", texts(&base)),
        ("temperature", floats(temperature)),
    ]);
    arrow::compute::concat_batches(&once.schema(), [&once, &once]).unwrap()
}

#[test]
fn the_order_of_candidates_decides_nothing_and_no_experiment_comes_twice() {
    let table = reactions(300, 531);
    let names = ["catalyst", "temperature", "yield_pct"];
    let known = batch(names.map(|name| (name, Arc::clone(&table[name]))).to_vec());
    let model = Arc::new(fit(&known, "yield_pct", 5).unwrap());
    // More than are doubted at once, and more than are doubted at all.
    let all = candidates(400);
    for (strategy, warns) in [
        (Strategy::Exploit, false),
        (Strategy::Exploit, true),
        (Strategy::Bayes, false),
        (Strategy::Thompson, false),
    ] {
        let list = |rows: &RecordBatch, size: usize| {
            let new = Recommender::new(Arc::clone(&model), rows.schema(), 40, warns).unwrap();
            let mut list = new.by(strategy).unwrap();
            for from in (0..rows.num_rows()).step_by(size) {
                list.push(&rows.slice(from, size.min(rows.num_rows() - from))).unwrap();
            }
            list.finish().unwrap()
        };
        let first = list(&all, 8_192);
        assert_eq!(first.num_rows(), 40);
        // Doubt takes its time.
        let again = if strategy == Strategy::Exploit { 3 } else { 1 };
        for (seed, size) in [(532, 700), (533, 8_192), (534, 5_000)].into_iter().take(again) {
            assert_eq!(list(&shuffled(&all, seed), size), first, "{strategy:?}, {warns}");
        }
        let (catalyst, heat) = (
            first["catalyst"].as_string::<i32>(),
            first["temperature"].as_primitive::<Float64Type>(),
        );
        let different: BTreeSet<(&str, u64)> = (0..40)
            .map(|row| (catalyst.value(row), heat.value(row).to_bits()))
            .collect();
        assert_eq!(different.len(), 40, "{strategy:?}");
    }
    // Of fewer experiments than are asked for there is each once: those of another temperature are others.
    let few = candidates(2);
    let mut list = Recommender::new(model, few.schema(), 40, false).unwrap();
    list.push(&few).unwrap();
    assert_eq!((few.num_rows(), list.finish().unwrap().num_rows()), (96, 24));
}
