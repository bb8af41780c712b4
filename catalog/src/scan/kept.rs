//! A Parquet scan that takes columns from [`ColumnCache`] and leaves them there.
//!
//! It stands in for the engine's own scan when a plan is run, and prunes row groups as that does. Where it has nothing to gain
//! (columns asked for the first time, files of an older shape, partition columns, nested ones, no column at all) or where a row group is
//! too large to be decoded as a whole, the engine's reads the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    ParquetAccessPlan, RowGroupAccessPlanFilter, apply_file_schema_type_coercions,
};
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileMetrics, ParquetFileReaderFactory,
    ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::columns::{Chunk, ColumnCache, FileId};
use super::provider::FOOTER_BYTES_HINT;

/// Bytes of one value that is no text: a decimal of the larger kind. Of a text these are the bytes beside its letters.
const VALUE_BYTES_MAX: usize = 32;

/// The same scan, with its columns kept; none if it is another kind of plan, or of a kind whose columns are not kept.
pub fn kept(plan: &Arc<dyn ExecutionPlan>, cache: &Arc<ColumnCache>) -> Option<Arc<dyn ExecutionPlan>> {
    let scan = plan.downcast_ref::<DataSourceExec>()?;
    let (config, inner) = scan.downcast_to_file_source::<ParquetSource>()?;
    let schema = inner.table_schema();
    let is_plain = schema.table_partition_cols().is_empty() && schema.virtual_columns().is_empty();
    let columns = inner.projection()?.column_indices();
    let is_nested = schema
        .file_schema()
        .fields()
        .iter()
        .any(|field| field.data_type().is_nested());
    if !is_plain || is_nested || columns.is_empty() || config.expr_adapter_factory.is_some() {
        return None;
    }
    let source = KeptSource {
        reader: Arc::clone(inner.parquet_file_reader_factory()?),
        inner: inner.clone(),
        cache: Arc::clone(cache),
        batch_rows: 0,
    };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source));
    Some(DataSourceExec::from_data_source(config.build()))
}

/// The engine's source with a cache before it.
#[derive(Clone)]
struct KeptSource {
    inner: ParquetSource,
    reader: Arc<dyn ParquetFileReaderFactory>,
    cache: Arc<ColumnCache>,
    batch_rows: usize,
}

impl FileSource for KeptSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        internal_err!("this source plans its files")
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let projection = self
            .inner
            .projection()
            .ok_or_else(|| internal_datafusion_err!("a scan without columns"))?;
        let mut columns = projection.column_indices();
        columns.sort_unstable();
        columns.dedup();
        let file_schema = self.inner.table_schema().file_schema();
        let read = Arc::new(file_schema.project(&columns)?);
        // As the engine does, by the columns' names, which are not the same twice.
        let projection = projection
            .clone()
            .try_map_exprs(|expr| reassign_expr_columns(expr, &read))?;
        Ok(Box::new(KeptFiles {
            inner: Arc::from(self.inner.create_morselizer(store, config, partition)?),
            own: Arc::new(Own {
                source: self.clone(),
                store: config.object_store_url.as_str().to_owned(),
                file_schema: Arc::clone(file_schema),
                columns,
                read,
                projection,
                partition,
            }),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let sized = self.inner.with_batch_size(batch_size);
        let inner = sized.downcast_ref::<ParquetSource>().unwrap_or(&self.inner).clone();
        Arc::new(Self {
            inner,
            batch_rows: batch_size,
            ..self.clone()
        })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(kind, f)
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }
}

/// What is needed to read one partition's files.
struct Own {
    source: KeptSource,
    store: String,
    file_schema: SchemaRef,
    /// The columns that are read, as places in a file of today's shape; ascending.
    columns: Vec<usize>,
    /// The same as a schema.
    read: SchemaRef,
    /// What comes out, over `read`.
    projection: ProjectionExprs,
    partition: usize,
}

struct KeptFiles {
    inner: Arc<dyn Morselizer>,
    own: Arc<Own>,
}

impl fmt::Debug for KeptFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptFiles").finish_non_exhaustive()
    }
}

impl Morselizer for KeptFiles {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let id = Arc::new(FileId {
            store: self.own.store.clone(),
            path: file.object_meta.location.to_string(),
            size: file.object_meta.size,
            modified: file.object_meta.last_modified.timestamp_millis(),
            batch_rows: self.own.source.batch_rows,
        });
        let is_whole = file.extensions.is_empty();
        let from = file.range.as_ref().map_or(0, |range| range.start);
        if !is_whole || !self.own.source.cache.asked_again(&id, from, &self.own.columns) {
            return self.inner.plan_file(file);
        }
        Ok(Box::new(Planner::Unopened(Box::new(Unopened {
            inner: Arc::clone(&self.inner),
            own: Arc::clone(&self.own),
            file,
            id,
        }))))
    }
}

struct Unopened {
    inner: Arc<dyn Morselizer>,
    own: Arc<Own>,
    file: PartitionedFile,
    id: Arc<FileId>,
}

enum Planner {
    Unopened(Box<Unopened>),
    Opened(BoxStream<'static, Result<RecordBatch>>),
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

impl MorselPlanner for Planner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(match *self {
            Self::Unopened(unopened) => MorselPlan::new().with_pending_planner(async move {
                let Unopened { inner, own, file, id } = *unopened;
                match own.open(&file, &id).await? {
                    Some(rows) => Ok(Box::new(Self::Opened(rows)) as Box<dyn MorselPlanner>),
                    None => inner.plan_file(file),
                }
            }),
            Self::Opened(rows) => MorselPlan::new().with_morsels(vec![Box::new(Rows(rows))]),
        }))
    }
}

