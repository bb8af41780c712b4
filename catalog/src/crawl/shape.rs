//! The schema a table must have to hold its rows and those of new files: decided purely, file by file, in the order given.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};

use crate::delta::settled;
use crate::formats::{DATE_ORDER_KEY, DECIMAL_KEY, DECIMAL_UNSURE};

use super::columns::{ORIGINAL_KEY, Prepared};
use super::evidence;
use super::folders::{FOLDER_KEY, NAME};
use super::types::{EXACT_FLOAT_MAX, always_fits, are_codes, cast_exact, is_scalar, samples, spoken, unify};

pub(crate) const SOURCE_FILE: &str = "_source_file";
pub(crate) const SOURCE_ROW: &str = "_source_row";
pub(crate) const INGESTED_AT: &str = "_ingested_at";

/// The table as it is: its schema as Delta keeps it, and what its statistics prove of each column.
pub(crate) struct Existing {
    pub(crate) schema: SchemaRef,
    pub(crate) statistics: Option<Statistics>,
    /// Bytes of its data files.
    pub(crate) bytes: u64,
}

/// A table of more bytes is not written anew because a file brings a wider type: its values go to the rescued ones. The
/// work is done data file by data file, some seconds a gigabyte; whoever pins the type has said that it is worth more.
const REWRITE_BYTES_MAX: u64 = 4 << 30;

impl Existing {
    pub(crate) fn may_be_rewritten(&self) -> bool {
        self.bytes <= REWRITE_BYTES_MAX
    }
}

/// The schema to be, and the files that do not fit it.
pub(crate) struct Shape {
    pub(crate) schema: SchemaRef,
    /// The schema differs from the table's.
    pub(crate) changed: bool,
    /// A column of the table changes its type, so its files must be written anew.
    pub(crate) rewrite: bool,
    /// Columns of folders that the table had not, though rows in it may have come from such folders.
    pub(crate) new_folders: Vec<String>,
    /// Places in `files` that cannot be taken, with the reason.
    pub(crate) misfits: Vec<(usize, String)>,
}

struct Column {
    field: Field,
    /// Its type in the table today; `None` for a new column.
    stored: Option<DataType>,
    /// A file of this batch has given it values.
    valued: bool,
}

impl Column {
    /// Takes in how a file writes the days, or the fractions, of the column; whether that changes what is kept of a column
    /// that the table has. Once two files write them unlike each other, nothing is known of others.
    fn sees_written(&mut self, field: &Field, key: &str) -> bool {
        const UNLIKE: &str = "unlike";
        let Some(written) = field.metadata().get(key).filter(|written| *written != DECIMAL_UNSURE) else {
            return false;
        };
        let kept = self.field.metadata_mut();
        match kept.get(key).cloned() {
            Some(known) if known == *written || known == UNLIKE => return false,
            Some(_) => kept.insert(key.to_owned(), UNLIKE.to_owned()),
            // Of an older column it is not known how its other files wrote them.
            None if self.stored.is_some() => return false,
            None => kept.insert(key.to_owned(), written.clone()),
        };
        self.stored.is_some()
    }
}

