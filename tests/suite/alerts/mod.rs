//! Alerts and reports, through the doors and to the other end: a real mail server and a real receiver.

mod crash;
mod demo;
mod missing;
mod people;
mod receiver;
mod rules;
mod sending;

use crate::lab::{self, Server, shows};
use crate::page_browser::browse;
use receiver::Receiver;

const RUNS: &str = "lab.chemistry.runs";

/// A lab with a table of runs, whose people have addresses, and the other end.
async fn lab_with(receiver: &Receiver) -> Server {
    let config = receiver.config("ca.pem");
    let lab = lab::empty(|text| format!("{text}{config}"));
    with_runs(lab).await
}

async fn with_runs(lab: Server) -> Server {
    addresses(&lab);
    lab.land("chemistry/runs/a.csv", "run,plate,yield\n1,P1,60\n2,P1,50\n3,P2,70\n");
    lab.until("ada", &format!("SELECT count(*) FROM {RUNS}"), shows("3"))
        .await;
    lab
}

/// Gives everybody an address, as an administrator does.
fn addresses(lab: &Server) {
    let path = lab.dir.join("users.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for name in ["ada", "sam", "ana", "dee", "guest"] {
        text.push_str(&format!(
            "\n[users.{name}.attributes]\nemail = \"{name}@lab.example\"\n"
        ));
    }
    std::fs::write(&path, text).unwrap();
}

/// Waits until the owner sees his alert in a state. One that nobody looked at yet is `ok` too, and does not count.
async fn until_state(lab: &Server, alert: &str, state: &str) {
    let sql = format!("SELECT state FROM system.alerts WHERE alert_name = '{alert}' AND looked_at IS NOT NULL");
    lab.until("ada", &sql, shows(state)).await;
}

/// Waits until so many events of a kind are written down.
async fn until_events(lab: &Server, alert: &str, event: &str, count: i64) {
    let sql =
        format!("SELECT count(*) AS n FROM system.alert_events WHERE alert_name = '{alert}' AND event = '{event}'");
    lab.until("ada", &sql, shows(&count.to_string())).await;
}

