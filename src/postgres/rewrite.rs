//! PostgreSQL's words in a query, put into words that the engine knows: what tools ask of a server besides its data.
//!
//! Only words change: nothing here grants anything, and the changed text walks the same road as any other. Functions that
//! ask for the server's own affairs get a fixed answer; those that would render definitions or comments get NULL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Statement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::empty::has_no_row;
use crate::pg_catalog::types::{ALL, PgType};
use crate::pg_catalog::{PG_CATALOG, SETTINGS, is_table};
use crate::query::statement::CATALOG;

/// What this server calls itself to PostgreSQL's tools: some refuse what does not begin like this.
pub(super) const VERSION: &str = concat!("PostgreSQL 16.6 (labhouse ", env!("CARGO_PKG_VERSION"), ")");
/// Numbers of PostgreSQL's own tables, which comments refer to.
const OWN_TABLES: [(&str, u32); 6] = [
    ("pg_class", 1259),
    ("pg_namespace", 2615),
    ("pg_type", 1247),
    ("pg_proc", 1255),
    ("pg_database", 1262),
    ("pg_attribute", 1249),
];

/// Rewrites a statement for `user`.
pub(super) fn rewrite(statement: &mut Statement, user: &str) {
    let _ = statement.visit(&mut Words { user });
}

struct Words<'a> {
    user: &'a str,
}

impl VisitorMut for Words<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(table)] = name.0.as_slice()
            && is_table(&table.value)
        {
            let schema = ObjectNamePart::Identifier(Ident::new(PG_CATALOG));
            name.0.insert(0, schema);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replaced = match expr {
            Expr::Function(function) => self.function(function),
            Expr::Collate { expr, .. } => Some(Expr::clone(expr)),
            Expr::Cast { expr, data_type, .. } => cast(expr, data_type),
            Expr::BinaryOp { left, op, right } => match operator(op) {
                Some(op) => Some(Expr::BinaryOp {
                    left: left.clone(),
                    op,
                    right: right.clone(),
                }),
                None => None,
            },
            Expr::Subquery(query) if has_no_row(query) => parsed("CAST(NULL AS TEXT)"),
            Expr::Exists { subquery, negated } if has_no_row(subquery) => Some(flag(*negated)),
            Expr::InSubquery { subquery, negated, .. } if has_no_row(subquery) => Some(flag(*negated)),
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}

impl Words<'_> {
    /// What stands for a function call; none when the engine has the function.
    fn function(&self, function: &mut Function) -> Option<Expr> {
        if let [ObjectNamePart::Identifier(schema), _] = function.name.0.as_slice()
            && schema.value.eq_ignore_ascii_case(PG_CATALOG)
        {
            function.name.0.remove(0);
        }
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
            return None;
        };
        let name = name.value.to_lowercase();
        let arguments = arguments(function);
        match name.as_str() {
            "version" => Some(text(VERSION)),
            "current_database" | "current_catalog" => Some(text(CATALOG)),
            "current_schema" => Some(text("public")),
            "current_schemas" => parsed("make_array('public')"),
            "current_user" | "session_user" | "user" | "current_role" => Some(text(self.user)),
            "current_setting" => Some(text(setting(arguments.first()))),
            "set_config" => arguments.into_iter().nth(1),
            "quote_ident" | "quote_literal" => arguments.into_iter().next(),
            "pg_backend_pid" => Some(number(0)),
            "pg_encoding_to_char" => Some(text("UTF8")),
            "pg_get_userbyid" => Some(text("labhouse")),
            "pg_is_in_recovery" | "pg_is_other_temp_schema" => Some(flag(false)),
            "pg_my_temp_schema" => Some(number(0)),
            "pg_postmaster_start_time" | "pg_conf_load_time" => parsed("now()"),
            "pg_relation_size" | "pg_total_relation_size" | "pg_table_size" | "pg_database_size" => {
                parsed("CAST(0 AS BIGINT)")
            }
            "pg_size_pretty" => parsed("CAST(NULL AS TEXT)"),
            "format_type" => format_type(arguments.first()?),
            "to_regtype" => Some(type_number(arguments.first()?)),
            "to_regclass" => table_number(arguments.first()?),
            "obj_description" | "col_description" | "shobj_description" | "inet_server_addr" | "inet_client_addr" => {
                parsed("CAST(NULL AS TEXT)")
            }
            name if name.starts_with("pg_get_") => parsed("CAST(NULL AS TEXT)"),
            name if name.starts_with("has_") && name.ends_with("_privilege") => Some(flag(true)),
            name if name.starts_with("pg_") && name.ends_with("_is_visible") => Some(flag(true)),
            "array" => match &function.args {
                FunctionArguments::Subquery(query) if has_no_row(query) => parsed("CAST(NULL AS TEXT)"),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The plain expressions of a call.
fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    plain.collect()
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
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        _ => return None,
    })
}

