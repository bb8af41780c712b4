//! The linear family. linfa solves all of it but one:
//! * least squares: `LinearRegression` on the rows themselves, with a whisper of ridge rows beneath them so that aliased columns
//!   (the same plate layout told twice) have one answer;
//! * ridge: `LinearRegression` on the normal equations (XᵀX + λI) w = Xᵀy, which is how a wide sparse design stays cheap;
//! * elastic net: `ElasticNet`;
//! * partial least squares: as many steps of conjugate gradients on the normal equations as it has components, which is the same (Helland,
//!   Communications in Statistics – Simulation and Computation 17 (1988) 581);
//! * logistic regression: Newton's steps, each a ridge on re-weighted normal equations.
#![expect(
    clippy::indexing_slicing,
    reason = "column numbers come from one design and are below its width"
)]

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2, ShapeBuilder};
use serde::{Deserialize, Serialize};

use crate::block::SparseRow;
use crate::cholesky::dot;
use crate::design::{Design, RICH_WIDTH_MAX};
use crate::feature::Feature;
use crate::frame::Frame;

/// How the weights are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Solver {
    LeastSquares,
    /// λ in units of rows.
    Ridge(f64),
    /// Components.
    PartialLeastSquares(usize),
    /// The penalty as a share of the smallest one that leaves no column in.
    ElasticNet(f64),
    /// Targets are 0 and 1; λ in units of rows.
    Logistic(f64),
}

/// Ridge rows under the least squares: far below any data, far above rounding.
const WHISPER: f64 = 1e-5;
/// linfa's elastic net also inverts a matrix as wide as the design (for standard errors), slowly: so narrow ones only.
pub(crate) const ELASTIC_WIDTH_MAX: usize = 128;
/// Least squares on the rows themselves costs rows × width²: above this many multiplications the ridge stands for it.
pub(crate) const LEAST_SQUARES_WORK_MAX: f64 = 2e9;

/// Entries of all sparse rows together: 480 MB.
const ENTRIES_MAX: usize = 30_000_000;

/// A fitted linear model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LinearModel {
    design: Design,
    intercept: f64,
    /// By column; the stand-ins last.
    weights: Vec<f64>,
    /// The sum is log-odds and the answer a probability.
    logistic: bool,
}

impl LinearModel {
    pub(crate) fn fit(
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        rich: bool,
        solver: Solver,
        seed: u64,
    ) -> Result<Self, String> {
        let (design, rows) = Design::fit(features, frame, target, rich, seed);
        let centre = target.iter().sum::<f64>() / target.len().max(1) as f64;
        if design.width == 0 {
            let weights = vec![0.0; design.stand_ins.len()];
            return Ok(Self {
                design,
                intercept: centre,
                weights,
                logistic: false,
            });
        }
        let means = column_means(&rows, design.width);
        let centred: Vec<f64> = target.iter().map(|y| y - centre).collect();
        let mut start = centre;
        let mut weights = match solver {
            Solver::Logistic(lambda) => {
                let mut all = logistic(&rows, design.width, target, lambda)?;
                start = all.pop().unwrap_or(0.0);
                all
            }
            Solver::Ridge(lambda) => normal_equations(&rows, &means, &centred, lambda)?,
            Solver::LeastSquares => least_squares(&rows, &means, &centred)?,
            Solver::PartialLeastSquares(components) => partial_least_squares(&rows, &means, &centred, components),
            Solver::ElasticNet(share) => elastic_net(&rows, &means, &centred, share)?,
        };
        if weights.iter().any(|w| !w.is_finite()) {
            return Err("the solution is not finite".to_owned());
        }
        let is_logistic = matches!(solver, Solver::Logistic(_));
        let moved: f64 = if is_logistic {
            0.0
        } else {
            weights.iter().zip(&means).map(|(w, m)| w * m).sum()
        };
        for (from, to) in &design.stand_ins {
            let block = *from as usize..*to as usize;
            let weight = weights[block.clone()]
                .iter()
                .zip(&means[block])
                .map(|(w, m)| w * m)
                .sum();
            weights.push(weight);
        }
        Ok(Self {
            design,
            intercept: start - moved,
            weights,
            logistic: is_logistic,
        })
    }

    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        let mut entries = SparseRow::new();
        let mut value = |row| {
            entries.clear();
            self.design.row_into(frame, row, &mut entries);
            let sum = entries
                .iter()
                .map(|(col, value)| self.weights[*col as usize] * value)
                .sum::<f64>();
            let sum = self.intercept + sum;
            if self.logistic { 1.0 / (1.0 + (-sum).exp()) } else { sum }
        };
        (0..frame.rows).map(&mut value).collect()
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        self.design.is_sound(features)
            && self.weights.len() == self.design.width + self.design.stand_ins.len()
            && self.intercept.is_finite()
            && self.weights.iter().all(|w| w.is_finite())
    }
}

