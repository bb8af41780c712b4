//! `[alerts]`: by which channels messages may leave the server, and how hard it tries.
//!
//! Only what is named here can be notified: a statement names a channel, never an address.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::ConfigError;

/// The channel that `[alerts.smtp]` makes.
pub(crate) const EMAIL: &str = "email";

/// How notifications leave the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    /// Alerts and reports that may exist at the same time.
    pub(crate) definitions_max: usize,
    /// Time that one look at one rule may take, in seconds.
    pub(crate) evaluate_s: u64,
    /// Time that one step of sending (an HTTP call, a reply of the mail server) may take, in seconds.
    pub(crate) send_timeout_s: u64,
    /// Attempts to send a message before it is given up: with the pauses between them, about a day.
    pub(crate) attempts_max: u32,
    /// Pause after the first failed attempt, in seconds; each further one waits twice as long, a quarter of an hour at most.
    pub(crate) retry_s: u64,
    pub(crate) smtp: Smtp,
    pub(crate) channels: BTreeMap<String, Channel>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            definitions_max: 1_000,
            evaluate_s: 60,
            send_timeout_s: 20,
            attempts_max: 104,
            retry_s: 5,
            smtp: Smtp::default(),
            channels: BTreeMap::new(),
        }
    }
}

/// The mail server; an empty host switches mail off.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `starttls`, `tls` from the first byte, or `none` on loopback.
    pub(crate) tls: SmtpTls,
    /// The sender's address.
    pub(crate) from: String,
    /// Login at the mail server; empty = none.
    pub(crate) user: String,
    /// File of its password; empty = the environment's LABHOUSE_SMTP_PASSWORD.
    pub(crate) password_file: String,
    /// PEM file of the authority that signed the server's certificate; empty = the system's.
    pub(crate) ca: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SmtpTls {
    Starttls,
    Tls,
    None,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: SmtpTls::Starttls,
            from: String::new(),
            user: String::new(),
            password_file: String::new(),
            ca: String::new(),
        }
    }
}

/// A way out besides mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(crate) enum Channel {
    /// A POST of JSON, signed with HMAC-SHA-256.
    Webhook {
        url: String,
        /// File of the key; empty = the environment's LABHOUSE_WEBHOOK_SECRET_<NAME>.
        #[serde(default)]
        secret_file: String,
        /// PEM file of the authority that signed the receiver's certificate; empty = the system's.
        #[serde(default)]
        ca: String,
    },
    /// A POST of JSON as Slack and Mattermost take it. The address is the secret.
    Slack {
        #[serde(default)]
        url: String,
        /// File that holds the address, instead of `url`.
        #[serde(default)]
        url_file: String,
        #[serde(default)]
        ca: String,
    },
    /// Mails as files, for a lab without a mail server.
    File { dir: String },
}

impl Alerts {
    /// Makes paths absolute.
    pub(super) fn settle(&mut self, base: &Path) {
        let mut files = vec![&mut self.smtp.password_file, &mut self.smtp.ca];
        for channel in self.channels.values_mut() {
            match channel {
                Channel::Webhook { secret_file, ca, .. } => files.extend([secret_file, ca]),
                Channel::Slack { url_file, ca, .. } => files.extend([url_file, ca]),
                Channel::File { dir } => files.push(dir),
            }
        }
        for file in files.into_iter().filter(|file| !file.is_empty()) {
            *file = base.join(&*file).to_string_lossy().into_owned();
        }
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        let numbers = [
            ("alerts.evaluate_s", self.evaluate_s),
            ("alerts.send_timeout_s", self.send_timeout_s),
            ("alerts.attempts_max", u64::from(self.attempts_max)),
        ];
        if let Some((key, _)) = numbers.into_iter().find(|(_, number)| *number == 0) {
            return wrong(key, "0", "must be at least 1");
        }
        if !self.smtp.host.is_empty() {
            if self.smtp.from.is_empty() {
                return wrong(
                    "alerts.smtp.from",
                    "",
                    "is needed with a host: the address that mails come from",
                );
            }
            if self.smtp.tls == SmtpTls::None && !is_loopback(&self.smtp.host) {
                return wrong(
                    "alerts.smtp.tls",
                    "none",
                    "would send what people may see in plain text over a network; use \"starttls\" or \"tls\"",
                );
            }
        }
        for (name, channel) in &self.channels {
            let plain = name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if name == EMAIL || name.is_empty() || !plain {
                return wrong(
                    "alerts.channels",
                    name,
                    "cannot be a channel's name: use a-z, 0-9 and _; `email` is the one of [alerts.smtp]",
                );
            }
            match channel {
                Channel::Webhook { url, .. } => check_url(url, &wrong)?,
                Channel::Slack { url, url_file, .. } if url.is_empty() == url_file.is_empty() => {
                    return wrong("alerts.channels.url", url, "or url_file must be set, one of the two");
                }
                Channel::Slack { url, .. } if !url.is_empty() => check_url(url, &wrong)?,
                Channel::Slack { .. } => {}
                Channel::File { dir } if dir.is_empty() => {
                    return wrong("alerts.channels.dir", "", "must name a folder");
                }
                Channel::File { .. } => {}
            }
        }
        Ok(())
    }
}

/// Encrypted, or on this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

fn check_url(
    text: &str,
    wrong: &impl Fn(&'static str, &str, &'static str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    match Url::parse(text) {
        Ok(url) if is_safe(&url) => Ok(()),
        _ => wrong(
            "alerts.channels.url",
            text,
            "is not https://…; plain http is for addresses of this machine, such as http://127.0.0.1:9000/",
        ),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
