//! `DESCRIBE HISTORY lab.s.t`: another way to write `SELECT * FROM table_history('lab.s.t')`.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{CATALOG, Statement, as_engine_statement, end, lake_name, syntax};
use crate::query::QueryError;
use crate::system::HISTORY;

/// Reads it; none when it is another statement. Nothing is consumed then.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Statement>, QueryError> {
    // A table called `history` is described by this name alone.
    let [Token::Word(describe), Token::Word(history), Token::Word(_)] = parser.peek_tokens::<3>() else {
        return Ok(None);
    };
    let describes = [Keyword::DESCRIBE, Keyword::DESC].contains(&describe.keyword);
    if !(describes && history.quote_style.is_none() && history.value.eq_ignore_ascii_case("history")) {
        return Ok(None);
    }
    parser.advance_token();
    parser.advance_token();
    let table = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    end(parser)?;
    let sql = format!("SELECT * FROM {HISTORY}('{CATALOG}.{table}')");
    let mut written = Parser::new(&GenericDialect {}).try_with_sql(&sql).map_err(syntax)?;
    let query = written.parse_query().map_err(syntax)?;
    Ok(Some(Statement::Read(Box::new(as_engine_statement(query)))))
}
