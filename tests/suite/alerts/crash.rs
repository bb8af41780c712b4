//! Killed at any moment, or served twice: no transition is lost, none is told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::receiver::Receiver;
use super::{RUNS, lab_with, until_events, until_state};
use crate::lab::{self, BINARY, Server};

fn serve(lab: &mut Server) -> Server {
    let dir = lab.dir.clone();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config"]).arg(dir.join("labhouse.toml"));
    lab::start(&mut command, &dir, None)
}

/// Kills a server at once and serves the lab anew.
pub(super) fn kill_and_serve(mut lab: Server) -> Server {
    lab.child.kill().unwrap();
    lab.child.wait().unwrap();
    let mut next = serve(&mut lab);
    // The folder lives as long as the last server on it.
    next.keep(lab.into_dir());
    next
}

/// The plates that were told of, and how often each.
fn told(receiver: &Receiver) -> BTreeMap<String, BTreeSet<String>> {
    let mut plates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in receiver.received() {
        for line in message["body"]["firing"].as_array().unwrap() {
            let label = line["label"].as_str().unwrap().to_owned();
            plates
                .entry(label)
                .or_default()
                .insert(message["id"].as_str().unwrap().to_owned());
        }
    }
    plates
}

#[tokio::test]
async fn a_restart_tells_nothing_again_and_forgets_nothing() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT low ON {RUNS} WHEN yield < 55 BY plate NOTIFY sam BY hook"),
    )
    .await
    .unwrap();
    until_events(&lab, "low", "sent", 1).await;
    let lab = kill_and_serve(lab);
    until_state(&lab, "low", "firing").await;
    lab.land("chemistry/runs/b.csv", "run,plate,yield\n4,P7,10\n");
    until_events(&lab, "low", "sent", 2).await;
    let told = told(&receiver);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["plate=P1", "plate=P7"]);
    assert_eq!(receiver.received().len(), 2);
}

/// The server dies between the transition and the sending, 20 times: the receiver is down until it is dead.
#[tokio::test]
async fn killed_between_transition_and_sending_nothing_is_lost_and_nothing_comes_twice() {
    const KILLS: usize = 20;
    let receiver = Receiver::start();
    let mut lab = lab_with(&receiver).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT low ON {RUNS} WHEN yield < 45 BY plate NOTIFY sam BY hook"),
    )
    .await
    .unwrap();
    until_state(&lab, "low", "ok").await;
    for n in 0..KILLS {
        receiver.set("down", true);
        lab.land(
            &format!("chemistry/runs/kill_{n}.csv"),
            format!("run,plate,yield\n{n},K{n},10\n"),
        );
        // The transition is in the lake; its message is not sent.
        until_events(&lab, "low", "firing", i64::try_from(n + 1).unwrap()).await;
        lab.child.kill().unwrap();
        lab.child.wait().unwrap();
        receiver.set("down", false);
        let mut next = serve(&mut lab);
        next.keep(lab.into_dir());
        lab = next;
        if n % 5 == 4 {
            receiver.until(n + 1, &lab).await;
        }
    }
    until_events(&lab, "low", "sent", i64::try_from(KILLS).unwrap()).await;
    let told = told(&receiver);
    let expected: BTreeSet<String> = (0..KILLS).map(|n| format!("plate=K{n}")).collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (plate, ids) in &told {
        assert_eq!(ids.len(), 1, "{plate} was told as {ids:?}");
    }
    assert_eq!(receiver.received().len(), KILLS, "nothing was even sent twice");
}

/// The server dies at any moment while messages are taken: what comes twice has the same number.
#[tokio::test]
async fn killed_at_any_moment_every_transition_arrives_under_one_number() {
    const KILLS: u64 = 20;
    let receiver = Receiver::start();
    let mut lab = lab_with(&receiver).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT low ON {RUNS} WHEN yield < 45 BY plate NOTIFY sam BY hook AND email"),
    )
    .await
    .unwrap();
    until_state(&lab, "low", "ok").await;
    for n in 0..KILLS {
        lab.land(
            &format!("chemistry/runs/kill_{n}.csv"),
            format!("run,plate,yield\n{n},K{n},10\n"),
        );
        // The moments are spread over the time that a sweep, a look and a sending take.
        tokio::time::sleep(std::time::Duration::from_millis(400 + 60 * n)).await;
        lab = kill_and_serve(lab);
    }
    let firing =
        format!("SELECT firing FROM system.alerts WHERE alert_name = 'low' AND firing = {KILLS} AND waiting = 0");
    lab.until("ada", &firing, super::shows(&KILLS.to_string())).await;
    let received = receiver.received();
    let mut plates: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for message in &received {
        let by = message["by"].as_str().unwrap();
        let labels: Vec<String> = match by {
            "smtp" => {
                let lines = message["text"].as_str().unwrap().lines();
                let labels = lines.filter_map(|line| line.strip_prefix("- ")?.split(':').next());
                labels.map(str::to_owned).collect()
            }
            _ => {
                let firing = message["body"]["firing"].as_array().unwrap().iter();
                firing.map(|line| line["label"].as_str().unwrap().to_owned()).collect()
            }
        };
        for label in labels {
            let ids = plates.entry((by.to_owned(), label)).or_default();
            ids.insert(message["id"].as_str().unwrap().to_owned());
        }
    }
    for by in ["smtp", "hook"] {
        for n in 0..KILLS {
            let ids = plates.get(&(by.to_owned(), format!("plate=K{n}")));
            assert_eq!(ids.map(BTreeSet::len), Some(1), "{by} K{n}: {ids:?}");
        }
    }
    let numbers: BTreeSet<_> = received
        .iter()
        .map(|m| (m["by"].to_string(), m["id"].to_string()))
        .collect();
    println!(
        "{} messages arrived, {} of them a second time",
        received.len(),
        received.len() - numbers.len()
    );
}

#[tokio::test]
async fn two_servers_on_one_lake_tell_once() {
    let receiver = Receiver::start();
    let mut first = lab_with(&receiver).await;
    let second = serve(&mut first);
    let sql = format!("CREATE ALERT low ON {RUNS} WHEN yield < 45 BY plate NOTIFY sam BY hook");
    first.update("sam", &sql).await.unwrap();
    until_state(&second, "low", "ok").await;
    for n in 0..5 {
        first.land(
            &format!("chemistry/runs/two_{n}.csv"),
            format!("run,plate,yield\n{n},T{n},10\n"),
        );
        until_events(&first, "low", "firing", n + 1).await;
    }
    for server in [&first, &second] {
        until_events(server, "low", "sent", 5).await;
    }
    let told = told(&receiver);
    assert_eq!(told.len(), 5);
    assert_eq!(receiver.received().len(), 5, "{told:#?}");
    // What one changes the other obeys.
    second.update("sam", "DROP ALERT low").await.unwrap();
    first
        .until("sam", "SELECT count(*) AS n FROM system.alerts", super::shows("0"))
        .await;
}
