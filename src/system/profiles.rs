//! `lab.system.profiles`: what the columns of each table hold, as the caller sees them.
//!
//! A row is a question that he could ask himself: each table is read through his own governed view, so the numbers are those of the
//! rows and values that he may see. Conditions on the names narrow which tables are read; where only names are asked for none is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt, stream};
use labhouse_policies::Principal;

use super::SYSTEM;
use super::measure::{self, ColumnProfile};
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::session::{Derived, Governed, Shown};

/// The table's name.
pub(crate) const NAME: &str = "profiles";

/// Profiles that were measured lately.
pub(crate) type Profiles = Derived<Vec<ColumnProfile>>;

/// The profiles as `who` may read them.
pub(super) struct ProfilesTable {
    engine: Weak<Engine>,
    who: Principal,
    schema: SchemaRef,
}

impl ProfilesTable {
    pub(super) fn new(engine: Weak<Engine>, who: &Principal) -> Self {
        Self {
            engine,
            who: who.clone(),
            schema: measure::schema(),
        }
    }
}

#[async_trait]
impl TableProvider for ProfilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let answer = |filter: &&Expr| match Wanted::of(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let measures = |at: &usize| *at >= measure::NAMES;
        let rows = ProfileRows {
            engine: self.engine.clone(),
            who: self.who.clone(),
            schema: Arc::clone(&self.schema),
            wanted: filters.iter().filter_map(Wanted::of).collect(),
            measured: projection.is_none_or(|columns| columns.iter().any(measures)),
        };
        let rows: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(rows)];
        let plan = StreamingTableExec::try_new(Arc::clone(&self.schema), rows, projection, [], false, None)?;
        Ok(Arc::new(plan))
    }
}

impl fmt::Debug for ProfilesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System(profiles)")
    }
}

/// A condition on a name: the column of this table it is about, and the names that fulfil it.
#[derive(Clone)]
struct Wanted {
    column: &'static str,
    names: BTreeSet<String>,
}

impl Wanted {
    fn of(filter: &Expr) -> Option<Self> {
        let column = |expr: &Expr| match expr {
            Expr::Column(column) => ["table_schema", "table_name"]
                .into_iter()
                .find(|name| *name == column.name),
            _ => None,
        };
        let text = |expr: &Expr| match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        match filter {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            }) => {
                let (column, name) = match (column(left), column(right)) {
                    (Some(column), None) => (column, text(right)?),
                    (None, Some(column)) => (column, text(left)?),
                    _ => return None,
                };
                Some(Self {
                    column,
                    names: BTreeSet::from([name]),
                })
            }
            // `IN` with few names comes as this.
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Or,
                right,
            }) => {
                let (mut left, right) = (Self::of(left)?, Self::of(right)?);
                left.names.extend(right.names);
                (left.column == right.column).then_some(left)
            }
            Expr::InList(list) if !list.negated => Some(Self {
                column: column(&list.expr)?,
                names: list.list.iter().map(text).collect::<Option<_>>()?,
            }),
            _ => None,
        }
    }

    fn has(&self, shown: &Shown) -> bool {
        self.names.contains(match self.column {
            "table_schema" => &shown.schema,
            _ => &shown.table,
        })
    }
}

struct ProfileRows {
    engine: Weak<Engine>,
    who: Principal,
    schema: SchemaRef,
    wanted: Vec<Wanted>,
    measured: bool,
}

impl PartitionStream for ProfileRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (engine, who) = (self.engine.clone(), self.who.clone());
        let (wanted, measured) = (self.wanted.clone(), self.measured);
        let opened = async move {
            let engine = engine
                .upgrade()
                .ok_or_else(|| QueryError::Unavailable("the server is shutting down".into()).into_datafusion())?;
            let governed = engine.govern(&who, engine.world());
            let mut tables = governed.shown();
            tables.retain(|one| one.schema != SYSTEM && wanted.iter().all(|wanted| wanted.has(one)));
            let batches = stream::iter(tables).then(move |shown| {
                let (engine, governed, context) = (Arc::clone(&engine), Arc::clone(&governed), Arc::clone(&context));
                async move { rows(&engine, &governed, &shown, measured, &context).await }
            });
            Ok::<_, DataFusionError>(batches)
        };
        let stream = stream::once(opened).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for ProfileRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System(profiles)")
    }
}

/// The rows of one table; without measures where it cannot be read.
async fn rows(
    engine: &Engine,
    governed: &Governed,
    shown: &Shown,
    measured: bool,
    context: &Arc<TaskContext>,
) -> Result<RecordBatch, DataFusionError> {
    let table = governed.world().catalog.table(&shown.schema, &shown.table);
    let (true, Some(table)) = (measured && !shown.is_library, table) else {
        return measure::batch(shown, &[]);
    };
    if let Some(known) = engine.profiles.get(table, &shown.access) {
        return measure::batch(shown, &known);
    }
    match measure::measure(governed.system(), shown, context).await {
        Ok(profile) => measure::batch(shown, &engine.profiles.keep(table, &shown.access, profile)),
        Err(error) => {
            // What went wrong is told to whoever reads the table itself.
            tracing::warn!(table = %table.name(), error = %from_datafusion(error), "a table has no profile");
            measure::batch(shown, &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn conditions_on_names_narrow_and_others_do_not() {
        let names = |filter: Expr| {
            Wanted::of(&filter).map(|wanted| (wanted.column, wanted.names.into_iter().collect::<Vec<_>>()))
        };
        let of_table = |names: &[&str]| {
            Some((
                "table_name",
                names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
            ))
        };
        let name = || col("table_name");
        assert_eq!(names(name().eq(lit("a"))), of_table(&["a"]));
        assert_eq!(names(lit("a").eq(name())), of_table(&["a"]));
        assert_eq!(
            names(name().eq(lit("a")).or(name().eq(lit("b")))),
            of_table(&["a", "b"])
        );
        assert_eq!(
            names(name().in_list(vec![lit("a"), lit("b")], false)),
            of_table(&["a", "b"])
        );
        for other in [
            name().not_eq(lit("a")),
            name().in_list(vec![lit("a")], true),
            name().eq(lit("a")).or(col("table_schema").eq(lit("b"))),
            name().eq(lit("a")).or(col("column_name").eq(lit("b"))),
            col("rows").eq(lit(1_i64)),
            name().eq(lit(1_i64)),
            name().eq(col("table_schema")),
        ] {
            assert_eq!(names(other.clone()), None, "{other}");
        }
    }
}
