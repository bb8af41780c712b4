//! What state an alert is in, and what becomes of it when it is looked at. Nothing here reads a clock or a table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What a look at a rule found, for one person.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The labels for which the rule holds; one label without a name where the rule has none.
    Holds(BTreeMap<String, Reading>),
    /// There is nothing to judge by.
    NoData,
    /// The rule could not be asked.
    Failed(String),
}

/// What was read where a rule holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) value: Option<f64>,
    /// What it was held against, in words.
    pub(crate) against: Option<String>,
}

/// The state that is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Labels for which the rule holds.
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) fault: Option<Fault>,
    /// What was made known, or would have been but for a silence that is over.
    pub(crate) told: Told,
    /// What each recipient was told, in what he sees.
    pub(crate) told_to: BTreeMap<String, Told>,
    /// Rows that each person saw last, and since when there are no more: for rules about missing rows.
    pub(crate) watched: BTreeMap<String, Watched>,
    /// When the state became what it is.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The time of a report that was made last.
    pub(crate) slot: Option<DateTime<Utc>>,
    pub(crate) evaluated_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) since: DateTime<Utc>,
    pub(crate) firing: bool,
    pub(crate) reading: Reading,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    NoData,
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) labels: BTreeSet<String>,
    pub(crate) fault: Option<FaultKind>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) rows: u64,
    pub(crate) since: DateTime<Utc>,
}

impl FaultKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }
}

impl State {
    /// The state in one word.
    pub(crate) fn word(&self) -> &'static str {
        match &self.fault {
            Some(fault) => fault.kind.word(),
            None if self.instances.values().any(|instance| instance.firing) => "firing",
            None if self.instances.is_empty() => "ok",
            None => "pending",
        }
    }

    /// The labels that fire.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        let firing = self.instances.iter().filter(|(_, instance)| instance.firing);
        firing.map(|(label, _)| label.clone()).collect()
    }

    /// The state after a look. A fault leaves the labels as they were: nothing is known of them.
    #[must_use]
    pub(crate) fn after(&self, outcome: &Outcome, for_s: u64, now: DateTime<Utc>) -> Self {
        let mut next = self.clone();
        match outcome {
            Outcome::Failed(reason) => {
                next.fault = Some(Fault {
                    kind: FaultKind::Error,
                    reason: Some(reason.clone()),
                });
            }
            Outcome::NoData => {
                next.fault = Some(Fault {
                    kind: FaultKind::NoData,
                    reason: None,
                });
            }
            Outcome::Holds(labels) => {
                next.fault = None;
                next.instances = labels
                    .iter()
                    .map(|(label, reading)| (label.clone(), self.instance(label, reading, for_s, now)))
                    .collect();
            }
        }
        if next.word() != self.word() || self.since.is_none() {
            next.since = Some(now);
        }
        next
    }

    fn instance(&self, label: &str, reading: &Reading, for_s: u64, now: DateTime<Utc>) -> Instance {
        let before = self.instances.get(label);
        let since = before.map_or(now, |instance| instance.since);
        let held = now.signed_duration_since(since) >= seconds(for_s);
        Instance {
            since,
            firing: held || before.is_some_and(|instance| instance.firing),
            reading: reading.clone(),
        }
    }

    /// Whether there is something that was not told.
    pub(crate) fn has_news(&self) -> bool {
        self.told != self.known()
    }

    /// All that there is to tell.
    pub(crate) fn known(&self) -> Told {
        let fault = self.fault.as_ref().map(|fault| fault.kind);
        Told {
            // While nothing is known of the labels, they stay as they were told.
            labels: match fault {
                Some(_) => self.told.labels.clone(),
                None => self.firing(),
            },
            fault,
        }
    }

    /// When a label that is pending fires, if nothing changes; `for_s` is the rule's.
    pub(crate) fn fires_at(&self, for_s: u64) -> Option<DateTime<Utc>> {
        let pending = self.instances.values().filter(|instance| !instance.firing);
        pending.map(|instance| instance.since + seconds(for_s)).min()
    }

    /// Whether two states differ in anything but the time of the look and the values read.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let still = |state: &Self| {
            let mut state = state.clone();
            state.evaluated_at = None;
            state
                .instances
                .values_mut()
                .for_each(|instance| instance.reading = Reading::default());
            state
        };
        still(self) != still(other)
    }
}

