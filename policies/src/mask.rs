//! Masks that need no SQL. Each is total: it never fails on a value, an impossible result is NULL.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampSecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What stands for the rest of a partly shown text: always the same, so the length is not told.
const REST: &str = "***";
/// What plans call a mask.
pub(crate) const NAME: &str = "labhouse_mask";
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A short kind of mask.
#[derive(Clone, PartialEq)]
pub(crate) enum Mask {
    /// Hex of HMAC-SHA256 under this key; texts only. The key is empty until the policy set binds its secret.
    Hash(Vec<u8>),
    /// The first characters, then `***`; texts that have no more than these are `***`.
    Partial(u32),
    /// Dates and timestamps cut down to the start of a unit, in UTC.
    Truncate(Unit),
    /// Numbers cut down to a multiple of this width.
    Bucket(f64),
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::Hash(_) => f.write_str("Hash(<key>)"),
            Mask::Partial(keep) => write!(f, "Partial({keep})"),
            Mask::Truncate(unit) => write!(f, "Truncate({unit:?})"),
            Mask::Bucket(width) => write!(f, "Bucket({width})"),
        }
    }
}

/// Unit of a truncated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
}

impl Unit {
    pub(crate) const WORDS: &str = "use year, quarter, month, week, day, hour or minute";
}

impl FromStr for Unit {
    type Err = ();

    fn from_str(word: &str) -> std::result::Result<Self, ()> {
        Ok(match word {
            "year" => Unit::Year,
            "quarter" => Unit::Quarter,
            "month" => Unit::Month,
            "week" => Unit::Week,
            "day" => Unit::Day,
            "hour" => Unit::Hour,
            "minute" => Unit::Minute,
            _ => return Err(()),
        })
    }
}

impl Mask {
    /// Whether the mask can be put on a column of this type.
    pub(crate) fn fits(&self, column: &DataType) -> bool {
        use DataType::{
            Date32, Date64, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Timestamp, UInt8, UInt16, UInt32,
            Utf8, Utf8View,
        };
        match self {
            Mask::Hash(_) | Mask::Partial(_) => matches!(column, Utf8 | LargeUtf8 | Utf8View),
            Mask::Truncate(_) => matches!(column, Date32 | Date64 | Timestamp(_, _)),
            Mask::Bucket(_) => matches!(
                column,
                Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Float32 | Float64
            ),
        }
    }

    /// The types it fits, in words.
    pub(crate) fn fitting(&self) -> &'static str {
        match self {
            Mask::Hash(_) | Mask::Partial(_) => "text",
            Mask::Truncate(_) => "dates and timestamps",
            Mask::Bucket(_) => "numbers (not decimals)",
        }
    }

    /// The masked array, of the very type of `raw`.
    fn apply(&self, raw: &ArrayRef) -> Result<ArrayRef> {
        let column = raw.data_type().clone();
        if !self.fits(&column) {
            return exec_err!("the mask is only for {}", self.fitting());
        }
        let masked: ArrayRef = match self {
            Mask::Hash(key) => Arc::new(hash(key, texts(raw)?.as_string())),
            Mask::Partial(keep) => Arc::new(partial(*keep as usize, texts(raw)?.as_string())),
            Mask::Truncate(unit) => Arc::new(each(&micros(raw)?, |value| truncate(*unit, value))),
            Mask::Bucket(width) if column.is_integer() && width.fract() == 0.0 => {
                let width = *width as i64;
                let numbers = total_cast(raw, &DataType::Int64)?;
                let numbers = numbers.as_primitive::<Int64Type>();
                Arc::new(each(numbers, |v| {
                    v.checked_div_euclid(width).and_then(|n| n.checked_mul(width))
                }))
            }
            Mask::Bucket(width) => {
                let numbers = total_cast(raw, &DataType::Float64)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                Arc::new(each(numbers, |v| Some((v / width).floor() * width)))
            }
        };
        // Of a timestamp with a zone the cast above dropped the zone and kept the instant; put it back the same way.
        total_cast(&masked, &column)
    }
}

fn texts(raw: &ArrayRef) -> Result<ArrayRef> {
    total_cast(raw, &DataType::Utf8)
}

