//! From record batches to Flight messages: bounded in size and number, in step with the reader, cancellable.
//!
//! The engine's stream is polled by a task of its own, because the task of an HTTP/2 connection carries every call of a
//! client, and a heavy aggregate polled there would stop them all. A short queue lies between: a slow reader fills it and
//! the engine waits. Dropping the response stops the task, which drops the engine's stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::authn::Caller;
use super::flights::{self, Boarded};
use super::service::BoxedStream;
use super::status;
use crate::query::errors::from_datafusion;
use crate::query::narrow::narrow_batch;

/// Bytes of data a message aims at: gRPC clients take 4 MiB by default, and a batch's skew and framing need room.
const MESSAGE_BYTES_TARGET: usize = 2 << 20;
/// Messages encoded ahead of the reader: enough that engine and network overlap, at most 8 MiB held for a reader that
/// sleeps.
const QUEUE_LENGTH: usize = 4;

type Message = Result<FlightData, Status>;

/// Streams a result of the engine. `schema` is what was announced; batches are brought to it.
pub(super) fn of_engine(
    schema: SchemaRef,
    batches: SendableRecordBatchStream,
    boarded: Boarded,
    caller: &Caller,
) -> Result<BoxedStream<FlightData>, Status> {
    let announced = std::sync::Arc::clone(&schema);
    let taken = std::sync::Arc::clone(&caller.taken);
    let batches = batches.map(move |batch| {
        let mut batch = batch.map_err(|error| status::of_query(from_datafusion(error)))?;
        if batch.schema_ref() != &announced {
            batch = narrow_batch(&batch, &announced).map_err(status::internal)?;
        }
        taken.count(batch.num_rows(), bytes(&batch));
        Ok::<_, Status>(batch)
    });
    let options = IpcWriteOptions::default()
        .try_with_compression(caller.ipc)
        .map_err(status::internal)?;
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    let cancelled = boarded.cancelled.clone();
    let task = tokio::spawn(async move {
        let messages = encode(schema, batches.map_err(FlightError::from), options);
        // Cancelling drops the messages, and with them the engine's stream, also while the reader sleeps; only then is
        // the reader told, whenever it comes back.
        let was_cancelled = tokio::select! {
            biased;
            () = cancelled.cancelled() => true,
            () = pump(messages, &sender) => false,
        };
        if was_cancelled {
            let _ = sender.send(Err(flights::cancelled())).await;
        }
    });
    Ok(Box::pin(Flowing {
        receiver,
        task: Some(AbortOnDropHandle::new(task)),
        _boarded: boarded,
    }))
}

/// Moves messages until they end, one fails, or the reader is gone.
async fn pump(messages: impl Stream<Item = Message>, sender: &mpsc::Sender<Message>) {
    let mut messages = std::pin::pin!(messages);
    while let Some(message) = messages.next().await {
        let is_last = message.is_err();
        if sender.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// Streams a small answer that is there already.
pub(super) fn of_batch(batch: RecordBatch) -> BoxedStream<FlightData> {
    Box::pin(encode(
        batch.schema(),
        stream::iter([Ok(batch)]),
        IpcWriteOptions::default(),
    ))
}

/// The schema message first, also when no row follows; then the rows in messages of about 2 MiB.
fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
    options: IpcWriteOptions,
) -> impl Stream<Item = Message> + Send + 'static {
    let pieces = batches.flat_map(|batch| match batch {
        Ok(batch) => stream::iter(split(batch).into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_options(options)
        // The encoder's own split counts whole buffers, also those a slice shares with its neighbours, and then sends
        // a row or two a message; `split` counts the slice.
        .with_max_flight_data_size(usize::MAX)
        .build(pieces)
        .map_err(status::of_encoding)
}

/// Halves a batch until each piece is near the target, so that rows of very different size even out.
fn split(batch: RecordBatch) -> Vec<RecordBatch> {
    let mut pieces = Vec::with_capacity(1);
    let mut todo = vec![batch];
    while let Some(batch) = todo.pop() {
        let rows = batch.num_rows();
        if rows <= 1 || bytes(&batch) <= MESSAGE_BYTES_TARGET {
            if rows > 0 {
                pieces.push(batch);
            }
            continue;
        }
        let half = rows / 2;
        todo.push(batch.slice(half, rows - half));
        todo.push(batch.slice(0, half));
    }
    pieces
}

fn bytes(batch: &RecordBatch) -> usize {
    // A type that cannot tell the size of a slice is counted whole: more messages, never larger ones.
    let size = |column: &std::sync::Arc<dyn Array>| {
        column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_buffer_memory_size())
    };
    batch.columns().iter().map(size).sum()
}

/// The messages of a running task. Its end without an error is told only when the task ended well: a panic must not
/// look like the end of the data.
struct Flowing {
    receiver: mpsc::Receiver<Message>,
    task: Option<AbortOnDropHandle<()>>,
    _boarded: Boarded,
}

impl Stream for Flowing {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = ready!(self.receiver.poll_recv(context)) {
            return Poll::Ready(Some(message));
        }
        let Some(task) = self.task.as_mut() else {
            return Poll::Ready(None);
        };
        let ended = ready!(task.poll_unpin(context));
        self.task = None;
        Poll::Ready(ended.err().map(|error| Err(status::internal(error))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::Schema;

    use super::*;

    fn texts(texts: Vec<String>) -> RecordBatch {
        RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(texts)) as ArrayRef)]).unwrap()
    }

    #[test]
    fn large_batches_are_split_and_nothing_is_lost() {
        let rows: Vec<String> = (0..64).map(|n| n.to_string().repeat(200_000)).collect();
        let batch = texts(rows);
        let pieces = split(batch.clone());
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| bytes(piece) <= MESSAGE_BYTES_TARGET));
        assert_eq!(arrow::compute::concat_batches(&batch.schema(), &pieces).unwrap(), batch);
    }

    #[test]
    fn a_slice_of_a_large_array_is_one_message() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000_000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        assert_eq!(split(batch.slice(5_000_000, 8_192)).len(), 1);
    }

    #[test]
    fn one_huge_row_is_sent_whole_and_an_empty_batch_not_at_all() {
        assert_eq!(split(texts(vec!["x".repeat(3 * MESSAGE_BYTES_TARGET)])).len(), 1);
        assert!(split(texts(Vec::new())).is_empty());
    }

    #[tokio::test]
    async fn no_rows_still_send_the_schema() {
        let messages: Vec<_> = of_batch(RecordBatch::new_empty(Arc::new(Schema::empty())))
            .collect()
            .await;
        assert_eq!(messages.len(), 1);
        assert!(!messages[0].as_ref().unwrap().data_header.is_empty());
    }
}
