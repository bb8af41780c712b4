//! `policy test`: sentences that must hold.

use serde_json::Value;

use super::{Folder, OPERATOR_DENIED, json};

#[test]
fn the_shipped_assertions_hold_for_the_demo_lab() {
    let folder = Folder::new();
    let file = folder.dir.join("policies/policy.test");
    let said = folder.policy(&["test", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let all = said.out.lines().count() - 1;
    assert!(
        all > 20 && said.out.contains(&format!("{all} of {all} assertions hold")),
        "{}",
        said.out
    );
    assert!(
        said.out.lines().take(all).all(|line| line.starts_with("ok    ")),
        "{}",
        said.out
    );
    // An edit that opens something is found, in its own words.
    let opened = folder.edited(&[(
        "p2, role:lab_analyst,  chemistry,   lab/chemistry/reactions,  permissive, released_only",
        "p2, role:lab_analyst,  preclinical, lab/chemistry/reactions,  permissive, released_only",
    )]);
    let said = folder.policy(&["test", file.to_str().unwrap(), "--policies", &opened, "--json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let failed: Vec<Value> = json(&said).into_iter().filter(|one| one["holds"] == false).collect();
    let sentences: Vec<&str> = failed.iter().map(|one| one["assertion"].as_str().unwrap()).collect();
    assert_eq!(
        sentences,
        [
            "ana sees 28032 rows of lab.chemistry.reactions",
            "ana sees no row of lab.chemistry.reactions where status <> 'released'"
        ]
    );
    assert_eq!(
        (failed[0]["expected"].as_str(), failed[0]["actual"].as_str()),
        (Some("28032 rows"), Some("36864 rows"))
    );
    assert_eq!(failed[1]["actual"], "8832 of 8832 rows");
    let line = |sentence: &str| {
        1 + folder
            .read("policies/policy.test")
            .lines()
            .position(|line| line == sentence)
            .unwrap()
    };
    assert_eq!(failed[0]["line"], line(sentences[0]));
}

#[test]
fn each_kind_of_assertion_has_its_no() {
    let folder = Folder::new();
    let pairs = [
        (
            "ana sees 28032 rows of lab.chemistry.reactions",
            "ana sees 28031 rows of lab.chemistry.reactions",
        ),
        (
            "ana sees at least 28032 rows of lab.chemistry.reactions",
            "ana sees at least 28033 rows of lab.chemistry.reactions",
        ),
        (
            "ana sees at most 28032 rows of lab.chemistry.reactions",
            "ana sees at most 28031 rows of lab.chemistry.reactions",
        ),
        (
            "ana sees all rows of lab.chemistry.protocols",
            "ana sees all rows of lab.chemistry.reactions",
        ),
        (
            "guest sees no rows of lab.chemistry.reactions",
            "ana sees no rows of lab.chemistry.reactions",
        ),
        (
            "ana does not see any row of lab.chemistry.reactions where status = 'draft'",
            "sam does not see any row of lab.chemistry.reactions where status = 'draft'",
        ),
        (
            "ana sees 876 rows of lab.chemistry.reactions where left(well, 1) = 'A' AND \"column\" <= 12",
            "ana sees 876 rows of lab.chemistry.reactions where left(well, 1) = 'A'",
        ),
        (
            "ana sees columns well, scaffold_smiles of lab.chemistry.reactions",
            "ana sees columns well, operator of lab.chemistry.reactions",
        ),
        (
            "ana sees only columns _ingested_at, _source_file, _source_row, day, grams, lot, reagent of lab.chemistry.reagent_use",
            "ana sees only columns lot, reagent, day of lab.chemistry.reagent_use",
        ),
        (
            "ana sees column scaffold_smiles of lab.chemistry.reactions masked",
            "ana sees column well of lab.chemistry.reactions masked",
        ),
        (
            "ana sees column scaffold_smiles of lab.chemistry.reactions masked by scaffold_hash",
            "ana sees column scaffold_smiles of lab.chemistry.reactions masked by other_mask",
        ),
        (
            "ana sees column well of lab.chemistry.reactions in clear",
            "ana sees column scaffold_smiles of lab.chemistry.reactions in clear",
        ),
        (
            "ana does not see column operator of lab.chemistry.reactions",
            "ana does not see column well of lab.chemistry.reactions",
        ),
        (
            "ana sees table lab.chemistry.protocols",
            "ana sees table lab.chemistry.plate_readings",
        ),
        (
            "ana does not see table lab.system.queries",
            "ada does not see table lab.system.queries",
        ),
        (
            "sam may insert into lab.chemistry.reactions",
            "ana may insert into lab.chemistry.reactions",
        ),
        (
            "ana may not delete from lab.chemistry.reactions",
            "sam may not delete from lab.chemistry.reactions",
        ),
        (
            "sam may create lab.chemistry.something_new",
            "ana may create lab.chemistry.something_new",
        ),
        ("ana may execute fn/predict_yield", "guest may execute fn/predict_yield"),
        (
            "ana may not execute fn/model_card of lab.chemistry.yield_model",
            "dee may not execute fn/model_card of lab.chemistry.yield_model",
        ),
        (
            "dee may train model/lab/chemistry/yield_model",
            "ana may train model/lab/chemistry/yield_model",
        ),
        ("guest sees nothing", "ana sees nothing"),
    ];
    let text: String = pairs
        .iter()
        .map(|(yes, no)| format!("{yes}\n# its no\n  {no}\n"))
        .collect();
    folder.write("pairs.test", &text);
    let file = folder.dir.join("pairs.test");
    let said = folder.policy(&["test", file.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.err);
    for (at, (yes, no)) in pairs.iter().enumerate() {
        let (good, bad) = (
            format!("ok    {}:{}  {yes}\n", file.display(), 3 * at + 1),
            format!("FAIL  {}:{}  {no}\n      expected: ", file.display(), 3 * at + 3),
        );
        assert!(said.out.contains(&good), "{yes} should hold:\n{}", said.out);
        assert!(said.out.contains(&bad), "{no} should not hold:\n{}", said.out);
    }
    assert!(
        said.out
            .contains(&format!("{} of {} assertions hold", pairs.len(), 2 * pairs.len())),
        "{}",
        said.out
    );
    for wanted in [
        "expected: 28031 rows\n      actual:   28032 rows\n      filters.toml:",
        &format!(
            "actual:   operator hidden\n      policy.csv:{}",
            folder.line(OPERATOR_DENIED)
        ),
        "actual:   scaffold_smiles masked by scaffold_hash",
        "actual:   grams in clear, _source_file in clear, _source_row in clear, _ingested_at in clear",
        "actual:   ana may not insert: nothing grants ana insert of lab/chemistry/reactions; policy.csv:",
        "actual:   lab.chemistry.instrument_bookings, lab.chemistry.planned_experiments, lab.chemistry.plate_layout,",
    ] {
        assert!(said.out.contains(wanted), "no {wanted:?} in\n{}", said.out);
    }
}

#[test]
fn a_misspelt_name_is_no_closed_door_and_a_file_that_cannot_be_read_no_test() {
    let folder = Folder::new();
    let test = |text: &str| {
        folder.write("t.test", text);
        folder.policy(&["test", folder.dir.join("t.test").to_str().unwrap()])
    };
    for (sentence, says) in [
        ("anna sees nothing", "nobody is called anna"),
        (
            "ana does not see table lab.chemistry.reaction",
            "there is no table lab.chemistry.reaction ",
        ),
        ("ana sees no rows of lab.chemistry.reaction", "there is no table"),
        (
            "ana does not see column operators of lab.chemistry.reactions",
            "has no column operators; it has",
        ),
        (
            "ana sees no rows of lab.chemistry.reactions where operators = 'x'",
            "where operators = 'x'",
        ),
        (
            "ana may not execute fn/predict_yields",
            "there is no function fn/predict_yields",
        ),
        (
            "ana may not execute fn/top_recommendations of lab.chemistry.no_model",
            "there is no function",
        ),
        ("ana may not drop model/lab/chemistry/no_model", "there is no model"),
        ("ana may not insert into lab.chemistry.reaction", "there is no table"),
        ("ada sees 3 rows of lab.system.queries", "without a running server"),
    ] {
        let said = test(&format!("{sentence}\nguest sees nothing\n"));
        assert_eq!(said.code, 1, "{sentence}: {}{}", said.out, said.err);
        assert!(
            said.out.contains("FAIL") && said.out.contains(says),
            "{sentence}: {}",
            said.out
        );
        assert!(said.out.contains("1 of 2 assertions hold"), "{}", said.out);
    }
    let faulty = test("guest sees nothing\n\nana sees tabel lab.chemistry.reactions\nana peeks\n");
    assert_eq!((faulty.code, faulty.out.as_str()), (2, ""));
    for wanted in ["t.test:3: `tabel`", "t.test:4: `peeks`", "write `nothing`, `table T`"] {
        assert!(faulty.err.contains(wanted), "{}", faulty.err);
    }
    let empty = test("# nothing yet\n");
    assert!(
        empty.code == 2 && empty.err.contains("no assertion in it"),
        "{}",
        empty.err
    );
    let missing = folder.policy(&["test", "/nowhere/policy.test"]);
    assert!(
        missing.code == 2 && missing.err.contains("/nowhere/policy.test"),
        "{}",
        missing.err
    );
    let broken = folder.edited(&[("status = 'released'", "state = 'released'")]);
    folder.write("t.test", "guest sees nothing\n");
    let said = folder.policy(&[
        "test",
        folder.dir.join("t.test").to_str().unwrap(),
        "--policies",
        &broken,
    ]);
    assert!(
        said.code == 2 && said.err.contains("filters.toml:"),
        "{}{}",
        said.out,
        said.err
    );
}
