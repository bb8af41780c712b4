//! The outline of a grid: which rows have content and how far it reaches. Computed once, for wide files have thousands
//! of cells a row.

use std::collections::BTreeMap;

use crate::formats::ReadError;
use crate::formats::grid::Grid;
use crate::formats::layout::Source;

/// Blocks listed in a message before "and so on".
const BLOCKS_SHOWN: usize = 4;
/// Characters of a line quoted in a message.
const EXCERPT_CHARS: usize = 60;

/// How wide the content of each row is.
#[derive(Debug)]
pub(super) struct Shape {
    filled_widths: Vec<usize>,
    is_padded: bool,
    widths: Vec<usize>,
}

impl Shape {
    pub(super) fn of(grid: &Grid) -> Self {
        let filled_widths: Vec<usize> = (0..grid.height()).map(|row| grid.filled_width(row)).collect();
        let widths: Vec<usize> = (0..grid.height()).map(|row| grid.width(row)).collect();
        let mut of_content = filled_widths
            .iter()
            .zip(&widths)
            .filter(|(filled, _)| **filled > 0)
            .map(|(_, width)| *width);
        let first = of_content.next();
        let is_padded = of_content.all(|width| Some(width) == first);
        Self {
            filled_widths,
            is_padded,
            widths,
        }
    }

    /// Rows with content, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.filled_widths
            .iter()
            .enumerate()
            .filter(|(_, width)| **width > 0)
            .map(|(row, _)| row)
    }

    /// Columns up to the last one with content; 0 for a blank row.
    pub(super) fn filled_width(&self, row: usize) -> usize {
        self.filled_widths.get(row).copied().unwrap_or(0)
    }

    /// The width of the rows that hold most cells (a long head of pairs has more rows than a short table); in a grid
    /// padded to one width, the widest content.
    pub(super) fn table_width(&self, rows: &[usize]) -> usize {
        if self.is_padded {
            return rows.iter().map(|row| self.filled_width(*row)).max().unwrap_or(0);
        }
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| self.filled_width(**row) > 1) {
            *counts.entry(self.widths.get(*row).copied().unwrap_or(0)).or_default() += 1;
        }
        let common = counts
            .iter()
            .max_by_key(|(width, count)| (**count > 1, **count * **width, **width))
            .map_or(0, |(width, _)| *width);
        // Trailing delimiters make rows wider than their content.
        let content = rows
            .iter()
            .filter(|row| self.widths.get(**row) == Some(&common))
            .map(|row| self.filled_width(*row))
            .max()
            .unwrap_or(0);
        if content == 0 {
            rows.iter().map(|row| self.filled_width(*row)).max().unwrap_or(0)
        } else {
            content
        }
    }

    /// Runs of rows without a blank one between, as first and last row.
    pub(super) fn blocks(&self) -> Vec<(usize, usize)> {
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for row in self.rows() {
            match blocks.last_mut() {
                Some((_, last)) if *last + 1 == row => *last = row,
                _ => blocks.push((row, row)),
            }
        }
        blocks
    }
}

/// A refusal that lists what the grid holds.
pub(super) fn not_a_table(grid: &Grid, shape: &Shape, why: &str, source: &Source) -> ReadError {
    let blocks = shape.blocks();
    let mut parts: Vec<String> = blocks
        .iter()
        .take(BLOCKS_SHOWN)
        .map(|(first, last)| {
            let widest = (*first..=*last).map(|row| shape.filled_width(row)).max().unwrap_or(0);
            format!(
                "{}s {}–{} with up to {widest} cells ({})",
                source.place,
                grid.line(*first),
                grid.line(*last),
                excerpt(grid, *first)
            )
        })
        .collect();
    if let Some(more) = blocks.len().checked_sub(BLOCKS_SHOWN).filter(|more| *more > 0) {
        parts.push(format!("and {more} more"));
    }
    ReadError::NotATable {
        seen: format!("{why}: {}", parts.join("; ")),
    }
}

/// The start of a row, for messages.
pub(super) fn excerpt(grid: &Grid, row: usize) -> String {
    let text = grid.filled(row).join(" | ");
    let mut short: String = text.chars().take(EXCERPT_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
