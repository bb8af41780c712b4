//! Boosted trees as a model keeps them.
//!
//! They are evaluated by tables ([`crate::lookup`]), or node by node where those would be too large.
#![expect(
    clippy::indexing_slicing,
    reason = "node, column and set numbers are checked once, by is_sound; entries are below the height of the tables made for them"
)]

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::coded::Coded;
use crate::encode::{Faces, Source, encode};
use crate::feature::Feature;
use crate::frame::{Col, Frame};
use crate::grow::{self, Grown, Growth, LEAVES_MAX, Loss, Test};
use crate::lookup::Tables;

/// Fitted trees with their encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Forest {
    pub(crate) columns: Vec<Column>,
    pub(crate) base: f64,
    /// Scores are log-odds and answers probabilities.
    logistic: bool,
    pub(crate) roots: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
    /// Sets of entries, sorted: those that go left.
    pub(crate) sets: Vec<Vec<u32>>,
    #[serde(skip)]
    pub(crate) tables: OnceLock<Arc<Tables>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) feature: usize,
    pub(crate) source: Source,
}

/// Column and, in its lowest bit, whether missing goes left; the part to compare, or a set as −1 − its number; the cut, or a leaf's
/// value; the left child, whose right sibling follows it, or 0 for a leaf.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Node(pub(crate) u32, pub(crate) i32, pub(crate) f64, pub(crate) u32);

impl Node {
    pub(crate) const fn column(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(crate) const fn missing_left(self) -> bool {
        self.0 & 1 == 1
    }

    pub(crate) const fn set(self) -> Option<usize> {
        if self.1 < 0 { Some((-1 - self.1) as usize) } else { None }
    }

    pub(crate) const fn is_leaf(self) -> bool {
        self.3 == 0
    }

    pub(crate) fn left_of_cut(self, value: f64) -> bool {
        if value.is_nan() {
            self.missing_left()
        } else {
            value < self.2
        }
    }
}

impl Forest {
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        loss: Loss,
        faces: Faces,
        growth: Growth,
        seed: u64,
    ) -> Result<Self, String> {
        let (columns, sources) = encode(features, frame, target, faces, seed)?;
        let mean = target.iter().sum::<f64>() / target.len().max(1) as f64;
        let base = match loss {
            Loss::Squared => mean,
            Loss::Logistic => {
                let p = mean.clamp(1e-4, 1.0 - 1e-4);
                (p / (1.0 - p)).ln()
            }
        };
        let trees = if columns.is_empty() {
            Vec::new()
        } else {
            grow::grow(&columns, target, base, loss, growth, seed)
        };
        let mut forest = Self {
            columns: columns
                .iter()
                .zip(sources)
                .map(|(coded, source)| Column {
                    feature: coded.feature,
                    source,
                })
                .collect(),
            base,
            logistic: loss == Loss::Logistic,
            roots: Vec::new(),
            nodes: Vec::new(),
            sets: Vec::new(),
            tables: OnceLock::new(),
        };
        for tree in &trees {
            forest.add_tree(tree, &columns);
        }
        Ok(forest)
    }

    /// Multiplications of one fit, roughly; `Err` if the columns would be too large.
    pub(crate) fn work(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        faces: Faces,
        growth: Growth,
    ) -> Result<f64, String> {
        let (columns, _) = encode(features, frame, target, faces, 0)?;
        let entries: f64 = columns.iter().map(|c| c.entries as f64).sum();
        let looks: f64 = columns
            .iter()
            .map(|c| c.entries as f64 * (c.views.len() as f64 + f64::from(u8::from(c.sets)) * 8.0))
            .sum();
        let leaves = growth.leaves as f64;
        let rows = frame.rows as f64 * growth.row_share;
        let sums = rows * columns.len() as f64 * (1.0 + leaves.log2() / 2.0) + 2.0 * leaves * entries;
        Ok(growth.trees as f64 * (4.0 * sums + 2.0 * leaves * looks * growth.view_share + rows * leaves.log2() * 4.0))
    }

