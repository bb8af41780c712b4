//! A fuzzer of non-interference.
//!
//! A seed makes a lab: tables of every type the lake holds, rows, a policy in real files, a person. The lab has two worlds
//! that differ only in hidden rows and hidden values, and a copy that was filtered and masked by an oracle which shares no
//! code with the policies crate. Then random statements are asked, and compared:
//!
//! * with the copy: columns, rows, and whether there is an error. An error for the person alone is a difference; one on the
//!   copy alone is counted, because there a condition may meet rows in another order.
//! * between the worlds: columns, rows, errors, plans with statistics, EXPLAIN in its kinds.
//!
//! Nothing a statement shows, and nothing a recording function hears, may hold a marked value. Plans of the same person are
//! planned from what earlier statements let the barrier remember, so the order of statements is part of a lab.
//!
//! What is open, and counted: which of several failing rows an error names, and whether a condition behind AND meets a
//! failing row, depend on how visible rows fall into batches. Such a case is asked again on the copy, cut in other ways;
//! it is excused only if the copy alone shows both outcomes, or if both worlds show them when asked again. The same holds for an answer: where the engine itself answers
//! differently on visible rows alone, by the plan it chose, there is nothing hidden to see.
//!
//! The module stands apart so that the suites of several crates can use it, each with its own stores.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the fuzzer builds the sessions that the server builds in src/session, and says how far it is"
)]

mod condition;
pub(crate) mod counted;
pub(crate) mod grammar;
pub(crate) mod keep;
pub(crate) mod lab;
mod mask;
// The rules by which the server mends the engine: without them it answers wrongly on visible rows, too.
#[allow(dead_code, unused_imports, reason = "nodes of a cluster use the rest")]
#[path = "../../../src/session/mended/mod.rs"]
mod mended;
#[path = "../../../src/session/order/mod.rs"]
pub(crate) mod order;
mod policy;
pub(crate) mod rng;
mod shrink;
pub(crate) mod table;
mod told;
mod value;

use std::fmt;
use std::time::{Duration, Instant};

use grammar::{Maker, Statement};
use keep::{Keepers, Store};
use lab::{Lab, Side, Wall};
use rng::Rng;
use told::{Answer, Told, ask, kind_of_error, settled};
use value::MARK;

/// Ways to cut the copy before an outcome counts as impossible on visible rows alone.
const CUTS: u64 = 48;
/// The engine's planner orders some expressions by chance: two plans differ if so many of each have none in common.
const REPEATS: usize = 10;

/// What to run.
pub(crate) struct Campaign<'a> {
    pub seed: u64,
    /// Ends after so many statements …
    pub statements: usize,
    /// … or after this long, whichever comes first.
    pub patience: Duration,
    pub per_lab: usize,
    pub stores: &'a [Store],
    pub wall: Wall,
    pub keepers: &'a Keepers<'a>,
    /// Says now and then how far it is.
    pub loud: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub labs: usize,
    pub statements: usize,
    /// Statements that gave rows, by whether there were any.
    pub with_rows: usize,
    pub without_rows: usize,
    /// Statements that failed for the person and on the copy.
    pub failed: usize,
    pub only_copy_failed: usize,
    /// Plans that differed and had others in common.
    pub unsteady_plans: usize,
    /// The engine's own answer to visible rows alone depends on its plan.
    pub answered_by_plan: usize,
    /// Failed for the person, and on the copy only when cut or planned as behind a barrier.
    pub failed_by_cut: usize,
    /// Failed in one world alone, and on the copy in some cuts.
    pub torn_by_cut: usize,
    /// Errors of the same kind that named another visible value.
    pub other_words: usize,
    pub explained: usize,
    pub heard: usize,
}

/// The first difference found, told so that it can be found again.
#[derive(Debug)]
pub(crate) struct Difference {
    pub what: String,
    pub statement: String,
    pub smallest: String,
    pub lab: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n\nstatement: {}\nsmallest: {}\n\n{}",
            self.what, self.statement, self.smallest, self.lab
        )
    }
}

