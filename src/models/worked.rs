//! A table that is worked out when its plan runs, on a thread that nobody else's answer waits for.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use labhouse_udfs::PredictError;

use super::functions::refused;
use crate::query::QueryError;

type Work = dyn Fn() -> Result<RecordBatch, PredictError> + Send + Sync;

struct Worked {
    schema: SchemaRef,
    work: Arc<Work>,
}

/// The table of `schema` that `work` gives.
pub(super) fn when_run(
    schema: SchemaRef,
    work: impl Fn() -> Result<RecordBatch, PredictError> + Send + Sync + 'static,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let partition = Worked {
        schema: Arc::clone(&schema),
        work: Arc::new(work),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(partition)]);
    Ok(Arc::new(table.map_err(crate::query::errors::from_datafusion)?))
}

impl PartitionStream for Worked {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let work = Arc::clone(&self.work);
        let done = async move {
            match tokio::task::spawn_blocking(move || work()).await {
                Ok(table) => table.map_err(refused),
                Err(error) => Err(QueryError::internal(error).into_datafusion()),
            }
        };
        let stream = futures::stream::once(done);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

impl fmt::Debug for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worked")
    }
}
