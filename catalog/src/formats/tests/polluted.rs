//! One table polluted in sixteen ways with four delimiters: whether the delimiter and the exact names of the columns are
//! found. In the spirit of the Pollock benchmark and of CleverCSV's set; all cases are made here.

use super::{parse, utf16le};
use crate::formats::split::Delimiter;
use crate::formats::{Limits, dialect};

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
const NAMES: [&str; 5] = ["run", "operator", "started", "yield (%)", "remark"];
/// Shares to reach, of 100.
const DELIMITERS_MIN: usize = 95;
const NAMES_MIN: usize = 85;

/// The ways.
const WAYS: [&str; 16] = [
    "clean",
    "all quoted",
    "spaces around",
    "preamble of text",
    "preamble of keys",
    "footer",
    "two lines of names",
    "short rows",
    "trailing delimiters",
    "empty lines between",
    "header again",
    "quotes inside",
    "other delimiters inside",
    "lines inside",
    "carriage returns",
    "UTF-16",
];

fn rows() -> Vec<[String; 5]> {
    (1..=12)
        .map(|at| {
            [
                format!("R{at:03}"),
                ["Ada", "Sam", "Dee"][at % 3].to_owned(),
                format!("2026-03-{:02} 09:{:02}:00", at, at * 4),
                format!("{}.{}", 40 + at * 3, at % 10),
                ["ok", "", "cloudy, warm", "a; b", "x|y"][at % 5].to_owned(),
            ]
        })
        .collect()
}

fn quoted(cell: &str, delimiter: char, always: bool) -> String {
    if always || cell.contains([delimiter, '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn polluted(way: &str, delimiter: char) -> Vec<u8> {
    let separator = if way == "spaces around" {
        format!(" {delimiter} ")
    } else {
        delimiter.to_string()
    };
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| quoted(cell, delimiter, way == "all quoted"))
            .collect();
        cells.join(&separator)
            + if way == "trailing delimiters" {
                separator.as_str()
            } else {
                ""
            }
            + "\n"
    };
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut text = match way {
        "preamble of text" => "Export of the runs of March\nall values as measured\n\n".to_owned(),
        "preamble of keys" => format!("Instrument{delimiter}HPLC 7\nSerial number: X-17\nOperator: all\n\n"),
        _ => String::new(),
    };
    text += &line(&names);
    if way == "two lines of names" {
        text += &line(&["", "", "UTC", "of theory", ""].map(str::to_owned));
    }
    for (at, row) in rows().into_iter().enumerate() {
        let mut row = row.to_vec();
        match way {
            "short rows" if at % 5 == 2 => row.truncate(4),
            "quotes inside" if at % 3 == 0 => row[4] = "the \"good\" lot".to_owned(),
            "other delimiters inside" => row[4] = "a, b; c | d".to_owned(),
            "lines inside" if at % 4 == 1 => row[4] = "first\nsecond".to_owned(),
            "header again" if at == 6 => text += &line(&names),
            "empty lines between" if at % 4 == 3 => text.push('\n'),
            _ => {}
        }
        text += &line(&row);
    }
    if way == "footer" {
        text += "\nEnd of the export\n";
    }
    match way {
        "carriage returns" => text.replace('\n', "\r").into_bytes(),
        "UTF-16" => utf16le(&text),
        _ => text.into_bytes(),
    }
}

#[test]
fn delimiters_and_names_of_a_table_polluted_in_many_ways() {
    let (mut delimiters, mut names, mut count) = (0, 0, 0);
    for way in WAYS {
        for delimiter in DELIMITERS {
            count += 1;
            let bytes = polluted(way, delimiter);
            let text = crate::formats::text::decode(&bytes, None).unwrap().text;
            let found = dialect::choose("data.txt", &text, &Limits::default()).dialect.delimiter;
            let right = found == Delimiter::Char(delimiter);
            let read = match parse("data.txt", bytes) {
                Ok(parsed) => {
                    let fields = parsed.blocks[0].batches[0].schema();
                    fields.fields().iter().map(|field| field.name().clone()).collect()
                }
                Err(error) => vec![error.to_string()],
            };
            // Keys of the head stand behind the columns of the table.
            let named = read.iter().take(NAMES.len()).eq(NAMES.iter())
                && (read.len() == NAMES.len() || way == "preamble of keys");
            delimiters += usize::from(right);
            names += usize::from(named);
            if !right || !named {
                println!("{way} {delimiter:?}: {found:?}, {read:?}");
            }
        }
    }
    println!(
        "of {count}: delimiter right {delimiters} ({} %), names right {names} ({} %)",
        delimiters * 100 / count,
        names * 100 / count
    );
    assert!(delimiters * 100 >= DELIMITERS_MIN * count, "{delimiters} of {count}");
    assert!(names * 100 >= NAMES_MIN * count, "{names} of {count}");
}
