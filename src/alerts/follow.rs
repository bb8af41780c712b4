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
use super::{AlertEvent, Delivery, Record, notice};
use crate::engine::Engine;
use crate::pipelines::{Calm, LOOK, Turns};
use crate::query::statement::CATALOG;

/// Looks at the same time: each is a statement or two.
const AT_ONCE: usize = 4;
/// How often other servers' changes are taken over.
const REFRESH: Duration = Duration::from_secs(5);
/// A rule that failed is tried again after so long, if nothing changed before.
const RETRY_S: u64 = 60;
/// A rule that asks the clock may come to hold though nothing changed: it is looked at again after so long.
const CLOCK_S: u64 = 60;

/// What this server saw when it looked last.
#[derive(Default)]
pub(crate) struct Looks(Mutex<BTreeMap<TableName, Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    record: String,
    at: DateTime<Utc>,
    /// When it was looked at as its owner.
    owner_at: DateTime<Utc>,
    sources: BTreeMap<String, u64>,
    policy: u64,
    /// A recipient could not be looked for.
    failed: bool,
}

/// Why an alert is looked at. Of a look that only a recipient's state asks for, the owner's state and times tell nothing: he
/// would learn of it what she sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A commit, the clock, or the owner's own state: it is looked at as everybody.
    All,
    /// As the recipients alone.
    Others,
}

