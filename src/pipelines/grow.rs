//! A view that grows: only the new rows of its sources are read, and what they give is put to the rows that are there.
//!
//! Each of these must hold, or the view is made anew: the query gives the same for the same rows at any time; its owner sees each
//! source whole, just as when the view was made last; every source only grew; the shape of the query lets new rows follow from
//! new rows; and the view still holds the rows of its last refresh. What is read is read through the owner's governed view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use labhouse_catalog::{Added, LakeTable, TableName};

use super::expect;
use super::shape::{Factor, Kind, Merge, Shape, Why, shape};
use super::sight::sights;
use super::statement::{Old, Wanted, parsed, refuse_circle, settled};
use super::{Freshness, View};
use crate::engine::Engine;
use crate::query::printed::printed;
use crate::query::view::Expectation;
use crate::query::write::{Collected, Source, lake_error};
use crate::query::{QueryError, errors, rests_on_rows};
use crate::session::{Governed, Stand};

/// A table, and by which name which rows stand for it.
type ReadInstead = (TableName, (String, Arc<dyn TableProvider>));

/// What the new rows of the sources gave.
pub(super) struct Grown {
    source: Source,
    sights: BTreeMap<String, String>,
    why: Why,
    /// All rows of the view, where groups were merged; else the new ones are put to those that are there.
    merged: Option<Vec<RecordBatch>>,
}

/// The sources that grew, in two parts each, and how far back the older one goes.
type New = BTreeMap<String, Grew>;

struct Grew {
    name: TableName,
    since: u64,
    old: Arc<dyn TableProvider>,
    new: Arc<dyn TableProvider>,
}

impl Engine {
    /// What the new rows of a view's sources give; or why all of it is to be made anew.
    ///
    /// # Errors
    /// The new rows cannot be read.
    pub(super) async fn grown(
        &self,
        governed: &Arc<Governed>,
        name: &TableName,
        wanted: &Wanted,
        old: &Old,
    ) -> Result<Result<Grown, Why>, QueryError> {
        let view = &old.view;
        if let Some(step) = &wanted.step {
            return Ok(Err(format!(
                "what the external step {step} makes of new rows alone is not known"
            )));
        }
        if let Some(why) = not_as_left(old, wanted) {
            return Ok(Err(why));
        }
        if !view.is_seen_as(&sights(governed, &view.sources)?) {
            return Ok(Err("policies or tables are others than at its last refresh".into()));
        }
        let new = match self.new_rows(governed, view).await? {
            Ok(new) => new,
            Err(why) => return Ok(Err(why)),
        };
        let grown: BTreeSet<String> = new.keys().cloned().collect();
        let shape = match self.shape_of(governed, wanted, &grown).await? {
            Ok(shape) => shape,
            Err(why) => return Ok(Err(why)),
        };
        if shape.factors.iter().flatten().collect::<BTreeSet<_>>() != grown.iter().collect() {
            return Ok(Err("how it reads what grew is not followed".into()));
        }
        let is_unique = |one: &Expectation| matches!(one, Expectation::Unique(_));
        if shape.kind == Kind::Rows && wanted.expected.iter().any(is_unique) {
            return Ok(Err("UNIQUE is looked for in all rows".into()));
        }
        let mut source: Option<Source> = None;
        for term in terms(governed, view, &new, &shape)? {
            let over = governed.with_rows(term).map_err(errors::from_datafusion)?;
            let state = Arc::new(self.sessions.open(&over).map_err(errors::from_datafusion)?);
            let more = self.source(&over, state, wanted.query.clone(), Vec::new()).await?;
            match &mut source {
                Some(source) => source.batches.extend(more.batches),
                None => source = Some(more),
            }
        }
        let source = source.ok_or_else(|| QueryError::internal("nothing was read of a view's sources"))?;
        refuse_circle(name, &source.versions, &governed.world().catalog)?;
        if !view.has_tags_of(&source) {
            return Ok(Err("the tags of its sources changed".into()));
        }
        let only = match grown.is_empty() {
            true if view.freshness(&governed.world().catalog) == Freshness::Fresh => "no source changed".to_owned(),
            true => "no rows were added to its sources".to_owned(),
            false => format!("only rows were added to {}", list(&grown)),
        };
        let (merged, why) = match &shape.kind {
            Kind::Rows => (None, only),
            Kind::Groups(columns) => match self.merged(governed, name, old, &source, columns).await? {
                Ok(merged) => (Some(merged), format!("{only}, and its groups can be merged")),
                Err(why) => return Ok(Err(why)),
            },
        };
        Ok(Ok(Grown {
            sights: sights(governed, &source.versions)?,
            source,
            why,
            merged,
        }))
    }

