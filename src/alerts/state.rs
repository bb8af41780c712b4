//! What state an alert is in, and what becomes of it when it is looked at. Nothing here reads a clock or a table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What a look at a rule found, for one person.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Judged(Judged),
    /// There is nothing to judge by.
    NoData,
    /// The rule could not be asked.
    Failed(String),
}

/// Of which labels something is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Judged {
    /// The labels for which the rule holds; one label without a name where the rule has none.
    pub(crate) holds: BTreeMap<String, Reading>,
    /// Of the labels for which it held before, those that are there and have nothing to judge by any more.
    pub(crate) unknown: BTreeSet<String>,
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
    /// Labels for which the rule holds, and those that fired and have nothing to judge by now.
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
    /// It fired, and has nothing to judge by now: it neither fires nor is well.
    #[serde(default)]
    pub(crate) no_data: bool,
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
    /// Labels that fire.
    pub(crate) labels: BTreeSet<String>,
    /// Labels that fired and have nothing to judge by.
    #[serde(default)]
    pub(crate) no_data: BTreeSet<String>,
    pub(crate) fault: Option<FaultKind>,
}

impl Told {
    /// Labels that were told of and of which neither is so in `next`: they are well, or not there any more.
    pub(crate) fn over<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a String> {
        let all = self.labels.union(&self.no_data);
        all.filter(|label| !next.labels.contains(*label) && !next.no_data.contains(*label))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) rows: u64,
    pub(crate) since: DateTime<Utc>,
    /// The table's version that was looked at; none of one that has none, or before it was kept.
    #[serde(default)]
    pub(crate) version: Option<u64>,
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
            None if self.instances.values().any(Instance::fires) => "firing",
            None if self.instances.values().any(|instance| instance.no_data) => FaultKind::NoData.word(),
            None if self.instances.is_empty() => "ok",
            None => "pending",
        }
    }

    /// The labels that fire.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        having(&self.instances, Instance::fires)
    }

    /// The labels that fired and have nothing to judge by.
    pub(crate) fn no_data(&self) -> BTreeSet<String> {
        having(&self.instances, |instance| instance.no_data)
    }

    /// The labels that fired for a person, or that somebody told so: when the rule holds no more for one of them, is it well?
    pub(crate) fn fired_for(&self, person: &str, owner: &str) -> BTreeSet<String> {
        let found = self
            .seen_by
            .get(person)
            .map(|found| (&found.instances, self.told_to.get(person)));
        let own = (person == owner).then_some((&self.instances, Some(&self.told)));
        let mut all = BTreeSet::new();
        for (instances, told) in found.into_iter().chain(own) {
            all.extend(having(instances, |instance| instance.firing));
            let told = told.into_iter().flat_map(|told| told.labels.union(&told.no_data));
            all.extend(told.cloned());
        }
        all
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
            Outcome::Judged(judged) => {
                next.fault = None;
                next.instances = instances(&self.instances, &self.told, judged, for_s, now);
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
    pub(crate) fn has_news<'a>(&self, recipients: impl IntoIterator<Item = &'a String>) -> bool {
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

    /// What is known for these people, and for the owner.
    #[must_use]
    pub(crate) fn of_people(&self, people: &BTreeSet<String>, owner: &str) -> Self {
        let mut state = self.clone();
        state.seen_by.retain(|person, _| people.contains(person));
        state.told_to.retain(|person, _| people.contains(person));
        state
            .watched
            .retain(|person, _| people.contains(person) || person == owner);
        state
    }

    /// When a label that is pending for the owner fires, if nothing changes; `for_s` is the rule's.
    pub(crate) fn fires_at(&self, for_s: u64, owner: &str) -> Option<DateTime<Utc>> {
        let own = self.seen_by.get(owner).map(|found| &found.instances);
        fires_at(own.into_iter().chain([&self.instances]), for_s)
    }

    /// When a label that is pending for another recipient fires, if nothing changes.
    pub(crate) fn fires_for_others_at(&self, for_s: u64, owner: &str) -> Option<DateTime<Utc>> {
        let others = self.seen_by.iter().filter(|(recipient, _)| *recipient != owner);
        fires_at(others.map(|(_, found)| &found.instances), for_s)
    }

    /// The state of before with what was found for others than the owner: a look that was not his leaves his as it was.
    #[must_use]
    pub(crate) fn with_others_of(&self, after: Self, owner: &str) -> Self {
        fn except<T: Clone>(
            owner: &str,
            before: &BTreeMap<String, T>,
            mut after: BTreeMap<String, T>,
        ) -> BTreeMap<String, T> {
            match before.get(owner) {
                Some(own) => after.insert(owner.to_owned(), own.clone()),
                None => after.remove(owner),
            };
            after
        }
        Self {
            seen_by: except(owner, &self.seen_by, after.seen_by),
            told_to: except(owner, &self.told_to, after.told_to),
            watched: except(owner, &self.watched, after.watched),
            ..self.clone()
        }
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
            Outcome::Judged(judged) => Self {
                instances: instances(&self.instances, told, judged, for_s, now),
                fault: None,
            },
        }
    }

    /// All that there is to tell the recipient, who was told so much.
    pub(crate) fn known(&self, told: &Told) -> Told {
        known(&self.instances, self.fault, told)
    }
}

