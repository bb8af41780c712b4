//! Plate matrices without row letters: the column numbers stand above, an axis may stand at the left, and each group of
//! as many lines as the plate has rows is one read. And matrices without any header, known only by their size.

use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::matrix;
use crate::formats::blocks::outline::Outline;
use crate::formats::blocks::part::Run;
use crate::formats::blocks::well::{self, Well};
use crate::formats::grid::Grid;
use crate::formats::{infer, number};

/// A group whose values are less often numbers than this is no read.
const NUMBERS_MIN: f64 = 0.5;
/// Plates whose size alone is evidence: 96 wells and more.
const BARE_COLUMNS: [usize; 3] = [12, 24, 48];

/// Reads below one header.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) last: usize,
}

/// The reads whose header is `header`; `told` as in [`matrix::at`]; `names` are for several matrices side by side.
pub(super) fn at<'a>(
    grid: &'a Grid,
    outline: &Outline,
    header: usize,
    told: bool,
    names: impl Fn(usize) -> Option<Vec<String>>,
) -> Option<Frame<'a>> {
    let runs = matrix::runs(grid, header);
    let sure = |run: &Run| run.start > 0 && (told || run.columns >= well::SURE_COLUMNS);
    let first = runs.first().copied().filter(sure)?;
    let end = runs.last().map_or(0, |run| run.start + run.columns);
    let plate_rows = well::rows_of(first.columns)?;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut row = header + 1;
    while row < grid.height() {
        if outline.is_gap(row, first.columns) {
            row += 1;
            continue;
        }
        let group = group(grid, outline, row, &runs, end);
        if group.len() != plate_rows {
            break;
        }
        row += plate_rows;
        groups.push(group);
        // A line of another kind directly below a read ends the reads.
        if row < grid.height() && !outline.is_gap(row, first.columns) && !belongs(grid, outline, row, &runs, end) {
            break;
        }
    }
    let last = groups.last()?.last().copied()?;
    let axis_names: Vec<&str> = (0..first.start)
        .map(|column| grid.cell(header, column).trim())
        .collect();
    let axis_used: Vec<bool> = (0..first.start)
        .map(|column| {
            groups
                .iter()
                .flatten()
                .any(|row| !grid.cell(*row, column).trim().is_empty())
        })
        .collect();
    let beside = names(runs.len());
    let mut layers = Vec::new();
    for group in &groups {
        let axis: Vec<(String, String)> = axis_names
            .iter()
            .enumerate()
            .filter(|(column, _)| axis_used.get(*column) == Some(&true))
            .map(|(column, name)| {
                let cells = group.iter().map(|row| grid.cell(*row, column).trim());
                let value = cells.into_iter().find(|cell| !cell.is_empty()).unwrap_or_default();
                (axis_name(name, value), value.to_owned())
            })
            .collect();
        for (at, run) in runs.iter().enumerate() {
            let named = beside.as_ref().and_then(|names| names.get(at).cloned());
            layers.push(Layer {
                label: None,
                axis: axis.clone(),
                beside: (runs.len() > 1).then(|| named.unwrap_or_else(|| (at + 1).to_string())),
                framed: !axis_used.first().copied().unwrap_or(false),
                wells: wells(grid, group, *run),
            });
        }
    }
    Some(Frame { layers, last })
}

/// A matrix without header and letters, of exactly a plate's size and all numbers.
pub(super) fn bare<'a>(grid: &'a Grid, outline: &Outline, first: usize) -> Option<Frame<'a>> {
    let columns = outline.filled_width(first);
    let plate_rows = well::rows_of(columns).filter(|_| BARE_COLUMNS.contains(&columns))?;
    let full = |row: usize| outline.filled(row) == columns && outline.filled_width(row) == columns;
    let rows: Vec<usize> = (first..grid.height()).take_while(|row| full(*row)).collect();
    let numbers = |row: &usize| grid.filled(*row).iter().all(|cell| is_value(cell));
    if rows.len() != plate_rows || !rows.iter().all(numbers) {
        return None;
    }
    let layer = Layer {
        label: None,
        axis: Vec::new(),
        beside: None,
        framed: true,
        wells: wells(grid, &rows, Run::whole(0, columns)),
    };
    let last = rows.last().copied()?;
    Some(Frame {
        layers: vec![layer],
        last,
    })
}

fn wells<'a>(grid: &'a Grid, rows: &[usize], run: Run) -> Vec<(Well, &'a str)> {
    rows.iter()
        .enumerate()
        .flat_map(|(at, row)| {
            (0..run.columns).map(move |column| (Well { row: at, column }, grid.cell(*row, run.start + column).trim()))
        })
        .collect()
}

/// The lines of one read from `row` on, as many as a plate has rows at most.
fn group(grid: &Grid, outline: &Outline, first: usize, runs: &[Run], end: usize) -> Vec<usize> {
    let columns = runs.first().map_or(0, |run| run.columns);
    let plate_rows = well::rows_of(columns).unwrap_or(0);
    let rows: Vec<usize> = (first..grid.height())
        .take(plate_rows)
        .take_while(|row| !outline.is_gap(*row, columns) && belongs(grid, outline, *row, runs, end))
        .collect();
    let (mut values, mut numbers) = (0usize, 0usize);
    for row in &rows {
        for run in runs {
            for cell in (0..run.columns).map(|column| grid.cell(*row, run.start + column).trim()) {
                values += usize::from(!cell.is_empty());
                numbers += usize::from(is_value(cell));
            }
        }
    }
    if numbers as f64 >= NUMBERS_MIN * values as f64 {
        rows
    } else {
        Vec::new()
    }
}

/// A line of values below the column numbers, maybe with an axis before them.
fn belongs(grid: &Grid, outline: &Outline, row: usize, runs: &[Run], end: usize) -> bool {
    let start = runs.first().map_or(0, |run| run.start);
    let outside = (start..outline.filled_width(row).max(start)).any(|column| {
        let inside = runs
            .iter()
            .any(|run| (run.start..run.start + run.columns).contains(&column));
        !inside && !grid.cell(row, column).trim().is_empty()
    });
    let axis = (0..start).all(|column| {
        let cell = grid.cell(row, column).trim();
        cell.is_empty()
            || infer::is_null_word(cell)
            || cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
    });
    !outside && axis && outline.filled_width(row) <= end && matrix::runs(grid, row).is_empty()
}

fn is_value(cell: &str) -> bool {
    number::parse(cell).is_some() || number::parse_comma(cell).is_some()
}

/// A name for an axis that has none.
pub(super) fn axis_name(name: &str, value: &str) -> String {
    if !name.is_empty() {
        name.to_owned()
    } else if value.contains(':') {
        "time".to_owned()
    } else {
        "read_at".to_owned()
    }
}
