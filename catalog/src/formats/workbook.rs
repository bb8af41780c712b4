//! Excel and OpenDocument sheets by content. Every cell becomes the text a CSV export would have, so that sheets and
//! delimited text share one way to find a table and its types.

use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use calamine::{Data, DataRef, ExcelDateTime, Ods, Range, Reader, SheetType, SheetVisible, Xls, Xlsb, Xlsx};

use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::layout::{self, Source};
use crate::formats::shapes::Shape;
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, header, moment, number, sheets, zip_directory};

/// Beyond this a float has no fraction left and is written with an exponent.
const PLAIN_FLOAT_MAX: f64 = 1e15;

/// Whether the archive is a workbook at all.
///
/// # Errors
/// As [`read`].
pub(super) fn is_workbook(bytes: &[u8], limits: &Limits) -> Result<bool, ReadError> {
    match Kind::of(bytes, limits) {
        Ok(_) => Ok(true),
        Err(ReadError::Unsupported { seen }) if seen.starts_with("a zip archive of") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Rows of a sheet of settings; a longer one is a list.
const SETTINGS_ROWS_MAX: usize = 200;

/// Reads all visible sheets: the first table is the main block, the others carry their sheet's name.
///
/// # Errors
/// `Damaged` and `Unsupported` for the container, `NotATable` (and its like) with the sheet's name.
pub(super) fn read(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    let kind = Kind::of(&bytes, limits)?;
    // The decoder is a library that meets hostile files here: a panic in it is a damaged file, not our end.
    let (sheets, errors) = catch_unwind(AssertUnwindSafe(|| kind.sheets(bytes, limits)))
        .unwrap_or_else(|_| Err(damaged(kind, "the reader gave up on it")))?;
    let mut parsed = assemble(kind.name(), sheets, limits)?;
    if errors > 0 {
        let why = format!("{errors} cells hold errors such as #DIV/0!, which are no values");
        parsed.confidence.doubt(0.95, why);
    }
    Ok(parsed)
}

/// Sheets that come as grids, by the same rules.
///
/// # Errors
/// As [`read`].
pub(super) fn of_grids(kind: &str, sheets: Vec<(String, Grid)>, limits: &Limits) -> Result<Parsed, ReadError> {
    let sheets = sheets.into_iter().map(|(name, grid)| SheetGrid {
        name,
        hidden: false,
        grid,
    });
    assemble(kind, sheets.collect(), limits)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Xlsx,
    Xlsb,
    Ods,
    Xls,
}

struct SheetGrid {
    name: String,
    hidden: bool,
    grid: Grid,
}

impl Kind {
    fn of(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
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

    fn name(self) -> &'static str {
        match self {
            Self::Xlsx => "Excel (xlsx)",
            Self::Xlsb => "Excel (xlsb)",
            Self::Ods => "OpenDocument (ods)",
            Self::Xls => "Excel (xls)",
        }
    }

    /// The sheets, and how many of their cells hold an error instead of a value.
    fn sheets(self, bytes: Bytes, limits: &Limits) -> Result<(Vec<SheetGrid>, usize), ReadError> {
        let mut errors = 0;
        let source = Cursor::new(bytes);
        let sheets = match self {
            Self::Xlsx => {
                let mut book = Xlsx::new(source).map_err(|error| damaged(self, error))?;
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
                    fill_range(&range, limits)
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
        Ok((sheets, errors))
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

fn assemble(kind: &str, sheets: Vec<SheetGrid>, limits: &Limits) -> Result<Parsed, ReadError> {
    let source = Source {
        place: "row",
        delimiter: "cell".to_owned(),
        comma_cells: true,
        comma_locale: false,
        single_column: true,
        pinned: limits.pinned.clone(),
    };
    let mut confidence = Confidence::default();
    let mut notes = vec![kind.to_owned()];
    let mut blocks: Vec<Block> = Vec::new();
    // The sheet of each block.
    let mut sheets_of: Vec<String> = Vec::new();
    let mut properties = BTreeMap::new();
    let mut sheets = sheets;
    if let Some(only) = limits
        .pinned
        .sheet_among(sheets.iter().map(|sheet| sheet.name.as_str()))?
    {
        sheets = vec![SheetGrid {
            hidden: false,
            ..sheets.swap_remove(only)
        }];
    }
    let count = sheets.len();
    for mut sheet in sheets {
        sheet.grid = limits.pinned.skip_rows(sheet.grid, limits)?;
        let shape = Shape::of(&sheet.grid);
        if shape.rows().next().is_none() {
            continue;
        }
        let name = &sheet.name;
        if sheet.hidden {
            notes.push(format!("hidden sheet {name:?} not read"));
            continue;
        }
        let is_told = is_notes(&sheet.grid, &shape)
            || is_pairs(&sheet.grid, &shape)
            || (speaks_of_settings(name) && holds_pairs(&sheet.grid, &shape));
        if is_told && count > 1 {
            for row in shape.rows() {
                let mut of_sheet = BTreeMap::new();
                layout::keep(&sheet.grid, row, &source, &mut of_sheet);
                of_sheet
                    .iter()
                    .for_each(|(key, value)| head::record(&mut properties, &format!("{name}: {key}"), value));
            }
            notes.push(format!("sheet {name:?} holds keys and notes, kept as properties"));
            continue;
        }
        let found = layout::read(&sheet.grid, &source).map_err(|error| in_sheet(error, name))?;
        notes.push(format!("sheet {name:?}: {}", found.notes.join(", ")));
        confidence.least(found.confidence);
        for (key, value) in &found.properties {
            head::record(&mut properties, key, value);
        }
        for table in found.tables {
            let own = match table.name {
                Some(block) if count > 1 => Some(format!("{name} {block}")),
                Some(block) => Some(block),
                None => (!blocks.is_empty()).then(|| name.clone()),
            };
            sheets_of.push(name.clone());
            blocks.push(Block {
                name: own,
                batches: table.batches,
                first_row: table.first_row,
            });
        }
    }
    let blocks = sheets::together(blocks, sheets_of, &mut notes);
    if blocks.is_empty() {
        return Err(ReadError::NoDataRows {
            seen: format!("a workbook of {count} sheets without a table"),
        });
    }
    Ok(Parsed {
        taken_for: notes.join("; "),
        blocks,
        properties,
        confidence,
    })
}

/// A cover sheet: nothing but single cells and marked pairs.
fn is_notes(grid: &Grid, shape: &Shape) -> bool {
    let is_list = shape.rows().count() > 1
        && shape.rows().all(|row| {
            shape.filled_width(row) == 1 && !matches!(head::classify(&grid.filled(row)), HeadLine::Pairs(_))
        });
    !is_list
        && shape.rows().all(|row| {
            let filled = grid.filled(row);
            filled.len() == 1 || head::is_marked(&filled)
        })
}

/// Whether a sheet's name says that it is about the others.
fn speaks_of_settings(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "info",
        "about",
        "meta",
        "metadata",
        "settings",
        "parameters",
        "protocol",
        "notes",
        "readme",
        "cover",
        "summary",
        "instrument",
        "method",
        "general",
    ];
    let lower = name.to_lowercase();
    let mut words = lower.split(|character: char| !character.is_alphanumeric());
    words.any(|word| WORDS.contains(&word) || word == "information")
}

/// At most two cells a row, the first a key that comes once.
fn holds_pairs(grid: &Grid, shape: &Shape) -> bool {
    let mut seen = HashSet::new();
    let mut rows = shape.rows().take(SETTINGS_ROWS_MAX + 1).map(|row| grid.filled(row));
    let mut count = 0;
    rows.all(|filled| {
        count += 1;
        let key = filled
            .first()
            .is_some_and(|key| header::is_label(key) && seen.insert(*key));
        count <= SETTINGS_ROWS_MAX && filled.len() <= 2 && key
    })
}

/// A sheet of settings: a title, then at most two cells a row, and no second column of values under a header.
fn is_pairs(grid: &Grid, shape: &Shape) -> bool {
    let rows: Vec<Vec<&str>> = shape
        .rows()
        .take(SETTINGS_ROWS_MAX + 1)
        .map(|row| grid.filled(row))
        .collect();
    let titled = rows.first().is_some_and(|first| first.len() == 1);
    let pairs: Vec<&Vec<&str>> = rows.iter().filter(|filled| filled.len() == 2).collect();
    let small = rows.len() <= SETTINGS_ROWS_MAX && rows.iter().all(|filled| filled.len() <= 2);
    let is_value = |cell: &&str| number::parse(cell).is_some() || moment::is_moment(cell);
    let named = pairs.first().is_some_and(|pair| header::is_all_labels(pair));
    let is_list = named && pairs.len() > 1 && pairs.iter().skip(1).all(|pair| pair.get(1).is_some_and(is_value));
    titled && small && !is_list && !pairs.is_empty() && pairs.len() * 3 >= rows.len()
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

fn in_sheet(error: ReadError, sheet: &str) -> ReadError {
    match error {
        ReadError::NotATable { seen } => ReadError::NotATable {
            seen: format!("sheet {sheet:?}: {seen}"),
        },
        ReadError::NoDataRows { seen } => ReadError::NoDataRows {
            seen: format!("sheet {sheet:?}: {seen}"),
        },
        ReadError::LongRow {
            place,
            seen,
            expected,
            delimiter,
        } => ReadError::LongRow {
            place: format!("sheet {sheet:?}, {place}"),
            seen,
            expected,
            delimiter,
        },
        other => other,
    }
}

fn damaged(kind: Kind, error: impl std::fmt::Display) -> ReadError {
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
