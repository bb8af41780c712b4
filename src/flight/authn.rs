//! Who calls: from the headers of a call to a `Principal`. Every method of the service starts here.
//!
//! Taken: `authorization: Basic …` (base64 in the standard or the URL alphabet, padded or not: ADBC's Go driver does not
//! pad), `authorization: Bearer …`, and `auth-token-bin`, where pyarrow's classic handshake puts its token. More than
//! one credential in a call is refused: which of two would count is a question an attacker likes to answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arrow::ipc::CompressionType;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use labhouse_policies::Principal;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Response, Status};

use super::envelope::{MESSAGE_BYTES_MAX, QUERY_ID, Taken, ipc_compression, message_bytes};
use super::sessions::{self, Session, Sessions};
use super::{endpoints, names, status, transactions};
use crate::audit::Client;
use crate::auth::{AuthError, hex_digest};
use crate::engine::Engine;
use crate::telemetry::TraceParent;

/// The header of credentials, in calls and answers.
pub(super) const AUTHORIZATION: &str = "authorization";
/// Where clients of the classic handshake send the token that its payload gave them.
const AUTH_TOKEN: &str = "auth-token-bin";

/// Someone whose credentials were checked for this call.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// From where, for the audit trail.
    pub(crate) client: Arc<Client>,
    /// What this call's result takes.
    pub(super) taken: Arc<Taken>,
    /// The compression of Arrow messages that the call asks for.
    pub(super) ipc: Option<CompressionType>,
    /// Bytes of a message that the caller takes.
    pub(super) message_bytes: usize,
    /// What the client chose for its statements.
    pub(super) session: Session,
    /// Whether the call asks for transactions.
    pub(super) transactions: bool,
    /// How many endpoints of a result the call asks for at most.
    pub(super) endpoints: usize,
    /// A session token for a caller who sent a password, so that the next call need not.
    token: Option<String>,
    /// The token that a caller showed.
    shown: Option<String>,
    /// What this call made of the session: the cookie and the token that bring it back.
    chosen: OnceLock<(String, Option<String>)>,
}

/// What a call shows to be let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Basic {
        user: String,
        password: String,
    },
    Bearer(String),
    /// Of the connection, verified by TLS.
    Certificate(Vec<u8>),
}

impl Caller {
    /// Checks the credentials of a call. A refusal is told to the audit trail.
    ///
    /// # Errors
    /// UNAUTHENTICATED when they are missing, malformed, doubled or wrong.
    pub(super) async fn from_headers(
        engine: &Engine,
        sessions: &Sessions,
        headers: &MetadataMap,
        peer: Option<SocketAddr>,
        certificate: Option<&[u8]>,
    ) -> Result<Self, Status> {
        let client = client(headers, peer);
        match shown(headers, certificate) {
            Ok(credential) => {
                let (credential, behind) = without_session(credential);
                let caller = Self::from_credential(engine, credential, client).await?;
                let remembered = caller.login_token(engine).and_then(|token| sessions.under(token));
                let session = remembered
                    .unwrap_or_else(|| Session::of(headers, behind.as_deref(), &caller.principal, &engine.tickets));
                Ok(Self {
                    ipc: ipc_compression(headers)?,
                    message_bytes: message_bytes(headers)?,
                    transactions: transactions::asked(headers)?,
                    endpoints: endpoints::asked(headers)?,
                    session,
                    ..caller.certified(engine, certificate)?
                })
            }
            Err(refused) => {
                engine.audit.login_refused(None, false, &client);
                Err(refused)
            }
        }
    }

