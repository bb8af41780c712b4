//! Plain tables among other blocks: a header and rows below it, or rows that agree with one another without a header.

use crate::formats::blocks::context::Context;
use crate::formats::blocks::matrix;
use crate::formats::blocks::outline::Outline;
use crate::formats::column::Cells;
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::layout::{GridCells, is_typed};
use crate::formats::{header, infer, layout_names, refuse, units};

/// A table of fewer columns among other blocks is a list of keys and values.
const COLUMNS_MIN: usize = 3;
/// Blank lines inside a table, one after the other; sheets with merged cells have them between all rows.
const GAP_MAX: usize = 1;
/// Rows without a header must agree with one another; fewer prove nothing.
const BARE_ROWS_MIN: usize = 3;
/// Typed columns that rows without a header need.
const BARE_TYPED_MIN: usize = 2;
/// Share of filled cells in a table of nothing but words.
const FILLED_MIN: f64 = 0.6;
/// Rows looked at for the type of a column while the table's end is sought.
const TYPED_ROWS: usize = 50;

/// A table in the grid.
#[derive(Debug)]
pub(super) struct Table {
    /// What stands above, for its name and constants.
    pub(super) context: Context,
    /// The file's names of the columns, in the order of `columns`; empty for none.
    pub(super) names: Vec<String>,
    /// Columns of the grid.
    pub(super) columns: Vec<usize>,
    /// Rows of the grid, each with the row that labels its group.
    pub(super) body: Vec<(usize, Option<usize>)>,
    /// Rows of the header.
    pub(super) header_rows: usize,
    pub(super) last: usize,
}

/// The table whose header is `first`.
pub(super) fn at(grid: &Grid, outline: &Outline, first: usize) -> Option<Table> {
    let filled = grid.filled(first);
    // A `#` alone in its cell is a name as well: that of numbers.
    let is_row = filled.first() == Some(&"#") || head::classify(&filled) == HeadLine::Row;
    if filled.len() < COLUMNS_MIN || head::is_marked(&filled) || !is_row {
        return None;
    }
    let filled_from = |row: usize| (0..grid.width(row)).find(|column| !grid.cell(row, *column).trim().is_empty());
    let start = filled_from(first)?;
    // The first column may have no name.
    let start = match filled_from(first + 1) {
        Some(below) if below + 1 == start && outline.filled(first + 1) > 1 => below,
        _ => start,
    };
    let end = outline.filled_width(first);
    let names: Vec<&str> = (start..end).map(|column| grid.cell(first, column).trim()).collect();
    if !could_be_header(&names) {
        return None;
    }
    let mut body = Body {
        grid,
        outline,
        start,
        end,
        header: first,
        rows: Vec::new(),
    };
    let below = body.units();
    body.walk(below.map_or(first, |row| row) + 1);
    let last = body.rows.last().map_or(below.unwrap_or(first), |(row, _)| *row);
    let rows = body.numbering_left_out();
    let plain: Vec<usize> = rows.iter().map(|(row, _)| *row).collect();
    let shifted = Shifted {
        grid,
        rows: &plain,
        start,
    };
    if plain.is_empty()
        || refuse::are_sentences(grid, first, &plain)
        || !header::is_header(&names, &shifted)
        || !is_convincing(&names, &shifted)
    {
        return None;
    }
    let merged = below.and_then(|below| layout_names::merged(grid, first, below));
    let merged = merged.and_then(|names| names.get(start..end).map(<[String]>::to_vec));
    let joined = names
        .iter()
        .enumerate()
        .map(|(at, name)| match below.map(|row| grid.cell(row, start + at).trim()) {
            Some(unit) if !unit.is_empty() && !name.is_empty() => format!("{name} {unit}"),
            Some(unit) if name.is_empty() => unit.to_owned(),
            _ => (*name).to_owned(),
        })
        .collect();
    Some(Table {
        context: Context::default(),
        names: merged.unwrap_or(joined),
        columns: (start..end).collect(),
        body: rows,
        header_rows: 1 + usize::from(below.is_some()),
        last,
    })
}

/// Rows from `first` on that have no header and agree in width and types.
pub(super) fn bare(grid: &Grid, outline: &Outline, first: usize) -> Option<Table> {
    let width = outline.filled_width(first);
    if outline.filled(first) < COLUMNS_MIN || head::is_marked(&grid.filled(first)) {
        return None;
    }
    let rows: Vec<usize> = (first..grid.height())
        .take_while(|row| outline.filled_width(*row) == width && matrix::runs(grid, *row).is_empty())
        .collect();
    // Rows that go on below in another width are no table that ends here.
    let stops = rows.last().is_some_and(|last| {
        outline.is_blank(last + 1) || outline.filled(last + 1) == 1 || head::is_marked(&grid.filled(last + 1))
    });
    let cells = GridCells { grid, rows: &rows };
    let typed = (0..width).filter(|column| is_typed(cells, *column)).count();
    if rows.len() < BARE_ROWS_MIN || typed < BARE_TYPED_MIN || !stops {
        return None;
    }
    Some(Table {
        context: Context::default(),
        names: vec![String::new(); width],
        columns: (0..width).collect(),
        last: rows.last().copied()?,
        body: rows.into_iter().map(|row| (row, None)).collect(),
        header_rows: 0,
    })
}

