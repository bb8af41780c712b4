//! What a running server holds: one of each, shared by all doors.

use std::sync::{Arc, Weak};
use std::time::Duration;

use labhouse_catalog::{Catalog, CrawlOptions, Crawler, Gone, Lake, LakeError};
use labhouse_policies::{PolicyErrors, PolicyStore, Principal};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::alerts::{AlertStore, Channels, Looks};
use crate::audit::{Audit, AuditError};
use crate::auth::{Authenticator, UserError};
use crate::care::Care;
use crate::cluster::{Cluster, ClusterError};
use crate::config::{Config, RemovedFiles};
use crate::metrics::Metrics;
use crate::models::{ModelStore, Trainings};
use crate::pipelines::{Failures, Files, Met};
use crate::query::{Admission, Plans, QueryLog, Results, Runner, Transactions};
use crate::session::{Governed, Sessions, World, table_object};
use crate::system::{Profiles, SystemTables};
use crate::telemetry::Traces;
use crate::ticket::Sealer;

/// The server without its doors.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) auth: Authenticator,
    pub(crate) tickets: Arc<Sealer>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) crawler: Crawler,
    /// Somebody says that files have landed.
    pub(crate) landed: Notify,
    pub(crate) policies: PolicyStore,
    pub(crate) models: ModelStore,
    pub(crate) alerts: AlertStore,
    pub(crate) alert_looks: Looks,
    pub(crate) channels: Channels,
    pub(crate) sessions: Sessions,
    pub(crate) admission: Admission,
    pub(crate) trainings: Trainings,
    pub(crate) log: QueryLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Arc<Traces>,
    pub(crate) care: Care,
    pub(crate) plans: Plans,
    pub(crate) profiles: Profiles,
    pub(crate) results: Arc<Results>,
    pub(crate) view_failures: Failures,
    pub(crate) pipeline_files: Files,
    pub(crate) runner: Runner,
    /// The workers, if the config names some.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) transactions: Transactions,
    pub(crate) met: Mutex<Arc<Met>>,
    this: Weak<Engine>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Users(#[from] UserError),
    #[error("the policy files are not valid, and without them nobody may see anything:\n{0}")]
    Policies(#[from] PolicyErrors),
    #[error(
        "{0}; a server does not start without its audit trail, unless on_failure in [audit] of the config is \"continue\""
    )]
    Audit(#[from] AuditError),
    #[error("a channel of [alerts] cannot be used: {0}")]
    Channel(#[from] crate::alerts::ChannelError),
    #[error("threads for statements cannot be started: {0}; raise the limit on processes")]
    Threads(std::io::Error),
    #[error("work cannot be shared with other nodes: {0}")]
    Cluster(#[from] ClusterError),
    #[error("traces cannot be sent: {0}; see [telemetry] of the config")]
    Telemetry(String),
    #[error("the query engine does not start: {0}")]
    Session(#[from] datafusion::error::DataFusionError),
}

impl Engine {
    /// Opens the lake, checks that it can be written to safely, and loads catalog, policies, users and models.
    pub(crate) async fn open(config: Config) -> Result<Arc<Self>, StartError> {
        let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
        lake.probe().await?;
        let catalog = Catalog::load(Arc::clone(&lake)).await?;
        let models = ModelStore::open(Arc::clone(&lake)).await?;
        let alerts = AlertStore::open(Arc::clone(&lake)).await?;
        let channels = Channels::open(&config.alerts)?;
        let sessions = Sessions::new(&config.limits, &lake)?;
        let policies = PolicyStore::open(&config.policies.dir)?;
        let network = tokio::runtime::Handle::current();
        let cluster = Cluster::open(&config.cluster, &lake, &sessions, network).await?;
        let runner = Runner::new(sessions.partitions(), crate::cli::STACK_BYTES, cluster.clone());
        let runner = runner.map_err(StartError::Threads)?;
        let tickets = Arc::new(Sealer::new());
        let auth = Authenticator::open(&config, Arc::clone(&tickets))?;
        let crawler = Crawler::new(Arc::clone(&catalog), crawl_options(&config));
        let audit = Audit::open(&lake, &config, &policies.current()).await?;
        let trail = Arc::clone(&audit);
        auth.tell_changes(move |change| trail.users(&change));
        let metrics = Arc::new(Metrics::default());
        let traces = Traces::open(&config.telemetry).map_err(StartError::Telemetry)?;
        let engine = Arc::new_cyclic(|this| Self {
            auth,
            tickets,
            crawler,
            landed: Notify::new(),
            policies,
            models,
            alerts,
            alert_looks: Looks::default(),
            channels,
            sessions,
            admission: Admission::new(&config.limits),
            trainings: Trainings::new(config.limits.concurrent_trainings),
            log: QueryLog::new(Arc::clone(&metrics), Arc::clone(&traces)),
            metrics,
            traces,
            care: Care::default(),
            plans: Plans::default(),
            profiles: Profiles::default(),
            results: Arc::new(Results::new(&config.limits)),
            view_failures: Failures::default(),
            pipeline_files: Files::default(),
            runner,
            cluster,
            transactions: Transactions::default(),
            met: Mutex::default(),
            audit,
            catalog,
            config,
            this: Weak::clone(this),
        });
        engine.check_policies(&engine.policies.current())?;
        Ok(engine)
    }

    /// Type-checks a policy set against the tables that are there now.
    pub(crate) fn check_policies(&self, set: &labhouse_policies::PolicySet) -> Result<(), PolicyErrors> {
        let catalog = self.catalog.snapshot();
        let objects: Vec<_> = catalog.all().map(|table| table_object(table)).collect();
        let problems = set.verify(self.sessions.system(), &objects);
        if problems.is_fatal() { Err(problems) } else { Ok(()) }
    }

    /// The world as one principal sees it.
    pub(crate) fn govern(&self, who: &Principal, world: World) -> Arc<Governed> {
        self.sessions.govern(who, world, SystemTables(Weak::clone(&self.this)))
    }
}

/// The crawler's options as the config gives them.
pub(crate) fn crawl_options(config: &Config) -> CrawlOptions {
    CrawlOptions {
        settle: Duration::from_millis(config.crawl.settle_ms),
        gone: match config.crawl.removed_files {
            RemovedFiles::Keep => Gone::KeepRows,
            RemovedFiles::Delete => Gone::DeleteRows,
        },
        file_bytes_max: config.crawl.file_bytes_max,
        decompressed_bytes_max: config.crawl.decompressed_bytes_max,
        ..CrawlOptions::default()
    }
}
