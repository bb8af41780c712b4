//! A plan shared among the ready nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::error::Result;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{
    ChannelResolver, DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExec, DistributedExt,
    DistributedLeafExec, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
};
use http::{HeaderMap, HeaderValue};
use labhouse_policies::{Travel, slices, travel, wire};
use tokio::runtime::Handle;

use super::channel::Channels;
use super::codec::GroupingSetsCodec;
use super::fit::{Fit, fit};
use super::nodes::{Chosen, Node, Nodes};
use super::{MODELS_HEADER, VERSION_HEADER, version};
use crate::config;
use crate::models::SentModel;
use crate::session::{Governed, Sessions, distributed};

/// Bytes that wait in each connection between two nodes.
const CONNECTION_BUFFER_BYTES: usize = 16 << 20;

/// What models may take of a call's headers.
const MODELS_BYTES_MAX: usize = 32 << 10;

/// The workers of a server, and the way plans get to them.
pub(crate) struct Cluster {
    config: config::Cluster,
    channels: Arc<Channels>,
    nodes: Nodes,
    version: String,
    /// What workers have under the names of functions.
    functions: Arc<SessionState>,
    system: Arc<SessionState>,
    counts: Counts,
}

/// What became of statements.
#[derive(Debug, Default)]
struct Counts {
    shared: AtomicU64,
    again: AtomicU64,
}

/// A plan whose parts run on other nodes.
pub(crate) struct Shared {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    /// Parts that each of its stages has at most.
    pub(crate) tasks: usize,
    losses: u64,
}

impl Cluster {
    /// None when the config names no workers. Connections live on `network`.
    ///
    /// # Errors
    /// The program's own file cannot be read, which tells one version from another.
    pub(crate) fn open(
        config: &config::Cluster,
        lake: &str,
        sessions: &Sessions,
        network: Handle,
    ) -> std::io::Result<Option<Arc<Self>>> {
        if config.workers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            config: config.clone(),
            channels: Channels::new(config, network),
            nodes: Nodes::new(),
            version: version(lake)?,
            functions: Arc::clone(sessions.functions()),
            system: Arc::clone(sessions.system()),
            counts: Counts::default(),
        })))
    }

    pub(super) fn config(&self) -> &config::Cluster {
        &self.config
    }

    pub(super) fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// All workers that the config names, by address.
    pub(crate) fn all(&self) -> Vec<Node> {
        self.nodes.all()
    }

    /// Statements shared so far, and those of them that ran again because a node was lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.shared), read(&self.counts.again))
    }

    /// The plan shared among the nodes that are ready; none when it stays here. The plan itself is left as it is.
    ///
    /// # Errors
    /// The plan cannot be cut into parts.
    pub(crate) async fn share(&self, plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<Option<Shared>> {
        let nodes = self.nodes.ready();
        if nodes.is_empty() {
            return Ok(None);
        }
        let view = context.session_config().get_extension::<Governed>();
        let models = view.as_ref().map(|view| view.world().models.as_ref());
        let models = match fit(plan, &self.functions, models) {
            Fit::Stays(why) => {
                tracing::debug!(why, "a statement stays here");
                return Ok(None);
            }
            Fit::Shared(bytes, _) if bytes < self.config.statement_mib_min << 20 => return Ok(None),
            Fit::Shared(_, models) => models,
        };
        let Some(headers) = headers(&self.version, &models) else {
            tracing::debug!("a statement stays here: it asks too many models");
            return Ok(None);
        };
        // One worker alone runs two parts: with a single one the engine would see nothing to share.
        let (tasks, losses) = (nodes.len().max(2), self.channels.losses().count());
        let config = self.session(context.session_config().clone(), tasks, Chosen(nodes), headers)?;
        let (plan, context) = distributed(Arc::clone(plan), config, context).await?;
        if !plan.is::<DistributedExec>() {
            return Ok(None);
        }
        self.counts.shared.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Shared {
            plan,
            context,
            tasks,
            losses,
        }))
    }

    /// Whether an attempt failed because of a node, so that the statement may run again.
    pub(crate) fn is_lost(&self, shared: &Shared, error: &datafusion::error::DataFusionError) -> bool {
        let lost = super::is_loss(error) || self.channels.losses().count() > shared.losses;
        if lost {
            self.counts.again.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }

    fn session(&self, config: SessionConfig, tasks: usize, nodes: Chosen, headers: HeaderMap) -> Result<SessionConfig> {
        let wanted = move |asked: DesiredTaskCountEvent<'_>| -> Option<Result<DesiredTaskCountEventResponse>> {
            let leaf = travel(asked.plan)?;
            Some(Ok(match leaf {
                Travel::Slices(_) => DesiredTaskCountEventResponse::desired(tasks),
                Travel::Whole | Travel::Stays => DesiredTaskCountEventResponse::maximum(1),
            }))
        };
        let cut = |asked: ScaleUpLeafNodeEvent<'_>| -> Option<Result<ScaleUpLeafNodeEventResponse>> {
            if asked.task_count < 2 || !matches!(travel(asked.plan), Some(Travel::Slices(_))) {
                return None;
            }
            Some(in_slices(asked.plan, asked.task_count).map(ScaleUpLeafNodeEventResponse::new))
        };
        let channels: Arc<dyn ChannelResolver + Send + Sync> = Arc::<Channels>::clone(&self.channels);
        config
            .with_distributed_user_codec(wire::codec(Arc::clone(&self.system)))
            .with_distributed_user_codec(GroupingSetsCodec)
            .with_distributed_worker_resolver(nodes)
            .with_distributed_channel_resolver(channels)
            .with_distributed_desired_task_count_handler(wanted)
            .with_distributed_scale_up_leaf_node_handler(cut)
            .with_distributed_passthrough_headers(headers)?
            .with_distributed_max_tasks_per_stage(tasks)?
            .with_distributed_metrics_collection(false)?
            .with_distributed_children_isolator_unions(false)?
            .with_distributed_worker_connection_buffer_budget_bytes(CONNECTION_BUFFER_BYTES)
    }
}

/// What each part brings beside its plan; none if it is too much.
fn headers(version: &str, models: &[SentModel]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION_HEADER, HeaderValue::from_str(version).ok()?);
    if !models.is_empty() {
        let models = STANDARD.encode(serde_json::to_vec(models).ok()?);
        if models.len() > MODELS_BYTES_MAX {
            return None;
        }
        headers.insert(MODELS_HEADER, HeaderValue::from_str(&models).ok()?);
    }
    Some(headers)
}

/// A governed scan as one slice for each task.
fn in_slices(scan: &Arc<dyn ExecutionPlan>, tasks: usize) -> Result<Arc<dyn ExecutionPlan>> {
    match slices(scan, tasks)? {
        Some(slices) => Ok(Arc::new(DistributedLeafExec::try_new(Arc::clone(scan), slices)?)),
        None => datafusion::common::internal_err!("a governed scan cannot be cut into {tasks} slices"),
    }
}
