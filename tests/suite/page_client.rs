//! A small HTTP client that sends what it is told: one call a connection, so that nothing is shared or guessed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::lab::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The cookie that it sets, as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        StreamReader::try_new(self.body.as_slice(), None)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }
}

/// Opens a call and sends its head and body; the answer is not read yet.
pub(crate) fn open(lab: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let address = lab.http.as_deref().unwrap().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(240))).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body need not read it to its end.
    let _ = stream.write_all(body);
    stream
}

pub(crate) fn call(lab: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = open(lab, method, path, headers, body);
    let mut bytes = Vec::new();
    let mut chunk = [0; 65_536];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        bytes.extend(&chunk[..read]);
    }
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {bytes:?}"));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = bytes.split_off(end + 4);
    let body = if is_chunked { unchunk(&body) } else { body };
    Answer { status, head, body }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        out.extend(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    out
}

/// The header of a demo user's password.
pub(crate) fn basic(user: &str) -> (&'static str, String) {
    (
        "authorization",
        format!("Basic {}", STANDARD.encode(format!("{user}:{user}-demo"))),
    )
}

/// A question as a demo user; `more` are further keys of its body.
pub(crate) fn ask(lab: &Server, user: &str, sql: &str, more: Value) -> Answer {
    let mut body = serde_json::json!({ "sql": sql });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap_or_default());
    let (name, value) = basic(user);
    call(
        lab,
        "POST",
        "/api/query",
        &[JSON, (name, &value)],
        body.to_string().as_bytes(),
    )
}

/// A call without a body as a demo user.
pub(crate) fn get(lab: &Server, user: &str, path: &str) -> Answer {
    let (name, value) = basic(user);
    call(lab, "GET", path, &[(name, &value)], b"")
}

/// Signs in on the page; gives the answer with its cookie.
pub(crate) fn login(lab: &Server, user: &str, password: &str) -> Answer {
    let body = serde_json::json!({ "user": user, "password": password });
    call(lab, "POST", "/api/login", &[JSON], body.to_string().as_bytes())
}
