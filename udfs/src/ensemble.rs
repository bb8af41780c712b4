//! A weighted mean of a few candidates, if the held-out rows say that it is better than the best one alone.
//!
//! For numbers: the weights, none below zero, whose mean is nearest to the targets of rows that no member saw (Breiman, "Stacked regressions",
//! Machine Learning 24 (1996) 49), and of the candidates only those that the mean would miss. For classes, where no formula gives
//! weights: greedily, after Caruana et al., ICML 2004.
#![expect(
    clippy::indexing_slicing,
    reason = "the matrix has a line and a place for every trial"
)]

use crate::score::Score;
use crate::task::Task;
use crate::trial::Trial;

/// Members of an ensemble; more cost time at every prediction and gain little.
pub(crate) const MEMBERS_MAX: usize = 6;
/// A further member must lower the error by this share: one of classes, where each is tried alone…
const GAIN_MIN: f64 = 0.005;
/// …or of numbers, where all weights are found together.
const MISSED_MIN: f64 = 0.001;
/// Weights are whole multiples of this, so that the last bits of a sum do not reach the model file.
const WEIGHT_STEPS: f64 = 100.0;
/// Steps of a new member's weight that are tried where no formula gives it.
const STEPS: usize = 20;

/// Which trials take part, with weights that sum to one; and how they do together.
pub(crate) struct Choice {
    pub(crate) members: Vec<(usize, f64)>,
    pub(crate) score: Score,
    /// Output × row.
    pub(crate) held_out: Vec<Vec<f64>>,
}

/// The best trial, or the mean of some.
pub(crate) fn choose(trials: &[Trial], task: &Task, target: &[f64]) -> Option<Choice> {
    match task {
        Task::Regression => stacked(trials, task, target),
        Task::Classes(_) => greedy(trials, task, target),
    }
}

/// All trials weighed together.
fn stacked(trials: &[Trial], task: &Task, target: &[f64]) -> Option<Choice> {
    let said: Vec<&[f64]> = trials
        .iter()
        .filter_map(|trial| trial.held_out.first())
        .map(Vec::as_slice)
        .collect();
    let members = simplex(&said, target)?;
    let mut held_out = vec![0.0; target.len()];
    for (member, weight) in &members {
        held_out
            .iter_mut()
            .zip(said[*member])
            .for_each(|(sum, said)| *sum += weight * said);
    }
    let held_out = vec![held_out];
    Some(Choice {
        members,
        score: Score::of(task, &held_out, target),
        held_out,
    })
}

/// Which of the predictions, each of all rows, take part in the mean that is nearest to the target, and with which weights; the greatest first.
/// Those that would hardly be missed do not.
pub(crate) fn simplex(said: &[&[f64]], target: &[f64]) -> Option<Vec<(usize, f64)>> {
    let off: Vec<Vec<f64>> = said
        .iter()
        .map(|said| said.iter().zip(target).map(|(p, y)| y - p).collect())
        .collect();
    let rows = target.len().max(1) as f64;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / rows;
    let matrix: Vec<Vec<f64>> = off
        .iter()
        .map(|a| off.iter().map(|b| product(a, b)).collect())
        .collect();
    let mut members: Vec<usize> = (0..said.len()).collect();
    let mut weights = weigh(&matrix, &members)?;
    loop {
        let whole = error(&matrix, &members, &weights);
        // Whoever has no weight leaves first, then whoever is missed least.
        let without = (0..members.len())
            .filter_map(|place| {
                let mut rest = members.clone();
                rest.remove(place);
                let weights = weigh(&matrix, &rest)?;
                Some((error(&matrix, &rest, &weights), rest, weights))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match without {
            Some((error, rest, less)) if rest.len() >= MEMBERS_MAX || error <= whole * (1.0 + MISSED_MIN) => {
                (members, weights) = (rest, less);
            }
            _ => break,
        }
    }
    let mut rounded: Vec<(usize, f64)> = members
        .iter()
        .zip(&weights)
        .map(|(member, weight)| (*member, (weight * WEIGHT_STEPS).round()))
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    rounded.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let others: f64 = rounded.iter().skip(1).map(|(_, weight)| weight).sum();
    rounded.first_mut()?.1 = WEIGHT_STEPS - others;
    rounded.iter_mut().for_each(|(_, weight)| *weight /= WEIGHT_STEPS);
    Some(rounded)
}

fn error(matrix: &[Vec<f64>], members: &[usize], weights: &[f64]) -> f64 {
    let pairs = members.iter().zip(weights);
    let square: f64 = pairs
        .clone()
        .map(|(a, wa)| pairs.clone().map(|(b, wb)| wa * wb * matrix[*a][*b]).sum::<f64>())
        .sum();
    square.max(0.0).sqrt()
}

/// Weights of the members, not below zero and with the sum one, of the least error; `None` without members. Weight moves from the member whose
/// loss of it helps most to the one whose gain of it does, until neither does.
fn weigh(matrix: &[Vec<f64>], members: &[usize]) -> Option<Vec<f64>> {
    /// Each step lowers the error; a few hundred are usual.
    const MOVES_MAX: usize = 5_000;
    let best = (0..members.len()).min_by(|a, b| {
        let of = |place: &usize| matrix[members[*place]][members[*place]];
        of(a).total_cmp(&of(b))
    })?;
    let mut weights = vec![0.0; members.len()];
    weights[best] = 1.0;
    let scale = matrix[members[best]][members[best]].max(f64::MIN_POSITIVE);
    let mut slopes: Vec<f64> = members.iter().map(|member| matrix[*member][members[best]]).collect();
    for _ in 0..MOVES_MAX {
        let places = 0..members.len();
        let to = places.clone().min_by(|a, b| slopes[*a].total_cmp(&slopes[*b]))?;
        let from = places
            .filter(|place| weights[*place] > 0.0)
            .max_by(|a, b| slopes[*a].total_cmp(&slopes[*b]))?;
        let gain = slopes[from] - slopes[to];
        if gain.is_nan() || gain <= 1e-9 * scale {
            break;
        }
        let (a, b) = (members[to], members[from]);
        let bend = matrix[a][a] + matrix[b][b] - 2.0 * matrix[a][b];
        let moved = if bend > 0.0 {
            (gain / bend).min(weights[from])
        } else {
            weights[from]
        };
        weights[to] += moved;
        weights[from] -= moved;
        for (slope, member) in slopes.iter_mut().zip(members) {
            *slope += moved * (matrix[*member][a] - matrix[*member][b]);
        }
    }
    Some(weights)
}

/// The best trial, then greedily whoever helps most, each at the weight that is best.
fn greedy(trials: &[Trial], task: &Task, target: &[f64]) -> Option<Choice> {
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
    /// This choice with one more member, at the weight that is best.
    fn joined(&self, index: usize, trial: &Trial, task: &Task, target: &[f64]) -> Option<Self> {
        let (_, weight) = (1..STEPS)
            .map(|step| step as f64 / STEPS as f64)
            .map(|weight| (task.cost(&self.mixed(trial, weight), target), weight))
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
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

    fn mixed(&self, trial: &Trial, weight: f64) -> Vec<Vec<f64>> {
        let mix = |(old, new): (&f64, &f64)| old + weight * (new - old);
        self.held_out
            .iter()
            .zip(&trial.held_out)
            .map(|(old, new)| old.iter().zip(new).map(mix).collect())
            .collect()
    }
}
