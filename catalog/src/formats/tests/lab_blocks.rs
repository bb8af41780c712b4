//! Files of a usual lab with plates and several tables, whose truth was known: see [`super::lab`].

use std::fmt::Write as _;

use arrow::record_batch::RecordBatch;

use super::lab::{lines, tables, well, whole};
use super::{column, floats, ints, parse, schema, table};

/// Column numbers, and lines of letters and values `100 row + column`, both from 0.
fn matrix(rows: std::ops::Range<u8>, columns: &[usize], behind: impl Fn(u8) -> String, heading: &str) -> String {
    let numbers: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let mut text = format!("\t{}{heading}\n", numbers.join("\t"));
    for row in rows {
        let values: Vec<String> = columns
            .iter()
            .map(|column| format!("{}.5", usize::from(row) * 100 + column - 1))
            .collect();
        writeln!(text, "{}\t{}{}", char::from(b'A' + row), values.join("\t"), behind(row)).unwrap();
    }
    text
}

fn value_of(batch: &RecordBatch, well: &str, name: &str) -> Option<f64> {
    let at = column(batch, "well").iter().position(|found| found == well)?;
    floats(batch, name)[at]
}

#[test]
fn what_was_computed_from_a_line_of_a_plate_is_no_name() {
    let all: Vec<usize> = (1..=12).collect();
    for (heading, behind) in [("\tMean", 1), ("\t\tRow mean", 2), ("\tMax\tMin", 3), ("", 1)] {
        let mean = |row: u8| match behind {
            1 => format!("\t{row}5.5"),
            2 => format!("\t\t{row}5.5"),
            _ => format!("\t{row}11\t{row}0"),
        };
        let text = format!("Plate\tP1\n{}", matrix(0..8, &all, mean, heading));
        let parsed = parse("a.txt", text.as_str()).unwrap();
        let batch = whole(&parsed.blocks[0]);
        assert_eq!(batch.num_rows(), 96, "{heading}");
        assert_eq!(value_of(&batch, "H12", "value"), Some(711.5), "{:?}", schema(&batch));
        assert!(
            parsed.properties.keys().any(|key| key.ends_with("of row H")),
            "{:?}",
            parsed.properties
        );
    }
    let letters = |row: u8| format!("\t{}", char::from(b'A' + row));
    let batch = table("a.txt", format!("Plate\tP1\n{}", matrix(0..8, &all, letters, "")));
    assert_eq!(value_of(&batch, "B1", "value"), Some(100.5), "{:?}", schema(&batch));
    // A wavelength behind every line names what was read.
    let batch = table(
        "a.txt",
        format!("Plate\tP1\n{}", matrix(0..8, &all, |_| "\t450".to_owned(), "")),
    );
    assert_eq!(value_of(&batch, "B1", "450"), Some(100.5), "{:?}", schema(&batch));
}

#[test]
fn a_part_of_a_plate_has_the_numbers_that_stand_above_it() {
    let none = |_: u8| String::new();
    let inner: Vec<usize> = (2..=11).collect();
    let text = matrix(1..7, &inner, none, "");
    for text in [text.clone(), format!("<>{text}"), format!("Plate: P7\n\n{text}")] {
        let batch = table("a.txt", text.as_str());
        assert_eq!(batch.num_rows(), 60, "{text}");
        assert_eq!(value_of(&batch, "B2", "value"), Some(101.5));
        assert_eq!(value_of(&batch, "G11", "value"), Some(610.5));
    }
    let odd = [1, 3, 5, 7, 9, 11];
    let batch = table("a.txt", format!("Plate P1\n{}", matrix(0..8, &odd, none, "")));
    assert_eq!(batch.num_rows(), 48);
    assert_eq!(value_of(&batch, "H11", "value"), Some(710.5));
    let batch = table(
        "a.txt",
        format!("Results\n\n{}", matrix(2..6, &[3, 4, 5, 6], |_| "\t600".to_owned(), "")),
    );
    assert_eq!(value_of(&batch, "F6", "600"), Some(505.5));
    // Halves of a plate are one; the same columns again are another read.
    let (left, right): (Vec<usize>, Vec<usize>) = ((1..=12).collect(), (13..=24).collect());
    let halves = format!(
        "Plate 1\n{}\n{}",
        matrix(0..16, &left, none, ""),
        matrix(0..16, &right, none, "")
    );
    let batch = table("a.txt", halves);
    assert_eq!(batch.num_rows(), 384);
    assert!(batch.column_by_name("reading").is_none(), "{:?}", schema(&batch));
    assert_eq!(value_of(&batch, "P24", "value"), Some(1523.5));
    let again = format!("Plate 1\n{0}\n{0}", matrix(1..7, &inner, none, ""));
    assert!(table("a.txt", again).column_by_name("reading").is_some());
    // Numbers above rows whose letters are no plate's are a table.
    let batch = table("a.csv", "grade,3,4,5,6\nA,1.5,2,3,4\nC,2.5,3,4,5\nE,3.5,4,5,6\n");
    assert_eq!(batch.num_rows(), 3);
    assert!(batch.column_by_name("well").is_none(), "{:?}", schema(&batch));
}

