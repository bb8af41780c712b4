//! Predictions with how far off they may be.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::PredictError;
use crate::frame::Frame;
use crate::model::Model;
use crate::sight::Sight;

/// Columns of an interval: mean, lower, upper Float64 in the target's unit (the ends NULL where no bounded interval has that coverage),
/// coverage Float64, in_domain Boolean (NULL where nobody may say, or nobody knows), novel Utf8 (`unknown` then; NULL for nothing).
pub fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("mean", DataType::Float64, false),
        Field::new("lower", DataType::Float64, true),
        Field::new("upper", DataType::Float64, true),
        Field::new("coverage", DataType::Float64, false),
        Field::new("in_domain", DataType::Boolean, true),
        Field::new("novel", DataType::Utf8, true),
    ])
}

/// Intervals of some rows.
pub(crate) struct Intervals {
    pub(crate) mean: Vec<f64>,
    /// Infinite where too little was held out to speak for the coverage.
    pub(crate) half: Vec<f64>,
    pub(crate) novel: Vec<Novelty>,
}

/// How unlike the training rows a row is, as far as somebody may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// It is like the training rows.
    Nothing,
    /// These features, or their combination.
    Of(String),
    /// Not all that it holds could be compared, or may be; what could was nothing new.
    Unknown,
}

/// What is said where it is unknown whether a row is like the training rows.
const UNKNOWN: &str = "unknown";

impl Novelty {
    /// What is novel in words; none for nothing.
    pub(crate) fn told(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Of(novel) => Some(novel),
            Self::Unknown => Some(UNKNOWN),
        }
    }

    fn in_domain(&self) -> Option<bool> {
        match self {
            Self::Nothing => Some(true),
            Self::Of(_) => Some(false),
            Self::Unknown => None,
        }
    }
}

impl Model {
    /// For each row the prediction with an interval that holds the true value with probability `coverage` (conformal, calibrated on held-out rows),
    /// as a struct of [`interval_fields`]. A row unlike the training rows has `in_domain` false, says in `novel` why, and gets the wider
    /// interval that was measured when training had to do without such values; none, if there were too few such values to measure it.
    ///
    /// # Errors
    /// [`PredictError::NoIntervals`] for a model of classes and an imported one, [`PredictError::BadCoverage`], [`PredictError::Coverage`] for a
    /// coverage that the held-out rows are too few for, else as [`Model::predict`].
    pub fn interval(&self, columns: &[ArrayRef], rows: usize, coverage: f64) -> Result<StructArray, PredictError> {
        self.interval_seen(columns, rows, coverage, &Sight::default())
    }

    pub(crate) fn interval_seen(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        coverage: f64,
        sight: &Sight,
    ) -> Result<StructArray, PredictError> {
        let frame = Frame::read(self.features(), columns, rows)?;
        let found = self.interval_frame(&frame, coverage, sight)?;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(found.mean.iter().copied().map(Some).collect::<Float64Array>()),
            found.end(-1.0),
            found.end(1.0),
            Arc::new(Float64Array::from(vec![coverage; rows])),
            Arc::new(found.novel.iter().map(Novelty::in_domain).collect::<BooleanArray>()),
            Arc::new(found.novel.iter().map(Novelty::told).collect::<StringArray>()),
        ];
        Ok(StructArray::try_new(interval_fields(), arrays, None)?)
    }

    pub(crate) fn interval_frame(
        &self,
        frame: &Frame,
        coverage: f64,
        sight: &Sight,
    ) -> Result<Intervals, PredictError> {
        let Some(calibration) = &self.stored().calibration else {
            return Err(PredictError::NoIntervals);
        };
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(PredictError::BadCoverage(coverage));
        }
        let most = calibration.coverage_max();
        if calibration.quantile(coverage).is_infinite() {
            return Err(PredictError::Coverage { asked: coverage, most });
        }
        let mean = self.predict_frame(frame);
        let (features, novel): (Vec<Vec<usize>>, Vec<Novelty>) = self.novelty(frame, sight).into_iter().unzip();
        let half = mean
            .iter()
            .zip(&features)
            .map(|(mean, features)| calibration.half_width(*mean, features, coverage))
            .collect();
        Ok(Intervals { mean, half, novel })
    }

    /// For each row the features that are novel in it, and what may be said of it. A feature whose values in training may not be told has no part
    /// in either: whether a value is new says what the hidden rows hold, to whoever asks often enough.
    pub(crate) fn novelty(&self, frame: &Frame, sight: &Sight) -> Vec<(Vec<usize>, Novelty)> {
        let is_told: Vec<bool> = self
            .features()
            .iter()
            .map(|feature| sight.tells(&feature.name) && sight.values(&feature.name))
            .collect();
        // An imported model brought no training rows to compare with.
        let whole = self.stored().onnx.is_none() && is_told.iter().all(|told| *told);
        let looked_at = |feature: usize| is_told.get(feature).copied().unwrap_or(false);
        let names = |features: &[usize]| -> String {
            let names = features.iter().filter_map(|feature| self.features().get(*feature));
            names
                .map(|feature| feature.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = self.stored().domain.novel(frame, looked_at).into_iter();
        found
            .map(|(features, far)| {
                let said = match (features.is_empty(), far, whole) {
                    (false, _, _) => Novelty::Of(names(&features)),
                    (true, true, _) => Novelty::Of("combination".to_owned()),
                    (true, false, true) => Novelty::Nothing,
                    (true, false, false) => Novelty::Unknown,
                };
                (features, said)
            })
            .collect()
    }

    /// Half the width of an interval that holds the true value of a new row with the given probability (0 to 1), as far as new rows are
    /// like the training rows; infinite for a model that cannot tell, as one of classes.
    pub fn residual_quantile(&self, coverage: f64) -> f64 {
        self.stored()
            .calibration
            .as_ref()
            .map_or(f64::INFINITY, |calibration| calibration.quantile(coverage))
    }
}

impl Intervals {
    /// One end of each: the lower one for −1, the upper one for 1; NULL where there is none.
    pub(crate) fn end(&self, sign: f64) -> ArrayRef {
        let ends = self.mean.iter().zip(&self.half);
        let ends = ends.map(|(mean, half)| half.is_finite().then_some(mean + sign * half));
        Arc::new(ends.collect::<Float64Array>())
    }
}