/// The width a design has, and the products of two columns that its rows hold: the cost of the normal equations. `Err` if the rows would be
/// too large.
pub(crate) fn measure(features: &[Feature], frame: &Frame, target: &[f64], rich: bool) -> Result<(usize, f64), String> {
    let count = features.len();
    let blocks = if rich {
        (count * (count + 3) / 2).min(count + RICH_WIDTH_MAX)
    } else {
        count
    };
    if frame.rows * blocks > ENTRIES_MAX {
        return Err(format!("{} rows × {blocks} entries are too many", frame.rows));
    }
    let (design, rows) = Design::fit(features, frame, target, rich, 0);
    Ok((
        design.width,
        rows.iter().map(|row| (row.len() * row.len()) as f64).sum(),
    ))
}

fn column_means(rows: &[SparseRow], width: usize) -> Vec<f64> {
    let mut means = vec![0.0; width];
    for (col, value) in rows.iter().flatten().filter(|(col, _)| (*col as usize) < width) {
        means[*col as usize] += value;
    }
    means.iter_mut().for_each(|mean| *mean /= rows.len().max(1) as f64);
    means
}

fn normal_equations(rows: &[SparseRow], means: &[f64], target: &[f64], lambda: f64) -> Result<Vec<f64>, String> {
    let width = means.len();
    let (gram, right) = products(rows, means, target, lambda);
    let gram = Array2::from_shape_vec((width, width).f(), gram).map_err(|e| e.to_string())?;
    solve(gram, Array1::from_vec(right))
}

/// The direction of the steepest slope, then of the steepest one beside those before, and so on.
fn partial_least_squares(rows: &[SparseRow], means: &[f64], target: &[f64], components: usize) -> Vec<f64> {
    let width = means.len();
    let (gram, mut rest) = products(rows, means, target, 0.0);
    let mut weights = vec![0.0; width];
    let mut direction = rest.clone();
    let begin = dot(&rest, &rest);
    let mut square = begin;
    for _ in 0..components {
        if square <= 1e-12 * begin {
            break;
        }
        let bent: Vec<f64> = gram.chunks_exact(width).map(|line| dot(line, &direction)).collect();
        let bend = dot(&direction, &bent);
        if bend <= 0.0 {
            break;
        }
        let step = square / bend;
        weights.iter_mut().zip(&direction).for_each(|(w, d)| *w += step * d);
        rest.iter_mut().zip(&bent).for_each(|(r, b)| *r -= step * b);
        let next = dot(&rest, &rest);
        let kept = next / square;
        direction
            .iter_mut()
            .zip(&rest)
            .for_each(|(old, rest)| *old = rest + kept * *old);
        square = next;
    }
    weights
}

/// XᵀX + λI of the centred columns, symmetric, and Xᵀy.
fn products(rows: &[SparseRow], means: &[f64], target: &[f64], lambda: f64) -> (Vec<f64>, Vec<f64>) {
    let width = means.len();
    let mut gram = vec![0.0_f64; width * width];
    let mut right = vec![0.0_f64; width];
    for (row, y) in rows.iter().zip(target) {
        for (a, x) in row.iter().filter(|(col, _)| (*col as usize) < width) {
            right[*a as usize] += x * y;
            let line = &mut gram[*a as usize * width..(*a as usize + 1) * width];
            for (b, z) in row.iter().filter(|(col, _)| (*col as usize) < width) {
                line[*b as usize] += x * z;
            }
        }
    }
    // The target is centred, so centring the columns changes the matrix only.
    let count = rows.len() as f64;
    for (a, mean_a) in means.iter().enumerate() {
        for (b, mean_b) in means.iter().enumerate() {
            gram[a * width + b] -= count * mean_a * mean_b;
        }
        gram[a * width + a] += lambda;
    }
    (gram, right)
}

