//! What is not there: labels without values, and rows that do not come.

use super::people::{HEADER, REACTIONS, got, state, with_reactions};
use super::receiver::Receiver;
use super::rules::{about, make};
use super::{RUNS, lab_with, shows, until_events, until_state};
use crate::lab::Server;

fn lines(message: &serde_json::Value, which: &str) -> Vec<String> {
    let all = message[which].as_array().unwrap().iter();
    all.map(|one| one["label"].as_str().or(one.as_str()).unwrap().to_owned())
        .collect()
}

/// A label that fired and has no values any more is not well: nothing is known of it.
#[tokio::test]
async fn a_label_that_fired_and_lost_its_values_has_no_data_and_is_not_well() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "ada",
        &format!("INSERT INTO {RUNS} (run, plate, yield) VALUES (4, 'P3', 20)"),
    )
    .await
    .unwrap();
    let rules = [
        ("mean", "avg(yield) < 56 BY plate"),
        ("rows", "yield < 56 BY plate"),
        // Rules that cannot be turned round are asked as before.
        (
            "beside",
            "EXISTS (SELECT 1 FROM lab.chemistry.runs AS r WHERE r.run = runs.run AND r.yield < 56) BY plate",
        ),
    ];
    for (name, rule) in rules {
        make(&lab, name, rule).await;
        until_events(&lab, name, "sent", 1).await;
        assert_eq!(
            lines(&about(&receiver, name)[0], "firing"),
            ["plate=P1", "plate=P3"],
            "{name}"
        );
    }
    // One is well, of the other nothing is known.
    let change = format!("UPDATE {RUNS} SET yield = CASE plate WHEN 'P1' THEN 90 END WHERE plate IN ('P1', 'P3')");
    lab.update("ada", &change).await.unwrap();
    for name in ["mean", "rows"] {
        until_state(&lab, name, "no_data").await;
        until_events(&lab, name, "no_data", 1).await;
        until_events(&lab, name, "sent", 2).await;
        let told = about(&receiver, name).pop().unwrap();
        assert_eq!(told["state"], "no_data", "{told}");
        assert_eq!(
            (lines(&told, "no_data"), lines(&told, "over")),
            (vec!["plate=P3".to_owned()], vec!["plate=P1".to_owned()])
        );
    }
    let why = "SELECT reason FROM system.alerts WHERE alert_name = 'mean'";
    lab.until("sam", why, shows("fired, and has nothing to judge by now: plate=P3"))
        .await;
    // EXISTS is never unknown: there is no such row.
    until_state(&lab, "beside", "ok").await;
    // More of the same is no news; values that are well are.
    lab.update(
        "ada",
        &format!("INSERT INTO {RUNS} (run, plate, yield) VALUES (5, 'P3', NULL)"),
    )
    .await
    .unwrap();
    lab.update("ada", &format!("UPDATE {RUNS} SET yield = 80 WHERE run = 4"))
        .await
        .unwrap();
    for name in ["mean", "rows"] {
        until_state(&lab, name, "ok").await;
        until_events(&lab, name, "sent", 3).await;
        let told = about(&receiver, name);
        let states: Vec<_> = told.iter().map(|one| one["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["firing", "no_data", "ok"]);
        assert_eq!(lines(&told[2], "over"), ["plate=P3"]);
    }
}

/// Labels without values, more than are read, keep nothing from being well again.
#[tokio::test]
async fn what_fired_is_over_though_ever_so_many_labels_have_no_values() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.lots AS SELECT value AS lot, CAST(CASE value WHEN 1 THEN 10 END AS DOUBLE) AS area FROM generate_series(1, 100002)",
    )
    .await
    .unwrap();
    lab.update(
        "sam",
        "CREATE ALERT low ON lab.chemistry.lots WHEN area < 55 BY lot NOTIFY sam BY hook",
    )
    .await
    .unwrap();
    until_events(&lab, "low", "sent", 1).await;
    assert_eq!(lines(&about(&receiver, "low")[0], "firing"), ["lot=1"]);
    lab.update("ada", "UPDATE lab.chemistry.lots SET area = 90 WHERE lot = 1")
        .await
        .unwrap();
    until_state(&lab, "low", "ok").await;
    until_events(&lab, "low", "sent", 2).await;
    assert_eq!(lines(&about(&receiver, "low")[1], "over"), ["lot=1"]);
}

