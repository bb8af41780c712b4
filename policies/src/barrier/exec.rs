//! The leaf that hides a plan.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType, reset_plan_states};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::{Stream, StreamExt};

use super::counts::{Learn, Rows};
use super::redact::redact;
use super::sanitise::{Residue, sanitise};
use super::under::{on_leaf, only_leaf};

/// What a barrier hides and how it lets it out.
#[derive(Clone)]
pub(crate) struct Below {
    pub plan: Arc<dyn ExecutionPlan>,
    pub system: Arc<SessionState>,
    pub table: String,
    /// The public schema of what comes out.
    pub schema: SchemaRef,
    pub residue: Residue,
    pub rows: Rows,
    /// Whether batches are cut anew, because their sizes tell how many hidden rows lay between.
    pub rechunk: bool,
    /// Partitions shown above, whatever `plan` has; it has no more.
    pub partitions: usize,
    /// Whether the policy secret is in `plan`.
    pub keyed: bool,
}

/// How a scan below a barrier is read, when it is: an extension of the system session's settings. Given a leaf, the same leaf
/// with the same rows in the same partitions, read another way; none leaves it as it is.
pub struct Reading(Box<Read>);

type Read = dyn Fn(&Arc<dyn ExecutionPlan>, &TaskContext) -> Option<Arc<dyn ExecutionPlan>> + Send + Sync;

impl Reading {
    /// Reads leaves as `read` says, with the memory of the query.
    pub fn new(
        read: impl Fn(&Arc<dyn ExecutionPlan>, &TaskContext) -> Option<Arc<dyn ExecutionPlan>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(read))
    }
}

/// A scan of a governed table: a leaf without children, metrics, orderings or statistics.
pub(crate) struct BarrierExec {
    below: Below,
    /// What is run for `below.plan`: all partitions are of one.
    run: OnceLock<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
}

impl BarrierExec {
    pub(crate) fn new(below: Below) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&below.schema)),
            Partitioning::UnknownPartitioning(below.partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            below,
            run: OnceLock::new(),
            properties: Arc::new(properties),
        }
    }

    fn run(&self, context: &TaskContext) -> &Arc<dyn ExecutionPlan> {
        self.run.get_or_init(|| {
            let plan = &self.below.plan;
            self.read(plan, context).unwrap_or_else(|| Arc::clone(plan))
        })
    }

    /// The plan over the leaf as it is read; none if that is how it is. A plan that has no one leaf is run as it is.
    fn read(&self, plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Option<Arc<dyn ExecutionPlan>> {
        let reading = self.below.system.config().get_extension::<Reading>()?;
        let leaf = (reading.0)(only_leaf(plan)?, context)?;
        let read = on_leaf(plan, &|_| Ok(Arc::clone(&leaf))).ok()?;
        let count = |plan: &Arc<dyn ExecutionPlan>| plan.output_partitioning().partition_count();
        (count(&read) == count(plan)).then_some(read)
    }

    /// What it hides: for this crate alone.
    pub(crate) fn below(&self) -> &Below {
        &self.below
    }

    /// Remembers what left it, if all of it did.
    pub(crate) fn learn(&self) {
        if let Some(learn) = &self.below.rows.learn {
            learn.keep();
        }
    }
}

impl fmt::Debug for BarrierExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierExec")
            .field("table", &self.below.table)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self
            .below
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let columns = columns.join(", ");
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GovernedScan: table={}, columns=[{columns}]", self.below.table)
            }
            DisplayFormatType::TreeRender => writeln!(f, "table={}\ncolumns={columns}", self.below.table),
        }
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "GovernedScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a governed scan has no children"),
        }
    }

    /// State below (a limit reached, a repartitioning in progress) is renewed too.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = reset_plan_states(Arc::clone(&self.below.plan))?;
        Ok(Arc::new(BarrierExec::new(Below {
            plan,
            ..self.below.clone()
        })))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.below.schema);
        if let (Some(rows), None) = (self.below.rows.estimate, args.partition()) {
            statistics.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = Arc::clone(&self.below.schema);
        if partition >= self.below.partitions {
            return not_impl_err!(
                "a governed scan has {} partitions, not {partition}",
                self.below.partitions
            );
        }
        if partition >= self.below.plan.output_partitioning().partition_count() {
            if let Some(learn) = &self.below.rows.learn {
                learn.ended(0);
            }
            return Ok(Box::pin(EmptyRecordBatchStream::new(schema)));
        }
        // The settings and functions of the server, the memory and stores of the query.
        let context = below_context(&self.below.system, &context);
        let size = context.session_config().batch_size();
        let inner = self
            .run(&context)
            .execute(partition, Arc::new(context))
            .map_err(|e| redact(&e, &self.below.table))?;
        let inner = make_cooperative(inner);
        let rows = self.below.rechunk.then(|| BatchCoalescer::new(inner.schema(), size));
        Ok(Box::pin(Outlet {
            inner,
            schema,
            table: self.below.table.clone(),
            residue: self.below.residue,
            rows,
            size,
            ended: false,
            left: 0,
            learn: self.below.rows.learn.clone(),
        }))
    }
}

/// What plans below are run and read with.
pub(crate) fn below_context(system: &SessionState, query: &TaskContext) -> TaskContext {
    let own = TaskContext::from(system).with_runtime(query.runtime_env());
    match query.task_id() {
        Some(task) => own.with_task_id(task),
        None => own,
    }
}

/// The stream that leaves: batches of even size, without residue, with the public schema. Dropping it drops what is below.
struct Outlet {
    inner: SendableRecordBatchStream,
    schema: SchemaRef,
    table: String,
    residue: Residue,
    rows: Option<BatchCoalescer>,
    size: usize,
    ended: bool,
    left: usize,
    learn: Option<Arc<Learn>>,
}

impl Outlet {
    fn clean(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        self.left += batch.num_rows();
        sanitise(batch, &self.schema, self.residue).map_err(|e| redact(&e, &self.table))
    }
}

impl Stream for Outlet {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(done) = self.rows.as_mut().and_then(BatchCoalescer::next_completed_batch) {
                return Poll::Ready(Some(self.clean(&done)));
            }
            if self.ended {
                if let Some(learn) = self.learn.take() {
                    learn.ended(self.left);
                }
                return Poll::Ready(None);
            }
            let next = ready!(self.inner.poll_next_unpin(cx));
            let size = self.size;
            let failed = match (next, self.rows.as_mut()) {
                (Some(Err(e)), _) => Some(e),
                (Some(Ok(batch)), _) if batch.num_rows() == 0 => None,
                (Some(Ok(batch)), Some(rows))
                    if batch.num_columns() == 0 || (rows.is_empty() && batch.num_rows() == size) =>
                {
                    return Poll::Ready(Some(self.clean(&batch)));
                }
                (Some(Ok(batch)), Some(rows)) => rows.push_batch(batch).err().map(Into::into),
                (Some(Ok(batch)), None) => return Poll::Ready(Some(self.clean(&batch))),
                (None, rows) => {
                    let last = rows.and_then(|rows| rows.finish_buffered_batch().err());
                    self.ended = true;
                    last.map(Into::into)
                }
            };
            if let Some(error) = failed {
                self.ended = true;
                self.rows = None;
                self.learn = None;
                return Poll::Ready(Some(Err(redact(&error, &self.table))));
            }
        }
    }
}

impl RecordBatchStream for Outlet {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
