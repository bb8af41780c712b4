//! Workbooks, built here part by part.

use super::{ReadError, column, parse, schema};
use crate::formats::{Limits, Pinned};

/// A zip archive of stored entries.
pub(super) fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let offset = u32::try_from(out.len()).unwrap().to_le_bytes();
        let name_size = u16::try_from(name.len()).unwrap().to_le_bytes();
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x50]);
        common.extend(crc.sum().to_le_bytes());
        common.extend(size);
        common.extend(size);
        common.extend(name_size);
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let start = u32::try_from(out.len()).unwrap().to_le_bytes();
    let length = u32::try_from(directory.len()).unwrap().to_le_bytes();
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend(length);
    out.extend(start);
    out.extend([0, 0]);
    out
}

/// A workbook of sheets given as the XML of their rows, and of their merged cells behind. Style 1 is a date, 2 `0.0%`, 3 `00000`.
fn book(sheets: &[(&str, &str)]) -> Vec<u8> {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let mut list = String::new();
    let mut relations = String::new();
    let mut parts = Vec::new();
    for (at, (name, rows)) in sheets.iter().enumerate() {
        let n = at + 1;
        list.push_str(&format!("<sheet name=\"{name}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>"));
        relations.push_str(&format!(
            "<Relationship Id=\"rId{n}\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet{n}.xml\"/>"
        ));
        let (rows, merged) = rows.split_at(rows.find("<mergeCells").unwrap_or(rows.len()));
        parts.push((
            format!("xl/worksheets/sheet{n}.xml"),
            format!("{head}<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData>{merged}</worksheet>"),
        ));
    }
    let fixed = [
        (
            "[Content_Types].xml",
            format!("{head}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>"),
        ),
        (
            "_rels/.rels",
            format!(
                "{head}<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!("{head}<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets>{list}</sheets></workbook>"),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "{head}<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">{relations}</Relationships>"
            ),
        ),
        (
            "xl/styles.xml",
            format!(
                "{head}<styleSheet xmlns=\"{main}\"><numFmts count=\"2\"><numFmt numFmtId=\"164\" formatCode=\"0.0%\"/><numFmt numFmtId=\"165\" formatCode=\"00000\"/></numFmts>\
                 <cellStyleXfs count=\"1\"><xf numFmtId=\"0\"/></cellStyleXfs>\
                 <cellXfs count=\"4\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"164\"/><xf numFmtId=\"165\"/></cellXfs></styleSheet>"
            ),
        ),
    ];
    let all: Vec<(&str, &str)> = fixed
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .chain(parts.iter().map(|(name, text)| (name.as_str(), text.as_str())))
        .collect();
    zip(&all)
}

/// A row from cells given as their XML without the reference.
fn row(number: usize, first: char, cells: &[&str]) -> String {
    let cells: String = cells
        .iter()
        .enumerate()
        .map(|(at, cell)| {
            let letter = char::from(u8::try_from(u32::from(first)).unwrap() + u8::try_from(at).unwrap());
            cell.replacen("<c", &format!("<c r=\"{letter}{number}\""), 1)
        })
        .collect();
    format!("<row r=\"{number}\">{cells}</row>")
}

fn text(value: &str) -> String {
    format!("<c t=\"inlineStr\"><is><t>{value}</t></is></c>")
}

fn data_sheet() -> String {
    [
        row(2, 'B', &[&text("Exported by X")]),
        row(
            4,
            'B',
            &[
                &text("id"),
                &text("od"),
                &text("run"),
                &text("ok"),
                &text("note"),
                &text("sum"),
            ],
        ),
        row(
            5,
            'B',
            &[
                "<c><v>1</v></c>",
                "<c><v>0.5</v></c>",
                "<c s=\"1\"><v>46085</v></c>",
                "<c t=\"b\"><v>1</v></c>",
                &text("x"),
                "<c><f>1+1</f><v>2</v></c>",
            ],
        ),
        row(
            6,
            'B',
            &[
                "<c><v>2</v></c>",
                "<c t=\"e\"><v>#DIV/0!</v></c>",
                "<c s=\"1\"><v>46086</v></c>",
                "<c t=\"b\"><v>0</v></c>",
                &text("y"),
                "<c><f>1+2</f><v>3</v></c>",
            ],
        ),
    ]
    .concat()
}

