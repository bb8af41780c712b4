//! A small neural network over levels, molecules and numbers: a committee of perceptrons with three hidden layers.
//!
//! Each level has a vector of its own, which is what a first layer over indicator columns is; a molecule's vector is the sum of its own and of those
//! of what it is made of, so that alike molecules begin alike. Numbers are spread over a few ranges, in each of
//! which they rise from 0 to 1 (Gorishniy, Rubachev and Babenko, NeurIPS 2022). While it learns a level is now and then hidden, so that there is a
//! vector for levels it never saw. Steps are AdamW's (Loshchilov and Hutter, ICLR 2019), their size falls along half a cosine.
#![expect(
    clippy::indexing_slicing,
    reason = "slots are below the number of slots they were given out of, which is_sound checks when a model is read"
)]

use std::collections::{BTreeSet, HashMap, HashSet};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::block::Scale;
use crate::chem::PARTS;
use crate::encode::telling_parts;
use crate::feature::{FIRST_LEVEL, Feature, FeatureKind, NULL_LEVEL, UNSEEN_LEVEL};
use crate::frame::{Col, Frame};
use crate::grow::Loss;
use crate::perceptron::{BATCH, Examples, Perceptron, WIDTH};

/// How large a network is, and how long it learns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Perceptrons from different beginnings: their mean is better than each.
    committee: usize,
    /// Passes over the rows.
    passes: usize,
}

/// As good as it gets.
pub(crate) const WHOLE: Size = Size {
    committee: 3,
    passes: 200,
};
/// A fifth of the time, for what a budget leaves.
pub(crate) const SMALL: Size = Size {
    committee: 1,
    passes: 120,
};
/// The fewest and most steps that the passes make.
const STEPS_MIN: usize = 400;
const STEPS_MAX: usize = 15_000;
/// With fewer rows a network learns them by heart.
const ROWS_MIN: usize = 40;
/// Rows a level needs for a vector of its own; the others share one.
const LEVEL_ROWS_MIN: usize = 2;
/// A column of molecules with fewer rows each on average is read by what they are made of, not by which they are.
const ROWS_PER_MOLECULE: usize = 10;
/// Slots of all columns together.
const SLOTS_MAX: usize = 4_000;
/// Ranges of a number.
const RANGES: usize = 8;
/// Parts of molecules are not told farther off than this, in standard deviations.
const PART_MAX: f64 = 3.0;
/// How far beyond the targets of training an answer may go, in their range.
const BEYOND: f64 = 0.1;

/// A fitted network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Network {
    inputs: Vec<Input>,
    slots: usize,
    committee: Vec<Perceptron>,
    centre: f64,
    spread: f64,
    /// Least and greatest answer.
    range: (f64, f64),
    /// Scores are log-odds and answers probabilities.
    logistic: bool,
}

/// How a feature, or one part of its molecules, becomes slots with values.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Input {
    /// A slot per level, sorted, then one for all others.
    Levels {
        feature: usize,
        first: usize,
        codes: Vec<u32>,
    },
    /// A slot per level, sorted, one for all others, and one per part of a molecule, whose scaled value it takes.
    Molecules {
        feature: usize,
        first: usize,
        codes: Vec<u32>,
        parts: Vec<(u32, Scale)>,
    },
    /// A slot per range between two edges, then one for no value.
    Number {
        feature: usize,
        part: Option<u32>,
        first: usize,
        edges: Vec<f64>,
    },
}

