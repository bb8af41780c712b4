//! Predictions with how far off they may be.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::PredictError;
use crate::frame::Frame;
use crate::model::Model;

/// Columns of an interval: mean, lower, upper Float64 in the target's unit, coverage Float64, in_domain Boolean, novel Utf8.
pub fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("mean", DataType::Float64, false),
        Field::new("lower", DataType::Float64, false),
        Field::new("upper", DataType::Float64, false),
        Field::new("coverage", DataType::Float64, false),
        Field::new("in_domain", DataType::Boolean, false),
        Field::new("novel", DataType::Utf8, true),
    ])
}

/// Intervals of some rows.
pub(crate) struct Intervals {
    pub(crate) mean: Vec<f64>,
    pub(crate) half: Vec<f64>,
    /// What is novel in each row; `None` for a row like the training rows.
    pub(crate) novel: Vec<Option<String>>,
}

impl Model {
    /// For each row the prediction with an interval that holds the true value with probability `coverage` (conformal, calibrated on held-out rows),
    /// as a struct of [`interval_fields`]. A row unlike the training rows has `in_domain` false, says in `novel` why, and gets the wider
    /// interval that was measured when training had to do without such values.
    ///
    /// # Errors
    /// [`PredictError::NoIntervals`] for a model of classes, [`PredictError::BadCoverage`], else as [`Model::predict`].
    pub fn interval(&self, columns: &[ArrayRef], rows: usize, coverage: f64) -> Result<StructArray, PredictError> {
        let frame = Frame::read(self.features(), columns, rows)?;
        let found = self.interval_frame(&frame, coverage)?;
        let shifted = |sign: f64| -> ArrayRef {
            let values = found
                .mean
                .iter()
                .zip(&found.half)
                .map(|(mean, half)| Some(mean + sign * half));
            Arc::new(values.collect::<Float64Array>())
        };
        let arrays: Vec<ArrayRef> = vec![
            shifted(0.0),
            shifted(-1.0),
            shifted(1.0),
            Arc::new(Float64Array::from(vec![coverage; rows])),
            Arc::new(
                found
                    .novel
                    .iter()
                    .map(|novel| Some(novel.is_none()))
                    .collect::<BooleanArray>(),
            ),
            Arc::new(found.novel.iter().map(Option::as_deref).collect::<StringArray>()),
        ];
        Ok(StructArray::try_new(interval_fields(), arrays, None)?)
    }

    pub(crate) fn interval_frame(&self, frame: &Frame, coverage: f64) -> Result<Intervals, PredictError> {
        let Some(calibration) = &self.stored().calibration else {
            return Err(PredictError::NoIntervals);
        };
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(PredictError::BadCoverage(coverage));
        }
        let mean = self.predict_frame(frame);
        let novel = self.stored().domain.novel(frame);
        let half = mean
            .iter()
            .zip(&novel)
            .map(|(mean, (features, _))| calibration.half_width(*mean, features, coverage))
            .collect();
        let names = |features: &[usize]| -> String {
            let names = features.iter().filter_map(|feature| self.features().get(*feature));
            names
                .map(|feature| feature.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let told = |(features, far): &(Vec<usize>, bool)| match (features.is_empty(), far) {
            (false, _) => Some(names(features)),
            (true, true) => Some("combination".to_owned()),
            (true, false) => None,
        };
        Ok(Intervals {
            mean,
            half,
            novel: novel.iter().map(told).collect(),
        })
    }

    /// Half the width of an interval that holds the true value of a new row with the given probability (0 to 1), as far as new rows are
    /// like the training rows; 0 for a model of classes.
    pub fn residual_quantile(&self, coverage: f64) -> f64 {
        self.stored()
            .calibration
            .as_ref()
            .map_or(0.0, |calibration| calibration.quantile(coverage))
    }
}
