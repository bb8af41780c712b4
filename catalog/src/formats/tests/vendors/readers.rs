//! Readers that write matrices with letters: MARS, EnVision, Kaleido, Methodical Mind.

use std::fmt::Write as _;

use super::{Cases, Fill, PLATES, Random, Reading, Wanted, letter, matrix, numbers, reads_max};

const FILLS: [Fill; 4] = [Fill::Whole, Fill::Half, Fill::Hole, Fill::Marked("overflow")];

/// MARS: a head of one line with several pairs, then one matrix a channel.
#[test]
fn mars_matrices() {
    let mut cases = Cases::default();
    let mut random = Random(31);
    for size in PLATES {
        for channels in 1..=reads_max(size) {
            for fill in FILLS {
                for (delimiter, decimal, padded) in [
                    (",", '.', false),
                    (",", '.', true),
                    (";", ',', false),
                    ("\t", '.', false),
                ] {
                    let readings: Vec<Reading> = (0..channels).map(|_| Reading::new(&mut random, size, fill)).collect();
                    let names: Vec<String> = (1..=channels)
                        .map(|channel| format!("Raw Data ({} {channel})", 400 + channel * 50))
                        .collect();
                    let mut text = format!(
                        "User: USER{delimiter}Path: C:\\Program Files (x86)\\BMG\\Data{delimiter}Test run no.: 4\nTest name: Assay 7{delimiter}Date: 29/02/2024{delimiter}Time: 14:34:46\n\nID1: a microplate{delimiter}ID2: 20 ul\nFluorescence (FI)\n\n"
                    );
                    for (name, reading) in names.iter().zip(&readings) {
                        write!(text, "{name}\n\n{}\n", matrix(reading, delimiter, decimal)).unwrap();
                    }
                    if padded {
                        text = pad(&text, delimiter, size.0 + 1);
                    }
                    let wanted = Wanted {
                        rows: channels * readings[0].matrix_rows(),
                        wells: readings[0].matrix_rows(),
                        sums: vec![],
                    };
                    // Names that differ in numbers only are rows of one column.
                    let sum: f64 = readings.iter().map(Reading::sum).sum();
                    let named = Wanted {
                        sums: vec![(if channels > 1 { "value" } else { &names[0] }, sum)],
                        ..wanted
                    };
                    cases.check(
                        &format!("{size:?} {channels} channels {fill:?} {delimiter:?} {padded}"),
                        "run.csv",
                        text,
                        &named,
                    );
                }
            }
        }
    }
    cases.done();
}

/// As Excel writes it again: each line as wide as the widest.
fn pad(text: &str, delimiter: &str, width: usize) -> String {
    text.lines()
        .map(|line| {
            format!(
                "{line}{}\n",
                delimiter.repeat(width.saturating_sub(1 + line.matches(delimiter).count()))
            )
        })
        .collect()
}

/// MARS: the table format.
#[test]
fn mars_lists() {
    let mut cases = Cases::default();
    let mut random = Random(32);
    for size in [(12, 8), (24, 16)] {
        for (delimiter, decimal) in [(",", '.'), (";", ','), ("\t", '.')] {
            for channels in 1..=2 {
                let readings: Vec<Reading> = (0..channels)
                    .map(|_| Reading::new(&mut random, size, Fill::Whole))
                    .collect();
                let names: Vec<String> = (1..=channels)
                    .map(|channel| format!("Raw Data ({}/620 {channel})", 400 + channel * 50))
                    .collect();
                let mut text = format!(
                    "User: USER{delimiter}Path: C:\\BMG\\Data{delimiter}Test ID: 4\nTest Name: Assay 7{delimiter}Date: 29/02/2024{delimiter}Time: 14:34:46\nFluorescence (FI)\n\n\nWell{delimiter}Content{delimiter}{}\n",
                    names.join(delimiter)
                );
                for at in 0..size.0 * size.1 {
                    let cells: Vec<String> = readings.iter().map(|reading| reading.cell(at, decimal)).collect();
                    writeln!(
                        text,
                        "{}{:02}{delimiter}Sample X{}{delimiter}{}",
                        letter(at / size.0),
                        at % size.0 + 1,
                        at + 1,
                        cells.join(delimiter)
                    )
                    .unwrap();
                }
                let wanted = Wanted {
                    rows: size.0 * size.1,
                    wells: size.0 * size.1,
                    sums: names
                        .iter()
                        .zip(&readings)
                        .map(|(name, reading)| (name.as_str(), reading.sum()))
                        .collect(),
                };
                cases.check(
                    &format!("{size:?} {channels} {delimiter:?}"),
                    "run.csv",
                    text.clone(),
                    &wanted,
                );
            }
        }
    }
    cases.done();
}

