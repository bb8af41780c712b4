//! Values brought to the type that their column has in the table; those that it cannot hold go as they are to the column
//! `_rescued`, under the name that the column has in the file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StructArray, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast, cast_with_options, take};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

use crate::formats;

use super::columns::{ORIGINAL_KEY, Prepared};
use super::types::{samples, spoken};
use super::wanted::{Target, Wanted};

/// The column of what did not fit: a JSON object of column names and texts, or nothing. The readers call it `_rescued`.
pub(crate) const RESCUED: &str = "rescued";
const RESCUED_ORIGINAL: &str = "_rescued";
/// With fewer values in a column no file is a mistake because of it.
const MISTAKE_VALUES_MIN: usize = 5;
/// Share of values that do not fit which makes the file a mistake.
const MISTAKE_PERCENT: usize = 90;
/// Values shown in a message.
const SHOWN: usize = 3;
/// Characters of each.
const SHOWN_CHARS: usize = 40;

/// A file's rows as its table takes them, and what is to be said of it.
pub(crate) struct Converted {
    pub(crate) rows: Prepared,
    pub(crate) notes: Vec<String>,
}

/// What does not fit, by the row of its batch and its place within the column's value.
type Odd = Vec<(usize, String, Value)>;

/// Brings the columns that are wanted otherwise to their types.
///
/// # Errors
/// In words for the quarantine: nearly nothing of a column fits, or a value cannot be kept at all.
pub(crate) fn convert(mut rows: Prepared, wanted: &Wanted) -> Result<Converted, String> {
    if let Some(staged) = &rows.staged {
        return Err(format!(
            "{staged:?} is in data files already: this is a defect of labhouse"
        ));
    }
    let mut odd: Vec<BTreeMap<usize, Map<String, Value>>> = vec![BTreeMap::new(); rows.batches.len()];
    for (name, target) in wanted {
        let Some(at) = rows.fields.iter().position(|field| field.name() == name) else {
            continue;
        };
        let Some(field) = rows.fields.get_mut(at) else { continue };
        if field.data_type().is_null() || *field.data_type() == target.to {
            continue;
        }
        let original = original(field).to_owned();
        field.set_data_type(target.to.clone());
        for (batch, odd) in rows.batches.iter_mut().zip(&mut odd) {
            let Some(array) = batch.get_mut(at) else { continue };
            let (values, left) = converted(array, &target.to)?;
            *array = values;
            for (row, place, value) in left {
                odd.entry(row).or_default().insert(format!("{original}{place}"), value);
            }
        }
    }
    if odd.iter().any(|odd| !odd.is_empty()) {
        rescue(&mut rows, odd)?;
    }
    let notes = judged(&rows, wanted)?;
    Ok(Converted { rows, notes })
}

fn is_rescued(field: &Field) -> bool {
    original(field) == RESCUED_ORIGINAL && *field.data_type() == DataType::Utf8
}

/// The heading as the file has it.
fn original(field: &Field) -> &str {
    field.metadata().get(ORIGINAL_KEY).unwrap_or(field.name())
}

/// Puts what does not fit to what did not fit before.
fn rescue(rows: &mut Prepared, odd: Vec<BTreeMap<usize, Map<String, Value>>>) -> Result<(), String> {
    let at = match rows.fields.iter().position(is_rescued) {
        Some(at) => at,
        None => {
            let mut name = RESCUED.to_owned();
            while rows.fields.iter().any(|field| *field.name() == name) {
                name.push('_');
            }
            let metadata = [(ORIGINAL_KEY.to_owned(), RESCUED_ORIGINAL.to_owned())];
            rows.fields
                .push(Field::new(name, DataType::Utf8, true).with_metadata(metadata.into()));
            for (batch, count) in rows.batches.iter_mut().zip(&rows.batch_rows) {
                batch.push(new_null_array(&DataType::Utf8, *count));
            }
            rows.fields.len() - 1
        }
    };
    for (batch, mut odd) in rows.batches.iter_mut().zip(odd) {
        let Some(array) = batch.get_mut(at).filter(|_| !odd.is_empty()) else {
            continue;
        };
        let before = array.as_string::<i32>();
        let texts: Vec<Option<String>> = (0..before.len())
            .map(|row| {
                let old = before.is_valid(row).then(|| before.value(row));
                let Some(new) = odd.remove(&row) else {
                    return Ok(old.map(str::to_owned));
                };
                let mut all = match old.map(serde_json::from_str::<Map<String, Value>>) {
                    Some(Ok(all)) => all,
                    Some(Err(_)) => Map::from_iter([(RESCUED_ORIGINAL.to_owned(), Value::from(old))]),
                    None => Map::new(),
                };
                all.extend(new);
                serde_json::to_string(&all).map(Some).map_err(|error| error.to_string())
            })
            .collect::<Result<_, String>>()?;
        *array = Arc::new(StringArray::from(texts));
    }
    Ok(())
}

