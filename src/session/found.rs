//! What a statement looked up, so that another one can tell whether it would find the same.

use std::sync::{Arc, Weak};

use datafusion::catalog::TableProvider;
use labhouse_catalog::LakeTable;

use super::governed::{Governed, Resolved};

/// What a name led to, as far as another statement can find the same again.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// A table of the lake: which snapshot, and the fingerprint of what is shown of it.
    Table(Weak<LakeTable>, String),
    /// Nothing that the principal may see.
    Nothing,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(a, shown), Self::Table(b, too)) => Weak::ptr_eq(a, b) && shown == too,
            (Self::Nothing, Self::Nothing) => true,
            (Self::Table(..), Self::Nothing) | (Self::Nothing, Self::Table(..)) => false,
        }
    }
}

impl Governed {
    /// What the name leads to now; none if no other statement could tell that it is the same: a system table, a library.
    /// Nothing is noted.
    pub(crate) fn found(&self, schema: &str, table: &str) -> Option<Found> {
        match self.resolve(schema, table).ok()? {
            Resolved::Hidden(_) | Resolved::Absent => Some(Found::Nothing),
            Resolved::Open(..) => {
                let seen = self.seen(schema, table)?;
                Some(Found::Table(Arc::downgrade(&seen.of), seen.access.fingerprint))
            }
        }
    }

    /// Schema and name of all that was looked up until now, for the statement or to decide about it.
    pub(crate) fn looked_up(&self) -> Vec<(String, String)> {
        self.resolved.lock().keys().cloned().collect()
    }

    /// A table function over models or tables gave this.
    pub(crate) fn made(&self, function: &'static str, table: &Arc<dyn TableProvider>) {
        self.given.lock().made.push((function, Arc::downgrade(table)));
    }

    /// The table function over models or tables that gave this.
    pub(crate) fn made_by(&self, table: &Arc<dyn TableProvider>) -> Option<&'static str> {
        let given = self.given.lock();
        let made = given.made.iter();
        made.filter(|(_, made)| std::ptr::addr_eq(made.as_ptr(), Arc::as_ptr(table)))
            .find_map(|(function, made)| made.upgrade().map(|_| *function))
    }
}
