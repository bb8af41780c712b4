//! From a training frame to the columns that trees are grown on.
#![expect(
    clippy::indexing_slicing,
    reason = "entries are below their count, which is made with them"
)]

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::chem::{FIRST_BIT, PARTS};
use crate::coded::{Coded, View};
use crate::feature::{Feature, FeatureKind};
use crate::frame::{Col, Frame};
use crate::mean_code::MeanCode;
use crate::stop;

/// Entries of a number: more values are put into this many ranges.
const RANGES_MAX: usize = 254;
/// A category of more levels is represented by its mean code: sets of so many would only fit noise.
const SET_LEVELS_MAX: usize = 256;
/// Of so many different molecules each part becomes a column of its own; of fewer, parts are views of one column.
const SHARED_MOLECULES_MAX: usize = 256;
/// Fingerprint parts as columns of their own, those that split the molecules most evenly first.
pub(crate) const PART_COLUMNS_MAX: usize = 160;
/// Cells of all columns together: 240 MB of codes.
const CELLS_MAX: usize = 60_000_000;

/// What a stored model must know to read a column again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The number itself.
    Value,
    /// A category's level, or a molecule with all its parts.
    Entry,
    /// The mean of the target over the level.
    Mean(MeanCode),
    /// One part of a molecule.
    Part(u32),
    /// The mean of the target over the pair of two levels.
    Pair(PairCode),
}

/// Means over the levels of a column and another one's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PairCode {
    /// The other column's feature, and how many codes it has.
    pub(crate) other: usize,
    other_codes: u32,
    code: MeanCode,
}

impl PairCode {
    /// The mean for two codes.
    pub(crate) fn value(&self, own: u32, other: u32) -> f64 {
        // What training did not see has no pairs of its own: any code beyond the last is answered as the average.
        self.code.value(pair(own, other, self.other_codes))
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        self.other < features && self.other_codes > 0 && self.code.is_sound()
    }
}

fn pair(own: u32, other: u32, other_codes: u32) -> u32 {
    own.saturating_mul(other_codes)
        .saturating_add(other.min(other_codes - 1))
}

/// Which of a molecule's faces the trees may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faces {
    /// What it is called and what it is made of.
    All,
    /// The same, and beside which it is: every two columns of levels are one more column.
    Pairs,
    /// Only what it is made of: what is learned holds for molecules never seen.
    Structure,
}

/// The columns with their sources; those that say nothing are left out. `Err` if they would be too large.
pub(crate) fn encode(
    features: &[Feature],
    frame: &Frame,
    target: &[f64],
    faces: Faces,
    seed: u64,
) -> Result<(Vec<Coded>, Vec<Source>), String> {
    let (mut columns, mut sources) = (Vec::new(), Vec::new());
    let mut cells = 0;
    for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
        if stop::is_asked() {
            return Err("it was cancelled".to_owned());
        }
        let mut add = |coded: Option<Coded>, source: Source| {
            if let Some(coded) = coded {
                cells += coded.codes.len();
                columns.push(coded);
                sources.push(source);
            }
        };
        match col {
            Col::Number(values) => add(number(index, values), Source::Value),
            Col::Level(codes) => {
                if feature.levels.len() > SET_LEVELS_MAX {
                    let (code, values) = MeanCode::fit(codes, feature.codes(), target, seed ^ index as u64);
                    add(number(index, &values), Source::Mean(code));
                } else {
                    add(levels(index, codes, feature.codes()), Source::Entry);
                }
            }
            Col::Molecule { codes, .. } => {
                let different = codes.iter().collect::<HashSet<_>>().len();
                // Of prose no text is known as such: only its words are.
                if different <= SHARED_MOLECULES_MAX && feature.kind != FeatureKind::Text {
                    add(molecules(index, col, codes, faces), Source::Entry);
                } else {
                    for part in telling_parts(col, codes) {
                        let values: Vec<f64> = (0..frame.rows).map(|row| col.part(row, part)).collect();
                        add(number(index, &values), Source::Part(part));
                    }
                }
            }
        }
        if cells > CELLS_MAX {
            return Err(format!("{} rows × {} columns are too many", frame.rows, columns.len()));
        }
    }
    if faces == Faces::Pairs {
        let before = columns.len();
        for (coded, source) in pairs(features, frame, target, seed) {
            columns.push(coded);
            sources.push(source);
        }
        if columns.len() == before {
            return Err("there are no pairs of levels".to_owned());
        }
    }
    Ok((columns, sources))
}

/// A number as its values, or as ranges of about equally many rows.
fn number(feature: usize, values: &[f64]) -> Option<Coded> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let (mut low, mut high): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    if distinct.len() <= RANGES_MAX {
        (low, high) = (distinct.clone(), distinct);
    } else {
        // Ranges end where the value changes; a value of many rows fills one alone.
        let share = sorted.len().div_ceil(RANGES_MAX);
        let mut begun = 0;
        while begun < sorted.len() {
            let mut end = (begun + share).min(sorted.len()) - 1;
            while end + 1 < sorted.len() && sorted[end + 1] == sorted[end] {
                end += 1;
            }
            low.push(sorted[begun]);
            high.push(sorted[end]);
            begun = end + 1;
        }
    }
    let none = low.len() as u32;
    let code = |value: f64| {
        if value.is_nan() {
            none
        } else {
            (high.partition_point(|edge| *edge < value) as u32).min(none.saturating_sub(1))
        }
    };
    let codes: Vec<u32> = values.iter().map(|value| code(*value)).collect();
    low.push(f64::NAN);
    high.push(f64::NAN);
    let view = View::between(0, &low, &high)?;
    let varies = codes.windows(2).any(|pair| pair[0] != pair[1]);
    varies.then(|| Coded {
        feature,
        codes,
        entries: low.len(),
        views: vec![view],
        sets: false,
    })
}

