//! Further layouts of the same programs: one titled matrix for each reading, several kinetics, reduced numbers behind raw
//! ones, lists instead of matrices, sections parted by commas.

use std::fmt::Write as _;

use super::super::utf16le;
use super::{Cases, Fill, PLATES, Random, Reading, Wanted, letter, numbers, well};

/// Gen5: a title above each matrix, its name behind each line.
#[test]
fn titled_matrices() {
    let mut cases = Cases::default();
    let mut random = Random(71);
    for size in PLATES {
        for reads in 1..=3 {
            for fill in [Fill::Whole, Fill::Half, Fill::Marked("*0.356*")] {
                let mut text = format!(
                    "\nSoftware Version\t3.12.08\n\nPlate Number\tPlate 1\nDate\t2/15/2024\nTime\t10:33:17 AM\n\nProcedure Details\n\nPlate Type\t{} WELL PLATE\nRead\tAbsorbance Endpoint\n\tFull Plate\n\tWavelengths:  660\n\n",
                    size.0 * size.1
                );
                let names: Vec<String> = (0..reads)
                    .map(|read| ["660", "Cell Count", "Object Size"][read].to_owned())
                    .collect();
                let readings: Vec<Reading> = (0..reads).map(|_| Reading::new(&mut random, size, fill)).collect();
                for (name, reading) in names.iter().zip(&readings) {
                    writeln!(text, "{name}\n\t{}", numbers(size.0, "\t")).unwrap();
                    for row in 0..size.1 {
                        writeln!(text, "{}\t{}\t{name}", letter(row), reading.row(row, "\t", '.')).unwrap();
                    }
                    text.push('\n');
                }
                let wanted = Wanted {
                    rows: readings[0].matrix_rows(),
                    wells: readings[0].matrix_rows(),
                    sums: names
                        .iter()
                        .zip(&readings)
                        .map(|(name, reading)| (name.as_str(), reading.sum()))
                        .collect(),
                };
                cases.check(&format!("{size:?} {reads} {fill:?}"), "run.txt", text, &wanted);
            }
        }
    }
    cases.done();
}

/// Gen5: a list for each wavelength of a kinetic.
#[test]
fn several_kinetics() {
    let mut cases = Cases::default();
    let mut random = Random(72);
    for size in [(12, 8), (24, 16)] {
        for reads in 1..=3 {
            let count = size.0 * size.1;
            let wells: Vec<String> = (0..count).map(|at| well(at, size.0)).collect();
            let mut text = "Software Version\t3.12.08\n\nPlate Number\tPlate 1\nDate\t2/15/2024\n\nProcedure Details\n\nPlate Type\t96 WELL PLATE\nStart Kinetic\tRuntime 0:30:00 (HH:MM:SS), Interval 0:05:00, 4 Reads\n\n".to_owned();
            let names: Vec<String> = (1..=reads)
                .map(|read| format!("Read {read}:{}", 400 + read * 20))
                .collect();
            let mut sums = Vec::new();
            for name in &names {
                let mut sum = 0.0;
                write!(text, "{name}\n\nTime\tT° {name}\t{}\n", wells.join("\t")).unwrap();
                for time in 0..4 {
                    let reading = Reading::new(&mut random, size, Fill::Whole);
                    sum += reading.sum();
                    let cells: Vec<String> = (0..count).map(|at| reading.cell(at, '.')).collect();
                    writeln!(text, "0:{:02}:00\t37.0\t{}", time * 5, cells.join("\t")).unwrap();
                }
                text.push('\n');
                sums.push(sum);
            }
            // Each list calls its temperature by its own name, so each is a table; the first is the main one.
            let wanted = Wanted {
                rows: 4 * count,
                wells: count,
                sums: vec![],
            };
            let first = sums.first().copied().unwrap_or_default();
            let wanted = if reads == 1 {
                Wanted {
                    sums: vec![(names[0].as_str(), first)],
                    ..wanted
                }
            } else {
                wanted
            };
            cases.check(&format!("{size:?} {reads}"), "run.txt", text, &wanted);
        }
    }
    cases.done();
}

