//! The Flight SQL door: Arrow over gRPC, for ADBC, JDBC, ODBC, BI tools and `labhouse sql`.
//!
//! ```text
//! call -> authn (who, by the headers) -> service (which command) -> statements | prepared | metadata | actions -> engine -> stream
//! ```
//! The door speaks the protocol and nothing else. It holds no table, plans nothing and decides nothing about data: each
//! call carries its own credentials, becomes a `Principal`, and asks the engine as that principal. Between calls it keeps
//! no statement: tickets, handles and sessions are sealed words that the client brings back. What it does remember is
//! bounded and expires: parameters bound by clients that ignore the handle we return (`bindings`), what was chosen by those
//! that lose their session (`sessions`), which handles were closed (`prepared`), and which results flow now, so that they can
//! be cancelled (`flights`).
//!
//! A Substrait plan becomes the SQL that it asks, here at the door (`substrait`), and is a statement like any other from then on.
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
mod bodies;
mod endpoints;
pub(crate) mod envelope;
mod flights;
mod handshake;
mod ingest;
mod keys;
mod message;
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
mod substrait;
mod transactions;
mod wire;
mod xdbc;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower_service::Service;

use crate::connections;
use crate::engine::Engine;
use crate::tls::Tls;
use envelope::Envelope;
use service::Door;

/// Largest request message: a ticket or handle with the values bound to it, many times over. Nothing of a call is read
/// before its headers have let it in.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Largest message of a DoPut: clients send a batch of a bulk load as one message (ADBC's own limit is 16 MiB until it is
/// told another, pyarrow has none).
const PUT_BYTES_MAX: usize = 128 << 20;
/// Largest message of a login, which is read before its sender is known: a name and a password, or a provider's token.
const LOGIN_BYTES_MAX: usize = 64 << 10;
/// Connections at the same time: several times what a lab's tools open, and each holds some ten KiB and a file descriptor.
const CONNECTIONS_MAX: usize = 4_096;
/// Calls at the same time on one connection: far above what a dashboard opens, low enough that one client cannot take all.
const CALLS_PER_CONNECTION_MAX: u32 = 256;
/// How often an idle connection is asked whether it lives: below the minute after which common proxies forget it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer may take before the connection, and the statements of its calls, are given up: longer than a virtual machine is
/// stopped while it is moved or saved. A client that ends closes its connection, which is seen at once.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);
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
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let door = Arc::new(Door::new(engine));
    let service = Calls {
        all: taking(&door, REQUEST_BYTES_MAX),
        puts: taking(&door, PUT_BYTES_MAX),
        logins: taking(&door, LOGIN_BYTES_MAX),
        door,
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
    let incoming = connections::capped(incoming, CONNECTIONS_MAX);
    let serving = async move {
        match tls {
            None => router.serve_with_incoming_shutdown(incoming, ending).await,
            Some(tls) => {
                let agreed = connections::agreed(incoming, tls);
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

/// One service whose calls take messages of different sizes, once they are let in.
#[derive(Clone)]
struct Calls {
    all: FlightServiceServer<Door>,
    puts: FlightServiceServer<Door>,
    logins: FlightServiceServer<Door>,
    door: Arc<Door>,
}

impl NamedService for Calls {
    const NAME: &'static str = <FlightServiceServer<Door> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Who calls is asked of the headers, so a stranger's message is refused unread.
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.ends_with("/Handshake") {
            return Box::pin(self.logins.call(request));
        }
        let mut service = match path.ends_with("/DoPut") {
            true => self.puts.clone(),
            false => self.all.clone(),
        };
        let door = Arc::clone(&self.door);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match door.let_in(&head.headers, &head.extensions).await {
                Ok(caller) => {
                    head.extensions.insert(Arc::new(caller));
                    service.call(http::Request::from_parts(head, body)).await
                }
                Err(refused) => Ok(refused.into_http()),
            }
        })
    }
}

async fn overdue(draining: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
