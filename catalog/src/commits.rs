//! The commits of a table, as its log tells of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deltalake_core::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::delta::LINEAGE;
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
    /// Those of them that are no mere rewriting of others.
    pub files_brought: u64,
    pub files_removed: u64,
    /// The table's id, columns, tags and other properties but its lineage, as this commit set them; none of one that left them alone.
    pub sets: Option<String>,
}

/// How many of these commits, the newest first, are of the table as it is: with the id, columns, tags and properties of today. The
/// last of them is the one that set these. What was before may have been another table of the same name.
pub fn of_today(commits: &[Commit]) -> usize {
    let setting = || {
        commits
            .iter()
            .enumerate()
            .filter_map(|(at, commit)| Some((at, commit.sets.as_ref()?)))
    };
    let mut older = setting().skip(1);
    let changed = setting().find(|(_, set)| older.next().is_none_or(|(_, before)| before != *set));
    changed.map_or(commits.len(), |(at, _)| at + 1)
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

/// Operations that write files anew and bring no rows: they change rows that are there, or take some away.
const CHANGES: [&str; 2] = ["UPDATE", "DELETE"];

/// Whether the commit of one of a table's versions may have brought rows, which ones nobody was asked: it added data files with
/// changes, and was neither an `UPDATE` nor a `DELETE`. One that was cleaned away may have.
///
/// # Errors
/// See [`commits`].
pub async fn may_bring_rows(table: &LakeTable, version: u64) -> Result<bool, LakeError> {
    let told = commit(&table.delta().log_store(), table.name(), version).await?;
    Ok(told.is_none_or(|told| {
        let is_change = told
            .operation
            .is_some_and(|operation| CHANGES.contains(&operation.as_str()));
        !is_change && told.files_brought > 0
    }))
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

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    id: String,
    schema_string: String,
    #[serde(default)]
    configuration: BTreeMap<String, serde_json::Value>,
}

/// An action, as far as it is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<Info>,
    add: Option<Added>,
    remove: Option<serde::de::IgnoredAny>,
    meta_data: Option<Table>,
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
                told.files_brought += 1;
                let counted = added.stats.and_then(|text| serde_json::from_str::<Counted>(&text).ok());
                let rows = counted.and_then(|counted| counted.num_records);
                told.rows_added = told.rows_added.zip(rows).map(|(sum, rows)| sum.saturating_add(rows));
            }
        }
        told.files_removed += u64::from(line.remove.is_some());
        if let Some(mut table) = line.meta_data {
            table.configuration.remove(LINEAGE);
            told.sets = serde_json::to_string(&table).ok();
        }
    }
    Ok(Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_table_of_today_is_another() {
        let of = |sets: &[Option<&str>]| {
            let commits: Vec<Commit> = sets
                .iter()
                .map(|sets| Commit {
                    sets: sets.map(str::to_owned),
                    ..Commit::default()
                })
                .collect();
            of_today(&commits)
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[None, None]), 2, "nothing was set while the log remembers");
        assert_eq!(of(&[None, Some("a"), None, Some("b"), None]), 2);
        assert_eq!(
            of(&[None, Some("a"), None, Some("a"), None, Some("b")]),
            4,
            "set to what it was"
        );
        assert_eq!(of(&[None, None, Some("a")]), 3, "from the first on");
        assert_eq!(of(&[Some("a"), Some("b"), Some("a")]), 1);
    }
}
