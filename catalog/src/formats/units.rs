//! A second line of a header: units or names of types below the names. What tells it from a first row of data whose values
//! could not be read.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use crate::formats::grid::Grid;
use crate::formats::infer::{self, Style};
use crate::formats::keys::UNIT_KEY;
use crate::formats::layout::{GridCells, is_typed};
use crate::formats::{blocks, header, rescue, words};

/// Rows that show whether a column holds wells.
const WELL_ROWS: usize = 100;

/// Whether `row`, below the names in the row `header`, only labels the columns of the rows `below`: it has no value itself,
/// and at least two columns hold values without it. No row of data does, be all of its values marks such as `OVRFLW`: its key
/// is of the kind of the other keys, and words of its other columns come again.
pub(super) fn is_second_header(grid: &Grid, header: usize, row: usize, below: &[usize]) -> bool {
    let filled = grid.filled(row);
    if below.len() < 2 || !header::is_all_labels(&filled) || filled.iter().any(|cell| words::is_mark(cell)) {
        return false;
    }
    let columns = || (0..grid.width(row)).filter(|column| !infer::is_empty(grid.cell(row, *column)));
    let (over_values, over_words): (Vec<usize>, Vec<usize>) =
        columns().partition(|column| is_measured(grid, below, *column));
    if over_values.len() < 2 {
        return false;
    }
    // Units leave the place of the key blank.
    let key = (0..grid.width(header)).find(|column| !infer::is_empty(grid.cell(header, *column)));
    if key.is_some_and(|key| infer::is_empty(grid.cell(row, key))) {
        return true;
    }
    let are_units = over_values
        .iter()
        .all(|column| words::is_unit(grid.cell(row, *column).trim()));
    let is_value = |column: &usize| {
        let cell = grid.cell(row, *column).trim();
        let cells = || below.iter().map(|row| grid.cell(*row, *column).trim());
        // Below no name it is the name of its column.
        let is_named = !infer::is_empty(grid.cell(header, *column));
        let is_word = !are_units && is_named && cells().any(|other| !other.is_empty());
        is_word
            || (blocks::is_well(cell) && blocks::is_of_wells(cells().take(WELL_ROWS)))
            || cells().any(|other| other == cell)
    };
    !over_words.iter().any(is_value)
}

/// Keeps the units of a second header with the columns that they stand over.
pub(super) fn kept(batches: Vec<RecordBatch>, grid: &Grid, row: usize) -> Vec<RecordBatch> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return batches;
    };
    let fields = schema.fields().iter().enumerate().map(|(column, field)| {
        let cell = grid.cell(row, column).trim();
        if !words::is_unit(cell) {
            return Arc::clone(field);
        }
        let bare = [('(', ')'), ('[', ']'), ('{', '}')]
            .into_iter()
            .find_map(|(open, close)| cell.strip_prefix(open)?.strip_suffix(close))
            .unwrap_or(cell);
        let mut field = field.as_ref().clone();
        field.metadata_mut().insert(UNIT_KEY.to_owned(), bare.trim().to_owned());
        Arc::new(field)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
    let with = |batch: &RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
    let kept: Result<Vec<RecordBatch>, _> = batches.iter().map(with).collect();
    kept.unwrap_or(batches)
}

/// Whether a column holds values in the rows, maybe with some words among them.
fn is_measured(grid: &Grid, rows: &[usize], column: usize) -> bool {
    let cells = GridCells { grid, rows };
    let has_worth = |style| rescue::is_worth(&cells, column, style, false);
    is_typed(cells, column) || has_worth(Style::Point) || has_worth(Style::Comma)
}
