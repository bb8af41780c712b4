//! Data files: batches to Parquet with Delta statistics, and back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake_core::kernel::{Add, LogicalFileView};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::encodings;
use crate::error::LakeError;
use crate::file_stats::Gathered;
use crate::lake::{Lake, Put};
use crate::name::TableName;

/// Rows of a row group: about a quarter million keeps pruning fine and the footer small.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// A data file is closed when it holds this many bytes of Arrow data: some 30 to 100 MB of Parquet.
const FILE_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// How data files are called whose rows lie as they came.
pub(crate) const PREFIX: &str = "part-";
/// Rows of a batch read back.
const READ_BATCH_ROWS: usize = 64 * 1024;

/// Writes `batches` (all of `schema`) below the table's folder and gives the actions that add them. Nothing is visible
/// before those are committed; files of a commit that fails are litter for VACUUM (see [`discard`]).
pub(crate) async fn write(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Vec<Add>, LakeError> {
    write_at(lake, name, &name.location(), schema, batches).await
}

/// The same below any folder of the lake; `name` is for messages.
pub(crate) async fn write_at(
    lake: &Lake,
    name: &TableName,
    location: &str,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Vec<Add>, LakeError> {
    let mut adds = Vec::new();
    for group in by_bytes(batches) {
        let schema = Arc::clone(schema);
        let table = name.clone();
        let whole = blocking(move || {
            let mut file = DataFile::new(&schema);
            group
                .iter()
                .try_for_each(|batch| file.write(batch))
                .map_err(LakeError::parquet("encoding", &table))?;
            file.finish().map_err(LakeError::parquet("encoding", &table))
        })
        .await?;
        adds.push(put(lake, location, PREFIX, whole).await?);
    }
    Ok(adds)
}

/// All rows of a data file, or those of some columns only.
pub(crate) async fn read(
    lake: &Lake,
    name: &TableName,
    file: &LogicalFileView,
    columns: Option<Vec<String>>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let path = format!("{}/{}", name.location(), file.object_store_path());
    read_at(lake, name, path, columns).await
}

/// The same for a data file anywhere in the lake.
pub(crate) async fn read_at(
    lake: &Lake,
    name: &TableName,
    path: String,
    columns: Option<Vec<String>>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let bytes = lake.get(&path).await?.ok_or_else(|| LakeError::Refused {
        table: name.clone(),
        reason: format!("its data file {path} is gone; restore it, or run VACUUM REPAIR with a Delta tool"),
    })?;
    let table = name.clone();
    blocking(move || decode(bytes, columns.as_deref()).map_err(LakeError::parquet("reading", &table))).await
}

/// Removes data files of a commit that did not happen. Best effort: what stays is never read.
pub(crate) async fn discard(lake: &Lake, name: &TableName, adds: &[Add]) {
    discard_at(lake, name, &name.location(), adds).await;
}

/// The same below any folder of the lake.
pub(crate) async fn discard_at(lake: &Lake, name: &TableName, location: &str, adds: &[Add]) {
    for add in adds {
        if let Err(error) = lake.delete(&format!("{location}/{}", add.path)).await {
            tracing::debug!(%error, table = %name, "an unused data file stays behind");
        }
    }
}

/// Runs work that computes for long on a thread where it stops nobody.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, LakeError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, LakeError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| LakeError::Task { reason: e.to_string() })?
}

fn by_bytes(batches: Vec<RecordBatch>) -> Vec<Vec<RecordBatch>> {
    let mut groups: Vec<Vec<RecordBatch>> = Vec::new();
    let mut bytes = FILE_MEMORY_BYTES;
    for batch in batches.into_iter().filter(|b| b.num_rows() > 0) {
        if bytes >= FILE_MEMORY_BYTES {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        if let Some(group) = groups.last_mut() {
            group.push(batch);
        }
    }
    groups
}

/// A data file that is being written, in memory.
pub(crate) struct DataFile {
    schema: SchemaRef,
    /// Opened by the first rows, which say how columns are encoded.
    writer: Option<ArrowWriter<Vec<u8>>>,
    stats: Gathered,
}

/// A data file's bytes and its statistics.
pub(crate) struct Whole {
    bytes: Vec<u8>,
    stats: String,
}

impl DataFile {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            writer: None,
            stats: Gathered::default(),
        }
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.stats.see(batch);
        match &mut self.writer {
            Some(writer) => writer.write(batch),
            none => none.insert(writer(&self.schema, batch)?).write(batch),
        }
    }

    /// Bytes that are written or will be, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.bytes_written() + writer.in_progress_size())
    }

    pub(crate) fn finish(self) -> Result<Whole, ParquetError> {
        let mut writer = match self.writer {
            Some(writer) => writer,
            None => writer(&self.schema, &RecordBatch::new_empty(Arc::clone(&self.schema)))?,
        };
        let metadata = writer.finish()?;
        Ok(Whole {
            stats: self.stats.finish(&self.schema, &metadata),
            bytes: std::mem::take(writer.inner_mut()),
        })
    }
}

fn writer(schema: &SchemaRef, first: &RecordBatch) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page);
    let properties = encodings::choose(properties, first).build();
    ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))
}

/// Puts a data file below a folder of the lake, named by the prefix and a number of its own; the action adds it.
pub(crate) async fn put(lake: &Lake, location: &str, prefix: &str, whole: Whole) -> Result<Add, LakeError> {
    let path = format!("{prefix}{}.zstd.parquet", uuid::Uuid::new_v4());
    let size = i64::try_from(whole.bytes.len()).unwrap_or(i64::MAX);
    lake.put(&format!("{location}/{path}"), whole.bytes.into(), Put::Overwrite)
        .await?;
    Ok(Add {
        path,
        partition_values: HashMap::new(),
        size,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(whole.stats),
        ..Add::default()
    })
}

fn decode(bytes: Bytes, columns: Option<&[String]>) -> Result<Vec<RecordBatch>, ParquetError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(READ_BATCH_ROWS);
    if let Some(columns) = columns {
        let mask =
            parquet::arrow::ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
        builder = builder.with_projection(mask);
    }
    builder
        .build()?
        .collect::<Result<Vec<_>, _>>()
        .map_err(ParquetError::from)
}
