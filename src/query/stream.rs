//! The end of the road: batches in wire types, counted, bounded in time, logged when they end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{RecordBatchStream, SendableRecordBatchStream};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::admit::Place;
use super::errors::from_datafusion;
use super::results::Collecting;
use super::{QueryError, Running, Started, ended, log, narrow};
use crate::audit::{Account, Wait};
use crate::config::Limits;

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
    /// Ends when the login it runs under does.
    fallen: BoxFuture<'static, ()>,
    /// Ends when somebody cancels the statement by its number.
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// What of its result may go out.
    left: Left,
    _place: Arc<Place>,
}

/// Rows and bytes that a result may still have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    rows: u64,
    bytes: u64,
}

impl Left {
    /// As many as there are.
    pub(super) fn all() -> Self {
        Self {
            rows: u64::MAX,
            bytes: u64::MAX,
        }
    }

    pub(super) fn new(limits: &Limits) -> Self {
        // 0 in the config is "as many as there are".
        let or_all = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        Self {
            rows: or_all(limits.result_rows),
            bytes: or_all(limits.result_mib.saturating_mul(1 << 20)),
        }
    }

    /// Takes a batch off what is left; an error when there is not so much.
    fn take(&mut self, rows: usize, bytes: usize) -> Result<(), QueryError> {
        let over = |what: &str| {
            Err(QueryError::Exhausted(format!(
                "the result has more {what} than a result may have; filter, aggregate or LIMIT it"
            )))
        };
        match self.rows.checked_sub(rows as u64) {
            Some(left) => self.rows = left,
            None => return over("rows (limits.result_rows)"),
        }
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => self.bytes = left,
            None => return over("bytes (limits.result_mib)"),
        }
        Ok(())
    }
}

impl Guard {
    pub(super) fn new(
        started: Started,
        entry: log::Running,
        account: Arc<Account>,
        place: Arc<Place>,
        (limit, left): (Duration, Left),
        fallen: BoxFuture<'static, ()>,
    ) -> Self {
        let cancelled = Box::pin(entry.cancelled().cancelled_owned());
        tracing::debug!(id = %entry.id(), "streaming");
        let Running { schema, stream, .. } = started.running;
        Self {
            inner: Some(stream),
            schema,
            entry,
            account,
            accounted: Some(started.accounted),
            collecting: started.collecting,
            deadline: Box::pin(tokio::time::sleep(limit)),
            limit,
            fallen,
            cancelled,
            left,
            _place: place,
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
        if self.inner.is_some() && self.fallen.poll_unpin(context).is_ready() {
            return self.end(ended::fallen());
        }
        if self.inner.is_some() && self.cancelled.as_mut().poll(context).is_ready() {
            return self.end(ended::cancelled());
        }
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(batch))) => match narrow::narrow_batch(&batch, &self.schema) {
                Ok(batch) => {
                    let (rows, bytes) = (batch.num_rows(), bytes(&batch));
                    if let Err(error) = self.left.take(rows, bytes) {
                        return self.end(error);
                    }
                    self.entry.count(rows, bytes);
                    self.account.count(rows, bytes);
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
