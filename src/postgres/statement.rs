//! What a text sent to this door is: a word about the session, a question that cannot have an answer, or a statement for
//! the query road.
//!
//! Transactions and their savepoints are the engine's: of one table each. What defines tables commits by itself and is refused
//! inside one, since its ROLLBACK would be a lie.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    CloseCursor, Declare, DiscardObject, Expr, FetchDirection, Query, Reset, SelectItem, Set, SetExpr,
    Statement as Ast, Value, ValueWithSpan, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::rewrite::{self, Words};
use super::{empty, literals, typeinfo};
use crate::pg_catalog::types::oid_by_name;
use crate::query::printed::printed;

/// What to do with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Commit,
    Rollback,
    /// A savepoint is set.
    Savepoint(String),
    /// A savepoint is let go.
    Release(String),
    RollbackTo(String),
    /// A setting and its value; none = the default again.
    Set {
        name: String,
        value: Option<String>,
    },
    ResetAll,
    /// Everything that the connection keeps is forgotten.
    DiscardAll,
    /// A prepared statement, or all, is forgotten.
    Deallocate(Option<String>),
    /// Nothing, and say so with this tag.
    Nothing(&'static str),
    /// The value of a setting.
    Show(String),
    /// No row of these columns.
    NoRow(SchemaRef),
    /// What types there are, for asyncpg.
    Types,
    /// A cursor: a query that is fetched in parts.
    Declare {
        name: String,
        is_held: bool,
        sql: String,
    },
    /// The next rows of a cursor; 0 = all.
    Fetch {
        name: String,
        rows_max: usize,
    },
    CloseCursor(Option<String>),
    /// A statement for the engine, and what its end is called.
    Run {
        sql: String,
        tag: String,
    },
    Refuse(&'static str),
}

/// Reads one statement.
pub(super) fn read(sql: &str, words: &Words<'_>) -> Kind {
    let run = |sql: String| Kind::Run { tag: tag(&sql), sql };
    if tag(sql) == "ABORT" {
        return Kind::Rollback;
    }
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql);
    let Some(mut statement) = parsed.ok().filter(|all| all.len() == 1).and_then(|mut all| all.pop()) else {
        // Our own statements, and what is wrong: the engine knows or says.
        return run(sql.to_owned());
    };
    if let Some(kind) = about_session(&statement) {
        return kind;
    }
    if let Ast::Query(query) = &statement
        && typeinfo::is_asked(query)
    {
        return Kind::Types;
    }
    if let Some(why) = literals::refused(&statement) {
        return Kind::Refuse(why);
    }
    let before = statement.clone();
    rewrite::rewrite(&mut statement, words);
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
        run(printed(&statement))
    }
}

/// What is about the session and not about data.
fn about_session(statement: &Ast) -> Option<Kind> {
    Some(match statement {
        Ast::StartTransaction { .. } => Kind::Begin,
        Ast::Commit { .. } => Kind::Commit,
        Ast::Rollback { savepoint: None, .. } => Kind::Rollback,
        Ast::Rollback {
            savepoint: Some(name), ..
        } => Kind::RollbackTo(folded(name)),
        Ast::Savepoint { name } => Kind::Savepoint(folded(name)),
        Ast::ReleaseSavepoint { name } => Kind::Release(folded(name)),
        Ast::Set(set) => self::set(set),
        Ast::Reset(reset) => match &reset.reset {
            Reset::ALL => Kind::ResetAll,
            Reset::ConfigurationParameter(name) => Kind::Set {
                name: name.to_string(),
                value: None,
            },
        },
        Ast::Discard {
            object_type: DiscardObject::ALL,
        } => Kind::DiscardAll,
        Ast::Discard { .. } => Kind::Nothing("DISCARD"),
        Ast::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Kind::Deallocate((!all).then(|| folded(name)))
        }
        Ast::LISTEN { .. } => Kind::Refuse("nothing is notified here: LISTEN is not run"),
        Ast::UNLISTEN { .. } => Kind::Nothing("UNLISTEN"),
        Ast::ShowVariable { variable } => Kind::Show(shown(
            &variable.iter().map(|word| word.value.as_str()).collect::<Vec<_>>(),
        )?),
        Ast::Declare { stmts } => declare(stmts.as_slice()),
        Ast::Fetch { name, direction, .. } => match rows_of(direction) {
            Some(rows_max) => Kind::Fetch {
                name: folded(name),
                rows_max,
            },
            None => Kind::Refuse("a cursor here goes forward only: FETCH [NEXT | n | ALL | FORWARD n] FROM name"),
        },
        Ast::Close { cursor } => Kind::CloseCursor(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(folded(name)),
        }),
        _ => return None,
    })
}