impl Network {
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        loss: Loss,
        size: Size,
        seed: u64,
    ) -> Result<Self, String> {
        let (inputs, slots) = inputs(features, frame)?;
        let examples = examples(&inputs, frame);
        let count = target.len().max(1) as f64;
        let centre = target.iter().sum::<f64>() / count;
        let spread = (target.iter().map(|y| (y - centre).powi(2)).sum::<f64>() / count).sqrt();
        let (low, high) = target
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(*y), h.max(*y)));
        let logistic = loss == Loss::Logistic;
        let told: Vec<f32> = if logistic {
            target.iter().map(|y| *y as f32).collect()
        } else if spread.is_normal() {
            target.iter().map(|y| ((y - centre) / spread) as f32).collect()
        } else {
            return Err("the target does not vary".to_owned());
        };
        let steps = size.steps(frame.rows);
        let committee: Vec<Perceptron> = (0..size.committee as u64)
            .map(|member| {
                let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(member));
                let mut order: Vec<usize> = (0..frame.rows).collect();
                let mut net = Perceptron::new(slots, inputs.len(), &mut rng);
                let mut next = frame.rows;
                net.learn(&examples, &told, logistic, steps, &mut rng, |rng, rows| {
                    for row in rows.iter_mut() {
                        if next >= order.len() {
                            order.shuffle(rng);
                            next = 0;
                        }
                        *row = order[next];
                        next += 1;
                    }
                });
                net
            })
            .collect();
        if !committee.iter().all(|net| net.is_sound(slots)) {
            return Err("its weights are not finite".to_owned());
        }
        let more = BEYOND * (high - low);
        Ok(Self {
            inputs,
            slots,
            committee,
            centre,
            spread,
            range: (low - more, high + more),
            logistic,
        })
    }

    /// Multiplications of one fit, roughly.
    pub(crate) fn work(features: &[Feature], frame: &Frame, size: Size) -> Result<f64, String> {
        let (inputs, slots) = inputs(features, frame)?;
        let (wide, batch) = (WIDTH as f64, BATCH.min(frame.rows) as f64);
        // What a step adds up for each column: one line a row, or a word's entries once.
        let active: f64 = inputs
            .iter()
            .map(|input| match input {
                Input::Levels { .. } => 1.0,
                Input::Molecules { codes, parts, .. } => 1.0 + (codes.len().min(BATCH) * parts.len()) as f64 / batch,
                Input::Number { edges, .. } => edges.len() as f64,
            })
            .sum();
        let step = batch * wide * (6.0 * wide + 2.0 * active) + 8.0 * wide * (2.0 * wide + slots as f64);
        Ok(size.committee as f64 * size.steps(frame.rows) as f64 * step)
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        /// Rows read together: each of their words is a line of half a kilobyte.
        const TOGETHER: usize = 4_096;
        if frame.rows > TOGETHER {
            let all: Vec<usize> = (0..frame.rows).collect();
            return all
                .chunks(TOGETHER)
                .flat_map(|rows| self.predict(&frame.take(rows)))
                .collect();
        }
        let (different, places) = different(&self.inputs, frame);
        let mut sums = vec![0.0_f64; different.len()];
        for net in &self.committee {
            let said = net.answers(&different);
            sums.iter_mut()
                .zip(said)
                .for_each(|(sum, said)| *sum += f64::from(said));
        }
        let answer = |sum: f64| {
            let score = sum / self.committee.len() as f64;
            if self.logistic {
                1.0 / (1.0 + (-score).exp())
            } else {
                (self.centre + self.spread * score).clamp(self.range.0, self.range.1)
            }
        };
        places.iter().map(|place| answer(sums[*place])).collect()
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let input = |input: &Input| match input {
            Input::Levels { feature, first, codes } => *feature < features && first + codes.len() < self.slots,
            Input::Molecules {
                feature,
                first,
                codes,
                parts,
            } => {
                *feature < features
                    && first + codes.len() + parts.len() < self.slots
                    && parts.iter().all(|(part, scale)| *part < PARTS && scale.is_sound())
            }
            Input::Number {
                feature, first, edges, ..
            } => {
                *feature < features
                    && edges.len() > 1
                    && first + edges.len() <= self.slots
                    && edges.is_sorted()
                    && edges.iter().all(|edge| edge.is_finite())
            }
        };
        self.slots <= SLOTS_MAX
            && self.centre.is_finite()
            && self.spread.is_finite()
            && self.range.0 <= self.range.1
            && !self.committee.is_empty()
            && self.inputs.iter().all(input)
            && self.committee.iter().all(|net| net.is_sound(self.slots))
    }
}

impl Size {
    fn steps(self, rows: usize) -> usize {
        (self.passes * rows / BATCH).clamp(STEPS_MIN, STEPS_MAX)
    }
}

