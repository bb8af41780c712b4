//! Models in the lake: stored under `_labhouse/models/`, loaded at start, looked up per statement.
//!
//! A model is one object: a line of JSON that says who made it of what, then the model's own bytes. A version is
//! written once and never changed; dropping a model writes a version that says so. Which model answers to a function
//! follows from these objects alone, so a second server on the same lake answers the same.

pub(crate) mod calls;
pub(crate) mod functions;
mod import;
mod plate;
mod reading;
mod replay;
mod runs;
pub(crate) mod scalar;
mod sent;
mod series;
mod statement;
#[cfg(test)]
mod tests;
mod training;
mod worked;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::object_store::{self, ObjectStoreExt};
use labhouse_catalog::{Lake, LakeError, Put, TableName};
use labhouse_policies::Tags;
use labhouse_udfs::{Model, Timing};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use sent::{SentModel, SentModels};
pub(crate) use training::{Trainings, on_a_thread};

use crate::query::QueryError;

const ROOT: &str = "_labhouse/models";
/// How often a model's next number is looked for, when others take it first.
const TRIES_MAX: usize = 32;
/// Principals whose answers one model remembers, each in about six megabytes at most.
const ASKERS_MAX: usize = 16;

/// What is known of a model besides its numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) dropped: bool,
    pub(crate) function: Option<String>,
    pub(crate) candidates: Option<String>,
    pub(crate) department: String,
    pub(crate) author: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) sql: String,
    pub(crate) rows: usize,
    /// Versions of the tables it was trained on.
    pub(crate) data: BTreeMap<String, u64>,
    pub(crate) tags: Tags,
    pub(crate) policy_generation: u64,
    /// How long each candidate took in training.
    #[serde(default)]
    pub(crate) timings: Vec<Timing>,
    /// The version that this one brings back.
    #[serde(default)]
    pub(crate) restored: Option<u64>,
    /// When its function was taken over from another model, if it was.
    #[serde(default)]
    pub(crate) bound_at: Option<DateTime<Utc>>,
    /// Of each table that its author saw some rows of, which: a digest of the row filter. None in older records.
    #[serde(default)]
    pub(crate) rows_shown: Option<BTreeMap<String, String>>,
    /// Whether the login that trained it is not of the users file.
    #[serde(default)]
    pub(crate) of_provider: bool,
    /// For each column of the training data the `schema.table.column` that it comes from.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, BTreeSet<String>>,
}

impl ModelRecord {
    fn table_name(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            table: self.name.clone(),
        }
    }
}

/// A model ready to answer.
pub(crate) struct LoadedModel {
    record: ModelRecord,
    name: TableName,
    model: Arc<Model>,
    /// The model as each principal asks it, the one who asked last at the end.
    askers: Mutex<VecDeque<(String, Arc<Model>)>>,
}

/// All models of one moment.
#[derive(Default)]
pub(crate) struct ModelSnapshot {
    models: BTreeMap<(String, String), Arc<LoadedModel>>,
    functions: BTreeMap<String, Arc<LoadedModel>>,
    /// Latest stored version of each name, dropped ones included.
    versions: BTreeMap<(String, String), u64>,
}

/// Keeps the models in step with the lake.
pub(crate) struct ModelStore {
    lake: Arc<Lake>,
    snapshot: ArcSwap<ModelSnapshot>,
    refreshing: tokio::sync::Mutex<()>,
}

impl LoadedModel {
    pub(crate) fn name(&self) -> &TableName {
        &self.name
    }
    pub(crate) fn record(&self) -> &ModelRecord {
        &self.record
    }
    pub(crate) fn model(&self) -> &Arc<Model> {
        &self.model
    }
    /// The model as somebody asks it: what others asked does not make his answers quicker.
    pub(crate) fn of(&self, who: &str) -> Arc<Model> {
        let mut askers = self.askers.lock();
        let at = askers.iter().position(|(name, _)| name == who);
        let asker = match at.and_then(|at| askers.remove(at)) {
            Some(asker) => asker,
            None => (who.to_owned(), Arc::new(self.model.apart())),
        };
        let model = Arc::clone(&asker.1);
        askers.push_back(asker);
        if askers.len() > ASKERS_MAX {
            askers.pop_front();
        }
        model
    }
    pub(crate) fn function(&self) -> Option<&str> {
        self.record.function.as_deref()
    }
    pub(crate) fn department(&self) -> &str {
        &self.record.department
    }
}

