//! The connections of a gRPC door: so many and no more, encrypted if there is TLS.

use std::future::ready;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::tls::Tls;

/// What clients of this door must speak over TLS.
const HTTP2: &[u8] = b"h2";
/// Clients that agree on keys at the same time; more wait to be accepted.
const HANDSHAKES_MAX: usize = 256;

/// A connection, with its place among those that may be open.
pub(crate) struct Connection<S> {
    stream: S,
    place: OwnedSemaphorePermit,
}

/// The connections that come, at most `max` at the same time; one more is closed at once, before anything of it is read.
pub(crate) fn capped(
    incoming: impl Stream<Item = Result<TcpStream>> + Send + 'static,
    max: usize,
) -> impl Stream<Item = Result<Connection<TcpStream>>> + Send + 'static {
    let places = Arc::new(Semaphore::new(max));
    incoming.filter_map(move |stream| {
        let place = Arc::clone(&places).try_acquire_owned();
        ready(match (stream, place) {
            (Ok(stream), Ok(place)) => Some(Ok(Connection { stream, place })),
            (Ok(_), Err(_)) => {
                tracing::warn!(max, "a connection is one too many");
                None
            }
            (Err(error), _) => Some(Err(error)),
        })
    })
}

/// Connections that have agreed on keys. A client that takes its time holds up none of the others.
pub(crate) fn agreed(
    incoming: impl Stream<Item = Result<Connection<TcpStream>>> + Send + 'static,
    tls: Arc<Tls>,
) -> impl Stream<Item = Result<Connection<TlsStream<TcpStream>>>> + Send + 'static {
    let agreeing = incoming.map(move |connection| {
        let tls = Arc::clone(&tls);
        async move {
            let Connection { stream, place } = connection?;
            match tls.accept(stream, HTTP2).await {
                Ok(stream) => Ok(Some(Connection { stream, place })),
                Err(error) => {
                    tracing::debug!(%error, "a client did not agree on TLS");
                    Ok(None)
                }
            }
        }
    });
    agreeing
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(|agreed: Result<Option<_>>| ready(agreed.transpose()))
}

impl<S: Connected> Connected for Connection<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tonic::transport::server::TcpIncoming;

    use super::*;

    #[tokio::test]
    async fn one_too_many_is_closed_and_a_place_is_free_again_when_its_connection_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut open = Box::pin(capped(TcpIncoming::from(listener), 2));
        let (_a, _b) = (
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        );
        let (first, second) = (open.next().await.unwrap().unwrap(), open.next().await.unwrap().unwrap());
        assert_eq!(first.connect_info().local_addr(), Some(address));
        let mut third = TcpStream::connect(address).await.unwrap();
        // Nothing comes of it, and it is closed.
        let mut byte = [0];
        tokio::select! {
            _ = open.next() => panic!("a third connection is let in"),
            read = third.read(&mut byte) => assert!(matches!(read, Ok(0) | Err(_))),
        }
        drop(first);
        let _fourth = TcpStream::connect(address).await.unwrap();
        assert!(open.next().await.unwrap().is_ok());
        drop(second);
    }
}
