//! The ledger of a table: which landed file gave which rows. It is the fold of the manifests in the table's own commits.
//!
//! The truth is the Delta log: batch `n` is committed exactly when the table's transaction version for [`CRAWL_APP`] reaches
//! `n`, and its manifest is in that commit. The objects under `_labhouse/ledger/` are copies for reading quickly; a missing one
//! is made again from the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::bring_back::Live;
use crate::delta::{BATCH_KEY, CRAWL_APP};
use crate::error::LakeError;
use crate::lake::{Lake, Put, STATE};
use crate::name::TableName;
use crate::table::LakeTable;

use super::told::Told;

/// Manifests read at the same time when a ledger is opened.
const READ_AT_ONCE: usize = 16;
/// Manifests in memory at the same time: they say at length what the ledger keeps in brief.
const WINDOW: i64 = 64;

/// What one batch did for one file in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Did {
    Loaded,
    Replaced,
    Gone,
}

/// One file in one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) stamp: String,
    pub(crate) sha256: String,
    /// Rows of this file in this table after the batch.
    pub(crate) rows: u64,
    pub(crate) status: Did,
    /// The table holds what the file with this digest has to give it: false once its rows were deleted.
    pub(crate) held: bool,
    /// All tables the file feeds.
    pub(crate) tables: Vec<TableName>,
    pub(crate) taken_for: String,
    #[serde(default, skip_serializing_if = "Told::is_nothing")]
    pub(crate) told: Told,
    /// The path it had before it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved_from: Option<String>,
    /// Its rows went with the table, which was dropped and is there anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dropped: bool,
}

/// One batch: what is in the commit, and in `_labhouse/ledger/<schema>/<table>/<n>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) table_id: String,
    pub(crate) batch: i64,
    /// The Delta version of the commit.
    pub(crate) version: u64,
    pub(crate) at: DateTime<Utc>,
    /// Greater than that of every batch of any table that was known when this one was made: their order, whatever clocks say.
    /// 0 in a ledger written before there was such a thing.
    #[serde(default)]
    pub(crate) turn: u64,
    /// The table had been dropped, and is there anew with the rows of this batch alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anew: bool,
    pub(crate) files: Vec<Entry>,
}

/// An [`Entry`] as it is kept in memory: a lake may have a million files, and most of what is said of them is alike.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: u64,
    pub(crate) stamp: Box<str>,
    pub(crate) sha256: Box<str>,
    pub(crate) rows: u64,
    pub(crate) status: Did,
    pub(crate) held: bool,
    pub(crate) tables: Arc<[TableName]>,
    pub(crate) taken_for: Arc<str>,
    pub(crate) told: Arc<Told>,
    pub(crate) moved_from: Option<Box<str>>,
}

impl Kept {
    /// `like` is any other entry: what both say alike is kept once.
    fn new(entry: &Entry, like: Option<&Self>) -> Self {
        let tables = like
            .map(|like| &like.tables)
            .filter(|tables| tables.as_ref() == entry.tables);
        let taken_for = like
            .map(|like| &like.taken_for)
            .filter(|words| words.as_ref() == entry.taken_for);
        let told = like.map(|like| &like.told).filter(|told| told.as_ref() == &entry.told);
        Self {
            bytes: entry.bytes,
            stamp: entry.stamp.as_str().into(),
            sha256: entry.sha256.as_str().into(),
            rows: entry.rows,
            status: entry.status,
            held: entry.held,
            tables: tables.map_or_else(|| entry.tables.as_slice().into(), Arc::clone),
            taken_for: taken_for.map_or_else(|| entry.taken_for.as_str().into(), Arc::clone),
            told: told.map_or_else(|| Arc::new(entry.told.clone()), Arc::clone),
            moved_from: entry.moved_from.as_deref().map(Into::into),
        }
    }
}

