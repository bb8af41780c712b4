//! The account of one statement: decided once, ended once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use labhouse_policies::Principal;
use parking_lot::Mutex;
use uuid::Uuid;

use super::event::{Event, Kind};
use super::notes::{Facts, Notes};
use super::{Audit, Client, Wait, from, number, redact};
use crate::query::QueryError;
use crate::session::World;

/// One statement on its way. Dropped before it ended, it was cancelled.
pub(crate) struct Account {
    id: Uuid,
    audit: Arc<Audit>,
    sql: String,
    /// What all of its events say.
    base: Event,
    started: Instant,
    stage: Mutex<Stage>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

struct Stage {
    decided: bool,
    closed: bool,
    action: &'static str,
    target: Option<String>,
    /// Version that a change made of its target.
    version: Option<u64>,
}

impl Audit {
    /// Opens the account of a statement.
    pub(crate) fn account(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        sql: &str,
        world: &World,
    ) -> Arc<Account> {
        let id = Uuid::now_v7();
        let roles = world.policies.roles_of(who).into_iter();
        let base = Event {
            query_id: Some(id.to_string()),
            principal: Some(who.name.clone()),
            roles: roles.map(|(role, department)| format!("{role}@{department}")).collect(),
            statement_hash: Some(self.keys.hide(sql)),
            statement_bytes: i64::try_from(sql.len()).ok(),
            statement: redact::redact(sql),
            policy_generation: number(world.policies.generation()),
            policy_fingerprint: Some(world.policies.fingerprint().to_owned()),
            catalog_generation: number(world.catalog.generation),
            ..from(Kind::Statement, client)
        };
        Arc::new(Account {
            id,
            audit: Arc::clone(self),
            sql: sql.to_owned(),
            base,
            started: Instant::now(),
            stage: Mutex::new(Stage {
                decided: false,
                closed: false,
                action: "read",
                target: None,
                version: None,
            }),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }
}

impl Account {
    /// The statement's number, in the query log too.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// What the statement does, once it is parsed, and to what.
    pub(crate) fn called(&self, action: &'static str, target: Option<String>) {
        let mut stage = self.stage.lock();
        stage.action = action;
        stage.target = target;
    }

    /// The version that the change made.
    pub(crate) fn wrote(&self, version: u64) {
        self.stage.lock().version = Some(version);
    }

    /// The statement is allowed: nothing of it may be delivered, and nothing changed, before the answer. Asked again it
    /// answers at once, and so it does when the statement reads nothing there is: its event becomes durable within the flush interval.
    pub(crate) fn decided(&self, facts: Facts) -> Wait {
        let mut stage = self.stage.lock();
        if std::mem::replace(&mut stage.decided, true) || stage.closed {
            return Wait::done();
        }
        let mut event = self.event(&stage);
        let tells_nothing = facts.tell_nothing() && stage.action == "read";
        facts.tell(&mut event);
        event.verdict = Some("allowed".to_owned());
        drop(stage);
        match tells_nothing {
            true => self.audit.offer(event),
            false => self.audit.submit(event),
        }
    }

    /// The statement is not run, or its change did not happen: gives what to answer.
    pub(crate) async fn refused(&self, notes: &Notes, error: QueryError) -> QueryError {
        match self.refuse(Kind::Statement, notes.facts_of_refused(&self.sql), &error) {
            Some(wait) => wait.await.err().unwrap_or(error),
            None => error,
        }
    }

    /// Telling the statement's columns was refused: gives what to answer.
    pub(crate) async fn description_refused(&self, notes: &Notes, error: QueryError) -> QueryError {
        match self.refuse(Kind::Described, notes.facts_of_refused(&self.sql), &error) {
            Some(wait) => wait.await.err().unwrap_or(error),
            None => error,
        }
    }

    /// The statement's columns were told, and it was not run.
    pub(crate) fn described(&self, facts: Facts) {
        let mut stage = self.stage.lock();
        if std::mem::replace(&mut stage.closed, true) {
            return;
        }
        let mut event = self.event(&stage);
        facts.tell(&mut event);
        event.event = Kind::Described.as_str().to_owned();
        event.verdict = Some("allowed".to_owned());
        self.audit.shared.put(event);
    }

    /// Nothing is to be told: another account does.
    pub(crate) fn forget(&self) {
        self.stage.lock().closed = true;
    }

    /// Rows and bytes are on their way out.
    pub(crate) fn count(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The statement ended; only the first call counts.
    pub(crate) fn ended(&self, error: Option<&QueryError>) {
        self.end(error.map_or("finished", QueryError::word));
    }

    /// It was announced and nobody came for its rows.
    pub(crate) fn not_fetched(&self) {
        self.end("not_fetched");
    }

    /// Whoever read the rows left; nothing if the statement ended before.
    pub(crate) fn cancelled(&self) {
        self.end("cancelled");
    }

    fn refuse(&self, kind: Kind, facts: Facts, error: &QueryError) -> Option<Wait> {
        let mut stage = self.stage.lock();
        if stage.decided {
            // It was allowed, and failed while it changed something.
            drop(stage);
            self.ended(Some(error));
            return None;
        }
        if std::mem::replace(&mut stage.closed, true) {
            return None;
        }
        let mut event = self.event(&stage);
        let about_rights = match error {
            QueryError::Denied(_) => true,
            QueryError::NotFound(_) | QueryError::Invalid(_) => facts.is_refused(),
            QueryError::Syntax(_)
            | QueryError::Exhausted(_)
            | QueryError::Deadline(_)
            | QueryError::Cancelled(_)
            | QueryError::Unsupported(_)
            | QueryError::Conflict(_)
            | QueryError::Exists(_)
            | QueryError::InTransaction(_)
            | QueryError::Unavailable(_)
            | QueryError::Internal { .. } => false,
        };
        facts.tell(&mut event);
        event.event = kind.as_str().to_owned();
        event.verdict = Some(if about_rights { "denied" } else { "refused" }.to_owned());
        event.reason = Some(error.word().to_owned());
        event.duration_us = self.duration();
        drop(stage);
        Some(self.audit.submit(event))
    }

    fn end(&self, outcome: &str) {
        let mut stage = self.stage.lock();
        if std::mem::replace(&mut stage.closed, true) {
            return;
        }
        let mut event = self.event(&stage);
        if stage.decided {
            event.event = Kind::Ended.as_str().to_owned();
            // The first event has them; the query's id joins the two.
            event.statement = None;
            event.roles.clear();
            if let (Some(target), Some(version)) = (&stage.target, stage.version) {
                event.targets = vec![format!("{target}@{version}")];
            }
            event.rows = number(self.rows.load(Ordering::Relaxed));
            event.bytes = number(self.bytes.load(Ordering::Relaxed));
        } else {
            event.verdict = Some("refused".to_owned());
        }
        event.reason = Some(outcome.to_owned());
        event.duration_us = self.duration();
        self.audit.shared.put(event);
    }

    fn event(&self, stage: &Stage) -> Event {
        Event {
            at: chrono::Utc::now().timestamp_micros(),
            action: Some(stage.action.to_owned()),
            targets: stage.target.iter().cloned().collect(),
            ..self.base.clone()
        }
    }

    fn duration(&self) -> Option<i64> {
        i64::try_from(self.started.elapsed().as_micros()).ok()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.cancelled();
    }
}
