//! What was worked out of a table as somebody sees it, kept until the table or his view of it changes.
//!
//! Two people with the same view share it. What was seen under a row filter, which may follow the clock, is used for half a minute
//! only. Nothing depends on what is kept but time.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use labhouse_catalog::LakeTable;
use labhouse_policies::Access;
use parking_lot::Mutex;

/// Views of tables that something is kept of.
const KEPT_MAX: usize = 512;
/// How long something is used that a row filter showed.
const FILTERED_AGE_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Derived<T>(Mutex<VecDeque<Kept<T>>>);

struct Kept<T> {
    table: Weak<LakeTable>,
    /// Of the access: whoever has the same sees the same.
    fingerprint: String,
    until: Option<Instant>,
    value: Arc<T>,
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Derived<T> {
    pub(crate) fn get(&self, table: &Arc<LakeTable>, access: &Access) -> Option<Arc<T>> {
        let kept = self.0.lock();
        let same = |one: &&Kept<T>| one.fingerprint == access.fingerprint && one.table.as_ptr() == Arc::as_ptr(table);
        let found = kept.iter().filter(|one| one.is_of_use()).find(same)?;
        Some(Arc::clone(&found.value))
    }

    /// Keeps a value; the oldest makes room.
    pub(crate) fn keep(&self, table: &Arc<LakeTable>, access: &Access, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut kept = self.0.lock();
        kept.retain(Kept::is_of_use);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            table: Arc::downgrade(table),
            fingerprint: access.fingerprint.clone(),
            until: access.row_filter.is_some().then(|| Instant::now() + FILTERED_AGE_MAX),
            value: Arc::clone(&value),
        });
        value
    }
}

impl<T> Kept<T> {
    fn is_of_use(&self) -> bool {
        self.table.strong_count() > 0 && self.until.is_none_or(|until| Instant::now() < until)
    }
}
