//! Tables side by side, parted by empty columns: standards at the left, samples at the right. Their rows have nothing to do with
//! one another.
//!
//! An empty column alone proves nothing: people leave one within a table as well. What tells two tables is that both start with
//! the same name, that one of them ends before the other and both hold values, or that a name comes again in a part that starts
//! with names of its own things; the first column of each being filled to its end.

use std::collections::HashSet;

use crate::formats::grid::Grid;
use crate::formats::layout::{self, Found, FoundTable, GridCells, Source, is_typed};
use crate::formats::sheets::Alike;
use crate::formats::{Block, Limits, ReadError, head, header, infer};

/// Rows looked at for the names.
const HEAD_ROWS: usize = 40;
/// Fewer columns are a remark behind a table.
const COLUMNS_MIN: usize = 2;
/// Fewer rows of data prove nothing.
const ROWS_MIN: usize = 3;
/// More tables are a form with boxes.
const PARTS_MAX: usize = 12;
/// The column that tells tables of the same columns apart.
const SECTION: &str = "section";

/// One of the tables.
#[derive(Debug)]
struct Part {
    columns: std::ops::Range<usize>,
    title: Option<String>,
    names: Vec<String>,
    /// The grid's rows that hold something of it, below its names.
    rows: Vec<usize>,
}

/// Reads tables that stand side by side; `None` where there are none.
///
/// # Errors
/// `TooLarge`, as any grid. A part that cannot be read is no part: the grid is one table.
pub(super) fn read(grid: &Grid, source: &Source) -> Result<Option<Found>, ReadError> {
    let mut content = (0..grid.height())
        .filter(|row| grid.filled_width(*row) > 0)
        .take(HEAD_ROWS);
    let Some((header, parts)) = content.find_map(|row| Some((row, parts(grid, row)?))) else {
        return Ok(None);
    };
    let main = (0..parts.len()).rev().max_by_key(|at| {
        let part = parts.get(*at);
        part.map_or(0, |part| part.rows.len() * part.columns.len())
    });
    let Some(main) = main else { return Ok(None) };
    let mut all: Vec<(String, Found)> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let cut = part.cut(grid, header, at == main)?;
        let Ok(found) = layout::read(&cut, source) else {
            return Ok(None);
        };
        all.push((name_of(&parts, main, at), found));
    }
    all.rotate_left(main);
    Ok(together(all))
}

/// What the parts hold, the main one first.
fn together(parts: Vec<(String, Found)>) -> Option<Found> {
    let same = joined(&parts);
    let mut parts = parts.into_iter();
    let (_, mut all) = parts.next()?;
    all.confidence
        .doubt(0.95, "empty columns part its tables, which stand side by side");
    all.notes.insert(0, format!("{} tables side by side", parts.len() + 1));
    for (name, found) in parts {
        all.notes.push(format!("{name}: {}", found.notes.join(", ")));
        all.confidence.least(found.confidence);
        for (key, value) in &found.properties {
            head::record(&mut all.properties, key, value);
        }
        all.odd_rows.extend(found.odd_rows);
        all.tables.extend(found.tables.into_iter().map(|table| FoundTable {
            name: Some(match table.name {
                Some(own) => format!("{name} {own}"),
                None => name.clone(),
            }),
            ..table
        }));
    }
    if let Some(same) = same {
        all.tables = vec![same];
        all.notes.push(format!(
            "they have the same columns and are one, told apart by {SECTION}"
        ));
    }
    Some(all)
}

/// One table of all parts, where they have the same columns and nothing beside them.
fn joined(parts: &[(String, Found)]) -> Option<FoundTable> {
    let block = |found: &Found| match found.tables.as_slice() {
        [only] => Some(Block {
            name: None,
            batches: only.batches.clone(),
            first_row: only.first_row,
        }),
        _ => None,
    };
    let ((name, first), rest) = parts.split_first()?;
    let schema = first.tables.first()?.batches.first()?.schema();
    if schema
        .fields()
        .iter()
        .any(|field| field.name().eq_ignore_ascii_case(SECTION))
    {
        return None;
    }
    let mut alike = Alike::of(block(first)?, name.clone());
    for (name, found) in rest {
        let block = block(found)?;
        let types = alike.with(&block)?;
        alike.take(block, name.clone(), types);
    }
    let block = alike.joined(SECTION)?;
    Some(FoundTable {
        name: None,
        batches: block.batches,
        first_row: block.first_row,
    })
}

/// What a part is called: by its title, else by the first of its names that says which it is, else by its place.
fn name_of(parts: &[Part], main: usize, at: usize) -> String {
    let Some(part) = parts.get(at) else {
        return String::new();
    };
    let own = part.names.first().filter(|name| {
        let others = parts.iter().enumerate().filter(|(other, _)| *other != at);
        at != main && others.flat_map(|(_, part)| &part.names).all(|other| other != *name)
    });
    let by_place = || {
        let same = parts.iter().all(|other| other.names == part.names);
        if same {
            (at + 1).to_string()
        } else {
            format!("block {}", at + 1)
        }
    };
    part.title.clone().or_else(|| own.cloned()).unwrap_or_else(by_place)
}

