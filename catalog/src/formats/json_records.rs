//! Nested JSON documents (Allotrope's simple models, exports of instruments): which array of objects is the
//! measurements, with the scalars of the objects around it as columns.
//!
//! Only for documents that are nested throughout: an object with several scalars of its own is one record (an experiment
//! with its reagents), and [`super::json_file`] reads it so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

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
            rows: named(rows),
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

/// A scalar of a record, or of an object around it.
#[derive(Debug, Clone)]
struct Cell {
    /// Names of the members on the way to it, the outermost first, but for those in its label.
    place: Rc<[String]>,
    label: String,
    value: Json,
}

/// A record: scalars of the objects around it, then its own.
#[derive(Debug)]
struct Flat {
    around: Vec<Cell>,
    own: Vec<Cell>,
}

/// The records as objects. What comes from one place has one name in all of them, whatever else a record has or lacks: its label, and
/// where two places have the same label as much of the second one's way before it as tells them apart. The records' own members
/// are named first.
fn named(rows: Vec<Flat>) -> Vec<Json> {
    let mut names: HashMap<(Rc<[String]>, String), String> = HashMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    let own = rows.iter().flat_map(|row| &row.own);
    for cell in own.chain(rows.iter().flat_map(|row| &row.around)) {
        let place = (Rc::clone(&cell.place), cell.label.clone());
        names.entry(place).or_insert_with(|| {
            let mut name = cell.label.clone();
            let mut further = cell.place.iter().rev();
            let mut number = 2;
            while !taken.insert(name.clone()) {
                if let Some(before) = further.next() {
                    name = format!("{before} {name}");
                } else {
                    name = format!("{}_{number}", cell.label);
                    number += 1;
                }
            }
            name
        });
    }
    let object = |row: Flat| {
        let mut members: Vec<(String, Json)> = Vec::with_capacity(row.own.len() + row.around.len());
        let mut taken: HashSet<String> = HashSet::new();
        for cell in row.own.into_iter().chain(row.around) {
            let name = names.get(&(cell.place, cell.label)).cloned().unwrap_or_default();
            // A document may give one member several times.
            let mut unique = name.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            members.push((unique, cell.value));
        }
        Json::Object(members)
    };
    rows.into_iter().map(object).collect()
}

/// Different values of the records' own members.
fn distinct(rows: &[Flat]) -> usize {
    let cells = rows.iter().flat_map(|row| &row.own);
    let values: HashSet<(&str, String)> = cells
        .filter_map(|cell| Some((cell.label.as_str(), cell.value.to_cell()?)))
        .collect();
    values.len()
}

/// Collects the records below an object. `path` names the members on the way, `around` holds what is constant there.
fn walk(members: &[(String, Json)], path: &mut Vec<String>, around: &[Cell], found: &mut Found) {
    let mut inside: Vec<Cell> = around.to_vec();
    flatten(members, &mut path.clone(), path.len(), &mut inside);
    descend(members, path, &inside, found);
}

fn descend(members: &[(String, Json)], path: &mut Vec<String>, around: &[Cell], found: &mut Found) {
    for (name, value) in members {
        path.push(name.clone());
        match value {
            Json::Object(below) if json_cube::is_cube(below) => {
                let identifiers = |cell: &&Cell| cell.label.ends_with("identifier");
                let around: Vec<Cell> = around.iter().filter(identifiers).cloned().collect();
                let points = json_cube::points(below).unwrap_or_default();
                found.around_bytes = found
                    .around_bytes
                    .saturating_add(bytes(&around).saturating_mul(points.len()));
                if found.around_bytes > AROUND_BYTES_MAX {
                    return;
                }
                found.cubes.insert(path.clone());
                let place: Rc<[String]> = path.as_slice().into();
                let flat = |own: Vec<(String, Json)>| Flat {
                    around: around.clone(),
                    own: own
                        .into_iter()
                        .map(|(label, value)| Cell {
                            place: Rc::clone(&place),
                            label,
                            value,
                        })
                        .collect(),
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
                    found.around_bytes += bytes(around);
                    if found.around_bytes > AROUND_BYTES_MAX {
                        return;
                    }
                    let mut own = Vec::new();
                    flatten(below, &mut path.clone(), path.len(), &mut own);
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

/// About how many bytes cells take.
fn bytes(cells: &[Cell]) -> usize {
    cells.iter().map(|cell| cell.label.len() + size(&cell.value)).sum()
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
/// records of their own. `path` leads to the object, its first `outside` members to the record it is of; a label has the last of the others.
fn flatten(members: &[(String, Json)], path: &mut Vec<String>, outside: usize, flat: &mut Vec<Cell>) {
    let (place, prefix) = match path.split_last() {
        Some((last, before)) if path.len() > outside => (before, format!("{last} ")),
        _ => (path.as_slice(), String::new()),
    };
    let place: Rc<[String]> = place.into();
    let cell = |label: String, value: &Json| Cell {
        place: Rc::clone(&place),
        label,
        value: value.clone(),
    };
    for (name, value) in members {
        let named = format!("{prefix}{name}");
        match value {
            Json::Object(below) if is_quantity(below) => {
                flat.extend(below.iter().map(|(key, value)| match key == VALUE_KEY {
                    true => cell(named.clone(), value),
                    false => cell(format!("{named} {key}"), value),
                }));
            }
            Json::Object(below) if json_cube::is_cube(below) => {
                let label = below.iter().filter(|(key, value)| key == "label" && value.is_scalar());
                flat.extend(label.map(|(key, value)| cell(format!("{named} {key}"), value)));
            }
            Json::Object(below) => {
                path.push(name.clone());
                flatten(below, path, outside, flat);
                path.pop();
            }
            Json::List(_) if is_records(value) => {}
            other => flat.push(cell(named, other)),
        }
    }
}

fn is_quantity(members: &[(String, Json)]) -> bool {
    members.iter().any(|(key, _)| key == VALUE_KEY)
        && members
            .iter()
            .all(|(key, value)| (key == VALUE_KEY || key == UNIT_KEY || key.starts_with('@')) && value.is_scalar())
}
