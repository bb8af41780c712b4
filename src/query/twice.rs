//! Two columns of a result under one name, as `SELECT oid, db.*` or `SELECT 1, 1` give them.
//!
//! The engine wants each name once. So where it refuses a read for that, names are set apart by an end that no name has, and
//! the end is taken off again where a result becomes what goes over the wire.

use std::collections::BTreeMap;

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Select, SelectItem, SetExpr, Statement as Ast,
};

use super::QueryError;
use super::statement::plain;

/// Begins the end of a name that was set apart.
const APART: &str = "\u{1f}apart ";

/// Whether a statement was refused because two of its columns have one name.
pub(super) fn is_cause(error: &QueryError) -> bool {
    match error {
        QueryError::Invalid(text) => {
            text.contains("require unique expression names")
                || text.contains("Schema contains duplicate")
                || text.contains("Schema contains qualified field name")
        }
        _ => false,
    }
}

/// Sets the names of a query's own columns apart; no when there is nothing to set apart.
pub(super) fn set_apart(statement: &mut EngineStatement) -> bool {
    let EngineStatement::Statement(ast) = statement else {
        return false;
    };
    let Ast::Query(query) = ast.as_mut() else {
        return false;
    };
    let order_by = query.order_by.as_mut();
    leftmost(&mut query.body).is_some_and(|select| apart(select, order_by))
}

/// The SELECT whose names are those of the result.
fn leftmost(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select.as_mut()),
        SetExpr::SetOperation { left, .. } => leftmost(left),
        _ => None,
    }
}

fn apart(select: &mut Select, order_by: Option<&mut OrderBy>) -> bool {
    let is_every = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let has_every = select.projection.iter().any(is_every);
    let names: Vec<Option<String>> = select.projection.iter().map(name).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names.iter().flatten() {
        *counts.entry(name).or_default() += 1;
    }
    let mut aliases: BTreeMap<String, String> = BTreeMap::new();
    let mut is_changed = false;
    for (at, (item, name)) in select.projection.iter_mut().zip(&names).enumerate() {
        let Some(name) = name else { continue };
        if !has_every && counts.get(name.as_str()).is_none_or(|count| *count < 2) {
            continue;
        }
        let new = format!("{name}{APART}{at}");
        let (expr, was_named) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), false),
            SelectItem::ExprWithAlias { expr, .. } => (expr.clone(), true),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                continue;
            }
        };
        if was_named {
            aliases.entry(name.clone()).or_insert_with(|| new.clone());
        }
        is_changed = true;
        *item = SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', new),
        };
    }
    // A key that is a name of the result follows it.
    if let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = order_by
    {
        for key in keys {
            if let Expr::Identifier(name) = &mut key.expr
                && let Some(new) = aliases.get(&plain(name))
            {
                *name = Ident::with_quote('"', new);
            }
        }
    }
    is_changed
}

/// The name under which an item is shown, as far as its text says it.
fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(plain(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(plain(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(plain),
        SelectItem::UnnamedExpr(other) => Some(other.to_string()),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// The name as it was before it was set apart.
pub(super) fn together(name: &str) -> &str {
    match name.rsplit_once(APART) {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn set(sql: &str) -> Option<String> {
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        set_apart(&mut statement).then(|| statement.to_string().replace(APART, "#"))
    }

    #[test]
    fn names_that_are_there_twice_are_set_apart_and_come_back() {
        for (sql, wanted) in [
            (
                "SELECT id, Id, k FROM t",
                Some("SELECT id AS \"id#0\", Id AS \"id#1\", k FROM t"),
            ),
            (
                "SELECT d.oid, d.* FROM d",
                Some("SELECT d.oid AS \"oid#0\", d.* FROM d"),
            ),
            (
                "SELECT a AS n, b AS n FROM t ORDER BY n",
                Some("SELECT a AS \"n#0\", b AS \"n#1\" FROM t ORDER BY \"n#0\""),
            ),
            (
                "SELECT count(*), count(*) FROM t",
                Some("SELECT count(*) AS \"count(*)#0\", count(*) AS \"count(*)#1\" FROM t"),
            ),
            ("SELECT a, b FROM t", None),
            ("VALUES (1, 1)", None),
        ] {
            assert_eq!(set(sql).as_deref(), wanted, "{sql}");
        }
        assert_eq!(together(&format!("oid{APART}0")), "oid");
        for name in ["oid", "oid#0", "a\u{1f}apart b"] {
            assert_eq!(together(name), name);
        }
    }
}
