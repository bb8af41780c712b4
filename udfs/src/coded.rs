//! Columns as trees read them: a code per row, and a few ways to order the codes.
//!
//! A plate has few bases and a library few scaffolds, however many rows it has. So a node's sums are made per distinct entry, and a
//! molecule's hundred descriptors are a hundred orderings of the same few sums: their cost does not depend on the rows.

/// One column of a training frame.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    /// The feature it is of.
    pub(crate) feature: usize,
    /// An entry per row.
    pub(crate) codes: Vec<u32>,
    pub(crate) entries: usize,
    pub(crate) views: Vec<View>,
    /// Entries may also be split into any two sets: they are levels of a category.
    pub(crate) sets: bool,
}

/// An order of a column's entries.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The number that tells the model's reader how to find the value again: which descriptor, which bit.
    pub(crate) number: u32,
    /// Entries with a value, ascending.
    pub(crate) order: Vec<u32>,
    /// Between one place of the order and the next: where to cut; NaN where the values are equal.
    pub(crate) cuts: Vec<f64>,
    /// Entries without a value.
    pub(crate) missing: Vec<u32>,
}

impl View {
    /// The view of `values`, one per entry, NaN for none. `None` if all are alike.
    pub(crate) fn of(number: u32, values: &[f64]) -> Option<Self> {
        Self::between(number, values, values)
    }

    /// The same where an entry is a range from `low` to `high`; ranges do not overlap.
    pub(crate) fn between(number: u32, low: &[f64], high: &[f64]) -> Option<Self> {
        let at = |values: &[f64], entry: u32| values.get(entry as usize).copied().unwrap_or(f64::NAN);
        let mut order: Vec<u32> = Vec::new();
        let mut missing: Vec<u32> = Vec::new();
        for entry in 0..low.len() as u32 {
            if at(low, entry).is_nan() {
                missing.push(entry);
            } else {
                order.push(entry);
            }
        }
        order.sort_by(|a, b| at(low, *a).total_cmp(&at(low, *b)).then(a.cmp(b)));
        let cuts: Vec<f64> = order
            .windows(2)
            .map(|pair| match pair {
                [a, b] if at(high, *a) < at(low, *b) => middle(at(high, *a), at(low, *b)),
                _ => f64::NAN,
            })
            .collect();
        let varies = cuts.iter().any(|cut| !cut.is_nan()) || (!missing.is_empty() && !order.is_empty());
        varies.then_some(Self {
            number,
            order,
            cuts,
            missing,
        })
    }

    /// Which entries lie together: two views that cut alike are one.
    pub(crate) fn shape(&self) -> (Vec<u32>, Vec<bool>, usize) {
        (
            self.order.clone(),
            self.cuts.iter().map(|cut| cut.is_nan()).collect(),
            self.missing.len(),
        )
    }
}

/// A number above `a` and not above `b`, half way if floating point allows.
fn middle(a: f64, b: f64) -> f64 {
    let half = a + (b - a) / 2.0;
    if half > a { half } else { b }
}
