//! The one place where engine types become wire types.
//!
//! The engine works with string views and dictionaries, which JDBC before 19, flightsql-dbapi and browsers cannot
//! read. What FlightInfo announces, what a prepared statement announces and what the stream carries all pass here,
//! so they agree by construction: views and large strings become plain ones, dictionaries and run-ends their values,
//! and every field may be null. Field metadata of the engine stays inside, except words a reader can use; what a result
//! is told to have comes with what Flight SQL says of its types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder, StringViewArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::{column, twice};

/// Field metadata that may leave the server.
const TOLD: [&str; 3] = ["comment", "unit", "labhouse.original"];

/// The wire form of a schema.
pub(crate) fn narrow_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema.fields().iter().map(narrow_field).collect::<Vec<_>>(),
    ))
}

/// The columns of a result, as they are announced and come: the wire form, each column with what Flight SQL says of it.
pub(crate) fn result_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let field = narrow_field(field);
        let mut said = field.metadata().clone();
        // Nothing is changed through a result.
        said.extend(column::told(field.data_type(), true));
        let name = twice::together(field.name()).to_owned();
        Field::clone(&field).with_name(name).with_metadata(said)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A batch in the wire form of its own schema or of an announced one, which decides.
pub(crate) fn narrow_batch(batch: &RecordBatch, announced: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != announced.fields().len() {
        return Err(ArrowError::SchemaError(format!(
            "{} columns came where {} were announced",
            batch.num_columns(),
            announced.fields().len()
        )));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(announced.fields())
        .map(|(column, field)| narrow_array(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(announced), columns, &rows)
}

fn narrow_array(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    if let (Some(views), DataType::Utf8) = (array.as_string_view_opt(), to) {
        return plain(views);
    }
    // A value that does not fit the announced type is an error, never a silent null.
    cast_with_options(
        array,
        to,
        &CastOptions {
            safe: false,
            ..CastOptions::default()
        },
    )
}

/// Views as plain strings. The room is counted before: growing as it fills copies most of a column twice.
fn plain(views: &StringViewArray) -> Result<ArrayRef, ArrowError> {
    let bytes: usize = views.lengths().map(|length| length as usize).sum();
    // Offsets have 32 bits.
    if i32::try_from(bytes).is_err() {
        return Err(ArrowError::OffsetOverflowError(bytes));
    }
    let mut texts = StringBuilder::with_capacity(views.len(), bytes);
    match views.null_count() {
        0 => views.iter().flatten().for_each(|text| texts.append_value(text)),
        _ => views.iter().for_each(|text| texts.append_option(text)),
    }
    Ok(Arc::new(texts.finish()))
}

fn narrow_field(field: &FieldRef) -> FieldRef {
    let told: HashMap<String, String> = field
        .metadata()
        .iter()
        .filter(|(key, _)| TOLD.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Arc::new(Field::new(field.name(), narrow_type(field.data_type()), true).with_metadata(told))
}

fn narrow_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => narrow_type(values),
        DataType::RunEndEncoded(_, values) => narrow_type(values.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(narrow_field(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(narrow_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(narrow_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(narrow_entries(entries), *sorted),
        other => other.clone(),
    }
}

/// A map's entries and keys stay not-null, as the format demands; only their types narrow.
fn narrow_entries(entries: &FieldRef) -> FieldRef {
    let inside = match entries.data_type() {
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| {
                    Arc::new(Field::new(
                        field.name(),
                        narrow_type(field.data_type()),
                        field.is_nullable(),
                    )) as FieldRef
                })
                .collect(),
        ),
        other => other.clone(),
    };
    Arc::new(Field::new(entries.name(), inside, entries.is_nullable()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StructArray};
    use arrow::datatypes::{Fields, Int32Type};

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_at_any_depth() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a longer value than twelve"), None]));
        let coded: ArrayRef = Arc::new(vec!["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>());
        let inner = Fields::from(vec![Field::new("v", DataType::Utf8View, true)]);
        let nested: ArrayRef = Arc::new(StructArray::new(inner, vec![Arc::clone(&view)], None));
        let batch = RecordBatch::try_from_iter([("view", view), ("coded", coded), ("nested", nested)]).unwrap();

        let announced = narrow_schema(&batch.schema());
        let narrowed = narrow_batch(&batch, &announced).unwrap();

        assert_eq!(narrowed.schema(), announced);
        let types: Vec<_> = announced
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        assert!(
            types
                .iter()
                .all(|text| !text.contains("View") && !text.contains("Dictionary")),
            "{types:?}"
        );
        assert!(narrowed.column(0).is_null(1));
    }

    #[test]
    fn narrowing_twice_changes_nothing() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8View, false),
            Field::new("b", DataType::new_list(DataType::LargeUtf8, false), false),
        ]);
        let once = narrow_schema(&schema);
        assert_eq!(narrow_schema(&once), once);
        let result = result_schema(&schema);
        assert_eq!(
            (result_schema(&result), result_schema(&once)),
            (Arc::clone(&result), Arc::clone(&result))
        );
        assert_eq!(result.field(0).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "VARCHAR");
        // What is written into a table has none of it.
        assert_eq!(narrow_schema(&result), once);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["not a number"]));
        let batch = RecordBatch::try_from_iter([("a", text)]).unwrap();
        let announced = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        assert!(narrow_batch(&batch, &announced).is_err());
    }
}
