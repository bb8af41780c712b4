//! What a Gaussian process says of rows: their likeness to the training rows, and the answers that follow.
#![expect(
    clippy::indexing_slicing,
    reason = "entries are below the height of the tables made for them; stored numbers are checked by is_sound"
)]

use crate::axis::Axis;
use crate::cholesky::dot;
use crate::frame::Frame;
use crate::kernel::Kernel;
use crate::order::Order;

/// Likenesses worked out at once for a prediction: 32 MB. Rows that need more are answered in parts…
const CELLS_MAX: usize = 4 << 20;
/// …but not in smaller ones than this.
const CHUNK_ROWS_MIN: usize = 64;
impl Kernel {
    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        if frame.rows > CHUNK_ROWS_MIN && self.cells(frame) > CELLS_MAX {
            let half = frame.rows / 2;
            let of = |rows: std::ops::Range<usize>| self.predict(&frame.take(&rows.collect::<Vec<usize>>()));
            return [of(0..half), of(half..frame.rows)].concat();
        }
        self.predict_at_once(frame)
    }

    /// Likenesses that the rows of `frame` need: of each column's entries to those met in training.
    fn cells(&self, frame: &Frame) -> usize {
        let met: usize = self.columns.iter().map(Axis::count).sum();
        if frame.rows * met <= CELLS_MAX {
            return frame.rows * met;
        }
        let of = |axis: &Axis| axis.read(&frame.cols[axis.feature], frame.rows).0.count() * axis.count();
        self.columns.iter().map(of).sum()
    }

    fn predict_at_once(&self, frame: &Frame) -> Vec<f64> {
        let mut answers = vec![self.centre; frame.rows];
        let mut order = Order::new(frame.rows);
        let mut tables = Vec::with_capacity(self.columns.len());
        for axis in &self.columns {
            let (entries, codes) = axis.read(&frame.cols[axis.feature], frame.rows);
            tables.push(axis.table(&entries, &axis.own(&frame.cols[axis.feature])));
            order.add(codes, entries.count());
        }
        let plan = order.plan_as_given();
        let (last, last_codes) = plan.last();
        let Some(last_axis) = self.columns.get(last) else {
            return answers;
        };
        let own = last_axis.count();
        // Training rows weighted by all columns but the last, summed by their entry in the last.
        let mut summed = vec![0.0; own];
        let mut weighted = vec![0.0; self.rows.len()];
        let mut before: Option<usize> = None;
        for row in &plan.rows {
            let row = *row as usize;
            let same = before.map_or(0, |before| plan.alike(before, row));
            if same == plan.columns.len() {
                answers[row] = before.map_or(self.centre, |before| answers[before]);
                continue;
            }
            if before.is_none() || same + 1 < plan.columns.len() {
                weighted.copy_from_slice(&self.weights);
                for (column, codes) in plan.first() {
                    let alike = &tables[column][codes[row] as usize];
                    for (weight, mine) in weighted.iter_mut().zip(&self.rows) {
                        *weight *= alike[mine[column] as usize];
                    }
                }
                summed.fill(0.0);
                for (weight, mine) in weighted.iter().zip(&self.rows) {
                    summed[mine[last] as usize] += weight;
                }
            }
            answers[row] = self.centre + dot(&summed, &tables[last][last_codes[row] as usize]);
            before = Some(row);
        }
        answers
    }

    /// Likeness of the rows of `frame` to the training rows.
    pub(crate) fn likeness(&self, frame: &Frame) -> Vec<Vec<f64>> {
        let tables: Vec<(Vec<Vec<f64>>, Vec<u32>)> = self
            .columns
            .iter()
            .map(|axis| {
                let col = &frame.cols[axis.feature];
                let (entries, codes) = axis.read(col, frame.rows);
                (axis.table(&entries, &axis.own(col)), codes)
            })
            .collect();
        (0..frame.rows)
            .map(|row| {
                self.rows
                    .iter()
                    .map(|mine| {
                        tables
                            .iter()
                            .zip(mine)
                            .map(|((table, codes), mine)| table[codes[row] as usize][*mine as usize])
                            .product()
                    })
                    .collect()
            })
            .collect()
    }

    /// Likeness of all rows of `frame` to one of them.
    pub(crate) fn likeness_to(&self, frame: &Frame, one: usize) -> Vec<f64> {
        let mut all = vec![1.0; frame.rows];
        for axis in &self.columns {
            let (entries, codes) = axis.read(&frame.cols[axis.feature], frame.rows);
            let chosen = entries.only(codes[one] as usize);
            let table = axis.table(&entries, &chosen);
            for (value, code) in all.iter_mut().zip(&codes) {
                *value *= table[*code as usize][0];
            }
        }
        all
    }
}
