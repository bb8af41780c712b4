//! The background of views: what is due is made again, one after the other, as its owner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use labhouse_catalog::{CatalogSnapshot, TableName};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::View;
use crate::audit::Client;
use crate::engine::Engine;

/// How often the catalog is looked at; a look costs the views that are followed, and nothing else unless tables changed.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// Sources that change in every look are waited for, but not longer than this.
const CALM_MAX: Duration = Duration::from_secs(3);
/// A view that failed is tried again when catalog or policies changed, or after this time.
const RETRY: Duration = Duration::from_secs(60);

/// Views whose last refresh failed.
#[derive(Default)]
pub(crate) struct Failures(Mutex<BTreeMap<TableName, Failure>>);

/// Why and when.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) at: DateTime<Utc>,
    /// Generations of catalog and policies: with the same it would fail again.
    seen: (u64, u64),
}

impl Failures {
    pub(crate) fn get(&self, name: &TableName) -> Option<Failure> {
        self.0.lock().get(name).cloned()
    }

    fn waits(&self, name: &TableName, seen: (u64, u64), now: DateTime<Utc>) -> bool {
        let young = |failure: &Failure| {
            let since = now.signed_duration_since(failure.at);
            since.to_std().is_ok_and(|since| since < RETRY)
        };
        self.get(name)
            .is_some_and(|failure| failure.seen == seen && young(&failure))
    }
}

/// Whether the catalog is at rest: a crawl commits many times in a row, and what follows it waits until it is through.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    last: u64,
    restless: Duration,
}

impl Calm {
    /// One look, [`LOOK`] after the one before.
    pub(crate) fn is_calm(&mut self, catalog: &CatalogSnapshot) -> bool {
        let calm = catalog.generation == self.last || self.restless >= CALM_MAX;
        self.last = catalog.generation;
        self.restless = if calm { Duration::ZERO } else { self.restless + LOOK };
        calm
    }
}

/// Makes views again when they are due, until the server stops.
pub(crate) async fn follow(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let (mut calm, mut views) = (Calm::default(), Views::default());
    while !*stopped.borrow() {
        let catalog = engine.catalog.snapshot();
        if calm.is_calm(&catalog)
            && let Some(name) = due(&engine, &catalog, views.of(&catalog))
        {
            refresh(&engine, &name).await;
            continue;
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The views of a catalog, read from their tables once for each generation.
#[derive(Default)]
struct Views {
    generation: Option<u64>,
    views: Vec<(TableName, View)>,
}

impl Views {
    fn of(&mut self, catalog: &CatalogSnapshot) -> &[(TableName, View)] {
        if self.generation != Some(catalog.generation) {
            let views = catalog.all();
            let views = views.filter_map(|table| Some((table.name().clone(), View::of(table)?)));
            (self.generation, self.views) = (Some(catalog.generation), views.collect());
        }
        &self.views
    }
}

/// The first view that is due and whose sources are not due themselves.
fn due(engine: &Engine, catalog: &CatalogSnapshot, views: &[(TableName, View)]) -> Option<TableName> {
    let now = Utc::now();
    let seen = (catalog.generation, engine.policies.current().generation());
    let is_due =
        |(name, view): &&(TableName, View)| view.is_due(catalog, now) && !engine.view_failures.waits(name, seen, now);
    let due: BTreeMap<String, &(TableName, View)> = views
        .iter()
        .filter(is_due)
        .map(|view| (view.0.to_string(), view))
        .collect();
    due.values()
        .find(|(_, view)| !view.sources.keys().any(|source| due.contains_key(source)))
        .map(|(name, _)| name.clone())
}

async fn refresh(engine: &Arc<Engine>, name: &TableName) {
    let catalog = engine.catalog.snapshot();
    let view = catalog
        .table(&name.schema, &name.table)
        .and_then(|table| View::of(table));
    let Some(view) = view else { return };
    let done = match engine.auth.named(&view.owner) {
        Some(owner) => {
            let sql = format!("REFRESH MATERIALIZED VIEW lab.{name}");
            let done = engine.update(&owner, &Client::server(), &sql, Vec::new()).await;
            done.map_err(|error| error.to_string())
        }
        None => Err(format!("its owner {} is no user any more", view.owner)),
    };
    let mut failures = engine.view_failures.0.lock();
    match done {
        Ok(rows) => {
            failures.remove(name);
            tracing::info!(view = %name, rows, "refreshed");
        }
        Err(reason) => {
            tracing::warn!(view = %name, reason, "the view could not be refreshed; it shows what it showed before");
            let seen = (
                engine.catalog.snapshot().generation,
                engine.policies.current().generation(),
            );
            let at = Utc::now();
            failures.insert(name.clone(), Failure { reason, at, seen });
        }
    }
}
