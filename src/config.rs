//! `labhouse.toml`: read once, checked whole, unknown keys refused.
//!
//! Every key has a default except `lake.url`; `examples/labhouse.toml` lists each with its unit.
//! Relative paths are relative to the config file, so that a lab can be moved as one folder.

pub(crate) mod alerts;
mod auth;
mod care;
mod cluster;
mod crawl;
mod pipelines;
mod telemetry;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use labhouse_catalog::RETAIN_HOURS_MIN;
use serde::{Deserialize, Serialize};

pub(crate) use auth::{Auth, Oidc};
pub(crate) use care::Care;
pub(crate) use cluster::Cluster;
pub(crate) use crawl::{Crawl, RemovedFiles};
pub(crate) use pipelines::{Pipelines, Step};
pub(crate) use telemetry::Telemetry;
pub(crate) use tls::{CertificateLogin, Tls};

/// A config that was read and checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) lake: LakeSection,
    #[serde(default)]
    pub(crate) listen: Listen,
    #[serde(default)]
    pub(crate) policies: Policies,
    #[serde(default)]
    pub(crate) auth: Auth,
    #[serde(default)]
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) crawl: Crawl,
    #[serde(default)]
    pub(crate) care: Care,
    #[serde(default)]
    pub(crate) audit: Audit,
    #[serde(default)]
    pub(crate) dashboards: Dashboards,
    #[serde(default)]
    pub(crate) pipelines: Pipelines,
    #[serde(default)]
    pub(crate) alerts: alerts::Alerts,
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    #[serde(default)]
    pub(crate) cluster: Cluster,
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// Where the lake is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LakeSection {
    /// `file:///path` or `s3://bucket/prefix`; a plain path means `file://`.
    pub(crate) url: String,
    /// Options of the object store (`endpoint`, `region`, `allow_http`, …). Secrets belong into the environment (`AWS_*`).
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

/// Addresses; an empty string switches a door off.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    pub(crate) flight: String,
    pub(crate) http: String,
    pub(crate) postgres: String,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            flight: "127.0.0.1:50051".into(),
            http: "127.0.0.1:8080".into(),
            postgres: String::new(),
        }
    }
}

/// Where the policy files are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policies {
    pub(crate) dir: PathBuf,
}

impl Default for Policies {
    fn default() -> Self {
        Self { dir: "policies".into() }
    }
}

/// Where the lab's own dashboards are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dashboards {
    pub(crate) dir: PathBuf,
}

impl Default for Dashboards {
    fn default() -> Self {
        Self {
            dir: "dashboards".into(),
        }
    }
}

/// How the audit trail is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// What a result waits for.
    pub(crate) durability: Durability,
    /// How long an event that nothing waits for may be lost with power, in milliseconds.
    pub(crate) flush_interval_ms: u64,
    /// How often events are brought into the Delta table, in seconds.
    pub(crate) fold_interval_s: u64,
    /// What becomes of statements while the trail cannot be written.
    pub(crate) on_failure: OnFailure,
    /// File of anchors outside the lake; empty = none.
    pub(crate) anchor: String,
}

/// What a result waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Nothing of the lake is delivered before its event is durable; only what reads nothing there is (`SELECT 1`) does not wait.
    Delivered,
    /// Events become durable within the flush interval: power that fails may take the last ones.
    Interval,
}

/// What becomes of statements while the trail cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    Refuse,
    Continue,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            durability: Durability::Delivered,
            flush_interval_ms: 200,
            fold_interval_s: 30,
            on_failure: OnFailure::Refuse,
            anchor: "audit-anchors.jsonl".into(),
        }
    }
}

impl Audit {
    /// The file of anchors; none when it is off.
    pub(crate) fn anchor_file(&self) -> Option<PathBuf> {
        (!self.anchor.is_empty()).then(|| PathBuf::from(&self.anchor))
    }
}

/// A number on everything that grows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Memory of all running statements together, in MiB; beyond it they spill to disk.
    pub(crate) memory_mib: usize,
    /// Disk that spilling statements may take together, in MiB.
    pub(crate) spill_mib: u64,
    /// Statements that run at the same time.
    pub(crate) concurrent_statements: usize,
    /// Statements of one login that run at the same time; 0 = as many as run at all.
    pub(crate) statements_per_principal: usize,
    /// Statements that one login may begin in a minute; 0 = any number.
    pub(crate) statements_per_minute: u32,
    /// Rows of one result; 0 = any number.
    pub(crate) result_rows: u64,
    /// Values of one result, in MiB; 0 = any number.
    pub(crate) result_mib: u64,
    /// Time a statement waits for its turn, in seconds.
    pub(crate) queue_s: u64,
    /// Time to plan a statement, in seconds.
    pub(crate) planning_s: u64,
    /// Time to run a statement, reading included, in seconds.
    pub(crate) statement_s: u64,
    /// Length of a statement, in bytes.
    pub(crate) statement_bytes: usize,
    /// Operators (`OR`, `+`, `UNION`, …) in a statement: long chains of them cost planning time and stack.
    pub(crate) statement_operators: usize,
    /// Rows that `CREATE TABLE AS`, `INSERT` and `CREATE MODEL` may read into memory.
    pub(crate) write_rows: usize,
    /// Threads that one statement uses; 0 = as many as there are cores.
    pub(crate) partitions: usize,
    /// Memory for results that are given again while nothing they rest on has changed, in MiB; 0 = none is kept.
    pub(crate) result_cache_mib: usize,
    /// Whether those who see a table in part are answered from it, too.
    pub(crate) result_cache_filtered: bool,
    /// Memory for columns of data files as they were decoded, beside `memory_mib`, in MiB; 0 = none is kept.
    pub(crate) column_cache_mib: usize,
    /// Models trained at the same time.
    pub(crate) concurrent_trainings: usize,
    /// Threads of one training; 0 = as many as there are cores. They stand behind the threads of queries.
    pub(crate) training_threads: usize,
    /// Time that a shutdown waits for running statements, in seconds.
    pub(crate) drain_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 4096,
            spill_mib: 32 * 1024,
            concurrent_statements: 64,
            statements_per_principal: 48,
            statements_per_minute: 0,
            result_rows: 0,
            result_mib: 0,
            queue_s: 30,
            planning_s: 20,
            statement_s: 3600,
            statement_bytes: 1 << 20,
            statement_operators: 2_000,
            write_rows: 20_000_000,
            partitions: 0,
            result_cache_mib: 64,
            result_cache_filtered: true,
            column_cache_mib: 512,
            concurrent_trainings: 1,
            training_threads: 0,
            drain_s: 30,
        }
    }
}

