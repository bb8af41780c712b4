//! Naive Bayes for one class against the rest: each feature speaks for itself, numbers as bell curves, levels by their shares.

use serde::{Deserialize, Serialize};

use crate::feature::{Feature, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};

/// Rows added to each level's count, so that a level never seen with a class does not rule it out.
const SMOOTHING: f64 = 1.0;
/// Share of a number's whole variance below which a class's variance is not believed.
const VARIANCE_MIN: f64 = 1e-3;

/// The log-odds of a class, feature by feature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveBayes {
    prior: f64,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Part {
    /// Mean and variance in the class and outside.
    Number { inside: (f64, f64), outside: (f64, f64) },
    /// Log-odds by code.
    Levels(Vec<f64>),
}

impl NaiveBayes {
    /// `target` holds 1 for the class and 0 for the rest.
    pub(crate) fn fit(features: &[Feature], frame: &Frame, target: &[f64]) -> Self {
        let inside: f64 = target.iter().sum();
        let outside = target.len() as f64 - inside;
        let part = |(feature, col): (&Feature, &Col)| match col {
            Col::Number(values) => {
                let (_, whole) = spread(values.iter().copied());
                let of = |class: f64| {
                    let rows = values.iter().zip(target).filter(|(_, y)| **y == class);
                    let (mean, variance) = spread(rows.map(|(value, _)| *value));
                    (mean, variance.max(VARIANCE_MIN * whole).max(f64::MIN_POSITIVE))
                };
                Part::Number {
                    inside: of(1.0),
                    outside: of(0.0),
                }
            }
            Col::Level(_) | Col::Molecule { .. } => {
                let mut counts = vec![(SMOOTHING, SMOOTHING); feature.codes()];
                for (row, y) in target.iter().enumerate() {
                    if let Some((with, without)) = counts.get_mut(col.code(row) as usize) {
                        *with += y;
                        *without += 1.0 - y;
                    }
                }
                let more = SMOOTHING * counts.len() as f64;
                let odds =
                    |(with, without): &(f64, f64)| ((with / (inside + more)) / (without / (outside + more))).ln();
                Part::Levels(counts.iter().map(odds).collect())
            }
        };
        Self {
            prior: ((inside + SMOOTHING) / (outside + SMOOTHING)).ln(),
            parts: features.iter().zip(&frame.cols).map(part).collect(),
        }
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        let odds = |row: usize| {
            let parts = self
                .parts
                .iter()
                .zip(&frame.cols)
                .map(|(part, col)| part.odds(col, row));
            self.prior + parts.sum::<f64>()
        };
        (0..frame.rows).map(|row| 1.0 / (1.0 + (-odds(row)).exp())).collect()
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let finite = |part: &Part| match part {
            Part::Number { inside, outside } => {
                [inside.0, outside.0].iter().all(|v| v.is_finite()) && inside.1 > 0.0 && outside.1 > 0.0
            }
            Part::Levels(odds) => odds.iter().all(|v| v.is_finite()),
        };
        self.parts.len() == features && self.prior.is_finite() && self.parts.iter().all(finite)
    }
}

impl Part {
    fn odds(&self, col: &Col, row: usize) -> f64 {
        match self {
            Self::Number { inside, outside } => {
                let value = col.number(row);
                let log = |(mean, variance): &(f64, f64)| -0.5 * ((value - mean).powi(2) / variance + variance.ln());
                // Far outside both curves their ratio says nothing.
                if value.is_nan() {
                    0.0
                } else {
                    (log(inside) - log(outside)).clamp(-20.0, 20.0)
                }
            }
            Self::Levels(odds) => match col.code(row) {
                UNSEEN_LEVEL => 0.0,
                code => odds.get(code as usize).copied().unwrap_or(0.0),
            },
        }
    }
}

/// Mean and variance of the known values.
fn spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let known = || values.clone().filter(|v| !v.is_nan());
    let count = known().count().max(1) as f64;
    let mean = known().sum::<f64>() / count;
    (mean, known().map(|v| (v - mean).powi(2)).sum::<f64>() / count)
}
