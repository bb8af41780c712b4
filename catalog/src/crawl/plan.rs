//! What a sweep has to do, decided purely from listing, ledger and quarantine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::formats::Pinned;
use crate::name::TableName;

use super::folder_columns::{Evidence, FolderColumn};
use super::folders::FolderRule;
use super::landing::{Landed, Listing};
use super::layout::{self, Counts, Place, Target};
use super::ledger::{self, Did};
use super::options::CrawlOptions;
use super::pins::{self, Pins};
use super::quarantine::Record;
use super::report::{FileOutcome, FileStatus};

/// What the ledgers of all tables say of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(pub(crate) BTreeMap<TableName, ledger::Known>);

impl History {
    /// The newest entry: it names the content and all tables the file feeds.
    pub(crate) fn newest(&self) -> Option<&ledger::Known> {
        self.0.values().max_by_key(|k| (k.at, k.entry.status != Did::Gone))
    }

    /// The digest whose rows are in all the right tables and in no other; `None` while anything is missing.
    pub(crate) fn complete(&self) -> Option<&str> {
        let newest = &self.newest()?.entry;
        let all_there = newest.tables.iter().all(|table| {
            self.0
                .get(table)
                .is_some_and(|k| k.entry.held && k.entry.status != Did::Gone && k.entry.sha256 == newest.sha256)
        });
        let none_left = self
            .0
            .iter()
            .all(|(table, k)| newest.tables.contains(table) || !k.entry.held);
        (all_there && none_left && !newest.tables.is_empty()).then_some(newest.sha256.as_str())
    }

    fn is_gone(&self) -> bool {
        self.0.values().all(|k| k.entry.status == Did::Gone)
    }

    /// The report on a file that is as the ledger has it.
    pub(crate) fn outcome(&self, path: &str, status: FileStatus) -> FileOutcome {
        let mut outcome = FileOutcome::new(path, status, 0);
        let Some(newest) = self.newest() else { return outcome };
        outcome.bytes = newest.entry.bytes;
        outcome.taken_for.clone_from(&newest.entry.taken_for);
        outcome.at = Some(newest.at);
        // Only the main table's entry has the file's head.
        let main = newest.entry.tables.first().and_then(|table| self.0.get(table));
        outcome.tell(main.map_or(&newest.entry.told, |known| &known.entry.told));
        let mut first = true;
        for table in &newest.entry.tables {
            let Some(known) = self.0.get(table) else { continue };
            outcome.tables.push(table.to_string());
            outcome.rows += known.entry.rows;
            if first {
                outcome.version = Some(known.version);
                first = false;
            }
        }
        outcome
    }
}

/// A file that must be read.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) file: Landed,
    pub(crate) main: TableName,
    /// What its folders say of its rows.
    pub(crate) folders: Vec<FolderColumn>,
}

/// The sweep's work.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Files that need nothing done.
    pub(crate) settled: Vec<FileOutcome>,
    pub(crate) due: Vec<Due>,
    /// Files in the ledger that are no longer in the landing folder.
    pub(crate) gone: Vec<String>,
    /// Files to be put into quarantine unread.
    pub(crate) refused: Vec<(Landed, String)>,
    /// Quarantine records whose file is gone.
    pub(crate) stale: Vec<String>,
}

/// What the crawler remembers between sweeps: the stamp under which a file's digest was last checked.
pub(crate) type Verified = BTreeMap<String, (String, String)>;

/// Tables that cannot be opened or have no readable ledger, with the reason. Their files wait; all others go on.
pub(crate) type Blocked = BTreeMap<TableName, String>;

/// What is known beforehand.
pub(crate) struct Known<'k> {
    pub(crate) history: &'k BTreeMap<String, History>,
    pub(crate) blocked: &'k Blocked,
    pub(crate) quarantine: &'k BTreeMap<String, Record>,
    pub(crate) verified: &'k Verified,
    pub(crate) pins: &'k Pins,
}

