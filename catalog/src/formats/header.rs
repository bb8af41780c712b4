//! Is the first row of a table its header, and what are the columns called?

use std::collections::{HashMap, HashSet};

use crate::formats::column::Cells;
use crate::formats::infer::{self, ColumnType, Commas, Evidence};
use crate::formats::{blocks, moment, number};

/// Names longer than this are data.
const NAME_CHARS_MAX: usize = 200;
/// Rows compared with the first: a contrast that does not show in so many is none.
const CONTRAST_ROWS: usize = 1000;
/// Numeric names in a row that make an axis (wavelengths, cycles, columns of a plate).
const AXIS_NAMES_MIN: usize = 3;

/// Whether `first` names the columns of `body`: its cells differ in kind from what stands below them.
pub(super) fn is_header(first: &[&str], body: &dyn Cells) -> bool {
    judge(first, body).0
}

/// Whether the types of the columns show that `first` is a header, not only that its texts do not come again.
pub(super) fn stands_out(first: &[&str], body: &dyn Cells) -> bool {
    judge(first, body).1
}

/// Whether it is a header, and whether types say so.
fn judge(first: &[&str], body: &dyn Cells) -> (bool, bool) {
    let axis = axis(first);
    let mut contrast = 0i64;
    let mut repeats = false;
    let mut typed = false;
    for (column, name) in first.iter().enumerate() {
        let name = name.trim();
        if axis.contains(&column) {
            continue;
        }
        let mut evidence = Evidence::default();
        for row in 0..body.height().min(CONTRAST_ROWS) {
            let cell = body.cell(row, column);
            evidence.see(cell);
            repeats |= !name.is_empty() && cell.trim() == name;
        }
        let below = evidence.decide(Commas::Decimal);
        let named = is_label(name);
        // `No`, `Na` and `Nd` are headings as well as values.
        let says_nothing = name.is_empty() || infer::is_null_word(name) || infer::boolean(name).is_some();
        typed |= !says_nothing && !named;
        contrast += match below {
            ColumnType::Null | ColumnType::Text => 0,
            // An unnamed column of numbers beside named ones is an index; it says little either way.
            _ if says_nothing => 0,
            _ if named => 1,
            // Days above what was measured on them.
            ColumnType::Int64 | ColumnType::Float64(_) if moment::is_moment(name) => 1,
            _ => -1,
        };
        if name.chars().count() > NAME_CHARS_MAX {
            return (false, false);
        }
    }
    if body.height() == 0 {
        return (!typed, false);
    }
    if has_outlying_names(first, body) || names_wells(first, body) {
        return (true, true);
    }
    if !axis.is_empty() && axis.len() + 1 >= first.len() && contrast >= 0 {
        return (true, true);
    }
    if contrast != 0 {
        return (contrast > 0, contrast > 0);
    }
    // All text: a header names each column once and does not come again as a value.
    let mut seen = HashSet::new();
    let unique = first
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .all(|name| seen.insert(name));
    (unique && !repeats && !typed && !seen.is_empty(), false)
}

/// Whether some cell is the word for wells, above wells.
fn names_wells(first: &[&str], body: &dyn Cells) -> bool {
    let rows = body.height().min(CONTRAST_ROWS);
    let mut named = (0..first.len()).filter(|column| {
        let name = first.get(*column).map_or("", |name| name.trim());
        name.eq_ignore_ascii_case("well") || name.eq_ignore_ascii_case("wells")
    });
    named.any(|column| blocks::is_of_wells((0..rows).map(|row| body.cell(row, column).trim())))
}

