//! What an administrator watches and what no statement may do to the server.

use tonic::Code;

use crate::lab::{self, Server};
use crate::page_client::get;
use crate::raw::{Raw, query};

/// The numbers as an administrator reads them.
pub(crate) fn metrics(lab: &Server) -> String {
    let answer = get(lab, "ada", "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    answer.text()
}

pub(crate) fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.split(' ').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{page}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happens_and_name_nobody() {
    // Without the demo's alerts, which ask on their own.
    let lab = lab::empty(|config| config);
    lab.land("assay/hidden_table/a.csv", "secret_word\n1\n");
    lab.until("ada", "SELECT count(*) FROM lab.assay.hidden_table", Result::is_ok)
        .await;
    assert_eq!(get(&lab, "sam", "/metrics").status, 403);
    let before = metrics(&lab);
    let rows = lab.query("sam", "SELECT * FROM generate_series(1, 100)").await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
    assert!(lab.query("sam", "SELECT * FROM lab.assay.hidden_table").await.is_err());
    assert!(
        lab.query("sam", "SELECT 1 / (value - 1) FROM generate_series(1, 2)")
            .await
            .is_err()
    );
    let after = metrics(&lab);
    let grew = |name: &str| metric(&after, name) - metric(&before, name);
    assert_eq!(grew("labhouse_statements_total{outcome=\"finished\"}"), 1.0);
    assert_eq!(grew("labhouse_statements_total{outcome=\"invalid\"}"), 1.0);
    assert_eq!(grew("labhouse_rows_total"), 100.0);
    assert!(grew("labhouse_bytes_total") > 0.0 && grew("labhouse_statement_seconds_sum") > 0.0);
    assert_eq!(metric(&after, "labhouse_statements_running"), 0.0);
    assert_eq!(metric(&after, "labhouse_audit_healthy"), 1.0);
    assert!(metric(&after, "labhouse_sweeps_total") > 0.0 && metric(&after, "labhouse_catalog_generation") > 0.0);
    assert_eq!(metric(&after, "labhouse_files_total{status=\"loaded\"}"), 1.0);
    for told in ["sam", "hidden", "assay", "generate_series", "secret_word", "SELECT"] {
        assert!(!after.contains(told), "{told} in\n{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_cancelled_by_its_number_by_its_owner_or_an_administrator() {
    let lab = lab::own();
    let endless = "SELECT a.plate_id FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b";
    let (mut sam, mut dee, mut ada) = (
        Raw::login(&lab, "sam").await,
        Raw::login(&lab, "dee").await,
        Raw::login(&lab, "ada").await,
    );
    // An administrator's token that may change nothing ends nobody's work.
    let token = crate::logins::user(&lab, &["token", "ada", "--label", "reading", "--read-only"]);
    let mut reading = crate::logins::with_token(&lab, &token).await;
    for by_owner in [true, false] {
        let info = sam.info(&query(endless)).await.unwrap();
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
        stream.message().await.unwrap().unwrap();
        let running = format!("SELECT count(*) FROM system.queries WHERE state = 'running' AND id = '{id}'");
        assert_eq!(lab.number("ada", &running).await, 1);
        let cancel = |id: &str| query(&format!("CANCEL QUERY '{id}'"));
        let foreign = dee.ask(&cancel(&id)).await.unwrap_err();
        let absent = "00000000-0000-0000-0000-000000000000";
        let nothing = dee.ask(&cancel(absent)).await.unwrap_err();
        assert_eq!((foreign.code(), nothing.code()), (Code::NotFound, Code::NotFound));
        assert_eq!(
            foreign.message().replace(&id, absent),
            nothing.message(),
            "another's looks like none"
        );
        assert_eq!(reading.ask(&cancel(&id)).await.unwrap_err().code(), Code::NotFound);
        let who = if by_owner { &mut sam } else { &mut ada };
        assert!(who.ask(&cancel(&id)).await.is_ok());
        let end = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cancelled result must not look complete"),
                Err(status) => break status,
            }
        };
        assert_eq!(end.code(), Code::Cancelled);
    }
    let state = lab
        .text(
            "ada",
            "SELECT DISTINCT state FROM system.queries WHERE sql LIKE 'SELECT a.plate_id%'",
        )
        .await;
    assert!(state.contains("cancelled"), "{state}");
}

/// What would need far more than there is, with what it must be answered.
#[tokio::test(flavor = "multi_thread")]
async fn monsters_get_a_clear_error_and_others_do_not_notice() {
    let lab = lab::empty(|config| format!("{config}\n[limits]\nmemory_mib = 128\nspill_mib = 256\nstatement_s = 60\n"));
    let mut ada = Raw::login(&lab, "ada").await;
    let ors = format!("SELECT 1 WHERE {}", vec!["1 = 2"; 20_000].join(" OR "));
    let monsters = [
        (ors.as_str(), Code::InvalidArgument, "limits.statement_operators"),
        (
            "SELECT repeat('x', 2000000000)",
            Code::ResourceExhausted,
            "at most 256 MiB",
        ),
        (
            "SELECT length(repeat('x', value)) FROM generate_series(1000000000, 1000000100)",
            Code::ResourceExhausted,
            "at most",
        ),
        ("SELECT lpad('x', 2000000000)", Code::ResourceExhausted, "at most"),
        (
            "SELECT replace(lpad('', 1000000, 'x'), 'x', lpad('', 1000000, 'y'))",
            Code::ResourceExhausted,
            "at most",
        ),
        ("SELECT range(0, 9000000000)", Code::ResourceExhausted, "at most"),
        // 50 GB to sort, of which 128 MiB fit in memory and 256 MiB on disk.
        (
            "SELECT a.value, repeat('x', 1000) AS x FROM generate_series(1, 300000) a, generate_series(1, 300000) b ORDER BY b.value % 7, a.value DESC",
            Code::ResourceExhausted,
            "memory",
        ),
        // 300 MB that cannot go to disk.
        (
            "SELECT cardinality(array_agg(repeat('x', 1000 + value % 2))) FROM generate_series(1, 300000)",
            Code::ResourceExhausted,
            "memory",
        ),
        (
            "EXPLAIN FORMAT TREE SELECT 'ein sehr langer Text mit ä und ö und ü, der über das Ende der Kästchen geht'",
            Code::Unimplemented,
            "FORMAT INDENT",
        ),
    ];
    for (sql, code, says) in monsters {
        let (monster, small) = (query(sql), lab.query("ada", "SELECT 1"));
        let (answer, small) = tokio::join!(ada.ask(&monster), small);
        let short: String = sql.chars().take(80).collect();
        let refused = answer.err().unwrap_or_else(|| panic!("{short} was answered"));
        assert_eq!(refused.code(), code, "{short}: {refused}\n{}", lab.log());
        assert!(refused.message().contains(says), "{short}: {refused}");
        assert!(small.is_ok(), "another's statement beside {short}");
    }
    assert!(ada.ask(&query("EXPLAIN FORMAT TREE SELECT 1")).await.is_ok());
}

/// 300,000 rows with 300,000 rows: neither memory nor disk ends it, time does, and the others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_of_all_with_all_ends_with_its_time() {
    let lab = lab::empty(|config| format!("{config}\n[limits]\nmemory_mib = 256\nstatement_s = 3\n"));
    let (a, b) = ("generate_series(1, 300000) a", "generate_series(1, 300000) b");
    for sql in [
        format!("SELECT count(*) FROM {a} JOIN {b} ON a.value % 1000 > b.value % 7"),
        format!("SELECT sum(a.value * b.value) FROM {a}, {b}"),
        format!("SELECT a.value, b.value FROM {a} JOIN {b} ON a.value % 3 = b.value % 3 ORDER BY 1, 2 LIMIT 5"),
    ] {
        let mut ada = Raw::login(&lab, "ada").await;
        let monster = query(&sql);
        let others = async {
            for n in 0..10 {
                assert_eq!(lab.number("sam", &format!("SELECT {n}")).await, n);
            }
        };
        let (answer, ()) = tokio::join!(ada.ask(&monster), others);
        let refused = answer.err().unwrap_or_else(|| panic!("{sql} was answered"));
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{sql}: {refused}");
        assert!(refused.message().contains("limits.statement_s"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_has_its_limits_and_the_others_theirs() {
    let lab = lab::empty(|config| {
        format!("{config}\n[limits]\nresult_rows = 1000\nresult_mib = 1\nstatements_per_minute = 20\nqueue_s = 0\n")
    });
    let exhausted = |answer: Result<Vec<_>, String>, says: &str| {
        let error = answer.err().unwrap();
        assert!(error.contains(says), "{error}");
    };
    assert!(lab.query("ada", "SELECT * FROM generate_series(1, 1000)").await.is_ok());
    exhausted(
        lab.query("ada", "SELECT * FROM generate_series(1, 1001)").await,
        "limits.result_rows",
    );
    exhausted(
        lab.query("ada", "SELECT repeat('x', 2000) FROM generate_series(1, 900)")
            .await,
        "limits.result_mib",
    );
    let mut refused = None;
    for _ in 0..20 {
        if let Err(error) = lab.query("ada", "SELECT 1").await {
            refused = Some(error);
            break;
        }
    }
    assert!(refused.unwrap().contains("limits.statements_per_minute"));
    assert!(lab.query("sam", "SELECT 1").await.is_ok(), "another login");
}

/// A planner cannot be stopped: until it has ended, its statement has its place, and the next one of the same login waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_keeps_its_place_while_its_planning_goes_on() {
    let lab = lab::own_with(|config| {
        format!("{config}\n[limits]\nplanning_s = 1\nstatements_per_principal = 1\nqueue_s = 0\n")
    });
    let heavy = vec![
        "SELECT r.well FROM lab.chemistry.reactions r JOIN lab.chemistry.plate_readings p ON r.plate_id = p.plate_id AND r.well = p.well";
        240
    ];
    let heavy = format!("SELECT count(*) FROM ({})", heavy.join(" UNION ALL "));
    let late = lab.query("sam", &heavy).await.unwrap_err();
    assert!(late.contains("limits.planning_s"), "{late}");
    let next = lab.query("sam", "SELECT 1").await.unwrap_err();
    assert!(next.contains("limits.queue_s"), "{next}");
    assert!(lab.query("ada", "SELECT 1").await.is_ok(), "another's place");
    lab.until("sam", "SELECT 1 AS n", lab::shows(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_are_counted_as_statements_are() {
    let lab = lab::empty(|config| format!("{config}\n[limits]\nstatements_per_minute = 5\n"));
    let mut ada = Raw::login(&lab, "ada").await;
    let mut refused = None;
    for n in 0..20 {
        if let Err(error) = ada.info(&query(&format!("SELECT {n}"))).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("any number was planned");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("limits.statements_per_minute"), "{refused}");
    let mut sam = Raw::login(&lab, "sam").await;
    assert!(sam.ask(&query("SELECT 1")).await.is_ok(), "another login");
}
