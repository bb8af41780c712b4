//! `?` becomes `$1`, `$2`, … : JDBC and ODBC write the one, the engine reads the other (it takes every `?` for the same
//! named parameter).
//!
//! Only placeholder tokens change; text in strings, comments and quoted names stays as it is, byte for byte.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use tonic::Status;

use super::status;
use crate::query::{PARAMETERS_MAX, QueryError};

/// A statement whose placeholders are all numbered, and how many values it needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) sql: String,
    pub(crate) parameters: usize,
}

/// Numbers the placeholders of a statement.
///
/// # Errors
/// INVALID_ARGUMENT when the text cannot be tokenized, mixes `?` and `$n`, names parameters, or has too many.
pub(crate) fn number(sql: &str) -> Result<Numbered, Status> {
    let dialect = GenericDialect {};
    // Without unescaping, since only positions are used.
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| status::of_query(QueryError::Syntax(format!("the statement cannot be read: {error}"))))?;
    let placeholders: Vec<(&TokenWithSpan, &str)> = tokens
        .iter()
        .filter_map(|token| match &token.token {
            Token::Placeholder(text) => Some((token, text.as_str())),
            _ => None,
        })
        .collect();
    if placeholders.iter().all(|(_, text)| *text == "?") {
        return too_many(placeholders.len()).map(|()| rewrite(sql, &placeholders));
    }
    let mut highest = 0;
    for (_, text) in &placeholders {
        let number = text
            .strip_prefix('$')
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|number| *number > 0);
        let Some(number) = number else {
            return Err(Status::invalid_argument(format!(
                "the placeholder `{text}` cannot be used here: write either `?` for every parameter or `$1`, `$2`, … for all"
            )));
        };
        highest = highest.max(number);
    }
    too_many(highest).map(|()| Numbered {
        sql: sql.to_owned(),
        parameters: highest,
    })
}

fn too_many(parameters: usize) -> Result<(), Status> {
    if parameters <= PARAMETERS_MAX {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "the statement has {parameters} parameters, at most {PARAMETERS_MAX} are taken; put long lists into a table and join it"
    )))
}

fn rewrite(sql: &str, placeholders: &[(&TokenWithSpan, &str)]) -> Numbered {
    let mut out = String::with_capacity(sql.len() + placeholders.len() * 3);
    let mut numbers = placeholders
        .iter()
        .map(|(token, _)| token.span.start)
        .zip(1_usize..)
        .peekable();
    // The tokenizer counts lines and columns in characters from 1.
    let mut at = Location { line: 1, column: 1 };
    for character in sql.chars() {
        match numbers.next_if(|(start, _)| *start == at) {
            Some((_, number)) => {
                out.push('$');
                out.push_str(&number.to_string());
            }
            None => out.push(character),
        }
        if character == '\n' {
            at = Location {
                line: at.line + 1,
                column: 1,
            };
        } else {
            at.column += 1;
        }
    }
    Numbered {
        sql: out,
        parameters: placeholders.len(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn numbered(sql: &str) -> (String, usize) {
        let Numbered { sql, parameters } = number(sql).unwrap();
        (sql, parameters)
    }

    #[test]
    fn question_marks_are_numbered_in_order() {
        let (sql, parameters) = numbered("SELECT *\nFROM t WHERE a = ? AND b IN (?, ?)\n\t-- why?\n AND c=?");
        assert_eq!(
            sql,
            "SELECT *\nFROM t WHERE a = $1 AND b IN ($2, $3)\n\t-- why?\n AND c=$4"
        );
        assert_eq!(parameters, 4);
    }

    #[test]
    fn strings_names_and_comments_keep_theirs() {
        for sql in [
            "SELECT 'what? it''s' , \"odd?\"\"name\" /* ? /* ? */ */ -- ?",
            "SELECT 'grün ? \u{1F9EA}?' AS \"ß?\"",
            "SELECT $$a ? b$$",
            "SELECT `a?`",
        ] {
            assert_eq!(numbered(sql), (sql.to_owned(), 0), "{sql}");
        }
        let (sql, _) = numbered("SELECT '\u{1F9EA}é?', ? -- ü\r\n, 'it''s \\', ?");
        assert_eq!(sql, "SELECT '\u{1F9EA}é?', $1 -- ü\r\n, 'it''s \\', $2");
    }

    #[test]
    fn numbered_ones_stay_and_the_highest_counts() {
        assert_eq!(numbered("SELECT $2, $1, $2"), ("SELECT $2, $1, $2".to_owned(), 2));
        assert_eq!(numbered("SELECT 1"), ("SELECT 1".to_owned(), 0));
    }

    #[test]
    fn mixtures_names_zero_and_floods_are_refused() {
        let flood = format!("SELECT {}", vec!["?"; PARAMETERS_MAX + 1].join(","));
        for sql in [
            "SELECT ?, $1",
            "SELECT $name",
            "SELECT $0",
            "SELECT 'open",
            "SELECT $99999999",
            &flood,
        ] {
            assert_eq!(number(sql).unwrap_err().code(), Code::InvalidArgument, "{sql}");
        }
    }
}
