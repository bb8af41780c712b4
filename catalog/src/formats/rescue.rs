//! Words among numbers: `OVRFLW`, `>105`, `Masked`. The column stays one of numbers, and the words are kept beside it, so
//! that one odd well neither turns a column to text nor is lost.

use std::collections::BTreeMap;

use crate::formats::column::{Cells, Plan};
use crate::formats::fit;
use crate::formats::infer::{self, ColumnType, Style};
use crate::formats::number::{self, Number};

/// The column of what did not fit: a JSON object of column names and texts, or nothing.
pub(super) const NAME: &str = "_rescued";
/// With fewer values nothing is typical.
const VALUES_MIN: usize = 10;
/// So many words without a number among them are a column of words.
const LOOKED_AT: usize = 1000;
/// Share of numbers in a column that words do not turn to text.
const NUMBERS_MIN: f64 = 0.8;
/// The same where the file's layout says that the values were measured.
const MEASURED_MIN: f64 = 0.1;

/// Whether a column of text is one of numbers with some words in it.
pub(super) fn is_worth(cells: &dyn Cells, column: usize, style: Style, measured: bool) -> bool {
    let (mut values, mut numbers, mut fractions) = (0usize, 0usize, 0usize);
    for row in 0..cells.height() {
        let cell = cells.cell(row, column).trim();
        if cell.is_empty() || infer::is_null_word(cell) {
            continue;
        }
        if values >= LOOKED_AT && numbers == 0 && !measured {
            return false;
        }
        values += 1;
        match style.parse(cell) {
            Some(number) => {
                numbers += 1;
                fractions += usize::from(matches!(number, Number::Float(_)));
            }
            // Codes such as `007` are no broken numbers: the column is text.
            None if is_code(cell) => return false,
            None => {}
        }
    }
    let share = if measured { MEASURED_MIN } else { NUMBERS_MIN };
    // Whole numbers with some words among them are names of samples as often as values.
    let is_measure = measured || fractions * 2 > numbers;
    let enough = measured || values >= VALUES_MIN;
    enough && is_measure && numbers > 0 && numbers as f64 >= share * values as f64
}

/// The same question put to cells one by one, for a column that is text so far and whose file is not held in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    values: usize,
    numbers: usize,
    fractions: usize,
    /// Some cell is a code, so that the column is text whatever else it holds.
    coded: bool,
    comma_numbers: usize,
    comma_floats: usize,
}

impl Watch {
    pub(super) fn see(&mut self, cell: &str) {
        let cell = cell.trim();
        if cell.is_empty() || infer::is_null_word(cell) {
            return;
        }
        self.values += 1;
        if !cell.starts_with(|first: char| first.is_ascii_digit() || "+-.,:'".contains(first)) {
            return;
        }
        match number::parse(cell) {
            Some(number) => {
                self.numbers += 1;
                self.fractions += usize::from(matches!(number, Number::Float(_)));
            }
            None => self.coded |= is_code(cell),
        }
        if number::parse_comma(cell).is_some() {
            self.comma_numbers += 1;
            self.comma_floats += usize::from(cell.contains(','));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.numbers += other.numbers;
        self.fractions += other.fractions;
        self.coded |= other.coded;
        self.comma_numbers += other.comma_numbers;
        self.comma_floats += other.comma_floats;
    }

    /// Whether the general reader might take the column for one of numbers; see [`is_worth`].
    pub(super) fn may_be_numbers(&self) -> bool {
        let most = |count: usize| count as f64 >= NUMBERS_MIN * self.values as f64;
        let points =
            !self.coded && self.values >= VALUES_MIN && self.fractions * 2 > self.numbers && most(self.numbers);
        points || (self.comma_floats > 0 && most(self.comma_numbers))
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
