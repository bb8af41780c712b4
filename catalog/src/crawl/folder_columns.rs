//! The values of folders as columns: typed by what all folders of a table say, never by one of them alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Int64Type};
use chrono::{Datelike, NaiveDate};

use crate::formats::{DateOrder, Pinned, PinnedType};
use crate::name::TableName;

use super::folders::{FOLDER_KEY, MONTH, Said, YEAR, said_of, two_digits, year_of};

/// Keys whose values are numbers however many zeros stand in front.
const COUNTED: [&str; 10] = [
    YEAR, MONTH, "year", "quarter", "month", "week", "day", "hour", "minute", "second",
];
/// Days from 1 January of the year 1 to that of 1970.
const EPOCH_DAYS: i32 = 719_163;

/// What the values of one column, all folders of a table together, allow it to be.
#[derive(Clone, Copy, Debug)]
struct Allows {
    integer: bool,
    number: bool,
    day_first: bool,
    month_first: bool,
    year_first: bool,
    date: bool,
}

impl Default for Allows {
    fn default() -> Self {
        Self {
            integer: true,
            number: true,
            day_first: true,
            month_first: true,
            year_first: true,
            date: true,
        }
    }
}

/// What all folders in the landing folder say, by table and column.
#[derive(Debug, Default)]
pub(crate) struct Evidence(BTreeMap<TableName, BTreeMap<String, Allows>>);

impl Evidence {
    pub(crate) fn see(&mut self, table: &TableName, said: &[Said]) {
        for one in said {
            let Some(text) = &one.text else { continue };
            if !self.0.contains_key(table) {
                self.0.insert(table.clone(), BTreeMap::new());
            }
            let Some(columns) = self.0.get_mut(table) else { continue };
            let allows = columns.entry(one.column.clone()).or_default();
            allows.integer &= integer(&one.column, text).is_some();
            allows.number &= number(&one.column, text).is_some();
            let year_first = iso(text).is_some();
            let day_first = ordered(text, DateOrder::Dmy).is_some();
            let month_first = ordered(text, DateOrder::Mdy).is_some();
            allows.year_first &= year_first;
            allows.day_first &= year_first || day_first;
            allows.month_first &= year_first || month_first;
            allows.date &= year_first || day_first || month_first;
        }
    }

    /// The columns of one file, typed by all that is known of their table.
    pub(crate) fn columns(&self, table: &TableName, said: &[Said], pinned: &Pinned) -> Vec<FolderColumn> {
        let of_table = self.0.get(table);
        let is_text = |column: &str| matches!(pinned.types.get(column), Some(PinnedType::Text));
        said.iter()
            .map(|one| {
                let allows = of_table.and_then(|columns| columns.get(&one.column)).copied();
                let kind = match is_text(&one.column) {
                    true => Kind::Text { date: false },
                    false => kind(allows.unwrap_or_default(), pinned.date_order),
                };
                FolderColumn {
                    said: one.clone(),
                    kind,
                }
            })
            .collect()
    }
}

fn kind(allows: Allows, order: Option<DateOrder>) -> Kind {
    if allows.integer {
        return Kind::Integer;
    }
    if allows.number {
        return Kind::Number;
    }
    if allows.year_first {
        return Kind::Date(DateOrder::Ymd);
    }
    match (allows.day_first, allows.month_first, order) {
        (true, true, Some(DateOrder::Dmy)) | (true, false, _) => Kind::Date(DateOrder::Dmy),
        (true, true, Some(DateOrder::Mdy)) | (false, true, _) => Kind::Date(DateOrder::Mdy),
        _ => Kind::Text { date: allows.date },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Date(DateOrder),
    /// `date`: they are dates whose order nothing tells.
    Text {
        date: bool,
    },
}

/// A column that a file's folders give to all its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FolderColumn {
    said: Said,
    kind: Kind,
}

