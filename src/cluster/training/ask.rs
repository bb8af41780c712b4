//! The server's side: to whom a training goes, and what comes back.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use bytes::{Buf, Bytes};
use labhouse_udfs::{Model, TrainOptions};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use url::Url;

use super::{Head, PIECE, PIECE_BYTES, TOLD, Told, Trainer};
use crate::cluster::Cluster;
use crate::cluster::plain::call;
use crate::query::QueryError;

/// Pieces of rows that wait for the connection.
const PIECES_WAITING: usize = 4;
/// Bytes of a model that comes back; one of 200,000 rows and a hundred columns has a few hundred MiB at most.
const MODEL_BYTES_MAX: usize = 1 << 30;

/// What became of a training that was offered to the workers.
pub(crate) enum Offered {
    /// A worker made the model.
    Trained(Box<Model>),
    /// None took it.
    Stays,
    /// The worker that had it was lost.
    Lost,
}

/// What is heard of a training.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word<'a> {
    /// It runs on this worker, `ADDRESS:PORT`.
    Begun(&'a str),
    /// A step is done.
    Step(&'a str),
    /// Its worker was lost.
    Again,
}

/// Who hears it.
pub(in crate::cluster) type Training<'a> = dyn Fn(Word<'_>) + Send + Sync + 'a;

/// The trainings of this server that workers have.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Lent {
    at: Mutex<HashMap<Url, usize>>,
    begun: AtomicU64,
    lost: AtomicU64,
}

/// One of them.
struct Place<'a> {
    lent: &'a Lent,
    node: Url,
}

impl Lent {
    /// How many one worker has.
    pub(in crate::cluster) fn at(&self, node: &Url) -> usize {
        self.at.lock().get(node).copied().unwrap_or_default()
    }

    /// Those that workers began, and those of them that began once more here.
    pub(in crate::cluster) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.begun), read(&self.lost))
    }

    /// A place at the worker that has the fewest, of several the first by address; it is taken off the list.
    fn place(&self, nodes: &mut Vec<Url>) -> Option<Place<'_>> {
        let mut at = self.at.lock();
        let has = |node: &Url| at.get(node).copied().unwrap_or_default();
        let (nth, _) = nodes.iter().enumerate().min_by_key(|(_, node)| has(node))?;
        let node = nodes.remove(nth);
        *at.entry(node.clone()).or_default() += 1;
        Some(Place { lent: self, node })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut at = self.lent.at.lock();
        if let Some(count) = at.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                at.remove(&self.node);
            }
        }
    }
}

/// Why a worker did not train.
enum Refusal {
    /// It did not begin: it has no room, is of another version, is leaving, or is not there.
    No(Status),
    /// It had begun, and is gone.
    Lost(String),
    /// Its answer: the rows do not make a model.
    Failed(QueryError),
}

/// Whether a worker that says so is there.
fn is_there(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::ResourceExhausted | Code::FailedPrecondition | Code::PermissionDenied | Code::Unimplemented
    )
}

