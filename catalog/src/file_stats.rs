//! Delta's statistics of one data file: rows, null counts, and least and greatest values where those are sound.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, PrimitiveArray, RecordBatch,
};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::DateTime;
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Map, Value, json};

/// Text bounds are cut to this many characters, as Spark does: long SMILES would bloat the log.
const TEXT_CHARS_MAX: usize = 64;

/// What is known of a data file's rows so far. Each batch leaves the few values behind that bound it, so that a file need
/// not be held in memory to be described.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    rows: usize,
    columns: Vec<GatheredColumn>,
}

#[derive(Debug, Default)]
struct GatheredColumn {
    nulls: usize,
    extremes: Vec<ArrayRef>,
}

impl Gathered {
    pub(crate) fn see(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows();
        self.columns.resize_with(batch.num_columns(), GatheredColumn::default);
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.null_count();
            column.extremes.extend(extremes(array));
        }
    }

    /// The statistics as Delta's JSON text. The bounds of text are those that the file's own footer has.
    pub(crate) fn finish(&self, schema: &SchemaRef, footer: &ParquetMetaData) -> String {
        let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (index, field) in schema.fields().iter().enumerate() {
            let nothing = GatheredColumn::default();
            let column = self.columns.get(index).unwrap_or(&nothing);
            if !field.data_type().is_nested() {
                nulls.insert(field.name().clone(), json!(column.nulls));
            }
            let bounds = match field.data_type() {
                DataType::Utf8 => text_bounds(footer, field.name()),
                other => bounds(other, &column.extremes.iter().collect::<Vec<_>>()),
            };
            if let Some((low, high)) = bounds {
                if let Some(low) = low {
                    mins.insert(field.name().clone(), low);
                }
                if let Some(high) = high {
                    maxs.insert(field.name().clone(), high);
                }
            }
        }
        json!({ "numRecords": self.rows, "minValues": mins, "maxValues": maxs, "nullCount": nulls }).to_string()
    }
}

/// An array of the same type with the least and the greatest value; of floats only one that has no bounds, if there is one.
fn extremes(array: &ArrayRef) -> Option<ArrayRef> {
    fn ends<T: ArrowPrimitiveType>(array: &ArrayRef) -> ArrayRef
    where
        T::Native: arrow::datatypes::ArrowNativeTypeOp,
    {
        let values = array.as_primitive::<T>();
        let found = PrimitiveArray::<T>::from_iter([min(values), max(values)]);
        Arc::new(found.with_data_type(array.data_type().clone()))
    }
    let unbounded = match array.data_type() {
        DataType::Float64 => {
            let mut values = array.as_primitive::<Float64Type>().iter().flatten();
            values.find(|value| !value.is_finite())
        }
        DataType::Float32 => {
            let mut values = array.as_primitive::<Float32Type>().iter().flatten();
            values.find(|value| !value.is_finite()).map(f64::from)
        }
        _ => None,
    };
    match (array.data_type(), unbounded) {
        (DataType::Float64, Some(value)) => Some(Arc::new(Float64Array::from(vec![value]))),
        (DataType::Float32, Some(value)) => Some(Arc::new(Float32Array::from(vec![value as f32]))),
        (DataType::Float64, None) => Some(ends::<Float64Type>(array)),
        (DataType::Float32, None) => Some(ends::<Float32Type>(array)),
        (DataType::Int64, _) => Some(ends::<Int64Type>(array)),
        (DataType::Int32, _) => Some(ends::<Int32Type>(array)),
        (DataType::Int16, _) => Some(ends::<Int16Type>(array)),
        (DataType::Int8, _) => Some(ends::<Int8Type>(array)),
        (DataType::Decimal128(_, _), _) => Some(ends::<Decimal128Type>(array)),
        (DataType::Date32, _) => Some(ends::<Date32Type>(array)),
        (DataType::Timestamp(TimeUnit::Microsecond, _), _) => Some(ends::<TimestampMicrosecondType>(array)),
        _ => None,
    }
}

/// The bounds of a column of text over all row groups: none where a group with values has none.
fn text_bounds(footer: &ParquetMetaData, name: &str) -> Option<Bounds> {
    let (mut low, mut high): (Option<&str>, Option<&str>) = (None, None);
    for group in footer.row_groups() {
        let mut columns = group.columns().iter();
        let column = columns.find(|column| matches!(column.column_path().parts(), [only] if only == name))?;
        let stats = column.statistics()?;
        if stats.null_count_opt() == u64::try_from(column.num_values()).ok() {
            continue;
        }
        let least = std::str::from_utf8(stats.min_bytes_opt()?).ok()?;
        let most = std::str::from_utf8(stats.max_bytes_opt()?).ok()?;
        low = Some(low.map_or(least, |low| low.min(least)));
        high = Some(high.map_or(most, |high| high.max(most)));
    }
    Some((Some(json!(cut(low?))), cut_up(high?).map(Value::String)))
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
