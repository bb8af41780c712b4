//! Policies through the server: who sees what, and how edits act.

use crate::lab;

#[tokio::test]
async fn absent_and_hidden_look_the_same() {
    let lab = lab::shared();
    for (hidden, absent) in [
        (
            "SELECT operator FROM lab.chemistry.protocols",
            "SELECT operatox FROM lab.chemistry.protocols",
        ),
        (
            "SELECT * FROM lab.chemistry.protocols WHERE operator = 'x'",
            "SELECT * FROM lab.chemistry.protocols WHERE operatox = 'x'",
        ),
    ] {
        let hidden = lab.query("ana", hidden).await.unwrap_err();
        let absent = lab.query("ana", absent).await.unwrap_err();
        assert_eq!(hidden.replace("operator", "X"), absent.replace("operatox", "X"));
    }
    let hidden = lab
        .query("guest", "SELECT * FROM lab.chemistry.protocols")
        .await
        .unwrap_err();
    let absent = lab
        .query("guest", "SELECT * FROM lab.chemistry.protocolx")
        .await
        .unwrap_err();
    assert_eq!(hidden.replace("protocols", "X"), absent.replace("protocolx", "X"));
    assert_eq!(
        lab.number(
            "guest",
            "SELECT count(*) FROM information_schema.tables WHERE table_schema <> 'information_schema'"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn a_reader_under_policy_cannot_probe_what_is_hidden() {
    let lab = lab::shared();
    let statuses = "SELECT count(DISTINCT status) FROM lab.chemistry.reactions";
    assert!(lab.number("sam", statuses).await > 1);
    assert_eq!(lab.number("ana", statuses).await, 1);
    // A filter that would fail on any hidden row must not fail.
    let probe =
        "SELECT count(*) FROM lab.chemistry.reactions WHERE 1 / (CASE WHEN status = 'released' THEN 1 ELSE 0 END) = 1";
    assert!(
        lab.query("sam", probe).await.is_err(),
        "the probe works where rows are visible"
    );
    assert!(lab.number("ana", probe).await > 0);
    let cast = "SELECT count(*) FROM lab.chemistry.reactions WHERE CAST(replace(status, 'released', '1') AS INT) = 1";
    assert!(lab.query("sam", cast).await.is_err());
    assert!(lab.number("ana", cast).await > 0);
    // The mask is all there is of a masked column.
    let masked = "SELECT count(*) FROM (SELECT DISTINCT scaffold_smiles FROM lab.chemistry.reactions) WHERE length(scaffold_smiles) = 64";
    assert!(lab.number("ana", masked).await > 0);
    let clear = lab
        .text("sam", "SELECT max(scaffold_smiles) m FROM lab.chemistry.reactions")
        .await;
    let guess = clear.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned();
    assert_eq!(
        lab.number(
            "ana",
            &format!("SELECT count(*) FROM lab.chemistry.reactions WHERE scaffold_smiles = '{guess}'")
        )
        .await,
        0
    );
}

#[tokio::test]
async fn explain_shows_nothing_from_below_the_barrier() {
    let lab = lab::shared();
    for explain in [
        "EXPLAIN",
        "EXPLAIN VERBOSE",
        "EXPLAIN ANALYZE",
        "EXPLAIN ANALYZE VERBOSE",
    ] {
        for (who, table) in [("ana", "reactions"), ("sam", "plate_readings")] {
            let text = lab
                .text(
                    who,
                    &format!(
                        "{explain} SELECT count(*), min(yield_pct) FROM lab.chemistry.{table} WHERE yield_pct > 50"
                    ),
                )
                .await;
            for word in [
                "parquet",
                "file_groups",
                "tables/",
                "DataSourceExec",
                "row_groups",
                "released",
                "secret",
            ] {
                assert!(!text.contains(word), "{explain} as {who} shows {word}:\n{text}");
            }
        }
    }
}

#[tokio::test]
async fn edits_act_within_moments_and_bad_ones_never() {
    let lab = lab::own();
    let path = lab.dir.join("policies/policy.csv");
    let good = std::fs::read_to_string(&path).unwrap();
    let count = "SELECT count(*) FROM lab.chemistry.reagent_lots";
    assert!(lab.query("guest", count).await.is_err());

    let grant = "g, user:guest, role:visitor, chemistry\np, role:visitor, chemistry, lab, use, allow\np, role:visitor, chemistry, lab/chemistry, use, allow\np, role:visitor, chemistry, lab/chemistry/reagent_lots/**, use|select, allow\n";
    std::fs::write(&path, format!("{good}\n{grant}")).unwrap();
    lab.until("guest", count, Result::is_ok).await;

    // A broken set keeps the old one in force and says so, with file and line.
    std::fs::write(
        &path,
        format!("{good}\n{grant}p, role:visitor, chemistry, lab/**, select, Deny\n"),
    )
    .unwrap();
    let problem = "SELECT problem FROM system.policies";
    lab.until("ada", problem, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("policy.csv:"))
    })
    .await;
    assert!(lab.query("guest", count).await.is_ok());

    std::fs::write(&path, good).unwrap();
    lab.until("guest", count, Result::is_err).await;
}

#[tokio::test]
async fn a_ticket_is_for_one_person_and_one_set_of_policies() {
    let lab = lab::own();
    let mut sam = lab.client("sam").await;
    let info = sam
        .execute("SELECT count(*) FROM lab.chemistry.reactions".to_owned(), None)
        .await
        .unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert!(sam.do_get(ticket.clone()).await.is_ok());
    let mut guest = lab.client("guest").await;
    assert!(guest.do_get(ticket.clone()).await.is_err());

    let path = lab.dir.join("policies/policy.csv");
    let before = lab.number("ada", "SELECT generation FROM system.policies").await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("{text}\n# reviewed\np, role:lab_scientist, adme, lab/adme/**, select, allow\n"),
    )
    .unwrap();
    lab.until(
        "ada",
        &format!("SELECT count(*) FROM system.policies WHERE generation > {before}"),
        |answer| answer.as_ref().is_ok_and(|text| text.contains("| 1 ")),
    )
    .await;
    let error = sam.do_get(ticket).await.err().unwrap().to_string();
    assert!(error.contains("policies changed"), "{error}");
}