#[test]
fn titles_above_plates_side_by_side_are_their_names() {
    let numbers: Vec<String> = (1..=12).map(|at| at.to_string()).collect();
    let numbers = numbers.join("\t");
    let rows = lines(8, |row| {
        let values = |plus: usize| {
            (0..12)
                .map(|at| (plus + row * 12 + at).to_string())
                .collect::<Vec<_>>()
                .join("\t")
        };
        let letter = char::from(b'A' + u8::try_from(row).unwrap());
        format!("{letter}\t{}\t\t{letter}\t{}", values(0), values(1000))
    });
    let blank = "\t".repeat(14);
    let batch = table(
        "a.txt",
        format!("Plate A{blank}Plate B\n\t{numbers}\t\t\t{numbers}\n{rows}"),
    );
    assert_eq!(batch.num_rows(), 192);
    let names = column(&batch, "reading");
    assert_eq!(names.iter().filter(|name| *name == "Plate B").count(), 96);
    assert_eq!(names.iter().filter(|name| *name == "Plate A").count(), 96);
    // Without titles they are counted.
    let batch = table("a.txt", format!("Plates\n\t{numbers}\t\t\t{numbers}\n{rows}"));
    assert_eq!(column(&batch, "reading").iter().filter(|name| *name == "2").count(), 96);
}

#[test]
fn a_kinetic_goes_on_when_its_wells_are_saturated() {
    let wells: Vec<String> = (0..96).map(well).collect();
    let row = |at: usize, full: usize| {
        let values: Vec<String> = (0..96)
            .map(|well| {
                if at > 5 && well < full {
                    "OVRFLW".to_owned()
                } else {
                    format!("{at}.{well:02}1")
                }
            })
            .collect();
        format!("0:{at:02}:00\t37.0\t{}", values.join("\t"))
    };
    for full in [80, 96] {
        let text = format!("Time\tTemp\t{}\n{}", wells.join("\t"), lines(10, |at| row(at, full)));
        let found = tables("a.txt", &text);
        assert_eq!((found.len(), found[0].1.num_rows()), (1, 960), "{full} wells");
    }
    // Names below it are another block.
    let text = format!(
        "Time\tTemp\t{}\n{}\nStep\tKind\tAt\nfirst\tstart\t1.5\nlast\tend\t9.5\n",
        wells.join("\t"),
        lines(10, |at| row(at, 0))
    );
    assert_eq!(tables("a.txt", &text).len(), 2);
}

#[test]
fn a_table_of_two_columns_below_a_head_of_two_columns() {
    let head = "Instrument,X1\nSerial,0012\nOperator,Anna\nDate,2026-03-14\n";
    for (gap, title, key) in [
        ("\n", "Well,OD", "A"),
        ("", "Well,OD", "A"),
        ("", "Sample,OD", "Tab-"),
        ("", "Time (min),OD", ""),
    ] {
        let rows = lines(12, |at| format!("{key}{},{}.5", at + 1, at));
        let parsed = parse("a.csv", format!("{head}{gap}{title}\n{rows}")).unwrap();
        let batch = whole(&parsed.blocks[0]);
        assert_eq!(batch.num_rows(), 12, "{title} {gap:?}");
        assert_eq!(floats(&batch, "OD")[11], Some(11.5));
        assert_eq!(column(&batch, "Serial")[0], "0012");
        assert!(parsed.confidence.percent() > 90, "{:?}", parsed.confidence.doubts());
    }
    // With numbers in the head, and what sums up below.
    let rows = lines(12, |at| format!("S{at}\t{at}.5"));
    let found = tables(
        "a.txt",
        &format!("Sample\tX\nTemp\t25\nPoints\t100\n\nSample no\tMass\n{rows}\nMean\t5.6\nSD\t3.1\n"),
    );
    assert_eq!(found[0].1.num_rows(), 12);
    assert_eq!(floats(&found[1].1, "Mass"), [Some(5.6), Some(3.1)]);
    // A list of words and values is no head; nor are words between such rows names.
    let batch = table(
        "a.csv",
        "Compound,IC50\nCaffeine,0.5\nTheobromine,1.5\nother,none found\nXanthine,2.5\nUrea,3.5\nGuanine,4.5\n",
    );
    assert_eq!(batch.num_rows(), 6);
    // Two such tables are two.
    let two = format!(
        "Time,OD\n{}\nDose,Response\n{}",
        lines(9, |at| format!("{at},{at}.5")),
        lines(9, |at| format!("{},{at}.25", at * 5))
    );
    let found = tables("a.csv", &two);
    assert_eq!((found.len(), found[0].1.num_rows(), found[1].1.num_rows()), (2, 9, 9));
}

