//! What a table or a model inherits from the tables it was made of.
//!
//! A tag's value may hold alternatives joined by `|`; an empty one stands for a source without that tag. Policies
//! read them strictly: a grant by tag needs every alternative to match, a deny needs one. So neither joining a tagged
//! table with an untagged one nor with a differently tagged one opens anything, and no deny is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ResolvedTableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use labhouse_policies::{TableObject, Tags};

use super::lineage::Roots;
use super::{QueryError, errors, scans};
use crate::system::{PROFILES, SYSTEM};

/// The metadata key of a tag on a column or a table.
pub(crate) const TAG: &str = "labhouse.tag.";
/// The tag that names whoever is to be asked about a table.
pub(crate) const OWNER: &str = "owner";
/// Where a column's comment and unit stand in its field.
pub(crate) const COMMENTS: [&str; 2] = ["comment", "labhouse.comment"];
pub(crate) const UNITS: [&str; 2] = ["unit", "labhouse.unit"];

/// Tags as the properties or column metadata that carry them.
pub(crate) fn properties(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter()
        .map(|(key, value)| (format!("{TAG}{key}"), value.clone()))
        .collect()
}

/// The outcome's schema, with its columns' tags as metadata, and its own tags.
///
/// A tagged source column passes its tags to every column of the outcome whose values come from it, by whatever name, as `roots` say:
/// one for each column of the schema, or none at all where that is not known. One whose values nothing holds passes them to the
/// column of its name; where there is none it may have been renamed, computed with or chosen by, so the whole outcome takes
/// them. What comes from a function of tables may hold any of them.
pub(crate) fn inherit(schema: &Schema, sources: &[TableObject], roots: &[Roots]) -> (SchemaRef, Tags) {
    let mut whole = merge(sources.iter().map(|source| &source.tags));
    let mut columns: Vec<Vec<&Tags>> = vec![Vec::new(); schema.fields().len()];
    for source in sources {
        let ResolvedTableReference { schema: of, table, .. } = &source.reference;
        for (column, tags) in &source.column_tags {
            let path = format!("{of}.{table}.{column}");
            let holds = |roots: &Roots| roots.others || roots.columns.contains(&path);
            let is_held = roots.iter().any(holds);
            for (at, (field, taken)) in schema.fields().iter().zip(&mut columns).enumerate() {
                if roots.get(at).is_some_and(holds) || (!is_held && field.name() == column) {
                    taken.push(tags);
                }
            }
            if schema.column_with_name(column).is_none() {
                whole = merge([&whole, tags].into_iter());
            }
        }
    }
    let fields = schema.fields().iter().zip(columns).map(|(field, tags)| {
        let own: HashMap<String, String> = merge(tags.into_iter())
            .into_iter()
            .map(|(key, value)| (format!("{TAG}{key}"), value))
            .collect();
        Field::clone(field).with_metadata(field.metadata().clone().into_iter().chain(own).collect())
    });
    (Arc::new(Schema::new(fields.collect::<Vec<_>>())), whole)
}

