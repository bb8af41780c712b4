//! One perceptron: sparse inputs, two hidden layers, one output; how it learns and what it answers.
#![expect(
    clippy::indexing_slicing,
    reason = "slots and rows are below the counts that the arrays were made with; is_sound checks stored ones"
)]

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Units of each hidden layer.
pub(crate) const WIDTH: usize = 128;
/// Rows of one step.
pub(crate) const BATCH: usize = 64;
/// The largest step, reached after `WARM` of all steps.
const RATE: f32 = 3e-3;
const WARM: f32 = 0.05;
/// Share of each weight that a step of size one takes away.
const DECAY: f32 = 0.03;
/// How often a level is hidden.
const HIDDEN: f32 = 0.03;

/// A slot, its value, and the slot to take where the value is hidden.
pub(crate) type Entry = (u32, f32, u32);

/// Training rows, one after the other.
#[derive(Default)]
pub(crate) struct Examples {
    entries: Vec<Entry>,
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
    last: Vec<f32>,
    last_bias: Vec<f32>,
}

impl Examples {
    pub(crate) fn add(&mut self, entries: &[Entry]) {
        self.entries.extend_from_slice(entries);
        self.ends.push(self.entries.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn row(&self, row: usize) -> &[Entry] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[begin..self.ends[row]]
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
        Self {
            first: normal(slots * WIDTH, 1.0 / active.max(1) as f32),
            first_bias: vec![0.0; WIDTH],
            second: normal(WIDTH * WIDTH, 2.0 / WIDTH as f32),
            second_bias: vec![0.0; WIDTH],
            last: normal(WIDTH, 1.0 / WIDTH as f32),
            last_bias: vec![0.0],
        }
    }

    /// The output for each row. It does not depend on the rows beside it.
    pub(crate) fn answers(&self, rows: &Examples) -> Vec<f32> {
        /// Rows that go through together: their hidden units fit into the cache next to the processor.
        const TOGETHER: usize = 256;
        let mut all = Vec::with_capacity(rows.len());
        let mut seen: Vec<(usize, u32, f32)> = Vec::new();
        let mut work = Work::new(TOGETHER.min(rows.len()));
        while all.len() < rows.len() {
            let begin = all.len();
            let count = TOGETHER.min(rows.len() - begin);
            if work.said.len() != count {
                work = Work::new(count);
            }
            seen.clear();
            for place in 0..count {
                let entries = rows.row(begin + place).iter();
                seen.extend(entries.map(|(slot, value, _)| (place, *slot, *value)));
            }
            self.forward(&seen, &mut work);
            all.extend_from_slice(&work.said);
        }
        all
    }

    pub(crate) fn is_sound(&self, slots: usize) -> bool {
        let whole = |weights: &[f32], count: usize| weights.len() == count && weights.iter().all(|w| w.is_finite());
        whole(&self.first, slots * WIDTH)
            && whole(&self.first_bias, WIDTH)
            && whole(&self.second, WIDTH * WIDTH)
            && whole(&self.second_bias, WIDTH)
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
        let mut seen: Vec<(usize, u32, f32)> = Vec::new();
        let mut work = Work::new(batch);
        let mut slopes = [
            Slope::new(self.first.len()),
            Slope::new(WIDTH),
            Slope::new(WIDTH * WIDTH),
            Slope::new(WIDTH),
            Slope::new(WIDTH),
            Slope::new(1),
        ];
        for step in 0..steps {
            choose(rng, &mut rows);
            seen.clear();
            for (place, row) in rows.iter().enumerate() {
                for (slot, value, other) in examples.row(*row) {
                    let hidden = slot != other && rng.random::<f32>() < HIDDEN;
                    seen.push((place, if hidden { *other } else { *slot }, *value));
                }
            }
            self.forward(&seen, &mut work);
            for ((off, said), row) in work.off.iter_mut().zip(&work.said).zip(&rows) {
                let said = if logistic { 1.0 / (1.0 + (-said).exp()) } else { *said };
                *off = (said - target[*row]) / batch as f32;
            }
            self.backward(&seen, &mut work, &mut slopes);
            let at = step as f32 / steps as f32;
            let rate = RATE
                * if at < WARM {
                    (step + 1) as f32 / (WARM * steps as f32 + 1.0)
                } else {
                    0.5 * (1.0 + (std::f32::consts::PI * (at - WARM) / (1.0 - WARM)).cos())
                };
            let [first, first_bias, second, second_bias, last, last_bias] = &mut slopes;
            for (slope, weights, decay) in [
                (first, &mut self.first, DECAY),
                (first_bias, &mut self.first_bias, 0.0),
                (second, &mut self.second, DECAY),
                (second_bias, &mut self.second_bias, 0.0),
                (last, &mut self.last, DECAY),
                (last_bias, &mut self.last_bias, 0.0),
            ] {
                slope.step(weights, step + 1, rate, decay);
            }
        }
    }

    fn forward(&self, seen: &[(usize, u32, f32)], work: &mut Work) {
        for line in work.hidden.chunks_exact_mut(WIDTH) {
            line.copy_from_slice(&self.first_bias);
        }
        for (place, slot, value) in seen {
            let line = &mut work.hidden[place * WIDTH..][..WIDTH];
            add(line, &self.first[*slot as usize * WIDTH..][..WIDTH], *value);
        }
        work.hidden.iter_mut().for_each(|value| *value = value.max(0.0));
        for line in work.next.chunks_exact_mut(WIDTH) {
            line.copy_from_slice(&self.second_bias);
        }
        multiply(1.0, &work.hidden, &self.second, &mut work.next, [false, false]);
        work.next.iter_mut().for_each(|value| *value = value.max(0.0));
        for (said, line) in work.said.iter_mut().zip(work.next.chunks_exact(WIDTH)) {
            *said = self.last_bias[0] + line.iter().zip(&self.last).map(|(a, b)| a * b).sum::<f32>();
        }
    }

    /// From `work.off`, the loss's slope at the outputs, to the slopes of all weights.
    fn backward(&self, seen: &[(usize, u32, f32)], work: &mut Work, slopes: &mut [Slope; 6]) {
        let [first, first_bias, second, second_bias, last, last_bias] = slopes;
        for slope in [
            &mut *first,
            &mut *first_bias,
            &mut *second_bias,
            &mut *last,
            &mut *last_bias,
        ] {
            slope.now.fill(0.0);
        }
        let lines = work.next.chunks_exact(WIDTH).zip(work.next_off.chunks_exact_mut(WIDTH));
        for (off, (line, line_off)) in work.off.iter().zip(lines) {
            last_bias.now[0] += off;
            add(&mut last.now, line, *off);
            for ((slot, value), weight) in line_off.iter_mut().zip(line).zip(&self.last) {
                *slot = if *value > 0.0 { off * weight } else { 0.0 };
            }
            add(&mut second_bias.now, line_off, 1.0);
        }
        multiply(0.0, &work.hidden, &work.next_off, &mut second.now, [true, false]);
        multiply(0.0, &work.next_off, &self.second, &mut work.hidden_off, [false, true]);
        for (off, value) in work.hidden_off.iter_mut().zip(&work.hidden) {
            if *value <= 0.0 {
                *off = 0.0;
            }
        }
        for line in work.hidden_off.chunks_exact(WIDTH) {
            add(&mut first_bias.now, line, 1.0);
        }
        for (place, slot, value) in seen {
            let line = &work.hidden_off[place * WIDTH..][..WIDTH];
            add(&mut first.now[*slot as usize * WIDTH..][..WIDTH], line, *value);
        }
    }
}

/// What one step passes through, row × unit.
struct Work {
    hidden: Vec<f32>,
    hidden_off: Vec<f32>,
    next: Vec<f32>,
    next_off: Vec<f32>,
    said: Vec<f32>,
    off: Vec<f32>,
}

impl Work {
    fn new(batch: usize) -> Self {
        let lines = || vec![0.0; batch * WIDTH];
        Self {
            hidden: lines(),
            hidden_off: lines(),
            next: lines(),
            next_off: lines(),
            said: vec![0.0; batch],
            off: vec![0.0; batch],
        }
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
