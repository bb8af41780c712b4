//! Functions that make much of little, with a bound on what one call may make.
//!
//! `repeat('x', 2000000000)` is a number of bytes that no memory pool sees before they are there, and a constant one is
//! made while the statement is planned. The bound is checked before anything is made; the rest is the engine's function.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::query::QueryError;

/// Bytes that one call makes for one batch of rows, at most: far above a document, far below a server's memory.
const BYTES_MAX: u128 = 256 << 20;

/// How large a call's result becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As long as the second argument says.
    Length,
    /// A number for each step from the first argument to the second; from 0 when there is one.
    Steps,
    /// The third argument wherever the second stands in the first.
    Replaced,
}

const BOUNDED: [(&str, Growth); 8] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Length),
    ("rpad", Growth::Length),
    ("array_resize", Growth::Length),
    ("generate_series", Growth::Steps),
    ("range", Growth::Steps),
    ("replace", Growth::Replaced),
];

/// Puts the bound before the functions of a session.
pub(super) fn bound(state: &mut SessionState) -> Result<()> {
    for (name, growth) in BOUNDED {
        let Some(inner) = state.scalar_functions().get(name).cloned() else {
            continue;
        };
        state.register_udf(Arc::new(ScalarUDF::from(Bounded { inner, growth })))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.bytes(&args)?;
        if bytes > BYTES_MAX {
            let text = format!(
                "{} would make {} MiB at once, at most {} MiB are made; ask for less",
                self.name(),
                bytes >> 20,
                BYTES_MAX >> 20
            );
            return Err(QueryError::Exhausted(text).into_portable());
        }
        self.inner.invoke_with_args(args)
    }
}

impl Bounded {
    /// Bytes that a call will make, or a little less.
    fn bytes(&self, args: &ScalarFunctionArgs) -> Result<u128> {
        // Constants count once however many rows there are.
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let numbers = |at: usize| -> Result<Option<Vec<i128>>> {
            let Some(arg) = args.args.get(at) else { return Ok(None) };
            let array = arg.to_array(rows)?;
            // Dates and times step by days at least, or by what their interval says: left to the statement's time.
            if !array.data_type().is_integer() {
                return Ok(None);
            }
            let wide = cast(&array, &DataType::Int64)?;
            let wide = wide.as_primitive::<Int64Type>();
            let value = |at| {
                if wide.is_null(at) {
                    0
                } else {
                    i128::from(wide.value(at))
                }
            };
            Ok(Some((0..wide.len()).map(value).collect()))
        };
        let positive = |number: i128| u128::try_from(number).unwrap_or(0);
        match self.growth {
            Growth::Length => {
                let lengths = numbers(1)?.unwrap_or_default();
                let unit = if self.name() == "array_resize" { 8 } else { 1 };
                Ok(lengths.into_iter().map(positive).sum::<u128>().saturating_mul(unit))
            }
            Growth::Times => {
                let Some(first) = args.args.first() else { return Ok(0) };
                let first = first.to_array(rows)?;
                let sizes = sizes(first.as_ref());
                let times = numbers(1)?.unwrap_or_default();
                Ok(times
                    .into_iter()
                    .zip(sizes)
                    .map(|(times, size)| positive(times).saturating_mul(size))
                    .sum())
            }
            Growth::Steps => {
                let (Some(first), second) = (numbers(0)?, numbers(1)?) else {
                    return Ok(0);
                };
                let step = numbers(2)?.unwrap_or_default();
                let made = first.iter().enumerate().map(|(at, from)| {
                    let (from, to) = match second.as_ref().and_then(|all| all.get(at)) {
                        Some(to) => (*from, *to),
                        None => (0, *from),
                    };
                    let step = step.get(at).map_or(1, |step| step.abs().max(1));
                    positive((to - from).abs() / step).saturating_mul(8)
                });
                Ok(made.sum())
            }
            Growth::Replaced => {
                let texts = |at: usize| -> Result<Option<ArrayRef>> {
                    let Some(arg) = args.args.get(at) else { return Ok(None) };
                    Ok(Some(cast(&arg.to_array(rows)?, &DataType::Utf8View)?))
                };
                let (Some(text), Some(from), Some(to)) = (texts(0)?, texts(1)?, texts(2)?) else {
                    return Ok(0);
                };
                // Counting costs as much as replacing: it is done only for what could be too much.
                let at_most = replaced(&text, &from, &to, |text, from| text.len() / from.len().max(1) + 1);
                if at_most <= BYTES_MAX {
                    return Ok(at_most);
                }
                Ok(replaced(&text, &from, &to, |text, from| text.matches(from).count()))
            }
        }
    }
}

