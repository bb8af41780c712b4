//! Instruments that write a row per sample: xPONENT, NanoDrop, QIAcuity, Lunatic, Absolute Q, VISIONlite, Vi-CELL, Echo,
//! Biomek, NucleoView.

use std::fmt::Write as _;

use super::{Cases, Random, Wanted, well};

fn value(random: &mut Random) -> f64 {
    random.below(90_000) as f64 / 1000.0 + 0.001
}

fn shown(value: f64, decimal: char) -> String {
    format!("{value:.3}").replace('.', &decimal.to_string())
}

#[test]
fn xponent() {
    let mut cases = Cases::default();
    let mut random = Random(51);
    for samples in [1, 4, 24, 96] {
        for analytes in [1, 2, 21] {
            for (d, decimal, quoted) in [(",", '.', true), (";", ',', true), (",", '.', false)] {
                let q = if quoted { "\"" } else { "" };
                let line = |cells: &[String]| -> String {
                    let cells: Vec<String> = cells.iter().map(|cell| format!("{q}{cell}{q}")).collect();
                    cells.join(d) + "\n"
                };
                let own = |cells: &[&str]| line(&cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
                let mut text = own(&["Program", "xPONENT", "", "FLEXMAP 3D"]) + &own(&["Build", "4.3.229.0"]);
                text += &own(&["Date", "05/18/2023", "11:03 AM"]);
                text += "\n";
                text += &own(&["SN", "FM3DD1"]);
                text += &own(&["Batch", "ABCD_1"]);
                text += &own(&["Operator", "waldo"]);
                text += &own(&[
                    "ProtocolPlate",
                    "Name",
                    "Current 96-well plate",
                    "Type",
                    "96",
                    "Plates",
                    "1",
                ]);
                text += "\n";
                text += &own(&["CALInfo:"]);
                text += &own(&["Lot", "ExpirationDate", "CalibrationTime", "DDTemp", "Result"]);
                text += &own(&["B12345", "02/08/2024", "5/17/2023 9:24:54 AM", "23", "Pass"]);
                text += "\n";
                text += &own(&["Samples", &samples.to_string(), "Min Events", "100", "Per Bead"]);
                text += "\n";
                text += &own(&["Results"]);
                let names: Vec<String> = (1..=analytes).map(|at| format!("analyte {at}")).collect();
                let mut header = vec!["Location".to_owned(), "Sample".to_owned()];
                header.extend(names.iter().cloned());
                header.push("Total Events".to_owned());
                for kind in ["Median", "Net MFI", "Count"] {
                    text += "\n";
                    text += &own(&["DataType:", kind]);
                    text += &line(&header);
                    for at in 0..samples {
                        let place = if d == "," && !quoted {
                            format!("{}({})", at + 1, well(at, 12))
                        } else {
                            format!("{}(1,{})", at + 1, well(at, 12))
                        };
                        let mut cells = vec![place, format!("Unknown{at}")];
                        cells.extend((0..analytes).map(|_| shown(value(&mut random), decimal)));
                        cells.push("664".to_owned());
                        text += &line(&cells);
                    }
                }
                text += "\n";
                text += &own(&["-- CRC --"]);
                text += &own(&["CRC32: 8C7D5F26"]);
                let wanted = Wanted {
                    rows: samples * 3,
                    wells: if quoted { samples } else { 0 },
                    sums: vec![],
                };
                cases.check(
                    &format!("{samples} samples {analytes} analytes {d} {quoted}"),
                    "run.csv",
                    text,
                    &wanted,
                );
            }
        }
    }
    cases.done();
}

/// A header and rows, whatever stands above: keys, or nothing.
#[test]
fn rows_of_samples() {
    let mut cases = Cases::default();
    let mut random = Random(52);
    let nanodrop = [
        "Sample ID",
        "User ID",
        "Date",
        "Time",
        "Conc.",
        "Units",
        "A260",
        "A280",
        "260/280",
    ];
    for samples in [1, 2, 8, 96, 200] {
        for (label, head, d, decimal, date) in [
            ("NanoDrop 8000", "", "\t", '.', "4/6/2022"),
            (
                "NanoDrop Eight",
                "Application:\tdsDNA\nSerial Number:\tNDE8675309\nUser Name:\tJenny\n",
                "\t",
                '.',
                "06/16/2022",
            ),
            (
                "NanoDrop Eight, European",
                "Application:\tdsDNA\nSerial Number:\tNDE8675309\nUser Name:\tJenny\n",
                "\t",
                ',',
                "16.06.2022",
            ),
            (
                "semicolons",
                "Instrument;ND-1\nSoftware;1.2\n\n",
                ";",
                ',',
                "2022-06-16",
            ),
            ("commas", "Instrument: ND-1\nSoftware: 1.2\n\n", ",", '.', "2022-06-16"),
        ] {
            let mut text = format!("{head}Plate ID{d}Well{d}{}\n", nanodrop.join(d));
            let mut sum = 0.0;
            for at in 0..samples {
                let conc = value(&mut random);
                let numbers: Vec<f64> = (0..2).map(|_| value(&mut random)).collect();
                sum += (conc * 1000.0).round() / 1000.0;
                writeln!(
                    text,
                    "P1{d}{}{d}sample {at}{d}Default{d}{date}{d}16:20:{:02}{d}{}{d}ng/ul{d}{}{d}{}{d}{}",
                    well(at, 12),
                    at % 60,
                    shown(conc, decimal),
                    shown(numbers[0], decimal),
                    shown(numbers[1], decimal),
                    format!("{:.2}", numbers[0] / numbers[1]).replace('.', &decimal.to_string())
                )
                .unwrap();
            }
            let wanted = Wanted {
                rows: samples,
                wells: samples,
                sums: vec![("Conc.", sum)],
            };
            cases.check(&format!("{label} {samples}"), "run.txt", text, &wanted);
        }
    }
    cases.done();
}

#[test]
fn spectra_in_the_columns() {
    let mut cases = Cases::default();
    let mut random = Random(53);
    for samples in [1, 5, 96] {
        for (decimal, step) in [('.', 1.0), (',', 0.5)] {
            let waves: Vec<String> = (0..120)
                .map(|at| shown_one(220.0 + f64::from(at) * step, decimal))
                .collect();
            let mut text = format!(
                "Application:\tProtein\nSerial Number:\tNDE1\nSample Id\tSample Name\tLocation\tA280\t{}\n",
                waves.join("\t")
            );
            let mut sum = 0.0;
            for at in 0..samples {
                let a280 = value(&mut random);
                sum += (a280 * 1000.0).round() / 1000.0;
                let cells: Vec<String> = waves.iter().map(|_| shown(value(&mut random), decimal)).collect();
                writeln!(
                    text,
                    "id-{at}\tSample {at}\tA\t{}\t{}",
                    shown(a280, decimal),
                    cells.join("\t")
                )
                .unwrap();
            }
            let wanted = Wanted {
                rows: samples,
                wells: 0,
                sums: vec![("A280", sum)],
            };
            cases.check(&format!("{samples} {decimal}"), "run.txt", text, &wanted);
        }
    }
    cases.done();
}

fn shown_one(value: f64, decimal: char) -> String {
    format!("{value:.1}").replace('.', &decimal.to_string())
}

#[test]
fn digital_pcr() {
    let mut cases = Cases::default();
    let mut random = Random(54);
    for (columns, rows) in [(4, 4), (4, 2), (12, 8)] {
        for dyes in 1..=4 {
            // Absolute Q: a row for each dye, averages of groups between them.
            let mut text =
                "Run,Date,Instrument,Plate,Group,Name,Well,Total,Dye,Target,Conc. cp/uL,SD,CV%,95%CI,Positives\n"
                    .to_owned();
            let mut qiacuity = format!(
                "sep=,{}\n,Sample/NTC/Control,Type,Plate ID,Reaction Mix,Target,Concentration (copies/µL),CI (95%),Partitions (valid),Threshold\n",
                ",".repeat(8)
            );
            let mut sum = 0.0;
            for dye in 1..=dyes {
                writeln!(text, "run 1,5/19/2023,Absolute Q,M01,Group 1 (8),,Average,20443.63,D{dye},Gene {dye},53.71,69.96,130.24,1.68,460").unwrap();
                for at in 0..columns * rows {
                    let conc = value(&mut random);
                    sum += (conc * 1000.0).round() / 1000.0;
                    let name = well(at, columns);
                    writeln!(text, "run 1,5/19/2023,Absolute Q,M01,Group 1,Lysate {at},{name},20413,D{dye},Gene {dye},{conc:.3},,,1.1,{at}").unwrap();
                    writeln!(
                        qiacuity,
                        "{name},{at},Sample,9234983,5p,T{dye},{conc:.3},4.60%,25485,53.55"
                    )
                    .unwrap();
                }
            }
            let wells = columns * rows;
            let wanted = Wanted {
                rows: dyes * wells,
                wells,
                sums: vec![("Conc. cp/uL", sum)],
            };
            cases.check(
                &format!("Absolute Q {wells} wells {dyes} dyes"),
                "run.csv",
                text,
                &wanted,
            );
            let wanted = Wanted {
                sums: vec![("Concentration (copies/µL)", sum)],
                ..wanted
            };
            cases.check(
                &format!("QIAcuity {wells} wells {dyes} dyes"),
                "run.csv",
                qiacuity,
                &wanted,
            );
        }
    }
    cases.done();
}

#[test]
fn liquid_handlers_and_counters() {
    let mut cases = Cases::default();
    let mut random = Random(55);
    for transfers in [1, 3, 50] {
        let mut echo = "Run ID,1733768895\nRun Date/Time,2024-12-09 13:34:11\nApplication Name,Labcyte Echo Plate Reformat\nApplication Version,1.7.2\nProtocol Name,test.epr\nOrder ID,\nReference ID,\nUser Name,LabAutomation\n\n[DETAILS]\nDate Time Point,Source Plate Name,Source Plate Barcode,Source Well,Destination Plate Name,Destination Well,Transfer Volume,Actual Volume,Fluid Type,Transfer Status\n".to_owned();
        let mut biomek = "Method = Method1\nLogged in user = WALDO\nStarted 09/14/2011 14:02:39\nUnit serial number =\nPod1 head serial number = None\nNo validation date\n\n".to_owned();
        let mut counter = "\"Sample ID\",\"Cell count\",\"Viable cells\",\"Total (x10^6) cells/mL\",\"Viability (%)\",\"Cell type\"\n".to_owned();
        let mut sum = 0.0;
        for at in 0..transfers {
            let volume = value(&mut random);
            sum += (volume * 1000.0).round() / 1000.0;
            writeln!(
                echo,
                "2024-12-09 13:29:{:02}.401,Source[1],SRC2,{},Destination[1],{},100,{volume:.3},AQ,ok",
                at % 60,
                well(at, 24),
                well(at, 24)
            )
            .unwrap();
            writeln!(
                biomek,
                "09/14/2011 14:02:{:02},Pod1,Aspirate,P3,Source{at}, ,1,50,MP200",
                at % 60
            )
            .unwrap();
            writeln!(
                counter,
                "\"CLB{at:03}\",\"{}\",\"{at}\",\"{volume:.3}\",\"92.03\",\"CHO\"",
                at + 1000
            )
            .unwrap();
        }
        echo.push_str("\nInstrument Name,E5XX-19119\nInstrument Model,Echo 525\nInstrument Serial Number,E5XX-19119\nInstrument Software Version,2.6.3\n");
        let wanted = |column: Option<&'static str>, wells: usize| Wanted {
            rows: transfers,
            wells,
            sums: column.map(|column| (column, sum)).into_iter().collect(),
        };
        cases.check(
            &format!("Echo {transfers}"),
            "run.csv",
            echo,
            &wanted(Some("Actual Volume"), transfers),
        );
        if transfers > 2 {
            cases.check(&format!("Biomek {transfers}"), "run.log", biomek, &wanted(None, 0));
        }
        cases.check(
            &format!("Vi-CELL {transfers}"),
            "run.csv",
            counter,
            &wanted(Some("Total (x10^6) cells/mL"), 0),
        );
    }
    // NucleoView: one measurement, keys and values.
    for (d, decimal) in [(";", '.'), (";", ',')] {
        let text = format!(
            "Viability and Cell Count Assay; ;\nImage{d}20231120-0012{d}\nOperator{d}DrScientist{d}\nViability (%){d}68{decimal}2{d}\nLive (cells/ml){d}2{decimal}45E6{d}\nDead (cells/ml){d}1{decimal}14E6{d}\n ; ;\nEstimated cell diameter [um]{d}<8{d}\nSample Volume (ul){d}200{decimal}0{d}\n;\n;\n;\ncm filename{d}a.cm\n"
        );
        let wanted = Wanted {
            rows: 1,
            wells: 0,
            sums: vec![("Viability (%)", 68.2)],
        };
        cases.check(&format!("NucleoView {decimal}"), "run.csv", text, &wanted);
    }
    cases.done();
}
