//! What may be moved: conditions that no row can make fail.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, Join};
use labhouse_policies::never_fails;

/// Whether a condition over rows of this shape gives the same for each row, however many rows it meets.
pub(super) fn is_total(condition: &Expr, schema: &DFSchema) -> bool {
    never_fails(condition, schema)
}

/// Whether all that a join asks of its rows is so.
pub(super) fn asks_nothing_that_fails(join: &Join) -> bool {
    let (left, right) = (join.left.schema(), join.right.schema());
    let plain = |key: &Expr, schema: &DFSchema| {
        is_total(key, schema) && key.get_type(schema).is_ok_and(|data_type| !data_type.is_nested())
    };
    join.on.iter().all(|(l, r)| plain(l, left) && plain(r, right))
        && join.filter.iter().all(|filter| is_total(filter, &join.schema))
}
