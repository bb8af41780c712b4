//! The only place where a session is built.
//!
//! Each statement gets its own: the engine's functions, the functions and models its principal may call, and one
//! catalog, `lab`, that holds just what that principal may see, every table governed. A second kind, the system
//! session, plans what lies below the barrier; it has fixed settings, no catalog and no user functions, and never
//! meets a user's expression.

mod bounded;
mod catalog;
mod combinations;
mod derived;
mod distributed;
mod found;
mod governed;
mod library;
mod mended;
mod models;
mod order;
mod shown;
mod travel;
mod truth;

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use labhouse_catalog::{CatalogSnapshot, ColumnCache, Lake, kept};
use labhouse_policies::{PolicySet, Principal, Reading};
use url::Url;

pub(crate) use combinations::COMBINATIONS_MAX;
pub(crate) use derived::Derived;
pub(crate) use distributed::distributed;
pub(crate) use found::Found;
pub(crate) use governed::{Governed, Stand, model_object, new_object, table_object, table_path};
pub(crate) use library::{Library, LibraryPart, LibrarySource, PROPERTY as LIBRARY};
use mended::PhysicalRules;
pub(crate) use mended::{forgetting, is_forgetting};
pub(crate) use shown::Shown;

use crate::config::Limits;
use crate::models::ModelSnapshot;
use crate::pipelines::Met;
use crate::query::statement::CATALOG;
use crate::search::Searches;
use crate::system::{self, SYSTEM, SystemTables};

/// Functions that would name files behind a table.
const SIDE_DOORS: [&str; 2] = ["input_file_name", "file_row_index"];
/// Consumers of memory that an out-of-memory error names.
const CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN;

/// Builds sessions.
pub(crate) struct Sessions {
    user: Arc<SessionState>,
    system: Arc<SessionState>,
    /// Columns of data files, kept between statements.
    columns: Arc<ColumnCache>,
    /// Indexes of what people search, kept between statements.
    searches: Arc<Searches>,
}

/// What is true while one statement runs: immutable snapshots, taken once.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) catalog: Arc<CatalogSnapshot>,
    pub(crate) models: Arc<ModelSnapshot>,
    pub(crate) met: Arc<Met>,
}

impl World {
    /// Schema and name of every table there is, system tables last.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (String, String)> {
        let lake = self
            .catalog
            .all()
            .map(|table| (table.name().schema.clone(), table.name().table.clone()));
        let system = SystemTables::NAMES
            .iter()
            .map(|name| (SYSTEM.to_owned(), (*name).to_owned()));
        lake.chain(system)
    }

    /// Whether both are the very same snapshots.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.policies, &other.policies)
            && Arc::ptr_eq(&self.catalog, &other.catalog)
            && Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Sessions {
    pub(crate) fn new(limits: &Limits, lake: &Lake) -> Result<Self, DataFusionError> {
        let runtime = runtime(limits, lake)?;
        let partitions = match limits.partitions {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            some => some,
        };
        let own = config(partitions).with_information_schema(true);
        let mut user = state(own, Arc::clone(&runtime), mended::rules())?;
        bounded::bound(&mut user)?;
        for function in labhouse_udfs::smiles_functions() {
            user.register_udf(Arc::new(function))?;
        }
        user.register_function_rewrite(Arc::new(truth::Truth))?;
        let user = Arc::new(user);
        let columns = Arc::new(ColumnCache::new(limits.column_cache_mib.saturating_mul(1 << 20)));
        let mut below = config(partitions);
        if limits.column_cache_mib > 0 {
            let columns = Arc::clone(&columns);
            below.set_extension(Arc::new(Reading::new(move |scan, task| {
                kept(scan, &columns, task.memory_pool())
            })));
        }
        let system = Arc::new(state(below, runtime, mended::rules_below())?);
        let searches = Arc::default();
        Ok(Self {
            user,
            system,
            columns,
            searches,
        })
    }

    /// The session that plans below the barrier.
    pub(crate) fn system(&self) -> &Arc<SessionState> {
        &self.system
    }

    /// Bytes of memory and of disk that running statements hold.
    pub(crate) fn used(&self) -> (usize, u64) {
        let runtime = self.user.runtime_env();
        (runtime.memory_pool.reserved(), runtime.disk_manager.used_disk_space())
    }

    /// Bytes of columns that are kept, how many parts of columns were found there and how many had to be decoded.
    pub(crate) fn columns(&self) -> (usize, u64, u64) {
        let (hits, misses) = self.columns.counts();
        (self.columns.bytes(), hits, misses)
    }

    /// Files were deleted for good: nothing of any file is kept.
    pub(crate) fn forget_columns(&self) {
        self.columns.clear();
    }

    /// Threads that one statement uses.
    pub(crate) fn partitions(&self) -> usize {
        self.system.config().target_partitions()
    }

    /// Whether the engine itself has a function of that name.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.user.scalar_functions().contains_key(name)
            || self.user.aggregate_functions().contains_key(name)
            || self.user.window_functions().contains_key(name)
            || self.user.table_functions().contains_key(name)
    }

    /// A session for one statement of one principal.
    pub(crate) fn open(&self, governed: &Arc<Governed>) -> Result<SessionState, DataFusionError> {
        let mut state = governed.plain_session();
        // Whoever plans in this session knows whose it is.
        state.config_mut().set_extension(Arc::clone(governed));
        for function in governed.functions() {
            state.register_udf(function)?;
        }
        for function in crate::models::scalar::functions(governed) {
            state.register_udf(function)?;
        }
        for (name, function) in crate::models::functions::table_functions(governed) {
            state.register_udtf(name, function);
        }
        for (name, function) in crate::search::table_functions(governed, &self.searches) {
            state.register_udtf(name, function);
        }
        state.register_udtf(system::HISTORY, system::history(governed));
        Ok(state)
    }

    /// The governed view that `who` has of the world.
    pub(crate) fn govern(&self, who: &Principal, world: World, system_tables: SystemTables) -> Arc<Governed> {
        Arc::new(Governed::new(
            who.clone(),
            world,
            Arc::clone(&self.system),
            Arc::clone(&self.user),
            system_tables,
        ))
    }
}

fn config(partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, "public")
        .with_target_partitions(partitions);
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = false;
    options.sql_parser.collect_spans = false;
    config
}

fn runtime(limits: &Limits, lake: &Lake) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool = FairSpillPool::new(limits.memory_mib.saturating_mul(1 << 20));
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::OsTmpDirectory)
        .with_max_temp_directory_size(limits.spill_mib.saturating_mul(1 << 20));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, CONSUMERS_NAMED)))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    // The engine brings this machine's files along; no plan reads them.
    if let Ok(files) = Url::parse("file:///") {
        runtime.deregister_object_store(&files)?;
    }
    lake.register(&runtime);
    Ok(runtime)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where sessions are built"
)]
fn state(
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    physical_rules: PhysicalRules,
) -> Result<SessionState, DataFusionError> {
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(mended::logical(order::rules()))
        .with_physical_optimizer_rules(physical_rules)
        .build();
    state.table_factories_mut().clear();
    for name in SIDE_DOORS {
        state.deregister_udf(name)?;
    }
    Ok(state)
}
