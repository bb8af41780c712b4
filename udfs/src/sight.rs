//! What of a model may be told to somebody who asks it.
//!
//! Whoever may ask a model need not see all that it was trained on. What he may not see is left out of what the model says of itself, by name and
//! by value, and an error that would name it shows a question mark in its place.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::filter_record_batch;
use serde::{Deserialize, Serialize};

use crate::error::PredictError;
use crate::feature::Feature;
use crate::group::scaffold_of;
use crate::model::Model;

/// Columns of the training data that somebody may not see; the default sees everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sight {
    /// Not even their names are told.
    pub unnamed: BTreeSet<String>,
    /// Known by name at most: nothing that the model learned of them is told. Those without a name are among them.
    pub untold: BTreeSet<String>,
    /// Seen in some rows only: none of their values in training is told. The untold are among them.
    pub unvalued: BTreeSet<String>,
}

/// What stands in place of a name.
const NO_NAME: &str = "?";
/// Starts of a card's properties that end with a column's name.
const OF_COLUMN: [&str; 4] = ["left_out: ", "no_molecule: ", "unseen: ", "interval_90, new "];

impl Sight {
    /// Whether what the model learned of a column may be told.
    pub fn tells(&self, column: &str) -> bool {
        !self.untold.contains(column)
    }

    /// Whether a column may be named.
    pub fn names(&self, column: &str) -> bool {
        !self.unnamed.contains(column)
    }

    /// Whether values that training held of a column may be told.
    pub fn values(&self, column: &str) -> bool {
        !self.unvalued.contains(column)
    }

    /// The column's name, or what stands in its place.
    pub(crate) fn name<'a>(&self, column: &'a str) -> &'a str {
        if self.names(column) { column } else { NO_NAME }
    }

    /// An error of this model with no name or value in it that may not be told.
    pub fn error(&self, model: &Model, error: PredictError) -> PredictError {
        let listed = |features: &[Feature]| {
            let names: Vec<&str> = features.iter().map(|feature| self.name(&feature.name)).collect();
            names.join(", ")
        };
        let classes = |classes: String| {
            if self.values(model.target()) {
                classes
            } else {
                NO_NAME.to_owned()
            }
        };
        match error {
            PredictError::WrongCount { expected, got, .. } => PredictError::WrongCount {
                expected,
                got,
                features: listed(model.features()),
                problem: match model.features().get(got..) {
                    Some(missing) => format!("missing: {}", listed(missing)),
                    None => format!("{} too many", got.saturating_sub(expected)),
                },
            },
            PredictError::Unreadable { feature, found } => PredictError::Unreadable {
                feature: self.name(&feature).to_owned(),
                found,
            },
            PredictError::Length { feature, expected, got } => PredictError::Length {
                feature: self.name(&feature).to_owned(),
                expected,
                got,
            },
            PredictError::MissingFeatures { missing, columns } => PredictError::MissingFeatures {
                missing: missing.iter().map(|name| self.name(name).to_owned()).collect(),
                columns,
            },
            PredictError::NoControls { lacks, columns } => PredictError::NoControls {
                lacks: self.name(&lacks).to_owned(),
                columns,
            },
            PredictError::NoClass { class, classes: all } => PredictError::NoClass {
                class,
                classes: classes(all),
            },
            PredictError::NoWish { classes: all } => PredictError::NoWish { classes: classes(all) },
            other => other,
        }
    }
}

impl Model {
    /// The same model for somebody else: what he asks is remembered apart, so that no time it takes tells what others asked.
    #[must_use]
    pub fn apart(&self) -> Self {
        self.with_own_memory()
    }

    /// As [`Model::importance`], without what may not be told.
    ///
    /// # Errors
    /// [`PredictError::NoTraining`] of an imported model.
    pub fn importance_to(&self, sight: &Sight) -> Result<RecordBatch, PredictError> {
        self.knows_its_training()?;
        told(self.importance(), sight)
    }

    /// As [`Model::importance_by_shares`], without what may not be told.
    ///
    /// # Errors
    /// [`PredictError::NoTraining`] of an imported model.
    pub fn importance_by_shares_to(&self, sight: &Sight) -> Result<RecordBatch, PredictError> {
        self.knows_its_training()?;
        told(self.importance_by_shares(), sight)
    }

