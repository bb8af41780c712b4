//! Clauses that the parser takes and nobody runs: refused by name, at every door, and what is run beside them.

use crate::lab;

/// Rows of three numbers, with a name that may stand twice in a statement.
const T: &str = "(SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) AS v(id, k)) AS t";

#[tokio::test]
async fn a_clause_of_a_query_that_is_not_run_is_refused_by_name() {
    let lab = lab::shared();
    let reactions = "lab.chemistry.reactions";
    for (sql, clause, instead) in [
        (
            format!("SELECT count(*) FROM {reactions} PREWHERE yield_pct > 99"),
            "PREWHERE",
            "WHERE",
        ),
        (
            format!("SELECT count(*) FROM {T} START WITH id = 1 CONNECT BY PRIOR id = k"),
            "CONNECT BY",
            "RECURSIVE",
        ),
        (
            format!("SELECT count(*) FROM {reactions} TABLESAMPLE (10 PERCENT)"),
            "TABLESAMPLE",
            "random()",
        ),
        (
            format!("SELECT count(*) FROM {reactions} TABLESAMPLE BERNOULLI (10)"),
            "TABLESAMPLE",
            "random()",
        ),
        (
            format!("SELECT count(*) FROM (SELECT * FROM {reactions} SAMPLE 0.1) s"),
            "SAMPLE",
            "random()",
        ),
        (
            format!("SELECT k, count(*) FROM {T} GROUP BY k WITH ROLLUP"),
            "ROLLUP",
            "GROUP BY ROLLUP (",
        ),
        (
            format!("SELECT k, count(*) FROM {T} GROUP BY k WITH TOTALS"),
            "TOTALS",
            "GROUPING SETS",
        ),
        (
            format!("SELECT count(*) FROM {reactions} PARTITION (p0)"),
            "PARTITION",
            "WHERE",
        ),
        (
            format!("SELECT count(*) FROM {reactions} SETTINGS max_threads = 1"),
            "SETTINGS",
            "leave it out",
        ),
        (format!("SELECT id FROM {T} FOR UPDATE"), "FOR UPDATE", "commits"),
        (format!("SELECT id FROM {T} FOR SHARE"), "FOR SHARE", "commits"),
        (
            format!("SELECT sum(k) OVER (w ORDER BY id) FROM {T} WINDOW w AS (PARTITION BY k)"),
            "named window",
            "whole window",
        ),
        (format!("SELECT abs(DISTINCT k) FROM {T}"), "DISTINCT", "aggregates"),
        (
            format!("SELECT upper('a') FILTER (WHERE k > 1) FROM {T}"),
            "FILTER",
            "aggregates",
        ),
        (format!("SELECT abs(k) OVER () FROM {T}"), "OVER", "aggregates"),
        ("SELECT * FROM (VALUES (1)) AS v(a TEXT)".to_owned(), "type", "CAST"),
        (
            format!("WITH x AS (SELECT id FROM {T} LIMIT 1 BY k) SELECT * FROM x"),
            "LIMIT",
            "QUALIFY",
        ),
        (format!("FROM {T}"), "FROM without SELECT", "SELECT * FROM"),
        (
            format!("SELECT 1 WHERE EXISTS (SELECT * FROM {reactions} TABLESAMPLE (1 PERCENT))"),
            "TABLESAMPLE",
            "random()",
        ),
    ] {
        let refused = lab.query("ana", &sql).await.unwrap_err();
        assert!(
            refused.contains(clause) && refused.contains(instead),
            "{sql}: {refused}"
        );
    }
}

