//! Results on their way: bounded messages, in step with the reader, begun before they are computed, ended with their reader.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use arrow_flight::FlightData;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use serde_json::json;
use tonic::{Code, Status, Streaming};

use crate::lab::{self, PATIENCE, Server};
use crate::page_client::{basic, open};
use crate::postgres_raw::{self, message};
use crate::raw::{Raw, query};

/// Bytes of a message that every gRPC client takes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Rows without an end.
const ENDLESS: &str = "SELECT value FROM generate_series(1, 4000000000000000000)";
/// Works without giving a row.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 4000000) a, generate_series(1, 1000000) b WHERE a.value % 7 = b.value % 11";

/// Fetches a statement's messages with a header more; a client takes messages of up to `bytes_max`.
async fn flowing(
    raw: &mut Raw,
    sql: &str,
    header: Option<(&'static str, &str)>,
    bytes_max: usize,
) -> Result<Streaming<FlightData>, Status> {
    let info = raw.info(&query(sql)).await?;
    let mut request = raw.request(info.endpoint[0].ticket.clone().unwrap());
    if let Some((name, value)) = header {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let mut client = raw.client.clone().max_decoding_message_size(bytes_max);
    Ok(client.do_get(request).await?.into_inner())
}

/// The sizes of a statement's messages, or what ended them.
async fn sizes(
    raw: &mut Raw,
    sql: &str,
    header: Option<(&'static str, &str)>,
    bytes_max: usize,
) -> Result<Vec<usize>, Status> {
    let messages = flowing(raw, sql, header, bytes_max).await?;
    messages.map_ok(|message| message.encoded_len()).try_collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_larger_than_every_client_takes() {
    let lab = lab::shared();
    let mut ada = Raw::login(&lab, "ada").await;
    let narrow: Vec<String> = (0..400)
        .map(|n| format!("repeat('{n:04}', 1000 + CAST(value AS INT)) AS c{n}"))
        .collect();
    for (sql, total) in [
        (
            "SELECT value, repeat('x', 1000000) AS t FROM generate_series(1, 40)".to_owned(),
            40_000_000,
        ),
        (
            "SELECT repeat('x', 4190000) AS t FROM generate_series(1, 3)".to_owned(),
            12_000_000,
        ),
        (
            format!("SELECT {} FROM generate_series(1, 30)", narrow.join(", ")),
            48_000_000,
        ),
    ] {
        let sizes = sizes(&mut ada, &sql, None, MESSAGE_BYTES_MAX).await.unwrap();
        assert!(sizes.iter().all(|size| *size <= MESSAGE_BYTES_MAX), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() > total, "{sizes:?}");
    }
    // A row that does not fit is said, by its column, and not sent; a client that takes more says so.
    let large = "SELECT value, 'short' AS s, repeat('x', 5000000) AS notebook FROM generate_series(1, 2)";
    let refused = sizes(&mut ada, large, None, 64 << 20).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    for word in ["notebook has 50000", "substr(notebook", "labhouse-message-bytes"] {
        assert!(refused.message().contains(word), "{refused}");
    }
    let asking = |value| Some(("labhouse-message-bytes", value));
    let sent = sizes(&mut ada, large, asking("8388608"), 8 << 20).await.unwrap();
    assert_eq!(sent.iter().filter(|size| **size > 5_000_000).count(), 2, "{sent:?}");
    for nonsense in ["many", "0", "1000", "-1", "99999999999"] {
        let refused = sizes(&mut ada, large, asking(nonsense), 64 << 20).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{nonsense}: {refused}");
    }
    // What counts is the message: values that compress well may be larger.
    let squeezed = sizes(
        &mut ada,
        large,
        Some(("labhouse-ipc-compression", "zstd")),
        MESSAGE_BYTES_MAX,
    )
    .await;
    assert!(squeezed.unwrap().iter().all(|size| *size < 100_000));
}

/// Memory of a process, in bytes.
fn resident(lab: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_back_the_engine_and_not_the_memory() {
    let lab = lab::shared();
    let mut ada = Raw::login(&lab, "ada").await;
    let (rows, wide) = (1_000_000_usize, 2_000_usize);
    let of = |what: &str| format!("SELECT {what} FROM generate_series(1, {rows})");
    let text = format!("repeat('x', {wide} + CAST(value % 7 AS INT))");
    // What the engine needs for the same work with a reader that takes everything is there before it is measured.
    let counted = of(&format!("sum(length({text}))"));
    ada.ask(&query(&counted)).await.unwrap();
    let before = resident(&lab);
    let sql = of(&format!("value, {text} AS t"));
    let mut sleepers = Vec::new();
    for _ in 0..3 {
        let mut messages = flowing(&mut Raw::login(&lab, "ada").await, &sql, None, MESSAGE_BYTES_MAX)
            .await
            .unwrap();
        assert!(messages.next().await.unwrap().is_ok() && messages.next().await.unwrap().is_ok());
        sleepers.push(messages);
    }
    // In the time that the same work takes twice, an engine that is not held back would be through.
    for _ in 0..2 {
        ada.ask(&query(&counted)).await.unwrap();
    }
    let grown = resident(&lab).saturating_sub(before);
    let whole = sleepers.len() * rows * wide;
    assert!(grown * 10 < whole, "{grown} bytes for readers of {whole} that sleep");
    // One wakes up and gets all.
    let woken: Vec<FlightData> = sleepers.pop().unwrap().try_collect().await.unwrap();
    let bytes: usize = woken.iter().map(|message| message.data_body.len()).sum();
    assert!(bytes * 10 > rows * wide * 9, "{bytes} bytes came");
}

/// A reader of a statement at one of the doors, who goes when it is dropped.
enum Reader {
    Flight(tokio::task::JoinHandle<()>),
    Other(#[expect(dead_code, reason = "held until it is dropped")] Box<dyn Send>),
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Flight(task) = self {
            task.abort();
        }
    }
}

const DOORS: [&str; 3] = ["flight", "http", "postgres"];

/// Asks at a door and does not wait for rows.
async fn reading(lab: &Server, door: &str, sql: &str) -> Reader {
    match door {
        "flight" => {
            let (mut raw, sql) = (Raw::login(lab, "ada").await, sql.to_owned());
            Reader::Flight(tokio::spawn(async move {
                let mut messages = flowing(&mut raw, &sql, None, MESSAGE_BYTES_MAX).await.unwrap();
                while let Some(Ok(_)) = messages.next().await {}
            }))
        }
        "http" => Reader::Other(Box::new(posted(lab, sql, "json"))),
        _ => {
            let mut raw = postgres_raw::Raw::login(lab, "ada", "ada-demo");
            raw.send(&message(b'Q', format!("{sql}\0").as_bytes()));
            Reader::Other(Box::new(raw))
        }
    }
}

fn posted(lab: &Server, sql: &str, format: &str) -> TcpStream {
    let (name, value) = basic("ada");
    let body = json!({"sql": sql, "format": format}).to_string();
    let headers = [("content-type", "application/json"), (name, value.as_str())];
    open(lab, "POST", "/api/query", &headers, body.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_come_before_the_last_are_computed() {
    let lab = lab::shared();
    let mut ada = Raw::login(&lab, "ada").await;
    let mut messages = flowing(&mut ada, ENDLESS, None, MESSAGE_BYTES_MAX).await.unwrap();
    let mut rows = 0;
    while rows == 0 {
        rows += messages.next().await.unwrap().unwrap().data_body.len();
    }
    for format in ["json", "csv", "arrow"] {
        let (mut answer, mut bytes) = (posted(&lab, ENDLESS, format), vec![0; 100_000]);
        answer.read_exact(&mut bytes).unwrap();
        assert!(
            bytes.starts_with(b"HTTP/1.1 200"),
            "{format}: {}",
            String::from_utf8_lossy(&bytes[..300])
        );
    }
    let mut raw = postgres_raw::Raw::login(&lab, "ada", "ada-demo");
    raw.send(&message(b'Q', format!("{ENDLESS}\0").as_bytes()));
    let kinds: String = (0..100).map(|_| char::from(raw.one().unwrap().0)).collect();
    assert_eq!(kinds, format!("T{}", "D".repeat(99)));
    // Whoever has read enough goes, and nothing of it runs on.
    drop((messages, raw));
    let running = "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%4000000000000000000%' AND sql NOT LIKE '%system.queries%'";
    lab.until("ada", running, lab::shows("0")).await;
}

/// Processor time of a process until now, in ticks.
fn ticks(lab: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", lab.child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Ticks that a process uses in a while.
async fn pace(lab: &Server) -> u64 {
    let before = ticks(lab);
    tokio::time::sleep(Duration::from_millis(500)).await;
    ticks(lab) - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_goes_frees_the_processor() {
    let lab = lab::shared();
    for door in DOORS {
        let reader = reading(&lab, door, SLOW).await;
        let deadline = Instant::now() + PATIENCE;
        let mut busy = 0;
        while busy < 10 {
            assert!(
                Instant::now() < deadline,
                "{door}: the statement does not run\n{}",
                lab.log()
            );
            busy = pace(&lab).await;
        }
        drop(reader);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = pace(&lab).await;
            if now * 4 <= busy {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{door}: {now} ticks after the reader went, {busy} before"
            );
        }
    }
}

/// How the kernel watches over the server's end of a connection: `02` is the timer of keep-alive probes.
fn timer(server: SocketAddr, client: SocketAddr) -> String {
    let place = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|fields| fields[1] == place(server) && fields[2] == place(client))
        .unwrap();
    line[5].split(':').next().unwrap().to_owned()
}

#[test]
fn silent_connections_are_asked_whether_they_live() {
    let lab = lab::shared();
    let postgres = lab.postgres.as_ref().unwrap().trim_start_matches("postgresql://");
    for place in [
        lab.flight.trim_start_matches("grpc://"),
        postgres.trim_end_matches("/lab"),
    ] {
        let stream = TcpStream::connect(place).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while timer(stream.peer_addr().unwrap(), stream.local_addr().unwrap()) != "02" {
            assert!(Instant::now() < deadline, "{place}: no keep-alive");
            std::thread::yield_now();
        }
    }
    // HTTP/2 asks as well, through proxies that answer for the network; who does not answer loses the connection.
    let mut stream = TcpStream::connect(lab.flight.trim_start_matches("grpc://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (settings, acknowledged) = ([0, 0, 0, 4, 0, 0, 0, 0, 0], [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&[settings, acknowledged].concat()).unwrap();
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            break;
        }
        kinds.push((head[3], head[4]));
    }
    assert!(kinds.contains(&(6, 0)), "no PING among {kinds:?}");
}
