//! A Delta snapshot as a plain Parquet scan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake_core::table::state::DeltaTableState;
use object_store::path::Path as ObjectPath;

use super::asked::Asked;
use super::files::{Columns, FileList, join, list, native_schema, total};
use super::stats::Prunable;

/// Bytes from a Parquet file's end to fetch at once: footer and page index of a table of some hundred columns in one request.
pub(super) const FOOTER_BYTES_HINT: usize = 512 * 1024;
/// In the options of a scan, which travel with it: it is of an older version, whose files may be deleted from the store at any time.
pub(super) const PAST: &str = "labhouse.past";
/// Files smaller than this are not split between partitions: opening costs more than reading.
const SPLIT_FILE_BYTES_MIN: usize = 4 * 1024 * 1024;

pub(crate) struct ParquetScan {
    store: ObjectStoreUrl,
    /// In the table's own order.
    schema: SchemaRef,
    columns: Columns,
    /// For each column of `schema` its place in the scan's.
    order: Vec<usize>,
    list: FileList,
    /// Files that are not read.
    left_out: BTreeSet<ObjectPath>,
    statistics: Statistics,
    location: String,
    /// Where scans are noted.
    asked: Option<Arc<Asked>>,
    /// It is not the newest version.
    is_past: bool,
}

impl ParquetScan {
    /// Reads the file list out of the snapshot; nothing is read from the store.
    ///
    /// # Errors
    /// Statistics or partition values that do not fit the table's schema.
    pub(crate) fn new(state: &DeltaTableState, store: ObjectStoreUrl, location: &str) -> Result<Self> {
        Self::of_files(state, store, location, |_| true)
    }

    /// The same, of those files of the snapshot whose path in its log is wanted.
    ///
    /// # Errors
    /// Statistics or partition values that do not fit the table's schema.
    pub(crate) fn of_files(
        state: &DeltaTableState,
        store: ObjectStoreUrl,
        location: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let partition_columns = state.metadata().partition_columns().to_vec();
        let arrow = state.snapshot().arrow_schema();
        let schema = native_schema(&arrow, &partition_columns);
        let columns = Columns::of(&schema, &partition_columns);
        let order = schema
            .fields()
            .iter()
            .map(|f| columns.scan_schema.index_of(f.name()))
            .collect::<Result<Vec<_>, _>>()?;
        let list = list(state, location, &columns, wanted)?;
        let statistics = total(&list.files, &columns.scan_schema);
        Ok(Self {
            store,
            schema,
            columns,
            order,
            list,
            left_out: BTreeSet::new(),
            statistics,
            location: location.to_owned(),
            asked: None,
            is_past: false,
        })
    }

    /// The same, of which each scan is noted.
    pub(crate) fn noted(mut self, asked: &Arc<Asked>) -> Self {
        self.asked = Some(Arc::clone(asked));
        self
    }

    /// The same as a scan of an older version.
    pub(crate) fn past(mut self) -> Self {
        self.is_past = true;
        self
    }

    /// The same without these files, whose paths are relative to the table's folder.
    pub(crate) fn without(mut self, paths: &BTreeSet<ObjectPath>) -> Self {
        self.left_out = paths.iter().map(|path| join(&self.location, path)).collect();
        self.statistics = total(&self.read(self.list.files.clone()), &self.columns.scan_schema);
        self
    }

    fn read(&self, mut files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        if !self.left_out.is_empty() {
            files.retain(|file| !self.left_out.contains(&file.object_meta.location));
        }
        files
    }

    /// The files that may hold a row for which all filters are true.
    fn candidates(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let all = &self.list.files;
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(all.clone());
        };
        let df_schema = DFSchema::try_from(Arc::clone(&self.columns.scan_schema))?;
        let predicate = state.create_physical_expr(filter, &df_schema).and_then(|e| {
            PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(&self.columns.scan_schema))
                .try_build(e)
        });
        // A predicate that cannot prune is no error: the filter above the scan still decides.
        let kept = match predicate.and_then(|p| p.prune(&Prunable(&self.list.bounds))) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::debug!(%error, "no file pruning for this predicate");
                return Ok(all.clone());
            }
        };
        Ok(all
            .iter()
            .zip(kept)
            .filter(|(_, keep)| *keep)
            .map(|(file, _)| file.clone())
            .collect())
    }
}

impl std::fmt::Debug for ParquetScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParquetScan({} files)", self.list.files.len())
    }
}

#[async_trait]
impl TableProvider for ParquetScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Always inexact, for partition columns too: `f = 0.0` must still meet the rows of a −0.0 partition.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut own = self.statistics.clone();
        own.column_statistics = self
            .order
            .iter()
            .filter_map(|i| self.statistics.column_statistics.get(*i).cloned())
            .collect();
        (own.column_statistics.len() == self.order.len()).then_some(own)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(asked) = &self.asked {
            asked.saw(&self.location, filters);
        }
        let mut files = self.read(self.candidates(state, filters)?);
        if let (Some(limit), true) = (limit, filters.is_empty()) {
            files = enough_for(files, limit);
        }
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let statistics = if files.len() == self.list.files.len() {
            self.statistics.clone()
        } else {
            total(&files, &self.columns.scan_schema)
        };
        let wanted: Vec<usize> = match projection {
            Some(chosen) => chosen.iter().filter_map(|i| self.order.get(*i).copied()).collect(),
            None => self.order.clone(),
        };
        let groups = group(files, state.config().target_partitions());
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        // Spark's old INT96 times reach beyond what nanoseconds can count.
        options.global.coerce_int96 = Some("us".to_owned());
        if self.is_past {
            // A value, though it says nothing: what has none is lost on the way to another node.
            options.key_value_metadata.insert(PAST.to_owned(), Some(String::new()));
        }
        let runtime = state.runtime_env();
        let reader = CachedParquetFileReaderFactory::new(
            runtime.object_store(&self.store)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let table_schema = TableSchema::builder(Arc::clone(&self.columns.file_schema))
            .with_table_partition_cols(self.columns.partition_fields.clone())
            .build();
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_BYTES_HINT)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(wanted))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// The first files that together surely hold `limit` rows.
fn enough_for(files: Vec<PartitionedFile>, limit: usize) -> Vec<PartitionedFile> {
    let mut rows = 0usize;
    let mut taken = Vec::new();
    for file in files {
        if rows >= limit && !taken.is_empty() {
            break;
        }
        if let Some(Precision::Exact(n)) = file.statistics.as_ref().map(|s| s.num_rows) {
            rows = rows.saturating_add(n);
        }
        taken.push(file);
    }
    taken
}

/// Files shared out over `partitions` groups of about the same bytes; large files are split by byte ranges.
fn group(mut files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let partitions = partitions.max(1);
    let one = vec![FileGroup::new(files.clone())];
    let split = FileGroupPartitioner::new()
        .with_target_partitions(partitions)
        .with_repartition_file_min_size(SPLIT_FILE_BYTES_MIN)
        .repartition_file_groups(&one);
    if let Some(groups) = split {
        return groups;
    }
    files.sort_by_key(|f| std::cmp::Reverse(f.object_meta.size));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len())];
    for file in files {
        if let Some(lightest) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            lightest.0 += file.object_meta.size.max(1);
            lightest.1.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}
