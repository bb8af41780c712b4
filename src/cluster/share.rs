//! A plan shared among the ready nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedCodec, DistributedExec, DistributedExt,
    DistributedLeafExec, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use http::{HeaderMap, HeaderValue};
use labhouse_catalog::{Lake, object_store_url};
use labhouse_policies::{Travel, slices, travel};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::channel::{Calls, Channels, Trouble, is_loss};
use super::crawl::Heard;
use super::fit::{Fit, fit};
use super::guard::{count_panics, panics};
use super::nodes::{Chosen, Node, Nodes};
use super::roundtrip::survives;
use super::stages::{Asked, Statements};
use super::training::Lent;
use super::{ClusterError, MODELS_HEADER, VERSION_HEADER, codec, secret, version};
use crate::config;
use crate::models::SentModel;
use crate::session::{Governed, Sessions, distributed};

/// Bytes that wait in each connection between two nodes, of one statement.
const CONNECTION_BUFFER_BYTES: usize = 4 << 20;
/// Rows of a sorted and limited result that are merged as they come from each node: few enough to fit into what waits.
const MERGED_ROWS_MAX: usize = 4_096;
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
    lent: Lent,
    heard: Heard,
    stages: Statements,
}

/// What became of statements.
#[derive(Debug, Default)]
struct Counts {
    shared: AtomicU64,
    lost: AtomicU64,
}

/// A plan whose parts run on other nodes.
pub(crate) struct Shared {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    /// Parts that each of its stages has at most.
    pub(crate) tasks: usize,
    trouble: Arc<Trouble>,
    /// Panics of this process when it began.
    panics: u64,
    /// Workers are asked how far they are as long as it is there.
    _asked: Asked,
}

impl Shared {
    /// Whether an attempt failed because of a node, so that the statement may run again.
    pub(crate) fn is_lost(&self, error: &DataFusionError) -> bool {
        is_loss(error) || self.trouble.is_there()
    }

    /// Waits until a node is lost, or does not take its part: the engine hears of it late.
    pub(crate) async fn lost(&self) {
        self.trouble.comes().await;
    }

    /// Whether its end is the end of its rows: a panic in the threads between nodes would look the same.
    pub(crate) fn is_whole(&self) -> bool {
        self.panics == panics()
    }
}