    /// Copies a tree so that children follow their parents, which is also what makes every walk end.
    fn add_tree(&mut self, tree: &[Grown], columns: &[Coded]) {
        let first = self.nodes.len() as u32;
        self.roots.push(first);
        for node in tree {
            let node = match node {
                Grown::Leaf(value) => Node(0, 0, f64::from(*value as f32), 0),
                Grown::Split { test, left, .. } => match test {
                    Test::Below {
                        column,
                        view,
                        cut,
                        missing_left,
                    } => {
                        let part = columns[*column].views[*view].number;
                        Node(
                            (*column as u32) << 1 | u32::from(*missing_left),
                            part as i32,
                            *cut,
                            first + *left as u32,
                        )
                    }
                    Test::Among { column, entries } => {
                        self.sets.push(entries.clone());
                        Node(
                            (*column as u32) << 1,
                            -(self.sets.len() as i32),
                            0.0,
                            first + *left as u32,
                        )
                    }
                },
            };
            self.nodes.push(node);
        }
    }

    pub(crate) fn predict(&self, features: &[Feature], frame: &Frame) -> Vec<f64> {
        let mut scores = match self.tables(features) {
            Some(tables) => self.look_up(&tables, frame),
            None => self.walk(frame),
        };
        if self.logistic {
            scores
                .iter_mut()
                .for_each(|score| *score = 1.0 / (1.0 + (-*score).exp()));
        }
        scores
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let count = self.nodes.len() as u32;
        let inner = |node: &Node, at: u32| {
            node.column() < self.columns.len()
                && node.set().is_none_or(|set| set < self.sets.len())
                && node.3 > at
                && node.3 < count - 1
        };
        let mut ends = self.roots.iter().skip(1).copied().chain([count]);
        self.base.is_finite()
            && self.roots.is_sorted()
            && self.roots.first().is_none_or(|root| *root == 0)
            && self.roots.iter().all(|root| *root < count)
            && self
                .roots
                .iter()
                .all(|root| ends.next().is_some_and(|end| ((end - root) as usize) < 2 * LEAVES_MAX))
            && self.columns.iter().all(|column| {
                column.feature < features
                    && match &column.source {
                        Source::Mean(code) => code.is_sound(),
                        Source::Pair(pair) => pair.is_sound(features),
                        Source::Value | Source::Entry | Source::Part(_) => true,
                    }
            })
            && self
                .nodes
                .iter()
                .zip(0..)
                .all(|(node, at)| node.2.is_finite() && (node.is_leaf() || inner(node, at)))
    }

    /// Which way an entry of a column goes at a node.
    fn goes_left(&self, node: Node, col: &Col, entry: u32) -> bool {
        match node.set() {
            Some(set) => self.sets[set].binary_search(&entry).is_ok(),
            None => node.left_of_cut(col.molecule(entry).map_or(f64::NAN, |chem| chem.part(node.1 as u32))),
        }
    }

    /// The number that a column shows of a row.
    pub(crate) fn number(&self, column: &Column, frame: &Frame, row: usize) -> f64 {
        let col = &frame.cols[column.feature];
        match &column.source {
            Source::Value => col.number(row),
            Source::Mean(code) => code.value(col.code(row)),
            Source::Part(part) => col.part(row, *part),
            Source::Pair(pair) => pair.value(col.code(row), frame.cols[pair.other].code(row)),
            Source::Entry => f64::NAN,
        }
    }

    fn walk(&self, frame: &Frame) -> Vec<f64> {
        let step = |node: Node, row: usize| {
            let column = &self.columns[node.column()];
            let left = match column.source {
                Source::Entry => {
                    let col = &frame.cols[column.feature];
                    self.goes_left(node, col, col.entry(row))
                }
                Source::Value | Source::Mean(_) | Source::Part(_) | Source::Pair(_) => {
                    node.left_of_cut(self.number(column, frame, row))
                }
            };
            node.3 + u32::from(!left)
        };
        let score = |row: usize| {
            self.roots
                .iter()
                .map(|root| {
                    let mut node = self.nodes[*root as usize];
                    while !node.is_leaf() {
                        node = self.nodes[step(node, row) as usize];
                    }
                    node.2
                })
                .sum::<f64>()
        };
        (0..frame.rows).map(|row| self.base + score(row)).collect()
    }
}
