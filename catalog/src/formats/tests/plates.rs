//! Plate layouts.

use std::fmt::Write as _;

use super::{ReadError, column, floats, ints, parse, schema, table, type_of, utf16le};
use arrow::datatypes::DataType;

fn letter(row: usize) -> String {
    let small = char::from(b'A' + u8::try_from(row % 26).unwrap());
    if row < 26 {
        small.to_string()
    } else {
        format!("A{small}")
    }
}

/// A matrix whose value in row r (from 0) and column c (from 1) is 100 r + c + ½.
fn matrix(columns: usize, rows: usize, delimiter: &str) -> String {
    let mut text = String::new();
    for column in 1..=columns {
        write!(text, "{delimiter}{column}").unwrap();
    }
    text.push_str("\r\n");
    for row in 0..rows {
        text.push_str(&letter(row));
        for column in 1..=columns {
            write!(text, "{delimiter}{}.5", 100 * row + column).unwrap();
        }
        text.push_str("\r\n");
    }
    text
}

#[test]
fn the_vendor_file_of_the_demo() {
    let head = "Plate ID:\tP0001\r\nRun at:\t2026-03-04T09:30:00\r\nMeasurement:\tyield_pct\r\n\r\n";
    let bytes = utf16le(&format!("{head}{}", matrix(24, 16, "\t")));
    let parsed = parse("P0001.txt", bytes.clone()).unwrap();
    let batch = table("P0001.txt", bytes);
    assert_eq!(
        schema(&batch),
        [
            "Plate ID: Utf8",
            "Run at: Timestamp(µs)",
            "well: Utf8",
            "row: Utf8",
            "column: Int64",
            "yield_pct: Float64"
        ]
    );
    assert_eq!(batch.num_rows(), 384);
    assert!(column(&batch, "Plate ID").iter().all(|plate| plate == "P0001"));
    assert_eq!(column(&batch, "Run at")[383], "2026-03-04T09:30:00");
    assert_eq!(column(&batch, "well")[25], "B2");
    assert_eq!(floats(&batch, "yield_pct")[25], Some(102.5));
    assert_eq!(column(&batch, "row")[383], "P");
    assert_eq!(ints(&batch, "column")[383], Some(24));
    assert_eq!(parsed.properties["Plate ID"], "P0001");
    assert!(parsed.taken_for.contains("UTF-16LE"), "{}", parsed.taken_for);
}

#[test]
fn all_sizes_and_titles() {
    for (columns, rows) in [(12, 8), (24, 16), (48, 32)] {
        let batch = table("a.csv", format!("Yield\n\n{}", matrix(columns, rows, ",")));
        assert_eq!(batch.num_rows(), columns * rows);
        assert_eq!(floats(&batch, "Yield")[columns], Some(101.5));
        assert_eq!(
            column(&batch, "well").last().unwrap(),
            &format!("{}{columns}", letter(rows - 1))
        );
    }
    let batch = table("a.csv", matrix(12, 8, ","));
    assert_eq!(
        schema(&batch),
        ["well: Utf8", "row: Utf8", "column: Int64", "value: Float64"]
    );
}

#[test]
fn several_plates_and_readings() {
    let text = format!("Readout: od\nPlate 1\n{m}\nPlate 2\n{m}", m = matrix(12, 8, ","));
    let batch = table("a.csv", text);
    assert_eq!(
        schema(&batch),
        ["plate: Utf8", "well: Utf8", "row: Utf8", "column: Int64", "od: Float64"]
    );
    assert_eq!(batch.num_rows(), 192);
    assert_eq!(column(&batch, "plate")[0], "Plate 1");
    assert_eq!(column(&batch, "plate")[96], "Plate 2");

    let text = format!(
        "Run at: 2026-03-04\n450 nm\n{m}\n620 nm\n{m}",
        m = matrix(12, 8, ";").replace('.', ",")
    );
    let batch = table("a.csv", text);
    assert_eq!(column(&batch, "reading")[96], "620 nm");
    assert_eq!(type_of(&batch, "Run at"), DataType::Date32);
    assert_eq!(floats(&batch, "value")[0], Some(1.5));

    // A key of the second plate replaces the first's.
    let text = format!("Plate ID: P1\n{m}\nPlate ID: P2\n{m}", m = matrix(12, 8, "\t"));
    let batch = table("a.txt", text);
    assert_eq!(column(&batch, "Plate ID")[95], "P1");
    assert_eq!(column(&batch, "Plate ID")[96], "P2");
}

#[test]
fn empty_and_odd_wells() {
    let text = matrix(12, 8, ",").replace(",101.5", ",").replace(",102.5", ",NaN");
    let batch = table("a.csv", text);
    assert_eq!(floats(&batch, "value")[12], None);
    assert_eq!(floats(&batch, "value")[13], None);
    let whole = table("a.csv", matrix(12, 8, ",").replace(".5", ""));
    assert_eq!(floats(&whole, "value")[0], Some(1.0));
    let batch = table("a.csv", matrix(12, 8, ",").replace(",101.5", ",OVRFLW"));
    assert_eq!(type_of(&batch, "value"), DataType::Float64);
    assert_eq!(floats(&batch, "value")[12], None);
    assert_eq!(column(&batch, "_rescued")[12], r#"{"value":"OVRFLW"}"#);
    assert_eq!(column(&batch, "_rescued")[13], "∅");
}

#[test]
fn incomplete_layouts_are_refused_and_crowded_ones_parted() {
    let whole = matrix(12, 8, ",");
    let cut = whole.split_inclusive('\n').take(6).collect::<String>();
    let error = parse("a.csv", cut).unwrap_err();
    assert!(
        matches!(&error, ReadError::NotATable { seen } if seen.contains("ends with the file after 5 rows")),
        "{error}"
    );
    // Another table below is a block of its own.
    let crowded = format!("{whole}\nWell,Sample,Dose,Unit\nA1,x,1,mg\nA2,y,2,mg\n");
    let parsed = parse("a.csv", crowded).unwrap();
    assert_eq!(parsed.blocks.len(), 2, "{}", parsed.taken_for);
    assert_eq!(parsed.blocks[1].name.as_deref(), Some("Well"));
    // Groups and replicates are no plate, unless the file says so.
    let groups = "group,1,2,3\nA,1.5,2.5,3.5\nB,4.5,5.5,6.5\n";
    assert_eq!(table("a.csv", groups).num_rows(), 2);
    assert_eq!(table("a.csv", format!("Plate type: 6 wells\n{groups}")).num_rows(), 6);
    // Months are no plate.
    let text = "year,1,2,3,4,5,6,7,8,9,10,11,12\n2024,1,2,3,4,5,6,7,8,9,10,11,12\n2025,1,2,3,4,5,6,7,8,9,10,11,12\n";
    assert_eq!(table("a.csv", text).num_rows(), 2);
}