/// Instants in microseconds; NULL where one does not fit (Arrow's own casts of far dates multiply unchecked).
fn micros(raw: &ArrayRef) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    Ok(match raw.data_type() {
        DataType::Date32 => raw
            .as_primitive::<Date32Type>()
            .iter()
            .map(|d| i64::from(d?).checked_mul(MICROS_PER_DAY))
            .collect(),
        DataType::Date64 => raw
            .as_primitive::<Date64Type>()
            .iter()
            .map(|ms| ms?.checked_mul(1_000))
            .collect(),
        DataType::Timestamp(TimeUnit::Second, _) => raw
            .as_primitive::<TimestampSecondType>()
            .iter()
            .map(|s| s?.checked_mul(1_000_000))
            .collect(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => raw
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .map(|ms| ms?.checked_mul(1_000))
            .collect(),
        _ => total_cast(raw, &DataType::Timestamp(TimeUnit::Microsecond, None))?
            .as_primitive::<TimestampMicrosecondType>()
            .clone(),
    })
}

/// A cast that gives NULL where a value does not fit.
fn total_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // An instant keeps its number when the zone is dropped or added: relabel instead of converting to local time.
    let options = CastOptions {
        safe: true,
        ..Default::default()
    };
    let zone = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    let (DataType::Timestamp(from_unit, _), DataType::Timestamp(_, to_zone)) = (array.data_type(), to) else {
        return Ok(cast_with_options(array, to, &options)?);
    };
    if zone(array.data_type()) {
        let utc = array
            .to_data()
            .into_builder()
            .data_type(DataType::Timestamp(*from_unit, None))
            .build()?;
        return total_cast(&arrow::array::make_array(utc), to);
    }
    if let DataType::Timestamp(unit, Some(_)) = to {
        let plain = cast_with_options(array, &DataType::Timestamp(*unit, None), &options)?;
        let zoned = plain
            .to_data()
            .into_builder()
            .data_type(DataType::Timestamp(*unit, to_zone.clone()))
            .build()?;
        return Ok(arrow::array::make_array(zoned));
    }
    Ok(cast_with_options(array, to, &options)?)
}

fn each<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    f: impl Fn(T::Native) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    values.iter().map(|value| value.and_then(&f)).collect()
}

fn hash(key: &[u8], texts: &StringArray) -> StringArray {
    let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 64);
    let keyed = Hmac::<Sha256>::new_from_slice(key).ok();
    let mut hex = String::with_capacity(64);
    for text in texts {
        match (text, &keyed) {
            (Some(text), Some(keyed)) => {
                let mut mac = keyed.clone();
                mac.update(text.as_bytes());
                hex.clear();
                for byte in mac.finalize().into_bytes() {
                    hex.extend([byte >> 4, byte & 15].map(|n| char::from_digit(u32::from(n), 16).unwrap_or('0')));
                }
                out.append_value(&hex);
            }
            _ => out.append_null(),
        }
    }
    out.finish()
}

fn partial(keep: usize, texts: &StringArray) -> StringArray {
    let shown = |text: &str| match text.char_indices().nth(keep) {
        Some((end, _)) => format!("{}{REST}", text.get(..end).unwrap_or_default()),
        None => REST.to_owned(),
    };
    texts.iter().map(|text| text.map(shown)).collect()
}

fn truncate(unit: Unit, micros: i64) -> Option<i64> {
    let at = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let date = at.date();
    let midnight = |d: Option<NaiveDate>| d.and_then(|d| d.and_hms_opt(0, 0, 0));
    let cut: Option<NaiveDateTime> = match unit {
        Unit::Year => midnight(NaiveDate::from_ymd_opt(date.year(), 1, 1)),
        Unit::Quarter => midnight(NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1)),
        Unit::Month => midnight(NaiveDate::from_ymd_opt(date.year(), date.month(), 1)),
        Unit::Week => {
            midnight(date.checked_sub_days(chrono::Days::new(u64::from(date.weekday().num_days_from_monday()))))
        }
        Unit::Day => midnight(Some(date)),
        Unit::Hour => date.and_hms_opt(at.hour(), 0, 0),
        Unit::Minute => date.and_hms_opt(at.hour(), at.minute(), 0),
    };
    cut.map(|cut| cut.and_utc().timestamp_micros())
}

