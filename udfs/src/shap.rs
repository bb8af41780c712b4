//! Shares of a prediction, feature by feature, that add up to how far it is from the average one: Shapley values.
//!
//! L. Shapley, "A value for n-person games", 1953; S. Lundberg and S. Lee, NIPS 2017, whose TreeSHAP finds for trees what is found here for any model: what
//! each feature adds to a prediction, averaged over the orders in which features can become known. A feature that is not known yet has the values
//! that training held of it. With few features all orders count and the shares are exact; with more, some orders drawn with their opposites, and
//! the shares still add up. What a model looks at is a column of its query, so shares are of original columns.

use arrow::array::ArrayRef;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::error::PredictError;
use crate::explain::drawn;
use crate::frame::Frame;
use crate::model::Model;

/// Rows of what training held that the average is of.
const BACKGROUND: usize = 32;
/// With so many features all orders are counted: 256 sets of known ones.
const EXACT_MAX: usize = 8;
/// With more, so many orders and as many opposite ones.
const ORDERS: usize = 8;

impl Model {
    /// The first row's shares in feature order, and the average prediction: together they are the row's prediction, or the probability of its
    /// predicted class.
    ///
    /// # Errors
    /// As [`Model::explain`].
    pub fn shares(&self, columns: &[ArrayRef]) -> Result<(Vec<f64>, f64), PredictError> {
        self.knows_its_training()?;
        let frame = Frame::read(self.features(), columns, 1)?;
        let class = self.predicted_classes(&frame).first().copied();
        Ok(self.shares_frame(&frame, class))
    }

    /// The same of one class, by its number; none for a model of a number.
    pub(crate) fn shares_frame(&self, row: &Frame, class: Option<usize>) -> (Vec<f64>, f64) {
        let background = self.background();
        let count = self.features().len();
        let value = |known: &dyn Fn(usize) -> bool| {
            let cols = row.cols.iter().zip(&background.cols).enumerate();
            let frame = Frame {
                rows: background.rows,
                cols: cols
                    .map(|(feature, (own, other))| if known(feature) { own.take(&[0]) } else { other.clone() })
                    .collect(),
            };
            let said = self.said(&frame, class);
            said.iter().sum::<f64>() / said.len().max(1) as f64
        };
        let average = value(&|_| false);
        let shares = if count <= EXACT_MAX {
            all_orders(count, &|known: usize| value(&|feature| known >> feature & 1 == 1))
        } else {
            some_orders(count, average, &value)
        };
        (shares, average)
    }

    /// Of each feature the mean size of its share in rows such as training held, of classes in the probability of each row's predicted one; largest
    /// first. None of an imported model.
    pub(crate) fn mean_shares(&self) -> Vec<(String, f64)> {
        if self.knows_its_training().is_err() {
            return Vec::new();
        }
        let background = self.background();
        let classes = self.predicted_classes(&background);
        let mut sums = vec![0.0; self.features().len()];
        for row in 0..background.rows {
            let (shares, _) = self.shares_frame(&background.take(&[row]), classes.get(row).copied());
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share.abs() / background.rows as f64;
            }
        }
        let names = self.features().iter().map(|feature| feature.name.clone());
        let mut named: Vec<(String, f64)> = names.zip(sums).collect();
        named.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        named
    }

    /// Rows of values as often as training had them, feature by feature.
    fn background(&self) -> Frame {
        let features = self.features().iter().zip(0_u64..);
        Frame {
            rows: BACKGROUND,
            cols: features
                .map(|(feature, number)| drawn(feature, number, BACKGROUND))
                .collect(),
        }
    }
}

/// Which features are known, by their numbers.
type Known<'k> = &'k (dyn Fn(usize) -> bool + 'k);

/// Shapley's formula over all sets of known features, a set being a number with a bit for each.
fn all_orders(count: usize, value: &dyn Fn(usize) -> f64) -> Vec<f64> {
    let values: Vec<f64> = (0..1_usize << count).map(value).collect();
    let of = |known: usize| values.get(known).copied().unwrap_or(0.0);
    // The share of orders in which just these become known before one of the others.
    let mut weights = vec![1.0 / count.max(1) as f64; count.max(1)];
    for size in 1..count {
        let before = weights.get(size - 1).copied().unwrap_or(0.0);
        if let Some(weight) = weights.get_mut(size) {
            *weight = before * size as f64 / (count - size) as f64;
        }
    }
    let share = |feature: usize| {
        let without = (0..1_usize << count).filter(|known| known >> feature & 1 == 0);
        let added = without.map(|known| {
            let weight = weights.get(known.count_ones() as usize).copied().unwrap_or(0.0);
            weight * (of(known | 1 << feature) - of(known))
        });
        added.sum()
    };
    (0..count).map(share).collect()
}

fn some_orders(count: usize, average: f64, value: &dyn Fn(Known<'_>) -> f64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(0);
    let mut shares = vec![0.0; count];
    for _ in 0..ORDERS {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut rng);
        for order in [order.clone(), order.into_iter().rev().collect()] {
            let mut known = vec![false; count];
            let mut before = average;
            for feature in order {
                if let Some(slot) = known.get_mut(feature) {
                    *slot = true;
                }
                let now = value(&|feature| known.get(feature).copied().unwrap_or(false));
                if let Some(share) = shares.get_mut(feature) {
                    *share += (now - before) / (2 * ORDERS) as f64;
                }
                before = now;
            }
        }
    }
    shares
}
