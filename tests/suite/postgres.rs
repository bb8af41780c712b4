//! The PostgreSQL door, with psql and with the drivers people use.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{self, PATIENCE, Server};

fn lab() -> Server {
    lab::own_with(|config| config.replace("[listen]\n", "[listen]\npostgres = \"127.0.0.1:0\"\n"))
}

fn psql(lab: &Server, user: &str) -> Command {
    let url = lab.postgres.as_deref().unwrap();
    let mut command = Command::new("psql");
    command
        .arg(url)
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .env("PGUSER", user)
        .env("PGPASSWORD", format!("{user}-demo"))
        .env("PGCONNECT_TIMEOUT", "60");
    command
}

/// What psql printed, or what it complained of.
fn say(lab: &Server, user: &str, text: &str) -> Result<String, String> {
    let output = psql(lab, user).args(["-c", text]).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_asks_and_sees_what_its_login_may() {
    let lab = lab();
    let of = |user: &str, text: &str| {
        say(&lab, user, text).unwrap_or_else(|error| panic!("{user}: {text}: {error}\n{}", lab.log()))
    };
    let count = lab.number("sam", "SELECT count(*) FROM lab.chemistry.reactions").await;
    assert_eq!(of("sam", "SELECT count(*) FROM chemistry.reactions"), count.to_string());
    let fewer = lab.number("ana", "SELECT count(*) FROM lab.chemistry.reactions").await;
    assert_eq!(
        of("ana", "SELECT count(*) FROM lab.chemistry.reactions"),
        fewer.to_string()
    );
    assert_ne!(count, fewer, "a row filter holds at every door");

    // \d lists and describes; what is hidden is in neither, and looks like what is not there.
    let tables = of("sam", "\\d");
    assert!(
        tables.contains("chemistry|reactions|table") && !tables.contains("ic50"),
        "{tables}"
    );
    assert!(of("ada", "\\d").contains("assay|ic50|table"));
    let columns = of("ada", "\\d chemistry.protocols");
    assert!(columns.contains("operator|text"), "{columns}");
    let columns = of("ana", "\\d chemistry.protocols");
    assert!(!columns.contains("operator"), "a denied column\n{columns}");
    let hidden = say(&lab, "guest", "\\d chemistry.reactions").unwrap_err();
    let absent = say(&lab, "guest", "\\d chemistry.nonsense").unwrap_err();
    assert_eq!(hidden.replace("reactions", "nonsense"), absent);
    let hidden = say(&lab, "guest", "SELECT * FROM chemistry.reactions").unwrap_err();
    let absent = say(&lab, "guest", "SELECT * FROM chemistry.nonsense").unwrap_err();
    assert_eq!(hidden.replace("reactions", "nonsense"), absent);
    for listing in [
        "\\dn",
        "\\l",
        "\\du",
        "\\dt",
        "\\dv",
        "\\di",
        "\\df",
        "\\dT",
        "\\conninfo",
    ] {
        of("sam", listing);
    }
    let numbers = of("guest", "SELECT count(*) FROM pg_class");
    assert_eq!(numbers, "0", "nothing is granted to the guest");

    // Errors have PostgreSQL's codes and our texts.
    for (text, code) in [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nothing.here", "42P01"),
        ("SELECT nothing FROM chemistry.reactions", "42703"),
        ("SELECT 1 / 0", "22023"),
        ("DROP TABLE chemistry.reagent_lots", "42501"),
        ("COPY (SELECT 1) TO '/tmp/x'", "42501"),
        ("SAVEPOINT a", "0A000"),
    ] {
        let output = psql(&lab, "sam")
            .args(["-v", "VERBOSITY=verbose", "-c", text])
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(&format!("ERROR:  {code}")), "{text}: {error}");
    }

    // Logins are refused in one way.
    let refused = |user: &str, password: &str| {
        let output = psql(&lab, user)
            .env("PGPASSWORD", password)
            .args(["-c", "SELECT 1"])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        refused("sam", "wrong").replace("sam", "who"),
        refused("nobody", "wrong").replace("nobody", "who")
    );

    // The trail knows the door.
    let audited = "SELECT count(*) > 0 FROM lab.system.audit WHERE door = 'postgres' AND principal = 'sam' AND verdict = 'allowed'";
    lab.until("ada", audited, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("true"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_commit_by_themselves_and_never_inside_a_transaction() {
    let lab = lab();
    let of = |text: &str| say(&lab, "ada", text);
    assert_eq!(
        of("CREATE TABLE chemistry.by_psql (id BIGINT, name VARCHAR)").unwrap(),
        "CREATE TABLE"
    );
    assert_eq!(
        of("INSERT INTO chemistry.by_psql VALUES (1, 'a'), (2, 'b')").unwrap(),
        "INSERT 0 2"
    );
    assert_eq!(
        of("UPDATE chemistry.by_psql SET name = 'c' WHERE id = 2").unwrap(),
        "UPDATE 1"
    );
    assert_eq!(of("DELETE FROM chemistry.by_psql WHERE id = 1").unwrap(), "DELETE 1");
    let told = of("BEGIN; INSERT INTO chemistry.by_psql VALUES (9, 'x'); ROLLBACK").unwrap_err();
    assert!(told.contains("one by one"), "{told}");
    let output = psql(&lab, "ada")
        .args([
            "-c",
            "BEGIN",
            "-c",
            "SELECT 1",
            "-c",
            "INSERT INTO chemistry.by_psql VALUES (9, 'x')",
        ])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("autocommit"), "{told}");
    assert_eq!(of("SELECT id, name FROM chemistry.by_psql").unwrap(), "2|c");
    let refused = say(&lab, "sam", "INSERT INTO chemistry.by_psql VALUES (3, 'd')").unwrap_err();
    assert!(
        refused.contains("does not exist") || refused.contains("not found") || refused.contains("may not"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn control_c_and_the_administrator_cancel_what_runs() {
    let lab = lab();
    let running = |mark: &str| {
        format!(
            "SELECT count(*) FROM system.queries WHERE state = 'running' AND principal = 'sam' AND sql LIKE '%{mark}%'"
        )
    };
    let is_there = |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains("| 1 "));
    let slow = |mark: u32| {
        format!(
            "SELECT count(*) FROM generate_series(1, 4000000) a, generate_series(1, {mark}) b WHERE a.value % 7 = b.value % 11"
        )
    };
    for (mark, by_id) in [(1_000_001, false), (1_000_002, true)] {
        let child = psql(&lab, "sam")
            .args(["-c", &slow(mark)])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        lab.until("ada", &running(&mark.to_string()), is_there).await;
        if by_id {
            let id = lab.text("ada", &format!("SELECT id FROM system.queries WHERE state = 'running' AND principal = 'sam' AND sql LIKE '%{mark}%'")).await;
            let id: String = id.split_whitespace().find(|word| word.len() == 36).unwrap().to_owned();
            let cancel = format!("CANCEL QUERY '{id}'");
            assert!(
                lab.update("ana", &cancel).await.is_err(),
                "another person's statement is not there"
            );
            assert_eq!(lab.update("ada", &cancel).await.unwrap(), 1);
        } else {
            let status = Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap();
            assert!(status.success());
        }
        let asked = Instant::now();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
            .await
            .unwrap();
        assert!(asked.elapsed() < PATIENCE, "it went on for {:?}", asked.elapsed());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("cancelled") || error.contains("ancel"), "{error}");
    }
    lab.until("ada", &running("generate_series"), |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 0 "))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_before_the_login_ends_its_connection_and_nothing_else() {
    let lab = lab();
    let address = lab
        .postgres
        .as_deref()
        .unwrap()
        .trim_start_matches("postgresql://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    for noise in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f],
        &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5],
        &[0xff; 64],
        &[0, 0, 0, 9, 0, 3, 0, 0, 0],
        // A query before any login.
        &[
            0, 0, 0, 15, 0, 3, 0, 0, b'u', b's', b'e', b'r', 0, b'a', 0, 0, b'Q', 0, 0, 0, 13, b'S', b'E', b'L', b'E',
            b'C', b'T', b' ', b'1', 0,
        ],
    ] {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        std::io::Write::write_all(&mut stream, noise).unwrap();
        let mut answer = [0_u8; 512];
        let read = std::io::Read::read(&mut stream, &mut answer).unwrap_or(0);
        assert!(
            !answer[..read].contains(&b'D') || !answer[..read].windows(4).any(|part| part == b"\x00\x00\x00\x0b"),
            "no row"
        );
    }
    assert_eq!(say(&lab, "sam", "SELECT 1").unwrap(), "1");
}

/// The clients of `examples/clients`, as their page says to run them.
#[test]
fn the_small_clients_of_the_examples_run() {
    let lab = lab();
    for (script, url) in [
        ("adbc.py", lab.flight.as_str()),
        ("postgres.py", lab.postgres.as_deref().unwrap()),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples/clients")
            .join(script);
        let output = Command::new(crate::python::interpreter())
            .arg(path)
            .args([url, "sam", "sam-demo"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(said.lines().count(), 3, "{script}: {said}");
    }
}

#[test]
fn psycopg_and_sqlalchemy_do_what_people_do() {
    let lab = lab();
    let url = lab.postgres.clone().unwrap();
    lab.pytest("test_postgres.py", &HashMap::from([("LABHOUSE_POSTGRES", url)]));
}
