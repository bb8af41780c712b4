//! How a governed scan gets to other nodes.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use super::exec::BarrierExec;
use super::slices::scan_bytes;
use super::under::leaf;

/// How a governed scan gets to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Travel {
    /// In slices, as [`slices`](crate::slices) cuts them; bytes of the files, or parts of files, that it reads.
    Slices(u64),
    /// To one node, in one piece: it reads nothing, counts its rows, or has one partition, so that what stands above takes
    /// it for all rows there are.
    Whole,
    /// Not at all: it holds the policy secret, or reads something else than plain Parquet files.
    Stays,
}

/// How the plan gets to other nodes if its root is the scan of a governed table; `None` if it is not.
pub fn travel(plan: &Arc<dyn ExecutionPlan>) -> Option<Travel> {
    let below = plan.downcast_ref::<BarrierExec>()?.below();
    if below.keyed || leaf(&below.plan).is_none() {
        return Some(Travel::Stays);
    }
    Some(match scan_bytes(plan) {
        Some(bytes) if below.partitions > 1 => Travel::Slices(bytes),
        _ => Travel::Whole,
    })
}
