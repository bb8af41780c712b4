//! The road of a training: read the rows, try the candidates, choose, fit on all rows, write down what was seen.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::candidate::{CANDIDATES, Fitted, Pace};
use crate::ensemble::{self, Choice};
use crate::error::TrainError;
use crate::model::{Member, Model, Residuals, Stored};
use crate::options::{Cancel, TrainOptions};
use crate::report::{self, LeaderboardRow};
use crate::table::Table;
use crate::trial::{Folds, Outcome, Trial};

/// The mean is always tried, and so is the first learner after it if it needs no more than this, however small the budget.
const GRACE: Duration = Duration::from_secs(5);

/// Trains on all `rows` (batches of one schema), on the calling thread alone.
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
    progress: &dyn Fn(&str),
) -> Result<Model, TrainError> {
    let begun = Instant::now();
    if options.time_budget.is_zero() {
        return Err(TrainError::NoTime);
    }
    let table = Table::read(rows, options)?;
    progress(&format!("{} rows, {} features", table.frame.rows, table.features.len()));
    let folds = Folds::new(&table, options.seed);
    let left = || options.time_budget.saturating_sub(begun.elapsed());

    let (trials, mut leaderboard) = try_all(&table, &folds, options, &left, cancel, progress)?;
    let choice = ensemble::choose(&trials, &table.target).ok_or_else(|| no_candidate(&leaderboard))?;
    mark_chosen(&mut leaderboard, &trials, &choice, folds.parts.len());

    let importance = report::importance(&table, &folds, &trials, &choice, options.seed);
    let members = refit(&table, &trials, &choice, options, cancel)?;
    let residuals = Residuals::new(&choice.held_out, &table.target);
    let card = report::card(&table, options, &leaderboard, &choice, &residuals, folds.parts.len());
    progress(&format!(
        "chosen: {}, R² {:.3}, RMSE {:.4}",
        report::chosen_name(&trials, &choice),
        choice.score.r2,
        choice.score.rmse
    ));
    Model::new(Stored {
        target: options.target.clone(),
        rows: table.frame.rows,
        features: table.features,
        members,
        leaderboard,
        importance,
        card,
        residuals,
        ..Stored::default()
    })
}

type Tried = (Vec<Trial>, Vec<LeaderboardRow>);

fn try_all(
    table: &Table,
    folds: &Folds,
    options: &TrainOptions,
    left: &dyn Fn() -> Duration,
    cancel: &Cancel,
    progress: &dyn Fn(&str),
) -> Result<Tried, TrainError> {
    let (mut trials, mut leaderboard): Tried = Default::default();
    let mut pace = Pace::new();
    for (index, candidate) in CANDIDATES.iter().enumerate() {
        let grace = if index <= 1 { GRACE } else { Duration::ZERO };
        let time = || left().max(grace);
        let begun = Instant::now();
        match folds.try_out(*candidate, table, options.seed, time, &mut pace, cancel)? {
            Outcome::Tried(trial) => {
                progress(&format!(
                    "{}: R² {:.3} ({:.1} s)",
                    candidate.name,
                    trial.score.r2,
                    begun.elapsed().as_secs_f64()
                ));
                leaderboard.push(LeaderboardRow::tried(candidate.name, trial.score, folds.parts.len()));
                trials.push(*trial);
            }
            Outcome::Left(reason) => {
                progress(&format!("{}: left out, {reason}", candidate.name));
                leaderboard.push(LeaderboardRow::left(candidate.name, &reason));
            }
        }
    }
    Ok((trials, leaderboard))
}

fn no_candidate(leaderboard: &[LeaderboardRow]) -> TrainError {
    let candidate = leaderboard
        .first()
        .map_or_else(String::new, |row| row.candidate.clone());
    let reason = leaderboard.first().and_then(|row| row.note.clone()).unwrap_or_default();
    TrainError::Fit { candidate, reason }
}

/// A lone winner is marked in its row; an ensemble gets a row of its own.
fn mark_chosen(leaderboard: &mut Vec<LeaderboardRow>, trials: &[Trial], choice: &Choice, folds: usize) {
    let name = report::chosen_name(trials, choice);
    match leaderboard.iter_mut().find(|row| row.candidate == name) {
        Some(row) => row.chosen = true,
        None => leaderboard.push(LeaderboardRow {
            chosen: true,
            ..LeaderboardRow::tried(&name, choice.score, folds)
        }),
    }
    leaderboard.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
}

fn refit(
    table: &Table,
    trials: &[Trial],
    choice: &Choice,
    options: &TrainOptions,
    cancel: &Cancel,
) -> Result<Vec<Member>, TrainError> {
    let mut members = Vec::new();
    for (index, weight) in &choice.members {
        let Some(trial) = trials.get(*index) else { continue };
        if cancel.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        let failed = |reason| TrainError::Fit {
            candidate: trial.candidate.name.to_owned(),
            reason,
        };
        let fitted: Fitted = trial
            .candidate
            .fit(&table.features, &table.frame, &table.target, options.seed)
            .map_err(failed)?;
        members.push(Member {
            name: trial.candidate.name.to_owned(),
            weight: *weight,
            fitted,
        });
    }
    Ok(members)
}
