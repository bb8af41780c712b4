//! Avro object container files.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;

use super::{Limits, ReadError, column, floats, parse, read, schema, table};

pub(super) fn avro(codec: Option<CompressionCodec>, rows: i32) -> Vec<u8> {
    let text = StringArray::from_iter((0..rows).map(|row| (row % 3 != 0).then(|| format!("sample {row}"))));
    let lists: ListArray = ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..rows).map(|row| Some((0..i64::from(row % 3)).map(Some).collect::<Vec<_>>())),
    );
    let times = TimestampMicrosecondArray::from_iter_values((0..i64::from(rows)).map(|row| row * 1_000_000));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef, false),
        ("name", Arc::new(text), true),
        (
            "od",
            Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|row| f64::from(row) / 4.0),
            )),
            false,
        ),
        (
            "passed",
            Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0)))),
            false,
        ),
        ("run_at", Arc::new(times.with_timezone("+00:00")), false),
        ("reads", Arc::new(lists), true),
    ])
    .unwrap();
    let mut writer = WriterBuilder::new(batch.schema().as_ref().clone())
        .with_compression(codec)
        .build::<_, AvroOcfFormat>(Vec::new())
        .unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner()
}

#[test]
fn columns_keep_their_types_whatever_the_codec() {
    for codec in [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
        Some(CompressionCodec::ZStandard),
    ] {
        // The name says nothing; the content does.
        let batch = table("runs.bin", avro(codec, 7));
        let types = schema(&batch);
        assert_eq!(
            types[..4],
            ["id: Int64", "name: Utf8", "od: Float64", "passed: Boolean"],
            "{codec:?}"
        );
        assert!(types[4].starts_with("run_at: Timestamp(µs, \"UTC\")"), "{types:?}");
        assert_eq!(
            column(&batch, "name"),
            ["∅", "sample 1", "sample 2", "∅", "sample 4", "sample 5", "∅"]
        );
        assert_eq!(floats(&batch, "od")[3], Some(0.75));
        assert_eq!(column(&batch, "reads")[2], "[0, 1]");
    }
    let parsed = parse("runs.avro", avro(Some(CompressionCodec::Deflate), 7)).unwrap();
    assert_eq!(parsed.taken_for, "Avro (deflate), 1 blocks, 6 columns, 7 rows");
}

#[test]
fn damaged_and_oversized_files_are_refused() {
    let good = avro(Some(CompressionCodec::Deflate), 2000);
    for cut in [5, 40, good.len() / 2, good.len() - 1] {
        let error = parse("a.avro", &good[..cut]).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "cut at {cut}: {error}");
    }
    let mut changed = good.clone();
    let last = changed.len() - 3;
    changed[last] ^= 0xff;
    assert!(matches!(parse("a.avro", changed), Err(ReadError::Damaged { .. })));
    let small = Limits {
        decompressed_bytes_max: 10_000,
        ..Limits::default()
    };
    assert!(matches!(
        read("a.avro", good.clone().into(), &small),
        Err(ReadError::TooLarge { .. })
    ));
    let few = Limits {
        rows_max: 1999,
        ..Limits::default()
    };
    assert!(matches!(
        read("a.avro", good.into(), &few),
        Err(ReadError::TooLarge { .. })
    ));
    assert!(parse("a.avro", b"Obj\x01\x00".to_vec()).is_err());
}
