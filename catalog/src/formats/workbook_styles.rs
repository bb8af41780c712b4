//! What the cells of an Excel sheet look like beside their values: `0.91` that is shown as `91.0%`, `7` that is shown as
//! `00007`, and formulas whose values nobody stored.

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::formats::{Limits, words, zip_directory};

/// Formats with fewer zeros pad hours and months, which are numbers.
const ZEROS_MIN: usize = 3;
/// Numbers of the formats `0%` and `0.00%`, which every workbook has.
const PERCENT_FORMATS: [usize; 2] = [9, 10];

/// How a number is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Percent,
    /// With zeros before it, up to so many digits.
    Zeros(usize),
}

/// The looks of a workbook's styles.
#[derive(Debug, Default)]
pub(super) struct Styles {
    looks: Vec<Option<Look>>,
    /// The part of each sheet, by its name.
    parts: HashMap<String, String>,
}

/// What a sheet holds beside the values of its cells.
#[derive(Debug, Default)]
pub(super) struct Looks {
    cells: HashMap<(u32, u32), Look>,
    /// Formulas without a stored value.
    pub(super) unstored: usize,
    headings: HashMap<u32, Heading>,
}

/// The last heading of a column.
#[derive(Debug, Default, Clone, Copy)]
struct Heading {
    says_percent: bool,
    /// The last row of the column that holds something.
    row: u32,
}

impl Styles {
    /// Those of a workbook; a part that cannot be read says nothing.
    pub(super) fn of(bytes: &[u8], limits: &Limits) -> Self {
        let part = |name: &str| text_of(zip_directory::file(bytes, name, limits));
        let mut targets = HashMap::new();
        each(&part("xl/_rels/workbook.xml.rels"), |element| {
            if element.local_name().into_inner() == "Relationship"
                && let (Some(id), Some(target)) = (attribute(element, "Id"), attribute(element, "Target"))
            {
                targets.insert(id, target);
            }
        });
        let mut parts = HashMap::new();
        each(&part("xl/workbook.xml"), |element| {
            if element.local_name().into_inner() == "sheet"
                && let (Some(name), Some(id)) = (attribute(element, "name"), attribute(element, "id"))
                && let Some(target) = targets.get(&id)
            {
                let part = match target.strip_prefix('/') {
                    Some(whole) => whole.to_owned(),
                    None => format!("xl/{target}"),
                };
                parts.insert(name, part);
            }
        });
        Self {
            looks: looks(&part("xl/styles.xml")),
            parts,
        }
    }

    /// What the cells of a sheet look like.
    pub(super) fn sheet(&self, bytes: &[u8], name: &str, limits: &Limits) -> Looks {
        let part = self.parts.get(name);
        let text = text_of(part.and_then(|part| zip_directory::file(bytes, part, limits)));
        let mut found = Looks::default();
        let has_formulas = text.contains("<f") || text.contains(":f");
        if has_formulas || self.looks.iter().any(Option::is_some) {
            found.take(&text, &self.looks);
        }
        found
    }
}

