//! Has the data moved away from what a model was trained on?

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::PredictError;
use crate::feature::{Baseline, Feature, FeatureKind, NULL_LEVEL};
use crate::frame::{Col, Frame};
use crate::model::Model;
use crate::sight::Sight;

/// Below this a stability index is called stable, above the second moved; the usual marks of credit scoring.
const SHIFTING: f64 = 0.1;
const MOVED: f64 = 0.25;
/// Standard deviations of the normal distribution that chance exceeds, upwards, once in so many times.
const ONCE_IN_100: f64 = 2.326;
const ONCE_IN_1000: f64 = 3.090;
/// A share of nothing is taken as this, so that its logarithm is finite.
const SHARE_MIN: f64 = 1e-4;

/// Compares a table with a model's training rows, batch by batch.
#[derive(Debug)]
pub struct Drift {
    model: Arc<Model>,
    columns: Vec<Option<usize>>,
    counts: Vec<Counts>,
    rows: usize,
    sight: Sight,
}

/// Rows by the baseline value that they are nearest to, the others, and those that are novel.
#[derive(Debug, Clone)]
struct Counts {
    near: Vec<f64>,
    null: f64,
    other: f64,
    novel: f64,
}

impl Drift {
    /// Compares the features that the table has a column of; the others are told as absent.
    ///
    /// # Errors
    /// [`PredictError::MissingFeatures`] if it has none of them, [`PredictError::NoTraining`] of an imported model.
    pub fn new(model: Arc<Model>, table: &Schema) -> Result<Self, PredictError> {
        model.knows_its_training()?;
        let names = |names: Vec<&str>| names.join(", ");
        let columns: Vec<Option<usize>> = model.features().iter().map(|f| table.index_of(&f.name).ok()).collect();
        if columns.iter().all(Option::is_none) {
            return Err(PredictError::MissingFeatures {
                missing: model.features().iter().map(|f| f.name.clone()).collect(),
                columns: names(table.fields().iter().map(|f| f.name().as_str()).collect()),
            });
        }
        let counts = model
            .features()
            .iter()
            .map(|feature| Counts {
                near: vec![0.0; feature.baseline.len()],
                null: 0.0,
                other: 0.0,
                novel: 0.0,
            })
            .collect();
        Ok(Self {
            model,
            columns,
            counts,
            rows: 0,
            sight: Sight::default(),
        })
    }

    /// Leaves out what somebody may not be told of.
    #[must_use]
    pub fn to(self, sight: &Sight) -> Self {
        Self {
            sight: sight.clone(),
            ..self
        }
    }

    /// # Errors
    /// A column that a model cannot read.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let rows = batch.num_rows();
        let nothing = |feature: &Feature| arrow::array::new_null_array(&feature.input_type, 1);
        let columns: Vec<ArrayRef> = self
            .model
            .features()
            .iter()
            .zip(&self.columns)
            .map(
                |(feature, place)| match place.and_then(|place| batch.columns().get(place)) {
                    Some(column) => Arc::clone(column),
                    None => nothing(feature),
                },
            )
            .collect();
        let frame = Frame::read(self.model.features(), &columns, rows)?;
        for (novel, _) in self.model.stored().domain.novel(&frame, |_| true) {
            for feature in novel {
                if let Some(counts) = self.counts.get_mut(feature) {
                    counts.novel += 1.0;
                }
            }
        }
        for ((feature, col), counts) in self.model.features().iter().zip(&frame.cols).zip(&mut self.counts) {
            for row in 0..rows {
                match nearest(feature, col, row).and_then(|place| counts.near.get_mut(place)) {
                    Some(count) => *count += 1.0,
                    None if is_null(feature, col, row) => counts.null += 1.0,
                    None => counts.other += 1.0,
                }
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// The schema of [`Drift::finish`]: feature Utf8, stability_index Float64 (0 for the same distribution; NULL for an absent column), novel_share
    /// Float64 (rows with a value that training did not see), verdict Utf8 (stable, shifting, moved, too few rows, absent or not told), rows Int64.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("feature", DataType::Utf8, false),
            Field::new("stability_index", DataType::Float64, true),
            Field::new("novel_share", DataType::Float64, true),
            Field::new("verdict", DataType::Utf8, false),
            Field::new("rows", DataType::Int64, false),
        ]))
    }

    /// What has moved most first. An index is a matter of chance, too, the more so the fewer rows there are: nothing is called moved or shifting that
    /// as many rows of the training's own distribution would show once in a hundred times. Of a feature whose values may not be told nothing is.
    ///
    /// # Errors
    /// Arrow's, which do not occur.
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let rows = self.rows as f64;
        let mut told: Vec<Line<'_>> = Vec::new();
        for ((feature, counts), place) in self.model.features().iter().zip(&self.counts).zip(&self.columns) {
            if !self.sight.tells(&feature.name) {
                continue;
            }
            let line = |verdict| Line {
                feature: &feature.name,
                index: None,
                novel: None,
                verdict,
            };
            told.push(if place.is_none() || self.rows == 0 {
                line("absent")
            } else if !self.sight.values(&feature.name) {
                line("not told")
            } else {
                let shift = Shift::of(feature, counts, self.model.rows() as f64);
                Line {
                    index: Some(shift.index),
                    novel: Some(counts.novel / rows),
                    ..line(shift.verdict())
                }
            });
        }
        let rank = |line: &Line<'_>| line.index.unwrap_or(f64::NEG_INFINITY);
        told.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(told.iter().map(|line| Some(line.feature)).collect::<StringArray>()),
            Arc::new(told.iter().map(|line| line.index).collect::<Float64Array>()),
            Arc::new(told.iter().map(|line| line.novel).collect::<Float64Array>()),
            Arc::new(told.iter().map(|line| Some(line.verdict)).collect::<StringArray>()),
            Arc::new(Int64Array::from(vec![self.rows as i64; told.len()])),
        ];
        Ok(RecordBatch::try_new(Self::schema(), columns)?)
    }
}