    /// Puts new rows, or merged groups, with the sources' versions into one commit.
    pub(super) async fn commit_grown(
        &self,
        governed: &Arc<Governed>,
        name: &TableName,
        wanted: &Wanted,
        old: &Old,
        grown: Grown,
    ) -> Result<i64, QueryError> {
        let Grown {
            source,
            sights,
            why,
            merged,
        } = grown;
        let shown = merged.as_ref().unwrap_or(&source.batches);
        expect::check(&wanted.expected, &source.schema, shown)?;
        let new: u64 = shown.iter().map(|batch| batch.num_rows() as u64).sum();
        let rows = match merged {
            Some(_) => new,
            None => old.view.made.rows.saturating_add(new),
        };
        let view = wanted.view(governed, &source, sights, (true, why, rows));
        let properties = view.properties(&source.lineage)?;
        let only_if = old.unchanged();
        if let Some(merged) = merged {
            let (schema, table_tags) = settled(&source.schema, &source.tags, &old.table, &old.view, &view);
            return self
                .fill(governed, name, schema, merged, &table_tags, properties, only_if)
                .await;
        }
        let only_if = only_if.ok_or_else(|| QueryError::internal("a view without its property"))?;
        governed.decided().await?;
        let longer = labhouse_catalog::grow(&self.catalog, name, source.batches, properties, only_if).await;
        governed.wrote(longer.map_err(lake_error)?.version());
        i64::try_from(rows).map_err(QueryError::internal)
    }

    /// The new rows of each source that has some; or which source did something else than grow.
    async fn new_rows(&self, governed: &Governed, view: &View) -> Result<Result<New, Why>, QueryError> {
        let mut all = New::new();
        for (source, version) in &view.sources {
            let Some(table) = table(governed, source) else {
                return Ok(Err(format!("{source} is not there any more")));
            };
            if table.version() == *version {
                continue;
            }
            let added = labhouse_catalog::added_since(&self.catalog, table, *version).await;
            match added.map_err(lake_error)? {
                Err(why) => return Ok(Err(format!("{source}: {why}"))),
                Ok(Added { new: None, .. }) => {}
                Ok(Added { old, new: Some(new) }) => {
                    let (name, since) = (table.name().clone(), *version);
                    all.insert(source.clone(), Grew { name, since, old, new });
                }
            }
        }
        Ok(Ok(all))
    }

    async fn shape_of(
        &self,
        governed: &Arc<Governed>,
        wanted: &Wanted,
        grown: &BTreeSet<String>,
    ) -> Result<Result<Shape, Why>, QueryError> {
        let state = Arc::new(self.sessions.open(governed).map_err(errors::from_datafusion)?);
        let (view, grown) = (Arc::clone(governed), grown.clone());
        let look = move |plan: &LogicalPlan| match rests_on_rows(&view, plan)? {
            true => shape(plan, &grown),
            false => Ok(Err(
                "it reads the clock, chance, a model, a function of tables, or a table that its owner sees in part"
                    .into(),
            )),
        };
        self.planned(governed, state, wanted.query.clone(), look).await
    }

