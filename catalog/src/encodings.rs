//! How the columns of a data file are encoded, judged by its first rows.
//!
//! A dictionary pays where values come again; where they do not, it is built, found too large, and written out after all.
//! Numbers that only rise are written as differences.

use std::collections::HashSet;
use std::hash::Hash;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

/// With fewer rows there is nothing to judge, and nothing to save.
const ROWS_MIN: usize = 512;
/// Rows looked at.
const ROWS_MAX: usize = 32 * 1024;

/// Sets the encodings of the columns by what `first` holds.
pub(crate) fn choose(mut properties: WriterPropertiesBuilder, first: &RecordBatch) -> WriterPropertiesBuilder {
    if first.num_rows() < ROWS_MIN {
        return properties;
    }
    let start = first.slice(0, first.num_rows().min(ROWS_MAX));
    for (field, array) in start.schema().fields().iter().zip(start.columns()) {
        let path = || ColumnPath::from(field.name().as_str());
        match judge(array) {
            Judged::Rising => {
                properties = properties
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
            Judged::Various => properties = properties.set_column_dictionary_enabled(path(), false),
            Judged::Repeated => {}
        }
    }
    properties
}

enum Judged {
    Rising,
    Various,
    Repeated,
}

fn judge(array: &ArrayRef) -> Judged {
    fn rises<T: ArrowPrimitiveType>(array: &ArrayRef) -> bool
    where
        T::Native: PartialOrd,
    {
        let values = array.as_primitive::<T>().values();
        let mut pairs = values.iter().zip(values.iter().skip(1));
        array.null_count() == 0 && pairs.all(|(a, b)| a <= b) && values.first() != values.last()
    }
    let rising = match array.data_type() {
        DataType::Int64 => rises::<Int64Type>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => rises::<TimestampMicrosecondType>(array),
        _ => false,
    };
    let various = || match array.data_type() {
        DataType::Int64 => is_various(array.as_primitive::<Int64Type>().iter()),
        DataType::Date32 => is_various(array.as_primitive::<Date32Type>().iter()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            is_various(array.as_primitive::<TimestampMicrosecondType>().iter())
        }
        DataType::Float64 => is_various(array.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::to_bits))),
        DataType::Utf8 => is_various(array.as_string::<i32>().iter()),
        _ => false,
    };
    if rising {
        Judged::Rising
    } else if various() {
        Judged::Various
    } else {
        Judged::Repeated
    }
}

/// Whether more than half of the values come once.
fn is_various<T: Hash + Eq>(values: impl Iterator<Item = Option<T>>) -> bool {
    let (mut count, mut seen) = (0usize, HashSet::new());
    for value in values.flatten() {
        count += 1;
        seen.insert(value);
    }
    count >= ROWS_MIN && seen.len() * 2 > count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn columns_are_judged_by_what_they_hold() {
        let rising: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..1000).map(|at| format!("P{}", at % 40)),
        ));
        let measured: ArrayRef = Arc::new(Float64Array::from_iter_values(
            (0..1000).map(|at| f64::from(at * 7 % 997)),
        ));
        let same: ArrayRef = Arc::new(Int64Array::from_iter_values(std::iter::repeat_n(7, 1000)));
        assert!(matches!(judge(&rising), Judged::Rising));
        assert!(matches!(judge(&names), Judged::Repeated));
        assert!(matches!(judge(&measured), Judged::Various));
        assert!(matches!(judge(&same), Judged::Repeated));
    }
}