impl Looks {
    fn take(&mut self, text: &str, looks: &[Option<Look>]) {
        let mut reader = Reader::from_str(text);
        // Of the open cell: whether it has a formula, and a value or none by its kind.
        let (mut formula, mut value, mut in_value) = (false, false, false);
        loop {
            match reader.read_event() {
                Ok(Event::Start(element)) => match element.local_name().into_inner() {
                    "c" => {
                        self.look(&element, looks);
                        // The result of a formula may be a text without a letter.
                        (formula, value) = (false, attribute(&element, "t").as_deref() == Some("str"));
                    }
                    "f" => formula = true,
                    "v" | "is" => in_value = true,
                    _ => {}
                },
                Ok(Event::Empty(element)) => match element.local_name().into_inner() {
                    "c" => self.look(&element, looks),
                    "f" => formula = true,
                    _ => {}
                },
                Ok(Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)) => value |= in_value,
                Ok(Event::End(element)) => match element.local_name().into_inner() {
                    "c" => {
                        self.unstored += usize::from(formula && !value);
                        formula = false;
                    }
                    "v" | "is" => in_value = false,
                    _ => {}
                },
                Ok(Event::Eof) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn look(&mut self, element: &BytesStart<'_>, looks: &[Option<Look>]) {
        let style = attribute(element, "s").and_then(|style| style.parse::<usize>().ok());
        let look = style.and_then(|style| looks.get(style).copied().flatten());
        let at = attribute(element, "r").and_then(|place| position(&place));
        if let (Some(look), Some(at)) = (look, at) {
            self.cells.insert(at, look);
        }
    }

    /// A cell's text takes note of its column's heading.
    pub(super) fn see_text(&mut self, (row, column): (u32, u32), text: &str) {
        let lower = text.to_lowercase();
        let heading = self.headings.entry(column).or_default();
        if text.contains('%') || lower.contains("percent") || lower.contains("prozent") {
            heading.says_percent = true;
        } else if row > heading.row + 1 && !words::is_mark(text.trim()) {
            // Words below a gap head another table.
            heading.says_percent = false;
        }
        heading.row = row;
    }

    /// The text of a number as the sheet shows it, where that is another than its value: `91` for `0.91` below a heading of
    /// percents, `00007`.
    pub(super) fn number(&mut self, (row, column): (u32, u32), float: f64) -> Option<String> {
        let heading = self.headings.entry(column).or_default();
        heading.row = row;
        match self.cells.get(&(row, column))? {
            Look::Percent => heading.says_percent.then(|| hundredfold(float)),
            Look::Zeros(digits) => {
                let is_whole = float >= 0.0 && float.fract() == 0.0 && float < 1e15;
                is_whole.then(|| format!("{:0>digits$}", float as u64))
            }
        }
    }
}

/// The look of each style of cells.
fn looks(text: &str) -> Vec<Option<Look>> {
    let mut codes: HashMap<usize, Look> = PERCENT_FORMATS.into_iter().map(|id| (id, Look::Percent)).collect();
    let mut all = Vec::new();
    let mut reader = Reader::from_str(text);
    let mut in_cells = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => {
                let id = || attribute(&element, "numFmtId").and_then(|id| id.parse::<usize>().ok());
                match element.local_name().into_inner() {
                    "numFmt" => {
                        let look = attribute(&element, "formatCode").and_then(|code| look_of(&code));
                        if let (Some(id), Some(look)) = (id(), look) {
                            codes.insert(id, look);
                        }
                    }
                    "cellXfs" => in_cells = true,
                    "xf" if in_cells => all.push(id().and_then(|id| codes.get(&id).copied())),
                    _ => {}
                }
            }
            Ok(Event::End(element)) if element.local_name().into_inner() == "cellXfs" => return all,
            Ok(Event::Eof) | Err(_) => return all,
            Ok(_) => {}
        }
    }
}

/// `0.0%` and `00000`; a percent sign in quotes or behind a backslash is only a letter.
fn look_of(code: &str) -> Option<Look> {
    let (mut quoted, mut escaped, mut percent) = (false, false, false);
    for character in code.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '%' if !quoted => percent = true,
            _ => {}
        }
    }
    let is_zeros = code.len() >= ZEROS_MIN && code.bytes().all(|byte| byte == b'0');
    match (percent, is_zeros) {
        (true, _) => Some(Look::Percent),
        (false, true) => Some(Look::Zeros(code.len())),
        (false, false) => None,
    }
}

/// A number times hundred, digit by digit: `0.07` is `7`.
fn hundredfold(float: f64) -> String {
    let text = float.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{fraction:0<2}");
    let (moved, rest) = digits.split_at_checked(2).unwrap_or((&digits, ""));
    let whole = format!("{whole}{moved}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let sign = if float < 0.0 { "-" } else { "" };
    match rest {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

/// Row and column of `B12`, from 0.
fn position(place: &str) -> Option<(u32, u32)> {
    let letters = place.bytes().take_while(u8::is_ascii_uppercase).count();
    let (letters, digits) = place.split_at_checked(letters)?;
    let column = letters.bytes().try_fold(0u32, |column, letter| {
        column.checked_mul(26)?.checked_add(u32::from(letter - b'A') + 1)
    })?;
    let row: u32 = digits.parse().ok()?;
    Some((row.checked_sub(1)?, column.checked_sub(1)?))
}

/// Calls back for each element that opens.
fn each(text: &str, mut see: impl FnMut(&BytesStart<'_>)) {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => see(&element),
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The value of an attribute, whatever its prefix.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = element.attributes().flatten();
    let found = attributes.find(|attribute| attribute.key.local_name().into_inner() == name)?;
    let value = found.normalized_value(XmlVersion::Explicit1_0).ok()?;
    Some(value.into_owned())
}

/// A part of a workbook as text; nothing where it is not there.
fn text_of(part: Option<Vec<u8>>) -> String {
    part.map_or_else(String::new, |part| String::from_utf8_lossy(&part).into_owned())
}
