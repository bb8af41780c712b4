//! Rows arranged by what questions compare: the same rows, and fewer row groups read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use labhouse_catalog::{
    LakeError, Optimized, TableName, append, arrange, arranged_by, is_parted_by, only_grew, unarranged_bytes,
};

use crate::support::{Lab, eager, local_lake};

const ROWS: i64 = 600_000;

fn name() -> TableName {
    TableName::parse("chem.t").unwrap()
}

/// Rows in an order that has nothing to do with their values.
fn rows(from: i64, count: i64) -> RecordBatch {
    let mixed = |i: i64, by: i64| (i.wrapping_mul(by) >> 7) & 0xf_ffff;
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let a: ArrayRef = Arc::new(Int64Array::from_iter(
        (from..from + count).map(|i| (i % 97 != 0).then(|| mixed(i, 0x9e37_79b9_7f4a_7c15_u64 as i64))),
    ));
    let b: ArrayRef = Arc::new(StringArray::from_iter_values(
        (from..from + count).map(|i| format!("lot {:07}", mixed(i, 0xbf58_476d_1ce4_e5b9_u64 as i64))),
    ));
    RecordBatch::try_from_iter([("n", n), ("a", a), ("b", b)]).unwrap()
}

async fn lab_with_rows() -> (tempfile::TempDir, Lab) {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    append(&lab.catalog, &name(), vec![rows(0, ROWS)]).await.unwrap();
    (folder, lab)
}

async fn arranged(lab: &Lab, by: &[&str]) -> Result<Optimized, LakeError> {
    let by: Vec<String> = by.iter().map(|name| (*name).to_owned()).collect();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    lab.lake.register(&context.runtime_env());
    let run = |plan, context| datafusion::physical_plan::execute_stream(plan, context);
    arrange(&lab.catalog, &name(), &by, &context.state(), &run).await
}

/// Row groups that a question left out for their statistics.
async fn left_out(lab: &Lab, sql: &str) -> usize {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> usize {
        let own = plan.metrics().map_or(0, |metrics| {
            let pruned = metrics
                .iter()
                .filter(|metric| metric.value().name() == "row_groups_pruned_statistics");
            pruned.map(|metric| pruned_of(&metric.value().to_string())).sum()
        });
        own + plan.children().into_iter().map(of).sum::<usize>()
    }
    let session = lab.session();
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    of(&plan)
}

/// How often a value is followed by a lesser one in what one reader gives.
async fn steps_down(lab: &Lab, column: &str) -> usize {
    let sql = format!("select {column} from chem.t where {column} is not null");
    let readers = lab
        .session()
        .sql(&sql)
        .await
        .unwrap()
        .collect_partitioned()
        .await
        .unwrap();
    let of_reader = |batches: &Vec<RecordBatch>| {
        let values: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        values.windows(2).filter(|pair| pair[1] < pair[0]).count()
    };
    readers.iter().map(of_reader).sum()
}

/// `3 total → 1 matched` left two out.
fn pruned_of(text: &str) -> usize {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse::<usize>().ok());
    let (total, matched) = (numbers.next().unwrap(), numbers.next().unwrap());
    total - matched
}

