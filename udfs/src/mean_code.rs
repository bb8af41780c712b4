//! Target encoding: a category's level becomes the mean of the target over its rows, drawn to the overall mean when the rows are few.
//! Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", SIGKDD Explorations 2001.
#![expect(
    clippy::indexing_slicing,
    reason = "rates and sums have one entry per code of the feature, and codes are read with that bound"
)]

use serde::{Deserialize, Serialize};

use crate::feature::UNSEEN_LEVEL;
use crate::sample;

/// Rows of the overall mean mixed into each level's mean.
const SMOOTHING: f64 = 3.0;
/// With fewer rows a level on average, a row's own target would show through its code: training rows are then coded from other rows.
const ROWS_PER_LEVEL_OPEN: usize = 20;

/// The fitted means.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeanCode {
    /// By code; levels this fold did not see hold the overall mean.
    rates: Vec<f64>,
}

impl MeanCode {
    /// Fits on `codes` and `target` of the training rows, and returns the training rows' own values, which must not be computed with
    /// [`MeanCode::value`].
    pub(crate) fn fit(codes: &[u32], code_count: usize, target: &[f64], seed: u64) -> (Self, Vec<f64>) {
        let whole = Sums::over(codes, code_count, target, |_| true);
        let code = Self { rates: whole.rates() };
        let seen = whole.counts.iter().filter(|count| **count > 0.0).count();
        if codes.len() >= seen * ROWS_PER_LEVEL_OPEN {
            let values = codes.iter().map(|c| code.value(*c)).collect();
            return (code, values);
        }
        let (fold_of, k) = sample::folds(codes.len(), None, seed);
        let mut values = vec![0.0; codes.len()];
        for fold in 0..k {
            let others = Sums::over(codes, code_count, target, |row| fold_of[row] != fold).rates();
            for row in (0..codes.len()).filter(|row| fold_of[*row] == fold) {
                values[row] = others[codes[row] as usize];
            }
        }
        (code, values)
    }

    /// The mean of a level; the overall mean for one that training did not see.
    pub(crate) fn value(&self, code: u32) -> f64 {
        self.rates
            .get(code as usize)
            .or_else(|| self.rates.get(UNSEEN_LEVEL as usize))
            .copied()
            .unwrap_or(0.0)
    }

    pub(crate) fn is_sound(&self) -> bool {
        !self.rates.is_empty() && self.rates.iter().all(|rate| rate.is_finite())
    }
}

struct Sums {
    sums: Vec<f64>,
    counts: Vec<f64>,
}

impl Sums {
    fn over(codes: &[u32], code_count: usize, target: &[f64], include: impl Fn(usize) -> bool) -> Self {
        let mut all = Self {
            sums: vec![0.0; code_count],
            counts: vec![0.0; code_count],
        };
        for (row, (code, value)) in codes.iter().zip(target).enumerate() {
            if include(row) {
                all.sums[*code as usize] += value;
                all.counts[*code as usize] += 1.0;
            }
        }
        all
    }

    fn rates(&self) -> Vec<f64> {
        let mean = self.sums.iter().sum::<f64>() / self.counts.iter().sum::<f64>().max(1.0);
        self.sums
            .iter()
            .zip(&self.counts)
            .map(|(sum, count)| (sum + SMOOTHING * mean) / (count + SMOOTHING))
            .collect()
    }
}
