//! A governed scan cut into scans of some of its files, one for each node that takes part.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;

use super::counts::Rows;
use super::exec::{BarrierExec, Below};
use super::redact::redact;
use super::under::{Leaf, counts_rows, leaf, on_leaf};

/// Bytes of the smallest part that a file is cut into: opening a file costs more than reading less.
const PART_BYTES_MIN: u64 = 4 << 20;

/// Whether the plan's root is the scan of a governed table.
pub fn is_governed_scan(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<BarrierExec>()
}

/// Bytes of the files, or parts of files, that a governed scan reads. `None` if [`slices`] would not cut it.
pub fn scan_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let (_, config) = sliceable(plan)?;
    let files = config.file_groups.iter().flat_map(|group| group.files());
    Some(files.map(bytes).fold(0, u64::saturating_add))
}

/// Cuts a governed scan into `tasks` scans that together give exactly its rows, each once. All have its schema and number
/// of partitions; some may be empty. They expect and learn no number of rows. No `tasks` counts as one.
///
/// `None` if the plan's root is no governed scan, or one that has to stay whole: it holds the policy secret, reads no plain
/// Parquet files, or has a limit below (each slice would give as many rows as the whole may).
///
/// # Errors
/// The engine's, as the one text for whatever goes wrong below a barrier.
pub fn slices(plan: &Arc<dyn ExecutionPlan>, tasks: usize) -> Result<Option<Vec<Arc<dyn ExecutionPlan>>>> {
    cut(plan, tasks, PART_BYTES_MIN)
}

fn cut(
    plan: &Arc<dyn ExecutionPlan>,
    tasks: usize,
    part_bytes_min: u64,
) -> Result<Option<Vec<Arc<dyn ExecutionPlan>>>> {
    let Some((below, config)) = sliceable(plan) else {
        return Ok(None);
    };
    let files = config.file_groups.iter().flat_map(|group| group.files()).cloned();
    let shares = share(
        joined(files.collect()),
        tasks.max(1),
        below.partitions.max(1),
        part_bytes_min.max(1),
    );
    let slices = shares.into_iter().map(|groups| {
        let scan = only(config, groups);
        let plan = on_leaf(&below.plan, &|_| Ok(Arc::clone(&scan)));
        let barrier = BarrierExec::new(Below {
            plan: plan.map_err(|e| redact(&e, &below.table))?,
            rows: Rows::default(),
            ..below.clone()
        });
        Ok::<_, DataFusionError>(Arc::new(barrier) as Arc<dyn ExecutionPlan>)
    });
    Ok(Some(slices.collect::<Result<_>>()?))
}

fn sliceable(plan: &Arc<dyn ExecutionPlan>) -> Option<(&Below, &FileScanConfig)> {
    let below = plan.downcast_ref::<BarrierExec>()?.below();
    if below.keyed || counts_rows(&below.plan) {
        return None;
    }
    match leaf(&below.plan)? {
        Leaf::Files(config, _) => Some((below, config)),
        Leaf::Nothing => None,
    }
}

/// The same scan of other files. What was known of all of them, and of their order, does not hold for these.
fn only(config: &FileScanConfig, groups: Vec<FileGroup>) -> Arc<dyn ExecutionPlan> {
    let unknown = Statistics::new_unknown(config.file_source().table_schema().table_schema());
    let scan = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(groups)
        .with_statistics(unknown)
        .with_output_ordering(Vec::new())
        .with_output_partitioning(None)
        .with_preserve_order(false);
    DataSourceExec::from_data_source(scan.build())
}

/// First byte and the one behind the last.
fn span(file: &PartitionedFile) -> (i64, i64) {
    match &file.range {
        Some(range) => (range.start, range.end),
        None => (0, i64::try_from(file.object_meta.size).unwrap_or(i64::MAX)),
    }
}

fn bytes(file: &PartitionedFile) -> u64 {
    let (start, end) = span(file);
    u64::try_from(end.saturating_sub(start)).unwrap_or_default()
}

/// The files with neighbouring parts put together again.
fn joined(mut files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
    files.sort_by(|a, b| a.path().cmp(b.path()).then_with(|| span(a).cmp(&span(b))));
    let mut whole: Vec<PartitionedFile> = Vec::with_capacity(files.len());
    for file in files {
        match whole.last_mut() {
            Some(last) if follows(last, &file) => last.range = Some(between(span(last).0, span(&file).1)),
            _ => whole.push(file),
        }
    }
    whole
}

fn follows(last: &PartitionedFile, next: &PartitionedFile) -> bool {
    last.range.is_some()
        && next.range.is_some()
        && last.path() == next.path()
        && last.object_meta.size == next.object_meta.size
        && span(last).1 == span(next).0
        && last.partition_values == next.partition_values
}

fn between(start: i64, end: i64) -> FileRange {
    FileRange { start, end }
}

/// The files as `slices` shares of about the same bytes, each in `groups` groups at most and one at least.
fn share(files: Vec<PartitionedFile>, slices: usize, groups: usize, part_bytes_min: u64) -> Vec<Vec<FileGroup>> {
    let total = files.iter().map(bytes).fold(0, u64::saturating_add);
    let lanes = u64::try_from(slices.saturating_mul(groups)).unwrap_or(u64::MAX);
    let fair = total.div_ceil(lanes).max(1);
    let mut parts: Vec<PartitionedFile> = files
        .into_iter()
        .flat_map(|file| {
            let count = bytes(&file).div_ceil(fair).min(bytes(&file) / part_bytes_min);
            parts_of(file, count)
        })
        .collect();
    parts.sort_by_key(|part| Reverse(bytes(part)));
    let shares = spread(parts, slices);
    shares
        .into_iter()
        .map(|parts| {
            let groups = groups.min(parts.len()).max(1);
            spread(parts, groups).into_iter().map(FileGroup::new).collect()
        })
        .collect()
}

/// The file in so many parts: ranges of about the same bytes, each beginning where another ends.
fn parts_of(file: PartitionedFile, count: u64) -> Vec<PartitionedFile> {
    if count < 2 {
        return vec![file];
    }
    let (start, _) = span(&file);
    let bytes = u128::from(bytes(&file));
    let at = |nth: u64| {
        let passed = bytes * u128::from(nth) / u128::from(count);
        start.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    };
    (0..count)
        .map(|nth| PartitionedFile {
            range: Some(between(at(nth), at(nth + 1))),
            ..file.clone()
        })
        .collect()
}

/// Each file, from the largest, to the one that has the fewest bytes so far. There are `count`, not none.
fn spread(files: Vec<PartitionedFile>, count: usize) -> Vec<Vec<PartitionedFile>> {
    let mut shares: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for file in files {
        if let Some((held, files)) = shares.iter_mut().min_by_key(|(held, _)| *held) {
            *held = held.saturating_add(bytes(&file).max(1));
            files.push(file);
        }
    }
    shares.into_iter().map(|(_, files)| files).collect()
}
