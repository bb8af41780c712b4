//! The cells of one column of a piece to an Arrow array of a type that was decided before; a cell that speaks against it is
//! an [`Odd`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, Float64Array, Int64Array, NullArray, NullBufferBuilder,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};

use crate::formats::infer::{self, ColumnType, Style};
use crate::formats::moment::{self, Order};
use crate::formats::number::{self, Number};
use crate::formats::plain::parse;
use crate::formats::plain::scan::Odd;
use crate::formats::rescue;
use crate::formats::words::Nothings;

/// How the cells of a column are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: ColumnType,
    /// The type is what the file's start shows, not what all of its cells have shown: every cell must bear it out.
    pub(super) is_guess: bool,
    /// Of booleans: `yes` and `no` rather than `true` and `false`.
    pub(super) yes_no: bool,
    /// Of text: numbers in it are counted, for so many of them would make it a column of numbers.
    pub(super) watched: bool,
    /// Of text: every cell must be a well.
    pub(super) wells: bool,
    /// Of numbers: what they show of the sign before their fractions.
    pub(super) decimal: Option<&'static str>,
}

/// What was seen in a column besides its values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Some cell is blank.
    pub(super) blank: bool,
    /// Of a column of values: the words for "no value" among them.
    pub(super) nothings: Nothings,
    pub(super) watch: rescue::Watch,
}

/// The array of a column's cells (as bytes of UTF-8, and whether quotes in it are doubled).
///
/// # Errors
/// [`Odd`] for a cell that does not fit the rule.
pub(super) fn column<'t>(
    rule: Rule,
    rows: usize,
    cells: impl Iterator<Item = (&'t [u8], bool)>,
    seen: &mut Seen,
) -> Result<ArrayRef, Odd> {
    match rule.kind {
        ColumnType::Null => {
            for (cell, _) in cells {
                if !is_nothing(cell, seen)? || seen.nothings.are_values() {
                    return Err(odd(cell, "the column was empty so far"));
                }
            }
            Ok(Arc::new(NullArray::new(rows)))
        }
        ColumnType::Boolean => booleans(rule, rows, cells, seen),
        ColumnType::Int64 => {
            let usual = |cell: &[u8]| parse::int(cell);
            let general = |cell: &str| {
                if rule.is_guess {
                    match number::parse(cell) {
                        Some(Number::Int(value)) => Some(value),
                        Some(Number::Float(_)) | None => None,
                    }
                } else {
                    number::whole(cell)
                }
            };
            let (values, nulls) = values(rows, cells, seen, usual, general)?;
            Ok(Arc::new(Int64Array::new(values, nulls)))
        }
        ColumnType::Float64(style) => {
            let usual = |cell: &[u8]| {
                if style == Style::Point {
                    parse::float(cell)
                } else {
                    None
                }
            };
            let general = |cell: &str| {
                let number = style
                    .parse(cell)
                    .filter(|number| !rule.is_guess || number.is_exact_f64());
                number.map(Number::as_f64)
            };
            let (values, nulls) = values(rows, cells, seen, usual, general)?;
            Ok(Arc::new(Float64Array::new(values, nulls)))
        }
        ColumnType::Date(order) => {
            let usual = |cell: &[u8]| {
                if order == Order::YearFirst {
                    parse::date(cell)
                } else {
                    None
                }
            };
            let general = |cell: &str| {
                let moment = moment::parse(cell, order).filter(|moment| !moment.has_time);
                moment.map(moment::Moment::days)
            };
            let (values, nulls) = values(rows, cells, seen, usual, general)?;
            Ok(Arc::new(Date32Array::new(values, nulls)))
        }
        ColumnType::Timestamp { order, zoned } => {
            let usual = |cell: &[u8]| {
                let usual = if order == Order::YearFirst {
                    parse::time(cell)
                } else {
                    None
                };
                usual
                    .filter(|(_, is_zoned)| *is_zoned == zoned)
                    .map(|(micros, _)| micros)
            };
            let general = |cell: &str| {
                let moment = moment::parse(cell, order).filter(|moment| moment.offset_s.is_some() == zoned);
                moment.map(moment::Moment::micros)
            };
            let (values, nulls) = values(rows, cells, seen, usual, general)?;
            let array = TimestampMicrosecondArray::new(values, nulls);
            Ok(Arc::new(if zoned { array.with_timezone("UTC") } else { array }))
        }
        ColumnType::Text => texts(rule, rows, cells, seen),
    }
}

fn values<'t, T: arrow::datatypes::ArrowNativeType>(
    rows: usize,
    cells: impl Iterator<Item = (&'t [u8], bool)>,
    seen: &mut Seen,
    usual: impl Fn(&[u8]) -> Option<T>,
    general: impl Fn(&str) -> Option<T>,
) -> Result<(ScalarBuffer<T>, Option<NullBuffer>), Odd> {
    let mut values: Vec<T> = Vec::with_capacity(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for (cell, _) in cells {
        let value = match usual(cell) {
            Some(value) => Some(value),
            None if cell.is_empty() => {
                seen.blank = true;
                None
            }
            None => {
                let found = general(text(cell)?.trim());
                if found.is_none() && !is_nothing(cell, seen)? {
                    return Err(odd(cell, "the column's cells so far are of another type"));
                }
                found
            }
        };
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    Ok((values.into(), nulls.finish()))
}

fn booleans<'t>(
    rule: Rule,
    rows: usize,
    cells: impl Iterator<Item = (&'t [u8], bool)>,
    seen: &mut Seen,
) -> Result<ArrayRef, Odd> {
    let mut values = BooleanBufferBuilder::new(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for (cell, _) in cells {
        let trimmed = text(cell)?.trim();
        let value = infer::boolean(trimmed).filter(|_| (trimmed.len() < 4) == rule.yes_no);
        if value.is_none() && !is_nothing(cell, seen)? {
            return Err(odd(cell, "the column's cells so far are of another type"));
        }
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), nulls.finish())))
}

fn texts<'t>(
    rule: Rule,
    rows: usize,
    cells: impl Iterator<Item = (&'t [u8], bool)>,
    seen: &mut Seen,
) -> Result<ArrayRef, Odd> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    let mut plain = String::new();
    for (cell, doubled) in cells {
        let mut cell = text(cell)?;
        if doubled {
            plain.clear();
            plain.push_str(cell);
            plain = plain.replace("\"\"", "\"");
            cell = &plain;
        }
        // Text stays as written; only a cell of nothing but spaces is no value.
        let starts_graphic = cell.as_bytes().first().is_some_and(u8::is_ascii_graphic);
        if !starts_graphic && infer::is_empty(cell) {
            seen.blank = true;
            builder.append_null();
        } else {
            builder.append_value(cell);
        }
        if rule.watched {
            seen.watch.see(cell);
        }
        if rule.wells && !crate::formats::blocks::is_well(cell) {
            return Err(odd(cell.as_bytes(), "the column's cells so far are wells"));
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Whether a cell says that there is no value.
fn is_nothing(cell: &[u8], seen: &mut Seen) -> Result<bool, Odd> {
    let cell = text(cell)?.trim();
    seen.blank |= cell.is_empty();
    Ok(cell.is_empty() || seen.nothings.see(cell))
}

fn text(cell: &[u8]) -> Result<&str, Odd> {
    std::str::from_utf8(cell).map_err(|_| Odd::new("bytes that are not UTF-8"))
}

fn odd(cell: &[u8], why: &str) -> Odd {
    let shown: String = String::from_utf8_lossy(cell).chars().take(40).collect();
    Odd::new(format!("{shown:?}, but {why}"))
}
