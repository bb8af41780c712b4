//! The Flight SQL door through the Rust client; Python clients have their own tests in `tests/python`.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables, SqlInfo};
use futures::TryStreamExt;

use crate::lab;

#[tokio::test]
async fn logins_open_and_wrong_ones_do_not() {
    let lab = lab::shared();
    assert!(lab.login("sam", "sam-demo").await.is_ok());
    for (user, password) in [
        ("sam", "wrong"),
        ("nobody", "x"),
        ("", ""),
        ("role:lake_admin", "ada-demo"),
    ] {
        let error = lab.login(user, password).await.err().unwrap().to_string();
        assert!(error.contains("login refused"), "{user}: {error}");
    }
}

#[tokio::test]
async fn what_is_announced_is_what_comes() {
    let lab = lab::shared();
    let mut client = lab.client("ada").await;
    for sql in [
        "SELECT * FROM lab.chemistry.reactions LIMIT 3",
        "SELECT * FROM lab.chemistry.protocols WHERE false",
        "SELECT upper(catalyst) u, count(*) n, min(run_at) m FROM lab.chemistry.reactions GROUP BY 1",
        "SELECT 1 a UNION ALL SELECT 2.5 UNION ALL SELECT NULL",
        "SELECT 'x' a UNION ALL SELECT catalyst FROM lab.chemistry.reactions",
        "SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') d, arrow_cast('y', 'LargeUtf8') l",
        "SELECT [1, NULL] l, named_struct('a', 1, 'b', 'x') s, DATE '2026-01-02' d, CAST(1.5 AS DECIMAL(10, 2)) n",
        "SELECT now() n, current_date d, count(*) c FROM lab.chemistry.reactions WHERE run_at < now()",
        "SELECT count(*) FILTER (WHERE (yield_pct > 50) IS TRUE) a, avg(yield_pct) FILTER (WHERE (yield_pct > 50) IS TRUE) b FROM lab.chemistry.reactions",
        "EXPLAIN SELECT count(*) FROM lab.chemistry.reactions",
        "SHOW TABLES",
        "DESCRIBE lab.chemistry.reactions",
        "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 3)",
        "SELECT * FROM system.queries",
        "SELECT predict_yield(scaffold, reactant, catalyst, base, solvent, temperature_c, alogp, full_mwt, rtb, psa, hba, hbd) p FROM lab.chemistry.virtual_library LIMIT 2",
    ] {
        let info = client
            .execute(sql.to_owned(), None)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let announced = info.clone().try_decode_schema().unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        let batches: Vec<RecordBatch> = (&mut stream)
            .try_collect()
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let came = stream.schema().expect("a schema comes even with no rows");
        assert_eq!(&announced, came.as_ref(), "{sql}");
        for batch in batches {
            assert_eq!(&announced, batch.schema().as_ref(), "{sql}");
        }
        let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        assert_eq!(prepared.dataset_schema().unwrap(), &announced, "{sql}");
        for field in announced.fields() {
            assert!(!format!("{}", field.data_type()).contains("View"), "{sql}: {field}");
        }
    }
}

