//! A small lab with hidden rows, a hidden column and a masked one; as a Parquet file on disk and in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use labhouse_policies::{
    Access, Action, PolicyErrors, PolicyFiles, PolicySet, Principal, TableAccess, TableObject, Tags, govern,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

pub(crate) const MODEL: &str = include_str!("../../default/model.conf");
pub(crate) const SECRET: &str = "a-secret-of-more-than-16-characters";

/// Only forbidden rows hold these; each is longer than a view's inline twelve bytes.
pub(crate) const FORBIDDEN_TEXT: &str = "forbidden-text-of-row";
pub(crate) const HIDDEN_COLUMN_TEXT: &str = "hidden-column-value";
pub(crate) const RAW_MASKED_TEXT: &str = "raw-structure-CCOC";
/// `n` of one forbidden row and of no other.
pub(crate) const FORBIDDEN_NUMBER: i64 = 42;
/// `n` of no row at all.
pub(crate) const ABSENT_NUMBER: i64 = 43;
pub(crate) const ROWS: usize = 1_000;
/// Rows per row group, so that there is something to prune.
const GROUP: usize = 100;

pub(crate) const POLICY: &str = "\
g, user:ada, role:admin, *
g, user:ana, role:analyst, chemistry
p, role:admin, *, **, *, allow
p, role:analyst, chemistry, lab/chemistry/**, use|select, allow
p, role:analyst, chemistry, lab, use, allow
p, role:analyst, chemistry, lab/chemistry/t/h, select, deny
p2, role:analyst, chemistry, lab/chemistry/t, permissive, own_rows
p3, role:analyst, chemistry, lab/chemistry/t/m, hash_m
";
pub(crate) const FILTERS: &str = "\
[filter.own_rows]
table = \"lab/chemistry/t\"
sql = \"dept = 'chem'\"
[mask.hash_m]
column = \"lab/chemistry/t/m\"
kind = \"hash\"
";

pub(crate) fn files(policy: &str, filters: &str) -> PolicyFiles {
    PolicyFiles {
        model: MODEL.to_owned(),
        policy: policy.to_owned(),
        filters: filters.to_owned(),
        secret: Some(SECRET.to_owned()),
    }
}

pub(crate) fn load(policy: &str, filters: &str) -> Result<PolicySet, PolicyErrors> {
    PolicySet::from_files(&files(policy, filters), 1)
}

pub(crate) fn reference(schema: &str, table: &str) -> ResolvedTableReference {
    ResolvedTableReference {
        catalog: "lab".into(),
        schema: schema.into(),
        table: table.into(),
    }
}

pub(crate) fn object(schema: &SchemaRef) -> TableObject {
    TableObject {
        reference: reference("chemistry", "t"),
        department: "chemistry".to_owned(),
        tags: Tags::new(),
        column_tags: BTreeMap::new(),
        schema: Arc::clone(schema),
    }
}

/// Whether row `i` is hidden from ana: three in ten, one of them with a NULL department.
pub(crate) fn is_hidden(i: usize) -> bool {
    i % 10 >= 7
}

/// The rows; `seed` changes only what hidden rows hold.
pub(crate) fn batch(seed: usize) -> RecordBatch {
    let rows = 0..ROWS;
    let text = |f: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new(rows.clone().map(f).collect::<StringViewArray>())
    };
    let dept = text(&|i| match i % 10 {
        0..7 => Some("chem".to_owned()),
        7 => None,
        _ => Some("secret-department".to_owned()),
    });
    let number = |i: usize| match i {
        7 if seed == 0 => FORBIDDEN_NUMBER,
        i if is_hidden(i) => 100_000 + (i * (seed + 1)) as i64,
        i => 1_000 + i as i64,
    };
    let n: ArrayRef = Arc::new(
        rows.clone()
            .map(|i| if i % 50 == 1 { None } else { Some(number(i)) })
            .collect::<Int64Array>(),
    );
    let tx = text(&|i| {
        if is_hidden(i) {
            Some(format!("{FORBIDDEN_TEXT}-{i}-{seed}"))
        } else {
            Some((i % 50).to_string())
        }
    });
    let m = text(&|i| {
        if i % 20 == 3 {
            None
        } else {
            Some(format!(
                "{RAW_MASKED_TEXT}-{}-{}",
                i % 30,
                if is_hidden(i) { seed } else { 0 }
            ))
        }
    });
    let h = text(&|i| Some(format!("{HIDDEN_COLUMN_TEXT}-{i}")));
    let f: ArrayRef = Arc::new(
        rows.clone()
            .map(|i| Some([0.0, -0.0, f64::NAN, 1.5, -2.5][i % 5] + if is_hidden(i) { seed as f64 } else { 0.0 }))
            .collect::<Float64Array>(),
    );
    let flag: ArrayRef = Arc::new(
        rows.clone()
            .map(|i| if i % 7 == 0 { None } else { Some(i % 2 == 0) })
            .collect::<BooleanArray>(),
    );
    let d: ArrayRef = Arc::new(
        rows.clone()
            .map(|i| Some(20_000 + (i % 365) as i32))
            .collect::<Date32Array>(),
    );
    let id: ArrayRef = Arc::new(rows.map(|i| Some(i as i64)).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([
        ("id", id, true),
        ("dept", dept, true),
        ("n", n, true),
        ("tx", tx, true),
        ("m", m, true),
        ("h", h, true),
        ("f", f, true),
        ("flag", flag, true),
        ("d", d, true),
    ])
    .unwrap()
}

/// How rows are kept below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kept {
    Memory,
    Parquet,
    ParquetPushdown,
}

pub(crate) const KEPT: [Kept; 3] = [Kept::Memory, Kept::Parquet, Kept::ParquetPushdown];

/// A raw table and the session that may plan over it.
pub(crate) struct Lab {
    pub system: Arc<SessionState>,
    pub raw: Arc<dyn TableProvider>,
    _dir: TempDir,
}

impl Lab {
    pub(crate) async fn new(kept: Kept, batch: &RecordBatch) -> Lab {
        let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(256);
        config.options_mut().execution.parquet.pushdown_filters = kept == Kept::ParquetPushdown;
        config.options_mut().execution.parquet.reorder_filters = kept == Kept::ParquetPushdown;
        let context = SessionContext::new_with_config(config);
        let dir = TempDir::new().unwrap();
        match kept {
            Kept::Memory => {
                // Two partitions and several batches that share buffers.
                let parts = (0..10)
                    .map(|i| batch.slice(i * batch.num_rows() / 10, batch.num_rows() / 10))
                    .collect::<Vec<_>>();
                let (a, b) = parts.split_at(5);
                let table =
                    datafusion::datasource::MemTable::try_new(batch.schema(), vec![a.to_vec(), b.to_vec()]).unwrap();
                context.register_table("t", Arc::new(table)).unwrap();
            }
            Kept::Parquet | Kept::ParquetPushdown => {
                let path = dir.path().join("dept=secret-path.parquet");
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(GROUP))
                    .build();
                let mut writer =
                    ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), Some(properties))
                        .unwrap();
                writer.write(batch).unwrap();
                writer.close().unwrap();
                context
                    .register_parquet("t", path.to_str().unwrap(), ParquetReadOptions::default())
                    .await
                    .unwrap();
            }
        }
        let raw = context.table_provider("t").await.unwrap();
        Lab {
            system: Arc::new(context.state()),
            raw,
            _dir: dir,
        }
    }

    pub(crate) fn object(&self) -> TableObject {
        object(&self.raw.schema())
    }

    pub(crate) fn access(&self, set: &PolicySet, who: &str) -> Access {
        match set.table(&Principal::new(who), &self.object(), &self.system, Action::Select) {
            TableAccess::Open(access) => access,
            TableAccess::Hidden(decision) => panic!("hidden: {decision:?}"),
        }
    }

    /// The table as `who` sees it under `set`.
    pub(crate) fn governed(&self, set: &PolicySet, who: &str) -> Arc<dyn TableProvider> {
        govern(Arc::clone(&self.raw), &self.access(set, who), Arc::clone(&self.system)).unwrap()
    }

    /// A user's session over the governed table, and over the same as a plain view for comparison.
    pub(crate) async fn sessions(&self, set: &PolicySet) -> (User, User) {
        let barrier = User::new();
        barrier.context.register_table("t", self.governed(set, "ana")).unwrap();
        let plain = User::new();
        plain.context.register_table("raw_t", Arc::clone(&self.raw)).unwrap();
        let view = "CREATE VIEW t AS SELECT id, dept, n, tx, encode(sha256(concat('salt', m)), 'hex') AS m, f, flag, d FROM raw_t WHERE dept = 'chem'";
        plain.context.sql(view).await.unwrap();
        (barrier, plain)
    }
}

/// A user's session with a function that records whatever it is given.
pub(crate) struct User {
    pub context: SessionContext,
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl User {
    pub(crate) fn new() -> User {
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_information_schema(false);
        let context = SessionContext::new_with_config(config);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let leak = move |args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let text = arrow::compute::cast(&arrays[0], &arrow::datatypes::DataType::Utf8)?;
            let text = arrow::array::AsArray::as_string::<i32>(text.as_ref());
            ear.lock().unwrap().extend(text.iter().flatten().map(str::to_owned));
            Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(vec![
                true;
                arrays[0].len()
            ]))))
        };
        for (name, kind) in [
            ("f_leak", arrow::datatypes::DataType::Utf8View),
            ("f_leak_n", arrow::datatypes::DataType::Int64),
        ] {
            let udf = create_udf(
                name,
                vec![kind],
                arrow::datatypes::DataType::Boolean,
                Volatility::Immutable,
                Arc::new(leak.clone()),
            );
            context.register_udf(udf);
        }
        User { context, heard }
    }

    /// Rows, or the error's text.
    pub(crate) async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let frame = self.context.sql(sql).await.map_err(|e| e.to_string())?;
        frame.collect().await.map_err(|e| e.to_string())
    }

    /// Everything a user reads: the table printed, or the error. Incident numbers count up and are left out.
    pub(crate) async fn told(&self, sql: &str) -> String {
        match self.run(sql).await {
            Ok(batches) => arrow::util::pretty::pretty_format_batches(&batches)
                .unwrap()
                .to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    /// The single integer a statement gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let batches = self.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let array = arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Int64).unwrap();
        arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(array.as_ref()).value(0)
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}
