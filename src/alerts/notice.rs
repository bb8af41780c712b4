//! What a recipient is told: made as that person, out of nothing but what he sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use labhouse_catalog::TableName;
use labhouse_policies::Principal;
use serde::{Deserialize, Serialize};

use super::definition::{Watch, What};
use super::evaluate::{Look, passes};
use super::rule;
use super::state::{FaultKind, Judged, Outcome, Reading, Told};
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
/// Stands for what a recipient saw when nothing of a report could be made for him: it is made when it is sent.
const TO_BE_MADE: &str = "";

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
    /// Labels that fired and have nothing to judge by now.
    #[serde(default)]
    pub(crate) no_data: Vec<String>,
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
    Tell(Box<Message>),
    /// There is nothing of it that he sees.
    Withhold,
    /// He knows already.
    Nothing,
}

/// How a report was made for somebody.
enum Made {
    Message(Box<Message>),
    /// He does not see what it asks, or sees it in such a way that it cannot be asked.
    Hidden,
    /// It could not be asked now.
    Failed(String),
}

/// Makes the messages of a record's news and writes down who is told what. `record` holds the new state, `waiting` are
/// the messages on their way, and `sights` is what each recipient saw before it was looked for.
pub(super) async fn announce(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &mut Record,
    waiting: &[Delivery],
    sights: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) {
    let targets = record.definition.targets(&engine.channels);
    for recipient in record.definition.recipients(&engine.channels) {
        let mut sight = sights.get(&recipient).cloned().unwrap_or_default();
        let is_report = record.definition.watch().is_none();
        let verdict = match engine.auth.named(&recipient) {
            None if is_report || record.state.is_news() => Verdict::Withhold,
            None => Verdict::Nothing,
            Some(who) => match record.definition.what.clone() {
                What::Alert(watch) => alert(engine, name, record, &who, &watch, now).await,
                What::Report { sql } => match report(engine, name, record, &who, &sql, now).await {
                    Made::Message(message) => Verdict::Tell(message),
                    Made::Hidden => Verdict::Withhold,
                    Made::Failed(_) if waits_to_be_made(waiting, &recipient) => Verdict::Nothing,
                    Made::Failed(_) => {
                        sight = TO_BE_MADE.to_owned();
                        Verdict::Tell(Box::new(Message::report(name, record, now)))
                    }
                },
            },
        };
        match verdict {
            Verdict::Tell(message) => {
                let own = targets.iter().filter(|target| target.recipient == recipient);
                let made: Vec<Delivery> = own
                    .map(|target| Delivery {
                        id: uuid::Uuid::now_v7().simple().to_string(),
                        target: target.clone(),
                        message: Message::clone(&message),
                        sight: sight.clone(),
                        attempts: 0,
                        not_before: now,
                        claimed: false,
                    })
                    .collect();
                record.deliveries.extend(made);
                if let Some(found) = record.state.seen_by.get(&recipient) {
                    let told = record.state.told_to.entry(recipient).or_default();
                    *told = found.known(told);
                }
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
    record.state.told = record.state.known();
}

/// Whether a report that could not be made for a recipient is on its way: it is made when it is sent.
fn waits_to_be_made(waiting: &[Delivery], recipient: &str) -> bool {
    let mut waiting = waiting.iter();
    waiting.any(|delivery| delivery.sight == TO_BE_MADE && delivery.target.recipient == recipient)
}

/// What one recipient of an alert is told: the news of what was found for her.
async fn alert(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    who: &Principal,
    watch: &Watch,
    now: DateTime<Utc>,
) -> Verdict {
    let state = &record.state;
    let told = state.told_to.get(&who.name).cloned().unwrap_or_default();
    let known = state.seen_by.get(&who.name).map(|found| (found, found.known(&told)));
    let (found, known) = match known {
        Some((found, known)) if known != told => (found, known),
        // The owner's news, of which there is nothing for him.
        None if state.is_news() => return Verdict::Withhold,
        Some((found, known)) if state.is_news() && known == Told::default() && found.instances.is_empty() => {
            return Verdict::Withhold;
        }
        _ => return Verdict::Nothing,
    };
    let news = found.instances.iter().filter(|(label, _)| {
        let is_new = known.labels.contains(*label) && !told.labels.contains(*label);
        is_new && known.fault.is_none()
    });
    let firing = lines(news.map(|(label, instance)| (label, &instance.reading)));
    let lost = known.no_data.difference(&told.no_data);
    let lost: Vec<String> = lost.take(LABELS_SHOWN_MAX).cloned().collect();
    let mut message = Message {
        table: Some(format!("{CATALOG}.{}", watch.table)),
        state: match known.fault {
            Some(fault) => fault.word(),
            None if firing.is_empty() && !lost.is_empty() => FaultKind::NoData.word(),
            None if !known.labels.is_empty() => "firing",
            None if !known.no_data.is_empty() => FaultKind::NoData.word(),
            None => "ok",
        }
        .to_owned(),
        // Why it could not be asked is for the owner: another's error may hold what is hidden here.
        rule: (known.fault != Some(FaultKind::Error)).then(|| watch.to_string()),
        firing,
        over: told.over(&known).take(LABELS_SHOWN_MAX).cloned().collect(),
        no_data: lost,
        ..Message::blank("alert", name, record, now)
    };
    if !message.firing.is_empty() {
        show_rows(engine, who, watch, &mut message).await;
    }
    Verdict::Tell(Box::new(message))
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

/// A report for one recipient.
async fn report(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    who: &Principal,
    sql: &str,
    now: DateTime<Utc>,
) -> Made {
    let batches = match engine.ask(who, sql, REPORT_ROWS_MAX + 1).await {
        Ok(batches) => batches,
        Err(error) if passes(&error) => return Made::Failed(error.to_string()),
        Err(error) => {
            tracing::debug!(report = %name, recipient = who.name, %error, "withheld");
            return Made::Hidden;
        }
    };
    let mut message = Message::report(name, record, now);
    message.put_rows(&batches, REPORT_ROWS_MAX);
    Made::Message(Box::new(message))
}

/// A message as it may be sent now.
pub(super) enum Again {
    Message(Box<Message>),
    /// Nothing of it may be told any more.
    Withhold,
    /// What may be told could not be asked.
    Later(String),
}

/// The message as it may be sent now, when its recipient may see something else than when it was made.
pub(super) async fn again(
    engine: &Arc<Engine>,
    name: &TableName,
    record: &Record,
    who: &Principal,
    made: &Message,
) -> Again {
    let watch = match &record.definition.what {
        What::Report { sql } => {
            return match report(engine, name, record, who, sql, made.at).await {
                Made::Message(message) => Again::Message(message),
                Made::Hidden => Again::Withhold,
                Made::Failed(reason) => Again::Later(reason),
            };
        }
        What::Alert(watch) => watch,
    };
    let watched = record.state.watched.get(&who.name);
    let not_firing: BTreeSet<String> = made.over.iter().chain(&made.no_data).cloned().collect();
    let Look {
        outcome, sees, passes, ..
    } = engine.look(who, watch, watched, &not_firing, Utc::now()).await;
    if !sees {
        return Again::Withhold;
    }
    let mut message = made.clone();
    let (Judged { holds, unknown }, is_judged) = match outcome {
        Outcome::Judged(judged) => (judged, true),
        Outcome::Failed(reason) if passes => return Again::Later(reason),
        Outcome::NoData | Outcome::Failed(_) => (Judged::default(), false),
    };
    message.firing = lines(
        holds
            .iter()
            .filter(|(label, _)| made.firing.iter().any(|line| line.label == **label)),
    );
    // Of the others it tells only those that he sees and of which it is still so.
    message.no_data.retain(|label| unknown.contains(label));
    let seen = match is_judged {
        true => engine.seen_of(who, watch, &made.over).await,
        false => BTreeSet::new(),
    };
    let is_well = |label: &String| seen.contains(label) && !holds.contains_key(label) && !unknown.contains(label);
    message.over.retain(is_well);
    (message.columns, message.rows, message.more) = Default::default();
    let has_lost_all = message.over.is_empty() && message.no_data.is_empty() && !not_firing.is_empty();
    // That all is well needs no label.
    let says_nothing = has_lost_all && !(is_judged && message.state == "ok");
    if message.firing.is_empty() && (!made.firing.is_empty() || says_nothing) {
        return Again::Withhold;
    }
    if !message.firing.is_empty() {
        show_rows(engine, who, watch, &mut message).await;
    }
    Again::Message(Box::new(message))
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
            no_data: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            more: false,
        }
    }

    /// A report with no rows yet.
    fn report(name: &TableName, record: &Record, at: DateTime<Utc>) -> Self {
        Self {
            state: "report".to_owned(),
            ..Self::blank("report", name, record, at)
        }
    }

    /// One line that says it.
    pub(super) fn subject(&self) -> String {
        let firing = self.firing.iter().map(|line| &line.label);
        let labels: Vec<&String> = match self.firing.is_empty() {
            true => self.no_data.iter().collect(),
            false => firing.collect(),
        };
        let labels = match labels.as_slice() {
            [] => String::new(),
            [label] if label.is_empty() => String::new(),
            [label] => format!(" for {label}"),
            labels => format!(" for {} labels", labels.len()),
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