#[test]
fn the_one_sheet_that_is_said() {
    let of = |rows: &[&str]| -> String {
        let number = |at: usize| {
            if at == 0 {
                text("n")
            } else {
                format!("<c><v>{at}</v></c>")
            }
        };
        let lines = rows.iter().enumerate();
        lines
            .map(|(at, cell)| row(at + 1, 'A', &[&text(cell), &number(at)]))
            .collect()
    };
    let bytes = book(&[
        ("Results", &of(&["run", "r1"])),
        ("Old", &of(&["lot", "l1", "l2", "Total"])),
    ]);
    let read = |sheet: &str, skip_footer: u64| {
        let pinned = Pinned {
            sheet: Some(sheet.to_owned()),
            skip_footer,
            ..Pinned::default()
        };
        let limits = Limits {
            pinned,
            ..Limits::default()
        };
        super::read("a.xlsx", bytes.clone().into(), &limits)
    };
    let parsed = read("Old", 1).unwrap();
    assert_eq!(parsed.blocks.len(), 1);
    assert_eq!(column(&parsed.blocks[0].batches[0], "lot"), ["l1", "l2"]);
    let error = read("old", 0).unwrap_err().to_string();
    assert!(error.contains("it has Results, Old"), "{error}");
}

#[test]
fn sheets_become_blocks() {
    let second = [
        row(1, 'A', &[&text("k"), &text("v")]),
        row(2, 'A', &[&text("a"), "<c><v>7</v></c>"]),
    ]
    .concat();
    let notes = row(1, 'A', &[&text("Operator: Sam")]);
    let data = data_sheet();
    let bytes = book(&[
        ("Results", &data),
        ("Empty", ""),
        ("Info", &notes),
        ("Key list", &second),
    ]);
    let parsed = parse("wrong-name.csv", bytes).unwrap();
    let doubts = parsed.confidence.doubts().unwrap();
    assert!(doubts.contains("1 cells hold errors"), "{doubts}");
    assert_eq!(parsed.blocks.len(), 2, "{}", parsed.taken_for);
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(parsed.blocks[0].name, None);
    assert_eq!(parsed.blocks[0].first_row, 5);
    assert_eq!(
        schema(main),
        [
            "column_1: Null",
            "id: Int64",
            "od: Float64",
            "run: Date32",
            "ok: Boolean",
            "note: Utf8",
            "sum: Int64"
        ]
    );
    assert_eq!(column(main, "run"), ["2026-03-04", "2026-03-05"]);
    assert_eq!(column(main, "od"), ["0.5", "∅"]);
    assert_eq!(parsed.blocks[1].name.as_deref(), Some("Key list"));
    assert_eq!(parsed.blocks[1].batches[0].num_rows(), 1);
    assert_eq!(parsed.properties["Info: Operator"], "Sam");
}

#[test]
fn a_list_of_results_is_a_table_whatever_its_sheet_is_called() {
    let number = |value: &str| format!("<c><v>{value}</v></c>");
    let raw = [
        row(1, 'A', &[&text("Compound"), &text("Conc"), &text("Inhib")]),
        row(2, 'A', &[&text("C1"), &number("0.5"), &number("12.5")]),
        row(3, 'A', &[&text("C2"), &number("0.5"), &number("17.5")]),
    ]
    .concat();
    let pairs = |pairs: &[(&str, &str)]| {
        let rows = pairs.iter().enumerate().map(|(at, (key, value))| {
            let value = if value.starts_with(|first: char| first.is_ascii_digit()) {
                number(value)
            } else {
                text(value)
            };
            row(at + 1, 'A', &[&text(key), &value])
        });
        rows.collect::<String>()
    };
    let results = pairs(&[("Compound", "IC50"), ("Caffeine", "0.5"), ("C2", "1.5"), ("C3", "2.5")]);
    for name in ["Summary", "Info", "Report summary", "Method"] {
        let parsed = parse("a.xlsx", book(&[(name, &results), ("Raw", &raw)])).unwrap();
        let rows: Vec<usize> = parsed.blocks.iter().map(|block| block.batches[0].num_rows()).collect();
        assert_eq!(rows, [3, 2], "{name}: {}", parsed.taken_for);
    }
    // Settings are none, with names of their own or without.
    for first in [("Parameter", "Value"), ("Operator", "Anna")] {
        let settings = pairs(&[first, ("Gain", "80"), ("Flashes", "25"), ("Delay", "0.5")]);
        let parsed = parse("a.xlsx", book(&[("Info", &settings), ("Raw", &raw)])).unwrap();
        assert_eq!(parsed.blocks.len(), 1, "{}", parsed.taken_for);
        assert_eq!(parsed.properties["Info: Gain"], "80");
    }
}

