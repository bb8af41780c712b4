//! The append-only table of the server's own records.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use labhouse_catalog::{Journal, Lake};

use crate::support::local_lake;

fn rows(range: std::ops::RangeInclusive<i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn journal(lake: &Arc<Lake>) -> Journal {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    Journal::new(Arc::clone(lake), "test", "events", &schema).unwrap()
}

/// Adds rows up to `last`, as far as they are missing.
async fn add(journal: &Journal, application: &str, last: i64) -> bool {
    let missing = |covered: i64| Some(rows(covered + 1..=last));
    journal.append(application, last, missing).await.unwrap().committed
}

async fn all(journal: &Journal) -> Vec<i64> {
    let mut found = Vec::new();
    for file in journal.files().await.unwrap() {
        for batch in journal.read(&file).await.unwrap() {
            found.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_adds_nothing_and_a_hole_is_filled() {
    let (_folder, lake) = local_lake().await;
    let journal = journal(&lake);
    assert!(journal.provider().await.unwrap().is_none() && all(&journal).await.is_empty());
    assert!(add(&journal, "a", 3).await);
    assert!(!add(&journal, "a", 3).await);
    assert!(!add(&journal, "a", 2).await);
    assert!(add(&journal, "a", 5).await);
    assert_eq!(all(&journal).await, [1, 2, 3, 4, 5]);
    assert_eq!(journal.covered("a").await.unwrap(), Some(5));
    assert_eq!(journal.covered("b").await.unwrap(), None);
    // Another server, which knows nothing but the lake.
    let other = self::journal(&lake);
    assert!(!add(&other, "a", 5).await);
    assert_eq!(other.applications().await.unwrap()["a"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_at_the_same_time_lose_and_double_nothing() {
    let (_folder, lake) = local_lake().await;
    let server = |application: &'static str| {
        let journal = journal(&lake);
        tokio::spawn(async move {
            for last in 1..=6 {
                add(&journal, application, last * 10).await;
            }
        })
    };
    // Two of them fold the same application, as two servers do that find a dead one's segments.
    let servers = [server("a"), server("b"), server("a")];
    for server in servers {
        server.await.unwrap();
    }
    let mut expected: Vec<i64> = (1..=60).chain(1..=60).collect();
    expected.sort_unstable();
    assert_eq!(all(&journal(&lake)).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_are_merged_and_every_row_stays() {
    let (_folder, lake) = local_lake().await;
    let journal = journal(&lake);
    for last in 1..=64 {
        add(&journal, "a", last).await;
    }
    assert!(!journal.compact().await.unwrap());
    add(&journal, "a", 65).await;
    assert!(journal.compact().await.unwrap());
    assert_eq!(journal.files().await.unwrap().len(), 1);
    assert_eq!(all(&journal).await, (1..=65).collect::<Vec<_>>());
    // The count of rows outlives the merge.
    assert!(!add(&journal, "a", 65).await);
    assert!(add(&journal, "a", 66).await);
}
