//! The governed table and its barrier.
//!
//! A view or a filter is not row security: the optimizer merges conditions, and a user's `CAST(x AS INT)` then fails with
//! the text of a hidden row. Here a wrapped table plans everything that must happen below (the scan, the row filter, the
//! masks) by itself with the server's own session, and shows the user's plan one leaf without children, metrics,
//! orderings or statistics of what is below. What a user writes is evaluated on what comes out of the leaf, never inside.
//!
//! * [`table`]: the table provider.
//! * [`exec`]: the leaf.
//! * [`counts`]: how many rows the user's planner may expect.
//! * [`keeps`]: row filters proven to hide nothing are not run.
//! * [`leakproof`]: the few conditions of a user that may go inside, to skip files and row groups.
//! * [`schema`]: the public schema.
//! * [`sanitise`]: no byte of a hidden value in the buffers that leave.
//! * [`under`]: what may stand below a barrier that leaves this process; [`slices`]: such a barrier cut into parts.
//!
//! Left open, on purpose: time. How long a scan takes, and in which order rows come, depends on hidden rows too.

mod counts;
mod exec;
mod keeps;
mod leakproof;
mod redact;
mod sanitise;
mod schema;
mod slices;
mod source;
mod table;
mod travel;
pub(crate) mod under;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;

use crate::access::Access;

pub use counts::learn;
pub use exec::Reading;
pub use schema::public_schema;
pub use slices::{is_governed_scan, scan_bytes, slices};
pub use travel::{Travel, reads_only, travel};

pub(crate) use counts::Rows;
pub(crate) use exec::{BarrierExec, Below, below_context};
pub(crate) use redact::redact;
pub(crate) use sanitise::{Residue, can_sanitise};

/// Wraps a table so that it can only be read as `access` says.
///
/// `inner` must have the schema that `access` was made for. `system` is the server's session for planning below the
/// barrier: fixed, with no user's settings or functions. Its `target_partitions` is the number of partitions the governed
/// scan always has, and its `batch_size` the size of batches. The memory pool and object stores are those of the session
/// that runs the query, so the two must share stores.
///
/// # Errors
/// The schema differs from the one the access was made for, or a visible column has a type from which hidden bytes cannot
/// be removed (map, union, run-end encoded, large list, list view) while rows or values are hidden.
pub fn govern(
    inner: Arc<dyn TableProvider>,
    access: &Access,
    system: Arc<SessionState>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    Ok(Arc::new(table::GovernedTable::try_new(inner, access, system)?))
}
