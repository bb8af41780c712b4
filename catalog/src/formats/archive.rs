//! Zip archives: each file inside read as if it had landed, files of one shape joined to one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, read_content, zip_directory};

/// The column that says which file of the archive a row is from.
const FILE: &str = "archive_file";
/// Files of one archive that are read.
const FILES_MAX: usize = 1000;
/// Names of left out files in `taken_for`.
const SHOWN: usize = 4;

/// Reads an archive that is no workbook.
///
/// # Errors
/// That of the first file that cannot be read, with its name; files of other kinds (reports, images) are left out, but
/// not all of them may be.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Parsed, ReadError> {
    let files = zip_directory::files(bytes, limits)?;
    if files.len() > FILES_MAX {
        return Err(ReadError::TooLarge {
            what: "the number of files in the archive",
            seen: files.len().to_string(),
            max: FILES_MAX as u64,
        });
    }
    let count = files.len();
    let (mut left, mut notes) = (Vec::new(), Vec::new());
    let mut tables: Vec<Table> = Vec::new();
    let mut properties = BTreeMap::new();
    let mut confidence = Confidence::default();
    for (name, content) in files {
        // An archive inside an archive would multiply what one file may cost.
        if content.starts_with(b"PK\x03\x04") && !crate::formats::workbook::is_workbook(&content, limits)? {
            return Err(ReadError::Unsupported {
                seen: format!("an archive ({name:?}) inside an archive"),
            });
        }
        let parsed = match read_content(&name, Bytes::from(content), limits) {
            Ok(parsed) => parsed,
            Err(ReadError::Unsupported { seen }) => {
                left.push(format!("{name} ({seen})"));
                continue;
            }
            Err(error) => {
                return Err(ReadError::InArchive {
                    name,
                    error: Box::new(error),
                });
            }
        };
        notes.push(parsed.taken_for);
        confidence.least(parsed.confidence);
        for (key, value) in parsed.properties {
            properties.insert(format!("{name}: {key}"), value);
        }
        for block in parsed.blocks {
            take(&mut tables, &name, block)?;
        }
    }
    if tables.is_empty() {
        return Err(ReadError::NoDataRows {
            seen: format!("a zip archive of {count} files, none of them data: {}", shown(&left)),
        });
    }
    notes.sort();
    notes.dedup();
    let mut parts = vec![format!("a zip archive of {count} files: {}", shown(&notes))];
    if !left.is_empty() {
        parts.push(format!("left out: {}", shown(&left)));
    }
    let blocks = tables.into_iter().enumerate().map(|(at, table)| Block {
        name: (at > 0).then(|| table.name.clone()),
        batches: table.batches,
        first_row: table.first_row,
    });
    Ok(Parsed {
        taken_for: parts.join("; "),
        blocks: blocks.collect(),
        properties,
        confidence,
    })
}

struct Table {
    name: String,
    block: Option<String>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    first_row: u64,
}

/// Puts a block to the table of its shape, or makes one.
fn take(tables: &mut Vec<Table>, file: &str, block: Block) -> Result<(), ReadError> {
    let Some(first) = block.batches.first() else {
        return Ok(());
    };
    let mut fields = vec![Arc::new(Field::new(FILE, DataType::Utf8, true))];
    fields.extend(first.schema().fields().iter().cloned());
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let batches = block.batches.iter().map(|batch| {
        let names = StringArray::from_iter_values(std::iter::repeat_n(file, batch.num_rows()));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
        columns.extend(batch.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&schema), columns)
    });
    let batches = batches
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ReadError::NotATable {
            seen: format!("{file:?}: {error}"),
        })?;
    match tables
        .iter_mut()
        .find(|table| table.block == block.name && table.schema == schema)
    {
        Some(table) => table.batches.extend(batches),
        None => {
            let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
            let stem = base.split('.').next().unwrap_or(base);
            let name = block
                .name
                .as_deref()
                .map_or_else(|| stem.to_owned(), |block| format!("{stem} {block}"));
            tables.push(Table {
                name,
                block: block.name,
                schema,
                batches,
                first_row: block.first_row,
            });
        }
    }
    Ok(())
}

fn shown(texts: &[String]) -> String {
    let mut parts: Vec<&str> = texts.iter().take(SHOWN).map(String::as_str).collect();
    if texts.len() > SHOWN {
        parts.push("…");
    }
    parts.join(" | ")
}