/// SoftMax Pro: wavelengths of a kinetic side by side, and reduced numbers behind the raw ones.
#[test]
fn kinetics_side_by_side() {
    let mut cases = Cases::default();
    let mut random = Random(73);
    for size in [(6, 4), (12, 8), (24, 16)] {
        for (waves, points, reduced) in [(1, 4, true), (2, 3, false), (2, 4, true), (3, 1, true)] {
            for decimal in ['.', ','] {
                let side = vec![numbers(size.0, "\t"); waves].join("\t\t");
                let list: Vec<String> = (0..waves).map(|wave| (485 + wave * 30).to_string()).collect();
                let mut text = format!(
                    "##BLOCKS= 1\nPlate:\tP1\t1.3\tPlateFormat\tKinetic\tAbsorbance\tRaw\tFALSE\t{points}\t300\t90\t\t\t\t{waves}\t{} \t1\t{}\t{}\t1\t{}\t\t\n\tTemperature(¡C)\t{side}\t\n",
                    list.join(" "),
                    size.0,
                    size.0 * size.1,
                    size.1
                );
                let mut rows = 0;
                for point in 0..points {
                    let readings: Vec<Reading> = (0..waves)
                        .map(|_| Reading::new(&mut random, size, Fill::Whole))
                        .collect();
                    rows += waves * size.0 * size.1;
                    for row in 0..size.1 {
                        let cells: Vec<String> =
                            readings.iter().map(|reading| reading.row(row, "\t", decimal)).collect();
                        let start = if row == 0 {
                            format!("00:{:02}:30\t35{decimal}1", point)
                        } else {
                            "\t".to_owned()
                        };
                        writeln!(text, "{start}\t{}\t", cells.join("\t\t")).unwrap();
                    }
                    text.push('\n');
                }
                if reduced {
                    let reading = Reading::new(&mut random, size, Fill::Whole);
                    writeln!(text, "\t\t{}\t", numbers(size.0, "\t")).unwrap();
                    for row in 0..size.1 {
                        writeln!(text, "\t\t{}\t", reading.row(row, "\t", decimal)).unwrap();
                    }
                }
                text.push_str("~End\n");
                let wanted = Wanted {
                    rows,
                    wells: size.0 * size.1,
                    sums: vec![],
                };
                cases.check(
                    &format!("{size:?} {waves} waves {points} points {reduced} {decimal}"),
                    "run.txt",
                    utf16le(&text),
                    &wanted,
                );
            }
        }
    }
    cases.done();
}

/// EnVision: the list format, a row for each well.
#[test]
fn envision_lists() {
    let mut cases = Cases::default();
    let mut random = Random(74);
    for size in [(12, 8), (24, 16)] {
        for plates in 1..=2 {
            let mut text = "Plate,Repeat,Barcode,Well,Type,Result,Signal,MeasTime\n".to_owned();
            let mut sum = 0.0;
            for plate in 1..=plates {
                let reading = Reading::new(&mut random, size, Fill::Whole);
                sum += reading.sum();
                for at in 0..size.0 * size.1 {
                    writeln!(
                        text,
                        "{plate},1,BC{plate},{}{:02},M,{},{},00:00:0{}.100",
                        letter(at / size.0),
                        at % size.0 + 1,
                        reading.cell(at, '.'),
                        at * 3,
                        at % 10
                    )
                    .unwrap();
                }
            }
            text.push_str("\nBasic assay information \nAssay ID: ,,,,3134\nAssay Started: ,,,,10/13/2022 3:06:23 PM\nProtocol Name: ,,,,HTRF\n");
            let wanted = Wanted {
                rows: plates * size.0 * size.1,
                wells: size.0 * size.1,
                sums: vec![("Result", sum)],
            };
            cases.check(&format!("{size:?} {plates}"), "run.csv", text, &wanted);
        }
    }
    cases.done();
}

