//! From a Delta snapshot to the list of Parquet files a scan reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use deltalake_core::kernel::LogicalFileView;
use deltalake_core::table::state::DeltaTableState;
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;

use super::stats::{ColumnBounds, FileStatistics};

/// Reader features of a table that a plain Parquet scan honours.
const PLAIN_FEATURES: [&str; 4] = ["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "invariants"];

/// Why a plain Parquet scan of this table would be wrong; `None` when it is right.
pub(crate) fn needs_delta_reader(state: &DeltaTableState) -> Option<String> {
    let protocol = state.protocol();
    if let Some(features) = protocol.reader_features() {
        // A table may carry the feature without any file using it; those are looked at one by one below.
        let allowed =
            |name: &str| PLAIN_FEATURES.contains(&name) || name == "deletionVectors" || name == "columnMapping";
        if let Some(feature) = features.iter().map(ToString::to_string).find(|name| !allowed(name)) {
            return Some(format!("reader feature {feature}"));
        }
    }
    let mapping = state
        .metadata()
        .configuration()
        .get("delta.columnMapping.mode")
        .map(String::as_str);
    if !matches!(mapping, None | Some("none")) {
        return Some("column mapping".to_owned());
    }
    for file in state.log_data().iter() {
        if file.deletion_vector_descriptor().is_some() {
            return Some("deletion vectors".to_owned());
        }
        if is_elsewhere(&file.path()) {
            return Some("files outside the table's folder".to_owned());
        }
    }
    None
}

/// The files of one snapshot and what is known of them, all in one order.
pub(super) struct FileList {
    pub(super) files: Vec<PartitionedFile>,
    pub(super) bounds: FileStatistics,
}

/// The columns as the scan sees them: those in the files, then the partition columns.
pub(super) struct Columns {
    pub(super) file_schema: SchemaRef,
    pub(super) partition_fields: Fields,
    /// `file_schema` and `partition_fields` in one.
    pub(super) scan_schema: SchemaRef,
}

impl Columns {
    pub(super) fn of(schema: &Schema, partition_columns: &[String]) -> Self {
        let (partition, file): (Vec<_>, Vec<_>) = schema
            .fields()
            .iter()
            .cloned()
            .partition(|f| partition_columns.contains(f.name()));
        // Delta's partition order is the metadata's, not the schema's; values are looked up by name, so either will do.
        let all: Vec<_> = file.iter().chain(&partition).cloned().collect();
        Self {
            file_schema: Arc::new(Schema::new(file)),
            partition_fields: partition.into(),
            scan_schema: Arc::new(Schema::new(all)),
        }
    }
}

/// Text as DataFusion reads it natively: views at the top level, plain inside nested types.
pub(crate) fn native_schema(schema: &Schema, partition_columns: &[String]) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let view = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 if !partition_columns.contains(field.name()) => DataType::Utf8View,
            DataType::Binary | DataType::LargeBinary if !partition_columns.contains(field.name()) => {
                DataType::BinaryView
            }
            other => other.clone(),
        };
        Arc::new(field.as_ref().clone().with_data_type(view))
    });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<Arc<Field>>>(),
        schema.metadata().clone(),
    ))
}

