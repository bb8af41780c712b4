//! Whole tables: made empty, described, compacted, dropped and brought back, and as they were.

use crate::lab;

const TABLE: &str = "lab.chemistry.samples";

async fn with_samples() -> lab::Server {
    let lab = lab::empty(|config| config);
    lab.update(
        "ada",
        &format!("CREATE TABLE {TABLE} (id BIGINT, name VARCHAR, made DATE)"),
    )
    .await
    .unwrap();
    for n in 1..=3 {
        let sql = format!("INSERT INTO {TABLE} VALUES ({n}, 'sample {n}', DATE '2026-03-0{n}')");
        assert_eq!(lab.update("ada", &sql).await.unwrap(), 1);
    }
    lab
}

#[tokio::test]
async fn a_table_is_made_of_columns_and_described() {
    let lab = with_samples().await;
    assert_eq!(lab.number("ada", &format!("SELECT sum(id) FROM {TABLE}")).await, 6);
    for (sql, says) in [
        (format!("CREATE TABLE {TABLE} (id INT)"), "there already"),
        (
            "CREATE TABLE lab.chemistry.x (id INT PRIMARY KEY)".to_owned(),
            "PRIMARY KEY",
        ),
        ("CREATE TABLE lab.chemistry.x (id INT NOT NULL)".to_owned(), "NOT NULL"),
        ("CREATE TABLE lab.chemistry.x (\"Bad Name\" INT)".to_owned(), "Bad Name"),
        ("CREATE TABLE lab.system.x (id INT)".to_owned(), "server's own"),
    ] {
        let error = lab.update("ada", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    let made = "CREATE TABLE lab.chemistry.mine (id INT)";
    assert!(lab.update("guest", made).await.is_err() && lab.update("ana", made).await.is_err());

    let comment = format!("COMMENT ON TABLE {TABLE} IS 'what was made'");
    assert!(lab.update("ana", &comment).await.unwrap_err().contains("may not alter"));
    assert!(lab.update("guest", &comment).await.unwrap_err().contains("not found"));
    lab.update("ada", &comment).await.unwrap();
    lab.update("ada", &format!("COMMENT ON COLUMN {TABLE}.made IS 'day of synthesis'"))
        .await
        .unwrap();
    let absent = lab
        .update("ada", &format!("COMMENT ON COLUMN {TABLE}.mode IS 'x'"))
        .await
        .unwrap_err();
    assert!(absent.contains("no column mode"), "{absent}");
    let columns = lab
        .query("ada", &format!("SELECT * FROM {TABLE} LIMIT 1"))
        .await
        .unwrap();
    let field = columns[0].schema().field_with_name("made").unwrap().clone();
    assert_eq!(field.metadata()["comment"], "day of synthesis");
}

#[tokio::test]
async fn many_files_become_few_and_rows_stay() {
    let lab = with_samples().await;
    let rows = format!("SELECT * FROM {TABLE} ORDER BY id");
    let before = lab.text("ada", &rows).await;
    assert!(
        lab.update("sam", &format!("OPTIMIZE {TABLE}"))
            .await
            .unwrap_err()
            .contains("may not maintain")
    );
    assert_eq!(lab.update("ada", &format!("OPTIMIZE {TABLE}")).await.unwrap(), 3);
    assert_eq!(lab.text("ada", &rows).await, before);
    assert_eq!(lab.update("ada", &format!("OPTIMIZE {TABLE}")).await.unwrap(), 0);
    // What was read a moment ago may still be needed.
    let young = lab
        .update("ada", &format!("VACUUM {TABLE} RETAIN 1 HOURS"))
        .await
        .unwrap_err();
    assert!(young.contains("168 hours"), "{young}");
    assert_eq!(lab.update("ada", &format!("VACUUM {TABLE}")).await.unwrap(), 0);
    assert_eq!(
        lab.number("ada", &format!("SELECT count(*) FROM {TABLE} FOR VERSION AS OF 2"))
            .await,
        2
    );
    // A row is still found and changed, and the crawler's neighbour tables are not touched.
    assert_eq!(
        lab.update("ada", &format!("DELETE FROM {TABLE} WHERE id = 2"))
            .await
            .unwrap(),
        1
    );
    assert_eq!(lab.number("ada", &format!("SELECT sum(id) FROM {TABLE}")).await, 4);
}

#[tokio::test]
async fn a_dropped_table_is_gone_for_all_and_comes_back_whole() {
    let lab = with_samples().await;
    let rows = format!("SELECT * FROM {TABLE} ORDER BY id");
    let before = lab.text("ada", &rows).await;
    let drop = format!("DROP TABLE {TABLE}");
    assert!(lab.update("ana", &drop).await.unwrap_err().contains("may not drop"));
    assert!(lab.update("guest", &drop).await.unwrap_err().contains("not found"));
    assert_eq!(lab.update("ada", &drop).await.unwrap(), 1);
    for who in ["ada", "sam"] {
        assert!(lab.query(who, &rows).await.unwrap_err().contains("not found"));
        let listed = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'samples'";
        assert_eq!(lab.number(who, listed).await, 0);
    }
    assert!(lab.update("ada", &drop).await.unwrap_err().contains("not found"));
    assert_eq!(
        lab.update("ada", &format!("DROP TABLE IF EXISTS {TABLE}"))
            .await
            .unwrap(),
        0
    );
    assert!(
        lab.update("ada", &format!("INSERT INTO {TABLE} VALUES (9, 'x', NULL)"))
            .await
            .is_err()
    );
    assert!(lab.update("ana", &format!("UNDROP TABLE {TABLE}")).await.is_err());
    assert_eq!(lab.update("ada", &format!("UNDROP TABLE {TABLE}")).await.unwrap(), 1);
    assert_eq!(lab.text("ada", &rows).await, before);
    assert!(lab.update("ada", &format!("UNDROP TABLE {TABLE}")).await.is_err());
    // Dropped and made anew it has the new rows only.
    lab.update("ada", &drop).await.unwrap();
    lab.update("ada", &format!("CREATE TABLE {TABLE} AS SELECT 7 AS id"))
        .await
        .unwrap();
    assert_eq!(lab.number("ada", &format!("SELECT sum(id) FROM {TABLE}")).await, 7);
}

#[tokio::test]
async fn a_crawled_table_stays_dropped_until_something_new_lands() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,yield\n1,10\n2,20\n");
    let sum = "SELECT sum(yield) FROM lab.chemistry.runs";
    lab.until("ada", sum, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 30 "))
    })
    .await;
    lab.update("ada", "DROP TABLE lab.chemistry.runs").await.unwrap();
    // Another table shows that sweeps went on; the dropped one's file was not loaded again.
    lab.land("chemistry/other/a.csv", "x\n1\n");
    lab.until("ada", "SELECT x FROM lab.chemistry.other", Result::is_ok)
        .await;
    assert!(lab.query("ada", sum).await.is_err());
    lab.land("chemistry/runs/b.csv", "run,yield\n3,5\n");
    lab.until("ada", sum, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 5 "))
    })
    .await;
}

