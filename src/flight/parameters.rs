//! Values bound to a prepared statement: from Arrow columns to the scalars of each run.
//!
//! One row is one run of the statement. Values go to the engine in the type they were bound with: it coerces them as it
//! does literals, while a cast here could change what the client meant.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::FlightData;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datafusion::scalar::ScalarValue;
use futures::Stream;
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::bindings::Bindings;
use super::bodies::Bodies;
use super::{size, status};
use crate::query::narrow::{narrow_batch, narrow_schema};

/// Rows of one binding: each is one run of the statement.
const ROWS_MAX: usize = 10_000;
/// Bytes of one binding.
const BYTES_MAX: usize = 8 << 20;
/// Bytes that travel inside a handle. A FlightInfo holds the handle and a ticket made of it, and clients take 4 MiB.
const INLINE_BYTES_MAX: usize = 512 << 10;

/// Bound values: a column for each parameter, a row for each run. Never without a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters(RecordBatch);

/// Bound values inside a sealed word, or the name they are kept under (see `bindings`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Bound {
    Inline(String),
    Kept(String),
}

impl Parameters {
    /// Reads the parameters that follow a DoPut's descriptor; `None` when the client sent none.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the stream is no Arrow, RESOURCE_EXHAUSTED when it is too large.
    pub(super) async fn receive(
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<Option<Self>, Status> {
        let mut batches = Bodies::new(messages);
        let mut received: Vec<RecordBatch> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(unreadable)?;
            let batch = narrow_batch(&batch, &finest(&narrow_schema(batch.schema_ref()))).map_err(unreadable)?;
            rows += batch.num_rows();
            bytes += size::of_rows(&batch);
            if rows > ROWS_MAX || bytes > BYTES_MAX {
                return Err(Status::resource_exhausted(format!(
                    "more than {ROWS_MAX} rows or {} MiB of parameters were bound to one statement; load them as a file or an INSERT … VALUES and join",
                    BYTES_MAX >> 20
                )));
            }
            received.push(batch);
        }
        let Some(schema) = received
            .first()
            .map(RecordBatch::schema)
            .or_else(|| batches.schema().map(|schema| finest(&narrow_schema(schema))))
        else {
            return Ok(None);
        };
        if schema.fields().is_empty() {
            return Ok(None);
        }
        concat_batches(&schema, &received)
            .map(|batch| Some(Self(batch)))
            .map_err(unreadable)
    }

    /// The values of the first run; none when no row is bound.
    pub(super) fn first(&self) -> Result<Option<Vec<ScalarValue>>, Status> {
        (self.0.num_rows() > 0).then(|| self.values(0)).transpose()
    }

    /// How many runs there are.
    pub(super) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    /// The values of all runs, a column for each parameter.
    pub(super) fn values_of_all(&self) -> &RecordBatch {
        &self.0
    }

    /// One list of values for each run.
    pub(super) fn runs(&self) -> Result<Vec<Vec<ScalarValue>>, Status> {
        (0..self.0.num_rows()).map(|row| self.values(row)).collect()
    }

    fn values(&self, row: usize) -> Result<Vec<ScalarValue>, Status> {
        let values = self
            .0
            .columns()
            .iter()
            .map(|column| ScalarValue::try_from_array(column, row));
        values.collect::<Result<_, _>>().map_err(unreadable)
    }

    /// Refuses a binding that is not one value for each parameter.
    pub(super) fn check_count(bound: Option<&Self>, needed: usize) -> Result<(), Status> {
        match bound.map_or(0, |parameters| parameters.0.num_columns()) {
            columns if columns == needed => Ok(()),
            0 => Err(Status::invalid_argument(format!(
                "the statement has {needed} parameter(s) and none is bound; bind one value for each before running it"
            ))),
            columns => Err(Status::invalid_argument(format!(
                "the statement has {needed} parameter(s), {columns} were bound; bind one column for each, in their order"
            ))),
        }
    }

