//! From an engine to a served lab and back: doors, background work, signals.
//!
//! Background work is a few loops, each with its own end: the crawler (woken by events, made true by the timed
//! sweep, which also takes over what other servers and workers commit to the lake), the policy files (looked at twice a second),
//! the views that are due and the files that define some, the care of tables, the alerts that are due, and their messages. The first SIGTERM
//! closes the doors and waits for running statements, the second ends the wait.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use labhouse_catalog::{Crawler, Queue};
use labhouse_policies::PolicyErrors;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::crawl::{Sweeps, is_waiting};
use crate::engine::{Engine, StartError};
use crate::query::statement::CATALOG;
use crate::tls::{Tls, TlsError};

/// A change of the policy files acts within a second: two looks a second leave time to read them.
const POLICY_LOOK: Duration = Duration::from_millis(500);

/// Why serving ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(
        "cannot listen on {address} ({door}): {source}; another program may use it, choose another address or port 0"
    )]
    Listen {
        door: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("signals cannot be handled: {0}")]
    Signals(std::io::Error),
    #[error("the Flight door failed: {0}")]
    Flight(#[from] tonic::transport::Error),
    #[error("the ready line cannot be written: {0}")]
    Ready(std::io::Error),
}

/// Listening doors of an engine that is not serving yet.
pub(crate) struct Server {
    engine: Arc<Engine>,
    flight: TcpListener,
    http: Option<TcpListener>,
    postgres: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
    queue: Option<Queue>,
    /// Of termination and interruption.
    signals: Option<(Signal, Signal)>,
    pub(crate) flight_url: String,
    pub(crate) http_url: Option<String>,
    pub(crate) postgres_url: Option<String>,
}

impl Server {
    /// Takes the addresses of the config.
    pub(crate) async fn bind(engine: Arc<Engine>) -> Result<Self, ServeError> {
        let config = &engine.config;
        let flight = listen("flight", config.flight_address())
            .await?
            .ok_or_else(|| ServeError::Ready(std::io::Error::other("listen.flight is off")))?;
        let http = listen("http", config.http_address()).await?;
        let postgres = listen("postgres", config.postgres_address()).await?;
        let tls = Tls::open(&config.tls)?;
        let queue = Some(config.crawl.queue.as_str()).filter(|url| !url.is_empty() && config.crawl.on.server());
        let queue = queue.map(|url| Queue::open(url, &config.lake.options)).transpose();
        let queue = queue.map_err(StartError::from)?;
        let scheme = if tls.is_some() { "grpc+tls" } else { "grpc" };
        let flight_url = format!("{scheme}://{}", flight.local_addr().map_err(ServeError::Ready)?);
        let http_url = match &http {
            Some(listener) => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                let address = listener.local_addr().map_err(ServeError::Ready)?;
                Some(format!("{scheme}://{address}"))
            }
            None => None,
        };
        let postgres_url = match &postgres {
            Some(listener) => Some(format!(
                "postgresql://{}/{CATALOG}",
                listener.local_addr().map_err(ServeError::Ready)?
            )),
            None => None,
        };
        Ok(Self {
            engine,
            flight,
            http,
            postgres,
            tls,
            queue,
            signals: None,
            flight_url,
            http_url,
            postgres_url,
        })
    }

    /// The line that scripts wait for, on standard output. Whoever has read it may send a signal.
    pub(crate) fn announce(&mut self) -> Result<(), ServeError> {
        self.signals = Some(signals()?);
        // What was edited while the lake was opened acts on the first answer.
        let looked = self.engine.policies.reload(|set| self.engine.check_policies(set));
        if let Err(problem) = looked {
            tracing::error!("the edited policies are refused, the old ones stay in force:\n{problem}");
        }
        let ready = serde_json::json!({
            "flight": self.flight_url, "http": self.http_url, "postgres": self.postgres_url, "pid": std::process::id(),
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready {ready}")
            .and_then(|()| out.flush())
            .map_err(ServeError::Ready)
    }

    /// Serves until a signal, then drains.
    pub(crate) async fn serve(self) -> Result<(), ServeError> {
        let (mut terminate, mut interrupt) = match self.signals {
            Some(signals) => signals,
            None => signals()?,
        };
        let (stop, stopped) = watch::channel(false);
        let mut background = JoinSet::new();
        background.spawn(crate::crawl::follow(Arc::clone(&self.engine), stopped.clone()));
        if let Some(queue) = self.queue {
            background.spawn(crate::crawl::follow_queue(
                Arc::clone(&self.engine),
                queue,
                stopped.clone(),
            ));
        }
        background.spawn(follow_policies(Arc::clone(&self.engine), stopped.clone()));
        background.spawn(crate::audit::follow(Arc::clone(&self.engine.audit), stopped.clone()));
        background.spawn(crate::pipelines::follow(Arc::clone(&self.engine), stopped.clone()));
        background.spawn(crate::pipelines::follow_files(
            Arc::clone(&self.engine),
            stopped.clone(),
        ));
        background.spawn(crate::care::follow(Arc::clone(&self.engine), stopped.clone()));
        background.spawn(crate::alerts::follow(Arc::clone(&self.engine), stopped.clone()));
        if let Some(cluster) = &self.engine.cluster {
            background.spawn(crate::cluster::follow(Arc::clone(cluster), stopped.clone()));
            let (engine, cluster) = (Arc::clone(&self.engine), Arc::clone(cluster));
            background.spawn(crate::cluster::follow_crawls(engine, cluster, stopped.clone()));
        }
        background.spawn(crate::alerts::deliver(Arc::clone(&self.engine), stopped.clone()));

        let traces = tokio::spawn(crate::telemetry::follow(Arc::clone(&self.engine.traces)));
        if let Some(tls) = &self.tls {
            background.spawn(crate::tls::follow(Arc::clone(tls), stopped.clone()));
        }

        if let Some(postgres) = self.postgres {
            let (engine, tls) = (Arc::clone(&self.engine), self.tls.clone());
            background.spawn(crate::postgres::serve(engine, postgres, tls, ended(stopped.clone())));
        }

        let mut doors = JoinSet::new();
        doors.spawn(crate::flight::serve(
            Arc::clone(&self.engine),
            self.flight,
            self.tls.clone(),
            ended(stopped.clone()),
        ));
        if let Some(http) = self.http {
            let served = crate::http::serve(Arc::clone(&self.engine), http, self.tls, ended(stopped.clone()));
            background.spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the HTTP door failed");
                }
            });
        }

        let early = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            door = doors.join_next() => door,
        };
        if let Some(Ok(Err(error))) = early {
            return Err(error.into());
        }
        tracing::info!("draining: running statements may finish, new ones are refused; a second signal ends at once");
        stop.send_replace(true);
        let limits = &self.engine.config.limits;
        let drained = async {
            self.engine
                .admission
                .drain(limits.concurrent_statements, Duration::from_secs(limits.drain_s))
                .await;
            // Connections that idle clients keep open need not be waited for: nothing runs on them.
            let _ = tokio::time::timeout(Duration::from_secs(1), doors.join_next()).await;
            let _ = tokio::time::timeout(Duration::from_secs(limits.drain_s), background.join_all()).await;
            self.engine.plans.clear();
            self.engine.traces.close();
            let _ = tokio::time::timeout(Duration::from_secs(limits.drain_s), traces).await;
            let _ = tokio::time::timeout(Duration::from_secs(limits.drain_s), self.engine.audit.close()).await;
        };
        tokio::select! {
            () = drained => tracing::info!("drained"),
            _ = terminate.recv() => tracing::warn!("second signal: running statements are cut off"),
            _ = interrupt.recv() => tracing::warn!("second signal: running statements are cut off"),
        }
        Ok(())
    }
}

