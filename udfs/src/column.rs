//! One column of the training query: is it a feature, and which one?

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use crate::chem::{Looked, says_molecules};
use crate::error::TrainError;
use crate::feature::{Baseline, FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, Rest};
use crate::frame::{Col, Frame, each_text, is_readable};
use crate::runs::told_by;
use crate::table::whole_column;

/// Levels kept of one category; the rarer ones count as unseen.
const LEVELS_MAX: usize = 10_000;
/// Longer texts are prose, not levels; they count as unseen.
const LEVEL_BYTES_MAX: usize = 4_096;
/// A text column where more than this share of values is unique names rows and teaches nothing…
const UNIQUE_SHARE_MAX: f64 = 0.9;
/// …provided there are enough values to say so.
const UNIQUE_VALUES_MIN: usize = 20;
/// Texts of which more than this share is different are prose, not levels, if they have so many words on average.
const PROSE_SHARE_MIN: f64 = 0.5;
const PROSE_WORDS_MIN: usize = 3;
/// Texts of a column of prose that the model keeps, for explanations and to compare new ones with.
const EXAMPLES: usize = 2 * BASELINE_VALUES;
/// Values per feature kept as the yardstick of explanations.
const BASELINE_VALUES: usize = 12;

/// A feature as training found it.
pub(crate) struct Found {
    pub(crate) feature: Feature,
    pub(crate) col: Col,
    /// For each row what its value is told from others by, see [`crate::runs`].
    pub(crate) told_by: Vec<u64>,
}

/// A feature with its column, or why the column is none.
pub(crate) fn read_feature(
    batches: &[RecordBatch],
    index: usize,
    name: &str,
    data_type: &DataType,
    rows: &[usize],
) -> Result<Result<Found, String>, TrainError> {
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
    let (mut levels, mut examples) = (Vec::new(), Vec::new());
    if kind == FeatureKind::Category {
        let texts = Texts::read(&column, rows).map_err(wrap)?;
        let looked = Looked::at(&texts.levels);
        if looked.are_molecules(name) {
            kind = FeatureKind::Smiles;
            levels = texts.levels;
        } else if texts.are_prose {
            kind = FeatureKind::Text;
            examples = texts.examples;
        } else if let Some(reason) = texts.unique {
            let Looked { seen, parsed, .. } = looked;
            return Ok(Err(match says_molecules(name) {
                true => format!("{reason}; and of {seen} looked at only {parsed} are molecules or reactions"),
                false => reason,
            }));
        } else {
            levels = texts.levels;
        }
    }
    let mut feature = Feature {
        name: name.to_owned(),
        kind,
        input_type,
        levels,
        examples,
        baseline: Vec::new(),
        ..Feature::default()
    };
    let drawn: UInt64Array = rows.iter().map(|row| *row as u64).collect();
    let column = take(&column, &drawn, None).map_err(wrap)?;
    let read = Frame::read(
        std::slice::from_ref(&feature),
        std::slice::from_ref(&column),
        rows.len(),
    );
    let frame = match read {
        Ok(frame) => frame,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(col) = frame.cols.into_iter().next() else {
        return Ok(Err("it could not be read".to_owned()));
    };
    let (baseline, rest) = match &col {
        _ if kind == FeatureKind::Text => prose_baseline(&col, feature.structures()),
        Col::Number(values) => number_baseline(values),
        Col::Level(codes) | Col::Molecule { codes, .. } => level_baseline(codes, feature.codes()),
    };
    (feature.baseline, feature.rest) = (baseline, Some(rest));
    if let Col::Number(values) = &col {
        feature.near = near_shares(&feature, values);
    }
    let varies = match &col {
        Col::Number(values) => values.windows(2).any(|pair| !same(pair)),
        Col::Level(codes) | Col::Molecule { codes, .. } => codes.windows(2).any(|pair| pair.first() != pair.get(1)),
    };
    if !varies {
        return Ok(Err("it holds one value only".to_owned()));
    }
    let told_by = told_by(&feature, &column).map_err(wrap)?;
    Ok(Ok(Found { feature, col, told_by }))
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

/// What the texts of a column are.
struct Texts {
    /// The levels to keep, sorted.
    levels: Vec<String>,
    /// Why they are no categories, if so.
    unique: Option<String>,
    are_prose: bool,
    /// Some of them, sorted.
    examples: Vec<String>,
}

impl Texts {
    fn read(column: &ArrayRef, rows: &[usize]) -> Result<Self, ArrowError> {
        let mut wanted = vec![false; column.len()];
        for row in rows {
            if let Some(flag) = wanted.get_mut(*row) {
                *flag = true;
            }
        }
        let (mut row, mut values, mut words, mut long): (usize, usize, usize, usize) = Default::default();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut long_ones: BTreeSet<String> = BTreeSet::new();
        each_text(column, |text| {
            let (Some(text), Some(true)) = (text, wanted.get(row)) else {
                row += 1;
                return;
            };
            row += 1;
            values += 1;
            words += text.split_whitespace().count();
            if text.len() > LEVEL_BYTES_MAX {
                long += 1;
                long_ones.insert(text.chars().take(LEVEL_BYTES_MAX / 4).collect());
                if long_ones.len() > EXAMPLES {
                    long_ones.pop_last();
                }
            } else if let Some(count) = counts.get_mut(text) {
                *count += 1;
            } else {
                counts.insert(text.to_owned(), 1);
            }
        })?;
        let distinct = counts.len() + long;
        let enough = |share: f64| values > UNIQUE_VALUES_MIN && distinct as f64 > share * values as f64;
        let unique = || format!("{distinct} of {values} texts are unique: a name, not a category");
        let steps = EXAMPLES.min(counts.len());
        let spaced = (0..steps).filter_map(|step| counts.keys().nth((2 * step + 1) * counts.len() / (2 * steps)));
        let mut examples: Vec<String> = spaced.cloned().chain(long_ones).collect();
        examples.truncate(EXAMPLES);
        examples.sort();
        let mut levels: Vec<(String, usize)> = counts.into_iter().collect();
        if levels.len() > LEVELS_MAX {
            levels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            levels.truncate(LEVELS_MAX);
            levels.sort();
        }
        Ok(Self {
            levels: levels.into_iter().map(|(level, _)| level).collect(),
            unique: enough(UNIQUE_SHARE_MAX).then(unique),
            are_prose: enough(PROSE_SHARE_MIN) && words >= PROSE_WORDS_MIN * values,
            examples,
        })
    }
}

/// All examples alike; what they stand for is not counted, since no text comes again.
fn prose_baseline(col: &Col, examples: usize) -> (Vec<Baseline>, Rest) {
    let baseline = (FIRST_LEVEL..).take(examples).map(|code| Baseline::Level {
        code,
        weight: 1.0 / examples.max(1) as f64,
    });
    let (null, rows) = match col {
        Col::Level(codes) | Col::Molecule { codes, .. } => {
            let null = codes.iter().filter(|code| **code == NULL_LEVEL).count();
            (null, codes.len())
        }
        Col::Number(values) => (0, values.len()),
    };
    let null = null as f64 / rows.max(1) as f64;
    (
        baseline.collect(),
        Rest {
            null,
            other: 1.0 - null,
        },
    )
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

/// The share of the known values that each value of the baseline stands for.
fn near_shares(feature: &Feature, values: &[f64]) -> Vec<f64> {
    let mut counts = vec![0_usize; feature.baseline.len()];
    for place in values.iter().filter_map(|value| feature.nearest(*value)) {
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let known = counts.iter().sum::<usize>().max(1) as f64;
    counts.into_iter().map(|count| count as f64 / known).collect()
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
