//! Where the engine's optimizer answers wrongly, mended: its rules, with ours before and after them.

mod correlated;
mod grouped;
mod merged;
mod not_in;
mod zeros;

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

pub(crate) use grouped::{forgetting, is_forgetting};

/// The engine's rule that takes conditions down a physical plan, before and after the rest. It finds columns by their names
/// and asks the wrong one where both sides of a join have the name (seen: `x.k > y.k + (SELECT …)` asked of `y` alone as
/// `k > k + …`). Above governed scans, which take no conditions then, it gains nothing.
const CONDITIONS_DOWN: [&str; 2] = ["FilterPushdown", "FilterPushdown(Post)"];

pub(crate) type LogicalRule = Arc<dyn OptimizerRule + Send + Sync>;
pub(crate) type PhysicalRules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// The physical rules of a user's session.
pub(crate) fn rules() -> PhysicalRules {
    let mut rules = rules_below();
    rules.retain(|rule| !CONDITIONS_DOWN.contains(&rule.name()));
    rules
}

/// The physical rules below a barrier: its plans have no joins.
pub(crate) fn rules_below() -> PhysicalRules {
    // Before the engine's: what it then knows of a plan's order and constants is true.
    let mut rules: PhysicalRules = vec![Arc::new(grouped::GroupingSets)];
    rules.extend(PhysicalOptimizer::new().rules);
    rules.push(Arc::new(merged::MergedSorts));
    rules
}

/// The logical rules of a session, these and ours.
pub(crate) fn logical(rules: Vec<LogicalRule>) -> Vec<LogicalRule> {
    // Before lists are held against each other, and after all that was written as a list.
    let mut all: Vec<LogicalRule> = vec![Arc::new(zeros::Zeros)];
    for rule in rules {
        if rule.name() == correlated::BEFORE {
            all.push(Arc::new(zeros::Zeros) as LogicalRule);
            all.push(Arc::new(not_in::NotIn));
            all.push(Arc::new(correlated::CorrelatedNames));
        }
        all.push(rule);
    }
    all
}
