//! The engine's catalog over one principal's view.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::TableType;

use super::governed::{Governed, Resolved};
use crate::pg_catalog::{PG_CATALOG, PgCatalog};

/// The catalog `lab`. Schemas with nothing to see are not there.
#[derive(Debug)]
pub(super) struct GovernedCatalog(pub(super) Arc<Governed>);

impl CatalogProvider for GovernedCatalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.visible().into_iter().map(|(schema, _)| schema).collect();
        names.dedup();
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == PG_CATALOG {
            return Some(Arc::new(PgCatalog(Arc::clone(&self.0))));
        }
        Some(Arc::new(GovernedSchema {
            governed: Arc::clone(&self.0),
            name: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct GovernedSchema {
    governed: Arc<Governed>,
    name: String,
}

#[async_trait]
impl SchemaProvider for GovernedSchema {
    fn table_names(&self) -> Vec<String> {
        let visible = self.governed.visible().into_iter();
        visible
            .filter(|(schema, _)| *schema == self.name)
            .map(|(_, table)| table)
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        self.governed.table(&self.name, name)
    }

    /// For lists: nothing is asked for by name.
    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let kind = match Governed::is_view(&self.name) {
            true => TableType::View,
            false => TableType::Base,
        };
        Ok(self.table_exist(name).then_some(kind))
    }

    fn table_exist(&self, name: &str) -> bool {
        matches!(self.governed.resolve(&self.name, name), Ok(Resolved::Open(..)))
    }
}
