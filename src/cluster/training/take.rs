//! The worker's side: takes the rows, trains, and tells.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use bytes::{BufMut, Bytes, BytesMut};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;
use labhouse_udfs::{Cancel, TrainError, training_bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::{Head, PIECE, PIECE_BYTES, Told};
use crate::cluster::plain::{Answer, Answering};
use crate::models::on_a_thread;

/// Words that wait for the connection: more than a training has steps.
const WORDS_WAITING: usize = 1_024;

/// Takes trainings of servers.
#[derive(Clone)]
pub(in crate::cluster) struct Trainer {
    places: Arc<Semaphore>,
    pool: Arc<dyn MemoryPool>,
    threads: usize,
    /// How long the next rows may take to come.
    patience: Duration,
    version: Arc<str>,
}

impl Answering for Trainer {
    const SERVICE: &'static str = "labhouse.Training";
    const METHOD: &'static str = "/labhouse.Training/Train";

    fn version(&self) -> &str {
        &self.version
    }

    fn answer(&self, rows: Streaming<Bytes>) -> Result<Answer, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("this worker has as many trainings as it takes (limits.concurrent_trainings)")
        })?;
        let (words, told) = mpsc::channel(WORDS_WAITING);
        let trainer = self.clone();
        let working = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(status) = trainer.work(rows, place, &words).await {
                tracing::info!(%status, "a training is not taken");
                // Nobody may listen any more.
                let _ = words.send(Err(status)).await;
            }
        }));
        // Who asked and goes away takes the work with him.
        let told = ReceiverStream::new(told).map(move |word| {
            let _ = &working;
            word
        });
        Ok(told.boxed())
    }
}

impl Trainer {
    /// Trains in as many `places` at once, within the memory of `pool`, on so many threads each. Rows that do not come
    /// within `patience` are given up.
    pub(in crate::cluster) fn new(
        places: Arc<Semaphore>,
        pool: Arc<dyn MemoryPool>,
        threads: usize,
        patience: Duration,
        version: Arc<str>,
    ) -> Self {
        Self {
            places,
            pool,
            threads,
            patience,
            version,
        }
    }

    async fn work(
        &self,
        mut rows: Streaming<Bytes>,
        place: OwnedSemaphorePermit,
        words: &mpsc::Sender<Result<Bytes, Status>>,
    ) -> Result<(), Status> {
        let memory = MemoryConsumer::new("rows of a training").register(&self.pool);
        let (head, batches) = self.rows(&mut rows, &memory).await?;
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        let count = usize::try_from(head.rows).unwrap_or(usize::MAX);
        memory.try_grow(training_bytes(count, columns)).map_err(full)?;
        let mut options = head.options;
        options.threads = self.threads;

        tell(words, &Told::Begun).await?;
        tracing::debug!(rows = count, "a training begins");
        let cancel = Cancel::default();
        let _stop = Stop(cancel.clone());
        let steps = words.clone();
        let step = move |step: &str| {
            // A server that does not listen misses steps, and holds nothing up.
            let _ = steps.try_send(Ok(Told::Step(step.to_owned()).message()));
        };
        let kept = Ended((memory, place));
        let trained = on_a_thread(batches, options, cancel, step, kept);
        let trained =
            trained.map_err(|error| Status::resource_exhausted(format!("no thread for a training: {error}")))?;
        let gone = |_| Status::internal("a training ended without a word");
        let model = match trained.await.map_err(gone)? {
            Ok(model) => model,
            Err(TrainError::Cancelled) => return tell(words, &Told::Cancelled).await,
            Err(error) => return tell(words, &Told::Failed(error.to_string())).await,
        };
        for piece in model.to_bytes().chunks(PIECE_BYTES) {
            let mut message = BytesMut::with_capacity(piece.len() + 1);
            message.put_u8(PIECE);
            message.put_slice(piece);
            say(words, message.freeze()).await?;
        }
        let last = Told::Trained {
            digest: model.digest().to_owned(),
            timings: model.timings().to_vec(),
        };
        tell(words, &last).await
    }

    /// What is to be done and all of its rows, which hold memory as they come.
    async fn rows(
        &self,
        pieces: &mut Streaming<Bytes>,
        memory: &MemoryReservation,
    ) -> Result<(Head, Vec<RecordBatch>), Status> {
        let broken = |error: &dyn std::fmt::Display| Status::internal(format!("the rows of a training: {error}"));
        let late = |_| Status::deadline_exceeded("the rows of a training do not come");
        let next = async |pieces: &mut Streaming<Bytes>| {
            let piece = tokio::time::timeout(self.patience, pieces.message());
            piece.await.map_err(late)?
        };
        let head = next(pieces).await?.unwrap_or_default();
        let head: Head = serde_json::from_slice(&head).map_err(|error| broken(&error))?;
        let (mut decoder, mut batches, mut count) = (StreamDecoder::new(), Vec::new(), 0_u64);
        while let Some(piece) = next(pieces).await? {
            memory.try_grow(piece.len()).map_err(full)?;
            let mut piece = Buffer::from(piece);
            while !piece.is_empty() {
                if let Some(batch) = decoder.decode(&mut piece).map_err(|error| broken(&error))? {
                    count += batch.num_rows() as u64;
                    batches.push(batch);
                }
            }
        }
        if count != head.rows {
            return Err(broken(&format_args!("{count} of {} came", head.rows)));
        }
        Ok((head, batches))
    }
}

/// The thread of a training holds it: the place and the memory are free when it ends.
struct Ended<T>(T);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        tracing::debug!("a training has ended");
    }
}

/// Ends a training whose server has gone.
struct Stop(Cancel);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn full(error: datafusion::error::DataFusionError) -> Status {
    let why = error.to_string();
    let why = why.lines().next().unwrap_or_default();
    Status::resource_exhausted(format!("this worker has no memory for it (limits.memory_mib): {why}"))
}

async fn tell(words: &mpsc::Sender<Result<Bytes, Status>>, told: &Told) -> Result<(), Status> {
    say(words, told.message()).await
}

async fn say(words: &mpsc::Sender<Result<Bytes, Status>>, message: Bytes) -> Result<(), Status> {
    let said = words.send(Ok(message)).await;
    said.map_err(|_| Status::cancelled("nobody listens any more"))
}
