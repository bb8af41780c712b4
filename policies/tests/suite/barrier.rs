//! The governed table in plans: what it shows, what it lets in, how it ends.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{TableProviderFilterPushDown, cast, col, lit};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use labhouse_policies::{govern, learn};

use crate::fixture::{
    ABSENT_NUMBER, FILTERS, FORBIDDEN_NUMBER, KEPT, Kept, Lab, POLICY, ROWS, User, batch, is_hidden, load,
};

async fn user(kept: Kept, who: &str) -> (Lab, User) {
    let lab = Lab::new(kept, &batch(0)).await;
    let user = User::new();
    let governed = lab.governed(&load(POLICY, FILTERS).unwrap(), who);
    user.context.register_table("t", governed).unwrap();
    (lab, user)
}

fn allowed() -> i64 {
    (0..ROWS).filter(|i| !is_hidden(*i)).count() as i64
}

#[tokio::test]
async fn rows_columns_and_masks_are_as_the_policy_says() {
    for kept in KEPT {
        let (_lab, ana) = user(kept, "ana").await;
        assert_eq!(ana.number("SELECT count(*) FROM t").await, allowed());
        assert_eq!(
            ana.number("SELECT count(*) FROM t WHERE NOT (dept = 'chem') OR dept IS NULL")
                .await,
            0
        );
        assert_eq!(ana.number("SELECT max(n) FROM t").await, 1_996);
        assert_eq!(
            ana.number("SELECT count(*) FROM t WHERE length(m) = 64").await,
            ana.number("SELECT count(m) FROM t").await
        );
        assert!(
            ana.run("SELECT h FROM t")
                .await
                .unwrap_err()
                .contains("No field named h")
        );
        let batches = ana.run("SELECT * FROM t").await.unwrap();
        let names: Vec<String> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["id", "dept", "n", "tx", "m", "f", "flag", "d"]);

        let (_lab, ada) = user(kept, "ada").await;
        assert_eq!(ada.number("SELECT count(*) FROM t").await, ROWS as i64);
        assert_eq!(
            ada.number("SELECT count(*) FROM t WHERE m LIKE 'raw-%'").await,
            ada.number("SELECT count(m) FROM t").await
        );
        assert_eq!(
            ada.number(&format!(
                "SELECT count(*) FROM t WHERE n = {FORBIDDEN_NUMBER} AND h IS NOT NULL"
            ))
            .await,
            1
        );
    }
}

#[tokio::test]
async fn limits_count_allowed_rows() {
    for kept in KEPT {
        let (_lab, ana) = user(kept, "ana").await;
        for (limit, wanted) in [(0, 0), (1, 1), (250, 250), (699, 699), (5_000, allowed())] {
            let rows = ana.run(&format!("SELECT id, m FROM t LIMIT {limit}")).await.unwrap();
            assert_eq!(
                rows.iter().map(RecordBatch::num_rows).sum::<usize>() as i64,
                wanted,
                "{kept:?} {limit}"
            );
            let rows = ana
                .run(&format!("SELECT id FROM t WHERE n > 0 LIMIT {limit}"))
                .await
                .unwrap();
            assert_eq!(
                rows.iter().map(RecordBatch::num_rows).sum::<usize>() as i64,
                wanted.min(ana.number("SELECT count(n) FROM t").await)
            );
        }
        assert_eq!(
            ana.number("SELECT count(*) FROM (SELECT id FROM t LIMIT 10 OFFSET 695)")
                .await,
            5
        );
    }
}