impl Looks {
    /// When this server looked at an alert last as its owner.
    pub(crate) fn at(&self, name: &TableName) -> Option<DateTime<Utc>> {
        self.0.lock().get(name).map(|seen| seen.owner_at)
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
    let mut turns = Turns::default();
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
        if calm.is_calm(&catalog) && running.len() < AT_ONCE {
            let now = Utc::now();
            let idle = engine.alerts.all().into_iter().filter(|(name, _)| !busy.contains(name));
            let due: Vec<_> = idle
                .filter_map(|(name, stored)| {
                    let due = due(&engine, &name, &stored.record, &catalog, now)?;
                    Some((name, (stored, due)))
                })
                .collect();
            for (name, (stored, due)) in turns.next(due, AT_ONCE - running.len()) {
                busy.insert(name.clone());
                let engine = Arc::clone(&engine);
                running.spawn(async move {
                    if let Err(error) = attend(&engine, &name, &stored, due).await {
                        tracing::error!(alert = %name, %error, "what a look found could not be written down; it is looked at again");
                        engine.alert_looks.forget(&name);
                    }
                    name
                });
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
        attend(engine, &name, &stored, Due::All).await?;
        send_all(engine, &name).await?;
    }
    Ok(())
}

fn due(
    engine: &Engine,
    name: &TableName,
    record: &Record,
    catalog: &CatalogSnapshot,
    now: DateTime<Utc>,
) -> Option<Due> {
    if !record.definition.enabled {
        return None;
    }
    let state = &record.state;
    if let What::Report { .. } = record.definition.what {
        let last = state.slot.unwrap_or(record.definition.created_at);
        let is_due = next(&record.definition.when, last).is_some_and(|next| next <= now);
        return is_due.then_some(Due::All);
    }
    let Some(seen) = engine.alert_looks.get(name, record) else {
        return Some(Due::All);
    };
    let by_clock = match &record.definition.when {
        Schedule::OnChange => versions(record, catalog) != seen.sources,
        when => next(when, seen.owner_at).is_some_and(|next| next <= now),
    };
    let policy = engine.policies.current().generation();
    let has_come = |deadline: Option<DateTime<Utc>>| deadline.is_some_and(|deadline| deadline <= now);
    let tells = !record.definition.is_silent(now);
    let owner = &record.definition.owner;
    let recipients = record.definition.recipients(&engine.channels);
    let untold = tells && (state.is_news() || (recipients.contains(owner) && state.has_news_for(owner)));
    if by_clock || untold || seen.policy != policy || has_come(deadline(record, &seen)) {
        return Some(Due::All);
    }
    let untold = tells && state.has_news(&recipients);
    (untold || has_come(others_deadline(record, &seen))).then_some(Due::Others)
}

fn has_news(engine: &Engine, record: &Record, state: &State) -> bool {
    state.has_news(&record.definition.recipients(&engine.channels))
}

/// The next time by the clock; none for one that follows its sources.
fn next(when: &Schedule, last: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match when {
        Schedule::OnChange => None,
        Schedule::EveryS(period) => last.checked_add_signed(seconds(*period)),
        Schedule::Cron(cron) => cron.after(last),
    }
}

/// When something of the owner's is to be looked at that no commit tells of: a pending label, missing rows, a rule that failed
/// or that asks the clock.
fn deadline(record: &Record, seen: &Seen) -> Option<DateTime<Utc>> {
    let watch = record.definition.watch()?;
    let state = &record.state;
    let pending = state.fires_at(watch.for_s, &record.definition.owner);
    let missing = match watch.rule {
        Rule::NoNewRows { for_s } if state.instances.is_empty() => state
            .watched
            .get(&record.definition.owner)
            .map(|seen| seen.since + seconds(for_s)),
        _ => None,
    };
    let owner_failed = matches!(&state.fault, Some(fault) if fault.kind == FaultKind::Error);
    let failed = owner_failed.then(|| seen.owner_at + seconds(RETRY_S));
    let by_clock = record.definition.when == Schedule::OnChange && watch.follows_clock();
    let later = by_clock.then(|| seen.owner_at + seconds(CLOCK_S));
    [pending, missing, failed, later].into_iter().flatten().min()
}

/// The same of what the recipients see.
fn others_deadline(record: &Record, seen: &Seen) -> Option<DateTime<Utc>> {
    let watch = record.definition.watch()?;
    let pending = record.state.fires_for_others_at(watch.for_s, &record.definition.owner);
    let failed = seen.failed.then(|| seen.at + seconds(RETRY_S));
    [pending, failed].into_iter().flatten().min()
}

fn versions(record: &Record, catalog: &CatalogSnapshot) -> BTreeMap<String, u64> {
    let sources = record.definition.sources.iter().filter_map(|source| {
        let (schema, table) = source.split_once('.')?;
        Some((source.clone(), catalog.table(schema, table)?.version()))
    });
    sources.collect()
}

/// One look, and what follows from it.
async fn attend(engine: &Arc<Engine>, name: &TableName, stored: &Stored, due: Due) -> Result<(), LakeError> {
    let record = &stored.record;
    let now = Utc::now();
    let is_silent = record.definition.is_silent(now);
    // Before anything is looked at: what changes meanwhile makes a message be looked at again before it is sent.
    let sights = sights(engine, record);
    let (next, events) = match &record.definition.what {
        What::Report { .. } => {
            let state = State {
                slot: Some(now),
                ..record.state.clone()
            };
            let mut event = AlertEvent::new(now, if is_silent { "withheld" } else { "report" });
            event.detail = is_silent.then(|| "it is silent".to_owned());
            (state, vec![event])
        }
        What::Alert(watch) => {
            // Read before the look: what is committed during it is looked at once more.
            let mut seen = Seen {
                record: record.id.clone(),
                at: now,
                owner_at: now,
                sources: versions(record, &engine.catalog.snapshot()),
                policy: engine.policies.current().generation(),
                failed: false,
            };
            if due == Due::Others
                && let Some(before) = engine.alert_looks.get(name, record)
            {
                (seen.owner_at, seen.sources, seen.policy) = (before.owner_at, before.sources, before.policy);
            }
            let (mut next, failed) = look(engine, record, watch, now).await;
            if due == Due::Others {
                next = record.state.with_others_of(next, &record.definition.owner);
            }
            seen.failed = failed;
            engine.alert_looks.saw(name, seen);
            let events = transitions(&record.state, &next, now);
            (next, events)
        }
    };
    let is_report = record.definition.watch().is_none();
    let tells = !is_silent && (is_report || has_news(engine, record, &next));
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
        notice::announce(engine, name, &mut made, &record.deliveries, &sights, now).await;
    }
    let committed = engine.alerts.update(name, |current| {
        // Another server was there first, or the alert is another: it is looked at anew.
        let Some(current) = current.filter(|current| is_unchanged(current, record)) else {
            return Ok::<_, LakeError>(None);
        };
        let mut next = current.clone();
        next.state = made.state.clone();
        if is_report {
            replace(&mut next, &made.deliveries, now);
        }
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

/// A report that still waits is replaced by the newer one: a receiver that is down for a day gets the last of them, not all. One
/// that is being sent goes on.
fn replace(record: &mut Record, newer: &[Delivery], now: DateTime<Utc>) {
    let is_replaced = |waiting: &Delivery| {
        let under_way = waiting.claimed && waiting.not_before > now;
        !under_way && newer.iter().any(|newer| newer.target == waiting.target)
    };
    let waiting = std::mem::take(&mut record.deliveries).into_iter();
    let (replaced, left): (Vec<Delivery>, Vec<Delivery>) = waiting.partition(is_replaced);
    record.deliveries = left;
    for delivery in &replaced {
        record.push(AlertEvent::of(now, "replaced", delivery));
    }
}

/// What each recipient sees now of what is read.
fn sights(engine: &Engine, record: &Record) -> BTreeMap<String, String> {
    let definition = &record.definition;
    let recipients = definition.recipients(&engine.channels);
    let people = recipients.iter().filter_map(|name| engine.auth.named(name));
    people
        .map(|who| (who.name.clone(), engine.sight(&who, &definition.sources)))
        .collect()
}

/// The state after a look as the owner and as each recipient, and whether a recipient could not be looked for.
async fn look(engine: &Arc<Engine>, record: &Record, watch: &Watch, now: DateTime<Utc>) -> (State, bool) {
    let owner = &record.definition.owner;
    let mut watched = record.state.watched.clone();
    let by_owner = match engine.auth.named(owner) {
        Some(who) => {
            let fired = record.state.fired_for(owner, owner);
            engine.look(&who, watch, watched.get(owner), &fired, now).await
        }
        None => Look {
            outcome: Outcome::Failed(format!("its owner {owner} is no user any more")),
            watched: None,
            sees: false,
            passes: false,
        },
    };
    watched.extend(by_owner.watched.iter().map(|seen| (owner.clone(), seen.clone())));
    let recipients = record.definition.recipients(&engine.channels);
    let mut next = record
        .state
        .after(&by_owner.outcome, watch.for_s, now)
        .of_people(&recipients, owner);
    let mut failed = false;
    for recipient in &recipients {
        let look = match engine.auth.named(recipient) {
            _ if recipient == owner => by_owner.clone(),
            Some(who) => {
                let fired = record.state.fired_for(recipient, owner);
                engine.look(&who, watch, watched.get(recipient), &fired, now).await
            }
            None => {
                next.blind(recipient);
                continue;
            }
        };
        // That his own rule can no longer be asked, because a table or a column is gone, the author is told; others would learn
        // of a table that they do not see.
        let is_authors_fault = recipient == owner && matches!(look.outcome, Outcome::Failed(_));
        if !look.sees && !is_authors_fault {
            next.blind(recipient);
            continue;
        }
        watched.extend(look.watched.map(|seen| (recipient.clone(), seen)));
        let outcome = match look.outcome {
            // Of a rule that cannot be asked as its owner, nobody can say what became.
            _ if !by_owner.sees => by_owner.outcome.clone(),
            // Told only where it fails for the owner, too. Else what is known of it stays, until it can be asked.
            Outcome::Failed(reason) if !matches!(by_owner.outcome, Outcome::Failed(_)) => {
                tracing::warn!(
                    recipient,
                    reason,
                    "what a recipient sees of an alert could not be asked"
                );
                failed |= look.passes;
                continue;
            }
            outcome => outcome,
        };
        let told = next.told_to.get(recipient).cloned().unwrap_or_default();
        let before = next.seen_by.remove(recipient).unwrap_or_default();
        let found = before.after(&outcome, &told, watch.for_s, now);
        next.seen_by.insert(recipient.clone(), found);
    }
    next.watched = watched;
    (next, failed)
}

/// The events of going from one state to the next.
fn transitions(before: &State, after: &State, now: DateTime<Utc>) -> Vec<AlertEvent> {
    let (was, is) = (before.firing(), after.firing());
    let lost: Vec<String> = after.no_data().difference(&before.no_data()).cloned().collect();
    let fired: Vec<String> = is.difference(&was).cloned().collect();
    let no_data = after.no_data();
    let mut ended: Vec<String> = was.difference(&is).cloned().collect();
    ended.extend(before.no_data().difference(&is).cloned());
    ended.retain(|label| !no_data.contains(label));
    let mut events = Vec::new();
    let mut add = |word: &str, labels: Vec<String>| {
        let mut event = AlertEvent::new(now, word);
        event.labels = labels;
        event.labels.truncate(notice::LABELS_SHOWN_MAX);
        events.push(event);
    };
    let is_lost = !lost.is_empty();
    if is_lost {
        add(FaultKind::NoData.word(), lost);
    }
    let is_told = is_lost && after.word() == FaultKind::NoData.word();
    if (before.word() != after.word() && !is_told) || !fired.is_empty() || !ended.is_empty() {
        let is_well = after.fault.is_none() && is.is_empty() && fired.is_empty() && !ended.is_empty();
        let word = if is_well { "ok" } else { after.word() };
        add(word, if fired.is_empty() { ended } else { fired });
    }
    if let (Some(event), Some(fault)) = (events.last_mut(), after.fault.as_ref()) {
        event.detail.clone_from(&fault.reason);
    }
    events
}
