//! How many rows the user's planner may expect.
//!
//! Without any number joins are built on the wrong side, and that was the barrier's largest cost. Two numbers reveal nothing:
//! the size of a table of which every row is shown, and how many rows left an earlier, complete scan that looked the same
//! (equal fingerprints show equal rows, so whoever may ask could have counted them). Both are estimates; a table that has
//! changed since is only planned a little worse.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use parking_lot::Mutex;

/// Counts remembered: one for each table and each way it is shown. A server with more starts over.
const REMEMBERED_MAX: usize = 4_096;
/// One row in so many is expected to pass a condition, whatever the condition and the data.
const PASSING: usize = 5;

static REMEMBERED: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

/// What a scan tells of its rows, and what it learns.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    /// Rows to expect, if anything may be told.
    pub estimate: Option<usize>,
    /// Where a complete scan notes what left it.
    pub learn: Option<Arc<Learn>>,
}

/// Counts what leaves the partitions of one scan.
pub(crate) struct Learn {
    fingerprint: String,
    rows: AtomicUsize,
    running: AtomicUsize,
}

impl Learn {
    pub(crate) fn new(fingerprint: String, partitions: usize) -> Self {
        Learn {
            fingerprint,
            rows: AtomicUsize::new(0),
            running: AtomicUsize::new(partitions),
        }
    }

    /// One partition ended by itself after so many rows. When all have, the sum is remembered. A plan that runs twice has
    /// counted down already and notes nothing more.
    pub(crate) fn ended(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::AcqRel);
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut remembered = REMEMBERED.lock();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(self.fingerprint.clone(), self.rows.load(Ordering::Acquire));
        }
    }
}

/// Rows that left an earlier scan of the same access, fewer if conditions were added.
pub(crate) fn remembered(fingerprint: &str, unconditional: bool) -> Option<usize> {
    let rows = *REMEMBERED.lock().get(fingerprint)?;
    Some(if unconditional { rows } else { rows / PASSING })
}

/// The plan's own estimate; only for a table of which every row is shown.
pub(crate) fn below(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new()
        .compute(plan.as_ref(), &StatisticsArgs::new())
        .ok()?;
    statistics.num_rows.get_value().copied()
}
