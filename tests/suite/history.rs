//! What came into tables and left them, older rows brought back, files let out of quarantine, and the lab told as metadata.

use std::process::Command;

use serde_json::Value;

use crate::lab::{self, BINARY, Server};

const TABLE: &str = "lab.chemistry.runs";

/// Runs with an operator and, of version 1 on, rows that ana's filter hides.
async fn with_runs() -> Server {
    let lab = lab::empty(|config| config);
    let filters = lab.dir.join("policies/filters.toml");
    let text = std::fs::read_to_string(&filters).unwrap();
    let few = "\n[filter.few]\ntable = \"lab/chemistry/runs\"\nsql = \"run < 100\"\n";
    std::fs::write(&filters, text + few).unwrap();
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    let attached = "\np2, role:lab_analyst, chemistry, lab/chemistry/runs, permissive, few\n";
    std::fs::write(&policy, text + attached).unwrap();
    lab.update(
        "ada",
        &format!("CREATE TABLE {TABLE} (run BIGINT, yield DOUBLE, operator VARCHAR)"),
    )
    .await
    .unwrap();
    for values in ["(1, 10.0, 'x'), (2, 20.0, 'x'), (2, 20.0, 'x')", "(101, 90.0, 'y')"] {
        lab.update("ada", &format!("INSERT INTO {TABLE} VALUES {values}"))
            .await
            .unwrap();
    }
    let filtered = format!("SELECT count(*) FROM {TABLE}");
    lab.until("ana", &filtered, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 3 "))
    })
    .await;
    lab
}

async fn changes(lab: &Server, who: &str, call: &str) -> Vec<String> {
    let sql = format!("SELECT _change_type, run, yield FROM table_changes({call}) ORDER BY 1, 2, 3");
    let text = lab.text(who, &sql).await;
    let rows = text.lines().skip(3).filter(|line| line.starts_with('|'));
    rows.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
    })
    .collect()
}

