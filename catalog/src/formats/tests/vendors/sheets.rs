//! Workbooks: matrices on several sheets (SkanIt), a report with its table further down (Lunatic, Stunner), two lines of
//! names (Vi-CELL XR). Sheets may be called anything.

use std::fmt::Write as _;

use super::super::excel::zip;
use super::{Cases, Fill, Random, Reading, Wanted, letter, well};

/// A workbook of sheets, each of rows of cells; what parses as a number is one.
fn book(sheets: &[(&str, Vec<Vec<String>>)]) -> Vec<u8> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut list = String::new();
    let mut relations = String::new();
    let mut types = String::new();
    for (at, (name, rows)) in sheets.iter().enumerate() {
        let number = at + 1;
        write!(
            list,
            "<sheet name=\"{name}\" sheetId=\"{number}\" r:id=\"rId{number}\"/>"
        )
        .unwrap();
        write!(relations, "<Relationship Id=\"rId{number}\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet{number}.xml\"/>").unwrap();
        write!(types, "<Override PartName=\"/xl/worksheets/sheet{number}.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>").unwrap();
        let mut data = String::new();
        for (row, cells) in rows.iter().enumerate() {
            write!(data, "<row r=\"{}\">", row + 1).unwrap();
            for (column, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                let place = format!("{}{}", column_letters(column), row + 1);
                if cell.parse::<f64>().is_ok() {
                    write!(data, "<c r=\"{place}\"><v>{cell}</v></c>").unwrap();
                } else {
                    let cell = cell.replace('&', "&amp;").replace('<', "&lt;");
                    write!(data, "<c r=\"{place}\" t=\"inlineStr\"><is><t>{cell}</t></is></c>").unwrap();
                }
            }
            data.push_str("</row>");
        }
        entries.push((format!("xl/worksheets/sheet{number}.xml"), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{data}</sheetData></worksheet>")));
    }
    entries.push(("xl/workbook.xml".to_owned(), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets>{list}</sheets></workbook>")));
    entries.push(("xl/_rels/workbook.xml.rels".to_owned(), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">{relations}</Relationships>")));
    entries.push(("_rels/.rels".to_owned(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>".to_owned()));
    entries.push(("[Content_Types].xml".to_owned(), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>{types}</Types>")));
    let entries: Vec<(&str, &str)> = entries
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_str()))
        .collect();
    zip(&entries)
}

fn column_letters(column: usize) -> String {
    let letter = |at: usize| char::from(b'A' + u8::try_from(at).unwrap());
    if column < 26 {
        letter(column).to_string()
    } else {
        format!("{}{}", letter(column / 26 - 1), letter(column % 26))
    }
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn matrix_rows(corner: &str, reading: &Reading) -> Vec<Vec<String>> {
    let mut rows = vec![
        std::iter::once(corner.to_owned())
            .chain((1..=reading.columns).map(|column| column.to_string()))
            .collect(),
    ];
    for at in 0..reading.rows() {
        let cells = (0..reading.columns).map(|column| reading.cell(at * reading.columns + column, '.'));
        rows.push(std::iter::once(letter(at)).chain(cells).collect());
    }
    rows
}

#[test]
fn matrices_on_sheets() {
    let mut cases = Cases::default();
    let mut random = Random(61);
    for size in [(12, 8), (24, 16)] {
        for plates in 1..=2 {
            for fill in [Fill::Whole, Fill::Half] {
                for first in ["Absorbance 1_01", "Extinktion 1_01", "Sheet1"] {
                    let mut rows = vec![
                        row(&["Measurement results"]),
                        row(&["session.skax"]),
                        row(&["5/8/2024 3:54:50 PM"]),
                        row(&[" "]),
                        row(&["Absorbance 1"]),
                        row(&["Wavelength: 260 nm"]),
                        row(&[" "]),
                    ];
                    let mut sum = 0.0;
                    let mut expected = 0;
                    let mut wells = 0;
                    for plate in 1..=plates {
                        let reading = Reading::new(&mut random, size, fill);
                        sum += reading.sum();
                        expected += reading.matrix_rows();
                        wells = reading.matrix_rows();
                        rows.push(row(&[&format!("Plate {plate}")]));
                        rows.push(row(&[" "]));
                        rows.extend(matrix_rows("Abs", &reading));
                        rows.push(Vec::new());
                    }
                    rows.push(row(&["Autoloading range A1 - H12"]));
                    let info = vec![
                        row(&["General information"]),
                        row(&["", "Report generated with SW version", "", "", "SkanIt Software 7.0"]),
                        row(&["", "Serial number", "", "", "3020-83152"]),
                    ];
                    let bytes = book(&[(first, rows), ("General information", info)]);
                    let wanted = Wanted {
                        rows: expected,
                        wells,
                        sums: vec![("Abs", sum)],
                    };
                    cases.check(
                        &format!("{size:?} {plates} plates {fill:?} {first}"),
                        "run.xlsx",
                        bytes,
                        &wanted,
                    );
                }
            }
        }
    }
    cases.done();
}

#[test]
fn reports_with_a_table_further_down() {
    let mut cases = Cases::default();
    let mut random = Random(62);
    for samples in [1, 2, 20, 96] {
        for (info, sheet) in [(true, "Report"), (false, "Tabelle1"), (true, "Lunatic (1)")] {
            let mut rows = Vec::new();
            if info {
                rows.extend([
                    row(&["Report"]),
                    Vec::new(),
                    row(&["Info"]),
                    row(&["Date", "45299.4277"]),
                    row(&["Test performed by", "Waldo"]),
                    row(&["Instrument", "123456"]),
                    row(&["Software version", "8.2.0.259"]),
                    row(&["Application", "dsDNA (Turbidity)"]),
                    row(&["Plate type", "Lunatic Plate"]),
                    row(&["Nr of Plates", "1"]),
                    Vec::new(),
                    row(&["Table"]),
                ]);
            }
            rows.push(row(&[
                "Plate ID",
                "Plate\nPosition",
                "Sample name",
                "Concentration\n(ng/ul)",
                "A260/A280",
                "A260",
                "Sample group",
                "Instrument ID",
            ]));
            let mut sum = 0.0;
            for at in 0..samples {
                let value = random.below(90_000) as f64 / 1000.0 + 0.001;
                let shown = format!("{value:.3}");
                sum += shown.parse::<f64>().unwrap();
                rows.push(row(&[
                    "PLATE_1",
                    &well(at, 12),
                    &format!("SAMPLE_{at}"),
                    &shown,
                    "1.94",
                    "3.65",
                    "GROUP_1",
                    "123456",
                ]));
            }
            let wanted = Wanted {
                rows: samples,
                wells: samples,
                sums: vec![("Concentration (ng/ul)", sum)],
            };
            cases.check(
                &format!("{samples} {info} {sheet}"),
                "run.xlsx",
                book(&[(sheet, rows)]),
                &wanted,
            );
        }
    }
    cases.done();
}

/// PharmSpec: pairs with a cell for each colon, then the sizes of each run with empty rows between, then averages.
#[test]
fn particle_counts() {
    let mut cases = Cases::default();
    let mut random = Random(64);
    for runs in 1..=4 {
        for sizes in [3, 5, 8] {
            for (sheet, title) in [
                ("Biologics 2022", "HIAC PharmSpec v3.4.4"),
                ("Tabelle1", "HIAC PharmSpec v3.0"),
            ] {
                let mut rows = vec![
                    row(&["", "", title]),
                    Vec::new(),
                    row(&["Probe", ":", "Example", "Sensor Model", ":", "HRLD150"]),
                    Vec::new(),
                    row(&["Batch-Nr", ":", "-", "Operator Name", ":", "MFC7094"]),
                    Vec::new(),
                    row(&["Sample Volume (mL)", ":", "0.2", "No Of Runs", ":", &runs.to_string()]),
                    Vec::new(),
                    row(&[
                        "Run No.",
                        "Particle Size(µm)",
                        "Cumulative Count",
                        "Cumulative Counts/mL",
                    ]),
                    Vec::new(),
                ];
                let mut sum = 0.0;
                for label in (1..=runs).map(|run| format!("Run{run}")).chain(["Average".to_owned()]) {
                    rows.push(row(&[&label]));
                    for size in 0..sizes {
                        let count = random.below(5000);
                        if label != "Average" {
                            sum += count as f64;
                        }
                        rows.push(row(&[
                            "",
                            &(2 + size * 5).to_string(),
                            &count.to_string(),
                            &(count * 5).to_string(),
                        ]));
                        rows.push(Vec::new());
                    }
                }
                let wanted = Wanted {
                    rows: runs * sizes,
                    wells: 0,
                    sums: vec![("Cumulative Count", sum)],
                };
                cases.check(
                    &format!("{runs} runs {sizes} sizes {sheet}"),
                    "run.xlsx",
                    book(&[(sheet, rows)]),
                    &wanted,
                );
            }
        }
    }
    cases.done();
}

#[test]
fn two_lines_of_names() {
    let mut cases = Cases::default();
    let mut random = Random(63);
    for samples in [2, 4, 187] {
        let mut rows = vec![
            row(&["Vi-CELL XR 2.06.3"]),
            row(&["C:\\ViCELLXR\\Data\\run.txt"]),
            row(&["Unit S/N:  AN12345"]),
            row(&[" "]),
            row(&[
                "Sample ID",
                "File name",
                "Cell type",
                "Min diam.",
                "Dilution",
                "Sample date/time",
                "Total",
                "Viable",
                "Viability",
            ]),
            row(&["", "", "", "(microns)", "factor", "", "cells", "cells", "(%)"]),
        ];
        for at in 0..samples {
            let total = random.below(2000);
            rows.push(row(&[
                &format!("CLB{at:03}"),
                &format!("CLB{at:03}.smp"),
                "CHO",
                "6.00",
                "3.00",
                &format!("7 Oct 2022  11:{:02}:00", at % 60),
                &total.to_string(),
                &(total / 2).to_string(),
                "98.1",
            ]));
        }
        let bytes = book(&[("Run data summary", rows)]);
        let wanted = Wanted {
            rows: samples,
            wells: 0,
            sums: vec![],
        };
        cases.check(&format!("{samples}"), "run.xlsx", bytes, &wanted);
    }
    cases.done();
}
