//! The road of a training: read the rows, try the candidates, choose, fit on all rows, write down what was seen.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::calibration::Calibration;
use crate::candidate::{Candidate, Pace};
use crate::domain::Domain;
use crate::ensemble::{self, Choice};
use crate::error::TrainError;
use crate::kernel::Kernel;
use crate::model::{Model, Timing};
use crate::novelty::{self, Measured};
use crate::options::{Cancel, Replay, TrainOptions};
use crate::parallel;
use crate::report::{self, LeaderboardRow};
use crate::sample;
use crate::stored::{Beyond, Member, Stored};
use crate::table::Table;
use crate::task::Task;
use crate::trial::{Fold, Folds, Outcome, Trial};

/// The mean is always tried, and so is the first learner after it if it needs no more than this, however small the budget.
const GRACE: Duration = Duration::from_secs(5);

/// Trains on all `rows` (batches of one schema), on the calling thread and as many others as the options allow.
///
/// Every column but the target, `group_by`, those whose name starts with `_`, nested and binary ones, constants and near-unique texts
/// becomes a feature; [`Model::card`] lists what was left out and why. `progress` gets a line a person can read after each step.
///
/// # Errors
/// [`TrainError`]; no input makes it panic.
pub fn train(
    rows: &[RecordBatch],
    options: &TrainOptions,
    cancel: &Cancel,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Model, TrainError> {
    cancel.watched(|| train_watched(rows, options, cancel, progress))
}

fn train_watched(
    rows: &[RecordBatch],
    options: &TrainOptions,
    cancel: &Cancel,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Model, TrainError> {
    let begun = Instant::now();
    if options.time_budget.is_zero() {
        return Err(TrainError::NoTime);
    }
    let table = Table::read(rows, options)?;
    progress(&format!("{} rows, {} features", table.frame.rows, table.features.len()));
    let folds = Folds::new(&table, options.seed);
    let left = || match options.replay {
        Some(_) => Duration::MAX,
        None => options.time_budget.saturating_sub(begun.elapsed()),
    };

    let (trials, mut leaderboard) = try_all(&table, &folds, options, &left, cancel, progress)?;
    let choice = ensemble::choose(&trials, &table.task, &table.target).ok_or_else(|| no_candidate(&leaderboard))?;
    mark_chosen(&mut leaderboard, &trials, &choice, &table, &folds);

    let by_feature = report::importance(&table, &folds, &trials, &choice, options.seed);
    let mut important: Vec<usize> = (0..table.features.len()).collect();
    let value = |feature: &usize| by_feature.get(*feature).copied().unwrap_or(0.0);
    important.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.cmp(b)));
    let (novel, unseen_in_time) = novelty::measure(&table, &trials, &choice, &important, options, &left, cancel)?;
    for found in &novel {
        let name = table.features.get(found.feature).map_or("", |feature| &feature.name);
        progress(&format!("without some values of {name}: R² {:.3}", found.r2));
    }
    let (members, beyond) = refit(&table, &trials, &choice, &novel, options, cancel)?;
    let more = GRACE.max(options.time_budget / 4);
    let late = || options.replay.is_none() && begun.elapsed() > options.time_budget + more;
    let (calibration, novel_in_time) = match (&table.task, choice.held_out.first()) {
        (Task::Regression, Some(held_out)) => {
            let mut calibration = Calibration::new(held_out, &table.target, table.groups.as_deref());
            let known = novel.iter().map(|found| (found.feature, found.off.clone())).collect();
            let in_time = calibration.measure_novelty(&table, &important, known, options, &late, cancel)?;
            (Some(calibration), in_time)
        }
        _ => (None, None),
    };
    let mut card = report::card(
        &table,
        options,
        &leaderboard,
        &choice,
        calibration.as_ref(),
        folds.parts.len(),
    );
    for found in &novel {
        let name = table.features.get(found.feature).map_or("", |feature| &feature.name);
        let by = report::members_named(&trials, &found.weights);
        card.push((format!("unseen: {name}"), format!("R² {:.3} by {by}", found.r2)));
    }
    progress(&format!(
        "chosen: {}, {}",
        report::chosen_name(&trials, &choice),
        choice.score.told()
    ));
    let timings = trials.iter().map(Timing::of).collect();
    let named = |feature: &usize| Some((table.features.get(*feature)?.name.clone(), value(feature)));
    let importance = important.iter().filter_map(named).collect();
    let range = table
        .target
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(*y), high.max(*y))
        });
    let stored = Stored {
        surrogate: surrogate(&table, options),
        range,
        run: run(table.runs),
        run_by_text: true,
        goal: options.goal,
        unseen_in_time,
        novel_in_time,
        target: table.target_name,
        task: table.task,
        rows: table.frame.rows,
        domain: Domain::of(&table.features, &table.frame, options.seed),
        features: table.features,
        members,
        beyond,
        leaderboard,
        importance,
        card,
        calibration,
        ..Stored::default()
    };
    if cancel.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    Model::new(stored, timings)
}

