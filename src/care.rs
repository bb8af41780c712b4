//! Care of tables that nobody has to ask for: many small files become few large ones, and files that no version of the last
//! weeks needs are deleted.
//!
//! One table at a time, and only tables that labhouse itself made: what another tool writes under `tables/`, it may have
//! its own ideas about. A table that is being written to is left alone until it rests, unless it has grown very many
//! files. Readers are not disturbed: they keep the files of the version they began with. What was done stands in
//! `system.maintenance` and in the audit trail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use labhouse_catalog::{LakeTable, TableName};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Care as Settings;
use crate::engine::Engine;

/// What is remembered for `system.maintenance`.
const REMEMBERED_MAX: usize = 1_000;
/// How often a table is searched for files that nobody needs: a search lists its whole folder.
const SEARCH: Duration = Duration::from_secs(24 * 3_600);
/// With so many times the small files that are enough, a table need not rest to be compacted.
const IMPATIENT: usize = 4;

/// What was done, and what the next look must know.
#[derive(Default)]
pub(crate) struct Care {
    done: Mutex<VecDeque<Done>>,
    tables: Mutex<BTreeMap<TableName, Seen>>,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) at: DateTime<Utc>,
    pub(crate) table: TableName,
    /// `compact` or `vacuum`.
    pub(crate) work: &'static str,
    /// None when it was done.
    pub(crate) problem: Option<String>,
    pub(crate) files_removed: u64,
    pub(crate) files_added: u64,
    pub(crate) duration: Duration,
}

/// A table as the last look saw it.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    version: u64,
    /// The version whose compaction failed: it is not tried again on the same.
    failed: Option<u64>,
    searched: Option<Instant>,
}

/// What a table needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Compact,
    Search,
}

impl Care {
    /// The newest last.
    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.lock().iter().cloned().collect()
    }

    fn remember(&self, done: Done) {
        let mut kept = self.done.lock();
        if kept.len() >= REMEMBERED_MAX {
            kept.pop_front();
        }
        kept.push_back(done);
    }
}

/// Looks at the tables until the server stops.
pub(crate) async fn follow(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let settings = engine.config.care.clone();
    if settings.interval_s == 0 {
        return;
    }
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(Duration::from_secs(settings.interval_s)) => {}
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = look(&engine, &settings) => {}
        }
    }
}

/// Does what is needed now, one table after the other. Cut off in the middle it leaves files that a later search deletes.
async fn look(engine: &Engine, settings: &Settings) {
    let catalog = engine.catalog.snapshot();
    let tables: Vec<Arc<LakeTable>> = catalog.all().filter(|table| table.is_own()).cloned().collect();
    let names: Vec<&TableName> = tables.iter().map(|table| table.name()).collect();
    engine.care.tables.lock().retain(|name, _| names.contains(&name));
    for table in &tables {
        let seen = {
            let mut tables = engine.care.tables.lock();
            let seen = tables.entry(table.name().clone()).or_default();
            let before = *seen;
            seen.version = table.version();
            before
        };
        let small = match table.files() >= settings.small_files.max(2) {
            true => table.small_files(),
            false => 0,
        };
        match need(settings, seen, table.version(), small, Instant::now()) {
            Some(Need::Compact) => compact(engine, table).await,
            Some(Need::Search) => search(engine, settings, table).await,
            None => {}
        }
    }
}

/// What a table needs, most urgent first.
fn need(settings: &Settings, seen: Seen, version: u64, small: usize, now: Instant) -> Option<Need> {
    let enough = settings.small_files.max(2);
    let rests = seen.version == version || small >= enough.saturating_mul(IMPATIENT);
    if small >= enough && rests && seen.failed != Some(version) {
        return Some(Need::Compact);
    }
    let searched = seen.searched.is_some_and(|at| now.duration_since(at) < SEARCH);
    (settings.retain_hours > 0 && seen.version == version && !searched).then_some(Need::Search)
}

async fn compact(engine: &Engine, table: &LakeTable) {
    let (name, began) = (table.name(), Instant::now());
    let outcome = labhouse_catalog::optimize(&engine.catalog, name).await;
    let nothing = matches!(&outcome, Ok(done) if done.files_removed == 0);
    if outcome.is_err() || nothing {
        let mut tables = engine.care.tables.lock();
        tables.entry(name.clone()).or_default().failed = Some(table.version());
    }
    if nothing {
        return;
    }
    let (removed, added) = outcome
        .as_ref()
        .map_or((0, 0), |done| (done.files_removed, done.files_added));
    finish(engine, "compact", name, began, outcome.err(), removed, added);
}

async fn search(engine: &Engine, settings: &Settings, table: &LakeTable) {
    let (name, began) = (table.name(), Instant::now());
    engine.care.tables.lock().entry(name.clone()).or_default().searched = Some(began);
    let retain = chrono::Duration::hours(settings.retain_hours);
    match labhouse_catalog::removable(&engine.catalog, name, retain).await {
        Ok(0) => return,
        Ok(_) => {}
        Err(error) => return finish(engine, "vacuum", name, began, Some(error), 0, 0),
    }
    let outcome = labhouse_catalog::vacuum(&engine.catalog, name, retain).await;
    let removed = outcome.as_ref().map_or(0, |removed| *removed as u64);
    finish(engine, "vacuum", name, began, outcome.err(), removed, 0);
}

fn finish(
    engine: &Engine,
    work: &'static str,
    name: &TableName,
    began: Instant,
    problem: Option<labhouse_catalog::LakeError>,
    files_removed: u64,
    files_added: u64,
) {
    if let Some(error) = &problem {
        tracing::warn!(%error, table = %name, work, "care of a table failed; it is tried again when the table has changed");
    }
    let done = Done {
        at: Utc::now(),
        table: name.clone(),
        work,
        problem: problem.map(|error| error.to_string()),
        files_removed,
        files_added,
        duration: began.elapsed(),
    };
    engine.audit.maintained(&done);
    engine.care.remember(done);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cared_for_when_it_needs_it_and_rests() {
        let settings = Settings {
            small_files: 10,
            retain_hours: 200,
            ..Settings::default()
        };
        let now = Instant::now();
        let rested = Seen {
            version: 7,
            failed: None,
            searched: Some(now),
        };
        let asked = |seen, version, small| need(&settings, seen, version, small, now);
        assert_eq!(asked(rested, 7, 10), Some(Need::Compact));
        assert_eq!(asked(rested, 7, 9), None, "too few");
        assert_eq!(asked(rested, 8, 10), None, "it was written to since the last look");
        assert_eq!(asked(rested, 8, 40), Some(Need::Compact), "it never rests");
        let failed = Seen {
            failed: Some(7),
            ..rested
        };
        assert_eq!(asked(failed, 7, 10), None, "the same would fail again");
        let never = Seen {
            searched: None,
            ..rested
        };
        assert_eq!(asked(never, 7, 0), Some(Need::Search));
        assert_eq!(asked(never, 8, 0), None);
        let later = now + SEARCH;
        assert_eq!(need(&settings, rested, 7, 0, later), Some(Need::Search));
        let keeps = Settings {
            retain_hours: 0,
            ..settings.clone()
        };
        assert_eq!(need(&keeps, never, 7, 0, now), None);
    }
}
