//! The plan of an order.

use std::sync::Arc;

use datafusion::common::{DFSchemaRef, JoinType, NullEquality, Result, internal_datafusion_err};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, LogicalPlan, Projection};

use super::graph::{Graph, Set, bit};
use super::group::{Group, Tree};

/// The relations joined as `tree` says, with the columns of `result` in its order and under its names.
pub(super) fn joined(
    result: &DFSchemaRef,
    group: &Group,
    relations: Vec<LogicalPlan>,
    graph: &Graph,
    tree: &Tree,
) -> Result<LogicalPlan> {
    let mut relations: Vec<Option<LogicalPlan>> = relations.into_iter().map(Some).collect();
    let (plan, _) = joins(graph, &mut relations, tree)?;
    if plan.schema().columns() == result.columns() {
        return Ok(plan);
    }
    let columns = group.output.iter().zip(result.iter());
    let columns = columns.map(|(column, (qualifier, field))| {
        match column.relation.as_ref() == qualifier && column.name == *field.name() {
            true => Expr::Column(column.clone()),
            false => Expr::Column(column.clone()).alias_qualified(qualifier.cloned(), field.name()),
        }
    });
    let projection = Projection::try_new(columns.collect(), Arc::new(plan))?;
    Ok(LogicalPlan::Projection(projection))
}

fn joins(graph: &Graph, relations: &mut [Option<LogicalPlan>], tree: &Tree) -> Result<(LogicalPlan, Set)> {
    match tree {
        Tree::Relation(at) => {
            let taken = relations.get_mut(*at).and_then(Option::take);
            let plan = taken.ok_or_else(|| internal_datafusion_err!("a relation is joined twice"))?;
            Ok((alone(graph, plan, *at)?, bit(*at)))
        }
        Tree::Join(left, right) => {
            let (left, left_set) = joins(graph, relations, left)?;
            let (right, right_set) = joins(graph, relations, right)?;
            let both = left_set | right_set;
            let keys = graph.classes.iter().filter_map(|class| {
                let (l, r) = (class.within(left_set).next()?, class.within(right_set).next()?);
                Some((l.expr.clone(), r.expr.clone()))
            });
            let now = graph.conditions.iter().filter(|condition| {
                condition.over & !both == 0 && condition.over & !left_set != 0 && condition.over & !right_set != 0
            });
            let join = Join::try_new(
                Arc::new(left),
                Arc::new(right),
                keys.collect(),
                conjunction(now.map(|condition| condition.expr.clone())),
                JoinType::Inner,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?;
            Ok((LogicalPlan::Join(join), both))
        }
    }
}

/// One relation, with what is asked of it alone. Joins hold one column of each class against the other side, so those that a
/// relation has several of must be equal from the start.
fn alone(graph: &Graph, plan: LogicalPlan, at: usize) -> Result<LogicalPlan> {
    let own = graph.conditions.iter().filter(|condition| condition.over == bit(at));
    let mut must: Vec<Expr> = own.map(|condition| condition.expr.clone()).collect();
    for class in &graph.classes {
        let mut members = class.within(bit(at));
        if let Some(first) = members.next() {
            must.extend(members.map(|member| first.expr.clone().eq(member.expr.clone())));
        }
    }
    match conjunction(must) {
        Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?)),
        None => Ok(plan),
    }
}
