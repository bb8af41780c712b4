//! Which rows of a grid are its one table: what stands before it, its header, its rows, what stands after.

use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::layout::{GridCells, Source, is_typed};
use crate::formats::pinned::contradicted;
use crate::formats::shapes::{self, Shape};
use crate::formats::{ReadError, blocks, header, infer, layout_names, moment, number};

/// Rows that show whether a column holds numbers.
const TYPED_ROWS: usize = 100;

/// Rows below names that show that what stands above the names is a title.
const TITLE_ROWS_MIN: usize = 3;
/// Lines of a head above a table of two columns.
const PAIRS_MAX: usize = 200;
/// Lines of prose above a table that are looked at.
const PROSE_ROWS_MAX: usize = 10;

/// Which rows are what.
#[derive(Debug, Default)]
pub(super) struct Area {
    /// Rows before the table.
    pub(super) before: Vec<usize>,
    /// The table's first row: the header, if there is one.
    pub(super) first: usize,
    /// A header behind a `#`.
    pub(super) commented_header: bool,
    pub(super) body: Vec<usize>,
    pub(super) after: Vec<usize>,
    /// Rows that say the same as the first one: headers once more, if that is a header.
    pub(super) repeated: Vec<usize>,
    pub(super) blank_lines: usize,
    /// Whether the first row is a header, where someone said so.
    pub(super) pinned_header: Option<bool>,
    /// Which columns are typed, once enough rows have shown it.
    typed: Option<Vec<bool>>,
}

impl Area {
    pub(super) fn find(grid: &Grid, shape: &Shape, source: &Source) -> Result<Self, ReadError> {
        let comments = leading_comments(grid, shape);
        let table: Vec<usize> = shape.rows().skip(comments.len()).collect();
        let mut area = Self::start(grid, shape, &table, source)?;
        area.before.splice(0..0, comments.iter().copied());
        area.take_commented_header(grid, shape);
        area.follow(grid, shape, source)?;
        Ok(area)
    }

    /// The table whose header stands in the line `header`, or that has none and starts at once where it is 0.
    pub(super) fn pinned(grid: &Grid, shape: &Shape, source: &Source, header: u64) -> Result<Self, ReadError> {
        let place = source.place;
        let first = if header == 0 {
            shape.rows().next()
        } else {
            shape.rows().find(|row| grid.line(*row) == header)
        };
        let Some(first) = first else {
            let last = grid.height().checked_sub(1).map_or(0, |row| grid.line(row));
            return Err(contradicted(format!(
                "the header is {place} {header}, but that {place} is empty or not there (the last {place} is {last})"
            )));
        };
        let mut area = Self {
            before: shape.rows().take_while(|row| *row < first).collect(),
            first,
            pinned_header: Some(header > 0),
            ..Self::default()
        };
        area.follow(grid, shape, source)?;
        Ok(area)
    }