struct Rows(BoxStream<'static, Result<RecordBatch>>);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl Morsel for Rows {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        self.0
    }
}

impl Own {
    /// The rows of a file; none if it is of another shape than the table is today.
    async fn open(
        self: Arc<Self>,
        file: &PartitionedFile,
        id: &Arc<FileId>,
    ) -> Result<Option<BoxStream<'static, Result<RecordBatch>>>> {
        let metadata = self.reader(file)?.get_metadata(None).await?;
        let options = ArrowReaderOptions::new();
        let loaded = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options.clone())?;
        let shape = apply_file_schema_type_coercions(&self.file_schema, loaded.schema());
        let shape = shape.map_or_else(|| Arc::clone(loaded.schema()), Arc::new);
        if !is_same(&shape, &self.file_schema) {
            return Ok(None);
        }
        let loaded = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options.with_schema(Arc::clone(&shape)))?;
        let groups = metadata.row_groups();
        let mut wanted = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &file.range {
            wanted.prune_by_range(groups, range);
        }
        let predicate = self.source.inner.filter().map(|filter| {
            PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(&shape))
                .try_build(filter)
        });
        // A predicate that cannot prune is no error: the filter above the scan still decides.
        if let Some(Ok(predicate)) = predicate {
            let metrics = ParquetFileMetrics::new(self.partition, &id.path, self.source.inner.metrics());
            let columns = metadata.file_metadata().schema_descr();
            wanted.prune_by_statistics(&shape, columns, groups, &predicate, &metrics);
        }
        let wanted: Vec<usize> = wanted.row_group_indexes().collect();
        let mut taken = wanted.iter().filter_map(|group| groups.get(*group));
        if taken.any(|group| !self.fits(group)) {
            return Ok(None);
        }
        let projector = self.projection.make_projector(&self.read)?;
        let (file, id) = (file.clone(), Arc::clone(id));
        let own = Arc::clone(&self);
        let groups = stream::iter(wanted).then(move |group| {
            let (own, file, id, loaded) = (Arc::clone(&own), file.clone(), Arc::clone(&id), loaded.clone());
            async move { own.group(&file, &id, loaded, group).await }
        });
        let rows = groups.map_ok(move |chunks| {
            let (own, projector) = (Arc::clone(&self), projector.clone());
            let count = chunks.first().map_or(0, |chunk| chunk.len());
            stream::iter(0..count).map(move |at| projector.project_batch(&own.batch(&chunks, at)?))
        });
        Ok(Some(rows.try_flatten().boxed()))
    }

    /// Whether each of the columns that are read can be kept of this row group: it is decoded before its first row leaves.
    fn fits(&self, group: &RowGroupMetaData) -> bool {
        let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
        self.columns.iter().all(|column| {
            let pages = group
                .columns()
                .get(*column)
                .map_or(i64::MAX, |column| column.uncompressed_size());
            let pages = usize::try_from(pages).unwrap_or(usize::MAX);
            self.source
                .cache
                .has_room(pages.max(rows.saturating_mul(VALUE_BYTES_MAX)))
        })
    }

    fn reader(&self, file: &PartitionedFile) -> Result<Reader> {
        let metrics = self.source.inner.metrics();
        let hint = Some(FOOTER_BYTES_HINT);
        let reader = self
            .source
            .reader
            .create_reader(self.partition, file.clone(), hint, metrics)?;
        Ok(Reader(reader))
    }

    /// The columns of one row group, each in batches.
    async fn group(
        &self,
        file: &PartitionedFile,
        id: &Arc<FileId>,
        loaded: ArrowReaderMetadata,
        group: usize,
    ) -> Result<Vec<Chunk>> {
        let cache = &self.source.cache;
        let mut found: Vec<Option<Chunk>> = self
            .columns
            .iter()
            .map(|column| cache.get(id, group, *column))
            .collect();
        let missing = self.columns.iter().zip(&found).filter(|(_, chunk)| chunk.is_none());
        let missing: Vec<usize> = missing.map(|(column, _)| *column).collect();
        if !missing.is_empty() {
            let mask = ProjectionMask::roots(loaded.parquet_schema(), missing.iter().copied());
            let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader(file)?, loaded)
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(self.source.batch_rows)
                .build()?;
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            let decoded = missing.iter().enumerate().map(|(place, column)| {
                let batches = batches.iter().map(|batch| Arc::clone(batch.column(place)));
                let chunk = Arc::new(batches.collect::<Vec<_>>());
                cache.put(id, group, *column, &chunk);
                chunk
            });
            let mut decoded = decoded.collect::<Vec<_>>().into_iter();
            for place in found.iter_mut().filter(|chunk| chunk.is_none()) {
                *place = decoded.next();
            }
        }
        found
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| internal_datafusion_err!("a column of a row group was not decoded"))
    }

    fn batch(&self, chunks: &[Chunk], at: usize) -> Result<RecordBatch> {
        let columns = chunks.iter().map(|chunk| chunk.get(at).cloned());
        let columns = columns
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| internal_datafusion_err!("columns of a row group in unlike batches"))?;
        Ok(RecordBatch::try_new(Arc::clone(&self.read), columns)?)
    }
}

/// A reader whose type is known to be `Send`.
struct Reader(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.0.as_mut().get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.0.as_mut().get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.0.as_mut().get_metadata(options)
    }
}

/// Whether both have the same columns in the same order.
fn is_same(one: &Schema, other: &Schema) -> bool {
    let pairs = one.fields().iter().zip(other.fields());
    one.fields().len() == other.fields().len()
        && pairs
            .into_iter()
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}
