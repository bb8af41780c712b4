//! Which type holds the values of two, without loss; and the cast that refuses to lose anything.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::formats;

/// The greatest integer below which a Float64 holds every one.
pub(crate) const EXACT_FLOAT_MAX: i64 = 1 << 53;

/// The type for a column that is `now` and gets values of `incoming`; `None` when there is no lossless one. Equal to `now`
/// wherever `now` will do. Integers going into floats still need their values checked: see [`cast_exact`].
pub(crate) fn unify(now: &DataType, incoming: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, List, Null, Struct, Timestamp};
    let ints = [Int8, Int16, Int32, Int64];
    let rank = |t: &DataType| ints.iter().position(|i| i == t);
    match (now, incoming) {
        (a, b) if a == b => Some(a.clone()),
        (Null, other) | (other, Null) => Some(other.clone()),
        (a, b) if rank(a).is_some() && rank(b).is_some() => {
            Some(if rank(a) >= rank(b) { a.clone() } else { b.clone() })
        }
        (a, Float64) | (Float64, a) if rank(a).is_some() || *a == Float32 => Some(Float64),
        (Date32, Timestamp(TimeUnit::Microsecond, zone)) | (Timestamp(TimeUnit::Microsecond, zone), Date32) => {
            Some(Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        (Decimal128(p, s), Decimal128(q, t)) => {
            let scale = *s.max(t);
            let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|p| *p <= 38)?;
            Some(Decimal128(precision, scale))
        }
        (List(a), List(b)) => {
            let inside = unify(a.data_type(), b.data_type())?;
            Some(List(Arc::new(a.as_ref().clone().with_data_type(inside))))
        }
        (Struct(a), Struct(b)) => {
            let mut fields: Vec<Arc<Field>> = Vec::new();
            for field in a {
                let inside = match b.iter().find(|f| f.name() == field.name()) {
                    Some(other) => unify(field.data_type(), other.data_type())?,
                    None => field.data_type().clone(),
                };
                fields.push(Arc::new(field.as_ref().clone().with_data_type(inside)));
            }
            fields.extend(b.iter().filter(|f| a.iter().all(|g| g.name() != f.name())).cloned());
            Some(Struct(fields.into()))
        }
        _ => None,
    }
}

/// The type for a column that is `now`, as wide as it gets from `incoming` without a value of it changing its kind: what
/// cannot be held stays as `now` has it. With `exact` no integer becomes a float, as nobody looked at its values.
pub(crate) fn absorb(now: &DataType, incoming: &DataType, exact: bool) -> DataType {
    match (now, incoming) {
        (DataType::Struct(a), DataType::Struct(b)) => {
            let widened = a
                .iter()
                .map(|field| match b.iter().find(|other| other.name() == field.name()) {
                    Some(other) => {
                        let inside = absorb(field.data_type(), other.data_type(), exact);
                        Arc::new(field.as_ref().clone().with_data_type(inside))
                    }
                    None => Arc::clone(field),
                });
            let new = b.iter().filter(|f| a.iter().all(|g| g.name() != f.name())).cloned();
            DataType::Struct(widened.chain(new).collect())
        }
        (DataType::List(a), DataType::List(b)) => {
            let inside = absorb(a.data_type(), b.data_type(), exact);
            DataType::List(Arc::new(a.as_ref().clone().with_data_type(inside)))
        }
        _ => unify(now, incoming)
            .filter(|to| !exact || always_fits(now, to))
            .unwrap_or_else(|| now.clone()),
    }
}

/// The type of a column that is nowhere yet, of two that its files have: texts where nothing else holds both.
pub(crate) fn join(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        (DataType::Struct(x), DataType::Struct(y)) => {
            let both = x
                .iter()
                .map(|field| match y.iter().find(|other| other.name() == field.name()) {
                    Some(other) => {
                        let inside = join(field.data_type(), other.data_type());
                        Arc::new(field.as_ref().clone().with_data_type(inside))
                    }
                    None => Arc::clone(field),
                });
            let new = y.iter().filter(|f| x.iter().all(|g| g.name() != f.name())).cloned();
            DataType::Struct(both.chain(new).collect())
        }
        (DataType::List(x), DataType::List(y)) => {
            let inside = join(x.data_type(), y.data_type());
            DataType::List(Arc::new(x.as_ref().clone().with_data_type(inside)))
        }
        _ => unify(a, b).unwrap_or(DataType::Utf8),
    }
}

/// May every value of `from` go into `to` whatever it is? Integers into floats may not.
pub(crate) fn always_fits(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (a, b) if a == b => true,
        (DataType::Int64, DataType::Float64) => false,
        (DataType::List(a), DataType::List(b)) => always_fits(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => a.iter().all(|field| {
            b.iter()
                .find(|f| f.name() == field.name())
                .is_some_and(|f| always_fits(field.data_type(), f.data_type()))
        }),
        (a, b) => unify(a, b).as_ref() == Some(b),
    }
}

