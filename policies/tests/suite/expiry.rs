//! Rules that hold for a time.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use labhouse_policies::{Action, PolicySet, PolicyStore, Principal, Tags};

use crate::fixture::{MODEL, files};

const POLICY: &str = "\
g, user:ana, role:visitor, chem
g, user:ext, role:visitor, chem, valid_until=2027-01-31
p, role:visitor, chem, lab/chem/**, select, allow, valid_until = 2027-06-30T12:00:00Z
p, role:visitor, chem, lab/chem/secret/**, select, deny
p, role:visitor, chem, lab/chem/embargoed/**, select, deny, valid_until=2027-03-31
";

fn at(policy: &str, moment: &str) -> PolicySet {
    let moment: DateTime<Utc> = moment.parse().unwrap();
    PolicySet::at(&files(policy, ""), 1, moment).unwrap_or_else(|e| panic!("{e}"))
}

fn may(set: &PolicySet, who: &str, object: &str) -> bool {
    set.decide(&Principal::new(who), "chem", object, &Tags::new(), Action::Select)
        .allowed
}

#[test]
fn a_role_a_grant_and_a_denial_end_when_their_time_is_over() {
    for (moment, ext, ana, embargoed) in [
        ("2027-01-31T23:59:59Z", true, true, false),
        ("2027-02-01T00:00:00Z", false, true, false),
        ("2027-04-01T00:00:00Z", false, true, true),
        ("2027-06-30T11:59:59Z", false, true, true),
        ("2027-06-30T12:00:00Z", false, false, false),
    ] {
        let set = at(POLICY, moment);
        assert_eq!(may(&set, "ext", "lab/chem/t"), ext, "ext at {moment}");
        assert_eq!(may(&set, "ana", "lab/chem/t"), ana, "ana at {moment}");
        assert_eq!(may(&set, "ana", "lab/chem/embargoed"), embargoed, "embargo at {moment}");
        assert!(!may(&set, "ana", "lab/chem/secret"), "the lasting denial at {moment}");
        // Casbin is asked without the lines that are over, and agrees.
        for who in ["ext", "ana"] {
            let theirs = set.ask_casbin(&Principal::new(who), "chem", "lab/chem/t", &Tags::new(), Action::Select);
            assert_eq!(theirs.unwrap(), may(&set, who, "lab/chem/t"), "{who} at {moment}");
        }
    }
}

#[test]
fn what_is_over_is_told_with_its_line_and_decides_with_its_time() {
    let set = at(POLICY, "2027-02-15T00:00:00Z");
    let warnings = set.warnings().to_string();
    assert!(
        warnings.contains("policy.csv:2") && warnings.contains("does nothing any more"),
        "{warnings}"
    );
    let decision = set.decide(
        &Principal::new("ana"),
        "chem",
        "lab/chem/t",
        &Tags::new(),
        Action::Select,
    );
    assert!(
        decision.determined_by[0]
            .text
            .ends_with("allow, valid_until=2027-06-30T12:00:00Z")
    );
}

#[test]
fn times_that_are_none_and_restrictions_that_would_end_are_refused() {
    for (line, about) in [
        (
            "p, role:visitor, chem, lab/chem/**, select, allow, valid_until=tomorrow",
            "no date",
        ),
        (
            "p, role:visitor, chem, lab/chem/**, select, allow, until=2027-01-31",
            "6 fields",
        ),
        (
            "p, role:visitor, chem, lab/chem/**, select, valid_until=2027-01-31, allow",
            "6 fields",
        ),
        (
            "g, user:ana, role:visitor, chem, valid_until=2027-01-31, valid_until=2028-01-31",
            "fields",
        ),
        (
            "p2, role:visitor, chem, lab/chem/t, permissive, f, valid_until=2027-01-31",
            "would open by itself",
        ),
        (
            "p3, role:visitor, chem, lab/chem/t/c, m, valid_until=2027-01-31",
            "would open by itself",
        ),
    ] {
        let errors = PolicySet::from_files(&files(line, ""), 1).unwrap_err().to_string();
        assert!(
            errors.contains("policy.csv:1") && errors.contains(about),
            "{line}: {errors}"
        );
    }
}

#[test]
fn a_running_store_lets_go_of_a_right_at_its_time_without_an_edit() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.conf"), MODEL).unwrap();
    std::fs::write(dir.path().join("filters.toml"), "").unwrap();
    let over_at = Utc::now() + chrono::Duration::milliseconds(400);
    let policy = format!(
        "g, user:ana, role:visitor, chem\np, role:visitor, chem, lab/chem/**, select, allow, valid_until={}\n",
        over_at.to_rfc3339()
    );
    std::fs::write(dir.path().join("policy.csv"), policy).unwrap();
    let store = PolicyStore::open(dir.path()).unwrap();
    let first = store.current();
    let deadline = Instant::now() + Duration::from_secs(60);
    while may(&store.current(), "ana", "lab/chem/t") {
        // Each answer was right when it was given.
        assert!(first.generation() == 1 && Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(Utc::now() >= over_at);
    assert_eq!(
        store.current().generation(),
        2,
        "tickets of the old set must be refused"
    );
    assert!(!store.reload(|_| Ok(())).unwrap(), "the files did not change");
}
