//! What a model says about itself: leaderboard, importances, card.

use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use crate::ensemble::Choice;
use crate::frame::Frame;
use crate::model::Residuals;
use crate::options::TrainOptions;
use crate::sample;
use crate::table::Table;
use crate::trial::{Folds, Trial};

/// Held-out rows per fold that importances are measured on; the measure is an average, and this many settle it.
const IMPORTANCE_ROWS_MAX: usize = 400;

/// A candidate's line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaderboardRow {
    pub(crate) candidate: String,
    pub(crate) r2: Option<f64>,
    pub(crate) rmse: Option<f64>,
    pub(crate) mae: Option<f64>,
    pub(crate) folds: Option<i64>,
    pub(crate) chosen: bool,
    /// Why it has no score.
    pub(crate) note: Option<String>,
}

impl LeaderboardRow {
    pub(crate) fn tried(name: &str, score: crate::trial::Score, folds: usize) -> Self {
        Self {
            candidate: name.to_owned(),
            r2: Some(score.r2),
            rmse: Some(score.rmse),
            mae: Some(score.mae),
            folds: i64::try_from(folds).ok(),
            chosen: false,
            note: None,
        }
    }

    pub(crate) fn left(name: &str, reason: &str) -> Self {
        let note = Some(reason.to_owned());
        Self {
            candidate: name.to_owned(),
            r2: None,
            rmse: None,
            mae: None,
            folds: None,
            chosen: false,
            note,
        }
    }

    /// Best first, those without a score last.
    pub(crate) fn rank(&self) -> f64 {
        self.rmse.unwrap_or(f64::INFINITY)
    }
}

/// The leaderboard as a table, best first.
pub(crate) fn leaderboard(rows: &[LeaderboardRow]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("candidate", DataType::Utf8, false),
        Field::new("r2", DataType::Float64, true),
        Field::new("rmse", DataType::Float64, true),
        Field::new("mae", DataType::Float64, true),
        Field::new("folds", DataType::Int64, true),
        Field::new("chosen", DataType::Boolean, false),
        Field::new("note", DataType::Utf8, true),
    ]);
    let schema = Arc::new(schema);
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(rows.iter().map(|r| Some(r.candidate.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.r2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.rmse).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.mae).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.folds).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| Some(r.chosen)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.note.as_deref()).collect::<StringArray>()),
        ],
    );
    // The columns above are as long as `rows` and of the schema's types; an empty table stands for the impossible.
    batch.unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// The importances as a table, largest first.
pub(crate) fn importance_table(importance: &[(String, f64)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("feature", DataType::Utf8, false),
        Field::new("importance", DataType::Float64, false),
    ]);
    let schema = Arc::new(schema);
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(
                importance
                    .iter()
                    .map(|(name, _)| Some(name.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                importance
                    .iter()
                    .map(|(_, value)| Some(*value))
                    .collect::<Float64Array>(),
            ),
        ],
    );
    batch.unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// Permutation importance on held-out rows: how much the root mean square error grows (in the target's unit) when one original column is
