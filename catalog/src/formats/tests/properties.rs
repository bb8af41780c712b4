//! Generated input: nothing panics, and what is written by the rules reads back equal.

use bytes::Bytes;
use proptest::prelude::*;

use super::{column, utf16le};
use crate::formats::{Limits, read};

fn text_cell() -> impl Strategy<Value = String> {
    // A word that no type claims, then anything that needs quoting.
    (
        "[a-zµ°]{3,8}",
        prop::sample::select(vec!["", ",", ";", "\t", "|", " x", "\"", "\"\"", "\n", "'"]),
        "[a-z]{0,3}",
    )
        .prop_map(|(a, b, c)| format!("{a}{b}{c}z"))
}

#[derive(Debug, Clone)]
struct Generated {
    rows: Vec<(i64, Option<f64>, String)>,
    delimiter: char,
    line_end: &'static str,
    encoding: u8,
    always_quote: bool,
    preamble: usize,
}

fn generated() -> impl Strategy<Value = Generated> {
    (
        prop::collection::vec(
            (
                any::<i32>().prop_map(i64::from),
                prop::option::of(-1e6..1e6f64),
                text_cell(),
            ),
            2..40,
        ),
        prop::sample::select(vec![',', ';', '\t', '|']),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        0..4u8,
        any::<bool>(),
        0..3usize,
    )
        .prop_map(
            |(rows, delimiter, line_end, encoding, always_quote, preamble)| Generated {
                rows,
                delimiter,
                line_end,
                encoding,
                always_quote,
                preamble,
            },
        )
}

fn quoted(cell: &str, delimiter: char, always: bool) -> String {
    if always || cell.contains([delimiter, '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn written(table: &Generated) -> Vec<u8> {
    let d = table.delimiter;
    let mut text = String::new();
    for at in 0..table.preamble {
        text.push_str(&format!("Key {at}: value{}", table.line_end));
    }
    let line = |cells: [String; 3]| {
        cells
            .map(|cell| quoted(&cell, d, table.always_quote))
            .join(&d.to_string())
    };
    text.push_str(&line(["number".to_owned(), "amount".to_owned(), "words".to_owned()]));
    for (number, amount, words) in &table.rows {
        text.push_str(table.line_end);
        text.push_str(&line([
            number.to_string(),
            amount.map_or(String::new(), |a| a.to_string()),
            words.clone(),
        ]));
    }
    text.push_str(table.line_end);
    match table.encoding {
        0 => text.into_bytes(),
        1 => utf16le(&text),
        2 => [b"\xef\xbb\xbf".to_vec(), text.into_bytes()].concat(),
        _ => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read("a", Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn table_like_text_never_panics(text in "[a-c0-3,;:\t|\"\\\\# \n\r.=\\[\\]{}-]{0,300}") {
        for name in ["a.csv", "a.txt", "a.json"] {
            let _ = read(name, Bytes::from(text.clone()), &Limits::default());
        }
    }

    #[test]
    fn magic_with_garbage_never_panics(magic in 0..6usize, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let start: &[u8] = [&b"PAR1"[..], b"PK\x03\x04", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\xff\xfe"][magic];
        bytes.splice(0..0, start.iter().copied());
        if magic == 0 {
            bytes.extend(b"PAR1");
        }
        let _ = read("a", Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn csv_reads_back_equal(table in generated()) {
        let parsed = read("table.txt", Bytes::from(written(&table)), &Limits::default()).unwrap();
        let batch = &parsed.blocks[0].batches[0];
        let numbers: Vec<String> = table.rows.iter().map(|(number, _, _)| number.to_string()).collect();
        prop_assert_eq!(column(batch, "number"), numbers, "{}", parsed.taken_for);
        let words: Vec<String> = table.rows.iter().map(|(_, _, words)| words.clone()).collect();
        prop_assert_eq!(column(batch, "words"), words);
        if table.rows.iter().any(|(_, amount, _)| amount.is_some_and(|amount| amount.fract() != 0.0)) {
            let amounts: Vec<Option<f64>> = table.rows.iter().map(|(_, amount, _)| *amount).collect();
            prop_assert_eq!(super::floats(batch, "amount"), amounts);
        }
    }

    #[test]
    fn json_reads_back_equal(rows in prop::collection::vec((any::<i64>(), prop::option::of("[ -~µ\n]{0,20}"), prop::collection::vec(any::<i32>(), 1..4)), 1..30), lines in any::<bool>()) {
        let values: Vec<serde_json::Value> = rows
            .iter()
            .map(|(number, text, list)| serde_json::json!({"number": number, "text": text, "list": list}))
            .collect();
        let text = if lines {
            values.iter().map(|value| format!("{value}\n")).collect()
        } else {
            serde_json::to_string_pretty(&values).unwrap()
        };
        let parsed = read("a", Bytes::from(text), &Limits::default()).unwrap();
        let batch = &parsed.blocks[0].batches[0];
        prop_assert_eq!(super::ints(batch, "number"), rows.iter().map(|(number, _, _)| Some(*number)).collect::<Vec<_>>());
        let has_text = rows.iter().any(|(_, text, _)| text.is_some());
        if has_text {
            let texts: Vec<String> = rows.iter().map(|(_, text, _)| text.clone().unwrap_or_else(|| "∅".to_owned())).collect();
            prop_assert_eq!(column(batch, "text"), texts);
        }
        let lists: Vec<String> = rows.iter().map(|(_, _, list)| format!("[{}]", list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))).collect();
        prop_assert_eq!(column(batch, "list"), lists);
    }
}
