//! What was only added to a table: the rows of the files that it has now and had not at an older version.
//!
//! Files of a Delta table never change. So if every file of the older version is still there, and none of either has rows
//! marked as deleted, then the table's rows are those of then and those of the new files, whatever commits lie between.
//!
//! Files that were merged since (`OPTIMIZE`) are gone, and their rows are not. A commit says so itself: what it adds and removes
//! with `dataChange` false are the same rows in other files, so new are the files that were added with `dataChange` true, as long
//! as none of them has been merged, too.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use serde::Deserialize;

use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::lake::object_store_url;
use crate::scan::{ParquetScan, needs_delta_reader};
use crate::table::LakeTable;
use crate::travel::{When, at};

/// Commits that are read to follow files that were merged: beyond it all rows are read as quickly.
const COMMITS_MAX: u64 = 1_000;

/// A table's rows in two parts, each with the table's schema.
pub struct Added {
    /// Those that it had at the older version.
    pub old: Arc<dyn TableProvider>,
    /// Those that were added since; none when there are no such.
    pub new: Option<Arc<dyn TableProvider>>,
}

/// The rows that a table had at one of its versions, and those that were added since; or, in words, why they cannot be told
/// from each other.
///
/// # Errors
/// The store fails.
pub async fn added_since(
    catalog: &Catalog,
    table: &LakeTable,
    version: u64,
) -> Result<Result<Added, &'static str>, LakeError> {
    let old = match at(catalog, table, When::Version(version)).await {
        Ok(old) => old,
        Err(LakeError::Refused { .. }) => return Ok(Err("the version that was read before cannot be read any more")),
        Err(other) => return Err(other),
    };
    if !same_columns(&old, table) {
        return Ok(Err("its columns changed"));
    }
    let (before, now) = (old.state()?, table.state()?);
    if [before, now]
        .into_iter()
        .any(|state| needs_delta_reader(state).is_some())
    {
        return Ok(Err(
            "it has rows marked as deleted, or another feature that hides which rows are new",
        ));
    }
    let (known, all) = (paths(&old)?, paths(table)?);
    let new: HashSet<String> = match known.is_subset(&all) {
        true => all.difference(&known).cloned().collect(),
        false => match appended(catalog, table, version, &known).await? {
            Ok(new) if new.is_subset(&all) => new,
            Ok(_) => return Ok(Err("new rows of it were put into files of old ones")),
            Err(why) => return Ok(Err(why)),
        },
    };
    let part = |wanted: &dyn Fn(&str) -> bool| {
        let location = table.name().location();
        ParquetScan::of_files(now, object_store_url(catalog.lake()), &location, wanted)
    };
    let parts = part(&|path| !new.contains(path)).and_then(|old| Ok((old, part(&|path| new.contains(path))?)));
    match parts {
        Ok((old, added)) => Ok(Ok(Added {
            old: Arc::new(old),
            new: (!new.is_empty()).then(|| Arc::new(added) as Arc<dyn TableProvider>),
        })),
        Err(error) => {
            tracing::warn!(table = %table.name(), %error, "its new files cannot be told apart");
            Ok(Err("its list of files is not plain"))
        }
    }
}

/// A file in a commit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    path: String,
    data_change: bool,
}

#[derive(Deserialize)]
struct Action {
    add: Option<Moved>,
    remove: Option<Moved>,
}

/// The files that commits after a version added with new rows, while none took rows away.
async fn appended(
    catalog: &Catalog,
    table: &LakeTable,
    version: u64,
    known: &HashSet<String>,
) -> Result<Result<HashSet<String>, &'static str>, LakeError> {
    if table.version().saturating_sub(version) > COMMITS_MAX {
        return Ok(Err("too many commits lie between to look for new rows"));
    }
    let mut new = HashSet::new();
    for version in version.saturating_add(1)..=table.version() {
        let path = format!("{}/_delta_log/{version:020}.json", table.name().location());
        let Some(bytes) = catalog.lake().get(&path).await? else {
            return Ok(Err(
                "files of it were merged, and the log of that time was cleaned away",
            ));
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(Action { add, remove }) = serde_json::from_slice(line) else {
                return Ok(Err("a commit of its log cannot be read"));
            };
            // Escaped paths have more than one way to be written.
            if add.iter().chain(&remove).any(|file| file.path.contains('%')) {
                return Ok(Err("its list of files is not plain"));
            }
            if remove.is_some_and(|file| file.data_change) {
                return Ok(Err("rows of it were changed, removed or put into other files"));
            }
            if let Some(file) = add.filter(|file| file.data_change)
                && (known.contains(&file.path) || !new.insert(file.path))
            {
                return Ok(Err("a file of it was added twice"));
            }
        }
    }
    Ok(Ok(new))
}

fn paths(table: &LakeTable) -> Result<HashSet<String>, LakeError> {
    let files = table.state()?.log_data();
    Ok(files.iter().map(|file| file.path().into_owned()).collect())
}

/// Names and types in one order; comments and tags may differ.
fn same_columns(old: &LakeTable, new: &LakeTable) -> bool {
    let (old, new) = (old.schema(), new.schema());
    let columns = |schema: &arrow::datatypes::Schema| {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect::<Vec<_>>()
    };
    columns(&old) == columns(&new)
}
