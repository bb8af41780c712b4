//! Files as people put them together by hand, read as a careful person would read them. Each stands beside one that must go on
//! being read as it looks.

use arrow::datatypes::DataType;

use super::{column, floats, ints, parse, schema, table, type_of};
use crate::formats::Parsed;

/// Each block's name, its columns and its number of rows.
fn outline(parsed: &Parsed) -> Vec<(Option<&str>, Vec<String>, usize)> {
    let blocks = parsed.blocks.iter().map(|block| {
        let names = block.batches[0].schema();
        let names = names.fields().iter().map(|field| field.name().clone()).collect();
        let rows = block.batches.iter().map(|batch| batch.num_rows()).sum();
        (block.name.as_deref(), names, rows)
    });
    blocks.collect()
}

fn shown(name: &str, content: &str) -> String {
    let parsed = parse(name, content).unwrap_or_else(|error| panic!("{content}: {error}"));
    let blocks = outline(&parsed)
        .into_iter()
        .map(|(name, names, rows)| format!("{}({}) {rows}", name.unwrap_or_default(), names.join(" ")));
    blocks.collect::<Vec<_>>().join(", ")
}

fn doubts(name: &str, content: &str) -> String {
    let parsed = parse(name, content).unwrap_or_else(|error| panic!("{content}: {error}"));
    parsed.confidence.doubts().unwrap_or_default()
}

const SAMPLES: &str = "Well,Sample,Dose\nA1,S1,1\nA2,S2,2\nA3,S3,3\nA4,S4,4\n";
const READINGS: &str = "Well,OD600\nA1,0.1\nA2,0.2\nA3,0.3\nA4,0.4\n";

#[test]
fn a_table_of_two_columns_beside_a_wider_one_is_a_table() {
    for (content, wanted) in [
        (
            format!("Reagents\nName,Lot,Purity %\nDMSO,L1,99.9\nTHF,L3,99.5\n\nResults\n{READINGS}"),
            "(Well OD600) 4, Reagents(Name Lot Purity %) 2",
        ),
        (
            format!("Samples\n{SAMPLES}\nOD\n{READINGS}"),
            "(Well Sample Dose) 4, OD(Well OD600) 4",
        ),
        (
            format!("{SAMPLES}\n{READINGS}"),
            "(Well Sample Dose) 4, Well(Well OD600) 4",
        ),
        (
            format!("{READINGS}\n{SAMPLES}"),
            "(Well Sample Dose) 4, Well(Well OD600) 4",
        ),
        (
            format!("{SAMPLES}\nCompounds\nCompound,MW\nAspirin,180.2\nCaffeine,194.2\nIbuprofen,206.3\n"),
            "(Well Sample Dose) 4, Compounds(Compound MW) 3",
        ),
        (
            "Name,Lot\nDMSO,L1\nMeOH,L2\nTHF,L3\n\nWell,Yield\nA1,12.5\nA2,33.1\nA3,44\n".to_owned(),
            "(Well Yield) 3, Name(Name Lot) 3",
        ),
        (
            "[Samples]\nWell,Name\nA1,S1\nA2,S2\n[Results]\nWell,Ct\nA1,12.5\nA2,13.5\n".to_owned(),
            "(Well Ct) 2, Samples(Well Name) 2",
        ),
    ] {
        assert_eq!(shown("x.csv", &content), wanted, "{content}");
    }
    // The no: settings above and below a table.
    for content in [
        format!("Operator,Sam\nTemperature,37\nDelay,5\n\n{SAMPLES}"),
        format!("Parameter,Value\nFilter 1,450\nFilter 2,540\nFilter 3,620\n\n{SAMPLES}"),
        format!("{SAMPLES}\nSettings\nOperator,Sam\nTemperature,37\nDelay,5\n"),
        format!("{SAMPLES}\nSettings\nParameter,Value\nFilter 1,450\nFilter 2,540\nFilter 3,620\n"),
    ] {
        let parsed = parse("x.csv", content.as_str()).unwrap();
        assert_eq!(
            (parsed.blocks.len(), parsed.blocks[0].batches[0].num_rows()),
            (1, 4),
            "{content}"
        );
        assert!(parsed.properties.len() >= 3, "{content}");
    }
}

