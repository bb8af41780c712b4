//! Errors from below the barrier.

use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::error::DataFusionError;

static INCIDENTS: AtomicU64 = AtomicU64::new(1);

/// The one text for whatever goes wrong below: an error may quote a hidden row, a path, a statistic. The cause is logged under
/// an incident number that both texts carry. Only the lack of memory keeps its kind, so that the door can say so.
pub(crate) fn redact(error: &DataFusionError, table: &str) -> DataFusionError {
    let incident = INCIDENTS.fetch_add(1, Ordering::Relaxed);
    tracing::error!(incident, table, error = %error, "reading a governed table failed");
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => DataFusionError::ResourcesExhausted(format!(
            "not enough memory to read the table (incident {incident}); select fewer rows or columns, or try later"
        )),
        _ => DataFusionError::Execution(format!(
            "the table could not be read (incident {incident}); ask an administrator to look the number up in the server's log"
        )),
    }
}
