//! PostgreSQL's words in a query, put into words that the engine knows: what tools ask of a server besides its data.
//!
//! Only words change: nothing here grants anything, and the changed text walks the same road as any other. Calls of
//! PostgreSQL's own functions are put in `functions`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use super::empty::{asks_catalog_only, has_no_row, is_catalogs_list, name_of};
use super::{functions, literals};
use crate::pg_catalog::{PG_CATALOG, is_table};

/// What this server calls itself to PostgreSQL's tools: some refuse what does not begin like this.
pub(super) const VERSION: &str = concat!("PostgreSQL 16.6 (labhouse ", env!("CARGO_PKG_VERSION"), ")");

/// Gives the value of a setting.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What the words of a statement mean on one connection.
pub(super) struct Words<'a> {
    pub(super) user: &'a str,
    /// Where a bare name is looked for.
    pub(super) schema: Option<&'a str>,
    pub(super) pid: i32,
    pub(super) setting: Option<&'a Lookup<'a>>,
}

impl<'a> Words<'a> {
    #[cfg(test)]
    pub(super) fn new(user: &'a str, schema: Option<&'a str>) -> Self {
        Self {
            user,
            schema,
            pid: 7,
            setting: None,
        }
    }
}

/// Rewrites a statement.
pub(super) fn rewrite(statement: &mut Statement, words: &Words<'_>) {
    let mut own = Own(BTreeSet::new());
    let _ = Visit::visit(&*statement, &mut own);
    // Only where rows are read: what is written is named in full.
    let schema = words.schema.filter(|_| matches!(statement, Statement::Query(_)));
    let mut rewriter = Rewriter {
        words,
        schema,
        own: own.0,
    };
    let _ = VisitMut::visit(statement, &mut rewriter);
}

/// The names that a statement gives to its own parts.
struct Own(BTreeSet<String>);

impl Visitor for Own {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(parts.map(|part| part.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }
}

struct Rewriter<'a> {
    words: &'a Words<'a>,
    schema: Option<&'a str>,
    own: BTreeSet<String>,
}

impl Rewriter<'_> {
    fn qualify(&self, name: &mut ObjectName) {
        let [ObjectNamePart::Identifier(table)] = name.0.as_slice() else {
            return;
        };
        if self.own.contains(&table.value.to_lowercase()) {
            return;
        }
        let schema = match is_table(&table.value) {
            true => Some(Ident::new(PG_CATALOG)),
            false => self.schema.map(|schema| Ident::with_quote('"', schema)),
        };
        if let Some(schema) = schema {
            name.0.insert(0, ObjectNamePart::Identifier(schema));
        }
    }

    /// What stands for an expression whose parts were put already; none when it may stay or is changed in its place.
    fn replaced(&self, expr: &mut Expr) -> Option<Expr> {
        match expr {
            Expr::Function(function) => functions::call(function, self.words),
            Expr::Collate { expr, .. } => Some(Expr::clone(expr)),
            Expr::Cast { expr, data_type, .. } => {
                functions::cast(expr, data_type).or_else(|| literals::cast(expr, data_type))
            }
            Expr::TypedString(typed) => literals::typed(&typed.value.value, &typed.data_type),
            Expr::BinaryOp { left, op, right } => Some(Expr::BinaryOp {
                op: operator(op)?,
                left: left.clone(),
                right: right.clone(),
            }),
            Expr::Like {
                pattern, escape_char, ..
            }
            | Expr::ILike {
                pattern, escape_char, ..
            } => {
                escaped(pattern, escape_char);
                None
            }
            Expr::Subquery(query) if has_no_row(query) => functions::parsed("CAST(NULL AS TEXT)"),
            Expr::Subquery(query) => {
                one_row(query);
                None
            }
            Expr::Exists { subquery, negated } if has_no_row(subquery) => Some(functions::flag(*negated)),
            Expr::InSubquery { subquery, negated, .. } if has_no_row(subquery) => Some(functions::flag(*negated)),
            _ => None,
        }
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.qualify(name),
            // What is proved to have no row keeps the name it is proved by.
            TableFactor::Table {
                name, args: Some(_), ..
            } if !is_catalogs_list(name) => functions::bare(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Where an item will be put in other words, the column keeps the name that PostgreSQL gives it.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut taken: BTreeSet<String> = select.projection.iter().filter_map(named).collect();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let is_put = match expr {
                Expr::Function(function) => functions::is_own(function),
                Expr::Cast { data_type, .. } => functions::is_own_type(data_type),
                Expr::Subquery(_) => true,
                _ => false,
            };
            if !is_put {
                continue;
            }
            let mut name = name_of(expr);
            // The engine wants each name once.
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            *item = SelectItem::ExprWithAlias {
                alias: Ident::with_quote('"', name),
                expr: expr.clone(),
            };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(replaced) = self.replaced(expr) {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}

/// Says that a question to the catalog within another has one row, which PostgreSQL sees and the engine wants to be told.
fn one_row(query: &mut Query) {
    if query.limit_clause.is_some() || query.fetch.is_some() || !asks_catalog_only(query) {
        return;
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return;
    };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return;
    };
    // Which of the rows would be first does not matter where there is one.
    query.order_by = None;
    let aggregate = if is_condition(expr) { "bool_or" } else { "max" };
    if let Some(told) = functions::parsed(&format!("{aggregate}({expr})")) {
        *expr = told;
    }
}

fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::And
                | BinaryOperator::Or
        ),
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::InList { .. } | Expr::UnaryOp { .. } => true,
        Expr::Nested(inner) => is_condition(inner),
        _ => false,
    }
}

