//! Files that a client brings for the landing folder: who may put one where.
//!
//! A landed file is rows of the table that its path or its folder's settings name, and of its blocks' tables, without a statement in between. So
//! it takes the grant `insert` on that table and on each of its columns, `create` where the table is not there yet, and
//! `delete` where it would replace another file, whose rows then go. Whoever inserts under a row filter cannot land: nobody
//! could say of a file's rows that he would see them.

use std::sync::Arc;

use bytes::Bytes;
use labhouse_catalog::TableName;
use labhouse_catalog::uploads::{self, Received, Upload, UploadError};
use labhouse_policies::{Action, Principal, Tags};

use super::statement::CATALOG;
use super::write::{lake_error, reserved};
use super::{Engine, QueryError};
use crate::audit::Client;
use crate::auth::marks;
use crate::pipelines::View;
use crate::session::{Governed, table_path};

impl Engine {
    /// What the lake has of a file that `who` may land.
    pub(crate) async fn upload_received(&self, who: &Principal, upload: &Upload) -> Result<Received, QueryError> {
        let name = self.destination(upload).await?;
        may_land(&self.govern(who, self.world()), upload, &name, false)?;
        uploads::received(self.catalog.lake(), upload).await.map_err(refused)
    }

    /// Takes one part; with the last one the file lands, in a statement of its own for limits and audit.
    pub(crate) async fn upload_part(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        upload: &Upload,
        at: u64,
        part: Bytes,
    ) -> Result<Received, QueryError> {
        let name = self.destination(upload).await?;
        may_land(&self.govern(who, self.world()), upload, &name, false)?;
        let lake = self.catalog.lake();
        let bytes = uploads::take(lake, upload, at, part).await.map_err(refused)?;
        let is_landed = bytes == upload.bytes();
        if is_landed {
            self.land(who, client, upload, &name).await?;
        }
        Ok(Received {
            bytes,
            is_landed,
            replaces: false,
        })
    }

    /// The table whose rows the file will be.
    async fn destination(&self, upload: &Upload) -> Result<TableName, QueryError> {
        uploads::destination(self.catalog.lake(), upload).await.map_err(refused)
    }

    async fn land(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        upload: &Upload,
        name: &TableName,
    ) -> Result<(), QueryError> {
        let target = format!("{CATALOG}.{name}");
        let text = format!("LAND INTO {target}");
        let admitted = self.admit(who, client, &text).await;
        let world = self.world();
        let account = self.audit.account(who, client, &text, &world);
        account.called("land", Some(target));
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self.log.start(account.id(), &who.name, client, &text, policy, catalog);
        let governed = self.govern(who, world);
        governed.account_to(&account);
        let landed = async {
            let _place = admitted?;
            let lake = self.catalog.lake();
            let there = uploads::received(lake, upload).await.map_err(refused)?;
            may_land(&governed, upload, name, there.replaces)?;
            governed.notes().detail(&serde_json::json!({
                "path": upload.path(), "bytes": upload.bytes(), "replaces": there.replaces,
            }));
            account.decided(governed.notes().facts()).await?;
            match there.is_landed {
                // Sent twice: once is enough.
                true => Ok(()),
                false => uploads::land(lake, upload, there.replaces).await.map_err(refused),
            }
        };
        let outcome = match landed.await {
            Ok(()) => Ok(()),
            Err(error) => Err(account.refused(governed.notes(), error).await),
        };
        account.ended(outcome.as_ref().err());
        entry.finish(outcome.as_ref().err());
        outcome
    }
}