/// # Errors
/// The schema has no place in Delta, in words: no file of the batch can be taken.
pub(crate) fn fold(existing: Option<&Existing>, files: &[&Prepared]) -> Result<Shape, String> {
    let mut columns: Vec<Column> = Vec::new();
    if let Some(existing) = existing {
        for field in existing.schema.fields().iter().filter(|f| !is_source(f.name())) {
            let stored = Some(field.data_type().clone());
            columns.push(Column {
                field: field.as_ref().clone(),
                stored,
                valued: false,
            });
        }
    }
    let mut taken: Vec<&Prepared> = Vec::new();
    let mut misfits = Vec::new();
    let mut rewritten = false;
    let coded = coded(files);
    for (place, file) in files.iter().enumerate() {
        match fit(&columns, existing, &coded, &taken, file) {
            Ok(types) => {
                for (field, data_type) in file.fields.iter().zip(types) {
                    let valued = !field.data_type().is_null();
                    match columns.iter_mut().find(|c| c.field.name() == field.name()) {
                        Some(column) => {
                            column.field.set_data_type(data_type);
                            column.valued |= valued;
                            for key in [DATE_ORDER_KEY, DECIMAL_KEY] {
                                rewritten |= column.sees_written(field, key);
                            }
                        }
                        None => columns.push(Column {
                            field: found(field, file).with_data_type(data_type),
                            stored: None,
                            valued,
                        }),
                    }
                }
                taken.push(file);
            }
            Err(reason) => misfits.push((place, reason)),
        }
    }
    let rewrite = columns
        .iter()
        .any(|c| c.stored.as_ref().is_some_and(|t| t != c.field.data_type()));
    let new_folders = columns
        .iter()
        .filter(|c| existing.is_some() && c.stored.is_none() && is_folder(&c.field))
        // A name that files got on without is not worth writing a large table anew: its rows of before have none.
        .filter(|c| c.field.name() != NAME || existing.is_none_or(Existing::may_be_rewritten))
        .map(|c| c.field.name().clone())
        .collect();
    let mut fields: Vec<Field> = columns.into_iter().map(|c| text_if_empty(c.field)).collect();
    fields.extend(source_fields());
    let schema = settled(&Schema::new(fields))?;
    let changed = rewritten || existing.is_none_or(|e| !same(&e.schema, &schema));
    Ok(Shape {
        schema,
        changed,
        rewrite,
        new_folders,
        misfits,
    })
}

/// A new column with what its heading and values tell about it.
fn found(field: &Field, file: &Prepared) -> Field {
    let heading = field.metadata().get(ORIGINAL_KEY).unwrap_or(field.name());
    let mut metadata = evidence::of(heading, &file.column(field.name()));
    metadata.extend(field.metadata().clone());
    metadata.retain(|_, value| *value != DECIMAL_UNSURE);
    field.clone().with_metadata(metadata)
}

/// The columns that one of the files has codes in: they name things in all of them, whichever comes first, as
/// `wanted::of` decided it when it had the others read as texts.
fn coded<'f>(files: &[&'f Prepared]) -> HashSet<&'f str> {
    let names = |file: &'f Prepared| {
        let texts = file.fields.iter().filter(|field| *field.data_type() == DataType::Utf8);
        let is_coded = |name: &&str| file.staged.is_none() && are_codes(&file.column(name));
        texts.map(|field| field.name().as_str()).filter(is_coded)
    };
    files.iter().flat_map(|file| names(file)).collect()
}

/// The types the file's columns lead to, in their order; or the reason why the file cannot be taken.
fn fit(
    columns: &[Column],
    existing: Option<&Existing>,
    coded: &HashSet<&str>,
    taken: &[&Prepared],
    file: &Prepared,
) -> Result<Vec<DataType>, String> {
    let by_name: HashMap<&str, &Column> = columns.iter().map(|c| (c.field.name().as_str(), c)).collect();
    let mut types = Vec::with_capacity(file.fields.len());
    for field in &file.fields {
        let name = field.name();
        let Some(column) = by_name.get(name.as_str()) else {
            types.push(field.data_type().clone());
            continue;
        };
        let now = column.field.data_type();
        let arrays = file.column(name);
        let clash = |why: &str| {
            let in_table = known_range(existing, name);
            format!(
                "column '{name}' holds {} in the table{in_table} and {} in this file (for example {}){why}. Correct the file, \
                 or land it in a folder of its own",
                spoken(now),
                spoken(field.data_type()),
                samples(&arrays),
            )
        };
        let to = match unify(now, field.data_type()) {
            Some(to) => to,
            // Whatever type a column without values has was only a guess.
            None if !column.valued && column.stored.as_ref() == Some(now) && all_null(existing, name) => {
                field.data_type().clone()
            }
            // The names of folders are texts before they are anything else.
            None if is_folder(&column.field) && is_folder(field) => {
                types.push(DataType::Utf8);
                continue;
            }
            None if file.pinned.contains(name) && *field.data_type() == DataType::Utf8 && is_scalar(now) => {
                DataType::Utf8
            }
            // Whole numbers that turn out to name things.
            None if *now == DataType::Int64
                && *field.data_type() == DataType::Utf8
                && existing.is_none_or(Existing::may_be_rewritten)
                && (coded.contains(name.as_str()) || are_codes(&arrays)) =>
            {
                DataType::Utf8
            }
            None => return Err(clash("")),
        };
        for array in &arrays {
            cast_exact(array, &to).map_err(|lost| clash(&format!(": {lost}")))?;
        }
        if to != *now {
            for array in taken.iter().flat_map(|t| t.column(name)) {
                cast_exact(array, &to).map_err(|lost| clash(&format!(": of the rows beside it {lost}")))?;
            }
            if let Some(stored) = &column.stored
                && !stored_fits(existing, name, stored, &to)
            {
                return Err(clash(": the table's values would lose digits"));
            }
            let is_large = existing.is_some_and(|existing| !existing.may_be_rewritten());
            if column.stored.as_ref().is_some_and(|stored| *stored != to) && is_large && !file.pinned.contains(name) {
                return Err(clash(": the table is too large to be written anew"));
            }
        }
        types.push(to);
    }
    Ok(types)
}

