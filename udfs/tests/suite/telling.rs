//! What a model tells of itself: nothing of columns that somebody may not see, no more than its rows can speak for, the same each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use labhouse_udfs::{
    Cancel, Drift, Model, PredictError, Recommender, Runs, SeenRuns, Sight, Strategy, TrainOptions, predict_udf_to,
    train,
};

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use crate::data::{Dice, batch, fit, floats, options, texts};
use crate::training::reactions;

fn model() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(fit(&reactions(400, 301), "yield_pct", 5).unwrap())))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Sees no catalyst, masked bases and some temperatures only.
fn sight() -> Arc<Sight> {
    Arc::new(Sight {
        unnamed: set(&["catalyst"]),
        untold: set(&["catalyst", "base"]),
        unvalued: set(&["catalyst", "base", "temperature", "yield_pct"]),
    })
}

#[test]
fn what_may_not_be_told_is_in_no_answer_and_no_error() {
    let (model, sight) = (model(), sight());
    let row: Vec<ArrayRef> = vec![texts(&["cat-7"]), texts(&["base-9"]), floats([80.0])];
    let told = |batch: &RecordBatch| -> Vec<String> {
        let names = batch["feature"].as_string::<i32>();
        names.iter().flatten().map(str::to_owned).collect()
    };
    assert_eq!(told(&model.importance_to(&sight).unwrap()), ["temperature"]);
    assert_eq!(told(&model.importance_to(&Sight::default()).unwrap()).len(), 3);
    assert_eq!(told(&model.explanation_to(&row, &sight).unwrap()), ["temperature"]);
    let card = model.card_to(&sight);
    assert!(!card.iter().any(|(key, _)| key == "target_range"));
    let text = format!("{card:?}");
    assert!(
        !text.contains("catalyst") && !text.contains("base") && text.contains("temperature"),
        "{text}"
    );
    assert_eq!(model.card_to(&Sight::default()), model.card());

    for feature in ["catalyst", "base"] {
        let hidden = model.partial_dependence_to(feature, &sight).unwrap_err().to_string();
        let absent = model.partial_dependence_to("colour", &sight).unwrap_err().to_string();
        assert_eq!(hidden, absent.replace("colour", feature));
    }
    assert!(matches!(
        model.partial_dependence_to("temperature", &sight),
        Err(PredictError::NotWhole(_))
    ));
    assert!(model.partial_dependence_to("base", &Sight::default()).is_ok());

    let found = model.interval_to(&row, 1, 0.9, &sight).unwrap();
    let novel = found
        .column_by_name("novel")
        .unwrap()
        .as_string::<i32>()
        .value(0)
        .to_owned();
    assert_eq!(novel, "unknown");
    assert!(found.column_by_name("in_domain").unwrap().is_null(0));
    let short = model.interval_to(&row[..1], 1, 0.9, &sight).unwrap_err().to_string();
    assert!(
        short.contains("missing: base, temperature") && !short.contains("catalyst"),
        "{short}"
    );
    let lengths: Vec<ArrayRef> = vec![texts(&["a", "b"]), texts(&["c"]), floats([1.0, 2.0, 3.0])];
    let lengths = model.interval_to(&lengths, 3, 0.9, &sight).unwrap_err().to_string();
    assert!(lengths.contains("'?'"), "{lengths}");

    let candidates = reactions(30, 302);
    let mut list = Recommender::new(Arc::clone(&model), candidates.schema(), 30, false)
        .unwrap()
        .to(Arc::clone(&sight));
    list.push(&candidates).unwrap();
    let list = list.finish().unwrap();
    let reasons: Vec<&str> = list["reason"].as_string::<i32>().iter().flatten().collect();
    assert!(
        reasons
            .iter()
            .all(|reason| !reason.contains("catalyst") && !reason.contains("base")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("temperature")),
        "{reasons:?}"
    );

    let mut drift = Drift::new(Arc::clone(&model), &candidates.schema()).unwrap().to(&sight);
    drift.push(&candidates).unwrap();
    let drift = drift.finish().unwrap();
    assert_eq!(told(&drift), ["temperature"]);
    assert_eq!(drift["verdict"].as_string::<i32>().value(0), "not told");
}

#[tokio::test]
async fn a_function_names_only_what_may_be_named() {
    let session = datafusion::prelude::SessionContext::new();
    session.register_udf(predict_udf_to("ask", model(), sight()));
    for sql in [
        "SELECT ask('x')",
        "SELECT ask('x', base => 'y', heat => 1)",
        "SELECT ask(make_array(1), 'x', 1)",
    ] {
        let error = session.sql(sql).await.unwrap_err().to_string();
        assert!(!error.contains("catalyst"), "{error}");
    }
    let named = session
        .sql("SELECT ask('cat-1', temperature => 80, base => 'base-1')")
        .await;
    assert!(named.is_ok(), "{named:?}");
}

