//! What a crawl promises, whatever the lake lies on. `local` and `s3` run each of these.

use std::sync::Arc;

use arrow::datatypes::DataType;
use labhouse_catalog::FileStatus::{Gone as IsGone, Ignored, Loaded, Quarantined, Replaced, Unchanged};
use labhouse_catalog::{CrawlOptions, Gone, Lake, TableName, When, append, bring_back};

pub(crate) use crate::large::{a_large_file_that_its_table_cannot_take, large_tables_come_in_pieces};
pub(crate) use crate::renames::{
    a_file_that_was_renamed_and_written_to, a_rename_that_a_sweep_saw_half_done,
    a_renamed_file_keeps_what_statements_did,
};
use crate::support::{Lab, eager, file, reason};

pub(crate) async fn loads_each_file_once(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/plates/a.csv", "Plate ID,Yield [%]\nP1,10.5\nP2,20.5\n")
        .await;
    lab.land("chem/plates/2026/b.csv", "Plate ID,Yield [%]\nP3,30.5\n")
        .await;
    lab.land("chem/Reagent Lots.csv", "lot,grams\nL1,5\n").await;
    let report = lab
        .expect(&[
            ("chem/Reagent Lots.csv", Loaded),
            ("chem/plates/2026/b.csv", Loaded),
            ("chem/plates/a.csv", Loaded),
        ])
        .await;
    assert_eq!(file(&report, "chem/plates/a.csv").tables, ["chem.plates"]);
    assert_eq!(file(&report, "chem/plates/a.csv").rows, 2);
    let rows = lab
        .ask("select plate_id, yield_pct, _source_file, _source_row, _ingested_at is not null from chem.plates order by 1")
        .await;
    assert_eq!(
        rows,
        [
            ["P1", "10.5", "chem/plates/a.csv", "1", "true"],
            ["P2", "20.5", "chem/plates/a.csv", "2", "true"],
            ["P3", "30.5", "chem/plates/2026/b.csv", "1", "true"],
        ]
    );
    assert_eq!(lab.number("select count(*) from chem.reagent_lots").await, 1);
    let table = Arc::clone(lab.catalog.snapshot().table("chem", "plates").unwrap());
    assert_eq!((table.version(), table.rows()), (0, Some(3)));
    let schema = table.schema();
    assert_eq!(
        schema.field_with_name("yield_pct").unwrap().metadata()["labhouse.original"],
        "Yield [%]"
    );

    let again = [
        ("chem/Reagent Lots.csv", Unchanged),
        ("chem/plates/2026/b.csv", Unchanged),
        ("chem/plates/a.csv", Unchanged),
    ];
    lab.expect(&again).await;
    // A server that starts now knows it from the lake alone.
    lab.another().await.expect(&again).await;
    assert_eq!(lab.version("chem", "plates"), 0);
}

