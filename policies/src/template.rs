//! The SQL text of a row filter or mask, read once at load.
//!
//! `$user.NAME` and `$secret.salt` are joined to one placeholder each while the text is still tokens, so a value never
//! becomes text that is read again: it enters later as a literal of its own type.

use std::ops::ControlFlow;

use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::{DFParserBuilder, ParserInput};
use datafusion::sql::sqlparser::ast::{Expr as Ast, ExprWithAlias, Value, visit_expressions_mut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::compile::Bindings;
use crate::distinct::bind_distinct;

/// Bytes of SQL in one entry at most. A filter is a condition, not a program, and the parser is recursive.
pub(crate) const SQL_BYTES_MAX: usize = 8 << 10;
/// Tokens in one entry at most. Long flat chains of OR overflow the planner's stack from about 20,000 on.
pub(crate) const TOKENS_MAX: usize = 1_000;

/// Placeholder of the secret.
pub(crate) const SECRET_SALT: &str = "$secret.salt";
/// What placeholders of attributes start with.
pub(crate) const USER_PREFIX: &str = "$user.";

/// Parsed SQL with its placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub expr: ExprWithAlias,
    pub uses_secret: bool,
}

impl Template {
    /// Parses one expression. The error says what is wrong with the text.
    pub(crate) fn parse(sql: &str) -> Result<Self, String> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(format!("the text has {} bytes, more than {SQL_BYTES_MAX}", sql.len()));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, sql)
            .tokenize_with_location()
            .map_err(|e| e.to_string())?;
        let tokens: Vec<TokenWithSpan> = tokens
            .into_iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_)))
            .collect();
        if tokens.len() > TOKENS_MAX {
            return Err(format!("the text has {} words, more than {TOKENS_MAX}", tokens.len()));
        }
        let tokens = any_to_in(join_placeholders(tokens)?);
        let uses_secret = tokens
            .iter()
            .any(|t| matches!(&t.token, Token::Placeholder(id) if id == SECRET_SALT));
        let mut expr = DFParserBuilder::new(ParserInput::Tokens(tokens))
            .build()
            .and_then(|mut parser| parser.parse_into_expr())
            .map_err(|e| e.strip_backtrace())?;
        if expr.alias.is_some() {
            return Err("the expression has an alias".to_owned());
        }
        bind_distinct(&mut expr.expr);
        Ok(Template { expr, uses_secret })
    }

    /// The SQL with a person's attributes in the places of their placeholders, to be read and never parsed again. The
    /// secret stays a placeholder.
    pub(crate) fn shown(&self, with: Bindings<'_>) -> String {
        let mut expr = self.expr.expr.clone();
        let done: ControlFlow<()> = visit_expressions_mut(&mut expr, |node| {
            match node {
                Ast::InList { list, .. } => {
                    // A list has taken the place of its placeholder already, brackets in brackets.
                    let items = std::mem::take(list).into_iter().flat_map(|item| match item {
                        Ast::Tuple(values) => values,
                        other => vec![other],
                    });
                    *list = items.collect();
                }
                Ast::Value(value) => {
                    if let Value::Placeholder(id) = &value.value
                        && let Some(bound) = with.shown(id)
                    {
                        *node = bound;
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        debug_assert!(done.is_continue());
        expr.to_string()
    }
}

impl Bindings<'_> {
    /// What stands for a placeholder, as SQL: NULL for an attribute the person lacks, a tuple for a list. None for what is
    /// not the person's.
    fn shown(self, placeholder: &str) -> Option<Ast> {
        let name = placeholder.strip_prefix(USER_PREFIX)?;
        let literal = |value: &ScalarValue| {
            let value = match value {
                ScalarValue::Boolean(Some(flag)) => Value::Boolean(*flag),
                ScalarValue::Utf8(Some(text)) => Value::SingleQuotedString(text.clone()),
                other => Value::Number(other.to_string(), false),
            };
            Ast::Value(value.into())
        };
        let null = || Ast::Value(Value::Null.into());
        let is_list = self.principal.is_some_and(|who| who.is_list(name));
        Some(match self.principal.and_then(|who| who.attribute(name)) {
            None => null(),
            Some(values) if is_list => Ast::Tuple(values.iter().map(literal).collect()),
            Some(values) => values.first().map_or_else(null, literal),
        })
    }
}

/// `$user` `.` `projects` becomes `$user.projects`; every other placeholder is refused.
fn join_placeholders(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, String> {
    let mut joined = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(mut token) = tokens.next() {
        if let Token::Placeholder(scope) = &token.token {
            let name = match tokens.peek().map(|t| &t.token) {
                Some(Token::Period) => {
                    tokens.next();
                    match tokens.next().map(|t| t.token) {
                        Some(Token::Word(Word {
                            value,
                            quote_style: None,
                            ..
                        })) => value,
                        _ => String::new(),
                    }
                }
                _ => String::new(),
            };
            let id = format!("{scope}.{name}");
            let known = id == SECRET_SALT || (scope == "$user" && !name.is_empty());
            if !known {
                return Err(format!(
                    "`{id}` is not known; there are {USER_PREFIX}NAME and {SECRET_SALT}"
                ));
            }
            token.token = Token::Placeholder(id);
        }
        joined.push(token);
    }
    Ok(joined)
}

/// `= ANY ( $user.x )` means the same as `IN ( $user.x )`, and the planner knows lists only in the latter.
fn any_to_in(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_any = |t: &Token| matches!(t, Token::Word(w) if w.value.eq_ignore_ascii_case("any") || w.value.eq_ignore_ascii_case("some"));
    let is_list = |t: &Token| matches!(t, Token::Placeholder(id) if id.starts_with(USER_PREFIX));
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let [first, tail @ ..] = rest {
        match tail {
            [any, paren, list, ..]
                if first.token == Token::Eq
                    && is_any(&any.token)
                    && paren.token == Token::LParen
                    && is_list(&list.token) =>
            {
                out.push(TokenWithSpan {
                    token: Token::make_word("IN", None),
                    span: first.span,
                });
                rest = tail.get(1..).unwrap_or_default();
            }
            _ => {
                out.push(first.clone());
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Attribute, Principal};

    #[test]
    fn placeholders_are_joined_and_unknown_ones_refused() {
        let shown = |sql: &str| Template::parse(sql).map(|t| t.expr.to_string());
        assert_eq!(
            shown("project_id = ANY($user.projects)").unwrap(),
            "project_id IN ($user.projects)"
        );
        assert_eq!(
            shown("a = $user.name OR b = $secret.salt").unwrap(),
            "a = $user.name OR b = $secret.salt"
        );
        assert!(Template::parse("a = $secret.salt").unwrap().uses_secret);
        for bad in [
            "a = $1",
            "a = $user",
            "a = $user.",
            "a = $secret.key",
            "a = ?",
            "a = 1; DROP TABLE t",
            "a = 1 AS b",
            "",
            "a =",
            "$user.\"x\" = 1",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_are_shown_in_place_and_the_secret_never() {
        let who = Principal::new("ana")
            .with("site", Attribute::Text("O'Hara".into()))
            .with("level", Attribute::Integer(3))
            .with("projects", Attribute::List(vec!["p1".into(), "p2".into()]));
        let with = Bindings {
            principal: Some(&who),
            secret: Some("not to be seen"),
        };
        for (sql, shown) in [
            (
                "owner = $user.name AND level <= $user.level",
                "owner = 'ana' AND level <= 3",
            ),
            ("site = $user.site OR x = $user.lacks", "site = 'O''Hara' OR x = NULL"),
            ("p = ANY($user.projects)", "p IN ('p1', 'p2')"),
            ("p NOT IN ('p0', $user.projects)", "p NOT IN ('p0', 'p1', 'p2')"),
            ("array_has($user.projects, p)", "array_has(('p1', 'p2'), p)"),
            ("h = $secret.salt", "h = $secret.salt"),
        ] {
            assert_eq!(Template::parse(sql).unwrap().shown(with), shown);
        }
    }

    #[test]
    fn long_texts_are_refused_before_they_are_parsed() {
        let long = vec!["a = 1"; 400].join(" OR ");
        assert!(Template::parse(&long).unwrap_err().contains("words"));
        assert!(Template::parse(&"a".repeat(9000)).unwrap_err().contains("bytes"));
    }
}