/// The columns that vary, and the slots they take. `Err` if there are none, too many, or too few rows.
fn inputs(features: &[Feature], frame: &Frame) -> Result<(Vec<Input>, usize), String> {
    if frame.rows < ROWS_MIN {
        return Err(format!("{} rows are too few, at least {ROWS_MIN}", frame.rows));
    }
    let (mut inputs, mut slots) = (Vec::new(), 0);
    for (feature, (about, col)) in features.iter().zip(&frame.cols).enumerate() {
        match col {
            Col::Number(values) => add_number(&mut inputs, &mut slots, feature, None, values),
            Col::Molecule { codes, .. } if about.kind == FeatureKind::Text => {
                for part in telling_parts(col, codes) {
                    let values: Vec<f64> = (0..frame.rows).map(|row| col.part(row, part)).collect();
                    add_number(&mut inputs, &mut slots, feature, Some(part), &values);
                }
            }
            Col::Level(_) | Col::Molecule { .. } => {
                let codes: Vec<u32> = (0..frame.rows).map(|row| col.code(row)).collect();
                let mut counts = vec![0_usize; about.codes()];
                for code in &codes {
                    counts[*code as usize] += 1;
                }
                let different = counts.iter().filter(|count| **count > 0).count();
                if matches!(col, Col::Molecule { .. }) && different * ROWS_PER_MOLECULE > frame.rows {
                    for part in telling_parts(col, &codes) {
                        let values: Vec<f64> = (0..frame.rows).map(|row| col.part(row, part)).collect();
                        add_number(&mut inputs, &mut slots, feature, Some(part), &values);
                    }
                    continue;
                }
                let kept: Vec<u32> = [NULL_LEVEL]
                    .into_iter()
                    .chain(FIRST_LEVEL..counts.len() as u32)
                    .filter(|code| *code != UNSEEN_LEVEL && counts[*code as usize] >= LEVEL_ROWS_MIN)
                    .collect();
                if kept.is_empty() || different < 2 {
                    continue;
                }
                let first = slots;
                slots += kept.len() + 1;
                let parts = parts(col, &codes);
                if parts.is_empty() {
                    inputs.push(Input::Levels {
                        feature,
                        first,
                        codes: kept,
                    });
                } else {
                    slots += parts.len();
                    inputs.push(Input::Molecules {
                        feature,
                        first,
                        codes: kept,
                        parts,
                    });
                }
            }
        }
    }
    match (inputs.len(), slots) {
        (0, _) => Err("there are no columns".to_owned()),
        (_, slots) if slots > SLOTS_MAX => Err(format!("{slots} levels and ranges are too many, at most {SLOTS_MAX}")),
        _ => Ok((inputs, slots)),
    }
}

/// The parts in which molecules differ, alike ones once, with their scales over the different molecules. None for a column of names.
fn parts(col: &Col, codes: &[u32]) -> Vec<(u32, Scale)> {
    if !matches!(col, Col::Molecule { .. }) {
        return Vec::new();
    }
    let met: BTreeSet<u32> = codes
        .iter()
        .copied()
        .filter(|code| col.molecule(*code).is_some())
        .collect();
    let mut shapes = HashSet::new();
    let mut found = Vec::new();
    for part in telling_parts(col, codes) {
        let values: Vec<f64> = met
            .iter()
            .filter_map(|code| col.molecule(*code))
            .map(|chem| chem.part(part))
            .collect();
        let Some(scale) = Scale::fit(&values) else { continue };
        // To a thousandth of a standard deviation.
        let shape: Vec<i64> = values
            .iter()
            .map(|value| (1e3 * scale.apply(*value)).round() as i64)
            .collect();
        if shapes.insert(shape) {
            found.push((part, scale));
        }
    }
    found
}

/// Each row as words.
fn examples(inputs: &[Input], frame: &Frame) -> Examples {
    let mut examples = Examples::default();
    words(inputs, frame, &mut examples, |examples, words| examples.add(words));
    examples
}