impl ModelSnapshot {
    pub(crate) fn get(&self, name: &TableName) -> Option<Arc<LoadedModel>> {
        self.models.get(&(name.schema.clone(), name.table.clone())).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<LoadedModel>> {
        self.models.values()
    }

    /// Function names and the models that answer to them.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, &Arc<LoadedModel>)> {
        self.functions.iter().map(|(name, model)| (name.as_str(), model))
    }

    pub(crate) fn by_function(&self, function: &str) -> Option<&Arc<LoadedModel>> {
        self.functions.get(function)
    }

    /// The function that asks a model: of two that claim one, only one has it.
    pub(crate) fn function_of<'a>(&self, model: &'a LoadedModel) -> Option<&'a str> {
        let function = model.function()?;
        let bound = self.by_function(function)?;
        (bound.name() == model.name()).then_some(function)
    }

    fn next_version(&self, name: &TableName) -> u64 {
        self.versions
            .get(&(name.schema.clone(), name.table.clone()))
            .map_or(1, |version| version + 1)
    }
}

impl ModelStore {
    /// Loads all models of a lake.
    pub(crate) async fn open(lake: Arc<Lake>) -> Result<Self, LakeError> {
        let store = Self {
            lake,
            snapshot: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::default(),
        };
        store.refresh().await?;
        Ok(store)
    }

    pub(crate) fn snapshot(&self) -> Arc<ModelSnapshot> {
        self.snapshot.load_full()
    }

    /// Takes over what this or another server stored meanwhile.
    pub(crate) async fn refresh(&self) -> Result<(), LakeError> {
        let _one = self.refreshing.lock().await;
        let known = self.snapshot();
        let mut latest: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        for object in self.lake.list(ROOT).await? {
            let path = object.location.to_string();
            let Some((name, version)) = parse_path(&path) else {
                continue;
            };
            let newest = latest.entry(name).or_insert_with(|| (0, String::new()));
            if version > newest.0 {
                *newest = (version, path);
            }
        }
        let versions = latest
            .iter()
            .map(|(name, (version, _))| (name.clone(), *version))
            .collect();
        if versions == known.versions {
            return Ok(());
        }
        let mut models = BTreeMap::new();
        for (name, (version, path)) in latest {
            let kept = known.models.get(&name).filter(|model| model.record.version == version);
            let model = match kept {
                Some(model) => Some(Arc::clone(model)),
                None => self.load(&path).await?,
            };
            if let Some(model) = model {
                models.insert(name, model);
            }
        }
        self.snapshot.store(Arc::new(ModelSnapshot {
            functions: bind(&models),
            models,
            versions,
        }));
        Ok(())
    }

