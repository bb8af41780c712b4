//! One immutable version of one Delta table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use deltalake_core::DeltaTable;
use deltalake_core::logstore::commit_uri_from_version;
use deltalake_core::table::state::DeltaTableState;
use object_store::ObjectStoreExt;

use crate::delta::{ALL_COLUMNS_INDEXED, BEGINS, DROPPED};
use crate::error::LakeError;
use crate::lake::{Lake, object_store_url};
use crate::name::TableName;
use crate::scan::{Inexact, ParquetScan, needs_delta_reader};
use crate::travel::Older;

/// Below it a file is small: an eighth of what a compaction makes of many.
pub(crate) const SMALL_FILE_BYTES: i64 = 16 << 20;

/// A table as it was at one version. Nothing about it changes; a newer version is another `LakeTable`.
pub struct LakeTable {
    name: TableName,
    delta: DeltaTable,
    version: u64,
    provider: Arc<dyn TableProvider>,
    is_plain: bool,
    properties: BTreeMap<String, String>,
    description: Option<String>,
    rows: Option<usize>,
    bytes: u64,
    files: usize,
    /// Of the commit that made this version: it tells a table apart from one made anew in its place.
    commit_tag: Option<String>,
    older: Older,
}

impl LakeTable {
    pub fn name(&self) -> &TableName {
        &self.name
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// The columns in the table's order. Text is `Utf8View` where a plain Parquet scan reads it.
    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// The table for DataFusion. Sessions need the lake's store: see [`Lake::register`].
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }

    /// Rows, when every file says how many it has.
    pub fn rows(&self) -> Option<usize> {
        self.rows
    }

    /// When this version was committed; none when its commit was cleaned away.
    pub fn modified(&self) -> Option<DateTime<Utc>> {
        let millis = self.state().ok()?.version_timestamp(self.version)?;
        DateTime::from_timestamp_millis(millis)
    }

    /// Bytes of the live Parquet files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of live Parquet files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Files so small that they are worth merging with another of their partition.
    pub fn small_files(&self) -> usize {
        let Ok(state) = self.state() else { return 0 };
        let mut small: BTreeMap<String, usize> = BTreeMap::new();
        for file in state.log_data().iter().filter(|file| file.size() < SMALL_FILE_BYTES) {
            // A partition is a folder of the table.
            let path = file.path();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            *small.entry(folder.to_owned()).or_default() += 1;
        }
        small.into_values().filter(|files| *files > 1).sum()
    }

    /// Whether labhouse made the table; what other tools made and write is theirs to care for.
    pub fn is_own(&self) -> bool {
        let (key, value) = ALL_COLUMNS_INDEXED;
        self.properties.get(key).is_some_and(|found| found == value)
    }

    /// The Delta configuration. Tags are `labhouse.tag.<key>`, the owner is `labhouse.department`; a column's tags are in
    /// its field's metadata under the same key.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    /// Whether this version is a plain list of files, which can be read in parts: see [`crate::part`].
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The id that the table got when it was made: another one made in its place has another.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn id(&self) -> Result<String, LakeError> {
        Ok(self.state()?.metadata().id().to_owned())
    }