#[test]
fn another_asker_gets_the_same_answers_from_a_memory_of_his_own() {
    let model = model();
    let rows = reactions(200, 303);
    let columns: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| Arc::clone(&rows[f.name.as_str()]))
        .collect();
    let first = model.predict(&columns).unwrap();
    let other = model.apart();
    assert_eq!(other.predict(&columns).unwrap(), first);
    assert_eq!((other.digest(), other.to_bytes()), (model.digest(), model.to_bytes()));
}

#[test]
fn only_runs_that_somebody_sees_are_left_out_for_him() {
    let table = reactions(300, 304);
    let model = Arc::new(fit(&table, "yield_pct", 5).unwrap());
    let names = ["catalyst", "base", "temperature"].map(str::to_owned);
    let mut seen = SeenRuns::new(Arc::clone(&model), &table.schema(), &names).unwrap();
    seen.push(&table.slice(0, 100)).unwrap();
    // Rows that the model was not trained on are no runs of it.
    seen.push(&reactions(50, 305)).unwrap();
    let left = |runs: Runs| {
        let list = Recommender::new(Arc::clone(&model), table.schema(), 300, false).unwrap();
        let mut list = list.without(runs);
        list.push(&table).unwrap();
        list.finish().unwrap().num_rows()
    };
    let seen = seen.finish();
    assert!(matches!(&seen, Runs::Seen(rows) if rows.len() == 100));
    assert_eq!((left(Runs::None), left(seen), left(Runs::All)), (300, 200, 0));
    assert!(SeenRuns::new(Arc::clone(&model), &table.schema(), &names[..2]).is_none());
}

#[test]
fn the_training_rows_have_not_moved_whatever_is_null_or_rare_in_them() {
    let mut dice = Dice(306);
    let rows = 3_000;
    let x: Float64Array = (0..rows).map(|_| (dice.share() > 0.1).then(|| dice.share())).collect();
    let level: StringArray = (0..rows)
        .map(|_| (dice.share() > 0.1).then(|| format!("L{}", dice.below(80))))
        .collect();
    let y: Vec<f64> = (0..rows)
        .map(|row| if x.is_null(row) { 1.0 } else { x.value(row) } + 0.1 * dice.share())
        .collect();
    let table = batch(vec![("x", Arc::new(x)), ("level", Arc::new(level)), ("y", floats(y))]);
    let model = Arc::new(fit(&table, "y", 2).unwrap());
    let verdicts = |table: &RecordBatch| {
        let mut drift = Drift::new(Arc::clone(&model), &table.schema()).unwrap();
        drift.push(table).unwrap();
        let told = drift.finish().unwrap();
        let (names, said) = (
            told["feature"].as_string::<i32>().clone(),
            told["verdict"].as_string::<i32>().clone(),
        );
        (0..told.num_rows())
            .map(|row| (names.value(row).to_owned(), said.value(row).to_owned()))
            .collect::<BTreeSet<_>>()
    };
    assert!(
        verdicts(&table).iter().all(|(_, said)| said == "stable"),
        "{:?}",
        verdicts(&table)
    );
    // All NULL, and all of one rare level.
    let nulls: ArrayRef = arrow::array::new_null_array(&arrow::datatypes::DataType::Float64, 500);
    let other = batch(vec![("x", nulls), ("level", texts(&["L3"; 500]))]);
    assert!(
        verdicts(&other).iter().all(|(_, said)| said == "moved"),
        "{:?}",
        verdicts(&other)
    );
    let curve = model.partial_dependence("level").unwrap();
    let shares: f64 = curve["share"].as_primitive::<Float64Type>().iter().flatten().sum();
    assert!(shares < 0.6, "24 of 80 levels are not all rows: {shares}");
}

fn outcomes(names: [&str; 2]) -> RecordBatch {
    let mut dice = Dice(307);
    let x: Vec<f64> = (0..200).map(|_| dice.share()).collect();
    let told: Vec<&str> = x.iter().map(|x| names[usize::from(*x > 0.5)]).collect();
    batch(vec![("x", floats(x.clone())), ("outcome", texts(&told))])
}

