//! Tests of the file above.

use crate::alerts::{Schedule, Target};

use super::super::{Statement, parse_own};
use super::*;

fn read(sql: &str) -> Result<AlertStatement, QueryError> {
    match parse_own(sql)? {
        Some(Statement::Alert(statement)) => Ok(statement),
        other => panic!("{sql}: {other:?}"),
    }
}

fn alert(sql: &str) -> NewAlert {
    match read(sql).unwrap_or_else(|error| panic!("{sql}: {error}")) {
        AlertStatement::Create(new) => *new,
        other => panic!("{other:?}"),
    }
}

fn target(recipient: &str, channel: &str) -> Target {
    Target {
        recipient: recipient.into(),
        channel: channel.into(),
    }
}

#[test]
fn an_alert_reads_like_a_sentence() {
    let new = alert(
        "CREATE OR REPLACE ALERT low_yield ON lab.chemistry.reactions WHEN avg(yield_pct) < 45 WHERE status = 'released' \
         WITHIN THE LAST 7 DAYS OF run_at BY instrument, Operator FOR 10 MINUTES EVERY 1 HOUR MESSAGE 'look' \
         NOTIFY sam, ana BY email AND hook, 'mara.lindt' BY outbox, dee;",
    );
    assert!(new.or_replace && !new.if_not_exists);
    assert_eq!(
        (new.name.schema.as_deref(), new.name.name.as_str()),
        (None, "low_yield")
    );
    let Condition::Holds(expr) = &new.condition else {
        panic!("{:?}", new.condition)
    };
    assert_eq!(compared(expr).unwrap().to_string(), "avg(yield_pct)");
    let clauses = new.clauses;
    assert_eq!(clauses.filter.unwrap().to_string(), "status = 'released'");
    assert_eq!(clauses.within.unwrap().seconds, 7 * 86_400);
    assert_eq!(clauses.labels, ["instrument", "operator"]);
    assert_eq!(clauses.for_s, Some(600));
    assert_eq!(clauses.when, Some(Schedule::EveryS(3_600)));
    assert_eq!(
        clauses.notify,
        [
            target("ana", "email"),
            target("ana", "hook"),
            target("dee", ""),
            target("mara.lindt", "outbox"),
            target("sam", "email"),
            target("sam", "hook"),
        ]
    );
}

#[test]
fn every_kind_of_rule_is_read() {
    for (rule, kind) in [
        ("yield_pct < 5", "holds"),
        ("EXISTS (SELECT 1 FROM lab.chemistry.other o WHERE o.a = t.b)", "holds"),
        ("avg(y) FALLS BY 10 PERCENT PER DAY OF run_at AGAINST 7", "moves"),
        ("avg(y) RISES BY 2.5 PER WEEK OF run_at", "moves"),
        ("count(*) CHANGES BY 50 % PER HOUR OF run_at", "moves"),
        ("avg(y) DEVIATES PER DAY OF run_at", "deviates"),
        ("avg(y) DEVIATES BEYOND 5 PER MONTH OF run_at", "deviates"),
        ("NO NEW ROWS FOR 2 HOURS", "none"),
        ("no < 5", "holds"),
    ] {
        let new = alert(&format!("CREATE ALERT a ON s.t WHEN {rule} NOTIFY sam"));
        let found = match new.condition {
            Condition::Holds(_) => "holds",
            Condition::Moves { .. } => "moves",
            Condition::Deviates { .. } => "deviates",
            Condition::NoNewRows { .. } => "none",
        };
        assert_eq!(found, kind, "{rule}");
    }
    let new = alert("CREATE ALERT a ON s.t WHEN EXISTS (SELECT 1 FROM lab.q.other WHERE x = y) NOTIFY sam");
    let read: Vec<String> = new.relations.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["q.other", "s.t"]);
}

#[test]
fn a_report_is_read_with_its_clauses_before_or_after_the_query() {
    for sql in [
        "CREATE REPORT weekly AS SELECT a, count(*) FROM lab.s.t GROUP BY a CRON '0 8 * * 1' NOTIFY sam, ana BY email",
        "CREATE REPORT weekly CRON '0 8 * * 1' NOTIFY sam, ana BY email AS SELECT a, count(*) FROM lab.s.t GROUP BY a;",
    ] {
        let AlertStatement::CreateReport(new) = read(sql).unwrap() else {
            panic!("{sql}")
        };
        assert_eq!(new.query.to_string(), "SELECT a, count(*) FROM lab.s.t GROUP BY a");
        assert!(matches!(new.clauses.when, Some(Schedule::Cron(_))));
        assert_eq!(new.clauses.notify.len(), 2);
        assert_eq!(new.relations.len(), 1);
    }
}

#[test]
fn changes_are_read() {
    let change = |sql: &str| match read(sql).unwrap() {
        AlertStatement::Alter { change, .. } => change,
        other => panic!("{other:?}"),
    };
    let at = DateTime::parse_from_rfc3339("2026-07-01T08:00:00Z").unwrap().to_utc();
    assert_eq!(
        change("ALTER ALERT a SILENCE UNTIL '2026-07-01T10:00:00+02:00'"),
        AlertChange::SilenceUntil(at)
    );
    assert_eq!(
        change("ALTER ALERT chemistry.a SILENCE FOR 2 HOURS"),
        AlertChange::SilenceForS(7_200)
    );
    assert_eq!(change("ALTER ALERT a SILENCE OFF"), AlertChange::SilenceOff);
    assert_eq!(change("ALTER REPORT a DISABLE"), AlertChange::Disable);
    assert_eq!(change("ALTER ALERT a ENABLE"), AlertChange::Enable);
    assert!(matches!(
        read("DROP ALERT IF EXISTS lab.chemistry.a"),
        Ok(AlertStatement::Drop { if_exists: true, .. })
    ));
}

#[test]
fn half_sentences_are_refused() {
    for sql in [
        "CREATE ALERT a ON s.t NOTIFY sam",
        "CREATE ALERT a WHEN x > 1 NOTIFY sam",
        "CREATE ALERT a ON t WHEN x > 1 NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN x > 1",
        "CREATE ALERT a ON s.t WHEN x > 1 NOTIFY",
        "CREATE ALERT a ON s.t WHEN x > 1 NOTIFY sam BY",
        "CREATE ALERT a ON s.t WHEN x > 1 NOTIFY sam NOTIFY ana",
        "CREATE ALERT a ON s.t WHEN x > 1 WHERE y WHERE z NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN avg(x) FALLS BY 0 PER DAY OF t NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN avg(x) FALLS BY 5 NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN avg(x) DEVIATES PER FORTNIGHT OF t NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN NO NEW ROWS NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN x > 1 CRON 'never' NOTIFY sam",
        "CREATE ALERT \"../a\" ON s.t WHEN x > 1 NOTIFY sam",
        "CREATE ALERT a ON s.t WHEN x > 1 NOTIFY sam; SELECT 1",
        "CREATE REPORT r AS SELECT 1 NOTIFY sam",
        "CREATE REPORT r AS SELECT 1 EVERY 1 DAY",
        "CREATE REPORT r AS DROP TABLE x EVERY 1 DAY NOTIFY sam",
        "CREATE REPORT r EVERY 1 DAY NOTIFY sam",
        "ALTER ALERT a",
        "ALTER ALERT a SILENCE",
        "ALTER ALERT a SILENCE UNTIL 'tomorrow'",
        "DROP ALERT",
    ] {
        assert!(parse_own(sql).is_err(), "{sql}");
    }
}
