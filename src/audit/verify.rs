//! Verifying the trail: every event sealed, in its place, and as many as the anchors know.
//!
//! Segments are read before the table, so that an event that moves meanwhile is seen in at least one of them. Of each
//! event only its place and hashes are kept, 80 bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use labhouse_catalog::{Journal, Lake};
use serde::Deserialize;

use super::anchor::{self, Anchor};
use super::event::{Event, GENESIS, Kind};
use super::fold::APPLICATION;
use super::key::{Keys, UNKEYED};
use super::{AuditError, rows, wal};

/// What was found.
pub(super) struct Report {
    /// In order of chain and event; empty when all is well.
    pub(super) problems: Vec<Problem>,
    /// What is not wrong and worth knowing.
    pub(super) remarks: Vec<String>,
    pub(super) chains: usize,
    pub(super) events: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) chain: String,
    pub(super) seq: i64,
    pub(super) what: String,
}

/// Somebody saw this event.
struct Claim {
    chain: String,
    seq: i64,
    /// `None` when only the number was kept.
    hash: Option<String>,
    by: String,
    /// Made where whoever can write the lake cannot make it: by the chain's key, or outside the lake.
    vouches: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Link {
    seq: i64,
    prev: [u8; 32],
    hash: [u8; 32],
    seal: Seal,
    is_start: bool,
    is_stop: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// By the key of that number.
    Key(usize),
    Unkeyed,
    Broken,
}

#[derive(Default)]
struct Chain {
    links: Vec<Link>,
    /// The name of the key its first event tells.
    key: Option<String>,
    torn: usize,
}

#[derive(Deserialize)]
struct StartDetail {
    key: String,
    #[serde(default)]
    heads: Vec<Anchor>,
}

#[derive(Deserialize)]
struct RecoveredDetail {
    chain: String,
    seq: i64,
    hash: String,
}

struct Verifier<'a> {
    keys: &'a Keys,
    names: Vec<String>,
    chains: BTreeMap<String, Chain>,
    claims: Vec<Claim>,
    problems: BTreeSet<Problem>,
    remarks: Vec<String>,
}

/// Reads and checks all of it. `anchors` are those kept outside the lake, with the place they are kept in.
pub(super) async fn verify(
    lake: &Arc<Lake>,
    journal: &Journal,
    keys: &Keys,
    anchors: Vec<Anchor>,
    place: &str,
) -> Result<Report, AuditError> {
    let mut verifier = Verifier {
        keys,
        names: keys.names(),
        chains: BTreeMap::new(),
        claims: Vec::new(),
        problems: BTreeSet::new(),
        remarks: Vec::new(),
    };
    verifier.anchors(anchors, place, true);
    verifier.anchors(anchor::in_lake(lake).await?, "the anchor in the lake", false);
    for (application, seq) in journal.applications().await? {
        if let Some(chain) = application.strip_prefix(APPLICATION) {
            verifier.claim(chain, seq, None, "the table's log", false);
        }
    }
    for (chain, left) in wal::read_all(lake).await? {
        if let Some(place) = left.damaged {
            verifier.wrong(&chain, 0, format!("{place} is no event: it was altered"));
        }
        verifier.chains.entry(chain).or_default().torn = left.torn;
        for event in &left.events {
            verifier.take(event);
        }
    }
    let folded = verifier.chains.values().map(|chain| chain.links.len()).sum::<usize>();
    for file in journal.files().await? {
        match read(journal, &file).await {
            Ok(events) => events.iter().for_each(|event| verifier.take(event)),
            Err(error) => verifier.wrong("", 0, format!("the data file {file} cannot be read: {error}")),
        }
    }
    if folded > 0 {
        verifier
            .remarks
            .push(format!("{folded} events are in segments, the others in the table"));
    }
    Ok(verifier.report())
}

async fn read(journal: &Journal, file: &str) -> Result<Vec<Event>, AuditError> {
    let mut events = Vec::new();
    for batch in journal.read(file).await? {
        events.extend(rows::events(&batch)?);
    }
    Ok(events)
}

