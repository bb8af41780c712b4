//! One perceptron: sparse inputs, three hidden layers, one output; how it learns and what it answers.
//!
//! A row is a few words, one per column: what a level or a number is to the network. Rows share words, so a word's vector is worked out once a step,
//! however much it has to say. While it learns, units are left out at random (Srivastava et al., J. Machine Learning Research 15 (2014) 1929).
#![expect(
    clippy::indexing_slicing,
    reason = "slots and rows are below the counts that the arrays were made with; is_sound checks stored ones"
)]

use std::collections::HashMap;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::stop;

/// Units of each hidden layer.
pub(crate) const WIDTH: usize = 128;
/// Rows of one step.
pub(crate) const BATCH: usize = 64;
/// The largest step, reached after `WARM` of all steps.
const RATE: f32 = 3e-3;
const WARM: f32 = 0.05;
/// Share of each weight that a step of size one takes away.
const DECAY: f32 = 0.3;
/// How often a level is hidden.
const HIDDEN: f32 = 0.03;
/// How often a unit is left out.
const LEFT_OUT: f32 = 0.1;
/// Layers between the first and the last, in a network that begins to learn.
const MIDDLE: usize = 2;

/// A slot, its value, and the slot to take where the value is hidden.
pub(crate) type Entry = (u32, f32, u32);

/// Rows as words, and words as entries.
#[derive(Default)]
pub(crate) struct Examples {
    known: HashMap<Vec<(u32, u32)>, u32>,
    words: Vec<Vec<Entry>>,
    /// All rows one after the other, and where each ends.
    rows: Vec<u32>,
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Perceptron {
    /// Slot × unit.
    first: Vec<f32>,
    first_bias: Vec<f32>,
    /// Unit × unit: what each one of the first layer adds to each one of the second.
    second: Vec<f32>,
    second_bias: Vec<f32>,
    /// Further layers like the second, with their biases.
    #[serde(default)]
    more: Vec<(Vec<f32>, Vec<f32>)>,
    last: Vec<f32>,
    last_bias: Vec<f32>,
}

impl Examples {
    /// The number of a word, the same for the same entries.
    pub(crate) fn word(&mut self, entries: &[Entry]) -> u32 {
        let key: Vec<(u32, u32)> = entries
            .iter()
            .map(|(slot, value, _)| (*slot, value.to_bits()))
            .collect();
        *self.known.entry(key).or_insert_with(|| {
            self.words.push(entries.to_vec());
            (self.words.len() - 1) as u32
        })
    }

    pub(crate) fn add(&mut self, words: &[u32]) {
        self.rows.extend_from_slice(words);
        self.ends.push(self.rows.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn row(&self, row: usize) -> &[u32] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.rows[begin..self.ends[row]]
    }
}

impl Perceptron {
    pub(crate) fn new(slots: usize, active: usize, rng: &mut StdRng) -> Self {
        let mut normal = |count: usize, variance: f32| -> Vec<f32> {
            (0..count)
                .map(|_| {
                    // The sum of twelve even draws has variance one and is as good as normal here.
                    let sum: f32 = (0..12).map(|_| rng.random::<f32>()).sum();
                    (sum - 6.0) * variance.sqrt()
                })
                .collect()
        };
        let mut layer = || (normal(WIDTH * WIDTH, 2.0 / WIDTH as f32), vec![0.0; WIDTH]);
        let (second, second_bias) = layer();
        let more = (1..MIDDLE).map(|_| layer()).collect();
        Self {
            first: normal(slots * WIDTH, 1.0 / active.max(1) as f32),
            first_bias: vec![0.0; WIDTH],
            second,
            second_bias,
            more,
            last: normal(WIDTH, 1.0 / WIDTH as f32),
            last_bias: vec![0.0],
        }
    }

    /// The output for each row. It does not depend on the rows beside it.
    pub(crate) fn answers(&self, rows: &Examples) -> Vec<f32> {
        /// Rows that go through together: their hidden units fit into the cache next to the processor.
        const TOGETHER: usize = 256;
        let mut all = Vec::with_capacity(rows.len());
        let mut words = Vec::new();
        self.speak(
            rows.words
                .iter()
                .map(|word| word.iter().map(|(slot, value, _)| (*slot, *value))),
            &mut words,
        );
        let mut work = Work::new(TOGETHER.min(rows.len()), self.more.len());
        let mut said: Vec<(usize, usize)> = Vec::new();
        while all.len() < rows.len() {
            let begin = all.len();
            let count = TOGETHER.min(rows.len() - begin);
            if work.said.len() != count {
                work = Work::new(count, self.more.len());
            }
            said.clear();
            for place in 0..count {
                said.extend(rows.row(begin + place).iter().map(|word| (place, *word as usize)));
            }
            self.forward(&said, &words, &mut work, |_| {});
            all.extend_from_slice(&work.said);
        }
        all
    }

