//! Pipelines: materialized views, tables that follow a query.
//!
//! A view is a table of the lake with one property more, which says what it is made of: the query, whose it is, when it is
//! made again, and the versions of the sources its rows came from. The property is in the same commit as the rows. So what
//! is stale follows from the lake alone: any server finds it, a crash leaves the old rows or the new ones, and a refresh that was done is not done twice. A refresh is a statement of the view's owner, on the one road, under the policies of
//! that moment; what its owner may no longer read is no longer in the view, which follows policies and models as it follows
//! its sources (`sight`). A tag set on a source counts for the view at once (`present`).
//!
//! Where the new rows of its sources alone give its new rows (`shape`), only those are read (`grow`); else all of it is made anew,
//! and the reason is kept with the rows. They may go through an external `step`. Rows that do not fulfil what is expected of them (`expect`) are not committed. A folder of
//! SQL files defines views as well (`files`, `folder`), in git and copied for another lab by their parameters.

mod expect;
mod files;
mod folder;
mod follow;
mod grow;
mod present;
mod shape;
mod sight;
mod statement;
mod step;
mod supervisor;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use labhouse_catalog::{CatalogSnapshot, LakeTable};
use labhouse_policies::Tags;
use serde::{Deserialize, Serialize};

use crate::query::view::{Expectation, Refresh};

pub(crate) use folder::{Files, follow_files};
pub(crate) use follow::{Calm, Failures, LOOK, follow};
pub(crate) use present::Met;
pub(crate) use supervisor::{asked, supervise};
pub(crate) use turns::Turns;

/// The property of a view's table. Empty for a table that was a view once.
const PROPERTY: &str = "labhouse.view";

/// What a view's table knows of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) sql: String,
    pub(crate) owner: String,
    pub(crate) refresh: Refresh,
    /// `schema.table` of each source and the version that was read.
    pub(crate) sources: BTreeMap<String, u64>,
    pub(crate) refreshed_at: DateTime<Utc>,
    /// The external step that the query's rows go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// What its rows must fulfil.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expected: Vec<Expectation>,
    /// How its rows were made last.
    #[serde(default)]
    pub(crate) made: Made,
    /// What its owner saw of each source then: the same text, the same sight of the same table.
    #[serde(default)]
    sights: BTreeMap<String, String>,
    /// `schema.model` of each model that answered in the query.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    models: BTreeSet<String>,
    /// The version of each that answered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    model_versions: BTreeMap<String, u64>,
    /// Tags that the sources gave the table, and each of its columns, when it was made last.
    table_tags: Tags,
    column_tags: BTreeMap<String, Tags>,
}

/// How the rows of a view were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Of the new rows of its sources; else of all of them.
    pub(crate) incremental: bool,
    /// Why so, or why not.
    pub(crate) why: String,
    /// Rows that the view had then.
    pub(crate) rows: u64,
    /// SHA-256 of the query's text, in hex.
    pub(crate) statement_sha256: String,
}

/// Whether a view shows what its sources hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Stale,
    /// A source is not there any more.
    Orphaned,
}

impl View {
    /// The view that a table is; none for a plain table.
    pub(crate) fn of(table: &LakeTable) -> Option<Self> {
        let text = table.properties().get(PROPERTY).filter(|text| !text.is_empty())?;
        match serde_json::from_str(text) {
            Ok(view) => Some(view),
            Err(error) => {
                tracing::warn!(table = %table.name(), %error, "what the view is made of cannot be read; it is taken for a table");
                None
            }
        }
    }

    pub(crate) fn freshness(&self, catalog: &CatalogSnapshot) -> Freshness {
        let mut fresh = Freshness::Fresh;
        for (source, version) in &self.sources {
            let now = source
                .split_once('.')
                .and_then(|(schema, table)| catalog.table(schema, table));
            match now {
                None => return Freshness::Orphaned,
                Some(now) if now.version() != *version => fresh = Freshness::Stale,
                Some(_) => {}
            }
        }
        fresh
    }

    /// Whether it is time to make it again; `is_as_seen` says whether its rows are those that its owner would see now.
    fn is_due(&self, catalog: &CatalogSnapshot, now: DateTime<Utc>, is_as_seen: impl FnOnce() -> bool) -> bool {
        match self.refresh {
            Refresh::OnDemand => false,
            Refresh::OnChange => match self.freshness(catalog) {
                Freshness::Fresh => !is_as_seen(),
                Freshness::Stale => true,
                Freshness::Orphaned => false,
            },
            Refresh::EveryS(seconds) => {
                let since = now.signed_duration_since(self.refreshed_at).num_seconds();
                u64::try_from(since).is_ok_and(|since| since >= seconds)
            }
        }
    }
}

/// The properties with which a plain table is no view any more.
pub(crate) fn no_view(table: &LakeTable) -> Option<(String, String)> {
    View::of(table).map(|_| (PROPERTY.to_owned(), String::new()))
}