/// Whether rows of the sources would be freer in `target` than they were: the tag, as `key=value`, that would be lost.
/// `names` are the target's columns that the columns of `schema`, whose values come from `roots`, fill.
pub(crate) fn loosened(
    target: &TableObject,
    names: &[String],
    schema: &Schema,
    sources: &[TableObject],
    roots: &[Roots],
) -> Option<String> {
    let (kept, whole) = inherit(schema, sources, roots);
    let together = merge([&target.tags, &whole].into_iter()).into_iter();
    let on_table = together
        .filter(|(key, value)| !sources.is_empty() && target.tags.get(key) != Some(value))
        .map(|(key, _)| lost(&key, &whole))
        .next();
    on_table.or_else(|| {
        kept.fields().iter().zip(names).find_map(|(field, name)| {
            let mut own = target.tags.clone();
            own.extend(
                target
                    .column_tags
                    .get(name)
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
            let tags: Tags = of_field(field);
            tags.iter()
                .find(|(key, value)| !value.split('|').all(|one| one.is_empty() || has(&own, key, one)))
                .map(|(key, _)| lost(key, &tags))
        })
    })
}

/// The tag, as `key=value`, of a column that a value would lose in another column of the same table.
pub(crate) fn freer(table: &TableObject, from: &str, to: &str) -> Option<String> {
    let of = |column: &str| table.column_tags.get(column);
    let mut own = table.tags.clone();
    own.extend(of(to).into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    let tags = of(from).filter(|_| from != to)?;
    let loses = |value: &str, key: &str| !value.split('|').all(|one| one.is_empty() || has(&own, key, one));
    let lost_key = tags.iter().find(|(key, value)| loses(value, key))?.0;
    Some(lost(lost_key, tags))
}

fn has(tags: &Tags, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|own| own.split('|').any(|one| one == value))
}

fn lost(key: &str, sources: &Tags) -> String {
    match sources.get(key) {
        Some(value) => format!("{key}={}", value.trim_start_matches('|')),
        None => format!("no {key}"),
    }
}

/// Searches and profiles hold values of any table, and nobody could tell which tags a table made of them would have to keep.
pub(super) fn refuse_untold(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match scans::of(scan) {
                scans::Of::Function(name) if [crate::search::NAME, crate::search::FACETS].contains(&name) => {
                    found = Some(name.to_owned());
                }
                scans::Of::Table(SYSTEM, PROFILES) => found = Some(format!("{SYSTEM}.{PROFILES}")),
                scans::Of::Function(_) | scans::Of::Table(..) | scans::Of::Recursion => {}
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(errors::from_datafusion)?;
    match found {
        None => Ok(()),
        Some(name) => Err(QueryError::Invalid(format!(
            "{name} is for looking: what it tells is not kept in a table, a view, a model or an alert"
        ))),
    }
}

/// The tags that a column carries.
pub(crate) fn of_field(field: &Field) -> Tags {
    let metadata = field.metadata().iter();
    metadata
        .filter_map(|(key, value)| Some((key.strip_prefix(TAG)?.to_owned(), value.clone())))
        .collect()
}

/// All tags of the sources, of tables and columns alike: for what mixes columns, such as a model.
pub(crate) fn all(schema: &Schema, own: &Tags) -> Tags {
    let columns: Vec<Tags> = schema
        .fields()
        .iter()
        .map(|field| of_field(field))
        .filter(|tags: &Tags| !tags.is_empty())
        .collect();
    merge(std::iter::once(own).chain(&columns))
}

/// The tags of an outcome that is made again. `current` are those it has, `before` those its sources gave when it was made
/// last, `now` those they give. What somebody set since stays, what the sources gave follows them, and where both changed
/// both hold.
pub(crate) fn settle(current: &Tags, before: &Tags, now: &Tags) -> Tags {
    let keys: BTreeSet<&String> = current.keys().chain(now.keys()).collect();
    let settled = keys.into_iter().filter_map(|key| {
        let (current, before, now) = (current.get(key), before.get(key), now.get(key));
        let value = if before == now {
            current.cloned()
        } else if current == before {
            now.cloned()
        } else {
            let both = [current, now].map(|value| value.map(|value| Tags::from([(key.clone(), value.clone())])));
            merge(both.iter().flatten()).remove(key)
        };
        // An empty value stands for a tag that the table's properties cannot lose any more.
        Some((key.clone(), value.or_else(|| current.map(|_| String::new()))?))
    });
    settled.collect()
}

/// One set of tags for several sources: each key with every value it has, and the empty one where a source lacks it.
pub(crate) fn merge<'a>(sources: impl Iterator<Item = &'a Tags>) -> Tags {
    let sources: Vec<&Tags> = sources.collect();
    let keys: BTreeSet<&String> = sources.iter().flat_map(|tags| tags.keys()).collect();
    let value = |key: &String| {
        let values = sources.iter().map(|tags| tags.get(key).map_or("", String::as_str));
        let alternatives: BTreeSet<&str> = values.flat_map(|value| value.split('|')).collect();
        alternatives.into_iter().collect::<Vec<_>>().join("|")
    };
    keys.into_iter().map(|key| (key.clone(), value(key))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn source(own: Tags, columns: &[(&str, Tags)]) -> TableObject {
        TableObject {
            reference: ResolvedTableReference {
                catalog: "lab".into(),
                schema: "s".into(),
                table: "t".into(),
            },
            department: "s".into(),
            tags: own,
            column_tags: columns
                .iter()
                .map(|(name, tags)| ((*name).to_owned(), tags.clone()))
                .collect(),
            schema: Arc::new(Schema::empty()),
        }
    }

    #[test]
    fn a_tag_that_one_source_lacks_keeps_an_empty_alternative() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let public = source(tags(&[("sensitivity", "public")]), &[]);
        let (_, both) = inherit(&schema, &[public.clone(), public.clone()], &[]);
        assert_eq!(both["sensitivity"], "public");
        let (_, mixed) = inherit(&schema, &[public, source(Tags::new(), &[])], &[]);
        assert_eq!(mixed["sensitivity"], "|public");
    }

    #[test]
    fn rows_are_not_freer_where_they_go_than_where_they_were() {
        let schema = Schema::new(vec![Field::new("operator", DataType::Utf8, true)]);
        let names = ["operator".to_owned()];
        let public = || source(tags(&[("sensitivity", "public")]), &[]);
        let plain = || source(Tags::new(), &[]);
        let personal = |column: &str| source(Tags::new(), &[(column, tags(&[("pii", "true")]))]);
        for (target, from, wants) in [
            (public(), vec![], None),
            (public(), vec![public()], None),
            (plain(), vec![plain()], None),
            (public(), vec![plain()], Some("no sensitivity")),
            (plain(), vec![public()], Some("sensitivity=public")),
            (plain(), vec![personal("operator")], Some("pii=true")),
            (personal("operator"), vec![personal("operator")], None),
            (source(tags(&[("pii", "|true")]), &[]), vec![personal("email")], None),
            (plain(), vec![personal("email")], Some("pii=true")),
        ] {
            assert_eq!(loosened(&target, &names, &schema, &from, &[]).as_deref(), wants);
        }
    }

    #[test]
    fn what_is_made_again_follows_its_sources_and_keeps_what_was_set() {
        let t = |value: &str| tags(&[("k", value)]);
        let none = Tags::new();
        // Nothing changed in the sources: what was set stays.
        assert_eq!(settle(&t("mine"), &t("a"), &t("a")), t("mine"));
        // The source changed and nobody set anything: it follows, also to nothing and from nothing.
        assert_eq!(settle(&t("a"), &t("a"), &t("b")), t("b"));
        assert_eq!(settle(&none, &none, &t("b")), t("b"));
        assert_eq!(settle(&t("a"), &t("a"), &none), t(""));
        // Both changed: both hold.
        assert_eq!(settle(&t("mine"), &t("a"), &t("b")), t("b|mine"));
    }

    #[test]
    fn a_column_keeps_its_tags_and_a_vanished_one_leaves_them_to_the_whole() {
        let schema = Schema::new(vec![Field::new("operator", DataType::Utf8, true)]);
        let pii = tags(&[("pii", "true")]);
        let (kept, whole) = inherit(&schema, &[source(Tags::new(), &[("operator", pii.clone())])], &[]);
        assert_eq!(kept.field(0).metadata()["labhouse.tag.pii"], "true");
        assert!(whole.is_empty());
        assert_eq!(all(&kept, &whole)["pii"], "|true");
        let (_, whole) = inherit(&schema, &[source(Tags::new(), &[("email", pii)])], &[]);
        assert!(whole["pii"].split('|').any(|value| value == "true"));
    }

    #[test]
    fn a_tag_goes_with_the_values_and_not_with_the_name() {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema = Schema::new(vec![field("sort"), field("kind"), field("run"), field("expected")]);
        let from = |columns: &[&str], others: bool| Roots {
            columns: columns.iter().map(|column| format!("s.{column}")).collect(),
            others,
        };
        let roots = [
            from(&["t.kind"], false),
            from(&["labels.kind"], false),
            from(&["t.run", "t.kind"], false),
            from(&[], true),
        ];
        let pii = tags(&[("pii", "true")]);
        let tagged = source(Tags::new(), &[("kind", pii.clone())]);
        let own = |schema: &Schema| -> Vec<bool> {
            let fields = schema.fields().iter();
            fields.map(|field| !of_field(field).is_empty()).collect()
        };
        let (kept, whole) = inherit(&schema, std::slice::from_ref(&tagged), &roots);
        assert_eq!(own(&kept), [true, false, true, true]);
        assert!(whole.is_empty());
        // By its name alone where nothing holds the values: it was chosen by, or nobody knows.
        let unheld = [from(&[], false), from(&["labels.kind"], false)];
        assert_eq!(
            own(&inherit(&schema, &[tagged], &unheld).0),
            [false, true, false, false]
        );
    }
}
