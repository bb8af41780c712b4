//! Policy files as no careful hand writes them: mutated at random, they are refused or mean what Casbin says they mean.
//!
//! cargo-fuzz wants a nightly compiler; these are bounded slices of the same idea, with a fixed seed.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use labhouse_policies::{Action, PolicySet, Principal, TableAccess, TableObject, Tags, default_files};

use crate::fixture::{FILTERS, Kept, Lab, POLICY, batch, load, reference};
use crate::fuzz::rng::Rng;

const PEOPLE: [&str; 5] = ["ada", "ana", "sam", "dee", "guest"];
const OBJECTS: [&str; 8] = [
    "lab",
    "lab/chemistry",
    "lab/chemistry/t",
    "lab/chemistry/t/h",
    "lab/chemistry/t/m",
    "lab/assay/ic50",
    "fn/predict_yield",
    "model/lab/chemistry/yield_model",
];
const ACTIONS: [Action; 4] = [Action::Use, Action::Select, Action::Insert, Action::Execute];

fn shipped(name: &str) -> &'static str {
    default_files().iter().find(|(n, _)| *n == name).unwrap().1
}

/// Everything the set decides about the questions above.
fn decisions(set: &PolicySet) -> Vec<bool> {
    let mut all = Vec::new();
    for who in PEOPLE {
        for object in OBJECTS {
            for action in ACTIONS {
                all.push(
                    set.decide(&Principal::new(who), "chemistry", object, &Tags::new(), action)
                        .allowed,
                );
            }
        }
    }
    all
}

