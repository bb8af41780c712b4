//! JSON and NDJSON files: which values are the records.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use crate::formats::json::{self, Json};
use crate::formats::json_array;
use crate::formats::json_forms;
use crate::formats::json_records::{self, Document};
use crate::formats::json_shape::Fields;
use crate::formats::text::Decoded;
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, named};

/// Member names that hold the records of a wrapper. Any other array of objects is a nested list of one record: an
/// experiment with its `reagents` is one row.
pub(super) const WRAPPERS: [&str; 20] = [
    "records",
    "data",
    "rows",
    "items",
    "results",
    "values",
    "entries",
    "documents",
    "hits",
    "objects",
    "experiments",
    "reactions",
    "protocols",
    "samples",
    "measurements",
    "runs",
    "value",
    "nodes",
    "content",
    "wells",
];
/// Members beside the records that are about the document: how it goes on, what it is.
const ABOUT: [&str; 18] = [
    "meta",
    "_meta",
    "metadata",
    "_metadata",
    "links",
    "_links",
    "paging",
    "pagination",
    "page",
    "pageinfo",
    "page_info",
    "jsonapi",
    "info",
    "schema",
    "query",
    "request",
    "response_metadata",
    "status",
];
/// Cells of one batch; bounds the memory of building one.
const BATCH_CELLS: usize = 4 << 20;
/// Rows of one batch.
const BATCH_ROWS: usize = 65_536;

/// Reads JSON; `None` when the text is not JSON and does not look as if it were meant to be.
///
/// # Errors
/// `Json` for broken JSON, `NotATable` when the values are no records.
pub(super) fn read(file_name: &str, decoded: &Decoded, limits: &Limits) -> Result<Option<Parsed>, ReadError> {
    if !decoded.text.trim_start().starts_with(['{', '[']) {
        return if is_named_json(file_name) {
            Err(refuse_other(&decoded.text))
        } else {
            Ok(None)
        };
    }
    let mut notes = Vec::new();
    let parsed = json::parse(&decoded.text, limits).or_else(|error| {
        let Some(text) = json_forms::without_nan(&decoded.text) else {
            return Err(error);
        };
        notes.push("NaN taken for nothing and Infinity for a text");
        json::parse(&text, limits)
    });
    let values = match parsed {
        Ok(values) => values,
        Err(_) if !is_named_json(file_name) && !looks_like_json(&decoded.text) => return Ok(None),
        Err(error) => return Err(error),
    };
    let values = match <[Json; 1]>::try_from(values) {
        Ok([document]) => {
            let (document, form) = json_forms::usual(document);
            notes.extend(form);
            vec![document]
        }
        Err(values) => values,
    };
    if let [Json::Object(members)] = values.as_slice()
        && let Some(tables) = json_records::of(members)
    {
        return nested(&tables, decoded, limits).map(Some);
    }
    let (mut what, constants, records) = records(values)?;
    for note in notes {
        what = format!("{what}, {note}");
    }
    let count = records.len();
    let batches = batches(&records, limits)?;
    Ok(Some(Parsed {
        taken_for: format!(
            "{what}, {}, {count} record{}",
            decoded.encoding,
            if count == 1 { "" } else { "s" }
        ),
        blocks: vec![Block {
            name: None,
            batches,
            first_row: 1,
        }],
        properties: constants,
        confidence: Confidence::default(),
    }))
}

/// The tables of a nested document.
fn nested(document: &Document, decoded: &Decoded, limits: &Limits) -> Result<Parsed, ReadError> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut notes = vec!["nested JSON".to_owned(), decoded.encoding.clone()];
    let mut confidence = Confidence::default();
    confidence.doubt(0.9, "its records are what repeats in a nested document");
    for table in &document.tables {
        notes.push(format!("{} records in {:?}", table.rows.len(), table.name));
        blocks.push(Block {
            name: (!blocks.is_empty()).then(|| table.name.clone()),
            batches: batches(&table.rows, limits)?,
            first_row: 1,
        });
    }
    if !document.left.is_empty() {
        let note = format!("other lists not read: {}", document.left.join(", "));
        confidence.doubt(0.9, note.clone());
        notes.push(note);
    }
    Ok(Parsed {
        taken_for: notes.join(", "),
        blocks,
        properties: BTreeMap::new(),
        confidence,
    })
}

/// What the text is, keys and values beside its records, and those.
type Found = (String, BTreeMap<String, String>, Vec<Json>);

