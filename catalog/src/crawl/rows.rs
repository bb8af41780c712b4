//! Rows on their way into a table, and out of it: both as data files of a commit that is not made yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, Scalar, StringArray, TimestampMicrosecondArray};
use arrow::array::{AsArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono::{DateTime, Utc};
use deltalake_core::kernel::{Add, LogicalFileView, Remove};

use crate::error::LakeError;
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;

use super::columns::Prepared;
use super::folder_columns::{FolderColumn, refilled};
use super::folders::{FOLDER_KEY, said_of};
use super::shape::{INGESTED_AT, SOURCE_FILE, SOURCE_ROW};
use super::types::cast_exact;

/// A file's rows as rows of its table: cast to `schema`, with the columns that say where they are from.
pub(crate) fn with_source(
    rows: &Prepared,
    path: &str,
    at: DateTime<Utc>,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, String> {
    let mut out = Vec::with_capacity(rows.batches.len());
    let mut before = 0u64;
    for (arrays, count) in rows.batches.iter().zip(&rows.batch_rows) {
        let rows = (rows.fields.as_slice(), arrays.as_slice(), &rows.folder_texts);
        out.push(sourced(schema, rows, *count, before, (path, at))?);
        before = before.saturating_add(*count as u64);
    }
    Ok(out)
}

/// The same for some rows of a file, of which `before` come before them.
pub(crate) fn sourced(
    schema: &SchemaRef,
    (fields, arrays, folder_texts): (&[Field], &[ArrayRef], &HashMap<String, String>),
    count: usize,
    before: u64,
    (path, at): (&str, DateTime<Utc>),
) -> Result<RecordBatch, String> {
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let until = before.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let own = fields.iter().position(|f| f.name() == field.name());
        columns.push(match (field.name().as_str(), own.and_then(|i| arrays.get(i))) {
            (SOURCE_FILE, _) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(path, count))),
            (SOURCE_ROW, _) => Arc::new(Int64Array::from_iter_values(before + 1..=until)),
            (INGESTED_AT, _) => {
                let times = std::iter::repeat_n(at.timestamp_micros(), count);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            // The folder's name as it is: `03` and not the number that it was taken for.
            (name, Some(array)) if array.data_type() != field.data_type() && folder_texts.contains_key(name) => {
                match (field.data_type(), folder_texts.get(name)) {
                    (DataType::Utf8, Some(text)) => {
                        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
                    }
                    (to, _) => cast_exact(array, to)?,
                }
            }
            (_, Some(array)) => cast_exact(array, field.data_type())?,
            (_, None) => new_null_array(field.data_type(), count),
        });
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| e.to_string())
}

/// The part of a commit that takes rows away or gives them another type.
#[derive(Default)]
pub(crate) struct Rewritten {
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
}

/// Landed files whose rows leave a table, or are of another path from now on.
#[derive(Default)]
pub(crate) struct Leaving {
    pub(crate) gone: BTreeSet<String>,
    pub(crate) renamed: BTreeMap<String, Renamed>,
}

/// The path that a file has now.
#[derive(Clone, Debug)]
pub(crate) struct Renamed {
    pub(crate) to: String,
    /// What its folders say now, by column.
    pub(crate) folders: Vec<(String, FolderColumn)>,
}

