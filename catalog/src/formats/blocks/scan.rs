//! A grid, top to bottom: which blocks it holds and what stands between them.

use crate::formats::blocks::context::{Context, has_word};
use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::outline::Outline;
use crate::formats::blocks::table::{self, Table};
use crate::formats::blocks::{frame, list, matrix, part, two, well};
use crate::formats::grid::Grid;
use crate::formats::{head, header};

/// Readings of plates with the lines above them.
#[derive(Debug)]
pub(super) struct Plates<'a> {
    pub(super) context: Context,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) first: usize,
}

/// What a grid holds, in order.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    pub(super) plates: Vec<Plates<'a>>,
    pub(super) tables: Vec<Table>,
    /// Pairs above the first block: they hold for the whole file.
    pub(super) head: Vec<(String, String)>,
    /// Rows between the blocks, all to be kept as properties.
    pub(super) lines: Vec<usize>,
    /// Those of them that are neither title nor pair.
    pub(super) odd: Vec<usize>,
    /// What was computed from lines of plates and stands behind them.
    pub(super) summed: Vec<(String, String)>,
    /// Lines of plates with a cell too many, which are left out.
    pub(super) shifted: Vec<usize>,
    /// Rows that blocks hold.
    pub(super) rows_taken: usize,
    /// A plate that starts like one and ends with the file: the copy may have stopped early.
    pub(super) cut: Option<(usize, usize)>,
    /// Column numbers of a plate over rows that are none.
    pub(super) unexplained: Option<usize>,
}

impl<'a> Scan<'a> {
    pub(super) fn of(grid: &'a Grid, outline: &Outline) -> Self {
        let mut scan = Self::default();
        let mut context = Context::default();
        let mut shapes: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut early: Option<(usize, Vec<usize>, usize)> = None;
        let mut row = outline.next_content(0);
        let mut is_first = true;
        let mut says_plate = false;
        while let Some(at) = row {
            let names = |count: usize| context.numbered(count).map(<[String]>::to_vec);
            let mut end = at;
            let mut layers = None;
            if part::are_titles(grid, outline, at) {
                scan.rows_taken += 1;
                row = outline.next_content(at + 1);
                continue;
            }
            if let Some(found) = matrix::at(grid, outline, at, says_plate) {
                let ends_file = outline.next_content(found.last + 1).is_none();
                if found.stops_early() && ends_file {
                    early = Some((found.columns, found.letters.clone(), found.header));
                } else {
                    shapes.push((found.columns, found.letters.clone()));
                }
                end = found.last;
                scan.lines.extend(found.shifted.iter().chain(&found.remarked));
                scan.shifted.extend(found.shifted);
                scan.summed.extend(found.summed);
                layers = Some(found.layers);
            } else if let Some(found) = list::at(grid, outline, at, says_plate, names) {
                end = found.last;
                layers = Some(found.layers);
            } else if let Some(found) = frame::at(grid, outline, at, says_plate, names) {
                end = found.last;
                layers = Some(found.layers);
            } else if says_plate && let Some(found) = frame::bare(grid, outline, at) {
                end = found.last;
                layers = Some(found.layers);
            }
            if let Some(layers) = layers {
                is_first = scan.leave_head(&mut context, is_first);
                scan.rows_taken += end + 1 - at;
                scan.plates.push(Plates {
                    context: std::mem::take(&mut context),
                    layers,
                    first: at,
                });
            } else if let Some(mut found) = table::at(grid, outline, at)
                .or_else(|| two::at(grid, at))
                .or_else(|| table::bare(grid, outline, at))
            {
                end = found.last;
                scan.rows_taken += found.body.len() + found.header_rows;
                says_plate |= found.names.iter().any(|name| speaks_of_plates(name));
                is_first = scan.leave_head(&mut context, is_first);
                let is_plate = |row: &usize| is_plate_header(grid, *row);
                scan.unexplained = scan.unexplained.or_else(|| (at..=end).find(is_plate));
                found.context = context.clone();
                context.take_titles();
                if found.body.len() == 1 && found.header_rows > 0 {
                    // One row says something about the plate below it, if there is one.
                    context.row.extend(pairs_of(grid, &found));
                }
                scan.tables.push(found);
            } else {
                if is_plate_header(grid, at) {
                    scan.unexplained.get_or_insert(at);
                }
                scan.lines.push(at);
                let is_known = (!is_first && is_legend(grid, at))
                    || context.read(grid, at)
                    || (is_first && is_head_line(grid, outline, at));
                if !is_known {
                    scan.odd.push(at);
                }
                says_plate |= grid.filled(at).iter().any(|cell| speaks_of_plates(cell));
            }
            row = outline.next_content(end + 1);
        }
        scan.leave_head(&mut context, is_first);
        if !scan.plates.is_empty() {
            let tables = std::mem::take(&mut scan.tables);
            for table in tables {
                match two::layout(grid, &table) {
                    Some(layout) => scan.plates.push(layout),
                    None => scan.tables.push(table),
                }
            }
            scan.plates.sort_by_key(|plates| plates.first);
        }
        scan.cut = early.and_then(|(columns, letters, header)| {
            // Another plate of the file with the same rows: it is how they were exported.
            let same = shapes.iter().any(|shape| *shape == (columns, letters.clone()));
            (!same && well::rows_of(columns).is_some()).then_some((header, letters.len()))
        });
        scan
    }

