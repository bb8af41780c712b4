//! The tables that somebody may see, for doors that list them.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use labhouse_catalog::LakeTable;
use labhouse_policies::{Action, Principal, Tags};

use super::{QueryError, errors, narrow, statement, tags};
use crate::audit::Client;
use crate::engine::Engine;
use crate::pipelines::View;
use crate::session::{Governed, Library, World, table_path};

/// A table that a principal may see, for metadata calls.
pub(crate) struct VisibleTable {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) kind: &'static str,
    pub(crate) columns: SchemaRef,
    pub(crate) comment: Option<String>,
    /// What else is told of a table of the lake; none for the server's own.
    pub(crate) about: Option<About>,
}

/// What people ask first of a table that they see.
pub(crate) struct About {
    /// `table`, `view` (materialized) or `library` (virtual).
    pub(crate) kind: &'static str,
    /// The department that owns the data.
    pub(crate) department: String,
    /// The login that a view is refreshed as; of another table whoever its tag `owner` names.
    pub(crate) owner: Option<String>,
    pub(crate) tags: Tags,
    /// Tags, comments and units of the columns that are seen.
    pub(crate) columns: BTreeMap<String, Words>,
}

/// What is written on a column.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) comment: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) tags: Tags,
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
            let found = governed.world().catalog.table(&schema, &table);
            let comment = found.and_then(|table| table.description().map(str::to_owned));
            let columns = narrow::narrow_schema(&provider.schema());
            let about = found.map(|table| about(governed.world(), table, &columns));
            tables.push(VisibleTable {
                catalog: statement::CATALOG.to_owned(),
                kind: match Governed::is_view(&schema) {
                    true => "VIEW",
                    false => "BASE TABLE",
                },
                schema,
                table,
                columns,
                comment,
                about,
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

fn about(world: &World, table: &LakeTable, seen: &SchemaRef) -> About {
    let object = world.object(table);
    let view = View::of(table);
    // What a reader sees of a column has no tags; of a column that he sees they are his to know.
    let raw = table.schema();
    let words = |name: &String| {
        let field = raw.field_with_name(name).ok()?;
        let first = |keys: [&str; 2]| {
            let found = keys.iter().find_map(|key| field.metadata().get(*key));
            found.filter(|text| !text.is_empty()).cloned()
        };
        let words = Words {
            comment: first(tags::COMMENTS),
            unit: first(tags::UNITS),
            tags: object.column_tags.get(name).cloned().unwrap_or_default(),
        };
        Some((name.clone(), words))
    };
    About {
        kind: match &view {
            Some(_) => "view",
            None if Library::of(table).is_some() => "library",
            None => "table",
        },
        department: object.department,
        owner: view
            .map(|view| view.owner)
            .or_else(|| object.tags.get(tags::OWNER).cloned()),
        tags: object.tags,
        columns: seen.fields().iter().filter_map(|field| words(field.name())).collect(),
    }
}
