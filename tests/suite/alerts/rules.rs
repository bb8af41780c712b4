//! The kinds of rules, the states, silence, and reports.

use super::receiver::Receiver;
use super::{RUNS, lab_with, shows, until_events, until_state};
use crate::lab::Server;

pub(super) async fn make(lab: &Server, name: &str, rest: &str) {
    let sql = format!("CREATE ALERT {name} ON {RUNS} WHEN {rest} NOTIFY sam BY hook");
    lab.update("sam", &sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Bodies of what was received about one alert.
pub(super) fn about(receiver: &Receiver, name: &str) -> Vec<serde_json::Value> {
    let name = format!("lab.chemistry.{name}");
    let bodies = receiver.received().into_iter().map(|m| m["body"].clone());
    bodies.filter(|body| body["name"] == name.as_str()).collect()
}

#[tokio::test]
async fn a_rule_that_must_hold_for_a_while_is_pending_first() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "long", "yield < 55 FOR 1 DAY").await;
    make(&lab, "short", "yield < 55 FOR 2 SECONDS").await;
    until_state(&lab, "long", "pending").await;
    until_state(&lab, "short", "firing").await;
    receiver.until(1, &lab).await;
    let pending = "SELECT count(*) AS n FROM system.alert_events WHERE alert_name = 'short' AND event = 'pending'";
    assert_eq!(lab.number("sam", pending).await, 1);
    let body = about(&receiver, "short").remove(0);
    assert_eq!(body["firing"][0]["value"], 1.0);
    assert_eq!(
        (&body["columns"][0], &body["rows"][0][1]),
        (&"run".into(), &"P1".into()),
        "{body}"
    );
    assert!(!body.to_string().contains("_source"), "{body}");
    assert!(about(&receiver, "long").is_empty());
    // What was pending and is over was never told.
    lab.update("ada", &format!("DELETE FROM {RUNS} WHERE yield < 55"))
        .await
        .unwrap();
    until_state(&lab, "long", "ok").await;
    until_state(&lab, "short", "ok").await;
    receiver.until(2, &lab).await;
    assert!(about(&receiver, "long").is_empty());
}

/// Labels that hold, but not long enough yet, are not told with one that fires; each is told when it does.
#[tokio::test]
async fn a_pending_label_is_told_when_it_fires_and_not_before() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "slow", "yield < 55 BY plate FOR 8 SECONDS").await;
    make(&lab, "witness", "yield < 55 BY plate FOR 3 SECONDS").await;
    until_state(&lab, "witness", "firing").await;
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P9,10\n");
    until_events(&lab, "slow", "sent", 2).await;
    let told: Vec<String> = about(&receiver, "slow")
        .iter()
        .flat_map(|body| body["firing"].as_array().unwrap().iter())
        .map(|line| line["label"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["plate=P1", "plate=P9"]);
}

/// A rule that can no longer be asked is news for its author: silence would look like all being well.
#[tokio::test]
async fn the_author_is_told_when_a_rules_table_is_gone_and_when_it_is_back() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "watched", "yield < 55").await;
    receiver.until(1, &lab).await;
    lab.update("ada", &format!("DROP TABLE {RUNS}")).await.unwrap();
    receiver.until(2, &lab).await;
    let told = about(&receiver, "watched").pop().unwrap();
    assert_eq!(
        (&told["state"], &told["firing"]),
        (&"error".into(), &serde_json::json!([])),
        "{told}"
    );
    lab.update("ada", &format!("UNDROP TABLE {RUNS}")).await.unwrap();
    until_state(&lab, "watched", "firing").await;
}

/// What is no number fires, is told and ends like any other value.
#[tokio::test]
async fn a_reading_that_is_no_number_wedges_nothing() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.odd AS SELECT 'P1' AS plate, CAST('NaN' AS DOUBLE) AS area",
    )
    .await
    .unwrap();
    lab.update(
        "sam",
        "CREATE ALERT odd ON lab.chemistry.odd WHEN max(area) > 45 BY plate NOTIFY sam BY hook",
    )
    .await
    .unwrap();
    until_events(&lab, "odd", "sent", 1).await;
    let body = about(&receiver, "odd").remove(0);
    assert_eq!(body["firing"][0]["label"], "plate=P1");
    assert!(body["firing"][0]["value"].is_null(), "{body}");
    lab.update("ada", "INSERT INTO lab.chemistry.odd VALUES ('P2', 50)")
        .await
        .unwrap();
    until_events(&lab, "odd", "sent", 2).await;
    lab.update("ada", "DELETE FROM lab.chemistry.odd WHERE area > 0")
        .await
        .unwrap();
    until_state(&lab, "odd", "no_data").await;
    until_events(&lab, "odd", "sent", 3).await;
}

