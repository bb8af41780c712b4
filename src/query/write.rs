//! Statements that change something: each only with its grant, each one commit or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Query;
use futures::StreamExt;
use labhouse_catalog::{LakeError, LakeTable, OnlyIf, TableName};
use labhouse_policies::{Action, TableObject, Tags};

use super::lineage::{self, Lineage, Origin, Roots, origins};
use super::statement::{Statement, as_engine_statement};
use super::{QueryError, Running, bind, errors, literal, logical, narrow, physical, scans, shown, tags};
use crate::engine::Engine;
use crate::pipelines;
use crate::session::{Governed, Library, table_object, table_path};
use crate::system::SYSTEM;

const COUNT: &str = "count";

/// The rows of a query read for a write, and what they came from.
pub(crate) struct Source {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// Versions of the tables read, by `schema.table`.
    pub(crate) versions: BTreeMap<String, u64>,
    /// Tags that what is made of the rows inherits, see `tags`.
    pub(crate) tags: Tags,
    pub(crate) lineage: Lineage,
    /// What the rows take of the memory that all statements share.
    pub(crate) memory: MemoryReservation,
}

/// The rows of a query, in wire types.
pub(crate) struct Collected {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// The tables it reads, in its plan or through a function, with the versions that are read.
    pub(super) read: Vec<(Arc<LakeTable>, u64)>,
    /// Where the values of each column come from.
    pub(super) origins: Vec<BTreeSet<Origin>>,
    /// What the rows take of the memory that all statements share.
    memory: MemoryReservation,
}

impl Collected {
    /// The same, with names of tables and columns as they are today, in the order of the columns.
    pub(super) fn roots(&self, governed: &Governed) -> Vec<Roots> {
        lineage::roots(governed, &self.read, &self.origins)
    }

    /// What the rows were made of, for a table whose columns of these names they fill.
    pub(super) fn lineage(&self, governed: &Governed, names: &[String]) -> Lineage {
        let roots = self.roots(governed);
        let columns = names.iter().zip(&roots);
        Lineage::new(
            &self.read,
            columns.filter(|(name, _)| !name.starts_with(labhouse_catalog::ROW_ADDRESS)),
        )
    }
}

impl Engine {
    pub(super) async fn write(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: Statement,
        parameters: Vec<ScalarValue>,
        sql: &str,
    ) -> Result<i64, QueryError> {
        match statement {
            Statement::Read(_) | Statement::ExplainPolicy(_) | Statement::CancelQuery(_) => {
                Err(QueryError::internal("a read came to the writing side"))
            }
            Statement::CreateModel(model) => self.create_model(governed, state, model, parameters, sql).await,
            Statement::SetModelVersion { name, version } => self.set_model_version(governed, &name, version).await,
            Statement::SetModelFunction { name, function } => self.set_model_function(governed, &name, function).await,
            Statement::DropModel { name, if_exists } => self.drop_model(governed, &name, if_exists).await,
            Statement::CreateTableAs {
                name,
                query,
                or_replace,
                if_not_exists,
            } => {
                self.create_table(governed, state, name, query, parameters, or_replace, if_not_exists)
                    .await
            }
            Statement::Insert { name, columns, query } => {
                self.insert(governed, state, name, columns, query, parameters).await
            }
            Statement::Change(change) => self.change(governed, change, parameters).await,
            Statement::Upkeep(upkeep) => self.upkeep(governed, upkeep).await,
            Statement::View(view) => self.view(governed, state, view, parameters).await,
            Statement::Library(_) if !parameters.is_empty() => Err(QueryError::Invalid(
                "a virtual library's queries have no parameters".into(),
            )),
            Statement::Library(library) => self.library(governed, library).await,
            Statement::Alert(alert) => self.alert(governed, state, alert).await,
            Statement::Quarantine(quarantine) => self.quarantine(governed, quarantine).await,
            Statement::SetTags { table, column, tags } => self.set_tags(governed, &table, column, &tags).await,
        }
    }

