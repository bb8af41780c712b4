//! What a statement that changes rows reaches: rows by what its author sees of them, and never by where they lie.

use crate::lab::{self, Server};

const KEPT: &str = "lab.chemistry.kept";

/// Ten rows, of which ana sees every other one, and may change them.
async fn kept() -> Server {
    let lab = lab::own();
    let made = format!(
        "CREATE TABLE {KEPT} AS SELECT value AS id, value % 2 AS vis, 'secret' || value AS tx FROM generate_series(1, 10) AS g(value)"
    );
    lab.update("ada", &made).await.unwrap();
    let append = |file: &str, more: &str| {
        let path = lab.dir.join("policies").join(file);
        let text = std::fs::read_to_string(&path).unwrap() + more;
        std::fs::write(path, text).unwrap();
    };
    append(
        "filters.toml",
        "\n[filter.odd]\ntable = \"lab/chemistry/kept\"\nsql = \"vis = 1\"\n",
    );
    append(
        "policy.csv",
        "\np2, role:lab_analyst, chemistry, lab/chemistry/kept, permissive, odd\np, role:lab_analyst, chemistry, lab/chemistry/kept/**, insert|update|delete, allow\n",
    );
    lab.until_updated("ana", &format!("DELETE FROM {KEPT} WHERE false"))
        .await;
    assert_eq!(lab.number("ana", &format!("SELECT count(*) FROM {KEPT}")).await, 5);
    lab
}

async fn hidden(lab: &Server) -> String {
    let rows = format!("SELECT id, vis, tx FROM {KEPT} WHERE id % 2 = 0 ORDER BY id");
    lab.text("ada", &rows).await
}

#[tokio::test]
async fn a_forged_address_reaches_nothing() {
    let lab = kept().await;
    let before = hidden(&lab).await;
    for sql in [
        format!("UPDATE {KEPT} AS x (_row_address, vis, tx, real) SET vis = 1 WHERE x._row_address = 3"),
        format!("DELETE FROM {KEPT} AS x (_row_address, vis, tx, real) WHERE x._row_address = 3"),
        format!("UPDATE {KEPT} AS x (a, b, c, d) SET vis = 1 WHERE a = 3"),
        format!(
            "MERGE INTO {KEPT} AS x (_row_address, vis, tx, real) USING (SELECT 1 AS one) s ON x._row_address = 5 WHEN MATCHED THEN DELETE"
        ),
        format!(
            "MERGE INTO {KEPT} USING (SELECT CAST(5 AS BIGINT) AS \"_row_address\") kept ON true WHEN MATCHED AND id = 3 THEN UPDATE SET vis = 1"
        ),
        format!(
            "MERGE INTO {KEPT} USING (SELECT CAST(1 AS BIGINT) AS \"_row_address\") kept ON true WHEN MATCHED THEN DELETE"
        ),
        format!(
            "MERGE INTO {KEPT} USING (SELECT CAST(1 AS BIGINT) AS \"_row_address@1\", 3 AS id) s ON s.id = kept.id WHEN MATCHED THEN UPDATE SET vis = 1"
        ),
    ] {
        // Refused, or it changes what ana sees.
        let done = lab.update("ana", &sql).await;
        assert_eq!(hidden(&lab).await, before, "{sql}: {done:?}");
    }
    let seen = lab.text("ana", &format!("SELECT tx FROM {KEPT}")).await;
    assert!((1..=5).all(|n| !seen.contains(&format!("secret{}", 2 * n))), "{seen}");
}