/// Casts to types of PostgreSQL's own.
fn cast(expr: &Expr, data_type: &DataType) -> Option<Expr> {
    let to = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => name.0.last()?.as_ident()?.value.to_lowercase(),
        _ => return None,
    };
    let as_type = |sql: &str| parsed(&format!("CAST({expr} AS {sql})"));
    match to.as_str() {
        "regclass" if literal(expr).is_some() => table_number(expr),
        "regtype" if literal(expr).is_some() => Some(type_number(expr)),
        "regtype" => format_type(expr),
        "regnamespace" | "regproc" | "regrole" if literal(expr).is_some() => Some(number(0)),
        "oid" | "xid" => as_type("INTEGER"),
        "int2" => as_type("SMALLINT"),
        "int4" => as_type("INTEGER"),
        "int8" => as_type("BIGINT"),
        "float4" => as_type("REAL"),
        "float8" => as_type("DOUBLE"),
        "bool" => as_type("BOOLEAN"),
        "text" | "name" | "varchar" | "bpchar" | "char" | "cstring" | "citext" | "regclass" | "regproc"
        | "regprocedure" | "regnamespace" | "regrole" | "sql_identifier" | "character_data" | "yes_or_no" => {
            as_type("TEXT")
        }
        _ => None,
    }
}

/// The name of a type by its number.
fn format_type(number: &Expr) -> Option<Expr> {
    let names = ALL.iter().flat_map(|known| {
        [
            format!("WHEN {} THEN '{}'", known.oid, known.sql),
            format!("WHEN {} THEN '{}[]'", known.array, known.sql),
        ]
    });
    let names: Vec<String> = names.collect();
    parsed(&format!(
        "CASE CAST({number} AS BIGINT) {} ELSE '???' END",
        names.join(" ")
    ))
}

/// The number of a type by its name; NULL for one there is not.
fn type_number(name: &Expr) -> Expr {
    let found = literal(name).and_then(|name| {
        let plain = name.trim().to_lowercase();
        let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain).to_owned();
        let is_it = |known: &&PgType| known.name == plain || known.sql == plain;
        ALL.iter().find(is_it).map(|known| number(known.oid))
    });
    found
        .or_else(|| parsed("CAST(NULL AS INTEGER)"))
        .unwrap_or_else(|| number(0))
}

/// The number of a table by its name, which may be quoted and have a schema.
fn table_number(name: &Expr) -> Option<Expr> {
    let Some(written) = literal(name) else {
        return parsed(&format!(
            "(SELECT max(oid) FROM pg_catalog.pg_class WHERE relname = {name})"
        ));
    };
    let plain = written.replace('"', "");
    let parts: Vec<&str> = plain.split('.').collect();
    let quoted = |part: &str| part.replace('\'', "''");
    match parts.as_slice() {
        [table] | [PG_CATALOG, table] if OWN_TABLES.iter().any(|(known, _)| known == table) => OWN_TABLES
            .iter()
            .find(|(known, _)| known == table)
            .map(|(_, oid)| number(*oid)),
        [.., schema, table] => parsed(&format!(
            "(SELECT max(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = '{}' AND n.nspname = '{}')",
            quoted(table),
            quoted(schema)
        )),
        [table] => parsed(&format!(
            "(SELECT max(oid) FROM pg_catalog.pg_class WHERE relname = '{}')",
            quoted(table)
        )),
        [] => None,
    }
}

fn setting(name: Option<&Expr>) -> &'static str {
    let name = name.and_then(literal).unwrap_or_default();
    let found = SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    found.map_or("", |(_, value)| value)
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).into())
}

fn number(value: u32) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn flag(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

/// An expression of our own words.
fn parsed(sql: &str) -> Option<Expr> {
    Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .ok()?
        .parse_expr()
        .ok()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        rewrite(&mut statement, "sa'm");
        statement.to_string()
    }

    #[test]
    fn names_of_the_server_are_answered_and_the_users_is_quoted() {
        assert_eq!(
            rewritten("SELECT current_user, current_database()"),
            "SELECT 'sa''m', 'lab'"
        );
        assert!(rewritten("SELECT pg_catalog.version()").contains("PostgreSQL 16"));
        assert_eq!(rewritten("SELECT pg_catalog.lower('A')"), "SELECT lower('A')");
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
    fn operators_collations_and_casts_become_plain() {
        assert_eq!(
            rewritten("SELECT 1 FROM t WHERE a OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default"),
            "SELECT 1 FROM t WHERE a ~ '^(x)$'"
        );
        assert_eq!(
            rewritten("SELECT a::name, b::pg_catalog.text"),
            "SELECT CAST(a AS TEXT), CAST(b AS TEXT)"
        );
        assert_eq!(rewritten("SELECT 'pg_class'::regclass"), "SELECT 1259");
        assert!(rewritten("SELECT 'chemistry.reactions'::regclass").contains("nspname = 'chemistry'"));
        assert!(rewritten("SELECT 'a''; DROP'::regclass").contains("relname = 'a''; DROP'"));
    }

    #[test]
    fn inner_queries_without_a_row_become_null() {
        let sql = "SELECT (SELECT adbin FROM pg_attrdef d WHERE d.adrelid = a.attrelid) FROM pg_attribute a";
        assert_eq!(
            rewritten(sql),
            "SELECT CAST(NULL AS TEXT) FROM pg_catalog.pg_attribute a"
        );
        let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_index)";
        assert_eq!(rewritten(sql), "SELECT 1 WHERE true");
    }
}
