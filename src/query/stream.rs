//! The end of the road: batches in wire types, counted, bounded in time, logged when they end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::errors::from_datafusion;
use super::results::Collecting;
use super::{QueryError, Running, Started, log, narrow};
use crate::audit::{Account, Wait};

/// A statement's stream with all that must end when it ends.
pub(super) struct Guard {
    inner: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    entry: log::Running,
    account: Arc<Account>,
    /// Nothing comes out before the statement's account is durable.
    accounted: Option<Wait>,
    /// Takes the rows along, to answer with them again.
    collecting: Option<Collecting>,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Guard {
    pub(super) fn new(
        started: Started,
        entry: log::Running,
        account: Arc<Account>,
        permit: OwnedSemaphorePermit,
        limit: Duration,
    ) -> Self {
        tracing::debug!(id = %entry.id(), "streaming");
        let Running { schema, stream } = started.running;
        Self {
            inner: Some(stream),
            schema,
            entry,
            account,
            accounted: Some(started.accounted),
            collecting: started.collecting,
            deadline: Box::pin(tokio::time::sleep(limit)),
            limit,
            _permit: permit,
        }
    }

    /// Stops the work below and remembers how it ended.
    fn end(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        self.inner = None;
        self.entry.finish(Some(&error));
        self.account.ended(Some(&error));
        Poll::Ready(Some(Err(error.into_datafusion())))
    }
}

impl Guard {
    /// Nothing is there yet: the statement goes on unless its time is over.
    fn overdue(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => {
                let seconds = self.limit.as_secs();
                self.end(QueryError::Deadline(format!(
                    "the statement ran longer than {seconds} s (limits.statement_s)"
                )))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Stream for Guard {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(accounted) = self.accounted.as_mut() {
            match Pin::new(accounted).poll(context) {
                Poll::Ready(Ok(())) => self.accounted = None,
                Poll::Ready(Err(error)) => {
                    self.accounted = None;
                    return self.end(error);
                }
                Poll::Pending => return self.overdue(context),
            }
        }
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(batch))) => match narrow::narrow_batch(&batch, &self.schema) {
                Ok(batch) => {
                    self.entry.count(batch.num_rows());
                    self.account.count(batch.num_rows(), bytes(&batch));
                    self.collecting = self.collecting.take().and_then(|rows| rows.with(&batch));
                    Poll::Ready(Some(Ok(batch)))
                }
                Err(error) => self.end(from_datafusion(error.into())),
            },
            Poll::Ready(Some(Err(error))) => self.end(from_datafusion(error)),
            Poll::Ready(None) => {
                self.inner = None;
                self.entry.finish(None);
                self.account.ended(None);
                self.collecting.take().into_iter().for_each(Collecting::keep);
                Poll::Ready(None)
            }
            Poll::Pending => self.overdue(context),
        }
    }
}

/// Bytes of a batch's values, as they go out.
fn bytes(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|column| {
        let size = column.to_data().get_slice_memory_size();
        size.unwrap_or_else(|_| column.get_buffer_memory_size())
    });
    sizes.sum()
}

impl Drop for Guard {
    /// A reader who leaves ends the account now, however long the plan's threads still hold on to it.
    fn drop(&mut self) {
        self.account.cancelled();
    }
}

impl RecordBatchStream for Guard {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
