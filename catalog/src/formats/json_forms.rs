//! Tables that JSON holds in other forms than a list of records: lists of cells, a list for each column, an object for each
//! key. Each is brought to the usual form; whatever is not clearly one stays as it is.

use std::collections::HashSet;

use crate::formats::json::Json;
use crate::formats::json_file::{WRAPPERS, is_about};
use crate::formats::{blocks, json_plate};

/// Keys that make a list of records out of an object; fewer are members of one record.
const KEYS_MIN: usize = 3;
/// Wells that make a plate out of an object.
const WELLS_MIN: usize = 6;
/// Values of a column; shorter lists are lists.
const COLUMN_MIN: usize = 3;
/// Share of all keys that the objects of a list of records have at least, in halves.
const ALIKE_HALVES: usize = 1;

type Members = Vec<(String, Json)>;

/// The document in the usual form, and what it was; it comes back as it is where it is in that form, or in none.
pub(super) fn usual(document: Json) -> (Json, Option<&'static str>) {
    match document {
        Json::List(rows) => match of_cells(&rows) {
            Some(records) => (records, Some("a list of rows, the first of which names the columns")),
            None => {
                let alone = vec![("value".to_owned(), Json::List(rows))];
                match json_plate::wells(&alone, |_| false) {
                    Some(wells) => (Json::Object(wells), Some("rows of a plate")),
                    None => (alone.into_iter().next().map_or(Json::Null, |(_, rows)| rows), None),
                }
            }
        },
        Json::Object(members) => {
            if let Some(records) = split(&members).or_else(|| within(&members)) {
                return (records, Some("columns and rows apart"));
            }
            let is_wrapper = |name: &str| WRAPPERS.contains(&name.to_lowercase().as_str());
            if let Some(wells) = json_plate::wells(&members, is_wrapper) {
                return (Json::Object(flat(wells)), Some("rows of a plate"));
            }
            if let Some(records) = columns(&members) {
                return (records, Some("a list for each column"));
            }
            if let Some(records) = keyed(&members) {
                return (records, Some("an object for each key"));
            }
            let mut is_plate = false;
            let members = members.into_iter().map(|(name, value)| match &value {
                Json::Object(inside) if are_wells(inside) => {
                    is_plate = true;
                    (name, wells(inside))
                }
                _ => (name, value),
            });
            let members: Members = members.collect();
            (Json::Object(members), is_plate.then_some("a member for each well"))
        }
        other => (other, None),
    }
}

/// `[["well", "od"], ["A1", 0.5]]`.
fn of_cells(rows: &[Json]) -> Option<Json> {
    let (names, rows) = rows.split_first()?;
    let Json::List(names) = names else { return None };
    let names = texts(names)?;
    records(&names, rows)
}

/// Members that name the columns, and those that hold the rows.
const NAMES: [&str; 5] = ["columns", "fields", "header", "headers", "names"];
const ROWS: [&str; 4] = ["data", "rows", "values", "records"];
/// What the name of a column stands under, where more is said of it.
const COLUMN_NAMES: [&str; 4] = ["name", "label", "title", "id"];

