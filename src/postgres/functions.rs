//! Calls of PostgreSQL's own functions, and casts to its own types, in words that the engine knows.
//!
//! What asks for the server's own affairs gets a fixed answer; what asks for names and comments of tables is answered from
//! the governed `pg_catalog`; what would render a definition gives NULL, since there is none. What asks for a right says
//! that a thing may be read: what is seen may be, and every other right is asked when it is used.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart, Query,
    SelectItem, SetExpr, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::empty::has_no_row;
use super::patterns;
use super::rewrite::{VERSION, Words};
use crate::pg_catalog::PG_CATALOG;
use crate::pg_catalog::types::{ALL, PgType};
use crate::query::statement::CATALOG;

/// Numbers of PostgreSQL's own tables, which comments refer to.
const OWN_TABLES: [(&str, u32); 6] = [
    ("pg_class", 1259),
    ("pg_namespace", 2615),
    ("pg_type", 1247),
    ("pg_proc", 1255),
    ("pg_database", 1262),
    ("pg_attribute", 1249),
];
/// Functions that are answered here, beside those known by how their names begin or end.
const OWN: [&str; 31] = [
    "array",
    "col_description",
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "obj_description",
    "quote_ident",
    "quote_literal",
    "session_user",
    "set_config",
    "shobj_description",
    "to_char",
    "to_date",
    "to_regclass",
    "to_regnamespace",
    "to_regproc",
    "to_regrole",
    "to_regtype",
    "to_timestamp",
    "txid_current",
    "user",
    "version",
];
const NULL: &str = "CAST(NULL AS TEXT)";
/// Rights that a thing that is seen has.
const READING: [&str; 4] = ["SELECT", "USAGE", "CONNECT", "EXECUTE"];

/// Whether a call is one of PostgreSQL's own.
pub(super) fn is_own(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| {
        let name = name.value.to_lowercase();
        OWN.contains(&name.as_str()) || name.starts_with("pg_") || is_right(&name)
    })
}

/// Whether a type is written in PostgreSQL's own words.
pub(super) fn is_own_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Regclass | DataType::Custom(..))
}

fn is_right(name: &str) -> bool {
    name.starts_with("has_") && name.ends_with("_privilege")
}

/// Takes PostgreSQL's schema off a function's name.
pub(super) fn bare(name: &mut ObjectName) {
    if let [ObjectNamePart::Identifier(schema), _] = name.0.as_slice()
        && schema.value.eq_ignore_ascii_case(PG_CATALOG)
    {
        name.0.remove(0);
    }
}

/// What stands for a function call; none when the engine has the function.
pub(super) fn call(function: &mut Function, words: &Words<'_>) -> Option<Expr> {
    bare(&mut function.name);
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
        return None;
    };
    let name = name.value.to_lowercase();
    if name == "array" {
        return match &function.args {
            FunctionArguments::Subquery(query) if has_no_row(query) => parsed("CAST(NULL AS TEXT[])"),
            FunctionArguments::Subquery(query) => list_of(query),
            _ => None,
        };
    }
    let arguments = arguments(function);
    let first = arguments.first();
    match name.as_str() {
        "version" => Some(text(VERSION)),
        "current_database" | "current_catalog" => Some(text(CATALOG)),
        "current_schema" => Some(text(words.schema.unwrap_or("public"))),
        "current_schemas" => parsed(&format!("make_array({})", text(words.schema.unwrap_or("public")))),
        "current_user" | "session_user" | "user" | "current_role" => Some(text(words.user)),
        "current_setting" => Some(match setting(words, first) {
            Some(value) => text(&value),
            None => parsed(NULL)?,
        }),
        "set_config" => arguments.into_iter().nth(1),
        "array_upper" => parsed(&match first? {
            // A table function takes a number that is written out.
            Expr::Function(list) if list.name.to_string() == "make_array" => self::arguments(list).len().to_string(),
            list => format!("array_length({list})"),
        }),
        "quote_ident" | "quote_literal" => arguments.into_iter().next(),
        "pg_backend_pid" => Some(number(words.pid.unsigned_abs())),
        "pg_encoding_to_char" => Some(text("UTF8")),
        "pg_get_userbyid" => Some(text("labhouse")),
        "pg_is_in_recovery" | "pg_is_other_temp_schema" => Some(flag(false)),
        "pg_my_temp_schema" | "inet_client_port" | "inet_server_port" | "txid_current" => Some(number(0)),
        "pg_postmaster_start_time" | "pg_conf_load_time" => parsed("now()"),
        "pg_relation_size" | "pg_total_relation_size" | "pg_table_size" | "pg_database_size" | "pg_indexes_size" => {
            parsed("CAST(0 AS BIGINT)")
        }
        "to_char" | "to_date" | "to_timestamp" => patterns::call(&name, &arguments),
        "pg_typeof" => parsed(&format!("arrow_typeof({})", first?)),
        "format_type" => format_type(first?, arguments.get(1)),
        "to_regtype" => Some(type_number(first?)),
        "to_regclass" => table_number(first?),
        "to_regnamespace" => schema_number(first?),
        "to_regrole" | "to_regproc" => parsed("CAST(NULL AS INTEGER)"),
        "obj_description" => description(first?, None),
        "col_description" => description(first?, arguments.get(1)),
        "shobj_description" | "inet_server_addr" | "inet_client_addr" | "pg_size_pretty" => parsed(NULL),
        name if name.starts_with("pg_get_") => parsed(NULL),
        name if is_right(name) => Some(flag(is_reading(&arguments))),
        name if name.starts_with("pg_") && name.ends_with("_is_visible") => Some(flag(true)),
        name if name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_") => Some(flag(true)),
        _ => None,
    }
}

