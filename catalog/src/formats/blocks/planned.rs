//! The layout of a plate: what was planned for its wells.

use std::collections::HashMap;

use crate::formats::blocks::plates::{NAME_CHARS_MAX, Section};
use crate::formats::blocks::well::Well;
use crate::formats::infer;

/// What was planned for the wells: names and, for each plate (or for all), values.
#[derive(Default)]
pub(super) struct Layout<'a> {
    pub(super) names: Vec<String>,
    plates: Vec<(Option<String>, Planned<'a>)>,
}

/// Values by well, in the order of the layout's names.
type Planned<'a> = HashMap<Well, Vec<&'a str>>;

impl<'a> Layout<'a> {
    /// Takes a layout in; one that says nothing is left out.
    pub(super) fn take(&mut self, section: Section<'a>) {
        let at = match self.plates.iter().position(|(plate, _)| *plate == section.plate) {
            Some(at) => at,
            None => {
                self.plates.push((section.plate.clone(), HashMap::new()));
                self.plates.len() - 1
            }
        };
        for layer in section.layers {
            let says = |value: &str| !value.is_empty() && !infer::is_null_word(value);
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
            let Some((_, wells)) = self.plates.get_mut(at) else {
                continue;
            };
            for (well, value) in layer.wells.into_iter().filter(|(_, value)| !value.is_empty()) {
                let values = wells.entry(well).or_default();
                if values.len() <= column {
                    values.resize(column + 1, "");
                }
                if let Some(place) = values.get_mut(column) {
                    *place = value;
                }
            }
        }
    }

    /// What was planned for a well of a plate, or of any plate where the layout names none.
    pub(super) fn of(&self, plate: Option<&String>, well: Well, column: usize) -> &'a str {
        let own = self.plates.iter().find(|(name, _)| name.as_ref() == plate);
        let any = || self.plates.iter().find(|(_, wells)| wells.contains_key(&well));
        let wells = own.filter(|(_, wells)| wells.contains_key(&well)).or_else(any);
        wells
            .and_then(|(_, wells)| wells.get(&well))
            .and_then(|values| values.get(column))
            .copied()
            .unwrap_or_default()
    }
}
