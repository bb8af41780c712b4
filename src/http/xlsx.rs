//! Rows as a workbook of one sheet (Office Open XML), written while they come: nothing is kept but what a batch takes.
//!
//! Numbers, days and times are what a spreadsheet calculates with. What it would change is a text: whole numbers and decimals
//! of more than 15 digits, numbers that are none, days before 1900. A text is never a formula, whatever it begins with, because
//! its cell says that it is a text. Lists and structs are JSON.

mod zip;

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder};
use arrow::util::display::ArrayFormatter;

use super::json::{columns, options, write_cell};
use crate::query::QueryError;
use zip::Zip;

/// Rows and columns that a sheet holds; one row has the names, one is left for a word that the answer was cut.
const ROWS_MAX: u64 = 1_048_576 - 2;
const COLUMNS_MAX: usize = 16_384;
/// Letters that a cell holds.
const TEXT_MAX: usize = 32_767;
/// Digits that a spreadsheet's numbers keep.
const DIGITS_MAX: usize = 15;
/// From 1 March 1900 on its count of days is the calendar's; before, it has a day too many.
const FIRST_DAY: f64 = 61.0;
/// Days from its day 0 to 1970.
const EPOCH: f64 = 25_569.0;
const DAY_US: f64 = 86_400e6;

const TYPES: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>"#;
const ROOT: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const WORKBOOK: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Result" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
const PARTS: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>"#;
/// Style 0 is plain, 1 a day, 2 a time, 3 the bold names of the columns.
const STYLES: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/><numFmt numFmtId="165" formatCode="yyyy\-mm\-dd\ hh:mm:ss"/></numFmts><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/><xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/><xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/><xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs></styleSheet>"#;
const SHEET: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>"#;
const SHEET_END: &str = "</sheetData></worksheet>";

/// Makes a workbook of batches.
pub(super) struct Xlsx {
    zip: Zip,
    /// Bytes that open the file and the names of its columns, until they are sent.
    opening: Vec<u8>,
    /// Letters of each column.
    letters: Vec<String>,
    /// Rows written, the names included.
    rows: u64,
    is_full: bool,
    options: EncoderOptions,
}

