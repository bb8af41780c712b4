//! A Gaussian process over tuples of levels, molecules and numbers.
//!
//! Two rows are as alike as their columns, multiplied: in each column a share that is always alike, a share for equal entries (or near
//! numbers, Matérn 5/2) and, for molecules, a share for common surroundings. Multiplied out this is an analysis of variance with all interactions,
//! each shrunk as the data say. Shares and noise maximise the marginal likelihood (Rasmussen and Williams, "Gaussian Processes for Machine
//! Learning", 2006, chapter 5) on a sample, by a pattern search that needs no gradient.
#![expect(
    clippy::indexing_slicing,
    reason = "entries are below the height of the tables made for them; stored numbers are checked by is_sound"
)]

use ndarray::Array2;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::axis::{Axis, Entries, Table, surroundings};
use crate::cholesky::{Triangle, dot, factor, forward};
use crate::dense;
use crate::frame::Frame;
use crate::sample;
use crate::stop;
use crate::tune;

/// Rows of one process: the factor's cost grows with their cube, 4,000 take about a second and 130 MB.
pub(crate) const ROWS_MAX: usize = 4_000;
/// Columns: with more, everything is far from everything.
const COLUMNS_MAX: usize = 64;
/// Rows that shares and noise are chosen on.
const TUNE_ROWS: usize = 1_000;
/// Likelihoods computed where few rows choose.
const TUNE_STEPS: usize = 220;
/// Logarithms of shares and lengths stay within this: beyond, a column is all or nothing.
pub(crate) const LOG_MAX: f64 = 7.0;

/// A fitted process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kernel {
    pub(crate) columns: Vec<Axis>,
    pub(crate) centre: f64,
    /// Logarithm of the variance of the noise over that of the signal.
    noise: f64,
    /// Variance of the signal.
    variance: f64,
    /// Entry of each column for each training row.
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) weights: Vec<f64>,
}

impl Kernel {
    pub(crate) fn fit(frame: &Frame, target: &[f64], seed: u64) -> Result<Self, String> {
        let (mut kernel, centred) = Self::unfitted(frame, target)?;
        kernel.climb(frame, &centred, TUNE_ROWS, seed);
        kernel.weigh(frame, &centred)?;
        Ok(kernel)
    }

    /// The same with shares and noise chosen on so many rows, by search: for few rows, whose likelihood has several hills.
    pub(crate) fn fit_tuned(frame: &Frame, target: &[f64], tune_rows: usize, seed: u64) -> Result<Self, String> {
        let (mut kernel, centred) = Self::unfitted(frame, target)?;
        kernel.tune(frame, &centred, tune_rows, seed);
        kernel.weigh(frame, &centred)?;
        Ok(kernel)
    }

    /// The columns and rows, with usual settings and no weights; and the centred target.
    pub(crate) fn unfitted(frame: &Frame, target: &[f64]) -> Result<(Self, Vec<f64>), String> {
        let mut columns = Vec::new();
        let mut codes: Vec<Vec<u32>> = Vec::new();
        for (index, col) in frame.cols.iter().enumerate() {
            if let Some((axis, of_rows)) = Axis::fit(index, col, frame.rows) {
                columns.push(axis);
                codes.push(of_rows);
            }
        }
        suits(frame.rows, columns.len())?;
        // Few entries first: prediction shares what rows have in common in all columns but the last.
        let mut places: Vec<usize> = (0..columns.len()).collect();
        places.sort_by_key(|place| (columns[*place].count(), *place));
        let columns: Vec<Axis> = places.iter().map(|place| columns[*place].clone()).collect();
        let codes: Vec<Vec<u32>> = places.iter().map(|place| std::mem::take(&mut codes[*place])).collect();
        let centre = target.iter().sum::<f64>() / target.len().max(1) as f64;
        let centred: Vec<f64> = target.iter().map(|y| y - centre).collect();
        let rows: Vec<Vec<u32>> = (0..frame.rows)
            .map(|row| codes.iter().map(|c| c[row]).collect())
            .collect();
        let kernel = Self {
            columns,
            centre,
            noise: -3.0,
            variance: 1.0,
            rows,
            weights: Vec::new(),
        };
        Ok((kernel, centred))
    }

