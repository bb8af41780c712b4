//! Numbers as text: what is one, and what must stay text because a number would lose something.

/// Digits that every i64 holds, whatever they are.
const INT_DIGITS_MAX: usize = 18;
/// Integers beyond this are not exact as f64.
const EXACT_F64_MAX: i64 = 1 << 53;

/// What parts thousands beside commas and points.
pub(super) const OTHER_SEPARATORS: [char; 5] = ['\'', '\u{2019}', '\u{a0}', '\u{202f}', ' '];

/// A number a cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// Whether it may join a column of floats without loss.
    pub(super) fn is_exact_f64(self) -> bool {
        match self {
            Self::Int(int) => int.checked_abs().is_some_and(|size| size <= EXACT_F64_MAX),
            Self::Float(_) => true,
        }
    }
}

/// How a column writes its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `1234.5`
    Point,
    /// `1234,5`
    Comma,
    /// `1,234.5`
    PointGrouped,
    /// `1.234,5`
    CommaGrouped,
}

impl Style {
    /// The number a trimmed cell holds.
    pub(super) fn parse(self, cell: &str) -> Option<Number> {
        match self {
            Self::Point => parse(cell),
            Self::Comma => parse_comma(cell),
            Self::PointGrouped => parse(cell).or_else(|| parse_grouped(cell, '.').map(|found| found.0)),
            // A point parts thousands here, so `1.234` is no fraction.
            Self::CommaGrouped => parse_comma(cell).or_else(|| parse_grouped(cell, ',').map(|found| found.0)),
        }
    }
}

/// Parses a trimmed cell written with a decimal point. `None` for leading zeros (`007`), hexadecimal,
/// integers of more than 18 digits, and what overflows: those stay text.
pub(super) fn parse(cell: &str) -> Option<Number> {
    if let Some(size) = cell.strip_prefix(MINUS) {
        return parse_size(size, parse);
    }
    let shape = Shape::of(cell, b'.')?;
    if shape.is_int {
        return if shape.digits <= INT_DIGITS_MAX {
            cell.parse().ok().map(Number::Int)
        } else {
            None
        };
    }
    cell.parse::<f64>()
        .ok()
        .filter(|float| float.is_finite())
        .map(Number::Float)
}

/// Before a number; a plus says of a difference that it is no decrease.
const SIGNS: [char; 2] = ['-', '+'];

/// The minus sign of typography, as sheets and reports write it.
const MINUS: char = '\u{2212}';

fn parse_size(size: &str, parse: fn(&str) -> Option<Number>) -> Option<Number> {
    let size =
        parse(size).filter(|_| size.starts_with(|first: char| first.is_ascii_digit() || ".,".contains(first)))?;
    Some(match size {
        Number::Int(int) => Number::Int(-int),
        Number::Float(float) => Number::Float(-float),
    })
}

/// A whole number, written as one or with `.0` behind it.
pub(super) fn whole(cell: &str) -> Option<i64> {
    match cell.strip_prefix(MINUS) {
        Some(size) => match parse_size(size, parse) {
            Some(Number::Int(int)) => Some(int),
            _ => None,
        },
        None => cell.strip_suffix(".0").unwrap_or(cell).parse().ok(),
    }
}

/// The same with a decimal comma: `0,5`, `-1,25E-3`. Integers count as well.
pub(super) fn parse_comma(cell: &str) -> Option<Number> {
    if let Some(size) = cell.strip_prefix(MINUS) {
        return parse_size(size, parse_comma);
    }
    let shape = Shape::of(cell, b',')?;
    if shape.is_int {
        return parse(cell);
    }
    let float = cell.replacen(',', ".", 1).parse::<f64>().ok()?;
    float.is_finite().then_some(Number::Float(float))
}

