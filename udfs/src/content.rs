//! Rows by what they hold: whatever is drawn, held out or decided between equals must not depend on the order in which rows arrive.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

/// A number for each row, made of all its values: equal rows have equal ones, and others almost surely different ones. In their order rows are
/// shuffled, the same way wherever they come from. Values of types that cannot be compared have no part in it.
pub(crate) fn of_columns(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, ArrowError> {
    let readable: Vec<ArrayRef> = columns
        .iter()
        .filter(|column| RowConverter::supports_fields(&[SortField::new(column.data_type().clone())]))
        .cloned()
        .collect();
    if readable.is_empty() {
        return Ok(vec![0; rows]);
    }
    let fields = readable
        .iter()
        .map(|column| SortField::new(column.data_type().clone()))
        .collect();
    let encoded = RowConverter::new(fields)?.convert_columns(&readable)?;
    Ok(encoded.iter().map(|row| of_bytes(row.as_ref())).collect())
}

/// The same for batches one after the other.
pub(crate) fn of_batches(batches: &[RecordBatch]) -> Result<Vec<u64>, ArrowError> {
    let mut all = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        all.extend(of_columns(batch.columns(), batch.num_rows())?);
    }
    Ok(all)
}

/// A number made of bytes, eight at a time.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0_u8; 8];
    last.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    words.fold(bytes.len() as u64 ^ 0x5EED, mixed)
}

/// One number more in a number made of several.
pub(crate) fn mixed(all: u64, one: u64) -> u64 {
    let all = (all ^ one).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    all ^ (all >> 29)
}
