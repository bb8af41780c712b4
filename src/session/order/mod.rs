//! Joins in the order that costs least, by what policy allows to know.
//!
//! The engine joins tables as a statement lists them. This rule takes the inner joins that stand together, whatever their
//! order and brackets, and puts them together anew: small results first, and the smaller side of each join as the one that
//! is held in memory.
//!
//! * [`group`]: which joins stand together, and what must hold between their inputs. All else (outer and anti joins,
//!   aggregations, limits) is an input as a whole; joins inside it are a group of their own.
//! * [`total`]: what can fail keeps its place. A condition that divides, or calls a function of the user's, must not meet rows
//!   that an earlier join would have left out.
//! * [`size`]: how many rows to expect, from the numbers that governed tables tell of themselves. Where one is not known, the
//!   order stays as it was written.
//! * [`graph`]: the order. [`rebuild`]: the plan. [`keys`]: groups that a join would drop are not made.
//!
//! The rule moves conditions that cannot fail and nothing else, so any order gives the same rows: numbers that are wrong or old
//! only cost time.

mod graph;
mod group;
mod keys;
mod passing;
mod rebuild;
mod size;
mod total;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use graph::Graph;
use group::{Group, Tree};

/// The engine's rule after which conditions are where they belong and joins are still bare: ours comes next.
const AFTER: &str = "push_down_filter";
/// The engine's rule that takes joins apart, and its name in the list.
const CROSS_JOINS: &str = "eliminate_cross_join";

/// The logical rules of a user's session.
pub(crate) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Vec::new();
    for rule in Optimizer::new().rules {
        let name = rule.name().to_owned();
        rules.push(match name.as_str() {
            CROSS_JOINS => Arc::new(CrossJoins(rule)) as Arc<dyn OptimizerRule + Send + Sync>,
            _ => rule,
        });
        if name == AFTER {
            rules.push(Arc::new(JoinOrder));
        }
    }
    rules
}

/// Orders joins.
#[derive(Debug)]
struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "join_order"
    }

    /// From the top, as a group is ordered as a whole.
    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        ordered(plan)
    }
}

/// The plan with each of its groups in order.
fn ordered(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|node| {
        let Some(mut group) = Group::of(&node) else {
            return Ok(Transformed::no(node));
        };
        let Some((tree, graph)) = order(&mut group)? else {
            let through = group.through;
            // What is below was looked at with the group.
            return Ok(jump(inside(node, through)?));
        };
        let relations = group
            .relations
            .iter()
            .cloned()
            .map(|relation| Ok(ordered(relation)?.data));
        let relations = relations.collect::<Result<Vec<_>>>()?;
        let plan = rebuild::joined(node.schema(), &group, relations, &graph, &tree)?;
        Ok(jump(Transformed::yes(plan)))
    })
}

/// The order of a group, if it is to be put together anew.
fn order(group: &mut Group) -> Result<Option<(Tree, Graph)>> {
    let Some(graph) = Graph::of(group) else {
        return Ok(None);
    };
    let narrowed = keys::narrowed(group, &graph)?;
    if narrowed.is_empty() {
        return Ok(graph.better(&group.written).map(|tree| (tree, graph)));
    }
    for (relation, plan) in group
        .relations
        .iter_mut()
        .enumerate()
        .filter_map(|(at, relation)| Some((relation, narrowed.get(&at)?)))
    {
        *relation = plan.clone();
    }
    Ok(Graph::of(group).map(|graph| {
        let tree = graph.better(&group.written);
        (tree.unwrap_or_else(|| group.written.clone()), graph)
    }))
}

/// A group that stays as it is, with its relations in order.
fn inside(plan: LogicalPlan, through: bool) -> Result<Transformed<LogicalPlan>> {
    match group::is_within(&plan, through) {
        true => plan.map_children(|below| inside(below, through)),
        false => ordered(plan),
    }
}

fn jump(done: Transformed<LogicalPlan>) -> Transformed<LogicalPlan> {
    Transformed::new(done.data, done.transformed, TreeNodeRecursion::Jump)
}

/// The engine's rule, but for plans in which NULL equals NULL somewhere: it would put such a join under the equality of the
/// join above it, and rows with NULL would be lost or made up.
#[derive(Debug)]
struct CrossJoins(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        CROSS_JOINS
    }

    fn apply_order(&self) -> Option<datafusion::optimizer::ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node {
                found |= join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull;
            }
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        match found {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}
