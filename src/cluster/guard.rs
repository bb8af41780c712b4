//! A panic on a worker is an error of the statement.
//!
//! The engine's streams between nodes have no end mark of their own: an operator that panics ends its stream as if all rows
//! had come. So the operators of each part run inside [`GuardExec`], which makes an error of a panic; and whatever else
//! panics in the process while an answer flows (see [`panics`]) makes the door end that answer as failed.

use std::cell::Cell;
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

use super::stages::Count;

static PANICS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Guards that the thread is inside of.
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// Panics of this process so far, but for those that a guard made errors of.
pub(super) fn panics() -> u64 {
    PANICS.load(Ordering::Acquire)
}

/// Counts panics from now on, and logs where they were and not what they say: it may quote a row.
pub(super) fn count_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let guarded = GUARDS.get() > 0;
        if !guarded {
            PANICS.fetch_add(1, Ordering::AcqRel);
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, guarded, "a panic");
    }));
}

/// Runs what may panic; then there is an error in its place.
fn inside<T>(run: impl FnOnce() -> T) -> Result<T> {
    GUARDS.set(GUARDS.get() + 1);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(run));
    GUARDS.set(GUARDS.get().saturating_sub(1));
    outcome.map_err(|_| DataFusionError::Internal("an operator panicked on a worker".into()))
}

/// Puts the guard into a part of a statement: below the operator that gives rows to other nodes, which is made anew for
/// whoever asks, or above all. What leaves the part there is counted.
pub(super) fn guarded(plan: Arc<dyn ExecutionPlan>, count: Option<Arc<Count>>) -> Result<Arc<dyn ExecutionPlan>> {
    let guard = |below: Arc<dyn ExecutionPlan>| {
        if let Some(count) = &count {
            count.expect(below.properties().partitioning.partition_count());
        }
        let count = count.clone();
        Arc::new(GuardExec { below, count }) as Arc<dyn ExecutionPlan>
    };
    if !plan.is::<RepartitionExec>() && !plan.is::<BroadcastExec>() {
        return Ok(guard(plan));
    }
    let below = plan
        .children()
        .into_iter()
        .map(|below| guard(Arc::clone(below)))
        .collect();
    plan.replace_children(below, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Gives the rows of what is below as they come, and an error if it panics.
#[derive(Debug)]
struct GuardExec {
    below: Arc<dyn ExecutionPlan>,
    count: Option<Arc<Count>>,
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
            Ok([below]) => Ok(Arc::new(Self {
                below,
                count: self.count.clone(),
            })),
            Err(children) => internal_err!("a guard has one input, not {}", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let below = inside(|| self.below.execute(partition, context))??;
        Ok(Box::pin(Guarded {
            schema: self.below.schema(),
            below: Some(below),
            count: self.count.clone(),
        }))
    }
}

struct Guarded {
    schema: SchemaRef,
    /// Gone after a panic: what a panic left is not polled again.
    below: Option<SendableRecordBatchStream>,
    count: Option<Arc<Count>>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(count) = &self.count {
            count.end();
        }
    }
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(below) = self.below.as_mut() else {
            return Poll::Ready(None);
        };
        match inside(|| below.poll_next_unpin(context)) {
            Ok(polled) => {
                if let (Poll::Ready(Some(Ok(batch))), Some(count)) = (&polled, &self.count) {
                    count.add(batch);
                }
                polled
            }
            Err(panicked) => {
                self.below = None;
                Poll::Ready(Some(Err(panicked)))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

    use super::*;

    /// One batch, and then it panics.
    #[derive(Debug)]
    struct Falls(SchemaRef);

    impl PartitionStream for Falls {
        fn schema(&self) -> &SchemaRef {
            &self.0
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let batch = RecordBatch::new_empty(Arc::clone(&self.0));
            let rows = futures::stream::iter([0, 1]).map(move |nth| match nth {
                0 => Ok(batch.clone()),
                _ => panic!("it falls"),
            });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), rows))
        }
    }

    fn falling() -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let partition = Arc::new(Falls(Arc::clone(&schema)));
        Arc::new(StreamingTableExec::try_new(schema, vec![partition], None, Vec::new(), false, None).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_no_end() {
        let plan = guarded(falling(), None).unwrap();
        let mut rows = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        let error = rows.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        assert!(rows.next().await.is_none());
    }

    #[tokio::test]
    async fn it_stands_below_what_gives_rows_to_other_nodes() {
        let below = falling();
        let by_turns = datafusion::physical_plan::Partitioning::RoundRobinBatch(3);
        let plan = guarded(Arc::new(RepartitionExec::try_new(below, by_turns).unwrap()), None).unwrap();
        assert!(plan.is::<RepartitionExec>());
        assert!(plan.children()[0].is::<GuardExec>());
        let broadcast = guarded(Arc::new(BroadcastExec::new(falling(), 2)), None).unwrap();
        assert!(broadcast.is::<BroadcastExec>() && broadcast.children()[0].is::<GuardExec>());
    }
}
