//! One encoder for each format, and the compression around it. Pure: batches in, bytes out.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer::Wish;
use super::ask::Format;
use super::csv::Csv;
use super::json::Json;
use super::xlsx::Xlsx;
use crate::query::QueryError;

/// Bytes made of a result, piece by piece.
pub(super) enum Encoder {
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Json(Json),
    Csv(Csv),
    Xlsx(Box<Xlsx>),
}

impl Encoder {
    pub(super) fn new(wish: Wish, schema: &SchemaRef) -> Result<Self, QueryError> {
        Ok(match wish.format {
            // Without compression of its buffers, which no reader in a browser knows; HTTP compresses the whole.
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema).map_err(failed)?)),
            Format::Json => Self::Json(Json::new(schema)),
            Format::Csv => Self::Csv(Csv::new(schema, wish.spreadsheet)),
            Format::Xlsx => Self::Xlsx(Box::new(Xlsx::new(schema)?)),
        })
    }

    /// The bytes of a batch, after whatever opens the format.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        match self {
            Self::Arrow(writer) => {
                writer.write(batch).map_err(failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Self::Json(json) => json.batch(batch).map_err(failed),
            Self::Csv(csv) => csv.batch(batch).map_err(failed),
            Self::Xlsx(xlsx) => xlsx.batch(batch),
        }
    }

    /// What closes the format. `is_cut` when there would have been more rows.
    pub(super) fn finish(&mut self, is_cut: bool) -> Result<Vec<u8>, QueryError> {
        match self {
            Self::Arrow(writer) => {
                writer.finish().map_err(failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Self::Json(json) => Ok(json.finish(is_cut, None)),
            Self::Csv(csv) => Ok(csv.finish()),
            Self::Xlsx(xlsx) => xlsx.finish(is_cut),
        }
    }

    /// What closes the format after an error; none where it has no word for one.
    pub(super) fn fail(&mut self, error: &QueryError) -> Option<Vec<u8>> {
        match self {
            Self::Json(json) => Some(json.finish(true, Some(error))),
            Self::Arrow(_) | Self::Csv(_) | Self::Xlsx(_) => None,
        }
    }
}

pub(super) fn failed(error: ArrowError) -> QueryError {
    match error {
        ArrowError::NotYetImplemented(text) => QueryError::Unsupported(format!(
            "{text}: this format cannot carry a column of this type; CAST it to VARCHAR or ask for arrow"
        )),
        other => QueryError::internal(other),
    }
}

/// The name of a type as SQL people read it.
pub(super) fn types(schema: &Schema) -> Vec<(String, String)> {
    let fields = schema.fields().iter();
    fields
        .map(|field| (field.name().clone(), field.data_type().to_string()))
        .collect()
}

/// A gzip stream of which every piece can be read when it comes.
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    /// The fastest level: rows are made as fast as they are squeezed.
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// The densest level, for what is squeezed once and sent often.
    pub(super) fn best() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::best()))
    }

    pub(super) fn squeeze(&mut self, bytes: &[u8], is_last: bool) -> Vec<u8> {
        // Writing to memory does not fail.
        let _ = self.0.write_all(bytes);
        let _ = if is_last { self.0.try_finish() } else { self.0.flush() };
        std::mem::take(self.0.get_mut())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_of_gzip_are_one_stream_and_each_is_readable_when_it_comes() {
        let mut gzip = Gzip::new();
        let first = gzip.squeeze(b"rows, ", false);
        let mut early = [0; 6];
        flate2::read::GzDecoder::new(first.as_slice())
            .read_exact(&mut early)
            .unwrap();
        assert_eq!(&early, b"rows, ");
        let all = [first, gzip.squeeze(b"more", true)].concat();
        let mut text = String::new();
        flate2::read::GzDecoder::new(all.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "rows, more");
    }
}
