//! The catalog: which tables the lake has, at which version, as one immutable snapshot swapped atomically.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{StreamExt, stream};

use crate::error::LakeError;
use crate::lake::{Lake, TABLES};
use crate::name::{TableName, is_clean};
use crate::table::LakeTable;

/// Tables opened at the same time: enough to hide an object store's latency, few enough to keep its request rate polite.
const OPEN_AT_ONCE: usize = 8;

/// The holder of the current [`CatalogSnapshot`].
pub struct Catalog {
    lake: Arc<Lake>,
    current: ArcSwap<CatalogSnapshot>,
    /// One refresh at a time: two would race to publish.
    refreshing: tokio::sync::Mutex<()>,
    turns: Turns,
}

/// Whose turn it is to append to a table.
type Turns = parking_lot::Mutex<BTreeMap<TableName, Arc<tokio::sync::Mutex<()>>>>;

impl Catalog {
    /// Opens every table of the lake.
    ///
    /// # Errors
    /// The lake cannot be listed. A table that cannot be opened is no error: see [`CatalogSnapshot::broken`].
    pub async fn load(lake: Arc<Lake>) -> Result<Arc<Self>, LakeError> {
        let catalog = Arc::new(Self {
            lake,
            current: ArcSwap::from_pointee(CatalogSnapshot::default()),
            refreshing: tokio::sync::Mutex::new(()),
            turns: Turns::default(),
        });
        catalog.refresh().await?;
        Ok(catalog)
    }

    /// One table alone, as somebody sees it who changes it on the side.
    pub(crate) fn of_one(lake: Arc<Lake>, table: Arc<LakeTable>) -> Arc<Self> {
        Arc::new(Self {
            lake,
            current: ArcSwap::from_pointee(CatalogSnapshot::default().with(table)),
            refreshing: tokio::sync::Mutex::new(()),
            turns: Turns::default(),
        })
    }

    /// Waits until no other writer of this process commits an append to a table, in the order in which they came; and says whether
    /// there was one. Writers elsewhere, and whatever else changes the table, are met at the commit.
    pub(crate) async fn turn(&self, name: &TableName) -> (tokio::sync::OwnedMutexGuard<()>, bool) {
        let turn = {
            let mut turns = self.turns.lock();
            // One that nobody holds or waits for is forgotten.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(name.clone()).or_default())
        };
        match Arc::clone(&turn).try_lock_owned() {
            Ok(own) => (own, false),
            Err(_held) => (turn.lock_owned().await, true),
        }
    }

    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    /// The newest snapshot. Take it once per statement.
    pub fn snapshot(&self) -> Arc<CatalogSnapshot> {
        self.current.load_full()
    }

    /// Looks for new tables, new versions and vanished tables, and publishes a new snapshot when anything changed.
    ///
    /// # Errors
    /// The lake cannot be listed; the old snapshot stays.
    pub async fn refresh(&self) -> Result<bool, LakeError> {
        let _one = self.refreshing.lock().await;
        let old = self.snapshot();
        let found = self.find().await?;
        let opened: Vec<Opened> = stream::iter(found)
            .map(|name| {
                let known = old.known(&name).cloned();
                async move { self.look(name, known).await }
            })
            .buffer_unordered(OPEN_AT_ONCE)
            .collect()
            .await;
        let mut next = CatalogSnapshot {
            generation: old.generation + 1,
            ..CatalogSnapshot::default()
        };
        let mut changed = false;
        for one in opened {
            match one {
                Opened::Same(table) => next.insert(table),
                Opened::New(table) => {
                    changed = true;
                    next.insert(table);
                }
                Opened::Broken(name, reason) => {
                    tracing::warn!(table = %name, reason, "a table cannot be opened");
                    next.broken.push((name, reason));
                }
                Opened::Absent => {}
            }
        }
        next.broken.sort();
        changed |= next.len() != old.len() || next.broken != old.broken;
        if changed || old.generation == 0 {
            self.current.store(Arc::new(next));
        }
        Ok(changed)
    }

    /// The newest version of one table, published; `None` when there is no such table.
    pub(crate) async fn latest(&self, name: &TableName) -> Result<Option<Arc<LakeTable>>, LakeError> {
        let known = self.snapshot().known(name).cloned();
        match self.look(name.clone(), known.clone()).await {
            Opened::Same(table) => Ok(Some(table)),
            Opened::New(table) => Ok(Some(self.put(table, known.as_ref()).await)),
            Opened::Absent => Ok(None),
            Opened::Broken(table, reason) => Err(LakeError::Refused { table, reason }),
        }
    }

    /// Puts a version that was committed into the snapshot, unless a later one of the same table is there already: of two
    /// commits the older may be published last, and whoever made the newer one must see it in his next statement.
    pub(crate) async fn publish(&self, table: Arc<LakeTable>) {
        self.put(table, None).await;
    }

    /// Puts an earlier version in the place of a later one that was staged and is taken back: nobody else has seen it.
    pub(crate) async fn set_back(&self, table: Arc<LakeTable>) {
        let _one = self.refreshing.lock().await;
        let mut next = CatalogSnapshot::clone(&self.snapshot());
        next.generation += 1;
        next.insert(table);
        self.current.store(Arc::new(next));
    }

