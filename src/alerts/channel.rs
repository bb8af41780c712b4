//! The ways out of the server, opened from the config when it starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, Mac};
use labhouse_policies::Principal;
use lettre::message::Mailbox;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, StatusCode, redirect};
use sha2::Sha256;
use url::Url;

use super::Delivery;
use super::mail::{Mailer, address, compose};
use super::markup;
use crate::auth::hex;
use crate::config::alerts::{Alerts, Channel as Configured, EMAIL, is_safe};

/// Seconds and signature of a webhook's body, as Stripe's: `t=…,v1=…`.
const SIGNATURE: &str = "X-Labhouse-Signature";
/// The number of a delivery, the same for every attempt.
const DELIVERY: &str = "X-Labhouse-Delivery";
/// The sender of mails that are files.
const NOBODY: &str = "labhouse@localhost";

/// Why a channel of the config cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("{channel}: cannot read {path}: {source}")]
    File {
        channel: String,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{channel} needs a secret: name its file in the config, or set {variable} in the environment")]
    Secret { channel: String, variable: String },
    #[error("{channel}: {reason}")]
    Unusable { channel: String, reason: String },
}

/// Whether a message may still be told as it was made.
pub(super) type May = Box<dyn Fn() -> bool + Send + Sync>;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// It may be taken another time: the receiver is down, or misconfigured, or the server is.
    #[error("{0}")]
    Later(String),
    /// The receiver said of this very recipient that it never will be.
    #[error("{0}")]
    Never(String),
}

/// All channels, by name.
pub(crate) struct Channels(BTreeMap<String, Channel>);

enum Channel {
    Mail(Box<Mailer>),
    Webhook { client: Client, url: Url, secret: String },
    Slack { client: Client, url: Url },
    File { dir: PathBuf, from: Mailbox },
}

impl Channels {
    /// Opens what the config names; nothing is sent yet.
    pub(crate) fn open(config: &Alerts) -> Result<Self, ChannelError> {
        let timeout = Duration::from_secs(config.send_timeout_s);
        let mut channels = BTreeMap::new();
        if !config.smtp.host.is_empty() {
            let mailer = Mailer::open(&config.smtp, timeout)?;
            channels.insert(EMAIL.to_owned(), Channel::Mail(Box::new(mailer)));
        }
        for (name, configured) in &config.channels {
            let channel = match configured {
                Configured::Webhook { url, secret_file, ca } => {
                    let variable = format!("LABHOUSE_WEBHOOK_SECRET_{}", name.to_uppercase());
                    let url = parse(name, url)?;
                    Channel::Webhook {
                        client: client(name, &url, ca, timeout)?,
                        secret: secret(name, secret_file, &variable)?,
                        url,
                    }
                }
                Configured::Slack { url, url_file, ca } => {
                    let url = match url.is_empty() {
                        true => parse(name, read_file(name, url_file)?.trim())?,
                        false => parse(name, url)?,
                    };
                    Channel::Slack {
                        client: client(name, &url, ca, timeout)?,
                        url,
                    }
                }
                Configured::File { dir } => Channel::File {
                    dir: PathBuf::from(dir),
                    from: mailbox(name, NOBODY)?,
                },
            };
            channels.insert(name.clone(), channel);
        }
        Ok(Self(channels))
    }

    /// The names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The channel that is meant when none is named: mail, or the only one.
    pub(crate) fn default(&self) -> Option<&str> {
        match self.0.contains_key(EMAIL) {
            true => Some(EMAIL),
            false if self.0.len() == 1 => self.names().next(),
            false => None,
        }
    }

    /// Whether many read the channel together, and none of them by a login of his own: what goes there is what the alert's owner
    /// sees. Mail, and mails as files, go to one person each. A channel that the config does not have could be either.
    pub(crate) fn is_shared(&self, channel: &str) -> bool {
        match self.0.get(channel) {
            Some(Channel::Mail(_) | Channel::File { .. }) => false,
            Some(Channel::Webhook { .. } | Channel::Slack { .. }) => true,
            None => channel != EMAIL,
        }
    }

    /// Whether the config has the channel.
    pub(super) fn has(&self, channel: &str) -> bool {
        self.0.contains_key(channel)
    }

    /// Hands one message over; done when the receiver said that it has it. It takes as long as that, within bounds of the
    /// channel's own: whoever stopped waiting would not know whether it was taken. What is a conversation asks just before the
    /// message itself whether it `may` still be told.
    pub(super) async fn send(&self, delivery: &Delivery, who: &Principal, may: May) -> Result<(), SendError> {
        match self.0.get(&delivery.target.channel) {
            None => Err(unconfigured(&delivery.target.channel)),
            Some(Channel::Mail(mailer)) => mailer.send(delivery, who, may).await,
            Some(Channel::Webhook { client, url, secret }) => {
                let body = body(&markup::webhook(delivery))?;
                let at = Utc::now().timestamp();
                let signature = format!("t={at},v1={}", sign(secret, at, &body));
                let request = client.post(url.clone()).header(SIGNATURE, signature);
                post(request, delivery, body).await
            }
            Some(Channel::Slack { client, url }) => {
                let body = body(&markup::slack(delivery))?;
                post(client.post(url.clone()), delivery, body).await
            }
            Some(Channel::File { dir, from }) => {
                let to = match address(who) {
                    Some(to) => to,
                    None => local(&who.name)?,
                };
                let mail = compose(delivery, from.clone(), to)?.formatted();
                put_file(dir, delivery, mail).await
            }
        }
    }
}

