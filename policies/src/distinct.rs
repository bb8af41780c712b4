//! `a IS DISTINCT FROM b AND c` as SQL means it.
//!
//! The parser (sqlparser) takes all that follows `FROM` for the right side, as if `b AND c` stood in brackets, which is no error where
//! they are booleans: another condition is asked, silently. PostgreSQL and DuckDB bind `IS` tighter than `NOT`, `AND` and `OR`.
//! Brackets that were written are nodes of their own, so the words of a condition can be read again from its tree, in their order.

use std::iter::Peekable;
use std::ops::ControlFlow;
use std::vec::IntoIter;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, VisitMut, VisitorMut};

/// Binds each `IS [NOT] DISTINCT FROM` to what is next to it.
pub fn bind_distinct(sql: &mut impl VisitMut) {
    let _ = VisitMut::visit(sql, &mut Binding);
}

struct Binding;

impl VisitorMut for Binding {
    type Break = ();

    /// From the top: what a comparison took may belong to a word far above it.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if has_loose(expr) {
            let mut words = Vec::new();
            read(expr.clone(), &mut words);
            if let Some(bound) = condition(&mut words.into_iter().peekable(), 0) {
                *expr = bound;
            }
        }
        ControlFlow::Continue(())
    }
}

enum Word {
    Operand(Box<Expr>),
    Not,
    Between(Link),
}

#[derive(Clone, Copy)]
enum Link {
    Or,
    And,
    IsDistinct,
    IsNotDistinct,
}

/// How tightly `NOT` binds.
const NOT: u8 = 3;

impl Link {
    fn binds(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::IsDistinct | Self::IsNotDistinct => 4,
        }
    }

    fn of(self, left: Expr, right: Expr) -> Expr {
        let (left, right) = (Box::new(left), Box::new(right));
        let op = match self {
            Self::Or => BinaryOperator::Or,
            Self::And => BinaryOperator::And,
            Self::IsDistinct => return Expr::IsDistinctFrom(left, right),
            Self::IsNotDistinct => return Expr::IsNotDistinctFrom(left, right),
        };
        Expr::BinaryOp { left, op, right }
    }
}

/// Whether a comparison in it took more than is its own.
fn has_loose(expr: &Expr) -> bool {
    let is_loose = |right: &Expr| {
        matches!(
            right,
            Expr::BinaryOp {
                op: BinaryOperator::And | BinaryOperator::Or,
                ..
            }
        )
    };
    match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => is_loose(right) || has_loose(right),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => has_loose(expr),
        Expr::BinaryOp {
            op: BinaryOperator::And | BinaryOperator::Or,
            left,
            right,
        } => has_loose(left) || has_loose(right),
        _ => false,
    }
}

/// The words of a condition in the order in which they were written.
fn read(expr: Expr, words: &mut Vec<Word>) {
    let (left, link, right) = match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => (left, Link::And, right),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Or,
            right,
        } => (left, Link::Or, right),
        Expr::IsDistinctFrom(left, right) => (left, Link::IsDistinct, right),
        Expr::IsNotDistinctFrom(left, right) => (left, Link::IsNotDistinct, right),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => {
            words.push(Word::Not);
            return read(*expr, words);
        }
        operand => return words.push(Word::Operand(Box::new(operand))),
    };
    read(*left, words);
    words.push(Word::Between(link));
    read(*right, words);
}

