//! Tags go with the values, whatever a column is called where they go.

use super::{RUNS, with_runs};
use crate::lab::shows;

#[tokio::test]
async fn a_tag_follows_a_column_whose_name_goes_to_another() {
    let lab = with_runs("run,kind,yield\n1,x,10\n2,y,20\n").await;
    lab.land("chemistry/labels/a.csv", "label,kind\nx,first\ny,second\n");
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.labels", shows(2))
        .await;
    let query = format!(
        "SELECT r.run, r.kind AS sort, l.kind, upper(r.kind) || '!' AS loud FROM {RUNS} r JOIN lab.chemistry.labels l ON l.label = r.kind"
    );
    let view = |name: &str| format!("CREATE MATERIALIZED VIEW lab.chemistry.{name} REFRESH ON DEMAND AS {query}");
    lab.update("sam", &view("before")).await.unwrap();
    let open = |table: &'static str, column: &'static str| {
        let lab = &lab;
        async move {
            lab.query("dee", &format!("SELECT {column} FROM lab.chemistry.{table}"))
                .await
                .is_ok()
        }
    };
    assert!(open("before", "sort").await);
    lab.update(
        "ada",
        &format!("ALTER TABLE {RUNS} ALTER COLUMN kind SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    lab.update("sam", &view("after")).await.unwrap();
    lab.update("sam", &format!("CREATE TABLE lab.chemistry.copied AS {query}"))
        .await
        .unwrap();
    lab.update(
        "sam",
        "CREATE MATERIALIZED VIEW lab.chemistry.further REFRESH ON DEMAND AS SELECT sort AS label, kind AS sort, loud FROM lab.chemistry.after",
    )
    .await
    .unwrap();
    // One made before the tag was set is closed at once, not with its next refresh.
    for table in ["before", "after", "copied"] {
        for (column, is_open) in [("run", true), ("kind", true), ("sort", false), ("loud", false)] {
            assert_eq!(open(table, column).await, is_open, "{table}.{column}");
        }
    }
    for (column, is_open) in [("label", false), ("sort", true)] {
        assert_eq!(open("further", column).await, is_open, "further.{column}");
    }
    assert!(
        lab.query("sam", "SELECT sort, loud FROM lab.chemistry.after")
            .await
            .is_ok()
    );

    // Nor do rows that are put into another table lose it by a name.
    lab.update("sam", "CREATE TABLE lab.chemistry.plain (a VARCHAR, b VARCHAR)")
        .await
        .unwrap();
    let fill = |columns: &str| {
        format!(
            "INSERT INTO lab.chemistry.plain SELECT {columns} FROM {RUNS} r JOIN lab.chemistry.labels l ON l.label = r.kind"
        )
    };
    let refused = lab.update("sam", &fill("r.kind AS sort, l.kind")).await.unwrap_err();
    assert!(refused.contains("tagged pii=true"), "{refused}");
    // What nobody tagged goes where it likes.
    let plain = "INSERT INTO lab.chemistry.plain SELECT l.label, l.kind FROM lab.chemistry.labels l";
    assert_eq!(lab.update("sam", plain).await.unwrap(), 2);
}

/// What a function makes of a tagged column may be in any of its columns.
#[tokio::test]
async fn what_a_function_gives_is_as_closed_as_what_it_reads() {
    let lab = with_runs("run,kind,yield\n1,x,10\n2,y,20\n").await;
    lab.land(
        "chemistry/qc/a.csv",
        "run_at,value\n2026-01-01,50.25\n2026-01-02,51\n2026-01-03,50\n2026-01-04,52\n",
    );
    let scores = "anomaly_score('lab.chemistry.qc', 'run_at', 'value')";
    lab.until("ada", &format!("SELECT count(*) FROM {scores}"), shows(4))
        .await;
    lab.update(
        "ada",
        "ALTER TABLE lab.chemistry.qc ALTER COLUMN value SET TAGS (pii = true)",
    )
    .await
    .unwrap();
    lab.update(
        "sam",
        &format!(
            "CREATE TABLE lab.chemistry.scored AS SELECT s.value AS measured, r.run AS value FROM {scores} s, {RUNS} r"
        ),
    )
    .await
    .unwrap();
    for (column, is_open) in [("value", true), ("measured", false)] {
        let asked = lab
            .query("dee", &format!("SELECT {column} FROM lab.chemistry.scored"))
            .await;
        assert_eq!(asked.is_ok(), is_open, "{column}");
    }
}
