//! Avro object container files: walked once by hand so that every bound holds before a decoder allocates, then decoded
//! in the types of our tables.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_avro::reader::ReaderBuilder;
use bytes::Bytes;

use crate::formats::typed::{BATCH_ROWS, Typed, check};
use crate::formats::{Limits, Parsed, ReadError};

/// What such a file starts with.
pub(super) const MAGIC: &[u8] = b"Obj\x01";
/// Bytes of the mark between blocks.
const SYNC_BYTES: usize = 16;
/// Entries of the head.
const METADATA_MAX: usize = 1000;
/// One read while the size of a block is counted.
const CHUNK_BYTES: usize = 64 << 10;

/// Reads a whole file.
///
/// # Errors
/// `Damaged`, `TooLarge`, `ColumnType`, `NoDataRows`, `Unsupported` for a codec that is not built in.
pub(super) fn read(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    // The decoder is a library that meets hostile files here: a panic in it is a damaged file, not our end.
    catch_unwind(AssertUnwindSafe(|| decode(&bytes, limits)))
        .unwrap_or_else(|_| Err(damaged("the decoder gave up on it")))
}

fn decode(bytes: &Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    let container = Container::of(bytes, limits)?;
    if container.rows == 0 {
        return Err(ReadError::NoDataRows {
            seen: "Avro without records".to_owned(),
        });
    }
    let reader = ReaderBuilder::new()
        .with_batch_size(BATCH_ROWS)
        .build(Cursor::new(bytes.clone()))
        .map_err(damaged)?;
    let mut typed = Typed::new("Avro", &reader.schema(), limits)?;
    for batch in reader {
        typed.push(&batch.map_err(damaged)?)?;
    }
    let (columns, rows) = (typed.columns(), typed.rows());
    if rows as u64 != container.rows {
        return Err(damaged(format!(
            "its blocks announce {} records and hold {rows}",
            container.rows
        )));
    }
    let taken_for = format!(
        "Avro ({}), {} blocks, {columns} columns, {rows} rows",
        container.codec, container.blocks
    );
    typed.finish(taken_for, container.properties)
}

/// What the file says of itself.
struct Container {
    codec: String,
    blocks: usize,
    rows: u64,
    properties: BTreeMap<String, String>,
}

impl Container {
    fn of(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        let mut cursor = Walk { bytes, at: MAGIC.len() };
        let mut codec = "null".to_owned();
        let mut properties = BTreeMap::new();
        let mut entries = 0usize;
        loop {
            let count = cursor.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // A negative count is followed by the size of its entries in bytes.
                cursor.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                entries += 1;
                if entries > METADATA_MAX {
                    return Err(damaged("its head does not end"));
                }
                let key = String::from_utf8_lossy(cursor.sized()?).into_owned();
                let value = cursor.sized()?;
                match key.as_str() {
                    "avro.codec" => codec = String::from_utf8_lossy(value).into_owned(),
                    "avro.schema" => {}
                    _ => {
                        properties.insert(key, String::from_utf8_lossy(value).into_owned());
                    }
                }
            }
        }
        let sync = cursor.take(SYNC_BYTES)?;
        let (mut blocks, mut rows, mut decoded) = (0usize, 0u64, 0u64);
        while cursor.at < bytes.len() {
            let count =
                u64::try_from(cursor.long()?).map_err(|_| damaged("a block of a negative number of records"))?;
            let content = cursor.sized()?;
            if cursor.take(SYNC_BYTES)? != sync {
                return Err(damaged(format!(
                    "block {} does not end with the file's mark",
                    blocks + 1
                )));
            }
            blocks += 1;
            rows = rows.saturating_add(count);
            check("the number of rows", rows, limits.rows_max as u64)?;
            let left = limits.decompressed_bytes_max.saturating_sub(decoded);
            decoded = decoded.saturating_add(unpacked_bytes(&codec, content, left)?);
            check(
                "the uncompressed content in bytes",
                decoded,
                limits.decompressed_bytes_max,
            )?;
        }
        Ok(Self {
            codec,
            blocks,
            rows,
            properties,
        })
    }
}

/// How many bytes a block unfolds to; counting stops beyond `max`.
fn unpacked_bytes(codec: &str, content: &[u8], max: u64) -> Result<u64, ReadError> {
    match codec {
        "null" => Ok(content.len() as u64),
        "deflate" => drained(flate2::read::DeflateDecoder::new(content), max),
        "zstandard" => drained(zstd::stream::read::Decoder::new(content).map_err(damaged)?, max),
        // Snappy says it first.
        "snappy" => {
            let mut walk = Walk { bytes: content, at: 0 };
            walk.unsigned()
        }
        other => Err(ReadError::Unsupported {
            seen: format!("Avro packed with {other:?}; write it with deflate, snappy or zstandard"),
        }),
    }
}

fn drained(mut decoder: impl Read, max: u64) -> Result<u64, ReadError> {
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let mut total = 0u64;
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(total),
            Ok(read) => total = total.saturating_add(read as u64),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(error)),
        }
        if total > max {
            return Ok(total);
        }
    }
}

/// Avro's own numbers and strings, read with bounds.
struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Walk<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], ReadError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken =
            taken.ok_or_else(|| damaged(format!("it ends within something that starts at byte {}", self.at)))?;
        self.at += count;
        Ok(taken)
    }

    fn unsigned(&mut self) -> Result<u64, ReadError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged(format!("a number before byte {} does not end", self.at)))
    }

    /// A signed number, with the sign in the lowest bit.
    fn long(&mut self) -> Result<i64, ReadError> {
        let raw = self.unsigned()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A number of bytes, and those.
    fn sized(&mut self) -> Result<&'b [u8], ReadError> {
        let at = self.at;
        let size = usize::try_from(self.long()?).map_err(|_| damaged(format!("a negative size at byte {at}")))?;
        self.take(size)
    }
}

fn damaged(why: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged {
        format: "Avro",
        why: why.to_string(),
    }
}