/// `{"columns": ["well", "od"], "index": [0], "data": [["A1", 0.5]]}`, as pandas and services write it; names may be objects
/// with a name.
fn split(members: &Members) -> Option<Json> {
    let list = |wanted: &[&str]| {
        members.iter().find_map(|(name, value)| match value {
            Json::List(items) if wanted.contains(&name.to_lowercase().as_str()) => Some((name.as_str(), items)),
            _ => None,
        })
    };
    let ((names_key, names), (rows_key, rows)) = (list(&NAMES)?, list(&ROWS)?);
    let named: Vec<Json> = names
        .iter()
        .map(|name| match name {
            Json::Object(of) => {
                let named = |wanted: &&str| of.iter().find(|(key, _)| key == wanted);
                COLUMN_NAMES.iter().find_map(named).map(|(_, name)| name.clone())
            }
            other => Some(other.clone()),
        })
        .collect::<Option<_>>()?;
    let names = texts(&named)?;
    let Json::List(mut all) = records(&names, rows)? else {
        return None;
    };
    let mut constants = Members::new();
    for (name, value) in members.iter().filter(|(name, _)| name != names_key && name != rows_key) {
        match value {
            Json::List(index) if name == "index" && index.len() == all.len() && !names.contains(&"index") => {
                let place = |at: usize| Json::Int(i64::try_from(at).unwrap_or(-1));
                let counts = index.iter().enumerate().all(|(at, value)| *value == place(at));
                for (record, value) in all.iter_mut().zip(index).filter(|_| !counts) {
                    if let Json::Object(members) = record {
                        members.insert(0, ("index".to_owned(), value.clone()));
                    }
                }
            }
            Json::List(_) => return None,
            other => constants.push((name.clone(), other.clone())),
        }
    }
    if constants.is_empty() {
        return Some(Json::List(all));
    }
    constants.push(("records".to_owned(), Json::List(all)));
    Some(Json::Object(flat(constants)))
}

/// The same one level down: `{"status": "ok", "result": {"columns": […], "rows": […]}}`.
fn within(members: &Members) -> Option<Json> {
    let mut inner = members.iter().filter_map(|(name, value)| match value {
        Json::Object(inside) => Some((name, split(inside)?)),
        _ => None,
    });
    let (table, found) = inner.next()?;
    let others = || members.iter().filter(|(name, _)| name != table);
    if inner.next().is_some() || others().any(|(_, value)| matches!(value, Json::List(_))) {
        return None;
    }
    let mut all: Members = flat(others().cloned().collect());
    match found {
        Json::Object(inside) => {
            let is_known = |name: &String| all.iter().any(|(known, _)| known == name);
            let named = inside.into_iter().map(|(name, value)| match is_known(&name) {
                true => (format!("{table} {name}"), value),
                false => (name, value),
            });
            let named: Members = named.collect();
            all.extend(named);
        }
        records => all.push(("records".to_owned(), records)),
    }
    Some(Json::Object(all))
}

/// Objects beside records as members of their own, but for those that are about the document.
fn flat(members: Members) -> Members {
    let mut all = Members::new();
    for (name, value) in members {
        match value {
            Json::Object(inside) if !is_about(&name, &Json::Object(inside.clone())) => {
                let named = inside.into_iter().map(|(key, value)| (format!("{name} {key}"), value));
                all.extend(flat(named.collect()));
            }
            other => all.push((name, other)),
        }
    }
    all
}

fn texts(cells: &[Json]) -> Option<Vec<&str>> {
    let texts = cells.iter().map(|cell| match cell {
        Json::Text(text) if !text.trim().is_empty() => Some(text.as_str()),
        _ => None,
    });
    let texts: Vec<&str> = texts.collect::<Option<_>>()?;
    let mut seen = HashSet::new();
    (!texts.is_empty() && texts.iter().all(|text| seen.insert(*text))).then_some(texts)
}

/// Rows of as many cells as there are names.
fn records(names: &[&str], rows: &[Json]) -> Option<Json> {
    let record = |row: &Json| match row {
        Json::List(cells) if cells.len() == names.len() => Some(Json::Object(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(cells.iter().cloned())
                .collect(),
        )),
        _ => None,
    };
    let all: Vec<Json> = rows.iter().map(record).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(Json::List(all))
}

