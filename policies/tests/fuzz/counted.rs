//! A raw table that tells its rows and bounds, hidden ones included, as the lake's do: what becomes of that is up to the barrier.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

pub(crate) struct Counted {
    inner: Arc<dyn TableProvider>,
    statistics: Option<Statistics>,
}

impl Counted {
    /// The table with these rows; one that tells something of itself already is left alone.
    pub(crate) fn of(inner: Arc<dyn TableProvider>, rows: &RecordBatch) -> Arc<dyn TableProvider> {
        if inner.statistics().is_some() {
            return inner;
        }
        let mut statistics = Statistics::new_unknown(&rows.schema());
        statistics.num_rows = Precision::Inexact(rows.num_rows());
        for (column, told) in rows.columns().iter().zip(&mut statistics.column_statistics) {
            told.null_count = Precision::Inexact(column.null_count());
            if let Some(numbers) = column.as_any().downcast_ref::<Int64Array>() {
                told.min_value = Precision::Inexact(ScalarValue::Int64(min(numbers)));
                told.max_value = Precision::Inexact(ScalarValue::Int64(max(numbers)));
            }
        }
        Self::telling(inner, Some(statistics))
    }

    /// The table, which tells just this of itself.
    pub(crate) fn telling(inner: Arc<dyn TableProvider>, statistics: Option<Statistics>) -> Arc<dyn TableProvider> {
        Arc::new(Self { inner, statistics })
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait]
impl TableProvider for Counted {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.statistics.clone()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.inner.scan(state, projection, filters, limit).await
    }
}