    /// The vector of each word, one after the other.
    fn speak<W: Iterator<Item = (u32, f32)>>(&self, words: impl ExactSizeIterator<Item = W>, lines: &mut Vec<f32>) {
        lines.clear();
        lines.resize(words.len() * WIDTH, 0.0);
        for (line, entries) in lines.chunks_exact_mut(WIDTH).zip(words) {
            for (slot, value) in entries {
                add(line, &self.first[slot as usize * WIDTH..][..WIDTH], value);
            }
        }
    }

    pub(crate) fn is_sound(&self, slots: usize) -> bool {
        let whole = |weights: &[f32], count: usize| weights.len() == count && weights.iter().all(|w| w.is_finite());
        whole(&self.first, slots * WIDTH)
            && whole(&self.first_bias, WIDTH)
            && whole(&self.second, WIDTH * WIDTH)
            && whole(&self.second_bias, WIDTH)
            && self
                .more
                .iter()
                .all(|(weights, bias)| whole(weights, WIDTH * WIDTH) && whole(bias, WIDTH))
            && whole(&self.last, WIDTH)
            && whole(&self.last_bias, 1)
    }

    /// So many steps on `target`, scaled; `choose` says which rows each step looks at.
    pub(crate) fn learn(
        &mut self,
        examples: &Examples,
        target: &[f32],
        logistic: bool,
        steps: usize,
        rng: &mut StdRng,
        mut choose: impl FnMut(&mut StdRng, &mut [usize]),
    ) {
        let batch = BATCH.min(target.len()).max(1);
        let mut rows = vec![0_usize; batch];
        let mut seen = Seen::default();
        let mut words = Vec::new();
        let mut work = Work::new(batch, self.more.len());
        let mut slopes = Slopes::new(self);
        // Leaving out needs many draws of little worth: xorshift (Marsaglia, J. Statistical Software 8 (2003) 14).
        let mut state = rng.random::<u64>() | 1;
        let mut draw = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        for step in 0..steps {
            if stop::is_asked() {
                break;
            }
            choose(rng, &mut rows);
            seen.read(examples, rows.iter().copied(), |can| {
                can && rng.random::<f32>() < HIDDEN
            });
            self.speak(seen.entries.iter().map(|word| word.iter().copied()), &mut words);
            self.forward(&seen.said, &words, &mut work, |line| {
                for value in line.iter_mut().filter(|value| **value > 0.0) {
                    *value = if draw() < LEFT_OUT {
                        0.0
                    } else {
                        *value / (1.0 - LEFT_OUT)
                    };
                }
            });
            for ((off, said), row) in work.off.iter_mut().zip(&work.said).zip(&rows) {
                let said = if logistic { 1.0 / (1.0 + (-said).exp()) } else { *said };
                *off = (said - target[*row]) / batch as f32;
            }
            self.backward(&seen, &mut words, &mut work, &mut slopes);
            let at = step as f32 / steps as f32;
            let rate = RATE
                * if at < WARM {
                    (step + 1) as f32 / (WARM * steps as f32 + 1.0)
                } else {
                    0.5 * (1.0 + (std::f32::consts::PI * (at - WARM) / (1.0 - WARM)).cos())
                };
            slopes.step(self, step + 1, rate);
        }
    }

    /// The middle layers, from the first on.
    fn middle(&self) -> Vec<(&[f32], &[f32])> {
        [(self.second.as_slice(), self.second_bias.as_slice())]
            .into_iter()
            .chain(
                self.more
                    .iter()
                    .map(|(weights, bias)| (weights.as_slice(), bias.as_slice())),
            )
            .collect()
    }

