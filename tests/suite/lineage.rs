//! What was made of what, for administrators and for everybody else.

use crate::lab;

#[tokio::test(flavor = "multi_thread")]
async fn lineage_leads_from_files_over_columns_to_models() {
    let lab = lab::shared();
    let count = |condition: &str| format!("SELECT count(*) FROM system.lineage WHERE {condition}");
    for condition in [
        "source_kind = 'file' AND source_name LIKE 'chemistry/plate_readings/%' AND target_name = 'chemistry.plate_readings'",
        "source_kind = 'table' AND source_name = 'chemistry.plate_readings' AND source_column IS NULL AND source_version >= 0 AND target_kind = 'view' AND target_name = 'chemistry.reactions'",
        "source_name = 'chemistry.plate_readings' AND source_column = 'yield_pct' AND target_name = 'chemistry.reactions' AND target_column = 'yield_pct'",
        "source_kind = 'view' AND source_name = 'chemistry.reactions' AND source_column = 'yield_pct' AND target_kind = 'model' AND target_name = 'chemistry.yield_model' AND target_column = 'yield_pct'",
    ] {
        assert!(lab.number("ada", &count(condition)).await > 0, "{condition}");
    }
    let taken_up = count("source_kind = 'file' AND target_name = 'chemistry.plate_readings' AND target_version >= 0");
    assert!(lab.number("ada", &taken_up).await > 0);
    let made = count("target_name = 'chemistry.reactions' AND target_version IS NOT NULL");
    assert!(lab.number("ada", &made).await > 0);
    assert_eq!(lab.number("ana", &made).await, 0, "it counts changes of hidden rows");
    // A column does not come from all that its table comes from.
    let wrong =
        count("target_name = 'chemistry.reactions' AND target_column = 'yield_pct' AND source_column = 'operator'");
    assert_eq!(lab.number("ada", &wrong).await, 0);
    for who in ["dee", "guest"] {
        assert!(lab.query(who, "SELECT * FROM system.lineage").await.is_err(), "{who}");
    }
    // The version of a table counts changes of hidden rows, too: it is told of what is seen whole only.
    let versions = |whole: &str| {
        count(&format!(
            "source_kind <> 'file' AND source_name = '{whole}' AND source_version IS NOT NULL"
        ))
    };
    assert!(lab.number("sam", &versions("chemistry.protocols")).await > 0);
    assert!(lab.number("ana", &versions("chemistry.reagent_lots")).await > 0);
    assert!(
        lab.number(
            "ana",
            &count("source_name = 'chemistry.protocols' AND source_kind <> 'file'")
        )
        .await
            > 0
    );
    assert_eq!(lab.number("ana", &versions("chemistry.protocols")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_granted_lineage_sees_of_it_what_he_sees_of_the_lab() {
    let lab = lab::own();
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.summary AS SELECT plate_id AS plate, max(operator) AS somebody, count(*) AS runs, max(x.name) AS assay_name FROM lab.chemistry.reactions r LEFT JOIN (SELECT 'a' AS name) x ON true GROUP BY 1",
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.old AS SELECT count(*) AS n FROM lab.chemistry.summary FOR VERSION AS OF 0",
    )
    .await
    .unwrap();
    let told = lab
        .text(
            "ana",
            "SELECT DISTINCT source_name, source_column, target_name, target_column FROM system.lineage",
        )
        .await;
    // She sees plate and summary, not the operator, not the readings, not the departments of others.
    let row = |words: &[&str]| told.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(
        row(&["chemistry.reactions", "plate_id", "chemistry.summary", "plate"]),
        "{told}"
    );
    assert!(row(&["chemistry.summary", "chemistry.old"]), "{told}");
    for hidden in ["operator", "plate_readings", "assay.", "adme."] {
        assert!(!told.contains(hidden), "{hidden}: {told}");
    }
    let all = lab
        .text("ada", "SELECT source_name, source_column FROM system.lineage")
        .await;
    for there in ["operator", "plate_readings"] {
        assert!(all.contains(there), "{there}");
    }
    // Made anew of something else, the old origins are gone.
    lab.update(
        "ada",
        "CREATE OR REPLACE TABLE lab.chemistry.summary AS SELECT 1 AS plate",
    )
    .await
    .unwrap();
    let gone = "SELECT count(*) FROM system.lineage WHERE target_name = 'chemistry.summary'";
    assert_eq!(lab.number("ada", gone).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_added_or_merged_lead_back_to_what_they_were_made_of() {
    let lab = lab::empty(|config| config);
    for sql in [
        "CREATE TABLE lab.chemistry.raw (plate VARCHAR, yield DOUBLE)",
        "CREATE TABLE lab.chemistry.names (plate VARCHAR, name VARCHAR)",
        "CREATE TABLE lab.chemistry.best (plate VARCHAR, yield DOUBLE, name VARCHAR)",
        "INSERT INTO lab.chemistry.raw VALUES ('p1', 1.0), ('p2', 2.0)",
        "INSERT INTO lab.chemistry.names VALUES ('p1', 'one'), ('p2', 'two')",
        "INSERT INTO lab.chemistry.best VALUES ('p0', 0.0, 'none')",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    let steps = "SELECT source_name, source_column, target_column FROM system.lineage WHERE target_name = 'chemistry.best' AND target_column IS NOT NULL";
    let told = async || {
        let text = lab.text("ada", steps).await;
        let rows = text.lines().skip(3).filter(|line| line.starts_with('|'));
        let mut rows: Vec<String> = rows
            .map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        rows.sort();
        rows
    };
    assert!(told().await.is_empty(), "values come from nowhere");
    lab.update(
        "ada",
        "INSERT INTO lab.chemistry.best (plate, yield) SELECT plate, max(yield) FROM lab.chemistry.raw GROUP BY plate",
    )
    .await
    .unwrap();
    let added = ["chemistry.raw plate plate", "chemistry.raw yield yield"];
    assert_eq!(told().await, added);
    // What an update leaves as it is comes from the table itself, which is no step.
    lab.update("ada", "UPDATE lab.chemistry.best SET yield = yield + 1")
        .await
        .unwrap();
    assert_eq!(told().await, added);
    lab.update(
        "ada",
        "MERGE INTO lab.chemistry.best b USING lab.chemistry.names n ON b.plate = n.plate WHEN MATCHED THEN UPDATE SET name = n.name",
    )
    .await
    .unwrap();
    assert_eq!(
        told().await,
        [&["chemistry.names name name"], added.as_slice()].concat()
    );
    let version = "SELECT max(source_version) FROM system.lineage WHERE source_name = 'chemistry.raw' AND target_name = 'chemistry.best'";
    assert_eq!(lab.number("ada", version).await, 1);
    // The same step once more changes nothing but the rows: whoever compacts or appends meanwhile is not disturbed.
    let properties = "SELECT count(*) FROM table_history('lab.chemistry.best') WHERE rows_added > 0";
    let before = lab.number("ada", properties).await;
    lab.update("ada", "INSERT INTO lab.chemistry.raw VALUES ('p3', 3.0)")
        .await
        .unwrap();
    let again =
        "INSERT INTO lab.chemistry.best (plate, yield) SELECT plate, yield FROM lab.chemistry.raw WHERE plate = 'p3'";
    lab.update("ada", again).await.unwrap();
    assert_eq!(lab.number("ada", version).await, 1, "the version of the first time");
    assert_eq!(lab.number("ada", properties).await, before + 1);
    let log = lab.dir.join("tables/chemistry/best/_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    commits.retain(|path| path.extension().is_some_and(|kind| kind == "json"));
    commits.sort();
    let last = std::fs::read_to_string(commits.last().unwrap()).unwrap();
    assert!(!last.contains("metaData") && last.contains("\"add\""), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hidden_rows_and_columns_are_made_of_is_not_told() {
    let lab = lab::empty(|config| config);
    let filters = lab.dir.join("policies/filters.toml");
    let text = std::fs::read_to_string(&filters).unwrap();
    let few = "\n[filter.few]\ntable = \"lab/chemistry/runs\"\nsql = \"run < 100\"\n";
    std::fs::write(&filters, text + few).unwrap();
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    let attached = "\np2, role:lab_analyst, chemistry, lab/chemistry/runs, permissive, few\n";
    std::fs::write(&policy, text + attached).unwrap();
    for sql in [
        "CREATE TABLE lab.chemistry.runs (run BIGINT, maker VARCHAR)",
        "CREATE TABLE lab.chemistry.lots (lot BIGINT, maker VARCHAR)",
        "INSERT INTO lab.chemistry.lots VALUES (200, 'm')",
        "INSERT INTO lab.chemistry.runs VALUES (1, 'n'), (150, 'n')",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    lab.until("ana", "SELECT count(*) FROM lab.chemistry.runs", |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    let steps =
        "SELECT count(*) FROM system.lineage WHERE source_name = 'chemistry.lots' AND target_name = 'chemistry.runs'";
    lab.update(
        "ada",
        "INSERT INTO lab.chemistry.runs SELECT lot, maker FROM lab.chemistry.lots",
    )
    .await
    .unwrap();
    assert_eq!(lab.number("ada", steps).await, 3, "the table, and two columns");
    assert_eq!(lab.number("sam", steps).await, 3, "who sees all of it");
    assert_eq!(
        lab.number("ana", steps).await,
        0,
        "whose filter hides the row that came"
    );
}
