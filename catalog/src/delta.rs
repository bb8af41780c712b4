//! Delta actions: the schema of a table as metadata and protocol, and a commit that either is the next version or is not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, FinalizedCommit, TransactionError};
use deltalake_core::kernel::{
    Action, Add, Metadata, MetadataExt, Protocol, Remove, StructType, Transaction, new_metadata,
};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};

use crate::error::LakeError;
use crate::lake::Lake;
use crate::name::TableName;
use crate::table::LakeTable;

/// The one application id under which the crawler counts its batches in a table.
pub(crate) const CRAWL_APP: &str = "labhouse.crawl";
/// The key in a commit's info that holds the batch's manifest, as JSON text.
pub(crate) const BATCH_KEY: &str = "labhouse.batch";
/// Statistics for every column, not only the first 32: replacing a file's rows finds them by `_source_file`, the last but two.
pub(crate) const ALL_COLUMNS_INDEXED: (&str, &str) = ("delta.dataSkippingNumIndexedCols", "-1");

/// The property in which a table keeps what statements made its rows of. It says nothing of how the table may be written to.
pub const LINEAGE: &str = "labhouse.lineage";

/// A property that hides a table from every catalog while it is `true`.
pub(crate) const DROPPED: &str = "labhouse.dropped";

/// The property of a table that was made anew in another one's place: the version that it begins at. What was there before under its
/// name is not of it.
pub(crate) const BEGINS: &str = "labhouse.begins_at";

/// What one commit does to a table.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
    /// The table's new schema; needed when the table is made.
    pub(crate) schema: Option<SchemaRef>,
    /// The id a new table gets; it tells the ledger of this table from that of one dropped before.
    pub(crate) table_id: Option<String>,
    /// Keys of the table's configuration to set; the others stay.
    pub(crate) properties: BTreeMap<String, String>,
    /// What the table is for, in words.
    pub(crate) description: Option<String>,
    /// What the table's history calls it; without, a write.
    pub(crate) operation: Option<DeltaOperation>,
    /// The crawler's batch number and manifest.
    pub(crate) batch: Option<(i64, String)>,
}

