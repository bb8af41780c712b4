//! Fast evaluation of boosted trees.
//!
//! A row is a tuple of few entries: levels, molecules, ranges of numbers. For every entry it is worked out once which leaves of each tree it
//! rules out, as a set of bits; a row's leaf is then the first one that none of its entries rules out. After C. Lucchese et al., "QuickScorer",
//! SIGIR 2015, turned from thresholds to entries. Rows are visited in an order that lets neighbours share all but one of their entries.
#![expect(
    clippy::indexing_slicing,
    reason = "node, column and set numbers are checked once, by is_sound; entries are below the height of the tables made for them"
)]

use std::sync::Arc;

use crate::chem::{Chem, FIRST_BIT};
use crate::encode::Source;
use crate::feature::{FIRST_LEVEL, Feature, FeatureKind};
use crate::forest::{Forest, Node};
use crate::frame::{Col, Frame};
use crate::grow::LEAVES_MAX;
use crate::order::Order;

/// Bytes of the tables of leaves ruled out; a model that would need more is walked node by node.
const TABLES_MAX: usize = 96 << 20;

/// For every column: the sorted cuts of a number, and by entry the leaves it leaves of each tree.
#[derive(Debug)]
pub(crate) struct Tables {
    cuts: Vec<Vec<f64>>,
    /// Entry × tree, for the entries known at training.
    left: Vec<Vec<u64>>,
    tests: Vec<Vec<Check>>,
    /// By column: the parts of molecules that its tests compare, sorted.
    parts: Vec<Vec<u32>>,
    /// By column of molecules: how one that training did not see is read.
    strangers: Vec<Option<Strangers>>,
    /// Tree × 64.
    leaves: Vec<[f32; LEAVES_MAX]>,
}

/// A node of a tree, and the leaves that remain if its answer is right.
#[derive(Debug)]
struct Check {
    tree: u32,
    /// Place of the compared part among the column's.
    part: u32,
    node: Node,
    remaining: u64,
}

/// Tests of a column of molecules, in the order in which one that is no known entry meets them.
#[derive(Debug)]
struct Strangers {
    /// What a molecule leaves that is in no set and has no surroundings, descriptors aside.
    blank: Vec<u64>,
    /// The tests of each compared part by their cuts, ascending; parts as in [`Tables::parts`].
    by_part: Vec<Vec<Step>>,
}

/// A cut, and what remains of a tree for a value that is not below it.
#[derive(Debug)]
struct Step {
    cut: f64,
    remaining: u64,
    tree: u32,
}

impl Strangers {
    fn of(forest: &Forest, tests: &[Check], parts: &[u32]) -> Self {
        let mut blank = vec![u64::MAX; forest.roots.len()];
        let mut by_part: Vec<Vec<Step>> = parts.iter().map(|_| Vec::new()).collect();
        for test in tests {
            let (set, bit) = (test.node.set().is_some(), test.node.1 >= FIRST_BIT as i32);
            if set || (bit && !test.node.left_of_cut(0.0)) {
                blank[test.tree as usize] &= test.remaining;
            }
            if !set {
                by_part[test.part as usize].push(Step {
                    cut: test.node.2,
                    remaining: test.remaining,
                    tree: test.tree,
                });
            }
        }
        for steps in &mut by_part {
            steps.sort_by(|a, b| a.cut.total_cmp(&b.cut));
        }
        Self { blank, by_part }
    }

    /// What the molecule leaves of each tree; `None` if it has less than nothing of a part, as a reaction may.
    fn row(&self, parts: &[u32], chem: &Chem) -> Option<Vec<u64>> {
        let mut left = self.blank.clone();
        let mut meet = |steps: &[Step], value: f64| {
            for step in steps.iter().take_while(|step| step.cut <= value) {
                left[step.tree as usize] &= step.remaining;
            }
        };
        let descriptors = parts.partition_point(|part| *part < FIRST_BIT);
        for (part, steps) in parts.iter().zip(&self.by_part).take(descriptors) {
            let value = chem.part(*part);
            if value.is_nan() {
                return None;
            }
            meet(steps, value);
        }
        let bits = &parts[descriptors..];
        for (bit, count) in chem.counts() {
            if *count < 0 {
                return None;
            }
            if let Ok(at) = bits.binary_search(&(FIRST_BIT + u32::from(*bit))) {
                meet(&self.by_part[descriptors + at], f64::from(*count));
            }
        }
        Some(left)
    }
}

