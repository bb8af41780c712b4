//! Rows arranged by the columns that questions compare, and never by what somebody may not see.

use crate::lab::{self, Server};

const TABLE: &str = "lab.chemistry.readings";
const SUMS: &str =
    "SELECT count(*) * 1000003 + sum(n) % 1000003 + sum(dose) + count(DISTINCT label) FROM lab.chemistry.readings";

async fn with_readings(config: &str) -> Server {
    let lab = lab::empty(|text| format!("{text}\n[care]\ninterval_s = 1\nretain_hours = 0\n{config}"));
    let made = format!(
        "CREATE TABLE {TABLE} AS SELECT value AS n, value * 7919 % 100003 AS dose, md5(CAST(value AS VARCHAR)) AS label, \
         CASE value % 3 WHEN 0 THEN 'ben' ELSE 'cy' END AS operator FROM generate_series(1, 100000)"
    );
    lab.update("ada", &made).await.unwrap();
    lab
}

fn arranged_by(columns: &str) -> String {
    format!(
        "SELECT count(*) FROM system.maintenance WHERE work = 'arrange' AND table_name = 'readings' AND columns = '{columns}' AND problem IS NULL"
    )
}

async fn until_there(lab: &Server, sql: &str) {
    lab.until("ada", sql, |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;
}

/// How many rows are followed by one with a lesser dose, in the order in which a scan gives them.
async fn steps_down(lab: &Server, user: &str) -> usize {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let batches = lab.query(user, &format!("SELECT dose FROM {TABLE}")).await.unwrap();
    let doses: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(doses.len(), 100_000);
    doses.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

/// Edits policy.csv and waits until the edit acts.
async fn policy(lab: &Server, edit: impl FnOnce(String) -> String) {
    let generation = "SELECT max(generation) FROM system.policies WHERE in_force";
    let before = lab.number("ada", generation).await;
    let file = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, edit(text)).unwrap();
    until_there(
        lab,
        &format!("SELECT count(*) FROM system.policies WHERE in_force AND generation > {before}"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lie_by_what_questions_compare_until_somebody_may_not_see_it() {
    let lab = with_readings("arrange_mib = 1\n").await;
    let sums = lab.number("ada", SUMS).await;
    assert!(steps_down(&lab, "ada").await > 1000);
    // The shipped policy hides `operator` from analysts, so it is no order, however often it is asked for.
    for n in 0..40 {
        let sql =
            format!("SELECT count(*) FROM {TABLE} WHERE dose BETWEEN {n} AND 300 AND operator = 'ben' AND n <> {n}");
        lab.query("ada", &sql).await.unwrap();
    }
    until_there(&lab, &arranged_by("dose")).await;
    // Two readers share the files out, so there are as many ascending runs.
    assert!(steps_down(&lab, "ana").await < 8);
    assert_eq!(lab.number("ada", SUMS).await, sums);

    policy(&lab, |text| {
        text + "\np, role:lab_analyst, chemistry, lab/chemistry/readings/dose, select, deny\n"
    })
    .await;
    until_there(&lab, &arranged_by("")).await;
    assert!(steps_down(&lab, "ada").await > 1000);
    assert_eq!(lab.number("ada", SUMS).await, sums);
    assert!(lab.query("ana", &format!("SELECT dose FROM {TABLE}")).await.is_err());
    let audited =
        "SELECT count(*) FROM system.audit WHERE event = 'maintenance' AND action = 'arrange' AND detail LIKE '%dose%'";
    until_there(&lab, audited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_arranged_by_statement_within_the_same_bounds() {
    let lab = with_readings("arrange_mib = 0\n").await;
    let order = |by: &str| format!("OPTIMIZE {TABLE} ZORDER BY {by}");
    for (user, by, says) in [
        ("ana", "(dose)", "maintain"),
        ("guest", "(dose)", "not found"),
        ("ada", "(operator)", "hidden from or masked for somebody"),
        ("ada", "(dose, operator)", "hidden from or masked for somebody"),
        ("ada", "(nothing)", "no column nothing"),
        ("ada", "(dose, dose)", "named twice"),
        ("ada", "dose", "column"),
    ] {
        let error = lab.update(user, &order(by)).await.unwrap_err();
        assert!(error.contains(says), "{user} {by}: {error}");
    }
    let sums = lab.number("ada", SUMS).await;
    assert_eq!(lab.update("ada", &order("(dose, label)")).await.unwrap(), 1);
    assert_eq!(
        lab.update("ada", &order("(dose, label)")).await.unwrap(),
        0,
        "it is in order"
    );
    assert_eq!(lab.update("ada", &order("(dose)")).await.unwrap(), 1);
    assert!(steps_down(&lab, "ada").await < 8);
    // What comes later is merged into the order by a plain OPTIMIZE.
    lab.update("ada", &format!("INSERT INTO {TABLE} SELECT * FROM {TABLE} WHERE n = 5"))
        .await
        .unwrap();
    assert_eq!(lab.update("ada", &format!("OPTIMIZE {TABLE}")).await.unwrap(), 2);
    lab.update("ada", &format!("DELETE FROM {TABLE} WHERE n = 5"))
        .await
        .unwrap();
    lab.update("ada", &format!("INSERT INTO {TABLE} VALUES (5, 39595, md5('5'), 'cy')"))
        .await
        .unwrap();
    assert_eq!(lab.number("ada", SUMS).await, sums);
    lab.update("ada", &order("NONE")).await.unwrap();
    assert!(steps_down(&lab, "ada").await > 1000);
    assert_eq!(lab.number("ada", SUMS).await, sums);

    // A person with a row filter must not learn from a curve how the other rows are distributed.
    let filters = lab.dir.join("policies/filters.toml");
    let few = "\n[filter.few]\ntable = \"lab/chemistry/readings\"\nsql = \"dose < 100\"\n";
    let generation = "SELECT max(generation) FROM system.policies WHERE in_force";
    let before = lab.number("ada", generation).await;
    std::fs::write(&filters, std::fs::read_to_string(&filters).unwrap() + few).unwrap();
    until_there(
        &lab,
        &format!("SELECT count(*) FROM system.policies WHERE in_force AND generation > {before}"),
    )
    .await;
    policy(&lab, |text| {
        text + "\np2, role:lab_analyst, chemistry, lab/chemistry/readings, restrictive, few\n"
    })
    .await;
    let error = lab.update("ada", &order("(dose, label)")).await.unwrap_err();
    assert!(error.contains("name one column"), "{error}");
    lab.update("ada", &order("(dose)")).await.unwrap();
}

/// An order that tells is undone however often that failed: here a data file is away at first.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_could_not_be_undone_is_tried_again() {
    let lab = with_readings("arrange_mib = 0\n").await;
    lab.update("ada", &format!("OPTIMIZE {TABLE} ZORDER BY (dose)"))
        .await
        .unwrap();
    assert!(steps_down(&lab, "ada").await < 8);
    let of_table = lab.dir.join("tables/chemistry/readings");
    let away = tempfile::tempdir_in(&lab.dir).unwrap();
    let arranged: Vec<_> = std::fs::read_dir(&of_table)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("arranged-"))
        .collect();
    assert!(!arranged.is_empty());
    for path in &arranged {
        std::fs::rename(path, away.path().join(path.file_name().unwrap())).unwrap();
    }
    policy(&lab, |text| {
        text + "\np, role:lab_analyst, chemistry, lab/chemistry/readings/dose, select, deny\n"
    })
    .await;
    let failed =
        "SELECT count(*) FROM system.maintenance WHERE work = 'arrange' AND columns = '' AND problem IS NOT NULL";
    until_there(&lab, failed).await;
    for path in &arranged {
        std::fs::rename(away.path().join(path.file_name().unwrap()), path).unwrap();
    }
    until_there(&lab, &arranged_by("")).await;
    assert!(steps_down(&lab, "ada").await > 1000);
}
