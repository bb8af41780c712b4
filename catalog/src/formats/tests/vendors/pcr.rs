//! QuantStudio: a head of `* key = value`, sections in brackets; results for the wells that were used.

use std::fmt::Write as _;

use super::{Cases, Random, Wanted, well};

fn head(wells: usize) -> String {
    format!(
        "* Block Type = {wells}-Well Block\n* Calibration Background is expired = No\n* Chemistry = TAQMAN\n* Date Created = 2024-10-01 13:07:52 PM EST\n* Experiment Barcode = \n* Experiment File Name = D:\\results\\01OCT2024.eds\n* Experiment Name = 01OCT2024\n* Experiment Type = Standard Curve\n* Instrument Serial Number = 278875421\n* Instrument Type = QuantStudio(TM) 7 Flex System\n* Passive Reference = ROX\n* User Name = NA\n\n"
    )
}

#[test]
fn results_of_the_wells_that_were_used() {
    let mut cases = Cases::default();
    let mut random = Random(41);
    for (columns, rows) in [(12, 8), (24, 16)] {
        let all = columns * rows;
        for used in [all, all / 2, 3] {
            for targets in 1..=2 {
                for (blank_rows, undetermined) in [(false, false), (true, false), (false, true), (true, true)] {
                    let mut setup = "[Sample Setup]\nWell\tWell Position\tSample Name\tSample Color\tTarget Name\tTask\tReporter\tQuencher\tQuantity\tComments\n".to_owned();
                    let mut results = "[Results]\nWell\tWell Position\tOmit\tSample Name\tTarget Name\tTask\tReporter\tQuencher\tCT\tCt Mean\tCt SD\tQuantity\tAutomatic Ct Threshold\tCt Threshold\tBaseline Start\tComments\n".to_owned();
                    let mut amplification = "[Amplification Data]\nWell\tCycle\tTarget Name\tRn\tDelta Rn\n".to_owned();
                    let mut sum = 0.0;
                    let mut marked = 0;
                    for at in 0..all {
                        let name = well(at, columns);
                        if at >= used {
                            writeln!(setup, "{}\t{name}\t\t\t\t\t\t\t\t", at + 1).unwrap();
                            if blank_rows {
                                writeln!(results, "{}\t{name}\tfalse\t\t\t\t\t\t\t\t\t\t\t\t\t", at + 1).unwrap();
                            }
                            continue;
                        }
                        for target in 1..=targets {
                            let ct = random.below(40_000) as f64 / 1000.0;
                            let shown = if undetermined && at == 1 {
                                marked += 1;
                                "Undetermined".to_owned()
                            } else {
                                sum += ct;
                                format!("{ct:.3}")
                            };
                            writeln!(
                                setup,
                                "{}\t{name}\tS{at}\t\"RGB(176,23,31)\"\tT{target}\tUNKNOWN\tFAM\tNFQ-MGB\t\t",
                                at + 1
                            )
                            .unwrap();
                            writeln!(results, "{}\t{name}\tfalse\tS{at}\tT{target}\tUNKNOWN\tFAM\tNFQ-MGB\t{shown}\t{ct:.3}\t0.02{target}\t\ttrue\t0.137\t3\t", at + 1).unwrap();
                            for cycle in 1..=3 {
                                writeln!(
                                    amplification,
                                    "{}\t{cycle}\tT{target}\t0.6{cycle}{target}\t0.00{cycle}",
                                    at + 1
                                )
                                .unwrap();
                            }
                        }
                    }
                    // A word among so few numbers leaves no column of numbers.
                    let few = used * targets < 10 && marked > 0;
                    let wanted = Wanted {
                        rows: used * targets,
                        wells: used,
                        sums: if few { vec![] } else { vec![("CT", sum)] },
                    };
                    let label = format!(
                        "{all} wells {used} used {targets} targets blank {blank_rows} undetermined {undetermined}"
                    );
                    let text = format!("{}{results}", head(all));
                    cases.check(&format!("results {label}"), "run.txt", text.clone(), &wanted);
                    let sections = format!(
                        "{}{setup}\n{amplification}\n[Multicomponent Data]\nWell\tWell Position\tCycle\tROX\tSYBR\n\n{results}",
                        head(all)
                    );
                    cases.check(&format!("sections {label}"), "run.txt", sections, &wanted);
                }
            }
        }
    }
    cases.done();
}

#[test]
fn plates_that_were_meant_to_be_used_whole_keep_their_failed_wells() {
    let mut cases = Cases::default();
    let mut text = format!("{}[Results]\nWell\tWell Position\tSample Name\tCT\tNote\n", head(96));
    for at in 0..96 {
        let rest = if at == 5 {
            "\t\t".to_owned()
        } else {
            format!("S{at}\t{at}.5\t")
        };
        writeln!(text, "{}\t{}\t{rest}", at + 1, well(at, 12)).unwrap();
    }
    let wanted = Wanted {
        rows: 96,
        wells: 96,
        sums: vec![],
    };
    cases.check("one failed", "run.txt", text, &wanted);
    // Something is said of every well: none is left out.
    let mut text = "well,od,remark\n".to_owned();
    for at in 0..24 {
        writeln!(text, "{},{at}.25,{}", well(at, 6), if at == 3 { "bubble" } else { "" }).unwrap();
    }
    let wanted = Wanted {
        rows: 24,
        wells: 24,
        sums: vec![("od", (0..24).map(|at| f64::from(at) + 0.25).sum())],
    };
    cases.check("remarks", "run.csv", text, &wanted);
    cases.done();
}
