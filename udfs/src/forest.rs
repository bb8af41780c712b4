//! Boosted trees as a model keeps them, and their fast evaluation.
//!
//! A row is a tuple of few entries: levels, molecules, ranges of numbers. For every entry it is worked out once which leaves of each tree it
//! rules out, as a set of bits; a row's leaf is then the first one that none of its entries rules out. After C. Lucchese et al., "QuickScorer",
//! SIGIR 2015, turned from thresholds to entries. Rows are visited in an order that lets neighbours share all but one of their entries.
#![expect(
    clippy::indexing_slicing,
    reason = "node, column and set numbers are checked once, by is_sound; entries are below the height of the tables made for them"
)]

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::coded::Coded;
use crate::encode::{Faces, Source, encode};
use crate::feature::{FIRST_LEVEL, Feature};
use crate::frame::{Col, Frame};
use crate::grow::{self, Grown, Growth, LEAVES_MAX, Loss, Test};
use crate::order::Order;

/// Bytes of the tables of leaves ruled out; a model that would need more is walked node by node.
const TABLES_MAX: usize = 96 << 20;

/// Fitted trees with their encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Forest {
    columns: Vec<Column>,
    base: f64,
    /// Scores are log-odds and answers probabilities.
    logistic: bool,
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// Sets of entries, sorted: those that go left.
    sets: Vec<Vec<u32>>,
    #[serde(skip)]
    tables: OnceLock<Arc<Tables>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Column {
    feature: usize,
    source: Source,
}

/// Column and, in its lowest bit, whether missing goes left; the part to compare, or a set as −1 − its number; the cut, or a leaf's
/// value; the left child, whose right sibling follows it, or 0 for a leaf.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Node(u32, i32, f64, u32);

impl Node {
    const fn column(self) -> usize {
        (self.0 >> 1) as usize
    }

    const fn missing_left(self) -> bool {
        self.0 & 1 == 1
    }

    const fn set(self) -> Option<usize> {
        if self.1 < 0 { Some((-1 - self.1) as usize) } else { None }
    }

    const fn is_leaf(self) -> bool {
        self.3 == 0
    }

    fn left_of_cut(self, value: f64) -> bool {
        if value.is_nan() {
            self.missing_left()
        } else {
            value < self.2
        }
    }
}

