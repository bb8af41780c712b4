//! How wide an interval must be: conformal prediction on held-out residuals.
//!
//! Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005. Residuals are kept apart by the size of the prediction ("Mondrian"),
//! since a yield near nothing is surer than one in the middle. They speak for rows like the training rows. For a row with something new in it (a
//! molecule, a level, a number out of range) other residuals speak: those met when training was made to do without some of that column's
//! values. Both come from models that did not see the rows they are judged on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Learner};
use crate::encode::Faces;
use crate::error::TrainError;
use crate::frame::Col;
use crate::grow::Growth;
use crate::novelty::unknown;
use crate::options::{Cancel, TrainOptions};
use crate::parallel;
use crate::sample;
use crate::table::Table;
use crate::trial::{Fold, Folds};

/// Residuals kept of one kind.
const KEPT: usize = 400;
/// Rows for each size class of predictions, and the most classes.
const CLASS_ROWS: usize = 150;
const CLASSES_MAX: usize = 8;
/// Columns whose novelty is measured: the most important ones.
const NOVEL_COLUMNS_MAX: usize = 8;
/// Rows that this is measured on.
const NOVEL_ROWS_MAX: usize = 10_000;
/// An interval for a novelty that was not measured is so much wider.
const UNMEASURED: f64 = 2.0;

/// Residuals of a model, and what they are of.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Calibration {
    all: Residuals,
    /// Where one class of predictions ends and the next begins.
    edges: Vec<f64>,
    classes: Vec<Residuals>,
    /// By feature: what was met without some of its values.
    novel: Vec<(usize, Residuals)>,
    /// Groups that were held out whole: rows of one are not independent of each other. None for rows of their own, and of older models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<usize>,
    /// The same for each class of predictions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    class_groups: Vec<usize>,
}

/// Absolute held-out residuals, ascending: all of them, or evenly spaced ones.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Residuals(Vec<f64>);

impl Calibration {
    /// `groups` numbers the group of each row, if rows were held out by groups.
    pub(crate) fn new(predicted: &[f64], target: &[f64], groups: Option<&[usize]>) -> Self {
        let off =
            |rows: &mut dyn Iterator<Item = (&f64, &f64)>| Residuals::new(rows.map(|(p, y)| (p - y).abs()).collect());
        let all = off(&mut predicted.iter().zip(target));
        let mut sorted = predicted.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = (target.len() / CLASS_ROWS).clamp(1, CLASSES_MAX);
        let mut edges: Vec<f64> = (1..count)
            .filter_map(|class| sorted.get(class * sorted.len() / count))
            .copied()
            .collect();
        edges.dedup();
        let class_of = |value: f64| edges.partition_point(|edge| *edge <= value);
        let classes = (0..=edges.len())
            .map(|class| off(&mut predicted.iter().zip(target).filter(|(p, _)| class_of(**p) == class)))
            .collect();
        let class_groups = groups.map(|groups| {
            let of = |class: usize| {
                let rows = predicted.iter().zip(groups).filter(|(p, _)| class_of(**p) == class);
                rows.map(|(_, group)| group).collect::<HashSet<_>>().len()
            };
            (0..=edges.len()).map(of).collect()
        });
        Self {
            all,
            class_groups: class_groups.unwrap_or_default(),
            edges,
            classes,
            novel: Vec::new(),
            groups: groups.map(|groups| groups.iter().collect::<HashSet<_>>().len()),
        }
    }

