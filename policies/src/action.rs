//! The closed list of things a principal can do to an object.

use std::fmt;
use std::str::FromStr;

/// What a principal wants to do. A policy that names anything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Pass through a catalog or schema to what lies below it.
    Use,
    /// Read rows of a table, values of a column.
    Select,
    /// Add rows.
    Insert,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// Make a table, view, model or alert in a schema.
    Create,
    /// Remove a table, view, model or alert.
    Drop,
    /// Change a table's columns, comments or tags.
    Alter,
    /// OPTIMIZE and VACUUM.
    Maintain,
    /// Call a function or ask a model.
    Execute,
    /// Train a model.
    Train,
    /// Make a rule that watches a table and notifies.
    Alert,
    /// See and steer the server itself: audit, policies, all queries.
    Admin,
}

impl Action {
    /// Every action there is.
    pub const ALL: [Action; 13] = [
        Action::Use,
        Action::Select,
        Action::Insert,
        Action::Update,
        Action::Delete,
        Action::Create,
        Action::Drop,
        Action::Alter,
        Action::Maintain,
        Action::Execute,
        Action::Train,
        Action::Alert,
        Action::Admin,
    ];

    /// The word for it in `policy.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Use => "use",
            Action::Select => "select",
            Action::Insert => "insert",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Create => "create",
            Action::Drop => "drop",
            Action::Alter => "alter",
            Action::Maintain => "maintain",
            Action::Execute => "execute",
            Action::Train => "train",
            Action::Alert => "alert",
            Action::Admin => "admin",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown action `{word}`; known actions: use, select, insert, update, delete, create, drop, alter, maintain, execute, train, alert, admin, or * for all"
)]
pub struct UnknownAction {
    /// The word found.
    pub word: String,
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Action::ALL
            .into_iter()
            .find(|action| action.as_str() == word)
            .ok_or_else(|| UnknownAction { word: word.to_owned() })
    }
}

/// A set of actions, as `select|insert` or `*` in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Actions(u16);

impl Actions {
    /// Reads `a|b|c` or `*`. Spaces around a word are allowed, empty words are not.
    pub(crate) fn parse(text: &str) -> Result<Self, UnknownAction> {
        if text == "*" {
            return Ok(Self::all());
        }
        text.split('|').try_fold(Actions(0), |set, word| {
            Ok(Actions(set.0 | word.trim().parse::<Action>()?.bit()))
        })
    }

    pub(crate) fn all() -> Self {
        Action::ALL
            .into_iter()
            .fold(Actions(0), |set, action| Actions(set.0 | action.bit()))
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    pub(crate) fn is_all(self) -> bool {
        self == Self::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_unknown_words_refused() {
        let some = Actions::parse("select | insert").unwrap();
        assert!(some.contains(Action::Select) && some.contains(Action::Insert));
        assert!(!some.contains(Action::Delete) && !some.is_all());
        assert!(Actions::parse("*").unwrap().is_all());
        for bad in ["", "Select", "select|", "read", "select|*", "allow"] {
            assert!(Actions::parse(bad).is_err(), "{bad}");
        }
    }
}
