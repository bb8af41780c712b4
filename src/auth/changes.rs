//! What changed between two contents of the users file: who, and what kind of thing; never a hash or a value.

use std::collections::BTreeMap;

use super::users::Users;

/// The users file was edited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UsersChange {
    /// It acts: by login, what is `added`, `removed`, or another `password`, `attributes`, `tokens`.
    Taken(BTreeMap<String, Vec<&'static str>>),
    /// It is not valid; the last good content stays in force.
    Refused,
}

impl UsersChange {
    /// None when nobody's login changed: a comment, or a file that was only touched.
    pub(super) fn between(old: &Users, new: &Users) -> Option<Self> {
        let (old, new) = (old.parts(), new.parts());
        let mut changed: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for (name, now) in &new {
            let words = match old.get(name) {
                None => vec!["added"],
                Some(before) => {
                    let pairs = before.iter().zip(now);
                    let other = pairs.filter(|((_, before), (_, now))| before != now);
                    other.map(|((word, _), _)| *word).collect()
                }
            };
            if !words.is_empty() {
                changed.insert((*name).to_owned(), words);
            }
        }
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        changed.extend(gone.map(|name| ((*name).to_owned(), vec!["removed"])));
        (!changed.is_empty()).then_some(Self::Taken(changed))
    }
}
