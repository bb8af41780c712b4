//! Statements that the engine below answers wrongly when it is left alone, silently; found by comparing with DuckDB.

use crate::lab;

/// Two small relations with columns of the same names.
const TWO: &str = "WITH x(id, k, g) AS (VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)), y(id, k, g) AS (VALUES (1, 5, 7), (2, 25, 2), (3, 3, 1)) ";

async fn answers(cases: &[(&str, i64)]) {
    let lab = lab::shared();
    for user in ["ada", "ana"] {
        for (sql, wanted) in cases {
            let sql = format!("{TWO}{sql}");
            assert_eq!(lab.number(user, &sql).await, *wanted, "{user}: {sql}");
        }
    }
}

/// The condition is asked of the join, not of the one side that has columns of these names.
#[tokio::test]
async fn a_condition_over_columns_of_one_name_is_asked_of_both() {
    answers(&[
        (
            "SELECT count(*) FROM x JOIN y ON x.id = y.id WHERE abs(y.k) > 0 AND x.k > y.k + (SELECT count(*) FROM y WHERE id > 9)",
            2,
        ),
        (
            "SELECT count(*) FROM x JOIN (SELECT id, k FROM y GROUP BY id, k HAVING count(*) > 0) z ON x.id = z.id WHERE x.k < z.k + (SELECT min(id) FROM x)",
            1,
        ),
        (
            "SELECT sum(x.k) FROM x JOIN y ON x.id = y.id WHERE abs(x.k) > 0 AND abs(y.k) > 0 AND x.k - y.k > (SELECT max(id) FROM x)",
            40,
        ),
    ])
    .await;
    let lab = lab::shared();
    // Over tables, for who sees them in part too.
    let with = |sub: &str| {
        format!(
            "SELECT count(*) FROM lab.chemistry.reactions a JOIN lab.chemistry.reactions b ON a.plate_id = b.plate_id WHERE upper(b.catalyst) <> 'X' AND a.yield_pct > b.yield_pct + {sub}"
        )
    };
    for user in ["ada", "ana"] {
        let plain = lab.number(user, &with("0")).await;
        assert!(plain > 0);
        let sub = "(SELECT count(*) FROM lab.chemistry.reactions WHERE yield_pct > 1000000)";
        assert_eq!(lab.number(user, &with(sub)).await, plain, "{user}");
    }
}

#[tokio::test]
async fn is_distinct_from_binds_tighter_than_and() {
    let flags = "FROM (VALUES (1, true), (2, false), (3, NULL), (4, true)) AS t(id, b) WHERE";
    for (sql, wanted) in [
        ("b IS NOT DISTINCT FROM true AND id < 0", 0),
        ("b IS NOT DISTINCT FROM false OR id < 2", 2),
        ("NOT b IS DISTINCT FROM true AND id > 1", 1),
        ("b IS DISTINCT FROM (true AND id < 0)", 3),
        (
            "CASE WHEN b IS DISTINCT FROM true AND id = 3 THEN true ELSE false END",
            1,
        ),
    ] {
        let sql = format!("SELECT count(*) {flags} {sql}");
        assert_eq!(lab::shared().number("ana", &sql).await, wanted, "{sql}");
    }
    answers(&[(
        "SELECT count(*) FROM x JOIN y ON x.id IS NOT DISTINCT FROM y.id AND x.g = y.g",
        1,
    )])
    .await;
}

#[tokio::test]
async fn a_subquery_compares_the_column_that_it_names() {
    answers(&[
        ("SELECT count(*) FROM x a WHERE EXISTS (SELECT * FROM x b JOIN y c ON true WHERE a.g = c.g)", 2),
        ("SELECT count(*) FROM x a WHERE EXISTS (SELECT * FROM x b JOIN y c ON true WHERE a.g = b.g AND a.k > c.k AND c.g = 7)", 3),
        ("SELECT count(*) FROM x a WHERE NOT EXISTS (SELECT * FROM x b, y c WHERE a.g = c.g AND b.id = c.id)", 1),
        ("SELECT count(*) FROM x a WHERE a.id IN (SELECT b.g FROM x b JOIN y c ON b.id = c.id WHERE c.g = a.g)", 1),
        ("SELECT sum(m) FROM (SELECT (SELECT max(b.k) FROM x b JOIN y c ON true WHERE c.g = a.g AND b.g = a.g) AS m FROM x a)", 30),
        ("SELECT count(*) FROM x a WHERE a.id = 3 OR EXISTS (SELECT * FROM x b JOIN y c ON true WHERE a.g = c.g)", 3),
        ("SELECT count(*) FROM x a WHERE EXISTS (SELECT * FROM x b JOIN y c ON b.id = c.id AND c.g = a.g)", 2),
    ])
    .await;
    let lab = lab::shared();
    let either = format!(
        "{TWO}SELECT count(*) FROM x a WHERE EXISTS (SELECT * FROM x b JOIN (SELECT * FROM y WHERE y.g = a.g) c ON b.id = c.id)"
    );
    let refused = lab.query("ana", &either).await.unwrap_err().to_string();
    assert!(refused.contains("different names"), "{refused}");
}