/// Reads on as long as what comes binds tighter.
fn condition(words: &mut Peekable<IntoIter<Word>>, tighter_than: u8) -> Option<Expr> {
    let mut left = match words.next()? {
        Word::Operand(expr) => *expr,
        Word::Not => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(condition(words, NOT)?),
        },
        Word::Between(_) => return None,
    };
    while let Some(Word::Between(link)) = words.peek() {
        let link = *link;
        if link.binds() <= tighter_than {
            break;
        }
        words.next();
        left = link.of(left, condition(words, link.binds())?);
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use proptest::prelude::*;

    use super::*;

    fn bound(sql: &str) -> Expr {
        let mut expr = Parser::new(&GenericDialect {})
            .try_with_sql(sql)
            .unwrap()
            .parse_expr()
            .unwrap();
        bind_distinct(&mut expr);
        expr
    }

    /// As it is, with all brackets.
    fn spelled(expr: &Expr) -> String {
        let both = |left, word, right| format!("({} {word} {})", spelled(left), spelled(right));
        match expr {
            Expr::BinaryOp { left, op, right } => both(left, op.to_string(), right),
            Expr::IsDistinctFrom(left, right) => both(left, "IS DISTINCT FROM".to_owned(), right),
            Expr::IsNotDistinctFrom(left, right) => both(left, "IS NOT DISTINCT FROM".to_owned(), right),
            Expr::UnaryOp { op, expr } => format!("({op} {})", spelled(expr)),
            Expr::Nested(inner) => spelled(inner),
            other => other.to_string(),
        }
    }

    #[test]
    fn it_binds_tighter_than_and_or_and_not() {
        for (sql, wanted) in [
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            (
                "a IS NOT DISTINCT FROM b OR c AND d",
                "((a IS NOT DISTINCT FROM b) OR (c AND d))",
            ),
            (
                "x AND a IS DISTINCT FROM b OR c",
                "((x AND (a IS DISTINCT FROM b)) OR c)",
            ),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a IS DISTINCT FROM b)) AND c)"),
            ("a IS DISTINCT FROM NOT b AND c", "((a IS DISTINCT FROM (NOT b)) AND c)"),
            ("a IS DISTINCT FROM (b AND c)", "(a IS DISTINCT FROM (b AND c))"),
            (
                "a + 1 IS DISTINCT FROM b = c AND d",
                "(((a + 1) IS DISTINCT FROM (b = c)) AND d)",
            ),
            (
                "a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e",
                "(((a IS DISTINCT FROM b) AND (c IS DISTINCT FROM d)) OR e)",
            ),
            (
                "(a IS DISTINCT FROM b AND c) OR d",
                "(((a IS DISTINCT FROM b) AND c) OR d)",
            ),
        ] {
            assert_eq!(spelled(&bound(sql)), wanted, "{sql}");
        }
        let case = bound("CASE WHEN a IS DISTINCT FROM b AND c THEN f(a IS DISTINCT FROM b OR c) END");
        let again = "CASE WHEN a IS DISTINCT FROM b AND c THEN f(a IS DISTINCT FROM b OR c) END";
        assert_eq!(case.to_string(), again, "the words stay as they were");
        assert!(format!("{case:?}").contains("condition: BinaryOp"), "{case:?}");
    }

    /// A condition with no brackets but those it needs, and with all.
    fn conditions() -> impl Strategy<Value = (u8, String, String)> {
        let operand = "[a-e]".prop_map(|name| (5, name.clone(), name));
        operand.prop_recursive(6, 64, 2, |inner| {
            let not = inner.clone().prop_map(|(binds, short, long)| {
                let short = if binds < 3 { format!("({short})") } else { short };
                (3, format!("NOT {short}"), format!("(NOT {long})"))
            });
            let links = prop_oneof![
                Just((1, "OR")),
                Just((2, "AND")),
                Just((4, "IS DISTINCT FROM")),
                Just((4, "IS NOT DISTINCT FROM"))
            ];
            let both = (inner.clone(), links, inner).prop_map(|(left, (binds, word), right)| {
                let side = |(own, short, _): &(u8, String, String)| match *own <= binds && *own < 5 {
                    true => format!("({short})"),
                    false => short.clone(),
                };
                let short = format!("{} {word} {}", side(&left), side(&right));
                (binds, short, format!("({} {word} {})", left.2, right.2))
            });
            prop_oneof![not, both]
        })
    }

    proptest! {
        #[test]
        fn brackets_that_are_not_needed_change_nothing((_, short, long) in conditions()) {
            prop_assert_eq!(spelled(&bound(&short)), spelled(&bound(&long)));
            prop_assert_eq!(spelled(&bound(&long)), long);
        }
    }
}
