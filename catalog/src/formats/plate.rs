//! Plate layouts: a matrix with columns 1, 2, … and rows A, B, … becomes one row a well.

use std::collections::BTreeMap;

use crate::formats::column::{self, Cells};
use crate::formats::grid::Grid;
use crate::formats::head::{self, HeadLine};
use crate::formats::infer::ColumnType;
use crate::formats::layout::{Found, Source, keep};
use crate::formats::shapes::{self, Shape};
use crate::formats::{ReadError, header};

/// Columns and rows of the plates with a standard layout (ANSI/SLAS 4-2004, and 1536 wells).
const FORMATS: [(usize, usize); 3] = [(12, 8), (24, 16), (48, 32)];
/// A longer title is a sentence and no name for a column.
const TITLE_CHARS_MAX: usize = 60;
/// Keys of the head that name what was measured.
const VALUE_KEYS: [&str; 2] = ["measurement", "readout"];

/// A matrix in the grid.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    header_row: usize,
    /// The column of the first value.
    values: usize,
    columns: usize,
    rows: usize,
    /// What the corner cell or a cell behind every row says (some readers write the reading's name there).
    label: Option<String>,
}

impl Matrix {
    fn last_row(&self) -> usize {
        self.header_row + self.rows
    }
}

/// All plate matrices of a grid, in order.
///
/// # Errors
/// `NotATable` for one that starts like a plate and is incomplete.
pub(super) fn find(grid: &Grid, shape: &Shape, source: &Source) -> Result<Vec<Matrix>, ReadError> {
    let mut found: Vec<Matrix> = Vec::new();
    for row in shape.rows() {
        if found.last().is_some_and(|last| row <= last.last_row()) {
            continue;
        }
        if let Some((letters, values, columns, rows)) = numbered_header(grid, row) {
            found.push(complete(grid, shape, source, row, letters, values, columns, rows)?);
        }
    }
    Ok(found)
}

/// Unpivots the matrices; lines between them must be titles and keys.
///
/// # Errors
/// `NotATable` when the grid holds other tables as well.
pub(super) fn read(grid: &Grid, shape: &Shape, plates: &[Matrix], source: &Source) -> Result<Found, ReadError> {
    let mut properties = BTreeMap::new();
    let mut sections: Vec<Section> = Vec::new();
    let mut next = 0;
    for plate in plates {
        let lines: Vec<usize> = shape
            .rows()
            .filter(|row| (next..plate.header_row).contains(row))
            .collect();
        let mut section = Section::default();
        for row in lines {
            section.read_line(grid, shape, row, source)?;
            keep(grid, row, source, &mut properties);
        }
        if section.title.is_none() {
            section.title.clone_from(&plate.label);
        }
        sections.push(section);
        next = plate.last_row() + 1;
    }
    let after: Vec<usize> = shape.rows().filter(|row| *row >= next).collect();
    for row in &after {
        if head::classify(&grid.filled(*row)) == HeadLine::Row {
            return Err(shapes::not_a_table(
                grid,
                shape,
                "plate layouts and other tables",
                source,
            ));
        }
        keep(grid, *row, source, &mut properties);
    }
    let naming = Naming::of(&sections);
    let wells = Wells::of(grid, plates, &sections, &naming);
    let names = header::names(wells.names.iter().map(String::as_str));
    let mut types = column::types(names.len(), &wells, source.comma_cells);
    // A plate of whole numbers is still a plate of measurements: the next one may have fractions.
    if let Some(value @ (ColumnType::Int64 | ColumnType::Null)) = types.last_mut() {
        *value = ColumnType::Float64 { comma: false };
    }
    let batches = column::batches(&names, &types, &wells)?;
    let first = plates.first();
    let size = first.map_or(0, |plate| plate.rows * plate.columns);
    let place = source.place;
    let mut notes = vec![format!(
        "{} of {size} wells, the first in {place} {}, values named {:?}",
        if plates.len() == 1 {
            "a plate layout".to_owned()
        } else {
            format!("{} plate layouts", plates.len())
        },
        first.map_or(0, |plate| grid.line(plate.header_row)),
        naming.value
    )];
    if !after.is_empty() {
        notes.push(format!("{} {place}s after the plates kept as properties", after.len()));
    }
    Ok(Found {
        batches,
        first_row: 1,
        notes,
        properties,
    })
}

/// What stands above one matrix.
#[derive(Debug, Default)]
struct Section {
    pairs: Vec<(String, String)>,
    /// The last line above the matrix, if it is no pair.
    title: Option<String>,
}

