//! The tables that somebody may see, for doors that list them.

use arrow::datatypes::SchemaRef;
use labhouse_policies::{Action, Principal, Tags};

use super::{QueryError, errors, narrow, statement};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::table_path;

/// A table that a principal may see, for metadata calls.
pub(crate) struct VisibleTable {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) kind: &'static str,
    pub(crate) columns: SchemaRef,
    pub(crate) comment: Option<String>,
}

impl Engine {
    /// The tables that `who` may see, sorted by name.
    pub(crate) async fn tables(&self, who: &Principal, client: &Client) -> Result<Vec<VisibleTable>, QueryError> {
        let governed = self.govern(who, self.world());
        let mut tables = Vec::new();
        for (schema, table) in governed.visible() {
            let Some(provider) = governed.table(&schema, &table).map_err(errors::from_datafusion)? else {
                continue;
            };
            let comment = governed
                .world()
                .catalog
                .table(&schema, &table)
                .and_then(|table| table.description().map(str::to_owned));
            tables.push(VisibleTable {
                catalog: statement::CATALOG.to_owned(),
                kind: if schema == crate::system::SYSTEM {
                    "VIEW"
                } else {
                    "BASE TABLE"
                },
                schema,
                table,
                columns: narrow::narrow_schema(&provider.schema()),
                comment,
            });
        }
        tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
        self.audit.metadata(&who.name, client, tables.len());
        Ok(tables)
    }

    /// Whether `who` may make a table in a schema, be there one or not.
    pub(crate) fn may_create_in(&self, who: &Principal, schema: &str) -> bool {
        let Ok(name) = statement::lake_name_of(schema, "any") else {
            return false;
        };
        let policies = self.policies.current();
        let decision = policies.decide(who, schema, &table_path(&name), &Tags::default(), Action::Create);
        super::write::reserved(&name).is_ok() && decision.allowed
    }
}
