//! What stands behind the values of a plate's lines: the reading's name, the row's letter once more, or what was computed from
//! the line.

use std::collections::BTreeMap;

use crate::formats::blocks::matrix::BEHIND_MAX;
use crate::formats::blocks::summary::may_sum_up;
use crate::formats::blocks::well;
use crate::formats::grid::Grid;
use crate::formats::number;

/// Share of the lines that have letters or numbers behind them where these are no names; fewer are shifted lines.
const LINES_MIN: f64 = 0.8;

/// One line of a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) row: usize,
    pub(super) plate_row: usize,
    /// Which line of its plate row, from 0.
    pub(super) part: usize,
}

/// The columns behind the values.
pub(super) struct Behind<'g> {
    grid: &'g Grid,
    /// Those that name the readings.
    names: Vec<usize>,
    /// What the others say that was computed: its name and the row's letter, and the value.
    pub(super) summed: Vec<(String, String)>,
}

impl<'g> Behind<'g> {
    /// Of lines whose values end before the column `end`; the header stands `shift` cells to the left of them.
    pub(super) fn of(grid: &'g Grid, header: usize, lines: &[Line], end: usize, shift: usize) -> Self {
        let mut found = Self {
            grid,
            names: Vec::new(),
            summed: Vec::new(),
        };
        for column in end..end + BEHIND_MAX {
            let cell = |line: &Line| grid.cell(line.row, column).trim();
            let most = |count: usize| count > 0 && count as f64 >= LINES_MIN * lines.len() as f64;
            let own = |line: &&Line| well::plate_letter(cell(line)) == Some(line.plate_row);
            if most(lines.iter().filter(own).count()) {
                continue;
            }
            let heading = grid.cell(header, column - shift).trim();
            let is_number =
                |line: &&Line| number::parse(cell(line)).is_some() || number::parse_comma(cell(line)).is_some();
            let says_so = heading.split_whitespace().any(may_sum_up);
            if most(lines.iter().filter(is_number).count()) && (says_so || differ(lines, cell)) {
                let name = if heading.is_empty() { "behind" } else { heading };
                let told = lines.iter().filter(|line| !cell(line).is_empty());
                found.summed.extend(told.map(|line| {
                    let letter = well::letters(line.plate_row);
                    (format!("{name} of row {letter}"), cell(line).to_owned())
                }));
                continue;
            }
            found.names.push(column);
        }
        found
    }

    /// What a line calls its values; empty where it does not.
    pub(super) fn label(&self, row: usize) -> &'g str {
        let cells = self.names.iter().map(|column| self.grid.cell(row, *column).trim());
        cells.into_iter().find(|cell| !cell.is_empty()).unwrap_or_default()
    }
}

/// Whether the cells of one plate row are others than those of another: names of readings (`450`, `600`) come again in each.
fn differ<'g>(lines: &[Line], cell: impl Fn(&Line) -> &'g str) -> bool {
    let mut of_rows: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for line in lines {
        of_rows.entry(line.plate_row).or_default().push(cell(line));
    }
    let first = of_rows.values().next();
    of_rows.values().any(|cells| Some(cells) != first)
}