#[tokio::test]
async fn truth_is_three_valued_and_now_is_one_moment() {
    let lab = lab::shared();
    let values = "(VALUES (true), (false), (NULL)) AS t(x)";
    for (condition, wanted) in [
        ("x IS TRUE", "100"),
        ("x IS NOT TRUE", "011"),
        ("x IS FALSE", "010"),
        ("x IS NOT FALSE", "101"),
        ("x IS UNKNOWN", "001"),
        ("x IS NOT UNKNOWN", "110"),
    ] {
        // Shared by two aggregates, and of every row.
        let sql = format!(
            "SELECT 100 * sum(CASE WHEN x THEN CASE WHEN {condition} THEN 1 ELSE 0 END END) \
             + 10 * sum(CASE WHEN NOT x THEN CASE WHEN {condition} THEN 1 ELSE 0 END END) \
             + sum(CASE WHEN x IS NULL THEN CASE WHEN {condition} THEN 1 ELSE 0 END END) FROM {values}"
        );
        assert_eq!(
            lab.number("sam", &sql).await,
            wanted.parse::<i64>().unwrap(),
            "{condition}"
        );
    }
    // Comparisons that are simplified once they stand beside the table.
    for person in ["sam", "ana"] {
        for (condition, same) in [
            (
                "is_edge NOT IN (true, false)",
                "is_edge IS NULL AND is_edge IS NOT NULL",
            ),
            (
                "is_edge NOT IN (true)",
                "CASE WHEN is_edge THEN false ELSE is_edge IS NOT NULL END",
            ),
            ("is_edge <> false", "CASE WHEN is_edge THEN true ELSE false END"),
            ("is_edge = false AND is_edge = true", "1 = 0"),
            (
                "NOT (is_edge = true OR well = 'A1')",
                "NOT COALESCE(is_edge, true) AND concat(well, '') <> 'A1'",
            ),
        ] {
            let count = |condition: &str| {
                format!("SELECT count(*) FROM (SELECT * FROM lab.chemistry.reactions WHERE {condition}) AS r")
            };
            let grouped = format!(
                "SELECT COALESCE(sum(n), 0) FROM (SELECT is_edge, well, count(*) AS n FROM lab.chemistry.reactions GROUP BY 1, 2) AS g WHERE {condition}"
            );
            let wanted = lab.number(person, &count(same)).await;
            assert_eq!(
                lab.number(person, &count(condition)).await,
                wanted,
                "{person}: {condition}"
            );
            assert_eq!(lab.number(person, &grouped).await, wanted, "{person}: {condition}");
        }
    }
    // A column that is another constant in each half of a union is compared nevertheless.
    let halves = "SELECT CASE WHEN NULL THEN 1 ELSE NULL END AS a, is_edge AS b FROM lab.chemistry.reactions \
                  UNION ALL SELECT 0, false FROM lab.chemistry.reagent_lots CROSS JOIN lab.chemistry.reagent_use";
    for limit in [3, 40] {
        let first = format!("SELECT count(a) FROM ({halves} ORDER BY 1, 2 DESC LIMIT {limit})");
        assert_eq!(lab.number("sam", &first).await, limit);
    }
    // A column that was constant is not so after grouping sets, which put NULL into it.
    let sets = "SELECT g, count(*) AS n FROM (SELECT 'a' AS g, well FROM lab.chemistry.reactions) GROUP BY CUBE (g) ORDER BY g NULLS FIRST";
    let first = format!(
        "SELECT CAST(count(*) = 2 AND min(at) FILTER (WHERE g IS NULL) = 1 AS INT) FROM (SELECT g, row_number() OVER () AS at FROM ({sets} LIMIT 5))"
    );
    assert_eq!(lab.number("sam", &first).await, 1);
    assert!(lab.text("sam", sets).await.lines().nth(3).unwrap().starts_with("|   |"));
    let moments = "SELECT count(DISTINCT now()) FROM generate_series(1, 10000)";
    assert_eq!(lab.number("sam", moments).await, 1);
    let soon = "SELECT CAST(now() > TIMESTAMP '2026-11-01' AS INT)";
    assert_eq!(lab.number("sam", soon).await, 1);
}

