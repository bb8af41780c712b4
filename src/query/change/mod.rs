//! UPDATE, DELETE and MERGE, and the rows of an INSERT: only what the writer sees is changed, and what he writes he sees.
//!
//! Rows are found through the governed table, which for this one statement shows an address beside its columns. They are
//! taken out of their data files by address and put back changed, in one commit that fails if anybody else changed the
//! table since; then all of it is done again on the newer version.

mod fill;
mod parse;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::scalar::ScalarValue;
use labhouse_catalog::{LakeTable, TableName, TakenOut};
use labhouse_policies::{Access, Action, Decision, Reason, TableObject};

pub(super) use fill::Fill;
pub(crate) use parse::{Change, Effect, delete, merge, update};
use target::Hidden;

use super::lineage::Added;
use super::write::{Collected, count, lake_error, require, reserved};
use super::{QueryError, errors, tags};
use crate::engine::Engine;
use crate::pipelines::View;
use crate::session::{Governed, Library, table_path};

/// How often a change is tried when other writers win.
const ATTEMPTS_MAX: usize = 10;

/// What the parts of a statement gave.
#[derive(Default)]
struct Found {
    deleted: BTreeSet<i64>,
    /// For each changed row: which set of new values, and which row of it.
    updated: BTreeMap<i64, (usize, usize)>,
    /// Columns and new values of each updating part; the address is the first column.
    values: Vec<(Vec<String>, RecordBatch)>,
    inserted: Vec<RecordBatch>,
    /// Where inserted rows and new values come from.
    lineage: Added,
}

impl Found {
    /// Notes where the values of a part come from; its columns have these names.
    fn learn(&mut self, view: &Governed, table: &LakeTable, names: &[String], given: &Collected) {
        self.lineage.take(&given.lineage(view, names).added_to(table.name()));
    }
}

impl Engine {
    pub(super) async fn change(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        change: Change,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        reserved(&change.target)?;
        let mut governed = Arc::clone(governed);
        for _ in 0..ATTEMPTS_MAX {
            if let Some(rows) = self.try_change(&governed, &change, &parameters).await? {
                return count(rows);
            }
            if governed.is_staged() {
                return Err(QueryError::internal("a staged change was overtaken"));
            }
            self.catalog.refresh().await.map_err(lake_error)?;
            governed = governed.on(self.catalog.snapshot());
        }
        Err(QueryError::Conflict(format!(
            "other writers keep changing {}; run the statement again",
            change.target
        )))
    }

    /// The number of rows changed; none when another writer was faster.
    async fn try_change(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        change: &Change,
        parameters: &[ScalarValue],
    ) -> Result<Option<usize>, QueryError> {
        let name = &change.target;
        let (access, table) = visible(governed, name)?;
        for part in &change.parts {
            permit(governed, &access, &table, &part.effect)?;
        }
        let catalog = governed.target(&self.catalog);
        let lake = catalog.lake();
        let view = self.addressed(governed, &access, &table, &change.hidden)?;
        let found = self.find(&view, &access, &table, change, parameters).await?;
        let touched: BTreeSet<i64> = found.deleted.iter().chain(found.updated.keys()).copied().collect();
        let inserted: usize = found.inserted.iter().map(RecordBatch::num_rows).sum();
        if touched.is_empty() && inserted == 0 {
            return Ok(Some(0));
        }
        governed.decided().await?;
        let taken = labhouse_catalog::take_out(lake, &table, &touched)
            .await
            .map_err(lake_error)?;
        let changed = reached(&view, &access, &touched, &taken, name)
            .and_then(|()| new_rows(&found, &touched, &taken))
            .and_then(|rows| {
                check(&view, &access, &rows, name)?;
                Ok(rows)
            });
        match changed {
            Ok(rows) => {
                let lineage = found.lineage.noted_of(&table);
                let done = taken.put_back(catalog, &table, &rows, change.kind, lineage).await;
                Ok(done.map_err(lake_error)?.map(|table| {
                    governed.wrote(table.version());
                    touched.len() + inserted
                }))
            }
            Err(error) => {
                taken.give_up(lake).await;
                Err(error)
            }
        }
    }

    /// The view in which the rows of a table show their addresses.
    fn addressed(
        &self,
        governed: &Governed,
        access: &Access,
        table: &Arc<LakeTable>,
        hidden: &Hidden,
    ) -> Result<Arc<Governed>, QueryError> {
        let lake = governed.target(&self.catalog).lake();
        let inner = labhouse_catalog::addressed(lake, table, &hidden.column).map_err(lake_error)?;
        governed
            .with_addresses(table, &hidden.table, access, inner, &hidden.column)
            .map_err(errors::from_datafusion)
    }

