//! What surrounds the messages of a call: compression that was asked for, the rows of a result on a road where they are not
//! copied, and what a result took, told when it ended.
//!
//! Offering is not asking: the C, Java and Go libraries offer gzip in every call, and on a local network it halves the
//! speed. Asked has who offers zstd, who sends compressed messages himself, or whose offer no library makes unasked.
//! Values inside the Arrow messages can be compressed as well, by a call header; readers find out by themselves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use arrow::ipc::CompressionType;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower_layer::Layer;
use tower_service::Service;
use uuid::Uuid;

use super::message::ResultMessage;
use super::service::BoxedStream;
use super::status;

/// Asks for compressed values inside Arrow messages: `zstd` or `lz4`.
const IPC: &str = "labhouse-ipc-compression";
/// The number of a result's statement, in the headers of an answer and again in its trailers.
pub(crate) const QUERY_ID: &str = "labhouse-query-id";
/// What a client says of its own limit, in bytes: `labhouse-message-bytes: 67108864`.
pub(super) const MESSAGE_BYTES: &str = "labhouse-message-bytes";
/// Bytes of one message that every gRPC client takes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of one message that a client may ask for: a message is held whole, here and there.
const MESSAGE_BYTES_ASKED_MAX: usize = 256 << 20;
const OFFERED: &str = "grpc-accept-encoding";
const SENT: &str = "grpc-encoding";
/// What gRPC libraries offer without anybody's asking: C and Python; Java and Go.
const UNASKED: [&str; 2] = ["identity,deflate,gzip", "gzip"];

