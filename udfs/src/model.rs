//! The trained model: what it predicts, what it remembers, and its bytes.

use std::collections::HashSet;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::candidate::Fitted;
use crate::error::{PredictError, TrainError};
use crate::feature::{Baseline, Feature};
use crate::frame::Frame;
use crate::report::{self, LeaderboardRow};

/// The format of [`Model::to_bytes`]. It changes when an older program could not read the bytes.
const FORMAT: u32 = 1;
/// Quantiles of the residuals that a model keeps.
const RESIDUALS_KEPT: usize = 1_000;

/// A model: immutable, shared between threads, with nothing outside itself.
#[derive(Debug)]
pub struct Model {
    stored: Stored,
    bytes: Vec<u8>,
    digest: String,
}

/// What a model file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) format: u32,
    pub(crate) target: String,
    pub(crate) rows: usize,
    pub(crate) features: Vec<Feature>,
    pub(crate) members: Vec<Member>,
    pub(crate) leaderboard: Vec<LeaderboardRow>,
    pub(crate) importance: Vec<(String, f64)>,
    pub(crate) card: Vec<(String, String)>,
    pub(crate) residuals: Residuals,
}

/// A fitted candidate and its weight in the mean.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) fitted: Fitted,
}

impl Model {
    pub(crate) fn new(mut stored: Stored) -> Result<Self, TrainError> {
        stored.format = FORMAT;
        let bytes = serde_json::to_vec(&stored).map_err(TrainError::Write)?;
        Ok(Self::with_bytes(stored, bytes))
    }

    fn with_bytes(stored: Stored, bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { stored, bytes, digest }
    }

    /// The model as JSON with a format version. The same training input gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
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
        if head.format != FORMAT {
            return Err(PredictError::Format {
                found: head.format,
                supported: FORMAT,
            });
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(damaged)?;
        stored.check()?;
        Ok(Self::with_bytes(stored, bytes.to_vec()))
    }

    /// SHA-256 of the bytes, in hexadecimal: two models with one digest predict the same.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The inputs, in the order [`Model::predict`] wants them.
    pub fn features(&self) -> &[Feature] {
        &self.stored.features
    }

    pub fn target(&self) -> &str {
        &self.stored.target
    }

    /// Rows it was trained on.
    pub fn rows(&self) -> usize {
        self.stored.rows
    }

    /// Predictions in the target's unit, never NULL, for `columns` in feature order: all of one length, any readable type. NULL and unknown
    /// categories are answered as training taught: NULL from what NULL meant there, an unknown category as the average one.
    ///
    /// # Errors
    /// Wrong count or lengths, nested or binary columns.
    pub fn predict(&self, columns: &[ArrayRef]) -> Result<Float64Array, PredictError> {
        let rows = columns.first().map_or(0, |column| column.len());
        self.predict_rows(columns, rows)
    }

    /// The same for `rows` rows, where a column of length one stands for a constant.
    pub fn predict_rows(&self, columns: &[ArrayRef], rows: usize) -> Result<Float64Array, PredictError> {
        let frame = Frame::read(&self.stored.features, columns, rows)?;
        Ok(Float64Array::from(self.predict_frame(&frame)))
    }

    /// Candidates tried, best first: candidate, r2, rmse, mae, folds, chosen, note (why one has no score). Scores are of held-out rows.
    pub fn leaderboard(&self) -> RecordBatch {
        report::leaderboard(&self.stored.leaderboard)
    }

    /// feature, importance: the rise of the held-out root mean square error, in the target's unit, when the column is shuffled. Largest
    /// first; about zero or below means the column is of no use.
    pub fn importance(&self) -> RecordBatch {
        report::importance_table(&self.stored.importance)
    }

    /// Facts about the model in a fixed order: name and text.
    pub fn card(&self) -> Vec<(String, String)> {
        self.stored.card.clone()
    }

    /// Half the width of an interval that holds the true value of a new row with the given probability (0 to 1), as far as new rows are
    /// like the training rows: the conformal quantile of the held-out absolute residuals.
    pub fn residual_quantile(&self, coverage: f64) -> f64 {
        self.stored.residuals.quantile(coverage)
    }

    pub(crate) fn predict_frame(&self, frame: &Frame) -> Vec<f64> {
        let mut sum = vec![0.0; frame.rows];
        for member in &self.stored.members {
            for (total, value) in sum.iter_mut().zip(member.fitted.predict(frame)) {
                *total += member.weight * value;
            }
        }
        sum
    }
}

impl Stored {
    /// Everything that prediction relies on: references within bounds, numbers finite.
    fn check(&self) -> Result<(), PredictError> {
        let damaged = |what: &str| Err(PredictError::Damaged(what.to_owned()));
        if self.members.is_empty() || !self.members.iter().all(|m| m.weight.is_finite()) {
            return damaged("it has no members");
        }
        if let Some(member) = self.members.iter().find(|m| !m.fitted.is_sound(self.features.len())) {
            return damaged(&format!("member '{}' refers to what is not there", member.name));
        }
        let mut names = HashSet::new();
        if !self.features.iter().all(|f| names.insert(&f.name)) {
            return damaged("two features have one name");
        }
        if !self.features.iter().all(|f| f.levels.is_sorted()) {
            return damaged("a feature's levels are not sorted");
        }
        let baselines = self.features.iter().flat_map(|f| &f.baseline);
        let finite = |b: &Baseline| match b {
            Baseline::Number { value, weight } => value.is_finite() && weight.is_finite(),
            Baseline::Level { weight, .. } => weight.is_finite(),
        };
        if !baselines.into_iter().all(finite) || self.residuals.0.iter().any(|r| !r.is_finite()) {
            return damaged("a number is not finite");
        }
        Ok(())
    }
}

/// Absolute held-out residuals, ascending: all of them, or evenly spaced ones.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Residuals(Vec<f64>);

impl Residuals {
    pub(crate) fn new(predicted: &[f64], target: &[f64]) -> Self {
        let mut all: Vec<f64> = predicted.iter().zip(target).map(|(p, y)| (p - y).abs()).collect();
        all.sort_by(f64::total_cmp);
        if all.len() <= RESIDUALS_KEPT {
            return Self(all);
        }
        let kept = (1..=RESIDUALS_KEPT)
            .filter_map(|step| all.get(step * all.len() / RESIDUALS_KEPT - 1))
            .copied()
            .collect();
        Self(kept)
    }

    /// The ⌈(n + 1) · coverage⌉-th smallest, as split conformal prediction has it; the largest when there are too few.
    pub(crate) fn quantile(&self, coverage: f64) -> f64 {
        let coverage = if coverage.is_nan() {
            1.0
        } else {
            coverage.clamp(0.0, 1.0)
        };
        let position = ((self.0.len() + 1) as f64 * coverage).ceil() as usize;
        self.0
            .get(position.saturating_sub(1))
            .or(self.0.last())
            .copied()
            .unwrap_or(0.0)
    }
}
