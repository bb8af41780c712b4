//! Which rows of a grid are blank, and how: computed once, asked often.

use crate::formats::grid::Grid;

/// The outline of a grid.
#[derive(Debug)]
pub(super) struct Outline {
    filled_widths: Vec<usize>,
    filled: Vec<usize>,
    widths: Vec<usize>,
    /// For each row the next one with content, itself included; the height where there is none.
    next: Vec<usize>,
    /// Some blank rows have a single cell, so a blank row of many cells means something.
    has_bare: bool,
}

impl Outline {
    pub(super) fn of(grid: &Grid) -> Self {
        let height = grid.height();
        let filled_widths: Vec<usize> = (0..height).map(|row| grid.filled_width(row)).collect();
        let widths: Vec<usize> = (0..height).map(|row| grid.width(row)).collect();
        let filled = (0..height).map(|row| grid.filled(row).len()).collect();
        let mut next = vec![height; height];
        let mut content = height;
        for (row, place) in next.iter_mut().enumerate().rev() {
            if filled_widths.get(row).is_some_and(|width| *width > 0) {
                content = row;
            }
            *place = content;
        }
        let has_bare = filled_widths
            .iter()
            .zip(&widths)
            .any(|(filled, width)| *filled == 0 && *width <= 1);
        Self {
            filled_widths,
            filled,
            widths,
            next,
            has_bare,
        }
    }

    pub(super) fn is_blank(&self, row: usize) -> bool {
        self.filled_width(row) == 0
    }

    /// Columns up to the last one with content.
    pub(super) fn filled_width(&self, row: usize) -> usize {
        self.filled_widths.get(row).copied().unwrap_or(0)
    }

    /// Cells with content.
    pub(super) fn filled(&self, row: usize) -> usize {
        self.filled.get(row).copied().unwrap_or(0)
    }

    /// The first row from `row` on that has content.
    pub(super) fn next_content(&self, row: usize) -> Option<usize> {
        let next = self.next.get(row).copied()?;
        (next < self.next.len()).then_some(next)
    }

    /// A blank row that is written out as at least `columns` empty cells in a grid that also has empty lines.
    pub(super) fn is_frame(&self, row: usize, columns: usize) -> bool {
        self.has_bare && self.is_blank(row) && self.widths.get(row).is_some_and(|width| *width >= columns)
    }

    /// A blank row that parts blocks.
    pub(super) fn is_gap(&self, row: usize, columns: usize) -> bool {
        self.is_blank(row) && !self.is_frame(row, columns)
    }
}
