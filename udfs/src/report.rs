//! What a model says about itself: leaderboard, importances, card.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::chem::{Looked, says_molecules};
use crate::ensemble::Choice;
use crate::feature::{Feature, FeatureKind};
use crate::frame::Frame;
use crate::model::Timing;
use crate::options::{Goal, TrainOptions};
use crate::sample;
use crate::score::Score;
use crate::table::Table;
use crate::task::Task;
use crate::trial::{Folds, Trial};

/// Held-out rows per fold that importances are measured on; the measure is an average, and this many settle it.
const IMPORTANCE_ROWS_MAX: usize = 400;

/// A candidate's line. Times are not in it: they differ from run to run, and a model's bytes must not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaderboardRow {
    pub(crate) candidate: String,
    pub(crate) score: Option<Score>,
    /// The ranked measure (RMSE or log-loss) of each fold alone.
    pub(crate) folds: Vec<f64>,
    pub(crate) chosen: bool,
    /// Why it has no score.
    pub(crate) note: Option<String>,
}

/// Why the time left a candidate out. Without how long it would have taken, which differs from run to run.
const LATE: &str = "it would take longer than the time budget leaves";
/// How older programs began to say so.
const LATE_BEFORE: &str = "it would take about ";

impl LeaderboardRow {
    pub(crate) fn late(name: &str) -> Self {
        Self::left(name, LATE)
    }

    pub(crate) fn was_late(&self) -> bool {
        let note = self.note.as_deref();
        note.is_some_and(|note| note == LATE || note.starts_with(LATE_BEFORE))
    }

    pub(crate) fn tried(name: &str, score: Score, folds: Vec<f64>) -> Self {
        Self {
            candidate: name.to_owned(),
            score: Some(score),
            folds,
            chosen: false,
            note: None,
        }
    }

    pub(crate) fn left(name: &str, reason: &str) -> Self {
        Self {
            candidate: name.to_owned(),
            score: None,
            folds: Vec::new(),
            chosen: false,
            note: Some(reason.to_owned()),
        }
    }

    /// Best first, those without a score last.
    pub(crate) fn rank(&self) -> f64 {
        self.score.map_or(f64::INFINITY, |score| score.cost)
    }
}

