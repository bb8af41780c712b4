//! Where the table lies in a grid: what stands before it, its header, its rows, what stands after. A grid that is not
//! one rectangle is refused with a description of what was seen.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;

use crate::formats::area::Area;
use crate::formats::column::Cells;
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::pinned::{Notation, Pinned};
use crate::formats::shapes::Shape;
use crate::formats::{Confidence, ReadError, abreast, blocks, infer, turn};

/// How the grid came to be, for messages and for reading numbers.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// `line` or `row` (of a sheet).
    pub(super) place: &'static str,
    pub(super) delimiter: String,
    /// Whether a comma inside a cell may be a decimal comma.
    pub(super) comma_cells: bool,
    /// Whether commas part the cells, so that one inside a cell was quoted.
    pub(super) quoted_commas: bool,
    /// Whether the cells are parted as where decimal commas are.
    pub(super) comma_locale: bool,
    /// Whether a grid of one column is a table (by the file's name or because it is a sheet).
    pub(super) single_column: bool,
    /// What is known of the file beforehand.
    pub(super) pinned: Pinned,
}

impl Source {
    /// How cells are read; columns from `measured_from` on were measured.
    pub(super) fn notation(&self, measured_from: usize) -> Notation<'_> {
        Notation {
            comma_cells: self.comma_cells,
            quoted_commas: self.quoted_commas,
            comma_locale: self.comma_locale,
            measured_from,
            pinned: Some(&self.pinned),
        }
    }
}

/// The tables of a grid.
#[derive(Debug)]
pub(super) struct Found {
    /// At least one, the main table first.
    pub(super) tables: Vec<FoundTable>,
    /// For `taken_for`.
    pub(super) notes: Vec<String>,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) confidence: Confidence,
    /// Rows of several cells that are part of no table, as places for messages.
    pub(super) odd_rows: Vec<String>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct FoundTable {
    /// `None` for the main table.
    pub(super) name: Option<String>,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) first_row: u64,
}

/// Finds and types the tables of a grid.
///
/// # Errors
/// `NotATable`, `NoDataRows`, `LongRow`; `Pinned` where what is pinned does not fit.
pub(super) fn read(grid: &Grid, source: &Source) -> Result<Found, ReadError> {
    if source.pinned.header_row.is_none()
        && let Some((known, note)) = turn::known_form(grid)?
    {
        let mut found = read_known(&known, source)?;
        found.notes.insert(0, note.to_owned());
        return Ok(found);
    }
    read_known(grid, source)
}

fn read_known(grid: &Grid, source: &Source) -> Result<Found, ReadError> {
    let shape = Shape::of(grid);
    if let Some(header) = source.pinned.header_row {
        return Area::pinned(grid, &shape, source, header)?.read(grid, &shape, source);
    }
    if blocks::has_plates(grid) {
        return blocks::read(grid, &shape, source);
    }
    if let Some(found) = abreast::read(grid, source)? {
        return Ok(found);
    }
    let one = Area::find(grid, &shape, source).and_then(|area| area.read(grid, &shape, source));
    match one {
        Ok(found) => Ok(found),
        Err(error @ ReadError::Pinned { .. }) => Err(error),
        // What the one-table reading says is wrong is the better reason, unless blocks explain the grid.
        Err(error) => match blocks::read(grid, &shape, source) {
            Ok(found) => match &error {
                // The row that is too long would be part of no table: it is a damaged row of this one, and would be missing.
                ReadError::LongRow { place, .. } if found.tables.len() == 1 && found.odd_rows.contains(place) => {
                    Err(error)
                }
                _ => Ok(found),
            },
            Err(_) => Err(error),
        },
    }
}

/// Whether a column has a narrower type than text.
pub(super) fn is_typed(cells: GridCells<'_>, column: usize) -> bool {
    let mut evidence = infer::Evidence::default();
    (0..cells.height()).for_each(|row| evidence.see(cells.cell(row, column)));
    !matches!(
        evidence.decide(infer::Commas::Decimal),
        infer::ColumnType::Null | infer::ColumnType::Text
    )
}

/// Some rows of a grid as a table's cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct GridCells<'a> {
    pub(super) grid: &'a Grid,
    pub(super) rows: &'a [usize],
}

impl Cells for GridCells<'_> {
    fn height(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).map_or("", |row| self.grid.cell(*row, column))
    }

    fn line(&self, row: usize) -> Option<u64> {
        self.rows.get(row).map(|row| self.grid.line(*row))
    }
}

/// Keeps a line outside the table as properties.
pub(super) fn keep(grid: &Grid, row: usize, source: &Source, properties: &mut BTreeMap<String, String>) {
    let filled = grid.filled(row);
    match head::classify(&filled) {
        HeadLine::Pairs(pairs) => pairs
            .iter()
            .for_each(|(key, value)| head::record(properties, key, value)),
        HeadLine::Note(note) if note.is_empty() => {}
        HeadLine::Note(note) => head::record(properties, &format!("{} {}", source.place, grid.line(row)), &note),
        HeadLine::Row => {
            head::record(
                properties,
                &format!("{} {}", source.place, grid.line(row)),
                &filled.join(" | "),
            );
        }
    }
}
