//! `CREATE MODEL`, `ALTER MODEL … SET VERSION`, `ALTER MODEL … SET FUNCTION` and `DROP MODEL`.
//!
//! Training reads what its author may see, through the same governed session as any query, then runs on threads of
//! its own that stand behind those of queries. A client that goes away cancels it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use datafusion::execution::SessionState;
use datafusion::scalar::ScalarValue;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, Tags};
use labhouse_udfs::{Goal, Kind, TrainOptions};

use super::training::TrainingRows;
use super::{LoadedModel, ModelRecord};
use crate::auth::marks;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::statement::{CreateModel, ModelSource, lake_name_from_text};
use crate::query::write::{lake_error, require};
use crate::session::{Governed, model_object};

/// The options of `CREATE MODEL`; anything else is refused by name.
const OPTIONS: [&str; 9] = [
    "target",
    "kind",
    "goal",
    "time_budget_s",
    "function",
    "candidates",
    "seed",
    "group_by",
    "replay",
];
const TIME_BUDGET_S: u64 = 60;
const TIME_BUDGET_S_MAX: u64 = 3_600;
const FUNCTION_BYTES_MAX: usize = 64;

/// What the options say, checked.
struct Options {
    train: TrainOptions,
    function: Option<String>,
    candidates: Option<String>,
    /// The version whose training is to be repeated.
    replay: Option<u64>,
}

impl Engine {
    pub(crate) async fn create_model(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: CreateModel,
        parameters: Vec<ScalarValue>,
        sql: &str,
    ) -> Result<i64, QueryError> {
        let name = statement.name.clone();
        let existing = governed.world().models.get(&name);
        let department = name.schema.clone();
        let tags = existing
            .as_ref()
            .map(|model| governed.model_tags(model))
            .unwrap_or_default();
        require(governed, &department, &model_object(&name), &tags, Action::Train)?;
        if existing.is_some() && !statement.or_replace {
            return Err(is_there(&name));
        }
        let query = match statement.source {
            ModelSource::Query(query) => query,
            ModelSource::File(_) if !parameters.is_empty() => {
                return Err(QueryError::Invalid("CREATE MODEL … FROM has no parameters".into()));
            }
            ModelSource::File(file) => return self.import_model(governed, &name, statement.options, &file, sql).await,
        };
        let mut options = self.options(governed, &name, statement.options)?;
        let replayed = match options.replay {
            Some(version) => Some(self.replayed(&name, version).await?),
            None => None,
        };
        let source = self.source(governed, state, query, parameters).await?;
        if let Some(replayed) = &replayed {
            replayed.check(governed, &source.versions)?;
            options.train.replay = Some(replayed.had_time_for(&options.train)?);
        }

        let rows_shown = governed.rows_shown(source.versions.keys());
        let function = options.function;
        let budget = options.train.time_budget;
        let training = self
            .trainings
            .open(governed.statement(), &name, &governed.who().name, budget);
        let rows = TrainingRows {
            batches: source.batches,
            memory: source.memory,
        };
        let trained = self.train(&training, rows, options.train).await;
        training.ended(trained.is_ok());
        let model = trained?;
        if let Some(replayed) = &replayed {
            replayed.repeated(&model)?;
        }

        let record = ModelRecord {
            schema: name.schema.clone(),
            name: name.table.clone(),
            version: 0,
            dropped: false,
            function: function.clone(),
            candidates: options.candidates,
            department,
            author: governed.who().name.clone(),
            created_at: Utc::now(),
            sql: sql.to_owned(),
            rows: model.rows(),
            data: source.versions,
            tags: crate::query::tags::all(&source.schema, &source.tags),
            policy_generation: governed.world().policies.generation(),
            timings: model.timings().to_vec(),
            restored: None,
            bound_at: governed.bound_at(&name, function.as_deref()),
            rows_shown: Some(rows_shown),
            of_provider: marks::is_of_provider(governed.who()),
            columns: source.lineage.columns,
        };
        let rows = i64::try_from(record.rows).map_err(QueryError::internal)?;
        governed.decided().await?;
        let bytes = model.to_bytes();
        let stored = match statement.or_replace {
            true => self.models.store(record, &bytes).await.map(Some),
            false => self.models.store_new(record, &bytes).await,
        };
        // Another statement of that name came first.
        let version = stored.map_err(lake_error)?.ok_or_else(|| is_there(&name))?;
        governed.wrote(version);
        tracing::info!(model = %name, version, author = governed.who().name, rows, "model stored");
        Ok(rows)
    }

