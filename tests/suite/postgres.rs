//! The PostgreSQL door with real clients: see `tests/python/test_postgres.py`.

use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

use crate::lab::{self, PATIENCE, Server};
use crate::logins::{Papers, user};
use crate::postgres_raw::Raw;

/// What the Python tests need to know.
fn address(lab: &Server) -> HashMap<&'static str, String> {
    HashMap::from([("LABHOUSE_POSTGRES", lab.postgres.clone().unwrap())])
}

#[test]
fn psycopg_asyncpg_sqlalchemy_and_psql_do_what_people_do() {
    // It writes, so it gets a lab of its own.
    let lab = lab::own();
    lab.pytest("test_postgres.py", &address(&lab));
}

#[test]
fn values_in_postgresqls_own_spelling_are_those_that_were_meant() {
    let lab = lab::own();
    lab.pytest("test_postgres_values.py", &address(&lab));
}

/// What psycopg says when it connects as `user` and asks who that is; `options` are more of its connection string.
pub(crate) fn who_am_i(lab: &Server, user: &str, options: &str) -> Result<String, String> {
    let url = lab.postgres.as_ref().unwrap();
    let place = url.trim_start_matches("postgresql://").trim_end_matches("/lab");
    let (host, port) = place.rsplit_once(':').unwrap();
    let program = "import psycopg, sys\nwith psycopg.connect(sys.argv[1]) as c: print(c.execute('SELECT current_user').fetchone()[0], c.pgconn.ssl_in_use)";
    let output = Command::new(crate::python::interpreter())
        .args(["-c", program])
        .arg(format!("host={host} port={port} dbname=lab user={user} {options}"))
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(said(&output.stderr)),
    }
}

#[test]
fn tls_is_the_servers_and_a_certificate_logs_in_whom_it_names() {
    let papers = Papers::new();
    papers.sign("sam", "/O=Lab/CN=sam", "ca");
    papers.authority("foreign");
    let (cert, key, ca) = (
        papers.path("server.pem"),
        papers.path("server.key"),
        papers.path("ca.pem"),
    );
    let lab = lab::empty(|config| {
        let config = config.replace("[listen]\n", "[listen]\npostgres = \"127.0.0.1:0\"\n");
        format!("{config}\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nclient_ca = \"{ca}\"\n")
    });
    let checked = format!("sslmode=verify-full sslrootcert={ca}");
    let with_password = |user: &str| who_am_i(&lab, user, &format!("{checked} password={user}-demo"));
    assert_eq!(with_password("ada").unwrap(), "ada True");
    assert!(
        who_am_i(&lab, "ada", &format!("{checked} password=wrong"))
            .unwrap_err()
            .contains("login refused")
    );
    // On this machine a password may come without TLS.
    assert_eq!(
        who_am_i(&lab, "ada", "sslmode=disable password=ada-demo").unwrap(),
        "ada False"
    );
    // A certificate needs no password, and opens for nobody else.
    let (pem, pem_key) = (papers.path("sam.pem"), papers.path("sam.key"));
    let certified = format!("{checked} sslcert={pem} sslkey={pem_key}");
    // libpq wants keys that others cannot read.
    std::fs::set_permissions(&pem_key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(who_am_i(&lab, "sam", &certified).unwrap(), "sam True");
    let other = who_am_i(&lab, "ada", &format!("{certified} password=ada-demo")).unwrap_err();
    assert!(other.contains("names another login"), "{other}");

    // A new certificate of the server acts without a restart.
    papers.sign("renewed", "/CN=localhost", "foreign");
    for (from, to) in [("renewed.key", "server.key"), ("renewed.pem", "server.pem")] {
        std::fs::write(papers.path(to), papers.read(from)).unwrap();
    }
    let renewed = format!(
        "sslmode=verify-full sslrootcert={} password=ada-demo",
        papers.path("foreign.pem")
    );
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = who_am_i(&lab, "ada", &renewed) {
        assert!(Instant::now() < deadline, "{error}\n{}", lab.log());
    }
    assert!(
        with_password("ada").is_err(),
        "the old authority is no longer the server's"
    );
}

#[test]
fn the_door_is_off_unless_it_is_asked_for() {
    let lab = lab::empty(|config| config);
    assert_eq!(lab.postgres, None);
}

#[test]
fn a_login_that_ends_ends_its_connection() {
    let lab = lab::own();
    let token = user(&lab, &["token", "sam", "--label", "tool", "--read-only"]);
    let mut tool = Raw::login(&lab, "sam", &token);
    assert_eq!(tool.query("SELECT 1").error(), None);
    let refused = tool.query("DELETE FROM lab.chemistry.reagent_lots WHERE false").error();
    assert!(refused.unwrap().contains("for reading only"));
    user(&lab, &["token", "sam", "--label", "tool", "--revoke"]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match tool.query("SELECT 1").error() {
            None => assert!(Instant::now() < deadline, "a revoked token goes on"),
            Some(error) => break assert!(error.contains("login"), "{error}"),
        }
    }
    assert!(tool.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_locks_a_login_at_every_door_and_is_told_to_the_trail() {
    let lab = lab::own();
    let refused = |password: &str| match Raw::try_login(&lab, "dee", password) {
        Ok(_) => None,
        Err(said) => Some((said.state().unwrap(), said.error().unwrap())),
    };
    assert_eq!(refused("dee-demo"), None);
    let wrong = refused("guess").unwrap();
    assert_eq!(wrong.0, "28P01");
    // As often as locks a login.
    for _ in 0..20 {
        assert_eq!(refused("guess").as_ref(), Some(&wrong));
    }
    assert_eq!(refused("dee-demo").as_ref(), Some(&wrong), "also the right password");
    let flight = lab.login("dee", "dee-demo").await.err().unwrap().to_string();
    assert!(flight.contains(&wrong.1), "{flight}");
    let told = "SELECT verdict, count(*) AS n FROM system.audit WHERE event = 'login' AND door = 'postgres' AND principal = 'dee' GROUP BY 1 ORDER BY 1";
    lab.until("ada", told, |answer| {
        let answer = answer.as_deref().unwrap_or_default();
        answer.contains("| allowed | 1 ") && answer.contains("| refused | 22 ")
    })
    .await;
}