/// Processes over the best rows and some others, for the choice of experiments; none if they do not suit.
fn surrogate(table: &Table, options: &TrainOptions) -> Vec<Kernel> {
    /// Half of them the best rows: the next experiment is chosen near them.
    const ROWS: usize = 400;
    const TUNE_ROWS: usize = 160;
    const MEMBERS: usize = 8;
    if !matches!(table.task, Task::Regression) {
        return Vec::new();
    }
    let (seed, sign) = (options.seed, options.goal.sign());
    let mut rows: Vec<usize> = (0..table.frame.rows).collect();
    if rows.len() > ROWS {
        let value = |row: &usize| table.target.get(*row).map_or(0.0, |value| sign * value);
        rows.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.cmp(b)));
        let others = rows.split_off(ROWS / 2);
        rows.extend(sample::some(&others, ROWS / 2, seed));
        rows.sort_unstable();
    }
    let frame = table.frame.take(&rows).named(&table.features);
    let target: Vec<f64> = table.targets(&rows).into_iter().map(|value| sign * value).collect();
    match Kernel::fit_tuned(&frame, &target, TUNE_ROWS, seed) {
        Ok(kernel) => kernel.council(&frame, &target, MEMBERS, TUNE_ROWS, seed),
        Err(_) => Vec::new(),
    }
}

/// What was run, to be left out of recommendations: twenty digits a row, four megabytes of the most rows.
fn run(mut all: Vec<u64>) -> Vec<u64> {
    all.sort_unstable();
    all.dedup();
    all
}

type Tried = (Vec<Trial>, Vec<LeaderboardRow>);

