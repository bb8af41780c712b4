//! Tests of the readers through their one door, [`super::read`]. Every yes stands beside its no.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod archives;
mod arrow_file;
mod avro;
mod blocks;
mod by_hand;
mod delimited;
mod excel;
mod forms;
mod hostile;
mod json;
mod lab;
mod lab_blocks;
mod lab_values;
mod messy;
mod molecules;
mod packed;
mod parquet;
mod pinned;
mod plain;
mod plates;
mod polluted;
mod properties;
mod reactions;
mod survey;
mod understood;
mod vendors;
mod xml;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;

use super::{Limits, Parsed, ReadError, read};

/// Reads with the default limits.
fn parse(name: &str, content: impl Into<Vec<u8>>) -> Result<Parsed, ReadError> {
    read(name, Bytes::from(content.into()), &Limits::default())
}

/// The one batch of the one block.
fn table(name: &str, content: impl Into<Vec<u8>>) -> RecordBatch {
    let parsed = parse(name, content).unwrap();
    assert_eq!(parsed.blocks.len(), 1, "{}", parsed.taken_for);
    let block = &parsed.blocks[0];
    arrow::compute::concat_batches(&block.batches[0].schema(), &block.batches).unwrap()
}

/// `name: Type` of every column.
fn schema(batch: &RecordBatch) -> Vec<String> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{}: {}", field.name(), field.data_type()))
        .collect()
}

/// The column as text, `∅` for null.
fn column(batch: &RecordBatch, name: &str) -> Vec<String> {
    let array = batch
        .column_by_name(name)
        .unwrap_or_else(|| panic!("no column {name} in {:?}", schema(batch)));
    // Arrow shows "UTC" only with its time zone database; the offset is the same.
    let array = match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            &arrow::compute::cast(array, &DataType::Timestamp(*unit, Some("+00:00".into()))).unwrap()
        }
        _ => array,
    };
    let options = FormatOptions::default().with_null("∅");
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                "∅".to_owned()
            } else {
                formatter.value(row).to_string()
            }
        })
        .collect()
}

fn type_of(batch: &RecordBatch, name: &str) -> DataType {
    batch.schema().field_with_name(name).unwrap().data_type().clone()
}

fn floats(batch: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    batch
        .column_by_name(name)
        .unwrap()
        .as_primitive::<Float64Type>()
        .iter()
        .collect()
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch
        .column_by_name(name)
        .unwrap()
        .as_primitive::<Int64Type>()
        .iter()
        .collect()
}

fn utf16le(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xfe];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes
}
