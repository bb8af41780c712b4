//! A panic on a worker is an error of the statement.
//!
//! The engine's streams between nodes have no end mark of their own: an operator that panics ends its stream as if all rows
//! had come. So the operators of each part run inside [`GuardExec`], which makes an error of a panic; and whatever else
//! panics in the process while an answer flows (see [`panics`]) makes the door end that answer as failed.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, RecordBatchStream,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use datafusion_distributed::BroadcastExec;
use futures::{Stream, StreamExt};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics of this process so far.
pub(super) fn panics() -> u64 {
    PANICS.load(Ordering::Acquire)
}

/// Counts panics from now on, and logs where they were.
pub(super) fn count_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::AcqRel);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic; the statements that ran here fail");
    }));
}

/// Puts the guard into a part of a statement: below the operator that gives rows to other nodes, which is made anew for
/// whoever asks, or above all.
pub(super) fn guarded(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if !plan.is::<RepartitionExec>() && !plan.is::<BroadcastExec>() {
        return Ok(Arc::new(GuardExec { below: plan }));
    }
    let below = plan.children().into_iter().map(|below| {
        Arc::new(GuardExec {
            below: Arc::clone(below),
        }) as Arc<dyn ExecutionPlan>
    });
    let below = below.collect();
    plan.replace_children(below, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Gives the rows of what is below as they come, and an error if it panics.
#[derive(Debug)]
struct GuardExec {
    below: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for GuardExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardExec")
    }
}

impl ExecutionPlan for GuardExec {
    fn name(&self) -> &str {
        "GuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.below.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.below]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            Ok([below]) => Ok(Arc::new(Self { below })),
            Err(children) => internal_err!("a guard has one input, not {}", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let starting = AssertUnwindSafe(|| self.below.execute(partition, context));
        let below = std::panic::catch_unwind(starting).unwrap_or_else(|_| Err(panicked()))?;
        Ok(Box::pin(Guarded {
            schema: self.below.schema(),
            below: Some(below),
        }))
    }
}

fn panicked() -> DataFusionError {
    DataFusionError::Internal("an operator panicked on a worker".into())
}

struct Guarded {
    schema: SchemaRef,
    /// Gone after a panic: what a panic left is not polled again.
    below: Option<SendableRecordBatchStream>,
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(below) = self.below.as_mut() else {
            return Poll::Ready(None);
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| below.poll_next_unpin(context))) {
            Ok(polled) => polled,
            Err(_) => {
                self.below = None;
                Poll::Ready(Some(Err(panicked())))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
