//! Statements about views: made, made again, dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::Utc;
use datafusion::execution::SessionState;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::{CatalogSnapshot, LakeTable, OnlyIf, TableName};
use labhouse_policies::{Action, Tags};

use super::{Freshness, PROPERTY, View};
use crate::engine::Engine;
use crate::query::view::{Refresh, ViewStatement};
use crate::query::write::{Source, require};
use crate::query::{QueryError, tags};
use crate::session::{Governed, table_object, table_path};

impl Engine {
    /// Does what a statement asks of a view; gives its rows.
    pub(crate) async fn view(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: ViewStatement,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        match statement {
            ViewStatement::Create {
                name,
                refresh,
                query,
                or_replace,
                if_not_exists,
            } => {
                governed.may_own()?;
                if !parameters.is_empty() {
                    return Err(QueryError::Invalid("a view's query has no parameters".into()));
                }
                if !self.may_create(governed, &name, or_replace, if_not_exists)? {
                    return Ok(0);
                }
                self.make(governed, state, &name, query, refresh, None).await
            }
            ViewStatement::Refresh { name } => self.refresh_view(governed, &name).await,
            ViewStatement::Drop { name, if_exists } => {
                // A view that is hidden and one that is not there answer alike.
                let seen = governed.access(&name.schema, &name.table);
                let seen = seen.map_err(crate::query::errors::from_datafusion)?.is_some();
                let table = governed.world().catalog.table(&name.schema, &name.table);
                let is_view = seen && table.is_some_and(|table| View::of(table).is_some());
                self.drop_view(governed, name, is_view, if_exists).await
            }
        }
    }

    /// Makes a view again, as its owner sees the sources now.
    async fn refresh_view(&self, governed: &Arc<Governed>, name: &TableName) -> Result<i64, QueryError> {
        let missing = || QueryError::NotFound(format!("view 'lab.{name}' not found; system.pipelines lists views"));
        let seen = governed.access(&name.schema, &name.table);
        let seen = seen.map_err(crate::query::errors::from_datafusion)?.is_some();
        let table = governed.world().catalog.table(&name.schema, &name.table);
        let (true, Some(table)) = (seen, table) else {
            return Err(missing());
        };
        let view = View::of(table).ok_or_else(missing)?;
        let governed = if view.owner == governed.who().name {
            Arc::clone(governed)
        } else {
            let object = table_object(table);
            require(
                governed,
                &object.department,
                &table_path(name),
                &object.tags,
                Action::Maintain,
            )?;
            let owner = self.auth.named(&view.owner).ok_or_else(|| {
                QueryError::Invalid(format!(
                    "{name} belongs to {}, who is no user any more: make it anew with CREATE OR REPLACE MATERIALIZED VIEW",
                    view.owner
                ))
            })?;
            let as_owner = self.govern(&owner, governed.world().clone());
            as_owner.account_like(governed);
            as_owner
        };
        self.may_create(&governed, name, true, false)?;
        let state = Arc::new(
            self.sessions
                .open(&governed)
                .map_err(crate::query::errors::from_datafusion)?,
        );
        let query = parsed(&view.sql)?;
        let old = Some((Arc::clone(table), view.clone()));
        let made = self.make(&governed, state, name, query, view.refresh, old).await;
        match made {
            Err(error) => self.made_meanwhile(name, &view).ok_or(error),
            made => made,
        }
    }

    /// The rows of a view that another refresh, of the background or of another server, brought up to date while this one
    /// ran: there is nothing left to do then.
    fn made_meanwhile(&self, name: &TableName, before: &View) -> Option<i64> {
        let catalog = self.catalog.snapshot();
        let table = catalog.table(&name.schema, &name.table)?;
        let view = View::of(table)?;
        let is_other = view.refreshed_at != before.refreshed_at;
        let is_same = view.sql == before.sql && view.owner == before.owner;
        if !(is_other && is_same && view.freshness(&catalog) == Freshness::Fresh) {
            return None;
        }
        i64::try_from(table.rows()?).ok()
    }