#[tokio::test]
async fn history_and_missing_rows_are_judged() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    let days = |from: u32, yields: &[f64]| {
        let lines = (from..)
            .zip(yields)
            .map(|(day, value)| format!("2026-03-{day:02}T09:30:00,A,{value}\n"));
        format!("run_at,plate,area\n{}", lines.collect::<String>())
    };
    lab.land(
        "chemistry/qc/a.csv",
        days(1, &[10.0, 10.2, 9.9, 10.1, 9.8, 10.0, 10.3, 9.9, 10.0]),
    );
    lab.until("sam", "SELECT count(*) AS n FROM lab.chemistry.qc", shows("9"))
        .await;
    for (name, rule) in [
        ("fell", "avg(area) FALLS BY 20 PERCENT PER DAY OF run_at AGAINST 5"),
        (
            "rose",
            "avg(area) RISES BY 20 PERCENT PER DAY OF run_at AGAINST 5 BY plate",
        ),
        ("odd", "avg(area) DEVIATES PER DAY OF run_at"),
        ("short", "avg(area) DEVIATES PER MONTH OF run_at"),
        ("recent", "max(area) > 11 WITHIN LAST 3 DAYS OF run_at"),
        ("quiet", "NO NEW ROWS FOR 3 SECONDS"),
        ("never", "NO NEW ROWS FOR 30 DAYS"),
    ] {
        let sql = format!("CREATE ALERT {name} ON lab.chemistry.qc WHEN {rule} NOTIFY sam BY hook");
        lab.update("sam", &sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for (name, state) in [
        ("fell", "ok"),
        ("rose", "ok"),
        ("odd", "ok"),
        ("recent", "ok"),
        ("never", "ok"),
        ("short", "no_data"),
        ("quiet", "firing"),
    ] {
        until_state(&lab, name, state).await;
    }
    lab.land("chemistry/qc/b.csv", days(10, &[6.0]));
    for (name, state) in [("fell", "firing"), ("odd", "firing"), ("rose", "ok"), ("recent", "ok")] {
        until_state(&lab, name, state).await;
    }
    // New rows end it, and their missing begins it again.
    until_events(&lab, "quiet", "ok", 1).await;
    until_events(&lab, "quiet", "firing", 2).await;
    lab.land("chemistry/qc/c.csv", days(11, &[30.0]));
    for (name, state) in [
        ("fell", "ok"),
        ("odd", "firing"),
        ("rose", "firing"),
        ("recent", "firing"),
    ] {
        until_state(&lab, name, state).await;
    }
    until_events(&lab, "rose", "sent", 1).await;
    let body = about(&receiver, "rose").remove(0);
    assert_eq!(body["firing"][0]["label"], "plate=A");
    assert!(
        body["firing"][0]["against"]
            .as_str()
            .unwrap()
            .contains("from the mean of 5 before"),
        "{body}"
    );
    until_events(&lab, "odd", "sent", 1).await;
    assert!(
        about(&receiver, "odd")[0]
            .to_string()
            .contains("robust standard deviations")
    );
}

#[tokio::test]
async fn no_data_and_errors_are_states_of_their_own() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "none", "avg(yield) < 45 WHERE plate = 'P9'").await;
    make(&lab, "bad", "CAST(plate AS INT) > 1 WHERE run > 3").await;
    until_state(&lab, "none", "no_data").await;
    until_state(&lab, "bad", "no_data").await;
    receiver.until(2, &lab).await;
    assert_eq!(about(&receiver, "none")[0]["state"], "no_data");
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,SECRET,90\n5,P9,90\n");
    until_state(&lab, "none", "ok").await;
    until_state(&lab, "bad", "error").await;
    receiver.until(4, &lab).await;
    let told = about(&receiver, "bad");
    assert_eq!(told[1]["state"], "error");
    assert!(
        !told[1].to_string().contains("SECRET"),
        "why is for the owner: {told:#?}"
    );
    let reason = lab
        .text("sam", "SELECT reason FROM system.alerts WHERE alert_name = 'bad'")
        .await;
    assert!(reason.contains("SECRET"), "{reason}");
    // Once is enough.
    lab.land("chemistry/runs/c.csv", "run,plate,yield\n6,SECRET,91\n");
    lab.until("sam", &format!("SELECT count(*) AS n FROM {RUNS}"), shows("6"))
        .await;
    until_state(&lab, "none", "ok").await;
    lab.update("ada", &format!("UPDATE {RUNS} SET plate = '7' WHERE plate = 'SECRET'"))
        .await
        .unwrap();
    until_events(&lab, "bad", "error", 1).await;
    lab.update("ada", &format!("UPDATE {RUNS} SET plate = '0' WHERE run > 3"))
        .await
        .unwrap();
    until_state(&lab, "bad", "ok").await;

    // Its table goes: an error, not silence.
    lab.update("ada", &format!("DROP TABLE {RUNS}")).await.unwrap();
    until_state(&lab, "none", "error").await;
}

