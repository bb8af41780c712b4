//! Everything random, from one seed: samples, folds, shuffles.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Folds of the cross-validation.
pub(crate) const FOLDS: usize = 5;

/// `count` of the items, in their old order.
pub(crate) fn some(items: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut shuffled = items.to_vec();
    shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
    shuffled.truncate(count);
    shuffled.sort_unstable();
    shuffled
}

/// `0..count` in random order.
pub(crate) fn permutation(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order
}

/// The fold of each row, `0..k`, and `k`: all sizes alike, and no group in two folds.
pub(crate) fn folds(rows: usize, groups: Option<&[usize]>, seed: u64) -> (Vec<usize>, usize) {
    let Some(groups) = groups else {
        let k = FOLDS.min(rows);
        let mut fold_of = vec![0; rows];
        for (position, row) in permutation(rows, seed).into_iter().enumerate() {
            if let Some(fold) = fold_of.get_mut(row) {
                *fold = position % k.max(1);
            }
        }
        return (fold_of, k);
    };
    let count = groups.iter().max().map_or(0, |most| most + 1);
    let mut sizes = vec![0_usize; count];
    for group in groups {
        if let Some(size) = sizes.get_mut(*group) {
            *size += 1;
        }
    }
    // Largest group first into the emptiest fold; equal groups in random order.
    let mut rng = StdRng::seed_from_u64(seed);
    let mut order: Vec<(usize, u64, usize)> = sizes
        .iter()
        .enumerate()
        .filter(|(_, size)| **size > 0)
        .map(|(group, size)| (*size, rng.random(), group))
        .collect();
    order.sort_by(|a, b| b.cmp(a));
    let k = FOLDS.min(order.len());
    let mut filled = vec![0_usize; k];
    let mut fold_of_group = vec![0_usize; count];
    for (size, _, group) in order {
        let emptiest = filled
            .iter()
            .enumerate()
            .min_by_key(|(_, rows)| **rows)
            .map_or(0, |(fold, _)| fold);
        if let (Some(rows), Some(fold)) = (filled.get_mut(emptiest), fold_of_group.get_mut(group)) {
            *rows += size;
            *fold = emptiest;
        }
    }
    (
        groups
            .iter()
            .map(|group| fold_of_group.get(*group).copied().unwrap_or(0))
            .collect(),
        k,
    )
}
