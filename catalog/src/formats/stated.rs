//! Counts that a file states of itself (`Number of records: 96`, `Samples, 12`, `No. of Cycles: 50`), held against what
//! was found: a table that lost rows must not come in silently.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::formats::{Block, Parsed, ReadError, blocks};

/// Larger tables are not looked through for a count of samples.
const ROWS_MAX: usize = 2_000_000;
/// Words that say that a number counts.
const COUNTING: [&str; 8] = ["number", "no", "nr", "num", "count", "total", "n", "numberof"];
/// Words that say nothing.
const FILLING: [&str; 6] = ["of", "the", "in", "plate", "per", "file"];

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    /// Rows of a table.
    Records,
    Samples,
    Cycles,
    /// Places of a plate.
    Wells,
}

/// Holds the statements of the properties against the tables.
///
/// # Errors
/// `Miscounted` when the file counts its records and no table has so many rows.
pub(super) fn check(parsed: &mut Parsed) -> Result<(), ReadError> {
    let mut doubts = Vec::new();
    for (key, value) in &parsed.properties {
        // The same key once more: each section counts its own.
        if parsed.properties.contains_key(&format!("{key}_2")) {
            continue;
        }
        let Some((thing, count)) = statement(key, value) else {
            continue;
        };
        let rows = || parsed.blocks.iter().map(rows_of);
        if rows().any(|rows| rows == count) || rows().sum::<usize>() > ROWS_MAX {
            continue;
        }
        let stated = format!("{key}: {count}");
        match thing {
            Thing::Records if !has_wells(&parsed.blocks) => {
                let found: Vec<String> = rows().map(|rows| rows.to_string()).collect();
                let seen = format!("its tables have {} rows", found.join(", "));
                return Err(ReadError::Miscounted { stated, seen });
            }
            Thing::Records => {}
            Thing::Wells => {
                let most = wells(&parsed.blocks);
                if most > count {
                    doubts.push(format!("the file says {stated:?}, and {most} wells were read"));
                }
            }
            Thing::Samples | Thing::Cycles => {
                let distinct = parsed
                    .blocks
                    .iter()
                    .flat_map(distinct_counts)
                    .any(|distinct| distinct == count);
                let columns = parsed
                    .blocks
                    .iter()
                    .flat_map(|block| &block.batches)
                    .any(|batch| batch.num_columns() >= count);
                // A single cycle has no axis; cycles may also stand side by side.
                let is_there = distinct || (thing == Thing::Cycles && (count == 1 || columns));
                if !is_there {
                    doubts.push(format!("the file says {stated:?}, and nothing comes so often"));
                }
            }
        }
    }
    doubts.into_iter().for_each(|why| parsed.confidence.doubt(0.4, why));
    Ok(())
}

/// What a key and its value count.
fn statement(key: &str, value: &str) -> Option<(Thing, usize)> {
    let count: usize = value.trim().parse().ok().filter(|count| *count > 0)?;
    // Of a sheet's property only its own words.
    let key = key.rsplit(": ").next().unwrap_or(key).to_lowercase();
    let words: Vec<&str> = key
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let counts = words.iter().any(|word| COUNTING.contains(word)) || key.contains('#');
    let core: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !COUNTING.contains(word) && !FILLING.contains(word))
        .collect();
    let thing = match (core.as_slice(), counts) {
        (["records" | "record"], _) | (["data", "rows" | "records"], _) => Thing::Records,
        (["rows"], true) if !words.contains(&"plate") => Thing::Records,
        (["samples"], _) | (["sample"], true) => Thing::Samples,
        (["cycles"], _) | (["cycle"], true) => Thing::Cycles,
        (["wells"], true) => Thing::Wells,
        _ => return None,
    };
    Some((thing, count))
}

fn rows_of(block: &Block) -> usize {
    block
        .batches
        .iter()
        .map(arrow::record_batch::RecordBatch::num_rows)
        .sum()
}

fn has_wells(blocks: &[Block]) -> bool {
    wells(blocks) > 1
}

/// The most distinct wells of one column of wells.
fn wells(found: &[Block]) -> usize {
    let columns = found.iter().flat_map(columns_of);
    columns
        .map(|(_, arrays)| texts(&arrays))
        .filter(|texts| blocks::is_of_wells(texts.iter().map(String::as_str)))
        .map(|texts| texts.len())
        .max()
        .unwrap_or(0)
}

fn distinct_counts(block: &Block) -> Vec<usize> {
    columns_of(block)
        .into_values()
        .map(|arrays| texts(&arrays).len())
        .collect()
}

/// Every column's arrays.
fn columns_of(block: &Block) -> BTreeMap<usize, Vec<ArrayRef>> {
    let mut columns: BTreeMap<usize, Vec<ArrayRef>> = BTreeMap::new();
    for batch in &block.batches {
        for (at, array) in batch.columns().iter().enumerate() {
            columns.entry(at).or_default().push(ArrayRef::clone(array));
        }
    }
    columns
}

/// The distinct values, as text.
fn texts(arrays: &[ArrayRef]) -> HashSet<String> {
    let options = FormatOptions::default();
    let mut texts = HashSet::new();
    for array in arrays {
        let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &options) else {
            continue;
        };
        texts.extend(
            (0..array.len())
                .filter(|row| array.is_valid(*row))
                .map(|row| formatter.value(row).to_string()),
        );
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::{Thing, statement};

    #[test]
    fn what_counts_and_what_does_not() {
        for (key, thing) in [
            ("Number of records", Thing::Records),
            ("Record count", Thing::Records),
            ("Samples", Thing::Samples),
            ("No. of Cycles", Thing::Cycles),
            ("Number of the wells in the plate", Thing::Wells),
            ("Results: Number of samples", Thing::Samples),
        ] {
            assert_eq!(statement(key, " 96 "), Some((thing, 96)), "{key}");
        }
        for key in [
            "Number of rows in the plate",
            "Plate",
            "Sample",
            "Wells",
            "Serial number",
            "Samples per plate row",
        ] {
            assert_eq!(statement(key, "96"), None, "{key}");
        }
        assert_eq!(statement("Samples", "twelve"), None);
        assert_eq!(statement("Samples", "0"), None);
    }
}
