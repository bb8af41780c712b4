//! Excel and OpenDocument sheets by content. Their cells are texts, so that sheets and delimited text share one way to
//! find a table and its types.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::layout::{self, Source};
use crate::formats::shapes::Shape;
use crate::formats::workbook_cells::{Kind, SheetGrid, damaged};
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, blocks, header, moment, number, sheets, words};

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

/// What lists of results call their things; settings have none of these.
const THINGS: [&str; 14] = [
    "compound",
    "compound id",
    "sample",
    "sample id",
    "sample name",
    "analyte",
    "well",
    "probe",
    "target",
    "gene",
    "peak",
    "substance",
    "drug",
    "strain",
];

/// Reads all visible sheets: the first table is the main block, the others carry their sheet's name.
///
/// # Errors
/// `Damaged` and `Unsupported` for the container, `NotATable` (and its like) with the sheet's name.
pub(super) fn read(bytes: Bytes, limits: &Limits) -> Result<Parsed, ReadError> {
    let kind = Kind::of(&bytes, limits)?;
    // The decoder is a library that meets hostile files here: a panic in it is a damaged file, not our end.
    let (sheets, valueless) = catch_unwind(AssertUnwindSafe(|| kind.sheets(bytes, limits)))
        .unwrap_or_else(|_| Err(damaged(kind, "the reader gave up on it")))?;
    let mut parsed = assemble(kind.name(), sheets, limits).map_err(|error| beside(error, valueless.formulas))?;
    if valueless.formulas > 0 {
        let why = format!(
            "{} formulas without a stored value, which were read as blank: save the file in Excel",
            valueless.formulas
        );
        parsed.confidence.doubt(0.7, why);
    }
    if valueless.errors > 0 {
        let errors = valueless.errors;
        let why = format!("{errors} cells hold errors such as #DIV/0!, which are no values");
        parsed.confidence.doubt(0.95, why);
    }
    Ok(parsed)
}

/// The error of a workbook of whose formulas so many have no stored value: that may be why.
fn beside(error: ReadError, formulas: usize) -> ReadError {
    let told =
        |seen: String| format!("{seen} ({formulas} formulas have no stored value: save the file in Excel first)");
    match error {
        error if formulas == 0 => error,
        ReadError::NotATable { seen } => ReadError::NotATable { seen: told(seen) },
        ReadError::NoDataRows { seen } => ReadError::NoDataRows { seen: told(seen) },
        error => error,
    }
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

fn assemble(kind: &str, sheets: Vec<SheetGrid>, limits: &Limits) -> Result<Parsed, ReadError> {
    let source = Source {
        place: "row",
        delimiter: "cell".to_owned(),
        comma_cells: true,
        quoted_commas: false,
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
            || (speaks_of_settings(name) && holds_pairs(&sheet.grid, &shape) && !lists_things(&sheet.grid, &shape));
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

/// Names of two columns, and below them things that differ in their numbers alone, or with a word for things as their name, each
/// with a value.
fn lists_things(grid: &Grid, shape: &Shape) -> bool {
    let rows: Vec<Vec<&str>> = shape.rows().map(|row| grid.filled(row)).collect();
    let Some((names, pairs)) = rows.split_first() else {
        return false;
    };
    let is_value = |pair: &Vec<&str>| {
        let value = pair.get(1);
        value.is_some_and(|cell| number::parse(cell).is_some() || moment::is_moment(cell) || words::is_mark(cell))
    };
    let keys = || pairs.iter().filter_map(|pair| pair.first().copied());
    let names_things = names
        .first()
        .is_some_and(|name| THINGS.contains(&name.trim().to_lowercase().as_str()));
    let valued = pairs.iter().filter(|pair| is_value(pair)).count();
    header::is_all_labels(names)
        && pairs.len() > 1
        && valued * 5 >= pairs.len() * 4
        && (names_things || blocks::are_numbered(keys()))
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
