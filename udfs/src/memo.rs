//! Answers remembered by the entries they follow from.
//!
//! A lab asks about few molecules and conditions in many rows, so most rows of a question have been answered before: in the same batch, in the
//! batch before, by another statement. A row whose columns are known levels, or numbers of few different values, has a number of its own, and
//! the answer to that number is kept. No answer depends on the rows beside it, so a remembered one is the computed one, bit by bit.
#![expect(clippy::indexing_slicing, reason = "places are given out as answers are stored")]

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::feature::Feature;
use crate::frame::{Col, Frame};

/// Numbers kept of one model, all its outputs together: about six megabytes with their keys.
const ANSWERS_MAX: usize = 1 << 17;
/// Different values of a number. A column of more is measured, not set: its rows do not come again.
const VALUES_MAX: usize = 4_096;
/// The number of a row that cannot be remembered; no row has it.
const NONE: u64 = u64::MAX;

/// The answers that one model remembers.
#[derive(Default)]
pub(crate) struct Memo(RwLock<State>);

#[derive(Default)]
struct State {
    /// A number had too many different values: nothing is remembered any more.
    closed: bool,
    /// By feature: the place of each of a number's values.
    values: Vec<HashMap<u64, u64, Mixed>>,
    /// By the row's number: which answer is its.
    places: HashMap<u64, usize, Mixed>,
    /// Answer × output.
    answers: Vec<f64>,
}

impl Memo {
    /// Output × row of `frame`, by `compute` where no answer is known; `outputs` is how many there are.
    pub(crate) fn answer(
        &self,
        features: &[Feature],
        frame: &Frame,
        outputs: usize,
        compute: impl Fn(&Frame) -> Vec<Vec<f64>>,
    ) -> Vec<Vec<f64>> {
        let Some(keys) = self.keys(features, frame) else {
            return compute(frame);
        };
        let mut all = vec![vec![0.0; frame.rows]; outputs];
        // Rows to work out, each combination once, and which of them each unanswered row waits for.
        let mut rows: Vec<usize> = Vec::new();
        let mut waiting: Vec<(usize, usize)> = Vec::new();
        {
            let state = self.read();
            let mut begun: HashMap<u64, usize, Mixed> = HashMap::default();
            for (row, key) in keys.iter().enumerate() {
                if let Some(place) = state.places.get(key) {
                    let known = &state.answers[place * outputs..][..outputs];
                    for (output, value) in all.iter_mut().zip(known) {
                        output[row] = *value;
                    }
                    continue;
                }
                let next = rows.len();
                let place = if *key == NONE {
                    next
                } else {
                    *begun.entry(*key).or_insert(next)
                };
                if place == next {
                    rows.push(row);
                }
                waiting.push((row, place));
            }
        }
        if rows.is_empty() {
            return all;
        }
        if rows.len() == frame.rows {
            all = compute(frame);
            self.remember(&keys, &all);
            return all;
        }
        let found = compute(&frame.take(&rows));
        for (output, found) in all.iter_mut().zip(&found) {
            for (row, place) in &waiting {
                output[*row] = found[*place];
            }
        }
        let keys: Vec<u64> = rows.iter().map(|row| keys[*row]).collect();
        self.remember(&keys, &found);
        all
    }

    /// A number for each row that no other combination of entries has; `None` where there are too many to number.
    fn keys(&self, features: &[Feature], frame: &Frame) -> Option<Vec<u64>> {
        let mut keys = vec![0_u64; frame.rows];
        let mut span = 1_u64;
        for (index, (feature, col)) in features.iter().zip(&frame.cols).enumerate() {
            let (height, codes) = match col {
                Col::Number(values) => (VALUES_MAX as u64, self.codes(index, values)?),
                Col::Level(codes) | Col::Molecule { codes, .. } => {
                    let height = feature.codes() as u64;
                    let known = |code: &u32| {
                        let code = u64::from(*code);
                        if code < height { code } else { NONE }
                    };
                    (height, codes.iter().map(known).collect())
                }
            };
            let next = span.checked_mul(height)?;
            let add = |key: &mut u64, code: u64| {
                *key = if *key == NONE || code == NONE {
                    NONE
                } else {
                    *key + code * span
                };
            };
            match codes.as_slice() {
                [one] => keys.iter_mut().for_each(|key| add(key, *one)),
                all => keys.iter_mut().zip(all).for_each(|(key, code)| add(key, *code)),
            }
            span = next;
        }
        Some(keys)
    }

    /// A number's values as places in the order they were met.
    fn codes(&self, feature: usize, values: &[f64]) -> Option<Vec<u64>> {
        {
            let state = self.read();
            if state.closed {
                return None;
            }
            if let Some(known) = state.values.get(feature) {
                let found: Option<Vec<u64>> = values
                    .iter()
                    .map(|value| known.get(&value.to_bits()).copied())
                    .collect();
                if found.is_some() {
                    return found;
                }
            }
        }
        let mut state = self.write();
        if state.values.len() <= feature {
            state.values.resize_with(feature + 1, HashMap::default);
        }
        let known = &mut state.values[feature];
        let mut codes = Vec::with_capacity(values.len());
        for value in values {
            let next = known.len() as u64;
            let code = *known.entry(value.to_bits()).or_insert(next);
            if code >= VALUES_MAX as u64 {
                *state = State {
                    closed: true,
                    ..State::default()
                };
                return None;
            }
            codes.push(code);
        }
        Some(codes)
    }

    fn remember(&self, keys: &[u64], found: &[Vec<f64>]) {
        let mut state = self.write();
        if state.closed {
            return;
        }
        // What there was no answer to may have failed for want of memory: it is tried again.
        let answered = |row: usize| {
            found
                .iter()
                .all(|output| output.get(row).is_some_and(|value| !value.is_nan()))
        };
        for (row, key) in keys
            .iter()
            .enumerate()
            .filter(|(row, key)| **key != NONE && answered(*row))
        {
            if state.answers.len() + found.len() > ANSWERS_MAX {
                return;
            }
            let next = state.places.len();
            // Another thread may have been first.
            if *state.places.entry(*key).or_insert(next) == next {
                let answers = found.iter().filter_map(|output| output.get(row)).copied();
                state.answers.extend(answers);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memo({})", self.read().places.len())
    }
}

type Mixed = BuildHasherDefault<Mix>;

/// Keys are numbers already: one multiplication spreads them.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
