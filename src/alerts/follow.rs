//! The background of alerts: what is due is looked at, and what is new is written down with its messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use labhouse_catalog::{CatalogSnapshot, LakeError, TableName};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::definition::{Rule, Schedule, Watch, What};
use super::evaluate::Look;
use super::send::send_all;
use super::state::{FaultKind, Outcome, State, seconds};
use super::store::Stored;
use super::{AlertEvent, Record, notice};
use crate::engine::Engine;
use crate::pipelines::{Calm, LOOK};
use crate::query::statement::CATALOG;

/// Looks at the same time: each is a statement or two.
const AT_ONCE: usize = 4;
/// How often other servers' changes are taken over.
const REFRESH: Duration = Duration::from_secs(5);
/// A rule that failed is tried again after so long, if nothing changed before.
const RETRY_S: u64 = 60;

/// What this server saw when it looked last.
#[derive(Default)]
pub(crate) struct Looks(Mutex<BTreeMap<TableName, Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    record: String,
    at: DateTime<Utc>,
    sources: BTreeMap<String, u64>,
    policy: u64,
}

impl Looks {
    /// When this server looked at an alert last.
    pub(crate) fn at(&self, name: &TableName) -> Option<DateTime<Utc>> {
        self.0.lock().get(name).map(|seen| seen.at)
    }

    fn get(&self, name: &TableName, record: &Record) -> Option<Seen> {
        self.0.lock().get(name).filter(|seen| seen.record == record.id).cloned()
    }

    fn saw(&self, name: &TableName, seen: Seen) {
        self.0.lock().insert(name.clone(), seen);
    }

    /// It is looked at again soon.
    fn forget(&self, name: &TableName) {
        self.0.lock().remove(name);
    }
}