/// Without labels it is the alert itself that has no data.
#[tokio::test]
async fn rows_that_lost_their_values_are_not_well_either() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "rows", "yield < 56").await;
    until_events(&lab, "rows", "sent", 1).await;
    lab.update("ada", &format!("UPDATE {RUNS} SET yield = NULL"))
        .await
        .unwrap();
    until_state(&lab, "rows", "no_data").await;
    // One row that is known to be well is enough.
    lab.update("ada", &format!("UPDATE {RUNS} SET yield = 90 WHERE run = 3"))
        .await
        .unwrap();
    until_state(&lab, "rows", "ok").await;
    // What never fired has no data to lose: columns that are empty as a rule are no news.
    make(&lab, "flags", "yield > 95").await;
    lab.update("ada", &format!("UPDATE {RUNS} SET yield = NULL"))
        .await
        .unwrap();
    until_looked(&lab, "flags").await;
    until_state(&lab, "flags", "ok").await;
    assert!(about(&receiver, "flags").is_empty());
}

/// Waits until an alert was looked at after what was committed until now.
async fn until_looked(lab: &Server, name: &str) {
    make(lab, &format!("{name}_witness"), "yield > 1000000").await;
    lab.update("ada", &format!("UPDATE {RUNS} SET run = run"))
        .await
        .unwrap();
    let looked = format!(
        "SELECT count(*) AS n FROM system.alerts a, system.alerts b WHERE a.alert_name = '{name}' AND b.alert_name = '{name}_witness' AND a.looked_at >= b.created_at"
    );
    lab.until("ada", &looked, shows("1")).await;
}

#[tokio::test]
async fn an_export_that_is_replaced_brings_rows_though_there_are_as_many() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "quiet", "NO NEW ROWS FOR 2 SECONDS").await;
    make(&lab, "other", "NO NEW ROWS FOR 2 SECONDS WHERE plate = 'P9'").await;
    for name in ["quiet", "other"] {
        until_events(&lab, name, "firing", 1).await;
    }
    // Written anew in two commits.
    lab.update("ada", &format!("DELETE FROM {RUNS}")).await.unwrap();
    lab.update(
        "ada",
        &format!("INSERT INTO {RUNS} (run, plate, yield) VALUES (1, 'P1', 60), (2, 'P1', 50), (3, 'P2', 70)"),
    )
    .await
    .unwrap();
    until_events(&lab, "quiet", "ok", 1).await;
    until_events(&lab, "quiet", "firing", 2).await;
    // Overwritten where it lies.
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P1,60\n");
    until_events(&lab, "quiet", "ok", 2).await;
    until_events(&lab, "quiet", "firing", 3).await;
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n5,P1,61\n");
    until_events(&lab, "quiet", "ok", 3).await;
    until_events(&lab, "quiet", "firing", 4).await;
    // Rows that are changed or taken away are none that came; nor are those of others than the rule is about.
    lab.update("ada", &format!("UPDATE {RUNS} SET yield = 10 WHERE run = 5"))
        .await
        .unwrap();
    lab.update("ada", &format!("DELETE FROM {RUNS} WHERE run = 5"))
        .await
        .unwrap();
    until_looked(&lab, "quiet").await;
    until_events(&lab, "quiet", "ok", 3).await;
    until_events(&lab, "other", "ok", 0).await;
    lab.update(
        "ada",
        &format!("INSERT INTO {RUNS} (run, plate, yield) VALUES (6, 'P9', 1)"),
    )
    .await
    .unwrap();
    until_events(&lab, "other", "ok", 1).await;
}

/// Rows that a recipient does not see do not come for him.
#[tokio::test]
async fn rows_come_for_those_who_see_them() {
    let receiver = Receiver::start();
    let lab = with_reactions(&receiver).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT quiet ON {REACTIONS} WHEN NO NEW ROWS FOR 2 SECONDS NOTIFY sam, ana BY email"),
    )
    .await
    .unwrap();
    until_events(&lab, "quiet", "sent", 2).await;
    lab.land("chemistry/reactions/b.csv", format!("{HEADER}2,P2,draft,jon,CCN,11\n"));
    until_events(&lab, "quiet", "sent", 3).await;
    until_events(&lab, "quiet", "firing", 2).await;
    until_events(&lab, "quiet", "sent", 4).await;
    // As many drafts as before, and others.
    lab.land("chemistry/reactions/b.csv", format!("{HEADER}3,P3,draft,jon,CCN,12\n"));
    until_events(&lab, "quiet", "sent", 6).await;
    let told: Vec<String> = got(&receiver, "ana")
        .iter()
        .map(|mail| state(mail).to_owned())
        .collect();
    assert_eq!(told, ["firing"]);
    lab.land(
        "chemistry/reactions/a.csv",
        format!("{HEADER}1,P1,released,mara,CCO,81\n"),
    );
    lab.until("ada", "SELECT 1 AS n", |_| got(&receiver, "ana").len() >= 2)
        .await;
    assert_eq!(state(&got(&receiver, "ana")[1]), "ok");
}
