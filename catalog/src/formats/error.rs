//! Why a file could not be read. Each text says what was seen, where, and what to do; the crawler shows it beside the
//! quarantined file, so it is written for the person who made the file.

use thiserror::Error;

/// What to do about a row that is too long; the cells of a sheet are parted by nothing that could be quoted.
struct LongRow<'d>(&'d str);

impl std::fmt::Display for LongRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "cell" => write!(
                f,
                "something stands right of the table. Move it below the table or to another sheet, or name the extra columns"
            ),
            delimiter => write!(
                f,
                "quote cells that contain the delimiter {delimiter}, or name the extra columns"
            ),
        }
    }
}

/// The reason a file goes to quarantine instead of into a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ReadError {
    /// Nothing in the file, or nothing but white space.
    #[error("the file is empty ({bytes} bytes, no content): export it again from the instrument")]
    Empty { bytes: u64 },
    /// Readable, but there is a header at most.
    #[error("no data rows: {seen}. Export again with data, or remove the file")]
    NoDataRows { seen: String },
    /// Bytes that are no text and no format known here.
    #[error(
        "not a readable format: {seen}. Export as CSV, TSV, JSON, Parquet, Arrow, Avro, SDF or Excel (each may be gzip or zstd compressed)"
    )]
    Unsupported { seen: String },
    /// A compressed or binary container that ends early or is damaged.
    #[error("damaged {format}: {why}. Copy the file again from its source; the copy may have stopped early")]
    Damaged { format: &'static str, why: String },
    /// Decoding would need more than the limit.
    #[error("too large: {what} is {seen}, the limit is {max}. Split the file or raise the limit")]
    TooLarge { what: &'static str, seen: String, max: u64 },
    /// Text in no consistent encoding.
    #[error("text encoding: {why}. Save the file as UTF-8")]
    Encoding { why: String },
    /// A quoted cell without an end.
    #[error("a quoted cell opened in line {line} is never closed: add the missing \" or export the file again")]
    UnclosedQuote { line: u64 },
    /// Text after a closing quote that spans lines, so no reading of the cell is safe.
    #[error("line {line}: text follows the closing \" of a cell of several lines: double the quotes inside the cell")]
    StrayQuote { line: u64 },
    /// A row with more filled cells than the header has names.
    #[error("{place} has {seen} cells, the header has {expected}: {}", LongRow(delimiter))]
    LongRow {
        place: String,
        seen: usize,
        expected: usize,
        delimiter: String,
    },
    /// The text is readable, but it is not one rectangle or a set of plate matrices.
    #[error(
        "not one table: {seen}. Export one table per file, or a plate layout with rows A, B, … and columns 1, 2, …"
    )]
    NotATable { seen: String },
    /// JSON that breaks the grammar or our rules (duplicate keys, depth).
    #[error("JSON, line {line}, column {column}: {why}. Correct the file or export it again")]
    Json { line: u64, column: u64, why: String },
    /// A file inside a zip archive, with its own reason.
    #[error("{name:?} in the archive: {error}")]
    InArchive { name: String, error: Box<ReadError> },
    /// What an administrator pinned and what the file holds do not go together.
    #[error("the folder's _labhouse.toml says that {what}. Correct the file, or the setting")]
    Pinned { what: String },
    /// The file states how much it holds, and something else was found.
    #[error("the file says {stated}, but {seen}. Export it again, or land it with what is missing")]
    Miscounted { stated: String, seen: String },
    /// A Parquet column of a type that no table here can hold.
    #[error("column {column}: {why}. Write the column with another type")]
    ColumnType { column: String, why: String },
}
