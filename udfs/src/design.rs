//! The linear family's view of a frame: sparse rows of a design matrix.
//!
//! Numbers are centred and scaled, with a column that says "was NULL"; categories are one column a level; rich designs add products.
//! What training did not see falls on a block's *stand-in*: a column that no training row uses and whose weight is set after the fit
//! to the block's average effect, so an unseen level is predicted like the average of the seen ones.
#![expect(
    clippy::indexing_slicing,
    reason = "column numbers are made here and checked by is_sound when a model is read"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::block::{Block, NONE, Scale, SparseRow};
use crate::chem::FIRST_BIT;
use crate::encode::{PART_COLUMNS_MAX, telling_parts};
use crate::feature::{Feature, FeatureKind, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};
use crate::mean_code::MeanCode;

/// Levels of one category with a column of their own; a richer category is represented by its mean code as well.
const LEVELS_OWN_MAX: usize = 64;
/// Columns that a column of prose may become.
const WORD_COLUMNS: usize = FIRST_BIT as usize + PART_COLUMNS_MAX + 1;
/// A level needs this many rows for a column of its own.
const LEVEL_ROWS_MIN: usize = 2;
/// Columns of a plain design: categories share what the numbers leave. The solver's work grows with the cube.
const PLAIN_WIDTH_MAX: usize = 1_000;
/// Columns of a rich design. The solver's work grows with the cube: 700 take about a second.
pub(crate) const RICH_WIDTH_MAX: usize = 700;

/// A fitted design.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Design {
    blocks: Vec<Block>,
    /// Columns that training rows use.
    pub(crate) width: usize,
    /// Stand-ins, numbered from `width` on: the columns each one stands for.
    pub(crate) stand_ins: Vec<(u32, u32)>,
}