impl FolderColumn {
    /// Its field; `name` is the column's where the file has one of that name itself.
    pub(crate) fn field(&self, name: &str) -> Field {
        let data_type = match self.kind {
            Kind::Integer => DataType::Int64,
            Kind::Number => DataType::Float64,
            Kind::Date(_) => DataType::Date32,
            Kind::Text { .. } => DataType::Utf8,
        };
        Field::new(name, data_type, true)
            .with_metadata([(FOLDER_KEY.to_owned(), self.said.key.clone())].into_iter().collect())
    }

    pub(crate) fn name(&self) -> &str {
        &self.said.column
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.said.text.as_deref()
    }

    /// Its value for so many rows.
    pub(crate) fn array(&self, rows: usize) -> ArrayRef {
        let text = self.said.text.as_deref();
        match self.kind {
            Kind::Integer => {
                let value = text.and_then(|text| integer(&self.said.column, text));
                Arc::new(Int64Array::from(vec![value; rows]))
            }
            Kind::Number => {
                let value = text.and_then(|text| number(&self.said.column, text));
                Arc::new(Float64Array::from(vec![value; rows]))
            }
            Kind::Date(order) => {
                let value = text.and_then(|text| iso(text).or_else(|| ordered(text, order)));
                Arc::new(Date32Array::from(vec![value.map(days); rows]))
            }
            Kind::Text { .. } => Arc::new(StringArray::from(vec![text; rows])),
        }
    }

    /// What a reader should know of it.
    pub(crate) fn note(&self) -> Option<String> {
        (self.kind == Kind::Text { date: true }).then(|| {
            format!(
                "the dates of its folders ({}) can be read day first or month first: they are kept as text; read.date_order decides",
                self.said.text.as_deref().unwrap_or_default()
            )
        })
    }
}

/// The values of a folder's column for rows that were loaded before the table had it, or had it with this type: out of
/// where the rows are from.
pub(crate) fn refilled(name: &str, old: Option<&ArrayRef>, to: &DataType, sources: &StringArray) -> Option<ArrayRef> {
    let text_of = |path: &str| said_of(path, name)?.text;
    let texts: Vec<Option<String>> = sources.iter().map(|path| path.and_then(text_of)).collect();
    match (old, to) {
        (None, DataType::Int64) => {
            let values = texts.iter().map(|text| integer(name, text.as_deref()?));
            Some(Arc::new(values.collect::<Int64Array>()))
        }
        (None, DataType::Float64) => {
            let values = texts.iter().map(|text| number(name, text.as_deref()?));
            Some(Arc::new(values.collect::<Float64Array>()))
        }
        (None, DataType::Date32) => {
            let values = texts.iter().map(|text| iso(text.as_deref()?).map(days));
            Some(Arc::new(values.collect::<Date32Array>()))
        }
        (None, DataType::Utf8) => Some(Arc::new(texts.into_iter().collect::<StringArray>())),
        (Some(old), DataType::Utf8) if old.data_type() != to => {
            let plain = cast(old, &DataType::Utf8).ok()?;
            let plain = plain.as_string::<i32>();
            let same = |row: usize, text: &str| match old.data_type() {
                DataType::Int64 => integer(name, text) == Some(old.as_primitive::<Int64Type>().value(row)),
                DataType::Float64 => number(name, text) == Some(old.as_primitive::<Float64Type>().value(row)),
                DataType::Date32 => iso(text).map(days) == Some(old.as_primitive::<Date32Type>().value(row)),
                _ => false,
            };
            // A value that the folder's name was read as is that name again; what a statement wrote is kept.
            let values = texts.iter().enumerate().map(|(row, text)| match text {
                _ if plain.is_null(row) => None,
                Some(text) if same(row, text) => Some(text.clone()),
                _ => Some(plain.value(row).to_owned()),
            });
            Some(Arc::new(values.collect::<StringArray>()))
        }
        _ => None,
    }
}

fn integer(column: &str, text: &str) -> Option<i64> {
    let value: i64 = text.parse().ok()?;
    // A zero in front is part of a name: plate=007.
    (COUNTED.contains(&column) || value.to_string() == text).then_some(value)
}

