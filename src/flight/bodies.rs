//! Arrow that a client sends, read so that one who sends something else hears it.
//!
//! The decoder trusts what a message says of its own body: lengths and places of buffers that are not there make it panic.
//! They are checked before it reads them, and whatever it still stumbles over is an error of this call.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::{RecordBatch as Header, root_as_message};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tonic::Status;

/// The batches that follow a DoPut's descriptor.
pub(super) struct Bodies {
    stream: FlightRecordBatchStream,
    is_broken: bool,
}

impl Bodies {
    pub(super) fn new(messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static) -> Self {
        // A descriptor may come alone; the decoder wants the schema first.
        let messages = messages
            .try_filter(|message| futures::future::ready(!message.data_header.is_empty()))
            .map_err(FlightError::from)
            .and_then(|message| futures::future::ready(whole(&message).map(|()| message)));
        Self {
            stream: FlightRecordBatchStream::new_from_flight_data(messages.boxed()),
            is_broken: false,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<RecordBatch, FlightError>> {
        if self.is_broken {
            return None;
        }
        let next = AssertUnwindSafe(self.stream.next()).catch_unwind().await;
        next.unwrap_or_else(|_panic| {
            self.is_broken = true;
            Some(Err(broken("its values are not what its header says")))
        })
    }

    pub(super) fn schema(&self) -> Option<&SchemaRef> {
        self.stream.schema()
    }
}

fn broken(what: &str) -> FlightError {
    FlightError::DecodeError(format!("a message is no Arrow: {what}"))
}

/// Whether a message has the body that its header speaks of.
fn whole(message: &FlightData) -> Result<(), FlightError> {
    let header = root_as_message(&message.data_header).map_err(|error| broken(&error.to_string()))?;
    let body = message.data_body.len();
    let dictionary = header
        .header_as_dictionary_batch()
        .and_then(|dictionary| dictionary.data());
    match header.header_as_record_batch().or(dictionary) {
        Some(batch) if !fits(&batch, body) => Err(broken("its body is shorter than its header says")),
        Some(_) | None => Ok(()),
    }
}

fn fits(batch: &Header<'_>, body: usize) -> bool {
    let is_inside = |offset: i64, length: i64| {
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        offset >= 0 && length >= 0 && end.is_some_and(|end| end <= body)
    };
    let mut buffers = batch.buffers().into_iter().flatten();
    let mut nodes = batch.nodes().into_iter().flatten();
    batch.length() >= 0
        && buffers.all(|buffer| is_inside(buffer.offset(), buffer.length()))
        && nodes.all(|node| node.length() >= 0 && (0..=node.length()).contains(&node.null_count()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::stream;

    use super::*;

    async fn messages() -> Vec<FlightData> {
        let columns: [(&str, ArrayRef); 2] = [
            ("a", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("b", Arc::new(StringArray::from(vec!["x", "yy", "zzz"]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let encoded = FlightDataEncoderBuilder::new().build(stream::iter([Ok(batch)]));
        encoded.try_collect().await.unwrap()
    }

    async fn read(messages: Vec<FlightData>) -> Result<usize, FlightError> {
        let mut bodies = Bodies::new(stream::iter(messages.into_iter().map(Ok)));
        let mut rows = 0;
        while let Some(batch) = bodies.next().await {
            rows += batch?.num_rows();
        }
        Ok(rows)
    }

    #[tokio::test]
    async fn a_whole_message_is_read_and_a_cut_one_is_an_error() {
        assert_eq!(read(messages().await).await.unwrap(), 3);
        for keep in [0, 1, 8, 63] {
            let mut cut = messages().await;
            let last = cut.last_mut().unwrap();
            last.data_body = last.data_body.slice(..keep.min(last.data_body.len()));
            let refused = read(cut).await.unwrap_err().to_string();
            assert!(refused.contains("body"), "{keep}: {refused}");
        }
    }

    /// Whatever byte is another: an answer, and no panic that leaves the stream.
    #[tokio::test]
    async fn no_changed_byte_ends_in_a_panic() {
        let whole = messages().await;
        for (at, message) in whole.iter().enumerate() {
            for place in 0..message.data_header.len() + message.data_body.len() {
                let mut changed = whole.clone();
                let header = message.data_header.len();
                let target = match place < header {
                    true => &mut changed[at].data_header,
                    false => &mut changed[at].data_body,
                };
                let mut bytes = target.to_vec();
                let place = if place < header { place } else { place - header };
                bytes[place] ^= 0xff;
                *target = bytes.into();
                let _ = read(changed).await;
            }
        }
    }
}
