//! Support vectors: a sum of bells round some of the training rows.
//!
//! Drucker et al., "Support vector regression machines", NIPS 1996, and Cortes and Vapnik, Machine Learning 20 (1995) 273, for classes, whose margin becomes
//! a probability by a curve fitted on rows held out (Platt, 1999). The intercept is part of the kernel, so that one row after the other can be
//! improved alone (Hsieh et al., ICML 2008) and nothing but the order of the rows decides.
#![expect(
    clippy::indexing_slicing,
    reason = "rows are those of one square table; columns are below the design's width"
)]

use serde::{Deserialize, Serialize};

use crate::block::SparseRow;
use crate::cholesky::dot;
use crate::design::Design;
use crate::feature::Feature;
use crate::frame::Frame;
use crate::grow::Loss;

/// Rows of one machine: their likenesses to each other are 32 MB.
const ROWS_MAX: usize = 2_000;
/// How far one row may pull.
const PULL_MAX: f64 = 3.0;
/// Errors below this share of the target's spread count for nothing.
const TUBE: f64 = 0.1;
/// Passes over the rows, and the change that ends them.
const PASSES: usize = 100;
const CHANGE_MIN: f64 = 1e-4;
/// Parts of the rows that the probabilities' curve is fitted on, each by a machine that did not see it.
const PARTS: usize = 3;

/// A fitted machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    design: Design,
    /// The width of a bell: 1 over the square of its reach.
    narrow: f64,
    rows: Vec<SparseRow>,
    pulls: Vec<f64>,
    /// What an answer of 0 and the unit of answers mean.
    centre: f64,
    scale: f64,
    /// Slope and start of the log-odds along the answers, for classes.
    odds: Option<(f64, f64)>,
}

/// What a row is to be answered with.
#[derive(Clone, Copy)]
enum Aim {
    Number(f64),
    /// On this side of the margin, 1 or −1.
    Side(f64),
}

impl Machine {
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        loss: Loss,
        seed: u64,
    ) -> Result<Self, String> {
        let (design, rows) = Design::fit(features, frame, target, false, seed);
        let width = design.width as u32;
        let inside = |row: SparseRow| row.into_iter().filter(|(col, _)| *col < width).collect();
        let rows: Vec<SparseRow> = rows.into_iter().map(inside).collect();
        let count = target.len().max(1) as f64;
        let centre = target.iter().sum::<f64>() / count;
        let spread = (target.iter().map(|y| (y - centre).powi(2)).sum::<f64>() / count).sqrt();
        if !spread.is_normal() {
            return Err("the target does not vary".to_owned());
        }
        let narrow = narrowness(&rows, design.width);
        let alike = likenesses(&rows, design.width, narrow);
        let is_class = loss == Loss::Logistic;
        let aims: Vec<Aim> = target
            .iter()
            .map(|y| match is_class {
                true => Aim::Side(if *y > 0.5 { 1.0 } else { -1.0 }),
                false => Aim::Number((y - centre) / spread),
            })
            .collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        let pulls = solve(&alike, &all, &aims);
        let odds = is_class.then(|| {
            let mut said = vec![0.0; rows.len()];
            for part in 0..PARTS {
                let (held, told): (Vec<usize>, Vec<usize>) = all.iter().partition(|row| **row % PARTS == part);
                let pulls = solve(&alike, &told, &aims);
                for row in held {
                    said[row] = dot(&alike[row], &pulls);
                }
            }
            curve(&said, target)
        });
        let (rows, pulls) = rows.into_iter().zip(pulls).filter(|(_, pull)| *pull != 0.0).unzip();
        let (centre, scale) = if is_class { (0.0, 1.0) } else { (centre, spread) };
        Ok(Self {
            design,
            narrow,
            rows,
            pulls,
            centre,
            scale,
            odds,
        })
    }

    /// Multiplications of one fit.
    pub(crate) fn work(rows: usize, width: usize) -> Result<f64, String> {
        if rows > ROWS_MAX {
            return Err(format!("{rows} rows are too many, at most {ROWS_MAX}"));
        }
        let pairs = (rows * rows) as f64;
        Ok(pairs * (width.min(64) as f64 + PASSES as f64))
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        let squares: Vec<f64> = self.rows.iter().map(|row| square(row)).collect();
        let mut wide = vec![0.0; self.design.width];
        let mut entries = SparseRow::new();
        let answer = |row| {
            entries.clear();
            self.design.row_into(frame, row, &mut entries);
            entries.retain(|(col, _)| (*col as usize) < wide.len());
            for (col, value) in &entries {
                wide[*col as usize] = *value;
            }
            let size = square(&entries);
            let said: f64 = self
                .rows
                .iter()
                .zip(&squares)
                .zip(&self.pulls)
                .map(|((other, square), pull)| {
                    let common: f64 = other.iter().map(|(col, value)| value * wide[*col as usize]).sum();
                    pull * (1.0 + bell(size + square - 2.0 * common, self.narrow))
                })
                .sum();
            for (col, _) in &entries {
                wide[*col as usize] = 0.0;
            }
            match self.odds {
                Some((slope, start)) => 1.0 / (1.0 + (-(slope * said + start)).exp()),
                None => self.centre + self.scale * said,
            }
        };
        (0..frame.rows).map(answer).collect()
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let entry = |(col, value): &(u32, f64)| (*col as usize) < self.design.width && value.is_finite();
        let numbers = [self.narrow, self.centre, self.scale];
        self.design.is_sound(features)
            && self.rows.len() == self.pulls.len()
            && self.rows.iter().flatten().all(entry)
            && self.pulls.iter().all(|pull| pull.is_finite())
            && numbers.iter().all(|number| number.is_finite())
            && self
                .odds
                .is_none_or(|(slope, start)| slope.is_finite() && start.is_finite())
    }
}

