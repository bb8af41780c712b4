//! `table_changes('lab.s.t', from [, to])`: the rows that came into a table and those that left it between two versions, `from`
//! not counted. A version is a number, or a moment as a text; without `to` it is the table of now.
//!
//! `table_changes('lab.s.t', from, to, 'commits')` tells the same of each commit between two numbers, with its version and its
//! time, in Delta's words for them: a row that came and went is two rows then.
//!
//! It is a query over two versions of one governed table, written into the statement before the engine reads it, so the
//! barrier stands before both: today's policy, row filters and masks, and only columns that are visible today. Rows that
//! are in both cancel, as often as they are there. What changed in hidden rows or columns alone is no change, and which
//! data files were written anew makes no difference.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::{TableName, When};

use super::QueryError;
use super::statement::{CATALOG, lake_name_from_text};
use super::travel::{Moment, Stop, is_space, is_word, moment};

/// The function's name.
pub(crate) const NAME: &str = "table_changes";
/// What became of a row: `insert` or `delete`.
const TYPE: &str = "_change_type";
/// Which commit did it, and when.
const COMMIT: [&str; 2] = ["_commit_version", "_commit_timestamp"];
/// The word for changes commit by commit.
const COMMITS: &str = "commits";
/// Commits that one call tells of: each means reading two versions.
const COMMITS_MAX: u64 = 32;

/// A call of the function.
pub(super) struct Changes {
    /// How many tokens the call takes.
    pub(super) tokens: usize,
    table: TableName,
    from: Moment,
    to: Moment,
    /// The numbers of the commits to be told one by one; empty: what they did together.
    commits: RangeInclusive<u64>,
}

/// The call that begins with the first of these tokens; none when there is none.
pub(super) fn call(tokens: &[Token], before: &[Token]) -> Result<Option<Changes>, QueryError> {
    let Some(first) = tokens.first().filter(|token| is_word(token, NAME)) else {
        return Ok(None);
    };
    if matches!(before.iter().rev().find(|token| !is_space(token)), Some(Token::Period)) {
        return Ok(None);
    }
    let meant: Vec<(usize, &Token)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !is_space(token))
        .collect();
    let (tokens, table, from, to, word) = match meant.as_slice() {
        [
            _,
            (_, Token::LParen),
            (_, Token::SingleQuotedString(table)),
            (_, Token::Comma),
            (_, from),
            (end, Token::RParen),
            ..,
        ] => (end + 1, table, *from, None, None),
        [
            _,
            (_, Token::LParen),
            (_, Token::SingleQuotedString(table)),
            (_, Token::Comma),
            (_, from),
            (_, Token::Comma),
            (_, to),
            (end, Token::RParen),
            ..,
        ] => (end + 1, table, *from, Some(*to), None),
        [
            _,
            (_, Token::LParen),
            (_, Token::SingleQuotedString(table)),
            (_, Token::Comma),
            (_, from),
            (_, Token::Comma),
            (_, to),
            (_, Token::Comma),
            (_, word),
            (end, Token::RParen),
            ..,
        ] => (end + 1, table, *from, Some(*to), Some(*word)),
        [_, (_, Token::LParen), ..] => return Err(usage(first)),
        // A column or a table called so.
        _ => return Ok(None),
    };
    let mut changes = Changes {
        tokens,
        table: lake_name_from_text(table)?,
        from: point(from).ok_or_else(|| usage(from))?,
        to: match to {
            Some(to) => point(to).ok_or_else(|| usage(to))?,
            None => Moment::Now,
        },
        commits: NONE,
    };
    if let (Moment::Then(When::Version(from)), Moment::Then(When::Version(to))) = (changes.from, changes.to)
        && from > to
    {
        return Err(QueryError::Invalid(format!(
            "{NAME}: version {from} comes after version {to}; the older one stands first"
        )));
    }
    if let Some(word) = word {
        let (Token::SingleQuotedString(word_text), Moment::Then(When::Version(from)), Moment::Then(When::Version(to))) =
            (word, changes.from, changes.to)
        else {
            return Err(usage(word));
        };
        if word_text != COMMITS {
            return Err(usage(word));
        }
        if to - from > COMMITS_MAX {
            return Err(QueryError::Invalid(format!(
                "{NAME} tells of {COMMITS_MAX} commits at most, one by one: ask for {from} to {} first",
                from + COMMITS_MAX
            )));
        }
        changes.commits = from + 1..=to;
        if from == to {
            return Err(QueryError::Invalid(format!(
                "{NAME}: no commit lies between version {from} and itself"
            )));
        }
    }
    Ok(Some(changes))
}

