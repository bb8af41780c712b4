//! The HTTP door: health for machines, a first page for people.
//!
//! `/healthz` answers while the process lives, `/readyz` while it takes statements and its audit trail is written. Queries go through Flight SQL.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::engine::Engine;

const PAGE: &str = include_str!("http/index.html");

/// Serves until `shutdown`.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/", get(async || page()))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(engine);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await
}

async fn ready(State(engine): State<Arc<Engine>>) -> Response {
    if !engine.audit.is_healthy() {
        (StatusCode::SERVICE_UNAVAILABLE, "the audit trail cannot be written\n").into_response()
    } else if engine.admission.is_open() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

/// For Prometheus; without a login, since it holds no names, texts or values.
async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, crate::metrics::page(&engine)).into_response()
}

/// Strict headers from the first page on: no script, no frame, no guessing of types.
fn page() -> Response {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        Html(PAGE),
    )
        .into_response()
}
