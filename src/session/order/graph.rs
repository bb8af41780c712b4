//! Which order costs least.
//!
//! The rows of a set of relations are the same in whatever order they were joined, so they are reckoned once a set. A join
//! costs the rows it holds in memory, those that are held against them, and those that come out. Up to [`EXACT_MAX`] relations
//! every order is tried; beyond, the smallest result comes next.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::utils::can_hash;
use datafusion::logical_expr::{Expr, ExprSchemable, binary_expr};

use super::group::{Group, Tree};
use super::passing::{Columns, column_of, passing};
use super::size::{Size, size};

/// Relations of which every order is tried: 3^10 pairs of sets are some tenths of a millisecond.
const EXACT_MAX: usize = 10;
/// A row held in memory costs so many that pass by.
const HELD: f64 = 2.0;
/// A plan is only made anew where that costs at most this part of what it does as it is: below, estimates are noise.
const BETTER: f64 = 0.95;
/// From this part of its range on a column of numbers is taken for a key with gaps, and not for a sample of another's.
const DENSE: f64 = 0.2;
/// Values that come from a key go at most so many times as far.
const WIDER: f64 = 2.0;

/// A set of relations: bit `i` is relation `i`.
pub(super) type Set = u64;

/// Expressions that are equal in every row of the result.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) members: Vec<Member>,
    /// Whether equality is what it is in mathematics: not so for floating point.
    merges: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) relation: usize,
    pub(super) expr: Expr,
    distinct: f64,
    /// Whether there is one row for each value.
    is_key: bool,
    /// Whether there may be.
    may_be_key: bool,
    dense: bool,
    /// From the smallest to the largest value.
    range: Option<f64>,
}

/// Another condition, to be asked where its relations are first together.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) expr: Expr,
    pub(super) over: Set,
    passing: f64,
}

pub(super) struct Graph {
    pub(super) classes: Vec<Class>,
    pub(super) conditions: Vec<Condition>,
    sizes: Vec<Size>,
    /// For each relation those that it shares a class with.
    near: Vec<Set>,
    /// Pairs of relations that share several classes, and how many times more rows they have together than if those had
    /// nothing to do with each other.
    tied: Vec<(Set, f64)>,
}

impl Graph {
    /// What must hold between the relations of a group; nothing if a size is not known, or a condition cannot be placed.
    pub(super) fn of(group: &Group) -> Option<Self> {
        let sizes = group.relations.iter().map(|relation| {
            let size = size(relation)?;
            // Less than a row is no estimate: who asks for a region by its name finds one.
            let rows = size.rows.max(1.0);
            Some(Size { rows, ..size })
        });
        let sizes = sizes.collect::<Option<Vec<_>>>()?;
        let mut graph = Self {
            classes: Vec::new(),
            conditions: Vec::new(),
            near: vec![0; sizes.len()],
            sizes,
            tied: Vec::new(),
        };
        let owners = Owners::of(group);
        let mut others = group.conditions.clone();
        for (left, right) in &group.equalities {
            match (one(owners.set(left)?), one(owners.set(right)?)) {
                (Some(l), Some(r)) if l != r => graph.equal(group, (l, left), (r, right))?,
                // An edge between more than two, which the search could tear.
                _ if owners.set(left)?.count_ones() > 1 || owners.set(right)?.count_ones() > 1 => return None,
                _ => others.push(binary_expr(left.clone(), Operator::Eq, right.clone())),
            }
        }
        let columns: Columns = graph.sizes.iter().flat_map(|size| size.columns.clone()).collect();
        for expr in others {
            graph.conditions.push(Condition {
                over: match owners.set(&expr)? {
                    0 => all(graph.sizes.len()),
                    over => over,
                },
                passing: passing([&expr], &columns),
                expr,
            });
        }
        graph.key_guess();
        graph.tie();
        Some(graph)
    }

    /// What to expect of a relation.
    pub(super) fn size(&self, relation: usize) -> Option<&Size> {
        self.sizes.get(relation)
    }