fn try_all(
    table: &Table,
    folds: &Folds,
    options: &TrainOptions,
    left: &(dyn Fn() -> Duration + Sync),
    cancel: &Cancel,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Tried, TrainError> {
    let candidates = Candidate::all(&table.task);
    let pace = Mutex::new(Pace::new());
    let refits = Mutex::new(Vec::new());
    let outcomes = parallel::each(options.threads, candidates.len(), |index| {
        let Some(candidate) = candidates.get(index) else {
            return Ok(None);
        };
        let grace = if index <= 1 { GRACE } else { Duration::ZERO };
        let time = || left().saturating_sub(to_refit(&refits, options.threads)).max(grace);
        let begun = Instant::now();
        let was_late = |replay: &Replay| replay.late.iter().any(|late| late == candidate.name);
        let outcome = match &options.replay {
            Some(replay) if was_late(replay) => Outcome::Late(Duration::ZERO),
            _ => folds.try_out(*candidate, table, options.seed, time, &pace, cancel)?,
        };
        match &outcome {
            Outcome::Tried(trial) => {
                let mut refits = refits.lock().unwrap_or_else(PoisonError::into_inner);
                refits.push(trial.train_time / folds.parts.len().max(1) as u32);
                progress(&format!(
                    "{}: {} ({:.1} s)",
                    candidate.name,
                    trial.score.told(),
                    begun.elapsed().as_secs_f64()
                ));
            }
            Outcome::Left(reason) => progress(&format!("{}: left out, {reason}", candidate.name)),
            Outcome::Late(expected) if expected.is_zero() => {
                progress(&format!("{}: left out, the time is over", candidate.name))
            }
            Outcome::Late(expected) => progress(&format!(
                "{}: left out, it would take about {:.1} s, more than the time budget leaves",
                candidate.name,
                expected.as_secs_f64()
            )),
        }
        Ok(Some((candidate.name, outcome)))
    })?;
    let (mut trials, mut leaderboard): Tried = Default::default();
    for (name, outcome) in outcomes.into_iter().flatten() {
        match outcome {
            Outcome::Tried(trial) => {
                leaderboard.push(LeaderboardRow::tried(name, trial.score, trial.fold_costs.clone()));
                trials.push(*trial);
            }
            Outcome::Left(reason) => leaderboard.push(LeaderboardRow::left(name, &reason)),
            Outcome::Late(_) => leaderboard.push(LeaderboardRow::late(name)),
        }
    }
    Ok((trials, leaderboard))
}

/// What fitting an ensemble's members again will take, if they are the slowest so far.
fn to_refit(refits: &Mutex<Vec<Duration>>, threads: usize) -> Duration {
    let mut all = refits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.truncate(ensemble::MEMBERS_MAX);
    let longest = all.first().copied().unwrap_or_default();
    longest.max(all.iter().sum::<Duration>() / threads.max(1) as u32)
}

fn no_candidate(leaderboard: &[LeaderboardRow]) -> TrainError {
    let candidate = leaderboard
        .first()
        .map_or_else(String::new, |row| row.candidate.clone());
    let reason = leaderboard.first().and_then(|row| row.note.clone()).unwrap_or_default();
    TrainError::Fit { candidate, reason }
}

/// A lone winner is marked in its row; an ensemble gets a row of its own.
fn mark_chosen(leaderboard: &mut Vec<LeaderboardRow>, trials: &[Trial], choice: &Choice, table: &Table, folds: &Folds) {
    let name = report::chosen_name(trials, choice);
    match leaderboard.iter_mut().find(|row| row.candidate == name) {
        Some(row) => row.chosen = true,
        None => {
            let cost = |fold: &Fold| {
                let of = |output: &Vec<f64>| {
                    fold.held_rows
                        .iter()
                        .filter_map(|row| output.get(*row))
                        .copied()
                        .collect()
                };
                let said: Vec<Vec<f64>> = choice.held_out.iter().map(of).collect();
                table.task.cost(&said, &table.targets(&fold.held_rows))
            };
            leaderboard.push(LeaderboardRow {
                chosen: true,
                ..LeaderboardRow::tried(&name, choice.score, folds.parts.iter().map(cost).collect())
            });
        }
    }
    leaderboard.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
}

/// All members that have a weight somewhere, fitted on all rows; and the weights for what training did not see.
fn refit(
    table: &Table,
    trials: &[Trial],
    choice: &Choice,
    novel: &[Measured],
    options: &TrainOptions,
    cancel: &Cancel,
) -> Result<(Vec<Member>, Vec<Beyond>), TrainError> {
    let mut wanted = choice.members.clone();
    for (index, _) in novel.iter().flat_map(|found| &found.weights) {
        if wanted.iter().all(|(known, _)| known != index) {
            wanted.push((*index, 0.0));
        }
    }
    let members = parallel::each(options.threads, wanted.len(), |place| {
        let found = wanted
            .get(place)
            .and_then(|(index, weight)| Some((trials.get(*index)?, *weight)));
        let Some((trial, weight)) = found else {
            return Err(TrainError::Lost);
        };
        if cancel.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        let mut fitted = Vec::new();
        for output in table.task.outputs(&table.target) {
            let model = trial
                .candidate
                .fit(&table.features, &table.frame, &output, table.task.loss(), options.seed)
                .map_err(|reason| match cancel.is_cancelled() {
                    true => TrainError::Cancelled,
                    false => TrainError::Fit {
                        candidate: trial.candidate.name.to_owned(),
                        reason,
                    },
                })?;
            fitted.push(model);
        }
        // What was fitted while it was cancelled is not whole.
        if cancel.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        Ok(Member {
            name: trial.candidate.name.to_owned(),
            weight,
            fitted,
        })
    })?;
    let beyond = novel.iter().map(|found| Beyond {
        feature: found.feature,
        weights: wanted
            .iter()
            .map(|(index, _)| {
                found
                    .weights
                    .iter()
                    .find(|(known, _)| known == index)
                    .map_or(0.0, |(_, weight)| *weight)
            })
            .collect(),
    });
    let beyond = beyond.collect();
    Ok((members, beyond))
}
