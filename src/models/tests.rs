//! Models that are stored at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use labhouse_udfs::{Cancel, TrainOptions, train};

use super::*;

fn record(author: &str) -> ModelRecord {
    ModelRecord {
        schema: "chemistry".to_owned(),
        name: "yield".to_owned(),
        version: 0,
        dropped: false,
        function: None,
        candidates: None,
        department: "chemistry".to_owned(),
        author: author.to_owned(),
        created_at: Utc::now(),
        sql: String::new(),
        rows: 9,
        data: BTreeMap::new(),
        tags: Tags::default(),
        policy_generation: 0,
        timings: Vec::new(),
        restored: None,
        bound_at: None,
        rows_shown: None,
        of_provider: false,
        columns: BTreeMap::new(),
    }
}

fn model() -> Vec<u8> {
    let column =
        |of: fn(f64) -> f64| Arc::new((0..9).map(|x| Some(of(f64::from(x)))).collect::<Float64Array>()) as ArrayRef;
    let rows = RecordBatch::try_from_iter([("x", column(|x| x)), ("y", column(|x| x * x))]).unwrap();
    let model = train(&[rows], &TrainOptions::new("y"), &Cancel::default(), &|_| ()).unwrap();
    model.to_bytes()
}

#[tokio::test]
async fn of_models_stored_at_once_none_is_lost_and_only_one_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let lake = Lake::open(&url, &Default::default()).await.unwrap();
    // Two servers on one lake, four statements each.
    let (one, other) = (
        ModelStore::open(Arc::clone(&lake)).await.unwrap(),
        ModelStore::open(lake).await.unwrap(),
    );
    let bytes = model();
    let news = [("a", &one), ("b", &other)].map(|(author, store)| store.store_new(record(author), &bytes));
    let [first, second] = futures::future::join_all(news).await.try_into().unwrap();
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(
        [(Some(1), None), (None, Some(1))].contains(&(first, second)),
        "{first:?} {second:?}"
    );

    let stores = [&one, &other, &one, &other, &other, &one, &other, &one];
    let all = stores.map(|store| store.store(record("c"), &bytes));
    let stored = futures::future::join_all(all).await;
    let mut versions: Vec<u64> = stored.into_iter().map(Result::unwrap).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=9).collect::<Vec<u64>>());
    one.refresh().await.unwrap();
    let name = record("").table_name();
    assert_eq!(one.snapshot().get(&name).unwrap().record().version, 9);
    assert_eq!(one.store_new(record("d"), &bytes).await.unwrap(), None);
}
