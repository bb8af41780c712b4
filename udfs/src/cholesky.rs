//! The Cholesky factor of a symmetric matrix, by rows: dot products of contiguous numbers, which the compiler turns into vector code.
#![expect(clippy::indexing_slicing, reason = "row i has i + 1 numbers, and loops stay below i")]

/// The lower triangle, row i of length i + 1.
pub(crate) type Triangle = Vec<Vec<f64>>;

/// Replaces the lower triangle of a matrix by its factor; false if it is not positive definite.
pub(crate) fn factor(matrix: &mut Triangle) -> bool {
    for i in 0..matrix.len() {
        let (done, rest) = matrix.split_at_mut(i);
        let Some(row) = rest.first_mut() else { return false };
        for (j, other) in done.iter().enumerate() {
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let square = row[i] - dot(&row[..i], &row[..i]);
        if square.is_nan() || square <= 1e-12 {
            return false;
        }
        row[i] = square.sqrt();
    }
    true
}

/// z with L z = y.
pub(crate) fn forward(factor: &Triangle, y: &[f64]) -> Vec<f64> {
    let mut z = Vec::with_capacity(y.len());
    for (i, (row, y)) in factor.iter().zip(y).enumerate() {
        let value = (y - dot(&row[..i], &z)) / row[i];
        z.push(value);
    }
    z
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
