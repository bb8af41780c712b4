//! Cross-validation: each candidate is fitted k times and judged on the rows it did not see.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::candidate::{Candidate, Fitted, Pace};
use crate::error::TrainError;
use crate::options::Cancel;
use crate::sample;
use crate::score::Score;
use crate::table::Table;

/// The folds: which rows are held out in each. Frames are cut when they are used, so that one copy of the data is alive at a time.
pub(crate) struct Folds {
    pub(crate) parts: Vec<Fold>,
}

pub(crate) struct Fold {
    pub(crate) held_rows: Vec<usize>,
    pub(crate) train_rows: Vec<usize>,
}

/// A candidate that was fitted in every fold.
pub(crate) struct Trial {
    pub(crate) candidate: Candidate,
    pub(crate) score: Score,
    /// The cost of each fold alone.
    pub(crate) fold_costs: Vec<f64>,
    /// Output × training row: the prediction of the model that did not see the row.
    pub(crate) held_out: Vec<Vec<f64>>,
    /// Fold × output.
    pub(crate) models: Vec<Vec<Fitted>>,
    /// Of all folds together.
    pub(crate) train_time: Duration,
    pub(crate) predict_time: Duration,
}

/// What became of a candidate.
pub(crate) enum Outcome {
    Tried(Box<Trial>),
    /// Not tried or not finished: the reason.
    Left(String),
    /// The time did not suffice for what it was expected to take.
    Late(Duration),
}

impl Folds {
    pub(crate) fn new(table: &Table, seed: u64) -> Self {
        Self::by(table.frame.rows, table.groups.as_deref(), seed)
    }

    /// Folds of `rows` rows that keep groups whole.
    pub(crate) fn by(rows: usize, groups: Option<&[usize]>, seed: u64) -> Self {
        let (fold_of, k) = sample::folds(rows, groups, seed);
        let parts = (0..k).map(|fold| Fold::holding(rows, |row| fold_of.get(row) == Some(&fold)));
        Self { parts: parts.collect() }
    }

    /// Tries `candidate`, unless it is expected to need more than `left` for the folds and one fit on all rows.
    pub(crate) fn try_out(
        &self,
        candidate: Candidate,
        table: &Table,
        seed: u64,
        left: impl Fn() -> Duration,
        pace: &Mutex<Pace>,
        cancel: &Cancel,
    ) -> Result<Outcome, TrainError> {
        let Some(first) = self.parts.first() else {
            return Ok(Outcome::Left("there are no folds".to_owned()));
        };
        let outputs = table.task.outputs(&table.target);
        let cut = |output: &[f64], rows: &[usize]| -> Vec<f64> {
            rows.iter().filter_map(|row| output.get(*row)).copied().collect()
        };
        let told = outputs
            .first()
            .map(|output| cut(output, &first.train_rows))
            .unwrap_or_default();
        if cancel.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        // What it would cost is found out by reading all columns as it would: that takes time, too.
        if left().is_zero() {
            return Ok(Outcome::Late(Duration::ZERO));
        }
        let one = match candidate.work(&table.features, &table.frame.take(&first.train_rows), &told) {
            Ok(work) => work,
            Err(reason) => return Ok(Outcome::Left(reason)),
        };
        let work = one * outputs.len() as f64;
        let mut held_out = vec![vec![0.0; table.target.len()]; outputs.len()];
        let mut models = Vec::with_capacity(self.parts.len());
        let mut fold_costs = Vec::with_capacity(self.parts.len());
        let (mut train_time, mut predict_time) = (Duration::ZERO, Duration::ZERO);
        for (done, fold) in self.parts.iter().enumerate() {
            let expected = known(pace)
                .expect(candidate.learner, work)
                .saturating_mul((self.parts.len() - done + 1) as u32);
            if expected > left() {
                return Ok(Outcome::Late(expected));
            }
            let train = table.frame.take(&fold.train_rows);
            let begun = Instant::now();
            let mut fitted = Vec::with_capacity(outputs.len());
            for output in &outputs {
                if cancel.is_cancelled() {
                    return Err(TrainError::Cancelled);
                }
                let target = cut(output, &fold.train_rows);
                let fit = candidate.fit(&table.features, &train, &target, table.task.loss(), seed);
                // What was fitted while it was cancelled is not whole.
                if cancel.is_cancelled() {
                    return Err(TrainError::Cancelled);
                }
                match fit {
                    Ok(model) => fitted.push(model),
                    Err(reason) => return Ok(Outcome::Left(reason)),
                }
            }
            train_time += begun.elapsed();
            known(pace).learn(candidate.learner, work, begun.elapsed());
            let begun = Instant::now();
            let held = table.frame.take(&fold.held_rows);
            let mut said: Vec<Vec<f64>> = fitted
                .iter()
                .map(|model| model.predict(&table.features, &held))
                .collect();
            predict_time += begun.elapsed();
            table.task.normalise(&mut said);
            fold_costs.push(table.task.cost(&said, &table.targets(&fold.held_rows)));
            for (output, said) in held_out.iter_mut().zip(&said) {
                for (row, value) in fold.held_rows.iter().zip(said) {
                    if let Some(slot) = output.get_mut(*row) {
                        *slot = *value;
                    }
                }
            }
            models.push(fitted);
        }
        let score = Score::of(&table.task, &held_out, &table.target);
        if !score.cost.is_finite() {
            return Ok(Outcome::Left("its predictions are not finite".to_owned()));
        }
        Ok(Outcome::Tried(Box::new(Trial {
            candidate,
            score,
            fold_costs,
            held_out,
            models,
            train_time,
            predict_time,
        })))
    }
}

fn known(pace: &Mutex<Pace>) -> std::sync::MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fold {
    /// Holds out the rows that `held` names.
    pub(crate) fn holding(rows: usize, held: impl Fn(usize) -> bool) -> Self {
        let (held_rows, train_rows) = (0..rows).partition(|row| held(*row));
        Self { held_rows, train_rows }
    }
}
