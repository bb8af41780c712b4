//! A table named without its schema is as governed as under its full name, whatever is made of it.

use crate::lab::{self, Server};

/// The same table, by all names that it has.
const NAMES: [&str; 3] = ["lab.public.pt", "public.pt", "pt"];

/// A table in `public` with a column of personal data, which sam may read and dee may not.
async fn with_personal() -> Server {
    let lab = lab::empty(|config| config);
    for sql in [
        "CREATE TABLE lab.public.pt AS SELECT 1 AS id, 'geheim' AS secret",
        "ALTER TABLE lab.public.pt ALTER COLUMN secret SET TAGS (pii = true)",
        "CREATE TABLE lab.public.plain AS SELECT 1 AS id, 'open' AS note",
        "CREATE TABLE lab.chemistry.target AS SELECT 1 AS id, 'x' AS s",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    lab.policy(
        "g, user:sam, role:lab_scientist, public\np, role:lab_scientist, public, lab/public/**, use|select, allow",
    );
    lab.until("sam", "SELECT secret FROM pt", lab::shows("geheim")).await;
    lab
}

#[tokio::test]
async fn what_is_made_of_a_bare_name_keeps_its_tags() {
    let lab = with_personal().await;
    for (at, from) in NAMES.into_iter().enumerate() {
        for (kind, query) in [
            ("t", format!("SELECT id, secret AS s FROM {from}")),
            ("q", format!("SELECT 1 AS id, (SELECT max(secret) FROM {from}) AS s")),
            (
                "r",
                format!(
                    "WITH RECURSIVE r AS (SELECT 1 AS id, '' AS s UNION ALL SELECT id + 1, (SELECT max(secret) FROM {from}) FROM r WHERE id < 3) SELECT id, s FROM r"
                ),
            ),
        ] {
            let name = format!("lab.chemistry.made_{kind}{at}");
            lab.update("sam", &format!("CREATE TABLE {name} AS {query}"))
                .await
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            assert!(lab.query("sam", &format!("SELECT s FROM {name}")).await.is_ok());
            let refused = lab.query("dee", &format!("SELECT s FROM {name}")).await;
            assert!(refused.is_err(), "{query}: {refused:?}");
        }
        let view = format!("lab.chemistry.view_{at}");
        lab.update(
            "sam",
            &format!("CREATE MATERIALIZED VIEW {view} REFRESH ON DEMAND AS SELECT id, secret AS s FROM {from}"),
        )
        .await
        .unwrap();
        assert!(
            lab.query("dee", &format!("SELECT s FROM {view}")).await.is_err(),
            "{from}"
        );
        // Rows that are there are not filled with it.
        for sql in [
            format!("INSERT INTO lab.chemistry.target SELECT id, secret FROM {from}"),
            format!("UPDATE lab.chemistry.target SET s = (SELECT max(secret) FROM {from})"),
            format!(
                "MERGE INTO lab.chemistry.target AS t USING {from} AS p ON t.id = p.id WHEN MATCHED THEN UPDATE SET s = p.secret"
            ),
        ] {
            let refused = lab.update("sam", &sql).await.unwrap_err();
            assert!(refused.contains("which would open them to others"), "{sql}: {refused}");
        }
        let library = format!("lab.chemistry.library_{at}");
        lab.update(
            "sam",
            &format!("CREATE VIRTUAL LIBRARY {library} FROM (SELECT secret AS a FROM {from}) CROSS (SELECT id AS b FROM lab.chemistry.target)"),
        )
        .await
        .unwrap();
        assert_eq!(lab.number("sam", &format!("SELECT count(a) FROM {library}")).await, 1);
        let refused = lab.query("dee", &format!("SELECT * FROM {library}")).await.unwrap_err();
        assert!(refused.contains("not found"), "{refused}");
    }
    // What has no tag gives none, and a name of the statement's own is no table's.
    for (name, query) in [
        ("free", "SELECT id, note AS s FROM plain"),
        (
            "shadow",
            "WITH pt AS (SELECT 1 AS id, 'free' AS secret) SELECT id, secret AS s FROM pt",
        ),
    ] {
        lab.update("sam", &format!("CREATE TABLE lab.chemistry.{name} AS {query}"))
            .await
            .unwrap();
        assert!(
            lab.query("dee", &format!("SELECT s FROM lab.chemistry.{name}"))
                .await
                .is_ok()
        );
    }
    let plain = "INSERT INTO lab.chemistry.target SELECT id, note FROM plain";
    assert_eq!(lab.update("sam", plain).await.unwrap(), 1);
}

#[tokio::test]
async fn who_watches_a_bare_name_needs_the_grant_and_is_accounted_for() {
    let lab = with_personal().await;
    for from in NAMES {
        for sql in [
            format!("CREATE REPORT chemistry.daily AS SELECT id, secret FROM {from} EVERY 1 DAY NOTIFY sam BY hook"),
            format!(
                "CREATE ALERT odd ON lab.chemistry.target WHEN id > (SELECT max(id) FROM {from}) NOTIFY sam BY hook"
            ),
        ] {
            let refused = lab.update("sam", &sql).await.unwrap_err();
            assert!(refused.contains("may not alert lab/public/pt"), "{sql}: {refused}");
        }
        lab.query("sam", &format!("SELECT secret FROM {from} WHERE 3 = 3"))
            .await
            .unwrap();
        let noted = format!(
            "SELECT count(*) FROM system.audit WHERE principal = 'sam' AND statement LIKE '%FROM {from} WHERE%' AND array_has(columns, 'lab.public.pt/secret')"
        );
        lab.until("ada", &noted, |answer| {
            answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
        })
        .await;
    }
    // What is read under its own grant is refused for another reason, if at all: there is no such channel.
    let own = "CREATE REPORT chemistry.daily AS SELECT id FROM lab.chemistry.target EVERY 1 DAY NOTIFY sam BY hook";
    let refused = lab.update("sam", own).await.unwrap_err();
    assert!(!refused.contains("may not"), "{refused}");
}

#[tokio::test]
async fn views_and_models_of_a_bare_name_know_their_sources() {
    let lab = lab::empty(|config| config);
    for sql in [
        "CREATE TABLE lab.public.gr AS SELECT 1 AS id",
        "CREATE TABLE lab.public.mt AS SELECT value AS x, value % 7 AS z, value * 2.5 AS y FROM generate_series(1, 80)",
        "CREATE MATERIALIZED VIEW lab.chemistry.gv REFRESH ON CHANGE AS SELECT id FROM gr",
        "CREATE MATERIALIZED VIEW lab.chemistry.gj REFRESH ON CHANGE AS SELECT a.id FROM gr a JOIN lab.public.gr b ON a.id = b.id",
        "CREATE MODEL lab.chemistry.bm OPTIONS (target = 'y', time_budget_s = 1) AS SELECT x, z, y FROM mt",
        "INSERT INTO lab.public.gr VALUES (2), (3)",
    ] {
        lab.update("ada", sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for view in ["gv", "gj"] {
        lab.until(
            "ada",
            &format!("SELECT count(*) FROM lab.chemistry.{view}"),
            lab::shows(3),
        )
        .await;
    }
    let learnt = "SELECT count(*) FROM system.lineage WHERE source_name = 'public.mt' AND target_kind = 'model' AND target_name = 'chemistry.bm'";
    assert!(lab.number("ada", learnt).await > 0);
    let card = lab.text("ada", "SELECT * FROM model_card('lab.chemistry.bm')").await;
    assert!(card.contains("public.mt"), "{card}");
}
