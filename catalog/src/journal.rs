//! A Delta table of the server's own that only grows: appended to exactly once, read as a whole.
//!
//! Many writers share it. Each counts its rows under an application id of its own; a commit carries the number of its
//! last row, so a replay finds its rows committed and adds nothing. Small files are merged now and then, which changes
//! no row. The table is marked append-only: other writers of Delta refuse to delete or update in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use datafusion::catalog::TableProvider;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, LogicalFileView, MetadataExt, StructType, Transaction, new_metadata};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;

use crate::append::ATTEMPTS_MAX;
use crate::delta::{new_protocol, settled, unless_overtaken};
use crate::error::LakeError;
use crate::lake::{Lake, object_store_url};
use crate::name::TableName;
use crate::parquet_file;
use crate::scan::{Inexact, ParquetScan, needs_delta_reader};

/// Files smaller than this are merged, in bytes.
const SMALL_BYTES: i64 = 8 << 20;
/// So many small files are left alone: merging them would write more than reading them costs.
const SMALL_FILES_MAX: usize = 64;
/// A merged file stays for readers that still hold an older version.
const GRACE: Duration = Duration::from_secs(3600);
/// A file that no version names is litter of a commit that failed, once it is this old.
const LITTER_AGE: Duration = Duration::from_secs(24 * 3600);
/// Log files read at the same time.
const READ_AT_ONCE: usize = 8;
/// Who wins is decided by the store; more servers than this never write one lake.
const CONFIGURATION: [(&str, &str); 2] = [("delta.appendOnly", "true"), ("delta.dataSkippingNumIndexedCols", "-1")];

/// An append-only table below the server's own folder.
pub struct Journal {
    lake: Arc<Lake>,
    location: String,
    /// For messages.
    name: TableName,
    schema: SchemaRef,
    current: tokio::sync::Mutex<Option<DeltaTable>>,
}

/// What [`Journal::append`] found or made.
pub struct Appended {
    /// The rows to read now; `None` while the table does not exist.
    pub provider: Option<Arc<dyn TableProvider>>,
    /// Whether this call committed anything.
    pub committed: bool,
}

impl Journal {
    /// A journal at `_labhouse/<area>/<table>`. Nothing is read or made yet.
    ///
    /// # Errors
    /// A column whose type Delta has not.
    pub fn new(lake: Arc<Lake>, area: &str, table: &str, schema: &SchemaRef) -> Result<Self, LakeError> {
        let name = TableName {
            schema: format!("{}.{area}", crate::lake::STATE),
            table: table.to_owned(),
        };
        let refused = |reason| LakeError::Refused {
            table: name.clone(),
            reason,
        };
        Ok(Self {
            lake,
            location: format!("{}/{area}/{table}", crate::lake::STATE),
            schema: settled(schema).map_err(refused)?,
            name,
            current: tokio::sync::Mutex::default(),
        })
    }

    /// The columns as the table keeps them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends rows that `application` counts up to `last`. `rows` is told how far its rows are in the table already (0 for
    /// none) and gives those that are missing, or `None`; it may be asked again when another writer was faster.
    /// On a local disk the commit survives a loss of power when this returns.
    ///
    /// # Errors
    /// [`LakeError::Busy`] when other writers keep winning, and what the store or the rows' schema says.
    pub async fn append(
        &self,
        application: &str,
        last: i64,
        rows: impl Fn(i64) -> Option<RecordBatch>,
    ) -> Result<Appended, LakeError> {
        let mut current = self.current.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            self.follow(&mut current).await?;
            let covered = self.covered_by(current.as_ref(), application).await?.unwrap_or(0);
            let Some(batch) = rows(covered).filter(|batch| batch.num_rows() > 0 && covered < last) else {
                return Ok(Appended {
                    provider: self.provider_of(current.as_ref()).await?,
                    committed: false,
                });
            };
            let adds =
                parquet_file::write_at(&self.lake, &self.name, &self.location, &self.schema, vec![batch]).await?;
            let actions = adds.iter().cloned().map(Action::Add).collect();
            let counted = Some(Transaction::new(application, last));
            if self
                .commit(&mut current, actions, counted, operation(SaveMode::Append), &adds)
                .await?
            {
                return Ok(Appended {
                    provider: self.provider_of(current.as_ref()).await?,
                    committed: true,
                });
            }
            parquet_file::discard_at(&self.lake, &self.name, &self.location, &adds).await;
        }
        Err(LakeError::Busy {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }

    /// How far an application's rows are in the table; `None` when it never wrote.
    ///
    /// # Errors
    /// The store's.
    pub async fn covered(&self, application: &str) -> Result<Option<i64>, LakeError> {
        let mut current = self.current.lock().await;
        self.follow(&mut current).await?;
        self.covered_by(current.as_ref(), application).await
    }

    /// The rows as of now; `None` while the table does not exist.
    ///
    /// # Errors
    /// The store's.
    pub async fn provider(&self) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
        let mut current = self.current.lock().await;
        self.follow(&mut current).await?;
        self.provider_of(current.as_ref()).await
    }

