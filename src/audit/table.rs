//! `lab.system.audit`: the table and what is not yet folded, as one person may read it.
//!
//! Everybody reads his own events; all of them whoever may administer the table. It is a leaf of the plan: what picks a
//! person's events runs inside, before any condition of his, and only conditions on columns that everybody sees whole
//! come inside with it. Events that another server on the same lake has not folded yet are missing.

use std::fmt;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType, col, lit,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::{StreamExt, TryStreamExt, stream};
use labhouse_policies::{Action, Principal, Tags};

use super::event::{Event, Kind};
use super::rows;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::statement::CATALOG;
use crate::system::SYSTEM;

/// The table's name.
pub(crate) const NAME: &str = "audit";
/// Columns whose conditions are evaluated inside: whole for everybody, and what questions are narrowed by.
const NARROWING: [&str; 4] = ["at", "event", "query_id", "principal"];
/// Events of the tail in one batch.
const BATCH_EVENTS: usize = 8_192;

/// The trail as `who` may read it.
pub(crate) struct AuditTable {
    engine: Weak<Engine>,
    who: Principal,
    schema: SchemaRef,
}

impl AuditTable {
    pub(crate) fn new(engine: Weak<Engine>, who: &Principal) -> Self {
        Self {
            engine,
            who: who.clone(),
            schema: rows::schema(),
        }
    }
}

#[async_trait]
impl TableProvider for AuditTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let answer = |filter: &&Expr| match narrows(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let rows = AuditRows {
            engine: self.engine.clone(),
            who: self.who.clone(),
            schema: Arc::clone(&schema),
            filters: filters.iter().filter(|filter| narrows(filter)).cloned().collect(),
        };
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, None)?;
        Ok(Arc::new(plan))
    }
}

impl fmt::Debug for AuditTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System(audit)")
    }
}

struct AuditRows {
    engine: Weak<Engine>,
    who: Principal,
    /// The columns asked for.
    schema: SchemaRef,
    filters: Vec<Expr>,
}

impl PartitionStream for AuditRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (engine, who) = (self.engine.clone(), self.who.clone());
        let (schema, filters) = (Arc::clone(&self.schema), self.filters.clone());
        let opened = async move {
            let engine = engine
                .upgrade()
                .ok_or_else(|| QueryError::Unavailable("the server is shutting down".into()).into_datafusion())?;
            let reader = Reader {
                all: sees_all(&engine, &who),
                who: who.name,
                schema,
            };
            reader.open(&engine, filters, context).await
        };
        let stream = stream::once(opened).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for AuditRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System(audit)")
    }
}

/// The newest events of one kind with these fields and no others (`at` and `event` among them), the oldest first. Those that another
/// server on the same lake has not folded yet are missing.
///
/// # Errors
/// The table cannot be read.
pub(crate) async fn events_of(
    engine: &Engine,
    kind: Kind,
    fields: &[&str],
    most: usize,
) -> Result<Vec<Event>, DataFusionError> {
    let whole = rows::schema();
    let places = fields.iter().map(|field| whole.index_of(field));
    let reader = Reader {
        who: String::new(),
        all: true,
        schema: Arc::new(whole.project(&places.collect::<Result<Vec<_>, _>>()?)?),
    };
    let wanted = col("event").eq(lit(kind.as_str()));
    let context = engine.sessions.system().task_ctx();
    let mut batches = reader.open(engine, vec![wanted], context).await?;
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        let events = rows::fields(&batch)?;
        found.extend(events.into_iter().filter(|event| event.event == kind.as_str()));
        if found.len() > 2 * most {
            keep_newest(&mut found, most);
        }
    }
    keep_newest(&mut found, most);
    Ok(found)
}

fn keep_newest(events: &mut Vec<Event>, most: usize) {
    events.sort_by_key(|event| event.at);
    events.drain(..events.len().saturating_sub(most));
}

