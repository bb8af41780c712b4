//! Where a model has seen rows, and where it has not.
//!
//! A value is novel if training cannot have taught it: a level or molecule it did not hold, a number out of its range, NULL where there was
//! none. A column in which nearly every row has a level of its own is different: there only a molecule unlike all is novel. A row of ordinary values
//! can still be an unusual combination: then its nearest training row is farther than those of nearly all training rows.

use serde::{Deserialize, Serialize};

use crate::block::Scale;
use crate::chem::Chem;
use crate::feature::{FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};
use crate::sample;

/// Rows a level must have on average for its absence to mean something.
const ROWS_PER_LEVEL: usize = 3;
/// How far out of its range a number may lie, in ranges.
const OUTSIDE: f64 = 0.05;
/// Molecules and rows that are kept to compare with.
const REFERENCES: usize = 256;
/// Of training's own molecules and rows this share would be called novel.
const NOVEL_SHARE: f64 = 0.01;

/// What training covered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Domain {
    columns: Vec<Covered>,
    numbers: Option<Neighbours>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Covered {
    /// A known level, NULL only if training had it.
    Levels {
        null: bool,
    },
    /// Any level.
    Any,
    /// A molecule at least so like one of these levels.
    Like {
        levels: Vec<u32>,
        least: f64,
    },
    Range {
        low: f64,
        high: f64,
        null: bool,
    },
}

/// Scaled training rows of all numbers, and the distance that is still near.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Neighbours {
    features: Vec<(usize, Scale)>,
    rows: Vec<Vec<f32>>,
    far: f64,
}

impl Domain {
    pub(crate) fn of(features: &[Feature], frame: &Frame, seed: u64) -> Self {
        let columns = features
            .iter()
            .zip(&frame.cols)
            .map(|(feature, col)| Covered::of(feature, col, frame.rows, seed))
            .collect();
        Self {
            columns,
            numbers: Neighbours::of(frame, seed),
        }
    }

    /// Nothing is known of the training rows but the levels, if there are any: only what is none of them is novel.
    pub(crate) fn open(features: &[Feature]) -> Self {
        let covered = |feature: &Feature| match feature.levels.is_empty() {
            true => Covered::Any,
            false => Covered::Levels { null: true },
        };
        Self {
            columns: features.iter().map(covered).collect(),
            numbers: None,
        }
    }

    /// For each row the features that are novel in it, in order; and whether the row is far from all others though no value is novel. Features that
    /// are not `looked_at` have no part in either.
    pub(crate) fn novel(&self, frame: &Frame, looked_at: impl Fn(usize) -> bool) -> Vec<(Vec<usize>, bool)> {
        let mut rows: Vec<(Vec<usize>, bool)> = vec![(Vec::new(), false); frame.rows];
        for (feature, (covered, col)) in self.columns.iter().zip(&frame.cols).enumerate() {
            if !looked_at(feature) {
                continue;
            }
            covered.novel(col, frame.rows, |row| {
                if let Some((novel, _)) = rows.get_mut(row) {
                    novel.push(feature);
                }
            });
        }
        let all_numbers = |neighbours: &&Neighbours| neighbours.features.iter().all(|(feature, _)| looked_at(*feature));
        if let Some(neighbours) = self.numbers.as_ref().filter(all_numbers) {
            for (row, (novel, far)) in rows.iter_mut().enumerate() {
                *far = novel.is_empty() && neighbours.distance(&neighbours.scaled(frame, row), None) > neighbours.far;
            }
        }
        rows
    }

    pub(crate) fn is_sound(&self, features: &[Feature]) -> bool {
        let known = |covered: &Covered, feature: &Feature| match covered {
            Covered::Levels { .. } | Covered::Any => true,
            Covered::Like { levels, least } => {
                least.is_finite() && levels.iter().all(|level| (*level as usize) < feature.structures())
            }
            Covered::Range { low, high, .. } => low.is_finite() && high.is_finite(),
        };
        self.columns.len() == features.len()
            && self
                .columns
                .iter()
                .zip(features)
                .all(|(covered, feature)| known(covered, feature))
            && self.numbers.as_ref().is_none_or(|n| {
                n.far.is_finite()
                    && n.features
                        .iter()
                        .all(|(feature, scale)| *feature < features.len() && scale.is_sound())
            })
    }
}