/// What is said of the columns of which not all values fit.
fn judged(rows: &Prepared, wanted: &Wanted) -> Result<Vec<String>, String> {
    // How many, those that could not be given as numbers, and some to show.
    let mut odd: BTreeMap<&str, (usize, usize, Vec<String>)> = BTreeMap::new();
    let names: BTreeMap<&str, &str> = rows
        .fields
        .iter()
        .filter(|field| wanted.contains_key(field.name()))
        .map(|field| (original(field), field.name().as_str()))
        .collect();
    let rescued = rows.fields.iter().find(|field| is_rescued(field));
    let arrays = rescued.map_or_else(Vec::new, |field| rows.column(field.name()));
    for array in arrays.into_iter().filter_map(|array| array.as_string_opt::<i32>()) {
        for text in array.iter().flatten() {
            let Ok(all) = serde_json::from_str::<Map<String, Value>>(text) else {
                continue;
            };
            // A value within a nested one stands under the way to it.
            let of = |key: &str| {
                names
                    .get(key.split(['.', '[']).next().unwrap_or(key))
                    .or_else(|| names.get(key))
            };
            let mut seen = HashSet::new();
            for (key, value) in &all {
                let Some(name) = of(key) else { continue };
                let (count, limits, shown) = odd.entry(name).or_default();
                *count += usize::from(seen.insert(*name));
                *limits += usize::from(value.as_str().is_some_and(formats::is_limit));
                if shown.len() < SHOWN {
                    shown.push(short(value));
                }
            }
        }
    }
    let mut notes = Vec::new();
    for (name, (count, limits, shown)) in odd {
        let Some(Target { to, has, .. }) = wanted.get(name) else {
            continue;
        };
        let arrays = rows.column(name);
        let fit: usize = arrays.iter().map(|array| array.len() - array.null_count()).sum();
        let all = if to.is_nested() { fit.max(count) } else { fit + count };
        let first = shown.first().map_or("", |first| first.trim_matches('\''));
        let listed = shown.join(", ");
        // A file all of whose samples are below the limit is no mistake.
        let is_mistake = count >= MISTAKE_VALUES_MIN && count * 100 >= all * MISTAKE_PERCENT && limits < count;
        if is_mistake {
            let wants_days = matches!(to, DataType::Date32 | DataType::Timestamp(..));
            // Digits alone do not tell what their signs part.
            let is_number = |text: &str| {
                let signs = |c: char| c.is_ascii_digit() || ".,-'".contains(c);
                text.chars().all(signs) && text.contains(|c: char| c.is_ascii_digit()) && text.contains(['.', ','])
            };
            let say = if to.is_floating() && is_number(first) {
                "[read] decimal = \",\" (or \".\"), where nothing in the file tells fractions and thousands apart"
                    .to_owned()
            } else if wants_days && formats::is_moment(first) {
                "[read] date_order = \"dmy\" (or \"mdy\"), where nothing in the file tells day and month apart"
                    .to_owned()
            } else {
                format!("[types] {name} = \"text\"")
            };
            return Err(format!(
                "column '{name}' holds {has}, and {count} of {all} values in this file do not fit (for example {listed}). \
                 Correct the file, land it in a folder of its own, or say what the column is in a _labhouse.toml beside it: {say}"
            ));
        }
        notes.push(format!(
            "column '{name}': {count} of {all} values are not {} as in its table and stand in {RESCUED} ({listed})",
            spoken(to)
        ));
    }
    Ok(notes)
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("'{}'", text.chars().take(SHOWN_CHARS).collect::<String>())
}