/// Puts a pattern whose letters are escaped by another sign than the engine's into one that is escaped by its.
fn escaped(pattern: &mut Box<Expr>, escape_char: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(sign)) = escape_char.as_ref().map(|escape| &escape.value) else {
        return;
    };
    if sign == "\\" || sign.chars().count() != 1 {
        return;
    }
    let sign = sign.replace('\'', "''");
    // Doubled, the sign stands for itself; meanwhile it is a letter that no text has.
    let put = format!(
        "replace(replace(replace(replace({pattern}, '\\', '\\\\'), '{sign}{sign}', '\u{1}'), '{sign}', '\\'), '\u{1}', '{sign}')"
    );
    if let Some(put) = functions::parsed(&put) {
        **pattern = put;
        *escape_char = None;
    }
}

/// The name of an item that has one already.
fn named(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))) => Some(name_of(expr)),
        SelectItem::UnnamedExpr(_)
        | SelectItem::ExprWithAliases { .. }
        | SelectItem::QualifiedWildcard(..)
        | SelectItem::Wildcard(_) => None,
    }
}

/// Operators written with a schema: `OPERATOR(pg_catalog.~)`.
fn operator(written: &BinaryOperator) -> Option<BinaryOperator> {
    let BinaryOperator::PGCustomBinaryOperator(parts) = written else {
        return None;
    };
    Some(match parts.last()?.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn rewritten_in(sql: &str, schema: Option<&str>) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        rewrite(&mut statement, &Words::new("sa'm", schema));
        statement.to_string()
    }

    fn rewritten(sql: &str) -> String {
        rewritten_in(sql, None)
    }

    #[test]
    fn names_of_the_server_are_answered_and_the_users_is_quoted() {
        assert_eq!(
            rewritten("SELECT current_user, current_database() AS d, 1"),
            "SELECT 'sa''m' AS \"current_user\", 'lab' AS d, 1"
        );
        assert!(rewritten("SELECT pg_catalog.version()").contains("PostgreSQL 16"));
        assert!(rewritten("SELECT pg_catalog.version()").ends_with("AS \"version\""));
        assert_eq!(rewritten("SELECT pg_catalog.lower('A')"), "SELECT lower('A')");
        assert_eq!(rewritten("SELECT count(*) FROM t"), "SELECT count(*) FROM t");
    }

    #[test]
    fn tables_of_the_catalog_are_found_without_their_schema_and_others_are_left() {
        assert_eq!(
            rewritten("SELECT oid FROM pg_class"),
            "SELECT oid FROM pg_catalog.pg_class"
        );
        assert_eq!(rewritten("SELECT oid FROM pg_mine"), "SELECT oid FROM pg_mine");
        assert_eq!(
            rewritten("SELECT a FROM chemistry.pg_class"),
            "SELECT a FROM chemistry.pg_class"
        );
    }

    #[test]
    fn bare_names_are_looked_for_in_the_search_path_where_rows_are_read() {
        let put = |sql| rewritten_in(sql, Some("chemistry"));
        assert_eq!(
            put("SELECT a FROM reactions r"),
            "SELECT a FROM \"chemistry\".reactions r"
        );
        assert_eq!(
            put("WITH x AS (SELECT 1) SELECT * FROM x JOIN t ON true"),
            "WITH x AS (SELECT 1) SELECT * FROM x JOIN \"chemistry\".t ON true"
        );
        assert_eq!(
            put("SELECT * FROM forecast('a', 'b', 'c', 3)"),
            "SELECT * FROM forecast('a', 'b', 'c', 3)"
        );
        assert_eq!(put("DELETE FROM t"), "DELETE FROM t");
    }

    #[test]
    fn operators_collations_and_casts_become_plain() {
        assert_eq!(
            rewritten("SELECT 1 FROM t WHERE a OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default"),
            "SELECT 1 FROM t WHERE a ~ '^(x)$'"
        );
        assert_eq!(
            rewritten("SELECT a::name, b::pg_catalog.text"),
            "SELECT CAST(a AS TEXT) AS \"a\", CAST(b AS TEXT) AS \"b\""
        );
        assert_eq!(
            rewritten("SELECT a, a::name FROM t"),
            "SELECT a, CAST(a AS TEXT) AS \"a_\" FROM t"
        );
        assert_eq!(rewritten("SELECT a, a::BIGINT FROM t"), "SELECT a, a::BIGINT FROM t");
        assert_eq!(
            rewritten("SELECT 1 WHERE x = 'pg_class'::regclass"),
            "SELECT 1 WHERE x = 1259"
        );
        assert!(rewritten("SELECT 'chemistry.reactions'::regclass").contains("nspname = 'chemistry'"));
        assert!(rewritten("SELECT 'a''; DROP'::regclass").contains("relname = 'a''; DROP'"));
    }

    #[test]
    fn patterns_are_escaped_as_the_engine_does_it() {
        let put = rewritten("SELECT 1 FROM t WHERE a NOT LIKE 'pg/_' || '%' ESCAPE '/'");
        assert!(put.contains("replace(") && !put.contains("ESCAPE"), "{put}");
        let kept = "SELECT 1 FROM t WHERE a LIKE 'x'";
        assert_eq!(rewritten(kept), kept);
    }

    #[test]
    fn questions_within_questions_have_one_row() {
        let sql = "SELECT 1 FROM t WHERE x = (SELECT typname FROM pg_type p WHERE p.oid = t.y)";
        let wanted = "SELECT 1 FROM t WHERE x = (SELECT max(typname) FROM pg_catalog.pg_type p WHERE p.oid = t.y)";
        assert_eq!(rewritten(sql), wanted);
        assert!(rewritten("SELECT 1 WHERE (SELECT relkind = 'c' FROM pg_class)").contains("bool_or(relkind = 'c')"));
        for kept in [
            "SELECT (SELECT x FROM t) AS y",
            "SELECT (SELECT max(oid) FROM pg_catalog.pg_class) AS y",
        ] {
            assert_eq!(rewritten(kept), kept);
        }
        let list = rewritten(
            "SELECT ARRAY(SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY 1) AS x FROM t c",
        );
        assert!(
            list.contains("(SELECT array_agg(attname) FROM pg_catalog.pg_attribute a"),
            "{list}"
        );
    }

    #[test]
    fn inner_queries_without_a_row_become_null() {
        let sql = "SELECT (SELECT adbin FROM pg_attrdef d WHERE d.adrelid = a.attrelid) AS x FROM pg_attribute a";
        assert_eq!(
            rewritten(sql),
            "SELECT CAST(NULL AS TEXT) AS x FROM pg_catalog.pg_attribute a"
        );
        let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_index)";
        assert_eq!(rewritten(sql), "SELECT 1 WHERE true");
    }
}
