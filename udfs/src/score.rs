//! How good predictions of held-out rows are.

use serde::{Deserialize, Serialize};

use crate::task::Task;

/// The measures of a kind; the others are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    /// What candidates are ranked by, smaller is better: root mean square error or logarithmic loss.
    pub(crate) cost: f64,
    pub(crate) r2: Option<f64>,
    pub(crate) rmse: Option<f64>,
    pub(crate) mae: Option<f64>,
    pub(crate) auc: Option<f64>,
    pub(crate) f1: Option<f64>,
    pub(crate) log_loss: Option<f64>,
    /// Expected calibration error: how far stated probabilities are from what happens, on average.
    pub(crate) calibration: Option<f64>,
}

/// Steps of stated probability in which calibration is looked at.
const CALIBRATION_STEPS: usize = 10;

impl Score {
    /// Over all rows at once, which is steadier than the mean over folds when groups are small.
    pub(crate) fn of(task: &Task, outputs: &[Vec<f64>], target: &[f64]) -> Self {
        let cost = task.cost(outputs, target);
        let count = target.len().max(1) as f64;
        match task {
            Task::Regression => {
                let predicted = outputs.first().map(Vec::as_slice).unwrap_or_default();
                let mean = target.iter().sum::<f64>() / count;
                let spread: f64 = target.iter().map(|y| (y - mean).powi(2)).sum();
                let absolute: f64 = predicted.iter().zip(target).map(|(p, y)| (p - y).abs()).sum();
                Self {
                    cost,
                    r2: Some(1.0 - cost * cost * count / spread),
                    rmse: Some(cost),
                    mae: Some(absolute / count),
                    ..Self::default()
                }
            }
            Task::Classes(names) => {
                let rows: Vec<Vec<f64>> = (0..target.len()).map(|row| task.probabilities(outputs, row)).collect();
                let classes: Vec<usize> = if names.len() == 2 {
                    vec![1]
                } else {
                    (0..names.len()).collect()
                };
                let mean = |of: &dyn Fn(usize) -> Option<f64>| {
                    let known: Vec<f64> = classes.iter().filter_map(|class| of(*class)).collect();
                    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
                };
                Self {
                    cost,
                    auc: mean(&|class| auc(&rows, target, class)),
                    f1: mean(&|class| f1(&rows, target, class)),
                    log_loss: Some(cost),
                    calibration: mean(&|class| Some(calibration(&rows, target, class))),
                    ..Self::default()
                }
            }
        }
    }

    /// The measure that a person looks at first, with its name.
    pub(crate) fn told(&self) -> String {
        match (self.r2, self.auc) {
            (Some(r2), _) => format!("R² {r2:.3}"),
            (None, Some(auc)) => format!("AUC {auc:.3}, log-loss {:.3}", self.cost),
            (None, None) => format!("log-loss {:.3}", self.cost),
        }
    }
}

/// The most probable class; of equals the first.
pub(crate) fn most_probable(probabilities: &[f64]) -> usize {
    let mut best = 0;
    for (class, p) in probabilities.iter().enumerate() {
        if probabilities.get(best).is_some_and(|most| p > most) {
            best = class;
        }
    }
    best
}

/// The area under the receiver's curve: how often a row of the class is ranked above one of the rest.
fn auc(rows: &[Vec<f64>], target: &[f64], class: usize) -> Option<f64> {
    let mut ranked: Vec<(f64, bool)> = rows
        .iter()
        .zip(target)
        .map(|(row, y)| (row.get(class).copied().unwrap_or(0.0), *y == class as f64))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let inside = ranked.iter().filter(|(_, is)| *is).count() as f64;
    let outside = ranked.len() as f64 - inside;
    if inside == 0.0 || outside == 0.0 {
        return None;
    }
    let (mut sum, mut below) = (0.0, 0.0);
    for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
        let with = equal.iter().filter(|(_, is)| *is).count() as f64;
        let without = equal.len() as f64 - with;
        sum += with * (below + without / 2.0);
        below += without;
    }
    Some(sum / (inside * outside))
}

/// The harmonic mean of precision and recall when each row is given its most probable class.
fn f1(rows: &[Vec<f64>], target: &[f64], class: usize) -> Option<f64> {
    let (mut right, mut said, mut is) = (0.0, 0.0, 0.0);
    for (row, y) in rows.iter().zip(target) {
        let (told, true_) = (most_probable(row) == class, *y == class as f64);
        right += f64::from(u8::from(told && true_));
        said += f64::from(u8::from(told));
        is += f64::from(u8::from(true_));
    }
    (is > 0.0).then(|| 2.0 * right / (said + is))
}

fn calibration(rows: &[Vec<f64>], target: &[f64], class: usize) -> f64 {
    let mut steps = [(0.0, 0.0, 0.0); CALIBRATION_STEPS];
    for (row, y) in rows.iter().zip(target) {
        let p = row.get(class).copied().unwrap_or(0.0);
        let step = ((p * CALIBRATION_STEPS as f64) as usize).min(CALIBRATION_STEPS - 1);
        if let Some((count, stated, happened)) = steps.get_mut(step) {
            *count += 1.0;
            *stated += p;
            *happened += f64::from(u8::from(*y == class as f64));
        }
    }
    let off: f64 = steps
        .iter()
        .map(|(_, stated, happened): &(f64, f64, f64)| (stated - happened).abs())
        .sum();
    off / rows.len().max(1) as f64
}
