//! Connections to other nodes, kept and watched.
//!
//! Each answers pings or is given up. What fails on a connection carries a mark to whoever coordinates the statement, over
//! as many nodes as lie between, so that he can tell the loss of a node from a fault of the statement.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use url::Url;

use crate::config;

/// Begins the context of an error that a lost node caused.
const LOST: &str = "labhouse node lost";

/// Whether an error comes of the loss of a node, here or on another node.
pub(crate) fn is_loss(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(text, inner) => text.starts_with(LOST) || is_loss(inner),
        DataFusionError::Diagnostic(_, inner) => is_loss(inner),
        DataFusionError::Shared(inner) => is_loss(inner),
        DataFusionError::Collection(all) => all.iter().any(is_loss),
        // The engine's own word for a task whose plan never came; it has no kind of its own.
        DataFusionError::Execution(text) => text.contains("timed-out while waiting for the plan"),
        // What is not an encoded error of the engine is the transport's.
        DataFusionError::External(cause) => {
            is_transport(error) || cause.downcast_ref::<DataFusionError>().is_some_and(is_loss)
        }
        _ => false,
    }
}

/// Marks an error as the loss of a node.
pub(super) fn lost(node: impl std::fmt::Display, error: DataFusionError) -> DataFusionError {
    DataFusionError::Context(format!("{LOST}: {node}"), Box::new(error))
}

/// The connections of this node to others.
pub(crate) struct Channels {
    config: config::Cluster,
    /// Where connections live: threads that plans do not keep busy.
    network: Handle,
    open: Mutex<HashMap<Url, Channel>>,
    losses: Arc<Losses>,
}

/// What became of connections, for whoever follows the nodes.
#[derive(Default)]
pub(crate) struct Losses {
    count: AtomicU64,
    last: Mutex<Vec<Url>>,
    told: tokio::sync::Notify,
}

impl Losses {
    /// Losses so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The nodes lost since this was asked last.
    pub(super) fn take(&self) -> Vec<Url> {
        std::mem::take(&mut *self.last.lock())
    }

    /// Waits for a loss.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    fn tell(&self, node: &Url) {
        self.count.fetch_add(1, Ordering::AcqRel);
        let mut last = self.last.lock();
        if !last.contains(node) {
            last.push(node.clone());
        }
        drop(last);
        self.told.notify_one();
    }
}

impl Channels {
    /// Connections live on `network`, the runtime of the doors.
    pub(super) fn new(config: &config::Cluster, network: Handle) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            network,
            open: Mutex::default(),
            losses: Arc::default(),
        })
    }

    pub(super) fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// How a node at an address is called in plans.
    pub(super) fn url(&self, address: SocketAddr) -> Option<Url> {
        let scheme = if self.config.is_encrypted() { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{address}")).ok()
    }

    /// Closes what is open to a node; the next call connects anew.
    pub(super) fn forget(&self, node: &Url) {
        self.open.lock().remove(node);
    }

    async fn channel(&self, node: &Url) -> Result<Channel> {
        if let Some(open) = self.open.lock().get(node) {
            return Ok(open.clone());
        }
        let config = self.config.clone();
        let to = node.clone();
        let connecting = self.network.spawn(async move { connect(&config, &to).await });
        let channel = match connecting.await {
            Ok(connected) => connected?,
            Err(error) => return Err(DataFusionError::External(Box::new(error))),
        };
        self.open.lock().insert(node.clone(), channel.clone());
        Ok(channel)
    }

    /// A client of a node.
    pub(super) async fn client(&self, node: &Url) -> Result<Box<dyn WorkerChannel>> {
        match self.channel(node).await {
            Ok(channel) => Ok(Box::new(Marked {
                inner: grpc::create_worker_client(grpc::BoxCloneSyncChannel::new(channel)),
                node: node.clone(),
                losses: Arc::clone(&self.losses),
            })),
            Err(error) => {
                self.losses.tell(node);
                Err(lost(node, error))
            }
        }
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        self.client(url).await
    }
}

async fn connect(config: &config::Cluster, node: &Url) -> Result<Channel> {
    let transport = |error: tonic::transport::Error| DataFusionError::External(Box::new(error));
    let half = config.silent() / 2;
    let mut endpoint = Endpoint::from_shared(node.to_string())
        .map_err(transport)?
        .connect_timeout(config.connect())
        .tcp_nodelay(true)
        .http2_keep_alive_interval(half)
        .keep_alive_timeout(half)
        .keep_alive_while_idle(true);
    if config.is_encrypted() {
        // Read at each connection: certificates are renewed without a restart.
        let (cert, key, ca) = (read(&config.cert)?, read(&config.key)?, read(&config.ca)?);
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

fn read(file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| DataFusionError::Execution(format!("{file} cannot be read: {error}")))
}

/// A client that tells when its node is lost.
struct Marked {
    inner: Box<dyn WorkerChannel>,
    node: Url,
    losses: Arc<Losses>,
}

impl Marked {
    fn mark(&self) -> impl Fn(DataFusionError) -> DataFusionError + Send + Sync + 'static {
        let (node, losses) = (self.node.clone(), Arc::clone(&self.losses));
        move |error| match error {
            // A node farther away was lost, or the statement itself fails there.
            error if !is_transport(&error) => error,
            error => {
                tracing::warn!(%node, %error, "a node was lost");
                losses.tell(&node);
                lost(&node, error)
            }
        }
    }
}

/// Whether the very connection failed, and not something that was told over it.
fn is_transport(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::External(cause) => {
            cause.is::<tonic::Status>() || cause.is::<tonic::transport::Error>() || cause.is::<FlightError>()
        }
        _ => false,
    }
}

#[async_trait]
impl WorkerChannel for Marked {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let mark = self.mark();
        let answers = self
            .inner
            .coordinator_channel(headers, request, messages, metrics, context)
            .await;
        match answers {
            Ok(answers) => Ok(answers.map(move |answer| answer.map_err(&mark)).boxed()),
            // A part that a node does not take runs where its statement came in, whatever the reason is.
            Err(error) => {
                tracing::warn!(node = %self.node, %error, "a node did not take its part of a statement");
                let error = mark(error);
                Err(if is_loss(&error) {
                    error
                } else {
                    lost(&self.node, error)
                })
            }
        }
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
            .map_err(self.mark())?;
        let marked = streams.into_iter().map(|stream| {
            let mark = self.mark();
            stream.map(move |batch| batch.map_err(&mark)).boxed()
        });
        Ok(marked.collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.inner.get_worker_info(request).await
    }
}
