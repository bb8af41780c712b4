//! UPDATE, DELETE and MERGE: as SQL says, for whoever may, and on nothing but what the writer sees.

use futures::future::join_all;

use crate::lab::{self, Server};

const SCORES: &str = "lab.chemistry.scores";

async fn scores(lab: &Server) -> String {
    lab.text("ada", &format!("SELECT run, score, note FROM {SCORES} ORDER BY run"))
        .await
}

async fn with_scores() -> Server {
    let lab = lab::own();
    let made = format!(
        "CREATE TABLE {SCORES} AS SELECT * FROM (VALUES (1, 10.0, 'a'), (2, 20.0, 'b'), (3, NULL, 'c')) AS v (run, score, note)"
    );
    lab.update("ada", &made).await.unwrap();
    lab
}

#[tokio::test]
async fn rows_are_updated_and_deleted_as_sql_says() {
    let lab = with_scores().await;
    let sql = format!("UPDATE {SCORES} SET score = score * 2, note = upper(note) || '!' WHERE run >= 2");
    assert_eq!(lab.update("ada", &sql).await.unwrap(), 2);
    let now = scores(&lab).await;
    for row in [
        "| 1   | 10.0  | a    |",
        "| 2   | 40.0  | B!   |",
        "| 3   |       | C!   |",
    ] {
        assert!(now.contains(row), "{now}");
    }
    // A condition that is unknown changes nothing, and a subquery may look at the table itself.
    assert_eq!(
        lab.update("ada", &format!("DELETE FROM {SCORES} WHERE score > 1000"))
            .await
            .unwrap(),
        0
    );
    let most = format!("DELETE FROM {SCORES} s WHERE s.score = (SELECT max(score) FROM {SCORES})");
    assert_eq!(lab.update("ada", &most).await.unwrap(), 1);
    assert_eq!(lab.update("ada", &format!("DELETE FROM {SCORES}")).await.unwrap(), 2);
    assert_eq!(lab.number("ada", &format!("SELECT count(*) FROM {SCORES}")).await, 0);
    lab.pytest("test_lake_open.py", &std::collections::HashMap::new());
}

#[tokio::test]
async fn merge_updates_deletes_and_inserts_in_one_commit() {
    let lab = with_scores().await;
    let version = "SELECT version FROM system.commits WHERE table_name = 'scores'";
    let before = lab.number("ada", version).await;
    let sql = format!(
        "MERGE INTO {SCORES} AS t USING (VALUES (1, 11.0), (2, NULL), (4, 44.0)) AS s (run, score) ON t.run = s.run
         WHEN MATCHED AND s.score IS NULL THEN DELETE
         WHEN MATCHED THEN UPDATE SET score = s.score + t.score
         WHEN NOT MATCHED THEN INSERT (run, score, note) VALUES (s.run, s.score, 'new')
         WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = 'untouched'"
    );
    assert_eq!(lab.update("ada", &sql).await.unwrap(), 4);
    let now = scores(&lab).await;
    for row in [
        "| 1   | 21.0  | a         |",
        "| 3   |       | untouched |",
        "| 4   | 44.0  | new       |",
    ] {
        assert!(now.contains(row), "{now}");
    }
    assert!(!now.contains("| 2 "), "{now}");
    assert_eq!(lab.number("ada", version).await, before + 1);
    // Two rows of the source for one of the target: nothing happens.
    let twice = format!(
        "MERGE INTO {SCORES} AS t USING (VALUES (1, 1.0), (1, 2.0)) AS s (run, score) ON t.run = s.run WHEN MATCHED THEN UPDATE SET score = s.score"
    );
    let error = lab.update("ada", &twice).await.unwrap_err();
    assert!(error.contains("changed twice"), "{error}");
    assert_eq!(scores(&lab).await, now);
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    let lab = with_scores().await;
    let sql = format!("UPDATE {SCORES} SET run = run + 1");
    let done = join_all((0..6).map(|_| lab.update("ada", &sql))).await;
    let landed = i64::try_from(done.iter().filter(|one| **one == Ok(3)).count()).unwrap();
    assert!(landed >= 1, "{done:?}");
    for failed in done.iter().filter_map(|one| one.as_ref().err()) {
        assert!(failed.contains("other writers"), "{failed}");
    }
    assert_eq!(
        lab.number("ada", &format!("SELECT sum(run) FROM {SCORES}")).await,
        6 + 3 * landed
    );
}

