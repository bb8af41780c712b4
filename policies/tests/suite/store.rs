//! Hot reload: whole sets or nothing.

use crate::fixture::{FILTERS, MODEL, POLICY, SECRET};
use labhouse_policies::{Action, PolicyErrors, PolicyStore, Principal, Problem, Tags};

fn write(dir: &std::path::Path, policy: &str) {
    std::fs::write(dir.join("policy.csv"), policy).unwrap();
}

#[test]
fn a_good_edit_is_swapped_in_and_a_bad_one_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.conf"), MODEL).unwrap();
    std::fs::write(dir.path().join("filters.toml"), FILTERS).unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    write(dir.path(), POLICY);
    let store = PolicyStore::open(dir.path()).unwrap();
    let may = |store: &PolicyStore| {
        store
            .current()
            .decide(
                &Principal::new("ana"),
                "chemistry",
                "lab/chemistry/t",
                &Tags::new(),
                Action::Select,
            )
            .allowed
    };
    let first = store.current();
    assert_eq!(
        (first.generation(), store.reload(|_| Ok(())).unwrap(), may(&store)),
        (1, false, true)
    );

    // Half of the denials are written: the old set stays.
    write(
        dir.path(),
        &format!("{POLICY}p, role:analyst, *, lab/chemistry/**, select, Deny\n"),
    );
    assert!(store.reload(|_| Ok(())).is_err() && store.problem().is_some());
    assert!(may(&store) && store.current().generation() == 1);
    assert!(store.reload(|_| Ok(())).is_err(), "an unchanged bad edit is still bad");

    // A good file that the tables refuse.
    write(
        dir.path(),
        &format!("{POLICY}p, role:analyst, *, lab/chemistry/**, select, deny\n"),
    );
    let refusal = || PolicyErrors::from(Problem::error("filters.toml", 1, "no such column", "correct it"));
    assert!(store.reload(|_| Err(refusal())).is_err());
    assert!(store.problem().unwrap().to_string().contains("no such column") && may(&store));

    assert!(
        store
            .reload(|set| {
                assert_eq!(set.generation(), 2);
                Ok(())
            })
            .unwrap()
    );
    assert!(store.problem().is_none() && !may(&store));
    assert_eq!(store.current().generation(), 2);
    assert_ne!(store.current().fingerprint(), first.fingerprint());
    // Who took the old set keeps it whole.
    assert!(
        first
            .decide(
                &Principal::new("ana"),
                "chemistry",
                "lab/chemistry/t",
                &Tags::new(),
                Action::Select
            )
            .allowed
    );

    // Gone files keep the set; coming back as they were clears the problem.
    std::fs::remove_file(dir.path().join("policy.csv")).unwrap();
    assert!(store.reload(|_| Ok(())).is_err() && store.problem().is_some());
    write(
        dir.path(),
        &format!("{POLICY}p, role:analyst, *, lab/chemistry/**, select, deny\n"),
    );
    assert!(!store.reload(|_| Ok(())).unwrap() && store.problem().is_none());

    // Another secret is another policy.
    std::fs::write(dir.path().join("secret"), "another secret of enough length").unwrap();
    assert!(store.reload(|_| Ok(())).unwrap());
}
