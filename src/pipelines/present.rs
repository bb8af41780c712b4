//! The tags that a view has at this moment: those it was made with, and what its sources became since.
//!
//! A tag set on a source closes the view at once, not with its next refresh. Nothing opens before that: the rows are of then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use arrow::datatypes::{DataType, Field, Schema};
use labhouse_catalog::{CatalogSnapshot, LakeTable, TableName};
use labhouse_policies::{TableObject, Tags};
use parking_lot::Mutex;

use super::View;
use crate::models::{LoadedModel, ModelSnapshot};
use crate::query::lineage::{Lineage, Roots};
use crate::query::tags;
use crate::session::{World, table_object};

/// Tables as policies see them on one pair of snapshots, worked out once for all statements on it.
#[derive(Default)]
pub(crate) struct Met {
    catalog: Weak<CatalogSnapshot>,
    models: Weak<ModelSnapshot>,
    objects: Mutex<BTreeMap<TableName, TableObject>>,
}

impl Met {
    pub(crate) fn on(catalog: &Arc<CatalogSnapshot>, models: &Arc<ModelSnapshot>) -> Self {
        Self {
            catalog: Arc::downgrade(catalog),
            models: Arc::downgrade(models),
            objects: Mutex::default(),
        }
    }

    /// Whether it is of these very snapshots.
    pub(crate) fn is_of(&self, catalog: &Arc<CatalogSnapshot>, models: &Arc<ModelSnapshot>) -> bool {
        self.catalog.as_ptr() == Arc::as_ptr(catalog) && self.models.as_ptr() == Arc::as_ptr(models)
    }
}

impl World {
    /// A table as policies see it: a view with the strictest of its own tags and of those that its sources have now, and theirs.
    pub(crate) fn object(&self, table: &LakeTable) -> TableObject {
        let mut present = Present {
            world: self,
            known: BTreeMap::new(),
        };
        let object = present.object(table);
        if self.keeps(table) {
            let mut met = self.met.objects.lock();
            met.entry(table.name().clone()).or_insert_with(|| object.clone());
        }
        object
    }

    /// Whether the table is the one of these snapshots: an older version of it, or one that a transaction made, is another.
    fn keeps(&self, table: &LakeTable) -> bool {
        let current = self.catalog.table(&table.name().schema, &table.name().table);
        self.met.is_of(&self.catalog, &self.models)
            && current.is_some_and(|current| std::ptr::eq(Arc::as_ptr(current), table))
    }

    /// The tags that grants of a model are decided by: those of its training data when it was trained, and those that they have now.
    pub(crate) fn model_tags(&self, model: &LoadedModel) -> Tags {
        let mut present = Present {
            world: self,
            known: BTreeMap::new(),
        };
        present.model_tags(model)
    }
}

/// The tables that one question met already.
struct Present<'a> {
    world: &'a World,
    known: BTreeMap<TableName, TableObject>,
}

/// Tags of the sources, as an outcome made now would have them, and whether all sources are known.
struct Inherited {
    table: Tags,
    columns: BTreeMap<String, Tags>,
    complete: bool,
}