    /// As `publish`, and gives what the snapshot has then. `seen` is the version from which the log was read on to `table`: where
    /// that is still the newest, the log has the last word, also when it was set back.
    async fn put(&self, table: Arc<LakeTable>, seen: Option<&Arc<LakeTable>>) -> Arc<LakeTable> {
        let _one = self.refreshing.lock().await;
        let old = self.snapshot();
        if let Some(current) = old.known(table.name()) {
            let is_seen = seen.is_some_and(|seen| Arc::ptr_eq(seen, current));
            if Arc::ptr_eq(current, &table) || (!is_seen && current.is_no_older_than(&table)) {
                return Arc::clone(current);
            }
        }
        let mut next = CatalogSnapshot::clone(&old);
        next.generation += 1;
        next.insert(Arc::clone(&table));
        self.current.store(Arc::new(next));
        table
    }

    async fn look(&self, name: TableName, known: Option<Arc<LakeTable>>) -> Opened {
        let seen = match &known {
            Some(table) => table.newer(&self.lake).await,
            None => match self.has_log(&name).await {
                Ok(true) => LakeTable::open(&self.lake, &name).await.map(Some),
                Ok(false) => return Opened::Absent,
                Err(error) => Err(error),
            },
        };
        match (seen, known) {
            (Ok(Some(table)), _) => Opened::New(Arc::new(table)),
            (Ok(None), Some(table)) => Opened::Same(table),
            (Ok(None), None) => Opened::Absent,
            (Err(error), known) => match (self.has_log(&name).await, known) {
                (Ok(false), _) => Opened::Absent,
                (Ok(true), _) | (Err(_), None) => Opened::Broken(name, error.to_string()),
                // The store does not answer: that says nothing about the table.
                (Err(_), Some(table)) => Opened::Same(table),
            },
        }
    }

    async fn has_log(&self, name: &TableName) -> Result<bool, LakeError> {
        let log = format!("{}/_delta_log", name.location());
        let listed = self
            .lake
            .store()
            .list_with_delimiter(Some(&crate::lake::object_path(&log)?))
            .await;
        // Some stores keep an empty object for a folder whose last file was deleted.
        let is_log = |name: &str| name.ends_with(".json") || name.ends_with(".parquet");
        listed
            .map(|l| l.objects.iter().filter_map(|o| o.location.filename()).any(is_log))
            .map_err(LakeError::store("listing", log))
    }

    async fn find(&self) -> Result<Vec<TableName>, LakeError> {
        let mut found = Vec::new();
        for schema in self.lake.folders(TABLES).await? {
            for table in self.lake.folders(&format!("{TABLES}/{schema}")).await? {
                if is_clean(&schema) && is_clean(&table) {
                    found.push(TableName {
                        schema: schema.clone(),
                        table,
                    });
                } else {
                    tracing::warn!(
                        schema,
                        table,
                        "not a table name of labhouse ([a-z0-9_]): rename the folder"
                    );
                }
            }
        }
        Ok(found)
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalog({}, {:?})", self.lake.url(), self.snapshot())
    }
}

enum Opened {
    Same(Arc<LakeTable>),
    New(Arc<LakeTable>),
    Broken(TableName, String),
    Absent,
}

/// Every table at one moment. Immutable.
#[derive(Clone, Default)]
pub struct CatalogSnapshot {
    /// Grows with every change; a ticket names it.
    pub generation: u64,
    /// Tables that are there and cannot be opened, with the reason.
    pub broken: Vec<(TableName, String)>,
    tables: BTreeMap<String, BTreeMap<String, Arc<LakeTable>>>,
    /// Kept so that they are followed like the others; nobody is shown them.
    dropped: BTreeMap<TableName, Arc<LakeTable>>,
}

impl CatalogSnapshot {
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub fn tables(&self, schema: &str) -> impl Iterator<Item = &Arc<LakeTable>> {
        self.tables.get(schema).into_iter().flat_map(BTreeMap::values)
    }

    pub fn table(&self, schema: &str, table: &str) -> Option<&Arc<LakeTable>> {
        self.tables.get(schema)?.get(table)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<LakeTable>> {
        self.tables.values().flat_map(BTreeMap::values)
    }

    /// The tables that are dropped: nobody is shown them, and what landed for them is not loaded again.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = &Arc<LakeTable>> {
        self.dropped.values()
    }

    /// The same moment with another version of one table.
    #[must_use]
    pub fn with(&self, table: Arc<LakeTable>) -> Self {
        let mut other = self.clone();
        other.insert(table);
        other
    }

    /// The table of that name, dropped or not.
    pub fn known(&self, name: &TableName) -> Option<&Arc<LakeTable>> {
        self.table(&name.schema, &name.table).or_else(|| self.dropped.get(name))
    }

    fn len(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    fn insert(&mut self, table: Arc<LakeTable>) {
        let name = table.name().clone();
        if !table.is_dropped() {
            self.dropped.remove(&name);
            self.tables.entry(name.schema).or_default().insert(name.table, table);
            return;
        }
        if let Some(tables) = self.tables.get_mut(&name.schema) {
            tables.remove(&name.table);
            if tables.is_empty() {
                self.tables.remove(&name.schema);
            }
        }
        self.dropped.insert(name, table);
    }
}

impl std::fmt::Debug for CatalogSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "generation {}, {} tables, {} broken",
            self.generation,
            self.len(),
            self.broken.len()
        )
    }
}