#[tokio::test]
async fn zero_is_in_a_list_whatever_its_sign() {
    let lab = lab::shared();
    let of =
        "SELECT count(*) FROM (SELECT CAST(v AS DOUBLE) * -1 AS f FROM (VALUES (0), (1), (2)) AS t(v)) AS s WHERE f";
    for (condition, wanted) in [
        ("IN (15e-1, 0e0, 25e-1, 2e0)", 1),
        ("NOT IN (15e-1, 0e0, 25e-1, -2e0)", 1),
        ("= 0e0", 1),
        ("IN (15e-1, 1e0, 25e-1, 2e0)", 0),
    ] {
        assert_eq!(
            lab.number("ana", &format!("{of} {condition}")).await,
            wanted,
            "{condition}"
        );
    }
}

/// The two sides of a join have names in common, and what is read of one is asked before the join is made.
#[tokio::test]
async fn outer_joins_keep_the_rows_without_a_partner() {
    answers(&[
        ("SELECT count(*) FROM x RIGHT JOIN (SELECT * FROM y WHERE abs(k) > 0) z ON x.id = z.g WHERE x.id IS NULL", 1),
        ("SELECT count(*) FROM x RIGHT JOIN (SELECT * FROM y WHERE abs(k) > 0) z ON x.id = z.g WHERE x.k IS DISTINCT FROM z.k", 3),
        ("SELECT count(*) FROM x FULL JOIN (SELECT * FROM y WHERE abs(k) > 0) z ON x.id = z.g WHERE z.id IS DISTINCT FROM x.id", 3),
        ("SELECT count(*) FROM (SELECT * FROM x WHERE abs(k) > 10) w LEFT JOIN y ON w.id = y.g WHERE y.id IS NULL", 1),
    ])
    .await;
}

