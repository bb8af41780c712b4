//! The layout of a plate: what was planned for its wells.

use std::collections::{HashMap, HashSet};

use crate::formats::blocks::plates::{NAME_CHARS_MAX, Section};
use crate::formats::blocks::well::Well;
use crate::formats::infer;

/// What was planned for the wells, over all layouts of a file.
#[derive(Default)]
pub(super) struct Layouts<'a> {
    pub(super) names: Vec<String>,
    layouts: Vec<Layout<'a>>,
}

/// One layout.
struct Layout<'a> {
    /// Which plate, by the titles.
    plate: Option<String>,
    /// The grid's row it starts in.
    first: usize,
    /// Values by well, in the order of [`Layouts::names`].
    wells: HashMap<Well, Vec<&'a str>>,
    columns: HashSet<usize>,
}

impl<'a> Layouts<'a> {
    /// Takes a layout in; one that says nothing is left out. `goes_on`: no reading stands between it and the one before.
    pub(super) fn take(&mut self, section: Section<'a>, goes_on: bool) {
        let says = |value: &str| !value.is_empty() && !infer::is_null_word(value);
        let mut layers = Vec::new();
        for layer in section.layers {
            if !layer.wells.iter().any(|(_, value)| says(value)) {
                continue;
            }
            let name = layer.label.or_else(|| section.title.clone());
            let name = name
                .filter(|name| name.chars().count() <= NAME_CHARS_MAX)
                .unwrap_or_else(|| "layout".to_owned());
            let column = match self.names.iter().position(|known| *known == name) {
                Some(column) => column,
                None => {
                    self.names.push(name);
                    self.names.len() - 1
                }
            };
            layers.push((column, layer.wells));
        }
        if layers.is_empty() {
            return;
        }
        let columns: HashSet<usize> = layers.iter().map(|(column, _)| *column).collect();
        // Two maps of one plate, such as samples and doses, are one layout; the same map again is another plate's.
        let is_part = |last: &Layout<'_>| goes_on && last.plate == section.plate && last.columns.is_disjoint(&columns);
        if !self.layouts.last().is_some_and(is_part) {
            self.layouts.push(Layout {
                plate: section.plate,
                first: section.first,
                wells: HashMap::new(),
                columns: HashSet::new(),
            });
        }
        let Some(layout) = self.layouts.last_mut() else { return };
        layout.columns.extend(columns);
        for (column, wells) in layers {
            for (well, value) in wells.into_iter().filter(|(_, value)| !value.is_empty()) {
                let values = layout.wells.entry(well).or_default();
                if values.len() <= column {
                    values.resize(column + 1, "");
                }
                if let Some(place) = values.get_mut(column) {
                    *place = value;
                }
            }
        }
    }

    /// What was planned for a well that is read in the section. Of several layouts that of the plate's name, else the
    /// last one above the reading; where that leaves a doubt, nothing.
    pub(super) fn of(&self, section: &Section<'_>, well: Well, column: usize) -> &'a str {
        let named = || {
            self.layouts
                .iter()
                .find(|layout| layout.plate.is_some() && layout.plate == section.plate)
        };
        let above = || {
            self.layouts
                .iter()
                .rev()
                .find(|layout| layout.plate.is_none() && layout.first < section.first)
        };
        let layout = match self.layouts.as_slice() {
            [only] if only.plate.is_none() || section.plate.is_none() || only.plate == section.plate => Some(only),
            _ => named().or_else(above),
        };
        layout
            .and_then(|layout| layout.wells.get(&well))
            .and_then(|values| values.get(column))
            .copied()
            .unwrap_or_default()
    }
}
