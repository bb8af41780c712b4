//! A Z-curve through the ranks of values.
//!
//! Each value is replaced by its rank among the quantiles of a sample, so that all columns weigh alike whatever their types
//! and scales; then the bits of the ranks are interleaved, most significant first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::TryStreamExt;

/// Bits of a rank; four columns of them fit into a key.
const RANK_BITS: u32 = 12;

/// Values of some rows, in a form that sorts bytewise: one list per column.
pub(super) struct Sample {
    /// One row of so many is taken.
    each: usize,
    /// Rows until the next one is taken.
    skip: usize,
    values: Vec<Vec<Box<[u8]>>>,
}

impl Sample {
    pub(super) fn new(columns: usize, each: usize) -> Self {
        Self {
            each: each.max(1),
            skip: 0,
            values: vec![Vec::new(); columns],
        }
    }

    pub(super) async fn see_all(&mut self, mut rows: SendableRecordBatchStream) -> Result<(), DataFusionError> {
        while let Some(batch) = rows.try_next().await? {
            self.see(&batch)?;
        }
        Ok(())
    }

    fn see(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        let mut wanted = Vec::new();
        while self.skip < batch.num_rows() {
            wanted.push(u32::try_from(self.skip).unwrap_or(u32::MAX));
            self.skip += self.each;
        }
        self.skip -= batch.num_rows();
        let wanted = UInt32Array::from(wanted);
        for (column, values) in batch.columns().iter().zip(&mut self.values) {
            let rows = Encoded::of(&take(column, &wanted, None)?)?;
            values.extend(rows.0.iter().map(|row| Box::from(row.as_ref())));
        }
        Ok(())
    }
}

/// The values of a column as bytes in their order, nulls last.
struct Encoded(arrow::row::Rows);

impl Encoded {
    fn of(column: &ArrayRef) -> Result<Self, DataFusionError> {
        let order = arrow::compute::SortOptions {
            descending: false,
            nulls_first: false,
        };
        let converter = RowConverter::new(vec![SortField::new_with_options(column.data_type().clone(), order)])?;
        Ok(Self(converter.convert_columns(&[Arc::clone(column)])?))
    }
}

/// The function that gives a row's place on the curve.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Curve {
    /// Ascending, without repeats.
    bounds: Vec<Vec<Box<[u8]>>>,
    signature: Signature,
}

impl Curve {
    pub(super) fn through(sample: Sample) -> Result<Self, DataFusionError> {
        let ranks = 1usize << RANK_BITS;
        let mut bounds = sample.values;
        for column in &mut bounds {
            column.sort_unstable();
            if column.len() > ranks {
                let all = std::mem::take(column);
                let quantile = |rank: usize| rank * all.len() / ranks;
                column.extend((1..ranks).filter_map(|rank| all.get(quantile(rank)).cloned()));
            }
            column.dedup();
        }
        let columns = bounds.len();
        Ok(Self {
            bounds,
            signature: Signature::any(columns, Volatility::Immutable),
        })
    }

    fn places(&self, columns: &[ArrayRef], rows: usize) -> Result<UInt64Array, DataFusionError> {
        let mut places = vec![0u64; rows];
        let width = u32::try_from(self.bounds.len()).unwrap_or(1);
        for ((at, bounds), column) in (0..).zip(&self.bounds).zip(columns) {
            let encoded = Encoded::of(column)?;
            for (place, row) in places.iter_mut().zip(encoded.0.iter()) {
                *place |= spread(rank(bounds, row.as_ref()), width) << (width - 1 - at);
            }
        }
        Ok(places.into())
    }
}

/// How far a value lies in a column, as a number of [`RANK_BITS`] bits; few values spread over all of it.
fn rank(bounds: &[Box<[u8]>], value: &[u8]) -> u64 {
    let below = bounds.partition_point(|bound| bound.as_ref() <= value) as u64;
    below * ((1 << RANK_BITS) - 1) / (bounds.len() as u64).max(1)
}

/// The bits of a rank, `width` apart.
fn spread(rank: u64, width: u32) -> u64 {
    (0..RANK_BITS).fold(0, |spread, bit| spread | ((rank >> bit) & 1) << (bit * width))
}

impl ScalarUDFImpl for Curve {
    fn name(&self) -> &str {
        "place_on_curve"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let places = self.places(&columns, args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(places)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    fn curve(columns: &[ArrayRef]) -> Curve {
        let names = (0..columns.len()).map(|at| format!("c{at}"));
        let batch = RecordBatch::try_from_iter(names.zip(columns.iter().cloned())).unwrap();
        let mut sample = Sample::new(columns.len(), 1);
        sample.see(&batch).unwrap();
        Curve::through(sample).unwrap()
    }

    proptest! {
        /// Along any one column, with the others held, the curve goes upwards.
        #[test]
        fn a_greater_value_never_lies_before(values in prop::collection::vec((any::<i64>(), "[a-c]{0,3}"), 1..200), others in any::<(i64, i64)>()) {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(values.iter().map(|v| v.0)));
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(values.iter().map(|v| &v.1)));
            let curve = curve(&[Arc::clone(&numbers), Arc::clone(&texts)]);
            let (low, high) = (others.0.min(others.1), others.0.max(others.1));
            for text in &values {
                let ends: ArrayRef = Arc::new(Int64Array::from(vec![low, high]));
                let same: ArrayRef = Arc::new(StringArray::from(vec![text.1.as_str(); 2]));
                let places = curve.places(&[ends, same], 2).unwrap();
                prop_assert!(places.value(0) <= places.value(1));
            }
        }

        #[test]
        fn ranks_use_all_bits_and_keep_their_order(mut values in prop::collection::vec(any::<u16>(), 1..64)) {
            values.sort_unstable();
            values.dedup();
            let bounds: Vec<Box<[u8]>> = values.iter().map(|v| Box::from(v.to_be_bytes())).collect();
            let ranks: Vec<u64> = bounds.iter().map(|bound| rank(&bounds, bound)).collect();
            prop_assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(ranks.last(), Some(&((1 << RANK_BITS) - 1)));
        }

        /// Every bit of every rank has a place of its own.
        #[test]
        fn keys_tell_ranks_apart(a in 0u64..1 << RANK_BITS, b in 0u64..1 << RANK_BITS, width in 1u32..=4) {
            prop_assert_eq!(spread(a, width) == spread(b, width), a == b);
            prop_assert_eq!(spread(a, width) < spread(b, width), a < b);
            prop_assert_eq!(spread((1 << RANK_BITS) - 1, width).count_ones(), RANK_BITS);
        }
    }

    #[test]
    fn nulls_come_last() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(i64::MAX)]));
        let curve = curve(&[Arc::clone(&column)]);
        let places = curve.places(&[column], 3).unwrap();
        assert!(places.value(0) < places.value(2) && places.value(2) < places.value(1));
        assert_eq!(places.null_count(), 0);
    }
}