/// What a kernel's error says, without the backtrace that it carries where one is asked for.
fn said(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The schema as Delta keeps and gives it back: the names of list elements and the like are settled by it.
///
/// # Errors
/// A type that Delta has not, in words.
pub(crate) fn settled(schema: &Schema) -> Result<SchemaRef, String> {
    let kernel: StructType = schema.try_into_kernel().map_err(said)?;
    let arrow: Schema = (&kernel).try_into_arrow().map_err(said)?;
    Ok(Arc::new(arrow))
}

/// Commits `change` as exactly the version after `base` (version 0 when there is none). `Ok(None)` means that another writer
/// took that version: nothing was committed, and the caller plans anew from the newest snapshot.
pub(crate) async fn commit(
    lake: &Lake,
    name: &TableName,
    base: Option<&LakeTable>,
    change: Change,
) -> Result<Option<LakeTable>, LakeError> {
    let refused = |reason: String| LakeError::Refused {
        table: name.clone(),
        reason,
    };
    let overwrites = !change.removes.is_empty();
    let mut actions = Vec::new();
    match (base, &change.schema) {
        (Some(base), None) if !change.properties.is_empty() || change.description.is_some() => {
            let mut metadata = configured(base.state()?.metadata().clone(), name, change.properties)?;
            if let Some(text) = change.description {
                metadata = metadata
                    .with_description(text)
                    .map_err(|source| LakeError::delta("describing", name)(source.into()))?;
            }
            actions.push(Action::Metadata(metadata));
        }
        (_, None) => {}
        (Some(base), Some(schema)) => {
            let kernel: StructType = schema.as_ref().try_into_kernel().map_err(|e| refused(said(e)))?;
            let state = base.state()?;
            let metadata = state
                .metadata()
                .clone()
                .with_schema(&kernel)
                .map_err(|e| refused(format!("its schema cannot change: {e}")))?;
            actions.push(Action::Metadata(configured(metadata, name, change.properties)?));
            if let Some(raised) = raised_protocol(state.protocol(), schema) {
                actions.push(Action::Protocol(raised.map_err(refused)?));
            }
        }
        (None, Some(schema)) => {
            let kernel: StructType = schema.as_ref().try_into_kernel().map_err(|e| refused(said(e)))?;
            let id = change
                .table_id
                .clone()
                .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            let metadata = new_metadata(&kernel, Vec::<String>::new(), [ALL_COLUMNS_INDEXED])
                .and_then(|made| made.with_table_id(id))
                .map_err(|e| refused(format!("it cannot be made: {e}")))?;
            actions.push(Action::Protocol(new_protocol(schema).map_err(refused)?));
            actions.push(Action::Metadata(configured(metadata, name, change.properties)?));
        }
    }
    actions.extend(change.removes.into_iter().map(Action::Remove));
    actions.extend(change.adds.into_iter().map(Action::Add));

    let log = lake.log_store(&name.location())?;
    // No retries inside delta-rs: its conflict check would let a batch pass that another server has committed already.
    let mut properties = CommitProperties::default().with_max_retries(0);
    if let Some((number, manifest)) = change.batch {
        properties = properties
            .with_application_transaction(Transaction::new(CRAWL_APP, number))
            .with_metadata(HashMap::from([(
                BATCH_KEY.to_owned(),
                serde_json::Value::String(manifest),
            )]));
    }
    let mode = if overwrites {
        SaveMode::Overwrite
    } else {
        SaveMode::Append
    };
    let operation = change.operation.unwrap_or(DeltaOperation::Write {
        mode,
        partition_by: None,
        predicate: None,
    });
    let state = base.map(LakeTable::state).transpose()?;
    let reference = state.map(|s| s as &dyn deltalake_core::kernel::transaction::TableReference);
    let done = CommitBuilder::from(properties)
        .with_actions(actions)
        .build(reference, Arc::clone(&log), operation)
        .await;
    let Some(finished) = unless_overtaken(done, name)? else {
        return Ok(None);
    };
    let mut delta = DeltaTable::new(log);
    delta.state = Some(finished.snapshot);
    LakeTable::of(lake, name, delta).await.map(Some)
}

/// A commit that was done; none when another writer took its version first.
pub(crate) fn unless_overtaken(
    done: Result<FinalizedCommit, DeltaTableError>,
    name: &TableName,
) -> Result<Option<FinalizedCommit>, LakeError> {
    match done {
        Ok(finished) => Ok(Some(finished)),
        Err(DeltaTableError::VersionAlreadyExists(_))
        | Err(DeltaTableError::Transaction {
            source: TransactionError::MaxCommitAttempts(_) | TransactionError::CommitConflict(_),
        }) => Ok(None),
        Err(error) => Err(LakeError::delta("committing to", name)(error)),
    }
}

fn configured(
    metadata: Metadata,
    name: &TableName,
    properties: BTreeMap<String, String>,
) -> Result<Metadata, LakeError> {
    properties.into_iter().try_fold(metadata, |metadata, (key, value)| {
        metadata
            .add_config_key(key, value)
            .map_err(|source| LakeError::delta("changing the properties of", name)(source.into()))
    })
}

pub(crate) fn new_protocol(schema: &Schema) -> Result<Protocol, String> {
    let json = if has_local_time(schema) {
        serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz", "appendOnly", "invariants"],
        })
    } else {
        serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    };
    serde_json::from_value(json).map_err(|e| e.to_string())
}

/// The protocol a table needs once it holds times without a zone; `None` when it has it.
fn raised_protocol(old: &Protocol, schema: &Schema) -> Option<Result<Protocol, String>> {
    const FEATURE: &str = "timestampNtz";
    if !has_local_time(schema) {
        return None;
    }
    let reader: Vec<String> = old
        .reader_features()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    if reader.iter().any(|f| f == FEATURE) {
        return None;
    }
    let mut writer: Vec<String> = old
        .writer_features()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    if old.writer_features().is_none() {
        // What writer version 2 implies must be spelt out once features are listed.
        writer.extend(["appendOnly".to_owned(), "invariants".to_owned()]);
    }
    let json = serde_json::json!({
        "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": reader.into_iter().chain([FEATURE.to_owned()]).collect::<Vec<_>>(),
        "writerFeatures": writer.into_iter().chain([FEATURE.to_owned()]).collect::<Vec<_>>(),
    });
    Some(serde_json::from_value(json).map_err(|e| e.to_string()))
}

fn has_local_time(schema: &Schema) -> bool {
    fn inside(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(field) | DataType::LargeList(field) => inside(field.data_type()),
            DataType::Struct(fields) => fields.iter().any(|f| inside(f.data_type())),
            _ => false,
        }
    }
    schema.fields().iter().any(|f| inside(f.data_type()))
}
