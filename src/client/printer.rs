//! Rows as text: aligned columns, CSV or JSON.

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;

/// Rows a table shows: its columns can only be aligned when all of them are there, and nobody reads more.
pub(super) const TABLE_ROWS_MAX: usize = 10_000;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Aligned columns, for people; the first 10,000 rows
    Table,
    /// Comma-separated values with a header, as they come
    Csv,
    /// One JSON object a line, as they come
    Json,
}

/// Turns batches into text: what streams at once, what is aligned at the end.
pub(super) struct Printer {
    format: Format,
    schema: Option<SchemaRef>,
    kept: Vec<RecordBatch>,
    seen_rows: usize,
    has_header: bool,
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            schema: None,
            kept: Vec::new(),
            seen_rows: 0,
            has_header: false,
        }
    }

    pub(super) fn saw(&mut self, schema: &SchemaRef) {
        self.schema.get_or_insert_with(|| SchemaRef::clone(schema));
    }

    /// Whether there are more rows than a table shows.
    pub(super) fn is_full(&self) -> bool {
        self.format == Format::Table && self.seen_rows > TABLE_ROWS_MAX
    }

    pub(super) fn take(&mut self, batch: RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.saw(&batch.schema());
        match self.format {
            Format::Table => {
                let room = TABLE_ROWS_MAX.saturating_sub(self.seen_rows);
                self.seen_rows += batch.num_rows();
                self.kept.push(batch.slice(0, batch.num_rows().min(room)));
                Ok(Vec::new())
            }
            Format::Csv => self.csv(&batch),
            Format::Json => json(&batch),
        }
    }

    pub(super) fn end(&mut self) -> Result<Vec<u8>, ArrowError> {
        let schema = self.schema.clone().unwrap_or_else(|| Schema::empty().into());
        match self.format {
            Format::Table => {
                if self.kept.is_empty() {
                    self.kept.push(RecordBatch::new_empty(schema));
                }
                Ok(format!("{}\n", pretty_format_batches(&self.kept)?).into_bytes())
            }
            Format::Csv if !self.has_header => self.csv(&RecordBatch::new_empty(schema)),
            Format::Csv | Format::Json => Ok(Vec::new()),
        }
    }

    fn csv(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut text = Vec::new();
        arrow::csv::WriterBuilder::new()
            .with_header(!self.has_header)
            .build(&mut text)
            .write(&with_nested_as_text(batch)?)?;
        self.has_header = true;
        Ok(text)
    }
}

fn json(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// CSV has no nested values: they are written as a table shows them.
fn with_nested_as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut columns: Vec<(Field, ArrayRef)> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !column.data_type().is_nested() {
            columns.push((Field::clone(field), ArrayRef::clone(column)));
            continue;
        }
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let texts = (0..column.len()).map(|row| {
            (!column.is_null(row))
                .then(|| formatter.value(row).try_to_string())
                .transpose()
        });
        let texts: StringArray = texts.collect::<Result<Vec<_>, _>>()?.into();
        columns.push((
            Field::new(field.name(), DataType::Utf8, true),
            std::sync::Arc::new(texts),
        ));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(std::sync::Arc::new(Schema::new(fields)), arrays, &rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::array::ListArray;
    use arrow::array::types::Int64Type;

    use super::*;

    fn numbers(rows: std::ops::Range<i64>) -> RecordBatch {
        let lists = rows.clone().map(|n| (n % 2 == 0).then(|| vec![Some(n), None]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let number: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        RecordBatch::try_from_iter([("n", number), ("list", Arc::new(lists) as ArrayRef)]).unwrap()
    }

    fn printed(format: Format, batches: &[RecordBatch], schema: &SchemaRef) -> String {
        let mut printer = Printer::new(format);
        printer.saw(schema);
        let mut text = Vec::new();
        for batch in batches {
            text.extend(printer.take(batch.clone()).unwrap());
        }
        text.extend(printer.end().unwrap());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn csv_has_one_header_and_nested_values_as_text() {
        let batch = numbers(0..2);
        let text = printed(Format::Csv, &[batch.clone(), numbers(2..3)], &batch.schema());
        assert_eq!(text, "n,list\n0,\"[0, ]\"\n1,\n2,\"[2, ]\"\n");
        assert_eq!(printed(Format::Csv, &[], &batch.schema()), "n,list\n");
    }

    #[test]
    fn json_is_one_object_a_line_with_nulls() {
        let batch = numbers(0..2);
        let text = printed(Format::Json, std::slice::from_ref(&batch), &batch.schema());
        assert_eq!(text, "{\"n\":0,\"list\":[0,null]}\n{\"n\":1,\"list\":null}\n");
    }

    #[test]
    fn a_table_stops_at_its_limit_and_an_empty_one_shows_its_columns() {
        let mut printer = Printer::new(Format::Table);
        printer.take(numbers(0..10_000)).unwrap();
        assert!(!printer.is_full());
        printer.take(numbers(0..50)).unwrap();
        assert!(printer.is_full());
        assert_eq!(
            printer.kept.iter().map(RecordBatch::num_rows).sum::<usize>(),
            TABLE_ROWS_MAX
        );
        assert!(printed(Format::Table, &[], &numbers(0..1).schema()).contains("| n | list |"));
    }
}