/// What a result took; counted by its stream, told in the trailers of its call.
#[derive(Debug)]
pub(super) struct Taken {
    started: Instant,
    id: Mutex<Option<Uuid>>,
    is_told: AtomicBool,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Taken {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            id: Mutex::new(None),
            is_told: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// A statement's result begins; `id` is its row in `system.queries`.
    pub(super) fn begin(&self, id: Option<Uuid>) {
        *self.id.lock() = id;
        self.is_told.store(true, Ordering::Relaxed);
    }

    /// The number of the statement whose result this is.
    pub(super) fn id(&self) -> Option<Uuid> {
        *self.id.lock()
    }

    pub(super) fn count(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn tell(&self, trailers: &mut HeaderMap) {
        if !self.is_told.load(Ordering::Relaxed) {
            return;
        }
        let id = self.id().map(|id| id.to_string());
        let numbers = [
            ("labhouse-rows", self.rows.load(Ordering::Relaxed).to_string()),
            ("labhouse-bytes", self.bytes.load(Ordering::Relaxed).to_string()),
            ("labhouse-duration-us", self.started.elapsed().as_micros().to_string()),
        ];
        let id = id.map(|id| (QUERY_ID, id));
        for (name, value) in numbers.into_iter().chain(id) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                trailers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The compression of Arrow messages that a call asks for.
///
/// # Errors
/// INVALID_ARGUMENT for one that there is not.
pub(super) fn ipc_compression(headers: &MetadataMap) -> Result<Option<CompressionType>, Status> {
    let Some(asked) = headers.get(IPC) else { return Ok(None) };
    match asked.as_bytes() {
        b"zstd" => Ok(Some(CompressionType::ZSTD)),
        b"lz4" | b"lz4_frame" => Ok(Some(CompressionType::LZ4_FRAME)),
        b"" | b"none" => Ok(None),
        _ => Err(Status::invalid_argument(format!(
            "the header {IPC} takes zstd, lz4 or none"
        ))),
    }
}

/// The bytes of a message that the caller takes.
///
/// # Errors
/// INVALID_ARGUMENT for a limit that is none, or beyond what one message may have.
pub(super) fn message_bytes(headers: &MetadataMap) -> Result<usize, Status> {
    let Some(asked) = headers.get(MESSAGE_BYTES) else {
        return Ok(MESSAGE_BYTES_MAX);
    };
    let asked = asked.to_str().ok().and_then(|asked| asked.parse().ok());
    let fits = |bytes: &usize| (MESSAGE_BYTES_MAX..=MESSAGE_BYTES_ASKED_MAX).contains(bytes);
    asked.filter(fits).ok_or_else(|| {
        Status::invalid_argument(format!(
            "the header {MESSAGE_BYTES} takes a number of bytes from {MESSAGE_BYTES_MAX} to {MESSAGE_BYTES_ASKED_MAX}"
        ))
    })
}

/// Leaves in a call's headers just the compression it asks for; the codec then does what they say.
fn keep_asked(headers: &mut HeaderMap) {
    let asked = asked(headers);
    headers.remove(OFFERED);
    if let Some(asked) = asked {
        headers.insert(OFFERED, HeaderValue::from_static(asked));
    }
}

fn asked(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match text(SENT) {
        Some("zstd") => return Some("zstd"),
        Some("gzip") => return Some("gzip"),
        _ => {}
    }
    let offered: String = text(OFFERED)?.chars().filter(|letter| *letter != ' ').collect();
    let offers = |word| offered.split(',').any(|offer| offer == word);
    if offers("zstd") {
        return Some("zstd");
    }
    (offers("gzip") && !UNASKED.contains(&offered.as_str())).then_some("gzip")
}

/// Puts every call into its envelope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope;

/// A service in its envelope.
#[derive(Debug, Clone)]
pub(super) struct Enveloped<S>(S);

impl<S> Layer<S> for Envelope {
    type Service = Enveloped<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Enveloped(inner)
    }
}

impl<S, B> Service<http::Request<B>> for Enveloped<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Told>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        keep_asked(request.headers_mut());
        let answering = self.0.call(request);
        Box::pin(async move {
            let (mut head, body) = answering.await?.into_parts();
            let taken = head.extensions.remove::<Arc<Taken>>();
            let rows = head.extensions.remove::<Uncopied>();
            let told = Told {
                rows: rows.and_then(|rows| rows.0.lock().take()),
                frames: VecDeque::new(),
                body: Some(body),
                taken,
            };
            Ok(http::Response::from_parts(head, told))
        })
    }
}

/// The messages of a call that the codec has not seen: they come before what it gives.
#[derive(Clone)]
pub(super) struct Uncopied(Arc<Mutex<Option<BoxedStream<ResultMessage>>>>);

impl Uncopied {
    pub(super) fn new(messages: BoxedStream<ResultMessage>) -> Self {
        Self(Arc::new(Mutex::new(Some(messages))))
    }
}

/// Whether the codec will compress the messages of a call; its headers have been through [`Envelope`].
pub(super) fn is_compressed(headers: &MetadataMap) -> bool {
    headers.contains_key(OFFERED)
}

/// A body whose trailers tell what it took.
pub(super) struct Told {
    rows: Option<BoxedStream<ResultMessage>>,
    /// What is left of the message that is being sent.
    frames: VecDeque<Bytes>,
    /// What the codec gives; none when the messages ended with an error.
    body: Option<Body>,
    taken: Option<Arc<Taken>>,
}

impl Told {
    /// The next frame of the messages that the codec does not see; none when they ended well.
    fn poll_rows(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Poll::Ready(Some(Frame::data(frame)));
            }
            let Some(rows) = &mut self.rows else {
                return Poll::Ready(None);
            };
            let failed = match ready!(rows.as_mut().poll_next(context)) {
                Some(Ok(message)) => match message.into_frames() {
                    Some(frames) => {
                        self.frames = frames;
                        continue;
                    }
                    None => status::internal("a message is longer than gRPC can say"),
                },
                Some(Err(status)) => status,
                None => {
                    self.rows = None;
                    continue;
                }
            };
            (self.rows, self.body) = (None, None);
            let mut trailers = HeaderMap::new();
            if failed.add_header(&mut trailers).is_err() {
                // Something in it cannot be a header; its code can.
                trailers.insert(Status::GRPC_STATUS, HeaderValue::from(failed.code() as i32));
            }
            return Poll::Ready(Some(Frame::trailers(trailers)));
        }
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = match (ready!(self.poll_rows(context)), &mut self.body) {
            (Some(frame), _) => Some(Ok(frame)),
            (None, Some(body)) => ready!(Pin::new(body).poll_frame(context)),
            (None, None) => None,
        };
        if let (Some(Ok(frame)), Some(taken)) = (&mut frame, &self.taken)
            && let Some(trailers) = frame.trailers_mut()
        {
            taken.tell(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_sent = self.rows.is_none() && self.frames.is_empty();
        is_sent && self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.rows, &self.body) {
            (None, Some(body)) if self.frames.is_empty() => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offered: Option<&'static str>, sent: Option<&'static str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(OFFERED, offered), (SENT, sent)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        keep_asked(&mut headers);
        headers.get(OFFERED).map(|kept| kept.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_libraries_offer_unasked_is_not_taken_and_what_is_asked_is() {
        assert_eq!(of(Some("identity, deflate, gzip"), None), None);
        assert_eq!(of(Some("gzip"), None), None);
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("gzip,identity"), None).as_deref(), Some("gzip"));
        assert_eq!(of(Some("zstd,gzip"), None).as_deref(), Some("zstd"));
        assert_eq!(
            of(Some("identity, deflate, gzip"), Some("gzip")).as_deref(),
            Some("gzip")
        );
        assert_eq!(of(Some("identity, deflate, gzip"), Some("identity")), None);
    }

    #[test]
    fn only_results_tell_what_they_took() {
        let (silent, told) = (Taken::new(), Taken::new());
        told.begin(Some(Uuid::nil()));
        told.count(3, 100);
        let (mut none, mut trailers) = (HeaderMap::new(), HeaderMap::new());
        silent.tell(&mut none);
        told.tell(&mut trailers);
        assert!(none.is_empty());
        assert_eq!(trailers["labhouse-rows"], "3");
        assert_eq!(trailers["labhouse-bytes"], "100");
        assert!(trailers.contains_key("labhouse-query-id") && trailers.contains_key("labhouse-duration-us"));
    }
}
