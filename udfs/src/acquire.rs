//! Which experiments teach most: a batch by expected improvement, each pick made as if the ones before it had been run.
//!
//! Jones, Schonlau and Welch, "Efficient global optimization", J. Global Optimization 13 (1998) 455, averaged over processes that the rows leave
//! plausible (Snoek, Larochelle and Adams, NIPS 2012); the batch as "kriging believer", Ginsbourger, Le Riche and Carraro, 2010: a picked
//! experiment leaves the mean and takes away doubt around it, so that the next pick lies elsewhere.
#![expect(clippy::indexing_slicing, reason = "all vectors are as long as the frame")]

use crate::cholesky::{Triangle, dot, forward};
use crate::frame::Frame;
use crate::kernel::Kernel;

/// Candidates that a batch is picked from: those with the highest expected improvement each on its own.
pub(crate) const POOL: usize = 1_000;

/// What one process knows of some rows.
struct Doubt<'a> {
    kernel: &'a Kernel,
    /// What there is to improve on: the best that was measured, or is believed of a pick.
    best: f64,
    mean: Vec<f64>,
    /// Variance of the true value.
    variance: Vec<f64>,
    /// Half-solved likeness to the training rows.
    half: Vec<Vec<f64>>,
    /// How much each pick explains of each row, in standard deviations.
    explained: Vec<Vec<f64>>,
}

/// Expected improvement over `best` of each row on its own.
pub(crate) fn improvement(kernels: &[Kernel], factors: &[Triangle], frame: &Frame, best: f64) -> Vec<f64> {
    average(&doubts(kernels, factors, frame, best), frame.rows)
}

/// `count` rows, best first.
pub(crate) fn batch(kernels: &[Kernel], factors: &[Triangle], frame: &Frame, best: f64, count: usize) -> Vec<usize> {
    let mut doubts = doubts(kernels, factors, frame, best);
    let mut picked: Vec<usize> = Vec::with_capacity(count.min(frame.rows));
    while picked.len() < count.min(frame.rows) {
        let improvement = average(&doubts, frame.rows);
        let Some(next) = (0..frame.rows)
            .filter(|row| !picked.contains(row))
            .max_by(|a, b| improvement[*a].total_cmp(&improvement[*b]).then(b.cmp(a)))
        else {
            break;
        };
        picked.push(next);
        for doubt in &mut doubts {
            doubt.believe(frame, next);
        }
    }
    picked
}

fn doubts<'a>(kernels: &'a [Kernel], factors: &[Triangle], frame: &Frame, best: f64) -> Vec<Doubt<'a>> {
    kernels
        .iter()
        .zip(factors)
        .map(|(kernel, factor)| Doubt::of(kernel, factor, frame, best))
        .collect()
}

fn average(doubts: &[Doubt<'_>], rows: usize) -> Vec<f64> {
    let mut sum = vec![0.0; rows];
    for doubt in doubts {
        for (total, (mean, variance)) in sum.iter_mut().zip(doubt.mean.iter().zip(&doubt.variance)) {
            *total += expected_improvement(*mean, variance.sqrt(), doubt.best) / doubts.len() as f64;
        }
    }
    sum
}

impl<'a> Doubt<'a> {
    fn of(kernel: &'a Kernel, factor: &Triangle, frame: &Frame, best: f64) -> Self {
        let half: Vec<Vec<f64>> = kernel.likeness(frame).iter().map(|row| forward(factor, row)).collect();
        let variance = half
            .iter()
            .map(|v| kernel.variance() * (1.0 - dot(v, v)).max(1e-9))
            .collect();
        Self {
            kernel,
            best,
            mean: kernel.predict(frame),
            variance,
            half,
            explained: Vec::new(),
        }
    }

    /// As if the row had been run and had given its mean.
    fn believe(&mut self, frame: &Frame, picked: usize) {
        let signal = self.kernel.variance();
        let alike = self.kernel.likeness_to(frame, picked);
        let deviation = (self.variance[picked] + signal * self.kernel.noise()).sqrt();
        let shares: Vec<f64> = (0..frame.rows)
            .map(|row| {
                let known = dot(&self.half[row], &self.half[picked]);
                let told: f64 = self.explained.iter().map(|shares| shares[row] * shares[picked]).sum();
                (signal * (alike[row] - known) - told) / deviation
            })
            .collect();
        for (variance, share) in self.variance.iter_mut().zip(&shares) {
            *variance = (*variance - share * share).max(1e-9 * signal);
        }
        self.explained.push(shares);
        self.best = self.best.max(self.mean[picked]);
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
