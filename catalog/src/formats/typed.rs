//! Batches of formats that carry their own types (Parquet, Avro, Arrow), brought to the types of our tables within the
//! limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::formats::confidence::Confidence;
use crate::formats::keys::UNIT_KEY;
use crate::formats::{Block, Limits, Parsed, ReadError, header, normalise};

/// Rows of one batch: a stream of small steps instead of one large one.
pub(super) const BATCH_ROWS: usize = 32_768;

/// A table on its way from such a file.
#[derive(Debug)]
pub(super) struct Typed<'l> {
    format: &'static str,
    names: Vec<String>,
    types: Vec<DataType>,
    schema: SchemaRef,
    limits: &'l Limits,
    batches: Vec<RecordBatch>,
    rows: usize,
    decoded_bytes: u64,
    /// Columns that are text because of their types or values.
    confidence: Confidence,
}

impl<'l> Typed<'l> {
    /// # Errors
    /// `ColumnType` for a type that no table holds, `NoDataRows` without columns, `TooLarge` for too many of them.
    pub(super) fn new(format: &'static str, schema: &Schema, limits: &'l Limits) -> Result<Self, ReadError> {
        check(
            "the number of columns",
            schema.fields().len() as u64,
            limits.columns_max as u64,
        )?;
        let names = header::names(schema.fields().iter().map(|field| field.name().as_str()));
        let types = names
            .iter()
            .zip(schema.fields())
            .map(|(name, field)| normalise::target(name, field.data_type(), limits.nesting_max))
            .collect::<Result<Vec<_>, _>>()?;
        if types.is_empty() {
            return Err(ReadError::NoDataRows {
                seen: format!("{format} without columns"),
            });
        }
        let mut confidence = Confidence::default();
        let fields = names
            .iter()
            .zip(&types)
            .zip(schema.fields())
            .map(|((name, kind), own)| {
                let field = Field::new(name, kind.clone(), true);
                match own.data_type() {
                    DataType::Duration(_) => field.with_metadata([(UNIT_KEY.to_owned(), "s".to_owned())].into()),
                    own if normalise::is_text(own) => {
                        confidence.doubt(0.95, format!("{name:?} read as text: no table holds {own}"));
                        field
                    }
                    _ => field,
                }
            });
        let fields: Vec<Field> = fields.collect();
        Ok(Self {
            format,
            names,
            types,
            schema: Arc::new(Schema::new(fields)),
            limits,
            batches: Vec::new(),
            rows: 0,
            decoded_bytes: 0,
            confidence,
        })
    }

    /// # Errors
    /// `TooLarge` beyond the limits, `ColumnType` for a value that cannot even be text.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), ReadError> {
        self.decoded_bytes = self.decoded_bytes.saturating_add(batch.get_array_memory_size() as u64);
        check(
            "the decoded content in bytes",
            self.decoded_bytes,
            self.limits.decompressed_bytes_max,
        )?;
        self.rows = self.rows.saturating_add(batch.num_rows());
        check("the number of rows", self.rows as u64, self.limits.rows_max as u64)?;
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (at, array) in batch.columns().iter().enumerate() {
            columns.push(self.column(at, array)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| ReadError::Damaged {
            format: self.format,
            why: error.to_string(),
        })?;
        self.batches.push(batch);
        Ok(())
    }

    /// One column of a batch. Where its type does not hold a value, such as an unsigned number beyond i64, the column is text
    /// from its first row on.
    fn column(&mut self, at: usize, array: &ArrayRef) -> Result<ArrayRef, ReadError> {
        let (Some(name), Some(kind)) = (self.names.get(at), self.types.get_mut(at)) else {
            return Ok(Arc::clone(array));
        };
        let why = match normalise::array(name, array, kind) {
            Err(ReadError::ColumnType { why, .. }) if !array.data_type().is_nested() => why,
            done => return done,
        };
        *kind = DataType::Utf8;
        self.confidence.doubt(0.95, format!("{name:?} read as text: {why}"));
        let retyped = |(place, field): (usize, &FieldRef)| match place == at {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        };
        let fields: Vec<FieldRef> = self.schema.fields().iter().enumerate().map(retyped).collect();
        self.schema = Arc::new(Schema::new(fields));
        for batch in &mut self.batches {
            let mut columns = batch.columns().to_vec();
            if let Some(column) = columns.get_mut(at) {
                *column = normalise::texts(name, column)?;
            }
            *batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| ReadError::Damaged {
                format: self.format,
                why: error.to_string(),
            })?;
        }
        normalise::texts(name, array)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    /// # Errors
    /// `NoDataRows` when nothing was pushed.
    pub(super) fn finish(self, taken_for: String, properties: BTreeMap<String, String>) -> Result<Parsed, ReadError> {
        if self.rows == 0 {
            return Err(ReadError::NoDataRows {
                seen: format!("{} of {} columns without rows", self.format, self.names.len()),
            });
        }
        Ok(Parsed {
            taken_for,
            blocks: vec![Block {
                name: None,
                batches: self.batches,
                first_row: 1,
            }],
            properties,
            confidence: self.confidence,
        })
    }
}

/// # Errors
/// `TooLarge` when `seen` is more than `max`.
pub(super) fn check(what: &'static str, seen: u64, max: u64) -> Result<(), ReadError> {
    if seen > max {
        return Err(ReadError::TooLarge {
            what,
            seen: seen.to_string(),
            max,
        });
    }
    Ok(())
}
