//! The lines between blocks: what they say about the block below them.

use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::header;

/// A longer title is a sentence and names nothing.
const TITLE_CHARS_MAX: usize = 80;

/// The lines since the block before.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// Lines of one cell, in order, without the marks that frame them.
    pub(super) titles: Vec<String>,
    /// Keys and values, in order; a key may come again.
    pub(super) pairs: Vec<(String, String)>,
    /// The same from tables of one row above a plate.
    pub(super) row: Vec<(String, String)>,
    /// Values of pairs that list several numbers (`280 450 562`), which name what stands side by side below.
    lists: Vec<Vec<String>>,
    /// Titles that a table above has taken for its own.
    taken: usize,
    /// Pairs that stood above a table before.
    old_pairs: usize,
}

impl Context {
    /// Takes a line in. False when it is neither title nor pair, but several cells of an unknown meaning.
    pub(super) fn read(&mut self, grid: &Grid, row: usize) -> bool {
        let filled = grid.filled(row);
        self.lists.extend(filled.iter().filter_map(|cell| number_list(cell)));
        match head::classify(&filled) {
            HeadLine::Pairs(mut pairs) => {
                // `Plate: P1, 1.3, Endpoint, …`: the first value belongs to the key, the others are settings.
                // The colon may have a cell of its own.
                if let ([(_, value)], [_, ":", first, _, ..] | [_, first, _, ..]) =
                    (pairs.as_mut_slice(), filled.as_slice())
                    && *first != ":"
                {
                    *value = (*first).to_owned();
                }
                // `Platemap:` alone is the title of what follows.
                if let [(key, value)] = pairs.as_slice()
                    && value.is_empty()
                {
                    self.titles.push(key.clone());
                    return true;
                }
                self.pairs.extend(pairs);
                true
            }
            // `~End` and `##BLOCKS= 4` are the writer's own brackets: what stood before them is another part.
            HeadLine::Note(_)
                if filled
                    .first()
                    .is_some_and(|cell| cell.starts_with(['~']) || cell.starts_with("##")) =>
            {
                self.take_titles();
                true
            }
            HeadLine::Note(note) => {
                let title = unframed(&note);
                if !title.is_empty() {
                    self.titles.push(title);
                }
                true
            }
            HeadLine::Row => match pairs_beside(grid, row) {
                Some(pairs) => {
                    self.pairs.extend(pairs);
                    true
                }
                None => false,
            },
        }
    }

    /// The last title that is not yet some table's own.
    pub(super) fn title(&self) -> Option<&str> {
        self.titles
            .get(self.taken..)?
            .iter()
            .rev()
            .map(String::as_str)
            .find(|title| title.chars().count() <= TITLE_CHARS_MAX)
    }

    /// All titles that no table above has taken.
    pub(super) fn open_titles(&self) -> &[String] {
        self.titles.get(self.taken..).unwrap_or_default()
    }

    /// The titles so far belong to a table above.
    pub(super) fn take_titles(&mut self) {
        self.taken = self.titles.len();
        self.old_pairs = self.pairs.len();
    }

    /// The last pair since the table above.
    pub(super) fn own_pair(&self) -> Option<&(String, String)> {
        self.pairs.get(self.old_pairs..)?.last()
    }

    /// Names for `count` things side by side, if some cell lists so many numbers.
    pub(super) fn numbered(&self, count: usize) -> Option<&[String]> {
        let list = self.lists.iter().rev().find(|list| list.len() == count)?;
        Some(list.as_slice())
    }

    /// Whether any of the words stands in a title or pair.
    pub(super) fn says(&self, words: &[&str]) -> bool {
        let pairs = self.pairs.iter().chain(&self.row).flat_map(|(key, value)| [key, value]);
        let texts = self.open_titles().iter().chain(pairs);
        texts
            .map(|text| text.to_lowercase())
            .any(|text| words.iter().any(|word| has_word(&text, word)))
    }
}

/// Keys and values in groups parted by empty cells: `Name | P1 | | Start | 9:30 | | Rate | 10 | Hz`.
fn pairs_beside(grid: &Grid, row: usize) -> Option<Vec<(String, String)>> {
    let cells: Vec<&str> = grid.cells(row).map(str::trim).collect();
    let groups: Vec<&[&str]> = cells
        .split(|cell| cell.is_empty())
        .filter(|group| !group.is_empty())
        .collect();
    let pairs: Option<Vec<(String, String)>> = groups
        .iter()
        .map(|group| match group {
            [key, value] if header::is_label(key) => Some(((*key).to_owned(), (*value).to_owned())),
            [key, value, unit] if header::is_label(key) && !header::is_label(value) => {
                Some(((*key).to_owned(), format!("{value} {unit}")))
            }
            _ => None,
        })
        .collect();
    pairs.filter(|pairs| pairs.len() > 1)
}

/// Whether a word of the lower-case text starts with `start`.
pub(super) fn has_word(text: &str, start: &str) -> bool {
    text.match_indices(start).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|character| !character.is_alphanumeric())
    })
}

/// Two or more different numbers in one cell, parted by spaces.
fn number_list(cell: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = cell.split_whitespace().map(str::to_owned).collect();
    let numbers = parts.iter().all(|part| crate::formats::number::parse(part).is_some());
    let mut distinct = parts.clone();
    distinct.sort();
    distinct.dedup();
    (parts.len() > 1 && numbers && distinct.len() == parts.len()).then_some(parts)
}

/// A title without the marks around it: `[Results]`, `==== Data ====`, `-- CRC --`.
fn unframed(note: &str) -> String {
    let mark = |character: char| matches!(character, '=' | '-' | '#' | '*' | '~' | '_' | '/') || character == ' ';
    let inner = note.trim_matches(mark);
    let inner = inner
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(inner);
    inner.trim().to_owned()
}
