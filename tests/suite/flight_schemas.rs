//! What the Flight SQL door tells of columns and parameters before rows come, and that it is what comes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{
    CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementUpdate,
    DoPutPreparedStatementResult,
};
use arrow_flight::{FlightInfo, IpcMessage, Ticket};
use bytes::Bytes;
use prost::Message;
use tonic::Code;

use crate::lab;
use crate::raw::{Raw, descriptor, query};

fn update(sql: &str) -> CommandStatementUpdate {
    CommandStatementUpdate {
        query: sql.into(),
        transaction_id: None,
    }
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

fn schema(bytes: Bytes) -> Schema {
    Schema::try_from(IpcMessage(bytes)).unwrap()
}

fn types(schema: &Schema) -> String {
    let types: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    types.join(" ")
}

/// A value of each announced type, as JDBC binds them.
fn values(parameters: &Schema) -> RecordBatch {
    let columns = parameters.fields().iter().map(|field| {
        let column: ArrayRef = match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from(vec![1])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![1.5])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["1"])),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true])),
            other => panic!("{other}"),
        };
        (field.name().clone(), column)
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Types change between the text of a statement and its plan: what is told when it is prepared is what streams.
#[tokio::test]
async fn a_prepared_statement_is_announced_as_it_streams_whatever_its_parameters() {
    let lab = lab::shared();
    let mut sam = Raw::login(&lab, "sam").await;
    let of = |sql: &str| sql.replace('@', "lab.chemistry.plate_readings");
    for (sql, parameters, columns) in [
        (
            "SELECT CASE WHEN \"column\" > ? THEN 1 ELSE 2.5 END AS x FROM @ LIMIT 1",
            "Int64",
            "Float64",
        ),
        ("SELECT 1 AS x UNION ALL SELECT 2.5 WHERE 1 = ?", "Int64", "Float64"),
        (
            "SELECT 'a' AS x UNION ALL SELECT well FROM @ WHERE well = ?",
            "Utf8",
            "Utf8",
        ),
        (
            "SELECT coalesce(?, well) AS x, upper(?) AS y FROM @ LIMIT 1",
            "Utf8 Utf8",
            "Utf8 Utf8",
        ),
        (
            "SELECT upper(?) AS x, yield_pct FROM @ WHERE \"column\" = ? LIMIT 1",
            "Utf8 Int64",
            "Utf8 Float64",
        ),
        (
            "SELECT NULL AS x UNION ALL SELECT 1 FROM @ WHERE \"column\" = ?",
            "Int64",
            "Int64",
        ),
        (
            "SELECT sum(\"column\") AS x, avg(\"column\") AS y FROM @ WHERE yield_pct < ?",
            "Float64",
            "Int64 Float64",
        ),
        ("SELECT ? AS x, 1 AS y ORDER BY 2 LIMIT ?", "Utf8 Int64", "Utf8 Int64"),
        (
            "SELECT * FROM (VALUES (1, 'a'), (2.5, 'b')) AS v(x, y) WHERE y <> ?",
            "Utf8",
            "Float64 Utf8",
        ),
    ] {
        let sql = of(sql);
        let (prepared, _) = sam.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let (told, wanted) = (schema(prepared.dataset_schema), schema(prepared.parameter_schema));
        assert_eq!(types(&wanted), parameters, "{sql}");
        assert_eq!(types(&told), columns, "{sql}");
        let run = |handle: &Bytes| CommandPreparedStatementQuery {
            prepared_statement_handle: handle.clone(),
        };
        let first = prepared.prepared_statement_handle;
        let request = sam.request(descriptor(&run(&first)));
        let asked = sam.client.get_schema(request).await.unwrap().into_inner();
        assert_eq!(schema(asked.schema), told, "{sql}");
        let result = sam.put(&run(&first), Some(values(&wanted))).await.unwrap();
        let result = DoPutPreparedStatementResult::decode(result.app_metadata).unwrap();
        let (announced, rows) = sam.ask(&run(&result.prepared_statement_handle.unwrap())).await.unwrap();
        assert_eq!(announced, told, "{sql}");
        assert!(rows.iter().all(|batch| batch.schema().as_ref() == &told), "{sql}");
        // A statement sent with its parameters open is told the same.
        let info = sam.info(&query(&sql.replace('?', "$1"))).await;
        if parameters.split(' ').count() == 1 {
            assert_eq!(info.unwrap().try_decode_schema().unwrap(), told, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_result_of_other_columns_than_announced_is_refused() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    ada.update(
        &update("CREATE TABLE lab.chemistry.grows AS SELECT CAST(1 AS BIGINT) AS a"),
        None,
    )
    .await
    .unwrap();
    let (all, one) = ("SELECT * FROM lab.chemistry.grows", "SELECT a FROM lab.chemistry.grows");
    let (prepared, _) = ada.prepare(all).await.unwrap();
    let prepared = CommandPreparedStatementQuery {
        prepared_statement_handle: prepared.prepared_statement_handle,
    };
    // Other rows are no other columns.
    let info = ada.info(&query(all)).await.unwrap();
    ada.update(&update("INSERT INTO lab.chemistry.grows VALUES (2)"), None)
        .await
        .unwrap();
    assert_eq!(ada.get(ticket(&info)).await.unwrap()[0].num_columns(), 1);
    let (info, of_one) = (
        ada.info(&query(all)).await.unwrap(),
        ada.info(&query(one)).await.unwrap(),
    );
    let of_prepared = ada.info(&prepared).await.unwrap();
    ada.update(
        &update("CREATE OR REPLACE TABLE lab.chemistry.grows AS SELECT CAST(1 AS BIGINT) AS a, 'x' AS b"),
        None,
    )
    .await
    .unwrap();
    for info in [&info, &of_prepared] {
        for _ in 0..2 {
            let refused = ada.get(ticket(info)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Aborted, "{refused}");
            assert!(refused.message().contains("run it again"), "{refused}");
        }
    }
    assert!(ada.get(ticket(&of_one)).await.is_ok(), "its columns are the same");
    for (schema, _) in [ada.ask(&query(all)).await.unwrap(), ada.ask(&prepared).await.unwrap()] {
        assert_eq!(types(&schema), "Int64 Utf8");
    }
}

fn told(field: &Field, key: &str) -> Option<String> {
    field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).cloned()
}

#[tokio::test]
async fn columns_of_results_say_what_jdbc_asks_of_them() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    let typed = "SELECT CAST(1.5 AS DECIMAL(10, 2)) AS price, 'a' AS word, CAST(1 AS INT) AS n, CAST(1 AS BIGINT) AS id, CAST(0.5 AS DOUBLE) AS share, DATE '2026-01-31' AS day, true AS ok";
    let (schema, batches) = ada.ask(&query(typed)).await.unwrap();
    assert_eq!(batches[0].schema().as_ref(), &schema, "the stream says it as well");
    for (name, type_name, precision, scale, is_text) in [
        ("price", "DECIMAL", Some("10"), Some("2"), "0"),
        ("word", "VARCHAR", None, None, "1"),
        ("n", "INTEGER", Some("10"), Some("0"), "0"),
        ("id", "BIGINT", Some("19"), Some("0"), "0"),
        ("share", "DOUBLE", Some("15"), None, "0"),
        ("day", "DATE", Some("10"), None, "0"),
        ("ok", "BOOLEAN", Some("1"), None, "0"),
    ] {
        let field = schema.field_with_name(name).unwrap();
        let said = |key| told(field, key);
        assert_eq!(said("TYPE_NAME").as_deref(), Some(type_name), "{name}");
        assert_eq!(said("PRECISION").as_deref(), precision, "{name}");
        assert_eq!(said("SCALE").as_deref(), scale, "{name}");
        assert_eq!(said("IS_CASE_SENSITIVE").as_deref(), Some(is_text), "{name}");
        for (key, flag) in [
            ("IS_SEARCHABLE", "1"),
            ("IS_READ_ONLY", "1"),
            ("IS_AUTO_INCREMENT", "0"),
        ] {
            assert_eq!(said(key).as_deref(), Some(flag), "{name}: {key}");
        }
        // JDBC would show a remark as the column's label; where a value comes from is not told.
        for key in ["REMARKS", "TABLE_NAME", "SCHEMA_NAME", "CATALOG_NAME"] {
            assert_eq!(said(key), None, "{name}: {key}");
        }
    }
    // Of what is not a plain query, too.
    for sql in [
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "EXPLAIN POLICY ON lab.chemistry.reactions",
        "DELETE FROM lab.chemistry.reagent_lots WHERE false",
    ] {
        let (schema, _) = ada.ask(&query(sql)).await.unwrap();
        assert!(
            schema.fields().iter().all(|field| told(field, "TYPE_NAME").is_some()),
            "{sql}"
        );
    }
    // A table made of such a result keeps none of it in its files.
    ada.update(
        &update(&format!("CREATE TABLE lab.chemistry.typed_columns AS {typed}")),
        None,
    )
    .await
    .unwrap();
    let log = std::fs::read_to_string(
        lab.dir
            .join("tables/chemistry/typed_columns/_delta_log/00000000000000000000.json"),
    );
    assert!(!log.unwrap().contains("ARROW:FLIGHT"));
    // The catalog says of a table's column what a result cannot know.
    let tables = CommandGetTables {
        db_schema_filter_pattern: Some("chemistry".into()),
        table_name_filter_pattern: Some("typed\\_columns".into()),
        include_schema: true,
        ..Default::default()
    };
    let (_, found) = ada.ask(&tables).await.unwrap();
    let bytes = Bytes::copy_from_slice(found[0].column(4).as_binary::<i32>().value(0));
    let columns = self::schema(bytes);
    let price = columns.field_with_name("price").unwrap();
    for (key, word) in [
        ("PRECISION", "10"),
        ("SCALE", "2"),
        ("IS_READ_ONLY", "0"),
        ("TABLE_NAME", "typed_columns"),
    ] {
        assert_eq!(told(price, key).as_deref(), Some(word), "{key}");
    }
}

#[tokio::test]
async fn parameters_of_writes_are_typed_as_those_of_queries_where_no_column_types_them() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada").await;
    ada.update(
        &update("CREATE TABLE lab.chemistry.typed (id BIGINT, name VARCHAR, share DOUBLE)"),
        None,
    )
    .await
    .unwrap();
    let of = |sql: &str| sql.replace('@', "lab.chemistry.typed");
    for (sql, wanted) in [
        ("INSERT INTO @ (id, name) VALUES (?, upper(?))", "Int64 Utf8"),
        (
            "INSERT INTO @ VALUES (?, concat(?, '!'), ? * 2.5)",
            "Int64 Utf8 Float64",
        ),
        ("INSERT INTO @ (id, name) SELECT ?, upper(?)", "Int64 Utf8"),
        (
            "UPDATE @ SET name = upper(?), share = ? WHERE id = ?",
            "Utf8 Float64 Int64",
        ),
        ("DELETE FROM @ WHERE name = lower(?) AND share > ?", "Utf8 Float64"),
        (
            "MERGE INTO @ t USING (SELECT CAST(? AS BIGINT) AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = upper(?), share = ? WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, ?)",
            "Int64 Utf8 Float64 Utf8",
        ),
        ("CREATE TABLE lab.chemistry.made AS SELECT upper(?) AS x", "Utf8"),
        (
            "INSERT INTO @ (id) SELECT count(*) FROM top_recommendations('lab.chemistry.yield_model', ?)",
            "Int64",
        ),
    ] {
        let sql = of(sql);
        let (prepared, is_update) = ada.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(is_update, Some(true), "{sql}");
        assert_eq!(types(&schema(prepared.parameter_schema)), wanted, "{sql}");
    }
    // And they are taken as told: also as arguments of a function of tables.
    for (sql, left) in [
        ("INSERT INTO @ (id, name) VALUES (?, upper(?))", "1"),
        (
            "INSERT INTO @ (id) SELECT count(*) FROM top_recommendations('lab.chemistry.yield_model', ?)",
            "2",
        ),
        ("UPDATE @ SET name = upper(?), share = ? WHERE id = ?", "2"),
    ] {
        let sql = of(sql);
        let (prepared, _) = ada.prepare(&sql).await.unwrap();
        let bound = values(&schema(prepared.parameter_schema));
        let run = CommandPreparedStatementUpdate {
            prepared_statement_handle: prepared.prepared_statement_handle,
        };
        ada.update(&run, Some(bound))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let count = lab.number("ada", &of("SELECT count(*) FROM @ WHERE id = 1")).await;
        assert_eq!(count.to_string(), left, "{sql}");
    }
    // What is hidden has no types to tell, in a MERGE either.
    let mut guest = Raw::login(&lab, "guest").await;
    let merge =
        "MERGE INTO lab.chemistry.@ t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = ?";
    let (hidden, absent) = (
        guest.prepare(&merge.replace('@', "typed")).await,
        guest.prepare(&merge.replace('@', "absent")).await,
    );
    match (hidden, absent) {
        (Ok((hidden, _)), Ok((absent, _))) => assert_eq!(hidden.parameter_schema, absent.parameter_schema),
        (Err(hidden), Err(absent)) => assert_eq!(hidden.message().replace("typed", "absent"), absent.message()),
        (hidden, absent) => panic!("{hidden:?} differs from {absent:?}"),
    }
}