#[tokio::test]
async fn a_rule_is_looked_at_by_commits_or_by_the_clock() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    for (name, when) in [
        ("follows", ""),
        ("often", "EVERY 2 SECONDS"),
        ("leap", "CRON '0 0 29 2 *'"),
    ] {
        make(&lab, name, &format!("yield < 20 {when}")).await;
        until_state(&lab, name, "ok").await;
    }
    for (cron, says) in [
        ("5/4294967295 * * * *", "longer than the field of the minute"),
        ("0 0 31 2 *", "never comes"),
        ("0 8 * * fri-mon", "ranges from small to large"),
    ] {
        let sql = format!("CREATE ALERT never ON {RUNS} WHEN yield < 20 CRON '{cron}' NOTIFY sam BY hook");
        let error = lab.update("sam", &sql).await.unwrap_err();
        assert!(error.contains(says), "{cron}: {error}");
    }
    make(&lab, "weekdays", "yield < 20 CRON '*/59 8 * jan-dec Mon-fri,7'").await;
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P3,10\n");
    for name in ["follows", "often"] {
        until_state(&lab, name, "firing").await;
    }
    // Its day has not come, whatever is committed.
    let leap = "SELECT state FROM system.alerts WHERE alert_name = 'leap'";
    let state = lab.text("sam", leap).await;
    assert!(state.contains("| ok "), "{state}");
}

/// What begins or ends together is one message, however many plates it is about.
#[tokio::test]
async fn labels_that_change_together_are_told_together() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "low", "avg(yield) < 40 BY plate").await;
    until_state(&lab, "low", "ok").await;
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P3,10\n5,P4,11\n6,P5,12\n");
    let labels = |message: &serde_json::Value, which: &str| -> Vec<String> {
        let all = message[which].as_array().unwrap().iter();
        all.map(|one| one["label"].as_str().or(one.as_str()).unwrap().to_owned())
            .collect()
    };
    until_events(&lab, "low", "sent", 1).await;
    // One of them is well again: it alone is in the second message.
    lab.update("ada", &format!("DELETE FROM {RUNS} WHERE plate = 'P5'"))
        .await
        .unwrap();
    until_events(&lab, "low", "sent", 2).await;
    lab.land("chemistry/runs/c.csv", "run,plate,yield\n7,P6,10\n8,P7,10\n");
    until_events(&lab, "low", "sent", 3).await;
    let told = about(&receiver, "low");
    assert_eq!(told.len(), 3, "{told:#?}");
    assert_eq!(labels(&told[0], "firing"), ["plate=P3", "plate=P4", "plate=P5"]);
    assert_eq!(
        (labels(&told[1], "firing"), labels(&told[1], "over")),
        (vec![], vec!["plate=P5".to_owned()])
    );
    assert_eq!(labels(&told[2], "firing"), ["plate=P6", "plate=P7"]);
}

#[tokio::test]
async fn a_silenced_alert_is_told_of_when_the_silence_is_over() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    make(&lab, "low", "yield < 40 BY plate").await;
    until_state(&lab, "low", "ok").await;
    lab.update("sam", "ALTER ALERT low SILENCE FOR 1 DAY").await.unwrap();
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P3,10\n5,P4,10\n");
    until_state(&lab, "low", "firing").await;
    // One of them is well again before anybody was told.
    lab.update("ada", &format!("DELETE FROM {RUNS} WHERE run = 5"))
        .await
        .unwrap();
    until_events(&lab, "low", "firing", 2).await;
    assert!(receiver.received().is_empty());
    lab.update("sam", "ALTER ALERT low SILENCE OFF").await.unwrap();
    let received = receiver.until(1, &lab).await;
    assert_eq!(received[0]["body"]["firing"].as_array().unwrap().len(), 1);
    assert_eq!(received[0]["body"]["firing"][0]["label"], "plate=P3");

    // Disabled, nothing is looked at.
    lab.update("sam", "ALTER ALERT low DISABLE").await.unwrap();
    lab.land("chemistry/runs/c.csv", "run,plate,yield\n6,P5,10\n");
    lab.until("sam", &format!("SELECT count(*) AS n FROM {RUNS}"), shows("5"))
        .await;
    make(&lab, "witness", "yield < 40 BY plate").await;
    until_state(&lab, "witness", "firing").await;
    until_events(&lab, "witness", "sent", 1).await;
    assert_eq!(about(&receiver, "low").len(), 1);
    lab.update("sam", "ALTER ALERT low ENABLE").await.unwrap();
    until_events(&lab, "low", "sent", 2).await;
    assert_eq!(about(&receiver, "low")[1]["firing"][0]["label"], "plate=P5");
}