    /// A better order than `written`, if there is one.
    pub(super) fn better(&self, written: &Tree) -> Option<Tree> {
        let (every, now) = self.cost(written);
        let tree = self.best();
        let (joined, cost) = self.cost(&tree);
        // Sizes without a bound leave no order to choose by.
        (joined == every && now.is_finite() && cost < now * BETTER).then_some(tree)
    }

    /// Takes the equality of two expressions in, each of one relation.
    fn equal(&mut self, group: &Group, left: (usize, &Expr), right: (usize, &Expr)) -> Option<()> {
        let types = [left.1, right.1].map(|expr| expr.get_type(&group.schema).ok());
        let [Some(left_type), Some(right_type)] = types else {
            return None;
        };
        if !can_hash(&left_type) || !can_hash(&right_type) {
            return None;
        }
        let merges = left_type == right_type && !left_type.is_floating();
        let members = [self.member(left), self.member(right)];
        let [Some(left), Some(right)] = members else {
            return None;
        };
        if let (Some(l), Some(r)) = (self.near.get(left.relation), self.near.get(right.relation)) {
            let (l, r) = (l | bit(right.relation), r | bit(left.relation));
            *self.near.get_mut(left.relation)? = l;
            *self.near.get_mut(right.relation)? = r;
        }
        let mut joined = Class {
            members: vec![left, right],
            merges,
        };
        if merges {
            let (touched, apart) = std::mem::take(&mut self.classes)
                .into_iter()
                .partition(|class: &Class| class.merges && class.shares(&joined));
            self.classes = apart;
            let touched: Vec<Class> = touched;
            for class in touched {
                for member in class.members {
                    if !joined.has(&member) {
                        joined.members.push(member);
                    }
                }
            }
            joined.members.sort_by_key(|member| member.relation);
            // All of a class are near each other.
            let together = joined.members.iter().fold(0, |set, member| set | bit(member.relation));
            for member in &joined.members {
                *self.near.get_mut(member.relation)? |= together & !bit(member.relation);
            }
        }
        self.classes.push(joined);
        Some(())
    }

    fn member(&self, (relation, expr): (usize, &Expr)) -> Option<Member> {
        let size = self.sizes.get(relation)?;
        let known = column_of(expr).and_then(|column| size.columns.get(column));
        let distinct = known.and_then(|known| known.distinct);
        let base = size.base.max(1.0);
        let range = known.and_then(|known| known.bounds).map(|(min, max)| max - min + 1.0);
        Some(Member {
            relation,
            expr: expr.clone(),
            distinct: distinct.unwrap_or(base).clamp(1.0, base),
            is_key: known.is_some_and(|known| known.is_key),
            may_be_key: distinct.is_none_or(|distinct| distinct >= 0.99 * base),
            dense: distinct.is_none() || range.is_none_or(|range| base >= DENSE * range),
            range,
        })
    }

    /// The smallest relation of a class that may have one row for each value is taken for the one where the values come
    /// from: the others have no more, and those with one row for each value no more rows.
    fn key_guess(&mut self) {
        for class in &mut self.classes {
            let keys = class.members.iter().filter(|member| member.may_be_key && member.dense);
            let Some(key) = keys.min_by(|a, b| a.distinct.total_cmp(&b.distinct)) else {
                continue;
            };
            let (most, range) = (key.distinct, key.range);
            // Values that go far beyond the key's are not from there.
            let is_from = |member: &Member| member.range.zip(range).is_none_or(|(own, key)| own <= WIDER * key);
            for member in class.members.iter_mut().filter(|member| member.distinct > most) {
                if !is_from(member) {
                    continue;
                }
                if let (true, Some(size)) = (member.is_key, self.sizes.get_mut(member.relation)) {
                    size.rows *= most / member.distinct;
                }
                member.distinct = most;
            }
        }
    }

    /// Two columns that together are a key have no more pairs of values than the smaller table has rows.
    fn tie(&mut self) {
        for left in 0..self.sizes.len() {
            for right in left + 1..self.sizes.len() {
                let pair = bit(left) | bit(right);
                let shared = self.classes.iter().filter_map(|class| {
                    let (l, r) = (class.distinct_in(left)?, class.distinct_in(right)?);
                    Some(l.max(r))
                });
                let shared: Vec<f64> = shared.collect();
                let (Some(l), Some(r)) = (self.sizes.get(left), self.sizes.get(right)) else {
                    continue;
                };
                let most = l.base.min(r.base).max(1.0);
                let values: f64 = shared.iter().product();
                if shared.len() > 1 && values > most {
                    self.tied.push((pair, values / most));
                }
            }
        }
    }

