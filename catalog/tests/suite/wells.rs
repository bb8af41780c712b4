//! Wells of lists and of plates are called alike, so that they can be joined.

use std::fmt::Write as _;

use labhouse_catalog::FileStatus::Loaded;

use crate::support::{Lab, eager, file, local_lake};

fn list(head: &str, well: impl Fn(char, usize) -> String) -> String {
    let mut text = format!("{head}\n");
    for row in 'A'..='H' {
        for column in 1..=12 {
            writeln!(text, "{},S{row}{column}", well(row, column)).unwrap();
        }
    }
    text
}

fn long(row: char, column: usize) -> String {
    format!("{row}{column:02}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wells_of_lists_and_plates_join() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let numbers: Vec<String> = (1..=12).map(|column| column.to_string()).collect();
    let mut plate = format!(",{}\n", numbers.join(","));
    for row in 'A'..='H' {
        let values: Vec<String> = (1..=12).map(|column| format!("{column}.5")).collect();
        writeln!(plate, "{row},{}", values.join(",")).unwrap();
    }
    lab.land("chem/reads/p1.csv", plate).await;
    lab.land("chem/layout/p1.csv", list("Well,Compound", long)).await;
    assert_eq!(lab.sweep().await.count(Loaded), 2);
    let joined = "select count(*) from chem.reads r join chem.layout l on l.well = r.well";
    assert_eq!(lab.number(joined).await, 96);
    assert_eq!(
        lab.number("select count(*) from chem.layout where well = 'B7' and compound = 'SB7'")
            .await,
        1
    );
    // A file that writes them short is of the same table.
    lab.land(
        "chem/layout/p2.csv",
        list("Well,Compound", |row, column| format!("{row}{column}")),
    )
    .await;
    lab.sweep().await;
    assert_eq!(
        lab.number("select count(*) from chem.layout where well = 'B7'").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wells_stay_as_written_where_they_may_be_others_or_somebody_says_so() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // Written in two ways: nobody knows whether they are one.
    let mixed = |row: char, column: usize| {
        if row == 'A' {
            format!("{row}{column}")
        } else {
            long(row, column)
        }
    };
    lab.land("chem/mixed/a.csv", list("Well,Compound", mixed)).await;
    lab.sweep().await;
    assert_eq!(
        lab.number("select count(*) from chem.mixed where well = 'B07'").await,
        1
    );
    // What comes to such a table stays so, too.
    lab.land("chem/mixed/b.csv", list("Well,Compound", long)).await;
    assert_eq!(file(&lab.sweep().await, "chem/mixed/b.csv").status, Loaded);
    assert_eq!(
        lab.number("select count(*) from chem.mixed where well = 'B07'").await,
        2
    );
    lab.land("chem/said/_labhouse.toml", "[types]\nwell = \"text\"\n").await;
    lab.land("chem/said/a.csv", list("Well,Compound", long)).await;
    // Samples of the last letters are on no plate.
    lab.land(
        "chem/samples/a.csv",
        list("Sample,Compound", |row, column| {
            format!("{}{column:02}", if row < 'E' { 'S' } else { 'T' })
        }),
    )
    .await;
    lab.sweep().await;
    assert_eq!(lab.number("select count(*) from chem.said where well = 'A01'").await, 1);
    assert_eq!(
        lab.number("select count(*) from chem.samples where sample = 'S01'")
            .await,
        4
    );
}
