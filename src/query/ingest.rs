//! Rows that a client brings as Arrow instead of as a statement: the same grants, filters and limits as for CREATE TABLE
//! and INSERT.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use labhouse_catalog::TableName;
use labhouse_policies::{Principal, Tags};

use super::statement::CATALOG;
use super::{QueryError, errors};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::Governed;

/// What to do when the table is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfThere {
    Fail,
    Append,
    Replace,
}

/// What to do when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMissing {
    Fail,
    Create,
}

/// Rows on their way into a table.
pub(crate) struct Ingest {
    pub(crate) name: TableName,
    pub(crate) if_there: IfThere,
    pub(crate) if_missing: IfMissing,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Engine {
    /// Writes the rows in one commit; gives their number.
    pub(crate) async fn ingest(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        ingest: Ingest,
    ) -> Result<i64, QueryError> {
        let target = format!("{CATALOG}.{}", ingest.name);
        let text = format!("INGEST INTO {target}");
        let admitted = self.admit(who, client, &text).await;
        let world = self.world();
        let account = self.audit.account(who, client, &text, &world);
        account.called("ingest", Some(target));
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self.log.start(account.id(), &who.name, &text, policy, catalog);
        let governed = self.govern(who, world);
        governed.account_to(&account);
        let written = match admitted {
            Ok(_permit) => self.write_ingest(&governed, ingest).await,
            Err(error) => Err(error),
        };
        let outcome = match written {
            // One that had nothing to change is decided here.
            Ok(rows) => account.decided(governed.notes().facts()).await.map(|()| rows),
            Err(error) => Err(account.refused(governed.notes(), error).await),
        };
        account.ended(outcome.as_ref().err());
        entry.finish(outcome.as_ref().err());
        outcome
    }

    async fn write_ingest(&self, governed: &Arc<Governed>, ingest: Ingest) -> Result<i64, QueryError> {
        let name = &ingest.name;
        let seen = governed
            .access(&name.schema, &name.table)
            .map_err(errors::from_datafusion)?
            .is_some();
        match (seen, ingest.if_there, ingest.if_missing) {
            (true, IfThere::Append, _) => {
                let columns = ingest
                    .schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect();
                self.append_rows(governed, name, columns, &ingest.batches).await
            }
            (false, _, IfMissing::Fail) => Err(QueryError::no_table(name)),
            (true, IfThere::Replace | IfThere::Fail, _) | (false, _, IfMissing::Create) => {
                let replace = ingest.if_there == IfThere::Replace;
                if !self.may_create(governed, name, replace, false)? {
                    return Ok(0);
                }
                let (tags, plain) = (Tags::default(), BTreeMap::new());
                self.fill(governed, name, ingest.schema, ingest.batches, &tags, plain, None)
                    .await
            }
        }
    }
}
