//! Models and their functions in one principal's view.
//!
//! A grant opens a model, not what it was trained on: of a column that the principal may not see as it is the model tells him nothing, and of one
//! that he sees in some rows no values ([`Sight`]). Its tags are those of its training data, then and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::logical_expr::ScalarUDF;
use labhouse_catalog::TableName;
use labhouse_policies::{Access, Action, Decision, Tags};
use labhouse_udfs::{Model, Sight, predict_udf_to};

use super::governed::{Governed, Resolved, model_object};
use crate::auth::{hex_digest, marks};
use crate::models::LoadedModel;
use crate::models::functions::NAMES as TABLE_FUNCTIONS;
use crate::query::statement::CATALOG;

/// How much of a training column somebody sees, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    /// Its name: its values are masked, or nobody can say any more.
    Name,
    /// Its values in some rows.
    Partly,
    Whole,
}

/// What was worked out about models in one statement.
#[derive(Default)]
pub(super) struct Known {
    sights: BTreeMap<TableName, Arc<Sight>>,
    tags: BTreeMap<TableName, Arc<Tags>>,
}

impl Governed {
    /// The functions of models that the principal may call, as he may know them.
    pub(crate) fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        let functions = self.shown_functions().into_iter();
        functions
            .map(|(name, model)| Arc::new(predict_udf_to(name, self.asked(model), self.sight(model))))
            .collect()
    }

    /// The model of that name, when the principal may ask it through `function`.
    pub(crate) fn model(&self, name: &TableName, function: &str) -> Option<Arc<LoadedModel>> {
        let model = self.world.models.get(name)?;
        if !self.may_ask(&model, function) {
            return None;
        }
        self.answers(&model);
        Some(model)
    }

    /// The model that a function asks, when the principal may call it.
    pub(crate) fn by_function(&self, function: &str) -> Option<Arc<LoadedModel>> {
        let model = self.world.models.by_function(function)?;
        self.may_call(function, model).then(|| Arc::clone(model))
    }

    /// The models that have answered in the statement.
    pub(crate) fn answering(&self) -> Vec<Arc<LoadedModel>> {
        let given = self.given.lock();
        let models = given.models.iter();
        models.filter_map(|name| self.world.models.get(name)).collect()
    }

    /// Whether this very model would answer the principal through `function` now: one of its own, or one that takes its name.
    pub(crate) fn would_answer(&self, function: &str, model: &Arc<LoadedModel>) -> bool {
        let models = &self.world.models;
        let is_present = models.get(model.name()).is_some_and(|now| Arc::ptr_eq(&now, model));
        is_present
            && match models.by_function(function) {
                Some(own) => Arc::ptr_eq(own, model) && self.may_call(function, model),
                None => self.may_ask(model, function),
            }
    }

    /// Whether the principal may give a name to a function of a department's models.
    pub(crate) fn may_bind(&self, department: &str, function: &str) -> bool {
        let object = format!("fn/{function}");
        self.decide(department, &object, &Tags::default(), Action::Train)
            .allowed
    }

    /// Since when a model that is made anew has its function from another one.
    pub(crate) fn bound_at(&self, name: &TableName, function: Option<&str>) -> Option<DateTime<Utc>> {
        let present = self.world.models.get(name)?;
        let same = function.is_some() && present.function() == function;
        present.record().bound_at.filter(|_| same)
    }

    /// The model as the principal asks it.
    pub(crate) fn asked(&self, model: &LoadedModel) -> Arc<Model> {
        model.of(&self.who.name)
    }

    /// A model answers in the statement through the function of its own.
    pub(crate) fn answers(&self, model: &LoadedModel) {
        self.notes.model(&model.name().to_string(), model.record().version);
        self.given.lock().models.insert(model.name().clone());
    }

    /// Everything that can be executed, by name, and whether the principal may: `fn/NAME` of models, `model/lab/SCHEMA/NAME`,
    /// and `fn/NAME of lab.SCHEMA.MODEL` for what is asked of a model.
    pub(crate) fn executables(&self) -> Vec<(String, Arc<Decision>)> {
        let models = &self.world.models;
        let functions = models
            .functions()
            .map(|(name, model)| (format!("fn/{name}"), self.call(name, model)));
        let asked = models.all().flat_map(|model| {
            let of_model = TABLE_FUNCTIONS.into_iter().map(|function| {
                let called = self.call(function, model);
                let decision = if called.allowed { self.own(model) } else { called };
                (format!("fn/{function} of {CATALOG}.{}", model.name()), decision)
            });
            of_model.chain([(model_object(model.name()), self.ask_model(model))])
        });
        functions.chain(asked).collect()
    }

    pub(super) fn may_call(&self, function: &str, model: &LoadedModel) -> bool {
        marks::reaches(self.who(), &model.name().schema) && self.call(function, model).allowed && self.may_hear(model)
    }

    /// Whether a function that takes a model's name may be asked about this one.
    pub(super) fn may_ask(&self, model: &LoadedModel, function: &str) -> bool {
        self.may_call(function, model) && self.own(model).allowed
    }

    /// Whether the model's very answers may be told: the classes of a column are its values.
    fn may_hear(&self, model: &LoadedModel) -> bool {
        let known = model.model();
        known.classes().is_empty() || self.sight(model).tells(known.target())
    }

    /// What the model may tell the principal.
    pub(crate) fn sight(&self, model: &LoadedModel) -> Arc<Sight> {
        if let Some(known) = self.known.lock().sights.get(model.name()) {
            return Arc::clone(known);
        }
        let sight = Arc::new(self.sight_new(model));
        let mut known = self.known.lock();
        Arc::clone(known.sights.entry(model.name().clone()).or_insert(sight))
    }

    fn sight_new(&self, model: &LoadedModel) -> Sight {
        let record = model.record();
        let mut sight = Sight::default();
        if record.data.is_empty() {
            // Of no table: an imported model, or one of rows that its author wrote down.
            return sight;
        }
        let known = model.model();
        let features = known.features().iter().map(|feature| feature.name.as_str());
        let columns = features.chain([known.target()]);
        let columns: BTreeSet<&str> = columns.chain(record.columns.keys().map(String::as_str)).collect();
        for column in columns {
            let origins = record.columns.get(column).filter(|origins| !origins.is_empty());
            let seen = match origins {
                Some(origins) => origins.iter().map(|origin| self.sees_origin(origin)).min(),
                // Of no column, as a count is: of the tables as a whole.
                None => record.data.keys().map(|table| self.sees_table(table)).min(),
            };
            let seen = seen.unwrap_or(Seen::Nothing);
            let marks = [
                (Seen::Name, &mut sight.unnamed),
                (Seen::Partly, &mut sight.untold),
                (Seen::Whole, &mut sight.unvalued),
            ];
            for (needed, without) in marks {
                if seen < needed {
                    without.insert(column.to_owned());
                }
            }
        }
        sight
    }

    /// What the principal sees of a column, `schema.table.column`.
    fn sees_origin(&self, origin: &str) -> Seen {
        let mut parts = origin.splitn(3, '.');
        let (Some(schema), Some(name), Some(column)) = (parts.next(), parts.next(), parts.next()) else {
            return Seen::Nothing;
        };
        let gone = || {
            let tags = self.object(schema, name).map(|object| object.tags).unwrap_or_default();
            self.sees_gone(schema, &format!("{CATALOG}/{schema}/{name}/{column}"), &tags)
        };
        match self.resolve(schema, name) {
            Ok(Resolved::Open(access, _)) => match access.schema.index_of(column) {
                Ok(index) => sees_column(&access, index, column),
                Err(_) => gone(),
            },
            Ok(Resolved::Absent) if self.object(schema, name).is_none() => gone(),
            Ok(Resolved::Absent | Resolved::Hidden(_)) | Err(_) => Seen::Nothing,
        }
    }

    /// What the principal sees of what is no more: masks and row filters of it cannot be looked up.
    fn sees_gone(&self, department: &str, object: &str, tags: &Tags) -> Seen {
        if self.world.policies.is_admin(&self.who) && marks::reaches(&self.who, department) {
            return Seen::Whole;
        }
        let allowed =
            marks::reaches(&self.who, department) && self.decide(department, object, tags, Action::Select).allowed;
        if allowed { Seen::Name } else { Seen::Nothing }
    }

    fn sees_table(&self, table: &str) -> Seen {
        let Some((schema, name)) = table.split_once('.') else {
            return Seen::Nothing;
        };
        match self.resolve(schema, name) {
            Ok(Resolved::Open(access, _)) if access.is_unrestricted() => Seen::Whole,
            Ok(Resolved::Open(..)) => Seen::Nothing,
            Ok(Resolved::Absent) if self.object(schema, name).is_none() => {
                self.sees_gone(schema, &format!("{CATALOG}/{schema}/{name}"), &Tags::default())
            }
            Ok(Resolved::Absent | Resolved::Hidden(_)) | Err(_) => Seen::Nothing,
        }
    }

    /// Whether the principal sees all of a table, `schema.table`.
    pub(crate) fn sees_whole(&self, table: &str) -> bool {
        self.sees_table(table) == Seen::Whole
    }

    /// The tables that a model was trained on, `schema.table`, as far as the principal sees them; the version, which counts changes of hidden rows, too,
    /// where he sees the table whole.
    pub(crate) fn told_sources(&self, model: &LoadedModel) -> Vec<(String, Option<u64>)> {
        let told = |(table, version): (&String, &u64)| {
            let (schema, name) = table.split_once('.')?;
            match self.resolve(schema, name) {
                Ok(Resolved::Open(access, _)) => Some((table.clone(), access.is_unrestricted().then_some(*version))),
                Ok(Resolved::Hidden(_) | Resolved::Absent) | Err(_) => None,
            }
        };
        model.record().data.iter().filter_map(told).collect()
    }

    /// Whether the principal sees every row of the tables that a model was trained on.
    pub(crate) fn sees_all_rows(&self, model: &LoadedModel) -> bool {
        model.record().data.keys().all(|table| {
            let resolved = table.split_once('.').map(|(schema, name)| self.resolve(schema, name));
            matches!(resolved, Some(Ok(Resolved::Open(access, _))) if access.row_filter.is_none())
        })
    }

    /// Of each of these tables that the principal sees some rows of, which: a digest of the row filter.
    pub(crate) fn rows_shown<'a>(&self, tables: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
        let filter = |table: &String| {
            let (schema, name) = table.split_once('.')?;
            match self.resolve(schema, name) {
                Ok(Resolved::Open(access, _)) => Some((table.clone(), hex_digest(&access.row_filter?.to_string()))),
                Ok(Resolved::Hidden(_) | Resolved::Absent) | Err(_) => None,
            }
        };
        tables.filter_map(filter).collect()
    }

    /// Whether a model's author still sees the rows that it was trained on; none if nobody can tell.
    pub(crate) fn author_sees(&self, model: &LoadedModel) -> Option<bool> {
        let record = model.record();
        if record.data.is_empty() || record.of_provider {
            return None;
        }
        let Some(author) = self.system_tables.named(&record.author)? else {
            return Some(false);
        };
        let view = Self::new(
            author,
            self.world.clone(),
            Arc::clone(&self.system),
            Arc::clone(&self.engine),
            self.system_tables.clone(),
        );
        let same_rows = || {
            let shown = record.rows_shown.as_ref();
            shown.is_none_or(|shown| *shown == view.rows_shown(record.data.keys()))
        };
        let all = view.told_sources(model).len() == record.data.len() && view.sight(model).untold.is_empty();
        Some(all && same_rows())
    }

    /// The tags that grants of a model are decided by: those of its training data when it was trained, and those that they have now.
    pub(crate) fn model_tags(&self, model: &LoadedModel) -> Arc<Tags> {
        if let Some(known) = self.known.lock().tags.get(model.name()) {
            return Arc::clone(known);
        }
        let tags = Arc::new(self.world.model_tags(model));
        let mut known = self.known.lock();
        Arc::clone(known.tags.entry(model.name().clone()).or_insert(tags))
    }

    fn call(&self, function: &str, model: &LoadedModel) -> Arc<Decision> {
        let object = format!("fn/{function}");
        self.decide(model.department(), &object, &self.model_tags(model), Action::Execute)
    }

    /// Whether the model itself is open: by its own function or by its name.
    fn own(&self, model: &LoadedModel) -> Arc<Decision> {
        let function = self.world.models.function_of(model);
        let by_function = function.map(|function| self.call(function, model));
        by_function
            .filter(|decision| decision.allowed)
            .unwrap_or_else(|| self.ask_model(model))
    }

    pub(crate) fn ask_model(&self, model: &LoadedModel) -> Arc<Decision> {
        let object = model_object(model.name());
        self.decide(model.department(), &object, &self.model_tags(model), Action::Execute)
    }
}

fn sees_column(access: &Access, index: usize, column: &str) -> Seen {
    if !access.columns.contains(&index) {
        return Seen::Nothing;
    }
    if access.masks.contains_key(column) || access.types.contains_key(column) {
        return Seen::Name;
    }
    match access.row_filter {
        Some(_) => Seen::Partly,
        None => Seen::Whole,
    }
}
