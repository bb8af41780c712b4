//! Titles among the rows of a table: a line with its first cell alone names the rows below it.

use crate::formats::column::Cells;
use crate::formats::grid::Grid;
use crate::formats::header;
use crate::formats::layout::GridCells;

/// The rows of a table without such lines, each with the title above it.
#[derive(Debug)]
pub(super) struct Sections<'g> {
    pub(super) rows: Vec<usize>,
    titles: Vec<&'g str>,
    pub(super) count: usize,
}

impl<'g> Sections<'g> {
    /// `None` unless the first of the rows is a title, each title has rows below it, and all other rows say more. The
    /// titles are padded as the other rows are: a lone cell in its line parts blocks.
    pub(super) fn of(grid: &'g Grid, rows: &[usize], width: usize) -> Option<Self> {
        let is_title = |row: usize| {
            let filled = grid.filled(row);
            filled.len() == 1 && grid.width(row) > 1 && header::is_label(grid.cell(row, 0).trim())
        };
        if width < 3 || !rows.first().is_some_and(|row| is_title(*row)) {
            return None;
        }
        let mut found = Self {
            rows: Vec::with_capacity(rows.len()),
            titles: Vec::with_capacity(rows.len()),
            count: 0,
        };
        let (mut title, mut has_rows) = (None, None);
        for row in rows {
            if is_title(*row) {
                // A name without values is told from a title by the rows below it alone.
                if has_rows == Some(false) {
                    return None;
                }
                has_rows = Some(false);
                title = Some(grid.cell(*row, 0).trim());
                found.count += 1;
            } else {
                has_rows = Some(true);
                found.rows.push(*row);
                found.titles.push(title?);
            }
        }
        (has_rows == Some(true) && found.count * 2 <= found.rows.len()).then_some(found)
    }
}

/// A table with its titles as one more column.
pub(super) struct Sectioned<'c, 'g> {
    pub(super) cells: GridCells<'c>,
    pub(super) width: usize,
    pub(super) sections: &'c Sections<'g>,
}

impl Cells for Sectioned<'_, '_> {
    fn height(&self) -> usize {
        self.cells.height()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        if column == self.width {
            self.sections.titles.get(row).copied().unwrap_or_default()
        } else {
            self.cells.cell(row, column)
        }
    }

    fn line(&self, row: usize) -> Option<u64> {
        self.cells.line(row)
    }
}