    /// Checks one credential. A refusal is told to the audit trail.
    pub(crate) async fn from_credential(
        engine: &Engine,
        credential: Credential,
        client: Arc<Client>,
    ) -> Result<Self, Status> {
        let given = match &credential {
            Credential::Bearer(token) => Some(token.clone()),
            Credential::Basic { .. } | Credential::Certificate(_) => None,
        };
        let (user, found) = match credential {
            Credential::Basic { user, password } => {
                let found = engine.auth.basic(&user, &password).await;
                let found = found.map(|principal| (engine.auth.issue(&principal), principal));
                (Some(user), found)
            }
            Credential::Bearer(token) => {
                let found = engine.auth.token(&token).await;
                (None, found.map(|principal| (None, principal)))
            }
            Credential::Certificate(der) => {
                let found = engine.auth.certificate(&der);
                (None, found.map(|principal| (None, principal)))
            }
        };
        match found {
            Ok((token, principal)) => Ok(Self {
                principal,
                client,
                taken: Taken::new(),
                ipc: None,
                message_bytes: MESSAGE_BYTES_MAX,
                session: Session::default(),
                transactions: false,
                endpoints: 1,
                token,
                shown: given,
                chosen: OnceLock::new(),
            }),
            Err(refused) => {
                let is_known = user.as_ref().is_some_and(|user| engine.auth.named(user).is_some());
                engine.audit.login_refused(user.as_deref(), is_known, &client);
                Err(status::of_login(refused))
            }
        }
    }

    /// A connection with a certificate speaks for the one it names: other credentials on it must be his, too.
    pub(super) fn certified(self, engine: &Engine, certificate: Option<&[u8]>) -> Result<Self, Status> {
        let Some(der) = certificate else { return Ok(self) };
        match engine.auth.certificate(der) {
            Ok(named) if named.name != self.principal.name => {
                engine
                    .audit
                    .login_refused(Some(&self.principal.name), true, &self.client);
                Err(Status::unauthenticated(
                    "login refused: the client certificate names another login than the credentials of the call",
                ))
            }
            // One that names nobody here, such as a gateway's, only opens the connection.
            Ok(_) | Err(_) => Ok(self),
        }
    }

    /// The session token made for this call, if it came with a password.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A statement with its bare names in the schema that the session has chosen.
    pub(super) fn named(&self, engine: &Engine, sql: String) -> String {
        match &self.session.schema {
            // What is too large to be run is not read either.
            Some(schema) if engine.admission.check(&sql).is_ok() => names::in_schema(&sql, schema),
            Some(_) | None => sql,
        }
    }

    /// The token that a login gave this caller: his alone, as personal and other tokens need not be.
    fn login_token(&self, engine: &Engine) -> Option<&str> {
        let shown = self.shown.as_deref().filter(|token| engine.auth.is_of_login(token));
        self.token.as_deref().or(shown)
    }

    /// The login that this caller came by, where one login is one connection.
    pub(super) fn login(&self, engine: &Engine) -> Option<String> {
        self.login_token(engine).map(hex_digest)
    }

    /// Makes the answer to this call bring the client its new session.
    pub(super) fn choose(&self, session: &Session, sessions: &Sessions, engine: &Engine) {
        if let Some(token) = self.login_token(engine) {
            sessions.remember(token, session.clone());
        }
        let token = self.token.as_ref().or(self.shown.as_ref());
        let token = token.map(|token| session.behind(token, &self.principal, &engine.tickets));
        let _ = self
            .chosen
            .set((session.cookie(&self.principal, &engine.tickets), token));
    }

    /// Ends the session: nothing is chosen any more, and the token that its login gave is none. Another kind of token has its
    /// own end.
    pub(super) fn close(&self, sessions: &Sessions, engine: &Engine) {
        let Some(token) = self.login_token(engine) else {
            return self.choose(&Session::default(), sessions, engine);
        };
        engine.auth.close(token);
        sessions.forget(token);
        let cookie = Session::default().cookie(&self.principal, &engine.tickets);
        let _ = self.chosen.set((cookie, None));
    }

    /// Wraps an answer; one to a password carries the session token in its headers, as clients expect.
    pub(super) fn answer<T>(&self, value: T) -> Response<T> {
        let mut response = Response::new(value);
        response.extensions_mut().insert(Arc::clone(&self.taken));
        // Told at once, so that a statement can be cancelled by its number while it runs.
        if let Some(id) = self.taken.id().and_then(|id| id.to_string().parse().ok()) {
            response.metadata_mut().insert(QUERY_ID, id);
        }
        let (cookie, token) = match self.chosen.get() {
            Some((cookie, token)) => (Some(cookie.as_str()), token.as_deref()),
            None => (None, self.token()),
        };
        if let Some(value) = token.and_then(bearer_value) {
            response.metadata_mut().insert(AUTHORIZATION, value);
        }
        if let Some(value) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.metadata_mut().insert("set-cookie", value);
        }
        response
    }
}

