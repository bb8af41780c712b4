//! No byte of a hidden value leaves.
//!
//! Arrow arrays share buffers: a permitted row of a `Utf8View` column carries the whole buffer its text lies in, values
//! survive under nulls, dictionaries keep values of dropped rows, bitmaps keep bits of neighbours. All of that would travel
//! in IPC messages. So arrays are rebuilt from their visible values; a type for which that is not written here is refused.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray,
    FixedSizeBinaryArray, GenericByteArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringViewArray, StringViewBuilder, StructArray, UInt64Array, downcast_primitive_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType, FieldRef, SchemaRef};
use datafusion::common::exec_err;
use datafusion::error::Result;

/// What could lie in the buffers that leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residue {
    /// Rows are filtered or values masked below: every array is rebuilt.
    Hidden,
    /// Every row is shown as it is, columns have buffers of their own: nothing to remove.
    Nothing,
}

/// Whether hidden bytes can be removed from arrays of this (public) type.
pub(crate) fn can_sanitise(data_type: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, FixedSizeBinary, LargeBinary, LargeUtf8, List, Null, Struct, Utf8, Utf8View,
    };
    match data_type {
        Null | Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => true,
        List(item) => can_sanitise(item.data_type()),
        Struct(fields) => fields.iter().all(|f| can_sanitise(f.data_type())),
        other => other.is_primitive(),
    }
}

/// The batch with the public schema and, where something is hidden below, with fresh buffers.
pub(crate) fn sanitise(batch: &RecordBatch, schema: &SchemaRef, residue: Residue) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return exec_err!(
            "{} columns came from below, {} were expected",
            batch.num_columns(),
            schema.fields().len()
        );
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(array, field)| {
        let array = as_type(array, field.data_type())?;
        match residue {
            Residue::Hidden => rebuild(&array),
            Residue::Nothing => Ok(array),
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns.collect::<Result<_>>()?,
        &options,
    )?)
}

/// Hydrates dictionaries. Below the barrier types are what the table says, so this never loses a value.
fn as_type(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    Ok(cast_with_options(
        array,
        wanted,
        &CastOptions {
            safe: false,
            ..Default::default()
        },
    )?)
}

fn rebuild(array: &ArrayRef) -> Result<ArrayRef> {
    let nulls = array
        .logical_nulls()
        .filter(|n| n.null_count() > 0)
        .map(|n| NullBuffer::new(fresh_bits(n.inner())));
    let array: &dyn Array = array.as_ref();
    Ok(downcast_primitive_array! {
        array => Arc::new(primitive(array, nulls)),
        DataType::Null => new_null_array(&DataType::Null, array.len()),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            let values = match &nulls {
                Some(valid) => values & valid.inner(),
                None => values.clone(),
            };
            Arc::new(BooleanArray::new(fresh_bits(&values), nulls))
        }
        DataType::Utf8 => Arc::new(bytes::<arrow::datatypes::Utf8Type>(array.as_string::<i32>(), nulls)),
        DataType::LargeUtf8 => Arc::new(bytes::<arrow::datatypes::LargeUtf8Type>(array.as_string::<i64>(), nulls)),
        DataType::Binary => Arc::new(bytes::<arrow::datatypes::BinaryType>(array.as_binary::<i32>(), nulls)),
        DataType::LargeBinary => Arc::new(bytes::<arrow::datatypes::LargeBinaryType>(array.as_binary::<i64>(), nulls)),
        DataType::Utf8View => Arc::new(text_view(array.as_string_view(), nulls.is_some())),
        DataType::BinaryView => Arc::new(binary_view(array.as_binary_view(), nulls.is_some())),
        DataType::FixedSizeBinary(width) => {
            let values = array.as_fixed_size_binary();
            let blank = vec![0u8; usize::try_from(*width).unwrap_or_default()];
            let mut out = Vec::with_capacity(values.len() * blank.len());
            for at in 0..values.len() {
                out.extend_from_slice(if values.is_null(at) { &blank } else { values.value(at) });
            }
            Arc::new(FixedSizeBinaryArray::try_new(*width, out.into(), nulls)?)
        }
        DataType::List(item) => Arc::new(list(array.as_list(), Arc::clone(item), nulls)?),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(|column| {
                rebuild(&under(column, nulls.as_ref())?)
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            match columns.is_empty() {
                true => Arc::new(StructArray::new_empty_fields(array.len(), nulls)),
                false => Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?),
            }
        }
        other => return exec_err!("hidden values cannot be removed from arrays of type {other}"),
    })
}