    /// A row of unknown meaning within a table, and the table's width: it stands directly below the table's rows, has about as
    /// many cells, and rows without a header go on directly below it. Read as blocks the row would be lost, and the table be two.
    pub(super) fn torn(&self, grid: &Grid) -> Option<(usize, usize)> {
        let first = |table: &Table| table.body.first().map(|(row, _)| *row);
        self.tables.windows(2).find_map(|pair| {
            let [above, below] = pair else { return None };
            let between = above.last + 1..first(below)?;
            let is_row = |row: usize| self.odd.contains(&row) && 2 * grid.filled(row).len() >= above.columns.len();
            let is_torn = below.header_rows == 0 && !between.is_empty() && between.clone().all(is_row);
            is_torn.then_some((between.start, above.columns.len()))
        })
    }

    /// The pairs above the first block are the file's.
    fn leave_head(&mut self, context: &mut Context, is_first: bool) -> bool {
        if is_first {
            self.head = std::mem::take(&mut context.pairs);
        }
        false
    }
}

/// Whether a cell's words are about plates or their wells.
pub(super) fn speaks_of_plates(cell: &str) -> bool {
    let text = cell.to_lowercase();
    has_word(&text, "plate") || has_word(&text, "well") || text.contains("microplate") || text.contains("wellplate")
}

/// `TNTC: Too numerous to count` below a plate explains a mark and says nothing of the plate below it.
fn is_legend(grid: &Grid, row: usize) -> bool {
    /// Marks are short.
    const MARK_CHARS_MAX: usize = 8;
    let filled = grid.filled(row);
    let head::HeadLine::Pairs(pairs) = head::classify(&filled) else {
        return false;
    };
    let [(key, value)] = pairs.as_slice() else { return false };
    key.len() <= MARK_CHARS_MAX
        && key
            .chars()
            .all(|character| !character.is_lowercase() && !character.is_whitespace())
        && value.split_whitespace().count() >= 3
}

/// A line of the file's head, above all blocks: a key with several values. Lines of one width below one another are some
/// table instead.
fn is_head_line(grid: &Grid, outline: &Outline, row: usize) -> bool {
    let filled = grid.filled(row);
    let width = |row: usize| (!outline.is_blank(row)).then(|| outline.filled(row));
    let above = row.checked_sub(1).and_then(width);
    let is_alone = above != Some(filled.len()) && width(row + 1) != Some(filled.len());
    is_alone && filled.first().is_some_and(|first| header::is_label(first))
}

/// Column numbers of a plate of 96 wells or more, and no pair of a key and a list.
fn is_plate_header(grid: &Grid, row: usize) -> bool {
    let runs = matrix::runs(grid, row);
    runs.first()
        .is_some_and(|run| run.columns >= 12 && well::rows_of(run.columns).is_some())
        && !head::is_marked(&grid.filled(row))
        && !matches!(head::classify(&grid.filled(row)), head::HeadLine::Pairs(_))
}

/// The one row of a table as keys and values.
fn pairs_of(grid: &Grid, table: &Table) -> Vec<(String, String)> {
    let Some((row, _)) = table.body.first() else {
        return Vec::new();
    };
    table
        .names
        .iter()
        .zip(&table.columns)
        .map(|(name, column)| (name.clone(), head::unquoted(grid.cell(*row, *column).trim()).to_owned()))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .collect()
}
