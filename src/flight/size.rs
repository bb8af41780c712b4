//! How many bytes rows take in a message, before they are encoded.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;

/// Bytes of a buffer's end, up to the next multiple of 64, and of its place in the message's head.
const BUFFER_BYTES: usize = 64 + 16;
/// Bytes of an array in the message's head.
const NODE_BYTES: usize = 16;

/// Bytes of the values of a batch.
pub(super) fn of_rows(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(of).sum()
}

/// Bytes of the message that a batch becomes, at most.
pub(super) fn of_message(batch: &RecordBatch) -> usize {
    let framing = |column: &ArrayRef| framing(column.data_type());
    of_rows(batch) + batch.columns().iter().map(framing).sum::<usize>()
}

/// Bytes of an array's values: of a slice its own part, also of what lies inside lists.
pub(super) fn of(array: &ArrayRef) -> usize {
    let validity = array.nulls().map_or(0, |nulls| nulls.len().div_ceil(8));
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            validity + inside(list.offsets(), list.values())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            validity + inside(list.offsets(), list.values())
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            validity + inside(map.offsets(), &entries)
        }
        DataType::FixedSizeList(_, _) => validity + of(array.as_fixed_size_list().values()),
        DataType::Struct(_) => validity + array.as_struct().columns().iter().map(of).sum::<usize>(),
        // A type that cannot tell the size of a slice is counted whole: more messages, never larger ones.
        _ => {
            let data = array.to_data();
            data.get_slice_memory_size()
                .unwrap_or_else(|_| array.get_buffer_memory_size())
        }
    }
}

/// Bytes of the offsets of lists, and of the values that they lead to.
fn inside<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &ArrayRef) -> usize {
    let [first, last] = [offsets.first(), offsets.last()].map(|offset| offset.map_or(0, |offset| offset.as_usize()));
    size_of_val::<[O]>(offsets) + of(&values.slice(first, last - first))
}

fn framing(kind: &DataType) -> usize {
    let children = match kind {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => framing(child.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| framing(field.data_type())).sum(),
        _ => 0,
    };
    // Validity, offsets and values are the most that an array has.
    NODE_BYTES + 3 * BUFFER_BYTES + children
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, ListArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    /// `rows` lists of 512 numbers.
    fn spectra(rows: usize) -> ArrayRef {
        let values = Arc::new(Float32Array::from_iter_values((0..rows * 512).map(|n| n as f32)));
        let field = Arc::new(Field::new_list_field(DataType::Float32, true));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(512, rows));
        Arc::new(ListArray::new(field, offsets, values, None))
    }

    #[test]
    fn of_a_slice_its_own_part_counts_also_inside_lists_and_structs() {
        let all = spectra(4_096);
        assert!(of(&all) >= 8 << 20);
        let one = of(&all.slice(7, 1));
        assert!((2_048..3_000).contains(&one), "{one}");
        let field = Arc::new(Field::new("s", all.data_type().clone(), true));
        let nested: ArrayRef = Arc::new(StructArray::new(vec![field].into(), vec![all], None));
        assert_eq!(of(&nested.slice(7, 1)), one);
    }
}
