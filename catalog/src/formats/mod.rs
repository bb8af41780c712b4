//! Reading what labs write: from the bytes of one file to typed tables.
//!
//! The road, each step a pure function over memory: **detect** what the bytes are ([`sniff`]; content first, the name
//! only breaks ties), **unpack** gzip, zstd or a zip archive ([`unpack`], [`archive`]), **decode** text ([`text`]),
//! **parse** it into a grid of cells ([`dialect`], [`split`], [`workbook`]), find the tables in the grid: one rectangle
//! ([`layout`], [`area`]), several side by side ([`abreast`]), or blocks of several kinds with what stands between them ([`blocks`]), **type** each column over the
//! whole file ([`infer`], [`column`]; words among numbers: [`rescue`]; the type of the file's table: [`fit`]). JSON ([`json`], [`json_shape`], [`json_array`],
//! [`json_records`], [`json_plate`]), XML ([`xml`]), molecules ([`sdf`], [`smiles`]) and reactions ([`rxn`]), Parquet ([`parquet_file`]), Avro ([`avro`]) and Arrow
//! ([`arrow_file`]) carry
//! their own structure and skip the grid. How sure all this is: [`confidence`]; what an administrator says of it: [`pinned`].
//! Large tables that are plain from their first line to the last need not be held in memory: [`plain`].
//!
//! The rule that decides every doubt: a file that is not clearly a set of tables is an error that says what was seen. A
//! file in quarantine costs a minute; a wrong table costs an experiment. Nothing is dropped or repaired without a word
//! in [`Parsed::taken_for`].

mod abreast;
mod aligned;
mod archive;
mod area;
mod area_table;
mod arrow_file;
mod avro;
mod blocks;
mod column;
mod confidence;
mod constants;
mod dates;
mod dialect;
mod error;
mod fit;
mod grid;
mod head;
mod header;
mod html;
mod infer;
mod json;
mod json_array;
mod json_cube;
mod json_file;
mod json_forms;
mod json_plate;
mod json_records;
mod json_shape;
mod keys;
mod layout;
mod layout_names;
mod merged;
mod molfile;
mod moment;
mod months;
mod normalise;
mod number;
mod odd;
mod parquet_file;
mod pinned;
mod plain;
mod refuse;
mod rescue;
mod ruled;
mod rxn;
mod sdf;
mod sectioned;
mod sections;
mod shapes;
mod sheets;
mod smiles;
mod sniff;
mod split;
mod stated;
mod text;
mod text_file;
mod tidy;
mod turn;
mod typed;
mod units;
mod unpack;
mod words;
mod workbook;
mod workbook_cells;
mod workbook_styles;
mod xml;
mod zip_directory;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;

pub(crate) use blocks::is_well;
pub(crate) use confidence::Confidence;
pub(crate) use error::ReadError;
pub(crate) use fit::texts as fitted;
pub(crate) use keys::{DATE_ORDER_KEY, DECIMAL_KEY, DECIMAL_UNSURE, UNIT_KEY};
pub(crate) use moment::is_moment;
pub(crate) use months::month;
pub(crate) use pinned::{DateOrder, Decimal, InTable, Pinned, PinnedType};
pub(crate) use plain::{Findings, Odd, Piece, Plain, Reader, Survey};
pub(crate) use smiles::is_smiles;
pub(crate) use words::is_limit;

/// How one file is read: how much it may cost, every limit checked before or while the thing it bounds grows, and what an
/// administrator pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes after decompression or decoding. Peak memory is about four times this.
    pub(crate) decompressed_bytes_max: u64,
    /// Columns of one table, or fields of all nested levels together.
    pub(crate) columns_max: usize,
    /// Rows of one table.
    pub(crate) rows_max: usize,
    /// Levels of nesting in JSON and Parquet.
    pub(crate) nesting_max: usize,
    /// Bytes of one cell or one JSON string.
    pub(crate) cell_bytes_max: usize,
    /// What is known of the file beforehand.
    pub(crate) pinned: Pinned,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The largest honest instrument exports seen are some 300 MB; four times this still fits a small server.
            decompressed_bytes_max: 1 << 30,
            // Full spectra have 4,000 columns; ten thousand is a transposed or broken file.
            columns_max: 10_000,
            // Ten years of a plate reader; a larger file belongs in several.
            rows_max: 50_000_000,
            // Hand-made formats stay under ten levels; the stack is safe far beyond this.
            nesting_max: 64,
            // A cell of a megabyte is a document or an unclosed quote.
            cell_bytes_max: 1 << 20,
            pinned: Pinned::default(),
        }
    }
}

