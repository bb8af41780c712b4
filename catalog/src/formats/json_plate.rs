//! Plates in JSON as lists of rows, without any name of a well: `{"plate": "P1", "od": [[0.1, …12], …8]}`. Only a shape that plates
//! of 96 wells and more have, and no other table, is evidence enough.

use crate::formats::blocks;
use crate::formats::json::Json;

type Members = Vec<(String, Json)>;

/// A record for each well, with the values of all plates of one shape, and what else is said; `None` where there are none.
/// `is_wrapper`: the member's name says nothing of its values.
pub(super) fn wells(members: &[(String, Json)], is_wrapper: impl Fn(&str) -> bool) -> Option<Members> {
    let plates: Vec<(&str, Vec<&[Json]>)> = members
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), plate(value)?)))
        .collect();
    let (first, others) = plates.split_first()?;
    let shape = |plate: &[&[Json]]| (plate.len(), plate.first().map(|row| row.len()));
    if others.iter().any(|(_, other)| shape(other) != shape(&first.1)) {
        return None;
    }
    let is_plate = |name: &str| plates.iter().any(|(plate, _)| *plate == name);
    let mut all: Members = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| !is_plate(name)) {
        match value {
            Json::List(_) => return None,
            other => all.push((name.clone(), other.clone())),
        }
    }
    let mut records = Vec::new();
    for (at, row) in first.1.iter().enumerate() {
        for column in 0..row.len() {
            let mut record: Members = vec![("well".to_owned(), Json::Text(blocks::well_name(at, column)))];
            for (name, plate) in &plates {
                let value = plate.get(at).and_then(|row| row.get(column)).cloned();
                let name = if plates.len() == 1 && is_wrapper(name) {
                    "value"
                } else {
                    name
                };
                record.push((name.to_owned(), value.unwrap_or(Json::Null)));
            }
            records.push(Json::Object(record));
        }
    }
    all.push(("records".to_owned(), Json::List(records)));
    Some(all)
}

/// The rows of numbers of a plate.
pub(super) fn plate(value: &Json) -> Option<Vec<&[Json]>> {
    let Json::List(rows) = value else { return None };
    let is_value = |cell: &Json| matches!(cell, Json::Int(_) | Json::Float(_) | Json::Null);
    let rows: Vec<&[Json]> = rows
        .iter()
        .map(|row| match row {
            Json::List(cells) if cells.iter().all(is_value) => Some(cells.as_slice()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let columns = rows.first()?.len();
    let is_whole = rows.iter().all(|row| row.len() == columns);
    let has_values = rows.iter().any(|row| row.iter().any(|cell| *cell != Json::Null));
    (is_whole && has_values && blocks::is_sure_plate(rows.len(), columns)).then_some(rows)
}