/// `{"wavelength": [400, 410], "absorbance": [0.1, 0.25], "sample": "S1"}`: lists of one length, at least one of fractions,
/// for lists of names or of whole numbers are members of a record as often.
fn columns(members: &Members) -> Option<Json> {
    let lists: Vec<(&str, &Vec<Json>)> = members
        .iter()
        .filter_map(|(name, value)| match value {
            Json::List(items) => Some((name.as_str(), items)),
            _ => None,
        })
        .collect();
    let length = lists.first()?.1.len();
    let is_column = |items: &Vec<Json>| items.len() == length && items.iter().all(Json::is_scalar);
    let measured = |items: &Vec<Json>| {
        items
            .iter()
            .any(|item| matches!(item, Json::Float(float) if float.fract() != 0.0))
            && items
                .iter()
                .all(|item| matches!(item, Json::Float(_) | Json::Int(_) | Json::Null))
    };
    let others = members
        .iter()
        .all(|(_, value)| value.is_scalar() || matches!(value, Json::List(_)));
    if length < COLUMN_MIN
        || lists.len() < 2
        || !others
        || !lists.iter().all(|(_, items)| is_column(items))
        || !lists.iter().any(|(_, items)| measured(items))
    {
        return None;
    }
    let rows = (0..length).map(|row| {
        let cell = |items: &Vec<Json>| items.get(row).cloned().unwrap_or(Json::Null);
        Json::Object(
            lists
                .iter()
                .map(|(name, items)| ((*name).to_owned(), cell(items)))
                .collect(),
        )
    });
    let mut all: Members = members.iter().filter(|(_, value)| value.is_scalar()).cloned().collect();
    all.push(("records".to_owned(), Json::List(rows.collect())));
    Some(Json::Object(all))
}

/// `{"EXP-001": {…}, "EXP-002": {…}}`: objects alike, each under a key that counts; wells are such keys.
fn keyed(members: &Members) -> Option<Json> {
    if are_wells(members) {
        return Some(wells(members));
    }
    let counts = |name: &str| name.contains(|character: char| character.is_ascii_digit());
    let objects: Vec<&Members> = members
        .iter()
        .map(|(name, value)| match value {
            Json::Object(inside) if counts(name) && !inside.is_empty() => Some(inside),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let keys: HashSet<&str> = objects
        .iter()
        .flat_map(|inside| inside.iter().map(|(name, _)| name.as_str()))
        .collect();
    let alike = objects
        .iter()
        .all(|inside| inside.len() * 2 >= keys.len() * ALIKE_HALVES);
    (objects.len() >= KEYS_MIN && alike).then(|| under_keys(members, "key"))
}

fn are_wells(members: &Members) -> bool {
    members.len() >= WELLS_MIN && members.iter().all(|(name, _)| blocks::is_well(name))
}

fn wells(members: &Members) -> Json {
    under_keys(members, "well")
}

/// A record for each member, with its key as one more; a key of that name inside goes before it.
fn under_keys(members: &Members, key: &str) -> Json {
    let record = |(name, value): &(String, Json)| {
        let mut record = Members::new();
        let own = match value {
            Json::Object(inside) => inside.clone(),
            other => vec![("value".to_owned(), other.clone())],
        };
        if own.iter().all(|(own, _)| own != key) {
            record.push((key.to_owned(), Json::Text(name.clone())));
        } else {
            record.push((format!("{key}_of_file"), Json::Text(name.clone())));
        }
        record.extend(own);
        Json::Object(record)
    };
    Json::List(members.iter().map(record).collect())
}

/// The text with `NaN` as nothing and infinities as texts, as JSON has neither; `None` where it has none of them. Python
/// writes them all the same.
pub(super) fn without_nan(text: &str) -> Option<String> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
    let mut found = false;
    while let Some(first) = rest.chars().next() {
        let word = |word: &str| (!quoted && rest.starts_with(word)).then_some(word.len());
        let (written, length) = if let Some(length) = word("NaN") {
            ("null", length)
        } else if let Some(length) = word("-Infinity") {
            ("\"-Infinity\"", length)
        } else if let Some(length) = word("Infinity") {
            ("\"Infinity\"", length)
        } else {
            let escaped = quoted && first == '\\';
            let length = first.len_utf8() + rest.chars().nth(1).filter(|_| escaped).map_or(0, char::len_utf8);
            quoted ^= first == '"';
            out.push_str(rest.get(..length).unwrap_or_default());
            rest = rest.get(length..).unwrap_or_default();
            continue;
        };
        found = true;
        out.push_str(written);
        rest = rest.get(length..).unwrap_or_default();
    }
    found.then_some(out)
}