/// Looks at alerts when they are due, until the server stops.
pub(crate) async fn follow(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut calm = Calm::default();
    let mut refreshed = Instant::now();
    let mut running: JoinSet<TableName> = JoinSet::new();
    let mut busy: BTreeSet<TableName> = BTreeSet::new();
    while !*stopped.borrow() {
        while let Some(ended) = running.try_join_next() {
            match ended {
                Ok(name) => {
                    busy.remove(&name);
                }
                Err(error) => {
                    tracing::error!(%error, "a look at an alert ended badly");
                    busy.clear();
                }
            }
        }
        if refreshed.elapsed() >= REFRESH {
            refreshed = Instant::now();
            if let Err(error) = engine.alerts.refresh().await {
                tracing::error!(%error, "the alerts were not refreshed");
            }
        }
        let catalog = engine.catalog.snapshot();
        if calm.is_calm(&catalog) {
            let now = Utc::now();
            for (name, stored) in engine.alerts.all() {
                let free = running.len() < AT_ONCE && !busy.contains(&name);
                if free && is_due(&engine, &name, &stored.record, &catalog, now) {
                    busy.insert(name.clone());
                    let engine = Arc::clone(&engine);
                    running.spawn(async move {
                        if let Err(error) = attend(&engine, &name, &stored).await {
                            tracing::error!(alert = %name, %error, "what a look found could not be written down; it is looked at again");
                            engine.alert_looks.forget(&name);
                        }
                        name
                    });
                }
            }
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    running.shutdown().await;
}

/// Looks at every alert and sends what is new, once: a lab that is built says at once what is wrong in it.
pub(crate) async fn settle(engine: &Arc<Engine>) -> Result<(), LakeError> {
    for (name, stored) in engine.alerts.all() {
        attend(engine, &name, &stored).await?;
        send_all(engine, &name).await?;
    }
    Ok(())
}

fn is_due(engine: &Engine, name: &TableName, record: &Record, catalog: &CatalogSnapshot, now: DateTime<Utc>) -> bool {
    if !record.definition.enabled {
        return false;
    }
    if let What::Report { .. } = record.definition.what {
        let last = record.state.slot.unwrap_or(record.definition.created_at);
        return next(&record.definition.when, last).is_some_and(|next| next <= now);
    }
    let Some(seen) = engine.alert_looks.get(name, record) else {
        return true;
    };
    let by_clock = match &record.definition.when {
        Schedule::OnChange => versions(record, catalog) != seen.sources,
        when => next(when, seen.at).is_some_and(|next| next <= now),
    };
    let policy = engine.policies.current().generation();
    let untold = record.state.has_news() && !record.definition.is_silent(now);
    by_clock || untold || seen.policy != policy || deadline(record, seen.at).is_some_and(|deadline| deadline <= now)
}

/// The next time by the clock; none for one that follows its sources.
fn next(when: &Schedule, last: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match when {
        Schedule::OnChange => None,
        Schedule::EveryS(period) => last.checked_add_signed(seconds(*period)),
        Schedule::Cron(cron) => cron.after(last),
    }
}

/// When something is to be looked at that no commit tells of: a pending label, missing rows, a rule that failed.
fn deadline(record: &Record, looked_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let watch = record.definition.watch()?;
    let state = &record.state;
    let pending = state.fires_at(watch.for_s);
    let missing = match watch.rule {
        Rule::NoNewRows { for_s } if state.instances.is_empty() => state
            .watched
            .get(&record.definition.owner)
            .map(|seen| seen.since + seconds(for_s)),
        _ => None,
    };
    let failed = state
        .fault
        .as_ref()
        .filter(|fault| fault.kind == FaultKind::Error)
        .map(|_| looked_at + seconds(RETRY_S));
    [pending, missing, failed].into_iter().flatten().min()
}

fn versions(record: &Record, catalog: &CatalogSnapshot) -> BTreeMap<String, u64> {
    let sources = record.definition.sources.iter().filter_map(|source| {
        let (schema, table) = source.split_once('.')?;
        Some((source.clone(), catalog.table(schema, table)?.version()))
    });
    sources.collect()
}

/// One look, and what follows from it.
async fn attend(engine: &Arc<Engine>, name: &TableName, stored: &Stored) -> Result<(), LakeError> {
    let record = &stored.record;
    let now = Utc::now();
    let (next, events) = match &record.definition.what {
        What::Report { .. } => {
            let state = State {
                slot: Some(now),
                ..record.state.clone()
            };
            (state, vec![AlertEvent::new(now, "report")])
        }
        What::Alert(watch) => {
            // Read before the look: what is committed during it is looked at once more.
            let seen = Seen {
                record: record.id.clone(),
                at: now,
                sources: versions(record, &engine.catalog.snapshot()),
                policy: engine.policies.current().generation(),
            };
            let next = look(engine, record, watch, now).await;
            engine.alert_looks.saw(name, seen);
            let events = transitions(&record.state, &next, now);
            (next, events)
        }
    };
    let is_report = record.definition.watch().is_none();
    let tells = is_report || (next.has_news() && !record.definition.is_silent(now));
    if !tells && !next.differs(&record.state) {
        return Ok(());
    }
    // What is new alone; the rest is taken from the record as it is when this is written down.
    let mut made = Record {
        state: next,
        deliveries: Vec::new(),
        events: VecDeque::new(),
        ..record.clone()
    };
    made.state.evaluated_at = Some(now);
    events.iter().for_each(|event| made.push(event.clone()));
    if tells {
        notice::announce(engine, name, &mut made, now).await;
    }
    let committed = engine.alerts.update(name, |current| {
        // Another server was there first, or the alert is another: it is looked at anew.
        let Some(current) = current.filter(|current| is_unchanged(current, record)) else {
            return Ok::<_, LakeError>(None);
        };
        let mut next = current.clone();
        next.state = made.state.clone();
        next.deliveries.extend(made.deliveries.iter().cloned());
        made.events.iter().for_each(|event| next.push(event.clone()));
        Ok(Some(next))
    });
    match committed.await? {
        (_, true) => {
            for event in &events {
                engine
                    .audit
                    .alerted(&format!("{CATALOG}.{name}"), &record.definition.owner, &event.event);
                tracing::info!(alert = %name, event = event.event, "alert");
            }
        }
        (_, false) => engine.alert_looks.forget(name),
    }
    Ok(())
}

/// Whether nobody else changed the record but for messages that were sent.
fn is_unchanged(current: &Record, seen: &Record) -> bool {
    current.id == seen.id && !current.dropped && current.state == seen.state && current.definition == seen.definition
}

/// The state after a look as the owner.
async fn look(engine: &Arc<Engine>, record: &Record, watch: &Watch, now: DateTime<Utc>) -> State {
    let owner = &record.definition.owner;
    let mut watched = record.state.watched.clone();
    let outcome = match engine.auth.named(owner) {
        Some(who) => {
            let Look {
                outcome, watched: seen, ..
            } = engine.look(&who, watch, watched.get(owner), now).await;
            watched.extend(seen.map(|seen| (owner.clone(), seen)));
            outcome
        }
        None => Outcome::Failed(format!("its owner {owner} is no user any more")),
    };
    // Missing rows are missing for each person by himself.
    if let Rule::NoNewRows { .. } = watch.rule {
        for recipient in record
            .definition
            .recipients()
            .into_iter()
            .filter(|recipient| recipient != owner)
        {
            let Some(who) = engine.auth.named(recipient) else {
                continue;
            };
            let seen = engine.look(&who, watch, watched.get(recipient), now).await.watched;
            watched.extend(seen.map(|seen| (recipient.to_owned(), seen)));
        }
    }
    let mut next = record.state.after(&outcome, watch.for_s, now);
    next.watched = watched;
    next
}

/// The events of going from one state to the next.
fn transitions(before: &State, after: &State, now: DateTime<Utc>) -> Vec<AlertEvent> {
    let (was, is) = (before.firing(), after.firing());
    let fired: Vec<String> = is.difference(&was).cloned().collect();
    let ended: Vec<String> = was.difference(&is).cloned().collect();
    let mut events = Vec::new();
    if before.word() != after.word() || !fired.is_empty() || !ended.is_empty() {
        let mut event = AlertEvent::new(now, after.word());
        event.detail = after.fault.as_ref().and_then(|fault| fault.reason.clone());
        event.labels = if fired.is_empty() { ended } else { fired };
        event.labels.truncate(notice::LABELS_SHOWN_MAX);
        events.push(event);
    }
    events
}
