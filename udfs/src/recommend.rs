//! The next experiments: the best candidates of a stream, in memory for k rows only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::PredictError;
use crate::explain::reason;
use crate::frame::{Frame, is_readable};
use crate::model::Model;

/// Most rows one list can have: more than a plate of 1,536 wells takes. Each costs some hundred predictions for its reason.
pub const RECOMMENDATIONS_MAX: usize = 2_000;
/// The share of true values that `lower` and `upper` are made to enclose.
pub const COVERAGE: f64 = 0.9;
/// The columns put before the candidate's own.
const OWN_COLUMNS: [&str; 5] = ["rank", "prediction", "lower", "upper", "reason"];

/// The schema of the list: rank Int64, prediction, lower, upper Float64 (target's unit), reason Utf8, then the candidates' columns. A candidate
/// column of one of these five names becomes `candidate_<name>`.
pub fn recommend_schema(candidates: &Schema) -> SchemaRef {
    let own = OWN_COLUMNS.iter().map(|name| {
        let data_type = match *name {
            "rank" => DataType::Int64,
            "reason" => DataType::Utf8,
            _ => DataType::Float64,
        };
        Arc::new(Field::new(*name, data_type, false))
    });
    let theirs = candidates.fields().iter().map(|field| {
        if OWN_COLUMNS.contains(&field.name().as_str()) {
            Arc::new(field.as_ref().clone().with_name(format!("candidate_{}", field.name())))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(own.chain(theirs).collect::<Vec<_>>()))
}

/// Collects the k candidates with the highest (or lowest) prediction. Of equal ones the earlier wins.
#[derive(Debug)]
pub struct Recommender {
    model: Arc<Model>,
    candidates: SchemaRef,
    /// The candidates' column of each feature.
    columns: Vec<usize>,
    k: usize,
    lowest: bool,
    kept: RecordBatch,
    /// Of the kept rows, best first.
    predictions: Vec<f64>,
}

impl Recommender {
    /// `lowest` makes a warning list instead: the k worst candidates, worst first.
    ///
    /// # Errors
    /// [`PredictError::MissingFeatures`] names features without a column of that name; unreadable types and a k outside
    /// 1..=[`RECOMMENDATIONS_MAX`] are refused.
    pub fn new(model: Arc<Model>, candidates: SchemaRef, k: usize, lowest: bool) -> Result<Self, PredictError> {
        if k == 0 || k > RECOMMENDATIONS_MAX {
            return Err(PredictError::BadCount {
                asked: k,
                most: RECOMMENDATIONS_MAX,
            });
        }
        let (mut columns, mut missing) = (Vec::new(), Vec::new());
        for feature in model.features() {
            match candidates.index_of(&feature.name) {
                Ok(index) if is_readable(candidates.field(index).data_type()) => columns.push(index),
                Ok(index) => {
                    let found = candidates.field(index).data_type().clone();
                    return Err(PredictError::Unreadable {
                        feature: feature.name.clone(),
                        found,
                    });
                }
                Err(_) => missing.push(feature.name.as_str()),
            }
        }
        if !missing.is_empty() {
            let columns = candidates
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(PredictError::MissingFeatures {
                missing: missing.join(", "),
                columns,
            });
        }
        let kept = RecordBatch::new_empty(Arc::clone(&candidates));
        Ok(Self {
            model,
            candidates,
            columns,
            k,
            lowest,
            kept,
            predictions: Vec::new(),
        })
    }

    /// Takes a batch of candidates in and forgets what is not among the best k.
    ///
    /// # Errors
    /// [`PredictError::CandidateSchema`] if the batch is not of the schema given at the start.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let types = |schema: &Schema| {
            schema
                .fields()
                .iter()
                .map(|f| f.data_type().clone())
                .collect::<Vec<_>>()
        };
        if types(&batch.schema()) != types(&self.candidates) {
            let (expected, found) = (self.candidates.to_string(), batch.schema().to_string());
            return Err(PredictError::CandidateSchema { expected, found });
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.candidates), batch.columns().to_vec())?;
        let fresh = self.model.predict_frame(&self.frame(&batch)?);

        // Of the new rows, only those that could enter: the best k, and none that the last kept row beats.
        let bar = if self.predictions.len() < self.k {
            None
        } else {
            self.predictions.last().copied()
        };
        let mut entering: Vec<usize> = (0..fresh.len())
            .filter(|row| bar.is_none_or(|bar| fresh.get(*row).is_some_and(|value| self.better(*value, bar).is_lt())))
            .collect();
        let value = |row: &usize| fresh.get(*row).copied().unwrap_or(f64::NAN);
        entering.sort_by(|a, b| self.better(value(a), value(b)));
        entering.truncate(self.k);
        if entering.is_empty() {
            return Ok(());
        }
        let rows: UInt32Array = entering.iter().map(|row| *row as u32).collect();
        let pool = concat_batches(&self.candidates, [&self.kept, &take_record_batch(&batch, &rows)?])?;
        let values: Vec<f64> = self
            .predictions
            .iter()
            .copied()
            .chain(entering.iter().map(value))
            .collect();
        let mut order: Vec<(usize, f64)> = values.into_iter().enumerate().collect();
        order.sort_by(|a, b| self.better(a.1, b.1));
        order.truncate(self.k);
        let rows: UInt32Array = order.iter().map(|(row, _)| *row as u32).collect();
        self.kept = compact(&take_record_batch(&pool, &rows)?)?;
        self.predictions = order.into_iter().map(|(_, value)| value).collect();
        Ok(())
    }

    /// The list, rank 1 first, in the schema of [`recommend_schema`].
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let frame = self.frame(&self.kept)?;
        let effects = self.model.explain_frame(&frame);
        let reasons = effects
            .iter()
            .enumerate()
            .map(|(row, e)| Some(reason(self.model.features(), &frame, row, e)));
        let margin = self.model.residual_quantile(COVERAGE);
        let shifted =
            |by: f64| -> ArrayRef { Arc::new(self.predictions.iter().map(|p| Some(p + by)).collect::<Float64Array>()) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new((1..=self.predictions.len() as i64).map(Some).collect::<Int64Array>()),
            shifted(0.0),
            shifted(-margin),
            shifted(margin),
            Arc::new(reasons.collect::<StringArray>()),
        ];
        columns.extend(self.kept.columns().iter().cloned());
        Ok(RecordBatch::try_new(recommend_schema(&self.candidates), columns)?)
    }

    /// `Less` if `a` comes before `b`. Sorting is stable, so of equals the earlier stays in front.
    fn better(&self, a: f64, b: f64) -> std::cmp::Ordering {
        if self.lowest { a.total_cmp(&b) } else { b.total_cmp(&a) }
    }

    fn frame(&self, batch: &RecordBatch) -> Result<Frame, PredictError> {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .filter_map(|index| batch.columns().get(*index))
            .cloned()
            .collect();
        Frame::read(self.model.features(), &columns, batch.num_rows())
    }
}

/// Views and dictionaries keep the buffers of the batches they came from alive, and those hold rows that were let go.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, PredictError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => Arc::clone(column),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}
