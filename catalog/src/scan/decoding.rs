//! The rows of one row group from columns that are kept; what is not is decoded beside them, batch by batch, and left to be kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use parquet::errors::ParquetError;

use super::columns::{Chunk, ColumnCache, FileId, Growing};

/// Some columns of one row group of one file.
pub(super) struct RowGroup {
    pub(super) cache: Arc<ColumnCache>,
    /// Of the cache when the file was asked for.
    pub(super) epoch: u64,
    pub(super) file: Arc<FileId>,
    pub(super) group: usize,
    /// Places in the file; ascending.
    pub(super) columns: Vec<usize>,
    /// The same as a schema.
    pub(super) schema: SchemaRef,
    /// What is kept of each.
    pub(super) found: Vec<Option<Chunk>>,
}

impl RowGroup {
    /// The columns that are not kept.
    pub(super) fn missing(&self) -> Vec<usize> {
        let all = self.columns.iter().zip(&self.found);
        all.filter(|(_, chunk)| chunk.is_none())
            .map(|(column, _)| *column)
            .collect()
    }

    /// The rows where nothing is missing.
    pub(super) fn rows(self) -> BoxStream<'static, Result<RecordBatch>> {
        let count = self
            .found
            .first()
            .and_then(Option::as_ref)
            .map_or(0, |chunk| chunk.len());
        stream::iter((0..count).map(move |at| self.batch(at, &[]))).boxed()
    }

    /// The rows where the missing columns are `decoded` in batches of the same rows. With `room` these are kept once all of them
    /// were taken, as far as the query's memory has room for them till then.
    pub(super) fn rows_with(
        self,
        decoded: impl Stream<Item = Result<RecordBatch, ParquetError>> + Send + Unpin + 'static,
        room: Option<MemoryReservation>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        // Of some of the rows nothing is kept, not even that there are none.
        let missing = room.is_some().then(|| self.missing()).into_iter().flatten();
        let growing = missing.map(|column| Some((column, Growing::default()))).collect();
        let beside = Beside {
            group: self,
            decoded,
            growing,
            room,
            at: 0,
        };
        stream::try_unfold(beside, |mut beside| async move {
            let next = beside.decoded.next().await.transpose()?;
            let Some(batch) = next else {
                beside.keep();
                return Ok(None);
            };
            let rows = beside.group.batch(beside.at, batch.columns())?;
            beside.at += 1;
            beside.add(&batch);
            Ok(Some((rows, beside)))
        })
        .boxed()
    }

    /// One batch: of each column what is kept, or else the next of `decoded`.
    fn batch(&self, at: usize, decoded: &[ArrayRef]) -> Result<RecordBatch> {
        let mut decoded = decoded.iter();
        let columns = self.found.iter().map(|found| match found {
            Some(chunk) => chunk.get(at).cloned(),
            None => decoded.next().cloned(),
        });
        let columns = columns
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| internal_datafusion_err!("columns of a row group in unlike batches"))?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

struct Beside<S> {
    group: RowGroup,
    decoded: S,
    /// The missing columns; none is kept of one that has no room.
    growing: Vec<Option<(usize, Growing)>>,
    room: Option<MemoryReservation>,
    at: usize,
}

impl<S> Beside<S> {
    fn add(&mut self, batch: &RecordBatch) {
        let Some(room) = &self.room else { return };
        let cache = &self.group.cache;
        for (place, array) in self.growing.iter_mut().zip(batch.columns()) {
            let Some((_, growing)) = place else { continue };
            let before = growing.bytes();
            let more = growing.push(array);
            if cache.has_room(before + more) && cache.grow(more) {
                if room.try_grow(more).is_ok() {
                    continue;
                }
                cache.shrink(more);
            }
            room.shrink(before);
            cache.shrink(before);
            *place = None;
        }
    }

    fn keep(&mut self) {
        let growing: Vec<_> = self.growing.iter_mut().filter_map(Option::take).collect();
        let RowGroup {
            cache,
            epoch,
            file,
            group,
            ..
        } = &self.group;
        for (column, growing) in growing {
            cache.shrink(growing.bytes());
            cache.put(file, *group, column, growing.done(), *epoch);
        }
        self.room = None;
    }
}

/// A scan that is left early keeps nothing.
impl<S> Drop for Beside<S> {
    fn drop(&mut self) {
        for (_, growing) in self.growing.iter().flatten() {
            self.group.cache.shrink(growing.bytes());
        }
    }
}
