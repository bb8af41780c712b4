//! The users file: logins, Argon2id hashes, attributes and personal tokens.
//!
//! Beside a hash stands a SCRAM verifier for the PostgreSQL door, unless the login was added without. A stolen file lets
//! words be tried on either; at the verifier a guess costs less.
//!
//! `labhouse user` writes it whole, by a temporary file and a rename; a running server notices by length and time
//! of change and reads it again. A file that does not parse leaves the last good one in force.

mod verifiers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use chrono::{DateTime, Utc};
use labhouse_policies::{Attribute, Principal};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::changes::UsersChange;
use super::marks;
use super::scram::Verifier;
use crate::replace::{Readers, replace};

/// Marks a personal token, so that a leaked one can be found by scanners.
pub(super) const TOKEN_PREFIX: &str = "labhouse_";
/// Longer passwords are refused: hashing cost must not be the caller's choice.
const PASSWORD_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 64;

/// The users file, read again when it changes.
pub(crate) struct UsersFile {
    path: PathBuf,
    state: Mutex<(Stamp, Arc<Users>)>,
    /// Hears of every edit.
    told: OnceLock<Told>,
}

/// Hears that the users file was edited.
pub(super) type Told = Box<dyn Fn(UsersChange) + Send + Sync>;

type Stamp = Option<(u64, SystemTime)>;

/// One content of the users file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Users {
    /// From which the salts of verifiers come, in hex. It stays when passwords change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt_key: Option<String>,
    #[serde(default)]
    users: BTreeMap<String, User>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    /// Argon2id in PHC form; the plain password is nowhere.
    password: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram: Option<Scram>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Attribute>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, Token>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scram {
    /// The SHA-256 of the Argon2id hash that it stands beside: with another hash it is void.
    of: String,
    verifier: Verifier,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    sha256: String,
    /// Of the token as a password, with the salt of its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram: Option<Verifier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    /// Empty: all that the person may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    schemas: Vec<String>,
    /// Folders below `landing/`; then the token puts files there and does nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lands: Vec<String>,
}

/// What a personal token is good for.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenScope {
    /// Days until it expires; none: until it is revoked.
    pub(crate) days: Option<u32>,
    pub(crate) read_only: bool,
    /// Schemas it is limited to, then for reading only; empty: all.
    pub(crate) schemas: Vec<String>,
    /// Folders below `landing/` that it may put files into, and then nothing else; empty: no such token.
    pub(crate) lands: Vec<String>,
}

/// What can be wrong with a users file or a change to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("the users file {path} cannot be read: {source}; create it with `labhouse user add NAME --config …`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the users file {path} cannot be written: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the users file {path} is not valid: {message}")]
    Parse { path: PathBuf, message: String },
    #[error(
        "`{0}` cannot be a login: use 1 to {NAME_BYTES_MAX} of a-z, 0-9, `.`, `_`, `-`, `@`, starting with a letter"
    )]
    Name(String),
    #[error("`{0}` cannot be an attribute: names with a colon are the server's own")]
    Attribute(String),
    #[error("{name} has no token `{label}`; `labhouse user list` shows the labels")]
    UnknownToken { name: String, label: String },
    #[error("`{0}` is no folder below landing/; write for example chemistry/plate_readings")]
    Folder(String),
    #[error("the password must have 5 to {PASSWORD_BYTES_MAX} bytes")]
    Password,
    #[error("`{0}` is not in the users file; `labhouse user list` shows who is")]
    Unknown(String),
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

impl UsersFile {
    pub(super) fn open(path: &Path) -> Result<Self, UserError> {
        let stamp = stamp(path);
        let users = Users::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new((stamp, Arc::new(users))),
            told: OnceLock::new(),
        })
    }

    /// From now on `told` hears of every edit, at the moment that it acts; only the first call counts.
    pub(super) fn tell(&self, told: Told) {
        let _ = self.told.set(told);
    }

    /// The users as the file has them now.
    pub(super) fn current(&self) -> Arc<Users> {
        let now = stamp(&self.path);
        let mut state = self.state.lock();
        if state.0 == now {
            return Arc::clone(&state.1);
        }
        state.0 = now;
        let change = match Users::read(&self.path) {
            Ok(users) => {
                let old = std::mem::replace(&mut state.1, Arc::new(users));
                UsersChange::between(&old, &state.1)
            }
            Err(error) => {
                tracing::error!(%error, "the users file is not taken over; the last good one stays");
                Some(UsersChange::Refused)
            }
        };
        let users = Arc::clone(&state.1);
        drop(state);
        if let (Some(change), Some(told)) = (change, self.told.get()) {
            told(change);
        }
        users
    }
}