#[test]
fn a_merged_value_is_that_of_all_its_rows() {
    let number = |value: &str| format!("<c><v>{value}</v></c>");
    let blank = "<c/>";
    let sheet = |regions: &str| {
        let head = row(1, 'A', &[&text("Compound"), &text("Replicate"), &text("OD")]);
        let rows = [
            ("C1", "0.1"),
            (blank, "0.2"),
            (blank, "0.3"),
            ("C2", "0.4"),
            (blank, "0.5"),
            (blank, "0.6"),
        ];
        let rows = rows.iter().enumerate().map(|(at, (name, od))| {
            let name = if name.starts_with('<') {
                (*name).to_owned()
            } else {
                text(name)
            };
            row(at + 2, 'A', &[&name, &number(&(at % 3 + 1).to_string()), &number(od)])
        });
        format!("{head}{}<mergeCells>{regions}</mergeCells>", rows.collect::<String>())
    };
    let regions = "<mergeCell ref=\"A2:A4\"/><mergeCell ref=\"A5:A6\"/>";
    let parsed = parse("a.xlsx", book(&[("Data", &sheet(regions))])).unwrap();
    let main = &parsed.blocks[0].batches[0];
    assert_eq!(column(main, "Compound"), ["C1", "C1", "C1", "C2", "C2", "∅"]);
    // The noes: what is blank without being merged stays so, and a heading of two rows is one heading.
    let parsed = parse("a.xlsx", book(&[("Data", &sheet(""))])).unwrap();
    assert_eq!(column(&parsed.blocks[0].batches[0], "Compound")[1], "∅");
    let head = [
        row(1, 'A', &[&text("Screen of May")]),
        row(2, 'A', &[&text("Compound"), &text("Signal"), blank]),
        row(3, 'A', &[blank, &text("raw"), &text("net")]),
        row(4, 'A', &[&text("C1"), &number("0.1"), &number("0.2")]),
        row(5, 'A', &[&text("C2"), &number("0.3"), &number("0.4")]),
    ];
    let with = |regions: &str| {
        let rows = format!("{}<mergeCells>{regions}</mergeCells>", head.concat());
        parse("a.xlsx", book(&[("Data", &rows)])).unwrap().blocks.swap_remove(0)
    };
    let merged = with("<mergeCell ref=\"A2:A3\"/><mergeCell ref=\"B2:C2\"/>");
    assert_eq!(schema(&merged.batches[0]), schema(&with("").batches[0]));
}

#[test]
fn damaged_and_foreign_archives_are_refused() {
    let data = data_sheet();
    let whole = book(&[("Results", &data)]);
    for cut in (4..whole.len()).step_by(37) {
        let error = parse("a.xlsx", &whole[..cut]).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "cut at {cut}: {error}");
    }
    for at in (0..whole.len()).step_by(11) {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        let _ = parse("a.xlsx", broken);
    }
    let error = parse("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and nothing more".to_vec()).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    // A cell at the far corner of a sheet does not cost a billion cells.
    let far = format!(
        "{}<row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>",
        row(1, 'A', &[&text("a")])
    );
    assert!(parse("a.xlsx", book(&[("S", &far)])).is_err());
}

#[test]
fn open_document_sheets() {
    let cell = |text: &str| {
        format!("<table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell>")
    };
    let number = |value: &str| {
        format!(
            "<table:table-cell office:value-type=\"float\" office:value=\"{value}\"><text:p>x</text:p></table:table-cell>"
        )
    };
    let date = "<table:table-cell office:value-type=\"date\" office:date-value=\"2026-03-04\"><text:p>4.3.</text:p></table:table-cell>";
    let row = |cells: &[String]| format!("<table:table-row>{}</table:table-row>", cells.concat());
    let content = format!(
        "<?xml version=\"1.0\"?><office:document-content xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" \
         xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\" xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\">\
         <office:body><office:spreadsheet><table:table table:name=\"Data\">{}{}{}</table:table></office:spreadsheet></office:body>\
         </office:document-content>",
        row(&[cell("id"), cell("od"), cell("run")]),
        row(&[number("1"), number("0.5"), date.to_owned()]),
        row(&[number("2"), number("0.25"), date.to_owned()]),
    );
    let manifest = "<?xml version=\"1.0\"?><manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\"/>";
    let bytes = zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", &content),
    ]);
    let parsed = parse("a.ods", bytes).unwrap();
    let batch = &parsed.blocks[0].batches[0];
    assert_eq!(schema(batch), ["id: Int64", "od: Float64", "run: Date32"]);
    assert_eq!(column(batch, "run"), ["2026-03-04", "2026-03-04"]);
}

