//! From the training query's batches to features, target and groups; and what was left out, with the reason.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema};

use crate::column::read_feature;
use crate::content;
use crate::error::TrainError;
use crate::feature::{Feature, FeatureKind};
use crate::frame::{Frame, each_text, is_readable, numbers};
use crate::group::Grouping;
use crate::options::{Goal, Kind, TrainOptions};
use crate::runs::RowNumbers;
use crate::sample;
use crate::task::{CLASSES_MAX, Task};

/// Fewer rows than this say nothing that a cross-validation could check.
const ROWS_MIN: usize = 5;
/// Rows used for training; a larger query is sampled with the seed. 200,000 × 100 columns of f64 are 160 MB.
const ROWS_MAX: usize = 200_000;
/// Bytes of a value while a training works on it: as it was read, as the folds' copy, as what learners make of it.
const VALUE_BYTES: usize = 24;
/// Features of one model; SQL functions with more arguments than this are unusable anyway.
const FEATURES_MAX: usize = 500;

/// Bytes that a training of so many rows and columns works on, roughly, beside the batches that it is given.
pub fn training_bytes(rows: usize, columns: usize) -> usize {
    // A number for each row of the query, and the values of those that are drawn.
    rows.saturating_mul(16)
        .saturating_add(rows.min(ROWS_MAX).saturating_mul(columns).saturating_mul(VALUE_BYTES))
}

/// What training works on.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) features: Vec<Feature>,
    pub(crate) frame: Frame,
    /// The target's and the group's name as the query has them.
    pub(crate) target_name: String,
    pub(crate) group_name: Option<String>,
    /// Whether nobody asked for the group: the column's name says what it is.
    pub(crate) group_by_rule: bool,
    /// Numbers, or the classes' numbers.
    pub(crate) target: Vec<f64>,
    pub(crate) task: Task,
    /// A group number per row.
    pub(crate) groups: Option<Vec<usize>>,
    /// Rows of the query, before anything was dropped.
    pub(crate) rows_seen: usize,
    /// Rows without a usable target.
    pub(crate) rows_without_target: usize,
    /// Columns left out: name and reason.
    pub(crate) left_out: Vec<(String, String)>,
    /// What each row is told from others by: see [`crate::runs`].
    pub(crate) runs: Vec<u64>,
}

impl Table {
    pub(crate) fn read(batches: &[RecordBatch], options: &TrainOptions) -> Result<Self, TrainError> {
        let schema = one_schema(batches)?;
        let target_index = find_target(&schema, options)?;
        let group = Grouping::find(&schema, options, target_index)?;
        let name = |index: usize| schema.field(index).name().clone();
        let target_name = name(target_index);

        let (mut task, all) = read_target(batches, target_index, options)?;
        let mut rows: Vec<usize> = (0..all.len())
            .filter(|row| all.get(*row).is_some_and(|v| v.is_finite()))
            .collect();
        // Rows arrive in any order. What is drawn and held out follows from what they hold.
        let held = content::of_batches(batches).map_err(|source| TrainError::Column {
            column: target_name.clone(),
            source,
        })?;
        rows.sort_by_key(|row| held.get(*row).copied());
        let (rows_seen, rows_without_target) = (all.len(), all.len() - rows.len());
        if rows.len() < ROWS_MIN {
            let target = options.target.clone();
            return Err(TrainError::TooFewRows {
                target,
                have: rows.len(),
                dropped: rows_without_target,
                need: ROWS_MIN,
            });
        }
        if rows.len() > ROWS_MAX {
            let places: Vec<usize> = (0..rows.len()).collect();
            let drawn = sample::some(&places, ROWS_MAX, options.seed);
            rows = drawn.iter().filter_map(|place| rows.get(*place)).copied().collect();
        }
        let target: Vec<f64> = rows.iter().filter_map(|row| all.get(*row)).copied().collect();
        let target = match &mut task {
            Task::Regression => {
                check_target(&target, options)?;
                target
            }
            Task::Classes(_) if options.goal == Goal::Min => {
                return Err(TrainError::GoalOfClasses(options.target.clone()));
            }
            Task::Classes(names) => present_classes(names, &target, options)?,
        };

        let grouped = group.read(batches, &schema, &rows)?;
        let reserved = grouped.as_ref().and_then(|grouped| grouped.reserved);
        let (groups, group_name, group_by_rule) = match grouped {
            Some(grouped) => (Some(grouped.groups), Some(grouped.name), grouped.by_rule),
            None => (None, None, false),
        };
        let read = read_features(batches, &schema, &[Some(target_index), reserved], &rows)?;
        Ok(Self {
            features: read.features,
            frame: read.frame,
            target_name,
            group_name,
            group_by_rule,
            target,
            task,
            groups,
            rows_seen,
            rows_without_target,
            left_out: read.left_out,
            runs: read.runs,
        })
    }

