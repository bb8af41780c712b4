//! Alerts and reports: rules that watch tables, queries that are sent by the clock, and the messages of both.
//!
//! # The road of a notification
//! ```text
//! commit or clock ─ follow ─ rule as its owner ─ state ─┬─ notice: the rule as each recipient ─ one record ─ send ─ channel
//!                                                        └─ nothing changed: nothing is written
//! ```
//! A rule is asked on the query road as its owner, a message is made on the same road as its recipient: it holds what that
//! person sees, and whoever sees nothing of it gets nothing, not even the news that there is some. Each recipient has
//! transitions of her own, looked for whenever the owner's are; a message that waits is made anew as soon as its recipient
//! sees its sources in another way. A channel that many read (webhook, Slack) speaks for the owner, whoever is named.
//!
//! # Who sees what became of it
//! The rule is its author's SQL and runs as others: whether somebody else was told is a bit of what that person sees. So an
//! owner is shown his own view's states and messages, and a recipient the messages to herself; all of it is an administrator's.
//! Looks that only a recipient's state asks for leave the owner's as it is, and no time he is shown tells of them. Not hidden is
//! that a server is busy: whoever may use much of it at once can notice what it costs, here as with any statement.
//!
//! # Exactly one
//! Each alert is one record under `_labhouse/alerts`, a new numbered object for every change, made only if that number is free.
//! A transition and all its messages are one such object, so of two servers one makes it, and a crash loses neither. A
//! server claims messages the same way before it sends them, and writes down that they are sent; a claim that is not kept
//! ends by itself. Between a receiver's yes and that note lies the one moment in which a crash sends twice: then with the
//! same number (`Message-ID`, `X-Labhouse-Delivery`), by which receivers tell.
//!
//! # Deliberately absent
//! Addresses in statements: a statement names a channel that an administrator configured, and a login whose address an
//! administrator wrote down. Recipients' rows outside the record: a sent message is taken out of it.

mod channel;
mod definition;
mod evaluate;
mod follow;
mod grants;
mod mail;
mod markup;
mod notice;
mod rule;
mod schedule;
mod send;
mod series;
mod state;
mod statement;
mod store;

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use channel::{ChannelError, Channels};
pub(crate) use definition::{Definition, Direction, Schedule, Series, Target, What, Within};
pub(crate) use follow::{Looks, follow, settle};
pub(crate) use schedule::Cron;
pub(crate) use send::deliver;
pub(crate) use state::State;
pub(crate) use store::{AlertStore, Stored};

use notice::Message;

/// Events of one alert that its record remembers for its owner, and of messages to each other recipient: what one of them may see
/// is not pushed out by what he may not. The audit trail keeps all of them.
const EVENTS_MAX: usize = 200;
const OTHERS_EVENTS_MAX: usize = 50;

/// Everything about one alert or report, as one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Made with the alert: tells it apart from one made anew under its name.
    pub(crate) id: String,
    pub(crate) dropped: bool,
    pub(crate) definition: Definition,
    pub(crate) state: State,
    /// Messages that are not sent yet.
    pub(crate) deliveries: Vec<Delivery>,
    /// Newest last.
    pub(crate) events: VecDeque<AlertEvent>,
}

/// A message on its way to one person by one channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Always the same for one transition, person and channel.
    pub(crate) id: String,
    pub(crate) target: Target,
    pub(crate) message: Message,
    /// What the person saw of the sources when the message was made.
    #[serde(alias = "policy")]
    pub(crate) sight: String,
    pub(crate) attempts: u32,
    /// Nobody else sends it before then.
    pub(crate) not_before: DateTime<Utc>,
    /// Somebody is sending it, until then at least.
    #[serde(default)]
    pub(crate) claimed: bool,
}

/// What happened to an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlertEvent {
    pub(crate) at: DateTime<Utc>,
    /// A state, or `created`, `altered`, `report`, `sent`, `failed`, `withheld`, `replaced`.
    pub(crate) event: String,
    /// Labels it is about.
    pub(crate) labels: Vec<String>,
    pub(crate) recipient: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) delivery: Option<String>,
    /// Why, where that is to be said: for the owner, if it is of his view.
    pub(crate) detail: Option<String>,
}

impl Record {
    fn new(definition: Definition) -> Self {
        Self {
            id: uuid::Uuid::now_v7().simple().to_string(),
            dropped: false,
            definition,
            state: State::default(),
            deliveries: Vec::new(),
            events: VecDeque::new(),
        }
    }

    fn push(&mut self, event: AlertEvent) {
        let owner = self.definition.owner.clone();
        let other = |event: &AlertEvent| event.recipient.clone().filter(|recipient| *recipient != owner);
        let of = other(&event);
        let most = if of.is_none() { EVENTS_MAX } else { OTHERS_EVENTS_MAX };
        while self.events.iter().filter(|known| other(known) == of).count() >= most {
            let Some(oldest) = self.events.iter().position(|known| other(known) == of) else {
                break;
            };
            self.events.remove(oldest);
        }
        self.events.push_back(event);
    }
}

impl AlertEvent {
    fn new(at: DateTime<Utc>, event: impl Into<String>) -> Self {
        Self {
            at,
            event: event.into(),
            labels: Vec::new(),
            recipient: None,
            channel: None,
            delivery: None,
            detail: None,
        }
    }

    fn of(at: DateTime<Utc>, event: &str, delivery: &Delivery) -> Self {
        Self {
            recipient: Some(delivery.target.recipient.clone()),
            channel: Some(delivery.target.channel.clone()),
            delivery: Some(delivery.id.clone()),
            ..Self::new(at, event)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_are_told_pushes_nothing_of_the_owner_out() {
        let definition = Definition {
            owner: "sam".into(),
            created_at: Utc::now(),
            what: What::Report { sql: "SELECT 1".into() },
            when: Schedule::EveryS(1),
            notify: Vec::new(),
            message: None,
            sources: Vec::new(),
            enabled: true,
            silent_until: None,
        };
        let mut record = Record::new(definition);
        let event = |recipient: Option<&str>| AlertEvent {
            recipient: recipient.map(str::to_owned),
            ..AlertEvent::new(Utc::now(), "sent")
        };
        record.push(event(None));
        for _ in 0..EVENTS_MAX * 2 {
            record.push(event(Some("ada")));
            record.push(event(Some("ana")));
        }
        let count = |record: &Record, of: Option<&str>| {
            let events = record.events.iter();
            events.filter(|event| event.recipient.as_deref() == of).count()
        };
        assert_eq!(count(&record, None), 1);
        assert_eq!(count(&record, Some("ada")), OTHERS_EVENTS_MAX);
        for _ in 0..EVENTS_MAX * 2 {
            record.push(event(Some("sam")));
        }
        assert_eq!((count(&record, None), count(&record, Some("sam"))), (0, EVENTS_MAX));
        assert_eq!(count(&record, Some("ana")), OTHERS_EVENTS_MAX);
    }
}
