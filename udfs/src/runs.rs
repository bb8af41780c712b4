//! Which experiments were run, as far as somebody may know it.
//!
//! A model remembers its training rows as numbers. Whoever is recommended experiments learns of each one left out that it was run, so only those
//! are left out for him whose rows he sees himself.
//!
//! A row's number is made of its values as they are, texts whole: a level too rare to be known to the model, and prose, are told from others, too.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::content;
use crate::error::PredictError;
use crate::feature::{Feature, FeatureKind};
use crate::frame::{Frame, booleans, each_text, is_readable, numbers};
use crate::model::Model;

/// What is left out of recommendations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Runs {
    /// Nothing.
    #[default]
    None,
    /// All that the model was trained on.
    All,
    /// These training rows, by their numbers.
    Seen(HashSet<u64>),
}

impl Runs {
    /// Which rows of features were run.
    pub(crate) fn hold(&self, model: &Model, columns: &[ArrayRef], rows: usize) -> Result<Vec<bool>, PredictError> {
        let is_run = |number: Option<u64>| match (self, number) {
            (Self::None, _) | (_, None) => false,
            (Self::All, Some(number)) => model.stored().run.binary_search(&number).is_ok(),
            (Self::Seen(seen), Some(number)) => seen.contains(&number),
        };
        if *self == Self::None {
            return Ok(vec![false; rows]);
        }
        Ok(model.row_numbers(columns, rows)?.into_iter().map(is_run).collect())
    }
}

impl Model {
    /// The number of each row; none for what cannot be one of the training rows.
    fn row_numbers(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<u64>>, PredictError> {
        if !self.stored().run_by_text {
            let frame = Frame::read(self.features(), columns, rows)?;
            return Ok((0..frame.rows).map(|row| frame.fingerprint(row)).collect());
        }
        Ok(self.experiments(columns, rows)?.into_iter().map(Some).collect())
    }

    /// A number for each row that only rows of equal features have in common.
    pub(crate) fn experiments(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, PredictError> {
        let mut all = RowNumbers::new(rows);
        for (feature, column) in self.features().iter().zip(columns) {
            all.add(&told_by(feature, column)?);
        }
        Ok(all.finish())
    }
}

/// Numbers of rows, made column by column.
pub(crate) struct RowNumbers(Vec<u64>);

impl RowNumbers {
    pub(crate) fn new(rows: usize) -> Self {
        Self(vec![0x5EED; rows])
    }

    pub(crate) fn add(&mut self, told_by: &[u64]) {
        for (row, all) in self.0.iter_mut().enumerate() {
            // One value is for all rows.
            if let Some(one) = told_by.get(row).or(told_by.first()) {
                *all = content::mixed(*all, *one);
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<u64> {
        self.0
    }
}

/// For each row of a column a number that only equal values of the feature have in common; NULL is one of them.
pub(crate) fn told_by(feature: &Feature, column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    if feature.has_levels() {
        let mut all = Vec::with_capacity(column.len());
        each_text(column, |text| {
            all.push(text.map_or(0, |text| content::of_bytes(text.as_bytes())));
        })?;
        return Ok(all);
    }
    let values = match feature.kind {
        FeatureKind::Boolean => booleans(column)?,
        kind => numbers(column, kind)?,
    };
    // Zero has one sign only.
    let bits = |value: f64| {
        if value.is_nan() {
            u64::MAX
        } else {
            (value + 0.0).to_bits()
        }
    };
    Ok(values.into_iter().map(bits).collect())
}

/// Collects, from a table as somebody sees it, the training rows that he sees there.
#[derive(Debug)]
pub struct SeenRuns {
    model: Arc<Model>,
    columns: Vec<usize>,
    seen: HashSet<u64>,
}

impl SeenRuns {
    /// `columns` names the table's column of each of the model's features; `None` if one is missing or cannot be read.
    pub fn new(model: Arc<Model>, table: &Schema, columns: &[String]) -> Option<Self> {
        if columns.len() != model.features().len() {
            return None;
        }
        let found = columns.iter().map(|name| {
            let index = table.index_of(name).ok()?;
            is_readable(table.field(index).data_type()).then_some(index)
        });
        Some(Self {
            columns: found.collect::<Option<Vec<usize>>>()?,
            model,
            seen: HashSet::new(),
        })
    }

    /// # Errors
    /// Columns that cannot be read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let columns = self.columns.iter().filter_map(|index| batch.columns().get(*index));
        let columns: Vec<ArrayRef> = columns.cloned().collect();
        let run = &self.model.stored().run;
        for number in self
            .model
            .row_numbers(&columns, batch.num_rows())?
            .into_iter()
            .flatten()
        {
            if run.binary_search(&number).is_ok() {
                self.seen.insert(number);
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Runs {
        Runs::Seen(self.seen)
    }
}
