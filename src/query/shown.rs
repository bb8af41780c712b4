//! A new table's columns as its author will see them.
//!
//! Whoever fills a column that is shown to him masked learns what each value's mask is, and with it what others' values are: he
//! joins his own to theirs. An INSERT is refused for it, so making the table with its rows is, too.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use labhouse_catalog::{LakeTable, TableName};
use labhouse_policies::{Action, TableAccess, TableObject, Tags};

use super::{QueryError, tags};
use crate::session::{Governed, new_object, table_object};

/// Refuses a table that is to have these columns and `own` tags where its author would see a column altered or not at all. One that
/// he would not see himself tells him nothing. `existing` is what it replaces: department and tags stay.
pub(super) fn refuse_altered(
    governed: &Governed,
    name: &TableName,
    existing: Option<&LakeTable>,
    schema: &Schema,
    own: &Tags,
) -> Result<(), QueryError> {
    let new = new_object(name);
    let mut object = existing.map_or(new, table_object);
    object
        .tags
        .extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    let fields = schema.fields().iter();
    let tagged = fields.map(|field| (field.name().clone(), tags::of_field(field)));
    let object = TableObject {
        column_tags: tagged.filter(|(_, tags)| !tags.is_empty()).collect(),
        schema: Arc::new(as_scanned(schema)),
        ..object
    };
    let policies = &governed.world().policies;
    let TableAccess::Open(access) = policies.table(governed.who(), &object, governed.system(), Action::Select) else {
        return Ok(());
    };
    let altered = schema.fields().iter().enumerate().find_map(|(at, field)| {
        let is_masked = access.masks.contains_key(field.name());
        let how = match access.columns.contains(&at) {
            true if is_masked => "be shown to you masked",
            true => return None,
            false => "be hidden from you",
        };
        Some((field.name(), how))
    });
    match altered {
        None => Ok(()),
        Some((column, how)) => Err(QueryError::Denied(format!(
            "{column} of {name} would {how}, so you cannot fill it: give it another name with AS, or ask an administrator for a grant without that"
        ))),
    }
}

/// The columns as a table of the lake has them.
fn as_scanned(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Field::clone(field).with_data_type(DataType::Utf8View),
        _ => Field::clone(field),
    });
    Schema::new(fields.collect::<Vec<_>>())
}
