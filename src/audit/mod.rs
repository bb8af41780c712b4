//! The audit trail: who asked what, what decided, and what came of it; append-only, chained, kept in the lake.
//!
//! # The road of an event
//! ```text
//! statement, login, policy swap -> queue -> writer (seals, groups, flushes) -> segment -> fold -> Delta table
//!      waits for its event  <---------------- durable                                     _labhouse/audit/events
//! ```
//! A statement's event is written as soon as it is decided, which is when it is announced, and holds back the first batch,
//! the change, or the refusal until it is durable; meanwhile the client comes for its rows and the plan runs. A second event tells how it ended. Each server process writes a
//! chain of its own: every event holds the hash of the one before, under a key if there is one. Segments are folded into
//! one Delta table, exactly once, also those of a server that died.
//!
//! # What it proves
//! `labhouse audit verify` finds an event that was altered, removed, reordered or added inside a chain, and a chain that
//! ends before an anchor (see `anchor`). Without a key whoever can write the lake could compute a whole chain anew; with
//! one he needs the key, too. Who has lake and key, or cuts off what no anchor covers yet, is not found: keep the anchor
//! file and the server's log where he cannot write.
//!
//! # What is deliberately absent
//! Result values, literals, passwords, tokens, error texts: none is ever put into an event.

mod anchor;
pub(crate) mod command;
mod event;
mod fold;
mod key;
mod notes;
mod notices;
mod redact;
mod rows;
mod statement;
mod table;
mod verify;
mod wait;
mod wal;
mod writer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labhouse_catalog::{FileStatus, Journal, Lake, LakeError, SweepReport};
use labhouse_policies::PolicySet;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::auth::UsersChange;
use crate::care::Done;
use crate::config::{self, Config, Durability, OnFailure};
use crate::query::statement::CATALOG;
use crate::query::{Part, Transaction};
use crate::telemetry::TraceParent;
use key::Keys;
use wait::Pending;
use wal::Log;
use writer::{Shared, Writer};

pub(crate) use event::{Event, Kind};
pub(crate) use fold::follow;
pub(crate) use notes::{Facts, Notes};
pub(crate) use notices::Told;
pub(crate) use statement::Account;
pub(crate) use table::{AuditTable, NAME as AUDIT, events_of};
pub(crate) use wait::Wait;

/// Folder and table of the trail below the server's own folder.
const AREA: &str = "audit";
const TABLE: &str = "events";
/// Refused logins of a minute that are told one by one; the others are counted. Guessing must not fill the disk.
const REFUSED_LOGINS_A_MINUTE: u32 = 600;
/// Bytes of what a client says of itself.
const AGENT_BYTES_MAX: usize = 200;

