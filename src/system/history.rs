//! `table_history('lab.s.t' [, 100])`, or `DESCRIBE HISTORY lab.s.t`: the versions of a table that there are, the newest first.
//!
//! A commit counts the rows of everybody, so only who sees the whole table is told of them; and from the commit on that gave it
//! its columns, tags and properties of today, since before it may have held what he does not see. An administrator is told of all.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use labhouse_catalog::{LakeTable, commits, of_today};

use super::SYSTEM;
use super::rows::{number, text, time_if_any};
use crate::auth::marks;
use crate::models::functions::{text as word, whole};
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::query::statement::{CATALOG, lake_name_from_text};
use crate::query::write::lake_error;
use crate::session::Governed;

/// The function's name.
pub(crate) const NAME: &str = "table_history";
/// Commits told when nothing else is asked for, and at most: each is a file of the log.
const ROWS_DEFAULT: usize = 100;
const ROWS_MAX: usize = 10_000;
/// Commits that are looked at for the one that made the table what it is, however few are to be told.
const LOOKED_AT_MIN: usize = 1_000;

/// The table function in one statement.
pub(crate) fn table_function(governed: &Arc<Governed>) -> Arc<dyn TableFunctionImpl> {
    Arc::new(History(Arc::clone(governed)))
}

struct History(Arc<Governed>);

impl TableFunctionImpl for History {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let versions = self.versions(args.exprs()).map_err(QueryError::into_datafusion)?;
        let schema = Arc::clone(&versions.schema);
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(versions)])?))
    }
}

impl History {
    fn versions(&self, arguments: &[Expr]) -> Result<Versions, QueryError> {
        let usage = || {
            QueryError::Invalid(format!(
                "{NAME}('{CATALOG}.<schema>.<table>' [, commits]) takes a table's name and a number of 1 to {ROWS_MAX}, both literals"
            ))
        };
        let (name, most) = match arguments {
            [name] => (name, ROWS_DEFAULT),
            [name, most] => (name, whole(most).ok_or_else(usage)?),
            _ => return Err(usage()),
        };
        if !(1..=ROWS_MAX).contains(&most) {
            return Err(usage());
        }
        let name = lake_name_from_text(word(name).ok_or_else(usage)?)?;
        let access = self.0.access(&name.schema, &name.table).map_err(from_datafusion)?;
        let read = access.as_ref().and_then(|_| self.0.read(&name.schema, &name.table));
        let (Some(access), Some((table, _))) = (access, read) else {
            return Err(QueryError::no_table(&name));
        };
        if !access.is_unrestricted() {
            return Err(QueryError::Denied(format!(
                "{NAME} counts all rows of {CATALOG}.{name}, and a policy shows {} only a part of them; table_changes tells of the rows that can be seen",
                self.0.who().name
            )));
        }
        self.0.give(&name.schema, &name.table);
        let who = self.0.who();
        Ok(Versions {
            schema: schema(),
            table,
            most,
            from_the_first: self.0.world().policies.is_admin(who) && marks::reaches(who, SYSTEM),
        })
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// Reads the log when the plan runs.
struct Versions {
    schema: SchemaRef,
    table: Arc<LakeTable>,
    most: usize,
    from_the_first: bool,
}

impl PartitionStream for Versions {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, most, from_the_first) = (Arc::clone(&self.table), self.most, self.from_the_first);
        let told = async move {
            let told = rows(&table, most, from_the_first).await;
            told.map_err(QueryError::into_datafusion)
        };
        let stream = futures::stream::once(told);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({})", self.table.name())
    }
}

fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, true);
    let text = |name| Field::new(name, DataType::Utf8, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        number("version"),
        Field::new("committed_at", time, true),
        text("operation"),
        number("rows_added"),
        number("files_added"),
        number("files_removed"),
        text("engine"),
    ]))
}

async fn rows(table: &LakeTable, most: usize, from_the_first: bool) -> Result<RecordBatch, QueryError> {
    let looked_at = if from_the_first { most } else { most.max(LOOKED_AT_MIN) };
    let mut told = commits(table, looked_at).await.map_err(lake_error)?;
    let today = if from_the_first { told.len() } else { of_today(&told) };
    // How many files the table before had is a matter of that table.
    let removed = |at: usize, removed: u64| (from_the_first || at + 1 < today).then_some(removed);
    told.truncate(today.min(most));
    let columns = vec![
        number(told.iter().map(|commit| Some(commit.version))),
        time_if_any(told.iter().map(|commit| commit.at)),
        text(told.iter().map(|commit| commit.operation.clone())),
        number(told.iter().map(|commit| commit.rows_added)),
        number(told.iter().map(|commit| Some(commit.files_added))),
        number(
            told.iter()
                .enumerate()
                .map(|(at, commit)| removed(at, commit.files_removed)),
        ),
        text(told.iter().map(|commit| commit.engine.clone())),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| from_datafusion(error.into()))
}