    /// Rows say words, both by their places; `leave` may take units out of a layer's lines.
    fn forward(&self, said: &[(usize, usize)], words: &[f32], work: &mut Work, mut leave: impl FnMut(&mut [f32])) {
        let first = &mut work.layers[0];
        for line in first.chunks_exact_mut(WIDTH) {
            line.copy_from_slice(&self.first_bias);
        }
        for (place, word) in said {
            add(
                &mut first[place * WIDTH..][..WIDTH],
                &words[word * WIDTH..][..WIDTH],
                1.0,
            );
        }
        rise(first);
        leave(first);
        for (number, (weights, bias)) in self.middle().into_iter().enumerate() {
            let (before, after) = work.layers.split_at_mut(number + 1);
            for line in after[0].chunks_exact_mut(WIDTH) {
                line.copy_from_slice(bias);
            }
            multiply(1.0, &before[number], weights, &mut after[0], [false, false]);
            rise(&mut after[0]);
            leave(&mut after[0]);
        }
        let top = work.layers.last().map(Vec::as_slice).unwrap_or_default();
        for (said, line) in work.said.iter_mut().zip(top.chunks_exact(WIDTH)) {
            *said = self.last_bias[0] + line.iter().zip(&self.last).map(|(a, b)| a * b).sum::<f32>();
        }
    }

    /// From `work.off`, the loss's slope at the outputs, to the slopes of all weights.
    fn backward(&self, seen: &Seen, words: &mut [f32], work: &mut Work, slopes: &mut Slopes) {
        slopes.first.now.fill(0.0);
        slopes.first_bias.now.fill(0.0);
        slopes.last.now.fill(0.0);
        slopes.last_bias.now.fill(0.0);
        let top = work.layers.last().map(Vec::as_slice).unwrap_or_default();
        let lines = top.chunks_exact(WIDTH).zip(work.back.chunks_exact_mut(WIDTH));
        for (off, (line, line_off)) in work.off.iter().zip(lines) {
            slopes.last_bias.now[0] += off;
            add(&mut slopes.last.now, line, *off);
            for (slot, weight) in line_off.iter_mut().zip(&self.last) {
                *slot = off * weight;
            }
        }
        for (number, (weights, _)) in self.middle().into_iter().enumerate().rev() {
            fall(&mut work.back, &work.layers[number + 1]);
            let (slope, bias) = &mut slopes.middle[number];
            bias.now.fill(0.0);
            for line in work.back.chunks_exact(WIDTH) {
                add(&mut bias.now, line, 1.0);
            }
            multiply(0.0, &work.layers[number], &work.back, &mut slope.now, [true, false]);
            multiply(0.0, &work.back, weights, &mut work.next, [false, true]);
            std::mem::swap(&mut work.back, &mut work.next);
        }
        fall(&mut work.back, &work.layers[0]);
        for line in work.back.chunks_exact(WIDTH) {
            add(&mut slopes.first_bias.now, line, 1.0);
        }
        // The words' vectors are not needed any more: their slopes take the room.
        words.fill(0.0);
        for (place, word) in &seen.said {
            add(
                &mut words[word * WIDTH..][..WIDTH],
                &work.back[place * WIDTH..][..WIDTH],
                1.0,
            );
        }
        for (line, entries) in words.chunks_exact(WIDTH).zip(&seen.entries) {
            for (slot, value) in entries {
                add(&mut slopes.first.now[*slot as usize * WIDTH..][..WIDTH], line, *value);
            }
        }
    }
}

/// Nothing below nothing.
fn rise(line: &mut [f32]) {
    line.iter_mut().for_each(|value| *value = value.max(0.0));
}

/// The slope before a layer's units: none where a unit is silent, and as much more where others were left out.
fn fall(back: &mut [f32], units: &[f32]) {
    for (off, unit) in back.iter_mut().zip(units) {
        *off = if *unit > 0.0 { *off / (1.0 - LEFT_OUT) } else { 0.0 };
    }
}

/// The words that some rows hold, each once, and which row holds which.
#[derive(Default)]
struct Seen {
    entries: Vec<Vec<(u32, f32)>>,
    /// Row and word, both by their places here.
    said: Vec<(usize, usize)>,
    places: HashMap<(u32, bool), usize>,
}

impl Seen {
    /// `hide` is asked for each word, whether it can be hidden, and says whether it is.
    fn read(&mut self, examples: &Examples, rows: impl IntoIterator<Item = usize>, mut hide: impl FnMut(bool) -> bool) {
        self.entries.clear();
        self.said.clear();
        self.places.clear();
        for (place, row) in rows.into_iter().enumerate() {
            for word in examples.row(row) {
                let entries = &examples.words[*word as usize];
                let hidden = hide(entries.iter().any(|(slot, _, other)| slot != other));
                let at = *self.places.entry((*word, hidden)).or_insert_with(|| {
                    let entry = |(slot, value, other): &Entry| (if hidden { *other } else { *slot }, *value);
                    self.entries.push(entries.iter().map(entry).collect());
                    self.entries.len() - 1
                });
                self.said.push((place, at));
            }
        }
    }
}

/// What one step passes through, for each layer row × unit.
struct Work {
    layers: Vec<Vec<f32>>,
    back: Vec<f32>,
    next: Vec<f32>,
    said: Vec<f32>,
    off: Vec<f32>,
}

impl Work {
    /// `more` are the layers beside the first two.
    fn new(batch: usize, more: usize) -> Self {
        let lines = || vec![0.0; batch * WIDTH];
        Self {
            layers: (0..2 + more).map(|_| lines()).collect(),
            back: lines(),
            next: lines(),
            said: vec![0.0; batch],
            off: vec![0.0; batch],
        }
    }
}

/// The slopes of all weights.
struct Slopes {
    first: Slope,
    first_bias: Slope,
    middle: Vec<(Slope, Slope)>,
    last: Slope,
    last_bias: Slope,
}

impl Slopes {
    fn new(of: &Perceptron) -> Self {
        Self {
            first: Slope::new(of.first.len()),
            first_bias: Slope::new(WIDTH),
            middle: of
                .middle()
                .into_iter()
                .map(|(weights, bias)| (Slope::new(weights.len()), Slope::new(bias.len())))
                .collect(),
            last: Slope::new(WIDTH),
            last_bias: Slope::new(1),
        }
    }

