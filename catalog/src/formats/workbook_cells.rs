//! Sheets of workbooks as grids: every cell becomes the text a CSV export would have.

use std::io::Cursor;

use bytes::Bytes;
use calamine::{Data, DataRef, ExcelDateTime, Ods, Range, Reader, SheetType, SheetVisible, Xls, Xlsb, Xlsx};

use crate::formats::grid::Grid;
use crate::formats::workbook_styles::Styles;
use crate::formats::{Limits, ReadError, blocks, merged, zip_directory};

/// Beyond this a float has no fraction left and is written with an exponent.
const PLAIN_FLOAT_MAX: f64 = 1e15;

/// The kinds of workbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xlsx,
    Xlsb,
    Ods,
    Xls,
}

/// A sheet and its cells.
pub(super) struct SheetGrid {
    pub(super) name: String,
    pub(super) hidden: bool,
    pub(super) grid: Grid,
}

/// How many cells hold no value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Valueless {
    /// An error stands instead.
    pub(super) errors: usize,
    /// They hold a formula whose value was not stored (of xlsx alone).
    pub(super) formulas: usize,
}

impl Kind {
    /// By the names inside; `Unsupported` for an archive that is no workbook.
    ///
    /// # Errors
    /// Archives that cannot be listed.
    pub(super) fn of(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        if !bytes.starts_with(b"PK") {
            return Ok(Self::Xls);
        }
        let names = zip_directory::names(bytes, limits)?;
        let has = |wanted: &str| {
            names
                .iter()
                .any(|name| name.replace('\\', "/").eq_ignore_ascii_case(wanted))
        };
        if has("xl/workbook.bin") {
            Ok(Self::Xlsb)
        } else if has("xl/workbook.xml") {
            Ok(Self::Xlsx)
        } else if has("content.xml") && has("mimetype") {
            Ok(Self::Ods)
        } else {
            Err(ReadError::Unsupported {
                seen: format!("a zip archive of {} files inside another", names.len()),
            })
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Xlsx => "Excel (xlsx)",
            Self::Xlsb => "Excel (xlsb)",
            Self::Ods => "OpenDocument (ods)",
            Self::Xls => "Excel (xls)",
        }
    }

    /// The sheets, and which of their cells hold no value.
    ///
    /// # Errors
    /// `Damaged`, `Unsupported` for a password, `TooLarge`.
    pub(super) fn sheets(self, bytes: Bytes, limits: &Limits) -> Result<(Vec<SheetGrid>, Valueless), ReadError> {
        let (mut errors, mut formulas) = (0, 0);
        let source = Cursor::new(bytes.clone());
        let sheets = match self {
            Self::Xlsx => {
                let mut book = Xlsx::new(source).map_err(|error| damaged(self, error))?;
                let styles = Styles::of(&bytes, limits);
                let sheets = book.sheets_metadata().to_vec();
                each_sheet(&sheets, |name| {
                    let mut filler = Filler::new(limits);
                    let mut looks = styles.sheet(&bytes, name, limits);
                    formulas += looks.unstored;
                    {
                        let mut cells = book
                            .worksheet_cells_reader(name)
                            .map_err(|error| damaged(self, error))?;
                        while let Some(cell) = cells.next_cell().map_err(|error| damaged(self, error))? {
                            let (at, value) = (cell.get_position(), cell.get_value());
                            errors += usize::from(matches!(value, DataRef::Error(_)));
                            let shown = match value {
                                DataRef::Float(float) => looks.number(at, *float),
                                DataRef::Int(int) => looks.number(at, *int as f64),
                                _ => None,
                            };
                            let text = shown.unwrap_or_else(|| text_of_ref(value));
                            if matches!(value, DataRef::SharedString(_) | DataRef::String(_)) {
                                looks.see_text(at, &text);
                            }
                            filler.put(at, &text)?;
                        }
                    }
                    let grid = filler.finish()?;
                    if !merged::has_gaps(&grid) {
                        return Ok(grid);
                    }
                    let regions = book
                        .merge_cells_by_sheet_name(name)
                        .map_err(|error| damaged(self, error))?;
                    merged::spread(grid, &regions, limits)
                })
            }
            Self::Xlsb => {
                let mut book = Xlsb::new(source).map_err(|error| damaged(self, error))?;
                let sheets = book.sheets_metadata().to_vec();
                each_sheet(&sheets, |name| {
                    let mut cells = book
                        .worksheet_cells_reader(name)
                        .map_err(|error| damaged(self, error))?;
                    let mut filler = Filler::new(limits);
                    while let Some(cell) = cells.next_cell().map_err(|error| damaged(self, error))? {
                        errors += usize::from(matches!(cell.get_value(), DataRef::Error(_)));
                        filler.put(cell.get_position(), &text_of_ref(cell.get_value()))?;
                    }
                    filler.finish()
                })
            }
            Self::Xls => {
                let mut book = Xls::new(source).map_err(|error| match error {
                    calamine::XlsError::Password => with_password(),
                    error => damaged(self, error),
                })?;
                let sheets = book.sheets_metadata().to_vec();
                each_sheet(&sheets, |name| {
                    let range = book.worksheet_range(name).map_err(|error| damaged(self, error))?;
                    let failed = |(_, _, value): &(usize, usize, &Data)| matches!(value, Data::Error(_));
                    errors += range.used_cells().filter(failed).count();
                    let regions = book
                        .merge_cells_by_sheet_name(name)
                        .map_err(|error| damaged(self, error))?;
                    merged::spread(fill_range(&range, limits)?, &regions, limits)
                })
            }
            Self::Ods => {
                let mut book = Ods::new(source).map_err(|error| damaged(self, error))?;
                let sheets = book.sheets_metadata().to_vec();
                each_sheet(&sheets, |name| {
                    let range = book.worksheet_range(name).map_err(|error| damaged(self, error))?;
                    let failed = |(_, _, value): &(usize, usize, &Data)| matches!(value, Data::Error(_));
                    errors += range.used_cells().filter(failed).count();
                    fill_range(&range, limits)
                })
            }
        }?;
        Ok((sheets, Valueless { errors, formulas }))
    }
}