fn records(mut values: Vec<Json>) -> Result<Found, ReadError> {
    if values.len() > 1 {
        return match values.iter().position(|value| !value.is_object()) {
            None => Ok(("NDJSON".to_owned(), BTreeMap::new(), values)),
            Some(at) => Err(not_records(&format!(
                "value {} of {} is no object",
                at + 1,
                values.len()
            ))),
        };
    }
    match values.pop() {
        Some(Json::List(items)) if items.is_empty() => Err(ReadError::NoDataRows {
            seen: "an empty JSON array".to_owned(),
        }),
        Some(Json::List(items)) => match items.iter().position(|item| !item.is_object()) {
            None => Ok(("JSON array".to_owned(), BTreeMap::new(), items)),
            Some(at) => Err(not_records(&format!("element {} of the array is no object", at + 1))),
        },
        Some(Json::Object(members)) if members.is_empty() => Err(ReadError::NoDataRows {
            seen: "an empty JSON object".to_owned(),
        }),
        Some(Json::Object(members)) => Ok(unwrap_wrapper(members)),
        _ => Err(not_records("a single value")),
    }
}

/// Members of an object as keys and values, those of objects in it under the way to them.
fn tell(prefix: &str, members: &[(String, Json)], properties: &mut BTreeMap<String, String>) {
    for (name, value) in members {
        let name = format!("{prefix} {name}");
        match value {
            Json::Object(inside) => tell(&name, inside, properties),
            other => properties.extend(other.to_cell().map(|value| (name, value))),
        }
    }
}

/// What is said of the document and not of its records.
pub(super) fn is_about(name: &str, value: &Json) -> bool {
    matches!(value, Json::Object(_)) && ABOUT.contains(&name.to_lowercase().as_str())
}

/// `{"exported": "…", "records": [{…}, …]}` is many records, each with the constants beside the list.
fn unwrap_wrapper(members: Vec<(String, Json)>) -> Found {
    let is_records =
        |value: &Json| matches!(value, Json::List(items) if !items.is_empty() && items.iter().all(Json::is_object));
    let lists = members.iter().filter(|(_, value)| is_records(value)).count();
    let alone = members.len() == 1;
    let named = |name: &str| alone || WRAPPERS.contains(&name.to_lowercase().as_str());
    let is_wrapper = lists == 1
        && members
            .iter()
            .all(|(name, value)| value.is_scalar() || is_about(name, value) || (is_records(value) && named(name)));
    if !is_wrapper {
        return (
            "JSON, one object".to_owned(),
            BTreeMap::new(),
            vec![Json::Object(members)],
        );
    }
    let mut constants = Vec::new();
    let mut about = BTreeMap::new();
    let mut found = (String::new(), Vec::new());
    for (name, value) in members {
        match value {
            Json::List(items) => found = (name, items),
            Json::Object(inside) => tell(&name, &inside, &mut about),
            scalar => constants.push((name, scalar)),
        }
    }
    let (name, mut items) = found;
    let told = constants
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.to_cell()?)));
    let properties = told.chain(about).collect();
    let taken: HashSet<String> = items
        .iter()
        .filter_map(|item| {
            if let Json::Object(members) = item {
                Some(members)
            } else {
                None
            }
        })
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    for (key, _) in &mut constants {
        // The record's own field keeps the name.
        while taken.contains(key) {
            key.push_str("_of_file");
        }
    }
    for item in &mut items {
        if let Json::Object(members) = item {
            members.splice(0..0, constants.iter().cloned());
        }
    }
    (format!("JSON object with the records in {name:?}"), properties, items)
}

fn batches(records: &[Json], limits: &Limits) -> Result<Vec<RecordBatch>, ReadError> {
    let mut fields = Fields::default();
    for record in records {
        if let Json::Object(members) = record {
            fields.see(members, limits)?;
        }
    }
    if fields.len() == 0 {
        return Err(ReadError::NoDataRows {
            seen: "records without any key".to_owned(),
        });
    }
    let fields = fields.pruned();
    let schema = Arc::new(Schema::new(json_array::arrow_fields(&fields)));
    let rows: Vec<Option<&Json>> = records.iter().map(Some).collect();
    let batch_rows = (BATCH_CELLS / fields.len()).clamp(1, BATCH_ROWS);
    rows.chunks(batch_rows)
        .map(|rows| {
            json_array::columns(&fields, rows)
                .and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns))
                .map_err(|error| not_records(&error.to_string()))
        })
        .collect()
}

fn not_records(why: &str) -> ReadError {
    ReadError::NotATable {
        seen: format!("JSON, but not records: {why} (wanted: an object, an array of objects, or one object a line)"),
    }
}

fn is_named_json(file_name: &str) -> bool {
    named(file_name, &[".json", ".ndjson", ".jsonl"])
}

fn refuse_other(text: &str) -> ReadError {
    let start: String = text.trim_start().chars().take(20).collect();
    ReadError::Json {
        line: 1,
        column: 1,
        why: format!("the file is named JSON but starts with {start:?}, not with {{ or ["),
    }
}

/// What follows the first bracket tells JSON from a section title such as `[Header]`.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start();
    let rest = text.get(1..).unwrap_or_default().trim_start();
    match text.chars().next() {
        Some('{') => rest.is_empty() || rest.starts_with(['"', '}']),
        Some('[') => rest.is_empty() || rest.starts_with(['{', '[', '"', ']']),
        _ => false,
    }
}