    /// Rows of these relations joined.
    fn rows(&self, set: Set) -> f64 {
        let mut rows: f64 = each(set)
            .filter_map(|relation| self.sizes.get(relation))
            .map(|size| size.rows)
            .product();
        for class in &self.classes {
            let values = class.members.iter().filter(|member| set & bit(member.relation) != 0);
            let (mut product, mut least) = (1.0, f64::INFINITY);
            for value in values.map(|member| member.distinct) {
                product *= value;
                least = least.min(value);
            }
            if least.is_finite() {
                rows /= product / least;
            }
        }
        for condition in self.conditions.iter().filter(|condition| condition.over & !set == 0) {
            rows *= condition.passing;
        }
        for (_, more) in self.tied.iter().filter(|(pair, _)| pair & !set == 0) {
            rows *= more;
        }
        rows.max(1.0)
    }

    fn near(&self, set: Set) -> Set {
        each(set)
            .filter_map(|relation| self.near.get(relation))
            .fold(0, |near, one| near | one)
    }

    /// Rows and cost of a tree.
    fn cost(&self, tree: &Tree) -> (Set, f64) {
        match tree {
            Tree::Relation(relation) => (bit(*relation), 0.0),
            Tree::Join(left, right) => {
                let ((left, left_cost), (right, right_cost)) = (self.cost(left), self.cost(right));
                let own = self.join_cost(left, right, self.rows(left), self.rows(right), self.rows(left | right));
                (left | right, left_cost + right_cost + own)
            }
        }
    }

    fn join_cost(&self, left: Set, right: Set, held: f64, passing: f64, out: f64) -> f64 {
        let hashed = self.near(left) & right != 0;
        HELD * held + passing + out + if hashed { 0.0 } else { held * passing }
    }

    /// The best tree: of each part that hangs together by itself, then of the parts.
    fn best(&self) -> Tree {
        let mut left = all(self.sizes.len());
        let mut parts = Vec::new();
        while left != 0 {
            let part = self.reach(left & left.wrapping_neg(), left);
            left &= !part;
            let tree = match part.count_ones() as usize {
                0..=EXACT_MAX => Exact::new(self, part).tree(),
                _ => self.greedy(
                    each(part)
                        .map(|relation| (bit(relation), Tree::Relation(relation)))
                        .collect(),
                ),
            };
            parts.push((part, tree));
        }
        self.greedy(parts)
    }

    /// What can be reached from `from` within `within`.
    fn reach(&self, from: Set, within: Set) -> Set {
        let mut reached = from;
        loop {
            let next = (reached | self.near(reached)) & within;
            if next == reached {
                return reached;
            }
            reached = next;
        }
    }

    /// Joins the two whose result is smallest, again and again; those that share a class first.
    fn greedy(&self, mut parts: Vec<(Set, Tree)>) -> Tree {
        while parts.len() > 1 {
            let mut best: Option<(bool, f64, usize, usize)> = None;
            for (l, (left, _)) in parts.iter().enumerate() {
                let near = self.near(*left);
                for (r, (right, _)) in parts.iter().enumerate().skip(l + 1) {
                    let found = (near & right == 0, self.rows(left | right), l, r);
                    if best.is_none_or(|best| (found.0, found.1) < (best.0, best.1)) {
                        best = Some(found);
                    }
                }
            }
            let Some((_, _, l, r)) = best else { break };
            let (right_set, right) = parts.remove(r);
            let (left_set, left) = parts.remove(l);
            let tree = match self.rows(right_set) < self.rows(left_set) {
                true => Tree::Join(Box::new(right), Box::new(left)),
                false => Tree::Join(Box::new(left), Box::new(right)),
            };
            parts.insert(l, (left_set | right_set, tree));
        }
        parts.pop().map_or(Tree::Relation(0), |(_, tree)| tree)
    }
}

