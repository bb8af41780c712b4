//! Who asks. The server makes a [`Principal`] after authentication; nothing a client sends is copied into one unproven.

use std::borrow::Cow;
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

/// The attribute with the roles that a login itself brings, a list: each as a `g` line ends, `role:NAME, DOMAIN`. No user of the
/// users file and no claim can bring an attribute of this name.
pub const ROLES_BROUGHT: &str = "login:roles";

/// Who asks, in Casbin's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// `user:` and the login, or a role.
    pub name: String,
    /// Roles beside those of the policy, each with its domain.
    brought: Vec<(String, String)>,
}

impl Subject {
    /// One that brings nothing.
    pub(crate) fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            brought: Vec::new(),
        }
    }

    /// The roles that `member` brings to `domain`: only who asks brings any.
    pub(crate) fn brings<'a>(&'a self, member: &'a str, domain: &'a str) -> impl Iterator<Item = &'a String> {
        let here = move |(_, at): &&(String, String)| member == self.name && (at == "*" || at == domain);
        self.brought.iter().filter(here).map(|(role, _)| role)
    }

    /// The domains of the roles brought.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        self.brought.iter().map(|(_, domain)| domain.as_str())
    }
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

    /// The subject in Casbin's words: `user:` and the login, with the roles that the login brings.
    pub(crate) fn subject(&self) -> Subject {
        let brought = self.brought().iter().filter_map(|text| text.split_once(", "));
        // Nobody brings another person.
        let brought = brought.filter(|(role, _)| role.starts_with(ROLE));
        Subject {
            name: format!("{USER}{}", self.name),
            brought: brought
                .map(|(role, domain)| (role.to_owned(), domain.to_owned()))
                .collect(),
        }
    }

    /// What tells those apart for whom decisions may differ.
    pub(crate) fn key(&self) -> Cow<'_, str> {
        match self.brought() {
            [] => Cow::Borrowed(&self.name),
            // No login holds such a character.
            brought => Cow::Owned(format!("{}\n{}", self.name, brought.join("\n"))),
        }
    }

    fn brought(&self) -> &[String] {
        match self.attributes.get(ROLES_BROUGHT) {
            Some(Attribute::List(roles)) => roles,
            Some(Attribute::Boolean(_) | Attribute::Integer(_) | Attribute::Text(_)) | None => &[],
        }
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
