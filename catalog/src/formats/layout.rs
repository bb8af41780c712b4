//! Where the table lies in a grid: what stands before it, its header, its rows, what stands after. A grid that is not
//! one rectangle is refused with a description of what was seen.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;

use crate::formats::column::{self, Cells};
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::refuse::{self, Outline};
use crate::formats::shapes::{self, Shape};
use crate::formats::{ReadError, blocks, constants, header, infer, layout_names, moment, number};

/// Rows that show whether a column holds numbers.
const TYPED_ROWS: usize = 100;

/// How the grid came to be, for messages and for reading numbers.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// `line` or `row` (of a sheet).
    pub(super) place: &'static str,
    pub(super) delimiter: String,
    /// Whether a comma inside a cell may be a decimal comma.
    pub(super) comma_cells: bool,
    /// Whether a grid of one column is a table (by the file's name or because it is a sheet).
    pub(super) single_column: bool,
}

/// The tables of a grid.
#[derive(Debug)]
pub(super) struct Found {
    /// At least one, the main table first.
    pub(super) tables: Vec<FoundTable>,
    /// For `taken_for`.
    pub(super) notes: Vec<String>,
    pub(super) properties: BTreeMap<String, String>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct FoundTable {
    /// `None` for the main table.
    pub(super) name: Option<String>,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) first_row: u64,
}

/// Finds and types the table of a grid.
///
/// # Errors
/// `NotATable`, `NoDataRows`, `LongRow`.
pub(super) fn read(grid: &Grid, source: &Source) -> Result<Found, ReadError> {
    let shape = Shape::of(grid);
    if blocks::has_plates(grid) {
        return blocks::read(grid, &shape, source);
    }
    let one = Area::find(grid, &shape, source).and_then(|area| area.read(grid, &shape, source));
    match one {
        Ok(found) => Ok(found),
        // What the one-table reading says is wrong is the better reason, unless blocks explain the grid.
        Err(error) => blocks::read(grid, &shape, source).map_err(|_| error),
    }
}

/// Which rows are what.
#[derive(Debug, Default)]
struct Area {
    /// Rows before the table.
    before: Vec<usize>,
    /// The table's first row: the header, if there is one.
    first: usize,
    /// A header behind a `#`.
    commented_header: bool,
    body: Vec<usize>,
    after: Vec<usize>,
    repeated_headers: usize,
    blank_lines: usize,
    /// Which columns are typed, once enough rows have shown it.
    typed: Option<Vec<bool>>,
}

impl Area {
    fn find(grid: &Grid, shape: &Shape, source: &Source) -> Result<Self, ReadError> {
        let comments = leading_comments(grid, shape);
        let table: Vec<usize> = shape.rows().skip(comments.len()).collect();
        let mut area = Self::start(grid, shape, &table, source)?;
        area.before.splice(0..0, comments.iter().copied());
        area.take_commented_header(grid, shape);
        area.follow(grid, shape, source)?;
        Ok(area)
    }

    /// Finds the first row of the table among `rows`.
    fn start(grid: &Grid, shape: &Shape, rows: &[usize], source: &Source) -> Result<Self, ReadError> {
        let width = shape.table_width(rows);
        if width < 2 {
            return Self::single_column(grid, rows, source);
        }
        // A header names most of the columns; lines of a head fill one or two cells.
        let least = if width <= 3 { 2 } else { (width * 6).div_ceil(10) };
        let could_start = |row: &usize| shape.filled_width(*row) >= least && !head::is_marked(&grid.filled(*row));
        let first = rows.iter().position(could_start).map(|at| {
            // Few cells above many names are the groups of those names.
            let names = rows.get(at + 1).map(|row| grid.filled(*row)).unwrap_or_default();
            let groups = rows.get(at).map(|row| grid.filled(*row)).unwrap_or_default();
            let is_group = groups.len() < least && names.len() >= least && groups.len() * 2 <= names.len();
            if is_group && header::is_all_labels(&names) {
                at + 1
            } else {
                at
            }
        });
        let Some(at) = first else {
            return Err(shapes::not_a_table(
                grid,
                shape,
                "no row that could be a header or data",
                source,
            ));
        };
        let before = rows.get(..at).unwrap_or_default().to_vec();
        Ok(Self {
            before,
            first: rows.get(at).copied().unwrap_or_default(),
            ..Self::default()
        })
    }

