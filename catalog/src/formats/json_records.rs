//! Nested JSON documents (Allotrope's simple models, exports of instruments): which array of objects is the
//! measurements, with the scalars of the objects around it as columns.
//!
//! Only for documents that are nested throughout: an object with several scalars of its own is one record (an experiment
//! with its reagents), and [`super::json_file`] reads it so.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::formats::json::Json;
use crate::formats::json_cube;

/// Scalars at the top of a document; an object with more is a record itself.
const TOP_SCALARS_MAX: usize = 2;
/// Tables beside the main one.
const OTHERS_MAX: usize = 16;
/// Bytes of constants repeated in the records; more would multiply one file's size by the number of its records.
const AROUND_BYTES_MAX: usize = 1 << 28;
/// Members of `{"value": 1.5, "unit": "mL"}`.
const VALUE_KEY: &str = "value";
const UNIT_KEY: &str = "unit";

/// Records of one array, flat.
#[derive(Debug)]
pub(super) struct Records {
    /// The name of the array.
    pub(super) name: String,
    pub(super) rows: Vec<Json>,
}

/// What a nested document holds.
#[derive(Debug)]
pub(super) struct Document {
    /// At least one, the main one first.
    pub(super) tables: Vec<Records>,
    /// Lists for which there was no room.
    pub(super) left: Vec<String>,
}

/// Arrays of objects as tables; `None` when the document is no nested one.
pub(super) fn of(members: &[(String, Json)]) -> Option<Document> {
    let scalars = members.iter().filter(|(_, value)| value.is_scalar()).count();
    let direct = members.iter().any(|(_, value)| matches!(value, Json::List(_)));
    if scalars > TOP_SCALARS_MAX || direct {
        return None;
    }
    let mut found = Found::default();
    walk(members, &mut Vec::new(), &[], &mut found);
    if found.around_bytes > AROUND_BYTES_MAX {
        return None;
    }
    let mut tables: Vec<(usize, Vec<String>, Vec<Flat>)> = found
        .rows
        .into_iter()
        .map(|(path, rows)| (distinct(&rows), path, rows))
        .filter(|(values, _, _)| *values > 0)
        .collect();
    // What was recorded point by point is never what the points belong to.
    let is_cube = |path: &Vec<String>| found.cubes.contains(path);
    tables.sort_by_key(|(values, path, _)| (is_cube(path), std::cmp::Reverse(*values)));
    let left = tables.split_off(tables.len().min(1 + OTHERS_MAX));
    let left = left
        .iter()
        .map(|(_, path, rows)| format!("{} ({})", path.join("/"), rows.len()))
        .collect();
    let tables: Vec<Records> = tables
        .into_iter()
        .map(|(_, path, rows)| Records {
            name: path.last().cloned().unwrap_or_default(),
            rows: rows.into_iter().map(Flat::into_object).collect(),
        })
        .collect();
    (!tables.is_empty()).then_some(Document { tables, left })
}

/// Records by the way to their array.
#[derive(Debug, Default)]
struct Found {
    rows: BTreeMap<Vec<String>, Vec<Flat>>,
    /// Those that are points of data cubes.
    cubes: BTreeSet<Vec<String>>,
    around_bytes: usize,
}

/// A record: scalars of the objects around it, then its own.
#[derive(Debug)]
struct Flat {
    around: Vec<(String, Json)>,
    own: Vec<(String, Json)>,
}

impl Flat {
    fn into_object(self) -> Json {
        let mut taken: HashSet<String> = HashSet::new();
        let mut members = Vec::with_capacity(self.own.len() + self.around.len());
        // The record's own members keep their names.
        for (name, value) in self.own.into_iter().chain(self.around) {
            let mut unique = name.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            members.push((unique, value));
        }
        Json::Object(members)
    }
}

