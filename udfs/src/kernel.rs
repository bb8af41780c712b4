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

use serde::{Deserialize, Serialize};

use crate::block::Scale;
use crate::cholesky::{Triangle, dot, factor, forward, solve};
use crate::feature::{FIRST_LEVEL, Feature};
use crate::frame::{Col, Frame};
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

/// One column: what its entries are and how alike they make two rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Axis {
    feature: usize,
    /// Of a number: its scale. NULL has an entry of its own.
    scale: Option<Scale>,
    /// The entries met in training: scaled numbers (NaN is kept as the last, not stored), or level codes.
    numbers: Vec<f64>,
    codes: Vec<u32>,
    null: bool,
    /// Logarithms: share of equal or near entries, share of common surroundings, length.
    equal: f64,
    common: f64,
    length: f64,
    /// Whether molecules are compared at all.
    molecules: bool,
}

/// Entries in the terms of one axis: numbers or molecules and levels.
enum Entries<'a> {
    Numbers(Vec<f64>),
    Levels(&'a Col, Vec<u32>),
}

impl Kernel {
    pub(crate) fn fit(features: &[Feature], frame: &Frame, target: &[f64], seed: u64) -> Result<Self, String> {
        Self::fit_tuned(features, frame, target, TUNE_ROWS, seed)
    }

    /// The same with shares and noise chosen on so many rows.
    pub(crate) fn fit_tuned(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        tune_rows: usize,
        seed: u64,
    ) -> Result<Self, String> {
        let mut columns = Vec::new();
        let mut codes: Vec<Vec<u32>> = Vec::new();
        for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
            if let Some((axis, of_rows)) = Axis::fit(index, feature, col, frame.rows) {
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
        let factor = kernel.factor(frame).ok_or("the rows are too alike")?;
        kernel.weights = solve(&factor, &centred);
        let fit: f64 = kernel.weights.iter().zip(&centred).map(|(w, y)| w * y).sum();
        kernel.variance = (fit / target.len() as f64).max(f64::MIN_POSITIVE);
        if kernel.weights.iter().any(|w| !w.is_finite()) {
            return Err("the solution is not finite".to_owned());
        }
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
        0.5 * count * fit.ln() + matrix.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
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
        let parts: Vec<(Entries<'_>, Option<Vec<Vec<f64>>>)> = self
            .columns
            .iter()
            .map(|axis| {
                let own = axis.own(&frame.cols[axis.feature]);
                let common = axis.molecules.then(|| surroundings(&own, &own));
                (own, common)
            })
            .collect();
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

impl Entries<'_> {
    /// One of the entries alone.
    fn only(&self, place: usize) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.get(place).copied().into_iter().collect()),
            Self::Levels(col, codes) => Self::Levels(col, codes.get(place).copied().into_iter().collect()),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Levels(_, codes) => codes.len(),
        }
    }
}

impl Axis {
    /// The axis of a column that varies, and the entry of each row.
    fn fit(feature: usize, about: &Feature, col: &Col, rows: usize) -> Option<(Self, Vec<u32>)> {
        let mut axis = Self {
            feature,
            scale: None,
            numbers: Vec::new(),
            codes: Vec::new(),
            null: false,
            equal: 0.0,
            common: 0.0,
            length: 0.0,
            molecules: about.kind == crate::feature::FeatureKind::Smiles,
        };
        if let Col::Number(values) = col {
            axis.scale = Some(Scale::fit(values)?);
        }
        let (entries, codes) = axis.read(col, rows);
        match entries {
            Entries::Numbers(mut numbers) => {
                axis.null = numbers.last().is_some_and(|last| last.is_nan());
                if axis.null {
                    numbers.pop();
                }
                axis.numbers = numbers;
            }
            Entries::Levels(_, codes) => axis.codes = codes,
        }
        (axis.count() > 1).then_some((axis, codes))
    }

    fn count(&self) -> usize {
        self.numbers.len() + usize::from(self.null) + self.codes.len()
    }

