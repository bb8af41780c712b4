//! A statement's text without its literals.
//!
//! Read by the engine's own tokenizer: words, operators and `$1` stay, every other token becomes `?`, comments go. A
//! kind of token that a later version brings is a `?` until somebody has decided otherwise. A text that cannot be read
//! is not kept at all; its length and keyed hash are.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

/// Bytes of a redacted text that are kept: enough to tell what it does; its length and hash are of the whole.
const BYTES_MAX: usize = 8 << 10;
const LITERAL: &str = "?";

/// The text with a `?` for each literal; `None` when it cannot be read.
pub(crate) fn redact(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
    let mut text = String::with_capacity(sql.len().min(BYTES_MAX));
    let (mut space, mut assigned) = (false, false);
    for token in &tokens {
        if let Token::Whitespace(white) = token {
            space |= match white {
                Whitespace::Space | Whitespace::Newline | Whitespace::Tab => true,
                Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_) => true,
            };
            continue;
        }
        if std::mem::take(&mut space) && !text.is_empty() {
            text.push(' ');
        }
        match kept(token, assigned) {
            Some(word) => text.push_str(&word),
            None => text.push_str(LITERAL),
        }
        assigned = matches!(token, Token::Eq);
        if text.len() > BYTES_MAX {
            text.truncate(text.floor_char_boundary(BYTES_MAX));
            text.push('…');
            break;
        }
    }
    Some(text)
}

/// The words of a text, in lower case: names it may have asked for.
pub(crate) fn words(sql: &str) -> Vec<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let words = tokens.into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.value.to_lowercase()),
        _ => None,
    });
    words.collect()
}

/// The token as it may be kept; `None` for a literal and for whatever is not known to be none.
fn kept(token: &Token, assigned: bool) -> Option<String> {
    match token {
        // OPTIONS (target = "x") and SET TAGS (key = "x") read a quoted word as a text.
        Token::Word(word) if assigned && word.quote_style.is_some() => None,
        Token::Word(word) => Some(word.to_string()),
        Token::Placeholder(name) => {
            let number = name.strip_prefix('$')?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.clone())
        }
        Token::Comma
        | Token::DoubleEq
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Spaceship
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::Colon
        | Token::DoubleColon
        | Token::SemiColon
        | Token::LBracket
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace
        | Token::Ampersand
        | Token::Pipe
        | Token::Caret
        | Token::Tilde
        | Token::TildeAsterisk
        | Token::ExclamationMarkTilde
        | Token::ExclamationMarkTildeAsterisk
        | Token::Arrow
        | Token::LongArrow
        | Token::RArrow
        | Token::AtSign
        | Token::ShiftLeft
        | Token::ShiftRight => Some(token.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_every_kind_go_and_names_stay() {
        for (sql, kept) in [
            (
                "SELECT a, 'secret' FROM t WHERE b = 42",
                "SELECT a, ? FROM t WHERE b = ?",
            ),
            ("SELECT -- secret\n 1 /* secret */ + 2", "SELECT ? + ?"),
            (
                "SELECT N'secret', X'5ec7e7', E'secret', U&'secret', $$secret$$, $x$secret$x$",
                "SELECT ?, ?, ?, ?, ?, ?",
            ),
            ("SELECT 1.5e3, .5, 0x1F", "SELECT ?, ?, ?"),
            ("SELECT DATE '2026-01-01' FROM lab.s.t1", "SELECT DATE ? FROM lab.s.t1"),
            (
                "SELECT \"Odd Name\" FROM t WHERE x = $1",
                "SELECT \"Odd Name\" FROM t WHERE x = $1",
            ),
            (
                "CREATE MODEL s.m OPTIONS (target = \"secret\", seed = 7) AS SELECT 1",
                "CREATE MODEL s.m OPTIONS (target = ?, seed = ?) AS SELECT ?",
            ),
            ("SELECT 'it''s secret'", "SELECT ?"),
        ] {
            assert_eq!(redact(sql).as_deref(), Some(kept), "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_kept() {
        for sql in ["SELECT 'secret", "SELECT $x$secret", "SELECT \"secret"] {
            assert_eq!(redact(sql), None, "{sql}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = format!("SELECT {}", "\"ä\", ".repeat(5_000));
        let kept = redact(&long).unwrap();
        assert!(kept.len() <= BYTES_MAX + 4 && kept.ends_with('…'));
    }

    proptest::proptest! {
        #[test]
        fn no_literal_survives(text in "[a-z]{12}", head in "[ -~]{0,20}", tail in "[ -~]{0,20}") {
            // Whatever stands around it: what the tokenizer takes for a literal is gone.
            let sql = format!("SELECT {head} '{text}' {tail}");
            if let Some(kept) = redact(&sql) {
                let tokens = Tokenizer::new(&GenericDialect {}, &sql).tokenize().unwrap();
                let literal = tokens.iter().any(|token| matches!(token, Token::SingleQuotedString(inner) if *inner == text));
                proptest::prop_assert!(!literal || !kept.contains(&text));
            }
        }
    }
}