/// Whether the names that are numbers are whole ones far from all values below them (wavelengths above absorbances), beside
/// a word above places or names: `Well, Content, 450, 490`.
fn has_outlying_names(first: &[&str], body: &dyn Cells) -> bool {
    /// How many times larger than all values below, or smaller, such a name is.
    const FAR: f64 = 3.0;
    let rows = body.height().min(CONTRAST_ROWS);
    let (mut numbers, mut words) = (0usize, false);
    for (column, name) in first.iter().enumerate() {
        let name = name.trim();
        let cells = || {
            (0..rows)
                .map(|row| body.cell(row, column).trim())
                .filter(|cell| !cell.is_empty())
        };
        match number::parse(name) {
            Some(number::Number::Int(at)) if at > 1 => {
                let below = cells().filter_map(|cell| number::parse(cell).or_else(|| number::parse_comma(cell)));
                let sizes: Vec<f64> = below.map(|number| number.as_f64().abs()).collect();
                let at = at as f64;
                let above = sizes.iter().all(|size| size * FAR < at);
                let below = sizes.iter().all(|size| *size > at * FAR);
                if sizes.len() < 2 || !(above || below) {
                    return false;
                }
                numbers += 1;
            }
            Some(_) => return false,
            None if name.is_empty() => {}
            None => {
                let has_digit = |cell: &str| cell.contains(|character: char| character.is_ascii_digit());
                words |= is_label(name) && !has_digit(name) && cells().next().is_some() && cells().all(has_digit);
            }
        }
    }
    numbers > 0 && words
}

/// Whether every filled cell could be a column's name, and there are at least two.
pub(super) fn is_all_labels(filled: &[&str]) -> bool {
    filled.len() >= 2 && filled.iter().all(|cell| is_label(cell))
}

/// Unique names (without regard to case): an empty one becomes `column_<n>`, a repeated one gets `_2`, `_3`, …
pub(super) fn names<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<String> {
    let given: Vec<String> = cells
        .enumerate()
        .map(|(at, cell)| match one_line(cell) {
            name if name.is_empty() => format!("column_{}", at + 1),
            name => name,
        })
        .collect();
    let mut taken: HashSet<String> = HashSet::new();
    let reserved: HashSet<String> = given.iter().map(|name| name.to_lowercase()).collect();
    // The number each repeated name goes on with, so that thousands of one name do not count up from 2 each.
    let mut next: HashMap<String, usize> = HashMap::new();
    given
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            if taken.insert(lower.clone()) {
                return name;
            }
            let number = next.entry(lower).or_insert(2);
            loop {
                let candidate = format!("{name}_{number}");
                *number += 1;
                let key = candidate.to_lowercase();
                if !reserved.contains(&key) && taken.insert(key) {
                    return candidate;
                }
            }
        })
        .collect()
}

/// Trimmed, with line breaks and runs of spaces made one space.
fn one_line(cell: &str) -> String {
    if cell.contains(['\n', '\r']) {
        cell.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        cell.trim().to_owned()
    }
}

/// Whether a trimmed cell could be a column's name: no number, date, boolean or word for "no value". `March 4, 2026` may
/// stand in a title too.
pub(super) fn is_label(cell: &str) -> bool {
    number::parse(cell).is_none()
        && number::parse_comma(cell).is_none()
        && !(cell.starts_with(|first: char| first.is_ascii_digit()) && moment::is_moment(cell))
        && infer::boolean(cell).is_none()
        && !infer::is_null_word(cell)
        && !cell.is_empty()
}

/// Whether some of the names are numbers that make an axis.
pub(super) fn is_axis(first: &[&str]) -> bool {
    !axis(first).is_empty()
}

/// Columns whose names are numbers that rise or fall all along: an axis, not data, if something else names the rest.
fn axis(first: &[&str]) -> HashSet<usize> {
    let numbers: Vec<(usize, f64)> = first
        .iter()
        .enumerate()
        .filter_map(|(column, cell)| {
            let cell = cell.trim();
            let number = number::parse(cell).or_else(|| number::parse_comma(cell))?;
            Some((column, number.as_f64()))
        })
        .collect();
    let pairs = || numbers.iter().zip(numbers.iter().skip(1));
    let monotone = pairs().all(|((_, a), (_, b))| a < b) || pairs().all(|((_, a), (_, b))| a > b);
    let has_label = first.iter().any(|cell| is_label(cell.trim()));
    // A data frame written with its index: nothing, then 0, 1, 2, …
    let is_counted = first.first().is_some_and(|cell| cell.trim().is_empty())
        && numbers
            .first()
            .is_some_and(|(_, number)| *number == 0.0 || *number == 1.0)
        && pairs().all(|((_, a), (_, b))| *b == a + 1.0);
    if numbers.len() >= AXIS_NAMES_MIN && ((monotone && has_label) || is_counted) {
        numbers.into_iter().map(|(column, _)| column).collect()
    } else {
        HashSet::new()
    }
}
