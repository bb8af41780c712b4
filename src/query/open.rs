//! Parameters of queries: what a statement gives before its values are bound.
//!
//! The engine types a parameter by what it is compared or computed with, or cast to. Where it cannot (`SELECT ?`,
//! `upper(?)`) types are tried, text first as PostgreSQL does, until the statement can be planned: a client must be
//! told a type that it can bind, and columns. Running takes a value of any type that fits.
//!
//! The columns that are told are those of the finished plan with nulls of these types bound, since types change on the way
//! from the text to the plan: `CASE WHEN a > ? THEN 1 ELSE 2.5 END` is a whole number only until it is coerced.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Cast, Placeholder, TryCast};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Expr as Ast, LimitClause, Query, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::plan::{Outlook, logical};
use super::{QueryError, errors, narrow, tree};

/// Types that are tried for parameters that nothing types.
const TYPES: [&str; 4] = ["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"];
/// Parameters that a statement may have, at every door.
pub(crate) const PARAMETERS_MAX: usize = 1_000;
/// Parameters that are looked at one by one, to tell those that have a type from those that need one.
const REFINED_MAX: usize = 16;
/// What is tried as an argument of a table function, which must be written out.
const ARGUMENTS: [(&str, DataType); 2] = [("1", DataType::Int64), ("''", DataType::Utf8)];

/// The numbers of a statement's parameters.
///
/// # Errors
/// A parameter has a name instead of a number.
pub(super) fn numbers(statement: &EngineStatement) -> Result<BTreeSet<usize>, QueryError> {
    let mut found = Found::default();
    if let Some(ast) = tree::of(statement) {
        let _ = ast.visit(&mut found);
    }
    if found.named {
        return Err(QueryError::Invalid("parameters are written ? or $1, $2, …".into()));
    }
    highest(&found.numbers)?;
    Ok(found.numbers)
}

/// The highest of these numbers. All up to it are announced, whether they are used or not.
///
/// # Errors
/// It is beyond what anybody binds.
pub(super) fn highest(numbers: &BTreeSet<usize>) -> Result<usize, QueryError> {
    match numbers.last().copied().unwrap_or(0) {
        last if last > PARAMETERS_MAX => Err(QueryError::Invalid(format!(
            "the statement has a parameter ${last}, at most {PARAMETERS_MAX} are taken; put long lists into a table and join it"
        ))),
        last => Ok(last),
    }
}

/// What a read gives whose values are not bound: its columns and parameters as far as they can be told.
///
/// # Errors
/// The statement cannot be planned whatever is tried; the error is the first one.
pub(super) async fn outlook(
    state: &SessionState,
    statement: EngineStatement,
    numbers: &BTreeSet<usize>,
) -> Result<Outlook, QueryError> {
    let Tried { plan, types } = tried(state, &statement, numbers).await?;
    let parameters = narrow::narrow_schema(&fields(&types, numbers));
    Ok(Outlook::Open {
        columns: columns(state, plan, &types).await,
        parameters,
    })
}

/// The types of a query's parameters, as far as they can be told.
pub(super) async fn types_of(state: &SessionState, statement: &EngineStatement) -> BTreeMap<usize, DataType> {
    let found = match numbers(statement) {
        Ok(numbers) if numbers.is_empty() => return BTreeMap::new(),
        Ok(numbers) => tried(state, statement, &numbers).await,
        Err(error) => Err(error),
    };
    found.map(|tried| tried.types).unwrap_or_default()
}

/// A statement planned with types for the parameters that it does not type itself.
struct Tried {
    plan: LogicalPlan,
    types: BTreeMap<usize, DataType>,
}

impl Tried {
    fn is_typed(&self, numbers: &BTreeSet<usize>) -> bool {
        numbers.iter().all(|number| self.types.contains_key(number))
    }

