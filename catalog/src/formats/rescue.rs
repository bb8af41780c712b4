//! Words among numbers: `OVRFLW`, `>105`, `Masked`. The column stays one of numbers, and the words are kept beside it, so
//! that one odd well neither turns a column to text nor is lost.

use std::collections::BTreeMap;

use crate::formats::column::{Cells, Plan};
use crate::formats::fit;
use crate::formats::infer::{self, ColumnType, Style};
use crate::formats::number::{self, Number};
use crate::formats::words;

/// The column of what did not fit: a JSON object of column names and texts, or nothing.
pub(super) const NAME: &str = "_rescued";
/// With fewer values nothing is typical.
const VALUES_MIN: usize = 10;
/// So many words without a number among them are a column of words.
const LOOKED_AT: usize = 1000;
/// Share of numbers in a column that words do not turn to text, whatever they are.
const NUMBERS_MIN: f64 = 0.8;
/// The same of few values whose words all stand for numbers.
const MOST: f64 = 0.5;
/// Share of numbers where all words stand for numbers that could not be given: `TNTC`, `<0.01`, `Undetermined`.
const MARKED_MIN: f64 = 0.2;
/// Fewer numbers among such words prove nothing.
const MARKED_NUMBERS_MIN: usize = 2;
/// Share of numbers where the file's layout says that the values were measured.
const MEASURED_MIN: f64 = 0.1;

/// What the numbers of a column are that has words, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Whole,
    Fractions,
}

/// What was seen in a column.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    values: usize,
    numbers: usize,
    fractions: usize,
    /// Words that stand for numbers, and those of them that say a bound of theirs.
    marks: usize,
    censored: usize,
    /// Other words.
    others: usize,
    /// Some cell is a code such as `007`, which is no broken number: the column is text.
    coded: bool,
}

impl Counts {
    fn see_word(&mut self, cell: &str) {
        if words::is_limit(cell) {
            self.marks += 1;
            self.censored += usize::from(words::is_bound(cell));
        } else {
            self.others += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.numbers += other.numbers;
        self.fractions += other.fractions;
        self.marks += other.marks;
        self.censored += other.censored;
        self.coded |= other.coded;
        self.others += other.others;
    }

    fn numbers(&self) -> Option<Numbers> {
        let share = |least: f64| self.numbers as f64 >= least * self.values as f64;
        // Whole numbers with some words among them are names of samples as often as values.
        let is_measure = self.fractions * 2 > self.numbers && self.values >= VALUES_MIN;
        // Such a word says that the others are values, be they few.
        let least = if self.values >= VALUES_MIN { MARKED_MIN } else { MOST };
        let are_marked = self.others == 0 && self.marks > 0 && self.numbers >= MARKED_NUMBERS_MIN && share(least);
        if self.coded || !((is_measure && share(NUMBERS_MIN)) || are_marked) {
            return None;
        }
        Some(match self.fractions {
            0 => Numbers::Whole,
            _ => Numbers::Fractions,
        })
    }
}

/// Whether a column of text is one of numbers with some words in it, and of which.
pub(super) fn numbers(cells: &dyn Cells, column: usize, style: Style, measured: bool) -> Option<Numbers> {
    let mut seen = Counts::default();
    for row in 0..cells.height() {
        let cell = cells.cell(row, column).trim();
        if cell.is_empty() || infer::is_null_word(cell) {
            continue;
        }
        if seen.values >= LOOKED_AT && seen.numbers + seen.marks == 0 && !measured {
            return None;
        }
        seen.values += 1;
        match style.parse(cell) {
            Some(number) => {
                seen.numbers += 1;
                seen.fractions += usize::from(matches!(number, Number::Float(_)));
            }
            None if is_code(cell) => return None,
            None => seen.see_word(cell),
        }
    }
    if measured {
        // Bounds alone are classes as often as values (`<65`, `>=65`); where values are measured they are values.
        let are_bounds = seen.values > 0 && seen.censored == seen.values;
        let enough = are_bounds || seen.numbers > 0 && seen.numbers as f64 >= MEASURED_MIN * seen.values as f64;
        return enough.then_some(Numbers::Fractions);
    }
    seen.numbers()
}

/// See [`numbers`].
pub(super) fn is_worth(cells: &dyn Cells, column: usize, style: Style, measured: bool) -> bool {
    numbers(cells, column, style, measured).is_some()
}

/// The same question put to cells one by one, for a column that is text so far and whose file is not held in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    seen: Counts,
    comma_numbers: usize,
    comma_floats: usize,
}

