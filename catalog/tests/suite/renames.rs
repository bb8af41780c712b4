//! Renamed files, seen whole or in part: cases for a folder and a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use labhouse_catalog::FileStatus::{Gone as IsGone, Loaded, Unchanged};
use labhouse_catalog::{CrawlOptions, Lake, RowChange, addressed, take_out};

use crate::support::{Lab, cells, eager, reason};

/// Deletes rows of `chem.t`, as a statement does.
pub(crate) async fn delete(lab: &Lab, condition: &str) {
    let table = Arc::clone(lab.catalog.snapshot().table("chem", "t").unwrap());
    let context = SessionContext::new();
    lab.lake.register(&context.runtime_env());
    context
        .register_table("t", addressed(&lab.lake, &table, "_row_address@here").unwrap())
        .unwrap();
    let sql = format!("select \"_row_address@here\" from t where {condition}");
    let found = cells(&context.sql(&sql).await.unwrap().collect().await.unwrap());
    let addresses: BTreeSet<i64> = found.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(!addresses.is_empty());
    let out = take_out(&lab.lake, &table, &addresses).await.unwrap();
    let done = out
        .put_back(&lab.catalog, &table, &[], RowChange::Delete, BTreeMap::new())
        .await;
    assert!(done.unwrap().is_some());
}

const A: &str = "k,v\na,1\nb,2\n";

pub(crate) async fn a_rename_that_a_sweep_saw_half_done(lake: &Arc<Lake>) {
    let is_bucket = lake.local_root().is_none();
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/a.csv", A).await;
    lab.land("chem/t/other.csv", "k,v\nz,9\n").await;
    lab.sweep().await;
    delete(&lab, "k = 'b'").await;
    // The copy is there, and the old one still.
    lab.land("chem/t/run 7.csv", A).await;
    lab.expect(&[
        ("chem/t/a.csv", Unchanged),
        ("chem/t/other.csv", Unchanged),
        ("chem/t/run 7.csv", Loaded),
    ])
    .await;
    lab.take_away("chem/t/a.csv").await;
    let report = lab.sweep().await;
    let rows = "select k, _source_file from chem.t order by 1, 2";
    if is_bucket {
        assert_eq!(reason(&report, "chem/t/a.csv"), "it is chem/t/run 7.csv now");
        // What was deleted before stays deleted.
        assert_eq!(
            lab.ask(rows).await,
            [["a", "chem/t/run 7.csv"], ["z", "chem/t/other.csv"]]
        );
    } else {
        // A disk tells a copy from a rename.
        assert_eq!(lab.number("select count(*) from chem.t").await, 4);
    }
    assert!(!lab.another().await.sweep().await.changed());

    // Into another folder, and so another table.
    let before = lab.number("select count(*) from chem.t").await;
    lab.land("chem/u/run 7.csv", A).await;
    lab.sweep().await;
    lab.take_away("chem/t/run 7.csv").await;
    lab.sweep().await;
    let after = lab.number("select count(*) from chem.t").await;
    assert_eq!(
        (lab.number("select count(*) from chem.u").await, after),
        (2, before - i64::from(is_bucket))
    );

    // The no: a copy of long ago is a copy, and what is kept of the other is said.
    let late = CrawlOptions {
        rename_within: Duration::ZERO,
        ..eager()
    };
    let lab = Lab::on(lake, late).await;
    lab.land("chem/t/twin.csv", "k,v\nz,9\n").await;
    lab.sweep().await;
    lab.take_away("chem/t/other.csv").await;
    let report = lab.sweep().await;
    let twice = "select count(*) from chem.t where k = 'z'";
    assert_eq!(lab.number(twice).await, 2);
    let why = reason(&report, "chem/t/other.csv");
    assert!(
        why.contains("its 1 rows stay") && why.contains("DELETE FROM chem.t WHERE _source_file = 'chem/t/other.csv'"),
        "{why}"
    );
}