/// One small damage: bytes lost, doubled, changed or put in; lines swapped; the end cut off.
fn damage(rng: &mut Rng, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(8) {
            0 => bytes[at] = *rng.pick(b",|*/\"'#=:.[]{}\\\r\n\t pgdenyallow\0\x7f"),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *rng.pick(b",|*/\"'#=:.&[]\n \t\0")),
            3 => {
                let more = *rng.pick(&[
                    "\u{feff}", "é", "\u{a0}", "**", "deny", ", ", "role:", "\r\n", "--", "/*", "$user.", "'''",
                ]);
                bytes.splice(at..at, more.bytes());
            }
            4 => bytes.truncate(at),
            5 => {
                let to = (at + 1 + rng.below(40)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let (a, b) = (rng.below(lines.len()), rng.below(lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn damaged_rules_are_refused_or_mean_what_casbin_says() {
    let mut rng = Rng::new(11);
    let (mut refused, mut loaded) = (0, 0);
    for case in 0..160 {
        let (policy, filters) = match case % 2 {
            0 => (shipped("policy.csv"), shipped("filters.toml")),
            _ => (POLICY, FILTERS),
        };
        let (policy, filters) = match rng.chance(75) {
            true => (damage(&mut rng, policy), filters.to_owned()),
            false => (policy.to_owned(), damage(&mut rng, filters)),
        };
        let set = match catch_unwind(|| load(&policy, &filters))
            .unwrap_or_else(|_| panic!("it panicked on\n{policy}\n{filters}"))
        {
            Ok(set) => set,
            Err(problems) => {
                assert!(problems.errors().next().is_some(), "a refusal says why");
                refused += 1;
                continue;
            }
        };
        loaded += 1;
        let (who, object, action) = (*rng.pick(&PEOPLE), *rng.pick(&OBJECTS), *rng.pick(&ACTIONS));
        let ours = set
            .decide(&Principal::new(who), "chemistry", object, &Tags::new(), action)
            .allowed;
        let theirs = set
            .ask_casbin(&Principal::new(who), "chemistry", object, &Tags::new(), action)
            .unwrap();
        assert_eq!(ours, theirs, "{who} {action} {object} under\n{policy}");
    }
    assert!(refused > 30 && loaded > 30, "both are tried: {refused} {loaded}");
}

/// Slips that do not change which names a denial is about. Each is refused, or the set decides as before.
#[test]
fn a_slip_in_a_denial_never_opens_anything() {
    let good = decisions(&load(POLICY, FILTERS).unwrap());
    let denial = "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny";
    assert!(POLICY.contains(denial));
    let slips = [
        "P, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, Deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, DENY",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny # sure",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny,",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, \"deny\"",
        "p, role:analyst, chemistry, lab/chemistry/t/h, Select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select|, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\0",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\u{a0}",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, d\u{435}ny",
        "\u{feff}p, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p , role:analyst\t,chemistry,lab/chemistry/t/h ,select,  deny  \t",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\r",
        "p; role:analyst; chemistry; lab/chemistry/t/h; select; deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select deny",
        "p,, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p2, role:analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, analyst, chemistry, lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, /lab/chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h/, select, deny",
        "p, role:analyst, chemistry, lab//chemistry/t/h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/{h}, select, deny",
        "p, role:analyst, chemistry, lab\\chemistry\\t\\h, select, deny",
        "p, role:analyst, chemistry, lab/chemistry/t/h, select, deny\u{2028}",
    ];
    for slip in slips {
        if let Ok(set) = load(&POLICY.replace(denial, slip), FILTERS) {
            assert_eq!(decisions(&set), good, "{slip:?}");
        }
    }
}

/// `filters.toml` can hide rows and values; however damaged, it opens no column and no table.
#[tokio::test]
async fn damaged_filters_close_or_are_refused_and_never_fail_on_a_row() {
    let lab = Lab::new(Kept::Memory, &batch(0)).await;
    let open = lab.access(&load(POLICY, FILTERS).unwrap(), "ana").columns;
    let mut rng = Rng::new(12);
    let (mut refused, mut closed, mut opened) = (0, 0, 0);
    for _ in 0..160 {
        let filters = damage(&mut rng, FILTERS);
        let Ok(set) = load(POLICY, &filters) else {
            refused += 1;
            continue;
        };
        match set.table(&Principal::new("ana"), &lab.object(), &lab.system, Action::Select) {
            TableAccess::Hidden(_) => closed += 1,
            TableAccess::Open(access) => {
                opened += 1;
                assert_eq!(access.columns, open, "{filters}");
                assert!(
                    access.row_filter.is_some() && access.masks.contains_key("m"),
                    "{filters}"
                );
                access
                    .shows(&batch(0), &lab.system)
                    .unwrap_or_else(|e| panic!("{e}\n{filters}"));
                let user = crate::fixture::User::new();
                let governed =
                    labhouse_policies::govern(Arc::clone(&lab.raw), &access, Arc::clone(&lab.system)).unwrap();
                user.context.register_table("t", governed).unwrap();
                user.run("SELECT * FROM t")
                    .await
                    .unwrap_or_else(|e| panic!("{e}\n{filters}"));
            }
        }
    }
    assert!(refused > 0 && opened > 0, "{refused} {closed} {opened}");
}

#[test]
fn names_of_tables_and_people_that_are_no_names_open_nothing() {
    let set = load(POLICY, FILTERS).unwrap();
    let state = SessionContext::new().state();
    let rows = batch(0);
    for who in [
        "",
        "role:admin",
        "user:ada",
        "ada ",
        "ADA",
        "*",
        "ada\0",
        "role:analyst",
        "ada, role:admin",
    ] {
        for (schema, name) in [
            ("chemistry", "t"),
            ("", ""),
            ("*", "*"),
            ("chemistry", "**"),
            ("chemistry/t", "h"),
            ("..", "t"),
        ] {
            let table = TableObject {
                reference: reference(schema, name),
                department: schema.to_owned(),
                tags: Tags::new(),
                column_tags: BTreeMap::new(),
                schema: rows.schema(),
            };
            let found = set.table(&Principal::new(who), &table, &state, Action::Select);
            assert!(matches!(found, TableAccess::Hidden(_)), "{who:?} {schema:?} {name:?}");
        }
    }
}
