//! One event of the trail, and the hash that chains it to the one before.
//!
//! The hash is taken over the event's fields by name, so the same event has the same hash whether it is read from a
//! segment or from the table. A field without a value is left out, so that later versions may add fields.

use chrono::Utc;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::hex;

/// Says which encoding was hashed; another encoding gets another word.
const ENCODING: &str = "labhouse.audit.1";
/// What the first event of a chain has as the hash before it.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A server started and began this chain; `detail` names the heads of the others.
    Start,
    /// It stopped and the chain is complete.
    Stop,
    /// A statement was decided: `verdict` says how. A refused one has no other event.
    Statement,
    /// A statement that was allowed ended: rows, bytes, duration, outcome (`not_fetched` when only its columns were told).
    Ended,
    /// Columns of a statement whose values are not bound yet were told; or telling a statement's columns was refused.
    Described,
    /// The catalog was asked; `rows` counts the tables told.
    Metadata,
    /// Somebody logged in, or tried to.
    Login,
    /// New policy files act, or were refused.
    Policy,
    /// A dashboard's file was written or removed through the page: `targets` names it, `detail` its new SHA-256.
    Dashboard,
    /// The users file was edited: `detail` tells whose login changed and in what, or the edit was refused.
    Users,
    /// Landed files came into tables: `rows` counts their rows, `targets` names the tables.
    Crawl,
    /// A table was cared for: `targets` names it, `action` says how, `detail` how many files went and came.
    Maintenance,
    /// A watched rule changed its state: `targets` names the alert, `reason` the state, `principal` its owner.
    Alert,
    /// A message of an alert or report went out or did not: `targets` names it, `principal` the recipient, `detail`
    /// owner, channel and number of the delivery, `reason` what came of it.
    Notification,
    /// The rest of a dead server's chain was taken over; `detail` says which and how far.
    Recovered,
    /// Events could not be kept; `rows` says how many.
    Gap,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Statement => "statement",
            Self::Ended => "ended",
            Self::Described => "described",
            Self::Metadata => "metadata",
            Self::Login => "login",
            Self::Policy => "policy",
            Self::Dashboard => "dashboard",
            Self::Users => "users",
            Self::Crawl => "crawl",
            Self::Maintenance => "maintenance",
            Self::Alert => "alert",
            Self::Notification => "notification",
            Self::Recovered => "recovered",
            Self::Gap => "gap",
        }
    }
}

