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

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::axis::{Axis, Entries, surroundings};
use crate::cholesky::{Triangle, dot, factor, forward, solve};
use crate::frame::Frame;
use crate::order::Order;
use crate::sample;

/// Rows of one process: the factor's cost grows with their cube, 3,000 take about three seconds and 36 MB.
pub(crate) const ROWS_MAX: usize = 3_000;
/// Columns: with more, everything is far from everything.
const COLUMNS_MAX: usize = 64;
/// Rows that shares and noise are chosen on.
const TUNE_ROWS: usize = 450;
/// Likelihoods computed in that choice.
const TUNE_STEPS: usize = 220;
/// Logarithms of shares and lengths stay within this: beyond, a column is all or nothing.
const LOG_MAX: f64 = 7.0;

/// A fitted process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kernel {
    columns: Vec<Axis>,
    centre: f64,
    /// Logarithm of the variance of the noise over that of the signal.
    noise: f64,
    /// Variance of the signal.
    variance: f64,
    /// Entry of each column for each training row.
    rows: Vec<Vec<u32>>,
    weights: Vec<f64>,
}

impl Kernel {
    pub(crate) fn fit(frame: &Frame, target: &[f64], seed: u64) -> Result<Self, String> {
        Self::fit_tuned(frame, target, TUNE_ROWS, seed)
    }

    /// The same with shares and noise chosen on so many rows.
    pub(crate) fn fit_tuned(frame: &Frame, target: &[f64], tune_rows: usize, seed: u64) -> Result<Self, String> {
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
        let mut kernel = Self {
            columns,
            centre,
            noise: -3.0,
            variance: 1.0,
            rows,
            weights: Vec::new(),
        };
        kernel.tune(frame, &centred, tune_rows, seed);
        kernel.weigh(frame, &centred)?;
        Ok(kernel)
    }

    /// Multiplications of one fit.
    pub(crate) fn work(rows: usize, columns: usize) -> Result<f64, String> {
        suits(rows, columns)?;
        let cube = |n: f64| n.powi(3) / 6.0 + n * n * columns as f64;
        let tuned = (rows as f64).min(TUNE_ROWS as f64);
        Ok(cube(rows as f64) + TUNE_STEPS as f64 * cube(tuned))
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        let mut answers = vec![self.centre; frame.rows];
        let mut order = Order::new(frame.rows);
        let mut tables = Vec::with_capacity(self.columns.len());
        for axis in &self.columns {
            let (entries, codes) = axis.read(&frame.cols[axis.feature], frame.rows);
            tables.push(axis.table(&entries, &axis.own(&frame.cols[axis.feature])));
            order.add(codes, entries.count());
        }
        let plan = order.plan_as_given();
        let (last, last_codes) = plan.last();
        let Some(last_axis) = self.columns.get(last) else {
            return answers;
        };
        let own = last_axis.count();
        // Training rows weighted by all columns but the last, summed by their entry in the last.
        let mut summed = vec![0.0; own];
        let mut weighted = vec![0.0; self.rows.len()];
        let mut before: Option<usize> = None;
        for row in &plan.rows {
            let row = *row as usize;
            let same = before.map_or(0, |before| plan.alike(before, row));
            if same == plan.columns.len() {
                answers[row] = before.map_or(self.centre, |before| answers[before]);
                continue;
            }
            if before.is_none() || same + 1 < plan.columns.len() {
                weighted.copy_from_slice(&self.weights);
                for (column, codes) in plan.first() {
                    let alike = &tables[column][codes[row] as usize];
                    for (weight, mine) in weighted.iter_mut().zip(&self.rows) {
                        *weight *= alike[mine[column] as usize];
                    }
                }
                summed.fill(0.0);
                for (weight, mine) in weighted.iter().zip(&self.rows) {
                    summed[mine[last] as usize] += weight;
                }
            }
            answers[row] = self.centre + dot(&summed, &tables[last][last_codes[row] as usize]);
            before = Some(row);
        }
        answers
    }

    /// Likeness of the rows of `frame` to the training rows.
    pub(crate) fn likeness(&self, frame: &Frame) -> Vec<Vec<f64>> {
        let tables: Vec<(Vec<Vec<f64>>, Vec<u32>)> = self
            .columns
            .iter()
            .map(|axis| {
                let col = &frame.cols[axis.feature];
                let (entries, codes) = axis.read(col, frame.rows);
                (axis.table(&entries, &axis.own(col)), codes)
            })
            .collect();
        (0..frame.rows)
            .map(|row| {
                self.rows
                    .iter()
                    .map(|mine| {
                        tables
                            .iter()
                            .zip(mine)
                            .map(|((table, codes), mine)| table[codes[row] as usize][*mine as usize])
                            .product()
                    })
                    .collect()
            })
            .collect()
    }

    /// Likeness of all rows of `frame` to one of them.
    pub(crate) fn likeness_to(&self, frame: &Frame, one: usize) -> Vec<f64> {
        let mut all = vec![1.0; frame.rows];
        for axis in &self.columns {
            let (entries, codes) = axis.read(&frame.cols[axis.feature], frame.rows);
            let chosen = entries.only(codes[one] as usize);
            let table = axis.table(&entries, &chosen);
            for (value, code) in all.iter_mut().zip(&codes) {
                *value *= table[*code as usize][0];
            }
        }
        all
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
    fn surprise(&self) -> f64 {
        let off = |value: f64, usual: f64, spread: f64| 0.5 * ((value - usual) / spread).powi(2);
        let axis = |axis: &Axis| {
            let common = if axis.molecules {
                off(axis.common, 0.0, 1.0)
            } else {
                0.0
            };
            let length = if axis.scale.is_some() {
                off(axis.length, 2.0, 0.7)
            } else {
                0.0
            };
            off(axis.equal, 0.0, 1.0) + common + length
        };
        off(self.noise, -5.0, 1.0) + self.columns.iter().map(axis).sum::<f64>()
    }

    /// The negative logarithm of the marginal likelihood on some rows, the signal's variance at its best; infinite if there is none.
    fn cost(&self, rows: &[usize], target: &[f64], parts: &[(Entries<'_>, Option<Vec<Vec<f64>>>)]) -> f64 {
        let tables: Vec<Vec<Vec<f64>>> = self
            .columns
            .iter()
            .zip(parts)
            .map(|(axis, (own, common))| axis.combined(own, own, common.as_deref()))
            .collect();
        let mut matrix = self.triangle(rows, &tables);
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
        while step > 0.2 && steps < TUNE_STEPS {
            let mut better = false;
            for number in 0..=3 * self.columns.len() {
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
        let settings: Vec<usize> = (0..=3 * walker.columns.len()).filter(|n| walker.tunable(*n)).collect();
        let mut council = vec![self];
        while council.len() < members {
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
    fn parts<'a>(&self, frame: &'a Frame) -> Vec<(Entries<'a>, Option<Vec<Vec<f64>>>)> {
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
        let factor = self.factor(frame).ok_or("the rows are too alike")?;
        self.weights = solve(&factor, centred);
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

    fn tunable(&self, number: usize) -> bool {
        let Some(at) = number.checked_sub(1) else { return true };
        let axis = &self.columns[at / 3];
        match at % 3 {
            0 => true,
            1 => axis.molecules,
            _ => axis.scale.is_some(),
        }
    }

    /// A setting by number.
    fn setting(&mut self, number: usize) -> &mut f64 {
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
