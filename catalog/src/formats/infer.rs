//! The type of a column from all of its cells, never from a sample: the one odd cell in row 90,000 decides.

mod commas;

use crate::formats::dates::Dates;
use crate::formats::moment::Order;
use crate::formats::number;
pub(super) use crate::formats::number::Style;
use crate::formats::pinned::Decimal;
use crate::formats::plain::parse;
use crate::formats::words::Nothings;
pub(super) use crate::formats::words::{boolean, is_null_word};

/// What a column of text cells is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// No cell has a value.
    Null,
    Boolean,
    Int64,
    Float64(Style),
    Date(Order),
    Timestamp {
        order: Order,
        /// Every cell names its offset, so the column is in UTC.
        zoned: bool,
    },
    Text,
}

/// What the rest of the file says about decimal commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commas {
    /// The comma parts cells, or nothing in the file is surely a decimal comma.
    None,
    /// Some cell of the file is surely one, and a comma never parts cells.
    Decimal,
}

/// Whether a cell holds nothing.
pub(super) fn is_empty(cell: &str) -> bool {
    cell.trim().is_empty()
}

/// Counts over the cells of one column.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    values: usize,
    nothings: Nothings,
    /// A cell that fits no type was seen: the column is text and nothing more need be counted.
    is_text: bool,
    true_false: usize,
    yes_no: usize,
    yes: usize,
    ints: usize,
    floats: usize,
    /// Floats such as `1E5`, without a point or a sign: numbers, or names of plates.
    exponents: usize,
    /// Floats that are whole and written `1.0`.
    point_zeros: usize,
    inexact: usize,
    maybe_thousands: usize,
    comma_numbers: usize,
    /// Those of them that have a comma.
    comma_floats: usize,
    sure_commas: usize,
    /// Those of them that nobody writes as a list of two numbers.
    unlisted_commas: usize,
    /// Numbers with thousands parted by commas, and those that can be nothing else; the same for points.
    grouped: [usize; 2],
    sure_grouped: [usize; 2],
    /// Numbers with thousands that only points part: `1.234.567`, `1.234,5`.
    points_part: usize,
    dates: Dates,
}

impl Evidence {
    /// Takes one cell into account.
    pub(super) fn see(&mut self, cell: &str) {
        let cell = cell.trim();
        if cell.is_empty() || self.nothings.see(cell) {
            return;
        }
        self.values += 1;
        if self.see_usual(cell.as_bytes()) {
            return;
        }
        if self.is_text {
            // Words among numbers do not take from the file what its numbers say of its commas.
            self.see_comma(cell);
            return;
        }
        let known = self.see_boolean(cell) | self.see_number(cell) | self.dates.see(cell);
        self.is_text = !known;
    }

    /// Counts a cell written in one of the ways that most cells are: digits, digits around a point, `2026-03-04`. Each
    /// counts as the general look below would count it.
    fn see_usual(&mut self, cell: &[u8]) -> bool {
        const DIGITS_MAX: usize = 15;
        if cell.len() == 10 && cell.get(4) == Some(&b'-') {
            if self.is_text || parse::date(cell).is_none() {
                return false;
            }
            self.dates.see_iso();
            return true;
        }
        let digits = cell.strip_prefix(b"-").unwrap_or(cell);
        if digits.len() > DIGITS_MAX {
            return false;
        }
        let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if whole == 0 || (whole > 1 && digits.first() == Some(&b'0')) {
            return false;
        }
        match digits.get(whole..) {
            Some([]) => {
                self.ints += usize::from(!self.is_text);
                self.comma_numbers += 1;
                true
            }
            // Three digits behind the point may be a thousand, and others part thousands so.
            Some([b'.', fraction @ ..])
                if fraction.iter().all(u8::is_ascii_digit) && !matches!(fraction.len(), 0 | 3) =>
            {
                if !self.is_text {
                    self.floats += 1;
                    self.point_zeros += usize::from(fraction == b"0");
                }
                true
            }
            _ => false,
        }
    }