impl Watch {
    pub(super) fn see(&mut self, cell: &str) {
        let cell = cell.trim();
        if cell.is_empty() || infer::is_null_word(cell) {
            return;
        }
        self.seen.values += 1;
        if !cell.starts_with(|first: char| first.is_ascii_digit() || "+-.,:'".contains(first)) {
            self.seen.see_word(cell);
            return;
        }
        match number::parse(cell) {
            Some(number) => {
                self.seen.numbers += 1;
                self.seen.fractions += usize::from(matches!(number, Number::Float(_)));
            }
            None if is_code(cell) => self.seen.coded = true,
            None => self.seen.see_word(cell),
        }
        if number::parse_comma(cell).is_some() {
            self.comma_numbers += 1;
            self.comma_floats += usize::from(cell.contains(','));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.seen.merge(&other.seen);
        self.comma_numbers += other.comma_numbers;
        self.comma_floats += other.comma_floats;
    }

    /// Whether the general reader might take the column for one of numbers; see [`numbers`].
    pub(super) fn may_be_numbers(&self) -> bool {
        let few = self.seen.others == 0 && self.comma_numbers * 2 > self.seen.values;
        let most = self.comma_numbers as f64 >= NUMBERS_MIN * self.seen.values as f64;
        self.seen.numbers().is_some() || (self.comma_floats > 0 && (most || few))
    }
}

/// Whether so many words without a number among them were seen that the column is one of words.
pub(super) fn is_of_words(cells: &dyn Cells, column: usize) -> bool {
    let values = (0..cells.height())
        .map(|row| cells.cell(row, column).trim())
        .filter(|cell| !cell.is_empty() && !infer::is_null_word(cell));
    let mut looked_at = 0;
    for cell in values.take(LOOKED_AT) {
        if number::parse(cell).is_some() || number::parse_comma(cell).is_some() {
            return false;
        }
        looked_at += 1;
    }
    looked_at >= LOOKED_AT
}

/// What did not fit, row by row.
pub(super) fn texts(names: &[String], plan: &Plan, cells: &dyn Cells) -> Vec<String> {
    let columns: Vec<(usize, &str, ColumnType, bool)> = plan
        .rescued
        .iter()
        .filter_map(|column| {
            Some((
                *column,
                names.get(*column)?.as_str(),
                *plan.types.get(*column)?,
                plan.told.contains(column),
            ))
        })
        .collect();
    (0..cells.height())
        .map(|row| {
            let odd: BTreeMap<&str, &str> = columns
                .iter()
                .map(|(column, name, kind, told)| (*name, cells.cell(row, *column).trim(), *kind, *told))
                .filter(|(_, cell, kind, told)| fit::is_odd(*kind, cell, *told))
                .map(|(name, cell, _, _)| (name, cell))
                .collect();
            if odd.is_empty() {
                String::new()
            } else {
                serde_json::to_string(&odd).unwrap_or_default()
            }
        })
        .collect()
}

/// Cells with the column of what did not fit behind them, and nothing in its old place.
pub(super) struct Beside<'c> {
    pub(super) cells: &'c dyn Cells,
    pub(super) plan: &'c Plan,
    pub(super) texts: &'c [String],
}

impl Cells for Beside<'_> {
    fn height(&self) -> usize {
        self.cells.height()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        if column == self.plan.types.len() {
            return self.texts.get(row).map_or("", String::as_str);
        }
        let cell = self.cells.cell(row, column);
        let kind = self
            .plan
            .types
            .get(column)
            .filter(|_| self.plan.rescued.contains(&column));
        if kind.is_some_and(|kind| fit::is_odd(*kind, cell, self.plan.told.contains(&column))) {
            ""
        } else {
            cell
        }
    }
}

/// Digits that are no number because a number would lose something, or that some other notation reads.
fn is_code(cell: &str) -> bool {
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let signs = cell.bytes().filter(|byte| b"+-./,:'".contains(byte)).count();
    digits > 0 && digits + signs == cell.len() && number::parse(cell).is_none() && number::parse_comma(cell).is_none()
}