/// The newest entry of a file, and the batch it is from.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Shared: a ledger is copied when a batch is added to it while a sweep still reads it.
    pub(crate) entry: Arc<Kept>,
    pub(crate) batch: i64,
    pub(crate) version: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) turn: u64,
    /// See [`Entry::dropped`].
    pub(crate) dropped: bool,
    /// Rows of it that the table has, where RESTORE took back what the entry says.
    pub(crate) restored: Option<u64>,
}

impl Known {
    /// Rows of the file in the table, as far as the ledger can tell.
    pub(crate) fn rows(&self) -> u64 {
        match self.restored {
            _ if self.dropped => 0,
            Some(rows) => rows,
            None => self.entry.rows,
        }
    }

    /// Whether its batch is of a later sweep. Of ledgers from before turns were counted only the time is known.
    pub(crate) fn is_later_than(&self, other: &Self) -> bool {
        match (self.turn, other.turn) {
            (0, 0) => self.at > other.at,
            (one, two) => one > two,
        }
    }
}

/// All files of one table up to one batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) table_id: String,
    pub(crate) batch: i64,
    /// The table's version this was read at.
    version: u64,
    /// The greatest turn of its batches.
    pub(crate) turn: u64,
    /// A batch of it is lost. Only a dropped table may do without.
    has_gap: bool,
    /// Which versions the table's rows are of.
    live: Live,
    pub(crate) files: BTreeMap<Box<str>, Known>,
    /// The entry that was added last.
    last: Option<Arc<Kept>>,
}

impl Ledger {
    pub(crate) fn apply(&mut self, manifest: &Manifest) {
        self.batch = manifest.batch;
        self.turn = self.turn.max(manifest.turn);
        if manifest.anew {
            self.files.values_mut().for_each(|known| known.dropped = true);
            self.has_gap = false;
        }
        let is_live = self.live.has(manifest.version);
        for entry in &manifest.files {
            let kept = Arc::new(Kept::new(entry, self.last.as_deref()));
            let before = || self.files.get(entry.path.as_str()).map_or(0, Known::rows);
            let known = Known {
                entry: Arc::clone(&kept),
                batch: manifest.batch,
                version: manifest.version,
                at: manifest.at,
                turn: manifest.turn,
                dropped: entry.dropped,
                restored: (!is_live).then(before),
            };
            self.last = Some(kept);
            self.files.insert(entry.path.as_str().into(), known);
        }
    }
}

/// The ledgers read so far.
#[derive(Default)]
pub(crate) struct Ledgers {
    read: Mutex<BTreeMap<TableName, Arc<Ledger>>>,
}

impl Ledgers {
    /// The ledger as of exactly this version of the table. An absent table has an empty one, and so has one that was dropped and
    /// whose ledger is lost in part: its files are loaded anew.
    pub(crate) async fn of(&self, lake: &Lake, table: Option<&LakeTable>) -> Result<Arc<Ledger>, LakeError> {
        let Some(table) = table else { return Ok(Arc::default()) };
        let state = table.state()?;
        let table_id = state.metadata().id().to_owned();
        let known = self
            .read
            .lock()
            .get(table.name())
            .cloned()
            .filter(|l| l.table_id == table_id);
        if let Some(known) = &known
            && known.version == table.version()
        {
            return Ok(Arc::clone(known));
        }
        let log = table.delta().log_store();
        let committed = state
            .transaction_version(log.as_ref(), CRAWL_APP)
            .await
            .map_err(LakeError::delta("reading the batch number of", table.name()))?
            .unwrap_or(0);
        let live = Live::of(table);
        let known = known.filter(|known| known.batch <= committed && known.live == live && !known.has_gap);
        let mut first = known.as_ref().map_or(0, |known| known.batch) + 1;
        let mut ledger = match known {
            Some(known) => {
                // Where nobody else reads it, it grows in its place.
                self.read.lock().remove(table.name());
                known
            }
            None => Arc::new(Ledger {
                table_id: table_id.clone(),
                live,
                ..Ledger::default()
            }),
        };
        let mut lost = None;
        let grown = Arc::make_mut(&mut ledger);
        while first <= committed {
            let last = committed.min(first.saturating_add(WINDOW - 1));
            let manifests = read_manifests(lake, table, &table_id, first, last).await?;
            for (batch, manifest) in (first..=last).zip(manifests) {
                match manifest {
                    Some(manifest) => grown.apply(&manifest),
                    None => {
                        grown.has_gap = true;
                        lost.get_or_insert(batch);
                    }
                }
            }
            first = last + 1;
        }
        match lost.filter(|_| grown.has_gap) {
            Some(batch) if !table.is_dropped() => {
                return Err(LakeError::LedgerGap {
                    table: table.name().clone(),
                    batch,
                });
            }
            Some(_) => grown.files.clear(),
            None => {}
        }
        grown.batch = committed;
        grown.version = table.version();
        self.read.lock().insert(table.name().clone(), Arc::clone(&ledger));
        Ok(ledger)
    }
}

