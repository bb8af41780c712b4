//! Which plans may be shared with other nodes.
//!
//! A closed list: what is not on it stays here. An operator must have bytes of its own and do the same for each part of the
//! rows; a function must be the very one that a worker finds under its name, since functions travel by name; and each leaf
//! must be a governed scan that can be cut into slices, or one that is as good on one node as on another.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ScalarUDF, WindowUDF};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NegativeExpr, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};
use datafusion_distributed::{BroadcastExec, NetworkBoundaryExt};
use labhouse_catalog::TABLES;
use labhouse_policies::{Travel, reads_only, travel};

use crate::models::{ModelSnapshot, SentModel};
use crate::session::is_forgetting;

/// What a plan reads, if it may be shared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It may; bytes of the files that it scans, and the models that it asks.
    Shared(u64, Vec<(SentModel, Arc<ScalarUDF>)>),
    /// It stays here, for this reason.
    Stays(&'static str),
}

/// Whether a plan may be shared with nodes that have these functions, and models of the lake that the statement met.
pub(super) fn fit(plan: &Arc<dyn ExecutionPlan>, functions: &SessionState, models: Option<&ModelSnapshot>) -> Fit {
    let (mut bytes, mut stays) = (0_u64, None);
    let mut named = Named {
        functions,
        models,
        sent: Vec::new(),
    };
    let walked = plan.apply(|node| {
        stays = match leaf(node) {
            Some(Ok(more)) => {
                bytes = bytes.saturating_add(more);
                None
            }
            Some(Err(why)) => Some(why),
            None => operator(node, &mut named)?,
        };
        Ok(match stays {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    match (walked, stays) {
        (Err(_), _) => Fit::Stays("an expression cannot be looked into"),
        (Ok(_), Some(why)) => Fit::Stays(why),
        (Ok(_), None) => Fit::Shared(bytes, named.sent),
    }
}

/// What another node finds under a name.
struct Named<'a> {
    functions: &'a SessionState,
    models: Option<&'a ModelSnapshot>,
    /// The models met so far.
    sent: Vec<(SentModel, Arc<ScalarUDF>)>,
}

impl Named<'_> {
    /// Whether the function is the one of its name there, or a model that can be had there under it.
    fn has(&mut self, function: &ScalarUDF) -> bool {
        let found = self.functions.scalar_functions().get(function.name());
        if found.is_some_and(|found| found.as_ref() == function) {
            return true;
        }
        let sent = self.models.and_then(|models| models.sent(function));
        match sent {
            Some(model) if self.sent.iter().any(|(sent, _)| *sent == model) => {}
            Some(model) => self.sent.push((model, Arc::new(function.clone()))),
            None => return false,
        }
        true
    }
}

/// Bytes that a leaf scans, or why it stays; none for what is no leaf.
fn leaf(node: &Arc<dyn ExecutionPlan>) -> Option<Result<u64, &'static str>> {
    match travel(node) {
        Some(Travel::Slices(bytes)) => return Some(Ok(bytes)),
        Some(Travel::Whole) => return Some(Ok(0)),
        Some(Travel::Stays) => return Some(Err("a table that is not a plain list of files, or a keyed mask")),
        None => {}
    }
    if node.is::<EmptyExec>() || node.is::<PlaceholderRowExec>() {
        return Some(Ok(0));
    }
    node.children()
        .is_empty()
        .then_some(Err("a source of rows that only this server has"))
}

/// Whether every operator of a part that another node sent is one that nodes send, and every scan one of tables in the lake that
/// plans call `store`: a part that reads or writes anything else does not run here, whoever sent it.
pub(super) fn is_part(plan: &Arc<dyn ExecutionPlan>, store: &str) -> Result<bool> {
    let mut all = true;
    plan.apply(|node| {
        all = is_known(node)
            || reads_only(node, store, TABLES)
            || node.is::<EmptyExec>()
            || node.is::<PlaceholderRowExec>()
            || node.is::<BroadcastExec>()
            || node.is_network_boundary();
        Ok(match all {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    })?;
    Ok(all)
}

/// Whether an operator is on the list.
fn is_known(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<RepartitionExec>()
        || node.is::<CooperativeExec>()
        || node.is::<UnionExec>()
        || node.is::<InterleaveExec>()
        || node.is::<GlobalLimitExec>()
        || node.is::<LocalLimitExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<UnnestExec>()
        || node.is::<AggregateExec>()
        || node.is::<WindowAggExec>()
        || node.is::<BoundedWindowAggExec>()
        || is_forgetting(node)
}

/// Why an operator stays, if it does.
fn operator(node: &Arc<dyn ExecutionPlan>, named: &mut Named<'_>) -> Result<Option<&'static str>> {
    if !is_known(node) {
        return Ok(Some("an operator that only runs here"));
    }
    let functions = named.functions;
    let by_name = if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        aggregate.aggr_expr().iter().all(|call| is_aggregate(call, functions))
    } else if let Some(window) = node.downcast_ref::<WindowAggExec>() {
        window.window_expr().iter().all(|call| is_window(call, functions))
    } else if let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() {
        window.window_expr().iter().all(|call| is_window(call, functions))
    } else {
        true
    };
    if !by_name {
        return Ok(Some("a function that workers do not have"));
    }
    let mut stays = shape(node);
    node.apply_expressions(&mut |expr| {
        if stays.is_none() {
            stays = expression(expr, named)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(stays)
}

/// Why an operator stays for what it holds or stands on, if it does.
fn shape(node: &Arc<dyn ExecutionPlan>) -> Option<&'static str> {
    let children = node.children();
    // Its build side is sent to all tasks, and each would take the first rows that come to it.
    let collects = node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node
            .downcast_ref::<HashJoinExec>()
            .is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft);
    if collects && children.first().is_some_and(|left| counts_rows(left)) {
        return Some("a join with so many rows of one side");
    }
    let sets = node.downcast_ref::<AggregateExec>().map(AggregateExec::group_expr);
    if sets.is_some_and(|sets| sets.has_grouping_set() && sets.expr().is_empty()) {
        return Some("grouping sets without columns");
    }
    let is_window = node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>();
    (is_window && !children.iter().all(|below| is_sorted_there(below)))
        .then_some("a window over rows whose order other nodes do not know of")
}

/// Whether a plan gives a number of rows, whichever come first.
fn counts_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<CooperativeExec>() || plan.is::<ProjectionExec>() {
        return plan.children().into_iter().any(counts_rows);
    }
    plan.is::<CoalescePartitionsExec>() && plan.fetch().is_some()
}

/// Whether rows get their order, if they need one, in the very part that looks at it: the message of a part says nothing of
/// the order in which rows come to it.
fn is_sorted_there(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<SortExec>() || plan.is::<SortPreservingMergeExec>() || plan.is::<CoalescePartitionsExec>() {
        return true;
    }
    let passes = plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>();
    passes && plan.children().into_iter().all(is_sorted_there)
}

/// Why an expression stays, if it does: it is none of the kinds that are known, or calls what another node does not have.
fn expression(expr: &Arc<dyn PhysicalExpr>, named: &mut Named<'_>) -> Result<Option<&'static str>> {
    let mut stays = None;
    expr.apply(|part| {
        let known = part.is::<Column>()
            || part.is::<Literal>()
            || part.is::<BinaryExpr>()
            || part.is::<NotExpr>()
            || part.is::<IsNullExpr>()
            || part.is::<IsNotNullExpr>()
            || part.is::<NegativeExpr>()
            || part.is::<InListExpr>()
            || part.is::<CaseExpr>()
            || part.is::<CastExpr>()
            || part.is::<TryCastExpr>()
            || part.is::<LikeExpr>()
            || part.is::<DynamicFilterPhysicalExpr>();
        stays = match part.downcast_ref::<ScalarFunctionExpr>() {
            Some(call) if named.has(call.fun()) => None,
            Some(_) => Some("a function that workers do not have"),
            None if known => None,
            None => Some("an expression that only this server knows"),
        };
        Ok(match stays {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(stays)
}

fn is_aggregate(call: &AggregateFunctionExpr, functions: &SessionState) -> bool {
    let found = functions.aggregate_functions().get(call.fun().name());
    found.is_some_and(|found| found.as_ref() == call.fun())
}

fn is_that_window(function: &WindowUDF, functions: &SessionState) -> bool {
    let found = functions.window_functions().get(function.name());
    found.is_some_and(|found| found.as_ref() == function)
}

fn is_window(call: &Arc<dyn WindowExpr>, functions: &SessionState) -> bool {
    let call = call.as_any();
    if let Some(plain) = call.downcast_ref::<PlainAggregateWindowExpr>() {
        return is_aggregate(plain.get_aggregate_expr(), functions);
    }
    if let Some(sliding) = call.downcast_ref::<SlidingAggregateWindowExpr>() {
        return is_aggregate(sliding.get_aggregate_expr(), functions);
    }
    if let Some(standard) = call.downcast_ref::<StandardWindowExpr>() {
        let function = standard
            .get_standard_func_expr()
            .as_any()
            .downcast_ref::<WindowUDFExpr>();
        return function.is_some_and(|function| is_that_window(function.fun(), functions));
    }
    false
}
