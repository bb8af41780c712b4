//! Connections of the HTTP door when it encrypts: agreed on keys before they are served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// What browsers and programs speak here.
const HTTP1: &[u8] = b"http/1.1";
/// Clients that agree on keys at the same time; more wait to be accepted.
const HANDSHAKES_MAX: usize = 256;
/// How long to wait when no connection can be accepted, most likely for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);

type Agreed = (TlsStream<TcpStream>, SocketAddr);

/// A listener whose connections are encrypted. A client that takes its time holds up none of the others.
pub(super) struct Encrypted {
    agreed: mpsc::Receiver<Agreed>,
    address: SocketAddr,
}

impl Encrypted {
    pub(super) fn new(listener: TcpListener, tls: Arc<Tls>) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, agreed) = mpsc::channel(1);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self { agreed, address })
    }
}

/// Until nobody takes the connections any more.
async fn accept(listener: TcpListener, tls: Arc<Tls>, sender: mpsc::Sender<Agreed>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, sender) = (Arc::clone(&tls), sender.clone());
        tokio::spawn(async move {
            let agreed = tls.accept(stream, HTTP1).await;
            drop(place);
            match agreed {
                // Nobody takes it when the door has closed meanwhile.
                Ok(stream) => drop(sender.send((stream, peer)).await),
                Err(error) => tracing::debug!(%error, "a client did not agree on TLS"),
            }
        });
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Agreed {
        match self.agreed.recv().await {
            Some(agreed) => agreed,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Encrypted>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Encrypted>) -> Self {
        Self(*stream.remote_addr())
    }
}
