//! What must hold whatever clocks, links, writers and administrators do: each row once, the newest version for all, and what is
//! said of files is true.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use labhouse_catalog::FileStatus::{Gone, Ignored, Loaded, Quarantined, Unchanged};
use labhouse_catalog::{Catalog, FileRecord, Put, TableName, When, append, bring_back, drop_table, restore};

use crate::blocks::workbook;
use crate::renames::delete;
use crate::support::{Lab, eager, local_lake, reason};

async fn told(lab: &Lab, path: &str) -> FileRecord {
    let files = lab.crawler.files().await.unwrap();
    files.into_iter().find(|file| file.path == path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_commits_sees_it_in_his_next_statement() {
    const WRITERS: usize = 6;
    const COMMITS: i64 = 12;
    let (_folder, lake) = local_lake().await;
    let catalog = Catalog::load(lake).await.unwrap();
    let rows = |n: i64| RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![n])) as _)]).unwrap();
    let name = TableName::new("chem", "t");
    append(&catalog, &name, vec![rows(0)]).await.unwrap();
    let seen = |catalog: &Catalog| catalog.snapshot().table("chem", "t").unwrap().version();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (catalog, name) = (Arc::clone(&catalog), name.clone());
            tokio::spawn(async move {
                let mut unseen = 0;
                let mut last = 0;
                for n in 0..COMMITS {
                    let Ok(table) = append(&catalog, &name, vec![rows(n)]).await else {
                        continue;
                    };
                    let now = seen(&catalog);
                    // Neither his own commit nor one that he saw before is ever gone.
                    unseen += i64::from(now < table.version() || now < last);
                    last = now;
                }
                unseen
            })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 0);
    }
    // The no: a table that was set back to an older version by hand is seen as it is.
    let newest = seen(&catalog);
    let log = format!("tables/chem/t/_delta_log/{newest:020}.json");
    catalog.lake().delete(&log).await.unwrap();
    catalog.refresh().await.unwrap();
    assert_eq!(seen(&catalog), newest - 1);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_loads_nothing_twice_and_leads_nowhere_else() {
    use std::os::unix::fs::symlink;
    let (folder, lake) = local_lake().await;
    let landing = folder.path().join("landing");
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/2026-11-27/a.csv", "k\n1\n").await;
    // Loaded twice before links were looked at: as two folders of the same files.
    lab.land("chem/t/latest/a.csv", "k\n1\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    std::fs::remove_dir_all(landing.join("chem/t/latest")).unwrap();

    symlink("2026-11-27", landing.join("chem/t/latest")).unwrap();
    symlink("..", landing.join("chem/t/loop")).unwrap();
    symlink("2026-11-27/a.csv", landing.join("chem/t/newest.csv")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.csv"), "k\n99\n").unwrap();
    symlink(outside.path(), landing.join("chem/t/share")).unwrap();
    symlink(outside.path().join("secret.csv"), landing.join("chem/t/secret.csv")).unwrap();
    symlink(outside.path().join("none.csv"), landing.join("chem/t/none.csv")).unwrap();
    let report = lab
        .expect(&[
            ("chem/t/2026-11-27/a.csv", Unchanged),
            ("chem/t/latest", Ignored),
            ("chem/t/latest/a.csv", Gone),
            ("chem/t/loop", Ignored),
            ("chem/t/newest.csv", Ignored),
            ("chem/t/none.csv", Ignored),
            ("chem/t/secret.csv", Ignored),
            ("chem/t/share", Ignored),
        ])
        .await;
    for (path, says) in [
        ("chem/t/latest", "a link to chem/t/2026-11-27"),
        ("chem/t/latest/a.csv", "it is chem/t/2026-11-27/a.csv now"),
        ("chem/t/loop", "a link to chem:"),
        ("chem/t/newest.csv", "a link to chem/t/2026-11-27/a.csv"),
        ("chem/t/none.csv", "not there"),
        ("chem/t/secret.csv", "leaves the landing folder"),
        ("chem/t/share", "leaves the landing folder"),
    ] {
        assert!(
            reason(&report, path).contains(says),
            "{path}: {}",
            reason(&report, path)
        );
    }
    assert_eq!(
        lab.ask("select k, _source_file from chem.t").await,
        [["1", "chem/t/2026-11-27/a.csv"]]
    );
    assert!(told(&lab, "chem/t/share").await.reason.unwrap().contains("mount"));
    // The no: what lies beside them is loaded, and the newest is what it is now.
    lab.land("chem/t/2026-11-28/b.csv", "k\n2\n").await;
    std::fs::remove_file(landing.join("chem/t/latest")).unwrap();
    symlink("2026-11-28", landing.join("chem/t/latest")).unwrap();
    lab.sweep().await;
    assert_eq!(lab.ask("select k from chem.t order by k").await, [["1"], ["2"]]);
    assert!(!lab.another().await.sweep().await.changed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_ahead_puts_nothing_out_of_order() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "k\n1\n2\n").await;
    lab.sweep().await;
    // As if the clock had been years ahead then, and turns not been counted.
    for copy in lake.list("_labhouse/ledger").await.unwrap() {
        let path = copy.location.to_string();
        let mut batch: serde_json::Value = serde_json::from_slice(&lake.get(&path).await.unwrap().unwrap()).unwrap();
        batch["at"] = "2099-01-01T00:00:00Z".into();
        batch.as_object_mut().unwrap().remove("turn");
        lake.put(&path, serde_json::to_vec(&batch).unwrap().into(), Put::Overwrite)
            .await
            .unwrap();
    }
    let lab = lab.another().await;
    let content = "k\n1\n2\n";
    lab.rename("chem/t/a.csv", "chem/u/a.csv", content).await;
    lab.sweep().await;
    let all = "select count(*) from (select k from chem.t union all select k from chem.u)";
    assert_eq!(lab.number(all).await, 2);
    // As if a crash had come between the two commits: the old rows are still there.
    assert_eq!(lab.version("chem", "t"), 1);
    let copies = lake.list("_labhouse/ledger/chem/t").await.unwrap();
    lake.delete(copies[1].location.as_ref()).await.unwrap();
    lake.delete(&format!("tables/chem/t/_delta_log/{:020}.json", 1))
        .await
        .unwrap();
    let lab = lab.another().await;
    assert_eq!(lab.number(all).await, 4);
    lab.sweep().await;
    assert_eq!(lab.number(all).await, 2);
    // And back, beside another file.
    lab.land("chem/t/b.csv", "k\n3\n").await;
    lab.sweep().await;
    lab.rename("chem/u/a.csv", "chem/t/a.csv", content).await;
    lab.sweep().await;
    assert_eq!(lab.number(all).await, 3);
    let lab = lab.another().await;
    assert!(!lab.sweep().await.changed());
    let now = told(&lab, "chem/t/a.csv").await;
    assert_eq!(
        (now.status, now.rows, now.tables),
        (Loaded, 2, vec!["chem.t".to_owned()])
    );
    assert_eq!(told(&lab, "chem/u/a.csv").await.status, Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_the_tables_of_a_renamed_file_doubles_none() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let content = workbook(&[
        ("runs", "run,yield_pct\nr1,1\nr2,2\nr3,3"),
        ("lots", "lot,grams\nl1,1\nl2,2\nl3,3"),
    ]);
    lab.land("chem/t/a.xlsx", content).await;
    lab.sweep().await;
    let tables: Vec<String> = lab
        .catalog
        .snapshot()
        .tables("chem")
        .map(|table| table.name().table.clone())
        .collect();
    assert_eq!(tables.len(), 2);
    lab.rename("chem/t/a.xlsx", "chem/t/b.xlsx", "").await;
    lab.sweep().await;
    let counted = async |lab: &Lab| {
        let mut counts = Vec::new();
        for table in &tables {
            counts.push(lab.number(&format!("select count(*) from chem.{table}")).await);
        }
        counts
    };
    assert_eq!(counted(&lab).await, [3, 3]);
    // As if the second table had not been reached.
    let last = &tables[1];
    let copies = lake.list(&format!("_labhouse/ledger/chem/{last}")).await.unwrap();
    lake.delete(copies[1].location.as_ref()).await.unwrap();
    lake.delete(&format!("tables/chem/{last}/_delta_log/{:020}.json", 1))
        .await
        .unwrap();
    let lab = lab.another().await;
    lab.sweep().await;
    assert_eq!(counted(&lab).await, [3, 3]);
    assert!(!lab.another().await.sweep().await.changed());
    let sources = format!("select distinct _source_file from chem.{last}");
    assert_eq!(lab.ask(&sources).await, [["chem/t/b.xlsx"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_dropped_table_are_known_and_left_alone() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::new("chem", "t");
    lab.land("chem/t/a.csv", "k\n1\n2\n").await;
    lab.land("chem/t/b.csv", "k\n3\n").await;
    lab.sweep().await;
    drop_table(&lab.catalog, &name).await.unwrap();
    let left_alone = [("chem/t/a.csv", Ignored), ("chem/t/b.csv", Ignored)];
    let report = lab.expect(&left_alone).await;
    assert!(reason(&report, "chem/t/a.csv").contains("UNDROP TABLE"), "{report:#?}");
    let file = told(&lab, "chem/t/a.csv").await;
    assert!(file.tables.is_empty() && file.rows == 0 && file.reason.unwrap().contains("chem.t was dropped"));
    // Nothing is read: a file that cannot be opened is told as before.
    assert_eq!(lab.another().await.expect(&left_alone).await.count(Ignored), 2);

    // A mere rename brings nothing back; undropped, the table has each row once, under the new name.
    lab.rename("chem/t/a.csv", "chem/t/c.csv", "k\n1\n2\n").await;
    lab.sweep().await;
    assert!(lab.catalog.snapshot().table("chem", "t").is_none());
    lab.expect(&[
        ("chem/t/a.csv", Gone),
        ("chem/t/b.csv", Ignored),
        ("chem/t/c.csv", Ignored),
    ])
    .await;
    restore(&lab.catalog, &name).await.unwrap();
    let rows = "select k, _source_file from chem.t order by k";
    assert_eq!(
        lab.ask(rows).await,
        [["1", "chem/t/c.csv"], ["2", "chem/t/c.csv"], ["3", "chem/t/b.csv"]]
    );
    lab.expect(&[
        ("chem/t/a.csv", Gone),
        ("chem/t/b.csv", Unchanged),
        ("chem/t/c.csv", Unchanged),
    ])
    .await;

    // A file that comes makes the table anew with its own rows alone, and the others are told for what they are.
    drop_table(&lab.catalog, &name).await.unwrap();
    lab.land("chem/t/d.csv", "k\n4\n").await;
    lab.sweep().await;
    assert_eq!(lab.ask("select k from chem.t").await, [["4"]]);
    for lab in [&lab, &lab.another().await] {
        assert!(!lab.sweep().await.changed());
        let old = told(lab, "chem/t/b.csv").await;
        assert_eq!((old.status, old.rows), (Ignored, 0));
        assert!(old.reason.unwrap().contains("there anew"));
        assert_eq!(told(lab, "chem/t/d.csv").await.rows, 1);
    }
    // And one that changes comes in again.
    lab.land("chem/t/b.csv", "k\n30\n").await;
    lab.sweep().await;
    assert_eq!(lab.ask("select k from chem.t order by k").await, [["4"], ["30"]]);
    assert_eq!(told(&lab, "chem/t/b.csv").await.rows, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_ledger_is_lost_loads_its_files_anew_once_dropped() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::new("chem", "t");
    for n in 0..3 {
        lab.land(&format!("chem/t/{n}.csv"), format!("k\n{n}\n")).await;
        lab.sweep().await;
    }
    // One batch is lost twice: its copy, and its commit to a cleaned log.
    let (copies, table) = (lake.list("_labhouse/ledger").await.unwrap(), lab.catalog.snapshot());
    let delta = table.table("chem", "t").unwrap().delta();
    deltalake_core::checkpoints::create_checkpoint(&delta, None)
        .await
        .unwrap();
    lake.delete(copies[1].location.as_ref()).await.unwrap();
    for version in 0..2 {
        lake.delete(&format!("tables/chem/t/_delta_log/{version:020}.json"))
            .await
            .unwrap();
    }
    let lab = lab.another().await;
    let report = lab.sweep().await;
    let why = reason(&report, "chem/t/0.csv");
    assert!(why.contains("lacks batch 2") && why.contains("drop the table"), "{why}");
    drop_table(&lab.catalog, &name).await.unwrap();
    lab.expect(&[
        ("chem/t/0.csv", Loaded),
        ("chem/t/1.csv", Loaded),
        ("chem/t/2.csv", Loaded),
    ])
    .await;
    assert_eq!(lab.ask("select k from chem.t order by k").await, [["0"], ["1"], ["2"]]);
    // And it stays so, also for a server that starts now.
    let unchanged = [
        ("chem/t/0.csv", Unchanged),
        ("chem/t/1.csv", Unchanged),
        ("chem/t/2.csv", Unchanged),
    ];
    lab.another().await.expect(&unchanged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_files_is_what_tables_hold() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let name = TableName::new("chem", "t");
    lab.land("chem/t/a.csv", "k\n1\n").await;
    lab.sweep().await;
    lab.land("chem/t/b.csv", "k\n2\n3\n").await;
    lab.sweep().await;
    lab.land("chem/t/a.csv", "k\n10\n11\n").await;
    lab.sweep().await;

    // RESTORE took one file back to its rows of before, and another out.
    bring_back(&lab.catalog, &name, When::Version(0)).await.unwrap();
    for lab in [&lab, &lab.another().await] {
        let (a, b) = (told(lab, "chem/t/a.csv").await, told(lab, "chem/t/b.csv").await);
        assert_eq!((a.rows, b.rows), (1, 0));
        assert!(
            b.reason
                .unwrap()
                .contains("RESTORE took chem.t back to before version 1")
        );
    }
    lab.land("chem/t/b.csv", "k\n2\n3\n4\n").await;
    lab.sweep().await;
    let b = told(&lab, "chem/t/b.csv").await;
    assert_eq!((b.rows, b.reason), (3, None));
    assert_eq!(told(&lab, "chem/t/a.csv").await.rows, 1);
    assert_eq!(lab.number("select count(*) from chem.t").await, 4);
    // And forward again.
    bring_back(&lab.catalog, &name, When::Version(2)).await.unwrap();
    assert_eq!(told(&lab, "chem/t/a.csv").await.rows, 2);
    assert_eq!(told(&lab, "chem/t/b.csv").await.rows, 2);

    // A file that is broken now: the rows of its content before stay, and it is said where.
    lab.land("chem/t/a.csv", vec![0u8, 159, 146, 150, 0, 1, 2, 3]).await;
    lab.sweep().await;
    let broken = told(&lab, "chem/t/a.csv").await;
    assert_eq!(
        (broken.status, broken.rows, broken.tables),
        (Quarantined, 2, vec!["chem.t".to_owned()])
    );
    assert!(
        broken
            .reason
            .unwrap()
            .contains("2 rows of its content before are in chem.t still")
    );
    // The no: one that never was anything holds nothing.
    lab.land("chem/t/bad.csv", vec![0u8, 159, 146, 150, 0, 1, 2, 3]).await;
    lab.sweep().await;
    let never = told(&lab, "chem/t/bad.csv").await;
    assert!(never.rows == 0 && never.tables.is_empty() && !never.reason.unwrap().contains("still"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_in_a_pinned_table_is_loaded_and_folders_of_any_script_are_tables() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/old/a.csv", "k\n1\n").await;
    lab.sweep().await;
    // Its table comes before the old one in the alphabet.
    lab.land("chem/old/_labhouse.toml", "table = \"moved\"\n").await;
    lab.sweep().await;
    let file = told(&lab, "chem/old/a.csv").await;
    assert_eq!((file.rows, file.tables.clone()), (1, vec!["chem.moved".to_owned()]));
    assert!(
        matches!(file.status, Loaded | labhouse_catalog::FileStatus::Replaced),
        "{file:?}"
    );
    lab.take_away("chem/old/a.csv").await;
    lab.sweep().await;
    assert_eq!(told(&lab, "chem/old/a.csv").await.status, Gone);

    for (n, path) in ["化学/数据/a.csv", "人事/数据/a.csv", "Химия/Выход/a.csv"]
        .into_iter()
        .enumerate()
    {
        lab.land(path, format!("k\n{n}\n")).await;
    }
    lab.land("system/x/a.csv", "k\n1\n").await;
    lab.land("information_schema/y/a.csv", "k\n1\n").await;
    let report = lab.sweep().await;
    let mut tables: Vec<String> = report
        .files
        .iter()
        .filter(|file| file.status == Loaded)
        .flat_map(|file| file.tables.clone())
        .collect();
    tables.sort();
    tables.dedup();
    assert_eq!(tables.len(), 3, "{tables:?}");
    assert_eq!(lab.ask("select k from khimiya.vykhod").await, [["2"]]);
    for path in ["system/x/a.csv", "information_schema/y/a.csv"] {
        assert_eq!(told(&lab, path).await.status, Quarantined);
        assert!(reason(&report, path).contains("server's own"));
    }
    delete_nothing_twice(&lab).await;
}

/// Rows that a statement deleted stay deleted when the same content is only written again.
async fn delete_nothing_twice(lab: &Lab) {
    lab.land("chem/t/a.csv", "k\n1\n2\n").await;
    lab.sweep().await;
    delete(lab, "k = 2").await;
    lab.land("chem/t/a.csv", "k\n1\n2\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 1);
}