impl Cluster {
    /// Trains on the ready worker that has the fewest trainings of this server; one that is full is passed over. Let go, it
    /// ends there, too.
    ///
    /// # Errors
    /// The rows do not make a model.
    pub(crate) async fn train(
        &self,
        rows: &[RecordBatch],
        options: &TrainOptions,
        tell: &Training<'_>,
    ) -> Result<Offered, QueryError> {
        let bytes: usize = rows.iter().map(RecordBatch::get_array_memory_size).sum();
        if bytes > self.config().training_mib_max.saturating_mul(1 << 20) {
            tracing::debug!(
                bytes,
                "a training stays here: its rows are more than cluster.training_mib_max"
            );
            return Ok(Offered::Stays);
        }
        let mut nodes = self.nodes().ready(self.channels());
        while let Some(place) = self.lent().place(&mut nodes) {
            let node = place.node.authority().to_owned();
            match self.ask(&place.node, rows, options, tell).await {
                Ok(model) => return Ok(Offered::Trained(Box::new(model))),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::No(status)) => {
                    tracing::info!(node, %status, "a worker does not take a training");
                    if !is_there(&status) {
                        self.channels().suspect(&place.node);
                    }
                }
                Err(Refusal::Lost(error)) => {
                    tracing::warn!(
                        node,
                        error,
                        "a worker was lost with a training; it begins once more, here"
                    );
                    self.channels().suspect(&place.node);
                    self.lent().lost.fetch_add(1, Ordering::Relaxed);
                    return Ok(Offered::Lost);
                }
            }
        }
        Ok(Offered::Stays)
    }

    async fn ask(
        &self,
        node: &Url,
        rows: &[RecordBatch],
        options: &TrainOptions,
        tell: &Training<'_>,
    ) -> Result<Model, Refusal> {
        let no = |error: &dyn std::fmt::Display| Refusal::No(Status::unavailable(error.to_string()));
        let head = Head {
            options: options.clone(),
            rows: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
        };
        let head = serde_json::to_vec(&head).map_err(|error| no(&error))?;
        let (pieces, sent) = mpsc::channel(PIECES_WAITING);
        let batches = rows.to_vec();
        // It ends when all is sent, or nobody takes more.
        tokio::task::spawn_blocking(move || send(head.into(), &batches, pieces));
        let answers = call::<Trainer>(self.channels(), node, self.version(), ReceiverStream::new(sent)).await;
        let mut answers = answers.map_err(Refusal::No)?;
        match answers.message().await.map_err(Refusal::No)? {
            Some(first) if first == Told::Begun.message() => {}
            _ => return Err(no(&"it says something else")),
        }
        self.lent().begun.fetch_add(1, Ordering::Relaxed);
        tell(Word::Begun(node.authority()));
        hear(&mut answers, tell).await
    }
}

/// What a worker that has begun says, to the end.
async fn hear(answers: &mut Streaming<Bytes>, tell: &Training<'_>) -> Result<Model, Refusal> {
    let lost = |error: &dyn std::fmt::Display| Refusal::Lost(error.to_string());
    let mut model = Vec::new();
    while let Some(mut message) = answers.message().await.map_err(|status| lost(&status))? {
        let kind = if message.has_remaining() {
            message.get_u8()
        } else {
            TOLD
        };
        if kind == PIECE {
            if model.len().saturating_add(message.len()) > MODEL_BYTES_MAX {
                return Err(lost(&format_args!("the model has more than {MODEL_BYTES_MAX} bytes")));
            }
            model.extend_from_slice(&message);
            continue;
        }
        match serde_json::from_slice(&message).map_err(|error| lost(&error))? {
            Told::Begun => {}
            Told::Step(step) => tell(Word::Step(&step)),
            Told::Failed(error) => return Err(Refusal::Failed(QueryError::Invalid(error))),
            // Nobody here asked for it.
            Told::Cancelled => return Err(lost(&"it was stopped there")),
            Told::Trained { digest, timings } => {
                let read = tokio::task::spawn_blocking(move || Model::from_bytes(&model)).await;
                let read = read.map_err(|error| lost(&error))?.map_err(|error| lost(&error))?;
                return match read.digest() == digest {
                    true => Ok(read.with_timings(timings)),
                    false => Err(lost(&"the model came as another one")),
                };
            }
        }
    }
    Err(lost(&"its answer ended before the model"))
}

/// Sends a training's head and its rows, one batch after the other, as an IPC stream in pieces.
fn send(head: Bytes, batches: &[RecordBatch], pieces: mpsc::Sender<Bytes>) {
    let sending = || -> Result<(), arrow::error::ArrowError> {
        let into = Pieces {
            pieces,
            waiting: Vec::new(),
        };
        into.give(head)?;
        let Some(first) = batches.first() else { return Ok(()) };
        let mut writer = StreamWriter::try_new(into, &first.schema())?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        writer.get_mut().flush()?;
        Ok(())
    };
    if let Err(error) = sending() {
        // The worker misses rows and says so; or it is the worker that takes no more.
        tracing::debug!(%error, "the rows of a training are not sent to the end");
    }
}

/// Bytes that go out in pieces.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    waiting: Vec<u8>,
}

impl Pieces {
    fn give(&self, piece: Bytes) -> io::Result<()> {
        let given = self.pieces.blocking_send(piece);
        given.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes more"))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() >= PIECE_BYTES {
            self.flush()?;
        }
        let some = bytes.len().min(PIECE_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(bytes.get(..some).unwrap_or_default());
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.waiting);
        self.give(piece.into())
    }
}