/// `ARRAY(SELECT x …)` as the engine has it; without rows it is NULL and not empty.
fn list_of(query: &Query) -> Option<Expr> {
    let mut query = query.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return None;
    };
    *expr = parsed(&format!("array_agg({expr})"))?;
    Some(Expr::Subquery(Box::new(query)))
}

/// The plain expressions of a call.
pub(super) fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    plain.collect()
}

/// Whether a right that is asked for, the last argument, is one to read.
fn is_reading(arguments: &[Expr]) -> bool {
    let Some(rights) = arguments.last().and_then(literal) else {
        return true;
    };
    let mut rights = rights.split(',').map(|right| right.trim().to_uppercase());
    rights.any(|right| READING.contains(&right.as_str()))
}

/// Casts to types of PostgreSQL's own.
pub(super) fn cast(expr: &Expr, data_type: &DataType) -> Option<Expr> {
    let to = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => name.0.last()?.as_ident()?.value.to_lowercase(),
        DataType::Array(of) => return array_cast(expr, of),
        _ => return None,
    };
    let as_type = |sql: &str| parsed(&format!("CAST({expr} AS {sql})"));
    match to.as_str() {
        "regclass" if is_number(expr) => as_type("INTEGER"),
        "regclass" if is_text(expr) => table_number(expr),
        "regtype" if is_text(expr) => Some(type_number(expr)),
        "regtype" => format_type(expr, None),
        "regnamespace" if is_text(expr) => schema_number(expr),
        "regproc" | "regrole" if literal(expr).is_some() => Some(number(0)),
        "oid" | "xid" => as_type("INTEGER"),
        "int2" => as_type("SMALLINT"),
        "int4" => as_type("INTEGER"),
        "int8" => as_type("BIGINT"),
        "float4" => as_type("REAL"),
        "float8" => as_type("DOUBLE"),
        "bool" => as_type("BOOLEAN"),
        "timestamptz" => as_type("TIMESTAMP WITH TIME ZONE"),
        "text" | "name" | "varchar" | "bpchar" | "char" | "cstring" | "citext" | "regclass" | "regproc"
        | "regprocedure" | "regnamespace" | "regrole" | "sql_identifier" | "character_data" | "yes_or_no" => {
            as_type("TEXT")
        }
        _ => None,
    }
}

/// Casts to lists of PostgreSQL's own types: `x::text[]` is known to the engine, `x::name[]` is not.
fn array_cast(expr: &Expr, of: &datafusion::sql::sqlparser::ast::ArrayElemTypeDef) -> Option<Expr> {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    let (ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) = of else {
        return None;
    };
    let DataType::Custom(name, _) = inner.as_ref() else {
        return None;
    };
    let sql = match name.0.last()?.as_ident()?.value.to_lowercase().as_str() {
        "text" | "name" | "varchar" | "char" | "bpchar" => "TEXT",
        "int2" => "SMALLINT",
        "int4" | "oid" | "xid" => "INTEGER",
        "int8" => "BIGINT",
        "bool" => "BOOLEAN",
        _ => return None,
    };
    parsed(&format!("CAST({expr} AS {sql}[])"))
}

