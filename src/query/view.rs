//! `CREATE`, `REFRESH` and `DROP MATERIALIZED VIEW`, as text.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::TableName;
use serde::{Deserialize, Serialize};

use super::QueryError;
use super::statement::{end, lake_name, question, syntax, word};

/// Shortest time between two refreshes by the clock: each reads all of the sources.
const EVERY_S_MIN: u64 = 10;
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

/// What is to be done with a view.
#[derive(Debug)]
pub(crate) enum ViewStatement {
    Create {
        name: TableName,
        refresh: Refresh,
        query: Box<Query>,
        or_replace: bool,
        if_not_exists: bool,
    },
    Refresh {
        name: TableName,
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

    /// The view it is about.
    pub(super) fn name(&self) -> &TableName {
        match self {
            Self::Create { name, .. } | Self::Refresh { name } | Self::Drop { name, .. } => name,
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
    parser.expect_keyword(Keyword::AS).map_err(syntax)?;
    Ok(ViewStatement::Create {
        name,
        refresh,
        query: question(parser)?,
        or_replace,
        if_not_exists,
    })
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

/// `REFRESH MATERIALIZED VIEW name`; none when it is another statement.
pub(super) fn refresh_now(parser: &mut Parser<'_>) -> Result<Option<ViewStatement>, QueryError> {
    if !word(parser, "refresh") {
        return Ok(None);
    }
    if !word(parser, "materialized") {
        return Err(syntax("write REFRESH MATERIALIZED VIEW <schema>.<name>"));
    }
    parser.expect_keyword(Keyword::VIEW).map_err(syntax)?;
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    end(parser)?;
    Ok(Some(ViewStatement::Refresh { name }))
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
