//! What an administrator says of a file that its content leaves open, or says otherwise: see the crawler's `pins`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::formats::column::Cells;
use crate::formats::grid::Grid;
use crate::formats::infer::{self, ColumnType, Evidence, Style};
use crate::formats::moment::{self, Order};
use crate::formats::number;
use crate::formats::split::{Delimiter, lines};
use crate::formats::{Limits, ReadError, fit};
use crate::name::clean_column;

/// How one file is to be read; what is not said is found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pinned {
    /// What parts the cells; a space stands for runs of them.
    pub(crate) delimiter: Option<char>,
    /// Lines (rows of a sheet) at the start that are not looked at.
    pub(crate) skip_lines: u64,
    /// Lines (rows of a sheet) with content at the end that are not looked at.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) skip_footer: u64,
    /// What a line that is not looked at begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<char>,
    /// What cells are quoted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quote: Option<char>,
    /// The only sheet of a workbook that is read, hidden or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sheet: Option<String>,
    /// The line (or row of a sheet) of the header, from 1; 0 for none.
    pub(crate) header_row: Option<u64>,
    pub(crate) decimal: Option<Decimal>,
    pub(crate) date_order: Option<DateOrder>,
    /// A label of the WHATWG's encoding standard, known to be one.
    pub(crate) encoding: Option<String>,
    /// By the cleaned names of columns.
    pub(crate) types: BTreeMap<String, PinnedType>,
    /// What the file's table has made of some columns, by their cleaned names. Nobody said so: what does not fit is kept
    /// beside the column, and no reason to refuse the file.
    #[serde(skip)]
    pub(crate) in_table: BTreeMap<String, InTable>,
}

/// What a table has made of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InTable {
    pub(crate) to: DataType,
    /// How the files wrote its days whose values decided it.
    pub(crate) order: Option<DateOrder>,
    /// The sign before the fractions in the table's files, where all whose numbers decide it have the same.
    pub(crate) decimal: Option<Decimal>,
}

/// The sign before a number's fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Decimal {
    #[serde(rename = ",")]
    Comma,
    #[serde(rename = ".")]
    Point,
}

/// Where the day stands in a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DateOrder {
    Dmy,
    Mdy,
    Ymd,
}

impl Decimal {
    /// As it is kept with a column.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Comma => ",",
            Self::Point => ".",
        }
    }
}

