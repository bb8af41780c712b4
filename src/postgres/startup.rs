//! The login: a password or token, checked like everywhere else, never sent readable over a network.
//!
//! The password comes as it is, because the users file keeps Argon2id hashes: SCRAM would need a second secret that is as
//! good as the password to whoever reads the file. So plain text is taken from this machine only.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use labhouse_policies::Principal;
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, METADATA_APPLICATION_NAME, METADATA_DATABASE, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::errors::{fatal, of_login};
use super::session::Session;
use super::{Door, rewrite};
use crate::audit::Client;
use crate::auth::AuthError;
use crate::query::statement::CATALOG;

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                let is_private = client.is_secure() || client.socket_addr().ip().is_loopback();
                if !is_private && !self.engine.config.tls.allow_plaintext {
                    return Err(fatal(
                        "28000",
                        "the password would travel readable: connect with sslmode=require",
                    ));
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                client.send(ask).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(answer) => {
                let password = answer.into_password()?.password;
                let from = from(client);
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                let who = self.login(&user, &password, &from).await?;
                let database = client.metadata().get(METADATA_DATABASE);
                if database.is_some_and(|database| *database != CATALOG && *database != user) {
                    return Err(fatal("3D000", format!("the only database is `{CATALOG}`")));
                }
                self.engine.audit.login(&who.name, &from);
                let (pid, secret) = self.numbers.generate(&*client);
                client.set_pid_and_secret_key(pid, secret.clone());
                let session = Arc::new(Session::new(who, from));
                self.cancels.register(pid, secret, Arc::clone(&session));
                client.session_extensions().insert(session);
                finish_authentication(client, &told()).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Door {
    async fn login(&self, user: &str, password: &str, from: &Client) -> PgWireResult<Principal> {
        let found = self.engine.auth.basic(user, password).await;
        found.map_err(|refused: AuthError| {
            let is_known = self.engine.auth.named(user).is_some();
            self.engine.audit.login_refused(Some(user), is_known, from);
            of_login(&refused)
        })
    }
}

/// From where a connection comes, for the audit trail.
fn from<C: ClientInfo>(client: &C) -> Client {
    Client {
        door: "postgres",
        peer: Some(client.socket_addr().to_string()),
        agent: client
            .metadata()
            .get(METADATA_APPLICATION_NAME)
            .map(|name| Client::agent(name)),
    }
}

/// What tools are told of the server.
fn told() -> DefaultServerParameterProvider {
    let mut told = DefaultServerParameterProvider::default();
    told.server_version = rewrite::VERSION.trim_start_matches("PostgreSQL ").to_owned();
    told.is_superuser = false;
    told.time_zone = "UTC".to_owned();
    told
}