/// What a call shows: its credential, or else the certificate of its connection.
fn shown(headers: &MetadataMap, certificate: Option<&[u8]>) -> Result<Credential, Status> {
    match (credential(headers)?, certificate) {
        (Some(credential), _) => Ok(credential),
        (None, Some(der)) => Ok(Credential::Certificate(der.to_vec())),
        (None, None) => Err(status::of_login(AuthError::Missing)),
    }
}

/// A credential, and the session that came behind its token.
pub(super) fn without_session(credential: Credential) -> (Credential, Option<String>) {
    match credential {
        Credential::Bearer(token) => {
            let (token, session) = sessions::apart(&token);
            (Credential::Bearer(token.to_owned()), session.map(str::to_owned))
        }
        Credential::Basic { .. } | Credential::Certificate(_) => (credential, None),
    }
}

/// From where a call comes, as far as its connection and headers say.
pub(super) fn client(headers: &MetadataMap, peer: Option<SocketAddr>) -> Arc<Client> {
    let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok());
    Arc::new(Client {
        door: "flight",
        peer: peer.map(|peer| peer.to_string()),
        agent: agent.map(Client::agent),
        trace: TraceParent::of(headers.get("traceparent").and_then(|parent| parent.to_str().ok())),
        transaction: None,
        reads_only: false,
        part: None,
        unasked: false,
    })
}

/// The one credential of a call, `None` when it has none.
pub(crate) fn credential(headers: &MetadataMap) -> Result<Option<Credential>, Status> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = authorizations.next();
    let mut tokens = headers.get_all_bin(AUTH_TOKEN).iter();
    let token = tokens.next();
    if authorizations.next().is_some() || tokens.next().is_some() || (authorization.is_some() && token.is_some()) {
        return Err(Status::unauthenticated(
            "login refused: the call carries more than one credential; send one `authorization` header",
        ));
    }
    if let Some(value) = authorization {
        return read_authorization(value).map(Some);
    }
    let Some(value) = token else { return Ok(None) };
    let bytes = value.to_bytes().map_err(|_| unreadable())?;
    let token = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
    Ok(Some(Credential::Bearer(token.to_owned())))
}