    /// The groups of the view and those of the new rows, together.
    async fn merged(
        &self,
        governed: &Arc<Governed>,
        name: &TableName,
        old: &Old,
        source: &Source,
        columns: &[Merge],
    ) -> Result<Result<Vec<RecordBatch>, Why>, QueryError> {
        let access = governed.access(&name.schema, &name.table);
        let access = access.map_err(errors::from_datafusion)?;
        if !access.is_some_and(|access| access.is_unrestricted()) {
            return Ok(Err("its owner sees the view itself in part".into()));
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let columns_of = old.table.schema();
        let names: Vec<String> = columns_of.fields().iter().map(|field| quoted(field.name())).collect();
        let (schema, table) = (quoted(&name.schema), quoted(&name.table));
        let sql = format!("SELECT {} FROM lab.{schema}.{table}", names.join(", "));
        let state = Arc::new(self.sessions.open(governed).map_err(errors::from_datafusion)?);
        let groups = self.collect(governed, state, parsed(&sql)?, Vec::new()).await?;
        let Collected {
            schema,
            batches: mut together,
            ..
        } = groups;
        if !same_types(&schema, &source.schema) {
            return Ok(Err("its columns have other types than the query's".into()));
        }
        for batch in &source.batches {
            let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
            together.push(batch.map_err(QueryError::internal)?);
        }
        let plan = merging(schema, together, columns).map_err(errors::from_datafusion)?;
        let system = Arc::clone(governed.system());
        let physical = system.create_physical_plan(&plan).await;
        let (_, merged, _memory) = self.rows(physical.map_err(errors::from_datafusion)?, system).await?;
        Ok(Ok(merged))
    }
}

/// Why the view is not as its last refresh left it; none when it is.
fn not_as_left(old: &Old, wanted: &Wanted) -> Option<Why> {
    let view = &old.view;
    if view.made.statement_sha256.is_empty() || view.sql != printed(wanted.query.as_ref()) {
        return Some("how it was made before is not known".into());
    }
    if old.table.rows().map(|rows| rows as u64) != Some(view.made.rows) {
        return Some("it does not hold the rows of its last refresh".into());
    }
    None
}

fn table<'a>(governed: &'a Governed, source: &str) -> Option<&'a Arc<LakeTable>> {
    let (schema, table) = source.split_once('.')?;
    governed.world().catalog.table(schema, table)
}

/// What each run of the query reads in place of its tables: of the factors that grew those before the run's own as they were, its
/// own new rows, and those after it whole. What did not grow is looked up by joins; else it would give its rows again.
fn terms(governed: &Governed, view: &View, new: &New, shape: &Shape) -> Result<Vec<Stand>, QueryError> {
    let mut still = Stand::new();
    if new.is_empty() || !shape.has_joins {
        for table in view.sources.keys().filter_map(|source| table(governed, source)) {
            if !new.contains_key(&table.name().to_string()) {
                still.insert(table.name().clone(), ("nothing".to_owned(), nothing(table)?));
            }
        }
    }
    let of = |factor: &Factor, is_new: bool| -> Vec<ReadInstead> {
        let grew = factor.iter().filter_map(|source| new.get(source));
        let part = |grew: &Grew| match is_new {
            true => (format!("since {}", grew.since), Arc::clone(&grew.new)),
            false => (format!("until {}", grew.since), Arc::clone(&grew.old)),
        };
        grew.map(|grew| (grew.name.clone(), part(grew))).collect()
    };
    if shape.factors.is_empty() {
        return Ok(vec![still]);
    }
    let term = |(at, own): (usize, &Factor)| {
        let before = shape.factors.iter().take(at).flat_map(|factor| of(factor, false));
        still.clone().into_iter().chain(before).chain(of(own, true)).collect()
    };
    Ok(shape.factors.iter().enumerate().map(term).collect())
}

/// No rows of a table.
fn nothing(table: &LakeTable) -> Result<Arc<dyn TableProvider>, QueryError> {
    let nothing = MemTable::try_new(table.schema(), vec![Vec::new()]);
    Ok(Arc::new(nothing.map_err(errors::from_datafusion)?))
}

/// A plan that makes one row of all rows of the same group.
fn merging(schema: SchemaRef, rows: Vec<RecordBatch>, columns: &[Merge]) -> Result<LogicalPlan, DataFusionError> {
    let rows = MemTable::try_new(Arc::clone(&schema), vec![rows])?;
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let (mut keys, mut values, mut given) = (Vec::new(), Vec::new(), Vec::new());
    for (field, merge) in schema.fields().iter().zip(columns) {
        let name = field.name().as_str();
        match merge {
            Merge::Key => keys.push(column(name)),
            Merge::Sum => values.push(sum(column(name)).alias(name)),
            Merge::Min => values.push(min(column(name)).alias(name)),
            Merge::Max => values.push(max(column(name)).alias(name)),
        }
        given.push(cast(column(name), field.data_type().clone()).alias(name));
    }
    LogicalPlanBuilder::scan("groups", provider_as_source(Arc::new(rows)), None)?
        .aggregate(keys, values)?
        .project(given)?
        .build()
}

fn same_types(one: &SchemaRef, other: &SchemaRef) -> bool {
    let same = |(one, other): (&Arc<arrow::datatypes::Field>, &Arc<arrow::datatypes::Field>)| {
        one.name() == other.name() && one.data_type() == other.data_type()
    };
    one.fields().len() == other.fields().len() && one.fields().iter().zip(other.fields()).all(same)
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
