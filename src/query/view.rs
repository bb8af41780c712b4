//! `CREATE`, `REFRESH` and `DROP MATERIALIZED VIEW`, as text.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::TableName;
use serde::{Deserialize, Serialize};

use super::QueryError;
use super::statement::{end, lake_name, plain, question, syntax, word};

/// Shortest time between two refreshes by the clock: each reads all of the sources.
const EVERY_S_MIN: u64 = 10;
/// Expectations of one view: each is looked at over all new rows.
const EXPECTATIONS_MAX: usize = 64;
/// Longest time a statement can name: its sum with any date is a date.
const PERIOD_S_MAX: u64 = 10 * 366 * 86_400;

/// When a view is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refresh {
    /// Soon after a table it reads has changed.
    OnChange,
    /// After so many seconds.
    EveryS(u64),
    /// When somebody asks.
    OnDemand,
}

impl std::fmt::Display for Refresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refresh::OnChange => f.write_str("on change"),
            Refresh::EveryS(seconds) => write!(f, "every {seconds} s"),
            Refresh::OnDemand => f.write_str("on demand"),
        }
    }
}

/// What every set of rows of a view must fulfil before it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expectation {
    /// The column has a value in each row.
    NotNull(String),
    /// No two rows have the same values in these columns. Rows with nothing in one of them are not compared.
    Unique(Vec<String>),
    /// The column's values lie in a range, its ends included; nothing is no value.
    Between { column: String, low: f64, high: f64 },
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotNull(column) => write!(f, "NOT NULL {column}"),
            Self::Unique(columns) => write!(f, "UNIQUE ({})", columns.join(", ")),
            Self::Between { column, low, high } => write!(f, "{column} BETWEEN {low} AND {high}"),
        }
    }
}

/// What is to be done with a view.
#[derive(Debug)]
pub(crate) enum ViewStatement {
    Create {
        name: TableName,
        refresh: Refresh,
        /// The external step that the query's rows go through.
        step: Option<String>,
        expected: Vec<Expectation>,
        query: Box<Query>,
        or_replace: bool,
        if_not_exists: bool,
    },
    Refresh {
        name: TableName,
        /// All of it, even where its new rows would do.
        full: bool,
    },
    Drop {
        name: TableName,
        if_exists: bool,
    },
}

impl ViewStatement {
    /// What it does, in one word.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create_view",
            Self::Refresh { .. } => "refresh_view",
            Self::Drop { .. } => "drop_view",
        }
    }

    /// What follows `CREATE OR REPLACE MATERIALIZED`, to its end.
    pub(crate) fn created(parser: &mut Parser<'_>) -> Result<Self, QueryError> {
        let statement = create(parser, true)?;
        end(parser)?;
        Ok(statement)
    }

    /// The view it is about.
    pub(crate) fn name(&self) -> &TableName {
        match self {
            Self::Create { name, .. } | Self::Refresh { name, .. } | Self::Drop { name, .. } => name,
        }
    }
}

/// What follows `CREATE [OR REPLACE] MATERIALIZED`.
pub(super) fn create(parser: &mut Parser<'_>, or_replace: bool) -> Result<ViewStatement, QueryError> {
    parser.expect_keyword(Keyword::VIEW).map_err(syntax)?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let refresh = match word(parser, "refresh") {
        true => refresh(parser)?,
        false => Refresh::OnChange,
    };
    let step = match word(parser, "via") {
        true => Some(plain(&parser.parse_identifier().map_err(syntax)?)),
        false => None,
    };
    let expected = match word(parser, "expect") {
        true => expectations(parser)?,
        false => Vec::new(),
    };
    parser.expect_keyword(Keyword::AS).map_err(syntax)?;
    Ok(ViewStatement::Create {
        name,
        refresh,
        step,
        expected,
        query: question(parser)?,
        or_replace,
        if_not_exists,
    })
}

/// `(NOT NULL day, UNIQUE (plate_id, well), yield_pct BETWEEN 0 AND 110)`
fn expectations(parser: &mut Parser<'_>) -> Result<Vec<Expectation>, QueryError> {
    parser.expect_token(&Token::LParen).map_err(syntax)?;
    let mut all = Vec::new();
    loop {
        if all.len() == EXPECTATIONS_MAX {
            return Err(syntax(format!("a view has {EXPECTATIONS_MAX} expectations at most")));
        }
        all.push(expectation(parser)?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen).map_err(syntax)?;
    Ok(all)
}

fn expectation(parser: &mut Parser<'_>) -> Result<Expectation, QueryError> {
    let column = |parser: &mut Parser<'_>| parser.parse_identifier().map(|name| plain(&name)).map_err(syntax);
    if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
        return Ok(Expectation::NotNull(column(parser)?));
    }
    if parser.parse_keyword(Keyword::UNIQUE) {
        parser.expect_token(&Token::LParen).map_err(syntax)?;
        let mut columns = vec![column(parser)?];
        while parser.consume_token(&Token::Comma) {
            columns.push(column(parser)?);
        }
        parser.expect_token(&Token::RParen).map_err(syntax)?;
        return Ok(Expectation::Unique(columns));
    }
    let column = column(parser)?;
    if !parser.parse_keyword(Keyword::BETWEEN) {
        return Err(syntax(
            "EXPECT takes NOT NULL column, UNIQUE (column, …) and column BETWEEN low AND high",
        ));
    }
    let low = number(parser)?;
    parser.expect_keyword(Keyword::AND).map_err(syntax)?;
    let high = number(parser)?;
    if low > high {
        return Err(syntax(format!(
            "nothing lies between {low} and {high}: the lower end comes first"
        )));
    }
    Ok(Expectation::Between { column, low, high })
}

