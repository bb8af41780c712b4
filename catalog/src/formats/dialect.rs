//! Which delimiter a text uses. Each candidate splits a sample; the one whose rows agree in width and whose cells look
//! like values wins (the idea of van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by detecting row and type
//! patterns", 2019: consistency of row patterns times the share of cells of a known type).

use std::collections::BTreeMap;

use crate::formats::grid::Grid;
use crate::formats::split::{Delimiter, Dialect, by_spaces, lines, split};
use crate::formats::text_file::RIVAL_MIN;
use crate::formats::{Limits, moment, number};

/// The sample: enough for a long preamble and hundreds of rows, small enough to split several times.
const SAMPLE_BYTES: usize = 256 << 10;
/// What cells are quoted with, unless something else explains the text better.
const QUOTE: char = '"';
/// In the order of preference when two fit equally well.
const CANDIDATES: [char; 4] = ['\t', ',', ';', '|'];

/// What was chosen, and the best other delimiter with the share of its score, if that is large.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) dialect: Dialect,
    pub(super) rival: Option<(Delimiter, f64)>,
}

/// The dialect of a delimiter that is known.
pub(super) fn with(delimiter: Delimiter, text: &str, limits: &Limits) -> Dialect {
    let plain = Dialect {
        delimiter,
        backslash: false,
        quote: QUOTE,
    };
    let escaped = Dialect {
        backslash: true,
        ..plain
    };
    let Delimiter::Char(character) = delimiter else {
        return plain;
    };
    let sample = sample(text);
    let of = |dialect| split(sample, dialect, limits).map_or(0.0, |parts| score(&parts.grid, character));
    if sample.contains("\\\"") && of(escaped) > of(plain) {
        escaped
    } else {
        plain
    }
}

/// Chooses the dialect of a whole text. `file_name` only breaks ties.
pub(super) fn choose(file_name: &str, text: &str, limits: &Limits) -> Chosen {
    let sample = sample(text);
    let mut best: Option<(f64, Dialect)> = None;
    let mut scores: Vec<(f64, Delimiter)> = Vec::new();
    for delimiter in order(file_name) {
        if !sample.contains(delimiter) {
            continue;
        }
        for backslash in [false, true] {
            if backslash && !sample.contains("\\\"") {
                continue;
            }
            let dialect = Dialect {
                delimiter: Delimiter::Char(delimiter),
                backslash,
                quote: QUOTE,
            };
            let score = match split(sample, dialect, limits) {
                Ok(parts) => {
                    let literal = parts.literal_quotes as f64 / parts.grid.height().max(1) as f64;
                    score(&parts.grid, delimiter) / (1.0 + literal)
                }
                // The whole file will fail as well, and say why; a worse delimiter must not win by hiding that.
                Err(_) => naive_score(sample, delimiter),
            };
            scores.push((score, dialect.delimiter));
            if score > 0.0 && best.is_none_or(|(before, _)| score > before * 1.000_001) {
                best = Some((score, dialect));
            }
        }
    }
    if let Some((score, dialect)) = single_quoted(sample, file_name, best.map_or(0.0, |(score, _)| score), limits) {
        best = Some((score, dialect));
    }
    if let Some((best, dialect)) = best {
        let others = scores.iter().filter(|(_, delimiter)| *delimiter != dialect.delimiter);
        let rival = others
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(score, other)| (*other, score / best));
        return Chosen {
            dialect,
            rival: rival.filter(|(_, share)| *share > RIVAL_MIN),
        };
    }
    Chosen {
        dialect: Dialect {
            delimiter: spaces(text).unwrap_or(Delimiter::None),
            backslash: false,
            quote: QUOTE,
        },
        rival: None,
    }
}

/// The dialect of cells in single quotes, where these explain the text better than no quotes, or as well and most rows have
/// such a cell; and how well.
fn single_quoted(sample: &str, file_name: &str, plain: f64, limits: &Limits) -> Option<(f64, Dialect)> {
    const SINGLE: char = '\'';
    if sample.contains(QUOTE) || !sample.contains(SINGLE) {
        return None;
    }
    let mut best: Option<(f64, Dialect)> = None;
    for delimiter in order(file_name) {
        if !sample.contains(&[SINGLE, delimiter].iter().collect::<String>()) {
            continue;
        }
        let dialect = Dialect {
            delimiter: Delimiter::Char(delimiter),
            backslash: false,
            quote: SINGLE,
        };
        // A quote that is left open, or stands within a word, is an apostrophe.
        let Some(parts) = split(sample, dialect, limits)
            .ok()
            .filter(|parts| parts.literal_quotes == 0)
        else {
            continue;
        };
        let found = score(&parts.grid, delimiter);
        let is_usual = parts.quoted > 2 && parts.quoted * 2 >= parts.grid.height();
        let is_better = found > plain * 1.000_001 || (is_usual && found >= plain * 0.999);
        if is_better && parts.quoted > 0 && best.is_none_or(|(before, _)| found > before) {
            best = Some((found, dialect));
        }
    }
    best
}

