//! One column of a Gaussian process: its entries, and how alike they make two rows.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of common surroundings have a line per entry of one side and a place per entry of the other"
)]

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::block::Scale;
use crate::feature::FIRST_LEVEL;
use crate::frame::Col;

/// One column: what its entries are and how alike they make two rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Axis {
    pub(crate) feature: usize,
    /// Of a number: its scale. NULL has an entry of its own.
    pub(crate) scale: Option<Scale>,
    /// The entries met in training: scaled numbers (NaN is kept as the last, not stored), or level codes.
    numbers: Vec<f64>,
    codes: Vec<u32>,
    null: bool,
    /// Logarithms: share of equal or near entries, share of common surroundings, length.
    pub(crate) equal: f64,
    pub(crate) common: f64,
    pub(crate) length: f64,
    /// Whether molecules, or names, are compared at all.
    pub(crate) molecules: bool,
}

/// Likeness of entries: a line for each of one side, with a place for each of the other.
pub(crate) type Table = Vec<Vec<f64>>;

/// Entries in the terms of one axis: numbers or molecules and levels.
pub(crate) enum Entries<'a> {
    Numbers(Vec<f64>),
    Levels(&'a Col, Vec<u32>),
}

impl Entries<'_> {
    /// One of the entries alone.
    pub(crate) fn only(&self, place: usize) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.get(place).copied().into_iter().collect()),
            Self::Levels(col, codes) => Self::Levels(col, codes.get(place).copied().into_iter().collect()),
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Levels(_, codes) => codes.len(),
        }
    }
}

impl Axis {
    /// The axis of a column that varies, and the entry of each row.
    pub(crate) fn fit(feature: usize, col: &Col, rows: usize) -> Option<(Self, Vec<u32>)> {
        let scale = match col {
            Col::Number(values) => Some(Scale::fit(values)?),
            // What a process compares with it must find again in the model, which keeps no prose.
            Col::Molecule { codes, known, .. }
                if codes.iter().any(|code| *code >= FIRST_LEVEL + known.len() as u32) =>
            {
                return None;
            }
            Col::Level(_) | Col::Molecule { .. } => None,
        };
        let axis = Self {
            feature,
            scale,
            numbers: Vec::new(),
            codes: Vec::new(),
            null: false,
            equal: 0.0,
            common: 0.0,
            length: 0.0,
            molecules: matches!(col, Col::Molecule { .. }),
        };
        let (axis, codes) = axis.met(col, rows);
        (axis.count() > 1).then_some((axis, codes))
    }

    /// The same axis with the entries of this column, and the entry of each row.
    pub(crate) fn met(&self, col: &Col, rows: usize) -> (Self, Vec<u32>) {
        let mut axis = Self {
            numbers: Vec::new(),
            codes: Vec::new(),
            null: false,
            ..self.clone()
        };
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
        (axis, codes)
    }

    pub(crate) fn take_settings(&mut self, other: &Self) {
        (self.equal, self.common, self.length) = (other.equal, other.common, other.length);
    }

    pub(crate) fn count(&self) -> usize {
        self.numbers.len() + usize::from(self.null) + self.codes.len()
    }

    /// The different entries of a column and each row's place among them.
    pub(crate) fn read<'a>(&self, col: &'a Col, rows: usize) -> (Entries<'a>, Vec<u32>) {
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
    pub(crate) fn own<'a>(&self, col: &'a Col) -> Entries<'a> {
        if self.scale.is_some() {
            let mut numbers = self.numbers.clone();
            numbers.extend(self.null.then_some(f64::NAN));
            return Entries::Numbers(numbers);
        }
        Entries::Levels(col, self.codes.clone())
    }

    pub(crate) fn table(&self, from: &Entries<'_>, to: &Entries<'_>) -> Table {
        let common = self.molecules.then(|| surroundings(from, to));
        self.combined(from, to, common.as_deref())
    }

    /// Likeness between 0 and 1; 1 for what is the same.
    pub(crate) fn combined(&self, from: &Entries<'_>, to: &Entries<'_>, common: Option<&[Vec<f64>]>) -> Table {
        let (equal, shared) = (self.equal.exp(), if common.is_some() { self.common.exp() } else { 0.0 });
        let whole = 1.0 + equal + shared;
        let length = self.length.exp();
        match (from, to) {
            (Entries::Numbers(from), Entries::Numbers(to)) => from
                .iter()
                .map(|a| {
                    to.iter()
                        .map(|b| (1.0 + equal * near(*a, *b, length).0) / whole)
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

    /// What some function of the likenesses gains as each of the three settings rises: `cells` are its slopes along the likenesses of `entries` to
    /// each other, each times the likeness, whose table this is.
    pub(crate) fn slopes(
        &self,
        entries: &Entries<'_>,
        common: Option<&[Vec<f64>]>,
        table: &Table,
        cells: &Array2<f64>,
    ) -> [f64; 3] {
        let (equal, shared) = (self.equal.exp(), if common.is_some() { self.common.exp() } else { 0.0 });
        let whole = 1.0 + equal + shared;
        let mut along = [0.0; 3];
        for (i, line) in table.iter().enumerate() {
            for (j, alike) in line.iter().enumerate() {
                let cell = cells[[i, j]] / alike;
                if cell == 0.0 {
                    continue;
                }
                let (same, farther) = match entries {
                    Entries::Numbers(numbers) => near(numbers[i], numbers[j], self.length.exp()),
                    Entries::Levels(_, codes) => (f64::from(u8::from(codes[i] == codes[j])), 0.0),
                };
                along[0] += cell * equal * (same - alike) / whole;
                along[1] += cell * shared * (common.map_or(0.0, |common| common[i][j]) - alike) / whole;
                along[2] += cell * equal * farther / whole;
            }
        }
        along
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        self.feature < features
            && self.scale.is_none_or(Scale::is_sound)
            && self.scale.is_some() != self.numbers.is_empty()
            && [self.equal, self.common, self.length].iter().all(|v| v.is_finite())
            && self.numbers.iter().all(|v| v.is_finite())
    }
}

/// Matérn 5/2 on scaled numbers, and its slope along the length's logarithm; NULL is near NULL only.
fn near(a: f64, b: f64, length: f64) -> (f64, f64) {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => (1.0, 0.0),
        (false, false) => {
            let r = 5.0_f64.sqrt() * (a - b).abs() / length;
            let fallen = (-r).exp();
            ((1.0 + r + r * r / 3.0) * fallen, r * r * (1.0 + r) / 3.0 * fallen)
        }
        (true, false) | (false, true) => (0.0, 0.0),
    }
}

/// Shared surroundings of molecules; a level that is none is like itself only.
pub(crate) fn surroundings(from: &Entries<'_>, to: &Entries<'_>) -> Table {
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
