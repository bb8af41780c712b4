//! The key of hash masks: the file `secret` in the policy directory, else the environment.

use std::fmt;
use std::path::Path;

use crate::problem::{PolicyErrors, Problem};

/// The file's name in the policy directory.
pub(crate) const FILE: &str = "secret";
/// The environment variable that is read when there is no file.
pub(crate) const VARIABLE: &str = "LABHOUSE_POLICY_SECRET";
/// Fewer characters could be guessed by trying, and every hash mask with them.
pub(crate) const SECRET_CHARS_MIN: usize = 16;
/// What to do when there is none.
pub(crate) const REMEDY: &str = "write at least 16 random characters into the file `secret` beside policy.csv (for example: openssl rand -hex 32 > secret), or set LABHOUSE_POLICY_SECRET";

/// The secret text. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= SECRET_CHARS_MIN).then(|| Secret(text.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads the raw text of the secret, if there is one.
pub(crate) fn read(dir: &Path, problems: &mut PolicyErrors) -> Option<String> {
    match std::fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => std::env::var(VARIABLE).ok(),
        Err(e) => {
            problems.push(Problem::error(FILE, 0, format!("the file cannot be read: {e}"), REMEDY));
            None
        }
    }
}
