//! How many values lie in each of some equal ranges: one aggregate for a column whose ends are known.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use datafusion::scalar::ScalarValue;

/// Ranges of a histogram.
pub(super) const RANGES: usize = 20;

/// The type of the answer: counts from the lowest range to the highest.
pub(super) fn data_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

/// Counts the values of a number between two ends, both included, in [`RANGES`] ranges. Values outside and those that are no
/// number count nowhere.
pub(super) fn histogram(number: Expr, least: f64, most: f64) -> Expr {
    AggregateUDF::from(Histogram {
        ends: [least.to_bits(), most.to_bits()],
        signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable),
    })
    .call(vec![number])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Histogram {
    /// As bits, so that two histograms can be compared.
    ends: [u64; 2],
    signature: Signature,
}

impl AggregateUDFImpl for Histogram {
    fn name(&self) -> &str {
        "histogram"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(data_type())
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let [least, most] = self.ends.map(f64::from_bits);
        Ok(Box::new(Counts {
            least,
            width: (most - least) / RANGES as f64,
            most,
            counts: [0; RANGES],
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(vec![Arc::new(Field::new(args.name, data_type(), true))])
    }
}

#[derive(Debug)]
struct Counts {
    least: f64,
    most: f64,
    width: f64,
    counts: [i64; RANGES],
}

impl Counts {
    fn range(&self, value: f64) -> Option<usize> {
        if !(self.least..=self.most).contains(&value) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a small number that is not negative; without width it is none, and the first range"
        )]
        let range = ((value - self.least) / self.width) as usize;
        Some(range.min(RANGES - 1))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        for array in values {
            let numbers = cast(array, &DataType::Float64)?;
            for value in numbers.as_primitive::<Float64Type>().iter().flatten() {
                if let Some(count) = self.range(value).and_then(|range| self.counts.get_mut(range)) {
                    *count += 1;
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let counts = self.counts.map(|count| ScalarValue::Int64(Some(count)));
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(
            &counts,
            &DataType::Int64,
        )))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        for list in states
            .iter()
            .flat_map(|states| states.as_list::<i32>().iter().flatten())
        {
            for (count, more) in self.counts.iter_mut().zip(list.as_primitive::<Int64Type>().iter()) {
                *count += more.unwrap_or(0);
            }
        }
        Ok(())
    }
}

/// The counts of an answer.
pub(super) fn counts(value: &ScalarValue) -> Option<Vec<i64>> {
    let ScalarValue::List(list) = value else { return None };
    let counts = list.is_valid(0).then(|| list.value(0))?;
    Some(counts.as_any().downcast_ref::<Int64Array>()?.values().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;

    fn counted(least: f64, most: f64, parts: &[&[Option<f64>]]) -> Vec<i64> {
        let fresh = || Counts {
            least,
            most,
            width: (most - least) / RANGES as f64,
            counts: [0; RANGES],
        };
        let mut all = fresh();
        for part in parts {
            let mut one = fresh();
            one.update_batch(&[Arc::new(Float64Array::from(part.to_vec()))])
                .unwrap();
            let state = one.state().unwrap().remove(0).to_array().unwrap();
            all.merge_batch(&[state]).unwrap();
        }
        counts(&all.evaluate().unwrap()).unwrap()
    }

    #[test]
    fn ends_belong_to_the_outermost_ranges_and_what_is_no_number_to_none() {
        let found = counted(
            0.0,
            20.0,
            &[
                &[Some(0.0), Some(20.0), None, Some(f64::NAN)],
                &[Some(0.5), Some(19.0), Some(21.0)],
            ],
        );
        assert_eq!((found[0], found[19], found.iter().sum::<i64>()), (2, 2, 4));
        assert_eq!(counted(3.0, 3.0, &[&[Some(3.0)]])[0], 1, "one value has no width");
        assert_eq!(counted(0.0, 1.0, &[]), vec![0; RANGES]);
    }
}