    /// Finds the first row of the table among `rows`.
    fn start(grid: &Grid, shape: &Shape, rows: &[usize], source: &Source) -> Result<Self, ReadError> {
        let width = shape.table_width(rows);
        if width < 2 {
            return Self::single_column(grid, rows, source);
        }
        if let Some(at) = Self::below_pairs(grid, shape, rows, width, source)? {
            return Ok(Self {
                before: rows.get(..at).unwrap_or_default().to_vec(),
                first: rows.get(at).copied().unwrap_or_default(),
                ..Self::default()
            });
        }
        // A header names most of the columns; lines of a head fill one or two cells.
        let least = if width <= 3 { 2 } else { (width * 6).div_ceil(10) };
        let could_start = |row: &usize| shape.filled_width(*row) >= least && !head::is_marked(&grid.filled(*row));
        let first = rows.iter().position(could_start).map(|at| {
            // Few cells above many names are the groups of those names.
            let names = rows.get(at + 1).map(|row| grid.filled(*row)).unwrap_or_default();
            let groups = rows.get(at).map(|row| grid.filled(*row)).unwrap_or_default();
            let is_group = groups.len() < least && names.len() >= least && groups.len() * 2 <= names.len();
            // A line of words with more cells than any row has, above names that are as many as the cells of the rows.
            let is_title = groups.len() > width
                && names.len() == width
                && header::is_all_labels(&groups)
                && rows.get(at + 2..).is_some_and(|below| {
                    let below = || below.iter().take(TYPED_ROWS);
                    below().count() >= TITLE_ROWS_MIN
                        && below().all(|row| shape.filled_width(*row) <= width)
                        && !below().any(|row| header::is_all_labels(&grid.filled(*row)))
                });
            let is_merged = || {
                let lines = rows
                    .get(at)
                    .zip(rows.get(at + 1))
                    .filter(|(above, below)| **above + 1 == **below);
                let merged = lines.and_then(|(above, below)| layout_names::merged(grid, *above, *below));
                let below = rows.get(at + 2..).unwrap_or_default();
                merged.is_some() && starts_data(grid, below, width)
            };
            if ((is_group || is_title) && header::is_all_labels(&names)) || is_merged() {
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

    /// Where below keys and values a table of two columns starts. Lines of a head have two cells as well, so that the first of
    /// them looks like its header.
    fn below_pairs(
        grid: &Grid,
        shape: &Shape,
        rows: &[usize],
        width: usize,
        source: &Source,
    ) -> Result<Option<usize>, ReadError> {
        let Some((first, rest)) = rows.split_first().filter(|_| width == 2) else {
            return Ok(None);
        };
        let head = grid.filled(*first);
        let mut below = rest.iter().take(PAIRS_MAX);
        let Some(at) = below.position(|row| grid.filled(*row) != head && blocks::heads_two_columns(grid, *row)) else {
            return Ok(None);
        };
        if blocks::heads_two_columns(grid, *first) {
            return Err(shapes::not_a_table(
                grid,
                shape,
                "several tables of two columns",
                source,
            ));
        }
        Ok(Some(at + 1))
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
            if self.is_printed(grid, rest.get(at..).unwrap_or_default(), width) {
                self.after = rest.get(at..).unwrap_or_default().to_vec();
                return Ok(());
            }
            let is_section = width > 1 && blocks::titles_two_columns(grid, row);
            if is_section || (apart && is_foot_line) {
                let foot = rest.get(at..).unwrap_or_default();
                let is_table = foot
                    .iter()
                    .take(PAIRS_MAX)
                    .any(|row| blocks::heads_readings(grid, *row));
                if foot.iter().all(|row| is_foot(&grid.filled(*row), width)) && !is_table {
                    self.after = foot.to_vec();
                    return Ok(());
                }
                return Err(shapes::not_a_table(grid, shape, "several blocks", source));
            }
            if gap > 0 && self.is_new_block(grid, shape, row, width) {
                if self.pinned_header.is_some() {
                    return Err(shapes::not_a_table(
                        grid,
                        shape,
                        "several blocks below the pinned header",
                        source,
                    ));
                }
                return self.restart(grid, shape, row, source);
            }
            if grid.cells(row).map(str::trim).eq(head.iter().copied()) && width > 1 {
                self.repeated.push(row);
            } else {
                self.body.push(row);
            }
            self.blank_lines += gap;
            before = row;
        }
        Ok(())
    }

    /// Whether the rows, the last ones, only say when and on which page the table was printed, in fewer cells than it has columns.
    fn is_printed(&self, grid: &Grid, rows: &[usize], width: usize) -> bool {
        let is_printed = |row: &usize| {
            let filled = grid.filled(*row);
            filled.len() < width.min(3) && head::is_printed(&filled)
        };
        !self.body.is_empty() && rows.iter().all(is_printed)
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
        if shape.filled_width(row) > width || (width > 2 && blocks::heads_readings(grid, row)) {
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
            || self.is_prose(grid, shape, row, &typed)
            || typed
                .iter()
                .enumerate()
                .any(|(column, typed)| *typed && !infer::is_empty(grid.cell(row, column)))
    }

    /// Whether all above are sentences that happen to have as many commas as the names have: nothing of it is a value, some
    /// cell is of many words, and what stands below `row` has values.
    fn is_prose(&self, grid: &Grid, shape: &Shape, row: usize, typed: &[bool]) -> bool {
        if self.body.len() > PROSE_ROWS_MAX || typed.contains(&true) {
            return false;
        }
        let above = || std::iter::once(&self.first).chain(&self.body);
        let words = above().all(|row| is_prose(&grid.filled(*row)));
        let below: Vec<usize> = shape.rows().filter(|below| *below > row).take(TYPED_ROWS).collect();
        words && starts_data(grid, &below, shape.filled_width(row))
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
            (filled.len() <= 2 && head::classify(&filled) != HeadLine::Row) || is_prose(&filled)
        });
        // Two names above readings are a table as well, be it narrower than the next one.
        let has_table = || {
            so_far
                .iter()
                .take(PAIRS_MAX)
                .any(|row| blocks::heads_readings(grid, *row))
        };
        if !is_head || has_table() {
            return Err(shapes::not_a_table(grid, shape, "several blocks", source));
        }
        *self = Self {
            before: self.before.iter().copied().chain(so_far).collect(),
            first: row,
            ..Self::default()
        };
        self.follow(grid, shape, source)
    }
}

/// Whether rows of values start here, at most a line of units before them.
fn starts_data(grid: &Grid, rows: &[usize], width: usize) -> bool {
    let typed = |rows: &[usize]| {
        let rows = rows.get(..rows.len().min(TYPED_ROWS)).unwrap_or_default();
        (0..width).any(|column| is_typed(GridCells { grid, rows }, column))
    };
    typed(rows) || typed(rows.get(1..).unwrap_or_default())
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

/// Nothing but words, and some cell of many.
pub(super) fn is_prose(filled: &[&str]) -> bool {
    /// A name of a column seldom has more.
    const WORDS_MIN: usize = 5;
    filled.iter().all(|cell| header::is_label(cell))
        && filled.iter().any(|cell| cell.split_whitespace().count() >= WORDS_MIN)
}

/// A lone cell that reads like words, not like a value.
fn is_sentence(filled: &[&str]) -> bool {
    filled
        .first()
        .is_some_and(|cell| cell.contains(' ') || cell.ends_with(':') || cell.starts_with('['))
}
