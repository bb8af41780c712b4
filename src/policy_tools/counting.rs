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
use datafusion::physical_plan::{collect, displayable};
use labhouse_catalog::TableName;
use labhouse_policies::TableAccess;

use super::Trouble;
use crate::query::QueryError;
use crate::session::Governed;

/// Conditions counted in one pass: each is a column of the engine's aggregate.
const CONDITIONS_MAX: usize = 64;
/// Name of the scan in the plans of these tools.
pub(super) const TABLE: &str = "rows";

/// A plan with one row: how many rows of `table` there are, then for how many each condition is true.
pub(crate) fn counting_plan(
    table: Arc<dyn TableProvider>,
    conditions: &[Expr],
) -> Result<LogicalPlan, DataFusionError> {
    let mut counted = vec![count(lit(1)).alias("rows")];
    for (at, condition) in conditions.iter().enumerate() {
        // `IS TRUE` because a row of which a filter knows nothing is not shown.
        let hit = when(Expr::IsTrue(Box::new(condition.clone())), lit(1)).end()?;
        counted.push(count(hit).alias(format!("c{at}")));
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

    /// All rows, then those for which each condition is true.
    pub(super) async fn count(&self, name: &TableName, conditions: &[Expr]) -> Result<Vec<u64>, Trouble> {
        let table = self.provider(name)?;
        let mut all = Vec::with_capacity(conditions.len() + 1);
        let parts: Vec<&[Expr]> = match conditions {
            [] => vec![&[]],
            some => some.chunks(CONDITIONS_MAX).collect(),
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
        tracing::debug!(plan = %displayable(physical.as_ref()).indent(false), "policy tool");
        Ok(collect(physical, self.state.task_ctx()).await?)
    }
}
