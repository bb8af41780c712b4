//! Sorted rows to data files, in bounded memory.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::SendableRecordBatchStream;
use deltalake_core::kernel::Add;
use futures::TryStreamExt;

use crate::append::fit;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file::{self, DataFile, blocking};

/// A file is closed at this size: large enough to read in one piece, small enough to be left out.
pub(super) const FILE_BYTES: usize = 64 << 20;
/// Rows that are encoded at a time.
const CHUNK_ROWS: usize = 64 * 1024;

/// Writes the rows in the order in which they come. Nothing stays behind when it fails.
pub(super) async fn write(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    rows: SendableRecordBatchStream,
    prefix: &str,
) -> Result<Vec<Add>, LakeError> {
    let mut adds = Vec::new();
    match write_all(lake, name, schema, rows, prefix, &mut adds).await {
        Ok(()) => Ok(adds),
        Err(error) => {
            parquet_file::discard(lake, name, &adds).await;
            Err(error)
        }
    }
}

async fn write_all(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    mut rows: SendableRecordBatchStream,
    prefix: &str,
    adds: &mut Vec<Add>,
) -> Result<(), LakeError> {
    let mut file: Option<DataFile> = None;
    let mut chunk = Vec::new();
    loop {
        let next = rows.try_next().await.map_err(LakeError::engine("arranging", name))?;
        let ended = next.is_none();
        chunk.extend(next);
        if !ended && chunk.iter().map(RecordBatch::num_rows).sum::<usize>() < CHUNK_ROWS {
            continue;
        }
        if !chunk.is_empty() {
            let open = file.take().unwrap_or_else(|| DataFile::new(schema));
            file = Some(encode(open, name, schema, std::mem::take(&mut chunk)).await?);
        }
        let is_full = ended || file.as_ref().is_some_and(|file| file.bytes() >= FILE_BYTES);
        if let Some(full) = file.take_if(|_| is_full) {
            let table = name.clone();
            let whole = blocking(move || full.finish().map_err(LakeError::parquet("encoding", &table))).await?;
            let mut add = parquet_file::put(lake, &name.location(), prefix, whole).await?;
            add.data_change = false;
            adds.push(add);
        }
        if ended {
            return Ok(());
        }
    }
}

async fn encode(
    mut file: DataFile,
    name: &TableName,
    schema: &SchemaRef,
    chunk: Vec<RecordBatch>,
) -> Result<DataFile, LakeError> {
    let (table, schema) = (name.clone(), schema.clone());
    blocking(move || {
        for batch in &chunk {
            let batch = fit(batch, &schema).map_err(|reason| LakeError::Refused {
                table: table.clone(),
                reason,
            })?;
            file.write(&batch).map_err(LakeError::parquet("encoding", &table))?;
        }
        Ok(file)
    })
    .await
}
