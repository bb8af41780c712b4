//! Delimited text: dialect, grid, layout.

use std::collections::BTreeMap;

use crate::formats::dialect::Chosen;
use crate::formats::layout::{self, Source};
use crate::formats::split::{Delimiter, Dialect, split};
use crate::formats::text::Decoded;
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, aligned, dialect, head, tidy};

/// Another delimiter whose score has less than this share of the best one's raises no doubt.
pub(super) const RIVAL_MIN: f64 = 0.5;

/// Reads a decoded text that is not JSON.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Parsed, ReadError> {
    refuse_markup(&decoded.text)?;
    let text = limits.pinned.skip(&decoded.text);
    let mut confidence = Confidence::default();
    if decoded.is_guess {
        confidence.doubt(
            0.9,
            format!("its encoding {} is what its bytes look like", decoded.encoding),
        );
    }
    let mut dialect = match limits.pinned.delimiter_in(&text)? {
        Some(delimiter) => dialect::with(delimiter, &text, limits),
        None => {
            let chosen = dialect::choose(file_name, &text, limits);
            confidence.extend(doubts_of(&chosen));
            chosen.dialect
        }
    };
    if let Some(quote) = limits.pinned.quote {
        dialect.quote = quote;
    }
    let mut grid = split(&text, dialect, limits)?.grid;
    if let Some(cut) = aligned::cut(&grid, limits)? {
        grid = cut;
    }
    let source = source(file_name, dialect, limits);
    let mut passed = BTreeMap::new();
    let mut notes = Vec::new();
    if limits.pinned.header_row.is_none()
        && let Some((tidied, said)) = tidy::tidy(&grid, &source, &mut passed, limits)?
    {
        grid = tidied;
        notes = said;
    }
    let mut found = layout::read(&grid, &source)?;
    found.notes.splice(0..0, notes);
    for (key, value) in passed {
        head::record(&mut found.properties, &key, &value);
    }
    let mut parts = vec![called(dialect.delimiter)];
    parts.push(decoded.encoding.clone());
    parts.extend(found.notes);
    confidence.extend(found.confidence);
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
        confidence,
    })
}

/// What speaks against the chosen dialect.
pub(super) fn doubts_of(chosen: &Chosen) -> Confidence {
    let mut confidence = Confidence::default();
    if let Some((rival, share)) = chosen.rival {
        let why = format!("{} would part it nearly as well", rival.name());
        confidence.doubt(1.0 - 0.4 * (share - RIVAL_MIN) / (1.0 - RIVAL_MIN), why);
    }
    confidence
}

/// How a grid of this dialect is to be read.
pub(super) fn source(file_name: &str, dialect: Dialect, limits: &Limits) -> Source {
    let name = file_name.to_ascii_lowercase();
    Source {
        place: "line",
        delimiter: dialect.delimiter.name(),
        comma_locale: dialect.delimiter == Delimiter::Char(';'),
        comma_cells: dialect.delimiter != Delimiter::Char(','),
        single_column: [".csv", ".tsv"].iter().any(|ending| name.contains(ending)),
        pinned: limits.pinned.clone(),
    }
}

/// What people call such a text.
pub(super) fn called(delimiter: Delimiter) -> String {
    match delimiter {
        Delimiter::Char('\t') => "TSV".to_owned(),
        Delimiter::Char(',') => "CSV".to_owned(),
        Delimiter::Char(_) => format!("CSV, {} delimited", delimiter.name()),
        Delimiter::Spaces(_) => "text aligned by spaces".to_owned(),
        Delimiter::None => "text of one column".to_owned(),
    }
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
