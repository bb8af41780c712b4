//! Symmetric matrices of some thousand rows: factor, inverse and solution, block by block, so that nearly all work is matrix products.
//!
//! The factor is Cholesky's, right-looking; only lower triangles are read and written.
#![expect(
    clippy::indexing_slicing,
    reason = "blocks lie within the matrix, whose sides are equal"
)]

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

use crate::cholesky::dot;

/// Columns that are factored together.
const BLOCK: usize = 96;
/// Columns of what is left that are brought up to date together: above the diagonal nothing need be done.
const PANEL: usize = 256;

/// Replaces the lower triangle by its factor; false if the matrix is not positive definite.
pub(crate) fn factor(matrix: &mut Array2<f64>) -> bool {
    let rows = matrix.nrows();
    let mut begin = 0;
    while begin < rows {
        let end = (begin + BLOCK).min(rows);
        if !factor_small(&mut matrix.slice_mut(s![begin..end, begin..end])) {
            return false;
        }
        if end < rows {
            let inverse = inverse(&matrix.slice(s![begin..end, begin..end]));
            let below = matrix.slice(s![end.., begin..end]).dot(&inverse.t());
            let mut from = 0;
            while from < below.nrows() {
                let to = (from + PANEL).min(below.nrows());
                general_mat_mul(
                    -1.0,
                    &below.slice(s![from.., ..]),
                    &below.slice(s![from..to, ..]).t(),
                    1.0,
                    &mut matrix.slice_mut(s![end + from.., end + from..end + to]),
                );
                from = to;
            }
            matrix.slice_mut(s![end.., begin..end]).assign(&below);
        }
        begin = end;
    }
    true
}

fn factor_small(matrix: &mut ArrayViewMut2<'_, f64>) -> bool {
    for i in 0..matrix.nrows() {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[[i, k]] * matrix[[j, k]]).sum();
            let value = matrix[[i, j]] - known;
            if i > j {
                matrix[[i, j]] = value / matrix[[j, j]];
            } else if value.is_nan() || value <= 1e-12 {
                return false;
            } else {
                matrix[[i, i]] = value.sqrt();
            }
        }
    }
    true
}

/// The inverse of a factor, with zeros above its diagonal.
pub(crate) fn inverse(factor: &ArrayView2<'_, f64>) -> Array2<f64> {
    /// Smaller ones are not halved any more.
    const SMALL: usize = 48;
    let rows = factor.nrows();
    let mut whole = Array2::zeros((rows, rows));
    if rows <= SMALL {
        for column in 0..rows {
            whole[[column, column]] = 1.0 / factor[[column, column]];
            for row in column + 1..rows {
                let known: f64 = (column..row).map(|k| factor[[row, k]] * whole[[k, column]]).sum();
                whole[[row, column]] = -known / factor[[row, row]];
            }
        }
        return whole;
    }
    let half = rows / 2;
    let upper = inverse(&factor.slice(s![..half, ..half]));
    let lower = inverse(&factor.slice(s![half.., half..]));
    let corner = lower.dot(&factor.slice(s![half.., ..half]).dot(&upper));
    whole.slice_mut(s![half.., ..half]).assign(&corner);
    whole.slice_mut(s![half.., ..half]).mapv_inplace(|value| -value);
    whole.slice_mut(s![..half, ..half]).assign(&upper);
    whole.slice_mut(s![half.., half..]).assign(&lower);
    whole
}

/// z with L z = y.
pub(crate) fn forward(factor: &Array2<f64>, y: &[f64]) -> Vec<f64> {
    let mut z: Vec<f64> = Vec::with_capacity(y.len());
    for (row, y) in factor.rows().into_iter().zip(y) {
        let row = row.to_slice().unwrap_or_default();
        let i = z.len();
        z.push((y - dot(&row[..i], &z)) / row[i]);
    }
    z
}

/// x with L Lᵀ x = y.
pub(crate) fn solve(factor: &Array2<f64>, y: &[f64]) -> Vec<f64> {
    let mut x = forward(factor, y);
    for i in (0..x.len()).rev() {
        x[i] /= factor[[i, i]];
        let value = x[i];
        let row = factor.row(i);
        for (x, l) in x[..i].iter_mut().zip(row) {
            *x -= l * value;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix that is surely positive definite, of several blocks and a rest.
    fn matrix(rows: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, rows), |(i, j)| {
            (-0.01 * (i as f64 - j as f64).abs()).exp() + if i == j { 0.5 } else { 0.0 }
        })
    }

    #[test]
    fn the_factor_gives_the_matrix_back_and_solves_it() {
        for rows in [1, 47, 96, 97, 500] {
            let whole = matrix(rows);
            let mut lower = whole.clone();
            assert!(factor(&mut lower));
            for i in 0..rows {
                for j in i + 1..rows {
                    lower[[i, j]] = 0.0;
                }
            }
            let off = (&lower.dot(&lower.t()) - &whole).mapv(f64::abs);
            assert!(off.iter().all(|value| *value < 1e-10));
            let unit = inverse(&lower.view()).dot(&lower) - Array2::<f64>::eye(rows);
            assert!(unit.iter().all(|value| value.abs() < 1e-10));
            let y: Vec<f64> = (0..rows).map(|i| (i as f64).sin()).collect();
            let back = whole.dot(&ndarray::Array1::from_vec(solve(&lower, &y)));
            assert!(back.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-8));
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut flat = Array2::<f64>::ones((120, 120));
        assert!(!factor(&mut flat));
    }
}
