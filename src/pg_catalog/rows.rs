//! The rows of `pg_catalog`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::error::DataFusionError;

use super::types::{self, ALL, PgType};
use super::{PG_CATALOG, SETTINGS, columns};
use crate::query::narrow::narrow_schema;
use crate::query::statement::CATALOG;
use crate::session::Governed;

/// PostgreSQL's own numbers of the things there is one of.
const OWNER: i32 = 10;
const PG_CATALOG_OID: i32 = 11;
const INFORMATION_OID: i32 = 13_000;
const TABLESPACE: i32 = 1663;
const DATABASE: i32 = 5;
const HEAP: i32 = 2;
/// The number of `pg_class`, which comments on tables refer to.
const CLASS: i32 = 1259;
/// PostgreSQL's own things have numbers below it.
const FIRST_OID: u32 = 16_384;

/// A value of a row; columns that a row does not name are null.
enum Value {
    Text(String),
    Number(i32),
    Flag(bool),
}

type Row = BTreeMap<&'static str, Value>;

/// What is told of a table.
struct Table {
    oid: i32,
    schema: String,
    name: String,
    columns: SchemaRef,
    comment: Option<String>,
    is_view: bool,
}

pub(super) fn rows(governed: &Governed, name: &str, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let rows = if columns::is_always_empty(name) {
        Vec::new()
    } else {
        filled(governed, name)
    };
    let columns = schema.fields().iter().map(|field| column(field, &rows)).collect();
    let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &count)?)
}

