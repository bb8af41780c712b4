//! Parts of one file that hold the same columns (sheets of a workbook, files of an archive): a day, a plate, a person each. They are one table.

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
    let mut groups: Vec<Alike> = Vec::new();
    for (block, sheet) in blocks.into_iter().zip(sheets) {
        let is_own = |group: &&mut Alike| group.members.iter().all(|(_, known)| *known != sheet);
        let group = groups.iter_mut().filter(is_own).find_map(|group| {
            let types = group.with(&block).filter(|_| has_names(&block, SHEET))?;
            Some((group, types))
        });
        match group {
            Some((group, types)) => group.take(block, sheet, types),
            None => groups.push(Alike::of(block, sheet)),
        }
    }
    let mut all = Vec::new();
    for group in groups {
        match group.joined(SHEET).filter(|_| group.members.len() > 1) {
            Some(block) => {
                notes.push(format!(
                    "{} sheets of the same columns are one table",
                    group.members.len()
                ));
                all.push(block);
            }
            None => all.extend(group.members.into_iter().map(|(block, _)| block)),
        }
    }
    all
}

/// Whether some names are the file's own, and none is that of the column that comes before them.
fn has_names(block: &Block, first: &str) -> bool {
    let Some(batch) = block.batches.first() else {
        return false;
    };
    let schema = batch.schema();
    let names = || schema.fields().iter().map(|field| field.name());
    schema.fields().len() > 1
        && names().any(|name| !name.starts_with("column_"))
        && names().all(|name| !name.eq_ignore_ascii_case(first))
}

/// Blocks with the same names in the same order and types that go together, each with the part of the file that it is from.
pub(super) struct Alike {
    pub(super) members: Vec<(Block, String)>,
    /// What holds the values of all of them.
    types: Vec<DataType>,
}

impl Alike {
    pub(super) fn of(block: Block, part: String) -> Self {
        Self {
            types: types(&block),
            members: vec![(block, part)],
        }
    }

    /// The types that hold the values of one block more; `None` when it is not like these.
    pub(super) fn with(&self, block: &Block) -> Option<Vec<DataType>> {
        let (known, _) = self.members.first()?;
        let (known, new) = (known.batches.first()?.schema(), block.batches.first()?.schema());
        let mut names = known.fields().iter().zip(new.fields());
        if known.fields().len() != new.fields().len() || names.any(|(a, b)| a.name() != b.name()) {
            return None;
        }
        let pairs = self.types.iter().zip(types(block));
        pairs.map(|(a, b)| common(a, &b)).collect()
    }

    pub(super) fn take(&mut self, block: Block, part: String, types: Vec<DataType>) {
        self.types = types;
        self.members.push((block, part));
    }

    /// One block of all, each row with its part in the first column; `None` where a value would lose digits.
    pub(super) fn joined(&self, part: &str) -> Option<Block> {
        let (main, _) = self.members.first()?;
        let first = main.batches.first()?.schema();
        let mut fields = vec![Field::new(part, DataType::Utf8, true)];
        let own = first.fields().iter().zip(&self.types);
        fields.extend(own.map(|(field, kind)| field.as_ref().clone().with_data_type(kind.clone()).with_nullable(true)));
        let schema = Arc::new(Schema::new(fields));
        let mut batches = Vec::new();
        for (block, part) in &self.members {
            for batch in &block.batches {
                let names = StringArray::from_iter_values(std::iter::repeat_n(part, batch.num_rows()));
                let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
                for (column, kind) in batch.columns().iter().zip(&self.types) {
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
}

fn types(block: &Block) -> Vec<DataType> {
    let schema = block.batches.first().map(RecordBatch::schema);
    let fields = schema.iter().flat_map(|schema| schema.fields().iter());
    fields.map(|field| field.data_type().clone()).collect()
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