    /// Whether `other` is an earlier version of the same table, or this very one.
    pub(crate) fn is_no_older_than(&self, other: &Self) -> bool {
        let same = || self.id().ok().zip(other.id().ok()).is_some_and(|(one, two)| one == two);
        match self.version.cmp(&other.version) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.commit_tag == other.commit_tag && same(),
            std::cmp::Ordering::Greater => same(),
        }
    }

    /// Whether it was dropped: see [`crate::drop_table`].
    pub(crate) fn is_dropped(&self) -> bool {
        self.properties.get(DROPPED).is_some_and(|value| value == "true")
    }

    /// The first of its versions; those before it are of another table, in whose place it was made.
    pub(crate) fn begins_at(&self) -> u64 {
        let first = self.properties.get(BEGINS).and_then(|version| version.parse().ok());
        first.unwrap_or_default()
    }

    pub fn description(&self) -> Option<&str> {
        self.description.as_deref().filter(|text| !text.is_empty())
    }

    /// The table for delta-rs's own operations (update, delete, merge, optimize), at this version. A commit made with it
    /// is seen after [`crate::Catalog::refresh`].
    pub fn delta(&self) -> DeltaTable {
        self.delta.clone()
    }

    /// Versions before this one that were asked for lately.
    pub(crate) fn older(&self) -> &Older {
        &self.older
    }

    pub(crate) fn state(&self) -> Result<&DeltaTableState, LakeError> {
        self.delta
            .snapshot()
            .map_err(LakeError::delta("reading the snapshot of", &self.name))
    }

    /// The same version, whose log is read from `lake` from now on.
    pub(crate) async fn on(&self, lake: &Lake) -> Result<Self, LakeError> {
        let mut delta = DeltaTable::new(lake.log_store(&self.name.location())?);
        delta.state = Some(self.state()?.clone());
        Self::of(lake, &self.name, delta).await
    }

    /// The newest version of the table at the name's place, read from its log.
    pub(crate) async fn open(lake: &Lake, name: &TableName) -> Result<Self, LakeError> {
        let mut delta = DeltaTable::new(lake.log_store(&name.location())?);
        delta.load().await.map_err(LakeError::delta("opening", name))?;
        Self::of(lake, name, delta).await
    }

    /// The newest version, read from this one onwards; `None` when this is it.
    pub(crate) async fn newer(&self, lake: &Lake) -> Result<Option<Self>, LakeError> {
        let mut delta = self.delta.clone();
        if delta.update_state().await.is_err() {
            // The log no longer continues ours: someone made the table anew.
            return Self::open(lake, &self.name).await.map(Some);
        }
        if delta.version() != Some(self.version) {
            return Self::of(lake, &self.name, delta).await.map(Some);
        }
        if commit_tag(&delta, self.version).await? == self.commit_tag {
            return Ok(None);
        }
        Self::open(lake, &self.name).await.map(Some)
    }

    /// A loaded Delta table with everything a reader asks for worked out once.
    pub(crate) async fn of(lake: &Lake, name: &TableName, delta: DeltaTable) -> Result<Self, LakeError> {
        Self::scanned(lake, name, delta, false).await
    }

    /// The same of a version that is or may become an older one.
    pub(crate) async fn of_past(lake: &Lake, name: &TableName, delta: DeltaTable) -> Result<Self, LakeError> {
        Self::scanned(lake, name, delta, true).await
    }

    async fn scanned(lake: &Lake, name: &TableName, delta: DeltaTable, is_past: bool) -> Result<Self, LakeError> {
        let state = delta
            .snapshot()
            .map_err(LakeError::delta("reading the snapshot of", name))?;
        let metadata = state.metadata();
        let properties = metadata
            .configuration()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let description = metadata.description().map(str::to_owned);
        let (mut rows, mut bytes, mut files) = (Some(0usize), 0u64, 0usize);
        for file in state.log_data().iter() {
            files += 1;
            bytes = bytes.saturating_add(u64::try_from(file.size()).unwrap_or_default());
            let deleted = file
                .deletion_vector_descriptor()
                .map_or(0, |dv| usize::try_from(dv.cardinality).unwrap_or(0));
            rows = rows
                .zip(file.num_records())
                .map(|(sum, n)| sum.saturating_add(n.saturating_sub(deleted)));
        }
        let plain = plain_scan(lake, name, state);
        let is_plain = plain.is_some();
        let provider: Arc<dyn TableProvider> = match plain {
            Some(scan) if is_past => Arc::new(scan.past()),
            Some(scan) => Arc::new(scan),
            None => {
                let planned = delta.table_provider().await;
                let own = planned.map_err(|e| LakeError::delta("planning a scan of", name)(e.into()))?;
                Arc::new(Inexact(own))
            }
        };
        let version = state.version();
        let commit_tag = commit_tag(&delta, version).await?;
        Ok(Self {
            name: name.clone(),
            version,
            provider,
            is_plain,
            properties,
            description,
            rows,
            bytes,
            files,
            commit_tag,
            older: Older::default(),
            delta,
        })
    }
}

impl std::fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LakeTable({} version {}, {} files)",
            self.name, self.version, self.files
        )
    }
}

pub(crate) fn plain_scan(lake: &Lake, name: &TableName, state: &DeltaTableState) -> Option<ParquetScan> {
    if let Some(why) = needs_delta_reader(state) {
        tracing::debug!(table = %name, why, "read through delta-rs");
        return None;
    }
    match ParquetScan::new(state, object_store_url(lake), &name.location()) {
        Ok(scan) => Some(scan.noted(lake.asked())),
        Err(error) => {
            tracing::warn!(table = %name, %error, "its file list is not plain: read through delta-rs");
            None
        }
    }
}

/// What the store says of the commit that made `version`; `None` when log cleaning took it.
async fn commit_tag(delta: &DeltaTable, version: u64) -> Result<Option<String>, LakeError> {
    let path = commit_uri_from_version(Some(version));
    match delta.object_store().head(&path).await {
        Ok(meta) => Ok(Some(meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339()))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(LakeError::Store {
            action: "reading",
            path: path.to_string(),
            source,
        }),
    }
}