fn number(column: &str, text: &str) -> Option<f64> {
    if let Some(value) = integer(column, text) {
        // Larger ones have more digits than a floating point number keeps.
        return (value.unsigned_abs() <= 1 << 53).then_some(value as f64);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.')?;
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let named = whole.len() > 1 && whole.starts_with('0');
    if !all_digits(whole) || !all_digits(fraction) || named {
        return None;
    }
    text.parse().ok()
}

fn iso(text: &str) -> Option<NaiveDate> {
    if text.len() != 10 {
        return None;
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// `14-03-2026` in one order.
fn ordered(text: &str, order: DateOrder) -> Option<NaiveDate> {
    let parts: Vec<&str> = text.split('-').collect();
    let [a, b, year] = parts.as_slice() else { return None };
    let (a, b, year) = (two_digits(a)?, two_digits(b)?, year_of(year)?);
    match order {
        DateOrder::Dmy => NaiveDate::from_ymd_opt(year, b, a),
        DateOrder::Mdy => NaiveDate::from_ymd_opt(year, a, b),
        DateOrder::Ymd => None,
    }
}

fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::super::folders::of_path;
    use super::*;

    fn typed(paths: &[&str], order: Option<DateOrder>) -> (DataType, Option<String>) {
        let table = TableName::new("s", "t");
        let mut evidence = Evidence::default();
        for path in paths {
            evidence.see(&table, &of_path(path));
        }
        let pinned = Pinned {
            date_order: order,
            ..Pinned::default()
        };
        let columns = evidence.columns(&table, &of_path(paths[0]), &pinned);
        (columns[0].field("x").data_type().clone(), columns[0].note())
    }

    #[test]
    fn the_folders_of_a_table_together_decide_the_type() {
        let kinds = |paths: &[&str]| typed(paths, None).0;
        assert_eq!(kinds(&["s/t/run=7/a", "s/t/run=12/a"]), DataType::Int64);
        assert_eq!(kinds(&["s/t/run=7/a", "s/t/run=7.5/a"]), DataType::Float64);
        assert_eq!(kinds(&["s/t/run=7/a", "s/t/run=8b/a"]), DataType::Utf8);
        assert_eq!(kinds(&["s/t/month=03/a", "s/t/month=11/a"]), DataType::Int64);
        assert_eq!(kinds(&["s/t/plate=007/a"]), DataType::Utf8);
        assert_eq!(kinds(&["s/t/day=2026-03-14/a"]), DataType::Date32);
        // One folder shows the order of all; none leaves it open, and that is said.
        assert_eq!(kinds(&["s/t/03-04-2026/a", "s/t/14-03-2026/a"]), DataType::Date32);
        let (kind, note) = typed(&["s/t/03-04-2026/a"], None);
        assert!(kind == DataType::Utf8 && note.unwrap().contains("month first"));
        assert_eq!(
            typed(&["s/t/03-04-2026/a"], Some(DateOrder::Dmy)),
            (DataType::Date32, None)
        );
        assert_eq!(kinds(&["s/t/14-03-2026/a", "s/t/03-14-2026/a"]), DataType::Utf8);
    }

    #[test]
    fn rows_of_before_get_their_values_back() {
        let sources = StringArray::from(vec![
            Some("s/t/month=03/a"),
            Some("s/t/month=04/b"),
            None,
            Some("s/t/month=05/c"),
        ]);
        let new = refilled("month", None, &DataType::Int64, &sources).unwrap();
        assert_eq!(
            new.as_primitive::<Int64Type>(),
            &Int64Array::from(vec![Some(3), Some(4), None, Some(5)])
        );
        // The third was inserted by a statement, the fourth changed by one.
        let old: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(9), Some(12)]));
        let text = refilled("month", Some(&old), &DataType::Utf8, &sources).unwrap();
        assert_eq!(
            text.as_string::<i32>(),
            &StringArray::from(vec![Some("03"), None, Some("9"), Some("12")])
        );
    }
}
