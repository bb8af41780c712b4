//! Calls between nodes beside those of the engine: a stream of messages of bytes each way.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::Stream;
use futures::stream::BoxStream;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;
use url::Url;

use super::VERSION_HEADER;
use super::channel::Channels;

/// Bytes of a message.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What a worker answers.
pub(super) type Answer = BoxStream<'static, Result<Bytes, Status>>;

/// A service of a worker with one method, for nodes of its own version.
pub(super) trait Answering: Clone + Send + Sync + 'static {
    const SERVICE: &'static str;
    /// `/<service>/<name>`
    const METHOD: &'static str;

    fn version(&self) -> &str;

    /// The way back of a call. What it holds is let go when the caller goes away.
    ///
    /// # Errors
    /// It is not taken.
    fn answer(&self, said: Streaming<Bytes>) -> Result<Answer, Status>;
}

/// Calls a worker.
///
/// # Errors
/// It is not there, or does not take the call.
pub(super) async fn call<A: Answering>(
    channels: &Channels,
    node: &Url,
    version: &str,
    said: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let away = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let channel = channels.introduced(node).await.map_err(|error| away(&error))?;
    let mut client = Client::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    client.ready().await.map_err(|error| away(&error))?;
    let mut request = Request::new(said);
    let version = MetadataValue::try_from(version).map_err(|error| away(&error))?;
    request.metadata_mut().insert(VERSION_HEADER, version);
    let answer = client.streaming(request, PathAndQuery::from_static(A::METHOD), Plain);
    Ok(answer.await?.into_inner())
}

/// The door to a service.
#[derive(Clone)]
pub(super) struct Door<A>(pub(super) A);

impl<A: Answering> NamedService for Door<A> {
    const NAME: &'static str = A::SERVICE;
}

impl<A: Answering> Service<http::Request<Body>> for Door<A> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let called = Called(self.0.clone());
        Box::pin(async move {
            if request.uri().path() != A::METHOD {
                return Ok(Status::unimplemented("a worker does not do that").into_http());
            }
            let mut grpc = Grpc::new(Plain).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.streaming(called, request).await)
        })
    }
}

/// One call.
struct Called<A>(A);

impl<A: Answering> StreamingService<Bytes> for Called<A> {
    type Response = Bytes;
    type ResponseStream = Answer;
    type Future = std::future::Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let theirs = request.metadata().get(VERSION_HEADER);
        let taken = match theirs.map(|version| version.as_bytes()) == Some(self.0.version().as_bytes()) {
            true => self.0.answer(request.into_inner()),
            // It was replaced between two looks of the server.
            false => Err(Status::failed_precondition("this worker is of another version")),
        };
        std::future::ready(taken.map(Response::new))
    }
}

/// A message of bytes is what it is.
#[derive(Debug, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
