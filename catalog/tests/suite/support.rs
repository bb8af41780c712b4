//! A lake with a crawler, and questions asked of it in SQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::prelude::{SessionConfig, SessionContext};
use labhouse_catalog::{Catalog, CrawlOptions, Crawler, FileOutcome, FileStatus, Lake, Put, SweepReport};

/// Options of most tests: a file may be read as soon as it is there.
pub(crate) fn eager() -> CrawlOptions {
    CrawlOptions {
        settle: Duration::ZERO,
        ..CrawlOptions::default()
    }
}

pub(crate) struct Lab {
    pub(crate) lake: Arc<Lake>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) crawler: Crawler,
}

impl Lab {
    pub(crate) async fn on(lake: &Arc<Lake>, options: CrawlOptions) -> Self {
        let catalog = Catalog::load(Arc::clone(lake)).await.unwrap();
        let crawler = Crawler::new(Arc::clone(&catalog), options);
        Self {
            lake: Arc::clone(lake),
            catalog,
            crawler,
        }
    }

    /// A second server: nothing shared but the lake.
    pub(crate) async fn another(&self) -> Self {
        Self::on(&self.lake, eager()).await
    }

    pub(crate) async fn land(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.lake
            .put(&format!("landing/{path}"), content.into().into(), Put::Overwrite)
            .await
            .unwrap();
    }

    pub(crate) async fn take_away(&self, path: &str) {
        self.lake.delete(&format!("landing/{path}")).await.unwrap();
    }

    /// On a folder a rename; on a bucket a copy and a deletion.
    pub(crate) async fn rename(&self, from: &str, to: &str, content: &str) {
        let Some(root) = self.lake.local_root() else {
            self.land(to, content).await;
            return self.take_away(from).await;
        };
        let to = root.join("landing").join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(root.join("landing").join(from), to).unwrap();
    }

    pub(crate) async fn sweep(&self) -> SweepReport {
        self.crawler.sweep().await.unwrap()
    }

    /// Sweeps and expects these statuses, file by file.
    pub(crate) async fn expect(&self, expected: &[(&str, FileStatus)]) -> SweepReport {
        let report = self.sweep().await;
        let found: Vec<(&str, FileStatus)> = report.files.iter().map(|f| (f.path.as_str(), f.status)).collect();
        assert_eq!(found, expected, "{report:#?}");
        report
    }

    pub(crate) fn version(&self, schema: &str, table: &str) -> u64 {
        self.catalog.snapshot().table(schema, table).unwrap().version()
    }

    pub(crate) fn session(&self) -> SessionContext {
        session(&self.lake, &self.catalog)
    }

    /// Every cell of the answer as text, row by row; null is "null".
    pub(crate) async fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        cells(&self.session().sql(sql).await.unwrap().collect().await.unwrap())
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.ask(sql).await[0][0].parse().unwrap()
    }
}

pub(crate) fn session(lake: &Lake, catalog: &Catalog) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    lake.register(&context.runtime_env());
    let mounted = context.catalog("datafusion").unwrap();
    let snapshot = catalog.snapshot();
    for schema in snapshot.schemas() {
        mounted
            .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
            .unwrap();
        for table in snapshot.tables(schema) {
            let name = TableReference::partial(schema, table.name().table.as_str());
            context.register_table(name, table.provider()).unwrap();
        }
    }
    context
}

pub(crate) fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect());
        }
    }
    rows
}

pub(crate) fn reason(report: &SweepReport, path: &str) -> String {
    file(report, path).reason.clone().unwrap_or_default()
}

pub(crate) fn file<'a>(report: &'a SweepReport, path: &str) -> &'a FileOutcome {
    report.files.iter().find(|f| f.path == path).unwrap()
}

/// A lake in a folder of its own; keep the folder for as long as the lake is used.
pub(crate) async fn local_lake() -> (tempfile::TempDir, Arc<Lake>) {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path()).unwrap();
    let lake = Lake::open(url.as_str(), &BTreeMap::new()).await.unwrap();
    (folder, lake)
}
