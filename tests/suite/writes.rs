//! Statements that change tables: with the grant, and without.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};

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

#[tokio::test]
async fn tags_are_not_washed_off_by_a_function_a_model_or_an_update() {
    let lab = lab::own();
    for tagged in [
        "ALTER TABLE lab.chemistry.reagent_use SET TAGS (pii = true)",
        "ALTER TABLE lab.chemistry.protocols ALTER COLUMN operator SET TAGS (pii = true)",
        "CREATE MODEL lab.chemistry.use_model OPTIONS (target = 'grams', time_budget_s = 1, function = 'predict_use') \
         AS SELECT lot, reagent, grams FROM lab.chemistry.reagent_use",
    ] {
        lab.update("ada", tagged).await.unwrap();
    }
    assert!(lab.query("dee", "SELECT * FROM lab.assay.ic50 LIMIT 1").await.is_ok());
    // What a function or a model makes of tagged rows is tagged, too, wherever it goes.
    for (name, query) in [
        (
            "ahead",
            "SELECT * FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 7)",
        ),
        (
            "guessed",
            "SELECT predict_use(lot, reagent) AS grams FROM lab.chemistry.reagent_lots",
        ),
        ("weighed", "SELECT * FROM feature_importance('lab.chemistry.use_model')"),
    ] {
        lab.update("ada", &format!("CREATE TABLE lab.assay.{name} AS {query}"))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let read = format!("SELECT * FROM lab.assay.{name} LIMIT 1");
        assert!(lab.query("ada", &read).await.is_ok());
        let refused = lab.query("dee", &read).await.unwrap_err();
        assert!(refused.contains("not found"), "{name}: {refused}");
    }
    // Rows that are there are not filled with what is tagged elsewhere, by no kind of statement.
    let lots = "lab.chemistry.reagent_lots";
    let who = "(SELECT max(operator) FROM lab.chemistry.protocols)";
    for sql in [
        format!("UPDATE {lots} SET supplier = {who}"),
        format!("INSERT INTO {lots} (lot, supplier) SELECT 'L-X', operator FROM lab.chemistry.protocols LIMIT 1"),
        format!(
            "MERGE INTO {lots} AS t USING (SELECT 'L-X' AS lot, operator FROM lab.chemistry.protocols LIMIT 1) AS s ON t.lot = s.lot \
             WHEN NOT MATCHED THEN INSERT (lot, supplier) VALUES (s.lot, s.operator)"
        ),
        format!(
            "MERGE INTO {lots} AS t USING (SELECT operator, 1 AS one FROM lab.chemistry.protocols LIMIT 1) AS s ON s.one = 1 \
             WHEN MATCHED THEN UPDATE SET supplier = s.operator"
        ),
    ] {
        let refused = lab.update("sam", &sql).await.unwrap_err();
        assert!(refused.contains("which would open them to others"), "{sql}: {refused}");
    }
    // Without the tag it is done.
    let plain = format!("UPDATE {lots} SET supplier = upper(supplier) WHERE lot = 'XP-2604'");
    assert_eq!(lab.update("sam", &plain).await.unwrap(), 1);
}

#[tokio::test]
async fn nobody_makes_a_table_with_values_that_he_would_see_masked() {
    let lab = lab::empty(|config| config);
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/mine/**, create|insert|drop, allow");
    lab.until_updated(
        "ana",
        "CREATE TABLE lab.chemistry.mine AS SELECT 'CCO' AS structure, 'CCO' AS guess",
    )
    .await;
    lab.update("ana", "DROP TABLE lab.chemistry.mine").await.unwrap();
    // Beside the mask of each value would stand the value: a dictionary of everybody's.
    for (sql, says) in [
        (
            "CREATE TABLE lab.chemistry.mine AS SELECT 'CCO' AS scaffold_smiles, 'CCO' AS guess",
            "scaffold_smiles of chemistry.mine would be shown to you masked",
        ),
        (
            "CREATE OR REPLACE TABLE lab.chemistry.mine AS SELECT 'CCO' AS scaffold_smiles",
            "shown to you masked",
        ),
        (
            "CREATE TABLE lab.chemistry.mine (scaffold_smiles VARCHAR, guess VARCHAR)",
            "shown to you masked",
        ),
        (
            "CREATE MATERIALIZED VIEW lab.chemistry.mine REFRESH ON DEMAND AS SELECT 'CCO' AS scaffold_smiles, 'CCO' AS guess",
            "shown to you masked",
        ),
        (
            "CREATE VIRTUAL LIBRARY lab.chemistry.mine FROM (SELECT * FROM (VALUES ('CCO'), ('CCC')) AS t (scaffold_smiles)) CROSS (SELECT 1 AS guess)",
            "shown to you masked",
        ),
        (
            "CREATE TABLE lab.chemistry.mine AS SELECT 'x' AS operator, 1 AS run",
            "operator of chemistry.mine would be hidden from you",
        ),
    ] {
        let refused = lab.update("ana", sql).await.unwrap_err();
        assert!(refused.contains(says), "{sql}: {refused}");
    }
    let ingest = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create.into(),
            if_exists: TableExistsOption::Fail.into(),
        }),
        table: "mine".into(),
        schema: Some("chemistry".into()),
        ..Default::default()
    };
    let mut raw = crate::raw::Raw::login(&lab, "ana").await;
    let column: ArrayRef = Arc::new(StringArray::from(vec!["CCO"]));
    let row = RecordBatch::try_from_iter([("scaffold_smiles", column)]).unwrap();
    let refused = raw.update(&ingest, Some(row)).await.unwrap_err();
    assert!(refused.message().contains("shown to you masked"), "{refused}");
    let there = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'";
    assert_eq!(lab.number("ada", there).await, 0);
    // Whoever sees the column as it is may fill it, and under another name she may, too.
    for (who, sql) in [
        (
            "sam",
            "CREATE TABLE lab.chemistry.his AS SELECT 'CCO' AS scaffold_smiles",
        ),
        ("ana", "CREATE TABLE lab.chemistry.mine AS SELECT 'CCO' AS smiles"),
    ] {
        lab.update(who, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let seen = lab.text("ana", "SELECT scaffold_smiles FROM lab.chemistry.his").await;
    assert!(!seen.contains("CCO"), "{seen}");
}
