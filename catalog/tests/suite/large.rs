//! Files large enough to be read piece by piece: the same promises as for small ones.

use std::fmt::Write as _;
use std::sync::Arc;

use labhouse_catalog::FileStatus::{Loaded, Quarantined, Replaced, Unchanged};
use labhouse_catalog::{CrawlOptions, Lake};

use crate::support::{Lab, eager, file, reason};

/// Rows that make somewhat more than eight megabytes.
const ROWS: usize = 190_000;

/// A large table; `last` stands at its end.
fn readings(last: &str) -> String {
    let mut text = String::from("reading,measured_at,well,signal,remark\n");
    for row in 1..=ROWS {
        let remark = match row % 5 {
            0 => "\"warm, then cold\"",
            1 => "",
            _ => "as planned",
        };
        let (day, well) = (1 + row % 28, 1 + row % 12);
        writeln!(
            text,
            "{row},2026-03-{day:02} 09:30:00,A{well},{}.{},{remark}",
            row % 700,
            row % 10
        )
        .unwrap();
    }
    text.push_str(last);
    text
}

/// Data files of a table that no version names.
async fn litter(lab: &Lab, table: &str) -> usize {
    let listed = lab.lake.list(&format!("tables/{table}")).await.unwrap();
    let files = listed
        .iter()
        .filter(|meta| meta.location.as_ref().ends_with(".parquet"))
        .count();
    let (schema, name) = table.split_once('/').unwrap();
    let named = lab
        .catalog
        .snapshot()
        .table(schema, name)
        .map_or(0, |table| table.files());
    files - named
}

pub(crate) async fn large_tables_come_in_pieces(lake: &Arc<Lake>) {
    // Read whole, the file would be refused.
    let small = CrawlOptions {
        file_bytes_max: 1 << 20,
        ..eager()
    };
    let lab = Lab::on(lake, small.clone()).await;
    lab.land("chem/readings/a.csv", readings("")).await;
    let report = lab.expect(&[("chem/readings/a.csv", Loaded)]).await;
    let outcome = file(&report, "chem/readings/a.csv");
    assert_eq!(outcome.rows, ROWS as u64);
    assert_eq!(
        outcome.taken_for,
        format!("CSV, ASCII, header in line 1, 5 columns, {ROWS} rows")
    );
    let seen = lab
        .ask(
            "select count(*), count(distinct _source_row), min(_source_row), max(_source_row), sum(reading), \
             sum(case when reading = _source_row then 1 else 0 end), count(remark), min(measured_at), max(signal) \
             from chem.readings",
        )
        .await;
    let (rows, sum) = (ROWS.to_string(), (ROWS * (ROWS + 1) / 2).to_string());
    let remarks = (ROWS - ROWS / 5).to_string();
    assert_eq!(
        seen,
        [[
            &rows,
            &rows,
            "1",
            &rows,
            &sum,
            &rows,
            &remarks,
            "2026-03-01T09:30:00",
            "699.9"
        ]]
    );
    let quoted = "select distinct remark from chem.readings where reading % 5 = 0";
    assert_eq!(lab.ask(quoted).await, [["warm, then cold"]]);
    assert_eq!(litter(&lab, "chem/readings").await, 0);
    lab.expect(&[("chem/readings/a.csv", Unchanged)]).await;
    lab.another().await.expect(&[("chem/readings/a.csv", Unchanged)]).await;

    // A column that its start takes for whole numbers holds a fraction at the very end, and the table takes that, too.
    let last = "190001,2026-03-01 09:30:00,A1,1.5,\n190002.5,2026-03-01 09:30:00,A1,,\n";
    lab.land("chem/readings/a.csv", readings(last)).await;
    lab.expect(&[("chem/readings/a.csv", Replaced)]).await;
    let seen = lab
        .ask("select count(*), max(reading), arrow_typeof(max(reading)) from chem.readings")
        .await;
    assert_eq!(seen, [["190002", "190002.5", "Float64"]]);
    assert_eq!(lab.number("select max(_source_row) from chem.readings").await, 190_002);
    let fresh = "select count(*) from chem.readings where signal is null";
    assert_eq!(lab.number(fresh).await, 1);

    // Its end shows that it is no table: nothing of it comes in, and what was written of it is taken away.
    let before = lab.version("chem", "readings");
    let known = litter(&lab, "chem/readings").await;
    lab.land(
        "chem/readings/b.csv",
        readings("190001,2026-03-01 09:30:00,A1,1.5,x,more,and more\n"),
    )
    .await;
    let report = lab
        .expect(&[("chem/readings/a.csv", Unchanged), ("chem/readings/b.csv", Quarantined)])
        .await;
    assert!(
        reason(&report, "chem/readings/b.csv").contains("plain table"),
        "{report:?}"
    );
    assert_eq!(lab.version("chem", "readings"), before);
    assert_eq!(litter(&lab, "chem/readings").await, known);
    // Where it may be read whole, the reason is the general reader's.
    let roomy = Lab::on(lake, eager()).await;
    roomy
        .land(
            "chem/readings/b.csv",
            readings("190001,2026-03-01 09:30:00,A1,1.5,x,more\n"),
        )
        .await;
    let report = roomy.sweep().await;
    assert!(
        reason(&report, "chem/readings/b.csv").contains("has 6 cells"),
        "{report:?}"
    );
}

pub(crate) async fn a_large_file_that_its_table_cannot_take(lake: &Arc<Lake>) {
    let lab = Lab::on(lake, eager()).await;
    lab.land("chem/readings/a.csv", "reading,well,signal\n1,A1,high\n2,A2,low\n")
        .await;
    lab.expect(&[("chem/readings/a.csv", Loaded)]).await;
    lab.land("chem/readings/b.csv", readings("")).await;
    lab.expect(&[("chem/readings/a.csv", Unchanged), ("chem/readings/b.csv", Loaded)])
        .await;
    // It is read again, as text where the table has text.
    let seen = "select count(*), count(signal), arrow_typeof(max(signal)) from chem.readings";
    assert_eq!(lab.ask(seen).await, [["190002", "190002", "Utf8View"]]);
    assert_eq!(litter(&lab, "chem/readings").await, 0);
    // Where it is too large for that, the reason says why.
    lab.take_away("chem/readings/b.csv").await;
    let tight = CrawlOptions {
        file_bytes_max: 1 << 20,
        ..eager()
    };
    let tight = Lab::on(lake, tight).await;
    tight.land("chem/readings/c.csv", readings("")).await;
    let report = tight.sweep().await;
    let reason = reason(&report, "chem/readings/c.csv");
    assert!(
        reason.contains("not all of its columns are what they are in its table") && reason.contains("file_bytes_max"),
        "{reason}"
    );
    assert_eq!(litter(&lab, "chem/readings").await, 0);
}