/// Reads file list, partition values and statistics out of the snapshot. `location` is the table's folder in the lake.
pub(super) fn list(
    state: &DeltaTableState,
    location: &str,
    columns: &Columns,
    wanted: impl Fn(&str) -> bool,
) -> Result<FileList> {
    let all: Vec<LogicalFileView> = state.log_data().iter().collect();
    let is_wanted: BooleanArray = all.iter().map(|view| Some(wanted(&view.path()))).collect();
    // The table of add actions comes from the same batches in the same order as the views.
    let actions = state
        .add_actions_table(true)
        .ok()
        .filter(|actions| actions.num_rows() == all.len());
    let actions = match actions {
        Some(actions) => filter_record_batch(&actions, &is_wanted)?,
        None => RecordBatch::new_empty(Arc::new(Schema::empty())),
    };
    let views = all.into_iter().zip(&is_wanted);
    let views: Vec<LogicalFileView> = views
        .filter(|(_, wanted)| *wanted == Some(true))
        .map(|(view, _)| view)
        .collect();
    let partitions = partition_values(&views, &actions, columns)?;
    let bounds = FileStatistics::read(&actions, &views, columns, &partitions)?;
    let mut files = Vec::with_capacity(views.len());
    for (row, view) in views.iter().enumerate() {
        let mut file = PartitionedFile::new_from_meta(ObjectMeta {
            location: join(location, &view.object_store_path()),
            last_modified: view.modification_datetime().unwrap_or_default(),
            size: u64::try_from(view.size()).unwrap_or_default(),
            e_tag: None,
            version: None,
        });
        file.partition_values = partitions
            .iter()
            .map(|column| ScalarValue::try_from_array(column, row))
            .collect::<Result<_>>()?;
        file.statistics = Some(Arc::new(bounds.of_file(row, view.size())?));
        files.push(file);
    }
    Ok(FileList { files, bounds })
}

/// One array per partition column, one value per file.
fn partition_values(views: &[LogicalFileView], actions: &RecordBatch, columns: &Columns) -> Result<Vec<ArrayRef>> {
    let mut out = Vec::with_capacity(columns.partition_fields.len());
    for field in &columns.partition_fields {
        let typed = actions.column_by_name(&format!("partition.{}", field.name()));
        let array = match typed {
            Some(array) => cast(array, field.data_type())?,
            None => {
                let raw: arrow::array::StringArray = views
                    .iter()
                    .map(|v| v.partition_values_map().get(field.name()).cloned().flatten())
                    .collect();
                cast(&raw, field.data_type())?
            }
        };
        out.push(array);
    }
    Ok(out)
}

/// The statistics of these files in one, in the order of the scan's columns.
pub(super) fn total(files: &[PartitionedFile], scan_schema: &Schema) -> Statistics {
    let known: Vec<&Statistics> = files.iter().filter_map(|f| f.statistics.as_deref()).collect();
    if known.len() != files.len() {
        return Statistics::new_unknown(scan_schema);
    }
    let mut all = Statistics::new_unknown(scan_schema);
    all.num_rows = known.iter().fold(Precision::Exact(0), |sum, s| sum.add(&s.num_rows));
    all.total_byte_size = known
        .iter()
        .fold(Precision::Exact(0), |sum, s| sum.add(&s.total_byte_size))
        .to_inexact();
    for (place, column) in all.column_statistics.iter_mut().enumerate() {
        let parts: Vec<(&Statistics, &ColumnStatistics)> = known
            .iter()
            .filter_map(|s| s.column_statistics.get(place).map(|c| (*s, c)))
            .collect();
        column.null_count = parts
            .iter()
            .fold(Precision::Exact(0), |sum, (_, c)| sum.add(&c.null_count));
        // A file with nothing but nulls has no bounds, and takes none away from the others.
        let mut valued = parts.iter().filter(|(s, c)| {
            !matches!((s.num_rows, c.null_count), (Precision::Exact(rows), Precision::Exact(nulls)) if rows == nulls)
        });
        if let Some((_, first)) = valued.next() {
            (column.min_value, column.max_value) = valued.fold(
                (first.min_value.clone(), first.max_value.clone()),
                |(low, high), (_, c)| (low.min(&c.min_value), high.max(&c.max_value)),
            );
        }
    }
    all
}

pub(super) fn bounds_of(column: &str, bounds: &FileStatistics) -> Option<ColumnBounds> {
    bounds.column(column)
}

fn is_elsewhere(path: &str) -> bool {
    path.starts_with('/')
        || path
            .split_once(':')
            .is_some_and(|(scheme, rest)| !scheme.contains('/') && rest.starts_with('/'))
}

pub(super) fn join(location: &str, path: &ObjectPath) -> ObjectPath {
    ObjectPath::parse(format!("{location}/{path}")).unwrap_or_else(|_| ObjectPath::from(format!("{location}/{path}")))
}
