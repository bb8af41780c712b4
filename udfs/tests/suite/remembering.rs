//! Answers that were given before are given again bit by bit, whatever else is asked beside them.

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, take_record_batch};
use labhouse_udfs::{Cancel, Model, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, texts};

const SOLVENTS: [&str; 6] = ["CCO", "CC(C)=O", "c1ccccc1", "CN(C)C=O", "CC#N", "C1CCOC1"];

/// Levels, molecules and a number of few values; now and then something that no training had.
fn runs(rows: usize, seed: u64, strange: bool) -> RecordBatch {
    let mut dice = Dice(seed);
    let (mut base, mut solvent, mut heat, mut y) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let (b, s, t) = (dice.below(5), dice.below(6), 10.0 * dice.below(8) as f64);
        let odd = strange && dice.below(10) == 0;
        base.push(if odd && dice.below(2) == 0 {
            "base-new".to_owned()
        } else {
            format!("base-{b}")
        });
        solvent.push(if odd {
            ["CCCCO", "no molecule", "CCOCC"][dice.below(3)]
        } else {
            SOLVENTS[s]
        });
        heat.push(if odd && dice.below(3) == 0 { f64::NAN } else { t });
        y.push(10.0 * b as f64 + if b % 2 == 0 { 7.0 * s as f64 } else { 0.2 * t } + dice.share());
    }
    batch(vec![
        ("base", texts(&base)),
        ("solvent_smiles", texts(&solvent)),
        ("heat", floats(heat)),
        ("y", floats(y)),
    ])
}

fn columns(model: &Model, rows: &RecordBatch) -> Vec<ArrayRef> {
    model.features().iter().map(|f| rows[f.name.as_str()].clone()).collect()
}

fn bits(answers: &Float64Array) -> Vec<u64> {
    answers.values().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_remembered_answer_is_the_computed_one() {
    let model = fit(&runs(300, 1, false), "y", 20).unwrap();
    let chosen = model.card().into_iter().find(|(key, _)| key == "chosen");
    println!("{chosen:?}");
    let asked = runs(3_000, 2, true);
    let first = bits(&model.predict(&columns(&model, &asked)).unwrap());
    assert_eq!(
        bits(&model.predict(&columns(&model, &asked)).unwrap()),
        first,
        "asked again"
    );
    // A model that remembers nothing, asked in another order and in parts.
    let fresh = Model::from_bytes(&model.to_bytes()).unwrap();
    let mut order: Vec<u32> = (0..3_000).collect();
    order.sort_by_key(|row| (row * 7_919) % 3_001);
    let turned = take_record_batch(&asked, &UInt32Array::from(order.clone())).unwrap();
    for (part, rows) in order.chunks(250).enumerate() {
        let slice = turned.slice(part * 250, 250);
        let answers = bits(&fresh.predict(&columns(&fresh, &slice)).unwrap());
        for (row, answer) in rows.iter().zip(answers) {
            assert_eq!(answer, first[*row as usize], "row {row}");
        }
    }
    // One row at a time, by a third that knows none of them.
    let fresh = Model::from_bytes(&model.to_bytes()).unwrap();
    for row in (0..3_000).step_by(97) {
        let answer = bits(&fresh.predict(&columns(&fresh, &asked.slice(row, 1))).unwrap());
        assert_eq!(answer[0], first[row], "row {row}");
    }
}

#[test]
fn numbers_that_never_come_again_are_answered_as_well() {
    let mut dice = Dice(3);
    let x: Vec<f64> = (0..400).map(|_| dice.share()).collect();
    let table = batch(vec![
        ("x", floats(x.clone())),
        ("y", floats(x.iter().map(|x| (5.0 * x).sin()))),
    ]);
    let model = fit(&table, "y", 10).unwrap();
    let fresh = Model::from_bytes(&model.to_bytes()).unwrap();
    // More different values than are remembered, twice: before and after remembering was given up.
    let many: ArrayRef = floats((0..10_000).map(|_| dice.share()));
    let once = bits(&model.predict(std::slice::from_ref(&many)).unwrap());
    assert_eq!(bits(&model.predict(std::slice::from_ref(&many)).unwrap()), once);
    let parts: Vec<ArrayRef> = (0..10)
        .map(|part| {
            let slice = many.slice(part * 1_000, 1_000);
            std::sync::Arc::new(fresh.predict(&[slice]).unwrap()) as ArrayRef
        })
        .collect();
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let whole = concat(&parts).unwrap();
    let whole = whole.as_any().downcast_ref::<Float64Array>().unwrap();
    assert_eq!(bits(whole), once);
}

#[test]
fn several_threads_ask_one_model() {
    let model = fit(&runs(200, 4, false), "y", 5).unwrap();
    let asked = runs(2_000, 5, true);
    let alone = Model::from_bytes(&model.to_bytes()).unwrap();
    let told = bits(&alone.predict(&columns(&alone, &asked)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (model, asked, told) = (&model, &asked, &told);
            scope.spawn(move || {
                for part in 0..8 {
                    let from = ((part + thread * 3) % 8) * 250;
                    let slice = asked.slice(from, 250);
                    let answers = bits(&model.predict(&columns(model, &slice)).unwrap());
                    assert_eq!(answers, told[from..from + 250]);
                }
            });
        }
    });
}

#[test]
fn more_threads_train_the_same_model() {
    let table = runs(250, 6, false);
    let with = |threads| {
        let options = TrainOptions {
            threads,
            ..options("y", 600)
        };
        train(std::slice::from_ref(&table), &options, &Cancel::default(), &|_| ()).unwrap()
    };
    assert_eq!(with(1).to_bytes(), with(3).to_bytes());
}
