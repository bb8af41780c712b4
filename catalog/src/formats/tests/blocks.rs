//! Files of several blocks. The layouts are those of real readers; the texts are made here.

use std::fmt::Write as _;

use super::{ReadError, column, floats, ints, parse, schema, type_of, utf16le};
use crate::formats::{Block, Parsed};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

fn whole(block: &Block) -> RecordBatch {
    arrow::compute::concat_batches(&block.batches[0].schema(), &block.batches).unwrap()
}

fn names(parsed: &Parsed) -> Vec<Option<&str>> {
    parsed.blocks.iter().map(|block| block.name.as_deref()).collect()
}

fn refused(text: &str) -> String {
    match parse("a.txt", text) {
        Err(ReadError::NotATable { seen }) => seen,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Eight lines of twelve values: 100 r + c + offset.
fn rows(offset: f64, letters: bool, before: &str) -> String {
    let mut text = String::new();
    for row in 0..8u8 {
        if letters {
            text.push(char::from(b'A' + row));
        } else if row == 0 {
            text.push_str(before);
        } else {
            text.push('\t');
        }
        for column in 1..=12 {
            write!(text, "\t{}", f64::from(row) * 100.0 + f64::from(column) + offset).unwrap();
        }
        text.push('\n');
    }
    text
}

const NUMBERS: &str = "\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12";

#[test]
fn sections_with_titles_are_tables_of_their_own() {
    let text = "* Instrument = QS7\n* Date = 2026-03-04\n\n[Sample Setup]\nWell\tSample\tTask\n1\ts1\tUNKNOWN\n2\ts2\tNTC\n\n\
                [Raw Data]\nWell\tCycle\tx1\n1\t1\t1,882,830.500\n1\t2\t2,748,809.500\n2\t1\t903.25\n\n\
                [Results]\nWell\tPosition\tCT\n1\tA1\t16.5\n2\tA2\t17.25\n\nAnalysis Type = Singleplex\n";
    let parsed = parse("a.txt", text).unwrap();
    assert_eq!(names(&parsed), [None, Some("Sample Setup"), Some("Raw Data")]);
    // Results are the main table, and what the file's head says belongs to it.
    let main = whole(&parsed.blocks[0]);
    assert_eq!(
        schema(&main),
        [
            "Instrument: Utf8",
            "Date: Date32",
            "Well: Int64",
            "Position: Utf8",
            "CT: Float64"
        ]
    );
    assert_eq!(parsed.blocks[0].first_row, 17);
    let raw = whole(&parsed.blocks[2]);
    assert_eq!(floats(&raw, "x1"), [Some(1_882_830.5), Some(2_748_809.5), Some(903.25)]);
    assert_eq!(parsed.properties["Analysis Type"], "Singleplex");
}

#[test]
fn sections_of_one_shape_are_one_table() {
    let text = "\"DataType:\",\"Median\"\n\"Location\",\"Sample\",\"alpha\"\n\"1(1,A1)\",\"u1\",\"11510\"\n\"2(1,B1)\",\"u2\",\"8538.5\"\n\n\
                \"DataType:\",\"Count\"\n\"Location\",\"Sample\",\"alpha\"\n\"1(1,A1)\",\"u1\",\"25\"\n\"2(1,B1)\",\"u2\",\"29\"\n\n\
                \"DataType:\",\"Dilution\"\n\"Location\",\"Sample\",\"Factor\"\n\"1(1,A1)\",\"u1\",\"1\"\n\"2(1,B1)\",\"u2\",\"2\"\n";
    let parsed = parse("a.csv", text).unwrap();
    assert_eq!(names(&parsed), [None, Some("Dilution")]);
    let main = whole(&parsed.blocks[0]);
    assert_eq!(column(&main, "DataType"), ["Median", "Median", "Count", "Count"]);
    assert_eq!(
        floats(&main, "alpha"),
        [Some(11510.0), Some(8538.5), Some(25.0), Some(29.0)]
    );
}

#[test]
fn stacked_lines_are_columns_and_the_layout_is_joined() {
    let mut text = String::from("Plate Number\tPlate 7\nRead\tfluor\n\nLayout\n");
    text.push_str(NUMBERS);
    text.push('\n');
    for letter in 'A'..='H' {
        writeln!(text, "{letter}{}\tWell ID", "\tSPL1".repeat(12)).unwrap();
        writeln!(text, "{}\tConc/Dil", "\t2.5".repeat(12)).unwrap();
    }
    writeln!(text, "\nResults\n{NUMBERS}").unwrap();
    for letter in 'A'..='H' {
        writeln!(text, "{letter}{}\tod:600", "\t0.25".repeat(12)).unwrap();
        writeln!(text, "\tOVRFLW{}\tfluor:579,616", "\t418".repeat(11)).unwrap();
    }
    text.push_str("\nCurve Name\tFormula\tA\tB\nStd\tY=A*X+B\t0.5\t68.5\n");
    let parsed = parse("a.txt", text).unwrap();
    assert_eq!(names(&parsed), [None, Some("Curve Name")]);
    let main = whole(&parsed.blocks[0]);
    assert_eq!(
        schema(&main),
        [
            "Plate Number: Utf8",
            "Read: Utf8",
            "well: Utf8",
            "row: Utf8",
            "column: Int64",
            "Well ID: Utf8",
            "Conc/Dil: Float64",
            "od:600: Float64",
            "fluor:579,616: Float64",
            "_rescued: Utf8"
        ]
    );
    assert_eq!(main.num_rows(), 96);
    assert_eq!(column(&main, "well")[13], "B2");
    assert_eq!(floats(&main, "fluor:579,616")[12..14], [None, Some(418.0)]);
    assert_eq!(column(&main, "_rescued")[12], r#"{"fluor:579,616":"OVRFLW"}"#);
    assert_eq!(floats(&main, "Conc/Dil")[95], Some(2.5));
}

#[test]
fn lines_without_names_are_numbered() {
    let mut text = String::from("Barcode1 :\t<2BO>\n=====Data=====\n");
    text.push_str(NUMBERS);
    text.push('\n');
    for letter in ['A', 'C'] {
        for spot in 1..=3 {
            let first = if spot == 1 { letter.to_string() } else { String::new() };
            writeln!(text, "{first}{}", format!("\t{spot}.5").repeat(12)).unwrap();
        }
    }
    text.push_str("=====Statistics=====\nSector :\t1\t2\t3\n");
    let parsed = parse("a.txt", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 2 * 12 * 3);
    assert_eq!(ints(&main, "line")[24], Some(2));
    assert_eq!(floats(&main, "Data")[24], Some(2.5));
    assert_eq!(column(&main, "well")[71], "C12");
}

#[test]
fn plates_without_letters_need_as_many_lines_as_the_plate_has_rows() {
    let header = "\tTemperature(C)\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12";
    let mut text = format!("##BLOCKS= 2\nPlate:\tP1\t1.3\tKinetic\n{header}\n");
    for time in ["00:00:00", "00:01:30"] {
        text.push_str(&rows(0.5, false, &format!("{time}\t37")));
        text.push('\n');
    }
    writeln!(text, "~End\nPlate:\tP2\t1.3\tKinetic\n{header}").unwrap();
    text.push_str(&rows(0.25, false, "00:00:00\t37"));
    text.push_str("\n~End\n");
    let parsed = parse("a.txt", utf16le(&text)).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 3 * 96);
    assert_eq!(
        schema(&main),
        [
            "Plate: Utf8",
            "time: Utf8",
            "Temperature(C): Int64",
            "well: Utf8",
            "row: Utf8",
            "column: Int64",
            "value: Float64"
        ]
    );
    assert_eq!(column(&main, "Plate")[200], "P2");
    assert_eq!(column(&main, "time")[96], "00:01:30");
    assert_eq!(column(&main, "well")[12], "B1");
    // The no: one line less, and nobody knows which row each line is.
    let short: String = text
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 5)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    refused(&short);
}

#[test]
fn reads_side_by_side_are_named_by_the_list_above() {
    let one = (1..=12).map(|column| format!("\t{column}")).collect::<String>();
    let mut text = format!("Plate:\tP1\t1.3\t280 450\n\tT{one}\t{one}\n");
    for row in 0..8 {
        let first = if row == 0 { "\t21.5" } else { "\t" };
        let values = |start: f64| {
            (1..=12)
                .map(|column| format!("\t{}", start + f64::from(column)))
                .collect::<String>()
        };
        writeln!(text, "{first}{}\t{}", values(f64::from(row) + 0.5), values(100.5)).unwrap();
    }
    let parsed = parse("a.txt", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 192);
    assert_eq!(ints(&main, "read")[0], Some(280));
    assert_eq!(ints(&main, "read")[96], Some(450));
    assert_eq!(floats(&main, "value")[96], Some(101.5));
}

#[test]
fn lists_with_a_column_per_well_become_long() {
    let wells: String = (1..=12).map(|column| format!("\tA{column}")).collect();
    let mut text = format!("Protocol: growth\n\nTime\tTemp{wells}\n");
    for time in 0..3 {
        let values: String = (1..=11).map(|column| format!("\t{}.{time}", column)).collect();
        writeln!(text, "0:0{time}:00\t37{values}\t").unwrap();
    }
    let parsed = parse("a.txt", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    // A12 was never read.
    assert_eq!(main.num_rows(), 33);
    assert_eq!(column(&main, "Time")[11], "0:01:00");
    assert_eq!(column(&main, "well")[12], "A2");
    assert_eq!(floats(&main, "value")[12], Some(2.1));
    assert!(
        parsed.taken_for.contains("3 blank wells left out"),
        "{}",
        parsed.taken_for
    );
    // The no: three columns named like wells are three questions.
    let parsed = parse("a.csv", "id,A1,A2,B1\n1,2,3,4\n5,6,7,8\n").unwrap();
    assert_eq!(whole(&parsed.blocks[0]).num_rows(), 2);
}

#[test]
fn plates_side_by_side_and_with_gaps() {
    let mut text = String::from("Blank plate\n");
    text.push_str("Abs\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n");
    for letter in 'A'..='H' {
        writeln!(text, "{letter}{}", if letter == 'A' { "\t\t0.05" } else { "" }).unwrap();
    }
    text.push_str("\nSample Plate\n");
    text.push_str("Abs\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n");
    for letter in 'A'..='H' {
        writeln!(text, "{letter}{}", if letter == 'B' { "\t\t0.07\t0.08" } else { "" }).unwrap();
    }
    text.push_str("\nend of run\n");
    let parsed = parse("a.txt", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(column(&main, "plate"), ["Blank plate", "Sample Plate", "Sample Plate"]);
    assert_eq!(column(&main, "well"), ["A2", "B2", "B3"]);
    assert_eq!(floats(&main, "Abs"), [Some(0.05), Some(0.07), Some(0.08)]);

    let beside = format!("{NUMBERS}\t{NUMBERS}\n");
    let lines: String = ('A'..='H')
        .map(|letter| format!("{letter}{}\t{letter}{}\n", "\t1.5".repeat(12), "\t2.5".repeat(12)))
        .collect();
    let parsed = parse("a.txt", format!("{beside}{lines}\nnote\n")).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 192);
    assert_eq!(floats(&main, "value")[96..98], [Some(2.5), Some(2.5)]);
}

#[test]
fn plates_aligned_by_spaces() {
    let numbers: String = (1..=12).map(|column| format!("{column:>6}")).collect();
    let mut text = format!("Counted by:\tSam\n\n\t\tSpot counts\n{numbers}\n\n");
    for letter in 'A'..='H' {
        writeln!(text, "{letter}{}", "    93".repeat(12)).unwrap();
    }
    text.push_str("TNTC: Too numerous to count\n");
    let parsed = parse("a.txt", &*text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 96);
    assert_eq!(floats(&main, "Spot counts")[95], Some(93.0));
    assert_eq!(column(&main, "Counted by")[0], "Sam");
    // The no: a line with a value less does not say which well is missing.
    refused(&text.replacen("    93\n", "\n", 1));
}

#[test]
fn summary_rows_stand_apart() {
    let text = "Group,Well,Total,Conc\nG1 (2),Average,20.5,53.7\nG1,A1,20,50.5\nG1,B1,21,56.9\n";
    let parsed = parse("a.csv", text).unwrap();
    assert_eq!(names(&parsed), [None, Some("summary")]);
    assert_eq!(column(&whole(&parsed.blocks[0]), "Well"), ["A1", "B1"]);
    assert_eq!(column(&whole(&parsed.blocks[1]), "Group"), ["G1 (2)"]);
    // The no: a sample called Average is a sample where no wells are.
    let parsed = parse("a.csv", "name,conc\nAverage,1.5\nx,2.5\n").unwrap();
    assert_eq!(whole(&parsed.blocks[0]).num_rows(), 2);
}

#[test]
fn labels_of_groups_go_down() {
    let text = "Report\n\nRun No.,Size,Count\nRun1\n,2,48\n,5,1\nRun2\n,2,24\n,5,9\nAverage\n,2,36\n,5,5\n\nPass criteria\nfine\n";
    let parsed = parse("a.csv", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(column(&main, "Run No."), ["Run1", "Run1", "Run2", "Run2"]);
    assert_eq!(ints(&main, "Count"), [Some(48), Some(1), Some(24), Some(9)]);
    assert_eq!(ints(&whole(&parsed.blocks[1]), "Count"), [Some(36), Some(5)]);
}

#[test]
fn groups_above_repeated_names() {
    let text = ",,FAM,,VIC,\nSample,Well,Target,Conc,Target,Conc\ns1,A1,T1,392.15,T2,399.55\ns2,A2,T1,400.5,T2,391.5\n";
    let parsed = parse("a.csv", text).unwrap();
    assert_eq!(
        schema(&whole(&parsed.blocks[0])),
        [
            "Sample: Utf8",
            "Well: Utf8",
            "FAM Target: Utf8",
            "FAM Conc: Float64",
            "VIC Target: Utf8",
            "VIC Conc: Float64"
        ]
    );
}

#[test]
fn keys_and_values_alone_are_one_row() {
    let text = "Viability Assay; ;\nImage;I-1\nOperator;Sam\nViability (%);92.8\nLive (cells/ml);1.58E6\n;\nDate;2026-03-04\n;\nEnd;yes\n";
    let parsed = parse("a.csv", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(main.num_rows(), 1);
    assert_eq!(floats(&main, "Viability (%)"), [Some(92.8)]);
    assert_eq!(type_of(&main, "Date"), DataType::Date32);
    // The no: a few words are a note, not a measurement.
    refused("Operator: Sam\nPlate: P1\nDate: 2026-03-04\n");
    refused("Operator: Sam\nPlate: P1\nRoom: blue\nLab: north\nMood: good\nKind: none\n");
}

#[test]
fn records_about_the_file_above_records_without_names() {
    let text = "0\t2026-03-04\t#ARC\t1.1\n40\t2026-03-04 16:55:51\tS1\tGLN\tmM\t2.45\n40\t2026-03-04 16:56:51\tS2\tGLN\tmM\t3.5\n\
                40\t2026-03-04 16:57:51\tS3\tGLN\tmM\t4.5\n40\t2026-03-04 16:58:51\tS4\tGLN\tmM\t5.5\n";
    let parsed = parse("a.txt", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(floats(&main, "column_6"), [Some(2.45), Some(3.5), Some(4.5), Some(5.5)]);
    assert_eq!(parsed.properties["line 1"], "0 | 2026-03-04 | #ARC | 1.1");
}

#[test]
fn what_stays_unexplained_is_refused() {
    // Most rows are neither block, title nor pair.
    let odd = "a,1,b,2\n,x,3,y\n7,z,8,w\n,,q,9\n".repeat(5);
    refused(&format!("{odd}\nname,size,kind\nx,1,y\nz,2,w\n"));
    // Column numbers of a plate over rows that are none.
    refused(&format!(
        "title\n\n{NUMBERS}\nx\t1\t2\ny\t3\t4\n\nname\tsize\tkind\nx\t1\ty\nz\t2\tw\n"
    ));
    // A line with a cell too many is left out, and said to be.
    let mut text = format!("{NUMBERS}\n");
    for letter in 'A'..='H' {
        let extra = if letter == 'C' { "\tGood" } else { "" };
        writeln!(text, "{letter}{}{extra}", "\tGood".repeat(12)).unwrap();
    }
    let parsed = parse("a.txt", text).unwrap();
    assert_eq!(whole(&parsed.blocks[0]).num_rows(), 84);
    assert!(
        parsed.taken_for.contains("lines 4 have a cell too many"),
        "{}",
        parsed.taken_for
    );
}

#[test]
fn a_remark_behind_a_line_of_numbers_is_no_shift() {
    let mut text = format!("{NUMBERS}\n");
    for (row, letter) in ('A'..='H').enumerate() {
        let values: String = (1..=12).map(|column| format!("\t{row}.{column:02}5")).collect();
        let remark = if letter == 'C' { "\tbubble" } else { "" };
        writeln!(text, "{letter}{values}{remark}").unwrap();
    }
    let parsed = parse("a.txt", text).unwrap();
    let block = whole(&parsed.blocks[0]);
    assert_eq!(block.num_rows(), 96);
    let value = floats(&block, "value");
    let wells = column(&block, "well");
    let at = wells.iter().position(|well| well == "C12").unwrap();
    assert_eq!(value[at], Some(2.125));
    assert!(
        parsed.properties.values().any(|text| text.contains("bubble")),
        "{:?}",
        parsed.properties
    );
}

#[test]
fn lines_of_one_name_below_one_another_are_readings_of_their_own() {
    let mut text = format!("{NUMBERS}\n");
    for (row, letter) in ('A'..='H').enumerate() {
        for line in 0..3 {
            let first = if line == 0 { letter.to_string() } else { String::new() };
            let values: String = (1..=12).map(|column| format!("\t{line}.{row}{column:02}5")).collect();
            writeln!(text, "{first}{values}\t450").unwrap();
        }
    }
    let parsed = parse("a.txt", text).unwrap();
    let block = whole(&parsed.blocks[0]);
    assert_eq!(block.num_rows(), 288, "{:?}", schema(&block));
    let mut values: Vec<String> = ["450", "value"]
        .iter()
        .find(|name| block.column_by_name(name).is_some())
        .map(|name| column(&block, name))
        .unwrap();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 288);
}

#[test]
fn words_among_numbers_are_kept_beside_them() {
    let mut text = String::from("id,od,code,sample\n");
    for row in 0..20 {
        let od = if row == 7 {
            ">4.0".to_owned()
        } else {
            format!("0.{row:02}5")
        };
        let sample = if row == 3 { "QC".to_owned() } else { row.to_string() };
        writeln!(
            text,
            "{row},{od},{},{sample}",
            if row == 5 { "007".to_owned() } else { format!("1.{row}") }
        )
        .unwrap();
    }
    let parsed = parse("a.csv", text).unwrap();
    let main = whole(&parsed.blocks[0]);
    assert_eq!(floats(&main, "od")[6..8], [Some(0.065), None]);
    assert_eq!(column(&main, "_rescued")[7], r#"{"od":">4.0"}"#);
    // Codes and names of samples stay text.
    assert_eq!(type_of(&main, "code"), DataType::Utf8);
    assert_eq!(type_of(&main, "sample"), DataType::Utf8);
}

#[test]
fn each_plate_keeps_its_own_layout() {
    let plate = |number: usize, sample: &str, od: f64| {
        let mut text = format!("Plate Number\tPlate {number}\n\nLayout\n{NUMBERS}\n");
        for letter in 'A'..='H' {
            writeln!(text, "{letter}{}\tWell ID", format!("\t{sample}").repeat(12)).unwrap();
        }
        writeln!(text, "\nResults\n{NUMBERS}").unwrap();
        for letter in 'A'..='H' {
            writeln!(text, "{letter}{}\tod", format!("\t{od}").repeat(12)).unwrap();
        }
        text.push('\n');
        text
    };
    let text = format!("{}{}", plate(1, "SPL1", 0.25), plate(2, "SPL2", 0.5));
    let main = whole(&parse("a.txt", text).unwrap().blocks[0]);
    assert_eq!(main.num_rows(), 192);
    assert_eq!(column(&main, "Plate Number")[100], "Plate 2");
    assert_eq!(column(&main, "Well ID")[0], "SPL1");
    assert_eq!(column(&main, "Well ID")[191], "SPL2");
    assert_eq!(floats(&main, "od")[191], Some(0.5));
}

#[test]
fn a_row_that_numbers_the_columns_is_no_record() {
    let text = "id,name,kind,n,m\n0.0,1.0,2.0,3.0,4.0\na,x,u,5,6\nb,y,v,7,8\n";
    let parsed = parse("a.csv", text).unwrap();
    assert_eq!(column(&whole(&parsed.blocks[0]), "id"), ["a", "b"]);
    assert!(
        parsed.taken_for.contains("only numbers the columns"),
        "{}",
        parsed.taken_for
    );
    // The no: numbers above numbers are a record.
    let parsed = parse("a.csv", "a,b,c,d,e\n1,2,3,4,5\n6,7,8,9,10\n").unwrap();
    assert_eq!(whole(&parsed.blocks[0]).num_rows(), 2);
}

#[test]
fn one_date_does_not_say_where_its_day_stands() {
    let read = |date: &str| {
        let text = format!("Run at: {date}\n\nwell,od\nA1,0.25\nA2,0.5\n");
        let main = whole(&parse("a.csv", text).unwrap().blocks[0]);
        type_of(&main, "Run at")
    };
    // The next file's date may be 03/04: both must fit one column.
    assert_eq!(read("13/04/2026"), DataType::Utf8);
    assert_eq!(read("2026-04-13"), DataType::Date32);
}