    /// The data files of the newest version, by path below the lake.
    ///
    /// # Errors
    /// The store's.
    pub async fn files(&self) -> Result<Vec<String>, LakeError> {
        let mut current = self.current.lock().await;
        self.follow(&mut current).await?;
        let Some(state) = self.state(current.as_ref())? else {
            return Ok(Vec::new());
        };
        let mut files: Vec<String> = state.log_data().iter().map(|file| self.path(&file)).collect();
        files.sort();
        Ok(files)
    }

    /// All rows of one of [`Journal::files`].
    ///
    /// # Errors
    /// A file that is gone or is not Parquet.
    pub async fn read(&self, file: &str) -> Result<Vec<RecordBatch>, LakeError> {
        parquet_file::read_at(&self.lake, &self.name, file.to_owned(), None).await
    }

    /// The highest row number that each application committed, as far as the table's log still tells.
    ///
    /// # Errors
    /// The store's; a log file that is not JSON is skipped, its readers will say so.
    pub async fn applications(&self) -> Result<BTreeMap<String, i64>, LakeError> {
        let log = self.lake.list(&format!("{}/_delta_log", self.location)).await?;
        let commits = log.into_iter().map(|object| object.location.to_string());
        let commits = commits.filter(|path| path.ends_with(".json"));
        let read: Vec<Option<bytes::Bytes>> = stream::iter(commits)
            .map(|path| async move { self.lake.get(&path).await })
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await?;
        let mut found = BTreeMap::new();
        for bytes in read.into_iter().flatten() {
            let lines = std::str::from_utf8(&bytes).unwrap_or_default().lines();
            for line in lines.filter(|line| line.contains("\"txn\"")) {
                let action: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                let application = action.pointer("/txn/appId").and_then(|id| id.as_str());
                let version = action.pointer("/txn/version").and_then(|version| version.as_i64());
                if let (Some(application), Some(version)) = (application, version) {
                    let known = found.entry(application.to_owned()).or_insert(version);
                    *known = version.max(*known);
                }
            }
        }
        Ok(found)
    }

    /// Merges small files when there are many, and removes those merged long ago. `true` when something was merged.
    ///
    /// # Errors
    /// The store's. Losing the race to another writer is no error: the next time will do.
    pub async fn compact(&self) -> Result<bool, LakeError> {
        let mut current = self.current.lock().await;
        self.follow(&mut current).await?;
        let Some(state) = self.state(current.as_ref())? else {
            return Ok(false);
        };
        let small: Vec<(String, Action)> = state
            .log_data()
            .iter()
            .filter(|file| file.size() < SMALL_BYTES)
            .map(|file| (self.path(&file), Action::Remove(file.remove_action(false))))
            .collect();
        if small.len() <= SMALL_FILES_MAX {
            return Ok(false);
        }
        let mut rows = Vec::new();
        for (path, _) in &small {
            rows.extend(parquet_file::read_at(&self.lake, &self.name, path.clone(), None).await?);
        }
        let mut adds = parquet_file::write_at(&self.lake, &self.name, &self.location, &self.schema, rows).await?;
        for add in &mut adds {
            add.data_change = false;
        }
        let removes = small.into_iter().map(|(_, remove)| remove);
        let actions = removes.chain(adds.iter().cloned().map(Action::Add)).collect();
        let merging = DeltaOperation::Optimize {
            predicate: None,
            target_size: FILE_BYTES_TARGET,
        };
        if !self.commit(&mut current, actions, None, merging, &adds).await? {
            parquet_file::discard_at(&self.lake, &self.name, &self.location, &adds).await;
            return Ok(false);
        }
        self.clean(current.as_ref()).await?;
        Ok(true)
    }

