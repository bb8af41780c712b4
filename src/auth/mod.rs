//! Authentication: from what a caller shows to a `Principal`, and nothing else.
//!
//! A password or a personal token is checked against the users file; a session token was sealed by this server; a signed
//! token of an OpenID Connect provider is checked with the provider's keys; a client certificate was verified by TLS.
//! Where a door can ask for it, a password is proven (SCRAM) and not sent. Every refusal has one text: whether a login exists, is disabled or is locked is nobody's business. A login that
//! fails often is locked for a while, also for the right password.

mod certificate;
mod changes;
pub(crate) mod marks;
mod oidc;
pub(crate) mod scram;
mod users;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use labhouse_policies::Principal;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{CertificateLogin, Config};
use crate::expiring::Expiring;
use crate::ticket::Sealer;

pub(crate) use changes::UsersChange;
use oidc::Oidc;
pub(crate) use oidc::is_safe_issuer;
use scram::{Challenge, Proof};
pub(crate) use users::{
    TokenScope, UserError, add, hex, hex_digest, issue_token, list, principals, remove, revoke_token,
};
use users::{Users, UsersFile};

/// Whether a certificate, which TLS has verified, has `name` among its DNS names.
pub(crate) fn names_node(certificate: &[u8], name: &str) -> bool {
    certificate::has_dns_name(certificate, name)
}

/// Failed logins in a row that lock a login: guessing stays hopeless, and a tool with an old password in it does not
/// lock its owner out at once.
const FAILURES_MAX: u32 = 20;
/// How long a locked login stays locked: short enough to wait for.
const LOCK: Duration = Duration::from_secs(60);
/// How long a checked password need not be hashed again: Basic on every call would cost an Argon2 each.
const CHECKED_FOR: Duration = Duration::from_secs(300);
/// Logins remembered as checked or failing; past it the memory is emptied, which only costs time.
const REMEMBERED_MAX: usize = 10_000;
/// Argon2 runs at the same time: each takes 19 MiB and a core for some 20 ms.
const HASHING_MAX: usize = 4;

/// Closed sessions remembered, of some 100 bytes each; beyond it the oldest token is good again until its own end.
const CLOSED_MAX: usize = 100_000;

const SESSION: &str = "session";

/// What a session token stands for.
#[derive(Serialize, Deserialize)]
struct Session {
    name: String,
    /// The digest of the personal token that was given as the password: the session is no more than it.
    token: Option<String>,
    /// The digest of the stored hash of the password that began it: with another password it is over.
    password: Option<String>,
}

/// Checks who calls.
pub(crate) struct Authenticator {
    users: UsersFile,
    oidc: Option<Oidc>,
    certificate_login: CertificateLogin,
    sealer: Arc<Sealer>,
    session: Duration,
    checked: Mutex<HashMap<[u8; 32], Instant>>,
    failing: Mutex<HashMap<String, Failures>>,
    /// The digests of session tokens that ended before their time.
    closed: Mutex<Expiring<[u8; 32], ()>>,
    hashing: tokio::sync::Semaphore,
    /// Keys the memory of checked passwords, so that it holds nothing a reader of memory dumps could try words on.
    pepper: [u8; 32],
}

