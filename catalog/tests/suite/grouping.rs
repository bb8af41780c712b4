//! Which landed files are one table, what their folders say, and that all of it is told.

use arrow::datatypes::DataType;
use labhouse_catalog::FileStatus::{Ignored, Loaded, Replaced, Unchanged};

use crate::support::{Lab, eager, file, local_lake};

fn by(report: &labhouse_catalog::SweepReport, path: &str) -> String {
    file(report, path).grouped_by.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_become_typed_columns() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    for (path, value) in [
        ("chem/runs/year=2026/month=03/site=B%20asel/a.csv", 1),
        ("chem/runs/year=2026/month=11/site=__HIVE_DEFAULT_PARTITION__/b.csv", 2),
        ("chem/days/2026/03/14/a.csv", 3),
        ("chem/days/2026-03-15/b.csv", 4),
        ("chem/2026-03-14/plate_1.csv", 5),
        ("chem/2026-03-15/plate_1.csv", 6),
    ] {
        lab.land(path, format!("k,v\nx,{value}\n")).await;
    }
    let report = lab.sweep().await;
    assert_eq!(report.count(Loaded), 6, "{report:#?}");
    assert_eq!(
        lab.ask("select v, year, month, site from chem.runs order by v").await,
        [["1", "2026", "3", "B asel"], ["2", "2026", "11", "null"]]
    );
    assert_eq!(lab.number("select count(*) from chem.runs where month = 11").await, 1);
    let days = [["3", "2026-03-14"], ["4", "2026-03-15"]];
    assert_eq!(lab.ask("select v, folder_date from chem.days order by v").await, days);
    // A folder that is a day names no table: the file does.
    let plates = [["5", "2026-03-14"], ["6", "2026-03-15"]];
    assert_eq!(
        lab.ask("select v, folder_date from chem.plate_1 order by v").await,
        plates
    );
    let hive = "chem/runs/year=2026/month=03/site=B%20asel/a.csv";
    assert_eq!(
        by(&report, hive),
        "its folder chem/runs; its folders give year, month, site"
    );
    // A server that starts now has nothing to do.
    assert_eq!(lab.another().await.sweep().await.count(Unchanged), 6);
    // Without columns of folders, where somebody says so.
    lab.land("chem/runs/_labhouse.toml", "folders = \"none\"\n").await;
    assert_eq!(lab.sweep().await.count(Replaced), 2);
    assert_eq!(lab.number("select count(year) from chem.runs").await, 0);
    assert_eq!(lab.number("select sum(v) from chem.runs").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_a_name_of_its_own_is_said_beside_the_files() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/runs/alpha/x/ana/a.csv", "k,v\na,1\n").await;
    lab.land("chem/runs/beta/x/bob/deep/b.csv", "k,v\nb,2\n").await;
    lab.land(
        "chem/runs/_labhouse.toml",
        "folders = [\"project\", \"\", \"operator\"]\n",
    )
    .await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select k, project, operator from chem.runs order by 1").await,
        [["a", "alpha", "ana"], ["b", "beta", "bob"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_folder_widens_what_the_earlier_ones_were() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let land = |path: &'static str| lab.land(path, "k\nx\n");
    land("chem/t/month=03/a.csv").await;
    land("chem/t/month=04/b.csv").await;
    lab.sweep().await;
    let kind = || {
        let table = lab.catalog.snapshot().table("chem", "t").unwrap().schema();
        table.field_with_name("month").unwrap().data_type().clone()
    };
    assert_eq!(kind(), DataType::Int64);
    land("chem/t/month=spring/c.csv").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/month=spring/c.csv").status, Loaded);
    assert_eq!(kind(), DataType::Utf8View);
    let rows = lab.ask("select month, _source_file from chem.t order by 1").await;
    assert_eq!(
        rows,
        [
            ["03", "chem/t/month=03/a.csv"],
            ["04", "chem/t/month=04/b.csv"],
            ["spring", "chem/t/month=spring/c.csv"]
        ]
    );
    // A number that comes to texts is the text that its folder is.
    land("chem/t/month=05/d.csv").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.t where month = '05'").await, 1);
    // The first folder of a name gives the rows before it theirs: as in a lake of before.
    lab.land("chem/u/2026/a.csv", "k\nx\n").await;
    lab.land("chem/u/_labhouse.toml", "folders = \"none\"\n").await;
    lab.sweep().await;
    lab.take_away("chem/u/2026/a.csv").await;
    lab.take_away("chem/u/_labhouse.toml").await;
    lab.land("chem/u/2027/b.csv", "k\ny\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select k, folder_year from chem.u order by 1").await,
        [["x", "2026"], ["y", "2027"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_files_own_column_comes_before_its_folders() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/year=2026/a.csv", "k,year\nsame,2026\n").await;
    lab.land("chem/t/year=2025/b.csv", "k,year\nother,1999\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select k, year, folder_year from chem.t order by 1").await,
        [["other", "1999", "2025"], ["same", "2026", "null"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_that_can_be_read_twice_stay_text_and_say_so() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/03-04-2026/a.csv", "k,v\nx,1\n").await;
    let report = lab.sweep().await;
    let told = file(&report, "chem/t/03-04-2026/a.csv");
    assert!(
        told.doubts.as_ref().unwrap().contains("day first or month first"),
        "{told:?}"
    );
    assert!(told.confidence.unwrap() < 1.0);
    assert_eq!(lab.ask("select folder_date from chem.t").await, [["03-04-2026"]]);
    lab.land("chem/t/_labhouse.toml", "[read]\ndate_order = \"dmy\"\n")
        .await;
    lab.land("chem/w/03-04-2026/a.csv", "k,v\nx,1\n").await;
    lab.land("chem/w/14-04-2026/b.csv", "k,v\ny,2\n").await;
    lab.sweep().await;
    // Another folder of the table shows the order.
    assert_eq!(
        lab.ask("select k, folder_date from chem.w order by 1").await,
        [["x", "2026-04-03"], ["y", "2026-04-14"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlike_files_of_one_folder_are_two_tables_and_say_why() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // The odd one comes first in the listing, and is the smaller part.
    lab.land("chem/runs/a_lots.csv", "lot,supplier,purity\nL1,acme,0.9\n")
        .await;
    for n in 1..4 {
        let rows = format!("well,plate,yield\nA1,P{n},{n}.5\n");
        lab.land(&format!("chem/runs/plate_{n}.csv"), rows).await;
    }
    lab.land("chem/runs/plate_4.csv", "well,plate,yield,note\nA1,P4,4.5,hot\n")
        .await;
    let report = lab.sweep().await;
    assert_eq!(report.count(Loaded), 5, "{report:#?}");
    assert_eq!(lab.number("select count(*) from chem.runs").await, 4);
    assert_eq!(
        lab.ask("select lot, purity from chem.runs__a_lots").await,
        [["L1", "0.9"]]
    );
    let why = by(&report, "chem/runs/a_lots.csv");
    assert!(
        why.contains("unlike those of chem.runs (0 of 3") && why.contains("group"),
        "{why}"
    );
    assert_eq!(by(&report, "chem/runs/plate_4.csv"), "its folder chem/runs");
    // One like it joins it, also on another server.
    lab.land("chem/runs/more.csv", "lot,supplier,purity,grams\nL2,acme,0.8,5\n")
        .await;
    lab.another().await.sweep().await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.runs__a_lots").await, 2);
    // It changes and stays where it is.
    lab.land("chem/runs/more.csv", "lot,supplier,purity,grams\nL2,acme,0.7,5\n")
        .await;
    let report = lab.sweep().await;
    let changed = file(&report, "chem/runs/more.csv");
    assert_eq!(
        (changed.status, changed.tables.as_slice()),
        (Replaced, &["chem.runs__a_lots".to_owned()][..])
    );
    // Somebody wants one table: then it is one.
    lab.land("chem/runs/_labhouse.toml", "group = \"folder\"\n").await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.runs").await, 6);
    assert_eq!(lab.number("select count(*) from chem.runs__a_lots").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loose_files_are_grouped_by_their_names() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    for path in [
        "chem/export_2026-03-14.csv",
        "chem/export_20260315_1530.csv",
        "chem/batch_1.csv",
        "chem/batch_2.csv",
        "chem/batch_10.csv",
        "chem/case_1.csv",
        "chem/case_2.csv",
        "chem/lots.csv",
    ] {
        lab.land(path, "k,v\nx,1\n").await;
    }
    lab.land("chem/export_2026-03-16.csv", "solvent,density,name\ndmf,0.9,x\n")
        .await;
    let report = lab.sweep().await;
    let count = |table: &str| format!("select count(*) from chem.{table}");
    for (table, rows) in [
        ("export", 2),
        ("export__export", 1),
        ("batch", 3),
        ("case_1", 1),
        ("case_2", 1),
        ("lots", 1),
    ] {
        assert_eq!(lab.number(&count(table)).await, rows, "{table}");
    }
    assert!(
        by(&report, "chem/batch_2.csv").contains("pattern of its name"),
        "{report:#?}"
    );
    assert!(by(&report, "chem/export_2026-03-14.csv").contains("without its date"));
    assert!(by(&report, "chem/export_2026-03-16.csv").contains("unlike"));
    // A third one of a kind: the two that are loaded stay where people know them.
    lab.land("chem/case_3.csv", "k,v\nx,1\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/case_3.csv").tables, ["chem.case"]);
    assert_eq!(file(&report, "chem/case_1.csv").status, Unchanged);
    lab.land("chem/case_1.csv", "k,v\nx,7\n").await;
    assert_eq!(file(&lab.sweep().await, "chem/case_1.csv").tables, ["chem.case_1"]);
    // By settings: all of one name in one table, or each by itself.
    lab.land("chem/_labhouse.toml", "group = \"name\"\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/_labhouse.toml").status, Ignored);
    assert_eq!(file(&report, "chem/case_1.csv").tables, ["chem.case"]);
    lab.land("chem/_labhouse.toml", "group = \"file\"\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/batch_2.csv").tables, ["chem.batch_2"]);
    assert!(by(&report, "chem/batch_2.csv").contains("_labhouse.toml says"));
    assert_eq!(lab.number(&count("batch")).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_group_differently_at_first_agree_at_last() {
    let (_folder, lake) = local_lake().await;
    let one = Lab::on(&lake, eager()).await;
    one.land("chem/t/a.csv", "lot,supplier,purity\nL1,acme,0.9\n").await;
    one.sweep().await;
    for n in 0..6 {
        one.land(
            &format!("chem/t/p{n}x.csv"),
            format!("well,plate,yield\nA1,P{n},{n}.5\n"),
        )
        .await;
    }
    let two = one.another().await;
    let (a, b) = tokio::join!(one.crawler.sweep(), two.crawler.sweep());
    a.unwrap();
    b.unwrap();
    one.sweep().await;
    two.sweep().await;
    one.sweep().await;
    assert_eq!(one.number("select count(*) from chem.t").await, 1);
    assert_eq!(
        one.number("select count(distinct _source_file) from chem.t__p0x").await,
        6
    );
    assert_eq!(one.number("select count(*) from chem.t__p0x").await, 6);
}
