//! The Flight SQL door: Arrow over gRPC, for ADBC, JDBC, ODBC, BI tools and `labhouse sql`.
//!
//! ```text
//! call -> authn (who) -> service (which command) -> statements | prepared | metadata | actions -> engine -> stream
//! ```
//! The door speaks the protocol and nothing else. It holds no table, plans nothing and decides nothing about data: each
//! call carries its own credentials, becomes a `Principal`, and asks the engine as that principal. Between calls it keeps
//! no statement: tickets, handles and sessions are sealed words that the client brings back. What it does remember is
//! bounded and expires: parameters bound by clients that ignore the handle we return (`bindings`), what was chosen by those
//! that lose their session (`sessions`), and which results flow now, so that they can be cancelled (`flights`).
//!
//! arrow-flight's `FlightSqlService` is not used: it answers GetSchema, PollFlightInfo and ListFlights itself as
//! unimplemented, turns malformed commands into INTERNAL, and has no session messages. `service` dispatches the same
//! commands in a third of the lines.
//!
//! Deliberately absent: anonymous calls (also for metadata and SqlInfo), DoExchange, several endpoints for one result (one node makes and sends it; a second stream would only share the same
//! cores), and compression of answers nobody asked for (see `envelope`).

mod actions;
pub(crate) mod authn;
mod bindings;
pub(crate) mod envelope;
mod expiring;
mod flights;
mod handshake;
mod ingest;
mod keys;
mod metadata;
mod names;
mod parameters;
pub(crate) mod placeholders;
mod prepared;
mod service;
mod sessions;
mod size;
mod sql_info;
mod statements;
mod status;
mod stream;
mod transactions;
mod wire;
mod xdbc;

use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use futures::{Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower_service::Service;

use crate::engine::Engine;
use crate::tls::Tls;
use envelope::Envelope;
use service::Door;

/// Largest request message. Statements are capped far lower by the engine; a message is read whole before its sender is
/// known.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Largest message of a DoPut, which is read after the login: clients send a batch of a bulk load as one message (ADBC's
/// own limit is 16 MiB until it is told another, pyarrow has none).
const PUT_BYTES_MAX: usize = 128 << 20;
/// Calls at the same time on one connection: far above what a dashboard opens, low enough that one client cannot take all.
const CALLS_PER_CONNECTION_MAX: u32 = 256;
/// How often an idle connection is asked whether it lives: below the minute after which common proxies forget it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer may take before the connection, and the statements of its calls, are given up.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of request headers: tokens and cookies fit many times.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What clients of this door must speak over TLS.
const HTTP2: &[u8] = b"h2";
/// Clients that agree on keys at the same time; more wait to be accepted.
const HANDSHAKES_MAX: usize = 256;
/// How long results that flow may take to end after shutdown was asked for; a reader that sleeps must not hold the server.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Serves Flight SQL on `listener` until `shutdown` completes, then lets running calls end for up to 30 s.
///
/// # Errors
/// The TLS settings cannot be used, or the listener fails.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let door = Arc::new(Door::new(engine));
    let service = Calls {
        all: taking(&door, REQUEST_BYTES_MAX),
        puts: taking(&door, PUT_BYTES_MAX),
    };
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX);
    let router = server.layer(Envelope).add_service(service);
    let draining = CancellationToken::new();
    let drain = draining.clone();
    let ending = async move {
        shutdown.await;
        drain.cancel();
    };
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE_INTERVAL));
    let serving = async move {
        match tls {
            None => router.serve_with_incoming_shutdown(incoming, ending).await,
            Some(tls) => {
                let agreed = agreed(incoming, tls);
                router.serve_with_incoming_shutdown(agreed, ending).await
            }
        }
    };
    tokio::select! {
        ended = serving => ended,
        () = overdue(draining) => {
            tracing::warn!(limit_s = DRAIN_MAX.as_secs(), "results were still flowing when the drain time ended; closing them");
            Ok(())
        }
    }
}

/// The service, for messages up to a size.
fn taking(door: &Arc<Door>, bytes_max: usize) -> FlightServiceServer<Door> {
    FlightServiceServer::from_arc(Arc::clone(door))
        .max_decoding_message_size(bytes_max)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd)
}

/// One service whose calls take messages of different sizes.
#[derive(Clone)]
struct Calls {
    all: FlightServiceServer<Door>,
    puts: FlightServiceServer<Door>,
}

impl NamedService for Calls {
    const NAME: &'static str = <FlightServiceServer<Door> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <FlightServiceServer<Door> as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path().ends_with("/DoPut") {
            true => self.puts.call(request),
            false => self.all.call(request),
        }
    }
}

/// Connections that have agreed on keys. A client that takes its time holds up none of the others.
fn agreed(
    incoming: TcpIncoming,
    tls: Arc<Tls>,
) -> impl Stream<Item = std::io::Result<TlsStream<TcpStream>>> + Send + 'static {
    let agreeing = incoming.map(move |stream| {
        let tls = Arc::clone(&tls);
        async move {
            match tls.accept(stream?, HTTP2).await {
                Ok(stream) => Ok(Some(stream)),
                Err(error) => {
                    tracing::debug!(%error, "a client did not agree on TLS");
                    Ok(None)
                }
            }
        }
    });
    agreeing
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(|agreed: std::io::Result<Option<TlsStream<TcpStream>>>| ready(agreed.transpose()))
}

async fn overdue(draining: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
