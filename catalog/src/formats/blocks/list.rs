//! Lists with a column for each well: time or wavelength down, wells across.

use std::collections::HashSet;

use crate::formats::blocks::frame::axis_name;
use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::outline::Outline;
use crate::formats::blocks::well::{SURE_COLUMNS, Well};
use crate::formats::grid::Grid;
use crate::formats::{infer, number};

/// Fewer columns named like wells may be anything.
const WELLS_MIN: usize = 4;
/// Columns before the wells.
const BEFORE_MAX: usize = 6;
/// Blank lines between two rows of one list.
const GAP_MAX: usize = 3;
/// Different words in the wells of one row that is no other block.
const WORDS_MAX: usize = 3;
/// Cells looked at to tell a row of values from another block.
const LOOKED_AT: usize = 200;

/// A list in the grid.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) last: usize,
}

/// Where the wells of a header stand.
struct Header {
    start: usize,
    wells: Vec<Well>,
}

impl Header {
    /// A header: few names, then well after well, nothing behind them.
    fn of(grid: &Grid, outline: &Outline, row: usize) -> Option<Self> {
        let width = outline.filled_width(row);
        let start = (0..width.min(BEFORE_MAX + 1)).find(|column| Well::parse(grid.cell(row, *column)).is_some())?;
        let wells: Vec<Well> = (start..width)
            .map_while(|column| Well::parse(grid.cell(row, column)))
            .collect();
        let distinct: HashSet<&Well> = wells.iter().collect();
        let whole = start + wells.len() == width && distinct.len() == wells.len();
        (whole && wells.len() >= WELLS_MIN).then_some(Self { start, wells })
    }

    fn fits(&self, grid: &Grid, outline: &Outline, row: usize) -> bool {
        let cells = (self.start..self.start + self.wells.len()).map(|column| grid.cell(row, column).trim());
        let (mut filled, mut values) = (0usize, 0usize);
        let mut words = HashSet::new();
        for cell in cells.filter(|cell| !cell.is_empty()).take(LOOKED_AT) {
            filled += 1;
            let is_value = number::parse(cell).is_some() || number::parse_comma(cell).is_some();
            if is_value || infer::is_null_word(cell) {
                values += 1;
            } else {
                words.insert(cell);
            }
        }
        // Some readers write a word for what they could not read. Most cells are numbers all the same; or the axis goes on, and
        // all wells say one of a few words: they are saturated.
        let mut axis = (0..self.start).map(|column| grid.cell(row, column).trim());
        let goes_on =
            words.len() <= WORDS_MAX && axis.any(|cell| cell.starts_with(|first: char| first.is_ascii_digit()));
        filled > 0 && (values * 2 >= filled || goes_on) && outline.filled_width(row) <= self.start + self.wells.len()
    }
}

/// The list whose header is `header`; `told` as in [`super::matrix::at`]; `names` are for rows that no axis tells apart.
pub(super) fn at<'a>(
    grid: &'a Grid,
    outline: &Outline,
    header: usize,
    told: bool,
    names: impl Fn(usize) -> Option<Vec<String>>,
) -> Option<List<'a>> {
    let sure = |found: &Header| told || found.wells.len() >= SURE_COLUMNS;
    let found = Header::of(grid, outline, header).filter(sure)?;
    let mut rows = Vec::new();
    let mut row = header + 1;
    while let Some(next) = outline.next_content(row) {
        if next - row > GAP_MAX || !found.fits(grid, outline, next) {
            break;
        }
        rows.push(next);
        row = next + 1;
    }
    let last = rows.last().copied()?;
    let used: Vec<usize> = (0..found.start)
        .filter(|column| rows.iter().any(|row| !grid.cell(*row, *column).trim().is_empty()))
        .collect();
    let axes: Vec<Vec<(String, String)>> = rows
        .iter()
        .map(|row| {
            used.iter()
                .map(|column| {
                    let value = grid.cell(*row, *column).trim();
                    (axis_name(grid.cell(header, *column).trim(), value), value.to_owned())
                })
                .collect()
        })
        .collect();
    let distinct: HashSet<Vec<&str>> = axes
        .iter()
        .map(|axis| axis.iter().map(|(_, value)| value.as_str()).collect())
        .collect();
    let told_apart = distinct.len() == rows.len();
    let beside = if told_apart { None } else { names(rows.len()) };
    let layers = rows
        .iter()
        .zip(axes)
        .enumerate()
        .map(|(at, (row, axis))| {
            let named = beside.as_ref().and_then(|names| names.get(at).cloned());
            Layer {
                label: None,
                axis,
                beside: (!told_apart).then(|| named.unwrap_or_else(|| (at + 1).to_string())),
                framed: !told_apart || rows.len() == 1,
                wells: found
                    .wells
                    .iter()
                    .enumerate()
                    .map(|(column, well)| (*well, grid.cell(*row, found.start + column).trim()))
                    .collect(),
            }
        })
        .collect();
    Some(List { layers, last })
}