fn signals() -> Result<(Signal, Signal), ServeError> {
    let terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    Ok((terminate, interrupt))
}

async fn listen(door: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener
        .map(Some)
        .map_err(|source| ServeError::Listen { door, address, source })
}

impl Sweeps for Engine {
    fn config(&self) -> &Config {
        &self.config
    }

    fn crawler(&self) -> Option<&Crawler> {
        self.config.crawl.on.server().then_some(&self.crawler)
    }

    fn landed(&self) -> &Notify {
        &self.landed
    }

    /// One sweep, if it is for this server to sweep, and what other servers and workers did.
    async fn sweep(&self, asked: bool) -> Option<bool> {
        if asked && let Some(cluster) = &self.cluster {
            cluster.files_landed();
        }
        let swept = match self.config.crawl.on.server() {
            true => Some(self.crawler.sweep_changes().await),
            false => None,
        };
        let waiting = match swept {
            Some(Ok(report)) => {
                self.metrics.swept(Some(&report));
                if report.changed() {
                    self.audit.crawled(&report);
                }
                Some(is_waiting(&report))
            }
            Some(Err(error)) => {
                self.metrics.swept(None);
                tracing::error!(%error, "the sweep failed; it is tried again");
                None
            }
            None => Some(false),
        };
        self.take_over().await;
        waiting
    }
}

impl Engine {
    /// Takes over what is in the lake by now, whoever brought it there.
    pub(crate) async fn take_over(&self) {
        if let Err(error) = self.catalog.refresh().await {
            tracing::error!(%error, "the catalog was not refreshed");
        }
        if let Err(error) = self.models.refresh().await {
            tracing::error!(%error, "the models were not refreshed");
        }
    }
}

/// Takes over edited policy files; a set with an error never acts.
async fn follow_policies(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut told = None;
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(POLICY_LOOK) => {}
        }
        let (looking, before) = (Arc::clone(&engine), engine.policies.current());
        let outcome = tokio::task::spawn_blocking(move || {
            looking
                .policies
                .reload(|set| looking.check_policies(set))
                .map_err(|problems| (problems.to_string(), places(&problems)))
        })
        .await;
        match outcome {
            Ok(Ok(true)) => {
                told = None;
                engine.audit.policies(&before, &engine.policies.current());
                tracing::info!(
                    generation = engine.policies.current().generation(),
                    "new policies are in force"
                );
            }
            Ok(Ok(false)) => told = None,
            Ok(Err((problem, places))) if told.as_ref() != Some(&problem) => {
                engine.audit.policies_refused(&before, &places);
                tracing::error!("the edited policies are refused, the old ones stay in force:\n{problem}");
                told = Some(problem);
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "the policy files were not looked at"),
        }
    }
}

/// Where the problems are; their texts may quote values of a policy.
fn places(problems: &PolicyErrors) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{}:{}", problem.file, problem.line))
        .collect()
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
