//! Zip archives and nested JSON documents.

use std::io::Write;

use super::excel::zip;
use super::{ReadError, column, floats, parse, schema};

#[test]
fn files_of_one_shape_are_one_table() {
    let bytes = zip(&[
        ("runs/P1.csv", "well,od\nA1,0.25\nA2,0.5\n"),
        ("runs/P2.csv", "well,od\nA1,0.75\nA2,1.5\n"),
        ("lots.csv", "lot,grams\nl1,1.5\nl2,2.5\n"),
        ("report.pdf", "%PDF-1.7 ..."),
        ("__MACOSX/runs/._P1.csv", "junk"),
    ]);
    let parsed = parse("day.zip", bytes).unwrap();
    assert_eq!(parsed.blocks.len(), 2, "{}", parsed.taken_for);
    let main =
        arrow::compute::concat_batches(&parsed.blocks[0].batches[0].schema(), &parsed.blocks[0].batches).unwrap();
    assert_eq!(schema(&main), ["archive_file: Utf8", "well: Utf8", "od: Float64"]);
    assert_eq!(floats(&main, "od"), [Some(0.25), Some(0.5), Some(0.75), Some(1.5)]);
    assert_eq!(column(&main, "archive_file")[2], "runs/P2.csv");
    assert_eq!(parsed.blocks[1].name.as_deref(), Some("lots"));
    assert!(
        parsed.taken_for.contains("left out: report.pdf"),
        "{}",
        parsed.taken_for
    );
}

#[test]
fn types_that_go_together_are_one_table_whichever_file_is_first() {
    for (first, second) in [("1\nA2,2", "0.5\nA2,1.5"), ("0.5\nA2,1.5", "1\nA2,2")] {
        let bytes = zip(&[
            ("P1.csv", &format!("well,od\nA1,{first}\n")),
            ("P2.csv", &format!("well,od\nA1,{second}\n")),
            (
                "README.txt",
                "Plates of Tuesday, read twice.\nThe lamp was changed before.\n",
            ),
        ]);
        let parsed = parse("day.zip", bytes).unwrap();
        assert_eq!(parsed.blocks.len(), 1, "{}", parsed.taken_for);
        let main =
            arrow::compute::concat_batches(&parsed.blocks[0].batches[0].schema(), &parsed.blocks[0].batches).unwrap();
        assert_eq!(schema(&main), ["archive_file: Utf8", "well: Utf8", "od: Float64"]);
        assert_eq!(main.num_rows(), 4);
        assert!(
            parsed.taken_for.contains("left out: README.txt"),
            "{}",
            parsed.taken_for
        );
    }
    // Words where numbers were are another table.
    let bytes = zip(&[
        ("P1.csv", "well,od\nA1,0.5\nA2,1.5\n"),
        ("P2.csv", "well,od\nA1,high\nA2,low\n"),
    ]);
    assert_eq!(parse("day.zip", bytes).unwrap().blocks.len(), 2);
    let bytes = zip(&[
        ("P1.csv", "well,od\nA1,0.5\n"),
        (
            "P2.csv",
            "Plates of Tuesday, read twice.\nThe lamp was changed before.\n",
        ),
    ]);
    // The same words under the name of data are read, or refused: never left out.
    assert!(parse("day.zip", bytes).is_ok_and(|parsed| !parsed.taken_for.contains("left out")));
}

#[test]
fn archives_that_hide_something_are_refused() {
    let error = parse("a.zip", zip(&[("a.csv", "a,b\n1,2\n"), ("b.csv", "a,b\n1,\"2\n")])).unwrap_err();
    assert!(
        matches!(&error, ReadError::InArchive { name, .. } if name == "b.csv"),
        "{error}"
    );
    let error = parse("a.zip", zip(&[("../../etc/a.csv", "a,b\n1,2\n")])).unwrap_err();
    assert!(
        matches!(&error, ReadError::Unsupported { seen } if seen.contains("leads out")),
        "{error}"
    );
    let error = parse("a.zip", zip(&[("report.pdf", "%PDF-1.7 ...")])).unwrap_err();
    assert!(matches!(error, ReadError::NoDataRows { .. }), "{error}");
    let inner = zip(&[("a.csv", "a,b\n1,2\n")]);
    let inner = String::from_utf8(inner.iter().map(|byte| byte & 0x7f).collect()).unwrap();
    assert!(parse("a.zip", zip(&[("inner.zip", &inner)])).is_err());
}

