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
    /// What was found for each recipient who sees what the rule reads.
    #[serde(default)]
    pub(crate) seen_by: BTreeMap<String, Found>,
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

/// What is so for one recipient.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) fault: Option<FaultKind>,
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
        firing(&self.instances)
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
                next.instances = instances(&self.instances, &self.told, labels, for_s, now);
            }
        }
        if next.word() != self.word() || self.since.is_none() {
            next.since = Some(now);
        }
        next
    }

    /// Whether there is something that a recipient was not told.
    pub(crate) fn has_news_for(&self, recipient: &str) -> bool {
        let told = self.told_to.get(recipient).cloned().unwrap_or_default();
        let found = self.seen_by.get(recipient);
        found.is_some_and(|found| found.known(&told) != told)
    }

    /// Whether there is something that the owner, or one of the recipients, was not told.
    pub(crate) fn has_news<'a>(&self, recipients: impl IntoIterator<Item = &'a str>) -> bool {
        let mut recipients = recipients.into_iter();
        self.is_news() || recipients.any(|recipient| self.has_news_for(recipient))
    }

    /// Whether the owner's state is not made known.
    pub(crate) fn is_news(&self) -> bool {
        self.told != self.known()
    }

    /// All that there is to tell.
    pub(crate) fn known(&self) -> Told {
        known(&self.instances, self.fault.as_ref().map(|fault| fault.kind), &self.told)
    }

    /// A recipient does not see what the rule reads: nothing is known to him, and nothing was told that could end.
    pub(crate) fn blind(&mut self, recipient: &str) {
        self.seen_by.remove(recipient);
        self.told_to.remove(recipient);
    }

    /// When a label that is pending fires, if nothing changes; `for_s` is the rule's.
    pub(crate) fn fires_at(&self, for_s: u64) -> Option<DateTime<Utc>> {
        let all = self.seen_by.values().map(|found| &found.instances);
        let all = all.chain([&self.instances]).flat_map(BTreeMap::values);
        let pending = all.filter(|instance| !instance.firing);
        pending.map(|instance| instance.since + seconds(for_s)).min()
    }

    /// Whether two states differ in anything but the time of the look and the values read.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let still = |state: &Self| {
            let mut state = state.clone();
            state.evaluated_at = None;
            let others = state
                .seen_by
                .values_mut()
                .flat_map(|found| found.instances.values_mut());
            let all = state.instances.values_mut().chain(others);
            all.for_each(|instance| instance.reading = Reading::default());
            state
        };
        still(self) != still(other)
    }
}

impl Found {
    /// What is so after a look of the recipient; `told` is what he was told. A fault leaves the labels as they were.
    #[must_use]
    pub(crate) fn after(&self, outcome: &Outcome, told: &Told, for_s: u64, now: DateTime<Utc>) -> Self {
        let still = |fault| Self {
            instances: self.instances.clone(),
            fault: Some(fault),
        };
        match outcome {
            Outcome::Failed(_) => still(FaultKind::Error),
            Outcome::NoData => still(FaultKind::NoData),
            Outcome::Holds(labels) => Self {
                instances: instances(&self.instances, told, labels, for_s, now),
                fault: None,
            },
        }
    }

    /// All that there is to tell the recipient, who was told so much.
    pub(crate) fn known(&self, told: &Told) -> Told {
        known(&self.instances, self.fault, told)
    }
}

fn firing(instances: &BTreeMap<String, Instance>) -> BTreeSet<String> {
    let firing = instances.iter().filter(|(_, instance)| instance.firing);
    firing.map(|(label, _)| label.clone()).collect()
}

fn known(instances: &BTreeMap<String, Instance>, fault: Option<FaultKind>, told: &Told) -> Told {
    Told {
        // While nothing is known of the labels, they stay as they were told.
        labels: match fault {
            Some(_) => told.labels.clone(),
            None => firing(instances),
        },
        fault,
    }
}

