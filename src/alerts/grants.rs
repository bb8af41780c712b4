//! The grants for watching: on what is read, and on the place where an alert or a report lies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use labhouse_catalog::TableName;
use labhouse_policies::{Action, Tags};

use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::query::write::require;
use crate::session::{Governed, table_path};

/// A report may read nothing at all, and still its name lies in a schema and its messages leave the server.
///
/// # Errors
/// The principal lacks the grant `alert` on the place.
pub(super) fn may_lie(governed: &Governed, name: &TableName) -> Result<(), QueryError> {
    require(
        governed,
        &name.schema,
        &table_path(name),
        &Tags::default(),
        Action::Alert,
    )
}

/// Every table that is read must be visible, and open to watching.
pub(super) fn may_watch<'a>(
    governed: &Arc<Governed>,
    tables: impl IntoIterator<Item = &'a TableName>,
) -> Result<(), QueryError> {
    for name in tables {
        let access = governed.access(&name.schema, &name.table).map_err(from_datafusion)?;
        let object = governed.object(&name.schema, &name.table);
        let (Some(_), Some(object)) = (access, object) else {
            return Err(QueryError::NotFound(format!(
                "table 'lab.{name}' not found; SHOW TABLES lists what you may read"
            )));
        };
        require(
            governed,
            &object.department,
            &table_path(name),
            &object.tags,
            Action::Alert,
        )?;
    }
    Ok(())
}

/// All that is read: what is named, and what functions `read` besides, such as `forecast('lab.…')`, by `schema.table`. That must be
/// open to watching like the rest.
pub(super) fn watched(
    governed: &Arc<Governed>,
    named: BTreeSet<TableName>,
    read: &BTreeMap<String, u64>,
) -> Result<BTreeSet<TableName>, QueryError> {
    let mut all = named;
    for source in read.keys() {
        let Some((schema, table)) = source.split_once('.') else {
            return Err(QueryError::internal(format!("`{source}` is no table's name")));
        };
        let name = TableName {
            schema: schema.to_owned(),
            table: table.to_owned(),
        };
        if !all.contains(&name) {
            may_watch(governed, [&name])?;
            all.insert(name);
        }
    }
    Ok(all)
}
