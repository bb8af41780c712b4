//! The crawler: landed files into Delta tables, each exactly once.
//!
//! A sweep lists the landing folder, compares it with the ledgers, reads what is new or changed, and commits batch by batch
//! ([`batch`] is the heart). It may be killed anywhere and run by several servers at once: all that counts is in the Delta log.

mod apart;
mod batch;
mod bucket;
mod build;
mod columns;
mod convert;
mod evidence;
mod folder_columns;
mod folders;
mod history;
mod kinds;
mod landing;
mod layout;
mod ledger;
mod likeness;
mod links;
mod mixed;
mod moved;
mod options;
mod pattern;
mod pieces;
mod pins;
mod plan;
mod quarantine;
mod queue;
mod reader;
mod reconcile;
mod regroup;
mod report;
mod rows;
mod shape;
mod stream;
mod sweep;
mod told;
mod types;
mod wanted;
mod watch;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::error::LakeError;

pub(crate) use layout::{Counts, Target, counted, main_table, target};
pub(crate) use pins::{FILE as SETTINGS, Pin};
pub(crate) use quarantine::hex;
pub(crate) use rows::unwritable;
pub(crate) use shape::{SOURCE_FILE, SOURCE_ROW};

/// The table that a path below `landing/` names; none for what is no data or lies in a place without a meaning.
pub fn landing_table(path: &str) -> Option<crate::TableName> {
    match target(path) {
        Target::Table(table) => Some(table),
        Target::Ignored(_) | Target::Settings | Target::Misplaced(_) => None,
    }
}

pub use evidence::{KIND_KEY, PROPOSED_PREFIX};
pub use options::{CrawlOptions, Gone};
pub use queue::{Queue, Received};
pub use report::{FileOutcome, FileRecord, FileStatus, SweepReport};
pub use watch::Watch;

use history::Histories;
use plan::{Blocked, Verified};

/// Loads landed files into the tables of one catalog.
pub struct Crawler {
    catalog: Arc<Catalog>,
    options: CrawlOptions,
    ledgers: ledger::Ledgers,
    quarantined: Mutex<quarantine::Seen>,
    verified: Mutex<Verified>,
    pins: Mutex<pins::Seen>,
    /// Of the last sweep: the files neither ledger nor quarantine knows.
    unrecorded: Mutex<Vec<FileOutcome>>,
    /// One sweep at a time; others wait for it.
    sweeping: tokio::sync::Mutex<()>,
}

impl Crawler {
    pub fn new(catalog: Arc<Catalog>, options: CrawlOptions) -> Self {
        Self {
            catalog,
            options,
            ledgers: ledger::Ledgers::default(),
            quarantined: Mutex::default(),
            verified: Mutex::default(),
            pins: Mutex::default(),
            unrecorded: Mutex::default(),
            sweeping: tokio::sync::Mutex::new(()),
        }
    }

    /// One pass over the landing folder. The catalog's snapshot holds the new rows when this returns. The report has every
    /// file, also those that are as they were.
    ///
    /// # Errors
    /// The lake cannot be listed or written. What was committed before stays; the next sweep goes on from there.
    pub async fn sweep(&self) -> Result<SweepReport, LakeError> {
        let mut unchanged = Vec::new();
        let mut report = self.sweep_telling(|file| unchanged.push(file)).await?;
        report.unchanged = 0;
        report.files.extend(unchanged);
        report.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(report)
    }

    /// As [`Crawler::sweep`], but files that are as they were are told one by one and are not in the report.
    ///
    /// # Errors
    /// As [`Crawler::sweep`].
    pub async fn sweep_telling(&self, mut unchanged: impl FnMut(FileOutcome) + Send) -> Result<SweepReport, LakeError> {
        self.pass(Some(&mut unchanged)).await
    }

    /// As [`Crawler::sweep`], with nothing in the report of files that are as they were.
    ///
    /// # Errors
    /// As [`Crawler::sweep`].
    pub async fn sweep_changes(&self) -> Result<SweepReport, LakeError> {
        self.pass(None).await
    }

