//! Next experiments: what was run is left out, a batch is spread, and a campaign finds the best conditions soon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Float64Type;
use labhouse_udfs::{Cancel, Model, PredictError, Recommender, Strategy, TrainOptions, train};

use crate::data::{Dice, batch, fit, floats, options, read_csv, texts};
use crate::training::reactions;

const ARYLATION: &str = "/work/shared/data/optimisation/direct_arylation_named.csv";

fn recommended(model: &Arc<Model>, candidates: &RecordBatch, k: usize, strategy: Strategy) -> RecordBatch {
    let new = Recommender::new(Arc::clone(model), candidates.schema(), k, false).unwrap();
    let mut recommender = new.only_new().by(strategy).unwrap();
    for from in (0..candidates.num_rows()).step_by(500) {
        recommender
            .push(&candidates.slice(from, 500.min(candidates.num_rows() - from)))
            .unwrap();
    }
    recommender.finish().unwrap()
}

#[test]
fn what_was_run_is_not_recommended_again() {
    let table = reactions(300, 61);
    let model = Arc::new(fit(&table, "yield_pct", 10).unwrap());
    let (run, new) = (table.slice(0, 300), reactions(300, 62));
    let both = arrow::compute::concat_batches(&table.schema(), [&run, &new]).unwrap();
    for strategy in [Strategy::Exploit, Strategy::Bayes] {
        let list = recommended(&model, &both, 50, strategy);
        assert_eq!(list.num_rows(), 50);
        let known: BTreeSet<u64> = table["temperature"]
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .map(|t| t.to_bits())
            .collect();
        let temperatures = list["temperature"].as_primitive::<Float64Type>();
        assert!(
            temperatures.values().iter().all(|t| !known.contains(&t.to_bits())),
            "{strategy:?}"
        );
    }
    // Without the wish they are: the best rows run are among the best rows.
    let mut all = Recommender::new(Arc::clone(&model), both.schema(), 600, false).unwrap();
    all.push(&both).unwrap();
    assert_eq!(all.finish().unwrap().num_rows(), 600);
}

#[test]
fn a_batch_is_spread_and_a_model_of_classes_has_none() {
    let model = Arc::new(fit(&reactions(25, 63), "yield_pct", 10).unwrap());
    let candidates = reactions(2_000, 64);
    let different = |strategy| {
        let list = recommended(&model, &candidates, 10, strategy);
        let (catalyst, base) = (
            list["catalyst"].as_string::<i32>().clone(),
            list["base"].as_string::<i32>().clone(),
        );
        let heat = list["temperature"].as_primitive::<Float64Type>().clone();
        let cells = (0..10).map(|row| {
            (
                catalyst.value(row).to_owned(),
                base.value(row).to_owned(),
                (heat.value(row) / 10.0) as i64,
            )
        });
        cells.collect::<BTreeSet<_>>().len()
    };
    assert!(different(Strategy::Bayes) > different(Strategy::Exploit));
    assert_eq!("bayes".parse::<Strategy>().unwrap(), Strategy::Bayes);
    assert!(matches!("luck".parse::<Strategy>(), Err(PredictError::NoStrategy(_))));

    let words = batch(vec![
        ("base", texts(&["a", "b"].repeat(50))),
        ("outcome", texts(&["good", "bad"].repeat(50))),
    ]);
    let classes = Arc::new(fit(&words, "outcome", 2).unwrap());
    let by_class = || Recommender::wanting(Arc::clone(&classes), words.schema(), 5, false, Some("good")).unwrap();
    assert!(matches!(by_class().by(Strategy::Bayes), Err(PredictError::NoSurrogate)));
    assert!(by_class().by(Strategy::Exploit).is_ok());
    let warnings = Recommender::new(model, candidates.schema(), 5, true).unwrap();
    assert!(matches!(warnings.by(Strategy::Bayes), Err(PredictError::NoSurrogate)));
}

#[test]
fn conditions_that_were_never_tried_are_told_apart() {
    let grid = |catalysts: std::ops::Range<usize>| {
        let rows: Vec<(usize, f64)> = catalysts
            .flat_map(|c| (0..6).map(move |t| (c, 50.0 + 10.0 * f64::from(t))))
            .collect();
        let names: Vec<String> = rows.iter().map(|(c, _)| format!("cat-{c}")).collect();
        let yields = rows
            .iter()
            .map(|(c, t)| 30.0 + 15.0 * *c as f64 - (t - 80.0).powi(2) / 100.0);
        batch(vec![
            ("catalyst", texts(&names)),
            ("temperature", floats(rows.iter().map(|(_, t)| *t))),
            ("yield_pct", floats(yields)),
        ])
    };
    let model = Arc::new(fit(&grid(0..3), "yield_pct", 5).unwrap());
    let list = recommended(&model, &grid(3..12), 6, Strategy::Bayes);
    let tried = list["catalyst"]
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect::<BTreeSet<_>>()
        .len();
    assert!(tried >= 5, "six experiments try {tried} of nine new catalysts");
}

