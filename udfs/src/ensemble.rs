//! A weighted mean of a few candidates, if the held-out rows say that it is better than the best one alone.

use crate::trial::{Score, Trial};

/// Members of an ensemble; more cost time at every prediction and gain little.
const MEMBERS_MAX: usize = 3;
/// A further member must lower the error by this share.
const GAIN_MIN: f64 = 0.005;

/// Which trials take part, with weights that sum to one; and how they do together.
pub(crate) struct Choice {
    pub(crate) members: Vec<(usize, f64)>,
    pub(crate) score: Score,
    pub(crate) held_out: Vec<f64>,
}

/// The best trial, then greedily whoever helps most, each at the weight that is best in least squares.
pub(crate) fn choose(trials: &[Trial], target: &[f64]) -> Option<Choice> {
    let (best, trial) = trials
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.score.rmse.total_cmp(&b.1.score.rmse))?;
    let mut choice = Choice {
        members: vec![(best, 1.0)],
        score: trial.score,
        held_out: trial.held_out.clone(),
    };
    while choice.members.len() < MEMBERS_MAX {
        let better = trials
            .iter()
            .enumerate()
            .filter(|(index, _)| choice.members.iter().all(|(member, _)| member != index))
            .filter_map(|(index, trial)| choice.joined(index, trial, target))
            .min_by(|a, b| a.score.rmse.total_cmp(&b.score.rmse));
        match better {
            Some(better) if better.score.rmse < choice.score.rmse * (1.0 - GAIN_MIN) => choice = better,
            _ => break,
        }
    }
    Some(choice)
}

impl Choice {
    /// This choice with one more member, unless that gets no weight.
    fn joined(&self, index: usize, trial: &Trial, target: &[f64]) -> Option<Self> {
        let (mut with, mut of) = (0.0, 0.0);
        for ((old, new), y) in self.held_out.iter().zip(&trial.held_out).zip(target) {
            with += (y - old) * (new - old);
            of += (new - old).powi(2);
        }
        // Rounded, so that the last bits of a sum do not reach the model file.
        let weight = (with / of * 100.0).round() / 100.0;
        if !(weight > 0.0 && weight < 1.0) {
            return None;
        }
        let mut members: Vec<(usize, f64)> = self
            .members
            .iter()
            .map(|(member, w)| (*member, w * (1.0 - weight)))
            .collect();
        members.push((index, weight));
        let held_out: Vec<f64> = self
            .held_out
            .iter()
            .zip(&trial.held_out)
            .map(|(old, new)| old + weight * (new - old))
            .collect();
        Some(Self {
            members,
            score: Score::of(&held_out, target),
            held_out,
        })
    }
}
