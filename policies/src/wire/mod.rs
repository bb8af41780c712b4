//! Governed scans as bytes, for another node of the same lake.
//!
//! A barrier travels whole, as one message of its own: what is below it is planned where the policies are, and read by a node
//! that knows neither policies nor principals. The node that reads gives out what the barrier lets out and nothing else.
//! What does not travel:
//! * the policy secret: a scan that holds it is refused, and so is a hash mask by itself;
//! * statistics, which would tell of hidden rows; estimates, and what is learnt of row counts;
//! * settings, functions and memory: those are the reading node's own, by the session it was given. Its functions must be
//!   the same: one that is not equal to the session's of that name is refused on the way out;
//! * stores: a scan names its store, and the reading node must have one of that name.
//!
//! Values do travel: literals of row filters, attributes of the principal among them, and paths inside the lake. So the
//! messages are for nodes that may read all of the lake, over connections that nobody else reads.
//!
//! A message is not trusted to be whole: see `closed` for what may be in one. It is trusted to be from such a node.
//!
//! * `barrier`: the message.
//! * `closed`: what may be in it.
//! * `functions`: masks and shapes, which have no name that could be looked up.

mod barrier;
mod closed;
mod functions;

use std::fmt;
use std::sync::Arc;

use datafusion::common::not_impl_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{HigherOrderUDF, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::barrier::BarrierExec;

/// Writes governed scans and reads them, the same on both sides.
///
/// `system` is the session for everything below barriers, as for [`crate::govern`]: its functions are the ones that can be
/// named, and scans that are read here run with its settings. Memory and object stores are those of the task.
///
/// # Errors
/// All its methods refuse what is not theirs, so that another codec may be asked: other plans, other functions than masks,
/// shapes and those of `system`, and governed scans that have to stay where they are (they hold the policy secret, a mask
/// inside a column, or read something else than plain Parquet files). What goes wrong below a barrier has the one text that
/// such errors always have.
pub fn codec(system: Arc<SessionState>) -> impl PhysicalExtensionCodec + 'static {
    Codec { system }
}

struct Codec {
    system: Arc<SessionState>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GovernedScans")
    }
}

impl PhysicalExtensionCodec for Codec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match node.downcast_ref::<BarrierExec>() {
            Some(scan) => barrier::encode(scan.below(), buf, self, proto_converter),
            None => not_impl_err!("{} is no governed scan", node.name()),
        }
    }

    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match inputs {
            [] => barrier::decode(buf, &self.system, ctx, self, proto_converter),
            _ => not_impl_err!("a governed scan has no inputs"),
        }
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        functions::encode(node, buf, &self.system)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        functions::decode(name, buf, &self.system)
    }

    fn try_encode_higher_order_function(&self, node: &HigherOrderUDF, _: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("{} is none of the functions that travel", node.name())
    }
}
