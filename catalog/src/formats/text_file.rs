//! Delimited text: dialect, grid, layout.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;

use crate::formats::dialect::Chosen;
use crate::formats::grid::Grid;
use crate::formats::layout::{self, Source};
use crate::formats::split::{Delimiter, Dialect, split};
use crate::formats::text::Decoded;
use crate::formats::{
    Block, Confidence, Limits, Parsed, ReadError, aligned, dialect, head, number, ruled, sectioned, tidy, typed,
};

/// Another delimiter whose score has less than this share of the best one's raises no doubt.
pub(super) const RIVAL_MIN: f64 = 0.5;
/// Lines within which a head ends that says so.
const HEAD_ROWS: usize = 1000;

/// Reads a decoded text that is not JSON.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Parsed, ReadError> {
    let text = limits.pinned.skip(&decoded.text);
    let mut confidence = doubts_of_encoding(decoded);
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
    let ruled = match limits.pinned.delimiter {
        None => ruled::grid(&text, limits)?,
        Some(_) => None,
    };
    if ruled.is_some() {
        dialect.delimiter = Delimiter::Spaces(2);
        confidence = doubts_of_encoding(decoded);
    }
    let mut grid = match ruled {
        Some(grid) => grid,
        None => split(&text, dialect, limits)?.grid,
    };
    if let Some(cut) = aligned::cut(&grid, limits)? {
        grid = cut;
    }
    let source = source(file_name, dialect, limits);
    let mut passed = BTreeMap::new();
    let mut notes = Vec::new();
    if limits.pinned.header_row.is_none()
        && let Some(behind) = behind_head(&grid, &source, &mut passed, limits)?
    {
        grid = behind;
    }
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

/// A table of sequences, if the text is one of such.
///
/// # Errors
/// As [`read`].
pub(super) fn sequences(decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    let Some(all) = decoded
        .text
        .starts_with('>')
        .then(|| sectioned::sequences(&decoded.text))
        .flatten()
    else {
        return Ok(None);
    };
    typed::check("the number of rows", all.len() as u64, limits.rows_max as u64)?;
    let columns = (0..3).map(|column| {
        let texts = all.iter().filter_map(|row| row.get(column));
        let texts = texts.map(|text| (!text.is_empty()).then_some(text.as_str()));
        Arc::new(texts.collect::<StringArray>()) as ArrayRef
    });
    let lengths = all
        .iter()
        .map(|[_, _, sequence]| i64::try_from(sequence.len()).unwrap_or(i64::MAX));
    let lengths: ArrayRef = Arc::new(lengths.collect::<Int64Array>());
    let names = ["id", "description", "sequence", "length"];
    let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns.chain([lengths])));
    let batch = batch.map_err(|error| ReadError::NotATable {
        seen: error.to_string(),
    })?;
    Ok(Some(Parsed {
        taken_for: format!("FASTA, {}, {} sequences", decoded.encoding, all.len()),
        blocks: vec![Block {
            name: None,
            batches: vec![batch],
            first_row: 1,
        }],
        properties: BTreeMap::new(),
        confidence: doubts_of_encoding(decoded),
    }))
}

/// The grid without those lines of a head that are neither key and value nor a title, where a line says that the head ends; they
/// become properties.
fn behind_head(
    grid: &Grid,
    source: &Source,
    properties: &mut BTreeMap<String, String>,
    limits: &Limits,
) -> Result<Option<Grid>, ReadError> {
    let mut marks = (0..grid.height().min(HEAD_ROWS)).filter(|row| sectioned::ends_head(&grid.filled(*row)));
    let Some(mut end) = marks.next() else {
        return Ok(None);
    };
    // A second head may follow the first at once; values between them are a table.
    let is_values = |row: usize| {
        let filled = grid.filled(row);
        filled.len() > 1 && filled.iter().all(|cell| number::parse(cell.trim()).is_some())
    };
    for mark in marks {
        if (end..mark).any(is_values) {
            break;
        }
        end = mark;
    }
    let mut behind = Grid::default();
    for row in 0..grid.height() {
        let filled = grid.filled(row);
        if row <= end && filled.len() > 2 {
            layout::keep(grid, row, source, properties);
        }
        // The line that ends the head parts it from the names of the table.
        if row >= end || (filled.len() <= 2 && !sectioned::ends_head(&filled)) {
            let line = grid.line(row);
            grid.cells(row)
                .try_for_each(|cell| behind.push_cell(cell, line, limits))?;
            behind.end_row(line, limits)?;
        }
    }
    Ok(Some(behind))
}

fn doubts_of_encoding(decoded: &Decoded) -> Confidence {
    let mut confidence = Confidence::default();
    if decoded.is_guess {
        confidence.doubt(
            0.9,
            format!("its encoding {} is what its bytes look like", decoded.encoding),
        );
    }
    confidence
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
        quoted_commas: dialect.delimiter == Delimiter::Char(','),
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
