//! What a text sent to this door is: a word about the session, a question that cannot have an answer, or a statement for
//! the query road.
//!
//! Sessions keep nothing and each statement commits by itself. So a transaction may be opened and ended around reads,
//! which tools do unasked; a write inside one is refused, since its ROLLBACK would be a lie.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Query, SelectItem, SetExpr, Statement as Ast};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::{empty, rewrite};
use crate::pg_catalog::SETTINGS;

/// What to do with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Commit,
    Rollback,
    /// Nothing, and say so with this tag.
    Nothing(&'static str),
    /// One row with one value.
    Show {
        name: String,
        value: String,
    },
    /// No row of these columns.
    NoRow(SchemaRef),
    /// A statement for the engine, and what its end is called.
    Run {
        sql: String,
        tag: String,
    },
    Refuse(&'static str),
}

/// A statement with what is told of it before it runs.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) kind: Kind,
    pub(super) parameters: SchemaRef,
    pub(super) columns: SchemaRef,
    pub(super) writes: bool,
}

/// Reads one statement of `user`.
pub(super) fn read(sql: &str, user: &str) -> Kind {
    let run = |sql: String| Kind::Run { tag: tag(&sql), sql };
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql);
    let Some(mut statement) = parsed.ok().filter(|all| all.len() == 1).and_then(|mut all| all.pop()) else {
        // Our own statements, and what is wrong: the engine knows or says.
        return run(sql.to_owned());
    };
    match &statement {
        Ast::StartTransaction { .. } => return Kind::Begin,
        Ast::Commit { .. } => return Kind::Commit,
        Ast::Rollback { savepoint: None, .. } => return Kind::Rollback,
        Ast::Rollback { .. } | Ast::Savepoint { .. } | Ast::ReleaseSavepoint { .. } => {
            return Kind::Refuse("there are no savepoints here: each statement commits by itself");
        }
        Ast::Set(_) => return Kind::Nothing("SET"),
        Ast::Reset(_) => return Kind::Nothing("RESET"),
        Ast::Discard { .. } => return Kind::Nothing("DISCARD ALL"),
        Ast::Deallocate { .. } => return Kind::Nothing("DEALLOCATE"),
        Ast::LISTEN { .. } => return Kind::Refuse("nothing is notified here: LISTEN is not run"),
        Ast::UNLISTEN { .. } => return Kind::Nothing("UNLISTEN"),
        Ast::ShowVariable { variable } => {
            let words: Vec<&str> = variable.iter().map(|word| word.value.as_str()).collect();
            if let Some(shown) = show(&words) {
                return shown;
            }
        }
        _ => {}
    }
    let before = statement.clone();
    rewrite::rewrite(&mut statement, user);
    if let Ast::Query(query) = &statement
        && empty::has_no_row(query)
        && !has_wildcard(query)
    {
        return Kind::NoRow(empty::columns(query));
    }
    // A text that needs no rewriting goes on as it came.
    if statement == before {
        run(sql.to_owned())
    } else {
        run(statement.to_string())
    }
}

fn show(words: &[&str]) -> Option<Kind> {
    let asked = match words {
        [a, b, c] if [*a, *b, *c].map(str::to_lowercase) == ["transaction", "isolation", "level"] => {
            "transaction_isolation".to_owned()
        }
        [a, b] if [*a, *b].map(str::to_lowercase) == ["time", "zone"] => "TimeZone".to_owned(),
        words => words.join("_"),
    };
    let (name, value) = SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&asked))?;
    Some(Kind::Show {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    })
}

fn has_wildcard(query: &Query) -> bool {
    let items = match query.body.as_ref() {
        SetExpr::Select(select) => select.projection.as_slice(),
        _ => return false,
    };
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    items.iter().any(is_wildcard)
}

