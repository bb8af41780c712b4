//! The cases on a local folder, and what only a folder has: settling and events.

use std::time::Duration;

use labhouse_catalog::FileStatus::{Gone, Ignored, Loaded, Quarantined, Unchanged, Waiting};
use labhouse_catalog::{CrawlOptions, Lake};

use crate::cases;
use crate::support::{Lab, eager, local_lake, reason};

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
    a_restored_table_has_each_file_once
    a_rename_that_a_sweep_saw_half_done
    a_renamed_file_keeps_what_statements_did
    a_file_that_was_renamed_and_written_to
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

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_out_of_sight_stops_no_other_and_its_files_are_not_gone() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "k\n1\n").await;
    lab.land("chem/u/b.csv", "k\n2\n").await;
    lab.sweep().await;
    // A link that leads to itself stands for a mount that has gone bad.
    let (place, away) = (folder.path().join("landing/chem/t"), folder.path().join("away"));
    std::fs::rename(&place, &away).unwrap();
    std::os::unix::fs::symlink(&place, &place).unwrap();
    lab.land("chem/u/c.csv", "k\n3\n").await;
    let report = lab
        .expect(&[
            ("chem/t", Ignored),
            ("chem/u/b.csv", Unchanged),
            ("chem/u/c.csv", Loaded),
        ])
        .await;
    assert!(
        reason(&report, "chem/t").contains("cannot be"),
        "{}",
        reason(&report, "chem/t")
    );
    // In sight again it is as it was; the no: a file that is gone from a folder in sight is gone.
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    lab.take_away("chem/u/b.csv").await;
    lab.expect(&[
        ("chem/t/a.csv", Unchanged),
        ("chem/u/b.csv", Gone),
        ("chem/u/c.csv", Unchanged),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_itself_again_leaves_quarantine() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "k\n1\n").await;
    lab.sweep().await;
    let (place, away) = (folder.path().join("landing/chem/t/a.csv"), folder.path().join("a.csv"));
    std::fs::rename(&place, &away).unwrap();
    lab.land("chem/t/a.csv", "%PDF-1.7 no table").await;
    lab.expect(&[("chem/t/a.csv", Quarantined)]).await;
    assert_eq!(lake.list("_labhouse/quarantine").await.unwrap().len(), 1);
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    lab.expect(&[("chem/t/a.csv", Unchanged)]).await;
    assert_eq!(lake.list("_labhouse/quarantine").await.unwrap().len(), 0);
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
