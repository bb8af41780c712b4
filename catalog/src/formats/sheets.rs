//! Sheets of one workbook that hold the same columns: a day, a plate, a person each. They are one table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;

use crate::formats::{Block, number};

/// The column that says which sheet a row is from.
const SHEET: &str = "sheet";

/// Blocks of one set of columns on several sheets are one table, with the sheet as its first column.
pub(super) fn together(blocks: Vec<Block>, sheets: Vec<String>, notes: &mut Vec<String>) -> Vec<Block> {
    let mut groups: Vec<Vec<(Block, String)>> = Vec::new();
    for (block, sheet) in blocks.into_iter().zip(sheets) {
        let alike = groups.iter_mut().find(|group| {
            group.iter().all(|(_, known)| *known != sheet)
                && group.first().is_some_and(|(known, _)| are_alike(known, &block))
        });
        match alike {
            Some(group) => group.push((block, sheet)),
            None => groups.push(vec![(block, sheet)]),
        }
    }
    let mut all = Vec::new();
    for group in groups {
        match joined(&group).filter(|_| group.len() > 1) {
            Some(block) => {
                notes.push(format!("{} sheets of the same columns are one table", group.len()));
                all.push(block);
            }
            None => all.extend(group.into_iter().map(|(block, _)| block)),
        }
    }
    all
}

/// The same names in the same order, some of them the file's own.
fn are_alike(one: &Block, other: &Block) -> bool {
    let (Some(one), Some(other)) = (one.batches.first(), other.batches.first()) else {
        return false;
    };
    let (one, other) = (one.schema(), other.schema());
    let pairs = || one.fields().iter().zip(other.fields());
    one.fields().len() == other.fields().len()
        && one.fields().len() > 1
        && one.fields().iter().any(|field| !field.name().starts_with("column_"))
        && one
            .fields()
            .iter()
            .all(|field| !field.name().eq_ignore_ascii_case(SHEET))
        && pairs().all(|(a, b)| a.name() == b.name() && common(a.data_type(), b.data_type()).is_some())
}

/// The type that holds the values of both. Texts hold no numbers here: how those were written is not known any more.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => Some(DataType::Float64),
        _ => None,
    }
}

/// One block of all, each row with its sheet; `None` where a value would lose digits.
fn joined(group: &[(Block, String)]) -> Option<Block> {
    let (main, _) = group.first()?;
    let first = main.batches.first()?.schema();
    let mut types: Vec<DataType> = first.fields().iter().map(|field| field.data_type().clone()).collect();
    for batch in group.iter().flat_map(|(block, _)| &block.batches) {
        for (kind, field) in types.iter_mut().zip(batch.schema().fields()) {
            *kind = common(kind, field.data_type())?;
        }
    }
    let mut fields = vec![Field::new(SHEET, DataType::Utf8, true)];
    let own = first.fields().iter().zip(&types);
    fields.extend(own.map(|(field, kind)| Field::new(field.name(), kind.clone(), true)));
    let schema = Arc::new(Schema::new(fields));
    let mut batches = Vec::new();
    for (block, sheet) in group {
        for batch in &block.batches {
            let names = StringArray::from_iter_values(std::iter::repeat_n(sheet, batch.num_rows()));
            let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
            for (column, kind) in batch.columns().iter().zip(&types) {
                columns.push(held(column, kind)?);
            }
            batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).ok()?);
        }
    }
    Some(Block {
        name: main.name.clone(),
        batches,
        first_row: main.first_row,
    })
}

fn held(column: &ArrayRef, kind: &DataType) -> Option<ArrayRef> {
    match (column.data_type(), kind) {
        (own, kind) if own == kind => Some(Arc::clone(column)),
        (DataType::Null, kind) => Some(new_null_array(kind, column.len())),
        (DataType::Int64, DataType::Float64) => {
            let ints = column.as_primitive::<Int64Type>();
            let exact = ints.iter().flatten().all(|int| number::Number::Int(int).is_exact_f64());
            exact.then(|| cast(column, kind).ok()).flatten()
        }
        _ => None,
    }
}