fn primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, nulls: Option<NullBuffer>) -> PrimitiveArray<T> {
    let values = match &nulls {
        None => array.values().clone(),
        Some(valid) => array
            .values()
            .iter()
            .zip(valid)
            .map(|(v, valid)| if valid { *v } else { T::Native::default() })
            .collect(),
    };
    PrimitiveArray::new(values, nulls).with_data_type(array.data_type().clone())
}

/// Bits of this array alone: a bitmap's first and last byte also hold those of its neighbours.
fn fresh_bits(bits: &BooleanBuffer) -> BooleanBuffer {
    BooleanBuffer::collect_bool(bits.len(), |at| bits.value(at))
}

fn bytes<T: ByteArrayType>(array: &GenericByteArray<T>, nulls: Option<NullBuffer>) -> GenericByteArray<T> {
    let ends = (
        array.value_offsets().first().map(|o| o.as_usize()),
        array.value_offsets().last().map(|o| o.as_usize()),
    );
    if nulls.is_none() && ends == (Some(0), Some(array.value_data().len())) {
        return array.clone();
    }
    array.iter().collect::<GenericByteArrayFrom<T>>().0
}

/// Collects optional values into a byte array; Arrow has this only for the concrete types.
struct GenericByteArrayFrom<T: ByteArrayType>(GenericByteArray<T>);

impl<'a, T: ByteArrayType> FromIterator<Option<&'a T::Native>> for GenericByteArrayFrom<T>
where
    T::Native: 'a,
{
    fn from_iter<I: IntoIterator<Item = Option<&'a T::Native>>>(values: I) -> Self {
        let mut builder = arrow::array::GenericByteBuilder::<T>::new();
        for value in values {
            match value {
                Some(value) => builder.append_value(value),
                None => builder.append_null(),
            }
        }
        Self(builder.finish())
    }
}

fn text_view(array: &StringViewArray, has_nulls: bool) -> StringViewArray {
    // gc alone copies the bytes under nulls with the rest.
    if !has_nulls {
        return array.gc();
    }
    let mut builder = StringViewBuilder::with_capacity(array.len());
    array.iter().for_each(|value| builder.append_option(value));
    builder.finish()
}

fn binary_view(array: &BinaryViewArray, has_nulls: bool) -> BinaryViewArray {
    if !has_nulls {
        return array.gc();
    }
    let mut builder = BinaryViewBuilder::with_capacity(array.len());
    array.iter().for_each(|value| builder.append_option(value));
    builder.finish()
}

/// Keeps only items of lists that are there.
fn list(array: &ListArray, item: FieldRef, nulls: Option<NullBuffer>) -> Result<ListArray> {
    let mut offsets: Vec<i32> = Vec::with_capacity(array.len() + 1);
    let mut kept: Vec<u64> = Vec::new();
    offsets.push(0);
    for (at, ends) in array.value_offsets().windows(2).enumerate() {
        if let ([start, end], true) = (ends, nulls.as_ref().is_none_or(|valid| valid.is_valid(at))) {
            kept.extend((*start as u64)..(*end as u64));
        }
        offsets.push(
            i32::try_from(kept.len())
                .map_err(|_| datafusion::error::DataFusionError::Execution("a list column is too large".to_owned()))?,
        );
    }
    let items = rebuild(&take(array.values(), &UInt64Array::from(kept), None)?)?;
    Ok(ListArray::try_new(
        item,
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        items,
        nulls,
    )?)
}

/// A child of a struct, null where the struct is.
fn under(column: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(parent) = parent else {
        return Ok(Arc::clone(column));
    };
    let valid = NullBuffer::union(column.logical_nulls().as_ref(), Some(parent));
    let data = column.to_data().into_builder().nulls(valid).build()?;
    Ok(arrow::array::make_array(data))
}
