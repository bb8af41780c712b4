//! What `labhouse demo` promises.

use std::process::Command;
use std::time::Instant;

use crate::lab::{self, BINARY};

#[tokio::test]
async fn everything_the_contract_names_is_there() {
    let lab = lab::shared();
    for table in [
        "chemistry.protocols",
        "chemistry.plate_readings",
        "chemistry.reagent_lots",
        "chemistry.reagent_use",
        "chemistry.virtual_library",
        "chemistry.reactions",
        "chembl.compound_properties",
    ] {
        assert!(
            lab.number("ada", &format!("SELECT count(*) FROM lab.{table}")).await > 0,
            "{table}"
        );
    }
    for schema in ["preclinical", "adme", "assay"] {
        let sql = format!("SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}'");
        assert!(lab.number("ada", &sql).await > 0, "{schema}");
    }
    let files = lab
        .number("ada", "SELECT count(*) FROM system.files WHERE status = 'quarantined'")
        .await;
    assert_eq!(
        files,
        0,
        "{}",
        lab.text("ada", "SELECT path, reason FROM system.quarantine").await
    );
}

#[tokio::test]
async fn three_vendors_layouts_become_one_table_without_losing_a_well() {
    let lab = lab::shared();
    let plates = lab
        .number(
            "ada",
            "SELECT count(DISTINCT plate_id) FROM lab.chemistry.plate_readings",
        )
        .await;
    assert_eq!(plates, 96);
    let odd = "SELECT count(*) FROM (SELECT plate_id, count(*) n, count(DISTINCT well) w FROM lab.chemistry.plate_readings GROUP BY 1) WHERE n <> 384 OR w <> 384";
    assert_eq!(lab.number("ada", odd).await, 0);
    let nulls = "SELECT count(*) FROM lab.chemistry.plate_readings WHERE plate_id IS NULL OR well IS NULL OR \"row\" IS NULL OR \"column\" IS NULL OR run_at IS NULL";
    assert_eq!(lab.number("ada", nulls).await, 0);
}

#[tokio::test]
async fn the_planted_causes_can_be_seen_in_sql() {
    let lab = lab::shared();
    let edge = "SELECT CAST(10 * (avg(yield_pct) FILTER (WHERE NOT is_edge) - avg(yield_pct) FILTER (WHERE is_edge)) AS BIGINT) FROM lab.chemistry.reactions";
    assert!(lab.number("ada", edge).await > 20, "wells at the edge yield less");
    let lots = "SELECT CAST(max(y) - min(y) AS BIGINT) FROM (SELECT catalyst_lot, avg(yield_pct) y FROM lab.chemistry.reactions GROUP BY 1)";
    assert!(lab.number("ada", lots).await >= 8, "one lot is bad");
}

#[tokio::test]
async fn the_model_answers_after_a_restart_and_from_any_session() {
    let lab = lab::shared();
    let named = "SELECT count(*) FROM (SELECT predict_yield(scaffold, reactant, catalyst, base, solvent, temperature_c, alogp, full_mwt, rtb, psa, hba, hbd) p FROM lab.chemistry.virtual_library LIMIT 100) WHERE p BETWEEN -20 AND 120";
    assert_eq!(lab.number("sam", named).await, 100);
    let top = lab
        .query(
            "sam",
            "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 20)",
        )
        .await
        .unwrap();
    assert_eq!(top.iter().map(|batch| batch.num_rows()).sum::<usize>(), 20);
    let refused = lab
        .query(
            "ana",
            "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 20)",
        )
        .await;
    let absent = lab
        .query(
            "ana",
            "SELECT * FROM top_recommendations('lab.chemistry.other_model', 20)",
        )
        .await;
    assert_eq!(
        refused.unwrap_err().replace("yield_model", "X"),
        absent.unwrap_err().replace("other_model", "X"),
        "a model one may not ask looks like none"
    );
    assert!(lab.query("guest", "SELECT predict_yield(1)").await.is_err());
}

#[test]
fn the_second_start_is_quick_and_builds_nothing() {
    let first = lab::shared();
    let dir = first.dir.clone();
    drop(first);
    let started = Instant::now();
    let second = lab::start(Command::new(BINARY).args(["demo", "--dir"]).arg(&dir), &dir, None);
    println!("second start: {:.2} s", started.elapsed().as_secs_f64());
    assert!(!second.log().contains("building"), "{}", second.log());
}

#[test]
fn public_passwords_stay_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab::shared();
    lab::copy(&lab.dir, &dir.path().join("lab"));
    let output = Command::new(BINARY)
        .args(["demo", "--flight", "0.0.0.0:0", "--http", "127.0.0.1:0", "--dir"])
        .arg(dir.path().join("lab"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}
