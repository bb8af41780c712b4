//! `LinearRegressor` and `LinearClassifier`.
#![expect(
    clippy::indexing_slicing,
    reason = "the list of weights is as long as columns times scores, which is checked"
)]

use super::after::After;
use super::proto::NodeProto;
use super::value::{Held, Value};

pub(super) struct Linear {
    /// Score × column.
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    /// Lines of the weights.
    lines: usize,
    /// Of two classes only the second has weights.
    one_sided: bool,
    after: After,
}

impl Linear {
    pub(super) fn read(node: &NodeProto, scores: usize, classifier: bool) -> Result<Self, String> {
        let weights = node.floats("coefficients");
        let intercepts = node.floats("intercepts");
        let lines = if classifier && scores == 2 && intercepts.len() == 1 {
            1
        } else {
            scores
        };
        if weights.is_empty() || !weights.len().is_multiple_of(lines.max(1)) {
            return Err(format!("{} coefficients for {lines} scores", weights.len()));
        }
        if !intercepts.is_empty() && intercepts.len() != lines {
            return Err(format!("{} intercepts for {lines} scores", intercepts.len()));
        }
        Ok(Self {
            weights,
            intercepts,
            lines,
            one_sided: classifier && scores == 2 && lines == 1,
            after: After::read(node)?,
        })
    }

    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let (rows, columns) = x.sides()?;
        let numbers = x.needs_numbers()?;
        if columns * self.lines != self.weights.len() {
            return Err(format!("{} coefficients for {columns} columns", self.weights.len()));
        }
        let mut all = Vec::with_capacity(rows * self.lines.max(2));
        for row in 0..rows {
            let values = &numbers[row * columns..][..columns];
            let mut scores: Vec<f64> = (0..self.lines)
                .map(|line| {
                    let products = self.weights[line * columns..][..columns].iter().zip(values);
                    let sum: f64 = products.map(|(w, x)| w * x).sum();
                    sum + self.intercepts.get(line).copied().unwrap_or(0.0)
                })
                .collect();
            if self.one_sided {
                scores.insert(0, -scores[0]);
            }
            self.after.apply(&mut scores);
            all.extend(scores);
        }
        Value::matrix(rows, Held::Single, all)
    }
}