fn set(set: &Set) -> Kind {
    let kept = |name: &str, value: &str| Kind::Set {
        name: name.to_owned(),
        value: (!value.eq_ignore_ascii_case("default")).then(|| value.to_owned()),
    };
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let values: Vec<String> = values.iter().map(value_of).collect();
            kept(&variable.to_string(), &values.join(", "))
        }
        Set::SetTimeZone { value, .. } => kept("TimeZone", &value_of(value)),
        Set::SetNames { charset_name, .. } => kept("client_encoding", &charset_name.value),
        Set::SetRole {
            role_name: Some(role), ..
        } if !role.value.eq_ignore_ascii_case("none") => {
            Kind::Refuse("roles are given by the policies and cannot be set: log in as somebody else")
        }
        Set::SetSessionAuthorization(_) => {
            Kind::Refuse("a connection speaks for who has logged in: log in as somebody else")
        }
        Set::SetRole { .. }
        | Set::SetTransaction { .. }
        | Set::SetNamesDefault {}
        | Set::SetSessionParam(_)
        | Set::ParenthesizedAssignments { .. }
        | Set::MultipleAssignments { .. } => Kind::Nothing("SET"),
    }
}

/// A value as it was meant: texts without their quotes.
fn value_of(value: &Expr) -> String {
    match value {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => text.clone(),
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

fn declare(all: &[Declare]) -> Kind {
    match all {
        [
            Declare {
                names,
                hold,
                for_query: Some(query),
                scroll,
                ..
            },
        ] => match names.as_slice() {
            [_] if *scroll == Some(true) => Kind::Refuse("a cursor here goes forward only: DECLARE it with NO SCROLL"),
            [name] => Kind::Declare {
                name: folded(name),
                is_held: *hold == Some(true),
                sql: printed(query.as_ref()),
            },
            _ => Kind::Refuse("a cursor has one name"),
        },
        _ => Kind::Refuse("DECLARE takes a cursor: DECLARE name CURSOR FOR SELECT …"),
    }
}

fn rows_of(direction: &FetchDirection) -> Option<usize> {
    let count = |limit: &ValueWithSpan| match &limit.value {
        Value::Number(number, _) => number.to_string().parse::<usize>().ok().filter(|count| *count > 0),
        _ => None,
    };
    match direction {
        FetchDirection::Next => Some(1),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => count(limit),
        FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::All | FetchDirection::ForwardAll => Some(0),
        FetchDirection::Prior
        | FetchDirection::First
        | FetchDirection::Last
        | FetchDirection::Absolute { .. }
        | FetchDirection::Relative { .. }
        | FetchDirection::Backward { .. }
        | FetchDirection::BackwardAll => None,
    }
}

/// A name as PostgreSQL keeps it: in lower case unless it was quoted.
fn folded(name: &datafusion::sql::sqlparser::ast::Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

/// The setting that is asked for, if it is one.
fn shown(words: &[&str]) -> Option<String> {
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    Some(match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["time", "zone"] => "TimeZone".to_owned(),
        ["all" | "tables" | "columns" | "functions"] | [] => return None,
        [_] => words.join(""),
        _ => return None,
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
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .unwrap_or_default();
    let words = tokens.iter().filter_map(|token| match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    });
    let words: Vec<String> = words.take(3).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["WITH" | "VALUES" | "TABLE" | "FROM", ..] | [] => "SELECT".to_owned(),
        ["INSERT", ..] => "INSERT 0".to_owned(),
        ["CREATE", "OR", "REPLACE"] => "CREATE".to_owned(),
        [first @ ("CREATE" | "DROP" | "ALTER" | "REFRESH"), "MATERIALIZED", ..] => format!("{first} MATERIALIZED VIEW"),
        [first @ ("CREATE" | "DROP" | "UNDROP" | "ALTER" | "CANCEL"), second, ..] => format!("{first} {second}"),
        [first, ..] => (*first).to_owned(),
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
    let mut tokens = tokens.iter().peekable();
    let (mut parts, mut part, mut says_something) = (Vec::new(), String::new(), false);
    // The tokenizer counts lines and columns in characters from 1.
    let mut at = Location { line: 1, column: 1 };
    for letter in sql.chars() {
        let begins = tokens.next_if(|token| token.span.start == at).map(|token| &token.token);
        match begins {
            Some(Token::SemiColon) => {
                let ended = std::mem::take(&mut part);
                parts.extend(std::mem::take(&mut says_something).then_some(ended));
            }
            begins => {
                says_something |= begins.is_some_and(|token| !matches!(token, Token::Whitespace(_)));
                part.push(letter);
            }
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
    parts.extend(says_something.then_some(part));
    parts
}

/// How many parameters a statement numbers.
pub(super) fn numbered(sql: &str) -> usize {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().unwrap_or_default();
    let numbers = tokens.iter().filter_map(|token| match token {
        Token::Placeholder(text) => text.strip_prefix('$')?.parse::<usize>().ok(),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// The types that a statement casts its parameters to, by their numbers.
pub(super) fn casts(sql: &str) -> BTreeMap<usize, u32> {
    let mut found = Casts::default();
    for statement in Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap_or_default() {
        let _ = Visit::visit(&statement, &mut found);
    }
    found.0
}

#[derive(Default)]
struct Casts(BTreeMap<usize, u32>);

impl Visitor for Casts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Expr::Value(value) = expr.as_ref()
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|digits| digits.parse().ok())
            && let Some(oid) = oid_by_name(&data_type.to_string())
        {
            self.0.insert(number, oid);
        }
        ControlFlow::Continue(())
    }
}

/// The one column of `SHOW`.
pub(super) fn one_text(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]))
}

#[cfg(test)]
mod tests;