pub(crate) async fn a_changed_file_replaces_its_own_rows(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/a.csv", "k,v\na,1\nb,2\n").await;
    lab.land("chem/t/b.csv", "k,v\nc,3\n").await;
    lab.sweep().await;
    lab.land("chem/t/a.csv", "k,v\na,10\n").await;
    lab.expect(&[("chem/t/a.csv", Replaced), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(
        lab.ask("select k, v from chem.t order by k").await,
        [["a", "10"], ["c", "3"]]
    );
    assert_eq!(
        lab.version("chem", "t"),
        1,
        "the old rows go and the new ones come in one commit"
    );

    // Written again with the same content: nothing happens.
    lab.land("chem/t/b.csv", "k,v\nc,3\n").await;
    lab.expect(&[("chem/t/a.csv", Unchanged), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(lab.version("chem", "t"), 1);

    // A change that cannot be read leaves the rows as they are.
    lab.land("chem/t/a.csv", vec![0u8, 159, 146, 150, 0, 1, 2, 3]).await;
    lab.expect(&[("chem/t/a.csv", Quarantined), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
}

pub(crate) async fn a_gone_file_is_recorded(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/a.csv", "k,v\na,1\n").await;
    lab.land("chem/t/b.csv", "k,v\nb,2\n").await;
    lab.sweep().await;
    lab.take_away("chem/t/a.csv").await;
    lab.expect(&[("chem/t/a.csv", IsGone), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    let version = lab.version("chem", "t");
    lab.expect(&[("chem/t/a.csv", IsGone), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(lab.version("chem", "t"), version, "it is recorded once");

    // The same file comes back: recorded, its rows are not doubled.
    lab.land("chem/t/a.csv", "k,v\na,1\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    lab.expect(&[("chem/t/a.csv", Unchanged), ("chem/t/b.csv", Unchanged)])
        .await;

    // Where the configuration says so, the rows go with the file, and come back with it.
    let strict = Lab::on(
        lake,
        CrawlOptions {
            gone: Gone::DeleteRows,
            ..eager()
        },
    )
    .await;
    strict.take_away("chem/t/a.csv").await;
    strict
        .expect(&[("chem/t/a.csv", IsGone), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(strict.ask("select k from chem.t").await, [["b"]]);
    strict.land("chem/t/a.csv", "k,v\na,1\n").await;
    strict
        .expect(&[("chem/t/a.csv", Loaded), ("chem/t/b.csv", Unchanged)])
        .await;
    assert_eq!(strict.ask("select k from chem.t order by k").await, [["a"], ["b"]]);
}

pub(crate) async fn a_renamed_file_has_its_rows_once(lake: &Arc<Lake>) {
    const A: &str = "k,v\na,1\nb,2\n";
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/a.csv", A).await;
    lab.land("chem/t/b.csv", "k,v\nc,3\n").await;
    lab.sweep().await;
    let rows = "select k, v, _source_file from chem.t order by k, _source_file";

    // Within a table: one commit, in which the rows change their file.
    lab.rename("chem/t/a.csv", "chem/t/run 7.csv", A).await;
    let report = lab
        .expect(&[
            ("chem/t/a.csv", IsGone),
            ("chem/t/b.csv", Unchanged),
            ("chem/t/run 7.csv", Loaded),
        ])
        .await;
    assert_eq!(reason(&report, "chem/t/a.csv"), "it is chem/t/run 7.csv now");
    assert_eq!(
        lab.ask(rows).await,
        [
            ["a", "1", "chem/t/run 7.csv"],
            ["b", "2", "chem/t/run 7.csv"],
            ["c", "3", "chem/t/b.csv"]
        ]
    );
    assert_eq!(lab.version("chem", "t"), 1);

    // Into another folder, and so another table; and back, and back again.
    for (from, to) in [
        ("chem/t/run 7.csv", "chem/u/run 7.csv"),
        ("chem/u/run 7.csv", "chem/t/run 7.csv"),
        ("chem/t/run 7.csv", "chem/u/run 7.csv"),
    ] {
        lab.rename(from, to, A).await;
        lab.sweep().await;
        let all = "select count(*), count(distinct k) from (select k from chem.t union all select k from chem.u)";
        assert_eq!(lab.ask(all).await, [["3", "3"]], "{from} to {to}");
    }
    let nothing_left = lab.another().await;
    assert!(!nothing_left.sweep().await.changed());

    // The noes: what goes and does not come back keeps its rows, and so does one whose like was there long before it went.
    let late = CrawlOptions {
        rename_within: std::time::Duration::ZERO,
        ..eager()
    };
    let lab = Lab::on(lake, late).await;
    lab.land("chem/t/twin.csv", "k,v\nc,3\n").await;
    lab.sweep().await;
    lab.take_away("chem/t/b.csv").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask(rows).await,
        [["c", "3", "chem/t/b.csv"], ["c", "3", "chem/t/twin.csv"]]
    );
    lab.take_away("chem/t/twin.csv").await;
    lab.land("chem/t/other.csv", "k,v\nc,4\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 3);
}

pub(crate) async fn a_restored_table_has_each_file_once(lake: &Arc<Lake>) {
    let lab = Lab::on(
        lake,
        CrawlOptions {
            gone: Gone::DeleteRows,
            ..eager()
        },
    )
    .await;
    let table = TableName::new("chem", "t");
    let rows = "select k, v, _source_file from chem.t order by k, v, _source_file";
    let restore = async |version| bring_back(&lab.catalog, &table, When::Version(version)).await.unwrap();
    lab.land("chem/t/a.csv", "k,v\na,1\n").await;
    lab.land("chem/t/b.csv", "k,v\nb,2\n").await;
    lab.sweep().await;

    // Its rows went with it and were brought back; then it came back itself.
    lab.take_away("chem/t/a.csv").await;
    lab.sweep().await;
    restore(0).await;
    lab.land("chem/t/a.csv", "k,v\na,1\n").await;
    lab.sweep().await;
    let both = [["a", "1", "chem/t/a.csv"], ["b", "2", "chem/t/b.csv"]];
    assert_eq!(lab.ask(rows).await, both);

    // It was renamed, its rows of before were brought back, and then it changed.
    lab.rename("chem/t/b.csv", "chem/t/c.csv", "k,v\nb,2\n").await;
    lab.sweep().await;
    restore(0).await;
    assert_eq!(lab.ask(rows).await, both);
    lab.land("chem/t/c.csv", "k,v\nb,20\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask(rows).await,
        [["a", "1", "chem/t/a.csv"], ["b", "20", "chem/t/c.csv"]]
    );

    // The no: another file's rows stay, and a file that has the old name now keeps its own.
    lab.land("chem/t/b.csv", "k,v\nd,4\n").await;
    lab.sweep().await;
    lab.land("chem/t/c.csv", "k,v\nb,200\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask(rows).await,
        [
            ["a", "1", "chem/t/a.csv"],
            ["b", "200", "chem/t/c.csv"],
            ["d", "4", "chem/t/b.csv"]
        ]
    );
}

pub(crate) async fn tables_evolve_without_loss(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/1.csv", "k,v\na,1\nb,2\n").await;
    lab.sweep().await;
    lab.land("chem/t/2.csv", "k,note\nc,hot\n").await;
    lab.sweep().await;
    let rows = [["a", "1", "null"], ["b", "2", "null"], ["c", "null", "hot"]];
    assert_eq!(lab.ask("select k, v, note from chem.t order by k").await, rows);
    assert_eq!(lab.version("chem", "t"), 1, "a new column and its rows are one commit");

    lab.land("chem/t/3.csv", "k,v\nd,4.5\n").await;
    lab.sweep().await;
    let table = Arc::clone(lab.catalog.snapshot().table("chem", "t").unwrap());
    assert_eq!(
        table.schema().field_with_name("v").unwrap().data_type(),
        &DataType::Float64
    );
    assert_eq!(
        lab.ask("select v from chem.t order by k").await,
        [["1.0"], ["2.0"], ["null"], ["4.5"]]
    );
    let last = table.schema().fields().last().unwrap().name().clone();
    assert_eq!(last, "_ingested_at", "where rows are from stays behind the data");

    // Integers no float can hold are not widened, and what comes stands beside them.
    lab.land("chem/u/1.csv", "id\n9007199254740993\n").await;
    lab.sweep().await;
    lab.land("chem/u/2.csv", "id\n0.5\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/u/2.csv").status, Loaded);
    let why = file(&report, "chem/u/2.csv").doubts.clone().unwrap_or_default();
    assert!(
        why.contains("'id'") && why.contains("whole numbers") && why.contains("0.5"),
        "{why}"
    );
    assert_eq!(
        lab.ask("select id, rescued from chem.u order by 1").await,
        [["9007199254740993", "null"], ["null", "{\"id\":\"0.5\"}"]]
    );

    // A column that held nothing takes the type of its first values.
    lab.land("chem/w/1.csv", "k,v\na,\nb,\n").await;
    lab.sweep().await;
    lab.land("chem/w/2.csv", "k,v\nc,7\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select k, v + 1 from chem.w order by k").await,
        [["a", "null"], ["b", "null"], ["c", "8"]]
    );
}

pub(crate) async fn what_does_not_fit_is_quarantined(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/t/1.csv", "k,v\na,1\nb,2\n").await;
    lab.sweep().await;
    lab.land("chem/t/2.csv", "k,v\nc,many\nd,few\ne,no\nf,x\ng,y\n").await;
    lab.land("stray.csv", "k,v\nx,1\n").await;
    lab.land("chem/t/.hidden.csv", "k,v\nx,1\n").await;
    lab.land("chem/t/upload.csv.part", "k,v\nx,1\n").await;
    let report = lab
        .expect(&[
            ("chem/t/.hidden.csv", Ignored),
            ("chem/t/1.csv", Unchanged),
            ("chem/t/2.csv", Quarantined),
            ("chem/t/upload.csv.part", Ignored),
            ("stray.csv", Quarantined),
        ])
        .await;
    let why = reason(&report, "chem/t/2.csv");
    for part in ["'v'", "whole numbers", "text", "many"] {
        assert!(why.contains(part), "{why}");
    }
    assert!(reason(&report, "stray.csv").contains("schema folder"));
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    let known = lab.crawler.files().await.unwrap();
    assert!(
        known
            .iter()
            .any(|f| f.path == "chem/t/2.csv" && f.status == Quarantined && f.reason.is_some())
    );

    // Corrected, it is loaded and leaves quarantine; taken away, it leaves too.
    lab.land("chem/t/2.csv", "k,v\nc,3\n").await;
    lab.take_away("stray.csv").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/2.csv").status, Loaded);
    assert_eq!(report.count(Quarantined), 0);
    assert_eq!(lab.lake.list("_labhouse/quarantine").await.unwrap().len(), 0);
}

pub(crate) async fn a_lost_ledger_copy_is_healed(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    for n in 0..3 {
        lab.land(&format!("chem/t/{n}.csv"), format!("k\n{n}\n")).await;
        lab.sweep().await;
    }
    // As if a server had died between its commits and writing the copies.
    let copies = lab.lake.list("_labhouse/ledger").await.unwrap();
    assert_eq!(copies.len(), 3);
    let mut before = Vec::new();
    for copy in &copies {
        before.push(lab.lake.get(copy.location.as_ref()).await.unwrap());
        lab.lake.delete(copy.location.as_ref()).await.unwrap();
    }
    let other = lab.another().await;
    other
        .expect(&[
            ("chem/t/0.csv", Unchanged),
            ("chem/t/1.csv", Unchanged),
            ("chem/t/2.csv", Unchanged),
        ])
        .await;
    assert_eq!(other.number("select count(*) from chem.t").await, 3);
    for (copy, before) in copies.iter().zip(before) {
        assert_eq!(
            lab.lake.get(copy.location.as_ref()).await.unwrap(),
            before,
            "the same bytes from whoever writes"
        );
    }

    // A table made anew has a ledger of its own: the old one's copies say nothing of it.
    for object in lab.lake.list("tables/chem/t").await.unwrap() {
        lab.lake.delete(object.location.as_ref()).await.unwrap();
    }
    lab.expect(&[
        ("chem/t/0.csv", Loaded),
        ("chem/t/1.csv", Loaded),
        ("chem/t/2.csv", Loaded),
    ])
    .await;
    assert_eq!(lab.number("select count(*) from chem.t").await, 3);
}

pub(crate) async fn servers_share_a_lake(lake: &Arc<Lake>) {
    const FILES: i64 = 24;
    let small = || CrawlOptions {
        batch_files_max: 3,
        ..eager()
    };
    let (one, two) = (Lab::on(lake, small()).await, Lab::on(lake, small()).await);
    for n in 0..FILES {
        one.land(&format!("chem/t/{n:02}.csv"), format!("n,v\n{n},1\n{n},2\n"))
            .await;
    }
    let (a, b) = tokio::join!(one.crawler.sweep(), two.crawler.sweep());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.count(Quarantined) + b.count(Quarantined), 0);
    one.sweep().await;
    assert_eq!(one.number("select count(*) from chem.t").await, FILES * 2);
    let doubled = "select count(*) from (select _source_file from chem.t group by 1 having count(*) <> 2)";
    assert_eq!(one.number(doubled).await, 0);

    // Both see each file change.
    for n in 0..FILES {
        two.land(&format!("chem/t/{n:02}.csv"), format!("n,v\n{n},7\n")).await;
    }
    let (a, b) = tokio::join!(one.crawler.sweep(), two.crawler.sweep());
    a.unwrap();
    b.unwrap();
    two.sweep().await;
    assert_eq!(
        two.ask("select count(*), min(v), max(v) from chem.t").await,
        [[&FILES.to_string(), "7", "7"]]
    );
}

pub(crate) async fn writers_append_side_by_side(lake: &Arc<Lake>) {
    let name = TableName::parse("state.audit").unwrap();
    let lab = Lab::on(lake, eager()).await;
    let batch = |n: i64| {
        let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![n]));
        arrow::array::RecordBatch::try_from_iter([("n", column)]).unwrap()
    };
    let others: Vec<Lab> = futures::future::join_all((0..4).map(|_| lab.another())).await;
    let writes = others
        .iter()
        .enumerate()
        .map(|(n, other)| append(&other.catalog, &name, vec![batch(n as i64)]));
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    lab.catalog.refresh().await.unwrap();
    assert_eq!(lab.ask("select count(*), sum(n) from state.audit").await, [["4", "6"]]);

    let text: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["x"]));
    let wrong = arrow::array::RecordBatch::try_from_iter([("other", text)]).unwrap();
    assert!(
        append(&lab.catalog, &name, vec![wrong])
            .await
            .unwrap_err()
            .to_string()
            .contains("'other'")
    );
}
