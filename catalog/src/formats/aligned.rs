//! Plates aligned by spaces inside a file that parts its other cells by tabs or commas: `A    93    88    32`.

use crate::formats::grid::Grid;
use crate::formats::{Limits, ReadError, blocks, infer, number};

/// Cuts such lines into cells; all others stay as they are. `None` when there are no such lines.
///
/// # Errors
/// `TooLarge`, as any grid.
pub(super) fn cut(grid: &Grid, limits: &Limits) -> Result<Option<Grid>, ReadError> {
    if !(0..grid.height()).any(|row| numbers(&words(grid, row)).is_some()) {
        return Ok(None);
    }
    let mut cut = Grid::default();
    let mut columns = None;
    for row in 0..grid.height() {
        let line = grid.line(row);
        let words = words(grid, row);
        if let Some(count) = numbers(&words) {
            columns = Some(count);
            cut.push_cell("", line, limits)?;
            words.iter().try_for_each(|word| cut.push_cell(word, line, limits))?;
        } else if columns.is_some_and(|columns| is_plate_row(&words, columns)) {
            words.iter().try_for_each(|word| cut.push_cell(word, line, limits))?;
        } else {
            grid.cells(row).try_for_each(|cell| cut.push_cell(cell, line, limits))?;
        }
        cut.end_row(line, limits)?;
    }
    Ok(Some(cut))
}

/// The words of a row of one cell.
fn words(grid: &Grid, row: usize) -> Vec<&str> {
    // Such a line has no delimiter at all; the cheap question first, for most files have no such line.
    if grid.width(row) == 1 {
        grid.cell(row, 0).split_whitespace().collect()
    } else {
        Vec::new()
    }
}

/// How many columns the words number, when they do nothing else.
fn numbers(words: &[&str]) -> Option<usize> {
    blocks::numbers_columns(words).then_some(words.len())
}

/// A letter and as many values as the plate has columns; with fewer nobody knows which well is missing.
fn is_plate_row(words: &[&str], columns: usize) -> bool {
    let Some((first, values)) = words.split_first() else {
        return false;
    };
    let is_value = |word: &&str| number::parse(word).is_some() || infer::is_null_word(word);
    // A well that could not be read says so in a word, `TNTC`; a whole row may.
    let is_row = values.iter().any(is_value) || values.iter().all(|word| Some(word) == values.first());
    blocks::is_plate_row(first) && values.len() == columns && is_row
}