#[test]
fn the_wanted_class_is_named_and_a_probability_has_no_interval() {
    let table = outcomes(["product", "inert"]);
    let model = Arc::new(fit(&table, "outcome", 2).unwrap());
    let by = |class| Recommender::wanting(Arc::clone(&model), table.schema(), 5, false, class);
    let unsaid = by(None).unwrap_err().to_string();
    assert!(
        unsaid.contains("class=") && unsaid.contains("inert, product"),
        "{unsaid}"
    );
    assert!(matches!(by(Some("gas")), Err(PredictError::NoClass { .. })));
    for (class, low) in [("product", true), ("inert", false)] {
        let mut list = by(Some(class)).unwrap();
        list.push(&table).unwrap();
        let list = list.finish().unwrap();
        let x = list["x"].as_primitive::<Float64Type>();
        assert!(x.values().iter().all(|x| (*x < 0.5) == low), "{class}: {x:?}");
        assert_eq!((list["lower"].null_count(), list["upper"].null_count()), (5, 5));
        assert!(list["prediction"].as_primitive::<Float64Type>().value(0) > 0.8);
    }
    // What says yes by its name needs no word.
    let table = outcomes(["no", "yes"]);
    let model = Arc::new(fit(&table, "outcome", 2).unwrap());
    let mut list = Recommender::new(model, table.schema(), 5, false).unwrap();
    list.push(&table).unwrap();
    let list = list.finish().unwrap();
    assert!(
        list["x"]
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .all(|x| *x > 0.5)
    );
    let number = Recommender::wanting(self::model(), reactions(5, 1).schema(), 5, false, Some("good"));
    assert!(matches!(number, Err(PredictError::NoClasses)));
}

#[test]
fn no_coverage_is_claimed_that_too_few_rows_speak_for() {
    let table = reactions(30, 308);
    let model = fit(&table, "yield_pct", 2).unwrap();
    let columns: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| table[f.name.as_str()].slice(0, 1))
        .collect();
    let refused = model.interval(&columns, 1, 0.99).unwrap_err();
    assert!(
        matches!(refused, PredictError::Coverage { most, .. } if (most - 30.0 / 31.0).abs() < 1e-9),
        "{refused}"
    );
    let found = model.interval(&columns, 1, 0.9).unwrap();
    assert!(found.column_by_name("upper").unwrap().is_valid(0));
    assert!(model.residual_quantile(0.99).is_infinite() && model.residual_quantile(0.9).is_finite());
    // Four bases cannot say what a fifth does in nine cases of ten.
    let model = fit(&reactions(600, 309), "yield_pct", 5).unwrap();
    let new: Vec<ArrayRef> = vec![texts(&["cat-1"]), texts(&["base-new"]), floats([80.0])];
    let found = model.interval(&new, 1, 0.9).unwrap();
    let of = |name: &str| Arc::clone(found.column_by_name(name).unwrap());
    assert!(of("lower").is_null(0) && of("upper").is_null(0) && of("mean").is_valid(0));
    let half = model.interval(&new, 1, 0.5).unwrap();
    assert!(half.column_by_name("upper").unwrap().is_valid(0));
}

#[test]
fn what_the_clock_left_out_is_left_out_again_when_a_training_is_replayed() {
    let table = reactions(1_500, 310);
    let hurried = TrainOptions {
        time_budget: Duration::from_millis(700),
        threads: 2,
        ..options("yield_pct", 1)
    };
    let train =
        |options: &TrainOptions| train(std::slice::from_ref(&table), options, &Cancel::default(), &|_| ()).unwrap();
    let first = train(&hurried);
    let notes: Vec<String> = first.leaderboard()["note"]
        .as_string::<i32>()
        .iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    assert!(notes.iter().any(|note| note.contains("time budget")), "{notes:?}");
    assert!(
        notes.iter().all(|note| !note.contains(|c: char| c.is_ascii_digit())),
        "{notes:?}"
    );
    let stored = Model::from_bytes(&first.to_bytes()).unwrap();
    let again = train(&TrainOptions {
        replay: Some(stored.replay()),
        threads: 1,
        ..hurried
    });
    assert_eq!(again.digest(), first.digest());
}

#[test]
fn a_target_is_found_whatever_its_capitals_unless_two_are_alike() {
    let x = || floats((0..40).map(f64::from));
    let table = batch(vec![("x", x()), ("Yield", x())]);
    for name in ["Yield", "yield"] {
        assert_eq!(fit(&table, name, 1).unwrap().target(), "Yield");
    }
    let both = batch(vec![
        ("x", x()),
        ("Yield", x()),
        ("yield", floats((0..40).map(|i| f64::from(i * i)))),
    ]);
    assert_eq!(fit(&both, "yield", 1).unwrap().target(), "yield");
    assert!(fit(&both, "YIELD", 1).is_err());
    let grouped = TrainOptions {
        group_by: Some("PLATE".to_owned()),
        ..options("yield", 1)
    };
    let plates: Vec<String> = (0..40).map(|i| format!("p{}", i / 8)).collect();
    let table = batch(vec![("x", x()), ("Plate", texts(&plates)), ("Yield", x())]);
    let model = train(&[table], &grouped, &Cancel::default(), &|_| ()).unwrap();
    assert!(model.card().contains(&("group_by".to_owned(), "Plate".to_owned())));
}

