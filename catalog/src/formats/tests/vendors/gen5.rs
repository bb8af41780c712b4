//! Gen5: a head with the protocol, a layout, lists by time or wavelength, results as stacked lines with their names.

use super::{Cases, Fill, PLATES, Random, Reading, Wanted, letter, numbers, reads_max, well};

fn head(plate: usize, wells: usize, european: bool) -> String {
    let (date, time) = if european {
        ("15.02.2024", "14:33:17")
    } else {
        ("2/15/2024", "2:33:17 PM")
    };
    format!(
        "\n\nSoftware Version\t3.12.08\n\n\n\nExperiment File Path:\tC:\\Users\\Public\\Experiments\\run.xpt\nProtocol File Path:\tC:\\Protocols\\run.prt\n\n\n\nPlate Number\tPlate {plate}\nDate\t{date}\nTime\t{time}\nReader Type:\tSynergy H1\nReader Serial Number:\t2101\nReading Type\tReader\n\nProcedure Details\n\nPlate Type\t{wells} WELL PLATE (Use plate lid)\nEject plate on completion\t\nRead\tFluorescence Endpoint\n\tFull Plate\n\tFilter Set 1 (Blue)\n\t    Excitation: 360/40,  Emission: 460/40\n\tRead Speed: Normal,  Delay: 100 msec,  Measurements/Data Point: 10\n\tRead Height: 7 mm\n\n"
    )
}

/// Lines of each row below one another, each with its name behind it.
fn stacked(readings: &[(&str, &Reading)], decimal: char) -> String {
    let columns = readings[0].1.columns;
    let mut text = format!("\t{}\n", numbers(columns, "\t"));
    for row in 0..readings[0].1.rows() {
        for (line, (label, reading)) in readings.iter().enumerate() {
            let first = if line == 0 { letter(row) } else { String::new() };
            text.push_str(&format!("{first}\t{}\t{label}\n", reading.row(row, "\t", decimal)));
        }
    }
    text
}

fn layout((columns, rows): (usize, usize), doses: bool) -> String {
    let mut text = format!("Layout\n\t{}\n", numbers(columns, "\t"));
    for row in 0..rows {
        let names: Vec<String> = (0..columns)
            .map(|column| format!("SPL{}", row * columns + column + 1))
            .collect();
        text.push_str(&format!("{}\t{}\tWell ID\n", letter(row), names.join("\t")));
        if doses {
            let doses: Vec<String> = (0..columns).map(|column| (column * 2).to_string()).collect();
            text.push_str(&format!("\t{}\tConc/Dil\n", doses.join("\t")));
        }
    }
    text + "\n"
}

#[test]
fn endpoints() {
    let mut cases = Cases::default();
    let mut random = Random(11);
    for size in PLATES {
        for reads in 1..=reads_max(size) {
            for fill in [
                Fill::Whole,
                Fill::Half,
                Fill::Hole,
                Fill::Marked("OVRFLW"),
                Fill::Marked(">40.000"),
            ] {
                for (with_layout, decimal) in [(false, '.'), (true, '.'), (true, ',')] {
                    let labels = ["360/40,460/40", "485/20,528/20", "Lum"];
                    let readings: Vec<Reading> = (0..reads).map(|_| Reading::new(&mut random, size, fill)).collect();
                    let named: Vec<(&str, &Reading)> = labels.into_iter().zip(&readings).collect();
                    let layout = if with_layout {
                        layout(size, reads == 2)
                    } else {
                        String::new()
                    };
                    let text = format!(
                        "{}{layout}Results\n{}\n",
                        head(1, size.0 * size.1, decimal == ','),
                        stacked(&named, decimal)
                    );
                    let wanted = Wanted {
                        rows: readings[0].matrix_rows(),
                        wells: readings[0].matrix_rows(),
                        sums: named.iter().map(|(label, reading)| (*label, reading.sum())).collect(),
                    };
                    cases.check(
                        &format!("{size:?} {reads} reads {fill:?} {with_layout} {decimal}"),
                        "run.txt",
                        text,
                        &wanted,
                    );
                }
            }
        }
    }
    cases.done();
}

#[test]
fn several_plates() {
    let mut cases = Cases::default();
    let mut random = Random(12);
    for size in [(12, 8), (24, 16)] {
        for plates in 2..=4 {
            let readings: Vec<Reading> = (0..plates)
                .map(|_| Reading::new(&mut random, size, Fill::Whole))
                .collect();
            let text: String = readings
                .iter()
                .enumerate()
                .map(|(at, reading)| {
                    format!(
                        "{}Results\n{}\n",
                        head(at + 1, size.0 * size.1, false),
                        stacked(&[("450", reading)], '.')
                    )
                })
                .collect();
            let wanted = Wanted {
                rows: plates * size.0 * size.1,
                wells: size.0 * size.1,
                sums: vec![("450", readings.iter().map(Reading::sum).sum())],
            };
            cases.check(&format!("{size:?} {plates} plates"), "run.txt", text, &wanted);
        }
    }
    cases.done();
}

/// Rows by time or wavelength, a column per well.
fn list(axis: &str, places: &[String], wells: &[String], value: impl Fn(usize, usize) -> String) -> String {
    let mut text = format!("{axis}\t{}\n", wells.join("\t"));
    for (row, place) in places.iter().enumerate() {
        let cells: Vec<String> = (0..wells.len()).map(|well| value(row, well)).collect();
        text.push_str(&format!("{place}\t{}\n", cells.join("\t")));
    }
    text
}

#[test]
fn kinetics_and_spectra() {
    let mut cases = Cases::default();
    for size in [(6, 4), (12, 8), (24, 16)] {
        for used in [size.0 * size.1, size.0 * size.1 / 2] {
            for decimal in ['.', ','] {
                let wells: Vec<String> = (0..used).map(|at| well(at, size.0)).collect();
                let times: Vec<String> = (0..7).map(|at| format!("0:{:02}:30\t37{decimal}0", at * 2)).collect();
                let waves: Vec<String> = (0..9).map(|at| (300 + at * 10).to_string()).collect();
                let number = |row: usize, well: usize| format!("{}{decimal}{:03}", row % 4, (row * 7 + well) % 1000);
                let sum = |rows: usize| -> f64 {
                    let all = (0..rows).flat_map(|row| (0..used).map(move |well| (row, well)));
                    all.map(|(row, well)| (row % 4) as f64 + ((row * 7 + well) % 1000) as f64 / 1000.0)
                        .sum()
                };
                let head = head(1, size.0 * size.1, decimal == ',');
                let text = format!("{head}420\n\n{}\n", list("Time\tT° 420", &times, &wells, number));
                let wanted = Wanted {
                    rows: 7 * used,
                    wells: used,
                    sums: vec![("420", sum(7))],
                };
                cases.check(
                    &format!("kinetic {size:?} {used} {decimal}"),
                    "run.txt",
                    text.clone(),
                    &wanted,
                );
                let marked = text.replacen(&number(0, 1), "OVRFLW", 1);
                let wanted = Wanted { sums: vec![], ..wanted };
                cases.check(
                    &format!("kinetic, marked {size:?} {used} {decimal}"),
                    "run.txt",
                    marked,
                    &wanted,
                );
                let text = format!(
                    "{head}Scan:Spectrum\n\n{}\n",
                    list("Wavelength", &waves, &wells, number)
                );
                let wanted = Wanted {
                    rows: 9 * used,
                    wells: used,
                    sums: vec![("Scan:Spectrum", sum(9))],
                };
                cases.check(&format!("spectrum {size:?} {used} {decimal}"), "run.txt", text, &wanted);
            }
        }
    }
    cases.done();
}
