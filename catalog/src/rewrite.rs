//! Changes to single rows: read with an address, taken out of their data files, put back changed. One commit or none.
//!
//! Data files are never edited: a file with changed rows is written anew without them, and the new rows go into files of
//! their own. All of it is exactly the version after the snapshot that was read, so a row can neither be changed twice nor
//! be missed because another writer came between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use deltalake_core::kernel::{Add, LogicalFileView, Remove};
use deltalake_core::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt};

use crate::append::fit;
use crate::catalog::Catalog;
use crate::crawl::unwritable;
use crate::delta::{Change, commit};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

/// What the name of the column begins with that [`addressed`] adds: which row of which data file.
pub const ROW_ADDRESS: &str = "_row_address@";
/// Low bits of an address, the row in its file: Parquet files of 10¹² rows do not exist.
const ROW_BITS: u32 = 40;

/// What a statement does to rows, for the table's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    Delete,
    Update,
    Merge,
}

/// The field of addresses, under this name.
pub fn address_field(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

/// The rows of a table, each with its address as the last column, which has this name. Addresses are those of this version
/// only.
///
/// # Errors
/// [`LakeError::Refused`] when rows of the table cannot be changed here, with the reason.
pub fn addressed(lake: &Arc<Lake>, table: &Arc<LakeTable>, name: &str) -> Result<Arc<dyn TableProvider>, LakeError> {
    if let Some(reason) = unchangeable(table)? {
        return Err(LakeError::Refused {
            table: table.name().clone(),
            reason,
        });
    }
    let mut fields: Vec<_> = table.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(address_field(name)));
    Ok(Arc::new(Addressed {
        lake: Arc::clone(lake),
        table: Arc::clone(table),
        schema: Arc::new(Schema::new(fields)),
    }))
}

/// Rows taken out of their data files by a commit that is not made yet.
pub struct TakenOut {
    name: TableName,
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// The rows taken out, whole and in the order of their addresses.
    pub rows: RecordBatch,
}

/// Writes the data files anew that hold these rows. Nothing changes before [`TakenOut::put_back`].
pub async fn take_out(lake: &Lake, table: &LakeTable, addresses: &BTreeSet<i64>) -> Result<TakenOut, LakeError> {
    let name = table.name();
    let schema = table.state()?.snapshot().arrow_schema();
    let mut done = TakenOut {
        name: name.clone(),
        adds: Vec::new(),
        removes: Vec::new(),
        rows: RecordBatch::new_empty(Arc::clone(&schema)),
    };
    let mut taken = Vec::new();
    for (at, file) in files(table)?.iter().enumerate() {
        let (first, end) = (address(at, 0), address(at + 1, 0));
        if addresses.range(first..end).next().is_none() {
            continue;
        }
        let mut kept = Vec::new();
        let mut row = first;
        for batch in parquet_file::read(lake, name, file, None).await? {
            let batch = fit(&batch, &schema).map_err(|reason| refused(name, reason))?;
            let until = row.saturating_add(i64::try_from(batch.num_rows()).unwrap_or(i64::MAX));
            let out: BooleanArray = (row..until).map(|row| Some(addresses.contains(&row))).collect();
            let stay = arrow::compute::not(&out).map_err(LakeError::arrow("filtering", name))?;
            taken.push(filter_record_batch(&batch, &out).map_err(LakeError::arrow("filtering", name))?);
            kept.push(filter_record_batch(&batch, &stay).map_err(LakeError::arrow("filtering", name))?);
            row = until;
        }
        done.removes.push(file.remove_action(true));
        match parquet_file::write(lake, name, &schema, kept).await {
            Ok(adds) => done.adds.extend(adds),
            Err(error) => {
                done.give_up(lake).await;
                return Err(error);
            }
        }
    }
    done.rows = concat_batches(&schema, &taken).map_err(LakeError::arrow("collecting rows of", name))?;
    Ok(done)
}

impl TakenOut {
    /// Commits: the rows taken out are gone, `rows` are there, and the table has these properties. `None` when another writer was faster: nothing changed.
    ///
    /// # Errors
    /// [`LakeError::Refused`] for values that do not fit the table; nothing changed then either.
    pub async fn put_back(
        mut self,
        catalog: &Catalog,
        base: &LakeTable,
        rows: &[RecordBatch],
        change: RowChange,
        properties: BTreeMap<String, String>,
    ) -> Result<Option<Arc<LakeTable>>, LakeError> {
        let lake = catalog.lake();
        let schema = base.state()?.snapshot().arrow_schema();
        let fitted = rows
            .iter()
            .map(|batch| fit(batch, &schema).map_err(|reason| refused(&self.name, reason)))
            .collect::<Result<Vec<_>, _>>();
        let written = match fitted {
            Ok(fitted) => parquet_file::write(lake, &self.name, &schema, fitted).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(adds) => self.adds.extend(adds),
            Err(error) => {
                self.give_up(lake).await;
                return Err(error);
            }
        }
        let action = Change {
            adds: self.adds.clone(),
            removes: self.removes.clone(),
            operation: Some(operation(change)),
            properties,
            ..Change::default()
        };
        match commit(lake, &self.name, Some(base), action).await {
            Ok(Some(table)) => {
                let table = Arc::new(table);
                catalog.publish(Arc::clone(&table)).await;
                Ok(Some(table))
            }
            Ok(None) => {
                self.give_up(lake).await;
                Ok(None)
            }
            // Whether it was committed is not known: the files stay.
            Err(error) => Err(error),
        }
    }

    /// Removes what was written for a change that does not happen.
    pub async fn give_up(&self, lake: &Lake) {
        parquet_file::discard(lake, &self.name, &self.adds).await;
    }
}

