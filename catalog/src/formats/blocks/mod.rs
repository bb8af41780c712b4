//! Files of several blocks: a head of keys and values, sections with titles, plate matrices, lists with a column per
//! well, plain tables, and what stands between them.
//!
//! The grid is read once from top to bottom ([`scan`]); readings of plates are joined to one row a well ([`plates`]),
//! plain tables of one shape to one table ([`join`]). A grid of which too much stays unexplained is refused.

mod behind;
mod context;
mod draft;
mod frame;
mod join;
mod layer;
mod list;
mod matrix;
mod outline;
mod part;
mod planned;
mod plates;
mod record;
mod rows;
mod scan;
mod summary;
mod table;
mod two;
mod well;

use std::collections::{BTreeMap, HashSet};

use crate::formats::blocks::draft::Draft;
use crate::formats::blocks::outline::Outline;
use crate::formats::blocks::scan::Scan;
use crate::formats::column::{self, Cells, Plan};
use crate::formats::grid::Grid;
use crate::formats::infer::{ColumnType, Style};
use crate::formats::layout::{Found, FoundTable, Source, keep};
use crate::formats::shapes::{self, Shape};
use crate::formats::{Confidence, ReadError, constants, head, header};

/// Up to this share of rows may be neither in a block nor a title or pair.
const ODD_ROWS_MAX: f64 = 0.2;
/// Cells of all tables of one file together; each costs some thirty bytes while the types are decided.
const DRAFT_CELLS_MAX: usize = 1 << 24;
/// The first plate of a file that holds plates stands before this row. Where it does not, the file is no single table
/// either, and is read as blocks all the same.
pub(super) const PLATE_ROWS: usize = 10_000;
/// Rows of a head that are looked at for a word about plates.
const HEAD_ROWS: usize = 500;
/// Cells looked at to see whether a row heads a plate: an axis or two, then the first columns.
const HEAD_CELLS: usize = 8;
/// Wells times reads of one file: 384 wells at ten thousand points.
const READINGS_MAX: usize = 1 << 22;
/// Tables of one file; more are not blocks, but a text that looks like them.
const TABLES_MAX: usize = 64;

/// Whether the grid holds a plate matrix or a list with a column per well, which no plain table explains.
pub(super) fn has_plates(grid: &Grid) -> bool {
    let mut outline = None;
    let mut told: Option<bool> = None;
    for row in (0..grid.height().min(PLATE_ROWS)).filter(|row| could_head(grid, *row)) {
        // Most files have no such row, and pay nothing for these two.
        let outline = outline.get_or_insert_with(|| Outline::of(grid));
        let told =
            *told.get_or_insert_with(|| (0..row.min(HEAD_ROWS)).any(|row| grid.cells(row).any(scan::speaks_of_plates)));
        let none = |_: usize| None;
        if matrix::at(grid, outline, row, told).is_some()
            || list::at(grid, outline, row, told, none).is_some()
            || frame::at(grid, outline, row, told, none).is_some()
        {
            return true;
        }
    }
    false
}

/// The cheap look: near the start of the row stand 1 and 2, or two wells, side by side.
fn could_head(grid: &Grid, row: usize) -> bool {
    could_head_plate(grid.cells(row))
}

