//! A table as text, before its types are decided.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::formats::column::Cells;

/// A table on its way: each row has constants of its section first, then cells of its own.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// Of the constants, then of the cells.
    pub(super) names: Vec<String>,
    /// `None` for the file's main table.
    pub(super) title: Option<String>,
    /// The grid's row it starts in.
    pub(super) first: usize,
    /// Columns from here on are measured values: numbers among them are floats.
    pub(super) values_from: usize,
    /// Some of its readings differ in nothing but their place in the file.
    pub(super) by_place: bool,
    /// Wells without any value that have no row.
    pub(super) blank_wells: usize,
    constants: Vec<Vec<String>>,
    places: HashMap<usize, usize>,
    sections: Vec<usize>,
    cells: Vec<Cow<'a, str>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(names: Vec<String>, first: usize) -> Self {
        Self {
            values_from: names.len(),
            names,
            title: None,
            first,
            by_place: false,
            blank_wells: 0,
            constants: Vec::new(),
            places: HashMap::new(),
            sections: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// The place of a section's constants, made when first asked for.
    pub(super) fn constants(&mut self, section: usize, make: impl FnOnce() -> Vec<String>) -> usize {
        if let Some(place) = self.places.get(&section) {
            return *place;
        }
        let place = self.constants.len();
        self.constants.push(make());
        self.places.insert(section, place);
        place
    }

    /// Adds a row; constants and cells together are as many as names.
    pub(super) fn push(&mut self, constants: usize, cells: Vec<Cow<'a, str>>) {
        self.sections.push(constants);
        self.cells.extend(cells);
    }

    /// Adds constants of the whole file to every row.
    pub(super) fn add_constants(&mut self, pairs: &[(String, String)]) {
        let at = self.constant_columns();
        self.names.splice(at..at, pairs.iter().map(|(name, _)| name.clone()));
        self.values_from += pairs.len();
        for section in &mut self.constants {
            section.extend(pairs.iter().map(|(_, value)| value.clone()));
        }
    }

    /// Takes rows out.
    pub(super) fn leave_out(&mut self, rows: &HashSet<usize>) {
        if rows.is_empty() {
            return;
        }
        let width = (self.names.len() - self.constant_columns()).max(1);
        let cells = std::mem::take(&mut self.cells);
        let kept = cells
            .into_iter()
            .enumerate()
            .filter(|(at, _)| !rows.contains(&(at / width)));
        self.cells = kept.map(|(_, cell)| cell).collect();
        let sections = std::mem::take(&mut self.sections);
        let kept = sections.into_iter().enumerate().filter(|(row, _)| !rows.contains(row));
        self.sections = kept.map(|(_, section)| section).collect();
    }

    /// How many leading columns are constants of a section.
    pub(super) fn constant_columns(&self) -> usize {
        self.constants.first().map_or(0, Vec::len)
    }

    pub(super) fn cell_count(&self) -> usize {
        self.cells.len()
    }
}

impl Cells for Draft<'_> {
    fn height(&self) -> usize {
        self.sections.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        let constants = self.constant_columns();
        if column < constants {
            let section = self.sections.get(row).and_then(|place| self.constants.get(*place));
            return section.and_then(|values| values.get(column)).map_or("", String::as_str);
        }
        let width = self.names.len() - constants;
        self.cells
            .get(row * width + column - constants)
            .map_or("", AsRef::as_ref)
    }
}
