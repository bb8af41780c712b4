//! Care of whole tables: dropping and bringing back, comments, compaction, removal of old files.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Duration;
use deltalake_core::operations::vacuum::VacuumMode;

use crate::append::ATTEMPTS_MAX;
use crate::catalog::Catalog;
use crate::delta::{Change, DROPPED, commit};
use crate::error::LakeError;
use crate::name::TableName;
use crate::table::LakeTable;

/// Hours for which files that no version needs any more are kept at least: a reader or a writer that works on an older
/// version for longer than this is not expected.
pub const RETAIN_HOURS_MIN: i64 = 168;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Optimized {
    /// Small files that are no longer part of the table.
    pub files_removed: u64,
    /// Larger files that hold their rows.
    pub files_added: u64,
}

/// Drops a table: one commit marks it, and no catalog shows it from then on. Its data stays until somebody takes the files
/// away, so [`restore`] brings it back. Landed files that were loaded into it are not loaded again; one that is new or changes
/// makes the table anew, with its own rows alone. Where the ledger that knows them is lost, all are loaded anew at once.
///
/// # Errors
/// [`LakeError::Refused`] when there is no such table, [`LakeError::Busy`] when other writers keep winning.
pub async fn drop_table(catalog: &Catalog, name: &TableName) -> Result<(), LakeError> {
    let marked = BTreeMap::from([(DROPPED.to_owned(), true.to_string())]);
    mark(catalog, name, false, marked).await
}

/// Brings a dropped table back as it was.
///
/// # Errors
/// [`LakeError::Refused`] when no such table was dropped, [`LakeError::Busy`] when other writers keep winning.
pub async fn restore(catalog: &Catalog, name: &TableName) -> Result<(), LakeError> {
    let unmarked = BTreeMap::from([(DROPPED.to_owned(), false.to_string())]);
    mark(catalog, name, true, unmarked).await
}

async fn mark(
    catalog: &Catalog,
    name: &TableName,
    dropped: bool,
    properties: BTreeMap<String, String>,
) -> Result<(), LakeError> {
    change(catalog, name, dropped, |_| Change {
        properties: properties.clone(),
        ..Change::default()
    })
    .await
}

/// Says what a table is for; an empty text says nothing any more.
///
/// # Errors
/// [`LakeError::Refused`] when there is no such table, [`LakeError::Busy`] when other writers keep winning.
pub async fn describe(catalog: &Catalog, name: &TableName, text: &str) -> Result<(), LakeError> {
    change(catalog, name, false, |_| Change {
        description: Some(text.to_owned()),
        ..Change::default()
    })
    .await
}

async fn change(
    catalog: &Catalog,
    name: &TableName,
    dropped: bool,
    make: impl Fn(&LakeTable) -> Change,
) -> Result<(), LakeError> {
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog
            .latest(name)
            .await?
            .filter(|table| table.is_dropped() == dropped);
        let base = base.ok_or_else(|| LakeError::Refused {
            table: name.clone(),
            reason: if dropped {
                "it was not dropped"
            } else {
                "it is not there"
            }
            .to_owned(),
        })?;
        if let Some(table) = commit(catalog.lake(), name, Some(&base), make(&base)).await? {
            catalog.publish(Arc::new(table)).await;
            return Ok(());
        }
    }
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// Writes many small files anew as few large ones. No row changes, and readers of the version before are not disturbed.
///
/// # Errors
/// Delta's own: also a conflict with a writer who changed the same files meanwhile.
pub async fn optimize(catalog: &Catalog, name: &TableName) -> Result<Optimized, LakeError> {
    let table = present(catalog, name).await?;
    let (_, done) = table
        .delta()
        .optimize()
        .await
        .map_err(LakeError::delta("compacting", name))?;
    catalog.latest(name).await?;
    Ok(Optimized {
        files_removed: done.num_files_removed,
        files_added: done.num_files_added,
    })
}

/// Deletes data files that no version of the last `retain` needs, left-overs of killed writers among them. Gives their
/// number. Versions that needed them cannot be read any more.
///
/// # Errors
/// [`LakeError::Refused`] for less than [`RETAIN_HOURS_MIN`], and Delta's own.
pub async fn vacuum(catalog: &Catalog, name: &TableName, retain: Duration) -> Result<usize, LakeError> {
    if retain < Duration::hours(RETAIN_HOURS_MIN) {
        return Err(LakeError::Refused {
            table: name.clone(),
            reason: format!(
                "files younger than {RETAIN_HOURS_MIN} hours are kept: readers and writers may still need them; write RETAIN {RETAIN_HOURS_MIN} HOURS or more"
            ),
        });
    }
    let table = present(catalog, name).await?;
    let (_, done) = table
        .delta()
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(retain)
        .await
        .map_err(LakeError::delta("removing old files of", name))?;
    catalog.latest(name).await?;
    Ok(done.files_deleted.len())
}

/// How many files [`vacuum`] would delete. Nothing is written.
///
/// # Errors
/// Delta's own.
pub async fn removable(catalog: &Catalog, name: &TableName, retain: Duration) -> Result<usize, LakeError> {
    let table = present(catalog, name).await?;
    let (_, found) = table
        .delta()
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(retain)
        .with_dry_run(true)
        .await
        .map_err(LakeError::delta("searching for old files of", name))?;
    Ok(found.files_deleted.len())
}

/// Commits after which [`checkpoint`] writes the state of a table in one file, so that opening it need not read them all.
/// delta-rs does so of itself after a hundred.
pub const CHECKPOINT_COMMITS: u64 = 50;

/// Writes the state of a table as a checkpoint, when enough commits have come since the last one. Gives its version.
///
/// # Errors
/// Delta's own.
pub async fn checkpoint(catalog: &Catalog, name: &TableName) -> Result<Option<u64>, LakeError> {
    let table = present(catalog, name).await?;
    let last = format!("{}/_delta_log/_last_checkpoint", name.location());
    let last = catalog.lake().get(&last).await?;
    let last = last.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let last = last.and_then(|last| last.get("version")?.as_u64());
    if table.version() < last.map_or(0, |version| version + 1) + CHECKPOINT_COMMITS - 1 {
        return Ok(None);
    }
    deltalake_core::checkpoints::create_checkpoint(&table.delta(), None)
        .await
        .map_err(LakeError::delta("writing a checkpoint of", name))?;
    Ok(Some(table.version()))
}

pub(crate) async fn present(catalog: &Catalog, name: &TableName) -> Result<Arc<LakeTable>, LakeError> {
    let table = catalog.latest(name).await?.filter(|table| !table.is_dropped());
    table.ok_or_else(|| LakeError::Refused {
        table: name.clone(),
        reason: "it is not there".to_owned(),
    })
}
