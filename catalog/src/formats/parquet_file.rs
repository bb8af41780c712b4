//! Parquet: all row groups, decoded within bounds, in the types of our tables.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::ParquetMetaData;

use crate::formats::{Block, Limits, Parsed, ReadError, header, normalise};

/// Rows of one batch: a stream of small steps instead of one large one.
const BATCH_ROWS: usize = 32_768;

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
    let schema = Arc::clone(metadata.schema());
    let names = header::names(schema.fields().iter().map(|field| field.name().as_str()));
    let types = names
        .iter()
        .zip(schema.fields())
        .map(|(name, field)| normalise::target(name, field.data_type(), limits.nesting_max))
        .collect::<Result<Vec<_>, _>>()?;
    if types.is_empty() {
        return Err(ReadError::NoDataRows {
            seen: "a Parquet file without columns".to_owned(),
        });
    }
    let fields: Vec<Field> = names
        .iter()
        .zip(&types)
        .map(|(name, kind)| Field::new(name, kind.clone(), true))
        .collect();
    let target = Arc::new(Schema::new(fields));
    let row_groups = metadata.metadata().num_row_groups();
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(damaged)?;
    let mut batches = Vec::new();
    let (mut rows, mut decoded) = (0usize, 0u64);
    for batch in reader {
        let batch = batch.map_err(damaged)?;
        decoded = decoded.saturating_add(batch.get_array_memory_size() as u64);
        check("the decoded content in bytes", decoded, limits.decompressed_bytes_max)?;
        rows = rows.saturating_add(batch.num_rows());
        check("the number of rows", rows as u64, limits.rows_max as u64)?;
        let columns = batch
            .columns()
            .iter()
            .zip(names.iter().zip(&types))
            .map(|(array, (name, kind))| normalise::array(name, array, kind))
            .collect::<Result<Vec<_>, _>>()?;
        batches.push(RecordBatch::try_new(Arc::clone(&target), columns).map_err(damaged)?);
    }
    if rows == 0 {
        return Err(ReadError::NoDataRows {
            seen: format!("a Parquet file of {} columns without rows", names.len()),
        });
    }
    Ok(Parsed {
        taken_for: format!("Parquet, {row_groups} row groups, {} columns, {rows} rows", names.len()),
        blocks: vec![Block {
            name: None,
            batches,
            first_row: 1,
        }],
        properties: BTreeMap::new(),
    })
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

fn check(what: &'static str, seen: u64, max: u64) -> Result<(), ReadError> {
    if seen > max {
        return Err(ReadError::TooLarge {
            what,
            seen: seen.to_string(),
            max,
        });
    }
    Ok(())
}

fn damaged(why: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged {
        format: "Parquet",
        why: why.to_string(),
    }
}