/// No commits.
const NONE: RangeInclusive<u64> = RangeInclusive::new(1, 0);

fn usage(at: &Token) -> QueryError {
    QueryError::Syntax(format!(
        "{NAME}('lab.<schema>.<table>', from [, to]) takes literals, versions such as 3 or moments such as '2026-03-01', and commit by commit {NAME}('lab.<schema>.<table>', 3, 5, '{COMMITS}'): `{at}` is none"
    ))
}

fn point(token: &Token) -> Option<Moment> {
    match token {
        Token::Number(number, _) => number.parse().ok().map(When::Version),
        Token::SingleQuotedString(text) => moment(text).map(When::Time),
        _ => None,
    }
    .map(Moment::Then)
}

impl Changes {
    pub(super) fn is_by_commit(&self) -> bool {
        !self.commits.is_empty()
    }

    /// What of each version the other has not, pair by pair.
    pub(super) fn stops(&self) -> impl Iterator<Item = Stop> {
        let together = (!self.is_by_commit()).then(|| self.between(self.to, self.from, false));
        together
            .into_iter()
            .chain(self.one_by_one().map(|(_, pair)| pair))
            .flatten()
    }

    fn one_by_one(&self) -> impl Iterator<Item = (u64, [Stop; 2])> {
        let version = |version| Moment::Then(When::Version(version));
        let commits = self.commits.clone();
        commits.map(move |commit| (commit, self.between(version(commit), version(commit - 1), true)))
    }

    fn between(&self, newer: Moment, older: Moment, is_timed: bool) -> [Stop; 2] {
        let stop = |when, without, is_timed| Stop {
            schema: self.table.schema.clone(),
            table: self.table.table.clone(),
            when,
            without: Some(without),
            is_timed,
        };
        [stop(newer, older, is_timed), stop(older, newer, false)]
    }

    /// The query that stands for the call.
    pub(super) fn query(&self) -> String {
        if !self.is_by_commit() {
            return rows(&self.between(self.to, self.from, false), "");
        }
        let [version, time] = COMMIT;
        let each = self.one_by_one().map(|(commit, pair)| {
            let told = format!(
                "CAST({commit} AS BIGINT) AS \"{version}\", {} AS \"{time}\", ",
                made(&pair[0])
            );
            format!("SELECT * FROM {}", rows(&pair, &told))
        });
        format!("({})", each.collect::<Vec<_>>().join(" UNION ALL BY NAME "))
    }
}

/// What stands for the time of a stop's version until it is known.
fn made(stop: &Stop) -> String {
    format!("'commit of {}.{}'", stop.schema, stop.name())
}

/// A statement with the times of the commits that it tells of.
pub(super) fn with_times<'a>(mut sql: Cow<'a, str>, times: &[(Stop, Option<DateTime<Utc>>)]) -> Cow<'a, str> {
    for (stop, time) in times {
        let time = match time {
            Some(time) => format!("'{}'", time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => "NULL".to_owned(),
        };
        sql = sql
            .replace(
                &made(stop),
                &format!("arrow_cast({time}, 'Timestamp(Microsecond, Some(\"UTC\"))')"),
            )
            .into();
    }
    sql
}

/// Refuses a text that names what stands for an older version by itself: one such name stands for some of a version's data files, and
/// which files those are is nobody's to know.
///
/// # Errors
/// No such table is there for whoever asks.
pub(super) fn refuse_inner_names(sql: &str, stops: &BTreeSet<Stop>) -> Result<(), QueryError> {
    if stops.is_empty() {
        return Ok(());
    }
    // However it is quoted, a name stands there as it is, and unquoted in any case.
    let text = sql.to_ascii_lowercase();
    match stops.iter().find(|stop| text.contains(&stop.name())) {
        None => Ok(()),
        Some(stop) => Err(QueryError::no_table(&TableName {
            schema: stop.schema.clone(),
            table: stop.name(),
        })),
    }
}

