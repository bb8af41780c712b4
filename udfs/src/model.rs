//! The trained model: what it predicts, what it remembers, and its bytes.
#![expect(clippy::indexing_slicing, reason = "rows are those of the frame at hand")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{PredictError, TrainError};
use crate::feature::{Feature, UNSEEN_LEVEL};
use crate::frame::Frame;
use crate::memo::Memo;
use crate::options::Replay;
use crate::report;
use crate::score::most_probable;
use crate::stored::{Beyond, Stored};
use crate::task::Task;
use crate::trial::Trial;

/// The format of [`Model::to_bytes`]. It changes when an older program could not read the bytes, and when molecules are read differently.
const FORMAT: u32 = 6;
/// The oldest format whose bytes mean the same to this program.
const FORMAT_OLDEST: u32 = 2;

/// A model: immutable, shared between threads, with nothing outside itself.
#[derive(Debug)]
pub struct Model {
    stored: Arc<Stored>,
    /// Those stored, with what one asker's molecules are.
    features: Vec<Feature>,
    bytes: Arc<[u8]>,
    digest: Arc<str>,
    timings: Vec<Timing>,
    memo: Memo,
}

/// How long a candidate took over all its folds. It is no part of the model's bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub candidate: String,
    pub train_s: f64,
    pub predict_s: f64,
}

impl Model {
    pub(crate) fn new(mut stored: Stored, timings: Vec<Timing>) -> Result<Self, TrainError> {
        stored.format = FORMAT;
        let bytes = serde_json::to_vec(&stored).map_err(TrainError::Write)?;
        Ok(Self::with_bytes(stored, bytes, timings))
    }