/// Some column has values of one type; or the rows fill the columns. One row proves a table only without a gap.
fn is_convincing(names: &[&str], cells: &Shifted<'_>) -> bool {
    let columns = 0..names.len();
    let rows = GridCells {
        grid: cells.grid,
        rows: cells.rows,
    };
    let is_gap = |column: usize| names.get(column).is_none_or(|name| name.is_empty());
    if cells.rows.len() == 1 && columns.clone().any(is_gap) {
        return false;
    }
    let typed = columns.clone().any(|column| is_typed(rows, cells.start + column));
    let named: Vec<usize> = columns.filter(|column| !is_gap(*column)).collect();
    let filled: usize = (0..cells.height())
        .map(|row| {
            named
                .iter()
                .filter(|column| !infer::is_empty(cells.cell(row, **column)))
                .count()
        })
        .sum();
    let all = named.len() * cells.height();
    typed || filled == all || (cells.height() >= BARE_ROWS_MIN && filled as f64 >= FILLED_MIN * all as f64)
}

/// Labels; or labels and an axis of numbers.
fn could_be_header(names: &[&str]) -> bool {
    let filled: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    let labels = filled.iter().filter(|name| header::is_label(name)).count();
    let is_axis = labels > 0 && filled.len() >= labels + 3 && header::is_axis(names);
    let distinct: std::collections::HashSet<&str> = filled.iter().copied().collect();
    (labels == filled.len() || is_axis)
        && filled.len() * 10 >= names.len() * 6
        && distinct.len() * 10 >= filled.len() * 6
}

/// Whether at least two of the columns hold no number at all in the rows: a row of nothing but numbers above them is no
/// record.
pub(super) fn holds_words(grid: &Grid, rows: &[usize], columns: &[usize]) -> bool {
    let is_words = |column: &&usize| {
        let cells = rows.iter().map(|row| grid.cell(*row, **column).trim());
        let filled: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
        !filled.is_empty() && filled.iter().all(|cell| crate::formats::number::parse(cell).is_none())
    };
    columns.iter().filter(is_words).count() >= 2
}

/// A row that only numbers the columns (0, 1, 2, …; some left out), which some exports hide below the header.
pub(super) fn only_numbers_columns<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    /// A column or two may be without a number.
    const STEP_MAX: f64 = 3.0;
    let numbers: Vec<Option<f64>> = cells
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .map(|cell| cell.parse::<f64>().ok())
        .collect();
    let rises = numbers
        .iter()
        .zip(numbers.iter().skip(1))
        .all(|pair| matches!(pair, (Some(a), Some(b)) if b > a && b - a <= STEP_MAX && a.fract() == 0.0));
    let first = numbers.first().copied().flatten();
    rises && numbers.len() > 4 && matches!(first, Some(first) if first == 0.0 || first == 1.0)
}

struct Body<'a> {
    grid: &'a Grid,
    outline: &'a Outline,
    start: usize,
    end: usize,
    header: usize,
    rows: Vec<(usize, Option<usize>)>,
}