impl Forest {
    /// The tables of the known entries, made at the first prediction; `None` if they would be too large.
    pub(crate) fn tables(&self, features: &[Feature]) -> Option<Arc<Tables>> {
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
                Source::Value | Source::Mean(_) | Source::Part(_) | Source::Pair(_) => cuts.len() + 2,
            })
            .collect();
        let trees = self.roots.len();
        if heights.iter().sum::<usize>() * trees * 8 > TABLES_MAX {
            return None;
        }
        let (mut tests, leaves) = self.flattened();
        let mut parts = Vec::with_capacity(tests.len());
        for (column, tests) in self.columns.iter().zip(&mut tests) {
            let mut compared: Vec<u32> = Vec::new();
            if matches!(column.source, Source::Entry) {
                compared.extend(tests.iter().filter(|t| t.node.set().is_none()).map(|t| t.node.1 as u32));
                compared.sort_unstable();
                compared.dedup();
                for test in tests.iter_mut() {
                    test.part = compared.binary_search(&(test.node.1 as u32)).unwrap_or(0) as u32;
                }
            }
            parts.push(compared);
        }
        let strangers = self
            .columns
            .iter()
            .zip(&tests)
            .zip(&parts)
            .map(|((column, tests), parts)| {
                let molecules = features[column.feature].kind == FeatureKind::Smiles;
                (molecules && matches!(column.source, Source::Entry)).then(|| Strangers::of(self, tests, parts))
            });
        let mut tables = Tables {
            cuts,
            left: Vec::new(),
            strangers: strangers.collect(),
            tests,
            parts,
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
                Source::Value | Source::Mean(_) | Source::Part(_) | Source::Pair(_) => {
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
                    for test in &tables.tests[number] {
                        for entry in (0..height).filter(|entry| !below(*entry, test.node)) {
                            left[entry * trees + test.tree as usize] &= test.remaining;
                        }
                    }
                    left
                }
            };
            tables.left.push(left);
        }
        Some(Arc::clone(self.tables.get_or_init(|| Arc::new(tables))))
    }

    /// What an entry leaves of each tree that is no known one.
    fn row_of_stranger(&self, tables: &Tables, column: usize, col: &Col, entry: u32) -> Vec<u64> {
        let quick = tables.strangers[column]
            .as_ref()
            .and_then(|strangers| strangers.row(&tables.parts[column], col.molecule(entry)?));
        quick.unwrap_or_else(|| self.row_of(tables, column, col, entry))
    }

    /// What one entry leaves of each tree.
    fn row_of(&self, tables: &Tables, column: usize, col: &Col, entry: u32) -> Vec<u64> {
        let mut left = vec![u64::MAX; self.roots.len()];
        let molecule = col.molecule(entry);
        // Each part is looked up once, not once a node.
        let value = |part: &u32| molecule.map_or(f64::NAN, |chem| chem.part(*part));
        let values: Vec<f64> = tables.parts[column].iter().map(value).collect();
        for test in &tables.tests[column] {
            let goes_left = match test.node.set() {
                Some(set) => self.sets[set].binary_search(&entry).is_ok(),
                None => test.node.left_of_cut(values[test.part as usize]),
            };
            if !goes_left {
                left[test.tree as usize] &= test.remaining;
            }
        }
        left
    }

    /// Leaves numbered from left to right; each node with the leaves that going right leaves.
    fn flattened(&self) -> (Vec<Vec<Check>>, Vec<[f32; LEAVES_MAX]>) {
        let mut tests: Vec<Vec<Check>> = self.columns.iter().map(|_| Vec::new()).collect();
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
                tests[node.column()].push(Check {
                    tree: tree as u32,
                    part: 0,
                    node,
                    remaining: !(under << (first % 64)),
                });
                stack.push((node.3, first));
                stack.push((node.3 + 1, first + count));
            }
        }
        (tests, leaves)
    }

    pub(crate) fn look_up(&self, tables: &Tables, frame: &Frame) -> Vec<f64> {
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
                    let codes: Vec<u32> = (0..frame.rows).map(|row| col.entry(row)).collect();
                    // Other rows than these may hold the rest of them.
                    let mut here = vec![false; col.molecules().saturating_sub(known)];
                    for code in codes.iter().filter_map(|code| (*code as usize).checked_sub(known)) {
                        here[code] = true;
                    }
                    for (entry, here) in (known as u32..).zip(here) {
                        if here {
                            more.extend(self.row_of_stranger(tables, number, col, entry));
                        } else {
                            more.resize(more.len() + trees, 0);
                        }
                    }
                    codes
                }
                Source::Value | Source::Mean(_) | Source::Part(_) | Source::Pair(_) => {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::encode::Faces;
    use crate::grow::{Growth, Loss};

    #[test]
    fn a_molecule_that_training_did_not_see_is_read_as_its_nodes_would() {
        let texts = [
            "CCO",
            "CC(C)=O",
            "c1ccccc1",
            "CC#N",
            "CN(C)C=O",
            "C1CCOC1",
            "CCCCO>>CCCC=O",
        ];
        let feature = Feature {
            name: "solvent".to_owned(),
            kind: FeatureKind::Smiles,
            levels: texts.iter().map(|text| (*text).to_owned()).collect(),
            ..Feature::default()
        };
        let rows = 140;
        let codes: Vec<u32> = (0..rows as u32)
            .map(|row| FIRST_LEVEL + row % texts.len() as u32)
            .collect();
        let target: Vec<f64> = codes.iter().map(|code| f64::from(code * code % 7)).collect();
        let frame = Frame {
            rows,
            cols: vec![Col::levels(&feature, codes)],
        };
        let growth = Growth {
            trees: 30,
            leaves: 8,
            learning_rate: 0.3,
            row_share: 0.8,
            view_share: 0.2,
            leaf_rows_min: 2,
            ridge: 1.0,
            boosted: true,
        };
        let features = [feature];
        let forest = Forest::fit(&features, &frame, &target, Loss::Squared, Faces::All, growth, 1).unwrap();
        let strange = ["CCCO", "c1ccncc1C(=O)O", "CCOC(C)=O", "CC=O>>CCO", "[Na+].[Cl-]", "C"];
        let asked = Frame {
            rows: strange.len(),
            cols: vec![Col::Molecule {
                codes: (0..strange.len() as u32)
                    .map(|at| features[0].codes() as u32 + at)
                    .collect(),
                known: Arc::clone(features[0].molecules()),
                fresh: Arc::new(strange.iter().map(|text| Arc::new(Chem::of(text).unwrap())).collect()),
            }],
        };
        let tables = forest.tables(&features).unwrap();
        for code in 0..strange.len() as u32 {
            let entry = features[0].codes() as u32 + code;
            assert_eq!(
                forest.row_of_stranger(&tables, 0, &asked.cols[0], entry),
                forest.row_of(&tables, 0, &asked.cols[0], entry),
                "{}",
                strange[code as usize]
            );
        }
    }
}
