//! From record batches to PostgreSQL's rows, each value as text or in the binary form, as the client asked for its column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Schema, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};

use super::answer::{Answer, put_text};
use super::numeric;
use crate::pg_catalog::types::{self, PgType};

/// Days and microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// As PostgreSQL writes them.
const TEXT: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f+00"))
    .with_time_format(Some("%H:%M:%S%.f"));

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// The format of a column or value at a place: one code is for all, none and unknown ones are text.
pub(super) fn format_at(codes: &[i16], at: usize) -> Format {
    let code = match codes {
        [all] => Some(all),
        codes => codes.get(at),
    };
    if code == Some(&1) { Format::Binary } else { Format::Text }
}

/// Tells the columns of a result.
pub(super) fn describe(answer: &mut Answer, schema: &Schema, formats: &[i16]) {
    answer.message(b'T', |out| {
        out.put_i16(i16::try_from(schema.fields().len()).unwrap_or(i16::MAX));
        for (at, field) in schema.fields().iter().enumerate() {
            let (value, is_list) = types::of_field(field);
            put_text(out, field.name());
            // No table and column of origin.
            out.put_i32(0);
            out.put_i16(0);
            out.put_u32(if is_list { value.array } else { value.oid });
            out.put_i16(if is_list { -1 } else { value.length });
            out.put_i32(types::modifier(field.data_type()));
            out.put_i16(i16::from(format_at(formats, at) == Format::Binary));
        }
    });
}

/// The rows of a batch as messages.
pub(super) fn rows(answer: &mut Answer, batch: &RecordBatch, formats: &[i16]) -> Result<(), ArrowError> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).enumerate();
    let columns = columns
        .map(|(at, (field, array))| Column::new(field, array, format_at(formats, at)))
        .collect::<Result<Vec<_>, _>>()?;
    let count = i16::try_from(columns.len())
        .map_err(|_| ArrowError::NotYetImplemented("a row of this door has at most 32767 columns".into()))?;
    for at in 0..batch.num_rows() {
        let begins = answer.len();
        let mut written = Ok(());
        answer.message(b'D', |out| {
            out.put_i16(count);
            for column in &columns {
                if written.is_ok() {
                    written = column.put(at, out);
                }
            }
        });
        if written.is_err() {
            answer.cut(begins);
            return written;
        }
    }
    Ok(())
}

/// A column in a type whose values are easily written.
struct Column {
    array: ArrayRef,
    format: Format,
    value: PgType,
    /// The values of a column of lists.
    items: Option<Box<Column>>,
}

impl Column {
    fn new(field: &FieldRef, array: &ArrayRef, format: Format) -> Result<Self, ArrowError> {
        let (value, is_list) = types::of_field(field);
        if is_list {
            let item = match array.data_type() {
                DataType::List(item) | DataType::FixedSizeList(item, _) => item,
                other => return Err(ArrowError::SchemaError(format!("{other} is no list"))),
            };
            let array = plain_list(array, item)?;
            let items = Self::new(item, array.as_list::<i32>().values(), format)?;
            return Ok(Self {
                array,
                format,
                value,
                items: Some(Box::new(items)),
            });
        }
        let array = match value == types::JSON {
            true => json(field, array)?,
            false => plain(array, value)?,
        };
        Ok(Self {
            array,
            format,
            value,
            items: None,
        })
    }

    /// Length and value, as a row holds them; a length of −1 is a null.
    fn put(&self, at: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        if self.array.is_null(at) || self.array.data_type() == &DataType::Null {
            out.put_i32(-1);
            return Ok(());
        }
        let mut value = BytesMut::new();
        match (&self.items, self.format) {
            (None, Format::Text) => self.text(at, &mut value)?,
            (None, Format::Binary) => self.binary(at, &mut value)?,
            (Some(items), Format::Text) => self.list_text(items, at, &mut value)?,
            (Some(items), Format::Binary) => self.list_binary(items, at, &mut value)?,
        }
        out.put_i32(i32::try_from(value.len()).map_err(|_| ArrowError::MemoryError("a value of 2 GiB".into()))?);
        out.put_slice(&value);
        Ok(())
    }

