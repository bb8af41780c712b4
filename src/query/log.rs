//! The query log: the last statements, who ran them and how they ended.
//!
//! It lives in memory with a bounded length and feeds `system.queries`; each ended statement is also one line of the
//! server's log. Result values never enter it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

/// Statements remembered; at about 1 KiB each this is some 2 MiB.
const REMEMBERED_MAX: usize = 2_000;
/// Bytes of a statement's text that are kept.
const SQL_BYTES_MAX: usize = 1_000;

/// Remembers statements.
#[derive(Default)]
pub(crate) struct QueryLog {
    entries: Mutex<VecDeque<Arc<Mutex<Entry>>>>,
}

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) principal: String,
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
    started: Instant,
}

impl QueryLog {
    /// Opens an entry under the statement's number.
    pub(crate) fn start(
        &self,
        id: Uuid,
        principal: &str,
        sql: &str,
        policy_generation: u64,
        catalog_generation: u64,
    ) -> Running {
        let entry = Arc::new(Mutex::new(Entry {
            id,
            principal: principal.to_owned(),
            sql: shorten(sql),
            started_at: Utc::now(),
            state: "running",
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
        entries.push_back(Arc::clone(&entry));
        Running {
            entry,
            started: Instant::now(),
        }
    }

    /// The remembered statements, newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries
            .lock()
            .iter()
            .rev()
            .map(|entry| entry.lock().clone())
            .collect()
    }
}

impl Running {
    pub(crate) fn id(&self) -> Uuid {
        self.entry.lock().id
    }

    pub(crate) fn count(&self, rows: usize) {
        self.entry.lock().rows += rows as u64;
    }

    /// Closes the entry with its outcome; only the first call counts.
    pub(crate) fn finish(&self, error: Option<&dyn std::fmt::Display>) {
        self.close(
            if error.is_some() { "failed" } else { "finished" },
            error.map(|error| shorten(&error.to_string())),
        );
    }

    fn close(&self, state: &'static str, error: Option<String>) {
        let mut entry = self.entry.lock();
        if entry.state != "running" {
            return;
        }
        entry.state = state;
        entry.error = error;
        entry.duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            id = %entry.id, principal = entry.principal, state, rows = entry.rows, duration_ms = entry.duration_ms,
            error = entry.error.as_deref().unwrap_or(""), "statement"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close("cancelled", None);
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
        let log = QueryLog::default();
        for n in 0..REMEMBERED_MAX + 10 {
            log.start(Uuid::now_v7(), "ana", &format!("SELECT {n}"), 1, 1)
                .finish(None);
        }
        drop(log.start(Uuid::now_v7(), "ana", "SELECT slow", 1, 1));
        let entries = log.entries();
        assert_eq!(entries.len(), REMEMBERED_MAX);
        assert_eq!(entries[0].state, "cancelled");
        assert_eq!(entries[1].state, "finished");
    }
}
