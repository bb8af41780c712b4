//! Trees of SQL as text that is read as the same trees.
//!
//! The parser's own printing does not know whether a text was escaped already, and leaves a quote that follows a backslash or
//! another quote as it is: the text `\' OR true --` would come out as a condition. Such texts are written between dollars.
//! What else it prints otherwise than it reads is refused before anything is parsed: see [`super::tokens`].

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{DollarQuotedString, Value, ValueWithSpan, VisitMut, VisitorMut};

/// A tree as text.
pub(crate) fn printed<T: Display + Clone + VisitMut>(tree: &T) -> String {
    let mut tree = tree.clone();
    let _ = VisitMut::visit(&mut tree, &mut Dollars);
    tree.to_string()
}

struct Dollars;

impl VisitorMut for Dollars {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let text = match &value.value {
            Value::SingleQuotedString(text) if is_misprinted(text, '\'') => text.clone(),
            Value::NationalStringLiteral(text) if text.contains('\'') => text.clone(),
            _ => return ControlFlow::Continue(()),
        };
        value.value = Value::DollarQuotedString(between_dollars(text));
        ControlFlow::Continue(())
    }
}

/// Whether the parser's printing takes a text between such quotes for one that is escaped.
pub(super) fn is_misprinted(text: &str, quote: char) -> bool {
    let mut before = None;
    text.chars().any(|letter| {
        let is_taken = letter == quote && matches!(before, Some(before) if before == '\\' || before == quote);
        before = Some(letter);
        is_taken
    })
}

/// The text between dollars and a word that it does not have.
fn between_dollars(text: String) -> DollarQuotedString {
    let mut tag = String::from("q");
    while text.contains(&tag) {
        tag.push('q');
    }
    DollarQuotedString {
        value: text,
        tag: Some(tag),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::{Statement, Visit, Visitor};
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn read(sql: &str) -> Statement {
        Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0)
    }

    struct Texts(Vec<String>);

    impl Visitor for Texts {
        type Break = ();

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            self.0.extend(value.value.clone().into_string());
            ControlFlow::Continue(())
        }
    }

    fn texts(statement: &Statement) -> Vec<String> {
        let mut texts = Texts(Vec::new());
        let _ = statement.visit(&mut texts);
        texts.0
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read_as_it_was(first in "['\\\\$qE a\"\\n-]{0,12}", second in "['\\\\$qé]{0,12}") {
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let sql = format!("SELECT {} AS a FROM t WHERE b = {}", quoted(&first), quoted(&second));
            let statement = read(&sql);
            proptest::prop_assert_eq!(texts(&statement), vec![first.clone(), second.clone()]);
            let again = printed(&statement);
            proptest::prop_assert_eq!(texts(&read(&again)), vec![first, second], "{}", again);
        }
    }

    #[test]
    fn ordinary_texts_stay_as_they_are_written() {
        let sql = "SELECT 'it''s', 'a\\b', E'a\\nb' FROM t";
        assert_eq!(printed(&read(sql)), sql);
        // What the parser prints by itself is another statement.
        let statement = read("SELECT 1 FROM t WHERE a = '\\'' OR true --'");
        assert_ne!(texts(&read(&statement.to_string())), texts(&statement));
    }
}