/// The mask as a function of the raw column. It is never registered under a name, so no statement can call it.
#[derive(Debug, Clone)]
pub(crate) struct MaskFunction {
    mask: Mask,
    signature: Signature,
}

impl MaskFunction {
    pub(crate) fn new(mask: Mask) -> Self {
        Self {
            mask,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl PartialEq for MaskFunction {
    fn eq(&self, other: &Self) -> bool {
        self.mask == other.mask
    }
}

impl Eq for MaskFunction {}

impl Hash for MaskFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The key may not be told apart by a hash; equal masks still hash alike.
        format!("{:?}", self.mask).hash(state);
    }
}

impl ScalarUDFImpl for MaskFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [column] if self.mask.fits(column) => Ok(column.clone()),
            other => exec_err!("the mask is only for {}, not {other:?}", self.mask.fitting()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        match arrays.as_slice() {
            [raw] => Ok(ColumnarValue::Array(self.mask.apply(raw)?)),
            _ => exec_err!("a mask has one argument"),
        }
    }
}

/// The mask, if an expression's function is one.
pub(crate) fn mask_of(function: &dyn ScalarUDFImpl) -> Option<&Mask> {
    let function = (function as &dyn Any).downcast_ref::<MaskFunction>()?;
    Some(&function.mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mask: &Mask, values: Vec<Option<&str>>) -> Vec<Option<String>> {
        let raw: ArrayRef = Arc::new(arrow::array::StringViewArray::from(values));
        let masked = mask.apply(&raw).unwrap();
        assert_eq!(masked.data_type(), &DataType::Utf8View);
        masked.as_string_view().iter().map(|v| v.map(str::to_owned)).collect()
    }

    #[test]
    fn hash_is_keyed() {
        // RFC 4231, test case 2.
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let data = vec![Some("what do ya want for nothing?"), None];
        assert_eq!(
            text(&Mask::Hash(b"Jefe".to_vec()), data.clone()),
            [Some(known.to_owned()), None]
        );
        assert_ne!(
            text(&Mask::Hash(b"jefe".to_vec()), data),
            [Some(known.to_owned()), None]
        );
    }

    #[test]
    fn partial_never_shows_a_whole_text() {
        let shown = text(
            &Mask::Partial(3),
            vec![Some("CCO"), Some("CCON"), Some("µµµµ"), Some(""), None],
        );
        let want = [Some("***"), Some("CCO***"), Some("µµµ***"), Some("***"), None];
        assert_eq!(shown.iter().map(Option::as_deref).collect::<Vec<_>>(), want);
    }

    #[test]
    fn times_and_numbers_are_cut_down_and_never_fail() {
        let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some("Asia/Tokyo".into()));
        let raw: ArrayRef = Arc::new(
            arrow::array::TimestampNanosecondArray::from(vec![1_767_315_845_123_456_789, i64::MIN, i64::MAX])
                .with_timezone("Asia/Tokyo"),
        );
        let cut = Mask::Truncate(Unit::Day).apply(&raw).unwrap();
        assert_eq!(cut.data_type(), &zoned);
        assert_eq!(
            cut.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(0),
            1_767_312_000_000_000_000
        );
        let raw: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![0, 20_000, i32::MAX, i32::MIN]));
        let cut = Mask::Truncate(Unit::Month).apply(&raw).unwrap();
        assert_eq!(cut.as_primitive::<arrow::datatypes::Date32Type>().value(1), 19_997);
        let raw: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![-1, 17, i64::MIN, i64::MAX]));
        let cut = Mask::Bucket(10.0).apply(&raw).unwrap();
        let cut: Vec<_> = cut.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(cut[..3], [Some(-10), Some(10), None]);
        let raw: ArrayRef = Arc::new(arrow::array::Int8Array::from(vec![-128]));
        assert!(Mask::Bucket(100.0).apply(&raw).unwrap().is_null(0));
        assert!(
            Mask::Bucket(2.5)
                .apply(&(Arc::new(StringArray::from(vec!["x"])) as ArrayRef))
                .is_err()
        );
    }
}
