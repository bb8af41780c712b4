//! Models and their functions in one principal's view.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, Decision};

use super::governed::{Governed, model_object};
use crate::auth::marks;
use crate::models::LoadedModel;
use crate::models::functions::NAMES as TABLE_FUNCTIONS;
use crate::query::statement::CATALOG;

impl Governed {
    /// The functions of models that the principal may call.
    pub(crate) fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        let functions = self.shown_functions().into_iter();
        functions.map(|(_, model)| model.udf()).collect()
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
        marks::reaches(self.who(), &model.name().schema) && self.call(function, model).allowed
    }

    /// Whether a function that takes a model's name may be asked about this one.
    pub(super) fn may_ask(&self, model: &LoadedModel, function: &str) -> bool {
        self.may_call(function, model) && self.own(model).allowed
    }

    fn call(&self, function: &str, model: &LoadedModel) -> Arc<Decision> {
        let object = format!("fn/{function}");
        self.decide(model.department(), &object, model.tags(), Action::Execute)
    }

    /// Whether the model itself is open: by its own function or by its name.
    fn own(&self, model: &LoadedModel) -> Arc<Decision> {
        let by_function = model.function().map(|function| self.call(function, model));
        by_function
            .filter(|decision| decision.allowed)
            .unwrap_or_else(|| self.ask_model(model))
    }

    fn ask_model(&self, model: &LoadedModel) -> Arc<Decision> {
        let object = model_object(model.name());
        self.decide(model.department(), &object, model.tags(), Action::Execute)
    }
}
