//! Who asks. The server makes a [`Principal`] after authentication; nothing a client sends is copied into one unproven.

use std::collections::BTreeMap;

use datafusion::scalar::ScalarValue;
use serde::{Deserialize, Serialize};

/// An authenticated person or service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The bare login, e.g. `ana`. The typed prefix `user:` is added here and never by a client, so a login named
    /// `role:lake_admin` is `user:role:lake_admin` and holds nothing.
    pub name: String,
    /// Facts about the person that row filters may use as `$user.NAME`.
    #[serde(default)]
    pub attributes: BTreeMap<String, Attribute>,
}

/// The value of one attribute of a [`Principal`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Several texts, for `= ANY($user.x)` or `IN ($user.x)`.
    List(Vec<String>),
}

impl Principal {
    /// A principal without attributes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            attributes: BTreeMap::new(),
        }
    }

    /// The same principal with one attribute more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Attribute) -> Self {
        self.attributes.insert(name.into(), value);
        self
    }

    /// The subject in Casbin's words: `user:` and the login.
    pub fn subject(&self) -> String {
        format!("{USER}{}", self.name)
    }

    /// The value of `$user.NAME`; `name` itself is always the login. `None` when the principal has no such attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<Vec<ScalarValue>> {
        if name == "name" {
            return Some(vec![ScalarValue::from(self.name.as_str())]);
        }
        Some(match self.attributes.get(name)? {
            Attribute::Boolean(value) => vec![ScalarValue::from(*value)],
            Attribute::Integer(value) => vec![ScalarValue::from(*value)],
            Attribute::Text(value) => vec![ScalarValue::from(value.as_str())],
            Attribute::List(values) => values.iter().map(|v| ScalarValue::from(v.as_str())).collect(),
        })
    }

    pub(crate) fn is_list(&self, name: &str) -> bool {
        matches!(self.attributes.get(name), Some(Attribute::List(_)))
    }
}

/// Prefix of a person in a policy.
pub(crate) const USER: &str = "user:";
/// Prefix of a role in a policy.
pub(crate) const ROLE: &str = "role:";