impl fmt::Debug for TakenOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TakenOut({} rows of {})", self.rows.num_rows(), self.name)
    }
}

fn operation(change: RowChange) -> DeltaOperation {
    // Conditions stay out of the history: they may name what its readers must not see.
    match change {
        RowChange::Delete => DeltaOperation::Delete { predicate: None },
        RowChange::Update => DeltaOperation::Update { predicate: None },
        RowChange::Merge => DeltaOperation::Merge {
            predicate: None,
            merge_predicate: None,
            matched_predicates: Vec::new(),
            not_matched_predicates: Vec::new(),
            not_matched_by_source_predicates: Vec::new(),
        },
    }
}

/// Why rows of this table cannot be changed; `None` when they can.
pub(crate) fn unchangeable(table: &LakeTable) -> Result<Option<String>, LakeError> {
    if let Some(why) = unwritable(table)? {
        return Ok(Some(why));
    }
    let set = |key: &str| table.properties().get(key).is_some_and(|value| value == "true");
    if set("delta.appendOnly") {
        return Ok(Some("it is append-only (delta.appendOnly)".to_owned()));
    }
    if set("delta.enableChangeDataFeed") {
        return Ok(Some(
            "it keeps a change data feed, which labhouse does not write".to_owned(),
        ));
    }
    if let Some(key) = table
        .properties()
        .keys()
        .find(|key| key.starts_with("delta.constraints."))
    {
        return Ok(Some(format!(
            "it has the constraint {key}, which labhouse does not check"
        )));
    }
    let computed = ["delta.generationExpression", "delta.identity.start", "delta.invariants"];
    let schema = table.schema();
    let field = schema
        .fields()
        .iter()
        .find(|field| computed.iter().any(|key| field.metadata().contains_key(*key)));
    Ok(field.map(|field| {
        format!(
            "its column {} is computed or checked by rules that labhouse does not run",
            field.name()
        )
    }))
}

fn refused(name: &TableName, reason: String) -> LakeError {
    LakeError::Refused {
        table: name.clone(),
        reason,
    }
}

/// The data files in the order of their addresses.
fn files(table: &LakeTable) -> Result<Vec<LogicalFileView>, LakeError> {
    let mut files: Vec<LogicalFileView> = table.state()?.log_data().iter().collect();
    files.sort_by_key(|file| file.path().to_string());
    Ok(files)
}

fn address(file: usize, row: usize) -> i64 {
    let file = i64::try_from(file).unwrap_or(i64::MAX >> ROW_BITS);
    (file << ROW_BITS) | i64::try_from(row).unwrap_or(0)
}

struct Addressed {
    lake: Arc<Lake>,
    table: Arc<LakeTable>,
    schema: SchemaRef,
}

impl fmt::Debug for Addressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addressed({})", self.table.name())
    }
}

#[async_trait]
impl TableProvider for Addressed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let files = files(&self.table)
            .map_err(|error| DataFusionError::External(Box::new(error)))?
            .into_iter()
            .enumerate()
            .collect::<Vec<_>>();
        let partitions = session.config().target_partitions().max(1);
        let share = files.len().div_ceil(partitions).max(1);
        let mut parts: Vec<Arc<dyn PartitionStream>> = Vec::new();
        let mut rest = files;
        while !rest.is_empty() {
            let files = rest.drain(..share.min(rest.len())).collect();
            parts.push(Arc::new(Part {
                lake: Arc::clone(&self.lake),
                name: self.table.name().clone(),
                schema: Arc::clone(&schema),
                files,
            }));
        }
        if parts.is_empty() {
            parts.push(Arc::new(Part {
                lake: Arc::clone(&self.lake),
                name: self.table.name().clone(),
                schema: Arc::clone(&schema),
                files: Vec::new(),
            }));
        }
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            parts,
            None,
            Vec::new(),
            false,
            limit,
        )?))
    }
}

/// Some data files of a table, read one after the other.
struct Part {
    lake: Arc<Lake>,
    name: TableName,
    schema: SchemaRef,
    files: Vec<(usize, LogicalFileView)>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} files of {})", self.files.len(), self.name)
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (lake, name, schema) = (Arc::clone(&self.lake), self.name.clone(), Arc::clone(&self.schema));
        let batches = futures::stream::iter(self.files.clone())
            .then(move |(at, file)| {
                let (lake, name, schema) = (Arc::clone(&lake), name.clone(), Arc::clone(&schema));
                async move {
                    let read = read(&lake, &name, &schema, at, &file).await;
                    read.map(|batches| futures::stream::iter(batches.into_iter().map(Ok)))
                        .map_err(|error| DataFusionError::External(Box::new(error)))
                }
            })
            .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The wanted columns of one data file, with addresses where they are wanted.
async fn read(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    at: usize,
    file: &LogicalFileView,
) -> Result<Vec<RecordBatch>, LakeError> {
    let wanted: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut row = address(at, 0);
    let mut out = Vec::new();
    for batch in parquet_file::read(lake, name, file, Some(wanted)).await? {
        let until = row.saturating_add(i64::try_from(batch.num_rows()).unwrap_or(i64::MAX));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match batch.column_by_name(field.name()) {
                _ if field.name().starts_with(ROW_ADDRESS) => Arc::new(Int64Array::from_iter_values(row..until)),
                Some(column) => cast(column, field.data_type()).map_err(LakeError::arrow("reading", name))?,
                None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
        out.push(batch.map_err(LakeError::arrow("reading", name))?);
        row = until;
    }
    Ok(out)
}
