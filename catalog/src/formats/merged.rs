//! Merged cells of sheets: a value that stands once for several rows is the value of each of them.

use std::collections::BTreeMap;

use calamine::Dimensions;

use crate::formats::grid::Grid;
use crate::formats::{Limits, ReadError, number};

/// Merged cells of a sheet that are looked at: a hostile one may state millions.
const REGIONS_MAX: usize = 100_000;
/// Rows looked at above a region, and in it.
const LOOKED_AT_MAX: usize = 1_000;

/// Whether something stands beside a blank under a filled cell: only then merged cells can mean anything.
pub(super) fn has_gaps(grid: &Grid) -> bool {
    (1..grid.height()).any(|row| {
        let above = grid.cells(row - 1);
        grid.filled_width(row) > 0
            && above
                .enumerate()
                .any(|(column, above)| !above.is_empty() && grid.cell(row, column).is_empty())
    })
}

/// The rows that a value stands for, by its column.
type Regions = BTreeMap<usize, Vec<(u64, u64)>>;

/// Gives the value of each region of several rows to all of them, in the region's first column. Regions of headings and of the
/// words beside plates are not spread: under no name, or in rows without a number.
///
/// # Errors
/// `TooLarge`, as for any grid.
pub(super) fn spread(grid: Grid, regions: &[Dimensions], limits: &Limits) -> Result<Grid, ReadError> {
    let mut wanted: Regions = BTreeMap::new();
    for region in regions
        .iter()
        .take(REGIONS_MAX)
        .filter(|region| region.end.0 > region.start.0)
    {
        let lines = (u64::from(region.start.0) + 1, u64::from(region.end.0) + 1);
        wanted.entry(region.start.1 as usize).or_default().push(lines);
    }
    for lines in wanted.values_mut() {
        lines.sort_unstable();
    }
    wanted.retain(|column, lines| {
        lines.retain(|(from, to)| is_data(&grid, *column, *from, *to));
        !lines.is_empty()
    });
    if wanted.is_empty() {
        return Ok(grid);
    }
    let mut spread = Grid::default();
    // Of each column the value that stands, and the last line it stands for.
    let mut standing: BTreeMap<usize, (String, u64)> = BTreeMap::new();
    for row in 0..grid.height() {
        let line = grid.line(row);
        let mut cells: Vec<&str> = grid.cells(row).collect();
        let is_blank = cells.iter().all(|cell| cell.is_empty());
        for (column, lines) in &wanted {
            let begins = lines.binary_search_by_key(&line, |(from, _)| *from).ok();
            if let Some((_, to)) = begins.and_then(|at| lines.get(at)) {
                let value = cells.get(*column).copied().unwrap_or_default();
                standing.insert(*column, (value.to_owned(), *to));
            }
        }
        standing.retain(|_, (_, to)| line <= *to);
        for (column, (value, _)) in &standing {
            if !is_blank && cells.len() <= *column {
                cells.resize(column + 1, "");
            }
            if let Some(cell) = cells.get_mut(*column).filter(|cell| !is_blank && cell.is_empty()) {
                *cell = value.as_str();
            }
        }
        for cell in cells {
            spread.push_cell(cell, line, limits)?;
        }
        spread.end_row(line, limits)?;
    }
    Ok(spread)
}

/// Whether a region lies among data: something stands above it without a blank line between, and a number in one of its rows.
fn is_data(grid: &Grid, column: usize, from: u64, to: u64) -> bool {
    let Some(first) = row_of(grid, from) else { return false };
    let above = (0..first).rev().take(LOOKED_AT_MAX);
    let mut above = above.take_while(|row| grid.filled_width(*row) > 0);
    let rows = (first..grid.height()).take_while(|row| grid.line(*row) <= to);
    above.any(|row| !grid.cell(row, column).is_empty())
        && rows
            .take(LOOKED_AT_MAX)
            .flat_map(|row| grid.cells(row))
            .any(|cell| number::parse(cell).is_some())
}

/// The row of a sheet's line; none where the line is blank.
fn row_of(grid: &Grid, line: u64) -> Option<usize> {
    let (mut low, mut high) = (0, grid.height());
    while low < high {
        let middle = low + (high - low) / 2;
        if grid.line(middle) < line {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low < grid.height() && grid.line(low) == line).then_some(low)
}