fn order(file_name: &str) -> [char; 4] {
    let [tab, comma, semicolon, bar] = CANDIDATES;
    if file_name.to_ascii_lowercase().contains(".csv") {
        [comma, semicolon, tab, bar]
    } else {
        [tab, comma, semicolon, bar]
    }
}

/// The text's beginning without its leading comments, cut after a whole row. An odd number of quotes would leave a cell
/// open, so the cut moves back to where they are even.
fn sample(text: &str) -> &str {
    let mut body = text;
    for (_, line) in lines(text) {
        if !line.trim_start().starts_with('#') && !line.trim().is_empty() {
            break;
        }
        let after = body.get(line.len()..).unwrap_or_default();
        body = after
            .strip_prefix("\r\n")
            .or_else(|| after.get(1..))
            .unwrap_or_default();
    }
    if body.trim().is_empty() {
        body = text;
    }
    if body.len() <= SAMPLE_BYTES {
        return body;
    }
    let mut end = SAMPLE_BYTES;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let head = body.get(..end).unwrap_or_default();
    for (at, _) in head.rmatch_indices(['\n', '\r']) {
        let part = head.get(..at).unwrap_or_default();
        if part.bytes().filter(|byte| *byte == b'"').count() % 2 == 0 {
            return part;
        }
    }
    head
}

/// Consistency of widths times share of plausible cells; 0 when no row has two cells.
fn score(grid: &Grid, delimiter: char) -> f64 {
    let mut patterns: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut rows, mut cells, mut plausible) = (0usize, 0usize, 0usize);
    for row in 0..grid.height() {
        if grid.filled_width(row) == 0 {
            continue;
        }
        rows += 1;
        *patterns.entry(grid.width(row)).or_default() += 1;
        for cell in grid.cells(row) {
            cells += 1;
            plausible += usize::from(is_plausible(cell.trim(), delimiter));
        }
    }
    if patterns.keys().all(|width| *width < 2) || rows == 0 || cells == 0 {
        return 0.0;
    }
    let consistency: f64 = patterns
        .iter()
        .map(|(width, count)| *count as f64 * (*width as f64 - 1.0) / *width as f64)
        .sum::<f64>()
        / patterns.len() as f64
        / rows as f64;
    consistency * plausible as f64 / cells as f64
}

/// The score of a text that does not split by the rules (an open quote, a limit): its lines cut at every delimiter.
fn naive_score(sample: &str, delimiter: char) -> f64 {
    let mut grid = Grid::default();
    let unlimited = Limits {
        columns_max: usize::MAX,
        rows_max: usize::MAX,
        cell_bytes_max: usize::MAX,
        ..Limits::default()
    };
    for (line, text) in lines(sample) {
        let cells = text
            .split(delimiter)
            .try_for_each(|cell| grid.push_cell(cell, line, &unlimited));
        if cells.and_then(|()| grid.end_row(line, &unlimited)).is_err() {
            break;
        }
    }
    score(&grid, delimiter)
}

/// A number, a date, nothing, or text that no other delimiter would have cut.
fn is_plausible(cell: &str, delimiter: char) -> bool {
    if cell.is_empty() || number::parse(cell).is_some() || moment::is_moment(cell) {
        return true;
    }
    if delimiter != ',' && number::parse_comma(cell).is_some() {
        return true;
    }
    !CANDIDATES
        .iter()
        .any(|other| *other != delimiter && cell.contains(*other))
}

/// Columns aligned by spaces: accepted only when every line agrees.
fn spaces(text: &str) -> Option<Delimiter> {
    let agree = |run: usize| {
        let mut widths = lines(text)
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(_, line)| by_spaces(line, run).len());
        let first = widths.next()?;
        let rest: Vec<usize> = widths.collect();
        (first >= 2 && !rest.is_empty() && rest.iter().all(|width| *width == first)).then_some(Delimiter::Spaces(run))
    };
    if let Some(delimiter) = agree(2) {
        return Some(delimiter);
    }
    // Single spaces also part words, so half of the cells must be numbers.
    let (mut cells, mut numbers) = (0usize, 0usize);
    for (_, line) in lines(text).skip(1) {
        for cell in by_spaces(line, 1) {
            cells += 1;
            numbers += usize::from(number::parse(cell).is_some());
        }
    }
    if numbers * 2 >= cells.max(1) { agree(1) } else { None }
}
