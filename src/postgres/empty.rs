//! Queries that cannot have a row, proved from their text.
//!
//! Tools ask PostgreSQL for keys, triggers, policies and publications in queries that no other planner takes. A lake has
//! none of these, so such a query need not be planned: an inner part that is always empty leaves no row of the whole.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, SetOperator,
    TableFactor, TableWithJoins, Visit, Visitor,
};

use crate::pg_catalog::{PG_CATALOG, is_always_empty};

/// Names of aggregates as the tools' queries use them: without groups they give a row for no row.
const AGGREGATES: [&str; 9] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Whether a query never has a row, whatever the lake holds.
pub(super) fn has_no_row(query: &Query) -> bool {
    query.with.is_none() && body(&query.body)
}

/// Whether a query reads tables of `pg_catalog` and nothing else, row by row.
pub(super) fn asks_catalog_only(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let is_catalog = |factor: &TableFactor| {
        let TableFactor::Table { name, args: None, .. } = factor else {
            return false;
        };
        let schema = name.0.first().and_then(|part| part.as_ident());
        name.0.len() == 2 && schema.is_some_and(|schema| schema.value == PG_CATALOG)
    };
    let all = |table: &TableWithJoins| {
        is_catalog(&table.relation) && table.joins.iter().all(|join| is_catalog(&join.relation))
    };
    let groups = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(expressions, _) => !expressions.is_empty(),
    };
    let aggregates = select.having.is_some() || select.projection.iter().any(has_aggregate);
    query.with.is_none() && !groups && !aggregates && !select.from.is_empty() && select.from.iter().all(all)
}

fn body(expression: &SetExpr) -> bool {
    match expression {
        SetExpr::Select(select) => self::select(select),
        SetExpr::Query(query) => has_no_row(query),
        SetExpr::SetOperation { left, op, right, .. } => match op {
            SetOperator::Union => body(left) && body(right),
            SetOperator::Intersect => body(left) || body(right),
            SetOperator::Except | SetOperator::Minus => body(left),
        },
        SetExpr::Values(_)
        | SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => false,
    }
}

fn select(select: &Select) -> bool {
    let groups = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(expressions, modifiers) => !expressions.is_empty() && modifiers.is_empty(),
    };
    let aggregates = select.having.is_some() || select.projection.iter().any(has_aggregate);
    (groups || !aggregates) && select.from.iter().any(joined)
}

fn joined(table: &TableWithJoins) -> bool {
    let mut empty = factor(&table.relation);
    for join in &table.joins {
        let right = factor(&join.relation);
        empty = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || right,
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            JoinOperator::FullOuter(_) => empty && right,
            // Rare, and not proved.
            _ => return false,
        };
    }
    empty
}

fn factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => relation(name),
        TableFactor::Table {
            name, args: Some(_), ..
        } => is_catalogs_list(name),
        TableFactor::Derived { subquery, .. } => has_no_row(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => joined(table_with_joins),
        _ => false,
    }
}

/// Whether a function gives the items of a list; written with this schema by tools only, about options and rights of things
/// in the catalog, of which there are none here.
pub(super) fn is_catalogs_list(name: &ObjectName) -> bool {
    name.to_string().eq_ignore_ascii_case("pg_catalog.unnest")
}

/// Whether a table of that name is one of `pg_catalog` that never has a row.
fn relation(name: &ObjectName) -> bool {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| Some(part.as_ident()?.value.as_str()))
        .collect();
    match parts.as_slice() {
        [schema, table] => *schema == PG_CATALOG && is_always_empty(table),
        _ => false,
    }
}

/// An aggregate anywhere in an item, windows and inner queries excepted.
fn has_aggregate(item: &SelectItem) -> bool {
    let expression = match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        SelectItem::ExprWithAliases { expr, .. } => expr,
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => return false,
    };
    expression.visit(&mut Aggregates { depth: 0 }).is_break()
}

/// Ends at an aggregate that is not an inner query's.
struct Aggregates {
    depth: usize,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function)
                if self.depth == 0 && function.over.is_none() && AGGREGATES.contains(&last_word(function).as_str()) =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn last_word(function: &Function) -> String {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    last.map_or_else(String::new, |ident| ident.value.to_lowercase())
}

/// The columns of such a query; all texts, since there is no value to be of a type.
pub(super) fn columns(query: &Query) -> SchemaRef {
    let mut leftmost = query.body.as_ref();
    let items = loop {
        match leftmost {
            SetExpr::Select(select) => break select.projection.as_slice(),
            SetExpr::Query(query) => leftmost = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => leftmost = left.as_ref(),
            _ => break &[],
        }
    };
    let fields = items.iter().map(|item| {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                "?column?".to_owned()
            }
        };
        Field::new(name, DataType::Utf8, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// As PostgreSQL names a column without an alias.
pub(super) fn name_of(expression: &Expr) -> String {
    match expression {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |ident| ident.value.clone()),
        Expr::Function(function) => last_word(function),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => name_of(expr),
        Expr::Case { .. } => "case".to_owned(),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.as_slice() {
                [SelectItem::UnnamedExpr(expr)] => name_of(expr),
                [SelectItem::ExprWithAlias { alias, .. }] => alias.value.clone(),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        _ => "?column?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn query(sql: &str) -> Query {
        match Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0) {
            Statement::Query(query) => *query,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_reads_an_empty_table_has_no_row() {
        for sql in [
            "SELECT polname FROM pg_catalog.pg_policy",
            "SELECT c.oid FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i WHERE c.oid = i.inhparent",
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid",
            "SELECT 1 FROM (SELECT * FROM pg_catalog.pg_constraint) x",
            "SELECT x FROM pg_catalog.unnest(c.reloptions) x",
            "SELECT n, count(*) FROM pg_catalog.pg_trigger GROUP BY n",
            "SELECT n, (SELECT string_agg(a, ',') FROM t) FROM pg_catalog.pg_trigger",
            "SELECT 1 FROM pg_catalog.pg_policy UNION SELECT 2 FROM pg_catalog.pg_index",
            "SELECT 1 FROM pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_class c ON true",
        ] {
            assert!(has_no_row(&query(sql)), "{sql}");
        }
    }

    #[test]
    fn what_may_have_a_row_is_planned() {
        for sql in [
            "SELECT 1",
            "SELECT count(*) FROM pg_catalog.pg_policy",
            "SELECT coalesce(max(oid), 0) FROM pg_catalog.pg_policy",
            "SELECT 1 FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON true",
            "SELECT 1 FROM pg_catalog.pg_index i RIGHT JOIN pg_catalog.pg_class c ON true",
            "SELECT 1 FROM pg_catalog.pg_policy UNION SELECT 2",
            "SELECT 1 FROM pg_catalog.pg_class EXCEPT SELECT 2 FROM pg_catalog.pg_policy",
            "SELECT 1 FROM chemistry.pg_policy",
            "SELECT 1 FROM pg_policy",
            "WITH x AS (SELECT 1) SELECT 1 FROM pg_catalog.pg_policy",
            "SELECT 1 FROM pg_catalog.pg_policy HAVING true",
        ] {
            assert!(!has_no_row(&query(sql)), "{sql}");
        }
    }

    #[test]
    fn columns_are_named_as_postgres_names_them() {
        let told = columns(&query(
            "SELECT a.b, f(x), y AS \"Z\", 1 + 1, x::text FROM pg_catalog.pg_policy a",
        ));
        let names: Vec<_> = told.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["b", "f", "Z", "?column?", "x"]);
    }
}
