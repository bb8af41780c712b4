//! Time travel: a table as it was.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::commits::commits;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::table::{LakeTable, plain_scan};

/// Older versions that one table remembers: a statement asks twice, when it is planned and when it runs, and a page again
/// and again.
const REMEMBERED_MAX: usize = 8;

/// Which state of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    Version(u64),
    /// The last version made at this moment or before.
    Time(DateTime<Utc>),
}

/// What was asked of a table's past lately, the newest last. The past does not change, so nothing here grows old.
#[derive(Default)]
pub(crate) struct Older(Mutex<VecDeque<(When, Arc<LakeTable>)>>);

impl Older {
    fn get(&self, when: When) -> Option<Arc<LakeTable>> {
        let known = self.0.lock();
        known
            .iter()
            .find(|(at, _)| *at == when)
            .map(|(_, table)| Arc::clone(table))
    }

    fn put(&self, when: When, table: &Arc<LakeTable>) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED_MAX {
            known.pop_front();
        }
        known.push_back((when, Arc::clone(table)));
    }
}

/// A table as it was. Its log is read once, not for every statement that asks.
///
/// # Errors
/// [`LakeError::Refused`] when there is no such version of this table, or it cannot be read any more.
pub async fn at(catalog: &Catalog, table: &LakeTable, when: When) -> Result<Arc<LakeTable>, LakeError> {
    if let Some(known) = table.older().get(when) {
        return Ok(known);
    }
    let old = Arc::new(read(catalog, table, when).await?);
    let is_settled = match when {
        When::Version(_) => true,
        // A time to come is still open: the next commit may fall before it.
        When::Time(time) => time <= Utc::now(),
    };
    if is_settled {
        table.older().put(when, &old);
    }
    Ok(old)
}

/// The rows of one version of a table without those data files that another version of it has as well. Where the table is
/// not a plain list of files it is all of its rows. For what two versions differ in, both are the same: rows of a file that
/// both have are in both.
///
/// # Errors
/// A snapshot that cannot be read.
pub fn beyond(lake: &Lake, table: &LakeTable, other: &LakeTable) -> Result<Arc<dyn TableProvider>, LakeError> {
    let plain = |table: &LakeTable| Ok::<_, LakeError>(plain_scan(lake, table.name(), table.state()?));
    // Both or none: the rows of a file that one leaves out must not be in the other.
    let (Some(scan), Some(_)) = (plain(table)?, plain(other)?) else {
        return Ok(table.provider());
    };
    let theirs: BTreeSet<_> = other
        .state()?
        .log_data()
        .iter()
        .map(|file| file.object_store_path())
        .collect();
    Ok(Arc::new(scan.past().without(&theirs)))
}

/// When the commit of a table's version was made, as its writer noted it; none when that part of the log was cleaned away.
///
/// # Errors
/// A store that cannot be read.
pub async fn committed_at(table: &LakeTable) -> Result<Option<DateTime<Utc>>, LakeError> {
    Ok(commits(table, 1).await?.first().and_then(|commit| commit.at))
}

async fn read(catalog: &Catalog, table: &LakeTable, when: When) -> Result<LakeTable, LakeError> {
    let name = table.name();
    let mut delta = table.delta();
    let loaded = match when {
        When::Version(version) if version == table.version() => Ok(()),
        When::Version(version) if version > table.version() => {
            return Err(LakeError::Refused {
                table: name.clone(),
                reason: format!(
                    "its newest version is {}, there is no version {version}",
                    table.version()
                ),
            });
        }
        When::Version(version) => delta.load_version(version).await,
        When::Time(time) => delta.load_with_datetime(time).await,
    };
    loaded.map_err(|error| LakeError::Refused {
        table: name.clone(),
        reason: format!("that version cannot be read ({error}); DESCRIBE HISTORY lists the versions that the log's own cleaning left; of those, the data files are there that VACUUM left"),
    })?;
    if let When::Time(time) = when {
        let state = delta
            .snapshot()
            .map_err(LakeError::delta("reading the snapshot of", name))?;
        // Asked for a time before the first version, the library gives the first.
        let made = state.version_timestamp(state.version());
        if made.is_some_and(|made| made > time.timestamp_millis()) {
            return Err(LakeError::Refused {
                table: name.clone(),
                reason: format!("it was not there yet at {time}"),
            });
        }
    }
    let old = LakeTable::of_past(catalog.lake(), name, delta).await?;
    // The policy of today is about the table of today: of another one, whose columns happened to be called alike, it says nothing.
    if old.version() < table.begins_at() || old.id()? != table.id()? {
        return Err(LakeError::Refused {
            table: name.clone(),
            reason: match when {
                When::Version(version) => format!(
                    "it was made anew after version {version}, which is of another table that was there under this name"
                ),
                When::Time(time) => format!("it was not there yet at {time}"),
            },
        });
    }
    Ok(old)
}
