//! Tables of two columns among other blocks and below heads of keys and values. Two cells in a line are a key and its value as
//! often; what tells a table is that its first column counts, measures, or names wells or numbered things.

use std::collections::{HashMap, HashSet};

use crate::formats::blocks::context::Context;
use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::scan::Plates;
use crate::formats::blocks::table::Table;
use crate::formats::blocks::well::Well;
use crate::formats::grid::Grid;
use crate::formats::infer::Style;
use crate::formats::layout::{GridCells, is_typed};
use crate::formats::{head, header, moment, number, rescue, words};

/// Fewer rows are a key with its value, and another.
const ROWS_MIN: usize = 3;
/// Share of the rows whose first cell is a value or a well.
const KEYS_MIN: f64 = 0.8;
/// The same of names that differ in their numbers alone.
const NUMBERED_MIN: f64 = 0.6;
/// Rows that show what the columns hold.
const LOOKED_AT: usize = 1000;

/// The table whose header is `first`.
pub(super) fn at(grid: &Grid, first: usize) -> Option<Table> {
    let (columns, rows) = below(grid, first)?;
    let names = columns.map(|column| grid.cell(first, column).trim().to_owned());
    Some(Table {
        context: Context::default(),
        names: names.to_vec(),
        columns: columns.to_vec(),
        last: rows.last().copied()?,
        body: rows.into_iter().map(|row| (row, None)).collect(),
        header_rows: 1,
    })
}

/// Whether `first` is the header of such a table.
pub(super) fn is_header(grid: &Grid, first: usize) -> bool {
    below(grid, first).is_some()
}

/// The wells of a table of wells, as a layout of the plates beside it: what was planned for each.
pub(super) fn layout<'a>(grid: &'a Grid, table: &Table) -> Option<Plates<'a>> {
    let ([well, value], [_, name]) = (table.columns.as_slice(), table.names.as_slice()) else {
        return None;
    };
    let cells = table.body.iter();
    let wells: Option<Vec<(Well, &str)>> = cells
        .map(|(row, _)| Some((Well::parse(grid.cell(*row, *well))?, grid.cell(*row, *value).trim())))
        .collect();
    let wells = wells.filter(|_| !name.is_empty())?;
    let distinct: HashSet<&Well> = wells.iter().map(|(well, _)| well).collect();
    if distinct.len() < wells.len() {
        return None;
    }
    let mut context = Context::default();
    context.titles.push("layout".to_owned());
    Some(Plates {
        context,
        first: table.body.first().map_or(0, |(row, _)| *row),
        layers: vec![Layer {
            label: Some(name.clone()),
            axis: Vec::new(),
            beside: None,
            framed: false,
            wells,
        }],
    })
}

/// Whether most of the keys differ in their numbers alone: they name things, and what stands beside them is no record.
pub(super) fn are_numbered<'k>(keys: impl Iterator<Item = &'k str>) -> bool {
    let (mut count, mut stems) = (0usize, HashMap::new());
    for key in keys {
        count += 1;
        let stem = stem(key);
        if stem.contains('#') {
            *stems.entry(stem).or_insert(0usize) += 1;
        }
    }
    let most = stems.values().max().copied().unwrap_or(0);
    most >= ROWS_MIN && most as f64 >= NUMBERED_MIN * count as f64
}

/// The columns of the table, and its rows.
fn below(grid: &Grid, first: usize) -> Option<([usize; 2], Vec<usize>)> {
    let is_filled = |row: usize, column: usize| !grid.cell(row, column).trim().is_empty();
    let key = (0..grid.width(first)).find(|column| is_filled(first, *column))?;
    let value = key + 1;
    let names = grid.filled(first);
    if names.len() != 2 || !is_filled(first, value) || !header::is_all_labels(&names) || head::is_marked(&names) {
        return None;
    }
    let is_row = |row: &usize| {
        let filled = grid.filled(*row);
        let within = filled.len() == usize::from(is_filled(*row, key)) + usize::from(is_filled(*row, value));
        // Other names, and no row whose value could not be read.
        let is_new = header::is_all_labels(&filled)
            && !grid
                .cell(*row, key)
                .contains(|character: char| character.is_ascii_digit())
            && !words::is_mark(grid.cell(*row, value).trim());
        within && is_filled(*row, key) && !is_new && !head::is_marked(&filled)
    };
    let rows: Vec<usize> = (first + 1..grid.height()).take_while(is_row).collect();
    let looked_at = rows.get(..rows.len().min(LOOKED_AT)).unwrap_or_default();
    if rows.len() < ROWS_MIN {
        return None;
    }
    let cells = GridCells { grid, rows: looked_at };
    let has_worth = |style| rescue::is_worth(&cells, value, style, false);
    let is_measured = is_typed(cells, value) || has_worth(Style::Point) || has_worth(Style::Comma);
    let keys = || looked_at.iter().map(|row| grid.cell(*row, key).trim());
    // `S15, blank` above `S16, 16` is a row as those below it.
    let own = stem(grid.cell(first, key).trim());
    if own.contains('#') && keys().next().is_some_and(|key| stem(key) == own) {
        return None;
    }
    let are_wells = keys().all(|key| Well::parse(key).is_some());
    let counted = keys()
        .filter(|key| {
            let is_number = number::parse(key).is_some() || number::parse_comma(key).is_some();
            is_number || moment::is_moment(key) || Well::parse(key).is_some()
        })
        .count();
    let are_keys = counted as f64 >= KEYS_MIN * looked_at.len() as f64 || are_numbered(keys());
    (are_wells || (is_measured && are_keys)).then_some(([key, value], rows))
}

/// A name with a sign in place of each of its numbers.
pub(super) fn stem(name: &str) -> String {
    let mut stem = String::new();
    for character in name.chars() {
        let character = if character.is_ascii_digit() { '#' } else { character };
        if character != '#' || !stem.ends_with('#') {
            stem.push(character);
        }
    }
    stem
}
