//! Tables for tests.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use labhouse_udfs::{Cancel, Model, TrainError, TrainOptions, train};

/// A small deterministic generator: tests must not depend on a random crate's version.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.roll() % count as u64) as usize
    }
}

pub(crate) fn options(target: &str, seconds: u64) -> TrainOptions {
    TrainOptions {
        time_budget: Duration::from_secs(seconds),
        ..TrainOptions::new(target)
    }
}

pub(crate) fn fit(batch: &RecordBatch, target: &str, seconds: u64) -> Result<Model, TrainError> {
    train(
        std::slice::from_ref(batch),
        &options(target, seconds),
        &Cancel::default(),
        &|line| println!("  {line}"),
    )
}

pub(crate) fn texts<T: AsRef<str>>(values: &[T]) -> ArrayRef {
    Arc::new(values.iter().map(|v| Some(v.as_ref())).collect::<StringArray>())
}

pub(crate) fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(values.into_iter().map(Some).collect::<Float64Array>())
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

pub(crate) fn read_csv(path: &str) -> RecordBatch {
    let bytes = std::fs::read(path).unwrap();
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(bytes.as_slice(), None).unwrap();
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_header(true)
        .with_batch_size(10_000)
        .build(bytes.as_slice())
        .unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// R² of `predicted` against `truth`.
pub(crate) fn r2(predicted: &Float64Array, truth: &Float64Array) -> f64 {
    let mean = truth.values().iter().sum::<f64>() / truth.len() as f64;
    let spread: f64 = truth.values().iter().map(|y| (y - mean).powi(2)).sum();
    let error: f64 = predicted
        .values()
        .iter()
        .zip(truth.values())
        .map(|(p, y)| (p - y).powi(2))
        .sum();
    1.0 - error / spread
}
