//! One block of a file with names and types a table can keep.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::delta::settled;
use crate::formats::{Block, DATE_ORDER_KEY, DECIMAL_KEY, UNIT_KEY};
use crate::name::clean_column;

use super::folder_columns::FolderColumn;
use super::stream::Staged;

/// The key under which a column keeps its heading as the file has it.
pub(crate) const ORIGINAL_KEY: &str = "labhouse.original";

/// A block ready for its table: the columns' fields, and their arrays batch by batch. A column without any value has
/// [`DataType::Null`].
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) fields: Vec<Field>,
    pub(crate) batches: Vec<Vec<ArrayRef>>,
    pub(crate) batch_rows: Vec<usize>,
    /// The rows lie in data files already; the batches only show what they are like.
    pub(crate) staged: Option<Arc<Staged>>,
    /// What the names of the file's folders are as texts, by column.
    pub(crate) folder_texts: HashMap<String, String>,
    /// What the file's folders say, by column.
    pub(crate) folders: Vec<(String, FolderColumn)>,
    /// Columns whose type somebody pinned: for these a table of any size is written anew, as one of texts if need be.
    pub(crate) pinned: BTreeSet<String>,
}

impl Prepared {
    /// # Errors
    /// A type that Delta cannot keep, in words for the quarantine.
    pub(crate) fn new(block: &Block) -> Result<Self, String> {
        let schema = block
            .batches
            .first()
            .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        let mut taken = HashSet::new();
        let mut kept = Vec::new();
        let mut fields = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            // A column with neither a heading nor a value says nothing.
            if field.data_type().is_null() && is_unnamed(field.name()) {
                continue;
            }
            let name = unique(clean_column(field.name()), index, &mut taken);
            let data_type = storable(field.data_type());
            let mut metadata = HashMap::new();
            if name != *field.name() {
                metadata.insert(ORIGINAL_KEY.to_owned(), field.name().clone());
            }
            for key in [DATE_ORDER_KEY, DECIMAL_KEY, UNIT_KEY] {
                if let Some(written) = field.metadata().get(key) {
                    metadata.insert(key.to_owned(), written.clone());
                }
            }
            fields.push(Field::new(name, data_type, true).with_metadata(metadata));
            kept.push(index);
        }
        if fields.is_empty() {
            return Err("it has no column with a name or a value".to_owned());
        }
        let valued: Vec<Field> = fields.iter().filter(|f| !f.data_type().is_null()).cloned().collect();
        settled(&Schema::new(valued)).map_err(|e| format!("a column's type has no place in a table: {e}"))?;
        let batches = block
            .batches
            .iter()
            .map(|batch| {
                kept.iter()
                    .filter_map(|i| batch.columns().get(*i))
                    .map(rebuild)
                    .collect::<Result<Vec<_>, _>>()
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            fields,
            batches,
            batch_rows: block.batches.iter().map(RecordBatch::num_rows).collect(),
            staged: None,
            folder_texts: HashMap::new(),
            folders: Vec::new(),
            pinned: BTreeSet::new(),
        })
    }

    /// The same with what the file's folders say. A column that the file has itself comes first: where it holds something
    /// else, the folder's value stands in `folder_<name>`.
    pub(crate) fn with_folders(mut self, folders: &[FolderColumn]) -> Self {
        for folder in folders {
            let mut name = folder.name().to_owned();
            if self.fields.iter().any(|field| *field.name() == name) {
                if self.says_the_same(&name, folder) {
                    continue;
                }
                let taken: HashSet<&str> = self.fields.iter().map(|field| field.name().as_str()).collect();
                let mut other = format!("folder_{name}");
                while taken.contains(other.as_str()) {
                    other.push('_');
                }
                name = other;
            }
            for (batch, rows) in self.batches.iter_mut().zip(&self.batch_rows) {
                batch.push(folder.array(*rows));
            }
            self.fields.push(folder.field(&name));
            self.folders.push((name.clone(), folder.clone()));
            if let Some(text) = folder.text() {
                self.folder_texts.insert(name, text.to_owned());
            }
        }
        self
    }

    /// Whether each row of the file's own column holds what the folder says.
    fn says_the_same(&self, name: &str, folder: &FolderColumn) -> bool {
        self.column(name).iter().all(|own| {
            let said = folder.array(own.len());
            cast(&said, own.data_type()).is_ok_and(|said| said.null_count() == own.null_count() && &said == *own)
        })
    }

    /// The same with the columns for which settings beside the file name a type.
    pub(crate) fn with_pinned<'p>(mut self, names: impl Iterator<Item = &'p String>) -> Self {
        let own = |name: &&String| self.fields.iter().any(|field| field.name() == *name);
        self.pinned = names.filter(own).cloned().collect();
        self
    }

    pub(crate) fn rows(&self) -> u64 {
        match &self.staged {
            Some(staged) => staged.rows(),
            None => self.batch_rows.iter().map(|n| *n as u64).sum(),
        }
    }

    /// Every batch's array of one column.
    pub(crate) fn column(&self, name: &str) -> Vec<&ArrayRef> {
        let Some(index) = self.fields.iter().position(|f| f.name() == name) else {
            return Vec::new();
        };
        self.batches.iter().filter_map(|b| b.get(index)).collect()
    }
}