/// The values that the type holds, and the others.
fn converted(array: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Odd), String> {
    let refuse = |error: arrow::error::ArrowError| error.to_string();
    match (array.data_type(), to) {
        (from, to) if from == to => Ok((Arc::clone(array), Odd::new())),
        (DataType::Null, to) => Ok((new_null_array(to, array.len()), Odd::new())),
        (DataType::Struct(own), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let mut odd = Odd::new();
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                columns.push(match parts.column_by_name(field.name()) {
                    Some(column) => {
                        let (values, left) = converted(column, field.data_type())?;
                        let below = left.into_iter().filter(|(row, _, _)| parts.is_valid(*row));
                        odd.extend(below.map(|(row, place, value)| (row, format!(".{}{place}", field.name()), value)));
                        values
                    }
                    None => new_null_array(field.data_type(), array.len()),
                });
            }
            // Members that the table has no place for.
            for (field, column) in own.iter().zip(parts.columns()) {
                if fields.iter().all(|other| other.name() != field.name()) {
                    let rows = (0..array.len()).filter(|row| parts.is_valid(*row) && column.is_valid(*row));
                    for row in rows {
                        odd.push((row, format!(".{}", field.name()), json(column, row)?));
                    }
                }
            }
            let built = StructArray::try_new(fields.clone(), columns, parts.nulls().cloned()).map_err(refuse)?;
            Ok((Arc::new(built), odd))
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let (values, left) = converted(list.values(), field.data_type())?;
            let mut odd = Odd::new();
            for (at, place, value) in left {
                let row = list.offsets().partition_point(|start| *start as usize <= at);
                let Some(row) = row
                    .checked_sub(1)
                    .filter(|row| *row < list.len() && list.is_valid(*row))
                else {
                    continue;
                };
                let first = list.offsets().get(row).map_or(0, |start| *start as usize);
                odd.push((row, format!("[{}]{place}", at - first), value));
            }
            let built = ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned());
            Ok((Arc::new(built.map_err(refuse)?), odd))
        }
        (_, DataType::Utf8) => {
            let texts: StringArray = (0..array.len())
                .map(|row| text(array, row))
                .collect::<Result<_, String>>()?;
            Ok((Arc::new(texts), Odd::new()))
        }
        (DataType::Utf8, to) => {
            let texts = array.as_string::<i32>();
            match formats::fitted(texts, to) {
                Some((values, left)) => {
                    let odd = left
                        .into_iter()
                        .map(|row| (row, String::new(), Value::from(texts.value(row))));
                    Ok((values, odd.collect()))
                }
                None => nothing_of(array, to),
            }
        }
        (from, to) if (from.is_numeric() && to.is_numeric()) || both_days(from, to) => {
            let safe = CastOptions {
                safe: true,
                ..CastOptions::default()
            };
            // What does not come back as it was is not held.
            let there = cast_with_options(array, to, &safe).map_err(refuse)?;
            let back = cast_with_options(&there, from, &safe).map_err(refuse)?;
            let held = |row: usize| back.is_valid(row) && back.slice(row, 1) == array.slice(row, 1);
            let mut odd = Odd::new();
            let mut kept = Vec::with_capacity(array.len());
            for row in 0..array.len() {
                let is_held = array.is_valid(row) && held(row);
                if array.is_valid(row) && !is_held {
                    odd.push((row, String::new(), json(array, row)?));
                }
                kept.push(is_held.then_some(row as u64));
            }
            let values = take(&there, &UInt64Array::from(kept), None).map_err(refuse)?;
            Ok((values, odd))
        }
        (_, to) => nothing_of(array, to),
    }
}

/// Days, and times on the same clock.
fn both_days(from: &DataType, to: &DataType) -> bool {
    matches!(
        (from, to),
        (DataType::Timestamp(_, None), DataType::Date32) | (DataType::Date32, DataType::Timestamp(_, None))
    )
}

fn nothing_of(array: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Odd), String> {
    let rows = (0..array.len()).filter(|row| array.is_valid(*row));
    let odd = rows
        .map(|row| Ok((row, String::new(), json(array, row)?)))
        .collect::<Result<Odd, String>>()?;
    Ok((new_null_array(to, array.len()), odd))
}

/// A value as a text column has it.
fn text(array: &ArrayRef, row: usize) -> Result<Option<String>, String> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match json(array, row)? {
        Value::String(text) => text,
        other => other.to_string(),
    }))
}

/// A value as JSON: numbers, truths, objects and lists as such, anything else as text.
fn json(array: &ArrayRef, row: usize) -> Result<Value, String> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let display = || {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).map_err(|error| error.to_string())?;
        formatter.value(row).try_to_string().map_err(|error| error.to_string())
    };
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let members = fields.iter().zip(parts.columns());
            let members = members.filter(|(_, column)| column.is_valid(row));
            Value::Object(
                members
                    .map(|(field, column)| Ok((field.name().clone(), json(column, row)?)))
                    .collect::<Result<_, String>>()?,
            )
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array(
                (0..items.len())
                    .map(|item| json(&items, item))
                    .collect::<Result<_, _>>()?,
            )
        }
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        kind if kind.is_integer() || kind.is_floating() => {
            let text = display()?;
            text.parse::<serde_json::Number>()
                .map_or(Value::String(text), Value::Number)
        }
        // Arrow shows a zone only with its time zone database; the offset is the same.
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            let array = cast(&array.slice(row, 1), &utc).map_err(|error| error.to_string())?;
            Value::String(samples(&[&array]).trim_matches('\'').to_owned())
        }
        _ => Value::String(display()?),
    })
}
