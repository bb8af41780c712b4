//! Plans in parts: what other nodes need of a session.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedConfig, SessionStateBuilderExt};

use super::{SIDE_DOORS, Sessions};

/// Cuts a plan that is planned, checked and decided into parts for other nodes, with what `config` says of them; a plan
/// that gains nothing comes back as it is. The context is to run it in.
///
/// # Errors
/// The plan cannot be cut.
#[expect(
    clippy::disallowed_methods,
    reason = "no statement is planned in it: it carries one plan through the distributed engine"
)]
pub(crate) async fn distributed(
    plan: Arc<dyn ExecutionPlan>,
    config: SessionConfig,
    context: &TaskContext,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(context.runtime_env())
        .with_query_planner(Arc::new(Given(plan)))
        .with_distributed_planner()
        .build();
    let nothing = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: false,
        schema: Arc::new(DFSchema::empty()),
    });
    let plan = state.query_planner().create_physical_plan(&nothing, &state).await?;
    Ok((plan, state.task_ctx()))
}

/// A planner that was given its plan.
struct Given(Arc<dyn ExecutionPlan>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

#[async_trait]
impl QueryPlanner for Given {
    async fn create_physical_plan(&self, _: &LogicalPlan, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.0))
    }
}

impl Sessions {
    /// A session with what every user's session begins with: the functions that workers have, too.
    pub(crate) fn functions(&self) -> &Arc<SessionState> {
        &self.user
    }

    /// The session of a part that another node sent: the settings and functions of every session here, and nothing to
    /// plan with. `models` are the functions that ask one. `with` adds to its config.
    ///
    /// # Errors
    /// A function cannot be registered.
    pub(crate) fn of_part(
        &self,
        mut builder: SessionStateBuilder,
        models: Vec<Arc<ScalarUDF>>,
        with: impl FnOnce(SessionConfig) -> SessionConfig,
    ) -> Result<SessionState> {
        let mut config = builder.config().take().unwrap_or_default();
        let about_nodes = config.options().extensions.get::<DistributedConfig>().cloned();
        *config.options_mut() = self.user.config_options().as_ref().clone();
        if let Some(about_nodes) = about_nodes {
            config.options_mut().extensions.insert(about_nodes);
        }
        let mut state = builder.with_config(with(config)).build();
        for name in SIDE_DOORS {
            state.deregister_udf(name)?;
        }
        for function in self.user.scalar_functions().values() {
            state.register_udf(Arc::clone(function))?;
        }
        for function in models {
            state.register_udf(function)?;
        }
        Ok(state)
    }
}
