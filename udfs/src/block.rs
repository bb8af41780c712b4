//! The blocks of a design: how a feature, or two, become columns.
#![expect(
    clippy::indexing_slicing,
    reason = "feature numbers are below the frame's width, which is_sound checks when a model is read"
)]

use serde::{Deserialize, Serialize};

use crate::frame::Col;
use crate::mean_code::MeanCode;

/// Values this far out (in standard deviations) are pulled in, so that a typing error cannot throw a prediction to the moon.
const SCALED_MAX: f64 = 8.0;
/// "No column": the stand-in is used.
pub(crate) const NONE: u32 = u32::MAX;

/// A row: column numbers and values, zeros left out.
pub(crate) type SparseRow = Vec<(u32, f64)>;

/// Columns that belong together: one feature's, or the products of two.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Block {
    /// A number, or one descriptor of a molecule.
    Number {
        feature: usize,
        part: Option<u32>,
        scale: Scale,
        col: u32,
        null_col: Option<u32>,
    },
    Levels {
        feature: usize,
        cols: Vec<u32>,
        stand_in: u32,
    },
    Means {
        feature: usize,
        code: MeanCode,
        scale: Scale,
        col: u32,
    },
    LevelPairs {
        a: usize,
        b: usize,
        b_codes: usize,
        cols: Vec<u32>,
        stand_in: u32,
    },
    NumberPair {
        a: usize,
        a_scale: Scale,
        b: usize,
        b_scale: Scale,
        col: u32,
    },
    NumberLevels {
        number: usize,
        scale: Scale,
        level: usize,
        cols: Vec<u32>,
    },
}

/// Centre and spread of a number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Block {
    pub(crate) fn entries(&self, frame: &[Col], row: usize, out: &mut SparseRow) {
        match self {
            Self::Number {
                feature,
                part,
                scale,
                col,
                null_col,
            } => {
                let value = match part {
                    Some(part) => frame[*feature].part(row, *part),
                    None => frame[*feature].number(row),
                };
                if value.is_nan() {
                    out.extend(null_col.map(|col| (col, 1.0)));
                } else {
                    out.push((*col, scale.apply(value)));
                }
            }
            Self::Levels {
                feature,
                cols,
                stand_in,
            } => {
                let col = cols.get(frame[*feature].code(row) as usize).copied().unwrap_or(NONE);
                out.push((if col == NONE { *stand_in } else { col }, 1.0));
            }
            Self::Means {
                feature,
                code,
                scale,
                col,
            } => out.push((*col, scale.apply(code.value(frame[*feature].code(row))))),
            Self::LevelPairs {
                a,
                b,
                b_codes,
                cols,
                stand_in,
            } => {
                let cell = frame[*a].code(row) as usize * b_codes + frame[*b].code(row) as usize;
                let col = cols.get(cell).copied().unwrap_or(NONE);
                out.push((if col == NONE { *stand_in } else { col }, 1.0));
            }
            Self::NumberPair {
                a,
                a_scale,
                b,
                b_scale,
                col,
            } => {
                let product = a_scale.apply(frame[*a].number(row)) * b_scale.apply(frame[*b].number(row));
                out.push((*col, product.clamp(-SCALED_MAX, SCALED_MAX)));
            }
            Self::NumberLevels {
                number,
                scale,
                level,
                cols,
            } => {
                let col = cols.get(frame[*level].code(row) as usize).copied().unwrap_or(NONE);
                if col != NONE {
                    out.push((col, scale.apply(frame[*number].number(row))));
                }
            }
        }
    }

    pub(crate) fn as_number(&self) -> Option<(usize, Scale)> {
        if let Self::Number {
            feature,
            part: None,
            scale,
            ..
        } = self
        {
            Some((*feature, *scale))
        } else {
            None
        }
    }

    pub(crate) fn as_levels(&self) -> Option<usize> {
        if let Self::Levels { feature, .. } = self {
            Some(*feature)
        } else {
            None
        }
    }

    pub(crate) fn level_cols(&self, of: usize) -> Option<Vec<u32>> {
        match self {
            Self::Levels { feature, cols, .. } if *feature == of => Some(cols.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_sound(&self, features: usize, columns: u32) -> bool {
        let all = |cols: &[u32]| cols.iter().all(|col| *col == NONE || *col < columns);
        match self {
            Self::Number {
                feature,
                scale,
                col,
                null_col,
                ..
            } => *feature < features && scale.is_sound() && *col < columns && null_col.is_none_or(|col| col < columns),
            Self::Levels {
                feature,
                cols,
                stand_in,
            } => *feature < features && all(cols) && *stand_in < columns,
            Self::Means {
                feature,
                code,
                scale,
                col,
            } => *feature < features && code.is_sound() && scale.is_sound() && *col < columns,
            Self::LevelPairs {
                a, b, cols, stand_in, ..
            } => *a.max(b) < features && all(cols) && *stand_in < columns,
            Self::NumberPair {
                a,
                a_scale,
                b,
                b_scale,
                col,
            } => *a.max(b) < features && a_scale.is_sound() && b_scale.is_sound() && *col < columns,
            Self::NumberLevels {
                number,
                scale,
                level,
                cols,
            } => *number.max(level) < features && scale.is_sound() && all(cols),
        }
    }
}

impl Scale {
    /// Mean and standard deviation of the known values; `None` if they do not vary.
    pub(crate) fn fit(values: &[f64]) -> Option<Self> {
        let known = || values.iter().copied().filter(|v| !v.is_nan());
        let count = known().count() as f64;
        let mean = known().map(|v| v / count).sum::<f64>();
        let deviation = known().map(|v| (v - mean) * ((v - mean) / count)).sum::<f64>().sqrt();
        (deviation.is_finite() && deviation > 1e-12 * mean.abs().max(f64::MIN_POSITIVE))
            .then_some(Self { mean, deviation })
    }

    /// NULL becomes the mean, zero.
    pub(crate) fn apply(self, value: f64) -> f64 {
        if value.is_nan() {
            0.0
        } else {
            ((value - self.mean) / self.deviation).clamp(-SCALED_MAX, SCALED_MAX)
        }
    }

    pub(crate) fn is_sound(self) -> bool {
        self.mean.is_finite() && self.deviation.is_finite() && self.deviation != 0.0
    }
}
