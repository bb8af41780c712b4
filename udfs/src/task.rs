//! What is predicted: a number, or one of some classes.
//!
//! A class is predicted by one output per class, each the probability of that class against the rest; two classes need one output, the
//! probability of the second in the order of their names.

use serde::{Deserialize, Serialize};

use crate::grow::Loss;

/// Classes of one model.
pub(crate) const CLASSES_MAX: usize = 50;
/// Probabilities are kept this far from 0 and 1 when their logarithm is taken.
const CERTAIN: f64 = 1e-6;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    #[default]
    Regression,
    /// The classes' names, sorted.
    Classes(Vec<String>),
}

impl Task {
    pub(crate) fn classes(&self) -> &[String] {
        match self {
            Self::Regression => &[],
            Self::Classes(names) => names,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Classes(names) if names.len() == 2 => "binary",
            Self::Classes(_) => "multiclass",
        }
    }

    pub(crate) fn loss(&self) -> Loss {
        match self {
            Self::Regression => Loss::Squared,
            Self::Classes(_) => Loss::Logistic,
        }
    }

    /// What each output is to say: the target itself, or 1 for the rows of its class. A class is its number.
    pub(crate) fn outputs(&self, target: &[f64]) -> Vec<Vec<f64>> {
        let is = |class: usize| target.iter().map(|y| f64::from(u8::from(*y == class as f64))).collect();
        match self {
            Self::Regression => vec![target.to_vec()],
            Self::Classes(names) if names.len() == 2 => vec![is(1)],
            Self::Classes(names) => (0..names.len()).map(is).collect(),
        }
    }

    /// Makes the outputs of each row sum to one where they are the probabilities of several classes.
    pub(crate) fn normalise(&self, outputs: &mut [Vec<f64>]) {
        if outputs.len() < 2 {
            return;
        }
        let rows = outputs.first().map_or(0, Vec::len);
        for row in 0..rows {
            let sum: f64 = outputs.iter().filter_map(|output| output.get(row)).sum();
            if sum.is_nan() {
                // A row without an answer has none of its parts.
                outputs
                    .iter_mut()
                    .filter_map(|output| output.get_mut(row))
                    .for_each(|value| *value = sum);
                continue;
            }
            let even = 1.0 / outputs.len() as f64;
            for value in outputs.iter_mut().filter_map(|output| output.get_mut(row)) {
                *value = if sum > 0.0 { *value / sum } else { even };
            }
        }
    }

    /// Each class's probability in one row of normalised outputs.
    pub(crate) fn probabilities(&self, outputs: &[Vec<f64>], row: usize) -> Vec<f64> {
        let of = |output: &Vec<f64>| output.get(row).copied().unwrap_or(0.0);
        match outputs {
            [second] => vec![1.0 - of(second), of(second)],
            all => all.iter().map(of).collect(),
        }
    }

    /// How wrong some rows are: the root mean square error, or the mean logarithmic loss.
    pub(crate) fn cost(&self, outputs: &[Vec<f64>], target: &[f64]) -> f64 {
        let count = target.len().max(1) as f64;
        match self {
            Self::Regression => {
                let predicted = outputs.first().map(Vec::as_slice).unwrap_or_default();
                let squares: f64 = predicted.iter().zip(target).map(|(p, y)| (p - y).powi(2)).sum();
                (squares / count).sqrt()
            }
            Self::Classes(_) => {
                let lost = |(row, class): (usize, &f64)| {
                    let p = self
                        .probabilities(outputs, row)
                        .get(*class as usize)
                        .copied()
                        .unwrap_or(0.0);
                    -p.clamp(CERTAIN, 1.0 - CERTAIN).ln()
                };
                target.iter().enumerate().map(lost).sum::<f64>() / count
            }
        }
    }
}
