//! Plain scans: the right rows, few files, true statistics.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use labhouse_catalog::{TableName, append};

use crate::support::{Lab, eager, local_lake};

async fn lab_with_parts(parts: i64) -> (tempfile::TempDir, Lab) {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::parse("chem.t").unwrap();
    for part in 0..parts {
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(part * 100..(part + 1) * 100));
        let x: ArrayRef = Arc::new(Float64Array::from_iter(
            (0..100).map(|i| (i % 10 != 0).then_some(f64::from(i))),
        ));
        let s: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..100).map(|i| format!("part {part} row {i:03}")),
        ));
        append(
            &lab.catalog,
            &name,
            vec![RecordBatch::try_from_iter([("n", n), ("x", x), ("s", s)]).unwrap()],
        )
        .await
        .unwrap();
    }
    (folder, lab)
}

async fn plan(lab: &Lab, sql: &str) -> String {
    let plan = lab
        .session()
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_pruned_by_statistics_and_no_row_with_them() {
    let (_folder, lab) = lab_with_parts(8).await;
    let files = |plan: &str| plan.matches(".parquet").count();
    assert_eq!(files(&plan(&lab, "select n from chem.t").await), 8);
    assert_eq!(files(&plan(&lab, "select n from chem.t where n = 250").await), 1);
    assert_eq!(
        files(&plan(&lab, "select n from chem.t where s like 'part 3%'").await),
        1
    );
    assert_eq!(files(&plan(&lab, "select n from chem.t where n > 10000").await), 0);
    assert_eq!(lab.number("select count(*) from chem.t where n = 250").await, 1);
    assert_eq!(
        lab.number("select count(*) from chem.t where s like 'part 3%'").await,
        100
    );
    assert_eq!(
        lab.number("select count(*) from chem.t where n >= 150 and n < 450 and x is null")
            .await,
        30
    );
    assert_eq!(
        lab.number("select count(*) from (select * from chem.t limit 7)").await,
        7
    );
    assert_eq!(
        lab.ask("select s, n from chem.t where n = 799").await,
        [["part 7 row 099", "799"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_answer_what_they_know_exactly() {
    let (_folder, lab) = lab_with_parts(3).await;
    let counted = plan(&lab, "select count(*), min(n), max(n) from chem.t").await;
    assert!(!counted.contains("DataSourceExec"), "{counted}");
    assert_eq!(
        lab.ask("select count(*), min(n), max(n), count(x) from chem.t").await,
        [["300", "0", "299", "270"]]
    );
    // Text bounds may be cut, so the rows must be read.
    assert!(plan(&lab, "select max(s) from chem.t").await.contains("DataSourceExec"));
    assert_eq!(lab.ask("select max(s) from chem.t").await, [["part 2 row 099"]]);
    let table = Arc::clone(lab.catalog.snapshot().table("chem", "t").unwrap());
    assert_eq!((table.rows(), table.files()), (Some(300), 3));
    assert!(table.bytes() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_and_narrow_numbers_are_pruned_soundly() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::parse("chem.d").unwrap();
    for part in 0..4 {
        let d = Decimal128Array::from_iter_values((0..10).map(|i| i128::from(part) * 1000 + i));
        let d: ArrayRef = Arc::new(d.with_precision_and_scale(15, 2).unwrap());
        let n: ArrayRef = Arc::new(Int32Array::from_iter_values((0..10).map(|i| part * 10 + i)));
        append(
            &lab.catalog,
            &name,
            vec![RecordBatch::try_from_iter([("d", d), ("n", n)]).unwrap()],
        )
        .await
        .unwrap();
    }
    for (filter, rows) in [
        ("d = 20.05", 1),
        ("d > 20.08 and d < 30.01", 2),
        ("n = 35", 1),
        ("n < 10", 10),
        ("d < 0", 0),
    ] {
        assert_eq!(
            lab.number(&format!("select count(*) from chem.d where {filter}")).await,
            rows,
            "{filter}"
        );
    }
    assert_eq!(
        plan(&lab, "select d from chem.d where d = 20.05")
            .await
            .matches(".parquet")
            .count(),
        1
    );
    assert_eq!(
        plan(&lab, "select n from chem.d where n = 35")
            .await
            .matches(".parquet")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_zeros_and_nan_survive_pruning() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::parse("chem.z").unwrap();
    for value in [-0.0, 0.0, f64::NAN, 1.0] {
        let x: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        append(
            &lab.catalog,
            &name,
            vec![RecordBatch::try_from_iter([("x", x)]).unwrap()],
        )
        .await
        .unwrap();
    }
    // Every answer must be that of the same rows held in memory, where nothing can be pruned.
    let memory = datafusion::prelude::SessionContext::new();
    let x: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 0.0, f64::NAN, 1.0]));
    memory
        .register_batch("z", RecordBatch::try_from_iter([("x", x)]).unwrap())
        .unwrap();
    for filter in ["x = 0.0", "x = -0.0", "x > 0.5", "x <= 0.0", "x >= 0.0", "x <> 1.0"] {
        let sql = |table: &str| format!("select count(*) from {table} where {filter}");
        let expected = crate::support::cells(&memory.sql(&sql("z")).await.unwrap().collect().await.unwrap());
        assert_eq!(lab.ask(&sql("chem.z")).await, expected, "{filter}");
    }
}
