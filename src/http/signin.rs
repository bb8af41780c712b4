//! Who calls: `authorization` as at the Flight door, or the cookie of the page.
//!
//! The cookie is a sealed word that holds what the sign-in proved, read again on every call: a removed user or a revoked
//! token ends it. Scripts cannot read it and other sites cannot send it; a call that comes with it must come from our
//! own page all the same. It opens no other door, and signing out ends it for good, also for whoever copied it.

mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tonic::metadata::MetadataMap;

use super::refusal::Refusal;
use super::{Door, ask};
use crate::audit::Client;
use crate::flight::authn::{Caller, Credential, credential};
use crate::telemetry::TraceParent;
pub(super) use session::SignedOut;
use session::{Session, cookie};

/// What a call may do. Reading calls are safe from anywhere: their answers cannot be read by another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Reading,
    Changing,
}

/// Who calls; a refusal is told to the audit trail.
pub(super) async fn caller(
    door: &Door,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    call: Call,
) -> Result<Caller, Refusal> {
    let client = client(headers, peer);
    let credential = match shown(door, headers, call) {
        Ok(credential) => credential,
        Err(refused) => {
            door.engine.audit.login_refused(None, false, &client);
            return Err(refused);
        }
    };
    Caller::from_credential(&door.engine, credential, client)
        .await
        .map_err(|refused| Refusal::login(&refused))
}

/// The one credential of a call.
fn shown(door: &Door, headers: &HeaderMap, call: Call) -> Result<Credential, Refusal> {
    let metadata = MetadataMap::from_headers(headers.clone());
    let header = credential(&metadata).map_err(|refused| Refusal::login(&refused))?;
    match (header, cookie(headers)) {
        (Some(credential), None) => Ok(credential),
        (None, Some(cookie)) => {
            if call == Call::Changing && !(is_own_page(headers) && is_json(headers)) {
                return Err(Refusal::foreign());
            }
            let session = Session::open(&door.engine, &door.signed_out, cookie)
                .ok_or_else(|| Refusal::unauthenticated("your session has ended; sign in again"))?;
            Ok(Credential::Bearer(session.bearer))
        }
        (Some(_), Some(_)) => Err(Refusal::unauthenticated(
            "the call carries more than one credential; send either `authorization` or the page's cookie",
        )),
        (None, None) => Err(Refusal::unauthenticated(
            "sign in: send `authorization: Basic …` or `authorization: Bearer …`, or sign in on the page",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    /// Or a personal token.
    password: String,
}

/// Signs in on the page: a cookie for a password.
pub(super) async fn login(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    if !is_own_page(&headers) {
        return Err(Refusal::foreign());
    }
    let Login { user, password } = ask::body(request).await?;
    let credential = Credential::Basic {
        user,
        password: password.clone(),
    };
    let caller = Caller::from_credential(&door.engine, credential, client(&headers, Some(peer)))
        .await
        .map_err(|refused| Refusal::login(&refused))?;
    door.engine.audit.login(&caller.principal.name, &caller.client);
    // A personal token is kept as itself, so that what it may not do and its end stay with it.
    let is_token = door
        .engine
        .auth
        .bearer(&password)
        .is_ok_and(|who| who.name == caller.principal.name);
    let bearer = match caller.token() {
        Some(token) if !is_token => token.to_owned(),
        _ => password,
    };
    let session = Session::new(&door.engine, bearer);
    let told = told(&caller, Some(&session));
    let cookie = session.set_cookie(&door.engine, is_encrypted(&headers));
    Ok(([(header::SET_COOKIE, cookie)], Json(told)).into_response())
}

/// Ends the page's session.
pub(super) async fn logout(State(door): State<Arc<Door>>, headers: HeaderMap) -> Result<Response, Refusal> {
    if !is_own_page(&headers) || !is_json(&headers) {
        return Err(Refusal::foreign());
    }
    if let Some(session) = cookie(&headers).and_then(|cookie| Session::open(&door.engine, &door.signed_out, cookie)) {
        door.signed_out.add(&session);
    }
    let cookie = session::clear_cookie(is_encrypted(&headers));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Tells the caller who he is.
pub(super) async fn me(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = caller(&door, &headers, Some(peer), Call::Reading).await?;
    let session = cookie(&headers).and_then(|cookie| Session::open(&door.engine, &door.signed_out, cookie));
    Ok(Json(told(&caller, session.as_ref())).into_response())
}

fn told(caller: &Caller, session: Option<&Session>) -> serde_json::Value {
    json!({
        "name": caller.principal.name,
        "session_expires_unix_s": session.map(|session| session.expires_unix_s),
    })
}

fn client(headers: &HeaderMap, peer: Option<SocketAddr>) -> Arc<Client> {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    Arc::new(Client {
        door: "http",
        peer: peer.map(|peer| peer.to_string()),
        agent: agent.map(Client::agent),
        trace: TraceParent::of(headers.get("traceparent").and_then(|parent| parent.to_str().ok())),
        transaction: None,
        reads_only: false,
        part: None,
        unasked: false,
    })
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether a browser says that the call comes from our own page; programs, which say nothing of it, carry no cookie of
/// somebody else.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    let Some(origin) = text("origin") else { return true };
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    host.is_some() && host == text("host")
}

/// Whether the browser's connection is encrypted, by a proxy that says so. Whoever lies here only loses his own cookie.
fn is_encrypted(headers: &HeaderMap) -> bool {
    let proxied = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let page = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    proxied || page.is_some_and(|origin| origin.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_the_own_page_and_programs_may_call() {
        let own = [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")];
        assert!(is_own_page(&headers(&own)));
        assert!(is_own_page(&headers(&[("host", "127.0.0.1:8080")])));
        for foreign in [
            [("host", "127.0.0.1:8080"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8081")],
            [("host", "127.0.0.1:8080"), ("origin", "null")],
            [("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!is_own_page(&headers(&foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_not_json() {
        assert!(is_json(&headers(&[(
            "content-type",
            "application/json; charset=utf-8"
        )])));
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            assert!(!is_json(&headers(&[("content-type", kind)])), "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
