//! Which expressions can never fail, whatever the row holds.
//!
//! A row filter meets every row, hidden ones too; if it could fail, its error would tell of rows nobody may see, or take the
//! table away from everybody. So only what is known to be total is accepted, and the rest is named with a way out. The
//! check runs after type coercion, so casts that the planner adds are seen, and after constants are folded.

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, ExprSchemable, Like, Operator};

use crate::mask::mask_of;

/// Why an expression is not accepted, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotTotal {
    pub what: String,
    pub remedy: String,
}

/// Functions that give a value or NULL for any arguments of their types.
const ANY_ARGUMENTS: &[&str] = &[
    "array_has",
    "array_has_all",
    "array_has_any",
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "current_date",
    "ends_with",
    "initcap",
    "isnan",
    "iszero",
    "lower",
    "ltrim",
    "md5",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "reverse",
    "rtrim",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "starts_with",
    "strpos",
    "translate",
    "upper",
];
/// Functions that are total when every argument behind the first is a constant (which has then been tried).
const CONSTANT_ARGUMENTS: &[&str] = &["date_part", "digest", "encode", "left", "replace", "right"];
/// Functions that are total on floating point numbers.
const FLOAT_ARGUMENTS: &[&str] = &["abs", "ceil", "floor", "signum"];

/// Whether no row of `schema` can make `expr` fail, nor give it another value the next time, so that it does not matter how
/// many rows it meets. What is not known to be so is not; among it are functions whose constants nobody has tried.
pub fn never_fails(expr: &Expr, schema: &DFSchema) -> bool {
    let untried = expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarFunction(call) if CONSTANT_ARGUMENTS.contains(&call.func.name())))
    });
    check(expr, schema).is_ok() && untried.is_ok_and(|untried| !untried)
}

/// Accepts `expr` if no row can make it fail.
pub(crate) fn check(expr: &Expr, schema: &DFSchema) -> Result<(), NotTotal> {
    let all = |parts: &[&Expr]| parts.iter().try_for_each(|part| check(part, schema));
    match expr {
        Expr::Column(_) | Expr::Literal(_, _) => Ok(()),
        Expr::Alias(alias) => check(&alias.expr, schema),
        Expr::Not(e)
        | Expr::IsNull(e)
        | Expr::IsNotNull(e)
        | Expr::IsTrue(e)
        | Expr::IsFalse(e)
        | Expr::IsUnknown(e)
        | Expr::IsNotTrue(e)
        | Expr::IsNotFalse(e)
        | Expr::IsNotUnknown(e) => check(e, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            all(&[left, right])?;
            operator(*op, &type_of(left, schema)?, &type_of(right, schema)?)
        }
        Expr::Between(Between { expr, low, high, .. }) => all(&[expr, low, high]),
        Expr::InList(InList { expr, list, .. }) => {
            check(expr, schema)?;
            list.iter().try_for_each(|e| check(e, schema))
        }
        Expr::Like(Like { expr, pattern, .. }) => match pattern.as_ref() {
            Expr::Literal(_, _) => check(expr, schema),
            _ => refuse(
                "LIKE with a pattern from a column",
                "write the pattern as a constant, or use starts_with or contains",
            ),
        },
        Expr::Case(Case {
            expr,
            when_then_expr,
            else_expr,
        }) => {
            expr.iter().chain(else_expr).try_for_each(|e| check(e, schema))?;
            when_then_expr.iter().try_for_each(|(when, then)| all(&[when, then]))
        }
        Expr::Cast(cast) => {
            check(&cast.expr, schema)?;
            let (from, to) = (type_of(&cast.expr, schema)?, cast.field.data_type());
            if cast_is_total(&from, to) {
                return Ok(());
            }
            let remedy = format!(
                "compare values of one type, or write try_cast({} AS …), which gives NULL",
                cast.expr
            );
            refuse(
                format!("a cast from {from} to {to}, which fails on some values"),
                remedy,
            )
        }
        Expr::TryCast(cast) => {
            check(&cast.expr, schema)?;
            let (from, to) = (type_of(&cast.expr, schema)?, cast.field.data_type());
            if try_cast_is_total(&from, to) {
                return Ok(());
            }
            refuse(
                format!("try_cast from {from} to {to}, which fails on some values all the same"),
                "compare dates with dates and times with times, for example with current_date() or now()",
            )
        }
        Expr::ScalarFunction(call) => function(call, schema),
        Expr::Negative(_) => refuse("a negated column", "compare with the negated constant instead"),
        Expr::SimilarTo(_) => refuse("SIMILAR TO", "use LIKE, starts_with or contains"),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => refuse(
            "a subquery",
            "bring the value in as $user.NAME, or as a column of the table",
        ),
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => refuse(
            "an aggregate or window function",
            "a filter or mask may look at one row only",
        ),
        Expr::Placeholder(p) => refuse(
            format!("the unbound placeholder {}", p.id),
            "use $user.NAME or $secret.salt",
        ),
        other => refuse(
            format!("`{}`", other.variant_name()),
            "use comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, CASE and plain functions",
        ),
    }
}

