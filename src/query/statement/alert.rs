//! Alerts and reports, as sentences.
//!
//! ```sql
//! CREATE ALERT low_yield ON lab.chemistry.reactions WHEN avg(yield_pct) < 45 BY plate_id FOR 10 MINUTES NOTIFY sam BY email;
//! CREATE REPORT weekly AS SELECT … CRON '0 8 * * 1' NOTIFY sam, ana BY email;
//! ALTER ALERT low_yield SILENCE UNTIL '2026-07-01T08:00:00Z';  DROP ALERT low_yield;
//! ```

mod clauses;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, ObjectName, Query, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::TableName;

use clauses::{moment, number, series, text};

pub(crate) use clauses::Clauses;

use super::{end, lake_name, plain, question, syntax, word};
use crate::alerts::{Direction, Series};
use crate::query::QueryError;
use crate::query::view::period;

/// Robust standard deviations from which a value is an outlier: Iglewicz and Hoaglin, 1993.
const BEYOND: f64 = 3.5;

/// What is to be done with an alert or a report.
#[derive(Debug)]
pub(crate) enum AlertStatement {
    Create(Box<NewAlert>),
    CreateReport(Box<NewReport>),
    Alter { name: AlertName, change: AlertChange },
    Drop { name: AlertName, if_exists: bool },
}

/// `name`, `schema.name` or `lab.schema.name`, and which of the two it is.
#[derive(Debug, Clone)]
pub(crate) struct AlertName {
    pub(crate) kind: &'static str,
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct NewAlert {
    pub(crate) name: AlertName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) table: TableName,
    pub(crate) condition: Condition,
    pub(crate) clauses: Clauses,
    /// Tables that conditions read besides.
    pub(crate) relations: BTreeSet<TableName>,
}

#[derive(Debug)]
pub(crate) struct NewReport {
    pub(crate) name: AlertName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) query: Box<Query>,
    pub(crate) clauses: Clauses,
    pub(crate) relations: BTreeSet<TableName>,
}

/// What follows WHEN.
#[derive(Debug)]
pub(crate) enum Condition {
    Holds(Expr),
    Moves {
        value: Expr,
        direction: Direction,
        by: f64,
        percent: bool,
        series: Series,
    },
    Deviates {
        value: Expr,
        beyond: f64,
        series: Series,
    },
    NoNewRows {
        for_s: u64,
    },
}

/// What follows `ALTER ALERT name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlertChange {
    SilenceUntil(DateTime<Utc>),
    SilenceForS(u64),
    SilenceOff,
    Enable,
    Disable,
}

impl AlertStatement {
    /// What it does, in one word.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_alert",
            Self::CreateReport(_) => "create_report",
            Self::Alter { name, .. } if name.kind == "report" => "alter_report",
            Self::Alter { .. } => "alter_alert",
            Self::Drop { name, .. } if name.kind == "report" => "drop_report",
            Self::Drop { .. } => "drop_alert",
        }
    }

    /// The name it is about.
    pub(crate) fn name(&self) -> &AlertName {
        match self {
            Self::Create(new) => &new.name,
            Self::CreateReport(new) => &new.name,
            Self::Alter { name, .. } | Self::Drop { name, .. } => name,
        }
    }
}

