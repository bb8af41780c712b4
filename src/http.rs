//! The HTTP door: one statement in, Arrow, JSON, CSV or a workbook out, and the page that draws them.
//!
//! ```text
//! request -> signin (who) -> ask (what, in which format) -> engine.run -> answer (encode, compress, stream)
//! ```
//! It stands on the query road like the Flight door: the same credentials, the same sessions, policies, limits and audit
//! trail. What the page shows comes through `/api/query` as the person signed in; the other calls tell who that is, what
//! he may see, how his dashboards are written, and whether something has changed.
//!
//! `/healthz` answers while the process lives, `/readyz` while it takes statements and its audit trail is written;
//! `/metrics` gives administrators the server's numbers.
//!
//! Deliberately absent: state a browser could read (the session is a cookie that scripts cannot see), calls from other
//! sites, anything fetched from elsewhere, and compression nobody asked for.

mod answer;
mod ask;
mod assets;
mod catalog;
mod csv;
mod dashboards;
mod encode;
mod json;
mod landing;
mod listen;
mod refusal;
mod signin;
mod tables;
mod version;
mod xlsx;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::marks;
use crate::engine::Engine;
use crate::system::SYSTEM;
use crate::tls::Tls;
use listen::{Encrypted, Peer};
use refusal::Refusal;
use signin::{Call, SignedOut};

/// Bytes of a request: a statement may have 1 MiB and its parameters some more.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Calls answered at the same time: far above what a lab's browsers open, low enough that sockets and memory stay bounded.
const CALLS_MAX: usize = 256;
/// How long a request may take to arrive: on a slow line 4 MiB take some seconds.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// What all calls share.
pub(crate) struct Door {
    engine: Arc<Engine>,
    places: Arc<Semaphore>,
    signed_out: SignedOut,
    good: dashboards::Good,
    seen_in_part: version::SeenInPart,
}

/// A call's place; an answer that streams keeps it to its end.
#[derive(Clone)]
struct Place(#[allow(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let door = Arc::new(Door {
        engine,
        places: Arc::new(Semaphore::new(CALLS_MAX)),
        signed_out: SignedOut::default(),
        good: dashboards::Good::default(),
        seen_in_part: version::SeenInPart::default(),
    });
    let routes = routes(door);
    let Some(tls) = tls else {
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        return axum::serve(listener, service).with_graceful_shutdown(shutdown).await;
    };
    let service = routes
        .layer(map_request(told_peer))
        .into_make_service_with_connect_info::<Peer>();
    let listener = Encrypted::new(listener, tls)?;
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

fn routes(door: Arc<Door>) -> Router {
    let api = Router::new()
        .route("/api/query", post(ask::query))
        .route("/api/login", post(signin::login))
        .route("/api/logout", post(signin::logout))
        .route("/api/me", get(signin::me))
        .route("/api/tables", get(tables::tables))
        .route("/api/catalog", get(catalog::catalog))
        .route("/api/version", get(version::version))
        .route("/api/dashboards", get(dashboards::list))
        .route("/api/dashboards/{name}", get(dashboards::one))
        .route("/api/dashboards/{name}/file", delete(dashboards::edit::remove))
        .route("/api/dashboards/{name}/file", get(dashboards::edit::read))
        .route("/api/dashboards/{name}/file", put(dashboards::edit::write))
        .route("/api/landed", post(landing::landed))
        .route("/api/landing/{*path}", get(landing::look))
        .route("/api/landing/{*path}", put(landing::put))
        .route("/api/openapi.json", get(assets::openapi))
        .fallback(async || Refusal::no_such_path())
        .method_not_allowed_fallback(async || Refusal::wrong_method())
        .layer(from_fn_with_state(Arc::clone(&door), admit));
    Router::new()
        .route("/", get(assets::page))
        .route("/ui/{version}/{*file}", get(assets::file))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(api)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(from_fn(guarded))
        .with_state(door)
}

/// An encrypted connection's peer where all calls look for it.
async fn told_peer(ConnectInfo(Peer(peer)): ConnectInfo<Peer>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// A place for each call, or a clear word that there is none.
async fn admit(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let Ok(permit) = Arc::clone(&door.places).try_acquire_owned() else {
        return Refusal::full(CALLS_MAX).into_response();
    };
    request.extensions_mut().insert(Place(Arc::new(permit)));
    next.run(request).await
}

/// Headers of every answer: no foreign script, style, frame or guess of a type; nothing of the API is kept by caches.
async fn guarded(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

async fn ready(State(door): State<Arc<Door>>) -> Response {
    if !door.engine.audit.is_healthy() {
        (StatusCode::SERVICE_UNAVAILABLE, "the audit trail cannot be written\n").into_response()
    } else if door.engine.admission.is_open() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

/// For Prometheus. It holds no names, texts or values, but tells when something changes, also what only some may see: so it
/// is for administrators, and their tokens that reach the system's schema.
async fn metrics(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let who = &caller.principal;
    if !(door.engine.policies.current().is_admin(who) && marks::reaches(who, SYSTEM)) {
        return Err(Refusal::administrators_only("/metrics"));
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, crate::metrics::page(&door.engine)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document and the routes name the same calls.
    #[test]
    fn openapi_describes_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(include_str!("http/openapi.json")).unwrap();
        let described: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap();
                methods.keys().map(move |method| format!("{method} {path}"))
            })
            .collect();
        let mut routed: Vec<String> = include_str!("http.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix(".route(\"/api"))
            .map(|line| {
                let (path, rest) = line.split_once("\", ").unwrap();
                let path = path.replace("{*", "{");
                format!("{} /api{path}", rest.split('(').next().unwrap())
            })
            .collect();
        routed.sort_by_key(|call| call.split_once(' ').map(|(_, path)| path.to_owned()));
        assert_eq!(described, routed);
        // These tell nothing of anybody.
        let open = ["post /api/logout", "get /api/openapi.json"];
        for call in routed.iter().filter(|call| !open.contains(&call.as_str())) {
            assert!(
                include_str!("../tests/suite/golden.txt").contains(&format!("\nhttp | {call} |")),
                "add {call} to tests/suite/golden.rs and bless it"
            );
        }
    }

    /// A kind of error that the document does not know would surprise a program.
    #[test]
    fn openapi_lists_every_status_of_a_query() {
        let document: serde_json::Value = serde_json::from_str(include_str!("http/openapi.json")).unwrap();
        let statuses = document["paths"]["/api/query"]["post"]["responses"]
            .as_object()
            .unwrap();
        for status in refusal::STATUSES {
            assert!(statuses.contains_key(status.as_str()), "{status}");
        }
    }
}
