//! A weighted mean of a few candidates, if the held-out rows say that it is better than the best one alone.

use crate::score::Score;
use crate::task::Task;
use crate::trial::Trial;

/// Members of an ensemble; more cost time at every prediction and gain little.
const MEMBERS_MAX: usize = 4;
/// A further member must lower the error by this share.
const GAIN_MIN: f64 = 0.005;
/// Steps of a new member's weight that are tried where no formula gives it.
const STEPS: usize = 20;

/// Which trials take part, with weights that sum to one; and how they do together.
pub(crate) struct Choice {
    pub(crate) members: Vec<(usize, f64)>,
    pub(crate) score: Score,
    /// Output × row.
    pub(crate) held_out: Vec<Vec<f64>>,
}

/// The best trial, then greedily whoever helps most, each at the weight that is best.
pub(crate) fn choose(trials: &[Trial], task: &Task, target: &[f64]) -> Option<Choice> {
    let (best, trial) = trials
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.score.cost.total_cmp(&b.1.score.cost))?;
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
            .filter_map(|(index, trial)| choice.joined(index, trial, task, target))
            .min_by(|a, b| a.score.cost.total_cmp(&b.score.cost));
        match better {
            Some(better) if better.score.cost < choice.score.cost * (1.0 - GAIN_MIN) => choice = better,
            _ => break,
        }
    }
    Some(choice)
}

impl Choice {
    /// This choice with one more member, unless that gets no weight.
    fn joined(&self, index: usize, trial: &Trial, task: &Task, target: &[f64]) -> Option<Self> {
        let weight = match task {
            Task::Regression => self.least_squares(trial, target),
            Task::Classes(_) => {
                (1..STEPS)
                    .map(|step| step as f64 / STEPS as f64)
                    .map(|weight| (task.cost(&self.mixed(trial, weight), target), weight))
                    .min_by(|a, b| a.0.total_cmp(&b.0))?
                    .1
            }
        };
        if !(weight > 0.0 && weight < 1.0) {
            return None;
        }
        let mut members: Vec<(usize, f64)> = self
            .members
            .iter()
            .map(|(member, w)| (*member, w * (1.0 - weight)))
            .collect();
        members.push((index, weight));
        let held_out = self.mixed(trial, weight);
        Some(Self {
            members,
            score: Score::of(task, &held_out, target),
            held_out,
        })
    }

    fn least_squares(&self, trial: &Trial, target: &[f64]) -> f64 {
        let (mut with, mut of) = (0.0, 0.0);
        let pairs = self.held_out.iter().flatten().zip(trial.held_out.iter().flatten());
        for ((old, new), y) in pairs.zip(target) {
            with += (y - old) * (new - old);
            of += (new - old).powi(2);
        }
        // Rounded, so that the last bits of a sum do not reach the model file.
        (with / of * 100.0).round() / 100.0
    }

    fn mixed(&self, trial: &Trial, weight: f64) -> Vec<Vec<f64>> {
        let mix = |(old, new): (&f64, &f64)| old + weight * (new - old);
        self.held_out
            .iter()
            .zip(&trial.held_out)
            .map(|(old, new)| old.iter().zip(new).map(mix).collect())
            .collect()
    }
}
