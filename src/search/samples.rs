//! A few values of text columns, so that `DMSO` finds the column `solvent`.
//!
//! They are read through the caller's governed view like any rows he asks for: of the rows that he may see, and never from a masked
//! column. Reading costs time, so there is a budget, and what does not fit in it is found by its names only: of the first tables by
//! name the first rows that come, for a while. Where the time is over the next index goes on, because what was read is kept until the
//! table has a new version or looks otherwise to the caller. What was read under a row filter, which may follow the clock, is kept for
//! half a minute only.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::session::{Derived, Governed, Shown};

/// Tables of one index of which values are read. A lake of 1,000 tables must answer its first search soon.
const TABLES_MAX: usize = 64;
/// Time after which no further table is begun.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Time for one table; what was read by then is what is known of it.
const TABLE_TIME_MAX: Duration = Duration::from_secs(2);
/// Rows that are read of a table: months of plates, so that what came late is seen too.
const ROWS_MAX: usize = 100_000;
/// Text columns of a table, its first ones.
const COLUMNS_MAX: usize = 32;
/// Different values of a column. A column with more holds names of single things, and some of them are enough to know it by.
const VALUES_MAX: usize = 100;
/// Bytes of a value: what is longer is prose or a structure, not a word somebody looks for.
const VALUE_BYTES_MAX: usize = 48;

/// Values by column.
pub(super) type Values = BTreeMap<String, Vec<String>>;

/// Values of tables.
#[derive(Default)]
pub(super) struct Sampled {
    /// By schema and name.
    tables: BTreeMap<(String, String), Arc<Values>>,
    /// Whether the time was enough for all that should be read.
    pub(super) is_complete: bool,
}

/// What was read lately.
#[derive(Default)]
pub(super) struct Samples(Derived<Values>);

impl Sampled {
    pub(super) fn of_column(&self, schema: &str, table: &str, column: &str) -> &[String] {
        let values = self.tables.get(&(schema.to_owned(), table.to_owned()));
        values.and_then(|values| values.get(column)).map_or(&[], Vec::as_slice)
    }
}

impl Samples {
    /// Values of the tables that the caller sees.
    pub(super) async fn of(&self, governed: &Governed, shown: &[Shown], context: &Arc<TaskContext>) -> Sampled {
        let until = Instant::now() + TIME_MAX;
        let mut sampled = Sampled {
            is_complete: true,
            ..Sampled::default()
        };
        let lakes = shown.iter().filter_map(|one| {
            let table = governed.world().catalog.table(&one.schema, &one.table)?;
            let columns = columns(one);
            (!columns.is_empty() && !one.is_library).then_some((one, table, columns))
        });
        let mut lakes: Vec<_> = lakes.take(TABLES_MAX).collect();
        // The time that these take depends on rows that are hidden; it must not decide what is known of the others.
        lakes.sort_by_key(|(shown, ..)| shown.access.row_filter.is_some());
        for (shown, table, columns) in lakes {
            let values = match self.0.get(table, &shown.access) {
                Some(values) => values,
                None if Instant::now() >= until => {
                    sampled.is_complete = false;
                    continue;
                }
                None => match read(governed, shown, columns, context).await {
                    Ok(values) => self.0.keep(table, &shown.access, values),
                    Err(error) => {
                        // Its files may be gone or broken: a search is not the place to say so.
                        tracing::debug!(table = %table.name(), %error, "no values to search for");
                        continue;
                    }
                },
            };
            sampled
                .tables
                .insert((shown.schema.clone(), shown.table.clone()), values);
        }
        sampled
    }
}

/// The columns to read: plain texts, not masked, not the crawler's own.
fn columns(shown: &Shown) -> Vec<usize> {
    let schema = shown.provider.schema();
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| {
            matches!(
                field.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            )
        })
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
    let until = Instant::now() + TABLE_TIME_MAX;
    let system = governed.system().as_ref();
    let planned = timeout_at(until, shown.provider.scan(system, Some(&columns), &[], Some(ROWS_MAX))).await;
    let Ok(plan) = planned else {
        return Ok(Values::new());
    };
    let plan = plan?;
    let mut collected = Collected::new(&plan.schema());
    let mut batches = execute_stream(plan, Arc::clone(context))?;
    while Instant::now() < until {
        let Ok(next) = timeout_at(until, batches.next()).await else {
            break;
        };
        let is_enough = match next {
            Some(batch) => !collected.push(&batch?)?,
            None => true,
        };
        if is_enough {
            return Ok(collected.values());
        }
        tokio::task::yield_now().await;
    }
    // The time is over. How far it reached depends on hidden rows where there are some: then nothing was read.
    let is_filtered = shown.access.row_filter.is_some();
    Ok(if is_filtered { Values::new() } else { collected.values() })
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
        let odd = [
            None,
            Some("  ".to_owned()),
            Some("x".repeat(49)),
            told(1),
            told(1),
            told(2),
        ];
        assert_eq!(values(&[batch(&odd)]), ["value 1", "value 2"]);
    }

    #[test]
    fn reading_ends_after_so_many_rows() {
        let mut collected = Collected::new(&batch(&[]).schema());
        let full = batch(&vec![Some("a".to_owned()); ROWS_MAX - 1]);
        assert!(collected.push(&full).unwrap());
        assert!(
            !collected
                .push(&batch(&[Some("b".to_owned()), Some("c".to_owned())]))
                .unwrap()
        );
        assert_eq!(collected.values()["c"], ["a", "b"]);
    }
}