/// Writes a batch's copy. Every server writes the same bytes, so who comes last does not matter.
pub(crate) async fn write(lake: &Lake, name: &TableName, manifest: &Manifest) -> Result<(), LakeError> {
    let path = object(name, manifest.batch);
    let json = serde_json::to_vec(manifest).map_err(|e| LakeError::Record {
        path: path.clone(),
        reason: e.to_string(),
    })?;
    lake.put(&path, json.into(), Put::Overwrite).await
}

fn object(name: &TableName, batch: i64) -> String {
    format!("{STATE}/ledger/{}/{}/{batch:020}.json", name.schema, name.table)
}

/// Batches `first..=last` in order, from their objects, and from the log where an object is missing or of another table; none where
/// both are lost.
async fn read_manifests(
    lake: &Lake,
    table: &LakeTable,
    table_id: &str,
    first: i64,
    last: i64,
) -> Result<Vec<Option<Manifest>>, LakeError> {
    let name = table.name();
    let found: Vec<(i64, Option<Manifest>)> = stream::iter(first..=last)
        .map(|batch| async move {
            let bytes = lake.get(&object(name, batch)).await?;
            let manifest = bytes.and_then(|b| serde_json::from_slice::<Manifest>(&b).ok());
            Ok::<_, LakeError>((batch, manifest.filter(|m| m.table_id == table_id && m.batch == batch)))
        })
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    let missing: BTreeSet<i64> = found
        .iter()
        .filter(|(_, m)| m.is_none())
        .map(|(batch, _)| *batch)
        .collect();
    let mut healed = heal(lake, table, missing).await?;
    Ok(found
        .into_iter()
        .map(|(batch, manifest)| manifest.or_else(|| healed.remove(&batch)))
        .collect())
}

/// Reads manifests out of the commits, newest first, and writes their copies.
async fn heal(
    lake: &Lake,
    table: &LakeTable,
    mut missing: BTreeSet<i64>,
) -> Result<BTreeMap<i64, Manifest>, LakeError> {
    let mut healed = BTreeMap::new();
    let mut version = Some(table.version());
    while let (Some(at), false) = (version, missing.is_empty()) {
        let path = format!("{}/_delta_log/{at:020}.json", table.name().location());
        // Older commits were cleaned away together.
        let Some(bytes) = lake.get(&path).await? else { break };
        if let Some(manifest) = manifest_in(&bytes)
            && missing.remove(&manifest.batch)
        {
            tracing::info!(table = %table.name(), batch = manifest.batch, "a ledger record is made again from the log");
            if let Err(error) = write(lake, table.name(), &manifest).await {
                tracing::warn!(%error, "the ledger's copy could not be written; the log still has it");
            }
            healed.insert(manifest.batch, manifest);
        }
        version = at.checked_sub(1);
    }
    Ok(healed)
}

fn manifest_in(commit: &[u8]) -> Option<Manifest> {
    let lines = std::str::from_utf8(commit).ok()?.lines();
    lines.filter(|line| line.contains(BATCH_KEY)).find_map(|line| {
        let action: serde_json::Value = serde_json::from_str(line).ok()?;
        serde_json::from_str(action.get("commitInfo")?.get(BATCH_KEY)?.as_str()?).ok()
    })
}
