//! The query log: the last statements, who ran them and how they ended.
//!
//! It lives in memory with a bounded length and feeds `system.queries`; each ended statement is also one line of the
//! server's log. Result values never enter it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::QueryError;
use crate::audit::Client;
use crate::metrics::Metrics;
use crate::telemetry::{Span, TraceParent, Traces};

/// Statements remembered; at about 1 KiB each this is some 2 MiB.
const REMEMBERED_MAX: usize = 2_000;
const RUNNING: &str = "running";
/// Bytes of a statement's text that are kept.
const SQL_BYTES_MAX: usize = 1_000;

/// Remembers statements.
pub(crate) struct QueryLog {
    entries: Mutex<VecDeque<(Arc<Mutex<Entry>>, CancellationToken)>>,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
}

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) principal: String,
    /// Nobody sent it: the server asked on the principal's behalf. When it does so tells of commits that he may not see.
    pub(crate) is_servers: bool,
    pub(crate) sql: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) state: &'static str,
    pub(crate) rows: u64,
    pub(crate) duration_ms: u64,
    pub(crate) error: Option<String>,
    pub(crate) policy_generation: u64,
    pub(crate) catalog_generation: u64,
}

/// A running statement; ended by `finish`, or as cancelled when it is dropped before.
pub(crate) struct Running {
    entry: Arc<Mutex<Entry>>,
    cancelled: CancellationToken,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
    door: &'static str,
    parent: Option<TraceParent>,
    bytes: AtomicU64,
    first_rows: OnceLock<Duration>,
    started: Instant,
}

impl QueryLog {
    pub(crate) fn new(metrics: Arc<Metrics>, traces: Arc<Traces>) -> Self {
        Self {
            entries: Mutex::default(),
            metrics,
            traces,
        }
    }

    /// Opens an entry under the statement's number.
    pub(crate) fn start(
        &self,
        id: Uuid,
        principal: &str,
        client: &Client,
        sql: &str,
        policy_generation: u64,
        catalog_generation: u64,
    ) -> Running {
        let entry = Arc::new(Mutex::new(Entry {
            id,
            principal: principal.to_owned(),
            is_servers: client.is_server() || client.unasked,
            sql: shorten(sql),
            started_at: Utc::now(),
            state: RUNNING,
            rows: 0,
            duration_ms: 0,
            error: None,
            policy_generation,
            catalog_generation,
        }));
        let mut entries = self.entries.lock();
        if entries.len() >= REMEMBERED_MAX {
            entries.pop_front();
        }
        let cancelled = CancellationToken::new();
        entries.push_back((Arc::clone(&entry), cancelled.clone()));
        self.metrics.started();
        Running {
            entry,
            cancelled,
            metrics: Arc::clone(&self.metrics),
            traces: Arc::clone(&self.traces),
            door: client.door,
            parent: client.trace,
            bytes: AtomicU64::new(0),
            first_rows: OnceLock::new(),
            started: Instant::now(),
        }
    }

    /// Cancels a running statement that `may` be cancelled; whether there was one.
    pub(crate) fn cancel(&self, id: Uuid, may: impl Fn(&Entry) -> bool) -> bool {
        let entries = self.entries.lock();
        let mut found = entries.iter().filter(|(entry, _)| {
            let entry = entry.lock();
            entry.id == id && entry.state == RUNNING && may(&entry)
        });
        match found.next() {
            Some((_, cancelled)) => {
                cancelled.cancel();
                true
            }
            None => false,
        }
    }

    /// The remembered statements, newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries
            .lock()
            .iter()
            .rev()
            .map(|(entry, _)| entry.lock().clone())
            .collect()
    }
}

impl Running {
    pub(crate) fn id(&self) -> Uuid {
        self.entry.lock().id
    }

    /// What ends when somebody cancels the statement by its number.
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    pub(crate) fn count(&self, rows: usize, bytes: usize) {
        self.entry.lock().rows += rows as u64;
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let _ = self.first_rows.get_or_init(|| self.started.elapsed());
        self.metrics.delivered(rows, bytes);
    }

    /// Closes the entry with its outcome; only the first call counts.
    pub(crate) fn finish(&self, error: Option<&QueryError>) {
        match error {
            None => self.close("finished", "finished", None),
            Some(QueryError::Cancelled(_)) => self.close("cancelled", "cancelled", None),
            Some(error) => self.close("failed", error.word(), Some(shorten(&error.to_string()))),
        }
    }

    fn close(&self, state: &'static str, outcome: &str, error: Option<String>) {
        let mut entry = self.entry.lock();
        if entry.state != RUNNING {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.ended(outcome, took);
        entry.state = state;
        entry.error = error;
        entry.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if self.traces.is_on() {
            self.traces.ended(Span {
                query_id: entry.id,
                parent: self.parent,
                principal: entry.principal.clone(),
                door: self.door,
                started_ns: entry.started_at.timestamp_nanos_opt().map_or(0, i64::unsigned_abs),
                took,
                first_rows: self.first_rows.get().copied(),
                rows: entry.rows,
                bytes: self.bytes.load(Ordering::Relaxed),
                outcome: outcome.to_owned(),
            });
        }
        tracing::info!(
            id = %entry.id, principal = entry.principal, door = self.door, state, rows = entry.rows, duration_ms = entry.duration_ms,
            error = entry.error.as_deref().unwrap_or(""), "statement"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close("cancelled", "cancelled", None);
    }
}

fn shorten(text: &str) -> String {
    let end = text.floor_char_boundary(SQL_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_knows_how_each_ended() {
        let log = QueryLog::new(Arc::default(), Arc::default());
        for n in 0..REMEMBERED_MAX + 10 {
            log.start(Uuid::now_v7(), "ana", &Client::default(), &format!("SELECT {n}"), 1, 1)
                .finish(None);
        }
        drop(log.start(Uuid::now_v7(), "ana", &Client::default(), "SELECT slow", 1, 1));
        let entries = log.entries();
        assert_eq!(entries.len(), REMEMBERED_MAX);
        assert_eq!(entries[0].state, "cancelled");
        assert_eq!(entries[1].state, "finished");
    }

    #[test]
    fn only_what_runs_and_may_be_cancelled_is() {
        let log = QueryLog::new(Arc::default(), Arc::default());
        let running = log.start(Uuid::now_v7(), "ana", &Client::default(), "SELECT slow", 1, 1);
        let mine = |name: &'static str| move |entry: &Entry| entry.principal == name;
        assert!(!log.cancel(running.id(), mine("sam")) && !log.cancel(Uuid::now_v7(), mine("ana")));
        assert!(!running.cancelled().is_cancelled());
        assert!(log.cancel(running.id(), mine("ana")) && running.cancelled().is_cancelled());
        running.finish(None);
        assert!(!log.cancel(running.id(), mine("ana")), "it has ended");
    }
}
