//! Wells in lists: `A01` in one file and `A1` in the next are one well, and joins ask for one name. A column that is known to hold
//! wells has them as plates have them, `A1`.
//!
//! It is known where each cell names a well, and the heading says so or there are many different ones. Where some cells are
//! written in one way and some in the other the two may differ in more than that: such a column stays as it is written.

use std::collections::HashSet;

use crate::formats::blocks;
use crate::formats::column::Cells;
use crate::formats::keys::{AS_WRITTEN, SHORTENED};

/// So many different wells need no heading.
const DIFFERENT_MIN: usize = 8;
/// Words of headings.
const HEADINGS: [&str; 8] = [
    "well",
    "wells",
    "position",
    "pos",
    "location",
    "coordinate",
    "vertiefung",
    "puits",
];

/// What is seen of how wells are written.
#[derive(Debug, Clone, Default)]
struct Seen {
    long: bool,
    short: bool,
}

/// How the wells of a column are written, if it is one of wells.
pub(super) fn of_column(name: &str, cells: &dyn Cells, column: usize) -> Option<&'static str> {
    let of = (0..cells.height()).map(|row| cells.cell(row, column).trim());
    of_cells(name, of.filter(|cell| !cell.is_empty()))
}

/// The same of its cells that hold something.
pub(super) fn of_cells<'c>(name: &str, cells: impl Iterator<Item = &'c str>) -> Option<&'static str> {
    let mut seen = Seen::default();
    let mut different: HashSet<&str> = HashSet::new();
    for cell in cells {
        if !blocks::is_well(cell) {
            return None;
        }
        seen.long |= is_long(cell);
        seen.short |= is_short(cell);
        if different.len() < DIFFERENT_MIN {
            different.insert(cell);
        }
    }
    let lower = name.to_lowercase();
    let mut words = lower.split(|character: char| !character.is_alphanumeric());
    let is_called = words.any(|word| HEADINGS.contains(&word));
    let is_known = !different.is_empty() && (is_called || different.len() >= DIFFERENT_MIN);
    // S1 to S9 are samples: no plate is read in its last rows alone.
    let is_plate = different
        .iter()
        .any(|well| well.starts_with(|row: char| ('A'..='H').contains(&row)));
    match (is_known && is_plate, seen.long, seen.short) {
        (false, ..) | (true, true, true) => None,
        (true, true, false) => Some(SHORTENED),
        (true, false, _) => Some(AS_WRITTEN),
    }
}

/// `A01`.
pub(super) fn is_long(well: &str) -> bool {
    let column = well.trim_start_matches(|row: char| row.is_ascii_uppercase());
    column.len() > 1 && column.starts_with('0')
}

/// `A1`.
pub(super) fn is_short(well: &str) -> bool {
    well.trim_start_matches(|row: char| row.is_ascii_uppercase()).len() == 1
}

/// `A1` of `A01`; anything else as it is.
pub(super) fn short(well: &str) -> String {
    let well = well.trim();
    match well.find('0').filter(|_| is_long(well)) {
        Some(at) => format!(
            "{}{}",
            well.get(..at).unwrap_or_default(),
            well.get(at + 1..).unwrap_or_default()
        ),
        None => well.to_owned(),
    }
}

/// Cells of which some columns are wells to be written short.
pub(super) struct Shortened<'c> {
    cells: &'c dyn Cells,
    columns: Vec<(usize, Vec<String>)>,
}

impl<'c> Shortened<'c> {
    pub(super) fn of(cells: &'c dyn Cells, columns: impl Iterator<Item = usize>) -> Self {
        let names = |column: usize| (0..cells.height()).map(|row| short(cells.cell(row, column))).collect();
        Self {
            columns: columns.map(|column| (column, names(column))).collect(),
            cells,
        }
    }
}

impl Cells for Shortened<'_> {
    fn height(&self) -> usize {
        self.cells.height()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        match self.columns.iter().find(|(shortened, _)| *shortened == column) {
            Some((_, names)) => names.get(row).map_or("", String::as_str),
            None => self.cells.cell(row, column),
        }
    }
}