/// The rows that two versions differ in. A row counts one for each time it is in the newer version, and less one for each time it
/// is in the older. `told` are columns more.
fn rows(pair: &[Stop; 2], told: &str) -> String {
    let [came, left] = pair
        .each_ref()
        .map(|stop| format!("\"{CATALOG}\".\"{}\".\"{}\"", stop.schema, stop.name()));
    format!(
        "(SELECT CASE WHEN \"_change_sum\" > 0 THEN 'insert' ELSE 'delete' END AS \"{TYPE}\", {told}* EXCLUDE (\"_change_sum\", \"_change_copy\") \
             FROM (SELECT *, unnest(range(0, abs(\"_change_sum\"))) AS \"_change_copy\" \
             FROM (SELECT * EXCLUDE (\"_change_one\"), sum(\"_change_one\") AS \"_change_sum\" \
             FROM (SELECT *, 1 AS \"_change_one\" FROM {came} UNION ALL BY NAME SELECT *, -1 AS \"_change_one\" FROM {left}) \
             GROUP BY ALL HAVING sum(\"_change_one\") <> 0)))"
    )
}

#[cfg(test)]
mod tests {
    use super::super::travel::rewrite;
    use super::*;

    #[test]
    fn a_call_becomes_a_query_over_two_versions() {
        let (sql, stops) = rewrite("SELECT * FROM table_changes('lab.s.t', 3, 5) WHERE a = 1").unwrap();
        assert!(
            sql.contains("\"lab\".\"s\".\"t@5-3\"") && sql.contains("\"lab\".\"s\".\"t@3-5\""),
            "{sql}"
        );
        assert!(sql.contains(") AS table_changes WHERE a = 1"), "{sql}");
        assert_eq!(stops.len(), 2);
        let (sql, _) = rewrite("SELECT * FROM Table_Changes ( 's.t' , '2026-03-01' ) AS c").unwrap();
        assert!(
            sql.contains("\"t@now-1772323200000000\"") && sql.ends_with(") AS c"),
            "{sql}"
        );
    }

    #[test]
    fn commits_are_told_one_by_one_with_their_times() {
        let (sql, stops) = rewrite("SELECT * FROM table_changes('lab.s.t', 3, 5, 'commits')").unwrap();
        for name in ["t@4-3", "t@3-4", "t@5-4", "t@4-5"] {
            assert!(sql.contains(&format!("\"lab\".\"s\".\"{name}\"")), "{sql}");
        }
        assert_eq!(stops.len(), 4);
        let timed: Vec<_> = stops.into_iter().filter(|stop| stop.is_timed).collect();
        let at = DateTime::from_timestamp_micros(1_772_323_200_000_001);
        let times: Vec<_> = timed.into_iter().zip([at, None]).collect();
        assert_eq!(times.len(), 2);
        let sql = with_times(sql, &times);
        assert!(
            !sql.contains("commit of") && sql.contains("arrow_cast('2026-03-01T00:00:00.000001Z', "),
            "{sql}"
        );
        assert!(sql.contains("arrow_cast(NULL, "), "{sql}");
    }

    #[test]
    fn what_is_no_call_is_refused_or_left_alone() {
        for sql in [
            "SELECT * FROM table_changes('lab.s.t')",
            "SELECT * FROM table_changes('t', 3)",
            "SELECT * FROM table_changes('lab.s.t', 5, 3)",
            "SELECT * FROM table_changes('lab.s.t', -1)",
            "SELECT * FROM table_changes('lab.s.t', $1)",
            "SELECT * FROM table_changes(lab.s.t, 3)",
            "SELECT * FROM table_changes('lab.s.t', 'yesterday')",
            "SELECT * FROM table_changes('lab.other.s.t', 3)",
            "SELECT * FROM table_changes('lab.s.t', 3, 5, 'rows')",
            "SELECT * FROM table_changes('lab.s.t', 3, 5, 1)",
            "SELECT * FROM table_changes('lab.s.t', '2026-03-01', 5, 'commits')",
            "SELECT * FROM table_changes('lab.s.t', 3, 3, 'commits')",
            "SELECT * FROM table_changes('lab.s.t', 3, 36, 'commits')",
        ] {
            assert!(rewrite(sql).is_err(), "{sql}");
        }
        for sql in [
            "SELECT table_changes FROM s.t",
            "SELECT 'table_changes(1)' FROM s.t",
            "SELECT a.table_changes(1)",
        ] {
            let (text, stops) = rewrite(sql).unwrap();
            assert!(text == sql && stops.is_empty(), "{sql}");
        }
    }

    #[test]
    fn it_has_a_row_in_the_golden_matrix() {
        let golden = include_str!("../../tests/suite/golden.txt");
        assert!(
            golden.contains(&format!("\ntable function | {NAME} |")),
            "add {NAME} to tests/suite/golden.rs and bless it"
        );
    }
}
