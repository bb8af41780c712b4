//! Mail: a message as MIME, and the server that takes it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use labhouse_policies::{Attribute, Principal};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::Delivery;
use super::channel::{ChannelError, May, SendError, read_file, secret};
use crate::config::alerts::{EMAIL, Smtp, SmtpTls};

/// The attribute of a login that holds its address.
const ADDRESS: &str = "email";
const PASSWORD: &str = "LABHOUSE_SMTP_PASSWORD";
/// Steps that a conversation has before the message itself, connecting and the login among them: so many times as long as one of
/// them may it take. And how many times the server may think about the message, by default the ten minutes of RFC 5321, 4.5.3.2.6.
const STEPS_MAX: u32 = 12;
const ANSWER: u32 = 30;
/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// Refusals of a recipient that are final: no such mailbox, one that is elsewhere, one whose name cannot be.
const NO_MAILBOX: [u16; 3] = [550, 551, 553];

/// Sends mails.
pub(super) struct Mailer {
    from: Mailbox,
    server: Arc<MailServer>,
}

/// The mail server of the config.
struct MailServer {
    host: String,
    port: u16,
    tls: SmtpTls,
    /// None without TLS.
    parameters: Option<TlsParameters>,
    credentials: Option<Credentials>,
    /// How long one step may take.
    step: Duration,
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
        let parameters = match smtp.tls {
            SmtpTls::None => None,
            SmtpTls::Starttls | SmtpTls::Tls => Some(parameters(smtp, &wrong)?),
        };
        let credentials = match smtp.user.is_empty() {
            true => None,
            false => {
                let password = secret(EMAIL, &smtp.password_file, PASSWORD)?;
                Some(Credentials::new(smtp.user.clone(), password))
            }
        };
        let server = Arc::new(MailServer {
            host: smtp.host.clone(),
            port: smtp.port,
            tls: smtp.tls,
            parameters,
            credentials,
            step: timeout,
        });
        Ok(Self { from, server })
    }

    /// Hands a mail over, if it `may` still be told when the server is ready for it: the conversation before takes a while.
    pub(super) async fn send(&self, delivery: &Delivery, who: &Principal, may: May) -> Result<(), SendError> {
        let to = address(who).ok_or_else(|| {
            SendError::Later(format!(
                "{} has no address: labhouse user add {} --attribute {ADDRESS}=…",
                who.name, who.name
            ))
        })?;
        let mail = compose(delivery, self.from.clone(), to)?;
        // The client blocks: its asynchronous twin would have every crate built anew that uses `futures`.
        let server = Arc::clone(&self.server);
        let handed_over = tokio::task::spawn_blocking(move || server.hand_over(&mail, &may)).await;
        handed_over.unwrap_or_else(|error| Err(SendError::Later(error.to_string())))
    }
}

impl MailServer {
    /// One conversation about one mail.
    fn hand_over(&self, mail: &lettre::Message, may: &May) -> Result<(), SendError> {
        let deadline = Instant::now() + self.step * STEPS_MAX;
        let (hello, at) = (ClientId::default(), (self.host.as_str(), self.port));
        let wrapper = self.parameters.as_ref().filter(|_| self.tls == SmtpTls::Tls);
        let mut talk = SmtpConnection::connect(at, Some(self.step), &hello, wrapper, None).map_err(later)?;
        let said = self.converse(&mut talk, &hello, mail, may, deadline);
        // Whatever came of it, the server hears the end; how it takes that changes nothing.
        if talk.set_timeout(Some(GOODBYE)).is_ok() {
            talk.abort();
        }
        said
    }

    fn converse(
        &self,
        talk: &mut SmtpConnection,
        hello: &ClientId,
        mail: &lettre::Message,
        may: &May,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let in_time = || match Instant::now() < deadline {
            true => Ok(()),
            false => Err(SendError::Later(format!(
                "the mail server needed more than {} s before it took the message ({STEPS_MAX} times alerts.send_timeout_s)",
                (self.step * STEPS_MAX).as_secs()
            ))),
        };
        if let Some(parameters) = self.parameters.as_ref().filter(|_| self.tls == SmtpTls::Starttls) {
            talk.starttls(parameters, hello).map_err(later)?;
            in_time()?;
        }
        if let Some(credentials) = &self.credentials {
            talk.auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .map_err(later)?;
            in_time()?;
        }
        let (envelope, bytes) = (mail.envelope(), mail.formatted());
        let mut options = Vec::new();
        let mut addresses = envelope.to().iter().chain(envelope.from());
        if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            options.push(MailParameter::SmtpUtfEight);
        }
        if !bytes.is_ascii() && talk.server_info().supports_feature(Extension::EightBitMime) {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        talk.command(Mail::new(envelope.from().cloned(), options))
            .map_err(later)?;
        for to in envelope.to() {
            in_time()?;
            talk.command(Rcpt::new(to.clone(), Vec::new())).map_err(of_recipient)?;
        }
        in_time()?;
        if !may() {
            return Err(SendError::Later(
                "what the recipient may see changed while the mail server was spoken to".to_owned(),
            ));
        }
        talk.command(Data).map_err(later)?;
        // From here on only the server knows whether it has the mail: what it says is waited for.
        let waits = talk.set_timeout(Some(self.step * ANSWER));
        waits.map_err(|error| SendError::Later(error.to_string()))?;
        talk.message(&bytes).map_err(later)?;
        Ok(())
    }
}

/// A login that is not taken, a full disk, a filter that is too strict: all of that passes, whatever the server calls it.
fn later(error: Error) -> SendError {
    SendError::Later(error.to_string())
}

/// What a server says of a recipient is final where it says that there is none.
fn of_recipient(error: Error) -> SendError {
    match error.status().map(u16::from) {
        Some(code) if NO_MAILBOX.contains(&code) => SendError::Never(error.to_string()),
        Some(_) | None => later(error),
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
