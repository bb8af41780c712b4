//! Care of tables that nobody has to ask for: many small files become few large ones, rows are arranged by the columns that
//! questions compare, the state of a table with many commits is written in one piece, and files that no version of the last weeks
//! needs are deleted.
//!
//! One table at a time, and only tables that labhouse itself made: what another tool writes under `tables/`, it may have
//! its own ideas about. A table that is being written to is left alone until it rests, unless it has grown very many
//! files. Readers are not disturbed: they keep the files of the version they began with. What was done stands in
//! `system.maintenance` and in the audit trail.

mod order;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use labhouse_catalog::{CHECKPOINT_COMMITS, Catalog, LakeError, LakeTable, Optimized, TableName, arranged_by};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Care as Settings;
use crate::engine::Engine;

pub(crate) use order::Telling;

/// Failures of which the words are remembered.
const PROBLEMS_MAX: usize = 1_000;
/// How often a table is searched for files that nobody needs: a search lists its whole folder.
const SEARCH: Duration = Duration::from_secs(24 * 3_600);
/// How long an order that told nobody anything is not looked at again under the same policies.
const TRUSTED: Duration = Duration::from_secs(600);
/// Commits of a table that tell whether its rows are replaced now and then.
const COMMITS_LOOKED_AT: usize = 20;
/// With so many times the small files that are enough, a table need not rest to be compacted.
const IMPATIENT: usize = 4;

/// What the next look must know, and what went wrong.
#[derive(Default)]
pub(crate) struct Care {
    /// Words for what failed, by its moment: the trail takes none, they may hold values.
    problems: Mutex<VecDeque<(i64, String)>>,
    tables: Mutex<BTreeMap<TableName, Seen>>,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Microseconds since 1970, UTC.
    pub(crate) at: i64,
    /// Who asked for it; none when the server saw the need.
    pub(crate) principal: Option<String>,
    pub(crate) table: TableName,
    /// `compact`, `arrange`, `checkpoint` or `vacuum`.
    pub(crate) work: &'static str,
    /// The columns that rows were arranged by; none of them when they went back to the order in which they came.
    pub(crate) columns: Option<Vec<String>>,
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
    /// The version that could not be compacted or arranged: it is not tried again on the same, but to undo an order that tells.
    failed: Option<u64>,
    searched: Option<Instant>,
    arranged: Option<Instant>,
    /// How many commits a checkpoint covers, as far as is known.
    checkpointed: u64,
    /// The version and the policies for which the order was found to tell nobody anything, and when: grants end by the clock.
    harmless: Option<(u64, u64, Instant)>,
}

/// What a table needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Compact,
    Checkpoint,
    Search,
}

impl Care {
    /// What went wrong at that moment, if this process saw it.
    pub(crate) fn problem(&self, at: i64) -> Option<String> {
        let problems = self.problems.lock();
        problems
            .iter()
            .find(|(then, _)| *then == at)
            .map(|(_, words)| words.clone())
    }
}