impl std::fmt::Display for AlertName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Which of the two comes next, if any.
pub(super) fn kind(parser: &mut Parser<'_>) -> Option<&'static str> {
    ["alert", "report"].into_iter().find(|kind| word(parser, kind))
}

/// What follows `CREATE [OR REPLACE] ALERT|REPORT`.
pub(super) fn create(
    parser: &mut Parser<'_>,
    kind: &'static str,
    or_replace: bool,
) -> Result<AlertStatement, QueryError> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser, kind)?;
    if kind == "report" {
        return report(parser, name, or_replace, if_not_exists);
    }
    if !parser.parse_keyword(Keyword::ON) {
        return Err(syntax("after the alert's name comes ON <schema>.<table>"));
    }
    let table = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    if !parser.parse_keyword(Keyword::WHEN) {
        return Err(syntax(
            "after the table comes WHEN and the rule, such as WHEN avg(yield_pct) < 45",
        ));
    }
    let condition = condition(parser)?;
    let mut clauses = Clauses::default();
    while clauses.next(parser, true)? {}
    if clauses.notify.is_empty() {
        return Err(syntax("an alert ends with NOTIFY <login> [BY <channel>]"));
    }
    let mut relations = BTreeSet::new();
    let read: [Option<&Expr>; 2] = match &condition {
        Condition::Holds(expr) => [Some(expr), clauses.filter.as_ref()],
        Condition::Moves { value, .. } | Condition::Deviates { value, .. } => [Some(value), clauses.filter.as_ref()],
        Condition::NoNewRows { .. } => [None, clauses.filter.as_ref()],
    };
    for expr in read.into_iter().flatten() {
        let _ = visit_relations(expr, |name| relation(&mut relations, name));
    }
    relations.insert(table.clone());
    Ok(AlertStatement::Create(Box::new(NewAlert {
        name,
        or_replace,
        if_not_exists,
        table,
        condition,
        clauses,
        relations,
    })))
}

/// What follows `ALTER ALERT|REPORT`.
pub(super) fn alter(parser: &mut Parser<'_>, kind: &'static str) -> Result<AlertStatement, QueryError> {
    let name = name(parser, kind)?;
    let change = if word(parser, "enable") {
        AlertChange::Enable
    } else if word(parser, "disable") {
        AlertChange::Disable
    } else if word(parser, "silence") {
        if word(parser, "until") {
            AlertChange::SilenceUntil(moment(&text(parser, "SILENCE UNTIL")?)?)
        } else if parser.parse_keyword(Keyword::FOR) {
            AlertChange::SilenceForS(period(parser)?)
        } else if word(parser, "off") {
            AlertChange::SilenceOff
        } else {
            return Err(syntax(
                "write SILENCE UNTIL '2026-07-01T08:00:00Z', SILENCE FOR 2 HOURS or SILENCE OFF",
            ));
        }
    } else {
        return Err(syntax(format!(
            "ALTER {} name takes ENABLE, DISABLE, SILENCE UNTIL '…', SILENCE FOR 2 HOURS or SILENCE OFF",
            kind.to_uppercase()
        )));
    };
    Ok(AlertStatement::Alter { name, change })
}

/// What follows `DROP ALERT|REPORT`.
pub(super) fn drop(parser: &mut Parser<'_>, kind: &'static str) -> Result<AlertStatement, QueryError> {
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    Ok(AlertStatement::Drop {
        name: name(parser, kind)?,
        if_exists,
    })
}

fn name(parser: &mut Parser<'_>, kind: &'static str) -> Result<AlertName, QueryError> {
    let written = parser.parse_object_name(false).map_err(syntax)?;
    if let [only] = written.0.as_slice() {
        let name = only.as_ident().map(plain).unwrap_or_default();
        if TableName::clean(&name) != name {
            return Err(QueryError::Invalid(format!(
                "`{name}` cannot be a name here: use a-z, 0-9 and _, starting with a letter, for example `{}`",
                TableName::clean(&name)
            )));
        }
        return Ok(AlertName {
            kind,
            schema: None,
            name,
        });
    }
    let full = lake_name(&written)?;
    Ok(AlertName {
        kind,
        schema: Some(full.schema),
        name: full.table,
    })
}

