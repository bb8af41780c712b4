//! The statistics of a snapshot's files, typed as the scan's columns.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Result, ScalarValue, Statistics};
use deltalake_core::kernel::LogicalFileView;
use std::sync::Arc;

use super::files::Columns;

/// Bounds and null counts of one column, one value per file; null where not known.
#[derive(Clone)]
pub(super) struct ColumnBounds {
    pub(super) min: ArrayRef,
    pub(super) max: ArrayRef,
    pub(super) nulls: ArrayRef,
    /// Every value lies on the bound itself: not so for cut text, rounded times and floats with NaN.
    exact: bool,
}

pub(super) struct FileStatistics {
    rows: UInt64Array,
    /// In the order of the scan's columns; `None` where nothing is known.
    columns: Vec<Option<ColumnBounds>>,
    index: HashMap<String, usize>,
}

impl FileStatistics {
    pub(super) fn read(
        actions: &RecordBatch,
        views: &[LogicalFileView],
        columns: &Columns,
        partitions: &[ArrayRef],
    ) -> Result<Self> {
        let rows: UInt64Array = views.iter().map(|v| v.num_records().map(|n| n as u64)).collect();
        let mut bounds = Vec::new();
        for field in columns.file_schema.fields() {
            bounds.push(of_column(actions, field.name(), field.data_type(), views.len()));
        }
        for values in partitions {
            let nulls: UInt64Array = (0..values.len())
                .map(|i| {
                    rows.is_valid(i)
                        .then(|| if values.is_null(i) { rows.value(i) } else { 0 })
                })
                .collect();
            bounds.push(Some(ColumnBounds {
                min: signed_zero(values, -0.0),
                max: signed_zero(values, 0.0),
                nulls: Arc::new(nulls),
                exact: !values.data_type().is_floating(),
            }));
        }
        let index = columns
            .scan_schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| (f.name().clone(), i))
            .collect();
        Ok(Self {
            rows,
            columns: bounds,
            index,
        })
    }

    pub(super) fn column(&self, name: &str) -> Option<ColumnBounds> {
        self.columns.get(*self.index.get(name)?)?.clone()
    }

    /// What is known of one file, in the order of the scan's columns.
    pub(super) fn of_file(&self, row: usize, bytes: i64) -> Result<Statistics> {
        let mut column_statistics = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let Some(bounds) = column else {
                column_statistics.push(ColumnStatistics::new_unknown());
                continue;
            };
            let bound = |array: &ArrayRef| -> Result<Precision<ScalarValue>> {
                let value = ScalarValue::try_from_array(array, row)?;
                Ok(match (value.is_null(), bounds.exact) {
                    (true, _) => Precision::Absent,
                    (false, true) => Precision::Exact(value),
                    (false, false) => Precision::Inexact(value),
                })
            };
            column_statistics.push(ColumnStatistics {
                null_count: count(bounds.nulls.as_primitive(), row),
                min_value: bound(&bounds.min)?,
                max_value: bound(&bounds.max)?,
                ..ColumnStatistics::new_unknown()
            });
        }
        Ok(Statistics {
            num_rows: count(&self.rows, row),
            total_byte_size: usize::try_from(bytes).map_or(Precision::Absent, Precision::Inexact),
            column_statistics,
        })
    }
}

/// A view for pruning: one container per file.
pub(super) struct Prunable<'a>(pub(super) &'a FileStatistics);

impl PruningStatistics for Prunable<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        super::files::bounds_of(&column.name, self.0).map(|b| b.min)
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        super::files::bounds_of(&column.name, self.0).map(|b| b.max)
    }
    fn num_containers(&self) -> usize {
        self.0.rows.len()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        super::files::bounds_of(&column.name, self.0).map(|b| b.nulls)
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.0.rows.clone()))
    }
    fn contained(
        &self,
        _column: &Column,
        _values: &std::collections::HashSet<ScalarValue>,
    ) -> Option<arrow::array::BooleanArray> {
        None
    }
}

fn of_column(actions: &RecordBatch, name: &str, data_type: &DataType, files: usize) -> Option<ColumnBounds> {
    // "a.b" is also how the flattened statistics of a nested field are called: better none than those of another column.
    if name.contains('.') || data_type.is_nested() {
        return None;
    }
    let typed = |kind: &str, to: &DataType| -> ArrayRef {
        let found = actions
            .column_by_name(&format!("{kind}.{name}"))
            .filter(|array| array.len() == files);
        found
            .and_then(|array| cast(array, to).ok())
            .unwrap_or_else(|| new_null_array(to, files))
    };
    let (min, max) = (typed("min", data_type), typed("max", data_type));
    let nulls = typed("null_count", &DataType::UInt64);
    let max = match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => round_up(&max),
        _ => signed_zero(&max, 0.0),
    };
    Some(ColumnBounds {
        min: signed_zero(&min, -0.0),
        max,
        nulls,
        exact: is_exact(data_type),
    })
}

/// Types whose Delta statistics are the values themselves.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32)
}

/// Spark writes times cut to the millisecond, so the true maximum may lie up to 999 µs later.
fn round_up(max: &ArrayRef) -> ArrayRef {
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = max.data_type() else {
        return Arc::clone(max);
    };
    let rounded = max
        .as_primitive::<TimestampMicrosecondType>()
        .unary::<_, TimestampMicrosecondType>(|us| if us % 1000 == 0 { us.saturating_add(999) } else { us });
    Arc::new(rounded.with_timezone_opt(zone.clone()))
}

/// Comparisons take −0.0 for less than 0.0: let bounds at zero include both.
fn signed_zero(values: &ArrayRef, zero: f64) -> ArrayRef {
    match values.data_type() {
        DataType::Float64 => Arc::new(
            values
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v == 0.0 { zero } else { v }),
        ),
        DataType::Float32 => {
            #[expect(clippy::cast_possible_truncation, reason = "it is plus or minus zero")]
            let zero = zero as f32;
            Arc::new(
                values
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|v| if v == 0.0 { zero } else { v }),
            )
        }
        _ => Arc::clone(values),
    }
}

fn count(counts: &UInt64Array, row: usize) -> Precision<usize> {
    if counts.is_valid(row) {
        usize::try_from(counts.value(row)).map_or(Precision::Absent, Precision::Exact)
    } else {
        Precision::Absent
    }
}
