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
//! sees its sources in another way.
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
pub(crate) use store::{AlertStore, Stored};

use notice::Message;
use state::State;

/// Events of one alert that its record remembers; the audit trail keeps all of them.
const EVENTS_MAX: usize = 200;

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
}

/// What happened to an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlertEvent {
    pub(crate) at: DateTime<Utc>,
    /// A state, or `created`, `altered`, `report`, `sent`, `failed`, `withheld`.
    pub(crate) event: String,
    /// Labels it is about.
    pub(crate) labels: Vec<String>,
    pub(crate) recipient: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) delivery: Option<String>,
    /// Why, where that is to be said: for the owner.
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
        while self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
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