/// The leaderboard as a table, best first: candidate, the measures of the model's kind (r2, rmse, mae or auc, f1, log_loss, calibration),
/// folds, fold_scores (the ranked measure of each fold, text), chosen, note, train_s and predict_s (of all folds; NULL when not known).
pub(crate) fn leaderboard(task: &Task, rows: &[LeaderboardRow], timings: &[Timing]) -> RecordBatch {
    type Measure = (&'static str, fn(&Score) -> Option<f64>);
    let measures: &[Measure] = match task {
        Task::Regression => &[("r2", |s| s.r2), ("rmse", |s| s.rmse), ("mae", |s| s.mae)],
        Task::Classes(_) => &[
            ("auc", |s| s.auc),
            ("f1", |s| s.f1),
            ("log_loss", |s| s.log_loss),
            ("calibration", |s| s.calibration),
        ],
    };
    let timing = |row: &LeaderboardRow| timings.iter().find(|timing| timing.candidate == row.candidate);
    let folds = |row: &LeaderboardRow| (!row.folds.is_empty()).then_some(row.folds.len() as i64);
    let fold_scores = |row: &LeaderboardRow| {
        let told: Vec<String> = row.folds.iter().map(|cost| format!("{cost:.4}")).collect();
        (!told.is_empty()).then(|| told.join(", "))
    };
    let mut columns: Vec<(Field, ArrayRef)> = vec![(
        Field::new("candidate", DataType::Utf8, false),
        Arc::new(rows.iter().map(|r| Some(r.candidate.as_str())).collect::<StringArray>()),
    )];
    for (name, measure) in measures {
        let values: Float64Array = rows.iter().map(|r| r.score.as_ref().and_then(measure)).collect();
        columns.push((Field::new(*name, DataType::Float64, true), Arc::new(values)));
    }
    columns.extend([
        (
            Field::new("folds", DataType::Int64, true),
            Arc::new(rows.iter().map(folds).collect::<Int64Array>()) as ArrayRef,
        ),
        (
            Field::new("fold_scores", DataType::Utf8, true),
            Arc::new(rows.iter().map(fold_scores).collect::<StringArray>()),
        ),
        (
            Field::new("chosen", DataType::Boolean, false),
            Arc::new(rows.iter().map(|r| Some(r.chosen)).collect::<BooleanArray>()),
        ),
        (
            Field::new("note", DataType::Utf8, true),
            Arc::new(rows.iter().map(|r| r.note.as_deref()).collect::<StringArray>()),
        ),
        (
            Field::new("train_s", DataType::Float64, true),
            Arc::new(
                rows.iter()
                    .map(|r| timing(r).map(|t| t.train_s))
                    .collect::<Float64Array>(),
            ),
        ),
        (
            Field::new("predict_s", DataType::Float64, true),
            Arc::new(
                rows.iter()
                    .map(|r| timing(r).map(|t| t.predict_s))
                    .collect::<Float64Array>(),
            ),
        ),
    ]);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    // The columns above are as long as `rows` and of the schema's types; an empty table stands for the impossible.
    RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap_or_else(|_| RecordBatch::new_empty(schema))
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

/// Permutation importance on held-out rows: how much the root mean square error (in the target's unit) or the log-loss grows when one original
/// column is shuffled among them. Breiman, "Random Forests", Machine Learning 2001. By feature, in the table's order.
pub(crate) fn importance(table: &Table, folds: &Folds, trials: &[Trial], choice: &Choice, seed: u64) -> Vec<f64> {
    let mut intact = 0.0;
    let mut shuffled = vec![0.0; table.features.len()];
    let mut count = 0_usize;
    // Errors add up over the folds as squares, losses as they are.
    let squared = matches!(table.task, Task::Regression);
    for (number, fold) in folds.parts.iter().enumerate() {
        // Drawn, not the first ones: rows that lie together are often alike.
        let rows = sample::some(&fold.held_rows, IMPORTANCE_ROWS_MAX, seed ^ ((number as u64) << 40));
        let rows = rows.as_slice();
        let (held, target) = (table.frame.take(rows), table.targets(rows));
        let lost = |frame: &Frame| -> f64 {
            let mut sums: Vec<Vec<f64>> = Vec::new();
            for (index, weight) in &choice.members {
                let Some(models) = trials.get(*index).and_then(|trial| trial.models.get(number)) else {
                    continue;
                };
                sums.resize(models.len(), vec![0.0; frame.rows]);
                for (sum, model) in sums.iter_mut().zip(models) {
                    for (total, value) in sum.iter_mut().zip(model.predict(&table.features, frame)) {
                        *total += weight * value;
                    }
                }
            }
            table.task.normalise(&mut sums);
            let cost = table.task.cost(&sums, &target);
            rows.len() as f64 * if squared { cost * cost } else { cost }
        };
        intact += lost(&held);
        count += rows.len();
        for (feature, total) in shuffled.iter_mut().enumerate() {
            let order = sample::permutation(held.rows, seed ^ ((number as u64) << 32) ^ feature as u64);
            let mut frame = held.clone();
            if let Some(col) = frame.cols.get_mut(feature) {
                *col = col.take(&order);
            }
            *total += lost(&frame);
        }
    }
    let whole = |sum: f64| {
        let mean = sum / count.max(1) as f64;
        if squared { mean.sqrt() } else { mean }
    };
    shuffled.iter().map(|sum| whole(*sum) - whole(intact)).collect()
}

/// The chosen candidate's name; an ensemble names its members with their weights.
pub(crate) fn chosen_name(trials: &[Trial], choice: &Choice) -> String {
    match choice.members.as_slice() {
        [(index, _)] => trials.get(*index).map_or("", |trial| trial.candidate.name).to_owned(),
        members => format!("ensemble: {}", members_named(trials, members)),
    }
}

/// Members with their weights.
pub(crate) fn members_named(trials: &[Trial], members: &[(usize, f64)]) -> String {
    let member = |(index, weight): &(usize, f64)| {
        let name = trials.get(*index).map_or("", |trial| trial.candidate.name);
        format!("{:.0} % {name}", weight * 100.0)
    };
    members.iter().map(member).collect::<Vec<_>>().join(" + ")
}

/// Facts for a person: what the model is, what it was made from, and how far to trust it.
pub(crate) fn card(
    table: &Table,
    options: &TrainOptions,
    leaderboard: &[LeaderboardRow],
    choice: &Choice,
    calibration: Option<&Calibration>,
    folds: usize,
) -> Vec<(String, String)> {
    let chosen = leaderboard
        .iter()
        .find(|row| row.chosen)
        .map_or_else(String::new, |row| row.candidate.clone());
    let names: Vec<&str> = table.features.iter().map(|f| f.name.as_str()).collect();
    let mut card = vec![
        ("target".to_owned(), table.target_name.clone()),
        ("kind".to_owned(), table.task.name().to_owned()),
        ("chosen".to_owned(), chosen),
    ];
    let measures = [
        ("r2", choice.score.r2),
        ("rmse", choice.score.rmse),
        ("mae", choice.score.mae),
        ("auc", choice.score.auc),
        ("f1", choice.score.f1),
        ("log_loss", choice.score.log_loss),
        ("calibration", choice.score.calibration),
    ];
    for (name, value) in measures {
        card.extend(value.map(|value| (name.to_owned(), format!("{value:.6}"))));
    }
    if let Some(calibration) = calibration {
        let told = match calibration.quantile(0.9) {
            width if width.is_finite() => format!("± {width:.6}"),
            _ => format!(
                "none: {} held-out {} can speak for a coverage of at most {:.3}",
                calibration.independent(),
                if table.groups.is_some() { "groups" } else { "rows" },
                calibration.coverage_max()
            ),
        };
        card.push(("interval_90".to_owned(), told));
        for (feature, width) in calibration.novelty(0.9) {
            if let Some(feature) = table.features.get(feature) {
                let told = if width.is_finite() {
                    format!("± {width:.6}")
                } else {
                    "none: too few different values to tell".to_owned()
                };
                card.push((format!("interval_90, new {}", feature.name), told));
            }
        }
    }
    let told = match &table.task {
        Task::Regression => {
            let (low, high) = table
                .target
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(*y), h.max(*y)));
            ("target_range".to_owned(), format!("{low} to {high}"))
        }
        Task::Classes(names) => ("classes".to_owned(), names.join(", ")),
    };
    card.extend([
        ("rows".to_owned(), table.frame.rows.to_string()),
        ("rows_without_target".to_owned(), table.rows_without_target.to_string()),
        told,
        ("features".to_owned(), names.join(", ")),
        ("folds".to_owned(), folds.to_string()),
        (
            "group_by".to_owned(),
            table.group_name.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("seed".to_owned(), options.seed.to_string()),
        (
            "time_budget_s".to_owned(),
            options.time_budget.as_secs_f64().to_string(),
        ),
    ]);
    if matches!(table.task, Task::Regression) {
        let goal = match options.goal {
            Goal::Max => "max",
            Goal::Min => "min",
        };
        card.push(("goal".to_owned(), goal.to_owned()));
    }
    if table.group_by_rule {
        let told = "the column's name says that rows of one value were measured together; group_by = 'none' asks for random folds and makes it a feature";
        card.push(("group_rule".to_owned(), told.to_owned()));
    }
    let usable = table.rows_seen - table.rows_without_target;
    if usable > table.frame.rows {
        card.push((
            "rows_sampled".to_owned(),
            format!(
                "{} of {usable} rows were drawn with the seed; of the others it is not known that they were run",
                table.frame.rows
            ),
        ));
    }
    for (name, reason) in &table.left_out {
        card.push((format!("left_out: {name}"), reason.clone()));
    }
    let unread = |feature: &&Feature| feature.kind == FeatureKind::Category && says_molecules(&feature.name);
    for feature in table.features.iter().filter(unread) {
        let Looked { seen, parsed, .. } = Looked::at(&feature.levels);
        let told =
            format!("of {seen} texts looked at only {parsed} are molecules or reactions; all are known by name only");
        card.push((format!("no_molecule: {}", feature.name), told));
    }
    for feature in table
        .features
        .iter()
        .filter(|feature| feature.kind == FeatureKind::Smiles)
    {
        // How many, not which: whoever may ask the model need not see its rows.
        let none = feature.molecules().iter().filter(|molecule| molecule.is_none()).count();
        if none > 0 {
            let told = format!("{none} of {} texts; they are known by name only", feature.levels.len());
            card.push((format!("no_molecule: {}", feature.name), told));
        }
    }
    let caution = match &table.group_name {
        Some(group) => format!("scores and intervals are for new values of {group}, whose rows were held out together"),
        None => "scores are for rows like the training rows; for a new plate, scaffold or batch expect less, and train with group_by to see how much".to_owned(),
    };
    card.push(("caution".to_owned(), caution));
    card
}