/// One event. `chain`, `seq`, `prev` and `hash` are set when it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Event {
    /// The server process that wrote it.
    pub(crate) chain: String,
    /// Its place in the chain, from 1.
    pub(crate) seq: i64,
    /// Microseconds since 1970, UTC.
    pub(crate) at: i64,
    pub(crate) event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    /// `role:NAME@DEPARTMENT`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) door: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// `read`, `insert`, `create_model`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement_bytes: Option<i64>,
    /// The text without literals and comments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<String>,
    /// `lab.SCHEMA.TABLE@VERSION`: what was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<String>,
    /// `lab.SCHEMA.TABLE/COLUMN`: what was read of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
    /// `lab.SCHEMA.NAME`, with `@VERSION` once known: what was to be changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<String>,
    /// `lab.SCHEMA.MODEL@VERSION`: models that were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<String>,
    /// Objects that a policy closed to the statement, with the action where it is not reading.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<String>,
    /// `FILE:LINE` of the rules that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<String>,
    /// Names of the row filters that applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) filters: Vec<String>,
    /// Names of the masks that applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) masks: Vec<String>,
    /// `allowed`; `denied` by policy; `refused` for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<String>,
    /// Why it was not allowed, or how it ended, in one word: never a text that may hold a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) catalog_generation: Option<i64>,
    /// What else belongs to an event of this kind, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Hash of the event before.
    pub(crate) prev: String,
    /// SHA-256, or HMAC-SHA-256 with the chain's key, over all fields above; hex.
    pub(crate) hash: String,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Text(Option<&'a str>),
    Number(Option<i64>),
    Time(i64),
    List(&'a [String]),
}

/// Fields under the hash, in the order of the table; the hash itself follows them.
pub(crate) const COLUMNS: usize = 32;

impl Event {
    /// An event of this moment.
    pub(crate) fn now(kind: Kind) -> Self {
        Self {
            event: kind.as_str().to_owned(),
            at: Utc::now().timestamp_micros(),
            ..Self::default()
        }
    }

    /// Every field with its name, in the table's order.
    pub(crate) fn cells(&self) -> [(&'static str, Cell<'_>); COLUMNS] {
        fn text(value: &Option<String>) -> Cell<'_> {
            Cell::Text(value.as_deref())
        }
        [
            ("chain", Cell::Text(Some(&self.chain))),
            ("seq", Cell::Number(Some(self.seq))),
            ("at", Cell::Time(self.at)),
            ("event", Cell::Text(Some(&self.event))),
            ("query_id", text(&self.query_id)),
            ("principal", text(&self.principal)),
            ("roles", Cell::List(&self.roles)),
            ("door", text(&self.door)),
            ("peer", text(&self.peer)),
            ("agent", text(&self.agent)),
            ("action", text(&self.action)),
            ("statement_hash", text(&self.statement_hash)),
            ("statement_bytes", Cell::Number(self.statement_bytes)),
            ("statement", text(&self.statement)),
            ("tables", Cell::List(&self.tables)),
            ("columns", Cell::List(&self.columns)),
            ("targets", Cell::List(&self.targets)),
            ("models", Cell::List(&self.models)),
            ("refused", Cell::List(&self.refused)),
            ("lines", Cell::List(&self.lines)),
            ("filters", Cell::List(&self.filters)),
            ("masks", Cell::List(&self.masks)),
            ("verdict", text(&self.verdict)),
            ("reason", text(&self.reason)),
            ("rows", Cell::Number(self.rows)),
            ("bytes", Cell::Number(self.bytes)),
            ("duration_us", Cell::Number(self.duration_us)),
            ("policy_generation", Cell::Number(self.policy_generation)),
            ("policy_fingerprint", text(&self.policy_fingerprint)),
            ("catalog_generation", Cell::Number(self.catalog_generation)),
            ("detail", text(&self.detail)),
            ("prev", Cell::Text(Some(&self.prev))),
        ]
    }

    /// Puts the event into its place and seals it there.
    pub(crate) fn seal(&mut self, chain: &str, seq: i64, prev: &str, key: Option<&[u8; 32]>) {
        chain.clone_into(&mut self.chain);
        prev.clone_into(&mut self.prev);
        self.seq = seq;
        self.hash = self.sealed_by(key);
    }

    /// The hash the event should have.
    pub(crate) fn sealed_by(&self, key: Option<&[u8; 32]>) -> String {
        let bytes = self.encoded();
        match key {
            None => hex(&Sha256::digest(&bytes)),
            Some(key) => hex(&hmac(key, &bytes)),
        }
    }

    /// Length before content everywhere, so that no two events are written alike.
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1_024);
        put(&mut bytes, ENCODING.as_bytes());
        for (name, cell) in self.cells() {
            match cell {
                Cell::Text(None) | Cell::Number(None) | Cell::List([]) => continue,
                Cell::Text(Some(text)) => {
                    put(&mut bytes, name.as_bytes());
                    bytes.push(b't');
                    put(&mut bytes, text.as_bytes());
                }
                Cell::Number(Some(number)) | Cell::Time(number) => {
                    put(&mut bytes, name.as_bytes());
                    bytes.push(b'n');
                    bytes.extend(number.to_le_bytes());
                }
                Cell::List(texts) => {
                    put(&mut bytes, name.as_bytes());
                    bytes.push(b'l');
                    bytes.extend((texts.len() as u64).to_le_bytes());
                    for text in texts {
                        put(&mut bytes, text.as_bytes());
                    }
                }
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(content);
}

/// HMAC-SHA-256.
pub(crate) fn hmac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length; the error cannot happen, and zeros would verify nowhere.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let mut event = Event {
            principal: Some("ana".into()),
            tables: vec!["a".into(), "b".into()],
            rows: Some(3),
            ..Event::now(Kind::Statement)
        };
        event.seal("c", 1, GENESIS, None);
        event
    }

    #[test]
    fn every_field_is_under_the_hash() {
        let good = event();
        assert_eq!(good.hash, good.sealed_by(None));
        let json = serde_json::to_value(Event {
            query_id: Some(String::new()),
            roles: vec![String::new()],
            ..good.clone()
        })
        .unwrap();
        // Each field of the record, changed alone, is another hash.
        let mut changed = 0;
        for (name, cell) in good.cells() {
            let mut json = json.clone();
            json["query_id"] = serde_json::Value::Null;
            json["roles"] = serde_json::json!([]);
            json[name] = match cell {
                Cell::Text(_) => "other".into(),
                Cell::Number(_) | Cell::Time(_) => 77.into(),
                Cell::List(_) => serde_json::json!(["other"]),
            };
            let other: Event = serde_json::from_value(json).unwrap();
            assert_ne!(other.sealed_by(None), good.hash, "{name}");
            changed += 1;
        }
        assert_eq!(changed, COLUMNS);
    }

    #[test]
    fn content_cannot_move_between_fields_or_list_entries() {
        let good = event();
        for other in [
            Event {
                tables: vec!["ab".into()],
                ..good.clone()
            },
            Event {
                tables: vec!["a".into()],
                columns: vec!["b".into()],
                ..good.clone()
            },
            Event {
                principal: None,
                peer: Some("ana".into()),
                ..good.clone()
            },
            Event {
                principal: Some(String::new()),
                ..good.clone()
            },
        ] {
            assert_ne!(other.sealed_by(None), good.hash);
        }
        assert_ne!(good.sealed_by(Some(&[1; 32])), good.sealed_by(Some(&[2; 32])));
    }
}
