//! Sessions: the messages, which arrow-flight does not have, and what a client may choose for its statements.
//!
//! What a client chose travels with it, sealed for its principal: in the cookie that the format recommends
//! (`arrow_flight_session_id`, which JDBC keeps, and ADBC when asked to) and behind its token
//! (`Bearer <token>~<session>`, which ADBC takes from any answer). A word that does not open is no session. Some clients
//! lose both (ADBC 1.13 goes back to the token of its login when it closes a prepared statement), so what was chosen under
//! a token that a login gave, which one connection has, is also remembered here, for a while.
//!
//! Options: `catalog`, which has one value (clients set it when their URL names a catalog, and must be told if they ask
//! for another), and `schema`, where tables named without one are looked for.

use std::collections::HashMap;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use labhouse_policies::Principal;
use parking_lot::Mutex;
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tonic::metadata::MetadataMap;

use super::prepared::HANDLE_LIFETIME;
use crate::expiring::Expiring;
use crate::query::statement::CATALOG;
use crate::ticket::Sealer;

/// The cookie that holds a session.
const COOKIE: &str = "arrow_flight_session_id";
/// Between a token and the session that goes with it; no token has this letter.
const BEHIND_TOKEN: char = '~';
const SESSION: &str = "flight session";
/// Sessions remembered; some 100 bytes each.
const SESSIONS_MAX: usize = 10_000;
const SCHEMA: &str = "schema";

/// What a client chose for its statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Where tables named without a schema are looked for.
    pub(super) schema: Option<String>,
}

impl Session {
    /// The session that the words in a call's headers bring, as far as it is this principal's.
    pub(super) fn of(headers: &MetadataMap, behind_token: Option<&str>, who: &Principal, sealer: &Sealer) -> Self {
        let of_cookie = headers.get_all("cookie").iter().find_map(|line| {
            let pairs = line.to_str().ok()?.split(';');
            let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
        });
        let open = |word: &str| {
            let sealed = URL_SAFE_NO_PAD.decode(word.trim_matches('"')).ok()?;
            sealer.open(SESSION, who, &sealed).ok()
        };
        let mut opened = [behind_token, of_cookie].into_iter().flatten().filter_map(open);
        opened.next().unwrap_or_default()
    }

    /// The word that brings this session back; none when nothing is chosen.
    fn sealed(&self, who: &Principal, sealer: &Sealer) -> Option<String> {
        (*self != Self::default()).then(|| URL_SAFE_NO_PAD.encode(sealer.seal(SESSION, who, HANDLE_LIFETIME, self)))
    }

    /// The cookie that makes a client keep this session, or forget what it had.
    pub(super) fn cookie(&self, who: &Principal, sealer: &Sealer) -> String {
        match self.sealed(who, sealer) {
            Some(word) => format!("{COOKIE}={word}; Path=/; Max-Age={}", HANDLE_LIFETIME.as_secs()),
            None => format!("{COOKIE}=; Path=/; Max-Age=0"),
        }
    }

    /// A token with this session behind it.
    pub(super) fn behind(&self, token: &str, who: &Principal, sealer: &Sealer) -> String {
        match self.sealed(who, sealer) {
            Some(word) => format!("{token}{BEHIND_TOKEN}{word}"),
            None => token.to_owned(),
        }
    }
}

/// What was chosen under the tokens of logins.
pub(super) struct Sessions(Mutex<Expiring<Digest, Session>>);

type Digest = [u8; 32];

impl Sessions {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Expiring::new(SESSIONS_MAX, HANDLE_LIFETIME)))
    }

    /// What was chosen last under a token; none when nothing is remembered.
    pub(super) fn under(&self, token: &str) -> Option<Session> {
        self.0.lock().get(&digest(token)).cloned()
    }

    pub(super) fn forget(&self, token: &str) {
        self.0.lock().remove(&digest(token));
    }

    pub(super) fn remember(&self, token: &str, session: Session) {
        self.0.lock().insert(digest(token), session, Instant::now());
    }
}

fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// A token and the session behind it.
pub(super) fn apart(token: &str) -> (&str, Option<&str>) {
    match token.split_once(BEHIND_TOKEN) {
        Some((token, session)) => (token, Some(session)),
        None => (token, None),
    }
}

/// Answers SetSessionOptions: the session as it is from now on, and an error for each option that did not take. `is_there`
/// says whether the caller may name a schema.
pub(super) fn set(
    request: &SetSessionOptionsRequest,
    before: &Session,
    is_there: impl Fn(&str) -> bool,
) -> (Session, Bytes) {
    let mut session = before.clone();
    let errors = request.session_options.iter().filter_map(|(name, value)| {
        // No value means "back to the default".
        let error = match (name.as_str(), &value.option_value) {
            ("catalog", Some(OptionValue::Text(text))) if text == CATALOG => return None,
            ("catalog", None) => return None,
            ("catalog", Some(_)) => ErrorValue::InvalidValue,
            (SCHEMA, None) => {
                session.schema = None;
                return None;
            }
            (SCHEMA, Some(OptionValue::Text(text))) if text.is_empty() => {
                session.schema = None;
                return None;
            }
            (SCHEMA, Some(OptionValue::Text(text))) if is_there(text) => {
                session.schema = Some(text.clone());
                return None;
            }
            (SCHEMA, Some(_)) => ErrorValue::InvalidValue,
            _ => ErrorValue::InvalidName,
        };
        Some((name.clone(), OptionError { value: error as i32 }))
    });
    let errors = errors.collect();
    (session, SetSessionOptionsResult { errors }.encode_to_vec().into())
}

