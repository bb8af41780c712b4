//! The strict loader: every trap is an error with its line and a remedy, beside the form that is right.

use crate::fixture::{FILTERS, MODEL, POLICY, SECRET, files, load};
use labhouse_policies::{PolicyFiles, PolicySet, Severity, default_files};

fn refused(policy: &str, filters: &str, file: &str, line: usize, about: &str) {
    let problems = load(policy, filters).expect_err(about);
    let hit = problems
        .errors()
        .any(|p| p.file == file && p.line == line && p.what.contains(about) && !p.remedy.is_empty());
    assert!(hit, "wanted {file}:{line} … {about}, got\n{problems}");
}

fn policy_line(line: &str, about: &str) {
    let policy = format!("{POLICY}{line}\n");
    refused(&policy, FILTERS, "policy.csv", POLICY.lines().count() + 1, about);
}

#[test]
fn the_good_policy_loads_inside_and_outside_a_runtime() {
    assert!(load(POLICY, FILTERS).unwrap().warnings().is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { load(POLICY, FILTERS).unwrap() });
    // Comments, empty lines, spaces, tabs and Windows line ends are fine.
    let loose = POLICY
        .replace(", ", " ,\t")
        .replace('\n', "\r\n\r\n  # a comment, with \"quotes\" and ü\r\n");
    load(&loose, FILTERS).unwrap();
}

#[test]
fn lines_that_casbin_would_misread_are_refused_with_their_line() {
    policy_line("p, role:analyst, *, lab/x/**, select, Deny", "no effect");
    policy_line("p, role:analyst, *, lab/x/**, select, DENY", "no effect");
    policy_line(
        "p, role:analyst, *, lab/x/**, select, deny # why",
        "comment stands behind",
    );
    policy_line("p, role:analyst, *, lab/x/**, select", "fields behind it");
    policy_line("p, role:analyst, *, lab/x/**, select, deny, extra", "fields behind it");
    policy_line("P, role:analyst, *, lab/x/**, select, deny", "no kind of line");
    policy_line("p4, role:analyst, *, lab/x/**, select, deny", "no kind of line");
    policy_line("g2, role:analyst, role:admin, *", "no kind of line");
    policy_line("\u{feff}p, role:analyst, *, lab/x/**, select, deny", "byte order mark");
    policy_line("p, role:analyst, *, \"\"\"lab/x/**\"\"\", select, deny", "quotes");
    policy_line("p, role:analyst, *, , select, deny", "empty");
    policy_line("p, role:analyst, *, lab/µ/**, select, deny", "ASCII");
    policy_line("p, role:analyst, *, lab/x/**, read, deny", "unknown action");
    policy_line("p, role:analyst, *, lab/**/x, select, deny", "middle");
    policy_line("p, role:analyst, *, tag:pii, select, deny", "KEY=VALUE");
    policy_line("p, role:analyst, chem istry, lab/x/**, select, deny", "no department");
    refused(
        &format!("\u{feff}{POLICY}"),
        FILTERS,
        "policy.csv",
        1,
        "byte order mark",
    );
}

#[test]
fn names_without_a_type_and_roles_in_the_wrong_place_are_refused() {
    policy_line("p, analyst, *, lab/x/**, select, deny", "has no type");
    policy_line("p, *, *, lab/x/**, select, allow", "only be the subject of p2 and p3");
    policy_line("g, ana, role:analyst, chemistry", "has no type");
    policy_line("g, user:ana, user:ada, *", "is not a role");
    policy_line("g, user:role:admin, role:admin, *", "is not a name");
    policy_line("g, role:admin, role:admin, *", "given to itself");
}