/// Batches of five, the first one random: how many experiments until the first yield of the top percent.
fn campaign(table: &RecordBatch, target: &str, seed: u64, rounds: usize) -> Option<usize> {
    let yields: Vec<f64> = arrow::compute::cast(&table[target], &arrow::datatypes::DataType::Float64)
        .unwrap()
        .as_primitive::<Float64Type>()
        .values()
        .to_vec();
    let mut sorted = yields.clone();
    sorted.sort_by(f64::total_cmp);
    let bar = sorted[sorted.len() - sorted.len().div_ceil(100)];
    let numbers: ArrayRef = Arc::new((0..table.num_rows() as u32).collect::<UInt32Array>());
    let mut columns: Vec<(&str, ArrayRef)> = vec![("_row", numbers)];
    let schema = table.schema();
    columns.extend(
        schema
            .fields()
            .iter()
            .map(|field| (field.name().as_str(), table[field.name().as_str()].clone())),
    );
    let table = batch(columns);
    let mut dice = Dice(seed);
    let mut run: Vec<u32> = Vec::new();
    while run.len() < 5 {
        let row = dice.below(yields.len()) as u32;
        if !run.contains(&row) {
            run.push(row);
        }
    }
    for round in 0..rounds {
        if let Some(place) = run.iter().position(|row| yields[*row as usize] >= bar) {
            return Some(place + 1);
        }
        if round + 1 == rounds {
            break;
        }
        let seen = take_record_batch(&table, &UInt32Array::from(run.clone())).unwrap();
        let options = TrainOptions {
            time_budget: Duration::from_millis(1),
            ..options(target, 1)
        };
        let next: Vec<u32> = match train(&[seen], &options, &Cancel::default(), &|_| ()) {
            Ok(model) => {
                let list = recommended(&Arc::new(model), &table, 5, Strategy::Bayes);
                list["_row"]
                    .as_primitive::<arrow::datatypes::UInt32Type>()
                    .values()
                    .to_vec()
            }
            // Five equal yields teach nothing: five more at random.
            Err(_) => (0..5).map(|_| dice.below(yields.len()) as u32).collect(),
        };
        run.extend(next);
    }
    None
}

/// The bar, from structures and from names: a median of at most 20 experiments, and found within 50 every time. Names that share words are taken
/// for alike.
#[test]
#[ignore = "takes some minutes: cargo nextest run --workspace --run-ignored all --no-capture -E 'test(a_campaign_finds)'"]
fn a_campaign_finds_a_top_yield_soon() {
    if !std::path::Path::new(ARYLATION).exists() {
        println!("skipped: {ARYLATION} is not here");
        return;
    }
    println!("| table | campaigns | median experiments | found within 50 | worst |\n|---|---|---|---|---|");
    let mut reached = Vec::new();
    let seeds = std::env::var("LABHOUSE_BENCH_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(50);
    let only = std::env::var("LABHOUSE_BENCH_TABLE").unwrap_or_default();
    let tables = [(ARYLATION.to_owned(), false), (ARYLATION.replace("_named", ""), true)];
    for (path, from_structures) in tables {
        if !only.is_empty() && (only == "structures") != from_structures {
            continue;
        }
        let whole = read_csv(&path);
        let columns = if from_structures {
            ["Base_SMILES", "Ligand_SMILES", "Solvent_SMILES"]
        } else {
            ["Base", "Ligand", "Solvent"]
        };
        let wanted = columns.into_iter().chain(["Concentration", "Temp_C", "yield"]);
        let wanted: Vec<usize> = wanted.map(|name| whole.schema().index_of(name).unwrap()).collect();
        let table = whole.project(&wanted).unwrap();
        let target = "yield";
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let mut needed: Vec<usize> = std::thread::scope(|scope| {
            let run = |first: u64| {
                let table = &table;
                let mine = (first..seeds).step_by(threads as usize);
                scope.spawn(move || {
                    mine.map(|seed| campaign(table, target, seed, 10).unwrap_or(usize::MAX))
                        .collect::<Vec<_>>()
                })
            };
            let all: Vec<_> = (0..threads).map(run).collect();
            all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        needed.sort_unstable();
        let found = needed.iter().filter(|n| **n <= 50).count();
        println!(
            "| {} | {seeds} | {} | {} % | {} |",
            if from_structures { "structures" } else { "names" },
            needed[needed.len() / 2],
            100 * found / needed.len(),
            needed.last().map_or_else(String::new, |n| if *n == usize::MAX {
                "not found".to_owned()
            } else {
                n.to_string()
            })
        );
        reached.push((needed[needed.len() / 2], found == needed.len()));
    }
    println!("{reached:?}");
    let [names, structures] = reached.as_slice() else {
        return;
    };
    assert!(names.0 <= 20 && names.1, "{names:?}");
    assert!(structures.0 <= 20 && structures.1, "{structures:?}");
}