#[test]
fn a_large_batch_is_as_spread_as_a_small_one_and_worlds_are_drawn() {
    let table = reactions(150, 311);
    let model = Arc::new(fit(&table, "yield_pct", 2).unwrap());
    let candidates = reactions(3_000, 312);
    let picked = |k: usize, strategy: Strategy| {
        let list = Recommender::new(Arc::clone(&model), candidates.schema(), k, false).unwrap();
        let mut list = list.only_new().by(strategy).unwrap();
        list.push(&candidates).unwrap();
        list.finish().unwrap()
    };
    let mean = |list: &RecordBatch| {
        let said = list["prediction"].as_primitive::<Float64Type>();
        said.values().iter().sum::<f64>() / said.len() as f64
    };
    let (best, spread) = (picked(1_000, Strategy::Exploit), picked(1_000, Strategy::Bayes));
    assert_eq!((best.num_rows(), spread.num_rows()), (1_000, 1_000));
    assert!(
        mean(&spread) < mean(&best),
        "the batch is more than the best predictions"
    );
    let (drawn, again) = (picked(40, Strategy::Thompson), picked(40, Strategy::Thompson));
    assert_eq!(drawn, again);
    assert_eq!(drawn.num_rows(), 40);
    // Better than any candidates, less good than the best of them.
    let some = picked(2_000, Strategy::Exploit);
    assert!(mean(&drawn) > mean(&some) && mean(&drawn) < mean(&picked(40, Strategy::Exploit)));
    assert_eq!("thompson".parse::<Strategy>().unwrap(), Strategy::Thompson);
}

#[test]
fn many_rows_of_many_numbers_are_answered_in_parts_with_the_same_bits() {
    let mut dice = Dice(313);
    let mut rows = |count: usize| {
        let of = |dice: &mut Dice| (0..count).map(|_| dice.share()).collect::<Vec<f64>>();
        let (a, b) = (of(&mut dice), of(&mut dice));
        let y: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (6.0 * a).sin() + b * b).collect();
        batch(vec![("a", floats(a)), ("b", floats(b)), ("y", floats(y))])
    };
    let model = fit(&rows(900), "y", 6).unwrap();
    let asked = rows(9_000);
    let columns: Vec<ArrayRef> = ["a", "b"].map(|name| Arc::clone(&asked[name])).to_vec();
    let whole = model.predict(&columns).unwrap();
    let fresh = model.apart();
    for at in (0..9_000).step_by(1_000) {
        let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(at, 1_000)).collect();
        assert_eq!(fresh.predict(&part).unwrap().values(), whole.slice(at, 1_000).values());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shares_add_up_to_the_prediction(catalyst in 0_u8..9, base in 0_u8..6, heat in -50.0..250.0_f64) {
        let row: Vec<ArrayRef> = vec![texts(&[format!("cat-{catalyst}")]), texts(&[format!("base-{base}")]), floats([heat])];
        let (shares, average) = model().shares(&row).unwrap();
        let prediction = model().predict(&row).unwrap().value(0);
        prop_assert_eq!(shares.len(), 3);
        prop_assert!((shares.iter().sum::<f64>() + average - prediction).abs() < 1e-9 * prediction.abs().max(1.0));
    }
}