/// A refused login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("login refused: unknown user, wrong password or token, or too many failures in the last minute")]
    Refused,
    #[error("login refused: send `authorization: Basic …` or `authorization: Bearer …` with the call")]
    Missing,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Authenticator {
    pub(crate) fn open(config: &Config, sealer: Arc<Sealer>) -> Result<Self, UserError> {
        let session = Duration::from_secs(config.auth.session_s);
        Ok(Self {
            users: UsersFile::open(&config.auth.users)?,
            oidc: Oidc::new(&config.auth.oidc),
            certificate_login: config.tls.client_login,
            sealer,
            session,
            checked: Mutex::default(),
            failing: Mutex::default(),
            closed: Mutex::new(Expiring::new(CLOSED_MAX, session)),
            hashing: tokio::sync::Semaphore::new(HASHING_MAX),
            pepper: rand::random(),
        })
    }

    /// From now on `told` hears of every edit of the users file, at the moment that it acts.
    pub(crate) fn tell_changes(&self, told: impl Fn(UsersChange) + Send + Sync + 'static) {
        self.users.tell(Box::new(told));
    }

    /// Checks a login and its password, or a personal token given as the password.
    pub(crate) async fn basic(&self, user: &str, password: &str) -> Result<Principal, AuthError> {
        if self.locked(user) {
            return Err(AuthError::Refused);
        }
        let users = self.users.current();
        if password.starts_with(users::TOKEN_PREFIX) {
            return self.settle(user, users.token(password).filter(|who| who.name == user));
        }
        if self.oidc.is_some() && oidc::looks_like(password) {
            let found = self.oidc_login(password).await.ok();
            return self.settle(user, found.filter(|who| who.name == user));
        }
        let memory = self.memory_key(&users, user, password);
        if self
            .checked
            .lock()
            .get(&memory)
            .is_some_and(|at| at.elapsed() < CHECKED_FOR)
        {
            return users.by_password(user).ok_or(AuthError::Refused);
        }
        let _permit = self.hashing.acquire().await.map_err(|_| AuthError::Refused)?;
        let (name, word) = (user.to_owned(), password.to_owned());
        let found = tokio::task::spawn_blocking(move || users.password(&name, &word))
            .await
            .unwrap_or(None);
        if found.is_some() {
            let mut checked = self.checked.lock();
            if checked.len() >= REMEMBERED_MAX {
                checked.clear();
            }
            checked.insert(memory, Instant::now());
        }
        self.settle(user, found)
    }

    /// What a login is to prove its password with; none: the password itself is asked for. It tells nobody which logins
    /// there are.
    pub(crate) fn challenge(&self, user: &str) -> Option<Challenge> {
        self.users.current().challenge(user)
    }

    /// Checks a proof of a login's password, or of a personal token; gives the server's own proof as well.
    pub(crate) fn proven(&self, user: &str, proof: &Proof) -> Result<(Principal, String), AuthError> {
        if self.locked(user) {
            return Err(AuthError::Refused);
        }
        let (who, answer) = self.users.current().proven(user, proof).unzip();
        let who = self.settle(user, who)?;
        answer.map(|answer| (who, answer)).ok_or(AuthError::Refused)
    }

    /// Tells of a login that failed without a password or proof that could be checked.
    pub(crate) fn failed(&self, user: &str) -> AuthError {
        if self.locked(user) {
            return AuthError::Refused;
        }
        self.settle(user, None).err().unwrap_or(AuthError::Refused)
    }

    /// Checks a token of any kind.
    pub(crate) async fn token(&self, token: &str) -> Result<Principal, AuthError> {
        if self.oidc.is_some() && oidc::looks_like(token) {
            return self.oidc_login(token).await;
        }
        self.bearer(token)
    }

    /// The principal of a client certificate that TLS has verified.
    pub(crate) fn certificate(&self, der: &[u8]) -> Result<Principal, AuthError> {
        let name = certificate::login(der, self.certificate_login).ok_or(AuthError::Refused)?;
        self.named(&name).ok_or(AuthError::Refused)
    }

    /// Whether what a principal logged in with is still good.
    pub(crate) fn stands(&self, who: &Principal) -> bool {
        self.again(who).is_some()
    }

    /// The principal of a login made earlier, as it is now; none when what it was made with is no longer good.
    pub(crate) fn again(&self, who: &Principal) -> Option<Principal> {
        let users = self.users.current();
        if let Some(end) = marks::end(who) {
            let stands = Utc::now().timestamp() < end && users.principal(&who.name).is_none();
            return stands.then(|| who.clone());
        }
        match (marks::token(who), marks::password(who)) {
            (Some(digest), _) => users.digest(digest).filter(|now| now.name == who.name),
            (None, Some(stored)) => users.still_by_password(&who.name, stored),
            (None, None) => users.principal(&who.name),
        }
    }

    async fn oidc_login(&self, token: &str) -> Result<Principal, AuthError> {
        let oidc = self.oidc.as_ref().ok_or(AuthError::Refused)?;
        let who = oidc.login(token).await?;
        if self.named(&who.name).is_some() {
            tracing::warn!(
                user = who.name,
                "a login of the OIDC provider is refused: a local user has that name"
            );
            return Err(AuthError::Refused);
        }
        Ok(who)
    }

    /// Checks a session token or a personal token.
    pub(crate) fn bearer(&self, token: &str) -> Result<Principal, AuthError> {
        let users = self.users.current();
        if token.starts_with(users::TOKEN_PREFIX) {
            return users.token(token).ok_or(AuthError::Refused);
        }
        if self.closed.lock().get(&digest(token)).is_some() {
            return Err(AuthError::Refused);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| AuthError::Refused)?;
        let session: Session = self
            .sealer
            .open_for(SESSION, "", &sealed)
            .map_err(|_| AuthError::Refused)?;
        // The file is asked again: a removed user's session ends with the user, and with a new password an old session.
        let found = match (session.token, session.password) {
            (Some(digest), _) => users.digest(&digest).filter(|who| who.name == session.name),
            (None, Some(stored)) => users.still_by_password(&session.name, &stored),
            (None, None) => None,
        };
        found.ok_or(AuthError::Refused)
    }

    /// Ends a session token before its time.
    pub(crate) fn close(&self, token: &str) {
        self.closed.lock().insert(digest(token), (), Instant::now());
    }

    /// Whether a token, taken before, is one that a login gave.
    pub(crate) fn is_of_login(&self, token: &str) -> bool {
        // Tokens of a provider have dots.
        !token.starts_with(users::TOKEN_PREFIX) && !token.contains('.')
    }

    /// A session token for a principal that has just logged in; none for a login whose end another decides.
    pub(crate) fn issue(&self, who: &Principal) -> Option<String> {
        if marks::end(who).is_some() {
            return None;
        }
        let session = Session {
            name: who.name.clone(),
            token: marks::token(who).map(str::to_owned),
            password: marks::password(who).map(str::to_owned),
        };
        Some(URL_SAFE_NO_PAD.encode(self.sealer.seal_for(SESSION, "", self.session, &session)))
    }

    /// The principal of that name, as the file has it now: for work the server does on a person's behalf.
    pub(crate) fn named(&self, name: &str) -> Option<Principal> {
        self.users.current().principal(name)
    }

    /// The logins of the users file, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.users.current().names()
    }

    fn locked(&self, user: &str) -> bool {
        let failing = self.failing.lock();
        failing
            .get(user)
            .is_some_and(|failures| failures.count >= FAILURES_MAX && failures.last.elapsed() < LOCK)
    }

    fn settle(&self, user: &str, found: Option<Principal>) -> Result<Principal, AuthError> {
        let mut failing = self.failing.lock();
        match found {
            Some(who) => {
                failing.remove(user);
                Ok(who)
            }
            None => {
                if failing.len() >= REMEMBERED_MAX {
                    failing.retain(|_, failures| failures.last.elapsed() < LOCK);
                }
                let failures = failing.entry(user.to_owned()).or_insert(Failures {
                    count: 0,
                    last: Instant::now(),
                });
                if failures.last.elapsed() >= LOCK {
                    failures.count = 0;
                }
                failures.count += 1;
                failures.last = Instant::now();
                tracing::warn!(user, failures = failures.count, "login refused");
                Err(AuthError::Refused)
            }
        }
    }

    /// Binds the memory to the stored hash: a changed password forgets the old one at once.
    fn memory_key(&self, users: &Users, user: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [
            self.pepper.as_slice(),
            users.stored(user).as_bytes(),
            user.as_bytes(),
            password.as_bytes(),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> (tempfile::TempDir, Authenticator, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        users::add(&path, "ana", "right", Default::default(), false).unwrap();
        let token = users::issue_token(&path, "ana", "notebook", TokenScope::default()).unwrap();
        let text = "[lake]\nurl = \"lake\"\n[auth]\nsession_s = 60\n";
        let config = Config::parse(text, &dir.path().join("labhouse.toml")).unwrap();
        let auth = Authenticator::open(&config, Arc::new(Sealer::new())).unwrap();
        (dir, auth, token)
    }

    #[tokio::test]
    async fn the_right_password_and_tokens_open_and_wrong_ones_do_not() {
        let (_dir, auth, token) = authenticator();
        let who = auth.basic("ana", "right").await.unwrap();
        assert_eq!(auth.bearer(&auth.issue(&who).unwrap()).unwrap().name, "ana");
        assert_eq!(auth.bearer(&token).unwrap().name, "ana");
        assert_eq!(auth.basic("ana", &token).await.unwrap().name, "ana");
        assert!(auth.basic("ana", "wrong").await.is_err());
        assert!(auth.basic("sam", "right").await.is_err());
        assert!(auth.basic("sam", &token).await.is_err());
        assert!(auth.bearer("").is_err() && auth.bearer("nonsense").is_err());
        assert!(auth.bearer(&format!("{token}x")).is_err());
    }

    #[tokio::test]
    async fn many_failures_lock_even_the_right_password() {
        let (_dir, auth, _) = authenticator();
        for _ in 0..FAILURES_MAX {
            assert!(auth.basic("ana", "wrong").await.is_err());
        }
        assert!(auth.basic("ana", "right").await.is_err());
    }

    #[tokio::test]
    async fn a_removed_user_is_out_at_once() {
        let (dir, auth, _) = authenticator();
        let who = auth.basic("ana", "right").await.unwrap();
        let session = auth.issue(&who).unwrap();
        assert!(auth.stands(&who));
        users::remove(&dir.path().join("users.toml"), "ana").unwrap();
        assert!(auth.bearer(&session).is_err() && !auth.stands(&who));
        assert!(auth.basic("ana", "right").await.is_err());
    }

    #[tokio::test]
    async fn a_new_password_ends_what_the_old_one_began_and_nothing_else() {
        let (dir, auth, token) = authenticator();
        let path = dir.path().join("users.toml");
        users::add(&path, "sam", "other", Default::default(), false).unwrap();
        let (old, by_token) = (auth.basic("ana", "right").await.unwrap(), auth.bearer(&token).unwrap());
        let (session, of_token) = (auth.issue(&old).unwrap(), auth.issue(&by_token).unwrap());
        let sam = auth.basic("sam", "other").await.unwrap();
        assert_eq!(auth.bearer(&session).unwrap(), old, "the session is the same login");
        // The same word again is another hash: whoever sets it anew means to end what was begun.
        for word in ["newer", "newer"] {
            let before = auth.basic("ana", word).await.ok();
            users::add(&path, "ana", word, Default::default(), false).unwrap();
            let now = auth.basic("ana", word).await.unwrap();
            assert!(auth.stands(&now) && auth.bearer(&auth.issue(&now).unwrap()).is_ok());
            assert!(before.is_none_or(|before| !auth.stands(&before)));
        }
        assert!(auth.bearer(&session).is_err() && !auth.stands(&old) && auth.again(&old).is_none());
        assert!(auth.basic("ana", "right").await.is_err());
        assert!(
            auth.stands(&by_token) && auth.bearer(&of_token).is_ok(),
            "a token has its own end"
        );
        assert!(auth.stands(&sam) && auth.stands(&auth.named("ana").unwrap()));
    }

    #[tokio::test]
    async fn a_session_is_no_more_than_the_token_that_began_it() {
        let (dir, auth, _) = authenticator();
        let path = dir.path().join("users.toml");
        let scope = TokenScope {
            schemas: vec!["chemistry".into()],
            ..TokenScope::default()
        };
        let token = users::issue_token(&path, "ana", "tool", scope).unwrap();
        let who = auth.basic("ana", &token).await.unwrap();
        let session = auth.issue(&who).unwrap();
        let later = auth.bearer(&session).unwrap();
        assert!(marks::reads_only(&later) && !marks::reaches(&later, "assay"));
        assert_eq!(later, who);
        users::revoke_token(&path, "ana", "tool").unwrap();
        assert!(auth.bearer(&session).is_err() && !auth.stands(&who));
        assert!(auth.basic("ana", "right").await.is_ok_and(|who| auth.stands(&who)));
    }
}
