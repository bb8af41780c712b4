//! What an alert or a report is made of: as it was written, checked once, kept in the lake.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde::{Deserialize, Serialize};

use super::channel::Channels;
use super::schedule::Cron;

/// A rule that watches a table, or a query that is sent by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) owner: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) what: What,
    pub(crate) when: Schedule,
    pub(crate) notify: Vec<Target>,
    /// What the recipients are told in the author's words.
    pub(crate) message: Option<String>,
    /// `schema.table` of what is read: a commit to one of them is a reason to look.
    pub(crate) sources: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) silent_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Alert(Box<Watch>),
    Report { sql: String },
}

/// A rule and the rows it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// `schema.table`
    pub(crate) table: String,
    pub(crate) rule: Rule,
    /// A condition on the rows that are looked at, as SQL.
    pub(crate) filter: Option<String>,
    pub(crate) within: Option<Within>,
    /// Columns whose values are watched one by one.
    pub(crate) labels: Vec<String>,
    /// How long the rule must hold before it fires, in seconds.
    pub(crate) for_s: u64,
}

/// What must be so for an alert to fire. Expressions are SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// There are rows for which the condition holds.
    Rows { condition: String },
    /// A condition over aggregates holds; `value` is its left side, shown to the recipients.
    Aggregate { condition: String, value: Option<String> },
    /// The newest period's value moved against the mean of the periods before.
    Moves {
        value: String,
        direction: Direction,
        by: f64,
        percent: bool,
        series: Series,
    },
    /// The newest period's value is far from the median of the periods before, in robust standard deviations.
    Deviates { value: String, beyond: f64, series: Series },
    /// No rows came for so many seconds.
    NoNewRows { for_s: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Falls,
    Rises,
    Changes,
}

/// A table's rows by periods of one of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// A word that `date_trunc` knows.
    pub(crate) unit: String,
    pub(crate) time: String,
    /// Periods before the newest one that it is held against.
    pub(crate) against: usize,
}

/// Only rows of the last so many seconds before the newest row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Within {
    pub(crate) seconds: u64,
    pub(crate) time: String,
}

/// When it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Schedule {
    OnChange,
    EveryS(u64),
    Cron(Cron),
}

/// A person and the channel by which a message comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) recipient: String,
    pub(crate) channel: String,
}

impl Definition {
    /// In one word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.what {
            What::Alert(_) => "alert",
            What::Report { .. } => "report",
        }
    }

    pub(crate) fn watch(&self) -> Option<&Watch> {
        match &self.what {
            What::Alert(watch) => Some(watch),
            What::Report { .. } => None,
        }
    }

    /// Whether transitions are not told at that time.
    pub(crate) fn is_silent(&self, now: DateTime<Utc>) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    /// Whether it asks the same of the same rows as `other`. When, whom it tells and in which words is not of the rule.
    pub(crate) fn watches_like(&self, other: &Self) -> bool {
        self.what == other.what
    }

    /// Whose view goes by which channel. What many read together speaks for the owner, whoever is named: nobody makes public
    /// what another sees by naming him.
    pub(crate) fn targets(&self, channels: &Channels) -> BTreeSet<Target> {
        let seen_as = |target: &Target| match channels.is_shared(&target.channel) {
            true => self.owner.clone(),
            false => target.recipient.clone(),
        };
        let targets = self.notify.iter().map(|target| Target {
            recipient: seen_as(target),
            channel: target.channel.clone(),
        });
        targets.collect()
    }

    /// The people whose view is told, each once.
    pub(crate) fn recipients(&self, channels: &Channels) -> BTreeSet<String> {
        let targets = self.targets(channels).into_iter();
        targets.map(|target| target.recipient).collect()
    }
}

impl Watch {
    /// Whether the rule asks what time it is.
    pub(crate) fn follows_clock(&self) -> bool {
        const CLOCKS: [&str; 7] = [
            "now",
            "current_timestamp",
            "current_date",
            "current_time",
            "localtimestamp",
            "localtime",
            "today",
        ];
        let tokens = Tokenizer::new(&GenericDialect {}, &self.to_string()).tokenize();
        let is_clock = |token: &Token| match token {
            Token::Word(word) => word.quote_style.is_none() && CLOCKS.contains(&word.value.to_lowercase().as_str()),
            _ => false,
        };
        // What cannot be read is looked at too often rather than never.
        tokens.map_or(true, |tokens| tokens.iter().any(is_clock))
    }
}

impl fmt::Display for Watch {
    /// The rule as a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        if let Some(within) = &self.within {
            write!(f, " WITHIN LAST {} SECONDS OF {}", within.seconds, within.time)?;
        }
        if !self.labels.is_empty() {
            write!(f, " BY {}", self.labels.join(", "))?;
        }
        if self.for_s > 0 {
            write!(f, " FOR {} SECONDS", self.for_s)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows { condition } | Self::Aggregate { condition, .. } => f.write_str(condition),
            Self::Moves {
                value,
                direction,
                by,
                percent,
                series,
            } => {
                let word = match direction {
                    Direction::Falls => "FALLS",
                    Direction::Rises => "RISES",
                    Direction::Changes => "CHANGES",
                };
                let percent = if *percent { " PERCENT" } else { "" };
                write!(f, "{value} {word} BY {by}{percent} {series}")
            }
            Self::Deviates { value, beyond, series } => write!(f, "{value} DEVIATES BEYOND {beyond} {series}"),
            Self::NoNewRows { for_s } => write!(f, "NO NEW ROWS FOR {for_s} SECONDS"),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PER {} OF {} AGAINST {}", self.unit, self.time, self.against)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnChange => f.write_str("on change"),
            Self::EveryS(seconds) => write!(f, "every {seconds} s"),
            Self::Cron(cron) => write!(f, "cron {cron}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_asks_the_clock_is_known_by_its_words() {
        let follows = |condition: &str, filter: Option<&str>| {
            let rule = Rule::Rows {
                condition: condition.to_owned(),
            };
            let watch = Watch {
                table: "chemistry.samples".to_owned(),
                rule,
                filter: filter.map(str::to_owned),
                within: None,
                labels: Vec::new(),
                for_s: 0,
            };
            watch.follows_clock()
        };
        assert!(follows("due_at < now()", None) && follows("due_on <= CURRENT_DATE", None));
        assert!(follows("yield < 5", Some("run_at > now() - interval '1 day'")));
        assert!(!follows("note = 'now()'", None) && !follows("\"now\" > 5", Some("known < 3")));
    }
}