impl Covered {
    fn of(feature: &Feature, col: &Col, rows: usize, seed: u64) -> Self {
        match col {
            Col::Number(values) => {
                let known = || values.iter().copied().filter(|v| !v.is_nan());
                let (low, high) = known().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
                let more = (high - low) * OUTSIDE;
                Self::Range {
                    low: (low - more).max(f64::MIN),
                    high: (high + more).min(f64::MAX),
                    null: values.iter().any(|v| v.is_nan()),
                }
            }
            Col::Level(codes) | Col::Molecule { codes, .. } => {
                if feature.kind != FeatureKind::Text && rows >= ROWS_PER_LEVEL * feature.levels.len() {
                    return Self::Levels {
                        null: codes.contains(&NULL_LEVEL),
                    };
                }
                if matches!(col, Col::Level(_)) {
                    return Self::Any;
                }
                let molecules = feature.molecules();
                let all: Vec<usize> = (0..molecules.len())
                    .filter(|at| molecules.get(*at).is_some_and(Option::is_some))
                    .collect();
                let levels: Vec<u32> = sample::some(&all, REFERENCES, seed)
                    .into_iter()
                    .map(|at| at as u32)
                    .collect();
                let chem = |level: &u32| molecules.get(*level as usize).and_then(Option::as_ref);
                let mut nearest: Vec<f64> = levels
                    .iter()
                    .map(|level| {
                        let others = levels.iter().filter(|other| *other != level);
                        chem(level).map_or(0.0, |chem_of| most_like(chem_of, others.filter_map(chem)))
                    })
                    .collect();
                nearest.sort_by(f64::total_cmp);
                Self::Like {
                    least: nearest
                        .get((nearest.len() as f64 * NOVEL_SHARE) as usize)
                        .copied()
                        .unwrap_or(0.0),
                    levels,
                }
            }
        }
    }

    fn novel(&self, col: &Col, rows: usize, mut found: impl FnMut(usize)) {
        match self {
            Self::Any => {}
            Self::Levels { null } => {
                for row in 0..rows {
                    match col.code(row) {
                        UNSEEN_LEVEL => found(row),
                        NULL_LEVEL if !null => found(row),
                        _ => {}
                    }
                }
            }
            Self::Like { levels, least } => {
                let references: Vec<&Chem> = levels
                    .iter()
                    .filter_map(|level| col.molecule(FIRST_LEVEL + level))
                    .collect();
                let mut known: std::collections::HashMap<u32, bool> = std::collections::HashMap::new();
                for row in 0..rows {
                    let entry = col.entry(row);
                    let novel = *known.entry(entry).or_insert_with(|| {
                        col.code(row) == UNSEEN_LEVEL
                            && col
                                .molecule(entry)
                                .is_none_or(|chem| most_like(chem, references.iter().copied()) < *least)
                    });
                    if novel {
                        found(row);
                    }
                }
            }
            Self::Range { low, high, null } => {
                for row in 0..rows {
                    let value = col.number(row);
                    let outside = value < *low || value > *high;
                    if outside || (value.is_nan() && !null) {
                        found(row);
                    }
                }
            }
        }
    }
}

fn most_like<'a>(chem: &Chem, others: impl Iterator<Item = &'a Chem>) -> f64 {
    others.map(|other| chem.likeness(other)).fold(0.0, f64::max)
}

impl Neighbours {
    /// `None` with fewer than two numbers: ranges say it all.
    fn of(frame: &Frame, seed: u64) -> Option<Self> {
        let features: Vec<(usize, Scale)> = frame
            .cols
            .iter()
            .enumerate()
            .filter_map(|(feature, col)| match col {
                Col::Number(values) => Scale::fit(values).map(|scale| (feature, scale)),
                Col::Level(_) | Col::Molecule { .. } => None,
            })
            .collect();
        if features.len() < 2 {
            return None;
        }
        let mut neighbours = Self {
            features,
            rows: Vec::new(),
            far: 0.0,
        };
        let all: Vec<usize> = (0..frame.rows).collect();
        neighbours.rows = sample::some(&all, REFERENCES, seed)
            .into_iter()
            .map(|row| neighbours.scaled(frame, row))
            .collect();
        // How far other training rows are from the kept ones, which are themselves left out of their own comparison.
        let mut distances: Vec<f64> = neighbours
            .rows
            .iter()
            .enumerate()
            .map(|(at, row)| neighbours.distance(row, Some(at)))
            .collect();
        distances.sort_by(f64::total_cmp);
        let place = ((1.0 - NOVEL_SHARE) * distances.len() as f64) as usize;
        neighbours.far = distances.get(place.min(distances.len().saturating_sub(1))).copied()? * 1.5;
        Some(neighbours)
    }

    fn scaled(&self, frame: &Frame, row: usize) -> Vec<f32> {
        let value = |(feature, scale): &(usize, Scale)| {
            frame
                .cols
                .get(*feature)
                .map_or(0.0, |col| scale.apply(col.number(row)) as f32)
        };
        self.features.iter().map(value).collect()
    }

    /// To the nearest kept row, `except` one.
    fn distance(&self, row: &[f32], except: Option<usize>) -> f64 {
        let nearest = self
            .rows
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != except)
            .map(|(_, other)| row.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>())
            .fold(f32::INFINITY, f32::min);
        if nearest.is_finite() {
            f64::from(nearest.sqrt())
        } else {
            0.0
        }
    }
}
