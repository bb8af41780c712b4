//! Parquet: all row groups, decoded within bounds, in the types of our tables.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::ParquetMetaData;

use crate::formats::typed::{BATCH_ROWS, Typed, check};
use crate::formats::{Limits, Parsed, ReadError};

/// Keys under which writers keep their own schema.
const WRITERS_OWN: [&str; 3] = ["ARROW:schema", "pandas", "org.apache.spark.sql.parquet.row.metadata"];

/// Reads a whole file into many batches.
///
/// # Errors
/// `Damaged`, `TooLarge`, `ColumnType`, `NoDataRows`.
pub(super) fn read(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    if !bytes.ends_with(b"PAR1") {
        return Err(damaged("the footer at the end is missing, so the file is cut"));
    }
    // The decoder is a library that meets hostile files here: a panic in it is a damaged file, not our end.
    catch_unwind(AssertUnwindSafe(|| decode(bytes, limits)))
        .unwrap_or_else(|_| Err(damaged("the decoder gave up on it")))
}

fn decode(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    let size = bytes.len() as u64;
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).map_err(damaged)?;
    check_footer(metadata.metadata(), size, limits)?;
    let metadata = without_nanosecond_int96(metadata)?;
    let mut typed = Typed::new("Parquet", metadata.schema(), limits)?;
    let row_groups = metadata.metadata().num_row_groups();
    let properties = properties(metadata.metadata());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(damaged)?;
    for batch in reader {
        typed.push(&batch.map_err(damaged)?)?;
    }
    let (columns, rows) = (typed.columns(), typed.rows());
    let taken_for = format!("Parquet, {row_groups} row groups, {columns} columns, {rows} rows");
    typed.finish(taken_for, properties)
}

/// Keys and values of the footer, but for the schemas that writers leave there for themselves.
fn properties(metadata: &ParquetMetaData) -> BTreeMap<String, String> {
    let pairs = metadata.file_metadata().key_value_metadata();
    pairs
        .into_iter()
        .flatten()
        .filter(|pair| !WRITERS_OWN.contains(&pair.key.as_str()))
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect()
}

/// What the footer promises must fit the file and the limits before anything is allocated for it.
fn check_footer(metadata: &ParquetMetaData, size: u64, limits: &Limits) -> Result<(), ReadError> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    check("the number of columns", columns as u64, limits.columns_max as u64)?;
    let mut rows = 0u64;
    let mut decoded = 0u64;
    for group in metadata.row_groups() {
        rows = rows.saturating_add(promised(group.num_rows())?);
        for column in group.columns() {
            decoded = decoded.saturating_add(promised(column.uncompressed_size())?);
            let start = promised(
                column
                    .dictionary_page_offset()
                    .unwrap_or_else(|| column.data_page_offset()),
            )?;
            let start = start.min(promised(column.data_page_offset())?);
            if start.saturating_add(promised(column.compressed_size())?) > size {
                return Err(damaged(format!(
                    "column {} ends beyond the end of the file",
                    column.column_path().string()
                )));
            }
        }
    }
    check("the number of rows", rows, limits.rows_max as u64)?;
    check(
        "the uncompressed content in bytes",
        decoded,
        limits.decompressed_bytes_max,
    )
}

fn promised(number: i64) -> Result<u64, ReadError> {
    u64::try_from(number).map_err(|_| damaged(format!("the footer holds a negative size ({number})")))
}

/// INT96 reaches far beyond what nanoseconds in i64 hold, so it is read in microseconds from the start.
fn without_nanosecond_int96(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ReadError> {
    let parquet_schema = metadata.metadata().file_metadata().schema_descr();
    let is_int96 = |name: &str| {
        parquet_schema
            .columns()
            .iter()
            .any(|column| column.physical_type() == PhysicalType::INT96 && column.path().string() == name)
    };
    let mut changed = false;
    let fields: Vec<Field> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_int96(field.name()) => {
                changed = true;
                field
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    if !changed {
        return Ok(metadata);
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(damaged)
}

fn damaged(why: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged {
        format: "Parquet",
        why: why.to_string(),
    }
}