/// Takes out the rows of landed files that are gone, and gives others their file's new path. With `rewrite` every data file is
/// written anew in `schema`; without, only those with such rows, and a data file that holds nothing else is just dropped.
pub(crate) async fn without(
    lake: &Lake,
    table: &LakeTable,
    leaving: &Leaving,
    schema: &SchemaRef,
    rewrite: bool,
) -> Result<Rewritten, LakeError> {
    let mut done = Rewritten::default();
    if leaving.gone.is_empty() && leaving.renamed.is_empty() && !rewrite {
        return Ok(done);
    }
    let name = table.name();
    let files: Vec<LogicalFileView> = table.state()?.log_data().iter().collect();
    for file in files.iter().filter(|f| rewrite || may_hold(f, leaving)) {
        let batches = parquet_file::read(lake, name, file, None).await?;
        let before: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let mut kept = Vec::with_capacity(batches.len());
        let mut renamed = false;
        for batch in &batches {
            let rest = keep(batch, &leaving.gone).map_err(LakeError::arrow("filtering", name))?;
            let named = rename(&rest, &leaving.renamed, schema).map_err(LakeError::arrow("renaming", name))?;
            renamed |= named.is_some();
            kept.push(named.unwrap_or(rest));
        }
        let after: usize = kept.iter().map(RecordBatch::num_rows).sum();
        if after == before && !renamed && !rewrite {
            continue;
        }
        done.removes.push(file.remove_action(true));
        let fitted = kept
            .iter()
            .map(|b| {
                fitted(b, schema).map_err(|reason| LakeError::Refused {
                    table: name.clone(),
                    reason,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        done.adds.extend(parquet_file::write(lake, name, schema, fitted).await?);
    }
    Ok(done)
}

/// Why the crawler must not write into this table; `None` when it may.
pub(crate) fn unwritable(table: &LakeTable) -> Result<Option<String>, LakeError> {
    let state = table.state()?;
    if let Some(why) = crate::scan::needs_delta_reader(state) {
        return Ok(Some(format!(
            "the table {} was made by another tool and uses {why}",
            table.name()
        )));
    }
    if !state.metadata().partition_columns().is_empty() {
        return Ok(Some(format!(
            "the table {} was made by another tool and is partitioned",
            table.name()
        )));
    }
    Ok(None)
}

/// By its statistics: could the data file hold rows of one of these landed files?
fn may_hold(file: &LogicalFileView, leaving: &Leaving) -> bool {
    let Some(stats) = file
        .stats()
        .and_then(|s| serde_json::from_str::<serde_json::Value>(&s).ok())
    else {
        return true;
    };
    let bound = |kind: &str| stats.get(kind)?.get(SOURCE_FILE)?.as_str().map(str::to_owned);
    let (low, high) = (bound("minValues"), bound("maxValues"));
    let mut paths = leaving.gone.iter().chain(leaving.renamed.keys());
    paths.any(|path| low.as_ref().is_none_or(|l| l <= path) && high.as_ref().is_none_or(|h| path <= h))
}

fn keep(batch: &RecordBatch, gone: &BTreeSet<String>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let Some(source) = batch.column_by_name(SOURCE_FILE) else {
        return Ok(batch.clone());
    };
    let source = cast(source, &DataType::Utf8)?;
    let mask: BooleanArray = source
        .as_string::<i32>()
        .iter()
        .map(|path| Some(path.is_none_or(|p| !gone.contains(p))))
        .collect();
    filter_record_batch(batch, &mask)
}

/// The same rows with the new paths of renamed files, and what their folders say; none when no row is of such a file.
fn rename(
    batch: &RecordBatch,
    renamed: &BTreeMap<String, Renamed>,
    of_table: &SchemaRef,
) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
    let Some(source) = batch.column_by_name(SOURCE_FILE).filter(|_| !renamed.is_empty()) else {
        return Ok(None);
    };
    let source = cast(source, &DataType::Utf8)?;
    let source = source.as_string::<i32>();
    let new = |path: &str| renamed.get(path).map_or(path, |renamed| renamed.to.as_str()).to_owned();
    let paths: StringArray = source.iter().map(|path| path.map(new)).collect();
    let mut columns = batch.columns().to_vec();
    let schema = batch.schema();
    let mut any = false;
    for (old, renamed) in renamed {
        let mask: BooleanArray = source.iter().map(|path| Some(path == Some(old.as_str()))).collect();
        if mask.true_count() == 0 {
            continue;
        }
        any = true;
        let before = folder(old);
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            let is_folders = of_table
                .field_with_name(field.name())
                .is_ok_and(|field| field.metadata().contains_key(FOLDER_KEY));
            if !is_folders || before == folder(&renamed.to) {
                continue;
            }
            let said = renamed.folders.iter().find(|(name, _)| name == field.name());
            let value = match said {
                Some((_, said)) => match (said.text(), field.data_type()) {
                    (Some(text), DataType::Utf8) => Arc::new(StringArray::from(vec![text])) as ArrayRef,
                    _ => cast(&said.array(1), column.data_type())?,
                },
                // The folders of before said it, those of now do not.
                None if said_of(old, field.name()).is_some() => new_null_array(column.data_type(), 1),
                None => continue,
            };
            let value = cast(&value, column.data_type())?;
            *column = zip(&mask, &Scalar::new(value), &column.as_ref())?;
        }
    }
    if !any {
        return Ok(None);
    }
    if let Ok(at) = schema.index_of(SOURCE_FILE)
        && let Some(column) = columns.get_mut(at)
    {
        *column = cast(&paths, column.data_type())?;
    }
    RecordBatch::try_new(schema, columns).map(Some)
}

/// The folder of a path.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    let sources = batch
        .column_by_name(SOURCE_FILE)
        .map(|array| cast(array, &DataType::Utf8));
    let sources = sources.transpose().map_err(|e| e.to_string())?;
    for field in schema.fields() {
        let old = batch.column_by_name(field.name());
        if field.metadata().contains_key(FOLDER_KEY)
            && let Some(sources) = &sources
            && let Some(values) = refilled(field.name(), old, field.data_type(), sources.as_string::<i32>())
        {
            columns.push(values);
            continue;
        }
        columns.push(match old {
            Some(array) => {
                cast_exact(array, field.data_type()).map_err(|e| format!("column '{}': {e}", field.name()))?
            }
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| e.to_string())
}

/// Is it the crawler's own? Only such a table has the column that says where rows are from.
pub(crate) fn has_source(name: &TableName, schema: &SchemaRef) -> Option<String> {
    schema.column_with_name(SOURCE_FILE).is_none().then(|| {
        format!(
            "the table {name} was made by a statement or another tool, not from landed files; land the file in a folder with \
             another name"
        )
    })
}
