//! Type-checking of filters and masks against the tables that exist.

use datafusion::execution::session_state::SessionState;

use arrow::datatypes::FieldRef;

use crate::access::TableObject;
use crate::compile::{self, CompileError};
use crate::filters;
use crate::inside::{is_inside, nested_mask};
use crate::nested::{fields, leads_somewhere};
use crate::object::Tags;
use crate::problem::{PolicyErrors, Problem};
use crate::rules::{self, Effect};
use crate::set::PolicySet;

pub(crate) fn verify(set: &PolicySet, state: &SessionState, tables: &[TableObject]) -> PolicyErrors {
    let mut problems = PolicyErrors::new();
    for table in tables {
        let path = [
            &*table.reference.catalog,
            &*table.reference.schema,
            &*table.reference.table,
        ];
        for attached in set
            .engine
            .rules
            .filters
            .iter()
            .filter(|f| f.object.matches(&path, &table.tags))
        {
            let Some(entry) = set.entries.filters.get(&attached.name) else {
                continue;
            };
            if !entry.table.matches(&path, &table.tags) {
                let what = format!(
                    "filter {} is attached to {} but its `table` does not cover it",
                    attached.name, table.reference
                );
                problems.push(Problem::error(
                    rules::FILE,
                    attached.line,
                    what,
                    "widen `table` in filters.toml, or attach another filter",
                ));
                continue;
            }
            if let Err(e) = compile::row_filter(&entry.template, &table.schema, state, set.bindings(None)) {
                problems.push(told(
                    "filter",
                    &attached.name,
                    entry.line,
                    &table.reference.to_string(),
                    e,
                ));
            }
        }
        for field in table.schema.fields() {
            let [catalog, schema, name] = path;
            let object = [catalog, schema, name, field.name().as_str()];
            let mut tags: Tags = table.tags.clone();
            tags.extend(table.column_tags.get(field.name()).cloned().unwrap_or_default());
            for attached in set
                .engine
                .rules
                .masks
                .iter()
                .filter(|m| !is_inside(m) && m.object.matches(&object, &tags))
            {
                let Some(entry) = set.entries.masks.get(&attached.name) else {
                    continue;
                };
                if !entry.column.matches(&object, &tags) {
                    let what = format!(
                        "mask {} is attached to {}.{} but its `column` does not cover it",
                        attached.name,
                        table.reference,
                        field.name()
                    );
                    problems.push(Problem::error(
                        rules::FILE,
                        attached.line,
                        what,
                        "widen `column` in filters.toml, or attach another mask",
                    ));
                    continue;
                }
                if let Err(e) = compile::mask(&entry.how, field.name(), &table.schema, state, set.bindings(None)) {
                    let place = format!("{}.{}", table.reference, field.name());
                    problems.push(told("mask", &attached.name, entry.line, &place, e));
                }
            }
            inner_masks(set, &mut object.to_vec(), field, &tags, state, &mut problems);
        }
        missing_columns(set, table, &path, &mut problems);
    }
    problems
}

/// Masks of the fields inside a column.
fn inner_masks<'a>(
    set: &PolicySet,
    path: &mut Vec<&'a str>,
    column: &'a FieldRef,
    tags: &Tags,
    state: &SessionState,
    problems: &mut PolicyErrors,
) {
    let masks = &set.engine.rules.masks;
    if !masks.iter().any(is_inside) {
        return;
    }
    for field in fields(column.data_type()).into_iter().flatten() {
        path.push(field.name());
        for attached in masks.iter().filter(|m| is_inside(m) && m.object.matches(path, tags)) {
            let Some(entry) = set.entries.masks.get(&attached.name) else {
                continue;
            };
            if !entry.column.matches(path, tags) {
                let what = format!(
                    "mask {} is attached to {} but its `column` does not cover it",
                    attached.name,
                    path.join("/")
                );
                let remedy = "widen `column` in filters.toml, or attach another mask";
                problems.push(Problem::error(rules::FILE, attached.line, what, remedy));
                continue;
            }
            if let Err(e) = nested_mask(&entry.how, field, state, set.bindings(None)) {
                problems.push(told("mask", &attached.name, entry.line, &path.join("/"), e));
            }
        }
        inner_masks(set, path, field, tags, state, problems);
        path.pop();
    }
}

/// A denial or mask of a column that the table does not have protects nothing: most often a misspelt name.
fn missing_columns(set: &PolicySet, table: &TableObject, path: &[&str; 3], problems: &mut PolicyErrors) {
    let denials = set
        .engine
        .rules
        .grants
        .iter()
        .filter(|g| g.effect == Effect::Deny)
        .map(|g| (g.line, &g.object));
    let masks = set.engine.rules.masks.iter().map(|m| (m.line, &m.object));
    for (line, object) in denials.chain(masks) {
        let Some(parts) = object.exact() else { continue };
        let [catalog, schema, name, column, inner @ ..] = parts.as_slice() else {
            continue;
        };
        if [catalog, schema, name] != path.each_ref() {
            continue;
        }
        let field = table.schema.field_with_name(column);
        let column = [&[*column], inner].concat().join("/");
        if !field.is_ok_and(|field| leads_somewhere(field.data_type(), inner)) {
            let what = format!(
                "{} has no column `{column}`, so the line protects nothing",
                table.reference
            );
            problems.push(Problem::warning(
                rules::FILE,
                line,
                what,
                "correct the name, or remove the line",
            ));
        }
    }
}

fn told(kind: &str, name: &str, line: usize, place: &str, e: CompileError) -> Problem {
    Problem::error(
        filters::FILE,
        line,
        format!("{kind} {name} does not work on {place}: {}", e.what),
        e.remedy,
    )
}
