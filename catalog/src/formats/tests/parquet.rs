//! Parquet files written here with arrow's own writer.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date64Array, Decimal256Array, DictionaryArray, DurationMillisecondArray, Float32Array, Int8Array,
    Int32Builder, LargeStringArray, MapBuilder, StringBuilder, StringViewArray, Time32SecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, i256};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use super::{ReadError, column, parse, schema, table};
use crate::formats::{Limits, read};

fn written(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn plain() -> Vec<u8> {
    written(vec![("a", Arc::new(Int8Array::from_iter_values(0..100)) as ArrayRef)])
}

#[test]
fn types_become_ours() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(7);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let bytes = written(vec![
        ("i", Arc::new(Int8Array::from(vec![Some(1), None]))),
        ("u", Arc::new(UInt64Array::from(vec![1, 2]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
        ("l", Arc::new(LargeStringArray::from(vec!["x", "y"]))),
        ("v", Arc::new(StringViewArray::from(vec!["x", "y"]))),
        ("d", Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "y"]))),
        (
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]).with_timezone("+02:00")),
        ),
        ("d64", Arc::new(Date64Array::from(vec![86_400_000, 0]))),
        ("time", Arc::new(Time32SecondArray::from(vec![3_600, 0]))),
        ("m", Arc::new(map.finish())),
    ]);
    let batch = table("a.parquet", bytes);
    assert_eq!(
        schema(&batch).iter().take(9).map(String::as_str).collect::<Vec<_>>(),
        [
            "i: Int64",
            "u: Int64",
            "f: Float64",
            "l: Utf8",
            "v: Utf8",
            "d: Utf8",
            "t: Timestamp(µs, \"UTC\")",
            "d64: Date32",
            "time: Utf8"
        ]
    );
    assert_eq!(column(&batch, "time"), ["01:00:00", "00:00:00"]);
    assert_eq!(column(&batch, "m")[0], "[{keys: k, values: 7}]");
    assert_eq!(column(&batch, "m")[1], "∅");
    assert_eq!(column(&batch, "i"), ["1", "∅"]);
}

#[test]
fn what_no_table_holds_is_text_and_told() {
    let numbers: Vec<u64> = (0..40_000).chain([u64::MAX]).collect();
    let wide = Decimal256Array::from(vec![Some(i256::from_i128(12_345)); numbers.len()]);
    let bytes = written(vec![
        ("u", Arc::new(UInt64Array::from(numbers.clone())) as ArrayRef),
        ("wide", Arc::new(wide.with_precision_and_scale(50, 2).unwrap())),
        (
            "took",
            Arc::new(DurationMillisecondArray::from(vec![1_500; numbers.len()])),
        ),
        ("v", Arc::new(Int8Array::from(vec![7; numbers.len()]))),
    ]);
    let parsed = parse("a.parquet", bytes).unwrap();
    let batches = &parsed.blocks[0].batches;
    assert!(batches.len() > 1);
    for batch in batches {
        assert_eq!(schema(batch), ["u: Utf8", "wide: Utf8", "took: Float64", "v: Int64"]);
    }
    let last = batches.last().unwrap();
    assert_eq!(column(&batches[0], "u")[2], "2");
    assert_eq!(column(last, "u").last().unwrap(), "18446744073709551615");
    assert_eq!(
        (column(last, "wide")[0].as_str(), column(last, "took")[0].as_str()),
        ("123.45", "1.5")
    );
    let schema = last.schema();
    assert_eq!(schema.field_with_name("took").unwrap().metadata()["unit"], "s");
    let doubts = parsed.confidence.doubts().unwrap();
    assert!(
        doubts.contains("\"u\" read as text") && doubts.contains("\"wide\" read as text"),
        "{doubts}"
    );
    // The no: what a table holds raises no doubt.
    let bytes = written(vec![("u", Arc::new(UInt64Array::from(vec![1, 2])) as ArrayRef)]);
    let parsed = parse("a.parquet", bytes).unwrap();
    assert_eq!(
        (
            super::schema(&parsed.blocks[0].batches[0])[0].as_str(),
            parsed.confidence.doubts()
        ),
        ("u: Int64", None)
    );
}

#[test]
fn large_files_come_in_many_batches() {
    let bytes = written(vec![(
        "a",
        Arc::new(UInt64Array::from_iter_values(0..100_000)) as ArrayRef,
    )]);
    let parsed = parse("a.parquet", bytes.clone()).unwrap();
    assert!(parsed.blocks[0].batches.len() > 2);
    for limits in [
        Limits {
            rows_max: 99_999,
            ..Limits::default()
        },
        Limits {
            decompressed_bytes_max: 500_000,
            ..Limits::default()
        },
    ] {
        let error = read("a", Bytes::from(bytes.clone()), &limits).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn cut_and_broken_files_are_refused() {
    let whole = plain();
    for cut in 4..whole.len() {
        let error = parse("a.parquet", &whole[..cut]).unwrap_err();
        assert!(
            matches!(error, ReadError::Damaged { .. } | ReadError::Unsupported { .. }),
            "cut at {cut}: {error}"
        );
    }
    // Any one byte changed: read or refused, never a panic.
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0xff;
        let _ = parse("a.parquet", broken);
    }
    let empty = written(vec![("a", Arc::new(Int8Array::from(Vec::<i8>::new())) as ArrayRef)]);
    assert!(matches!(parse("a", empty).unwrap_err(), ReadError::NoDataRows { .. }));
}