#[tokio::test]
async fn each_transition_is_told_once_by_every_channel() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "sam",
        &format!(
            "CREATE ALERT low ON {RUNS} WHEN avg(yield) < 45 BY plate MESSAGE 'Look at <b>it</b>.' \
             NOTIFY sam BY email AND hook AND plain_hook AND team AND outbox"
        ),
    )
    .await
    .unwrap();
    until_state(&lab, "low", "ok").await;
    assert!(receiver.received().is_empty(), "nothing happened yet");

    // A plate whose name is an attack, below the limit.
    lab.land(
        "chemistry/runs/b.csv",
        "run,plate,yield\n4,\"<img src=x onerror=alert(1)>\",10\n5,P2,71\n",
    );
    until_state(&lab, "low", "firing").await;
    let received = receiver.until(4, &lab).await;
    let by = |by: &str, n: usize| {
        received
            .iter()
            .filter(|m| m["by"] == by)
            .nth(n)
            .unwrap_or_else(|| panic!("{by} {n}"))
            .clone()
    };
    let mail = by("smtp", 0);
    assert_eq!(
        (mail["tls"].as_bool(), mail["login"].as_str()),
        (Some(true), Some("labhouse"))
    );
    assert_eq!(mail["to"][0], "sam@lab.example");
    assert_eq!(
        mail["subject"],
        "[labhouse] firing: lab.chemistry.low for plate=<img src=x onerror=alert(1)>"
    );
    let html = mail["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;img src=x onerror=alert(1)&gt;") && !html.contains("<img"),
        "{html}"
    );
    assert!(html.contains("Look at &lt;b&gt;it&lt;/b&gt;."), "{html}");
    assert!(
        mail["text"].as_str().unwrap().contains("onerror=alert(1)>: 10"),
        "{mail}"
    );
    let hook = by("hook", 0);
    assert_eq!(hook["body"]["state"], "firing");
    assert_eq!(hook["body"]["firing"][0]["label"], "plate=<img src=x onerror=alert(1)>");
    assert_eq!(hook["body"]["firing"][0]["value"], 10.0);
    assert_eq!(hook["body"]["id"], hook["id"]);
    assert_eq!(by("hook", 1)["body"]["recipient"], "sam", "encrypted and plain");
    assert!(!by("slack", 0)["body"]["text"].as_str().unwrap().contains('<'));

    // More of the same is no transition; the plate's mean rising is one.
    lab.land(
        "chemistry/runs/c.csv",
        "run,plate,yield\n6,\"<img src=x onerror=alert(1)>\",12\n",
    );
    lab.until("ada", &format!("SELECT count(*) FROM {RUNS}"), shows("6"))
        .await;
    lab.land(
        "chemistry/runs/d.csv",
        "run,plate,yield\n7,\"<img src=x onerror=alert(1)>\",500\n",
    );
    until_state(&lab, "low", "ok").await;
    let received = receiver.until(8, &lab).await;
    assert_eq!(received.len(), 8, "{received:#?}");
    assert_eq!(
        received
            .iter()
            .filter(|m| m["by"] == "hook" && m["body"]["state"] == "ok")
            .count(),
        2
    );
    until_events(&lab, "low", "sent", 10).await;
    let ids: std::collections::BTreeSet<&str> = received.iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(ids.len(), 8);

    // Mails as files: both, and whole.
    let outbox: Vec<_> = std::fs::read_dir(lab.dir.join("outbox")).unwrap().flatten().collect();
    assert_eq!(outbox.len(), 2);
    for file in outbox {
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(
            text.contains("Message-ID: <") && text.contains("To: sam@lab.example"),
            "{text}"
        );
    }

    // The trail knows: who made it, what it came to, what was sent to whom.
    let audit = "SELECT count(*) AS n FROM system.audit WHERE";
    for (sql, n) in [
        (
            format!("{audit} action = 'create_alert' AND principal = 'sam' AND verdict = 'allowed'"),
            "1",
        ),
        (
            format!("{audit} event = 'alert' AND reason = 'firing' AND principal = 'sam'"),
            "1",
        ),
        (format!("{audit} event = 'alert' AND reason = 'ok'"), "1"),
        (
            format!("{audit} event = 'notification' AND reason = 'sent' AND principal = 'sam'"),
            "10",
        ),
        (
            format!("{audit} detail LIKE '%onerror%' OR statement LIKE '%onerror%'"),
            "0",
        ),
    ] {
        lab.until("ada", &sql, shows(n)).await;
    }
}

#[tokio::test]
async fn the_page_makes_an_alert_and_shows_what_becomes_of_it() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    browse(&lab, "alerts.mjs");
    let received = receiver.received();
    let states: Vec<&str> = received.iter().filter_map(|m| m["body"]["state"].as_str()).collect();
    assert_eq!(
        states,
        ["firing", "ok"],
        "the receiver takes signed calls only: {received:#?}"
    );
    assert_eq!(std::fs::read_dir(lab.dir.join("outbox")).unwrap().count(), 2);
}