const SUMS: &str = "select count(*), count(distinct n), sum(n), sum(a), count(a), min(b), max(b) from chem.t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_leave_row_groups_out_and_no_row_is_lost() {
    let (_folder, lab) = lab_with_rows().await;
    let (by_number, by_text) = (
        "select count(*) from chem.t where a between 1000 and 2000",
        "select count(*) from chem.t where b = 'lot 0524288'",
    );
    let (before, first) = (lab.ask(SUMS).await, lab.ask(by_number).await);
    assert_eq!((left_out(&lab, by_number).await, left_out(&lab, by_text).await), (0, 0));

    assert!(steps_down(&lab, "a").await > 1000);

    arranged(&lab, &["a"]).await.unwrap();
    assert!(left_out(&lab, by_number).await > 0);
    assert_eq!(left_out(&lab, by_text).await, 0);
    assert_eq!(steps_down(&lab, "a").await, 0);

    arranged(&lab, &["a", "b"]).await.unwrap();
    assert!(left_out(&lab, by_number).await > 0);
    assert!(left_out(&lab, by_text).await > 0);
    assert_eq!((lab.ask(SUMS).await, lab.ask(by_number).await), (before, first));
    assert_eq!(
        arranged_by(&lab.catalog.snapshot().table("chem", "t").unwrap().clone()),
        ["a", "b"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_new_is_written_anew() {
    let (_folder, lab) = lab_with_rows().await;
    arranged(&lab, &["a", "b"]).await.unwrap();
    let table = || lab.catalog.snapshot().table("chem", "t").unwrap().clone();
    let by = ["a".to_owned(), "b".to_owned()];
    assert_eq!(unarranged_bytes(&table(), &by), 0);
    let version = table().version();
    let nothing = Optimized {
        files_removed: 0,
        files_added: 0,
    };
    assert_eq!(arranged(&lab, &["a", "b"]).await.unwrap(), nothing);
    assert_eq!(table().version(), version, "nothing to do makes no version");

    append(&lab.catalog, &name(), vec![rows(ROWS, 1000)]).await.unwrap();
    assert!(unarranged_bytes(&table(), &by) > 0);
    let done = arranged(&lab, &["a", "b"]).await.unwrap();
    assert!(done.files_removed >= 1 && done.files_added == 1, "{done:?}");
    assert_eq!(unarranged_bytes(&table(), &by), 0);
    assert_eq!(
        lab.ask("select count(*), count(distinct n) from chem.t").await,
        [["601000", "601000"]]
    );
    assert!(only_grew(&table(), 20).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_meanwhile_are_kept() {
    let (_folder, lab) = lab_with_rows().await;
    let writer = async {
        for part in 0..12 {
            append(&lab.catalog, &name(), vec![rows(ROWS + part * 10, 10)])
                .await
                .unwrap();
        }
    };
    let (done, ()) = tokio::join!(arranged(&lab, &["b"]), writer);
    done.unwrap();
    assert_eq!(
        lab.ask("select count(*), count(distinct n) from chem.t").await,
        [["600120", "600120"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_back_to_the_order_in_which_they_came() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    lab.land("chem/t/one.csv", "run,v\nfirst1,5\nfirst2,9\nfirst3,1\n")
        .await;
    lab.land("chem/t/two.csv", "run,v\nlater1,7\nlater2,\nlater3,2\n").await;
    lab.sweep().await;
    let rows = "select run from chem.t";
    let came = [["first1"], ["first2"], ["first3"], ["later1"], ["later2"], ["later3"]];
    assert_eq!(lab.ask("select count(*) from chem.t").await, [["6"]]);
    arranged(&lab, &["v"]).await.unwrap();
    assert_eq!(
        lab.ask(rows).await,
        [["first3"], ["later3"], ["first1"], ["later1"], ["first2"], ["later2"]]
    );
    arranged(&lab, &[]).await.unwrap();
    assert_eq!(lab.ask(rows).await, came);
    assert!(arranged_by(lab.catalog.snapshot().table("chem", "t").unwrap()).is_empty());

    // A landed file is replaced in an arranged table as in any other.
    arranged(&lab, &["v"]).await.unwrap();
    lab.land("chem/t/one.csv", "run,v\nfirst1,8\n").await;
    lab.sweep().await;
    assert_eq!(
        lab.ask("select run, v from chem.t order by 1").await,
        [["first1", "8"], ["later1", "7"], ["later2", "null"], ["later3", "2"]]
    );
    assert!(
        !only_grew(lab.catalog.snapshot().table("chem", "t").unwrap(), 20)
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_cannot_be_is_refused() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]));
    let batch = RecordBatch::try_from_iter([("n", n), ("list", list)]).unwrap();
    append(&lab.catalog, &name(), vec![batch]).await.unwrap();
    for (by, why) in [
        (vec!["m"], "no column m"),
        (vec!["list"], "list have no order"),
        (vec!["n", "n"], "named twice"),
        (vec!["n"; 5], "4 columns at most"),
    ] {
        let error = arranged(&lab, &by).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(lab.version("chem", "t"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_grew_by_time_are_parted_already() {
    let (_folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    for part in 0..6 {
        append(&lab.catalog, &name(), vec![rows(part * 1000, 1000)])
            .await
            .unwrap();
    }
    let snapshot = lab.catalog.snapshot();
    let table = snapshot.table("chem", "t").unwrap();
    assert!(is_parted_by(table, "n"));
    assert!(!is_parted_by(table, "a"));
    assert!(!is_parted_by(table, "b"));
    assert!(!is_parted_by(table, "no such column"));
}