    /// Asks each part for its rows; a row that two parts or two matches would change is an error.
    async fn find(
        self: &Arc<Self>,
        view: &Arc<Governed>,
        access: &Access,
        table: &LakeTable,
        change: &Change,
        parameters: &[ScalarValue],
    ) -> Result<Found, QueryError> {
        let mut found = Found::default();
        for part in &change.parts {
            let state = Arc::new(self.sessions.open(view).map_err(errors::from_datafusion)?);
            let given = self
                .collect(view, state, part.query.clone(), parameters.to_vec())
                .await
                .map_err(|error| change.hidden.told(error))?;
            let rows =
                concat_batches(&given.schema, &given.batches).map_err(|error| errors::from_datafusion(error.into()))?;
            match &part.effect {
                Effect::Insert(columns) => {
                    let names = filled(columns, access);
                    refuse_loosening(view, table, &names, &given)?;
                    found.learn(view, table, &names, &given);
                    found.inserted.push(fit(&rows, &names, &table.schema())?);
                }
                Effect::Delete => {
                    for address in addresses(&rows)? {
                        // Matched twice it is still deleted once.
                        found.deleted.insert(address);
                    }
                }
                Effect::Update(columns) => {
                    let address = std::iter::once(labhouse_catalog::ROW_ADDRESS.to_owned());
                    let names: Vec<String> = address.chain(columns.iter().cloned()).collect();
                    refuse_loosening(view, table, &names, &given)?;
                    found.learn(view, table, &names, &given);
                    let set = found.values.len();
                    for (row, address) in addresses(&rows)?.into_iter().enumerate() {
                        if found.updated.insert(address, (set, row)).is_some() {
                            return Err(twice(table.name()));
                        }
                    }
                    found.values.push((columns.clone(), rows));
                }
            }
        }
        if found.updated.keys().any(|address| found.deleted.contains(address)) {
            return Err(twice(table.name()));
        }
        Ok(found)
    }

    /// Appends rows that an INSERT gives, as far as the writer may fill their columns and will see them.
    pub(super) async fn insert(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        state: Arc<datafusion::execution::SessionState>,
        name: TableName,
        columns: Vec<String>,
        query: Box<datafusion::sql::sqlparser::ast::Query>,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        reserved(&name)?;
        let (access, table) = visible(governed, &name)?;
        permit(governed, &access, &table, &Effect::Insert(columns.clone()))?;
        let given = self.collect(governed, state, query, parameters).await?;
        let names = filled(&columns, &access);
        refuse_loosening(governed, &table, &names, &given)?;
        let lineage = given.lineage(governed, &names).added_to(&name);
        self.append(governed, &name, names, &given.batches, &lineage).await
    }

    /// Appends rows of values that were bound to an INSERT of these columns, or of all when it names none.
    pub(super) async fn insert_rows(
        &self,
        governed: &Governed,
        name: &TableName,
        columns: &[String],
        rows: &RecordBatch,
    ) -> Result<i64, QueryError> {
        reserved(name)?;
        let (access, _) = visible(governed, name)?;
        let names = filled(columns, &access);
        self.append_rows(governed, name, names, std::slice::from_ref(rows))
            .await
    }

    /// Appends rows whose columns have these names, as far as the writer may fill them and will see the rows.
    pub(super) async fn append_rows(
        &self,
        governed: &Governed,
        name: &TableName,
        columns: Vec<String>,
        rows: &[RecordBatch],
    ) -> Result<i64, QueryError> {
        self.append(governed, name, columns, rows, &Added::default()).await
    }

    async fn append(
        &self,
        governed: &Governed,
        name: &TableName,
        columns: Vec<String>,
        rows: &[RecordBatch],
        lineage: &Added,
    ) -> Result<i64, QueryError> {
        reserved(name)?;
        let (access, table) = visible(governed, name)?;
        permit(governed, &access, &table, &Effect::Insert(columns.clone()))?;
        let target = table.schema();
        let batches = rows
            .iter()
            .map(|batch| fit(batch, &columns, &target))
            .collect::<Result<Vec<_>, _>>()?;
        check(governed, &access, &batches, name)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows > 0 {
            governed.decided().await?;
            let noted = |table: &LakeTable| lineage.noted_of(table);
            let grown = labhouse_catalog::append_noting(governed.target(&self.catalog), name, batches, &noted).await;
            governed.wrote(grown.map_err(lake_error)?.version());
        }
        count(rows)
    }
}

