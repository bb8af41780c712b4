//! From a parsed statement to a plan, as far as its parameters allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;

use super::change::Fill;
use super::parts::Divisible;
use super::plans::Planned;
use super::statement::as_engine_statement;
use super::{QueryError, errors, ignored, literal, meaning, narrow, open, results, twice, unfolded, using};
use crate::audit::Notes;
use crate::models::calls;
use crate::session::Governed;

/// How far a read could be planned.
pub(super) enum Outlook {
    Planned(Planned),
    /// Values are missing: the logical schema is the best that is known.
    Open {
        columns: SchemaRef,
        parameters: SchemaRef,
    },
}

/// Plans a read to the end when its parameters are bound.
pub(super) async fn plan_as_far(
    governed: Arc<Governed>,
    state: Arc<SessionState>,
    statement: EngineStatement,
    values: Vec<ScalarValue>,
) -> Result<Outlook, QueryError> {
    let mut apart = statement.clone();
    let outlook = as_far(Arc::clone(&governed), Arc::clone(&state), statement, values.clone()).await;
    match outlook {
        Err(error) if twice::is_cause(&error) && twice::set_apart(&mut apart) => {
            as_far(governed, state, apart, values).await
        }
        outlook => outlook,
    }
}

async fn as_far(
    governed: Arc<Governed>,
    state: Arc<SessionState>,
    mut statement: EngineStatement,
    values: Vec<ScalarValue>,
) -> Result<Outlook, QueryError> {
    if values.is_empty() {
        let numbers = open::numbers(&statement)?;
        if !numbers.is_empty() {
            return open::outlook(&state, statement, &numbers).await;
        }
    } else {
        literal::written_out(&mut statement, &values)?;
    }
    let logical = logical(&state, statement).await?;
    let parameters = parameter_schema(&logical)?;
    if parameters.fields().len() > values.len() {
        let columns = Arc::clone(logical.schema().inner());
        return Ok(Outlook::Open { columns, parameters });
    }
    let bound = with_values(logical, values)?;
    let physical = physical(&governed, &state, &bound).await?;
    let reads = results::reads(&governed, &bound).map_err(errors::from_datafusion)?;
    let divisible = Divisible::of(&governed, &bound, reads.as_ref()).map_err(errors::from_datafusion)?;
    Ok(Outlook::Planned(Planned {
        physical,
        state,
        parameters,
        facts: Arc::new(governed.notes().facts()),
        reads,
        divisible,
    }))
}

/// The physical plan; what it reads is noted for the statement's account.
pub(super) async fn physical(
    governed: &Governed,
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
    let made = async {
        let models = &governed.world().models;
        // Before the optimiser, which folds a model's answer to constants into a constant.
        Notes::functions(plan, |function| {
            if let Some(model) = models.by_function(function) {
                governed.answers(model);
            }
        })?;
        let optimised = state.optimize(plan)?;
        governed.notes().reads(&optimised)?;
        state.query_planner().create_physical_plan(&optimised, state).await
    };
    made.await.map_err(errors::from_datafusion)
}

pub(super) fn unbound(parameters: &Schema, bound: usize) -> QueryError {
    QueryError::Invalid(format!(
        "the statement has {} parameters and {bound} values were bound",
        parameters.fields().len()
    ))
}

pub(super) async fn logical(state: &SessionState, mut statement: EngineStatement) -> Result<LogicalPlan, QueryError> {
    if let Some(governed) = state.config().get_extension::<Governed>() {
        calls::by_position(&governed, &mut statement)?;
    }
    unfolded::check(&statement)?;
    ignored::nothing(state, &statement)?;
    meaning::counts_nothing(&statement)?;
    meaning::bind_distinct(&mut statement);
    using::written_out(state, &mut statement).await?;
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

pub(super) fn bind(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, QueryError> {
    let wanted = parameter_schema(&plan)?;
    if wanted.fields().len() > values.len() {
        return Err(unbound(&wanted, values.len()));
    }
    with_values(plan, values)
}

fn with_values(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, QueryError> {
    if values.is_empty() {
        return Ok(plan);
    }
    plan.with_param_values(ParamValues::from(values))
        .map_err(errors::from_datafusion)
}

/// The parameters of a statement that writes: of the types of the columns that they fill, else as those of a query. Nothing is
/// refused here: running the statement says what is wrong with it.
pub(super) async fn written_parameters(state: &SessionState, fills: Vec<Fill>) -> SchemaRef {
    let (mut types, mut all) = (BTreeMap::new(), BTreeSet::new());
    for fill in fills {
        let filling = fill.filling();
        let query = as_engine_statement(fill.query);
        all.extend(open::numbers(&query).unwrap_or_default());
        let planned = open::types_of(state, &query).await;
        for (number, data_type) in filling.into_iter().chain(planned) {
            types.entry(number).or_insert(data_type);
        }
    }
    narrow::narrow_schema(&open::fields(&types, &all))
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
    let fields = (1..=open::highest(&numbers)?).map(|number| {
        let name = format!("${number}");
        let data_type = types.get(&name).cloned().flatten().unwrap_or(DataType::Null);
        Field::new(name, data_type, true)
    });
    Ok(narrow::narrow_schema(&Schema::new(fields.collect::<Vec<_>>())))
}
