//! Views follow more than their sources' rows, and each at its own pace.

use super::{RUNS, runs_with, with_runs};
use crate::lab::{self, shows};

const STATE: &str = "SELECT state FROM system.pipelines WHERE view_name = 'mine'";

/// A filter that closes rows for the owner takes them out of his view, though no source changed.
#[tokio::test]
async fn a_view_follows_what_its_owner_may_see() {
    let lab = lab::empty(|config| config);
    for sql in [
        "CREATE TABLE lab.chemistry.reactions (well VARCHAR, status VARCHAR)",
        "INSERT INTO lab.chemistry.reactions VALUES ('A1', 'released'), ('A2', 'draft')",
    ] {
        lab.update("ada", sql).await.unwrap();
    }
    for (who, name, refresh) in [
        ("sam", "mine", "ON CHANGE"),
        ("sam", "asked", "ON DEMAND"),
        ("ada", "hers", "ON CHANGE"),
    ] {
        let sql = format!(
            "CREATE MATERIALIZED VIEW lab.chemistry.{name} REFRESH {refresh} AS SELECT well FROM lab.chemistry.reactions"
        );
        assert_eq!(lab.update(who, &sql).await.unwrap(), 2);
    }
    let count = |name: &str| format!("SELECT count(*) FROM lab.chemistry.{name}");
    assert_eq!(lab.number("ada", &count("mine")).await, 2);
    lab.until("ada", STATE, shows("fresh")).await;
    lab.policy("p2, role:lab_scientist, chemistry, lab/chemistry/reactions, permissive, released_only");
    lab.until("ada", &count("mine"), shows(1)).await;
    lab.until("ada", STATE, shows("fresh")).await;
    assert_eq!(lab.number("ada", &count("hers")).await, 2, "she sees all of it");
    // One that is made when somebody asks stays until then, and says so.
    assert_eq!(lab.number("ada", &count("asked")).await, 2);
    let asked = STATE.replace("mine", "asked");
    lab.until("ada", &asked, shows("stale")).await;
    lab.update("ada", "REFRESH MATERIALIZED VIEW lab.chemistry.asked")
        .await
        .unwrap();
    assert_eq!(lab.number("ada", &count("asked")).await, 1);
    lab.until("ada", &asked, shows("fresh")).await;
}

#[tokio::test]
async fn a_view_follows_the_model_that_answers_in_it() {
    let rows: String = (0..60)
        .map(|run| format!("{run},{},{}\n", ["x", "y"][run % 2], 20 + run % 2 * 40))
        .collect();
    let lab = with_runs(&format!("run,kind,yield\n{rows}")).await;
    let train = |verb: &str, value: &str| {
        format!(
            "{verb} MODEL lab.chemistry.m OPTIONS (target = 'value', time_budget_s = 2, function = 'predict_m') AS SELECT kind, run % 7 AS rest, {value} AS value FROM {RUNS}"
        )
    };
    lab.update("sam", &train("CREATE", "CAST(yield AS DOUBLE)"))
        .await
        .unwrap();
    lab.update(
        "sam",
        &format!(
            "CREATE MATERIALIZED VIEW lab.chemistry.mine AS SELECT run, predict_m(kind, run % 7) AS said FROM {RUNS}"
        ),
    )
    .await
    .unwrap();
    let high = "SELECT avg(said) > 500 AS high FROM lab.chemistry.mine";
    lab.until("sam", high, shows("false")).await;
    lab.update("sam", &train("CREATE OR REPLACE", "CAST(yield AS DOUBLE) + 1000"))
        .await
        .unwrap();
    lab.until("sam", high, shows("true")).await;
    lab.until("ada", STATE, shows("fresh")).await;
}

/// A view whose step takes long holds up what is made of it, and nothing else.
#[tokio::test]
async fn one_slow_view_stalls_no_other() {
    let own = tempfile::tempdir().unwrap();
    let gate = own.path().join("gate");
    let script = format!("while [ -e {} ]; do sleep 0.1; done; cat", gate.display());
    let step = format!("[pipelines.steps.slow]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n");
    let lab = runs_with(|config| config + step.as_str(), "run,kind,yield\n1,x,10\n2,y,20\n").await;
    for (name, via, from) in [
        ("a_slow", "VIA slow ", RUNS),
        ("b_of_slow", "", "lab.chemistry.a_slow"),
        ("c_quick", "", RUNS),
        ("d_of_quick", "", "lab.chemistry.c_quick"),
    ] {
        let sql = format!("CREATE MATERIALIZED VIEW lab.chemistry.{name} {via}AS SELECT run, yield FROM {from}");
        lab.update("ada", &sql).await.unwrap();
    }
    std::fs::write(&gate, "").unwrap();
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,5\n");
    let sum = |name: &str| format!("SELECT sum(yield) FROM lab.chemistry.{name}");
    lab.until("ada", &sum("d_of_quick"), shows(35)).await;
    for name in ["a_slow", "b_of_slow"] {
        assert_eq!(lab.number("ada", &sum(name)).await, 30, "{name}");
    }
    std::fs::remove_file(&gate).unwrap();
    lab.until("ada", &sum("b_of_slow"), shows(35)).await;
}
