//! The query road: every door leads here, and only here.
//!
//! admit (size, place) → snapshots of policies, catalog and models → parse → plan over governed tables → run →
//! narrow to wire types → log. `describe` walks the same road and stops before running, which is why what it
//! announces is what the stream carries.

mod admit;
pub(crate) mod errors;
mod log;
pub(crate) mod narrow;
mod run;
pub(crate) mod statement;
mod stream;
pub(crate) mod tags;
pub(crate) mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use labhouse_policies::Principal;
use serde::{Deserialize, Serialize};

pub(crate) use admit::Admission;
pub(crate) use errors::QueryError;
pub(crate) use log::QueryLog;
pub(crate) use run::Runner;

use crate::engine::Engine;
use crate::session::{Governed, World};
use statement::Statement;
use stream::Guard;

/// What a statement would give.
pub(crate) struct Description {
    /// The wire schema, equal to the stream's.
    pub(crate) schema: SchemaRef,
    /// Fields `$1`, `$2`, …; of type Null where the statement does not say.
    pub(crate) parameters: SchemaRef,
    pub(crate) writes: bool,
    pub(crate) generations: Generations,
}

/// A running statement: dropping the stream cancels it.
pub(crate) struct Running {
    pub(crate) schema: SchemaRef,
    pub(crate) stream: SendableRecordBatchStream,
}

/// Which policies and catalog a statement was planned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generations {
    pub(crate) policy: u64,
    pub(crate) catalog: u64,
}

/// A table that a principal may see, for metadata calls.
pub(crate) struct VisibleTable {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) kind: &'static str,
    pub(crate) columns: SchemaRef,
    pub(crate) comment: Option<String>,
}

/// A planned read.
struct Planned {
    physical: Arc<dyn ExecutionPlan>,
    state: Arc<SessionState>,
}

impl Engine {
    /// Plans a statement for `who` and runs nothing.
    pub(crate) async fn describe(
        &self,
        who: &Principal,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Description, QueryError> {
        let _permit = self.admission.enter(sql).await?;
        let world = self.world();
        let generations = generations(&world);
        let governed = self.govern(who, world);
        let state = Arc::new(self.sessions.open(&governed).map_err(errors::from_datafusion)?);
        let statement = Statement::parse(sql, &state)?;
        if statement.writes() {
            return Ok(Description {
                schema: Arc::new(write::count_schema()),
                parameters: Arc::new(Schema::empty()),
                writes: true,
                generations,
            });
        }
        let Statement::Read(statement) = statement else {
            return Err(QueryError::internal("a statement that neither reads nor writes"));
        };
        let values = parameters.to_vec();
        let (schema, parameters) = self
            .planning(move || async move { describe_read(&state, *statement, values).await })
            .await?;
        Ok(Description {
            schema,
            parameters,
            writes: false,
            generations,
        })
    }

    /// Runs a statement for `who`; one that writes gives its count as one row.
    pub(crate) async fn run(
        self: &Arc<Self>,
        who: &Principal,
        sql: &str,
        parameters: Vec<ScalarValue>,
        pinned: Option<Generations>,
    ) -> Result<Running, QueryError> {
        let permit = self.admission.enter(sql).await?;
        let world = self.world();
        if pinned.is_some_and(|pinned| pinned.policy != world.policies.generation()) {
            return Err(QueryError::Conflict(
                "the policies changed since this statement was planned; run it again".into(),
            ));
        }
        let entry = self
            .log
            .start(&who.name, sql, world.policies.generation(), world.catalog.generation);
        let governed = self.govern(who, world);
        let outcome = self.start(&governed, sql, parameters).await;
        match outcome {
            Ok(Running { schema, stream }) => {
                let limit = Duration::from_secs(self.config.limits.statement_s);
                let stream = Guard::new(stream, Arc::clone(&schema), entry, permit, limit);
                Ok(Running {
                    schema,
                    stream: Box::pin(stream),
                })
            }
            Err(error) => {
                entry.finish(Some(&error));
                Err(error)
            }
        }
    }

    /// Runs a statement that writes; gives the rows it changed.
    pub(crate) async fn update(
        self: &Arc<Self>,
        who: &Principal,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        let running = self.run(who, sql, parameters, None).await?;
        write::read_count(running).await
    }

    /// The tables that `who` may see, sorted by name.
    pub(crate) async fn tables(&self, who: &Principal) -> Result<Vec<VisibleTable>, QueryError> {
        let governed = self.govern(who, self.world());
        let mut tables = Vec::new();
        for (schema, table) in governed.visible() {
            let Some(provider) = governed.table(&schema, &table).map_err(errors::from_datafusion)? else {
                continue;
            };
            let comment = governed
                .world()
                .catalog
                .table(&schema, &table)
                .and_then(|table| table.description().map(str::to_owned));
            tables.push(VisibleTable {
                catalog: statement::CATALOG.to_owned(),
                kind: if schema == crate::system::SYSTEM {
                    "VIEW"
                } else {
                    "BASE TABLE"
                },
                schema,
                table,
                columns: narrow::narrow_schema(&provider.schema()),
                comment,
            });
        }
        tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
        Ok(tables)
    }

    async fn start(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<Running, QueryError> {
        let state = Arc::new(self.sessions.open(governed).map_err(errors::from_datafusion)?);
        match Statement::parse(sql, &state)? {
            Statement::Read(statement) => self.read(state, *statement, parameters).await,
            other => {
                let count = self.write(governed, state, other, parameters, sql).await?;
                Ok(write::count_stream(count))
            }
        }
    }

    /// Plans and starts a read.
    async fn read(
        &self,
        state: Arc<SessionState>,
        statement: EngineStatement,
        parameters: Vec<ScalarValue>,
    ) -> Result<Running, QueryError> {
        let planned = self.plan(state, statement, parameters).await?;
        let schema = narrow::narrow_schema(&planned.physical.schema());
        let stream = self
            .runner
            .start(planned.physical, planned.state.task_ctx())
            .map_err(errors::from_datafusion)?;
        Ok(Running { schema, stream })
    }

    async fn plan(
        &self,
        state: Arc<SessionState>,
        statement: EngineStatement,
        parameters: Vec<ScalarValue>,
    ) -> Result<Planned, QueryError> {
        self.planning(move || async move {
            let logical = bind(logical(&state, statement).await?, parameters)?;
            let physical = state
                .create_physical_plan(&logical)
                .await
                .map_err(errors::from_datafusion)?;
            Ok(Planned { physical, state })
        })
        .await
    }

    /// Plans on a thread of its own, with a deadline: a planner that runs wild holds up nobody else's reads.
    async fn planning<T, F, R>(&self, work: F) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<T, QueryError>>,
    {
        let limit = self.config.limits.planning_s;
        let handle = tokio::runtime::Handle::current();
        let planning = tokio::task::spawn_blocking(move || handle.block_on(work()));
        match tokio::time::timeout(Duration::from_secs(limit), planning).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(join)) => Err(QueryError::internal(join)),
            Err(_elapsed) => Err(QueryError::Deadline(format!(
                "planning the statement took longer than {limit} s (limits.planning_s); make it simpler"
            ))),
        }
    }

