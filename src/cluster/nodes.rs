//! Which workers there are, and which of them are ready.
//!
//! The config names them; the addresses behind a name are asked for again at each look, so workers come and go without a
//! word to the servers. A node is ready while it answers, says the same version, and no call to it failed since.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use datafusion_distributed::{GetWorkerInfoRequest, WorkerResolver};
use futures::future::join_all;
use tokio::sync::watch;
use url::Url;

use super::channel::Channels;
use super::share::Cluster;

/// What is known of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) url: Url,
    pub(crate) state: NodeState,
    /// What it says it is; empty before it said anything.
    pub(crate) version: String,
    /// Since when it is in this state.
    pub(crate) since: DateTime<Utc>,
    /// When it answered last.
    pub(crate) heard_at: Option<DateTime<Utc>>,
    /// How long its last answer took.
    pub(crate) latency: Option<Duration>,
}

/// Whether a worker can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeState {
    Ready,
    /// Another program, or another lake.
    Other,
    /// It does not answer, or it does not take work.
    Away,
}

impl NodeState {
    /// The state in one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Other => "other_version",
            Self::Away => "away",
        }
    }
}

/// The workers, as of the last look.
pub(super) struct Nodes {
    known: ArcSwap<BTreeMap<SocketAddr, Node>>,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            known: ArcSwap::default(),
        }
    }

    /// All that the config names, by address.
    pub(super) fn all(&self) -> Vec<Node> {
        self.known.load().values().cloned().collect()
    }

    /// The workers that can be used now.
    pub(super) fn ready(&self) -> Vec<Url> {
        let known = self.known.load();
        let ready = known.values().filter(|node| node.state == NodeState::Ready);
        ready.map(|node| node.url.clone()).collect()
    }

    /// Looks at each worker once.
    async fn look(&self, names: &[String], channels: &Channels, version: &str, patience: Duration) {
        let before = self.known.load_full();
        let asked = addresses(names).await.into_iter().filter_map(|address| {
            let url = channels.url(address)?;
            let before = before.get(&address).cloned();
            Some(async move { (address, ask(address, url, before, channels, version, patience).await) })
        });
        let now: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        for (address, node) in &now {
            let was = before.get(address).map(|node| node.state);
            match node.state {
                state if Some(state) == was => {}
                NodeState::Ready => tracing::info!(%address, "a worker is ready"),
                NodeState::Other => tracing::warn!(
                    %address, theirs = node.version, ours = version,
                    "a worker is of another version or lake and gets no work"
                ),
                NodeState::Away => tracing::warn!(%address, "a worker is away"),
            }
        }
        self.known.store(Arc::new(now));
    }

    /// A call to these failed: they get no work until they answer again.
    fn lost(&self, nodes: &[Url]) {
        self.known.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            for node in known.values_mut().filter(|node| nodes.contains(&node.url)) {
                become_state(node, NodeState::Away);
            }
            known
        });
    }
}

/// The engine asks this of a snapshot, so that the workers of one statement do not change while it is planned.
pub(super) struct Chosen(pub(super) Vec<Url>);

impl WorkerResolver for Chosen {
    fn get_urls(&self) -> datafusion::error::Result<Vec<Url>> {
        Ok(self.0.clone())
    }
}

fn become_state(node: &mut Node, state: NodeState) {
    if node.state != state {
        node.state = state;
        node.since = Utc::now();
    }
}

/// The addresses behind the names; a name that is not known now has none.
async fn addresses(names: &[String]) -> Vec<SocketAddr> {
    let found = names.iter().map(|name| async move {
        match tokio::net::lookup_host(name).await {
            Ok(found) => found.collect(),
            Err(error) => {
                tracing::warn!(name, %error, "no address of a worker");
                Vec::new()
            }
        }
    });
    let mut all: Vec<SocketAddr> = join_all(found).await.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

async fn ask(
    address: SocketAddr,
    url: Url,
    before: Option<Node>,
    channels: &Channels,
    version: &str,
    patience: Duration,
) -> Node {
    let mut node = before.unwrap_or_else(|| Node {
        address,
        url,
        state: NodeState::Away,
        version: String::new(),
        since: Utc::now(),
        heard_at: None,
        latency: None,
    });
    let asked = Instant::now();
    let asking = async {
        let mut client = channels.client(&node.url).await?;
        client.get_worker_info(GetWorkerInfoRequest {}).await
    };
    let state = match tokio::time::timeout(patience, asking).await {
        Ok(Ok(told)) => {
            node.heard_at = Some(Utc::now());
            node.latency = Some(asked.elapsed());
            node.version = told.version;
            match node.version == version {
                true => NodeState::Ready,
                false => NodeState::Other,
            }
        }
        failed => {
            if let Ok(Err(error)) = failed {
                tracing::debug!(%address, %error, "a worker does not answer");
            }
            channels.forget(&node.url);
            NodeState::Away
        }
    };
    become_state(&mut node, state);
    node
}

/// Looks at the workers until shutdown: at each interval, and at once when one was lost.
pub(crate) async fn follow(cluster: Arc<Cluster>, mut stopped: watch::Receiver<bool>) {
    let (config, channels) = (cluster.config(), cluster.channels());
    // The first of two answers may connect.
    let patience = config.connect() * 2;
    while !*stopped.borrow() {
        cluster
            .nodes()
            .look(&config.workers, channels, cluster.version(), patience)
            .await;
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(config.look()) => {}
            () = channels.losses().told() => {
                let lost = channels.losses().take();
                lost.iter().for_each(|node| channels.forget(node));
                cluster.nodes().lost(&lost);
                // What made it fail has a moment to end.
                tokio::select! {
                    _ = stopped.changed() => break,
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
        }
    }
}
