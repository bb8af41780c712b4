//! Which conditions of a user may be evaluated below the barrier.
//!
//! Inside, a condition meets hidden rows. A comparison of a visible, unmasked column with a literal of the column's very
//! type cannot fail, calls nothing and keeps nothing, so all it can do there is skip data early. Everything else waits
//! outside. So do comparisons of floating point: bounds leave NaN out, so whether a visible NaN is skipped would depend on
//! the hidden values beside it, and skipping must never change a result.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};

/// Literals in one IN list at most; a longer one costs more on hidden rows than it saves.
const LIST_MAX: usize = 1_000;
/// Levels of AND and OR at most, as each level is a stack frame.
const DEPTH_MAX: usize = 64;

/// Whether `expr` over the columns of `open` is safe inside. `open` has the visible and unmasked columns whose public type
/// is their raw type, and nothing else.
pub(crate) fn is_leak_proof(expr: &Expr, open: &SchemaRef) -> bool {
    check(expr, open, 0)
}

fn check(expr: &Expr, open: &SchemaRef, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And | Operator::Or,
            right,
        }) => check(left, open, depth + 1) && check(right, open, depth + 1),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq,
            right,
        }) => match (left.as_ref(), right.as_ref()) {
            (column @ Expr::Column(_), value @ Expr::Literal(_, _))
            | (value @ Expr::Literal(_, _), column @ Expr::Column(_)) => {
                column_type(column, open).is_some_and(|t| is_plain_literal(value, t))
            }
            _ => false,
        },
        // What the optimiser makes of comparisons with true and false, and of those that contradict each other.
        Expr::Column(_) => column_type(expr, open) == Some(&DataType::Boolean),
        Expr::Not(inside) => check(inside, open, depth + 1),
        Expr::Literal(value, _) => value.data_type() == DataType::Boolean,
        Expr::IsNull(column) | Expr::IsNotNull(column) => column_type(column, open).is_some(),
        Expr::InList(InList { expr, list, .. }) => {
            list.len() <= LIST_MAX
                && column_type(expr, open).is_some_and(|t| list.iter().all(|value| is_plain_literal(value, t)))
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            column_type(expr, open).is_some_and(|t| is_plain_literal(low, t) && is_plain_literal(high, t))
        }
        _ => false,
    }
}

fn column_type<'a>(expr: &Expr, open: &'a SchemaRef) -> Option<&'a DataType> {
    let Expr::Column(column) = expr else { return None };
    let data_type = open.field_with_name(&column.name).ok()?.data_type();
    is_plain_type(data_type).then_some(data_type)
}

fn is_plain_type(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, Decimal128, Timestamp};
    let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    text || data_type.is_integer()
        || matches!(
            data_type,
            Boolean | Date32 | Date64 | Decimal128(_, _) | Timestamp(_, _) | DataType::Float32 | DataType::Float64
        )
}

fn is_plain_literal(expr: &Expr, wanted: &DataType) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    !value.is_null() && !wanted.is_floating() && value.data_type() == *wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::{cast, col, lit};
    use datafusion::prelude::in_list;
    use datafusion::scalar::ScalarValue;
    use std::sync::Arc;

    #[test]
    fn only_plain_comparisons_go_inside() {
        let open = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("f", DataType::Float64, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("b", DataType::Boolean, true),
        ]));
        let yes = [
            col("n").eq(lit(5i64)),
            lit(5i64).lt(col("n")),
            col("n").between(lit(1i64), lit(5i64)).or(col("t").is_null()),
            in_list(col("t"), vec![lit("a"), lit("b")], true).and(col("f").is_not_null()),
            col("b"),
            !col("b"),
            !col("n").eq(lit(5i64)),
            (!col("b")).and(lit(false)),
            lit(true),
        ];
        let no = [
            col("n").eq(lit(5i32)),
            col("n").eq(lit(ScalarValue::Int64(None))),
            col("f").eq(lit(-0.0)),
            col("f").gt(lit(0.5)),
            col("f").gt(lit(f64::NAN)),
            col("hidden").is_null(),
            (lit(1i64) / (col("n") - lit(42i64))).not_eq(lit(99i64)),
            cast(col("t"), DataType::Int64).eq(lit(1i64)),
            col("n")
                .eq(lit(5i64))
                .and(cast(col("t"), DataType::Int64).eq(lit(1i64))),
            col("t").like(lit("a%")),
            col("n").eq(col("n")),
            !col("t").like(lit("a%")),
            col("n"),
            !col("masked"),
        ];
        for expr in yes {
            assert!(is_leak_proof(&expr, &open), "{expr}");
        }
        for expr in no {
            assert!(!is_leak_proof(&expr, &open), "{expr}");
        }
    }
}
