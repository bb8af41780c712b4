//! `policy diff`: what an edit gives and takes, counted on the data.

use std::path::Path;

use super::{Folder, json};
use crate::lab;

#[test]
fn diff_counts_the_rows_under_exactly_one_of_both() {
    let folder = Folder::new();
    let old = folder.dir.join("policies").to_str().unwrap().to_owned();
    let same = folder.policy(&["diff", &old, &old]);
    assert_eq!((same.code, same.out.lines().count()), (0, 1), "{}", same.err);
    assert!(same.out.contains("0 of 5 principals"), "{}", same.out);

    let diff = |new: &str, more: &[&str]| folder.policy(&[&["diff", &old, new][..], more].concat());
    // As many rows as before, and none of them the same: a difference of counts would be blind.
    let halves = |letters: &str| format!("left(well, 1) IN ({letters}) AND status = 'released'");
    let first = folder.edited(&[("status = 'released'", &halves("'A', 'B'"))]);
    lab::copy(Path::new(&first), &folder.dir.join("first"));
    let second = folder.edited(&[("status = 'released'", &halves("'C', 'D'"))]);
    let swapped = folder.policy(&["diff", folder.dir.join("first").to_str().unwrap(), &second]);
    let rows = 28032 / 16 * 2;
    assert_eq!(swapped.code, 1, "{}", swapped.err);
    assert!(
        swapped.out.contains(&format!(
            "lab.chemistry.reactions: gains {rows} rows; loses {rows} rows"
        )),
        "{}",
        swapped.out
    );
    assert!(
        swapped.out.contains("1 of 5 principals") && !swapped.out.contains("sam"),
        "{}",
        swapped.out
    );

    let new = folder.edited(&[
        ("lab/chemistry/*/operator,", "lab/chemistry/*/operators,"),
        (
            "lab/chemistry/*/scaffold_smiles,      scaffold_hash",
            "lab/chemistry/*/yield_pct, yield_bucket",
        ),
        (
            "[mask.scaffold_hash]\ncolumn = \"lab/chemistry/*/scaffold_smiles\"\nkind = \"hash\"",
            "[mask.yield_bucket]\ncolumn = \"lab/chemistry/*/yield_pct\"\nkind = \"bucket\"\nwidth = 10",
        ),
        ("status = 'released'", "status <> 'rejected'"),
        (
            "fn/predict_yield,         execute,    allow",
            "fn/predict_yield,         execute,    deny",
        ),
        (
            "tag:sensitivity=public,   use|select, allow",
            "tag:sensitivity=secret,   use|select, allow",
        ),
        (
            "use|select|insert|update|delete|create|drop|alert",
            "use|select|update|alter",
        ),
        (
            "g, user:dee, role:data_scientist, *",
            "g, user:eve, role:data_scientist, adme",
        ),
    ]);
    let said = diff(&new, &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    for wanted in [
        "lab.chemistry.reactions: gains column operator; sees column scaffold_smiles unmasked now; sees column yield_pct masked by yield_bucket now; gains 4224 rows\n",
        "lab.chemistry.protocols: gains column operator; sees column scaffold_smiles unmasked now\n",
        "lab.preclinical.dose_groups: loses the table with columns",
        "loses 24 rows",
        "fn/predict_yield: may no longer execute it",
        "lab.chemistry.reactions: may now alter; may no longer insert, delete, drop, alert",
        "dee\n",
        "eve\n",
        "lab.adme.clearance: gains the table with columns",
        "4 of 6 principals",
    ] {
        assert!(said.out.contains(wanted), "no {wanted:?} in\n{}", said.out);
    }
    let people: Vec<&str> = said.out.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        people[..4],
        ["ana", "dee", "eve", "sam"],
        "nothing changes for ada and guest"
    );
    let ana = &json(&diff(&new, &["--json"]))[0];
    assert_eq!(ana["principal"], "ana");
    assert_eq!(ana["execute"]["lost"], serde_json::json!(["fn/predict_yield"]));
    let tables = ana["tables"].as_array().unwrap();
    let reactions = tables
        .iter()
        .find(|one| one["table"] == "lab.chemistry.reactions")
        .unwrap();
    assert_eq!(reactions["rows"], serde_json::json!({"gained": 4224, "lost": 0}));
    assert_eq!(reactions["columns"]["gained"], serde_json::json!(["operator"]));
    // Back again, gains are losses.
    let back = folder.policy(&["diff", &new, &old]);
    assert!(
        back.out.contains("loses column operator") && back.out.contains("loses 4224 rows"),
        "{}",
        back.out
    );
}

#[test]
fn diff_is_in_trouble_where_a_set_cannot_act() {
    let folder = Folder::new();
    let old = folder.dir.join("policies").to_str().unwrap().to_owned();
    let unknown_word = folder.edited(&[("select,     deny", "select,     Deny")]);
    let said = folder.policy(&["diff", &old, &unknown_word]);
    assert!(
        said.code == 2 && said.err.contains("policy.csv:") && said.err.contains("`Deny`"),
        "{}",
        said.err
    );
    // Right by itself, but not for the tables that are there.
    let unknown_column = folder.edited(&[("status = 'released'", "state = 'released'")]);
    let said = folder.policy(&["diff", &old, &unknown_column]);
    assert!(said.code == 2 && said.err.contains("filters.toml:"), "{}", said.err);
    // The old set may be broken by what became of the tables: what it hid is seen again.
    let said = folder.policy(&["diff", &unknown_column, &old]);
    assert!(
        said.code == 1 && said.out.contains("lab.chemistry.reactions: gains the table"),
        "{}{}",
        said.out,
        said.err
    );
    // Explaining such a set tells of the break.
    let said = folder.policy(&[
        "explain",
        "--as",
        "ana",
        "--policies",
        &unknown_column,
        "--table",
        "lab.chemistry.reactions",
    ]);
    assert!(
        said.code == 0
            && said
                .out
                .contains("ana (roles in chemistry: role:lab_analyst) does not see"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("filter released_only (policy.csv:") && said.out.contains("state"),
        "{}",
        said.out
    );
}
