//! What an administrator pinned, and how sure a reading is without.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use super::{column, floats, parse, schema};
use crate::formats::{DateOrder, Decimal, Limits, Parsed, Pinned, PinnedType, ReadError, read};

fn with(pinned: Pinned, name: &str, text: &str) -> Result<Parsed, ReadError> {
    let limits = Limits {
        pinned,
        ..Limits::default()
    };
    read(name, Bytes::from(text.to_owned()), &limits)
}

fn one(pinned: Pinned, text: &str) -> RecordBatch {
    let parsed = with(pinned, "a.csv", text).unwrap();
    assert_eq!(parsed.blocks.len(), 1, "{}", parsed.taken_for);
    parsed.blocks[0].batches[0].clone()
}

fn refused(pinned: Pinned, text: &str) -> String {
    let error = with(pinned, "a.csv", text).unwrap_err();
    assert!(matches!(error, ReadError::Pinned { .. }), "{error}");
    error.to_string()
}

fn types(pairs: &[(&str, PinnedType)]) -> Pinned {
    Pinned {
        types: pairs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        ..Pinned::default()
    }
}

#[test]
fn the_delimiter() {
    let bar = || Pinned {
        delimiter: Some('|'),
        ..Pinned::default()
    };
    let text = "a,b|c,d\n1,5|2,5\n3,5|4,5\n";
    assert_eq!(schema(&one(bar(), text)), ["a,b: Float64", "c,d: Float64"]);
    assert_eq!(schema(&one(Pinned::default(), text)).len(), 3);
    assert!(refused(bar(), "a,b\n1,2\n").contains("'|'"));
    let spaces = Pinned {
        delimiter: Some(' '),
        ..Pinned::default()
    };
    assert_eq!(
        schema(&one(spaces, "x  y z\n1 2   a\n3 4 b\n")),
        ["x: Int64", "y: Int64", "z: Utf8"]
    );
}

#[test]
fn header_and_skipped_lines() {
    let text = "made by X\na,b,c\n1,x,2\nname,value,unit\nn1,5,mg\nn2,7,mg\n";
    let header = |row: u64| Pinned {
        header_row: Some(row),
        ..Pinned::default()
    };
    assert_eq!(
        schema(&one(header(4), text)),
        ["name: Utf8", "value: Int64", "unit: Utf8"]
    );
    let batch = one(header(0), "a,b\nc,d\n");
    assert_eq!(
        (batch.num_rows(), schema(&batch)),
        (2, vec!["column_1: Utf8".to_owned(), "column_2: Utf8".to_owned()])
    );
    assert!(refused(header(9), text).contains("line 9"));
    let skip = Pinned {
        skip_lines: 3,
        ..Pinned::default()
    };
    let parsed = with(skip, "a.csv", text).unwrap();
    assert_eq!(parsed.blocks[0].batches[0].num_rows(), 2);
    assert_eq!(parsed.blocks[0].first_row, 5, "lines keep their numbers");
    // An open quote in what is skipped does no harm.
    let quoted = Pinned {
        skip_lines: 1,
        ..Pinned::default()
    };
    assert_eq!(one(quoted, "\"5 inch plate\na,b\n1,2\n3,4\n").num_rows(), 2);
}

#[test]
fn footers_comments_and_quotes() {
    let text = "% made by hand\na;b\n'1;5';x\n% a break\n'2;5';y\nEnd of data;checked\nby ben;today\n\n";
    let pinned = Pinned {
        skip_footer: 2,
        comment: Some('%'),
        quote: Some('\''),
        ..Pinned::default()
    };
    let parsed = with(pinned.clone(), "a.csv", text).unwrap();
    let batch = &parsed.blocks[0].batches[0];
    assert_eq!(column(batch, "a"), ["1;5", "2;5"]);
    assert_eq!(column(batch, "b"), ["x", "y"]);
    assert_eq!(parsed.blocks[0].first_row, 3, "lines keep their numbers");
    // More than the file has leave nothing of it.
    let all = Pinned {
        skip_footer: 99,
        ..pinned
    };
    assert!(with(all, "a.csv", text).is_err());
}

#[test]
fn decimals_and_dates() {
    let decimal = |decimal: Decimal| Pinned {
        decimal: Some(decimal),
        ..Pinned::default()
    };
    // Nothing in the file says which.
    let text = "id;x\na;1.234\nb;2.345\n";
    assert_eq!(
        floats(&one(decimal(Decimal::Point), text), "x"),
        [Some(1.234), Some(2.345)]
    );
    assert_eq!(
        floats(&one(decimal(Decimal::Comma), text), "x"),
        [Some(1234.0), Some(2345.0)]
    );
    let comma = "id,x\na,\"1,5\"\nb,\"2,25\"\n";
    assert_eq!(
        floats(&one(decimal(Decimal::Comma), comma), "x"),
        [Some(1.5), Some(2.25)]
    );
    assert_eq!(
        schema(&one(decimal(Decimal::Point), "id;x\na;1,5\nb;2,25\n"))[1],
        "x: Utf8"
    );
    let order = |order: DateOrder| Pinned {
        date_order: Some(order),
        ..Pinned::default()
    };
    let dates = "id,at\na,03/04/2026\nb,05/06/2026\n";
    assert_eq!(
        column(&one(order(DateOrder::Dmy), dates), "at"),
        ["2026-04-03", "2026-06-05"]
    );
    assert_eq!(
        column(&one(order(DateOrder::Mdy), dates), "at"),
        ["2026-03-04", "2026-05-06"]
    );
    assert_eq!(schema(&one(Pinned::default(), dates))[1], "at: Utf8");
    // A file that says otherwise is not bent.
    // Points and years of two digits may be versions as well, so somebody has to say it.
    let short = "id,at\na,04.03.26\nb,14.03.26\n";
    assert_eq!(column(&one(order(DateOrder::Dmy), short), "at")[0], "2026-03-04");
    let open = one(Pinned::default(), short);
    assert_eq!(column(&open, "at")[0], "04.03.26");
    assert_eq!(
        schema(&one(order(DateOrder::Dmy), "id,at\na,03/25/2026\nb,05/26/2026\n"))[1],
        "at: Utf8"
    );
    assert_eq!(
        column(&one(order(DateOrder::Dmy), "id,at\na,2026-03-04\nb,2026-03-05\n"), "at")[0],
        "2026-03-04"
    );
}