#[test]
fn units_below_two_names_are_no_names() {
    for (name, content) in [
        ("u.csv", "Wavelength,Absorbance\nnm,AU\n200,0.12\n201,0.13\n202,0.14\n"),
        (
            "u.csv",
            "Wavelength,Absorbance\n(nm),(AU)\n200,0.12\n201,0.13\n202,0.14\n",
        ),
        (
            "u.txt",
            "Wavelength\tAbsorbance\nnm\tAU\n200\t0.12\n201\t0.13\n202\t0.14\n",
        ),
        ("u.csv", "Wavelength;Absorbance\nnm;AU\n200;0,12\n201;0,13\n202;0,14\n"),
    ] {
        let parsed = parse(name, content).unwrap();
        let batch = &parsed.blocks[0].batches[0];
        assert_eq!(schema(batch), ["Wavelength: Int64", "Absorbance: Float64"], "{content}");
        assert_eq!(floats(batch, "Absorbance"), [Some(0.12), Some(0.13), Some(0.14)]);
        assert_eq!(parsed.properties.len(), 2, "{:?}", parsed.properties);
    }
    // The no: names that look like units, below lines of a head.
    let head = "Operator,Sam\nMode,Scan\nnm,AU\n200,0.12\n201,0.13\n202,0.14\n";
    let parsed = parse("u.csv", head).unwrap();
    assert!(
        parsed.blocks[0].batches[0].column_by_name("AU").is_some(),
        "{}",
        parsed.taken_for
    );
    assert_eq!(parsed.properties["Operator"], "Sam");
    let names = "Operator,Sam\nTime/s,Signal/mV\n0,0.12\n1,0.13\n2,0.14\n";
    assert_eq!(ints(&table("u.csv", names), "Time/s"), [Some(0), Some(1), Some(2)]);
}

#[test]
fn units_of_a_second_header_are_kept_with_their_columns() {
    let content = "Sample,Total cells,Viability,Note\n,/ml (x10^6),(%),\nA,15.5,50.4,x\nB,16.5,60.4,y\nC,11.5,61.4,z\n";
    let batch = table("x.csv", content);
    assert_eq!(schema(&batch)[1..3], ["Total cells: Float64", "Viability: Float64"]);
    let unit = |name: &str| {
        batch
            .schema()
            .field_with_name(name)
            .unwrap()
            .metadata()
            .get("unit")
            .cloned()
    };
    assert_eq!(unit("Total cells").as_deref(), Some("/ml (x10^6)"));
    assert_eq!(unit("Viability").as_deref(), Some("%"));
    assert_eq!((unit("Sample"), unit("Note")), (None, None));
    // The no: words are no units.
    let batch = table("x.csv", "Sample,Viable,Total\n,cells,cells\nA,15.5,50.4\nB,16.5,60.4\n");
    assert_eq!(
        batch.schema().field_with_name("Total").unwrap().metadata().get("unit"),
        None
    );
}

#[test]
fn a_colon_in_a_cell_of_its_own_is_no_value() {
    let content = "Probe\t:\tS1\tModel\t:\tX9\nDilution Factor\t:\t10\tRun1\tDiscarded\t\n\nrun\tsize\tcount\n1\t2\t48\n1\t5\t3\n\n\
                   run\tsize\tcount\n2\t2\t40\n2\t5\t4\n";
    let parsed = parse("x.txt", content).unwrap();
    let batch = &parsed.blocks[0].batches[0];
    assert_eq!(column(batch, "Dilution Factor")[0], "10");
    assert_eq!(column(batch, "Probe")[0], "S1");
    // The no: settings behind a value without a cell for the colon.
    let content = content.replace("Dilution Factor\t:\t10", "Dilution Factor:\t10");
    let parsed = parse("x.txt", content).unwrap();
    assert_eq!(column(&parsed.blocks[0].batches[0], "Dilution Factor")[0], "10");
}

