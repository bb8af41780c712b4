//! What is wanted: as many experiments as were asked for, the least where that is the goal, none that was run, and what is new in each.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Float64Type;
use labhouse_udfs::{
    Cancel, Goal, KnownExperiments, Model, PredictError, Recommender, Strategy, TrainError, TrainOptions, train,
};

use crate::data::{Dice, batch, fit, floats, options, texts};
use crate::training::reactions;

fn temperatures(rows: &RecordBatch) -> BTreeSet<u64> {
    let column = rows["temperature"].as_primitive::<Float64Type>();
    column.values().iter().map(|value| value.to_bits()).collect()
}

fn list(model: &Arc<Model>, candidates: &RecordBatch, k: usize, warns: bool, strategy: Strategy) -> RecordBatch {
    let list = Recommender::new(Arc::clone(model), candidates.schema(), k, warns).unwrap();
    let mut list = list.only_new().by(strategy).unwrap();
    list.push(candidates).unwrap();
    list.finish().unwrap()
}

fn predictions(rows: &RecordBatch) -> Vec<f64> {
    rows["prediction"].as_primitive::<Float64Type>().values().to_vec()
}

#[test]
fn a_batch_has_as_many_experiments_as_were_asked_for_if_there_are_as_many() {
    let run = reactions(400, 511);
    let model = Arc::new(fit(&run, "yield_pct", 3).unwrap());
    // One batch: what was run, eight times, and five thousand that were not.
    let new = reactions(5_000, 512);
    let all: Vec<&RecordBatch> = std::iter::repeat_n(&run, 8).chain([&new]).collect();
    let candidates = concat_batches(&run.schema(), all).unwrap();
    for strategy in [Strategy::Bayes, Strategy::Thompson] {
        let picked = list(&model, &candidates, 1_000, false, strategy);
        assert_eq!(picked.num_rows(), 1_000, "{strategy:?}");
        assert!(temperatures(&picked).is_disjoint(&temperatures(&run)));
    }
    // Nor more than there are.
    let few = candidates.slice(3_150, 80);
    assert_eq!(list(&model, &few, 1_000, false, Strategy::Bayes).num_rows(), 30);
}

#[test]
fn the_order_of_candidates_does_not_choose_among_them() {
    let model = Arc::new(fit(&reactions(400, 513), "yield_pct", 3).unwrap());
    let candidates = reactions(3_000, 514);
    let backwards = (0..3_000_u32).rev().collect::<arrow::array::UInt32Array>();
    let backwards = take_record_batch(&candidates, &backwards).unwrap();
    let picked = |rows: &RecordBatch| temperatures(&list(&model, rows, 20, false, Strategy::Bayes));
    assert_eq!(picked(&candidates), picked(&backwards));
}

fn least(table: &RecordBatch) -> Arc<Model> {
    let options = TrainOptions {
        goal: Goal::Min,
        ..options("yield_pct", 3)
    };
    Arc::new(train(std::slice::from_ref(table), &options, &Cancel::default(), &|_| ()).unwrap())
}

#[test]
fn where_less_is_wanted_the_least_comes_first_and_warnings_are_of_the_most() {
    let table = reactions(300, 515);
    let (most, least) = (Arc::new(fit(&table, "yield_pct", 3).unwrap()), least(&table));
    assert!(least.card().contains(&("goal".to_owned(), "min".to_owned())));
    let stored = Model::from_bytes(&least.to_bytes()).unwrap();
    let candidates = reactions(2_000, 516);
    for model in [&least, &Arc::new(stored)] {
        let best = predictions(&list(model, &candidates, 20, false, Strategy::Exploit));
        assert!(best.is_sorted(), "{best:?}");
        let warned = predictions(&list(model, &candidates, 20, true, Strategy::Exploit));
        assert!(warned.iter().rev().is_sorted() && warned[0] > best[19]);
        for strategy in [Strategy::Bayes, Strategy::Thompson] {
            let picked = predictions(&list(model, &candidates, 20, false, strategy));
            let usual = predictions(&list(&most, &candidates, 20, false, strategy));
            let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
            assert!(
                mean(&picked) + 10.0 < mean(&usual),
                "{strategy:?}: {} {}",
                mean(&picked),
                mean(&usual)
            );
        }
    }
    // Nothing warns by doubt, whatever is wanted.
    let warning = Recommender::new(Arc::clone(&least), candidates.schema(), 5, true).unwrap();
    assert!(matches!(warning.by(Strategy::Bayes), Err(PredictError::NoSurrogate)));
    // The best known experiment is the least one.
    let mut known = KnownExperiments::new(least, candidates.schema(), &table.schema()).unwrap();
    known.push(&table).unwrap();
    let lowest = table["yield_pct"]
        .as_primitive::<Float64Type>()
        .iter()
        .flatten()
        .fold(f64::INFINITY, f64::min);
    assert_eq!(known.finish().unwrap()[0].measured, Some(lowest));
}

