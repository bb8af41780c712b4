//! Columns of fixed width under a ruler: a line of strokes below the names that says where each column begins and ends, as
//! database clients (`---------- ------`) and reports of chromatographs (`----|-------|`) print it. Such columns may be empty in
//! some rows, which runs of spaces do not show.

use crate::formats::grid::Grid;
use crate::formats::number;
use crate::formats::split::lines;
use crate::formats::{Limits, ReadError};

/// Lines of names above a ruler.
const NAMES_MAX: usize = 3;
/// Fewer columns are a title with strokes below it.
const COLUMNS_MIN: usize = 2;

/// A column, in characters of its lines.
type Span = std::ops::Range<usize>;

/// The text as a grid: what stands under rulers by their columns, each other line as one cell. `None` where there is no ruler
/// with names above and rows below it.
///
/// # Errors
/// `TooLarge`, as any grid.
pub(super) fn grid(text: &str, limits: &Limits) -> Result<Option<Grid>, ReadError> {
    // Most texts have no such line, and pay for one look at each.
    if !lines(text).any(|(_, line)| spans(line).is_some()) {
        return Ok(None);
    }
    let all: Vec<(u64, &str)> = lines(text).collect();
    let mut grid = Grid::default();
    let mut tables = 0;
    // Lines that are in the grid already.
    let mut done = 0;
    for (at, (_, line)) in all.iter().enumerate() {
        let Some(spans) = spans(line).filter(|_| at >= done) else {
            continue;
        };
        let above = all.get(done..at).unwrap_or_default();
        let names = above.iter().rev().take(NAMES_MAX).take_while(|(_, line)| {
            let cells = fitting(line, &spans).filter(|_| self::spans(line).is_none());
            cells.is_some_and(|cells| cells.iter().filter(|cell| !cell.is_empty()).count() >= COLUMNS_MIN)
        });
        let names = names.count();
        let below = all.get(at + 1..).unwrap_or_default();
        let is_row = |line: &str| self::spans(line).is_none() && fitting(line, &spans).is_some();
        let rows = below.iter().take_while(|(_, line)| is_row(line)).count();
        // A word that is longer than its strokes hides that they are no columns: what comes below would be lost for the table.
        let foot = below.iter().skip(rows).take_while(|(_, line)| !line.trim().is_empty());
        let is_cut = foot.clone().count() > 1 || foot.clone().any(|(_, line)| !is_foot(line));
        // Strokes below values stand for what was not measured.
        let first = above
            .last()
            .and_then(|(_, line)| fitting(line, &spans))
            .unwrap_or_default();
        let are_values = first.iter().any(|cell| number::parse(cell).is_some());
        if names == 0 || rows == 0 || is_cut || are_values {
            continue;
        }
        for (number, line) in above.iter().take(above.len() - names) {
            whole(&mut grid, *number, line, limits)?;
        }
        let heads = above.get(above.len() - names..).unwrap_or_default();
        let number = heads.first().map_or(0, |(number, _)| *number);
        for span in &spans {
            let parts = heads.iter().map(|(_, line)| cut(line, span));
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            grid.push_cell(&parts.join(" "), number, limits)?;
        }
        grid.end_row(number, limits)?;
        for (number, line) in below.iter().take(rows) {
            for cell in fitting(line, &spans).unwrap_or_default() {
                grid.push_cell(&cell, *number, limits)?;
            }
            grid.end_row(*number, limits)?;
        }
        tables += 1;
        done = at + 1 + rows;
    }
    for (number, line) in all.get(done..).unwrap_or_default() {
        whole(&mut grid, *number, line, limits)?;
    }
    Ok((tables > 0).then_some(grid))
}

fn whole(grid: &mut Grid, number: u64, line: &str, limits: &Limits) -> Result<(), ReadError> {
    grid.push_cell(line.trim(), number, limits)?;
    grid.end_row(number, limits)
}

/// The columns that a ruler parts: runs of strokes with one space or bar between them.
fn spans(line: &str) -> Option<Vec<Span>> {
    let line = line.trim_end();
    let is_long = line.contains("--") || line.contains("==");
    if !is_long || !line.bytes().all(|byte| b"-=|+ ".contains(&byte)) {
        return None;
    }
    let mut spans: Vec<Span> = Vec::new();
    for (at, _) in line.bytes().enumerate().filter(|(_, byte)| b"-=".contains(byte)) {
        match spans.last_mut() {
            Some(span) if span.end == at => span.end = at + 1,
            Some(span) if at > span.end + 2 => return None,
            _ => spans.push(at..at + 1),
        }
    }
    (spans.len() >= COLUMNS_MIN).then_some(spans)
}

/// The cells of a line, if nothing of it stands between the columns or behind them; not those of a line that is parted by
/// bars itself.
fn fitting(line: &str, spans: &[Span]) -> Option<Vec<String>> {
    let characters: Vec<char> = line.trim_end().chars().collect();
    let is_within = |at: usize| spans.iter().any(|span| span.contains(&at));
    let last = spans.last().map_or(0, |span| span.end);
    let outside = characters
        .iter()
        .enumerate()
        // The last column may go on.
        .any(|(at, character)| !character.is_whitespace() && !is_within(at) && at < last);
    if characters.is_empty() || outside {
        return None;
    }
    let count = spans.len();
    let cells = spans.iter().enumerate().map(|(at, span)| {
        let end = if at + 1 == count {
            characters.len().max(span.end)
        } else {
            span.end
        };
        let cell: String = characters.iter().take(end).skip(span.start).collect();
        cell.trim().to_owned()
    });
    let cells: Vec<String> = cells.collect();
    // A sentence that happens to have its spaces there fills the first column and no value.
    let is_tabbed = characters.contains(&'\t');
    (!is_tabbed && cells.iter().any(|cell| !cell.is_empty())).then_some(cells)
}

/// Whether a line is of the kind that ends a table: `(5 rows affected)`, `Totals : 12.5`, another ruler.
fn is_foot(line: &str) -> bool {
    line.trim_start().starts_with('(') || line.contains(':') || spans(line).is_some()
}

fn cut(line: &str, span: &Span) -> String {
    let cell: String = line.chars().take(span.end).skip(span.start).collect();
    cell.trim().to_owned()
}