    /// The different entries of a column and each row's place among them.
    fn read<'a>(&self, col: &'a Col, rows: usize) -> (Entries<'a>, Vec<u32>) {
        if let Some(scale) = self.scale {
            let of = |row: usize| match col.number(row) {
                value if value.is_nan() => f64::NAN,
                // Zero has one sign only, so that equal numbers are one entry.
                value => scale.apply(value) + 0.0,
            };
            let mut numbers: Vec<f64> = (0..rows).map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.dedup_by(|a, b| a == b || (a.is_nan() && b.is_nan()));
            let place = |value: f64| numbers.partition_point(|known| known.total_cmp(&value).is_lt()) as u32;
            let codes = (0..rows)
                .map(|row| place(of(row)).min(numbers.len().saturating_sub(1) as u32))
                .collect();
            return (Entries::Numbers(numbers), codes);
        }
        let mut entries: Vec<u32> = (0..rows).map(|row| col.entry(row)).collect();
        entries.sort_unstable();
        entries.dedup();
        let codes = (0..rows)
            .map(|row| entries.partition_point(|known| *known < col.entry(row)) as u32)
            .collect();
        (Entries::Levels(col, entries), codes)
    }

    /// The entries met in training.
    fn own<'a>(&self, col: &'a Col) -> Entries<'a> {
        if self.scale.is_some() {
            let mut numbers = self.numbers.clone();
            numbers.extend(self.null.then_some(f64::NAN));
            return Entries::Numbers(numbers);
        }
        Entries::Levels(col, self.codes.clone())
    }

    fn table(&self, from: &Entries<'_>, to: &Entries<'_>) -> Vec<Vec<f64>> {
        let common = self.molecules.then(|| surroundings(from, to));
        self.combined(from, to, common.as_deref())
    }

    /// Likeness between 0 and 1; 1 for what is the same.
    fn combined(&self, from: &Entries<'_>, to: &Entries<'_>, common: Option<&[Vec<f64>]>) -> Vec<Vec<f64>> {
        let (equal, shared) = (self.equal.exp(), if common.is_some() { self.common.exp() } else { 0.0 });
        let whole = 1.0 + equal + shared;
        let length = self.length.exp();
        match (from, to) {
            (Entries::Numbers(from), Entries::Numbers(to)) => from
                .iter()
                .map(|a| {
                    to.iter()
                        .map(|b| (1.0 + equal * near(*a, *b, length)) / whole)
                        .collect()
                })
                .collect(),
            (Entries::Levels(_, from), Entries::Levels(_, to)) => from
                .iter()
                .enumerate()
                .map(|(i, a)| {
                    let same = |b: &u32| if a == b { equal } else { 0.0 };
                    let alike = |j: usize| common.map_or(0.0, |common| shared * common[i][j]);
                    to.iter()
                        .enumerate()
                        .map(|(j, b)| (1.0 + same(b) + alike(j)) / whole)
                        .collect()
                })
                .collect(),
            // One axis reads one kind only.
            (Entries::Numbers(_), Entries::Levels(_, _)) | (Entries::Levels(_, _), Entries::Numbers(_)) => Vec::new(),
        }
    }

    fn is_sound(&self, features: usize) -> bool {
        self.feature < features
            && self.scale.is_none_or(Scale::is_sound)
            && self.scale.is_some() != self.numbers.is_empty()
            && [self.equal, self.common, self.length].iter().all(|v| v.is_finite())
            && self.numbers.iter().all(|v| v.is_finite())
    }
}

/// Matérn 5/2 on scaled numbers; NULL is near NULL only.
fn near(a: f64, b: f64, length: f64) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 1.0,
        (false, false) => {
            let r = 5.0_f64.sqrt() * (a - b).abs() / length;
            (1.0 + r + r * r / 3.0) * (-r).exp()
        }
        (true, false) | (false, true) => 0.0,
    }
}

/// Shared surroundings of molecules; a level that is none is like itself only.
fn surroundings(from: &Entries<'_>, to: &Entries<'_>) -> Vec<Vec<f64>> {
    let (Entries::Levels(from_col, from), Entries::Levels(to_col, to)) = (from, to) else {
        return Vec::new();
    };
    let alike = |a: u32, b: u32| match (from_col.molecule(a), to_col.molecule(b)) {
        (Some(x), Some(y)) => x.likeness(y),
        _ => f64::from(u8::from(a == b && a != FIRST_LEVEL - 1)),
    };
    from.iter()
        .map(|a| to.iter().map(|b| alike(*a, *b)).collect())
        .collect()
}