/// Rows that are the same to the network once, as are all levels it has no vector for; and each row's place among them.
fn different(inputs: &[Input], frame: &Frame) -> (Examples, Vec<usize>) {
    let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut places = Vec::with_capacity(frame.rows);
    let mut examples = Examples::default();
    words(inputs, frame, &mut examples, |examples, words| {
        let next = known.len();
        let place = match known.get(words) {
            Some(place) => *place,
            None => {
                known.insert(words.to_vec(), next);
                examples.add(words);
                next
            }
        };
        places.push(place);
    });
    (examples, places)
}

/// Hands each row's words to `take`. A level's word is made once, however many rows have it.
fn words(inputs: &[Input], frame: &Frame, examples: &mut Examples, mut take: impl FnMut(&mut Examples, &[u32])) {
    let mut met: Vec<HashMap<u32, u32>> = vec![HashMap::new(); inputs.len()];
    let (mut entries, mut row_words) = (Vec::new(), Vec::new());
    for row in 0..frame.rows {
        row_words.clear();
        for (input, met) in inputs.iter().zip(&mut met) {
            let level = input.level(frame, row);
            if let Some(word) = level.and_then(|level| met.get(&level)) {
                row_words.push(*word);
                continue;
            }
            entries.clear();
            input.entries(frame, row, &mut entries);
            let word = examples.word(&entries);
            row_words.push(word);
            if let Some(level) = level {
                met.insert(level, word);
            }
        }
        take(examples, &row_words);
    }
}

/// Edges at evenly spaced ranks of the known values.
fn add_number(inputs: &mut Vec<Input>, slots: &mut usize, feature: usize, part: Option<u32>, values: &[f64]) {
    let mut known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    let mut distinct = known.clone();
    distinct.dedup();
    let mut edges = if distinct.len() <= RANGES + 1 {
        distinct
    } else {
        (0..=RANGES)
            .filter_map(|step| known.get(step * (known.len() - 1) / RANGES))
            .copied()
            .collect()
    };
    edges.dedup();
    if edges.len() < 2 {
        return;
    }
    let first = *slots;
    *slots += edges.len();
    inputs.push(Input::Number {
        feature,
        part,
        first,
        edges,
    });
}

impl Input {
    /// The level or molecule of a row, new ones told apart; `None` for a number.
    fn level(&self, frame: &Frame, row: usize) -> Option<u32> {
        match self {
            Self::Levels { feature, .. } | Self::Molecules { feature, .. } => Some(frame.cols[*feature].entry(row)),
            Self::Number { .. } => None,
        }
    }

    /// Slot, value, and the slot to take where the value is hidden.
    fn entries(&self, frame: &Frame, row: usize, out: &mut Vec<(u32, f32, u32)>) {
        match self {
            Self::Levels { feature, first, codes } => {
                let other = first + codes.len();
                let slot = codes
                    .binary_search(&frame.cols[*feature].code(row))
                    .map_or(other, |place| first + place);
                out.push((slot as u32, 1.0, other as u32));
            }
            Self::Molecules {
                feature,
                first,
                codes,
                parts,
            } => {
                let (col, other) = (&frame.cols[*feature], first + codes.len());
                let slot = codes.binary_search(&col.code(row)).map_or(other, |place| first + place);
                out.push((slot as u32, 1.0, other as u32));
                let Some(chem) = col.molecule(col.entry(row)) else {
                    return;
                };
                // All parts together weigh about as much as the molecule's own vector.
                let share = 1.0 / (parts.len() as f64).sqrt();
                for ((part, scale), slot) in parts.iter().zip(other as u32 + 1..) {
                    let value = scale.apply(chem.part(*part)).clamp(-PART_MAX, PART_MAX);
                    out.push((slot, (share * value) as f32, slot));
                }
            }
            Self::Number {
                feature,
                part,
                first,
                edges,
            } => {
                let col = &frame.cols[*feature];
                let value = match part {
                    Some(part) => col.part(row, *part),
                    None => col.number(row),
                };
                if value.is_nan() {
                    let slot = (first + edges.len() - 1) as u32;
                    out.push((slot, 1.0, slot));
                    return;
                }
                for (slot, range) in (*first..).zip(edges.windows(2)) {
                    let [low, high] = range else { continue };
                    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
                    if share <= 0.0 {
                        break;
                    }
                    out.push((slot as u32, share as f32, slot as u32));
                }
            }
        }
    }
}