#[tokio::test]
async fn where_rows_lie_is_not_told() {
    let lab = kept().await;
    let before = lab.text("ana", &format!("SELECT * FROM {KEPT} ORDER BY id")).await;
    for sql in [
        format!("UPDATE {KEPT} SET tx = CAST(_row_address AS TEXT)"),
        format!("UPDATE {KEPT} SET tx = nosuch"),
        format!("UPDATE {KEPT} SET tx = kept.nosuch WHERE id = 1"),
        format!("UPDATE {KEPT} AS k SET tx = k.nosuch"),
        format!("DELETE FROM {KEPT} WHERE _row_address > 3"),
        format!("UPDATE {KEPT} SET tx = (SELECT max(CAST(x AS TEXT)) FROM (SELECT * FROM {KEPT}) AS q (a, b, c, x))"),
        format!("DELETE FROM {KEPT} WHERE id IN (SELECT x FROM {KEPT} AS q (a, b, c, x))"),
        format!(
            "MERGE INTO {KEPT} t USING (SELECT * FROM {KEPT}) AS s (a, b, c, x) ON t.id = s.a WHEN MATCHED THEN UPDATE SET tx = CAST(s.x AS TEXT)"
        ),
        format!(
            "MERGE INTO {KEPT} t USING (SELECT 3 AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET tx = CAST(t._row_address AS TEXT)"
        ),
    ] {
        let error = lab.update("ana", &sql).await.unwrap_err();
        assert!(!error.contains('@') && !error.contains("target_"), "{sql}: {error}");
    }
    let after = lab.text("ana", &format!("SELECT * FROM {KEPT} ORDER BY id")).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_table_is_called_by_any_of_its_names() {
    let lab = kept().await;
    let other = "lab.stock.kept";
    lab.update("ada", &format!("CREATE TABLE {other} AS SELECT 7 AS id, 'new' AS tx"))
        .await
        .unwrap();
    for (sql, rows) in [
        (
            format!(
                "UPDATE {KEPT} SET tx = {KEPT}.tx || chemistry.kept.tx || kept.tx || tx WHERE {KEPT}.id = 1 AND kept.vis = 1"
            ),
            1,
        ),
        (
            format!("UPDATE {KEPT} AS k SET tx = k.tx || 's' WHERE k.id < 4 AND k.vis = 1"),
            2,
        ),
        (
            format!("DELETE FROM {KEPT} WHERE EXISTS (SELECT 1 FROM {other} AS o WHERE o.id + 2 = {KEPT}.id)"),
            1,
        ),
        // Within the subquery the name is the table's that stands there.
        (
            format!("DELETE FROM {KEPT} WHERE id = (SELECT max(kept.id) FROM {KEPT} WHERE kept.vis = 1)"),
            1,
        ),
        (
            format!(
                "MERGE INTO {KEPT} USING {other} ON {KEPT}.id + 2 = {other}.id WHEN MATCHED THEN UPDATE SET tx = {other}.tx"
            ),
            1,
        ),
        (
            format!("DELETE FROM {KEPT} WHERE id IN (SELECT id FROM {KEPT} FOR VERSION AS OF 0 WHERE tx = 'secret3')"),
            1,
        ),
    ] {
        assert_eq!(lab.update("ada", &sql).await, Ok(rows), "{sql}");
    }
    let both = format!("MERGE INTO {KEPT} USING {other} ON kept.id = {other}.id WHEN MATCHED THEN DELETE");
    let error = lab.update("ada", &both).await.unwrap_err();
    assert!(error.contains("both tables are called kept"), "{error}");
    let left = lab
        .text("ada", &format!("SELECT id, tx FROM {KEPT} WHERE vis = 1 ORDER BY id"))
        .await;
    assert!(
        left.contains("secret1secret1secret1secret1s") && left.contains("| 5 ") && left.contains("new"),
        "{left}"
    );
    assert!(
        !left.contains("| 9 ") && !left.contains("| 7 ") && !left.contains("| 3 "),
        "{left}"
    );
}

/// Whatever an author nests, the server answers, and goes on answering others.
#[tokio::test]
async fn no_statement_is_deep_enough_to_end_the_server() {
    let lab = lab::shared();
    for chain in [
        " IS NULL",
        " << 1",
        " AT TIME ZONE 'UTC'",
        " ~ 'a'",
        " IN (1)",
        " XOR true",
        " -> 'a'",
        " ILIKE 'a'",
        " BETWEEN 1 AND 1",
        "[1]",
        " :: INT",
    ] {
        for times in [20_000, 900] {
            let sql = format!("SELECT (1){}", chain.repeat(times));
            // An answer or a refusal: what counts is the next one.
            let answer = lab.query("guest", &sql).await;
            assert!(times < 20_000 || answer.is_err(), "{chain}");
            assert_eq!(lab.number("ada", "SELECT 1").await, 1, "{chain}");
        }
    }
    let doubled: String = (1..=25)
        .map(|n| format!(", a{n} AS (SELECT l.x FROM a{m} l, a{m} r)", m = n - 1))
        .collect();
    let error = lab
        .query(
            "guest",
            &format!("WITH a0 AS (SELECT 1 AS x){doubled} SELECT count(*) FROM a25"),
        )
        .await
        .unwrap_err();
    assert!(error.contains("more than 500 tables"), "{error}");
}

#[tokio::test]
async fn texts_stay_texts_on_every_road() {
    let lab = lab::own();
    let table = "lab.chemistry.texts";
    let made = format!(
        "CREATE TABLE {table} AS SELECT value AS id, 'x' || value AS tx FROM generate_series(1, 50) AS g(value)"
    );
    lab.update("ada", &made).await.unwrap();
    for condition in ["tx = 'x'' OR ''1''=''1'", "tx = '\\'' OR 1=1 --'"] {
        for sql in [
            format!("SELECT count(*) FROM {table} WHERE {condition}"),
            format!("SELECT count(*) FROM {table} FOR VERSION AS OF 0 WHERE {condition}"),
        ] {
            assert_eq!(lab.number("ada", &sql).await, 0, "{sql}");
        }
    }
    let view = "CREATE MATERIALIZED VIEW lab.chemistry.told REFRESH ON DEMAND AS SELECT id, 'a''''b' AS y, 'it''s' AS z FROM lab.chemistry.texts WHERE id < 3 AND tx <> '\\'' OR id = 7 --'";
    lab.update("ada", view).await.unwrap();
    let rows = "SELECT count(*) FROM lab.chemistry.told WHERE y = 'a''''b' AND z = 'it''s'";
    for _ in 0..2 {
        assert_eq!(lab.number("ada", rows).await, 2);
        lab.update("ada", "REFRESH MATERIALIZED VIEW lab.chemistry.told FULL")
            .await
            .unwrap();
    }
}
