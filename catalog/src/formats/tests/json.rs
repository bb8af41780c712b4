//! JSON and NDJSON.

use super::{ReadError, column, floats, ints, parse, schema, table, type_of};
use arrow::datatypes::DataType;

#[test]
fn records_in_all_their_forms() {
    let wanted = ["id: Int64", "y: Float64"];
    for text in [
        r#"[{"id": 1, "y": 0.5}, {"id": 2, "y": 3}]"#,
        "{\"id\": 1, \"y\": 0.5}\n{\"id\": 2, \"y\": 3}\n",
        r#"{"data": [{"id": 1, "y": 0.5}, {"id": 2, "y": 3}]}"#,
    ] {
        let batch = table("a.json", text);
        assert_eq!(schema(&batch), wanted, "{text}");
        assert_eq!(floats(&batch, "y"), [Some(0.5), Some(3.0)]);
        // The content decides, whatever the name.
        assert_eq!(table("a.csv", text), batch);
    }
    let batch = table(
        "a.json",
        r#"{"exported": "2026-03-04", "records": [{"id": 1}, {"id": 2, "exported": "x"}]}"#,
    );
    assert_eq!(
        schema(&batch),
        ["exported_of_file: Date32", "id: Int64", "exported: Utf8"]
    );
}

#[test]
fn one_experiment_is_one_row() {
    let text = r#"{"protocol_id": "E1", "run_at": "2026-03-04T09:30:00Z", "reagents": [{"name": "a", "mg": 1},
        {"name": "b", "mg": 2.5}], "setup": {"temp": 20, "stirred": true, "note": null}, "tags": ["x", "y"]}"#;
    let batch = table("e1.json", text);
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(
        type_of(&batch, "run_at"),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
    );
    assert_eq!(column(&batch, "reagents"), ["[{name: a, mg: 1.0}, {name: b, mg: 2.5}]"]);
    // A field that never has a value is left out of a struct.
    assert_eq!(column(&batch, "setup"), ["{temp: 20, stirred: true}"]);
    assert_eq!(column(&batch, "tags"), ["[x, y]"]);
}

#[test]
fn mixed_values_stay_as_written() {
    let text = r#"[{"a": 1, "b": 1, "c": 18446744073709551615, "d": 9007199254740993, "e": "007", "f": null, "g": []},
        {"a": "x", "b": {"k": [1]}, "c": 1, "d": 0.5, "e": "8", "f": null, "g": []}]"#;
    let batch = table("a.json", text);
    assert_eq!(column(&batch, "a"), ["1", "x"]);
    assert_eq!(column(&batch, "b"), ["1", "{\"k\":[1]}"]);
    assert_eq!(column(&batch, "c"), ["18446744073709551615", "1"]);
    assert_eq!(column(&batch, "d"), ["9007199254740993", "0.5"]);
    assert_eq!(column(&batch, "e"), ["007", "8"]);
    assert_eq!(type_of(&batch, "f"), DataType::Null);
    assert_eq!(type_of(&batch, "g"), DataType::Null);
    let batch = table("a.json", r#"[{"a": "2026-03-04"}, {"a": "soon"}, {}]"#);
    assert_eq!(column(&batch, "a"), ["2026-03-04", "soon", "∅"]);
    let batch = table("a.json", "[{\"n\": 3}, {}, {\"n\": null}]");
    assert_eq!(ints(&batch, "n"), [Some(3), None, None]);
}

#[test]
fn broken_json_is_refused_with_its_place() {
    for (text, why) in [
        ("[{\"a\": 1},\n {\"a\": 1, \"a\": 2}]", "stands twice"),
        ("{\"a\": nan}", "expected"),
        ("[{\"a\": 1}, {\"a\": ", "stops early"),
        ("{\"a\": 1e999}", "out of range"),
        ("{\"a\": 1}\n{\"a\": 2", "stops early"),
    ] {
        let error = parse("a.json", text).unwrap_err();
        assert!(
            matches!(&error, ReadError::Json { why: seen, .. } if seen.contains(why)),
            "{text}: {error}"
        );
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(80), "}".repeat(80));
    let error = parse("a.json", deep).unwrap_err();
    assert!(error.to_string().contains("nested deeper"), "{error}");
    let bomb = "[".repeat(1_000_000);
    assert!(parse("a.json", bomb).is_err());
    for text in ["[1, 2, 3]", "[]", "{}", "[[1,2],[3,4]]", "{\"a\":1}\n[2]"] {
        let error = parse("a.json", text).unwrap_err();
        assert!(
            matches!(error, ReadError::NotATable { .. } | ReadError::NoDataRows { .. }),
            "{text}: {error}"
        );
    }
    assert!(matches!(
        parse("a.json", "a,b\n1,2\n").unwrap_err(),
        ReadError::Json { .. }
    ));
    // A section title is no JSON.
    assert_eq!(table("a.csv", "[Results]\na,b\n1,2\n").num_rows(), 1);
}

