//! Older versions in one principal's view.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use labhouse_catalog::{Catalog, LakeError, LakeTable, When, beyond, committed_at};
use labhouse_policies::{Action, TableAccess, TableObject, govern};

use super::governed::{Governed, Resolved};
use super::library::Library;
use crate::query::travel::{Moment, Stop};
use crate::query::{QueryError, errors, write};

/// A version, and the time of the commit that made it; none when it was cleaned away.
pub(crate) type Committed = (Stop, Option<DateTime<Utc>>);

impl Governed {
    /// Makes older versions of visible tables resolve by the names of `stops`: under today's policy and tags, with the
    /// columns that are there and visible today. Gives the times of the commits that are to be told.
    ///
    /// # Errors
    /// A version that is not there, or cannot be read any more.
    pub(crate) async fn travel(&self, catalog: &Catalog, stops: &BTreeSet<Stop>) -> Result<Vec<Committed>, QueryError> {
        let mut times = Vec::new();
        for stop in stops {
            let now = self
                .resolve(&stop.schema, &stop.table)
                .map_err(errors::from_datafusion)?;
            let table = self.world.catalog.table(&stop.schema, &stop.table);
            // What is not visible stays so: its name resolves to nothing.
            let (now, table) = match (now, table) {
                (Resolved::Open(now, _), Some(table)) => (now, table),
                (Resolved::Hidden(decision), _) => {
                    self.notes.hidden(&stop.schema, &stop.table, &decision);
                    continue;
                }
                (Resolved::Open(..), None) | (Resolved::Absent, _) => continue,
            };
            if Library::of(table).is_some() {
                return Err(QueryError::Unsupported(format!(
                    "{} is a virtual library: its rows are made of its sources as they are now, and it has no older versions",
                    table.name()
                )));
            }
            let is_whole = now.is_unrestricted();
            let old = moment(catalog, table, stop.when, is_whole).await?;
            let (inner, name) = match stop.without {
                None => (old.provider(), old.version().to_string()),
                Some(without) => {
                    let other = moment(catalog, table, without, is_whole).await?;
                    let rest = beyond(catalog.lake(), &old, &other).map_err(write::lake_error)?;
                    (rest, format!("{}-{}", old.version(), other.version()))
                }
            };
            let object = TableObject {
                schema: old.schema(),
                ..self.world.object(table)
            };
            let access = self
                .world
                .policies
                .table(&self.who, &object, &self.system, Action::Select);
            let TableAccess::Open(mut access) = access else {
                continue;
            };
            let visible: BTreeSet<&String> = now
                .columns
                .iter()
                .filter_map(|at| Some(now.schema.fields().get(*at)?.name()))
                .collect();
            let fields = access.schema.fields().clone();
            let stays = |at: &usize| fields.get(*at).is_some_and(|field| visible.contains(field.name()));
            access.columns.retain(stays);
            if access.columns.is_empty() {
                continue;
            }
            access.fingerprint.push_str(&format!("@{name}"));
            let provider = govern(inner, &access, Arc::clone(&self.system)).map_err(errors::from_datafusion)?;
            if stop.is_timed {
                let at = committed_at(&old).await.map_err(write::lake_error)?;
                times.push((stop.clone(), at));
            }
            let key = (stop.schema.clone(), stop.name());
            self.travelled
                .lock()
                .insert(key.clone(), (Arc::clone(table), old.version()));
            self.resolved
                .lock()
                .insert(key, Resolved::Open(Box::new(access), provider));
        }
        Ok(times)
    }
}

/// The table at a moment. Versions count the commits of everybody: whoever does not see the table whole hears no number, and to him a
/// version to come is as the newest one is, so that he cannot count what is hidden from him.
async fn moment(
    catalog: &Catalog,
    table: &Arc<LakeTable>,
    moment: Moment,
    is_whole: bool,
) -> Result<Arc<LakeTable>, QueryError> {
    let when = match moment {
        Moment::Now => return Ok(Arc::clone(table)),
        Moment::Then(When::Version(version)) if !is_whole && version > table.version() => {
            return Ok(Arc::clone(table));
        }
        Moment::Then(when) => when,
    };
    let old = labhouse_catalog::at(catalog, table, when).await;
    old.map_err(|error| match error {
        LakeError::Refused { table, reason } if is_whole => {
            QueryError::Invalid(format!("table {table} cannot be read as it was: {reason}"))
        }
        LakeError::Refused { table, .. } => QueryError::Invalid(format!(
            "table {table} cannot be read as it was then: it was not there yet, or that version is not kept any more"
        )),
        other => write::lake_error(other),
    })
}