#[tokio::test]
async fn new_tables_are_nobodys_until_granted_and_are_listed() {
    let lab = lab::own();
    // Without the data scientists' grant on everything, which would open the new table to them.
    let path = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let narrowed: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("p, role:data_scientist, *,      lab/**"))
        .collect();
    assert!(narrowed.len() < text.lines().count());
    std::fs::write(&path, narrowed.join("\n")).unwrap();
    lab.until("dee", "SELECT * FROM lab.assay.ic50 LIMIT 1", Result::is_err)
        .await;
    lab.land("neuro/traces/a.csv", "t,v\n1,2\n3,4\n");
    lab.until("ada", "SELECT count(*) FROM lab.neuro.traces", Result::is_ok)
        .await;
    for who in ["sam", "ana", "dee", "guest"] {
        assert!(lab.query(who, "SELECT * FROM lab.neuro.traces").await.is_err(), "{who}");
    }
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM system.ungoverned WHERE table_schema = 'neuro'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn settings_copies_and_side_doors_are_refused() {
    let lab = lab::shared();
    let (count, error) = (
        lab.number("ada", "SELECT count(*) FROM lab.chemistry.reactions").await,
        "refused",
    );
    for sql in [
        "SET datafusion.explain.show_statistics = true",
        "COPY lab.chemistry.reactions TO '/tmp/x.parquet'",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT input_file_name() FROM lab.chemistry.reactions",
        "DROP TABLE lab.chemistry.reactions",
        "CREATE VIEW v AS SELECT 1",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "EXPLAIN COPY lab.chemistry.reactions TO '/tmp/x.parquet'",
        "EXPLAIN DELETE FROM lab.chemistry.reactions",
    ] {
        let read = lab.query("ada", sql).await;
        let update = lab.update("ada", sql).await;
        assert!(read.is_err() && update.is_err(), "{sql} was not {error}");
    }
    // Statements that change rows exist, for those who hold the grant.
    for sql in [
        "DELETE FROM lab.chemistry.reactions",
        "UPDATE lab.chemistry.reactions SET yield_pct = 0",
        "MERGE INTO lab.chemistry.reactions AS t USING (VALUES (1)) AS s (n) ON true WHEN MATCHED THEN DELETE",
        "INSERT INTO lab.chemistry.reactions (status) VALUES ('released')",
    ] {
        for who in ["ana", "dee", "guest"] {
            let read = lab.query(who, sql).await;
            let update = lab.update(who, sql).await;
            assert!(read.is_err() && update.is_err(), "{sql} was not {error} to {who}");
        }
    }
    assert_eq!(
        lab.number("ada", "SELECT count(*) FROM lab.chemistry.reactions").await,
        count
    );
}
