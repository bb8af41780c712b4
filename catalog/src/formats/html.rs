//! Tables of HTML pages: some programs save such a page under the name of a spreadsheet. Only what stands in cells is read; a
//! table within another one is layout, and such a page is refused.

use crate::formats::grid::Grid;
use crate::formats::{Limits, Parsed, ReadError, workbook};

/// A cell spans so many columns at most.
const SPAN_MAX: usize = 64;

/// Reads a page; `None` when the text is none.
///
/// # Errors
/// `Unsupported` for a page without a plain table, and whatever its tables are refused for.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    let start: String = text.trim_start().chars().take(20).collect();
    let start = start.to_ascii_lowercase();
    let starts = |tags: &[&str]| tags.iter().any(|tag| start.starts_with(tag));
    // XML may call its elements so, too, but has no cells.
    let has_cells = || {
        let cell = ["<td>", "<td ", "<TD>", "<TD "].iter().any(|tag| text.contains(tag));
        cell && starts(&["<table", "<body", "<head", "<meta"])
    };
    if !starts(&["<html", "<!doctype html"]) && !has_cells() {
        return Ok(None);
    }
    let tables = tables(text, limits)?;
    if tables.is_empty() {
        return Err(unsupported("an HTML page without a table"));
    }
    let names = tables.into_iter().enumerate();
    let named = names.map(|(at, (title, grid))| (title.unwrap_or_else(|| format!("table {}", at + 1)), grid));
    workbook::of_grids("HTML", named.collect(), limits).map(Some)
}

/// The tables of more than one row, each with what stands in its caption.
fn tables(text: &str, limits: &Limits) -> Result<Vec<(Option<String>, Grid)>, ReadError> {
    let mut all = Vec::new();
    let mut open: Option<(Option<String>, Grid)> = None;
    let mut cell: Option<(String, usize)> = None;
    let mut row_line = 0;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        if let Some((content, _)) = &mut cell {
            content.push_str(before);
        }
        let inside = from.get(1..).unwrap_or_default();
        // A bare `<` of a value such as `<0.01`.
        if !inside.starts_with(|first: char| first.is_ascii_alphabetic() || "/!?".contains(first)) {
            if let Some((content, _)) = &mut cell {
                content.push('<');
            }
            rest = inside;
            continue;
        }
        let end = match inside.starts_with("!--") {
            true => inside.find("-->").map(|at| at + 2),
            false => inside.find('>'),
        };
        let Some(end) = end else { break };
        let tag = inside.get(..end).unwrap_or_default();
        rest = inside.get(end + 1..).unwrap_or_default();
        let name = tag
            .split(|c: char| c.is_whitespace() || c == '>')
            .next()
            .unwrap_or_default();
        let name = name.trim_end_matches('/').to_ascii_lowercase();
        match name.as_str() {
            "script" | "style" => {
                let close = format!("</{name}");
                rest = rest.find(&close).and_then(|at| rest.get(at..)).unwrap_or_default();
            }
            "table" if open.is_some() => return Err(unsupported("an HTML page with tables within tables")),
            "table" => open = Some((None, Grid::default())),
            "/table" => {
                if let Some((title, mut grid)) = open.take() {
                    finish(&mut cell, &mut grid, row_line, limits)?;
                    if row_line > 0 {
                        grid.end_row(row_line, limits)?;
                    }
                    if grid.height() > 1 {
                        all.push((title, grid));
                    }
                }
                row_line = 0;
            }
            "tr" => {
                if let Some((_, grid)) = &mut open {
                    finish(&mut cell, grid, row_line, limits)?;
                    if row_line > 0 {
                        grid.end_row(row_line, limits)?;
                    }
                    row_line += 1;
                }
            }
            "caption" => cell = open.is_some().then(|| (String::new(), 1)),
            "/caption" => {
                if let (Some((title, _)), Some((content, _))) = (&mut open, cell.take()) {
                    *title = Some(plain(&content)).filter(|title| !title.is_empty());
                }
            }
            "td" | "th" => {
                if let Some((_, grid)) = &mut open {
                    finish(&mut cell, grid, row_line, limits)?;
                    row_line = row_line.max(1);
                    cell = Some((String::new(), span(tag)));
                }
            }
            "/td" | "/th" | "/tr" => {
                if let Some((_, grid)) = &mut open {
                    finish(&mut cell, grid, row_line, limits)?;
                }
            }
            "br" | "p" | "div" => {
                if let Some((content, _)) = &mut cell {
                    content.push(' ');
                }
            }
            _ => {}
        }
    }
    Ok(all)
}

/// Puts the open cell into the grid.
fn finish(cell: &mut Option<(String, usize)>, grid: &mut Grid, line: u64, limits: &Limits) -> Result<(), ReadError> {
    let Some((content, span)) = cell.take() else {
        return Ok(());
    };
    grid.push_cell(&plain(&content), line, limits)?;
    (1..span).try_for_each(|_| grid.push_cell("", line, limits))
}

/// How many columns a cell spans.
fn span(tag: &str) -> usize {
    let lower = tag.to_ascii_lowercase();
    let told = lower
        .split_once("colspan=")
        .map_or("", |(_, told)| told.trim_start_matches(['"', '\'']));
    let digits: String = told.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(1).clamp(1, SPAN_MAX)
}

/// Text without entities, its white space as single spaces.
fn plain(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let known = from
            .get(1..)
            .and_then(|inside| inside.split_once(';'))
            .and_then(|(name, after)| Some((entity(name)?, after)));
        match known {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn entity(name: &str) -> Option<char> {
    let code = |digits: &str, radix: u32| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "deg" => '°',
        "micro" => 'µ',
        "mu" => 'μ',
        "plusmn" => '±',
        "minus" => '\u{2212}',
        "middot" => '·',
        "sup2" => '²',
        "sup3" => '³',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
            Some(hex) => code(hex, 16)?,
            None => code(name.strip_prefix('#')?, 10)?,
        },
    })
}

fn unsupported(seen: &str) -> ReadError {
    ReadError::Unsupported { seen: seen.to_owned() }
}
