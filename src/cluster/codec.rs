//! Our own operators as bytes, beside the barrier's.

use std::sync::Arc;

use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use labhouse_policies::wire;

use crate::session::{forgetting, is_forgetting};

/// What knows our own operators. A message names its codec by its place, so all nodes have them in this order.
pub(super) fn own(system: Arc<SessionState>) -> [Arc<dyn PhysicalExtensionCodec>; 2] {
    [Arc::new(wire::codec(system)), Arc::new(GroupingSetsCodec)]
}

/// What stands for the operator above grouping sets; it has no state of its own.
const FORGETTING: &[u8] = b"labhouse.forgetting";

/// Knows the operator above grouping sets.
#[derive(Debug)]
struct GroupingSetsCodec;

impl PhysicalExtensionCodec for GroupingSetsCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes, inputs) {
            (FORGETTING, [below]) => Ok(forgetting(Arc::clone(below))),
            (FORGETTING, inputs) => internal_err!("grouping sets come from one input, not {}", inputs.len()),
            _ => not_impl_err!("another operator"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if !is_forgetting(&node) {
            return not_impl_err!("another operator");
        }
        bytes.extend_from_slice(FORGETTING);
        Ok(())
    }
}
