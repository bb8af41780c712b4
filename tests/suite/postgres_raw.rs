//! The PostgreSQL door, message by message: what no driver sends, and what becomes of a client that leaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::fuzz::rng::Rng;
use crate::lab::{self, PATIENCE, Server};

const CASES: usize = 300;
/// Runs until it is ended.
const ENDLESS: &str = "SELECT count(*) FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b, lab.chemistry.plate_readings c";
const RUNNING: &str = "SELECT count(*) FROM system.queries WHERE state = 'running' AND principal = 'sam'";

/// A connection that sends what it is told.
pub(crate) struct Raw {
    stream: TcpStream,
    /// For cancelling.
    pub(crate) key: [u8; 8],
}

/// Messages of the server: their kinds and contents.
pub(crate) struct Said(pub(crate) Vec<(u8, Vec<u8>)>);

impl Said {
    fn kinds(&self) -> String {
        self.0.iter().map(|(kind, _)| char::from(*kind)).collect()
    }

    /// The text of the first error.
    pub(crate) fn error(&self) -> Option<String> {
        self.field(b'M')
    }

    /// The SQLSTATE of the first error.
    pub(crate) fn state(&self) -> Option<String> {
        self.field(b'C')
    }

    fn field(&self, name: u8) -> Option<String> {
        let (_, body) = self.0.iter().find(|(kind, _)| *kind == b'E')?;
        let mut fields = body.split(|byte| *byte == 0);
        let text = fields.find(|field| field.first() == Some(&name))?;
        Some(String::from_utf8_lossy(&text[1..]).into_owned())
    }
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [[kind].as_slice(), &length, body].concat()
}

pub(crate) fn startup(user: &str) -> Vec<u8> {
    let body = [b"\0\x03\0\0user\0", user.as_bytes(), b"\0database\0lab\0\0"].concat();
    message(0, &body)[1..].to_vec()
}

impl Raw {
    pub(crate) fn connect(lab: &Server) -> Self {
        let url = lab.postgres.as_ref().unwrap();
        let address = url.trim_start_matches("postgresql://").trim_end_matches("/lab");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, key: [0; 8] }
    }

    pub(crate) fn login(lab: &Server, user: &str, password: &str) -> Self {
        Self::try_login(lab, user, password).unwrap_or_else(|said| panic!("{:?}", said.error()))
    }

    /// What is said when there is no login is the error.
    pub(crate) fn try_login(lab: &Server, user: &str, password: &str) -> Result<Self, Said> {
        let mut raw = Self::connect(lab);
        raw.send(&startup(user));
        match raw.one().unwrap() {
            (b'R', asked) if asked.ends_with(&[3]) => raw.send(&message(b'p', &[password.as_bytes(), b"\0"].concat())),
            (b'R', _) => crate::scram::exchange(&mut raw, password)?,
            other => panic!("{other:?}"),
        }
        let said = raw.until_ready();
        let Some((_, key)) = said.0.iter().find(|(kind, _)| *kind == b'K') else {
            return Err(said);
        };
        raw.key.copy_from_slice(key);
        Ok(raw)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // One that was closed by the other side says so when it is read.
        let _ = self.stream.write_all(bytes);
    }

    /// Ends what is sent; one that was closed by the other side has ended.
    fn says_no_more(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next message; none when the connection has ended.
    pub(crate) fn one(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        assert!((4..64 << 20).contains(&length), "{head:?}");
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// Messages up to ReadyForQuery, or to the end of the connection.
    pub(crate) fn until_ready(&mut self) -> Said {
        let mut said = Vec::new();
        while let Some(one) = self.one() {
            let is_ready = one.0 == b'Z';
            said.push(one);
            if is_ready {
                break;
            }
        }
        Said(said)
    }

    pub(crate) fn query(&mut self, sql: &str) -> Said {
        self.send(&message(b'Q', &[sql.as_bytes(), b"\0"].concat()));
        self.until_ready()
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.one().is_none()
    }
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat())
}

