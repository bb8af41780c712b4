//! `IS TRUE` and its kin, written as the comparisons that they are run as.
//!
//! The engine plans `x IS TRUE` as `x IS NOT DISTINCT FROM true` and disagrees with itself on whether that can be NULL: a
//! statement in which two aggregates share such a condition could not be planned. Written out from the start, both halves
//! of the planner see the same.

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};

#[derive(Debug)]
pub(super) struct Truth;

impl FunctionRewrite for Truth {
    fn name(&self) -> &str {
        "truth"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>, DataFusionError> {
        let compare = |inner, op, truth: bool| {
            let comparison = BinaryExpr::new(inner, op, Box::new(lit(truth)));
            Transformed::yes(Expr::BinaryExpr(comparison))
        };
        Ok(match expr {
            Expr::IsTrue(inner) => compare(inner, Operator::IsNotDistinctFrom, true),
            Expr::IsNotTrue(inner) => compare(inner, Operator::IsDistinctFrom, true),
            Expr::IsFalse(inner) => compare(inner, Operator::IsNotDistinctFrom, false),
            Expr::IsNotFalse(inner) => compare(inner, Operator::IsDistinctFrom, false),
            Expr::IsUnknown(inner) => Transformed::yes(Expr::IsNull(inner)),
            Expr::IsNotUnknown(inner) => Transformed::yes(Expr::IsNotNull(inner)),
            other => Transformed::no(other),
        })
    }
}
