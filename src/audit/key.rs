//! The keys of the trail: one chains events, one hides statements.
//!
//! Without a key whoever can write the lake can rewrite a whole chain and every hash in it. With one he cannot, unless
//! he also holds the key. It comes from LABHOUSE_AUDIT_KEY, else from the policies' secret; it is in neither case in the
//! lake. LABHOUSE_AUDIT_KEY may hold several, separated by commas: the first seals, all are tried by `audit verify`.

use std::collections::BTreeMap;

use super::event::hmac;
use crate::auth::hex;

/// The variable that holds the key.
pub(crate) const VARIABLE: &str = "LABHOUSE_AUDIT_KEY";
/// Fewer characters could be guessed by trying.
const CHARS_MIN: usize = 16;
/// What a chain without a key says in place of its key's name.
pub(crate) const UNKEYED: &str = "none";

/// The keys at hand.
pub(crate) struct Keys {
    chain: Option<[u8; 32]>,
    /// Every key that may have sealed a chain, by its name.
    known: BTreeMap<String, [u8; 32]>,
    statement: [u8; 32],
    lasting: bool,
}

impl Keys {
    /// The keys that the variable and the policies' secret give.
    ///
    /// # Errors
    /// A key in the variable that is too short, in words.
    pub(crate) fn new(variable: Option<&str>, secret: Option<&str>) -> Result<Self, String> {
        let given = variable.unwrap_or_default().split(',').map(str::trim);
        let given: Vec<&str> = given.filter(|word| !word.is_empty()).collect();
        if given.iter().any(|word| word.len() < CHARS_MIN) {
            return Err(format!(
                "{VARIABLE} holds a key of fewer than {CHARS_MIN} characters; make one with: openssl rand -hex 32"
            ));
        }
        let secret = secret.map(str::trim).filter(|word| word.len() >= CHARS_MIN);
        let words: Vec<&str> = given.into_iter().chain(secret).collect();
        let key = |word: &&str| hmac(word.as_bytes(), b"labhouse audit chain");
        let statement = words
            .first()
            .map(|word| hmac(word.as_bytes(), b"labhouse audit statement"));
        Ok(Self {
            chain: words.first().map(key),
            known: words.iter().map(key).map(|key| (name(&key), key)).collect(),
            lasting: statement.is_some(),
            // Known to this process alone: nobody can try words on such a hash, and it ends with the process.
            statement: statement.unwrap_or_else(rand::random),
        })
    }

    /// The key that seals new events.
    pub(crate) fn chain(&self) -> Option<&[u8; 32]> {
        self.chain.as_ref()
    }

    /// The name of that key, which tells nothing of it.
    pub(crate) fn chain_name(&self) -> String {
        self.chain.as_ref().map_or_else(|| UNKEYED.to_owned(), name)
    }

    /// The key of that name, if it is at hand.
    pub(crate) fn named(&self, name: &str) -> Option<&[u8; 32]> {
        self.known.get(name)
    }

    /// The names of all keys at hand.
    pub(crate) fn names(&self) -> Vec<String> {
        self.known.keys().cloned().collect()
    }

    /// A text's keyed hash: equal texts are seen to be equal, and without the key no list of guesses can be tried on it.
    /// `h:` is by a key that lasts, `p:` by one that this process made and forgets.
    pub(crate) fn hide(&self, text: &str) -> String {
        let kind = if self.lasting { "h" } else { "p" };
        format!("{kind}:{}", hex(&hmac(&self.statement, text.as_bytes())))
    }
}

fn name(key: &[u8; 32]) -> String {
    hex(&hmac(key, b"labhouse audit key name")).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_seals_and_all_are_known() {
        let (old, new) = ("old-old-old-old-old", "new-new-new-new-new");
        let before = Keys::new(Some(old), None).unwrap();
        let after = Keys::new(Some(&format!("{new}, {old}")), None).unwrap();
        assert_ne!(before.chain_name(), after.chain_name());
        assert_eq!(after.named(&before.chain_name()), before.chain());
        assert!(before.named(&after.chain_name()).is_none());
        assert_eq!(before.hide("x"), Keys::new(None, Some(old)).unwrap().hide("x"));
        assert!(Keys::new(Some("short"), None).is_err());
    }

    #[test]
    fn without_a_key_statements_are_hidden_by_one_that_no_one_has() {
        let (one, other) = (Keys::new(None, None).unwrap(), Keys::new(None, None).unwrap());
        assert_eq!(one.chain_name(), UNKEYED);
        assert!(one.hide("x").starts_with("p:"));
        assert_eq!(one.hide("x"), one.hide("x"));
        assert_ne!(one.hide("x"), other.hide("x"));
    }
}
