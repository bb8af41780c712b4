//! Rows as JSON: `{"columns":[{"name","type"}],"rows":[[…],…],"row_count":n,"is_cut":false}`.
//!
//! Rows are lists, not objects: two columns may have one name, and a name said once is said once. After an error amid
//! the rows the object ends with `"error"`.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::json;

use super::encode::types;
use super::refusal::Told;
use crate::query::QueryError;

/// Makes JSON of batches.
pub(super) struct Json {
    opening: Option<Vec<u8>>,
    rows: u64,
    options: EncoderOptions,
}

impl Json {
    pub(super) fn new(schema: &Schema) -> Self {
        let columns: Vec<_> = types(schema)
            .into_iter()
            .map(|(name, data_type)| json!({"name": name, "type": data_type}))
            .collect();
        let opening = format!("{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns));
        Self {
            opening: Some(opening.into_bytes()),
            rows: 0,
            options: options(),
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut out = self.opening.take().unwrap_or_default();
        let schema = batch.schema();
        let mut columns = cells(schema.fields(), batch, &self.options)?;
        for row in 0..batch.num_rows() {
            if self.rows > 0 {
                out.push(b',');
            }
            self.rows += 1;
            out.extend(b"\n[");
            for (at, column) in columns.iter_mut().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_cell(column, row, &mut out);
            }
            out.push(b']');
        }
        Ok(out)
    }

    pub(super) fn finish(&mut self, is_cut: bool, error: Option<&QueryError>) -> Vec<u8> {
        let mut out = self.opening.take().unwrap_or_default();
        out.extend(format!("\n],\"row_count\":{},\"is_cut\":{is_cut}", self.rows).bytes());
        if let Some(error) = error {
            let message = error.to_string();
            let told = Told {
                code: error.word(),
                message: &message,
            };
            out.extend(format!(",\"error\":{}", json!(told)).bytes());
        }
        out.extend(b"}\n");
        out
    }
}

/// How values are written; fields of structs stay when they are null.
pub(super) fn options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true)
}

/// A writer for each column of a batch.
fn cells<'a>(
    fields: &'a [FieldRef],
    batch: &'a RecordBatch,
    options: &'a EncoderOptions,
) -> Result<Vec<NullableEncoder<'a>>, ArrowError> {
    let columns = fields.iter().zip(batch.columns());
    columns
        .map(|(field, column)| make_encoder(field, column.as_ref(), options))
        .collect()
}

/// Each column of a batch as a format has it, made of its values, what writes them as text, and what writes them as JSON.
pub(super) fn columns<'a, T>(
    schema: &'a Schema,
    batch: &'a RecordBatch,
    options: &'a EncoderOptions,
    made: impl Fn(&'a ArrayRef, ArrayFormatter<'a>, NullableEncoder<'a>) -> Result<T, ArrowError>,
) -> Result<Vec<T>, ArrowError> {
    const FORMAT: FormatOptions<'_> = FormatOptions::new();
    let encoders = cells(schema.fields(), batch, options)?;
    let columns = batch.columns().iter().zip(encoders);
    columns
        .map(|(values, json)| made(values, ArrayFormatter::try_new(values.as_ref(), &FORMAT)?, json))
        .collect()
}

/// One value as JSON. NaN and the infinities, which JSON lacks, are null.
pub(super) fn write_cell(column: &mut NullableEncoder<'_>, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.extend(b"null");
    } else {
        column.encode(row, out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef, true),
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, 0.5])) as ArrayRef, true),
            (
                "t",
                Arc::new(StringArray::from(vec!["a\"b", "</script>"])) as ArrayRef,
                true,
            ),
        ])
        .unwrap()
    }

    fn read(pieces: &[Vec<u8>]) -> serde_json::Value {
        serde_json::from_slice(&pieces.concat()).unwrap()
    }

    #[test]
    fn rows_of_several_batches_are_one_list() {
        let mut json = Json::new(&batch().schema());
        let pieces = [
            json.batch(&batch()).unwrap(),
            json.batch(&batch().slice(0, 0)).unwrap(),
            json.batch(&batch().slice(1, 1)).unwrap(),
            json.finish(false, None),
        ];
        let read = read(&pieces);
        assert_eq!(
            read["rows"],
            json!([[1, null, "a\"b"], [null, 0.5, "</script>"], [null, 0.5, "</script>"]])
        );
        assert_eq!(read["columns"][0], json!({"name": "n", "type": "Int64"}));
        assert_eq!((&read["row_count"], &read["is_cut"]), (&json!(3), &json!(false)));
    }

    #[test]
    fn no_rows_and_an_error_amid_them_are_still_json() {
        let mut json = Json::new(&batch().schema());
        assert_eq!(read(&[json.finish(false, None)])["rows"], json!([]));
        let mut json = Json::new(&batch().schema());
        let error = QueryError::Deadline("late".into());
        let pieces = [json.batch(&batch()).unwrap(), json.finish(true, Some(&error))];
        assert_eq!(read(&pieces)["error"], json!({"code": "deadline", "message": "late"}));
    }
}
