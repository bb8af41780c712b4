//! Rows that are not as expected are not shown, nor what is made of them.

use super::{RUNS, with_runs};
use crate::lab::shows;

#[tokio::test]
async fn a_batch_that_is_not_as_expected_is_stopped_and_the_rows_before_it_stay() {
    let lab = with_runs("run,kind,yield\n1,x,10\n2,y,20\n").await;
    let expected = "EXPECT (NOT NULL kind, yield BETWEEN 0 AND 100)";
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.good {expected} AS SELECT run, kind, yield FROM {RUNS}"),
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        &format!("CREATE MATERIALIZED VIEW lab.chemistry.single EXPECT (UNIQUE (run)) AS SELECT run FROM {RUNS}"),
    )
    .await
    .unwrap();
    lab.update(
        "ada",
        "CREATE MATERIALIZED VIEW lab.chemistry.after AS SELECT count(*) AS n FROM lab.chemistry.good",
    )
    .await
    .unwrap();
    // One that is not fulfilled from the start is not made at all.
    let refused = lab
        .update(
            "ada",
            &format!(
                "CREATE MATERIALIZED VIEW lab.chemistry.bad EXPECT (yield BETWEEN 0 AND 15) AS SELECT yield FROM {RUNS}"
            ),
        )
        .await
        .unwrap_err();
    assert!(
        refused.contains("1 of 2 rows do not fulfil yield BETWEEN 0 AND 15"),
        "{refused}"
    );
    let refused = lab
        .update(
            "ada",
            &format!("CREATE MATERIALIZED VIEW lab.chemistry.bad EXPECT (NOT NULL day) AS SELECT yield FROM {RUNS}"),
        )
        .await
        .unwrap_err();
    assert!(
        refused.contains("day, which the view has not; it has yield"),
        "{refused}"
    );
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.bad").await.is_err());

    // A batch that is too large a yield and a run twice: neither is shown, nor what is made of them.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n2,x,900\n");
    let failed = "SELECT count(*) FROM system.pipelines WHERE state = 'failed' AND (reason LIKE '%1 of % rows do not fulfil yield BETWEEN 0 AND 100%' OR reason LIKE '%1 of 3 rows do not fulfil UNIQUE (run)%')";
    lab.until("ada", failed, shows(2)).await;
    for (view, rows) in [("good", 2), ("single", 2)] {
        assert_eq!(
            lab.number("ada", &format!("SELECT count(*) FROM lab.chemistry.{view}"))
                .await,
            rows,
            "{view}"
        );
    }
    assert_eq!(lab.number("ada", "SELECT n FROM lab.chemistry.after").await, 2);

    // The instrument sends the file again, mended.
    lab.land("chemistry/runs/b.csv", "run,kind,yield\n3,x,90\n");
    lab.until("ada", "SELECT n FROM lab.chemistry.after", shows(3)).await;
    lab.until("ada", "SELECT count(*) FROM lab.chemistry.single", shows(3))
        .await;
    lab.until(
        "ada",
        "SELECT count(*) FROM system.pipelines WHERE state = 'fresh'",
        shows(3),
    )
    .await;
}
