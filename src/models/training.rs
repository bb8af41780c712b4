//! Trainings: threads of their own, and what `system.training` tells of them.
//!
//! A training is arithmetic for minutes. Its threads stand behind those that answer people: the system gives them the processor when nobody else
//! wants it, so that a training costs the queries beside it little and still uses an idle machine whole. Where there are workers, one of
//! them trains: the rows go there, its steps and the model come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::execution::memory_pool::MemoryReservation;
use labhouse_catalog::TableName;
use labhouse_udfs::{Cancel, Model, TrainError, TrainOptions};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use crate::cluster::{Offered, Word};
use crate::engine::Engine;
use crate::query::QueryError;

/// Trainings remembered, at about 300 bytes each.
const REMEMBERED_MAX: usize = 200;
/// How far a training's threads stand behind the others: they get about a third of what another thread gets that wants the processor, too. Behind
/// a server that is never idle a training must still end.
const NICENESS: i32 = 5;

/// The trainings of this server, and how many may run at once.
pub(crate) struct Trainings {
    places: Arc<Semaphore>,
    entries: Mutex<VecDeque<Arc<Mutex<TrainingEntry>>>>,
}

/// One training.
#[derive(Debug, Clone)]
pub(crate) struct TrainingEntry {
    /// Of the statement: `CANCEL QUERY 'id'` ends it.
    pub(crate) id: Option<Uuid>,
    pub(crate) model: TableName,
    pub(crate) author: String,
    pub(crate) state: &'static str,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) budget: Duration,
    /// Steps done, and the last one in words.
    pub(crate) steps: u64,
    pub(crate) step: Option<String>,
    /// The worker that it runs or ran on, as `ADDRESS:PORT`; none if that is this server.
    pub(crate) node: Option<String>,
    begun: Instant,
    took: Option<Duration>,
}

/// A training that has begun. Let go before its end it counts as cancelled, and is.
pub(super) struct Training {
    entry: Arc<Mutex<TrainingEntry>>,
    cancel: Cancel,
}

/// What a training is made from: the rows of its query in batches of one schema, and the memory that they hold.
pub(super) struct TrainingRows {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) memory: MemoryReservation,
}

impl Trainings {
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            entries: Mutex::default(),
        }
    }

    /// The remembered trainings, newest first.
    pub(crate) fn entries(&self) -> Vec<TrainingEntry> {
        let entries = self.entries.lock();
        entries.iter().rev().map(|entry| entry.lock().clone()).collect()
    }

    /// Opens an entry.
    pub(super) fn open(&self, id: Option<Uuid>, model: &TableName, author: &str, budget: Duration) -> Training {
        let entry = Arc::new(Mutex::new(TrainingEntry {
            id,
            model: model.clone(),
            author: author.to_owned(),
            state: "waiting",
            started_at: Utc::now(),
            budget,
            steps: 0,
            step: None,
            node: None,
            begun: Instant::now(),
            took: None,
        }));
        {
            let mut entries = self.entries.lock();
            if entries.len() >= REMEMBERED_MAX {
                entries.pop_front();
            }
            entries.push_back(Arc::clone(&entry));
        }
        Training {
            entry,
            cancel: Cancel::default(),
        }
    }

    /// Waits for a place on this server.
    async fn place(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.map_err(|_| QueryError::Unavailable("the server is shutting down; train the model again later".into()))
    }
}

impl Engine {
    /// Trains where there is room: on the least busy worker that takes it, else here. What a worker began and did not end
    /// begins once more, here.
    ///
    /// # Errors
    /// The rows do not make a model, it was cancelled, or this server has no memory for it.
    pub(super) async fn train(
        &self,
        training: &Training,
        rows: TrainingRows,
        options: TrainOptions,
    ) -> Result<Model, QueryError> {
        if let Some(cluster) = &self.cluster {
            let tell = |word: Word<'_>| training.tell(word);
            match cluster.train(&rows.batches, &options, &tell).await? {
                Offered::Trained(model) => return Ok(*model),
                Offered::Stays => {}
                Offered::Lost => training.tell(Word::Again),
            }
        }
        let columns = rows.batches.first().map_or(0, RecordBatch::num_columns);
        let count: usize = rows.batches.iter().map(RecordBatch::num_rows).sum();
        rows.memory
            .try_grow(labhouse_udfs::training_bytes(count, columns))
            .map_err(crate::query::errors::from_datafusion)?;
        let place = self.trainings.place().await?;
        training.run(place, rows, options).await
    }
}

