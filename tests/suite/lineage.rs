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