    /// Measures what novelty costs, column by column, with quick models: `important` are features, the most important first. Of some columns it is
    /// `known` how far off the model itself was. For how many columns the time went, if it did not go for all: it is looked at before each.
    pub(crate) fn measure_novelty(
        &mut self,
        table: &Table,
        important: &[usize],
        known: Vec<(usize, Vec<f64>)>,
        options: &TrainOptions,
        late: &(dyn Fn() -> bool + Sync),
        cancel: &Cancel,
    ) -> Result<Option<usize>, TrainError> {
        let all: Vec<usize> = (0..table.frame.rows).collect();
        let rows = sample::some(&all, NOVEL_ROWS_MAX, options.seed);
        let (frame, target) = (table.frame.take(&rows), table.targets(&rows));
        let candidate = Candidate {
            name: "novelty",
            learner: Learner::Trees {
                growth: Growth {
                    trees: 80,
                    leaves: 31,
                    learning_rate: 0.12,
                    row_share: 1.0,
                    view_share: 0.7,
                    leaf_rows_min: 2,
                    ridge: 1.0,
                    boosted: true,
                },
                faces: Faces::Structure,
            },
        };
        let features = important.get(..NOVEL_COLUMNS_MAX).unwrap_or(important);
        let in_time = AtomicUsize::new(match &options.replay {
            Some(replay) => replay.novel_in_time.unwrap_or(features.len()),
            None => features.len(),
        });
        let mut measured = parallel::each(options.threads, features.len(), |place| {
            let Some((feature, col)) = features.get(place).and_then(|f| Some((*f, frame.cols.get(*f)?))) else {
                return Ok(None);
            };
            if known.iter().any(|(known, _)| *known == feature) {
                return Ok(None);
            }
            if late() {
                in_time.fetch_min(place, Ordering::Relaxed);
            }
            if place >= in_time.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut residuals = Vec::new();
            for fold in without_some_values(col, frame.rows, options.seed) {
                if cancel.is_cancelled() {
                    return Err(TrainError::Cancelled);
                }
                if fold.train_rows.len() < 5 || fold.held_rows.is_empty() {
                    continue;
                }
                let pick =
                    |rows: &[usize]| -> Vec<f64> { rows.iter().filter_map(|row| target.get(*row)).copied().collect() };
                let (told, truth) = (pick(&fold.train_rows), pick(&fold.held_rows));
                let fitted = candidate.fit(
                    &table.features,
                    &frame.take(&fold.train_rows),
                    &told,
                    table.task.loss(),
                    options.seed,
                );
                let Ok(model) = fitted else { continue };
                let held = unknown(&frame.take(&fold.held_rows), feature, table);
                let said = model.predict(&table.features, &held);
                residuals.extend(said.iter().zip(&truth).map(|(p, y)| (p - y).abs()));
            }
            Ok((residuals.len() >= 5).then(|| (feature, Residuals::of(residuals, levels(col)))))
        })?;
        // Those begun before the first one that was too late: so it can be done again.
        let in_time = in_time.into_inner();
        measured.truncate(in_time);
        let known = known.into_iter().map(|(feature, off)| {
            let groups = table.frame.cols.get(feature).map_or(KEPT, levels);
            (feature, Residuals::of(off, groups))
        });
        self.novel = known.chain(measured.into_iter().flatten()).collect();
        Ok((in_time < features.len()).then_some(in_time))
    }

    /// Half the width of an interval round `predicted` that holds the true value with probability `coverage`, for a row in which these features
    /// are novel; infinite where too few residuals speak for that coverage.
    pub(crate) fn half_width(&self, predicted: f64, novel: &[usize], coverage: f64) -> f64 {
        let class = self.edges.partition_point(|edge| *edge <= predicted);
        // A class of few residuals cannot speak for a coverage that all of them together can.
        let own = self.classes.get(class).and_then(|residuals| {
            let groups = self.class_groups.get(class).copied();
            Some(residuals.quantile_of(coverage, groups)).filter(|half| half.is_finite())
        });
        let whole = self.quantile(coverage);
        let usual = own.unwrap_or(whole);
        if novel.is_empty() {
            return usual;
        }
        // What each novelty adds to the variance adds up; none makes an answer surer.
        let mut square = usual.max(whole).powi(2);
        for feature in novel {
            let measured = self.novel.iter().find(|(known, _)| known == feature);
            let width = measured.map_or(UNMEASURED * whole, |(_, residuals)| residuals.quantile(coverage));
            square += (width * width - whole * whole).max(0.0);
        }
        square.sqrt()
    }

    /// Half the width of an interval for a row like the training rows, whatever is predicted.
    pub(crate) fn quantile(&self, coverage: f64) -> f64 {
        self.all.quantile_of(coverage, self.groups)
    }

