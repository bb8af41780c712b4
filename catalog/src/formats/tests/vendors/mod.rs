//! Variants of the layouts that instruments write, generated: other plate sizes, more plates, more reads, partly filled
//! plates, marks for what could not be read, another locale. Each states the rows, the wells and the sums that its main
//! table must have; all failures of a vendor are told at once.

mod gen5;
mod lists;
mod more;
mod pcr;
mod readers;
mod sheets;
mod softmax;

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;

use super::{column, parse, schema};
use crate::formats::Block;

/// Plates that are made, as columns and rows.
const PLATES: [(usize, usize); 6] = [(4, 3), (6, 4), (8, 6), (12, 8), (24, 16), (48, 32)];

/// How many readings a case has at most: of the largest plates one, for they cost what all others together do.
fn reads_max((columns, _): (usize, usize)) -> usize {
    if columns > 24 { 1 } else { 3 }
}

/// Numbers that only look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The values of one reading of one plate, row by row; `None` where nothing was read.
#[derive(Clone)]
struct Reading {
    columns: usize,
    values: Vec<Option<f64>>,
    marks: Vec<(usize, &'static str)>,
}

/// How a plate is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Whole,
    /// Only the first half of the columns.
    Half,
    /// All but one well.
    Hole,
    /// One well could not be read, and says so.
    Marked(&'static str),
}

impl Reading {
    fn new(random: &mut Random, (columns, rows): (usize, usize), fill: Fill) -> Self {
        let mut values: Vec<Option<f64>> = (0..columns * rows)
            .map(|_| Some(random.below(90_000) as f64 / 1000.0))
            .collect();
        // Some well always reads less than one, and shows which sign parts fractions.
        values[0] = Some(0.125);
        let mut marks = Vec::new();
        let at = columns * rows / 3;
        match fill {
            Fill::Whole => {}
            Fill::Half => values
                .iter_mut()
                .enumerate()
                .filter(|(at, _)| at % columns >= columns / 2)
                .for_each(|(_, value)| *value = None),
            Fill::Hole => values[at] = None,
            Fill::Marked(word) => {
                values[at] = None;
                marks.push((at, word));
            }
        }
        Self { columns, values, marks }
    }

    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn sum(&self) -> f64 {
        self.values.iter().flatten().sum()
    }

    /// The text of a well.
    fn cell(&self, at: usize, decimal: char) -> String {
        if let Some((_, word)) = self.marks.iter().find(|(place, _)| *place == at) {
            return (*word).to_owned();
        }
        self.values[at].map_or(String::new(), |value| {
            format!("{value:.3}").replace('.', &decimal.to_string())
        })
    }

    /// The cells of a row.
    fn row(&self, row: usize, delimiter: &str, decimal: char) -> String {
        let cells: Vec<String> = (0..self.columns)
            .map(|column| self.cell(row * self.columns + column, decimal))
            .collect();
        cells.join(delimiter)
    }

    /// Wells with a value or a mark.
    fn used(&self) -> usize {
        (0..self.values.len())
            .filter(|at| !self.cell(*at, '.').is_empty())
            .count()
    }

