//! How far a shared statement came, told to whom it belongs.

use super::{grid, lines};
use crate::lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_statement_tells_its_stages() {
    let grid = grid(2, |config| config).await;
    grid.shared
        .policy("g, user:sam, role:lab_scientist, tpch\np, role:lab_scientist, tpch, lab/tpch/**, use|select, allow\ng, user:sam, role:lab_scientist, system\np, role:lab_scientist, system, lab/system/queries/**, use|select, allow");
    let rows = grid.alone.number("ada", "SELECT count(*) FROM lab.tpch.lineitem").await;
    grid.shared
        .until("sam", "SELECT count(*) FROM lab.tpch.lineitem", lab::shows(rows))
        .await;
    let stages = |sql: &str, state: &str| {
        format!(
            "SELECT replace(stages, chr(10), '; ') AS s FROM lab.system.queries WHERE sql = '{sql}' AND state = '{state}'"
        )
    };
    let says = |words: Vec<String>| {
        move |answer: &Result<String, String>| {
            let text = answer.as_ref().map(String::as_str).unwrap_or_default();
            words.iter().all(|word| text.contains(word))
        }
    };
    // Afterwards: each row has left the stage that reads once, and both tasks are done.
    let done = format!("stage 1: 2 of 2 tasks done, {rows} rows, ");
    for (who, at) in [
        (
            "ada",
            vec![grid.workers[0].address.clone(), grid.workers[1].address.clone()],
        ),
        ("sam", vec!["on 2 workers".to_owned()]),
    ] {
        let sql = format!("SELECT l_comment AS {who} FROM lab.tpch.lineitem");
        assert_eq!(lines(&grid.shared, who, &sql).await.unwrap().len() as i64, rows + 4);
        let wanted = [vec![done.clone()], at].concat();
        grid.shared.until(who, &stages(&sql, "finished"), says(wanted)).await;
    }
    // Sam's are his and the administrator's; where they ran he does not read.
    let seen = grid
        .shared
        .text("sam", "SELECT stages FROM lab.system.queries WHERE stages IS NOT NULL")
        .await;
    assert!(
        !seen.contains(&grid.workers[0].address) && !seen.contains("127.0.0.1"),
        "{seen}"
    );
    // A statement that stays has none.
    let here = "SELECT 1 AS here";
    grid.shared.query("ada", here).await.unwrap();
    let none = format!("SELECT count(*) AS n FROM lab.system.queries WHERE sql = '{here}' AND stages IS NULL");
    grid.shared.until("ada", &none, lab::shows(1)).await;
}