/// An error unless the person may put this file where it is to go. It is the same for a table that is hidden and for one
/// that is not there.
fn may_land(governed: &Governed, upload: &Upload, name: &TableName, replaces: bool) -> Result<(), QueryError> {
    may_land_in(governed, upload, name, replaces)?;
    // The crawler puts files that differ in a number alone into one table, whoever sent them. Whether there is such a table
    // yet makes no difference: it may be a hidden one.
    let kindred = upload.kindred().filter(|other| other != name);
    let names: Vec<&TableName> = [name].into_iter().chain(&kindred).collect();
    if let Some(other) = &kindred {
        may_land_in(governed, upload, other, replaces)?;
    }
    // A file of several blocks, or of other columns than its folder's first, fills tables beside (`runs__lots`). Their names are
    // not told: they may be hidden.
    let beside = |table: &TableName| {
        names.iter().any(|name| {
            let rest = table.table.strip_prefix(&name.table);
            table.schema == name.schema && rest.is_some_and(|rest| rest.starts_with("__"))
        })
    };
    for table in governed
        .world()
        .catalog
        .all()
        .map(|table| table.name())
        .filter(|table| beside(table))
    {
        may_land_in(governed, upload, table, replaces).map_err(|_| {
            QueryError::Denied(format!(
                "{} may not put files into landing/{}: they may go to tables beside {name}, too, which takes the same grants there",
                governed.who().name,
                upload.path(),
            ))
        })?;
    }
    Ok(())
}

fn may_land_in(governed: &Governed, upload: &Upload, name: &TableName, replaces: bool) -> Result<(), QueryError> {
    let who = governed.who();
    if !marks::lands(who, upload.path()) {
        return Err(QueryError::Denied(
            "this login is by a token that may not put files there; `labhouse user token NAME --land SCHEMA/TABLE` makes one that may".into(),
        ));
    }
    reserved(name)?;
    let table = governed.world().catalog.table(&name.schema, &name.table);
    let object = table.map(|table| governed.world().object(table));
    let (department, tags) = match &object {
        Some(object) => (object.department.as_str(), object.tags.clone()),
        None => (name.schema.as_str(), Tags::default()),
    };
    let path = table_path(name);
    let mut wanted = vec![Action::Insert];
    wanted.extend(object.is_none().then_some(Action::Create));
    wanted.extend(replaces.then_some(Action::Delete));
    for action in wanted {
        let decision = governed.decide(department, &path, &tags, action);
        governed.notes().decided(action, &path, &decision);
        if !decision.allowed {
            return Err(QueryError::Denied(format!(
                "{} may not put files into landing/{}: that takes the grant {} on {path}{}",
                who.name,
                upload.path(),
                action.as_str(),
                match action {
                    Action::Delete => ", because it replaces another file there, whose rows go",
                    _ => "",
                }
            )));
        }
    }
    let (Some(table), Some(object)) = (table, &object) else {
        return Ok(());
    };
    if View::of(table).is_some() {
        return Err(QueryError::Invalid(format!(
            "{name} is a materialized view: its rows follow its sources, land files for those"
        )));
    }
    for field in object.schema.fields() {
        let mut tags = tags.clone();
        tags.extend(object.column_tags.get(field.name()).cloned().unwrap_or_default());
        let column = format!("{path}/{}", field.name());
        let decision = governed.decide(department, &column, &tags, Action::Insert);
        if !decision.allowed {
            governed.notes().decided(Action::Insert, &column, &decision);
            return Err(QueryError::Denied(format!(
                "{} may not fill every column of {name}, and a file fills what it holds; bring the rows by INSERT instead",
                who.name
            )));
        }
    }
    let filtered = governed.writable(table, Action::Insert);
    if filtered.is_ok_and(|access| access.row_filter.is_some()) {
        return Err(QueryError::Denied(format!(
            "{} inserts into {name} under a row filter, which a file's rows could break; bring them by INSERT instead",
            who.name
        )));
    }
    Ok(())
}

/// What a sender hears.
fn refused(error: UploadError) -> QueryError {
    match error {
        UploadError::Path { .. } | UploadError::Digest(_) | UploadError::PartTooLarge => {
            QueryError::Invalid(error.to_string())
        }
        UploadError::Gap { .. }
        | UploadError::TooLong { .. }
        | UploadError::Damaged { .. }
        | UploadError::Occupied(_) => QueryError::Conflict(error.to_string()),
        UploadError::TooMany => QueryError::Exhausted(error.to_string()),
        UploadError::Lake(error) => lake_error(error),
    }
}
