//! The documents of one principal: what his governed view shows of tables, columns and models.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, FieldRef};
use labhouse_catalog::KIND_KEY;
use labhouse_catalog::search::{Document, Field};
use labhouse_policies::Tags;

use super::samples::Sampled;
use crate::models::LoadedModel;
use crate::query::tags::{COMMENTS, UNITS, of_field};
use crate::session::{Governed, Shown};

/// Names of fields inside one column that are searched for.
const PARTS_MAX: usize = 200;
const ORIGINAL: &str = "labhouse.original";

/// What a row of an answer says of a thing.
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) schema: Option<String>,
    /// Of the table, the model or the function.
    pub(super) name: String,
    pub(super) column: Option<String>,
    pub(super) comment: Option<String>,
    /// `key=value`, as far as they are the reader's to know.
    pub(super) tags: Vec<String>,
    pub(super) unit: Option<String>,
}

/// Everything that `governed`'s principal may find. Tables and models come first: if there is no room for all, columns are left out.
pub(super) fn gather(governed: &Governed, shown: &[Shown], sampled: &Sampled) -> Vec<(Entry, Document)> {
    let mut found: Vec<(Entry, Document)> = shown.iter().map(|one| table(governed, one)).collect();
    let models = governed.shown_models();
    found.extend(models.iter().map(|(known, features)| model(governed, known, *features)));
    let functions = governed.shown_functions().into_iter();
    // Of a model that he may look into the function is told with it.
    let others = functions.filter(|(_, of)| !models.iter().any(|(known, _)| Arc::ptr_eq(known, of)));
    found.extend(others.map(|(name, _)| function(name)));
    found.extend(shown.iter().flat_map(|one| columns(one, sampled)));
    found
}

fn table(governed: &Governed, shown: &Shown) -> (Entry, Document) {
    let known = governed.world().catalog.table(&shown.schema, &shown.table);
    let comment = known.and_then(|table| table.description().map(str::to_owned));
    let mut document = Document::default()
        .with(Field::Name, &shown.table)
        .with(Field::Schema, &shown.schema)
        .with(Field::Comment, comment.as_deref().unwrap_or_default());
    let tags = governed
        .object(&shown.schema, &shown.table)
        .map(|object| object.tags)
        .unwrap_or_default();
    add_tags(&mut document, &tags);
    for field in shown.provider.schema().fields() {
        document.add(Field::Column, field.name());
    }
    let entry = Entry {
        kind: "table",
        schema: Some(shown.schema.clone()),
        name: shown.table.clone(),
        column: None,
        comment,
        tags: listed(&tags),
        unit: None,
    };
    (entry, document)
}

fn columns(shown: &Shown, sampled: &Sampled) -> Vec<(Entry, Document)> {
    // Tags are not in the schema that a reader sees; of a column that he sees they are his to know.
    let raw = Arc::clone(&shown.access.schema);
    let of_column = |field: &FieldRef| {
        let comment = first(field, &COMMENTS).map(str::to_owned);
        let mut document = Document::default()
            .with(Field::Name, field.name())
            .with(Field::Table, &shown.table)
            .with(Field::Original, first(field, &[ORIGINAL]).unwrap_or_default())
            .with(Field::Comment, comment.as_deref().unwrap_or_default())
            .with(Field::Unit, first(field, &UNITS).unwrap_or_default());
        let tags = raw.field_with_name(field.name()).map(of_field).unwrap_or_default();
        add_tags(&mut document, &tags);
        // Found by looking at all values, so it tells of those that a filter hides or a mask changes.
        let is_whole = shown.access.row_filter.is_none()
            && !shown.access.masks.contains_key(field.name())
            && !shown.access.types.contains_key(field.name());
        let kind = raw
            .field_with_name(field.name())
            .ok()
            .and_then(|raw| raw.metadata().get(KIND_KEY));
        if let Some(kind) = kind.filter(|_| is_whole) {
            document.add(Field::Tag, kind);
        }
        let mut parts = Vec::new();
        inside(field.data_type(), &mut parts);
        parts.iter().for_each(|part| document.add(Field::Part, part));
        for value in sampled.of_column(&shown.schema, &shown.table, field.name()) {
            document.add(Field::Value, value);
        }
        let entry = Entry {
            kind: "column",
            schema: Some(shown.schema.clone()),
            name: shown.table.clone(),
            column: Some(field.name().clone()),
            comment,
            tags: listed(&tags),
            unit: first(field, &UNITS).map(str::to_owned),
        };
        (entry, document)
    };
    shown.provider.schema().fields().iter().map(of_column).collect()
}

fn model(governed: &Governed, known: &LoadedModel, features: bool) -> (Entry, Document) {
    let (name, sight) = (known.name(), governed.sight(known));
    let target = Some(known.model().target()).filter(|target| sight.tells(target));
    let function = governed.world().models.function_of(known);
    let mut document = Document::default()
        .with(Field::Name, &name.table)
        .with(Field::Schema, &name.schema)
        .with(Field::Function, function.unwrap_or_default())
        .with(Field::Target, target.unwrap_or_default());
    if features {
        for feature in known.model().features().iter().filter(|f| sight.tells(&f.name)) {
            document.add(Field::Feature, &feature.name);
        }
    }
    let comment = match (target, function) {
        (Some(target), Some(function)) => format!("predicts {target}; ask {function}(…)"),
        (Some(target), None) => format!("predicts {target}"),
        (None, Some(function)) => format!("ask {function}(…)"),
        (None, None) => "a model".to_owned(),
    };
    let entry = Entry {
        kind: "model",
        schema: Some(name.schema.clone()),
        name: name.table.clone(),
        column: None,
        comment: Some(comment),
        tags: Vec::new(),
        unit: None,
    };
    (entry, document)
}

/// A function of a model of which the caller may know no more.
fn function(name: &str) -> (Entry, Document) {
    let entry = Entry {
        kind: "function",
        schema: None,
        name: name.to_owned(),
        column: None,
        comment: None,
        tags: Vec::new(),
        unit: None,
    };
    (entry, Document::default().with(Field::Function, name))
}

fn add_tags(document: &mut Document, tags: &Tags) {
    for (key, value) in tags {
        // Alternatives that came from several sources; an empty value stands for a tag that is no more.
        let values: Vec<&str> = value.split('|').filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            document.add(Field::Tag, &format!("{key} = {}", values.join(" or ")));
        }
    }
}

/// Each value of each tag by itself.
fn listed(tags: &Tags) -> Vec<String> {
    let one = |(key, value): (&String, &String)| {
        let values = value.split('|').filter(|value| !value.is_empty());
        values.map(|value| format!("{key}={value}")).collect::<Vec<_>>()
    };
    tags.iter().flat_map(one).collect()
}

fn first<'a>(field: &'a Column, keys: &[&str]) -> Option<&'a str> {
    let found = keys.iter().find_map(|key| field.metadata().get(*key));
    found.map(String::as_str).filter(|text| !text.is_empty())
}

/// Names of the fields inside a type, as far as the caller sees them.
fn inside(data_type: &DataType, parts: &mut Vec<String>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                if parts.len() >= PARTS_MAX {
                    return;
                }
                parts.push(field.name().clone());
                inside(field.data_type(), parts);
            }
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            inside(item.data_type(), parts)
        }
        _ => {}
    }
}
