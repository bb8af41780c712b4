//! The grants for watching: on what is read, on the place where an alert or a report lies, and on whom it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use labhouse_catalog::TableName;
use labhouse_policies::{Action, Tags};

use super::definition::Target;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::query::write::require;
use crate::session::{Governed, table_path};

/// Logins and channels that a refusal names.
const NAMES_MAX: usize = 20;

pub(super) fn is_admin(governed: &Governed) -> bool {
    governed.world().policies.is_admin(governed.who())
}

/// Whom an alert or a report called `name` tells, and by which channel each.
///
/// Nobody is told by a name that is mistyped, so it is refused at once. Which logins there are is not everybody's to know: an author
/// names those who see all that is read, `sources`, and of another one he does not hear whether it is there. An administrator may
/// name every login.
///
/// # Errors
/// A channel that the config does not have, or a login that the author may not name.
pub(super) fn targets(
    engine: &Engine,
    governed: &Governed,
    name: &TableName,
    sources: &BTreeSet<TableName>,
    notify: Vec<Target>,
) -> Result<BTreeSet<Target>, QueryError> {
    let channels = || listed(engine.channels.names());
    let targets = notify.into_iter().map(|target| {
        let channel = match target.channel.as_str() {
            "" => engine.channels.default().ok_or_else(|| {
                QueryError::Invalid(format!(
                    "NOTIFY {} BY which channel? Those of the config are: {}",
                    target.recipient,
                    channels()
                ))
            })?,
            channel if engine.channels.has(channel) => channel,
            channel => {
                return Err(QueryError::Invalid(format!(
                    "there is no channel {channel}; the administrator's config has: {}",
                    channels()
                )));
            }
        };
        may_tell(engine, governed, name, sources, &target.recipient)?;
        Ok(Target {
            channel: channel.to_owned(),
            recipient: target.recipient,
        })
    });
    targets.collect()
}

fn may_tell(
    engine: &Engine,
    governed: &Governed,
    name: &TableName,
    sources: &BTreeSet<TableName>,
    recipient: &str,
) -> Result<(), QueryError> {
    if recipient == governed.who().name {
        return Ok(());
    }
    let who = engine.auth.named(recipient);
    if is_admin(governed) {
        return match who {
            Some(_) => Ok(()),
            None => Err(QueryError::Invalid(format!(
                "NOTIFY {recipient}: there is no such login; the users file has: {}",
                listed(engine.auth.names().iter().map(String::as_str))
            ))),
        };
    }
    let sees_all = who.is_some_and(|who| {
        let theirs = engine.govern(&who, governed.world().clone());
        match sources.is_empty() {
            // What reads nothing concerns those who see something where it lies.
            true => theirs.visible().iter().any(|(schema, _)| *schema == name.schema),
            false => sources
                .iter()
                .all(|source| matches!(theirs.access(&source.schema, &source.table), Ok(Some(_)))),
        }
    });
    match sees_all {
        true => Ok(()),
        false => Err(QueryError::Invalid(format!(
            "NOTIFY {recipient}: no login that you may name here: it is not known, or does not see what is read"
        ))),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    let more = names.len() > NAMES_MAX;
    names.truncate(NAMES_MAX);
    names.join(", ") + if more { ", …" } else { "" }
}

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