pub(crate) fn plan(
    listing: Listing,
    known: &Known<'_>,
    options: &CrawlOptions,
    settle_before: Option<DateTime<Utc>>,
) -> Plan {
    let Known {
        history,
        blocked,
        quarantine,
        verified,
        pins,
    } = *known;
    let mut plan = Plan::default();
    let counts = Counts::of(&listing);
    let mut evidence = Evidence::default();
    let mut due = Vec::new();
    let mut present: BTreeSet<String> = listing.odd.iter().map(|(path, _)| path.clone()).collect();
    for (path, reason) in listing.odd {
        plan.settled
            .push(FileOutcome::new(&path, FileStatus::Ignored, 0).because(reason));
    }
    for mut file in listing.files {
        present.insert(file.path.clone());
        let pinned = pins::of(pins, &file.path);
        let pin = pinned.and_then(|pin| pin.as_ref().ok());
        let Place { target, said, loose } =
            layout::place(&file.path, pin.map_or(&FolderRule::Form, |pin| &pin.folders));
        let named = match target {
            Target::Table(table) => table,
            Target::Settings => {
                plan.settled.push(settings(&file, pins));
                continue;
            }
            Target::Ignored(reason) => {
                plan.settled
                    .push(FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes).because(reason));
                continue;
            }
            Target::Misplaced(reason) => {
                plan.refused.push((file, reason.to_owned()));
                continue;
            }
        };
        match pinned {
            None => {}
            Some(Ok(pin)) => {
                if let Some(pattern) = pin.skips(file.name()) {
                    let reason = format!("{} says to skip {pattern:?}", pin.path);
                    plan.settled
                        .push(FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes).because(reason));
                    continue;
                }
                file.pin = Some(Arc::clone(pin));
            }
            Some(Err(reason)) => {
                let loaded = history.get(&file.path).filter(|known| known.complete().is_some());
                plan.settled.push(match loaded {
                    Some(known) => known.outcome(&file.path, FileStatus::Unchanged),
                    None => FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes)
                        .because(format!("the settings of its folder cannot be used: {reason}")),
                });
                continue;
            }
        }
        let known = history.get(&file.path);
        let mut main = layout::grouped(&file.path, (named, loose), pin.map(Arc::as_ref), &counts);
        if let Some(entry) = known.and_then(History::newest).map(|known| &known.entry)
            && let Some(home) = entry.tables.first().filter(|home| **home != main)
            && entry.sha256.split_once('+').map_or("", |(_, mark)| mark)
                == file.pin.as_ref().map_or("", |pin| pin.mark.as_str())
            && layout::candidates(&file.path).contains(home)
        {
            // A file that is loaded stays in its table.
            main = home.clone();
        }
        evidence.see(&main, &said);
        if let Some(reason) = why_blocked(&main, blocked) {
            plan.settled
                .push(FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason));
            continue;
        }
        if let (Some(known), Some(sha256)) = (known, known.and_then(History::complete)) {
            let mark = file.mark();
            let same_stamp = known.newest().is_some_and(|k| k.entry.stamp == mark);
            let checked = verified
                .get(&file.path)
                .is_some_and(|(stamp, digest)| *stamp == mark && digest == sha256);
            if same_stamp || checked {
                plan.settled.push(known.outcome(&file.path, FileStatus::Unchanged));
                continue;
            }
        }
        if let Some(record) = quarantine.get(&file.path).filter(|r| r.stamp == file.mark()) {
            plan.settled.push(record.outcome());
        } else if settle_before.is_some_and(|t| file.modified > t && file.modified < t + options.settle * 2) {
            // A time far ahead is a wrong clock, not a fresh file.
            let reason = "it was written to a moment ago; it is read once it rests";
            plan.settled
                .push(FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason));
        } else if file.bytes > options.file_bytes_max {
            let reason = format!(
                "it has {} bytes, more than the {} allowed: split it, or raise file_bytes_max",
                file.bytes, options.file_bytes_max
            );
            plan.refused.push((file, reason));
        } else {
            due.push((file, main, said));
        }
    }
    let nothing_pinned = Pinned::default();
    // Only now all folders are known that decide what the values of one of them are.
    plan.due = due
        .into_iter()
        .map(|(file, main, said)| {
            let pinned = file.pin.as_ref().map(|pin| &pin.reading).unwrap_or(&nothing_pinned);
            let folders = evidence.columns(&main, &said, pinned);
            Due { file, main, folders }
        })
        .collect();
    for (path, known) in history {
        if present.contains(path) {
            continue;
        }
        if known.0.keys().any(|table| why_blocked(table, blocked).is_some()) {
            continue;
        }
        let rows_left = known.0.values().any(|k| k.entry.held);
        if known.is_gone() && !(rows_left && options.gone == super::options::Gone::DeleteRows) {
            plan.settled.push(known.outcome(path, FileStatus::Gone));
        } else {
            plan.gone.push(path.clone());
        }
    }
    plan.stale = quarantine
        .keys()
        .filter(|path| !present.contains(*path))
        .cloned()
        .collect();
    plan
}

/// What is said of a file of settings.
fn settings(file: &Landed, pins: &Pins) -> FileOutcome {
    let folder = file
        .path
        .strip_suffix(pins::FILE)
        .unwrap_or_default()
        .trim_end_matches('/');
    match pins.get(folder) {
        Some(Err(reason)) => FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes)
            .because(format!("it cannot be used, and the files of its folder wait: {reason}")),
        Some(Ok(_)) | None => FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes)
            .because("the settings of its folder, followed for the files in it and below it"),
    }
}

/// A file may feed its main table and all blocks of it: one that is blocked stops it.
fn why_blocked(main: &TableName, blocked: &Blocked) -> Option<String> {
    let block = format!("{}__", main.table);
    let (table, reason) = blocked
        .iter()
        .find(|(name, _)| name.schema == main.schema && (name.table == main.table || name.table.starts_with(&block)))?;
    Some(format!("its table {table} cannot be used now: {reason}"))
}
