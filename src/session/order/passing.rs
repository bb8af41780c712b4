//! Which part of some rows passes a condition.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// Where nothing is known of the values.
const EQUAL: f64 = 0.1;
const BETWEEN: f64 = 0.15;
const BEYOND: f64 = 1.0 / 3.0;
const LIKE: f64 = 0.1;
/// A comparison with what was worked out, such as a sum: who asks for that looks for the few.
const WORKED_OUT: f64 = 0.05;
const NULL: f64 = 0.05;
const OTHER: f64 = 0.25;
/// At least so much of anything passes: an estimate is never sure.
const LEAST: f64 = 1e-6;
/// Levels of a condition that are looked into, as each is a stack frame.
const DEPTH_MAX: usize = 64;

/// What is known of a column's values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    /// How many different ones there are.
    pub(super) distinct: Option<f64>,
    /// The smallest and the largest, of types that are numbers underneath.
    pub(super) bounds: Option<(f64, f64)>,
    /// The part that is NULL.
    pub(super) nulls: Option<f64>,
    /// Whether no two rows have the same.
    pub(super) is_key: bool,
}

pub(super) type Columns = HashMap<Column, Values>;

/// The part of rows with such columns for which all of these conditions are true.
pub(super) fn passing<'a>(conditions: impl IntoIterator<Item = &'a Expr>, columns: &Columns) -> f64 {
    let parts = conditions.into_iter().flat_map(split_conjunction);
    all(parts, columns, 0).clamp(LEAST, 1.0)
}

/// Bounds on one column are taken together: two thirds of two thirds is no estimate of one month in seven years.
fn all<'a>(parts: impl IntoIterator<Item = &'a Expr>, columns: &Columns, depth: usize) -> f64 {
    let mut asked: HashMap<&Column, (Option<f64>, Option<f64>)> = HashMap::new();
    let mut passing = 1.0;
    for part in parts {
        match bound(part) {
            Some((column, op, value)) => {
                let (low, high) = asked.entry(column).or_default();
                match op {
                    Operator::Gt | Operator::GtEq => *low = Some(low.map_or(value, |low| low.max(value))),
                    _ => *high = Some(high.map_or(value, |high| high.min(value))),
                }
            }
            None => passing *= one(part, columns, depth),
        }
    }
    for (column, range) in asked {
        passing *= within(columns.get(column), range);
    }
    passing
}

fn within(values: Option<&Values>, (low, high): (Option<f64>, Option<f64>)) -> f64 {
    if values.is_none() {
        return WORKED_OUT;
    }
    let Some((min, max)) = values.and_then(|values| values.bounds) else {
        return if low.is_some() && high.is_some() {
            BETWEEN
        } else {
            BEYOND
        };
    };
    if max <= min {
        return 1.0;
    }
    let (from, to) = (low.unwrap_or(min).max(min), high.unwrap_or(max).min(max));
    ((to - from) / (max - min)).clamp(LEAST, 1.0)
}

/// A column compared by size with a constant.
fn bound(part: &Expr) -> Option<(&Column, Operator, f64)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else {
        return None;
    };
    if !matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) {
        return None;
    }
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) => Some((column, *op, number(value)?)),
        (Expr::Literal(value, _), Expr::Column(column)) => Some((column, op.swap()?, number(value)?)),
        _ => None,
    }
}

fn one(part: &Expr, columns: &Columns, depth: usize) -> f64 {
    if depth > DEPTH_MAX {
        return OTHER;
    }
    let of = |expr| column_of(expr).and_then(|column| columns.get(column));
    match part {
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        Expr::Literal(_, _) => LEAST,
        Expr::Column(_) => 0.5,
        Expr::Not(inner) => 1.0 - one(inner, columns, depth + 1),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => all([left.as_ref(), right.as_ref()], columns, depth + 1),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => {
            let side = |expr| all(split_conjunction(expr), columns, depth + 1);
            let (left, right) = (side(left), side(right));
            left + right - left * right
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq => equal(of(left), of(right), text(left).or(text(right))),
            Operator::NotEq => 1.0 - equal(of(left), of(right), text(left).or(text(right))),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => BEYOND,
            _ => OTHER,
        },
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => {
            let limit = |expr: &Expr| match expr {
                Expr::Literal(value, _) => number(value),
                _ => None,
            };
            let inside = match (limit(low), limit(high)) {
                (Some(low), Some(high)) => within(of(expr), (Some(low), Some(high))),
                _ => BETWEEN,
            };
            if *negated { 1.0 - inside } else { inside }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let each = list.iter().map(|value| equal(of(expr), None, text(value)));
            let inside = each.sum::<f64>().min(0.5);
            if *negated { 1.0 - inside } else { inside }
        }
        Expr::Like(like) => {
            if like.negated {
                1.0 - LIKE
            } else {
                LIKE
            }
        }
        Expr::IsNull(expr) => of(expr).and_then(|values| values.nulls).unwrap_or(NULL),
        Expr::IsNotNull(expr) => 1.0 - of(expr).and_then(|values| values.nulls).unwrap_or(NULL),
        _ => OTHER,
    }
}

/// The part for which two values are equal, of which at least one is a column's. Where nothing is known of texts: a flag of
/// one letter is in many rows, a whole phrase in few.
fn equal(left: Option<&Values>, right: Option<&Values>, text: Option<f64>) -> f64 {
    let distinct = |values: Option<&Values>| values.and_then(|values| values.distinct);
    let different = distinct(left).into_iter().chain(distinct(right)).reduce(f64::max);
    let guess = || text.map_or(EQUAL, |letters| 0.5 / (1.0 + letters));
    different.map_or_else(guess, |different| 1.0 / different.max(1.0))
}

/// Letters of a constant, if it is a text.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn text(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(|text| text.len() as f64),
        _ => None,
    }
}

/// The column that an expression is, whatever type it is read as.
pub(super) fn column_of(expr: &Expr) -> Option<&Column> {
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::Column(column) => return Some(column),
            Expr::Alias(alias) => &alias.expr,
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            _ => return None,
        };
    }
}

/// A value as the number underneath it. Only values of one type can be held against each other.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(v) => f64::from((*v)?),
        ScalarValue::Int16(v) => f64::from((*v)?),
        ScalarValue::Int32(v) | ScalarValue::Date32(v) => f64::from((*v)?),
        ScalarValue::UInt8(v) => f64::from((*v)?),
        ScalarValue::UInt16(v) => f64::from((*v)?),
        ScalarValue::UInt32(v) => f64::from((*v)?),
        ScalarValue::Int64(v) | ScalarValue::Date64(v) => (*v)? as f64,
        ScalarValue::UInt64(v) => (*v)? as f64,
        ScalarValue::TimestampSecond(v, _)
        | ScalarValue::TimestampMillisecond(v, _)
        | ScalarValue::TimestampMicrosecond(v, _)
        | ScalarValue::TimestampNanosecond(v, _) => (*v)? as f64,
        ScalarValue::Float32(v) => f64::from((*v)?),
        ScalarValue::Float64(v) => (*v)?,
        ScalarValue::Decimal128(v, _, scale) => (*v)? as f64 / 10f64.powi(i32::from(*scale)),
        _ => return None,
    })
    .filter(|number| number.is_finite())
}
