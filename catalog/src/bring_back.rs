//! A table's rows as they were at an older version, brought back as its newest one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use deltalake_core::kernel::{Add, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use object_store::ObjectStoreExt;

use crate::append::{ATTEMPTS_MAX, fit};
use crate::catalog::Catalog;
use crate::delta::{Change, commit};
use crate::error::LakeError;
use crate::lake::{Lake, object_path};
use crate::name::TableName;
use crate::parquet_file;
use crate::rewrite::unchangeable;
use crate::table::LakeTable;
use crate::travel::{When, at};

/// The property of a table whose rows were brought back: the version that they are of. What the ledger says of landed files is of a
/// later time, so the crawler looks for a file's rows itself before it adds them.
pub(crate) const RESTORED_TO: &str = "labhouse.restored_to";
/// The property that says of which versions the rows of such a table are: pairs of a first and a last one, as JSON.
const LIVE: &str = "labhouse.live_versions";
/// Pairs that are kept. A table whose rows were brought back more often, each time to a version after the last one, is told as
/// if the oldest of these commits were still in it.
const LIVE_MAX: usize = 64;

/// The versions that a table's rows are of, as ranges; without any, all versions are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live(Vec<(u64, u64)>);

impl Live {
    pub(crate) fn of(table: &LakeTable) -> Self {
        let text = table.properties().get(LIVE);
        Self(
            text.and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
        )
    }

    /// Whether what this version brought is in the table.
    pub(crate) fn has(&self, version: u64) -> bool {
        self.0.is_empty() || self.0.iter().any(|(first, last)| (*first..=*last).contains(&version))
    }

    /// The same when the rows of `then` are brought back by `version`. `self` is of the table at `then`.
    fn back(&self, then: u64, version: u64) -> Self {
        let all = [(0, u64::MAX)];
        let before = if self.0.is_empty() {
            all.as_slice()
        } else {
            self.0.as_slice()
        };
        let kept = before.iter().filter(|(first, _)| *first <= then);
        let mut live: Vec<(u64, u64)> = kept.map(|(first, last)| (*first, (*last).min(then))).collect();
        live.push((version, u64::MAX));
        while live.len() > LIVE_MAX {
            let (first, _) = live.remove(0);
            if let Some(oldest) = live.first_mut() {
                oldest.0 = first;
            }
        }
        Self(live)
    }
}

/// Gives a table the rows of an older version: one commit, or none when it has them. Columns, tags, comments and owner stay
/// those of today, so nobody sees more than before; a column that came since is null in the rows. What the ledger knows of
/// landed files stays, too: files that were loaded after that version are not loaded again until they change, and then once.
///
/// # Errors
/// [`LakeError::Refused`] when there is no such version, its data files are gone, or it has a column that the table has no
/// more; [`LakeError::Busy`] when other writers keep winning.
pub async fn bring_back(catalog: &Catalog, name: &TableName, when: When) -> Result<Arc<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    for _ in 0..ATTEMPTS_MAX {
        let base = catalog.latest(name).await?.filter(|table| !table.is_dropped());
        let base = base.ok_or_else(|| refused("it is not there".to_owned()))?;
        let old = at(catalog, &base, when).await?;
        for version in [&base, &old] {
            if let Some(reason) = unchangeable(version)? {
                return Err(refused(reason));
            }
        }
        let (now, then) = (files(&base)?, files(&old)?);
        let paths = |files: &[LogicalFileView]| {
            files
                .iter()
                .map(|file| file.path().to_string())
                .collect::<BTreeSet<_>>()
        };
        let (is_now, was_then) = (paths(&now), paths(&then));
        let removes: Vec<_> = now
            .iter()
            .filter(|file| !was_then.contains(&*file.path()))
            .map(|file| file.remove_action(true))
            .collect();
        let missing: Vec<_> = then.iter().filter(|file| !is_now.contains(&*file.path())).collect();
        if removes.is_empty() && missing.is_empty() {
            return Ok(base);
        }
        let back = brought(catalog.lake(), &base, &old, &missing).await?;
        let live = Live::of(&old).back(old.version(), base.version() + 1);
        let live = serde_json::to_string(&live.0).map_err(|error| refused(error.to_string()))?;
        let change = Change {
            adds: back.adds,
            removes,
            properties: BTreeMap::from([
                (RESTORED_TO.to_owned(), old.version().to_string()),
                (LIVE.to_owned(), live),
            ]),
            operation: Some(DeltaOperation::Restore {
                version: Some(old.version()),
                datetime: None,
            }),
            ..Change::default()
        };
        if let Some(table) = commit(catalog.lake(), name, Some(&base), change).await? {
            let table = Arc::new(table);
            catalog.publish(Arc::clone(&table)).await;
            return Ok(table);
        }
        parquet_file::discard(catalog.lake(), name, &back.written).await;
    }
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

struct Brought {
    adds: Vec<Add>,
    /// Those of them that were written for it.
    written: Vec<Add>,
}

/// The files of the older version that the table has no more, as actions that add them: as they are, or written anew where
/// the types of columns have widened since.
async fn brought(
    lake: &Lake,
    base: &LakeTable,
    old: &LakeTable,
    missing: &[&LogicalFileView],
) -> Result<Brought, LakeError> {
    let name = base.name();
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    let schema = base.state()?.snapshot().arrow_schema();
    let before = old.state()?.snapshot().arrow_schema();
    let lost = before
        .fields()
        .iter()
        .find(|field| schema.column_with_name(field.name()).is_none());
    if let Some(field) = lost {
        return Err(refused(format!(
            "its version {} has the column {}, which the table has no more; read that version with FOR VERSION AS OF instead",
            old.version(),
            field.name()
        )));
    }
    let mut back = Brought {
        adds: Vec::new(),
        written: Vec::new(),
    };
    let as_it_is = same_types(&before, &schema);
    for file in missing {
        let path = format!("{}/{}", name.location(), file.object_store_path());
        match lake.store().head(&object_path(&path)?).await {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => {
                return Err(refused(format!(
                    "version {} cannot be brought back: VACUUM has taken data files of it away",
                    old.version()
                )));
            }
            Err(source) => {
                return Err(LakeError::Store {
                    action: "looking at",
                    path,
                    source,
                });
            }
        }
        if as_it_is {
            back.adds.push(add_again(file));
            continue;
        }
        let rows = parquet_file::read(lake, name, file, None).await?;
        let fitted = rows
            .iter()
            .map(|batch| fit(batch, &schema))
            .collect::<Result<Vec<_>, _>>();
        let written = parquet_file::write(lake, name, &schema, fitted.map_err(refused)?).await?;
        back.written.extend(written.clone());
        back.adds.extend(written);
    }
    Ok(back)
}

/// The file as it was added, which is a change of data now.
fn add_again(file: &LogicalFileView) -> Add {
    Add {
        path: file.path().to_string(),
        partition_values: file.partition_values_map(),
        size: file.size(),
        modification_time: file.modification_time(),
        data_change: true,
        stats: file.stats(),
        ..Add::default()
    }
}

/// Whether the older columns have today's types.
fn same_types(before: &Schema, now: &Schema) -> bool {
    before.fields().iter().all(|field| {
        now.field_with_name(field.name())
            .is_ok_and(|today| today.data_type() == field.data_type())
    })
}

fn files(table: &LakeTable) -> Result<Vec<LogicalFileView>, LakeError> {
    Ok(table.state()?.log_data().iter().collect())
}