    fn with_bytes(stored: Stored, bytes: Vec<u8>, timings: Vec<Timing>) -> Self {
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            features: stored.features.clone(),
            stored: Arc::new(stored),
            bytes: bytes.into(),
            digest: digest.into(),
            timings,
            memo: Memo::default(),
        }
    }

    pub(crate) fn with_own_memory(&self) -> Self {
        Self {
            stored: Arc::clone(&self.stored),
            features: self.features.iter().map(Feature::apart).collect(),
            bytes: Arc::clone(&self.bytes),
            digest: Arc::clone(&self.digest),
            timings: self.timings.clone(),
            memo: Memo::default(),
        }
    }

    /// What the time let finish when this model was trained: a training that replays it gives the same bytes.
    pub fn replay(&self) -> Replay {
        let late = self.stored.leaderboard.iter().filter(|row| row.was_late());
        Replay {
            late: late.map(|row| row.candidate.clone()).collect(),
            unseen_in_time: self.stored.unseen_in_time,
            novel_in_time: self.stored.novel_in_time,
        }
    }

    /// The model as JSON with a format version. The same training input gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// # Errors
    /// [`PredictError::Format`] for another version's bytes, [`PredictError::Damaged`] for anything that is not a whole model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PredictError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |error: serde_json::Error| PredictError::Damaged(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
        if !(FORMAT_OLDEST..=FORMAT).contains(&head.format) {
            return Err(PredictError::Format {
                found: head.format,
                supported: FORMAT,
            });
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(damaged)?;
        stored.check()?;
        Ok(Self::with_bytes(stored, bytes.to_vec(), Vec::new()))
    }

    /// The same model with what its training took, which its bytes do not say.
    #[must_use]
    pub fn with_timings(self, timings: Vec<Timing>) -> Self {
        Self { timings, ..self }
    }

    /// SHA-256 of the bytes, in hexadecimal: two models with one digest predict the same.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The inputs, in the order [`Model::predict`] wants them.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    pub fn target(&self) -> &str {
        &self.stored.target
    }

    /// Rows it was trained on.
    pub fn rows(&self) -> usize {
        self.stored.rows
    }

    /// The classes' names, sorted; empty for a model of a number.
    pub fn classes(&self) -> &[String] {
        self.stored.task.classes()
    }

    /// The type of [`Model::answer`]: Float64 or, for classes, Utf8.
    pub fn answer_type(&self) -> DataType {
        match &self.stored.task {
            Task::Regression => DataType::Float64,
            Task::Classes(_) => DataType::Utf8,
        }
    }

    /// Predictions for `columns` in feature order: all of one length, any readable type. A number in the target's unit; with two
    /// classes the probability of the second; with more that of the most probable one. NULL and unknown categories are answered as training
    /// taught: NULL from what NULL meant there, an unknown category as the average one, an unknown molecule by its structure. Answers to
    /// combinations of known levels and of numbers with few values are kept, and given again bit by bit. Only an imported model can have no answer to
    /// a row, as to a category that its encoder refuses: that row's prediction is NULL.
    ///
    /// # Errors
    /// Wrong count or lengths, nested or binary columns.
    pub fn predict(&self, columns: &[ArrayRef]) -> Result<Float64Array, PredictError> {
        let rows = columns.first().map_or(0, |column| column.len());
        let frame = Frame::read(&self.features, columns, rows)?;
        Ok(answers(self.predict_frame(&frame)))
    }

    /// The answer for `rows` rows, where a column of length one stands for a constant: numbers, or the most probable class as text.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn answer(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, PredictError> {
        let frame = Frame::read(&self.features, columns, rows)?;
        let outputs = self.outputs(&frame);
        Ok(match &self.stored.task {
            Task::Regression => Arc::new(answers(outputs.into_iter().next().unwrap_or_default())),
            Task::Classes(names) => {
                let class = |row| {
                    let probabilities = self.stored.task.probabilities(&outputs, row);
                    let known = probabilities.iter().all(|p| !p.is_nan());
                    known.then(|| most_probable(&probabilities))
                };
                let named = (0..rows).map(|row| names.get(class(row)?).map(String::as_str));
                Arc::new(named.collect::<StringArray>())
            }
        })
    }

    /// The probability of one class for each row.
    ///
    /// # Errors
    /// [`PredictError::NoClass`] names the classes there are, [`PredictError::NoClasses`] for a model of a number; else as [`Model::predict`].
    pub fn probability(&self, class: &str, columns: &[ArrayRef], rows: usize) -> Result<Float64Array, PredictError> {
        let number = self.class(class)?;
        let frame = Frame::read(&self.features, columns, rows)?;
        Ok(answers(self.probability_frame(number, &frame)))
    }

    /// Candidates tried, best first: candidate, the measures of its kind (r2, rmse, mae, or auc, f1, log_loss, calibration), folds,
    /// fold_scores, chosen, note (why one has no score), train_s, predict_s. Scores are of held-out rows. Times are those given.
    pub fn leaderboard_with(&self, timings: &[Timing]) -> RecordBatch {
        report::leaderboard(&self.stored.task, &self.stored.leaderboard, timings)
    }

    /// The same with the times of this training, if it was just made.
    pub fn leaderboard(&self) -> RecordBatch {
        self.leaderboard_with(&self.timings)
    }

    /// How long each candidate took, if the model was just made: its bytes do not hold it.
    pub fn timings(&self) -> &[Timing] {
        &self.timings
    }

    /// feature, importance: the rise of the held-out root mean square error (in the target's unit) or log-loss when the column is shuffled.
    /// Largest first; about zero or below means the column is of no use.
    pub fn importance(&self) -> RecordBatch {
        report::importance_table(&self.stored.importance)
    }

    /// The same by Shapley values: the mean size of a feature's share in predictions of rows such as training held, in the target's unit, or in
    /// the probability of each row's predicted class.
    pub fn importance_by_shares(&self) -> RecordBatch {
        report::importance_table(&self.mean_shares())
    }

    /// Facts about the model in a fixed order: name and text.
    pub fn card(&self) -> Vec<(String, String)> {
        self.stored.card.clone()
    }

    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }

    /// One number a row: see [`Model::predict`].
    pub(crate) fn predict_frame(&self, frame: &Frame) -> Vec<f64> {
        let outputs = self.outputs(frame);
        let rows = frame.rows;
        match outputs.as_slice() {
            [one] => one.clone(),
            all => (0..rows)
                .map(|row| {
                    let of_row = all.iter().filter_map(|output| output.get(row)).copied();
                    of_row.fold(0.0, |most: f64, p| {
                        if p.is_nan() || most.is_nan() {
                            f64::NAN
                        } else {
                            most.max(p)
                        }
                    })
                })
                .collect(),
        }
    }

    /// The probability of a class, by its number.
    pub(crate) fn probability_frame(&self, class: usize, frame: &Frame) -> Vec<f64> {
        let outputs = self.outputs(frame);
        let of = |row| self.stored.task.probabilities(&outputs, row).get(class).copied();
        (0..frame.rows).map(|row| of(row).unwrap_or(0.0)).collect()
    }

    /// The number of a class.
    pub(crate) fn class(&self, class: &str) -> Result<usize, PredictError> {
        let names = self.classes();
        if names.is_empty() {
            return Err(PredictError::NoClasses);
        }
        let found = names.iter().position(|name| name == class);
        found.ok_or_else(|| PredictError::NoClass {
            class: class.to_owned(),
            classes: names.join(", "),
        })
    }

    /// Output × row, normalised.
    pub(crate) fn outputs(&self, frame: &Frame) -> Vec<Vec<f64>> {
        let count = match &self.stored.onnx {
            Some(onnx) => onnx.count(),
            None => self.stored.members.first().map_or(1, |member| member.fitted.len()),
        };
        self.memo
            .answer(self.features(), frame, count, |frame| self.computed(frame, count))
    }

    /// The same without looking at what was answered before.
    fn computed(&self, frame: &Frame, count: usize) -> Vec<Vec<f64>> {
        if let Some(onnx) = &self.stored.onnx {
            let mut said = onnx.outputs(self.features(), frame);
            self.stored.task.normalise(&mut said);
            return said;
        }
        let strange: Vec<Vec<usize>> = (0..frame.rows).map(|row| self.strange(frame, row)).collect();
        let (usual, beyond): (Vec<usize>, Vec<usize>) = (0..frame.rows).partition(|row| strange[*row].is_empty());
        let usual_weights: Vec<f64> = self.stored.members.iter().map(|member| member.weight).collect();
        let mut sums = if beyond.is_empty() {
            self.weighed(frame, count, |_| usual_weights.as_slice())
        } else {
            let mut sums = vec![vec![0.0; frame.rows]; count];
            let own: Vec<Vec<f64>> = beyond.iter().map(|row| self.beyond_weights(&strange[*row])).collect();
            let parts = [
                (
                    &usual,
                    self.weighed(&frame.take(&usual), count, |_| usual_weights.as_slice()),
                ),
                (
                    &beyond,
                    self.weighed(&frame.take(&beyond), count, |row| own[row].as_slice()),
                ),
            ];
            for (rows, said) in parts {
                for (sum, said) in sums.iter_mut().zip(said) {
                    for (row, value) in rows.iter().zip(said) {
                        sum[*row] = value;
                    }
                }
            }
            sums
        };
        self.stored.task.normalise(&mut sums);
        sums
    }

    /// Which of the measured features have a level that training did not see.
    fn strange(&self, frame: &Frame, row: usize) -> Vec<usize> {
        let unseen = |beyond: &Beyond| {
            frame
                .cols
                .get(beyond.feature)
                .is_some_and(|col| col.code(row) == UNSEEN_LEVEL)
        };
        let found = self
            .stored
            .beyond
            .iter()
            .enumerate()
            .filter(|(_, beyond)| unseen(beyond));
        found.map(|(place, _)| place).collect()
    }

    /// The mean of the weights of several features.
    fn beyond_weights(&self, places: &[usize]) -> Vec<f64> {
        let mut weights = vec![0.0; self.stored.members.len()];
        for beyond in places.iter().filter_map(|place| self.stored.beyond.get(*place)) {
            for (sum, weight) in weights.iter_mut().zip(&beyond.weights) {
                *sum += weight / places.len() as f64;
            }
        }
        weights
    }

    /// The weighed mean of the members; who has no weight in any row is not asked.
    fn weighed<'a>(&self, frame: &Frame, count: usize, weights: impl Fn(usize) -> &'a [f64]) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; frame.rows]; count];
        for (place, member) in self.stored.members.iter().enumerate() {
            let of = |row: usize| weights(row).get(place).copied().unwrap_or(0.0);
            if (0..frame.rows).all(|row| of(row) == 0.0) {
                continue;
            }
            for (sum, fitted) in sums.iter_mut().zip(&member.fitted) {
                let said = fitted.predict(&self.features, frame);
                for (row, (total, value)) in sum.iter_mut().zip(said).enumerate() {
                    *total += of(row) * value;
                }
            }
        }
        sums
    }
}

/// Numbers, NULL for none.
fn answers(numbers: Vec<f64>) -> Float64Array {
    if numbers.iter().any(|number| number.is_nan()) {
        return numbers
            .into_iter()
            .map(|number| Some(number).filter(|n| !n.is_nan()))
            .collect();
    }
    Float64Array::from(numbers)
}

impl Timing {
    pub(crate) fn of(trial: &Trial) -> Self {
        Self {
            candidate: trial.candidate.name.to_owned(),
            train_s: trial.train_time.as_secs_f64(),
            predict_s: trial.predict_time.as_secs_f64(),
        }
    }
}