impl TrainingEntry {
    /// From its first moment to its last, or to now.
    pub(crate) fn took(&self) -> Duration {
        self.took.unwrap_or_else(|| self.begun.elapsed())
    }
}

impl Training {
    /// Trains on a thread that keeps its place, and the memory of its rows, until it has ended, even if nobody waits for it any more; it ends soon
    /// when it is cancelled.
    async fn run(
        &self,
        place: OwnedSemaphorePermit,
        rows: TrainingRows,
        options: TrainOptions,
    ) -> Result<Model, QueryError> {
        self.entry.lock().state = "running";
        let entry = Arc::clone(&self.entry);
        let tell = move |step: &str| {
            tracing::info!(step, "training");
            entry.lock().stepped(step);
        };
        let trained = on_a_thread(rows.batches, options, self.cancel.clone(), tell, (rows.memory, place));
        trained
            .map_err(QueryError::internal)?
            .await
            .map_err(QueryError::internal)?
            .map_err(|error| match error {
                TrainError::Cancelled => QueryError::Cancelled(error.to_string()),
                other => QueryError::Invalid(other.to_string()),
            })
    }

    /// Writes down what is heard of it from a worker.
    fn tell(&self, word: Word<'_>) {
        let mut entry = self.entry.lock();
        match word {
            Word::Begun(node) => {
                entry.state = "running";
                entry.node = Some(node.to_owned());
            }
            Word::Step(step) => {
                tracing::info!(step, node = entry.node, "training");
                entry.stepped(step);
            }
            Word::Again => {
                entry.state = "waiting";
                entry.node = None;
                entry.stepped("its worker was lost: it begins once more, on the server");
            }
        }
    }

    /// How it ended.
    pub(super) fn ended(&self, well: bool) {
        let mut entry = self.entry.lock();
        entry.state = if well { "trained" } else { "failed" };
        entry.took = Some(entry.begun.elapsed());
    }
}

impl TrainingEntry {
    fn stepped(&mut self, step: &str) {
        self.steps += 1;
        self.step = Some(step.to_owned());
    }
}

/// Trains on a thread of its own, which stands behind those that answer people and keeps what it is given until it has ended,
/// however that is. `tell` gets a line after each step.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn on_a_thread(
    batches: Vec<RecordBatch>,
    options: TrainOptions,
    cancel: Cancel,
    tell: impl Fn(&str) + Send + Sync + 'static,
    kept: impl Send + 'static,
) -> std::io::Result<oneshot::Receiver<Result<Model, TrainError>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("training".to_owned()).spawn(move || {
        stand_behind();
        let trained = labhouse_udfs::train(&batches, &options, &cancel, &tell);
        drop((batches, tell, kept));
        // Nobody may be waiting any more.
        drop(sender.send(trained));
    })?;
    Ok(receiver)
}

impl Drop for Training {
    fn drop(&mut self) {
        self.cancel.cancel();
        let mut entry = self.entry.lock();
        if entry.took.is_none() {
            entry.state = "cancelled";
            entry.took = Some(entry.begun.elapsed());
        }
    }
}

/// Puts this thread, and those it starts, behind the others. Where the system refuses, training is as loud as before.
fn stand_behind() {
    #[expect(
        unsafe_code,
        reason = "one call of the system with three numbers; no memory is handed over"
    )]
    #[cfg(target_os = "linux")]
    // SAFETY: it reads no memory of ours. On Linux 0 is the calling thread, and a thread started by it begins with its niceness.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) } != 0;
    #[cfg(not(target_os = "linux"))]
    let refused = true;
    if refused {
        tracing::debug!("training's threads have the priority of all others");
    }
}
