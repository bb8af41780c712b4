//! Connections to other nodes, kept and watched.
//!
//! Each answers pings or is given up. What fails on a connection carries a mark to whoever coordinates the statement, over
//! as many nodes as lie between, so that he can tell the loss of a node from a fault of the statement.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow_flight::error::FlightError;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse,
    SetPlanRequest, WorkerChannel, WorkerToCoordinatorMsg, grpc,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tonic::Code;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower_service::Service;
use url::Url;

use super::SECRET_HEADER;
use super::stages::Progress;
use crate::config;

/// Begins the context of an error that a lost node caused.
const LOST: &str = "labhouse node lost";
/// Bytes that may be on their way in one answer, and in all answers between two nodes together: many times more, so that
/// readers who pause never hold up the others.
pub(super) const STREAM_WINDOW_BYTES: u32 = 2 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// Whether an error comes of the loss of a node, here or on another node.
pub(crate) fn is_loss(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(text, inner) => text.starts_with(LOST) || is_loss(inner),
        DataFusionError::Diagnostic(_, inner) => is_loss(inner),
        DataFusionError::Shared(inner) => is_loss(inner),
        DataFusionError::Collection(all) => all.iter().any(is_loss),
        // The engine's own word for a task whose plan never came; it has no kind of its own.
        DataFusionError::Execution(text) => text.starts_with("Worker::execute_task timed-out"),
        DataFusionError::External(cause) => {
            is_transport(error) || cause.downcast_ref::<DataFusionError>().is_some_and(is_loss)
        }
        _ => false,
    }
}

/// Whether the connection failed, and not something that was told over it: what is no encoded error of the engine is the
/// transport's.
fn is_transport(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::External(cause) => {
            cause.is::<tonic::Status>() || cause.is::<tonic::transport::Error>() || cause.is::<FlightError>()
        }
        _ => false,
    }
}

/// Whether a node that answers so is there, and only refuses this call.
fn is_refusal(error: &DataFusionError) -> bool {
    let DataFusionError::External(cause) = error else {
        return false;
    };
    let code = cause.downcast_ref::<tonic::Status>().map(tonic::Status::code);
    matches!(
        code,
        Some(Code::OutOfRange | Code::PermissionDenied | Code::InvalidArgument | Code::ResourceExhausted)
    )
}

/// Whether a node does not know the caller for one.
pub(super) fn is_stranger(error: &DataFusionError) -> bool {
    let DataFusionError::External(cause) = error else {
        return false;
    };
    cause.downcast_ref::<tonic::Status>().map(tonic::Status::code) == Some(Code::PermissionDenied)
}

/// Marks an error as the loss of a node.
pub(super) fn lost(node: impl std::fmt::Display, error: DataFusionError) -> DataFusionError {
    DataFusionError::Context(format!("{LOST}: {node}"), Box::new(error))
}

/// The connections of this node to others.
pub(crate) struct Channels {
    config: config::Cluster,
    /// What shows that this node may read the lake.
    secret: HeaderValue,
    /// Where connections live: threads that plans do not keep busy.
    network: Handle,
    open: Mutex<HashMap<Url, Channel>>,
    /// Nodes of which a connection failed and that did not answer since.
    suspects: Mutex<HashSet<Url>>,
    suspected: Notify,
}

