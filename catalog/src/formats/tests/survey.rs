//! The shared real data, where they are (they are not part of the project). Nothing may panic, the tables of a reaction
//! lab read right, and an instrument's file is a right table or a refusal.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{schema, table};
use crate::formats::{Limits, ReadError, read};

const DATA: &str = "/work/shared/data";

#[test]
fn tables_of_a_reaction_lab() {
    let Ok(bytes) = std::fs::read(Path::new(DATA).join("yields/buchwald_hartwig.csv")) else {
        return eprintln!("skipped: no data in {DATA}");
    };
    let batch = table("buchwald_hartwig.csv", bytes);
    assert_eq!(batch.num_rows(), 3955);
    assert_eq!(
        schema(&batch),
        [
            "Ligand: Utf8",
            "Additive: Utf8",
            "Base: Utf8",
            "Aryl halide: Utf8",
            "Output: Float64",
            "product: Utf8",
            "rxn: Utf8"
        ]
    );
    for (file, rows, columns, first) in [
        ("yields/buchwald_hartwig_plates.csv", 4599, 17, "plate: Int64"),
        ("yields/plate_rows.csv", 32, 5, "Row: Int64"),
        ("yields/plate_columns.csv", 48, 3, "Column: Int64"),
        ("yields/buchwald_hartwig_splits.json", 1, 16, "FullCV_01: List(Int64)"),
        ("yields/eln_buchwald.csv", 750, 56, "column_1: Int64"),
        ("yields/nickel_suzuki_campaign_surf.csv", 576, 39, "rxn_id: Utf8"),
        ("optimisation/direct_arylation.csv", 1728, 7, "entry: Int64"),
        (
            "optimisation/direct_arylation_published_runs.csv",
            50,
            101,
            "column_1: Int64",
        ),
        ("chembl/compound_properties.csv", 8556, 11, "chembl_id: Utf8"),
    ] {
        let batch = table(file, std::fs::read(Path::new(DATA).join(file)).unwrap());
        assert_eq!((batch.num_rows(), batch.num_columns()), (rows, columns), "{file}");
        assert_eq!(schema(&batch)[0], first, "{file}");
    }
}

#[test]
fn instrument_files_are_tables_or_refused() {
    let mut paths = files(&Path::new(DATA).join("instruments"));
    paths.retain(|path| !path.ends_with("expected.json"));
    let mut read_well = 0;
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        match read(name, Bytes::from(std::fs::read(path).unwrap()), &Limits::default()) {
            Ok(parsed) => {
                read_well += 1;
                println!("read {}: {}", path.display(), parsed.taken_for);
                for block in &parsed.blocks {
                    let rows: usize = block.batches.iter().map(|batch| batch.num_rows()).sum();
                    assert!(rows > 0);
                    println!(
                        "    {:?}, {rows} rows: {}",
                        block.name,
                        schema(&block.batches[0]).join(", ")
                    );
                }
            }
            Err(error) => {
                println!("refused {}: {error}", path.display());
                let expected = matches!(
                    error,
                    ReadError::NotATable { .. }
                        | ReadError::NoDataRows { .. }
                        | ReadError::LongRow { .. }
                        | ReadError::Unsupported { .. }
                );
                assert!(expected, "{}: {error}", path.display());
            }
        }
    }
    println!("{read_well} of {} read", paths.len());
    assert!(paths.is_empty() || read_well >= 35, "{read_well} of {}", paths.len());
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()))
        } else {
            found.push(entry.path())
        }
    }
    found.sort();
    found
}

/// Linear in the rows, in every shape that once tempted to look back at all rows before.
#[test]
fn long_files_end() {
    let mut spaced = String::from("id,name,note\n");
    let mut plain = String::from("id,value,at\n");
    for row in 0..20_000 {
        spaced.push_str(&format!("a{row},b,c\n\n"));
        plain.push_str(&format!("{row},{}.5,2026-03-04T09:30:00\n", row % 7));
    }
    assert_eq!(table("a.csv", spaced).num_rows(), 20_000);
    assert_eq!(table("a.csv", plain).num_rows(), 20_000);
}