    /// Multiplications of one fit.
    pub(crate) fn work(rows: usize, columns: usize) -> Result<f64, String> {
        suits(rows, columns)?;
        let (all, tuned) = (rows as f64, rows.min(TUNE_ROWS) as f64);
        // A pair of rows costs a look into a table, and some more where it is compared anew; the rest is matrix products.
        let pairs = |n: f64| 8.0 * n * n * columns as f64;
        Ok(all.powi(3) / 6.0 + pairs(all) + tune::STEPS as f64 * (1.6 * tuned.powi(3) + 2.0 * pairs(tuned)))
    }

    /// Variance of the signal.
    pub(crate) fn variance(&self) -> f64 {
        self.variance
    }

    /// Variance of the noise over that of the signal.
    pub(crate) fn noise(&self) -> f64 {
        self.noise.exp()
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        self.weights.len() == self.rows.len()
            && self.weights.iter().all(|w| w.is_finite())
            && self.centre.is_finite()
            && self.noise.is_finite()
            && self.variance.is_finite()
            && self.columns.iter().all(|axis| axis.is_sound(features))
            && self.rows.iter().all(|row| {
                row.len() == self.columns.len()
                    && row
                        .iter()
                        .zip(&self.columns)
                        .all(|(entry, axis)| (*entry as usize) < axis.count())
            })
    }

