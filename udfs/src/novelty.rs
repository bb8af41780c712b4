//! How to answer for levels and molecules that training did not see.
//!
//! Who is best at filling gaps between known levels need not be best beyond them: a learner that knows each level by name is sure and wrong, one
//! that looks at structures may see further. So training is repeated without some levels of a column, and the members are weighed once more, by
//! what they say of rows that hold those. Such rows are answered with these weights.

use std::time::Duration;

use crate::candidate::Learner;
use crate::ensemble::{self, Choice};
use crate::error::TrainError;
use crate::feature::FeatureKind;
use crate::frame::{Col, Frame};
use crate::options::{Cancel, TrainOptions};
use crate::parallel;
use crate::table::Table;
use crate::task::Task;
use crate::trial::{Folds, Trial};

/// Columns that this is measured for: the most important ones.
const COLUMNS_MAX: usize = 3;
/// Members that are weighed.
const MEMBERS_MAX: usize = 7;
/// With more rows it would take longer than it is worth.
const ROWS_MAX: usize = 20_000;

/// What was found for one column.
pub(crate) struct Measured {
    pub(crate) feature: usize,
    /// Trials with their weights, which sum to one.
    pub(crate) weights: Vec<(usize, f64)>,
    /// How far off the weighed mean was.
    pub(crate) off: Vec<f64>,
    pub(crate) r2: f64,
}

/// Measures the most important columns of levels, as far as the time goes; and for how many of them it went, if not for all.
pub(crate) fn measure(
    table: &Table,
    trials: &[Trial],
    choice: &Choice,
    important: &[usize],
    options: &TrainOptions,
    left: &(dyn Fn() -> Duration + Sync),
    cancel: &Cancel,
) -> Result<(Vec<Measured>, Option<usize>), TrainError> {
    let mut all = Vec::new();
    if !matches!(table.task, Task::Regression) || table.frame.rows > ROWS_MAX {
        return Ok((all, None));
    }
    let members = members(trials, choice);
    let threads = options.threads.max(1) as u32;
    let fit = |index: &usize| {
        let trial = trials.get(*index);
        trial.map_or(Duration::ZERO, |trial| {
            trial.train_time / trial.fold_costs.len().max(1) as u32
        })
    };
    let one_of_each: Duration = members.iter().map(fit).sum();
    let levels = important.iter().copied().filter(|feature| {
        let kind = table.features.get(*feature).map(|feature| feature.kind);
        matches!(kind, Some(FeatureKind::Category | FeatureKind::Smiles))
    });
    let mut in_time = None;
    for (place, feature) in levels.take(COLUMNS_MAX).enumerate() {
        let Some(Col::Level(codes) | Col::Molecule { codes, .. }) = table.frame.cols.get(feature) else {
            continue;
        };
        let groups: Vec<usize> = codes.iter().map(|code| *code as usize).collect();
        let folds = Folds::by(table.frame.rows, Some(&groups), options.seed).parts;
        if folds.len() < 2 {
            continue;
        }
        // Afterwards all members are fitted once more.
        let needed = one_of_each * (folds.len() as u32 + 1) / threads;
        let is_late = match &options.replay {
            Some(replay) => replay.unseen_in_time.is_some_and(|in_time| place >= in_time),
            None => needed > left(),
        };
        if is_late {
            in_time = Some(place);
            break;
        }
        let said = parallel::each(options.threads, folds.len() * members.len(), |task| {
            let fold = folds.get(task / members.len().max(1));
            let trial = members
                .get(task % members.len().max(1))
                .and_then(|index| trials.get(*index));
            let (Some(fold), Some(trial)) = (fold, trial) else {
                return Ok(None);
            };
            if cancel.is_cancelled() {
                return Err(TrainError::Cancelled);
            }
            let train = table.frame.take(&fold.train_rows);
            let known = table.targets(&fold.train_rows);
            let fitted = trial
                .candidate
                .fit(&table.features, &train, &known, table.task.loss(), options.seed);
            let held = unknown(&table.frame.take(&fold.held_rows), feature, table);
            Ok(fitted.ok().map(|model| model.predict(&table.features, &held)))
        })?;
        let mut held_out = vec![vec![f64::NAN; table.frame.rows]; members.len()];
        for (task, said) in said.iter().enumerate() {
            let (Some(fold), Some(said)) = (folds.get(task / members.len()), said) else {
                continue;
            };
            if let Some(of) = held_out.get_mut(task % members.len()) {
                for (row, value) in fold.held_rows.iter().zip(said) {
                    if let Some(slot) = of.get_mut(*row) {
                        *slot = *value;
                    }
                }
            }
        }
        all.extend(weighed(feature, &members, &held_out, &table.target));
    }
    Ok((all, in_time))
}

