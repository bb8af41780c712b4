//! Which rows an access shows, and what one condition says of them: decided on batches at hand, without a plan.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, plan_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;

use crate::access::Access;
use crate::compile;

impl Access {
    /// Which of these raw rows the row filter shows; a row of which it knows nothing is not shown.
    ///
    /// # Errors
    /// The rows lack a column of the filter.
    pub fn shows(&self, rows: &RecordBatch, state: &SessionState) -> Result<BooleanArray, DataFusionError> {
        let Some(filter) = &self.row_filter else {
            return Ok(BooleanArray::from(vec![true; rows.num_rows()]));
        };
        let rows = &self.raw(rows)?;
        let shown = self.weighed(filter, rows, state)?;
        Ok(shown.iter().map(|shown| Some(shown == Some(true))).collect())
    }

    /// The condition on raw columns that a row must fulfil, with the time in the place of `now()`; `None` shows all rows.
    ///
    /// # Errors
    /// The engine's.
    pub fn condition(&self, now: DateTime<Utc>) -> Result<Option<Expr>, DataFusionError> {
        self.row_filter
            .clone()
            .map(|filter| compile::pin_clock(filter, now))
            .transpose()
    }

    /// What one condition says of each raw row: true, false, or nothing.
    pub(crate) fn weighed(
        &self,
        condition: &Expr,
        rows: &RecordBatch,
        state: &SessionState,
    ) -> Result<BooleanArray, DataFusionError> {
        let schema = Arc::new(DFSchema::try_from(self.schema.as_ref().clone())?);
        let condition = compile::simplified(compile::pin_clock(condition.clone(), Utc::now())?, &schema, state)?;
        let condition = state.create_physical_expr(condition, &schema)?;
        let found = condition.evaluate(rows)?.into_array(rows.num_rows())?;
        Ok(as_boolean_array(&found)?.clone())
    }

    /// Raw rows as conditions take them: the columns of the full schema, in its order and types.
    pub(crate) fn raw(&self, rows: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name());
            let column = column.ok_or_else(|| plan_datafusion_err!("the rows have no column {}", field.name()))?;
            Ok(cast(column, field.data_type())?)
        });
        let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
        Ok(RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?)
    }
}
