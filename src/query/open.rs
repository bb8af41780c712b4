//! Parameters of reads: what a statement gives before its values are bound, and values in places where the planner wants
//! them written.
//!
//! The engine types a parameter by what it is compared or computed with, or cast to. Where it cannot (`SELECT ?`,
//! `upper(?)`) types are tried, text first as PostgreSQL does, until the statement can be planned: a client must be
//! told a type that it can bind, and columns. Running takes a value of any type that fits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
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
use super::{QueryError, errors, narrow};

/// Types that are tried for parameters that nothing types; the first is none.
const TYPES: [Option<&str>; 5] = [None, Some("VARCHAR"), Some("BIGINT"), Some("DOUBLE"), Some("BOOLEAN")];
/// What is tried as an argument of a table function, which must be written out.
const ARGUMENTS: [(&str, DataType); 2] = [("1", DataType::Int64), ("''", DataType::Utf8)];

/// The numbers of a statement's parameters.
///
/// # Errors
/// A parameter has a name instead of a number.
pub(super) fn numbers(statement: &EngineStatement) -> Result<BTreeSet<usize>, QueryError> {
    let mut found = Found::default();
    match statement {
        EngineStatement::Statement(ast) => {
            let _ = Visit::visit(ast.as_ref(), &mut found);
        }
        EngineStatement::Explain(explain) => return numbers(&explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => {}
    }
    match found.named {
        true => Err(QueryError::Invalid("parameters are written ? or $1, $2, …".into())),
        false => Ok(found.numbers),
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
    let (mut first, mut refused) = (None, None);
    for (argument, argument_type) in ARGUMENTS {
        for guess in TYPES {
            let mut tried = statement.clone();
            let mut guesses = Guesses {
                parameter: guess.map(expression).transpose()?,
                argument: expression(argument)?,
                arguments: BTreeSet::new(),
                within: Within::default(),
            };
            visit(&mut tried, &mut guesses);
            let plan = match logical(state, tried).await {
                Ok(plan) => plan,
                Err(error @ QueryError::Invalid(_)) => {
                    refused.get_or_insert(error);
                    continue;
                }
                // No type makes a table that is not there be there.
                Err(error) if refused.is_none() => return Err(error),
                Err(_) => continue,
            };
            let mut types = types(&plan)?;
            types.extend(
                guesses
                    .arguments
                    .into_iter()
                    .map(|number| (number, argument_type.clone())),
            );
            let open = Outlook::Open {
                columns: Arc::clone(plan.schema().inner()),
                parameters: narrow::narrow_schema(&fields(&types, numbers)),
            };
            if numbers.iter().all(|number| types.contains_key(number)) {
                return Ok(open);
            }
            first.get_or_insert(open);
        }
        if !has_arguments(&statement)? {
            break;
        }
    }
    match (first, refused) {
        (Some(open), _) => Ok(open),
        (None, Some(error)) => Err(error),
        (None, None) => Err(QueryError::internal("no type was tried for a parameter")),
    }
}

/// Writes values out where they are arguments of a table function.
///
/// # Errors
/// The value is of a type that cannot be written, or is not bound.
pub(super) fn written_out(statement: &mut EngineStatement, values: &[ScalarValue]) -> Result<(), QueryError> {
    let mut writing = Writing {
        values,
        within: Within::default(),
        refused: None,
    };
    visit(statement, &mut writing);
    writing.refused.map_or(Ok(()), Err)
}

pub(crate) fn visit<V: VisitorMut<Break = ()>>(statement: &mut EngineStatement, visitor: &mut V) {
    match statement {
        EngineStatement::Statement(ast) => {
            let _ = VisitMut::visit(ast.as_mut(), visitor);
        }
        EngineStatement::Explain(explain) => visit(&mut explain.statement, visitor),
        EngineStatement::CreateExternalTable(_) | EngineStatement::CopyTo(_) | EngineStatement::Reset(_) => {}
    }
}

/// The number of a parameter, if an expression is one.
fn number_of(expr: &Ast) -> Option<usize> {
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

fn fields(types: &BTreeMap<usize, DataType>, numbers: &BTreeSet<usize>) -> Schema {
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
struct Within {
    /// Table functions around.
    functions: usize,
    /// The next parameter is one that is cast.
    cast: bool,
}

impl Within {
    fn enter(&mut self, factor: &TableFactor) {
        self.functions += usize::from(is_function(factor));
    }

    fn leave(&mut self, factor: &TableFactor) {
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
    /// A cast, of which the parameter becomes the inside.
    parameter: Option<Ast>,
    argument: Ast,
    /// Parameters that are arguments of table functions.
    arguments: BTreeSet<usize>,
    within: Within,
}

/// Whether a statement has parameters that are arguments of table functions.
fn has_arguments(statement: &EngineStatement) -> Result<bool, QueryError> {
    let mut guesses = Guesses {
        parameter: None,
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
        } else if let Some(cast) = self.parameter.as_ref().filter(|_| !is_cast) {
            *expr = around(cast, expr.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Puts values in the place of parameters that are arguments of table functions.
struct Writing<'a> {
    values: &'a [ScalarValue],
    within: Within,
    refused: Option<QueryError>,
}

impl VisitorMut for Writing<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.within.enter(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.within.leave(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        if self.within.functions > 0
            && let Some(number) = number_of(expr)
        {
            let value = number.checked_sub(1).and_then(|at| self.values.get(at));
            match value.map(literal) {
                Some(Ok(literal)) => *expr = literal,
                Some(Err(error)) => {
                    self.refused.get_or_insert(error);
                }
                // The count of values is checked where they are bound.
                None => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// A value as it is written in a statement.
fn literal(value: &ScalarValue) -> Result<Ast, QueryError> {
    let data_type = value.data_type();
    let text = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        _ if value.is_null() => "(NULL)".to_owned(),
        _ if data_type.is_integer() || data_type.is_floating() || data_type == DataType::Boolean => {
            format!("({value})")
        }
        _ => {
            return Err(QueryError::Invalid(format!(
                "a value of the type {data_type} cannot be bound as an argument of a table function: numbers, texts and true or false can"
            )));
        }
    };
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_expr());
    let parsed = parsed.map_err(QueryError::internal)?;
    Ok(match parsed {
        Ast::Nested(inside) => *inside,
        other => other,
    })
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
        let mut guesses = Guesses {
            parameter: cast.map(|cast| expression(cast).unwrap()),
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
    }

    #[test]
    fn values_are_written_out_for_table_functions_only_and_never_as_statements() {
        let put = |sql: &str, values: &[ScalarValue]| {
            let mut statement = read(sql);
            written_out(&mut statement, values).map(|()| statement.to_string())
        };
        let values = [
            ScalarValue::from("a'); DROP TABLE x --"),
            ScalarValue::from(-3_i64),
            ScalarValue::from(1.5_f64),
            ScalarValue::from(true),
        ];
        assert_eq!(
            put("SELECT $1 FROM f($1, $2, $3, $4)", &values).unwrap(),
            "SELECT $1 FROM f('a''); DROP TABLE x --', -3, 1.5, true)"
        );
        for value in [
            ScalarValue::Binary(Some(vec![1])),
            ScalarValue::Decimal128(Some(150), 10, 2),
        ] {
            assert!(put("SELECT 1 FROM f($1)", &[value]).is_err());
        }
    }
}