#[tokio::test]
async fn older_versions_are_read_under_the_policy_of_today() {
    let lab = with_samples().await;
    let counts = format!(
        "SELECT (SELECT count(*) FROM {TABLE} FOR VERSION AS OF 1) * 10 + (SELECT count(*) FROM {TABLE} VERSION AS OF 3 old WHERE old.id > 0)"
    );
    assert_eq!(lab.number("ada", &counts).await, 13);
    assert_eq!(
        lab.number("ada", &format!("SELECT samples.id FROM {TABLE} FOR VERSION AS OF 1"))
            .await,
        1
    );
    assert_eq!(
        lab.number(
            "ada",
            &format!("SELECT count(*) FROM {TABLE} FOR TIMESTAMP AS OF '2100-01-01'")
        )
        .await,
        3
    );
    for (sql, says) in [
        (format!("SELECT * FROM {TABLE} FOR VERSION AS OF 99"), "no version 99"),
        (
            format!("SELECT * FROM {TABLE} FOR TIMESTAMP AS OF '2001-01-01'"),
            "not there yet",
        ),
        (
            format!("SELECT * FROM {TABLE} FOR TIMESTAMP AS OF 'soon'"),
            "no version and no time",
        ),
        ("SELECT * FROM samples FOR VERSION AS OF 1".to_owned(), "full name"),
        ("SELECT * FROM lab.chemistry.\"samples@1\"".to_owned(), "not found"),
    ] {
        let error = lab.query("ada", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    // Hidden today is hidden in the past, and looks as if it never was.
    let hidden = format!("SELECT * FROM {TABLE} FOR VERSION AS OF 1");
    let absent = hidden.replace("samples", "samplex");
    let (hidden, absent) = (
        lab.query("guest", &hidden).await.unwrap_err(),
        lab.query("guest", &absent).await.unwrap_err(),
    );
    assert_eq!(hidden.replace("samples", "X"), absent.replace("samplex", "X"));

    // A tag set today closes the column in the versions of yesterday, and goes with the rows of yesterday.
    let names = format!("SELECT name FROM {TABLE} FOR VERSION AS OF 1");
    assert!(lab.query("dee", &names).await.is_ok());
    lab.update(
        "ada",
        &format!("ALTER TABLE {TABLE} ALTER COLUMN name SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    assert!(lab.query("dee", &names).await.unwrap_err().contains("name"));
    assert!(
        lab.query("dee", &format!("SELECT id FROM {TABLE} FOR VERSION AS OF 1"))
            .await
            .is_ok()
    );
    lab.update("ada", &format!("CREATE TABLE lab.chemistry.copied AS {names}"))
        .await
        .unwrap();
    assert!(lab.query("dee", "SELECT name FROM lab.chemistry.copied").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_cared_for_without_being_asked_and_those_of_others_are_not() {
    let lab = lab::empty(|config| format!("{config}\n[care]\ninterval_s = 1\nsmall_files = 8\nretain_hours = 168\n"));
    lab.update("ada", "CREATE TABLE lab.chemistry.few AS SELECT 0 AS n")
        .await
        .unwrap();
    lab.update("ada", "CREATE TABLE lab.chemistry.many AS SELECT 0 AS n")
        .await
        .unwrap();
    let files = |table: &str| format!("SELECT files FROM system.commits WHERE table_name = '{table}'");
    let done = |work: &str, table: &str| {
        format!(
            "SELECT count(*) FROM system.maintenance WHERE work = '{work}' AND table_name = '{table}' AND problem IS NULL"
        )
    };
    for n in 1..12 {
        let insert = format!("INSERT INTO lab.chemistry.many VALUES ({n})");
        lab.update("ada", &insert).await.unwrap();
    }
    lab.until("ada", &done("compact", "many"), |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;
    lab.until("ada", &files("many"), |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("| 1 ") || text.contains("| 2 "))
    })
    .await;
    let rows = lab
        .number(
            "ada",
            "SELECT count(DISTINCT n) * 1000 + count(*) * 10 + sum(n) FROM lab.chemistry.many",
        )
        .await;
    assert_eq!(rows, 12 * 1000 + 12 * 10 + 66);
    assert_eq!(lab.number("ada", &done("compact", "few")).await, 0);
    let told =
        "SELECT count(*) FROM system.audit WHERE event = 'maintenance' AND action = 'compact' AND principal IS NULL";
    lab.until("ada", told, |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;

    // What a killed writer left behind goes when it is old; what is young may belong to somebody who writes right now.
    let folder = lab.dir.join("tables/chemistry/many");
    for name in ["old.parquet", "young.parquet"] {
        std::fs::write(folder.join(name), b"left over").unwrap();
    }
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(200 * 3600);
    let file = std::fs::File::options()
        .write(true)
        .open(folder.join("old.parquet"))
        .unwrap();
    file.set_modified(old).unwrap();

    // The same table as another tool would have made it, with as many files; and a server that searches it for the first time.
    let other = lab.dir.join("tables/chemistry/others");
    let status = std::process::Command::new("cp")
        .arg("-r")
        .arg(&folder)
        .arg(&other)
        .status();
    assert!(status.unwrap().success());
    let log = other.join("_delta_log");
    for entry in std::fs::read_dir(&log).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let version = name.strip_suffix(".json").and_then(|stem| stem.parse::<u64>().ok());
        // As it was before it was compacted.
        if version.is_none_or(|version| version > 11) {
            std::fs::remove_file(entry.path()).unwrap();
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        std::fs::write(
            entry.path(),
            text.replace("delta.dataSkippingNumIndexedCols", "other.tool"),
        )
        .unwrap();
    }
    let dir = lab.dir.clone();
    let mut lab = lab;
    lab.terminate();
    assert!(lab.child.wait().unwrap().success());
    let own = lab.into_dir();
    let mut serve = std::process::Command::new(lab::BINARY);
    let serve = serve.args(["serve", "--config"]).arg(dir.join("labhouse.toml"));
    let lab = lab::start(serve, &dir, own);
    lab.until("ada", &done("vacuum", "many"), |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    assert!(!folder.join("old.parquet").exists() && folder.join("young.parquet").exists());
    let before = lab.number("ada", &done("compact", "many")).await;
    assert!(before > 0, "a server that ends takes nothing with it");
    lab.update("ada", "OPTIMIZE lab.chemistry.many").await.unwrap();
    let asked = format!("{} AND principal = 'ada'", done("compact", "many"));
    lab.until("ada", &asked, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.many").await, 12);
    assert_eq!(lab.number("ada", &files("others")).await, 12);
    let others = "SELECT count(*) FROM system.maintenance WHERE table_name = 'others'";
    assert_eq!(lab.number("ada", others).await, 0);
    assert!(other.join("old.parquet").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_many_commits_gets_a_checkpoint_of_itself() {
    let lab = lab::empty(|config| format!("{config}\n[care]\ninterval_s = 1\nsmall_files = 1000\nretain_hours = 0\n"));
    lab.update("ada", "CREATE TABLE lab.chemistry.many AS SELECT 0 AS n")
        .await
        .unwrap();
    for n in 1..50 {
        lab.update("ada", &format!("INSERT INTO lab.chemistry.many VALUES ({n})"))
            .await
            .unwrap();
    }
    let done =
        "SELECT count(*) FROM system.maintenance WHERE work = 'checkpoint' AND table_name = 'many' AND problem IS NULL";
    lab.until("ada", done, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;

    // What it holds need not be read from the log any more: without that, a server finds the same rows.
    let log = lab.dir.join("tables/chemistry/many/_delta_log");
    let last = std::fs::read_to_string(log.join("_last_checkpoint")).unwrap();
    let version = serde_json::from_str::<serde_json::Value>(&last).unwrap()["version"]
        .as_u64()
        .unwrap();
    assert!(version >= 49, "{last}");
    for old in 0..version {
        std::fs::remove_file(log.join(format!("{old:020}.json"))).unwrap();
    }
    let dir = lab.dir.clone();
    let mut lab = lab;
    lab.terminate();
    assert!(lab.child.wait().unwrap().success());
    let own = lab.into_dir();
    let mut serve = std::process::Command::new(lab::BINARY);
    let lab = lab::start(
        serve.args(["serve", "--config"]).arg(dir.join("labhouse.toml")),
        &dir,
        own,
    );
    assert_eq!(
        lab.number("ada", "SELECT count(*) * 10000 + sum(n) FROM lab.chemistry.many")
            .await,
        501_225
    );
}
