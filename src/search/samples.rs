//! A few values of text columns, so that `DMSO` finds the column `solvent`.
//!
//! They are read through the caller's governed view like any rows he asks for: of the rows that he may see, and never from a masked
//! column. Reading costs time, so there is a budget, and what does not fit in it is found by its names only: of the first tables by
//! name the first rows that come, as long as the time lasts. A table that was read is not read again before it has a new version or
//! looks otherwise to the caller; but under a row filter, which may follow the clock, what was read serves one index only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use labhouse_catalog::LakeTable;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::session::{Governed, Shown};

/// Tables of one index of which values are read. A lake of 1,000 tables must answer its first search soon.
const TABLES_MAX: usize = 64;
/// Time for all of them. What was read by then is kept, so the next index goes on where this one stopped.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Rows that are read of a table. What a column has few of is seen in so many.
const ROWS_MAX: usize = 20_000;
/// Text columns of a table, its first ones.
const COLUMNS_MAX: usize = 32;
/// Different values of a column. A column with more holds names of single things, and some of them are enough to know it by.
const VALUES_MAX: usize = 100;
/// Bytes of a value: what is longer is prose or a structure, not a word somebody looks for.
const VALUE_BYTES_MAX: usize = 48;
/// Views of tables of which values are kept, of all callers.
const KEPT_MAX: usize = 512;

/// Values by column.
pub(super) type Values = BTreeMap<String, Vec<String>>;
/// Values of tables, by schema and name.
pub(super) type Sampled = BTreeMap<(String, String), Arc<Values>>;

/// What was read lately.
#[derive(Default)]
pub(super) struct Samples(Mutex<VecDeque<Kept>>);

struct Kept {
    table: Weak<LakeTable>,
    /// Of the access under which it was read: whoever has the same sees the same.
    fingerprint: String,
    values: Arc<Values>,
}

impl Samples {
    /// Values of the tables that the caller sees.
    pub(super) async fn of(&self, governed: &Governed, shown: &[Shown], context: &Arc<TaskContext>) -> Sampled {
        let until = Instant::now() + TIME_MAX;
        let mut sampled = Sampled::new();
        let lakes = shown.iter().filter_map(|one| {
            let table = governed.world().catalog.table(&one.schema, &one.table)?;
            let columns = columns(one);
            (!columns.is_empty()).then_some((one, table, columns))
        });
        for (shown, table, columns) in lakes.take(TABLES_MAX) {
            let name = (shown.schema.clone(), shown.table.clone());
            if let Some(values) = self.kept(table, &shown.access.fingerprint) {
                sampled.insert(name, values);
                continue;
            }
            match tokio::time::timeout_at(until, read(governed, shown, columns, context)).await {
                Ok(Ok(values)) => {
                    let values = Arc::new(values);
                    if shown.access.row_filter.is_none() {
                        self.keep(table, &shown.access.fingerprint, &values);
                    }
                    sampled.insert(name, values);
                }
                // Its files may be gone or broken: a search is not the place to say so.
                Ok(Err(error)) => tracing::debug!(table = %table.name(), %error, "no values to search for"),
                Err(_elapsed) => break,
            }
        }
        sampled
    }

    fn kept(&self, table: &Arc<LakeTable>, fingerprint: &str) -> Option<Arc<Values>> {
        let kept = self.0.lock();
        let found = kept
            .iter()
            .find(|one| one.fingerprint == fingerprint && one.table.as_ptr() == Arc::as_ptr(table))?;
        Some(Arc::clone(&found.values))
    }

    fn keep(&self, table: &Arc<LakeTable>, fingerprint: &str, values: &Arc<Values>) {
        let mut kept = self.0.lock();
        kept.retain(|one| one.table.strong_count() > 0);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            table: Arc::downgrade(table),
            fingerprint: fingerprint.to_owned(),
            values: Arc::clone(values),
        });
    }
}

/// The columns to read: plain texts, not masked, not the crawler's own.
fn columns(shown: &Shown) -> Vec<usize> {
    let schema = shown.provider.schema();
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
        .filter(|(_, field)| !shown.access.masks.contains_key(field.name()) && !field.name().starts_with('_'))
        .map(|(at, _)| at)
        .take(COLUMNS_MAX)
        .collect()
}