/// Bytes of texts in which `count` pieces are replaced, or a little more.
fn replaced(text: &ArrayRef, from: &ArrayRef, to: &ArrayRef, count: impl Fn(&str, &str) -> usize) -> u128 {
    let (text, from, to) = (text.as_string_view(), from.as_string_view(), to.as_string_view());
    let all = text.iter().zip(from.iter()).zip(to.iter());
    all.filter_map(|((text, from), to)| Some((text?, from?, to?)))
        .map(|(text, from, to)| text.len() as u128 + count(text, from) as u128 * to.len() as u128)
        .sum()
}

/// Bytes of each value: exact for texts, about the average for the rest.
fn sizes(array: &dyn Array) -> Vec<u128> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(length).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(length).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(length).collect(),
        _ => {
            let all = array.to_data().get_slice_memory_size().unwrap_or_default();
            let each = (all / array.len().max(1)).max(1) as u128;
            vec![each; array.len()]
        }
    }
}

fn length(text: Option<&str>) -> u128 {
    text.map_or(0, |text| text.len() as u128)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;
    use datafusion::scalar::ScalarValue;

    use super::*;

    fn call(inner: Arc<ScalarUDF>, growth: Growth, args: Vec<ScalarValue>) -> Result<ColumnarValue> {
        let fields: Vec<FieldRef> = args
            .iter()
            .map(|arg| Arc::new(Field::new("a", arg.data_type(), true)) as FieldRef)
            .collect();
        let scalars: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
        let bounded = Bounded { inner, growth };
        let return_field = bounded.return_field_from_args(ReturnFieldArgs {
            arg_fields: &fields,
            scalar_arguments: &scalars,
        })?;
        bounded.invoke_with_args(ScalarFunctionArgs {
            args: args.into_iter().map(ColumnarValue::Scalar).collect(),
            arg_fields: fields,
            number_rows: 8_192,
            return_field,
            config_options: Arc::new(ConfigOptions::default()),
        })
    }

    #[test]
    fn what_fits_is_made_and_what_does_not_is_refused_before_it_is() {
        let repeat = || datafusion::functions::string::repeat();
        let few = vec![ScalarValue::from("ab"), ScalarValue::from(3_i64)];
        assert!(call(repeat(), Growth::Times, few).is_ok());
        let many = vec![ScalarValue::from("x"), ScalarValue::from(2_000_000_000_i64)];
        let error = call(repeat(), Growth::Times, many).unwrap_err();
        assert!(error.to_string().contains("at most 256"), "{error}");
        let long = vec![ScalarValue::from("x"), ScalarValue::from(1_i64 << 40)];
        assert!(call(datafusion::functions::unicode::lpad(), Growth::Length, long).is_err());
        let replace = || datafusion::functions::string::replace();
        let (a, b) = ("a".repeat(100_000), "b".repeat(100_000));
        let all = [a.as_str(), "a", b.as_str()].map(ScalarValue::from).to_vec();
        assert!(call(replace(), Growth::Replaced, all).is_err());
        let none = [a.as_str(), "c", b.as_str()].map(ScalarValue::from).to_vec();
        assert!(call(replace(), Growth::Replaced, none).is_ok(), "nothing is replaced");
        let negative = vec![ScalarValue::from("x"), ScalarValue::from(-5_i64)];
        assert!(call(repeat(), Growth::Times, negative).is_ok());
    }
}
