//! `[telemetry]`: what the server tells others about its work.

use serde::Deserialize;
use url::Url;

/// Where traces go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Address of an OpenTelemetry collector (OTLP over HTTP), `/v1/traces` left out; empty = no traces.
    pub(crate) otlp_endpoint: String,
}

impl Telemetry {
    /// Whether the address may be used: spans name logins.
    pub(super) fn is_usable(&self) -> bool {
        self.otlp_endpoint.is_empty() || Url::parse(&self.otlp_endpoint).is_ok_and(|url| super::alerts::is_safe(&url))
    }
}
