//! What a statement unfolds to before it is planned: a short text can name itself over and over.
//!
//! Each `WITH` that reads the one before it twice doubles the plan, `CUBE` of n columns makes 2ⁿ groupings, and tables that a
//! comma joins are no operators. The planner's memory and time are bound by no limit of the statement, so the tables that it
//! would read are counted here, with what they stand for, and so are the groupings.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, ObjectNamePart, Query, SetExpr, TableFactor, Visit, Visitor};

use super::statement::plain;
use super::{QueryError, tree};

/// Tables that a statement reads, each as often as it does.
const TABLES_MAX: u64 = 500;
/// Groupings of one GROUP BY.
const GROUPINGS_MAX: u64 = 4_096;

/// # Errors
/// The statement becomes too large a plan.
pub(super) fn check(statement: &EngineStatement) -> Result<(), QueryError> {
    let found = tree::of(statement).map(|ast| ast.visit(&mut Counting::default()));
    match found {
        Some(ControlFlow::Continue(())) | None => Ok(()),
        Some(ControlFlow::Break(Large::Tables)) => Err(QueryError::Invalid(format!(
            "the statement reads more than {TABLES_MAX} tables, those of a WITH counted as often as it is named; make a table of a part by CREATE TABLE … AS"
        ))),
        Some(ControlFlow::Break(Large::Groupings)) => Err(QueryError::Invalid(format!(
            "a GROUP BY has more than {GROUPINGS_MAX} groupings (CUBE of n columns has two to the power of n); name those that are wanted by GROUPING SETS"
        ))),
    }
}

enum Large {
    Tables,
    Groupings,
}

/// A query that is being walked through.
#[derive(Default)]
struct Level {
    /// Tables that it reads.
    tables: u64,
    /// Those of each of its WITH.
    with: HashMap<String, u64>,
}

#[derive(Default)]
struct Counting {
    levels: Vec<Level>,
    /// The queries of WITHs that were not reached yet, by where they stand, and their names.
    named: HashMap<*const Query, String>,
}

impl Counting {
    fn of_table(&self, factor: &TableFactor) -> u64 {
        let TableFactor::Table { name, args: None, .. } = factor else {
            return 1;
        };
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else {
            return 1;
        };
        let name = plain(name);
        let found = self.levels.iter().rev().find_map(|level| level.with.get(&name));
        found.copied().unwrap_or(1)
    }

    fn add(&mut self, tables: u64) -> ControlFlow<Large> {
        if let Some(level) = self.levels.last_mut() {
            level.tables = level.tables.saturating_add(tables);
            if level.tables > TABLES_MAX {
                return ControlFlow::Break(Large::Tables);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Counting {
    type Break = Large;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Large> {
        for with in query.with.iter().flat_map(|with| &with.cte_tables) {
            let at: *const Query = with.query.as_ref();
            self.named.insert(at, plain(&with.alias.name));
        }
        self.levels.push(Level::default());
        match groupings(&query.body) > GROUPINGS_MAX {
            true => ControlFlow::Break(Large::Groupings),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Large> {
        let tables = self.levels.pop().map_or(0, |level| level.tables);
        let at: *const Query = query;
        match (self.named.remove(&at), self.levels.last_mut()) {
            (Some(name), Some(level)) => {
                level.with.insert(name, tables.max(1));
                ControlFlow::Continue(())
            }
            _ => self.add(tables),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Large> {
        let tables = match factor {
            // What is in it is counted where it stands.
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => 0,
            _ => self.of_table(factor),
        };
        self.add(tables)
    }
}

/// The most groupings that a query's own SELECTs have.
fn groupings(body: &SetExpr) -> u64 {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => return groupings(left).max(groupings(right)),
        _ => return 1,
    };
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return 1;
    };
    let of = |key: &Expr| match key {
        Expr::Cube(sets) => u32::try_from(sets.len()).ok().and_then(|sets| 2_u64.checked_pow(sets)),
        Expr::Rollup(sets) => Some(sets.len() as u64 + 1),
        Expr::GroupingSets(sets) => Some(sets.len() as u64),
        _ => Some(1),
    };
    keys.iter()
        .fold(1_u64, |all, key| all.saturating_mul(of(key).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn checked(sql: &str) -> Result<(), String> {
        let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        check(&statement).map_err(|error| error.to_string())
    }

    fn doubling(levels: usize) -> String {
        let each = (1..=levels).map(|n| format!(", a{n} AS (SELECT l.x FROM a{m} l, a{m} r)", m = n - 1));
        let with: String = each.collect();
        format!("WITH a0 AS (SELECT 1 AS x){with} SELECT count(*) FROM a{levels}")
    }

    #[test]
    fn what_grows_without_end_is_refused_and_ordinary_statements_pass() {
        let columns = (0..22).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
        let comma: String = (0..3_000).map(|n| format!(", t t{n}")).collect();
        let nested = format!("SELECT * FROM (WITH {}", &doubling(12)["WITH ".len()..]);
        for (sql, says) in [
            (doubling(25), "500 tables"),
            (doubling(60), "500 tables"),
            (format!("EXPLAIN {}", doubling(25)), "500 tables"),
            (format!("CREATE TABLE x AS {}", doubling(25)), "500 tables"),
            (format!("{nested}) s"), "500 tables"),
            (format!("SELECT 1 FROM t{comma}"), "500 tables"),
            (format!("SELECT 1 FROM t GROUP BY CUBE ({columns})"), "4096 groupings"),
            (
                format!(
                    "SELECT 1 UNION SELECT 1 FROM t GROUP BY ROLLUP ({columns}), ROLLUP ({columns}), ROLLUP ({columns})"
                ),
                "4096 groupings",
            ),
        ] {
            let refused = checked(&sql).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
        for sql in [
            doubling(7),
            "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM a, b WHERE EXISTS (SELECT 1 FROM b)".into(),
            "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT * FROM n".into(),
            "SELECT a, b, count(*) FROM t GROUP BY CUBE (a, b), ROLLUP (c)".into(),
        ] {
            checked(&sql).unwrap();
        }
    }
}
