//! Files of a usual lab whose truth was known to the one who wrote them: each form stands beside one that only looks like it
//! and is read otherwise.

use std::fmt::Write as _;

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::{column, floats, ints, parse, schema, table, type_of};
use crate::formats::{Block, ReadError};

pub(super) fn whole(block: &Block) -> RecordBatch {
    concat_batches(&block.batches[0].schema(), &block.batches).unwrap()
}

/// All tables, the main one first, with their names.
pub(super) fn tables(name: &str, text: &str) -> Vec<(Option<String>, RecordBatch)> {
    let parsed = parse(name, text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let blocks = parsed.blocks.iter();
    blocks.map(|block| (block.name.clone(), whole(block))).collect()
}

fn rescued(batch: &RecordBatch) -> Vec<String> {
    match batch.column_by_name("_rescued") {
        Some(_) => column(batch, "_rescued"),
        None => Vec::new(),
    }
}

/// Wells in the order of a plate of twelve columns.
pub(super) fn well(at: usize) -> String {
    format!("{}{}", char::from(b'A' + u8::try_from(at / 12).unwrap()), at % 12 + 1)
}

pub(super) fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        writeln!(text, "{}", line(at)).unwrap();
        text
    })
}

#[test]
fn a_first_row_that_could_not_be_read_is_a_row() {
    let values = |from: usize, count: usize, key: &str| lines(count, |at| format!("{key}{},{at}.5,{at}.25", at + from));
    for (head, first, key) in [
        ("Well,OD450,OD570", "A1,OVRFLW,OVRFLW", "A"),
        ("Sample,Caffeine,Theo", "Blank,BLQ,BLQ", "S"),
        ("Sample,A,B", "S0,<LOQ,>ULOQ", "S"),
    ] {
        let batch = table("a.csv", format!("{head}\n{first}\n{}", values(2, 11, key)));
        assert_eq!(batch.num_rows(), 12, "{first}");
        assert!(
            rescued(&batch)[0].contains(first.split(',').next_back().unwrap()),
            "{first}"
        );
    }
    // A word that comes again in its column is a value, too.
    let rows = lines(10, |at| format!("T{at},mouse,{at}.5,{at}.25"));
    let batch = table(
        "a.csv",
        format!("Sample,Species,A,B\nControl,mouse,faint,faint\n{rows}"),
    );
    assert_eq!(batch.num_rows(), 11);
    // Units are none, be the key's place blank or named, and be there a word among the values.
    for units in [",ppm,ppm", "id,mg/l,[mM]", "Lab no.,ppm,ppm"] {
        let batch = table("a.csv", format!("Probe,Al,Ca\n{units}\n{}", values(0, 12, "P")));
        assert_eq!(batch.num_rows(), 12, "{units}");
    }
    let rows = lines(15, |at| match at {
        2 => "P2,2.5,uncal".to_owned(),
        _ => format!("P{at},{at}.5,{at}.25"),
    });
    let batch = table("a.csv", format!("Probe,Al,Ca\n,ppm,ppm\n{rows}"));
    assert_eq!(batch.num_rows(), 15);
    assert_eq!(rescued(&batch)[2], r#"{"Ca":"uncal"}"#);
}

#[test]
fn words_for_no_value_are_values_where_they_stand_alone() {
    let batch = table(
        "a.csv",
        lines(9, |at| {
            if at == 0 {
                "S,Analyte,V,Lot".to_owned()
            } else {
                format!("S{at},Na,{at}.5,NA")
            }
        }),
    );
    assert!(column(&batch, "Analyte").iter().all(|word| word == "Na"));
    assert_eq!(type_of(&batch, "Lot"), DataType::Null);
    let batch = table("a.csv", "S,Result,Qual\nS1,ND,-\nS2,ND,-\nS3,ND,-\n");
    assert_eq!(type_of(&batch, "Result"), DataType::Null);
    assert_eq!(rescued(&batch), [r#"{"Result":"ND"}"#; 3]);
    assert_eq!(type_of(&batch, "Qual"), DataType::Null);
    // Among numbers a result is kept; what only says that there is none is not.
    let result = |at: usize| match at % 3 {
        0 => "ND".to_owned(),
        1 => "NA".to_owned(),
        _ => format!("{at}.5"),
    };
    let batch = table(
        "a.csv",
        format!(
            "S,Result,Other\n{}",
            lines(15, |at| format!(
                "S{at},{},{}",
                result(at),
                if at == 2 { "n.a." } else { "1.5" }
            ))
        ),
    );
    assert_eq!(floats(&batch, "Result")[..3], [None, None, Some(2.5)]);
    assert_eq!(floats(&batch, "Other")[2], None);
    assert_eq!(rescued(&batch)[..3], [r#"{"Result":"ND"}"#, r#"{"Result":"NA"}"#, "∅"]);
    let parsed = parse("a.csv", "S,R\na,1\nb,ND\nc,2\n").unwrap();
    assert!(parsed.confidence.doubts().unwrap().contains("words among the numbers"));
    let batch = table("a.csv", "S,R\na,1\nb,NA\nc,2\n");
    assert_eq!(
        (ints(&batch, "R"), rescued(&batch).len()),
        (vec![Some(1), None, Some(2)], 0)
    );
}

#[test]
fn no_alone_answers_only_where_something_is_asked() {
    let rows = lines(6, |at| format!("10:0{at},NO,{at}.5,no,no"));
    let batch = table("a.csv", format!("Time,Gas,ppm,is_control,Passed?\n{rows}"));
    assert_eq!(type_of(&batch, "Gas"), DataType::Utf8);
    assert_eq!(column(&batch, "Gas")[0], "NO");
    assert_eq!(type_of(&batch, "is_control"), DataType::Boolean);
    assert_eq!(type_of(&batch, "Passed?"), DataType::Boolean);
    let batch = table("a.csv", "S,again,there\na,yes,false\nb,no,false\n");
    assert_eq!(type_of(&batch, "again"), DataType::Boolean);
    assert_eq!(type_of(&batch, "there"), DataType::Boolean);
}

#[test]
fn summaries_in_other_words_and_languages() {
    for (foot, rows) in [
        ("Summe,18\nMittelwert,3\nStandardabweichung,1.87\n", 3),
        ("Moyenne,3\nEcart-type,1.87\n", 2),
        ("Total:,18\n", 1),
        ("Totals :,18\n", 1),
        ("%RSD,62\n", 1),
        ("Media,3\nDesviación estándar,1.87\n", 2),
    ] {
        let found = tables(
            "a.csv",
            &format!("Probe,Menge\n{}{foot}", lines(6, |at| format!("P{at},{at}.5"))),
        );
        assert_eq!((found.len(), found[0].1.num_rows()), (2, 6), "{foot}");
        assert_eq!(found[1].1.num_rows(), rows, "{foot}");
    }
    let found = tables("a.csv", "Peak,Area\n1,0.5\n2,1.5\nTotal:,2\n");
    assert_eq!((found.len(), found[0].1.num_rows()), (2, 2));
    assert_eq!(table("a.csv", "Peak,Area\n1,0.5\n2,1.5\nTotal,2\n").num_rows(), 3);
    // A medium, a standard and a sample called after a sum are none.
    for last in ["Media,3.5", "Std,3.5", "Total protein,3.5"] {
        let batch = table(
            "a.csv",
            format!("Sample,V\n{}{last}\n", lines(6, |at| format!("P{at},{at}.5"))),
        );
        assert_eq!(batch.num_rows(), 7, "{last}");
    }
}

#[test]
fn groups_above_names_when_one_column_has_a_line_only() {
    let rows = lines(10, |at| {
        format!("S{at},{at}.5,{},{at}.25,{},2026-03-{:02}", 20 + at, 30 + at, at + 1)
    });
    // As sheets give it: the lower line ends where its last name stands.
    let batch = table(
        "a.csv",
        format!("Sample,Before,,After,,Date\n,Abs,Temp,Abs,Temp\n{rows}"),
    );
    assert_eq!(batch.num_rows(), 10);
    let names: Vec<String> = schema(&batch)
        .iter()
        .map(|field| field.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["Sample", "Before Abs", "Before Temp", "After Abs", "After Temp", "Date"]
    );
    // A second line of other names is one of units.
    let parsed = parse(
        "a.csv",
        format!("Sample,Before,,After,,Date\n,Abs,Temp,OD,Heat\n{rows}"),
    )
    .unwrap();
    assert_eq!(parsed.properties["Before (second header)"], "Abs");
}

#[test]
fn points_that_may_part_thousands() {
    let text = format!(
        "Lot;Menge;Preis\n{}",
        lines(9, |at| format!("L{at};{0}.234;{0}.234.567,50", at + 1))
    );
    let batch = table("a.csv", text);
    assert_eq!(type_of(&batch, "Menge"), DataType::Utf8);
    assert_eq!(floats(&batch, "Preis")[0], Some(1_234_567.5));
    let dates = |more: &str| {
        format!(
            "Datum;Menge{}\n{}",
            if more.is_empty() { "" } else { ";x" },
            lines(8, |at| format!("{}.03.2026;{}.250{more}", at + 14, at + 1))
        )
    };
    let parsed = parse("a.csv", dates("")).unwrap();
    assert_eq!(type_of(&whole(&parsed.blocks[0]), "Menge"), DataType::Utf8);
    assert!(parsed.confidence.doubts().unwrap().contains("thousands or fractions"));
    // Where another number shows the decimal point, it is one.
    assert_eq!(floats(&table("a.csv", dates(";0.5")), "Menge")[0], Some(1.25));
    assert_eq!(
        floats(
            &table(
                "a.csv",
                lines(9, |at| if at == 0 {
                    "a;b".to_owned()
                } else {
                    format!("x;{at}.250")
                })
            ),
            "b"
        )[0],
        Some(1.25)
    );
}

#[test]
fn names_that_read_as_numbers_with_exponents() {
    let text = lines(19, |at| {
        if at == 0 {
            "Plate,V,cells".to_owned()
        } else {
            format!("{at}E5,{at}.5,{at}E5")
        }
    });
    let parsed = parse("a.csv", text).unwrap();
    let batch = whole(&parsed.blocks[0]);
    assert_eq!(column(&batch, "Plate")[0], "1E5");
    assert_eq!(floats(&batch, "cells")[7], Some(8e5));
    assert!(parsed.confidence.doubts().unwrap().contains("may be names"));
    let batch = table("a.csv", "Sample,V\n1E+05,1\n2E+05,2\n");
    assert_eq!(floats(&batch, "Sample"), [Some(1e5), Some(2e5)]);
}

#[test]
fn sentences_are_no_table() {
    let text =
        "This folder holds the runs.\nPlease, do not move, rename, or delete.\nAsk Anna, room 7, for more, thanks.\n";
    assert!(matches!(parse("readme.txt", text), Err(ReadError::NotATable { .. })));
    let batch = table(
        "a.csv",
        "name, remark, by, when\nfirst, went well., Anna, Monday\nsecond, went badly., Ben, Friday\n",
    );
    assert_eq!(batch.num_rows(), 2);
}

#[test]
fn all_kinds_of_records_of_a_document_are_tables() {
    let reagents = lines(5, |at| {
        format!("<Reagent name=\"R{at}\" lot=\"{at:04}\" count=\"{at}\"/>")
    });
    let wells = lines(24, |at| format!("<Well pos=\"{}\" v=\"{at}.5\"/>", well(at)));
    let log = lines(6, |at| {
        format!("<Entry time=\"2026-03-14T10:0{at}:00\" level=\"error\">Tip lost in step {at}</Entry>")
    });
    let steps = lines(3, |at| format!("<Step>go {at}</Step>"));
    let text = format!(
        "<?xml version=\"1.0\"?><Exp><Reagents>{reagents}</Reagents><Wells>{wells}</Wells><Log>{log}</Log><Steps>{steps}</Steps></Exp>"
    );
    let parsed = parse("a.xml", text).unwrap();
    let names: Vec<Option<&str>> = parsed.blocks.iter().map(|block| block.name.as_deref()).collect();
    assert_eq!(names, [None, Some("Reagent"), Some("Entry")]);
    assert_eq!(column(&whole(&parsed.blocks[1]), "lot")[4], "0004");
    // A list of single words is said to be left.
    assert!(parsed.taken_for.contains("Step (3)"), "{}", parsed.taken_for);
    assert!(
        whole(&parsed.blocks[0])
            .column_by_name("v")
            .unwrap()
            .as_primitive_opt::<arrow::datatypes::Float64Type>()
            .is_some()
    );
}