    async fn pass(&self, unchanged: plan::Unchanged<'_>) -> Result<SweepReport, LakeError> {
        let _one = self.sweeping.lock().await;
        let lake = self.catalog.lake();
        let listing = landing::list(lake).await?;
        self.catalog.refresh().await?;
        let (ledgers, blocked) = self.all_ledgers().await;
        let history = Histories::of(&ledgers);
        let quarantine = quarantine::read(lake, &self.quarantined).await?;
        // An object appears whole; only a local file can be seen half written.
        let settle_before = lake.local_root().map(|_| Utc::now() - self.options.settle);
        let pins = pins::read(lake, &listing, &self.pins, settle_before).await?;
        let plan = {
            let known = plan::Known {
                history: &history,
                blocked: &blocked,
                quarantine: &quarantine,
                verified: &self.verified.lock(),
                pins: &pins,
                is_local: lake.local_root().is_some(),
            };
            plan::plan(listing, &known, &self.options, settle_before, unchanged)
        };
        let untold = plan.unchanged;
        let files = self.act(plan, &history, &quarantine).await?;
        let unrecorded = files
            .iter()
            .filter(|f| matches!(f.status, FileStatus::Waiting | FileStatus::Ignored));
        *self.unrecorded.lock() = unrecorded.cloned().collect();
        Ok(SweepReport {
            files,
            unchanged: untold,
        })
    }

    /// Word of changes below `landing/`; `None` on an object store, where only the timed sweep finds them.
    ///
    /// # Errors
    /// [`LakeError::Watch`] when the system has no watches left.
    pub fn watch(&self) -> Result<Option<Watch>, LakeError> {
        Watch::new(self.catalog.lake(), self.options.settle)
    }

    /// Every file the lake has a record of, and those the last sweep left alone, in the order of their paths.
    ///
    /// # Errors
    /// Ledger or quarantine cannot be read.
    pub async fn files(&self) -> Result<Vec<FileRecord>, LakeError> {
        let mut files: BTreeMap<String, FileRecord> = BTreeMap::new();
        for one in self.unrecorded.lock().iter() {
            files.insert(one.path.clone(), one.clone());
        }
        let (ledgers, _) = self.all_ledgers().await;
        let history = Histories::of(&ledgers);
        let renamed = history.renamed();
        for known in history.iter() {
            let mut file = known.recorded();
            if let (FileStatus::Gone, false, Some(to)) = (file.status, known.is_held(), renamed.get(known.path())) {
                file.reason = Some(report::is_now(to));
            }
            files.insert(known.path().to_owned(), file);
        }
        for (path, record) in quarantine::read(self.catalog.lake(), &self.quarantined).await? {
            let mut file = record.outcome();
            // What it held before it could not be read any more is in its tables still.
            if let Some(before) = history.get(&path).filter(|known| known.is_held()) {
                file = file.beside(before.recorded());
            }
            files.insert(path, file);
        }
        Ok(files.into_values().collect())
    }

    /// Takes over which files a sweep somewhere else left alone, as the last sweep here would have told it: neither ledger nor
    /// quarantine knows them.
    pub fn take_over(&self, unrecorded: Vec<FileRecord>) {
        *self.unrecorded.lock() = unrecorded;
    }

    /// Lets a file out of quarantine: the next sweep reads it as if it had just landed.
    ///
    /// # Errors
    /// [`LakeError::NotQuarantined`], and a store that fails.
    pub async fn release(&self, path: &str) -> Result<(), LakeError> {
        quarantine::release(self.catalog.lake(), path).await
    }

    /// Leaves a file in quarantine alone, as `who` says, until its content changes or it is released.
    ///
    /// # Errors
    /// As [`Crawler::release`].
    pub async fn ignore(&self, path: &str, who: &str) -> Result<(), LakeError> {
        quarantine::ignore(self.catalog.lake(), path, who).await
    }

    /// The ledgers of all tables; and the tables that cannot be crawled into, with the reason.
    async fn all_ledgers(&self) -> (Vec<history::Of>, Blocked) {
        let snapshot = self.catalog.snapshot();
        let mut ledgers = Vec::new();
        let mut blocked: Blocked = snapshot.broken.iter().cloned().collect();
        for table in snapshot.all().chain(snapshot.dropped()) {
            match self.ledgers.of(self.catalog.lake(), Some(table)).await {
                Ok(ledger) => ledgers.push(history::Of {
                    table: table.name().clone(),
                    ledger,
                    is_dropped: table.is_dropped(),
                }),
                Err(error) => {
                    tracing::warn!(table = %table.name(), %error, "its ledger cannot be read: its files wait");
                    blocked.insert(table.name().clone(), error.to_string());
                }
            }
        }
        (ledgers, blocked)
    }
}

impl std::fmt::Debug for Crawler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crawler({:?})", self.catalog)
    }
}
