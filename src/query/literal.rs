//! Values in places where the planner wants them written: as arguments of table functions.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Expr as Ast, TableFactor, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::QueryError;
use super::open::{Within, number_of, visit};

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
