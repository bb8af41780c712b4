//! Non-interference: a governed table is as good as a copy that was filtered and masked by hand, and if only hidden rows
//! change, nothing that the user can observe changes.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::datasource::MemTable;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{FILTERS, KEPT, Kept, Lab, POLICY, User, batch, load};

/// A random statement over the columns that ana sees.
fn statements() -> impl Strategy<Value = String> {
    let literal = prop::sample::select(vec!["42", "43", "1500", "100007", "0", "NULL"]);
    let number = prop_oneof![
        Just("n".to_owned()),
        Just("id".to_owned()),
        literal.clone().prop_map(|l| format!("(n - {l})")),
        literal.clone().prop_map(|l| format!("(1000 / (n - {l}))")),
        Just("CAST(tx AS BIGINT)".to_owned()),
        Just("length(m)".to_owned()),
        Just("CAST(f * 2 AS BIGINT)".to_owned()),
    ];
    let op = prop::sample::select(vec!["=", "<>", "<", ">=", "IS DISTINCT FROM"]);
    let comparison = prop_oneof![
        4 => (number.clone(), op, literal).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        1 => prop::sample::select(vec![
            "dept = 'chem'", "dept IS NULL", "NOT (dept <> 'secret-department')", "tx LIKE '1%'", "m LIKE 'raw%'", "flag", "NOT flag", "flag IS NULL",
            "f = 0.0", "f >= -0.0", "f <> 'NaN'", "d > '2025-01-01'", "tx IN ('1', '2', 'forbidden-text-of-row-7-0')", "n BETWEEN 0 AND 1500", "m IS NULL",
        ]).prop_map(str::to_owned),
    ];
    let condition = prop::collection::vec((comparison, prop::sample::select(vec!["AND", "OR", "AND NOT"])), 1..4)
        .prop_map(|terms| {
            let mut text = String::new();
            for (i, (term, joint)) in terms.into_iter().enumerate() {
                text = if i == 0 {
                    term
                } else {
                    format!("({text}) {joint} ({term})")
                };
            }
            text
        });
    (condition, number, 0..9usize).prop_map(|(condition, number, kind)| match kind {
        0 => format!("SELECT * FROM t WHERE {condition} ORDER BY id"),
        1 => format!("SELECT count(*), count({number}), min(n), max(tx), max(m) FROM t WHERE {condition}"),
        2 => format!("SELECT tx, count(*) FROM t WHERE {condition} GROUP BY tx HAVING count(*) > 1 ORDER BY tx"),
        3 => format!("SELECT id, {number} AS x FROM t ORDER BY id LIMIT 20"),
        4 => format!(
            "SELECT count(*) FROM t a JOIN t b ON a.m = b.m AND a.id < b.id WHERE a.n < 1100 AND b.{condition}",
            condition = "n < 1100"
        ),
        5 => format!("SELECT id, lag(n) OVER (ORDER BY id) FROM t WHERE {condition} ORDER BY id"),
        6 => format!("SELECT count(*) FROM t WHERE id NOT IN (SELECT n FROM t WHERE {condition} AND n IS NOT NULL)"),
        7 => format!("SELECT id FROM t WHERE {condition} ORDER BY n DESC NULLS LAST, id LIMIT 7"),
        _ => format!("SELECT DISTINCT dept, flag, f FROM t WHERE {condition} ORDER BY 1, 2, 3"),
    })
}

async fn ana(lab: &Lab) -> User {
    let user = User::new();
    user.context
        .register_table("t", lab.governed(&load(POLICY, FILTERS).unwrap(), "ana"))
        .unwrap();
    user
}

/// The rows that ana sees, copied into a table of their own that an administrator would query.
async fn copy(user: &User) -> User {
    let batches = user.run("SELECT * FROM t").await.unwrap();
    let rows: RecordBatch = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert!(rows.column(0).len() == 700);
    let copy = User::new();
    copy.context
        .register_table(
            "t",
            Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap()),
        )
        .unwrap();
    copy
}

/// An error's kind: its text may name values in an order that batches decide.
fn outcome(told: &str) -> String {
    match told.strip_prefix("error: ") {
        Some(_) => "error".to_owned(),
        None => told.to_owned(),
    }
}

#[test]
fn random_statements_see_the_filtered_copy_and_nothing_of_hidden_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for kept in KEPT {
        let (one, other) = (
            runtime.block_on(Lab::new(kept, &batch(0))),
            runtime.block_on(Lab::new(kept, &batch(5))),
        );
        let (first, second) = runtime.block_on(async { (ana(&one).await, ana(&other).await) });
        let copied = runtime.block_on(copy(&first));
        let cases = if kept == Kept::Memory { 60 } else { 40 };
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&statements(), |sql| {
                let (a, b, c) = runtime
                    .block_on(async { (first.told(&sql).await, second.told(&sql).await, copied.told(&sql).await) });
                // An error on the copy alone is no leak: there, a condition that fails is not held back by another.
                if outcome(&c) != "error" {
                    prop_assert_eq!(outcome(&a), outcome(&c), "the copy differs: {}", &sql);
                }
                prop_assert_eq!(outcome(&a), outcome(&b), "hidden rows show: {}", &sql);
                let explain = format!("EXPLAIN VERBOSE {sql}");
                let (x, y) = runtime.block_on(async { (first.told(&explain).await, second.told(&explain).await) });
                prop_assert_eq!(x, y, "hidden rows show in the plan: {}", &sql);
                Ok(())
            })
            .unwrap_or_else(|e| panic!("{kept:?}: {e}"));
    }
}
