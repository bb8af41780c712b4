//! Decisions are Casbin's: on random policies, on the shipped one, and on the corner cases that used to fail open.

use casbin::function_map::OperatorFunction;
use casbin::rhai::Dynamic;
use casbin::{CoreApi, DefaultModel, Enforcer, FileAdapter};
use labhouse_policies::{Action, PolicyFiles, PolicySet, Principal, Reason, Tags, default_files};
use proptest::prelude::*;

use crate::fixture::{FILTERS, MODEL, POLICY, SECRET, files, load};

fn set(policy: &str) -> PolicySet {
    PolicySet::from_files(&files(policy, ""), 1).unwrap_or_else(|e| panic!("{e}\n{policy}"))
}

fn may(set: &PolicySet, who: &str, department: &str, object: &str, action: Action) -> bool {
    set.decide(&Principal::new(who), department, object, &Tags::new(), action)
        .allowed
}

#[test]
fn deny_wins_and_silence_is_a_no() {
    let set = set(
        "g, user:a, role:x, chem\np, role:x, chem, lab/chem/**, select, allow\np, role:x, chem, lab/chem/secret/**, select, deny\n",
    );
    assert!(may(&set, "a", "chem", "lab/chem/open", Action::Select));
    assert!(!may(&set, "a", "chem", "lab/chem/secret/c", Action::Select), "denied");
    assert!(!may(&set, "a", "chem", "lab/chem/open", Action::Insert), "not granted");
    assert!(
        !may(&set, "a", "bio", "lab/chem/open", Action::Select),
        "the role is held in another department"
    );
    assert!(!may(&set, "b", "chem", "lab/chem/open", Action::Select), "nobody");
    let no = set.decide(
        &Principal::new("a"),
        "chem",
        "lab/chem/secret",
        &Tags::new(),
        Action::Select,
    );
    assert_eq!((no.reason.clone(), no.determined_by[0].line), (Reason::Denied, 3));
    let silent = set.decide(
        &Principal::new("b"),
        "chem",
        "lab/chem/open",
        &Tags::new(),
        Action::Select,
    );
    assert_eq!(
        (silent.reason.clone(), silent.determined_by.len()),
        (Reason::NothingMatched, 0)
    );
    for odd in ["", "/", "lab//chem", "lab/chem/", "/lab/chem/open"] {
        assert!(!may(&set, "a", "chem", odd, Action::Select), "{odd}");
    }
}

#[test]
fn a_login_named_like_a_role_holds_nothing() {
    let set = load(POLICY, FILTERS).unwrap();
    for name in [
        "role:admin",
        "admin",
        "user:ada",
        "ADA",
        "ada ",
        "",
        "*",
        "ana,role:admin",
    ] {
        assert!(
            !may(&set, name, "chemistry", "lab/chemistry/t", Action::Select),
            "{name:?}"
        );
        assert!(!set.is_admin(&Principal::new(name)), "{name:?}");
    }
    assert!(may(&set, "ada", "chemistry", "lab/chemistry/t", Action::Select));
}

#[test]
fn administrators_are_those_with_everything_everywhere() {
    let policy = "g, user:a, role:all, *\ng, user:b, role:all, chem\ng, user:c, role:most, *\np, role:all, *, **, *, allow\np, role:most, *, **, select|admin, allow\n";
    let set = set(policy);
    let admin = |who: &str| set.is_admin(&Principal::new(who));
    assert!(admin("a") && !admin("b") && !admin("c") && !admin("d"));
}

#[test]
fn roles_are_told_with_their_departments() {
    let set =
        set("g, user:a, role:x, chem\ng, user:a, role:z, *\ng, role:x, role:y, *\np, role:y, *, lab, use, allow\n");
    let pair = |r: &str, d: &str| (r.to_owned(), d.to_owned());
    assert_eq!(
        set.roles_of(&Principal::new("a")),
        [pair("role:x", "chem"), pair("role:y", "chem"), pair("role:z", "*")]
    );
    assert!(set.roles_of(&Principal::new("b")).is_empty());
}

#[test]
fn inherited_denies_hold_down_a_long_chain() {
    let links: String = (1..8).map(|i| format!("g, role:r{i}, role:r{}, *\n", i + 1)).collect();
    let set = set(&format!(
        "g, user:a, role:r1, *\n{links}p, role:r1, *, lab/**, select, allow\np, role:r8, *, lab/x/**, select, deny\n"
    ));
    assert!(may(&set, "a", "x", "lab/y/t", Action::Select) && !may(&set, "a", "x", "lab/x/t", Action::Select));
}