fn condition(parser: &mut Parser<'_>) -> Result<Condition, QueryError> {
    let is = |parser: &Parser<'_>, n, text: &str| matches!(&parser.peek_nth_token(n).token, Token::Word(word) if word.value.eq_ignore_ascii_case(text));
    if is(parser, 0, "no") && is(parser, 1, "new") && is(parser, 2, "rows") {
        for _ in 0..3 {
            parser.next_token();
        }
        parser.expect_keyword(Keyword::FOR).map_err(syntax)?;
        return Ok(Condition::NoNewRows { for_s: period(parser)? });
    }
    let value = parser.parse_expr().map_err(syntax)?;
    let direction = [
        ("falls", Direction::Falls),
        ("rises", Direction::Rises),
        ("changes", Direction::Changes),
    ]
    .into_iter()
    .find(|(text, _)| word(parser, text));
    if let Some((_, direction)) = direction {
        parser.expect_keyword(Keyword::BY).map_err(syntax)?;
        let by = number(parser)?;
        let percent = word(parser, "percent") || parser.consume_token(&Token::Mod);
        return Ok(Condition::Moves {
            value,
            direction,
            by,
            percent,
            series: series(parser)?,
        });
    }
    if word(parser, "deviates") {
        let beyond = if word(parser, "beyond") {
            number(parser)?
        } else {
            BEYOND
        };
        return Ok(Condition::Deviates {
            value,
            beyond,
            series: series(parser)?,
        });
    }
    Ok(Condition::Holds(value))
}

/// Schedule and recipients stand before AS or after the query, where the query's own grammar would read their first word as
/// an alias: so the query is cut off before it is read.
fn report(
    parser: &mut Parser<'_>,
    name: AlertName,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<AlertStatement, QueryError> {
    let mut clauses = Clauses::default();
    while clauses.next(parser, false)? {}
    if !parser.parse_keyword(Keyword::AS) {
        return Err(syntax(
            "CREATE REPORT name AS SELECT … EVERY 1 DAY NOTIFY <login> BY <channel>",
        ));
    }
    let (mut query, mut depth) = (Vec::new(), 0_usize);
    loop {
        let token = parser.peek_token().token;
        match &token {
            Token::EOF | Token::SemiColon => break,
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(first) if depth == 0 && is_clause(&first.value, &parser.peek_nth_token(1).token) => break,
            _ => {}
        }
        parser.next_token();
        query.push(token);
    }
    while clauses.next(parser, false)? {}
    let dialect = GenericDialect {};
    let mut reader = Parser::new(&dialect).with_tokens(query);
    let query = question(&mut reader)?;
    end(&mut reader)?;
    if clauses.notify.is_empty() || clauses.when.is_none() {
        return Err(syntax(
            "a report needs EVERY 1 DAY or CRON '0 8 * * 1', and NOTIFY <login> [BY <channel>]",
        ));
    }
    let mut relations = BTreeSet::new();
    let _ = visit_relations(&query, |name| relation(&mut relations, name));
    Ok(AlertStatement::CreateReport(Box::new(NewReport {
        name,
        or_replace,
        if_not_exists,
        query,
        clauses,
        relations,
    })))
}

/// Whether two tokens begin a clause of a report.
fn is_clause(first: &str, second: &Token) -> bool {
    match first.to_ascii_lowercase().as_str() {
        "every" => matches!(second, Token::Number(..)),
        "cron" | "message" => matches!(second, Token::SingleQuotedString(_)),
        "notify" => matches!(second, Token::Word(_) | Token::SingleQuotedString(_)),
        _ => false,
    }
}

/// Full names only: a single word is a common table expression.
fn relation(relations: &mut BTreeSet<TableName>, name: &ObjectName) -> ControlFlow<()> {
    if let Ok(name) = lake_name(name) {
        relations.insert(name);
    }
    ControlFlow::Continue(())
}

/// The left side of a comparison: the value that a threshold is held against.
pub(crate) fn compared(condition: &Expr) -> Option<&Expr> {
    match condition {
        Expr::Nested(inner) => compared(inner),
        Expr::BinaryOp {
            left,
            op:
                BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Eq
                | BinaryOperator::NotEq,
            ..
        } => Some(left),
        Expr::Between { expr, .. } => Some(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