/// Every order of a part that hangs together.
struct Exact<'a> {
    graph: &'a Graph,
    /// The relations of the part: bit `i` of a small set is the `i`th.
    relations: Vec<usize>,
    /// For each small set its rows, what it costs at best, and its first side then.
    best: Vec<Best>,
}

#[derive(Clone, Copy)]
struct Best {
    rows: f64,
    cost: f64,
    left: usize,
}

impl<'a> Exact<'a> {
    fn new(graph: &'a Graph, part: Set) -> Self {
        let relations: Vec<usize> = each(part).collect();
        let mut found = Self {
            graph,
            best: Vec::with_capacity(1 << relations.len()),
            relations,
        };
        for small in 0..1_usize << found.relations.len() {
            let best = found.at(small);
            found.best.push(best);
        }
        found
    }

    fn at(&self, small: usize) -> Best {
        let members = self.relations.iter().enumerate().filter(|(at, _)| small >> at & 1 == 1);
        let set = members.fold(0, |set, (_, relation)| set | bit(*relation));
        let mut best = Best {
            rows: self.graph.rows(set),
            cost: f64::INFINITY,
            left: 0,
        };
        if small.count_ones() == 1 {
            best.cost = 0.0;
        }
        if small.count_ones() < 2 || self.graph.reach(set & set.wrapping_neg(), set) != set {
            return best;
        }
        let mut side = (small - 1) & small;
        while side != 0 {
            if let (Some(left), Some(right)) = (self.best.get(side), self.best.get(small & !side)) {
                let cost = left.cost + right.cost + HELD * left.rows + right.rows + best.rows;
                if cost < best.cost {
                    best.cost = cost;
                    best.left = side;
                }
            }
            side = (side - 1) & small;
        }
        best
    }

    fn tree(&self) -> Tree {
        self.tree_of(self.best.len().saturating_sub(1))
    }

    fn tree_of(&self, small: usize) -> Tree {
        match self.best.get(small) {
            Some(Best { left, .. }) if *left != 0 => {
                Tree::Join(Box::new(self.tree_of(*left)), Box::new(self.tree_of(small & !*left)))
            }
            _ => Tree::Relation(
                self.relations
                    .get(small.trailing_zeros() as usize)
                    .copied()
                    .unwrap_or(0),
            ),
        }
    }
}

impl Class {
    fn has(&self, member: &Member) -> bool {
        self.members
            .iter()
            .any(|own| own.relation == member.relation && own.expr == member.expr)
    }

    fn shares(&self, other: &Self) -> bool {
        other.members.iter().any(|member| self.has(member))
    }

    fn distinct_in(&self, relation: usize) -> Option<f64> {
        let own = self.members.iter().filter(|member| member.relation == relation);
        own.map(|member| member.distinct).reduce(f64::max)
    }

    /// The members within a set.
    pub(super) fn within(&self, set: Set) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| set & bit(member.relation) != 0)
    }
}

/// Which relation each column is of.
struct Owners(HashMap<Column, usize>);

impl Owners {
    fn of(group: &Group) -> Self {
        let mut owners = HashMap::new();
        for (at, relation) in group.relations.iter().enumerate() {
            owners.extend(relation.schema().columns().into_iter().map(|column| (column, at)));
        }
        Self(owners)
    }

    /// The relations that an expression looks at.
    fn set(&self, expr: &Expr) -> Option<Set> {
        let mut set = 0;
        for column in expr.column_refs() {
            set |= bit(*self.0.get(column)?);
        }
        Some(set)
    }
}

fn one(set: Set) -> Option<usize> {
    (set.count_ones() == 1).then_some(set.trailing_zeros() as usize)
}

pub(super) fn bit(relation: usize) -> Set {
    1 << relation
}

fn all(relations: usize) -> Set {
    (1 << relations) - 1
}

fn each(set: Set) -> impl Iterator<Item = usize> {
    let mut left = set;
    std::iter::from_fn(move || {
        let next = (left != 0).then_some(left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(next)
    })
}