    /// Takes in what was seen in other cells of the same column.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            values,
            nothings,
            is_text,
            true_false,
            yes_no,
            yes,
            ints,
            floats,
            exponents,
            point_zeros,
            inexact,
            maybe_thousands,
            comma_numbers,
            comma_floats,
            sure_commas,
            unlisted_commas,
            grouped,
            sure_grouped,
            points_part,
            dates,
        } = other;
        self.dates.merge(dates);
        self.nothings.merge(nothings);
        self.is_text |= is_text;
        for (count, more) in [
            (&mut self.values, values),
            (&mut self.true_false, true_false),
            (&mut self.yes_no, yes_no),
            (&mut self.yes, yes),
            (&mut self.exponents, exponents),
            (&mut self.points_part, points_part),
            (&mut self.ints, ints),
            (&mut self.floats, floats),
            (&mut self.point_zeros, point_zeros),
            (&mut self.inexact, inexact),
            (&mut self.maybe_thousands, maybe_thousands),
            (&mut self.comma_numbers, comma_numbers),
            (&mut self.comma_floats, comma_floats),
            (&mut self.sure_commas, sure_commas),
            (&mut self.unlisted_commas, unlisted_commas),
        ] {
            *count += more;
        }
        let pairs = self.grouped.iter_mut().zip(grouped);
        let pairs = pairs.chain(self.sure_grouped.iter_mut().zip(sure_grouped));
        for (count, more) in pairs {
            *count += more;
        }
    }

    /// Whether more cells of the same kind leave the type as it is, however many they are: only a cell of another kind can
    /// change it. A type for which counts of kinds are weighed against one another is not.
    pub(super) fn is_settled(&self, kind: ColumnType) -> bool {
        if self.is_only_no() || self.may_be_codes() {
            return false;
        }
        match kind {
            ColumnType::Null => true,
            ColumnType::Boolean => true,
            ColumnType::Int64 => self.ints == self.values,
            ColumnType::Float64(Style::Point) => {
                self.floats > self.point_zeros && self.ints + self.floats == self.values
            }
            ColumnType::Float64(_) => false,
            ColumnType::Date(order) | ColumnType::Timestamp { order, .. } => {
                matches!(order, Order::YearFirst | Order::MonthName)
            }
            ColumnType::Text => self.is_text,
        }
    }

    /// Of a column of booleans: whether they are `yes` and `no`.
    pub(super) fn is_yes_no(&self) -> bool {
        self.yes_no > 0
    }

    /// Whether all cells are `no`: nitric oxide, Norway, or an answer where the column's name asks.
    pub(super) fn is_only_no(&self) -> bool {
        self.values > 0 && self.yes_no == self.values && self.yes == 0
    }

    /// Whether all fractions are written as `1E5` is, which may name plates and samples.
    pub(super) fn may_be_codes(&self) -> bool {
        self.exponents > 0 && self.exponents == self.floats && self.ints + self.floats == self.values
    }

    /// The words for "no value" among the cells.
    pub(super) fn nothings(&self) -> Nothings {
        self.nothings
    }

    /// Whether the column holds no other values than such words, and they are its values.
    pub(super) fn is_of_nothings(&self) -> bool {
        self.values == 0 && self.nothings.are_values()
    }

    /// Whether some date has its day, month and year parted by points, as nobody writes who has decimal points.
    pub(super) fn has_dotted_dates(&self) -> bool {
        self.dates.are_dotted() && !self.is_text
    }

    /// The narrowest type that loses nothing of any cell seen.
    pub(super) fn decide(&self, commas: Commas) -> ColumnType {
        self.decide_as(commas, None, None)
    }

    /// The same where the sign before fractions, or the order of dates, is known.
    pub(super) fn decide_as(&self, commas: Commas, decimal: Option<Decimal>, order: Option<Order>) -> ColumnType {
        let all = |count: usize| count == self.values;
        if self.values == 0 && !self.nothings.are_values() {
            return ColumnType::Null;
        }
        if self.is_text || self.values == 0 {
            return ColumnType::Text;
        }
        if all(self.true_false) || all(self.yes_no) {
            return ColumnType::Boolean;
        }
        if all(self.ints) {
            return ColumnType::Int64;
        }
        if let Some(decimal) = decimal
            && let Some(kind) = self.number_as(decimal)
        {
            return kind;
        }
        // Among whole numbers a few written `1.0` are whole as well: some program wrote a part of the column anew.
        if all(self.ints + self.point_zeros) && self.point_zeros < self.ints {
            return ColumnType::Int64;
        }
        if all(self.ints + self.floats) {
            // `1.234` in a file of decimal commas may be a thousand: no guess.
            let thousands = commas == Commas::Decimal && self.maybe_thousands == self.floats;
            return if self.inexact > 0 || thousands {
                ColumnType::Text
            } else {
                ColumnType::Float64(Style::Point)
            };
        }
        let [by_comma, by_point] = self.grouped;
        let [sure_comma, sure_point] = self.sure_grouped;
        if sure_comma > 0 && all(self.ints + self.floats + by_comma) && self.inexact == 0 {
            return ColumnType::Float64(Style::PointGrouped);
        }
        if sure_point > 0 && all(self.comma_numbers + by_point) && self.inexact == 0 {
            return ColumnType::Float64(Style::CommaGrouped);
        }
        if commas == Commas::Decimal && all(self.comma_numbers) && self.inexact == 0 {
            return ColumnType::Float64(Style::Comma);
        }
        match self.dates.order_as(self.values, order) {
            Some(order) => self.dates.kind(self.values, order),
            None => ColumnType::Text,
        }
    }

    /// Dates all of them whose parts cannot be told apart, with what is not known: the column stays text.
    pub(super) fn undecided_dates(&self) -> Option<&'static str> {
        if self.values == 0 || self.is_text {
            None
        } else {
            self.dates.undecided(self.values)
        }
    }

    /// The type of numbers written with this decimal sign; text where they can only be of the other.
    fn number_as(&self, decimal: Decimal) -> Option<ColumnType> {
        let all = |count: usize| count == self.values;
        let [by_comma, by_point] = self.grouped;
        let (plain, grouped, style, grouped_style) = match decimal {
            Decimal::Comma => (self.comma_numbers, by_point, Style::Comma, Style::CommaGrouped),
            Decimal::Point => (self.ints + self.floats, by_comma, Style::Point, Style::PointGrouped),
        };
        if self.inexact == 0 && all(plain) {
            return Some(ColumnType::Float64(style));
        }
        if self.inexact == 0 && grouped > 0 && all(plain + grouped) {
            return Some(ColumnType::Float64(grouped_style));
        }
        (all(self.ints + self.floats) || all(self.comma_numbers)).then_some(ColumnType::Text)
    }

    /// The one order that reads all of the cells.
    pub(super) fn only_order(&self) -> Option<Order> {
        if self.is_text {
            None
        } else {
            self.dates.order(self.values)
        }
    }

    fn see_boolean(&mut self, cell: &str) -> bool {
        if cell.len() > 5 || boolean(cell).is_none() {
            return false;
        }
        let counter = if cell.len() >= 4 {
            &mut self.true_false
        } else {
            &mut self.yes_no
        };
        *counter += 1;
        self.yes += usize::from(cell.eq_ignore_ascii_case("yes"));
        true
    }

    fn see_number(&mut self, cell: &str) -> bool {
        let number = number::parse(cell);
        match number {
            Some(number::Number::Int(_)) => self.ints += 1,
            Some(number::Number::Float(_)) => {
                self.floats += 1;
                self.point_zeros += usize::from(number::whole(cell).is_some());
                self.maybe_thousands += usize::from(number::is_maybe_thousand(cell));
                self.exponents += usize::from(is_bare_exponent(cell));
            }
            None => {}
        }
        self.inexact += usize::from(number.is_some_and(|number| !number.is_exact_f64()));
        let comma = match number {
            Some(number::Number::Int(_)) => true,
            _ => number::parse_comma(cell).is_some(),
        };
        self.comma_numbers += usize::from(comma);
        self.comma_floats += usize::from(comma && cell.contains(','));
        self.sure_commas += usize::from(comma && number::is_surely_decimal_comma(cell));
        self.unlisted_commas += usize::from(comma && number::is_no_list(cell));
        let mut grouped = false;
        for (at, point) in ['.', ','].into_iter().enumerate() {
            // Most cells are plain numbers or words without either sign.
            let could = cell.contains(number::OTHER_SEPARATORS)
                || match point {
                    '.' => cell.contains(','),
                    _ => cell.contains('.') && (number.is_none() || number::is_maybe_thousand(cell)),
                };
            if !could {
                continue;
            }
            let Some((_, is_sure)) = number::parse_grouped(cell, point) else {
                continue;
            };
            grouped = true;
            self.points_part += usize::from(point == ',' && is_sure && cell.contains('.'));
            if let (Some(count), Some(sure)) = (self.grouped.get_mut(at), self.sure_grouped.get_mut(at)) {
                *count += 1;
                *sure += usize::from(is_sure);
            }
        }
        number.is_some() || comma || grouped
    }

    fn see_comma(&mut self, cell: &str) {
        if cell.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first))
            && number::parse_comma(cell).is_some()
        {
            self.comma_numbers += 1;
            self.comma_floats += usize::from(cell.contains(','));
            self.sure_commas += usize::from(number::is_surely_decimal_comma(cell));
        }
    }
}

/// `1E5`, but neither `1E+05`, `1.5E5` nor `1E-3`.
fn is_bare_exponent(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = cell.split_once(['E', 'e']);
    parts.is_some_and(|(whole, exponent)| digits(whole) && digits(exponent) && exponent.len() <= 2)
}