    /// Runs the query and puts rows, definition and the sources' versions into one commit.
    async fn make(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        name: &TableName,
        query: Box<Query>,
        refresh: Refresh,
        old: Option<(Arc<LakeTable>, View)>,
    ) -> Result<i64, QueryError> {
        let sql = query.to_string();
        let Source {
            schema,
            batches,
            versions,
            tags: inherited,
            lineage,
        } = self.source(governed, state, query, Vec::new()).await?;
        refuse_circle(name, &versions, &governed.world().catalog)?;
        let column_tags: BTreeMap<String, Tags> = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), tags::of_field(field)))
            .filter(|(_, tags)| !tags.is_empty())
            .collect();
        let view = View {
            sql,
            owner: governed.who().name.clone(),
            refresh,
            sources: versions,
            refreshed_at: Utc::now(),
            table_tags: inherited.clone(),
            column_tags,
        };
        let (schema, table_tags) = match &old {
            Some((table, before)) => settled(&schema, &inherited, table, before, &view),
            None => (schema, inherited),
        };
        let text = serde_json::to_string(&view).map_err(QueryError::internal)?;
        // Somebody may have given the view another query meanwhile: his stays.
        let only_if = old
            .and_then(|(table, _)| Some((PROPERTY, table.properties().get(PROPERTY)?.clone())))
            .map(|(key, value)| OnlyIf { key, value });
        self.fill(
            governed,
            name,
            schema,
            batches,
            &table_tags,
            lineage
                .property()
                .into_iter()
                .chain([(PROPERTY.to_owned(), text)])
                .collect(),
            only_if,
        )
        .await
    }
}

fn parsed(sql: &str) -> Result<Box<Query>, QueryError> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .map_err(QueryError::internal)?;
    parser.parse_query().map_err(QueryError::internal)
}

/// A view that is made of itself, directly or through other views, would never come to rest.
fn refuse_circle(
    name: &TableName,
    sources: &BTreeMap<String, u64>,
    catalog: &CatalogSnapshot,
) -> Result<(), QueryError> {
    let mut todo: Vec<String> = sources.keys().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(source) = todo.pop() {
        if source == name.to_string() {
            return Err(QueryError::Invalid(format!(
                "{name} would be made of itself: a view cannot read what is made of it"
            )));
        }
        let table = source
            .split_once('.')
            .and_then(|(schema, table)| catalog.table(schema, table));
        if let Some(view) = table.and_then(|table| View::of(table))
            && seen.insert(source)
        {
            todo.extend(view.sources.into_keys());
        }
    }
    Ok(())
}

/// Schema and tags of a view that is made again. What an administrator set since stays; what the sources gave follows them;
/// where both changed, both hold.
fn settled(schema: &SchemaRef, inherited: &Tags, table: &LakeTable, before: &View, now: &View) -> (SchemaRef, Tags) {
    let current = table_object(table);
    let own = tags::settle(&current.tags, &before.table_tags, inherited);
    let none = Tags::new();
    let old = table.schema();
    let fields = schema.fields().iter().map(|field| {
        let name = field.name();
        let of = |tags: &BTreeMap<String, Tags>| tags.get(name).unwrap_or(&none).clone();
        let kept = tags::settle(
            &of(&current.column_tags),
            &of(&before.column_tags),
            &of(&now.column_tags),
        );
        // Comments and other words on the column stay.
        let mut words = match old.field_with_name(name) {
            Ok(old) => old.metadata().clone(),
            Err(_) => field.metadata().clone(),
        };
        words.retain(|key, _| !key.starts_with(tags::TAG));
        words.extend(tags::properties(&kept));
        Arc::new(Field::clone(field).with_metadata(words))
    });
    (Arc::new(Schema::new(fields.collect::<Vec<_>>())), own)
}
