//! Plate matrices: columns 1, 2, … above, rows A, B, … at the left, one cell a well; maybe several lines a row, several
//! plates side by side, and the reading's name behind each line.

use crate::formats::blocks::behind::{Behind, Line};
use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::outline::Outline;
use crate::formats::blocks::part::{self, Run};
use crate::formats::blocks::well::{self, Well};
use crate::formats::grid::Grid;
use crate::formats::number;

/// Fewer numbers in a row are a coincidence.
const COLUMNS_MIN: usize = 3;
/// Cells before the first number: letters, a corner, an axis or two.
const BEFORE_MAX: usize = 3;
/// Cells behind the last value: the reading's name and a remark.
pub(super) const BEHIND_MAX: usize = 2;
/// Blank lines inside a matrix, one after the other.
const GAP_MAX: usize = 2;

/// A matrix in the grid.
#[derive(Debug)]
pub(super) struct Matrix<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) header: usize,
    pub(super) last: usize,
    /// Columns, and rows with a letter.
    pub(super) columns: usize,
    pub(super) letters: Vec<usize>,
    /// Lines with a cell too many: which well each value belongs to is not known.
    pub(super) shifted: Vec<usize>,
    /// Lines with a remark behind their values.
    pub(super) remarked: Vec<usize>,
    /// Keys and values of what was computed from each line and stands behind it.
    pub(super) summed: Vec<(String, String)>,
    /// Its column numbers start within the plate or leave some out.
    is_part: bool,
}

impl Matrix<'_> {
    /// Rows A, B, … without a gap, but fewer than the plate has.
    pub(super) fn stops_early(&self) -> bool {
        let expected = well::rows_of(self.columns).unwrap_or(0);
        !self.is_part && self.letters.len() < expected && self.letters.iter().copied().eq(0..self.letters.len())
    }
}

/// Runs of column numbers in a row, when the row holds little else.
pub(super) fn runs(grid: &Grid, row: usize) -> Vec<Run> {
    let width = grid.width(row);
    let number = |column: usize| column_number(grid.cell(row, column));
    let mut runs: Vec<Run> = Vec::new();
    let mut others: Vec<usize> = Vec::new();
    let mut column = 0;
    while column < width {
        if grid.cell(row, column).trim().is_empty() {
            column += 1;
            continue;
        }
        let mut columns = 0;
        while number(column + columns) == Some(columns + 1) {
            columns += 1;
        }
        if columns >= COLUMNS_MIN {
            runs.push(Run::whole(column, columns));
            column += columns;
        } else {
            others.push(column);
            column += 1;
        }
    }
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return Vec::new();
    };
    let before = others.iter().filter(|at| **at < first.start).count();
    let behind = others.iter().filter(|at| **at >= last.start + last.columns).count();
    let same = runs.iter().all(|run| run.columns == first.columns);
    let words = others.iter().all(|at| !starts_with_digit(grid.cell(row, *at)));
    if before <= BEFORE_MAX && behind <= BEHIND_MAX && before + behind == others.len() && same && words {
        runs
    } else {
        Vec::new()
    }
}

/// The matrix whose header is `header`. `told`: the file speaks of plates or wells, so small ones count as well.
pub(super) fn at<'a>(grid: &'a Grid, outline: &Outline, header: usize, told: bool) -> Option<Matrix<'a>> {
    let mut runs = runs(grid, header);
    let is_part = runs.is_empty();
    if is_part {
        runs.extend(part::run(grid, header));
    }
    let sure = |run: &Run| told || is_part || run.columns >= well::SURE_COLUMNS;
    let first = runs.first().copied().filter(sure)?;
    let body = outline.next_content(header + 1).filter(|row| row - header <= GAP_MAX)?;
    let lettered = |column: usize| well::plate_letter(grid.cell(body, column).trim()).is_some();
    // Without a corner cell the header stands one cell to the left of its values.
    let (letters, shift) = match first.start.checked_sub(1).filter(|column| lettered(*column)) {
        Some(column) => (column, 0),
        None if lettered(first.start) => (first.start, 1),
        None => return None,
    };
    let end = runs.last().map_or(0, |run| run.start + run.columns) + shift;
    let mut lines = lines(grid, outline, body, letters, &runs, end + BEHIND_MAX);
    let last = lines.last().map_or(header, |line| line.row);
    let behind = Behind::of(grid, header, &lines, end, shift);
    let named = lines.iter().filter(|line| !behind.label(line.row).is_empty()).count();
    let (mut shifted, mut remarked) = (Vec::new(), Vec::new());
    if named > 0 && named < lines.len() {
        if named * 2 >= lines.len() {
            return None;
        }
        let first = first.start + shift;
        (remarked, shifted) = lines
            .iter()
            .map(|line| line.row)
            .filter(|row| !behind.label(*row).is_empty())
            .partition(|row| is_remarked(grid, *row, first..end, behind.label(*row)));
        lines.retain(|line| !shifted.contains(&line.row));
    }
    let mut rows: Vec<usize> = lines.iter().map(|line| line.plate_row).collect();
    rows.dedup();
    let known = well::rows_of(first.columns).is_some();
    let is_plate = match is_part {
        true => part::is_plate(grid, header, first, &rows, told),
        false => rows.len() >= 2 || known,
    };
    if !is_plate {
        return None;
    }
    let titles = part::titles(grid, outline, header, &runs);
    let corner = if shift == 0 {
        grid.cell(header, letters).trim()
    } else {
        ""
    };
    let corner = if is_marker(corner) {
        None
    } else {
        Some(corner.to_owned())
    };
    let label_of = |line: &Line| match remarked.contains(&line.row) {
        true => "",
        false => behind.label(line.row),
    };
    let labelled = lines.iter().any(|line| !label_of(line).is_empty());
    let stacked = lines.iter().any(|line| line.part > 0);
    // How many lines of its plate row before it have the same name.
    let before = |at: usize, line: &Line| {
        let earlier = lines.iter().take(at).rev();
        earlier
            .take_while(|other| other.plate_row == line.plate_row)
            .filter(|other| label_of(other) == label_of(line))
            .count()
    };
    let repeats = labelled && lines.iter().enumerate().any(|(at, line)| before(at, line) > 0);
    let mut layers: Vec<Layer<'a>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let name = label_of(line);
        for (plate, run) in runs.iter().enumerate() {
            let label = (!name.is_empty()).then(|| name.to_owned());
            let axis = if stacked && !labelled {
                vec![("line".to_owned(), (line.part + 1).to_string())]
            } else if repeats {
                vec![("line".to_owned(), (before(at, line) + 1).to_string())]
            } else {
                Vec::new()
            };
            let title = || titles.as_ref().and_then(|(_, titles)| titles.get(plate).cloned());
            let beside = (runs.len() > 1).then(|| title().unwrap_or_else(|| (plate + 1).to_string()));
            let layer = Layer {
                label: label.or_else(|| corner.clone()),
                axis,
                beside,
                framed: false,
                wells: Vec::new(),
            };
            let at = match layers.iter().position(|other| other.is_same(&layer)) {
                Some(at) => at,
                None => {
                    layers.push(layer);
                    layers.len() - 1
                }
            };
            let Some(layer) = layers.get_mut(at) else { continue };
            layer.wells.extend((0..run.columns).map(|column| {
                let place = Well {
                    row: line.plate_row,
                    column: run.plate_column(column),
                };
                (place, grid.cell(line.row, run.start + shift + column).trim())
            }));
        }
    }
    Some(Matrix {
        layers,
        header,
        last,
        columns: first.columns,
        letters: rows,
        shifted,
        remarked,
        summed: behind.summed,
        is_part,
    })
}

