//! Counting rows under conditions: as many as wanted in one pass over the table, nothing kept but the counts.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::physical_plan::collect;
use datafusion::scalar::ScalarValue;
use labhouse_catalog::TableName;
use labhouse_policies::TableAccess;

use super::Trouble;
use crate::query::QueryError;
use crate::session::Governed;

/// Counts made in one pass: each is a column of the engine's aggregate.
const COUNTS_MAX: usize = 64;
/// Name of the scan in the plans of these tools.
pub(super) const TABLE: &str = "rows";

/// What a counted row must be. A row of which a condition knows nothing does not fulfil it.
#[derive(Debug, Clone, Default)]
pub(crate) struct When {
    pub(super) is: Vec<Expr>,
    pub(super) is_not: Vec<Expr>,
}

impl When {
    /// One condition is true.
    pub(crate) fn is(condition: Expr) -> Self {
        Self {
            is: vec![condition],
            is_not: Vec::new(),
        }
    }

    /// One where the row counts, else NULL. `CASE` takes NULL for false as SQL does; `IS TRUE`, which would say the same,
    /// breaks the engine's plans where it stands in two counts (its nullability differs between the two kinds of plan).
    fn counted(&self) -> Result<Expr, DataFusionError> {
        let mut hit = lit(1_i64);
        for condition in &self.is_not {
            hit = when(condition.clone(), lit(ScalarValue::Int64(None))).otherwise(hit)?;
        }
        for condition in &self.is {
            hit = when(condition.clone(), hit).end()?;
        }
        Ok(hit)
    }
}

/// A plan with one row: how many rows of `table` there are, then how many are as each of `wanted` says.
pub(crate) fn counting_plan(table: Arc<dyn TableProvider>, wanted: &[When]) -> Result<LogicalPlan, DataFusionError> {
    let mut counted = vec![count(lit(1)).alias("rows")];
    for (at, when) in wanted.iter().enumerate() {
        counted.push(count(when.counted()?).alias(format!("c{at}")));
    }
    LogicalPlanBuilder::scan(TABLE, provider_as_source(table), None)?
        .aggregate(Vec::<Expr>::new(), counted)?
        .build()
}

/// The counts that such a plan gave.
pub(crate) fn counts(batches: &[RecordBatch]) -> Result<Vec<u64>, QueryError> {
    let row = batches.iter().find(|batch| batch.num_rows() == 1);
    let row = row.ok_or_else(|| QueryError::internal("a count gave no row"))?;
    let numbers = row.columns().iter().map(|column| {
        let column = column
            .as_primitive_opt::<Int64Type>()
            .filter(|column| !column.is_empty());
        column.and_then(|column| u64::try_from(column.value(0)).ok())
    });
    numbers
        .collect::<Option<Vec<u64>>>()
        .ok_or_else(|| QueryError::internal("a count is no number"))
}

/// The row filter of an access as a condition: false where the table is hidden, true where all rows are shown.
pub(crate) fn conditions_of(access: &TableAccess, now: DateTime<Utc>) -> Result<Expr, DataFusionError> {
    match access {
        TableAccess::Hidden(_) => Ok(lit(false)),
        TableAccess::Open(access) => Ok(access.condition(now)?.unwrap_or_else(|| lit(true))),
    }
}

/// Reads lake tables as one view shows them.
pub(super) struct Reader {
    pub(super) view: Arc<Governed>,
    pub(super) state: Arc<SessionState>,
}

impl Reader {
    pub(super) fn provider(&self, name: &TableName) -> Result<Arc<dyn TableProvider>, Trouble> {
        let table = self.view.table(&name.schema, &name.table)?;
        table.ok_or_else(|| format!("there is no table lab.{name}").into())
    }

    /// All rows, then those that are as each of `wanted` says.
    pub(super) async fn count(&self, name: &TableName, wanted: &[When]) -> Result<Vec<u64>, Trouble> {
        let table = self.provider(name)?;
        let mut all = Vec::with_capacity(wanted.len() + 1);
        let parts: Vec<&[When]> = match wanted {
            [] => vec![&[]],
            some => some.chunks(COUNTS_MAX).collect(),
        };
        for part in parts {
            let plan = counting_plan(Arc::clone(&table), part)?;
            let found = counts(&self.run(&plan).await?)?;
            all.extend(found.into_iter().skip(usize::from(!all.is_empty())));
        }
        Ok(all)
    }

    pub(super) async fn run(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, Trouble> {
        let physical = self.state.create_physical_plan(plan).await?;
        Ok(collect(physical, self.state.task_ctx()).await?)
    }
}
