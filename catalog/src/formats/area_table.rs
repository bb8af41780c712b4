//! The one table of a grid, from the rows that were found to be it: names, units, constants, types.

use std::collections::{BTreeMap, HashSet};

use crate::formats::area::Area;
use crate::formats::column;
use crate::formats::grid::Grid;
use crate::formats::head;
use crate::formats::layout::{Found, FoundTable, GridCells, Source, keep};
use crate::formats::refuse::{self, Outline};
use crate::formats::sections::{Sectioned, Sections};
use crate::formats::shapes::{self, Shape};
use crate::formats::{Confidence, ReadError, blocks, constants, header, infer, layout_names, number, units};

impl Area {
    /// Names and types the table.
    ///
    /// # Errors
    /// `NotATable`, `NoDataRows`, `LongRow`; `Pinned` where what is pinned does not fit.
    pub(super) fn read(&self, grid: &Grid, shape: &Shape, source: &Source) -> Result<Found, ReadError> {
        let mut notes = Vec::new();
        let mut properties = BTreeMap::new();
        let is_pinned = self.pinned_header.is_some();
        if !is_pinned {
            refuse::rows_before(&self.before, grid, shape, source)?;
        }
        for row in self.before.iter().chain(&self.after) {
            keep(grid, *row, source, &mut properties);
        }
        let mut names: Vec<&str> = grid.cells(self.first).collect();
        if self.commented_header
            && let Some(first) = names.first_mut()
        {
            *first = first.trim_start().trim_start_matches('#');
        }
        let body_width = self.body.iter().map(|row| shape.filled_width(*row)).max().unwrap_or(0);
        let named = shape.filled_width(self.first);
        // As R writes row names: every row has one cell more than the header.
        let row_names = grid.width(self.first) + 1 == body_width
            && self.body.iter().all(|row| grid.width(*row) == body_width)
            && grid.cells(self.first).all(|name| !infer::is_empty(name));
        if row_names {
            names.insert(0, "");
            notes.push("first column unnamed (row names)".to_owned());
        }
        // Of two lines of names the lower one may end before the upper.
        let above = self.before.last().filter(|row| **row + 1 == self.first);
        if let Some(merged) = above.and_then(|above| layout_names::merged(grid, *above, self.first))
            && merged.len() > names.len()
            && !row_names
        {
            names.resize(merged.len(), "");
        }
        let cells = GridCells { grid, rows: &self.body };
        let has_header = match self.pinned_header {
            Some(pinned) => pinned,
            None => {
                self.commented_header || header::is_header(&names, &cells) || self.is_header_over_units(grid, &names)
            }
        };
        let grouped = has_header
            .then(|| layout_names::grouped(grid, &self.before, self.first, &names))
            .flatten();
        let units = second_header(grid, self.first, &self.body).filter(|_| has_header);
        let below = GridCells {
            grid,
            rows: self.body.get(usize::from(units.is_some())..).unwrap_or_default(),
        };
        let mut confidence = self.doubts_of_header(&names, &below, has_header);
        if let Some(first) = self.may_be_table_below(grid) {
            let at = grid.line(first);
            let why = format!(
                "{} {at} and those below may be a table of two columns: kept as properties",
                source.place
            );
            confidence.doubt(0.95, why);
        }
        let mut rows = self.body.clone();
        if !has_header {
            rows.push(self.first);
            rows.extend(&self.repeated);
            rows.sort_unstable();
        } else if let Some(units) = units {
            rows.remove(0);
            let named = |column: usize| match &grouped {
                Some(grouped) => grouped.get(column).map_or("", String::as_str),
                None => names.get(column).copied().unwrap_or_default(),
            };
            for (name, unit) in grid
                .cells(units)
                .enumerate()
                .map(|(column, unit)| (named(column), unit))
                .filter(|(_, unit)| !infer::is_empty(unit))
            {
                head::record(
                    &mut properties,
                    &format!("{} (second header)", name.trim()),
                    unit.trim(),
                );
            }
            notes.push(format!(
                "second header in {} {} kept as properties",
                source.place,
                grid.line(units)
            ));
        }
        if has_header && blocks::starts_with_numbering(grid, &rows) {
            notes.push(format!(
                "{} {} only numbers the columns",
                source.place,
                grid.line(rows.remove(0))
            ));
        }
        let line = grid.line(self.first);
        if rows.is_empty() {
            if !self.after.is_empty() {
                return Err(shapes::not_a_table(grid, shape, "no rows of data", source));
            }
            return Err(ReadError::NoDataRows {
                seen: format!("a header in {} {line} and nothing below it", source.place),
            });
        };
        let width = names
            .len()
            .min(named.max(body_width))
            .max(if row_names { body_width } else { 0 });
        refuse::long_rows(grid, shape, &rows, names.len(), source)?;
        refuse::fragments(named, grid, shape, &rows, source)?;
        let outline = Outline {
            first: self.first,
            has_header,
            blank_lines: self.blank_lines,
        };
        if !is_pinned {
            refuse::sentences(self.first, grid, shape, &rows, source)?;
            refuse::other_shapes(&outline, grid, shape, &rows, source)?;
        }
        let well = has_header
            .then(|| layout_names::unnamed_wells(grid, &names, &rows))
            .flatten();
        if let Some(name) = well.and_then(|column| names.get_mut(column)) {
            *name = "well";
        }
        if let Some(grouped) = &grouped {
            names = grouped.iter().map(String::as_str).collect();
        }
        let first_names: Vec<&str> = if has_header {
            names.iter().take(width).copied().collect()
        } else {
            vec![""; width]
        };
        let names = header::names(first_names.into_iter());
        let summary = blocks::summary_rows(grid, &rows, width);
        let (rows, summed) = summary.unwrap_or((rows, Vec::new()));
        let sections = has_header.then(|| Sections::of(grid, &rows, width)).flatten();
        let rows = match &sections {
            Some(sections) => sections.rows.clone(),
            None => rows,
        };
        if let Some(first) = blocks::may_be_summed(grid, &rows, width).first() {
            let at = grid.line(*first);
            confidence.doubt(
                0.95,
                format!("{} {at} may sum up others: it is one of its rows", source.place),
            );
        }
        let unused = blocks::unused_wells(&names, &GridCells { grid, rows: &rows });
        let is_used = |(at, row): (usize, &usize)| (!unused.contains(&at)).then_some(*row);
        let rows: Vec<usize> = rows.iter().enumerate().filter_map(is_used).collect();
        if !unused.is_empty() {
            notes.push(format!("{} wells of which nothing is said left out", unused.len()));
        }
        let constants = constants::beside(&layout_names::head(grid, &self.before, grouped.is_some()), &names);
        let mut notation = source.notation(usize::MAX);
        notation.comma_locale |= constants.iter().any(|(_, value)| constants::is_dotted_date(value));
        let mut tables = Vec::new();
        for (name, rows) in [(None, &rows), (Some("summary"), &summed)] {
            if let Some(first) = rows.first() {
                let cells = GridCells { grid, rows };
                let sectioned = sections.as_ref().filter(|_| name.is_none()).map(|sections| Sectioned {
                    cells,
                    width: names.len(),
                    sections,
                });
                let (batches, typing) = match &sectioned {
                    Some(cells) => {
                        let with = [names.as_slice(), &["group".to_owned()]].concat();
                        column::table_with(
                            &header::names(with.iter().map(String::as_str)),
                            cells,
                            notation,
                            &constants,
                        )?
                    }
                    None => column::table_with(&names, &cells, notation, &constants)?,
                };
                for note in typing.undecided {
                    confidence.doubt(0.95, note.clone());
                    notes.push(note);
                }
                if typing.rescued > 0 {
                    let plural = if typing.rescued == 1 { "" } else { "s" };
                    confidence.doubt(
                        0.95,
                        format!("words among the numbers of {} column{plural}", typing.rescued),
                    );
                }
                let batches = match units {
                    Some(row) => units::kept(batches, grid, row),
                    None => batches,
                };
                tables.push(FoundTable {
                    name: name.map(str::to_owned),
                    batches,
                    first_row: grid.line(*first),
                });
            }
        }
        if !summed.is_empty() {
            notes.push(format!("{} summary rows in a table of their own", summed.len()));
        }
        let place = source.place;
        if let Some(sections) = &sections {
            notes.push(format!("{} titles of rows kept as the column group", sections.count));
        }
        notes.push(if has_header {
            match self.before.len() {
                0 => format!("header in {place} {line}"),
                1 => format!("header in {place} {line} after 1 preamble {place}"),
                count => format!("header in {place} {line} after {count} preamble {place}s"),
            }
        } else {
            format!("no header, data from {place} {line}")
        });
        notes.push(format!("{width} columns, {} rows", rows.len()));
        let short = self.remark(grid, &rows, width, has_header, source, &mut notes);
        confidence.doubt_share(
            short,
            rows.len(),
            0.5,
            format!("{short} of {} rows are short", rows.len()),
        );
        Ok(Found {
            tables,
            notes,
            properties,
            confidence,
            odd_rows: Vec::new(),
        })
    }