/// The tables whose names stand in the row `header`.
fn parts(grid: &Grid, header: usize) -> Option<Vec<Part>> {
    let width = grid.filled_width(header);
    let is_filled = |row: usize, column: usize| !infer::is_empty(grid.cell(row, column));
    if !header::is_all_labels(&grid.filled(header)) || (0..width).all(|column| is_filled(header, column)) {
        return None;
    }
    let below: Vec<usize> = (header + 1..grid.height())
        .filter(|row| grid.filled_width(*row) > 0)
        .collect();
    let is_blank = |column: usize| !is_filled(header, column) && below.iter().all(|row| !is_filled(*row, column));
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    for column in (0..width).filter(|column| !is_blank(*column)) {
        match groups.last_mut() {
            Some(group) if group.end == column => group.end = column + 1,
            _ => groups.push(column..column + 1),
        }
    }
    let named = |group: &std::ops::Range<usize>| {
        group.len() >= COLUMNS_MIN && group.clone().all(|column| is_filled(header, column))
    };
    let outside = below.iter().any(|row| grid.filled_width(*row) > width);
    if !(2..=PARTS_MAX).contains(&groups.len()) || !groups.iter().all(named) || outside {
        return None;
    }
    let titles = titles(grid, header, &groups);
    let parts: Vec<Part> = groups
        .into_iter()
        .zip(titles)
        .map(|(columns, title)| Part {
            title,
            names: columns
                .clone()
                .map(|column| grid.cell(header, column).trim().to_owned())
                .collect(),
            rows: below
                .iter()
                .copied()
                .filter(|row| columns.clone().any(|column| is_filled(*row, column)))
                .collect(),
            columns,
        })
        .collect();
    let whole = parts.iter().all(|part| part.is_whole(grid, &below));
    (whole && are_apart(grid, &parts)).then_some(parts)
}

/// The titles above the names, one for each part at most, nothing else beside them.
fn titles(grid: &Grid, header: usize, groups: &[std::ops::Range<usize>]) -> Vec<Option<String>> {
    let none = vec![None; groups.len()];
    let above = (0..header).rev().find(|row| grid.filled_width(*row) > 0);
    let Some(above) = above.filter(|above| header - above <= 2) else {
        return none;
    };
    let titles: Vec<Option<String>> = groups
        .iter()
        .map(|group| {
            let mut cells = group.clone().map(|column| grid.cell(above, column).trim());
            let title = cells.find(|cell| header::is_label(cell));
            title.map(str::to_owned)
        })
        .collect();
    let count = titles.iter().flatten().count();
    let distinct: HashSet<&String> = titles.iter().flatten().collect();
    // A title over the first part alone is one of the whole as often.
    let is_titles = count == grid.filled(above).len() && count == groups.len() && distinct.len() == count;
    if is_titles { titles } else { none }
}

/// Whether the parts' rows have nothing to do with one another.
fn are_apart(grid: &Grid, parts: &[Part]) -> bool {
    let Some((first, others)) = parts.split_first() else {
        return false;
    };
    let ends: HashSet<Option<&usize>> = parts.iter().map(|part| part.rows.last()).collect();
    let key = |part: &Part| part.names.first().map(|name| name.to_lowercase());
    others.iter().all(|part| {
        let again = part.names.iter().any(|name| first.names.contains(name));
        let ends_elsewhere = ends.len() > 1 && part.holds_values(grid) && first.holds_values(grid);
        key(part) == key(first) || ((ends_elsewhere || again) && part.names_things(grid))
    })
}

impl Part {
    /// Whether its first column is filled from its first row to its last, of which there are some; below a gap there may stand
    /// lines of fewer cells, but no more of its rows.
    fn is_whole(&self, grid: &Grid, below: &[usize]) -> bool {
        let block = self.rows.iter().zip(below).take_while(|(own, all)| own == all).count();
        let (rows, rest) = self.rows.split_at_checked(block).unwrap_or((&self.rows, &[]));
        let filled = |row: usize| {
            let cells = self.columns.clone().map(|column| grid.cell(row, column));
            cells.filter(|cell| !infer::is_empty(cell)).count()
        };
        let has_key = |row: &usize| !infer::is_empty(grid.cell(*row, self.columns.start));
        // A row of units leaves the place of the key blank.
        let rows = match rows.split_first() {
            Some((first, below)) if !has_key(first) => below,
            _ => rows,
        };
        let least = rows.iter().map(|row| filled(*row)).min().unwrap_or(0);
        rows.len() >= ROWS_MIN
            && rows.iter().all(has_key)
            && least >= COLUMNS_MIN
            && rest.iter().all(|row| filled(*row) < self.columns.len())
    }

    /// Whether some column has values of one type.
    fn holds_values(&self, grid: &Grid) -> bool {
        let cells = GridCells { grid, rows: &self.rows };
        self.columns.clone().any(|column| is_typed(cells, column))
    }

    /// Whether its first column gives each row a name of its own.
    fn names_things(&self, grid: &Grid) -> bool {
        let keys = self.rows.iter().map(|row| grid.cell(*row, self.columns.start).trim());
        let distinct: HashSet<&str> = keys.clone().collect();
        distinct.len() == self.rows.len() && keys.clone().all(header::is_label)
    }

    /// Its cells from its names on; the main part has all lines above them as well.
    fn cut(&self, grid: &Grid, header: usize, is_main: bool) -> Result<Grid, ReadError> {
        let limits = Limits::default();
        let mut cut = Grid::default();
        let titles = self
            .title
            .is_some()
            .then(|| (0..header).rev().find(|row| grid.filled_width(*row) > 0));
        for row in (0..header).filter(|row| is_main && titles.flatten() != Some(*row)) {
            let line = grid.line(row);
            grid.cells(row)
                .try_for_each(|cell| cut.push_cell(cell, line, &limits))?;
            cut.end_row(line, &limits)?;
        }
        let last = self.rows.last().copied().unwrap_or(header);
        for row in header..=last {
            let line = grid.line(row);
            self.columns
                .clone()
                .try_for_each(|column| cut.push_cell(grid.cell(row, column), line, &limits))?;
            cut.end_row(line, &limits)?;
        }
        Ok(cut)
    }
}