/// Why the trail cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error("{action} {path} for the audit trail failed: {source}; free space or correct the folder's permissions")]
    Disk {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error("the audit trail: {0}")]
    Lake(#[from] LakeError),
    #[error("audit events do not fit their table: {0}; was _labhouse/audit/events made by another version?")]
    Rows(#[from] arrow::error::ArrowError),
    #[error("{place} is not an audit anchor: {reason}; restore the file or take the line out")]
    Anchor { place: String, reason: String },
    #[error("{0}")]
    Key(String),
    #[error("more audit events wait than may; the table or the disk does not take them")]
    Full,
    #[error("the audit trail could not be written a moment ago; it is tried again")]
    Failing,
    #[error("the audit trail is closed")]
    Closed,
    #[error("a thread for the audit trail cannot be started: {0}; raise the limit on processes")]
    Thread(std::io::Error),
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// From where a call came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) door: &'static str,
    /// Address and port.
    pub(crate) peer: Option<String>,
    /// What the client calls itself.
    pub(crate) agent: Option<String>,
    /// Its span, when it traces.
    pub(crate) trace: Option<TraceParent>,
    /// In which transaction, if not in one of its own.
    pub(crate) transaction: Option<Arc<Transaction>>,
    /// What it asks may read and nothing else, whatever the login may do.
    pub(crate) reads_only: bool,
    /// Of what it asks, one part alone.
    pub(crate) part: Option<Part>,
    /// The server asks it of itself, to answer something else that the client asked: it counts as the client's, and is not shown to him.
    pub(crate) unasked: bool,
}

impl Client {
    /// Work of the server itself on somebody's behalf.
    pub(crate) fn server() -> Self {
        Self {
            door: "server",
            ..Self::default()
        }
    }

    /// Of what the server asks of itself to answer this client.
    pub(crate) fn unasked(&self) -> Self {
        Self {
            unasked: true,
            ..self.clone()
        }
    }

    /// Whether nobody sent this.
    pub(crate) fn is_server(&self) -> bool {
        self.door == Self::server().door
    }

    /// A client's word for itself as it may be kept: short, one line.
    pub(crate) fn agent(text: &str) -> String {
        let end = text.floor_char_boundary(AGENT_BYTES_MAX);
        let short = text.get(..end).unwrap_or_default();
        short.chars().filter(|letter| !letter.is_control()).collect()
    }
}

/// The trail of one server process.
pub(crate) struct Audit {
    lake: Arc<Lake>,
    journal: Journal,
    chain: String,
    keys: Keys,
    settings: config::Audit,
    anchor: Option<PathBuf>,
    fold_interval: Duration,
    shared: Arc<Shared>,
    writer: Mutex<Option<std::thread::JoinHandle<Box<dyn Log>>>>,
    logins: Mutex<Logins>,
}

/// Refused logins of the current minute.
struct Logins {
    since: Instant,
    told: u32,
    counted: u32,
}

/// The table of the trail in a lake.
fn journal(lake: &Arc<Lake>) -> Result<Journal, LakeError> {
    Journal::new(Arc::clone(lake), AREA, TABLE, &rows::schema())
}

/// The keys that environment and policy folder give.
fn keys(config: &Config) -> Result<Keys, AuditError> {
    let variable = std::env::var(key::VARIABLE).ok();
    // A policy that cannot be read is told where policies are loaded.
    let files = labhouse_policies::PolicyFiles::read(&config.policies.dir).ok();
    let secret = files.and_then(|files| files.secret);
    Keys::new(variable.as_deref(), secret.as_deref()).map_err(AuditError::Key)
}

impl Audit {
    /// Takes over what dead servers left and begins a chain; its first event is durable when this returns.
    ///
    /// # Errors
    /// The trail cannot be written, unless the config says to go on without.
    pub(crate) async fn open(lake: &Arc<Lake>, config: &Config, policies: &PolicySet) -> Result<Arc<Self>, AuditError> {
        let settings = config.audit.clone();
        let keys = keys(config)?;
        let chain = Uuid::now_v7().simple().to_string();
        let journal = journal(lake)?;
        let provider = settings.relax(journal.provider().await.map_err(AuditError::from))?;
        let shared = Shared::new(provider.flatten());
        let mut writer = Writer::new(
            Arc::clone(&shared),
            wal::open(lake, &chain),
            chain.clone(),
            keys.chain().copied(),
        );
        writer.interval = Duration::from_millis(settings.flush_interval_ms.max(1));
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run());
        let audit = Arc::new(Self {
            lake: Arc::clone(lake),
            journal,
            chain,
            keys,
            anchor: settings.anchor_file(),
            fold_interval: Duration::from_secs(settings.fold_interval_s.max(1)),
            settings,
            shared,
            writer: Mutex::new(Some(thread.map_err(AuditError::Thread)?)),
            logins: Mutex::new(Logins {
                since: Instant::now(),
                told: 0,
                counted: 0,
            }),
        });
        audit.begin(policies).await?;
        Ok(audit)
    }

    async fn begin(&self, policies: &PolicySet) -> Result<(), AuditError> {
        let recovered = self.settings.relax(self.recover().await)?.unwrap_or_default();
        let anchors = self
            .settings
            .relax(anchor::in_lake(&self.lake).await)?
            .unwrap_or_default();
        let heads = anchor::copied(&anchors);
        let detail = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "key": self.keys.chain_name(),
            "durability": self.settings.durability,
            "on_failure": self.settings.on_failure,
            "heads": heads,
        });
        let start = Event {
            policy_generation: number(policies.generation()),
            policy_fingerprint: Some(policies.fingerprint().to_owned()),
            detail: Some(detail.to_string()),
            ..Event::now(Kind::Start)
        };
        let durable = self.shared.submit(start);
        recovered.into_iter().for_each(|event| self.shared.put(event));
        let answered = match durable {
            Ok(receiver) => receiver.await.unwrap_or_else(|_| Err(Arc::new(AuditError::Closed))),
            Err(error) => Err(Arc::new(error)),
        };
        match answered {
            Ok(()) => anchor::prune(&self.lake, &anchors).await,
            Err(error) if self.settings.on_failure == OnFailure::Continue => {
                tracing::error!(%error, "serving without an audit trail, as on_failure in [audit] allows");
            }
            Err(error) => {
                drop(self.stop_writer().await);
                // Nobody else holds the answer of the first event.
                return Err(Arc::try_unwrap(error).unwrap_or(AuditError::Failing));
            }
        }
        Ok(())
    }

    /// Ends the chain: everything written is in the table when this returns, if the table takes it.
    pub(crate) async fn close(&self) {
        self.shared.put(Event::now(Kind::Stop));
        let log = self.stop_writer().await;
        let folded = async {
            self.fold().await?;
            // Only now: until here the lock on the segments says that this server is alive.
            let Some(mut log) = log else { return Ok(()) };
            let left = self.lake.delete_all(log.forget(self.shared.folded_to())).await;
            if left.is_empty() {
                Ok(())
            } else {
                Err(AuditError::Failing)
            }
        };
        match folded.await {
            Ok(()) => wal::leave(&self.lake, &self.chain),
            Err(error) => {
                tracing::error!(%error, "the end of the audit trail stays in its segments; the next server folds it");
            }
        }
    }

    async fn stop_writer(&self) -> Option<Box<dyn Log>> {
        self.shared.close();
        let thread = self.writer.lock().take()?;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        ended.ok()?.ok()
    }

    /// Whether statements can be accounted for right now.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.shared.is_failing()
    }

    /// Events not yet durable, events not yet in their table, and whether the trail is written.
    pub(crate) fn lag(&self) -> (usize, usize, bool) {
        let (waiting, unfolded) = self.shared.lag();
        (waiting, unfolded, self.is_healthy())
    }

    /// Hands an event to the writer; the future tells when it is durable.
    fn submit(&self, event: Event) -> Wait {
        let strict = self.settings.on_failure == OnFailure::Refuse;
        if self.settings.durability == Durability::Interval {
            return self.offer(event);
        }
        let answer = match self.shared.submit(event) {
            Ok(receiver) => Pending::Waiting(receiver),
            Err(error) => {
                tracing::error!(%error, "an audit event was not taken");
                Pending::Refused
            }
        };
        Wait { answer, strict }
    }

    /// Hands an event to the writer that becomes durable within the flush interval; the future tells whether it was taken.
    fn offer(&self, event: Event) -> Wait {
        let taken = self.shared.offer(event).is_ok() && !self.shared.is_failing();
        Wait {
            answer: if taken { Pending::Done } else { Pending::Refused },
            strict: self.settings.on_failure == OnFailure::Refuse,
        }
    }

    /// Somebody logged in.
    pub(crate) fn login(&self, who: &str, client: &Client) {
        self.shared.put(Event {
            principal: Some(who.to_owned()),
            verdict: Some("allowed".to_owned()),
            ..from(Kind::Login, client)
        });
    }

    /// Somebody tried to log in. A name that is nobody's is kept as its keyed hash: people type passwords there.
    pub(crate) fn login_refused(&self, name: Option<&str>, is_known: bool, client: &Client) {
        let mut logins = self.logins.lock();
        if logins.since.elapsed() >= Duration::from_secs(60) {
            let counted = std::mem::take(&mut logins.counted);
            (logins.since, logins.told) = (Instant::now(), 0);
            if counted > 0 {
                self.shared.put(Event {
                    verdict: Some("refused".to_owned()),
                    reason: Some("counted".to_owned()),
                    rows: number(u64::from(counted)),
                    ..Event::now(Kind::Login)
                });
            }
        }
        if logins.told >= REFUSED_LOGINS_A_MINUTE {
            logins.counted += 1;
            return;
        }
        logins.told += 1;
        drop(logins);
        let principal = name.map(|name| match is_known {
            true => name.to_owned(),
            false => format!("unknown:{}", self.keys.hide(name)),
        });
        self.shared.put(Event {
            principal,
            verdict: Some("refused".to_owned()),
            ..from(Kind::Login, client)
        });
    }

    /// The catalog was asked; `told` tables were shown.
    pub(crate) fn metadata(&self, who: &str, client: &Client, told: usize) {
        self.shared.put(Event {
            principal: Some(who.to_owned()),
            rows: i64::try_from(told).ok(),
            verdict: Some("allowed".to_owned()),
            ..from(Kind::Metadata, client)
        });
    }

    /// A sweep brought landed files into tables.
    pub(crate) fn crawled(&self, report: &SweepReport) {
        let came = |status| matches!(status, FileStatus::Loaded | FileStatus::Replaced);
        let files: Vec<_> = report.files.iter().filter(|file| came(file.status)).collect();
        let tables: BTreeSet<String> = files
            .iter()
            .flat_map(|file| &file.tables)
            .map(|table| format!("{CATALOG}.{table}"))
            .collect();
        let replaced = report.count(FileStatus::Replaced);
        self.shared.put(Event {
            door: Some(Client::server().door.to_owned()),
            targets: tables.into_iter().collect(),
            rows: number(files.iter().map(|file| file.rows).sum()),
            detail: Some(serde_json::json!({"files": files.len(), "replaced": replaced}).to_string()),
            ..Event::now(Kind::Crawl)
        });
    }

    /// A table was cared for.
    pub(crate) fn maintained(&self, done: &Done) {
        self.shared.put(Event {
            at: done.at,
            door: Some(Client::server().door.to_owned()),
            action: Some(done.work.to_owned()),
            targets: vec![format!("{CATALOG}.{}", done.table)],
            principal: done.principal.clone(),
            verdict: Some(if done.problem.is_none() { "allowed" } else { "failed" }.to_owned()),
            duration_us: i64::try_from(done.duration.as_micros()).ok(),
            detail: Some(
                serde_json::json!({"removed": done.files_removed, "added": done.files_added, "columns": done.columns})
                    .to_string(),
            ),
            ..Event::now(Kind::Maintenance)
        });
    }

    /// Other policies are in force.
    pub(crate) fn policies(&self, old: &PolicySet, new: &PolicySet) {
        let told =
            |set: &PolicySet| serde_json::json!({"generation": set.generation(), "fingerprint": set.fingerprint()});
        self.shared.put(Event {
            verdict: Some("allowed".to_owned()),
            policy_generation: number(new.generation()),
            policy_fingerprint: Some(new.fingerprint().to_owned()),
            detail: Some(serde_json::json!({"old": told(old), "new": told(new)}).to_string()),
            ..Event::now(Kind::Policy)
        });
    }

    /// A dashboard's file was written, or removed when there is no `sha256`.
    pub(crate) fn dashboard(&self, who: &str, client: &Client, name: &str, sha256: Option<&str>) {
        self.shared.put(Event {
            principal: Some(who.to_owned()),
            action: Some(if sha256.is_some() { "write" } else { "remove" }.to_owned()),
            targets: vec![name.to_owned()],
            verdict: Some("allowed".to_owned()),
            detail: sha256.map(|sha256| serde_json::json!({ "sha256": sha256 }).to_string()),
            ..from(Kind::Dashboard, client)
        });
    }

    /// The users file was edited.
    pub(crate) fn users(&self, change: &UsersChange) {
        let (verdict, detail) = match change {
            UsersChange::Taken(changed) => ("allowed", Some(serde_json::json!({"changed": changed}).to_string())),
            UsersChange::Refused => ("refused", None),
        };
        self.shared.put(Event {
            verdict: Some(verdict.to_owned()),
            detail,
            ..Event::now(Kind::Users)
        });
    }

    /// Edited policies were refused; `places` are the files and lines at fault.
    pub(crate) fn policies_refused(&self, in_force: &PolicySet, places: &[String]) {
        self.shared.put(Event {
            verdict: Some("refused".to_owned()),
            policy_generation: number(in_force.generation()),
            policy_fingerprint: Some(in_force.fingerprint().to_owned()),
            lines: places.to_vec(),
            ..Event::now(Kind::Policy)
        });
    }
}

/// An event with where its cause came from.
fn from(kind: Kind, client: &Client) -> Event {
    Event {
        door: Some(client.door.to_owned()),
        peer: client.peer.clone(),
        agent: client.agent.clone(),
        ..Event::now(kind)
    }
}

fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

impl config::Audit {
    /// An error becomes nothing where the config says to go on without a trail.
    fn relax<T>(&self, outcome: Result<T, AuditError>) -> Result<Option<T>, AuditError> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.on_failure == OnFailure::Continue => {
                tracing::error!(%error, "the audit trail is not whole; going on, as on_failure in [audit] allows");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
