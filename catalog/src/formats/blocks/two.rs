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
/// The same of wells below the word for them.
const WELLS_MIN: usize = 2;
/// Share of the rows whose first cell is a value or a well.
const KEYS_MIN: f64 = 0.8;
/// The same of names that differ in their numbers alone.
const NUMBERED_MIN: f64 = 0.6;
/// Rows that show what the columns hold.
const LOOKED_AT: usize = 1000;

/// The table whose header is `first`.
pub(super) fn at(grid: &Grid, first: usize) -> Option<Table> {
    let Below { columns, units, rows } = below(grid, first)?;
    let named = |column: usize| {
        let name = grid.cell(first, column).trim();
        match units {
            Some(units) => format!("{name} {}", grid.cell(units, column).trim()),
            None => name.to_owned(),
        }
    };
    Some(Table {
        context: Context::default(),
        names: columns.map(named).to_vec(),
        columns: columns.to_vec(),
        last: rows.last().copied()?,
        body: rows.into_iter().map(|row| (row, None)).collect(),
        header_rows: 1 + usize::from(units.is_some()),
    })
}

/// Whether `first` is the header of such a table.
pub(super) fn is_header(grid: &Grid, first: usize) -> bool {
    below(grid, first).is_some()
}

/// Whether `first` is the header of such a table, and no list of settings is meant: `Parameter, Value`.
pub(super) fn heads_readings(grid: &Grid, first: usize) -> bool {
    const VALUE: [&str; 6] = ["value", "values", "setting", "settings", "wert", "werte"];
    let is_setting = |name: &&str| VALUE.contains(&name.to_lowercase().as_str());
    !grid.filled(first).last().is_some_and(is_setting) && is_header(grid, first)
}

/// Whether the row is a title in brackets, directly above such a table.
pub(super) fn is_titled(grid: &Grid, row: usize) -> bool {
    is_bracketed(&grid.filled(row)) && is_header(grid, row + 1)
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

/// What stands below the names of a table.
struct Below {
    columns: [usize; 2],
    /// A line of units between them and the rows.
    units: Option<usize>,
    rows: Vec<usize>,
}

/// The table below the names in `first`.
fn below(grid: &Grid, first: usize) -> Option<Below> {
    let is_filled = |row: usize, column: usize| !grid.cell(row, column).trim().is_empty();
    let key = (0..grid.width(first)).find(|column| is_filled(first, *column))?;
    let value = key + 1;
    let names = grid.filled(first);
    let is_named = names.len() == 2 && is_filled(first, value) && header::is_all_labels(&names);
    if !is_named || head::is_marked(&names) || are_units(grid, first) {
        return None;
    }
    let units = Some(first + 1).filter(|row| are_units(grid, *row));
    let from = units.unwrap_or(first) + 1;
    if let Some(rows) = things(grid, first, key) {
        return Some(Below {
            columns: [key, value],
            units: None,
            rows,
        });
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
        within && is_filled(*row, key) && !is_new && !head::is_marked(&filled) && !is_bracketed(&filled)
    };
    let rows: Vec<usize> = (from..grid.height()).take_while(is_row).collect();
    let looked_at = rows.get(..rows.len().min(LOOKED_AT)).unwrap_or_default();
    let keys = || looked_at.iter().map(|row| grid.cell(*row, key).trim());
    let are_wells = keys().all(|key| Well::parse(key).is_some());
    let says_wells = names.first().is_some_and(|name| name.eq_ignore_ascii_case("well"));
    let least = if are_wells && says_wells { WELLS_MIN } else { ROWS_MIN };
    if rows.len() < least {
        return None;
    }
    let cells = GridCells { grid, rows: looked_at };
    let has_worth = |style| rescue::is_worth(&cells, value, style, false);
    let is_measured = is_typed(cells, value) || has_worth(Style::Point) || has_worth(Style::Comma);
    // `S15, blank` above `S16, 16` is a row as those below it.
    let own = stem(grid.cell(first, key).trim());
    if own.contains('#') && keys().next().is_some_and(|key| stem(key) == own) {
        return None;
    }
    let counted = keys()
        .filter(|key| {
            let is_number = number::parse(key).is_some() || number::parse_comma(key).is_some();
            is_number || moment::is_moment(key) || Well::parse(key).is_some()
        })
        .count();
    let are_keys = counted as f64 >= KEYS_MIN * looked_at.len() as f64
        || are_numbered(keys())
        || is_named_above(grid, first, keys().collect());
    (are_wells || (is_measured && are_keys)).then_some(Below {
        columns: [key, value],
        units,
        rows,
    })
}

/// The rows of a list of things by name: both names are words that name things (`Name, Lot`), stand apart from what is above
/// them, and each row below has both cells and a key of its own.
fn things(grid: &Grid, first: usize, key: usize) -> Option<Vec<usize>> {
    if !grid.filled(first).iter().all(|name| words::only_names_things(name)) || !starts_apart(grid, first) {
        return None;
    }
    let mut seen = HashSet::new();
    let is_row = |row: &usize| {
        let filled = grid.filled(*row);
        let within = filled.len() == 2 && [key, key + 1].iter().all(|at| !grid.cell(*row, *at).trim().is_empty());
        within && !head::is_marked(&filled) && seen.insert(grid.cell(*row, key).trim())
    };
    let rows: Vec<usize> = (first + 1..grid.height()).take_while(is_row).collect();
    let ends = rows.last().is_some_and(|last| grid.filled(last + 1).len() < 2);
    (ends && rows.len() >= ROWS_MIN).then_some(rows)
}

/// Whether the title directly above says what the keys are, each of which comes once: `Compounds` above `Compound, MW`.
fn is_named_above(grid: &Grid, first: usize, keys: Vec<&str>) -> bool {
    let singular = |text: &str| {
        text.trim_matches(['[', ']'])
            .to_lowercase()
            .trim_end_matches('s')
            .to_owned()
    };
    let above = first.checked_sub(1).map(|above| grid.filled(above)).unwrap_or_default();
    let [title] = above.as_slice() else { return false };
    let distinct: HashSet<&&str> = keys.iter().collect();
    grid.filled(first)
        .first()
        .is_some_and(|name| singular(name) == singular(title))
        && distinct.len() == keys.len()
}

/// Whether a row is nothing but the units of the two names directly above it, which no lines of a head stand above: those have
/// two cells as well, and the last of them would be taken for names.
fn are_units(grid: &Grid, row: usize) -> bool {
    let units = grid.filled(row);
    let is_plain = |cell: &&str| words::is_unit(cell) && !cell.contains('/');
    let Some(above) = row.checked_sub(1).filter(|_| units.len() == 2) else {
        return false;
    };
    let names = grid.filled(above);
    units.iter().all(|cell| words::is_unit(cell))
        && units.iter().any(is_plain)
        && names.len() == 2
        && header::is_all_labels(&names)
        && !names.iter().any(|name| words::is_unit(name))
        && !head::is_marked(&names)
        && starts_apart(grid, above)
}

/// Whether nothing but a title, or nothing at all, stands directly above a row.
fn starts_apart(grid: &Grid, row: usize) -> bool {
    row.checked_sub(1).is_none_or(|above| grid.filled(above).len() < 2)
}

/// `[Results]`
fn is_bracketed(filled: &[&str]) -> bool {
    matches!(filled, [only] if only.starts_with('[') && only.ends_with(']'))
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
