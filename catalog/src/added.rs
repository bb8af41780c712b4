//! What was only added to a table: the rows of the files that it has now and had not at an older version.
//!
//! Files of a Delta table never change. So if every file of the older version is still there, and none of either has rows
//! marked as deleted, then the table's rows are those of then and those of the new files, whatever commits lie between.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;

use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::lake::object_store_url;
use crate::scan::{ParquetScan, needs_delta_reader};
use crate::table::LakeTable;
use crate::travel::{When, at};

/// The rows that were added to a table since one of its versions, with the table's schema; or, in words, why they cannot be told
/// from the others.
///
/// # Errors
/// The store fails.
pub async fn added_since(
    catalog: &Catalog,
    table: &LakeTable,
    version: u64,
) -> Result<Result<Arc<dyn TableProvider>, &'static str>, LakeError> {
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
    let paths = |table: &LakeTable| -> Result<HashSet<String>, LakeError> {
        let files = table.state()?.log_data();
        Ok(files.iter().map(|file| file.path().into_owned()).collect())
    };
    let (known, all) = (paths(&old)?, paths(table)?);
    if !known.is_subset(&all) {
        return Ok(Err("rows of it were changed, removed or put into other files"));
    }
    let location = table.name().location();
    let scan = ParquetScan::of_files(now, object_store_url(catalog.lake()), &location, |path| {
        !known.contains(path)
    });
    match scan {
        Ok(scan) => Ok(Ok(Arc::new(scan))),
        Err(error) => {
            tracing::warn!(table = %table.name(), %error, "its new files cannot be told apart");
            Ok(Err("its list of files is not plain"))
        }
    }
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
