//! A lake of Parquet files behind a named store, and nodes of it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use datafusion_proto::physical_plan::{DefaultPhysicalProtoConverter, PhysicalExtensionCodec};
use labhouse_policies::{Access, Action, Attribute, PolicySet, Principal, TableAccess, govern, wire};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::fixture::{POLICY, load, object};

pub(crate) const STORE: &str = "labhouse-lake://test/";
pub(crate) const CONVERTER: DefaultPhysicalProtoConverter = DefaultPhysicalProtoConverter {};

/// A process that has the lake's store.
pub(crate) struct Node {
    pub(crate) context: SessionContext,
    pub(crate) system: Arc<SessionState>,
}

impl Node {
    pub(crate) fn new(lake: &Path, pushdown: bool) -> Node {
        let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(256);
        config.options_mut().execution.parquet.pushdown_filters = pushdown;
        config.options_mut().execution.parquet.reorder_filters = pushdown;
        let context = SessionContext::new_with_config(config);
        let store = LocalFileSystem::new_with_prefix(lake).unwrap();
        let url = ObjectStoreUrl::parse(STORE).unwrap();
        context.register_object_store(url.as_ref(), Arc::new(store));
        let system = Arc::new(context.state());
        Node { context, system }
    }

    pub(crate) fn task(&self) -> Arc<TaskContext> {
        self.context.task_ctx()
    }

    pub(crate) fn write(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let done = wire::codec(Arc::clone(&self.system)).try_encode(Arc::clone(plan), &mut bytes, &CONVERTER);
        assert!(done.is_ok() || bytes.is_empty(), "half a message is no message");
        done.map(|()| bytes).map_err(|e| e.to_string())
    }

    pub(crate) fn read(&self, bytes: &[u8]) -> Result<Arc<dyn ExecutionPlan>, String> {
        wire::codec(Arc::clone(&self.system))
            .try_decode(bytes, &[], &self.task(), &CONVERTER)
            .map_err(|e| e.to_string())
    }

    /// What plans give together: a line for each row, in order of their text, and how many there are.
    pub(crate) async fn rows(&self, plans: &[Arc<dyn ExecutionPlan>]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut count = 0;
        for plan in plans {
            let batches = collect(Arc::clone(plan), self.task()).await.unwrap();
            count += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            let text = pretty_format_batches(&batches).unwrap().to_string();
            lines.extend(text.lines().skip(3).filter(|line| line.starts_with('|')).map(words));
        }
        lines.sort_unstable();
        lines.push(format!("{count} rows"));
        lines
    }
}

/// A printed row, however wide its columns are.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows in five files of one lake, and two nodes of it: the first plans, the second reads.
pub(crate) struct Lake {
    pub(crate) dir: TempDir,
    pub(crate) raw: Arc<dyn TableProvider>,
    pub(crate) here: Node,
    pub(crate) there: Node,
}

impl Lake {
    pub(crate) async fn new(rows: &RecordBatch, pushdown: bool) -> Lake {
        let dir = TempDir::new().unwrap();
        let each = rows.num_rows().div_ceil(5);
        for (at, first) in (0..rows.num_rows()).step_by(each).enumerate() {
            let folder = dir.path().join(format!("t/site=s{}", at % 2));
            std::fs::create_dir_all(&folder).unwrap();
            let out = std::fs::File::create(folder.join(format!("{at}.parquet"))).unwrap();
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(40));
            let mut writer = ArrowWriter::try_new(out, rows.schema(), Some(properties.build())).unwrap();
            writer
                .write(&rows.slice(first, each.min(rows.num_rows() - first)))
                .unwrap();
            writer.close().unwrap();
        }
        let here = Node::new(dir.path(), pushdown);
        let options =
            ParquetReadOptions::default().table_partition_cols(vec![("site".into(), arrow::datatypes::DataType::Utf8)]);
        here.context
            .register_parquet("t", format!("{STORE}t/"), options)
            .await
            .unwrap();
        let raw = here.context.table_provider("t").await.unwrap();
        let there = Node::new(dir.path(), pushdown);
        Lake { dir, raw, here, there }
    }

    pub(crate) fn access(&self, set: &PolicySet, who: &Principal) -> Access {
        match set.table(who, &object(&self.raw.schema()), &self.here.system, Action::Select) {
            TableAccess::Open(access) => access,
            TableAccess::Hidden(decision) => panic!("hidden: {decision:?}"),
        }
    }

    pub(crate) fn governed(&self, set: &PolicySet, who: &Principal) -> Arc<dyn TableProvider> {
        let access = self.access(set, who);
        govern(Arc::clone(&self.raw), &access, Arc::clone(&self.here.system)).unwrap()
    }

    pub(crate) async fn scan(
        &self,
        set: &PolicySet,
        columns: Option<Vec<usize>>,
        filters: &[Expr],
    ) -> Arc<dyn ExecutionPlan> {
        let governed = self.governed(set, &ana());
        let state = self.here.context.state();
        governed.scan(&state, columns.as_ref(), filters, None).await.unwrap()
    }
}

pub(crate) fn ana() -> Principal {
    Principal::new("ana").with(
        "projects",
        Attribute::List(vec!["chem".into(), "no-such-project".into()]),
    )
}

/// ana sees the rows of `filter`, and column `column` as the lines of `mask` say.
pub(crate) fn policies(filter: &str, column: &str, mask: &str) -> PolicySet {
    let policy = POLICY.replace("t/m, hash_m", &format!("t/{column}, mask"));
    let filters = format!(
        "[filter.own_rows]\ntable = \"lab/chemistry/t\"\nsql = \"{filter}\"\n[mask.mask]\ncolumn = \"lab/chemistry/t/{column}\"\n{mask}\n"
    );
    load(&policy, &filters).unwrap()
}

pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