/// Different values of the records' own members.
fn distinct(rows: &[Flat]) -> usize {
    let cells = rows.iter().flat_map(|row| &row.own);
    let values: HashSet<(&str, String)> = cells
        .filter_map(|(name, value)| Some((name.as_str(), value.to_cell()?)))
        .collect();
    values.len()
}

/// Collects the records below an object. `path` names the members on the way, `around` holds what is constant there.
fn walk(members: &[(String, Json)], path: &mut Vec<String>, around: &[(String, Json)], found: &mut Found) {
    let mut inside: Vec<(String, Json)> = around.to_vec();
    flatten(members, "", &mut inside);
    descend(members, path, &inside, found);
}

fn descend(members: &[(String, Json)], path: &mut Vec<String>, around: &[(String, Json)], found: &mut Found) {
    for (name, value) in members {
        path.push(name.clone());
        match value {
            Json::Object(below) if json_cube::is_cube(below) => {
                let named = |(name, _): &&(String, Json)| name.ends_with("identifier");
                let around: Vec<(String, Json)> = around.iter().filter(named).cloned().collect();
                let bytes: usize = around.iter().map(|(name, value)| name.len() + size(value)).sum();
                let points = json_cube::points(below).unwrap_or_default();
                found.around_bytes = found.around_bytes.saturating_add(bytes.saturating_mul(points.len()));
                if found.around_bytes > AROUND_BYTES_MAX {
                    return;
                }
                found.cubes.insert(path.clone());
                let flat = |own| Flat {
                    around: around.clone(),
                    own,
                };
                found
                    .rows
                    .entry(path.clone())
                    .or_default()
                    .extend(points.into_iter().map(flat));
            }
            Json::Object(below) => descend(below, path, around, found),
            Json::List(items) if is_records(value) => {
                for item in items {
                    let Json::Object(below) = item else { continue };
                    found.around_bytes += around
                        .iter()
                        .map(|(name, value)| name.len() + size(value))
                        .sum::<usize>();
                    if found.around_bytes > AROUND_BYTES_MAX {
                        return;
                    }
                    let mut own = Vec::new();
                    flatten(below, "", &mut own);
                    found.rows.entry(path.clone()).or_default().push(Flat {
                        around: around.to_vec(),
                        own,
                    });
                    walk(below, path, around, found);
                }
            }
            _ => {}
        }
        path.pop();
    }
}

/// About how many bytes a value takes.
fn size(value: &Json) -> usize {
    match value {
        Json::Text(text) => text.len(),
        Json::List(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::Large(_) | Json::Float(_) => 16,
    }
}

fn is_records(value: &Json) -> bool {
    matches!(value, Json::List(items) if !items.is_empty() && items.iter().all(Json::is_object))
}

/// Scalars of an object and of the single objects in it; a value with a unit is two members. Arrays of objects are
/// records of their own.
fn flatten(members: &[(String, Json)], prefix: &str, flat: &mut Vec<(String, Json)>) {
    for (name, value) in members {
        let named = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix} {name}")
        };
        match value {
            Json::Object(below) if is_quantity(below) => {
                for (key, value) in below {
                    let name = if key == VALUE_KEY {
                        named.clone()
                    } else {
                        format!("{named} {key}")
                    };
                    flat.push((name, value.clone()));
                }
            }
            Json::Object(below) if json_cube::is_cube(below) => {
                let label = below.iter().filter(|(key, value)| key == "label" && value.is_scalar());
                flat.extend(label.map(|(key, value)| (format!("{named} {key}"), value.clone())));
            }
            Json::Object(below) => flatten(below, name, flat),
            Json::List(_) if is_records(value) => {}
            other => flat.push((named, other.clone())),
        }
    }
}

fn is_quantity(members: &[(String, Json)]) -> bool {
    members.iter().any(|(key, _)| key == VALUE_KEY)
        && members
            .iter()
            .all(|(key, value)| (key == VALUE_KEY || key == UNIT_KEY || key.starts_with('@')) && value.is_scalar())
}
