//! The authorisation matrix of the shipped policy, as committed text: `golden.txt`. A changed rule shows as a changed cell.
//! With LABHOUSE_BLESS=1 the test writes the file anew; read the difference before you commit it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use labhouse_policies::{Action, PolicyFiles, PolicySet, Principal, TableAccess, TableObject, Tags, default_files};

use crate::fixture::{SECRET, reference};

const PEOPLE: [&str; 5] = ["ada", "sam", "ana", "dee", "guest"];
const TABLES: [(&str, &str, &str, &[&str]); 10] = [
    (
        "chemistry",
        "protocols",
        "internal",
        &["protocol_id", "operator", "status", "scaffold_smiles"],
    ),
    ("chemistry", "plate_readings", "internal", &["plate_id", "yield_pct"]),
    (
        "chemistry",
        "reactions",
        "internal",
        &["reaction_id", "operator", "status", "scaffold_smiles", "yield_pct"],
    ),
    (
        "chemistry",
        "virtual_library",
        "internal",
        &["candidate_id", "scaffold_smiles"],
    ),
    ("chembl", "compound_properties", "public", &["chembl_id", "alogp"]),
    ("preclinical", "dose_groups", "public", &["animal", "dose"]),
    ("preclinical", "histology", "internal", &["animal", "finding"]),
    ("adme", "clearance", "internal", &["compound", "clint"]),
    ("assay", "ic50", "public", &["compound", "ic50"]),
    ("system", "audit", "internal", &["who", "what"]),
];
const FUNCTIONS: [&str; 3] = [
    "fn/predict_yield",
    "fn/top_recommendations",
    "model/lab/chemistry/yield_model",
];

fn shipped() -> PolicySet {
    let text = |name: &str| default_files().iter().find(|(n, _)| *n == name).unwrap().1.to_owned();
    let files = PolicyFiles {
        model: text("model.conf"),
        policy: text("policy.csv"),
        filters: text("filters.toml"),
        secret: Some(SECRET.to_owned()),
    };
    PolicySet::from_files(&files, 1).unwrap()
}

fn object((schema, table, sensitivity, columns): &(&str, &str, &str, &[&str]), personal: bool) -> TableObject {
    let field = |name: &&str| Field::new(*name, DataType::Utf8, true);
    let mut tags = Tags::from([("sensitivity".to_owned(), (*sensitivity).to_owned())]);
    if personal {
        tags.insert("pii".to_owned(), "true".to_owned());
    }
    TableObject {
        reference: reference(schema, table),
        department: (*schema).to_owned(),
        tags,
        column_tags: BTreeMap::new(),
        schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
    }
}

#[test]
fn the_shipped_policy_decides_as_written() {
    let (set, state) = (shipped(), SessionContext::new().state());
    let mut text =
        String::from("# who | object | actions allowed | what select shows (column, column=mask, [row filter])\n");
    for who in PEOPLE {
        let principal = Principal::new(who);
        for table in &TABLES {
            let object = object(table, false);
            let path = format!("lab/{}/{}", table.0, table.1);
            let allowed = |action: &Action| {
                set.decide(&principal, &object.department, &path, &object.tags, *action)
                    .allowed
            };
            let actions: Vec<&str> = Action::ALL.iter().filter(|a| allowed(a)).map(|a| a.as_str()).collect();
            let shown = match set.table(&principal, &object, &state, Action::Select) {
                TableAccess::Hidden(_) => "hidden".to_owned(),
                TableAccess::Open(access) => {
                    let names = access.columns.iter().map(|at| access.schema.field(*at).name());
                    let names: Vec<String> = names
                        .map(|n| {
                            if access.masks.contains_key(n) {
                                format!("{n}=mask")
                            } else {
                                n.clone()
                            }
                        })
                        .collect();
                    let rows = access.row_filter.map(|f| format!(" [{f}]")).unwrap_or_default();
                    format!("{}{rows}", names.join(" "))
                }
            };
            writeln!(text, "{who} | {path} | {} | {shown}", actions.join(" ")).unwrap();
        }
        for function in FUNCTIONS {
            let allowed = |action: &Action| {
                set.decide(&principal, "chemistry", function, &Tags::new(), *action)
                    .allowed
            };
            let actions: Vec<&str> = Action::ALL.iter().filter(|a| allowed(a)).map(|a| a.as_str()).collect();
            writeln!(text, "{who} | {function} | {} |", actions.join(" ")).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/golden.txt");
    if std::env::var_os("LABHOUSE_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(text, golden);
}

#[test]
fn personal_data_is_closed_to_all_but_the_administrator() {
    let (set, state) = (shipped(), SessionContext::new().state());
    for table in TABLES.iter().filter(|t| t.0 != "system") {
        for (who, department) in [("dee", true), ("ana", false), ("guest", false), ("ada", true)] {
            let open = |personal: bool| {
                matches!(
                    set.table(&Principal::new(who), &object(table, personal), &state, Action::Select),
                    TableAccess::Open(_)
                )
            };
            assert_eq!(open(true), who == "ada", "{who} {}", table.1);
            assert!(open(false) || !department, "{who} {} without the tag", table.1);
        }
    }
}

#[test]
fn the_shipped_filters_and_masks_fit_the_demo_tables() {
    let (set, state) = (shipped(), SessionContext::new().state());
    let tables: Vec<TableObject> = TABLES.iter().map(|t| object(t, false)).collect();
    let problems = set.verify(&state, &tables);
    assert!(problems.is_empty(), "{problems}");
    // A reactions table without the column that the filter is about.
    let other = object(&("chemistry", "reactions", "internal", &["reaction_id"]), false);
    let problems = set.verify(&state, std::slice::from_ref(&other));
    assert!(
        problems.is_fatal() && problems.to_string().contains("filters.toml:"),
        "{problems}"
    );
    assert!(
        matches!(
            set.table(&Principal::new("ana"), &other, &state, Action::Select),
            TableAccess::Hidden(_)
        ),
        "closed, not open"
    );
    assert!(matches!(
        set.table(&Principal::new("sam"), &other, &state, Action::Select),
        TableAccess::Open(_)
    ));
}
