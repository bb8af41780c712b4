//! `[tls]`: encryption on the wire.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;

/// Encryption on the wire.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// PEM file of the certificate chain; empty = plain text, allowed on loopback only.
    pub(crate) cert: String,
    /// PEM file of its private key.
    pub(crate) key: String,
    /// PEM file of the authorities that client certificates must come from; empty = none asked for.
    pub(crate) client_ca: String,
    /// Where in a client certificate the login stands: `cn`, `email` or `dns`.
    pub(crate) client_login: CertificateLogin,
    /// Allows plain text on other addresses than loopback: passwords then travel readable.
    pub(crate) allow_plaintext: bool,
}

/// Where in a client certificate the login stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum CertificateLogin {
    /// The subject's common name.
    #[default]
    #[serde(rename = "cn")]
    CommonName,
    /// The alternative name of kind email.
    #[serde(rename = "email")]
    Mail,
    /// The alternative name of kind DNS.
    #[serde(rename = "dns")]
    Dns,
}

impl Tls {
    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        if self.cert.is_empty() != self.key.is_empty() {
            return wrong("tls.cert", &self.cert, "and tls.key must be set together");
        }
        if !self.client_ca.is_empty() && self.cert.is_empty() {
            return wrong(
                "tls.client_ca",
                &self.client_ca,
                "needs tls.cert and tls.key: without TLS nobody shows a certificate",
            );
        }
        Ok(())
    }
}