impl Section {
    fn read_line(&mut self, grid: &Grid, shape: &Shape, row: usize, source: &Source) -> Result<(), ReadError> {
        let filled = grid.filled(row);
        match head::classify(&filled) {
            HeadLine::Pairs(pairs) => {
                self.title = None;
                self.pairs.extend(pairs);
            }
            HeadLine::Note(note) if note.is_empty() => {}
            HeadLine::Note(note) => self.title = Some(note),
            HeadLine::Row => {
                return Err(shapes::not_a_table(
                    grid,
                    shape,
                    "plate layouts and other tables",
                    source,
                ));
            }
        }
        Ok(())
    }

    fn value_key(&self) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, value)| is_value_key(key) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

/// How the columns that differ between matrices are called.
#[derive(Debug)]
struct Naming {
    value: String,
    /// `plate` or `reading`: a column of titles.
    title_column: Option<&'static str>,
    /// Keys of all sections in the order first seen; constant within a matrix.
    keys: Vec<String>,
}

impl Naming {
    fn of(sections: &[Section]) -> Self {
        let titles: Vec<Option<&str>> = sections.iter().map(|section| section.title.as_deref()).collect();
        let first_title = titles.first().copied().flatten();
        let same_title = titles.iter().all(|title| *title == first_title);
        let is_plate = titles.iter().flatten().any(|title| is_plate_title(title));
        let has_titles = titles.iter().any(Option::is_some);
        let mut measured: Vec<&str> = sections.iter().filter_map(Section::value_key).collect();
        measured.dedup();
        let title_column = match (has_titles, is_plate) {
            (true, true) => Some("plate"),
            (true, false) if !same_title => Some("reading"),
            _ => None,
        };
        let value = match measured.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let title = first_title.filter(|title| title_column.is_none() && title.chars().count() <= TITLE_CHARS_MAX);
        let mut keys: Vec<String> = Vec::new();
        for (key, _) in sections.iter().flat_map(|section| &section.pairs) {
            // What names the values is said by the column's name already, unless it changes.
            let said = is_value_key(key) && measured.len() == 1;
            if !said && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Self {
            value: value.or(title).unwrap_or("value").to_owned(),
            title_column,
            keys,
        }
    }
}

/// The long form: every well of every matrix.
struct Wells<'a> {
    names: Vec<String>,
    /// Constants of each matrix, in the order of `names`.
    constants: Vec<Vec<String>>,
    wells: Vec<Well<'a>>,
}

struct Well<'a> {
    plate: usize,
    name: String,
    row: String,
    column: String,
    value: &'a str,
}

impl<'a> Wells<'a> {
    fn of(grid: &'a Grid, plates: &[Matrix], sections: &[Section], naming: &Naming) -> Self {
        // A key of the head holds until a later section says otherwise.
        let mut current: BTreeMap<&str, &str> = BTreeMap::new();
        let mut constants = Vec::new();
        for section in sections {
            for (key, value) in &section.pairs {
                current.insert(key, value);
            }
            let mut row: Vec<String> = naming
                .keys
                .iter()
                .map(|key| current.get(key.as_str()).copied().unwrap_or_default().to_owned())
                .collect();
            if naming.title_column.is_some() {
                row.push(section.title.clone().unwrap_or_default());
            }
            constants.push(row);
        }
        let mut names = naming.keys.clone();
        names.extend(naming.title_column.map(str::to_owned));
        // A key called like one of our columns gives way to it.
        for name in &mut names {
            if ["well", "row", "column"].contains(&name.trim().to_lowercase().as_str()) {
                name.push_str("_of_head");
            }
        }
        names.extend(["well", "row", "column"].map(str::to_owned));
        names.push(naming.value.clone());
        let mut wells = Vec::new();
        for (at, plate) in plates.iter().enumerate() {
            for row in 0..plate.rows {
                for column in 0..plate.columns {
                    let letter = letter(row);
                    wells.push(Well {
                        plate: at,
                        name: format!("{letter}{}", column + 1),
                        row: letter,
                        column: (column + 1).to_string(),
                        value: grid.cell(plate.header_row + 1 + row, plate.values + column),
                    });
                }
            }
        }
        Self {
            names,
            constants,
            wells,
        }
    }
}