    /// The factor of the training rows' likeness with its noise. `frame` is any frame of the model's features.
    pub(crate) fn factor(&self, frame: &Frame) -> Option<Triangle> {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let mut matrix = self.triangle(&all, &self.tables(frame));
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] += self.noise.exp();
        }
        factor(&mut matrix).then_some(matrix)
    }

    /// The same columns and settings over some of the rows.
    pub(crate) fn of_rows(&self, frame: &Frame, rows: &[usize]) -> Self {
        let few = frame.take(rows);
        let mut small = Self {
            columns: Vec::with_capacity(self.columns.len()),
            rows: vec![Vec::with_capacity(self.columns.len()); rows.len()],
            weights: Vec::new(),
            ..self.clone()
        };
        for axis in &self.columns {
            let (axis, codes) = axis.met(&few.cols[axis.feature], rows.len());
            small.columns.push(axis);
            small.rows.iter_mut().zip(codes).for_each(|(row, code)| row.push(code));
        }
        small
    }

    /// Shares, lengths and noise as another one of the same columns has them.
    pub(crate) fn take_settings(&mut self, other: &Self) {
        self.noise = other.noise;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.take_settings(theirs);
        }
    }

    /// Likeness of the axes' own entries.
    pub(crate) fn tables_of(&self, parts: &[(Entries<'_>, Option<Vec<Vec<f64>>>)]) -> Vec<Table> {
        self.columns
            .iter()
            .zip(parts)
            .map(|(axis, (own, common))| axis.combined(own, own, common.as_deref()))
            .collect()
    }

    /// Likeness of the training rows to each other; what is above the diagonal is not filled.
    pub(crate) fn square(&self, tables: &[Table]) -> Array2<f64> {
        let mut square = Array2::ones((self.rows.len(), self.rows.len()));
        for (i, (mut line, of)) in square.rows_mut().into_iter().zip(&self.rows).enumerate() {
            for (column, table) in tables.iter().enumerate() {
                let alike = &table[of[column] as usize];
                for (value, other) in line.iter_mut().zip(&self.rows[..=i]) {
                    *value *= alike[other[column] as usize];
                }
            }
        }
        square
    }

    /// The same, of each column one entry's likenesses at a time: the table of a column of different numbers is as large as the square.
    fn whole_square(&self, frame: &Frame) -> Array2<f64> {
        let mut square = Array2::ones((self.rows.len(), self.rows.len()));
        for (column, axis) in self.columns.iter().enumerate() {
            let own = axis.own(&frame.cols[axis.feature]);
            let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); own.count()];
            for (row, of) in self.rows.iter().enumerate() {
                rows_of[of[column] as usize].push(row);
            }
            for (entry, rows) in rows_of.iter().enumerate() {
                let table = axis.table(&own.only(entry), &own);
                let Some(alike) = table.first() else { continue };
                for row in rows {
                    let mut line = square.row_mut(*row);
                    for (value, other) in line.iter_mut().zip(&self.rows[..=*row]) {
                        *value *= alike[other[column] as usize];
                    }
                }
            }
        }
        square
    }

    /// Likeness of each axis' own entries.
    fn tables(&self, frame: &Frame) -> Vec<Vec<Vec<f64>>> {
        self.columns
            .iter()
            .map(|axis| {
                let own = axis.own(&frame.cols[axis.feature]);
                axis.table(&own, &own)
            })
            .collect()
    }

    /// The negative logarithm of what is expected of the settings before any row is seen: what columns have in common counts about as much as
    /// what tells them apart, numbers reach far, there is little noise. A few dozen rows cannot settle all of them alone.
    pub(crate) fn surprise(&self) -> f64 {
        let off = |number: usize| {
            let (usual, spread) = usual(number);
            0.5 * ((self.value(number) - usual) / spread).powi(2)
        };
        (0..self.settings())
            .filter(|number| self.tunable(*number))
            .map(off)
            .sum()
    }

    /// Its slope along each setting.
    pub(crate) fn surprise_slope(&self) -> Vec<f64> {
        let along = |number: usize| {
            let (usual, spread) = usual(number);
            if self.tunable(number) {
                (self.value(number) - usual) / (spread * spread)
            } else {
                0.0
            }
        };
        (0..self.settings()).map(along).collect()
    }

    /// The negative logarithm of the marginal likelihood on some rows, the signal's variance at its best; infinite if there is none.
    fn cost(&self, rows: &[usize], target: &[f64], parts: &[(Entries<'_>, Option<Vec<Vec<f64>>>)]) -> f64 {
        let mut matrix = self.triangle(rows, &self.tables_of(parts));
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] += self.noise.exp();
        }
        if !factor(&mut matrix) {
            return f64::INFINITY;
        }
        let half = forward(&matrix, target);
        let count = target.len() as f64;
        let fit = dot(&half, &half).max(f64::MIN_POSITIVE) / count;
        self.surprise() + 0.5 * count * fit.ln() + matrix.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }

    fn triangle(&self, rows: &[usize], tables: &[Vec<Vec<f64>>]) -> Triangle {
        rows.iter()
            .enumerate()
            .map(|(i, row)| {
                let mut line = vec![1.0; i + 1];
                for (column, table) in tables.iter().enumerate() {
                    let alike = &table[self.rows[*row][column] as usize];
                    for (value, other) in line.iter_mut().zip(rows) {
                        *value *= alike[self.rows[*other][column] as usize];
                    }
                }
                line
            })
            .collect()
    }

    /// Chooses shares, lengths and noise.
    fn tune(&mut self, frame: &Frame, centred: &[f64], tune_rows: usize, seed: u64) {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let rows = sample::some(&all, tune_rows, seed);
        let target: Vec<f64> = rows.iter().map(|row| centred[*row]).collect();
        // Molecules are compared once, not in every step.
        let parts = self.parts(frame);
        let mut cost = self.cost(&rows, &target, &parts);
        let (mut step, mut steps) = (1.5, 0);
        while step > 0.2 && steps < TUNE_STEPS && !stop::is_asked() {
            let mut better = false;
            for number in 0..self.settings() {
                if !self.tunable(number) {
                    continue;
                }
                for change in [step, -step] {
                    let old = *self.setting(number);
                    let new = old + change;
                    if new.abs() > LOG_MAX || steps >= TUNE_STEPS {
                        continue;
                    }
                    *self.setting(number) = new;
                    let now = self.cost(&rows, &target, &parts);
                    steps += 1;
                    if now < cost - 1e-3 {
                        (cost, better) = (now, true);
                        break;
                    }
                    *self.setting(number) = old;
                }
            }
            if !better {
                step /= 2.0;
            }
        }
    }

    /// Settings drawn from all that the rows leave plausible (Metropolis), each fitted: one likeliest setting is surer than it should be.
    pub(crate) fn council(
        self,
        frame: &Frame,
        target: &[f64],
        members: usize,
        tune_rows: usize,
        seed: u64,
    ) -> Vec<Self> {
        /// Proposals between two members, and before the first.
        const STEPS: usize = 25;
        /// Size of a proposal, in logarithms.
        const STRIDE: f64 = 1.0;
        let mut rng = StdRng::seed_from_u64(seed);
        let centred: Vec<f64> = target.iter().map(|y| y - self.centre).collect();
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let rows = sample::some(&all, tune_rows, seed);
        let told: Vec<f64> = rows.iter().map(|row| centred[*row]).collect();
        let parts = self.parts(frame);
        let mut walker = self.clone();
        let mut cost = walker.cost(&rows, &told, &parts);
        let settings: Vec<usize> = (0..walker.settings()).filter(|n| walker.tunable(*n)).collect();
        let mut council = vec![self];
        while council.len() < members && !stop::is_asked() {
            for _ in 0..STEPS {
                let Some(number) = settings.get(rng.random_range(0..settings.len())).copied() else {
                    break;
                };
                let old = *walker.setting(number);
                let new = old + STRIDE * (2.0 * rng.random::<f64>() - 1.0);
                *walker.setting(number) = new;
                let now = walker.cost(&rows, &told, &parts);
                if new.abs() <= LOG_MAX && rng.random::<f64>() < (cost - now).exp() {
                    cost = now;
                } else {
                    *walker.setting(number) = old;
                }
            }
            let mut member = walker.clone();
            if member.weigh(frame, &centred).is_ok() {
                council.push(member);
            } else {
                break;
            }
        }
        council
    }

    /// What each axis' entries have in common, which no setting changes.
    pub(crate) fn parts<'a>(&self, frame: &'a Frame) -> Vec<(Entries<'a>, Option<Vec<Vec<f64>>>)> {
        self.columns
            .iter()
            .map(|axis| {
                let own = axis.own(&frame.cols[axis.feature]);
                let common = axis.molecules.then(|| surroundings(&own, &own));
                (own, common)
            })
            .collect()
    }

    /// Weights and variance for the present settings.
    fn weigh(&mut self, frame: &Frame, centred: &[f64]) -> Result<(), String> {
        let mut matrix = self.whole_square(frame);
        let noise = self.noise();
        matrix.diag_mut().iter_mut().for_each(|value| *value += noise);
        if !dense::factor(&mut matrix) {
            return Err("the rows are too alike".to_owned());
        }
        self.weights = dense::solve(&matrix, centred);
        let fit: f64 = self.weights.iter().zip(centred).map(|(w, y)| w * y).sum();
        // One share a column and the mean are chosen on the same rows: with few rows the variance they leave is too small.
        let (rows, chosen) = (centred.len() as f64, self.columns.len() as f64 + 1.0);
        let free = (rows - chosen).max(rows / 4.0);
        self.variance = (fit / free.max(1.0)).max(f64::MIN_POSITIVE);
        if self.weights.iter().all(|w| w.is_finite()) {
            Ok(())
        } else {
            Err("the solution is not finite".to_owned())
        }
    }

    /// How many settings there are: the noise, and three of each axis.
    pub(crate) fn settings(&self) -> usize {
        1 + 3 * self.columns.len()
    }

    pub(crate) fn tunable(&self, number: usize) -> bool {
        let Some(at) = number.checked_sub(1) else { return true };
        let axis = &self.columns[at / 3];
        match at % 3 {
            0 => true,
            1 => axis.molecules,
            _ => axis.scale.is_some(),
        }
    }

    /// A setting by number.
    pub(crate) fn setting(&mut self, number: usize) -> &mut f64 {
        let Some(at) = number.checked_sub(1) else {
            return &mut self.noise;
        };
        let axis = &mut self.columns[at / 3];
        match at % 3 {
            0 => &mut axis.equal,
            1 => &mut axis.common,
            _ => &mut axis.length,
        }
    }

    fn value(&self, number: usize) -> f64 {
        let Some(at) = number.checked_sub(1) else {
            return self.noise;
        };
        let axis = &self.columns[at / 3];
        [axis.equal, axis.common, axis.length][at % 3]
    }
}

/// What is expected of a setting, and how far off it may well be.
const fn usual(number: usize) -> (f64, f64) {
    match number {
        0 => (-5.0, 1.0),
        number if number % 3 == 0 => (2.0, 0.7),
        _ => (0.0, 1.0),
    }
}

/// A process needs few enough rows and columns.
fn suits(rows: usize, columns: usize) -> Result<(), String> {
    match (rows, columns) {
        (_, 0) => Err("there are no columns".to_owned()),
        (rows, _) if rows > ROWS_MAX => Err(format!("{rows} rows are too many, at most {ROWS_MAX}")),
        (_, columns) if columns > COLUMNS_MAX => Err(format!("{columns} columns are too many, at most {COLUMNS_MAX}")),
        _ => Ok(()),
    }
}
