//! Planning has a thread of its own and a deadline; and the snapshots that a statement is planned on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query;
use serde::{Deserialize, Serialize};

use super::plan::logical;
use super::statement::as_engine_statement;
use super::{QueryError, errors};
use crate::audit::Client;
use crate::engine::Engine;
use crate::pipelines::Met;
use crate::session::{Governed, World};

/// What a statement was announced on and with: policies, catalog, and a digest of its columns that this process alone
/// understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    policy: u64,
    catalog: u64,
    columns: u64,
}

impl Announced {
    pub(super) fn new(world: &World, columns: &Schema) -> Self {
        Self {
            policy: world.policies.generation(),
            catalog: world.catalog.generation,
            columns: digest(columns),
        }
    }

    /// # Errors
    /// Other policies are in force now.
    pub(super) fn under(self, world: &World) -> Result<(), QueryError> {
        match self.policy == world.policies.generation() {
            true => Ok(()),
            false => Err(QueryError::Conflict(
                "the policies changed since this statement was planned; run it again".into(),
            )),
        }
    }

    /// # Errors
    /// The columns are not those that were announced: a client would read them as something else, or stop half-way.
    pub(super) fn with(self, columns: &Schema) -> Result<(), QueryError> {
        match self.columns == digest(columns) {
            true => Ok(()),
            false => Err(QueryError::Conflict(
                "the statement gives other columns than were announced, since what it reads has changed; run it again"
                    .into(),
            )),
        }
    }
}

fn digest(columns: &Schema) -> u64 {
    let mut hasher = DefaultHasher::new();
    columns.hash(&mut hasher);
    hasher.finish()
}

impl Engine {
    /// Plans on a thread of its own, with a deadline: a planner that runs wild holds up nobody else's reads. It cannot be
    /// stopped, so it keeps its statement's place until it has ended, also when nobody waits for it any more.
    pub(super) async fn planning<T, F, R>(&self, governed: &Governed, work: F) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<T, QueryError>>,
    {
        let limit = self.config.limits.planning_s;
        let handle = tokio::runtime::Handle::current();
        let place = governed.place();
        let planning = tokio::task::spawn_blocking(move || {
            let planned = handle.block_on(work());
            drop(place);
            planned
        });
        match tokio::time::timeout(Duration::from_secs(limit), planning).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(join)) => Err(QueryError::internal(join)),
            Err(_elapsed) => Err(QueryError::Deadline(format!(
                "planning the statement took longer than {limit} s (limits.planning_s); make it simpler"
            ))),
        }
    }

    /// What `look` finds in the plan of a query, not optimised yet.
    pub(crate) async fn planned<T: Send + 'static>(
        &self,
        governed: &Governed,
        state: Arc<SessionState>,
        query: Box<Query>,
        look: impl FnOnce(&LogicalPlan) -> Result<T, DataFusionError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.planning(governed, move || async move {
            let plan = logical(&state, as_engine_statement(query)).await?;
            look(&plan).map_err(errors::from_datafusion)
        })
        .await
    }

    /// The snapshots of this moment as a call sees them, and whether its transaction lets it go on.
    pub(super) fn world_of(&self, client: &Client) -> (World, Result<(), QueryError>) {
        match &client.transaction {
            Some(transaction) => transaction.sees(self.world()),
            None => (self.world(), Ok(())),
        }
    }

    /// The snapshots of this moment.
    pub(crate) fn world(&self) -> World {
        let (catalog, models) = (self.catalog.snapshot(), self.models.snapshot());
        let met = {
            let mut met = self.met.lock();
            if !met.is_of(&catalog, &models) {
                *met = Arc::new(Met::on(&catalog, &models));
            }
            Arc::clone(&met)
        };
        World {
            policies: self.policies.current(),
            catalog,
            models,
            met,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn other_columns_are_other_than_announced_whatever_is_other_about_them() {
        let schema = |name: &str, data_type: DataType, unit: &str| {
            let told = [("unit".to_owned(), unit.to_owned())].into();
            Schema::new(vec![Field::new(name, data_type, true).with_metadata(told)])
        };
        let announced = Announced {
            policy: 1,
            catalog: 1,
            columns: digest(&schema("a", DataType::Int64, "g")),
        };
        assert!(announced.with(&schema("a", DataType::Int64, "g")).is_ok());
        for other in [
            schema("b", DataType::Int64, "g"),
            schema("a", DataType::Float64, "g"),
            schema("a", DataType::Int64, "mg"),
            Schema::empty(),
        ] {
            let refused = announced.with(&other).unwrap_err();
            assert!(matches!(refused, QueryError::Conflict(_)), "{other}: {refused}");
        }
    }
}
