//! How deep a statement may be, checked on its tokens before anything walks through it.
//!
//! Every operator makes an expression one level deeper, and so does every `UNION` or `JOIN`: long flat chains (20,000 `OR`s)
//! overflow the stack of whoever parses, plans or drops them, and no recursion limit of the parser sees them. So operators
//! are counted, and what is not known to be none is one.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::QueryError;
use super::printed::is_misprinted;

/// Brackets open at once in a statement; the planner needs stack for each.
const DEPTH_MAX: usize = 128;
/// Parts of a name, and fields of fields that are taken one after the other.
const PARTS_MAX: usize = 32;

/// # Errors
/// The statement is too deep, or no text of SQL.
pub(super) fn check(sql: &str, operators_max: usize) -> Result<(), QueryError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| QueryError::Syntax(format!("the statement cannot be read: {error}")))?;
    let mut counted = Counted::default();
    let meant = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_)));
    for token in meant {
        readable(token)?;
        counted.take(token);
    }
    let Counted {
        operators,
        deepest,
        longest,
        ..
    } = counted;
    if operators > operators_max {
        return Err(QueryError::Invalid(format!(
            "the statement has {operators} operators such as OR, AND, + or UNION, at most {operators_max} are taken (limits.statement_operators); use IN (…) or join a table of values"
        )));
    }
    if deepest > DEPTH_MAX {
        return Err(QueryError::Invalid(format!(
            "the statement has {deepest} brackets inside each other, at most {DEPTH_MAX} are taken"
        )));
    }
    if longest > PARTS_MAX {
        return Err(QueryError::Invalid(format!(
            "a name in the statement has {longest} parts, at most {PARTS_MAX} are taken"
        )));
    }
    Ok(())
}

/// # Errors
/// A name or text that the parser prints otherwise than it reads it: what is made of the statement would say something else.
fn readable(token: &Token) -> Result<(), QueryError> {
    let is_misread = match token {
        Token::Word(word) => word.quote_style.is_some_and(|quote| is_misprinted(&word.value, quote)),
        Token::SingleQuotedByteStringLiteral(text) | Token::TripleSingleQuotedByteStringLiteral(text) => {
            text.contains('\'')
        }
        Token::DoubleQuotedByteStringLiteral(text) | Token::TripleDoubleQuotedByteStringLiteral(text) => {
            text.contains('"')
        }
        _ => false,
    };
    match is_misread {
        true => Err(QueryError::Invalid(format!(
            "{token}: quotes side by side or behind a backslash are not taken in names and in texts of bytes"
        ))),
        false => Ok(()),
    }
}

#[derive(Default)]
struct Counted<'a> {
    before: Option<&'a Token>,
    operators: usize,
    depth: usize,
    deepest: usize,
    parts: usize,
    longest: usize,
}

impl<'a> Counted<'a> {
    fn take(&mut self, token: &'a Token) {
        self.operators += usize::from(is_operator(token, self.before));
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.deepest = self.deepest.max(self.depth);
        match (token, self.before) {
            (Token::Period, _) => self.parts += 1,
            (Token::Word(_), Some(Token::Period)) => {}
            _ => self.parts = 0,
        }
        self.longest = self.longest.max(self.parts);
        self.before = Some(token);
    }
}

/// Whether a token makes an expression, a set operation or a join one level deeper, by the one before it.
fn is_operator(token: &Token, before: Option<&Token>) -> bool {
    match token {
        Token::EOF
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::TripleSingleQuotedString(_)
        | Token::TripleDoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::SemiColon
        | Token::Period
        | Token::RArrow
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace
        | Token::Whitespace(_) => false,
        // The sign of a number, of which the parser bounds the depth itself.
        Token::Plus | Token::Minus => {
            !before.is_none_or(|before| matches!(before, Token::LParen | Token::LBracket | Token::Comma))
        }
        // `ARRAY[1]` and `[1]` are lists, `a[1]` takes an element.
        Token::LBracket => match before {
            Some(Token::Word(word)) => word.keyword != Keyword::ARRAY,
            Some(Token::RParen | Token::RBracket | Token::RBrace) => true,
            _ => false,
        },
        Token::Word(word) if word.quote_style.is_none() => matches!(
            word.keyword,
            Keyword::OR
                | Keyword::AND
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::OVERLAPS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::MATCH
                | Keyword::MEMBER
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::CASE
                | Keyword::WHEN
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::MINUS
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::APPLY
                | Keyword::PIVOT
                | Keyword::UNPIVOT
        ),
        Token::Word(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS_MAX: usize = 2_000;

    #[test]
    fn whatever_nests_is_counted() {
        for chain in [
            " << 1",
            " >> 1",
            " IS NULL",
            " IS NOT TRUE",
            " IS NORMALIZED",
            " ~ 'a'",
            " !~* 'a'",
            " ~~ 'a'",
            " XOR true",
            " -> 'a'",
            " #>> 'a'",
            " @> 'a'",
            " IN (1)",
            " NOT IN (1)",
            " BETWEEN 1 AND 2",
            " AT TIME ZONE 'UTC'",
            " SIMILAR TO 'a'",
            " ILIKE 'a'",
            " // 1",
            " DIV 1",
            " ^ 1",
            " # 1",
            " :: INT",
            " COLLATE \"C\"",
            " <=> 1",
            " := 1",
            " || 'a'",
            " && 1",
            " + 1",
            " - 1",
            "[1]",
            ".a",
            ":a",
            " UNION SELECT 1",
            " MINUS SELECT 1",
            " FROM a CROSS APPLY b",
        ] {
            let sql = format!("SELECT (a){}", chain.repeat(20_000));
            assert!(check(&sql, OPERATORS_MAX).is_err(), "{chain}");
            let sql = format!("SELECT (a){}", chain.repeat(3));
            check(&sql, OPERATORS_MAX).unwrap();
        }
        for (open, close) in [("(", ")"), ("[", "]"), ("{'a': ", "}"), ("f(", ")")] {
            let sql = format!("SELECT {}1{}", open.repeat(500), close.repeat(500));
            assert!(check(&sql, OPERATORS_MAX).is_err(), "{open}");
        }
    }

    #[test]
    fn long_lists_and_rows_of_values_are_no_chains() {
        let rows = |row: &str| vec![row; 5_000].join(", ");
        for sql in [
            format!(
                "INSERT INTO lab.s.t VALUES {}",
                rows("(-1, +2.5, 'a', ARRAY[1, 2], [-3])")
            ),
            format!("SELECT {} FROM lab.s.t", rows("lab.s.t.a")),
            format!("SELECT 1 WHERE a IN ({})", rows("-1")),
        ] {
            check(&sql, OPERATORS_MAX).unwrap();
        }
    }
}
