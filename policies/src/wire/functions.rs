//! Masks and shapes as bytes. Other functions go by name, if both sides have the same.

use std::sync::Arc;

use datafusion::common::not_impl_err;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;
use prost::Message;

use crate::mask::{self, Mask, MaskFunction, Unit, mask_of};
use crate::nested::{self, Shape, shape_of};

/// Units by their number in a message: a new one goes last.
const UNITS: [Unit; 7] = [
    Unit::Year,
    Unit::Quarter,
    Unit::Month,
    Unit::Week,
    Unit::Day,
    Unit::Hour,
    Unit::Minute,
];

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    /// Characters that are shown.
    #[prost(uint32, tag = "1")]
    Partial(u32),
    /// Place in [`UNITS`].
    #[prost(uint32, tag = "2")]
    Truncate(u32),
    /// Width.
    #[prost(double, tag = "3")]
    Bucket(f64),
    #[prost(message, tag = "4")]
    Shape(Part),
}

/// What is seen of a column or field: the parts of it, or all of it if it is `whole`.
#[derive(Clone, PartialEq, Message)]
struct Part {
    /// Position among the fields around it; 0 for a column.
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(bool, tag = "2")]
    whole: bool,
    #[prost(message, repeated, tag = "3")]
    parts: Vec<Part>,
}

