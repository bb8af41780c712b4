//! Events of alerts: what a rule came to, and which messages left the server. Never a value of a row, nor a label.

use super::event::{Event, Kind};
use super::{Audit, Client};

/// A message and what came of it.
pub(crate) struct Told<'a> {
    /// `lab.schema.name`
    pub(crate) alert: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) recipient: &'a str,
    pub(crate) channel: &'a str,
    /// The number that the receiver sees, too.
    pub(crate) delivery: &'a str,
    /// `sent`, `later`, `failed` or `withheld`.
    pub(crate) outcome: &'a str,
}

impl Audit {
    /// A watched rule changed its state, or a report was made.
    pub(crate) fn alerted(&self, alert: &str, owner: &str, state: &str) {
        self.shared.put(Event {
            door: Some(Client::server().door.to_owned()),
            principal: Some(owner.to_owned()),
            targets: vec![alert.to_owned()],
            reason: Some(state.to_owned()),
            ..Event::now(Kind::Alert)
        });
    }

    /// A message was handed over, or was not.
    pub(crate) fn notified(&self, told: &Told<'_>) {
        let verdict = match told.outcome {
            "sent" => "allowed",
            "withheld" => "denied",
            _ => "refused",
        };
        let detail = serde_json::json!({
            "owner": told.owner, "channel": told.channel, "delivery": told.delivery,
        });
        self.shared.put(Event {
            door: Some(Client::server().door.to_owned()),
            principal: Some(told.recipient.to_owned()),
            targets: vec![told.alert.to_owned()],
            verdict: Some(verdict.to_owned()),
            reason: Some(told.outcome.to_owned()),
            detail: Some(detail.to_string()),
            ..Event::now(Kind::Notification)
        });
    }
}
