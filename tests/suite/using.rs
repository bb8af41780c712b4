//! Joins by common columns: `USING` and `NATURAL` mean what SQL says, or are refused.

use crate::lab;

/// `a` sorts before `b`; each has a row that the other has not.
const AB: &str = "WITH a(x, l) AS (VALUES (1, 'l1'), (2, 'l2')), b(x, r) AS (VALUES (2, 'r2'), (3, 'r3')) ";

/// The cells of an answer, row by row.
async fn cells(user: &str, sql: &str) -> String {
    let text = lab::shared().text(user, sql).await;
    let rows = text.lines().skip(3).filter(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells = line.trim_matches('|').split('|').map(str::trim);
        let cells = cells.map(|cell| if cell.is_empty() { "-" } else { cell });
        cells.collect::<Vec<_>>().join(" ")
    };
    rows.map(row).collect::<Vec<_>>().join(", ")
}

async fn titles(sql: &str) -> String {
    let text = lab::shared().text("ana", sql).await;
    let line = text.lines().nth(1).unwrap_or_default().to_owned();
    line.split_whitespace()
        .filter(|word| *word != "|")
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn the_common_column_is_that_of_the_side_that_has_the_row() {
    for (sql, wanted) in [
        ("SELECT x FROM a JOIN b USING (x)", "2"),
        ("SELECT x FROM a LEFT JOIN b USING (x) ORDER BY x", "1, 2"),
        ("SELECT x FROM a RIGHT JOIN b USING (x) ORDER BY x", "2, 3"),
        ("SELECT x FROM a FULL JOIN b USING (x) ORDER BY x", "1, 2, 3"),
        ("SELECT x FROM a NATURAL RIGHT JOIN b ORDER BY x DESC", "3, 2"),
        ("SELECT x FROM a NATURAL FULL JOIN b ORDER BY 1", "1, 2, 3"),
        (
            "SELECT x, count(*) AS n FROM a FULL JOIN b USING (x) GROUP BY x ORDER BY x",
            "1 1, 2 1, 3 1",
        ),
        ("SELECT x FROM a RIGHT JOIN b USING (x) WHERE x > 2", "3"),
        (
            "SELECT x FROM a JOIN b USING (x) WHERE x = 2 GROUP BY x HAVING x > 1",
            "2",
        ),
        ("SELECT x FROM a LEFT JOIN b USING (x) WHERE x = 1", "1"),
        (
            "SELECT max(x) AS m, x + 1 AS y FROM a FULL JOIN b USING (x) GROUP BY x + 1 ORDER BY y",
            "1 2, 2 3, 3 4",
        ),
        (
            "SELECT a.x AS ax, b.x AS bx, x FROM a FULL JOIN b USING (x) ORDER BY x",
            "1 - 1, 2 2 2, - 3 3",
        ),
        ("SELECT DISTINCT x FROM a FULL JOIN b USING (x) ORDER BY x", "1, 2, 3"),
        (
            "SELECT x FROM (SELECT * FROM b LEFT JOIN a USING (x)) AS s ORDER BY x",
            "2, 3",
        ),
        (
            "SELECT x FROM a FULL JOIN b USING (x) UNION ALL SELECT x FROM a ORDER BY x",
            "1, 1, 2, 2, 3",
        ),
        // The third table is joined to what the first two have together.
        (
            "SELECT x, l, r, c.z FROM a FULL JOIN b USING (x) LEFT JOIN (VALUES (1, 'z1'), (3, 'z3')) AS c(x, z) USING (x) ORDER BY x",
            "1 l1 - z1, 2 l2 r2 -, 3 - r3 z3",
        ),
        (
            "SELECT x FROM a JOIN b USING (x) WHERE x IN (SELECT x FROM b WHERE x > 1)",
            "2",
        ),
        (
            "SELECT count(*) AS n FROM a WHERE EXISTS (SELECT 1 FROM b NATURAL JOIN (SELECT 3 AS x) AS t WHERE x > a.x)",
            "2",
        ),
        (
            "SELECT l, r FROM (a JOIN b USING (x)) JOIN (SELECT 2 AS y) AS d ON d.y = x",
            "l2 r2",
        ),
        // Another meaning of the name in the result.
        ("SELECT -a.x AS x FROM a LEFT JOIN b USING (x) ORDER BY x", "-2, -1"),
        (
            "SELECT l FROM a NATURAL JOIN (SELECT 'q' AS q) AS t ORDER BY l",
            "l1, l2",
        ),
    ] {
        for user in ["ada", "ana"] {
            assert_eq!(cells(user, &format!("{AB}{sql}")).await, wanted, "{user}: {sql}");
        }
    }
}

#[tokio::test]
async fn every_column_is_the_common_ones_then_the_left_then_the_right() {
    for (sql, columns, wanted) in [
        (
            "SELECT * FROM b LEFT JOIN a USING (x) ORDER BY x",
            "x r l",
            "2 r2 l2, 3 r3 -",
        ),
        (
            "SELECT * FROM b NATURAL LEFT JOIN a ORDER BY x",
            "x r l",
            "2 r2 l2, 3 r3 -",
        ),
        (
            "SELECT * FROM a FULL JOIN b USING (x) ORDER BY x",
            "x l r",
            "1 l1 -, 2 l2 r2, 3 - r3",
        ),
        (
            "SELECT * EXCLUDE (x) FROM a RIGHT JOIN b USING (x) ORDER BY r",
            "l r",
            "l2 r2, - r3",
        ),
        (
            "SELECT b.*, a.l FROM a RIGHT JOIN b USING (x) ORDER BY r",
            "x r l",
            "2 r2 l2, 3 r3 -",
        ),
        (
            "SELECT * FROM (SELECT 7 AS k, x FROM a) AS c JOIN b USING (x)",
            "x k r",
            "2 7 r2",
        ),
    ] {
        let sql = format!("{AB}{sql}");
        assert_eq!(titles(&sql).await, columns, "{sql}");
        assert_eq!(cells("ana", &sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn tables_of_the_lake_are_joined_so_and_parameters_come_along() {
    let lab = lab::shared();
    let joined = "FROM lab.chemistry.reactions r JOIN lab.chemistry.protocols p";
    for user in ["ada", "ana"] {
        let one = "SELECT min(plate_id) FROM lab.chemistry.reactions";
        let on = lab
            .number(
                user,
                &format!("SELECT count(*) {joined} ON r.plate_id = p.plate_id WHERE r.plate_id = ({one})"),
            )
            .await;
        assert!(on > 0);
        let using = format!("SELECT count(*) {joined} USING (plate_id) WHERE plate_id = ({one}) GROUP BY plate_id");
        assert_eq!(lab.number(user, &using).await, on, "{user}");
        let unnamed = "SELECT count(*) FROM lab.chemistry.reactions JOIN lab.chemistry.protocols USING (plate_id)";
        assert!(lab.number(user, unnamed).await >= on, "{user}");
    }
}

#[tokio::test]
async fn what_is_no_common_column_is_refused() {
    let lab = lab::shared();
    for (sql, says) in [
        ("SELECT * FROM a JOIN b USING (l)", "right side"),
        ("SELECT * FROM a JOIN b USING (nothing)", "left side"),
        (
            "SELECT * FROM a JOIN b ON a.x = b.x JOIN b AS c USING (x)",
            "more than one column x",
        ),
        ("SELECT * REPLACE (1 AS l) FROM a JOIN b USING (x)", "name the columns"),
        ("SELECT x FROM a JOIN b USING (x), a AS c", "x"),
        ("SELECT * FROM (a JOIN b USING (x)) AS j", "AS name"),
        ("SELECT * FROM a JOIN nowhere.at USING (x)", "not found"),
    ] {
        let sql = format!("{AB}{sql}");
        let refused = lab.query("ana", &sql).await.unwrap_err();
        assert!(refused.contains(says), "{sql}: {refused}");
    }
    let recursive = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t NATURAL JOIN (SELECT 1 AS x) AS o WHERE x < 3) SELECT * FROM t";
    let refused = lab.query("ana", recursive).await.unwrap_err();
    assert!(refused.contains("write ON"), "{refused}");
    // What nobody may see is no common column either.
    let hidden = "SELECT * FROM (SELECT 1 AS operator) AS o JOIN lab.chemistry.reactions USING (operator)";
    let refused = lab.query("ana", hidden).await.unwrap_err();
    assert!(refused.contains("right side"), "{refused}");
}
