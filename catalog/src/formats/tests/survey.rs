//! The shared real data, where they are (they are not part of the project). Nothing may panic, the tables of a reaction
//! lab read right, and an instrument's file is a right table or a refusal.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;

use super::{column, schema, table};
use crate::formats::{Limits, ReadError, read};

const DATA: &str = "/work/shared/data";
/// Files of `instruments` whose counts are right; it only rises.
const RIGHT_MIN: usize = 126;

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

/// Every file of `instruments` against what `expected.json` says of it: measured points and distinct wells.
#[test]
fn instrument_files_count_right() {
    let dir = Path::new(DATA).join("instruments");
    let Ok(expected) = std::fs::read(dir.join("expected.json")) else {
        return eprintln!("skipped: no data in {DATA}");
    };
    let expected: Vec<serde_json::Value> = serde_json::from_slice(&expected).unwrap();
    let (mut right, mut refused, mut wrong) = (0, 0, 0);
    for file in &expected {
        let path = file["file"].as_str().unwrap();
        let number = |key: &str| usize::try_from(file[key].as_u64().unwrap()).unwrap();
        let wanted = (number("measurements"), number("distinct_wells"));
        let name = path.rsplit('/').next().unwrap();
        let bytes = std::fs::read(dir.join(path)).unwrap();
        match read(name, Bytes::from(bytes), &Limits::default()) {
            Ok(parsed) => {
                let counts: Vec<(Option<String>, usize, Vec<usize>)> = parsed.blocks.iter().map(counted).collect();
                // Without wells to tell by, only the main table counts.
                let told_by_wells = counts.iter().filter(|_| wanted.1 > 1);
                let mut candidates = counts.iter().take(1).chain(told_by_wells);
                let fits = candidates.any(|(_, rows, wells)| fits(wanted, *rows, wells));
                if fits {
                    right += 1;
                    println!("right    {path}: {wanted:?}, sure to {} %", parsed.confidence.percent());
                } else {
                    wrong += 1;
                    println!(
                        "WRONG    {path}: wanted {wanted:?}, got {counts:?}: {}",
                        parsed.taken_for
                    );
                }
                if std::env::var_os("SURVEY_SHOW").is_some_and(|wanted| path.contains(wanted.to_str().unwrap())) {
                    show(&parsed);
                }
                for block in &parsed.blocks {
                    assert!(block.batches.iter().any(|batch| batch.num_rows() > 0), "{path}");
                }
            }
            Err(error) => {
                refused += 1;
                println!("refused  {path}: {error}");
                let expected = matches!(
                    error,
                    ReadError::NotATable { .. }
                        | ReadError::NoDataRows { .. }
                        | ReadError::LongRow { .. }
                        | ReadError::Unsupported { .. }
                );
                assert!(expected, "{path}: {error}");
            }
        }
    }
    println!("of {}: {right} right, {refused} refused, {wrong} wrong", expected.len());
    assert!(
        right >= RIGHT_MIN,
        "{right} of {} right, {RIGHT_MIN} wanted",
        expected.len()
    );
}

fn show(parsed: &crate::formats::Parsed) {
    println!("{}", parsed.taken_for);
    for block in &parsed.blocks {
        println!(
            "  {:?} from {}: {}",
            block.name,
            block.first_row,
            schema(&block.batches[0]).join(", ")
        );
        let few = block.batches[0].slice(0, block.batches[0].num_rows().min(4));
        println!("{}", arrow::util::pretty::pretty_format_batches(&[few]).unwrap());
    }
}

/// Rows of a block, and how many distinct wells each of its columns of wells has.
fn counted(block: &crate::formats::Block) -> (Option<String>, usize, Vec<usize>) {
    let rows = block.batches.iter().map(|batch| batch.num_rows()).sum();
    let batch = arrow::compute::concat_batches(&block.batches[0].schema(), &block.batches).unwrap();
    let mut wells = Vec::new();
    for field in batch.schema().fields() {
        let values: Vec<String> = column(&batch, field.name())
            .into_iter()
            .filter(|value| value != "∅")
            .collect();
        let distinct: HashSet<&str> = values.iter().map(|value| value.trim()).collect();
        let name = field.name().to_lowercase();
        let of_wells = values.iter().filter(|value| holds_well(value)).count() * 10 >= values.len() * 9;
        if !values.is_empty() && (of_wells || (name == "well" && field.data_type().is_integer())) {
            wells.push(distinct.len());
        }
    }
    // The source counts each spot of a well as a place of its own.
    if let (false, Ok(_)) = (wells.is_empty(), batch.schema().index_of("line")) {
        let lines: HashSet<String> = column(&batch, "line").into_iter().collect();
        wells.push(lines.len());
    }
    (block.name.clone(), rows, wells)
}

/// `A1`, and `1(1,A1)`.
fn holds_well(value: &str) -> bool {
    let inner = value
        .trim()
        .trim_end_matches(')')
        .rsplit(',')
        .next()
        .unwrap_or_default();
    let digits = inner.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    let letters = inner.len() - digits.len();
    (1..=2).contains(&letters) && (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Rows and measurements are equal, or related by the reads of a row or the rows of a read; wells are equal where there
/// is a column of them. The source counts every name of a well, so two columns of names count twice.
fn fits((measurements, wells): (usize, usize), rows: usize, found: &[usize]) -> bool {
    // A long spectrum or kinetic, a row of a few wavelengths.
    const READS_MAX: usize = 2000;
    const VALUES_OF_ROW_MAX: usize = 64;
    let related = |many: usize, few: usize, max: usize| few > 0 && many.is_multiple_of(few) && many / few <= max;
    let counts = related(measurements, rows, VALUES_OF_ROW_MAX) || related(rows, measurements, READS_MAX);
    let wells_agree = if wells <= 1 {
        true
    } else {
        found.contains(&wells) || found.iter().sum::<usize>() == wells
    };
    counts && wells_agree
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