#[tokio::test]
async fn changes_are_told_row_by_row_and_hidden_ones_are_none() {
    let lab = with_runs().await;
    let whole = format!("'{TABLE}', 0");
    assert_eq!(
        changes(&lab, "ada", &whole).await,
        ["insert 1 10.0", "insert 2 20.0", "insert 2 20.0", "insert 101 90.0"]
    );
    assert_eq!(
        changes(&lab, "ana", &whole).await,
        ["insert 1 10.0", "insert 2 20.0", "insert 2 20.0"]
    );
    // Of a row that is there twice one goes; another changes; a hidden one changes and one visible column of it.
    lab.update("ada", &format!("UPDATE {TABLE} SET yield = 11.0 WHERE run = 1"))
        .await
        .unwrap();
    lab.update("ada", &format!("UPDATE {TABLE} SET yield = 95.0 WHERE run = 101"))
        .await
        .unwrap();
    let two = changes(&lab, "ada", &format!("'{TABLE}', 2")).await;
    assert_eq!(
        two,
        ["delete 1 10.0", "delete 101 90.0", "insert 1 11.0", "insert 101 95.0"]
    );
    assert_eq!(
        changes(&lab, "ana", &format!("'{TABLE}', 2, 4")).await,
        ["delete 1 10.0", "insert 1 11.0"]
    );
    // What only a hidden row or a hidden column did is no change.
    assert!(changes(&lab, "ana", &format!("'{TABLE}', 3, 4")).await.is_empty());
    lab.update("ada", &format!("UPDATE {TABLE} SET operator = 'z'"))
        .await
        .unwrap();
    assert!(changes(&lab, "ana", &format!("'{TABLE}', 4")).await.is_empty());
    assert_eq!(changes(&lab, "ada", &format!("'{TABLE}', 4")).await.len(), 8);
    // Data files written anew are no change.
    let version = lab
        .number(
            "ada",
            "SELECT max(version) FROM system.commits WHERE table_name = 'runs'",
        )
        .await;
    lab.update("ada", &format!("OPTIMIZE {TABLE}")).await.unwrap();
    assert!(changes(&lab, "ada", &format!("'{TABLE}', {version}")).await.is_empty());
    // Commit by commit: what came and went is told twice, and what is hidden is no change here either.
    let by_commit = async |who: &str, call: &str| {
        let sql = format!(
            "SELECT _commit_version, _change_type, run, yield FROM table_changes('{TABLE}', {call}, 'commits') ORDER BY 1, 2, 3, 4"
        );
        let batches = lab.query(who, &sql).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        let rows = text.lines().skip(3).filter(|line| line.starts_with('|'));
        rows.map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        by_commit("ada", "1, 4").await,
        [
            "2 insert 101 90.0",
            "3 delete 1 10.0",
            "3 insert 1 11.0",
            "4 delete 101 90.0",
            "4 insert 101 95.0"
        ]
    );
    assert_eq!(by_commit("ana", "1, 4").await, ["3 delete 1 10.0", "3 insert 1 11.0"]);
    assert_eq!(changes(&lab, "ada", &format!("'{TABLE}', 1, 4")).await.len(), 3);
    let told = format!(
        "SELECT count(DISTINCT _commit_timestamp) AS n, min(_commit_timestamp) > now() - INTERVAL '1 day' AND max(_commit_timestamp) <= now() AS ok, arrow_typeof(min(_commit_timestamp)) AS t FROM table_changes('{TABLE}', 1, 4, 'commits')"
    );
    let told = lab.text("ada", &told).await;
    assert!(
        told.contains("| 3 ") && told.contains("| true ") && told.contains("Timestamp("),
        "{told}"
    );
    for (who, call, says) in [
        ("ada", "3, 20", "there is no version"),
        ("ana", "1, 4", "operator"),
        ("guest", "1, 4", "not found"),
    ] {
        let sql = format!("SELECT operator FROM table_changes('{TABLE}', {call}, 'commits')");
        let error = lab.query(who, &sql).await.unwrap_err();
        assert!(error.contains(says), "{who}: {error}");
    }
    // One of two equal rows goes.
    lab.update("ada", &format!("RESTORE TABLE {TABLE} TO VERSION AS OF 1"))
        .await
        .unwrap();
    assert_eq!(changes(&lab, "ana", &format!("'{TABLE}', 0")).await.len(), 3);
    for (who, sql, says) in [
        (
            "ada",
            format!("SELECT * FROM table_changes('{TABLE}', 99)"),
            "no version 99",
        ),
        (
            "ana",
            format!("SELECT operator FROM table_changes('{TABLE}', 0)"),
            "operator",
        ),
        (
            "ana",
            format!("SELECT * FROM table_changes('{TABLE}', 0) WHERE 1 / (run - 101) = 5"),
            "",
        ),
    ] {
        let answer = lab.query(who, &sql).await;
        match says {
            // The hidden row's number divides nothing.
            "" => assert!(answer.is_ok(), "{answer:?}"),
            says => assert!(
                answer.as_ref().is_err_and(|error| error.contains(says)),
                "{sql}: {answer:?}"
            ),
        }
    }
    let hidden = lab
        .query("guest", &format!("SELECT * FROM table_changes('{TABLE}', 0)"))
        .await
        .unwrap_err();
    let absent = lab
        .query("guest", "SELECT * FROM table_changes('lab.chemistry.runx', 0)")
        .await
        .unwrap_err();
    assert_eq!(hidden.replace("runs", "X"), absent.replace("runx", "X"));
}

