//! The clauses of alerts and reports, and the small words in them.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use datafusion::sql::sqlparser::ast::{Expr, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::{plain, syntax, word};
use crate::alerts::{Cron, Schedule, Series, Target, Within};
use crate::query::QueryError;
use crate::query::view::period;

/// Shortest time between two looks by the clock: each may read all of the table.
const EVERY_S_MIN: u64 = 1;
/// Periods that a value is held against, unless the statement says.
const AGAINST: usize = 28;
const AGAINST_MAX: u64 = 10_000;
/// Labels that one alert tells apart by: more columns are one key nobody can read.
const LABELS_MAX: usize = 8;
const TARGETS_MAX: usize = 20;
const MESSAGE_BYTES_MAX: usize = 2_000;

/// The clauses after the rule, in any order.
#[derive(Debug, Default)]
pub(crate) struct Clauses {
    pub(crate) filter: Option<Expr>,
    pub(crate) within: Option<Within>,
    pub(crate) labels: Vec<String>,
    pub(crate) for_s: Option<u64>,
    pub(crate) when: Option<Schedule>,
    pub(crate) message: Option<String>,
    pub(crate) notify: Vec<Target>,
}

impl Clauses {
    /// Reads one clause more; no when none comes.
    pub(super) fn next(&mut self, parser: &mut Parser<'_>, of_alert: bool) -> Result<bool, QueryError> {
        fn once<T>(place: &mut Option<T>, value: T, clause: &str) -> Result<(), QueryError> {
            match place.replace(value) {
                None => Ok(()),
                Some(_) => Err(syntax(format!("{clause} is given twice"))),
            }
        }
        if of_alert && parser.parse_keyword(Keyword::WHERE) {
            once(&mut self.filter, parser.parse_expr().map_err(syntax)?, "WHERE")?;
        } else if of_alert && word(parser, "within") {
            once(&mut self.within, within(parser)?, "WITHIN")?;
        } else if of_alert && parser.parse_keyword(Keyword::BY) {
            if !self.labels.is_empty() {
                return Err(syntax("BY is given twice"));
            }
            let labels = parser.parse_comma_separated(Parser::parse_identifier).map_err(syntax)?;
            self.labels = labels.iter().map(plain).collect();
            if self.labels.len() > LABELS_MAX {
                return Err(syntax(format!("BY takes {LABELS_MAX} columns at most")));
            }
        } else if of_alert && parser.parse_keyword(Keyword::FOR) {
            once(&mut self.for_s, period(parser)?, "FOR")?;
        } else if of_alert && parser.parse_keyword(Keyword::ON) {
            if !word(parser, "change") {
                return Err(syntax(
                    "after ON comes CHANGE; by the clock write EVERY 10 MINUTES or CRON '…'",
                ));
            }
            once(&mut self.when, Schedule::OnChange, "when it is looked at")?;
        } else if word(parser, "every") {
            let seconds = period(parser)?;
            if seconds < EVERY_S_MIN {
                return Err(syntax(format!("EVERY takes {EVERY_S_MIN} SECONDS at least")));
            }
            once(&mut self.when, Schedule::EveryS(seconds), "when it is looked at")?;
        } else if word(parser, "cron") {
            let cron = Cron::parse(&text(parser, "CRON")?).map_err(syntax)?;
            once(&mut self.when, Schedule::Cron(cron), "when it is looked at")?;
        } else if word(parser, "message") {
            let message = text(parser, "MESSAGE")?;
            if message.len() > MESSAGE_BYTES_MAX {
                return Err(syntax(format!("a MESSAGE has {MESSAGE_BYTES_MAX} bytes at most")));
            }
            once(&mut self.message, message, "MESSAGE")?;
        } else if word(parser, "notify") {
            if !self.notify.is_empty() {
                return Err(syntax("NOTIFY is given twice"));
            }
            self.notify = targets(parser)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// `WITHIN [THE] LAST 7 DAYS OF run_at`
fn within(parser: &mut Parser<'_>) -> Result<Within, QueryError> {
    let unclear = || syntax("write WITHIN LAST 7 DAYS OF <time column>");
    let _ = word(parser, "the");
    if !word(parser, "last") {
        return Err(unclear());
    }
    let seconds = period(parser)?;
    if !word(parser, "of") {
        return Err(unclear());
    }
    let time = plain(&parser.parse_identifier().map_err(syntax)?);
    Ok(Within { seconds, time })
}

/// `sam, ana BY email AND qc_hook, dee BY outbox`; an empty channel is the one that is configured first.
fn targets(parser: &mut Parser<'_>) -> Result<Vec<Target>, QueryError> {
    let mut targets = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    loop {
        waiting.push(label(parser)?);
        if parser.parse_keyword(Keyword::BY) {
            loop {
                let channel = label(parser)?;
                targets.extend(waiting.iter().map(|recipient| Target {
                    recipient: recipient.clone(),
                    channel: channel.clone(),
                }));
                if !parser.parse_keyword(Keyword::AND) {
                    break;
                }
            }
            waiting.clear();
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    targets.extend(waiting.into_iter().map(|recipient| Target {
        recipient,
        channel: String::new(),
    }));
    if targets.len() > TARGETS_MAX {
        return Err(syntax(format!(
            "NOTIFY takes {TARGETS_MAX} recipients and channels at most"
        )));
    }
    Ok(targets.into_iter().collect())
}

/// A login or a channel: a word, or in quotes where it holds dots or the like.
fn label(parser: &mut Parser<'_>) -> Result<String, QueryError> {
    if let Token::SingleQuotedString(text) = &parser.peek_token().token {
        let text = text.clone();
        parser.next_token();
        return Ok(text);
    }
    Ok(plain(&parser.parse_identifier().map_err(syntax)?))
}

/// `PER day OF run_at [AGAINST 28]`
pub(super) fn series(parser: &mut Parser<'_>) -> Result<Series, QueryError> {
    let unclear =
        || syntax("the history is named by PER MINUTE, HOUR, DAY, WEEK or MONTH OF <time column> [AGAINST 28]");
    if !word(parser, "per") {
        return Err(unclear());
    }
    let units = ["minute", "hour", "day", "week", "month"];
    let unit = units.into_iter().find(|unit| word(parser, unit)).ok_or_else(unclear)?;
    if !word(parser, "of") {
        return Err(unclear());
    }
    let time = plain(&parser.parse_identifier().map_err(syntax)?);
    let against = match word(parser, "against") {
        true => parser.parse_literal_uint().map_err(syntax)?,
        false => AGAINST as u64,
    };
    if !(1..=AGAINST_MAX).contains(&against) {
        return Err(syntax(format!("AGAINST takes 1 to {AGAINST_MAX} periods")));
    }
    Ok(Series {
        unit: unit.to_owned(),
        time,
        against: usize::try_from(against).map_err(QueryError::internal)?,
    })
}

pub(super) fn text(parser: &mut Parser<'_>, clause: &str) -> Result<String, QueryError> {
    match parser.parse_value().map_err(syntax)?.value {
        Value::SingleQuotedString(text) => Ok(text),
        other => Err(syntax(format!("{clause} takes a text in single quotes, not {other}"))),
    }
}

pub(super) fn number(parser: &mut Parser<'_>) -> Result<f64, QueryError> {
    let value = parser.parse_value().map_err(syntax)?.value;
    let number = match &value {
        Value::Number(number, _) => number.to_string().parse::<f64>().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| syntax(format!("{value} is no number above zero")))
}

/// A day or a time; without a zone it is UTC.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, QueryError> {
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc());
    let naive = || {
        let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        let read = |form: &&str| NaiveDateTime::parse_from_str(text, form).ok();
        Some(forms.iter().find_map(read)?.and_utc())
    };
    let zoned = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    zoned.or_else(naive).or_else(day).ok_or_else(|| {
        syntax(format!(
            "'{text}' is no time: write '2026-07-01T08:00:00Z' or '2026-07-01'"
        ))
    })
}
