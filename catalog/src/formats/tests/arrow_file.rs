//! Arrow IPC files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, StringArray, StringDictionaryBuilder};
use arrow::datatypes::Int8Type;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::record_batch::RecordBatch;

use super::{Limits, ReadError, column, floats, parse, read, schema, table};

fn arrow_file(packed: Option<CompressionType>, rows: i32) -> Vec<u8> {
    let mut kinds = StringDictionaryBuilder::<Int8Type>::new();
    (0..rows).for_each(|row| kinds.append_value(["sample", "blank"][row as usize % 2]));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef),
        ("kind", Arc::new(kinds.finish())),
        (
            "od",
            Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|row| f64::from(row) / 4.0),
            )),
        ),
        (
            "note",
            Arc::new(StringArray::from_iter(
                (0..rows).map(|row| (row % 3 == 0).then_some("x")),
            )),
        ),
    ])
    .unwrap();
    let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write_metadata("instrument", "Reader X");
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn columns_keep_their_types_packed_or_not() {
    for packed in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        let bytes = arrow_file(packed, 5);
        let batch = table("run.bin", bytes.clone());
        assert_eq!(
            schema(&batch),
            ["id: Int64", "kind: Utf8", "od: Float64", "note: Utf8"],
            "{packed:?}"
        );
        assert_eq!(column(&batch, "kind")[..2], ["sample", "blank"]);
        assert_eq!(floats(&batch, "od")[9], Some(1.0));
        let parsed = parse("run.arrow", bytes).unwrap();
        assert_eq!(parsed.taken_for, "Arrow IPC, 4 columns, 10 rows");
        assert_eq!(parsed.properties["instrument"], "Reader X");
    }
}

#[test]
fn damaged_and_oversized_files_are_refused() {
    let good = arrow_file(Some(CompressionType::ZSTD), 3000);
    for cut in [8, 100, good.len() / 2, good.len() - 1] {
        let error = parse("a.arrow", &good[..cut]).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "cut at {cut}: {error}");
    }
    // Every byte of the footer and the trailer turned over: an error or the same rows, never an end of the process.
    for at in good.len() - 400..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0xff;
        if let Ok(parsed) = parse("a.arrow", changed) {
            assert!(!parsed.blocks.is_empty());
        }
    }
    let small = Limits {
        decompressed_bytes_max: 20_000,
        ..Limits::default()
    };
    assert!(matches!(
        read("a.arrow", good.clone().into(), &small),
        Err(ReadError::TooLarge { .. })
    ));
    let few = Limits {
        rows_max: 5999,
        ..Limits::default()
    };
    assert!(matches!(
        read("a.arrow", good.into(), &few),
        Err(ReadError::TooLarge { .. })
    ));
}