/// A number with its thousands parted: `1,234,567.5` (`point` is `.`) or `1.234.567,5` (`point` is `,`); and whether it
/// can be nothing else, as `1,234` can.
pub(super) fn parse_grouped(cell: &str, point: char) -> Option<(Number, bool)> {
    let usual = if point == '.' { ',' } else { '.' };
    // Swiss, French and Nordic papers part thousands so.
    let separator = cell
        .chars()
        .find(|character| OTHER_SEPARATORS.contains(character))
        .unwrap_or(usual);
    let (whole, fraction) = match cell.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (cell, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = whole.strip_prefix(SIGNS).unwrap_or(whole);
    let mut groups = unsigned.split(separator);
    let first = groups.next()?;
    let groups: Vec<&str> = groups.collect();
    let leads = digits(first) && first.len() <= 3 && !first.starts_with('0');
    let grouped = !groups.is_empty() && groups.iter().all(|group| digits(group) && group.len() == 3);
    if !leads || !grouped || !fraction.is_none_or(digits) {
        return None;
    }
    let plain = format!("{}.{}", whole.replace(separator, ""), fraction.unwrap_or("0"));
    let float = plain.parse::<f64>().ok().filter(|float| float.is_finite())?;
    // A plain space parts words and codes as well.
    if separator == ' ' && fraction.is_none() {
        return None;
    }
    let is_sure = fraction.is_some() || groups.len() > 1 || separator != usual;
    Some((Number::Float(float), is_sure))
}

/// Whether a comma in this number can only be a decimal one: `0,125` and `1,5` are, `1,234` may be a thousand.
pub(super) fn is_surely_decimal_comma(cell: &str) -> bool {
    let Some((whole, fraction)) = cell.split_once(',') else {
        return false;
    };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    parse_comma(cell).is_some()
        && (digits != 3 || matches!(whole, "0" | "-0" | "+0") || whole.trim_start_matches(SIGNS).len() > 3)
}

/// Whether a number with a decimal comma is hardly a list of two numbers: `0,52`, `1,034`, `-1,5`, `1,2E-3`.
pub(super) fn is_no_list(cell: &str) -> bool {
    let Some((whole, fraction)) = cell.split_once(',') else {
        return false;
    };
    let is_signed = whole.starts_with(SIGNS) || whole.starts_with(MINUS);
    let is_split = fraction.len() > 1 && fraction.starts_with('0');
    is_signed || whole == "0" || is_split || fraction.contains(['e', 'E'])
}

/// Whether a trimmed cell is a number whose point can only be a decimal one.
pub(super) fn shows_point(cell: &str) -> bool {
    matches!(parse(cell), Some(Number::Float(_))) && cell.contains('.') && !is_maybe_thousand(cell)
}

/// `1.234` and `12.345`, but not `0.125`: what a German or Swiss thousand looks like.
pub(super) fn is_maybe_thousand(cell: &str) -> bool {
    let cell = cell.trim_start_matches(SIGNS);
    cell.split_once('.').is_some_and(|(whole, fraction)| {
        (1..=3).contains(&whole.len())
            && whole != "0"
            && fraction.len() == 3
            && fraction.bytes().all(|byte| byte.is_ascii_digit())
    })
}

struct Shape {
    digits: usize,
    is_int: bool,
}

impl Shape {
    /// The shape of `[+-]?digits(point digits?)?([eE][+-]?digits)?` or `[+-]?point digits…`; `None` for anything else.
    fn of(cell: &str, point: u8) -> Option<Self> {
        let bytes = cell.as_bytes();
        let bytes = match bytes {
            [b'-' | b'+', size @ ..] => size,
            bytes => bytes,
        };
        let (whole, rest) = take_digits(bytes);
        if whole.len() > 1 && whole.first() == Some(&b'0') {
            return None;
        }
        if rest.is_empty() {
            return (!whole.is_empty()).then_some(Self {
                digits: whole.len(),
                is_int: true,
            });
        }
        let (fraction, rest) = match rest.strip_prefix(&[point]) {
            Some(rest) => take_digits(rest),
            None => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !rest.is_empty() {
            let exponent = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E"))?;
            let exponent = exponent
                .strip_prefix(b"+")
                .or_else(|| exponent.strip_prefix(b"-"))
                .unwrap_or(exponent);
            let (digits, rest) = take_digits(exponent);
            if digits.is_empty() || !rest.is_empty() {
                return None;
            }
        } else if point == b',' && fraction.is_empty() {
            // `5,` is a list that lost its end, not a number.
            return None;
        }
        Some(Self {
            digits: whole.len() + fraction.len(),
            is_int: false,
        })
    }
}

fn take_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.split_at_checked(length).unwrap_or((bytes, &[]))
}
