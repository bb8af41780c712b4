//! The rows of `system.alerts` and `system.alert_events`: a person's own alerts and reports, an administrator's all.
//!
//! What an alert tells others follows from what they see, and its author chose the question. So he is shown what is of his own
//! view, and a recipient the messages to herself; whether there was anything for somebody else is an administrator's to know.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use chrono::{DateTime, Utc};
use labhouse_catalog::TableName;
use labhouse_policies::Principal;

use super::rows::{number, text, time_if_any};
use crate::alerts::{AlertEvent, State, Stored, What};
use crate::engine::Engine;
use crate::query::statement::CATALOG;

/// Labels that are named in a row; their number is beside them.
const LABELS_MAX: usize = 50;

/// Whose rows they are.
struct Reader<'a> {
    who: &'a str,
    all: bool,
}

impl<'a> Reader<'a> {
    fn new(engine: &Engine, who: &'a Principal) -> Self {
        let all = engine.policies.current().is_admin(who);
        Self { who: &who.name, all }
    }

    fn owns(&self, stored: &Stored) -> bool {
        self.all || stored.record.definition.owner == self.who
    }

    /// Whether it is of his own view, of an alert that is his, or a message to him.
    fn sees(&self, stored: &Stored, event: &AlertEvent) -> bool {
        let is_own = stored.record.definition.owner == self.who;
        self.all
            || match &event.recipient {
                None => is_own,
                // Of what was withheld from him a recipient is not even told that there was some.
                Some(recipient) => recipient == self.who && (is_own || event.event != "withheld"),
            }
    }

    fn waiting(&self, stored: &Stored) -> u64 {
        let waiting = stored.record.deliveries.iter();
        waiting
            .filter(|delivery| self.all || delivery.target.recipient == self.who)
            .count() as u64
    }
}

pub(super) fn alerts(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let reader = Reader::new(engine, who);
    let mut alerts = engine.alerts.all();
    alerts.retain(|(_, stored)| reader.owns(stored));
    let definitions = || alerts.iter().map(|(_, stored)| &stored.record.definition);
    let states = || alerts.iter().map(|(_, stored)| &stored.record.state);
    let rule = |what: &What| match what {
        What::Alert(watch) => watch.to_string(),
        What::Report { sql } => sql.clone(),
    };
    let word = |stored: &Stored| match &stored.record.definition.what {
        What::Alert(_) => stored.record.state.word(),
        What::Report { .. } => "report",
    };
    vec![
        text(alerts.iter().map(|(name, _)| Some(name.schema.clone()))),
        text(alerts.iter().map(|(name, _)| Some(name.table.clone()))),
        text(definitions().map(|definition| Some(definition.kind().to_owned()))),
        text(definitions().map(|definition| Some(definition.owner.clone()))),
        text(definitions().map(|definition| Some(format!("{CATALOG}.{}", definition.watch()?.table)))),
        text(definitions().map(|definition| Some(rule(&definition.what)))),
        text(definitions().map(|definition| Some(definition.when.to_string()))),
        text(definitions().map(|definition| definition.message.clone())),
        text(definitions().map(|definition| {
            let targets = definition.targets(&engine.channels);
            let targets = targets.iter().map(|t| format!("{} by {}", t.recipient, t.channel));
            Some(targets.collect::<Vec<_>>().join(", "))
        })),
        text(alerts.iter().map(|(_, stored)| Some(word(stored).to_owned()))),
        time_if_any(states().map(|state| state.since.or(state.slot))),
        number(states().map(|state| Some(state.firing().len() as u64))),
        text(states().map(|state| {
            let labels: Vec<String> = state
                .firing()
                .into_iter()
                .filter(|l| !l.is_empty())
                .take(LABELS_MAX)
                .collect();
            (!labels.is_empty()).then(|| labels.join("; "))
        })),
        text(states().map(reason)),
        Arc::new(
            definitions()
                .map(|definition| Some(definition.enabled))
                .collect::<BooleanArray>(),
        ),
        time_if_any(definitions().map(|definition| definition.silent_until)),
        time_if_any(
            alerts
                .iter()
                .map(|(name, stored)| engine.alert_looks.at(name).or(looked_before(stored))),
        ),
        number(alerts.iter().map(|(_, stored)| Some(reader.waiting(stored)))),
        time_if_any(definitions().map(|definition| Some(definition.created_at))),
    ]
}

