//! Statements that change tables: with the grant, and without.

use crate::lab;

#[tokio::test]
async fn create_table_as_and_insert_write_delta_for_whoever_may() {
    let lab = lab::own();
    let rows = lab.update("ada", "CREATE TABLE lab.chemistry.best AS SELECT plate_id, well, yield_pct FROM lab.chemistry.plate_readings WHERE yield_pct > 70").await.unwrap();
    assert!(rows > 0);
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.chemistry.best").await, rows);
    assert_eq!(
        lab.update("ada", "INSERT INTO lab.chemistry.best VALUES ('P9999', 'A1', 99.5)")
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        lab.update(
            "ada",
            "INSERT INTO lab.chemistry.best (well, plate_id) SELECT 'A2', 'P9999'"
        )
        .await
        .unwrap(),
        1
    );
    assert_eq!(
        lab.number("ada", "SELECT count(*) FROM lab.chemistry.best").await,
        rows + 2
    );
    let twice = lab
        .update("ada", "CREATE TABLE lab.chemistry.best AS SELECT 1 AS a")
        .await
        .unwrap_err();
    assert!(twice.contains("OR REPLACE"), "{twice}");
    lab.update("ada", "CREATE OR REPLACE TABLE lab.chemistry.best AS SELECT 1 AS a")
        .await
        .unwrap();
    assert_eq!(lab.number("ada", "SELECT sum(a) FROM lab.chemistry.best").await, 1);
    lab.pytest("test_lake_open.py", &std::collections::HashMap::new());
}

#[tokio::test]
async fn without_the_grant_or_behind_a_filter_nothing_is_written() {
    let lab = lab::own();
    for (who, sql) in [
        (
            "ana",
            "INSERT INTO lab.chemistry.reactions SELECT * FROM lab.chemistry.reactions LIMIT 1",
        ),
        ("ana", "CREATE TABLE lab.chemistry.mine AS SELECT 1 AS a"),
        ("guest", "CREATE TABLE lab.chemistry.mine AS SELECT 1 AS a"),
        ("guest", "INSERT INTO lab.chemistry.reagent_lots (lot) VALUES ('x')"),
        ("sam", "CREATE TABLE lab.adme.mine AS SELECT 1 AS a"),
        (
            "sam",
            "ALTER TABLE lab.chemistry.reactions SET TAGS (sensitivity = 'public')",
        ),
        ("ada", "CREATE TABLE lab.system.mine AS SELECT 1 AS a"),
        ("ada", "INSERT INTO lab.chemistry.reagent_lots (nothing) VALUES ('x')"),
        ("ada", "INSERT INTO lab.chemistry.reagent_lots (lot) VALUES ('x', 'y')"),
        ("ada", "CREATE TABLE lab.chemistry.mine AS SELECT 1, 2"),
        ("ada", "CREATE TABLE \"../x\".mine AS SELECT 1 AS a"),
    ] {
        let error = lab.update(who, sql).await.unwrap_err();
        assert!(!error.contains("could not finish"), "{who}: {sql}: {error}");
    }
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn a_table_made_of_tagged_ones_inherits_what_is_strictest() {
    let lab = lab::own();
    lab.update(
        "ada",
        "ALTER TABLE lab.chemistry.protocols ALTER COLUMN operator SET TAGS (pii = true)",
    )
    .await
    .unwrap();
    let made = "CREATE TABLE lab.assay.who AS SELECT operator AS person FROM lab.chemistry.protocols";
    lab.update("ada", made).await.unwrap();
    // dee sees everything but what is tagged as personal: renaming the column did not wash the tag off.
    assert!(lab.query("dee", "SELECT * FROM lab.assay.ic50 LIMIT 1").await.is_ok());
    assert!(lab.query("dee", "SELECT person FROM lab.assay.who").await.is_err());
    assert!(
        lab.query("dee", "SELECT operator FROM lab.chemistry.protocols")
            .await
            .is_err()
    );
    // ana sees what is public in preclinical; mixing in something internal closes it.
    let mixed = "CREATE TABLE lab.preclinical.mixed AS SELECT d.* FROM lab.preclinical.dose_groups d CROSS JOIN (SELECT 1 FROM lab.adme.clearance LIMIT 1)";
    lab.update("ada", mixed).await.unwrap();
    assert!(
        lab.query("ana", "SELECT * FROM lab.preclinical.dose_groups LIMIT 1")
            .await
            .is_ok()
    );
    assert!(
        lab.query("ana", "SELECT * FROM lab.preclinical.mixed LIMIT 1")
            .await
            .is_err()
    );
}
