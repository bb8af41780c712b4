//! What operators on the columns of a table do: scale, fill, normalise, name.

use std::collections::HashMap;

use super::arrays::wider;
use super::ops::Norm;
use super::proto::NodeProto;
use super::value::{Held, Value};

/// A classifier's class labels, as texts.
pub(super) fn labels(node: &NodeProto) -> Option<Vec<String>> {
    let texts = node.texts("classlabels_strings");
    if !texts.is_empty() {
        return Some(texts);
    }
    let whole = [node.ints("classlabels_int64s"), node.ints("classlabels_ints")].concat();
    (!whole.is_empty()).then(|| whole.iter().map(i64::to_string).collect())
}

pub(super) fn outputs(scores: Value, labels: bool) -> Vec<Option<Value>> {
    if labels {
        vec![None, Some(scores)]
    } else {
        vec![Some(scores)]
    }
}

pub(super) fn by_column(x: &Value, of: impl Fn(usize, f64) -> f64) -> Result<Value, String> {
    let columns = x.shape.last().copied().unwrap_or(1).max(1);
    let numbers = x.needs_numbers()?.iter().enumerate();
    Value::new(
        x.shape.clone(),
        wider(x.held, Held::Single),
        numbers.map(|(place, x)| of(place % columns, *x)).collect(),
    )
}

/// A list's number for a column; one number is for all.
pub(super) fn of_column(list: &[f64], column: usize, usual: f64) -> f64 {
    match list {
        [one] => *one,
        list => list.get(column).copied().unwrap_or(usual),
    }
}

pub(super) fn normalised(x: &Value, norm: Norm) -> Result<Value, String> {
    let columns = x.shape.last().copied().unwrap_or(1).max(1);
    let mut numbers = x.needs_numbers()?.to_vec();
    for row in numbers.chunks_mut(columns) {
        let whole = match norm {
            Norm::Largest => row.iter().map(|n| n.abs()).fold(0.0, f64::max),
            Norm::Sum => row.iter().map(|n| n.abs()).sum(),
            Norm::Length => row.iter().map(|n| n * n).sum::<f64>().sqrt(),
        };
        if whole > 0.0 {
            row.iter_mut().for_each(|n| *n /= whole);
        }
    }
    Value::new(x.shape.clone(), wider(x.held, Held::Single), numbers)
}

/// Places of texts in a list.
pub(super) fn numbered(texts: &[String]) -> HashMap<String, usize> {
    texts
        .iter()
        .enumerate()
        .map(|(place, text)| (text.clone(), place))
        .collect()
}
