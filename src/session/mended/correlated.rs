//! Columns that a subquery compares with the statement around it have names of their own.
//!
//! The engine turns `EXISTS (SELECT * FROM y JOIN z … WHERE z.g = x.g)` into a join with the subquery under one alias, where `y.g` and
//! `z.g` are both called `g`: the first of them is compared, whichever was meant. So such columns are given out once more, under
//! names that nothing else has.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder};
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
        plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => named(filter, config),
            other => Ok(Transformed::no(other)),
        })
    }
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