/// The table and what the writer sees of it.
fn visible(governed: &Governed, name: &TableName) -> Result<(Access, Arc<LakeTable>), QueryError> {
    let access = governed
        .access(&name.schema, &name.table)
        .map_err(errors::from_datafusion)?;
    match (access, governed.world().catalog.table(&name.schema, &name.table)) {
        (Some(access), Some(table)) => Ok((access, Arc::clone(table))),
        _ => Err(QueryError::no_table(name)),
    }
}

/// An error unless the grants for the effect are there: for the table, and for each column that gets a value.
fn permit(governed: &Governed, access: &Access, table: &LakeTable, effect: &Effect) -> Result<(), QueryError> {
    let name = table.name();
    if View::of(table).is_some() {
        return Err(QueryError::Invalid(format!(
            "{name} is a materialized view: its rows follow its sources, change those"
        )));
    }
    if Library::of(table).is_some() {
        return Err(QueryError::Invalid(format!(
            "{name} is a virtual library: its rows are made of its sources, change those"
        )));
    }
    let object: TableObject = governed.world().object(table);
    let (action, columns) = match effect {
        Effect::Delete => (Action::Delete, Vec::new()),
        Effect::Update(columns) => (Action::Update, columns.clone()),
        Effect::Insert(columns) => (Action::Insert, filled(columns, access)),
    };
    require(governed, &object.department, &table_path(name), &object.tags, action)?;
    if columns.is_empty() {
        return Ok(());
    }
    let open = governed.writable(table, action);
    for column in &columns {
        let seen = position(access, column);
        let Some(at) = seen else {
            return Err(QueryError::NotFound(format!("{name} has no column {column}")));
        };
        if column.starts_with('_') {
            return Err(QueryError::Denied(format!(
                "{column} is the crawler's own column and is not written by statements"
            )));
        }
        if access.masks.contains_key(column) {
            return Err(QueryError::Denied(format!(
                "{column} of {name} is shown to you masked, so you cannot write it: ask an administrator for a grant without the mask"
            )));
        }
        if !open.as_ref().is_ok_and(|open| open.columns.contains(&at)) {
            let closed = open.as_ref().map_or_else(|denied| (*denied).clone(), closed);
            let path = format!("{}/{column}", table_path(name));
            governed.notes().decided(action, &path, &closed);
            return Err(QueryError::Denied(format!(
                "{} may not {} {}/{column}; a grant in policy.csv for department {} would allow it",
                governed.who().name,
                action.as_str(),
                table_path(name),
                object.department
            )));
        }
    }
    Ok(())
}

/// What closes a column to somebody who may do the same to others of the table.
fn closed(open: &Access) -> Decision {
    Decision {
        allowed: false,
        determined_by: open.determined_by.clone(),
        reason: Reason::NothingMatched,
    }
}

/// An error when what is written would be freer here than where it comes from, unless an administrator of the table writes.
fn refuse_loosening(
    governed: &Governed,
    table: &LakeTable,
    names: &[String],
    given: &Collected,
) -> Result<(), QueryError> {
    let name = table.name();
    let others = given.read.iter().filter(|(source, _)| source.name() != name);
    let sources: Vec<TableObject> = others
        .map(|(source, _)| governed.world().object(source))
        .chain(governed.given_models())
        .collect();
    let target = governed.world().object(table);
    let within = given.origins.iter().zip(names).find_map(|(origins, to)| {
        let own = origins.iter().filter(|(schema, table, _)| {
            // One whose table is not known may be of this one.
            table.is_empty()
                || governed
                    .read(schema, table)
                    .is_some_and(|(read, _)| read.name() == name)
        });
        let mut columns = own.map(|(_, _, column)| column);
        columns.find_map(|column| tags::freer(&target, column, to))
    });
    let from_others = || tags::loosened(&target, names, &given.schema, &sources, &given.roots(governed));
    let Some(tag) = within.or_else(from_others) else {
        return Ok(());
    };
    require(governed, &target.department, &table_path(name), &target.tags, Action::Admin).map_err(|_| {
        QueryError::Denied(format!(
            "the values come from what is tagged {tag}, and where they go in {name} is not tagged so, which would open them to others: make a new table, it inherits the tags, or ask an administrator"
        ))
    })
}

/// The index of a column the writer sees.
fn position(access: &Access, column: &str) -> Option<usize> {
    let at = access.schema.index_of(column).ok()?;
    access.columns.contains(&at).then_some(at)
}

