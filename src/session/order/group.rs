//! Inner joins that stand together.
//!
//! `x IN (SELECT key … GROUP BY key)` is one of them: where the other side has one row for each value, to ask whether there is
//! one is to join it. So a few large orders are found before their lines are, and not after.
//!
//! The walk goes down through inner joins, and through what may lie between them: conditions, columns chosen and renamed. Each
//! column on the way is traced to the relation it comes from, so what was said of a derived table is said of its relations.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Operator};

use super::total::{asks_nothing_that_fails, is_total};

/// Relations in one group at most, as sets of them are bits of a number and the search grows with their cube. A larger group
/// stays as it was written.
pub(super) const RELATIONS_MAX: usize = 32;
/// Levels of a group at most, as each is a stack frame.
const DEPTH_MAX: usize = 4 * RELATIONS_MAX;

/// Relations, and what must hold between their rows.
pub(super) struct Group {
    pub(super) relations: Vec<LogicalPlan>,
    /// The columns of all relations together.
    pub(super) schema: DFSchema,
    /// Pairs that are equal and not NULL.
    pub(super) equalities: Vec<(Expr, Expr)>,
    /// What else is true of each row.
    pub(super) conditions: Vec<Expr>,
    /// For each column of the result the relation's.
    pub(super) output: Vec<Column>,
    /// The order as it is.
    pub(super) written: Tree,
    /// Whether derived tables were looked through.
    pub(super) through: bool,
}

/// How relations are put together; the first side of a join is the one held in memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl Group {
    /// The group whose last join this is, if it has an order at all.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        if !is_open_join(plan) {
            return None;
        }
        // Derived tables may hide columns whose names clash once they are side by side: then each stays as it is.
        [true, false].into_iter().find_map(|through| Walk::whole(plan, through))
    }
}

/// Whether a node of a group is within it, and not one of its relations.
pub(super) fn is_within(plan: &LogicalPlan, through: bool) -> bool {
    is_open_join(plan) || (through && leads_to_join(plan))
}

/// Whether a plan is a join of a group: one whose conditions may be moved.
fn is_open_join(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Join(join) = plan else { return false };
    let is_kind = match join.join_type {
        JoinType::Inner => true,
        JoinType::LeftSemi => join.filter.is_none() && leads_to_join(&join.left) && is_unique(&join.right, join),
        _ => false,
    };
    is_kind && join.null_equality == NullEquality::NullEqualsNothing && asks_nothing_that_fails(join)
}

/// Whether no two rows of the join's right side have the same keys.
fn is_unique(right: &LogicalPlan, join: &Join) -> bool {
    let is_exact = |key: &Expr| {
        let data_type = key.get_type(right.schema());
        // Groups tell zeros apart that are equal.
        data_type.is_ok_and(|data_type| !data_type.is_floating())
    };
    let keys = join.on.iter().map(|(_, key)| match key {
        Expr::Column(column) if is_exact(key) => right.schema().maybe_index_of_column(column),
        _ => None,
    });
    keys.collect::<Option<BTreeSet<usize>>>()
        .is_some_and(|keys| one_row_for_each(right, keys))
}

/// Whether no two rows have the same values in these columns.
fn one_row_for_each(plan: &LogicalPlan, mut keys: BTreeSet<usize>) -> bool {
    let mut plan = plan;
    for _ in 0..DEPTH_MAX {
        plan = match plan {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Projection(projection) => {
                let below = keys.iter().filter_map(|key| {
                    let column = chosen(projection.expr.get(*key)?)?;
                    projection.input.schema().maybe_index_of_column(column)
                });
                keys = below.collect();
                &projection.input
            }
            LogicalPlan::Aggregate(aggregate) => {
                let mut groups = aggregate.group_expr.iter().enumerate();
                return !has_sets(aggregate) && groups.all(|(at, group)| keys.contains(&at) || is_one_value(group));
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                return (0..input.schema().fields().len()).all(|column| keys.contains(&column));
            }
            _ => return false,
        };
    }
    false
}

