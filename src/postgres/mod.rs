//! The PostgreSQL door: for tools without a Flight driver. Off unless `listen.postgres` names an address.
//!
//! ```text
//! connection -> TLS -> startup (who) -> handler (which statement) -> statement, rewrite -> engine -> encode
//! ```
//! It speaks the protocol and puts PostgreSQL's own words into the engine's; what may be seen is decided on the one road,
//! for the same principals, with the same limits, log and audit trail as everywhere. The `pg_catalog` that tools read is
//! a schema of the governed catalog.
//!
//! Deliberately absent: transactions around writes, savepoints, COPY, cursors by SQL, LISTEN, and settings: `SET` is
//! answered and changes nothing.

mod empty;
mod encode;
mod errors;
mod handler;
mod numeric;
mod parameters;
mod rewrite;
mod session;
mod startup;
mod statement;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use pgwire::api::cancel::CancelHandler;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState, RandomPidSecretKeyGenerator};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::cancel::CancelRequest;
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::tls::Tls;
use session::Cancels;
use statement::Prepared;

/// Connections at the same time: each statement waits for its place like any other.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to log in.
const LOGIN_MAX: Duration = Duration::from_secs(30);
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
    numbers: Arc<RandomPidSecretKeyGenerator>,
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
        numbers: Arc::default(),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let ending = CancellationToken::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the PostgreSQL door was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // Closed at once: a queue of connections would only hide that there are too many.
            tracing::warn!(CONNECTIONS_MAX, "a connection to the PostgreSQL door is one too many");
            continue;
        };
        let (door, tls, ending) = (door.clone(), tls.clone(), ending.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(door, stream, tls, ending).await {
                tracing::debug!(%error, "a connection to the PostgreSQL door ended");
            }
            drop(place);
        });
    }
    ending.cancel();
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_MAX, places.acquire_many(all)).await;
}

async fn connection(
    door: Door,
    mut stream: TcpStream,
    tls: Option<Arc<Tls>>,
    ending: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let wants_tls = tokio::time::timeout(LOGIN_MAX, negotiate(&mut stream, tls.is_some())).await??;
    let peer = stream.peer_addr()?;
    match tls.filter(|_| wants_tls) {
        Some(tls) => {
            let stream = tls.accept(stream, POSTGRES).await?;
            converse(door, stream, DefaultClient::new(peer, true), ending).await
        }
        None => converse(door, stream, DefaultClient::new(peer, false), ending).await,
    }
}

/// Answers what a client may ask before it begins; true when TLS comes next.
async fn negotiate(stream: &mut TcpStream, has_tls: bool) -> io::Result<bool> {
    // Each request comes at most once.
    for _ in 0..2 {
        let mut begin = [0_u8; 8];
        loop {
            let seen = stream.peek(&mut begin).await?;
            match seen {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if begin.first() == Some(&TLS_BEGINS) => return Ok(has_tls),
                8.. => break,
                // The rest is on its way; peeking does not wait for it.
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        if begin != SSL_REQUEST && begin != GSS_REQUEST {
            return Ok(false);
        }
        stream.read_exact(&mut begin).await?;
        if begin == SSL_REQUEST && has_tls {
            stream.write_all(b"S").await?;
            return Ok(true);
        }
        stream.write_all(b"N").await?;
    }
    Ok(false)
}

/// Messages until the client or the server has enough.
async fn converse<S>(
    door: Door,
    stream: S,
    client: DefaultClient<Prepared>,
    ending: CancellationToken,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    let mut socket = Framed::new(stream, PgWireMessageServerCodec::new(client));
    socket.set_state(PgWireConnectionState::AwaitingStartup);
    let (door, copies) = (Arc::new(door), Arc::new(NoopHandler));
    let mut login = std::pin::pin!(tokio::time::sleep(LOGIN_MAX));
    let outcome = loop {
        let logging_in = matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let message = tokio::select! {
            // Nothing runs between two messages.
            () = ending.cancelled() => break Ok(()),
            () = &mut login, if logging_in => break Ok(()),
            message = socket.next() => message,
        };
        let Some(Ok(message)) = message else { break Ok(()) };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            break Ok(());
        }
        let extended = message.is_extended_query();
        let done = process_message(
            message,
            &mut socket,
            Arc::clone(&door),
            Arc::clone(&door),
            Arc::clone(&door),
            Arc::clone(&copies),
            Arc::clone(&door),
        )
        .await;
        if let Err(error) = done
            && let Err(error) = process_error(&mut socket, error, extended).await
        {
            break Err(error);
        }
    };
    let (pid, _) = socket.pid_and_secret_key();
    door.cancels.forget(pid);
    let _ = socket.close().await;
    outcome
}

#[async_trait]
impl CancelHandler for Door {
    async fn on_cancel_request(&self, request: CancelRequest) {
        self.cancels.cancel(request.pid, &request.secret_key);
    }
}
