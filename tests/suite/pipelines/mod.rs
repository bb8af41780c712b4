//! Materialized views: tables that follow a query.

mod batches;
mod beside;
mod folder;
mod incremental;
mod outliving;
mod steps;
mod tags;

use std::collections::BTreeMap;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::lab::{self, BINARY, Server, shows};

const VIEW: &str = "lab.chemistry.best";
const RUNS: &str = "lab.chemistry.runs";

const COUNT: &str = "SELECT count(*) FROM lab.chemistry.runs";

/// A lab with a table of runs: `run`, `kind`, `yield`.
async fn with_runs(text: &str) -> Server {
    runs_with(|config| config, text).await
}

async fn runs_with(edit: impl FnOnce(String) -> String, text: &str) -> Server {
    let lab = lab::empty(edit);
    lab.land("chemistry/runs/a.csv", text);
    lab.until("ada", COUNT, shows(text.lines().count() - 1)).await;
    lab
}

/// How each view was made last, and why.
async fn modes(lab: &Server) -> BTreeMap<String, String> {
    let sql = "SELECT view_name || '|' || mode || ' because ' || mode_reason AS told FROM system.pipelines";
    let told = lab.text("ada", sql).await;
    let lines = told
        .lines()
        .filter_map(|line| line.trim_matches(['|', ' ']).split_once('|'));
    lines
        .map(|(name, told)| (name.to_owned(), told.trim().to_owned()))
        .collect()
}

async fn with_view() -> Server {
    let lab = with_runs("run,kind,yield\n1,x,10\n2,y,20\n").await;
    let sql = format!(
        "CREATE MATERIALIZED VIEW {VIEW} REFRESH ON CHANGE AS SELECT kind, sum(yield) AS total FROM {RUNS} GROUP BY kind"
    );
    assert_eq!(lab.update("ada", &sql).await.unwrap(), 2);
    lab
}

