//! The rows of `system.alerts` and `system.alert_events`: a person's own alerts and reports, an administrator's all.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use labhouse_catalog::TableName;
use labhouse_policies::Principal;

use super::rows::{number, text, time_if_any};
use crate::alerts::{AlertEvent, Stored, What};
use crate::engine::Engine;
use crate::query::statement::CATALOG;

/// Labels that are named in a row; their number is beside them.
const LABELS_MAX: usize = 50;

fn own(engine: &Engine, who: &Principal) -> Vec<(TableName, Arc<Stored>)> {
    let all = engine.policies.current().is_admin(who);
    let mut alerts = engine.alerts.all();
    alerts.retain(|(_, stored)| all || stored.record.definition.owner == who.name);
    alerts
}

pub(super) fn alerts(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let alerts = own(engine, who);
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
            let targets = definition
                .notify
                .iter()
                .map(|t| format!("{} by {}", t.recipient, t.channel));
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
        text(states().map(|state| state.fault.as_ref().and_then(|fault| fault.reason.clone()))),
        Arc::new(
            definitions()
                .map(|definition| Some(definition.enabled))
                .collect::<BooleanArray>(),
        ),
        time_if_any(definitions().map(|definition| definition.silent_until)),
        time_if_any(
            alerts
                .iter()
                .map(|(name, stored)| engine.alert_looks.at(name).or(stored.record.state.evaluated_at)),
        ),
        number(
            alerts
                .iter()
                .map(|(_, stored)| Some(stored.record.deliveries.len() as u64)),
        ),
        time_if_any(definitions().map(|definition| Some(definition.created_at))),
    ]
}

pub(super) fn events(engine: &Engine, who: &Principal) -> Vec<ArrayRef> {
    let alerts = own(engine, who);
    let events: Vec<(&TableName, &AlertEvent)> = alerts
        .iter()
        .flat_map(|(name, stored)| stored.record.events.iter().map(move |event| (name, event)))
        .collect();
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
        time_if_any(events.iter().map(|(_, event)| Some(event.at))),
        text(events.iter().map(|(name, _)| Some(name.schema.clone()))),
        text(events.iter().map(|(name, _)| Some(name.table.clone()))),
        text(events.iter().map(|(_, event)| Some(event.event.clone()))),
        text(events.iter().map(|(_, event)| labels(event))),
        text(events.iter().map(|(_, event)| event.recipient.clone())),
        text(events.iter().map(|(_, event)| event.channel.clone())),
        text(events.iter().map(|(_, event)| event.delivery.clone())),
        text(events.iter().map(|(_, event)| event.detail.clone())),
    ]
}
