//! Tests of calls and casts.

use super::*;

fn put(sql: &str) -> Option<String> {
    match parsed(sql).unwrap() {
        Expr::Function(mut function) => call(&mut function, &Words::new("sam", None)).map(|expr| expr.to_string()),
        Expr::Cast { expr, data_type, .. } => cast(&expr, &data_type).map(|expr| expr.to_string()),
        other => panic!("{other}"),
    }
}

#[test]
fn rights_are_told_of_reading_only() {
    assert_eq!(
        put("has_table_privilege('chemistry.reactions', 'SELECT')").unwrap(),
        "true"
    );
    assert_eq!(put("pg_catalog.has_schema_privilege(n.oid, 'USAGE')").unwrap(), "true");
    assert_eq!(
        put("has_table_privilege('chemistry.reactions', 'INSERT')").unwrap(),
        "false"
    );
    assert_eq!(put("pg_table_is_visible(c.oid)").unwrap(), "true");
}

#[test]
fn names_of_types_come_with_their_precision() {
    let plain = put("format_type(a.atttypid, NULL)").unwrap();
    assert!(plain.contains("WHEN 20 THEN 'bigint'"), "{plain}");
    assert!(put("format_type(1700, 655366)").unwrap().contains("numeric("));
    assert_eq!(put("to_regtype('int8')").unwrap(), "20");
    assert!(
        put("to_regtype($1)").unwrap().contains("CAST($1 AS TEXT)"),
        "the value is still asked for"
    );
}

#[test]
fn other_functions_and_types_are_left() {
    assert_eq!(put("lower('A')"), None);
    assert_eq!(put("predict_yield('a')"), None);
    assert_eq!(put("CAST('a' AS VARCHAR)"), None);
    assert_eq!(put("CAST('7' AS oid)").unwrap(), "CAST('7' AS INTEGER)");
}
