//! From segments to the table: what this server wrote, and what dead ones left.
//!
//! A commit says how far its chain is in the table, in an application transaction under the chain's name. Whoever folds,
//! and however often, an event is in the table once.

use std::sync::Arc;
use std::time::Duration;

use labhouse_catalog::Appended;
use tokio::sync::watch;

use super::anchor::{self, Anchor};
use super::event::{Event, Kind};
use super::{Audit, AuditError, rows, wal};

/// How often a running server looks for segments that another left behind.
const LOOK: Duration = Duration::from_secs(300);
/// Application ids of chains start with this.
pub(super) const APPLICATION: &str = "labhouse.audit.";

/// Folds until `stopped`; what is left then is folded by [`Audit::close`].
pub(crate) async fn follow(audit: Arc<Audit>, mut stopped: watch::Receiver<bool>) {
    let mut looked = tokio::time::Instant::now();
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            () = audit.shared.many.notified() => {}
            () = tokio::time::sleep(audit.fold_interval) => {}
        }
        if let Err(error) = audit.fold().await {
            tracing::error!(%error, "the audit trail's segments were not folded into its table; it is tried again");
        }
        if looked.elapsed() >= LOOK {
            looked = tokio::time::Instant::now();
            match audit.recover().await {
                Ok(found) => found.into_iter().for_each(|event| audit.shared.put(event)),
                Err(error) => tracing::error!(%error, "segments that another server left were not taken over"),
            }
        }
    }
}

impl Audit {
    /// Brings all written events into the table and lets go of their segments.
    pub(super) async fn fold(&self) -> Result<(), AuditError> {
        let events: Vec<Arc<Event>> = self.shared.tail.lock().events.iter().cloned().collect();
        let Some(last) = events.last() else {
            self.sweep().await;
            return Ok(());
        };
        let Appended { provider, committed } = self.append(&self.chain, &events).await?;
        self.shared.folded(last.seq, provider);
        let anchor = Anchor::new(&self.chain, last.seq, &last.hash);
        anchor::keep(&self.lake, self.anchor.as_deref(), &anchor).await;
        if committed && let Err(error) = self.journal.compact().await {
            tracing::warn!(%error, "the audit table's small files were not merged");
        }
        self.sweep().await;
        Ok(())
    }

    /// Folds what dead servers left, and gives an event for each of them.
    pub(super) async fn recover(&self) -> Result<Vec<Event>, AuditError> {
        let mut told = Vec::new();
        for (chain, left) in wal::read_all(&self.lake).await? {
            if chain == self.chain || wal::is_alive(&self.lake, &chain) {
                continue;
            }
            let mut events: Vec<Arc<Event>> = left.events.into_iter().map(Arc::new).collect();
            let covered = self.journal.covered(&application(&chain)).await?.unwrap_or(0);
            // Behind a hole nothing is folded: the segments stay, and `audit verify` shows the place.
            let whole = (covered + 1..)
                .zip(events.iter().filter(|event| event.seq > covered))
                .take_while(|(seq, event)| *seq == event.seq)
                .count();
            let holes = events.iter().filter(|event| event.seq > covered).count() > whole;
            let end = covered + i64::try_from(whole).unwrap_or(0);
            events.retain(|event| event.seq <= end);
            if let Some(last) = events.last().cloned() {
                let appended = self.append(&chain, &events).await?;
                // In a bucket another server may have folded ours in the same way.
                let own = self.journal.covered(&application(&self.chain)).await?.unwrap_or(0);
                self.shared.folded(own, self.journal.provider().await?);
                if appended.committed {
                    tracing::info!(
                        chain,
                        seq = last.seq,
                        "events that a dead server left are in the audit table"
                    );
                    let detail = serde_json::json!({
                        "chain": chain, "seq": last.seq, "hash": last.hash, "torn_bytes": left.torn,
                    });
                    told.push(Event {
                        detail: Some(detail.to_string()),
                        ..Event::now(Kind::Recovered)
                    });
                    let anchor = Anchor::new(&chain, last.seq, &last.hash);
                    anchor::keep(&self.lake, self.anchor.as_deref(), &anchor).await;
                }
            }
            if holes || left.damaged.is_some() {
                let place = left.damaged.unwrap_or_else(|| format!("behind event {end}"));
                tracing::error!(
                    chain,
                    place,
                    "a segment of the audit trail was altered; it stays as it is for `labhouse audit verify`"
                );
                continue;
            }
            // What is in the table already is garbage, and what stays of it is found again.
            let garbage = self.lake.delete_all(left.paths).await;
            match garbage.is_empty() {
                true => wal::leave(&self.lake, &chain),
                false => tracing::warn!(
                    chain,
                    left = garbage.len(),
                    "folded segments of the audit trail stay for now"
                ),
            }
        }
        Ok(told)
    }

    /// Adds to the table what it lacks of these events, which are one chain's and in order.
    async fn append(&self, chain: &str, events: &[Arc<Event>]) -> Result<Appended, AuditError> {
        let last = events.last().map_or(0, |event| event.seq);
        let all = rows::batch(events.iter().map(Arc::as_ref))?;
        let missing = |covered: i64| {
            let known = events.partition_point(|event| event.seq <= covered);
            Some(all.slice(known, all.num_rows().saturating_sub(known)))
        };
        Ok(self.journal.append(&application(chain), last, missing).await?)
    }

    /// Lets go of segments whose events are in the table; what cannot be deleted now is tried again.
    async fn sweep(&self) {
        let garbage = std::mem::take(&mut *self.shared.garbage.lock());
        let left = self.lake.delete_all(garbage).await;
        if !left.is_empty() {
            tracing::warn!(left = left.len(), "folded segments of the audit trail stay for now");
            // Before what came meanwhile: a chain loses its segments from its beginning on, or it would seem torn.
            self.shared.garbage.lock().splice(0..0, left);
        }
    }
}

pub(super) fn application(chain: &str) -> String {
    format!("{APPLICATION}{chain}")
}