/// What a file turned out to be.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// For people: format, dialect, encoding, where the header is, whatever was skipped or assumed.
    pub(crate) taken_for: String,
    /// At least one, each with at least one row. The main table first.
    pub(crate) blocks: Vec<Block>,
    /// The file's own key–value head (and foot), in original words.
    pub(crate) properties: BTreeMap<String, String>,
    /// How sure the reading is.
    pub(crate) confidence: Confidence,
}

/// One table of a file.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// `None`: the main table. `Some`: the original words for the suffix of `<table>__<block>`.
    pub(crate) name: Option<String>,
    /// All of one schema, in file order. Names are the file's own, unique without regard to case; an unnamed column is
    /// `column_<n>`. A column without any value has `DataType::Null`.
    pub(crate) batches: Vec<RecordBatch>,
    /// The number of the first row; later rows count up by one. For delimited text and sheets it is the line or sheet
    /// row the table's data starts in (from 1), else 1.
    #[allow(dead_code, reason = "said by every reader; `_source_row` does not start from it yet")]
    pub(crate) first_row: u64,
}

/// Reads one file. `file_name` is used only where the content leaves a doubt.
///
/// # Errors
/// [`ReadError`] for whatever cannot be read as tables in full; there is no partial result.
pub(crate) fn read(file_name: &str, bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty { bytes: 0 });
    }
    let (bytes, packed) = unpack::unpack(bytes, limits)?;
    let is_archive = sniff::sniff(&bytes)? == sniff::Kind::Zip && !workbook::is_workbook(&bytes, limits)?;
    let mut parsed = if is_archive {
        archive::read(&bytes, limits)?
    } else {
        read_content(file_name, bytes, limits)?
    };
    if let Some(codec) = packed {
        parsed.taken_for = format!("{codec} of {}", parsed.taken_for);
    }
    stated::check(&mut parsed)?;
    let names = parsed.blocks.iter().filter_map(|block| block.batches.first());
    let fields: Vec<String> = names
        .flat_map(|batch| {
            batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect::<Vec<_>>()
        })
        .collect();
    for name in limits.pinned.missing(fields.iter().map(String::as_str)) {
        parsed
            .confidence
            .doubt(0.95, format!("the pinned column {name:?} is in none of its tables"));
    }
    Ok(parsed)
}

/// Whether the file is called so, packed or not.
fn named(file_name: &str, endings: &[&str]) -> bool {
    let name = file_name.to_ascii_lowercase();
    endings
        .iter()
        .any(|ending| name.ends_with(ending) || name.contains(&format!("{ending}.")))
}

/// Reads content that is packed no more.
fn read_content(file_name: &str, bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty { bytes: 0 });
    }
    match sniff::sniff(&bytes)? {
        sniff::Kind::Parquet => parquet_file::read(bytes, limits),
        sniff::Kind::Avro => avro::read(bytes, limits),
        sniff::Kind::Arrow => arrow_file::read(bytes, limits),
        sniff::Kind::Zip | sniff::Kind::Ole => workbook::read(bytes, limits),
        sniff::Kind::Text => {
            let mut decoded = text::decode(&bytes, limits.pinned.encoding.as_deref())?;
            drop(bytes);
            if let Some(parsed) = html::read(&decoded.text, limits)? {
                return Ok(parsed);
            }
            if let Some(parsed) = text_file::sequences(&decoded, limits)? {
                return Ok(parsed);
            }
            if let Some(text) = sectioned::untagged(&decoded.text) {
                decoded.text = text;
                return text_file::read(file_name, &decoded, limits);
            }
            if let Some(parsed) = rxn::read(&decoded, limits)? {
                return Ok(parsed);
            }
            if let Some(parsed) = sdf::read(file_name, &decoded, limits)? {
                return Ok(parsed);
            }
            if let Some(parsed) = smiles::read(file_name, &decoded, limits)? {
                return Ok(parsed);
            }
            if let Some(parsed) = json_file::read(file_name, &decoded, limits)? {
                return Ok(parsed);
            }
            match xml::read(&decoded, limits)? {
                Some(parsed) => Ok(parsed),
                None => text_file::read(file_name, &decoded, limits),
            }
        }
    }
}
