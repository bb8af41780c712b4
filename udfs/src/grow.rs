//! Growing boosted trees on coded columns.
//!
//! Friedman, "Greedy function approximation", Annals of Statistics 2001, with the second-order gains of Chen and Guestrin (KDD 2016), leaf-wise
//! growth and histogram subtraction after Ke et al. (NIPS 2017), and splits of categories into sets by their mean gradient (Fisher 1958).
#![expect(
    clippy::indexing_slicing,
    reason = "codes are below the number of entries of their column, which is made with them"
)]

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::coded::{Coded, View};
use crate::stop;
use crate::walk::{Tester, Walker};

/// Leaves of one tree: a set of leaves is one machine word.
pub(crate) const LEAVES_MAX: usize = 64;

/// How trees grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    pub(crate) learning_rate: f64,
    /// Share of the rows and of the views that each tree sees.
    pub(crate) row_share: f64,
    pub(crate) view_share: f64,
    pub(crate) leaf_rows_min: u32,
    /// Ridge on the leaves' values.
    pub(crate) ridge: f64,
    /// Each tree corrects those before it; or all look at the target itself, and their shares make a mean (Breiman, Machine Learning 45 (2001) 5).
    pub(crate) boosted: bool,
}

/// What the trees minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Squared,
    /// Targets are 0 and 1, scores are log-odds.
    Logistic,
}

/// Where a node sends a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// Left if the view's value is below the cut; without a value left if so told.
    Below {
        column: usize,
        view: usize,
        cut: f64,
        missing_left: bool,
    },
    /// Left if the entry is one of these, sorted.
    Among { column: usize, entries: Vec<u32> },
}

/// A tree's node; children stand behind their parents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Grown {
    Leaf(f64),
    Split { test: Test, left: usize, right: usize },
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    gradient: f64,
    weight: f64,
    rows: u32,
}

impl Bin {
    fn add(&mut self, other: Self) {
        self.gradient += other.gradient;
        self.weight += other.weight;
        self.rows += other.rows;
    }

    fn less(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            weight: self.weight - other.weight,
            rows: self.rows.saturating_sub(other.rows),
        }
    }

    fn score(self, ridge: f64) -> f64 {
        self.gradient * self.gradient / (self.weight + ridge)
    }
}

struct Best {
    gain: f64,
    test: Test,
}

/// A leaf that may still be split.
struct Open {
    node: usize,
    rows: Vec<u32>,
    bins: Vec<Bin>,
    sum: Bin,
    best: Option<Best>,
}

/// Grows the trees; `base` is where all scores start. Stops early when a tree finds nothing to split.
pub(crate) fn grow(
    columns: &[Coded],
    target: &[f64],
    base: f64,
    loss: Loss,
    growth: Growth,
    seed: u64,
) -> Vec<Vec<Grown>> {
    let rows = target.len();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut scores = vec![base; rows];
    let mut offsets = Vec::with_capacity(columns.len());
    let mut width = 0;
    for column in columns {
        offsets.push(width);
        width += column.entries;
    }
    let mut grower = Grower {
        columns,
        offsets,
        width,
        growth,
        gradients: vec![0.0; rows],
        weights: vec![1.0; rows],
        views: Vec::new(),
    };
    let all_views: Vec<(usize, usize)> = columns
        .iter()
        .enumerate()
        .flat_map(|(number, column)| {
            let sets = usize::from(column.sets);
            (0..column.views.len() + sets).map(move |view| (number, view))
        })
        .collect();
    let everything: Vec<u32> = (0..rows as u32).collect();
    let mut trees = Vec::with_capacity(growth.trees);
    for _ in 0..growth.trees {
        if stop::is_asked() {
            break;
        }
        for row in 0..rows {
            let (gradient, weight) = match loss {
                Loss::Squared => (target[row] - scores[row], 1.0),
                Loss::Logistic => {
                    let p = 1.0 / (1.0 + (-scores[row]).exp());
                    (target[row] - p, (p * (1.0 - p)).max(1e-6))
                }
            };
            (grower.gradients[row], grower.weights[row]) = (gradient, weight);
        }
        grower.views = if growth.view_share < 1.0 && all_views.len() > 4 {
            let count = ((all_views.len() as f64 * growth.view_share).ceil() as usize).max(2);
            let mut some = all_views.clone();
            some.shuffle(&mut rng);
            some.truncate(count);
            some.sort_unstable();
            some
        } else {
            all_views.clone()
        };
        let sample: Vec<u32> = if growth.row_share < 1.0 {
            everything
                .iter()
                .copied()
                .filter(|_| rng.random::<f64>() < growth.row_share)
                .collect()
        } else {
            everything.clone()
        };
        let tree = grower.tree(sample);
        if tree.len() <= 1 && growth.row_share >= 1.0 && growth.view_share >= 1.0 {
            break;
        }
        if growth.boosted {
            let leaf = Walker::new(&tree, columns);
            for (row, score) in scores.iter_mut().enumerate() {
                *score += leaf.value(row);
            }
        }
        trees.push(tree);
    }
    trees
}