fn square(row: &[(u32, f64)]) -> f64 {
    row.iter().map(|(_, value)| value * value).sum()
}

fn bell(distance: f64, narrow: f64) -> f64 {
    (-narrow * distance.max(0.0)).exp()
}

/// One over the variance of all columns together: rows as far apart as most are e⁻² alike.
fn narrowness(rows: &[SparseRow], width: usize) -> f64 {
    let count = rows.len().max(1) as f64;
    let mut means = vec![0.0; width];
    for (col, value) in rows.iter().flatten() {
        means[*col as usize] += value / count;
    }
    let variance =
        rows.iter().map(|row| square(row)).sum::<f64>() / count - means.iter().map(|mean| mean * mean).sum::<f64>();
    if variance.is_normal() && variance > 0.0 {
        1.0 / variance
    } else {
        1.0
    }
}

/// Of each two rows, with the intercept's 1.
fn likenesses(rows: &[SparseRow], width: usize, narrow: f64) -> Vec<Vec<f64>> {
    let squares: Vec<f64> = rows.iter().map(|row| square(row)).collect();
    let mut wide = vec![0.0; width];
    let mut alike = vec![vec![0.0; rows.len()]; rows.len()];
    for (at, row) in rows.iter().enumerate() {
        for (col, value) in row {
            wide[*col as usize] = *value;
        }
        for (other, theirs) in rows.iter().enumerate() {
            let common: f64 = theirs.iter().map(|(col, value)| value * wide[*col as usize]).sum();
            alike[at][other] = 1.0 + bell(squares[at] + squares[other] - 2.0 * common, narrow);
        }
        for (col, _) in row {
            wide[*col as usize] = 0.0;
        }
    }
    alike
}

/// How much each row pulls, 0 for rows that are not among `told`.
fn solve(alike: &[Vec<f64>], told: &[usize], aims: &[Aim]) -> Vec<f64> {
    let mut pulls = vec![0.0; aims.len()];
    let mut said = vec![0.0; aims.len()];
    for _ in 0..PASSES {
        let mut most = 0.0_f64;
        for row in told {
            let row = *row;
            let own = alike[row][row];
            let others = said[row] - own * pulls[row];
            let best = match aims[row] {
                Aim::Number(aim) => {
                    let off = aim - others;
                    ((off.abs() - TUBE).max(0.0) * off.signum() / own).clamp(-PULL_MAX, PULL_MAX)
                }
                Aim::Side(side) => side * ((1.0 - side * others) / own).clamp(0.0, PULL_MAX),
            };
            let change = best - pulls[row];
            if change != 0.0 {
                pulls[row] = best;
                for (said, alike) in said.iter_mut().zip(&alike[row]) {
                    *said += change * alike;
                }
                most = most.max(change.abs());
            }
        }
        if most < CHANGE_MIN {
            break;
        }
    }
    pulls
}

/// The log-odds of being 1 along what was said: Newton's steps on Platt's smoothed targets.
fn curve(said: &[f64], target: &[f64]) -> (f64, f64) {
    const STEPS: usize = 50;
    const RIDGE: f64 = 1e-6;
    let ones = target.iter().filter(|y| **y > 0.5).count() as f64;
    let zeros = target.len() as f64 - ones;
    let (high, low) = ((ones + 1.0) / (ones + 2.0), 1.0 / (zeros + 2.0));
    let (mut slope, mut start) = (1.0, 0.0);
    for _ in 0..STEPS {
        let (mut gradient, mut hessian) = ([0.0; 2], [RIDGE, 0.0, RIDGE]);
        for (said, y) in said.iter().zip(target) {
            let p = 1.0 / (1.0 + (-(slope * said + start)).exp());
            let off = if *y > 0.5 { high } else { low } - p;
            gradient[0] += off * said;
            gradient[1] += off;
            let weight = p * (1.0 - p);
            hessian[0] += weight * said * said;
            hessian[1] += weight * said;
            hessian[2] += weight;
        }
        let size = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        if !size.is_normal() {
            break;
        }
        let step = (
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / size,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / size,
        );
        slope = (slope + step.0.clamp(-2.0, 2.0)).clamp(-50.0, 50.0);
        start = (start + step.1.clamp(-2.0, 2.0)).clamp(-50.0, 50.0);
        if step.0.abs() + step.1.abs() < 1e-9 {
            break;
        }
    }
    (slope, start)
}