fn each_sheet(
    sheets: &[calamine::Sheet],
    mut grid: impl FnMut(&str) -> Result<Grid, ReadError>,
) -> Result<Vec<SheetGrid>, ReadError> {
    sheets
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .map(|sheet| {
            Ok(SheetGrid {
                name: sheet.name.clone(),
                hidden: sheet.visible != SheetVisible::Visible,
                grid: grid(&sheet.name)?,
            })
        })
        .collect()
}

/// Puts sparse cells (in row order, as sheets store them) into a grid; empty rows between are kept as one blank row.
struct Filler<'a> {
    grid: Grid,
    limits: &'a Limits,
    /// The open row and how many cells it has.
    open: Option<(u32, u32)>,
}

impl<'a> Filler<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            grid: Grid::default(),
            limits,
            open: None,
        }
    }

    fn put(&mut self, (row, column): (u32, u32), text: &str) -> Result<(), ReadError> {
        if text.is_empty() {
            return Ok(());
        }
        // Some programs fill the column of wells with spaces.
        let text = match text.trim() {
            well if well.len() < text.len() && blocks::is_well(well) => well,
            _ => text,
        };
        match self.open {
            Some((open, _)) if open == row => {}
            Some((open, _)) if row < open => {
                return Err(ReadError::Damaged {
                    format: "workbook",
                    why: format!("row {} stands after row {}", row + 1, open + 1),
                });
            }
            Some((open, _)) => {
                self.grid.end_row(u64::from(open) + 1, self.limits)?;
                if row > open + 1 {
                    self.grid.end_row(u64::from(open) + 2, self.limits)?;
                }
                self.open = Some((row, 0));
            }
            None => self.open = Some((row, 0)),
        }
        let line = u64::from(row) + 1;
        let filled = self.open.map_or(0, |(_, filled)| filled);
        if column as usize >= self.limits.columns_max {
            return Err(ReadError::TooLarge {
                what: "the number of columns",
                seen: format!("{} (row {line})", column + 1),
                max: self.limits.columns_max as u64,
            });
        }
        for _ in filled..column {
            self.grid.push_cell("", line, self.limits)?;
        }
        self.grid.push_cell(text, line, self.limits)?;
        self.open = Some((row, column + 1));
        Ok(())
    }

    fn finish(mut self) -> Result<Grid, ReadError> {
        if let Some((open, _)) = self.open {
            self.grid.end_row(u64::from(open) + 1, self.limits)?;
        }
        Ok(self.grid)
    }
}

fn fill_range(range: &Range<Data>, limits: &Limits) -> Result<Grid, ReadError> {
    let (top, left) = range.start().unwrap_or((0, 0));
    let mut filler = Filler::new(limits);
    for (row, column, value) in range.used_cells() {
        let at = (top.saturating_add(to_u32(row)), left.saturating_add(to_u32(column)));
        filler.put(at, &text_of(value))?;
    }
    filler.finish()
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn text_of_ref(value: &DataRef<'_>) -> String {
    match value {
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Int(int) => int.to_string(),
        DataRef::Float(float) => float_text(*float),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(moment) => moment_text(moment),
        // An error such as #DIV/0! is no value.
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

fn text_of(value: &Data) -> String {
    match value {
        Data::Int(int) => int.to_string(),
        Data::Float(float) => float_text(*float),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => value.to_string(),
        Data::DateTime(moment) => moment_text(moment),
        Data::Error(_) | Data::Empty => String::new(),
    }
}

fn float_text(float: f64) -> String {
    if float == 0.0 || (1e-5..PLAIN_FLOAT_MAX).contains(&float.abs()) {
        float.to_string()
    } else {
        format!("{float:e}")
    }
}

/// ISO 8601; a time alone as `HH:MM:SS`, a duration as hours, minutes and seconds.
fn moment_text(moment: &ExcelDateTime) -> String {
    let days = moment.as_f64();
    if moment.is_duration() {
        let seconds = (days * 86_400.0).round().abs();
        let sign = if days < 0.0 { "-" } else { "" };
        let whole = seconds as u64;
        return format!("{sign}{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    }
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    let fraction = if milli == 0 {
        String::new()
    } else {
        format!(".{milli:03}")
    };
    if (0.0..1.0).contains(&days) {
        format!("{hour:02}:{minute:02}:{second:02}{fraction}")
    } else if days.fract() == 0.0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
    }
}

/// What cannot be read of a workbook of this kind, and why.
pub(super) fn damaged(kind: Kind, error: impl std::fmt::Display) -> ReadError {
    let why = error.to_string();
    if why.to_lowercase().contains("password") {
        return with_password();
    }
    ReadError::Damaged {
        format: kind.name(),
        why,
    }
}

fn with_password() -> ReadError {
    ReadError::Unsupported {
        seen: "a workbook with a password; save it without one".to_owned(),
    }
}