impl Channels {
    /// Connections live on `network`, the runtime of the doors.
    pub(super) fn new(config: &config::Cluster, secret: HeaderValue, network: Handle) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            secret,
            network,
            open: Mutex::default(),
            suspects: Mutex::default(),
            suspected: Notify::new(),
        })
    }

    /// How a node at an address is called in plans.
    pub(super) fn url(&self, address: SocketAddr) -> Option<Url> {
        let scheme = if self.config.is_encrypted() { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{address}")).ok()
    }

    /// Whether a call to a node failed since it answered last.
    pub(super) fn is_suspect(&self, node: &Url) -> bool {
        self.suspects.lock().contains(node)
    }

    /// Waits until a call to some node failed.
    pub(super) async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// What comes next of a node decides whether it is there.
    pub(super) fn trust(&self, node: &Url) {
        self.suspects.lock().remove(node);
    }

    /// Keeps connections to these nodes only.
    pub(super) fn keep(&self, nodes: impl Fn(&Url) -> bool) {
        self.open.lock().retain(|node, _| nodes(node));
        self.suspects.lock().retain(nodes);
    }

    /// Closes what is open to a node; the next call connects anew.
    pub(super) fn forget(&self, node: &Url) {
        self.open.lock().remove(node);
    }

    /// Tells that a call to a node failed: it is looked at soon, and gets no work before.
    pub(super) fn suspect(&self, node: &Url) {
        self.forget(node);
        self.suspects.lock().insert(node.clone());
        self.suspected.notify_one();
    }

    async fn channel(&self, node: &Url) -> Result<Channel> {
        if let Some(open) = self.open.lock().get(node) {
            return Ok(open.clone());
        }
        let (config, to) = (self.config.clone(), node.clone());
        let connecting = self.network.spawn(async move { connect(&config, &to).await });
        let channel = match connecting.await {
            Ok(connected) => connected?,
            Err(error) => return Err(DataFusionError::External(Box::new(error))),
        };
        self.open.lock().insert(node.clone(), channel.clone());
        Ok(channel)
    }

    /// A plain client of a node.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(super) async fn client(&self, node: &Url) -> Result<Box<dyn WorkerChannel>> {
        let introduced = self.introduced(node).await?;
        Ok(grpc::create_worker_client(grpc::BoxCloneSyncChannel::new(introduced)))
    }

    /// A connection to a node on which each call says whom it comes from.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(super) async fn introduced(&self, node: &Url) -> Result<Introduced> {
        Ok(Introduced {
            inner: self.channel(node).await?,
            secret: self.secret.clone(),
        })
    }
}

/// The connections as one statement uses them, which hears of its own trouble only.
pub(super) struct Calls {
    channels: Arc<Channels>,
    trouble: Arc<Trouble>,
    /// Where parts that are sent are written down; none on a worker, which sends none.
    progress: Option<Arc<Progress>>,
}

/// Whether a node of a statement was lost, or did not take its part.
#[derive(Default)]
pub(super) struct Trouble {
    is_there: AtomicBool,
    told: Notify,
}

impl Trouble {
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Waits until there is some.
    pub(super) async fn comes(&self) {
        let told = self.told.notified();
        if !self.is_there() {
            told.await;
        }
    }

    fn tell(&self) {
        self.is_there.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

impl Calls {
    pub(super) fn new(channels: &Arc<Channels>, trouble: &Arc<Trouble>, progress: Option<Arc<Progress>>) -> Self {
        Self {
            channels: Arc::clone(channels),
            trouble: Arc::clone(trouble),
            progress,
        }
    }
}

#[async_trait]
impl ChannelResolver for Calls {
    async fn get_worker_client_for_url(&self, node: &Url) -> Result<Box<dyn WorkerChannel>> {
        let marks = Marks {
            node: node.clone(),
            channels: Arc::clone(&self.channels),
            trouble: Arc::clone(&self.trouble),
        };
        match self.channels.client(node).await {
            Ok(inner) => Ok(Box::new(Marked {
                inner,
                marks,
                progress: self.progress.clone(),
            })),
            Err(error) => Err(marks.lost(error)),
        }
    }
}

/// Says of each call that it comes from a node of this lake.
#[derive(Clone)]
pub(super) struct Introduced {
    inner: Channel,
    secret: HeaderValue,
}

impl Service<http::Request<Body>> for Introduced {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.headers_mut().insert(SECRET_HEADER, self.secret.clone());
        self.inner.call(request)
    }
}

async fn connect(config: &config::Cluster, node: &Url) -> Result<Channel> {
    let transport = |error: tonic::transport::Error| DataFusionError::External(Box::new(error));
    let half = config.silent() / 2;
    let mut endpoint = Endpoint::from_shared(node.to_string())
        .map_err(transport)?
        .connect_timeout(config.connect())
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(half)
        .keep_alive_timeout(half)
        .keep_alive_while_idle(true);
    if config.is_encrypted() {
        // Read at each connection: certificates are renewed without a restart.
        let (cert, key, ca) = (
            read(&config.cert).await?,
            read(&config.key).await?,
            read(&config.ca).await?,
        );
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(cert, key))
            .domain_name(config.name.clone());
        endpoint = endpoint.tls_config(tls).map_err(transport)?;
    }
    // The time to connect covers TLS, too.
    let connected = tokio::time::timeout(config.connect(), endpoint.connect()).await;
    match connected {
        Ok(connected) => connected.map_err(transport),
        Err(_) => Err(DataFusionError::External(Box::new(tonic::Status::unavailable(
            format!("no connection within {} s", config.connect_s),
        )))),
    }
}

