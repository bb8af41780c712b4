//! The background of views: what is due is made again as its owner, a few beside each other: one that takes long holds up nothing but
//! what is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use labhouse_catalog::{CatalogSnapshot, TableName};
use labhouse_policies::Principal;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use super::{Turns, View};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::World;

/// How often the catalog is looked at; a look costs the views that are followed, and nothing else unless tables changed.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// Sources that change in every look are waited for, but not longer than this.
const CALM_MAX: Duration = Duration::from_secs(3);
/// Views that are made at the same time: each is a statement with its memory and its processors.
const AT_ONCE: usize = 4;
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
    let mut running: JoinSet<()> = JoinSet::new();
    let mut turns = Turns::default();
    let mut busy: BTreeMap<Id, TableName> = BTreeMap::new();
    while !*stopped.borrow() {
        let world = engine.world();
        if calm.is_calm(&world.catalog) && running.len() < AT_ONCE {
            let under_way: BTreeSet<String> = busy.values().map(ToString::to_string).collect();
            let free = AT_ONCE - running.len();
            let due = due(&engine, &world, &mut views, &under_way).into_iter();
            for (name, ()) in turns.next(due.map(|name| (name, ())).collect(), free) {
                let (engine, of) = (Arc::clone(&engine), name.clone());
                let started = running.spawn(async move { refresh(&engine, &of).await });
                busy.insert(started.id(), name);
            }
        }
        tokio::select! {
            _ = stopped.changed() => break,
            Some(ended) = running.join_next_with_id() => {
                busy.remove(&id_of(ended));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    // What is cut off here left the old rows, and is due when a server is there again.
    running.shutdown().await;
}

fn id_of(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "a refresh ended badly");
            error.id()
        }
    }
}

/// The views of a catalog, read from their tables once for each generation, and whether each owner sees its sources as he did:
/// worked out once for each world.
#[derive(Default)]
struct Views {
    generation: Option<u64>,
    views: Vec<(TableName, View)>,
    world: Option<World>,
    seen: BTreeMap<TableName, (Principal, bool)>,
}

impl Views {
    fn read(&mut self, world: &World) {
        let catalog = &world.catalog;
        if self.generation != Some(catalog.generation) {
            let views = catalog.all();
            let views = views.filter_map(|table| Some((table.name().clone(), View::of(table)?)));
            (self.generation, self.views) = (Some(catalog.generation), views.collect());
        }
        if !self.world.as_ref().is_some_and(|known| known.same(world)) {
            (self.world, self.seen) = (Some(world.clone()), BTreeMap::new());
        }
    }
}

/// The views that are due, but for those whose sources are due themselves or are being made, and for those that are being made.
fn due(engine: &Engine, world: &World, views: &mut Views, under_way: &BTreeSet<String>) -> Vec<TableName> {
    views.read(world);
    let now = Utc::now();
    let catalog = &world.catalog;
    let generations = (catalog.generation, world.policies.generation());
    let Views { views, seen, .. } = views;
    let mut due: BTreeMap<String, &(TableName, View)> = BTreeMap::new();
    for view in views.iter() {
        let (name, definition) = view;
        if engine.view_failures.waits(name, generations, now) {
            continue;
        }
        let is_as_seen = || match engine.auth.named(&definition.owner) {
            Some(owner) => match seen.get(name) {
                Some((known, is_seen)) if *known == owner => *is_seen,
                _ => {
                    let is_seen = engine.is_as_seen(definition, &owner, world);
                    seen.insert(name.clone(), (owner, is_seen));
                    is_seen
                }
            },
            // Nobody would see it in another way: it stays what it was.
            None => true,
        };
        if definition.is_due(catalog, now, is_as_seen) {
            due.insert(name.to_string(), view);
        }
    }
    let waits = |source: &String| due.contains_key(source) || under_way.contains(source);
    due.iter()
        .filter(|(name, (_, view))| !under_way.contains(*name) && !view.sources.keys().any(waits))
        .map(|(_, (name, _))| name.clone())
        .collect()
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
