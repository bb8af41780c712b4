//! Grids turned or cut so that the rest of the road knows their form: readings by time that lie down, a row for each well;
//! and a plate beside another table.

use std::collections::HashSet;

use crate::formats::grid::Grid;
use crate::formats::{Limits, ReadError, blocks, header, number};

/// Rows of wells that show that a table lies down.
const WELLS_MIN: usize = 6;
/// Lines of axes above them: cycle, time, temperature; fewer than two are a header.
const AXES: std::ops::RangeInclusive<usize> = 2..=4;
/// Rows looked at for a plate beside something else; a longer grid is no sheet of a plate.
const ROWS_MAX: usize = 2_000;

/// The grid in a form that is known, and what was done; `None` where nothing is to be done.
///
/// # Errors
/// `TooLarge`, as any grid.
pub(super) fn known_form(grid: &Grid) -> Result<Option<(Grid, &'static str)>, ReadError> {
    if grid.height() > ROWS_MAX {
        return Ok(None);
    }
    if let Some((first, last)) = lying(grid) {
        return Ok(Some((
            turned(grid, first, last)?,
            "a row for each well turned to columns",
        )));
    }
    Ok(beside(grid)?.map(|stacked| (stacked, "tables side by side parted")))
}

/// First and last row of readings that lie down: lines of axes, each a name and numbers, then a row for each well.
fn lying(grid: &Grid) -> Option<(usize, usize)> {
    let is_number = |cell: &str| {
        number::parse(cell.trim())
            .or_else(|| number::parse_comma(cell.trim()))
            .is_some()
    };
    let is_axis = |row: usize| {
        let mut cells = grid.cells(row).map(str::trim);
        // Samples are counted as wells are (C1, C2, …); axes have names.
        let has_digit = |name: &str| name.contains(|character: char| character.is_ascii_digit());
        let named = cells
            .next()
            .is_some_and(|name| header::is_label(name) && !has_digit(name));
        let width = grid.filled_width(row);
        named && width > 2 && grid.cells(row).take(width).skip(1).all(is_number)
    };
    let is_well = |row: usize| blocks::is_well(grid.cell(row, 0));
    let mut row = 0;
    while row < grid.height() {
        let wells = (row..grid.height()).take_while(|row| is_well(*row)).count();
        if wells < WELLS_MIN {
            row += wells.max(1);
            continue;
        }
        let width = grid.filled_width(row);
        let axes = (0..row)
            .rev()
            .take_while(|above| is_axis(*above) && grid.filled_width(*above) == width)
            .count();
        let same = (row..row + wells).all(|row| grid.filled_width(row) <= width);
        let letter = |row: usize| grid.cell(row, 0).trim().chars().next();
        let letters: HashSet<Option<char>> = (row..row + wells).map(letter).collect();
        if letters.len() > 1 && AXES.contains(&axes) && same {
            return Some((row - axes, row + wells - 1));
        }
        row += wells;
    }
    None
}

fn turned(grid: &Grid, first: usize, last: usize) -> Result<Grid, ReadError> {
    let limits = Limits::default();
    let mut turned = Grid::default();
    let copy = |turned: &mut Grid, rows: std::ops::Range<usize>| {
        rows.into_iter().try_for_each(|row| {
            let line = grid.line(row);
            grid.cells(row)
                .try_for_each(|cell| turned.push_cell(cell, line, &limits))?;
            turned.end_row(line, &limits)
        })
    };
    copy(&mut turned, 0..first)?;
    let line = grid.line(first);
    for column in 0..grid.filled_width(first) {
        (first..=last).try_for_each(|row| turned.push_cell(grid.cell(row, column), line, &limits))?;
        turned.end_row(line, &limits)?;
    }
    copy(&mut turned, last + 1..grid.height())?;
    Ok(turned)
}

/// The parts of a grid below one another where an empty column parts them and a plate is seen in one of them alone.
fn beside(grid: &Grid) -> Result<Option<Grid>, ReadError> {
    let width = (0..grid.height()).map(|row| grid.filled_width(row)).max().unwrap_or(0);
    let is_empty = |column: usize| (0..grid.height()).all(|row| grid.cell(row, column).trim().is_empty());
    // The corner of a plate may be empty in all its rows but has letters below it: the first column parts nothing.
    let Some(cut) = (1..width).find(|column| is_empty(*column)) else {
        return Ok(None);
    };
    let (left, right) = (part(grid, 0..cut)?, part(grid, cut + 1..width)?);
    // Plates side by side are known as such, and a label behind a plate is its own.
    let is_table = |part: &Grid| {
        let mut rows = (0..part.height()).filter(|row| part.filled_width(*row) > 1);
        rows.next().is_some_and(|row| header::is_all_labels(&part.filled(row))) && rows.next().is_some()
    };
    let parted = match (blocks::has_plates(&left), blocks::has_plates(&right)) {
        (true, false) => is_table(&right),
        (false, true) => is_table(&left),
        (true, true) | (false, false) => false,
    };
    if !parted {
        return Ok(None);
    }
    let limits = Limits::default();
    let mut stacked = left;
    stacked.end_row(0, &limits)?;
    for row in 0..right.height() {
        let line = right.line(row);
        right
            .cells(row)
            .try_for_each(|cell| stacked.push_cell(cell, line, &limits))?;
        stacked.end_row(line, &limits)?;
    }
    Ok(Some(stacked))
}

fn part(grid: &Grid, columns: std::ops::Range<usize>) -> Result<Grid, ReadError> {
    let limits = Limits::default();
    let mut part = Grid::default();
    for row in 0..grid.height() {
        let line = grid.line(row);
        let filled = columns
            .clone()
            .filter(|column| !grid.cell(row, *column).trim().is_empty())
            .max();
        let cells = columns.start..filled.map_or(columns.start, |last| last + 1);
        cells
            .into_iter()
            .try_for_each(|column| part.push_cell(grid.cell(row, column), line, &limits))?;
        part.end_row(line, &limits)?;
    }
    Ok(part)
}