/// Why the state is what it is, where that is to be said: why the rule could not be asked, or which labels that fired have nothing
/// to judge by any more.
fn reason(state: &State) -> Option<String> {
    if let Some(fault) = &state.fault {
        return fault.reason.clone();
    }
    let lost: Vec<String> = state.no_data().into_iter().take(LABELS_MAX).collect();
    (!lost.is_empty()).then(|| format!("fired, and has nothing to judge by now: {}", lost.join("; ")))
}

/// What a person is shown of alerts and reports, as a text that differs where that does, but for the times of looks.
pub(crate) fn alerts_shown(engine: &Engine, who: &Principal) -> String {
    let reader = Reader::new(engine, who);
    let mut text = String::new();
    for (name, stored) in engine.alerts.all() {
        if reader.owns(&stored) {
            let (definition, state) = (&stored.record.definition, &stored.record.state);
            let reason = state.fault.as_ref().and_then(|fault| fault.reason.as_ref());
            let waiting = reader.waiting(&stored);
            let labels = (state.word(), state.since, state.firing(), state.no_data());
            let _ = writeln!(text, "{name} {definition:?} {labels:?} {reason:?} {waiting}");
        }
        let mut seen = stored.record.events.iter().filter(|event| reader.sees(&stored, event));
        let events = seen.clone().count();
        if let Some(last) = seen.next_back() {
            let _ = writeln!(text, "{name} {events} {:?} {}", last.at, last.event);
        }
    }
    text
}

/// When an alert that this server did not look at yet was looked at: the record is written for its recipients, too, and the time of
/// that is none of the owner's. What is known is since when his state is what it is.
fn looked_before(stored: &Stored) -> Option<DateTime<Utc>> {
    let state = &stored.record.state;
    match &stored.record.definition.what {
        What::Alert(_) => state.since,
        What::Report { .. } => state.evaluated_at,
    }
}

pub(super) fn events(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let reader = Reader::new(engine, who);
    let alerts = engine.alerts.all();
    let of = |(name, stored): &'_ (TableName, Arc<Stored>)| {
        let events = stored.record.events.iter().filter(|event| reader.sees(stored, event));
        let owns = reader.owns(stored);
        let seen = events.map(|event| (name.clone(), owns, event.clone()));
        seen.collect::<Vec<(TableName, bool, AlertEvent)>>()
    };
    let events: Vec<(TableName, bool, AlertEvent)> = alerts.iter().flat_map(of).collect();
    let labels = |event: &AlertEvent| {
        let named: Vec<&str> = event
            .labels
            .iter()
            .map(String::as_str)
            .filter(|label| !label.is_empty())
            .collect();
        (!named.is_empty()).then(|| named.join("; "))
    };
    vec![
        time_if_any(events.iter().map(|(_, _, event)| Some(event.at))),
        text(events.iter().map(|(name, ..)| Some(name.schema.clone()))),
        text(events.iter().map(|(name, ..)| Some(name.table.clone()))),
        text(events.iter().map(|(_, _, event)| Some(event.event.clone()))),
        text(events.iter().map(|(_, _, event)| labels(event))),
        text(events.iter().map(|(_, _, event)| event.recipient.clone())),
        text(events.iter().map(|(_, _, event)| event.channel.clone())),
        text(events.iter().map(|(_, _, event)| event.delivery.clone())),
        // Why something failed is for whoever can mend it.
        text(
            events
                .iter()
                .map(|(_, owns, event)| event.detail.clone().filter(|_| *owns)),
        ),
    ]
}
