//! The worker: a process that runs parts of statements, and trains models, as servers ask.
//!
//! It opens the lake with its own credentials, and has no users and no policy files; a catalog and a crawler it has only where
//! the config says that workers crawl. What it may read for others is what a sealed scan of `tables/` names; who may send one
//! is decided by the secret of the lake's nodes and by certificates.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{
    DistributedExt, ExecuteTaskRequest, ProducerHead, TaskKey, Worker, WorkerPlanRewriteEvent,
    WorkerPlanRewriteEventResponse, WorkerQueryContext, WorkerSessionBuilder,
};
use http::HeaderMap;
use labhouse_catalog::{Lake, LakeError, Queue, object_store_url};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::channel::{Calls, Channels, lost};
use super::crawl::{CrawlDoor, Sweeper};
use super::fit::is_part;
use super::guard::{count_panics, guarded};
use super::stages::{CountDoor, Counts};
use super::training::Trainer;
use super::{ClusterError, MODELS_HEADER, VERSION_HEADER, codec, door, secret, version};
use crate::config::Config;
use crate::models::{SentModel, SentModels};
use crate::query::Runner;
use crate::session::Sessions;
use crate::tls::{Tls, TlsError};

/// Models that one part asks.
const MODELS_MAX: usize = 16;
/// How long an ended part may hold memory.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a worker does not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("the query engine does not start: {0}")]
    Session(#[from] DataFusionError),
    #[error("cluster.listen = \"{address}\": {source}; another program may use it, choose another address or port 0")]
    Listen { address: String, source: std::io::Error },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the worker's door failed: {0}")]
    Door(#[from] tonic::transport::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs a worker until a signal; then what runs may end for `limits.drain_s`, or until a second signal.
///
/// # Errors
/// See [`WorkError`].
pub(crate) async fn run(config: Config) -> std::result::Result<(), WorkError> {
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let sessions = Arc::new(Sessions::new(&config.limits, &lake)?);
    let runner = Runner::new(sessions.partitions(), crate::cli::STACK_BYTES, None)?;
    count_panics();
    let version: Arc<str> = version(object_store_url(&lake).as_str())?.into();
    let secret = secret(&lake).await.map_err(ClusterError::from)?;
    let at = |source| WorkError::Listen {
        address: config.cluster.listen.clone(),
        source,
    };
    let listener = TcpListener::bind(&config.cluster.listen).await.map_err(at)?;
    let address = listener.local_addr()?;
    let tls = Tls::of_nodes(&config.cluster)?;
    let host = Host {
        models: SentModels::new(Arc::clone(&lake)),
        sessions: Arc::clone(&sessions),
        channels: Channels::new(&config.cluster, secret.clone(), Handle::current()),
        store: object_store_url(&lake).as_str().to_owned(),
        version: Arc::clone(&version),
        counts: Arc::default(),
    };
    let counts = CountDoor {
        counts: Arc::clone(&host.counts),
        version: Arc::clone(&version),
    };
    let tidied = Arc::clone(&host.counts);
    let tasks = Arc::new(Semaphore::new(config.cluster.tasks_max));
    let trainings = Arc::new(Semaphore::new(config.limits.concurrent_trainings));
    let trainer = Trainer::new(
        Arc::clone(&trainings),
        Arc::clone(&sessions.system().runtime_env().memory_pool),
        config.limits.training_threads(),
        config.cluster.silent().saturating_add(door::BEGIN_MAX),
        Arc::clone(&version),
    );
    let sweeper = Sweeper::open(&config, &lake).await?;
    let crawl = CrawlDoor {
        sweeper: sweeper.clone(),
        version: Arc::clone(&version),
    };
    let worker = Worker::from_session_builder(host)
        .with_runtime_env(Arc::clone(sessions.system().runtime_env()))
        .with_version(version.to_string());

    let tidying = tokio::spawn(tidy(worker.clone(), tidied));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    let scheme = if config.cluster.is_encrypted() { "https" } else { "http" };
    let ready = serde_json::json!({ "cluster": format!("{scheme}://{address}"), "pid": std::process::id() });
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready {ready}").and_then(|()| out.flush())?;
    }
    tracing::info!(%address, %version, "waiting for work");
    let follow_tls = tls
        .clone()
        .map(|tls| tokio::spawn(crate::tls::follow(tls, stopped.clone())));
    let mut sweeping = JoinSet::new();
    if let Some(sweeper) = sweeper {
        let queue = Some(config.crawl.queue.as_str()).filter(|url| !url.is_empty());
        if let Some(queue) = queue.map(|url| Queue::open(url, &config.lake.options)).transpose()? {
            sweeping.spawn(crate::crawl::follow_queue(Arc::clone(&sweeper), queue, stopped.clone()));
        }
        sweeping.spawn(crate::crawl::follow(sweeper, stopped.clone()));
    }
    let plans = runner.handle().cloned().unwrap_or_else(Handle::current);
    let serving = door::serve(
        (worker, trainer, crawl, counts),
        listener,
        tls,
        &config.cluster,
        plans,
        (Arc::clone(&tasks), secret, stopped),
    );
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return Ok(served?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining: running parts and trainings may end, new ones are refused; a second signal ends at once");
    stop.send_replace(true);
    let all = |places| u32::try_from(places).unwrap_or(u32::MAX);
    let ended = async {
        let parts = tasks.acquire_many(all(config.cluster.tasks_max));
        let trainings = trainings.acquire_many(all(config.limits.concurrent_trainings));
        // A sweep that is cut off is made good by the next one, wherever that is.
        tokio::join!(parts, trainings, async {
            while sweeping.join_next().await.is_some() {}
        })
    };
    let drained = async {
        let limit = Duration::from_secs(config.limits.drain_s);
        tokio::time::timeout(limit, ended).await.is_ok()
    };
    tokio::select! {
        drained = drained => match drained {
            true => tracing::info!("drained"),
            false => tracing::warn!("parts or trainings still ran when the drain time ended; they are cut off"),
        },
        served = &mut serving => served?,
        _ = terminate.recv() => tracing::warn!("second signal: running parts are cut off"),
        _ = interrupt.recv() => tracing::warn!("second signal: running parts are cut off"),
    }
    tidying.abort();
    if let Some(follow) = follow_tls {
        follow.abort();
    }
    Ok(())
}

/// Lets what ended parts have left go. The engine keeps parts in a cache that is tidied by those who use it only, so the last ones
/// of a busy hour would hold their memory until the next.
async fn tidy(worker: Worker, counts: Arc<Counts>) {
    loop {
        tokio::time::sleep(TIDY_INTERVAL).await;
        counts.tidy();
        let nobodys = ExecuteTaskRequest {
            task_key: TaskKey {
                query_id: Uuid::nil(),
                stage_id: 0,
                task_number: 0,
            },
            target_partition_start: 0,
            target_partition_end: 0,
            producer_head: ProducerHead::None,
        };
        // It looks the part up, and would then wait for its plan.
        let _ = tokio::time::timeout(Duration::ZERO, worker.execute_task(nobodys)).await;
    }
}

/// Makes the session of each part.
struct Host {
    models: SentModels,
    sessions: Arc<Sessions>,
    channels: Arc<Channels>,
    /// Under which plans name the lake.
    store: String,
    version: Arc<str>,
    counts: Arc<Counts>,
}

#[async_trait]
impl WorkerSessionBuilder for Host {
    async fn build_session_state(&self, asked: WorkerQueryContext) -> Result<SessionState> {
        let theirs = asked.headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok());
        if theirs != Some(self.version.as_ref()) {
            // It was replaced between two looks of the server.
            return Err(refused("this worker is of another version"));
        }
        tracing::debug!("a part of a statement begins");
        let calls = Calls::new(&self.channels, &Arc::default(), None);
        let store = self.store.clone();
        let count = self.counts.begin(&asked.headers);
        let rewrite = move |event: WorkerPlanRewriteEvent<'_>| match is_part(&event.plan, &store)? {
            true => guarded(event.plan, count.clone()).map(WorkerPlanRewriteEventResponse::new),
            false => Err(refused("the part holds an operator that nodes do not send")),
        };
        let mut functions = Vec::new();
        for model in models(&asked.headers)? {
            let function = self
                .models
                .function(&model)
                .await
                .map_err(|error| lost("refused", error))?;
            functions.push(Arc::new(function));
        }
        let system = Arc::clone(self.sessions.system());
        self.sessions.of_part(asked.builder, functions, move |config| {
            codec::own(system)
                .into_iter()
                .fold(config, SessionConfig::with_distributed_user_codec_arc)
                .with_distributed_channel_resolver(calls)
                .with_distributed_worker_plan_rewrite_handler(rewrite)
        })
    }
}

/// The models that a part asks.
fn models(headers: &HeaderMap) -> Result<Vec<SentModel>> {
    let Some(models) = headers.get(MODELS_HEADER) else {
        return Ok(Vec::new());
    };
    let bytes = STANDARD.decode(models).ok();
    let models: Option<Vec<SentModel>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    models
        .filter(|models| models.len() <= MODELS_MAX && models.iter().all(SentModel::is_sound))
        .ok_or_else(|| refused("the part does not say which models it asks"))
}

fn refused(why: &str) -> DataFusionError {
    lost("refused", DataFusionError::Execution(why.to_owned()))
}