#[tokio::test]
async fn parameters_are_bound_typed_and_rebound() {
    let lab = lab::shared();
    let mut client = lab.client("sam").await;
    let sql = "SELECT count(*) AS n FROM lab.chemistry.plate_readings WHERE plate_id = $1 AND \"column\" <= $2";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let types: Vec<DataType> = prepared
        .parameter_schema()
        .unwrap()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(types, [DataType::Utf8, DataType::Int64]);
    let first = lab
        .text("sam", "SELECT min(plate_id) FROM lab.chemistry.plate_readings")
        .await;
    let plate = first.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned();
    for (column, wells) in [(1_i64, 16), (24, 384)] {
        let values: [(&str, ArrayRef); 2] = [
            ("$1", std::sync::Arc::new(StringArray::from(vec![plate.as_str()]))),
            ("$2", std::sync::Arc::new(Int64Array::from(vec![column]))),
        ];
        prepared
            .set_parameters(RecordBatch::try_from_iter(values).unwrap())
            .unwrap();
        let info = prepared.execute().await.unwrap();
        let rows = lab::fetch(&mut client, info).await.unwrap();
        let count = rows[0]
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap()
            .value(0);
        assert_eq!(count, wells);
    }
    prepared.close().await.unwrap();
    let unbound = lab::rows(&mut client, sql).await.unwrap_err();
    assert!(unbound.contains("parameters"), "{unbound}");
}

#[tokio::test]
async fn metadata_shows_what_each_may_see() {
    let lab = lab::shared();
    for (who, sees) in [("ada", true), ("sam", true), ("guest", false)] {
        let mut client = lab.client(who).await;
        let command = CommandGetTables {
            catalog: None,
            db_schema_filter_pattern: Some("chem%".into()),
            table_name_filter_pattern: Some("react%".into()),
            table_types: vec![],
            include_schema: true,
        };
        let info = client.get_tables(command).await.unwrap();
        let rows = lab::fetch(&mut client, info).await.unwrap();
        assert_eq!(
            rows.iter().map(RecordBatch::num_rows).sum::<usize>(),
            usize::from(sees),
            "{who}"
        );
        let command = CommandGetDbSchemas {
            catalog: Some("lab".into()),
            db_schema_filter_pattern: None,
        };
        let info = client.get_db_schemas(command).await.unwrap();
        let rows = lab::fetch(&mut client, info).await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() > 0, sees, "{who}");
    }
    let mut client = lab.client("sam").await;
    for info in [
        client.get_catalogs().await.unwrap(),
        client.get_table_types().await.unwrap(),
        client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap(),
    ] {
        let rows = lab::fetch(&mut client, info).await.unwrap();
        assert!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() > 0);
    }
}

#[tokio::test]
async fn no_statement_kills_the_server_or_hides_its_fault() {
    let lab = lab::shared();
    let chain = format!("SELECT {}", vec!["1"; 20_000].join("+"));
    let either = format!("SELECT 1 WHERE {}", vec!["1 = 2"; 20_000].join(" OR "));
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    for sql in [
        chain.as_str(),
        &either,
        &deep,
        "",
        ";",
        "SELEC 1",
        "SELECT",
        "SELECT 1/0",
        "SELECT CAST('x' AS INT)",
        "SELECT nothing",
        "SELECT * FROM nowhere",
        "SELECT * FROM a.b.c.d",
        "SELECT no_such_function(1)",
        "SELECT * FROM no_such_function(1)",
        "SELECT * FROM top_recommendations()",
        "SELECT * FROM top_recommendations('x')",
        "SELECT * FROM top_recommendations('lab.chemistry.yield_model', -1)",
        "SELECT count(*) FROM lab.chemistry.reactions WHERE $1 = 1",
        "SELECT arrow_cast(1, 'Nonsense')",
        "CREATE TABLE a.b.x AS SELECT 1 AS a",
        "SELECT * FROM lab.chemistry.reactions WHERE yield_pct = ANY(1)",
    ] {
        let error = lab
            .query("ada", sql)
            .await
            .err()
            .unwrap_or_else(|| panic!("{:.60} was accepted", sql));
        assert!(!error.contains("could not finish"), "{sql:.80}: {error}\n{}", lab.log());
        assert!(!error.contains("Internal"), "{sql:.80}: {error}");
    }
    assert_eq!(lab.number("ada", "SELECT 1").await, 1);
}
