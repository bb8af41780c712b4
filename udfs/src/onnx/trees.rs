//! `TreeEnsembleRegressor` and `TreeEnsembleClassifier`.
#![expect(
    clippy::indexing_slicing,
    reason = "children and places of scores are checked when the trees are read"
)]

use std::collections::HashMap;

use super::after::After;
use super::proto::NodeProto;
use super::value::{Held, Value};

/// Nodes on the way from a root to a leaf; a longer way goes round in circles.
const DEPTH_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Trees {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// Score number and weight of all leaves, one after the other.
    weights: Vec<(usize, f64)>,
    scores: usize,
    base: Vec<f64>,
    gather: Gather,
    after: After,
    /// Of two classes only one has weights.
    one_sided: bool,
    positive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gather {
    Sum,
    Mean,
    Least,
    Greatest,
}

#[derive(Debug)]
struct Node {
    feature: usize,
    cut: f64,
    mode: Mode,
    missing_right_way: bool,
    yes: usize,
    no: usize,
    /// Of a leaf: its weights.
    from: usize,
    to: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Leaf,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Trees {
    /// `classes` is 0 for a regressor.
    pub(super) fn read(node: &NodeProto, classes: usize) -> Result<Self, String> {
        let (trees, ids) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
        let (features, modes) = (node.ints("nodes_featureids"), node.texts("nodes_modes"));
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"));
        let cuts = node.floats("nodes_values");
        let missing = node.ints("nodes_missing_value_tracks_true");
        let count = ids.len();
        let lengths = [
            trees.len(),
            features.len(),
            modes.len(),
            yes.len(),
            no.len(),
            cuts.len(),
        ];
        if count == 0 || lengths.iter().any(|length| *length != count) {
            return Err("the lists of its nodes are not of one length".to_owned());
        }
        let key = |place: usize| (trees[place], ids[place]);
        let places: HashMap<(i64, i64), usize> = (0..count).map(|place| (key(place), place)).collect();
        let child = |place: usize, id: i64| {
            let found = places.get(&(trees[place], id)).copied();
            found.ok_or_else(|| format!("tree {} has no node {id}", trees[place]))
        };
        let mut is_child = vec![false; count];
        let mut nodes = Vec::with_capacity(count);
        for place in 0..count {
            let mode = Mode::read(&modes[place])?;
            let (yes, no) = if mode == Mode::Leaf {
                (0, 0)
            } else {
                (child(place, yes[place])?, child(place, no[place])?)
            };
            if mode != Mode::Leaf {
                (is_child[yes], is_child[no]) = (true, true);
            }
            nodes.push(Node {
                feature: usize::try_from(features[place]).map_err(|_| "a feature's number is below zero")?,
                cut: cuts[place],
                mode,
                missing_right_way: missing.get(place).is_some_and(|flag| *flag == 1),
                yes,
                no,
                from: 0,
                to: 0,
            });
        }
        let roots: Vec<usize> = (0..count).filter(|place| !is_child[*place]).collect();
        let prefix = if classes > 0 { "class" } else { "target" };
        let list = |what: &str| node.ints(&format!("{prefix}_{what}"));
        let (of_tree, of_node, number) = (list("treeids"), list("nodeids"), list("ids"));
        let weight = node.floats(&format!("{prefix}_weights"));
        if [of_tree.len(), of_node.len(), number.len()] != [weight.len(); 3] {
            return Err("the lists of its leaves are not of one length".to_owned());
        }
        let scores = match classes {
            0 => node.int("n_targets").unwrap_or(1).clamp(1, 1_000) as usize,
            some => some,
        };
        let mut leaves: Vec<(usize, usize, f64)> = Vec::with_capacity(weight.len());
        for place in 0..weight.len() {
            let leaf = places.get(&(of_tree[place], of_node[place])).copied();
            let leaf = leaf.ok_or_else(|| format!("tree {} has no leaf {}", of_tree[place], of_node[place]))?;
            let score = usize::try_from(number[place]).ok().filter(|score| *score < scores);
            let score = score.ok_or_else(|| format!("there is no score {} among {scores}", number[place]))?;
            leaves.push((leaf, score, weight[place]));
        }
        leaves.sort_by_key(|(leaf, _, _)| *leaf);
        for (place, (leaf, _, _)) in leaves.iter().enumerate() {
            let node = &mut nodes[*leaf];
            if node.to == 0 {
                node.from = place;
            }
            node.to = place + 1;
        }
        let base = node.floats("base_values");
        if !base.is_empty() && base.len() != scores && base.len() != 1 {
            return Err(format!("{} base values for {scores} scores", base.len()));
        }
        let first = leaves.first().map(|(_, score, _)| *score);
        let trees = Self {
            one_sided: classes == 2 && leaves.iter().all(|(_, score, _)| Some(*score) == first),
            positive: leaves.iter().all(|(_, _, weight)| *weight >= 0.0),
            weights: leaves.iter().map(|(_, score, weight)| (*score, *weight)).collect(),
            nodes,
            roots,
            scores,
            base,
            gather: match node.text("aggregate_function").as_deref() {
                None | Some("SUM") => Gather::Sum,
                Some("AVERAGE") => Gather::Mean,
                Some("MIN") => Gather::Least,
                Some("MAX") => Gather::Greatest,
                Some(other) => return Err(format!("the aggregate function {other}")),
            },
            after: After::read(node)?,
        };
        if trees.roots.is_empty() {
            return Err("no node is a root".to_owned());
        }
        Ok(trees)
    }

    /// Row × score.
    pub(super) fn run(&self, input: &Value) -> Result<Value, String> {
        let (rows, columns) = input.sides()?;
        let numbers = input.needs_numbers()?;
        let needs = self.nodes.iter().filter(|node| node.mode != Mode::Leaf);
        if let Some(node) = needs
            .max_by_key(|node| node.feature)
            .filter(|node| node.feature >= columns)
        {
            return Err(format!("its trees ask for column {} of {columns}", node.feature));
        }
        let mut all = Vec::with_capacity(rows * self.scores);
        for row in 0..rows {
            let values = &numbers[row * columns..][..columns];
            let mut scores = vec![None; self.scores];
            for root in &self.roots {
                let leaf = self.leaf(*root, values)?;
                for (score, weight) in &self.weights[leaf.from..leaf.to] {
                    let slot: &mut Option<f64> = &mut scores[*score];
                    *slot = Some(match (*slot, self.gather) {
                        (None, _) => *weight,
                        (Some(sum), Gather::Sum | Gather::Mean) => sum + weight,
                        (Some(least), Gather::Least) => least.min(*weight),
                        (Some(most), Gather::Greatest) => most.max(*weight),
                    });
                }
            }
            let share = if self.gather == Gather::Mean {
                1.0 / self.roots.len() as f64
            } else {
                1.0
            };
            let scores: Vec<f64> = scores.into_iter().map(|score| score.unwrap_or(0.0) * share).collect();
            all.extend(self.finished(scores));
        }
        Value::matrix(rows, Held::Single, all)
    }

    /// With base values, the other one of two classes, and what comes after.
    fn finished(&self, mut scores: Vec<f64>) -> Vec<f64> {
        if self.one_sided {
            let base = self.base.last().copied().unwrap_or(0.0);
            let score = scores.iter().sum::<f64>() + base;
            return if self.after == After::Logistic && !self.positive {
                vec![After::logistic(-score), After::logistic(score)]
            } else if self.positive && self.base.is_empty() {
                vec![1.0 - score, score]
            } else if self.after == After::Logistic {
                vec![After::logistic(-score), After::logistic(score)]
            } else {
                vec![-score, score]
            };
        }
        match self.base.as_slice() {
            [one] => scores.iter_mut().for_each(|score| *score += one),
            each => scores.iter_mut().zip(each).for_each(|(score, base)| *score += base),
        }
        self.after.apply(&mut scores);
        scores
    }

    fn leaf(&self, root: usize, values: &[f64]) -> Result<&Node, String> {
        let mut node = &self.nodes[root];
        for _ in 0..DEPTH_MAX {
            if node.mode == Mode::Leaf {
                return Ok(node);
            }
            let value = values[node.feature];
            let yes = if value.is_nan() {
                node.missing_right_way
            } else {
                node.mode.holds(value, node.cut)
            };
            node = &self.nodes[if yes { node.yes } else { node.no }];
        }
        Err("a tree goes round in circles".to_owned())
    }
}

impl Mode {
    fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "LEAF" => Self::Leaf,
            "BRANCH_LEQ" => Self::LessOrEqual,
            "BRANCH_LT" => Self::Less,
            "BRANCH_GTE" => Self::GreaterOrEqual,
            "BRANCH_GT" => Self::Greater,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            other => return Err(format!("nodes of the mode {other}")),
        })
    }

    fn holds(self, value: f64, cut: f64) -> bool {
        match self {
            Self::Leaf => false,
            Self::LessOrEqual => value <= cut,
            Self::Less => value < cut,
            Self::GreaterOrEqual => value >= cut,
            Self::Greater => value > cut,
            Self::Equal => value == cut,
            Self::NotEqual => value != cut,
        }
    }
}
