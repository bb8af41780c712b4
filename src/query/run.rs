//! Where plans run: threads of their own, away from those that answer the network.
//!
//! A statement can keep a core busy for hours; heartbeats, cancellations and other people's logins must not wait for
//! it. Batches cross to the door through a short queue, so a slow reader holds back the plan and not the memory.
//! Dropping the stream ends the plan: joins give way between their batches, which the engine's own rule does for scans
//! only, and a join of three large tables may never come back to its scan.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use labhouse_policies::learn;
use tokio::runtime::{Builder, Runtime};

/// Batches that wait between a plan and its reader.
const QUEUE: usize = 2;

/// The threads that run plans.
pub(crate) struct Runner {
    runtime: Option<Runtime>,
}

impl Runner {
    pub(crate) fn new(threads: usize, stack_bytes: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("plan")
            .thread_stack_size(stack_bytes)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Starts a plan; it ends when the stream is dropped.
    pub(crate) fn start(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let plan = giving_way(plan)?;
        let mut stream = RecordBatchReceiverStream::builder(plan.schema(), QUEUE);
        let sender = stream.tx();
        let run = async move {
            let mut batches = execute_stream(Arc::clone(&plan), context)?;
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    return Ok(());
                }
            }
            learn(&plan);
            Ok(())
        };
        match &self.runtime {
            Some(runtime) => stream.spawn_on(run, runtime.handle()),
            None => stream.spawn(run),
        }
        Ok(stream.build())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads is not allowed where this may run, and nobody reads their results any more.
            runtime.shutdown_background();
        }
    }
}

/// Operators that can make many batches of one give way after each.
fn giving_way(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let transformed = plan.transform_up(|node| {
        let multiplies = node.is::<CrossJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<SymmetricHashJoinExec>()
            || node.is::<UnnestExec>();
        if multiplies {
            Ok(Transformed::yes(
                Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>
            ))
        } else {
            Ok(Transformed::no(node))
        }
    })?;
    Ok(transformed.data)
}
