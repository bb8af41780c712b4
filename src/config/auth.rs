//! `[auth]`: who may log in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// Who may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// File of local users, written by `labhouse user`.
    pub(crate) users: PathBuf,
    /// Life of a session token that a login gives, in seconds.
    pub(crate) session_s: u64,
    /// Logins by tokens of an OpenID Connect provider.
    pub(crate) oidc: Oidc,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            users: "users.toml".into(),
            session_s: 8 * 3600,
            oidc: Oidc::default(),
        }
    }
}

/// Whose tokens are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Oidc {
    /// The provider, as it writes itself in its tokens; empty = none.
    pub(crate) issuer: String,
    /// What its tokens must be made for.
    pub(crate) audience: String,
    /// The claim that holds the login.
    pub(crate) login_claim: String,
    /// Attributes for row filters, each with the claim it comes from.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The claim that holds groups or roles of the provider; a path with dots leads into nested claims. Empty = none.
    pub(crate) roles_claim: String,
    /// Values of that claim, each with the role it gives: `role:NAME, DOMAIN`. A value that is not here gives nothing.
    pub(crate) roles: BTreeMap<String, String>,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            login_claim: "preferred_username".into(),
            attributes: BTreeMap::new(),
            roles_claim: String::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Auth {
    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        let oidc = &self.oidc;
        if oidc.issuer.is_empty() {
            return Ok(());
        }
        if !crate::auth::is_safe_issuer(&oidc.issuer) {
            return wrong(
                "auth.oidc.issuer",
                &oidc.issuer,
                "must be an https URL (http only on this machine): whoever can change its keys on their way can log in as anybody",
            );
        }
        for (key, value) in [
            ("auth.oidc.audience", &oidc.audience),
            ("auth.oidc.login_claim", &oidc.login_claim),
        ] {
            if value.is_empty() {
                return wrong(key, value, "must be set together with auth.oidc.issuer");
            }
        }
        if oidc.roles_claim.is_empty() != oidc.roles.is_empty() {
            return wrong(
                "auth.oidc.roles_claim",
                &oidc.roles_claim,
                "must be set together with auth.oidc.roles: a claim gives no role that is not listed",
            );
        }
        if let Some(role) = oidc.roles.values().find(|role| !is_role(role)) {
            return wrong(
                "auth.oidc.roles",
                role,
                "must be a role and its domain as in a g line of policy.csv, for example \"role:lab_scientist, chemistry\"",
            );
        }
        match oidc.attributes.keys().find(|name| name.contains(':')) {
            Some(name) => wrong(
                "auth.oidc.attributes",
                name,
                "cannot be an attribute: names with a colon are the server's own",
            ),
            None => Ok(()),
        }
    }
}

/// Whether a text is `role:NAME, DOMAIN`, as a `g` line of `policy.csv` ends.
fn is_role(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let parts = text.strip_prefix("role:").and_then(|rest| rest.split_once(", "));
    parts.is_some_and(|(role, domain)| is_word(role) && (domain == "*" || is_word(domain)))
}
