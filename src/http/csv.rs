//! Rows as CSV (RFC 4180, UTF-8, one line of names): nothing is an empty cell, an empty text a quoted one, lists and
//! structs are JSON.
//!
//! For a spreadsheet every text that it would take for a formula gets an apostrophe in front: a plate named
//! `=HYPERLINK(…)` must not act on the desk of whoever opens the file. For programs texts stay as they are.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder};
use arrow::util::display::ArrayFormatter;

use super::json::{columns, options, write_cell};

/// Makes CSV of batches.
pub(super) struct Csv {
    opening: Option<Vec<u8>>,
    spreadsheet: bool,
    options: EncoderOptions,
}

/// A column's values as texts.
enum Cells<'a> {
    Text(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
    Plain(ArrayFormatter<'a>),
}

impl Csv {
    pub(super) fn new(schema: &Schema, spreadsheet: bool) -> Self {
        let mut opening = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            comma(at, &mut opening);
            write_text(field.name(), spreadsheet, &mut opening);
        }
        opening.extend(b"\r\n");
        Self {
            opening: Some(opening),
            spreadsheet,
            options: options(),
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut out = self.opening.take().unwrap_or_default();
        let schema = batch.schema();
        let mut columns = columns(&schema, batch, &self.options, |values, text, json| {
            Ok(match values.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Cells::Text(text),
                kind if kind.is_nested() => Cells::Nested(json),
                _ => Cells::Plain(text),
            })
        })?;
        for row in 0..batch.num_rows() {
            for (at, (column, values)) in columns.iter_mut().zip(batch.columns()).enumerate() {
                comma(at, &mut out);
                if values.is_null(row) {
                    continue;
                }
                match column {
                    Cells::Text(texts) => write_text(&texts.value(row).to_string(), self.spreadsheet, &mut out),
                    Cells::Plain(values) => write_quoted(&values.value(row).to_string(), &mut out),
                    Cells::Nested(values) => {
                        let mut json = Vec::new();
                        write_cell(values, row, &mut json);
                        write_quoted(&String::from_utf8_lossy(&json), &mut out);
                    }
                }
            }
            out.extend(b"\r\n");
        }
        Ok(out)
    }

    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.opening.take().unwrap_or_default()
    }
}

fn comma(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, spreadsheet: bool, out: &mut Vec<u8>) {
    if spreadsheet && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        write_quoted(&format!("'{text}"), out);
    } else {
        write_quoted(text, out);
    }
}

fn write_quoted(text: &str, out: &mut Vec<u8>) {
    let needs_quotes = text.is_empty() || text.contains(['"', ',', '\r', '\n']) || text != text.trim();
    if needs_quotes {
        out.push(b'"');
        out.extend(text.replace('"', "\"\"").bytes());
        out.push(b'"');
    } else {
        out.extend(text.bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    fn csv(texts: &[Option<&str>], spreadsheet: bool) -> String {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![-1.5; texts.len()]));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("=name", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef, true),
            ("x", numbers, true),
        ])
        .unwrap();
        let mut csv = Csv::new(&batch.schema(), spreadsheet);
        let pieces = [csv.batch(&batch).unwrap(), csv.finish()];
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn nothing_and_an_empty_text_differ_and_quotes_are_doubled() {
        let text = csv(&[None, Some(""), Some("a,\"b\""), Some("plain")], false);
        assert_eq!(
            text,
            "=name,x\r\n,-1.5\r\n\"\",-1.5\r\n\"a,\"\"b\"\"\",-1.5\r\nplain,-1.5\r\n"
        );
    }

    #[test]
    fn formulas_are_texts_in_a_spreadsheet_and_untouched_for_programs() {
        let evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"];
        let cells: Vec<_> = evil.iter().map(|text| Some(*text)).collect();
        let read = |text: &str| {
            let mut reader = ::csv::Reader::from_reader(text.as_bytes());
            let names = reader.headers().unwrap().clone();
            let rows: Vec<_> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
            (names[0].to_owned(), rows)
        };
        let (name, rows) = read(&csv(&cells, true));
        assert_eq!(name, "'=name");
        assert!(rows.iter().all(|cell| cell.starts_with('\'')), "{rows:?}");
        assert_eq!(rows.iter().map(|cell| &cell[1..]).collect::<Vec<_>>(), evil);
        assert_eq!(read(&csv(&cells, false)).1, evil);
        assert!(csv(&cells, true).contains(",-1.5\r\n"), "numbers stay numbers");
    }
}