async fn read(
    governed: &Governed,
    shown: &Shown,
    columns: Vec<usize>,
    context: &Arc<TaskContext>,
) -> Result<Values, DataFusionError> {
    let limit = Some(ROWS_MAX);
    let system = governed.system().as_ref();
    let plan = shown.provider.scan(system, Some(&columns), &[], limit).await?;
    let mut collected = Collected::new(&plan.schema());
    let mut batches = execute_stream(plan, Arc::clone(context))?;
    while let Some(batch) = batches.next().await {
        if !collected.push(&batch?)? {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(collected.values())
}

/// Of each column a bounded number of different values. Which of too many are taken depends on the values alone, so in whatever
/// order rows come, the same rows give the same.
struct Collected {
    rows: usize,
    columns: Vec<(String, BTreeSet<(u64, String)>)>,
}

impl Collected {
    fn new(schema: &Schema) -> Self {
        let fields = schema.fields().iter();
        Self {
            rows: 0,
            columns: fields.map(|field| (field.name().clone(), BTreeSet::new())).collect(),
        }
    }

    /// Looks through a batch; false when there were rows enough.
    fn push(&mut self, batch: &RecordBatch) -> Result<bool, DataFusionError> {
        let rows = batch.num_rows().min(ROWS_MAX.saturating_sub(self.rows));
        for ((_, values), array) in self.columns.iter_mut().zip(batch.columns()) {
            let texts = cast(&array.slice(0, rows), &DataType::Utf8)?;
            if let Some(texts) = texts.as_any().downcast_ref::<StringArray>() {
                collect(texts, values);
            }
        }
        self.rows += rows;
        Ok(self.rows < ROWS_MAX)
    }

    fn values(self) -> Values {
        let columns = self.columns.into_iter();
        let sorted = columns.map(|(name, values)| {
            let mut values: Vec<String> = values.into_iter().map(|(_, value)| value).collect();
            values.sort_unstable();
            (name, values)
        });
        sorted.collect()
    }
}

fn collect(texts: &StringArray, values: &mut BTreeSet<(u64, String)>) {
    let mut before = None;
    for text in texts.iter().flatten() {
        // Rows that belong together repeat their values.
        if before.replace(text) == Some(text) || text.len() > VALUE_BYTES_MAX || text.trim().is_empty() {
            continue;
        }
        let mut hash = DefaultHasher::new();
        text.hash(&mut hash);
        let hash = hash.finish();
        let is_full = values.len() >= VALUES_MAX;
        if is_full && values.last().is_some_and(|(last, _)| *last < hash) {
            continue;
        }
        values.insert((hash, text.to_owned()));
        if values.len() > VALUES_MAX {
            values.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;

    use super::*;

    fn batch(texts: &[Option<String>]) -> RecordBatch {
        let column: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
        RecordBatch::try_from_iter([("c", column)]).unwrap()
    }

    fn values(batches: &[RecordBatch]) -> Vec<String> {
        let mut collected = Collected::new(&batches[0].schema());
        for batch in batches {
            if !collected.push(batch).unwrap() {
                break;
            }
        }
        collected.values().remove("c").unwrap()
    }

    #[test]
    fn different_short_values_are_taken_whatever_their_order() {
        let told = |n: usize| Some(format!("value {n}"));
        let mut many: Vec<_> = (0..1_000).map(told).collect();
        let forward = values(&[batch(&many)]);
        many.reverse();
        let (first, second) = many.split_at(300);
        assert_eq!(values(&[batch(first), batch(second)]), forward);
        assert_eq!(forward.len(), VALUES_MAX);
        let odd = [None, Some("  ".to_owned()), Some("x".repeat(49)), told(1), told(1), told(2)];
        assert_eq!(values(&[batch(&odd)]), ["value 1", "value 2"]);
    }

    #[test]
    fn reading_ends_after_so_many_rows() {
        let mut collected = Collected::new(&batch(&[]).schema());
        let full = batch(&vec![Some("a".to_owned()); ROWS_MAX - 1]);
        assert!(collected.push(&full).unwrap());
        assert!(!collected.push(&batch(&[Some("b".to_owned()), Some("c".to_owned())])).unwrap());
        assert_eq!(collected.values()["c"], ["a", "b"]);
    }
}