/// The labels that hold, after those before. One that was told of goes on firing.
fn instances(
    before: &BTreeMap<String, Instance>,
    told: &Told,
    labels: &BTreeMap<String, Reading>,
    for_s: u64,
    now: DateTime<Utc>,
) -> BTreeMap<String, Instance> {
    let instance = |label: &String, reading: &Reading| {
        let before = before.get(label);
        let since = before.map_or(now, |instance| instance.since);
        let held = now.signed_duration_since(since) >= seconds(for_s);
        Instance {
            since,
            firing: held || before.is_some_and(|instance| instance.firing) || told.labels.contains(label),
            reading: Reading {
                // What is no number is equal to nothing, not even to itself.
                value: reading.value.filter(|value| value.is_finite()),
                against: reading.against.clone(),
            },
        }
    };
    let all = labels.iter();
    all.map(|(label, reading)| (label.clone(), instance(label, reading)))
        .collect()
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
        assert_eq!((state.word(), state.is_news()), ("ok", false));
        let state = state.after(&holds(&[""]), 60, at(1));
        assert_eq!((state.word(), state.is_news()), ("pending", false));
        assert_eq!(state.fires_at(60), Some(at(61)));
        let state = state.after(&holds(&[""]), 60, at(60));
        assert_eq!(state.word(), "pending");
        let mut state = state.after(&holds(&[""]), 60, at(61));
        assert_eq!(
            (state.word(), state.is_news(), state.since),
            ("firing", true, Some(at(61)))
        );
        state.told = state.known();
        assert!(!state.after(&holds(&[""]), 60, at(70)).is_news(), "told once");
        let state = state.after(&holds(&[]), 60, at(80));
        assert_eq!((state.word(), state.is_news()), ("ok", true));
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
        assert_eq!((state.word(), state.is_news()), ("error", true));
        state.told = state.known();
        assert!(!state.after(&Outcome::Failed("y".into()), 0, at(2)).is_news());
        assert_eq!(state.after(&Outcome::NoData, 0, at(2)).word(), "no_data");
        let state = state.after(&holds(&["a"]), 0, at(3));
        assert_eq!(state.word(), "firing");
        assert!(state.is_news(), "that the fault is over");
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
    fn each_recipient_has_states_and_news_of_her_own() {
        let recipients = ["sam", "ana"];
        let mut state = State::default().after(&holds(&["a"]), 0, at(0));
        state.told = state.known();
        assert!(!state.has_news(recipients), "ana sees nothing of it");
        let told = Told::default();
        let found = Found::default().after(&holds(&["b"]), &told, 60, at(1));
        state.seen_by.insert("ana".into(), found.clone());
        assert!(!state.has_news(recipients), "hers is pending");
        assert_eq!(state.fires_at(60), Some(at(61)));
        let found = found.after(&holds(&["b", "c"]), &told, 60, at(61));
        let news = found.known(&told);
        assert_eq!(
            news.labels,
            BTreeSet::from(["b".to_owned()]),
            "the other one is pending"
        );
        state.seen_by.insert("ana".into(), found.clone());
        assert!(state.has_news(recipients) && !state.is_news());
        assert!(state.has_news_for("ana") && !state.has_news_for("sam"));
        state.told_to.insert("ana".into(), news.clone());
        assert!(!state.has_news(recipients));
        let ended = found.after(&holds(&[]), &news, 60, at(62));
        assert_eq!(ended.known(&news), Told::default());
        // A fault is news, and the labels stay.
        let fault = found.after(&Outcome::NoData, &news, 60, at(62)).known(&news);
        assert_eq!(
            (fault.labels, fault.fault),
            (news.labels.clone(), Some(FaultKind::NoData))
        );
        // What was told fires on, though nothing else is known of it.
        assert_eq!(
            Found::default().after(&holds(&["b"]), &news, 60, at(63)).known(&news),
            news
        );
        state.blind("ana");
        assert!(!state.has_news(recipients));
    }

    #[test]
    fn what_is_no_number_does_not_make_states_differ() {
        let reading = Reading {
            value: Some(f64::NAN),
            against: None,
        };
        let outcome = Outcome::Holds([("a".to_owned(), reading)].into());
        let state = State::default().after(&outcome, 0, at(0));
        assert!(state == state.clone() && state == state.after(&outcome, 0, at(1)));
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
