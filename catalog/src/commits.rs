//! The commits of a table, as its log tells of them.

use chrono::{DateTime, Utc};
use deltalake_core::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::error::LakeError;
use crate::name::TableName;
use crate::table::LakeTable;

/// Commits that are read at the same time.
const AT_ONCE: usize = 8;

/// One commit: what made a version of a table out of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    pub version: u64,
    /// When it was made, as its writer noted it.
    pub at: Option<DateTime<Utc>>,
    /// In Delta's words: `WRITE`, `MERGE`, `OPTIMIZE`, `RESTORE`, …
    pub operation: Option<String>,
    /// The program that made it.
    pub engine: Option<String>,
    /// Rows in the data files that brought something new; none where their writer did not count them. An update brings all
    /// rows of the files that it wrote anew.
    pub rows_added: Option<u64>,
    pub files_added: u64,
    pub files_removed: u64,
}

/// The newest commits of a table, at most `most`, the newest first. It ends where the log's own cleaning began: older
/// versions cannot be read any more.
///
/// # Errors
/// A store that cannot be read, or a commit that is no list of Delta's actions.
pub async fn commits(table: &LakeTable, most: usize) -> Result<Vec<Commit>, LakeError> {
    let (log, name) = (table.delta().log_store(), table.name());
    let read = |version| {
        let log = log.clone();
        async move { commit(&log, name, version).await }
    };
    let newest_first = (0..=table.version()).rev().take(most);
    stream::iter(newest_first.map(read))
        .buffered(AT_ONCE)
        .try_take_while(|commit| std::future::ready(Ok(commit.is_some())))
        .try_filter_map(|commit| std::future::ready(Ok(commit)))
        .try_collect()
        .await
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    timestamp: Option<i64>,
    in_commit_timestamp: Option<i64>,
    operation: Option<String>,
    engine_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    #[serde(default)]
    data_change: bool,
    stats: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    num_records: Option<u64>,
}

/// An action, as far as it is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<Info>,
    add: Option<Added>,
    remove: Option<serde::de::IgnoredAny>,
}

/// None when that part of the log was cleaned away.
async fn commit(log: &LogStoreRef, name: &TableName, version: u64) -> Result<Option<Commit>, LakeError> {
    let entry = log.read_commit_entry(version).await;
    let Some(bytes) = entry.map_err(LakeError::delta("reading the log of", name))? else {
        return Ok(None);
    };
    let mut told = Commit {
        version,
        rows_added: Some(0),
        ..Commit::default()
    };
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|error| LakeError::Refused {
            table: name.clone(),
            reason: format!("commit {version} of its log cannot be read: {error}"),
        })?;
        if let Some(info) = line.commit_info {
            let at = info.in_commit_timestamp.or(info.timestamp);
            told.at = at.and_then(DateTime::from_timestamp_millis);
            told.operation = info.operation;
            told.engine = info.engine_info;
        }
        if let Some(added) = line.add {
            told.files_added += 1;
            if added.data_change {
                let counted = added.stats.and_then(|text| serde_json::from_str::<Counted>(&text).ok());
                let rows = counted.and_then(|counted| counted.num_records);
                told.rows_added = told.rows_added.zip(rows).map(|(sum, rows)| sum.saturating_add(rows));
            }
        }
        told.files_removed += u64::from(line.remove.is_some());
    }
    Ok(Some(told))
}