#[tokio::test]
async fn a_view_follows_its_sources_and_views_follow_views() {
    let lab = with_view().await;
    let total = format!("SELECT CAST(sum(total) AS BIGINT) FROM {VIEW}");
    assert_eq!(lab.number("ada", &total).await, 30);
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.sums AS SELECT sum(total) AS s FROM {VIEW}"),
    )
    .await
    .unwrap();
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,5\n");
    lab.until(
        "ada",
        "SELECT CAST(s AS BIGINT) AS s FROM lab.chemistry.sums",
        shows(35),
    )
    .await;
    assert_eq!(lab.number("ada", &total).await, 35);
    let fresh =
        "SELECT count(*) FROM system.pipelines WHERE state = 'fresh' AND owner = 'ada' AND refresh = 'on change'";
    lab.until("ada", fresh, shows(2)).await;

    // The rows, what they were made of and how many they are lie in one commit: there is no moment between.
    let log = lab.dir.join("tables/chemistry/best/_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    commits.retain(|path| path.extension().is_some_and(|kind| kind == "json"));
    commits.sort();
    let text = std::fs::read_to_string(commits.last().unwrap()).unwrap();
    let actions: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(actions.iter().any(|action| action.get("add").is_some()), "{text}");
    let told = actions
        .iter()
        .find_map(|action| action.pointer("/metaData/configuration/labhouse.view"));
    let view: serde_json::Value = serde_json::from_str(told.unwrap().as_str().unwrap()).unwrap();
    let version = lab
        .number("ada", "SELECT version FROM system.commits WHERE table_name = 'runs'")
        .await;
    assert_eq!(view["sources"]["chemistry.runs"], version);
    assert_eq!(view["made"]["rows"], 2);
    let hash = Sha256::digest(view["sql"].as_str().unwrap());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(view["made"]["statement_sha256"], hash);

    // It is a table to read and none to write to.
    for sql in [
        format!("DELETE FROM {VIEW}"),
        format!("UPDATE {VIEW} SET total = 0"),
        format!("INSERT INTO {VIEW} VALUES ('z', 1)"),
    ] {
        let error = lab.update("ada", &sql).await.unwrap_err();
        assert!(error.contains("materialized view"), "{sql}: {error}");
    }
    for (sql, says) in [
        (
            format!("CREATE OR REPLACE MATERIALIZED VIEW {VIEW} AS SELECT * FROM lab.chemistry.sums"),
            "made of itself",
        ),
        (
            format!("CREATE MATERIALIZED VIEW {VIEW} AS SELECT 1 AS a"),
            "there already",
        ),
        (
            format!("CREATE MATERIALIZED VIEW lab.chemistry.old AS SELECT * FROM {RUNS} FOR VERSION AS OF 0"),
            "older version",
        ),
        ("REFRESH MATERIALIZED VIEW lab.chemistry.runs".to_owned(), "not found"),
        ("DROP MATERIALIZED VIEW lab.chemistry.runs".to_owned(), "not found"),
    ] {
        let error = lab.update("ada", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    assert!(
        lab.update("guest", &format!("REFRESH MATERIALIZED VIEW {VIEW}"))
            .await
            .unwrap_err()
            .contains("not found")
    );
    assert!(
        lab.update("ana", &format!("REFRESH MATERIALIZED VIEW {VIEW}"))
            .await
            .unwrap_err()
            .contains("may not")
    );

    lab.update("ada", &format!("DROP MATERIALIZED VIEW {VIEW}"))
        .await
        .unwrap();
    assert!(lab.query("ada", &total).await.is_err());
    lab.until(
        "ada",
        "SELECT count(*) FROM system.pipelines WHERE state = 'orphaned'",
        shows(1),
    )
    .await;
}

#[tokio::test]
async fn a_view_shows_what_its_owner_sees_and_keeps_the_tags() {
    let lab = with_view().await;
    // sam's own view, made anew by an administrator, is still made of what sam sees.
    let mine = "lab.chemistry.mine";
    lab.update(
        "sam",
        &format!("CREATE MATERIALIZED VIEW {mine} REFRESH ON DEMAND AS SELECT * FROM {RUNS}"),
    )
    .await
    .unwrap();
    let rows = format!("SELECT count(*) FROM {mine}");
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,5\n");
    lab.until("ada", &format!("SELECT sum(yield) FROM {RUNS}"), shows(35))
        .await;
    assert_eq!(lab.number("sam", &rows).await, 2, "on demand only");
    lab.update("ada", &format!("REFRESH MATERIALIZED VIEW {mine}"))
        .await
        .unwrap();
    assert_eq!(lab.number("sam", &rows).await, 3);
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM system.pipelines WHERE view_name = 'mine' AND owner = 'sam'"
        )
        .await,
        1
    );

    // A tag set on the view stays; a tag set on its source counts at once, also for what is made of the view.
    let further = "lab.chemistry.further";
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW {further} REFRESH ON DEMAND AS SELECT run, kind AS sort FROM {mine}"),
    )
    .await
    .unwrap();
    for sql in [format!("SELECT kind FROM {mine}"), format!("SELECT run FROM {further}")] {
        assert!(lab.query("dee", &sql).await.is_ok(), "{sql}");
    }
    lab.update(
        "ada",
        &format!("ALTER TABLE {mine} ALTER COLUMN yield SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        &format!("ALTER TABLE {RUNS} ALTER COLUMN kind SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    for (sql, open) in [
        (format!("SELECT kind FROM {mine}"), false),
        (format!("SELECT run FROM {mine}"), true),
        // What was renamed may be anywhere.
        (format!("SELECT sort FROM {further}"), false),
        (format!("SELECT run FROM {further}"), false),
        (format!("SELECT run FROM {mine} FOR VERSION AS OF 0"), true),
        (format!("SELECT kind FROM {mine} FOR VERSION AS OF 0"), false),
    ] {
        assert_eq!(lab.query("dee", &sql).await.is_ok(), open, "{sql}");
        assert!(lab.query("sam", &sql).await.is_ok(), "{sql}");
    }
    lab.update("sam", &format!("REFRESH MATERIALIZED VIEW {mine}"))
        .await
        .unwrap();
    for column in ["kind", "yield"] {
        assert!(
            lab.query("dee", &format!("SELECT {column} FROM {mine}")).await.is_err(),
            "{column}"
        );
    }
    assert!(lab.query("dee", &format!("SELECT run FROM {mine}")).await.is_ok());

    // Its owner may not read the source any more: it stops, says so, and keeps what it had.
    lab.policy("p, role:lab_scientist, chemistry, lab/chemistry/runs/**, select, deny");
    lab.until("sam", &format!("SELECT 1 FROM {RUNS}"), Result::is_err).await;
    assert!(
        lab.update("ada", &format!("REFRESH MATERIALIZED VIEW {mine}"))
            .await
            .unwrap_err()
            .contains("not found")
    );
    assert_eq!(lab.number("ada", &rows).await, 3);
}

#[tokio::test]
async fn a_view_that_cannot_follow_says_why_and_follows_again() {
    let lab = with_view().await;
    let owned = "CREATE MATERIALIZED VIEW lab.chemistry.sams AS SELECT sum(yield) AS s FROM lab.chemistry.runs";
    lab.update("sam", owned).await.unwrap();
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("{text}\np, role:lab_scientist, chemistry, lab/chemistry/runs/**, select, deny\n"),
    )
    .unwrap();
    lab.until("sam", &format!("SELECT 1 FROM {RUNS}"), Result::is_err).await;
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,5\n");
    let failed = "SELECT count(*) FROM system.pipelines WHERE view_name = 'sams' AND state = 'failed' AND reason LIKE '%not found%'";
    lab.until("ada", failed, shows(1)).await;
    std::fs::write(&path, text).unwrap();
    lab.until(
        "ada",
        "SELECT CAST(s AS BIGINT) AS s FROM lab.chemistry.sams",
        shows(35),
    )
    .await;
}