/// Reads a grid as blocks.
///
/// # Errors
/// `NotATable` when no block is found or too much is unexplained, `TooLarge` for more cells than fit.
pub(super) fn read(grid: &Grid, shape: &Shape, source: &Source) -> Result<Found, ReadError> {
    let outline = Outline::of(grid);
    let scan = Scan::of(grid, &outline);
    if let Some(found) = record::read(grid, source, &scan)? {
        return Ok(found);
    }
    refuse(grid, shape, source, &scan)?;
    let mut properties = BTreeMap::new();
    for row in &scan.lines {
        keep(grid, *row, source, &mut properties);
    }
    for (key, value) in &scan.summed {
        head::record(&mut properties, key, value);
    }
    let mut confidence = doubts(&scan);
    let odd_rows = scan
        .odd
        .iter()
        .map(|row| format!("{} {}", source.place, grid.line(*row)))
        .collect();
    let (lines, odd, head) = (scan.lines.len(), scan.odd.len(), scan.head);
    let shifted: Vec<String> = scan.shifted.iter().map(|row| grid.line(*row).to_string()).collect();
    let plate_count = scan.plates.len();
    let layers = scan.plates.iter().flat_map(|plates| &plates.layers);
    let readings: usize = layers.map(|layer| layer.wells.len()).sum();
    if readings > READINGS_MAX {
        return Err(ReadError::TooLarge {
            what: "the number of readings of wells",
            seen: readings.to_string(),
            max: READINGS_MAX as u64,
        });
    }
    let plates = plates::drafts(&head, scan.plates);
    let tables = join::drafts(grid, &head, scan.tables);
    let mut drafts = plates;
    let has_plates = !drafts.is_empty();
    drafts.extend(tables);
    if !has_plates {
        put_main_first(&mut drafts);
        if let Some(main) = drafts.first_mut() {
            let pairs = constants::beside(&head, &main.names);
            main.add_constants(&pairs);
        }
    }
    let cells: usize = drafts.iter().map(Draft::cell_count).sum();
    if cells > DRAFT_CELLS_MAX || drafts.len() > TABLES_MAX {
        return Err(ReadError::TooLarge {
            what: "the cells of all blocks, or the number of blocks,",
            seen: format!("{cells} cells in {} blocks", drafts.len()),
            max: DRAFT_CELLS_MAX as u64,
        });
    }
    let place = source.place;
    let mut notes = Vec::new();
    if plate_count > 0 {
        notes.push(format!("{plate_count} plate readings or layouts"));
    }
    let mut found = Vec::new();
    if drafts.iter().any(|draft| draft.by_place) {
        confidence.doubt(0.85, "readings that only their place in the file tells apart");
    }
    for draft in &drafts {
        let table = finish(grid, draft, source, &mut confidence)?;
        let name = draft.title.as_deref().unwrap_or("the main table");
        notes.push(format!(
            "{name}: {} rows from {place} {}{}",
            draft.height(),
            table.first_row,
            match draft.blank_wells {
                0 => String::new(),
                blank => format!(", {blank} blank wells left out"),
            }
        ));
        found.push(table);
    }
    if lines > 0 {
        notes.push(format!("{lines} other {place}s kept as properties"));
    }
    if !shifted.is_empty() {
        notes.push(format!(
            "{place}s {} have a cell too many for their plate and were not read",
            shifted.join(", ")
        ));
    }
    if odd > 0 {
        notes.push(format!("{odd} of them of unknown meaning"));
    }
    Ok(Found {
        tables: found,
        notes,
        properties,
        confidence,
        odd_rows,
    })
}

/// What speaks against reading the grid as these blocks.
fn doubts(scan: &Scan<'_>) -> Confidence {
    let mut confidence = Confidence::default();
    confidence.doubt(0.95, "its tables are blocks, told by what stands around them");
    let odd = scan.odd.len();
    confidence.doubt_share(
        odd,
        odd + scan.rows_taken,
        2.0,
        format!("{odd} rows of unknown meaning"),
    );
    if !scan.shifted.is_empty() {
        confidence.doubt(
            0.6,
            format!("{} lines of plates are shifted and were left out", scan.shifted.len()),
        );
    }
    confidence
}