#[test]
fn to_want_the_least_of_a_class_is_refused() {
    let table = batch(vec![
        ("x", floats((0..60).map(f64::from))),
        (
            "outcome",
            texts(&(0..60).map(|i| if i > 30 { "yes" } else { "no" }).collect::<Vec<_>>()),
        ),
    ]);
    let options = TrainOptions {
        goal: Goal::Min,
        ..options("outcome", 1)
    };
    let refused = train(&[table], &options, &Cancel::default(), &|_| ()).unwrap_err();
    assert!(matches!(refused, TrainError::GoalOfClasses(_)) && refused.to_string().contains("class="));
    assert!("least".parse::<Goal>().unwrap_err().to_string().contains("'min'"));
}

#[test]
fn what_is_new_is_said_where_there_is_no_interval_to_widen() {
    let novel = |list: &RecordBatch| -> Vec<Option<String>> {
        let told = list["novel"].as_string::<i32>().iter();
        told.map(|told| told.map(str::to_owned)).collect()
    };
    // A model of classes.
    let mut dice = Dice(517);
    let x: Vec<f64> = (0..200).map(|_| dice.share()).collect();
    let base: Vec<String> = (0..200).map(|row| format!("b{}", row % 4)).collect();
    let outcome: Vec<&str> = x.iter().map(|x| if *x > 0.5 { "yes" } else { "no" }).collect();
    let table = batch(vec![
        ("x", floats(x)),
        ("base", texts(&base)),
        ("outcome", texts(&outcome)),
    ]);
    let model = Arc::new(fit(&table, "outcome", 2).unwrap());
    let asked = batch(vec![
        ("x", floats([0.9, 0.9, 7.0])),
        ("base", texts(&["b1", "other", "b2"])),
    ]);
    let ask = |model: &Arc<Model>, asked: &RecordBatch| {
        let mut list = Recommender::new(Arc::clone(model), asked.schema(), 3, false).unwrap();
        list.push(asked).unwrap();
        list.finish().unwrap()
    };
    let said: BTreeSet<Option<String>> = novel(&ask(&model, &asked)).into_iter().collect();
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(said, BTreeSet::from([None, some("base"), some("x")]));
    // Seven rows, too few for an interval of nine in ten.
    let few = batch(vec![
        ("x", floats((0..7).map(f64::from))),
        ("y", floats((0..7).map(|i| f64::from(i * i)))),
    ]);
    let model = Arc::new(fit(&few, "y", 1).unwrap());
    let list = ask(&model, &batch(vec![("x", floats([3.0, 900.0]))]));
    assert_eq!(list["upper"].null_count(), 2);
    let said: BTreeSet<Option<String>> = novel(&list).into_iter().collect();
    assert_eq!(said, BTreeSet::from([None, some("x")]));
}

#[test]
fn an_experiment_of_a_level_too_rare_to_be_known_is_not_recommended_again() {
    // Each of 10,400 reagents twice: 400 of them are more than a model knows by name.
    let names: Vec<String> = (0..20_800).map(|row| format!("reagent-{}", row % 10_400)).collect();
    let heat: Vec<f64> = (0..20_800).map(|row| f64::from(row % 97)).collect();
    let table = batch(vec![
        ("reagent", texts(&names)),
        ("heat", floats(heat.iter().copied())),
        ("y", floats(heat.iter().map(|heat| heat * 2.0))),
    ]);
    let model = Arc::new(fit(&table, "y", 1).unwrap());
    let left = |rows: &RecordBatch| {
        let mut list = Recommender::new(Arc::clone(&model), rows.schema(), 2_000, false)
            .unwrap()
            .only_new();
        list.push(rows).unwrap();
        list.finish().unwrap().num_rows()
    };
    assert_eq!(left(&table), 0);
    let never: Vec<ArrayRef> = vec![texts(&["reagent-1", "somebody else's"]), floats([1_000.0, 1.0])];
    let never = batch(vec![
        ("reagent", Arc::clone(&never[0])),
        ("heat", Arc::clone(&never[1])),
    ]);
    assert_eq!(left(&never), 2);
}