impl Cluster {
    /// None when the config names no workers. Connections live on `network`.
    ///
    /// # Errors
    /// The lake does not give its nodes' secret, or the program's own file cannot be read.
    pub(crate) async fn open(
        config: &config::Cluster,
        lake: &Lake,
        sessions: &Sessions,
        network: Handle,
    ) -> std::result::Result<Option<Arc<Self>>, ClusterError> {
        if config.workers.is_empty() {
            return Ok(None);
        }
        count_panics();
        Ok(Some(Arc::new(Self {
            config: config.clone(),
            channels: Channels::new(config, secret(lake).await?, network),
            nodes: Nodes::new(),
            version: version(object_store_url(lake).as_str())?,
            functions: Arc::clone(sessions.functions()),
            system: Arc::clone(sessions.system()),
            counts: Counts::default(),
            lent: Lent::default(),
            heard: Heard::default(),
            stages: Statements::default(),
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

    pub(super) fn lent(&self) -> &Lent {
        &self.lent
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Tells the workers that crawl that files have landed.
    pub(crate) fn files_landed(&self) {
        self.heard.ask();
    }

    /// When a worker swept last; none if it does not crawl, or did not since it is followed.
    pub(crate) fn swept_at(&self, node: &Node) -> Option<DateTime<Utc>> {
        self.heard.at(&node.url)
    }

    /// The stages of a statement, one a line; none if it was not shared lately. Nodes are named only if `nodes` says so.
    pub(crate) fn stages(&self, statement: Uuid, nodes: bool) -> Option<String> {
        self.stages.told(statement, nodes)
    }

    /// Trainings of this server that a worker has.
    pub(crate) fn trainings_at(&self, node: &Node) -> usize {
        self.lent.at(&node.url)
    }

    /// Trainings that workers began, and those of them that began once more here because the worker was lost.
    pub(crate) fn training_counts(&self) -> (u64, u64) {
        self.lent.counts()
    }

    /// All workers that the config names, by address.
    pub(crate) fn all(&self) -> Vec<Node> {
        self.nodes.all(&self.channels)
    }

    /// Statements shared so far, and those of them that ran again because a node was lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.shared), read(&self.counts.lost))
    }

    /// A statement that was shared runs again, or failed, because a node was lost.
    pub(crate) fn count_loss(&self) {
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The plan shared among the nodes that are ready; none when it stays here. The plan itself is left as it is.
    /// `statement` is its number in the query log.
    ///
    /// # Errors
    /// The plan cannot be cut into parts.
    pub(crate) async fn share(
        self: &Arc<Self>,
        plan: &Arc<dyn ExecutionPlan>,
        context: &TaskContext,
        statement: Option<Uuid>,
    ) -> Result<Option<Shared>> {
        let nodes = self.nodes.ready(&self.channels);
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
            Fit::Shared(bytes, _) if bytes < self.config.statement_mib_min.saturating_mul(1 << 20) => return Ok(None),
            Fit::Shared(_, models) => models,
        };
        let Some(headers) = headers(&self.version, &models) else {
            tracing::debug!("a statement stays here: it asks too many models");
            return Ok(None);
        };
        let plan = sorted_here(Arc::clone(plan))?;
        let mut codecs: Vec<Arc<dyn PhysicalExtensionCodec>> = vec![Arc::new(DistributedCodec)];
        codecs.extend(codec::own(Arc::clone(&self.system)));
        let functions: Vec<_> = models.into_iter().map(|(_, function)| function).collect();
        match survives(&plan, codecs, &self.functions, &functions) {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!("a statement stays here: other nodes would read another one");
                return Ok(None);
            }
            Err(error) => {
                tracing::debug!(%error, "a statement stays here: it cannot be told to other nodes");
                return Ok(None);
            }
        }
        // One worker alone runs two parts: with a single one the engine would see nothing to share.
        let (tasks, trouble) = (nodes.len().max(2), Arc::new(Trouble::default()));
        // What a statement writes is read under its own view.
        let statement = statement.or_else(|| view.as_ref().and_then(|view| view.statement()));
        let progress = self.stages.begin(statement);
        let calls = Calls::new(&self.channels, &trouble, Some(Arc::clone(&progress)));
        let panics = panics();
        let config = context.session_config().clone();
        let config = self.session(config, tasks, Chosen(nodes), calls, headers)?;
        let (plan, context) = distributed(plan, config, context).await?;
        if !plan.is::<DistributedExec>() {
            return Ok(None);
        }
        self.counts.shared.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Shared {
            plan,
            context,
            tasks,
            trouble,
            panics,
            _asked: Self::follow_stages(Arc::downgrade(self), &progress),
        }))
    }

    fn session(
        &self,
        config: SessionConfig,
        tasks: usize,
        nodes: Chosen,
        calls: Calls,
        headers: HeaderMap,
    ) -> Result<SessionConfig> {
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
        codec::own(Arc::clone(&self.system))
            .into_iter()
            .fold(config, SessionConfig::with_distributed_user_codec_arc)
            .with_distributed_worker_resolver(nodes)
            .with_distributed_channel_resolver(calls)
            .with_distributed_desired_task_count_handler(wanted)
            .with_distributed_scale_up_leaf_node_handler(cut)
            .with_distributed_passthrough_headers(headers)?
            .with_distributed_max_tasks_per_stage(tasks)?
            .with_distributed_metrics_collection(false)?
            .with_distributed_children_isolator_unions(false)?
            .with_distributed_worker_connection_buffer_budget_bytes(CONNECTION_BUFFER_BYTES)
    }
}

/// The plan with its rows sorted here and not merged: one connection brings all partitions of a node, and a merge that waits
/// for one while another fills what the connection may hold would wait for ever. A sort spills what it cannot hold.
fn sorted_here(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let sorted = plan.transform_up(|node| {
        let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() else {
            return Ok(Transformed::no(node));
        };
        if merge.fetch().is_some_and(|rows| rows <= MERGED_ROWS_MAX) {
            return Ok(Transformed::no(node));
        }
        let input = match merge.input().downcast_ref::<SortExec>() {
            Some(sort) if sort.fetch().is_none() => sort.input(),
            _ => merge.input(),
        };
        let together = Arc::new(CoalescePartitionsExec::new(Arc::clone(input)));
        let sort = SortExec::new(merge.expr().clone(), together).with_fetch(merge.fetch());
        Ok(Transformed::yes(Arc::new(sort) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(sorted.data)
}

/// What each part brings beside its plan; none if it is too much.
fn headers(version: &str, models: &[(SentModel, Arc<ScalarUDF>)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION_HEADER, HeaderValue::from_str(version).ok()?);
    if !models.is_empty() {
        let models: Vec<&SentModel> = models.iter().map(|(model, _)| model).collect();
        let models = STANDARD.encode(serde_json::to_vec(&models).ok()?);
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