/// EnVision: a table of one row above each matrix, then the protocol with the plate's map.
#[test]
fn envision() {
    let mut cases = Cases::default();
    let mut random = Random(33);
    for size in [(12, 8), (24, 16), (48, 32)] {
        for plates in 1..=reads_max(size) {
            for channels in 1..=2 {
                for fill in [Fill::Whole, Fill::Half, Fill::Hole] {
                    for with_map in [true, false] {
                        let mut text = String::new();
                        let mut sums = vec![0.0; channels];
                        let mut rows = 0;
                        for plate in 1..=plates {
                            for (channel, sum) in sums.iter_mut().enumerate() {
                                let reading = Reading::new(&mut random, size, fill);
                                *sum += reading.sum();
                                rows = reading.matrix_rows();
                                writeln!(text, "Plate information \nPlate,Repeat,Barcode,Measured height,Chamber temperature at start,Humidity at start,Measurement date,\n{plate},1,=\"BC{plate}\",11.9,23.17,{},10/13/2022 3:0{plate}:06 PM,\n\nBackground information\nPlate,Label,Result,Signal,Flashes/Time,Meastime,MeasInfo,\n{plate},Laser [Eu],0,162,50,00:00:00.000,De=1st Ex=Top,\n{plate},Laser [Eu],0,260,50,00:00:00.000,De=2nd Ex=Top,\n\nResults for Laser [Eu](1) - channel {} window 1 (Counts)", 40 + plate, channel + 1).unwrap();
                                let numbers: Vec<String> = (1..=size.0).map(|column| format!("{column:02}")).collect();
                                writeln!(text, ",{},", numbers.join(",")).unwrap();
                                for row in 0..size.1 {
                                    writeln!(text, "{},{},", letter(row), reading.row(row, ",", '.')).unwrap();
                                }
                                text.push('\n');
                            }
                        }
                        write!(text, "\nBasic assay information \nAssay ID: ,,,,3134\nAssay Started: ,,,,10/13/2022 3:06:23 PM\nProtocol Name: ,,,,HTRF\nSerial#: ,,,,=\"1050209\"\n\n\n\nProtocol information\nProtocol:\nProtocol name,,,,HTRF\nNumber of assay repeats,,,,1\nNumber of plate repeats,,,,1\n\nPlate type:\nName of the plate type,,,,a plate\nNumber of rows,,,,{}\nNumber of columns,,,,{}\nNumber of the wells in the plate,,,,{}\nHeight of the plate,,,,12 mm\n\n", size.1, size.0, size.0 * size.1).unwrap();
                        if with_map {
                            write!(text, "Platemap:\nPlate,,,,1\nGroup,,,,1\n\n").unwrap();
                            let numbers: Vec<String> = (1..=size.0).map(|column| format!("{column:02}")).collect();
                            writeln!(text, ",{},", numbers.join(",")).unwrap();
                            for row in 0..size.1 {
                                writeln!(text, "{},{},", letter(row), vec!["- "; size.0].join(",")).unwrap();
                            }
                            text.push_str("\n - - Undefined\n\n");
                        }
                        text.push_str("Calculations:\n\nExported with EnVision Workstation version 1.13\n");
                        let wanted = Wanted {
                            rows: plates * channels * rows,
                            wells: rows,
                            sums: vec![("value", sums.iter().sum())],
                        };
                        let one = Wanted { sums: vec![], ..wanted };
                        let label = format!("{size:?} {plates} plates {channels} channels {fill:?} {with_map}");
                        // One channel names its column; several are rows.
                        let wanted = if channels > 1 {
                            Wanted {
                                sums: vec![("value", sums.iter().sum())],
                                ..one
                            }
                        } else {
                            one
                        };
                        cases.check(&label, "run.csv", text, &wanted);
                    }
                }
            }
        }
    }
    cases.done();
}

