//! Plain tables of one shape joined: repeated sections become one table with what differs as columns; summary rows get a
//! table of their own.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use crate::formats::blocks::draft::Draft;
use crate::formats::blocks::plates::is_value_key;
use crate::formats::blocks::rows::BLANK_WELLS_MAX;
use crate::formats::blocks::summary::{is_summary, summary_at_end};
use crate::formats::blocks::table::Table;
use crate::formats::blocks::well::Well;
use crate::formats::column::Cells;
use crate::formats::grid::Grid;
use crate::formats::{head, number};

/// Share of a column's values that are wells in a column of wells.
const WELLS_MIN: f64 = 0.6;
/// Rows that show whether a column may hold wells.
const LOOKED_AT: usize = 100;
/// Keys of sections that become columns; more are a protocol.
const KEYS_MAX: usize = 40;

/// The tables, each with its title; `head` holds where a section does not say otherwise.
pub(super) fn drafts<'a>(grid: &'a Grid, head: &[(String, String)], tables: Vec<Table>) -> Vec<Draft<'a>> {
    let mut groups: Vec<Vec<Table>> = Vec::new();
    for table in tables {
        let same = |group: &&mut Vec<Table>| {
            group.first().is_some_and(|first| {
                first.names == table.names
                    && (!table.names.iter().all(String::is_empty) || first.columns == table.columns)
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(table),
            None => groups.push(vec![table]),
        }
    }
    groups.iter().flat_map(|group| join(grid, head, group)).collect()
}

/// One shape: its rows, and its summary rows if there are any.
fn join<'a>(grid: &'a Grid, head: &[(String, String)], tables: &[Table]) -> Vec<Draft<'a>> {
    let Some(first) = tables.first() else { return Vec::new() };
    let constants = Constants::of(head, tables);
    let mut names = constants.names();
    let mut own = first.names.clone();
    name_wells(grid, tables, &mut own);
    names.extend(own);
    let start = tables
        .iter()
        .find_map(|table| table.body.first())
        .map_or(0, |(row, _)| *row);
    let mut rows = Draft::new(names.clone(), start);
    let mut summary = Draft::new(names, start);
    rows.title = constants.title.clone();
    let name = rows.title.clone().unwrap_or_default();
    summary.title = Some(format!("{name} summary").trim().to_owned());
    let wells = well_column(grid, tables);
    for (at, table) in tables.iter().enumerate() {
        let plain: Vec<usize> = table.body.iter().map(|(row, _)| *row).collect();
        let foot = summary_at_end(grid, &plain).map_or_else(Vec::new, |(_, summed)| summed);
        for (row, label) in &table.body {
            let cells: Vec<Cow<'a, str>> = table
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| {
                    // The label of a group stands in the first column of its rows.
                    let row = if place == 0 { label.unwrap_or(*row) } else { *row };
                    Cow::Borrowed(head::unquoted(grid.cell(row, *column)))
                })
                .collect();
            let summed = match wells {
                Some(column) => cells.get(column).is_some_and(|cell| is_summary(cell)),
                None => label.is_some() && cells.first().is_some_and(|cell| is_summary(cell)),
            };
            let draft = if summed || foot.contains(row) {
                &mut summary
            } else {
                &mut rows
            };
            let section = draft.constants(at, || constants.of_table(table));
            draft.push(section, cells);
        }
    }
    let unused = unused_wells(&rows.names, rows.constant_columns(), &rows);
    rows.blank_wells = unused.len();
    rows.leave_out(&unused);
    [rows, summary].into_iter().filter(|draft| draft.height() > 0).collect()
}

/// The first column that holds wells, if a summary word stands in it.
fn well_column(grid: &Grid, tables: &[Table]) -> Option<usize> {
    let first = tables.first()?;
    (0..first.columns.len()).find(|place| {
        let cells = || cells_of(grid, tables, *place);
        is_of_wells(cells()) && cells().any(is_summary)
    })
}

/// Rows without and with a summary word in the column of wells, when there are both. A row without a well and without
/// any number heads a group.
pub(super) fn summary_rows(grid: &Grid, rows: &[usize], width: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    let cells = |column: usize| rows.iter().map(move |row| grid.cell(*row, column).trim());
    if let Some(parted) = summary_at_end(grid, rows) {
        return Some(parted);
    }
    let column = (0..width).find(|column| {
        // A few rows rule most columns out, and the whole column is looked at once.
        let others_max = rows.len() * 2 / 5;
        let others = || cells(*column).filter(|cell| Well::parse(cell).is_none());
        is_of_wells(cells(*column).take(LOOKED_AT))
            && others().nth(others_max).is_none()
            && others().any(|cell| cell.is_empty() || is_summary(cell))
    })?;
    let is_empty = |row: usize| {
        grid.cell(row, column).trim().is_empty() && grid.filled(row).iter().all(|cell| number::parse(cell).is_none())
    };
    let (summed, plain): (Vec<usize>, Vec<usize>) = rows
        .iter()
        .partition(|row| is_summary(grid.cell(**row, column)) || is_empty(**row));
    (!summed.is_empty() && !plain.is_empty()).then_some((plain, summed))
}