/// `n` has a value that is NULL, `e` has no row at all.
#[tokio::test]
async fn not_in_is_never_true_of_what_may_be_equal() {
    let lab = lab::shared();
    let with = "WITH x(id, j) AS (VALUES (1, 10), (2, 20), (3, NULL)), n(id, k) AS (VALUES (1, 10), (2, NULL)), m(id, k) AS (VALUES (1, 10), (5, 50)), e AS (SELECT * FROM n WHERE id > 9) ";
    for (condition, wanted) in [
        ("x.j NOT IN (SELECT k FROM n)", "0"),
        ("x.j NOT IN (SELECT k FROM m)", "2"),
        ("x.j NOT IN (SELECT k FROM e)", "1, 2, 3"),
        ("x.j NOT IN (SELECT k FROM n) OR x.id = 3", "3"),
        ("x.j NOT IN (SELECT k FROM m) OR x.id = 3", "2, 3"),
        ("x.j NOT IN (SELECT k FROM e) OR x.id = 7", "1, 2, 3"),
        ("NOT (x.j IN (SELECT k FROM m) AND x.id < 9)", "2"),
        ("NOT (x.j NOT IN (SELECT k FROM n) OR x.id = 2)", "1"),
        ("NOT (x.id = 1 OR x.j IN (SELECT k FROM n))", "0"),
        ("30 NOT IN (SELECT k FROM n)", "0"),
        ("30 NOT IN (SELECT k FROM m)", "1, 2, 3"),
        ("NULL NOT IN (SELECT k FROM m)", "0"),
        ("x.j NOT IN (SELECT k FROM n WHERE n.id < x.id)", "1, 2"),
        ("x.j NOT IN (SELECT k FROM n WHERE n.id = x.id)", "3"),
        ("x.j NOT IN (SELECT k FROM n WHERE n.id = x.id) OR x.id = 1", "1, 3"),
        ("x.j NOT IN (SELECT max(k) FROM n) OR x.id = 3", "2, 3"),
        ("x.j NOT IN (SELECT j FROM x WHERE j > 10) OR x.id = 9", "1"),
        ("x.j NOT IN (SELECT x.id FROM x) OR x.id = 3", "1, 2, 3"),
        ("CASE WHEN x.j NOT IN (SELECT k FROM n) THEN true ELSE false END", "0"),
        ("CASE WHEN x.j IN (SELECT k FROM n) THEN false ELSE true END", "2, 3"),
        ("(x.j NOT IN (SELECT k FROM m)) IS TRUE", "2"),
        ("(x.j NOT IN (SELECT k FROM m)) IS NOT TRUE", "1, 3"),
        ("(x.j IN (SELECT k FROM n)) IS NULL", "2, 3"),
        ("(x.j IN (SELECT k FROM m)) = false", "2"),
        ("coalesce(x.j NOT IN (SELECT k FROM n), true)", "2, 3"),
        ("(x.j NOT IN (SELECT k FROM n WHERE n.id < x.id)) IS NULL", "3"),
    ] {
        let sql = format!(
            "{with}SELECT coalesce(string_agg(CAST(id AS VARCHAR), ', ' ORDER BY id), '0') AS ids FROM x WHERE {condition}"
        );
        let text = lab.text("ana", &sql).await;
        let row = text.lines().nth(3).unwrap_or_default();
        assert_eq!(row.trim_matches(['|', ' ']), wanted, "{condition}\n{text}");
    }
    // What the engine could only answer wrongly is refused, and so is what grows with each level.
    let nested = (0..9).fold("SELECT k FROM n".to_owned(), |inner, _| {
        format!("SELECT k FROM n WHERE k NOT IN ({inner}) OR id = 9")
    });
    for condition in [
        "x.j NOT IN (SELECT max(k) FROM n WHERE n.id = x.id)",
        "x.j NOT IN (SELECT k FROM n WHERE n.id < x.id LIMIT 5 OFFSET 1)",
        &format!("x.j NOT IN ({nested}) OR x.id = 3"),
    ] {
        let refused = lab
            .query("ana", &format!("{with}SELECT count(*) FROM x WHERE {condition}"))
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("NOT EXISTS"), "{condition}: {refused}");
    }
}

/// How often a row is there is not counted by the engine, so it is not asked.
#[tokio::test]
async fn operations_on_sets_that_count_are_refused() {
    let lab = lab::shared();
    for (sql, wanted) in [
        ("SELECT 1 AS a EXCEPT ALL SELECT 2", None),
        (
            "SELECT * FROM (SELECT 1 AS a UNION ALL (SELECT 1 INTERSECT ALL SELECT 1)) AS t",
            None,
        ),
        ("SELECT count(*) FROM (SELECT 1 AS a EXCEPT SELECT 2) AS t", Some(1)),
        ("SELECT count(*) FROM (SELECT 1 AS a UNION ALL SELECT 1) AS t", Some(2)),
    ] {
        match wanted {
            Some(wanted) => assert_eq!(lab.number("ana", sql).await, wanted, "{sql}"),
            None => {
                let refused = lab.query("ana", sql).await.unwrap_err().to_string();
                assert!(refused.contains("row_number()"), "{sql}: {refused}");
            }
        }
    }
}

/// All parameters up to the highest are announced: nobody announces four billion.
#[tokio::test]
async fn a_parameter_beyond_what_is_bound_is_refused_and_the_server_stays() {
    let lab = lab::shared();
    for sql in [
        "SELECT $4294967296::bigint",
        "SELECT $99999999",
        "SELECT 1 FROM (SELECT 1) AS t WHERE $2000000000 = 1",
    ] {
        let refused = lab.query("ana", sql).await.unwrap_err().to_string();
        assert!(refused.contains("at most 1000"), "{sql}: {refused}");
    }
    assert_eq!(lab.number("ana", "SELECT 1").await, 1);
}
