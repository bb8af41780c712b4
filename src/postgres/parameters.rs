//! Bound values: from what a client sent, as text or binary, to scalars of the type it or the statement named.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, Schema, TimeUnit};
use bytes::Bytes;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::scalar::ScalarValue;

use super::encode::{Format, format_at};
use super::errors::{Refusal, user};
use super::literals::{bytes_of, without_zone};
use super::numeric;
use crate::pg_catalog::types::{self, PgType};

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// What a client that names no type for a value writes: nothing, or "unknown".
const UNNAMED: [u32; 2] = [0, 705];

/// The types of a statement's `count` parameters: as the client named them, else as the statement needs them, else as it
/// casts them.
pub(super) fn types_of(parameters: &Schema, named: &[u32], casts: &BTreeMap<usize, u32>, count: usize) -> Vec<u32> {
    let type_of = |at: usize| {
        let named = named.get(at).copied().filter(|oid| !UNNAMED.contains(oid));
        named.unwrap_or_else(|| match parameters.fields().get(at).map(|field| field.data_type()) {
            Some(DataType::Null) | None => casts.get(&(at + 1)).copied().unwrap_or(types::TEXT.oid),
            Some(inferred) => types::oid(inferred),
        })
    };
    (0..count).map(type_of).collect()
}

/// The values of a binding, each of its type.
pub(super) fn values(types: &[u32], formats: &[i16], values: &[Option<Bytes>]) -> Result<Vec<ScalarValue>, Refusal> {
    if values.len() != types.len() {
        return Err(user(
            "08P01",
            format!(
                "the statement has {} parameters and {} values were bound",
                types.len(),
                values.len()
            ),
        ));
    }
    let read = values.iter().zip(types).enumerate().map(|(at, (value, oid))| {
        let Some(value) = value else { return Ok(null(*oid)) };
        let read = match format_at(formats, at) {
            Format::Text => std::str::from_utf8(value).ok().and_then(|text| of_text(*oid, text)),
            Format::Binary => of_binary(*oid, value),
        };
        read.ok_or_else(|| {
            user(
                "22P02",
                format!(
                    "the value for ${} cannot be read as a value of the type number {oid}",
                    at + 1
                ),
            )
        })
    });
    read.collect()
}

pub(super) fn null(oid: u32) -> ScalarValue {
    PgType::by_oid(oid)
        .and_then(|known| ScalarValue::try_from(&arrow_type(known)).ok())
        .unwrap_or(ScalarValue::Null)
}

fn arrow_type(known: PgType) -> DataType {
    match known.oid {
        16 => DataType::Boolean,
        17 => DataType::Binary,
        20 => DataType::Int64,
        21 => DataType::Int16,
        23 => DataType::Int32,
        26 => DataType::UInt32,
        700 => DataType::Float32,
        701 => DataType::Float64,
        1082 => DataType::Date32,
        1083 => DataType::Time64(TimeUnit::Microsecond),
        1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
        1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        1186 => DataType::Interval(IntervalUnit::MonthDayNano),
        1700 => DataType::Decimal128(38, 10),
        _ => DataType::Utf8,
    }
}

fn of_text(oid: u32, text: &str) -> Option<ScalarValue> {
    if let Some(item) = types::ALL.iter().find(|known| known.array == oid) {
        let items = array_items(text)?;
        let items = items.into_iter().map(|item_text| match item_text {
            None => Some(null(item.oid)),
            Some(item_text) => of_text(item.oid, &item_text),
        });
        return list(*item, items.collect::<Option<Vec<_>>>()?);
    }
    let known = PgType::by_oid(oid).unwrap_or(types::TEXT);
    match known.oid {
        16 => match text {
            "t" | "true" | "TRUE" | "1" | "on" | "yes" | "y" => Some(ScalarValue::from(true)),
            "f" | "false" | "FALSE" | "0" | "off" | "no" | "n" => Some(ScalarValue::from(false)),
            _ => None,
        },
        17 => bytes_of(text).map(|bytes| ScalarValue::Binary(Some(bytes))),
        1700 => decimal(text),
        // PostgreSQL leaves out a zone that the type does not have.
        1082 | 1083 | 1114 => ScalarValue::try_from_string(without_zone(text).to_owned(), &arrow_type(known)).ok(),
        _ => ScalarValue::try_from_string(text.to_owned(), &arrow_type(known)).ok(),
    }
}