/// Whether the values are numbers and what stands behind them is none: nothing was shifted there.
fn is_remarked(grid: &Grid, row: usize, mut values: std::ops::Range<usize>, behind: &str) -> bool {
    let is_number = |cell: &str| number::parse(cell).is_some() || number::parse_comma(cell).is_some();
    values.all(|column| is_number(grid.cell(row, column).trim())) && !is_number(behind)
}

fn lines(grid: &Grid, outline: &Outline, body: usize, letters: usize, header: &[Run], end: usize) -> Vec<Line> {
    let columns = header.first().map_or(0, |run| run.columns);
    let mut lines: Vec<Line> = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut row = body;
    while row < grid.height() {
        if outline.is_blank(row) {
            // A row of empty cells is a line of the plate; an empty line only parts groups.
            if let (Some((plate_row, part)), true) = (open, outline.is_frame(row, columns)) {
                open = Some((plate_row, part + 1));
                row += 1;
                continue;
            }
            let next = outline.next_content(row).filter(|next| next - row <= GAP_MAX);
            let goes_on = next.is_some_and(|next| {
                letter(grid, next, letters).is_some_and(|at| open.is_none_or(|(before, _)| at > before))
                    && fits(grid, outline, next, letters, end)
            });
            match next {
                Some(next) if goes_on => row = next,
                _ => break,
            }
        }
        if !fits(grid, outline, row, letters, end) {
            break;
        }
        match (letter(grid, row, letters), open) {
            (Some(plate_row), before) if before.is_none_or(|(before, _)| plate_row > before) => {
                open = Some((plate_row, 0));
                lines.push(Line {
                    row,
                    plate_row,
                    part: 0,
                });
            }
            (None, Some((plate_row, part)))
                if grid.cell(row, letters).trim().is_empty()
                    && (outline.filled(row) > 1 || outline.filled_width(row) > letters + columns)
                    && runs(grid, row).is_empty() =>
            {
                open = Some((plate_row, part + 1));
                lines.push(Line {
                    row,
                    plate_row,
                    part: part + 1,
                });
            }
            _ => break,
        }
        row += 1;
    }
    lines
}

fn letter(grid: &Grid, row: usize, letters: usize) -> Option<usize> {
    well::plate_letter(grid.cell(row, letters).trim())
}

/// Nothing stands to the left of the letters or far behind the values.
fn fits(grid: &Grid, outline: &Outline, row: usize, letters: usize, end: usize) -> bool {
    outline.filled_width(row) <= end && (0..letters).all(|column| grid.cell(row, column).trim().is_empty())
}

/// The number of a plate's column: `1`, `01`, `1.0`, `Col 1`, `Column 1`.
pub(super) fn column_number(cell: &str) -> Option<usize> {
    let cell = cell.trim();
    let cell = match cell.as_bytes().first() {
        Some(b'c' | b'C') => well::without(cell, &["column", "col"])?,
        _ => cell.strip_suffix(".0").unwrap_or(cell),
    };
    if !(1..=2).contains(&cell.len()) {
        return None;
    }
    cell.parse().ok()
}

pub(super) fn starts_with_digit(cell: &str) -> bool {
    cell.trim().starts_with(|first: char| first.is_ascii_digit())
}

/// What readers write into the corner of a layout.
fn is_marker(cell: &str) -> bool {
    !cell.contains(char::is_alphabetic) || ["row", "rows", "well", "wells"].contains(&cell.to_lowercase().as_str())
}
