//! A worker's door: who may send work, and how its answers end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use datafusion_distributed::Worker;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tower_service::Service;

use super::SECRET_HEADER;
use super::channel::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use super::crawl::CrawlDoor;
use super::guard::panics;
use super::plain::Door;
use super::stages::CountDoor;
use super::training::Trainer;
use crate::auth::names_node;
use crate::config;
use crate::connections;
use crate::tls::Tls;

/// Connections at the same time: those of all servers and workers, and some.
const CONNECTIONS_MAX: usize = 1_024;
/// Answers at the same time to one node: of each part the plan's and those of its stages.
const STREAMS_MAX: u32 = 8_192;
/// How long a part may take to begin, or the next rows of a training to come, beyond the silence after which its sender is lost.
pub(super) const BEGIN_MAX: Duration = Duration::from_secs(30);
/// Begins the names of services that are not the engine's.
const OURS: &str = "labhouse.";
/// Bytes of request headers.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// Serves parts of statements, each in a place of `tasks`, and trainings, and tells of its crawler, until it is dropped;
/// once `stopped`, it takes nothing new. Plans run on `plans`, so that pings are answered however busy they are.
///
/// # Errors
/// The listener fails.
pub(super) async fn serve(
    (worker, trainer, crawl, counts): (Worker, Trainer, CrawlDoor, CountDoor),
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    config: &config::Cluster,
    plans: Handle,
    (tasks, secret, stopped): (Arc<Semaphore>, HeaderValue, watch::Receiver<bool>),
) -> Result<(), tonic::transport::Error> {
    let service = worker
        .into_worker_server()
        .max_decoding_message_size(config.plan_mib_max.saturating_mul(1 << 20));
    let service = Parts {
        inner: service,
        plans,
        secret,
        name: tls.is_some().then(|| config.name.as_str().into()),
        tasks,
        stopped,
    };
    let (trainings, crawl) = (service.around(Door(trainer)), service.around(Door(crawl)));
    let counts = service.around(Door(counts));
    let half = config.silent() / 2;
    let router = Server::builder()
        .http2_keepalive_interval(Some(half))
        .http2_keepalive_timeout(Some(half))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .timeout(config.silent().saturating_add(BEGIN_MAX))
        .add_service(service)
        .add_service(trainings)
        .add_service(crawl)
        .add_service(counts);
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(half));
    let incoming = connections::capped(incoming, CONNECTIONS_MAX);
    // Connections stay open while running parts end: other nodes still ask for their rows.
    match tls {
        None => router.serve_with_incoming(incoming).await,
        Some(tls) => router.serve_with_incoming(connections::agreed(incoming, tls)).await,
    }
}

/// A service of the worker behind its checks.
#[derive(Clone)]
struct Parts<S> {
    inner: S,
    plans: Handle,
    /// What only nodes of this lake can say.
    secret: HeaderValue,
    /// What a caller's certificate must name; none in plain text.
    name: Option<Arc<str>>,
    /// Places for parts.
    tasks: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl<S> Parts<S> {
    /// The same checks before another service.
    fn around<T>(&self, inner: T) -> Parts<T> {
        Parts {
            inner,
            plans: self.plans.clone(),
            secret: self.secret.clone(),
            name: self.name.clone(),
            tasks: Arc::clone(&self.tasks),
            stopped: self.stopped.clone(),
        }
    }
}

impl<S: NamedService> NamedService for Parts<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Parts<S>
where
    S: NamedService,
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_stranger = self.name.as_ref().is_some_and(|name| !is_node(&request, name));
        if is_stranger || !knows(&request, &self.secret) {
            let status = tonic::Status::permission_denied("only nodes of this lake may send work");
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let begins = request.uri().path().ends_with("/CoordinatorChannel");
        // Until the sender's side of the channel ends, which it does when his statement ends, however it does.
        let place = match begins.then(|| Arc::clone(&self.tasks).try_acquire_owned()).transpose() {
            Ok(place) => place,
            Err(_) => {
                let status = "this worker has as many parts as it takes (cluster.tasks_max)";
                let status = tonic::Status::resource_exhausted(status);
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        // What runs goes on; a part that is wanted of a statement that runs already is no new work.
        if *self.stopped.borrow() && !request.uri().path().ends_with("/ExecuteTask") {
            let status = tonic::Status::unavailable("this worker is shutting down");
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let request = match place {
            Some(_place) => request.map(|body| Body::new(Held { body, _place })),
            None => request,
        };
        let (mut inner, began) = (self.inner.clone(), panics());
        let answering = AbortOnDropHandle::new(self.plans.spawn(async move { inner.call(request).await }));
        Box::pin(async move {
            Ok(match answering.await {
                // Words have their own marks of their end.
                Ok(Ok(answer)) if S::NAME.starts_with(OURS) => answer,
                Ok(Ok(answer)) => answer.map(|body| {
                    Body::new(Ending {
                        body,
                        began,
                        ended: false,
                    })
                }),
                Ok(Err(never)) => match never {},
                // What it panicked of may quote a row.
                Err(_) => tonic::Status::unavailable("a part could not be begun").into_http(),
            })
        })
    }
}

/// Whether the caller says what only nodes of this lake can; how long the answer takes does not tell how much of it is right.
fn knows(request: &http::Request<Body>, secret: &HeaderValue) -> bool {
    let said = request
        .headers()
        .get(SECRET_HEADER)
        .map(|said| Sha256::digest(said.as_bytes()));
    said.is_some_and(|said| said == Sha256::digest(secret.as_bytes()))
}

/// Whether the caller showed a node's certificate.
fn is_node(request: &http::Request<Body>, name: &str) -> bool {
    let shown = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = shown.and_then(TlsConnectInfo::peer_certs);
    let own = certificates.as_ref().and_then(|chain| chain.first());
    own.is_some_and(|certificate| names_node(certificate.as_ref(), name))
}

/// An answer that does not end well when something panicked while it flowed: rows may be missing.
struct Ending {
    body: Body,
    began: u64,
    ended: bool,
}

/// What the sender of a part says, from its plan to the end of its statement, in the part's place.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let ends = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            _ => false,
        };
        self.ended = ends;
        if !ends || panics() == self.began {
            return polled;
        }
        let status = tonic::Status::unavailable("something panicked on this worker while the answer flowed");
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Never before the end was seen: it may yet have to say something else.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