impl DateOrder {
    /// As it is kept with a column, and as it is pinned.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Dmy => "dmy",
            Self::Mdy => "mdy",
            Self::Ymd => "ymd",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Dmy, Self::Mdy, Self::Ymd]
            .into_iter()
            .find(|order| order.word() == word)
    }

    /// Of days of which only the order tells which number is the month.
    pub(super) fn of_days(order: Order) -> Option<Self> {
        match order {
            Order::DayFirst => Some(Self::Dmy),
            Order::MonthFirst => Some(Self::Mdy),
            _ => None,
        }
    }

    fn order(self) -> Order {
        match self {
            Self::Dmy => Order::DayFirst,
            Self::Mdy => Order::MonthFirst,
            Self::Ymd => Order::YearFirst,
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PinnedType {
    Text,
    Number,
    Integer,
    Boolean,
    Date,
    Timestamp,
}

impl PinnedType {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

impl Pinned {
    /// The delimiter, if it is pinned and stands in the text.
    ///
    /// # Errors
    /// `Pinned` when it stands nowhere.
    pub(super) fn delimiter_in(&self, text: &str) -> Result<Option<Delimiter>, ReadError> {
        let Some(delimiter) = self.delimiter else {
            return Ok(None);
        };
        if !text.contains(delimiter) {
            return Err(contradicted(format!(
                "the delimiter is {delimiter:?}, which stands nowhere in the file"
            )));
        }
        Ok(Some(match delimiter {
            ' ' => Delimiter::Spaces(1),
            other => Delimiter::Char(other),
        }))
    }

    /// The text with those lines blank that are not looked at, so that all others keep their numbers.
    pub(super) fn skip<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.skips_nothing() {
            return Cow::Borrowed(text);
        }
        let all: Vec<(u64, &str)> = lines(text).collect();
        let footer = self.footer(all.iter().map(|(_, line)| line.trim().is_empty()));
        let mut kept = String::with_capacity(text.len());
        let mut from = 0;
        for (at, (number, line)) in all.iter().enumerate() {
            if self.is_skipped(*number, line) || footer.is_some_and(|first| at >= first) {
                let start = line.as_ptr() as usize - text.as_ptr() as usize;
                kept.push_str(text.get(from..start).unwrap_or_default());
                from = start + line.len();
            }
        }
        kept.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(kept)
    }

    /// The same for a sheet.
    ///
    /// # Errors
    /// `TooLarge`, as any grid.
    pub(super) fn skip_rows(&self, grid: Grid, limits: &Limits) -> Result<Grid, ReadError> {
        if self.skips_nothing() {
            return Ok(grid);
        }
        let footer = self.footer((0..grid.height()).map(|row| grid.filled_width(row) == 0));
        let mut kept = Grid::default();
        for row in 0..footer.unwrap_or(grid.height()) {
            let line = grid.line(row);
            if self.is_skipped(line, grid.cell(row, 0)) {
                continue;
            }
            grid.cells(row)
                .try_for_each(|cell| kept.push_cell(cell, line, limits))?;
            kept.end_row(line, limits)?;
        }
        Ok(kept)
    }

    fn skips_nothing(&self) -> bool {
        self.skip_lines == 0 && self.skip_footer == 0 && self.comment.is_none()
    }

    fn is_skipped(&self, number: u64, line: &str) -> bool {
        number <= self.skip_lines || self.comment.is_some_and(|mark| line.trim_start().starts_with(mark))
    }

    /// The place of the first line that is not looked at for standing at the end.
    fn footer(&self, blank: impl DoubleEndedIterator<Item = bool> + ExactSizeIterator) -> Option<usize> {
        let last = usize::try_from(self.skip_footer).ok()?.checked_sub(1)?;
        let mut filled = blank.enumerate().rev().filter(|(_, blank)| !blank);
        // More than there are are all of them.
        Some(filled.nth(last).map_or(0, |(at, _)| at))
    }

    /// Of the sheets of a workbook the one that is said to be read.
    ///
    /// # Errors
    /// `Pinned` when it has no such sheet.
    pub(super) fn sheet_among<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Option<usize>, ReadError> {
        let Some(wanted) = &self.sheet else { return Ok(None) };
        let names: Vec<&str> = names.collect();
        let found = names.iter().position(|name| name == wanted);
        match found {
            Some(at) => Ok(Some(at)),
            None => Err(contradicted(format!(
                "the sheet is {wanted:?}, which the workbook does not have; it has {}",
                names.join(", ")
            ))),
        }
    }

    pub(super) fn order(&self) -> Option<Order> {
        self.date_order.map(DateOrder::order)
    }

    fn type_of(&self, name: &str) -> Option<PinnedType> {
        if self.types.is_empty() {
            return None;
        }
        self.types.get(&clean_column(name)).copied()
    }

    /// Pinned columns that none of the names is.
    pub(super) fn missing<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<String> {
        if self.types.is_empty() {
            return Vec::new();
        }
        let present: Vec<String> = names.map(clean_column).collect();
        self.types
            .keys()
            .filter(|name| !present.contains(name))
            .cloned()
            .collect()
    }
}

/// How the cells of a table are to be read: by the file's layout, and by what is pinned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notation<'p> {
    /// Whether a comma may be a decimal one (it may not where it parts cells).
    pub(super) comma_cells: bool,
    /// Whether commas part the cells: one inside a cell was quoted, and a list as often as a number.
    pub(super) quoted_commas: bool,
    /// Whether the file is written as where decimal commas are: semicolons part cells, points the parts of dates.
    pub(super) comma_locale: bool,
    /// Columns from here on were measured: numbers there stay numbers, whatever words stand among them.
    pub(super) measured_from: usize,
    pub(super) pinned: Option<&'p Pinned>,
}

impl<'p> Notation<'p> {
    /// Numbers with points, nothing pinned.
    pub(super) fn plain() -> Self {
        Self {
            comma_cells: false,
            quoted_commas: false,
            comma_locale: false,
            measured_from: usize::MAX,
            pinned: None,
        }
    }

    /// The same with what is pinned.
    pub(super) fn plain_with(limits: &'p Limits) -> Self {
        Self {
            pinned: Some(&limits.pinned),
            ..Self::plain()
        }
    }

    pub(super) fn decimal(&self) -> Option<Decimal> {
        self.pinned.and_then(|pinned| pinned.decimal)
    }

    pub(super) fn order(&self) -> Option<Order> {
        self.pinned.and_then(Pinned::order)
    }

    /// Whether the file's table has made a column of texts of it.
    pub(super) fn is_text_in_table(&self, name: &str) -> bool {
        self.in_table(name).is_some_and(|column| column.to == DataType::Utf8)
    }

    fn in_table(&self, name: &str) -> Option<&InTable> {
        let pinned = self.pinned.filter(|pinned| !pinned.in_table.is_empty())?;
        pinned.in_table.get(&clean_column(name))
    }

    /// The pinned type of a column as far as its cells allow, and whether some of them go to the rescued ones. `style`
    /// is how the table writes numbers, `found` what the cells alone say.
    ///
    /// # Errors
    /// `Pinned` when a cell does not fit.
    pub(super) fn force(
        &self,
        names: &[String],
        column: usize,
        cells: &dyn Cells,
        style: Style,
        found: ColumnType,
    ) -> Result<Option<(ColumnType, bool)>, ReadError> {
        let name = names.get(column).map_or("", String::as_str);
        let Some(wanted) = self.pinned.and_then(|pinned| pinned.type_of(name)) else {
            return Ok(self.fitted(name, column, cells, style, found));
        };
        let filled = || {
            (0..cells.height())
                .map(|row| (row, cells.cell(row, column).trim()))
                .filter(|(_, cell)| !cell.is_empty() && !infer::is_null_word(cell))
        };
        let kind = match (wanted, found) {
            (PinnedType::Text, _) => return Ok(Some((ColumnType::Text, false))),
            (_, ColumnType::Null) => return Ok(Some((ColumnType::Null, false))),
            (PinnedType::Number, found) => {
                let style = match found {
                    ColumnType::Float64(found) => found,
                    _ => style,
                };
                let odd = filled().any(|(_, cell)| style.parse(cell).is_none());
                return Ok(Some((ColumnType::Float64(style), odd)));
            }
            (PinnedType::Integer, _) => ColumnType::Int64,
            (PinnedType::Boolean, _) => ColumnType::Boolean,
            (PinnedType::Date, ColumnType::Date(order)) => ColumnType::Date(order),
            (PinnedType::Timestamp, ColumnType::Timestamp { order, zoned }) => ColumnType::Timestamp { order, zoned },
            (PinnedType::Timestamp, ColumnType::Date(order)) => ColumnType::Timestamp { order, zoned: false },
            (PinnedType::Date | PinnedType::Timestamp, _) => {
                match self.order().or_else(|| only_order(filled().map(|(_, cell)| cell))) {
                    Some(order) if wanted == PinnedType::Date => ColumnType::Date(order),
                    Some(order) => ColumnType::Timestamp { order, zoned: false },
                    None => {
                        return Err(contradicted(format!(
                            "column {name:?} is a {}, but nothing tells day and month apart: pin date_order as well",
                            wanted.word()
                        )));
                    }
                }
            }
        };
        match filled().find(|(_, cell)| !fits(kind, cell)) {
            None => Ok(Some((kind, false))),
            Some((row, cell)) => Err(contradicted(format!(
                "column {name:?} is of type {}, but row {} of its data holds {cell:?}",
                wanted.word(),
                row + 1
            ))),
        }
    }
}

impl Notation<'_> {
    /// The type that the column has in the file's table, and whether some cells go to the rescued ones.
    fn fitted(
        &self,
        name: &str,
        column: usize,
        cells: &dyn Cells,
        style: Style,
        found: ColumnType,
    ) -> Option<(ColumnType, bool)> {
        let column_in_table = self.in_table(name)?;
        if found == ColumnType::Null {
            return None;
        }
        let all = || (0..cells.height()).map(|row| cells.cell(row, column));
        let order = fit::DayOrder {
            pinned: self.order(),
            in_table: column_in_table.order.map(DateOrder::order),
        };
        // As earlier files of the table write them, where these numbers may be written so and show nothing themselves.
        let by_comma = (self.comma_cells || self.quoted_commas)
            && self.decimal().is_none()
            && column_in_table.decimal == Some(Decimal::Comma)
            && style == Style::Point
            && !all().any(|cell| number::shows_point(cell.trim()));
        let (style, found) = match (by_comma, found) {
            (true, ColumnType::Float64(_)) => (Style::Comma, ColumnType::Float64(Style::Comma)),
            (true, found) => (Style::Comma, found),
            (false, found) => (style, found),
        };
        let kind = fit::kind(&column_in_table.to, found, style, order, all())?;
        Some((kind, all().any(|cell| fit::is_odd(kind, cell, false))))
    }
}

/// The order that reads all of the cells, if there is only one.
fn only_order<'c>(cells: impl Iterator<Item = &'c str>) -> Option<Order> {
    let mut evidence = Evidence::default();
    cells.for_each(|cell| evidence.see(cell));
    evidence.only_order()
}

/// Whether a value of the type holds all that the cell says.
fn fits(kind: ColumnType, cell: &str) -> bool {
    match kind {
        ColumnType::Null => false,
        ColumnType::Text => true,
        ColumnType::Boolean => infer::boolean(cell).is_some(),
        ColumnType::Int64 => number::whole(cell).is_some(),
        ColumnType::Float64(style) => style.parse(cell).is_some(),
        ColumnType::Date(order) => moment::parse(cell, order).is_some_and(|moment| !moment.has_time),
        ColumnType::Timestamp { order, zoned } => {
            moment::parse(cell, order).is_some_and(|moment| moment.offset_s.is_some() == zoned)
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn contradicted(what: String) -> ReadError {
    ReadError::Pinned { what }
}
