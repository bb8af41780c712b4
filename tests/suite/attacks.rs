//! The leak channels of SECURITY.md, tried by a real client: `tests/python/test_attacks.py` against a lab of its own.
//!
//! `tests/weakened.sh` runs the same suite against a build whose barrier is a plain filter, and wants it to fail.

use std::collections::HashMap;
use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::lab::{self, BINARY};

/// Rows of the table under attack; of ten, seven are shown to ana.
const ROWS: usize = 400;
/// What only a forbidden row holds in `n`.
const HELD: usize = 424_242;

/// The table: what is hidden is marked, so that it is known again wherever it turns up.
fn secured() -> String {
    let mut csv = String::from("id,dept,n,tx,m,hidden_zq,f,d\n");
    for i in 0..ROWS {
        let hidden = i % 10 >= 7;
        let dept = if hidden { "secret-department" } else { "chem" };
        let n = match i {
            7 => HELD,
            _ if hidden => 900_000 + i,
            _ => 1_000 + i,
        };
        let tx = if hidden {
            format!("forbidden-text-of-row-{i}")
        } else {
            (i % 50).to_string()
        };
        let m = format!("raw-structure-CCOC-{}", i % 30);
        let day = format!("2026-0{}-{:02}", 1 + i % 6, 1 + i % 28);
        writeln!(csv, "{i},{dept},{n},{tx},{m},hidden-column-value-{i},{}.5,{day}", i % 5).unwrap();
    }
    csv
}

/// Ana reads, and may also write, so that the oracles of writing are tried and not only refused.
const RULES: &str = "
p, role:lab_analyst, chemistry, lab/chemistry/secured/hidden_zq, select, deny
p, role:lab_analyst, chemistry, lab/chemistry/secured/**, update|delete, allow
p, role:lab_analyst, chemistry, lab/chemistry/laundered/**, create|insert|drop, allow
p, role:lab_analyst, chemistry, fn/top_recommendations, execute, allow
p, role:lab_analyst, chemistry, fn/recommend_plate, execute, allow
p2, role:lab_analyst, chemistry, lab/chemistry/secured, permissive, own_department
p3, role:lab_analyst, chemistry, lab/chemistry/secured/m, secured_hash
p2, role:lab_analyst, chemistry, lab/chemistry/virtual_library, restrictive, half_of_the_library
";
const ENTRIES: &str = "
[filter.own_department]
table = \"lab/chemistry/secured\"
sql = \"dept = 'chem'\"
[filter.half_of_the_library]
table = \"lab/chemistry/virtual_library\"
sql = \"candidate_id LIKE '%1'\"
[mask.secured_hash]
column = \"lab/chemistry/secured/m\"
kind = \"hash\"
";

fn append(path: &std::path::Path, more: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, format!("{text}{more}")).unwrap();
}

#[tokio::test]
async fn no_channel_tells_a_reader_what_is_hidden() {
    let lab = lab::own();
    lab.land("chemistry/secured/a.csv", secured());
    let count = "SELECT count(*) FROM lab.chemistry.secured";
    lab.until("ada", count, Result::is_ok).await;
    // A login that is called like the administrators' role.
    let added = Command::new(BINARY)
        .args(["user", "add", "lake_admin", "--config"])
        .arg(lab.dir.join("labhouse.toml"))
        .env("LABHOUSE_PASSWORD", "lake_admin-demo")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    append(&lab.dir.join("policies/filters.toml"), ENTRIES);
    append(&lab.dir.join("policies/policy.csv"), RULES);
    let shown = (ROWS / 10 * 7).to_string();
    lab.until("ana", count, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains(&format!("| {shown} ")))
    })
    .await;
    let extra = HashMap::from([
        ("LABHOUSE_ATTACK_ROWS", ROWS.to_string()),
        ("LABHOUSE_ATTACK_SHOWN", shown),
    ]);
    lab.pytest("test_attacks.py", &extra);
    // The engine's drawing of plans is known to fail inside a letter of two bytes; nothing else may.
    let log = lab.log();
    let panicked = log
        .lines()
        .find(|line| line.contains("panicked") && !line.contains("src/display.rs") && !line.contains("char boundary"));
    assert_eq!(panicked, None, "{log}");
}