pub(crate) async fn a_renamed_file_keeps_what_statements_did(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/lot=7/a.csv", A).await;
    lab.land("chem/t/lot=8/b.csv", "k,v\nc,3\n").await;
    lab.sweep().await;
    delete(&lab, "k = 'b'").await;
    lab.rename("chem/t/lot=7/a.csv", "chem/t/lot=7/run.csv", A).await;
    let report = lab.sweep().await;
    assert_eq!(reason(&report, "chem/t/lot=7/a.csv"), "it is chem/t/lot=7/run.csv now");
    let rows = "select k, v, lot, _source_file, _source_row from chem.t order by k";
    assert_eq!(
        lab.ask(rows).await,
        [
            ["a", "1", "7", "chem/t/lot=7/run.csv", "1"],
            ["c", "3", "8", "chem/t/lot=8/b.csv", "1"]
        ]
    );
    // Its folders say something else now.
    lab.rename("chem/t/lot=7/run.csv", "chem/t/lot=9/run.csv", A).await;
    lab.sweep().await;
    lab.rename("chem/t/lot=8/b.csv", "chem/t/done/b.csv", "k,v\nc,3\n")
        .await;
    lab.sweep().await;
    assert_eq!(
        lab.ask(rows).await,
        [
            ["a", "1", "9", "chem/t/lot=9/run.csv", "1"],
            ["c", "3", "null", "chem/t/done/b.csv", "1"]
        ]
    );
    assert!(!lab.another().await.sweep().await.changed());
    // Written again with the same bytes, which is no change, and renamed later.
    lab.land("chem/t/lot=9/run.csv", A).await;
    lab.sweep().await;
    lab.rename("chem/t/lot=9/run.csv", "chem/t/lot=9/last.csv", A).await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    lab.rename("chem/t/lot=9/last.csv", "chem/t/lot=9/run.csv", A).await;
    lab.sweep().await;
    // The no: a file that changes has its own rows again.
    lab.land("chem/t/lot=9/run.csv", "k,v\na,1\nb,2\nd,4\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t where lot = 9").await, 3);
}

pub(crate) async fn a_file_that_was_renamed_and_written_to(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/a.csv", A).await;
    lab.land("chem/t/b.csv", "k,v\nx,7\n").await;
    lab.sweep().await;
    let longer = format!("{A}c,3\n");
    lab.rename("chem/t/a.csv", "chem/t/run.csv", A).await;
    lab.land("chem/t/run.csv", longer.clone()).await;
    let report = lab
        .expect(&[
            ("chem/t/a.csv", IsGone),
            ("chem/t/b.csv", Unchanged),
            ("chem/t/run.csv", Loaded),
        ])
        .await;
    assert_eq!(reason(&report, "chem/t/a.csv"), "it is chem/t/run.csv now");
    let rows = "select k, _source_file from chem.t order by 1, 2";
    assert_eq!(
        lab.ask(rows).await,
        [
            ["a", "chem/t/run.csv"],
            ["b", "chem/t/run.csv"],
            ["c", "chem/t/run.csv"],
            ["x", "chem/t/b.csv"]
        ]
    );
    // Whoever asks later is told the same.
    let files = lab.another().await.crawler.files().await.unwrap();
    let gone = files.iter().find(|file| file.path == "chem/t/a.csv").unwrap();
    assert_eq!(gone.reason.as_deref(), Some("it is chem/t/run.csv now"));
    assert!(gone.tables.is_empty() && gone.rows == 0);

    // The no: what has another beginning is another file; what is kept is said, and how to take it out.
    lab.take_away("chem/t/b.csv").await;
    lab.land("chem/t/c.csv", "k,v\ny,7\nx,7\n").await;
    let report = lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 6);
    let why = reason(&report, "chem/t/b.csv");
    assert!(
        why.contains("its 1 rows stay") && why.contains("DELETE FROM chem.t"),
        "{why}"
    );
    let files = lab.crawler.files().await.unwrap();
    let kept = files.iter().find(|file| file.path == "chem/t/b.csv").unwrap();
    assert_eq!((kept.reason.as_deref(), kept.rows), (Some(why.as_str()), 1));
}