#[test]
fn spaces_that_fill_a_column_are_no_text() {
    for (name, content) in [
        ("w.txt", "Well\tWell Position\tRn\n1\t      A1\t0.5\n2\t     A12\t0.6\n"),
        ("w.csv", "id, Well Position, Rn\nx , A1  , 0.5\ny , A12 , 0.6\n"),
        (
            "w.txt",
            "+----+---------------+-----+\n| id | Well Position | Rn  |\n+----+---------------+-----+\n| x  | A1            | 0.5 |\n| y  | A12           | 0.6 |\n+----+---------------+-----+\n",
        ),
        (
            "w.md",
            "| id | Well Position |  Rn |\n|----|---------------|----:|\n| x  | A1            | 0.5 |\n| y  | A12           | 0.6 |\n",
        ),
    ] {
        let batch = table(name, content);
        assert_eq!(column(&batch, "Well Position"), ["A1", "A12"], "{content}");
        assert_eq!(floats(&batch, "Rn"), [Some(0.5), Some(0.6)]);
    }
    // The no: in quotes they are meant; within a text they stay.
    let batch = table("w.csv", "id,mark\n1,\" a \"\n2,b  c\n3,\"  d\"\n");
    assert_eq!(column(&batch, "mark"), [" a ", "b  c", "  d"]);
}

#[test]
fn a_plus_is_a_sign() {
    let batch = table("x.csv", "s,shift,n\na,+1.5,+3\nb,-2.5,-1\n");
    assert_eq!(floats(&batch, "shift"), [Some(1.5), Some(-2.5)]);
    assert_eq!(ints(&batch, "n"), [Some(3), Some(-1)]);
    let batch = table("x.csv", "s;shift\na;+1,5\nb;-2,5\n");
    assert_eq!(floats(&batch, "shift"), [Some(1.5), Some(-2.5)]);
    // The no: results, codes and telephones.
    for cells in [["+", "++"], ["+007", "-1"], ["+49 30 123", "1"]] {
        let batch = table("x.csv", format!("s,v\na,{}\nb,{}\n", cells[0], cells[1]));
        assert_eq!(column(&batch, "v"), cells);
    }
}

#[test]
fn quoted_commas_are_decimal_where_nothing_else_explains_them() {
    let batch = table("q.csv", "well,od\nA1,\"0,52\"\nA2,\"1,034\"\nA3,\"0,7\"\n");
    assert_eq!(floats(&batch, "od"), [Some(0.52), Some(1.034), Some(0.7)]);
    // Beside decimal points a comma parts thousands.
    let batch = table(
        "q.csv",
        "well,counts,f\nA1,\"1,234\",0.5\nA2,\"12,345\",0.25\nA3,987,1.5\n",
    );
    assert_eq!(floats(&batch, "counts"), [Some(1234.0), Some(12345.0), Some(987.0)]);
    // The no: lists, and what two readings fit, which is said.
    for (cells, is_doubted) in [
        (["\"1,2\"", "\"3,15\"", "\"2,7\""], true),
        (["\"1,234\"", "\"12,345\"", "\"2,001\""], true),
        (["\"0,1\"", "\"0,1,2\"", "\"0,4\""], false),
        (["\"0,5 mg\"", "\"0,7 mg\"", "\"1,2 mg\""], false),
    ] {
        let content = format!("well,v\nA1,{}\nA2,{}\nA3,{}\n", cells[0], cells[1], cells[2]);
        let batch = table("q.csv", content.as_str());
        assert_eq!(column(&batch, "v"), cells.map(|cell| cell.trim_matches('"')));
        assert_eq!(
            doubts("q.csv", &content).contains("may part thousands"),
            is_doubted,
            "{content}"
        );
    }
    // Points and commas in one file are not both decimal.
    let batch = table("q.csv", "a,b\n0.55,\"0,52\"\n0.75,\"0,7\"\n");
    assert_eq!(
        (type_of(&batch, "a"), type_of(&batch, "b")),
        (DataType::Float64, DataType::Utf8)
    );
}

