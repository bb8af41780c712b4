//! Gradient-boosted regression trees. forust grows them; here they are encoded, flattened and walked.
//!
//! A category enters as its mean code and, when it has few levels, as one column a level. The grown trees are kept in one flat table of
//! nodes: smaller to store, faster to walk, and no file of ours depends on forust's own format.
#![expect(
    clippy::indexing_slicing,
    reason = "node and column numbers are checked once, by is_sound, and walked a thousand times a row"
)]

use forust_ml::objective::ObjectiveType;
use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix};
use serde::{Deserialize, Serialize};

use crate::feature::{Feature, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};
use crate::mean_code::MeanCode;

/// Levels of one category that get a column each for the trees.
const ONE_HOT_LEVELS_MAX: usize = 32;
/// A level needs this many rows for a column of its own.
const ONE_HOT_ROWS_MIN: usize = 3;

/// Cells of the trees' matrix: 320 MB of f64, and a quarter of that again for forust's bins.
const CELLS_MAX: usize = 40_000_000;

/// How the trees grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    pub(crate) trees: usize,
    pub(crate) depth: usize,
    pub(crate) learning_rate: f32,
    pub(crate) row_share: f32,
    pub(crate) column_share: f64,
    pub(crate) leaf_rows_min: f32,
    pub(crate) one_hot: bool,
}

/// Fitted trees with their encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BoostModel {
    inputs: Vec<Input>,
    base: f64,
    /// Where each tree's root is.
    roots: Vec<u32>,
    nodes: Vec<Node>,
}

/// A column of the trees.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Input {
    /// NULL passes as NaN if training saw NULL, else as the median.
    Number {
        feature: usize,
        null: Option<f64>,
    },
    Mean {
        feature: usize,
        code: MeanCode,
    },
    Level {
        feature: usize,
        code: u32,
    },
}

/// A node: input, value, left child; the right child stands behind the left one. The lowest bit of the first number says that NULL goes
/// left. A left child of 0, which no child can be, makes a leaf whose answer is the value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Node(u32, f64, u32);

/// Rows walked through a tree before the next tree: the tree and their values stay in the processor's cache.
const BLOCK_ROWS: usize = 256;

impl Node {
    const fn leaf(value: f64) -> Self {
        Self(0, value, 0)
    }

    const fn inner(input: u32, split: f64, left: u32, null_left: bool) -> Self {
        Self(input << 1 | null_left as u32, split, left)
    }

    const fn input(self) -> usize {
        (self.0 >> 1) as usize
    }

    const fn is_leaf(self) -> bool {
        self.2 == 0
    }

    /// The child for an input's value.
    fn child(self, value: f64) -> u32 {
        let left = value < self.1 || (value.is_nan() && self.0 & 1 == 1);
        self.2 + u32::from(!left)
    }
}

impl BoostModel {
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        growth: Growth,
        seed: u64,
    ) -> Result<Self, String> {
        let (inputs, cells) = encode(features, frame, target, growth, seed);
        let columns = inputs.len();
        let base = target.iter().sum::<f64>() / target.len().max(1) as f64;
        let mut model = Self {
            inputs,
            base,
            roots: Vec::new(),
            nodes: Vec::new(),
        };
        if columns == 0 {
            return Ok(model);
        }
        let matrix = Matrix::new(&cells, frame.rows, columns);
        let sampled = growth.row_share < 1.0;
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::SquaredLoss)
            .set_base_score(base)
            .set_initialize_base_score(false)
            .set_iterations(growth.trees)
            .set_max_depth(growth.depth)
            .set_learning_rate(growth.learning_rate)
            .set_subsample(growth.row_share)
            .set_sample_method(if sampled {
                SampleMethod::Random
            } else {
                SampleMethod::None
            })
            .set_colsample_bytree(if columns >= 8 { growth.column_share } else { 1.0 })
            .set_min_leaf_weight(growth.leaf_rows_min)
            .set_l2(1.0)
            .set_missing(f64::NAN)
            .set_seed(seed)
            .set_parallel(false);
        booster
            .fit_unweighted(&matrix, target, None)
            .map_err(|e| e.to_string())?;
        for tree in &booster.trees {
            model.add_tree(tree)?;
        }
        Ok(model)
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        let width = self.inputs.len().max(1);
        let mut values = vec![0.0; width * BLOCK_ROWS];
        let mut answers = vec![self.base; frame.rows];
        for (block, answers) in answers.chunks_mut(BLOCK_ROWS).enumerate() {
            for (row, values) in (block * BLOCK_ROWS..).zip(values.chunks_mut(width)).take(answers.len()) {
                for (value, input) in values.iter_mut().zip(&self.inputs) {
                    *value = input.value(&frame.cols, row);
                }
            }
            for root in &self.roots {
                for (answer, values) in answers.iter_mut().zip(values.chunks(width)) {
                    *answer += self.walk(*root, values);
                }
            }
        }
        answers
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let count = self.nodes.len() as u32;
        // Children behind their parent: every walk ends.
        let inner = |node: &Node, at: u32| node.input() < self.inputs.len() && node.2 > at && node.2 < count - 1;
        self.base.is_finite()
            && self.roots.iter().all(|root| *root < count)
            && self.inputs.iter().all(|input| input.is_sound(features))
            && self
                .nodes
                .iter()
                .zip(0..)
                .all(|(node, at)| node.1.is_finite() && (node.is_leaf() || inner(node, at)))
    }

    /// Copies a tree so that children follow their parents, which is also what makes every walk end.
    fn add_tree(&mut self, tree: &forust_ml::tree::Tree) -> Result<(), String> {
        let broken = || "the tree learner returned a broken tree".to_owned();
        let first = self.nodes.len();
        let mut order = vec![0_usize];
        let mut at = 0;
        self.roots.push(first as u32);
        while let Some(number) = order.get(at).copied() {
            let node = tree.nodes.get(number).ok_or_else(broken)?;
            at += 1;
            if node.is_leaf {
                self.nodes.push(Node::leaf(f64::from(node.weight_value)));
                continue;
            }
            if order.len() > 2 * tree.nodes.len() || node.has_missing_branch() {
                return Err(broken());
            }
            let left = (first + order.len()) as u32;
            order.extend([node.left_child, node.right_child]);
            let null_left = node.missing_node == node.left_child;
            self.nodes.push(Node::inner(
                node.split_feature as u32,
                node.split_value,
                left,
                null_left,
            ));
        }
        Ok(())
    }

    fn walk(&self, root: u32, values: &[f64]) -> f64 {
        let mut node = self.nodes[root as usize];
        while !node.is_leaf() {
            node = self.nodes[node.child(values[node.input()]) as usize];
        }
        node.1
    }
}