#[tokio::test]
async fn only_the_owner_and_an_administrator_change_an_alert_and_others_see_none() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    let make = |name: &str| format!("CREATE ALERT {name} ON {RUNS} WHEN yield < 0 NOTIFY sam BY outbox");
    lab.update("sam", &make("a")).await.unwrap();
    lab.update("ada", &make("b")).await.unwrap();

    // Closed: whoever may not watch, may not; whoever does not see, finds nothing.
    for (who, says) in [
        ("ana", "may not alert"),
        ("dee", "may not alert"),
        ("guest", "not found"),
    ] {
        let error = lab.update(who, &make("c")).await.unwrap_err();
        assert!(error.contains(says), "{who}: {error}");
    }
    let hidden = lab
        .update(
            "sam",
            "CREATE ALERT c ON lab.adme.clearance WHEN true NOTIFY sam BY outbox",
        )
        .await;
    let absent = lab
        .update(
            "sam",
            "CREATE ALERT c ON lab.adme.nothing WHEN true NOTIFY sam BY outbox",
        )
        .await;
    assert_eq!(
        hidden.unwrap_err().replace("clearance", "X"),
        absent.unwrap_err().replace("nothing", "X")
    );
    // A subquery reads with the same eyes.
    let through = format!("CREATE ALERT c ON {RUNS} WHEN EXISTS (SELECT 1 FROM lab.system.audit) NOTIFY sam BY outbox");
    assert!(lab.update("sam", &through).await.unwrap_err().contains("not found"));

    for sql in [
        "DROP ALERT b",
        "ALTER ALERT b DISABLE",
        "ALTER ALERT chemistry.b SILENCE FOR 1 HOUR",
    ] {
        let there = lab.update("sam", sql).await.unwrap_err();
        let not_there = lab
            .update("sam", &sql.replace(" b", " z").replace(".b", ".z"))
            .await
            .unwrap_err();
        assert_eq!(there.replace("b'", "z'"), not_there, "{sql}");
    }
    let taken = lab
        .update("sam", &make("b").replace("CREATE", "CREATE OR REPLACE"))
        .await
        .unwrap_err();
    assert!(taken.contains("taken"), "{taken}");
    assert!(
        lab.update("sam", &make("a"))
            .await
            .unwrap_err()
            .contains("CREATE OR REPLACE")
    );
    lab.update("sam", &make("a").replace("CREATE", "CREATE OR REPLACE"))
        .await
        .unwrap();

    // Own rows for a person, all for an administrator.
    let seen = "SELECT count(*) FROM system.alerts";
    assert_eq!((lab.number("ada", seen).await, lab.number("sam", seen).await), (2, 1));
    for who in ["ana", "guest", "dee"] {
        assert!(lab.query(who, seen).await.is_err(), "{who}");
    }
    let events = "SELECT count(*) FROM system.alert_events WHERE alert_name = 'b'";
    assert!(lab.number("ada", events).await > 0);
    assert_eq!(lab.number("sam", events).await, 0);

    // Addresses are the administrator's.
    for (sql, says) in [
        (
            format!("CREATE ALERT d ON {RUNS} WHEN true NOTIFY sam BY 'https://evil.example/'"),
            "there is no channel",
        ),
        (
            format!("CREATE ALERT d ON {RUNS} WHEN nothing > 1 NOTIFY sam BY outbox"),
            "nothing",
        ),
        (
            format!("CREATE ALERT d ON {RUNS} WHEN avg(run) DEVIATES PER DAY OF plate NOTIFY sam BY outbox"),
            "",
        ),
        (
            format!("CREATE ALERT chemist.d ON {RUNS} WHEN true NOTIFY sam BY outbox"),
            "schema of its table",
        ),
    ] {
        let error = lab.update("sam", &sql).await.unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
    // An administrator changes the rule: it stays his whose it was, silent and off if it was.
    lab.update("sam", "ALTER ALERT a SILENCE FOR 1 DAY").await.unwrap();
    lab.update("ada", "ALTER ALERT a DISABLE").await.unwrap();
    let changed = make("a").replace("CREATE", "CREATE OR REPLACE").replace("< 0", "< -1");
    lab.update("ada", &changed).await.unwrap();
    let kept = "SELECT count(*) FROM system.alerts WHERE owner = 'sam' AND rule = 'yield < -1' AND NOT enabled AND silent_until IS NOT NULL";
    assert_eq!(lab.number("sam", kept).await, 1);
    assert_eq!(
        lab.number("sam", "SELECT count(*) FROM system.alerts WHERE NOT enabled")
            .await,
        1
    );
    lab.update("ada", "DROP ALERT a").await.unwrap();
    assert!(
        lab.update("sam", "DROP ALERT a")
            .await
            .unwrap_err()
            .contains("not found")
    );
    lab.update("sam", "DROP ALERT IF EXISTS a").await.unwrap();
    assert_eq!(lab.number("sam", seen).await, 0);
}

#[tokio::test]
async fn a_stranger_with_a_certificate_of_its_own_gets_nothing() {
    let receiver = Receiver::start();
    let config = receiver.config("stranger.pem");
    let lab = with_runs(lab::empty(|text| format!("{text}{config}"))).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT low ON {RUNS} WHEN yield < 55 NOTIFY sam BY email AND hook"),
    )
    .await
    .unwrap();
    until_state(&lab, "low", "firing").await;
    lab.until("sam", "SELECT 1 AS n", |_| {
        lab.log().matches("is tried again").count() >= 2
    })
    .await;
    assert!(receiver.received().is_empty());
}
