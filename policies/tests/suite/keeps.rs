//! Row filters that are proven to hide nothing: they are not run, and nobody can tell.

use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::StreamExt;
use labhouse_policies::govern;

use crate::fixture::{FILTERS, Kept, Lab, POLICY, User, batch, load};

/// A table that says how its `id`s are spread, and remembers which columns were read.
struct Told {
    inner: Arc<dyn TableProvider>,
    statistics: Option<Statistics>,
    read: Mutex<Vec<String>>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

#[async_trait]
impl TableProvider for Told {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        self.statistics.clone()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let all = (0..schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all).iter();
        *self.read.lock().unwrap() = columns.map(|at| schema.field(*at).name().clone()).collect();
        self.inner.scan(state, projection, filters, limit).await
    }
}

/// What the rows say of themselves, exactly.
fn statistics(rows: &RecordBatch) -> Statistics {
    let ids = rows.column(0).as_primitive::<Int64Type>();
    let mut statistics = Statistics::new_unknown(&rows.schema());
    statistics.column_statistics[0].null_count = Precision::Exact(rows.column(0).null_count());
    statistics.column_statistics[0].min_value = Precision::Exact(ScalarValue::Int64(min(ids)));
    statistics.column_statistics[0].max_value = Precision::Exact(ScalarValue::Int64(max(ids)));
    statistics
}

/// Ana's table of these rows, of which she may see those with an `id` from `from` on.
async fn table(rows: &RecordBatch, from: i64, known: bool) -> (Lab, Arc<Told>, User) {
    let lab = Lab::new(Kept::Parquet, rows).await;
    let told = Arc::new(Told {
        inner: Arc::clone(&lab.raw),
        statistics: known.then(|| statistics(rows)),
        read: Mutex::default(),
    });
    let filters = FILTERS.replace("dept = 'chem'", &format!("id >= {from}"));
    let access = lab.access(&load(POLICY, &filters).unwrap(), "ana");
    assert!(access.row_filter.is_some());
    let governed = govern(Arc::clone(&told) as _, &access, Arc::clone(&lab.system)).unwrap();
    let user = User::new();
    user.context.register_table("t", governed).unwrap();
    (lab, told, user)
}

#[tokio::test]
async fn a_filter_proven_to_keep_all_is_not_read() {
    let rows = batch(0);
    for (from, known, run) in [(0, true, false), (1, true, true), (0, false, true)] {
        let (_lab, told, ana) = table(&rows, from, known).await;
        let counted = ana.number("SELECT count(n) FROM t WHERE n IS NOT NULL").await;
        let expected = (0..1_000).filter(|i| i % 50 != 1 && i64::from(*i) >= from).count();
        assert_eq!(counted, expected as i64);
        let read = told.read.lock().unwrap().contains(&"id".to_owned());
        assert_eq!(read, run, "from {from}, known {known}");
    }
}

#[tokio::test]
async fn a_row_that_must_be_hidden_stays_hidden() {
    let rows = batch(0);
    for from in [1, 500, 999, 1_000] {
        let (_lab, _, ana) = table(&rows, from, true).await;
        assert_eq!(ana.number("SELECT count(*) FROM t").await, 1_000 - from);
        assert_eq!(
            ana.number(&format!("SELECT count(*) FROM t WHERE id < {from}")).await,
            0
        );
    }
}

/// Sizes of the batches of each partition, and the plan as the user may see it.
async fn shape(user: &User, sql: &str) -> (String, Vec<Vec<usize>>) {
    let frame = user.context.sql(sql).await.unwrap();
    let plan = frame.clone().create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(true).to_string();
    let mut sizes = Vec::new();
    for mut stream in frame.execute_stream_partitioned().await.unwrap() {
        let mut partition = Vec::new();
        while let Some(batch) = stream.next().await {
            partition.push(batch.unwrap().num_rows());
        }
        sizes.push(partition);
    }
    (shown, sizes)
}

#[tokio::test]
async fn that_nothing_is_hidden_is_not_to_be_seen() {
    let rows = batch(0);
    let (_one, _, proven) = table(&rows, 0, true).await;
    let (_two, _, filtered) = table(&rows, 0, false).await;
    for sql in [
        "SELECT n, tx FROM t",
        "SELECT n FROM t WHERE id > 500",
        "SELECT m FROM t LIMIT 300",
        "EXPLAIN SELECT n FROM t WHERE id > 500",
    ] {
        assert_eq!(shape(&proven, sql).await, shape(&filtered, sql).await, "{sql}");
    }
}