async fn read(file: &str) -> Result<Vec<u8>> {
    let bytes = tokio::fs::read(file).await;
    bytes.map_err(|error| DataFusionError::Execution(format!("{file} cannot be read: {error}")))
}

/// A client that tells when its node is lost.
struct Marked {
    inner: Box<dyn WorkerChannel>,
    marks: Marks,
    progress: Option<Arc<Progress>>,
}

/// To whom the loss of a node is told.
#[derive(Clone)]
struct Marks {
    node: Url,
    channels: Arc<Channels>,
    trouble: Arc<Trouble>,
}

impl Marks {
    /// The error with its mark if the connection failed; what was told over it stays as it is.
    fn mark(&self, error: DataFusionError) -> DataFusionError {
        if is_transport(&error) {
            return self.lost(error);
        }
        error
    }

    fn lost(&self, error: DataFusionError) -> DataFusionError {
        tracing::warn!(node = %self.node, %error, "a node was lost");
        if !is_refusal(&error) {
            self.channels.suspect(&self.node);
        }
        self.trouble.tell();
        lost(&self.node, error)
    }

    /// A part that a node does not take runs where its statement came in, whatever the reason is.
    fn refused(&self, error: DataFusionError) -> DataFusionError {
        if is_transport(&error) {
            return self.lost(error);
        }
        tracing::warn!(node = %self.node, %error, "a node did not take its part of a statement");
        self.trouble.tell();
        lost(&self.node, error)
    }
}

#[async_trait]
impl WorkerChannel for Marked {
    async fn coordinator_channel(
        &mut self,
        mut headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let marks = self.marks.clone();
        if let Some(progress) = &self.progress {
            progress.sent(&mut headers, &request, &marks.node);
        }
        let answers = self
            .inner
            .coordinator_channel(headers, request, messages, metrics, context)
            .await
            .map_err(|error| marks.refused(error))?;
        Ok(answers
            .map(move |answer| answer.map_err(|error| marks.mark(error)))
            .boxed())
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let streams = self
            .inner
            .execute_task(headers, request, metrics, context)
            .await
            .map_err(|error| self.marks.mark(error))?;
        let marked = streams.into_iter().map(|stream| {
            let marks = self.marks.clone();
            stream
                .map(move |batch| batch.map_err(|error| marks.mark(error)))
                .boxed()
        });
        Ok(marked.collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.inner.get_worker_info(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_a_node_is_told_from_an_error_of_the_statement() {
        let status = |code| DataFusionError::External(Box::new(tonic::Status::new(code, "x")));
        let execution = |text: &str| DataFusionError::Execution(text.to_owned());
        for error in [
            status(Code::Unavailable),
            status(Code::ResourceExhausted),
            lost("here", execution("x")).context("far away"),
            DataFusionError::Shared(Arc::new(lost("here", execution("x")))),
            execution("Worker::execute_task timed-out while waiting for the plan to be set"),
        ] {
            assert!(is_loss(&error), "{error}");
        }
        for error in [
            execution("division by zero"),
            execution("'labhouse node lost' is no number; Worker::execute_task timed-out"),
            DataFusionError::ResourcesExhausted("x".into()),
            DataFusionError::External("an error of a function".into()),
        ] {
            assert!(!is_loss(&error), "{error}");
        }
        assert!(is_refusal(&status(Code::ResourceExhausted)) && !is_refusal(&status(Code::Unavailable)));
    }
}
