//! Lines before and after a table: `Plate ID: P0001`, `Run at:<tab>2026-03-04`, `* Block Type = 384`, or a plain note.

use std::collections::BTreeMap;

use crate::formats::moment;

/// A key longer than this is a sentence with a colon.
const KEY_CHARS_MAX: usize = 60;

/// What a line outside the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadLine {
    /// Keys and values, both trimmed; a value may be empty.
    Pairs(Vec<(String, String)>),
    /// One cell of text without a key.
    Note(String),
    /// Several cells that are no pairs: part of some table.
    Row,
}

/// Reads the filled, trimmed cells of a line.
pub(super) fn classify(filled: &[&str]) -> HeadLine {
    let stripped: Vec<&str> = match filled.split_first() {
        Some((first, rest)) => {
            let first = first.trim_start_matches(['#', '*']).trim();
            std::iter::once(first)
                .chain(rest.iter().copied())
                .filter(|cell| !cell.is_empty())
                .collect()
        }
        None => Vec::new(),
    };
    let Some((first, rest)) = stripped.split_first() else {
        return HeadLine::Note(String::new());
    };
    if let Some(pairs) = parted(&stripped) {
        return HeadLine::Pairs(pairs);
    }
    let pairs: Vec<_> = stripped.iter().filter_map(|cell| pair(cell)).collect();
    if pairs.len() == stripped.len() {
        return HeadLine::Pairs(pairs);
    }
    if rest.is_empty() {
        return match first.strip_suffix(':').map(str::trim).filter(|key| is_key(key)) {
            Some(key) => HeadLine::Pairs(vec![(key.to_owned(), String::new())]),
            None => HeadLine::Note((*first).to_owned()),
        };
    }
    if let Some(key) = first.strip_suffix([':', '=']).map(str::trim)
        && is_key(key)
    {
        return HeadLine::Pairs(vec![(key.to_owned(), rest.join(" "))]);
    }
    if let Some((key, value)) = pair(first) {
        // The value held the delimiter: `Comment: washed, dried`.
        return HeadLine::Pairs(vec![(key, format!("{value}, {}", rest.join(", ")))]);
    }
    match rest {
        [value] if is_key(first) => HeadLine::Pairs(vec![((*first).to_owned(), (*value).to_owned())]),
        _ => HeadLine::Row,
    }
}

/// Whether the pairs are marked as such (by a colon or an equals sign), not just two cells.
pub(super) fn is_marked(filled: &[&str]) -> bool {
    let Some((first, rest)) = filled.split_first() else {
        return false;
    };
    if filled.get(1) == Some(&":") {
        return matches!(classify(filled), HeadLine::Pairs(_));
    }
    let marked = pair(first).is_some() || (first.ends_with([':', '=']) && first.len() > 1);
    marked && (rest.len() <= 1 || matches!(classify(filled), HeadLine::Pairs(_)))
}

/// What a printed report says of itself at its end, in small letters.
const PRINTED: [&str; 14] = [
    "printed",
    "generated",
    "exported",
    "created",
    "gedruckt",
    "ausgedruckt",
    "erstellt",
    "exportiert",
    "imprimé",
    "généré",
    "exporté",
    "impreso",
    "generado",
    "stampato",
];
/// The word for a page, and what stands between its number and that of all pages.
const PAGES: [(&str, &str); 4] = [("page", "of"), ("seite", "von"), ("page", "sur"), ("página", "de")];

/// Whether a line says when a report was printed, or which of its pages ends here: `Printed 2026-11-03 14:12 by jdoe`,
/// `Page 1 of 1`.
pub(super) fn is_printed(filled: &[&str]) -> bool {
    let text = filled.join(" ").to_lowercase();
    let mut words = text.split([' ', ',', ';', '(', ')', '\u{a0}']);
    let mut words: Vec<&str> = words
        .by_ref()
        .map(|word| word.trim_matches([':', '*', '-', '.']))
        .collect();
    words.retain(|word| !word.is_empty());
    let is_number = |word: Option<&&str>| word.is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let is_page = (0..words.len()).any(|at| {
        let between = |page: &str, of: &str| words.get(at) == Some(&page) && words.get(at + 2) == Some(&of);
        PAGES.iter().any(|(page, of)| between(page, of)) && is_number(words.get(at + 1)) && is_number(words.get(at + 3))
    });
    let is_dated = || {
        words.first().is_some_and(|first| PRINTED.contains(first)) && words.iter().any(|word| moment::is_moment(word))
    };
    is_page || is_dated()
}

/// A value without the formula that keeps Excel from reading it as a number: `="1050209"`.
pub(super) fn unquoted(cell: &str) -> &str {
    let inner = cell.strip_prefix("=\"").and_then(|inner| inner.strip_suffix('"'));
    inner.map_or(cell, |inner| inner.trim_matches('"'))
}

/// Puts pairs into the properties; a repeated key gets a number, so that nothing is lost.
pub(super) fn record(properties: &mut BTreeMap<String, String>, key: &str, value: &str) {
    let mut name = key.to_owned();
    let mut number = 2;
    while properties.get(&name).is_some_and(|before| before != value) {
        name = format!("{key}_{number}");
        number += 1;
    }
    properties.insert(name, value.to_owned());
}

/// `Operator | : | Sam | Volume | : | 100`: keys and values with a cell for each colon.
fn parted(cells: &[&str]) -> Option<Vec<(String, String)>> {
    let colons: Vec<usize> = (0..cells.len()).filter(|at| cells.get(*at) == Some(&":")).collect();
    let mut pairs = Vec::new();
    for (number, colon) in colons.iter().enumerate() {
        let key = cells.get(colon.checked_sub(1)?)?;
        let end = colons
            .get(number + 1)
            .map_or(cells.len(), |next| next.saturating_sub(1));
        let value = cells.get(colon + 1..end).unwrap_or_default().join(" ");
        if !is_key(key) {
            return None;
        }
        pairs.push(((*key).to_owned(), value));
    }
    (colons.first() == Some(&1)).then_some(pairs)
}

/// `key: value` or `key = value` in one cell. A colon without a space after it is a time, a path or an address.
fn pair(cell: &str) -> Option<(String, String)> {
    // Some writers put a no-break space behind the colon.
    let at = cell.match_indices(':').map(|(at, _)| at).find(|at| {
        cell.get(at + 1..)
            .is_some_and(|rest| rest.starts_with(char::is_whitespace))
    });
    let (key, value) = match at {
        Some(at) => (cell.get(..at)?, cell.get(at + 1..)?),
        None => cell.split_once(" = ")?,
    };
    let key = key.trim().trim_end_matches(':');
    (is_key(key) && !value.trim().is_empty()).then(|| (key.to_owned(), value.trim().to_owned()))
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= KEY_CHARS_MAX
        && text.contains(char::is_alphabetic)
        && !text.starts_with('[')
}
