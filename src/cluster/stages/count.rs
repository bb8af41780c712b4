//! The worker's side: what leaves each part is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use parking_lot::Mutex;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Counted, part};
use crate::cluster::plain::{Answer, Answering};

/// Statements counted at once; of more nothing is told.
const STATEMENTS_MAX: usize = 4_096;
/// How long what an ended part counted is kept for the server to ask.
const KEPT: Duration = Duration::from_secs(10);

/// What is counted of the statements whose parts this worker runs.
#[derive(Default)]
pub(in crate::cluster) struct Counts {
    statements: Mutex<HashMap<Uuid, Counting>>,
}

struct Counting {
    parts: Vec<Arc<Count>>,
    /// When somebody last needed it.
    used: Instant,
}

/// What has left one part.
#[derive(Debug)]
pub(in crate::cluster) struct Count {
    stage: usize,
    task: usize,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Streams that the part will have, and those that have ended.
    streams: AtomicUsize,
    ended: AtomicUsize,
}

impl Counts {
    /// The count of the part that the headers name; none if they name none.
    pub(in crate::cluster) fn begin(&self, headers: &HeaderMap) -> Option<Arc<Count>> {
        let (id, stage, task) = part(headers)?;
        let mut statements = self.statements.lock();
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(&id) {
            return None;
        }
        let count = Arc::new(Count {
            stage,
            task,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        });
        let counting = statements.entry(id).or_insert_with(|| Counting {
            parts: Vec::new(),
            used: Instant::now(),
        });
        counting.parts.push(Arc::clone(&count));
        Some(count)
    }

    /// Lets go of what ended some time ago.
    pub(in crate::cluster) fn tidy(&self) {
        self.statements.lock().retain(|_, counting| {
            if counting.parts.iter().any(|count| Arc::strong_count(count) > 1) {
                counting.used = Instant::now();
            }
            counting.used.elapsed() < KEPT
        });
    }

    fn told(&self, id: &Uuid) -> Vec<Counted> {
        let statements = self.statements.lock();
        let parts = statements.get(id).map(|counting| counting.parts.as_slice());
        parts.unwrap_or_default().iter().map(|count| count.told()).collect()
    }
}

impl Count {
    /// The part has so many streams more.
    pub(in crate::cluster) fn expect(&self, streams: usize) {
        self.streams.fetch_add(streams, Ordering::Relaxed);
    }

    pub(in crate::cluster) fn add(&self, batch: &RecordBatch) {
        self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.bytes
            .fetch_add(batch.get_array_memory_size() as u64, Ordering::Relaxed);
    }

    /// One of its streams has ended, or is not wanted any more.
    pub(in crate::cluster) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn told(&self) -> Counted {
        let streams = self.streams.load(Ordering::Relaxed);
        Counted {
            stage: self.stage,
            task: self.task,
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            done: streams > 0 && self.ended.load(Ordering::Relaxed) >= streams,
        }
    }
}

/// The door to what a worker counts: each message there is a statement's number, each back the counts of its parts as JSON.
#[derive(Clone)]
pub(in crate::cluster) struct CountDoor {
    pub(in crate::cluster) counts: Arc<Counts>,
    pub(in crate::cluster) version: Arc<str>,
}

impl Answering for CountDoor {
    const SERVICE: &'static str = "labhouse.Stages";
    const METHOD: &'static str = "/labhouse.Stages/Count";

    fn version(&self) -> &str {
        &self.version
    }

    fn answer(&self, said: Streaming<Bytes>) -> Result<Answer, Status> {
        let counts = Arc::clone(&self.counts);
        let told = said.map(move |id| {
            let id = id?;
            let id = std::str::from_utf8(&id).ok().and_then(|id| id.parse().ok());
            let id: Uuid = id.ok_or_else(|| Status::invalid_argument("not the number of a statement"))?;
            let told = serde_json::to_vec(&counts.told(&id));
            told.map(Bytes::from)
                .map_err(|error| Status::internal(error.to_string()))
        });
        Ok(told.boxed())
    }
}
