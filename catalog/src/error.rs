//! What can go wrong between the lake and us. Every text says what happened, where, and what to do.

use crate::name::TableName;

/// Any failure of the catalog. A broken file or table is never one of these: files go to quarantine, tables to
/// [`crate::CatalogSnapshot::broken`].
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("the lake url '{url}' cannot be used: {reason}. Write it as file:///path/to/lake or s3://bucket/prefix")]
    Url { url: String, reason: String },
    #[error(
        "the lake option '{key}' is not known for '{url}'. Use object_store names such as endpoint, region, access_key_id, allow_http"
    )]
    Option { key: String, url: String },
    #[error(
        "labhouse refuses to write to {url}: the store accepted two create-only writes of one object, so two servers could both 'win' the same commit and rows would be lost. Use a store that honours conditional PUT (If-None-Match: *): AWS S3, MinIO, SeaweedFS, or a local folder"
    )]
    NoConditionalPut { url: String },
    #[error(
        "{action} '{path}' in the lake failed: {source}. Check that the store is reachable and that this account may do it"
    )]
    Store {
        action: &'static str,
        path: String,
        source: object_store::Error,
    },
    #[error("the queue '{url}' ([crawl] queue of the config) cannot be used: {reason}")]
    Queue { url: String, reason: String },
    #[error("{action} '{path}' failed: {source}. Check the folder's permissions and the disk's space")]
    Io {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error(
        "'{name}' is not a table name: {reason}. Use lower-case letters, digits and _, as in chemistry.plate_readings"
    )]
    Name { name: String, reason: &'static str },
    #[error("{action} Delta table {table} failed: {source}")]
    Delta {
        action: &'static str,
        table: TableName,
        source: Box<deltalake_core::DeltaTableError>,
    },
    #[error("{action} rows of {table} failed: {source}. If it persists, look at the table's Parquet files")]
    Parquet {
        action: &'static str,
        table: TableName,
        source: parquet::errors::ParquetError,
    },
    #[error("{action} rows of {table} failed: {source}")]
    Arrow {
        action: &'static str,
        table: TableName,
        source: arrow::error::ArrowError,
    },
    #[error("{action} {table} failed: {source}")]
    Engine {
        action: &'static str,
        table: TableName,
        source: Box<datafusion::error::DataFusionError>,
    },
    #[error("table {table} cannot take these rows: {reason}")]
    Refused { table: TableName, reason: String },
    #[error("another writer won the commit to {table} {attempts} times in a row; try again when it is less busy")]
    Busy { table: TableName, attempts: usize },
    #[error("table {table} was changed while this was being made; nothing was written, look at it and try again")]
    Overtaken { table: TableName },
    #[error(
        "the record '{path}' in the lake is damaged: {reason}. Remove that object: it is rebuilt from the table's log"
    )]
    Record { path: String, reason: String },
    #[error(
        "the ledger of {table} lacks batch {batch}: neither its object nor its commit is in the lake any more. Restore _labhouse/ledger from a backup, or drop the table to load its files anew"
    )]
    LedgerGap { table: TableName, batch: i64 },
    #[error(
        "watching '{path}' for new files failed: {reason}. The timed sweep still finds them; raise fs.inotify.max_user_watches for instant pick-up"
    )]
    Watch { path: String, reason: String },
    #[error(
        "'{path}' is not in quarantine; lab.system.quarantine lists the files that are, by their paths below landing/"
    )]
    NotQuarantined { path: String },
    #[error("a background task of the crawler ended early: {reason}")]
    Task { reason: String },
}

impl LakeError {
    /// Whether a create-only write found the object there.
    pub fn is_there_already(&self) -> bool {
        matches!(
            self,
            Self::Store {
                source: object_store::Error::AlreadyExists { .. },
                ..
            }
        )
    }

    pub(crate) fn store(action: &'static str, path: impl Into<String>) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.into();
        move |source| Self::Store { action, path, source }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn delta(
        action: &'static str,
        table: &TableName,
    ) -> impl FnOnce(deltalake_core::DeltaTableError) -> Self + use<> {
        let table = table.clone();
        move |source| Self::Delta {
            action,
            table,
            source: Box::new(source),
        }
    }

    pub(crate) fn engine(
        action: &'static str,
        table: &TableName,
    ) -> impl FnOnce(datafusion::error::DataFusionError) -> Self + use<> {
        let table = table.clone();
        move |source| Self::Engine {
            action,
            table,
            source: Box::new(source),
        }
    }

    pub(crate) fn arrow(
        action: &'static str,
        table: &TableName,
    ) -> impl FnOnce(arrow::error::ArrowError) -> Self + use<> {
        let table = table.clone();
        move |source| Self::Arrow { action, table, source }
    }

    pub(crate) fn parquet(
        action: &'static str,
        table: &TableName,
    ) -> impl FnOnce(parquet::errors::ParquetError) -> Self + use<> {
        let table = table.clone();
        move |source| Self::Parquet { action, table, source }
    }
}