impl Body<'_> {
    /// A row of units (or the second line of the names) directly below the header: only labels, over columns that hold
    /// values below.
    fn units(&self) -> Option<usize> {
        let row = self.header + 1;
        let filled = self.grid.filled(row);
        let below: Vec<usize> = (row + 1..self.grid.height())
            .take_while(|row| !self.outline.is_blank(*row))
            .take(TYPED_ROWS)
            .collect();
        let labels = filled.len() >= 2 && filled.iter().all(|cell| header::is_label(cell));
        if !labels || below.is_empty() || self.outline.filled_width(row) > self.end {
            return None;
        }
        let cells = GridCells {
            grid: self.grid,
            rows: &below,
        };
        let over_values = (self.start..self.end)
            .filter(|column| !self.grid.cell(row, *column).trim().is_empty())
            .filter(|column| is_typed(cells, *column))
            .count();
        if below.len() > 1 && !units::is_second_header(self.grid, self.header, row, &below) {
            return None;
        }
        (over_values >= 2 && over_values * 2 >= filled.len()).then_some(row)
    }

    /// Takes rows until something else begins.
    fn walk(&mut self, from: usize) {
        let mut label: Option<usize> = None;
        let mut row = from;
        while let Some(next) = self.outline.next_content(row) {
            let gap = next - row;
            if gap > GAP_MAX || !self.fits(next) || (gap > 0 && !self.goes_on(next)) {
                break;
            }
            if self.is_header_again(next) {
                row = next + 1;
                continue;
            }
            match self.group_label(next) {
                Some(true) => label = Some(next),
                Some(false) if self.is_within(next) => self.rows.push((next, None)),
                Some(false) => break,
                None if self.is_new_header(next) => break,
                None => {
                    let own = !self.grid.cell(next, self.start).trim().is_empty();
                    self.rows.push((next, label.filter(|_| !own)));
                }
            }
            row = next + 1;
        }
    }

    /// Nothing outside of the header's columns, no marked pair, no plate.
    fn fits(&self, row: usize) -> bool {
        let left = (0..self.start).all(|column| self.grid.cell(row, column).trim().is_empty());
        let filled = self.grid.filled(row);
        left && self.outline.filled_width(row) <= self.end
            && !(head::is_marked(&filled) && (filled.len() * 2 < self.end - self.start || filled.contains(&":")))
            && matrix::runs(self.grid, row).is_empty()
    }

    /// After a blank line only rows like those before go on.
    fn goes_on(&self, row: usize) -> bool {
        let columns = self.end - self.start;
        if self.rows.is_empty() {
            // The header stands apart: the group label or the first row of values.
            return self.outline.filled(row) == 1 || !header::is_all_labels(&self.grid.filled(row));
        }
        if self.outline.filled(row) == 1 {
            return self.group_label(row) == Some(true);
        }
        self.outline.filled(row) * 2 >= columns && !header::is_all_labels(&self.grid.filled(row))
    }

    fn is_header_again(&self, row: usize) -> bool {
        (self.start..self.end)
            .all(|column| self.grid.cell(row, column).trim() == self.grid.cell(self.header, column).trim())
    }

    /// A row of one cell: `true` when it labels the rows below it, `false` when it belongs to no table.
    fn group_label(&self, row: usize) -> Option<bool> {
        if self.outline.filled(row) != 1 || self.end - self.start < COLUMNS_MIN {
            return None;
        }
        let first = !self.grid.cell(row, self.start).trim().is_empty();
        let next = self
            .outline
            .next_content(row + 1)
            .filter(|next| next - row - 1 <= GAP_MAX);
        let below = next.is_some_and(|next| {
            self.fits(next) && self.outline.filled(next) > 1 && self.grid.cell(next, self.start).trim().is_empty()
        });
        Some(first && below)
    }

    /// A row of one cell between rows whose first columns have one type: a remark that lost its other cells.
    fn is_within(&self, row: usize) -> bool {
        let Some((last, _)) = self.rows.last().copied() else {
            return false;
        };
        let both = [last, row + 1];
        let cells = GridCells {
            grid: self.grid,
            rows: &both,
        };
        last + 1 == row
            && self.fits(row + 1)
            && self.outline.filled(row + 1) > 1
            && !self.grid.cell(row, self.start).trim().is_empty()
            && is_typed(cells, self.start)
            && both
                .iter()
                .all(|row| !infer::is_empty(self.grid.cell(*row, self.start)))
    }

    /// Names where the rows so far hold values.
    fn is_new_header(&self, row: usize) -> bool {
        if !header::is_all_labels(&self.grid.filled(row)) {
            return false;
        }
        let rows: Vec<usize> = self.rows.iter().take(TYPED_ROWS).map(|(row, _)| *row).collect();
        let cells = GridCells {
            grid: self.grid,
            rows: &rows,
        };
        !rows.is_empty()
            && (self.start..self.end)
                .any(|column| !infer::is_empty(self.grid.cell(row, column)) && is_typed(cells, column))
    }

    /// The rows without one that only numbers the columns (0, 1, 2, …), which some exports hide below the header.
    fn numbering_left_out(&self) -> Vec<(usize, Option<usize>)> {
        let counts =
            |row: usize| only_numbers_columns((self.start..self.end).map(|column| self.grid.cell(row, column)));
        let mut rows = self.rows.clone();
        let below: Vec<usize> = rows.iter().skip(1).map(|(row, _)| *row).collect();
        let columns: Vec<usize> = (self.start..self.end).collect();
        let words = holds_words(self.grid, &below, &columns);
        if words && rows.first().is_some_and(|(row, _)| counts(*row)) {
            rows.remove(0);
        }
        rows
    }
}

/// Some rows of a grid, from a column on.
struct Shifted<'a> {
    grid: &'a Grid,
    rows: &'a [usize],
    start: usize,
}

impl Cells for Shifted<'_> {
    fn height(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows
            .get(row)
            .map_or("", |row| self.grid.cell(*row, self.start + column))
    }
}