/// Casbin as its documentation shows it, reading the file itself, with matchers written a second time.
async fn plain_casbin(dir: &std::path::Path, policy: &str) -> Enforcer {
    let path = dir.join("policy.csv");
    std::fs::write(&path, policy).unwrap();
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let mut enforcer = Enforcer::new_raw(model, FileAdapter::new(path)).await.unwrap();
    enforcer.add_function(
        "actMatch",
        OperatorFunction::Arg2(|asked: Dynamic, rule: Dynamic| {
            let (asked, rule) = (asked.to_string(), rule.to_string());
            (rule == "*" || rule.split('|').any(|word| word == asked)).into()
        }),
    );
    enforcer.add_function(
        "objMatch",
        OperatorFunction::Arg3(|object: Dynamic, tags: Dynamic, rule: Dynamic| {
            let (object, tags, rule) = (object.to_string(), tags.to_string(), rule.to_string());
            match rule.strip_prefix("tag:") {
                Some(wanted) => wanted.split(" & ").all(|term| {
                    let (key, values) = term.split_once('=').unwrap();
                    values
                        .split('|')
                        .any(|value| tags.split(';').any(|tag| tag == format!("{key}={value}")))
                }),
                None => levels(
                    &rule.split('/').collect::<Vec<_>>(),
                    &object.split('/').collect::<Vec<_>>(),
                ),
            }
            .into()
        }),
    );
    enforcer
        .get_role_manager()
        .write()
        .matching_fn(None, Some(|asked, link| link == "*" || link == asked));
    enforcer.load_policy().await.unwrap();
    enforcer
}

fn levels(rule: &[&str], object: &[&str]) -> bool {
    match (rule, object) {
        (["**"], _) => true,
        ([], []) => true,
        ([r, rule @ ..], [o, object @ ..]) => stars(r.as_bytes(), o.as_bytes()) && levels(rule, object),
        _ => false,
    }
}

fn stars(rule: &[u8], name: &[u8]) -> bool {
    match (rule, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|n| stars(rest, &name[n..])),
        ([r, rule @ ..], [n, name @ ..]) => r == n && stars(rule, name),
        _ => false,
    }
}

fn policies() -> impl Strategy<Value = String> {
    let domain = prop::sample::select(vec!["d0", "d1", "*"]);
    let link = prop_oneof![
        (0..3usize, 0..4usize, domain.clone()).prop_map(|(u, r, d)| format!("g, user:u{u}, role:r{r}, {d}\n")),
        (0..3usize, 1..4usize, domain.clone())
            .prop_map(|(a, b, d)| format!("g, role:r{a}, role:r{}, {d}\n", (a + b).min(3).max(a + 1))),
    ];
    let subject = prop_oneof![4 => (0..4usize).prop_map(|r| format!("role:r{r}")), 1 => (0..3usize).prop_map(|u| format!("user:u{u}"))];
    let object = prop::sample::select(vec![
        "**",
        "lab/**",
        "lab/a/**",
        "lab/*/**",
        "lab/a/*",
        "lab/*/t1",
        "lab/a/t*",
        "lab/*/*/c",
        "lab/a/t1/c",
        "lab/a/t1",
        "lab/b/*1/*",
        "fn/*",
        "tag:s=public",
        "tag:s=public|secret & k=x",
        "tag:k=x",
    ]);
    let acts = prop::sample::select(vec!["*", "select", "use|select", "insert|execute", "use"]);
    let effect = prop::sample::select(vec!["allow", "allow", "allow", "deny"]);
    let grant = (subject, domain, object, acts, effect)
        .prop_filter("the loader refuses rules without reach", |(_, _, o, a, _)| {
            !(*o == "lab" && *a != "use")
        })
        .prop_map(|(s, d, o, a, e)| format!("p, {s}, {d}, {o}, {a}, {e}\n"));
    (prop::collection::vec(link, 0..8), prop::collection::vec(grant, 0..12))
        .prop_map(|(links, grants)| format!("{}{}", links.concat(), grants.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn compiled_decisions_are_casbins(policy in policies()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let plain = runtime.block_on(plain_casbin(dir.path(), &policy));
        let ours = set(&policy);
        let tagged = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Tags>();
        let tags = [Tags::new(), tagged(&[("s", "public")]), tagged(&[("s", "secret"), ("k", "x")])];
        for who in ["u0", "u1", "u2", "r0"] {
            for domain in ["d0", "d1", "d2", "*"] {
                for object in ["lab", "lab/a", "lab/a/t1", "lab/a/t1/c", "lab/b/t1/c", "fn/f"] {
                    for tags in &tags {
                        for action in [Action::Use, Action::Select, Action::Execute] {
                            let text: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
                            let (subject, text) = (format!("user:{who}"), text.join(";"));
                            let theirs = plain.enforce((subject.as_str(), domain, object, text.as_str(), action.as_str())).unwrap();
                            let principal = Principal::new(who);
                            let decision = ours.decide(&principal, domain, object, tags, action);
                            prop_assert_eq!(decision.allowed, theirs, "{} {} {} {} {}\n{}", who, domain, object, text, action, policy);
                            prop_assert_eq!(decision.allowed, ours.ask_casbin(&principal, domain, object, tags, action).unwrap());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_shipped_policy_loads_without_a_warning() {
    let text = |name: &str| default_files().iter().find(|(n, _)| *n == name).unwrap().1.to_owned();
    let files = PolicyFiles {
        model: text("model.conf"),
        policy: text("policy.csv"),
        filters: text("filters.toml"),
        secret: Some(SECRET.to_owned()),
    };
    let set = PolicySet::from_files(&files, 1).unwrap_or_else(|e| panic!("{e}"));
    assert!(set.warnings().is_empty(), "{}", set.warnings());
    assert!(set.is_admin(&Principal::new("ada")) && !set.is_admin(&Principal::new("dee")));
}
