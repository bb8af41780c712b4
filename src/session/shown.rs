//! All that one principal sees, at once: for what lists or searches it. A list asks for nothing by name, so nothing is noted.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use labhouse_policies::Access;

use super::governed::{Governed, Resolved};
use crate::models::LoadedModel;
use crate::system::SYSTEM;

/// A table that the principal sees, as he sees it.
pub(crate) struct Shown {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) access: Access,
    pub(crate) provider: Arc<dyn TableProvider>,
    /// Its rows are made when it is read, of tables that may be shown in part: nothing of them is kept.
    pub(crate) is_library: bool,
}

impl Governed {
    /// Whether lists call a table a view: what the server tells of itself. A materialized view holds rows as a table does, and tools that
    /// list tables alone (SQLAlchemy, psql's `\dt`) must find it.
    pub(crate) fn is_view(schema: &str) -> bool {
        schema == SYSTEM
    }

    /// The tables that the principal sees, sorted, system tables last.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let open = |(schema, table): (String, String)| match self.resolve(&schema, &table) {
            Ok(Resolved::Open(access, provider)) => Some(Shown {
                is_library: self.library(&schema, &table).is_some(),
                schema,
                table,
                access: *access,
                provider,
            }),
            Ok(Resolved::Hidden(_) | Resolved::Absent) | Err(_) => None,
        };
        self.world.tables().filter_map(open).collect()
    }

    /// The models that the principal may ask what they are, and whether also what they look at.
    pub(crate) fn shown_models(&self) -> Vec<(Arc<LoadedModel>, bool)> {
        let models = self.world.models.all();
        let shown = models.filter(|model| self.may_ask(model, "model_card"));
        shown
            .map(|model| (Arc::clone(model), self.may_ask(model, "feature_importance")))
            .collect()
    }

    /// The functions of models that the principal may call, with those models.
    pub(crate) fn shown_functions(&self) -> Vec<(&str, &Arc<LoadedModel>)> {
        let functions = self.world.models.functions();
        functions.filter(|(name, model)| self.may_call(name, model)).collect()
    }
}
