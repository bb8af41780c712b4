//! From record batches to Flight messages: bounded in size and number, in step with the reader, cancellable.
//!
//! The engine's stream is polled by a task of its own, because the task of an HTTP/2 connection carries every call of a
//! client, and a heavy aggregate polled there would stop them all. A short queue lies between: a slow reader fills it and
//! the engine waits. Dropping the response stops the task, which drops the engine's stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::authn::Caller;
use super::envelope::{MESSAGE_BYTES, MESSAGE_BYTES_MAX};
use super::flights::{self, Boarded};
use super::message::{Encoder, ResultMessage};
use super::service::BoxedStream;
use super::{size, status};
use crate::query::errors::from_datafusion;
use crate::query::narrow::narrow_batch;

/// Bytes of data a message aims at: half of what every client takes, because a batch's skew and framing need room.
const MESSAGE_BYTES_TARGET: usize = 2 << 20;
/// Messages encoded ahead of the reader: enough that engine and network overlap, at most 8 MiB held for a reader that
/// sleeps.
const QUEUE_LENGTH: usize = 4;

/// Streams a result of the engine. `schema` is what was announced; batches are brought to it.
pub(super) fn of_engine(
    schema: SchemaRef,
    batches: SendableRecordBatchStream,
    boarded: Boarded,
    caller: &Caller,
) -> Result<BoxedStream<ResultMessage>, Status> {
    let announced = Arc::clone(&schema);
    let taken = Arc::clone(&caller.taken);
    let batches = batches.map(move |batch| {
        let mut batch = batch.map_err(|error| status::of_query(from_datafusion(error)))?;
        if batch.schema_ref() != &announced {
            batch = narrow_batch(&batch, &announced).map_err(status::internal)?;
        }
        taken.count(batch.num_rows(), size::of_rows(&batch));
        Ok::<_, Status>(batch)
    });
    let options = IpcWriteOptions::default()
        .try_with_compression(caller.ipc)
        .map_err(status::internal)?;
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    let bytes_max = caller.message_bytes;
    let cancelled = boarded.cancelled.clone();
    let task = tokio::spawn(async move {
        let messages = encode(schema, batches, options, bytes_max);
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
async fn pump(
    messages: impl Stream<Item = Result<ResultMessage, Status>>,
    sender: &mpsc::Sender<Result<ResultMessage, Status>>,
) {
    let mut messages = std::pin::pin!(messages);
    while let Some(message) = messages.next().await {
        let is_last = message.is_err();
        if sender.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// Streams a small answer that is there already.
pub(super) fn of_batch(batch: RecordBatch) -> BoxedStream<ResultMessage> {
    Box::pin(encode(
        batch.schema(),
        stream::iter([Ok(batch)]),
        IpcWriteOptions::default(),
        MESSAGE_BYTES_MAX,
    ))
}

/// The schema message first, also when no row follows; then the rows in messages of about 2 MiB. A row whose message has more
/// than `bytes_max` ends the result with RESOURCE_EXHAUSTED.
fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
    options: IpcWriteOptions,
    bytes_max: usize,
) -> impl Stream<Item = Result<ResultMessage, Status>> + Send + 'static {
    let fits = move |message: ResultMessage, rows: Option<&RecordBatch>| match message.encoded_len() {
        bytes if bytes > bytes_max => Err(too_large(rows, bytes, bytes_max)),
        _ => Ok(message),
    };
    let first = fits(ResultMessage::of_schema(&schema, &options), None);
    let mut encoder = Encoder::try_new(&schema, options);
    let pieces = batches.flat_map(|batch| match batch {
        Ok(batch) => stream::iter(split(batch).into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    let rows = pieces.flat_map(move |piece| {
        let encoded: Result<Vec<_>, Status> = piece.and_then(|piece| {
            let encoder = encoder.as_mut().map_err(status::internal)?;
            let messages = encoder.encode(&piece).map_err(status::internal)?;
            messages
                .into_iter()
                .map(|message| fits(message, Some(&piece)))
                .collect()
        });
        stream::iter(match encoded {
            Ok(messages) => messages.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    });
    stream::iter([first]).chain(rows)
}

/// What a client hears of a row that is too large for it: which column makes it so, and what to do.
fn too_large(row: Option<&RecordBatch>, bytes: usize, bytes_max: usize) -> Status {
    let columns = row.map(|row| row.schema_ref().fields().iter().zip(row.columns()));
    let sized = columns
        .into_iter()
        .flatten()
        .map(|(field, column)| (size::of(column), field.name()));
    let Some((size, name)) = sized.max_by_key(|(size, _)| *size) else {
        return Status::resource_exhausted(format!(
            "the schema of the result takes {bytes} bytes and a message may have {bytes_max}; select fewer columns, or send the header {MESSAGE_BYTES} with the bytes that your client takes"
        ));
    };
    Status::resource_exhausted(format!(
        "a row of the result takes {bytes} bytes and a message may have {bytes_max}: the column {name} has {size} bytes in it; select a part of it, such as substr({name}, 1, 100000), or fewer columns, or send the header {MESSAGE_BYTES} with the bytes that your client takes"
    ))
}

/// Halves a batch until each piece is near the target, so that rows of very different size even out.
fn split(batch: RecordBatch) -> Vec<RecordBatch> {
    let mut pieces = Vec::with_capacity(1);
    let mut todo = vec![batch];
    while let Some(batch) = todo.pop() {
        let rows = batch.num_rows();
        if rows <= 1 || size::of_message(&batch) <= MESSAGE_BYTES_TARGET {
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

/// The messages of a running task. Its end without an error is told only when the task ended well: a panic must not
/// look like the end of the data.
struct Flowing {
    receiver: mpsc::Receiver<Result<ResultMessage, Status>>,
    task: Option<AbortOnDropHandle<()>>,
    _boarded: Boarded,
}

impl Stream for Flowing {
    type Item = Result<ResultMessage, Status>;

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
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::Schema;
    use tonic::Code;

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
        assert!(
            pieces
                .iter()
                .all(|piece| size::of_message(piece) <= MESSAGE_BYTES_TARGET)
        );
        assert_eq!(arrow::compute::concat_batches(&batch.schema(), &pieces).unwrap(), batch);
    }

    #[test]
    fn a_slice_of_a_large_array_is_one_message() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000_000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        assert_eq!(split(batch.slice(5_000_000, 8_192)).len(), 1);
    }

    #[tokio::test]
    async fn a_row_goes_as_one_message_or_not_at_all_and_an_empty_batch_sends_none() {
        assert!(split(texts(Vec::new())).is_empty());
        let sent = async |bytes, compression| {
            let batch = texts(vec!["first".into(), "x".repeat(bytes), "last".into()]);
            let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
            let batches = stream::iter([Ok(batch.clone())]);
            encode(batch.schema(), batches, options, MESSAGE_BYTES_MAX)
                .collect::<Vec<Result<ResultMessage, Status>>>()
                .await
        };
        let sizes = |messages: &[Result<ResultMessage, Status>]| {
            let sent = messages.iter().flatten();
            sent.map(ResultMessage::encoded_len).max().unwrap()
        };
        let fits = sent(MESSAGE_BYTES_MAX - 1_000, None).await;
        assert!(fits.iter().all(Result::is_ok) && sizes(&fits) <= MESSAGE_BYTES_MAX && sizes(&fits) > 4_000_000);
        let over = sent(MESSAGE_BYTES_MAX, None).await;
        let refused = over.iter().find_map(|message| message.as_ref().err()).unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused.message().contains("the column t has 4194"),
            "{}",
            refused.message()
        );
        assert!(sizes(&over) <= MESSAGE_BYTES_MAX);
        // What counts is the message: values that compress well may be larger.
        let squeezed = sent(3 * MESSAGE_BYTES_MAX, Some(arrow::ipc::CompressionType::ZSTD)).await;
        assert!(squeezed.iter().all(Result::is_ok) && sizes(&squeezed) < 100_000);
    }

    #[tokio::test]
    async fn no_rows_still_send_the_schema() {
        let messages: Vec<_> = of_batch(RecordBatch::new_empty(Arc::new(Schema::empty())))
            .collect()
            .await;
        assert_eq!(messages.len(), 1);
        assert!(messages[0].as_ref().unwrap().encoded_len() > 0);
    }
}
