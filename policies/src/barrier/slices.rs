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
use super::under::{Leaf, is_limited, leaf, on_leaf};

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
    if below.keyed || is_limited(&below.plan) {
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

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests build the session that the server builds in src/session"
)]
mod tests {
    use std::cell::Cell;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
    use datafusion::datasource::object_store::ObjectStoreUrl;
    use datafusion::datasource::physical_plan::{FileGroupPartitioner, ParquetSource};
    use datafusion::execution::TaskContext;
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, col, lit};
    use datafusion::physical_plan::coop::CooperativeExec;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::filter::FilterExec;
    use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
    use datafusion::physical_plan::repartition::RepartitionExec;
    use datafusion::physical_plan::{ExecutionPlanProperties, Partitioning, collect};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use tempfile::TempDir;

    use super::*;
    use crate::barrier::sanitise::Residue;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
    }

    /// File number `at`, of so many rows from `first` on, eight to a row group.
    fn file(dir: &TempDir, at: usize, first: usize, rows: usize) -> PartitionedFile {
        let path = dir.path().join(format!("{at}.parquet"));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(8));
        let out = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(out, schema(), Some(properties.build())).unwrap();
        let ids = Int64Array::from_iter_values((first..first + rows).map(|id| id as i64));
        writer
            .write(&RecordBatch::try_new(schema(), vec![Arc::new(ids)]).unwrap())
            .unwrap();
        writer.close().unwrap();
        PartitionedFile::new(path.to_str().unwrap(), std::fs::metadata(&path).unwrap().len())
    }

    fn scan(groups: Vec<FileGroup>, limit: Option<usize>) -> Arc<dyn ExecutionPlan> {
        let source = Arc::new(ParquetSource::new(schema()));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_limit(limit);
        DataSourceExec::from_data_source(scan.build())
    }

    fn barrier(plan: Arc<dyn ExecutionPlan>, partitions: usize, keyed: bool) -> Arc<dyn ExecutionPlan> {
        Arc::new(BarrierExec::new(Below {
            plan,
            system: Arc::new(SessionStateBuilder::new().with_default_features().build()),
            table: "lab.s.t".to_owned(),
            schema: schema(),
            residue: Residue::Hidden,
            rows: Rows {
                estimate: Some(7),
                learn: None,
            },
            rechunk: true,
            partitions,
            keyed,
        }))
    }

    /// What may stand between barrier and scan, in four ways.
    fn steps(scan: Arc<dyn ExecutionPlan>, partitions: usize, kind: usize) -> Arc<dyn ExecutionPlan> {
        let deal = |plan| {
            let dealt = RepartitionExec::try_new(plan, Partitioning::RoundRobinBatch(partitions)).unwrap();
            Arc::new(CooperativeExec::new(Arc::new(dealt))) as Arc<dyn ExecutionPlan>
        };
        let keep = |plan| {
            let id = col("id", schema().as_ref()).unwrap();
            let kept = binary(id, Operator::Gt, lit(11i64), schema().as_ref()).unwrap();
            Arc::new(FilterExec::try_new(kept, plan).unwrap()) as Arc<dyn ExecutionPlan>
        };
        match kind {
            0 => scan,
            1 => keep(scan),
            2 => deal(scan),
            _ => keep(deal(scan)),
        }
    }

    async fn ids(plan: &Arc<dyn ExecutionPlan>) -> Vec<i64> {
        let batches = collect(Arc::clone(plan), Arc::new(TaskContext::default()))
            .await
            .unwrap();
        let of = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        let mut ids: Vec<i64> = batches.iter().flat_map(of).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_rows_of_all_slices_are_the_rows_of_the_whole() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let files = prop::collection::vec(prop_oneof![6 => 1..40usize, 1 => 200..400usize, 1 => Just(0)], 0..=40);
        let split = prop_oneof![Just(1u64), 50..2_000u64, Just(PART_BYTES_MIN)];
        let case = (files, 1..=8usize, 1..=4usize, split, 0..4usize, any::<bool>());
        let cut_files = Cell::new(0);
        let mut runner = TestRunner::new(Config {
            cases: 64,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&case, |(rows, tasks, partitions, split, kind, already_cut)| {
                let dir = TempDir::new().unwrap();
                let mut first = 0;
                let files = rows.iter().enumerate().map(|(at, rows)| {
                    first += rows;
                    file(&dir, at, first - rows, *rows)
                });
                let mut groups = vec![FileGroup::new(files.collect())];
                if already_cut {
                    let partitioner = FileGroupPartitioner::new()
                        .with_target_partitions(partitions)
                        .with_repartition_file_min_size(1);
                    groups = partitioner.repartition_file_groups(&groups).unwrap_or(groups);
                }
                let whole = barrier(steps(scan(groups, None), partitions, kind), partitions, false);
                let slices = cut(&whole, tasks, split).unwrap().unwrap();
                prop_assert_eq!(slices.len(), tasks);
                let bytes: u64 = slices.iter().map(|slice| scan_bytes(slice).unwrap()).sum();
                prop_assert_eq!(Some(bytes), scan_bytes(&whole));
                let mut all = Vec::new();
                for slice in &slices {
                    prop_assert!(is_governed_scan(slice));
                    prop_assert_eq!(slice.schema(), whole.schema());
                    prop_assert_eq!(slice.output_partitioning().partition_count(), partitions);
                    let (below, config) = sliceable(slice).unwrap();
                    prop_assert!(below.plan.output_partitioning().partition_count() <= partitions);
                    prop_assert!(below.rows.estimate.is_none());
                    let parts = config.file_groups.iter().flat_map(|group| group.files());
                    let ranges = parts.filter(|part| part.range.is_some()).count();
                    cut_files.set(cut_files.get() + ranges);
                    all.extend(runtime.block_on(ids(slice)));
                }
                all.sort_unstable();
                prop_assert_eq!(all, runtime.block_on(ids(&whole)));
                Ok(())
            })
            .unwrap();
        assert!(
            cut_files.get() > 100,
            "only {} parts of files were read",
            cut_files.get()
        );
    }

    #[test]
    fn shares_are_of_about_the_same_bytes_and_small_files_stay_whole() {
        let mib = |mib: u64| mib << 20;
        let named = |at: usize, bytes: u64| PartitionedFile::new(format!("t/{at}.parquet"), bytes);
        let held = |share: &[FileGroup]| -> u64 { share.iter().flat_map(|group| group.files()).map(bytes).sum() };
        for (sizes, slices, groups) in [
            (vec![mib(100)], 2, 2),
            (vec![mib(200), mib(1), 1, 1], 8, 1),
            (vec![mib(3); 24], 3, 4),
            (vec![mib(100), mib(50), 0, 17], 2, 2),
        ] {
            let files: Vec<_> = sizes.iter().enumerate().map(|(at, bytes)| named(at, *bytes)).collect();
            let shares = share(files, slices, groups, PART_BYTES_MIN);
            assert_eq!(shares.len(), slices);
            let fair = sizes.iter().sum::<u64>() / slices as u64;
            for share in &shares {
                assert!(!share.is_empty() && share.len() <= groups, "{sizes:?}");
                let held = held(share);
                assert!(
                    held <= fair + fair / 3 && held + fair / 3 >= fair,
                    "{sizes:?}: {held} of {fair}"
                );
            }
            let parts: Vec<_> = shares.into_iter().flatten().flat_map(FileGroup::into_inner).collect();
            for part in parts.iter().filter(|part| part.range.is_some()) {
                assert!(part.object_meta.size >= 2 * PART_BYTES_MIN && bytes(part) >= PART_BYTES_MIN);
            }
            // Put together again, the parts are the files.
            let mut again: Vec<u64> = joined(parts).iter().map(bytes).collect();
            let mut sizes = sizes;
            again.sort_unstable();
            sizes.sort_unstable();
            assert_eq!(again, sizes);
        }
    }

    #[test]
    fn what_has_to_stay_whole_is_not_cut() {
        let dir = TempDir::new().unwrap();
        let groups = || vec![FileGroup::new(vec![file(&dir, 0, 0, 20)])];
        let refused = |plan: &Arc<dyn ExecutionPlan>| slices(plan, 2).unwrap().is_none() && scan_bytes(plan).is_none();
        let open = barrier(steps(scan(groups(), None), 2, 3), 2, false);
        assert!(!refused(&open) && slices(&open, 0).unwrap().unwrap().len() == 1);
        assert!(refused(&barrier(scan(groups(), None), 2, true)), "the secret is in it");
        assert!(
            refused(&barrier(scan(groups(), Some(5)), 2, false)),
            "a limit in the scan"
        );
        let limits: [Arc<dyn ExecutionPlan>; 3] = [
            Arc::new(GlobalLimitExec::new(scan(groups(), None), 0, Some(5))),
            Arc::new(GlobalLimitExec::new(scan(groups(), None), 5, None)),
            Arc::new(LocalLimitExec::new(scan(groups(), None), 5)),
        ];
        for limit in limits {
            assert!(refused(&barrier(limit, 2, false)), "a limit above the scan");
        }
        let kept = steps(scan(groups(), None), 2, 1).with_fetch(Some(3)).unwrap();
        assert!(refused(&barrier(kept, 2, false)), "a limit in the filter");
        assert!(refused(&barrier(Arc::new(EmptyExec::new(schema())), 2, false)));
        let planned = file(&dir, 0, 0, 20).with_extension(7u8);
        assert!(refused(&barrier(
            scan(vec![FileGroup::new(vec![planned])], None),
            2,
            false
        )));
        let bare = scan(groups(), None);
        assert!(refused(&bare) && !is_governed_scan(&bare), "no barrier at all");
    }
}
