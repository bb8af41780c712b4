//! Column numbers above a plate, whole or in part: `1, 2, 3`, but also `3, 4, 5` of wells in the middle, `1, 3, 5` where
//! columns were left out, `13, 14, …` of a second half; and the titles of plates side by side.

use crate::formats::blocks::matrix::{self, column_number, starts_with_digit};
use crate::formats::blocks::outline::Outline;
use crate::formats::grid::Grid;
use crate::formats::header;

/// Columns of the largest plate.
const COLUMNS_MAX: usize = 48;
/// Fewer numbers in a row are a coincidence; where no word speaks of plates, so are fewer than the second.
const COLUMNS_MIN: usize = 3;
const UNTOLD_COLUMNS_MIN: usize = 4;
/// The same of lettered rows below them.
const LETTERS_MIN: usize = 2;
const UNTOLD_LETTERS_MIN: usize = 3;
/// Cells before the first number.
const BEFORE_MAX: usize = 2;
/// Blank lines between titles and the plates below them.
const GAP_MAX: usize = 1;

/// A run of column numbers in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) columns: usize,
    /// The first number, and how far the next one is from it.
    first: usize,
    step: usize,
}

impl Run {
    /// `1, 2, 3, …` from the grid's column `start` on.
    pub(super) fn whole(start: usize, columns: usize) -> Self {
        Self {
            start,
            columns,
            first: 1,
            step: 1,
        }
    }

    /// The plate's column, from 0, that the run's cell `at` numbers.
    pub(super) fn plate_column(self, at: usize) -> usize {
        (self.first + at * self.step).saturating_sub(1)
    }
}

/// Column numbers of a part of a plate, when the row holds little else.
pub(super) fn run(grid: &Grid, row: usize) -> Option<Run> {
    let width = grid.filled_width(row);
    let number =
        |column: usize| column_number(grid.cell(row, column)).filter(|number| (1..=COLUMNS_MAX).contains(number));
    let start = (0..=BEFORE_MAX).find(|column| number(*column).is_some())?;
    let (first, second) = (number(start)?, number(start + 1)?);
    let step = second.checked_sub(first).filter(|step| *step > 0)?;
    let columns = (0..)
        .take_while(|at| number(start + at) == Some(first + at * step))
        .count();
    let corner = (0..start).all(|column| is_corner(grid.cell(row, column).trim()));
    let behind = (start + columns..width).all(|column| !starts_with_digit(grid.cell(row, column)));
    let few = width <= start + columns + matrix::BEHIND_MAX;
    (columns >= COLUMNS_MIN && corner && behind && few).then_some(Run {
        start,
        columns,
        first,
        step,
    })
}

/// Whether rows of these letters below the run are a plate: they follow one another.
pub(super) fn is_plate(grid: &Grid, header: usize, run: Run, letters: &[usize], told: bool) -> bool {
    let follow = letters.iter().zip(letters.iter().skip(1)).all(|(a, b)| *b == a + 1);
    // `<>` is how some readers mark a plate.
    let told = told || (0..run.start).any(|column| grid.cell(header, column).trim() == "<>");
    let (columns_min, letters_min) = match told {
        true => (COLUMNS_MIN, LETTERS_MIN),
        false => (UNTOLD_COLUMNS_MIN, UNTOLD_LETTERS_MIN),
    };
    follow && run.columns >= columns_min && letters.len() >= letters_min
}

/// The cheap look at the first cells of a row: an empty corner, then numbers in equal steps.
pub(super) fn could_head<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let cells: Vec<&str> = cells.collect();
    let before = cells.iter().take_while(|cell| is_corner(cell)).count();
    let numbers: Vec<usize> = cells
        .iter()
        .skip(before)
        .map_while(|cell| column_number(cell).filter(|number| *number <= COLUMNS_MAX))
        .collect();
    match numbers.as_slice() {
        [first, second, third, ..] => before > 0 && first < second && third + first == 2 * second,
        _ => false,
    }
}

/// Titles of plates side by side, one above each, and the row they stand in.
pub(super) fn titles(grid: &Grid, outline: &Outline, header: usize, runs: &[Run]) -> Option<(usize, Vec<String>)> {
    if runs.len() < 2 {
        return None;
    }
    let row = (0..header)
        .rev()
        .take(GAP_MAX + 1)
        .find(|row| !outline.is_blank(*row))?;
    let mut from = 0;
    let mut titles = Vec::new();
    for run in runs {
        let end = run.start + run.columns;
        let mut cells = (from..end)
            .map(|column| grid.cell(row, column).trim())
            .filter(|cell| !cell.is_empty());
        let title = cells.next().filter(|title| header::is_label(title))?;
        if cells.next().is_some() || titles.iter().any(|known| known == title) {
            return None;
        }
        titles.push(title.to_owned());
        from = end;
    }
    (outline.filled(row) == titles.len()).then_some((row, titles))
}

/// Whether the row holds the titles of plates side by side below it.
pub(super) fn are_titles(grid: &Grid, outline: &Outline, row: usize) -> bool {
    let header = outline.next_content(row + 1);
    header.is_some_and(|header| {
        titles(grid, outline, header, &matrix::runs(grid, header)).is_some_and(|(found, _)| found == row)
    })
}

/// What stands before the first number: nothing, a mark, or the word for rows.
fn is_corner(cell: &str) -> bool {
    !cell.contains(char::is_alphanumeric) || ["row", "rows", "well", "wells"].contains(&cell.to_lowercase().as_str())
}