    /// Removes data files that no reader can want any more.
    async fn clean(&self, current: Option<&DeltaTable>) -> Result<(), LakeError> {
        let (Some(table), Some(state)) = (current, self.state(current)?) else {
            return Ok(());
        };
        let now = Utc::now().timestamp_millis();
        let young = |at: i64| now.saturating_sub(at) < i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
        let mut kept: BTreeSet<String> = state.log_data().iter().map(|file| self.path(&file)).collect();
        let log = table.log_store();
        let mut tombstones = state.all_tombstones(log.as_ref());
        while let Some(tombstone) = tombstones.next().await {
            let tombstone = tombstone.map_err(LakeError::delta("reading the log of", &self.name))?;
            if tombstone.deletion_timestamp().is_none_or(young) {
                kept.insert(format!("{}/{}", self.location, tombstone.path()));
            }
        }
        drop(tombstones);
        for object in self.lake.list(&self.location).await? {
            let path = object.location.to_string();
            let is_data = path.ends_with(".parquet") && !path.contains("/_delta_log/");
            let old = Utc::now()
                .signed_duration_since(object.last_modified)
                .to_std()
                .unwrap_or_default()
                >= LITTER_AGE;
            if is_data && old && !kept.contains(&path) {
                self.lake.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// Commits as exactly the version after `current`; `false` when another writer took it.
    async fn commit(
        &self,
        current: &mut Option<DeltaTable>,
        mut actions: Vec<Action>,
        counted: Option<Transaction>,
        operation: DeltaOperation,
        adds: &[Add],
    ) -> Result<bool, LakeError> {
        let refused = |reason: String| LakeError::Refused {
            table: self.name.clone(),
            reason,
        };
        if current.is_none() {
            let kernel: StructType = self
                .schema
                .as_ref()
                .try_into_kernel()
                .map_err(|e| refused(format!("{e}")))?;
            let metadata = new_metadata(&kernel, Vec::<String>::new(), CONFIGURATION)
                .and_then(|made| made.with_table_id(uuid::Uuid::new_v4().to_string()))
                .map_err(|e| refused(format!("it cannot be made: {e}")))?;
            let protocol = new_protocol(&self.schema).map_err(refused)?;
            actions.splice(0..0, [Action::Protocol(protocol), Action::Metadata(metadata)]);
        }
        let log = self.lake.log_store(&self.location)?;
        let mut properties = CommitProperties::default()
            .with_max_retries(0)
            .with_metadata(HashMap::from([("labhouse.journal".to_owned(), true.into())]));
        if let Some(counted) = counted {
            properties = properties.with_application_transaction(counted);
        }
        let state = self.state(current.as_ref())?;
        let reference = state.map(|state| state as &dyn TableReference);
        let done = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(reference, Arc::clone(&log), operation)
            .await;
        let Some(finished) = unless_overtaken(done, &self.name)? else {
            return Ok(false);
        };
        let commit = format!("{}/_delta_log/{:020}.json", self.location, finished.version);
        let written = adds.iter().map(|add| format!("{}/{}", self.location, add.path));
        let written = written.chain([commit]).collect();
        let mut table = DeltaTable::new(log);
        table.state = Some(finished.snapshot);
        *current = Some(table);
        self.lake.flush(written).await?;
        Ok(true)
    }

    /// Brings the snapshot to the newest version.
    async fn follow(&self, current: &mut Option<DeltaTable>) -> Result<(), LakeError> {
        if let Some(table) = current {
            if table.update_state().await.is_ok() {
                return Ok(());
            }
            // The log no longer continues ours: someone put another in its place.
            *current = None;
        }
        if !self.exists().await? {
            return Ok(());
        }
        let mut table = DeltaTable::new(self.lake.log_store(&self.location)?);
        table.load().await.map_err(LakeError::delta("opening", &self.name))?;
        *current = Some(table);
        Ok(())
    }

    /// Looked at before opening: another server may make the table at any moment, and a table that was there before it
    /// was opened must open.
    async fn exists(&self) -> Result<bool, LakeError> {
        let log = self.lake.list(&format!("{}/_delta_log", self.location)).await?;
        Ok(log.iter().any(|object| is_commit(&object.location)))
    }

    async fn covered_by(&self, current: Option<&DeltaTable>, application: &str) -> Result<Option<i64>, LakeError> {
        let (Some(table), Some(state)) = (current, self.state(current)?) else {
            return Ok(None);
        };
        state
            .transaction_version(table.log_store().as_ref(), application)
            .await
            .map_err(LakeError::delta("reading the row number of", &self.name))
    }

    async fn provider_of(&self, current: Option<&DeltaTable>) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
        let (Some(table), Some(state)) = (current, self.state(current)?) else {
            return Ok(None);
        };
        if needs_delta_reader(state).is_none() {
            let scan = ParquetScan::new(state, object_store_url(&self.lake), &self.location);
            if let Ok(scan) = scan {
                return Ok(Some(Arc::new(scan)));
            }
        }
        let planned = table.table_provider().await;
        let own = planned.map_err(|e| LakeError::delta("planning a scan of", &self.name)(e.into()))?;
        Ok(Some(Arc::new(Inexact(own))))
    }

    fn state<'a>(&self, current: Option<&'a DeltaTable>) -> Result<Option<&'a DeltaTableState>, LakeError> {
        let state = current.map(DeltaTable::snapshot).transpose();
        state.map_err(LakeError::delta("reading the snapshot of", &self.name))
    }

    fn path(&self, file: &LogicalFileView) -> String {
        format!("{}/{}", self.location, file.object_store_path())
    }
}

/// What a merged file aims at, in bytes.
const FILE_BYTES_TARGET: i64 = 64 << 20;

fn operation(mode: SaveMode) -> DeltaOperation {
    DeltaOperation::Write {
        mode,
        partition_by: None,
        predicate: None,
    }
}

fn is_commit(path: &ObjectPath) -> bool {
    path.filename()
        .is_some_and(|name| name.ends_with(".json") || name.ends_with(".parquet"))
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.location)
    }
}
