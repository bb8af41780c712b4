//! What is kept of how a file was understood, and what an administrator pins beside it.

use labhouse_catalog::FileStatus::{Gone, Ignored, Loaded, Quarantined, Replaced, Unchanged, Waiting};

use crate::support::{Lab, eager, file, local_lake, reason};

const HEADED: &str = "Instrument: Reader X\nSerial number: X-17\n\nsample,od\ns1,0.5\ns2,0.75\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confidence_grouping_and_properties_are_kept_with_the_ledger() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/runs/a.csv", HEADED).await;
    lab.land("chem/words.csv", "name,colour\na,red\nb,blue\n").await;
    lab.land("chem/runs/b.pdf", "%PDF-1.7").await;
    let check = |files: &[labhouse_catalog::FileOutcome]| {
        let of = |path: &str| files.iter().find(|file| file.path == path).unwrap();
        let headed = of("chem/runs/a.csv");
        assert_eq!((headed.confidence, &headed.doubts), (Some(1.0), &None));
        assert_eq!(headed.grouped_by.as_deref(), Some("its folder chem/runs"));
        assert_eq!(headed.properties.get("Serial number").map(String::as_str), Some("X-17"));
        let words = of("chem/words.csv");
        assert_eq!(words.confidence, Some(0.85));
        assert!(
            words.doubts.as_ref().unwrap().contains("makes the first row a header"),
            "{words:?}"
        );
        assert!(words.grouped_by.as_ref().unwrap().contains("its own name"), "{words:?}");
        assert_eq!(of("chem/runs/b.pdf").confidence, Some(0.0));
    };
    check(&lab.sweep().await.files);
    // The head is a column as well.
    assert_eq!(
        lab.ask("select distinct serial_number from chem.runs").await,
        [["X-17"]]
    );
    // A server that never read the files knows it from the ledger, also once they are gone.
    check(&lab.another().await.crawler.files().await.unwrap());
    check(&lab.another().await.sweep().await.files);
    lab.take_away("chem/runs/a.csv").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/runs/a.csv").status, Gone);
    assert_eq!(file(&report, "chem/runs/a.csv").properties.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_of_before_opens_and_goes_on() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/runs/a.csv", HEADED).await;
    lab.sweep().await;
    // As the version before wrote it: without what was told.
    let ledger = folder.path().join("_labhouse/ledger/chem/runs");
    let manifest = std::fs::read_dir(&ledger).unwrap().next().unwrap().unwrap().path();
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    assert!(json["files"][0].as_object_mut().unwrap().remove("told").is_some());
    std::fs::write(&manifest, serde_json::to_vec(&json).unwrap()).unwrap();
    let later = lab.another().await;
    let report = later.expect(&[("chem/runs/a.csv", Unchanged)]).await;
    let old = file(&report, "chem/runs/a.csv");
    assert_eq!((old.confidence, &old.grouped_by, old.rows), (None, &None, 2));
    later.land("chem/runs/b.csv", HEADED).await;
    let report = later.sweep().await;
    assert_eq!(file(&report, "chem/runs/b.csv").confidence, Some(1.0));
    assert_eq!(later.number("select count(*) from chem.runs").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_beside_the_files_decide_and_their_change_reads_anew() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let settings = |text: &'static str| lab.land("chem/runs/_labhouse.toml", text);
    lab.land("chem/runs/deep/a.csv", "lot;od\n1;1.234\n2;2.345\n").await;
    lab.land("chem/runs/draft_b.csv", "lot;od\n9;9.9\n").await;
    settings("skip = [\"draft_*\"]\n[read]\ndecimal = \",\"\n[types]\nlot = \"text\"\n").await;
    let report = lab
        .expect(&[
            ("chem/runs/_labhouse.toml", Ignored),
            ("chem/runs/deep/a.csv", Loaded),
            ("chem/runs/draft_b.csv", Ignored),
        ])
        .await;
    assert!(reason(&report, "chem/runs/draft_b.csv").contains("draft_*"));
    let rows = "select lot, od from chem.runs order by 1";
    assert_eq!(lab.ask(rows).await, [["1", "1234.0"], ["2", "2345.0"]]);
    lab.expect(&[
        ("chem/runs/_labhouse.toml", Ignored),
        ("chem/runs/deep/a.csv", Unchanged),
        ("chem/runs/draft_b.csv", Ignored),
    ])
    .await;
    // Another server sees the same settings, and nothing to do.
    let report = lab.another().await.sweep().await;
    assert_eq!(file(&report, "chem/runs/deep/a.csv").status, Unchanged);
    // What is said otherwise replaces the rows, once.
    settings("[read]\ndecimal = \".\"\n[types]\nlot = \"text\"\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/runs/deep/a.csv").status, Replaced);
    assert_eq!(lab.ask(rows).await, [["1", "1.234"], ["2", "2.345"], ["9", "9.9"]]);
    // Settings that cannot be read: loaded rows stay, new files wait, and both say why.
    settings("[read]\ndecimal = 5\n").await;
    lab.land("chem/runs/c.csv", "lot;od\n5;5.5\n").await;
    let report = lab
        .expect(&[
            ("chem/runs/_labhouse.toml", Waiting),
            ("chem/runs/c.csv", Waiting),
            ("chem/runs/deep/a.csv", Unchanged),
            ("chem/runs/draft_b.csv", Unchanged),
        ])
        .await;
    assert!(reason(&report, "chem/runs/c.csv").contains("line 2"), "{report:#?}");
    assert!(file(&report, "chem/runs/c.csv").blocked, "{report:#?}");
    // Another table: the rows move.
    settings("table = \"plates\"\n[types]\nlot = \"text\"\n").await;
    let report = lab.sweep().await;
    let moved = file(&report, "chem/runs/deep/a.csv");
    assert_eq!(
        (moved.status, moved.tables.clone()),
        (Replaced, vec!["chem.plates".to_owned()])
    );
    assert!(
        moved.grouped_by.as_ref().unwrap().contains("_labhouse.toml"),
        "{moved:?}"
    );
    assert_eq!(lab.number("select count(*) from chem.plates").await, 4);
    assert_eq!(lab.number("select count(*) from chem.runs").await, 0);
    // Without settings everything is as its content says.
    lab.take_away("chem/runs/_labhouse.toml").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.plates").await, 0);
    assert_eq!(lab.number("select count(*) from chem.runs").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_does_not_fit_quarantines_until_it_is_mended() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/runs/a.csv", "lot,od\nx7,1.5\n").await;
    lab.land("chem/_labhouse.toml", "[types]\nlot = \"integer\"\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/runs/a.csv").status, Quarantined);
    assert!(reason(&report, "chem/runs/a.csv").contains("\"x7\""), "{report:#?}");
    lab.land("chem/_labhouse.toml", "[types]\nlot = \"text\"\n").await;
    assert_eq!(file(&lab.sweep().await, "chem/runs/a.csv").status, Loaded);
    assert_eq!(lab.ask("select lot from chem.runs").await, [["x7"]]);
    // No settings at all would have said the same of this file, but it is read again: that is the promise.
    lab.land("chem/_labhouse.toml", "# nothing\n").await;
    assert_eq!(file(&lab.sweep().await, "chem/runs/a.csv").status, Replaced);
    assert_eq!(lab.number("select count(*) from chem.runs").await, 1);
}