fn of_binary(oid: u32, bytes: &[u8]) -> Option<ScalarValue> {
    Some(match oid {
        16 => ScalarValue::from(*single(bytes)? != 0),
        17 => ScalarValue::Binary(Some(bytes.to_vec())),
        20 => ScalarValue::from(i64::from_be_bytes(bytes.try_into().ok()?)),
        21 => ScalarValue::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        23 => ScalarValue::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        26 => ScalarValue::from(u32::from_be_bytes(bytes.try_into().ok()?)),
        700 => ScalarValue::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        701 => ScalarValue::from(f64::from_be_bytes(bytes.try_into().ok()?)),
        1082 => ScalarValue::Date32(Some(
            i32::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS)?,
        )),
        1083 => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(bytes.try_into().ok()?))),
        1114 | 1184 => {
            let value = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_US)?;
            let zone = (oid == 1184).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(value), zone)
        }
        1186 => {
            let (micros, rest) = bytes.split_at_checked(8)?;
            let (days, months) = rest.split_at_checked(4)?;
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
                months: i32::from_be_bytes(months.try_into().ok()?),
                days: i32::from_be_bytes(days.try_into().ok()?),
                nanoseconds: i64::from_be_bytes(micros.try_into().ok()?).checked_mul(1_000)?,
            }))
        }
        1700 => decimal(&numeric::read(bytes)?)?,
        array if types::ALL.iter().any(|known| known.array == array) => binary_list(bytes)?,
        _ => ScalarValue::from(std::str::from_utf8(bytes).ok()?),
    })
}

fn single(bytes: &[u8]) -> Option<&u8> {
    match bytes {
        [byte] => Some(byte),
        _ => None,
    }
}

/// An exact number, with the places it was written with: `-12.50` or `1.2E+3`.
fn decimal(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let zeros = usize::try_from(places.min(0).unsigned_abs())
        .ok()
        .filter(|zeros| *zeros <= 38)?;
    let scale = i8::try_from(places.max(0)).ok()?;
    let value: i128 = format!("{whole}{fraction}{}", "0".repeat(zeros)).parse().ok()?;
    let digits = value.unsigned_abs().to_string().len().max(usize::try_from(scale).ok()?);
    let precision = u8::try_from(digits).ok()?;
    (precision <= 38).then_some(ScalarValue::Decimal128(Some(value), precision.max(1), scale))
}

fn list(item: PgType, values: Vec<ScalarValue>) -> Option<ScalarValue> {
    let array: ArrayRef = if values.is_empty() {
        arrow::array::new_empty_array(&arrow_type(item))
    } else {
        ScalarValue::iter_to_array(values).ok()?
    };
    Some(SingleRowListArrayBuilder::new(array).build_list_scalar())
}

/// The items of `{a,"b c",NULL}`; lists of lists are not read.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut items, mut item) = (Vec::new(), String::new());
    let (mut quoted, mut was_quoted) = (false, false);
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.push(letters.next()?),
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            '{' | '}' if !quoted => return None,
            ',' if !quoted => items.push(ended(&mut item, &mut was_quoted)),
            other => item.push(other),
        }
    }
    if quoted {
        return None;
    }
    if !inside.is_empty() {
        items.push(ended(&mut item, &mut was_quoted));
    }
    Some(items)
}

fn ended(item: &mut String, was_quoted: &mut bool) -> Option<String> {
    let text = std::mem::take(item);
    let quoted = std::mem::take(was_quoted);
    (quoted || !text.eq_ignore_ascii_case("null")).then_some(text)
}

fn binary_list(bytes: &[u8]) -> Option<ScalarValue> {
    let word = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let item = PgType::by_oid(u32::try_from(word(8)?).ok()?)?;
    let count = match word(0)? {
        0 => 0,
        1 => usize::try_from(word(12)?).ok()?,
        _ => return None,
    };
    if count > bytes.len() {
        return None;
    }
    let (mut values, mut at) = (Vec::with_capacity(count), 20);
    for _ in 0..count {
        let length = word(at)?;
        at += 4;
        values.push(match usize::try_from(length) {
            Ok(length) => {
                let value = of_binary(item.oid, bytes.get(at..at.checked_add(length)?)?)?;
                at += length;
                value
            }
            Err(_) => null(item.oid),
        });
    }
    list(item, values)
}

#[cfg(test)]
mod tests;