    /// The targets of some rows.
    pub(crate) fn targets(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().filter_map(|row| self.target.get(*row)).copied().collect()
    }
}

fn one_schema(batches: &[RecordBatch]) -> Result<Schema, TrainError> {
    let Some(first) = batches.first() else {
        return Ok(Schema::empty());
    };
    let shape = |schema: &Schema| {
        schema
            .fields()
            .iter()
            .map(|f| format!("{}: {}", f.name(), f.data_type()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let schema = first.schema();
    if let Some(other) = batches
        .iter()
        .map(RecordBatch::schema)
        .find(|s| shape(s) != shape(&schema))
    {
        return Err(TrainError::MixedSchemas {
            first: shape(&schema),
            other: shape(&other),
        });
    }
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        Some(field) => Err(TrainError::DuplicateColumn(field.name().clone())),
        None => Ok(schema.as_ref().clone()),
    }
}

fn find_target(schema: &Schema, options: &TrainOptions) -> Result<usize, TrainError> {
    let Some(index) = find(schema, &options.target) else {
        if schema.fields().is_empty() {
            let target = options.target.clone();
            return Err(TrainError::TooFewRows {
                target,
                have: 0,
                dropped: 0,
                need: ROWS_MIN,
            });
        }
        return Err(TrainError::NoTarget {
            target: options.target.clone(),
            columns: names(schema),
        });
    };
    Ok(index)
}

/// The column of that name, or the only one whose name differs in capitals alone.
pub(crate) fn find(schema: &Schema, name: &str) -> Option<usize> {
    let fields = || schema.fields().iter();
    let alike = || {
        fields()
            .enumerate()
            .filter(|(_, field)| field.name().eq_ignore_ascii_case(name))
    };
    fields().position(|field| field.name() == name).or_else(|| {
        let (index, _) = alike().next()?;
        (alike().count() == 1).then_some(index)
    })
}

pub(crate) fn names(schema: &Schema) -> String {
    schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Values of the target, NaN for none; classes as numbers in the order of their names.
fn read_target(batches: &[RecordBatch], index: usize, options: &TrainOptions) -> Result<(Task, Vec<f64>), TrainError> {
    let column = whole_column(batches, index, &options.target)?;
    let wrap = |source| TrainError::Column {
        column: options.target.clone(),
        source,
    };
    let found = column.data_type().clone();
    let value_type = if let DataType::Dictionary(_, value) = &found {
        value.as_ref()
    } else {
        &found
    };
    if !is_readable(value_type) {
        let target = options.target.clone();
        return Err(TrainError::TargetUnreadable { target, found });
    }
    let is_number = value_type.is_numeric();
    let values = if is_number {
        numbers(&column, FeatureKind::Number).map_err(wrap)?
    } else {
        Vec::new()
    };
    let flags = || value_type.is_integer() && is_flags(&values);
    let wanted = match options.kind {
        Kind::Regression if is_number => false,
        Kind::Regression => {
            let target = options.target.clone();
            return Err(TrainError::TargetNotNumber { target, found });
        }
        Kind::Classification => true,
        Kind::Auto => !is_number || flags(),
    };
    if !wanted {
        return Ok((Task::Regression, values));
    }
    let mut names: BTreeMap<String, f64> = BTreeMap::new();
    let mut texts: Vec<Option<String>> = Vec::with_capacity(column.len());
    each_text(&column, |text| texts.push(text.map(str::to_owned))).map_err(wrap)?;
    for text in texts.iter().flatten().filter(|text| *text != "NaN") {
        if !names.contains_key(text) {
            names.insert(text.clone(), 0.0);
        }
    }
    if names.len() > CLASSES_MAX {
        return Err(TrainError::TooManyClasses {
            target: options.target.clone(),
            have: names.len(),
            most: CLASSES_MAX,
        });
    }
    let known = texts.iter().flatten().filter(|text| names.contains_key(*text)).count();
    if names.len() > 2 && 2 * names.len() > known {
        return Err(TrainError::UniqueClasses {
            target: options.target.clone(),
            have: names.len(),
            rows: known,
        });
    }
    for (number, place) in names.values_mut().enumerate() {
        *place = number as f64;
    }
    let of = |text: &Option<String>| {
        text.as_ref()
            .and_then(|text| names.get(text))
            .copied()
            .unwrap_or(f64::NAN)
    };
    let values = texts.iter().map(of).collect();
    Ok((Task::Classes(names.into_keys().collect()), values))
}

/// Whether all known values are 0 or 1, and both occur.
fn is_flags(values: &[f64]) -> bool {
    let known = || values.iter().filter(|v| !v.is_nan());
    known().all(|v| *v == 0.0 || *v == 1.0) && known().any(|v| *v == 0.0) && known().any(|v| *v == 1.0)
}

/// Renumbers classes that lost all their rows in a sample, and refuses a single one.
fn present_classes(names: &mut Vec<String>, target: &[f64], options: &TrainOptions) -> Result<Vec<f64>, TrainError> {
    let present: BTreeSet<usize> = target.iter().map(|class| *class as usize).collect();
    let kept: Vec<String> = present.iter().filter_map(|class| names.get(*class)).cloned().collect();
    if let [class] = kept.as_slice() {
        return Err(TrainError::OneClass {
            target: options.target.clone(),
            class: class.clone(),
            rows: target.len(),
        });
    }
    let place = |class: &f64| present.range(..*class as usize).count() as f64;
    let target = target.iter().map(place).collect();
    *names = kept;
    Ok(target)
}

fn check_target(target: &[f64], options: &TrainOptions) -> Result<(), TrainError> {
    /// Squares of larger numbers, summed over the most rows, leave f64.
    const LARGEST: f64 = 1e140;
    let largest = target.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    if largest > LARGEST {
        return Err(TrainError::TargetTooLarge {
            target: options.target.clone(),
            largest,
        });
    }
    let first = target.first().copied().unwrap_or(0.0);
    if target.iter().all(|value| *value == first) {
        return Err(TrainError::ConstantTarget {
            target: options.target.clone(),
            value: first,
            rows: target.len(),
        });
    }
    Ok(())
}

/// The columns that are features, and why the others are not.
struct Features {
    features: Vec<Feature>,
    frame: Frame,
    left_out: Vec<(String, String)>,
    runs: Vec<u64>,
}

fn read_features(
    batches: &[RecordBatch],
    schema: &Schema,
    reserved: &[Option<usize>],
    rows: &[usize],
) -> Result<Features, TrainError> {
    let (mut features, mut cols, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut runs = RowNumbers::new(rows.len());
    for (index, field) in schema.fields().iter().enumerate() {
        if reserved.contains(&Some(index)) {
            continue;
        }
        match read_feature(batches, index, field.name(), field.data_type(), rows)? {
            Ok(found) => {
                features.push(found.feature);
                cols.push(found.col);
                runs.add(&found.told_by);
            }
            Err(reason) => left_out.push((field.name().clone(), reason)),
        }
    }
    if features.is_empty() {
        let told: Vec<String> = left_out
            .iter()
            .map(|(name, reason)| format!("{name} ({reason})"))
            .collect();
        let reasons = if told.is_empty() {
            "the query has no column beside the target".to_owned()
        } else {
            told.join(", ")
        };
        return Err(TrainError::NoFeatures { reasons });
    }
    if features.len() > FEATURES_MAX {
        return Err(TrainError::TooManyFeatures {
            have: features.len(),
            most: FEATURES_MAX,
        });
    }
    let frame = Frame { rows: rows.len(), cols };
    let runs = runs.finish();
    Ok(Features {
        features,
        frame,
        left_out,
        runs,
    })
}

/// A column of the query in one array.
pub(crate) fn whole_column(batches: &[RecordBatch], index: usize, name: &str) -> Result<ArrayRef, TrainError> {
    let parts: Vec<&dyn Array> = batches
        .iter()
        .filter_map(|b| b.columns().get(index))
        .map(AsRef::as_ref)
        .collect();
    concat(&parts).map_err(|source| TrainError::Column {
        column: name.to_owned(),
        source,
    })
}