    fn text(&self, at: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let array = &self.array;
        match array.data_type() {
            DataType::Boolean => out.put_slice(if array.as_boolean().value(at) { b"t" } else { b"f" }),
            DataType::Utf8 => out.put_slice(array.as_string::<i32>().value(at).as_bytes()),
            DataType::Binary => {
                out.put_slice(b"\\x");
                for byte in array.as_binary::<i32>().value(at) {
                    out.put_slice(format!("{byte:02x}").as_bytes());
                }
            }
            DataType::Float32 => out.put_slice(
                float(f64::from(array.as_primitive::<Float32Type>().value(at)), || {
                    array.as_primitive::<Float32Type>().value(at).to_string()
                })
                .as_bytes(),
            ),
            DataType::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(at);
                out.put_slice(float(value, || value.to_string()).as_bytes());
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(at);
                out.put_slice(interval(value.months, value.days, value.nanoseconds / 1_000).as_bytes());
            }
            _ => {
                let formatter = ArrayFormatter::try_new(array.as_ref(), &TEXT)?;
                out.put_slice(formatter.value(at).try_to_string()?.as_bytes());
            }
        }
        Ok(())
    }

    fn binary(&self, at: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let array = &self.array;
        match array.data_type() {
            DataType::Boolean => out.put_u8(u8::from(array.as_boolean().value(at))),
            DataType::Int16 => out.put_i16(array.as_primitive::<Int16Type>().value(at)),
            DataType::Int32 => out.put_i32(array.as_primitive::<Int32Type>().value(at)),
            DataType::Int64 => out.put_i64(array.as_primitive::<Int64Type>().value(at)),
            DataType::Float32 => out.put_f32(array.as_primitive::<Float32Type>().value(at)),
            DataType::Float64 => out.put_f64(array.as_primitive::<Float64Type>().value(at)),
            DataType::Binary => out.put_slice(array.as_binary::<i32>().value(at)),
            DataType::Date32 => out.put_i32(array.as_primitive::<Date32Type>().value(at).wrapping_sub(EPOCH_DAYS)),
            DataType::Time64(_) => out.put_i64(array.as_primitive::<Time64MicrosecondType>().value(at)),
            DataType::Timestamp(..) => {
                let value = array.as_primitive::<TimestampMicrosecondType>().value(at);
                out.put_i64(value.wrapping_sub(EPOCH_US));
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(at);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            _ if self.value == types::NUMERIC => {
                let mut text = BytesMut::new();
                self.text(at, &mut text)?;
                numeric::put(&String::from_utf8_lossy(&text), out)?;
            }
            // The binary form of a text is the text.
            _ => self.text(at, out)?,
        }
        Ok(())
    }

    /// `{1,2,NULL}`, texts quoted.
    fn list_text(&self, items: &Column, at: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        out.put_u8(b'{');
        let range = self.range(at);
        for item in range.clone() {
            if item > range.start {
                out.put_u8(b',');
            }
            if items.array.is_null(item) {
                out.put_slice(b"NULL");
                continue;
            }
            let mut value = BytesMut::new();
            items.text(item, &mut value)?;
            if ["S", "U", "D", "T"].contains(&items.value.category()) {
                out.put_u8(b'"');
                for byte in value {
                    if matches!(byte, b'"' | b'\\') {
                        out.put_u8(b'\\');
                    }
                    out.put_u8(byte);
                }
                out.put_u8(b'"');
            } else {
                out.put_slice(&value);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    /// Dimensions, whether there are nulls, the type, then length and start of the one dimension, then the values.
    fn list_binary(&self, items: &Column, at: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let range = self.range(at);
        let length = i32::try_from(range.len()).unwrap_or(i32::MAX);
        out.put_i32(i32::from(length > 0));
        out.put_i32(i32::from(range.clone().any(|item| items.array.is_null(item))));
        out.put_u32(items.value.oid);
        if length > 0 {
            out.put_i32(length);
            out.put_i32(1);
        }
        for item in range {
            items.put(item, out)?;
        }
        Ok(())
    }

    fn range(&self, at: usize) -> std::ops::Range<usize> {
        let offsets = self.array.as_list::<i32>().value_offsets();
        let edge = |at: usize| offsets.get(at).map_or(0, |edge| usize::try_from(*edge).unwrap_or(0));
        edge(at)..edge(at + 1)
    }
}

/// The one Arrow type in which values of a PostgreSQL type are written.
fn plain(array: &ArrayRef, value: PgType) -> Result<ArrayRef, ArrowError> {
    let to = match value.oid {
        oid if oid == types::INT2.oid => DataType::Int16,
        oid if oid == types::INT4.oid => DataType::Int32,
        oid if oid == types::INT8.oid => DataType::Int64,
        oid if oid == types::FLOAT4.oid => DataType::Float32,
        oid if oid == types::BYTEA.oid => DataType::Binary,
        oid if oid == types::DATE.oid => DataType::Date32,
        oid if oid == types::TIME.oid => DataType::Time64(TimeUnit::Microsecond),
        oid if oid == types::TIMESTAMP.oid => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid if oid == types::TIMESTAMPTZ.oid => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        oid if oid == types::INTERVAL.oid => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return Ok(Arc::clone(array)),
    };
    if array.data_type() == &to {
        return Ok(Arc::clone(array));
    }
    cast(array, &to)
}

/// A list of any length in the form of one whose length may differ.
fn plain_list(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::List(_) => Ok(Arc::clone(array)),
        _ => cast(array, &DataType::List(Arc::clone(item))),
    }
}

/// Nested values as texts.
fn json(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, array.as_ref(), &options)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for at in 0..array.len() {
        if encoder.is_null(at) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(at, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}

/// As PostgreSQL writes an interval: `1 year 2 mons -3 days 04:05:06.7`.
fn interval(months: i32, days: i32, micros: i64) -> String {
    let unit = |count: i32, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {one}s")),
    };
    let mut parts: Vec<String> = [unit(months / 12, "year"), unit(months % 12, "mon"), unit(days, "day")]
        .into_iter()
        .flatten()
        .collect();
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        let all = micros.unsigned_abs();
        let (seconds, rest) = (all / 1_000_000, all % 1_000_000);
        let mut time = format!(
            "{sign}{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        if rest > 0 {
            time.push('.');
            time.push_str(format!("{rest:06}").trim_end_matches('0'));
        }
        parts.push(time);
    }
    parts.join(" ")
}

fn float(value: f64, written: impl FnOnce() -> String) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => written(),
    }
}

#[cfg(test)]
mod tests;
