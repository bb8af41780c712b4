//! Decoded columns that are kept (`limits.column_cache_mib`): the same answers, and each way a stale or foreign row could come out.

use crate::lab::{self, Server, shows};
use crate::operations;

/// Nothing else answers: neither kept results nor more than two threads.
const KEEPING: &str = "[limits]\nresult_cache_mib = 0\ncolumn_cache_mib = 64\npartitions = 2\n";

/// Questions that read in different ways: all columns, some, conditions, groups, none at all, joins.
const QUESTIONS: [&str; 9] = [
    "SELECT * FROM lab.chemistry.reactions ORDER BY reaction_id LIMIT 50",
    "SELECT status, count(*), avg(yield_pct), min(scaffold_smiles) FROM lab.chemistry.reactions GROUP BY status ORDER BY status",
    "SELECT reaction_id, yield_pct FROM lab.chemistry.reactions WHERE yield_pct > 50 ORDER BY reaction_id LIMIT 50",
    "SELECT upper(catalyst) AS c, count(*) FROM lab.chemistry.reactions WHERE plate_id LIKE 'P%' GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM lab.chemistry.reactions",
    "SELECT reaction_id FROM lab.chemistry.reactions WHERE yield_pct > 1000000",
    "SELECT plate_id, well, value FROM lab.chemistry.plate_readings ORDER BY plate_id, well, value LIMIT 7",
    "SELECT r.status, count(*), sum(p.value) FROM lab.chemistry.reactions r JOIN lab.chemistry.plate_readings p ON r.plate_id = p.plate_id WHERE p.plate_id < 'P0004' GROUP BY 1 ORDER BY 1",
    "SELECT catalyst FROM lab.chemistry.reactions WHERE catalyst IS NOT NULL ORDER BY yield_pct DESC, reaction_id LIMIT 5",
];

/// A number of the metrics page.
fn metric(lab: &Server, name: &str) -> f64 {
    operations::metric(&operations::metrics(lab), name)
}

#[tokio::test]
async fn kept_columns_give_the_same_answers_to_each_person() {
    let lab = lab::own_with(|config| config + KEEPING);
    let mut first = Vec::new();
    for round in 0..3 {
        for user in ["ada", "sam", "ana"] {
            for (nth, sql) in QUESTIONS.iter().enumerate() {
                let answer = lab.query(user, sql).await;
                let answer = answer.map(|batches| {
                    arrow::util::pretty::pretty_format_batches(&batches)
                        .unwrap()
                        .to_string()
                });
                match round {
                    0 => first.push(answer),
                    _ => {
                        let place = ["ada", "sam", "ana"].iter().position(|other| *other == user).unwrap();
                        assert_eq!(
                            answer,
                            first[place * QUESTIONS.len() + nth],
                            "{user}, round {round}: {sql}"
                        );
                    }
                }
            }
        }
    }
    assert!(first.iter().filter(|answer| answer.is_ok()).count() >= 2 * QUESTIONS.len());
    // She sees released rows only, whoever read the others before.
    let hidden = "SELECT count(*) FROM lab.chemistry.reactions WHERE status <> 'released'";
    assert_eq!(lab.number("ana", hidden).await, 0);
    assert!(lab.number("ada", hidden).await > 0);
    assert!(metric(&lab, "labhouse_columns_found_total") > 20.0);
    let bytes = metric(&lab, "labhouse_columns_bytes");
    assert!(bytes > 0.0 && bytes <= f64::from(64 << 20), "{bytes}");
}