impl Input {
    fn value(&self, cols: &[Col], row: usize) -> f64 {
        match self {
            Self::Number { feature, null } => {
                let value = cols[*feature].number(row);
                if value.is_nan() {
                    null.unwrap_or(f64::NAN)
                } else {
                    value
                }
            }
            Self::Mean { feature, code } => code.value(cols[*feature].code(row)),
            Self::Level { feature, code } => f64::from(u8::from(cols[*feature].code(row) == *code)),
        }
    }

    fn is_sound(&self, features: usize) -> bool {
        match self {
            Self::Number { feature, null } => *feature < features && null.is_none_or(f64::is_finite),
            Self::Mean { feature, code } => *feature < features && code.is_sound(),
            Self::Level { feature, .. } => *feature < features,
        }
    }
}

/// How many columns the trees get; `Err` if the matrix would be too large.
pub(crate) fn width(features: &[Feature], rows: usize, growth: Growth) -> Result<usize, String> {
    let width = columns(features, one_hot(features, rows, growth));
    if rows * width <= CELLS_MAX {
        Ok(width)
    } else {
        Err(format!("{rows} rows × {width} columns are too many"))
    }
}

/// Whether levels get columns of their own: if asked for, and if they fit.
fn one_hot(features: &[Feature], rows: usize, growth: Growth) -> bool {
    growth.one_hot && rows * columns(features, true) <= CELLS_MAX
}

fn columns(features: &[Feature], one_hot: bool) -> usize {
    let of = |feature: &Feature| match feature.levels.len() {
        levels if one_hot && levels <= ONE_HOT_LEVELS_MAX => 1 + levels,
        _ => 1,
    };
    features.iter().map(of).sum()
}

/// Inputs and their training values column by column, constant ones left out (forust refuses them).
fn encode(features: &[Feature], frame: &Frame, target: &[f64], growth: Growth, seed: u64) -> (Vec<Input>, Vec<f64>) {
    let (mut inputs, mut cells) = (Vec::new(), Vec::new());
    let one_hot = one_hot(features, frame.rows, growth);
    let mut add = |input: Input, values: Vec<f64>| {
        if varies(&values) {
            inputs.push(input);
            cells.extend(values);
        }
    };
    for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
        match col {
            Col::Number(values) => {
                let null = if values.iter().any(|v| v.is_nan()) {
                    None
                } else {
                    Some(median(values))
                };
                add(Input::Number { feature: index, null }, values.clone());
            }
            Col::Level(codes) => {
                let (code, values) = MeanCode::fit(codes, feature.codes(), target, seed ^ index as u64);
                add(Input::Mean { feature: index, code }, values);
                if !one_hot || feature.levels.len() > ONE_HOT_LEVELS_MAX {
                    continue;
                }
                for code in (0..feature.codes() as u32).filter(|code| *code != UNSEEN_LEVEL) {
                    let values: Vec<f64> = codes.iter().map(|c| f64::from(u8::from(*c == code))).collect();
                    if values.iter().sum::<f64>() as usize >= ONE_HOT_ROWS_MIN {
                        add(Input::Level { feature: index, code }, values);
                    }
                }
            }
        }
    }
    (inputs, cells)
}

/// At least two different known values.
fn varies(values: &[f64]) -> bool {
    let mut known = values.iter().filter(|v| !v.is_nan());
    known.next().is_some_and(|first| known.any(|v| v != first))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