/// shuffled among them. Breiman, "Random Forests", Machine Learning 2001.
pub(crate) fn importance(
    table: &Table,
    folds: &Folds,
    trials: &[Trial],
    choice: &Choice,
    seed: u64,
) -> Vec<(String, f64)> {
    let mut intact = 0.0;
    let mut shuffled = vec![0.0; table.features.len()];
    let mut count = 0_usize;
    for (number, fold) in folds.parts.iter().enumerate() {
        let rows = fold.held_rows.get(..IMPORTANCE_ROWS_MAX).unwrap_or(&fold.held_rows);
        let (held, target) = (table.frame.take(rows), table.targets(rows));
        let squares = |frame: &Frame| -> f64 {
            let mut sum = vec![0.0; frame.rows];
            for (index, weight) in &choice.members {
                let Some(model) = trials.get(*index).and_then(|trial| trial.models.get(number)) else {
                    continue;
                };
                for (total, value) in sum.iter_mut().zip(model.predict(frame)) {
                    *total += weight * value;
                }
            }
            sum.iter().zip(&target).map(|(p, y)| (p - y).powi(2)).sum()
        };
        intact += squares(&held);
        count += rows.len();
        for (feature, total) in shuffled.iter_mut().enumerate() {
            let order = sample::permutation(held.rows, seed ^ ((number as u64) << 32) ^ feature as u64);
            let mut frame = held.clone();
            if let Some(col) = frame.cols.get_mut(feature) {
                *col = col.take(&order);
            }
            *total += squares(&frame);
        }
    }
    let rmse = |squares: f64| (squares / count.max(1) as f64).sqrt();
    let mut result: Vec<(String, f64)> = table
        .features
        .iter()
        .zip(&shuffled)
        .map(|(feature, squares)| (feature.name.clone(), rmse(*squares) - rmse(intact)))
        .collect();
    result.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    result
}

/// The chosen candidate's name; an ensemble names its members with their weights.
pub(crate) fn chosen_name(trials: &[Trial], choice: &Choice) -> String {
    let member = |(index, weight): &(usize, f64)| {
        let name = trials.get(*index).map_or("", |trial| trial.candidate.name);
        if choice.members.len() == 1 {
            name.to_owned()
        } else {
            format!("{:.0} % {name}", weight * 100.0)
        }
    };
    let names: Vec<String> = choice.members.iter().map(member).collect();
    if names.len() == 1 {
        names.concat()
    } else {
        format!("ensemble: {}", names.join(" + "))
    }
}

/// Facts for a person: what the model is, what it was made from, and how far to trust it.
pub(crate) fn card(
    table: &Table,
    options: &TrainOptions,
    leaderboard: &[LeaderboardRow],
    choice: &Choice,
    residuals: &Residuals,
    folds: usize,
) -> Vec<(String, String)> {
    let chosen = leaderboard
        .iter()
        .find(|row| row.chosen)
        .map_or_else(String::new, |row| row.candidate.clone());
    let names: Vec<&str> = table.features.iter().map(|f| f.name.as_str()).collect();
    let (low, high) = table
        .target
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(*y), h.max(*y)));
    let mut card = vec![
        ("target".to_owned(), options.target.clone()),
        ("kind".to_owned(), "regression".to_owned()),
        ("chosen".to_owned(), chosen),
        ("r2".to_owned(), format!("{:.4}", choice.score.r2)),
        ("rmse".to_owned(), format!("{:.6}", choice.score.rmse)),
        ("mae".to_owned(), format!("{:.6}", choice.score.mae)),
        ("interval_90".to_owned(), format!("± {:.6}", residuals.quantile(0.9))),
        ("rows".to_owned(), table.frame.rows.to_string()),
        ("rows_without_target".to_owned(), table.rows_without_target.to_string()),
        ("target_range".to_owned(), format!("{low} to {high}")),
        ("features".to_owned(), names.join(", ")),
        ("folds".to_owned(), folds.to_string()),
        (
            "group_by".to_owned(),
            options.group_by.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("seed".to_owned(), options.seed.to_string()),
        (
            "time_budget_s".to_owned(),
            options.time_budget.as_secs_f64().to_string(),
        ),
    ];
    let usable = table.rows_seen - table.rows_without_target;
    if usable > table.frame.rows {
        card.push((
            "rows_sampled".to_owned(),
            format!("{} of {usable} rows were drawn with the seed", table.frame.rows),
        ));
    }
    for (name, reason) in &table.left_out {
        card.push((format!("left_out: {name}"), reason.clone()));
    }
    let caution = match &options.group_by {
        Some(group) => format!("scores and intervals are for new values of {group}, whose rows were held out together"),
        None => "scores and intervals are for rows like the training rows; for a new plate, scaffold or batch expect less, and train with group_by to see how much".to_owned(),
    };
    card.push(("caution".to_owned(), caution));
    card
}
