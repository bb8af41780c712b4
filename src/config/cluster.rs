//! `[cluster]`: the nodes that share the work of large statements.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;

/// Upper ends of two settings.
const TASKS_MAX: usize = 65_536;
const PLAN_MIB_MAX: usize = 2_047;

/// How a server finds its workers, and how a worker is found. Both read the same section, so one file serves all nodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cluster {
    /// Address at which `labhouse worker` waits for work; a server does not open it.
    pub(crate) listen: String,
    /// `HOST:PORT` of the workers that a server shares statements with; each address of a name is a worker.
    pub(crate) workers: Vec<String>,
    /// PEM file of this node's certificate chain; empty = plain text, allowed on loopback only.
    pub(crate) cert: String,
    /// PEM file of its private key.
    pub(crate) key: String,
    /// PEM file of the authority that signs nodes and nothing else.
    pub(crate) ca: String,
    /// The DNS name that stands in the certificate of each node.
    pub(crate) name: String,
    /// Time between two looks at each worker, in seconds.
    pub(crate) look_s: u64,
    /// Time that reaching a node may take, in seconds.
    pub(crate) connect_s: u64,
    /// A node that says nothing for so long is taken for lost, in seconds.
    pub(crate) silent_s: u64,
    /// Statements that scan less than this run on the server alone, in MiB.
    pub(crate) statement_mib_min: u64,
    /// Parts of statements that a worker runs at the same time; one more is refused, and its statement runs on its server.
    pub(crate) tasks_max: usize,
    /// Largest plan that a worker reads, in MiB.
    pub(crate) plan_mib_max: usize,
    /// Rows of a training that is sent to a worker, in MiB of memory; with more the server trains itself. 0 = it always does.
    pub(crate) training_mib_max: usize,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50060".into(),
            workers: Vec::new(),
            cert: String::new(),
            key: String::new(),
            ca: String::new(),
            name: "labhouse-node".into(),
            look_s: 5,
            connect_s: 3,
            silent_s: 10,
            statement_mib_min: 256,
            tasks_max: 128,
            plan_mib_max: 64,
            training_mib_max: 1024,
        }
    }
}

impl Cluster {
    /// Whether nodes talk encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        !self.cert.is_empty()
    }

    /// The address a worker listens at.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Time between two looks at a worker.
    pub(crate) fn look(&self) -> Duration {
        Duration::from_secs(self.look_s.max(1))
    }

    /// Time that reaching a node may take.
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_s.max(1))
    }

    /// Silence after which a node is lost.
    pub(crate) fn silent(&self) -> Duration {
        Duration::from_secs(self.silent_s.max(2))
    }

    /// Paths become absolute.
    pub(super) fn settle(&mut self, base: &Path) {
        for file in [&mut self.cert, &mut self.key, &mut self.ca] {
            if !file.is_empty() {
                *file = base.join(&*file).to_string_lossy().into_owned();
            }
        }
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        let given = [&self.cert, &self.key, &self.ca].map(|file| !file.is_empty());
        if given.contains(&true) && given.contains(&false) {
            return wrong(
                "cluster.cert",
                &self.cert,
                "needs cluster.key and cluster.ca, too: nodes show each other certificates of one authority",
            );
        }
        let Some(address) = self.address() else {
            return wrong(
                "cluster.listen",
                &self.listen,
                "is not ADDRESS:PORT, for example 10.0.0.5:50060",
            );
        };
        const PLAIN: &str = "is reached in plain text over a network, and plans hold conditions of row filters; set cluster.cert, cluster.key and cluster.ca";
        if !self.is_encrypted() && !address.ip().is_loopback() {
            return wrong("cluster.listen", &self.listen, PLAIN);
        }
        for worker in &self.workers {
            let Some(host) = host(worker) else {
                return wrong(
                    "cluster.workers",
                    worker,
                    "is not HOST:PORT, for example workers.lab:50060",
                );
            };
            if !self.is_encrypted() && !is_loopback(host) {
                return wrong("cluster.workers", worker, PLAIN);
            }
        }
        if !(1..=TASKS_MAX).contains(&self.tasks_max) || !(1..=PLAN_MIB_MAX).contains(&self.plan_mib_max) {
            return wrong(
                "cluster.tasks_max",
                &self.tasks_max.to_string(),
                "is not 1 to 65536, or cluster.plan_mib_max is not 1 to 2047",
            );
        }
        Ok(())
    }
}

/// The host of `HOST:PORT`.
fn host(worker: &str) -> Option<&str> {
    let (host, port) = worker.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    (!host.is_empty() && port > 0).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
