//! The operators: which there are, how each is read from its node, and what it does.
#![expect(clippy::indexing_slicing, reason = "axes are checked against the shape they are of")]

use super::after::After;
use super::arrays::{cast, concat, greatest, indices, places, product, sum, wanted, wider};
use super::columns::{by_column, labels, normalised, of_column, outputs};
use super::encoders::{Labels, OneHot};
use super::linear::Linear;
use super::proto::NodeProto;
use super::trees::Trees;
use super::value::{Held, Value};

/// ONNX's number of the type of truths.
const BOOL: i64 = 9;

/// A function of two numbers.
type Pair = fn(f64, f64) -> f64;
type Single = Box<dyn Fn(f64) -> f64 + Send + Sync>;

pub(super) enum Op {
    /// The first input as it is.
    Pass,
    Cast(Held),
    /// To a truth: all but zero is true.
    Truth,
    Each(Single),
    Pair(Pair, Option<Held>),
    Clip,
    Concat(i64),
    Gemm {
        alpha: f64,
        beta: f64,
        turned: [bool; 2],
    },
    Softmax,
    Reshape,
    Flatten,
    Squeeze(Vec<i64>),
    Unsqueeze(Vec<i64>),
    /// The order of the axes; turned round without one.
    Transpose(Vec<i64>),
    Sum {
        mean: bool,
        axes: Vec<i64>,
        keep: bool,
    },
    Greatest {
        axis: i64,
        keep: bool,
    },
    Gather(i64),
    Where,
    Trees {
        trees: Trees,
        labels: bool,
    },
    Linear {
        linear: Linear,
        labels: bool,
    },
    Scale {
        offset: Vec<f64>,
        scale: Vec<f64>,
    },
    Normalise(Norm),
    OneHot(OneHot),
    Labels(Labels),
    Impute {
        with: Vec<f64>,
        replaced: f64,
    },
    Columns,
    Vectorise,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Norm {
    Largest,
    Sum,
    Length,
}

/// Operators by domain, for the error that names what there is.
pub(super) const KNOWN: &str = "ai.onnx: Abs, Add, ArgMax, Cast, Clip, Concat, Constant, Div, Dropout, Elu, Equal, Exp, Flatten, Gather, Gemm, Greater, Identity, LeakyRelu, Less, Log, MatMul, Max, Min, Mul, Neg, Not, Pow, Reciprocal, ReduceMean, ReduceSum, Relu, Reshape, Sigmoid, Softmax, Softplus, Sqrt, Squeeze, Sub, Tanh, Transpose, Unsqueeze, Where; ai.onnx.ml: ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer, LabelEncoder, LinearClassifier, LinearRegressor, Normalizer, OneHotEncoder, Scaler, TreeEnsembleClassifier, TreeEnsembleRegressor, ZipMap";

impl Op {
    /// `Ok(None)` for an operator that is not among the known.
    pub(super) fn read(node: &NodeProto) -> Result<Option<Self>, String> {
        let each = |of: fn(f64) -> f64| Self::Each(Box::new(of));
        let alpha = |usual: f64| node.float("alpha").unwrap_or(usual);
        let keep = || node.int("keepdims").unwrap_or(1) != 0;
        let op = match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity" | "Dropout") | ("ai.onnx.ml", "ZipMap") => Self::Pass,
            ("" | "ai.onnx", name) => match name {
                "Cast" if node.int("to") == Some(BOOL) => Self::Truth,
                "Cast" => Self::Cast(Held::of(node.int("to").unwrap_or(1) as i32)?),
                "Abs" => each(f64::abs),
                "Exp" => each(f64::exp),
                "Log" => each(f64::ln),
                "Neg" => each(|x| -x),
                "Not" => each(|x| f64::from(u8::from(x == 0.0))),
                "Reciprocal" => each(|x| 1.0 / x),
                "Relu" => each(|x| if x > 0.0 { x } else { 0.0 * x }),
                "Sigmoid" => each(After::logistic),
                "Softplus" => each(|x| x.exp().ln_1p()),
                "Sqrt" => each(f64::sqrt),
                "Tanh" => each(f64::tanh),
                "Elu" => {
                    let alpha = alpha(1.0);
                    Self::Each(Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x }))
                }
                "LeakyRelu" => {
                    let alpha = alpha(0.01);
                    Self::Each(Box::new(move |x| if x < 0.0 { alpha * x } else { x }))
                }
                "Add" => Self::Pair(|a, b| a + b, None),
                "Sub" => Self::Pair(|a, b| a - b, None),
                "Mul" => Self::Pair(|a, b| a * b, None),
                "Div" => Self::Pair(|a, b| a / b, None),
                "Pow" => Self::Pair(f64::powf, None),
                "Min" => Self::Pair(f64::min, None),
                "Max" => Self::Pair(f64::max, None),
                "Equal" => Self::Pair(|a, b| f64::from(u8::from(a == b)), Some(Held::Whole)),
                "Less" => Self::Pair(|a, b| f64::from(u8::from(a < b)), Some(Held::Whole)),
                "Greater" => Self::Pair(|a, b| f64::from(u8::from(a > b)), Some(Held::Whole)),
                "Clip" => {
                    let (low, high) = (node.float("min"), node.float("max"));
                    if low.is_none() && high.is_none() {
                        Self::Clip
                    } else {
                        let (low, high) = (low.unwrap_or(f64::MIN), high.unwrap_or(f64::MAX));
                        Self::Each(Box::new(move |x| x.max(low).min(high)))
                    }
                }
                "Concat" => Self::Concat(node.int("axis").unwrap_or(1)),
                "MatMul" => Self::Gemm {
                    alpha: 1.0,
                    beta: 0.0,
                    turned: [false, false],
                },
                "Gemm" => Self::Gemm {
                    alpha: alpha(1.0),
                    beta: node.float("beta").unwrap_or(1.0),
                    turned: ["transA", "transB"].map(|name| node.int(name).unwrap_or(0) != 0),
                },
                "Softmax" => Self::Softmax,
                "Reshape" => Self::Reshape,
                "Flatten" => Self::Flatten,
                "Squeeze" => Self::Squeeze(node.ints("axes").to_vec()),
                "Unsqueeze" => Self::Unsqueeze(node.ints("axes").to_vec()),
                "Transpose" => Self::Transpose(node.ints("perm").to_vec()),
                "ReduceSum" | "ReduceMean" => Self::Sum {
                    mean: name == "ReduceMean",
                    axes: node.ints("axes").to_vec(),
                    keep: keep(),
                },
                "ArgMax" => Self::Greatest {
                    axis: node.int("axis").unwrap_or(0),
                    keep: keep(),
                },
                "Gather" => Self::Gather(node.int("axis").unwrap_or(0)),
                "Where" => Self::Where,
                _ => return Ok(None),
            },
            ("ai.onnx.ml", name) => match name {
                "TreeEnsembleRegressor" => Self::Trees {
                    trees: Trees::read(node, 0)?,
                    labels: false,
                },
                "TreeEnsembleClassifier" => Self::Trees {
                    trees: Trees::read(node, labels(node).map_or(0, |labels| labels.len()).max(1))?,
                    labels: true,
                },
                "LinearRegressor" => Self::Linear {
                    linear: Linear::read(node, node.int("targets").unwrap_or(1).clamp(1, 1_000) as usize, false)?,
                    labels: false,
                },
                "LinearClassifier" => Self::Linear {
                    linear: Linear::read(node, labels(node).map_or(1, |labels| labels.len()), true)?,
                    labels: true,
                },
                "Scaler" => Self::Scale {
                    offset: node.floats("offset"),
                    scale: node.floats("scale"),
                },
                "Normalizer" => Self::Normalise(match node.text("norm").as_deref() {
                    None | Some("MAX") => Norm::Largest,
                    Some("L1") => Norm::Sum,
                    Some("L2") => Norm::Length,
                    Some(other) => return Err(format!("the norm {other}")),
                }),
                "Binarizer" => {
                    let threshold = node.float("threshold").unwrap_or(0.0);
                    Self::Each(Box::new(move |x| f64::from(u8::from(x > threshold))))
                }
                "OneHotEncoder" => Self::OneHot(OneHot::read(node)),
                "LabelEncoder" => Self::Labels(Labels::read(node)?),
                "Imputer" => {
                    let whole: Vec<f64> = node.ints("imputed_value_int64s").iter().map(|n| *n as f64).collect();
                    let floats = node.floats("imputed_value_floats");
                    Self::Impute {
                        replaced: node
                            .float("replaced_value_float")
                            .or(node.int("replaced_value_int64").map(|n| n as f64))
                            .unwrap_or(0.0),
                        with: if floats.is_empty() { whole } else { floats },
                    }
                }
                "ArrayFeatureExtractor" => Self::Columns,
                "FeatureVectorizer" => Self::Vectorise,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(op))
    }

    /// The outputs; the labels that a classifier gives beside its scores are not made.
    pub(super) fn run(&self, inputs: &[Option<&Value>], strict: bool) -> Result<Vec<Option<Value>>, String> {
        let input = |place: usize| {
            inputs
                .get(place)
                .copied()
                .flatten()
                .ok_or_else(|| format!("it has no input {}", place + 1))
        };
        let given = || inputs.iter().copied().flatten();
        let optional = |place: usize| inputs.get(place).copied().flatten();
        let x = input(0)?;
        let value = match self {
            Self::Pass => x.clone(),
            Self::Cast(held) => cast(x, *held)?,
            Self::Truth => {
                let numbers = x.needs_numbers()?.iter();
                let truths = numbers.map(|x| f64::from(u8::from(*x != 0.0))).collect();
                Value::new(x.shape.clone(), Held::Whole, truths)?
            }
            Self::Each(of) => x.map(of)?,
            Self::Pair(of, held) => {
                let mut all = x.clone();
                for other in given().skip(1) {
                    all = all.with(other, held.unwrap_or(wider(all.held, other.held)), of)?;
                }
                all
            }
            Self::Clip => {
                let bound = |place: usize, usual: f64| match optional(place) {
                    Some(value) => Ok(value.needs_numbers()?.first().copied().unwrap_or(usual)),
                    None => Ok::<f64, String>(usual),
                };
                let (low, high) = (bound(1, f64::MIN)?, bound(2, f64::MAX)?);
                x.map(|x| x.max(low).min(high))?
            }
            Self::Concat(axis) => concat(&given().collect::<Vec<_>>(), *axis)?,
            Self::Gemm { alpha, beta, turned } => {
                let product = product(x, input(1)?, *alpha, *turned)?;
                match optional(2) {
                    Some(more) if *beta != 0.0 => product.with(more, product.held, |a, b| a + beta * b)?,
                    _ => product,
                }
            }
            Self::Softmax => {
                let columns = x.shape.last().copied().unwrap_or(1).max(1);
                let mut numbers = x.needs_numbers()?.to_vec();
                numbers
                    .chunks_mut(columns)
                    .for_each(|row| After::softmax(row, |_| false));
                Value::new(x.shape.clone(), x.held, numbers)?
            }
            Self::Reshape => x.reshaped(wanted(x, input(1)?.needs_numbers()?)?)?,
            Self::Flatten => {
                let rows = x.shape.first().copied().unwrap_or(1);
                x.reshaped(vec![rows, x.shape.iter().skip(1).product()])?
            }
            Self::Squeeze(axes) => {
                let axes = places(x, axes, optional(1))?;
                let all = axes.is_empty();
                let gone = |axis: usize, size: usize| size == 1 && (all || axes.contains(&axis));
                let shape = x.shape.iter().enumerate();
                x.reshaped(
                    shape
                        .filter(|(axis, size)| !gone(*axis, **size))
                        .map(|(_, size)| *size)
                        .collect(),
                )?
            }
            Self::Unsqueeze(axes) => {
                let mut axes = match optional(1) {
                    Some(told) => told.needs_numbers()?.iter().map(|n| *n as i64).collect(),
                    None => axes.clone(),
                };
                axes.sort_unstable();
                let mut shape = x.shape.clone();
                for axis in axes {
                    let rank = shape.len() as i64;
                    let place = if axis < 0 { axis + rank + 1 } else { axis };
                    if !(0..=rank).contains(&place) {
                        return Err(format!("there is no place for an axis {axis}"));
                    }
                    shape.insert(place as usize, 1);
                }
                x.reshaped(shape)?
            }
            Self::Transpose(order) => x.transposed(order)?,
            Self::Sum { mean, axes, keep } => sum(x, &places(x, axes, optional(1))?, *mean, *keep)?,
            Self::Greatest { axis, keep } => greatest(x, *axis, *keep)?,
            Self::Gather(axis) => {
                let told = input(1)?;
                let axis = x.axis(*axis)?;
                let found = x.picked(axis, &indices(told.needs_numbers()?, x.shape[axis])?)?;
                let mut shape = x.shape.clone();
                shape.splice(axis..=axis, told.shape.iter().copied());
                found.reshaped(shape)?
            }
            Self::Where => {
                let (yes, no) = (input(1)?, input(2)?);
                // What is not chosen must not reach the sum, even if it is no number.
                let kept = x.with(yes, yes.held, |c, y| if c == 0.0 { 0.0 } else { y })?;
                let rest = x.with(no, no.held, |c, n| if c == 0.0 { n } else { 0.0 })?;
                kept.with(&rest, wider(yes.held, no.held), |a, b| a + b)?
            }
            Self::Trees { trees, labels } => return Ok(outputs(trees.run(x)?, *labels)),
            Self::Linear { linear, labels } => return Ok(outputs(linear.run(x)?, *labels)),
            Self::Scale { offset, scale } => by_column(x, |column, x| {
                (x - of_column(offset, column, 0.0)) * of_column(scale, column, 1.0)
            })?,
            Self::Normalise(norm) => normalised(x, *norm)?,
            Self::OneHot(encoder) => encoder.run(x, strict)?,
            Self::Labels(encoder) => encoder.run(x)?,
            Self::Impute { with, replaced } => by_column(x, |column, x| {
                if x == *replaced || (x.is_nan() && replaced.is_nan()) {
                    of_column(with, column, x)
                } else {
                    x
                }
            })?,
            Self::Columns => {
                let axis = x.axis(-1)?;
                x.picked(axis, &indices(input(1)?.needs_numbers()?, x.shape[axis])?)?
            }
            Self::Vectorise => {
                let flat: Result<Vec<Value>, String> = given().map(|value| cast(value, Held::Single)).collect();
                let flat = flat?;
                concat(&flat.iter().collect::<Vec<_>>(), 1)?
            }
        };
        Ok(vec![Some(value)])
    }
}