#[tokio::test]
async fn every_change_is_seen_over_kept_columns() {
    let lab = lab::empty(|config| config + KEEPING);
    let rows = |from: i64, to: i64| -> String { (from..to).map(|n| format!("{n},P{},{}\n", n % 3, n * 10)).collect() };
    let head = "run,plate,signal\n";
    lab.land("chemistry/runs/a.csv", format!("{head}{}", rows(0, 500)));
    let sums = "SELECT count(*), sum(signal), min(plate), max(run) FROM lab.chemistry.runs";
    lab.until("sam", "SELECT count(*) FROM lab.chemistry.runs", shows("500"))
        .await;
    for _ in 0..3 {
        let text = lab.text("sam", sums).await;
        assert!(
            text.contains("500") && text.contains("1247500") && text.contains("499"),
            "{text}"
        );
    }
    let found = metric(&lab, "labhouse_columns_found_total");
    assert!(found > 0.0);
    // More rows.
    lab.land("chemistry/runs/b.csv", format!("{head}{}", rows(500, 600)));
    lab.until("sam", "SELECT count(*) FROM lab.chemistry.runs", shows("600"))
        .await;
    assert!(lab.text("sam", sums).await.contains("1797000"));
    // Other values in the place of old ones, some gone, and all in one file.
    lab.update("ada", "UPDATE lab.chemistry.runs SET signal = 1 WHERE run < 100")
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(lab.text("sam", sums).await.contains("1747600"));
    }
    lab.update("ada", "DELETE FROM lab.chemistry.runs WHERE run >= 550")
        .await
        .unwrap();
    for _ in 0..3 {
        let text = lab.text("sam", sums).await;
        assert!(text.contains("550") && text.contains("549"), "{text}");
    }
    lab.update("ada", "OPTIMIZE lab.chemistry.runs").await.unwrap();
    for _ in 0..3 {
        let text = lab.text("sam", sums).await;
        assert!(text.contains("550") && text.contains("549"), "{text}");
    }
    // An older version is what it was; its files may be deleted by any server, so nothing is taken from what is kept of them.
    let old = "SELECT count(*), sum(signal) FROM lab.chemistry.runs FOR VERSION AS OF 1";
    let counts = |lab: &Server| {
        ["found_total", "decoded_total"].map(|name| metric(lab, &format!("labhouse_columns_{name}")) as u64)
    };
    let before = counts(&lab);
    let text = lab.text("sam", old).await;
    for _ in 0..3 {
        assert_eq!(lab.text("sam", old).await, text);
    }
    assert_eq!(counts(&lab), before);
    // A column that older files lack.
    lab.land("chemistry/runs/c.csv", "run,plate,signal,note\n900,P9,7,late\n");
    let noted = "SELECT count(*), count(note), sum(signal) FROM lab.chemistry.runs";
    lab.until("sam", "SELECT count(note) FROM lab.chemistry.runs", shows("1"))
        .await;
    let text = lab.text("sam", noted).await;
    for _ in 0..3 {
        assert_eq!(lab.text("sam", noted).await, text);
    }
    // Another table of the same name.
    lab.update("ada", "CREATE TABLE lab.chemistry.other AS SELECT 1 AS a, 'x' AS b")
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(lab.number("ada", "SELECT sum(a) FROM lab.chemistry.other").await, 1);
    }
    lab.update("ada", "DROP TABLE lab.chemistry.other").await.unwrap();
    lab.update("ada", "CREATE TABLE lab.chemistry.other AS SELECT 2 AS a, 'y' AS b")
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(lab.number("ada", "SELECT sum(a) FROM lab.chemistry.other").await, 2);
    }
}

/// Of a row group with many pages a condition reads a few; what is kept then must not be taken for all of its rows.
#[tokio::test]
async fn a_few_rows_of_a_row_group_are_not_kept_as_all_of_them() {
    let lab = lab::empty(|config| config + KEEPING);
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.long AS SELECT value AS id, value % 7 AS k FROM generate_series(1, 200000)",
    )
    .await
    .unwrap();
    for _ in 0..3 {
        assert_eq!(
            lab.number("ada", "SELECT sum(k) FROM lab.chemistry.long WHERE id = 5")
                .await,
            5
        );
    }
    for _ in 0..3 {
        assert_eq!(
            lab.number("ada", "SELECT count(k) FROM lab.chemistry.long").await,
            200_000
        );
        assert_eq!(
            lab.number("ada", "SELECT sum(id) FROM lab.chemistry.long").await,
            20_000_100_000
        );
        assert_eq!(
            lab.number("ada", "SELECT sum(k) FROM lab.chemistry.long WHERE id = 150000")
                .await,
            4
        );
    }
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let lab = lab::empty(|config| config + "[limits]\nresult_cache_mib = 0\ncolumn_cache_mib = 0\n");
    lab.land("chemistry/runs/a.csv", "run,signal\n1,2\n3,4\n");
    lab.until("sam", "SELECT count(*) FROM lab.chemistry.runs", shows("2"))
        .await;
    for _ in 0..3 {
        assert_eq!(lab.number("sam", "SELECT sum(signal) FROM lab.chemistry.runs").await, 6);
    }
    for name in ["bytes", "found_total", "decoded_total"] {
        assert!(metric(&lab, &format!("labhouse_columns_{name}")) < 1.0, "{name}");
    }
}