    /// Bytes of the values: columns that came in one message share its memory, which must not be counted for each of them.
    pub(super) fn bytes(&self) -> usize {
        size::of_rows(&self.0)
    }

    /// For a sealed word: the values themselves, or where they are kept for their owner when they are many.
    pub(super) fn bound(&self, bindings: &Bindings, owner: &str) -> Result<Bound, Status> {
        if self.bytes() > INLINE_BYTES_MAX {
            return Ok(Bound::Kept(bindings.keep_new(owner, self.clone())));
        }
        let mut writer = StreamWriter::try_new(Vec::new(), self.0.schema_ref()).map_err(status::internal)?;
        writer.write(&self.0).map_err(status::internal)?;
        let bytes = writer.into_inner().map_err(status::internal)?;
        Ok(Bound::Inline(STANDARD_NO_PAD.encode(bytes)))
    }
}

#[cfg(test)]
impl From<RecordBatch> for Parameters {
    fn from(batch: RecordBatch) -> Self {
        Self(batch)
    }
}

impl Bound {
    /// The values again.
    ///
    /// # Errors
    /// ABORTED when they were kept on the server and are gone.
    pub(super) fn load(&self, bindings: &Bindings) -> Result<Parameters, Status> {
        match self {
            Self::Kept(name) => bindings.of(name).ok_or_else(|| {
                Status::aborted("the bound parameters are no longer kept by the server; bind them again and run")
            }),
            Self::Inline(text) => {
                // It was sealed by us: what does not read is our own mistake.
                let bytes = STANDARD_NO_PAD.decode(text).map_err(status::internal)?;
                let mut reader = StreamReader::try_new(bytes.as_slice(), None).map_err(status::internal)?;
                let batch = reader
                    .next()
                    .ok_or_else(|| status::internal("a sealed binding without a batch"))?;
                batch.map(Parameters).map_err(status::internal)
            }
        }
    }
}

/// Times of the day in the unit in which the engine has them, whatever they were bound in.
fn finest(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Time32(_) => Field::clone(field).with_data_type(DataType::Time64(TimeUnit::Nanosecond)),
        _ => Field::clone(field),
    });
    std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The announced parameters: `needed` fields `$1`, `$2`, …, of the inferred types or text where none was. Times are
