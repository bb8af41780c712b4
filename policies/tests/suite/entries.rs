//! Row filters and masks against real columns: what is accepted, and what is refused with its line and a remedy.

use datafusion::prelude::SessionContext;

use crate::access::{ROLES, table};
use crate::fixture::load;

fn verified(entry: &str, attach: &str) -> String {
    let set = load(&format!("{ROLES}{attach}\n"), entry).unwrap_or_else(|e| panic!("{e}"));
    set.verify(&SessionContext::new().state(), &[table()]).to_string()
}

#[test]
fn filters_are_type_checked_total_and_deterministic() {
    let filter = |sql: &str| {
        verified(
            &format!("[filter.f]\ntable = \"lab/chem/r\"\nsql = \"{sql}\"\n"),
            "p2, *, *, lab/chem/r, restrictive, f",
        )
    };
    for good in [
        "status = 'released'",
        "n > 5 AND n + 1 <> 7 OR n IS NULL",
        "try_cast(status AS BIGINT) = 1",
        "until <= current_date() - interval '30 days'",
        "at >= now() - interval '1 hour'",
        "at >= '2026-01-01'",
        "project IN ($user.projects) OR starts_with(lower(status), 'rel')",
        "status LIKE 'rel%' AND NOT (status ILIKE '%x%')",
        "CASE WHEN n > 5 THEN true ELSE status = 'x' END",
        "array_has($user.projects, project)",
        "coalesce(status, '') <> $user.name",
        "try_cast(n AS DOUBLE) / 0.5 > 1",
        "sha256(concat($secret.salt, project)) IS NOT NULL",
        "true",
    ] {
        assert_eq!(filter(good), "", "{good}");
    }
    for (bad, about) in [
        ("n", "not true or false"),
        ("status", "not true or false"),
        ("missing = 1", "missing"),
        ("CAST(status AS INT) = 1", "cast"),
        ("status = 5", ""),
        ("1 / n > 0", "zero"),
        ("n % 2 = 0", "zero"),
        ("to_timestamp(status) > now()", "never fail"),
        ("random() > 0.5", "volatile"),
        ("count(*) > 1", "aggregate"),
        ("row_number() OVER () = 1", "window"),
        ("status IN (SELECT 'x')", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("status LIKE project", "pattern from a column"),
        ("status ~ '('", ""),
        ("repeat(status, 1000000000) = 'x'", "never fail"),
        ("factorial(n) > 1", "never fail"),
        ("substr(status, 1, n) = 'x'", "never fail"),
        ("no_such_function(n) = 1", "no_such_function"),
        ("n = CAST('x' AS INT)", "cast"),
        // Found by `garbled`: far days are errors as texts, and wrap around as instants.
        ("try_cast(until AS VARCHAR) = 'x'", "all the same"),
        ("concat(until, 'x') = 'x'", "cast"),
        ("try_cast(until AS TIMESTAMP) < now()", "all the same"),
        ("try_cast(at AS DATE) < current_date()", "all the same"),
        ("try_cast(n > 5 AS DATE) IS NULL", "all the same"),
    ] {
        let told = filter(bad);
        assert!(
            told.contains("filters.toml:1: filter f") && told.contains(about),
            "{bad}: {told:?}"
        );
    }
}

#[test]
fn masks_keep_the_type() {
    let mask = |column: &str, how: &str| {
        verified(
            &format!("[mask.m]\ncolumn = \"lab/chem/r/{column}\"\n{how}\n"),
            &format!("p3, *, *, lab/chem/r/{column}, m"),
        )
    };
    for (column, how) in [
        ("secret", "kind = \"hash\""),
        ("secret", "kind = \"partial\"\nkeep = 2"),
        ("secret", "kind = \"constant\"\nvalue = \"x\""),
        (
            "secret",
            "sql = \"encode(sha256(concat($secret.salt, secret)), 'hex')\"",
        ),
        ("secret", "sql = \"CASE WHEN n > 5 THEN secret END\""),
        ("n", "kind = \"bucket\"\nwidth = 10"),
        ("n", "kind = \"null\""),
        ("n", "kind = \"constant\"\nvalue = 0"),
        ("until", "kind = \"date_trunc\"\nunit = \"month\""),
        ("at", "kind = \"date_trunc\"\nunit = \"day\""),
    ] {
        assert_eq!(mask(column, how), "", "{column} {how}");
    }
    for (column, how, about) in [
        ("n", "kind = \"hash\"", "for text"),
        ("secret", "kind = \"bucket\"\nwidth = 10", "for numbers"),
        ("n", "kind = \"constant\"\nvalue = \"x\"", "no Int64"),
        ("n", "sql = \"status\"", "another type"),
        ("secret", "sql = \"length(secret)\"", "another type"),
        ("secret", "sql = \"repeat(secret, 1000000000)\"", "never fail"),
        ("secret", "sql = \"max(secret)\"", "aggregate"),
    ] {
        let told = mask(column, how);
        assert!(
            told.contains("mask m") && told.contains(about),
            "{column} {how}: {told:?}"
        );
    }
}

#[test]
fn a_denied_or_masked_column_that_is_not_there_is_told() {
    let told = |line: &str| verified("[mask.m]\ncolumn = \"lab/chem/r/*\"\nkind = \"null\"\n", line);
    assert!(
        told("p, role:base, *, lab/chem/r/operater, select, deny\np3, *, *, lab/chem/r/n, m")
            .contains("has no column `operater`")
    );
    assert!(told("p3, *, *, lab/chem/r/sekret, m").contains("has no column `sekret`"));
    assert_eq!(
        told("p, role:base, *, lab/chem/r/secret, select, deny\np3, *, *, lab/chem/r/n, m"),
        ""
    );
}
