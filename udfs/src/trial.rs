//! Cross-validation: each candidate is fitted k times and judged on the rows it did not see.

use std::time::{Duration, Instant};

use crate::candidate::{Candidate, Fitted, Pace};
use crate::error::TrainError;
use crate::options::Cancel;
use crate::sample;
use crate::table::Table;

/// The folds: which rows are held out in each. Frames are cut when they are used, so that one copy of the data is alive at a time.
pub(crate) struct Folds {
    pub(crate) parts: Vec<Fold>,
}

pub(crate) struct Fold {
    pub(crate) held_rows: Vec<usize>,
    train_rows: Vec<usize>,
}

/// A candidate that was fitted in every fold.
pub(crate) struct Trial {
    pub(crate) candidate: Candidate,
    pub(crate) score: Score,
    /// For each training row, the prediction of the model that did not see it.
    pub(crate) held_out: Vec<f64>,
    /// One model a fold.
    pub(crate) models: Vec<Fitted>,
}

/// How far off predictions are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    pub(crate) r2: f64,
    pub(crate) rmse: f64,
    pub(crate) mae: f64,
}

/// What became of a candidate.
pub(crate) enum Outcome {
    Tried(Box<Trial>),
    /// Not tried or not finished: the reason.
    Left(String),
}

impl Folds {
    pub(crate) fn new(table: &Table, seed: u64) -> Self {
        let (fold_of, k) = sample::folds(table.frame.rows, table.groups.as_deref(), seed);
        let parts = (0..k)
            .map(|fold| {
                let rows = |held: bool| -> Vec<usize> {
                    fold_of
                        .iter()
                        .enumerate()
                        .filter(|(_, f)| (**f == fold) == held)
                        .map(|(row, _)| row)
                        .collect()
                };
                Fold {
                    held_rows: rows(true),
                    train_rows: rows(false),
                }
            })
            .collect();
        Self { parts }
    }

    /// Tries `candidate`, unless it is expected to need more than `left` for the folds and one fit on all rows.
    pub(crate) fn try_out(
        &self,
        candidate: Candidate,
        table: &Table,
        seed: u64,
        left: impl Fn() -> Duration,
        pace: &mut Pace,
        cancel: &Cancel,
    ) -> Result<Outcome, TrainError> {
        let Some(first) = self.parts.first() else {
            return Ok(Outcome::Left("there are no folds".to_owned()));
        };
        let work = match candidate.work(
            &table.features,
            &table.frame.take(&first.train_rows),
            &table.targets(&first.train_rows),
        ) {
            Ok(work) => work,
            Err(reason) => return Ok(Outcome::Left(reason)),
        };
        let mut held_out = vec![0.0; table.target.len()];
        let mut models = Vec::with_capacity(self.parts.len());
        for (done, fold) in self.parts.iter().enumerate() {
            if cancel.is_cancelled() {
                return Err(TrainError::Cancelled);
            }
            let expected = pace
                .expect(candidate.learner, work)
                .saturating_mul((self.parts.len() - done + 1) as u32);
            if expected > left() {
                return Ok(Outcome::Left(format!(
                    "it would take about {:.1} s, more than the time budget leaves",
                    expected.as_secs_f64()
                )));
            }
            let train = table.frame.take(&fold.train_rows);
            let begun = Instant::now();
            let model = match candidate.fit(&table.features, &train, &table.targets(&fold.train_rows), seed) {
                Ok(model) => model,
                Err(reason) => return Ok(Outcome::Left(reason)),
            };
            pace.learn(candidate.learner, work, begun.elapsed());
            for (row, value) in fold
                .held_rows
                .iter()
                .zip(model.predict(&table.frame.take(&fold.held_rows)))
            {
                if let Some(slot) = held_out.get_mut(*row) {
                    *slot = value;
                }
            }
            models.push(model);
        }
        let score = Score::of(&held_out, &table.target);
        if !score.rmse.is_finite() {
            return Ok(Outcome::Left("its predictions are not finite".to_owned()));
        }
        Ok(Outcome::Tried(Box::new(Trial {
            candidate,
            score,
            held_out,
            models,
        })))
    }
}

impl Score {
    /// Over all rows at once, which is steadier than the mean over folds when groups are small.
    pub(crate) fn of(predicted: &[f64], target: &[f64]) -> Self {
        let count = target.len().max(1) as f64;
        let mean = target.iter().sum::<f64>() / count;
        let spread: f64 = target.iter().map(|y| (y - mean).powi(2)).sum();
        let squares: f64 = predicted.iter().zip(target).map(|(p, y)| (p - y).powi(2)).sum();
        let absolute: f64 = predicted.iter().zip(target).map(|(p, y)| (p - y).abs()).sum();
        Self {
            r2: 1.0 - squares / spread,
            rmse: (squares / count).sqrt(),
            mae: absolute / count,
        }
    }
}