/// Whether an aggregation makes several kinds of groups.
pub(super) fn has_sets(aggregate: &Aggregate) -> bool {
    let mut groups = aggregate.group_expr.iter();
    groups.any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

/// Whether an expression is the same for every row; `random()` has no column either, and is not.
pub(super) fn is_one_value(expr: &Expr) -> bool {
    expr.column_refs().is_empty() && !expr.is_volatile()
}

#[derive(Default)]
struct Walk {
    /// Whether derived tables are looked through.
    through: bool,
    relations: Vec<LogicalPlan>,
    equalities: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
}

/// A part of the group: how it is put together, and for each of its columns the relation's.
type Part = (Tree, Vec<Column>);

impl Walk {
    fn whole(plan: &LogicalPlan, through: bool) -> Option<Group> {
        let mut walk = Self {
            through,
            ..Self::default()
        };
        let (written, output) = walk.part(plan, 0)?;
        let mut schemas = walk.relations.iter().map(LogicalPlan::schema);
        let first = schemas.next()?.as_ref().clone();
        let schema = schemas.try_fold(first, |all, one| all.join(one)).ok()?;
        Some(Group {
            relations: walk.relations,
            schema,
            equalities: walk.equalities,
            conditions: walk.conditions,
            output,
            written,
            through,
        })
    }

    fn part(&mut self, plan: &LogicalPlan, depth: usize) -> Option<Part> {
        if depth > DEPTH_MAX {
            return None;
        }
        match plan {
            _ if !is_within(plan, self.through) => self.relation(plan),
            LogicalPlan::Join(join) => self.join(join, depth),
            LogicalPlan::Filter(filter) => {
                let (tree, columns) = self.part(&filter.input, depth + 1)?;
                self.must_hold(&filter.predicate, filter.input.schema(), &columns)?;
                Some((tree, columns))
            }
            LogicalPlan::SubqueryAlias(alias) => self.part(&alias.input, depth + 1),
            LogicalPlan::Projection(projection) => {
                let (tree, columns) = self.part(&projection.input, depth + 1)?;
                let schema = projection.input.schema();
                let chosen = projection
                    .expr
                    .iter()
                    .map(|expr| traced(chosen(expr)?, schema, &columns));
                Some((tree, chosen.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    fn relation(&mut self, plan: &LogicalPlan) -> Option<Part> {
        if self.relations.len() >= RELATIONS_MAX {
            return None;
        }
        self.relations.push(plan.clone());
        Some((Tree::Relation(self.relations.len() - 1), plan.schema().columns()))
    }

    fn join(&mut self, join: &Join, depth: usize) -> Option<Part> {
        let (left, left_columns) = self.part(&join.left, depth + 1)?;
        let (right, right_columns) = self.part(&join.right, depth + 1)?;
        for (l, r) in &join.on {
            let l = moved(l, join.left.schema(), &left_columns)?;
            let r = moved(r, join.right.schema(), &right_columns)?;
            self.equalities.push((l, r));
        }
        let columns = match join.join_type {
            JoinType::LeftSemi => left_columns,
            _ => [left_columns, right_columns].concat(),
        };
        if let Some(filter) = &join.filter {
            self.must_hold(filter, &join.schema, &columns)?;
        }
        Some((Tree::Join(Box::new(left), Box::new(right)), columns))
    }

    fn must_hold(&mut self, condition: &Expr, schema: &DFSchema, columns: &[Column]) -> Option<()> {
        for part in split_conjunction(condition) {
            match moved(part, schema, columns)? {
                Expr::BinaryExpr(BinaryExpr {
                    left,
                    op: Operator::Eq,
                    right,
                }) => self.equalities.push((*left, *right)),
                other => self.conditions.push(other),
            }
        }
        Some(())
    }
}

/// Whether only what may be looked through lies between here and a join of the group.
fn leads_to_join(plan: &LogicalPlan) -> bool {
    let mut plan = plan;
    for _ in 0..DEPTH_MAX {
        plan = match plan {
            LogicalPlan::Filter(filter) if is_total(&filter.predicate, filter.input.schema()) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Projection(projection) if projection.expr.iter().all(|expr| chosen(expr).is_some()) => {
                &projection.input
            }
            other => return is_open_join(other),
        };
    }
    false
}

/// The column that an expression of a projection only chooses or renames.
pub(super) fn chosen(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => match alias.expr.as_ref() {
            Expr::Column(column) => Some(column),
            _ => None,
        },
        _ => None,
    }
}

fn traced(column: &Column, schema: &DFSchema, columns: &[Column]) -> Option<Column> {
    columns.get(schema.maybe_index_of_column(column)?).cloned()
}

/// An expression over a part's columns, over the relations'.
fn moved(expr: &Expr, schema: &DFSchema, columns: &[Column]) -> Option<Expr> {
    let mut known = HashMap::new();
    for column in expr.column_refs() {
        known.insert(column.clone(), traced(column, schema, columns)?);
    }
    let moved = expr.clone().transform(|part| {
        Ok(match part {
            Expr::Column(column) => match known.get(&column) {
                Some(traced) if *traced != column => Transformed::yes(Expr::Column(traced.clone())),
                _ => Transformed::no(Expr::Column(column)),
            },
            other => Transformed::no(other),
        })
    });
    Some(moved.ok()?.data)
}
