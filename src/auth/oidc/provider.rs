//! The provider's published keys: fetched when they are needed, kept for a while, asked for again when a token names one
//! that is not among them, but not more often than every few seconds, whoever asks.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;

use super::Refusal;
use super::keys::{Key, Token, find, read_keys};

/// Keys are asked for again after this time, so that one the provider withdrew does not stay good.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// Keys are used for so long when the provider does not answer.
const USED_FOR: Duration = Duration::from_secs(3600);
/// Between two fetches: tokens with invented key names must not make us knock at the provider's door.
const PAUSE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 256 << 10;

/// One provider.
pub(super) struct Provider {
    issuer: String,
    kept: Mutex<Kept>,
    /// Whoever holds it fetches; it knows when that was tried last.
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Kept {
    keys: Vec<Key>,
    fetched: Option<Instant>,
}

impl Kept {
    /// The key that a token means, if the keys are young enough.
    fn find(&self, token: &Token<'_>, age_max: Duration) -> Option<Key> {
        if !younger(self.fetched, age_max) {
            return None;
        }
        find(&self.keys, token).cloned()
    }
}

fn younger(at: Option<Instant>, than: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < than)
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    pub(super) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            kept: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The key that a token means.
    pub(super) async fn key(&self, token: &Token<'_>) -> Result<Key, Refusal> {
        let kept = |age_max| self.kept.lock().find(token, age_max);
        if let Some(key) = kept(FRESH_FOR) {
            return Ok(key);
        }
        // One at a time: whoever waited finds what the first one fetched. Tokens of known keys do not wait here.
        let mut tried = self.fetching.lock().await;
        if let Some(key) = kept(FRESH_FOR) {
            return Ok(key);
        }
        self.again(&mut tried, token).await
    }

    /// As `key`, when the key known was not the one.
    pub(super) async fn newer(&self, token: &Token<'_>) -> Result<Key, Refusal> {
        let mut tried = self.fetching.lock().await;
        self.again(&mut tried, token).await
    }

    /// Fetches the keys unless that was tried a moment ago.
    async fn again(&self, tried: &mut Option<Instant>, token: &Token<'_>) -> Result<Key, Refusal> {
        let kept = |age_max| self.kept.lock().find(token, age_max);
        if younger(*tried, PAUSE) {
            return kept(USED_FOR).ok_or(Refusal::UnknownKey);
        }
        let fetched = self.fetch().await;
        // After the answer: those who waited for it do not each ask a slow provider again.
        *tried = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                let fetched = Some(Instant::now());
                *self.kept.lock() = Kept { keys, fetched };
                kept(FRESH_FOR).ok_or(Refusal::UnknownKey)
            }
            Err(error) => {
                tracing::error!(%error, issuer = self.issuer, "the OIDC provider's keys were not fetched");
                kept(USED_FOR).ok_or(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, Refusal> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .build()
            .map_err(|error| Refusal::Provider(error.to_string()))?;
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = serde_json::from_slice(&get(&client, &place).await?)
            .map_err(|error| Refusal::Provider(format!("{place}: {error}")))?;
        if discovery.issuer != self.issuer {
            return Err(Refusal::Provider(format!(
                "{place} is of the issuer {}: write auth.oidc.issuer just so",
                discovery.issuer
            )));
        }
        read_keys(&get(&client, &discovery.jwks_uri).await?)
    }
}

async fn get(client: &Client, place: &str) -> Result<Vec<u8>, Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::Provider(format!("{place}: {error}"));
    let url = Url::parse(place).map_err(|error| failed(&error))?;
    if !is_safe(&url) {
        return Err(failed(&"keys are fetched over https only, http only from this machine"));
    }
    let answer = client.get(url).send().await.map_err(|error| failed(&error))?;
    let mut answer = answer.error_for_status().map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(failed(&"the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whoever can change the keys on their way can log in as anybody.
pub(super) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => match url.host_str() {
            Some("localhost") => true,
            Some(host) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host.parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
            }
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (place, safe) in [
            ("https://id.lab/keys", true),
            ("http://127.0.0.1:9/keys", true),
            ("http://[::1]:9/keys", true),
            ("http://localhost/keys", true),
            ("http://id.lab/keys", false),
            ("http://127.0.0.1.id.lab/keys", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_safe(&Url::parse(place).unwrap()), safe, "{place}");
        }
    }
}