/// What waits for a channel that the config lacks.
pub(super) fn unconfigured(channel: &str) -> SendError {
    SendError::Later(format!(
        "the channel {channel} is not configured any more: an administrator puts it back under [alerts.channels]"
    ))
}

async fn post(request: reqwest::RequestBuilder, delivery: &Delivery, body: Vec<u8>) -> Result<(), SendError> {
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .header(DELIVERY, &delivery.id)
        .body(body);
    // The address may be a secret, so it stays out of what is written down.
    let answer = request
        .send()
        .await
        .map_err(|error| SendError::Later(error.without_url().to_string()))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        // It is not followed: that other address is not one that an administrator allowed. A page of maintenance ends, though.
        status if status.is_redirection() => Err(SendError::Later(format!("the receiver sends elsewhere ({status})"))),
        // By its own word for good. Any other refusal, 401 and 404 as well, is what a receiver says while it is changed.
        StatusCode::GONE => Err(SendError::Never(format!("the receiver answered {}", StatusCode::GONE))),
        status => Err(SendError::Later(format!("the receiver answered {status}"))),
    }
}

/// One file a delivery, under a name that is always the same: whole or not there.
async fn put_file(dir: &Path, delivery: &Delivery, bytes: Vec<u8>) -> Result<(), SendError> {
    let dir = dir.to_owned();
    let message = &delivery.message;
    let name = format!(
        "{}_{}_{}_{}.eml",
        message.at.format("%Y%m%dT%H%M%S"),
        message.name,
        delivery.target.recipient,
        delivery.id
    );
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir)?;
        let part = dir.join(format!(".{name}.part"));
        std::fs::write(&part, bytes)?;
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(part, dir.join(name))
    });
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(SendError::Later(error.to_string())),
        Err(error) => Err(SendError::Later(error.to_string())),
    }
}

/// HMAC-SHA-256 of `<seconds>.<body>` in hex: the time is signed too, so an old message cannot be sent again as new.
fn sign(secret: &str, at: i64, body: &[u8]) -> String {
    // HMAC takes keys of every length; the error cannot happen, and an empty signature fits nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

fn body(json: &serde_json::Value) -> Result<Vec<u8>, SendError> {
    serde_json::to_vec(json).map_err(|error| SendError::Never(error.to_string()))
}

fn client(channel: &str, url: &Url, ca: &str, timeout: Duration) -> Result<Client, ChannelError> {
    let wrong = |error: reqwest::Error| ChannelError::Unusable {
        channel: channel.to_owned(),
        reason: error.to_string(),
    };
    // A receiver that sends us elsewhere is not the one that was allowed.
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(timeout)
        .user_agent(concat!("labhouse/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        builder = builder.no_proxy();
    }
    if !ca.is_empty() {
        let pem = read_file(channel, ca)?;
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(wrong)?);
    }
    builder.build().map_err(wrong)
}

fn parse(channel: &str, text: &str) -> Result<Url, ChannelError> {
    Url::parse(text)
        .ok()
        .filter(is_safe)
        .ok_or_else(|| ChannelError::Unusable {
            channel: channel.to_owned(),
            reason: "its address is not https://…, nor http on this machine".to_owned(),
        })
}

fn mailbox(channel: &str, address: &str) -> Result<Mailbox, ChannelError> {
    address.parse().map_err(|error| ChannelError::Unusable {
        channel: channel.to_owned(),
        reason: format!("{address}: {error}"),
    })
}

/// The address of a person of whom none is known, for mails that are files.
fn local(name: &str) -> Result<Mailbox, SendError> {
    let name = name.split('@').next().unwrap_or_default();
    let address = format!("{name}@localhost");
    address
        .parse()
        .map_err(|_| SendError::Never(format!("{address} is no address")))
}

pub(super) fn read_file(channel: &str, path: &str) -> Result<String, ChannelError> {
    std::fs::read_to_string(path).map_err(|source| ChannelError::File {
        channel: channel.to_owned(),
        path: PathBuf::from(path),
        source,
    })
}

/// The secret in a file, or in the environment.
pub(super) fn secret(channel: &str, file: &str, variable: &str) -> Result<String, ChannelError> {
    let found = match file.is_empty() {
        true => std::env::var(variable).unwrap_or_default(),
        false => read_file(channel, file)?,
    };
    match found.trim() {
        "" => Err(ChannelError::Secret {
            channel: channel.to_owned(),
            variable: variable.to_owned(),
        }),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let good = sign("key", 1_700_000_000, b"{}");
        assert_eq!(good.len(), 64);
        for other in [
            sign("key", 1_700_000_001, b"{}"),
            sign("key", 1_700_000_000, b"{ }"),
            sign("other", 1_700_000_000, b"{}"),
        ] {
            assert_ne!(good, other);
        }
    }

    #[test]
    fn a_channel_without_its_secret_does_not_open() {
        let mut config = Alerts::default();
        let hook = Configured::Webhook {
            url: "https://lims.example/".into(),
            secret_file: "/no/such/file".into(),
            ca: String::new(),
        };
        config.channels.insert("hook".into(), hook);
        assert!(matches!(Channels::open(&config), Err(ChannelError::File { .. })));
    }
}
