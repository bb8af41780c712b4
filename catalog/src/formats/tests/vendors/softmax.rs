//! SoftMax Pro: blocks of plates without row letters, wavelengths side by side, time below one another; or lists with a
//! column per well; groups behind them.

use std::fmt::Write as _;

use super::super::utf16le;
use super::{Cases, Fill, Random, Reading, Wanted, numbers, reads_max, well};

/// A plate as a matrix for each time or wavelength, and wavelengths of an endpoint side by side.
fn plate_format(name: &str, mode: &str, waves: &[usize], reads: &[(String, Vec<Reading>)], decimal: char) -> String {
    let columns = reads[0].1[0].columns;
    let rows = reads[0].1[0].rows();
    let waves: Vec<String> = waves.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "Plate:\t{name}\t1.3\tPlateFormat\t{mode}\tAbsorbance\tRaw\tFALSE\t{}\t\t\t\t\t\t{}\t{} \t1\t{columns}\t{}\t1\t{rows}\t\t\n",
        reads.len(),
        waves.len(),
        waves.join(" "),
        columns * rows
    );
    let side: Vec<String> = reads[0].1.iter().map(|_| numbers(columns, "\t")).collect();
    writeln!(text, "\tTemperature(¡C)\t{}\t", side.join("\t\t")).unwrap();
    for (axis, readings) in reads {
        for row in 0..rows {
            let (axis, temperature) = if row == 0 {
                (axis.as_str(), format!("23{decimal}5"))
            } else {
                ("", String::new())
            };
            let cells: Vec<String> = readings.iter().map(|reading| reading.row(row, "\t", decimal)).collect();
            writeln!(text, "{axis}\t{temperature}\t{}\t", cells.join("\t\t")).unwrap();
        }
        text.push('\n');
    }
    text + "~End\n"
}

fn group(name: &str, wells: &[String]) -> String {
    let mut text = format!("Group: {name}\nSample\tWells\tValue\tMeanValue\tSD\tCV\t\n");
    for (at, pair) in wells.chunks(2).enumerate() {
        for (place, well) in pair.iter().enumerate() {
            if place == 0 {
                writeln!(text, "SMP{at}\t{well}\t0.{at:03}\t0.{at:03}\t0.010\t1.0\t").unwrap();
            } else {
                writeln!(text, " \t{well}\t0.{at:03}\t \t \t \t").unwrap();
            }
        }
    }
    text + "\nGroup Column\tFormula Name\tFormula\tPrecision\tNotation\n1\tSample\t!SampleNames\t3 decimal places\tNumeric\n2\tWells\t!WellIDs\t3 decimal places\tNumeric\n\nGroup Summaries\n~End\n"
}

#[test]
fn endpoints() {
    let mut cases = Cases::default();
    let mut random = Random(21);
    for size in [(3, 2), (6, 4), (12, 8), (24, 16), (48, 32)] {
        for plates in 1..=reads_max(size) {
            for waves in [&[450][..], &[450, 600], &[280, 450, 562]] {
                for (fill, decimal) in [
                    (Fill::Whole, '.'),
                    (Fill::Whole, ','),
                    (Fill::Half, '.'),
                    (Fill::Marked("#SAT"), '.'),
                ] {
                    let mut text = format!("##BLOCKS= {}\n", plates + 1);
                    let mut sum = 0.0;
                    for plate in 0..plates {
                        let readings: Vec<Reading> =
                            waves.iter().map(|_| Reading::new(&mut random, size, fill)).collect();
                        sum += readings.iter().map(Reading::sum).sum::<f64>();
                        text += &plate_format(
                            &format!("Plate{}", plate + 1),
                            "Endpoint",
                            waves,
                            &[(String::new(), readings)],
                            decimal,
                        );
                    }
                    let wells: Vec<String> = (0..6).map(|at| well(at, size.0)).collect();
                    text += &group("Unknowns", &wells);
                    text += "Original Filename: a.sda   Date Last Saved: 4/7/2021 11:11:00 AM\n";
                    // A matrix without letters keeps its blank wells: which is which is told by counting.
                    let wanted = Wanted {
                        rows: plates * waves.len() * size.0 * size.1,
                        wells: size.0 * size.1,
                        sums: vec![("value", sum)],
                    };
                    cases.check(
                        &format!("{size:?} {plates} plates {waves:?} {fill:?} {decimal}"),
                        "run.txt",
                        utf16le(&text),
                        &wanted,
                    );
                }
            }
        }
    }
    cases.done();
}

#[test]
fn kinetics_and_spectra() {
    let mut cases = Cases::default();
    let mut random = Random(22);
    for size in [(6, 4), (12, 8), (24, 16)] {
        for points in [1, 2, 5] {
            for (mode, decimal) in [("Kinetic", '.'), ("Spectrum", '.'), ("Kinetic", ',')] {
                let reads: Vec<(String, Vec<Reading>)> = (0..points)
                    .map(|at| {
                        let axis = if mode == "Kinetic" {
                            format!("00:{at:02}:30")
                        } else {
                            (525 + at).to_string()
                        };
                        (axis, vec![Reading::new(&mut random, size, Fill::Whole)])
                    })
                    .collect();
                let sum = reads.iter().flat_map(|(_, readings)| readings).map(Reading::sum).sum();
                let text = format!("##BLOCKS= 1\n{}", plate_format("P1", mode, &[450], &reads, decimal));
                let wanted = Wanted {
                    rows: points * size.0 * size.1,
                    wells: size.0 * size.1,
                    sums: vec![("value", sum)],
                };
                cases.check(
                    &format!("{mode} {size:?} {points} {decimal}"),
                    "run.txt",
                    utf16le(&text),
                    &wanted,
                );
            }
        }
    }
    cases.done();
}

#[test]
fn lists_by_time() {
    let mut cases = Cases::default();
    let mut random = Random(23);
    for size in [(12, 8), (24, 16)] {
        for plates in 1..=2 {
            for points in [1, 2, 6] {
                let mut text = format!("##BLOCKS= {plates}\n");
                let mut sum = 0.0;
                for plate in 0..plates {
                    let wells: Vec<String> = (0..size.0 * size.1).map(|at| well(at, size.0)).collect();
                    writeln!(text, "Plate:\tP{plate}\t1.3\tTimeFormat\tKinetic\tAbsorbance\tRaw\tFALSE\t{points}\t300\t60\t\t\t\t1\t450 \t1\t{}\t{}\t1\t{}", size.0, size.0 * size.1, size.1).unwrap();
                    writeln!(text, "Time\tTemperature(¡C)\t{}\t", wells.join("\t")).unwrap();
                    for point in 0..points {
                        let reading = Reading::new(&mut random, size, Fill::Whole);
                        sum += reading.sum();
                        let cells: Vec<String> = (0..wells.len()).map(|at| reading.cell(at, '.')).collect();
                        writeln!(text, "00:{point:02}:00\t23.5\t{}\t", cells.join("\t")).unwrap();
                    }
                    text += "\n~End\n";
                }
                let wanted = Wanted {
                    rows: plates * points * size.0 * size.1,
                    wells: size.0 * size.1,
                    sums: vec![("value", sum)],
                };
                cases.check(&format!("{size:?} {plates} {points}"), "run.txt", text, &wanted);
            }
        }
    }
    cases.done();
}