    /// The first of the lines below the table that may be a table of two columns: two words, then words that each come once with a
    /// number beside them. Settings look so, too.
    fn may_be_table_below(&self, grid: &Grid) -> Option<usize> {
        /// Fewer are settings.
        const ROWS_MIN: usize = 3;
        let is_row = |row: &usize| match grid.filled(*row).as_slice() {
            [key, value] => header::is_label(key) && number::parse(value).is_some(),
            _ => false,
        };
        let mut pairs = self.after.iter().enumerate();
        let (at, first) = pairs.find(|(_, row)| {
            let filled = grid.filled(**row);
            filled.len() == 2 && header::is_all_labels(&filled) && !head::is_marked(&filled)
        })?;
        let below: Vec<usize> = self.after.iter().skip(at + 1).copied().take_while(is_row).collect();
        let keys: HashSet<&str> = below.iter().map(|row| grid.cell(*row, 0).trim()).collect();
        (below.len() >= ROWS_MIN && keys.len() == below.len()).then_some(*first)
    }

    /// Whether only the units below the names keep them from being seen as names.
    fn is_header_over_units(&self, grid: &Grid, names: &[&str]) -> bool {
        let filled: Vec<&str> = names
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
            .collect();
        let rest = self.body.get(1..).unwrap_or_default();
        header::is_all_labels(&filled)
            && second_header(grid, self.first, &self.body).is_some()
            && header::is_header(names, &GridCells { grid, rows: rest })
    }

