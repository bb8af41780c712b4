//! The settings of a process, found by the slope of their likelihood.
//!
//! Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4.1. Since a row's likeness is a product over columns, and a
//! column's a table of its entries, the slope along all settings takes one pass over the pairs of rows: each pair's share is added to the cell it
//! falls on, and the rest is done on tables. Steps are resilient propagation's (Riedmiller and Braun, ICNN 1993), which look at signs only and need
//! no search along a line.
#![expect(
    clippy::indexing_slicing,
    reason = "entries are below the height of the tables made for them, settings below their count"
)]

use ndarray::Array2;
use ndarray::linalg::general_mat_mul;

use crate::cholesky::dot;
use crate::dense::{factor, forward, inverse};
use crate::frame::Frame;
use crate::kernel::{Kernel, LOG_MAX};
use crate::sample;
use crate::stop;

/// Steps of one climb; each solves a system of the chosen rows.
pub(crate) const STEPS: usize = 40;
/// Logarithms: the first step, the largest, and the one below which a setting is settled.
const STEP_FIRST: f64 = 0.3;
const STEP_MAX: f64 = 1.0;
const STEP_MIN: f64 = 0.01;

impl Kernel {
    /// Chooses shares, lengths and noise on so many rows.
    pub(crate) fn climb(&mut self, frame: &Frame, centred: &[f64], rows_max: usize, seed: u64) {
        let all: Vec<usize> = (0..centred.len()).collect();
        let rows = sample::some(&all, rows_max, seed);
        let target: Vec<f64> = rows.iter().map(|row| centred[*row]).collect();
        let mut small = self.of_rows(frame, &rows);
        let frame = frame.take(&rows);
        let settings: Vec<usize> = (0..small.settings()).filter(|number| small.tunable(*number)).collect();
        let mut steps = vec![STEP_FIRST; settings.len()];
        let mut before = vec![0.0_f64; settings.len()];
        let mut best = (f64::INFINITY, small.clone());
        for _ in 0..STEPS {
            if stop::is_asked() {
                break;
            }
            let Some((cost, slope)) = small.slope(&frame, &target) else {
                // Too far: back to the best, with smaller steps.
                small = best.1.clone();
                steps.iter_mut().for_each(|step| *step /= 2.0);
                before.fill(0.0);
                continue;
            };
            if cost < best.0 {
                best = (cost, small.clone());
            }
            if steps.iter().all(|step| *step < STEP_MIN) {
                break;
            }
            for (place, number) in settings.iter().enumerate() {
                let mut now = slope[*number];
                if now * before[place] > 0.0 {
                    steps[place] = (steps[place] * 1.2).min(STEP_MAX);
                } else if now * before[place] < 0.0 {
                    steps[place] /= 2.0;
                    now = 0.0;
                }
                if now != 0.0 {
                    let setting = small.setting(*number);
                    *setting = (*setting - now.signum() * steps[place]).clamp(-LOG_MAX, LOG_MAX);
                }
                before[place] = now;
            }
        }
        self.take_settings(&best.1);
    }

    /// The cost of the present settings (see [`Kernel::surprise`]; both are negative logarithms) and its slope along each. `None` if the rows cannot be
    /// told apart.
    fn slope(&self, frame: &Frame, target: &[f64]) -> Option<(f64, Vec<f64>)> {
        let rows = target.len();
        let parts = self.parts(frame);
        let tables = self.tables_of(&parts);
        let alike = self.square(&tables);
        let mut lower = alike.clone();
        let noise = self.noise();
        lower.diag_mut().iter_mut().for_each(|value| *value += noise);
        if !factor(&mut lower) {
            return None;
        }
        let half = forward(&lower, target);
        let fit = dot(&half, &half).max(f64::MIN_POSITIVE) / rows as f64;
        let determinant: f64 = lower.diag().iter().map(|value| value.ln()).sum();
        let cost = self.surprise() + 0.5 * rows as f64 * fit.ln() + determinant;

        let up = inverse(&lower.view());
        let mut whole = lower;
        general_mat_mul(1.0, &up.t(), &up, 0.0, &mut whole);
        let weights: Vec<f64> = whole
            .rows()
            .into_iter()
            .map(|row| dot(row.to_slice().unwrap_or_default(), target))
            .collect();
        // The slope along each likeness, times the likeness: half of the matrix stands for both.
        let mut cells: Vec<Array2<f64>> = tables
            .iter()
            .map(|table| Array2::zeros((table.len(), table.len())))
            .collect();
        let mut along_noise = 0.0;
        for (i, (of, weight)) in self.rows.iter().zip(&weights).enumerate() {
            let pairs = whole
                .row(i)
                .into_iter()
                .zip(alike.row(i))
                .zip(weights.iter().zip(&self.rows));
            let pairs: Vec<(f64, &Vec<u32>)> = pairs
                .take(i)
                .map(|((inverse, alike), (other_weight, other))| {
                    ((inverse - weight * other_weight / fit) * alike, other)
                })
                .collect();
            for (column, cells) in cells.iter_mut().enumerate() {
                let mut cells = cells.row_mut(of[column] as usize);
                for (slope, other) in &pairs {
                    cells[other[column] as usize] += slope;
                }
            }
            along_noise += 0.5 * (whole[[i, i]] - weight * weight / fit) * noise;
        }
        let mut slope = self.surprise_slope();
        slope[0] += along_noise;
        for (column, axis) in self.columns.iter().enumerate() {
            let (entries, common) = &parts[column];
            let of = axis.slopes(entries, common.as_deref(), &tables[column], &cells[column]);
            for (place, along) in of.into_iter().enumerate() {
                slope[1 + 3 * column + place] += along;
            }
        }
        Some((cost, slope))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chem::Chem;
    use crate::frame::Col;

    #[test]
    fn the_slope_is_that_of_the_cost() {
        let solvents = ["CCO", "CC(C)=O", "c1ccccc1", "CC#N"].map(Chem::of);
        let rows = 60;
        let frame = Frame {
            rows,
            cols: vec![
                Col::Level((0..rows as u32).map(|row| 2 + row % 5).collect()),
                Col::Number(
                    (0..rows)
                        .map(|row| if row == 7 { f64::NAN } else { (row * row % 17) as f64 })
                        .collect(),
                ),
                Col::Molecule {
                    codes: (0..rows as u32).map(|row| 2 + row % 4).collect(),
                    known: Arc::new(solvents.to_vec()),
                    fresh: Arc::default(),
                },
            ],
        };
        let target: Vec<f64> = (0..rows).map(|row| ((row * 31) % 11) as f64 - 5.0).collect();
        let (kernel, centred) = Kernel::unfitted(&frame, &target).unwrap();
        let (_, slope) = kernel.slope(&frame, &centred).unwrap();
        for number in (0..kernel.settings()).filter(|number| kernel.tunable(*number)) {
            let cost = |change: f64| {
                let mut moved = kernel.clone();
                *moved.setting(number) += change;
                moved.slope(&frame, &centred).unwrap().0
            };
            let measured = (cost(1e-4) - cost(-1e-4)) / 2e-4;
            assert!(
                (measured - slope[number]).abs() < 1e-4 * (1.0 + measured.abs()),
                "setting {number}: {measured} and {}",
                slope[number]
            );
        }
    }
}