impl Limits {
    /// Threads of one training, at least one.
    pub(crate) fn training_threads(&self) -> usize {
        match self.training_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        }
    }
}

/// What is wrong with a config file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the config file {path}: {source}; name an existing file with --config")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("{path}: {key} = \"{value}\" {problem}")]
    Value {
        path: PathBuf,
        key: &'static str,
        value: String,
        problem: &'static str,
    },
}

impl ConfigError {
    /// A value of a key that cannot be; `problem` follows the value.
    fn value(path: &Path, key: &'static str, value: &str, problem: &'static str) -> Self {
        Self::Value {
            path: path.to_owned(),
            key,
            value: value.to_owned(),
            problem,
        }
    }
}

impl Config {
    /// Reads and checks a config file; relative paths in it become absolute.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks a config text as if it had been read from `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let base = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from("."));
        config.policies.dir = base.join(&config.policies.dir);
        config.dashboards.dir = base.join(&config.dashboards.dir);
        config.pipelines.dir = base.join(&config.pipelines.dir);
        config.auth.users = base.join(&config.auth.users);
        let Tls {
            cert, key, client_ca, ..
        } = &mut config.tls;
        for file in [cert, key, client_ca, &mut config.audit.anchor] {
            if !file.is_empty() {
                *file = base.join(&*file).to_string_lossy().into_owned();
            }
        }
        config.alerts.settle(&base);
        config.cluster.settle(&base);
        if !config.lake.url.contains("://") {
            config.lake.url = format!("file://{}", base.join(&config.lake.url).display());
        }
        config.check(path)?;
        Ok(config)
    }

    /// The address of the Flight door.
    pub(crate) fn flight_address(&self) -> Option<SocketAddr> {
        self.listen.flight.parse().ok()
    }

    /// The address of the HTTP door; none when it is off.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.listen.http.parse().ok()
    }

    /// The address of the PostgreSQL door; none when it is off.
    pub(crate) fn postgres_address(&self) -> Option<SocketAddr> {
        self.listen.postgres.parse().ok()
    }

    /// Time between sweeps.
    pub(crate) fn sweep_interval(&self) -> Duration {
        Duration::from_secs(self.crawl.sweep_interval_s.max(1))
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        for (key, value) in [
            ("listen.flight", &self.listen.flight),
            ("listen.http", &self.listen.http),
            ("listen.postgres", &self.listen.postgres),
        ] {
            if value.is_empty() {
                continue;
            }
            let Ok(address) = value.parse::<SocketAddr>() else {
                return wrong(
                    key,
                    value,
                    "is not ADDRESS:PORT, for example 127.0.0.1:50051 (port 0 = any free one)",
                );
            };
            if self.tls.cert.is_empty() && !address.ip().is_loopback() && !self.tls.allow_plaintext {
                return wrong(
                    key,
                    value,
                    "would send passwords in plain text over a network; set tls.cert and tls.key, or tls.allow_plaintext = true behind a proxy that encrypts",
                );
            }
        }
        if self.listen.flight.is_empty() {
            return wrong("listen.flight", "", "cannot be off: it is the main door");
        }
        if self.care.retain_hours != 0 && self.care.retain_hours < RETAIN_HOURS_MIN {
            return wrong(
                "care.retain_hours",
                &self.care.retain_hours.to_string(),
                "is less than 168: readers and writers may still need the files; 0 = nothing is deleted",
            );
        }
        self.tls.check(path)?;
        self.auth.check(path)?;
        self.cluster.check(path)?;
        if !self.cluster.ca.is_empty() && self.cluster.ca == self.tls.client_ca {
            return wrong(
                "cluster.ca",
                &self.cluster.ca,
                "is tls.client_ca, too: whom it signs as a user would be a node, and read all of the lake",
            );
        }
        if !self.telemetry.is_usable() {
            return wrong(
                "telemetry.otlp_endpoint",
                &self.telemetry.otlp_endpoint,
                "must be an https URL, or http on this machine: spans name logins",
            );
        }
        let numbers = [
            ("limits.memory_mib", self.limits.memory_mib),
            ("limits.concurrent_statements", self.limits.concurrent_statements),
            ("limits.statement_bytes", self.limits.statement_bytes),
            ("limits.statement_operators", self.limits.statement_operators),
            ("limits.concurrent_trainings", self.limits.concurrent_trainings),
        ];
        match numbers.into_iter().find(|(_, number)| *number == 0) {
            Some((key, _)) => wrong(key, "0", "must be at least 1"),
            None => self.alerts.check(path).and_then(|()| self.pipelines.check(path)),
        }
    }
}

#[cfg(test)]
mod tests;
