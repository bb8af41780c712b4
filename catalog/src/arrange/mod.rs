//! The rows of a table put into an order in which questions can leave files and row groups out.
//!
//! Which columns questions compare with constants is noted by every scan ([`Lake::asked`]); what to do about it is the
//! caller's decision, because an order tells: whoever reads a table in the order of a column learns which of two rows has
//! the greater value, even when he may not see the column. By one column the rows are sorted; by several they follow a
//! Z-curve through the ranks of their values, so that each column alone still leaves most files out (Morton, 1966).
//!
//! Only files that are not in this order yet are written anew, so the cost follows what is new. A file in order is known by
//! its name, the columns stand in the table's properties. No row changes, readers keep the version they began with, and an
//! append that comes meanwhile is no conflict.

mod curve;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::functions::math::random;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, SortExpr};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use deltalake_core::kernel::{Add, CommitInfo, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::append::ATTEMPTS_MAX;
use crate::catalog::Catalog;
use crate::crawl::unwritable;
use crate::delta::{Change, commit};
use crate::error::LakeError;
use crate::lake::object_store_url;
use crate::name::TableName;
use crate::parquet_file;
use crate::scan::ParquetScan;
use crate::table::{LakeTable, SMALL_FILE_BYTES};
use crate::upkeep::{Optimized, present};

use self::curve::{Curve, Sample};

/// The columns of the order, as a JSON array of names.
const ARRANGED_BY: &str = "labhouse.arranged_by";
/// How data files are called whose rows went back to the order in which they came.
const RESTORED: &str = "restored-";
/// More columns help none of them.
pub const ARRANGE_COLUMNS_MAX: usize = 4;
/// Bytes of data files that one run takes up; what is left is taken up by the next.
const RUN_BYTES_MAX: u64 = 4 << 30;
/// Fewer files part nothing; and one of so many may be opened for one value.
const PARTED_FILES_MIN: usize = 4;
/// Values that [`is_parted_by`] looks for.
const PROBES_MAX: usize = 64;
/// Rows that the ranks of values are learned from.
const SAMPLE_ROWS: usize = 65_536;

/// Runs a plan: the caller says on which threads.
pub type Run<'a> = dyn Fn(Arc<dyn ExecutionPlan>, Arc<TaskContext>) -> Result<SendableRecordBatchStream, DataFusionError>
    + Send
    + Sync
    + 'a;

/// The columns that a table's rows are arranged by; none for the order in which they came.
pub fn arranged_by(table: &LakeTable) -> Vec<String> {
    let text = table.properties().get(ARRANGED_BY);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Bytes of the files whose rows are not in the order of these columns.
pub fn unarranged_bytes(table: &LakeTable, by: &[String]) -> u64 {
    let Ok(state) = table.state() else { return 0 };
    let prefix = prefix(by);
    let files = state.log_data();
    let others = files.iter().filter(|file| !file.path().starts_with(&prefix));
    others.map(|file| u64::try_from(file.size()).unwrap_or_default()).sum()
}

/// Whether the files of a table part the values of a column already, as those of a table that grows by time do: a question
/// for one value need not open more than a quarter of them.
pub fn is_parted_by(table: &LakeTable, column: &str) -> bool {
    let Ok(state) = table.state() else { return false };
    let bounds = |file: LogicalFileView| -> Option<[Bound; 2]> {
        let stats: serde_json::Value = serde_json::from_str(&file.stats()?).ok()?;
        let bound = |kind: &str| Bound::of(stats.get(kind)?.get(column)?);
        Some([bound("minValues")?, bound("maxValues")?])
    };
    let Some(files) = state.log_data().iter().map(bounds).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let probes = files
        .iter()
        .step_by(files.len().div_ceil(PROBES_MAX).max(1))
        .map(|[least, _]| least);
    let opened = |probe: &Bound| {
        files
            .iter()
            .filter(|[least, most]| least <= probe && probe <= most)
            .count()
    };
    let (mut total, mut asked) = (0, 0);
    for probe in probes {
        total += opened(probe);
        asked += 1;
    }
    files.len() >= PARTED_FILES_MIN && total * PARTED_FILES_MIN <= asked * files.len()
}

/// Whether the last commits of a table only added rows, or moved them into other files.
///
/// # Errors
/// Its log cannot be read.
pub async fn only_grew(table: &LakeTable, commits: usize) -> Result<bool, LakeError> {
    let delta = table.delta();
    let history: Vec<CommitInfo> = delta
        .history(Some(commits))
        .try_collect()
        .await
        .map_err(LakeError::delta("reading the history of", table.name()))?;
    Ok(history.iter().all(|commit| match commit.operation.as_deref() {
        Some("WRITE") => {
            let mode = commit.operation_parameters.as_ref().and_then(|given| given.get("mode"));
            mode.and_then(serde_json::Value::as_str)
                .is_some_and(|mode| mode == "Append")
        }
        Some(operation) => !["DELETE", "UPDATE", "MERGE", "RESTORE"].contains(&operation),
        None => false,
    }))
}

/// A bound of a file's values as its statistics have it.
#[derive(Debug, PartialEq, PartialOrd)]
enum Bound {
    Number(f64),
    Text(String),
}

impl Bound {
    fn of(value: &serde_json::Value) -> Option<Self> {
        value
            .as_f64()
            .map(Self::Number)
            .or_else(|| value.as_str().map(|text| Self::Text(text.to_owned())))
    }
}

/// Arranges the rows of a table by columns: those files of it that are not, or only as small pieces. Without columns, files
/// that were arranged go back to the order in which their rows came, or to chance where nothing tells it.
///
/// # Errors
/// [`LakeError::Refused`] for a column that is not there or has no order, and for tables that labhouse does not write;
/// [`LakeError::Overtaken`] when another writer took rows of these files away meanwhile: nothing was changed then.
pub async fn arrange(
    catalog: &Catalog,
    name: &TableName,
    by: &[String],
    session: &SessionState,
    run: &Run<'_>,
) -> Result<Optimized, LakeError> {
    let base = present(catalog, name).await?;
    check(&base, by)?;
    let (chosen, goes_on) = chosen(&base, by)?;
    if chosen.is_empty() && arranged_by(&base) == by {
        return Ok(Optimized {
            files_removed: 0,
            files_added: 0,
        });
    }
    let lake = catalog.lake();
    let schema = base.state()?.snapshot().arrow_schema();
    let adds = match chosen.is_empty() {
        true => Vec::new(),
        false => {
            let paths: BTreeSet<String> = chosen.iter().map(|file| file.path().into_owned()).collect();
            let scan = ParquetScan::of_files(base.state()?, object_store_url(lake), &name.location(), |path| {
                paths.contains(path)
            });
            let scan = Arc::new(scan.map_err(LakeError::engine("arranging", name))?);
            let sorted = plan(scan, by, &base, session, run)
                .await
                .map_err(LakeError::engine("arranging", name))?;
            write::write(lake, name, &schema, sorted, &prefix(by)).await?
        }
    };
    // It is called arranged from the first run on, and not until the last one is back.
    let by_then = match by.is_empty() && goes_on {
        true => arranged_by(&base),
        false => by.to_vec(),
    };
    match swap(catalog, &base, &by_then, &chosen, &adds).await {
        Err(error @ (LakeError::Overtaken { .. } | LakeError::Busy { .. })) => {
            parquet_file::discard(lake, name, &adds).await;
            Err(error)
        }
        Err(other) => Err(other),
        Ok(()) => Ok(Optimized {
            files_removed: chosen.len() as u64,
            files_added: adds.len() as u64,
        }),
    }
}

/// How the data files of this order are called.
fn prefix(by: &[String]) -> String {
    if by.is_empty() {
        return RESTORED.to_owned();
    }
    let digest = Sha256::digest(serde_json::json!(by).to_string().as_bytes());
    let tag: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("arranged-{tag}-")
}

fn check(table: &LakeTable, by: &[String]) -> Result<(), LakeError> {
    let refused = |reason: String| {
        Err(LakeError::Refused {
            table: table.name().clone(),
            reason,
        })
    };
    if let Some(why) = unwritable(table)? {
        return refused(why);
    }
    if by.len() > ARRANGE_COLUMNS_MAX {
        return refused(format!(
            "its rows can be arranged by {ARRANGE_COLUMNS_MAX} columns at most; name those that questions compare most"
        ));
    }
    for (at, name) in by.iter().enumerate() {
        let schema = table.schema();
        let Ok(field) = schema.field_with_name(name) else {
            return refused(format!("it has no column {name}"));
        };
        if field.data_type().is_nested() {
            return refused(format!("the values of column {name} have no order"));
        }
        if by.iter().take(at).any(|other| other == name) {
            return refused(format!("column {name} is named twice"));
        }
    }
    Ok(())
}

/// The files to write anew: those not in this order, then small ones that are, if there are several; not more than a run takes.
/// Also which of the others are not in this order yet. A table that was never arranged need not go back; of one that was, every
/// file goes, because an UPDATE or DELETE has written rows anew in the order in which they lay.
fn chosen(table: &LakeTable, by: &[String]) -> Result<(Vec<LogicalFileView>, bool), LakeError> {
    if by.is_empty() && arranged_by(table).is_empty() {
        return Ok((Vec::new(), false));
    }
    let prefix = prefix(by);
    let files = table.state()?.log_data();
    let (ready, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.path().starts_with(&prefix));
    let mut chosen = others;
    let due = chosen.len();
    let small: Vec<_> = ready
        .into_iter()
        .filter(|file| file.size() < SMALL_FILE_BYTES)
        .collect();
    if small.len() > 1 || !(small.is_empty() || chosen.is_empty()) {
        chosen.extend(small);
    }
    let mut bytes = 0u64;
    chosen.retain(|file| {
        let fits = bytes < RUN_BYTES_MAX;
        bytes = bytes.saturating_add(u64::try_from(file.size()).unwrap_or_default());
        fits
    });
    let is_all = chosen.len() >= due;
    Ok((chosen, !is_all))
}

/// The rows in their order, as they are worked out.
async fn plan(
    scan: Arc<ParquetScan>,
    by: &[String],
    table: &LakeTable,
    session: &SessionState,
    run: &Run<'_>,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let read = |columns: Option<&[String]>| -> Result<LogicalPlanBuilder, DataFusionError> {
        let builder = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::clone(&scan) as _), None)?;
        match columns {
            Some(columns) => builder.project(columns.iter().map(|name| column(name))),
            None => Ok(builder),
        }
    };
    let start = |plan: LogicalPlan| async move {
        let plan = session.create_physical_plan(&plan).await?;
        run(plan, session.task_ctx())
    };
    let mut keys: Vec<SortExpr> = Vec::new();
    if by.len() > 1 {
        let mut sample = Sample::new(by.len(), table.rows().unwrap_or(0).div_ceil(SAMPLE_ROWS).max(1));
        sample.see_all(start(read(Some(by))?.build()?).await?).await?;
        let curve = ScalarUDF::from(Curve::through(sample)?);
        keys.push(
            curve
                .call(by.iter().map(|name| column(name)).collect())
                .sort(true, false),
        );
    }
    keys.extend(by.iter().map(|name| column(name).sort(true, false)));
    if by.is_empty() {
        let came = [crate::crawl::SOURCE_FILE, crate::crawl::SOURCE_ROW];
        let schema = table.schema();
        keys = match came.iter().all(|name| schema.field_with_name(name).is_ok()) {
            true => came.iter().map(|name| column(name).sort(true, false)).collect(),
            false => vec![random().call(Vec::new()).sort(true, false)],
        };
    }
    start(read(None)?.sort(keys)?.build()?).await
}