#[tokio::test]
async fn only_leak_proof_conditions_go_below() {
    let lab = Lab::new(Kept::Parquet, &batch(0)).await;
    let governed = lab.governed(&load(POLICY, FILTERS).unwrap(), "ana");
    let answer = |expr| governed.supports_filters_pushdown(&[&expr]).unwrap().remove(0);
    use TableProviderFilterPushDown::{Exact, Unsupported};
    assert_eq!(answer(col("n").eq(lit(5i64))), Exact);
    assert_eq!(answer(col("d").is_not_null()), Exact);
    assert_eq!(answer(col("m").eq(lit("x"))), Unsupported, "masked");
    assert_eq!(answer(col("h").eq(lit("x"))), Unsupported, "hidden");
    assert_eq!(
        answer(cast(col("tx"), arrow::datatypes::DataType::Int64).eq(lit(1i64))),
        Unsupported
    );
    // A planner that pushes anyway is refused.
    let state = SessionContext::new().state();
    let pushed = governed.scan(&state, None, &[col("m").eq(lit("x"))], None).await;
    assert!(pushed.unwrap_err().to_string().contains("may not be evaluated inside"));
}

#[tokio::test]
async fn the_plan_is_a_leaf_that_says_nothing() {
    for kept in KEPT {
        let lab = Lab::new(kept, &batch(0)).await;
        let set = load(POLICY, FILTERS).unwrap();
        let governed = lab.governed(&set, "ana");
        assert!(
            governed.statistics().is_none()
                && governed.get_logical_plan().is_none()
                && governed.get_table_definition().is_none()
        );
        let state = SessionContext::new().state();
        for filter in [
            None,
            Some(col("n").eq(lit(FORBIDDEN_NUMBER))),
            Some(col("n").eq(lit(ABSENT_NUMBER))),
        ] {
            let filters: Vec<_> = filter.into_iter().collect();
            for limit in [None, Some(3)] {
                let plan = governed.scan(&state, Some(&vec![2, 4]), &filters, limit).await.unwrap();
                assert!(plan.children().is_empty() && plan.metrics().is_none() && plan.output_ordering().is_none());
                assert_eq!(plan.output_partitioning().partition_count(), 2, "always the same");
                let text = displayable(plan.as_ref())
                    .set_show_statistics(true)
                    .indent(true)
                    .to_string();
                assert!(
                    text.starts_with("GovernedScan: table=lab.chemistry.t, columns=[n, m], statistics=[Rows="),
                    "{text}"
                );
                assert!(
                    !text.contains("Min")
                        && !text.contains("Exact(")
                        && !text.contains("1000")
                        && !text.contains("parquet"),
                    "{text}"
                );
                assert!(
                    format!("{plan:?} {governed:?}").len() < 200,
                    "debug output shows nothing below either"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_plan_can_run_again_after_its_state_is_reset() {
    let (_lab, ana) = user(Kept::Memory, "ana").await;
    let plan = ana
        .context
        .sql("SELECT id FROM t LIMIT 400")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    for _ in 0..3 {
        let rows = datafusion::physical_plan::collect(Arc::clone(&plan), ana.context.task_ctx())
            .await
            .unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 400);
    }
    let again = Arc::clone(&plan).reset_state().unwrap();
    assert_eq!(
        datafusion::physical_plan::collect(again, ana.context.task_ctx())
            .await
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        400
    );
    let recursive = "WITH RECURSIVE r AS (SELECT 0 AS i UNION ALL SELECT r.i + 1 FROM r JOIN t ON t.id = r.i WHERE r.i < 5) SELECT count(*) FROM r";
    assert_eq!(ana.number(recursive).await, 6);
}

#[tokio::test]
async fn batches_are_of_even_size() {
    for kept in KEPT {
        let lab = Lab::new(kept, &batch(0)).await;
        let governed = lab.governed(&load(POLICY, FILTERS).unwrap(), "ana");
        let context = SessionContext::new();
        let plan = governed.scan(&context.state(), None, &[], None).await.unwrap();
        let mut total = 0;
        for partition in 0..plan.output_partitioning().partition_count() {
            let batches: Vec<_> = plan.execute(partition, context.task_ctx()).unwrap().collect().await;
            let sizes: Vec<usize> = batches.into_iter().map(|b| b.unwrap().num_rows()).collect();
            if let Some((_, full)) = sizes.split_last() {
                assert!(full.iter().all(|n| *n == 256), "{kept:?} {sizes:?}");
            }
            total += sizes.iter().sum::<usize>();
        }
        assert_eq!(total as i64, allowed());
        assert!(plan.execute(2, context.task_ctx()).is_err());
    }
}

#[tokio::test]
async fn writing_through_the_barrier_is_refused() {
    let (_lab, ana) = user(Kept::Memory, "ana").await;
    for sql in [
        "INSERT INTO t SELECT * FROM t",
        "DELETE FROM t WHERE n = 5",
        "UPDATE t SET n = 5",
    ] {
        let error = ana.run(sql).await.unwrap_err();
        assert!(error.contains("does not go through a governed scan"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_table_that_changed_is_refused() {
    let lab = Lab::new(Kept::Memory, &batch(0)).await;
    let access = lab.access(&load(POLICY, FILTERS).unwrap(), "ana");
    // Columns in another order: the indices of the access would show the hidden one.
    let rows = batch(0).project(&[5, 0, 1, 2, 3, 4, 6, 7, 8]).unwrap();
    let other = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap());
    assert!(
        govern(other, &access, Arc::clone(&lab.system))
            .unwrap_err()
            .to_string()
            .contains("run it again")
    );
    assert!(govern(Arc::clone(&lab.raw), &access, Arc::clone(&lab.system)).is_ok());
}

#[tokio::test]
async fn errors_from_below_are_one_text_with_an_incident() {
    let lab = Lab::new(Kept::Parquet, &batch(0)).await;
    let governed = lab.governed(&load(POLICY, FILTERS).unwrap(), "ana");
    let ana = User::new();
    ana.context.register_table("t", governed).unwrap();
    assert_eq!(ana.number("SELECT count(*) FROM t").await, allowed());
    // The file goes away under the plan.
    let plan = ana
        .context
        .sql("SELECT tx FROM t")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    drop(lab);
    let error = datafusion::physical_plan::collect(plan, ana.context.task_ctx())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("the table could not be read (incident "), "{error}");
    for told in ["parquet", "dept=", "/tmp", "No such file"] {
        assert!(!error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn dropping_the_stream_drops_what_is_below() {
    let lab = Lab::new(Kept::Memory, &batch(0)).await;
    let governed = lab.governed(&load(POLICY, FILTERS).unwrap(), "ana");
    let context = SessionContext::new();
    let plan = governed.scan(&context.state(), None, &[], None).await.unwrap();
    let before = Arc::strong_count(&lab.raw);
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    stream.next().await;
    drop(stream);
    drop((plan, governed));
    assert!(Arc::strong_count(&lab.raw) < before || before == 1);
}

#[tokio::test]
async fn the_clock_of_a_filter_is_that_of_the_scan() {
    // The session below lives for long; its own clock stands at its start.
    let filters = "[filter.own_rows]\ntable = \"lab/chemistry/t\"\nsql = \"at <= now()\"\n[mask.hash_m]\ncolumn = \"lab/chemistry/t/m\"\nkind = \"null\"\n";
    let set = load(POLICY, filters).unwrap();
    let context = SessionContext::new();
    let system = Arc::new(context.state());
    let soon = chrono::Utc::now() + chrono::Duration::milliseconds(300);
    let at = arrow::array::TimestampMicrosecondArray::from(vec![
        soon.timestamp_micros(),
        soon.timestamp_micros() + 3_600_000_000,
    ])
    .with_timezone("+00:00");
    let rows =
        RecordBatch::try_from_iter_with_nullable([("at", Arc::new(at) as arrow::array::ArrayRef, true)]).unwrap();
    let raw = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap());
    let access = match set.table(
        &labhouse_policies::Principal::new("ana"),
        &crate::fixture::object(&rows.schema()),
        &system,
        labhouse_policies::Action::Select,
    ) {
        labhouse_policies::TableAccess::Open(access) => access,
        hidden => panic!("{hidden:?}"),
    };
    let governed = govern(raw, &access, system).unwrap();
    let count = || async {
        context
            .read_table(Arc::clone(&governed))
            .unwrap()
            .count()
            .await
            .unwrap()
    };
    let mut seen = count().await;
    while seen == 0 {
        tokio::task::yield_now().await;
        seen = count().await;
    }
    assert_eq!(
        seen, 1,
        "the embargo of the first row ended, that of the second did not"
    );
}

#[tokio::test]
async fn counts_without_columns_are_right() {
    for who in ["ana", "ada"] {
        let (_lab, user) = user(Kept::ParquetPushdown, who).await;
        let all = user.number("SELECT count(*) FROM t").await;
        let ids = user.run("SELECT id FROM t").await.unwrap();
        let mut seen: Vec<i64> = ids
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(
            (all, seen.len() as i64),
            (user.number("SELECT sum(1) FROM t").await, all)
        );
        assert_eq!(
            user.number("SELECT count(*) FROM t WHERE n BETWEEN 1100 AND 1199")
                .await,
            user.number("SELECT sum(CASE WHEN n >= 1100 AND n <= 1199 THEN 1 ELSE 0 END) FROM t")
                .await
        );
    }
}

#[tokio::test]
async fn the_planner_may_expect_only_what_its_principal_could_count() {
    let rows_told = |text: &str| {
        text.split("Rows=")
            .nth(1)
            .map(|t| t.split(',').next().unwrap().to_owned())
            .unwrap()
    };
    // A filter of its own, so that no other test has scanned the same access before.
    let filters = FILTERS.replace("dept = 'chem'", "dept = 'chem' AND id >= 0");
    let lab = Lab::new(Kept::Parquet, &batch(0)).await;
    let set = load(POLICY, &filters).unwrap();
    let (ana, ada) = (lab.governed(&set, "ana"), lab.governed(&set, "ada"));
    let context = SessionContext::new();
    let told = async |table: &Arc<dyn datafusion::catalog::TableProvider>, filters: &[datafusion::prelude::Expr]| {
        let plan = table
            .scan(&context.state(), Some(&vec![0]), filters, None)
            .await
            .unwrap();
        let text = displayable(plan.as_ref())
            .set_show_statistics(true)
            .indent(true)
            .to_string();
        (rows_told(&text), plan)
    };
    assert_eq!(told(&ada, &[]).await.0, "Inexact(1000)", "every row is shown");
    let (rows, plan) = told(&ana, &[]).await;
    assert_eq!(rows, "Absent");
    // What stops early may have been through or not: that would tell how much is hidden.
    let whole = Arc::new(CoalescePartitionsExec::new(told(&ana, &[]).await.1));
    let few = Arc::new(GlobalLimitExec::new(whole, 0, Some(5_000)));
    for (plan, wanted) in [(few as Arc<dyn ExecutionPlan>, "Absent"), (plan, "Inexact(700)")] {
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        assert_eq!(told(&ana, &[]).await.0, "Absent", "it did not come to its good end yet");
        learn(&plan);
        assert_eq!(told(&ana, &[]).await.0, wanted);
    }
    assert_eq!(told(&ana, &[]).await.0, "Inexact(700)", "what left an earlier scan");
    let few = told(&ana, &[col("n").eq(lit(FORBIDDEN_NUMBER))]).await.0;
    assert_eq!(
        (few.as_str(), few.clone()),
        ("Inexact(140)", told(&ana, &[col("n").eq(lit(ABSENT_NUMBER))]).await.0)
    );
    // What was asked is not told, whether a hidden value or one that is not there.
    for number in [FORBIDDEN_NUMBER, ABSENT_NUMBER] {
        let (_, plan) = told(&ana, &[col("n").eq(lit(number))]).await;
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        learn(&plan);
        assert_eq!(told(&ana, &[col("n").eq(lit(number))]).await.0, "Inexact(140)");
    }
    assert_eq!(told(&ana, &[]).await.0, "Inexact(700)");
}

#[tokio::test]
async fn where_no_scan_was_whole_the_planner_expects_more_than_met_conditions() {
    let filters = FILTERS.replace("dept = 'chem'", "dept = 'chem' AND id >= -1");
    let lab = Lab::new(Kept::Parquet, &batch(0)).await;
    let set = load(POLICY, &filters).unwrap();
    let ana = lab.governed(&set, "ana");
    let context = SessionContext::new();
    let plan = async |conditions: &[datafusion::prelude::Expr]| {
        ana.scan(&context.state(), Some(&vec![0]), conditions, None)
            .await
            .unwrap()
    };
    let expected = async |conditions: &[datafusion::prelude::Expr]| {
        let arguments = StatisticsArgs::new();
        let statistics = StatisticsContext::new().compute(plan(conditions).await.as_ref(), &arguments);
        statistics.unwrap().num_rows.get_value().copied()
    };
    let (few, other) = (col("id").lt(lit(100_i64)), col("id").gt_eq(lit(900_i64)));
    let both = [few.clone(), col("n").gt(lit(0_i64))];
    assert_eq!(expected(&both).await, None);
    let scan = plan(&both).await;
    let rows: usize = collect(Arc::clone(&scan), context.task_ctx())
        .await
        .unwrap()
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert!((1..100).contains(&rows), "{rows}");
    learn(&scan);
    for conditions in [&both[..], &[few], &[other]] {
        assert_eq!(expected(conditions).await, Some(rows), "the most that is known");
    }
    assert_eq!(expected(&[]).await, Some(rows * 5), "all are more than some");
    let scan = plan(&[]).await;
    collect(Arc::clone(&scan), context.task_ctx()).await.unwrap();
    learn(&scan);
    assert_eq!(expected(&[]).await, Some(700));
    assert_eq!(expected(&both).await, Some(140));
}

#[tokio::test]
async fn a_limit_above_a_sort_leaves_nothing_unread_and_others_may() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    // An access of its own for each, so that none has been scanned before.
    for (number, (statement, counted)) in [
        ("SELECT id FROM t ORDER BY m, id LIMIT 3", true),
        ("SELECT id + 1 FROM t ORDER BY m LIMIT 3 OFFSET 2", true),
        (
            "SELECT id FROM (SELECT id FROM t ORDER BY m LIMIT 5) ORDER BY id LIMIT 2",
            true,
        ),
        ("SELECT id FROM t ORDER BY m LIMIT 0", false),
        ("SELECT id FROM t LIMIT 3", false),
        (
            "SELECT n, count(*) OVER (PARTITION BY n ORDER BY m) FROM t ORDER BY n LIMIT 3",
            false,
        ),
        ("SELECT id FROM (SELECT id, m FROM t LIMIT 3) ORDER BY m LIMIT 2", false),
    ]
    .into_iter()
    .enumerate()
    {
        let filters = FILTERS.replace("dept = 'chem'", &format!("dept = 'chem' AND id >= -{}", 100 + number));
        let lab = Lab::new(Kept::Parquet, &batch(0)).await;
        let ana = lab.governed(&load(POLICY, &filters).unwrap(), "ana");
        context.register_table("t", Arc::clone(&ana)).unwrap();
        let plan = context
            .sql(statement)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        learn(&plan);
        let scan = ana.scan(&context.state(), Some(&vec![0]), &[], None).await.unwrap();
        let expected = StatisticsContext::new().compute(scan.as_ref(), &StatisticsArgs::new());
        assert_eq!(
            expected.unwrap().num_rows.get_value().copied(),
            counted.then_some(700),
            "{statement}\n{}",
            displayable(plan.as_ref()).indent(false)
        );
        context.deregister_table("t").unwrap();
    }
}
