//! Tests of how values are written.

use arrow::array::{
    BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    TimestampNanosecondArray, UInt64Array,
};

use super::*;

fn value(array: ArrayRef, format: Format) -> Option<Vec<u8>> {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
    let mut answer = Answer::default();
    rows(&mut answer, &batch, &[i16::from(format == Format::Binary)]).unwrap();
    let message = answer.take();
    // Kind, length and number of columns come before the value.
    let value = &message[7..];
    let length = i32::from_be_bytes(value[..4].try_into().unwrap());
    (length >= 0).then(|| {
        assert_eq!(value.len(), 4 + length as usize);
        value[4..].to_vec()
    })
}

fn text(array: impl Array + 'static) -> String {
    String::from_utf8(value(Arc::new(array), Format::Text).unwrap()).unwrap()
}

fn binary(array: impl Array + 'static) -> Vec<u8> {
    value(Arc::new(array), Format::Binary).unwrap()
}

#[test]
fn texts_are_written_as_postgres_writes_them() {
    assert_eq!(text(BooleanArray::from(vec![true])), "t");
    assert_eq!(text(Float64Array::from(vec![f64::NEG_INFINITY])), "-Infinity");
    assert_eq!(text(BinaryArray::from(vec![b"\x01\xff".as_slice()])), "\\x01ff");
    let moment = TimestampNanosecondArray::from(vec![951_782_400_123_456_000]);
    assert_eq!(text(moment.clone()), "2000-02-29 00:00:00.123456");
    assert_eq!(text(moment.with_timezone("UTC")), "2000-02-29 00:00:00.123456+00");
    assert_eq!(
        text(
            Decimal128Array::from(vec![-12345])
                .with_precision_and_scale(10, 2)
                .unwrap()
        ),
        "-123.45"
    );
    assert_eq!(value(Arc::new(Int64Array::from(vec![None])), Format::Text), None);
}

#[test]
fn lists_are_arrays_in_both_forms() {
    let mut texts = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    texts.append_value([Some("a\"b"), None]);
    assert_eq!(text(texts.finish()), "{\"a\\\"b\",NULL}");
    let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(7), None])]);
    assert_eq!(text(numbers.clone()), "{7,NULL}");
    let expected: Vec<u8> = [1, 1, 20, 2, 1, 8]
        .into_iter()
        .flat_map(i32::to_be_bytes)
        .chain(7_i64.to_be_bytes())
        .chain((-1_i32).to_be_bytes())
        .collect();
    assert_eq!(binary(numbers), expected);
}

#[test]
fn binary_forms_count_from_2000() {
    assert_eq!(
        binary(TimestampNanosecondArray::from(vec![946_684_800_000_001_000])),
        1_i64.to_be_bytes()
    );
    assert_eq!(binary(Int64Array::from(vec![-2])), (-2_i64).to_be_bytes());
    assert_eq!(binary(StringArray::from(vec!["ä"])), "ä".as_bytes());
    // A number beyond int8: weight 4, one digit group for each four digits.
    assert_eq!(binary(UInt64Array::from(vec![u64::MAX]))[..8], [0, 5, 0, 4, 0, 0, 0, 0]);
}

#[test]
fn nested_values_are_json_and_intervals_have_both_forms() {
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1)]));
    let t: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let both = arrow::array::StructArray::try_from(vec![("n", n), ("t", t)]).unwrap();
    assert_eq!(text(both.clone()), r#"{"n":1,"t":null}"#);
    assert_eq!(binary(both), br#"{"n":1,"t":null}"#);
    assert_eq!(interval(14, -3, 14_706_700_000), "1 year 2 mons -3 days 04:05:06.7");
    assert_eq!(
        (interval(0, 0, 0), interval(0, 1, -1)),
        ("00:00:00".into(), "1 day -00:00:00.000001".into())
    );
    let second = arrow::array::DurationMillisecondArray::from(vec![1_500]);
    assert_eq!(text(second.clone()), "00:00:01.5");
    assert_eq!(binary(second)[..8], 1_500_000_i64.to_be_bytes());
}

#[test]
fn a_format_that_was_not_named_is_text() {
    assert_eq!(format_at(&[], 3), Format::Text);
    assert_eq!(format_at(&[1], 3), Format::Binary);
    assert_eq!(
        (format_at(&[0, 1], 1), format_at(&[0, 1], 2)),
        (Format::Binary, Format::Text)
    );
    let mut answer = Answer::default();
    let schema = Schema::new(vec![arrow::datatypes::Field::new("c", DataType::Int64, true)]);
    describe(&mut answer, &schema, &[]);
    assert!(
        answer
            .take()
            .ends_with(&[0, 0, 0, 20, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0])
    );
}
