//! Messages on their way: what is tried again, what is final, and what is no message any more.

use super::crash::kill_and_serve;
use super::receiver::Receiver;
use super::{RUNS, lab_with, shows, until_events, until_state};
use crate::lab::{self, Server};

const LOW: &str = "CREATE ALERT low ON lab.chemistry.runs WHEN yield < 55";

fn tries(lab: &Server) -> usize {
    lab.log().matches("is tried again").count()
}

async fn until_tried(lab: &Server, times: usize) {
    lab.until("sam", "SELECT 1 AS n", |_| tries(lab) >= times).await;
}

fn waiting(alert: &str) -> String {
    format!("SELECT waiting FROM system.alerts WHERE alert_name = '{alert}'")
}

#[tokio::test]
async fn a_receiver_that_is_down_is_tried_again_and_one_that_refuses_is_not() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    receiver.set("down", true);
    lab.update("sam", &format!("{LOW} NOTIFY sam BY email AND hook"))
        .await
        .unwrap();
    until_state(&lab, "low", "firing").await;
    until_tried(&lab, 2).await;
    assert!(receiver.received().is_empty());
    receiver.set("down", false);
    receiver.until(2, &lab).await;
    until_events(&lab, "low", "sent", 2).await;

    // Elsewhere is not where it was allowed to go; that may pass.
    let elsewhere = "CREATE ALERT astray ON lab.chemistry.runs WHEN yield < 55 NOTIFY sam BY elsewhere";
    lab.update("sam", elsewhere).await.unwrap();
    lab.until("sam", "SELECT 1 AS n", |_| {
        lab.log().contains("the receiver sends elsewhere (307")
    })
    .await;
    assert_eq!(lab.number("sam", &waiting("astray")).await, 1);
    lab.update("sam", "DROP ALERT astray").await.unwrap();

    receiver.set("refuse", true);
    let changed = format!("{LOW} NOTIFY sam BY email AND hook").replace("CREATE", "CREATE OR REPLACE");
    lab.update("sam", &changed.replace("55", "65")).await.unwrap();
    until_events(&lab, "low", "failed", 2).await;
    lab.until("sam", &waiting("low"), shows("0")).await;
    assert_eq!(receiver.received().len(), 2, "{:#?}", receiver.received());
}

/// A login that is not taken, a full disk, a path that is not there while a receiver is changed: none of it is of the recipient.
#[tokio::test]
async fn what_is_wrong_with_a_receiver_for_a_while_loses_nothing() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    for (mood, name) in [("locked", "a"), ("full", "b")] {
        receiver.set(mood, true);
        let before = tries(&lab);
        let make = format!("{LOW} NOTIFY sam BY email AND hook").replace(" low ", &format!(" {name} "));
        lab.update("sam", &make).await.unwrap();
        until_tried(&lab, before + 4).await;
        until_events(&lab, name, "failed", 0).await;
        assert_eq!(lab.number("sam", &waiting(name)).await, 2);
        receiver.set(mood, false);
        until_events(&lab, name, "sent", 2).await;
    }
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test]
async fn what_the_config_or_the_users_file_lacks_is_waited_for() {
    let receiver = Receiver::start();
    let config = receiver.config("ca.pem");
    let mut lab = lab::empty(|text| format!("{text}{config}"));
    lab.land("chemistry/runs/a.csv", "run,plate,yield\n1,P1,60\n2,P1,50\n");
    lab.until("ada", &format!("SELECT count(*) FROM {RUNS}"), shows("2"))
        .await;
    lab.update("sam", &format!("{LOW} NOTIFY sam BY email")).await.unwrap();
    lab.until("sam", "SELECT 1 AS n", |_| lab.log().contains("sam has no address"))
        .await;
    assert_eq!(lab.number("sam", &waiting("low")).await, 1);
    super::addresses(&lab);
    until_events(&lab, "low", "sent", 1).await;

    // A channel that is taken out of the config, and put back.
    receiver.set("down", true);
    let make = format!("{LOW} NOTIFY sam BY team").replace(" low ", " team_low ");
    lab.update("sam", &make).await.unwrap();
    lab.until("sam", &waiting("team_low"), shows("1")).await;
    let path = lab.dir.join("labhouse.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("channels.team]", "channels.other]")).unwrap();
    receiver.set("down", false);
    lab = kill_and_serve(lab);
    lab.until("sam", "SELECT 1 AS n", |_| {
        lab.log().contains("the channel team is not configured any more")
    })
    .await;
    until_events(&lab, "team_low", "failed", 0).await;
    std::fs::write(&path, whole).unwrap();
    lab = kill_and_serve(lab);
    until_events(&lab, "team_low", "sent", 1).await;
    assert_eq!(receiver.received().len(), 2, "{:#?}", receiver.received());
}

