//! Why a prediction is what it is: each feature in turn is replaced by what training held, and the difference is its pull.
//!
//! One feature at a time, so shared effects are counted with each of their features and the pulls need not add up to the whole.
//!
//! Of a model of classes one class is explained, by its probability: the predicted one unless another is asked about. What is highest of all
//! classes moves little where one class takes over from another, and would say of the feature that decides between them that it does nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};

use crate::error::PredictError;
use crate::feature::{Baseline, FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, Rest, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};
use crate::model::Model;
use crate::sample;
use crate::score::most_probable;
use crate::sight::Sight;

/// One feature's pull on one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Position in [`Model::features`].
    pub feature: usize,
    /// In the target's unit, or of classes the probability of the row's predicted one: the prediction minus the average prediction over this
    /// feature's training values, the others unchanged.
    pub effect: f64,
}

/// Rows that a partial dependence is the mean of.
const DEPENDENCE_ROWS: usize = 256;
/// Features named in one line of reasons.
const REASONS_MAX: usize = 3;
/// A level's text is cut here: some are whole molecules.
const VALUE_CHARS_MAX: usize = 40;

impl Model {
    /// For each row the pull of every feature, strongest first; ties in feature order.
    ///
    /// # Errors
    /// As [`Model::predict`]; [`PredictError::NoTraining`] of an imported model.
    pub fn explain(&self, columns: &[ArrayRef]) -> Result<Vec<Vec<Effect>>, PredictError> {
        self.knows_its_training()?;
        let rows = columns.first().map_or(0, |column| column.len());
        let frame = Frame::read(self.features(), columns, rows)?;
        let classes = self.predicted_classes(&frame);
        Ok(self.explain_by(&frame, &|frame| self.said_of(frame, &classes)))
    }

    /// The first row explained as a table, strongest pull first: feature Utf8, value Utf8, effect Float64 (the target's unit, or
    /// probability), prediction Float64, share Float64 (its Shapley value), average Float64: prediction = average + all shares; class Utf8, the
    /// predicted one, whose probability all these are (NULL for a model of a number).
    ///
    /// # Errors
    /// As [`Model::explain`].
    pub fn explanation(&self, columns: &[ArrayRef]) -> Result<RecordBatch, PredictError> {
        self.explanation_seen(columns, None, &Sight::default())
    }

