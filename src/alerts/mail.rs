//! Mail: a message as MIME, and the server that takes it.

use std::time::{Duration, SystemTime};

use labhouse_policies::{Attribute, Principal};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::Delivery;
use super::channel::{ChannelError, SendError, read_file, secret};
use crate::config::alerts::{EMAIL, Smtp, SmtpTls};

/// The attribute of a login that holds its address.
const ADDRESS: &str = "email";
const PASSWORD: &str = "LABHOUSE_SMTP_PASSWORD";

/// Sends mails.
pub(super) struct Mailer {
    from: Mailbox,
    transport: SmtpTransport,
}

impl Mailer {
    pub(super) fn open(smtp: &Smtp, timeout: Duration) -> Result<Self, ChannelError> {
        let wrong = |reason: String| ChannelError::Unusable {
            channel: EMAIL.to_owned(),
            reason,
        };
        let from = smtp
            .from
            .parse()
            .map_err(|error| wrong(format!("alerts.smtp.from = \"{}\" is no address: {error}", smtp.from)))?;
        let tls = match smtp.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::Starttls => Tls::Required(parameters(smtp, &wrong)?),
            SmtpTls::Tls => Tls::Wrapper(parameters(smtp, &wrong)?),
        };
        let mut builder = SmtpTransport::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .tls(tls)
            .timeout(Some(timeout));
        if !smtp.user.is_empty() {
            let password = secret(EMAIL, &smtp.password_file, PASSWORD)?;
            builder = builder.credentials(Credentials::new(smtp.user.clone(), password));
        }
        Ok(Self {
            from,
            transport: builder.build(),
        })
    }

    pub(super) async fn send(&self, delivery: &Delivery, who: &Principal) -> Result<(), SendError> {
        let to = address(who).ok_or_else(|| {
            SendError::Never(format!(
                "{} has no address: labhouse user add {} --attribute {ADDRESS}=…",
                who.name, who.name
            ))
        })?;
        let mail = compose(delivery, self.from.clone(), to)?;
        // The transport blocks: its asynchronous twin would have every crate built anew that uses `futures`.
        let transport = self.transport.clone();
        let sent = tokio::task::spawn_blocking(move || transport.send(&mail)).await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(SendError::Never(error.to_string())),
            Ok(Err(error)) => Err(SendError::Later(error.to_string())),
            Err(error) => Err(SendError::Later(error.to_string())),
        }
    }
}

fn parameters(smtp: &Smtp, wrong: &impl Fn(String) -> ChannelError) -> Result<TlsParameters, ChannelError> {
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if !smtp.ca.is_empty() {
        let pem = read_file(EMAIL, &smtp.ca)?;
        let authority = Certificate::from_pem(pem.as_bytes());
        builder = builder.add_root_certificate(authority.map_err(|error| wrong(format!("{}: {error}", smtp.ca)))?);
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// Where a person's mail goes, as an administrator wrote it down.
pub(super) fn address(who: &Principal) -> Option<Mailbox> {
    match who.attributes.get(ADDRESS)? {
        Attribute::Text(address) => address.parse().ok(),
        Attribute::Boolean(_) | Attribute::Integer(_) | Attribute::List(_) => None,
    }
}

/// The mail of a delivery: its `Message-ID` and date are the same whenever it is sent.
pub(super) fn compose(delivery: &Delivery, from: Mailbox, to: Mailbox) -> Result<lettre::Message, SendError> {
    let message = &delivery.message;
    let id = format!("<{}@{}>", delivery.id, from.email.domain());
    lettre::Message::builder()
        .message_id(Some(id))
        .date(SystemTime::from(message.at))
        .from(from)
        .to(to)
        .subject(message.subject())
        .multipart(MultiPart::alternative_plain_html(message.text(), message.html()))
        .map_err(|error| SendError::Never(error.to_string()))
}
