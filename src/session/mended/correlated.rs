//! Columns that a subquery compares with the statement around it have names of their own.
//!
//! The engine turns `EXISTS (SELECT * FROM y JOIN z … WHERE z.g = x.g)` into a join with the subquery under one alias, where `y.g` and
//! `z.g` are both called `g`: the first of them is compared, whichever was meant. So such columns are given out once more, under
//! names that nothing else has.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The engine's rule that makes joins of subqueries: ours comes before it.
pub(super) const BEFORE: &str = "decorrelate_predicate_subquery";
/// What the names begin with.
const PREFIX: &str = "__compared";

/// Gives the columns their names.
#[derive(Debug)]
pub(super) struct CorrelatedNames;

impl OptimizerRule for CorrelatedNames {
    fn name(&self) -> &str {
        "correlated_names"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let named = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => named(filter, config),
            LogicalPlan::Join(join) if compares(&join) => above(join, config),
            other => Ok(Transformed::no(other)),
        })?;
        named.data.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    let (Expr::Exists(Exists { subquery, .. })
                    | Expr::InSubquery(InSubquery { subquery, .. })
                    | Expr::ScalarSubquery(subquery)) = expr
                    else {
                        return Ok(TreeNodeRecursion::Continue);
                    };
                    told_apart(&subquery.subquery, &mut Vec::new())?;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(named)
    }
}

/// Whether an inner join's condition compares with the statement around.
fn compares(join: &Join) -> bool {
    join.join_type == JoinType::Inner && join.filter.as_ref().is_some_and(Expr::contains_outer)
}

/// The join with those comparisons above it: the engine would take them to one side, where nothing tells the names apart.
fn above(mut join: Join, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let filter = join.filter.take().into_iter().flat_map(split_conjunction_owned);
    let (compared, own): (Vec<Expr>, Vec<Expr>) = filter.partition(Expr::contains_outer);
    join.filter = conjunction(own);
    let plan = LogicalPlanBuilder::from(LogicalPlan::Join(join));
    let plan = match conjunction(compared) {
        Some(compared) => plan.filter(compared)?.build()?,
        None => plan.build()?,
    };
    Ok(Transformed::yes(match plan {
        LogicalPlan::Filter(filter) => named(filter, config)?.data,
        other => other,
    }))
}

/// # Errors
/// A comparison inside a derived table is of a column that another side of a join above has as well: the engine would take either.
fn told_apart<'a>(plan: &'a LogicalPlan, joins: &mut Vec<&'a DFSchema>) -> Result<()> {
    if let LogicalPlan::Filter(filter) = plan
        && filter.predicate.contains_outer()
    {
        let compared = split_conjunction(&filter.predicate)
            .into_iter()
            .filter(|one| one.contains_outer());
        for column in compared.flat_map(Expr::column_refs) {
            let is_shared = |join: &&DFSchema| {
                join.fields()
                    .iter()
                    .filter(|field| *field.name() == column.name)
                    .count()
                    > 1
            };
            if joins.iter().any(is_shared) {
                return plan_err!(
                    "a subquery compares {column} with the statement around it inside of a table of its FROM, and another table \
                     there has a column of that name; give the columns different names, or compare in the subquery's own WHERE"
                );
            }
        }
    }
    if let LogicalPlan::Join(join) = plan {
        joins.push(join.schema.as_ref());
    }
    plan.inputs()
        .into_iter()
        .try_for_each(|input| told_apart(input, joins))?;
    if let LogicalPlan::Join(_) = plan {
        joins.pop();
    }
    Ok(())
}

/// The filter with the comparisons alone at the top, over columns of which no two have one name.
fn named(filter: Filter, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let schema = filter.input.schema();
    let is_shared = |column: &Column| {
        let same = schema.fields().iter().filter(|field| *field.name() == column.name);
        same.count() > 1
    };
    let (compared, own): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter.predicate.clone())
        .into_iter()
        .partition(Expr::contains_outer);
    let mut names: BTreeMap<Column, String> = BTreeMap::new();
    let columns: BTreeSet<&Column> = compared.iter().flat_map(Expr::column_refs).collect();
    for column in columns.into_iter().filter(|column| is_shared(column)) {
        names.insert(column.clone(), config.alias_generator().next(PREFIX));
    }
    if names.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let all: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let again = names
        .iter()
        .map(|(column, name)| Expr::Column(column.clone()).alias(name));
    let compared = compared.into_iter().map(|condition| {
        let renamed = condition.transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match names.get(column) {
                    Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        });
        Ok(renamed?.data)
    });
    let compared = conjunction(compared.collect::<Result<Vec<_>>>()?);
    let mut plan = LogicalPlanBuilder::from(filter.input.as_ref().clone());
    if let Some(own) = conjunction(own) {
        plan = plan.filter(own)?;
    }
    plan = plan.project(all.iter().cloned().chain(again))?;
    if let Some(compared) = compared {
        plan = plan.filter(compared)?;
    }
    Ok(Transformed::yes(plan.project(all)?.build()?))
}
