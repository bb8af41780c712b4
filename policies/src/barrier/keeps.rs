//! Row filters that hide nothing.
//!
//! A filter costs a column to read and a comparison for every row, also where it keeps them all: an embargo that is over, a
//! site with one department. Where exact statistics of the whole table prove that every row passes, there is nothing to
//! hide and the filter is not run. Only what can be proven from smallest, largest and number of nulls counts, of types whose
//! statistics are values: no text or time (writers cut them), no floating point (NaN is left out), no decimals (some writers
//! go through floating point). Who may forge a table's statistics may forge the column that the filter reads, so a proof
//! trusts no one more than the filter does.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::logical_expr::expr::Between;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// Levels of AND and OR at most, as each level is a stack frame.
const DEPTH_MAX: usize = 64;

/// Whether `statistics`, of all rows and in the order of `schema`, prove that `filter` is true of each.
pub(crate) fn keeps_every_row(filter: &Expr, statistics: &Statistics, schema: &Schema) -> bool {
    Proof { statistics, schema }.holds(filter, 0)
}

struct Proof<'a> {
    statistics: &'a Statistics,
    schema: &'a Schema,
}

/// Every row's value lies from `min` to `max`, and is there.
struct Bounds<'a> {
    min: &'a ScalarValue,
    max: &'a ScalarValue,
}

impl Proof<'_> {
    fn holds(&self, filter: &Expr, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        match filter {
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => true,
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::And,
                right,
            }) => self.holds(left, depth + 1) && self.holds(right, depth + 1),
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Or,
                right,
            }) => self.holds(left, depth + 1) || self.holds(right, depth + 1),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(value, _)) => self.compares(&column.name, *op, value),
                (Expr::Literal(value, _), Expr::Column(column)) => op
                    .swap()
                    .is_some_and(|swapped| self.compares(&column.name, swapped, value)),
                _ => false,
            },
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) => match (expr.as_ref(), low.as_ref(), high.as_ref()) {
                (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                    self.compares(&column.name, Operator::GtEq, low)
                        && self.compares(&column.name, Operator::LtEq, high)
                }
                _ => false,
            },
            Expr::IsNotNull(inner) => match inner.as_ref() {
                Expr::Column(column) => self.column(&column.name).is_some_and(|(_, of)| has_no_nulls(of)),
                _ => false,
            },
            _ => false,
        }
    }

    fn compares(&self, column: &str, op: Operator, value: &ScalarValue) -> bool {
        let Some(Bounds { min, max }) = self.bounds(column, value) else {
            return false;
        };
        match op {
            Operator::GtEq => min >= value,
            Operator::Gt => min > value,
            Operator::LtEq => max <= value,
            Operator::Lt => max < value,
            Operator::Eq => min == value && max == value,
            Operator::NotEq => max < value || min > value,
            _ => false,
        }
    }

    fn bounds(&self, column: &str, value: &ScalarValue) -> Option<Bounds<'_>> {
        let (data_type, of) = self.column(column)?;
        let same = |bound: &ScalarValue| !bound.is_null() && bound.data_type() == *data_type;
        match (&of.min_value, &of.max_value) {
            (Precision::Exact(min), Precision::Exact(max))
                if has_no_nulls(of) && is_exact(data_type) && same(value) && same(min) && same(max) =>
            {
                Some(Bounds { min, max })
            }
            _ => None,
        }
    }

    fn column(&self, name: &str) -> Option<(&DataType, &ColumnStatistics)> {
        let (at, field) = self.schema.column_with_name(name)?;
        Some((field.data_type(), self.statistics.column_statistics.get(at)?))
    }
}

fn has_no_nulls(of: &ColumnStatistics) -> bool {
    of.null_count == Precision::Exact(0)
}