#[test]
fn rules_that_would_match_nothing_are_refused() {
    policy_line("p, role:analyst, *, lab/chemistry, select, deny", "would match nothing");
    policy_line(
        "p2, role:analyst, *, lab/chemistry, permissive, own_rows",
        "does not name a table",
    );
    policy_line("p3, role:analyst, *, lab/chemistry/t, hash_m", "does not name a column");
    policy_line("p2, role:analyst, *, lab/chemistry/t, allow, own_rows", "no mode");
    policy_line(
        "p2, role:analyst, *, lab/chemistry/t, permissive, missing",
        "there is no [filter.missing]",
    );
    policy_line(
        "p3, role:analyst, *, lab/chemistry/t/m, missing",
        "there is no [mask.missing]",
    );
    policy_line(
        "p2, role:analyst, *, lab/chemistry/other, permissive, own_rows",
        "is for another object",
    );
}

#[test]
fn circles_and_long_chains_are_refused_and_eight_links_are_not() {
    let chain = |n: usize| {
        (1..n).fold("g, user:x, role:c1, *\n".to_owned(), |text, i| {
            format!("{text}g, role:c{i}, role:c{}, *\n", i + 1)
        })
    };
    load(&format!("{}{POLICY}", chain(8)), FILTERS).unwrap();
    refused(
        &format!("{}{POLICY}", chain(9)),
        FILTERS,
        "policy.csv",
        1,
        "chain of more than 8",
    );
    refused(
        &format!("g, role:a, role:b, *\ng, role:b, role:a, chemistry\n{POLICY}"),
        FILTERS,
        "policy.csv",
        1,
        "in a circle",
    );
}

#[test]
fn oddities_are_told_and_do_not_refuse() {
    let told = |policy: &str, filters: &str, about: &str| {
        let set = load(policy, filters).unwrap();
        let hit = set
            .warnings()
            .iter()
            .any(|p| p.severity == Severity::Warning && p.what.contains(about));
        assert!(hit, "{about}: {}", set.warnings());
    };
    told(
        &format!("{POLICY}p, role:nobody, *, lab/x/**, select, allow\n"),
        FILTERS,
        "held by nobody",
    );
    told(
        &format!("{POLICY}p, role:admin, *, **, *, allow\n"),
        FILTERS,
        "repeats line 3",
    );
    told(
        POLICY,
        &format!("{FILTERS}[filter.unused]\ntable = \"lab/a/b\"\nsql = \"x = 1\"\n"),
        "attached to nothing",
    );
}

#[test]
fn all_errors_are_collected_at_once() {
    let policy = format!("{POLICY}p, x, y\nq, 1\n");
    let filters = format!(
        "{FILTERS}[filter.bad]\ntable = \"lab\"\nsql = \"1 = 1\"\n[mask.bad]\ncolumn = \"lab/a/b/c\"\nkind = \"rot13\"\n"
    );
    let problems = load(&policy, &filters).unwrap_err();
    assert_eq!(problems.errors().count(), 4, "{problems}");
    assert!(problems.to_string().contains("policy.csv:9: "), "{problems}");
}

#[test]
fn another_model_is_refused() {
    let model = |from: &str, to: &str, about: &str| {
        let changed = MODEL.replace(from, to);
        assert_ne!(changed, MODEL, "the case changes nothing: {from}");
        let problems = PolicySet::from_files(
            &PolicyFiles {
                model: changed,
                ..files(POLICY, FILTERS)
            },
            1,
        )
        .expect_err(about);
        assert!(
            problems
                .errors()
                .any(|p| p.file == "model.conf" && p.what.contains(about)),
            "{about}: {problems}"
        );
    };
    model("&& !some(where (p.eft == deny))", "", "not the model");
    model(
        "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
        "priority(p.eft) || deny",
        "not the model",
    );
    model("g(r.sub, p.sub, r.dom)", "eval(p.sub)", "not the model");
    model("g = _, _, _", "g = _, _, _\ng2 = _, _", "`g2` is not known");
    model("p2 = sub, dom, obj, mode, filter", "", "p2 is missing");
    model("[matchers]", "[matchers]\nm = true", "not the model");
    model("[request_definition]", "\u{feff}[request_definition]", "not KEY");
    load(POLICY, FILTERS).unwrap();
}

