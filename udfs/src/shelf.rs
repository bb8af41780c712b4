//! The best rows of a stream, as many as there is room for and no experiment twice: which ones does not depend on the order they come in.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::error::PredictError;

/// What rows are ordered by: of two, the lesser one is kept. Rows of equal keys are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Key {
    /// The less the better.
    pub(crate) worth: f64,
    /// A number made of the whole row: it decides between equals.
    pub(crate) row: u64,
    /// A number made of the row's features: two rows of one experiment are one.
    pub(crate) experiment: u64,
}

impl Key {
    fn order(&self, other: &Self) -> Ordering {
        let by_worth = self.worth.total_cmp(&other.worth);
        by_worth
            .then(self.row.cmp(&other.row))
            .then(self.experiment.cmp(&other.experiment))
    }
}

/// Rows with their keys, best first.
#[derive(Debug)]
pub(crate) struct Shelf {
    rows: RecordBatch,
    keys: Vec<Key>,
}

impl Shelf {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            rows: RecordBatch::new_empty(schema),
            keys: Vec::new(),
        }
    }

    /// Whether a row of that worth may be among the best.
    pub(crate) fn may_take(&self, worth: f64, room: usize) -> bool {
        let last = self.keys.get(room.saturating_sub(1));
        worth.is_finite() && last.is_none_or(|last| worth.total_cmp(&last.worth).is_le())
    }

    /// Takes in what is among the best of these rows and those before; a key for each row, none for what is not to be taken.
    ///
    /// # Errors
    /// Rows of another schema.
    pub(crate) fn take(&mut self, rows: &RecordBatch, keys: &[Option<Key>], room: usize) -> Result<(), PredictError> {
        let before = self.keys.len();
        let mut offered: Vec<(usize, Key)> = (before..)
            .zip(keys)
            .filter_map(|(place, key)| Some((place, (*key)?)))
            .filter(|(_, key)| self.may_take(key.worth, room))
            .collect();
        if offered.is_empty() {
            return Ok(());
        }
        offered.sort_by(|a, b| a.1.order(&b.1));
        let mut order: Vec<(usize, Key)> = self.keys.iter().copied().enumerate().chain(offered).collect();
        order.sort_by(|a, b| a.1.order(&b.1));
        let mut taken = HashSet::new();
        order.retain(|(_, key)| taken.insert(key.experiment));
        order.truncate(room);
        // Of the new rows only those that enter are put beside the old ones.
        let mut entering: Vec<usize> = order.iter().map(|(place, _)| *place).filter(|p| *p >= before).collect();
        if entering.is_empty() {
            return Ok(());
        }
        entering.sort_unstable();
        let new: UInt32Array = entering.iter().map(|place| (place - before) as u32).collect();
        let pool = concat_batches(&self.rows.schema(), [&self.rows, &take_record_batch(rows, &new)?])?;
        let place = |place: usize| match entering.binary_search(&place) {
            Ok(at) => before + at,
            Err(_) => place,
        };
        let kept: UInt32Array = order.iter().map(|(at, _)| place(*at) as u32).collect();
        self.rows = compact(&take_record_batch(&pool, &kept)?)?;
        self.keys = order.into_iter().map(|(_, key)| key).collect();
        Ok(())
    }

    /// These rows, and those of another shelf that are no experiments of this one.
    ///
    /// # Errors
    /// Rows of another schema.
    pub(crate) fn with(&self, other: &Self) -> Result<(RecordBatch, Vec<Key>), PredictError> {
        let known: HashSet<u64> = self.keys.iter().map(|key| key.experiment).collect();
        let new = || {
            other
                .keys
                .iter()
                .enumerate()
                .filter(|(_, key)| !known.contains(&key.experiment))
        };
        let places: UInt32Array = new().map(|(place, _)| place as u32).collect();
        let rows = concat_batches(
            &self.rows.schema(),
            [&self.rows, &take_record_batch(&other.rows, &places)?],
        )?;
        Ok((
            rows,
            self.keys.iter().chain(new().map(|(_, key)| key)).copied().collect(),
        ))
    }

    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// Views and dictionaries keep the buffers of the batches they came from alive, and those hold rows that were let go.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, PredictError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => Arc::clone(column),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{Field, Int64Type, Schema};

    use super::*;

    fn rows(numbers: &[i64]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
        let ids: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_new(Arc::new(schema), vec![ids]).unwrap()
    }

    /// Worth goes up with the tens, experiments by the number's last digit.
    fn key(id: i64) -> Key {
        Key {
            worth: (id / 10) as f64,
            row: id.unsigned_abs(),
            experiment: (id % 10).unsigned_abs(),
        }
    }

    fn kept(parts: &[&[i64]], room: usize) -> Vec<i64> {
        let mut shelf = Shelf::new(rows(&[]).schema());
        for part in parts {
            let keys: Vec<Option<Key>> = part.iter().map(|id| Some(key(*id))).collect();
            shelf.take(&rows(part), &keys, room).unwrap();
        }
        assert_eq!(shelf.keys().len(), shelf.rows().num_rows());
        shelf.rows()["id"].as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn the_order_of_arrival_decides_nothing_and_an_experiment_is_one() {
        for parts in [
            vec![[21, 11, 32, 12].as_slice(), &[13, 33, 14, 34]],
            vec![&[34, 14], &[33, 32, 11], &[21, 13, 12]],
            vec![&[11], &[12], &[13], &[14], &[21], &[32], &[33], &[34]],
            vec![&[14, 34, 33, 13, 12, 32, 21, 11]],
        ] {
            assert_eq!(kept(&parts, 3), [11, 12, 13], "{parts:?}");
            assert_eq!(kept(&parts, 9), [11, 12, 13, 14], "{parts:?}");
        }
        assert_eq!(kept(&[&[]], 3), [0_i64; 0]);
    }

    #[test]
    fn what_has_no_key_or_no_worth_is_not_taken() {
        let mut shelf = Shelf::new(rows(&[]).schema());
        let nothing = Key {
            worth: f64::NAN,
            ..key(11)
        };
        shelf.take(&rows(&[1, 2]), &[None, Some(nothing)], 5).unwrap();
        assert!(shelf.keys().is_empty() && shelf.may_take(3.0, 1));
        shelf.take(&rows(&[12]), &[Some(key(12))], 1).unwrap();
        assert!(shelf.may_take(1.0, 1) && !shelf.may_take(1.5, 1) && shelf.may_take(1.5, 2));
        // Of two shelves what both have is there once.
        let mut other = Shelf::new(rows(&[]).schema());
        let keys = [Some(key(22)), Some(key(23))];
        other.take(&rows(&[22, 23]), &keys, 5).unwrap();
        let (both, keys) = shelf.with(&other).unwrap();
        assert_eq!(both["id"].as_primitive::<Int64Type>().values().to_vec(), [12, 23]);
        assert_eq!(keys, [key(12), key(23)]);
    }
}