/// A mail server that takes a message and is long in saying so gets it once.
#[tokio::test]
async fn a_slow_mail_server_gets_a_message_once() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    receiver.set("slow", true);
    lab.update("sam", &format!("{LOW} NOTIFY sam BY email")).await.unwrap();
    until_events(&lab, "low", "sent", 1).await;
    assert_eq!(receiver.received().len(), 1, "{:#?}", receiver.received());
    assert_eq!(tries(&lab), 0);
}

#[tokio::test]
async fn a_rule_that_is_made_anew_unchanged_tells_nobody_anew() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    let make = |limit: u32, to: &str| {
        format!("CREATE OR REPLACE ALERT low ON {RUNS} WHEN yield < {limit} MESSAGE 'Look.' NOTIFY {to} BY email")
    };
    lab.update("sam", &make(55, "sam")).await.unwrap();
    until_events(&lab, "low", "sent", 1).await;
    // Another recipient is told for the first time; whoever was told is not told again.
    lab.update("sam", &make(55, "sam, dee")).await.unwrap();
    until_events(&lab, "low", "sent", 2).await;
    let to = |who: &str| {
        let address = format!("{who}@lab.example");
        let all = receiver.received();
        all.iter().filter(|mail| mail["to"][0] == address.as_str()).count()
    };
    assert_eq!((to("sam"), to("dee")), (1, 1));
    let since = "SELECT CAST(since AS VARCHAR) AS s FROM system.alerts";
    let before = lab.text("sam", since).await;
    lab.update("sam", &make(55, "dee, sam")).await.unwrap();
    until_state(&lab, "low", "firing").await;
    assert_eq!(lab.text("sam", since).await, before);
    // Another rule is another alert. What one was told who is no recipient any more goes with him.
    lab.update("sam", &make(65, "sam")).await.unwrap();
    until_events(&lab, "low", "sent", 2).await;
    assert_eq!((to("sam"), to("dee")), (2, 1));
}

#[tokio::test]
async fn of_reports_that_wait_there_is_the_newest() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    receiver.set("down", true);
    let make =
        format!("CREATE REPORT often AS SELECT count(*) AS n FROM {RUNS} EVERY 1 SECOND NOTIFY sam, dee BY email");
    lab.update("sam", &make).await.unwrap();
    let events = |event: &str| {
        format!("SELECT count(*) >= 4 AS n FROM system.alert_events WHERE alert_name = 'often' AND event = '{event}'")
    };
    lab.until("ada", &events("replaced"), shows("true")).await;
    lab.until("sam", &events("report"), shows("true")).await;
    // At most the one that is being tried, and the one after it, for each of two.
    let all = lab.number("ada", &waiting("often")).await;
    assert!((1..=4).contains(&all), "{all}");
    assert!(lab.number("sam", &waiting("often")).await <= 2);
    lab.update("sam", "ALTER REPORT often DISABLE").await.unwrap();
    receiver.set("down", false);
    lab.until("ada", &waiting("often"), shows("0")).await;
    assert!(
        (2..=4).contains(&receiver.received().len()),
        "{:#?}",
        receiver.received()
    );
}

