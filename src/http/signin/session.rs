//! The page's session: a sealed cookie, and the memory of those that were signed out.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::Engine;

const PURPOSE: &str = "page session";
const COOKIE: &str = "labhouse_session";
/// Signed-out sessions remembered. Past it all sessions begun until then end: closed, not forgotten.
const REMEMBERED_MAX: usize = 50_000;

/// What a cookie holds, sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    id: Uuid,
    /// What proves the person on each call: a session token of a password, or a personal token.
    pub(super) bearer: String,
    begun_unix_ms: u64,
    pub(super) expires_unix_s: u64,
}

impl Session {
    pub(super) fn new(engine: &Engine, bearer: String) -> Self {
        let now = unix();
        Self {
            id: Uuid::new_v4(),
            bearer,
            begun_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            expires_unix_s: now.as_secs().saturating_add(engine.config.auth.session_s),
        }
    }

    /// Reads a cookie; none when it is not ours, over, or signed out.
    pub(super) fn open(engine: &Engine, signed_out: &SignedOut, cookie: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let session: Self = engine.tickets.open_for(PURPOSE, "", &sealed).ok()?;
        let is_over = session.expires_unix_s <= unix().as_secs() || signed_out.has(&session);
        (!is_over).then_some(session)
    }

    /// The header that gives it to a browser.
    pub(super) fn set_cookie(&self, engine: &Engine, is_encrypted: bool) -> String {
        let seconds = engine.config.auth.session_s;
        let sealed = engine.tickets.seal_for(PURPOSE, "", Duration::from_secs(seconds), self);
        put(&URL_SAFE_NO_PAD.encode(sealed), seconds, is_encrypted)
    }
}

/// The header that takes it away.
pub(super) fn clear_cookie(is_encrypted: bool) -> String {
    put("", 0, is_encrypted)
}

fn put(value: &str, seconds: u64, is_encrypted: bool) -> String {
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The page's cookie of a call.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

/// Sessions that were signed out before their time.
#[derive(Default)]
pub(crate) struct SignedOut(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    ends: HashMap<Uuid, u64>,
    /// Everything begun until then is over.
    all_until_unix_ms: u64,
}

impl SignedOut {
    pub(super) fn add(&self, session: &Session) {
        let mut memory = self.0.lock();
        if memory.ends.len() >= REMEMBERED_MAX {
            let now = unix().as_secs();
            memory.ends.retain(|_, end| *end > now);
        }
        if memory.ends.len() >= REMEMBERED_MAX {
            memory.ends.clear();
            memory.all_until_unix_ms = u64::try_from(unix().as_millis()).unwrap_or(u64::MAX);
            return;
        }
        memory.ends.insert(session.id, session.expires_unix_s);
    }

    fn has(&self, session: &Session) -> bool {
        let memory = self.0.lock();
        session.begun_unix_ms <= memory.all_until_unix_ms || memory.ends.contains_key(&session.id)
    }
}

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            id: Uuid::new_v4(),
            bearer: String::new(),
            begun_unix_ms: u64::try_from(unix().as_millis()).unwrap(),
            expires_unix_s: unix().as_secs() + 3600,
        }
    }

    #[test]
    fn a_signed_out_session_stays_out_and_others_stay_in() {
        let signed_out = SignedOut::default();
        let (mine, yours) = (session(), session());
        signed_out.add(&mine);
        assert!(signed_out.has(&mine) && !signed_out.has(&yours));
    }

    #[test]
    fn a_full_memory_ends_everything_instead_of_forgetting() {
        let signed_out = SignedOut::default();
        let (mine, yours) = (session(), session());
        signed_out.add(&mine);
        for _ in 0..=REMEMBERED_MAX {
            signed_out.add(&session());
        }
        assert!(signed_out.has(&mine) && signed_out.has(&yours));
        assert!(signed_out.0.lock().ends.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |line: &str| {
            let headers = HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
            cookie(&headers).map(str::to_owned)
        };
        assert_eq!(found("a=b; labhouse_session=word; c=d"), Some("word".into()));
        assert_eq!(found("labhouse_session="), None);
        assert_eq!(found("xlabhouse_session=word"), None);
    }

    #[test]
    fn scripts_and_other_sites_do_not_get_it() {
        assert_eq!(
            put("word", 60, true),
            "labhouse_session=word; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(!put("word", 60, false).contains("Secure"));
    }
}