    /// The same, of a class by its name if one is given, without the values that would tell whether training held them.
    pub(crate) fn explanation_seen(
        &self,
        columns: &[ArrayRef],
        class: Option<&str>,
        sight: &Sight,
    ) -> Result<RecordBatch, PredictError> {
        self.knows_its_training()?;
        let frame = Frame::read(self.features(), columns, 1)?;
        let class = match class {
            Some(class) => Some(self.class(class)?),
            None => self.predicted_classes(&frame).first().copied(),
        };
        let ask = |frame: &Frame| self.said(frame, class);
        let effects = self.explain_by(&frame, &ask).into_iter().next().unwrap_or_default();
        let prediction = ask(&frame).first().copied();
        let (shares, average) = self.shares_frame(&frame, class);
        let class = self.class_told(class, sight);
        let named = || {
            effects
                .iter()
                .filter_map(|effect| self.features().get(effect.feature).map(|f| (effect, f)))
        };
        let shown = |(effect, feature): (&Effect, &Feature)| shown(feature, frame.cols.get(effect.feature)?, 0, sight);
        let columns: [(&str, ArrayRef, bool); 7] = [
            (
                "feature",
                Arc::new(named().map(|(_, f)| Some(f.name.as_str())).collect::<StringArray>()),
                false,
            ),
            ("value", Arc::new(named().map(shown).collect::<StringArray>()), true),
            (
                "effect",
                Arc::new(named().map(|(e, _)| Some(e.effect)).collect::<Float64Array>()),
                false,
            ),
            (
                "prediction",
                Arc::new(named().map(|_| prediction).collect::<Float64Array>()),
                true,
            ),
            (
                "share",
                Arc::new(
                    named()
                        .map(|(e, _)| shares.get(e.feature).copied())
                        .collect::<Float64Array>(),
                ),
                true,
            ),
            (
                "average",
                Arc::new(named().map(|_| Some(average)).collect::<Float64Array>()),
                true,
            ),
            ("class", Arc::new(named().map(|_| class).collect::<StringArray>()), true),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// How the prediction moves with one feature, all others as training had them on average: value Utf8, number Float64 (NULL for a level),
    /// prediction Float64 (the target's unit, or probability), share Float64 (of the training rows that the value stands for), class Utf8: whose
    /// probability it is, of two classes the second, of more the one that is most probable of such rows on average (NULL for a model of a number).
    ///
    /// # Errors
    /// [`PredictError::NoFeature`] names the features there are; [`PredictError::NoTraining`] of an imported model.
    pub fn partial_dependence(&self, feature: &str) -> Result<RecordBatch, PredictError> {
        self.dependence_seen(feature, None, &Sight::default())
    }

    /// The same, of a class by its name if one is given.
    pub(crate) fn dependence_seen(
        &self,
        feature: &str,
        class: Option<&str>,
        sight: &Sight,
    ) -> Result<RecordBatch, PredictError> {
        self.knows_its_training()?;
        let features = self.features();
        let Some((place, about)) = features.iter().enumerate().find(|(_, f)| f.name == feature) else {
            return Err(PredictError::NoFeature {
                feature: feature.to_owned(),
                features: features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", "),
            });
        };
        // Rows drawn from each feature's own values: what training had, feature by feature.
        let mut frame = Frame {
            rows: DEPENDENCE_ROWS,
            cols: features
                .iter()
                .enumerate()
                .map(|(number, f)| drawn(f, number as u64, DEPENDENCE_ROWS))
                .collect(),
        };
        let class = match class {
            Some(class) => Some(self.class(class)?),
            None => self.usual_class(&frame),
        };
        let (mut values, mut numbers, mut predictions, mut shares) = (vec![], vec![], vec![], vec![]);
        for baseline in &about.baseline {
            let (col, share) = match baseline {
                Baseline::Number { value, weight } => (Col::Number(vec![*value]), *weight),
                Baseline::Level { code, weight } => (Col::constant_level(about, *code), *weight),
            };
            values.push(Some(value(about, &col, 0)));
            numbers.push(Some(col.number(0)).filter(|number| !number.is_nan()));
            if let Some(slot) = frame.cols.get_mut(place) {
                *slot = col;
            }
            let said = self.said(&frame, class);
            predictions.push(Some(said.iter().sum::<f64>() / said.len().max(1) as f64));
            shares.push(Some(share * about.rest.map_or(1.0, Rest::told)));
        }
        let class = vec![self.class_told(class, sight); shares.len()];
        let columns: [(&str, ArrayRef, bool); 5] = [
            ("value", Arc::new(values.into_iter().collect::<StringArray>()), true),
            ("number", Arc::new(numbers.into_iter().collect::<Float64Array>()), true),
            (
                "prediction",
                Arc::new(predictions.into_iter().collect::<Float64Array>()),
                true,
            ),
            ("share", Arc::new(shares.into_iter().collect::<Float64Array>()), true),
            ("class", Arc::new(class.into_iter().collect::<StringArray>()), true),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// # Errors
    /// [`PredictError::NoTraining`] of an imported model: there is nothing to compare a prediction with.
    pub(crate) fn knows_its_training(&self) -> Result<(), PredictError> {
        match self.stored().onnx {
            Some(_) => Err(PredictError::NoTraining),
            None => Ok(()),
        }
    }

    /// What is explained: the number, or the probability of one class.
    pub(crate) fn said(&self, frame: &Frame, class: Option<usize>) -> Vec<f64> {
        match class {
            Some(class) => self.probability_frame(class, frame),
            None => self.predict_frame(frame),
        }
    }

    /// The same with a class for each row; none for a model of a number.
    fn said_of(&self, frame: &Frame, classes: &[usize]) -> Vec<f64> {
        if classes.is_empty() {
            return self.predict_frame(frame);
        }
        let outputs = self.outputs(frame);
        let of = |(row, class): (usize, &usize)| self.stored().task.probabilities(&outputs, row).get(*class).copied();
        classes.iter().enumerate().map(|pair| of(pair).unwrap_or(0.0)).collect()
    }

    /// The predicted class of each row; none of a model of a number.
    pub(crate) fn predicted_classes(&self, frame: &Frame) -> Vec<usize> {
        if self.classes().is_empty() {
            return Vec::new();
        }
        let outputs = self.outputs(frame);
        let of = |row| most_probable(&self.stored().task.probabilities(&outputs, row));
        (0..frame.rows).map(of).collect()
    }

    /// The class that a curve is of: the second of two, or what is most probable of these rows on average.
    fn usual_class(&self, frame: &Frame) -> Option<usize> {
        match self.classes().len() {
            0 => None,
            2 => Some(1),
            count => {
                let outputs = self.outputs(frame);
                let mut sums = vec![0.0; count];
                for row in 0..frame.rows {
                    let of_row = self.stored().task.probabilities(&outputs, row);
                    sums.iter_mut().zip(of_row).for_each(|(sum, p)| *sum += p);
                }
                Some(most_probable(&sums))
            }
        }
    }

    /// A class's name; none where the target's values may not be told.
    fn class_told(&self, class: Option<usize>, sight: &Sight) -> Option<&str> {
        let name = self.classes().get(class?)?;
        sight.values(self.target()).then_some(name.as_str())
    }

    /// The pulls on what `ask` says of rows.
    pub(crate) fn explain_by(&self, frame: &Frame, ask: &dyn Fn(&Frame) -> Vec<f64>) -> Vec<Vec<Effect>> {
        let whole = ask(frame);
        let mut effects: Vec<Vec<Effect>> = vec![Vec::with_capacity(self.features().len()); frame.rows];
        for (number, feature) in self.features().iter().enumerate() {
            let average = average_over(frame, number, feature, ask);
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
}

/// The weighted mean of what `ask` says with the feature set to each of its baseline values.
fn average_over(frame: &Frame, number: usize, feature: &Feature, ask: &dyn Fn(&Frame) -> Vec<f64>) -> Vec<f64> {
    let mut sum = vec![0.0; frame.rows];
    let mut weights = 0.0;
    let mut changed = frame.clone();
    for baseline in &feature.baseline {
        let (col, weight) = match baseline {
            Baseline::Number { value, weight } => (Col::Number(vec![*value]), *weight),
            Baseline::Level { code, weight } => (Col::constant_level(feature, *code), *weight),
        };
        if let Some(slot) = changed.cols.get_mut(number) {
            *slot = col;
        }
        weights += weight;
        for (total, value) in sum.iter_mut().zip(ask(&changed)) {
            *total += weight * value;
        }
    }
    if weights <= 0.0 {
        return ask(frame);
    }
    sum.iter().map(|total| total / weights).collect()
}

/// A column of so many values, as often as training had them.
pub(crate) fn drawn(feature: &Feature, number: u64, rows: usize) -> Col {
    let order = sample::permutation(rows, number);
    let mut sum = 0.0;
    let ends: Vec<(f64, Baseline)> = feature
        .baseline
        .iter()
        .map(|baseline| {
            sum += match baseline {
                Baseline::Number { weight, .. } | Baseline::Level { weight, .. } => *weight,
            };
            (sum, *baseline)
        })
        .collect();
    let at = |row: &usize| {
        let share = (*row as f64 + 0.5) / rows as f64 * sum;
        ends.get(ends.partition_point(|(end, _)| *end < share))
            .or(ends.last())
            .map(|(_, baseline)| *baseline)
    };
    let picked: Vec<Option<Baseline>> = order.iter().map(at).collect();
    if feature.has_levels() {
        let code = |baseline: &Option<Baseline>| match baseline {
            Some(Baseline::Level { code, .. }) => *code,
            Some(Baseline::Number { .. }) | None => NULL_LEVEL,
        };
        let codes: Vec<u32> = picked.iter().map(code).collect();
        return Col::levels(feature, codes);
    }
    let value = |baseline: &Option<Baseline>| match baseline {
        Some(Baseline::Number { value, .. }) => *value,
        Some(Baseline::Level { .. }) | None => f64::NAN,
    };
    Col::Number(picked.iter().map(value).collect())
}

/// The strongest pulls of one row in words: `catalyst = Pd +12.3, temperature = 80 −4.1`.
pub(crate) fn reason(features: &[Feature], frame: &Frame, row: usize, effects: &[Effect], sight: &Sight) -> String {
    let is_told = |effect: &&Effect| features.get(effect.feature).is_some_and(|f| sight.tells(&f.name));
    let effects: Vec<&Effect> = effects.iter().filter(is_told).collect();
    let strongest = effects.first().map_or(0.0, |effect| effect.effect.abs());
    // What pulls less than a twentieth of the strongest says nothing to a person.
    let told = effects
        .iter()
        .take(REASONS_MAX)
        .filter(|e| e.effect != 0.0 && e.effect.abs() * 20.0 >= strongest);
    let words: Vec<String> = told
        .filter_map(|effect| {
            let (feature, col) = (features.get(effect.feature)?, frame.cols.get(effect.feature)?);
            let pull = signed(effect.effect);
            Some(match shown(feature, col, row, sight) {
                Some(value) => format!("{} = {value} {pull}", feature.name),
                None => format!("{} {pull}", feature.name),
            })
        })
        .collect();
    if words.is_empty() {
        "no feature sets it apart".to_owned()
    } else {
        words.join(", ")
    }
}

/// The value of a row; none where a known level looks unlike a new one, and that may not be told, nor of prose that is not kept.
fn shown(feature: &Feature, col: &Col, row: usize, sight: &Sight) -> Option<String> {
    let code = if feature.has_levels() {
        col.code(row)
    } else {
        NULL_LEVEL
    };
    let hidden = !sight.values(&feature.name) || (feature.kind == FeatureKind::Text && code == UNSEEN_LEVEL);
    (code == NULL_LEVEL || !hidden).then(|| value(feature, col, row))
}

fn value(feature: &Feature, col: &Col, row: usize) -> String {
    if feature.has_levels() {
        let cut = |text: &String| match text.chars().count() > VALUE_CHARS_MAX {
            true => text.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect(),
            false => text.clone(),
        };
        return match col.code(row) {
            NULL_LEVEL => "NULL".to_owned(),
            code => {
                let level = code.checked_sub(FIRST_LEVEL);
                let known = level.and_then(|level| feature.known_texts().get(level as usize));
                known.map_or_else(|| "a new value".to_owned(), cut)
            }
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