/// ImmunoSpot: plates aligned by spaces, with a word where spots cannot be counted.
#[test]
fn plates_aligned_by_spaces() {
    let mut cases = Cases::default();
    let mut random = Random(76);
    for size in [(12, 8), (24, 16)] {
        for sections in 1..=3 {
            for fill in [Fill::Whole, Fill::Marked("TNTC")] {
                let mut text = "Software version: ImmunoSpot 7.0.30.5\nCounted: Tue Oct 03 15:12:21 2023; Authenticated user: 'LAB\\foo'\nAnalyzer Serial number: S6-1; Computer name: bar\nE:\\Plates\\counted.txt\nCounting window size: 1024x1024\n\n\nAssay:\t1\nSensitivity: 160\nSpot Separation: 3.00\n\n".to_owned();
                let names: Vec<&str> = ["Unprocessed Data", "Mean spot sizes (Sq.mm)", "Well areas (%max)"]
                    .into_iter()
                    .take(sections)
                    .collect();
                let readings: Vec<Reading> = (0..sections).map(|_| Reading::new(&mut random, size, fill)).collect();
                for (at, (name, reading)) in names.iter().zip(&readings).enumerate() {
                    writeln!(text, "\t\t\t{name}\n").unwrap();
                    if at == 0 {
                        writeln!(text, "\tC.T.L.\t\t\tImmunoSpot  Plate Code = 7").unwrap();
                    }
                    let heads: Vec<String> = (1..=size.0).map(|column| format!("{column:>7}")).collect();
                    writeln!(text, "{}   \n", heads.join("")).unwrap();
                    for row in 0..size.1 {
                        let cells: Vec<String> = (0..size.0)
                            .map(|column| format!("{:>7}", reading.cell(row * size.0 + column, '.')))
                            .collect();
                        writeln!(text, "{}{} ", letter(row), cells.join("")).unwrap();
                    }
                    text.push_str("TNTC: Too numerous to count\n\n");
                }
                let wanted = Wanted {
                    rows: size.0 * size.1,
                    wells: size.0 * size.1,
                    sums: if sections > 1 {
                        vec![(names[1], readings[1].sum())]
                    } else {
                        vec![]
                    },
                };
                cases.check(&format!("{size:?} {sections} {fill:?}"), "run.txt", text, &wanted);
            }
        }
    }
    cases.done();
}

/// QuantStudio: the same sections in a file of commas, and one section alone.
#[test]
fn sections_parted_by_commas() {
    let mut cases = Cases::default();
    let mut random = Random(75);
    for (columns, rows) in [(12, 8), (24, 16)] {
        for used in [5, columns * rows / 2, columns * rows] {
            for delimiter in [",", "\t"] {
                let d = delimiter;
                let mut text = "* Block Type = 96fast\n* Chemistry = SYBR_GREEN\n* Experiment File Name = D:\\a, b.eds\n* Instrument Serial Number = 2788\n* Passive Reference = ROX\n\n[Results]\n".to_owned();
                let names = [
                    "Well",
                    "Well Position",
                    "Omit",
                    "Sample Name",
                    "Target Name",
                    "Task",
                    "CT",
                    "Ct Mean",
                    "Tm1",
                    "Tm2",
                ];
                writeln!(text, "{}", names.join(d)).unwrap();
                let mut sum = 0.0;
                for at in 0..columns * rows {
                    if at < used {
                        let ct = random.below(40_000) as f64 / 1000.0;
                        sum += ct;
                        writeln!(
                            text,
                            "{}{d}{}{d}false{d}S{at}{d}T1{d}UNKNOWN{d}{ct:.3}{d}{ct:.3}{d}8{}.5{d}",
                            at + 1,
                            well(at, columns),
                            at % 10
                        )
                        .unwrap();
                    } else {
                        writeln!(text, "{}{d}{}{d}false{}", at + 1, well(at, columns), d.repeat(7)).unwrap();
                    }
                }
                let wanted = Wanted {
                    rows: used,
                    wells: used,
                    sums: vec![("CT", sum)],
                };
                cases.check(&format!("{columns} {used} {delimiter:?}"), "run.csv", text, &wanted);
            }
        }
    }
    cases.done();
}
