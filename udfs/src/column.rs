//! One column of the training query: is it a feature, and which one?

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use crate::chem::are_molecules;
use crate::error::TrainError;
use crate::feature::{Baseline, FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, Rest};
use crate::frame::{Col, Frame, each_text, is_readable};
use crate::table::whole_column;

/// Levels kept of one category; the rarer ones count as unseen.
const LEVELS_MAX: usize = 10_000;
/// Longer texts are prose, not levels; they count as unseen.
const LEVEL_BYTES_MAX: usize = 4_096;
/// A text column where more than this share of values is unique names rows and teaches nothing…
const UNIQUE_SHARE_MAX: f64 = 0.9;
/// …provided there are enough values to say so.
const UNIQUE_VALUES_MIN: usize = 20;
/// Values per feature kept as the yardstick of explanations.
const BASELINE_VALUES: usize = 12;

/// A feature with its column, or why the column is none.
pub(crate) fn read_feature(
    batches: &[RecordBatch],
    index: usize,
    name: &str,
    data_type: &DataType,
    rows: &[usize],
) -> Result<Result<(Feature, Col), String>, TrainError> {
    let wrap = |source| TrainError::Column {
        column: name.to_owned(),
        source,
    };
    if name.starts_with('_') {
        return Ok(Err("its name starts with an underscore: bookkeeping".to_owned()));
    }
    let Some((mut kind, input_type)) = kind_of(data_type) else {
        return Ok(Err(format!("type {data_type} is not a number, text, boolean or time")));
    };
    let column = whole_column(batches, index, name)?;
    let mut levels = Vec::new();
    if kind == FeatureKind::Category {
        let (found, unique) = read_levels(&column, rows).map_err(wrap)?;
        if are_molecules(name, found.iter().map(String::as_str)) {
            kind = FeatureKind::Smiles;
        } else if let Some(reason) = unique {
            return Ok(Err(reason));
        }
        levels = found;
    }
    let mut feature = Feature {
        name: name.to_owned(),
        kind,
        input_type,
        levels,
        baseline: Vec::new(),
        ..Feature::default()
    };
    let read = Frame::read(
        std::slice::from_ref(&feature),
        std::slice::from_ref(&column),
        column.len(),
    );
    let frame = match read {
        Ok(frame) => frame.take(rows),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(col) = frame.cols.into_iter().next() else {
        return Ok(Err("it could not be read".to_owned()));
    };
    let (baseline, rest) = match &col {
        Col::Number(values) => number_baseline(values),
        Col::Level(codes) | Col::Molecule { codes, .. } => level_baseline(codes, feature.codes()),
    };
    (feature.baseline, feature.rest) = (baseline, Some(rest));
    let varies = match &col {
        Col::Number(values) => values.windows(2).any(|pair| !same(pair)),
        Col::Level(codes) | Col::Molecule { codes, .. } => codes.windows(2).any(|pair| pair.first() != pair.get(1)),
    };
    if !varies {
        return Ok(Err("it holds one value only".to_owned()));
    }
    Ok(Ok((feature, col)))
}

fn same(pair: &[f64]) -> bool {
    match pair {
        [a, b] => a == b || (a.is_nan() && b.is_nan()),
        _ => true,
    }
}

fn kind_of(data_type: &DataType) -> Option<(FeatureKind, DataType)> {
    let text = || Some((FeatureKind::Category, DataType::Utf8));
    match data_type {
        DataType::Dictionary(_, value) => kind_of(value),
        DataType::Null => None,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text(),
        DataType::Boolean => Some((FeatureKind::Boolean, DataType::Boolean)),
        DataType::Date32 | DataType::Date64 => Some((FeatureKind::Time, DataType::Date32)),
        DataType::Timestamp(_, _) => Some((FeatureKind::Time, DataType::Timestamp(TimeUnit::Microsecond, None))),
        whole if whole.is_integer() => Some((FeatureKind::Number, DataType::Int64)),
        other if is_readable(other) => Some((FeatureKind::Number, DataType::Float64)),
        _ => None,
    }
}

/// The levels to keep, sorted; and, if so, why these texts are no categories.
fn read_levels(column: &ArrayRef, rows: &[usize]) -> Result<(Vec<String>, Option<String>), ArrowError> {
    let mut wanted = vec![false; column.len()];
    for row in rows {
        if let Some(flag) = wanted.get_mut(*row) {
            *flag = true;
        }
    }
    let (mut counts, mut row, mut values, mut prose): (BTreeMap<String, usize>, usize, usize, usize) =
        Default::default();
    each_text(column, |text| {
        let (Some(text), Some(true)) = (text, wanted.get(row)) else {
            row += 1;
            return;
        };
        row += 1;
        values += 1;
        if text.len() > LEVEL_BYTES_MAX {
            prose += 1;
        } else if let Some(count) = counts.get_mut(text) {
            *count += 1;
        } else {
            counts.insert(text.to_owned(), 1);
        }
    })?;
    let distinct = counts.len() + prose;
    let unique = values > UNIQUE_VALUES_MIN && distinct as f64 > UNIQUE_SHARE_MAX * values as f64;
    let unique = unique.then(|| format!("{distinct} of {values} texts are unique: a name, not a category"));
    let mut levels: Vec<(String, usize)> = counts.into_iter().collect();
    if levels.len() > LEVELS_MAX {
        levels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        levels.truncate(LEVELS_MAX);
        levels.sort();
    }
    Ok((levels.into_iter().map(|(level, _)| level).collect(), unique))
}

/// Evenly spaced quantiles of the known values, and the share of NULL.
fn number_baseline(values: &[f64]) -> (Vec<Baseline>, Rest) {
    let mut known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    let steps = BASELINE_VALUES.min(known.len());
    let mut baseline: Vec<Baseline> = (0..steps)
        .filter_map(|step| known.get((2 * step + 1) * known.len() / (2 * steps)))
        .map(|value| Baseline::Number {
            value: *value,
            weight: 1.0 / steps as f64,
        })
        .collect();
    baseline.dedup_by(|later, earlier| match (later, earlier) {
        (Baseline::Number { value: a, weight }, Baseline::Number { value: b, weight: sum }) if a == b => {
            *sum += *weight;
            true
        }
        _ => false,
    });
    let null = (values.len() - known.len()) as f64 / values.len().max(1) as f64;
    (baseline, Rest { null, other: 0.0 })
}

/// The most frequent levels, and the share of the others.
fn level_baseline(codes: &[u32], known: usize) -> (Vec<Baseline>, Rest) {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for code in codes
        .iter()
        .filter(|code| (**code as usize) < known && (**code >= FIRST_LEVEL || **code == NULL_LEVEL))
    {
        *counts.entry(*code).or_default() += 1;
    }
    let mut counts: Vec<(u32, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts.truncate(2 * BASELINE_VALUES);
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let baseline = counts.iter().map(|(code, count)| Baseline::Level {
        code: *code,
        weight: *count as f64 / total.max(1) as f64,
    });
    let other = (codes.len() - total) as f64 / codes.len().max(1) as f64;
    (baseline.collect(), Rest { null: 0.0, other })
}