impl SetSessionOptionsRequest {
    /// Whether a schema is chosen, so that it matters which there are.
    pub(super) fn names_a_schema(&self) -> bool {
        self.session_options.contains_key(SCHEMA)
    }
}

/// Answers GetSessionOptions.
pub(super) fn get(session: &Session) -> Bytes {
    let text = |text: &str| SessionOptionValue {
        option_value: Some(OptionValue::Text(text.to_owned())),
    };
    GetSessionOptionsResult {
        session_options: HashMap::from([
            ("catalog".to_owned(), text(CATALOG)),
            (SCHEMA.to_owned(), text(session.schema.as_deref().unwrap_or_default())),
        ]),
    }
    .encode_to_vec()
    .into()
}

/// Answers CloseSession.
pub(super) fn close() -> Bytes {
    CloseSessionResult {
        status: CloseStatus::Closed as i32,
    }
    .encode_to_vec()
    .into()
}

/// Asks for options to be set.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(enumeration = "ErrorValue", tag = "1")]
    value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum ErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> SessionOptionValue {
        SessionOptionValue {
            option_value: Some(OptionValue::Text(value.into())),
        }
    }

    fn asked(options: &[(&str, SessionOptionValue)]) -> (Session, HashMap<String, OptionError>) {
        let session_options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let before = Session {
            schema: Some("assay".into()),
        };
        let (session, answer) = set(&SetSessionOptionsRequest { session_options }, &before, |schema| {
            schema == "chemistry"
        });
        (session, SetSessionOptionsResult::decode(answer).unwrap().errors)
    }

    #[test]
    fn each_option_that_does_not_take_gets_its_own_error_and_the_others_take() {
        let list = SessionOptionValue {
            option_value: Some(OptionValue::Texts(Texts {
                values: vec!["x".into()],
            })),
        };
        let (session, errors) = asked(&[
            ("catalog", text(CATALOG)),
            ("schema", text("chemistry")),
            ("other", text("x")),
            (
                "flag",
                SessionOptionValue {
                    option_value: Some(OptionValue::Boolean(true)),
                },
            ),
            (
                "number",
                SessionOptionValue {
                    option_value: Some(OptionValue::Integer(1)),
                },
            ),
            ("list", list.clone()),
        ]);
        assert_eq!(session.schema.as_deref(), Some("chemistry"));
        assert_eq!(errors.len(), 4);
        assert!(
            errors
                .values()
                .all(|error| error.value == ErrorValue::InvalidName as i32)
        );
        for wrong in [text("hidden"), text("CHEMISTRY"), list] {
            let (session, errors) = asked(&[("schema", wrong), ("catalog", text("other"))]);
            assert_eq!(session.schema.as_deref(), Some("assay"), "as before");
            assert!(
                errors
                    .values()
                    .all(|error| error.value == ErrorValue::InvalidValue as i32)
            );
            assert_eq!(errors.len(), 2);
        }
        for nothing in [text(""), SessionOptionValue { option_value: None }] {
            let (session, errors) = asked(&[
                ("schema", nothing),
                ("catalog", SessionOptionValue { option_value: None }),
            ]);
            assert!(errors.is_empty() && session == Session::default());
        }
    }

    #[test]
    fn what_was_set_is_told_and_closing_closes() {
        let session = Session {
            schema: Some("assay".into()),
        };
        let options = GetSessionOptionsResult::decode(get(&session)).unwrap().session_options;
        assert_eq!(options["catalog"], text(CATALOG));
        assert_eq!(options["schema"], text("assay"));
        assert_eq!(
            CloseSessionResult::decode(close()).unwrap().status,
            CloseStatus::Closed as i32
        );
    }

    #[test]
    fn a_session_comes_back_to_its_owner_by_cookie_or_behind_the_token() {
        let sealer = Sealer::new();
        let (ana, sam) = (Principal::new("ana"), Principal::new("sam"));
        let session = Session {
            schema: Some("assay".into()),
        };
        let cookie = session.cookie(&ana, &sealer);
        let mut headers = MetadataMap::new();
        let sent = format!("other=1; {}", cookie.split(';').next().unwrap());
        headers.insert("cookie", sent.parse().unwrap());
        assert_eq!(Session::of(&headers, None, &ana, &sealer), session);
        assert_eq!(Session::of(&headers, None, &sam, &sealer), Session::default());
        let token = session.behind("labhouse_abc.def-_", &ana, &sealer);
        let (token, behind) = apart(&token);
        assert_eq!(token, "labhouse_abc.def-_");
        let none = MetadataMap::new();
        assert_eq!(Session::of(&none, behind, &ana, &sealer), session);
        assert_eq!(Session::of(&none, behind, &sam, &sealer), Session::default());
        assert_eq!(Session::of(&none, Some("noise"), &ana, &sealer), Session::default());
        // What a client lost is remembered under its token, and under no other.
        let sessions = Sessions::new();
        sessions.remember("token", session.clone());
        assert_eq!(
            (sessions.under("token"), sessions.under("other")),
            (Some(session), None)
        );
        sessions.remember("token", Session::default());
        assert_eq!(
            sessions.under("token"),
            Some(Session::default()),
            "nothing chosen any more"
        );
        sessions.forget("token");
        assert_eq!(sessions.under("token"), None, "closed");
        // Nothing chosen leaves nothing behind.
        let nothing = Session::default();
        assert!(nothing.cookie(&ana, &sealer).contains("Max-Age=0"));
        assert_eq!(nothing.behind("t", &ana, &sealer), "t");
        assert_eq!(apart("t"), ("t", None));
    }
}
