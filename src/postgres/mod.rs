//! The PostgreSQL door: for tools without a Flight driver. Off unless `listen.postgres` names an address.
//!
//! ```text
//! connection -> TLS -> login (who) -> connection (messages) -> statement, rewrite (which) -> engine -> encode
//! ```
//! It speaks the protocol and puts PostgreSQL's own words into the engine's; what may be seen is decided on the one road,
//! for the same principals, with the same limits, log and audit trail as everywhere. The `pg_catalog` that tools read is
//! a schema of the governed catalog.
//!
//! The messages are read and written here: the crates that do it bring 19 others and change a feature of a crate below
//! the engine, for some four hundred lines.
//!
//! Deliberately absent: what defines tables inside a transaction (it commits by itself, so ROLLBACK would be a lie), COPY,
//! LISTEN, channel binding, and settings: `SET` is answered, and a word tells when it changes nothing.

mod answer;
mod connection;
mod empty;
mod encode;
mod errors;
mod extended;
mod functions;
mod literals;
mod login;
mod numeric;
mod parameters;
mod patterns;
mod rewrite;
mod run;
mod scram;
mod session;
mod settings;
mod statement;
mod transaction;
mod typeinfo;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::engine::Engine;
use crate::tls::Tls;
use session::Cancels;

/// Connections at the same time: each statement waits for its place like any other.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to log in, TLS included.
const LOGIN_MAX: Duration = Duration::from_secs(30);
/// How often a silent connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long connections that run something may go on after shutdown was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// What clients that begin with TLS at once must say they speak.
const POSTGRES: &[u8] = b"postgresql";
/// The requests that may come before the first message; both are 8 bytes long.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
/// How a TLS connection begins.
const TLS_BEGINS: u8 = 0x16;

/// What all connections share.
#[derive(Clone)]
struct Door {
    engine: Arc<Engine>,
    cancels: Arc<Cancels>,
}

/// How a client is connected.
struct Line {
    peer: SocketAddr,
    /// What of its first message was read already.
    begun: Vec<u8>,
    is_encrypted: bool,
    /// Of the client, verified by TLS.
    certificate: Option<Vec<u8>>,
}

/// Serves PostgreSQL's protocol on `listener` until `shutdown` completes, then lets running statements end for up to 30 s.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let door = Door {
        engine,
        cancels: Arc::default(),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let ending = CancellationToken::new();
    let mut incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE_INTERVAL));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = incoming.next() => accepted,
        };
        let stream = match accepted {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection to the PostgreSQL door was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            None => break,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // Closed at once: a queue of connections would only hide that there are too many.
            tracing::warn!(CONNECTIONS_MAX, "a connection to the PostgreSQL door is one too many");
            continue;
        };
        let (door, tls, ending) = (door.clone(), tls.clone(), ending.clone());
        tokio::spawn(async move {
            if let Err(error) = Box::pin(connected(door, stream, tls, ending)).await {
                tracing::debug!(%error, "a connection to the PostgreSQL door ended");
            }
            drop(place);
        });
    }
    ending.cancel();
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_MAX, places.acquire_many(all)).await;
}

async fn connected(
    door: Door,
    mut stream: TcpStream,
    tls: Option<Arc<Tls>>,
    ending: CancellationToken,
) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    let beginning = tokio::time::timeout(LOGIN_MAX, negotiate(&mut stream, tls.is_some())).await??;
    let tls = match (beginning, tls) {
        (Beginning::Tls, Some(tls)) => tls,
        (Beginning::Tls, None) => return Err(io::ErrorKind::InvalidData.into()),
        (Beginning::Plain(begun), _) => {
            let line = Line {
                peer,
                begun: begun.to_vec(),
                is_encrypted: false,
                certificate: None,
            };
            return connection::converse(door, stream, line, &ending).await;
        }
    };
    let stream = tls.accept(stream, POSTGRES).await?;
    let (_, agreed) = stream.get_ref();
    let shown = agreed.peer_certificates().and_then(|chain| chain.first());
    let line = Line {
        peer,
        begun: Vec::new(),
        is_encrypted: true,
        certificate: shown.map(|certificate| certificate.to_vec()),
    };
    connection::converse(door, stream, line, &ending).await
}

/// How a client begins.
enum Beginning {
    Tls,
    /// The first bytes of its first message.
    Plain([u8; 8]),
}

/// Answers what a client may ask before it begins.
async fn negotiate(stream: &mut TcpStream, has_tls: bool) -> io::Result<Beginning> {
    let mut begun = [0_u8; 8];
    // Each request comes at most once.
    for _ in 0..3 {
        let mut first = [0_u8; 1];
        let seen = stream.peek(&mut first).await?;
        if seen > 0 && first == [TLS_BEGINS] && has_tls {
            return Ok(Beginning::Tls);
        }
        stream.read_exact(&mut begun).await?;
        match begun {
            SSL_REQUEST if has_tls => {
                stream.write_all(b"S").await?;
                return Ok(Beginning::Tls);
            }
            SSL_REQUEST | GSS_REQUEST => stream.write_all(b"N").await?,
            _ => return Ok(Beginning::Plain(begun)),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