#[test]
fn a_table_of_two_columns_above_another_is_a_table() {
    let standards = lines(8, |at| format!("S{at},{at}.5"));
    let text = format!(
        "Sample,Conc\n{standards}Well,Sample,OD\n{}",
        lines(8, |at| format!("{},S{at},0.{at}", well(at)))
    );
    let found = tables("a.csv", &text);
    assert_eq!(found.len(), 2);
    assert_eq!(schema(&found[0].1), ["Well: Utf8", "Sample: Utf8", "OD: Float64"]);
    assert_eq!(floats(&found[1].1, "Conc")[7], Some(7.5));
    // Of wells above a plate it says what was in them.
    let all: Vec<usize> = (1..=12).collect();
    let samples = lines(96, |at| format!("{}\tS{at}", well(at)));
    let batch = table(
        "a.txt",
        format!("Well\tSample\n{samples}\n{}", matrix(0..8, &all, |_| String::new(), "")),
    );
    assert_eq!(
        (batch.num_rows(), column(&batch, "Sample")[95].as_str()),
        (96, "S95"),
        "{:?}",
        schema(&batch)
    );
    assert_eq!(value_of(&batch, "H12", "value"), Some(711.5));
    // Keys and values above a plate hold for all of its wells.
    let batch = table(
        "a.txt",
        format!(
            "Reader\tX\nGain\t80\nFlashes\t25\n\n{}",
            matrix(0..8, &all, |_| String::new(), "")
        ),
    );
    assert_eq!((batch.num_rows(), column(&batch, "Gain")[95].as_str()), (96, "80"));
}

#[test]
fn a_number_sign_is_a_name() {
    let block = |title: &str, by: usize| {
        format!(
            "{title}\n\n\t#\tName\tArea\n{}\n",
            lines(5, |at| format!("{0}\t{0}\tRun{0}\t{1}", at + 1, (at + 1) * by))
        )
    };
    let batch = table(
        "a.txt",
        format!(
            "Report\n\n{}{}",
            block("Compound 1:  Caf", 10),
            block("Compound 2:  Theo", 20)
        ),
    );
    assert_eq!(batch.num_rows(), 10);
    assert_eq!(ints(&batch, "Area").iter().flatten().sum::<i64>(), 450);
    assert_eq!(ints(&batch, "#")[9], Some(5));
    // Before a key it is a comment.
    let parsed = parse("a.csv", "#,made by,X\nid,value,more\n1,0.5,2\n2,0.6,3\n").unwrap();
    assert_eq!(whole(&parsed.blocks[0]).num_rows(), 2);
}

#[test]
fn rows_and_columns_that_are_called_so_are_a_plate() {
    let plate = |row: &dyn Fn(char) -> String, column: &dyn Fn(usize) -> String| {
        let head: Vec<String> = (1..=12).map(column).collect();
        let rows = lines(8, |at| {
            let values: Vec<String> = (0..12).map(|column| format!("{}.5", at * 100 + column)).collect();
            format!(
                "{},{}",
                row(char::from(b'A' + u8::try_from(at).unwrap())),
                values.join(",")
            )
        });
        table("a.csv", format!(",{}\n{rows}", head.join(",")))
    };
    let number = |column: usize| column.to_string();
    let letter = |letter: char| letter.to_string();
    for batch in [
        plate(&|letter| format!("Row {letter}"), &number),
        plate(&|letter| format!("{letter}:"), &number),
        plate(&letter, &|column| format!("Col {column}")),
        plate(&|letter| format!("row {letter}"), &|column| {
            format!("Column{column:02}")
        }),
    ] {
        assert_eq!(batch.num_rows(), 96, "{:?}", schema(&batch));
        assert_eq!(value_of(&batch, "H12", "value"), Some(711.5));
    }
    // Other things that are counted, and other words before letters.
    for batch in [
        plate(&letter, &|column| format!("Coll {column}")),
        plate(&letter, &|column| format!("Day {column}")),
        plate(&|letter| format!("Group {letter}"), &|column| format!("Col {column}")),
    ] {
        assert_eq!(batch.num_rows(), 8, "{:?}", schema(&batch));
    }
}
