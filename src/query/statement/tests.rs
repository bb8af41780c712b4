//! Tests of the file above.

use super::*;

#[test]
fn a_model_statement_is_read_whole() {
    let own = parse_own(
        "CREATE OR REPLACE MODEL lab.chemistry.yield_model OPTIONS (target = 'yield_pct', time_budget_s = 60) AS SELECT 1;",
    );
    let Statement::CreateModel(model) = own.unwrap().unwrap() else {
        panic!("not a model")
    };
    assert_eq!(model.name.to_string(), "chemistry.yield_model");
    assert!(model.or_replace);
    assert_eq!(model.options["time_budget_s"], "60");
    let own = parse_own("CREATE MODEL lab.chemistry.m OPTIONS (features = 'a, b') FROM 'landing/chemistry/m.onnx'");
    let Statement::CreateModel(model) = own.unwrap().unwrap() else {
        panic!("not a model")
    };
    assert!(matches!(model.source, ModelSource::File(file) if file == "landing/chemistry/m.onnx"));
}

#[test]
fn a_library_has_parts_and_what_it_leaves_out() {
    let own = parse_own(
        "CREATE VIRTUAL LIBRARY lab.c.l FROM c.scaffolds CROSS (SELECT b FROM c.bases WHERE x > 1) CROSS JOIN (SELECT 1 AS t) EXCLUDING (SELECT b FROM c.run);",
    );
    let Statement::Library(LibraryStatement::Create {
        parts,
        excluding,
        or_replace,
        ..
    }) = own.unwrap().unwrap()
    else {
        panic!("not a library")
    };
    assert_eq!((parts.len(), or_replace), (3, false));
    assert_eq!(parts[0].to_string(), "SELECT * FROM \"c\".\"scaffolds\"");
    assert_eq!(excluding.unwrap().to_string(), "SELECT b FROM c.run");
    let drop = parse_own("DROP VIRTUAL LIBRARY IF EXISTS c.l").unwrap().unwrap();
    assert_eq!(
        (drop.verb(), drop.target().as_deref()),
        ("drop_library", Some("lab.c.l"))
    );
}

#[test]
fn tags_are_read_for_tables_and_columns() {
    let own = parse_own("ALTER TABLE chemistry.t ALTER COLUMN Operator SET TAGS (pii = true)")
        .unwrap()
        .unwrap();
    let Statement::SetTags { column, tags, .. } = own else {
        panic!("not tags")
    };
    assert_eq!(column.as_deref(), Some("operator"));
    assert_eq!(tags["pii"], "true");
}

#[test]
fn only_plans_that_can_be_drawn_are_drawn() {
    let drawable = |sql: &str| drawable(sql, &engine(sql));
    for sql in [
        "EXPLAIN FORMAT TREE SELECT 'ä'",
        "explain analyze format 'tree' select 'ä'",
        "EXPLAIN (FORMAT tree) SELECT 'ä'",
    ] {
        assert!(matches!(drawable(sql), Err(QueryError::Unsupported(_))), "{sql}");
    }
    for sql in [
        "EXPLAIN FORMAT TREE SELECT 'a'",
        "EXPLAIN SELECT 'ä'",
        "SELECT 'ä' AS format, tree",
    ] {
        assert!(drawable(sql).is_ok(), "{sql}");
    }
}