#[tokio::test]
async fn an_alert_over_two_tables_follows_both() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.land("chemistry/limits/a.csv", "plate,least\nP1,10\n");
    lab.until("sam", "SELECT count(*) AS n FROM lab.chemistry.limits", shows("1"))
        .await;
    make(
        &lab,
        "below",
        "EXISTS (SELECT 1 FROM lab.chemistry.limits AS l WHERE l.plate = runs.plate AND runs.yield < l.least) BY plate",
    )
    .await;
    until_state(&lab, "below", "ok").await;
    lab.land("chemistry/limits/b.csv", "plate,least\nP2,75\n");
    until_state(&lab, "below", "firing").await;
    receiver.until(1, &lab).await;
    assert_eq!(about(&receiver, "below")[0]["firing"][0]["label"], "plate=P2");
}

#[tokio::test]
async fn a_report_comes_by_the_clock_as_each_recipient_sees_it() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.land(
        "chemistry/reactions/a.csv",
        "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n1,<b>P1</b>,released,mara,CCO,80\n2,PSECRET,draft,jon,CCN,11\n",
    );
    lab.until("sam", "SELECT count(*) AS n FROM lab.chemistry.reactions", shows("2"))
        .await;
    // It stays sam's, and the administrator names one who sees nothing of it.
    for (who, to) in [("sam", "sam, ana"), ("ada", "sam, ana, guest")] {
        let sql = format!(
            "CREATE OR REPLACE REPORT plates AS SELECT plate_id, avg(yield_pct) AS \"<script>mean\" FROM lab.chemistry.reactions GROUP BY plate_id ORDER BY plate_id \
             EVERY 2 SECONDS MESSAGE 'All plates.' NOTIFY {to} BY email"
        );
        lab.update(who, &sql).await.unwrap();
    }
    let received = receiver.until(4, &lab).await;
    let to = |who: &str| received.iter().filter(|m| m["to"][0] == who).collect::<Vec<_>>();
    let (sam, ana) = (to("sam@lab.example"), to("ana@lab.example"));
    assert!(
        !sam.is_empty() && !ana.is_empty() && to("guest@lab.example").is_empty(),
        "{received:#?}"
    );
    assert_eq!(sam[0]["subject"], "[labhouse] lab.chemistry.plates");
    let html = sam[0]["html"].as_str().unwrap();
    assert!(
        html.contains("<td") && html.contains("&lt;b&gt;P1&lt;/b&gt;") && html.contains("PSECRET"),
        "{html}"
    );
    assert!(
        html.contains("&lt;script&gt;mean") && !html.contains("<script"),
        "{html}"
    );
    for mail in ana {
        assert!(mail["text"].as_str().unwrap().contains("<b>P1</b>\t80"), "{mail}");
        assert!(!mail.to_string().contains("PSECRET"), "{mail}");
    }
    // Silent, it is not sent; its times pass, and are not made up for.
    lab.update("sam", "ALTER REPORT plates SILENCE FOR 1 DAY")
        .await
        .unwrap();
    let silent =
        "SELECT count(*) >= 2 AS n FROM system.alert_events WHERE alert_name = 'plates' AND detail = 'it is silent'";
    let made = "SELECT count(*) FROM system.alert_events WHERE alert_name = 'plates' AND event = 'report'";
    lab.until("sam", "SELECT waiting FROM system.alerts", shows("0")).await;
    let (before, made_before) = (receiver.received().len(), lab.number("sam", made).await);
    lab.until("sam", silent, shows("true")).await;
    assert_eq!(
        (receiver.received().len(), lab.number("sam", made).await),
        (before, made_before)
    );
    lab.update("sam", "ALTER REPORT plates SILENCE OFF").await.unwrap();
    receiver.until(before + 2, &lab).await;
    lab.update("sam", "ALTER REPORT plates DISABLE").await.unwrap();
    lab.update("sam", "DROP REPORT plates").await.unwrap();
    assert_eq!(lab.number("sam", "SELECT count(*) FROM system.alerts").await, 0);
    // By the calendar: nothing is sent before its time.
    lab.update(
        "sam",
        "CREATE REPORT leap CRON '0 0 29 2 *' NOTIFY sam BY hook AS SELECT count(*) AS n FROM lab.chemistry.reactions",
    )
    .await
    .unwrap();
    assert!(
        lab.text("sam", "SELECT schedule, state FROM system.alerts")
            .await
            .contains("cron 0 0 29 2 *")
    );
    assert!(about(&receiver, "leap").is_empty());
}