    /// Stores a model as the next version of its name and makes it answer. Of two that are stored at once the later one gets the number after.
    pub(crate) async fn store(&self, mut record: ModelRecord, bytes: &[u8]) -> Result<u64, LakeError> {
        let name = record.table_name();
        let mut tries = 0;
        loop {
            self.refresh().await?;
            record.version = self.snapshot().next_version(&name);
            match self.put(&name, &record, bytes).await {
                // What was worked out for minutes is not lost to whoever was a moment earlier.
                Err(error) if error.is_there_already() && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.refresh().await?;
        Ok(record.version)
    }

    /// The same where nothing may answer to the name yet; none if something does.
    pub(crate) async fn store_new(&self, mut record: ModelRecord, bytes: &[u8]) -> Result<Option<u64>, LakeError> {
        let name = record.table_name();
        let mut tries = 0;
        loop {
            self.refresh().await?;
            let snapshot = self.snapshot();
            if snapshot.get(&name).is_some() {
                return Ok(None);
            }
            record.version = snapshot.next_version(&name);
            match self.put(&name, &record, bytes).await {
                Err(error) if error.is_there_already() && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.refresh().await?;
        Ok(Some(record.version))
    }

    async fn put(&self, name: &TableName, record: &ModelRecord, bytes: &[u8]) -> Result<(), LakeError> {
        let mut object = serde_json::to_vec(record).unwrap_or_default();
        object.push(b'\n');
        object.extend_from_slice(bytes);
        let path = object_path(name, record.version);
        // Create, not overwrite: of two servers storing the same version one is told so.
        self.lake.put(&path, Bytes::from(object), Put::Create).await
    }

    /// A stored version: its record and the model's bytes. `None` if there is none, or it says that the model was dropped.
    pub(crate) async fn version(
        &self,
        name: &TableName,
        version: u64,
    ) -> Result<Option<(ModelRecord, Vec<u8>)>, LakeError> {
        stored(&self.lake, name, version).await
    }

    /// A file of the lake, of at most so many bytes.
    async fn file(&self, path: &str, bytes_max: usize) -> Result<Bytes, QueryError> {
        let missing = || QueryError::NotFound(format!("there is no file {path} in the lake"));
        let place = ObjectPath::parse(path).map_err(|_| missing())?;
        let found = match self.lake.store().get(&place).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(unread(&error)),
        };
        if found.meta.size > bytes_max as u64 {
            return Err(QueryError::Invalid(format!(
                "{path} has {} bytes, at most {bytes_max} are read",
                found.meta.size
            )));
        }
        found.bytes().await.map_err(|error| unread(&error))
    }

    /// A model that cannot be read is left out and logged: one bad object must not silence the others.
    async fn load(&self, path: &str) -> Result<Option<Arc<LoadedModel>>, LakeError> {
        let Some(object) = self.lake.get(path).await? else {
            return Ok(None);
        };
        let Some((head, bytes)) = split_line(&object) else {
            tracing::error!(path, "not a model: it has no first line; remove it");
            return Ok(None);
        };
        let record: ModelRecord = match serde_json::from_slice(head) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(path, %error, "not a model's record; remove it");
                return Ok(None);
            }
        };
        if record.dropped {
            return Ok(None);
        }
        match Model::from_bytes(bytes) {
            Ok(model) => {
                let model = Arc::new(model);
                let name = record.table_name();
                Ok(Some(Arc::new(LoadedModel {
                    record,
                    name,
                    model,
                    askers: Mutex::default(),
                })))
            }
            Err(error) => {
                tracing::error!(path, %error, "the model cannot be read; train it again");
                Ok(None)
            }
        }
    }
}

/// As [`ModelStore::version`], of any lake.
async fn stored(lake: &Lake, name: &TableName, version: u64) -> Result<Option<(ModelRecord, Vec<u8>)>, LakeError> {
    let Some(object) = lake.get(&object_path(name, version)).await? else {
        return Ok(None);
    };
    Ok(split_line(&object).and_then(|(head, bytes)| {
        let record: ModelRecord = serde_json::from_slice(head).ok()?;
        (!record.dropped).then(|| (record, bytes.to_vec()))
    }))
}

fn unread(error: &object_store::Error) -> QueryError {
    tracing::error!(%error, "the lake");
    QueryError::Unavailable("the lake's storage did not give the file; try again, and tell the administrator".into())
}

/// Who answers to which function: the model that took it over last, else the oldest that claims it.
fn bind(models: &BTreeMap<(String, String), Arc<LoadedModel>>) -> BTreeMap<String, Arc<LoadedModel>> {
    let mut claims: Vec<&Arc<LoadedModel>> = models.values().collect();
    claims.sort_by_key(|model| {
        (
            std::cmp::Reverse(model.record.bound_at),
            model.record.created_at,
            model.record.schema.clone(),
            model.record.name.clone(),
        )
    });
    let mut functions = BTreeMap::new();
    for model in claims {
        if let Some(function) = model.function() {
            functions
                .entry(function.to_owned())
                .or_insert_with(|| Arc::clone(model));
        }
    }
    functions
}

fn object_path(name: &TableName, version: u64) -> String {
    format!("{ROOT}/{}/{}/{version:020}.json", name.schema, name.table)
}

/// `_labhouse/models/<schema>/<name>/<version>.json`
fn parse_path(path: &str) -> Option<((String, String), u64)> {
    let mut parts = path.strip_prefix(ROOT)?.strip_prefix('/')?.split('/');
    let (schema, name, file) = (parts.next()?, parts.next()?, parts.next()?);
    let version = file.strip_suffix(".json")?.parse().ok()?;
    parts
        .next()
        .is_none()
        .then(|| ((schema.to_owned(), name.to_owned()), version))
}

fn split_line(object: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = object.iter().position(|byte| *byte == b'\n')?;
    Some((object.get(..at)?, object.get(at + 1..)?))
}
