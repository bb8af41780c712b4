//! Plain appends, for tables that come from statements and from the server itself rather than from landed files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::Add;

use crate::catalog::Catalog;
use crate::delta::{Change, commit, settled};
use crate::error::LakeError;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

/// How often a commit is tried when other writers win: with eight writers on one table, one of them succeeds in each round.
pub(crate) const ATTEMPTS_MAX: usize = 20;

/// Appends rows to a table, and makes the table when there is none. Columns are matched by name: one the table lacks is
/// refused, one the rows lack is null. The catalog's snapshot holds the new version when this returns.
///
/// # Errors
/// [`LakeError::Refused`] for columns or values that do not fit, [`LakeError::Busy`] when other writers keep winning.
pub async fn append(
    catalog: &Catalog,
    name: &TableName,
    batches: Vec<RecordBatch>,
) -> Result<Arc<LakeTable>, LakeError> {
    let given = schema_of(name, &batches)?;
    create_or_append(catalog, name, &given, batches, Some(&|_| BTreeMap::new())).await
}

/// Properties that a table gets with rows that come to it, worked out anew for each version that they may come to.
pub type Noted<'a> = dyn Fn(&LakeTable) -> BTreeMap<String, String> + Send + Sync + 'a;

/// As [`append`], to a table that is there; properties of it are set by the same commit.
///
/// # Errors
/// See [`append`].
pub async fn append_noting(
    catalog: &Catalog,
    name: &TableName,
    batches: Vec<RecordBatch>,
    noted: &Noted<'_>,
) -> Result<Arc<LakeTable>, LakeError> {
    let given = schema_of(name, &batches)?;
    create_or_append(catalog, name, &given, batches, Some(noted)).await
}

fn schema_of(name: &TableName, batches: &[RecordBatch]) -> Result<SchemaRef, LakeError> {
    batches
        .first()
        .map(RecordBatch::schema)
        .ok_or_else(|| LakeError::Refused {
            table: name.clone(),
            reason: "no batch was given, so there is no schema; pass at least an empty one".to_owned(),
        })
}

/// Makes an empty or filled table; refused when it is there already.
///
/// # Errors
/// [`LakeError::Refused`] when the table exists or a column's type has no place in Delta.
pub async fn create(
    catalog: &Catalog,
    name: &TableName,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Arc<LakeTable>, LakeError> {
    create_or_append(catalog, name, schema, batches, None).await
}

/// Appends when there is something to be noted of a table that is there; without, it must not be there.
async fn create_or_append(
    catalog: &Catalog,
    name: &TableName,
    given: &SchemaRef,
    batches: Vec<RecordBatch>,
    noted: Option<&Noted<'_>>,
) -> Result<Arc<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    let lake = catalog.lake();
    // Data files hang on no version, so they are written once, and before it is this writer's turn.
    let (mut files, mut turn): (Option<(SchemaRef, Vec<Add>)>, _) = (None, None);
    let appended = async {
        for _ in 0..ATTEMPTS_MAX {
            let base = catalog.latest(name).await?;
            if base.as_ref().is_some_and(|table| table.is_dropped()) {
                return Err(refused(
                    "it was dropped; UNDROP TABLE brings it back, CREATE TABLE … AS makes it anew".to_owned(),
                ));
            }
            if base.is_some() && noted.is_none() {
                return Err(refused(
                    "it exists already; choose another name or DROP it first".to_owned(),
                ));
            }
            let schema = match &base {
                Some(table) => table.state()?.snapshot().arrow_schema(),
                None => settled(&storable(given)).map_err(refused)?,
            };
            if let Some(field) = given
                .fields()
                .iter()
                .find(|f| schema.field_with_name(f.name()).is_err())
            {
                return Err(refused(format!("it has no column '{}'", field.name())));
            }
            let adds = match files.take() {
                Some((of, adds)) if of == schema => adds,
                outdated => {
                    files = outdated;
                    let fitted = batches
                        .iter()
                        .map(|b| fit(b, &schema).map_err(refused))
                        .collect::<Result<Vec<_>, _>>()?;
                    let adds = parquet_file::write(lake, name, &schema, fitted).await?;
                    if let Some((_, outdated)) = files.take() {
                        parquet_file::discard(lake, name, &outdated).await;
                    }
                    adds
                }
            };
            if turn.is_none() {
                let (own, has_waited) = catalog.turn(name).await;
                turn = Some(own);
                if has_waited {
                    files = Some((schema, adds));
                    continue;
                }
            }
            let change = Change {
                adds: adds.clone(),
                schema: base.is_none().then(|| Arc::clone(&schema)),
                properties: base
                    .as_deref()
                    .zip(noted)
                    .map(|(base, noted)| noted(base))
                    .unwrap_or_default(),
                ..Change::default()
            };
            // After an error nobody knows whether it was committed: the files stay.
            if let Some(table) = commit(lake, name, base.as_deref(), change).await? {
                let table = Arc::new(table);
                catalog.publish(Arc::clone(&table)).await;
                return Ok(table);
            }
            files = Some((schema, adds));
        }
        Err(LakeError::Busy {
            table: name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }
    .await;
    if let Some((_, left)) = files {
        parquet_file::discard(lake, name, &left).await;
    }
    appended
}

/// The nearest types Delta can keep: views and large text become plain, unsigned and narrow numbers become wider ones.
pub(crate) fn storable(schema: &Schema) -> Schema {
    fn of(data_type: &DataType) -> DataType {
        match data_type {
            DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::UInt64 => DataType::Int64,
            DataType::Float16 => DataType::Float32,
            DataType::Date64 => DataType::Date32,
            DataType::Timestamp(_, zone) => DataType::Timestamp(
                arrow::datatypes::TimeUnit::Microsecond,
                zone.as_ref().map(|_| "UTC".into()),
            ),
            DataType::Dictionary(_, value) => of(value),
            DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) => {
                DataType::List(Arc::new(field.as_ref().clone().with_data_type(of(field.data_type()))))
            }
            DataType::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|f| Arc::new(f.as_ref().clone().with_data_type(of(f.data_type()))))
                    .collect(),
            ),
            other => other.clone(),
        }
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_data_type(of(f.data_type())).with_nullable(true))
        .collect();
    Schema::new(fields)
}

pub(crate) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    // A value that does not fit is an error, never silently null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match batch.column_by_name(field.name()) {
            Some(array) => cast_with_options(array, field.data_type(), &options).map_err(|e| {
                format!(
                    "column '{}' does not fit its type {}: {e}",
                    field.name(),
                    field.data_type()
                )
            })?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        columns.push(column);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| e.to_string())
}
