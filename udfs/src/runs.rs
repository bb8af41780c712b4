//! Which experiments were run, as far as somebody may know it.
//!
//! A model remembers its training rows as numbers. Whoever is recommended experiments learns of each one left out that it was run, so only those
//! are left out for him whose rows he sees himself.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;

use crate::error::PredictError;
use crate::frame::{Frame, is_readable};
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
    /// Whether a row of features was run.
    pub(crate) fn holds(&self, model: &Model, frame: &Frame, row: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => {
                let number = frame.fingerprint(row);
                number.is_some_and(|number| model.stored().run.binary_search(&number).is_ok())
            }
            Self::Seen(seen) => frame.fingerprint(row).is_some_and(|number| seen.contains(&number)),
        }
    }
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
        let frame = Frame::read(self.model.features(), &columns, batch.num_rows())?;
        let run = &self.model.stored().run;
        for number in (0..frame.rows).filter_map(|row| frame.fingerprint(row)) {
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