/// Whether `who` may read everybody's events.
fn sees_all(engine: &Engine, who: &Principal) -> bool {
    let object = format!("{CATALOG}/{SYSTEM}/{NAME}");
    let policies = engine.policies.current();
    policies
        .decide(who, SYSTEM, &object, &Tags::default(), Action::Admin)
        .allowed
}

/// Reads for one statement of one person.
struct Reader {
    who: String,
    all: bool,
    schema: SchemaRef,
}

impl Reader {
    async fn open(
        self,
        engine: &Engine,
        filters: Vec<Expr>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        // Table and tail of one moment: an event is in exactly one of them.
        let (events, provider) = {
            let tail = engine.audit.shared.tail.lock();
            let events: Vec<Arc<Event>> = tail.events.iter().cloned().collect();
            (events, tail.provider.clone())
        };
        let folded = match provider {
            Some(provider) => Some(
                self.folded(engine.sessions.system(), provider, filters, context)
                    .await?,
            ),
            None => None,
        };
        let schema = Arc::clone(&self.schema);
        let mut batches = Vec::new();
        for chunk in events.chunks(BATCH_EVENTS) {
            let mine = chunk.iter().map(Arc::as_ref);
            let mine: Vec<&Event> = mine.filter(|event| self.all || self.is_own(event)).collect();
            batches.push(self.shown(mine.into_iter()));
        }
        let me = Arc::new(self);
        let folded = stream::iter(folded).flatten().map(move |batch| me.read_back(&batch?));
        let stream = folded.chain(stream::iter(batches));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    /// The rows of the table that may be shown, in the table's own types.
    async fn folded(
        &self,
        system: &Arc<SessionState>,
        provider: Arc<dyn TableProvider>,
        filters: Vec<Expr>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let mut plan = LogicalPlanBuilder::scan(NAME, provider_as_source(provider), None)?;
        if !self.all {
            plan = plan.filter(col("principal").eq(lit(self.who.as_str())))?;
        }
        for filter in filters {
            plan = plan.filter(unqualified(filter)?)?;
        }
        if self.all {
            let names = self.schema.fields().iter();
            plan = plan.project(names.map(|field| Expr::Column(Column::from_name(field.name()))))?;
        }
        let physical = system.create_physical_plan(&plan.build()?).await?;
        execute_stream(physical, context)
    }

    fn is_own(&self, event: &Event) -> bool {
        event.principal.as_deref() == Some(self.who.as_str())
    }

    /// A batch of the table as it is shown.
    fn read_back(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        if !self.all {
            let events = rows::events(batch)?;
            return self.shown(events.iter().filter(|event| self.is_own(event)));
        }
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| cast(column, field.data_type()));
        self.made(columns.collect::<Result<Vec<_>, _>>()?, batch.num_rows())
    }

    fn shown<'a>(&self, events: impl Iterator<Item = &'a Event> + Clone) -> Result<RecordBatch, DataFusionError> {
        let batch = if self.all {
            rows::batch(events)?
        } else {
            let own: Vec<Event> = events.map(rows::own).collect();
            rows::batch(own.iter())?
        };
        let columns = self
            .schema
            .fields()
            .iter()
            .filter_map(|field| batch.column_by_name(field.name()));
        self.made(columns.cloned().collect(), batch.num_rows())
    }

    /// Also a count without columns has its rows.
    fn made(&self, columns: Vec<arrow::array::ArrayRef>, count: usize) -> Result<RecordBatch, DataFusionError> {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

/// Whether a condition compares a column that everybody sees whole with a literal: it cannot fail or tell anything.
fn narrows(filter: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return false;
    };
    let compares = matches!(
        op,
        Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    );
    let column = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) => column,
        _ => return false,
    };
    compares && NARROWING.contains(&column.name.as_str())
}

fn unqualified(filter: Expr) -> Result<Expr, DataFusionError> {
    let moved = filter.transform(|part| {
        Ok(match part {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
            other => Transformed::no(other),
        })
    })?;
    Ok(moved.data)
}
