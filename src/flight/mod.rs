//! The Flight SQL door: Arrow over gRPC, for ADBC, JDBC, ODBC, BI tools and `labhouse sql`.
//!
//! ```text
//! call -> authn (who) -> service (which command) -> statements | prepared | metadata | actions -> engine -> stream
//! ```
//! The door speaks the protocol and nothing else. It holds no table, plans nothing and decides nothing about data: each
//! call carries its own credentials, becomes a `Principal`, and asks the engine as that principal. Between calls it keeps
//! no statement: tickets and handles are sealed words that the client brings back. What it does remember is bounded and
//! expires: parameters bound by clients that ignore the handle we return (`bindings`), and which results flow now, so
//! that they can be cancelled (`flights`).
//!
//! arrow-flight's `FlightSqlService` is not used: it answers GetSchema, PollFlightInfo and ListFlights itself as
//! unimplemented, turns malformed commands into INTERNAL, and has no session messages. `service` dispatches the same
//! commands in a third of the lines.
//!
//! Deliberately absent: anonymous calls (also for metadata and SqlInfo), transactions (each statement commits by itself),
//! DoExchange, and compression of answers nobody asked for (C++ clients always offer gzip; on a local network it halves
//! the speed).

mod actions;
pub(crate) mod authn;
mod bindings;
mod expiring;
mod flights;
mod handshake;
mod ingest;
mod keys;
mod metadata;
mod parameters;
pub(crate) mod placeholders;
mod prepared;
mod service;
mod sessions;
mod sql_info;
mod statements;
mod status;
mod stream;
mod wire;
mod xdbc;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};

use crate::engine::Engine;
use service::Door;

/// Largest request message. Statements are capped far lower by the engine; this is room for bound parameters.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Calls at the same time on one connection: far above what a dashboard opens, low enough that one client cannot take all.
const CALLS_PER_CONNECTION_MAX: u32 = 256;
/// How often an idle connection is asked whether it lives: below the minute after which common proxies forget it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer may take before the connection, and the statements of its calls, are given up.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of request headers: tokens and cookies fit many times.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// How long results that flow may take to end after shutdown was asked for; a reader that sleeps must not hold the server.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Serves Flight SQL on `listener` until `shutdown` completes, then lets running calls end for up to 30 s.
///
/// # Errors
/// The TLS settings cannot be used, or the listener fails.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let service = FlightServiceServer::new(Door::new(engine))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX);
    if let Some(tls) = tls {
        server = server.tls_config(tls)?;
    }
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE_INTERVAL));
    let draining = CancellationToken::new();
    let drain = draining.clone();
    let serving = server
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async move {
            shutdown.await;
            drain.cancel();
        });
    tokio::select! {
        ended = serving => ended,
        () = overdue(draining) => {
            tracing::warn!(limit_s = DRAIN_MAX.as_secs(), "results were still flowing when the drain time ended; closing them");
            Ok(())
        }
    }
}

async fn overdue(draining: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
