//! `lab.system.maintenance`: what was done for tables, by the server or by a statement. It is what the audit trail says of it, so
//! it outlives the server, and tells of the others on the same lake as far as they have folded their events.

use arrow::array::ArrayRef;
use chrono::DateTime;
use serde::Deserialize;

use super::rows::{number, text, time_if_any};
use crate::audit::{Event, Kind, events_of};
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::errors::from_datafusion;
use crate::query::statement::lake_name_from_text;

/// The newest that are told.
const ROWS_MAX: usize = 10_000;
/// What of an event is read.
const FIELDS: [&str; 8] = [
    "at",
    "event",
    "principal",
    "action",
    "targets",
    "verdict",
    "duration_us",
    "detail",
];

/// What an event says in its detail.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    removed: u64,
    added: u64,
    columns: Option<Vec<String>>,
}

pub(super) async fn rows(engine: &Engine) -> Result<Vec<ArrayRef>, QueryError> {
    let events = events_of(engine, Kind::Maintenance, &FIELDS, ROWS_MAX).await;
    let events = events.map_err(from_datafusion)?;
    let details: Vec<Detail> = events
        .iter()
        .map(|event| {
            let detail = event
                .detail
                .as_deref()
                .and_then(|detail| serde_json::from_str(detail).ok());
            detail.unwrap_or_default()
        })
        .collect();
    let tables: Vec<_> = events
        .iter()
        .map(|event| lake_name_from_text(event.targets.first()?).ok())
        .collect();
    let problem = |event: &Event| match event.verdict.as_deref() {
        Some("allowed") => None,
        _ => Some(
            engine
                .care
                .problem(event.at)
                .unwrap_or_else(|| "it failed; the log of the server that tried says why".to_owned()),
        ),
    };
    let milliseconds = |micros: i64| u64::try_from(micros / 1_000).ok();
    Ok(vec![
        time_if_any(events.iter().map(|event| DateTime::from_timestamp_micros(event.at))),
        text(tables.iter().map(|table| Some(table.as_ref()?.schema.clone()))),
        text(tables.iter().map(|table| Some(table.as_ref()?.table.clone()))),
        text(events.iter().map(|event| event.action.clone())),
        text(details.iter().map(|detail| Some(detail.columns.as_ref()?.join(", ")))),
        text(events.iter().map(problem)),
        number(details.iter().map(|detail| Some(detail.removed))),
        number(details.iter().map(|detail| Some(detail.added))),
        number(events.iter().map(|event| milliseconds(event.duration_us?))),
        text(events.iter().map(|event| event.principal.clone())),
    ])
}