/// Runs until the end, or to the first difference.
pub(crate) async fn run(campaign: &Campaign<'_>) -> (Counts, Option<Difference>) {
    let mut counts = Counts::default();
    let began = Instant::now();
    let mut seeds = Rng::new(campaign.seed);
    while counts.statements < campaign.statements && began.elapsed() < campaign.patience {
        let seed = seeds.between(0, i64::MAX - 1) as u64;
        let store = campaign.stores[counts.labs % campaign.stores.len()];
        let Some(lab) = Lab::new(seed, store, campaign.wall, campaign.keepers).await else {
            continue;
        };
        counts.labs += 1;
        let mut rng = Rng::new(seed ^ 0xabcd);
        let mut asked: Vec<Statement> = Vec::new();
        for _ in 0..campaign.per_lab {
            if counts.statements >= campaign.statements || began.elapsed() >= campaign.patience {
                break;
            }
            let statement = match asked.is_empty() || rng.chance(92) {
                true => Maker::statement(&mut rng, &lab.seen, &lab.literals),
                false => rng.pick(&asked).clone(),
            };
            let explain = *rng.pick(&[
                "",
                "",
                "",
                "",
                "",
                "EXPLAIN VERBOSE ",
                "EXPLAIN ANALYZE ",
                "EXPLAIN FORMAT TREE ",
            ]);
            if let Err(what) = compare(&lab, &statement, explain, campaign.wall, &mut counts).await {
                let smallest = match campaign.wall {
                    Wall::Barrier => shrink::smallest(&lab, &statement, explain, campaign.wall).await,
                    Wall::View => "not looked for: that a view leaks is no news".to_owned(),
                };
                let difference = Difference {
                    what: format!("lab seed {seed}, {store:?}, after {} statements: {what}", asked.len()),
                    statement: statement.sql.clone(),
                    smallest,
                    lab: lab.story.clone(),
                };
                return (counts, Some(difference));
            }
            counts.statements += 1;
            asked.push(statement);
            if campaign.loud && counts.statements % 1_000 == 0 {
                let rate = counts.statements as f64 / began.elapsed().as_secs_f64();
                println!("{} statements, {rate:.1} a second: {counts:?}", counts.statements);
            }
        }
    }
    (counts, None)
}

/// One statement on all sides; the error says what differed.
async fn compare(
    lab: &Lab,
    statement: &Statement,
    explain: &str,
    wall: Wall,
    counts: &mut Counts,
) -> Result<(), String> {
    let a = told::plan(&lab.first, &statement.sql).await;
    let b = told::plan(&lab.second, &statement.sql).await;
    // A view shows its scan in the plan: that alone would be a difference, and prove little.
    if wall == Wall::Barrier && a.text != b.text {
        counts.unsteady_plans += 1;
        let (mut ones, mut others) = (vec![a.text.clone()], vec![b.text.clone()]);
        for _ in 0..REPEATS {
            ones.push(told::plan(&lab.first, &statement.sql).await.text);
            others.push(told::plan(&lab.second, &statement.sql).await.text);
        }
        if !ones.iter().any(|plan| others.contains(plan)) {
            return Err(format!("hidden rows show in the plan:\n{}\n---\n{}", a.text, b.text));
        }
    }
    let first = told::run(&lab.first, a, statement).await;
    let second = told::run(&lab.second, b, statement).await;
    let copy = ask(&lab.copy, statement).await;
    silent(lab, &first, counts)?;
    with_copy(lab, statement, &first, &copy, counts).await?;
    between_worlds(lab, statement, &first, &second, counts).await?;
    if !explain.is_empty() && wall == Wall::Barrier {
        counts.explained += 1;
        explained(lab, statement, explain, counts).await?;
    }
    Ok(())
}

/// The plan as the person may print it.
async fn explained(lab: &Lab, statement: &Statement, explain: &str, counts: &mut Counts) -> Result<(), String> {
    let statement = Statement {
        sql: format!("{explain}{}", statement.sql),
        loose: Vec::new(),
        ordered: true,
        fallible: statement.fallible,
    };
    let tell = |told: Told| match told.answer {
        Answer::Rows { rows, .. } if explain.contains("ANALYZE") => settled(&rows.join("\n")),
        Answer::Rows { rows, .. } => rows.join("\n"),
        // Whether and how it fails is compared without EXPLAIN.
        Answer::Error(_) => String::new(),
    };
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let (a, b) = (ask(&lab.first, &statement).await, ask(&lab.second, &statement).await);
        silent(lab, &a, counts)?;
        ones.push(tell(a));
        others.push(tell(b));
        if ones.iter().chain(&others).any(String::is_empty) || ones.iter().any(|plan| others.contains(plan)) {
            return Ok(());
        }
        counts.unsteady_plans += 1;
    }
    Err(format!(
        "hidden rows show in {explain}:\n{}\n---\n{}",
        ones[0], others[0]
    ))
}

/// Nothing marked is told or heard, and nothing failed below.
fn silent(lab: &Lab, told: &Told, counts: &mut Counts) -> Result<(), String> {
    let text = told.text();
    if text.contains("(incident ") {
        return Err(format!("something failed below the barrier: {text}"));
    }
    for side in [&lab.first, &lab.second] {
        for value in side.heard() {
            counts.heard += 1;
            if lab.marked && value.contains(MARK) {
                return Err(format!("a function heard a hidden value: {value}"));
            }
        }
    }
    match lab.marked && text.contains(MARK) {
        true => Err(format!("a hidden value is told:\n{text}")),
        false => Ok(()),
    }
}

