//! How unusual each value of a series is against the values before it: `anomaly_score`, for quality control.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::PredictError;
use crate::forecast::{TimeSeries, own_names};

/// Values before one that it is held against, and the fewest that say anything.
const HISTORY: usize = 28;
const HISTORY_MIN: usize = 7;
const POINTS_MAX: usize = 2_000_000;
/// Makes the median of absolute deviations a standard deviation, for normal noise.
const MAD_TO_SD: f64 = 1.4826;
/// The same for the mean of absolute deviations, which stands in when half of the values are equal.
const MEAN_TO_SD: f64 = 1.2533;

/// How many robust standard deviations a value is from the median of `history`, and that median. Outliers of the past
/// move neither. A value that differs where the past never did is infinitely far.
pub fn robust_z(value: f64, history: &[f64]) -> (f64, f64) {
    let middle = median(history.to_vec());
    let away: Vec<f64> = history.iter().map(|past| (past - middle).abs()).collect();
    let mean = away.iter().sum::<f64>() / away.len().max(1) as f64;
    let spread = match MAD_TO_SD * median(away) {
        0.0 => MEAN_TO_SD * mean,
        spread => spread,
    };
    let distance = value - middle;
    let score = match spread {
        _ if distance == 0.0 => 0.0,
        0.0 => f64::INFINITY.copysign(distance),
        spread => distance / spread,
    };
    (score, middle)
}

/// The middle value; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle) + at(middle.wrapping_sub(1))) / 2.0
    }
}

/// Collects the values of a table.
#[derive(Debug)]
pub struct AnomalyScore {
    columns: TimeSeries,
    grouped: Option<String>,
    series: BTreeMap<String, Vec<(i64, f64)>>,
    points: usize,
}

impl AnomalyScore {
    /// # Errors
    /// A column that is not there or is no time or number.
    pub fn new(table: &Schema, time: &str, value: &str, group: Option<&str>) -> Result<Self, PredictError> {
        let grouped = group.map(str::to_owned);
        own_names(&["time", "value", "expected", "score"], [grouped.as_ref(), None])?;
        Ok(Self {
            columns: TimeSeries::find(table, time, value, group)?,
            grouped,
            series: BTreeMap::new(),
            points: 0,
        })
    }

    /// Takes rows in; those without a time or a value are passed over.
    ///
    /// # Errors
    /// Too many values; columns that cannot be read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let (series, points) = (&mut self.series, &mut self.points);
        self.columns.each(batch, |group, micros, value| {
            *points += 1;
            if *points > POINTS_MAX {
                return Err(PredictError::Series(format!(
                    "there are more than {POINTS_MAX} values: choose some, or aggregate first"
                )));
            }
            match series.get_mut(group) {
                Some(known) => known.push((micros, value)),
                None => {
                    series.insert(group.to_owned(), vec![(micros, value)]);
                }
            }
            Ok(())
        })
    }

    /// The schema of [`AnomalyScore::finish`]: the group's column if there is one, time (Timestamp in microseconds), value,
    /// expected (the median of the [`HISTORY`] values before), score (robust standard deviations; NULL where fewer than
    /// [`HISTORY_MIN`] came before).
    pub fn schema(&self) -> SchemaRef {
        let group = self.grouped.iter();
        let mut fields: Vec<Field> = group.map(|group| Field::new(group, DataType::Utf8, true)).collect();
        fields.extend([
            Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("value", DataType::Float64, false),
            Field::new("expected", DataType::Float64, true),
            Field::new("score", DataType::Float64, true),
        ]);
        Arc::new(Schema::new(fields))
    }

    /// Series by series, in the order of time; values of one moment by their size.
    ///
    /// # Errors
    /// The columns do not make a batch.
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let schema = self.schema();
        let (mut groups, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (mut expected, mut scores) = (Vec::new(), Vec::new());
        for (group, mut points) in self.series {
            // Values of one moment in their own order, not in that of their rows.
            points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let all: Vec<f64> = points.iter().map(|point| point.1).collect();
            for (place, (time, value)) in points.iter().enumerate() {
                let history = all.get(place.saturating_sub(HISTORY)..place).unwrap_or_default();
                let judged = (history.len() >= HISTORY_MIN).then(|| robust_z(*value, history));
                groups.push((!group.is_empty()).then(|| group.clone()));
                times.push(*time);
                values.push(*value);
                expected.push(judged.map(|judged| judged.1));
                scores.push(judged.map(|judged| judged.0));
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.grouped.is_some() {
            columns.push(Arc::new(StringArray::from(groups)));
        }
        columns.extend([
            Arc::new(TimestampMicrosecondArray::from(times)) as ArrayRef,
            Arc::new(Float64Array::from(values)),
            Arc::new(Float64Array::from(expected)),
            Arc::new(Float64Array::from(scores)),
        ]);
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