fn number(parser: &mut Parser<'_>) -> Result<f64, QueryError> {
    let is_negative = parser.consume_token(&Token::Minus);
    let unclear = || syntax("BETWEEN takes two numbers");
    let number: f64 = match parser.next_token().token {
        Token::Number(text, _) => text.parse().map_err(|_| unclear())?,
        _ => return Err(unclear()),
    };
    Ok(if is_negative { -number } else { number })
}

fn refresh(parser: &mut Parser<'_>) -> Result<Refresh, QueryError> {
    let unclear = || syntax("after REFRESH comes ON CHANGE, ON DEMAND or EVERY 10 MINUTES (SECONDS, HOURS, DAYS)");
    if parser.parse_keyword(Keyword::ON) {
        return match (word(parser, "change"), word(parser, "demand")) {
            (true, _) => Ok(Refresh::OnChange),
            (_, true) => Ok(Refresh::OnDemand),
            _ => Err(unclear()),
        };
    }
    if !word(parser, "every") {
        return Err(unclear());
    }
    match period(parser)? {
        seconds if seconds >= EVERY_S_MIN => Ok(Refresh::EveryS(seconds)),
        _ => Err(syntax(format!(
            "a view is refreshed every {EVERY_S_MIN} SECONDS at most"
        ))),
    }
}

/// `10 MINUTES`, in seconds.
pub(crate) fn period(parser: &mut Parser<'_>) -> Result<u64, QueryError> {
    const UNITS: [(&str, u64); 10] = [
        ("second", 1),
        ("seconds", 1),
        ("minute", 60),
        ("minutes", 60),
        ("hour", 3_600),
        ("hours", 3_600),
        ("day", 86_400),
        ("days", 86_400),
        ("week", 604_800),
        ("weeks", 604_800),
    ];
    let unclear = || syntax("a time is a number of SECONDS, MINUTES, HOURS, DAYS or WEEKS, for example 10 MINUTES");
    let number = parser.parse_literal_uint().map_err(|_| unclear())?;
    let unit = UNITS.iter().find(|(unit, _)| word(parser, unit)).ok_or_else(unclear)?;
    number
        .checked_mul(unit.1)
        .filter(|seconds| *seconds <= PERIOD_S_MAX)
        .ok_or_else(|| syntax("a time is ten years at most"))
}

/// `REFRESH MATERIALIZED VIEW name [FULL]`; none when it is another statement.
pub(super) fn refresh_now(parser: &mut Parser<'_>) -> Result<Option<ViewStatement>, QueryError> {
    if !word(parser, "refresh") {
        return Ok(None);
    }
    if !word(parser, "materialized") {
        return Err(syntax("write REFRESH MATERIALIZED VIEW <schema>.<name> [FULL]"));
    }
    parser.expect_keyword(Keyword::VIEW).map_err(syntax)?;
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let full = word(parser, "full");
    end(parser)?;
    Ok(Some(ViewStatement::Refresh { name, full }))
}

/// What follows `DROP MATERIALIZED`.
pub(super) fn drop(parser: &mut Parser<'_>) -> Result<ViewStatement, QueryError> {
    parser.expect_keyword(Keyword::VIEW).map_err(syntax)?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    Ok(ViewStatement::Drop { name, if_exists })
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    use super::*;

    fn read(sql: &str) -> Result<Refresh, QueryError> {
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap();
        match create(&mut parser, false)? {
            ViewStatement::Create { refresh, .. } => Ok(refresh),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn expectations_are_read_and_half_ones_are_not() {
        let expected = |text: &str| {
            let sql = format!("VIEW s.v REFRESH ON DEMAND EXPECT {text} AS SELECT 1");
            let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&sql).unwrap();
            match create(&mut parser, false)? {
                ViewStatement::Create { expected, .. } => {
                    Ok::<_, QueryError>(expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                }
                other => panic!("{other:?}"),
            }
        };
        let all = "NOT NULL day, UNIQUE (plate_id, well), y BETWEEN -0.5 AND 110";
        assert_eq!(expected(&format!("({all})")).unwrap(), all);
        for bad in [
            "",
            "()",
            "(day)",
            "(NOT day)",
            "(UNIQUE day)",
            "(y BETWEEN 1)",
            "(y BETWEEN 2 AND 1)",
            "(y BETWEEN 'a' AND 'b')",
            "(NOT NULL day",
        ] {
            assert!(expected(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_time_of_refreshing_is_read() {
        assert_eq!(read("VIEW s.v AS SELECT 1").unwrap(), Refresh::OnChange);
        assert_eq!(
            read("VIEW IF NOT EXISTS s.v REFRESH ON CHANGE AS SELECT 1").unwrap(),
            Refresh::OnChange
        );
        assert_eq!(
            read("VIEW s.v REFRESH ON DEMAND AS SELECT 1").unwrap(),
            Refresh::OnDemand
        );
        assert_eq!(
            read("VIEW s.v REFRESH EVERY 2 HOURS AS SELECT 1").unwrap(),
            Refresh::EveryS(7_200)
        );
        for bad in [
            "VIEW s.v REFRESH AS SELECT 1",
            "VIEW s.v REFRESH EVERY AS SELECT 1",
            "VIEW s.v REFRESH EVERY 1 SECOND AS SELECT 1",
            "VIEW s.v REFRESH EVERY 5 FORTNIGHTS AS SELECT 1",
            "VIEW s.v REFRESH ON CHANGE",
            "VIEW s.v AS DELETE FROM s.t",
            "VIEW v AS SELECT 1",
            "s.v AS SELECT 1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