fn bind(portal: &str, statement: &str, value: Option<&[u8]>) -> Vec<u8> {
    let value = value.map_or_else(
        || b"\0\0\0\0".to_vec(),
        |value| [b"\0\0\0\x01".as_slice(), &(value.len() as u32).to_be_bytes(), value].concat(),
    );
    let names = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    message(b'B', &[names, value, b"\0\0".to_vec()].concat())
}

fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0", &rows_max.to_be_bytes()].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

#[test]
fn steps_are_answered_in_their_order_and_an_error_passes_over_the_rest() {
    let lab = lab::shared();
    let mut sam = Raw::login(&lab, "sam", "sam-demo");
    let lots = "SELECT lot FROM lab.chemistry.reagent_lots ORDER BY lot";
    let steps = [
        parse("s", lots),
        bind("p", "s", None),
        message(b'D', b"Pp\0"),
        execute("p", 2),
        execute("p", 1),
    ];
    sam.send(&[b"".to_vec(), steps.concat(), execute("p", 0), sync()].concat());
    let said = sam.until_ready();
    let kinds = said.kinds();
    assert!(
        kinds.starts_with("12TDDsDsD") && kinds.ends_with("DCZ"),
        "{kinds}: {:?}",
        said.error()
    );
    // Outside of a transaction a portal ends with its Sync; the statement stays.
    sam.send(&[execute("p", 0), sync(), bind("", "s", None), execute("", 1), sync()].concat());
    assert_eq!(
        (sam.until_ready().kinds().as_str(), sam.until_ready().kinds().as_str()),
        ("EZ", "2DsZ")
    );
    // What comes after an error is passed over, up to Sync, and closing what is not there is no error.
    sam.send(
        &[
            parse("", "SELECT 1 FROM nowhere.nothing"),
            bind("", "", None),
            execute("", 0),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(sam.until_ready().kinds(), "EZ");
    sam.send(
        &[
            message(b'C', b"Sno\0"),
            message(b'C', b"Ss\0"),
            bind("", "s", None),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(sam.until_ready().kinds(), "33EZ");
    sam.send(
        &[
            parse("", ""),
            bind("", "", None),
            message(b'D', b"P\0"),
            execute("", 0),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(sam.until_ready().kinds(), "12nIZ");
    assert_eq!(sam.query(" ; ").kinds(), "IZ");
    // Values that do not fit.
    let one = [parse("v", "SELECT CAST($1 AS BIGINT)"), sync()].concat();
    sam.send(&[one, bind("", "v", None), sync(), bind("", "v", Some(b"seven")), sync()].concat());
    assert_eq!(sam.until_ready().kinds(), "1Z");
    for _ in 0..2 {
        let said = sam.until_ready();
        assert_eq!(said.kinds(), "EZ", "{:?}", said.error());
    }
    assert_eq!(sam.query("SELECT 1").kinds(), "TDCZ");
}

#[test]
fn what_is_no_message_ends_its_connection_and_the_server_goes_on() {
    let lab = lab::shared();
    let mut watching = Raw::login(&lab, "ada", "ada-demo");
    // Before the login.
    for bytes in [
        b"".as_slice(),
        b"\0\0\0\x08",
        b"\0\0\0\x03",
        b"\xff\xff\xff\xff\0\x03\0\0",
        b"\x7f\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x09\0\x02\0\0\0",
        b"\0\0\0\x0d\0\x03\0\0user\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut raw = Raw::connect(&lab);
        raw.send(bytes);
        raw.says_no_more();
        let said = raw.until_ready();
        assert!(
            said.0.iter().all(|(kind, _)| *kind == b'E'),
            "{bytes:?}: {}",
            said.kinds()
        );
    }
    // After it: a giant length, an unknown kind, a length that is none, a text without an end, a wrong count.
    for bytes in [
        b"Q\x7f\xff\xff\xff".as_slice(),
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\0",
        b"~\0\0\0\x04",
        b"Q\0\0\0\x08SELE",
        b"B\0\0\0\x0a\0\0\x7f\xff\0\0",
        b"D\0\0\0\x06Q\0",
        b"p\0\0\0\x05\0",
    ] {
        let mut raw = Raw::login(&lab, "sam", "sam-demo");
        raw.send(bytes);
        let said = raw.until_ready();
        assert_eq!(said.kinds(), "E", "{bytes:?}: {:?}", said.error());
        assert!(raw.is_closed());
    }
    // Noise amid good messages.
    let mut rng = Rng::new(20_261_126);
    let good = [
        parse("s", "SELECT $1::bigint"),
        bind("p", "s", Some(b"7")),
        message(b'D', b"Pp\0"),
        execute("p", 0),
        sync(),
    ]
    .concat();
    for _ in 0..CASES {
        let mut bytes = good.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            match rng.below(3) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, rng.between(0, 255) as u8),
            }
        }
        let mut raw = Raw::login(&lab, "sam", "sam-demo");
        raw.send(&bytes);
        raw.says_no_more();
        while let Some((kind, _)) = raw.one() {
            assert!(b"12sTDCZEtnNI3".contains(&kind), "{bytes:?}: {kind}");
        }
    }
    assert!(!lab.log().contains("panicked"), "{}", lab.log());
    assert_eq!(watching.query("SELECT 1").kinds(), "TDCZ");
}

/// Memory of a process, in KiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_a_length_announces_takes_no_memory_before_it_comes() {
    let lab = lab::shared();
    let mut all: Vec<Raw> = (0..24).map(|_| Raw::login(&lab, "sam", "sam-demo")).collect();
    let before = resident(lab.child.id());
    for raw in &mut all {
        // 16 MiB are announced and 8 bytes come.
        raw.send(b"Q\x00\xff\xff\xf0SELECT 1");
    }
    let mut other = Raw::login(&lab, "ada", "ada-demo");
    assert_eq!(other.query("SELECT 1").kinds(), "TDCZ");
    let after = resident(lab.child.id());
    assert!(after < before + (64 << 10), "{before} KiB became {after} KiB");
    // A connection keeps so many statements and no more.
    let long = format!("SELECT '{}'", "x".repeat(900_000));
    let refused = (0..40).find_map(|n| {
        other.send(&[parse(&format!("s{n}"), &long), sync()].concat());
        other.until_ready().error()
    });
    assert!(refused.unwrap().contains("keeps at most"));
}

fn until(raw: &mut Raw, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = raw.query(RUNNING);
        let (_, row) = said.0.iter().find(|(kind, _)| *kind == b'D').unwrap();
        if row.ends_with(wanted.as_bytes()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "sam's statements are not {wanted} but {row:?}"
        );
    }
}

#[test]
fn a_statement_ends_when_its_client_goes_or_cancels_it() {
    let lab = lab::own();
    let mut ada = Raw::login(&lab, "ada", "ada-demo");
    let mut sam = Raw::login(&lab, "sam", "sam-demo");
    sam.send(&message(b'Q', format!("{ENDLESS}\0").as_bytes()));
    until(&mut ada, "1");
    drop(sam);
    until(&mut ada, "0");

    let mut sam = Raw::login(&lab, "sam", "sam-demo");
    sam.send(&[parse("", ENDLESS), bind("", "", None), execute("", 0), sync()].concat());
    until(&mut ada, "1");
    let cancel = |key: [u8; 8]| {
        let mut raw = Raw::connect(&lab);
        raw.send(&[b"\0\0\0\x10\x04\xd2\x16\x2e".as_slice(), &key].concat());
        assert!(
            raw.is_closed(),
            "a request to cancel is answered by the end of its connection"
        );
    };
    let mut wrong = sam.key;
    wrong[7] ^= 1;
    cancel(wrong);
    until(&mut ada, "1");
    cancel(sam.key);
    let said = sam.until_ready();
    assert_eq!(
        (said.kinds().as_str(), said.error().unwrap().as_str()),
        ("12EZ", "the statement was cancelled")
    );
    until(&mut ada, "0");
    assert_eq!(sam.query("SELECT 1").kinds(), "TDCZ");
}
