//! Messages on their way: claimed, handed over, written down as sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use labhouse_catalog::{LakeError, TableName};
use labhouse_policies::Principal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::channel::{May, SendError, unconfigured};
use super::notice::Again;
use super::state::seconds;
use super::store::Stored;
use super::{AlertEvent, Delivery, Record, notice};
use crate::audit::Told;
use crate::engine::Engine;
use crate::pipelines::LOOK;
use crate::query::statement::CATALOG;

/// Messages of one alert by one channel that are claimed and sent at the same time.
const AT_ONCE: usize = 4;
/// Alerts whose messages are sent by one channel at the same time.
const ALERTS_AT_ONCE: usize = 4;
/// Send timeouts after which another server may take a message over that nobody holds on to. And those after which whoever is still
/// sending it says so anew: a mail is a conversation of several steps, each with that timeout.
const LEASE: u64 = 4;
const RENEWED: u64 = 2;
/// Longest pause between two attempts, in seconds.
const PAUSE_S_MAX: u64 = 900;

/// How one message fared.
enum Fate {
    Sent,
    /// Nothing of it may be told any more.
    Withheld,
    Failed(String),
    Later(String),
    /// Somebody else has it.
    Lost,
}

/// The messages of one alert by one channel.
type Road = (String, TableName);

/// Sends what is to be sent, until the server stops. Each road is a task of its own: a receiver that is slow, or down, holds up
/// nothing but what it gets itself.
pub(crate) async fn deliver(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut running: JoinSet<()> = JoinSet::new();
    let mut busy: BTreeMap<tokio::task::Id, Road> = BTreeMap::new();
    while !*stopped.borrow() {
        while let Some(ended) = running.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "sending ended badly");
                    error.id()
                }
            };
            busy.remove(&id);
        }
        for road in due(&engine, Utc::now()) {
            let by_channel = busy.values().filter(|(channel, _)| *channel == road.0).count();
            if by_channel >= ALERTS_AT_ONCE || busy.values().any(|under_way| *under_way == road) {
                continue;
            }
            let (engine, (channel, name)) = (Arc::clone(&engine), road.clone());
            let started = running.spawn(async move {
                if let Err(error) = send_by(&engine, &name, &channel).await {
                    tracing::error!(alert = %name, %error, "messages wait: the lake does not take their record");
                }
            });
            busy.insert(started.id(), road);
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    // What is under way is claimed, and another server takes it over when the claim ends.
    running.shutdown().await;
}

/// The roads on which a message is due.
fn due(engine: &Engine, now: DateTime<Utc>) -> BTreeSet<Road> {
    let mut roads = BTreeSet::new();
    for (name, stored) in engine.alerts.all() {
        let due = stored
            .record
            .deliveries
            .iter()
            .filter(|delivery| delivery.not_before <= now);
        roads.extend(due.map(|delivery| (delivery.target.channel.clone(), name.clone())));
    }
    roads
}

/// Sends the messages of one alert that are due.
pub(super) async fn send_all(engine: &Arc<Engine>, name: &TableName) -> Result<(), LakeError> {
    let roads = due(engine, Utc::now()).into_iter().filter(|(_, of)| of == name);
    for (channel, name) in roads {
        send_by(engine, &name, &channel).await?;
    }
    Ok(())
}

/// Sends the messages of one alert by one channel that are due, some at a time: what is not sent yet is not claimed either.
async fn send_by(engine: &Arc<Engine>, name: &TableName, channel: &str) -> Result<(), LakeError> {
    while let Some((stored, claimed)) = claim(engine, name, channel).await? {
        let sending = claimed
            .into_iter()
            .map(|delivery| send_one(Arc::clone(engine), name.clone(), Arc::clone(&stored), delivery));
        for done in futures::future::join_all(sending).await {
            done?;
        }
    }
    Ok(())
}

fn lease(engine: &Engine) -> TimeDelta {
    seconds(engine.config.alerts.send_timeout_s.saturating_mul(LEASE))
}

