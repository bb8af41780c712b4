//! What the server tells of its work: spans to a collector, and logs that programs read.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http_end;
use crate::lab::{self, BINARY, PATIENCE};
use crate::raw::{Raw, descriptor, query};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that takes everything: its address, and the bodies that came.
fn collector() -> (String, mpsc::Receiver<Value>) {
    let (sender, receiver) = mpsc::channel();
    let address = http_end::serve(move |head, body| {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        // Whoever asked may have gone: the test is over.
        let _ = sender.send(serde_json::from_slice(body).unwrap());
        b"{}".to_vec()
    });
    (format!("http://{address}"), receiver)
}

/// A span's attributes, by name.
fn attributes(span: &Value) -> BTreeMap<String, String> {
    let all = span["attributes"].as_array().unwrap().iter();
    let value = |value: &Value| {
        value["stringValue"]
            .as_str()
            .or(value["intValue"].as_str())
            .unwrap()
            .to_owned()
    };
    all.map(|pair| (pair["key"].as_str().unwrap().to_owned(), value(&pair["value"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_span_for_each_statement_and_no_words_of_it() {
    let (address, messages) = collector();
    let mut lab = lab::empty(|config| format!("{config}\n[telemetry]\notlp_endpoint = \"{address}\"\n"));
    let mut sam = Raw::login(&lab, "sam").await;
    let secret = query("SELECT 'secret_word' AS w FROM generate_series(1, 3)");
    let info = sam.client.get_flight_info(sam.request(descriptor(&secret))).await;
    let mut request = sam.request(info.unwrap().into_inner().endpoint[0].ticket.clone().unwrap());
    let parent = format!("00-{TRACE}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let answer = sam.client.do_get(request).await.unwrap();
    let id = answer
        .metadata()
        .get("labhouse-query-id")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let mut stream = answer.into_inner();
    while stream.message().await.unwrap().is_some() {}
    assert!(
        lab.query("sam", "SELECT 1 / (value - 1) FROM generate_series(1, 2)")
            .await
            .is_err()
    );

    // The end of the server sends what waits: nothing is slept for.
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
    let mut spans = Vec::new();
    let mut words = String::new();
    while let Ok(message) = messages.recv_timeout(if spans.len() < 2 { PATIENCE } else { Default::default() }) {
        words.push_str(&message.to_string());
        let resource = &message["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][0]["value"]["stringValue"],
            "labhouse"
        );
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    for told in ["secret_word", "generate_series", "SELECT"] {
        assert!(!words.contains(told), "{words}");
    }
    let of = |outcome: &str| {
        let found = spans.iter().find(|span| {
            let told = attributes(span);
            told["labhouse.outcome"] == outcome && told["user.name"] == "sam"
        });
        found.unwrap_or_else(|| panic!("no span {outcome} in {spans:#?}"))
    };
    let good = of("finished");
    assert_eq!(
        (&good["traceId"], &good["parentSpanId"]),
        (&TRACE.into(), &PARENT.into())
    );
    let told = attributes(good);
    assert_eq!(told["labhouse.query_id"], id);
    assert_eq!(
        (
            told["labhouse.door"].as_str(),
            told["db.response.returned_rows"].as_str()
        ),
        ("flight", "3")
    );
    let time = |name: &str| good[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("startTimeUnixNano") < time("endTimeUnixNano"));
    let failed = of("invalid");
    assert_eq!(failed["status"]["code"], 2);
    assert!(failed.get("parentSpanId").is_none());
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_up_nobody() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut lab = lab::empty(|config| format!("{config}\n[telemetry]\notlp_endpoint = \"http://{address}\"\n"));
    for n in 0..20 {
        assert_eq!(lab.number("sam", &format!("SELECT {n}")).await, n);
    }
    lab.terminate();
    assert!(lab.child.wait().unwrap().success(), "{}", lab.log());
}

#[tokio::test]
async fn logs_are_objects_with_the_number_of_each_statement_and_no_secret() {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let mut command = Command::new(BINARY);
    command
        .args(["serve", "--config"])
        .arg(own.path().join("labhouse.toml"))
        .env("LABHOUSE_LOG_FORMAT", "json");
    let mut lab = lab::start(&mut command, own.path(), None);
    let mut sam = Raw::login(&lab, "sam").await;
    let info = sam.info(&query("SELECT 1 AS logged")).await.unwrap();
    let request = sam.request(info.endpoint[0].ticket.clone().unwrap());
    let answer = sam.client.do_get(request).await.unwrap();
    let id = answer
        .metadata()
        .get("labhouse-query-id")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let mut stream = answer.into_inner();
    while stream.message().await.unwrap().is_some() {}
    let deadline = Instant::now() + PATIENCE;
    while !lab.log().contains(&id) {
        assert!(Instant::now() < deadline, "{}", lab.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = lab.log();
    let log = log.rsplit_once('\n').unwrap().0.to_owned();
    lab.terminate();
    assert!(lab.child.wait().unwrap().success());
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let line = lines.iter().find(|line| line["id"] == id.as_str());
    let line = line.unwrap_or_else(|| panic!("no {id} in {log}"));
    assert_eq!(
        (&line["principal"], &line["door"], &line["state"]),
        (&"sam".into(), &"flight".into(), &"finished".into())
    );
    assert!(!log.contains("sam-demo") && !log.contains(&sam.token));
}
