//! Which columns of which tables questions compare with constants, counted by the scans that run.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, Operator};
use parking_lot::Mutex;

/// Counts of one table are halved when one of them comes this far, so that what was asked long ago fades.
const COUNT_MAX: u64 = 4_096;

/// Counts by table. In memory only: a server that starts anew learns anew.
#[derive(Debug, Default)]
pub struct Asked {
    /// By the table's folder, then by column.
    tables: Mutex<HashMap<String, HashMap<String, u64>>>,
}

impl Asked {
    /// How often scans of a table were narrowed by a column, the most used first.
    pub fn of(&self, table: &crate::TableName) -> Vec<(String, u64)> {
        let tables = self.tables.lock();
        let columns = tables.get(&table.location()).into_iter().flatten();
        let mut counts: Vec<_> = columns.map(|(column, count)| (column.clone(), *count)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Begins anew for a table.
    pub fn forget(&self, table: &crate::TableName) {
        self.tables.lock().remove(&table.location());
    }

    /// A scan with these filters, all of which must hold.
    pub(super) fn saw(&self, location: &str, filters: &[Expr]) {
        let mut columns: Vec<&str> = filters
            .iter()
            .filter_map(compared)
            .map(|column| column.name())
            .collect();
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return;
        }
        let mut tables = self.tables.lock();
        let counts = tables.entry(location.to_owned()).or_default();
        for column in columns {
            *counts.entry(column.to_owned()).or_default() += 1;
        }
        if counts.values().any(|count| *count >= COUNT_MAX) {
            counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }
}

/// The column that a filter compares with constants in a way that bounds can answer.
fn compared(filter: &Expr) -> Option<&Column> {
    match filter {
        Expr::BinaryExpr(both) if is_comparison(both.op) => match (both.left.as_ref(), both.right.as_ref()) {
            (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) => Some(column),
            _ => None,
        },
        Expr::InList(list) if !list.negated && list.list.iter().all(|one| matches!(one, Expr::Literal(..))) => {
            list.expr.try_as_col()
        }
        Expr::Between(between) if !between.negated => between.expr.try_as_col(),
        Expr::Like(like) if !like.negated && !like.case_insensitive => like.expr.try_as_col(),
        _ => None,
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    #[test]
    fn comparisons_that_bounds_can_answer_are_counted_once_a_scan() {
        let asked = Asked::default();
        let table = crate::TableName::parse("chem.t").unwrap();
        let location = table.location();
        let twice = [col("a").gt(lit(1)), col("a").lt(lit(9)), col("b").eq(lit("x"))];
        asked.saw(&location, &twice);
        let lists = [
            col("a").in_list(vec![lit(1)], false),
            col("b").in_list(vec![lit("x")], true),
        ];
        asked.saw(&location, &lists);
        let none = [
            col("b").not_eq(lit("x")),
            col("b").eq(col("a")),
            (col("a") + lit(1)).eq(lit(2)),
        ];
        asked.saw(&location, &none);
        assert_eq!(asked.of(&table), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        asked.forget(&table);
        assert!(asked.of(&table).is_empty());
    }

    #[test]
    fn what_was_asked_long_ago_fades() {
        let asked = Asked::default();
        let table = crate::TableName::parse("chem.t").unwrap();
        asked.saw(&table.location(), &[col("old").eq(lit(1))]);
        for _ in 0..COUNT_MAX {
            asked.saw(&table.location(), &[col("new").eq(lit(1))]);
        }
        assert_eq!(asked.of(&table), [("new".to_owned(), COUNT_MAX / 2)]);
    }
}
