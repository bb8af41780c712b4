//! Joins in the order that costs least, through the doors: by what the reader may know, and by nothing else.

use std::fs;

use crate::lab::{self, Server};

/// The tables of a statement in the order in which they are joined, as its reader is told.
async fn joined(lab: &Server, user: &str, sql: &str) -> Vec<String> {
    let told = lab.text(user, &format!("EXPLAIN {sql}")).await;
    let scans = told.split("TableScan: lab.chemistry.order_").skip(1);
    scans
        .map(|scan| {
            scan.split(|letter: char| !letter.is_alphanumeric())
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

const BY_KEYS: &str = "SELECT count(*), sum(b.id), min(s.id) FROM lab.chemistry.order_big b JOIN lab.chemistry.order_middle m ON b.next = m.id JOIN lab.chemistry.order_small s ON m.next = s.id";

#[tokio::test]
async fn joins_are_ordered_by_what_the_reader_may_know() {
    let lab = lab::own();
    for (name, rows, next) in [("big", 30_000, 3_000), ("middle", 3_000, 30), ("small", 30, 1)] {
        let sql = format!(
            "CREATE TABLE lab.chemistry.order_{name} AS SELECT value AS id, 1 + value % {next} AS next FROM generate_series(1, {rows})"
        );
        lab.update("ada", &sql).await.unwrap();
    }
    let seen = "SELECT count(*) FROM lab.chemistry.order_big";
    assert_eq!(lab.number("ada", seen).await, 30_000);
    assert_eq!(joined(&lab, "ada", BY_KEYS).await, ["small", "middle", "big"]);
    let all = lab.text("ada", BY_KEYS).await;
    assert!(all.contains("30000"), "{all}");

    let filters = lab.dir.join("policies/filters.toml");
    let text = fs::read_to_string(&filters).unwrap();
    let own = "\n[filter.order_seen]\ntable = \"lab/chemistry/order_big\"\nsql = \"id <= 100\"\n";
    fs::write(&filters, text + own).unwrap();
    lab.policy("p2, role:lab_analyst, chemistry, lab/chemistry/order_big, permissive, order_seen");
    // How much the analyst sees is not known before she saw it: her joins stay as she wrote them.
    lab.until("ana", seen, lab::shows(100)).await;
    let told = format!("EXPLAIN {BY_KEYS}");
    let before = lab.text("ana", &told).await;
    let mine = lab.text("ana", BY_KEYS).await;
    assert!(mine.contains("100"), "{mine}");

    // Rows that are hidden from her come and go: she is told the same, and the administrator is not.
    for rows in [400_000, 900_000] {
        let sql = format!(
            "INSERT INTO lab.chemistry.order_big SELECT 1000000 + value, 1 + value % 3000 FROM generate_series(1, {rows})"
        );
        lab.update("ada", &sql).await.unwrap();
        assert_eq!(lab.text("ana", &told).await, before);
        assert_eq!(lab.text("ana", BY_KEYS).await, mine);
    }
    lab.update("ada", "DELETE FROM lab.chemistry.order_big WHERE id > 100")
        .await
        .unwrap();
    assert_eq!(lab.text("ana", &told).await, before);
    assert_eq!(lab.text("ana", BY_KEYS).await, mine);
    // A smaller table is another plan for whoever sees all of it, and gives the same as hers.
    let now = joined(&lab, "ada", BY_KEYS).await;
    assert_ne!(now, ["small", "middle", "big"]);
    assert_eq!(lab.text("ada", BY_KEYS).await, mine);
}

#[tokio::test]
async fn a_set_of_keys_is_chosen_by_before_groups_are_made() {
    let lab = lab::own();
    for (name, rows, next) in [("big", 30_000, 3_000), ("middle", 3_000, 30)] {
        let sql = format!(
            "CREATE TABLE lab.chemistry.order_{name} AS SELECT value AS id, 1 + value % {next} AS next FROM generate_series(1, {rows})"
        );
        lab.update("ada", &sql).await.unwrap();
    }
    let few = "SELECT count(*), sum(b.id) FROM lab.chemistry.order_big b JOIN lab.chemistry.order_middle m ON b.next = m.id WHERE m.id < 20 AND b.id < (SELECT avg(i.id) FROM lab.chemistry.order_big i WHERE i.next = m.id)";
    let told = lab.text("ada", &format!("EXPLAIN {few}")).await;
    assert!(told.contains("__keys"), "{told}");
    let all = few.replace("m.id < 20", "m.id < 2999");
    let told = lab.text("ada", &format!("EXPLAIN {all}")).await;
    assert!(!told.contains("__keys"), "{told}");
    // Each of the 19 groups has ten numbers, of which five are below their mean.
    let found = lab.text("ada", few).await;
    assert!(found.contains("95"), "{found}");
}