#[test]
fn shares_find_what_counts_and_nothing_else() {
    let mut dice = Dice(320);
    let mut column = || (0..600).map(|_| dice.share()).collect::<Vec<f64>>();
    let columns: Vec<Vec<f64>> = (0..12).map(|_| column()).collect();
    let y: Vec<f64> = (0..600)
        .map(|row| 10.0 * columns[3][row] + 4.0 * columns[7][row])
        .collect();
    let names: Vec<String> = (0..12).map(|number| format!("x{number:02}")).collect();
    let mut table: Vec<(&str, ArrayRef)> = names
        .iter()
        .map(String::as_str)
        .zip(columns.into_iter().map(floats))
        .collect();
    table.push(("y", floats(y)));
    let table = batch(table);
    let model = fit(&table, "y", 3).unwrap();
    let found = model.importance_by_shares();
    let order: Vec<&str> = found["feature"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(&order[..2], ["x03", "x07"]);
    // With more features than all orders are counted for, they still add up.
    let row: Vec<ArrayRef> = model
        .features()
        .iter()
        .map(|f| table[f.name.as_str()].slice(5, 1))
        .collect();
    let (shares, average) = model.shares(&row).unwrap();
    let prediction = model.predict(&row).unwrap().value(0);
    assert!((shares.iter().sum::<f64>() + average - prediction).abs() < 1e-6);
    let told = model.explanation(&row).unwrap();
    assert_eq!(told["share"].as_primitive::<Float64Type>().len(), 12);
}

#[test]
fn scaffolds_are_held_out_together() {
    let mut dice = Dice(321);
    // Three ring systems with chains of any length: what a ring system yields nobody knows from the others.
    let rings = [
        "c1ccccc1",
        "C1CCCCC1",
        "c1ccncc1",
        "c1ccsc1",
        "C1CCNCC1",
        "c1ccc2ccccc2c1",
        "C1CCOC1",
    ];
    let picks: Vec<(usize, usize)> = (0..280).map(|_| (dice.below(7), 1 + dice.below(12))).collect();
    let smiles: Vec<String> = picks
        .iter()
        .map(|(ring, chain)| format!("{}{}", "C".repeat(*chain), rings[*ring]))
        .collect();
    let y: Vec<f64> = picks
        .iter()
        .map(|(ring, chain)| 30.0 * ((ring * 5) % 7) as f64 + *chain as f64)
        .collect();
    let table = batch(vec![("smiles", texts(&smiles)), ("y", floats(y))]);
    let by = |group: Option<&str>| {
        let options = TrainOptions {
            group_by: group.map(str::to_owned),
            ..options("y", 3)
        };
        train(std::slice::from_ref(&table), &options, &Cancel::default(), &|_| ()).unwrap()
    };
    let best = |model: &Model| model.leaderboard()["r2"].as_primitive::<Float64Type>().value(0);
    let (random, held) = (by(None), by(Some("scaffold(smiles)")));
    assert!(best(&random) > best(&held) + 0.3, "{} {}", best(&random), best(&held));
    assert_eq!(held.features()[0].name, "smiles");
    assert!(
        held.card()
            .contains(&("group_by".to_owned(), "scaffold(smiles)".to_owned()))
    );
    let none = TrainOptions {
        group_by: Some("scaffold(molecule)".to_owned()),
        ..options("y", 1)
    };
    assert!(train(&[table], &none, &Cancel::default(), &|_| ()).is_err());
}

#[test]
fn support_vectors_and_trees_are_among_the_candidates_of_few_rows() {
    let mut dice = Dice(330);
    let points: Vec<(f64, f64)> = (0..300)
        .map(|_| (2.0 * dice.share() - 1.0, 2.0 * dice.share() - 1.0))
        .collect();
    let column = |of: fn(&(f64, f64)) -> f64| floats(points.iter().map(of).collect::<Vec<f64>>());
    let number: Vec<f64> = points.iter().map(|(x, y)| (3.0 * x).sin() * (3.0 * y).cos()).collect();
    let class: Vec<&str> = points
        .iter()
        .map(|(x, y)| if x * x + y * y < 0.5 { "inside" } else { "outside" })
        .collect();
    let board = |target: ArrayRef, measure: &str| {
        let table = batch(vec![("x", column(|p| p.0)), ("y", column(|p| p.1)), ("t", target)]);
        let model = fit(&table, "t", 60).unwrap();
        let board = model.leaderboard();
        let names = board["candidate"].as_string::<i32>().clone();
        let scores = board[measure].as_primitive::<Float64Type>().clone();
        let of = |name: &str| {
            let row = (0..names.len()).find(|row| names.value(*row) == name);
            row.map(|row| scores.value(row))
                .unwrap_or_else(|| panic!("{name} is not in {names:?}"))
        };
        let again = Model::from_bytes(&model.to_bytes()).unwrap();
        let columns: Vec<ArrayRef> = again
            .features()
            .iter()
            .map(|f| Arc::clone(&table[f.name.as_str()]))
            .collect();
        assert_eq!(again.predict(&columns).unwrap(), model.predict(&columns).unwrap());
        [
            of("support vectors"),
            if measure == "auc" {
                of("random forest").min(of("decision tree"))
            } else {
                1.0
            },
        ]
    };
    let [svm, _] = board(floats(number), "r2");
    assert!(svm > 0.9, "{svm}");
    let [svm, trees] = board(texts(&class), "auc");
    assert!(svm > 0.95 && trees > 0.8, "{svm} {trees}");
}