pub(super) fn is_unnamed(heading: &str) -> bool {
    heading
        .strip_prefix("column_")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn unique(name: String, index: usize, taken: &mut HashSet<String>) -> String {
    let base = if name.is_empty() {
        format!("column_{}", index + 1)
    } else {
        name
    };
    let mut name = base.clone();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{base}_{count}");
    }
    name
}

/// The type [`rebuild`] gives: names inside nested types are cleaned, everything inside may be null.
fn storable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) if fields.is_empty() => DataType::Utf8,
        DataType::Struct(fields) => DataType::Struct(inner_fields(fields)),
        DataType::List(field) | DataType::LargeList(field) => {
            DataType::List(Arc::new(Field::new("element", inner(field.data_type()), true)))
        }
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

fn inner(data_type: &DataType) -> DataType {
    if data_type.is_null() {
        DataType::Utf8
    } else {
        storable(data_type)
    }
}

fn inner_fields(fields: &Fields) -> Fields {
    let mut taken = HashSet::new();
    fields
        .iter()
        .enumerate()
        .map(|(i, f)| {
            Arc::new(Field::new(
                unique(clean_column(f.name()), i, &mut taken),
                inner(f.data_type()),
                true,
            ))
        })
        .collect()
}

fn rebuild(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Struct(fields) if fields.is_empty() => {
            let text: StringArray = (0..array.len()).map(|i| array.is_valid(i).then_some("{}")).collect();
            Ok(Arc::new(text))
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let columns = parts
                .columns()
                .iter()
                .map(rebuild_inner)
                .collect::<Result<Vec<_>, _>>()?;
            let built = StructArray::try_new(inner_fields(fields), columns, parts.nulls().cloned());
            built.map(|a| Arc::new(a) as ArrayRef).map_err(|e| e.to_string())
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let values = rebuild_inner(list.values())?;
            let field = Arc::new(Field::new("element", values.data_type().clone(), true));
            let built = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
            built.map(|a| Arc::new(a) as ArrayRef).map_err(|e| e.to_string())
        }
        DataType::LargeList(field) => {
            rebuild(&cast(array, &DataType::List(Arc::clone(field))).map_err(|e| e.to_string())?)
        }
        other if storable(other) != *other => cast(array, &storable(other)).map_err(|e| e.to_string()),
        _ => Ok(Arc::clone(array)),
    }
}

fn rebuild_inner(array: &ArrayRef) -> Result<ArrayRef, String> {
    if array.data_type().is_null() {
        Ok(new_null_array(&DataType::Utf8, array.len()))
    } else {
        rebuild(array)
    }
}
