//! `OneHotEncoder` and `LabelEncoder`.

use std::collections::HashMap;

use super::columns::numbered;
use super::proto::NodeProto;
use super::value::{Held, Value};

/// A place for each category.
pub(super) struct OneHot {
    texts: HashMap<String, usize>,
    numbers: Vec<f64>,
    count: usize,
    /// What is no category has no place; otherwise it is an error.
    zeros: bool,
}

/// From each key to its value.
pub(super) struct Labels {
    texts: HashMap<String, usize>,
    numbers: Vec<f64>,
    to_texts: Vec<String>,
    to_numbers: Vec<f64>,
    held: Held,
    other_text: String,
    other_number: f64,
}

impl OneHot {
    pub(super) fn read(node: &NodeProto) -> Self {
        let texts = node.texts("cats_strings");
        let numbers: Vec<f64> = node.ints("cats_int64s").iter().map(|n| *n as f64).collect();
        Self {
            count: texts.len().max(numbers.len()),
            texts: numbered(&texts),
            numbers,
            zeros: node.int("zeros").unwrap_or(1) != 0,
        }
    }

    /// What is no category of an encoder without zeros is an error if it is `strict`.
    pub(super) fn run(&self, x: &Value, strict: bool) -> Result<Value, String> {
        let mut shape = x.shape.clone();
        shape.push(self.count);
        let mut numbers = vec![0.0; super::value::count(&shape)?];
        let place = |at: usize| match x.held {
            Held::Text => x.texts.get(at).and_then(|text| self.texts.get(text)).copied(),
            Held::Single | Held::Double | Held::Whole => {
                let number = x.numbers.get(at)?.trunc();
                self.numbers.iter().position(|known| *known == number)
            }
        };
        let elements = x.texts.len().max(x.numbers.len());
        for at in 0..elements {
            match place(at) {
                Some(place) => {
                    if let Some(slot) = numbers.get_mut(at * self.count + place) {
                        *slot = 1.0;
                    }
                }
                None if self.zeros || !strict => {}
                None => return Err("a value is none of its categories".to_owned()),
            }
        }
        Value::new(shape, Held::Single, numbers)
    }
}

impl Labels {
    pub(super) fn read(node: &NodeProto) -> Result<Self, String> {
        let whole = |name: &str| -> Vec<f64> { node.ints(name).iter().map(|n| *n as f64).collect() };
        let either = |a: Vec<f64>, b: Vec<f64>| if a.is_empty() { b } else { a };
        // The first version of the operator: a list of classes, from texts to places.
        let classes = node.texts("classes_strings");
        let (texts, to_numbers) = if classes.is_empty() {
            let to = either(node.floats("values_floats"), whole("values_int64s"));
            (node.texts("keys_strings"), to)
        } else {
            let to = (0..classes.len()).map(|place| place as f64).collect();
            (classes, to)
        };
        let numbers = either(node.floats("keys_floats"), whole("keys_int64s"));
        let to_texts = node.texts("values_strings");
        let keys = texts.len().max(numbers.len());
        if keys == 0 || keys != to_texts.len().max(to_numbers.len()) {
            return Err("it has not as many keys as values".to_owned());
        }
        let held = match (to_texts.is_empty(), node.floats("values_floats").is_empty()) {
            (false, _) => Held::Text,
            (true, false) => Held::Single,
            (true, true) => Held::Whole,
        };
        Ok(Self {
            texts: numbered(&texts),
            numbers,
            to_texts,
            to_numbers,
            held,
            other_text: node.text("default_string").unwrap_or_else(|| "_Unused".to_owned()),
            other_number: match held {
                Held::Single => node.float("default_float").unwrap_or(-0.0),
                _ => node.int("default_int64").map_or(-1.0, |n| n as f64),
            },
        })
    }

    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let places: Vec<Option<usize>> = match x.held {
            Held::Text => x.texts.iter().map(|text| self.texts.get(text).copied()).collect(),
            Held::Single | Held::Double | Held::Whole => {
                let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
                let place = |n: &f64| self.numbers.iter().position(|known| same(*known, *n));
                x.numbers.iter().map(place).collect()
            }
        };
        if self.held == Held::Text {
            let text = |place: &Option<usize>| {
                let known = place.and_then(|place| self.to_texts.get(place));
                known.unwrap_or(&self.other_text).clone()
            };
            return Value::of_texts(x.shape.clone(), places.iter().map(text).collect());
        }
        let number = |place: &Option<usize>| {
            let known = place.and_then(|place| self.to_numbers.get(place));
            known.copied().unwrap_or(self.other_number)
        };
        Value::new(x.shape.clone(), self.held, places.iter().map(number).collect())
    }
}
