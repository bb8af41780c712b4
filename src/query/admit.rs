//! Admission: what a statement must pass before anything of it is planned.
//!
//! Its text must have a size and a depth that can be planned: see [`super::tokens`]. Then the statement waits, for a bounded
//! time, for one of a bounded number of places.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labhouse_policies::Principal;
use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::{QueryError, tokens};
use crate::audit::Client;
use crate::config::Limits;
use crate::engine::Engine;

/// Principals remembered at the gate before the idle ones are forgotten.
const PRINCIPALS_MAX: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);
/// A prepared statement is announced when it is prepared, and again with its values.
const ANNOUNCEMENTS_PER_STATEMENT: u32 = 2;

/// The gate in front of the planner.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    /// Places of each principal that has some, and how many statements he began in which minute.
    own: Mutex<HashMap<String, Own>>,
    own_max: usize,
    a_minute_max: u32,
    waiting: AtomicUsize,
    queue: Duration,
    bytes_max: usize,
    operators_max: usize,
}

/// What one principal has of the gate.
struct Own {
    places: Arc<Semaphore>,
    minute: Instant,
    begun: u32,
    announced: u32,
}

/// What is counted of a login in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// A statement is run.
    Run,
    /// It is planned to tell its columns.
    Announcement,
}

/// The place of a running statement, free again when the last who holds it lets go.
pub(crate) struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

/// Counts who waits, also when he stops waiting.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let own_max = match limits.statements_per_principal {
            0 => limits.concurrent_statements,
            some => some.min(limits.concurrent_statements),
        };
        Self {
            places: Arc::new(Semaphore::new(limits.concurrent_statements)),
            own: Mutex::default(),
            own_max,
            a_minute_max: limits.statements_per_minute,
            waiting: AtomicUsize::new(0),
            queue: Duration::from_secs(limits.queue_s),
            bytes_max: limits.statement_bytes,
            operators_max: limits.statement_operators,
        }
    }

    /// Checks the size of a statement and waits for a place, which is kept until it is dropped. Without `who`, for work of
    /// the server itself, nobody's share is taken.
    pub(crate) async fn enter(&self, who: Option<&str>, sql: &str) -> Result<Arc<Place>, QueryError> {
        self.check(sql)?;
        let own = who.map(|who| Arc::clone(&self.own(&mut self.own.lock(), who).places));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let places = async {
            // His own first: whoever waits for his own statements keeps no place from others.
            let _own = match own {
                Some(own) => Some(own.acquire_owned().await?),
                None => None,
            };
            let _of_all = Arc::clone(&self.places).acquire_owned().await?;
            Ok::<_, AcquireError>(Arc::new(Place { _own, _of_all }))
        };
        match tokio::time::timeout(self.queue, places).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(QueryError::Unavailable(
                "the server is shutting down; try again later".into(),
            )),
            Err(_elapsed) => Err(QueryError::Exhausted(format!(
                "too many statements are running: none ended within {} s (limits.queue_s); try again later",
                self.queue.as_secs()
            ))),
        }
    }

    /// Counts what a login begins.
    ///
    /// # Errors
    /// It began too much in this minute.
    fn begin(&self, who: &str, what: Counted) -> Result<(), QueryError> {
        if self.a_minute_max == 0 {
            return Ok(());
        }
        let mut all = self.own.lock();
        let own = self.own(&mut all, who);
        if own.minute.elapsed() >= MINUTE {
            own.minute = Instant::now();
            (own.begun, own.announced) = (0, 0);
        }
        let (count, max) = match what {
            Counted::Run => (&mut own.begun, self.a_minute_max),
            Counted::Announcement => (
                &mut own.announced,
                self.a_minute_max.saturating_mul(ANNOUNCEMENTS_PER_STATEMENT),
            ),
        };
        *count = count.saturating_add(1);
        if *count > max {
            return Err(QueryError::Exhausted(format!(
                "more than {} statements of one login in a minute (limits.statements_per_minute); wait a little",
                self.a_minute_max
            )));
        }
        Ok(())
    }

    /// What a principal has of the gate.
    fn own<'a>(&self, all: &'a mut HashMap<String, Own>, who: &str) -> &'a mut Own {
        if all.len() >= PRINCIPALS_MAX {
            // Whoever runs nothing and began nothing lately is as good as new.
            all.retain(|_, own| Arc::strong_count(&own.places) > 1 || own.minute.elapsed() < MINUTE);
        }
        all.entry(who.to_owned()).or_insert_with(|| Own {
            places: Arc::new(Semaphore::new(self.own_max)),
            minute: Instant::now(),
            begun: 0,
            announced: 0,
        })
    }

    /// Statements that could start now.
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Statements that wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until no statement runs any more, or for `patience`; refuses new ones from now on.
    pub(crate) async fn drain(&self, places: usize, patience: Duration) -> bool {
        let all = u32::try_from(places).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(patience, self.places.acquire_many(all))
            .await
            .is_ok();
        self.places.close();
        drained
    }

    /// Whether statements are still taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.places.is_closed()
    }

    /// Checks the size of a statement before anything walks through it.
    ///
    /// # Errors
    /// It is too long, too deep, or no text of SQL.
    pub(crate) fn check(&self, sql: &str) -> Result<(), QueryError> {
        if sql.len() > self.bytes_max {
            return Err(QueryError::Invalid(format!(
                "the statement has {} bytes, at most {} are taken (limits.statement_bytes); put long lists into a table and join it",
                sql.len(),
                self.bytes_max
            )));
        }
        tokens::check(sql, self.operators_max)?;
        Ok(())
    }
}

