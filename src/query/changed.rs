//! `table_changes('lab.s.t', from [, to])`: the rows that came into a table and those that left it between two versions, `from`
//! not counted. A version is a number, or a moment as a text; without `to` it is the table of now.
//!
//! It is a query over two versions of one governed table, written into the statement before the engine reads it, so the
//! barrier stands before both: today's policy, row filters and masks, and only columns that are visible today. Rows that
//! are in both cancel, as often as they are there. What changed in hidden rows or columns alone is no change, and which
//! data files were written anew makes no difference.

use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::{TableName, When};

use super::QueryError;
use super::statement::{CATALOG, lake_name_from_text};
use super::travel::{Moment, Stop, is_space, is_word, moment};

/// The function's name.
pub(crate) const NAME: &str = "table_changes";
/// What became of a row: `insert` or `delete`.
const TYPE: &str = "_change_type";

/// A call of the function.
pub(super) struct Changes {
    /// How many tokens the call takes.
    pub(super) tokens: usize,
    table: TableName,
    from: Moment,
    to: Moment,
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
    let (tokens, table, from, to) = match meant.as_slice() {
        [
            _,
            (_, Token::LParen),
            (_, Token::SingleQuotedString(table)),
            (_, Token::Comma),
            (_, from),
            (end, Token::RParen),
            ..,
        ] => (end + 1, table, *from, None),
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
        ] => (end + 1, table, *from, Some(*to)),
        [_, (_, Token::LParen), ..] => return Err(usage(first)),
        // A column or a table called so.
        _ => return Ok(None),
    };
    let changes = Changes {
        tokens,
        table: lake_name_from_text(table)?,
        from: point(from).ok_or_else(|| usage(from))?,
        to: match to {
            Some(to) => point(to).ok_or_else(|| usage(to))?,
            None => Moment::Now,
        },
    };
    if let (Moment::Then(When::Version(from)), Moment::Then(When::Version(to))) = (changes.from, changes.to)
        && from > to
    {
        return Err(QueryError::Invalid(format!(
            "{NAME}: version {from} comes after version {to}; the older one stands first"
        )));
    }
    Ok(Some(changes))
}

fn usage(at: &Token) -> QueryError {
    QueryError::Syntax(format!(
        "{NAME}('lab.<schema>.<table>', from [, to]) takes literals, versions such as 3 or moments such as '2026-03-01': `{at}` is none"
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
    /// What of each version the other has not.
    pub(super) fn stops(&self) -> [Stop; 2] {
        let stop = |when, without| Stop {
            schema: self.table.schema.clone(),
            table: self.table.table.clone(),
            when,
            without: Some(without),
        };
        [stop(self.to, self.from), stop(self.from, self.to)]
    }

    /// The query that stands for the call. A row counts one for each time it is in the newer version, and less one for each
    /// time it is in the older.
    pub(super) fn query(&self) -> String {
        let [came, left] = self
            .stops()
            .map(|stop| format!("\"{CATALOG}\".\"{}\".\"{}\"", stop.schema, stop.name()));
        format!(
            "(SELECT CASE WHEN \"_change_sum\" > 0 THEN 'insert' ELSE 'delete' END AS \"{TYPE}\", * EXCLUDE (\"_change_sum\", \"_change_copy\") \
             FROM (SELECT *, unnest(range(0, abs(\"_change_sum\"))) AS \"_change_copy\" \
             FROM (SELECT * EXCLUDE (\"_change_one\"), sum(\"_change_one\") AS \"_change_sum\" \
             FROM (SELECT *, 1 AS \"_change_one\" FROM {came} UNION ALL BY NAME SELECT *, -1 AS \"_change_one\" FROM {left}) \
             GROUP BY ALL HAVING sum(\"_change_one\") <> 0)))"
        )
    }
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
