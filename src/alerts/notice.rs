//! What a recipient is told: made as that person, out of nothing but what he sees.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use labhouse_catalog::TableName;
use labhouse_policies::Principal;
use serde::{Deserialize, Serialize};

use super::definition::{Watch, What};
use super::evaluate::Look;
use super::rule;
use super::state::{FaultKind, Outcome, Reading, Told};
use super::{AlertEvent, Delivery, Record};
use crate::engine::Engine;
use crate::query::statement::CATALOG;

/// Rows of a table that a message about rows shows, and those of a report.
const SAMPLE_ROWS_MAX: usize = 20;
const REPORT_ROWS_MAX: usize = 200;
/// Columns and labels beyond it are counted, not shown.
const COLUMNS_MAX: usize = 24;
pub(super) const LABELS_SHOWN_MAX: usize = 50;
const CELL_CHARS_MAX: usize = 200;

/// A message before it is written as a mail or as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// `alert` or `report`.
    pub(crate) kind: String,
    /// `lab.schema.name`
    pub(crate) name: String,
    /// `lab.schema.table`; none for a report.
    pub(crate) table: Option<String>,
    /// `firing`, `ok`, `no_data`, `error` or `report`.
    pub(crate) state: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) rule: Option<String>,
    /// The author's words.
    pub(crate) message: Option<String>,
    /// Labels for which the rule holds now, and those for which it does no more.
    pub(crate) firing: Vec<Line>,
    pub(crate) over: Vec<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// More rows than are shown.
    pub(crate) more: bool,
}

/// A label that fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) value: Option<f64>,
    pub(crate) against: Option<String>,
}

/// What becomes of one recipient.
enum Verdict {
    Tell(Box<Message>, Told),
    /// There is nothing of it that he sees.
    Withhold,
    /// He knows already.
    Nothing,
}

/// Makes the messages of a record's news and writes down who is told what. `record` holds the new state.
pub(super) async fn announce(engine: &Arc<Engine>, name: &TableName, record: &mut Record, now: DateTime<Utc>) {
    let known = record.state.known();
    let recipients: Vec<String> = record.definition.recipients().into_iter().map(str::to_owned).collect();
    for recipient in recipients {
        let verdict = match engine.auth.named(&recipient) {
            None => Verdict::Withhold,
            Some(who) => match record.definition.what.clone() {
                What::Alert(watch) => alert(engine, name, record, &who, &watch, &known, now).await,
                What::Report { sql } => match report(engine, name, record, &who, &sql, now).await {
                    Some(message) => Verdict::Tell(Box::new(message), Told::default()),
                    None => Verdict::Withhold,
                },
            },
        };
        match verdict {
            Verdict::Tell(message, told) => {
                let policy = engine.policies.current().fingerprint().to_owned();
                let targets = record
                    .definition
                    .notify
                    .iter()
                    .filter(|target| target.recipient == recipient);
                let made: Vec<Delivery> = targets
                    .map(|target| Delivery {
                        id: uuid::Uuid::now_v7().simple().to_string(),
                        target: target.clone(),
                        message: Message::clone(&message),
                        policy: policy.clone(),
                        attempts: 0,
                        not_before: now,
                    })
                    .collect();
                record.deliveries.extend(made);
                record.state.told_to.insert(recipient, told);
            }
            Verdict::Withhold => {
                let mut event = AlertEvent::new(now, "withheld");
                event.recipient = Some(recipient);
                event.detail = Some("no such login, or one that sees nothing of it".to_owned());
                record.push(event);
            }
            Verdict::Nothing => {}
        }
    }
    record.state.told = known;
}

/// What one recipient of an alert is told.
async fn alert(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &mut Record,
    who: &Principal,
    watch: &Watch,
    known: &Told,
    now: DateTime<Utc>,
) -> Verdict {
    let look = engine.look(who, watch, record.state.watched.get(&who.name), now).await;
    if let Some(watched) = &look.watched {
        record.state.watched.insert(who.name.clone(), watched.clone());
    }
    if !look.sees {
        return Verdict::Withhold;
    }
    let told = record.state.told_to.get(&who.name).cloned().unwrap_or_default();
    let mut message = Message {
        table: Some(format!("{CATALOG}.{}", watch.table)),
        ..Message::blank("alert", name, record, now)
    };
    match (known.fault, look.outcome) {
        (Some(FaultKind::Error), _) => {
            // Why is for the owner: another's error may hold what is hidden here.
            message.state = FaultKind::Error.word().to_owned();
            tell_fault(message, &told, FaultKind::Error)
        }
        (Some(FaultKind::NoData), Outcome::NoData) => {
            message.state = FaultKind::NoData.word().to_owned();
            message.rule = Some(watch.to_string());
            tell_fault(message, &told, FaultKind::NoData)
        }
        (Some(FaultKind::NoData), _) | (None, Outcome::Failed(_)) => Verdict::Withhold,
        (None, outcome) => {
            let holds = match outcome {
                Outcome::Holds(labels) => labels,
                Outcome::NoData | Outcome::Failed(_) => Default::default(),
            };
            let now_told: BTreeSet<String> = holds.keys().cloned().collect();
            message.firing = lines(holds.iter().filter(|(label, _)| !told.labels.contains(*label)));
            message.over = told
                .labels
                .difference(&now_told)
                .take(LABELS_SHOWN_MAX)
                .cloned()
                .collect();
            if message.firing.is_empty() && message.over.is_empty() && told.fault.is_none() {
                return if now_told.is_empty() {
                    Verdict::Withhold
                } else {
                    Verdict::Nothing
                };
            }
            message.state = if now_told.is_empty() { "ok" } else { "firing" }.to_owned();
            message.rule = Some(watch.to_string());
            if !message.firing.is_empty() {
                show_rows(engine, who, watch, &mut message).await;
            }
            let told = Told {
                labels: now_told,
                fault: None,
            };
            Verdict::Tell(Box::new(message), told)
        }
    }
}

