//! Which experiments teach most: a batch by expected improvement, each pick made as if the ones before it had been run.
//!
//! Jones, Schonlau and Welch, "Efficient global optimization", J. Global Optimization 13 (1998) 455, averaged over processes that the rows leave
//! plausible (Snoek, Larochelle and Adams, NIPS 2012); the batch as "kriging believer", Ginsbourger, Le Riche and Carraro, 2010: a picked
//! experiment leaves the mean and takes away doubt around it, so that the next pick lies elsewhere.
#![expect(clippy::indexing_slicing, reason = "all vectors are as long as the frame")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cholesky::{self, Triangle, dot, forward};
use crate::frame::Frame;
use crate::kernel::Kernel;

/// Candidates that a batch is picked from at least.
const POOL: usize = 1_000;
/// A batch of more is picked by two processes: what each must remember of every pick grows with its square.
const PICKS_OF_ALL_MAX: usize = 500;
/// What is added to a covariance so that it can be factored.
const JITTER: f64 = 1e-6;

/// Candidates that a batch of `count` is picked from: those with the highest expected improvement each on its own. A large batch needs a choice, too,
/// or there is nothing left to be diverse with.
pub(crate) fn pool(count: usize) -> usize {
    POOL.max(2 * count + POOL / 2)
}

/// The processes that pick a batch of `count`.
fn judges<'a>(kernels: &'a [Kernel], factors: &'a [Triangle], count: usize) -> (&'a [Kernel], &'a [Triangle]) {
    let judges = if count > PICKS_OF_ALL_MAX { 2 } else { kernels.len() };
    (
        kernels.get(..judges).unwrap_or(kernels),
        factors.get(..judges).unwrap_or(factors),
    )
}

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
    let (kernels, factors) = judges(kernels, factors, count);
    let mut doubts = doubts(kernels, factors, frame, best);
    let mut picked: Vec<usize> = Vec::with_capacity(count.min(frame.rows));
    let mut is_picked = vec![false; frame.rows];
    while picked.len() < count.min(frame.rows) {
        let improvement = average(&doubts, frame.rows);
        let Some(next) = (0..frame.rows)
            .filter(|row| !is_picked[*row])
            .max_by(|a, b| improvement[*a].total_cmp(&improvement[*b]).then(b.cmp(a)))
        else {
            break;
        };
        picked.push(next);
        is_picked[next] = true;
        for doubt in &mut doubts {
            doubt.believe(frame, next);
        }
    }
    picked
}

/// `count` rows, each the best one in a world drawn from what a process leaves possible, and not picked before. Thompson, "On the likelihood that
/// one unknown probability exceeds another", Biometrika 25 (1933) 285; the processes take turns. The draws follow from the rows alone.
pub(crate) fn sampled(kernels: &[Kernel], factors: &[Triangle], frame: &Frame, count: usize) -> Vec<usize> {
    let (kernels, factors) = judges(kernels, factors, count);
    let mut rng = StdRng::seed_from_u64(0);
    let mut picked = vec![Vec::new(); kernels.len()];
    let mut is_picked = vec![false; frame.rows];
    let wanted = count.min(frame.rows);
    for (turn, (kernel, factor)) in kernels.iter().zip(factors).enumerate() {
        let share = wanted / kernels.len() + usize::from(turn < wanted % kernels.len());
        let Some(world) = World::of(kernel, factor, frame) else {
            continue;
        };
        for _ in 0..share {
            let drawn = world.draw(&mut rng);
            let free = (0..frame.rows).filter(|row| !is_picked[*row]);
            let Some(next) = free.max_by(|a, b| drawn[*a].total_cmp(&drawn[*b]).then(b.cmp(a))) else {
                break;
            };
            is_picked[next] = true;
            picked[turn].push(next);
        }
    }
    // In turns, so that any beginning of the list is a batch of all processes.
    let longest = picked.iter().map(Vec::len).max().unwrap_or(0);
    let mut all: Vec<usize> = (0..longest)
        .flat_map(|place| picked.iter().filter_map(move |list| list.get(place)).copied())
        .collect();
    // A process that could not be drawn from leaves its share to the best of the others' list.
    let missing = wanted.saturating_sub(all.len());
    all.extend((0..frame.rows).filter(|row| !is_picked[*row]).take(missing));
    all
}

/// What one process leaves possible of some rows together.
struct World {
    mean: Vec<f64>,
    /// The signal's standard deviation.
    scale: f64,
    /// The factor of their covariance, in units of the signal's variance.
    factor: Triangle,
}

impl World {
    fn of(kernel: &Kernel, known: &Triangle, frame: &Frame) -> Option<Self> {
        let half: Vec<Vec<f64>> = kernel.likeness(frame).iter().map(|row| forward(known, row)).collect();
        let mut factor: Triangle = (0..frame.rows)
            .map(|row| {
                let alike = kernel.likeness_to(frame, row);
                let told = |other: usize| alike[other] - dot(&half[row], &half[other]);
                let mut line: Vec<f64> = (0..=row).map(told).collect();
                line[row] = line[row].max(0.0) + JITTER;
                line
            })
            .collect();
        cholesky::factor(&mut factor).then(|| Self {
            mean: kernel.predict(frame),
            scale: kernel.variance().sqrt(),
            factor,
        })
    }

    fn draw(&self, rng: &mut StdRng) -> Vec<f64> {
        let normal: Vec<f64> = (0..self.mean.len()).map(|_| standard_normal(rng)).collect();
        let drawn = self.factor.iter().zip(&self.mean);
        drawn
            .map(|(line, mean)| mean + self.scale * dot(line, &normal[..line.len()]))
            .collect()
    }
}

/// Box and Muller, 1958.
fn standard_normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * rng.random::<f64>()).cos()
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
        let mut told = vec![0.0; frame.rows];
        for shares in &self.explained {
            let own = shares[picked];
            for (told, share) in told.iter_mut().zip(shares) {
                *told += share * own;
            }
        }
        let shares: Vec<f64> = (0..frame.rows)
            .map(|row| {
                let known = dot(&self.half[row], &self.half[picked]);
                (signal * (alike[row] - known) - told[row]) / deviation
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
