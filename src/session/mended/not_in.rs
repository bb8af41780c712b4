//! `a NOT IN (SELECT y …)` where rows have no value.
//!
//! It is true where no `y` equals `a`, no `y` is NULL, and `a` is not NULL or there is no `y` at all. The engine does that where it is a
//! condition of its own and the subquery asks nothing of the row. Beside an `OR`, for a constant, and for a subquery that compares with
//! the row it takes NULL for a value (apache/datafusion #25336, #25340): there it is written out here, before joins are made of
//! subqueries. Where it matters whether it is false or unknown, inside of other expressions, all three are told apart.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_datafusion_err, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not,
    scalar_subquery, when,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

/// So many are written out in one plan: each takes its subquery three times, and with it those inside.
const WRITTEN_MAX: usize = 64;

/// Writes it out.
#[derive(Debug)]
pub(super) struct NotIn;

impl OptimizerRule for NotIn {
    fn name(&self) -> &str {
        "not_in"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let written = Cell::new(0);
        plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Filter(filter) if has_subquery(&filter.predicate)? => written_out(filter, config, &written),
            other => Ok(Transformed::no(other)),
        })
    }
}

fn has_subquery(predicate: &Expr) -> Result<bool> {
    predicate.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_))))
}

fn written_out(
    filter: Filter,
    config: &dyn OptimizerConfig,
    written: &Cell<usize>,
) -> Result<Transformed<LogicalPlan>> {
    let writing = Writing {
        schema: filter.input.schema(),
        config,
        written,
    };
    let mut changed = false;
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        let condition = match condition {
            Expr::InSubquery(one) if one.negated && is_plain(&one) => Expr::InSubquery(one),
            other => {
                let meant = writing.condition_of(other, false)?;
                changed |= meant.transformed;
                meant.data
            }
        };
        conditions.push(condition);
    }
    Ok(match conjunction(conditions) {
        Some(predicate) if changed => Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)),
        _ => Transformed::no(LogicalPlan::Filter(filter)),
    })
}

/// Whether the engine does it right as a condition of its own.
fn is_plain(one: &InSubquery) -> bool {
    one.subquery.outer_ref_columns.is_empty() && !one.expr.column_refs().is_empty()
}

/// Whether it compares with a statement further out, or asks a subquery itself: that cannot be written within another one.
fn asks_beyond(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::OuterReferenceColumn(..) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_)
        ))
    })
}

/// Whether each of its rows is there or not for itself: not one row whatever there is, nor some number of rows.
fn gives_each(rows: &LogicalPlan) -> Result<bool> {
    let exists = rows.exists(|node| {
        Ok(match node {
            LogicalPlan::Limit(_) => true,
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
            _ => false,
        })
    });
    Ok(!exists?)
}

/// That there is no such row, as a value that is worked out once.
fn no_row(rows: LogicalPlan, condition: Option<Expr>) -> Result<Expr> {
    let mut plan = LogicalPlanBuilder::from(rows);
    if let Some(condition) = condition {
        plan = plan.filter(condition)?;
    }
    let plan = plan
        .limit(0, Some(1))?
        .aggregate(Vec::<Expr>::new(), [count(lit(1_i64))])?;
    Ok(scalar_subquery(Arc::new(plan.build()?)).eq(lit(0_i64)))
}

/// What conditions are written over.
struct Writing<'a> {
    schema: &'a DFSchema,
    config: &'a dyn OptimizerConfig,
    /// How many were written out in this plan so far.
    written: &'a Cell<usize>,
}

