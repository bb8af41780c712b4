//! Workbooks read back by a reader of others' making.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use calamine::{Data, Range, Reader, Xlsx as Workbook};

use super::*;

fn read(pieces: &[Vec<u8>]) -> Range<Data> {
    let mut workbook: Workbook<_> = Workbook::new(Cursor::new(pieces.concat())).unwrap();
    assert_eq!(workbook.sheet_names(), ["Result"]);
    workbook.worksheet_range("Result").unwrap()
}

fn written(batches: &[RecordBatch], is_cut: bool) -> Range<Data> {
    let mut xlsx = Xlsx::new(&batches[0].schema()).unwrap();
    let mut pieces: Vec<Vec<u8>> = batches.iter().map(|batch| xlsx.batch(batch).unwrap()).collect();
    pieces.push(xlsx.finish(is_cut).unwrap());
    read(&pieces)
}

fn one(name: &str, values: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, values, true)]).unwrap()
}

#[test]
fn values_are_what_a_spreadsheet_calculates_with_and_nothing_is_an_empty_cell() {
    let day = |text: &str| {
        let day: chrono::NaiveDate = text.parse().unwrap();
        i32::try_from(day.signed_duration_since(chrono::NaiveDate::default()).num_days()).unwrap()
    };
    let noon: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(43_200_000_000), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(vec![Some(7), None])) as ArrayRef, true),
        (
            "x",
            Arc::new(Float64Array::from(vec![Some(-1.5e-7), None])) as ArrayRef,
            true,
        ),
        (
            "t",
            Arc::new(StringArray::from(vec![Some(" a & <b>\n"), None])) as ArrayRef,
            true,
        ),
        (
            "b",
            Arc::new(BooleanArray::from(vec![Some(true), None])) as ArrayRef,
            true,
        ),
        (
            "d",
            Arc::new(Date32Array::from(vec![Some(day("2026-11-27")), None])) as ArrayRef,
            true,
        ),
        ("at", noon, true),
    ])
    .unwrap();
    let sheet = written(&[batch.clone(), batch.slice(1, 1), batch.slice(0, 1)], false);
    let names: Vec<String> = sheet.rows().next().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["n", "x", "t", "b", "d", "at"]);
    assert_eq!(sheet.height(), 5);
    let row = sheet.rows().nth(1).unwrap();
    assert_eq!(
        (&row[0], &row[1], &row[3]),
        (&Data::Float(7.0), &Data::Float(-1.5e-7), &Data::Bool(true))
    );
    assert_eq!(row[2], Data::String(" a & <b>\n".into()));
    assert_eq!(row[4].to_string(), "46353");
    assert_eq!(row[5].to_string(), "25569.5");
    assert!(
        matches!(row[4], Data::DateTime(_)) && matches!(row[5], Data::DateTime(_)),
        "{row:?}"
    );
    assert!(sheet.rows().nth(2).unwrap().iter().all(|cell| *cell == Data::Empty));
    assert_eq!(sheet.rows().nth(4).unwrap()[0], Data::Float(7.0));
}

#[test]
fn what_a_spreadsheet_would_change_is_a_text_and_no_text_is_a_formula() {
    let text = |values: ArrayRef| {
        let sheet = written(&[one("=1+1", values)], false);
        assert_eq!(sheet.rows().next().unwrap()[0], Data::String("=1+1".into()));
        sheet.rows().skip(1).map(|row| row[0].clone()).collect::<Vec<_>>()
    };
    let string = |text: &str| Data::String(text.into());
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![
        999_999_999_999_999,
        1_234_567_890_123_456,
        -9_007_199_254_740_993,
    ]));
    assert_eq!(
        text(whole),
        [
            Data::Float(999_999_999_999_999.0),
            string("1234567890123456"),
            string("-9007199254740993")
        ]
    );
    let decimals = Decimal128Array::from(vec![1_050, 123_456_789_012_345_678])
        .with_precision_and_scale(20, 2)
        .unwrap();
    assert_eq!(
        text(Arc::new(decimals)),
        [Data::Float(10.5), string("1234567890123456.78")]
    );
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, 1e300]));
    assert_eq!(text(floats), [string("NaN"), string("inf"), Data::Float(1e300)]);
    let early: ArrayRef = Arc::new(Date32Array::from(vec![-25_600, -25_508]));
    let early = text(early);
    assert_eq!(early[0], string("1899-11-29"));
    assert_eq!(early[1].to_string(), "61");
    let evil: ArrayRef = Arc::new(StringArray::from(vec![
        "=HYPERLINK(\"http://x\")",
        "+1",
        "@SUM(A1)",
        "007",
    ]));
    assert_eq!(
        text(evil),
        ["=HYPERLINK(\"http://x\")", "+1", "@SUM(A1)", "007"].map(string)
    );
    // Letters that XML has not, and more of them than a cell holds.
    let odd: ArrayRef = Arc::new(StringArray::from(vec!["a\u{1}b".to_owned(), "é".repeat(40_000)]));
    let odd = text(odd);
    assert!(odd[0].to_string().starts_with('a') && odd[0].to_string().ends_with('b'));
    let long = odd[1].to_string();
    assert!(long.ends_with('…') && long.encode_utf16().count() == TEXT_MAX);
}

#[test]
fn columns_have_their_letters_a_cut_answer_says_so_and_too_many_columns_are_refused() {
    let at = [0, 25, 26, 701, 702, 16_383].map(letters);
    assert_eq!(at, ["A", "Z", "AA", "ZZ", "AAA", "XFD"]);
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let sheet = written(&[one("n", number)], true);
    assert_eq!(sheet.height(), 3);
    assert!(
        sheet.rows().nth(2).unwrap()[0]
            .to_string()
            .starts_with("The answer was cut")
    );
    let wide = Schema::new(
        (0..=COLUMNS_MAX)
            .map(|at| arrow::datatypes::Field::new(at.to_string(), DataType::Int64, true))
            .collect::<Vec<_>>(),
    );
    assert!(matches!(Xlsx::new(&wide), Err(QueryError::Unsupported(_))));
    // Without rows there are the names.
    let mut xlsx = Xlsx::new(&one("n", Arc::new(Int64Array::from(vec![1]))).schema()).unwrap();
    assert_eq!(read(&[xlsx.finish(false).unwrap()]).height(), 1);
}

/// More rows than a sheet has: it is full, says so, and can be read.
#[test]
fn a_full_sheet_is_whole() {
    let many = 600_000;
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..many));
    let batch = one("n", number);
    let mut xlsx = Xlsx::new(&batch.schema()).unwrap();
    let mut bytes = 0;
    for _ in 0..2 {
        bytes += xlsx.batch(&batch).unwrap().len();
    }
    assert!(xlsx.is_full && xlsx.rows == ROWS_MAX + 1);
    assert!(bytes > 1_000_000);
    xlsx.finish(false).unwrap();
    assert_eq!(xlsx.rows, ROWS_MAX + 2);
}
