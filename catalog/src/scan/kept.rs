//! A Parquet scan that takes columns from [`ColumnCache`] and leaves them there.
//!
//! It stands in for the engine's own scan when a plan is run, and prunes row groups as that does. Where it has nothing to gain
//! (columns asked for the first time, files of an older shape, partition columns, nested ones, no column at all) or where what it keeps
//! could be gone from the store meanwhile (older versions), the engine's reads the file.

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
    PagePruningAccessPlanFilter, ParquetAccessPlan, RowGroupAccess, RowGroupAccessPlanFilter,
    apply_file_schema_type_coercions,
};
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileMetrics, ParquetFileReaderFactory,
    ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
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
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::columns::{ColumnCache, FileId};
use super::decoding::RowGroup;
use super::provider::{FOOTER_BYTES_HINT, PAST};

/// Less than this part of a row group are few rows.
const FEW: usize = 4;

/// The same scan, with its columns kept; none if it is another kind of plan, or of a kind whose columns are not kept. What is decoded
/// takes of the query's memory until it is kept.
pub fn kept(
    plan: &Arc<dyn ExecutionPlan>,
    cache: &Arc<ColumnCache>,
    memory: &Arc<dyn MemoryPool>,
) -> Option<Arc<dyn ExecutionPlan>> {
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
    let is_past = inner.table_parquet_options().key_value_metadata.contains_key(PAST);
    if !is_plain || is_nested || is_past || columns.is_empty() || config.expr_adapter_factory.is_some() {
        return None;
    }
    let source = KeptSource {
        reader: Arc::clone(inner.parquet_file_reader_factory()?),
        inner: inner.clone(),
        cache: Arc::clone(cache),
        memory: Arc::clone(memory),
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
    memory: Arc<dyn MemoryPool>,
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
        let epoch = self.own.source.cache.epoch();
        if !is_whole || !self.own.source.cache.asked_again(&id, from, &self.own.columns) {
            return self.inner.plan_file(file);
        }
        Ok(Box::new(Planner::Unopened(Box::new(Unopened {
            inner: Arc::clone(&self.inner),
            own: Arc::clone(&self.own),
            file,
            id,
            epoch,
        }))))
    }
}

struct Unopened {
    inner: Arc<dyn Morselizer>,
    own: Arc<Own>,
    file: PartitionedFile,
    id: Arc<FileId>,
    epoch: u64,
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
                let Unopened {
                    inner,
                    own,
                    file,
                    id,
                    epoch,
                } = *unopened;
                match own.open(&file, &id, epoch).await? {
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
        epoch: u64,
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
        let wanted = match self.source.inner.filter() {
            None => wanted.build(),
            Some(filter) => {
                let metrics = ParquetFileMetrics::new(self.partition, &id.path, self.source.inner.metrics());
                let columns = metadata.file_metadata().schema_descr();
                let pages = PagePruningAccessPlanFilter::new(&filter, Arc::clone(&shape));
                let predicate = PruningPredicateBuilder::new()
                    .with_file_schema(Arc::clone(&shape))
                    .try_build(filter);
                // A predicate that cannot prune is no error: the filter above the scan still decides.
                if let Ok(predicate) = predicate {
                    wanted.prune_by_statistics(&shape, columns, groups, &predicate, &metrics);
                }
                pages.prune_plan_with_page_index(wanted.build(), &shape, columns, &metadata, &metrics)
            }
        };
        let wanted = wanted.into_inner().into_iter().zip(groups).enumerate();
        let wanted: Vec<(usize, Option<RowSelection>)> = wanted
            .filter_map(|(group, (access, of))| match access {
                RowGroupAccess::Skip => None,
                RowGroupAccess::Scan => Some((group, None)),
                RowGroupAccess::Selection(rows) => Some((group, Some(rows).filter(|rows| are_few(rows, of)))),
            })
            .collect();
        let projector = self.projection.make_projector(&self.read)?;
        let (file, id) = (file.clone(), Arc::clone(id));
        let groups = stream::iter(wanted).map(move |(group, few)| {
            let found = self
                .columns
                .iter()
                .map(|column| self.source.cache.get(&id, group, *column));
            let group = RowGroup {
                cache: Arc::clone(&self.source.cache),
                epoch,
                file: Arc::clone(&id),
                group,
                columns: self.columns.clone(),
                schema: Arc::clone(&self.read),
                found: found.collect(),
            };
            self.rows(&file, loaded.clone(), group, few)
        });
        let rows = groups.try_flatten();
        Ok(Some(rows.map(move |batch| projector.project_batch(&batch?)).boxed()))
    }

    /// The rows of a row group; where only a few of them can be wanted, those.
    fn rows(
        &self,
        file: &PartitionedFile,
        loaded: ArrowReaderMetadata,
        mut group: RowGroup,
        few: Option<RowSelection>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        if group.missing().is_empty() {
            return Ok(group.rows());
        }
        let mut decoder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader(file)?, loaded);
        let room = match few {
            // Not for these is a whole column decoded.
            Some(rows) => {
                group.found.fill(None);
                decoder = decoder.with_row_selection(rows);
                None
            }
            None => Some(MemoryConsumer::new("columns to be kept").register(&self.source.memory)),
        };
        let mask = ProjectionMask::roots(decoder.parquet_schema(), group.missing());
        let decoded = decoder
            .with_row_groups(vec![group.group])
            .with_projection(mask)
            .with_batch_size(self.source.batch_rows)
            .build()?;
        Ok(group.rows_with(decoded, room))
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

/// Whether it pays to read these rows of a row group alone.
fn are_few(rows: &RowSelection, of: &RowGroupMetaData) -> bool {
    usize::try_from(of.num_rows()).is_ok_and(|all| rows.row_count() < all / FEW)
}

/// Whether both have the same columns in the same order.
fn is_same(one: &Schema, other: &Schema) -> bool {
    let pairs = one.fields().iter().zip(other.fields());
    one.fields().len() == other.fields().len()
        && pairs
            .into_iter()
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}