#[tokio::test]
async fn versions_are_listed_for_whoever_sees_the_whole_table() {
    let lab = with_runs().await;
    lab.update("ada", &format!("DELETE FROM {TABLE} WHERE run = 1"))
        .await
        .unwrap();
    lab.update("ada", &format!("OPTIMIZE {TABLE}")).await.unwrap();
    let told = async |sql: &str| {
        let text = lab.text("ada", sql).await;
        let rows = text.lines().skip(3).filter(|line| line.starts_with('|'));
        rows.map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    let columns = "version, operation, rows_added, files_added, files_removed";
    let history = format!("SELECT {columns} FROM table_history('{TABLE}')");
    assert_eq!(
        told(&history).await,
        [
            "4 OPTIMIZE 0 1 2",
            "3 DELETE 2 1 1",
            "2 WRITE 1 1 0",
            "1 WRITE 3 1 0",
            "0 WRITE 0 0 0"
        ]
    );
    let two = format!("SELECT {columns} FROM table_history('{TABLE}', 2)");
    assert_eq!(told(&two).await, ["4 OPTIMIZE 0 1 2", "3 DELETE 2 1 1"]);
    let times = format!(
        "SELECT count(*) FROM table_history('{TABLE}') WHERE committed_at > now() - INTERVAL '1 day' AND committed_at <= now()"
    );
    assert_eq!(lab.number("ada", &times).await, 5);
    let described = lab.text("ada", &format!("DESCRIBE HISTORY {TABLE}")).await;
    assert_eq!(described.matches("WRITE").count(), 3, "{described}");
    // What was there before the table got its columns of today is told to an administrator only.
    let counts = format!("SELECT count(*) FROM table_history('{TABLE}')");
    assert_eq!(lab.number("sam", &counts).await, 5);
    lab.update(
        "ada",
        &format!("ALTER TABLE {TABLE} ALTER COLUMN operator SET TAGS (unit = 'none')"),
    )
    .await
    .unwrap();
    assert_eq!(
        (lab.number("sam", &counts).await, lab.number("ada", &counts).await),
        (1, 6)
    );
    let removed = format!("SELECT count(files_removed) FROM table_history('{TABLE}')");
    assert_eq!(
        (lab.number("sam", &removed).await, lab.number("ada", &removed).await),
        (0, 6)
    );
    // Every version that is listed can be read.
    for version in 0..=4 {
        let sql = format!("SELECT count(*) FROM {TABLE} FOR VERSION AS OF {version}");
        assert_eq!(lab.number("ada", &sql).await, [0, 3, 4, 3, 3][version], "{version}");
    }
    // A commit counts hidden rows, and a hidden table is none.
    for sql in [format!("DESCRIBE HISTORY {TABLE}"), history] {
        let error = lab.query("ana", &sql).await.unwrap_err();
        assert!(error.contains("only a part"), "{error}");
        let hidden = lab.query("guest", &sql).await.unwrap_err();
        let absent = lab.query("guest", &sql.replace("runs", "runx")).await.unwrap_err();
        assert_eq!(hidden.replace("runs", "X"), absent.replace("runx", "X"));
    }
    for wrong in ["'lab.chemistry.runs', 0", "'lab.chemistry.runs', 1, 2", "run", "'runs'"] {
        assert!(
            lab.query("ada", &format!("SELECT * FROM table_history({wrong})"))
                .await
                .is_err(),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn older_rows_are_brought_back_by_whoever_may_change_them_all() {
    let lab = with_runs().await;
    let sum = format!("SELECT sum(run) FROM {TABLE}");
    let back = format!("RESTORE TABLE {TABLE} TO VERSION AS OF 1");
    for (who, says) in [("ana", "may not"), ("dee", "may not"), ("guest", "not found")] {
        let error = lab.update(who, &back).await.unwrap_err();
        assert!(error.contains(says), "{who}: {error}");
    }
    assert_eq!(lab.number("ada", &sum).await, 106);
    // A tag of today closes a column, and stays.
    lab.update(
        "ada",
        &format!("ALTER TABLE {TABLE} ALTER COLUMN operator SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    assert_eq!(lab.update("sam", &back).await.unwrap(), 1);
    assert_eq!(lab.number("ada", &sum).await, 5);
    assert!(
        lab.query("dee", &format!("SELECT operator FROM {TABLE}"))
            .await
            .is_err()
    );
    // It is a version like any other: the rows before it can be brought back, by time as well.
    lab.update("ada", &format!("RESTORE {TABLE} TO VERSION AS OF 2"))
        .await
        .unwrap();
    assert_eq!(lab.number("ada", &sum).await, 106);
    let version = "SELECT max(version) FROM system.commits WHERE table_name = 'runs'";
    let before = lab.number("ada", version).await;
    lab.update("ada", &format!("RESTORE TABLE {TABLE} TO TIMESTAMP AS OF '2099-01-01'"))
        .await
        .unwrap();
    assert_eq!(
        lab.number("ada", version).await,
        before,
        "there was nothing to bring back"
    );
    for (sql, says) in [
        (format!("RESTORE TABLE {TABLE} TO VERSION AS OF 99"), "no version 99"),
        (
            format!("RESTORE TABLE {TABLE} TO TIMESTAMP AS OF '2001-01-01'"),
            "not there yet",
        ),
        (
            "RESTORE TABLE lab.chemistry.none TO VERSION AS OF 0".to_owned(),
            "not found",
        ),
        (
            "RESTORE TABLE lab.system.files TO VERSION AS OF 0".to_owned(),
            "server's own",
        ),
    ] {
        let error = lab.update("ada", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    // Whom a filter hides rows from may not, whatever else he may.
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(
        &policy,
        text.replace(
            "role:lab_analyst, chemistry, lab/chemistry/runs, permissive",
            "role:lab_scientist, chemistry, lab/chemistry/runs, restrictive",
        ),
    )
    .unwrap();
    lab.until("sam", &format!("SELECT count(*) FROM {TABLE}"), |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 3 "))
    })
    .await;
    let error = lab.update("sam", &back).await.unwrap_err();
    assert!(error.contains("row filter"), "{error}");
}

#[tokio::test]
async fn rows_of_landed_files_come_back_and_no_file_is_loaded_again() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/a.csv", "run,yield\n1,10\n");
    let sum = format!("SELECT sum(run) FROM {TABLE}");
    lab.until("ada", &sum, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    // A column that comes later, and one whose type widens.
    lab.land("chemistry/runs/b.csv", "run,yield,note\n2,20.5,hot\n");
    lab.until("ada", &sum, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 3 "))
    })
    .await;
    lab.update("ada", &format!("RESTORE TABLE {TABLE} TO VERSION AS OF 0"))
        .await
        .unwrap();
    assert_eq!(lab.number("ada", &sum).await, 1);
    assert_eq!(lab.number("ada", &format!("SELECT count(note) FROM {TABLE}")).await, 0);
    // A later file comes in, the one whose rows went stays out.
    lab.land("chemistry/runs/c.csv", "run,yield\n4,40\n");
    lab.until("ada", &sum, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 5 "))
    })
    .await;
}

#[tokio::test]
async fn a_file_in_quarantine_is_released_or_left_alone_by_whoever_may() {
    let lab = lab::empty(|config| config);
    lab.land("chemistry/runs/bad.csv", b"%PDF-1.7 no table");
    lab.land("stray.csv", "a,b\n1,2\n");
    let listed = "SELECT path, sample FROM system.quarantine ORDER BY 1";
    lab.until("ada", listed, |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("%PDF-1.7") && text.contains("stray.csv"))
    })
    .await;
    let ignore = "IGNORE QUARANTINE 'chemistry/runs/bad.csv'";
    for who in ["sam", "ana", "guest"] {
        // The same for a file that is there and one that is not.
        let (there, absent) = (
            lab.update(who, ignore).await.unwrap_err(),
            lab.update(who, "IGNORE QUARANTINE 'chemistry/runs/none.csv'")
                .await
                .unwrap_err(),
        );
        assert!(there.contains("may not maintain") && there == absent, "{there}");
    }
    assert_eq!(lab.update("ada", ignore).await.unwrap(), 1);
    let status = |path: &str| format!("SELECT status, reason FROM system.files WHERE path = '{path}'");
    lab.until("ada", &status("chemistry/runs/bad.csv"), |answer| {
        answer
            .as_ref()
            .is_ok_and(|text| text.contains("ignored") && text.contains("ada said"))
    })
    .await;
    // Released, it is read again: and is in quarantine again, as it is no better than before.
    assert_eq!(
        lab.update("ada", "RELEASE QUARANTINE 'chemistry/runs/bad.csv'")
            .await
            .unwrap(),
        1
    );
    lab.land("chemistry/runs/good.csv", "run,yield\n1,10\n");
    lab.until("ada", &status("chemistry/runs/bad.csv"), |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("quarantined"))
    })
    .await;
    let error = lab
        .update("ada", "RELEASE QUARANTINE 'chemistry/runs/good.csv'")
        .await
        .unwrap_err();
    assert!(error.contains("not in quarantine"), "{error}");
    // On the command line, for whoever may write the lake's files.
    let run = |words: &[&str]| {
        let config = lab.dir.join("labhouse.toml");
        let done = Command::new(BINARY)
            .arg("quarantine")
            .args(words)
            .arg("--config")
            .arg(config)
            .output()
            .unwrap();
        (
            done.status.success(),
            String::from_utf8(done.stdout).unwrap() + &*String::from_utf8_lossy(&done.stderr),
        )
    };
    let (done, text) = run(&["list"]);
    assert!(done && text.contains("stray.csv\tit needs a schema folder"), "{text}");
    assert!(run(&["ignore", "stray.csv"]).0);
    let (done, text) = run(&["list", "--json"]);
    assert!(
        done && !text.contains("stray.csv") && text.contains("\"sample\":\"%PDF"),
        "{text}"
    );
    assert!(run(&["release", "stray.csv"]).0);
    let (done, text) = run(&["release", "none.csv"]);
    assert!(!done && text.contains("not in quarantine"), "{text}");
}

#[tokio::test]
async fn the_catalog_is_told_as_linked_data_of_what_one_sees() {
    let lab = lab::shared();
    let http = lab.http.clone().unwrap();
    let get = |who: &str| {
        let done = Command::new("curl")
            .args(["-s", "-u", &format!("{who}:{who}-demo"), &format!("{http}/api/catalog")])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let dataset = |document: &Value, name: &str| {
        let all = document["dcat:dataset"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["dct:identifier"] == name)
    };
    let columns = |dataset: &Value| -> Vec<String> {
        let columns = dataset["csvw:tableSchema"]["csvw:column"].as_array().unwrap();
        columns
            .iter()
            .map(|column| column["csvw:name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (ada, ana, guest) = (get("ada"), get("ana"), get("guest"));
    assert_eq!(ada["@type"], "dcat:Catalog");
    assert_eq!(ada["@context"]["dcat"], "http://www.w3.org/ns/dcat#");
    let whole = dataset(&ada, "lab.chemistry.reactions").unwrap();
    assert!(
        whole["dcat:version"].is_string() && whole["dct:modified"].is_string(),
        "{whole}"
    );
    let sources = whole["prov:wasDerivedFrom"].to_string();
    assert!(
        sources.contains("chemistry.protocols") && sources.contains("plate_readings"),
        "{sources}"
    );
    // A part of it says no version, names no hidden column, and no source that is hidden.
    let part = dataset(&ana, "lab.chemistry.reactions").unwrap();
    assert!(
        part.get("dcat:version").is_none() && part.get("dct:modified").is_none(),
        "{part}"
    );
    assert!(columns(&whole).contains(&"operator".to_owned()) && !columns(&part).contains(&"operator".to_owned()));
    assert!(
        !part["prov:wasDerivedFrom"].to_string().contains("plate_readings"),
        "{part}"
    );
    assert!(dataset(&ana, "lab.chemistry.plate_readings").is_none());
    assert!(dataset(&ada, "lab.system.audit").is_none());
    assert_eq!(guest["dcat:dataset"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn facets_count_what_one_sees_and_narrow_a_search() {
    let lab = lab::shared();
    let count = |who: &'static str, facet: &str, value: &str| {
        let sql = format!(
            "SELECT coalesce(sum(hits), 0) FROM search_facets('operator') WHERE facet = '{facet}' AND value = '{value}'"
        );
        let lab = &lab;
        async move { lab.number(who, &sql).await }
    };
    assert!(count("ada", "kind", "column").await > 0);
    assert!(count("ada", "table", "protocols").await > 0);
    // Columns of that name are hidden from her.
    assert_eq!(count("guest", "kind", "column").await, 0);
    let named =
        "SELECT count(*) FROM search_catalog('operator kind:column schema:chemistry') WHERE column_name = 'operator'";
    assert!(lab.number("ada", named).await > 0);
    assert_eq!(lab.number("ana", named).await, 0);
    let other = "SELECT count(*) FROM search_catalog('operator schema:chemistry') WHERE table_schema <> 'chemistry'";
    assert_eq!(lab.number("ada", other).await, 0);
    let error = lab
        .update(
            "sam",
            "CREATE TABLE lab.chemistry.kept AS SELECT * FROM search_facets('yield')",
        )
        .await;
    assert!(error.unwrap_err().contains("for looking"));
}

#[tokio::test]
async fn the_owner_of_a_table_is_told_with_it() {
    let lab = lab::empty(|text| text);
    lab.update("ada", "CREATE TABLE lab.chemistry.stock AS SELECT 1 AS lot")
        .await
        .unwrap();
    let get = |path: &str| {
        let address = format!("{}{path}", lab.http.as_deref().unwrap());
        let done = Command::new("curl")
            .args(["-s", "-u", "ada:ada-demo", &address])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let contact = || get("/api/catalog")["dcat:dataset"][0]["dcat:contactPoint"].clone();
    assert_eq!(contact(), Value::Null);
    let owner = || {
        let tables = get("/api/tables")["tables"].as_array().unwrap().clone();
        tables.into_iter().find(|one| one["name"] == "stock").unwrap()["owner"].clone()
    };
    let hits = "SELECT count(*) FROM search_catalog('stock tag:owner=ben')";
    assert_eq!(lab.number("ada", hits).await, 0);
    lab.update("ada", "ALTER TABLE lab.chemistry.stock SET TAGS (owner = 'ben')")
        .await
        .unwrap();
    assert_eq!(contact()["schema:name"], "ben");
    assert_eq!(owner(), "ben");
    assert_eq!(lab.number("ada", hits).await, 1);
}

#[tokio::test]
async fn a_table_made_anew_has_no_past_of_another() {
    let lab = lab::empty(|config| config);
    for (name, anew) in [
        ("dropped", &["DROP TABLE", "CREATE TABLE"][..]),
        ("replaced", &["CREATE OR REPLACE TABLE"][..]),
    ] {
        let table = format!("lab.chemistry.{name}");
        for sql in [
            format!("CREATE TABLE {table} AS SELECT 1 AS id, 'tom.berger' AS op"),
            format!("ALTER TABLE {table} ALTER COLUMN op SET TAGS (pii = true)"),
        ] {
            lab.update("ada", &sql).await.unwrap();
        }
        let then = this_moment(&lab).await;
        for words in anew {
            let query = match words.starts_with("CREATE") {
                true => " AS SELECT 2 AS id, 'none' AS op",
                false => "",
            };
            lab.update("sam", &format!("{words} {table}{query}")).await.unwrap();
        }
        lab.update("sam", &format!("INSERT INTO {table} VALUES (3, 'new')"))
            .await
            .unwrap();
        let newest = format!("SELECT max(version) FROM system.commits WHERE table_name = '{name}'");
        let newest = lab.number("ada", &newest).await;
        for who in ["ana", "sam", "ada"] {
            for (sql, says) in [
                (format!("SELECT * FROM {table} FOR VERSION AS OF 0"), "made anew"),
                (format!("SELECT * FROM {table} FOR VERSION AS OF 1"), "made anew"),
                (
                    format!("SELECT * FROM {table} FOR TIMESTAMP AS OF '{then}'"),
                    "not there yet",
                ),
                (format!("SELECT * FROM table_changes('{table}', 0)"), "made anew"),
                (
                    format!("SELECT * FROM table_changes('{table}', 0, {newest}, 'commits')"),
                    "made anew",
                ),
            ] {
                let error = lab.query(who, &sql).await.unwrap_err();
                assert!(error.contains(says) && !error.contains("tom"), "{who}: {sql}: {error}");
            }
        }
        for who in ["sam", "ada"] {
            let back = format!("RESTORE TABLE {table} TO VERSION AS OF 0");
            let error = lab.update(who, &back).await.unwrap_err();
            assert!(error.contains("made anew"), "{who}: {error}");
        }
        // Its own past is there as ever, also when it was away meanwhile.
        for sql in [format!("DROP TABLE {table}"), format!("UNDROP TABLE {table}")] {
            lab.update("sam", &sql).await.unwrap();
        }
        let first = newest - 1;
        let count = format!("SELECT count(*) FROM {table} FOR VERSION AS OF {first}");
        assert_eq!(lab.number("ana", &count).await, 1);
        let came = format!("SELECT sum(id) FROM table_changes('{table}', {first})");
        assert_eq!(lab.number("ana", &came).await, 3);
        lab.update("sam", &format!("RESTORE TABLE {table} TO VERSION AS OF {first}"))
            .await
            .unwrap();
        assert_eq!(lab.number("ana", &format!("SELECT sum(id) FROM {table}")).await, 2);
    }
    // A view that is made again stays the table it was.
    for sql in [
        "CREATE MATERIALIZED VIEW lab.chemistry.followed REFRESH ON DEMAND AS SELECT id FROM lab.chemistry.dropped",
        "INSERT INTO lab.chemistry.dropped VALUES (7, 'x')",
        "REFRESH MATERIALIZED VIEW lab.chemistry.followed FULL",
    ] {
        lab.update("sam", sql).await.unwrap();
    }
    let counts = "SELECT (SELECT count(*) FROM lab.chemistry.followed) * 10 + (SELECT count(*) FROM lab.chemistry.followed FOR VERSION AS OF 0)";
    assert_eq!(lab.number("sam", counts).await, 21);
}

/// This moment, as the server has it.
async fn this_moment(lab: &Server) -> String {
    let told = lab
        .text("ada", "SELECT to_char(now(), '%Y-%m-%dT%H:%M:%S%.6fZ') AS t")
        .await;
    let line = told.lines().nth(3).unwrap();
    line.trim_matches(['|', ' ']).to_owned()
}

#[tokio::test]
async fn who_sees_a_table_in_part_counts_no_commits_of_others() {
    let lab = with_runs().await;
    let asked = [
        format!("SELECT count(*), min(run), max(run) FROM {TABLE} FOR VERSION AS OF 3"),
        format!("SELECT count(*), min(run), max(run) FROM {TABLE} FOR VERSION AS OF 50"),
        format!("SELECT count(*) FROM table_changes('{TABLE}', 3)"),
        format!("SELECT count(*) FROM table_changes('{TABLE}', 1, 20, 'commits')"),
        format!("SELECT count(*) FROM {TABLE} FOR TIMESTAMP AS OF '2001-01-01'"),
    ];
    let told = async || {
        let mut all = Vec::new();
        for sql in &asked {
            let answer = lab.query("ana", sql).await.map(|batches| {
                arrow::util::pretty::pretty_format_batches(&batches)
                    .unwrap()
                    .to_string()
            });
            all.push(answer);
        }
        all
    };
    let before = told().await;
    assert!(before[0].as_ref().unwrap().contains("| 3 "), "{before:?}");
    assert_eq!(before[0], before[1]);
    let error = before[4].as_ref().unwrap_err();
    assert!(
        error.contains("not there yet") && !error.contains("version 2"),
        "{error}"
    );
    for _ in 0..3 {
        lab.update("ada", &format!("UPDATE {TABLE} SET yield = yield + 1 WHERE run = 101"))
            .await
            .unwrap();
    }
    assert_eq!(told().await, before);
    // Whoever sees all of it is told which there is.
    let error = lab.query("ada", &asked[1]).await.unwrap_err();
    assert!(
        error.contains("its newest version is 5, there is no version 50") && !error.contains("take these rows"),
        "{error}"
    );
}

#[tokio::test]
async fn what_stands_for_an_older_version_has_no_name_for_others() {
    let lab = with_runs().await;
    lab.update("ada", &format!("UPDATE {TABLE} SET yield = 95.0 WHERE run = 101"))
        .await
        .unwrap();
    let changes = format!("SELECT count(*) FROM table_changes('{TABLE}', 2)");
    assert_eq!(lab.number("ana", &changes).await, 0);
    for name in [
        "\"runs@now-2\"",
        "\"runs@2-now\"",
        "`runs@now-2`",
        "'runs@now-2'",
        "\"RUNS@now-2\"",
    ] {
        for who in ["ana", "ada"] {
            let sql = format!("{changes} UNION ALL SELECT count(*) FROM lab.chemistry.{name}");
            let error = lab.query(who, &sql).await.unwrap_err();
            assert!(error.contains("not found"), "{who}: {sql}: {error}");
        }
    }
    let sql = format!("SELECT count(*) FROM {TABLE} FOR VERSION AS OF 1 AS a, lab.chemistry.runs@1 AS b");
    assert!(lab.query("ana", &sql).await.is_err());
    // The same letters as a value are no name, where nothing is called so.
    let sql = format!("SELECT count(*) FROM table_changes('{TABLE}', 2) WHERE operator = 'runs@now-3'");
    assert_eq!(lab.number("ada", &sql).await, 0);
}