async fn with_copy(
    lab: &Lab,
    statement: &Statement,
    told: &Told,
    copy: &Told,
    counts: &mut Counts,
) -> Result<(), String> {
    match (&told.answer, &copy.answer) {
        (Answer::Rows { .. }, Answer::Rows { rows, .. }) => {
            match rows.is_empty() {
                true => counts.without_rows += 1,
                false => counts.with_rows += 1,
            }
            if told.answer == copy.answer {
                return Ok(());
            }
            counts.answered_by_plan += 1;
            match cuts(lab, statement).await.iter().any(|cut| cut.answer == told.answer) {
                true => {
                    println!(
                        "the engine answers in two ways on visible rows alone: {}",
                        statement.sql
                    );
                    Ok(())
                }
                false => Err(format!(
                    "the copy differs:\n{:#?}\n---\n{:#?}\n{}",
                    told.answer, copy.answer, told.plan
                )),
            }
        }
        (Answer::Error(error), Answer::Error(_)) => {
            if std::env::var_os("LABHOUSE_FUZZ_ERRORS").is_some() {
                println!("error: {} <- {}", kind_of_error(error), statement.sql);
            }
            counts.failed += 1;
            Ok(())
        }
        (Answer::Rows { .. }, Answer::Error(_)) => {
            counts.only_copy_failed += 1;
            Ok(())
        }
        (Answer::Error(error), Answer::Rows { .. }) => {
            counts.failed_by_cut += 1;
            // Set operations over decimals of unlike scales fail in the engine when it joins them the other way round, which
            // it decides by row counts. The text holds types alone, and the worlds are compared all the same.
            if error.contains("Invalid comparison operation: Decimal") {
                return Ok(());
            }
            match cuts(lab, statement).await.iter().any(Told::failed) {
                true => Ok(()),
                false => Err(format!("an error for the person alone: {error}\n{}", told.plan)),
            }
        }
    }
}

async fn between_worlds(
    lab: &Lab,
    statement: &Statement,
    a: &Told,
    b: &Told,
    counts: &mut Counts,
) -> Result<(), String> {
    let differ = |what: &str| Err(format!("{what}:\n{:#?}\n---\n{:#?}\n{}", a.answer, b.answer, a.plan));
    match (&a.answer, &b.answer) {
        (Answer::Rows { .. }, Answer::Rows { .. }) => {
            if a.answer == b.answer {
                return Ok(());
            }
            counts.answered_by_plan += 1;
            let told = cuts(lab, statement).await;
            match [a, b]
                .iter()
                .all(|world| told.iter().any(|cut| cut.answer == world.answer))
            {
                true => {
                    println!(
                        "the engine answers in two ways on visible rows alone: {}",
                        statement.sql
                    );
                    Ok(())
                }
                false => differ("hidden rows show"),
            }
        }
        (Answer::Error(x), Answer::Error(y)) if x == y => Ok(()),
        (Answer::Error(x), Answer::Error(y)) if kind_of_error(x) == kind_of_error(y) => {
            counts.other_words += 1;
            Ok(())
        }
        (Answer::Error(_), Answer::Error(_)) => {
            counts.other_words += 1;
            match chance(lab, statement, a, b).await {
                true => Ok(()),
                false => differ("hidden rows show in the error"),
            }
        }
        (Answer::Error(_), Answer::Rows { .. }) | (Answer::Rows { .. }, Answer::Error(_)) => {
            counts.torn_by_cut += 1;
            match chance(lab, statement, a, b).await {
                true => Ok(()),
                false => differ("hidden rows decide whether there is an error"),
            }
        }
    }
}

/// Whether the two outcomes come by chance: both worlds show one of them when asked again (which part of a plan fails first
/// is open), or the copy shows both in other cuts.
async fn chance(lab: &Lab, statement: &Statement, a: &Told, b: &Told) -> bool {
    let kind = |told: &Told| match &told.answer {
        Answer::Error(text) => kind_of_error(text),
        Answer::Rows { .. } => String::new(),
    };
    let (mut ones, mut others) = (vec![kind(a)], vec![kind(b)]);
    for _ in 0..REPEATS {
        ones.push(kind(&ask(&lab.first, statement).await));
        others.push(kind(&ask(&lab.second, statement).await));
        if ones.iter().any(|one| others.contains(one)) {
            return true;
        }
    }
    let told: Vec<String> = cuts(lab, statement).await.iter().map(kind).collect();
    told.contains(&ones[0]) && told.contains(&others[0])
}

async fn cuts(lab: &Lab, statement: &Statement) -> Vec<Told> {
    let mut told = Vec::new();
    for cut in 0..CUTS {
        let side: Side = lab.cut_anew(cut);
        // Earlier statements let the barrier remember how many rows leave it, and the plan is made by that.
        if cut % 2 == 1 {
            lab.read_all(&side).await;
        }
        told.push(ask(&side, statement).await);
    }
    told
}
