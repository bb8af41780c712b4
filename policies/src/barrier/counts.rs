//! How many rows the user's planner may expect.
//!
//! Without any number joins are built on the wrong side, and that was the barrier's largest cost. Two numbers reveal nothing:
//! the size of a table of which every row is shown, and how many rows left an earlier, complete scan that looked the same
//! (equal fingerprints show equal rows, so whoever may ask could have counted them); where there was none, the most that left
//! one with conditions. All are estimates; a table that has changed since is only planned a little worse.
//!
//! Before it is known what a scan reads, the order of joins needs numbers of the whole table: see [`told`]. Bounds of columns
//! are told there too, of a table of which every row is shown, for the columns that are shown as they are.
//!
//! Whether a scan came to its end must not be told either: in a statement that failed or that stops early it depends on
//! how much hidden lay on the way. So nothing is remembered before a statement came to its good end, and then only of
//! scans that its plan reads whole whatever the hidden rows are: see [`learn`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;

use super::exec::BarrierExec;
use crate::access::Access;

/// Counts remembered: one for each table and each way it is shown. A server with more starts over.
const REMEMBERED_MAX: usize = 4_096;
/// One row in so many is expected to pass a condition, whatever the condition and the data.
const PASSING: usize = 5;

static REMEMBERED: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

/// What left the scans of one table that is shown in one way.
#[derive(Default)]
struct Seen {
    /// Those without conditions.
    all: Option<usize>,
    /// The most that left one with conditions. Not by which: others who see the same would be told what was asked.
    some: Option<usize>,
}

impl Seen {
    fn expect(&self, unconditional: bool) -> Option<usize> {
        match unconditional {
            true => self.all.or_else(|| Some(self.some?.saturating_mul(PASSING))),
            false => self.all.map(|rows| rows / PASSING).or(self.some),
        }
    }

    fn note(&mut self, unconditional: bool, rows: usize) {
        match unconditional {
            true => self.all = Some(rows),
            false => self.some = Some(self.some.unwrap_or(0).max(rows)),
        }
    }
}

/// What a scan tells of its rows, and what it learns.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    /// Rows to expect, if anything may be told.
    pub estimate: Option<usize>,
    /// Where a complete scan notes what left it.
    pub learn: Option<Arc<Learn>>,
}

/// Counts what leaves the partitions of one scan.
pub(crate) struct Learn {
    fingerprint: String,
    unconditional: bool,
    rows: AtomicUsize,
    running: AtomicUsize,
}

impl Learn {
    pub(crate) fn new(fingerprint: String, unconditional: bool, partitions: usize) -> Self {
        Learn {
            fingerprint,
            unconditional,
            rows: AtomicUsize::new(0),
            running: AtomicUsize::new(partitions),
        }
    }

    /// One partition ended by itself after so many rows. A plan that runs twice has counted down already.
    pub(crate) fn ended(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::AcqRel);
        let _ = self
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| running.checked_sub(1));
    }

    /// Remembers the sum, if all partitions ended.
    pub(crate) fn keep(&self) {
        if self.running.load(Ordering::Acquire) > 0 {
            return;
        }
        let mut remembered = REMEMBERED.lock();
        if remembered.len() >= REMEMBERED_MAX && !remembered.contains_key(&self.fingerprint) {
            remembered.clear();
        }
        let seen = remembered.entry(self.fingerprint.clone()).or_default();
        seen.note(self.unconditional, self.rows.load(Ordering::Acquire));
    }
}

/// Remembers how many rows left the governed scans of a plan. To be called with the very plan that was run, when its last
/// batch has come and none failed.
///
/// Only scans are counted that are read whole in any case: nothing above may stop early, and what a join only reads when
/// its first input has rows counts when that has.
pub fn learn(plan: &Arc<dyn ExecutionPlan>) {
    if let Some(scan) = plan.downcast_ref::<BarrierExec>() {
        scan.learn();
        return;
    }
    let stops = match plan.fetch() {
        None => false,
        Some(0) => true,
        // Its first row comes when all rows have been read.
        Some(_) => !waits(plan),
    };
    if stops {
        return;
    }
    let children = plan.children();
    if reads_all(plan) {
        children.into_iter().for_each(learn);
    } else if joins(plan)
        && let [first, second] = children.as_slice()
    {
        learn(first);
        let had_rows = plan.metrics().and_then(|metrics| metrics.sum_by_name(BUILD_ROWS));
        if had_rows.is_some_and(|rows| rows.as_usize() > 0) {
            learn(second);
        }
    }
}

/// Operators that give no row before they have read their inputs to the end, so that a limit, theirs or above them, leaves
/// nothing unread. A sort whose input is in order, or in the order of its first keys, is none.
fn waits(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let properties = sort.input().equivalence_properties();
        let met = properties.extract_common_sort_prefix(sort.expr().clone());
        return met.is_ok_and(|(met, all)| met.is_empty() && !all);
    }
    let asks_each = plan.is::<SortPreservingMergeExec>() || plan.is::<GlobalLimitExec>() || plan.is::<ProjectionExec>();
    asks_each && plan.children().into_iter().all(waits)
}

/// What the engine calls the number of rows of a join's first input.
const BUILD_ROWS: &str = "build_input_rows";

/// Operators that read each input to its end. What is not listed may stop early.
fn reads_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<AggregateExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<UnionExec>()
        || plan.is::<InterleaveExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
}

/// Joins that read their first input to its end, and the second one if the first had rows.
fn joins(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>()
}

/// Rows to expect by what left earlier scans of the same access.
pub(crate) fn remembered(fingerprint: &str, unconditional: bool) -> Option<usize> {
    REMEMBERED.lock().get(fingerprint)?.expect(unconditional)
}

/// The plan's own estimate; only for a table of which every row is shown.
pub(crate) fn below(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new()
        .compute(plan.as_ref(), &StatisticsArgs::new())
        .ok()?;
    statistics.num_rows.get_value().copied()
}

/// What the user's planner may know of a whole table, all of it estimates: nothing may be answered from it. `public` has the
/// columns that are shown, `open` those of them that are shown as they are.
pub(crate) fn told(
    inner: &dyn TableProvider,
    access: &Access,
    public: &SchemaRef,
    open: &SchemaRef,
) -> Option<Statistics> {
    let mut told = Statistics::new_unknown(public);
    if access.row_filter.is_some() {
        told.num_rows = Precision::Inexact(remembered(&access.fingerprint, true)?);
        return Some(told);
    }
    let raw = inner.statistics()?;
    told.num_rows = Precision::Inexact(*raw.num_rows.get_value()?);
    let columns = access.columns.iter().zip(public.fields());
    for ((at, field), told) in columns.zip(&mut told.column_statistics) {
        if let (Ok(_), Some(raw)) = (open.field_with_name(field.name()), raw.column_statistics.get(*at)) {
            *told = ColumnStatistics {
                null_count: raw.null_count.to_inexact(),
                min_value: raw.min_value.clone().to_inexact(),
                max_value: raw.max_value.clone().to_inexact(),
                distinct_count: raw.distinct_count.to_inexact(),
                ..ColumnStatistics::new_unknown()
            };
        }
    }
    Some(told)
}