#[tokio::test]
async fn watching_takes_a_grant_on_the_place_and_on_all_that_is_read() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    let series = "run_at,area\n2026-01-01,50\n2026-01-02,51\n2026-01-03,50\n2026-01-04,52\n2026-01-05,50\n2026-01-06,51\n2026-01-07,50\n2026-01-08,51\n2026-01-09,52\n2026-01-10,50\n";
    for schema in ["chemistry", "chembl"] {
        lab.land(&format!("{schema}/qc/a.csv"), series);
        lab.until("sam", &format!("SELECT count(*) FROM lab.{schema}.qc"), shows("10"))
            .await;
    }
    let scores = |schema: &str| format!("SELECT count(*) AS n FROM anomaly_score('lab.{schema}.qc', 'run_at', 'area')");
    assert_eq!(lab.number("sam", &scores("chembl")).await, 10);
    let report =
        |name: &str, query: &str| format!("CREATE REPORT {name} AS {query} CRON '0 0 29 2 *' NOTIFY sam BY outbox");
    for (who, sql) in [
        ("guest", report("chemistry.x", "SELECT 1 AS a")),
        ("dee", report("chemistry.x", "SELECT 1 AS a")),
        ("sam", report("chembl.x", "SELECT 1 AS a")),
        ("sam", report("chemistry.x", &scores("chembl"))),
        (
            "sam",
            format!(
                "CREATE ALERT x ON {RUNS} WHEN ({}) > 1 NOTIFY sam BY outbox",
                scores("chembl")
            ),
        ),
    ] {
        let error = lab.update(who, &sql).await.unwrap_err();
        assert!(error.contains(&format!("{who} may not alert")), "{who}: {sql}: {error}");
    }
    lab.update("sam", &report("chemistry.plain", "SELECT 1 AS a"))
        .await
        .unwrap();
    lab.update("sam", &report("chemistry.read", &scores("chemistry")))
        .await
        .unwrap();
    // What a function reads is followed like what is named.
    let make = format!(
        "CREATE ALERT more ON {RUNS} WHEN ({}) > 10 NOTIFY sam BY outbox",
        scores("chemistry")
    );
    lab.update("sam", &make).await.unwrap();
    until_state(&lab, "more", "ok").await;
    lab.land("chemistry/qc/b.csv", "run_at,area\n2026-01-11,50\n");
    until_state(&lab, "more", "firing").await;
}

/// A report over a function's table, waiting while its recipient's rights end: it is not sent as it was made.
#[tokio::test]
async fn a_report_that_waits_is_made_anew_when_what_a_function_reads_is_closed() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.land(
        "chemistry/qc/a.csv",
        "run_at,area\n2026-01-01,50.25\n2026-01-02,51\n2026-01-03,50\n2026-01-04,52\n",
    );
    let scores = "SELECT max(value) AS largest FROM anomaly_score('lab.chemistry.qc', 'run_at', 'area')";
    lab.until("ana", scores, |shown| shown.is_ok()).await;
    receiver.set("down", true);
    lab.update(
        "sam",
        &format!("CREATE REPORT chemistry.r AS {scores} EVERY 2 SECONDS NOTIFY ana BY email"),
    )
    .await
    .unwrap();
    lab.until("ada", &waiting("r"), shows("1")).await;
    lab.update("sam", "ALTER REPORT r DISABLE").await.unwrap();
    lab.update("ada", "ALTER TABLE lab.chemistry.qc SET TAGS (pii = true)")
        .await
        .unwrap();
    lab.until("ana", scores, |shown| shown.is_err()).await;
    receiver.set("down", false);
    lab.until("ada", &waiting("r"), shows("0")).await;
    let withheld = "SELECT count(*) FROM system.alert_events WHERE event = 'withheld' AND recipient = 'ana'";
    assert!(lab.number("ada", withheld).await >= 1);
    assert!(receiver.received().is_empty(), "{:#?}", receiver.received());
}