/// Tells the trail what was done, and keeps the words for what went wrong.
pub(crate) fn tell(engine: &Engine, done: &Done) {
    if let Some(words) = &done.problem {
        let mut problems = engine.care.problems.lock();
        if problems.len() >= PROBLEMS_MAX {
            problems.pop_front();
        }
        problems.push_back((done.at, words.clone()));
    }
    engine.audit.maintained(done);
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
        if let Some(by) = to_arrange(engine, settings, seen, table).await {
            arrange(engine, table, &by).await;
            continue;
        }
        let small = match table.files() >= settings.small_files.max(2) {
            true => table.small_files(),
            false => 0,
        };
        match need(settings, seen, table.version(), small, Instant::now()) {
            Some(Need::Compact) => compact(engine, table).await,
            Some(Need::Checkpoint) => checkpoint(engine, table).await,
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
    if seen.version == version && version + 1 >= seen.checkpointed.saturating_add(CHECKPOINT_COMMITS) {
        return Some(Need::Checkpoint);
    }
    let searched = seen.searched.is_some_and(|at| now.duration_since(at) < SEARCH);
    (settings.retain_hours > 0 && seen.version == version && !searched).then_some(Need::Search)
}

/// The columns to arrange a table by now; an order that tells somebody something goes at once.
async fn to_arrange(engine: &Engine, settings: &Settings, seen: Seen, table: &LakeTable) -> Option<Vec<String>> {
    let by = arranged_by(table);
    let (version, generation) = (table.version(), engine.policies.current().generation());
    let is_known = seen
        .harmless
        .is_some_and(|(at, under, when)| (at, under) == (version, generation) && when.elapsed() < TRUSTED);
    if !by.is_empty() && !is_known {
        // However often it failed before: as long as it stands, the order tells.
        if Telling::of(engine, table).objection(&by).is_some() {
            return Some(Vec::new());
        }
        engine
            .care
            .tables
            .lock()
            .entry(table.name().clone())
            .or_default()
            .harmless = Some((version, generation, Instant::now()));
    }
    if seen.version != version || seen.failed == Some(version) {
        return None;
    }
    let again = seen.arranged.is_none_or(|at| at.elapsed() >= SEARCH);
    let wanted = order::wanted(engine, settings, table, again)?;
    // Where rows are replaced, their files are found by where they came from; an order by something else would spread them.
    match labhouse_catalog::only_grew(table, COMMITS_LOOKED_AT).await {
        Ok(true) => Some(wanted),
        Ok(false) => None,
        Err(error) => {
            tracing::debug!(%error, table = %table.name(), "its history is not read");
            None
        }
    }
}

async fn arrange(engine: &Engine, table: &LakeTable, by: &[String]) {
    let (name, began) = (table.name(), Instant::now());
    let outcome = arrange_now(engine, name, by).await;
    if outcome.is_ok() {
        engine.catalog.lake().asked().forget(name);
    }
    let mut tables = engine.care.tables.lock();
    let seen = tables.entry(name.clone()).or_default();
    seen.arranged = Some(began);
    drop(tables);
    rewritten(engine, "arrange", Some(by.to_vec()), table, began, outcome);
}

/// Arranges the rows of a table by columns, on the threads and with the memory of statements.
pub(crate) async fn arrange_now(
    engine: &Engine,
    name: &TableName,
    by: &[String],
) -> Result<Optimized, labhouse_catalog::LakeError> {
    let run = |plan, context| engine.runner.start(plan, context, None);
    labhouse_catalog::arrange(&engine.catalog, name, by, engine.sessions.system(), &run).await
}

/// Merges small files; of a table whose rows are arranged, into arranged ones.
pub(crate) async fn compact_now(engine: &Engine, table: &LakeTable) -> Result<Optimized, labhouse_catalog::LakeError> {
    match arranged_by(table) {
        by if by.is_empty() => labhouse_catalog::optimize(&engine.catalog, table.name()).await,
        by => arrange_now(engine, table.name(), &by).await,
    }
}

async fn compact(engine: &Engine, table: &LakeTable) {
    let began = Instant::now();
    let outcome = compact_now(engine, table).await;
    rewritten(engine, "compact", None, table, began, outcome);
}

/// Tells what became of files that were written anew; a table that cannot be, or need not, is let be until it changes.
fn rewritten(
    engine: &Engine,
    work: &'static str,
    columns: Option<Vec<String>>,
    table: &LakeTable,
    began: Instant,
    outcome: Result<Optimized, labhouse_catalog::LakeError>,
) {
    let name = table.name();
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
    finish(engine, work, columns, name, began, outcome.err(), removed, added);
}

async fn checkpoint(engine: &Engine, table: &LakeTable) {
    let (name, began) = (table.name(), Instant::now());
    let outcome = labhouse_catalog::checkpoint(&engine.catalog, name).await;
    engine.care.tables.lock().entry(name.clone()).or_default().checkpointed = table.version() + 1;
    match outcome {
        Ok(None) => {}
        Ok(Some(_)) => finish(engine, "checkpoint", None, name, began, None, 0, 0),
        Err(error) => finish(engine, "checkpoint", None, name, began, Some(error), 0, 0),
    }
}

/// Deletes the files of a table that no version within `retain` needs, and what is kept of them in memory; how many there were.
pub(crate) async fn vacuum(
    engine: &Engine,
    catalog: &Catalog,
    name: &TableName,
    retain: chrono::Duration,
) -> Result<usize, LakeError> {
    let removed = labhouse_catalog::vacuum(catalog, name, retain).await;
    engine.sessions.forget_columns();
    removed
}

async fn search(engine: &Engine, settings: &Settings, table: &LakeTable) {
    let (name, began) = (table.name(), Instant::now());
    engine.care.tables.lock().entry(name.clone()).or_default().searched = Some(began);
    let retain = chrono::Duration::hours(settings.retain_hours);
    match labhouse_catalog::removable(&engine.catalog, name, retain).await {
        Ok(0) => return,
        Ok(_) => {}
        Err(error) => return finish(engine, "vacuum", None, name, began, Some(error), 0, 0),
    }
    let outcome = vacuum(engine, &engine.catalog, name, retain).await;
    let removed = outcome.as_ref().map_or(0, |removed| *removed as u64);
    finish(engine, "vacuum", None, name, began, outcome.err(), removed, 0);
}

#[expect(clippy::too_many_arguments, reason = "they are the fields of one record")]
fn finish(
    engine: &Engine,
    work: &'static str,
    columns: Option<Vec<String>>,
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
        at: Utc::now().timestamp_micros(),
        principal: None,
        table: name.clone(),
        work,
        columns,
        problem: problem.map(|error| error.to_string()),
        files_removed,
        files_added,
        duration: began.elapsed(),
    };
    tell(engine, &done);
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
            ..Seen::default()
        };
        let asked = |seen, version, small| need(&settings, seen, version, small, now);
        assert_eq!(asked(rested, 7, 10), Some(Need::Compact));
        assert_eq!(asked(rested, 7, 9), None, "too few");
        assert_eq!(asked(rested, 8, 10), None, "it was written to since the last look");
        assert_eq!(asked(rested, 8, 40), Some(Need::Compact), "it never rests");
        let many = CHECKPOINT_COMMITS - 1;
        assert_eq!(
            asked(
                Seen {
                    version: many,
                    ..rested
                },
                many,
                0
            ),
            Some(Need::Checkpoint)
        );
        assert_eq!(
            asked(
                Seen {
                    version: many,
                    ..rested
                },
                many + 1,
                0
            ),
            None,
            "it was written to"
        );
        let known = Seen {
            version: many,
            checkpointed: 1,
            ..rested
        };
        assert_eq!(asked(known, many, 0), None, "too few since the last one");
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
