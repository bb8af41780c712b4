//! What a view's rows rest on besides its sources' rows: what its owner sees of them, and the models that answer in it.
//!
//! A filter that closes rows for the owner changes no source, and still those rows must leave the view; nor does a model that is
//! trained anew. So both are noted with each refresh, and a view that follows its sources follows them, too. Whether a change of the
//! policies concerns an owner is not told apart: views are few, and policies change rarely.

use std::collections::BTreeMap;

use labhouse_catalog::TableName;
use labhouse_policies::Principal;

use super::View;
use super::statement::model_name;
use crate::engine::Engine;
use crate::query::write::lake_error;
use crate::query::{QueryError, errors};
use crate::session::{Governed, World};

impl Engine {
    /// Whether a view's rows were made of what its owner sees now, by the models that answer now.
    pub(crate) fn is_as_seen(&self, view: &View, owner: &Principal, world: &World) -> bool {
        let governed = self.govern(owner, world.clone());
        let seen = match sights(&governed, &view.sources) {
            Ok(now) => view.is_seen_as(&now),
            Err(error) => {
                tracing::debug!(%error, owner = owner.name, "what a view's owner sees cannot be told");
                true
            }
        };
        seen && view.is_answered_by(world)
    }
}

impl View {
    /// Whether the owner sees each source as he did then.
    pub(super) fn is_seen_as(&self, sights: &BTreeMap<String, String>) -> bool {
        self.sights == *sights
    }

    /// Whether the models that answered then are those of now. One that is gone leaves what it said.
    fn is_answered_by(&self, world: &World) -> bool {
        self.models.iter().all(|model| {
            let version = model
                .split_once('.')
                .and_then(|(schema, table)| version(world, schema, table));
            version.is_none() || version.as_ref() == self.model_versions.get(model)
        })
    }
}

/// The versions of the models that answer in a statement, by `schema.model`.
pub(super) fn versions(governed: &Governed) -> BTreeMap<String, u64> {
    let models = governed.given_models();
    let known = models.iter().filter_map(|model| {
        let (schema, table) = (&model.reference.schema, &model.reference.table);
        Some((model_name(model), version(governed.world(), schema, table)?))
    });
    known.collect()
}

fn version(world: &World, schema: &str, table: &str) -> Option<u64> {
    let name = TableName {
        schema: schema.to_owned(),
        table: table.to_owned(),
    };
    Some(world.models.get(&name)?.record().version)
}

/// What the owner sees of each source, as a text that differs where that does, or where the table is another one.
pub(super) fn sights(
    governed: &Governed,
    sources: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, String>, QueryError> {
    let mut sights = BTreeMap::new();
    for source in sources.keys() {
        let Some((schema, table)) = source.split_once('.') else {
            continue;
        };
        let access = governed.access(schema, table).map_err(errors::from_datafusion)?;
        let found = governed.world().catalog.table(schema, table);
        if let (Some(access), Some(found)) = (access, found) {
            let id = found.id().map_err(lake_error)?;
            sights.insert(source.clone(), format!("{id} {}", access.fingerprint));
        }
    }
    Ok(sights)
}
