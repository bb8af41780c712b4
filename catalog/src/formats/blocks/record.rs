//! A file that is nothing but keys and values: one measurement, one row.

use std::collections::{BTreeMap, HashSet};

use crate::formats::blocks::draft::Draft;
use crate::formats::blocks::scan::Scan;
use crate::formats::blocks::two;
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::layout::{Found, Source, keep};
use crate::formats::{Confidence, ReadError, number};

/// Fewer pairs are a note.
const PAIRS_MIN: usize = 5;
/// A record measures something.
const NUMBERS_MIN: usize = 2;

/// The one row; `None` when the grid is no record.
///
/// # Errors
/// As for any table.
pub(super) fn read(grid: &Grid, source: &Source, scan: &Scan<'_>) -> Result<Option<Found>, ReadError> {
    if !scan.plates.is_empty() || !scan.tables.is_empty() || !scan.odd.is_empty() {
        return Ok(None);
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut notes = Vec::new();
    for row in &scan.lines {
        match head::classify(&grid.filled(*row)) {
            HeadLine::Pairs(found) => pairs.extend(found),
            HeadLine::Note(note) if note.is_empty() => {}
            HeadLine::Note(_) | HeadLine::Row => notes.push(*row),
        }
    }
    let distinct: HashSet<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    let is_number = |value: &str| number::parse(value).is_some() || number::parse_comma(value).is_some();
    let numbers = pairs.iter().filter(|(_, value)| is_number(value)).count();
    let is_record = pairs.len() >= PAIRS_MIN
        && distinct.len() == pairs.len()
        && numbers >= NUMBERS_MIN
        && !two::are_numbered(pairs.iter().map(|(key, _)| key.as_str()))
        && notes.len() * 4 <= pairs.len();
    if !is_record {
        return Ok(None);
    }
    let mut properties = BTreeMap::new();
    notes.iter().for_each(|row| keep(grid, *row, source, &mut properties));
    let mut confidence = Confidence::default();
    confidence.doubt(0.9, "keys and values taken for one record");
    let first = scan.lines.first().copied().unwrap_or(0);
    let (names, values): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
    let count = names.len();
    let mut draft = Draft::new(names, first);
    draft.push(0, values.into_iter().map(Into::into).collect());
    Ok(Some(Found {
        tables: vec![super::finish(grid, &draft, source, &mut confidence)?],
        notes: vec![format!("a record of {count} keys and values, one row")],
        properties,
        confidence,
        odd_rows: Vec::new(),
    }))
}
