//! Our own operators as bytes, beside the barrier's.

use std::sync::Arc;

use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::session::{forgetting, is_forgetting};

/// What stands for the operator above grouping sets; it has no state of its own.
const FORGETTING: &[u8] = b"labhouse.forgetting";

/// Knows the operator above grouping sets.
#[derive(Debug)]
pub(super) struct GroupingSetsCodec;

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
