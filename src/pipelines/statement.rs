//! Statements about views: made, made again, dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::Utc;
use datafusion::execution::SessionState;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::{CatalogSnapshot, LakeTable, OnlyIf, TableName};
use labhouse_policies::{Action, TableObject, Tags};

use super::sight::{self, sights};
use super::{Freshness, Made, PROPERTY, View, expect};
use crate::auth::hex_digest;
use crate::engine::Engine;
use crate::query::lineage::Lineage;
use crate::query::printed::printed;
use crate::query::view::{Expectation, Refresh, ViewStatement};
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
                step,
                expected,
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
                if let Some(step) = &step {
                    self.may_go_through(governed, &name, step)?;
                }
                let wanted = Wanted {
                    query,
                    refresh,
                    step,
                    expected,
                };
                self.make(governed, state, &name, wanted, None).await
            }
            ViewStatement::Refresh { name, full } => self.refresh_view(governed, &name, full).await,
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
    async fn refresh_view(&self, governed: &Arc<Governed>, name: &TableName, full: bool) -> Result<i64, QueryError> {
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
            let object = governed.world().object(table);
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
        let wanted = Wanted {
            query: parsed(&view.sql)?,
            refresh: view.refresh,
            step: view.step.clone(),
            expected: view.expected.clone(),
        };
        let old = Old {
            table: Arc::clone(table),
            view: view.clone(),
            full,
        };
        let made = self.make(&governed, state, name, wanted, Some(old)).await;
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

    /// Runs the query and puts rows, definition and the sources' versions into one commit: all of the rows, or the new ones
    /// where they follow from the new rows of the sources.
    async fn make(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        name: &TableName,
        wanted: Wanted,
        old: Option<Old>,
    ) -> Result<i64, QueryError> {
        let why = match &old {
            None => "it was made for the first time, or replaced".to_owned(),
            Some(old) if old.full => "REFRESH … FULL was asked for".to_owned(),
            Some(old) => match self.grown(governed, name, &wanted, old).await? {
                Ok(grown) => return self.commit_grown(governed, name, &wanted, old, grown).await,
                Err(why) => why,
            },
        };
        let source = self.source(governed, state, wanted.query.clone(), Vec::new()).await?;
        refuse_circle(name, &source.versions, &governed.world().catalog)?;
        let source = match &wanted.step {
            Some(step) => self.through(governed, name, step, source).await?,
            None => source,
        };
        expect::check(&wanted.expected, &source.schema, &source.batches)?;
        let sights = sights(governed, &source.versions)?;
        let rows = source.batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let view = wanted.view(governed, &source, sights, (false, why, rows));
        let (schema, table_tags) = match &old {
            Some(old) => settled(&source.schema, &source.tags, &old.table, &old.view, &view),
            None => (Arc::clone(&source.schema), source.tags.clone()),
        };
        let properties = view.properties(&source.lineage)?;
        let only_if = old.as_ref().and_then(Old::unchanged);
        self.fill(governed, name, schema, source.batches, &table_tags, properties, only_if)
            .await
    }
}

/// What a view is to be.
pub(super) struct Wanted {
    pub(super) query: Box<Query>,
    pub(super) refresh: Refresh,
    pub(super) step: Option<String>,
    pub(super) expected: Vec<Expectation>,
}

/// A view that is made again.
pub(super) struct Old {
    pub(super) table: Arc<LakeTable>,
    pub(super) view: View,
    /// All of it is asked for.
    full: bool,
}

impl Wanted {
    /// What the view's table will know of itself; `made` says whether only new rows were read, why, and how many rows it then has.
    pub(super) fn view(
        &self,
        governed: &Governed,
        source: &Source,
        sights: BTreeMap<String, String>,
        (incremental, why, rows): (bool, String, u64),
    ) -> View {
        let sql = printed(self.query.as_ref());
        View {
            made: Made {
                incremental,
                why,
                rows,
                statement_sha256: hex_digest(&sql),
            },
            sql,
            owner: governed.who().name.clone(),
            refresh: self.refresh,
            sources: source.versions.clone(),
            refreshed_at: Utc::now(),
            step: self.step.clone(),
            expected: self.expected.clone(),
            sights,
            models: governed.given_models().iter().map(model_name).collect(),
            model_versions: sight::versions(governed),
            table_tags: source.tags.clone(),
            column_tags: column_tags(&source.schema),
        }
    }
}

impl Old {
    /// Somebody may have given the view another query, or other rows, meanwhile: his stay.
    pub(super) fn unchanged(&self) -> Option<OnlyIf<'static>> {
        let value = self.table.properties().get(PROPERTY)?.clone();
        Some(OnlyIf { key: PROPERTY, value })
    }
}

impl View {
    /// Whether rows made now have the tags that the rows made last had.
    pub(super) fn has_tags_of(&self, source: &Source) -> bool {
        self.table_tags == source.tags && self.column_tags == column_tags(&source.schema)
    }

    /// The properties of the view's table.
    pub(super) fn properties(&self, lineage: &Lineage) -> Result<BTreeMap<String, String>, QueryError> {
        let text = serde_json::to_string(self).map_err(QueryError::internal)?;
        let own = [(PROPERTY.to_owned(), text)];
        Ok(lineage.property().into_iter().chain(own).collect())
    }
}

pub(super) fn model_name(model: &TableObject) -> String {
    format!("{}.{}", model.reference.schema, model.reference.table)
}

fn column_tags(schema: &Schema) -> BTreeMap<String, Tags> {
    let fields = schema.fields().iter();
    let tagged = fields.map(|field| (field.name().clone(), tags::of_field(field)));
    tagged.filter(|(_, tags)| !tags.is_empty()).collect()
}

pub(super) fn parsed(sql: &str) -> Result<Box<Query>, QueryError> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .map_err(QueryError::internal)?;
    parser.parse_query().map_err(QueryError::internal)
}

/// A view that is made of itself, directly or through other views, would never come to rest.
pub(super) fn refuse_circle(
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
pub(super) fn settled(
    schema: &SchemaRef,
    inherited: &Tags,
    table: &LakeTable,
    before: &View,
    now: &View,
) -> (SchemaRef, Tags) {
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
