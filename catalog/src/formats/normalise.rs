//! Arrow arrays of any type to the few types our tables have. Casts that would lose a value are errors.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::formats::ReadError;

/// Digits that Delta's decimal holds.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// The type a column will have, all nested fields nullable and without foreign metadata.
///
/// # Errors
/// `ColumnType` for types that no table here holds; `TooLarge` for nesting beyond `depth_left`.
pub(super) fn target(column: &str, data_type: &DataType, depth_left: usize) -> Result<DataType, ReadError> {
    let Some(left) = depth_left.checked_sub(1) else {
        return Err(refused(column, "nested deeper than the limit".to_owned()));
    };
    let nested = |field: &FieldRef| -> Result<Field, ReadError> {
        Ok(Field::new(field.name(), target(column, field.data_type(), left)?, true))
    };
    let list_of = |field: &FieldRef| -> Result<DataType, ReadError> {
        Ok(DataType::List(Arc::new(Field::new_list_field(
            target(column, field.data_type(), left)?,
            true,
        ))))
    };
    Ok(match data_type {
        DataType::Null | DataType::Boolean | DataType::Date32 => data_type.clone(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())),
        DataType::Date64 => DataType::Date32,
        // No table type holds a time of day; its ISO text sorts the same.
        DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            if is_text(data_type) {
                DataType::Utf8
            } else {
                DataType::Decimal128(*precision, *scale)
            }
        }
        DataType::Dictionary(_, values) => target(column, values, left)?,
        DataType::RunEndEncoded(_, values) => target(column, values.data_type(), left)?,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => list_of(field)?,
        DataType::Map(entries, _) => list_of(entries)?,
        DataType::Struct(fields) => {
            let fields = fields.iter().map(nested).collect::<Result<Vec<_>, _>>()?;
            if fields.is_empty() {
                return Err(refused(column, "a struct without fields".to_owned()));
            }
            DataType::Struct(Fields::from(fields))
        }
        // Seconds, whatever unit a file counts in: tables have no type for durations, and files of one table may differ.
        DataType::Duration(_) => DataType::Float64,
        DataType::Interval(_) | DataType::Union(_, _) => DataType::Utf8,
    })
}

/// Whether a type has no place in a table but as text: decimals of more digits than Delta holds, intervals, unions.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => *precision > DECIMAL_DIGITS_MAX || *scale < 0,
        DataType::Interval(_) | DataType::Union(_, _) => true,
        _ => false,
    }
}

/// Any array as texts.
///
/// # Errors
/// `ColumnType` where a value cannot be shown.
pub(super) fn texts(column: &str, array: &ArrayRef) -> Result<ArrayRef, ReadError> {
    let refused = |error: ArrowError| refused(column, error.to_string());
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).map_err(refused)?;
    let texts = (0..array.len()).map(|row| {
        let value = array.is_valid(row).then(|| formatter.value(row).try_to_string());
        value.transpose()
    });
    let texts: StringArray = texts.collect::<Result<_, _>>().map_err(refused)?;
    Ok(Arc::new(texts))
}

/// Seconds of durations in any unit.
fn seconds(column: &str, array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, ReadError> {
    let in_second = match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    };
    let counts = cast(column, array, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let seconds: Float64Array = counts.unary(|count| count as f64 / in_second);
    Ok(Arc::new(seconds))
}

/// Brings an array to its [`target`].
///
/// # Errors
/// `ColumnType` when a value does not fit, such as an unsigned integer beyond i64.
pub(super) fn array(column: &str, array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ReadError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Duration(unit), DataType::Float64) => seconds(column, array, *unit),
        (own, DataType::Utf8) if is_text(own) => texts(column, array),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let source = array.as_struct();
            let columns = source
                .columns()
                .iter()
                .zip(fields)
                .map(|(child, field)| self::array(column, child, field.data_type()))
                .collect::<Result<Vec<_>, _>>()?;
            let built = StructArray::try_new(fields.clone(), columns, source.nulls().cloned());
            built
                .map(|built| Arc::new(built) as ArrayRef)
                .map_err(|error| refused(column, error.to_string()))
        }
        (DataType::Map(_, _), DataType::List(item)) => {
            let source = array.as_map();
            let entries: ArrayRef = Arc::new(source.entries().clone());
            list(
                column,
                &entries,
                source.offsets().clone(),
                source.nulls().cloned(),
                item,
            )
        }
        (DataType::List(_), DataType::List(item)) => {
            let source = array.as_list::<i32>();
            list(
                column,
                source.values(),
                source.offsets().clone(),
                source.nulls().cloned(),
                item,
            )
        }
        (DataType::FixedSizeList(_, size), DataType::List(item)) => {
            let source: &FixedSizeListArray = array.as_fixed_size_list();
            let length = usize::try_from(*size).unwrap_or(0);
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, source.len()));
            list(column, source.values(), offsets, source.nulls().cloned(), item)
        }
        (DataType::LargeList(_) | DataType::ListView(_) | DataType::LargeListView(_), DataType::List(item)) => {
            // First to plain lists of the same items, then the items.
            let (DataType::LargeList(field) | DataType::ListView(field) | DataType::LargeListView(field)) =
                array.data_type()
            else {
                return Err(refused(column, "a list of an unknown kind".to_owned()));
            };
            let plain = cast(column, array, &DataType::List(Arc::clone(field)))?;
            let target = DataType::List(Arc::clone(item));
            self::array(column, &plain, &target)
        }
        _ => cast(column, array, target),
    }
}

fn list(
    column: &str,
    values: &ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<arrow::buffer::NullBuffer>,
    item: &FieldRef,
) -> Result<ArrayRef, ReadError> {
    let values = array(column, values, item.data_type())?;
    let built = ListArray::try_new(Arc::clone(item), offsets, values, nulls);
    built
        .map(|built| Arc::new(built) as ArrayRef)
        .map_err(|error| refused(column, error.to_string()))
}

fn cast(column: &str, array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ReadError> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, target, &strict).map_err(|error| refused(column, error.to_string()))
}

fn refused(column: &str, why: String) -> ReadError {
    ReadError::ColumnType {
        column: column.to_owned(),
        why,
    }
}
