//! The records of alerts in the lake: numbered objects, each made only if its number is free.
//!
//! `_labhouse/alerts/<schema>/<name>/<number>.json`. The highest number is the record. Whoever wants to change it makes the
//! next one; of two who want to, one is told to look again. Old numbers are removed when nobody can still be at work on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::Utc;
use labhouse_catalog::{Lake, LakeError, Put, TableName};

use super::Record;

const ROOT: &str = "_labhouse/alerts";
/// Attempts to make the next number: each one lost was won by another server.
const ATTEMPTS: usize = 16;
/// Numbers that stay behind the newest, and for how long every number stays: a server that stood still must not find
/// the number free that it was about to make.
const KEPT: u64 = 3;
const KEPT_FOR: Duration = Duration::from_secs(3_600);

/// A record and its number.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) number: u64,
    pub(crate) record: Record,
}

type Snapshot = BTreeMap<TableName, Arc<Stored>>;

/// Keeps the alerts in step with the lake.
pub(crate) struct AlertStore {
    lake: Arc<Lake>,
    snapshot: ArcSwap<Snapshot>,
    /// One publishes at a time.
    publishing: tokio::sync::Mutex<()>,
}

impl AlertStore {
    /// Loads all alerts of a lake.
    pub(crate) async fn open(lake: Arc<Lake>) -> Result<Self, LakeError> {
        let store = Self {
            lake,
            snapshot: ArcSwap::default(),
            publishing: tokio::sync::Mutex::default(),
        };
        store.refresh().await?;
        Ok(store)
    }

    /// All records that are known, dropped ones included.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The alerts there are.
    pub(crate) fn all(&self) -> Vec<(TableName, Arc<Stored>)> {
        let snapshot = self.snapshot();
        let there = snapshot.iter().filter(|(_, stored)| !stored.record.dropped);
        there.map(|(name, stored)| (name.clone(), Arc::clone(stored))).collect()
    }

    pub(crate) fn get(&self, name: &TableName) -> Option<Arc<Stored>> {
        self.snapshot()
            .get(name)
            .filter(|stored| !stored.record.dropped)
            .cloned()
    }

    /// Takes over what other servers made.
    pub(crate) async fn refresh(&self) -> Result<(), LakeError> {
        let mut newest: BTreeMap<TableName, (u64, String)> = BTreeMap::new();
        for object in self.lake.list(ROOT).await? {
            let path = object.location.to_string();
            let Some((name, number)) = parse(&path) else { continue };
            let known = newest.entry(name).or_insert_with(|| (0, String::new()));
            if number > known.0 {
                *known = (number, path);
            }
        }
        for (name, (number, path)) in newest {
            if self.snapshot().get(&name).is_some_and(|stored| stored.number >= number) {
                continue;
            }
            if let Some(stored) = self.load(number, &path).await? {
                self.publish(name, stored).await;
            }
        }
        Ok(())
    }

    /// Changes a record: `change` sees the newest one, dropped ones included, and gives what is to be, or nothing if
    /// nothing is. Gives what is there then, and whether this call made it.
    pub(crate) async fn update<E: From<LakeError>>(
        &self,
        name: &TableName,
        mut change: impl FnMut(Option<&Record>) -> Result<Option<Record>, E>,
    ) -> Result<(Option<Arc<Stored>>, bool), E> {
        for _ in 0..ATTEMPTS {
            let current = self.newest(name).await?;
            let record = current.as_ref().map(|stored| &stored.record);
            let Some(next) = change(record)? else {
                return Ok((current, false));
            };
            let number = current.as_ref().map_or(1, |stored| stored.number + 1);
            if let Some(stored) = self.make(name, number, next).await? {
                return Ok((Some(stored), true));
            }
        }
        Err(E::from(LakeError::Busy {
            table: name.clone(),
            attempts: ATTEMPTS,
        }))
    }

