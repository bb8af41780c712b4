//! What the rows of a view must fulfil before they are shown: a batch that does not is not committed, and the old rows stay.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};

use crate::query::QueryError;
use crate::query::view::Expectation;

/// Whether rows fulfil what is expected of them.
///
/// # Errors
/// [`QueryError::Invalid`] says which expectation does not hold and of how many rows, never a value.
pub(super) fn check(expected: &[Expectation], schema: &SchemaRef, rows: &[RecordBatch]) -> Result<(), QueryError> {
    let all: usize = rows.iter().map(RecordBatch::num_rows).sum();
    for expectation in expected {
        let failed = match expectation {
            Expectation::NotNull(column) => {
                let at = place(schema, column)?;
                rows.iter().map(|batch| nulls(batch, at)).sum()
            }
            Expectation::Between { column, low, high } => {
                let at = place(schema, column)?;
                let outside = rows.iter().map(|batch| outside(batch, at, *low, *high));
                outside.sum::<Result<usize, QueryError>>()?
            }
            Expectation::Unique(columns) => {
                let places = columns.iter().map(|column| place(schema, column));
                doubles(schema, rows, &places.collect::<Result<Vec<_>, _>>()?)?
            }
        };
        if failed > 0 {
            return Err(QueryError::Invalid(format!(
                "{failed} of {all} rows do not fulfil {expectation}: they are not shown, and the view keeps the rows it had; mend the source, or the expectation (EXPECT)"
            )));
        }
    }
    Ok(())
}

fn place(schema: &SchemaRef, column: &str) -> Result<usize, QueryError> {
    schema.index_of(column).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        QueryError::Invalid(format!(
            "EXPECT names the column {column}, which the view has not; it has {}",
            names.join(", ")
        ))
    })
}

fn column(batch: &RecordBatch, at: usize) -> Option<&ArrayRef> {
    batch.columns().get(at)
}

fn nulls(batch: &RecordBatch, at: usize) -> usize {
    column(batch, at).map_or(0, |values| values.logical_null_count())
}

/// Values beyond the bounds, and those that are no number at all; nothing is neither.
fn outside(batch: &RecordBatch, at: usize, low: f64, high: f64) -> Result<usize, QueryError> {
    let Some(values) = column(batch, at) else { return Ok(0) };
    let kind = values.data_type();
    if !(kind.is_numeric() || matches!(kind, DataType::Null)) {
        let field = batch.schema();
        let name = field.fields().get(at).map_or("", |field| field.name().as_str());
        return Err(QueryError::Invalid(format!(
            "EXPECT {name} BETWEEN … takes a column of numbers, and {name} is {kind}"
        )));
    }
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let numbers = cast_with_options(values, &DataType::Float64, &options).map_err(QueryError::internal)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    Ok(numbers
        .iter()
        .flatten()
        .filter(|value| !(low..=high).contains(value))
        .count())
}

/// Rows beyond the first of each key; a key with nothing in it is like no other.
fn doubles(schema: &SchemaRef, rows: &[RecordBatch], places: &[usize]) -> Result<usize, QueryError> {
    let fields = places.iter().filter_map(|at| schema.fields().get(*at));
    let fields = fields.map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(QueryError::internal)?;
    let (mut seen, mut doubles) = (HashSet::new(), 0);
    for batch in rows {
        let keys: Vec<ArrayRef> = places.iter().filter_map(|at| column(batch, *at)).cloned().collect();
        let converted = converter.convert_columns(&keys).map_err(QueryError::internal)?;
        for row in 0..batch.num_rows() {
            if keys.iter().any(|values| values.is_null(row)) {
                continue;
            }
            doubles += usize::from(!seen.insert(converted.row(row).owned()));
        }
    }
    Ok(doubles)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn rows() -> RecordBatch {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
        let value: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.0), Some(100.0), Some(f64::NAN), None]));
        let word: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "b", "a"]));
        RecordBatch::try_from_iter_with_nullable([("n", number, true), ("v", value, true), ("w", word, true)]).unwrap()
    }

    #[test]
    fn each_expectation_counts_the_rows_that_do_not_fulfil_it() {
        let between = |low, high| Expectation::Between {
            column: "v".into(),
            low,
            high,
        };
        let unique = |columns: &[&str]| Expectation::Unique(columns.iter().map(|name| (*name).to_owned()).collect());
        for (expectation, failed) in [
            (Expectation::NotNull("w".into()), None),
            (
                Expectation::NotNull("n".into()),
                Some("1 of 8 rows do not fulfil NOT NULL n"),
            ),
            // NaN is in no range.
            (between(0.0, 100.0), Some("2 of 8")),
            (between(1.0, 100.0), Some("4 of 8")),
            (unique(&["w"]), Some("6 of 8")),
            // Nothing is like no other nothing.
            (unique(&["n", "w"]), Some("4 of 8")),
        ] {
            let batch = rows();
            let all = match &expectation {
                Expectation::NotNull(column) if column == "n" => {
                    vec![batch.clone(), batch.slice(0, 2), batch.slice(0, 2)]
                }
                _ => vec![batch.clone(), batch.clone()],
            };
            let told = check(std::slice::from_ref(&expectation), &batch.schema(), &all);
            match failed {
                None => told.unwrap(),
                Some(says) => {
                    let error = told.unwrap_err().to_string();
                    assert!(error.contains(says), "{expectation}: {error}");
                }
            }
        }
        for wrong in [
            Expectation::NotNull("nope".into()),
            Expectation::Between {
                column: "w".into(),
                low: 0.0,
                high: 1.0,
            },
        ] {
            assert!(check(&[wrong], &rows().schema(), &[rows()]).is_err());
        }
    }
}