struct Grower<'a> {
    columns: &'a [Coded],
    offsets: Vec<usize>,
    width: usize,
    growth: Growth,
    gradients: Vec<f64>,
    weights: Vec<f64>,
    /// The views this tree may use; a view past the last of a column is the split into sets.
    views: Vec<(usize, usize)>,
}

impl Grower<'_> {
    fn tree(&self, rows: Vec<u32>) -> Vec<Grown> {
        let mut nodes = vec![Grown::Leaf(0.0)];
        let bins = self.histogram(&rows);
        let mut open = vec![self.open(0, rows, bins)];
        let mut leaves = 1;
        while leaves < self.growth.leaves.min(LEAVES_MAX) {
            let Some(at) = open
                .iter()
                .enumerate()
                .filter_map(|(at, leaf)| leaf.best.as_ref().map(|best| (at, best.gain)))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
                .map(|(at, _)| at)
            else {
                break;
            };
            let leaf = open.swap_remove(at);
            let Some(best) = leaf.best else { break };
            let test = Tester::new(&best.test, self.columns);
            let (left, right): (Vec<u32>, Vec<u32>) =
                leaf.rows.iter().copied().partition(|row| test.left(*row as usize));
            let (small, large_is_left) = if left.len() < right.len() {
                (&left, false)
            } else {
                (&right, true)
            };
            let small_bins = self.histogram(small);
            let large_bins: Vec<Bin> = leaf
                .bins
                .iter()
                .zip(&small_bins)
                .map(|(all, part)| all.less(*part))
                .collect();
            let (left_bins, right_bins) = if large_is_left {
                (large_bins, small_bins)
            } else {
                (small_bins, large_bins)
            };
            let (l, r) = (nodes.len(), nodes.len() + 1);
            nodes.extend([Grown::Leaf(0.0), Grown::Leaf(0.0)]);
            nodes[leaf.node] = Grown::Split {
                test: best.test,
                left: l,
                right: r,
            };
            open.push(self.open(l, left, left_bins));
            open.push(self.open(r, right, right_bins));
            leaves += 1;
        }
        for leaf in &open {
            let value = leaf.sum.gradient / (leaf.sum.weight + self.growth.ridge) * self.growth.learning_rate;
            nodes[leaf.node] = Grown::Leaf(if value.is_finite() { value } else { 0.0 });
        }
        nodes
    }

    fn histogram(&self, rows: &[u32]) -> Vec<Bin> {
        let mut bins = vec![Bin::default(); self.width];
        for (column, offset) in self.columns.iter().zip(&self.offsets) {
            let bins = &mut bins[*offset..*offset + column.entries];
            for row in rows {
                let row = *row as usize;
                bins[column.codes[row] as usize].add(Bin {
                    gradient: self.gradients[row],
                    weight: self.weights[row],
                    rows: 1,
                });
            }
        }
        bins
    }

    fn open(&self, node: usize, rows: Vec<u32>, bins: Vec<Bin>) -> Open {
        let mut sum = Bin::default();
        for row in &rows {
            sum.add(Bin {
                gradient: self.gradients[*row as usize],
                weight: self.weights[*row as usize],
                rows: 1,
            });
        }
        let best = if rows.len() as u32 >= 2 * self.growth.leaf_rows_min {
            self.best(&bins, sum)
        } else {
            None
        };
        Open {
            node,
            rows,
            bins,
            sum,
            best,
        }
    }

    fn best(&self, bins: &[Bin], sum: Bin) -> Option<Best> {
        let ridge = self.growth.ridge;
        let parent = sum.score(ridge);
        // Below this a split only follows rounding.
        let mut least = 1e-9 * (1.0 + parent.abs());
        let mut best = None;
        for (column, view) in &self.views {
            let coded = &self.columns[*column];
            let offset = self.offsets[*column];
            let bins = &bins[offset..offset + coded.entries];
            let found = match coded.views.get(*view) {
                Some(_) => self.best_cut(bins, sum, parent, *column, *view, least),
                None => self.best_sets(bins, sum, parent, *column, least),
            };
            if let Some(found) = found {
                least = found.gain;
                best = Some(found);
            }
        }
        best
    }

    fn best_cut(&self, bins: &[Bin], sum: Bin, parent: f64, column: usize, number: usize, least: f64) -> Option<Best> {
        let view = &self.columns[column].views[number];
        let (ridge, rows_min) = (self.growth.ridge, self.growth.leaf_rows_min);
        let mut missing = Bin::default();
        for entry in &view.missing {
            missing.add(bins[*entry as usize]);
        }
        let sides: &[bool] = if missing.rows == 0 { &[false] } else { &[false, true] };
        let mut best: Option<(f64, f64, bool)> = None;
        let mut least = least;
        for missing_left in sides {
            let mut left = if *missing_left { missing } else { Bin::default() };
            for (entry, cut) in view.order.iter().zip(&view.cuts) {
                left.add(bins[*entry as usize]);
                if cut.is_nan() || left.rows < rows_min {
                    continue;
                }
                let right = sum.less(left);
                if right.rows < rows_min {
                    break;
                }
                let gain = left.score(ridge) + right.score(ridge) - parent;
                if gain > least {
                    least = gain;
                    best = Some((gain, *cut, *missing_left));
                }
            }
        }
        let (gain, cut, missing_left) = best?;
        // Where training knew no missing value, the larger side takes them.
        let missing_left = if missing.rows == 0 {
            heavier_left(view, bins, cut, sum)
        } else {
            missing_left
        };
        Some(Best {
            gain,
            test: Test::Below {
                column,
                view: number,
                cut,
                missing_left,
            },
        })
    }

    /// Entries in the order of their mean gradient: the best two sets are neighbours in it.
    fn best_sets(&self, bins: &[Bin], sum: Bin, parent: f64, column: usize, least: f64) -> Option<Best> {
        /// Rows of the node's mean mixed into an entry's, and the extra ridge on leaves that sets make: sets fit noise easily.
        const SMOOTHING: f64 = 5.0;
        let (ridge, rows_min) = (self.growth.ridge + SMOOTHING, self.growth.leaf_rows_min);
        let mut order: Vec<(f64, u32)> = bins
            .iter()
            .zip(0..)
            .filter(|(bin, _)| bin.rows > 0)
            .map(|(bin, entry)| (bin.gradient / (bin.weight + SMOOTHING), entry))
            .collect();
        if order.len() < 3 && self.columns[column].views.iter().any(|view| view.order.len() > 1) {
            return None;
        }
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let parent = parent.min(sum.score(ridge));
        let mut left = Bin::default();
        let mut best: Option<(f64, usize, bool)> = None;
        let mut least = least;
        for (place, (_, entry)) in order.iter().enumerate() {
            left.add(bins[*entry as usize]);
            let right = sum.less(left);
            if left.rows < rows_min {
                continue;
            }
            if right.rows < rows_min {
                break;
            }
            let gain = left.score(ridge) + right.score(ridge) - parent;
            if gain > least {
                least = gain;
                // The named set is the one with fewer rows: what training did not see goes with the many.
                best = Some((gain, place + 1, left.rows <= right.rows));
            }
        }
        let (gain, count, first) = best?;
        let chosen = if first { &order[..count] } else { &order[count..] };
        let mut entries: Vec<u32> = chosen.iter().map(|(_, entry)| *entry).collect();
        entries.sort_unstable();
        Some(Best {
            gain,
            test: Test::Among { column, entries },
        })
    }
}

/// Whether the left side of a cut holds half of the rows or more.
fn heavier_left(view: &View, bins: &[Bin], cut: f64, sum: Bin) -> bool {
    let mut rows = 0;
    for (entry, here) in view.order.iter().zip(&view.cuts) {
        rows += bins[*entry as usize].rows;
        if *here == cut {
            break;
        }
    }
    2 * rows >= sum.rows
}