/// The columns an INSERT fills: those it names, else all the writer sees but the crawler's own.
fn filled(columns: &[String], access: &Access) -> Vec<String> {
    if !columns.is_empty() {
        return columns.to_vec();
    }
    let seen = access.columns.iter().filter_map(|at| access.schema.fields().get(*at));
    seen.map(|field| field.name().clone())
        .filter(|name| !name.starts_with('_'))
        .collect()
}

/// Every row that is taken out must be one that the writer sees, however its address came.
fn reached(
    governed: &Governed,
    access: &Access,
    touched: &BTreeSet<i64>,
    taken: &TakenOut,
    name: &TableName,
) -> Result<(), QueryError> {
    let shown = access
        .shows(&taken.rows, governed.system())
        .map_err(errors::from_datafusion)?;
    if taken.rows.num_rows() != touched.len() || shown.true_count() < touched.len() {
        return Err(QueryError::Denied(format!(
            "a row to be changed in {name} is not visible to you; run the statement again"
        )));
    }
    Ok(())
}

/// Every row written must be one the writer sees.
fn check(governed: &Governed, access: &Access, rows: &[RecordBatch], name: &TableName) -> Result<(), QueryError> {
    for batch in rows {
        let shown = access
            .shows(batch, governed.system())
            .map_err(errors::from_datafusion)?;
        if shown.true_count() < batch.num_rows() {
            return Err(QueryError::Denied(format!(
                "a row written to {name} would not be visible to you: a row filter of the policy decides which rows you may write, too"
            )));
        }
    }
    Ok(())
}

/// The rows that go into the table: changed ones from what was taken out, and new ones.
fn new_rows(found: &Found, touched: &BTreeSet<i64>, taken: &TakenOut) -> Result<Vec<RecordBatch>, QueryError> {
    let place: BTreeMap<i64, u64> = touched.iter().copied().zip(0_u64..).collect();
    let mut rows = found.inserted.clone();
    for (set, (columns, values)) in found.values.iter().enumerate() {
        let mine = found.updated.iter().filter(|(_, (of, _))| *of == set);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (address, (_, row)) in mine {
            old.push(place.get(address).copied().unwrap_or(u64::MAX));
            new.push(*row as u64);
        }
        let (old, new) = (UInt64Array::from(old), UInt64Array::from(new));
        let schema = taken.rows.schema();
        let mut changed: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (at, field) in schema.fields().iter().enumerate() {
            let set = columns.iter().position(|column| column == field.name());
            // The first column of the values is the address.
            let (from, rows) = match set.and_then(|set| values.columns().get(set + 1)) {
                Some(values) => (cast(values, field)?, &new),
                None => (Arc::clone(taken.rows.column(at)), &old),
            };
            changed.push(take(&from, rows, None).map_err(|error| errors::from_datafusion(error.into()))?);
        }
        let batch = RecordBatch::try_new(schema, changed);
        rows.push(batch.map_err(|error| errors::from_datafusion(error.into()))?);
    }
    rows.retain(|batch| batch.num_rows() > 0);
    Ok(rows)
}

fn addresses(rows: &RecordBatch) -> Result<Vec<i64>, QueryError> {
    let column = rows
        .columns()
        .first()
        .and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    match column {
        Some(column) if column.null_count() == 0 => Ok(column.values().to_vec()),
        _ => Err(QueryError::internal("rows to change came without addresses")),
    }
}

fn twice(name: &TableName) -> QueryError {
    QueryError::Invalid(format!(
        "a row of {name} would be changed twice: more than one row of the source matches it; make the condition after ON unique"
    ))
}

/// Rows of a query as rows of the table: its columns fill those named, the others are null.
fn fit(batch: &RecordBatch, names: &[String], target: &SchemaRef) -> Result<RecordBatch, QueryError> {
    if names.len() != batch.num_columns() {
        return Err(QueryError::Invalid(format!(
            "{} columns are to be filled ({}) and the query gives {}",
            names.len(),
            names.join(", "),
            batch.num_columns()
        )));
    }
    let columns = target.fields().iter().map(|field| {
        let at = names.iter().position(|name| name == field.name());
        match at.and_then(|at| batch.columns().get(at)) {
            Some(column) => cast(column, field),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    });
    RecordBatch::try_new(Arc::clone(target), columns.collect::<Result<Vec<_>, _>>()?)
        .map_err(|error| QueryError::Invalid(error.to_string()))
}

/// A value that does not fit its column is an error, never silently null.
fn cast(values: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, QueryError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(values, field.data_type(), &options)
        .map_err(|error| QueryError::Invalid(format!("column {}: {error}", field.name())))
}
