//! What stands above a table besides its header: keys and values, groups of names, and a name for a column of wells.

use std::collections::BTreeMap;

use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::{blocks, header, infer};

/// Keys and values in the rows above a table; not the last one where it names groups of columns.
pub(super) fn head(grid: &Grid, before: &[usize], grouped: bool) -> Vec<(String, String)> {
    let names_groups = |row: &&usize| grouped && Some(*row) == before.last();
    // A comment is a pair only if it is written like one: `# made by X, in 2026` is a sentence.
    let is_pair = |row: &&usize| {
        let filled = grid.filled(**row);
        !filled.first().is_some_and(|cell| cell.starts_with('#')) || head::is_marked(&filled)
    };
    let pairs = before
        .iter()
        .filter(|row| is_pair(row) && !names_groups(row))
        .map(|row| head::classify(&grid.filled(*row)));
    pairs
        .filter_map(|line| match line {
            HeadLine::Pairs(pairs) => Some(pairs),
            HeadLine::Note(_) | HeadLine::Row => None,
        })
        .flatten()
        .collect()
}

/// The first column without a name that holds wells, unless another is called so.
pub(super) fn unnamed_wells(grid: &Grid, names: &[&str], rows: &[usize]) -> Option<usize> {
    let mut unnamed = (0..names.len()).filter(|column| names.get(*column).is_some_and(|name| infer::is_empty(name)));
    if names.iter().any(|name| name.trim().eq_ignore_ascii_case("well")) {
        return None;
    }
    unnamed.find(|column| blocks::is_of_wells(rows.iter().map(|row| grid.cell(*row, *column).trim())))
}

/// Names in two lines, as merged cells leave them: a group stands above the first of its names, or above each, and a name
/// of one line for both. `None` where the lower line is no such, be it one of units.
pub(super) fn merged(grid: &Grid, above: usize, below: usize) -> Option<Vec<String>> {
    let (groups, names) = (grid.filled(above), grid.filled(below));
    if !groups.iter().chain(&names).all(|cell| header::is_label(cell)) || groups.is_empty() || names.len() < 2 {
        return None;
    }
    let width = grid.filled_width(above).max(grid.filled_width(below));
    let cell = |row: usize, column: usize| grid.cell(row, column).trim();
    let repeated = |name: &str| names.iter().filter(|other| **other == name).count() > 1;
    let spans = (1..width).any(|column| {
        let (group, before) = (cell(above, column), cell(above, column - 1));
        !cell(below, column).is_empty() && !before.is_empty() && (group.is_empty() || group == before)
    });
    if !spans || !names.iter().any(|name| repeated(name)) {
        return None;
    }
    let mut group = "";
    let all: Vec<String> = (0..width)
        .map(|column| {
            let (own, name) = (cell(above, column), cell(below, column));
            if !own.is_empty() {
                group = own;
            }
            if name.is_empty() || name == group {
                own.to_owned()
            } else if repeated(name) && !group.is_empty() {
                format!("{group} {name}")
            } else {
                name.to_owned()
            }
        })
        .collect();
    Some(all)
}

/// Names with the group that stands above them, where the names alone are not unique: `FAM`, `VIC` above
/// `Target, Conc., Target, Conc.`
pub(super) fn grouped(grid: &Grid, before: &[usize], header: usize, names: &[&str]) -> Option<Vec<String>> {
    let above = before.last().copied().filter(|row| row + 1 == header)?;
    if let Some(merged) = merged(grid, above, header) {
        return Some(merged);
    }
    let groups = grid.filled(above);
    let sparse = groups.len() * 2 <= names.len() && groups.iter().all(|cell| header::is_label(cell));
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    names
        .iter()
        .for_each(|name| *count.entry(name.trim()).or_default() += 1);
    let repeated = |name: &str| !name.is_empty() && count.get(name).is_some_and(|count| *count > 1);
    if !sparse || !names.iter().any(|name| repeated(name.trim())) {
        return None;
    }
    let mut group = "";
    let named = names.iter().enumerate().map(|(column, name)| {
        let cell = grid.cell(above, column).trim();
        if !cell.is_empty() {
            group = cell;
        }
        let name = name.trim();
        if repeated(name) && !group.is_empty() {
            format!("{group} {name}")
        } else {
            name.to_owned()
        }
    });
    Some(named.collect())
}
