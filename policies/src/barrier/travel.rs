//! How a governed scan gets to other nodes.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use super::exec::BarrierExec;
use super::slices::scan_bytes;
use super::under::{Leaf, leaf};

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

/// Whether the plan's root is a governed scan that reads nothing but Parquet files of one folder of one store: a scan that came
/// from another node may name any.
pub fn reads_only(plan: &Arc<dyn ExecutionPlan>, store: &str, folder: &str) -> bool {
    let Some(scan) = plan.downcast_ref::<BarrierExec>() else {
        return false;
    };
    match leaf(&scan.below().plan) {
        None => false,
        Some(Leaf::Nothing) => true,
        Some(Leaf::Files(config, _)) => {
            let mut files = config.file_groups.iter().flat_map(|group| group.files());
            config.object_store_url.as_str() == store
                && files.all(|file| file.path().parts().next().is_some_and(|first| first.as_ref() == folder))
        }
    }
}
