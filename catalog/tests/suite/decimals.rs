//! Commas, points and codes in files that do not tell what they are, in tables whose other files do.

use labhouse_catalog::FileStatus::{Loaded, Quarantined};

use crate::support::{Lab, eager, file, local_lake};

fn rows(of: impl Fn(usize) -> String) -> String {
    let rows = (1..=6).map(|at| format!("s{at};{}\n", of(at)));
    format!("sample;od\n{}", rows.collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_decimal_commas_decides_what_later_commas_are() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", rows(|at| format!("0,{at}5"))).await;
    lab.sweep().await;
    lab.land("chem/t/b.csv", rows(|at| format!("{at},125"))).await;
    let report = lab.another().await.sweep().await;
    let told = file(&report, "chem/t/b.csv");
    assert_eq!(told.status, Loaded, "{report:#?}");
    assert!(
        told.doubts.as_ref().unwrap().contains("decimal ones, as earlier files"),
        "{told:?}"
    );
    lab.sweep().await;
    assert_eq!(
        lab.ask("select max(od), min(od) from chem.t").await,
        [["6.125", "0.15"]]
    );
    // Points that may part thousands are not guessed there, and it is said what to pin.
    lab.land("chem/t/c.csv", rows(|at| format!("{at}.125"))).await;
    let report = lab.sweep().await;
    let told = file(&report, "chem/t/c.csv");
    assert_eq!(told.status, Quarantined, "{report:#?}");
    assert!(told.reason.as_ref().unwrap().contains("[read] decimal"), "{told:?}");
    // A file whose points are sure is read as it is, and from then on nothing is known of others.
    lab.land("chem/t/d.csv", rows(|at| format!("{at}.5"))).await;
    assert_eq!(file(&lab.sweep().await, "chem/t/d.csv").status, Loaded);
    assert_eq!(lab.number("select count(*) from chem.t where od = 6.5").await, 1);
    lab.land("chem/t/e.csv", rows(|at| format!("{at},375"))).await;
    assert_eq!(file(&lab.sweep().await, "chem/t/e.csv").status, Quarantined);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_decimal_points_reads_no_comma_as_one() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", rows(|at| format!("0.{at}5"))).await;
    lab.sweep().await;
    lab.land("chem/t/b.csv", rows(|at| format!("{at},125"))).await;
    // Thousandths are not all thousands: here points are the table's way.
    lab.land("chem/t/c.csv", rows(|at| format!("{at}.125"))).await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/b.csv").status, Quarantined, "{report:#?}");
    assert_eq!(file(&report, "chem/t/c.csv").status, Loaded);
    assert_eq!(lab.ask("select max(od), count(*) from chem.t").await, [["6.125", "12"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_numbers_are_names_once_codes_come_to_them() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", "code,v\n1,0.5\n2,0.6\n12,0.7\n").await;
    lab.sweep().await;
    lab.land("chem/t/b.csv", "code,v\n001,1.5\n7,1.25\n").await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/t/b.csv").status, Loaded, "{report:#?}");
    lab.land("chem/t/c.csv", "code,v\nX1,2.5\n").await;
    lab.land("chem/t/d.csv", "code,v\n8,3.5\n").await;
    assert_eq!(lab.another().await.sweep().await.count(Loaded), 2);
    lab.sweep().await;
    let codes = lab
        .ask("select code from chem.t order by _source_file, _source_row")
        .await;
    assert_eq!(codes, [["1"], ["2"], ["12"], ["001"], ["7"], ["X1"], ["8"]]);
    // One slip of the hand among numbers names nothing, either.
    lab.land("chem/s/a.csv", "n,v\n1,0.5\n2,0.6\n").await;
    lab.sweep().await;
    let counts: String = (1..=30).map(|n| format!("{n},0.5\n")).collect();
    lab.land("chem/s/b.csv", format!("n,v\nO5,0.5\n{counts}")).await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select distinct arrow_typeof(n) from chem.s").await,
        [["Int64"]]
    );
    // Words that could not be given as numbers name nothing, nor do numbers with units.
    lab.land("chem/u/a.csv", "n,v\n1,0.5\n2,0.6\n").await;
    lab.sweep().await;
    lab.land("chem/u/b.csv", "n,v\n5mg,1.5\n6mg,1.5\n7mg,1\n8mg,1\n9mg,1\n")
        .await;
    let report = lab.sweep().await;
    assert_eq!(file(&report, "chem/u/b.csv").status, Quarantined, "{report:#?}");
    assert!(
        file(&report, "chem/u/b.csv")
            .reason
            .as_ref()
            .unwrap()
            .contains("n = \"text\"")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_files_that_come_together_are_decided_together() {
    let days = |days: &[&str]| {
        let rows: String = days.iter().map(|day| format!("s,{day}\n")).collect();
        format!("sample,day\n{rows}")
    };
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/a.csv", days(&["02/03/2026", "04/03/2026"])).await;
    lab.land("chem/t/b.csv", days(&["13/03/2026", "05/03/2026"])).await;
    // The no: two files that prove different orders leave the third open, and so does one that is no date.
    lab.land("chem/u/a.csv", days(&["02/03/2026", "04/03/2026"])).await;
    lab.land("chem/u/b.csv", days(&["13/03/2026", "05/03/2026"])).await;
    lab.land("chem/u/c.csv", days(&["03/13/2026", "05/03/2026"])).await;
    lab.land("chem/v/a.csv", days(&["02/03/2026", "soon"])).await;
    lab.land("chem/v/b.csv", days(&["13/03/2026", "05/03/2026"])).await;
    lab.sweep().await;
    lab.sweep().await;
    let types = "select distinct arrow_typeof(day) from chem.";
    assert_eq!(lab.ask(&format!("{types}t")).await, [["Date32"]]);
    assert_eq!(
        lab.ask("select min(day), max(day) from chem.t").await,
        [["2026-03-02", "2026-03-13"]]
    );
    assert_eq!(lab.ask(&format!("{types}u")).await, [["Utf8View"]]);
    assert_eq!(lab.ask(&format!("{types}v")).await, [["Utf8View"]]);
}
