//! Messages on their way: claimed, handed over, written down as sent.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use labhouse_catalog::{LakeError, TableName};
use tokio::sync::watch;

use super::channel::SendError;
use super::state::seconds;
use super::store::Stored;
use super::{AlertEvent, Delivery, Record, notice};
use crate::audit::Told;
use crate::engine::Engine;
use crate::pipelines::LOOK;
use crate::query::statement::CATALOG;

/// Messages of one alert that are sent at the same time.
const AT_ONCE: usize = 4;
/// Alerts whose messages are sent at the same time.
const ALERTS_AT_ONCE: usize = 4;
/// Send timeouts that one message may take: a mail is a conversation of several steps, each with that timeout. And those after
/// which another server may take a message over: later than its sender gives up.
const STEPS: u64 = 3;
const LEASE: u64 = 4;
/// Longest pause between two attempts.
const PAUSE_S_MAX: u64 = 3_600;

/// How one message fared.
enum Fate {
    Sent,
    /// Nothing of it may be told any more.
    Withheld,
    Failed(String),
    Later(String),
}

/// Sends what is to be sent, until the server stops.
pub(crate) async fn deliver(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let now = Utc::now();
        let due: Vec<TableName> = engine
            .alerts
            .all()
            .into_iter()
            .filter(|(_, stored)| {
                stored
                    .record
                    .deliveries
                    .iter()
                    .any(|delivery| delivery.not_before <= now)
            })
            .map(|(name, _)| name)
            .collect();
        let sending = futures::stream::iter(due).for_each_concurrent(ALERTS_AT_ONCE, |name| {
            let engine = Arc::clone(&engine);
            async move {
                if let Err(error) = send_all(&engine, &name).await {
                    tracing::error!(alert = %name, %error, "messages wait: the lake does not take their record");
                }
            }
        });
        tokio::select! {
            // What is under way is claimed, and another server takes it over when the claim ends.
            _ = stopped.changed() => break,
            () = sending => {}
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Claims the messages of one alert that are due, and sends them.
pub(super) async fn send_all(engine: &Arc<Engine>, name: &TableName) -> Result<(), LakeError> {
    let lease = seconds(engine.config.alerts.send_timeout_s.saturating_mul(LEASE));
    let mut claimed: Vec<String> = Vec::new();
    let (stored, made) = engine
        .alerts
        .update(name, |record| {
            let now = Utc::now();
            claimed.clear();
            let Some(mut record) = record.filter(|record| !record.dropped).cloned() else {
                return Ok::<_, LakeError>(None);
            };
            for delivery in record
                .deliveries
                .iter_mut()
                .filter(|delivery| delivery.not_before <= now)
            {
                delivery.attempts += 1;
                delivery.not_before = now + lease;
                claimed.push(delivery.id.clone());
            }
            Ok((!claimed.is_empty()).then_some(record))
        })
        .await?;
    let Some(stored) = stored.filter(|_| made) else {
        return Ok(());
    };
    let mut sending = Vec::new();
    for delivery in stored
        .record
        .deliveries
        .iter()
        .filter(|delivery| claimed.contains(&delivery.id))
    {
        let (engine, stored) = (Arc::clone(engine), Arc::clone(&stored));
        sending.push(send_one(engine, name.clone(), stored, delivery.clone()));
    }
    let mut sending = futures::stream::iter(sending).buffer_unordered(AT_ONCE);
    while let Some(done) = sending.next().await {
        done?;
    }
    Ok(())
}

async fn send_one(
    engine: Arc<Engine>,
    name: TableName,
    stored: Arc<Stored>,
    delivery: Delivery,
) -> Result<(), LakeError> {
    let record = &stored.record;
    let fate = hand_over(&engine, &name, record, &delivery).await;
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
            waiting.for_each(|waiting| waiting.not_before = now + pause);
            return;
        }
        Fate::Sent => ("sent", None),
        Fate::Withheld => ("withheld", None),
        Fate::Failed(reason) => ("failed", Some(reason.clone())),
    };
    record.deliveries.retain(|waiting| waiting.id != delivery.id);
    let mut event = AlertEvent::of(now, word, delivery);
    event.detail = detail;
    record.push(event);
}

async fn hand_over(engine: &Arc<Engine>, name: &TableName, record: &Record, delivery: &Delivery) -> Fate {
    let Some(who) = engine.auth.named(&delivery.target.recipient) else {
        return Fate::Withheld;
    };
    // Made under other policies: what of it may this person see now?
    let policy = engine.policies.current().fingerprint().to_owned();
    let renewed = match delivery.policy == policy {
        true => None,
        false => match notice::again(engine, name, record, &who, &delivery.message).await {
            Some(message) => Some(Delivery {
                message,
                ..delivery.clone()
            }),
            None => return Fate::Withheld,
        },
    };
    let limit = Duration::from_secs(engine.config.alerts.send_timeout_s.saturating_mul(STEPS));
    let sent = engine.channels.send(renewed.as_ref().unwrap_or(delivery), &who);
    match tokio::time::timeout(limit, sent).await {
        Ok(Ok(())) => Fate::Sent,
        Ok(Err(SendError::Never(reason))) => Fate::Failed(reason),
        Ok(Err(SendError::Later(reason))) => Fate::Later(reason),
        Err(_elapsed) => Fate::Later(format!(
            "it was not taken within {} s (alerts.send_timeout_s, {STEPS} times)",
            limit.as_secs()
        )),
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
}
