//! Where the engine's optimizer answers wrongly, mended: its rules, with ours before and after them.

mod grouped;
mod merged;

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

pub(crate) use grouped::{forgetting, is_forgetting};

/// The physical rules of a session.
pub(crate) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    // Before the engine's: what it then knows of a plan's order and constants is true.
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(grouped::GroupingSets)];
    rules.extend(PhysicalOptimizer::new().rules);
    rules.push(Arc::new(merged::MergedSorts));
    rules
}