/// Casts to a type [`unify`] gave; the error holds a value that would be lost.
pub(crate) fn cast_exact(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::Null, to) => Ok(new_null_array(to, array.len())),
        (DataType::Int64, DataType::Float64) => {
            let ints = array.as_primitive::<Int64Type>();
            let lost = ints
                .iter()
                .flatten()
                .find(|v| v.unsigned_abs() > EXACT_FLOAT_MAX.unsigned_abs());
            match lost {
                Some(value) => Err(format!("{value} has more digits than a floating point number keeps")),
                None => plain_cast(array, to),
            }
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                columns.push(match parts.column_by_name(field.name()) {
                    Some(column) => cast_exact(column, field.data_type())?,
                    None => new_null_array(field.data_type(), array.len()),
                });
            }
            let built = StructArray::try_new(fields.clone(), columns, parts.nulls().cloned());
            built.map(|a| Arc::new(a) as ArrayRef).map_err(|e| e.to_string())
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = cast_exact(list.values(), field.data_type())?;
            let built = ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned());
            built.map(|a| Arc::new(a) as ArrayRef).map_err(|e| e.to_string())
        }
        // A column that held nothing yet changes its type freely.
        (_, to) if array.null_count() == array.len() => Ok(new_null_array(to, array.len())),
        (_, to) => plain_cast(array, to),
    }
}

/// Whether each value of the type is one word, as texts are.
pub(crate) fn is_scalar(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_null()
}

/// Whether texts are codes that name things, some of which are whole numbers: `001`, `X1`, `7`. In a table they show that its whole
/// numbers are names, too: as texts all of these are what they are. Numbers with words or units among them show nothing.
pub(crate) fn are_codes(arrays: &[&ArrayRef]) -> bool {
    const CHARS_MAX: usize = 32;
    let texts = arrays.iter().filter_map(|array| array.as_string_opt::<i32>());
    let (mut codes, mut padded, mut whole, mut others) = (0usize, 0usize, 0usize, 0usize);
    for text in texts.flat_map(|texts| texts.iter().flatten()) {
        let text = text.trim();
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let is_word = text.len() <= CHARS_MAX
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_named = text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.contains(|character: char| character.is_ascii_digit());
        if is_digits && (text.len() == 1 || !text.starts_with('0')) {
            whole += 1;
        } else if is_digits && !text.is_empty() {
            padded += 1;
        } else if is_named && is_word && !formats::is_moment(text) {
            codes += 1;
        } else {
            others += 1;
        }
    }
    // One `O5` among numbers is a slip of the hand.
    others == 0 && (codes > whole || (padded > 0 && codes == 0) || (padded > 0 && codes + padded > whole))
}

/// A few values for a message, e.g. `'A1', 'A2'`.
pub(crate) fn samples(arrays: &[&ArrayRef]) -> String {
    const SHOWN: usize = 3;
    const CHARS_MAX: usize = 40;
    let mut shown = Vec::new();
    for array in arrays {
        let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()) else {
            break;
        };
        for row in (0..array.len())
            .filter(|row| array.is_valid(*row))
            .take(SHOWN - shown.len())
        {
            let text: String = formatter.value(row).to_string().chars().take(CHARS_MAX).collect();
            shown.push(format!("'{text}'"));
        }
        if shown.len() >= SHOWN {
            break;
        }
    }
    shown.join(", ")
}

/// A type's name as a scientist would say it.
pub(crate) fn spoken(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Int64 => "whole numbers".to_owned(),
        DataType::Float64 => "numbers".to_owned(),
        DataType::Boolean => "true/false".to_owned(),
        DataType::Date32 => "dates".to_owned(),
        DataType::Timestamp(_, None) => "times without a zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "times in UTC".to_owned(),
        DataType::Struct(_) => "nested objects".to_owned(),
        DataType::List(_) => "lists".to_owned(),
        other => other.to_string(),
    }
}

fn plain_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn types_widen_only_without_loss() {
        use DataType::{Boolean, Date32, Float64, Int64, Null, Utf8};
        let ts = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (a, b, to) in [
            (Int64, Float64, Some(Float64)),
            (Float64, Int64, Some(Float64)),
            (Null, Utf8, Some(Utf8)),
            (Date32, ts.clone(), Some(ts.clone())),
            (Utf8, Int64, None),
            (Boolean, Int64, None),
            (
                ts.clone(),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                None,
            ),
        ] {
            assert_eq!(unify(&a, &b), to, "{a} with {b}");
        }
    }

    #[test]
    fn codes_are_told_from_values_that_are_no_numbers() {
        let codes = |values: &[&str]| {
            let array: ArrayRef = Arc::new(arrow::array::StringArray::from(values.to_vec()));
            are_codes(&[&array])
        };
        assert!(codes(&["001", "2"]) && codes(&["X1"]) && codes(&["P-07", "P-08", "0"]));
        assert!(codes(&["X1", "007", "1"]));
        for values in [
            &["1", "2"][..],
            &["many", "X1"],
            &["O5", "12", "0", "7"],
            &["4b"],
            &["<5", "X1"],
            &["5 mg"],
            &["Mar 4, 2026"],
            &["1.5", "001"],
            &[],
        ] {
            assert!(!codes(values), "{values:?}");
        }
    }

    #[test]
    fn large_integers_do_not_become_floats() {
        let small: ArrayRef = Arc::new(Int64Array::from(vec![Some(EXACT_FLOAT_MAX), None]));
        let large: ArrayRef = Arc::new(Int64Array::from(vec![EXACT_FLOAT_MAX + 1]));
        assert!(cast_exact(&small, &DataType::Float64).is_ok());
        assert!(
            cast_exact(&large, &DataType::Float64)
                .unwrap_err()
                .contains("9007199254740993")
        );
    }
}