#[test]
fn half_statements_and_second_ones_are_refused() {
    for sql in [
        "CREATE MODEL chemistry.m OPTIONS (target 'x') AS SELECT 1",
        "CREATE VIRTUAL TABLE chemistry.l FROM chemistry.a",
        "CREATE VIRTUAL LIBRARY chemistry.l",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM (SELECT 1",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM chemistry.a CROSS",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM (DELETE FROM chemistry.a)",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM a",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM chemistry.a EXCLUDING",
        "CREATE VIRTUAL LIBRARY chemistry.l FROM chemistry.a CROSS chemistry.b EXCLUDING chemistry.c CROSS chemistry.d",
        "DROP VIRTUAL chemistry.l",
        "CREATE MODEL chemistry.m OPTIONS (target = 'x' kind = 'y') AS SELECT 1",
        "CREATE MODEL chemistry.m",
        "CREATE MODEL chemistry.m FROM",
        "CREATE MODEL chemistry.m FROM chemistry.t",
        "CREATE MODEL chemistry.m FROM 'a.onnx' AS SELECT 1",
        "CREATE MODEL chemistry.m OPTIONS (target = 'x') AS DELETE FROM chemistry.t",
        "CANCEL QUERY 'all'",
        "CANCEL QUERY",
        "CREATE MODEL m AS SELECT 1",
        "DROP MODEL chemistry.m; DROP MODEL chemistry.n",
        "CREATE MODEL other.chemistry.m AS SELECT 1",
        "CREATE MODEL chemistry.\"../m\" AS SELECT 1",
    ] {
        assert!(parse_own(sql).is_err(), "{sql}");
    }
    assert!(parse_own("SELECT 1").unwrap().is_none());
}

fn engine(sql: &str) -> EngineStatement {
    let mut all = datafusion::sql::parser::DFParser::parse_sql(sql).unwrap();
    all.pop_front().unwrap()
}

fn parse(sql: &str) -> Result<Statement, QueryError> {
    if let Some(own) = parse_own(sql)? {
        return Ok(own);
    }
    classify(engine(sql))
}

/// The name of a statement's row. A new kind of statement does not compile until it has one.
fn row(statement: &Statement) -> &'static str {
    match statement {
        Statement::Read(_) => "Read",
        Statement::CreateModel(_) => "CreateModel",
        Statement::DropModel { .. } => "DropModel",
        Statement::CreateTableAs { .. } => "CreateTableAs",
        Statement::Insert { .. } => "Insert",
        Statement::Change(_) => "Change UPDATE",
        Statement::ExplainPolicy(_) => "ExplainPolicy",
        Statement::SetModelVersion { .. } => "SetModelVersion",
        Statement::SetModelFunction { .. } => "SetModelFunction",
        Statement::Upkeep(_) => "Upkeep OPTIMIZE",
        Statement::View(_) => "View",
        Statement::Library(_) => "Library DROP",
        Statement::Alert(_) => "Alert DROP",
        Statement::Quarantine(_) => "Quarantine RELEASE",
        Statement::CancelQuery(_) => "CancelQuery",
        Statement::SetTags { .. } => "SetTags",
    }
}

#[test]
fn every_kind_of_statement_has_a_row_in_the_golden_matrix() {
    let golden = include_str!("../../../tests/suite/golden.txt");
    let statements = [
        "SELECT 1",
        "CREATE MODEL lab.a.m AS SELECT 1",
        "DROP MODEL lab.a.m",
        "CREATE TABLE lab.a.t AS SELECT 1",
        "INSERT INTO lab.a.t SELECT 1",
        "UPDATE lab.a.t SET x = 1",
        "EXPLAIN POLICY ON lab.a.t",
        "ALTER MODEL lab.a.m SET VERSION 1",
        "ALTER MODEL lab.a.m SET FUNCTION 'f'",
        "OPTIMIZE lab.a.t",
        "REFRESH MATERIALIZED VIEW lab.a.t",
        "DROP VIRTUAL LIBRARY lab.a.t",
        "DROP ALERT lab.a.t",
        "ALTER TABLE lab.a.t SET TAGS (a = 'b')",
        "RELEASE QUARANTINE 'a/t/x.csv'",
        "CANCEL QUERY '01234567-89ab-cdef-0123-456789abcdef'",
    ];
    let mut rows: Vec<&str> = statements.into_iter().map(|sql| row(&parse(sql).unwrap())).collect();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), statements.len(), "one statement of each kind");
    for name in rows {
        assert!(
            golden.contains(&format!("\nstatement | {name} |")),
            "add {name} to tests/suite/golden.rs and bless it"
        );
    }
}
