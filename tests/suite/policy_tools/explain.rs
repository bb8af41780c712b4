//! `policy explain`: what somebody sees, and which line decided.

use serde_json::Value;

use super::{Folder, OPERATOR_DENIED, json, run};

#[test]
fn explain_tells_of_every_table_what_is_seen_and_which_line_decided() {
    let folder = Folder::new();
    let said = folder.policy(&["explain", "--as", "ana"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for wanted in [
        "ana sees lab.chemistry.reactions: 28 of 29 columns, 1 masked, 28032 of 36864 rows",
        "hidden   lab.chemistry.reactions.operator: denied",
        "masked   lab.chemistry.reactions.scaffold_smiles by scaffold_hash: a keyed hash (filters.toml:",
        "filtered lab.chemistry.reactions by released_only: only rows where status = 'released'",
        &format!("policy.csv:{}  {OPERATOR_DENIED}", folder.line(OPERATOR_DENIED)),
        "ana sees lab.chemistry.reagent_lots: 12 of 12 columns, 26 of 26 rows",
        "ana does not see lab.chemistry.plate_readings: select of lab/chemistry/plate_readings is denied",
        "ana does not see lab.adme.clearance: nothing grants ana select of lab/adme/clearance; policy.csv:",
        "would, if ana held role:data_scientist in adme",
        "ana does not see lab.system.queries: nothing grants",
        "ana may execute fn/predict_yield",
    ] {
        assert!(said.out.contains(wanted), "no {wanted} in\n{}", said.out);
    }
    assert!(!said.out.contains("ana may execute model"), "{}", said.out);
    let guest = folder.policy(&["explain", "--as", "guest"]);
    assert!(guest.code == 0 && !guest.out.contains("guest sees") && !guest.out.contains("may execute"));
    let ada = folder.policy(&["explain", "--as", "ada"]);
    assert!(ada.code == 0 && !ada.out.contains("does not see"), "{}", ada.out);
    // The same for programs.
    let all = json(&folder.policy(&["explain", "--as", "ana", "--json"]));
    let reactions = all
        .iter()
        .find(|one| one["table"] == "lab.chemistry.reactions")
        .unwrap();
    assert_eq!(reactions["rows"], serde_json::json!({"shown": 28032, "of": 36864}));
    assert_eq!(reactions["roles"], serde_json::json!(["role:lab_analyst"]));
    let hidden: Vec<&Value> = reactions["columns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["verdict"] == "hidden")
        .collect();
    assert_eq!(hidden.len(), 1);
    assert_eq!(hidden[0]["rules"][0]["line"], folder.line(OPERATOR_DENIED));
    let queries = all.iter().find(|one| one["table"] == "lab.system.queries").unwrap();
    assert!(queries["verdict"] == "hidden" && queries["rows"].is_null());
}

#[test]
fn explain_tells_why_a_row_and_a_column_are_hidden() {
    let folder = Folder::new();
    let table = ["explain", "--as", "ana", "--table", "lab.chemistry.reactions"];
    let ask = |more: &[&str]| folder.policy(&[&table[..], more].concat());
    let attached = "p2, role:lab_analyst, chemistry, lab/chemistry/reactions, permissive, released_only";
    let line = folder.line(attached);
    let hidden = ask(&["--row", "status = 'draft' AND well = 'A1'", "--json"]);
    assert_eq!(hidden.code, 0, "{}", hidden.err);
    let picked = json(&hidden)[0]["picked"].as_array().unwrap().clone();
    assert_eq!(picked.len(), 4224 / 384, "one well of every draft plate");
    for row in &picked {
        assert_eq!(row["shown"], false);
        assert!(row["row"].as_str().unwrap().contains("status = draft"), "{row}");
        let facts = row["facts"].as_array().unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!(facts[0]["by"], "released_only");
        assert!(
            facts[0]["why"]
                .as_str()
                .unwrap()
                .contains("released_only is false on it")
        );
        assert_eq!(facts[0]["rules"][0]["file"], "filters.toml");
        assert_eq!(facts[0]["rules"][1]["line"], line);
    }
    let shown = ask(&["--row", "status = 'released' AND well = 'A1' AND plate_id = 'P0001'"]);
    assert!(
        shown.out.contains("the one row where") && shown.out.contains("the row filters let it through"),
        "{}",
        shown.out
    );
    let both = ask(&["--row", "well = 'A1' AND plate_id IN ('P0001', 'P0003')"]);
    assert!(
        both.out.contains("let it through") && both.out.contains("is false on it"),
        "{}",
        both.out
    );
    let none = ask(&["--row", "well = 'Z9'"]);
    assert!(
        none.out
            .contains("no row of lab.chemistry.reactions fulfils well = 'Z9'"),
        "{}",
        none.out
    );
    // The condition may look at what ana does not see; the answer is the administrator's.
    let by_hidden = ask(&["--row", "operator IS NOT NULL AND well = 'A1' AND plate_id = 'P0003'"]);
    assert!(by_hidden.out.contains("operator = "), "{}", by_hidden.out);

    let column = ask(&["--column", "operator"]);
    assert!(
        column.out.contains("hidden   lab.chemistry.reactions.operator: denied"),
        "{}",
        column.out
    );
    assert!(
        column
            .out
            .contains(&format!("policy.csv:{}", folder.line(OPERATOR_DENIED)))
    );
    assert!(!column.out.contains("reactions.well"), "{}", column.out);
    let whole = ask(&[]);
    assert!(
        whole
            .out
            .contains("shown    lab.chemistry.reactions.well: granted policy.csv:"),
        "{}",
        whole.out
    );
    // The rows of a hidden table are hidden with it.
    let closed = folder.policy(&[
        "explain",
        "--as",
        "guest",
        "--table",
        "lab.chemistry.reactions",
        "--row",
        "well = 'A1' AND plate_id = 'P0001'",
    ]);
    assert!(
        closed.out.contains("the table is hidden: nothing grants guest select"),
        "{}",
        closed.out
    );
}

#[test]
fn explain_refuses_what_is_not_there() {
    let folder = Folder::new();
    let table = ["explain", "--as", "ana", "--table", "lab.chemistry.reactions"];
    for (arguments, says) in [
        (&["explain", "--as", "nobody"][..], "nobody is called nobody"),
        (
            &["explain", "--as", "ana", "--table", "lab.chemistry.reaction"],
            "there is no table lab.chemistry.reaction ",
        ),
        (&["explain", "--as", "ana", "--table", "reactions"], "not a full name"),
        (&["explain", "--as", "ana", "--row", "true"], "--table"),
        (&["explain"], "--as"),
        (
            &[&table[..], &["--column", "operatox"]].concat(),
            "has no column operatox; it has reaction_id",
        ),
        (&[&table[..], &["--row", "operatox = 1"]].concat(), "operatox"),
        (&[&table[..], &["--row", "status ="]].concat(), "--row"),
        (
            &[
                &table[..],
                &["--row", "well IN (SELECT well FROM lab.chemistry.plate_readings)"],
            ]
            .concat(),
            "--row",
        ),
        (&["explain", "--as", "ana", "--policies", "/nowhere"], "/nowhere"),
        (
            &[
                "explain",
                "--as",
                "ana",
                "--table",
                "lab.system.queries",
                "--row",
                "true",
            ],
            "without a running server",
        ),
    ] {
        let said = folder.policy(arguments);
        assert_eq!(said.code, 2, "{arguments:?} {} {}", said.out, said.err);
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn attributes_of_the_users_file_are_bound_in_what_is_explained() {
    let folder = Folder::new();
    for (name, attribute) in [("zoe", "wells=A1,B2"), ("max", "wells=C3,H7")] {
        let added = run(&folder.dir, "user", &["add", name, "--attribute", attribute]);
        assert_eq!(added.code, 0, "{}", added.err);
    }
    let policy = folder.read("policies/policy.csv");
    let grants = "g, user:zoe, role:well_reader, chemistry\ng, user:max, role:well_reader, chemistry\ng, user:tim, role:well_reader, chemistry\np, role:well_reader, *, lab, use, allow\np, role:well_reader, chemistry, lab/chemistry, use, allow\np, role:well_reader, chemistry, lab/chemistry/plate_readings/**, select, allow\np2, role:well_reader, chemistry, lab/chemistry/plate_readings, restrictive, own_wells\n";
    folder.write("policies/policy.csv", &format!("{policy}\n{grants}"));
    let filters = folder.read("policies/filters.toml");
    folder.write(
        "policies/filters.toml",
        &format!("{filters}\n[filter.own_wells]\ntable = \"lab/chemistry/plate_readings\"\nsql = \"well = ANY($user.wells)\"\n"),
    );
    let ask = |who: &str| {
        folder.policy(&[
            "explain",
            "--as",
            who,
            "--table",
            "lab.chemistry.plate_readings",
            "--row",
            "well = 'A1' AND plate_id = 'P0001'",
        ])
    };
    let zoe = ask("zoe");
    assert!(
        zoe.out.contains("192 of 36864 rows") && zoe.out.contains("well IN ('A1', 'B2')"),
        "{}{}",
        zoe.out,
        zoe.err
    );
    assert!(zoe.out.contains("let it through"), "{}", zoe.out);
    let max = ask("max");
    assert!(
        max.out
            .contains("own_wells is false on it (restrictive: it must be true): well IN ('C3', 'H7')"),
        "{}",
        max.out
    );
    // Known to the policy alone: no attributes, and so no rows.
    let tim = ask("tim");
    assert!(
        tim.out.contains("0 of 36864 rows") && tim.out.contains("own_wells is NULL on it"),
        "{}{}",
        tim.out,
        tim.err
    );
}