    /// The highest coverage that the held-out rows can speak for.
    pub(crate) fn coverage_max(&self) -> f64 {
        let independent = self.independent() as f64;
        independent / (independent + 1.0)
    }

    /// How many held-out rows, or groups of them, speak for an interval, each for itself.
    pub(crate) fn independent(&self) -> usize {
        let rows = self.all.0.len();
        self.groups.map_or(rows, |groups| groups.min(rows))
    }

    /// What was measured for each feature without some of its values.
    pub(crate) fn novelty(&self, coverage: f64) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.novel
            .iter()
            .map(move |(feature, residuals)| (*feature, residuals.quantile(coverage)))
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let finite = |residuals: &Residuals| residuals.0.iter().all(|r| r.is_finite());
        self.edges.is_sorted()
            && self.edges.iter().all(|edge| edge.is_finite())
            && self.classes.len() == self.edges.len() + 1
            && finite(&self.all)
            && self.classes.iter().all(finite)
            && self
                .novel
                .iter()
                .all(|(feature, residuals)| *feature < features && finite(residuals))
    }
}

/// How many levels or molecules a column has: so many independent answers there are to what one more of them would do,
/// however many rows each has.
fn levels(col: &Col) -> usize {
    match col {
        Col::Level(codes) | Col::Molecule { codes, .. } => codes.iter().collect::<HashSet<_>>().len().clamp(1, KEPT),
        _ => KEPT,
    }
}

impl Residuals {
    fn new(all: Vec<f64>) -> Self {
        Self::of(all, KEPT)
    }

    /// As many as there are independent ones among them, evenly spaced.
    fn of(mut all: Vec<f64>, count: usize) -> Self {
        all.sort_by(f64::total_cmp);
        if all.len() <= count {
            return Self(all);
        }
        let kept = (1..=count)
            .filter_map(|step| all.get(step * all.len() / count - 1))
            .copied()
            .collect();
        Self(kept)
    }

    /// The ⌈(n + 1) · coverage⌉-th smallest, as split conformal prediction has it; infinite when there are too few.
    fn quantile(&self, coverage: f64) -> f64 {
        self.quantile_of(coverage, None)
    }

    /// The same for a row of a new group, where these residuals are of so many groups: of all rows the share that holds `coverage` of groups + 1
    /// (Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023); infinite when there are too few groups.
    fn quantile_of(&self, coverage: f64, groups: Option<usize>) -> f64 {
        /// What a product of two decimals may be off by.
        const ROUNDING: f64 = 1e-9;
        let coverage = if coverage.is_nan() {
            1.0
        } else {
            coverage.clamp(0.0, 1.0)
        };
        let rows = self.0.len() as f64;
        let independent = groups.map_or(rows, |groups| rows.min(groups as f64));
        let share = coverage * (independent + 1.0) / independent.max(1.0);
        let position = (rows * share - ROUNDING).ceil() as usize;
        self.0.get(position.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
    }
}

/// Folds in which a column loses whole levels, or its lowest or highest tenth.
fn without_some_values(col: &Col, rows: usize, seed: u64) -> Vec<Fold> {
    match col {
        Col::Level(codes) | Col::Molecule { codes, .. } => {
            let groups: Vec<usize> = codes.iter().map(|code| *code as usize).collect();
            let folds = Folds::by(rows, Some(&groups), seed).parts;
            if folds.len() > 1 { folds } else { Vec::new() }
        }
        Col::Number(values) => {
            let mut known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            known.sort_by(f64::total_cmp);
            let at = |place: usize| known.get(place.min(known.len().saturating_sub(1))).copied();
            let (Some(low), Some(high)) = (at(known.len() / 10), at(known.len() * 9 / 10)) else {
                return Vec::new();
            };
            let value = |row: usize| values.get(row).copied().unwrap_or(f64::NAN);
            if low < high {
                vec![
                    Fold::holding(rows, |row| value(row) <= low),
                    Fold::holding(rows, |row| value(row) >= high),
                ]
            } else {
                Vec::new()
            }
        }
    }
}