impl Present<'_> {
    fn object(&mut self, table: &LakeTable) -> TableObject {
        if self.world.keeps(table)
            && let Some(met) = self.world.met.objects.lock().get(table.name())
        {
            return met.clone();
        }
        let mut object = table_object(table);
        let Some(view) = View::of(table) else { return object };
        if let Some(known) = self.known.get(table.name()) {
            return known.clone();
        }
        // Whoever made a view of itself meets it here, without end otherwise.
        self.known.insert(table.name().clone(), object.clone());
        let now = self.inherited(&view, Lineage::of(table).as_ref(), &object);
        object.tags = stricter(&object.tags, &view.table_tags, &now.table, now.complete);
        let none = Tags::new();
        let fields = object.schema.fields().iter();
        let columns = fields.map(|field| {
            let name = field.name();
            let of = |tags: &BTreeMap<String, Tags>| tags.get(name).unwrap_or(&none).clone();
            let (own, before) = (of(&object.column_tags), of(&view.column_tags));
            (name.clone(), stricter(&own, &before, &of(&now.columns), now.complete))
        });
        object.column_tags = columns.filter(|(_, tags)| !tags.is_empty()).collect();
        self.known.insert(table.name().clone(), object.clone());
        object
    }

    fn model_tags(&mut self, model: &LoadedModel) -> Tags {
        let (world, record) = (self.world, model.record());
        let sources = record.data.keys().filter_map(|table| {
            let (schema, name) = table.split_once('.')?;
            let found = world.catalog.table(schema, name)?;
            Some(self.object(found))
        });
        let sources: Vec<TableObject> = sources.collect();
        if sources.is_empty() {
            return record.tags.clone();
        }
        let fields = record.columns.keys().map(|name| Field::new(name, DataType::Null, true));
        let (schema, own) = tags::inherit(&Schema::new(fields.collect::<Vec<_>>()), &sources, &[]);
        tags::merge([&record.tags, &tags::all(&schema, &own)].into_iter())
    }

    fn inherited(&mut self, view: &View, lineage: Option<&Lineage>, object: &TableObject) -> Inherited {
        let world = self.world;
        let (mut sources, mut complete) = (Vec::new(), true);
        for source in view.sources.keys() {
            let found = source
                .split_once('.')
                .and_then(|(schema, table)| world.catalog.table(schema, table));
            match found {
                Some(table) => sources.push(self.object(&Arc::clone(table))),
                None => complete = false,
            }
        }
        for model in &view.models {
            let found = model.split_once('.').and_then(|(schema, table)| {
                let name = TableName {
                    schema: schema.to_owned(),
                    table: table.to_owned(),
                };
                world.models.get(&name)
            });
            match found {
                Some(model) => sources.push(TableObject {
                    tags: self.model_tags(&model),
                    column_tags: BTreeMap::new(),
                    ..object.clone()
                }),
                None => complete = false,
            }
        }
        let fields = object.schema.fields().iter();
        let plain = fields.map(|field| Arc::new(Field::clone(field).with_metadata(Default::default())));
        let schema = match view.step {
            None => Schema::new(plain.collect::<Vec<_>>()),
            // Of what a step gives, all has all tags.
            Some(_) => Schema::empty(),
        };
        let known = schema
            .fields()
            .iter()
            .filter_map(|field| Some(lineage?.roots(field.name())));
        let roots: Vec<Roots> = known.collect();
        let (schema, table) = tags::inherit(&schema, &sources, &roots);
        let columns = schema.fields().iter();
        Inherited {
            table,
            columns: columns
                .map(|field| (field.name().clone(), tags::of_field(field)))
                .collect(),
            complete,
        }
    }
}

/// `own` tags of an outcome, and of those that its sources gave it `before` what they would give other than that `now`: where
/// that changed, both hold. Of sources that are not all known, only what is new counts.
fn stricter(own: &Tags, before: &Tags, now: &Tags, complete: bool) -> Tags {
    let mut strict = own.clone();
    let alternatives = |tags: &Tags, key: &String| -> BTreeSet<String> {
        let value = tags.get(key).map_or("", String::as_str);
        value.split('|').map(str::to_owned).collect()
    };
    for key in before.keys().chain(now.keys()) {
        let (was, is) = (alternatives(before, key), alternatives(now, key));
        let is_new = is.iter().any(|one| !one.is_empty() && !was.contains(one));
        if was == is || !(complete || is_new) {
            continue;
        }
        let one = |tags: &Tags| {
            let found = tags.get(key).map(|value| (key.clone(), value.clone()));
            found.into_iter().collect::<Tags>()
        };
        strict.extend(tags::merge([one(own), one(now)].iter()));
    }
    strict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(value: &str) -> Tags {
        [("k".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn a_view_takes_what_its_sources_became_and_opens_for_nothing() {
        let none = Tags::new();
        for (own, before, now, complete, wanted) in [
            // Nothing changed: what was set on the view stays.
            (t("mine"), t("a"), t("a"), true, t("mine")),
            (none.clone(), t("a"), t("a"), true, none.clone()),
            // A tag that is set, changed, or taken away.
            (none.clone(), none.clone(), t("a"), true, t("|a")),
            (t("a"), t("a"), t("b"), true, t("a|b")),
            (t("a"), t("a"), none.clone(), true, t("|a")),
            // A source is gone: nobody knows what it would have given.
            (t("a"), t("a"), none.clone(), false, t("a")),
            (none.clone(), none.clone(), t("a"), false, t("|a")),
            (t("|a"), t("|a"), t("a"), false, t("|a")),
        ] {
            assert_eq!(
                stricter(&own, &before, &now, complete),
                wanted,
                "{own:?} {before:?} {now:?}"
            );
        }
    }
}
