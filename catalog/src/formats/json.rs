//! JSON text to values: exact, bounded in depth and string size, duplicate keys refused (serde_json's own value would
//! keep the last one and say nothing).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::formats::{Limits, ReadError};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer beyond i64.
    Large(u64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(super) fn is_scalar(&self) -> bool {
        !matches!(self, Self::Object(_) | Self::List(_))
    }

    /// The value as a cell of a text column: a string as it is, anything else as compact JSON.
    pub(super) fn to_cell(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            other => serde_json::to_string(other).ok(),
        }
    }
}

/// All values of a text, one after the other (one for JSON, many for NDJSON).
///
/// # Errors
/// `Json` with line and column.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Vec<Json>, ReadError> {
    let mut source = serde_json::Deserializer::from_str(text);
    let mut values = Vec::new();
    // `end` only looks at what follows; it is an error while values remain.
    while source.end().is_err() {
        let seed = Seed { depth: 0, limits };
        let value = seed.deserialize(&mut source);
        values.push(value.map_err(|error| in_its_line(text).unwrap_or_else(|| described(&error)))?);
        if values.len() > limits.rows_max {
            return Err(ReadError::TooLarge {
                what: "the number of records",
                seen: "larger".to_owned(),
                max: limits.rows_max as u64,
            });
        }
    }
    Ok(values)
}

/// What is wrong with the first line that is no value by itself, in a text whose first line is one: where each line is a record,
/// one that is cut takes in those below it, and the error would be told of them.
fn in_its_line(text: &str) -> Option<ReadError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let broken = |line: &str| serde_json::from_str::<IgnoredAny>(line).err();
    let (_, first) = lines.next()?;
    if broken(first).is_some() {
        return None;
    }
    let (at, error) = lines.find_map(|(at, line)| Some((at, broken(line)?)))?;
    // What the last line lacks is missing at the end of the file.
    lines.next().is_some().then(|| {
        let why = error.to_string();
        ReadError::Json {
            line: at as u64 + 1,
            column: error.column() as u64,
            why: why.split(" at line ").next().unwrap_or_default().to_owned(),
        }
    })
}

fn described(error: &serde_json::Error) -> ReadError {
    let text = error.to_string();
    let why = text.split(" at line ").next().unwrap_or_default().to_owned();
    ReadError::Json {
        line: error.line() as u64,
        column: error.column() as u64,
        why: if error.is_eof() {
            format!("{why}; the file stops early")
        } else {
            why
        },
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    limits: &'a Limits,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.limits.nesting_max {
            return Err(E::custom(format_args!(
                "nested deeper than the limit of {}",
                self.limits.nesting_max
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn check_text<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.len() > self.limits.cell_bytes_max {
            return Err(E::custom(format_args!(
                "a string of {} bytes, the limit is {}",
                text.len(),
                self.limits.cell_bytes_max
            )));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Large(value), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json, E> {
        self.check_text(value)?;
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let seed = self.deeper()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} stands twice in one object"
                )));
            }
            if object.len() >= self.limits.columns_max {
                return Err(A::Error::custom(format_args!(
                    "more than {} keys in one object",
                    self.limits.columns_max
                )));
            }
            self.check_text(&key)?;
            let value = members.next_value_seed(seed)?;
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Large(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
