//! Files of one table whose columns are not of one type: nothing they hold is lost, whatever comes first.

use std::collections::BTreeMap;

use labhouse_catalog::FileStatus::{Loaded, Quarantined, Replaced, Unchanged};
use labhouse_catalog::SweepReport;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Lab, eager, file, local_lake, reason};

fn doubts(report: &SweepReport, path: &str) -> String {
    file(report, path).doubts.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_come_into_a_column_of_texts_as_they_are_written() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/lots/a.csv", "lot,grams\n007,1.5\nL8,2.5\n").await;
    lab.sweep().await;
    lab.land("chem/lots/b.csv", "lot,grams\n10,1.25\n12.50,2\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/lots/b.csv").status, Loaded);
    assert_eq!(file(&report, "chem/lots/b.csv").doubts, None);
    let rows = "select lot, grams from chem.lots order by _source_file, _source_row";
    let mut wanted = vec![["007", "1.5"], ["L8", "2.5"], ["10", "1.25"], ["12.50", "2.0"]];
    assert_eq!(lab.ask(rows).await, wanted);
    // Formats without cells: their values as text.
    lab.land(
        "chem/lots/c.json",
        r#"[{"lot": 7, "grams": 1}, {"lot": {"old": "x", "new": 8}, "grams": 2}]"#,
    )
    .await;
    assert_eq!(file(&lab.sweep().await, "chem/lots/c.json").status, Loaded);
    wanted.extend([["7", "1.0"], [r#"{"old":"x","new":8}"#, "2.0"]]);
    assert_eq!(lab.ask(rows).await, wanted);
    // It is known by its content as any other, here and to a server that starts now.
    let unchanged = [
        ("chem/lots/a.csv", Unchanged),
        ("chem/lots/b.csv", Unchanged),
        ("chem/lots/c.json", Unchanged),
    ];
    lab.expect(&unchanged).await;
    lab.another().await.expect(&unchanged).await;
    lab.land("chem/lots/b.csv", "lot,grams\n11,1.25\n").await;
    assert_eq!(file(&lab.sweep().await, "chem/lots/b.csv").status, Replaced);
    wanted.splice(2..4, [["11", "1.25"]]);
    assert_eq!(lab.ask(rows).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_nothing_decides_are_read_as_the_table_has_them() {
    let (_folder, lake) = local_lake().await;
    for (schema, sure, written, read) in [
        ("chem", "14/03/2026", "05/03/2026", "2026-03-05"),
        ("assay", "03/14/2026", "05/03/2026", "2026-05-03"),
    ] {
        let lab = Lab::on(&lake, eager()).await;
        lab.land(
            &format!("{schema}/t/a.csv"),
            format!("day,od\n{sure},0.5\n{sure},0.6\n"),
        )
        .await;
        lab.sweep().await;
        // A file of one day, as an instrument writes it every evening.
        let many: String = (0..8).map(|at| format!("{written},0.{at}5\n")).collect();
        lab.land(&format!("{schema}/t/b.csv"), format!("day,od\n{many}")).await;
        // A server that starts now knows it from the lake.
        let other = lab.another().await;
        let report = other.sweep().await;
        let path = format!("{schema}/t/b.csv");
        assert_eq!(file(&report, &path).status, Loaded, "{}", reason(&report, &path));
        assert!(doubts(&report, &path).contains("'day'"), "{}", doubts(&report, &path));
        let days = format!("select distinct cast(day as varchar) from {schema}.t where _source_file = '{path}'");
        assert_eq!(other.ask(&days).await, [[read]]);
        // What its own values decide is read as they say.
        let other_way = if schema == "chem" { "03/25/2026" } else { "25/03/2026" };
        let path = format!("{schema}/t/c.csv");
        other.land(&path, format!("day,od\n{other_way},0.5\n")).await;
        other.sweep().await;
        let days = format!("select cast(day as varchar) from {schema}.t where _source_file = '{path}'");
        assert_eq!(other.ask(&days).await, [["2026-03-25"]]);
    }
    // The no: where no file decided it, it stays as it is written.
    let lab = Lab::on(&lake, eager()).await;
    lab.land("open/t/a.csv", "day,od\n05/03/2026,0.5\n06/03/2026,0.6\n")
        .await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select day from open.t order by day").await,
        [["05/03/2026"], ["06/03/2026"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_column_cannot_hold_is_kept_beside_it() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "Sample No,day,ok\n1,2026-03-01,yes\n2,2026-03-02,no\n")
        .await;
    lab.sweep().await;
    lab.land(
        "chem/t/b.csv",
        "Sample No,day,ok\n3,2026-03-03,yes\n4b,soon,maybe\n005,2026-03-05,no\n",
    )
    .await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/b.csv").status, Loaded, "{report:#?}");
    let said = doubts(&report, "chem/t/b.csv");
    for part in [
        "'sample_no': 2 of 3",
        "whole numbers",
        "'4b', '005'",
        "'day': 1 of 3",
        "'maybe'",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(file(&report, "chem/t/b.csv").confidence.unwrap() < 0.9);
    let rows = "select sample_no, day, ok, rescued from chem.t order by _source_file, _source_row";
    assert_eq!(
        lab.ask(rows).await,
        [
            ["1", "2026-03-01", "true", "null"],
            ["2", "2026-03-02", "false", "null"],
            ["3", "2026-03-03", "true", "null"],
            [
                "null",
                "null",
                "null",
                r#"{"Sample No":"4b","day":"soon","ok":"maybe"}"#
            ],
            ["null", "2026-03-05", "false", r#"{"Sample No":"005"}"#],
        ]
    );
    // What the ledger keeps says the same to another server.
    let report = lab.another().await.sweep().await;
    assert_eq!(doubts(&report, "chem/t/b.csv"), said);
    // Corrected, its rows take the place of the old ones, once.
    lab.land("chem/t/b.csv", "Sample No,day,ok\n3,2026-03-03,yes\n4,2026-03-04,no\n")
        .await;
    assert_eq!(file(&lab.sweep().await, "chem/t/b.csv").status, Replaced);
    assert_eq!(lab.number("select count(rescued) from chem.t").await, 0);
    assert_eq!(lab.number("select sum(sample_no) from chem.t").await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_of_which_nearly_nothing_fits_is_a_mistake_until_somebody_says_otherwise() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "k,v\na,1\nb,2\n").await;
    lab.sweep().await;
    lab.land("chem/t/b.csv", "k,v\nc,many\nd,few\ne,none left\nf,some\ng,all\nh,\n")
        .await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/b.csv").status, Quarantined);
    let why = reason(&report, "chem/t/b.csv");
    for part in [
        "'v'",
        "whole numbers in the table (from '1' to '2')",
        "5 of 5",
        "'many'",
        "_labhouse.toml",
        "v = \"text\"",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(lab.number("select count(*) from chem.t").await, 2);
    // What the reason says to do is done: all of the column is text, as it was written.
    lab.land("chem/t/_labhouse.toml", "[types]\nv = \"text\"\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/a.csv").status, Replaced, "{report:#?}");
    assert_eq!(file(&report, "chem/t/b.csv").status, Loaded, "{report:#?}");
    assert_eq!(
        lab.ask("select v from chem.t order by k").await,
        [
            ["1"],
            ["2"],
            ["many"],
            ["few"],
            ["none left"],
            ["some"],
            ["all"],
            ["null"]
        ]
    );
    assert_eq!(lab.sweep().await.count(Quarantined), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_are_read_in_the_order_of_their_file() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let days = |of: fn(u32) -> String, from: u32| {
        let rows = (from..from + 6).map(|day| format!("{},{day}\n", of(day)));
        format!("day,n\n{}", rows.collect::<String>())
    };
    lab.land("chem/t/dmy.csv", days(|day| format!("{day}/02/2026"), 13))
        .await;
    lab.sweep().await;
    lab.land("chem/t/mdy.csv", days(|day| format!("02/{day}/2026"), 20))
        .await;
    assert_eq!(file(&lab.sweep().await, "chem/t/mdy.csv").status, Loaded);
    let wrong = "select count(*) from chem.t where date_part('month', day) <> 2 or date_part('day', day) <> n";
    assert_eq!(lab.number(wrong).await, 0);
    // Nothing tells what these are: they are not guessed.
    lab.land("chem/t/x.csv", days(|day| format!("02/0{day}/2026"), 3)).await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/x.csv").status, Quarantined);
    let why = reason(&report, "chem/t/x.csv");
    assert!(
        why.contains("'day'") && why.contains("dates") && why.contains("02/03/2026"),
        "{why}"
    );
    assert!(why.contains("date_order"), "{why}");
    lab.land("chem/t/_labhouse.toml", "[read]\ndate_order = \"mdy\"\n")
        .await;
    lab.take_away("chem/t/dmy.csv").await;
    assert_eq!(file(&lab.sweep().await, "chem/t/x.csv").status, Loaded);
    assert_eq!(lab.number(wrong).await, 0);
    assert_eq!(lab.number("select count(day) from chem.t").await, 18);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_together_decides_together() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // Names of samples: text for all, whoever comes first by name.
    lab.land("chem/s/a.csv", "sample,v\n1,1\n2,2\n").await;
    lab.land("chem/s/b.csv", "sample,v\nS3,3\nS4,4.5\n").await;
    // So are they where the table has whole numbers, and what shows it comes last.
    lab.land("chem/n/a.csv", "sample,v\n0,1\n").await;
    lab.sweep().await;
    for (name, sample) in [("b", "0"), ("c", "007"), ("d", "12")] {
        lab.land(&format!("chem/n/{name}.csv"), format!("sample,v\n{sample},2\n"))
            .await;
    }
    let report = lab.sweep().await;
    assert_eq!(report.count(Loaded), 3, "{report:#?}");
    assert_eq!(
        lab.ask("select sample from chem.n order by _source_file").await,
        [["0"], ["0"], ["007"], ["12"]]
    );
    // One bad file among measured values takes nothing from the others.
    for n in 0..9 {
        lab.land(&format!("chem/m/{n}.csv"), format!("od,k\n0.{n}5,a\n1.{n}5,b\n"))
            .await;
    }
    lab.land("chem/m/a.csv", "od,k\nlow,a\nhigh,b\n").await;
    let report = lab.sweep().await;
    assert_eq!(report.count(Loaded), 10, "{report:#?}");
    assert_eq!(
        lab.ask("select sample, v from chem.s order by 1").await,
        [["1", "1.0"], ["2", "2.0"], ["S3", "3.0"], ["S4", "4.5"]]
    );
    assert_eq!(
        lab.ask("select count(od), count(*), arrow_typeof(max(od)) from chem.m")
            .await,
        [["18", "20", "Float64"]]
    );
    assert_eq!(
        lab.ask("select rescued from chem.m where od is null order by 1").await,
        [[r#"{"od":"high"}"#], [r#"{"od":"low"}"#]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_within_nested_ones_are_kept_with_their_place() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let experiment = |id: &str, temp: &str, amount: &str| {
        format!(
            r#"{{"id": "{id}", "setup": {{"temp": {temp}, "stirred": true}}, "reagents": [{{"name": "a", "mg": 1.5}}, {{"name": "b", "mg": {amount}}}]}}"#
        )
    };
    lab.land("chem/e/1.json", experiment("E1", "20.5", "2.5")).await;
    lab.sweep().await;
    lab.land("chem/e/2.json", experiment("E2", "\"rt\"", "\"some\"")).await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/e/2.json").status, Loaded, "{report:#?}");
    assert_eq!(
        lab.ask("select id, setup['temp'], setup['stirred'], reagents[1]['mg'], reagents[2]['mg'], rescued from chem.e order by 1").await,
        [
            ["E1", "20.5", "true", "1.5", "2.5", "null"],
            ["E2", "null", "true", "1.5", "null", r#"{"reagents[1].mg":"some","setup.temp":"rt"}"#],
        ]
    );
    assert!(doubts(&report, "chem/e/2.json").contains("'setup'"), "{report:#?}");
}

/// What a cell may be shown as, beside what it is.
fn shown(cell: &str) -> Vec<String> {
    let mut all = vec![cell.to_owned()];
    if let Ok(number) = cell.parse::<f64>() {
        all.push(format!("{number:?}"));
        all.push(number.to_string());
    }
    if let [day, month, year] = cell.split('/').collect::<Vec<_>>().as_slice() {
        all.push(format!("{year}-{month}-{day}"));
    }
    let days = all.clone();
    all.extend(days.iter().map(|day| format!("{day}T00:00:00")));
    all
}

fn cells() -> impl Strategy<Value = Vec<String>> {
    let any = |cell: BoxedStrategy<String>| vec(cell, 1..12).boxed();
    let ints = || (0u32..200).prop_map(|n| n.to_string()).boxed();
    let floats = || (0u32..4000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)).boxed();
    let words = || prop_oneof!["trace", "007", "S12", "9007199254740993", "1e3", "about 5"].boxed();
    prop_oneof![
        any(ints()),
        any(floats()),
        any(words()),
        any(prop_oneof![4 => floats(), 1 => words()].boxed()),
        any(prop_oneof![4 => ints(), 1 => words()].boxed()),
        any((13u32..29).prop_map(|day| format!("{day}/03/2026")).boxed()),
        any((1u32..29).prop_map(|day| format!("2026-03-{day:02}")).boxed()),
        any((1u32..29).prop_map(|day| format!("2026-03-{day:02}T10:30:00")).boxed()),
        any(prop_oneof!["true", "false"].boxed()),
    ]
}

#[test]
fn no_order_of_arrival_loses_a_value() {
    let files = (vec((cells(), cells()), 2..6), any::<u64>());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 40,
        ..Config::default()
    });
    let outcome = runner.run(&files, |(files, order)| {
        runtime.block_on(async {
            let (_folder, lake) = local_lake().await;
            let lab = Lab::on(&lake, eager()).await;
            let mut refused: BTreeMap<usize, String> = BTreeMap::new();
            // Some come together, some one after the other; names and times are in no relation.
            for (at, (left, right)) in files.iter().enumerate() {
                let rows = left.len().max(right.len());
                let text: String = (0..rows)
                    .map(|row| {
                        let cell = |of: &[String]| of.get(row).cloned().unwrap_or_default();
                        format!("r{row},{},{}\n", cell(left), cell(right))
                    })
                    .collect();
                let name = format!("chem/t/{}_{at}.csv", (order >> (at * 3)) % 7);
                lab.land(&name, format!("row,left,right\n{text}")).await;
                if (order >> at) & 1 == 0 {
                    note(&lab.sweep().await, &mut refused);
                }
            }
            note(&lab.sweep().await, &mut refused);
            let version = lab.catalog.snapshot().table("chem", "t").map(|table| table.version());
            lab.sweep().await;
            let after = lab.catalog.snapshot().table("chem", "t").map(|table| table.version());
            prop_assert_eq!(version, after, "nothing is done twice");
            let table = lab.catalog.snapshot().table("chem", "t").map(|table| table.schema());
            let rescued = table.is_some_and(|schema| schema.field_with_name("rescued").is_ok());
            let rescued = if rescued { "rescued" } else { "'null'" };
            let rows = lab
                .ask(&format!("select _source_file, row, left, right, {rescued} from chem.t"))
                .await;
            let mut loaded = 0;
            for (at, (left, right)) in files.iter().enumerate() {
                if let Some(why) = refused.get(&at) {
                    prop_assert!(why.contains("column '") && why.contains("do not fit"), "{}", why);
                    continue;
                }
                loaded += left.len().max(right.len());
                for (name, place, cells) in [("left", 2, left), ("right", 3, right)] {
                    for (row, cell) in cells.iter().enumerate() {
                        let found = rows
                            .iter()
                            .find(|one| one[0].ends_with(&format!("_{at}.csv")) && one[1] == format!("r{row}"))
                            .unwrap();
                        let beside: BTreeMap<String, String> = serde_json::from_str(&found[4]).unwrap_or_default();
                        let kept = shown(cell).contains(&found[place]);
                        let saved = beside.get(name) == Some(cell);
                        prop_assert!(kept != saved, "{} of file {}: {:?} in {:?}", name, at, cell, found);
                        prop_assert!(kept || found[place] == "null", "{:?}", found);
                    }
                }
            }
            prop_assert_eq!(rows.len(), loaded, "each row is there once");
            Ok(())
        })
    });
    outcome.unwrap();
}

fn note(report: &SweepReport, refused: &mut BTreeMap<usize, String>) {
    for one in report.files.iter().filter(|one| one.status == Quarantined) {
        let at = one.path.rsplit(['_', '.']).nth(1).and_then(|at| at.parse().ok());
        refused.insert(at.unwrap(), one.reason.clone().unwrap_or_default());
    }
}