    /// Brings an older version back, as the next one: versions are never rewritten. Who may train the model may do so.
    pub(crate) async fn set_model_version(
        &self,
        governed: &Governed,
        name: &TableName,
        version: u64,
    ) -> Result<i64, QueryError> {
        let missing = || QueryError::NotFound(format!("model 'lab.{name}' not found"));
        let model = governed.world().models.get(name).ok_or_else(missing)?;
        // Whoever may not even ask the model is told what a stranger is told.
        if governed.model(name, "model_card").is_none() {
            return Err(missing());
        }
        let allowed = |tags: &Tags| require(governed, model.department(), &model_object(name), tags, Action::Train);
        allowed(&governed.model_tags(&model))?;
        let Some((record, bytes)) = self.models.version(name, version).await.map_err(lake_error)? else {
            return Err(QueryError::NotFound(format!(
                "the model lab.{name} has no version {version}; its newest is {}",
                model.record().version
            )));
        };
        // The older version may be of stricter data than the present one.
        allowed(&record.tags)?;
        let models = &governed.world().models;
        let (function, bound_at) = match (models.function_of(&model), &record.function) {
            (Some(present), _) => (Some(present.to_owned()), model.record().bound_at),
            // What answers for another model by now stays with that.
            (None, Some(older)) if models.by_function(older).is_none() => {
                self.check_function(governed, name, older)?;
                (Some(older.clone()), None)
            }
            (None, _) => (None, None),
        };
        let record = ModelRecord {
            restored: Some(version),
            function,
            bound_at,
            ..record
        };
        governed.decided().await?;
        let stored = self.models.store(record, &bytes).await.map_err(lake_error)?;
        governed.wrote(stored);
        tracing::info!(model = %name, version, stored, who = governed.who().name, "model version brought back");
        Ok(0)
    }

    /// Makes a function ask this model, and no longer the one that it asked before, at once. Who may train both may do so.
    pub(crate) async fn set_model_function(
        &self,
        governed: &Governed,
        name: &TableName,
        function: String,
    ) -> Result<i64, QueryError> {
        let missing = || QueryError::NotFound(format!("model 'lab.{name}' not found"));
        let models = &governed.world().models;
        let model = models.get(name).ok_or_else(missing)?;
        if governed.model(name, "model_card").is_none() {
            return Err(missing());
        }
        let allowed = |model: &LoadedModel| {
            let object = model_object(model.name());
            require(
                governed,
                model.department(),
                &object,
                &governed.model_tags(model),
                Action::Train,
            )
        };
        allowed(&model)?;
        let before = models.by_function(&function).filter(|before| before.name() != name);
        match before {
            Some(before) => {
                self.check_function_name(&function)?;
                // Whoever may not make it anew may not take its function either, nor hear which one has it.
                let may = allowed(before).is_ok() && governed.may_bind(&before.name().schema, &function);
                if !may || !governed.may_bind(&name.schema, &function) {
                    return Err(taken(&function));
                }
            }
            None => self.check_function(governed, name, &function)?,
        }
        let stored = self.models.version(name, model.record().version).await;
        let Some((record, bytes)) = stored.map_err(lake_error)? else {
            return Err(missing());
        };
        let record = ModelRecord {
            function: Some(function),
            bound_at: Some(Utc::now()),
            ..record
        };
        governed.decided().await?;
        let stored = self.models.store(record, &bytes).await.map_err(lake_error)?;
        governed.wrote(stored);
        tracing::info!(model = %name, stored, who = governed.who().name, "the model's function is bound");
        Ok(0)
    }

    pub(crate) async fn drop_model(
        &self,
        governed: &Governed,
        name: &TableName,
        if_exists: bool,
    ) -> Result<i64, QueryError> {
        let missing = || QueryError::NotFound(format!("model 'lab.{name}' not found"));
        let Some(model) = governed.world().models.get(name) else {
            return if if_exists { Ok(0) } else { Err(missing()) };
        };
        if !governed
            .decide(
                model.department(),
                &model_object(name),
                &governed.model_tags(&model),
                Action::Drop,
            )
            .allowed
        {
            // Whoever may not even ask the model is told what a stranger is told.
            let asks = governed.model(name, "model_card").is_some();
            return match (asks, if_exists) {
                (true, _) => require(
                    governed,
                    model.department(),
                    &model_object(name),
                    &governed.model_tags(&model),
                    Action::Drop,
                )
                .map(|()| 0),
                (false, true) => Ok(0),
                (false, false) => Err(missing()),
            };
        }
        let record = ModelRecord {
            dropped: true,
            author: governed.who().name.clone(),
            created_at: Utc::now(),
            ..model.record().clone()
        };
        governed.decided().await?;
        let version = self.models.store(record, &[]).await.map_err(lake_error)?;
        governed.wrote(version);
        Ok(0)
    }

