//! The common shape of many JSON values: what type each field has over all records.

use std::collections::HashMap;

use crate::formats::json::Json;
use crate::formats::moment::{self, Order};
use crate::formats::{Limits, ReadError};

/// Integers beyond this are not exact as f64.
const EXACT_F64_MAX: u64 = 1 << 53;

/// The shape of a field over all records seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum JsonShape {
    /// Only null or nothing so far.
    Null,
    Bool,
    /// `exact`: all of them may become floats without loss.
    Int {
        exact: bool,
    },
    Float,
    Text(TextShape),
    List(Box<JsonShape>),
    Struct(Fields),
    /// Several kinds: kept as text, each value as it was written.
    Mixed,
}

/// What all strings of a field have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextShape {
    Date,
    /// Some have a time (dates among them count as midnight); `zoned`: all have an offset.
    Timestamp {
        zoned: bool,
    },
    Plain,
}

/// Fields in the order first seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields {
    names: Vec<String>,
    shapes: Vec<JsonShape>,
    index: HashMap<String, usize>,
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &JsonShape)> {
        self.names.iter().map(String::as_str).zip(&self.shapes)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Takes one record into account.
    ///
    /// # Errors
    /// `TooLarge` for more fields than the limit.
    pub(super) fn see(&mut self, members: &[(String, Json)], limits: &Limits) -> Result<(), ReadError> {
        for (name, value) in members {
            let at = match self.position(name) {
                Some(at) => at,
                None => self.add(name, limits)?,
            };
            if let Some(shape) = self.shapes.get_mut(at) {
                shape.see(value, limits)?;
            }
        }
        Ok(())
    }

    /// Fields that never had a value; inside a struct they are left out, since no file format can hold them.
    fn without_empty(&self) -> Self {
        let mut kept = Self::default();
        for (name, shape) in self.iter() {
            let shape = shape.pruned();
            if shape != JsonShape::Null {
                kept.index.insert(name.to_owned(), kept.names.len());
                kept.names.push(name.to_owned());
                kept.shapes.push(shape);
            }
        }
        kept
    }

    /// Prunes below the top level; columns themselves stay, even without a value.
    pub(super) fn pruned(mut self) -> Self {
        for shape in &mut self.shapes {
            *shape = shape.pruned();
        }
        self
    }

    fn add(&mut self, name: &str, limits: &Limits) -> Result<usize, ReadError> {
        let at = self.names.len();
        if at >= limits.columns_max {
            return Err(ReadError::TooLarge {
                what: "the number of different keys",
                seen: format!("more, such as {name:?}; keys look like values"),
                max: limits.columns_max as u64,
            });
        }
        self.names.push(name.to_owned());
        self.shapes.push(JsonShape::Null);
        self.index.insert(name.to_owned(), at);
        Ok(at)
    }
}

impl JsonShape {
    fn see(&mut self, value: &Json, limits: &Limits) -> Result<(), ReadError> {
        if *self == Self::Mixed {
            return Ok(());
        }
        match (&mut *self, value) {
            (_, Json::Null) => return Ok(()),
            (Self::Struct(fields), Json::Object(members)) => return fields.see(members, limits),
            (Self::List(item), Json::List(items)) => {
                return items.iter().try_for_each(|value| item.see(value, limits));
            }
            (Self::Null, Json::Object(members)) => {
                let mut fields = Fields::default();
                fields.see(members, limits)?;
                *self = Self::Struct(fields);
                return Ok(());
            }
            (Self::Null, Json::List(items)) => {
                let mut item = Self::Null;
                items.iter().try_for_each(|value| item.see(value, limits))?;
                *self = Self::List(Box::new(item));
                return Ok(());
            }
            _ => {}
        }
        let seen = Self::of_scalar(value);
        let before = std::mem::replace(self, Self::Null);
        *self = before.joined(seen);
        Ok(())
    }

    fn of_scalar(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Int(int) => Self::Int {
                exact: int.unsigned_abs() <= EXACT_F64_MAX,
            },
            Json::Float(_) => Self::Float,
            Json::Text(text) => Self::Text(TextShape::of(text)),
            // A list or object where a scalar was, and an integer that no i64 holds, become text.
            Json::Large(_) | Json::List(_) | Json::Object(_) => Self::Mixed,
        }
    }

    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, other) => other,
            (Self::Bool, Self::Bool) => Self::Bool,
            (Self::Int { exact: a }, Self::Int { exact: b }) => Self::Int { exact: a && b },
            (Self::Float, Self::Float | Self::Int { exact: true }) | (Self::Int { exact: true }, Self::Float) => {
                Self::Float
            }
            (Self::Text(a), Self::Text(b)) => Self::Text(a.joined(b)),
            _ => Self::Mixed,
        }
    }

    fn pruned(&self) -> Self {
        match self {
            Self::List(item) => match item.pruned() {
                Self::Null => Self::Null,
                item => Self::List(Box::new(item)),
            },
            Self::Struct(fields) => {
                let fields = fields.without_empty();
                if fields.len() == 0 {
                    Self::Null
                } else {
                    Self::Struct(fields)
                }
            }
            other => other.clone(),
        }
    }
}

impl TextShape {
    fn of(text: &str) -> Self {
        match moment::parse(text, Order::YearFirst) {
            None => Self::Plain,
            Some(moment) if moment.has_time => Self::Timestamp {
                zoned: moment.offset_s.is_some(),
            },
            Some(_) => Self::Date,
        }
    }

    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Date, Self::Date) => Self::Date,
            (Self::Timestamp { zoned: a }, Self::Timestamp { zoned: b }) if a == b => Self::Timestamp { zoned: a },
            (Self::Date, Self::Timestamp { zoned: false }) | (Self::Timestamp { zoned: false }, Self::Date) => {
                Self::Timestamp { zoned: false }
            }
            _ => Self::Plain,
        }
    }
}
