//! What may stand below a barrier that leaves this process: steps with one input each, over one scan of plain Parquet
//! files or over nothing. The list is closed; a plan with anything else stays where it was made.

use std::sync::Arc;

use datafusion::common::not_impl_err;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, Partitioning, ReplaceChildrenOptions};

type Plan = Arc<dyn ExecutionPlan>;

/// What a plan reads.
pub(crate) enum Leaf<'a> {
    /// Parquet files, of which a path, a size, a range and partition values say everything.
    Files(&'a FileScanConfig, &'a ParquetSource),
    /// No row.
    Nothing,
}

/// How a step treats rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Each by itself.
    Each,
    /// Some number of them, whichever come first.
    Limit,
}

/// What the plan reads, if all of it may leave this process.
pub(crate) fn leaf(plan: &Plan) -> Option<Leaf<'_>> {
    let mut at = plan;
    loop {
        if at.is::<EmptyExec>() {
            return Some(Leaf::Nothing);
        }
        if let Some(scan) = at.downcast_ref::<DataSourceExec>() {
            let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
            return is_plain(config).then_some(Leaf::Files(config, source));
        }
        step(at)?;
        let children = at.children();
        let [below] = children.as_slice() else {
            return None;
        };
        at = *below;
    }
}

/// What is below all steps; none if one of them has several inputs.
pub(crate) fn only_leaf(plan: &Plan) -> Option<&Plan> {
    let mut at = plan;
    loop {
        let children = at.children();
        match children.as_slice() {
            [] => return Some(at),
            [below] => at = *below,
            _ => return None,
        }
    }
}

/// Whether a limit is somewhere in the plan: which rows it gives, and how many, then depends on the others.
pub(crate) fn is_limited(plan: &Plan) -> bool {
    plan.fetch().is_some() || step(plan) == Some(Step::Limit) || plan.children().into_iter().any(is_limited)
}

/// The plan over another leaf.
///
/// # Errors
/// The plan has a step with several inputs, or a step refuses what is put below it.
pub(crate) fn on_leaf(plan: &Plan, change: &dyn Fn(&Plan) -> Result<Plan>) -> Result<Plan> {
    match plan.children().as_slice() {
        [] => change(plan),
        [below] => {
            let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(vec![on_leaf(below, change)?], anew)
        }
        _ => not_impl_err!("a step below a barrier has one input"),
    }
}

fn step(plan: &Plan) -> Option<Step> {
    let round_robin = |repartition: &RepartitionExec| {
        matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_)) && !repartition.preserve_order()
    };
    if plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.downcast_ref::<RepartitionExec>().is_some_and(round_robin)
    {
        return Some(Step::Each);
    }
    let limit = plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>() || plan.is::<CoalescePartitionsExec>();
    limit.then_some(Step::Limit)
}

/// Whether the scan is what its files, schema and predicate say, without objects of this process.
fn is_plain(config: &FileScanConfig) -> bool {
    config.expr_adapter_factory.is_none()
        && config.file_source().table_schema().virtual_columns().is_empty()
        && config
            .file_groups
            .iter()
            .flat_map(|group| group.files())
            .all(|file| file.extensions.is_empty())
}
