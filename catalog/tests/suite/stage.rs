//! Staged changes: one commit or none, whatever others do meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use labhouse_catalog::{Catalog, Ended, Lake, RowChange, Stage, TableName, append, take_out};

use crate::support::{Lab, eager};

fn name() -> TableName {
    TableName {
        schema: "chemistry".into(),
        table: "t".into(),
    }
}

fn rows(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as _)]).unwrap()
}

async fn lab(folder: &tempfile::TempDir) -> Lab {
    let url = format!("file://{}", folder.path().display());
    let lake = Lake::open(&url, &Default::default()).await.unwrap();
    let lab = Lab::on(&lake, eager()).await;
    add(&lab.catalog, &[1]).await;
    lab
}

async fn add(catalog: &Arc<Catalog>, values: &[i64]) {
    append(catalog, &name(), vec![rows(values)]).await.unwrap();
}

/// Takes the first row of the first data file out of a staged table.
async fn take_first(stage: &Stage) {
    let table = stage.now();
    let lake = stage.catalog().lake();
    let taken = take_out(lake, &table, &BTreeSet::from([0])).await.unwrap();
    assert_eq!(taken.rows.num_rows(), 1);
    let done = taken
        .put_back(stage.catalog(), &table, &[], RowChange::Delete, BTreeMap::new())
        .await;
    assert!(done.unwrap().is_some());
}

async fn begin(lab: &Lab) -> Stage {
    let table = lab.catalog.snapshot().table("chemistry", "t").unwrap().clone();
    Stage::begin(&lab.lake, &table).await.unwrap()
}

fn files(folder: &tempfile::TempDir) -> usize {
    let all = std::fs::read_dir(folder.path().join("tables/chemistry/t")).unwrap();
    let names = all.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".parquet")).count()
}

async fn sum(lab: &Lab) -> i64 {
    lab.number("SELECT sum(n) FROM chemistry.t").await
}

/// More changes than a log has commits between two checkpoints, while others append: theirs are hidden before, and stay.
#[tokio::test]
async fn many_changes_are_one_commit_behind_what_others_appended() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(&folder).await;
    let stage = begin(&lab).await;
    for n in 1..=25 {
        add(stage.catalog(), &[n * 100]).await;
        add(&lab.catalog, &[1]).await;
    }
    assert_eq!(stage.now().rows(), Some(26));
    assert_eq!((lab.version("chemistry", "t"), sum(&lab).await), (25, 26));
    assert!(matches!(stage.commit(&lab.catalog).await.unwrap(), Ended::Committed(table) if table.version() == 26));
    assert_eq!(sum(&lab).await, 26 + 100 * 325);
    assert_eq!(lab.another().await.number("SELECT count(*) FROM chemistry.t").await, 51);
}

#[tokio::test]
async fn rows_taken_away_are_not_committed_over_somebody_elses_change() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(&folder).await;
    let stage = begin(&lab).await;
    take_first(&stage).await;
    add(stage.catalog(), &[10]).await;
    add(&lab.catalog, &[100]).await;
    assert!(matches!(stage.commit(&lab.catalog).await.unwrap(), Ended::Overtaken));
    assert_eq!((sum(&lab).await, files(&folder)), (101, 2), "and no file is left of it");
    // Nobody came between: it is one commit.
    let stage = begin(&lab).await;
    take_first(&stage).await;
    add(stage.catalog(), &[10]).await;
    let version = lab.version("chemistry", "t");
    assert!(
        matches!(stage.commit(&lab.catalog).await.unwrap(), Ended::Committed(table) if table.version() == version + 1)
    );
    assert_eq!(lab.number("SELECT count(*) FROM chemistry.t").await, 2);
}

#[tokio::test]
async fn what_is_taken_back_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(&folder).await;
    let stage = begin(&lab).await;
    add(stage.catalog(), &[10]).await;
    let then = stage.now();
    add(stage.catalog(), &[100]).await;
    take_first(&stage).await;
    stage.back_to(&then).await.unwrap();
    assert_eq!((stage.now().rows(), files(&folder)), (Some(2), 2));
    // It goes on from there.
    add(stage.catalog(), &[1000]).await;
    stage.give_up().await.unwrap();
    assert_eq!(
        (sum(&lab).await, files(&folder), lab.version("chemistry", "t")),
        (1, 1, 0)
    );
    // What undoes itself is no commit.
    let stage = begin(&lab).await;
    assert!(stage.is_empty());
    assert!(matches!(stage.commit(&lab.catalog).await.unwrap(), Ended::Nothing));
    assert_eq!(lab.version("chemistry", "t"), 0);
}
