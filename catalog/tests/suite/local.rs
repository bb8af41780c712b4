//! The cases on a local folder, and what only a folder has: settling and events.

use std::time::Duration;

use labhouse_catalog::FileStatus::{Loaded, Waiting};
use labhouse_catalog::{CrawlOptions, Lake};

use crate::cases;
use crate::support::{Lab, local_lake};

macro_rules! on_a_folder {
    ($($case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (_folder, lake) = local_lake().await;
            cases::$case(&lake).await;
        }
    )* };
}

on_a_folder! {
    loads_each_file_once
    a_changed_file_replaces_its_own_rows
    a_gone_file_is_recorded
    a_renamed_file_has_its_rows_once
    tables_evolve_without_loss
    what_does_not_fit_is_quarantined
    a_lost_ledger_copy_is_healed
    servers_share_a_lake
    writers_append_side_by_side
    large_tables_come_in_pieces
    a_large_file_that_its_table_cannot_take
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_being_written_waits() {
    let (folder, lake) = local_lake().await;
    let options = CrawlOptions {
        settle: Duration::from_secs(3600),
        ..CrawlOptions::default()
    };
    let lab = Lab::on(&lake, options).await;
    lab.land("chem/t/a.csv", "k\n1\n").await;
    lab.expect(&[("chem/t/a.csv", Waiting)]).await;
    let file = std::fs::File::options()
        .write(true)
        .open(folder.path().join("landing/chem/t/a.csv"))
        .unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200))
        .unwrap();
    lab.expect(&[("chem/t/a.csv", Loaded)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wake_the_crawler() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(
        &lake,
        CrawlOptions {
            settle: Duration::from_millis(20),
            ..CrawlOptions::default()
        },
    )
    .await;
    let mut watch = lab.crawler.watch().unwrap().unwrap();
    lab.land("chem/new_table/a.csv", "k\n1\n").await;
    tokio::time::timeout(Duration::from_secs(30), watch.changed())
        .await
        .expect("an event comes");
    lab.expect(&[("chem/new_table/a.csv", Loaded)]).await;
    // Reading files is no news: without a change nothing wakes it.
    assert!(
        tokio::time::timeout(Duration::from_millis(300), watch.changed())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_a_sound_lake_and_odd_urls_are_refused() {
    let (_folder, lake) = local_lake().await;
    lake.probe().await.unwrap();
    assert_eq!(
        lake.list("_labhouse/probe").await.unwrap().len(),
        0,
        "the probe cleans up"
    );
    for url in ["ftp://x/y", "nonsense", "s3:///no-bucket"] {
        let refused = Lake::open(url, &Default::default()).await.unwrap_err().to_string();
        assert!(refused.contains(url), "{refused}");
    }
    let options = [("no_such_option".to_owned(), "x".to_owned())].into();
    assert!(
        Lake::open("s3://b/p", &options)
            .await
            .unwrap_err()
            .to_string()
            .contains("no_such_option")
    );
}