    /// Runs a query as its author and keeps the rows, at most `limits.write_rows`.
    pub(crate) async fn collect(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        query: Box<Query>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Collected, QueryError> {
        let (mut statement, view) = (as_engine_statement(query), Arc::clone(governed));
        literal::written_out(&mut statement, &parameters)?;
        let (physical, state, mut read, origins) = self
            .planning(governed, move || async move {
                let plan = bind(logical(&state, statement).await?, parameters)?;
                tags::refuse_untold(&plan)?;
                let physical = physical(&view, &state, &plan).await?;
                let origins = origins(&plan).map_err(errors::from_datafusion)?;
                Ok((physical, state, tables_read(&view, &plan)?, origins))
            })
            .await?;
        governed.notes().pause(true);
        let collected = self.rows(physical, state).await;
        governed.notes().pause(false);
        read.extend(governed.given_tables());
        let (schema, batches, memory) = collected?;
        Ok(Collected {
            schema,
            batches,
            read,
            origins,
            memory,
        })
    }

    /// Runs a plan and keeps its rows, in wire types, with what they take of the memory that all statements share.
    pub(crate) async fn rows(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        state: Arc<SessionState>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>, MemoryReservation), QueryError> {
        let schema = narrow::narrow_schema(&physical.schema());
        let memory = MemoryConsumer::new("rows of a write").register(&state.runtime_env().memory_pool);
        let mut stream = self
            .runner
            .start(physical, state.task_ctx(), None)
            .map_err(errors::from_datafusion)?;
        let (mut batches, mut rows) = (Vec::new(), 0_usize);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(errors::from_datafusion)?;
            rows += batch.num_rows();
            if rows > self.config.limits.write_rows {
                return Err(QueryError::Exhausted(format!(
                    "the statement is about more than {} rows (limits.write_rows); filter or aggregate, or do it in parts",
                    self.config.limits.write_rows
                )));
            }
            let batch = narrow::narrow_batch(&batch, &schema).map_err(|error| errors::from_datafusion(error.into()))?;
            memory.try_grow(bytes(&batch)).map_err(errors::from_datafusion)?;
            batches.push(batch);
        }
        Ok((schema, batches, memory))
    }

