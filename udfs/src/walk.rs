//! Finding training rows' leaves while trees grow.
#![expect(
    clippy::indexing_slicing,
    reason = "entries are below their count, nodes belong to the tree they are used on"
)]

use crate::coded::Coded;
use crate::grow::{Grown, Test};

/// A test with its answer for every entry of its column.
pub(crate) struct Tester<'a> {
    codes: &'a [u32],
    left: Vec<bool>,
}

impl<'a> Tester<'a> {
    pub(crate) fn new(test: &Test, columns: &'a [Coded]) -> Self {
        match test {
            Test::Below {
                column,
                view,
                cut,
                missing_left,
            } => {
                let coded = &columns[*column];
                let view = &coded.views[*view];
                let mut left = vec![*missing_left; coded.entries];
                let mut below = true;
                for (place, entry) in view.order.iter().enumerate() {
                    left[*entry as usize] = below;
                    if view.cuts.get(place).is_some_and(|here| here == cut) {
                        below = false;
                    }
                }
                Self {
                    codes: &coded.codes,
                    left,
                }
            }
            Test::Among { column, entries } => {
                let coded = &columns[*column];
                let mut left = vec![false; coded.entries];
                for entry in entries {
                    left[*entry as usize] = true;
                }
                Self {
                    codes: &coded.codes,
                    left,
                }
            }
        }
    }

    pub(crate) fn left(&self, row: usize) -> bool {
        self.left[self.codes[row] as usize]
    }
}

/// Finds training rows' leaves.
pub(crate) struct Walker<'a> {
    tree: &'a [Grown],
    tests: Vec<Option<Tester<'a>>>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(tree: &'a [Grown], columns: &'a [Coded]) -> Self {
        let tests = tree
            .iter()
            .map(|node| match node {
                Grown::Leaf(_) => None,
                Grown::Split { test, .. } => Some(Tester::new(test, columns)),
            })
            .collect();
        Self { tree, tests }
    }

    pub(crate) fn value(&self, row: usize) -> f64 {
        let mut at = 0;
        loop {
            match (&self.tree[at], &self.tests[at]) {
                (Grown::Split { left, right, .. }, Some(test)) => at = if test.left(row) { *left } else { *right },
                (Grown::Leaf(value), _) => return *value,
                (Grown::Split { .. }, None) => return 0.0,
            }
        }
    }
}