#[test]
fn bombs_are_refused_before_they_unfold() {
    let zeros = vec![b'0'; 64 << 20];
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&zeros).unwrap();
    let packed = packed.finish().unwrap();
    let mut bytes = Vec::new();
    let name = b"a.csv";
    let sizes = |bytes: &mut Vec<u8>| {
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        // The header lies about what is inside.
        bytes.extend(10u32.to_le_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    };
    bytes.extend(b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0");
    sizes(&mut bytes);
    bytes.extend(0u16.to_le_bytes());
    bytes.extend(name);
    bytes.extend(&packed);
    let directory = bytes.len();
    bytes.extend(b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0");
    sizes(&mut bytes);
    bytes.extend([0u8; 12]);
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(name);
    let length = bytes.len() - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(directory).unwrap().to_le_bytes());
    bytes.extend(0u16.to_le_bytes());
    let error = parse("a.zip", bytes).unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
}

#[test]
fn nested_documents_give_their_measurements() {
    let measurement = |well: &str, value: f64| {
        format!(
            r#"{{"measurement identifier": "m-{well}", "sample document": {{"location identifier": "{well}", "sample identifier": "s-{well}"}},
                "absorbance": {{"value": {value}, "unit": "mAU"}}}}"#
        )
    };
    let text = format!(
        r#"{{"$asm.manifest": "http://purl.allotrope.org/plate-reader",
            "plate reader aggregate document": {{
              "device system document": {{"device identifier": "D1"}},
              "plate reader document": [
                {{"analyst": "Sam", "measurement aggregate document": {{"container type": "well plate", "measurement document": [{}]}}}},
                {{"analyst": "Ana", "measurement aggregate document": {{"container type": "well plate", "measurement document": [{}]}}}}]}}}}"#,
        measurement("A1", 0.25),
        measurement("A2", 0.5)
    );
    let parsed = parse("a.json", text).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(main.num_rows(), 2, "{}", parsed.taken_for);
    assert_eq!(column(main, "sample document location identifier"), ["A1", "A2"]);
    assert_eq!(floats(main, "absorbance"), [Some(0.25), Some(0.5)]);
    assert_eq!(column(main, "absorbance unit"), ["mAU", "mAU"]);
    assert_eq!(column(main, "analyst"), ["Sam", "Ana"]);
    assert_eq!(column(main, "device system document device identifier"), ["D1", "D1"]);
    // The no: an experiment with its reagents is one record.
    let text = r#"{"id": "E1", "title": "t", "chemist": "Sam", "reagents": [{"name": "a", "mg": 1.5}, {"name": "b", "mg": 2}]}"#;
    assert_eq!(parse("a.json", text).unwrap().blocks[0].batches[0].num_rows(), 1);
}

#[test]
fn a_name_means_one_place_in_all_records() {
    let text = r#"{"run": {"plates": [
      {"plate": "P1", "name": "Plate one", "wells": [
        {"well": "A1", "name": "DMSO", "od": 0.1},
        {"well": "A2", "od": 0.2, "excitation": {"filter": {"wavelength": 450}}},
        {"well": "A3", "od": 0.3, "emission": {"filter": {"wavelength": 520}}}]}]}}"#;
    let parsed = parse("a.json", text).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(column(main, "name"), ["DMSO", "∅", "∅"], "{:?}", schema(main));
    assert_eq!(column(main, "plates name"), ["Plate one", "Plate one", "Plate one"]);
    assert_eq!(column(main, "filter wavelength"), ["∅", "450", "∅"]);
    assert_eq!(column(main, "emission filter wavelength"), ["∅", "∅", "520"]);
}