    /// As [`Model::explanation`], without what may not be told: `class` is NULL where the target's values may not be.
    ///
    /// # Errors
    /// As [`Model::explain`].
    pub fn explanation_to(&self, columns: &[ArrayRef], sight: &Sight) -> Result<RecordBatch, PredictError> {
        self.explanation_of(columns, None, sight)
    }

    /// The same of a class by its name, if one is given.
    ///
    /// # Errors
    /// As [`Model::explain`]; [`PredictError::NoClass`] and [`PredictError::NoClasses`] for a class that there is not.
    pub fn explanation_of(
        &self,
        columns: &[ArrayRef],
        class: Option<&str>,
        sight: &Sight,
    ) -> Result<RecordBatch, PredictError> {
        let explained = self.explanation_seen(columns, class, sight);
        told(explained.map_err(|error| sight.error(self, error))?, sight)
    }

    /// As [`Model::partial_dependence`]; a feature that may not be told is none.
    ///
    /// # Errors
    /// [`PredictError::NotWhole`] for a feature of which somebody sees some rows only, else as [`Model::partial_dependence`].
    pub fn partial_dependence_to(&self, feature: &str, sight: &Sight) -> Result<RecordBatch, PredictError> {
        self.partial_dependence_of(feature, None, sight)
    }

    /// The same of a class by its name, if one is given; `class` is NULL where the target's values may not be told.
    ///
    /// # Errors
    /// As [`Model::partial_dependence_to`]; [`PredictError::NoClass`] and [`PredictError::NoClasses`] for a class that there is not.
    pub fn partial_dependence_of(
        &self,
        feature: &str,
        class: Option<&str>,
        sight: &Sight,
    ) -> Result<RecordBatch, PredictError> {
        let known = || {
            self.features()
                .iter()
                .map(|f| f.name.as_str())
                .filter(|name| sight.tells(name))
        };
        if !known().any(|name| name == feature) {
            return Err(PredictError::NoFeature {
                feature: feature.to_owned(),
                features: known().collect::<Vec<_>>().join(", "),
            });
        }
        if !sight.values(feature) {
            return Err(PredictError::NotWhole(feature.to_owned()));
        }
        self.dependence_seen(feature, class, sight)
            .map_err(|error| sight.error(self, error))
    }

    /// As [`Model::interval`]; what is novel of features whose values may not be told is neither named nor counted: where nothing else is,
    /// `in_domain` is NULL and the width that of a row like the training rows.
    ///
    /// # Errors
    /// As [`Model::interval`].
    pub fn interval_to(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        coverage: f64,
        sight: &Sight,
    ) -> Result<StructArray, PredictError> {
        self.interval_seen(columns, rows, coverage, sight)
            .map_err(|error| sight.error(self, error))
    }

    /// As [`Model::card`], without what may not be told.
    pub fn card_to(&self, sight: &Sight) -> Vec<(String, String)> {
        let target = self.target();
        let card = self.card();
        let group = card
            .iter()
            .find(|(key, _)| key == "group_by")
            .map(|(_, group)| group.clone());
        let group_told = group.is_none_or(|group| sight.tells(scaffold_of(&group).unwrap_or(&group)));
        let of_column = |key: &str| {
            OF_COLUMN
                .iter()
                .find_map(|start| key.strip_prefix(start).map(str::to_owned))
        };
        let kept = card.into_iter().filter(|(key, _)| match key.as_str() {
            "target" => sight.tells(target),
            "target_range" | "classes" => sight.values(target),
            "group_by" | "group_rule" | "caution" => group_told,
            key => of_column(key).is_none_or(|column| sight.tells(&column)),
        });
        let features = || {
            let names = self.features().iter().map(|f| f.name.as_str());
            names.filter(|name| sight.tells(name)).collect::<Vec<_>>().join(", ")
        };
        kept.map(|(key, value)| match key.as_str() {
            "features" if !sight.untold.is_empty() => (key, features()),
            _ => (key, value),
        })
        .collect()
    }
}

/// The lines whose feature may be told.
fn told(lines: RecordBatch, sight: &Sight) -> Result<RecordBatch, PredictError> {
    let Some(names) = lines.column_by_name("feature").filter(|_| !sight.untold.is_empty()) else {
        return Ok(lines);
    };
    let names = names.as_string::<i32>().iter();
    let keep: BooleanArray = names
        .map(|name| Some(name.is_some_and(|name| sight.tells(name))))
        .collect();
    Ok(filter_record_batch(&lines, &keep)?)
}