    fn single_column(grid: &Grid, rows: &[usize], source: &Source) -> Result<Self, ReadError> {
        let rest = rows.get(1..).unwrap_or_default();
        let is_value = |row: &usize| {
            let cell = grid.cell(*row, 0).trim();
            !cell.contains(char::is_whitespace) || number::parse_comma(cell).is_some() || moment::is_moment(cell)
        };
        let values = rest.iter().filter(|row| is_value(row)).count();
        let is_list = values == rest.len() && !rest.is_empty();
        if !source.single_column && !is_list {
            return Err(ReadError::NotATable {
                seen: format!(
                    "{} lines of text without a delimiter that parts them, the first: {}",
                    rows.len(),
                    shapes::excerpt(grid, rows.first().copied().unwrap_or_default())
                ),
            });
        }
        Ok(Self {
            first: rows.first().copied().unwrap_or_default(),
            ..Self::default()
        })
    }

    /// `#id<tab>value` directly above the data names the columns.
    fn take_commented_header(&mut self, grid: &Grid, shape: &Shape) {
        let Some(last) = self.before.last().copied() else {
            return;
        };
        let cells: Vec<&str> = grid.cells(last).collect();
        let is_comment = cells.first().is_some_and(|cell| cell.trim_start().starts_with('#'));
        let fits = shape.filled_width(last) >= 2 && shape.filled_width(last) == shape.filled_width(self.first);
        if !is_comment || !fits {
            return;
        }
        let rows: Vec<usize> = shape.rows().filter(|row| *row > self.first).collect();
        let first: Vec<&str> = grid.cells(self.first).collect();
        if !header::is_header(&first, &GridCells { grid, rows: &rows }) {
            self.before.pop();
            self.first = last;
            self.commented_header = true;
        }
    }

    /// Walks from the first row to the end of the table.
    fn follow(&mut self, grid: &Grid, shape: &Shape, source: &Source) -> Result<(), ReadError> {
        let width = shape.filled_width(self.first).max(grid.width(self.first));
        let head: Vec<&str> = grid.cells(self.first).map(str::trim).collect();
        let rest: Vec<usize> = shape.rows().filter(|row| *row > self.first).collect();
        let mut before = self.first;
        for (at, row) in rest.iter().copied().enumerate() {
            let gap = row - before - 1;
            let filled = grid.filled(row);
            let is_foot_line = (shape.filled_width(row) == 1 && width > 1)
                || head::is_marked(&filled)
                || (gap > 0 && self.is_setting(grid, &filled, width));
            let apart = gap > 0 || (grid.width(row) == 1 && width > 2 && is_sentence(&filled));
            if apart && is_foot_line {
                let foot = rest.get(at..).unwrap_or_default();
                if foot.iter().all(|row| is_foot(&grid.filled(*row), width)) {
                    self.after = foot.to_vec();
                    return Ok(());
                }
                return Err(shapes::not_a_table(grid, shape, "several blocks", source));
            }
            if gap > 0 && self.is_new_block(grid, shape, row, width) {
                return self.restart(grid, shape, row, source);
            }
            if grid.cells(row).map(str::trim).eq(head.iter().copied()) && width > 1 {
                self.repeated_headers += 1;
            } else {
                self.body.push(row);
            }
            self.blank_lines += gap;
            before = row;
        }
        Ok(())
    }

    /// Two cells, the first a word where the table's first column holds values: a setting below the table.
    fn is_setting(&self, grid: &Grid, filled: &[&str], width: usize) -> bool {
        let rows = self.body.get(..self.body.len().min(TYPED_ROWS)).unwrap_or_default();
        filled.len() == 2
            && width > 3
            && filled.first().is_some_and(|cell| header::is_label(cell))
            && is_typed(GridCells { grid, rows }, 0)
    }

    /// After a blank line: a wider row, or names where the column so far holds numbers.
    fn is_new_block(&mut self, grid: &Grid, shape: &Shape, row: usize, width: usize) -> bool {
        if shape.filled_width(row) > width {
            return true;
        }
        if !header::is_all_labels(&grid.filled(row)) {
            return false;
        }
        let typed = match &self.typed {
            Some(typed) => typed.clone(),
            None => self.typed_columns(grid, width),
        };
        if self.typed.is_none() && self.body.len() >= TYPED_ROWS {
            self.typed = Some(typed.clone());
        }
        self.body.is_empty()
            || typed
                .iter()
                .enumerate()
                .any(|(column, typed)| *typed && !infer::is_empty(grid.cell(row, column)))
    }

