//! Models on other nodes: a part of a statement that asks a model brings its place in the lake, never the model.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use labhouse_catalog::{Lake, TableName};
use labhouse_udfs::{Model, Sight, predict_udf_to, predicted_by};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{ModelSnapshot, stored};

/// Models that a worker keeps, the one asked last at the end.
const KEPT_MAX: usize = 16;

/// What another node needs to answer as this one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentModel {
    function: String,
    schema: String,
    name: String,
    version: u64,
    digest: String,
    sight: Sight,
}

impl SentModel {
    /// Whether its names are names, and no path to another place.
    pub(crate) fn is_sound(&self) -> bool {
        let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
        is_name(&self.schema) && is_name(&self.name)
    }
}

impl ModelSnapshot {
    /// The model behind a function of a statement, to be found by another node. None if the function asks no model, or one
    /// that is not in the lake as it is.
    pub(crate) fn sent(&self, function: &ScalarUDF) -> Option<SentModel> {
        let (model, sight) = predicted_by(function)?;
        let stored = self.all().find(|stored| stored.model().digest() == model.digest())?;
        let record = stored.record();
        Some(SentModel {
            function: function.name().to_owned(),
            schema: record.schema.clone(),
            name: record.name.clone(),
            version: record.version,
            digest: model.digest().to_owned(),
            sight: Sight::clone(sight),
        })
    }
}

/// The models that a worker was asked for.
pub(crate) struct SentModels {
    lake: Arc<Lake>,
    kept: Mutex<VecDeque<Arc<Model>>>,
}

impl SentModels {
    pub(crate) fn new(lake: Arc<Lake>) -> Self {
        Self {
            lake,
            kept: Mutex::default(),
        }
    }

    /// The function as the sending node has it.
    ///
    /// # Errors
    /// The lake does not have this very model at that place.
    pub(crate) async fn function(&self, sent: &SentModel) -> Result<ScalarUDF> {
        let model = match self.known(&sent.digest) {
            Some(model) => model,
            None => self.read(sent).await?,
        };
        // What others asked does not make an answer quicker.
        let model = Arc::new(model.apart());
        Ok(predict_udf_to(&sent.function, model, Arc::new(sent.sight.clone())))
    }

    fn known(&self, digest: &str) -> Option<Arc<Model>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|model| model.digest() == digest)?;
        let model = kept.remove(at)?;
        kept.push_back(Arc::clone(&model));
        Some(model)
    }

    async fn read(&self, sent: &SentModel) -> Result<Arc<Model>> {
        let name = TableName {
            schema: sent.schema.clone(),
            table: sent.name.clone(),
        };
        let missing = |why: &dyn std::fmt::Display| {
            DataFusionError::Execution(format!("model {name} of version {} cannot be had: {why}", sent.version))
        };
        let found = stored(&self.lake, &name, sent.version).await;
        let Some((_, bytes)) = found.map_err(|error| missing(&error))? else {
            return Err(missing(&"it is not in the lake"));
        };
        let model = Model::from_bytes(&bytes).map_err(|error| missing(&error))?;
        if model.digest() != sent.digest {
            return Err(missing(&"it is another one"));
        }
        let model = Arc::new(model);
        let mut kept = self.kept.lock();
        kept.push_back(Arc::clone(&model));
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
        Ok(model)
    }
}