#[test]
fn types_of_columns() {
    let text = "Lot No,value,ok\n12,1.5,1\n13,>2,0\n";
    let batch = one(
        types(&[("lot_no", PinnedType::Text), ("value", PinnedType::Number)]),
        text,
    );
    assert_eq!(
        schema(&batch),
        ["Lot No: Utf8", "value: Float64", "ok: Int64", "_rescued: Utf8"]
    );
    assert_eq!(column(&batch, "_rescued")[1], "{\"value\":\">2\"}");
    let error = refused(types(&[("value", PinnedType::Integer)]), text);
    assert!(
        error.contains("\"value\"") && error.contains("row 1") && error.contains("1.5"),
        "{error}"
    );
    let error = refused(
        types(&[("lot_no", PinnedType::Date)]),
        "lot no,b\n03/04/2026,1\n04/05/2026,2\n",
    );
    assert!(error.contains("date_order"), "{error}");
    let batch = one(
        types(&[("at", PinnedType::Timestamp)]),
        "at,b\n2026-03-04,1\n2026-03-05,2\n",
    );
    assert!(schema(&batch)[0].starts_with("at: Timestamp"));
    let error = refused(
        types(&[("at", PinnedType::Date)]),
        "at,b\n2026-03-04 09:30,1\n2026-03-05 10:00,2\n",
    );
    assert!(error.contains("09:30"), "{error}");
    // A column that is not there is told.
    let parsed = with(types(&[("lto", PinnedType::Text)]), "a.csv", text).unwrap();
    assert!(parsed.confidence.doubts().unwrap().contains("\"lto\""));
}

#[test]
fn the_encoding() {
    let bytes = b"name,x\nM\x81ller,1\n".to_vec();
    let limits = Limits {
        pinned: Pinned {
            encoding: Some("ibm866".to_owned()),
            ..Pinned::default()
        },
        ..Limits::default()
    };
    let parsed = read("a.csv", bytes.into(), &limits).unwrap();
    assert_eq!(column(&parsed.blocks[0].batches[0], "name"), ["MБller"]);
}

#[test]
fn a_reading_says_how_sure_it_is() {
    let sure = |text: &str| {
        let parsed = parse("a.csv", text).unwrap();
        (parsed.confidence.percent(), parsed.confidence.doubts())
    };
    assert_eq!(sure("name,x\na,1.5\nb,2.5\n"), (100, None));
    let (words, why) = sure("name,colour\na,red\nb,blue\n");
    assert_eq!((words, why.unwrap().contains("nothing but its place")), (85, true));
    let (headless, _) = sure("1,2.5\n3,4.5\n");
    assert_eq!(headless, 80);
    let (short, _) = sure("a,b,c\n1,2,3\n4,5\n6,7,8\n9,1,2\n");
    assert!(short < 100 && short > 80, "{short}");
    let (rival, why) = sure("a,b|c,d\n1,5|3,5\n2,5|4,5\n");
    assert!(
        rival < 100 && why.as_ref().unwrap().contains("would part it"),
        "{rival} {why:?}"
    );
    let (ambiguous, _) = sure("id,at\n1,03/04/2026\n2,05/06/2026\n");
    assert_eq!(ambiguous, 95);
    assert_eq!(parse("a.json", "[{\"a\": 1}]").unwrap().confidence.percent(), 100);
    let latin = parse("a.csv", b"name,x\ncaf\xe9,1.5\nth\xe9,2.5\n".to_vec()).unwrap();
    assert_eq!(latin.confidence.percent(), 90);
}

#[test]
fn a_file_that_counts_itself_is_believed() {
    let records = |said: usize| format!("Instrument: X1\nNumber of records: {said}\n\nname,x,y\na,1.5,2\nb,2.5,3\n");
    assert!(parse("a.csv", records(2)).is_ok());
    let error = parse("a.csv", records(3)).unwrap_err();
    assert!(matches!(error, ReadError::Miscounted { .. }), "{error}");
    assert!(
        error.to_string().contains("3") && error.to_string().contains("2 rows"),
        "{error}"
    );
    let samples = |said: usize| format!("Instrument: X1\nSamples: {said}\n\nname,x,y\na,1.5,2\nb,2.5,3\na,3.5,3\n");
    assert_eq!(parse("a.csv", samples(2)).unwrap().confidence.doubts(), None);
    let parsed = parse("a.csv", samples(5)).unwrap();
    assert!(parsed.confidence.percent() <= 40, "{:?}", parsed.confidence);
    assert_eq!(
        parsed.properties,
        BTreeMap::from([
            ("Instrument".to_owned(), "X1".to_owned()),
            ("Samples".to_owned(), "5".to_owned()),
        ])
    );
}