/// Do the values in the table go into `to` without loss? Decided by types and statistics.
pub(super) fn stored_fits(existing: Option<&Existing>, name: &str, from: &DataType, to: &DataType) -> bool {
    if always_fits(from, to) || (*to == DataType::Utf8 && is_scalar(from)) || all_null(existing, name) {
        return true;
    }
    let Some(column) = statistics(existing, name) else {
        return false;
    };
    let small = |bound: &Precision<ScalarValue>| match bound {
        Precision::Exact(ScalarValue::Int64(Some(v))) => v.unsigned_abs() <= EXACT_FLOAT_MAX.unsigned_abs(),
        _ => false,
    };
    *from == DataType::Int64 && *to == DataType::Float64 && small(&column.min_value) && small(&column.max_value)
}

pub(super) fn all_null(existing: Option<&Existing>, name: &str) -> bool {
    let rows = existing.and_then(|e| e.statistics.as_ref()).map(|s| s.num_rows);
    let nulls = statistics(existing, name).map(|c| c.null_count);
    matches!((rows, nulls), (Some(Precision::Exact(rows)), Some(Precision::Exact(nulls))) if rows == nulls)
}

fn statistics<'a>(existing: Option<&'a Existing>, name: &str) -> Option<&'a datafusion::common::ColumnStatistics> {
    let existing = existing?;
    existing
        .statistics
        .as_ref()?
        .column_statistics
        .get(existing.schema.index_of(name).ok()?)
}

pub(super) fn known_range(existing: Option<&Existing>, name: &str) -> String {
    let bound = |b: &Precision<ScalarValue>| b.get_value().filter(|v| !v.is_null()).map(ToString::to_string);
    match statistics(existing, name).map(|c| (bound(&c.min_value), bound(&c.max_value))) {
        Some((Some(low), Some(high))) => format!(" (from '{low}' to '{high}')"),
        _ => String::new(),
    }
}

fn text_if_empty(field: Field) -> Field {
    if field.data_type().is_null() {
        field.with_data_type(DataType::Utf8)
    } else {
        field
    }
}

/// Are its values the names of folders?
pub(super) fn is_folder(field: &Field) -> bool {
    field.metadata().contains_key(FOLDER_KEY)
}

pub(super) fn is_source(name: &str) -> bool {
    [SOURCE_FILE, SOURCE_ROW, INGESTED_AT].contains(&name)
}

fn source_fields() -> [Field; 3] {
    [
        Field::new(SOURCE_FILE, DataType::Utf8, true),
        Field::new(SOURCE_ROW, DataType::Int64, true),
        Field::new(
            INGESTED_AT,
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            true,
        ),
    ]
}

fn same(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields()
            .iter()
            .zip(b.fields())
            .all(|(x, y)| x.name() == y.name() && x.data_type() == y.data_type())
}