/// A column's values.
enum Cells<'a> {
    Text(ArrayFormatter<'a>),
    /// What is a number if it is short enough.
    Exact(ArrayFormatter<'a>),
    Float(ArrayFormatter<'a>),
    Truth(ArrayRef),
    /// Days of the spreadsheet's count, the style, and the value in words.
    Moment(Vec<f64>, u8, ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

impl Xlsx {
    /// # Errors
    /// [`QueryError::Unsupported`] when there are more columns than a sheet has.
    pub(super) fn new(schema: &Schema) -> Result<Self, QueryError> {
        let columns = schema.fields().len();
        if columns > COLUMNS_MAX {
            return Err(QueryError::Unsupported(format!(
                "a sheet has {COLUMNS_MAX} columns at most, and the answer has {columns}; take csv or arrow"
            )));
        }
        let mut xlsx = Self {
            zip: Zip::default(),
            opening: Vec::new(),
            letters: (0..columns).map(letters).collect(),
            rows: 0,
            is_full: false,
            options: options(),
        };
        for (name, text) in [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", ROOT),
            ("xl/workbook.xml", WORKBOOK),
            ("xl/_rels/workbook.xml.rels", PARTS),
            ("xl/styles.xml", STYLES),
        ] {
            xlsx.opening.extend(xlsx.zip.whole(name, text.as_bytes()));
        }
        xlsx.opening.extend(xlsx.zip.begin("xl/worksheets/sheet1.xml"));
        let mut names = String::from(SHEET);
        let titles = schema.fields().iter().map(|field| field.name().as_str());
        xlsx.line(&mut names, |out, letters, row| {
            for (letters, title) in letters.iter().zip(titles) {
                text_cell(out, letters, row, 3, title);
            }
            Ok::<(), ArrowError>(())
        })
        .map_err(super::encode::failed)?;
        xlsx.opening.extend(xlsx.zip.write(names.as_bytes())?);
        Ok(xlsx)
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let mut out = std::mem::take(&mut self.opening);
        let schema = batch.schema();
        let options = self.options.clone();
        let mut columns = columns(&schema, batch, &options, cells).map_err(super::encode::failed)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            if self.rows > ROWS_MAX {
                self.is_full = true;
                break;
            }
            self.line(&mut text, |text, letters, number| {
                for ((letters, column), values) in letters.iter().zip(&mut columns).zip(batch.columns()) {
                    if values.is_valid(row) {
                        cell(text, letters, number, column, row)?;
                    }
                }
                Ok(())
            })
            .map_err(super::encode::failed)?;
        }
        out.extend(self.zip.write(text.as_bytes())?);
        Ok(out)
    }

    /// What closes the file; where rows are missing its last line says so.
    pub(super) fn finish(&mut self, is_cut: bool) -> Result<Vec<u8>, QueryError> {
        let mut out = std::mem::take(&mut self.opening);
        let mut text = String::new();
        if is_cut || self.is_full {
            let said = "The answer was cut here: there are more rows. Save it as CSV or Arrow to have all.";
            self.line(&mut text, |out, _, row| {
                text_cell(out, "A", row, 3, said);
                Ok::<(), ArrowError>(())
            })
            .map_err(super::encode::failed)?;
        }
        text.push_str(SHEET_END);
        out.extend(self.zip.write(text.as_bytes())?);
        out.extend(self.zip.end()?);
        Ok(out)
    }

    /// Writes one row of the sheet.
    fn line<E>(
        &mut self,
        out: &mut String,
        cells: impl FnOnce(&mut String, &[String], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows += 1;
        // Writing to memory does not fail.
        let _ = write!(out, "<row r=\"{}\">", self.rows);
        cells(out, &self.letters, self.rows)?;
        out.push_str("</row>");
        Ok(())
    }
}

fn cells<'a>(
    values: &'a ArrayRef,
    text: ArrayFormatter<'a>,
    json: NullableEncoder<'a>,
) -> Result<Cells<'a>, ArrowError> {
    Ok(match values.data_type() {
        DataType::Boolean => Cells::Truth(ArrayRef::clone(values)),
        DataType::Date32 | DataType::Date64 => Cells::Moment(days(values)?, 1, text),
        DataType::Timestamp(..) => Cells::Moment(days(values)?, 2, text),
        kind if kind.is_floating() => Cells::Float(text),
        kind if kind.is_numeric() => Cells::Exact(text),
        kind if kind.is_nested() => Cells::Nested(json),
        _ => Cells::Text(text),
    })
}

/// Days and times as the spreadsheet counts days; those with a zone in UTC.
fn days(values: &ArrayRef) -> Result<Vec<f64>, ArrowError> {
    if let Some(days) = values.as_primitive_opt::<Date32Type>() {
        let day = |day: i32| EPOCH + f64::from(day);
        return Ok(days.iter().map(|days| days.map_or(f64::NAN, day)).collect());
    }
    let zone = match values.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let day = |micros: i64| EPOCH + micros as f64 / DAY_US;
    Ok(micros.iter().map(|micros| micros.map_or(f64::NAN, day)).collect())
}

fn cell(out: &mut String, letters: &str, row: u64, column: &mut Cells<'_>, at: usize) -> Result<(), ArrowError> {
    match column {
        Cells::Text(texts) => text_cell(out, letters, row, 0, &texts.value(at).try_to_string()?),
        Cells::Exact(numbers) => {
            let text = numbers.value(at).try_to_string()?;
            let digits = text.chars().filter(char::is_ascii_digit).count();
            match digits <= DIGITS_MAX {
                true => number_cell(out, letters, row, 0, &text),
                false => text_cell(out, letters, row, 0, &text),
            }
        }
        Cells::Float(numbers) => {
            let text = numbers.value(at).try_to_string()?;
            match text.parse::<f64>().is_ok_and(f64::is_finite) {
                true => number_cell(out, letters, row, 0, &text),
                false => text_cell(out, letters, row, 0, &text),
            }
        }
        Cells::Truth(values) => {
            let _ = write!(
                out,
                "<c r=\"{letters}{row}\" t=\"b\"><v>{}</v></c>",
                u8::from(values.as_boolean().value(at))
            );
        }
        Cells::Moment(days, style, texts) => match days.get(at) {
            Some(day) if *day >= FIRST_DAY => number_cell(out, letters, row, *style, &day.to_string()),
            _ => text_cell(out, letters, row, 0, &texts.value(at).try_to_string()?),
        },
        Cells::Nested(values) => {
            let mut json = Vec::new();
            write_cell(values, at, &mut json);
            text_cell(out, letters, row, 0, &String::from_utf8_lossy(&json));
        }
    }
    Ok(())
}

fn number_cell(out: &mut String, letters: &str, row: u64, style: u8, number: &str) {
    let _ = write!(out, "<c r=\"{letters}{row}\" s=\"{style}\"><v>{number}</v></c>");
}

/// A cell that says it is a text; letters that XML has not are spelled as spreadsheets spell them.
fn text_cell(out: &mut String, letters: &str, row: u64, style: u8, text: &str) {
    let _ = write!(
        out,
        "<c r=\"{letters}{row}\" s=\"{style}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">"
    );
    let is_long = text.encode_utf16().count() > TEXT_MAX;
    let mut room = TEXT_MAX - usize::from(is_long);
    for (at, letter) in text.char_indices() {
        let Some(left) = room.checked_sub(letter.len_utf16()) else {
            break;
        };
        room = left;
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(letter),
            // What looks like such a spelling is spelled itself.
            '_' if is_spelled(text.get(at..).unwrap_or_default()) => out.push_str("_x005F_"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "_x{:04X}_", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    if is_long {
        out.push('…');
    }
    out.push_str("</t></is></c>");
}

/// Whether a text begins as a spelled letter does: `_x0041_`.
fn is_spelled(text: &str) -> bool {
    let inside = text.strip_prefix("_x").and_then(|text| text.get(..5));
    inside.is_some_and(|inside| inside.ends_with('_') && inside.chars().take(4).all(|digit| digit.is_ascii_hexdigit()))
}

/// `A` to `XFD`.
fn letters(mut column: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + u8::try_from(column % 26).unwrap_or(0)));
        match (column / 26).checked_sub(1) {
            Some(next) => column = next,
            None => break,
        }
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests;
