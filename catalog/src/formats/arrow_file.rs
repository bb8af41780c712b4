//! Arrow IPC files (Feather): what the footer and the messages promise is held against the file and the limits before a
//! decoder allocates for it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::ipc::reader::FileReader;
use arrow::ipc::{Block, RecordBatch as BatchMessage, root_as_footer, root_as_message};
use bytes::Bytes;

use crate::formats::typed::{Typed, check};
use crate::formats::{Limits, Parsed, ReadError};

/// What such a file starts with; the first six bytes end it as well.
pub(super) const MAGIC: &[u8] = b"ARROW1\0\0";
const MAGIC_END: &[u8] = b"ARROW1";
/// The footer's length and the magic at the end.
const TRAILER_BYTES: usize = 10;
/// Before the length of a message, in all but the oldest files.
const CONTINUED: &[u8] = &[0xff; 4];
/// Bytes before each packed buffer that say how long it is unpacked; −1 where it is not packed.
const LENGTH_BYTES: usize = 8;

/// Reads a whole file.
///
/// # Errors
/// `Damaged`, `TooLarge`, `ColumnType`, `NoDataRows`.
pub(super) fn read(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    if !bytes.ends_with(MAGIC_END) {
        return Err(damaged("the mark at its end is missing, so the file is cut"));
    }
    // The decoder is a library that meets hostile files here: a panic in it is a damaged file, not our end.
    catch_unwind(AssertUnwindSafe(|| decode(bytes, limits)))
        .unwrap_or_else(|_| Err(damaged("the decoder gave up on it")))
}

fn decode(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    check_promises(&bytes, limits)?;
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(damaged)?;
    let mut typed = Typed::new("Arrow", &reader.schema(), limits)?;
    let properties: BTreeMap<String, String> = reader.custom_metadata().clone().into_iter().collect();
    for batch in reader {
        typed.push(&batch.map_err(damaged)?)?;
    }
    let (columns, rows) = (typed.columns(), typed.rows());
    typed.finish(format!("Arrow IPC, {columns} columns, {rows} rows"), properties)
}

fn check_promises(bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let end = bytes
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or_else(|| damaged("it is too short"))?;
    let length = number(bytes, end, 4).and_then(|length| usize::try_from(length).ok());
    let footer = length
        .and_then(|length| bytes.get(end.checked_sub(length)?..end))
        .ok_or_else(|| damaged("its footer does not fit into it"))?;
    let footer = root_as_footer(footer).map_err(damaged)?;
    let blocks = footer
        .dictionaries()
        .into_iter()
        .flatten()
        .chain(footer.recordBatches().into_iter().flatten());
    let (mut rows, mut unpacked) = (0u64, 0u64);
    for block in blocks {
        let (message, body) = parts(bytes, block).ok_or_else(|| damaged("one of its parts lies outside of it"))?;
        let message = root_as_message(message).map_err(damaged)?;
        let batch = message.header_as_record_batch();
        rows = rows.saturating_add(batch.map_or(0, |batch| batch.length().unsigned_abs()));
        check("the number of rows", rows, limits.rows_max as u64)?;
        let data = batch.or_else(|| message.header_as_dictionary_batch()?.data());
        unpacked = unpacked.saturating_add(data.map_or(0, |data| unpacked_bytes(&data, body)));
        check(
            "the uncompressed content in bytes",
            unpacked,
            limits.decompressed_bytes_max,
        )?;
    }
    Ok(())
}

/// The message of a block and the bytes behind it.
fn parts<'b>(bytes: &'b [u8], block: &Block) -> Option<(&'b [u8], &'b [u8])> {
    let start = usize::try_from(block.offset()).ok()?;
    let middle = start.checked_add(usize::try_from(block.metaDataLength()).ok()?)?;
    let end = middle.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
    let head = bytes.get(start..middle)?;
    let message = if head.starts_with(CONTINUED) {
        head.get(8..)?
    } else {
        head.get(4..)?
    };
    Some((message, bytes.get(middle..end)?))
}

/// How large the buffers of a batch are, unpacked.
fn unpacked_bytes(batch: &BatchMessage<'_>, body: &[u8]) -> u64 {
    if batch.compression().is_none() {
        return body.len() as u64;
    }
    let buffers = batch.buffers().into_iter().flatten();
    buffers
        .map(|buffer| {
            let at = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
            match number(body, at, LENGTH_BYTES).map(u64::try_from) {
                Some(Ok(length)) => length,
                Some(Err(_)) | None => buffer.length().unsigned_abs(),
            }
        })
        .fold(0u64, u64::saturating_add)
}

/// A signed number of four or eight bytes, the lowest first.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<i64> {
    let raw = bytes.get(at..at.checked_add(size)?)?;
    match size {
        4 => raw.try_into().ok().map(|raw| i64::from(i32::from_le_bytes(raw))),
        _ => raw.try_into().ok().map(i64::from_le_bytes),
    }
}

fn damaged(why: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged {
        format: "Arrow",
        why: why.to_string(),
    }
}