#[test]
fn what_a_report_says_of_itself_is_no_row() {
    let rows = "Sample,Vial,Area\nS1,1,10.5\nS2,2,20.5\nS3,3,30.5\nS4,4,40.5\n";
    for foot in [
        "Printed 2026-11-03 14:12:05 by jdoe, Page 1 of 1\n",
        "Page 1 of 2\n",
        "Gedruckt: 03.11.2026\nSeite 1 von 1\n",
    ] {
        let parsed = parse("h.csv", format!("{rows}{foot}")).unwrap();
        let batch = &parsed.blocks[0].batches[0];
        assert_eq!(ints(batch, "Vial"), [1, 2, 3, 4].map(Some), "{foot}");
        assert!(!parsed.properties.is_empty(), "{foot}");
    }
    // Means above such a line are told as well.
    let parsed = parse("h.csv", format!("{rows}Mean,,25.5\nPrinted 2026-11-03,Page 1 of 1\n")).unwrap();
    assert_eq!(outline(&parsed)[1].2, 1);
    // The no: rows that begin so.
    for row in ["Printed circuit,5,1.5\n", "Page 1,5,\n", "Created,,\n"] {
        assert_eq!(table("h.csv", format!("{rows}{row}")).num_rows(), 5, "{row}");
    }
}

#[test]
fn rows_that_may_be_sums_stay_and_are_said() {
    for (content, rows, line) in [
        ("Sample,Value\nA,1\nB,2\nC,3\nTotal,6\nN,3\n", 5, "line 5"),
        (
            "Group,Sample,V\nG1,a,1\nG1,b,2\nG1 Total,,3\nG2,c,3\nG2,d,5\n",
            5,
            "line 4",
        ),
        ("Reagent,Lot,g\nA,L1,1\nB,L2,2\nC,L3,3\n,,6\n", 4, "line 5"),
    ] {
        assert_eq!(table("t.csv", content).num_rows(), rows);
        let doubts = doubts("t.csv", content);
        assert!(doubts.contains(line) && doubts.contains("may sum up"), "{doubts}");
    }
    // The no: a row without a key that is no sum, and a table of statistics.
    for content in [
        "Reagent,Lot,g\nA,L1,1\nB,L2,2\nC,L3,3\n,,7\n",
        "Statistic,v\nMean,1.5\nMedian,2.5\nSD,0.5\n",
        "Sample,Totals,v\nTotal protein,1,2.5\nLipid,2,3.5\nSugar,3,4.5\n",
    ] {
        let doubts = doubts("t.csv", content);
        assert!(!doubts.contains("may sum up"), "{content}: {doubts}");
    }
}

#[test]
fn the_cell_that_makes_a_column_text_is_named() {
    let numbered = |odd: &str, name: &str| {
        let rows: String = (1..=30).map(|at| format!("k{at},{}\n", at * 3)).collect();
        format!("s,{name}\n{rows}k31,{odd}\n")
    };
    let said = doubts("x.csv", &numbered("trace", "v"));
    assert!(
        said.contains("\"v\" kept as text: \"trace\" in row 32 of the file is no number"),
        "{said}"
    );
    let dates = "when,v\n2026-02-27,1\n2026-02-28,2\n2026-02-30,3\n2026-03-01,4\n";
    let said = doubts("x.csv", dates);
    assert!(
        said.contains("\"2026-02-30\" in row 4 of the file is no date"),
        "{said}"
    );
    let said = doubts("x.csv", "when,v\n2026-02-27,1\n2026-02-28,2\n05.03.2026,3\n");
    assert!(
        said.contains("\"05.03.2026\" in row 4 of the file is a date written otherwise"),
        "{said}"
    );
    // The no: names of samples, words, and columns of numbers.
    for content in [
        numbered("blank", "sample"),
        numbered("95", "v"),
        "s,v\na,1\nb,x\nc,2\nd,y\ne,3\n".to_owned(),
    ] {
        assert!(!doubts("x.csv", &content).contains("the others are"), "{content}");
    }
    // A word among fractions is kept beside them, and the header stands out all the same.
    let fractions: String = (1..=30).map(|at| format!("k{at},{at}.5\n")).collect();
    let content = format!("s,v\n{fractions}k31,trace\n");
    assert_eq!(type_of(&table("x.csv", content.as_str()), "v"), DataType::Float64);
    assert!(!doubts("x.csv", &content).contains("all columns are text"));
}