/// Claims some messages that are due; none if none are.
async fn claim(
    engine: &Engine,
    name: &TableName,
    channel: &str,
) -> Result<Option<(Arc<Stored>, Vec<Delivery>)>, LakeError> {
    let mut claimed: Vec<Delivery> = Vec::new();
    let (stored, made) = engine
        .alerts
        .update(name, |record| {
            let now = Utc::now();
            claimed.clear();
            let Some(mut record) = record.filter(|record| !record.dropped).cloned() else {
                return Ok::<_, LakeError>(None);
            };
            let due = |delivery: &&mut Delivery| delivery.not_before <= now && delivery.target.channel == channel;
            for delivery in record.deliveries.iter_mut().filter(due).take(AT_ONCE) {
                delivery.attempts += 1;
                delivery.not_before = now + lease(engine);
                delivery.claimed = true;
                claimed.push(delivery.clone());
            }
            Ok((!claimed.is_empty()).then_some(record))
        })
        .await?;
    Ok(stored.filter(|_| made).map(|stored| (stored, claimed)))
}

/// Renews the claim on a message, which so far ends at `end`: when it ends then, if it is still this server's.
async fn hold(
    engine: &Engine,
    name: &TableName,
    id: &str,
    end: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, LakeError> {
    let until = Utc::now() + lease(engine);
    let (_, held) = engine
        .alerts
        .update(name, |record| {
            let Some(mut record) = record.filter(|record| !record.dropped).cloned() else {
                return Ok::<_, LakeError>(None);
            };
            let own = |waiting: &&mut Delivery| waiting.id == id && waiting.not_before == end;
            let held = record.deliveries.iter_mut().find(own).map(|own| own.not_before = until);
            Ok(held.map(|()| record))
        })
        .await?;
    Ok(held.then_some(until).filter(|until| *until > Utc::now()))
}

/// Waits for the outcome of sending, however long it takes, and keeps the claim meanwhile: who gave up in between would not know
/// whether the message was taken, and it would be sent again.
async fn outcome<T>(
    engine: &Engine,
    name: &TableName,
    id: &str,
    mut end: DateTime<Utc>,
    sending: impl Future<Output = T>,
) -> T {
    let period = Duration::from_secs(engine.config.alerts.send_timeout_s.saturating_mul(RENEWED));
    let mut sending = std::pin::pin!(sending);
    loop {
        if let Ok(outcome) = tokio::time::timeout(period, &mut sending).await {
            return outcome;
        }
        match hold(engine, name, id, end).await {
            Ok(Some(until)) => end = until,
            Ok(None) => tracing::warn!(alert = %name, id, "a message that is being sent was claimed by another server"),
            Err(error) => tracing::warn!(alert = %name, id, %error, "the claim on a message was not renewed"),
        }
    }
}

async fn send_one(
    engine: Arc<Engine>,
    name: TableName,
    stored: Arc<Stored>,
    delivery: Delivery,
) -> Result<(), LakeError> {
    let record = &stored.record;
    let fate = hand_over(&engine, &name, record, &delivery).await?;
    let last = delivery.attempts >= engine.config.alerts.attempts_max;
    let fate = match fate {
        Fate::Later(reason) if last => Fate::Failed(reason),
        fate => fate,
    };
    let word = match &fate {
        Fate::Sent => "sent",
        Fate::Withheld => "withheld",
        Fate::Failed(reason) => {
            tracing::error!(alert = %name, recipient = delivery.target.recipient, channel = delivery.target.channel, reason, "a message is given up");
            "failed"
        }
        Fate::Later(reason) => {
            tracing::warn!(alert = %name, recipient = delivery.target.recipient, channel = delivery.target.channel, reason, "a message is tried again");
            "later"
        }
        Fate::Lost => return Ok(()),
    };
    engine.audit.notified(&Told {
        alert: &format!("{CATALOG}.{name}"),
        owner: &record.definition.owner,
        recipient: &delivery.target.recipient,
        channel: &delivery.target.channel,
        delivery: &delivery.id,
        outcome: word,
    });
    let pause = pause(engine.config.alerts.retry_s, delivery.attempts);
    let noted = engine.alerts.update(&name, |current| {
        let now = Utc::now();
        let waits = |current: &&Record| current.deliveries.iter().any(|waiting| waiting.id == delivery.id);
        let Some(mut current) = current.filter(waits).cloned() else {
            return Ok::<_, LakeError>(None);
        };
        note(&mut current, &delivery, &fate, now, pause);
        Ok(Some(current))
    });
    noted.await.map(drop)
}

/// Writes down how a message fared.
fn note(record: &mut Record, delivery: &Delivery, fate: &Fate, now: DateTime<Utc>, pause: Duration) {
    let (word, detail) = match fate {
        Fate::Later(_) => {
            let waiting = record.deliveries.iter_mut().filter(|waiting| waiting.id == delivery.id);
            waiting.for_each(|waiting| (waiting.not_before, waiting.claimed) = (now + pause, false));
            return;
        }
        Fate::Lost => return,
        Fate::Sent => ("sent", None),
        Fate::Withheld => ("withheld", None),
        Fate::Failed(reason) => ("failed", Some(reason.clone())),
    };
    record.deliveries.retain(|waiting| waiting.id != delivery.id);
    let mut event = AlertEvent::of(now, word, delivery);
    event.detail = detail;
    record.push(event);
}

async fn hand_over(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    delivery: &Delivery,
) -> Result<Fate, LakeError> {
    let target = &delivery.target;
    let Some(who) = engine.auth.named(&target.recipient) else {
        return Ok(Fate::Withheld);
    };
    if !engine.channels.has(&target.channel) {
        return Ok(fate(Err(unconfigured(&target.channel))));
    }
    // Made as one person for a channel that many read, by a server that still did so.
    if engine.channels.is_shared(&target.channel) && target.recipient != record.definition.owner {
        return Ok(Fate::Withheld);
    }
    // Does he see something else than when it was made? What of it may he see now?
    let sight = engine.sight(&who, &record.definition.sources);
    let renewed = match delivery.sight == sight {
        true => None,
        false => match notice::again(engine, name, record, &who, &delivery.message).await {
            Again::Message(message) => Some(Delivery {
                message: *message,
                ..delivery.clone()
            }),
            Again::Withhold => return Ok(Fate::Withheld),
            Again::Later(reason) => return Ok(Fate::Later(reason)),
        },
    };
    let mut end = delivery.not_before;
    let period = seconds(engine.config.alerts.send_timeout_s.saturating_mul(RENEWED));
    if end < Utc::now() + period {
        match hold(engine, name, &delivery.id, end).await? {
            Some(until) => end = until,
            None => return Ok(Fate::Lost),
        }
    }
    let may = may(engine, &who, &record.definition.sources, sight);
    let sending = engine.channels.send(renewed.as_ref().unwrap_or(delivery), &who, may);
    Ok(fate(outcome(engine, name, &delivery.id, end, sending).await))
}

/// Whether somebody still sees what he saw when the message was made for him. What the time of day decides is another thing each
/// time, and twice in a row too; it was made a moment ago.
fn may(engine: &Arc<Engine>, who: &Principal, sources: &[String], sight: String) -> May {
    let (engine, name, sources) = (Arc::clone(engine), who.name.clone(), sources.to_vec());
    Box::new(move || {
        let sees = |who: &Principal| engine.sight(who, &sources);
        let who = engine.auth.named(&name);
        who.is_some_and(|who| {
            let now = sees(&who);
            now == sight || now != sees(&who)
        })
    })
}

fn fate(sent: Result<(), SendError>) -> Fate {
    match sent {
        Ok(()) => Fate::Sent,
        Err(SendError::Never(reason)) => Fate::Failed(reason),
        Err(SendError::Later(reason)) => Fate::Later(reason),
    }
}

/// Twice as long after each failed attempt.
fn pause(first_s: u64, attempts: u32) -> Duration {
    let doubled = first_s.saturating_mul(1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX));
    Duration::from_secs(doubled.min(PAUSE_S_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let pauses: Vec<u64> = (1..=4).map(|attempt| pause(5, attempt).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40]);
        assert_eq!(pause(5, 200).as_secs(), PAUSE_S_MAX);
    }

    #[test]
    fn a_message_is_tried_for_a_day() {
        let config = crate::config::alerts::Alerts::default();
        let tried: u64 = (1..config.attempts_max)
            .map(|attempt| pause(config.retry_s, attempt).as_secs())
            .sum();
        assert!((86_000..100_000).contains(&tried), "{tried}");
    }
}