fn read_authorization(value: &MetadataValue<Ascii>) -> Result<Credential, Status> {
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, word) = text.trim().split_once(' ').ok_or_else(unreadable)?;
    let word = word.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credential::Bearer(word.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let decoded = decode_base64(word)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(unreadable)?;
    let (user, password) = decoded.split_once(':').ok_or_else(unreadable)?;
    Ok(Credential::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// Both alphabets, padded or not: drivers disagree, and nothing is gained by teaching them.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config)
        .decode(text)
        .or_else(|_| GeneralPurpose::new(&URL_SAFE, config).decode(text))
        .ok()
}

fn bearer_value(token: &str) -> Option<MetadataValue<Ascii>> {
    format!("Bearer {token}").parse().ok()
}

fn unreadable() -> Status {
    Status::unauthenticated(
        "login refused: the `authorization` header cannot be read; send `Basic <base64 of user:password>` or `Bearer <token>`",
    )
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn headers(values: &[&str]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for value in values {
            map.append(AUTHORIZATION, value.parse().unwrap());
        }
        map
    }

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    #[test]
    fn basic_is_read_in_both_alphabets_padded_or_not() {
        // "ana:p?>~" needs the last letters of the alphabets and padding.
        for word in ["YW5hOnA/Pn4=", "YW5hOnA/Pn4", "YW5hOnA_Pn4=", "YW5hOnA_Pn4"] {
            let read = credential(&headers(&[&format!("Basic {word}")])).unwrap();
            assert_eq!(read, Some(basic("ana", "p?>~")), "{word}");
        }
        let read = credential(&headers(&["basic YW5hOmE6Yg=="])).unwrap();
        assert_eq!(read, Some(basic("ana", "a:b")), "a password may hold a colon");
    }

    #[test]
    fn bearer_is_taken_from_either_header() {
        let read = credential(&headers(&["Bearer abc"])).unwrap();
        assert_eq!(read, Some(Credential::Bearer("abc".into())));
        let mut map = MetadataMap::new();
        map.insert_bin(AUTH_TOKEN, tonic::metadata::MetadataValue::from_bytes(b"abc"));
        assert_eq!(credential(&map).unwrap(), Some(Credential::Bearer("abc".into())));
    }

    #[test]
    fn nothing_is_nothing_and_two_are_refused() {
        assert_eq!(credential(&MetadataMap::new()).unwrap(), None);
        let mut both = headers(&["Bearer abc"]);
        both.insert_bin(AUTH_TOKEN, tonic::metadata::MetadataValue::from_bytes(b"abc"));
        for map in [headers(&["Bearer abc", "Bearer abc"]), both] {
            assert_eq!(credential(&map).unwrap_err().code(), Code::Unauthenticated);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for value in [
            "",
            "Basic",
            "Basic !!!",
            "Basic YW5h",
            "Digest abc",
            "Negotiate YW5hOmI=",
        ] {
            let error = credential(&headers(&[value])).unwrap_err();
            assert_eq!(error.code(), Code::Unauthenticated, "{value}");
        }
    }

    proptest::proptest! {
        /// Whatever a header holds: no panic, and a login comes out only as it was packed.
        #[test]
        fn a_login_comes_out_only_as_it_was_packed(
            user in "[a-z:@é\u{0}]{0,12}",
            password in "[ -~é]{0,24}",
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
            at in 0..80_usize,
            scheme in "(?i)basic|bearer|digest|[ -~]{0,8}",
        ) {
            use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
            let pair = format!("{user}:{password}");
            let (want_user, want_password) = pair.split_once(':').unwrap();
            let packed = Some(basic(want_user, want_password));
            for word in [STANDARD.encode(&pair), STANDARD_NO_PAD.encode(&pair), URL_SAFE.encode(&pair)] {
                let read = credential(&headers(&[&format!("Basic {word}")])).unwrap();
                proptest::prop_assert_eq!(&read, &packed);
                // Damaged in one place: refused, or another login than the one that was packed, never a panic.
                let mut bytes = format!("{scheme} {word}").into_bytes();
                let at = at.min(bytes.len());
                bytes.splice(at..at, noise.iter().copied());
                let Ok(value) = MetadataValue::try_from(bytes.as_slice()) else { continue };
                let mut map = MetadataMap::new();
                map.insert(AUTHORIZATION, value);
                match credential(&map) {
                    Err(refused) => proptest::prop_assert_eq!(refused.code(), Code::Unauthenticated),
                    Ok(Some(Credential::Basic { user, password })) => {
                        let read = String::from_utf8_lossy(&bytes).trim().split_once(' ').map(|(_, w)| w.trim().to_owned()).unwrap();
                        proptest::prop_assert_eq!(decode_base64(&read).unwrap(), format!("{user}:{password}").into_bytes());
                    }
                    Ok(Some(Credential::Bearer(token))) => {
                        proptest::prop_assert!(String::from_utf8_lossy(&bytes).contains(&token));
                    }
                    Ok(Some(Credential::Certificate(_)) | None) => {
                        proptest::prop_assert!(false, "a header that is there is read or refused");
                    }
                }
            }
        }

        /// The binary header of the classic handshake.
        #[test]
        fn a_binary_token_is_a_bearer_or_refused(noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let mut map = MetadataMap::new();
            map.insert_bin(AUTH_TOKEN, MetadataValue::from_bytes(&noise));
            match credential(&map) {
                Ok(Some(Credential::Bearer(token))) => proptest::prop_assert_eq!(token.into_bytes(), noise),
                Ok(other) => proptest::prop_assert!(false, "{other:?}"),
                Err(refused) => proptest::prop_assert_eq!(refused.code(), Code::Unauthenticated),
            }
        }
    }
}
