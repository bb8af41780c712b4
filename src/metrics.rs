//! Numbers about the server for Prometheus: how much, how long, how full. No names, no texts, no values of data; but they
//! move when anything does, so the HTTP door gives them to administrators only.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use labhouse_catalog::{FileStatus, SweepReport};

use crate::cluster::NodeState;
use crate::engine::Engine;
use crate::system::status;

/// Upper bounds of the classes of durations, in milliseconds: a point query to a long report.
const CLASSES_MS: [u64; 10] = [1, 5, 10, 50, 100, 500, 1_000, 10_000, 60_000, 600_000];
/// How a statement can end: the words of the query log and of refusals.
const OUTCOMES: [&str; 13] = [
    "finished",
    "cancelled",
    "syntax",
    "invalid",
    "not_found",
    "denied",
    "exhausted",
    "deadline",
    "unsupported",
    "conflict",
    "unavailable",
    "internal",
    "other",
];
const STATUSES: [FileStatus; 7] = [
    FileStatus::Loaded,
    FileStatus::Replaced,
    FileStatus::Unchanged,
    FileStatus::Gone,
    FileStatus::Quarantined,
    FileStatus::Waiting,
    FileStatus::Ignored,
];

/// What is counted while it happens.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    outcomes: [AtomicU64; OUTCOMES.len()],
    classes: [AtomicU64; CLASSES_MS.len()],
    duration_us: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    running: AtomicI64,
    sweeps: AtomicU64,
    sweeps_failed: AtomicU64,
    files: [AtomicU64; STATUSES.len()],
}

impl Metrics {
    pub(crate) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement ended; `outcome` is `finished`, `cancelled` or the word of its error.
    pub(crate) fn ended(&self, outcome: &str, took: Duration) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let at = OUTCOMES.iter().position(|known| *known == outcome);
        if let Some(count) = self.outcomes.get(at.unwrap_or(OUTCOMES.len() - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for (class, bound) in self.classes.iter().zip(CLASSES_MS) {
            if milliseconds <= bound {
                class.fetch_add(1, Ordering::Relaxed);
            }
        }
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.duration_us.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A sweep ended; none when it failed.
    pub(crate) fn swept(&self, report: Option<&SweepReport>) {
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        let Some(report) = report else {
            self.sweeps_failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for (count, status) in self.files.iter().zip(STATUSES) {
            count.fetch_add(report.count(status) as u64, Ordering::Relaxed);
        }
    }
}

/// One page in Prometheus' text form.
pub(crate) fn page(engine: &Engine) -> String {
    let mut page = Page(String::with_capacity(4 << 10));
    let metrics = &engine.metrics;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);

    page.family(
        "labhouse_statements_total",
        "counter",
        "Statements that ended, by outcome",
    );
    for (outcome, count) in OUTCOMES.iter().zip(&metrics.outcomes) {
        page.labelled("labhouse_statements_total", "outcome", outcome, of(count));
    }
    page.family(
        "labhouse_statement_seconds",
        "histogram",
        "Time from admission to the last row",
    );
    for (bound, count) in CLASSES_MS.iter().zip(&metrics.classes) {
        let bound = (*bound as f64 / 1000.0).to_string();
        page.labelled("labhouse_statement_seconds_bucket", "le", &bound, of(count));
    }
    let all: u64 = metrics.outcomes.iter().map(of).sum();
    page.labelled("labhouse_statement_seconds_bucket", "le", "+Inf", all);
    page.value("labhouse_statement_seconds_sum", of(&metrics.duration_us) as f64 / 1e6);
    page.value("labhouse_statement_seconds_count", all);
    page.counter("labhouse_rows_total", "Rows delivered", of(&metrics.rows));
    page.counter("labhouse_bytes_total", "Bytes of values delivered", of(&metrics.bytes));

    let running = metrics.running.load(Ordering::Relaxed);
    page.gauge("labhouse_statements_running", "Statements that run", running);
    let admission = &engine.admission;
    page.gauge(
        "labhouse_admission_places_free",
        "Statements that could start now",
        admission.free(),
    );
    page.gauge(
        "labhouse_admission_waiting",
        "Statements that wait for their turn",
        admission.waiting(),
    );
    if let Some(cluster) = &engine.cluster {
        let (shared, again) = cluster.counts();
        page.counter("labhouse_shared_total", "Statements shared with workers", shared);
        page.counter(
            "labhouse_shared_lost_total",
            "Statements whose worker was lost: run again here, or failed",
            again,
        );
        let (begun, again) = cluster.training_counts();
        page.counter("labhouse_trainings_shared_total", "Trainings that workers began", begun);
        page.counter(
            "labhouse_trainings_lost_total",
            "Trainings whose worker was lost: begun once more here",
            again,
        );
        let ready = cluster
            .all()
            .iter()
            .filter(|node| node.state == NodeState::Ready)
            .count();
        page.gauge("labhouse_workers_ready", "Workers that can be used", ready);
    }
    let (memory, spilled) = engine.sessions.used();
    page.gauge("labhouse_memory_bytes", "Memory that running statements hold", memory);
    page.gauge("labhouse_spill_bytes", "Disk that running statements hold", spilled);

    let (kept, found, decoded) = engine.sessions.columns();
    page.gauge("labhouse_columns_bytes", "Memory of columns that are kept", kept);
    page.counter(
        "labhouse_columns_found_total",
        "Columns of row groups that were kept when they were asked for again",
        found,
    );
    page.counter(
        "labhouse_columns_decoded_total",
        "Columns of row groups that were asked for again and had to be decoded",
        decoded,
    );

    page.counter("labhouse_sweeps_total", "Sweeps of the crawler", of(&metrics.sweeps));
    page.counter(
        "labhouse_sweeps_failed_total",
        "Sweeps that failed",
        of(&metrics.sweeps_failed),
    );
    page.family(
        "labhouse_files_total",
        "counter",
        "What sweeps said of landed files, by status",
    );
    for (known, count) in STATUSES.iter().zip(&metrics.files) {
        page.labelled("labhouse_files_total", "status", status(*known), of(count));
    }
    let world = engine.world();
    page.counter(
        "labhouse_catalog_generation",
        "Catalog snapshots taken over",
        world.catalog.generation,
    );
    page.counter(
        "labhouse_policy_generation",
        "Policy sets put in force",
        world.policies.generation(),
    );
    let (waiting, unfolded, healthy) = engine.audit.lag();
    page.gauge("labhouse_audit_waiting", "Audit events not yet durable", waiting);
    page.gauge(
        "labhouse_audit_unfolded",
        "Audit events not yet in their table",
        unfolded,
    );
    page.gauge(
        "labhouse_audit_healthy",
        "1 while the audit trail is written",
        u8::from(healthy),
    );
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, label: &str, word: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{{{label}=\"{word}\"}} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "counter", help);
        self.value(name, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.value(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_once_and_falls_into_its_classes() {
        let metrics = Metrics::default();
        for outcome in ["finished", "exhausted", "a new word"] {
            metrics.started();
            metrics.ended(outcome, Duration::from_millis(7));
        }
        let all: u64 = metrics.outcomes.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!((all, metrics.running.load(Ordering::Relaxed)), (3, 0));
        let classes: Vec<u64> = metrics
            .classes
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(classes, [0, 0, 3, 3, 3, 3, 3, 3, 3, 3]);
    }
}
