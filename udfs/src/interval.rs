//! Predictions with how far off they may be.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::PredictError;
use crate::frame::Frame;
use crate::model::Model;
use crate::sight::Sight;

/// Columns of an interval: mean, lower, upper Float64 in the target's unit (the ends NULL where no bounded interval has that coverage),
/// coverage Float64, in_domain Boolean, novel Utf8.
pub fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("mean", DataType::Float64, false),
        Field::new("lower", DataType::Float64, true),
        Field::new("upper", DataType::Float64, true),
        Field::new("coverage", DataType::Float64, false),
        Field::new("in_domain", DataType::Boolean, false),
        Field::new("novel", DataType::Utf8, true),
    ])
}

/// Intervals of some rows.
pub(crate) struct Intervals {
    pub(crate) mean: Vec<f64>,
    /// Infinite where too little was held out to speak for the coverage.
    pub(crate) half: Vec<f64>,
    /// What is novel in each row; `None` for a row like the training rows.
    pub(crate) novel: Vec<Option<String>>,
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
        let novel = self.stored().domain.novel(frame);
        let half = mean
            .iter()
            .zip(&novel)
            .map(|(mean, (features, _))| calibration.half_width(*mean, features, coverage))
            .collect();
        let names = |features: &[usize]| -> String {
            let names = features.iter().filter_map(|feature| self.features().get(*feature));
            let names = names
                .map(|feature| feature.name.as_str())
                .filter(|name| sight.tells(name));
            names.collect::<Vec<_>>().join(", ")
        };
        let told = |(features, far): &(Vec<usize>, bool)| match (names(features), features.is_empty() && !far) {
            (_, true) => None,
            (names, false) if names.is_empty() => Some("combination".to_owned()),
            (names, false) => Some(names),
        };
        Ok(Intervals {
            mean,
            half,
            novel: novel.iter().map(told).collect(),
        })
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