    fn options(
        &self,
        governed: &Governed,
        name: &TableName,
        mut given: BTreeMap<String, String>,
    ) -> Result<Options, QueryError> {
        if let Some(unknown) = given.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            return Err(QueryError::Invalid(format!(
                "CREATE MODEL has no option {unknown}; its options are {}",
                OPTIONS.join(", ")
            )));
        }
        let Some(target) = given.remove("target") else {
            return Err(QueryError::Invalid(
                "CREATE MODEL needs OPTIONS (target = '<column to predict>', …)".into(),
            ));
        };
        let kind: Kind = match given.remove("kind") {
            Some(kind) => kind
                .parse()
                .map_err(|error: labhouse_udfs::TrainError| QueryError::Invalid(error.to_string()))?,
            None => Kind::Auto,
        };
        let budget = number(&mut given, "time_budget_s")?.unwrap_or(TIME_BUDGET_S);
        if !(1..=TIME_BUDGET_S_MAX).contains(&budget) {
            return Err(QueryError::Invalid(format!(
                "time_budget_s must be 1 to {TIME_BUDGET_S_MAX}"
            )));
        }
        let goal: Goal = match given.remove("goal") {
            Some(goal) => goal
                .parse()
                .map_err(|error: labhouse_udfs::TrainError| QueryError::Invalid(error.to_string()))?,
            None => Goal::Max,
        };
        let seed = number(&mut given, "seed")?.unwrap_or(0);
        let replay = number(&mut given, "replay")?;
        let function = given.remove("function");
        if let Some(function) = &function {
            self.check_function(governed, name, function)?;
        }
        let candidates = given.remove("candidates");
        check_candidates(governed, candidates.as_deref())?;
        let train = TrainOptions {
            target,
            kind,
            goal,
            time_budget: Duration::from_secs(budget),
            seed,
            group_by: given.remove("group_by"),
            threads: self.config.limits.training_threads(),
            replay: None,
        };
        Ok(Options {
            replay,
            train,
            function,
            candidates,
        })
    }

    pub(super) fn check_function(
        &self,
        governed: &Governed,
        name: &TableName,
        function: &str,
    ) -> Result<(), QueryError> {
        self.check_function_name(function)?;
        let taken_by = governed
            .world()
            .models
            .by_function(function)
            .filter(|model| model.name() != name);
        match taken_by {
            Some(_) => Err(taken(function)),
            None => require(
                governed,
                &name.schema,
                &format!("fn/{function}"),
                &Tags::default(),
                Action::Train,
            ),
        }
    }

    fn check_function_name(&self, function: &str) -> Result<(), QueryError> {
        let letters = function
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let starts = function.starts_with(|c: char| c.is_ascii_lowercase());
        if !letters || !starts || function.len() > FUNCTION_BYTES_MAX {
            return Err(QueryError::Invalid(format!(
                "function = '{function}': use 1 to {FUNCTION_BYTES_MAX} of a-z, 0-9 and _, starting with a letter"
            )));
        }
        if self.sessions.has_function(function)
            || [crate::search::NAME, crate::search::FACETS, crate::query::CHANGES].contains(&function)
            || [&super::functions::NAMES[..], &super::scalar::NAMES[..]]
                .concat()
                .contains(&function)
        {
            return Err(QueryError::Invalid(format!(
                "{function} is a function of the server; choose another name"
            )));
        }
        Ok(())
    }
}

fn taken(function: &str) -> QueryError {
    QueryError::Conflict(format!(
        "the function {function} answers for another model; drop that one first, choose another name, or let somebody who may train both write ALTER MODEL … SET FUNCTION '{function}'"
    ))
}

/// The table of candidates, if there is one, must be one that the author sees.
pub(super) fn check_candidates(governed: &Governed, candidates: Option<&str>) -> Result<(), QueryError> {
    let Some(candidates) = candidates else { return Ok(()) };
    let table = lake_name_from_text(candidates)?;
    let visible = governed
        .access(&table.schema, &table.table)
        .map_err(crate::query::errors::from_datafusion)?;
    match visible {
        Some(_) => Ok(()),
        None => Err(QueryError::NotFound(format!(
            "candidates: table 'lab.{table}' not found"
        ))),
    }
}

fn is_there(name: &TableName) -> QueryError {
    QueryError::Exists(format!(
        "the model {name} is there already; write CREATE OR REPLACE MODEL"
    ))
}

fn number(given: &mut BTreeMap<String, String>, key: &str) -> Result<Option<u64>, QueryError> {
    given
        .remove(key)
        .map(|text| {
            text.parse()
                .map_err(|_| QueryError::Invalid(format!("{key} = {text}: give a whole number")))
        })
        .transpose()
}