impl Cells for Wells<'_> {
    fn height(&self) -> usize {
        self.wells.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        let Some(well) = self.wells.get(row) else {
            return "";
        };
        let constants = self.constants.get(well.plate).map_or(&[][..], Vec::as_slice);
        match column.checked_sub(constants.len()) {
            None => constants.get(column).map_or("", String::as_str),
            Some(0) => &well.name,
            Some(1) => &well.row,
            Some(2) => &well.column,
            Some(_) => well.value,
        }
    }
}

/// A row that reads 1, 2, … 12 (or 24, 48) above an `A`: where the letters and values stand, and the plate's size.
fn numbered_header(grid: &Grid, row: usize) -> Option<(usize, usize, usize, usize)> {
    let number_at = |column: usize| {
        let cell = grid.cell(row, column).trim();
        cell.strip_suffix(".0").unwrap_or(cell).parse::<usize>().ok()
    };
    let start = (0..grid.width(row)).find(|column| number_at(*column).is_some())?;
    let mut count = 0;
    while number_at(start + count) == Some(count + 1) {
        count += 1;
    }
    let (columns, rows) = FORMATS.into_iter().find(|(columns, _)| *columns == count)?;
    // Without a corner cell the header stands one cell to the left of its values.
    let candidates = [
        start.checked_sub(1).map(|letters| (letters, start)),
        (start == 0).then_some((0, 1)),
    ];
    let (letters, values) = candidates
        .into_iter()
        .flatten()
        .find(|(letters, _)| grid.cell(row + 1, *letters).trim().eq_ignore_ascii_case("A"))?;
    Some((letters, values, columns, rows))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a header row just found; a struct would be used only here"
)]
fn complete(
    grid: &Grid,
    shape: &Shape,
    source: &Source,
    header_row: usize,
    letters: usize,
    values: usize,
    columns: usize,
    rows: usize,
) -> Result<Matrix, ReadError> {
    let lettered = (0..rows)
        .take_while(|at| {
            grid.cell(header_row + 1 + at, letters)
                .trim()
                .eq_ignore_ascii_case(&letter(*at))
        })
        .count();
    if lettered != rows {
        let why = format!(
            "a plate layout of {columns} columns in {} {} needs rows A to {}, it has {lettered} in order",
            source.place,
            grid.line(header_row),
            letter(rows - 1)
        );
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    let behind: Vec<&str> = (0..rows)
        .map(|at| grid.cell(header_row + 1 + at, values + columns).trim())
        .collect();
    let behind_first = behind.first().copied().unwrap_or_default();
    let wide = (0..rows).any(|at| shape.filled_width(header_row + 1 + at) > values + columns + 1);
    if wide || behind.iter().any(|cell| *cell != behind_first) {
        let why = format!(
            "cells beside the plate layout in {} {}",
            source.place,
            grid.line(header_row)
        );
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    let corner = if values == letters + 1 && letters < values {
        grid.cell(header_row, letters).trim()
    } else {
        ""
    };
    let corner = if numbered(corner) || is_marker(corner) {
        ""
    } else {
        corner
    };
    let label = [behind_first, corner]
        .into_iter()
        .find(|label| !label.is_empty())
        .map(str::to_owned);
    Ok(Matrix {
        header_row,
        values,
        columns,
        rows,
        label,
    })
}

/// Whether the cells hold all column numbers of a plate, in order.
pub(super) fn numbers_columns(cells: &[&str]) -> bool {
    let numbers: Vec<usize> = cells.iter().filter_map(|cell| cell.trim().parse().ok()).collect();
    FORMATS
        .iter()
        .any(|(columns, _)| numbers.len() == *columns && numbers.iter().copied().eq(1..=*columns))
}

fn numbered(cell: &str) -> bool {
    cell.parse::<usize>().is_ok()
}

/// What readers write into the corner of a layout.
fn is_marker(cell: &str) -> bool {
    !cell.contains(char::is_alphabetic) || ["row", "rows", "well", "wells"].contains(&cell.to_lowercase().as_str())
}

fn is_plate_title(title: &str) -> bool {
    title.to_lowercase().contains("plate")
}

fn is_value_key(key: &str) -> bool {
    VALUE_KEYS.contains(&key.trim().to_lowercase().as_str())
}

/// Row 0 is A, 25 is Z, 26 is AA.
fn letter(row: usize) -> String {
    let single = |at: usize| char::from(b'A' + u8::try_from(at % 26).unwrap_or(0));
    match row.checked_sub(26) {
        None => single(row).to_string(),
        Some(rest) => format!("A{}", single(rest)),
    }
}
