//! delta-rs's provider, for tables a plain Parquet scan would read wrongly.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, Statistics};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Another provider whose `Exact` filters are applied once more above it: delta-rs answers `Exact` for partition columns, and
/// `f = 0.0` then loses the rows of a −0.0 partition.
#[derive(Debug)]
pub(crate) struct Inexact(pub(crate) Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for Inexact {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let inner = self.0.supports_filters_pushdown(filters)?;
        Ok(inner
            .into_iter()
            .map(|answer| match answer {
                TableProviderFilterPushDown::Exact | TableProviderFilterPushDown::Inexact => {
                    TableProviderFilterPushDown::Inexact
                }
                TableProviderFilterPushDown::Unsupported => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        self.0.statistics()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}
