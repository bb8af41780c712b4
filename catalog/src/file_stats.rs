//! Delta's statistics of one data file: rows, null counts, and least and greatest values where those are sound.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::DateTime;
use serde_json::{Map, Value, json};

/// Text bounds are cut to this many characters, as Spark does: long SMILES would bloat the log.
const TEXT_CHARS_MAX: usize = 64;

/// The statistics of a file with these batches, as Delta's JSON text.
pub(crate) fn of(schema: &SchemaRef, batches: &[RecordBatch]) -> String {
    let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (index, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&ArrayRef> = batches.iter().filter_map(|b| b.columns().get(index)).collect();
        if !field.data_type().is_nested() {
            let count: usize = arrays.iter().map(|a| a.null_count()).sum();
            nulls.insert(field.name().clone(), json!(count));
        }
        if let Some((low, high)) = bounds(field.data_type(), &arrays) {
            if let Some(low) = low {
                mins.insert(field.name().clone(), low);
            }
            if let Some(high) = high {
                maxs.insert(field.name().clone(), high);
            }
        }
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    json!({ "numRecords": rows, "minValues": mins, "maxValues": maxs, "nullCount": nulls }).to_string()
}

type Bounds = (Option<Value>, Option<Value>);

fn bounds(data_type: &DataType, arrays: &[&ArrayRef]) -> Option<Bounds> {
    match data_type {
        DataType::Int64 => {
            let low = arrays.iter().filter_map(|a| min(a.as_primitive::<Int64Type>())).min()?;
            let high = arrays.iter().filter_map(|a| max(a.as_primitive::<Int64Type>())).max()?;
            Some((Some(json!(low)), Some(json!(high))))
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => widened(arrays, &DataType::Int64),
        DataType::Float32 => widened(arrays, &DataType::Float64),
        DataType::Float64 => floats(arrays),
        DataType::Decimal128(_, scale) => {
            let low = arrays
                .iter()
                .filter_map(|a| min(a.as_primitive::<Decimal128Type>()))
                .min()?;
            let high = arrays
                .iter()
                .filter_map(|a| max(a.as_primitive::<Decimal128Type>()))
                .max()?;
            Some((decimal(low, *scale), decimal(high, *scale)))
        }
        DataType::Date32 => {
            let low = arrays
                .iter()
                .filter_map(|a| min(a.as_primitive::<Date32Type>()))
                .min()?;
            let high = arrays
                .iter()
                .filter_map(|a| max(a.as_primitive::<Date32Type>()))
                .max()?;
            Some((date(low), date(high)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let low = arrays
                .iter()
                .filter_map(|a| min(a.as_primitive::<TimestampMicrosecondType>()))
                .min()?;
            let high = arrays
                .iter()
                .filter_map(|a| max(a.as_primitive::<TimestampMicrosecondType>()))
                .max()?;
            Some((time(low, zone.is_some()), time(high, zone.is_some())))
        }
        DataType::Utf8 => {
            let low = arrays.iter().filter_map(|a| min_string(a.as_string::<i32>())).min()?;
            let high = arrays.iter().filter_map(|a| max_string(a.as_string::<i32>())).max()?;
            Some((Some(json!(cut(low))), cut_up(high).map(Value::String)))
        }
        _ => None,
    }
}

fn widened(arrays: &[&ArrayRef], to: &DataType) -> Option<Bounds> {
    let wide: Vec<ArrayRef> = arrays.iter().map(|a| cast(a, to)).collect::<Result<_, _>>().ok()?;
    bounds(to, &wide.iter().collect::<Vec<_>>())
}

/// A JSON number has the digits of a float: a decimal of more than fifteen is left out.
fn decimal(unscaled: i128, scale: i8) -> Option<Value> {
    const DIGITS_MAX: i128 = 1_000_000_000_000_000;
    if unscaled.abs() >= DIGITS_MAX || !(0..=15).contains(&scale) {
        return None;
    }
    let text = format!("{unscaled}e-{scale}");
    text.parse::<f64>().ok().map(|number| json!(number))
}

/// NaN is greater than every number, and JSON has neither it nor infinity: with one of them there are no bounds.
fn floats(arrays: &[&ArrayRef]) -> Option<Bounds> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in arrays
        .iter()
        .flat_map(|a| a.as_primitive::<Float64Type>().iter().flatten())
    {
        if !value.is_finite() {
            return None;
        }
        low = low.min(value);
        high = high.max(value);
    }
    (low <= high).then(|| (Some(json!(low)), Some(json!(high))))
}

fn date(days: i32) -> Option<Value> {
    let day = DateTime::from_timestamp(i64::from(days) * 86_400, 0)?;
    Some(json!(day.format("%Y-%m-%d").to_string()))
}

fn time(us: i64, zoned: bool) -> Option<Value> {
    let at = DateTime::from_timestamp_micros(us)?;
    let format = if zoned {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f"
    };
    Some(json!(at.format(format).to_string()))
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// A text not less than `text`, short enough; none when its start cannot be raised.
fn cut_up(text: &str) -> Option<String> {
    if text.chars().nth(TEXT_CHARS_MAX).is_none() {
        return Some(text.to_owned());
    }
    let mut start: Vec<char> = text.chars().take(TEXT_CHARS_MAX).collect();
    while let Some(last) = start.pop() {
        // One step up, past the gap where no characters are.
        let next = if last == '\u{D7FF}' {
            Some('\u{E000}')
        } else {
            char::from_u32(u32::from(last) + 1)
        };
        if let Some(next) = next {
            start.push(next);
            return Some(start.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits_or_stay_out() {
        assert_eq!(decimal(90_100, 2), Some(json!(901.0)));
        assert_eq!(decimal(-12_345, 3), Some(json!(-12.345)));
        assert_eq!(decimal(1_000_000_000_000_000, 2), None);
    }

    #[test]
    fn cut_text_stays_a_bound() {
        let long = "C".repeat(200);
        let up = cut_up(&long).unwrap();
        assert!(up.as_str() > long.as_str() && up.chars().count() <= TEXT_CHARS_MAX);
        assert_eq!(cut_up("short").as_deref(), Some("short"));
        assert_eq!(cut_up(&"\u{10FFFF}".repeat(100)), None);
    }
}