/// The chosen, and of each kind of learner the best.
fn members(trials: &[Trial], choice: &Choice) -> Vec<usize> {
    let kind = |trial: &Trial| match trial.candidate.learner {
        Learner::Mean | Learner::Bayes => None,
        Learner::Linear { rich, .. } => Some((0, rich)),
        Learner::Trees { faces, .. } => Some((1, faces != crate::encode::Faces::Structure)),
        Learner::Process => Some((2, true)),
        Learner::Network(_) => Some((3, true)),
        Learner::Machine => Some((4, true)),
    };
    let mut members: Vec<usize> = choice.members.iter().map(|(index, _)| *index).collect();
    let mut order: Vec<usize> = (0..trials.len()).collect();
    let cost = |index: &usize| trials.get(*index).map_or(f64::INFINITY, |trial| trial.score.cost);
    order.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    let mut seen = Vec::new();
    for index in order {
        let Some(kind) = trials.get(index).and_then(kind) else {
            continue;
        };
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        if !members.contains(&index) && members.len() < MEMBERS_MAX {
            members.push(index);
        }
    }
    members
}

fn weighed(feature: usize, members: &[usize], held_out: &[Vec<f64>], target: &[f64]) -> Option<Measured> {
    let whole: Vec<usize> = (0..members.len())
        .filter(|place| {
            held_out
                .get(*place)
                .is_some_and(|said| said.iter().all(|value| value.is_finite()))
        })
        .collect();
    let said: Vec<&[f64]> = whole
        .iter()
        .filter_map(|place| held_out.get(*place))
        .map(Vec::as_slice)
        .collect();
    let weights = ensemble::simplex(&said, target)?;
    let mean = |row: usize| {
        let of = |(place, weight): &(usize, f64)| {
            said.get(*place)
                .and_then(|said| said.get(row))
                .map_or(0.0, |v| v * weight)
        };
        weights.iter().map(of).sum::<f64>()
    };
    let off: Vec<f64> = target
        .iter()
        .enumerate()
        .map(|(row, y)| (y - mean(row)).abs())
        .collect();
    let centre = target.iter().sum::<f64>() / target.len().max(1) as f64;
    let spread: f64 = target.iter().map(|y| (y - centre).powi(2)).sum();
    let named = |(place, weight): &(usize, f64)| Some((*members.get(*whole.get(*place)?)?, *weight));
    Some(Measured {
        feature,
        weights: weights.iter().filter_map(named).collect(),
        r2: 1.0 - off.iter().map(|off| off * off).sum::<f64>() / spread,
        off,
    })
}

/// The held-out rows as they would look if their levels had never been named: a molecule keeps its structure.
pub(crate) fn unknown(frame: &Frame, feature: usize, table: &Table) -> Frame {
    let mut frame = frame.clone();
    let category = table
        .features
        .get(feature)
        .is_some_and(|f| f.kind == FeatureKind::Category);
    if let (true, Some(Col::Level(codes))) = (category, frame.cols.get_mut(feature)) {
        codes.fill(crate::feature::UNSEEN_LEVEL);
    }
    frame
}