/// Writes a mask or shape. Of a function that `system` has too nothing is written: its name is enough.
///
/// # Errors
/// A hash mask, a shape with a mask inside, or a function that `system` has not.
pub(super) fn encode(function: &ScalarUDF, buf: &mut Vec<u8>, system: &SessionState) -> Result<()> {
    let inner = function.inner().as_ref();
    let kind = match (mask_of(inner), shape_of(inner)) {
        (Some(mask), _) => of_mask(mask)?,
        (None, Some(shape)) => Kind::Shape(of_shape(0, shape)?),
        (None, None) => {
            return match system.udf(function.name()) {
                Ok(own) if own.as_ref() == function => Ok(()),
                _ => not_impl_err!("{} is none of the functions that travel", function.name()),
            };
        }
    };
    buf.extend(Function { kind: Some(kind) }.encode_to_vec());
    Ok(())
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// The message is damaged, or `system` has no function of that name.
pub(super) fn decode(name: &str, buf: &[u8], system: &SessionState) -> Result<Arc<ScalarUDF>> {
    if buf.is_empty() {
        return system.udf(name);
    }
    let kind = Function::decode(buf).ok().and_then(|function| function.kind);
    let function = match (name, kind) {
        (mask::NAME, Some(Kind::Shape(_))) | (nested::NAME, None) | (mask::NAME, None) => None,
        (mask::NAME, Some(kind)) => to_mask(&kind).map(|mask| ScalarUDF::new_from_impl(MaskFunction::new(mask))),
        (nested::NAME, Some(Kind::Shape(part))) => to_shape(&part).map(Shape::function),
        _ => None,
    };
    match function {
        Some(function) => Ok(Arc::new(function)),
        None => not_impl_err!("the message of function {name} is of another kind, or damaged"),
    }
}

fn of_mask(mask: &Mask) -> Result<Kind> {
    Ok(match mask {
        Mask::Hash(_) => return not_impl_err!("a hash mask stays on the node that has its secret"),
        Mask::Partial(keep) => Kind::Partial(*keep),
        Mask::Truncate(unit) => match UNITS.iter().position(|known| known == unit).map(u32::try_from) {
            Some(Ok(at)) => Kind::Truncate(at),
            _ => return not_impl_err!("the unit of a mask has no number"),
        },
        Mask::Bucket(width) => Kind::Bucket(*width),
    })
}

fn to_mask(kind: &Kind) -> Option<Mask> {
    match kind {
        Kind::Partial(keep) => Some(Mask::Partial(*keep)),
        Kind::Truncate(at) => UNITS.get(usize::try_from(*at).ok()?).copied().map(Mask::Truncate),
        Kind::Bucket(width) if width.is_finite() && *width > 0.0 => Some(Mask::Bucket(*width)),
        Kind::Bucket(_) | Kind::Shape(_) => None,
    }
}

fn of_shape(at: usize, shape: &Shape) -> Result<Part> {
    let at = at as u64;
    Ok(match shape {
        Shape::Whole => Part {
            at,
            whole: true,
            parts: Vec::new(),
        },
        Shape::Fields(kept) => Part {
            at,
            whole: false,
            parts: kept
                .iter()
                .map(|(at, shape)| of_shape(*at, shape))
                .collect::<Result<_>>()?,
        },
        Shape::Masked(_) => return not_impl_err!("a mask inside a column stays where it was made"),
    })
}

/// A shape that the rules could have made: a part has something, and its fields are in order.
fn to_shape(part: &Part) -> Option<Shape> {
    if part.whole {
        return part.parts.is_empty().then_some(Shape::Whole);
    }
    let mut kept: Vec<(usize, Shape)> = Vec::with_capacity(part.parts.len());
    for part in &part.parts {
        let at = usize::try_from(part.at).ok()?;
        if kept.last().is_some_and(|(last, _)| *last >= at) {
            return None;
        }
        kept.push((at, to_shape(part)?));
    }
    (!kept.is_empty()).then_some(Shape::Fields(kept))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests build the session that the server builds in src/session"
)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::functions::string::expr_fn::starts_with;
    use datafusion::logical_expr::{Expr, Volatility, create_udf, lit};
    use datafusion::physical_expr::expressions;

    use super::*;

    fn system() -> SessionState {
        SessionStateBuilder::new().with_default_features().build()
    }

    fn sent(function: &ScalarUDF) -> Result<Arc<ScalarUDF>> {
        let mut buf = Vec::new();
        encode(function, &mut buf, &system())?;
        decode(function.name(), &buf, &system())
    }

    #[test]
    fn masks_and_shapes_come_back_equal() {
        let mut masks = vec![Mask::Partial(0), Mask::Partial(u32::MAX), Mask::Bucket(0.1)];
        masks.extend(UNITS.map(Mask::Truncate));
        for mask in masks {
            let function = ScalarUDF::new_from_impl(MaskFunction::new(mask.clone()));
            let back = sent(&function).unwrap();
            assert_eq!(back.as_ref(), &function);
            assert_eq!(mask_of(back.inner().as_ref()), Some(&mask));
        }
        let inner = Shape::Fields(vec![(0, Shape::Whole), (3, Shape::Fields(vec![(1, Shape::Whole)]))]);
        for shape in [Shape::Whole, inner.clone(), Shape::Fields(vec![(2, inner)])] {
            let function = shape.clone().function();
            let back = sent(&function).unwrap();
            assert_eq!(back.as_ref(), &function);
            assert_eq!(shape_of(back.inner().as_ref()), Some(&shape));
        }
    }

    #[test]
    fn secrets_and_what_is_not_known_stay() {
        let secret = b"a-secret-of-more-than-16-characters".to_vec();
        let masked = Shape::Masked(expressions::lit(1i64));
        let own = create_udf(
            "starts_with",
            vec![],
            arrow::datatypes::DataType::Boolean,
            Volatility::Immutable,
            Arc::new(|_| not_impl_err!("never called")),
        );
        for function in [
            ScalarUDF::new_from_impl(MaskFunction::new(Mask::Hash(secret))),
            masked.clone().function(),
            Shape::Fields(vec![(0, masked)]).function(),
            // Of the name of one that is known, and another.
            own,
        ] {
            let mut buf = Vec::new();
            let error = encode(&function, &mut buf, &system()).unwrap_err().to_string();
            assert!(buf.is_empty() && !error.contains("a-secret"), "{error}");
        }
        let Expr::ScalarFunction(known) = starts_with(lit("a"), lit("b")) else {
            panic!("a function is a function");
        };
        assert_eq!(sent(&known.func).unwrap(), known.func);
        assert!(decode("no_such_function", &[], &system()).is_err());
    }

    #[test]
    fn messages_that_no_policy_makes_are_refused() {
        let shape = |part| Kind::Shape(part);
        let leaf = |at| Part {
            at,
            whole: true,
            parts: Vec::new(),
        };
        let of = |parts| Part {
            at: 0,
            whole: false,
            parts,
        };
        for (name, kind) in [
            (mask::NAME, Some(Kind::Truncate(7))),
            (mask::NAME, Some(Kind::Bucket(0.0))),
            (mask::NAME, Some(Kind::Bucket(f64::NAN))),
            (mask::NAME, Some(shape(leaf(0)))),
            (mask::NAME, None),
            (nested::NAME, Some(Kind::Partial(3))),
            (nested::NAME, Some(shape(of(Vec::new())))),
            (nested::NAME, Some(shape(of(vec![leaf(1), leaf(1)])))),
            ("concat", Some(Kind::Partial(3))),
        ] {
            let bytes = Function { kind }.encode_to_vec();
            // A message of nothing has no bytes, and then the name counts.
            assert!(decode(name, &bytes, &system()).is_err(), "{name} {bytes:?}");
        }
        assert!(decode(mask::NAME, b"\xff\xff\xff", &system()).is_err());
    }
}