impl Writing<'_> {
    /// A condition, or its opposite, of which only counts whether it is true.
    fn condition_of(&self, expr: Expr, opposite: bool) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Not(inner) if has_subquery(&inner)? => {
                let mut meant = self.condition_of(*inner, !opposite)?;
                meant.transformed = true;
                Ok(meant)
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::And | Operator::Or),
                right,
            }) if has_subquery(&left)? || has_subquery(&right)? => {
                let (left, right) = (
                    self.condition_of(*left, opposite)?,
                    self.condition_of(*right, opposite)?,
                );
                let transformed = opposite || left.transformed || right.transformed;
                let is_and = (op == Operator::And) != opposite;
                let both = match is_and {
                    true => left.data.and(right.data),
                    false => left.data.or(right.data),
                };
                Ok(Transformed::new(both, transformed, TreeNodeRecursion::Continue))
            }
            // `IS TRUE`, as it is planned; what is written out is true or false.
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::IsNotDistinctFrom,
                right,
            }) if matches!(left.as_ref(), Expr::InSubquery(_)) && *right == lit(true) => match opposite {
                false => self.condition_of(*left, false),
                true => Ok(Transformed::yes(not(self.condition_of(*left, false)?.data))),
            },
            Expr::InSubquery(one) if one.negated != opposite && !asks_beyond(&one.expr)? => {
                Ok(Transformed::yes(self.none_of(&one)?))
            }
            Expr::InSubquery(one) if opposite => Ok(Transformed::yes(Expr::InSubquery(InSubquery {
                negated: !one.negated,
                ..one
            }))),
            Expr::InSubquery(one) => Ok(Transformed::no(Expr::InSubquery(one))),
            other => {
                let value = self.value_of(other)?;
                Ok(match opposite {
                    true => Transformed::yes(not(value.data)),
                    false => value,
                })
            }
        }
    }

    /// An expression of which it counts whether it is true, false or neither.
    fn value_of(&self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| match expr {
            Expr::InSubquery(one) if !asks_beyond(&one.expr)? && self.may_be_unknown(&one)? => {
                let none = self.none_of(&one)?;
                let negated = one.negated;
                let found = Expr::InSubquery(InSubquery { negated: false, ..one });
                let cases = when(found, lit(!negated)).when(none, lit(negated));
                Ok(Transformed::yes({ cases }.otherwise(lit(ScalarValue::Boolean(None)))?))
            }
            other => Ok(Transformed::no(other)),
        })
    }

    fn may_be_unknown(&self, one: &InSubquery) -> Result<bool> {
        let rows = one.subquery.subquery.schema();
        Ok(one.expr.nullable(self.schema)? || rows.fields().iter().any(|field| field.is_nullable()))
    }

    /// That no value of the subquery is or may be that of the expression.
    fn none_of(&self, one: &InSubquery) -> Result<Expr> {
        self.written.set(self.written.get() + 1);
        if self.written.get() > WRITTEN_MAX {
            return plan_err!("more than {WRITTEN_MAX} times NOT IN with a subquery; write NOT EXISTS");
        }
        let value = one.expr.as_ref();
        let rows = one.subquery.subquery.as_ref();
        let [column] = <[_; 1]>::try_from(rows.schema().columns())
            .map_err(|columns| plan_datafusion_err!("a subquery of NOT IN has one column, not {}", columns.len()))?;
        // A name of its own: the expression may be of a table that the subquery reads as well.
        let name = self.config.alias_generator().next("__value");
        let rows = LogicalPlanBuilder::from(rows.clone())
            .project([Expr::Column(column).alias(&name)])?
            .build()?;
        let column = Column::new_unqualified(name);
        let asked = value.clone().transform(|expr| {
            Ok(match expr {
                Expr::Column(column) => {
                    let (_, field) = self.schema.qualified_field_from_column(&column)?;
                    Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column))
                }
                other => Transformed::no(other),
            })
        })?;
        let column = Expr::Column(column);
        let equal = column.clone().eq(asked.data.clone());
        let mut outer = one.subquery.outer_ref_columns.clone();
        asked.data.apply(|expr| {
            if matches!(expr, Expr::OuterReferenceColumn(..)) && !outer.contains(expr) {
                outer.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let none = |condition: Option<Expr>, outer: &[Expr]| -> Result<Expr> {
            let mut plan = LogicalPlanBuilder::from(rows.clone());
            if let Some(condition) = condition {
                plan = plan.filter(condition)?;
            }
            let subquery = Subquery {
                subquery: Arc::new(plan.build()?),
                outer_ref_columns: outer.to_vec(),
                spans: one.subquery.spans.clone(),
            };
            Ok(Expr::Exists(Exists::new(subquery, true)))
        };
        let own = &one.subquery.outer_ref_columns;
        if !own.is_empty() && !gives_each(&rows)? {
            return plan_err!(
                "NOT IN of a subquery that compares with the row around it cannot be asked of one aggregate of all rows or of \
                 a number of rows; write NOT EXISTS"
            );
        }
        // Nothing of the row is asked: one answer for all of them.
        let none = |condition: Option<Expr>, outer: &[Expr]| match outer.is_empty() {
            true => no_row(rows.clone(), condition),
            false => none(condition, outer),
        };
        let mut conditions = vec![none(Some(equal), &outer)?];
        if column.nullable(rows.schema())? {
            conditions.push(none(Some(column.is_null()), own)?);
        }
        if value.nullable(self.schema)? {
            conditions.push(value.clone().is_not_null().or(none(None, own)?));
        }
        Ok(conjunction(conditions).unwrap_or_else(|| lit(true)))
    }
}