fn refuse(grid: &Grid, shape: &Shape, source: &Source, scan: &Scan<'_>) -> Result<(), ReadError> {
    if let Some((header, rows)) = scan.cut {
        let why = format!(
            "a plate layout in {} {} ends with the file after {rows} rows",
            source.place,
            grid.line(header)
        );
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    if let Some(row) = scan.unexplained {
        let why = format!(
            "column numbers of a plate in {} {} over rows that are no plate",
            source.place,
            grid.line(row)
        );
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    if let Some((row, width)) = scan.torn(grid) {
        let why = format!(
            "{} {} has {} cells and breaks a table of {width} columns; {}",
            source.place,
            grid.line(row),
            grid.width(row),
            match source.place {
                "row" => "move what stands beside the table below it or to another sheet",
                _ => "quote cells that contain the delimiter or a quote",
            }
        );
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    let blocks = scan.plates.len() + scan.tables.len();
    if blocks == 0 {
        return Err(shapes::not_a_table(
            grid,
            shape,
            "no block that could be a table",
            source,
        ));
    }
    let odd = scan.odd.len();
    if odd as f64 > ODD_ROWS_MAX * (odd + scan.rows_taken) as f64 {
        let at: Vec<String> = scan.odd.iter().take(4).map(|row| grid.line(*row).to_string()).collect();
        let why = format!("{odd} {}s of unknown meaning (such as {})", source.place, at.join(", "));
        return Err(shapes::not_a_table(grid, shape, &why, source));
    }
    Ok(())
}

/// Without plates the main table is the one called results; else the one with wells, else the largest.
fn put_main_first(drafts: &mut [Draft<'_>]) {
    let score = |draft: &Draft<'_>| {
        let title = draft.title.as_deref().unwrap_or_default().to_lowercase();
        let is_result = context::has_word(&title, "result") || context::has_word(&title, "measurement");
        let is_summary = title.ends_with("summary");
        let has_wells = (0..draft.names.len())
            .any(|column| join::is_of_wells((0..draft.height()).map(|row| draft.cell(row, column).trim())));
        (!is_summary, is_result, has_wells, draft.cell_count())
    };
    let best = (0..drafts.len()).max_by_key(|at| drafts.get(*at).map(score));
    if let Some(part) = best.and_then(|best| drafts.get_mut(..=best)) {
        part.rotate_right(1);
    }
    if let Some(main) = drafts.first_mut() {
        main.title = None;
    }
}

fn finish(
    grid: &Grid,
    draft: &Draft<'_>,
    source: &Source,
    confidence: &mut Confidence,
) -> Result<FoundTable, ReadError> {
    let names = header::names(draft.names.iter().map(String::as_str));
    let constant_columns = draft.constant_columns();
    let mut plan = column::plan(&names, draft, source.notation(draft.values_from))?;
    plan.undecided.retain(|(column, _)| *column >= constant_columns);
    plan.odd.retain(|(column, _)| *column >= constant_columns);
    for note in plan.undecided_in(&names) {
        confidence.doubt(0.95, note);
    }
    for (column, kind) in plan.types.iter_mut().enumerate() {
        if column < constant_columns {
            *kind = constants::sure(*kind);
        } else if column >= draft.values_from && matches!(kind, ColumnType::Int64 | ColumnType::Null) {
            // A plate of whole numbers is still a plate of measurements: the next one may have fractions.
            *kind = ColumnType::Float64(Style::Point);
        }
    }
    // A key that says nothing in any section of this table is none of its columns.
    let kept: Vec<usize> = (0..names.len())
        .filter(|column| *column >= constant_columns || plan.types.get(*column) != Some(&ColumnType::Null))
        .collect();
    let place = |column: &usize| kept.iter().position(|kept| kept == column);
    let rescued = plan
        .rescued
        .iter()
        .filter(|column| **column >= constant_columns)
        .filter_map(place)
        .collect();
    let pick = |column: &usize| names.get(*column).cloned().zip(plan.types.get(*column).copied());
    let (names, types): (Vec<String>, Vec<ColumnType>) = kept.iter().filter_map(pick).unzip();
    let told = plan.told.iter().filter_map(place).collect();
    let decimals = kept.iter().map(|column| plan.decimals.get(*column).copied().flatten());
    let plan = Plan {
        types,
        decimals: decimals.collect(),
        rescued,
        told,
        undecided: Vec::new(),
        odd: Vec::new(),
    };
    let cells = Kept { draft, columns: &kept };
    Ok(FoundTable {
        name: draft.title.clone(),
        batches: column::build(&names, &plan, &cells)?,
        first_row: grid.line(draft.first),
    })
}

/// Some columns of a draft.
struct Kept<'d, 'a> {
    draft: &'d Draft<'a>,
    columns: &'d [usize],
}

impl Cells for Kept<'_, '_> {
    fn height(&self) -> usize {
        self.draft.height()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.columns
            .get(column)
            .map_or("", |column| self.draft.cell(row, *column))
    }
}

/// See [`join::summary_rows`].
pub(super) fn summary_rows(grid: &Grid, rows: &[usize], width: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    join::summary_rows(grid, rows, width)
}

/// See [`summary::suspects`].
pub(super) fn may_be_summed(grid: &Grid, rows: &[usize], width: usize) -> Vec<usize> {
    summary::suspects(grid, rows, width)
}

/// See [`summary::may_sum_up`].
pub(super) fn may_sum_up(cell: &str) -> bool {
    summary::may_sum_up(cell)
}

/// See [`join::unused_wells`].
pub(super) fn unused_wells(names: &[String], cells: &dyn Cells) -> HashSet<usize> {
    join::unused_wells(names, 0, cells)
}

/// See [`join::is_of_wells`].
pub(super) fn is_of_wells<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    join::is_of_wells(cells)
}

/// Whether the first of the rows only numbers the columns; see [`table::only_numbers_columns`].
pub(super) fn starts_with_numbering(grid: &Grid, rows: &[usize]) -> bool {
    let Some((first, below)) = rows.split_first() else {
        return false;
    };
    let columns: Vec<usize> = (0..grid.width(*first)).collect();
    table::only_numbers_columns(grid.cells(*first)) && table::holds_words(grid, below, &columns)
}

/// See [`two::is_header`].
pub(super) fn heads_two_columns(grid: &Grid, row: usize) -> bool {
    two::is_header(grid, row)
}

/// See [`two::heads_readings`].
pub(super) fn heads_readings(grid: &Grid, row: usize) -> bool {
    two::heads_readings(grid, row)
}

/// See [`two::is_titled`].
pub(super) fn titles_two_columns(grid: &Grid, row: usize) -> bool {
    two::is_titled(grid, row)
}

/// See [`two::are_numbered`].
pub(super) fn are_numbered<'k>(keys: impl Iterator<Item = &'k str>) -> bool {
    two::are_numbered(keys)
}

/// Whether the cells hold all column numbers of a plate, in order.
pub(super) fn numbers_columns(cells: &[&str]) -> bool {
    let numbers: Vec<usize> = cells.iter().filter_map(|cell| cell.trim().parse().ok()).collect();
    numbers.len() >= 12 && well::rows_of(numbers.len()).is_some() && numbers.iter().copied().eq(1..=numbers.len())
}

/// Whether the cell names a well.
pub(crate) fn is_well(cell: &str) -> bool {
    well::Well::parse(cell).is_some()
}

/// The name of the well in a row and a column of a plate, both from 0.
pub(super) fn well_name(row: usize, column: usize) -> String {
    well::Well { row, column }.name()
}

/// Whether so many rows and columns are a plate by their numbers alone.
pub(super) fn is_sure_plate(rows: usize, columns: usize) -> bool {
    columns >= well::SURE_COLUMNS && well::rows_of(columns) == Some(rows)
}

/// Whether a row that starts with these cells could head a plate; see [`has_plates`], which looks at the first
/// [`PLATE_ROWS`] rows.
pub(super) fn could_head_plate<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> bool {
    let cells = cells.take(HEAD_CELLS).map(str::trim);
    let mut pairs = cells.clone().zip(cells.clone().skip(1));
    pairs.any(|(first, second)| {
        let counts = matrix::column_number(first) == Some(1) && matrix::column_number(second) == Some(2);
        counts || (is_well(first) && is_well(second))
    }) || part::could_head(cells)
}

/// Whether the text is the letter of a plate's row.
pub(super) fn is_plate_row(text: &str) -> bool {
    well::plate_row(text).is_some()
}