/// announced in milliseconds: JDBC's driver (to 19) writes those whatever unit it is told.
pub(super) fn parameter_schema(inferred: &Schema, needed: usize) -> SchemaRef {
    let fields = (0..needed).map(|at| {
        let known = inferred
            .field_with_name(&name(at))
            .map(|field| match field.data_type() {
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
                // JDBC's driver refuses whatever is bound to one of no type; a text is brought to the type of its place.
                DataType::Null => DataType::Utf8,
                DataType::Time32(_) | DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
                other => other.clone(),
            });
        // Nullable always: JDBC cannot bind a null otherwise.
        Field::new(name(at), known.unwrap_or(DataType::Utf8), true)
    });
    std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn name(at: usize) -> String {
    format!("${}", at + 1)
}

fn unreadable(error: impl std::fmt::Display) -> Status {
    status::malformed("the bound parameters", error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Int64Array, StringArray, Time32MillisecondArray, Time32SecondArray, Time64NanosecondArray,
    };
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::{StreamExt, TryStreamExt, stream};
    use tonic::Code;

    use super::*;

    fn parameters(columns: Vec<ArrayRef>) -> Parameters {
        let named = columns
            .into_iter()
            .enumerate()
            .map(|(at, column)| (name(at), column, true));
        Parameters(RecordBatch::try_from_iter_with_nullable(named).unwrap())
    }

    fn inferred(types: &[DataType]) -> Schema {
        Schema::new(
            types
                .iter()
                .enumerate()
                .map(|(at, t)| Field::new(name(at), t.clone(), true))
                .collect::<Vec<_>>(),
        )
    }

    async fn receive(batches: Vec<RecordBatch>) -> Result<Option<Parameters>, Status> {
        let alone = FlightData::default();
        let encoded = FlightDataEncoderBuilder::new().build(stream::iter(batches.into_iter().map(Ok)));
        let messages = stream::iter([Ok(alone)]).chain(encoded.map_err(Status::from));
        Parameters::receive(messages).await
    }

    #[tokio::test]
    async fn several_batches_become_runs_and_a_lone_descriptor_is_no_binding() {
        let one = parameters(vec![
            Arc::new(Int64Array::from(vec![1, 2])),
            Arc::new(StringArray::from(vec!["a", "b"])),
        ])
        .0;
        let runs = receive(vec![one.clone(), one]).await.unwrap().unwrap().runs().unwrap();
        assert_eq!(runs.len(), 4);
        assert_eq!(runs[1], [ScalarValue::from(2_i64), ScalarValue::from("b")]);
        assert_eq!(receive(Vec::new()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_time_of_the_day_is_the_same_in_whatever_unit_it_is_bound() {
        let wanted = ScalarValue::Time64Nanosecond(Some(3_723_000_000_000));
        let columns: [ArrayRef; 3] = [
            Arc::new(Time32SecondArray::from(vec![3_723])),
            Arc::new(Time32MillisecondArray::from(vec![3_723_000])),
            Arc::new(Time64NanosecondArray::from(vec![3_723_000_000_000])),
        ];
        for column in columns {
            let bound = receive(vec![parameters(vec![column]).0]).await.unwrap().unwrap();
            assert_eq!(bound.first().unwrap().unwrap(), std::slice::from_ref(&wanted));
        }
    }

    #[tokio::test]
    async fn floods_and_noise_are_refused() {
        let many = parameters(vec![Arc::new(Int64Array::from_iter_values(0..=10_000))]).0;
        assert_eq!(receive(vec![many]).await.unwrap_err().code(), Code::ResourceExhausted);
        let noise = FlightData::new().with_data_header(vec![1, 2, 3]);
        let error = Parameters::receive(stream::iter([Ok(noise)])).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }

    #[test]
    fn sealed_values_come_back_whatever_their_size() {
        let bindings = Bindings::default();
        for bytes in [10, 1 << 20] {
            let bound = parameters(vec![Arc::new(StringArray::from(vec!["x".repeat(bytes)]))]);
            assert_eq!(bound.bound(&bindings, "ana").unwrap().load(&bindings).unwrap(), bound);
        }
        let gone = Bound::Kept("gone".into()).load(&bindings);
        assert_eq!(gone.unwrap_err().code(), Code::Aborted);
    }

    #[test]
    fn the_number_of_values_must_be_right() {
        let one = parameters(vec![Arc::new(Int64Array::from(vec![1]))]);
        assert!(Parameters::check_count(Some(&one), 1).is_ok() && Parameters::check_count(None, 0).is_ok());
        for wrong in [
            Parameters::check_count(None, 1),
            Parameters::check_count(Some(&one), 0),
            Parameters::check_count(Some(&one), 2),
        ] {
            assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn unknown_types_are_announced_as_text() {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let of_day = DataType::Time64(TimeUnit::Nanosecond);
        let schema = parameter_schema(&inferred(&[of_day]), 1);
        assert_eq!(schema.field(0).data_type(), &DataType::Time32(TimeUnit::Millisecond));
        let schema = parameter_schema(&inferred(&[DataType::Int64, time]), 3);
        assert_eq!(schema.field(0).data_type(), &DataType::Int64);
        assert_eq!(
            schema.field(1).data_type(),
            &DataType::Timestamp(TimeUnit::Millisecond, None)
        );
        assert_eq!(
            (schema.field(2).name().as_str(), schema.field(2).data_type()),
            ("$3", &DataType::Utf8)
        );
    }
}