fn levels(feature: usize, codes: &[u32], entries: usize) -> Option<Coded> {
    let varies = codes.windows(2).any(|pair| pair[0] != pair[1]);
    varies.then(|| Coded {
        feature,
        codes: codes.to_vec(),
        entries,
        views: Vec::new(),
        sets: true,
    })
}

/// One column whose views are the parts in which the molecules of these rows differ, alike ones once.
fn molecules(feature: usize, col: &Col, codes: &[u32], faces: Faces) -> Option<Coded> {
    let entries = col.molecules();
    let mut present = vec![false; entries];
    for code in codes {
        present[*code as usize] = true;
    }
    let mut wanted: Vec<u32> = (0..FIRST_BIT).collect();
    wanted.extend(bits(col, &present).into_keys());
    let mut seen = HashSet::new();
    let mut views = Vec::new();
    for part in wanted {
        let values: Vec<f64> = (0..entries as u32)
            .zip(&present)
            .map(|(entry, present)| match col.molecule(entry) {
                Some(chem) if *present => chem.part(part),
                _ => f64::NAN,
            })
            .collect();
        let Some(mut view) = View::of(part, &values) else {
            continue;
        };
        if seen.insert(view.shape()) {
            view.missing.retain(|entry| present[*entry as usize]);
            views.push(view);
        }
    }
    let sets = faces != Faces::Structure || views.is_empty();
    let varies = codes.windows(2).any(|pair| pair[0] != pair[1]);
    varies.then(|| Coded {
        feature,
        codes: codes.to_vec(),
        entries,
        views,
        sets,
    })
}

/// Every two columns of levels whose pairs come often enough to have a mean.
fn pairs(features: &[Feature], frame: &Frame, target: &[f64], seed: u64) -> Vec<(Coded, Source)> {
    /// Pairs of two columns, seen or not.
    const PAIRS_MAX: usize = 100_000;
    /// Columns that are paired: those with the fewest levels.
    const PAIRED_MAX: usize = 8;
    let mut levels: Vec<(usize, usize, Vec<u32>)> = Vec::new();
    for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
        if feature.has_levels() && feature.kind != FeatureKind::Text {
            let codes: Vec<u32> = (0..frame.rows).map(|row| col.code(row)).collect();
            let different = codes.iter().collect::<HashSet<_>>().len();
            if different > 1 && 2 * different <= frame.rows {
                levels.push((different, index, codes));
            }
        }
    }
    levels.sort_by_key(|(different, index, _)| (*different, *index));
    levels.truncate(PAIRED_MAX);
    let mut found = Vec::new();
    for (place, (_, own, own_codes)) in levels.iter().enumerate() {
        for (_, other, other_codes) in &levels[place + 1..] {
            let (height, width) = (features[*own].codes(), features[*other].codes());
            if height * width > PAIRS_MAX {
                continue;
            }
            let codes: Vec<u32> = own_codes
                .iter()
                .zip(other_codes)
                .map(|(a, b)| pair(*a, *b, width as u32))
                .collect();
            if 2 * codes.iter().collect::<HashSet<_>>().len() > frame.rows {
                continue;
            }
            let seed = seed ^ ((*own as u64) << 32) ^ ((*other as u64) << 16);
            let (code, values) = MeanCode::fit(&codes, height * width, target, seed);
            let source = Source::Pair(PairCode {
                other: *other,
                other_codes: width as u32,
                code,
            });
            found.extend(number(*own, &values).map(|coded| (coded, source)));
        }
    }
    found
}

/// Fingerprint parts of the present molecules, and how many have each.
fn bits(col: &Col, present: &[bool]) -> BTreeMap<u32, usize> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for entry in (0..present.len()).filter(|entry| present[*entry]) {
        for (bit, _) in col.molecule(entry as u32).map(|chem| chem.counts()).unwrap_or_default() {
            *counts.entry(FIRST_BIT + u32::from(*bit)).or_default() += 1;
        }
    }
    counts
}

/// The descriptors and the parts that about half of the molecules have.
pub(crate) fn telling_parts(col: &Col, codes: &[u32]) -> Vec<u32> {
    let mut present = vec![false; col.molecules()];
    for code in codes {
        present[*code as usize] = true;
    }
    let all = present.iter().filter(|present| **present).count();
    let mut counted: Vec<(u32, usize)> = bits(col, &present).into_iter().collect();
    counted.sort_by_key(|(part, count)| ((2 * count).abs_diff(all), *part));
    counted.truncate(PART_COLUMNS_MAX);
    let mut parts: Vec<u32> = (0..FIRST_BIT)
        .chain(counted.into_iter().map(|(part, _)| part))
        .collect();
    parts.retain(|part| *part < PARTS);
    parts
}