/// Files land, the server is killed at any moment and started again: the views end with exactly the rows of their source, those that
/// are put to, those that are merged and those that are made anew.
#[tokio::test]
async fn killed_at_any_moment_a_view_ends_right() {
    const KILLS: u64 = 50;
    let lab = with_view().await;
    for sql in [
        "CREATE MATERIALIZED VIEW lab.chemistry.copied AS SELECT run, yield FROM lab.chemistry.runs WHERE yield >= 0",
        "CREATE MATERIALIZED VIEW lab.chemistry.means AS SELECT kind, avg(yield) AS mean, count(*) AS n FROM lab.chemistry.runs GROUP BY kind",
        "CREATE TABLE lab.chemistry.labels AS SELECT 'x' AS kind, CAST(-1 AS BIGINT) AS label",
        "CREATE MATERIALIZED VIEW lab.chemistry.labelled AS SELECT r.run, l.label FROM lab.chemistry.runs r JOIN lab.chemistry.labels l ON l.kind = r.kind",
        "CREATE MATERIALIZED VIEW lab.chemistry.counted AS SELECT count(*) AS n, max(run) AS last FROM lab.chemistry.copied",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    let dir = lab.dir.clone();
    let mut running = Some(lab);
    let mut sum = 30;
    for n in 0..KILLS {
        let lab = running.as_mut().unwrap();
        lab.land(
            &format!("chemistry/runs/kill_{n}.csv"),
            format!("run,kind,yield\n{n},x,{n}\n"),
        );
        // Both sides of a join grow.
        let label = format!("INSERT INTO lab.chemistry.labels VALUES ('x', {n})");
        lab.update("ada", &label).await.unwrap();
        sum += i64::try_from(n).unwrap();
        // The moments are spread over the time that a sweep and a refresh take.
        tokio::time::sleep(std::time::Duration::from_millis(n * 37 % 900)).await;
        lab.child.kill().unwrap();
        lab.child.wait().unwrap();
        let mut serve = Command::new(BINARY);
        serve.args(["serve", "--config"]).arg(dir.join("labhouse.toml"));
        let next = lab::start(&mut serve, &dir, None);
        let own = running.replace(next).map(lab::Server::into_dir);
        // The folder lives as long as the last server on it.
        if let (Some(running), Some(own)) = (running.as_mut(), own) {
            running.keep(own);
        }
    }
    let lab = running.unwrap();
    lab.until("ada", &format!("SELECT sum(yield) FROM {RUNS}"), shows(sum))
        .await;
    lab.until(
        "ada",
        &format!("SELECT CAST(sum(total) AS BIGINT) FROM {VIEW}"),
        shows(sum),
    )
    .await;
    assert_eq!(lab.number("ada", &format!("SELECT count(*) FROM {VIEW}")).await, 2);
    let rows = 2 + i64::try_from(KILLS).unwrap();
    for (sql, wanted) in [
        ("SELECT count(*) FROM lab.chemistry.copied", rows),
        ("SELECT CAST(sum(yield) AS BIGINT) FROM lab.chemistry.copied", sum),
        ("SELECT CAST(sum(n) AS BIGINT) FROM lab.chemistry.means", rows),
        (
            "SELECT CAST(round(sum(mean * n)) AS BIGINT) FROM lab.chemistry.means",
            sum,
        ),
        ("SELECT n FROM lab.chemistry.counted", rows),
        (
            "SELECT last FROM lab.chemistry.counted",
            i64::try_from(KILLS).unwrap() - 1,
        ),
        (
            "SELECT count(*) FROM (SELECT run, yield FROM lab.chemistry.copied GROUP BY run, yield HAVING count(*) > 1)",
            0,
        ),
        // Each of the runs of kind x, of which two are called 1, with each label.
        ("SELECT count(*) FROM lab.chemistry.labelled", (rows - 1) * (rows - 1)),
        (
            "SELECT count(*) FROM (SELECT DISTINCT run, label FROM lab.chemistry.labelled)",
            (rows - 2) * (rows - 1),
        ),
    ] {
        lab.until("ada", sql, shows(wanted)).await;
    }
    // Not by luck: the road of new rows was taken.
    let grown = "SELECT count(*) FROM system.pipelines WHERE mode = 'incremental' AND view_name IN ('best', 'copied')";
    lab.land("chemistry/runs/last.csv", "run,kind,yield\n1000,x,0\n");
    lab.until("ada", "SELECT n FROM lab.chemistry.counted", shows(rows + 1))
        .await;
    lab.until("ada", grown, shows(2)).await;
}