    /// Which columns are typed in the first rows; more of them at every blank line would be quadratic.
    fn typed_columns(&self, grid: &Grid, width: usize) -> Vec<bool> {
        let rows = self.body.get(..self.body.len().min(TYPED_ROWS)).unwrap_or_default();
        (0..width)
            .map(|column| is_typed(GridCells { grid, rows }, column))
            .collect()
    }

    /// The rows so far were a key–value head without colons, if they look so; then the table starts at `row`.
    fn restart(&mut self, grid: &Grid, shape: &Shape, row: usize, source: &Source) -> Result<(), ReadError> {
        let so_far: Vec<usize> = shape
            .rows()
            .filter(|before| (self.first..row).contains(before))
            .collect();
        let is_head = self.before.iter().chain(&so_far).all(|row| {
            let filled = grid.filled(*row);
            filled.len() <= 2 && head::classify(&filled) != HeadLine::Row
        });
        if !is_head {
            return Err(shapes::not_a_table(grid, shape, "several blocks", source));
        }
        *self = Self {
            before: self.before.iter().copied().chain(so_far).collect(),
            first: row,
            ..Self::default()
        };
        self.follow(grid, shape, source)
    }

    fn read(&self, grid: &Grid, shape: &Shape, source: &Source) -> Result<Found, ReadError> {
        let mut notes = Vec::new();
        let mut properties = BTreeMap::new();
        refuse::rows_before(&self.before, grid, shape, source)?;
        for row in self.before.iter().chain(&self.after) {
            keep(grid, *row, source, &mut properties);
        }
        let mut names: Vec<&str> = grid.cells(self.first).collect();
        if self.commented_header
            && let Some(first) = names.first_mut()
        {
            *first = first.trim_start().trim_start_matches('#');
        }
        let body_width = self.body.iter().map(|row| shape.filled_width(*row)).max().unwrap_or(0);
        let named = shape.filled_width(self.first);
        // As R writes row names: every row has one cell more than the header.
        let row_names = grid.width(self.first) + 1 == body_width
            && self.body.iter().all(|row| grid.width(*row) == body_width)
            && grid.cells(self.first).all(|name| !infer::is_empty(name));
        if row_names {
            names.insert(0, "");
            notes.push("first column unnamed (row names)".to_owned());
        }
        let has_header = self.commented_header || header::is_header(&names, &GridCells { grid, rows: &self.body });
        let mut rows = self.body.clone();
        if !has_header {
            rows.insert(0, self.first);
        } else if let Some(units) = second_header(grid, &rows) {
            rows.remove(0);
            for (name, unit) in names
                .iter()
                .zip(grid.cells(units))
                .filter(|(_, unit)| !infer::is_empty(unit))
            {
                head::record(
                    &mut properties,
                    &format!("{} (second header)", name.trim()),
                    unit.trim(),
                );
            }
            notes.push(format!(
                "second header in {} {} kept as properties",
                source.place,
                grid.line(units)
            ));
        }
        if has_header && blocks::starts_with_numbering(grid, &rows) {
            notes.push(format!(
                "{} {} only numbers the columns",
                source.place,
                grid.line(rows.remove(0))
            ));
        }
        let line = grid.line(self.first);
        if rows.is_empty() {
            if !self.after.is_empty() {
                return Err(shapes::not_a_table(grid, shape, "no rows of data", source));
            }
            return Err(ReadError::NoDataRows {
                seen: format!("a header in {} {line} and nothing below it", source.place),
            });
        };
        let width = names
            .len()
            .min(named.max(body_width))
            .max(if row_names { body_width } else { 0 });
        refuse::long_rows(grid, shape, &rows, names.len(), source)?;
        refuse::fragments(named, grid, shape, &rows, source)?;
        let outline = Outline {
            first: self.first,
            has_header,
            blank_lines: self.blank_lines,
        };
        refuse::other_shapes(&outline, grid, shape, &rows, source)?;
        let well = has_header
            .then(|| layout_names::unnamed_wells(grid, &names, &rows))
            .flatten();
        if let Some(name) = well.and_then(|column| names.get_mut(column)) {
            *name = "well";
        }
        let grouped = has_header
            .then(|| layout_names::grouped(grid, &self.before, self.first, &names))
            .flatten();
        if let Some(grouped) = &grouped {
            names = grouped.iter().map(String::as_str).collect();
        }
        let first_names: Vec<&str> = if has_header {
            names.iter().take(width).copied().collect()
        } else {
            vec![""; width]
        };
        let names = header::names(first_names.into_iter());
        let summary = blocks::summary_rows(grid, &rows, width);
        let (rows, summed) = summary.unwrap_or((rows, Vec::new()));
        let constants = constants::beside(&layout_names::head(grid, &self.before, grouped.is_some()), &names);
        let mut tables = Vec::new();
        for (name, rows) in [(None, &rows), (Some("summary"), &summed)] {
            if let Some(first) = rows.first() {
                let cells = GridCells { grid, rows };
                let (batches, undecided) = column::table_with(&names, &cells, source.comma_cells, &constants)?;
                for name in undecided {
                    notes.push(format!(
                        "{name:?} kept as text: its dates may start with the day or the month"
                    ));
                }
                tables.push(FoundTable {
                    name: name.map(str::to_owned),
                    batches,
                    first_row: grid.line(*first),
                });
            }
        }
        if !summed.is_empty() {
            notes.push(format!("{} summary rows in a table of their own", summed.len()));
        }
        let place = source.place;
        notes.push(if has_header {
            match self.before.len() {
                0 => format!("header in {place} {line}"),
                1 => format!("header in {place} {line} after 1 preamble {place}"),
                count => format!("header in {place} {line} after {count} preamble {place}s"),
            }
        } else {
            format!("no header, data from {place} {line}")
        });
        notes.push(format!("{width} columns, {} rows", rows.len()));
        self.remark(grid, &rows, width, source, &mut notes);
        Ok(Found {
            tables,
            notes,
            properties,
        })
    }