fn refuse<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, NotTotal> {
    Err(NotTotal {
        what: what.into(),
        remedy: remedy.into(),
    })
}

fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType, NotTotal> {
    expr.get_type(schema)
        .or_else(|e| refuse(e.strip_backtrace(), "correct the expression"))
}

fn operator(op: Operator, left: &DataType, right: &DataType) -> Result<(), NotTotal> {
    use Operator::{
        And, BitwiseAnd, BitwiseOr, BitwiseXor, Divide, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq,
        Minus, Modulo, Multiply, NotEq, Or, Plus, StringConcat,
    };
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match op {
        And | Or => Ok(()),
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom => {
            if left.is_nested() || right.is_nested() {
                return refuse(
                    format!("a comparison of {left}"),
                    "compare plain values, or use array_has",
                );
            }
            Ok(())
        }
        // Whole numbers wrap around and floating point goes to infinity: neither fails.
        Plus | Minus | Multiply if left == right && (left.is_integer() || left.is_floating()) => Ok(()),
        Divide | Modulo if left.is_floating() && right.is_floating() => Ok(()),
        Divide | Modulo => refuse(
            format!("`{op}` on {left}, which fails on zero"),
            "cast both sides to DOUBLE with try_cast, or multiply instead",
        ),
        BitwiseAnd | BitwiseOr | BitwiseXor if left.is_integer() && right.is_integer() => Ok(()),
        StringConcat if text(left) && text(right) => Ok(()),
        other => refuse(
            format!("`{other}` between {left} and {right}"),
            "use comparisons, + - * on numbers, LIKE, starts_with or contains",
        ),
    }
}

fn function(call: &ScalarFunction, schema: &DFSchema) -> Result<(), NotTotal> {
    call.args.iter().try_for_each(|arg| check(arg, schema))?;
    if mask_of(call.func.inner().as_ref()).is_some() {
        return Ok(());
    }
    let name = call.func.name();
    let constants = || call.args.iter().skip(1).all(|arg| matches!(arg, Expr::Literal(_, _)));
    if ANY_ARGUMENTS.contains(&name) || (CONSTANT_ARGUMENTS.contains(&name) && constants()) {
        return Ok(());
    }
    if name == "substr" && constants() {
        // A negative length is the one thing it fails on.
        let fits = call
            .args
            .iter()
            .skip(1)
            .all(|arg| !matches!(arg, Expr::Literal(value, _) if value.to_string().starts_with('-')));
        if fits {
            return Ok(());
        }
    }
    if FLOAT_ARGUMENTS.contains(&name)
        && call
            .args
            .iter()
            .all(|arg| arg.get_type(schema).is_ok_and(|t| t.is_floating()))
    {
        return Ok(());
    }
    let known = [ANY_ARGUMENTS, CONSTANT_ARGUMENTS, FLOAT_ARGUMENTS].concat().join(", ");
    refuse(
        format!("the function `{name}` with these arguments, which is not known to never fail"),
        format!("use try_cast and these: {known}, substr"),
    )
}

/// Whether a value of `from` that does not fit `to` gives NULL. Arrow knows casts that it refuses as a whole, gives an error
/// for days and instants far away even when asked for NULL, and multiplies days into instants unchecked: a day far ahead
/// becomes one long ago, and an embargo ends. So of times only their numbers and other units of an instant are taken.
pub(crate) fn try_cast_is_total(from: &DataType, to: &DataType) -> bool {
    let of_times =
        from == to || to.is_integer() || matches!((from, to), (DataType::Timestamp(_, _), DataType::Timestamp(_, _)));
    can_cast_types(from, to) && (of_times || !holds_times(from))
}

fn holds_times(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => holds_times(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            holds_times(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| holds_times(field.data_type())),
        other => other.is_temporal(),
    }
}

/// Whether every value of `from` has a value in `to`.
pub(crate) fn cast_is_total(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Decimal128, Dictionary, Float16, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Null, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView);
    let digits = |t: &DataType| match t {
        Int8 | UInt8 => Some(3),
        Int16 | UInt16 => Some(5),
        Int32 | UInt32 => Some(10),
        Int64 => Some(19),
        UInt64 => Some(20),
        _ => None,
    };
    match (from, to) {
        (a, b) if a == b => true,
        (Null, _) => true,
        (Dictionary(_, value), to) => cast_is_total(value, to),
        (a, b) if text(a) && text(b) => true,
        (a, b) if (text(a) || bytes(a)) && bytes(b) => true,
        (Boolean, b) => text(b) || b.is_integer(),
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64)
        | (UInt16, UInt32 | UInt64 | Int32 | Int64)
        | (UInt32, UInt64 | Int64) => true,
        (a, Float32 | Float64) if a.is_integer() => true,
        (Float16 | Float32, Float64) | (Float16, Float32) => true,
        (a, b) if (a.is_integer() || a.is_floating()) && text(b) => true,
        (Decimal128(p, s), Decimal128(q, t)) => {
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        (a, Decimal128(q, t)) => digits(a).is_some_and(|d| *t >= 0 && i16::from(*q) - i16::from(*t) >= d),
        (Decimal128(_, _), Float64) => true,
        _ => false,
    }
}