impl Watched {
    /// What was seen, after `rows` are seen now.
    pub(crate) fn after(before: Option<&Self>, rows: u64, now: DateTime<Utc>) -> Self {
        match before {
            // Rows that were taken away are no new ones.
            Some(before) if rows <= before.rows => Self {
                rows,
                since: before.since,
            },
            Some(_) | None => Self { rows, since: now },
        }
    }

    /// Whether no rows came for so long.
    pub(crate) fn is_overdue(&self, for_s: u64, now: DateTime<Utc>) -> bool {
        now.signed_duration_since(self.since) >= seconds(for_s)
    }
}

/// Seconds as a difference of times; the parser lets no longer one through than fits.
pub(crate) fn seconds(number: u64) -> TimeDelta {
    i64::try_from(number)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn holds(labels: &[&str]) -> Outcome {
        Outcome::Holds(
            labels
                .iter()
                .map(|label| ((*label).to_owned(), Reading::default()))
                .collect(),
        )
    }

    #[test]
    fn ok_pending_firing_and_back() {
        let state = State::default().after(&holds(&[]), 60, at(0));
        assert_eq!((state.word(), state.has_news()), ("ok", false));
        let state = state.after(&holds(&[""]), 60, at(1));
        assert_eq!((state.word(), state.has_news()), ("pending", false));
        assert_eq!(state.fires_at(60), Some(at(61)));
        let state = state.after(&holds(&[""]), 60, at(60));
        assert_eq!(state.word(), "pending");
        let mut state = state.after(&holds(&[""]), 60, at(61));
        assert_eq!(
            (state.word(), state.has_news(), state.since),
            ("firing", true, Some(at(61)))
        );
        state.told = state.known();
        assert!(!state.after(&holds(&[""]), 60, at(70)).has_news(), "told once");
        let state = state.after(&holds(&[]), 60, at(80));
        assert_eq!((state.word(), state.has_news()), ("ok", true));
    }

    #[test]
    fn a_pending_label_that_goes_starts_anew() {
        let state = State::default().after(&holds(&["a"]), 60, at(0));
        let state = state.after(&holds(&[]), 60, at(30)).after(&holds(&["a"]), 60, at(40));
        assert_eq!(state.after(&holds(&["a"]), 60, at(61)).word(), "pending");
        assert_eq!(state.after(&holds(&["a"]), 60, at(100)).word(), "firing");
    }

    #[test]
    fn a_fault_keeps_the_labels_and_is_told_once() {
        let mut state = State::default().after(&holds(&["a"]), 0, at(0));
        state.told = state.known();
        let mut state = state.after(&Outcome::Failed("x".into()), 0, at(1));
        assert_eq!((state.word(), state.has_news()), ("error", true));
        state.told = state.known();
        assert!(!state.after(&Outcome::Failed("y".into()), 0, at(2)).has_news());
        assert_eq!(state.after(&Outcome::NoData, 0, at(2)).word(), "no_data");
        let state = state.after(&holds(&["a"]), 0, at(3));
        assert_eq!(state.word(), "firing");
        assert!(state.has_news(), "that the fault is over");
        assert_eq!(state.known().labels, state.told.labels, "the label was told before");
    }

    #[test]
    fn values_alone_are_nothing_to_write_down() {
        let state = State::default().after(&holds(&["a"]), 0, at(0));
        let reading = Reading {
            value: Some(2.0),
            against: None,
        };
        let mut later = state.after(&Outcome::Holds([("a".to_owned(), reading)].into()), 0, at(9));
        later.evaluated_at = Some(at(9));
        assert!(!later.differs(&state));
        assert!(state.after(&holds(&["a", "b"]), 0, at(9)).differs(&state));
    }

    #[test]
    fn only_more_rows_are_new_rows() {
        let seen = Watched::after(None, 10, at(0));
        let fewer = Watched::after(Some(&seen), 4, at(50));
        assert_eq!((fewer.rows, fewer.since), (4, at(0)));
        assert!(fewer.is_overdue(60, at(60)) && !fewer.is_overdue(60, at(59)));
        let more = Watched::after(Some(&fewer), 5, at(60));
        assert!(!more.is_overdue(60, at(60)));
    }
}