/// A column by its exact name, whatever letters it has.
fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// Commits the new files in place of the old ones: on the newest version, if that still has all the old ones as they were.
async fn swap(
    catalog: &Catalog,
    read: &LakeTable,
    by: &[String],
    old: &[LogicalFileView],
    adds: &[Add],
) -> Result<(), LakeError> {
    let name = read.name();
    for _ in 0..ATTEMPTS_MAX {
        let base = present(catalog, name).await?;
        let overtaken = || LakeError::Overtaken { table: name.clone() };
        if base.id()? != read.id()?
            || base.state()?.snapshot().arrow_schema() != read.state()?.snapshot().arrow_schema()
        {
            return Err(overtaken());
        }
        let there: BTreeSet<String> = base
            .state()?
            .log_data()
            .iter()
            .map(|file| file.path().into_owned())
            .collect();
        if !old.iter().all(|file| there.contains(&*file.path())) {
            return Err(overtaken());
        }
        let properties = match arranged_by(&base) == by {
            true => Default::default(),
            false => [(ARRANGED_BY.to_owned(), serde_json::json!(by).to_string())].into(),
        };
        let change = Change {
            adds: adds.to_vec(),
            removes: old.iter().map(|file| file.remove_action(false)).collect(),
            properties,
            operation: Some(DeltaOperation::Optimize {
                predicate: None,
                target_size: i64::try_from(write::FILE_BYTES).unwrap_or(i64::MAX),
            }),
            ..Change::default()
        };
        if let Some(table) = commit(catalog.lake(), name, Some(&base), change).await? {
            catalog.publish(Arc::new(table)).await;
            return Ok(());
        }
    }
    Err(LakeError::Busy {
        table: name.clone(),
        attempts: ATTEMPTS_MAX,
    })
}