#[tokio::test]
async fn what_stands_beside_them_is_run() {
    let lab = lab::shared();
    for (sql, wanted) in [
        (format!("SELECT count(*) FROM {T} WHERE k > 10"), 2),
        (
            format!("SELECT count(*) FROM (SELECT k, count(*) FROM {T} GROUP BY ROLLUP (k)) AS r"),
            4,
        ),
        (format!("SELECT count(DISTINCT k) FILTER (WHERE id > 1) FROM {T}"), 2),
        (
            format!("SELECT max(s) FROM (SELECT sum(k) OVER w AS s FROM {T} WINDOW w AS (ORDER BY id)) AS x"),
            60,
        ),
        (
            format!("SELECT count(*) FROM (SELECT k FROM {T} QUALIFY row_number() OVER (ORDER BY id) = 1) AS x"),
            1,
        ),
        (format!("SELECT /*+ FULL(t) */ count(*) FROM {T}"), 3),
        (format!("SELECT count(*) FROM (SELECT * EXCLUDE (k) FROM {T}) AS x"), 3),
    ] {
        assert_eq!(lab.number("ana", &sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn a_clause_of_a_write_that_is_not_run_is_refused_and_nothing_is_written() {
    let lab = lab::own();
    lab.update("ada", "CREATE TABLE lab.chemistry.kept (i BIGINT, j BIGINT)")
        .await
        .unwrap();
    for (sql, clause) in [
        ("INSERT OR REPLACE INTO lab.chemistry.kept VALUES (1, 2)", "REPLACE"),
        ("INSERT IGNORE INTO lab.chemistry.kept VALUES (1, 2)", "IGNORE"),
        ("REPLACE INTO lab.chemistry.kept VALUES (1, 2)", "REPLACE"),
        (
            "INSERT INTO lab.chemistry.kept VALUES (1, 2) ON CONFLICT DO NOTHING",
            "ON CONFLICT",
        ),
        ("INSERT INTO lab.chemistry.kept VALUES (1, 2) RETURNING i", "RETURNING"),
        ("INSERT INTO lab.chemistry.kept (i, i) VALUES (1, 2)", "filled twice"),
        ("INSERT INTO lab.chemistry.kept (i, I) VALUES (1, 2)", "filled twice"),
        (
            "INSERT INTO lab.chemistry.kept PARTITION (i = 1) VALUES (1, 2)",
            "PARTITION",
        ),
        (
            "MERGE INTO lab.chemistry.kept t USING (SELECT 1 AS i) s ON t.i = s.i WHEN NOT MATCHED THEN INSERT (i, i) VALUES (1, 2)",
            "filled twice",
        ),
        ("DELETE FROM lab.chemistry.kept PARTITION (p0)", "PARTITION"),
        (
            "CREATE TABLE lab.chemistry.made (i BIGINT) PARTITIONED BY (i BIGINT)",
            "PARTITIONED BY",
        ),
        (
            "CREATE TABLE lab.chemistry.made (i BIGINT) PARTITION BY i",
            "PARTITION BY",
        ),
        ("CREATE TABLE lab.chemistry.made (i BIGINT) WITH (a = 1)", "WITH"),
        (
            "CREATE TABLE lab.chemistry.made (i BIGINT) COMMENT 'x'",
            "another option",
        ),
        (
            "CREATE TABLE lab.chemistry.made (i BIGINT) LOCATION '/tmp/x'",
            "LOCATION",
        ),
        ("CREATE TABLE lab.chemistry.made (i BIGINT) CLUSTER BY i", "CLUSTER BY"),
        (
            "CREATE TABLE lab.chemistry.made (i BIGINT) INHERITS (lab.chemistry.kept)",
            "INHERITS",
        ),
        ("CREATE TABLE lab.chemistry.made (i BIGINT) ON COMMIT DROP", "ON COMMIT"),
        ("CREATE TABLE lab.chemistry.made LIKE lab.chemistry.kept", "LIKE"),
        ("CREATE TABLE lab.chemistry.made (i TEXT) AS SELECT 1 AS i", "SELECT"),
    ] {
        let refused = lab.update("ada", sql).await.unwrap_err();
        assert!(refused.contains(clause), "{sql}: {refused}");
    }
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.kept").await, 0);
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.made").await.is_err());
    for (sql, rows) in [
        ("INSERT INTO lab.chemistry.kept (j, i) VALUES (1, 2)", 1),
        ("CREATE TABLE lab.chemistry.made (i BIGINT)", 0),
        ("CREATE TABLE IF NOT EXISTS lab.chemistry.made AS SELECT 1 AS i", 0),
    ] {
        assert_eq!(lab.update("ada", sql).await.unwrap(), rows, "{sql}");
    }
}
