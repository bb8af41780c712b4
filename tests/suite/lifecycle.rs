//! Start, drain, stop, and what a server says when it cannot start.

use std::process::Command;
use std::time::Duration;

use crate::lab::{self, BINARY, PATIENCE};

/// Runs long enough to be met by a signal, whatever the machine: cancelled or drained, never waited for in full.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 4000000) a, generate_series(1, 1000000) b WHERE a.value % 7 = b.value % 11";

#[test]
fn sigterm_ends_an_idle_server_with_zero() {
    let mut lab = lab::shared();
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_running_statement_finish() {
    let mut lab = lab::shared();
    let mut client = lab.client("ada").await;
    let sql = "SELECT count(*) FROM generate_series(1, 30000000) WHERE value % 3 = 0".to_owned();
    let info = client.execute(sql, None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    lab.until(
        "ada",
        "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%30000000%'",
        |answer| {
            answer
                .as_ref()
                .is_ok_and(|text| text.contains("| 1 ") || text.contains("| 2 "))
        },
    )
    .await;
    lab.terminate();
    let batch = futures::TryStreamExt::try_next(&mut stream).await.unwrap().unwrap();
    assert_eq!(batch.num_rows(), 1);
    drop((stream, client));
    assert!(lab.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    let mut lab = lab::shared();
    let mut client = lab.client("ada").await;
    let info = client.execute(SLOW.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let running = tokio::spawn(async move {
        let stream = client.do_get(ticket).await?;
        futures::TryStreamExt::try_collect::<Vec<_>>(stream).await
    });
    lab.until(
        "ada",
        "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%4000000%'",
        |answer| {
            answer
                .as_ref()
                .is_ok_and(|text| text.contains("| 1 ") || text.contains("| 2 "))
        },
    )
    .await;
    lab.terminate();
    tokio::time::sleep(Duration::from_millis(200)).await;
    lab.terminate();
    let ended = tokio::task::spawn_blocking(move || lab.child.wait().unwrap());
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the second signal was not obeyed")
        .unwrap();
    assert!(running.await.unwrap().is_err(), "the statement cannot have finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_leaves_ends_his_statement() {
    let lab = lab::shared();
    let mut client = lab.client("ada").await;
    let info = client.execute(SLOW.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let reading = tokio::spawn(async move {
        let stream = client.do_get(ticket).await?;
        futures::TryStreamExt::try_collect::<Vec<_>>(stream).await
    });
    let state = "SELECT state FROM system.queries WHERE sql LIKE '%4000000%' AND sql NOT LIKE '%system.queries%'";
    lab.until("ada", state, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("running"))
    })
    .await;
    reading.abort();
    lab.until("ada", state, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("cancelled"))
    })
    .await;
}

#[test]
fn a_taken_port_and_wrong_files_are_told_in_words() {
    let lab = lab::shared();
    let taken = lab.flight.trim_start_matches("grpc://").to_owned();
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let config = own.path().join("labhouse.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let attempts = [
        (
            good.replace("flight = \"127.0.0.1:0\"", &format!("flight = \"{taken}\"")),
            "port",
        ),
        (good.replace("[crawl]", "[crawl]\nspeed = 9"), "speed"),
        (format!("{good}[policies]\ndir = \"nowhere\"\n"), "nowhere"),
        (format!("{good}[auth]\nusers = \"nobody.toml\"\n"), "labhouse user add"),
        (good.replace("url = \".\"", "url = \"ftp://x/y\""), "ftp"),
    ];
    for (text, says) in attempts {
        std::fs::write(&config, text).unwrap();
        let output = Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{error}");
        assert!(error.contains(says), "wanted {says}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

#[test]
fn health_is_told_over_http() {
    let lab = lab::shared();
    let url = lab.http.clone().unwrap();
    for (path, wants) in [("/healthz", "ok"), ("/readyz", "ready"), ("/", "labhouse")] {
        let body = get(&url, path);
        assert!(
            body.starts_with("HTTP/1.1 200") && body.contains(wants),
            "{path}: {body}"
        );
    }
    assert!(get(&url, "/").contains("content-security-policy: default-src 'none'"));
    assert!(get(&url, "/nothing").starts_with("HTTP/1.1 404"));
}

fn get(url: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