impl Design {
    /// Fits on all rows of `frame` and returns the design with the training rows.
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        rich: bool,
        seed: u64,
    ) -> (Self, Vec<SparseRow>) {
        let mut design = Self {
            blocks: Vec::new(),
            width: 0,
            stand_ins: Vec::new(),
        };
        let own_max = levels_own_max(features);
        let mut overrides: Vec<(u32, Vec<f64>)> = Vec::new();
        for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
            match col {
                Col::Number(values) => design.add_number(index, None, values),
                Col::Molecule { codes, .. } if feature.kind == FeatureKind::Text => {
                    design.add_words(index, frame, &telling_parts(col, codes));
                }
                Col::Level(codes) | Col::Molecule { codes, .. } => {
                    if matches!(col, Col::Molecule { .. }) {
                        for part in 0..FIRST_BIT {
                            let values: Vec<f64> = (0..frame.rows).map(|row| col.part(row, part)).collect();
                            design.add_number(index, Some(part), &values);
                        }
                    }
                    let codes: Vec<u32> = (0..codes.len()).map(|row| col.code(row)).collect();
                    let codes = codes.as_slice();
                    let kept = design.add_levels(index, codes, feature.codes(), own_max);
                    if kept >= own_max || feature.levels.len() > 2 * kept {
                        let (code, values) = MeanCode::fit(codes, feature.codes(), target, seed ^ index as u64);
                        if let Some(scale) = Scale::fit(&values) {
                            let col = design.column();
                            overrides.push((col, values.iter().map(|v| scale.apply(*v)).collect()));
                            design.blocks.push(Block::Means {
                                feature: index,
                                code,
                                scale,
                                col,
                            });
                        }
                    }
                }
            }
        }
        if rich {
            design.add_products(features, frame);
        }
        design.number_stand_ins();
        let mut rows: Vec<SparseRow> = (0..frame.rows).map(|row| design.row(frame, row)).collect();
        for (col, values) in &overrides {
            for (row, value) in rows.iter_mut().zip(values) {
                if let Some(entry) = row.iter_mut().find(|(c, _)| c == col) {
                    entry.1 = *value;
                }
            }
        }
        (design, rows)
    }

    /// One row of any frame of the same features.
    pub(crate) fn row(&self, frame: &Frame, row: usize) -> SparseRow {
        let mut out = SparseRow::new();
        self.row_into(frame, row, &mut out);
        out
    }

    pub(crate) fn row_into(&self, frame: &Frame, row: usize, out: &mut SparseRow) {
        for block in &self.blocks {
            block.entries(&frame.cols, row, out);
        }
    }

    /// False if a model file names columns that do not exist.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let columns = (self.width + self.stand_ins.len()) as u32;
        self.stand_ins
            .iter()
            .all(|(from, to)| from <= to && *to as usize <= self.width)
            && self.blocks.iter().all(|block| block.is_sound(features, columns))
    }

    fn column(&mut self) -> u32 {
        self.width += 1;
        (self.width - 1) as u32
    }

    fn columns(&mut self, count: usize) -> u32 {
        self.width += count;
        (self.width - count) as u32
    }

    fn add_number(&mut self, feature: usize, part: Option<u32>, values: &[f64]) {
        let nulls = values.iter().any(|v| v.is_nan());
        let scale = Scale::fit(values);
        if scale.is_none() && !nulls {
            return;
        }
        let scale = scale.unwrap_or(Scale {
            mean: 0.0,
            deviation: 1.0,
        });
        let col = self.column();
        let null_col = nulls.then(|| self.column());
        self.blocks.push(Block::Number {
            feature,
            part,
            scale,
            col,
            null_col,
        });
    }

    /// A column for each of these parts of prose, and one that says where there is none.
    fn add_words(&mut self, feature: usize, frame: &Frame, parts: &[u32]) {
        for (place, part) in parts.iter().enumerate() {
            let mut values: Vec<f64> = (0..frame.rows)
                .map(|row| frame.cols[feature].part(row, *part))
                .collect();
            if place > 0 {
                // What is NULL is NULL in all parts: once is enough.
                values.retain(|value| !value.is_nan());
            }
            self.add_number(feature, Some(*part), &values);
        }
    }

    /// Gives the frequent levels their columns and says how many those are. NULL is a level as any other.
    fn add_levels(&mut self, feature: usize, codes: &[u32], code_count: usize, own_max: usize) -> usize {
        let mut counts = vec![0_usize; code_count];
        for code in codes {
            counts[*code as usize] += 1;
        }
        let mut order: Vec<usize> = (0..code_count)
            .filter(|c| *c != UNSEEN_LEVEL as usize && counts[*c] >= LEVEL_ROWS_MIN)
            .collect();
        order.sort_by_key(|code| (usize::MAX - counts[*code], *code));
        order.truncate(own_max);
        let mut cols = vec![NONE; code_count];
        let first = self.columns(order.len());
        for (code, col) in order.iter().zip(first..) {
            cols[*code] = col;
        }
        let stand_in = self.stand_in(first, first + order.len() as u32);
        self.blocks.push(Block::Levels {
            feature,
            cols,
            stand_in,
        });
        order.len()
    }

    fn stand_in(&mut self, from: u32, to: u32) -> u32 {
        self.stand_ins.push((from, to));
        (self.stand_ins.len() - 1) as u32
    }

    /// Stand-ins were numbered from zero while the width still grew.
    fn number_stand_ins(&mut self) {
        let width = self.width as u32;
        for block in &mut self.blocks {
            if let Block::Levels { stand_in, .. } | Block::LevelPairs { stand_in, .. } = block {
                *stand_in += width;
            }
        }
    }

    /// Products of two features, as many as fit: number × number first, then number × level, then level × level.
    fn add_products(&mut self, features: &[Feature], frame: &Frame) {
        let numbers: Vec<(usize, Scale)> = self.blocks.iter().filter_map(Block::as_number).collect();
        let levels: Vec<usize> = self.blocks.iter().filter_map(Block::as_levels).collect();
        for (position, (a, a_scale)) in numbers.iter().enumerate() {
            for (b, b_scale) in numbers.get(position..).unwrap_or_default() {
                if self.width < RICH_WIDTH_MAX {
                    let col = self.column();
                    self.blocks.push(Block::NumberPair {
                        a: *a,
                        a_scale: *a_scale,
                        b: *b,
                        b_scale: *b_scale,
                        col,
                    });
                }
            }
        }
        for (number, scale) in &numbers {
            for level in &levels {
                let cols = self
                    .blocks
                    .iter()
                    .find_map(|block| block.level_cols(*level))
                    .unwrap_or_default();
                let used = cols.iter().filter(|col| **col != NONE).count();
                if used > 1 && self.width + used <= RICH_WIDTH_MAX {
                    let mut next = self.columns(used);
                    let cols = cols
                        .iter()
                        .map(|col| if *col == NONE { NONE } else { (next, next += 1).0 })
                        .collect();
                    self.blocks.push(Block::NumberLevels {
                        number: *number,
                        scale: *scale,
                        level: *level,
                        cols,
                    });
                }
            }
        }
        self.add_level_pairs(features, frame, &levels);
    }

    /// All pairs of levels seen often enough, "enough" rising until they fit.
    fn add_level_pairs(&mut self, features: &[Feature], frame: &Frame, levels: &[usize]) {
        /// A pair table of more cells than this is not worth its memory.
        const CELLS_MAX: usize = 250_000;
        let mut counted = Vec::new();
        for (position, a) in levels.iter().enumerate() {
            for b in levels.get(position + 1..).unwrap_or_default() {
                if features[*a].codes() * features[*b].codes() > CELLS_MAX {
                    continue;
                }
                let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
                for row in 0..frame.rows {
                    *counts
                        .entry((frame.cols[*a].code(row), frame.cols[*b].code(row)))
                        .or_default() += 1;
                }
                counted.push((*a, *b, counts));
            }
        }
        let frequent = |least: usize| {
            counted
                .iter()
                .map(|(_, _, c)| c.values().filter(|n| **n >= least).count())
                .sum::<usize>()
        };
        let Some(least) = (LEVEL_ROWS_MIN..=frame.rows).find(|least| self.width + frequent(*least) <= RICH_WIDTH_MAX)
        else {
            return;
        };
        for (a, b, counts) in counted {
            let b_codes = features[b].codes();
            let mut cols = vec![NONE; features[a].codes() * b_codes];
            let kept: Vec<&(u32, u32)> = counts
                .iter()
                .filter(|(_, n)| **n >= least)
                .map(|(pair, _)| pair)
                .collect();
            if kept.len() < 2 {
                continue;
            }
            let first = self.columns(kept.len());
            for ((x, y), col) in kept.iter().zip(first..) {
                cols[*x as usize * b_codes + *y as usize] = col;
            }
            let stand_in = self.stand_in(first, first + kept.len() as u32);
            self.blocks.push(Block::LevelPairs {
                a,
                b,
                b_codes,
                cols,
                stand_in,
            });
        }
    }
}

/// How many levels of one category may have a column of their own.
fn levels_own_max(features: &[Feature]) -> usize {
    let categories = features.iter().filter(|f| f.has_levels()).count();
    let numbers = features.len() - categories;
    let molecules = features.iter().filter(|f| f.kind == FeatureKind::Smiles).count();
    let prose = features.iter().filter(|f| f.kind == FeatureKind::Text).count();
    let described = 2 * FIRST_BIT as usize * molecules + WORD_COLUMNS * prose;
    let left = PLAIN_WIDTH_MAX.saturating_sub(2 * numbers + categories + described);
    (left / categories.max(1)).min(LEVELS_OWN_MAX)
}