    /// What makes the header less than certain.
    pub(super) fn doubts_of_header(&self, names: &[&str], cells: &GridCells<'_>, has_header: bool) -> Confidence {
        let mut confidence = Confidence::default();
        if self.pinned_header.is_some() {
            return confidence;
        }
        if !has_header {
            confidence.doubt(0.8, "no header");
        } else if !header::stands_out(names, cells) {
            confidence.doubt(0.85, "nothing but its place makes the first row a header");
        }
        confidence
    }

    /// Notes of what was passed over; the number of short rows.
    fn remark(
        &self,
        grid: &Grid,
        rows: &[usize],
        width: usize,
        has_header: bool,
        source: &Source,
        notes: &mut Vec<String>,
    ) -> usize {
        let place = source.place;
        let short = rows.iter().filter(|row| grid.width(**row) < width).count();
        let again = if has_header { self.repeated.len() } else { 0 };
        for (count, what) in [
            (self.blank_lines, format!("blank {place}s skipped")),
            (again, "repeated headers skipped".to_owned()),
            (short, "short rows filled with nulls".to_owned()),
            (self.after.len(), format!("{place}s after the table kept as properties")),
        ] {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        }
        short
    }
}

/// The first row of the body if it only labels the columns; see [`units::is_second_header`].
fn second_header(grid: &Grid, header: usize, rows: &[usize]) -> Option<usize> {
    let (first, rest) = rows.split_first()?;
    units::is_second_header(grid, header, *first, rest).then_some(*first)
}
