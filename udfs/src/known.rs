//! Experiments that were run, in a table that the caller may read: the best and a typical one of them, to be repeated as controls.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::content;
use crate::error::PredictError;
use crate::feature::FeatureKind;
use crate::frame::{is_readable, numbers};
use crate::layout::Control;
use crate::model::Model;
use crate::recommend::Recommender;
use crate::sight::Sight;

/// Rows that the typical one is the middle of; of a larger table a sample.
const ROWS_MAX: usize = 2_000;

/// Looks for the controls in a stream of rows.
#[derive(Debug)]
pub struct KnownExperiments {
    model: Arc<Model>,
    candidates: SchemaRef,
    target: usize,
    /// Of each candidate's column the table's, if it has it.
    columns: Vec<Option<usize>>,
    /// Places in `columns` that a row must have a value in: the model's features.
    needed: Vec<usize>,
    /// With a number made of what the row holds.
    best: Option<(f64, u64, RecordBatch)>,
    /// Rows drawn by these numbers, the smallest of all; the second tells equal rows apart.
    sample: BTreeMap<(u64, u64), (f64, RecordBatch)>,
    seen: u64,
    sight: Arc<Sight>,
}

impl KnownExperiments {
    /// `candidates` is the schema of what the plate's other wells come from; its columns that the table lacks are NULL for controls.
    ///
    /// # Errors
    /// [`PredictError::NoControls`] if the table does not hold the model's features and target, or the model predicts a class.
    pub fn new(model: Arc<Model>, candidates: SchemaRef, table: &Schema) -> Result<Self, PredictError> {
        let lacks = |what: String| PredictError::NoControls {
            lacks: what,
            columns: table
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect::<Vec<_>>()
                .join(", "),
        };
        let readable = |name: &str| {
            table
                .index_of(name)
                .ok()
                .filter(|at| is_readable(table.field(*at).data_type()))
        };
        if !model.classes().is_empty() {
            return Err(lacks(
                "a measured number, because the model predicts a class".to_owned(),
            ));
        }
        let target = readable(model.target()).ok_or_else(|| lacks(model.target().to_owned()))?;
        let mut needed = Vec::new();
        for feature in model.features() {
            readable(&feature.name).ok_or_else(|| lacks(feature.name.clone()))?;
            needed.push(candidates.index_of(&feature.name)?);
        }
        let columns = candidates.fields().iter().map(|field| {
            let at = table.index_of(field.name()).ok()?;
            arrow::compute::can_cast_types(table.field(at).data_type(), field.data_type()).then_some(at)
        });
        let columns = columns.collect();
        // A control may lack what candidates have.
        let fields = candidates
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true));
        let candidates = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self {
            target,
            columns,
            needed,
            model,
            candidates,
            best: None,
            sample: BTreeMap::new(),
            seen: 0,
            sight: Arc::default(),
        })
    }

    /// Leaves out of the controls' reasons what somebody may not be told.
    #[must_use]
    pub fn to(self, sight: Arc<Sight>) -> Self {
        Self { sight, ..self }
    }

    /// Takes rows in; those without a measured value, or without one of the features, are passed over.
    ///
    /// # Errors
    /// Columns that cannot be read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let Some(target) = batch.columns().get(self.target) else {
            return Ok(());
        };
        let measured = numbers(target, FeatureKind::Number)?;
        let column = |place: &usize| {
            self.columns
                .get(*place)
                .copied()
                .flatten()
                .and_then(|at| batch.columns().get(at))
        };
        let features: Vec<&ArrayRef> = self.needed.iter().filter_map(column).collect();
        let whole = |row: usize| features.len() == self.needed.len() && features.iter().all(|f| f.is_valid(row));
        // What a row holds decides between equals and which rows are looked at: not when it came.
        let held = content::of_columns(batch.columns(), batch.num_rows())?;
        let sign = self.model.stored().goal.sign();
        for (row, value) in measured.iter().enumerate() {
            if value.is_nan() || !whole(row) {
                continue;
            }
            let own = held.get(row).copied().unwrap_or(0);
            let better = |(best, other, _): &(f64, u64, RecordBatch)| {
                let order = (sign * value).total_cmp(&(sign * best));
                order.then(other.cmp(&own)).is_gt()
            };
            let is_best = self.best.as_ref().is_none_or(better);
            let key = (own, self.seen);
            self.seen += 1;
            let last = self.sample.last_key_value().map(|(key, _)| *key);
            let is_drawn = self.sample.len() < ROWS_MAX || last.is_some_and(|last| key < last);
            if !is_best && !is_drawn {
                continue;
            }
            // Nothing is kept of a batch but the rows chosen.
            let one = self.one(batch, row)?;
            if is_best {
                self.best = Some((*value, own, one.clone()));
            }
            if is_drawn {
                self.sample.insert(key, (*value, one));
                if self.sample.len() > ROWS_MAX {
                    self.sample.pop_last();
                }
            }
        }
        Ok(())
    }

    /// The best known experiment (the least, where that is the model's goal) and the median known one, with what the model says of them; none if no row was whole.
    ///
    /// # Errors
    /// As of a list of recommendations.
    pub fn finish(mut self) -> Result<Vec<Control>, PredictError> {
        let Some((best, _, row)) = self.best.take() else {
            return Ok(Vec::new());
        };
        let best = (best, row);
        let mut drawn: Vec<(f64, RecordBatch)> = std::mem::take(&mut self.sample).into_values().collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        let middle = drawn.len() / 2;
        let median = (middle < drawn.len()).then(|| drawn.swap_remove(middle));
        let named = [("best known", Some(best)), ("median known", median)];
        let mut controls = Vec::new();
        for (name, known) in named {
            let Some((measured, row)) = known else { continue };
            let list = Recommender::new(Arc::clone(&self.model), Arc::clone(&self.candidates), 1, false)?;
            let mut list = list.to(Arc::clone(&self.sight));
            list.push(&row)?;
            controls.push(Control {
                name,
                measured: Some(measured),
                row: list.finish()?,
            });
        }
        Ok(controls)
    }

    /// A row in the candidates' schema, without a hold on the batch it came from.
    fn one(&self, batch: &RecordBatch, row: usize) -> Result<RecordBatch, PredictError> {
        let index = arrow::array::UInt32Array::from(vec![row as u32]);
        let fields = self.candidates.fields().iter().zip(&self.columns);
        let columns = fields.map(|(field, at)| -> Result<ArrayRef, PredictError> {
            match at.and_then(|at| batch.columns().get(at)) {
                Some(column) => {
                    let one = plain(&arrow::compute::take(column, &index, None)?)?;
                    Ok(cast(&one, field.data_type())?)
                }
                None => Ok(new_null_array(field.data_type(), 1)),
            }
        });
        Ok(RecordBatch::try_new(
            Arc::clone(&self.candidates),
            columns.collect::<Result<Vec<_>, _>>()?,
        )?)
    }
}

/// Views keep the buffers of their batch alive; a text of its own does not.
fn plain(column: &ArrayRef) -> Result<ArrayRef, PredictError> {
    Ok(match column.data_type() {
        DataType::Utf8View => cast(column, &DataType::Utf8)?,
        DataType::BinaryView => cast(column, &DataType::Binary)?,
        _ => Arc::clone(column),
    })
}
