//! Groups that nobody asks for are not made.
//!
//! `l_quantity < (SELECT 0.2 * avg(l_quantity) … WHERE l_partkey = p_partkey)` is an aggregation of all lines, joined with the
//! few parts that are wanted. The join drops every other group, so their rows need not be read into groups: the keys of
//! the small side are put below the aggregation, as a set to choose by. It is read twice for that, so only what reads tables
//! and gives the same each time is taken, and only where that is little beside what is saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinConstraint, LogicalPlan, Projection, SubqueryAlias};

use super::graph::{Graph, bit};
use super::group::{Group, chosen, has_sets};
use super::size::scanned;
use super::total::{asks_nothing_that_fails, is_total};

/// The name of the small side where it is read once more; nothing refers to it but the join that it is made for.
const KEYS: &str = "__keys";
/// Keys are worth it if at most this part of the groups is left.
const LEFT: f64 = 0.25;
/// Nodes between a relation and its aggregation at most.
const DEPTH_MAX: usize = 16;

/// Those aggregations among the relations of which another relation asks for few groups, with only those.
pub(super) fn narrowed(group: &Group, graph: &Graph) -> Result<BTreeMap<usize, LogicalPlan>> {
    let mut narrowed = BTreeMap::new();
    for (at, relation) in group.relations.iter().enumerate() {
        let Some(aggregate) = aggregation(relation) else {
            continue;
        };
        if has_keys(&aggregate.input)? {
            continue;
        }
        let others = (0..group.relations.len()).filter(|other| *other != at);
        let worth = others.filter_map(|other| {
            let rows = graph.size(other)?.rows;
            let keys = shared(graph, relation, aggregate, at, other);
            let asked = group.relations.get(other)?;
            let saves = !keys.is_empty()
                && rows <= LEFT * graph.size(at)?.rows
                && scanned(asked)? <= scanned(&aggregate.input)?
                && is_repeatable(asked);
            saves.then_some((rows, asked, keys))
        });
        if let Some((_, asked, keys)) = worth.min_by(|a, b| a.0.total_cmp(&b.0)) {
            narrowed.insert(at, below(relation.clone(), asked, keys)?);
        }
    }
    Ok(narrowed)
}

/// What must be equal between the rows that are aggregated and the other relation.
type Keys = Vec<(Expr, Expr)>;

fn shared(graph: &Graph, relation: &LogicalPlan, aggregate: &Aggregate, at: usize, other: usize) -> Keys {
    let pairs = graph.classes.iter().filter_map(|class| {
        let theirs = class.within(bit(other)).next()?;
        let group = class.within(bit(at)).find_map(|own| match &own.expr {
            Expr::Column(column) => group_of(relation, relation.schema().maybe_index_of_column(column)?),
            _ => None,
        })?;
        let key = aggregate.group_expr.get(group)?;
        is_total(key, aggregate.input.schema()).then(|| (unaliased(key), theirs.expr.clone()))
    });
    pairs.collect()
}

fn unaliased(expr: &Expr) -> Expr {
    expr.clone().unalias()
}

/// The aggregation that a relation is, but for conditions on its groups and names.
fn aggregation(relation: &LogicalPlan) -> Option<&Aggregate> {
    let mut plan = relation;
    for _ in 0..DEPTH_MAX {
        plan = match plan {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Aggregate(aggregate) => return (!has_sets(aggregate)).then_some(aggregate),
            _ => return None,
        };
    }
    None
}

/// The group expression that a column of such a relation is.
fn group_of(relation: &LogicalPlan, mut column: usize) -> Option<usize> {
    let mut plan = relation;
    for _ in 0..DEPTH_MAX {
        plan = match plan {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Projection(projection) => {
                let below = chosen(projection.expr.get(column)?)?;
                column = projection.input.schema().maybe_index_of_column(below)?;
                &projection.input
            }
            LogicalPlan::Aggregate(aggregate) => return (column < aggregate.group_expr.len()).then_some(column),
            _ => return None,
        };
    }
    None
}

/// Whether a plan was narrowed before.
fn has_keys(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == KEYS)))
}

/// Whether a plan reads tables, gives the same rows each time, and cannot fail.
fn is_repeatable(plan: &LogicalPlan) -> bool {
    let mut repeatable = true;
    let walked = plan.apply(|node| {
        repeatable = match node {
            LogicalPlan::TableScan(scan) => scan.fetch.is_none(),
            LogicalPlan::SubqueryAlias(_) => true,
            LogicalPlan::Filter(filter) => is_total(&filter.predicate, filter.input.schema()),
            LogicalPlan::Projection(node) => node.expr.iter().all(|expr| is_total(expr, node.input.schema())),
            LogicalPlan::Join(join) => {
                matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi) && asks_nothing_that_fails(join)
            }
            _ => false,
        };
        Ok(match repeatable {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    });
    walked.is_ok() && repeatable
}

/// The relation with the rows of its aggregation chosen by the keys of `asked`.
fn below(relation: LogicalPlan, asked: &LogicalPlan, keys: Keys) -> Result<LogicalPlan> {
    let (own, theirs): (Vec<Expr>, Vec<Expr>) = keys.into_iter().unzip();
    let names = (0..theirs.len()).map(|at| format!("key_{at}"));
    let columns = theirs.into_iter().zip(names).map(|(expr, name)| expr.alias(name));
    let set = Projection::try_new(columns.collect(), Arc::new(asked.clone()))?;
    let set = SubqueryAlias::try_new(Arc::new(LogicalPlan::Projection(set)), KEYS)?;
    let set = Arc::new(LogicalPlan::SubqueryAlias(set));
    let narrowed = relation.transform_down(|node| match node {
        LogicalPlan::Aggregate(mut aggregate) => {
            let input = Arc::unwrap_or_clone(aggregate.input);
            aggregate.input = Arc::new(chosen_by(input, &set, &own)?);
            Ok(Transformed::new(
                LogicalPlan::Aggregate(aggregate),
                true,
                TreeNodeRecursion::Stop,
            ))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(narrowed.data)
}

/// The rows whose keys are in the set: chosen as far below inner joins as all keys are there.
fn chosen_by(plan: LogicalPlan, set: &Arc<LogicalPlan>, keys: &[Expr]) -> Result<LogicalPlan> {
    let has = |plan: &LogicalPlan| {
        let mut columns = keys.iter().flat_map(Expr::column_refs);
        columns.all(|column| plan.schema().maybe_index_of_column(column).is_some())
    };
    match plan {
        LogicalPlan::Filter(mut filter) => {
            filter.input = Arc::new(chosen_by(Arc::unwrap_or_clone(filter.input), set, keys)?);
            Ok(LogicalPlan::Filter(filter))
        }
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner && has(&join.left) => {
            join.left = Arc::new(chosen_by(Arc::unwrap_or_clone(join.left), set, keys)?);
            Ok(LogicalPlan::Join(join))
        }
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner && has(&join.right) => {
            join.right = Arc::new(chosen_by(Arc::unwrap_or_clone(join.right), set, keys)?);
            Ok(LogicalPlan::Join(join))
        }
        other => {
            let theirs = set.schema().columns().into_iter().map(Expr::Column);
            let join = Join::try_new(
                Arc::new(other),
                Arc::clone(set),
                keys.iter().cloned().zip(theirs).collect(),
                None,
                JoinType::LeftSemi,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?;
            Ok(LogicalPlan::Join(join))
        }
    }
}
