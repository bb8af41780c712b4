//! Texts in forms of their own: columns under rulers, pages, sections between tags, heads that say where they end, sequences.

use super::lab::{lines, tables};
use super::{column, floats, ints, parse, schema, table};
use crate::formats::ReadError;

#[test]
fn columns_under_a_ruler_may_be_empty() {
    let text = "Sample               Conc     OD\n-------------------- -------- --------\n\
                S1                        0.5      1.5\nS2                                 2.5\nS three              1.5\n\n(3 rows affected)\n";
    let batch = table("a.txt", text);
    assert_eq!(schema(&batch), ["Sample: Utf8", "Conc: Float64", "OD: Float64"]);
    assert_eq!(floats(&batch, "Conc"), [Some(0.5), None, Some(1.5)]);
    assert_eq!(floats(&batch, "OD"), [Some(1.5), Some(2.5), None]);
    assert_eq!(column(&batch, "Sample")[2], "S three");
    // As chromatographs print it: names in two lines, bars in the ruler alone, what is summed up below.
    let text = "Data File C:\\DATA\\X.D\nSample Name: Blend 7\n\n                     Area Percent Report\n\n\
                Signal 1: DAD1 A, Sig=254,4 Ref=off\n\n\
                Peak RetTime Type  Width     Area      Height     Area  \n\
                \x20 #   [min]        [min]   [mAU*s]     [mAU]        %\n\
                ----|-------|----|-------|----------|----------|--------|\n\
                \x20  1   1.234 BB    0.0567  123.45678   45.67890  12.3456\n\
                \x20  2   2.345       0.0612  823.45678  145.67890  82.3456\n\
                \x20  3   3.456 VB    0.0712   53.45678   12.10000   5.3088\n\n\
                Totals :                  1000.37034  203.45780\n\n*** End of Report ***\n";
    let batch = table("Report.TXT", text);
    assert_eq!(floats(&batch, "RetTime [min]"), [Some(1.234), Some(2.345), Some(3.456)]);
    assert_eq!(ints(&batch, "Peak #"), [Some(1), Some(2), Some(3)]);
    assert_eq!(column(&batch, "Type"), ["BB", "∅", "VB"]);
    assert_eq!(floats(&batch, "Area %")[1], Some(82.3456));
}

#[test]
fn a_line_of_strokes_alone_is_no_ruler() {
    // Bars part the cells themselves; the strokes do not stand over what is below; a title is underlined.
    let batch = table("a.txt", " a  | b \n----+---\n 1  | x \n 22 | y \n");
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, 2));
    assert!(parse("a.txt", "Sample  OD\n--- ---\nS1      0.5\nS2      1.5\nS3      2.5\n").is_err());
    let batch = table("a.txt", "My results\n==========\nSample\tOD\nS1\t0.5\nS2\t1.5\n");
    assert_eq!(batch.num_rows(), 2);
}

#[test]
fn pages_that_call_themselves_sheets() {
    let rows = lines(5, |at| {
        format!("<tr><td>S{at}</td><td>{at}.5</td><td>&lt;0.1&nbsp;&micro;M</td></tr>")
    });
    let page = format!(
        "<html><head><title>x</title><style>td {{a:b}}</style></head><body><p>Report</p><table border=1>\
         <tr><th>Sample</th><th>OD<br>450</th><th>LOQ</th></tr>{rows}</table></body></html>"
    );
    let batch = table("a.xls", page.as_str());
    assert_eq!(schema(&batch), ["Sample: Utf8", "OD 450: Float64", "LOQ: Utf8"]);
    assert_eq!((batch.num_rows(), column(&batch, "LOQ")[0].as_str()), (5, "<0.1 µM"));
    let records = lines(4, |at| format!("<row><id>{at}</id><od>{at}.5</od></row>"));
    assert_eq!(table("a.xml", format!("<table>{records}</table>")).num_rows(), 4);
    for page in [
        "<html><body>No such page</body></html>",
        "<table><tr><td><table></table></td></tr></table>",
    ] {
        assert!(
            matches!(parse("a.xls", page), Err(ReadError::Unsupported { .. })),
            "{page}"
        );
    }
}

#[test]
fn sections_between_tags_are_blocks() {
    let codes = lines(12, |at| format!("Endogenous,G{at},NM_{at},{}", at * 10));
    let text = format!(
        "<Header>\nFileVersion,1.7\nSoftwareVersion,4.0.0.3\n</Header>\n\n<Sample_Attributes>\nID,S7\nOwner,ana\nDate,20260314\n</Sample_Attributes>\n\n\
         <Code_Summary>\nCodeClass,Name,Accession,Count\n{codes}</Code_Summary>\n\n<Messages>\n</Messages>\n"
    );
    let found = tables("a.RCC", &text);
    let batch = &found[0].1;
    assert_eq!(batch.num_rows(), 12, "{found:?}");
    assert_eq!(ints(batch, "Count")[11], Some(110));
    // One root is XML, and so is what nests.
    let xml = lines(6, |at| format!("<R>\n<a>{at}</a>\n<b>{at}.5</b>\n</R>"));
    let batch = table("a.xml", format!("<D>\n{xml}</D>\n"));
    assert_eq!(batch.num_rows(), 6);
}

#[test]
fn a_head_that_says_where_it_ends() {
    let rows = lines(20, |at| format!("0.{at:03}\t{at}.5\t{at}.25\t"));
    let text = format!(
        "LabVIEW Measurement\t\nWriter_Version\t2\nSeparator\tTab\nOperator\tana\n***End_of_Header***\t\n\t\nChannels\t2\t\t\n\
         Samples\t20\t20\t\nY_Unit_Label\tVolts\tVolts\t\nX0\t0.0E+0\t0.0E+0\t\n***End_of_Header***\t\t\t\nX_Value\tU0\tU1\tComment\n{rows}"
    );
    let parsed = parse("a.lvm", text.as_str()).unwrap();
    let batch = table("a.lvm", text.as_str());
    assert_eq!(batch.num_rows(), 20);
    assert_eq!(floats(&batch, "U1")[19], Some(19.25));
    assert!(
        parsed.properties.values().any(|value| value.contains("Volts")),
        "{:?}",
        parsed.properties
    );
    // Words of a row that sound like it end nothing.
    let batch = table("a.csv", "note,v\nend of header tests,1\nx,2\n");
    assert_eq!(batch.num_rows(), 2);
}

#[test]
fn sequences_are_rows() {
    let batch = table("a.fasta", ">sp|P1|X first one\nMKV-LLT\nAAG*\n>two\nACGT\n");
    assert_eq!(column(&batch, "id"), ["sp|P1|X", "two"]);
    assert_eq!(column(&batch, "description"), ["first one", "∅"]);
    assert_eq!(column(&batch, "sequence"), ["MKV-LLTAAG*", "ACGT"]);
    assert_eq!(ints(&batch, "length"), [Some(11), Some(4)]);
    for text in [">5,a\n1,2\n3,4\n", ">one\n>two\nACGT\n"] {
        assert!(
            !matches!(parse("a.csv", text), Ok(parsed) if parsed.taken_for.starts_with("FASTA")),
            "{text}"
        );
    }
}
