//! Which experiments teach most: a batch by expected improvement, each pick made as if the ones before it had been run.
//!
//! Jones, Schonlau and Welch, "Efficient global optimization", J. Global Optimization 13 (1998) 455; the batch as "kriging believer", Ginsbourger, Le
//! Riche and Carraro, 2010: a picked experiment leaves the mean and takes away doubt around it, so that the next pick lies elsewhere.
#![expect(clippy::indexing_slicing, reason = "all vectors are as long as the pool")]

use crate::cholesky::{Triangle, dot, forward};
use crate::frame::Frame;
use crate::kernel::Kernel;

/// Candidates that a batch is picked from: those with the highest expected improvement each on its own.
pub(crate) const POOL: usize = 1_000;

/// What a process knows of some rows.
pub(crate) struct Doubt {
    pub(crate) mean: Vec<f64>,
    /// Variance of the true value.
    pub(crate) variance: Vec<f64>,
    /// Half-solved likeness to the training rows.
    half: Vec<Vec<f64>>,
}

impl Doubt {
    pub(crate) fn of(kernel: &Kernel, factor: &Triangle, frame: &Frame) -> Self {
        let half: Vec<Vec<f64>> = kernel.likeness(frame).iter().map(|row| forward(factor, row)).collect();
        let variance = half
            .iter()
            .map(|v| kernel.variance() * (1.0 - dot(v, v)).max(1e-9))
            .collect();
        Self {
            mean: kernel.predict(frame),
            variance,
            half,
        }
    }

    /// Expected improvement over `best` of each row.
    pub(crate) fn improvement(&self, best: f64) -> Vec<f64> {
        let pairs = self.mean.iter().zip(&self.variance);
        pairs
            .map(|(mean, variance)| expected_improvement(*mean, variance.sqrt(), best))
            .collect()
    }

    /// `count` rows, best first.
    pub(crate) fn batch(mut self, kernel: &Kernel, frame: &Frame, best: f64, count: usize) -> Vec<usize> {
        let rows = self.mean.len();
        let mut picked: Vec<usize> = Vec::with_capacity(count.min(rows));
        // How much each pick explains of each row, in standard deviations.
        let mut explained: Vec<Vec<f64>> = Vec::new();
        while picked.len() < count.min(rows) {
            let improvement = self.improvement(best);
            let Some(next) = (0..rows)
                .filter(|row| !picked.contains(row))
                .max_by(|a, b| improvement[*a].total_cmp(&improvement[*b]).then(b.cmp(a)))
            else {
                break;
            };
            picked.push(next);
            let alike = kernel.likeness_to(frame, next);
            let noise = kernel.variance() * kernel.noise();
            let deviation = (self.variance[next] + noise).sqrt();
            let shares: Vec<f64> = (0..rows)
                .map(|row| {
                    let known = dot(&self.half[row], &self.half[next]);
                    let told: f64 = explained.iter().map(|shares| shares[row] * shares[next]).sum();
                    (kernel.variance() * (alike[row] - known) - told) / deviation
                })
                .collect();
            for (variance, share) in self.variance.iter_mut().zip(&shares) {
                *variance = (*variance - share * share).max(1e-9 * kernel.variance());
            }
            explained.push(shares);
        }
        picked
    }
}

fn expected_improvement(mean: f64, deviation: f64, best: f64) -> f64 {
    let z = (mean - best) / deviation;
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    deviation * (z * below(z) + density)
}

/// The normal distribution's share below z: Abramowitz and Stegun 26.2.17, off by less than 1e-7.
fn below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let above = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
    if z >= 0.0 { 1.0 - above } else { above }
}