    /// Makes a number if it is free; flushed to the disk when this returns.
    async fn make(&self, name: &TableName, number: u64, record: Record) -> Result<Option<Arc<Stored>>, LakeError> {
        let bytes = serde_json::to_vec(&record).map_err(|error| LakeError::Record {
            path: path(name, number),
            reason: error.to_string(),
        })?;
        let target = path(name, number);
        match self.lake.put(&target, Bytes::from(bytes), Put::Create).await {
            Ok(()) => {}
            Err(error) if error.is_there_already() => return Ok(None),
            Err(error) => return Err(error),
        }
        self.lake.flush(vec![target]).await?;
        let stored = Arc::new(Stored { number, record });
        self.publish(name.clone(), Arc::clone(&stored)).await;
        self.prune(name, number).await;
        Ok(Some(stored))
    }

    /// The newest number of one name, as the lake has it now.
    async fn newest(&self, name: &TableName) -> Result<Option<Arc<Stored>>, LakeError> {
        for _ in 0..ATTEMPTS {
            let numbers = self.numbers(name).await?;
            let Some((number, _)) = numbers.last() else {
                return Ok(None);
            };
            let known = self
                .snapshot()
                .get(name)
                .filter(|stored| stored.number >= *number)
                .cloned();
            if known.is_some() {
                return Ok(known);
            }
            if let Some(stored) = self.load(*number, &path(name, *number)).await? {
                self.publish(name.clone(), Arc::clone(&stored)).await;
                return Ok(Some(stored));
            }
        }
        Err(LakeError::Record {
            path: format!("{ROOT}/{}/{}", name.schema, name.table),
            reason: "its newest number cannot be read".into(),
        })
    }

    /// The numbers of one name with their times, rising.
    async fn numbers(&self, name: &TableName) -> Result<Vec<(u64, chrono::DateTime<Utc>)>, LakeError> {
        let listed = self
            .lake
            .list(&format!("{ROOT}/{}/{}", name.schema, name.table))
            .await?;
        let mut numbers: Vec<_> = listed
            .iter()
            .filter_map(|object| Some((parse(object.location.as_ref())?.1, object.last_modified)))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// One that cannot be read is left out and logged: one bad object must not silence the others.
    async fn load(&self, number: u64, path: &str) -> Result<Option<Arc<Stored>>, LakeError> {
        let Some(bytes) = self.lake.get(path).await? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(Arc::new(Stored { number, record }))),
            Err(error) => {
                tracing::error!(path, %error, "not an alert's record; remove it, or serve the lake with the version that wrote it");
                Ok(None)
            }
        }
    }

    async fn publish(&self, name: TableName, stored: Arc<Stored>) {
        let _one = self.publishing.lock().await;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        if snapshot.get(&name).is_none_or(|known| known.number < stored.number) {
            snapshot.insert(name, stored);
            self.snapshot.store(Arc::new(snapshot));
        }
    }

    /// Removes numbers that nobody needs; what is left over goes the next time.
    async fn prune(&self, name: &TableName, newest: u64) {
        if !newest.is_multiple_of(KEPT * 8) {
            return;
        }
        let Ok(numbers) = self.numbers(name).await else { return };
        let old = |at: &chrono::DateTime<Utc>| {
            let age = Utc::now().signed_duration_since(*at).to_std();
            age.is_ok_and(|age| age > KEPT_FOR)
        };
        for (number, at) in numbers {
            if number + KEPT < newest
                && old(&at)
                && let Err(error) = self.lake.delete(&path(name, number)).await
            {
                tracing::debug!(%error, "an old number of an alert stays");
            }
        }
    }
}

fn path(name: &TableName, number: u64) -> String {
    format!("{ROOT}/{}/{}/{number:020}.json", name.schema, name.table)
}

/// `_labhouse/alerts/<schema>/<name>/<number>.json`
fn parse(path: &str) -> Option<(TableName, u64)> {
    let mut parts = path.strip_prefix(ROOT)?.strip_prefix('/')?.split('/');
    let (schema, table, file) = (parts.next()?, parts.next()?, parts.next()?);
    let number = file.strip_suffix(".json")?.parse().ok()?;
    let name = TableName {
        schema: schema.to_owned(),
        table: table.to_owned(),
    };
    parts.next().is_none().then_some((name, number))
}