#[test]
fn bad_entries_of_filters_toml_are_refused_with_their_line() {
    let line = FILTERS.lines().count() + 1;
    let entry = |text: &str, about: &str| refused(POLICY, &format!("{FILTERS}{text}\n"), "filters.toml", line, about);
    entry("[filter.x]\ntable = \"lab/a/b\"\nsql = \"a = \"", "filter x");
    entry(
        "[filter.x]\ntable = \"lab/a/b\"\nsql = \"a = 1; DROP TABLE b\"",
        "filter x",
    );
    entry(
        "[filter.x]\ntable = \"lab/a/b\"\nsql = \"a = $client.id\"",
        "is not known",
    );
    entry(
        "[filter.x]\ntable = \"lab/a\"\nsql = \"a = 1\"",
        "wrong number of parts",
    );
    entry("[mask.x]\ncolumn = \"lab/a/b/c\"", "neither sql nor kind");
    entry(
        "[mask.x]\ncolumn = \"lab/a/b/c\"\nkind = \"hash\"\nsql = \"c\"",
        "both sql and kind",
    );
    entry(
        "[mask.x]\ncolumn = \"lab/a/b/c\"\nkind = \"null\"\nkeep = 3",
        "means nothing",
    );
    entry(
        "[mask.x]\ncolumn = \"lab/a/b/c\"\nkind = \"date_trunc\"\nunit = \"fortnight\"",
        "fortnight",
    );
    entry(
        "[mask.x]\ncolumn = \"lab/a/b/c\"\nkind = \"bucket\"\nwidth = 0",
        "above zero",
    );
    for text in [
        "[filter.x]\ntable = \"lab/a/b\"\nsq = \"a\"",
        "[filters.x]\nsql = \"a\"",
        "[filter.own_rows]\ntable = \"lab/a/b\"\nsql = \"a\"",
    ] {
        assert!(load(POLICY, &format!("{FILTERS}{text}\n")).is_err(), "{text}");
    }
}

#[test]
fn a_hash_mask_needs_a_long_secret_and_only_then() {
    let with = |secret: Option<&str>, filters: &str, policy: &str| {
        PolicySet::from_files(
            &PolicyFiles {
                secret: secret.map(str::to_owned),
                ..files(policy, filters)
            },
            1,
        )
    };
    assert!(with(Some(SECRET), FILTERS, POLICY).is_ok());
    let missing = with(None, FILTERS, POLICY).unwrap_err();
    assert!(
        missing.to_string().contains("openssl rand") && missing.to_string().contains("needs a secret"),
        "{missing}"
    );
    assert!(
        with(Some("short"), FILTERS, POLICY)
            .unwrap_err()
            .to_string()
            .contains("fewer than 16")
    );
    assert!(with(None, &FILTERS.replace("hash\"", "null\""), POLICY).is_ok());
}

#[test]
fn missing_files_and_foreign_encodings_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let problems = PolicySet::load(dir.path(), 1).unwrap_err();
    assert_eq!(problems.errors().count(), 3, "{problems}");
    for (name, text) in default_files() {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    assert!(PolicySet::load(dir.path(), 7).unwrap().warnings().is_empty());
    assert_eq!(PolicySet::load(dir.path(), 7).unwrap().generation(), 7);
    std::fs::write(dir.path().join("policy.csv"), b"# one\n# \xb5\n").unwrap();
    assert!(
        PolicySet::load(dir.path(), 1)
            .unwrap_err()
            .to_string()
            .contains("policy.csv:2: the file is not UTF-8")
    );
}

#[test]
fn no_secret_is_shown() {
    let set = load(POLICY, FILTERS).unwrap();
    assert!(!format!("{set:?}").contains(SECRET));
}