#[test]
fn numbers_are_what_the_sheet_shows() {
    let rows = |heading: &str| {
        let cell = |style: u8, value: &str| format!("<c s=\"{style}\"><v>{value}</v></c>");
        let line = |at: usize, code: &str, share: &str| {
            row(
                at,
                'A',
                &[
                    &text(&format!("s{at}")),
                    &cell(3, code),
                    &cell(2, share),
                    &cell(0, share),
                ],
            )
        };
        [
            row(1, 'A', &[&text("Sample"), &text("Code"), &text(heading), &text("Raw")]),
            line(2, "7", "0.91"),
            line(3, "12345", "0.07"),
            line(4, "42", "1"),
        ]
        .concat()
    };
    let parsed = parse("a.xlsx", book(&[("S", &rows("Purity (%)"))])).unwrap();
    let batch = &parsed.blocks[0].batches[0];
    assert_eq!(column(batch, "Code"), ["00007", "12345", "00042"]);
    assert_eq!(column(batch, "Purity (%)"), ["91", "7", "100"]);
    assert_eq!(super::floats(batch, "Raw"), [Some(0.91), Some(0.07), Some(1.0)]);
    // The no: nothing says that the column holds percents.
    let parsed = parse("a.xlsx", book(&[("S", &rows("Purity"))])).unwrap();
    let purity = super::floats(&parsed.blocks[0].batches[0], "Purity");
    assert_eq!(purity, [Some(0.91), Some(0.07), Some(1.0)]);
}

#[test]
fn formulas_without_values_are_told() {
    let sheet = |formula: &str| {
        let line = |at: usize| row(at, 'A', &[&text(&format!("s{at}")), "<c><v>2</v></c>", formula]);
        let names = row(1, 'A', &[&text("Sample"), &text("a"), &text("twice")]);
        [names, line(2), line(3), line(4)].concat()
    };
    for formula in [
        "<c><f>B2*2</f></c>",
        "<c><f>B2*2</f><v></v></c>",
        "<c><f>B2*2</f><v/></c>",
    ] {
        let parsed = parse("a.xlsx", book(&[("S", &sheet(formula))])).unwrap();
        let doubts = parsed.confidence.doubts().unwrap_or_default();
        assert!(
            doubts.contains("3 formulas without a stored value"),
            "{formula}: {doubts}"
        );
    }
    // The no: a value, or a text without a letter.
    for formula in ["<c><f>B2*2</f><v>4</v></c>", "<c t=\"str\"><f>B2&amp;C2</f><v></v></c>"] {
        let parsed = parse("a.xlsx", book(&[("S", &sheet(formula))])).unwrap();
        let doubts = parsed.confidence.doubts().unwrap_or_default();
        assert!(!doubts.contains("formula"), "{formula}: {doubts}");
    }
}

#[test]
fn a_note_right_of_a_table_is_told_as_such() {
    let line = |at: usize, note: &[&str]| {
        let cells = [text(&format!("s{at}")), "<c><v>2</v></c>".to_owned()];
        let all: Vec<&str> = cells.iter().map(String::as_str).chain(note.iter().copied()).collect();
        row(at, 'A', &all)
    };
    let note = text("see page 4");
    let sheet = [
        row(1, 'A', &[&text("Sample"), &text("a")]),
        line(2, &[]),
        line(3, &[&note]),
        line(4, &[]),
    ];
    let error = parse("a.xlsx", book(&[("S", &sheet.concat())]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("row 3") && error.contains("right of the table"),
        "{error}"
    );
    // The no: in a file of delimited text it is the delimiter.
    let error = parse("a.csv", "Sample,a\ns2,2\ns3,2,see page 4\ns4,2\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the delimiter ','"), "{error}");
}