impl Verifier<'_> {
    fn wrong(&mut self, chain: &str, seq: i64, what: String) {
        self.problems.insert(Problem {
            chain: chain.to_owned(),
            seq,
            what,
        });
    }

    fn anchors(&mut self, anchors: Vec<Anchor>, by: &str, vouches: bool) {
        for anchor in anchors {
            self.claim(&anchor.chain, anchor.seq, Some(anchor.hash), by, vouches);
        }
    }

    fn claim(&mut self, chain: &str, seq: i64, hash: Option<String>, by: &str, vouches: bool) {
        self.claims.push(Claim {
            chain: chain.to_owned(),
            seq,
            hash,
            by: by.to_owned(),
            vouches,
        });
    }

    fn take(&mut self, event: &Event) {
        let seal = self.seal(event);
        let is_start = event.event == Kind::Start.as_str();
        if seal != Seal::Broken {
            self.told_by(event, matches!(seal, Seal::Key(_)));
        }
        let chain = self.chains.entry(event.chain.clone()).or_default();
        if is_start && let Some(detail) = detail::<StartDetail>(event) {
            chain.key.get_or_insert(detail.key);
        }
        chain.links.push(Link {
            seq: event.seq,
            prev: bytes(&event.prev),
            hash: bytes(&event.hash),
            seal,
            is_start,
            is_stop: event.event == Kind::Stop.as_str(),
        });
    }

    fn seal(&self, event: &Event) -> Seal {
        let by_key = self.names.iter().position(|name| {
            let key = self.keys.named(name);
            key.is_some() && event.sealed_by(key) == event.hash
        });
        match by_key {
            Some(key) => Seal::Key(key),
            None if event.sealed_by(None) == event.hash => Seal::Unkeyed,
            None => Seal::Broken,
        }
    }

    /// What an event says of other chains.
    fn told_by(&mut self, event: &Event, keyed: bool) {
        let by = format!("event {} of chain {}", event.seq, event.chain);
        if event.event == Kind::Start.as_str()
            && let Some(start) = detail::<StartDetail>(event)
        {
            self.anchors(start.heads, &by, keyed);
        } else if event.event == Kind::Recovered.as_str()
            && let Some(seen) = detail::<RecoveredDetail>(event)
        {
            self.claim(&seen.chain, seen.seq, Some(seen.hash), &by, keyed);
        }
    }

    fn report(mut self) -> Report {
        let mut chains = std::mem::take(&mut self.chains);
        chains.retain(|_, chain| !chain.links.is_empty());
        let (mut events, names) = (0, self.names.clone());
        for (name, chain) in &mut chains {
            chain.links.sort_by_key(|link| link.seq);
            self.links(name, chain, &names);
            events += chain.links.len();
            if chain.torn > 0 {
                let torn = chain.torn;
                self.remarks.push(format!(
                    "chain {name} ends in {torn} bytes of an event that was being written when its server died; nothing waited for it"
                ));
            }
            if !chain.links.last().is_some_and(|link| link.is_stop) {
                self.remarks.push(format!(
                    "chain {name} has no end: its server runs, or died; a cut after its last anchor would not be seen"
                ));
            }
        }
        for claim in std::mem::take(&mut self.claims) {
            self.compare(&claim, chains.get(&claim.chain));
        }
        Report {
            problems: self.problems.into_iter().collect(),
            remarks: self.remarks,
            chains: chains.len(),
            events,
        }
    }

    /// The events of one chain, by number; what is there twice is left once.
    fn links(&mut self, name: &str, chain: &mut Chain, names: &[String]) {
        // A segment that was folded and not yet removed holds the same events as the table.
        chain.links.dedup();
        let (mut next, mut before) = (1, bytes(GENESIS));
        for link in &chain.links {
            let seq = link.seq;
            if seq < next {
                self.wrong(name, seq, "there is another event with this number".to_owned());
                continue;
            }
            if seq > next {
                let what = match seq - next {
                    1 => "the event is missing".to_owned(),
                    missing => format!("{missing} events are missing from here on"),
                };
                self.wrong(name, next, what);
            } else if link.prev != before {
                let what = "it does not follow the event before it: one of them was put in another's place";
                self.wrong(name, seq, what.to_owned());
            }
            match (link.seal, chain.key.as_deref()) {
                (Seal::Broken, Some(key)) if key != UNKEYED && !names.iter().any(|name| name == key) => self.wrong(
                    name,
                    seq,
                    format!(
                        "its chain is sealed with the key {key}, which is not at hand: add it to {}",
                        super::key::VARIABLE
                    ),
                ),
                (Seal::Broken, _) => self.wrong(
                    name,
                    seq,
                    "it was altered: its hash is not that of its content".to_owned(),
                ),
                (Seal::Unkeyed, Some(key)) if key != UNKEYED => {
                    self.wrong(name, seq, "it was put in without the chain's key".to_owned());
                }
                (Seal::Key(at), Some(key)) if names.get(at).map(String::as_str) != Some(key) => {
                    self.wrong(name, seq, "it is sealed with another key than its chain".to_owned());
                }
                (Seal::Key(_) | Seal::Unkeyed, _) => {}
            }
            if seq == 1 && !link.is_start {
                self.wrong(
                    name,
                    seq,
                    "a chain begins with a server's start, and this is none".to_owned(),
                );
            }
            (next, before) = (seq + 1, link.hash);
        }
        chain.links.dedup_by_key(|link| link.seq);
        self.unkeyed(name, chain);
    }

    /// Where there is a key, a chain without one could be anybody's, unless something with a key knows its end.
    fn unkeyed(&mut self, name: &str, chain: &Chain) {
        let unkeyed = chain.key.as_deref() == Some(UNKEYED) || chain.key.is_none();
        let Some(last) = chain.links.last().filter(|_| unkeyed) else {
            return;
        };
        if self.keys.chain().is_none() {
            self.remarks.push(format!(
                "chain {name} is sealed without a key: whoever can write the lake could have made it anew"
            ));
            return;
        }
        let known = self
            .claims
            .iter()
            .any(|claim| claim.vouches && claim.chain == name && claim.seq == last.seq);
        if !known {
            let what = "the chain is sealed without a key, there is one, and no anchor vouches for its end".to_owned();
            self.wrong(name, last.seq, what);
        }
    }

    fn compare(&mut self, claim: &Claim, chain: Option<&Chain>) {
        let Some(last) = chain.and_then(|chain| chain.links.last()) else {
            let what = format!(
                "all events of the chain are missing: {} knows event {}",
                claim.by, claim.seq
            );
            return self.wrong(&claim.chain, 1, what);
        };
        if last.seq < claim.seq {
            let what = format!(
                "the chain ends before this event, which {} knows as event {}: its end was cut off",
                claim.by, claim.seq
            );
            return self.wrong(&claim.chain, last.seq + 1, what);
        }
        let (Some(chain), Some(hash)) = (chain, &claim.hash) else {
            return;
        };
        let found = chain.links.binary_search_by_key(&claim.seq, |link| link.seq);
        let found = found.ok().and_then(|at| chain.links.get(at));
        if found.is_some_and(|link| link.hash != bytes(hash)) {
            let what = format!("it is not the event that {} saw: the chain was made anew", claim.by);
            self.wrong(&claim.chain, claim.seq, what);
        }
    }
}

fn detail<T: for<'a> Deserialize<'a>>(event: &Event) -> Option<T> {
    serde_json::from_str(event.detail.as_deref()?).ok()
}

/// A hash out of its hex; what is none is equal to no hash.
fn bytes(hex: &str) -> [u8; 32] {
    let mut out = [0xff; 32];
    if hex.len() != 64 {
        return out;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        let digits = hex.get(at * 2..at * 2 + 2);
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => *byte = value,
            None => return [0xff; 32],
        }
    }
    out
}

#[cfg(test)]
mod tests;