#[tokio::test]
async fn a_writer_behind_a_filter_changes_what_he_sees_and_writes_what_he_sees() {
    let lab = lab::own();
    let table = "lab.chemistry.reactions";
    let all = lab.number("ada", &format!("SELECT count(*) FROM {table}")).await;
    let seen = lab.number("ana", &format!("SELECT count(*) FROM {table}")).await;
    assert!(seen > 0 && seen < all);
    // The demo's view becomes a table under the same policy: a view is not written to.
    let view = lab.update("ada", &format!("DELETE FROM {table}")).await.unwrap_err();
    assert!(view.contains("materialized view"), "{view}");
    lab.update(
        "ada",
        &format!("CREATE OR REPLACE TABLE {table} AS SELECT * FROM {table}"),
    )
    .await
    .unwrap();
    let path = lab.dir.join("policies/policy.csv");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("\np, role:lab_analyst, chemistry, lab/chemistry/reactions/**, insert|update|delete, allow\n");
    std::fs::write(&path, text).unwrap();
    let nothing = format!("DELETE FROM {table} WHERE false");
    lab.until_updated("ana", &nothing).await;

    for (sql, says) in [
        // A row that would vanish from the writer's sight, one that was never in it, a masked and a hidden column.
        (format!("UPDATE {table} SET status = 'draft'"), "not be visible to you"),
        (
            format!("INSERT INTO {table} (status) VALUES ('draft')"),
            "not be visible to you",
        ),
        (
            format!("INSERT INTO {table} (status) VALUES (NULL)"),
            "not be visible to you",
        ),
        (format!("UPDATE {table} SET scaffold_smiles = 'C'"), "masked"),
        (format!("UPDATE {table} SET operator = 'x'"), "no column operator"),
        (format!("UPDATE {table} SET nonsense = 'x'"), "no column nonsense"),
        (format!("DELETE FROM {table} WHERE operator = 'x'"), "operator"),
        (format!("UPDATE {table} SET yield_pct = 'many'"), "yield_pct"),
        ("DELETE FROM lab.chemistry.plate_readings".to_owned(), "not found"),
        ("DELETE FROM lab.chemistry.protocols".to_owned(), "may not delete"),
    ] {
        let error = lab.update("ana", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    assert_eq!(lab.number("ada", &format!("SELECT count(*) FROM {table}")).await, all);

    let zeros = format!("SELECT count(*) FROM {table} WHERE yield_pct = 0 AND status <> 'released'");
    let before = lab.number("ada", &zeros).await;
    let one = format!("INSERT INTO {table} (status, yield_pct) VALUES ('released', 12.5)");
    assert_eq!(lab.update("ana", &one).await.unwrap(), 1);
    // A condition that fails on hidden rows only does not fail: it never meets them.
    let hidden = "CASE WHEN status <> 'released' THEN 1 / 0 ELSE 1 END = 0";
    assert_eq!(
        lab.update("ana", &format!("DELETE FROM {table} WHERE {hidden}"))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        lab.update("ana", &format!("UPDATE {table} SET yield_pct = 0"))
            .await
            .unwrap(),
        seen + 1
    );
    assert_eq!(lab.number("ada", &zeros).await, before, "hidden rows were changed");
    assert_eq!(
        lab.update("ana", &format!("DELETE FROM {table}")).await.unwrap(),
        seen + 1
    );
    assert_eq!(
        lab.number("ada", &format!("SELECT count(*) FROM {table}")).await,
        all - seen
    );
}

#[tokio::test]
async fn what_is_not_run_is_said() {
    let lab = lab::shared();
    for (sql, says) in [
        (
            "UPDATE lab.chemistry.reactions r SET yield_pct = 1 FROM lab.chemistry.protocols p",
            "MERGE",
        ),
        ("DELETE FROM lab.chemistry.reactions LIMIT 1", "LIMIT"),
        (
            "UPDATE lab.chemistry.reactions SET yield_pct = 1, yield_pct = 2",
            "twice",
        ),
        (
            "UPDATE lab.chemistry.plate_readings SET _source_row = 1",
            "crawler's own",
        ),
        (
            "MERGE INTO lab.chemistry.reagent_lots AS t USING (SELECT lot FROM lab.chemistry.reagent_lots ORDER BY random() LIMIT 2) AS s ON t.lot = s.lot WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (lot) VALUES (s.lot)",
            "CREATE TABLE",
        ),
        (
            "MERGE INTO lab.chemistry.reagent_lots AS t USING (SELECT lot FROM lab.chemistry.reagent_lots LIMIT 2) AS s ON t.lot = s.lot WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (lot) VALUES (s.lot)",
            "CREATE TABLE",
        ),
        ("DELETE FROM lab.system.queries", "the server's own"),
        ("UPDATE reactions SET yield_pct = 1", "lab.public.reactions"),
    ] {
        let error = lab.update("ada", sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    // The address is for the server alone.
    for who in ["ada", "sam"] {
        let error = lab
            .query(who, "SELECT _row_address FROM lab.chemistry.reactions")
            .await
            .unwrap_err();
        assert!(error.contains("_row_address"), "{error}");
    }
}

#[tokio::test]
async fn landed_rows_can_be_mended_until_their_file_changes() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,yield\n1,10\n2,20\n");
    lab.land("chemistry/runs/b.csv", "run,yield\n3,30\n");
    let sum = "SELECT count(*), sum(yield) FROM lab.chemistry.runs";
    lab.until("ada", sum, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 3 ") && text.contains("| 60 "))
    })
    .await;
    let mended = "UPDATE lab.chemistry.runs SET yield = 100 WHERE run = 1";
    assert_eq!(lab.update("ada", mended).await.unwrap(), 1);
    assert_eq!(
        lab.number("ada", "SELECT sum(yield) FROM lab.chemistry.runs").await,
        150
    );
    lab.land("chemistry/runs/a.csv", "run,yield\n1,1\n2,2\n4,4\n");
    lab.until("ada", sum, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 4 ") && text.contains("| 37 "))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_column_is_not_copied_into_a_freer_one_of_its_own_table() {
    let lab = lab::empty(|config| config);
    let table = "lab.chemistry.staff";
    for sql in [
        format!("CREATE TABLE {table} AS SELECT 1 AS id, 'kim' AS operator, 'x' AS note"),
        format!("ALTER TABLE {table} ALTER COLUMN operator SET TAGS (pii = true)"),
    ] {
        lab.update("ada", &sql).await.unwrap();
    }
    let copies = [
        format!("UPDATE {table} SET note = operator"),
        format!("UPDATE {table} SET note = concat('by ', substr(operator, 1, 2))"),
        format!("UPDATE {table} SET note = (SELECT max(o) FROM (SELECT s.operator AS o FROM {table} s) x)"),
        format!("UPDATE {table} AS t SET note = (SELECT max(s.note) FROM {table} s WHERE s.id = t.id) || operator"),
        format!("UPDATE {table} SET note = CASE WHEN operator = 'kim' THEN 'k' ELSE 'o' END"),
        format!("INSERT INTO {table} (id, operator, note) SELECT id + 10, operator, operator AS again FROM {table}"),
        format!("INSERT INTO {table} (id, note) SELECT 5, x.c FROM (SELECT * FROM {table}) AS x(a, c, b)"),
        format!("INSERT INTO {table} (id, note) SELECT 5, note FROM {table} UNION ALL SELECT 6, operator FROM {table}"),
        format!(
            "MERGE INTO {table} AS t USING (SELECT id, operator AS o FROM {table}) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET note = s.o"
        ),
    ];
    for sql in &copies {
        let refused = lab.update("sam", sql).await.unwrap_err();
        assert!(refused.contains("pii=true"), "{sql}: {refused}");
    }
    assert_eq!(
        lab.number("ada", &format!("SELECT count(*) FROM {table} WHERE note = 'x'"))
            .await,
        1
    );
    for sql in [
        format!("UPDATE {table} SET note = 'y' WHERE operator = 'kim'"),
        format!("UPDATE {table} SET operator = upper(operator), note = note || '!'"),
        format!("INSERT INTO {table} (id, operator, note) SELECT id + 10, operator, note FROM {table}"),
        format!(
            "MERGE INTO {table} AS t USING (SELECT id, operator AS o FROM {table}) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET operator = s.o"
        ),
    ] {
        lab.update("sam", &sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    // Whoever decides over the table's tags may.
    lab.update("ada", &copies[0]).await.unwrap();
}
