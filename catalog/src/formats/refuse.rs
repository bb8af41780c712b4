//! Rectangles that are not one table, and the words to refuse them with.

use crate::formats::ReadError;
use crate::formats::area;
use crate::formats::blocks;
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::header;
use crate::formats::layout::{GridCells, Source, is_typed};
use crate::formats::shapes::{self, Shape};

/// What is known of a table when its rows are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline {
    pub(super) first: usize,
    pub(super) has_header: bool,
    pub(super) blank_lines: usize,
}

/// Rows of several cells before the table are another table, unless they stand alone.
pub(super) fn rows_before(rows: &[usize], grid: &Grid, shape: &Shape, source: &Source) -> Result<(), ReadError> {
    let is_row = |row: &usize| {
        let filled = grid.filled(*row);
        filled.len() > 2 && head::classify(&filled) == HeadLine::Row && !area::is_prose(&filled)
    };
    if rows.iter().filter(|row| is_row(row)).count() >= 2 {
        Err(shapes::not_a_table(grid, shape, "several blocks", source))
    } else {
        Ok(())
    }
}

/// A row with more content than the header has names.
pub(super) fn long_rows(
    grid: &Grid,
    shape: &Shape,
    rows: &[usize],
    expected: usize,
    source: &Source,
) -> Result<(), ReadError> {
    match rows.iter().find(|row| shape.filled_width(**row) > expected) {
        None => Ok(()),
        Some(row) => Err(ReadError::LongRow {
            place: format!("{} {}", source.place, grid.line(*row)),
            seen: shape.filled_width(*row),
            expected,
            delimiter: source.delimiter.clone(),
        }),
    }
}

/// Many rows without any delimiter are text, not short rows.
pub(super) fn fragments(
    width: usize,
    grid: &Grid,
    shape: &Shape,
    rows: &[usize],
    source: &Source,
) -> Result<(), ReadError> {
    let fragments = rows.iter().filter(|row| grid.width(**row) == 1).count();
    if width > 2 && fragments * 10 > rows.len() && fragments > 1 {
        return Err(shapes::not_a_table(
            grid,
            shape,
            "rows without delimiters among the others",
            source,
        ));
    }
    Ok(())
}

/// A few sentences that have as many commas each are no table.
pub(super) fn sentences(
    header: usize,
    grid: &Grid,
    shape: &Shape,
    rows: &[usize],
    source: &Source,
) -> Result<(), ReadError> {
    // What is called a table by its name is one.
    if !source.single_column && are_sentences(grid, header, rows) {
        return Err(shapes::not_a_table(grid, shape, "sentences", source));
    }
    Ok(())
}

/// Whether every line ends as sentences do, and no cell is a value.
pub(super) fn are_sentences(grid: &Grid, header: usize, rows: &[usize]) -> bool {
    /// A text of more such lines is a list of remarks.
    const SENTENCES_MAX: usize = 10;
    let is_sentence = |row: usize| {
        let filled = grid.filled(row);
        let ends = filled.last().is_some_and(|last| last.ends_with(['.', '!', '?']));
        ends && filled.iter().all(|cell| header::is_label(cell)) && filled.iter().any(|cell| cell.contains(' '))
    };
    rows.len() < SENTENCES_MAX && is_sentence(header) && rows.iter().all(|row| is_sentence(*row))
}

/// Rectangles that are no tables: groups of plate rows, records of several kinds, lists of keys and values.
pub(super) fn other_shapes(
    outline: &Outline,
    grid: &Grid,
    shape: &Shape,
    rows: &[usize],
    source: &Source,
) -> Result<(), ReadError> {
    let head: Vec<&str> = grid.cells(outline.first).collect();
    let first_width = rows.first().map(|row| grid.width(*row));
    let why = if outline.blank_lines > 0 && blocks::numbers_columns(&head) {
        "groups of plate rows without row letters"
    } else if !outline.has_header
        && rows.iter().any(|row| Some(grid.width(*row)) != first_width)
        && source.place == "line"
    {
        "rows of different widths without a header"
    } else if !outline.has_header && rows.len() > 2 && is_record_of_its_own(shape, rows) {
        "a first row of another width than all others"
    } else if shape.filled_width(outline.first) == 2
        && outline.blank_lines > 1
        && !is_typed(GridCells { grid, rows }, 1)
    {
        "a list of keys and values"
    } else {
        return Ok(());
    };
    Err(shapes::not_a_table(grid, shape, why, source))
}

/// The first row has another width than all others, which agree: a record about the file.
fn is_record_of_its_own(shape: &Shape, rows: &[usize]) -> bool {
    let mut widths = rows.iter().map(|row| shape.filled_width(*row));
    let (first, second) = (widths.next(), widths.next());
    first != second && widths.all(|width| Some(width) == second)
}
