//! Inner joins that stand together.
//!
//! The walk goes down through inner joins, and through what may lie between them: conditions, columns chosen and renamed. Each
//! column on the way is traced to the relation it comes from, so what was said of a derived table is said of its relations.

use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

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

/// Whether a plan is an inner join whose conditions may be moved.
fn is_open_join(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if is_open(join))
}

fn is_open(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && asks_nothing_that_fails(join)
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
        let columns = [left_columns, right_columns].concat();
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
fn chosen(expr: &Expr) -> Option<&Column> {
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
