//! What the Flight SQL format lets a server say of a column beside its Arrow type: SQL type, size, and what may be done with
//! it. JDBC's `ResultSetMetaData` has precision, scale and the flags from here alone.
//!
//! All of it follows from the type, so whoever has the same types says the same. Where a result's column comes from is not
//! said: schemas and tables are told by the catalog to those who may see them. Nor is a comment told as `REMARKS`, which
//! JDBC would take for the column's label.

use std::collections::HashMap;

use arrow::datatypes::{DataType, TimeUnit};

/// Before each key of the format.
const FORMAT: &str = "ARROW:FLIGHT:SQL:";

/// Letters of `2026-01-31`, `12:00:00` and `+01:00`; between day and time stands one more.
const DATE: u8 = 10;
const TIME: u8 = 8;
const ZONE: u8 = 6;

/// A key of the format.
pub(crate) fn key(name: &str) -> String {
    format!("{FORMAT}{name}")
}

/// What the format says of a column of this type; `read_only` when no statement can change it.
pub(crate) fn told(data_type: &DataType, read_only: bool) -> HashMap<String, String> {
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let always = [
        ("TYPE_NAME", type_name(data_type).to_owned()),
        ("IS_AUTO_INCREMENT", flag(false)),
        ("IS_CASE_SENSITIVE", flag(is_text)),
        ("IS_READ_ONLY", flag(read_only)),
        ("IS_SEARCHABLE", flag(true)),
    ];
    let (precision, scale) = size(data_type);
    let precision = precision.map(|digits| ("PRECISION", digits.to_string()));
    let scale = scale.map(|digits| ("SCALE", digits.to_string()));
    let all = always.into_iter().chain(precision).chain(scale);
    all.map(|(name, value)| (key(name), value)).collect()
}

fn flag(set: bool) -> String {
    if set { "1" } else { "0" }.to_owned()
}

/// Precision and scale as JDBC counts them: decimal digits of a number, letters of a date or time, and of both the digits
/// after the point. None where there is no such bound.
fn size(data_type: &DataType) -> (Option<u8>, Option<i8>) {
    let digits = |digits| (Some(digits), Some(0));
    match data_type {
        DataType::Boolean => (Some(1), None),
        DataType::Int8 | DataType::UInt8 => digits(3),
        DataType::Int16 | DataType::UInt16 => digits(5),
        DataType::Int32 | DataType::UInt32 => digits(10),
        DataType::Int64 => digits(19),
        DataType::UInt64 => digits(20),
        DataType::Float16 => (Some(3), None),
        DataType::Float32 => (Some(7), None),
        DataType::Float64 => (Some(15), None),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (Some(*precision), Some(*scale)),
        DataType::Date32 | DataType::Date64 => (Some(DATE), None),
        DataType::Time32(unit) | DataType::Time64(unit) => with_fraction(TIME, *unit),
        DataType::Timestamp(unit, None) => with_fraction(DATE + 1 + TIME, *unit),
        DataType::Timestamp(unit, Some(_)) => with_fraction(DATE + 1 + TIME + ZONE, *unit),
        DataType::Dictionary(_, values) => size(values),
        DataType::RunEndEncoded(_, values) => size(values.data_type()),
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
        | DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..) => (None, None),
    }
}

fn with_fraction(letters: u8, unit: TimeUnit) -> (Option<u8>, Option<i8>) {
    let digits: u8 = match unit {
        TimeUnit::Second => return (Some(letters), Some(0)),
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    // The point is a letter, too.
    (Some(letters + 1 + digits), Some(digits.cast_signed()))
}

/// The SQL name of a column's type.
pub(crate) fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "DECIMAL"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        DataType::Union(..) => "UNION",
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(data_type: &DataType) -> [Option<String>; 3] {
        let told = told(data_type, true);
        ["TYPE_NAME", "PRECISION", "SCALE"].map(|name| told.get(&key(name)).cloned())
    }

    #[test]
    fn numbers_and_times_say_their_size_and_texts_have_none() {
        let decimal = DataType::Decimal128(12, 2);
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let zoned = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
        for (data_type, name, precision, scale) in [
            (DataType::Int64, "BIGINT", Some("19"), Some("0")),
            (DataType::Float64, "DOUBLE", Some("15"), None),
            (decimal, "DECIMAL", Some("12"), Some("2")),
            (DataType::Utf8, "VARCHAR", None, None),
            (DataType::Date32, "DATE", Some("10"), None),
            (micros, "TIMESTAMP", Some("26"), Some("6")),
            (zoned, "TIMESTAMP WITH TIME ZONE", Some("25"), Some("0")),
            (DataType::new_list(DataType::Int64, true), "ARRAY", None, None),
        ] {
            let wanted = [Some(name), precision, scale].map(|word| word.map(str::to_owned));
            assert_eq!(said(&data_type), wanted, "{data_type}");
        }
    }

    #[test]
    fn flags_are_one_or_zero_and_nothing_is_said_of_where_it_comes_from() {
        let (text, number) = (told(&DataType::Utf8, true), told(&DataType::Int64, false));
        let of = |told: &HashMap<String, String>, name: &str| told.get(&key(name)).cloned().unwrap_or_default();
        for (key, of_text, of_number) in [
            ("IS_CASE_SENSITIVE", "1", "0"),
            ("IS_READ_ONLY", "1", "0"),
            ("IS_SEARCHABLE", "1", "1"),
            ("IS_AUTO_INCREMENT", "0", "0"),
        ] {
            assert_eq!(
                (of(&text, key).as_str(), of(&number, key).as_str()),
                (of_text, of_number),
                "{key}"
            );
        }
        for name in ["REMARKS", "TABLE_NAME", "SCHEMA_NAME", "CATALOG_NAME"] {
            assert_eq!(of(&text, name), "", "{name}");
        }
    }
}