fn tell_fault(message: Message, told: &Told, fault: FaultKind) -> Verdict {
    if told.fault == Some(fault) {
        return Verdict::Nothing;
    }
    let told = Told {
        labels: told.labels.clone(),
        fault: Some(fault),
    };
    Verdict::Tell(Box::new(message), told)
}

fn lines<'a>(holds: impl Iterator<Item = (&'a String, &'a Reading)>) -> Vec<Line> {
    holds
        .map(|(label, reading)| Line {
            label: label.clone(),
            value: reading.value,
            against: reading.against.clone(),
        })
        .collect()
}

/// Some of the rows a rule without labels is about.
async fn show_rows(engine: &Arc<Engine>, who: &Principal, watch: &Watch, message: &mut Message) {
    if !watch.labels.is_empty() {
        return;
    }
    let Some(sql) = rule::sample(watch, SAMPLE_ROWS_MAX + 1) else {
        return;
    };
    if let Ok(batches) = engine.ask(who, &sql, SAMPLE_ROWS_MAX + 1).await {
        message.put_rows(&batches, SAMPLE_ROWS_MAX);
    }
}

/// A report for one recipient; none when he may not ask it.
async fn report(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    who: &Principal,
    sql: &str,
    now: DateTime<Utc>,
) -> Option<Message> {
    let batches = match engine.ask(who, sql, REPORT_ROWS_MAX + 1).await {
        Ok(batches) => batches,
        Err(error) => {
            tracing::debug!(report = %name, recipient = who.name, %error, "withheld");
            return None;
        }
    };
    let mut message = Message {
        state: "report".to_owned(),
        ..Message::blank("report", name, record, now)
    };
    message.put_rows(&batches, REPORT_ROWS_MAX);
    Some(message)
}

/// The message as it may be sent now, when the policies changed since it was made; none if nothing of it may be any more.
pub(super) async fn again(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    who: &Principal,
    made: &Message,
) -> Option<Message> {
    let watch = match &record.definition.what {
        What::Report { sql } => return report(engine, name, record, who, sql, made.at).await,
        What::Alert(watch) => watch,
    };
    let Look { outcome, sees, .. } = engine
        .look(who, watch, record.state.watched.get(&who.name), Utc::now())
        .await;
    if !sees {
        return None;
    }
    let mut message = made.clone();
    let holds = match outcome {
        Outcome::Holds(labels) => labels,
        Outcome::NoData | Outcome::Failed(_) => Default::default(),
    };
    message.firing = lines(
        holds
            .iter()
            .filter(|(label, _)| made.firing.iter().any(|line| line.label == **label)),
    );
    (message.columns, message.rows, message.more) = Default::default();
    if message.firing.is_empty() && !made.firing.is_empty() {
        return None;
    }
    if !message.firing.is_empty() {
        show_rows(engine, who, watch, &mut message).await;
    }
    Some(message)
}

impl Message {
    /// What a message of this alert or report begins as, with nothing to tell yet.
    fn blank(kind: &str, name: &TableName, record: &Record, at: DateTime<Utc>) -> Self {
        Self {
            kind: kind.to_owned(),
            name: format!("{CATALOG}.{name}"),
            table: None,
            state: String::new(),
            at,
            rule: None,
            message: record.definition.message.clone(),
            firing: Vec::new(),
            over: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            more: false,
        }
    }

    /// One line that says it.
    pub(super) fn subject(&self) -> String {
        let labels = match self.firing.as_slice() {
            [] => String::new(),
            [line] if line.label.is_empty() => String::new(),
            [line] => format!(" for {}", line.label),
            lines => format!(" for {} labels", lines.len()),
        };
        let subject = match self.kind.as_str() {
            "report" => format!("[labhouse] {}", self.name),
            _ => format!("[labhouse] {}: {}{labels}", self.state, self.name),
        };
        subject
            .chars()
            .filter(|c| !c.is_control())
            .take(CELL_CHARS_MAX)
            .collect()
    }

    fn put_rows(&mut self, batches: &[RecordBatch], rows_max: usize) {
        let Some(first) = batches.first() else { return };
        let schema = first.schema();
        // The crawler's own columns say where a row came from, not what it is.
        let shown: Vec<usize> = (0..schema.fields().len())
            .filter(|at| !schema.field(*at).name().starts_with('_'))
            .take(COLUMNS_MAX)
            .collect();
        self.columns = shown.iter().map(|at| schema.field(*at).name().clone()).collect();
        let options = FormatOptions::default().with_display_error(true);
        for batch in batches {
            let columns: Vec<_> = shown
                .iter()
                .map(|at| {
                    batch
                        .columns()
                        .get(*at)
                        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                })
                .collect();
            for row in 0..batch.num_rows() {
                if self.rows.len() >= rows_max {
                    self.more = true;
                    return;
                }
                let cells = columns.iter().map(|column| match column {
                    Some(Ok(formatter)) => short(&formatter.value(row).to_string()),
                    Some(Err(_)) | None => String::new(),
                });
                self.rows.push(cells.collect());
            }
        }
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(CELL_CHARS_MAX).collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
