//! Changes that statements make to a whole table: other contents, other properties. Each is one commit or none.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::LogicalFileView;

use crate::append::{ATTEMPTS_MAX, fit, storable};
use crate::catalog::Catalog;
use crate::delta::{BEGINS, CRAWL_APP, Change, DROPPED, commit, settled};
use crate::error::LakeError;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

/// A property that must still have the value it was seen with.
#[derive(Debug)]
pub struct OnlyIf<'a> {
    pub key: &'a str,
    pub value: String,
}

/// Makes a table of these rows, or gives an existing one these columns and rows instead of its own, in one commit.
/// `properties` are set, the table's others stay. Older versions keep what they held.
///
/// # Errors
/// [`LakeError::Refused`] for types Delta has not, and for a table that landed files fill: a replay of their ledger must
/// find their rows. [`LakeError::Overtaken`] when it is not as `only_if` saw it. [`LakeError::Busy`] when other writers keep
/// winning.
pub async fn replace(
    catalog: &Catalog,
    name: &TableName,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    properties: BTreeMap<String, String>,
    only_if: Option<OnlyIf<'_>>,
) -> Result<Arc<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    let lake = catalog.lake();
    let schema = settled(&storable(&schema)).map_err(refused)?;
    let batches = batches
        .iter()
        .map(|batch| fit(batch, &schema).map_err(refused))
        .collect::<Result<Vec<_>, _>>()?;
    let adds = parquet_file::write(lake, name, &schema, batches).await?;
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog.latest(name).await?;
        let is_as_seen = |only_if: &OnlyIf<'_>| {
            let table = base.as_ref().filter(|table| !table.is_dropped());
            table.is_some_and(|table| table.properties().get(only_if.key) == Some(&only_if.value))
        };
        if !only_if.as_ref().is_none_or(is_as_seen) {
            parquet_file::discard(lake, name, &adds).await;
            return Err(LakeError::Overtaken { table: name.clone() });
        }
        let removes = match &base {
            Some(table) if is_crawled(table).await? => {
                parquet_file::discard(lake, name, &adds).await;
                return Err(refused(
                    "landed files fill it; choose another name for the new table".to_owned(),
                ));
            }
            Some(table) => table
                .state()?
                .log_data()
                .iter()
                .map(|file: LogicalFileView| file.remove_action(true))
                .collect(),
            None => Vec::new(),
        };
        let change = Change {
            adds: adds.clone(),
            removes,
            schema: Some(Arc::clone(&schema)),
            properties: match &base {
                Some(table) if only_if.is_none() => anew(table, properties.clone()),
                Some(table) => shown(table, properties.clone()),
                None => properties.clone(),
            },
            ..Change::default()
        };
        if let Some(table) = commit(lake, name, base.as_deref(), change).await? {
            let table = Arc::new(table);
            catalog.publish(Arc::clone(&table)).await;
            return Ok(table);
        }
    }
    parquet_file::discard(lake, name, &adds).await;
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// Appends rows to a table and sets properties of it in the same commit. Columns are matched by name.
///
/// # Errors
/// [`LakeError::Refused`] when the table is not there or the rows do not fit, [`LakeError::Overtaken`] when it is not as `only_if`
/// saw it, [`LakeError::Busy`] when other writers keep winning.
pub async fn grow(
    catalog: &Catalog,
    name: &TableName,
    batches: Vec<RecordBatch>,
    properties: BTreeMap<String, String>,
    only_if: OnlyIf<'_>,
) -> Result<Arc<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    let lake = catalog.lake();
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog.latest(name).await?;
        let base = base.ok_or_else(|| refused("it is not there".to_owned()))?;
        if base.is_dropped() || base.properties().get(only_if.key) != Some(&only_if.value) {
            return Err(LakeError::Overtaken { table: name.clone() });
        }
        let schema = base.state()?.snapshot().arrow_schema();
        let fitted = batches
            .iter()
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| fit(batch, &schema).map_err(refused))
            .collect::<Result<Vec<_>, _>>()?;
        let adds = match fitted.is_empty() {
            true => Vec::new(),
            false => parquet_file::write(lake, name, &schema, fitted).await?,
        };
        let written = adds.clone();
        let change = Change {
            adds,
            properties: properties.clone(),
            ..Change::default()
        };
        if let Some(table) = commit(lake, name, Some(&base), change).await? {
            let table = Arc::new(table);
            catalog.publish(Arc::clone(&table)).await;
            return Ok(table);
        }
        parquet_file::discard(lake, name, &written).await;
    }
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// Sets properties of a table, or of one of its columns, in a commit without data.
///
/// # Errors
/// [`LakeError::Refused`] when the table or column is not there, [`LakeError::Busy`] when other writers keep winning.
pub async fn set_properties(
    catalog: &Catalog,
    name: &TableName,
    column: Option<&str>,
    properties: &BTreeMap<String, String>,
) -> Result<Arc<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog
            .latest(name)
            .await?
            .ok_or_else(|| refused("it is not there".to_owned()))?;
        let change = match column {
            None => Change {
                properties: properties.clone(),
                ..Change::default()
            },
            Some(column) => {
                let schema = base.state()?.snapshot().arrow_schema();
                let schema = described(&schema, column, properties)
                    .ok_or_else(|| refused(format!("it has no column '{column}'")))?;
                Change {
                    schema: Some(schema),
                    ..Change::default()
                }
            }
        };
        if let Some(table) = commit(catalog.lake(), name, Some(&base), change).await? {
            let table = Arc::new(table);
            catalog.publish(Arc::clone(&table)).await;
            return Ok(table);
        }
    }
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// The properties with which a table that was dropped is there again.
pub(crate) fn shown(table: &LakeTable, mut properties: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if table.is_dropped() {
        properties.insert(DROPPED.to_owned(), false.to_string());
    }
    properties
}

/// The properties with which another table begins in the place of one that is or was there.
pub(crate) fn anew(table: &LakeTable, mut properties: BTreeMap<String, String>) -> BTreeMap<String, String> {
    properties.insert(BEGINS.to_owned(), (table.version() + 1).to_string());
    shown(table, properties)
}

/// The schema with more words on one column; none when there is no such column.
fn described(schema: &Schema, column: &str, properties: &BTreeMap<String, String>) -> Option<SchemaRef> {
    schema.column_with_name(column)?;
    let fields = schema.fields().iter().map(|field| {
        if field.name() != column {
            return Arc::clone(field);
        }
        let mut words = field.metadata().clone();
        words.extend(properties.iter().map(|(key, value)| (key.clone(), value.clone())));
        Arc::new(field.as_ref().clone().with_metadata(words))
    });
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Whether landed files were committed to it.
async fn is_crawled(table: &LakeTable) -> Result<bool, LakeError> {
    let log = table.delta().log_store();
    let batch = table.state()?.transaction_version(log.as_ref(), CRAWL_APP).await;
    batch
        .map(|batch| batch.is_some())
        .map_err(LakeError::delta("reading the batch number of", table.name()))
}