/// How PostgreSQL calls the end of a statement: its first words.
fn tag(sql: &str) -> String {
    let words = sql
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .filter(|word| !word.is_empty());
    let words: Vec<String> = words.take(3).map(str::to_uppercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["INSERT", ..] => "INSERT 0".to_owned(),
        [first @ ("CREATE" | "DROP" | "ALTER" | "REFRESH"), "MATERIALIZED", ..] => format!("{first} MATERIALIZED VIEW"),
        ["CREATE", "OR", ..] => "CREATE".to_owned(),
        [first @ ("CREATE" | "DROP" | "UNDROP" | "ALTER"), second, ..] => format!("{first} {second}"),
        [first, ..] => (*first).to_owned(),
        [] => String::new(),
    }
}

/// The statements of a text that holds several.
pub(super) fn split(sql: &str) -> Vec<String> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location();
    let Ok(tokens) = tokens else {
        return vec![sql.to_owned()];
    };
    let mut ends = tokens
        .iter()
        .filter(|token| token.token == Token::SemiColon)
        .map(|token| token.span.start)
        .peekable();
    let (mut parts, mut part) = (Vec::new(), String::new());
    // The tokenizer counts lines and columns in characters from 1.
    let mut at = Location { line: 1, column: 1 };
    for letter in sql.chars() {
        if ends.next_if(|end| *end == at).is_some() {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(letter);
        }
        at = match letter {
            '\n' => Location {
                line: at.line + 1,
                column: 1,
            },
            _ => Location {
                column: at.column + 1,
                ..at
            },
        };
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Text parameters, as many as a statement numbers: for statements that the engine does not describe.
pub(super) fn numbered(sql: &str) -> SchemaRef {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().unwrap_or_default();
    let numbers = tokens.iter().filter_map(|token| match token {
        Token::Placeholder(text) => text.strip_prefix('$')?.parse::<usize>().ok(),
        _ => None,
    });
    let count = numbers.max().unwrap_or(0).min(1_000);
    let fields = (1..=count).map(|number| Field::new(format!("${number}"), DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_the_session_are_answered_here() {
        let of = |sql| read(sql, "sam");
        assert_eq!(of("BEGIN"), Kind::Begin);
        assert_eq!(of("START TRANSACTION READ ONLY"), Kind::Begin);
        assert_eq!(of("commit"), Kind::Commit);
        assert_eq!(of("ROLLBACK"), Kind::Rollback);
        assert_eq!(of("SET search_path TO chemistry"), Kind::Nothing("SET"));
        assert_eq!(of("DISCARD ALL"), Kind::Nothing("DISCARD ALL"));
        assert!(matches!(of("SAVEPOINT a"), Kind::Refuse(_)));
        assert!(matches!(of("show standard_conforming_strings"), Kind::Show { value, .. } if value == "on"));
        assert!(matches!(of("SHOW TRANSACTION ISOLATION LEVEL"), Kind::Show { .. }));
        assert!(matches!(of("SELECT polname FROM pg_policy"), Kind::NoRow(_)));
    }

    #[test]
    fn statements_go_on_as_they_came_unless_they_need_other_words() {
        let odd = "SELECT  1 -- why";
        assert_eq!(
            read(odd, "sam"),
            Kind::Run {
                sql: odd.into(),
                tag: "SELECT".into()
            }
        );
        let model = "CREATE MODEL lab.chemistry.m OPTIONS (target = 'y') AS SELECT 1";
        assert!(matches!(read(model, "sam"), Kind::Run { sql, tag } if sql == model && tag == "CREATE MODEL"));
        assert!(matches!(read("SELECT current_user", "sam"), Kind::Run { sql, .. } if sql == "SELECT 'sam'"));
        assert!(matches!(read("SELECT * FROM pg_index", "sam"), Kind::Run { .. }));
        assert!(matches!(read("INSERT INTO t VALUES (1)", "sam"), Kind::Run { tag, .. } if tag == "INSERT 0"));
    }

    #[test]
    fn several_statements_are_split_outside_of_quotes() {
        assert_eq!(
            split("SELECT ';'; SELECT \"a;b\" -- x;\n ;;"),
            ["SELECT ';'", " SELECT \"a;b\" -- x;\n "]
        );
        assert_eq!(split("SELECT 1"), ["SELECT 1"]);
        assert!(split(" ; ").is_empty());
        assert_eq!(numbered("SELECT $2 || '$7'").fields().len(), 2);
    }
}