impl Engine {
    /// A place for a statement that is to run.
    pub(super) async fn admit(&self, who: &Principal, client: &Client, sql: &str) -> Result<Arc<Place>, QueryError> {
        self.admit_counted(who, client, sql, Counted::Run).await
    }

    /// A place for a statement that is to be announced: planning it costs, too.
    pub(super) async fn admit_announcement(
        &self,
        who: &Principal,
        client: &Client,
        sql: &str,
    ) -> Result<Arc<Place>, QueryError> {
        self.admit_counted(who, client, sql, Counted::Announcement).await
    }

    async fn admit_counted(
        &self,
        who: &Principal,
        client: &Client,
        sql: &str,
        what: Counted,
    ) -> Result<Arc<Place>, QueryError> {
        let sharer = sharer(who, client);
        if let Some(name) = sharer {
            self.admission.begin(name, what)?;
        }
        self.admission.enter(sharer, sql).await
    }
}

/// Whose share of the places a statement takes; nobody's when the server runs it on somebody's behalf.
fn sharer<'a>(who: &'a Principal, client: &Client) -> Option<&'a str> {
    (!client.is_server()).then_some(who.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(&Limits {
            concurrent_statements: 1,
            queue_s: 0,
            ..Limits::default()
        })
    }

    #[test]
    fn long_chains_and_texts_are_refused_and_ordinary_ones_pass() {
        let admission = admission();
        assert!(admission.check("SELECT a FROM t WHERE b = 1 OR c = 2").is_ok());
        let values = (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(
            admission
                .check(&format!("SELECT a FROM t WHERE b IN ({values})"))
                .is_ok()
        );
        for (sql, says) in [
            (
                format!("SELECT {}", vec!["1"; 20_000].join("+")),
                "limits.statement_operators",
            ),
            (
                format!("SELECT 1 WHERE {}", vec!["true"; 20_000].join(" OR ")),
                "limits.statement_operators",
            ),
            (format!("SELECT '{}'", "x".repeat(2 << 20)), "limits.statement_bytes"),
            (format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)), "brackets"),
            ("SELECT 'open".to_owned(), "cannot be read"),
        ] {
            let error = admission.check(&sql).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_full_house_answers_instead_of_waiting_forever() {
        let admission = admission();
        let place = admission.enter(Some("ana"), "SELECT 1").await.unwrap();
        assert_eq!(admission.free(), 0);
        assert!(matches!(
            admission.enter(Some("sam"), "SELECT 1").await,
            Err(QueryError::Exhausted(_))
        ));
        drop(place);
        assert!(admission.enter(Some("sam"), "SELECT 1").await.is_ok());
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn one_login_takes_its_share_and_not_the_others() {
        let admission = Admission::new(&Limits {
            concurrent_statements: 4,
            statements_per_principal: 1,
            statements_per_minute: 3,
            queue_s: 0,
            ..Limits::default()
        });
        let _place = admission.enter(Some("ana"), "SELECT 1").await.unwrap();
        assert!(admission.enter(Some("ana"), "SELECT 1").await.is_err());
        assert!(admission.enter(Some("sam"), "SELECT 1").await.is_ok());
        // Work of the server itself is nobody's.
        let of_server = [
            admission.enter(None, "SELECT 1").await,
            admission.enter(None, "SELECT 1").await,
        ];
        assert!(of_server.iter().all(Result::is_ok));
        for (what, max) in [(Counted::Run, 3), (Counted::Announcement, 6)] {
            for _ in 0..max {
                admission.begin("sam", what).unwrap();
            }
            let refused = admission.begin("sam", what).unwrap_err();
            assert!(refused.to_string().contains("statements_per_minute"), "{refused}");
            admission.begin("ana", what).unwrap();
        }
    }
}
