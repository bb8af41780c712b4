//! Which workers there are, and which of them are ready.
//!
//! The config names them; the addresses behind a name are asked for again at each look, so workers come and go without a
//! word to the servers. A node is ready while it answers, says the same version, and no call to it failed since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use datafusion_distributed::{GetWorkerInfoRequest, WorkerResolver};
use futures::future::join_all;
use tokio::sync::watch;
use url::Url;

use super::channel::{Channels, is_stranger};
use super::share::Cluster;

/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 256;
/// Time between a failed call and the look that follows.
const AFTER_LOSS: Duration = Duration::from_millis(200);

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
    /// It does not know this server for a node: another lake, or another name in the certificate.
    Refused,
    /// It does not answer, or it does not take work.
    Away,
}

impl NodeState {
    /// The state in one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Other => "other_version",
            Self::Refused => "refused",
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
    pub(super) fn all(&self, channels: &Channels) -> Vec<Node> {
        let mut all: Vec<Node> = self.known.load().values().cloned().collect();
        for node in all.iter_mut().filter(|node| channels.is_suspect(&node.url)) {
            become_state(node, NodeState::Away);
        }
        all
    }

    /// The workers that can be used now.
    pub(super) fn ready(&self, channels: &Channels) -> Vec<Url> {
        let known = self.known.load();
        let ready = known.values().filter(|node| node.state == NodeState::Ready);
        ready
            .filter(|node| !channels.is_suspect(&node.url))
            .map(|node| node.url.clone())
            .collect()
    }

    /// Looks at each worker once.
    async fn look(&self, names: &mut Names, channels: &Channels, version: &str, patience: Duration) {
        let before = self.known.load_full();
        let asked = names.addresses(patience).await.into_iter().filter_map(|address| {
            let url = channels.url(address)?;
            let before = before.get(&address).cloned();
            Some(async move {
                let node = ask(address, url, before, channels, version, patience).await;
                (address, node)
            })
        });
        let now: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        for (address, node) in &now {
            if before.get(address).map(|node| node.state) != Some(node.state) {
                tell(node, version);
            }
        }
        channels.keep(|url| now.values().any(|node| node.url == *url));
        self.known.store(Arc::new(now));
    }
}

fn tell(node: &Node, version: &str) {
    let address = node.address;
    match node.state {
        NodeState::Ready => tracing::info!(%address, "a worker is ready"),
        NodeState::Other => tracing::warn!(
            %address, theirs = node.version, ours = version,
            "a worker is of another version or lake and gets no work"
        ),
        NodeState::Refused => tracing::warn!(
            %address, "a worker does not know this server for a node: it is of another lake, or asks for another certificate"
        ),
        NodeState::Away => tracing::warn!(%address, "a worker is away"),
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

/// The names of workers in the config, with the addresses that each had when it was looked up last.
struct Names(Vec<(String, Vec<SocketAddr>)>);

impl Names {
    fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| (name.clone(), Vec::new())).collect())
    }

    /// The addresses behind all names now; a name that cannot be looked up keeps those it had.
    async fn addresses(&mut self, patience: Duration) -> BTreeSet<SocketAddr> {
        let looked_up = self.0.iter_mut().map(|(name, known)| async move {
            match tokio::time::timeout(patience, tokio::net::lookup_host(name.as_str())).await {
                Ok(Ok(found)) => *known = found.take(ADDRESSES_MAX).collect(),
                Ok(Err(error)) => tracing::warn!(name, %error, "no address of a worker; the last ones stay"),
                Err(_) => tracing::warn!(
                    name,
                    "looking up the address of a worker takes too long; the last ones stay"
                ),
            }
        });
        join_all(looked_up).await;
        self.0.iter().flat_map(|(_, known)| known.iter().copied()).collect()
    }
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
            channels.trust(&node.url);
            node.heard_at = Some(Utc::now());
            node.latency = Some(asked.elapsed());
            node.version = told.version;
            match node.version == version {
                true => NodeState::Ready,
                false => NodeState::Other,
            }
        }
        failed => {
            if let Ok(Err(error)) = &failed {
                tracing::debug!(%address, %error, "a worker does not answer");
            }
            channels.forget(&node.url);
            match failed {
                Ok(Err(error)) if is_stranger(&error) => NodeState::Refused,
                _ => NodeState::Away,
            }
        }
    };
    become_state(&mut node, state);
    node
}

/// Looks at the workers until shutdown: at each interval, and soon after a call to one failed.
pub(crate) async fn follow(cluster: Arc<Cluster>, mut stopped: watch::Receiver<bool>) {
    let (config, channels) = (cluster.config(), cluster.channels());
    // The first of two answers may connect.
    let patience = config.connect() * 2;
    let mut names = Names::new(&config.workers);
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            () = cluster.nodes().look(&mut names, channels, cluster.version(), patience) => {}
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(config.look()) => {}
            // What made a call fail has a moment to end.
            () = async {
                channels.suspected().await;
                tokio::time::sleep(AFTER_LOSS).await;
            } => {}
        }
    }
}
