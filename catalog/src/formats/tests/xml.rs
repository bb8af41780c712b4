//! XML of instruments.

use super::{ReadError, column, floats, ints, parse, schema};

#[test]
fn what_repeats_are_the_records() {
    let text = r#"<?xml version="1.0"?>
<run id="R7" xmlns:x="urn:x"><operator>Sam</operator>
  <plates><plate barcode="P1">
    <x:well name="A1"><od>0.25</od><comment>a &amp; b</comment></x:well>
    <x:well name="A2"><od>0.5</od></x:well>
  </plate><plate barcode="P2">
    <x:well name="A1"><od>0.75</od></x:well>
  </plate></plates></run>"#;
    let parsed = parse("a.xml", text).unwrap();
    assert_eq!(parsed.blocks.len(), 1, "{}", parsed.taken_for);
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(
        schema(main),
        [
            "run_id: Utf8",
            "run_operator: Utf8",
            "plate_barcode: Utf8",
            "name: Utf8",
            "od: Float64",
            "comment: Utf8"
        ]
    );
    assert_eq!(floats(main, "od"), [Some(0.25), Some(0.5), Some(0.75)]);
    assert_eq!(column(main, "plate_barcode"), ["P1", "P1", "P2"]);
    assert_eq!(column(main, "comment")[0], "a & b");
    assert!(parsed.taken_for.contains("3 records <well>"), "{}", parsed.taken_for);
}

#[test]
fn what_tells_records_apart_comes_along_from_any_depth() {
    let plate = |name: &str, first: &str, second: &str| {
        format!(
            "<plate><info><barcode>{name}</barcode></info><p name=\"gain\" value=\"9\"/><p name=\"lamp\" value=\"2\"/><wells>\
             <well id=\"A1\" od=\"{first}\"/><well id=\"A2\" od=\"{second}\"/></wells></plate>"
        )
    };
    let settings = "<settings><unit><serial>S1</serial></unit></settings>";
    let plates = [plate("P1", "0.25", "0.5"), plate("P2", "0.75", "1.5")].concat();
    let parsed = parse("a.xml", format!("<run>{settings}{plates}</run>")).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(
        column(main, "info_barcode"),
        ["P1", "P1", "P2", "P2"],
        "{:?}",
        schema(main)
    );
    assert_eq!(ints(main, "plate_gain"), [Some(9); 4]);
    // The no: what stands once in the document is the document's.
    assert!(
        main.schema()
            .fields()
            .iter()
            .all(|field| !field.name().contains("serial"))
    );
}

#[test]
fn a_name_given_twice_is_two_columns() {
    let well = |id: &str, first: &str, second: &str| {
        format!("<well id=\"{id}\"><p name=\"450\" value=\"{first}\"/><p name=\"450\" value=\"{second}\"/></well>")
    };
    let text = format!("<run>{}{}</run>", well("A1", "0.1", "0.2"), well("A2", "0.3", "0.4"));
    let parsed = parse("a.xml", text).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(floats(main, "450"), [Some(0.1), Some(0.3)], "{:?}", schema(main));
    assert_eq!(floats(main, "450_2"), [Some(0.2), Some(0.4)]);
}

#[test]
fn names_and_values_are_columns() {
    let sample = |at: usize| {
        format!(
            "<Sample><DataSet uri=\"f{at}\"/><Keywords><Keyword name=\"$TOT\" value=\"{}\"/>\
             <Keyword name=\"OPERATOR\" value=\"Sam\"/></Keywords></Sample>",
            at * 1000
        )
    };
    let text = format!(
        "<Workspace><SampleList>{}{}</SampleList></Workspace>",
        sample(1),
        sample(2)
    );
    let parsed = parse("a.wsp", text).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(schema(main), ["DataSet_uri: Utf8", "$TOT: Int64", "OPERATOR: Utf8"]);
    assert_eq!(ints(main, "$TOT"), [Some(1000), Some(2000)]);
}

#[test]
fn excel_of_2003_is_a_sheet() {
    let cell = |text: &str| format!("<Cell><Data ss:Type=\"String\">{text}</Data></Cell>");
    let row = |cells: &[&str]| format!("<Row>{}</Row>", cells.iter().map(|text| cell(text)).collect::<String>());
    let text = format!(
        "<?xml version=\"1.0\"?><?mso-application progid=\"Excel.Sheet\"?><Workbook xmlns:ss=\"urn:s\"><Worksheet ss:Name=\"Data\">\
         <Table>{}{}<Row ss:Index=\"9\">{}<Cell ss:Index=\"3\"><Data>0.5</Data></Cell></Row></Table></Worksheet></Workbook>",
        row(&["well", "sample", "od"]),
        row(&["A1", "s1", "0.25"]),
        cell("A2"),
    );
    let parsed = parse("a.xls", text).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(schema(main), ["well: Utf8", "sample: Utf8", "od: Float64"]);
    assert_eq!(column(main, "sample"), ["s1", "∅"]);
    assert_eq!(floats(main, "od"), [Some(0.25), Some(0.5)]);
}

#[test]
fn broken_hostile_and_unrepeated_xml_is_refused() {
    let refused = |text: &str| parse("a.xml", text).unwrap_err();
    let error = refused("<?xml version=\"1.0\"?><a><b>1</b></a>");
    assert!(matches!(error, ReadError::NotATable { .. }), "{error}");
    for text in [
        "<?xml version=\"1.0\"?><a><b x=\"1\"/><b x=\"2\"/>",
        "<?xml version=\"1.0\"?><a><b x=\"1\"/><b x=\"2\"></a>",
        "<?xml version=\"1.0\"?><a><b x=1/></a>",
    ] {
        let error = refused(text);
        assert!(
            matches!(error, ReadError::Damaged { format: "XML", .. }),
            "{text}: {error}"
        );
    }
    let outside =
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a><b>&x;</b><b>1</b></a>";
    assert!(matches!(refused(outside), ReadError::Unsupported { .. }));
    let laughs = "<?xml version=\"1.0\"?><a><b>&lol;</b><b>1</b></a>";
    assert!(matches!(refused(laughs), ReadError::Unsupported { .. }));
    let deep = format!("<?xml version=\"1.0\"?>{}", "<a>".repeat(100_000));
    assert!(matches!(refused(&deep), ReadError::TooLarge { .. }));
    let long = format!("<?xml version=\"1.0\"?><a><b>{}</b><b>1</b></a>", "x".repeat(2 << 20));
    assert!(matches!(refused(&long), ReadError::TooLarge { .. }));
}