/// Kaleido: results, then what was computed of them by name, then the plate's map.
#[test]
fn kaleido() {
    let mut cases = Cases::default();
    let mut random = Random(34);
    for size in [(12, 8), (24, 16)] {
        for plates in 1..=3 {
            for fill in [Fill::Whole, Fill::Half, Fill::Hole] {
                for (delimiter, decimal) in [(",", '.'), ("\t", ','), (";", ',')] {
                    let d = delimiter;
                    let mut text = "\n\nResults for ABS mono 1\n\n".to_owned();
                    let mut sum = 0.0;
                    let mut rows = 0;
                    for plate in 1..=plates {
                        let reading = Reading::new(&mut random, size, fill);
                        sum += reading.sum();
                        rows = reading.matrix_rows();
                        write!(
                            text,
                            "Barcode: P-{plate}, PlateRepeat: 1, WellRepeat: 1\n{}\n",
                            matrix(&reading, d, decimal)
                        )
                        .unwrap();
                    }
                    write!(text, "Analysis Result  \n\nMeasurement Basic Information\nSoftware version:{d}{d}Kaleido 2.0.3058.126\n\nMeasurement Signature:{d}{d}8a39c54f\nMeasurement Started:{d}{d}2020-10-26T16:16:18.2284559-04:00\nInstrument Serial Number:{d}{d}1234567\n\nProtocol Name:{d}{d}bar\n\nNumber of plate repeats{d}{d}1\n\nPlate Type\nPlate Type Name:{d}{d}General\nNumber of rows:{d}{d}{}\nNumber of columns:{d}{d}{}\n\nPlatemap\nPlate\n{d}{}\n", size.1, size.0, numbers(size.0, d)).unwrap();
                    for row in 0..size.1 {
                        writeln!(text, "{}{d}{}", letter(row), vec!["-"; size.0].join(d)).unwrap();
                    }
                    text.push_str("\n\nOperations:\n\n\nExported with Kaleido 2.0.3058.126 and xslt version 2.0.0\n");
                    let wanted = Wanted {
                        rows: plates * rows,
                        wells: rows,
                        sums: vec![("Results for ABS mono 1", sum)],
                    };
                    let label = format!("{size:?} {plates} plates {fill:?} {delimiter:?}");
                    cases.check(&label, "run.csv", text, &wanted);
                }
            }
        }
    }
    cases.done();
}

/// Methodical Mind: several spots in each well, one line of the row for each.
#[test]
fn spots() {
    let mut cases = Cases::default();
    let mut random = Random(35);
    for size in [(12, 8), (24, 16)] {
        for spots in [1, 4, 10] {
            for plates in 1..=2 {
                let mut text = String::new();
                for plate in 1..=plates {
                    let readings: Vec<Reading> = (0..spots)
                        .map(|_| Reading::new(&mut random, size, Fill::Whole))
                        .collect();
                    write!(text, "FileName :\tC:\\Results\\2BO{plate}.txt\nRun Name  :\t20241017\nPlate #  :\t{plate}\nBarcode1 :\t<2BO{plate}>\nType     :\tMulti-Spot\nWells Per Row :\t{}\nWells Per Col :\t{}\nSpots Per Well:\t{spots}\nRead Time:\t10/17/2024\t15:06:11 EDT\nVersion  :\tMMPR 1.0.38\n\nSerial # :\t9999\n\n==========Data=====================\n  \t{}\n", size.0, size.1, numbers(size.0, "\t")).unwrap();
                    for row in 0..size.1 {
                        for (spot, reading) in readings.iter().enumerate() {
                            let first = if spot == 0 { letter(row) } else { String::new() };
                            writeln!(text, "{first} \t{}", reading.row(row, "\t", '.')).unwrap();
                        }
                    }
                    text.push_str("\n\n");
                }
                let wanted = Wanted {
                    rows: plates * spots * size.0 * size.1,
                    wells: size.0 * size.1,
                    sums: vec![],
                };
                cases.check(
                    &format!("{size:?} {spots} spots {plates} plates"),
                    "run.txt",
                    text,
                    &wanted,
                );
            }
        }
    }
    cases.done();
}