fn fires_at<'a>(instances: impl Iterator<Item = &'a BTreeMap<String, Instance>>, for_s: u64) -> Option<DateTime<Utc>> {
    let pending = instances.flat_map(BTreeMap::values).filter(|instance| !instance.firing);
    pending.map(|instance| instance.since + seconds(for_s)).min()
}

fn having(instances: &BTreeMap<String, Instance>, wanted: impl Fn(&Instance) -> bool) -> BTreeSet<String> {
    let having = instances.iter().filter(|(_, instance)| wanted(instance));
    having.map(|(label, _)| label.clone()).collect()
}

fn known(instances: &BTreeMap<String, Instance>, fault: Option<FaultKind>, told: &Told) -> Told {
    match fault {
        // While nothing is known of the labels, they stay as they were told.
        Some(_) => Told { fault, ..told.clone() },
        None => Told {
            labels: having(instances, Instance::fires),
            no_data: having(instances, |instance| instance.no_data),
            fault,
        },
    }
}

/// The labels that hold, after those before. One that was told of goes on firing; one that fired and of which nothing is known
/// any more is kept as such.
fn instances(
    before: &BTreeMap<String, Instance>,
    told: &Told,
    judged: &Judged,
    for_s: u64,
    now: DateTime<Utc>,
) -> BTreeMap<String, Instance> {
    let is_told = |label: &String| told.labels.contains(label) || told.no_data.contains(label);
    let instance = |label: &String, reading: &Reading| {
        let before = before.get(label);
        let since = before.map_or(now, |instance| instance.since);
        let held = now.signed_duration_since(since) >= seconds(for_s);
        Instance {
            since,
            firing: held || before.is_some_and(|instance| instance.firing) || is_told(label),
            reading: Reading {
                // What is no number is equal to nothing, not even to itself.
                value: reading.value.filter(|value| value.is_finite()),
                against: reading.against.clone(),
            },
            no_data: false,
        }
    };
    let held = judged.holds.iter();
    let held = held.map(|(label, reading)| (label.clone(), instance(label, reading)));
    let unknown = judged.unknown.iter().filter_map(|label| {
        let before = before.get(label).filter(|before| before.firing);
        let since = before.map(|before| before.since).or(is_told(label).then_some(now))?;
        let instance = Instance {
            since,
            firing: true,
            reading: Reading::default(),
            no_data: true,
        };
        Some((label.clone(), instance))
    });
    unknown.chain(held).collect()
}

impl Instance {
    /// Whether the rule holds for it, and has for long enough.
    fn fires(&self) -> bool {
        self.firing && !self.no_data
    }
}

impl Watched {
    /// What was seen, after `rows` are seen now in a version; `came` says whether a commit since brought rows, be there as many as
    /// before or fewer.
    pub(crate) fn after(
        before: Option<&Self>,
        rows: u64,
        version: Option<u64>,
        came: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let since = match before {
            // Rows that were taken away are no new ones.
            Some(before) if rows <= before.rows && !came => before.since,
            Some(_) | None => now,
        };
        Self { rows, since, version }
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
mod tests;