/// Rows of a list of wells that say nothing but which well they are, of the columns `from` on: the wells were not used.
/// None where they are few, for then some wells of a plate have failed.
pub(super) fn unused_wells(names: &[String], from: usize, cells: &dyn Cells) -> HashSet<usize> {
    let height = cells.height();
    let column = |at: usize, rows: usize| (0..rows.min(height)).map(move |row| cells.cell(row, at).trim());
    // Most tables have no wells at all, and pay for a few rows only.
    if !(from..names.len()).any(|at| is_of_wells(column(at, LOOKED_AT))) {
        return HashSet::new();
    }
    let mut telling = Vec::new();
    for at in from..names.len() {
        let is_full = column(at, height).all(|cell| !cell.is_empty());
        let first = cells.cell(0, at).trim();
        let is_place = names
            .get(at)
            .is_some_and(|name| name.to_lowercase().starts_with("well"))
            || column(at, height).all(|cell| cell == first)
            || is_of_wells(column(at, height));
        match (is_full, is_place) {
            (true, true) => {}
            (false, _) => telling.push(at),
            // Something is said of every well.
            (true, false) => return HashSet::new(),
        }
    }
    let places: Vec<usize> = (from..names.len())
        .filter(|at| is_of_wells(column(*at, height)))
        .collect();
    let is_well = |row: usize| places.iter().any(|at| Well::parse(cells.cell(row, *at)).is_some());
    // What is no well says something else, be it the title of the rows below it.
    let is_blank = |row: &usize| is_well(*row) && telling.iter().all(|at| cells.cell(*row, *at).trim().is_empty());
    let blank: HashSet<usize> = (0..height).filter(is_blank).collect();
    if blank.len() == height || blank.len() as f64 <= BLANK_WELLS_MAX * height as f64 {
        return HashSet::new();
    }
    blank
}

/// An unnamed column of wells is called `well`.
fn name_wells(grid: &Grid, tables: &[Table], names: &mut [String]) {
    let has_well = names.iter().any(|name| name.eq_ignore_ascii_case("well"));
    for (place, name) in names.iter_mut().enumerate() {
        if name.is_empty() && !has_well && is_of_wells(cells_of(grid, tables, place)) {
            "well".clone_into(name);
            return;
        }
    }
}

fn cells_of<'a>(grid: &'a Grid, tables: &'a [Table], place: usize) -> impl Iterator<Item = &'a str> {
    tables.iter().flat_map(move |table| {
        let column = table.columns.get(place).copied().unwrap_or(usize::MAX);
        table.body.iter().map(move |(row, _)| grid.cell(*row, column).trim())
    })
}

/// Rows A to H, which every plate of 96 wells has.
const LOW_ROWS: usize = 8;

/// Whether most of the cells name wells.
pub(super) fn is_of_wells<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let (mut filled, mut wells, mut low) = (0usize, 0usize, false);
    for cell in cells.filter(|cell| !cell.is_empty()) {
        filled += 1;
        let well = Well::parse(cell);
        wells += usize::from(well.is_some());
        low |= well.is_some_and(|well| well.row < LOW_ROWS);
    }
    // S1, S2, S3 are samples: no plate is read in its last rows alone.
    low && wells as f64 >= WELLS_MIN * filled as f64
}

/// What differs between the sections of one shape.
struct Constants<'h> {
    head: &'h [(String, String)],
    keys: Vec<String>,
    by_title: bool,
    title: Option<String>,
}

impl<'h> Constants<'h> {
    fn of(head: &'h [(String, String)], tables: &[Table]) -> Self {
        let titles: BTreeSet<&str> = tables.iter().filter_map(|table| table.context.title()).collect();
        let mut keys: Vec<String> = Vec::new();
        for (key, _) in tables.iter().flat_map(|table| &table.context.pairs) {
            if !keys.contains(key) && keys.len() < KEYS_MAX {
                keys.push(key.clone());
            }
        }
        if tables.len() > 1 {
            // A key that says the same everywhere, or nothing, tells no section from another.
            keys.retain(|key| {
                let values: BTreeSet<Option<&str>> = tables.iter().map(|table| value_of(head, table, key)).collect();
                values.len() > 1
            });
        }
        let first = tables.first();
        let title = match titles.len() {
            0 => None,
            1 => titles.first().map(|title| (*title).to_owned()),
            _ => first.and_then(|table| table.names.iter().find(|name| !name.is_empty()).cloned()),
        };
        // What was measured names its table; of any other pair the key does, for the value is one section's own.
        let named_by_pair = || {
            first.and_then(|table| table.context.own_pair()).map(|(key, value)| {
                if is_value_key(key) && tables.len() == 1 {
                    value.clone()
                } else {
                    key.clone()
                }
            })
        };
        let named_by_column = || first.and_then(|table| table.names.iter().find(|name| !name.is_empty()).cloned());
        Self {
            title: title.or_else(named_by_pair).or_else(named_by_column),
            head,
            by_title: titles.len() > 1,
            keys,
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.keys.clone();
        names.extend(self.by_title.then(|| "section".to_owned()));
        names
    }

    fn of_table(&self, table: &Table) -> Vec<String> {
        let mut values: Vec<String> = self
            .keys
            .iter()
            .map(|key| value_of(self.head, table, key).unwrap_or_default().to_owned())
            .collect();
        values.extend(
            self.by_title
                .then(|| table.context.title().unwrap_or_default().to_owned()),
        );
        values
    }
}

fn value_of<'t>(head: &'t [(String, String)], table: &'t Table, key: &str) -> Option<&'t str> {
    let pairs = table.context.pairs.iter().rev().chain(head.iter().rev());
    pairs
        .into_iter()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value.as_str())
}