    /// Plans a statement with these casts around its parameters, and `argument` in place of those that are arguments of
    /// table functions.
    async fn with(
        state: &SessionState,
        statement: &EngineStatement,
        casts: &BTreeMap<usize, Ast>,
        (argument, argument_type): &(Ast, DataType),
    ) -> Result<Self, QueryError> {
        let mut statement = statement.clone();
        let mut guesses = Guesses {
            casts: casts.clone(),
            argument: argument.clone(),
            arguments: BTreeSet::new(),
            within: Within::default(),
        };
        visit(&mut statement, &mut guesses);
        let plan = logical(state, statement).await?;
        let mut types = types(&plan)?;
        let arguments = guesses.arguments.into_iter();
        types.extend(arguments.map(|number| (number, argument_type.clone())));
        Ok(Self { plan, types })
    }
}

/// Tries types until the statement can be planned and each parameter has one; else as many as there are.
async fn tried(
    state: &SessionState,
    statement: &EngineStatement,
    numbers: &BTreeSet<usize>,
) -> Result<Tried, QueryError> {
    let (mut some, mut refused) = (None, None);
    for (text, argument_type) in ARGUMENTS {
        let argument = (expression(text)?, argument_type);
        // As it is written, then with a type for what has none; for all, when it cannot be planned so.
        let open: BTreeSet<usize> = match Tried::with(state, statement, &BTreeMap::new(), &argument).await {
            Ok(tried) if tried.is_typed(numbers) => return Ok(tried),
            Ok(tried) => {
                let untyped = |number: &&usize| !tried.types.contains_key(*number);
                let open = numbers.iter().filter(untyped).copied().collect();
                some.get_or_insert(tried);
                open
            }
            Err(error @ QueryError::Invalid(_)) => {
                refused.get_or_insert(error);
                numbers.clone()
            }
            // No type makes a table that is not there be there.
            Err(error) if refused.is_none() => return Err(error),
            Err(_) => continue,
        };
        for guess in TYPES {
            let cast = expression(guess)?;
            let casts: BTreeMap<usize, Ast> = open.iter().map(|number| (*number, cast.clone())).collect();
            match Tried::with(state, statement, &casts, &argument).await {
                Ok(tried) if tried.is_typed(numbers) => {
                    return Ok(refined(state, statement, numbers, (casts, tried), &argument).await);
                }
                Ok(tried) => {
                    some.get_or_insert(tried);
                }
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        if !has_arguments(statement)? {
            break;
        }
    }
    match (some, refused) {
        (Some(tried), _) => Ok(tried),
        (None, Some(error)) => Err(error),
        (None, None) => Err(QueryError::internal("no type was tried for a parameter")),
    }
}

/// Takes each cast off again that the statement can do without: what it says itself of a parameter is better than a guess.
async fn refined(
    state: &SessionState,
    statement: &EngineStatement,
    numbers: &BTreeSet<usize>,
    (mut casts, mut best): (BTreeMap<usize, Ast>, Tried),
    argument: &(Ast, DataType),
) -> Tried {
    if (2..=REFINED_MAX).contains(&casts.len()) {
        for number in casts.clone().keys() {
            let mut fewer = casts.clone();
            fewer.remove(number);
            let without = Tried::with(state, statement, &fewer, argument).await;
            if let Some(typed) = without.ok().filter(|tried| tried.is_typed(numbers)) {
                (casts, best) = (fewer, typed);
            }
        }
    }
    best
}

/// The columns that come when values of these types are bound; those of the plan as it is when it cannot be finished.
async fn columns(state: &SessionState, plan: LogicalPlan, types: &BTreeMap<usize, DataType>) -> SchemaRef {
    let as_written = Arc::clone(plan.schema().inner());
    let last = types.last_key_value().map_or(0, |(number, _)| *number);
    let nulls: Vec<ScalarValue> = (1..=last)
        .map(|number| ScalarValue::try_from(types.get(&number).unwrap_or(&DataType::Null)).unwrap_or(ScalarValue::Null))
        .collect();
    let finished = async {
        let bound = plan.with_param_values(ParamValues::from(nulls))?;
        let optimised = state.optimize(&bound)?;
        state.query_planner().create_physical_plan(&optimised, state).await
    };
    match finished.await {
        Ok(physical) => physical.schema(),
        Err(error) => {
            tracing::debug!(%error, "columns are told of a plan that is not finished");
            as_written
        }
    }
}

pub(crate) fn visit<V: VisitorMut<Break = ()>>(statement: &mut EngineStatement, visitor: &mut V) {
    if let Some(ast) = tree::of_mut(statement) {
        let _ = ast.visit(visitor);
    }
}

/// The number of a parameter, if an expression is one.
pub(super) fn number_of(expr: &Ast) -> Option<usize> {
    match expr {
        Ast::Value(value) => match &value.value {
            Value::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn expression(text: &str) -> Result<Ast, QueryError> {
    let text = match text.starts_with(char::is_alphabetic) {
        true => format!("CAST(NULL AS {text})"),
        false => text.to_owned(),
    };
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_expr());
    parsed.map_err(QueryError::internal)
}

/// Fields `$1` … `$n` without gaps: a client binds by position.
pub(super) fn fields(types: &BTreeMap<usize, DataType>, numbers: &BTreeSet<usize>) -> Schema {
    let last = numbers.last().copied().unwrap_or(0);
    let fields = (1..=last).map(|number| {
        let data_type = types.get(&number).cloned().unwrap_or(DataType::Null);
        Field::new(format!("${number}"), data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The types of a plan's parameters: as they were inferred, else what they are cast to.
fn types(plan: &LogicalPlan) -> Result<BTreeMap<usize, DataType>, QueryError> {
    let (mut inferred, mut cast) = (BTreeMap::new(), BTreeMap::new());
    let number = |id: &str| id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                match part {
                    Expr::Placeholder(Placeholder { id, field: Some(field) }) if !field.data_type().is_null() => {
                        inferred.extend(number(id).map(|number| (number, field.data_type().clone())));
                    }
                    Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                        if let Expr::Placeholder(Placeholder { id, .. }) = expr.as_ref() {
                            cast.extend(number(id).map(|number| (number, field.data_type().clone())));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(errors::from_datafusion)?;
    cast.extend(inferred);
    Ok(cast)
}

/// The parameters of a statement.
#[derive(Default)]
struct Found {
    numbers: BTreeSet<usize>,
    named: bool,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
        if let Ast::Value(value) = expr
            && let Value::Placeholder(_) = &value.value
        {
            match number_of(expr) {
                Some(number) => {
                    self.numbers.insert(number);
                }
                None => self.named = true,
            }
        }
        ControlFlow::Continue(())
    }
}

/// Where in a statement a visitor is.
#[derive(Default)]
pub(super) struct Within {
    /// Table functions around.
    pub(super) functions: usize,
    /// The next parameter is one that is cast.
    cast: bool,
}

impl Within {
    pub(super) fn enter(&mut self, factor: &TableFactor) {
        self.functions += usize::from(is_function(factor));
    }

    pub(super) fn leave(&mut self, factor: &TableFactor) {
        self.functions = self.functions.saturating_sub(usize::from(is_function(factor)));
    }
}

fn is_function(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Table { args: Some(_), .. } | TableFactor::Function { .. } | TableFactor::TableFunction { .. }
    )
}

/// Puts a type or a value in the place of parameters.
struct Guesses {
    /// Casts, of which the parameters of these numbers become the insides.
    casts: BTreeMap<usize, Ast>,
    argument: Ast,
    /// Parameters that are arguments of table functions.
    arguments: BTreeSet<usize>,
    within: Within,
}

/// Whether a statement has parameters that are arguments of table functions.
fn has_arguments(statement: &EngineStatement) -> Result<bool, QueryError> {
    let mut guesses = Guesses {
        casts: BTreeMap::new(),
        argument: expression("1")?,
        arguments: BTreeSet::new(),
        within: Within::default(),
    };
    visit(&mut statement.clone(), &mut guesses);
    Ok(!guesses.arguments.is_empty())
}

/// A cast whose inside is this expression.
fn around(cast: &Ast, inside: Ast) -> Ast {
    let mut cast = cast.clone();
    if let Ast::Cast { expr, .. } = &mut cast {
        **expr = inside;
    }
    cast
}

impl VisitorMut for Guesses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Numbers of rows are typed by their place.
        let Ok(number) = expression("BIGINT") else {
            return ControlFlow::Continue(());
        };
        let counted = |expr: &mut Ast| {
            if number_of(expr).is_some() {
                *expr = around(&number, expr.clone());
            }
        };
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(counted);
                offset.iter_mut().for_each(|offset| counted(&mut offset.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => [offset, limit].into_iter().for_each(counted),
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.within.enter(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.within.leave(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        if let Ast::Cast { expr, .. } = expr {
            self.within.cast = number_of(expr).is_some();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        let Some(number) = number_of(expr) else {
            return ControlFlow::Continue(());
        };
        let is_cast = std::mem::take(&mut self.within.cast);
        if self.within.functions > 0 {
            self.arguments.insert(number);
            *expr = self.argument.clone();
        } else if let Some(cast) = self.casts.get(&number).filter(|_| !is_cast) {
            *expr = around(cast, expr.clone());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn read(sql: &str) -> EngineStatement {
        DFParser::parse_sql(sql).unwrap().pop_front().unwrap()
    }

    fn guessed(sql: &str, cast: Option<&str>) -> String {
        let mut statement = read(sql);
        let all = numbers(&statement).unwrap().into_iter();
        let mut guesses = Guesses {
            casts: cast.map_or_else(BTreeMap::new, |cast| {
                all.map(|number| (number, expression(cast).unwrap())).collect()
            }),
            argument: expression("1").unwrap(),
            arguments: BTreeSet::new(),
            within: Within::default(),
        };
        visit(&mut statement, &mut guesses);
        statement.to_string()
    }

    #[test]
    fn parameters_are_cast_unless_their_place_or_the_statement_types_them() {
        for (sql, wanted) in [
            ("SELECT $1", "SELECT CAST($1 AS VARCHAR)"),
            (
                "SELECT CAST($1 AS INT), upper($2)",
                "SELECT CAST($1 AS INT), upper(CAST($2 AS VARCHAR))",
            ),
            ("SELECT $1::DATE", "SELECT $1::DATE"),
            (
                "SELECT 1 LIMIT $1 OFFSET $2",
                "SELECT 1 LIMIT CAST($1 AS BIGINT) OFFSET CAST($2 AS BIGINT)",
            ),
            (
                "SELECT $2 FROM forecast('a', $1) WHERE x = $2",
                "SELECT CAST($2 AS VARCHAR) FROM forecast('a', 1) WHERE x = CAST($2 AS VARCHAR)",
            ),
            ("EXPLAIN SELECT $1", "EXPLAIN SELECT CAST($1 AS VARCHAR)"),
        ] {
            assert_eq!(guessed(sql, Some("VARCHAR")), wanted);
        }
        assert_eq!(guessed("SELECT $1 LIMIT 3", None), "SELECT $1 LIMIT 3");
    }

    #[test]
    fn numbers_are_found_and_names_are_refused() {
        let of = |sql: &str| numbers(&read(sql));
        assert_eq!(of("SELECT $2, $1 FROM f($3)").unwrap(), BTreeSet::from([1, 2, 3]));
        assert!(of("SELECT '$1'").unwrap().is_empty());
        assert!(of("SELECT $name").is_err());
        assert!(of("SELECT $1000").is_ok());
        for flood in ["$1001", "$99999999", "$4294967296", "$18446744073709551615"] {
            let refused = of(&format!("SELECT {flood}::bigint")).unwrap_err().to_string();
            assert!(refused.contains("at most 1000"), "{refused}");
        }
    }
}
