//! The login call: a password in, a session token out.
//!
//! Clients send the password in the `authorization` header (ADBC, JDBC, arrow-rs) or as a `BasicAuth` message in the
//! first payload (pyarrow's `authenticate`). The token goes back in the header and in the payload, so each finds it.

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use futures::stream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::authn::{self, Caller, Credential};
use super::service::{BoxedStream, Door};
use super::status;
use crate::auth::AuthError;

impl Door {
    /// Answers one login.
    pub(super) async fn login(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<BoxedStream<HandshakeResponse>>, Status> {
        let peer = request.remote_addr();
        let certificates = request.peer_certs();
        let certificate = certificates.as_ref().and_then(|chain| chain.first());
        let certificate: Option<&[u8]> = certificate.map(AsRef::as_ref);
        let (headers, _, mut messages) = request.into_parts();
        let client = authn::client(&headers, peer);
        // The header decides when there is one: its senders may never send a message.
        let shown = authn::credential(&headers).inspect_err(|_| {
            self.engine.audit.login_refused(None, false, &client);
        })?;
        let (credential, protocol_version) = match shown {
            Some(credential) => (credential, 0),
            None => match certificate {
                Some(der) if self.engine.auth.certificate(der).is_ok() => (Credential::Certificate(der.to_vec()), 0),
                // One that names nobody only opens the connection.
                Some(_) | None => Self::first_message(&mut messages).await?,
            },
        };
        let (credential, _) = authn::without_session(credential);
        // A token is answered with itself, never with a younger one: a session ends when it was meant to.
        let given = match &credential {
            Credential::Bearer(token) => Some(token.clone()),
            Credential::Basic { .. } | Credential::Certificate(_) => None,
        };
        let caller = Caller::from_credential(&self.engine, credential, client)
            .await?
            .certified(&self.engine, certificate)?;
        self.engine.audit.login(&caller.principal.name, &caller.client);
        let token = given.or_else(|| caller.token().map(str::to_owned)).unwrap_or_default();
        let answer = HandshakeResponse {
            protocol_version,
            payload: token.into(),
        };
        Ok(caller.answer(Box::pin(stream::iter([Ok(answer)]))))
    }

    /// Login and password as pyarrow's `authenticate` sends them.
    async fn first_message(messages: &mut Streaming<HandshakeRequest>) -> Result<(Credential, u64), Status> {
        let first = messages
            .message()
            .await?
            .ok_or_else(|| status::of_login(AuthError::Missing))?;
        let BasicAuth { username, password } =
            BasicAuth::decode(first.payload).map_err(|_| status::of_login(AuthError::Missing))?;
        let credential = Credential::Basic {
            user: username,
            password,
        };
        Ok((credential, first.protocol_version))
    }
}
