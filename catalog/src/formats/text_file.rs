//! Delimited text: dialect, grid, layout.

use crate::formats::layout::{self, Source};
use crate::formats::split::{Delimiter, split};
use crate::formats::text::Decoded;
use crate::formats::{Block, Limits, Parsed, ReadError, aligned, dialect};

/// Reads a decoded text that is not JSON.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Parsed, ReadError> {
    refuse_markup(&decoded.text)?;
    let dialect = dialect::choose(file_name, &decoded.text, limits);
    let mut grid = split(&decoded.text, dialect, limits)?.grid;
    if let Some(cut) = aligned::cut(&grid, limits)? {
        grid = cut;
    }
    let name = file_name.to_ascii_lowercase();
    let source = Source {
        place: "line",
        delimiter: dialect.delimiter.name(),
        comma_cells: dialect.delimiter != Delimiter::Char(','),
        single_column: [".csv", ".tsv"].iter().any(|ending| name.contains(ending)),
    };
    let found = layout::read(&grid, &source)?;
    let mut parts = vec![match dialect.delimiter {
        Delimiter::Char('\t') => "TSV".to_owned(),
        Delimiter::Char(',') => "CSV".to_owned(),
        Delimiter::Char(_) => format!("CSV, {} delimited", dialect.delimiter.name()),
        Delimiter::Spaces(_) => "text aligned by spaces".to_owned(),
        Delimiter::None => "text of one column".to_owned(),
    }];
    parts.push(decoded.encoding.clone());
    parts.extend(found.notes);
    Ok(Parsed {
        taken_for: parts.join(", "),
        blocks: found
            .tables
            .into_iter()
            .map(|table| Block {
                name: table.name,
                batches: table.batches,
                first_row: table.first_row,
            })
            .collect(),
        properties: found.properties,
    })
}

/// HTML is text too, but no table; some programs name it `.xls`.
fn refuse_markup(text: &str) -> Result<(), ReadError> {
    let start: String = text
        .trim_start()
        .chars()
        .take(20)
        .collect::<String>()
        .to_ascii_lowercase();
    let seen = if ["<html", "<!doctype html", "<table", "<body", "<head"]
        .iter()
        .any(|tag| start.starts_with(tag))
    {
        "an HTML page"
    } else {
        return Ok(());
    };
    Err(ReadError::Unsupported { seen: seen.to_owned() })
}
