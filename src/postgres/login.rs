//! The login: a password or token, or a client certificate, checked like at the other doors, and never sent readable over a
//! network.
//!
//! Who has a verifier is asked for a proof (SCRAM). Who has none, or says `labhouse.login=password` when he connects because
//! he brings a provider's token, is asked for the password itself. Without TLS either is asked for on this machine only:
//! what comes after the login is no less secret.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use labhouse_policies::Principal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::answer::Answer;
use super::errors::{Refusal, fatal, of_login};
use super::session::Session;
use super::wire::{self, Inbox, LOGIN_BYTES_MAX, Request, Startup, WireError};
use super::{Door, Line, scram, settings};
use crate::audit::Client;
use crate::auth::AuthError;
use crate::query::statement::CATALOG;

/// The setting by which a client asks to be asked for its password itself, with the value `password`.
const ASKS: &str = "labhouse.login";

/// Somebody whose login was checked, and what he said of his session.
pub(super) struct LoggedIn {
    pub(super) session: Arc<Session>,
    pub(super) names: Vec<(String, String)>,
}

/// Why there is no login.
pub(super) enum NoLogin {
    /// The client left, or it only came to cancel something.
    Gone,
    Refused(Refusal),
}

impl From<io::Error> for NoLogin {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<WireError> for NoLogin {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(_) | WireError::Truncated => Self::Gone,
            WireError::Malformed | WireError::TooLong(_) | WireError::Version => {
                Self::Refused(fatal("08P01", error.to_string()))
            }
        }
    }
}

impl From<Refusal> for NoLogin {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Asks who is there.
pub(super) async fn login<R, W>(
    door: &Door,
    inbox: &mut Inbox<R>,
    write: &mut W,
    line: &Line,
) -> Result<LoggedIn, NoLogin>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (names, is_newer) = match inbox.startup().await? {
        Some(Startup::Begin { names, is_newer }) => (names, is_newer),
        Some(Startup::Cancel { pid, secret }) => {
            door.cancels.cancel(pid, secret);
            return Err(NoLogin::Gone);
        }
        None => return Err(NoLogin::Gone),
    };
    let named = |name: &str| {
        names
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let user = named("user").unwrap_or_default().to_owned();
    let client = Client {
        door: "postgres",
        peer: Some(line.peer.to_string()),
        agent: named("application_name").map(Client::agent),
        trace: None,
        transaction: None,
        reads_only: false,
        part: None,
        unasked: false,
    };
    if named("replication").is_some_and(|value| !["false", "off", "no", "0"].contains(&value)) {
        return Err(fatal(
            "0A000",
            "nothing is replicated from here: connect without `replication`",
        )
        .into());
    }
    let mut answer = Answer::default();
    if is_newer {
        answer.negotiate(
            names
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| wire::is_option(name)),
        );
    }
    let who = match certified(door, &user, line, &client)? {
        Some(who) => {
            write.write_all(&answer.take()).await?;
            who
        }
        None => {
            let is_private = line.is_encrypted || line.peer.ip().is_loopback();
            if !is_private && !door.engine.config.tls.allow_plaintext {
                return Err(fatal(
                    "28000",
                    "the password would travel readable: connect with sslmode=require",
                )
                .into());
            }
            let asked = settings::of_startup(&names);
            let is_plain = asked.iter().any(|(name, value)| name == ASKS && value == "password");
            let found = match door.engine.auth.challenge(&user).filter(|_| !is_plain) {
                Some(challenge) => scram::prove(door, inbox, write, answer, &user, &challenge).await?,
                None => {
                    answer.ask_password();
                    write.write_all(&answer.take()).await?;
                    let password = wire::password(shown(inbox).await?)?;
                    door.engine.auth.basic(&user, &password).await
                }
            };
            found.map_err(|refused| of_login(&refuse(door, &user, &client, refused)))?
        }
    };
    // Some tools ask for a database of the login's name when none is given.
    let database = named("database").unwrap_or(CATALOG);
    if database != CATALOG && database != user {
        return Err(fatal("3D000", format!("the only database is `{CATALOG}`")).into());
    }
    for (name, value) in settings::of_startup(&names) {
        settings::check(&name, &value)?;
    }
    door.engine.audit.login(&who.name, &client);
    Ok(LoggedIn {
        session: Arc::new(Session::new(who, client)),
        names,
    })
}

/// The next message of one who logs in.
pub(super) async fn shown<R: AsyncRead + Unpin>(inbox: &mut Inbox<R>) -> Result<Bytes, NoLogin> {
    match inbox.next(LOGIN_BYTES_MAX).await? {
        Some(Request::Password(shown)) => Ok(shown),
        Some(_) => Err(fatal("08P01", "a password was asked for and something else came").into()),
        None => Err(NoLogin::Gone),
    }
}

/// Whom the connection's certificate names: it logs him in, and nobody else on this connection.
fn certified(door: &Door, user: &str, line: &Line, client: &Client) -> Result<Option<Principal>, Refusal> {
    let Some(der) = &line.certificate else { return Ok(None) };
    match door.engine.auth.certificate(der) {
        Ok(named) if named.name == user => Ok(Some(named)),
        Ok(_) => {
            let refused = refuse(door, user, client, AuthError::Refused);
            tracing::warn!(user, %refused, "the client certificate names another login");
            Err(fatal(
                "28000",
                "login refused: the client certificate names another login than `user`",
            ))
        }
        // One that names nobody here, such as a gateway's, only opens the connection.
        Err(_) => Ok(None),
    }
}

/// Tells the audit trail of a login that failed.
fn refuse(door: &Door, user: &str, client: &Client, refused: AuthError) -> AuthError {
    let is_known = door.engine.auth.named(user).is_some();
    door.engine.audit.login_refused(Some(user), is_known, client);
    refused
}
