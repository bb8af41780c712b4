//! `pg_catalog`: what PostgreSQL's tools ask a server about itself, made of what the one who asks may see.
//!
//! It is a schema of the governed catalog like `information_schema`: a hidden table or column is in none of its tables
//! and in no number. Numbers of tables are made of their names, so they stay the same from one statement to the next.

mod columns;
mod rows;
pub(crate) mod types;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use crate::session::Governed;
pub(crate) use columns::{is_always_empty, is_table};

/// Its name in the catalog.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// What `SHOW` and `pg_settings` say; each is a fact about this server.
pub(crate) const SETTINGS: [(&str, &str); 22] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("DateStyle", "ISO, YMD"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C.UTF-8"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
    ("transaction_isolation", "read committed"),
];

/// The schema, as one principal sees it.
#[derive(Debug)]
pub(crate) struct PgCatalog(pub(crate) Arc<Governed>);

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        columns::names().map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(schema) = columns::of(name) else {
            return Ok(None);
        };
        let partition = Rows {
            governed: Arc::clone(&self.0),
            name: name.to_owned(),
            schema: Arc::clone(&schema),
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(partition)])?;
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        columns::of(name).is_some()
    }
}

/// The rows of one table, made when a statement reads them.
struct Rows {
    governed: Arc<Governed>,
    name: String,
    schema: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let made = rows::rows(&self.governed, &self.name, &self.schema);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter([made]),
        ))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgCatalog({})", self.name)
    }
}