#[test]
fn columns_and_rows_apart_with_more_around_them() {
    let table_of = r#""columns": ["well", "od"], "rows": [["A1", 0.5], ["A2", 1.5]]"#;
    for text in [
        format!("{{{table_of}}}"),
        format!(r#"{{"meta": {{"run": 7}}, {table_of}}}"#),
        format!(r#"{{"status": {{"code": 0}}, "result": {{{table_of}}}}}"#),
        r#"{"Columns": [{"id": "well", "type": "text"}, {"label": "od"}], "Data": [["A1", 0.5], ["A2", 1.5]]}"#
            .to_owned(),
    ] {
        let batch = table("a.json", text.as_str());
        assert_eq!(schema(&batch), ["well: Utf8", "od: Float64"], "{text}");
    }
    let batch = table(
        "a.json",
        format!(r#"{{"plate": "P1", "reader": {{"serial": "007"}}, "table": {{{table_of}}}}}"#),
    );
    assert_eq!(column(&batch, "reader serial"), ["007", "007"]);
    assert_eq!(
        (column(&batch, "plate")[1].as_str(), floats(&batch, "od")[1]),
        ("P1", Some(1.5))
    );
    // Rows of other widths, and lists that are members of one record.
    for text in [
        r#"{"columns": ["well", "od"], "rows": [["A1", 0.5], ["A2"]]}"#,
        r#"{"columns": ["C18", "HILIC"], "rows": 2, "data": [1, 2]}"#,
    ] {
        assert_eq!(table("a.json", text).num_rows(), 1, "{text}");
    }
}

#[test]
fn rows_of_a_plate_are_its_wells() {
    let plate = |rows: usize, columns: usize| {
        let row = |row: usize| {
            let cells: Vec<String> = (0..columns).map(|column| format!("{}.5", row * 100 + column)).collect();
            format!("[{}]", cells.join(","))
        };
        format!("[{}]", (0..rows).map(row).collect::<Vec<_>>().join(","))
    };
    let batch = table("a.json", format!(r#"{{"plate": "P1", "data": {}}}"#, plate(8, 12)));
    assert_eq!(schema(&batch), ["plate: Utf8", "well: Utf8", "value: Float64"]);
    assert_eq!(
        (column(&batch, "well")[95].as_str(), floats(&batch, "value")[95]),
        ("H12", Some(711.5))
    );
    assert_eq!(table("a.json", plate(16, 24)).num_rows(), 384);
    let two = format!(
        r#"{{"od450": {}, "od600": {}, "setup": {{"temp": 25}}}}"#,
        plate(8, 12),
        plate(8, 12)
    );
    let batch = table("a.json", two);
    assert_eq!(
        schema(&batch),
        ["setup temp: Int64", "well: Utf8", "od450: Float64", "od600: Float64"]
    );
    // Another shape is some matrix, and stays a list.
    assert_eq!(
        table("a.json", format!(r#"{{"plate": "P1", "data": {}}}"#, plate(8, 11))).num_rows(),
        1
    );
    assert!(parse("a.json", plate(12, 12)).is_err());
}

#[test]
fn a_broken_record_is_told_by_its_own_line() {
    let line = |text: &str| match parse("a.ndjson", text).unwrap_err() {
        ReadError::Json { line, why, .. } => (line, why.contains("stops early")),
        error => panic!("{error}"),
    };
    assert_eq!(line("{\"id\":1}\n{\"id\":2}\n{\"id\":\n{\"id\":4}\n"), (3, false));
    assert_eq!(line("{\"id\":1}\n{\"id\":2\n{\"id\":3}\n"), (2, false));
    // The no: what is missing at the end, and a record of several lines.
    assert_eq!(line("{\"id\":1}\n{\"id\":"), (2, true));
    assert_eq!(line("{\n\"id\": 1,\n\"v\" 2\n}\n"), (3, false));
}