/// Newton's steps from zero; the intercept, which no penalty holds, comes last.
fn logistic(rows: &[SparseRow], width: usize, target: &[f64], lambda: f64) -> Result<Vec<f64>, String> {
    /// With a penalty the steps converge in five to ten.
    const STEPS_MAX: usize = 12;
    let side = width + 1;
    let mut weights = vec![0.0; side];
    for _ in 0..STEPS_MAX {
        let mut gram = vec![0.0_f64; side * side];
        let mut right = vec![0.0_f64; side];
        for (row, y) in rows.iter().zip(target) {
            let entries = || {
                row.iter()
                    .copied()
                    .filter(|(col, _)| (*col as usize) < width)
                    .chain([(width as u32, 1.0)])
            };
            let score: f64 = entries().map(|(col, value)| weights[col as usize] * value).sum();
            let p = 1.0 / (1.0 + (-score).exp());
            let weight = (p * (1.0 - p)).max(1e-5);
            for (a, x) in entries() {
                right[a as usize] += x * (y - p);
                let line = &mut gram[a as usize * side..(a as usize + 1) * side];
                for (b, z) in entries() {
                    line[b as usize] += weight * x * z;
                }
            }
        }
        for col in 0..width {
            gram[col * side + col] += lambda;
            right[col] -= lambda * weights[col];
        }
        gram[side * side - 1] += 1e-6;
        let gram = Array2::from_shape_vec((side, side).f(), gram).map_err(|e| e.to_string())?;
        let step = solve(gram, Array1::from_vec(right))?;
        let largest = step.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        // A long step overshoots where classes can be told apart perfectly.
        let damping = (4.0 / largest.max(1e-12)).min(1.0);
        weights.iter_mut().zip(&step).for_each(|(w, s)| *w += damping * s);
        if largest < 1e-4 {
            break;
        }
    }
    Ok(weights)
}

fn least_squares(rows: &[SparseRow], means: &[f64], target: &[f64]) -> Result<Vec<f64>, String> {
    let width = means.len();
    let mut matrix = dense(rows, means, width);
    for col in 0..width {
        matrix[[rows.len() + col, col]] = (WHISPER * rows.len() as f64).sqrt();
    }
    let right = target.iter().copied().chain(std::iter::repeat_n(0.0, width)).collect();
    solve(matrix, right)
}

/// The ordinary least squares of linfa. The intercept is outside: all columns are centred.
fn solve(matrix: Array2<f64>, right: Array1<f64>) -> Result<Vec<f64>, String> {
    let fitted = LinearRegression::new()
        .with_intercept(false)
        .fit(&DatasetBase::new(matrix, right))
        .map_err(|e| e.to_string())?;
    Ok(fitted.params().to_vec())
}

fn elastic_net(rows: &[SparseRow], means: &[f64], target: &[f64], share: f64) -> Result<Vec<f64>, String> {
    /// Half lasso, half ridge: groups of alike columns stay together.
    const L1_RATIO: f64 = 0.5;
    let matrix = dense(rows, means, 0);
    let right: Array1<f64> = target.iter().copied().collect();
    let most =
        matrix.t().dot(&right).iter().fold(0.0_f64, |most, v| most.max(v.abs())) / (rows.len() as f64 * L1_RATIO);
    if most <= 0.0 {
        return Ok(vec![0.0; means.len()]);
    }
    let fitted = ElasticNet::params()
        .penalty(share * most)
        .l1_ratio(L1_RATIO)
        .with_intercept(false)
        .tolerance(1e-3)
        .max_iterations(500)
        .fit(&DatasetBase::new(matrix, right))
        .map_err(|e| e.to_string())?;
    Ok(fitted.hyperplane().to_vec())
}

/// The centred rows as a matrix with contiguous columns, the order linfa's solvers walk in; `more` rows of zeros below.
fn dense(rows: &[SparseRow], means: &[f64], more: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((rows.len() + more, means.len()).f());
    for (col, mean) in means.iter().enumerate() {
        matrix.slice_mut(ndarray::s![..rows.len(), col]).fill(-mean);
    }
    for (number, row) in rows.iter().enumerate() {
        for (col, value) in row.iter().filter(|(col, _)| (*col as usize) < means.len()) {
            matrix[[number, *col as usize]] += value;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_components_as_columns_are_least_squares_and_one_is_less() {
        let rows: Vec<SparseRow> = (0..40)
            .map(|row| {
                vec![
                    (0, f64::from(row % 7)),
                    (1, f64::from(row * row % 5)),
                    (2, f64::from(row % 3)),
                ]
            })
            .collect();
        let target: Vec<f64> = (0..40)
            .map(|row| f64::from(row % 7) - 2.0 * f64::from(row % 3))
            .collect();
        let centre = target.iter().sum::<f64>() / 40.0;
        let centred: Vec<f64> = target.iter().map(|y| y - centre).collect();
        let means = column_means(&rows, 3);
        let whole = partial_least_squares(&rows, &means, &centred, 3);
        let told = normal_equations(&rows, &means, &centred, 0.0).unwrap();
        assert!(
            whole.iter().zip(&told).all(|(a, b)| (a - b).abs() < 1e-8),
            "{whole:?} {told:?}"
        );
        let few = partial_least_squares(&rows, &means, &centred, 1);
        assert!(
            few.iter().zip(&told).any(|(a, b)| (a - b).abs() > 0.1),
            "{few:?} {told:?}"
        );
    }
}
