//! Logins by tokens of an OpenID Connect provider.
//!
//! A token is believed when one of the provider's published keys signed it with a pinned algorithm, when the provider
//! issued it for us, and while it lasts. What else it says is taken only as far as the config names the claim. A login
//! of the provider that a local user has already is refused: one name, one way in.

mod claims;
mod keys;
mod provider;

use chrono::Utc;
use labhouse_policies::Principal;

use super::AuthError;
use super::marks;
use crate::config;
use claims::Claims;
use keys::Token;
use provider::Provider;

/// Bytes of a token: far above what providers issue, below what headers may hold.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Checks tokens of one provider.
pub(super) struct Oidc {
    config: config::Oidc,
    provider: Provider,
}

/// Why a token was refused; for the log, never for the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is no signed JWT: {0}")]
    Malformed(&'static str),
    #[error("its algorithm is not one of RS256, ES256 and EdDSA")]
    Algorithm,
    #[error("the provider has no key for it")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claim {0} does not fit")]
    Claim(&'static str),
    #[error("the provider's keys cannot be had: {0}")]
    Provider(String),
}

impl Oidc {
    /// None when the config names no issuer.
    pub(super) fn new(config: &config::Oidc) -> Option<Self> {
        (!config.issuer.is_empty()).then(|| Self {
            provider: Provider::new(&config.issuer),
            config: config.clone(),
        })
    }

    /// The principal a token stands for.
    pub(super) async fn login(&self, token: &str) -> Result<Principal, AuthError> {
        self.check(token).await.map_err(|refusal| {
            tracing::warn!(%refusal, issuer = self.config.issuer, "a token of the OIDC provider is refused");
            AuthError::Refused
        })
    }

    async fn check(&self, text: &str) -> Result<Principal, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed("it is too long"));
        }
        let token = Token::read(text)?;
        let mut key = self.provider.key(&token).await?;
        // A token that does not name its key may be signed by one that came since.
        if token.key_id.is_none() && matches!(token.verified(&key), Err(Refusal::Signature)) {
            key = self.provider.newer(&token).await?;
        }
        let payload = token.verified(&key)?;
        let claims = Claims::read(payload, &self.config, Utc::now())?;
        Ok(marks::until(claims.principal, claims.end))
    }
}

/// Whether keys and tokens of this issuer travel so that nobody on their way can change them.
pub(crate) fn is_safe_issuer(issuer: &str) -> bool {
    reqwest::Url::parse(issuer).is_ok_and(|url| provider::is_safe(&url))
}

/// Whether a word has the form of a signed JWT.
pub(super) fn looks_like(word: &str) -> bool {
    word.starts_with("eyJ") && word.bytes().filter(|byte| *byte == b'.').count() == 2
}