    /// The snapshots of this moment.
    pub(crate) fn world(&self) -> World {
        World {
            policies: self.policies.current(),
            catalog: self.catalog.snapshot(),
            models: self.models.snapshot(),
        }
    }
}

fn generations(world: &World) -> Generations {
    Generations {
        policy: world.policies.generation(),
        catalog: world.catalog.generation,
    }
}

/// The wire schema and the parameters of a read.
async fn describe_read(
    state: &SessionState,
    statement: EngineStatement,
    values: Vec<ScalarValue>,
) -> Result<(SchemaRef, SchemaRef), QueryError> {
    let logical = logical(state, statement).await?;
    let parameters = parameter_schema(&logical)?;
    if parameters.fields().len() > values.len() {
        // Unbound parameters cannot be planned to the end: the logical schema is the best that is known.
        return Ok((narrow::narrow_schema(logical.schema().as_arrow()), parameters));
    }
    let bound = bind(logical, values)?;
    let physical = state
        .create_physical_plan(&bound)
        .await
        .map_err(errors::from_datafusion)?;
    Ok((narrow::narrow_schema(&physical.schema()), parameters))
}

async fn logical(state: &SessionState, statement: EngineStatement) -> Result<LogicalPlan, QueryError> {
    let plan = state
        .statement_to_plan(statement)
        .await
        .map_err(errors::from_datafusion)?;
    let reads_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    reads_only.verify_plan(&plan).map_err(errors::from_datafusion)?;
    Ok(plan)
}

fn bind(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, QueryError> {
    let wanted = parameter_schema(&plan)?;
    if wanted.fields().len() > values.len() {
        return Err(QueryError::Invalid(format!(
            "the statement has {} parameters and {} values were bound",
            wanted.fields().len(),
            values.len()
        )));
    }
    if values.is_empty() {
        return Ok(plan);
    }
    plan.with_param_values(ParamValues::from(values))
        .map_err(errors::from_datafusion)
}

/// Fields `$1` … `$n` without gaps: a client binds by position.
fn parameter_schema(plan: &LogicalPlan) -> Result<SchemaRef, QueryError> {
    let types = plan.get_parameter_types().map_err(errors::from_datafusion)?;
    let numbers: BTreeSet<usize> = types
        .keys()
        .filter_map(|name| name.strip_prefix('$')?.parse().ok())
        .collect();
    if numbers.len() < types.len() {
        return Err(QueryError::Invalid("parameters are written ? or $1, $2, …".into()));
    }
    let last = numbers.last().copied().unwrap_or(0);
    let fields = (1..=last).map(|number| {
        let name = format!("${number}");
        let data_type = types.get(&name).cloned().flatten().unwrap_or(DataType::Null);
        Field::new(name, data_type, true)
    });
    Ok(narrow::narrow_schema(&Schema::new(fields.collect::<Vec<_>>())))
}