fn filled(governed: &Governed, name: &str) -> Vec<Row> {
    match name {
        "pg_am" => vec![row([
            ("oid", HEAP.into()),
            ("amname", "heap".into()),
            ("amtype", "t".into()),
        ])],
        "pg_attribute" => tables(governed).iter().flat_map(attributes).collect(),
        "pg_class" => tables(governed).iter().map(class).collect(),
        "pg_database" => vec![row([
            ("oid", DATABASE.into()),
            ("datname", CATALOG.into()),
            ("datdba", OWNER.into()),
            ("encoding", 6.into()),
            ("datistemplate", false.into()),
            ("datallowconn", true.into()),
            ("datconnlimit", (-1).into()),
            ("datcollate", "C.UTF-8".into()),
            ("datctype", "C.UTF-8".into()),
            ("dattablespace", TABLESPACE.into()),
        ])],
        "pg_description" => tables(governed).iter().flat_map(comments).collect(),
        "pg_namespace" => namespaces(governed),
        "pg_roles" => vec![row([
            ("oid", OWNER.into()),
            ("rolname", governed.who().name.as_str().into()),
            ("rolsuper", false.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", false.into()),
            ("rolcreatedb", false.into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolconnlimit", (-1).into()),
            ("rolbypassrls", false.into()),
        ])],
        "pg_tablespace" => vec![row([
            ("oid", TABLESPACE.into()),
            ("spcname", "pg_default".into()),
            ("spcowner", OWNER.into()),
        ])],
        "pg_user" => vec![row([
            ("usename", governed.who().name.as_str().into()),
            ("usesysid", OWNER.into()),
            ("usecreatedb", false.into()),
            ("usesuper", false.into()),
            ("userepl", false.into()),
            ("usebypassrls", false.into()),
        ])],
        "pg_settings" => SETTINGS
            .iter()
            .map(|(name, value)| row([("name", (*name).into()), ("setting", (*value).into())]))
            .collect(),
        "pg_tables" => of_schema(governed, false, "tablename", "tableowner"),
        "pg_views" => of_schema(governed, true, "viewname", "viewowner"),
        "pg_type" => all_types(),
        _ => Vec::new(),
    }
}

fn tables(governed: &Governed) -> Vec<Table> {
    let mut taken = BTreeSet::new();
    let told = governed.shown().into_iter().map(|shown| {
        let lake = governed.world().catalog.table(&shown.schema, &shown.table);
        Table {
            oid: number(&format!("{}.{}", shown.schema, shown.table), &mut taken),
            comment: lake.and_then(|table| table.description().map(str::to_owned)),
            columns: narrow_schema(&shown.provider.schema()),
            is_view: Governed::is_view(&shown.schema),
            schema: shown.schema,
            name: shown.table,
        }
    });
    told.collect()
}

fn namespaces(governed: &Governed) -> Vec<Row> {
    let schemas: BTreeSet<String> = governed.visible().into_iter().map(|(schema, _)| schema).collect();
    let own = [
        (PG_CATALOG_OID, PG_CATALOG.to_owned()),
        (INFORMATION_OID, "information_schema".to_owned()),
    ];
    let visible = schemas.into_iter().map(|schema| (namespace(&schema), schema));
    let told = own.into_iter().chain(visible);
    told.map(|(oid, name)| {
        row([
            ("oid", oid.into()),
            ("nspname", name.as_str().into()),
            ("nspowner", OWNER.into()),
        ])
    })
    .collect()
}

fn class(table: &Table) -> Row {
    let is_view = table.is_view;
    row([
        ("oid", table.oid.into()),
        ("relname", table.name.as_str().into()),
        ("relnamespace", namespace(&table.schema).into()),
        ("reltype", 0.into()),
        ("reloftype", 0.into()),
        ("relowner", OWNER.into()),
        ("relam", if is_view { 0 } else { HEAP }.into()),
        ("reltablespace", 0.into()),
        ("reltoastrelid", 0.into()),
        // How many rows there are is for a statement to count, under its policy.
        ("relpages", 0.into()),
        ("reltuples", (-1).into()),
        ("relhasindex", false.into()),
        ("relisshared", false.into()),
        ("relpersistence", "p".into()),
        ("relkind", if is_view { "v" } else { "r" }.into()),
        ("relnatts", small(table.columns.fields().len())),
        ("relchecks", 0.into()),
        ("relhasrules", false.into()),
        ("relhastriggers", false.into()),
        ("relhassubclass", false.into()),
        // Whether rows are hidden is not told.
        ("relrowsecurity", false.into()),
        ("relforcerowsecurity", false.into()),
        ("relispopulated", true.into()),
        ("relreplident", "n".into()),
        ("relispartition", false.into()),
    ])
}

fn attributes(table: &Table) -> Vec<Row> {
    let fields = table.columns.fields().iter().zip(1_usize..);
    fields
        .map(|(field, at)| {
            let (value, is_list) = types::of(field.data_type());
            let length = if is_list { -1 } else { value.length };
            row([
                ("attrelid", table.oid.into()),
                ("attname", field.name().as_str().into()),
                ("atttypid", oid(types::oid(field.data_type()))),
                ("attlen", i32::from(length).into()),
                ("attnum", small(at)),
                ("attcacheoff", (-1).into()),
                ("atttypmod", types::modifier(field.data_type()).into()),
                ("attndims", i32::from(is_list).into()),
                ("attbyval", (length > 0).into()),
                ("attalign", "i".into()),
                ("attstorage", "p".into()),
                ("attnotnull", false.into()),
                ("atthasdef", false.into()),
                ("atthasmissing", false.into()),
                ("attidentity", "".into()),
                ("attgenerated", "".into()),
                ("attisdropped", false.into()),
                ("attislocal", true.into()),
                ("attinhcount", 0.into()),
                ("attcollation", 0.into()),
            ])
        })
        .collect()
}

fn comments(table: &Table) -> Vec<Row> {
    let of_columns = table.columns.fields().iter().zip(1_usize..);
    let of_columns = of_columns.filter_map(|(field, at)| Some((at, field.metadata().get("comment")?.clone())));
    let all = table
        .comment
        .clone()
        .map(|comment| (0, comment))
        .into_iter()
        .chain(of_columns);
    all.map(|(at, comment)| {
        row([
            ("objoid", table.oid.into()),
            ("classoid", CLASS.into()),
            ("objsubid", small(at)),
            ("description", comment.as_str().into()),
        ])
    })
    .collect()
}

fn of_schema(governed: &Governed, views: bool, name: &'static str, owner: &'static str) -> Vec<Row> {
    let visible = governed.visible().into_iter();
    visible
        .filter(|(schema, _)| Governed::is_view(schema) == views)
        .map(|(schema, table)| {
            row([
                ("schemaname", schema.as_str().into()),
                (name, table.as_str().into()),
                (owner, "labhouse".into()),
            ])
        })
        .collect()
}

fn all_types() -> Vec<Row> {
    let one = |known: &PgType| {
        let mut told = type_row(known.oid, known.name, known.length, known.category());
        told.insert("typarray", oid(known.array));
        let mut list = type_row(known.array, &format!("_{}", known.name), -1, "A");
        list.insert("typelem", oid(known.oid));
        [told, list]
    };
    ALL.iter().flat_map(one).collect()
}

fn type_row(number: u32, name: &str, length: i16, category: &'static str) -> Row {
    row([
        ("oid", oid(number)),
        ("typname", name.into()),
        ("typnamespace", PG_CATALOG_OID.into()),
        ("typowner", OWNER.into()),
        ("typlen", i32::from(length).into()),
        ("typbyval", (length > 0).into()),
        ("typtype", "b".into()),
        ("typcategory", category.into()),
        ("typispreferred", false.into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typrelid", 0.into()),
        ("typelem", 0.into()),
        ("typarray", 0.into()),
        ("typnotnull", false.into()),
        ("typbasetype", 0.into()),
        ("typtypmod", (-1).into()),
        ("typndims", 0.into()),
        ("typcollation", 0.into()),
    ])
}

fn namespace(schema: &str) -> i32 {
    number(schema, &mut BTreeSet::new())
}

/// A number made of a name, and the next one when two names make the same.
fn number(name: &str, taken: &mut BTreeSet<i32>) -> i32 {
    // FNV-1a: short, stable, and nothing depends on its being hard to turn round.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let mut number = FIRST_OID + hash % (i32::MAX.unsigned_abs() - FIRST_OID);
    loop {
        let candidate = i32::try_from(number).unwrap_or(i32::MAX);
        if taken.insert(candidate) {
            return candidate;
        }
        number = number % i32::MAX.unsigned_abs() + 1;
    }
}

fn row<const N: usize>(values: [(&'static str, Value); N]) -> Row {
    Row::from(values)
}

fn oid(number: u32) -> Value {
    Value::Number(i32::try_from(number).unwrap_or(0))
}

fn small(number: usize) -> Value {
    Value::Number(i32::try_from(number).unwrap_or(i32::from(i16::MAX)))
}

fn column(field: &Field, rows: &[Row]) -> ArrayRef {
    let values = rows.iter().map(|row| row.get(field.name().as_str()));
    let number = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match field.data_type() {
        DataType::Boolean => Arc::new(
            values
                .map(|value| match value {
                    Some(Value::Flag(flag)) => Some(*flag),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        DataType::Int32 => Arc::new(values.map(number).collect::<Int32Array>()),
        DataType::Int16 => Arc::new(
            values
                .map(|value| number(value).and_then(|number| i16::try_from(number).ok()))
                .collect::<Int16Array>(),
        ),
        DataType::Float32 => Arc::new(
            values
                .map(|value| number(value).map(|number| number as f32))
                .collect::<Float32Array>(),
        ),
        DataType::Utf8 => Arc::new(
            values
                .map(|value| match value {
                    Some(Value::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        other => new_null_array(other, rows.len()),
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn numbers_of_names_are_stable_distinct_and_above_postgres_own() {
        let mut taken = BTreeSet::new();
        let first = number("chemistry.reactions", &mut taken);
        assert_eq!(first, namespace("chemistry.reactions"));
        assert!(first >= 16_384);
        let again = number("chemistry.reactions", &mut taken);
        assert_ne!(first, again, "two of the same name get two numbers");
    }

    #[test]
    fn rows_name_only_columns_that_there_are() {
        let columns = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let table = Table {
            oid: 1,
            schema: "chemistry".into(),
            name: "t".into(),
            columns: Arc::new(columns),
            comment: Some("about".into()),
            is_view: false,
        };
        let one = |name, rows: Vec<Row>| {
            let schema = columns::of(name).unwrap();
            for key in rows.iter().flat_map(BTreeMap::keys) {
                assert!(schema.field_with_name(key).is_ok(), "{name}.{key}");
            }
        };
        one("pg_class", vec![class(&table)]);
        one("pg_attribute", attributes(&table));
        one("pg_description", comments(&table));
        one("pg_type", all_types());
    }
}