/// What is said of one feature.
struct Line<'a> {
    feature: &'a str,
    index: Option<f64>,
    novel: Option<f64>,
    verdict: &'static str,
}

/// How unlike two distributions are, and how surely.
struct Shift {
    /// The population stability index: how unlike they are, both ways.
    index: f64,
    /// The chi-square of the two samples over the same bins, and its degrees of freedom.
    chi_square: f64,
    freedom: f64,
}

impl Shift {
    /// `trained` is how many rows the feature's shares are of.
    fn of(feature: &Feature, counts: &Counts, trained: f64) -> Self {
        let near: f64 = counts.near.iter().sum();
        // Models that older programs made know no shares of numbers. Their kept values are evenly spaced quantiles: of numbers that seldom come again
        // about the weight of each is nearest to it.
        let weight = |(place, baseline): (usize, &Baseline)| match baseline {
            Baseline::Number { weight, .. } => feature.near.get(place).copied().unwrap_or(*weight),
            Baseline::Level { weight, .. } => *weight,
        };
        let weights = feature.baseline.iter().enumerate().map(weight);
        let (told, rows, rest) = match feature.rest {
            Some(rest) => (
                rest.told(),
                near + counts.null + counts.other,
                vec![(rest.null, counts.null), (rest.other, counts.other)],
            ),
            // Without the shares of the rest, only what the baseline stands for can be compared.
            None => (1.0, near, Vec::new()),
        };
        let (rows, trained) = (rows.max(1.0), trained.max(1.0));
        let pairs = weights.map(|weight| weight * told).zip(counts.near.iter().copied());
        let (mut index, mut chi_square, mut bins) = (0.0, 0.0, 0_usize);
        for (share, count) in pairs.chain(rest) {
            let (expected, found) = (share.max(SHARE_MIN), (count / rows).max(SHARE_MIN));
            index += (found - expected) * (found / expected).ln();
            let pooled = (share * trained + count) / (trained + rows);
            if pooled > 0.0 {
                bins += 1;
                chi_square += rows * trained / (rows + trained) * (count / rows - share).powi(2) / pooled;
            }
        }
        Self {
            index,
            chi_square,
            freedom: bins.saturating_sub(1) as f64,
        }
    }

    fn verdict(&self) -> &'static str {
        let beyond_chance = |deviations| self.chi_square > chi_square_quantile(self.freedom, deviations);
        match self.index {
            index if index > MOVED && beyond_chance(ONCE_IN_1000) => "moved",
            index if index > SHIFTING && beyond_chance(ONCE_IN_100) => "shifting",
            index if index > SHIFTING => "too few rows",
            _ => "stable",
        }
    }
}

/// The value that chi-square exceeds as seldom as the normal distribution does so many standard deviations (Wilson and Hilferty, PNAS 17 (1931)
/// 684).
fn chi_square_quantile(freedom: f64, deviations: f64) -> f64 {
    let freedom = freedom.max(1.0);
    let ninth = 2.0 / (9.0 * freedom);
    freedom * (1.0 - ninth + deviations * ninth.sqrt()).powi(3)
}

/// NULL of a number or of prose; NULL of a category is a level.
fn is_null(feature: &Feature, col: &Col, row: usize) -> bool {
    match feature.kind {
        FeatureKind::Text => col.code(row) == NULL_LEVEL,
        _ => !feature.has_levels(),
    }
}

/// The baseline value that a row's value stands with; `None` for NULL and for levels that are not among them.
fn nearest(feature: &Feature, col: &Col, row: usize) -> Option<usize> {
    if feature.has_levels() {
        let code = col.code(row);
        let is = |baseline: &Baseline| matches!(baseline, Baseline::Level { code: known, .. } if *known == code);
        return feature.baseline.iter().position(is);
    }
    feature.nearest(col.number(row))
}
