//! Whether a plan is, after its way to another node, what it was.
//!
//! The engine's messages leave things out: a window's FILTER and IGNORE NULLS, that a window was turned round, limits beyond
//! 32 bits, and whatever a next version forgets. So a plan is written and read here once before it is shared, and stays if
//! it comes back as another one, or not at all (messages nest a hundred levels deep and no deeper).

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState, TaskContext};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, WindowExpr, displayable};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{ComposedPhysicalExtensionCodec, PhysicalExtensionCodec};

/// Whether a plan comes back as it was from a node that has these functions, and the models of the statement.
///
/// # Errors
/// It cannot be written, or not be read again.
pub(super) fn survives(
    plan: &Arc<dyn ExecutionPlan>,
    codecs: Vec<Arc<dyn PhysicalExtensionCodec>>,
    functions: &SessionState,
    models: &[Arc<ScalarUDF>],
) -> Result<bool> {
    let codec = ComposedPhysicalExtensionCodec::new(codecs);
    let mut there = functions.clone();
    for model in models {
        there.register_udf(Arc::clone(model))?;
    }
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &codec)?;
    let again = physical_plan_from_bytes_with_extension_codec(&bytes, &TaskContext::from(&there), &codec)?;
    Ok(drawn(plan) == drawn(&again) && windows(plan) == windows(&again))
}

fn drawn(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(true).to_string()
}

/// Every window's function with all that it holds: a drawn plan leaves out some of it.
fn windows(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let of = |calls: &[Arc<dyn WindowExpr>]| calls.iter().map(|call| format!("{call:?}")).collect();
    let mut all: Vec<String> = match (
        plan.downcast_ref::<WindowAggExec>(),
        plan.downcast_ref::<BoundedWindowAggExec>(),
    ) {
        (Some(window), _) => of(window.window_expr()),
        (None, Some(window)) => of(window.window_expr()),
        (None, None) => Vec::new(),
    };
    plan.children().into_iter().for_each(|below| all.extend(windows(below)));
    all
}
