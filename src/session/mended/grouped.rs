//! Nothing is known of the columns that come from grouping sets.
//!
//! `ROLLUP`, `CUBE` and `GROUPING SETS` put NULL into columns that they do not group by. The engine (apache/datafusion
//! #24421, #16965) goes on to take a column that was constant or sorted before for constant or sorted after: then groups are
//! told twice with parts of their rows each, and sorts are left out. So a node above such an aggregation forgets all that.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
    StatisticsArgs,
};

/// Puts the node above each aggregation by grouping sets.
#[derive(Debug)]
pub(super) struct GroupingSets;

impl PhysicalOptimizerRule for GroupingSets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        // From below, so that what is above is made anew of what is known then.
        let mended = plan.transform_up(|node| {
            let by_sets = node
                .downcast_ref::<AggregateExec>()
                .is_some_and(|aggregate| aggregate.group_expr().has_grouping_set());
            Ok(match by_sets {
                true => Transformed::yes(forgetting(node)),
                false => Transformed::no(node),
            })
        })?;
        Ok(mended.data)
    }

    fn name(&self) -> &'static str {
        "grouping_sets"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Gives the rows of what is below as they come, and promises nothing of them.
#[derive(Debug)]
struct ForgettingExec {
    below: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

/// The node above an aggregation by grouping sets.
pub(crate) fn forgetting(below: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(ForgettingExec::new(below))
}

/// Whether this is that node.
pub(crate) fn is_forgetting(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<ForgettingExec>()
}

impl ForgettingExec {
    fn new(below: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = below.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(below.schema()),
            Partitioning::UnknownPartitioning(partitions),
            below.pipeline_behavior(),
            below.boundedness(),
        );
        Self {
            below,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for ForgettingExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => Ok(()),
            DisplayFormatType::Default | DisplayFormatType::Verbose => f.write_str("GroupingSetsExec"),
        }
    }
}

impl ExecutionPlan for ForgettingExec {
    fn name(&self) -> &str {
        "GroupingSetsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.below]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([below]) => Ok(Arc::new(Self::new(below))),
            Err(children) => internal_err!("grouping sets come from one input, not {}", children.len()),
        }
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.below.schema());
        if let Some(input) = inputs.first() {
            statistics.num_rows = match input.num_rows {
                Precision::Exact(rows) | Precision::Inexact(rows) => Precision::Inexact(rows),
                Precision::Absent => Precision::Absent,
            };
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.below.execute(partition, context)
    }
}