/// The name of a type by its number, with the precision of a decimal number.
fn format_type(number: &Expr, modifier: Option<&Expr>) -> Option<Expr> {
    let names = ALL.iter().flat_map(|known| {
        let array = format!("WHEN {} THEN '{}[]'", known.array, known.sql);
        [format!("WHEN {} THEN '{}'", known.oid, known.sql), array]
    });
    let exact = modifier.map(|modifier| {
        let numeric = crate::pg_catalog::types::NUMERIC.oid;
        format!(
            "WHEN CAST({number} AS BIGINT) = {numeric} AND {modifier} > 4 \
             THEN concat('numeric(', ({modifier} - 4) / 65536, ',', ({modifier} - 4) % 65536, ')')"
        )
    });
    let plain = format!(
        "CASE CAST({number} AS BIGINT) {} ELSE '???' END",
        names.collect::<Vec<_>>().join(" ")
    );
    match exact {
        Some(exact) => parsed(&format!("CASE {exact} ELSE {plain} END")),
        None => parsed(&plain),
    }
}

/// The number of a type by its name; NULL for one there is not.
fn type_number(name: &Expr) -> Expr {
    let Some(written) = literal(name) else {
        let found = format!("(SELECT max(oid) FROM pg_catalog.pg_type WHERE typname = CAST({name} AS TEXT))");
        return parsed(&found).unwrap_or_else(|| number(0));
    };
    let plain = written.trim().to_lowercase();
    let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain);
    let is_it = |known: &&PgType| known.name == plain || known.sql == plain;
    let found = ALL.iter().find(is_it).map(|known| number(known.oid));
    found
        .or_else(|| parsed("CAST(NULL AS INTEGER)"))
        .unwrap_or_else(|| number(0))
}

/// The number of a table by its name, which may be quoted and have a schema.
fn table_number(name: &Expr) -> Option<Expr> {
    let of = "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let Some(written) = literal(name) else {
        return parsed(&format!(
            "(SELECT max(c.oid) {of} WHERE c.relname = CAST({name} AS TEXT) \
             OR concat(n.nspname, '.', c.relname) = CAST({name} AS TEXT))"
        ));
    };
    let plain = written.replace('"', "");
    let parts: Vec<&str> = plain.split('.').collect();
    let quoted = |part: &str| part.replace('\'', "''");
    let own = |table: &str| OWN_TABLES.iter().find(|(known, _)| *known == table);
    match parts.as_slice() {
        [table] | [PG_CATALOG, table] if own(table).is_some() => own(table).map(|(_, oid)| number(*oid)),
        [.., schema, table] => parsed(&format!(
            "(SELECT max(c.oid) {of} WHERE c.relname = '{}' AND n.nspname = '{}')",
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

/// The number of a schema by its name.
fn schema_number(name: &Expr) -> Option<Expr> {
    parsed(&format!(
        "(SELECT max(oid) FROM pg_catalog.pg_namespace WHERE nspname = CAST({name} AS TEXT))"
    ))
}

/// The comment on a table, or on one of its columns.
fn description(table: &Expr, column: Option<&Expr>) -> Option<Expr> {
    let column = column.map_or_else(|| "0".to_owned(), Expr::to_string);
    parsed(&format!(
        "(SELECT max(d_.description) FROM pg_catalog.pg_description d_ WHERE d_.objoid = {table} AND d_.objsubid = {column})"
    ))
}

fn setting(words: &Words<'_>, name: Option<&Expr>) -> Option<String> {
    let name = name.and_then(literal)?;
    words.setting.and_then(|setting| setting(&name))
}

pub(super) fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

/// A text of the statement, or a value that comes later.
fn is_text(expr: &Expr) -> bool {
    let is_placeholder = matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)));
    is_placeholder || literal(expr).is_some()
}

/// A number of the statement, also one written as a text.
fn is_number(expr: &Expr) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match expr {
        Expr::Value(value) if matches!(value.value, Value::Number(..)) => true,
        other => literal(other).is_some_and(|text| digits(&text)),
    }
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).into())
}

fn number(value: u32) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

pub(super) fn flag(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

/// An expression of our own words.
pub(super) fn parsed(sql: &str) -> Option<Expr> {
    Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .ok()?
        .parse_expr()
        .ok()
}

#[cfg(test)]
mod tests;
