//! Zero is zero, whatever its sign, in lists too.
//!
//! `f = 0.0` is true of -0.0; `f IN (…)` with four and more constants looks them up by their bits, and there it is not. So a list with a
//! zero gets the other one as well.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

/// Adds the other zero.
#[derive(Debug)]
pub(super) struct Zeros;

impl OptimizerRule for Zeros {
    fn name(&self) -> &str {
        "zeros"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let completed = expr.transform_up(|expr| Ok(completed(expr)))?;
                Ok(completed.update_data(|expr| name.restore(expr)))
            })
        })
    }
}

fn completed(expr: Expr) -> Transformed<Expr> {
    let Expr::InList(mut list) = expr else {
        return Transformed::no(expr);
    };
    let zeros: Vec<Expr> = list.list.iter().filter_map(other_zero).collect();
    let missing: Vec<Expr> = zeros.into_iter().filter(|zero| !list.list.contains(zero)).collect();
    if missing.is_empty() {
        return Transformed::no(Expr::InList(list));
    }
    list.list.extend(missing);
    Transformed::yes(Expr::InList(list))
}

fn other_zero(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) if value.abs() == 0.0 => Some(lit(-value)),
        Expr::Literal(ScalarValue::Float32(Some(value)), _) if value.abs() == 0.0 => Some(lit(-value)),
        _ => None,
    }
}