    /// Rows that a matrix makes: blank wells stay while they are few.
    fn matrix_rows(&self) -> usize {
        let blank = self.values.len() - self.used();
        if blank * 10 <= self.values.len() {
            self.values.len()
        } else {
            self.used()
        }
    }
}

fn letter(row: usize) -> String {
    let small = char::from(b'A' + u8::try_from(row % 26).unwrap());
    if row < 26 {
        small.to_string()
    } else {
        format!("A{small}")
    }
}

fn well(at: usize, columns: usize) -> String {
    format!("{}{}", letter(at / columns), at % columns + 1)
}

fn numbers(columns: usize, delimiter: &str) -> String {
    (1..=columns)
        .map(|column| column.to_string())
        .collect::<Vec<_>>()
        .join(delimiter)
}

/// A matrix with numbers above and letters at the left.
fn matrix(reading: &Reading, delimiter: &str, decimal: char) -> String {
    let mut text = format!("{delimiter}{}\n", numbers(reading.columns, delimiter));
    for row in 0..reading.rows() {
        text.push_str(&format!(
            "{}{delimiter}{}\n",
            letter(row),
            reading.row(row, delimiter, decimal)
        ));
    }
    text
}

/// What the main table must be.
struct Wanted<'w> {
    rows: usize,
    wells: usize,
    /// Sums of columns.
    sums: Vec<(&'w str, f64)>,
}

/// Cases that failed, with why.
#[derive(Default)]
struct Cases {
    run: usize,
    failed: Vec<String>,
}

impl Cases {
    fn check(&mut self, label: &str, name: &str, content: impl Into<Vec<u8>>, wanted: &Wanted<'_>) {
        self.run += 1;
        let content = content.into();
        if let Err(why) = judge(name, content.clone(), wanted) {
            let start: String = String::from_utf8_lossy(&content).chars().take(200).collect();
            self.failed.push(format!("{label}: {why}\n      {:?}", start));
        }
    }

    fn done(self) {
        println!("{} of {} right", self.run - self.failed.len(), self.run);
        assert!(
            self.failed.is_empty(),
            "{} of {}:\n  {}",
            self.failed.len(),
            self.run,
            self.failed.join("\n  ")
        );
    }
}

fn judge(name: &str, content: Vec<u8>, wanted: &Wanted<'_>) -> Result<(), String> {
    let parsed = parse(name, content).map_err(|error| format!("refused: {error}"))?;
    let batch = whole(&parsed.blocks[0]);
    let told = || format!("{} ({})", parsed.taken_for, schema(&batch).join(", "));
    if batch.num_rows() != wanted.rows {
        return Err(format!("{} rows, wanted {}: {}", batch.num_rows(), wanted.rows, told()));
    }
    let found = wells(&batch);
    if wanted.wells > 0 && !found.contains(&wanted.wells) {
        return Err(format!("wells {found:?}, wanted {}: {}", wanted.wells, told()));
    }
    for (name, sum) in &wanted.sums {
        let found = sum_of(&batch, name).ok_or_else(|| format!("no column {name:?} of numbers: {}", told()))?;
        if (found - sum).abs() > 1e-6 * sum.abs().max(1.0) {
            return Err(format!("{name:?} sums to {found}, wanted {sum}: {}", told()));
        }
    }
    Ok(())
}

fn whole(block: &Block) -> RecordBatch {
    arrow::compute::concat_batches(&block.batches[0].schema(), &block.batches).unwrap()
}

/// Distinct values of each column of wells.
fn wells(batch: &RecordBatch) -> Vec<usize> {
    let fields = batch.schema();
    let texts = fields
        .fields()
        .iter()
        .filter(|field| *field.data_type() == DataType::Utf8);
    texts
        .map(|field| {
            column(batch, field.name())
                .into_iter()
                .filter(|value| value != "∅")
                .collect::<HashSet<_>>()
        })
        .filter(|values| !values.is_empty() && values.iter().all(|value| is_well(value)))
        .map(|values| values.len())
        .collect()
}

fn is_well(value: &str) -> bool {
    let inner = value.trim_end_matches(')').rsplit(',').next().unwrap_or_default();
    let digits = inner.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    (1..=2).contains(&(inner.len() - digits.len())) && (1..=2).contains(&digits.len()) && digits.parse::<u8>().is_ok()
}

fn sum_of(batch: &RecordBatch, name: &str) -> Option<f64> {
    let array = batch.column_by_name(name)?;
    match array.data_type() {
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().iter().flatten().sum()),
        DataType::Int64 => Some(
            array
                .as_primitive::<Int64Type>()
                .iter()
                .flatten()
                .map(|value| value as f64)
                .sum(),
        ),
        _ => (array.null_count() == array.len()).then_some(0.0),
    }
}
