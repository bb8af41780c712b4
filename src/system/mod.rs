//! `lab.system.*`: what the server knows of itself, as tables, governed like any other.
//!
//! Rows are made when a statement reads them. `system.queries`, `system.training` and `system.audit` show a person his own statements
//! (`system.queries` none that the server asked for him, which would tell when there was a commit),
//! `system.alerts` and `system.alert_events` his own alerts, and all of them to an administrator; the rest is visible to whoever a policy grants it.
//! `system.profiles` is made of each reader's own view of the tables.

mod alerts;
mod histogram;
mod history;
mod lineage;
mod maintenance;
mod measure;
mod pipelines;
mod profiles;
mod rows;

use std::fmt;
use std::sync::{Arc, Weak};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use labhouse_catalog::FileStatus;
use labhouse_policies::Principal;

pub(crate) use alerts::alerts_shown;
pub(crate) use history::{NAME as HISTORY, table_function as history};
pub(crate) use pipelines::pipelines_shown;
use profiles::ProfilesTable;
pub(crate) use profiles::{NAME as PROFILES, Profiles};

use crate::audit::{AUDIT, AuditTable};
use crate::engine::Engine;
use crate::query::QueryError;

/// The schema that holds them.
pub(crate) const SYSTEM: &str = "system";

/// Hands out system tables. It does not keep the engine alive.
#[derive(Clone)]
pub(crate) struct SystemTables(pub(crate) Weak<Engine>);

impl SystemTables {
    /// All of them, sorted.
    pub(crate) const NAMES: [&'static str; 19] = [
        "alert_events",
        "alerts",
        AUDIT,
        "commits",
        "files",
        "lineage",
        "maintenance",
        "models",
        "nodes",
        "pipelines",
        "policies",
        "policy_files",
        "policy_rules",
        PROFILES,
        "proposed_tags",
        "quarantine",
        "queries",
        "training",
        "ungoverned",
    ];

    /// The person of the users file with that login, as of now; none while the server starts or stops.
    pub(crate) fn named(&self, login: &str) -> Option<Option<Principal>> {
        let engine = self.0.upgrade()?;
        Some(engine.auth.named(login))
    }

    /// The table of that name as `who` may read it before policies; none when there is none.
    pub(crate) fn table(&self, name: &str, who: &Principal) -> Option<Arc<dyn TableProvider>> {
        let name = Self::NAMES.into_iter().find(|known| *known == name)?;
        if name == AUDIT {
            return Some(Arc::new(AuditTable::new(self.0.clone(), who)));
        }
        if name == PROFILES {
            return Some(Arc::new(ProfilesTable::new(self.0.clone(), who)));
        }
        let schema = rows::schema(name)?;
        let partition = SystemRows {
            name,
            schema: Arc::clone(&schema),
            engine: self.0.clone(),
            who: who.clone(),
        };
        Some(Arc::new(
            StreamingTable::try_new(schema, vec![Arc::new(partition)]).ok()?,
        ))
    }
}

struct SystemRows {
    name: &'static str,
    schema: SchemaRef,
    engine: Weak<Engine>,
    who: Principal,
}

impl PartitionStream for SystemRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (engine, name, who) = (self.engine.clone(), self.name, self.who.clone());
        let made = async move {
            let engine = engine
                .upgrade()
                .ok_or_else(|| QueryError::Unavailable("the server is shutting down".into()).into_datafusion())?;
            rows::rows(&engine, name, &who)
                .await
                .map_err(QueryError::into_datafusion)
        };
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::once(made),
        ))
    }
}

impl fmt::Debug for SystemRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.name)
    }
}

/// The word for what became of a file, the same in `system.files` and in `labhouse crawl`.
pub(crate) fn status(status: FileStatus) -> &'static str {
    match status {
        FileStatus::Loaded => "loaded",
        FileStatus::Replaced => "replaced",
        FileStatus::Unchanged => "unchanged",
        FileStatus::Gone => "gone",
        FileStatus::Quarantined => "quarantined",
        FileStatus::Waiting => "waiting",
        FileStatus::Ignored => "ignored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_table_has_a_row_in_the_golden_matrix() {
        for name in SystemTables::NAMES {
            // The columns of the trail and of profiles are their own.
            assert!(
                rows::schema(name).is_some() != [AUDIT, PROFILES].contains(&name),
                "{name}"
            );
            assert!(
                include_str!("../../tests/suite/golden.txt").contains(&format!("\nsystem table | {name} |")),
                "add {name} to tests/suite/golden.rs and bless it"
            );
        }
    }
}
