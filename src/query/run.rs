//! Where plans run: threads of their own, away from those that answer the network.
//!
//! A statement can keep a core busy for hours; heartbeats, cancellations and other people's logins must not wait for
//! it. Batches cross to the door through a short queue, so a slow reader holds back the plan and not the memory.
//! Dropping the stream ends the plan: joins give way between their batches, which the engine's own rule does for scans
//! only, and a join of three large tables may never come back to its scan.
//!
//! A large plan is shared with other nodes where there are some, and only then looks different from what was planned.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use labhouse_policies::learn;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::QueryError;
use crate::cluster::Cluster;

/// Batches that wait between a plan and its reader.
const QUEUE: usize = 2;

/// The threads that run plans.
pub(crate) struct Runner {
    runtime: Option<Runtime>,
    /// Who shares the work of large plans.
    cluster: Option<Arc<Cluster>>,
}

impl Runner {
    pub(crate) fn new(threads: usize, stack_bytes: usize, cluster: Option<Arc<Cluster>>) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("plan")
            .thread_stack_size(stack_bytes)
            .thread_keep_alive(crate::cli::IDLE)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            cluster,
        })
    }

    /// The threads, for whoever starts plans by himself; none when the runner ends.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    /// Starts the plan of a statement of that number in the query log; it ends when the stream is dropped.
    pub(crate) fn start(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        statement: Option<Uuid>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let mut stream = RecordBatchReceiverStream::builder(plan.schema(), QUEUE);
        let (sender, cluster) = (stream.tx(), self.cluster.clone());
        let run = async move {
            let outcome = match cluster {
                Some(cluster) => shared((&cluster, statement), &plan, &context, &sender).await?,
                None => Outcome::Here,
            };
            let plan = match outcome {
                Outcome::Done => return Ok(()),
                Outcome::Here => plan,
                // What an attempt has left in the plan is not gone on with.
                Outcome::Again => reset_plan_states(plan)?,
            };
            let plan = giving_way(plan)?;
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
        match self.handle() {
            Some(threads) => stream.spawn_on(run, threads),
            None => stream.spawn(run),
        }
        Ok(stream.build())
    }
}

type Rows = Sender<Result<RecordBatch, DataFusionError>>;

/// What came of sharing a plan.
enum Outcome {
    /// Its rows went out, or its error.
    Done,
    /// It was not shared.
    Here,
    /// A node was lost before there was a row.
    Again,
}

/// Runs a plan together with other nodes, if that is worth it.
async fn shared(
    (cluster, statement): (&Arc<Cluster>, Option<Uuid>),
    plan: &Arc<dyn ExecutionPlan>,
    context: &TaskContext,
    rows: &Rows,
) -> Result<Outcome, DataFusionError> {
    let parts = match cluster.share(plan, context, statement).await {
        Ok(Some(parts)) => parts,
        Ok(None) => return Ok(Outcome::Here),
        Err(error) => {
            tracing::warn!(%error, "a plan could not be shared; it runs here");
            return Ok(Outcome::Here);
        }
    };
    tracing::debug!(tasks = parts.tasks, "a statement is shared");
    let mut batches = execute_stream(giving_way(Arc::clone(&parts.plan))?, Arc::clone(&parts.context))?;
    let mut gone = false;
    loop {
        let next = tokio::select! {
            biased;
            next = batches.next() => next,
            () = parts.lost(), if !gone => Some(Err(DataFusionError::Execution("a node did not take its part".into()))),
        };
        let batch = match next {
            None if parts.is_whole() => return Ok(Outcome::Done),
            None => Err(DataFusionError::Execution("a panic between nodes".into())),
            Some(batch) => batch,
        };
        let batch = match batch {
            Err(error) if parts.is_lost(&error) || !parts.is_whole() => {
                cluster.count_loss();
                tracing::warn!(%error, again = !gone, "a statement lost a node");
                if !gone {
                    return Ok(Outcome::Again);
                }
                Err(QueryError::Unavailable(LOST.into()).into_datafusion())
            }
            other => other,
        };
        let failed = batch.is_err();
        gone |= batch.as_ref().is_ok_and(|batch| batch.num_rows() > 0);
        if rows.send(batch).await.is_err() || failed {
            return Ok(Outcome::Done);
        }
    }
}

/// A statement of which rows are with the client already cannot begin anew.
const LOST: &str =
    "a node that ran a part of this statement was lost while rows were on their way; run the statement again";

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
