//! Virtual libraries: tables whose rows are all combinations of what a few queries give, made while they are read.
//!
//! A library is a table of the lake without rows of its own and with one property more, which says what it is made of. So it is
//! granted, filtered, masked, tagged, found, commented on and dropped like any table. Its queries run as *whoever reads it*: he
//! must see each of their tables, with the columns they use, or the library is not there for him; and what he does not see of
//! a source is in none of his combinations. Reading it costs the memory of the parts, never that of the combinations.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList, Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use labhouse_catalog::LakeTable;
use serde::{Deserialize, Serialize};

use super::catalog::GovernedCatalog;
use super::combinations::{Combinations, Part};
use super::governed::{Governed, Resolved};
use crate::query::statement::CATALOG;

/// The property of a library's table. Empty for a table that was a library once.
pub(crate) const PROPERTY: &str = "labhouse.library";

/// What a library is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Library {
    pub(crate) parts: Vec<LibraryPart>,
    /// Combinations that agree in these columns with a row of this query are left out.
    pub(crate) excluding: Option<LibraryPart>,
    pub(crate) sources: Vec<LibrarySource>,
}

/// A query and the columns it gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LibraryPart {
    pub(crate) sql: String,
    pub(crate) columns: Vec<String>,
}

/// A table that the queries read, and the columns they use of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LibrarySource {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) columns: BTreeSet<String>,
}

impl Library {
    /// The library that a table is; none for any other table.
    pub(crate) fn of(table: &LakeTable) -> Option<Self> {
        let text = table.properties().get(PROPERTY).filter(|text| !text.is_empty())?;
        match serde_json::from_str(text) {
            Ok(library) => Some(library),
            Err(error) => {
                tracing::warn!(table = %table.name(), %error, "what the virtual library is made of cannot be read; it is taken for a table");
                None
            }
        }
    }

    /// The properties with which a plain table is no library any more.
    pub(crate) fn none(table: &LakeTable) -> Option<(String, String)> {
        Self::of(table).map(|_| (PROPERTY.to_owned(), String::new()))
    }
}

impl Governed {
    /// The library of that name, whether or not the principal sees it.
    pub(super) fn library(&self, schema: &str, table: &str) -> Option<Library> {
        self.world
            .catalog
            .table(schema, table)
            .and_then(|table| Library::of(table))
    }

    /// How the principal sees the sources of a library, as a text that differs where that does; none if he does not see
    /// all that the library uses. A library is made of tables, never of libraries.
    pub(super) fn combinable(&self, library: &Library) -> Result<Option<String>, DataFusionError> {
        if self.is_of_library {
            return Ok(None);
        }
        let mut shown = String::new();
        for source in &library.sources {
            if self.library(&source.schema, &source.table).is_some() {
                return Ok(None);
            }
            let Resolved::Open(access, _) = self.resolve(&source.schema, &source.table)? else {
                return Ok(None);
            };
            let fields = access.schema.fields();
            let visible = |name: &String| {
                access
                    .columns
                    .iter()
                    .any(|at| fields.get(*at).is_some_and(|f| f.name() == name))
            };
            if !source.columns.iter().all(visible) {
                return Ok(None);
            }
            shown.push('+');
            shown.push_str(&access.fingerprint);
        }
        Ok(Some(shown))
    }

    /// The rows of a library as the principal's own sources give them.
    pub(super) fn combined(&self, table: &LakeTable, library: Library) -> Arc<dyn TableProvider> {
        let mut governed = self.over(self.world.clone());
        governed.is_of_library = true;
        Arc::new(Combined {
            schema: table.schema(),
            library,
            governed: Arc::new(governed),
        })
    }

    /// A session over this view with the engine's functions alone: what a library's queries may use.
    pub(crate) fn plain_session(self: &Arc<Self>) -> SessionState {
        let mut state = SessionState::clone(&self.engine);
        // The one moment that `now()` is for the whole statement.
        state.mark_start_execution();
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(GovernedCatalog(Arc::clone(self))));
        state.register_catalog_list(Arc::new(catalogs));
        state
    }
}

/// A library as one principal's sources make it.
#[derive(Debug)]
struct Combined {
    schema: SchemaRef,
    library: Library,
    governed: Arc<Governed>,
}

impl Combined {
    async fn part(&self, state: &SessionState, part: &LibraryPart) -> Result<Part, DataFusionError> {
        let logical = state.create_logical_plan(&part.sql).await?;
        let reads_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reads_only.verify_plan(&logical)?;
        Part::new(state.create_physical_plan(&logical).await?, &part.columns, &self.schema)
    }
}

#[async_trait]
impl TableProvider for Combined {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// `state` plans what lies below a barrier and knows no tables; the queries are planned in a session of the reader's.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let session = self.governed.plain_session();
        let mut parts = Vec::with_capacity(self.library.parts.len());
        for part in &self.library.parts {
            parts.push(self.part(&session, part).await?);
        }
        let excluding = match &self.library.excluding {
            Some(part) => Some(self.part(&session, part).await?),
            None => None,
        };
        let combinations = Combinations::new(Arc::clone(&self.schema), parts, excluding);
        StreamingTable::try_new(self.schema(), vec![Arc::new(combinations)])?
            .scan(state, projection, &[], limit)
            .await
    }
}