    fn remark(&self, grid: &Grid, rows: &[usize], width: usize, source: &Source, notes: &mut Vec<String>) {
        let place = source.place;
        let short = rows.iter().filter(|row| grid.width(**row) < width).count();
        for (count, what) in [
            (self.blank_lines, format!("blank {place}s skipped")),
            (self.repeated_headers, "repeated headers skipped".to_owned()),
            (short, "short rows filled with nulls".to_owned()),
            (self.after.len(), format!("{place}s after the table kept as properties")),
        ] {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        }
    }
}

/// The first row of the body if it only labels: it has no value itself, and without it at least two columns have a type
/// that they lack with it.
fn second_header(grid: &Grid, rows: &[usize]) -> Option<usize> {
    let (first, rest) = rows.split_first()?;
    if rest.len() < 2 || !header::is_all_labels(&grid.filled(*first)) {
        return None;
    }
    let rest = GridCells { grid, rows: rest };
    let labelled = (0..grid.width(*first)).filter(|column| !infer::is_empty(grid.cell(*first, *column)));
    (labelled.filter(|column| is_typed(rest, *column)).count() >= 2).then_some(*first)
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

/// Comment rows at the start; none if they are most of the grid, for then `#` is how the data look.
fn leading_comments(grid: &Grid, shape: &Shape) -> Vec<usize> {
    let is_comment = |row: &usize| grid.cell(*row, 0).trim_start().starts_with('#');
    let comments: Vec<usize> = shape.rows().take_while(is_comment).collect();
    if shape.rows().filter(is_comment).count() > comments.len() {
        Vec::new()
    } else {
        comments
    }
}

fn is_foot(filled: &[&str], width: usize) -> bool {
    match head::classify(filled) {
        HeadLine::Pairs(_) => filled.len() < width || head::is_marked(filled),
        HeadLine::Note(_) => true,
        HeadLine::Row => false,
    }
}

/// A lone cell that reads like words, not like a value.
fn is_sentence(filled: &[&str]) -> bool {
    filled
        .first()
        .is_some_and(|cell| cell.contains(' ') || cell.ends_with(':') || cell.starts_with('['))
}