    /// The rows of a query with what a table or model made of them must know.
    pub(crate) async fn source(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        query: Box<Query>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Source, QueryError> {
        let collected = self.collect(governed, state, query, parameters).await?;
        let roots = collected.roots(governed);
        let Collected {
            schema,
            batches,
            read,
            memory,
            ..
        } = collected;
        let lineage = Lineage::new(&read, schema.fields().iter().map(|field| field.name()).zip(&roots));
        let tables = read.iter().map(|(table, _)| governed.world().object(table));
        let objects: Vec<TableObject> = tables.chain(governed.given_models()).collect();
        let (schema, tags) = tags::inherit(&schema, &objects, &roots);
        Ok(Source {
            schema,
            batches,
            versions: lineage.sources.clone(),
            tags,
            lineage,
            memory,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one statement")]
    async fn create_table(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        name: TableName,
        query: Box<Query>,
        parameters: Vec<ScalarValue>,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<i64, QueryError> {
        if !self.may_create(governed, &name, or_replace, if_not_exists)? {
            return Ok(0);
        }
        let source = self.source(governed, state, query, parameters).await?;
        let plain = source.lineage.property().into_iter().collect();
        self.fill(
            governed,
            &name,
            source.schema,
            source.batches,
            &source.tags,
            plain,
            None,
        )
        .await
    }

    /// Whether a table is to be made: an error when it may not be, no when it is there and that is well.
    pub(crate) fn may_create(
        &self,
        governed: &Governed,
        name: &TableName,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<bool, QueryError> {
        reserved(name)?;
        let existing = governed.world().catalog.table(&name.schema, &name.table);
        let (department, tags, action) = match existing {
            Some(table) => {
                let object = governed.world().object(table);
                (object.department, object.tags, Action::Drop)
            }
            None => (name.schema.clone(), Tags::default(), Action::Create),
        };
        for action in [Action::Create, action] {
            require(governed, &department, &table_path(name), &tags, action)?;
        }
        match existing {
            None => Ok(true),
            Some(_) if or_replace => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(_) => Err(QueryError::Exists(format!(
                "{name} is there already; write CREATE OR REPLACE TABLE"
            ))),
        }
    }

    /// Makes the table of these rows, with these tags and other properties; gives the number of rows.
    #[expect(clippy::too_many_arguments, reason = "the parts of one table")]
    pub(crate) async fn fill(
        &self,
        governed: &Governed,
        name: &TableName,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        tags: &Tags,
        mut properties: BTreeMap<String, String>,
        only_if: Option<OnlyIf<'_>>,
    ) -> Result<i64, QueryError> {
        refuse_unnamed(&schema)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let snapshot = self.catalog.snapshot();
        let existing = snapshot.table(&name.schema, &name.table);
        // What was true of the rows before is not of these.
        let outdated = existing.iter().flat_map(|table| {
            let lineage = Lineage::of(table).map(|_| (lineage::PROPERTY.to_owned(), String::new()));
            let made = [pipelines::no_view(table), Library::none(table)];
            made.into_iter().flatten().chain(lineage)
        });
        for (key, value) in outdated {
            properties.entry(key).or_insert(value);
        }
        properties.extend(tags::properties(tags));
        if only_if.is_none() {
            // One that is made again has the columns that it was made with.
            // Of one that was dropped department and tags stay as well.
            let replaced = snapshot.known(name).map(AsRef::as_ref);
            shown::refuse_altered(governed, name, replaced, &schema, tags)?;
        }
        governed.decided().await?;
        let made = labhouse_catalog::replace(&self.catalog, name, schema, batches, properties, only_if).await;
        governed.wrote(made.map_err(lake_error)?.version());
        count(rows)
    }

    async fn set_tags(
        &self,
        governed: &Governed,
        name: &TableName,
        column: Option<String>,
        tags: &BTreeMap<String, String>,
    ) -> Result<i64, QueryError> {
        let missing = || QueryError::no_table(name);
        let table = governed
            .world()
            .catalog
            .table(&name.schema, &name.table)
            .ok_or_else(missing)?;
        if governed
            .access(&name.schema, &name.table)
            .map_err(errors::from_datafusion)?
            .is_none()
        {
            return Err(missing());
        }
        let (object, present) = (table_object(table), governed.world().object(table));
        require(
            governed,
            &object.department,
            &table_path(name),
            &present.tags,
            Action::Admin,
        )?;
        if let Some(column) = &column
            && table.schema().column_with_name(column).is_none()
        {
            return Err(QueryError::NotFound(format!("{name} has no column {column}")));
        }
        let properties = tags::properties(tags);
        let old = match &column {
            None => object.tags.clone(),
            Some(column) => object.column_tags.get(column).cloned().unwrap_or_default(),
        };
        let old: BTreeMap<_, _> = old.into_iter().filter(|(key, _)| tags.contains_key(key)).collect();
        governed
            .notes()
            .detail(&serde_json::json!({"column": column, "old": old, "new": tags}));
        governed.decided().await?;
        let changed = labhouse_catalog::set_properties(&self.catalog, name, column.as_deref(), &properties).await;
        governed.wrote(changed.map_err(lake_error)?.version());
        Ok(0)
    }
}

/// What a client hears when the lake refuses a write.
pub(crate) fn lake_error(error: LakeError) -> QueryError {
    match error {
        LakeError::Refused { .. } => QueryError::Invalid(error.to_string()),
        LakeError::NotQuarantined { .. } => QueryError::NotFound(error.to_string()),
        LakeError::Busy { .. } | LakeError::Overtaken { .. } => QueryError::Conflict(error.to_string()),
        other => {
            tracing::error!(error = %other, "the lake");
            QueryError::Unavailable(
                "the lake's storage did not take the change; try again, and tell the administrator".into(),
            )
        }
    }
}

/// An error unless `governed`'s principal holds the grant.
pub(crate) fn require(
    governed: &Governed,
    department: &str,
    object: &str,
    tags: &Tags,
    action: Action,
) -> Result<(), QueryError> {
    let decision = governed.decide(department, object, tags, action);
    governed.notes().decided(action, object, &decision);
    if decision.allowed {
        return Ok(());
    }
    Err(QueryError::Denied(format!(
        "{} may not {} {object}; a grant in policy.csv for department {department} would allow it",
        governed.who().name,
        action.as_str()
    )))
}

pub(super) fn count_schema() -> SchemaRef {
    narrow::result_schema(&Schema::new(vec![Field::new(COUNT, DataType::Int64, true)]))
}

pub(super) fn count_stream(count: i64) -> Running {
    let schema = count_schema();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![count]));
    let batches = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .into_iter()
        .collect();
    let stream: SendableRecordBatchStream = match MemoryStream::try_new(batches, Arc::clone(&schema), None) {
        Ok(stream) => Box::pin(stream),
        Err(error) => {
            let failed = futures::stream::once(async move { Err(error) });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), failed))
        }
    };
    Running {
        is_count: true,
        ..Running::within(schema, stream)
    }
}

/// The count of a finished write; −1 for a read, which changes nothing and is run to its end.
pub(super) async fn read_count(mut running: Running) -> Result<i64, QueryError> {
    let mut count = None;
    while let Some(batch) = running.stream.next().await {
        let batch = batch.map_err(errors::from_datafusion)?;
        let column = batch.columns().first().filter(|_| running.is_count);
        let column = column.and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        count = count.or_else(|| column.and_then(|column| column.iter().next().flatten()));
    }
    Ok(count.unwrap_or(-1))
}

/// The tables a plan reads, as they are today, with the versions that are read.
fn tables_read(governed: &Governed, plan: &LogicalPlan) -> Result<Vec<(Arc<LakeTable>, u64)>, QueryError> {
    let mut read = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let scans::Of::Table(schema, table) = scans::of(scan)
        {
            read.extend(governed.read(schema, table));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(errors::from_datafusion)?;
    Ok(read)
}

/// Bytes of a batch's own rows; arrays that are parts of larger ones do not count those.
fn bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    let of_column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    columns.map(of_column).sum()
}

pub(super) fn reserved(name: &TableName) -> Result<(), QueryError> {
    if [SYSTEM, "information_schema"].contains(&name.schema.as_str()) {
        return Err(QueryError::Denied(format!(
            "the schema {} is the server's own",
            name.schema
        )));
    }
    Ok(())
}

fn refuse_unnamed(schema: &Schema) -> Result<(), QueryError> {
    // Nobody could read it, nor make another in its place.
    if schema.fields().is_empty() {
        return Err(QueryError::Invalid(
            "a table has at least one column, and none came".into(),
        ));
    }
    let mut seen = std::collections::BTreeSet::new();
    for field in schema.fields() {
        let name = field.name();
        // A leading underscore marks the crawler's own columns, which `SELECT *` brings along.
        let plain = name.trim_start_matches('_');
        if TableName::clean(plain) != plain {
            return Err(QueryError::Invalid(format!(
                "`{name}` cannot be a column's name: give it one with AS, of a-z, 0-9 and _"
            )));
        }
        if !seen.insert(name) {
            return Err(QueryError::Invalid(format!(
                "two columns are named {name}: rename one with AS"
            )));
        }
        if field.data_type() == &DataType::Null {
            return Err(QueryError::Invalid(format!(
                "column {name} has no type: CAST(NULL AS …) gives it one"
            )));
        }
    }
    Ok(())
}

pub(super) fn count(rows: usize) -> Result<i64, QueryError> {
    i64::try_from(rows).map_err(QueryError::internal)
}
