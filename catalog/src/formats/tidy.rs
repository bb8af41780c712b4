//! Lines within a table that are none of its rows: remarks behind a mark (`# pause of 5 min`), and ruled lines
//! (`|---|---|`). They are taken out before the table is sought; remarks become properties.

use std::collections::BTreeMap;

use crate::formats::grid::Grid;
use crate::formats::layout::{Source, keep};
use crate::formats::{Limits, ReadError, header};

/// What a remark starts with. Where none stands above the table, only the first two are believed.
const MARKS: [&str; 6] = ["#", "//", "%", "!", ";", "--"];
const SURE_MARKS: usize = 2;
/// Marks that start more than this share of the rows are how the data look.
const MARKED_SHARE_MAX: usize = 2;
/// Characters of ruled lines.
const RULES: &str = "-=_+|:~* ";

/// The grid without such lines, with what is said of them; `None` where there are none.
///
/// # Errors
/// `TooLarge`, as any grid.
pub(super) fn tidy(
    grid: &Grid,
    source: &Source,
    properties: &mut BTreeMap<String, String>,
    limits: &Limits,
) -> Result<Option<(Grid, Vec<String>)>, ReadError> {
    let remarks = remarks(grid);
    let rules = rules(grid);
    if remarks.is_empty() && rules.is_empty() {
        return Ok(None);
    }
    let mut kept = Grid::default();
    for row in 0..grid.height() {
        if rules.contains(&row) {
            continue;
        }
        if remarks.contains(&row) {
            keep(grid, row, source, properties);
            continue;
        }
        let line = grid.line(row);
        grid.cells(row)
            .try_for_each(|cell| kept.push_cell(cell, line, limits))?;
        kept.end_row(line, limits)?;
    }
    let mut notes = Vec::new();
    for (count, what) in [
        (remarks.len(), "remarks within the table kept as properties"),
        (rules.len(), "ruled lines passed over"),
    ] {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    }
    Ok(Some((kept, notes)))
}

fn mark_of(cell: &str) -> Option<usize> {
    MARKS.iter().position(|mark| {
        cell.strip_prefix(mark).is_some_and(|rest| {
            let rest = rest.trim_start_matches(mark);
            rest.starts_with(|first: char| first.is_whitespace() || first.is_alphabetic())
        })
    })
}

/// Remarks below the first row that is none. Those above it are the head's.
fn remarks(grid: &Grid) -> Vec<usize> {
    let content: Vec<usize> = (0..grid.height()).filter(|row| grid.filled_width(*row) > 0).collect();
    let first_cell = |row: usize| {
        grid.cells(row)
            .map(str::trim)
            .find(|cell| !cell.is_empty())
            .unwrap_or_default()
    };
    // Most files have no such line at all, and pay for one look at the first character.
    let mark = content.iter().find_map(|row| mark_of(first_cell(*row)));
    let Some(mark) = mark else { return Vec::new() };
    let marked: Vec<usize> = content
        .iter()
        .copied()
        .filter(|row| mark_of(first_cell(*row)) == Some(mark))
        .collect();
    if marked.len() * MARKED_SHARE_MAX > content.len() {
        return Vec::new();
    }
    let leading = content
        .iter()
        .zip(&marked)
        .take_while(|(row, marked)| row == marked)
        .count();
    let within: Vec<usize> = marked.get(leading..).unwrap_or_default().to_vec();
    let is_alone = |row: &usize| grid.filled(*row).len() == 1;
    let is_sure = leading > 0 || (mark < SURE_MARKS && within.iter().all(is_alone));
    // A remark above names is the title of what they name.
    let is_title = |row: &usize| {
        let blank = |row: Option<usize>| row.is_none_or(|row| grid.filled_width(row) == 0);
        let next = content.iter().find(|next| *next > row && !within.contains(next));
        blank(row.checked_sub(1)) || next.is_some_and(|next| header::is_all_labels(&grid.filled(*next)))
    };
    if !is_sure || within.iter().any(is_title) {
        return Vec::new();
    }
    within
}

/// Rows of nothing but strokes, while other rows hold more.
fn rules(grid: &Grid) -> Vec<usize> {
    let is_rule = |row: &usize| {
        let filled = grid.filled(*row);
        let strokes = |cell: &&str| cell.chars().all(|character| RULES.contains(character));
        let is_long = |cell: &&str| {
            ["--", "==", "__", "~~", "**"]
                .iter()
                .any(|stroke| cell.contains(stroke))
        };
        let length: usize = filled.iter().map(|cell| cell.len()).sum();
        length > 2 && filled.iter().all(strokes) && filled.iter().any(is_long)
    };
    let content: Vec<usize> = (0..grid.height()).filter(|row| grid.filled_width(*row) > 0).collect();
    let rules: Vec<usize> = content.iter().copied().filter(is_rule).collect();
    if rules.len() + 1 < content.len() {
        rules
    } else {
        Vec::new()
    }
}
