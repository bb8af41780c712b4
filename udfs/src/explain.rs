//! Why a prediction is what it is: each feature in turn is replaced by what training held, and the difference is its pull.
//!
//! One feature at a time, so shared effects are counted with each of their features and the pulls need not add up to the whole.

use arrow::array::ArrayRef;

use crate::error::PredictError;
use crate::feature::{Baseline, FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL};
use crate::frame::{Col, Frame};
use crate::model::Model;

/// One feature's pull on one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Position in [`Model::features`].
    pub feature: usize,
    /// In the target's unit: the prediction minus the average prediction over this feature's training values, the others unchanged.
    pub effect: f64,
}

/// Features named in one line of reasons.
const REASONS_MAX: usize = 3;
/// A level's text is cut here: some are whole molecules.
const VALUE_CHARS_MAX: usize = 40;

impl Model {
    /// For each row the pull of every feature, strongest first; ties in feature order.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn explain(&self, columns: &[ArrayRef]) -> Result<Vec<Vec<Effect>>, PredictError> {
        let rows = columns.first().map_or(0, |column| column.len());
        Ok(self.explain_frame(&Frame::read(self.features(), columns, rows)?))
    }

    pub(crate) fn explain_frame(&self, frame: &Frame) -> Vec<Vec<Effect>> {
        let whole = self.predict_frame(frame);
        let mut effects: Vec<Vec<Effect>> = vec![Vec::with_capacity(self.features().len()); frame.rows];
        for (number, feature) in self.features().iter().enumerate() {
            let average = self.average_over(frame, number, feature);
            for ((row, value), average) in effects.iter_mut().zip(&whole).zip(&average) {
                row.push(Effect {
                    feature: number,
                    effect: value - average,
                });
            }
        }
        for row in &mut effects {
            row.sort_by(|a, b| {
                b.effect
                    .abs()
                    .total_cmp(&a.effect.abs())
                    .then(a.feature.cmp(&b.feature))
            });
        }
        effects
    }

    /// The weighted mean of the predictions with the feature set to each of its baseline values.
    fn average_over(&self, frame: &Frame, number: usize, feature: &Feature) -> Vec<f64> {
        let mut sum = vec![0.0; frame.rows];
        let mut weights = 0.0;
        let mut changed = frame.clone();
        for baseline in &feature.baseline {
            let (col, weight) = match baseline {
                Baseline::Number { value, weight } => (Col::Number(vec![*value]), *weight),
                Baseline::Level { code, weight } => (Col::Level(vec![*code]), *weight),
            };
            if let Some(slot) = changed.cols.get_mut(number) {
                *slot = col;
            }
            weights += weight;
            for (total, value) in sum.iter_mut().zip(self.predict_frame(&changed)) {
                *total += weight * value;
            }
        }
        if weights <= 0.0 {
            return self.predict_frame(frame);
        }
        sum.iter().map(|total| total / weights).collect()
    }
}

/// The strongest pulls of one row in words: `catalyst = Pd +12.3, temperature = 80 −4.1`.
pub(crate) fn reason(features: &[Feature], frame: &Frame, row: usize, effects: &[Effect]) -> String {
    let strongest = effects.first().map_or(0.0, |effect| effect.effect.abs());
    // What pulls less than a twentieth of the strongest says nothing to a person.
    let told = effects
        .iter()
        .take(REASONS_MAX)
        .filter(|e| e.effect != 0.0 && e.effect.abs() * 20.0 >= strongest);
    let words: Vec<String> = told
        .filter_map(|effect| {
            let (feature, col) = (features.get(effect.feature)?, frame.cols.get(effect.feature)?);
            Some(format!(
                "{} = {} {}",
                feature.name,
                value(feature, col, row),
                signed(effect.effect)
            ))
        })
        .collect();
    if words.is_empty() {
        "no feature sets it apart".to_owned()
    } else {
        words.join(", ")
    }
}

fn value(feature: &Feature, col: &Col, row: usize) -> String {
    if feature.kind == FeatureKind::Category {
        return match col.code(row) {
            NULL_LEVEL => "NULL".to_owned(),
            code => match code
                .checked_sub(FIRST_LEVEL)
                .and_then(|level| feature.levels.get(level as usize))
            {
                Some(level) if level.chars().count() > VALUE_CHARS_MAX => {
                    level.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect()
                }
                Some(level) => level.clone(),
                None => "a new value".to_owned(),
            },
        };
    }
    let number = col.number(row);
    match feature.kind {
        _ if number.is_nan() => "NULL".to_owned(),
        FeatureKind::Boolean => (number != 0.0).to_string(),
        FeatureKind::Time => day(number),
        _ => short(number),
    }
}

/// Four significant digits are enough for a reason.
fn short(number: f64) -> String {
    let digits = (3 - number.abs().max(1e-9).log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn signed(effect: f64) -> String {
    format!("{}{}", if effect < 0.0 { '−' } else { '+' }, short(effect.abs()))
}

/// Days since 1970-01-01 as a date.
fn day(days: f64) -> String {
    let date = arrow::temporal_conversions::date32_to_datetime(days.floor() as i32);
    date.map_or_else(|| short(days), |date| date.date().to_string())
}