    fn step(&mut self, of: &mut Perceptron, number: usize, rate: f32) {
        self.first.step(&mut of.first, number, rate, DECAY);
        self.first_bias.step(&mut of.first_bias, number, rate, 0.0);
        let middle = [(&mut of.second, &mut of.second_bias)]
            .into_iter()
            .chain(of.more.iter_mut().map(|(weights, bias)| (weights, bias)));
        for ((slope, bias_slope), (weights, bias)) in self.middle.iter_mut().zip(middle) {
            slope.step(weights, number, rate, DECAY);
            bias_slope.step(bias, number, rate, 0.0);
        }
        self.last.step(&mut of.last, number, rate, DECAY);
        self.last_bias.step(&mut of.last_bias, number, rate, 0.0);
    }
}

/// The slope of some weights, with its running mean and square.
struct Slope {
    now: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Slope {
    fn new(count: usize) -> Self {
        Self {
            now: vec![0.0; count],
            mean: vec![0.0; count],
            square: vec![0.0; count],
        }
    }

    fn step(&mut self, weights: &mut [f32], number: usize, rate: f32, decay: f32) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        let power = |share: f32| 1.0 - share.powi(number.min(100_000) as i32);
        let (mean_whole, square_whole) = (power(MEAN), power(SQUARE));
        let running = self.mean.iter_mut().zip(&mut self.square);
        for ((weight, now), (mean, square)) in weights.iter_mut().zip(&self.now).zip(running) {
            *mean = MEAN * *mean + (1.0 - MEAN) * now;
            *square = SQUARE * *square + (1.0 - SQUARE) * now * now;
            let step = (*mean / mean_whole) / ((*square / square_whole).sqrt() + 1e-8);
            *weight -= rate * (step + decay * *weight);
        }
    }
}

fn add(to: &mut [f32], from: &[f32], times: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += times * from;
    }
}

/// `to` = `kept` · `to` + a b, where a or b may be transposed. All matrices have lines of `WIDTH`.
fn multiply(kept: f32, a: &[f32], b: &[f32], to: &mut [f32], transposed: [bool; 2]) {
    let view = |values: &[f32]| (values.len() / WIDTH, WIDTH);
    let shape = view(to);
    let (Ok(mut a_view), Ok(mut b_view), Ok(mut to)) = (
        ArrayView2::from_shape(view(a), a),
        ArrayView2::from_shape(view(b), b),
        ArrayViewMut2::from_shape(shape, to),
    ) else {
        return;
    };
    if transposed[0] {
        a_view.swap_axes(0, 1);
    }
    if transposed[1] {
        b_view.swap_axes(0, 1);
    }
    general_mat_mul(1.0, &a_view, &b_view, kept, &mut to);
}
