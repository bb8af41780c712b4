//! Texts of values as PostgreSQL reads them: bytes, and dates and times without a zone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{DataType, Expr, Function, Statement, TimezoneInfo, Value, Visit, Visitor};

use super::functions::{arguments, literal};
use super::patterns;

const BYTES: &str = "a text of bytes is \\x and pairs of hexadecimal digits, or letters with \\\\ and \\ooo (three octal digits) for others";

/// Why a statement is refused before anything else reads it.
pub(super) fn refused(statement: &Statement) -> Option<&'static str> {
    match Visit::visit(statement, &mut Refused) {
        ControlFlow::Break(why) => Some(why),
        ControlFlow::Continue(()) => None,
    }
}

struct Refused;

impl Visitor for Refused {
    type Break = &'static str;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
        match expr {
            Expr::Cast { expr, data_type, .. } if is_bytes(data_type) => match literal(expr) {
                Some(text) if bytes_of(&text).is_none() => ControlFlow::Break(BYTES),
                Some(_) | None => ControlFlow::Continue(()),
            },
            Expr::Function(function) if has_refused_pattern(function) => ControlFlow::Break(patterns::REFUSED),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn has_refused_pattern(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| patterns::is_refused(&name.value.to_lowercase(), &arguments(function)))
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Bytea)
}

/// A text that is cast, as PostgreSQL reads it; none when the engine reads it the same.
pub(super) fn cast(expr: &Expr, data_type: &DataType) -> Option<Expr> {
    let text = literal(expr)?;
    if is_bytes(data_type) {
        let digits = bytes_of(&text)?.iter().map(|byte| format!("{byte:02x}")).collect();
        return Some(Expr::Value(Value::HexStringLiteral(digits).into()));
    }
    let plain = plain(&text, data_type)?;
    super::functions::parsed(&format!("CAST('{}' AS {data_type})", plain.replace('\'', "''")))
}

/// The same of `TIMESTAMP '…'`, `DATE '…'` and `TIME '…'`.
pub(super) fn typed(value: &Value, data_type: &DataType) -> Option<Expr> {
    let Value::SingleQuotedString(text) = value else {
        return None;
    };
    let plain = plain(text, data_type)?;
    super::functions::parsed(&format!("CAST('{}' AS {data_type})", plain.replace('\'', "''")))
}

/// A text without the zone that its type does not have; none when it has none.
fn plain(text: &str, data_type: &DataType) -> Option<String> {
    let is_plain = match data_type {
        DataType::Date => true,
        DataType::Timestamp(_, zone) | DataType::Time(_, zone) => {
            matches!(zone, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        }
        _ => false,
    };
    let plain = without_zone(text);
    (is_plain && plain != text).then(|| plain.to_owned())
}

/// A date, a time or both without the zone behind it, which PostgreSQL leaves out for types without one.
pub(super) fn without_zone(text: &str) -> &str {
    let text = text.trim();
    let after = match text.find(':') {
        // Of the time only: a date has signs of its own.
        Some(colon) => colon,
        None => match text.as_bytes() {
            [_, _, _, _, b'-', _, _, b'-', _, _, ..] => 10,
            _ => return text,
        },
    };
    let is_sign = |letter: char| ['+', '-', 'Z', 'z'].contains(&letter);
    let zone = text
        .get(after..)
        .and_then(|rest| rest.find(is_sign))
        .map(|at| after + at);
    let Some((time, zone)) = zone.and_then(|at| text.split_at_checked(at)) else {
        return text;
    };
    let is_zone = match zone.strip_prefix(['+', '-']) {
        Some(offset) => {
            let is_digits = offset.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
            is_digits && (1..=8).contains(&offset.len())
        }
        None => zone.len() == 1,
    };
    match is_zone {
        true => time.trim_end(),
        false => text,
    }
}

/// The bytes of a text: `\x01ff`, or letters with `\\` and `\001`.
pub(super) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        return digits.chunks(2).map(byte).collect();
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [
                b'\\',
                high @ b'0'..=b'3',
                middle @ b'0'..=b'7',
                low @ b'0'..=b'7',
                rest @ ..,
            ] => {
                bytes.push((high - b'0') * 64 + (middle - b'0') * 8 + (low - b'0'));
                rest
            }
            [b'\\', ..] => return None,
            [plain, rest @ ..] => {
                bytes.push(*plain);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_left_out_and_nothing_else() {
        for (text, wanted) in [
            ("2024-01-02 03:04:05+01", "2024-01-02 03:04:05"),
            ("2024-01-02T03:04:05.25-05:30", "2024-01-02T03:04:05.25"),
            ("2024-01-02 03:04:05Z", "2024-01-02 03:04:05"),
            ("2024-01-02 +00", "2024-01-02"),
            ("2024-01-02-08", "2024-01-02"),
            ("01:02:03+01", "01:02:03"),
            ("2024-01-02", "2024-01-02"),
            ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
            ("2024-01-02 03:04:05 +1 day", "2024-01-02 03:04:05 +1 day"),
            ("now", "now"),
            ("é:+", "é:+"),
        ] {
            assert_eq!(without_zone(text), wanted, "{text}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal_or_escaped() {
        for (text, wanted) in [
            ("\\x01fF", Some(vec![1, 255])),
            ("\\x", Some(vec![])),
            ("\\x 01 02", Some(vec![1, 2])),
            ("a\\\\b\\001", Some(vec![b'a', b'\\', b'b', 1])),
            ("é", Some("é".as_bytes().to_vec())),
            ("\\x0", None),
            ("\\x+1", None),
            ("\\9", None),
            ("\\777", None),
        ] {
            assert_eq!(bytes_of(text), wanted, "{text}");
        }
    }
}