/// Types whose smallest and largest value are values that are there, ordered as comparisons order them.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Date32
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{col, lit};
    use proptest::prelude::*;

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
            Field::new("t", DataType::Utf8, true),
        ])
    }

    fn of(min: ScalarValue, max: ScalarValue, nulls: usize) -> ColumnStatistics {
        ColumnStatistics {
            null_count: Precision::Exact(nulls),
            min_value: Precision::Exact(min),
            max_value: Precision::Exact(max),
            ..ColumnStatistics::new_unknown()
        }
    }

    /// `a` from `min` to `max` with so many nulls; `x` and `t` always 1 and 'b'.
    fn table(min: i64, max: i64, nulls: usize) -> Statistics {
        let mut statistics = Statistics::new_unknown(&schema());
        statistics.column_statistics = vec![
            of(min.into(), max.into(), nulls),
            of(1.0.into(), 1.0.into(), 0),
            of("b".into(), "b".into(), 0),
        ];
        statistics
    }

    #[test]
    fn proven_is_what_smallest_and_largest_leave_no_other_way() {
        let kept = |filter: Expr| keeps_every_row(&filter, &table(0, 9, 0), &schema());
        for filter in [
            col("a").gt_eq(lit(0i64)),
            lit(10i64).gt(col("a")),
            col("a").not_eq(lit(10i64)),
            col("a").between(lit(0i64), lit(9i64)),
            col("a").is_not_null(),
            col("a").gt(lit(-1i64)).and(col("x").is_not_null()),
            col("a").eq(lit(3i64)).or(col("a").lt_eq(lit(9i64))),
            lit(true),
        ] {
            assert!(kept(filter.clone()), "{filter}");
        }
        for filter in [
            col("a").gt(lit(0i64)),
            col("a").lt(lit(9i64)),
            col("a").not_eq(lit(5i64)),
            col("a").eq(lit(0i64)),
            col("a").gt_eq(lit(0i32)),
            col("a").gt_eq(lit(ScalarValue::Int64(None))),
            col("a").not_between(lit(20i64), lit(30i64)),
            col("a").is_null(),
            col("x").gt_eq(lit(1.0)),
            col("t").eq(lit("b")),
            col("b").gt_eq(lit(0i64)),
            (col("a") + lit(1i64)).gt_eq(lit(0i64)),
            col("a").gt_eq(lit(0i64)).and(col("a").gt(lit(0i64))),
            lit(false),
        ] {
            assert!(!kept(filter.clone()), "{filter}");
        }
    }

    #[test]
    fn a_null_or_an_estimate_proves_nothing() {
        let filter = col("a").gt_eq(lit(0i64));
        assert!(!keeps_every_row(&filter, &table(0, 9, 1), &schema()));
        let estimated = table(0, 9, 0).to_inexact();
        assert!(!keeps_every_row(&filter, &estimated, &schema()));
        assert!(!keeps_every_row(
            &filter,
            &Statistics::new_unknown(&schema()),
            &schema()
        ));
    }

    proptest! {
        /// Against every value that the statistics allow.
        #[test]
        fn a_proof_is_never_wrong(min in -4i64..4, more in 0i64..4, one in -6i64..6, two in -6i64..6, ops in (0usize..6, 0usize..6), either in any::<bool>()) {
            let compare = |op: usize, value: i64| match op {
                0 => col("a").gt(lit(value)),
                1 => col("a").gt_eq(lit(value)),
                2 => col("a").lt(lit(value)),
                3 => col("a").lt_eq(lit(value)),
                4 => col("a").eq(lit(value)),
                _ => col("a").not_eq(lit(value)),
            };
            let is_true = |op: usize, value: i64, a: i64| match op {
                0 => a > value,
                1 => a >= value,
                2 => a < value,
                3 => a <= value,
                4 => a == value,
                _ => a != value,
            };
            let (left, right) = (compare(ops.0, one), compare(ops.1, two));
            let filter = if either { left.or(right) } else { left.and(right) };
            let each = |a| {
                let (left, right) = (is_true(ops.0, one, a), is_true(ops.1, two, a));
                if either { left || right } else { left && right }
            };
            if keeps_every_row(&filter, &table(min, min + more, 0), &schema()) {
                prop_assert!((min..=min + more).all(each));
            }
        }
    }
}
