//! What asyncpg asks of types that it does not know, such as lists: one fixed question with parts that refer to themselves,
//! which the engine does not plan. It is answered from the list of types; there is nothing of anybody's data in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Query;

use crate::pg_catalog::PG_CATALOG;
use crate::pg_catalog::types::{ALL, CHAR, NAME, OID, PgType, TEXT, TOLD_AS};

/// The type of the one parameter: the numbers asked for.
pub(super) const ASKED: u32 = OID.array;
/// How the question names itself.
const TREE: &str = "typeinfo_tree";

/// Whether a query is that question.
pub(super) fn is_asked(query: &Query) -> bool {
    let with = query.with.as_ref().filter(|with| with.recursive);
    with.is_some_and(|with| with.cte_tables.iter().any(|part| part.alias.name.value == TREE))
}

/// The columns of the answer.
pub(super) fn columns() -> SchemaRef {
    let number = |name: &str| field(name, DataType::Int32, OID.oid);
    let text = |name: &str, told: PgType| field(name, DataType::Utf8, told.oid);
    let list = |name: &str, item: DataType, told: u32| field(name, DataType::new_list(item, true), told);
    Arc::new(Schema::new(vec![
        number("oid"),
        text("ns", NAME),
        text("name", NAME),
        text("kind", CHAR),
        number("basetype"),
        number("elemtype"),
        text("elemdelim", CHAR),
        number("range_subtype"),
        list("attrtypoids", DataType::Int32, OID.array),
        list("attrnames", DataType::Utf8, TEXT.array),
        Field::new("depth", DataType::Int32, true),
        text("basetype_name", TEXT),
        text("elemtype_name", TEXT),
        text("range_subtype_name", TEXT),
    ]))
}

fn field(name: &str, data_type: DataType, told: u32) -> Field {
    Field::new(name, data_type, true).with_metadata([(TOLD_AS.to_owned(), told.to_string())].into())
}

/// The answer: the types asked for, and before them those they are made of.
///
/// # Errors
/// Rows that do not fit their columns, which are written side by side here.
pub(super) fn rows(values: &[ScalarValue]) -> Result<RecordBatch, ArrowError> {
    let asked: BTreeSet<u32> = values.first().map(numbers).unwrap_or_default();
    let lists = ALL.iter().filter(|known| asked.contains(&known.array));
    let items = ALL
        .iter()
        .filter(|known| asked.contains(&known.oid) || asked.contains(&known.array));
    let plain = items.map(|known| (known, false));
    let told: Vec<(&PgType, bool)> = plain.chain(lists.map(|known| (known, true))).collect();
    let schema = columns();
    let number = |of: fn(&PgType, bool) -> Option<u32>| -> ArrayRef {
        let numbers = told.iter().map(|(known, is_list)| of(known, *is_list)?.try_into().ok());
        Arc::new(numbers.collect::<Int32Array>())
    };
    let text = |of: fn(&PgType, bool) -> Option<String>| -> ArrayRef {
        let texts = told.iter().map(|(known, is_list)| of(known, *is_list));
        Arc::new(texts.collect::<StringArray>())
    };
    let null = |at: usize| new_null_array(schema.field(at).data_type(), told.len());
    let columns = vec![
        number(|known, is_list| Some(if is_list { known.array } else { known.oid })),
        text(|_, _| Some(PG_CATALOG.to_owned())),
        text(|known, is_list| Some(format!("{}{}", if is_list { "_" } else { "" }, known.name))),
        text(|_, _| Some("b".to_owned())),
        null(4),
        number(|known, is_list| Some(if is_list { known.oid } else { 0 })),
        text(|_, is_list| is_list.then(|| ",".to_owned())),
        null(7),
        null(8),
        null(9),
        number(|_, is_list| Some(u32::from(!is_list))),
        null(11),
        text(|known, is_list| is_list.then(|| known.sql.to_owned())),
        null(13),
    ];
    RecordBatch::try_new(Arc::clone(&schema), columns)
}

/// The numbers in a list that was bound.
fn numbers(value: &ScalarValue) -> BTreeSet<u32> {
    let ScalarValue::List(list) = value else {
        return BTreeSet::new();
    };
    let list: &ListArray = list;
    let items = arrow::compute::cast(list.values(), &DataType::Int32);
    let items = items
        .as_ref()
        .ok()
        .and_then(|items| items.as_primitive_opt::<Int32Type>());
    let numbers = items.into_iter().flatten().flatten();
    numbers.filter_map(|number| number.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_after_what_it_is_a_list_of() {
        let asked = crate::postgres::parameters::values(&[ASKED], &[], &[Some("{1016,999999}".into())]).unwrap();
        let told = rows(&asked).unwrap();
        let oids = told.column(0).as_primitive::<Int32Type>();
        assert_eq!(oids.values(), &[20, 1016]);
        let names = told.column(2).as_string::<i32>();
        assert_eq!((names.value(0), names.value(1)), ("int8", "_int8"));
        assert_eq!(told.column(5).as_primitive::<Int32Type>().values(), &[0, 20]);
    }
}
