//! The schema a principal sees.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::access::Access;

/// Field metadata that may be seen; the rest (statistics, ids, other tools' notes) stays below.
const SHOWN_METADATA: [&str; 4] = ["comment", "labhouse.comment", "labhouse.original", "labhouse.unit"];

/// The visible columns: dictionaries hydrated, metadata stripped but for comments, units and original names, masked columns
/// nullable.
pub fn public_schema(access: &Access) -> SchemaRef {
    let fields = access
        .columns
        .iter()
        .filter_map(|at| access.schema.fields().get(*at))
        .map(|field| {
            let masked = access.masks.contains_key(field.name());
            let nullable = field.is_nullable() || masked;
            let kept = |(k, _): &(&String, &String)| SHOWN_METADATA.contains(&k.as_str());
            let metadata: HashMap<String, String> = field
                .metadata()
                .iter()
                .filter(kept)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let data_type = access.types.get(field.name()).unwrap_or(field.data_type());
            Field::new(field.name(), public_type(data_type), nullable).with_metadata(metadata)
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A type without dictionaries (their values outlive the rows that used them) and without metadata inside.
pub(crate) fn public_type(data_type: &DataType) -> DataType {
    let plain = |f: &FieldRef| Arc::new(Field::new(f.name(), public_type(f.data_type()), f.is_nullable()));
    match data_type {
        DataType::Dictionary(_, value) => public_type(value),
        DataType::List(item) => DataType::List(plain(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        other => other.clone(),
    }
}