impl Users {
    fn read(path: &Path) -> Result<Self, UserError> {
        let text = std::fs::read_to_string(path).map_err(|source| UserError::Read {
            path: path.to_owned(),
            source,
        })?;
        let users: Self = toml::from_str(&text).map_err(|error| UserError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        if let Some(name) = users.users.keys().find(|name| check_name(name).is_err()) {
            return Err(UserError::Name(name.clone()));
        }
        let mut attributes = users.users.values().flat_map(|user| user.attributes.keys());
        match attributes.find(|name| marks::is_reserved(name)) {
            Some(name) => Err(UserError::Attribute(name.clone())),
            None => Ok(users),
        }
    }

    /// What each login has, by the word for it, to be compared.
    pub(super) fn parts(&self) -> BTreeMap<&str, [(&'static str, String); 3]> {
        let parts = |user: &User| {
            [
                ("password", format!("{} {:?}", user.password, user.scram)),
                ("attributes", format!("{:?}", user.attributes)),
                ("tokens", format!("{:?}", user.tokens)),
            ]
        };
        self.users
            .iter()
            .map(|(name, user)| (name.as_str(), parts(user)))
            .collect()
    }

    pub(super) fn principal(&self, name: &str) -> Option<Principal> {
        let user = self.users.get(name)?;
        Some(Principal {
            name: name.to_owned(),
            attributes: user.attributes.clone(),
        })
    }

    pub(super) fn stored(&self, name: &str) -> &str {
        self.users.get(name).map_or("", |user| &user.password)
    }

    /// The principal of a login by the password that is stored now, marked with it.
    pub(super) fn by_password(&self, name: &str) -> Option<Principal> {
        let user = self.users.get(name)?;
        Some(marks::by_password(self.principal(name)?, &hex_digest(&user.password)))
    }

    /// The same for a login made earlier by the password whose stored hash has this digest; none when it is another now.
    pub(super) fn still_by_password(&self, name: &str, stored: &str) -> Option<Principal> {
        self.by_password(name)
            .filter(|now| marks::password(now) == Some(stored))
    }

    /// All logins, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// Checks a password. An unknown login costs as much time as a known one.
    pub(super) fn password(&self, name: &str, password: &str) -> Option<Principal> {
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let Some(user) = self.users.get(name) else {
            // Hashed and thrown away: an unknown login must not answer faster than a known one.
            drop(hash(password));
            return None;
        };
        let parsed = PasswordHash::new(&user.password).ok()?;
        Argon2::default().verify_password(password.as_bytes(), &parsed).ok()?;
        self.by_password(name)
    }

    pub(super) fn token(&self, token: &str) -> Option<Principal> {
        self.digest(&hex_digest(token))
    }

    /// Whoever holds the token of that digest, marked with what the token is good for.
    pub(super) fn digest(&self, digest: &str) -> Option<Principal> {
        let now = Utc::now();
        let valid = |known: &&Token| known.sha256 == digest && known.valid_until.is_none_or(|until| now < until);
        let mut held = self.users.iter();
        let (name, token) = held.find_map(|(name, user)| Some((name, user.tokens.values().find(valid)?)))?;
        let who = self.principal(name)?;
        Some(marks::by_token(
            who,
            digest,
            token.read_only,
            &token.schemas,
            &token.lands,
        ))
    }

    fn write(&self, path: &Path) -> Result<(), UserError> {
        let wrong = |source| UserError::Write {
            path: path.to_owned(),
            source,
        };
        let text = toml::to_string_pretty(self).map_err(|error| UserError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        replace(path, text.as_bytes(), Readers::Owner).map_err(wrong)
    }
}

/// Adds a login or gives an existing one a new password; attributes are replaced when any are given. With a verifier the
/// PostgreSQL door asks for a proof of the password, else for the password.
pub(crate) fn add(
    path: &Path,
    name: &str,
    password: &str,
    attributes: BTreeMap<String, Attribute>,
    keeps_verifier: bool,
) -> Result<(), UserError> {
    check_name(name)?;
    if let Some(name) = attributes.keys().find(|name| marks::is_reserved(name)) {
        return Err(UserError::Attribute(name.clone()));
    }
    let mut users = read_or_new(path)?;
    let hashed = hash(password)?;
    let user = users.users.entry(name.to_owned()).or_insert_with(|| User {
        password: String::new(),
        scram: None,
        attributes: BTreeMap::new(),
        tokens: BTreeMap::new(),
    });
    user.password = hashed;
    if !attributes.is_empty() {
        user.attributes = attributes;
    }
    users.remember(name, password, keeps_verifier);
    users.write(path)
}

/// Removes a login with its tokens.
pub(crate) fn remove(path: &Path, name: &str) -> Result<(), UserError> {
    let mut users = Users::read(path)?;
    users
        .users
        .remove(name)
        .ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    users.write(path)
}

/// The logins, each with its tokens: label, scope and end.
pub(crate) fn list(path: &Path) -> Result<Vec<(String, Vec<String>)>, UserError> {
    let users = Users::read(path)?;
    let told = |(label, token): (String, Token)| {
        let mut text = label;
        if !token.lands.is_empty() {
            text.push_str(&format!(" (lands in {})", token.lands.join("+")));
        } else if token.read_only || !token.schemas.is_empty() {
            text.push_str(" (read only)");
        }
        if !token.schemas.is_empty() {
            text.push_str(&format!(" of {}", token.schemas.join("+")));
        }
        match token.valid_until {
            Some(end) if end <= Utc::now() => text.push_str(" expired"),
            Some(end) => text.push_str(&format!(" until {}", end.format("%Y-%m-%d %H:%M UTC"))),
            None => {}
        }
        text
    };
    Ok(users
        .users
        .into_iter()
        .map(|(name, user)| (name, user.tokens.into_iter().map(told).collect()))
        .collect())
}

/// Takes a token out; logins and running statements under it end within a second.
pub(crate) fn revoke_token(path: &Path, name: &str, label: &str) -> Result<(), UserError> {
    let mut users = Users::read(path)?;
    let user = users
        .users
        .get_mut(name)
        .ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    user.tokens.remove(label).ok_or_else(|| UserError::UnknownToken {
        name: name.to_owned(),
        label: label.to_owned(),
    })?;
    users.write(path)
}

/// Everybody in the users file, with their attributes, by name.
pub(crate) fn principals(path: &Path) -> Result<BTreeMap<String, Principal>, UserError> {
    let users = Users::read(path)?;
    let named = users.users.keys().filter_map(|name| users.principal(name));
    Ok(named.map(|who| (who.name.clone(), who)).collect())
}

/// Makes a personal token, valid for `days` or until it is revoked or replaced. The token is shown this once.
pub(crate) fn issue_token(path: &Path, name: &str, label: &str, scope: TokenScope) -> Result<String, UserError> {
    let folder = |given: &String| match given.trim_matches('/') {
        "" => Err(UserError::Folder(given.clone())),
        folder => Ok(folder.to_owned()),
    };
    let lands = scope.lands.iter().map(folder).collect::<Result<Vec<_>, _>>()?;
    let mut users = Users::read(path)?;
    let user = users
        .users
        .get_mut(name)
        .ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    let secret: [u8; 32] = rand::random();
    let token = format!("{TOKEN_PREFIX}{}", hex(&secret));
    let valid_until = scope
        .days
        .map(|days| Utc::now() + chrono::Duration::days(i64::from(days)));
    let scram = user.verifier_of(&token);
    user.tokens.insert(
        label.to_owned(),
        Token {
            sha256: hex_digest(&token),
            scram,
            valid_until,
            read_only: scope.read_only,
            schemas: scope.schemas,
            lands,
        },
    );
    users.write(path)?;
    Ok(token)
}

fn read_or_new(path: &Path) -> Result<Users, UserError> {
    match Users::read(path) {
        Err(UserError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Users::default()),
        other => other,
    }
}

pub(super) fn check_name(name: &str) -> Result<(), UserError> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let holds = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-@".contains(c));
    if starts && holds && name.len() <= NAME_BYTES_MAX {
        Ok(())
    } else {
        Err(UserError::Name(name.to_owned()))
    }
}

fn hash(password: &str) -> Result<String, UserError> {
    if !(5..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(UserError::Password);
    }
    Argon2::default()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(|error| UserError::Hash(error.to_string()))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// SHA-256 of a text, in hex.
pub(crate) fn hex_digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