/// For every column: the sorted cuts of a number, and by entry the leaves it leaves of each tree.
#[derive(Debug)]
struct Tables {
    cuts: Vec<Vec<f64>>,
    /// Entry × tree, for the entries known at training.
    left: Vec<Vec<u64>>,
    /// By column: tree, node, and the leaves that remain if the node's answer is right.
    tests: Vec<Vec<(u32, Node, u64)>>,
    /// Tree × 64.
    leaves: Vec<[f32; LEAVES_MAX]>,
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
    fn number(&self, column: &Column, frame: &Frame, row: usize) -> f64 {
        let col = &frame.cols[column.feature];
        match &column.source {
            Source::Value => col.number(row),
            Source::Mean(code) => code.value(col.code(row)),
            Source::Part(part) => col.part(row, *part),
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
                Source::Value | Source::Mean(_) | Source::Part(_) => node.left_of_cut(self.number(column, frame, row)),
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

    /// The tables of the known entries, made at the first prediction; `None` if they would be too large.
    fn tables(&self, features: &[Feature]) -> Option<Arc<Tables>> {
        if let Some(tables) = self.tables.get() {
            return Some(Arc::clone(tables));
        }
        let mut cuts: Vec<Vec<f64>> = vec![Vec::new(); self.columns.len()];
        for node in self.nodes.iter().filter(|node| !node.is_leaf()) {
            if !matches!(self.columns[node.column()].source, Source::Entry) {
                cuts[node.column()].push(node.2);
            }
        }
        for cuts in &mut cuts {
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
        }
        let heights: Vec<usize> = self
            .columns
            .iter()
            .zip(&cuts)
            .map(|(column, cuts)| match column.source {
                Source::Entry => features[column.feature].codes(),
                Source::Value | Source::Mean(_) | Source::Part(_) => cuts.len() + 2,
            })
            .collect();
        let trees = self.roots.len();
        if heights.iter().sum::<usize>() * trees * 8 > TABLES_MAX {
            return None;
        }
        let (tests, leaves) = self.flattened();
        let mut tables = Tables {
            cuts,
            left: Vec::new(),
            tests,
            leaves,
        };
        for (number, column) in self.columns.iter().enumerate() {
            let height = heights[number];
            let left = match column.source {
                Source::Entry => {
                    let feature = &features[column.feature];
                    let col = Col::constant_level(feature, FIRST_LEVEL);
                    (0..height as u32)
                        .flat_map(|entry| self.row_of(&tables, number, &col, entry))
                        .collect()
                }
                Source::Value | Source::Mean(_) | Source::Part(_) => {
                    let cuts = &tables.cuts[number];
                    // Entry i stands for the values that i cuts are not above; the last one for no value.
                    let below = |entry: usize, node: Node| {
                        if entry == cuts.len() + 1 {
                            node.missing_left()
                        } else {
                            cuts.get(entry).is_some_and(|cut| *cut <= node.2)
                        }
                    };
                    let mut left = vec![u64::MAX; height * trees];
                    for (tree, node, remaining) in &tables.tests[number] {
                        for entry in (0..height).filter(|entry| !below(*entry, *node)) {
                            left[entry * trees + *tree as usize] &= remaining;
                        }
                    }
                    left
                }
            };
            tables.left.push(left);
        }
        Some(Arc::clone(self.tables.get_or_init(|| Arc::new(tables))))
    }

    /// What one entry leaves of each tree.
    fn row_of(&self, tables: &Tables, column: usize, col: &Col, entry: u32) -> Vec<u64> {
        let mut left = vec![u64::MAX; self.roots.len()];
        for (tree, node, remaining) in &tables.tests[column] {
            if !self.goes_left(*node, col, entry) {
                left[*tree as usize] &= remaining;
            }
        }
        left
    }

    /// Leaves numbered from left to right; each node with the leaves that going right leaves.
    #[expect(clippy::type_complexity, reason = "two tables of one walk")]
    fn flattened(&self) -> (Vec<Vec<(u32, Node, u64)>>, Vec<[f32; LEAVES_MAX]>) {
        let mut tests = vec![Vec::new(); self.columns.len()];
        let mut leaves = vec![[0.0_f32; LEAVES_MAX]; self.roots.len()];
        for (tree, root) in self.roots.iter().enumerate() {
            // How many leaves each node of the tree has, children before parents.
            let end = self.roots.get(tree + 1).copied().unwrap_or(self.nodes.len() as u32);
            let mut counts = vec![1_u32; (end - root) as usize];
            for at in (*root..end).rev() {
                let node = self.nodes[at as usize];
                if !node.is_leaf() {
                    let left = (node.3 - root) as usize;
                    counts[(at - root) as usize] = counts[left] + counts[left + 1];
                }
            }
            let mut stack = vec![(*root, 0_u32)];
            while let Some((at, first)) = stack.pop() {
                let node = self.nodes[at as usize];
                if node.is_leaf() {
                    leaves[tree][first as usize % LEAVES_MAX] = node.2 as f32;
                    continue;
                }
                let count = counts[(node.3 - root) as usize];
                let under = if count >= 64 { u64::MAX } else { (1_u64 << count) - 1 };
                tests[node.column()].push((tree as u32, node, !(under << (first % 64))));
                stack.push((node.3, first));
                stack.push((node.3 + 1, first + count));
            }
        }
        (tests, leaves)
    }

    fn look_up(&self, tables: &Tables, frame: &Frame) -> Vec<f64> {
        let trees = self.roots.len();
        let mut scores = vec![self.base; frame.rows];
        if trees == 0 || self.columns.is_empty() {
            return scores;
        }
        let mut order = Order::new(frame.rows);
        let mut fresh: Vec<Vec<u64>> = Vec::with_capacity(self.columns.len());
        for (number, column) in self.columns.iter().enumerate() {
            let col = &frame.cols[column.feature];
            let known = tables.left[number].len() / trees;
            let mut more = Vec::new();
            let codes: Vec<u32> = match column.source {
                Source::Entry => {
                    for entry in known..col.molecules() {
                        more.extend(self.row_of(tables, number, col, entry as u32));
                    }
                    (0..frame.rows).map(|row| col.entry(row)).collect()
                }
                Source::Value | Source::Mean(_) | Source::Part(_) => {
                    let cuts = &tables.cuts[number];
                    let code = |value: f64| {
                        if value.is_nan() {
                            cuts.len() as u32 + 1
                        } else {
                            cuts.partition_point(|cut| *cut <= value) as u32
                        }
                    };
                    (0..frame.rows)
                        .map(|row| code(self.number(column, frame, row)))
                        .collect()
                }
            };
            order.add(codes, known + more.len() / trees);
            fresh.push(more);
        }
        let row_of = |column: usize, entry: u32| {
            let (entry, known) = (entry as usize, tables.left[column].len() / trees);
            if entry < known {
                &tables.left[column][entry * trees..][..trees]
            } else {
                &fresh[column][(entry - known) * trees..][..trees]
            }
        };
        let plan = order.plan();
        let mut shared = vec![u64::MAX; trees];
        let mut before: Option<usize> = None;
        for row in &plan.rows {
            let row = *row as usize;
            let same = before.map_or(0, |before| plan.alike(before, row));
            if same == plan.columns.len() {
                scores[row] = before.map_or(self.base, |before| scores[before]);
                continue;
            }
            if before.is_none() || same + 1 < plan.columns.len() {
                shared.fill(u64::MAX);
                for (column, codes) in plan.first() {
                    for (all, one) in shared.iter_mut().zip(row_of(column, codes[row])) {
                        *all &= one;
                    }
                }
            }
            let (column, codes) = plan.last();
            let last = row_of(column, codes[row]);
            scores[row] = self.base + sum(&shared, last, &tables.leaves);
            before = Some(row);
        }
        scores
    }
}

/// The leaves that both leave, summed over the trees.
fn sum(shared: &[u64], last: &[u64], leaves: &[[f32; LEAVES_MAX]]) -> f64 {
    let leaf =
        |shared: u64, last: u64, leaves: &[f32; LEAVES_MAX]| leaves[((shared & last).trailing_zeros() & 63) as usize];
    let (mut even, mut odd) = (0.0_f64, 0.0_f64);
    let (shared, shared_rest) = shared.as_chunks::<2>();
    let (last, last_rest) = last.as_chunks::<2>();
    let (leaves, leaves_rest) = leaves.as_chunks::<2>();
    for ((s, l), leaves) in shared.iter().zip(last).zip(leaves) {
        even += f64::from(leaf(s[0], l[0], &leaves[0]));
        odd += f64::from(leaf(s[1], l[1], &leaves[1]));
    }
    for ((s, l), leaves) in shared_rest.iter().zip(last_rest).zip(leaves_rest) {
        even += f64::from(leaf(*s, *l, leaves));
    }
    even + odd
}
