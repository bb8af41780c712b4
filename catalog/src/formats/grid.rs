//! A grid of text cells with the line each row came from: what delimited text and sheets have in common.

use crate::formats::{Limits, ReadError};

/// Cells of one file. Each costs four bytes beside its text, so this is half a gigabyte.
const CELLS_MAX: usize = 1 << 27;

/// Rows of cells; the text lies in one string, so a cell costs four bytes.
#[derive(Debug, Default)]
pub(super) struct Grid {
    text: String,
    /// Where each cell's text ends; it starts where the one before ended.
    ends: Vec<u32>,
    /// One past the last cell of each row.
    row_ends: Vec<usize>,
    /// The line (or sheet row) each row starts in, from 1.
    lines: Vec<u64>,
}

impl Grid {
    /// Adds a cell to the open row.
    ///
    /// # Errors
    /// `TooLarge` when the cell or the grid is.
    pub(super) fn push_cell(&mut self, cell: &str, line: u64, limits: &Limits) -> Result<(), ReadError> {
        if cell.len() > limits.cell_bytes_max {
            return Err(ReadError::TooLarge {
                what: "a cell",
                seen: format!("{} bytes (line {line})", cell.len()),
                max: limits.cell_bytes_max as u64,
            });
        }
        self.text.push_str(cell);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        if end == u32::MAX || self.ends.len() >= CELLS_MAX {
            return Err(ReadError::TooLarge {
                what: "the number of cells or their text",
                seen: format!("larger (line {line})"),
                max: CELLS_MAX as u64,
            });
        }
        self.ends.push(end);
        Ok(())
    }

    /// Closes the row that started in `line`.
    ///
    /// # Errors
    /// `TooLarge` for too many rows or columns.
    pub(super) fn end_row(&mut self, line: u64, limits: &Limits) -> Result<(), ReadError> {
        let width = self.ends.len() - self.row_ends.last().copied().unwrap_or(0);
        if width > limits.columns_max {
            return Err(ReadError::TooLarge {
                what: "the number of columns",
                seen: format!("{width} (line {line})"),
                max: limits.columns_max as u64,
            });
        }
        if self.row_ends.len() >= limits.rows_max {
            return Err(ReadError::TooLarge {
                what: "the number of rows",
                seen: format!("larger (line {line})"),
                max: limits.rows_max as u64,
            });
        }
        self.row_ends.push(self.ends.len());
        self.lines.push(line);
        Ok(())
    }

    pub(super) fn height(&self) -> usize {
        self.row_ends.len()
    }

    /// Cells of the row as written, empty ones included.
    pub(super) fn width(&self, row: usize) -> usize {
        self.cell_range(row).len()
    }

    pub(super) fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// The cell's text, or an empty string where the row is shorter.
    pub(super) fn cell(&self, row: usize, column: usize) -> &str {
        let range = self.cell_range(row);
        let at = range.start.saturating_add(column);
        if at >= range.end { "" } else { self.text_of(at) }
    }

    pub(super) fn cells(&self, row: usize) -> impl Iterator<Item = &str> + Clone {
        self.cell_range(row).map(|at| self.text_of(at))
    }

    /// Columns up to and including the last one with content.
    pub(super) fn filled_width(&self, row: usize) -> usize {
        let range = self.cell_range(row);
        let start = range.start;
        range
            .rev()
            .find(|at| !self.text_of(*at).trim().is_empty())
            .map_or(0, |at| at + 1 - start)
    }

    /// Cells with content.
    pub(super) fn filled(&self, row: usize) -> Vec<&str> {
        self.cells(row).map(str::trim).filter(|cell| !cell.is_empty()).collect()
    }

    fn cell_range(&self, row: usize) -> std::ops::Range<usize> {
        let end = self.row_ends.get(row).copied().unwrap_or(0);
        let start = match row.checked_sub(1) {
            Some(before) => self.row_ends.get(before).copied().unwrap_or(end),
            None => 0,
        };
        start..end
    }

    fn text_of(&self, at: usize) -> &str {
        let end = self.ends.get(at).copied().unwrap_or(0) as usize;
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0) as usize,
            None => 0,
        };
        self.text.get(start..end).unwrap_or_default()
    }
}
